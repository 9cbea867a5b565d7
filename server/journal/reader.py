"""Reading the log back: in order, page by page, each row verified.

A page is one statement of its own, so a reader holds no snapshot and no lock between pages, and a lost session costs
one page. While a page is being used the next one is fetched.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import asyncpg
import structlog

from server.journal.errors import LogDamaged
from server.journal.link import BACKOFF_MAX, BACKOFF_MIN, GONE, UNREADABLE, Link, finish, temporary
from server.journal.rows import Chain, Row
from server.journal.schema import COLUMNS, LogFacts, list_partitions

log = structlog.get_logger("tongbao.journal")

PAGE_BYTES = 4 << 20
"""Payload that one page is to hold, about."""
PAGE_ROWS_MIN, PAGE_ROWS_MAX = 8, 4096


class _Pages:
    """Fetches pages, each on the session of the one before as long as that lives."""

    def __init__(self, open_link: Callable[[], Awaitable[Link]], facts: LogFacts, last: int) -> None:
        self.open_link = open_link
        self.facts = facts
        self.last = last
        self.rows = 64
        self.link: Link | None = None

    async def fetch(self, first: int) -> list[Row]:
        """Return some rows from `first` on, none only if row `first` is not there."""
        pause = BACKOFF_MIN
        end = min((self.facts.partition(first) + 1) * self.facts.partition_rows - 1, self.last)
        while True:
            try:
                if self.link is None or self.link.lost:
                    self.link = await self.open_link()
                records = await self.link.connection.fetch(
                    f"SELECT {COLUMNS} FROM {self.facts.table(first)} "
                    "WHERE seq BETWEEN $1 AND $2 ORDER BY seq LIMIT $3",
                    first, end, self.rows,
                )  # fmt: skip
                break
            except asyncpg.UndefinedTableError:
                raise LogDamaged(first, "missing: its partition was archived or dropped, or never made") from None
            except UNREADABLE as error:
                if self.rows == 1:
                    raise LogDamaged(first, f"PostgreSQL cannot read it: {error}") from error
                self.rows = max(1, self.rows // 8)  # to find out which row it is
            except (*GONE, asyncpg.PostgresError) as error:
                if not temporary(error):
                    raise
                log.warning("log_read_again", seq=first, error=str(error))
                await asyncio.sleep(pause)
                pause = min(2 * pause, BACKOFF_MAX)
        page = [Row(*record) for record in records]
        if page:
            average = sum([len(row.payload) for row in page]) // len(page) + 200
            self.rows = max(PAGE_ROWS_MIN, min(PAGE_ROWS_MAX, PAGE_BYTES // average, 4 * self.rows))
        return page

    async def close(self) -> None:
        if self.link is not None:
            await self.link.close()


async def _begins_the_log(pages: _Pages, first: int) -> bool:
    """Whether `first` is the oldest row left: those before it were archived or dropped."""
    if first % pages.facts.partition_rows:
        return False
    pages.link = await pages.open_link()
    partitions = await list_partitions(pages.link.connection)
    return bool(partitions) and partitions[0] == pages.facts.partition(first)


async def read_rows(  # noqa: PLR0917 - see Journal.read
    open_link: Callable[[], Awaitable[Link]],
    facts: LogFacts,
    first: int,
    last: int,
    previous_hash: bytes | None,
    epoch: int | None,
) -> AsyncIterator[Row]:
    """Yield rows `first` to `last`; see Journal.read."""
    pages = _Pages(open_link, facts, last)
    ahead: asyncio.Task[list[Row]] | None = None
    try:
        if previous_hash is None and 0 < first <= last and not await _begins_the_log(pages, first):
            before = await pages.fetch(first - 1)
            if not before or before[0].seq != first - 1:
                raise LogDamaged(first - 1, "missing")
            Chain(first - 2, None, None).check(before[0])
            previous_hash, epoch = before[0].hash, before[0].epoch
        chain = Chain(first - 1, previous_hash, epoch)
        check = chain.check
        if first <= last:
            ahead = asyncio.create_task(pages.fetch(first))
        while ahead is not None:
            page = await ahead
            if not page:
                raise LogDamaged(chain.seq + 1, "missing")
            following = page[-1].seq + 1
            ahead = asyncio.create_task(pages.fetch(following)) if following <= last else None
            for row in page:
                check(row)
                yield row
    finally:
        if ahead is not None and not ahead.done():
            if pages.link is not None:
                pages.link.drop()  # the page under way is not wanted any more
            await finish(ahead, pages.link)
        await pages.close()
