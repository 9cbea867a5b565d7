from collections.abc import Sequence
from typing import Any

import numpy.typing as npt

from engine import Batch
from loadtest.workload import Workload

class Requests:
    workload: Workload
    kinds: tuple[str, ...]
    block: int
    reply_bytes: int
    def __init__(self, workload: Workload, *, items: int = 1, accounts: bool = False) -> None: ...
    @property
    def items(self) -> int: ...
    @property
    def account_requests(self) -> int: ...
    def transfers(self, first: int, count: int) -> npt.NDArray[Any]: ...
    def lines(self, first: int, count: int) -> bytes: ...
    def fill(self, batch: Batch, first: int, count: int) -> None: ...

class Script(Requests):
    def __init__(
        self,
        lines: Sequence[bytes],
        counts: Sequence[int],
        kinds: Sequence[int],
        *,
        names: Sequence[str],
        reply_bytes: int,
    ) -> None: ...
    def __len__(self) -> int: ...
