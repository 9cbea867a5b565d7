from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Records: TypeAlias = NDArray[np.void]

def execution_lines(views: Records, prev_seq: int, quoted: bool) -> bytes: ...
def trade_lines(views: Records, prev_seq: int, quoted: bool, seq: int = 0) -> bytes: ...
def book_line(
    method: str,
    head: np.void,
    levels: Records,
    old_head: np.void | None,
    old_levels: Records | None,
    seq: int,
    prev_seq: int,
    quoted: bool,
) -> bytes: ...
def top_line(head: np.void, levels: Records, snapshot: bool, seq: int, prev_seq: int, quoted: bool) -> bytes: ...
def auction_line(head: np.void, snapshot: bool, seq: int, prev_seq: int, quoted: bool) -> bytes: ...
def orders_line(symbol: str, views: Records, snapshot: bool, seq: int, prev_seq: int, quoted: bool) -> bytes: ...
