from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from server.wire.buffer import LineBuffer

class Reply(NamedTuple):
    id: int | str | None
    seq: int | None
    results: npt.NDArray[np.void] | None
    result: Any
    error: tuple[int, str] | None
    method: str | None

class Replies(NamedTuple):
    ids: npt.NDArray[np.int64]
    seqs: npt.NDArray[np.uint64]
    counts: npt.NDArray[np.uint32]
    results: npt.NDArray[np.void]

class Reader(LineBuffer):
    def __init__(self, *, line_max: int = ...) -> None: ...
    def read(self) -> Reply | None: ...
    def read_many(self, replies_max: int = 65536) -> Replies: ...

def read_line(line: bytes) -> Reply: ...
def decode_results(text: bytes) -> npt.NDArray[np.void]: ...
