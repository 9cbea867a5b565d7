import numpy as np

TRADING_ACCOUNT: np.dtype[np.void]
LINK: np.dtype[np.void]
HOLDING: np.dtype[np.void]
POSITION: np.dtype[np.void]
TRADE: np.dtype[np.void]
EXECUTION: np.dtype[np.void]
EXCHANGE_STATE: np.dtype[np.void]
SIZES: dict[str, tuple[np.dtype[np.void], int]]
