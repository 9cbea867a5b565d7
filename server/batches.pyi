from typing import NamedTuple

from engine._core.batch import Batch

class Survey(NamedTuple):
    requests: int
    writes: int
    reads: int
    pings: int
    items: int
    accounts: int
    transfers: int

def survey(batch: Batch) -> Survey: ...
def room(batch: Batch) -> tuple[int, int]: ...
def orders_room(batch: Batch) -> tuple[int, int]: ...
def limit_orders(batch: Batch, fills: int, listings: int) -> None: ...
def refuse(batch: Batch, code: int, message: str, *, writes_only: bool = False) -> int: ...
