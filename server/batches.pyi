from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from engine._core.batch import Batch

class Survey(NamedTuple):
    requests: int
    writes: int
    reads: int
    pings: int
    items: int
    accounts: int
    transfers: int

class Contents(NamedTuple):
    orders: int
    amends: int
    mass_cancels: int
    listings: int
    sessions: int
    days: int
    trades: int
    limits: int
    kills: int
    approvals: int

class Refusal(NamedTuple):
    amend: bool
    account_id: int
    client_order_id: int
    order_id: int
    symbol: bytes
    reason: int
    scope: int
    limit: int
    used: int
    asked: int
    check: int

def contents(batch: Batch) -> Contents: ...
def ordering_accounts(batch: Batch) -> npt.NDArray[np.uint64]: ...
def refusals(batch: Batch) -> list[Refusal]: ...
def survey(batch: Batch) -> Survey: ...
def weight(batch: Batch) -> int: ...
def decides(batch: Batch) -> bool: ...
def room(batch: Batch) -> tuple[int, int, int]: ...
def orders_room(batch: Batch) -> tuple[int, int]: ...
def limit_orders(batch: Batch, fills: int, listings: int) -> None: ...
def refuse(batch: Batch, code: int, message: str, *, writes_only: bool = False) -> int: ...
def updated_accounts(batch: Batch) -> npt.NDArray[np.uint64]: ...
