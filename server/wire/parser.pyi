from typing import Final

from engine._core.batch import Batch
from server.wire.buffer import LineBuffer
from server.wire.cold import Cold
from server.wire.orders import Profiles

IDLE: Final = 0
COLD: Final = 1
FULL: Final = 2
CLOSE: Final = 3
BEHIND: Final = 4

class Position:
    seq: int
    def __init__(self, seq: int = 0) -> None: ...

class Parser(LineBuffer):
    cold: Cold | None
    patient: bool
    @property
    def profiles(self) -> Profiles | None: ...
    @property
    def position(self) -> Position: ...
    @property
    def waits(self) -> bool: ...
    @property
    def min_seq(self) -> int: ...
    def __init__(
        self,
        *,
        line_max: int = ...,
        items_max: int = 8190,
        query_limit_max: int = 8190,
        batch_items_max: int = 65536,
        profiles: Profiles | None = None,
        position: Position | None = None,
        waits: bool = False,
    ) -> None: ...
    def allow(
        self,
        methods: int,
        scope: int,
        *,
        logged_on: bool,
        int64_strings: bool,
        session: int = 0,
        actor: str = "dev",
    ) -> None: ...
    def admit(self, accounts: int, transfers: int, limits: int = ...) -> None: ...
    def parse(self, batch: Batch, connection: int) -> int: ...
