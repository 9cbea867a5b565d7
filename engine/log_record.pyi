from engine._core.batch import Batch

FORMAT: int
FORMAT_FIRST: int

def encode(batch: Batch, time: int, *, format_most: int = ...) -> bytes: ...
def decode(payload: bytes, batch: Batch) -> int: ...
