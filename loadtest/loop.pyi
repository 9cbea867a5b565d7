import socket
from collections.abc import Iterable, Sequence
from typing import Any

from loadtest.requests import Requests

class LoadError(Exception): ...

class Loop:
    requests: Requests
    def __init__(
        self,
        requests: Requests,
        sockets: Sequence[socket.socket],
        *,
        depth: int = 1,
        rate: float = 0,
        seconds: float = 10,
        warm_up: float = 0,
        count: int | None = None,
        first: int = 0,
        stalled_after: float = 30,
        tick: float = 0.0001,
        allowed: Iterable[int] = (0,),
        words: Iterable[str] = (),
    ) -> None: ...
    def run(self, seconds: float) -> bool: ...
    def stop(self) -> None: ...
    @property
    def preparing(self) -> bool: ...
    @property
    def answered(self) -> int: ...
    @property
    def elapsed(self) -> float: ...
    def latencies(self) -> dict[str, list[tuple[int, int]]]: ...
    def result(self) -> dict[str, Any]: ...
