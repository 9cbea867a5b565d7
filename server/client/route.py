"""The servers of one log, and which of them is tried next."""

from collections.abc import Sequence

from server.client.retry import CONNECT, CONNECT_SEVERAL, Backoff

Server = tuple[str, int]
"""Host and port."""


class Route:
    """One of the servers leads. Who does not find it where it was tries the next, and again from the first."""

    def __init__(self, host: str, port: int, others: Sequence[Server] = ()) -> None:
        self._servers = [(host, port), *others]
        self._at = 0

    @property
    def host(self) -> str:
        """Of the server that is tried now."""
        return self._servers[self._at][0]

    @property
    def port(self) -> int:
        """Of the server that is tried now."""
        return self._servers[self._at][1]

    @property
    def address(self) -> str:
        """host:port of the server that is tried now."""
        return f"{self.host}:{self.port}"

    @property
    def several(self) -> bool:
        """Whether there is more than one."""
        return len(self._servers) > 1

    @property
    def backoff(self) -> Backoff:
        """How long to wait between attempts to connect."""
        return CONNECT_SEVERAL if self.several else CONNECT

    def copy(self) -> "Route":
        """Return another one that begins where this one is."""
        servers = self._servers[self._at :] + self._servers[: self._at]
        return Route(*servers[0], servers[1:])

    def next(self) -> None:
        """Go on to the next one."""
        self._at = (self._at + 1) % len(self._servers)
