from typing import Any

import numpy as np
import numpy.typing as npt

OPERATION: np.dtype[np.void]
TRADE: np.dtype[np.void]

class OrderBook:
    trades: int
    volume: int
    notional: int
    trade_hash: int
    resting: int
    def __init__(self, orders_max: int = ..., open_orders_max: int = ..., *, keep_trades: int = 0) -> None: ...
    def run(self, operations: npt.NDArray[Any]) -> int: ...
    def levels(self, side: int, most: int) -> list[tuple[int, int, int]]: ...
    def kept(self) -> npt.NDArray[Any]: ...
