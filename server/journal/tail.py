"""The log as it grows: rows behind a known one, each verified, as soon as they are committed.

PostgreSQL is asked again and again, at once while rows come, less and less often while none do. A notification would
cost every commit of the leader; a look costs a tenth of a millisecond of the database, and only when nothing happens.

A tail outlives every loss of its session. What it must never do is to go on behind a row that is not in the log any
more: after a failover of the database that lost commits its newest row may be gone, or another may stand in its place.
So each new session is asked for that row first.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable

import asyncpg
import structlog

from server.journal.errors import LogDamaged, LogLost
from server.journal.link import BACKOFF_MAX, BACKOFF_MIN, GONE, UNREADABLE, Link, temporary
from server.journal.rows import Chain, Head, Row
from server.journal.schema import COLUMNS, LogFacts, list_partitions

log = structlog.get_logger("tongbao.journal")

POLL_MIN, POLL_MAX = 0.001, 0.02
"""Seconds between two looks that find nothing."""
PAGE_BYTES = 1 << 20
"""Payload that one page is to hold, about."""
PAGE_ROWS_MIN, PAGE_ROWS_MAX = 4, 1024
SILENCE_SECONDS = 10.0
"""A look that takes longer is given up, and its session with it."""


class Tail:
    """See the head of this file. Never used by two tasks at the same time."""

    def __init__(
        self,
        open_link: Callable[[], Awaitable[Link]],
        facts: LogFacts,
        known: Head,
        *,
        poll_max: float = POLL_MAX,
    ) -> None:
        """`known`: the row behind which to begin. Use `Journal.tail`."""
        self.trouble: str | None = None
        """Why the database does not answer just now; None when all is well."""
        self.looked = 0.0
        """When it last answered (`time.monotonic`)."""
        self._open_link = open_link
        self._facts = facts
        self._chain = Chain(known.seq, known.hash, known.epoch)
        self._poll_max = poll_max
        self._rows = PAGE_ROWS_MIN
        self._link: Link | None = None
        self._statement: asyncpg.prepared_stmt.PreparedStatement | None = None
        self._partition = -1

    @property
    def seq(self) -> int:
        """Newest row that was given."""
        return self._chain.seq

    async def rows(self) -> list[Row]:
        """Wait until there are rows behind those that were given, and return the next of them, in order.

        Raises LogDamaged, which names the row, or LogLost when the log does not hold any more what was given.
        """
        pause = POLL_MIN
        while True:
            page = await self.look()
            if page:
                return page
            await asyncio.sleep(pause)
            pause = min(2 * pause, self._poll_max)

    async def look(self) -> list[Row]:
        """Return the next rows, perhaps none. Waits for a database that does not answer."""
        pause = BACKOFF_MIN
        while True:
            try:
                async with asyncio.timeout(SILENCE_SECONDS):
                    page = await self._fetch()
                break
            except UNREADABLE as error:
                if self._rows == 1:
                    raise LogDamaged(self._chain.seq + 1, f"PostgreSQL cannot read it: {error}") from error
                self._rows = max(1, self._rows // 8)  # to find out which row it is
            except (*GONE, asyncpg.PostgresError) as error:
                self._drop()
                if not temporary(error):
                    raise
                self._note(f"{type(error).__name__}: {error}")
                await asyncio.sleep(pause)
                pause = min(2 * pause, BACKOFF_MAX)
        self._note(None)
        self.looked = time.monotonic()
        check = self._chain.check
        for row in page:
            check(row)
        if page:
            average = sum([len(row.payload) for row in page]) // len(page) + 200
            self._rows = max(PAGE_ROWS_MIN, min(PAGE_ROWS_MAX, PAGE_BYTES // average, 4 * self._rows))
        return page

    async def close(self) -> None:
        """End the session."""
        if self._link is not None:
            await self._link.close()
            self._link = None

    async def _fetch(self) -> list[Row]:
        if self._link is None or self._link.lost:
            self._statement, self._link = None, await self._open_link()
            await self._still_there(self._link)
        first = self._chain.seq + 1
        partition = self._facts.partition(first)
        if self._statement is None or partition != self._partition:
            try:
                self._statement = await self._link.connection.prepare(
                    f"SELECT {COLUMNS} FROM {self._facts.table(first)} "
                    "WHERE seq BETWEEN $1 AND $2 ORDER BY seq LIMIT $3"
                )
            except asyncpg.UndefinedTableError:
                await self._not_made_yet(self._link, first)
                return []
            self._partition = partition
        last = (partition + 1) * self._facts.partition_rows - 1
        try:
            return [Row(*record) for record in await self._statement.fetch(first, last, self._rows)]
        except asyncpg.UndefinedTableError:
            raise _gone(first) from None

    async def _still_there(self, link: Link) -> None:
        """Raise LogLost unless the newest row that was given is still in the log."""
        seq, hash = self._chain.seq, self._chain.hash
        try:
            found = await link.connection.fetchval(f"SELECT hash FROM {self._facts.table(seq)} WHERE seq = $1", seq)
        except asyncpg.UndefinedTableError:
            partitions = await list_partitions(link.connection)
            if partitions and partitions[0] * self._facts.partition_rows == seq + 1:
                return  # everything up to here was archived or dropped, and we need the next
            if not partitions or partitions[0] > self._facts.partition(seq):
                raise _gone(seq) from None
            found = None
        if found is None and await link.connection.fetchval("SELECT pg_is_in_recovery()"):
            # Another standby than before, which has not come so far. If the row is gone, one with another hash follows.
            raise asyncpg.CannotConnectNowError(f"the standby has not replayed row {seq} yet")
        if found is None:
            raise LogLost(f"row {seq} was committed, and it is not in the log any more")
        if found != hash:
            raise LogLost(f"row {seq} was committed, but another row stands in its place")

    async def _not_made_yet(self, link: Link, first: int) -> None:
        """Raise LogDamaged if the partition of the next row is missing for another reason."""
        partitions = await list_partitions(link.connection)
        if partitions and partitions[0] > self._facts.partition(first):
            raise _gone(first)

    def _note(self, trouble: str | None) -> None:
        if trouble != self.trouble:
            if trouble is not None:
                log.warning("database_trouble", error=trouble)
            else:
                log.info("database_back", was=self.trouble)
            self.trouble = trouble

    def _drop(self) -> None:
        if self._link is not None:
            self._link.drop()
            self._link = None


def _gone(seq: int) -> LogDamaged:
    return LogDamaged(seq, "missing: its partition was archived or dropped")
