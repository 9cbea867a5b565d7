"""`python -m benchmarks.unlogged_server serve …`: the server with a log that forgets. FOR MEASURING ONLY.

Appends are confirmed at once and reads are never fenced, so what is left of a request's way is everything but
PostgreSQL: parsing, batching, encoding and hashing the row, posting, replying. Whatever is acknowledged is gone when
the process ends. It is planted from outside, in this process only: nothing in the server knows of it, and no setting of
the product leads here. PostgreSQL is started as usual, holds the first rows and stays idle.
"""

import asyncio
import sys
from hashlib import sha256

import structlog

from engine import log_record
from server.cli import main
from server.journal import Head, Journal, Kind
from server.journal.rows import row_hash


def _append(self: Journal, time: int, payload: bytes, digest: bytes | None = None) -> asyncio.Future[int]:
    """Do what the real one does before it asks PostgreSQL: the row's number and hashes."""
    seq, previous, epoch, _ = self.head
    seq += 1
    checksum = sha256(payload).digest()
    hash_ = row_hash(previous, seq, epoch, time, log_record.FORMAT, Kind.BATCH, checksum, digest)
    self.head = Head(seq, hash_, epoch, time)
    future = asyncio.get_running_loop().create_future()
    future.set_result(seq)
    return future


async def _barrier(self: Journal) -> None:
    """Believe it."""


def plant() -> None:
    """Replace the log of this process."""
    Journal.append = _append  # type: ignore[method-assign]
    Journal.barrier = _barrier  # type: ignore[method-assign]
    structlog.get_logger().warning("nothing that this process acknowledges is durable")


if __name__ == "__main__":
    plant()
    sys.exit(main())
