import numpy as np

GROUP: np.dtype[np.void]
POSITION_RISK: np.dtype[np.void]
PAIR: np.dtype[np.void]
RISK_STATE: np.dtype[np.void]
