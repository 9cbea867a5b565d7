"""`python -m benchmarks.profiling.staged_server serve …`: the server with one more clock. FOR MEASURING ONLY.

The server itself takes the time of every stage but reading, which lies between two calls that uvloop makes: it asks the
connection for a buffer, reads into it, and tells how much came. A clock in both would cost each read some 200 ns for
ever, so it is planted from outside, in this process only, and its figure appears among the metrics.
STAGED_NO_COMMIT=1 also replaces the log by one that forgets (benchmarks/unlogged_server.py).
"""

import os
import sys
from time import perf_counter

from benchmarks import unlogged_server
from server import metrics
from server.cli import main
from server.connection import Connection
from server.metrics import SECONDS


def plant() -> None:
    """Take the time from the end of get_buffer to the beginning of buffer_updated."""
    metrics.HISTOGRAMS["read_seconds"] = ("Time of one read that brought something: uvloop and recv(2).", SECONDS)
    get_buffer, buffer_updated = Connection.get_buffer, Connection.buffer_updated
    began = 0.0

    def timed_get_buffer(self: Connection, sizehint: int) -> memoryview:
        nonlocal began
        buffer = get_buffer(self, sizehint)
        began = perf_counter()
        return buffer

    def timed_buffer_updated(self: Connection, nbytes: int) -> None:
        elapsed = perf_counter() - began
        self._acceptor.metrics.read_seconds.observe(elapsed)  # type: ignore[attr-defined]
        buffer_updated(self, nbytes)

    Connection.get_buffer = timed_get_buffer  # type: ignore[method-assign]
    Connection.buffer_updated = timed_buffer_updated  # type: ignore[method-assign]


if __name__ == "__main__":
    plant()
    if os.environ.get("STAGED_NO_COMMIT") == "1":
        unlogged_server.plant()
    sys.exit(main())
