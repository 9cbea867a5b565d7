"""A log in memory, row for row as PostgreSQL had it, that the server's own readers read.

Only the session with the database is replaced: `server.journal.reader`, `server.journal.tail` and `server.recovery` are
the server's. So thousands of damaged logs can be tried in the time that PostgreSQL needs for a few.
"""

from collections.abc import AsyncIterator
from typing import Any, cast

from server.journal import Head, Row
from server.journal.link import Link
from server.journal.reader import read_rows
from server.journal.rows import Chain
from server.journal.schema import LogFacts
from server.journal.tail import Tail

PARTITION_ROWS = 1 << 20


class StoredLog:
    """What recovery and `tongbao verify` ask of the journal.

    `rows` by the key under which they were written: a bit that flips in a row does not flip in PostgreSQL's index.
    """

    def __init__(self, log_id: bytes, rows: dict[int, Row]) -> None:
        self.log_id = log_id
        self.rows = rows
        self.facts = LogFacts(log_id, PARTITION_ROWS)
        self.head = Head(0, b"", 0, 0)

    def find_head(self) -> None:
        """Find the newest row and check it by itself, as `schema.read_head` does. Raises LogDamaged."""
        row = self.rows[max(self.rows)]
        Chain(row.seq - 1, None, None).check(row)
        self.head = Head(row.seq, row.hash, row.epoch, row.time)

    async def read(
        self, first: int, *, last: int | None = None, previous_hash: bytes | None = None, epoch: int | None = None
    ) -> AsyncIterator[Row]:
        """Yield verified rows, as `Journal.read` does."""
        until = self.head.seq if last is None else last
        async for row in read_rows(self._open, self.facts, first, until, previous_hash, epoch):
            yield row

    async def first(self) -> int:
        """Return the first row of the oldest partition."""
        return self.facts.partition(min(self.rows)) * self.facts.partition_rows

    def tail(self, known: Row) -> Tail:
        """What a follower reads, behind a row."""
        return Tail(self._open, self.facts, Head(known.seq, known.hash, known.epoch, known.time))

    async def _open(self) -> Link:
        return cast("Link", _Session(self.rows))


class _Session:
    """As much of a Link, its connection and its prepared statement as readers use."""

    lost = False

    def __init__(self, rows: dict[int, Row]) -> None:
        self.connection = self
        self._rows = rows

    async def fetch(self, *arguments: Any) -> list[Row]:
        first, last, limit = arguments[-3:]
        return [self._rows[key] for key in sorted(self._rows) if first <= key <= last][:limit]

    async def prepare(self, _: str) -> "_Session":
        return self

    async def fetchval(self, query: str, *arguments: int) -> bytes | bool | None:
        if query == "SELECT pg_is_in_recovery()":
            return False  # a primary: what is not there is gone
        (seq,) = arguments
        return self._rows[seq].hash if seq in self._rows else None

    def drop(self) -> None:
        """There is nothing to end."""

    async def close(self) -> None:
        """There is nothing to end."""
