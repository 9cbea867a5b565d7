from typing import Final

from engine._core.batch import Batch
from server.wire.buffer import LineBuffer
from server.wire.cold import Cold
from server.wire.orders import Profiles

IDLE: Final = 0
COLD: Final = 1
FULL: Final = 2
CLOSE: Final = 3

class Parser(LineBuffer):
    cold: Cold | None
    profiles: Profiles | None

    def __init__(
        self,
        *,
        line_max: int = ...,
        items_max: int = 8190,
        query_limit_max: int = 8190,
        batch_items_max: int = 65536,
        profiles: Profiles | None = None,
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
