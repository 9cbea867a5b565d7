import numpy as np

ORDER: np.dtype[np.void]
ORDER_DETAIL: np.dtype[np.void]
LEVEL: np.dtype[np.void]
NODE: np.dtype[np.void]
INSTRUMENT: np.dtype[np.void]
SIZES: dict[str, tuple[np.dtype[np.void], int, int]]
