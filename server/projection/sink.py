"""The follower's sink that writes the tables.

It writes when there is something to write, all that there is in one transaction: the further it lags, the more rows of
the log go into one. While the database is away only what cannot be found again in the engine is kept: 40 bytes a row of
the log, up to a million rows, and the ids of updated accounts.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Protocol

import asyncpg
import numpy as np

from engine import Batch, Engine, log_record
from engine.requests import clear
from server import batches
from server.journal import Head, Journal, Kind, LogDamaged, Row
from server.journal.link import BACKOFF_MAX, BACKOFF_MIN, GONE, temporary
from server.logs import fault
from server.logs import get as get_logger
from server.metrics import Metrics
from server.projection import columns
from server.projection.changes import NOTHING, Changes, Mark, Work
from server.projection.columns import Columns
from server.projection.database import Tables
from server.projection.errors import ProjectionError
from server.projection.stores import CHUNK_ROWS

PAUSE_SECONDS = 0.01
"""Between two transactions: what comes meanwhile shares the next one."""
RETRY_SECONDS = 5.0
"""Before another attempt after an error that only a person can end: a permission, a full disk."""


class ReadableLog(Protocol):
    """What the projection needs of the journal."""

    log_id: bytes

    async def first(self) -> int:
        """Return the lowest seq that the database still has."""

    async def newest(self) -> Head:
        """Return the newest row."""

    def read(
        self, first: int, *, last: int | None = None, previous_hash: bytes | None = None, epoch: int | None = None
    ) -> AsyncIterator[Row]:
        """Yield verified rows."""


class Projection:
    """See the head of this file."""

    name = "projection"

    def __init__(self, dsn: str, journal: ReadableLog | Journal, engine: Engine, head: Head, metrics: Metrics) -> None:
        """The engine is at row `head`."""
        self.seq = head.seq
        """Newest row that was applied."""
        self.mark: Mark = NOTHING
        """What the tables hold, as far as we know."""
        self.rows = 0
        """Rows of tables that were written since the start."""
        self.trouble: str | None = None
        """Why the tables cannot be written just now; None when all is well."""
        self._dsn = dsn
        self._journal = journal
        self._engine = engine
        self._log_hash = head.hash
        self._changes: Changes | None = None
        self._attempted: Work | None = None
        self._writing = False
        """Whether there is a session with the tables."""
        self._wake = asyncio.Event()
        self._wake.set()
        self._log = get_logger()
        metrics.gauges |= {
            "projection_seq": lambda: self.mark.seq,
            "projection_rows_behind": lambda: self.seq - self.mark.seq,
            "projection_rows_total": lambda: self.rows,
            "projection_trouble": lambda: float(self.trouble is not None),
        }

    def applied(self, row: Row, batch: Batch | None) -> None:
        """Note a row that was just applied."""
        self.seq, self._log_hash = row.seq, row.hash
        if self._changes is not None:
            self._changes.note(row, batch)
        self._wake.set()

    async def check(self) -> None:
        """Raise ProjectionError when the tables are there and cannot be ours; say nothing when the database is away."""
        try:
            tables = await Tables.open(self._dsn, write=False)
        except (*GONE, asyncpg.PostgresError) as error:
            self._note_trouble(error)
            return
        try:
            await self._begin(tables, wait=False)
        except (*GONE, asyncpg.PostgresError) as error:
            self._note_trouble(error)
        finally:
            await tables.close()

    async def run(self) -> None:
        """Write until cancelled. Raises ProjectionError when going on would be wrong."""
        pause = BACKOFF_MIN
        while True:
            tables = None
            try:
                tables = await Tables.open(self._dsn)
                await self._resume(tables)
                self._note_trouble(None)
                pause = BACKOFF_MIN
                self._writing = True
                while True:
                    await self._wake.wait()
                    self._wake.clear()
                    await self._write(tables)
                    await asyncio.sleep(PAUSE_SECONDS)
            except (*GONE, asyncpg.PostgresError) as error:
                self._note_trouble(error)
                self._wake.set()
                await asyncio.sleep(pause if temporary(error) else RETRY_SECONDS)
                pause = min(2 * pause, BACKOFF_MAX)
            finally:
                self._writing = False
                if tables is not None:
                    tables.connection.terminate()

    async def reached(self, seq: int) -> None:
        """Wait until the tables hold row `seq`."""
        while self.mark.seq < seq:  # noqa: ASYNC110 - for stops and tests; the transactions themselves take longer
            await asyncio.sleep(PAUSE_SECONDS)

    async def finish(self, seconds: float) -> None:
        """Give it some time to write what was applied, if its database is there; what is left is written next time."""
        waited = 0.0
        while self._writing and self.mark.seq < self.seq and waited < seconds:
            await asyncio.sleep(PAUSE_SECONDS)
            waited += PAUSE_SECONDS

    # --- where to go on --------------------------------------------------------------------------

    async def _resume(self, tables: Tables) -> None:
        """Find out what became of a transaction that was cut, and go on from where the tables are."""
        mark = await self._begin(tables, wait=True)
        changes, work = self._changes, self._attempted
        self._attempted = None
        if changes is not None and work is not None and mark == work.after:
            changes.confirm(work)
        elif changes is not None and mark == changes.mark:
            if work is not None:
                changes.give_back(work)
        else:
            # The first time; or the tables are of an older copy of their database.
            self._changes = None
            pending = await tables.pending()
            self._changes = Changes(self._engine, mark, self.seq, self._log_hash, pending)
            self._log.info("projection_begun", seq=mark.seq, seq_last=self.seq)
        self.mark = mark

    async def _begin(self, tables: Tables, *, wait: bool) -> Mark:
        """Where the tables are, once the engine is there too. Raises ProjectionError when they are not of this log."""
        found = await tables.progress()
        if found is None:
            return NOTHING
        log_id, mark = found
        if log_id != self._journal.log_id:
            raise ProjectionError(
                f"the tables hold another log ({log_id.hex()}, not {self._journal.log_id.hex()}): use another "
                "database, or `tongbao projection rebuild` to throw away what they hold"
            )
        newest = mark.seq if mark.seq <= self.seq else (await self._journal.newest()).seq
        if mark.seq > newest:
            raise ProjectionError(
                f"the tables are at row {mark.seq}, and the log ends at row {newest}: rows of the log were lost, or "
                "this is an old copy of it. When a person has decided that the log is right: "
                "`tongbao projection rebuild`"
            )
        if mark.seq >= await self._journal.first():
            async for row in self._journal.read(mark.seq, last=mark.seq):
                if row.hash != mark.log_hash:
                    raise ProjectionError(
                        f"the tables were made with another row {mark.seq} than the log has: "
                        "`tongbao projection rebuild`"
                    )
        while wait and mark.seq > self.seq:
            self._wake.clear()
            await self._wake.wait()
        return mark

    # --- writing ---------------------------------------------------------------------------------

    async def _write(self, tables: Tables) -> None:
        changes = self._changes
        if changes is None or not changes.behind:
            return
        work = self._attempted = changes.capture()
        missing = None if work.missing is None else batches_of(self._journal, *work.missing)
        self.rows += await tables.write(self._journal.log_id, work, missing)
        changes.confirm(work)
        self._attempted = None
        self.mark = work.after
        if changes.behind:
            self._wake.set()

    def _note_trouble(self, error: BaseException | None) -> None:
        trouble = None if error is None else f"{type(error).__name__}: {error}"
        if trouble != self.trouble:
            if error is not None:
                self._log.warning("projection_waits", seq=self.mark.seq, **fault(error))
            else:
                self._log.info("projection_goes_on", seq=self.mark.seq)
            self.trouble = trouble


async def batches_of(journal: ReadableLog | Journal, first: int, last: int) -> AsyncIterator[tuple[Columns, int]]:
    """Rows for `batches`, from the log itself. What was archived or dropped there is left out."""
    first = max(first, await journal.first(), 1)
    batch = Batch()
    found: list[tuple[int, int, int, int, int]] = []
    try:
        async for row in journal.read(first, last=last):
            items = 0
            if row.kind == Kind.BATCH:
                clear(batch)
                log_record.decode(row.payload, batch)
                items = batches.survey(batch).items
            found.append((row.seq, row.epoch, row.kind, items, row.time))
            if len(found) == CHUNK_ROWS:
                yield columns.batches(*np.array(found, dtype=np.int64).T), len(found)
                found = []
    except LogDamaged as error:
        raise ProjectionError(f"row {error.seq} of the log cannot be read: {error}") from error
    if found:
        yield columns.batches(*np.array(found, dtype=np.int64).T), len(found)
