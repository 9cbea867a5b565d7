"""How long to wait before the next try: doubling, with jitter, so that many clients do not come back at once."""

import random
import socket
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """Waits of `first_s`, twice that, and so on up to `last_s`, each between a half and the whole of it."""

    first_s: float
    last_s: float

    def wait_s(self, attempt: int) -> float:
        """Seconds to wait after the attempt of that number, from 0."""
        whole = min(self.first_s * 2.0 ** min(attempt, 30), self.last_s)
        return whole * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, not a secret


CONNECT = Backoff(0.02, 1.0)
"""Between attempts to connect."""

CONNECT_SEVERAL = Backoff(0.02, 0.2)
"""The same where there are several: one will lead before long, and every wait is time without service."""

BUSY = Backoff(0.002, 0.25)
"""Before a request is sent again that was answered with "busy"."""

SILENCE_MAX_MS = 10_000
"""How long sent bytes may stay unacknowledged before the system gives the connection up."""


def tune_socket(sock: socket.socket) -> None:
    """Send without delay, and notice within some ten seconds that the other side is gone."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (
        ("TCP_KEEPIDLE", 5),
        ("TCP_KEEPINTVL", 2),
        ("TCP_KEEPCNT", 3),
        ("TCP_USER_TIMEOUT", SILENCE_MAX_MS),
    ):
        option = getattr(socket, name, None)  # not every system has each of them
        if option is not None:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)
