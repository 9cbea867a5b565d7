"""Rows with their events, on their way to one target.

While the target keeps up they come from the follower's own engine, row by row. They wait here, up to a number of
bytes. When more would have to wait, none do: the rows are in the log, and are made again from there, by an engine of
their own that begins at a snapshot of before, until it has come to where the follower is.
"""

import asyncio
import secrets
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from typing import Protocol

from engine import Batch
from engine.limits import Limits
from server.events.errors import EventsError
from server.events.maker import Maker, RowEvents
from server.journal import Head, LogDamaged, LogLost, Row
from server.recovery import Recovered, apply_rows, restore
from server.snapshots import Snapshots

CHUNK_ROWS = 64
"""Rows that are made again in one call of the thread: their events wait in memory."""
SKIPPED_ROWS = 1024
"""Rows that are only applied, to come to where events are needed."""
JOIN_ROWS = 512
"""So near to the follower the rows that it applies begin to wait again."""


class Source(Protocol):
    """What is needed of the journal."""

    @property
    def log_id(self) -> bytes:
        """Identity of the log."""

    async def first(self) -> int:
        """Return the lowest seq that the database still has."""

    async def newest(self) -> Head:
        """Return the newest row."""

    def read(
        self, first: int, *, last: int | None = None, previous_hash: bytes | None = None, epoch: int | None = None
    ) -> AsyncIterator[Row]:
        """Yield verified rows."""


class Backlog:
    """The rows that wait for one target: without a gap, the oldest first."""

    def __init__(self, bytes_max: int) -> None:
        self.bytes = 0
        self.seq = 0
        """Newest row that was applied, whether it waits or not."""
        self.collecting = True
        """Whether rows are kept: from the beginning, or from where a replay has come near."""
        self._rows: deque[RowEvents] = deque()
        self._bytes_max = bytes_max
        self._wake = asyncio.Event()

    def add(self, made: RowEvents) -> None:
        """Take a row that has just been applied."""
        self.seq = made.seq
        if self.collecting:
            self._rows.append(made)
            self.bytes += made.bytes
            if self.bytes > self._bytes_max:
                self.drop_all()
        self._wake.set()

    def begin(self, seq: int) -> None:
        """The follower begins behind row `seq`."""
        self.seq = seq

    def drop_all(self) -> None:
        """Keep nothing, and collect no more until somebody asks."""
        self._rows.clear()
        self.bytes = 0
        self.collecting = False

    def collect(self) -> None:
        """Keep the rows that are applied from now on."""
        self.collecting = True

    @property
    def first(self) -> int:
        """The oldest row that waits, or the next that would."""
        return self._rows[0].seq if self._rows else self.seq + 1

    @property
    def first_time(self) -> int:
        """Time of the oldest row that waits, 0 when there is none."""
        return self._rows[0].time if self._rows else 0

    def covers(self, seq: int) -> bool:
        """Whether row `seq` and all behind it are here or will come."""
        return self.collecting and self.first <= seq

    def forget(self, seq: int) -> None:
        """Rows up to `seq` are where they belong."""
        rows = self._rows
        while rows and rows[0].seq <= seq:
            self.bytes -= rows.popleft().bytes

    def some(self, bytes_max: int) -> list[RowEvents]:
        """The oldest rows, at least one if there is any; they stay until they are forgotten."""
        found: list[RowEvents] = []
        size = 0
        for made in self._rows:
            if found and size + made.bytes > bytes_max:
                break
            found.append(made)
            size += made.bytes
        return found

    async def wait(self) -> None:
        """Until something has been applied."""
        self._wake.clear()
        await self._wake.wait()


class UpTo:
    """The log up to a row, as recovery reads it."""

    def __init__(self, journal: Source, seq: int) -> None:
        self.head = Head(seq, b"", 0, 0)
        self._journal = journal

    async def read(
        self, first: int, *, last: int | None = None, previous_hash: bytes | None = None, epoch: int | None = None
    ) -> AsyncIterator[Row]:
        """Yield verified rows."""
        async for row in self._journal.read(
            first, last=self.head.seq if last is None else last, previous_hash=previous_hash, epoch=epoch
        ):
            yield row


class Again:
    """Makes events of rows that were applied long ago."""

    def __init__(self, journal: Source, snapshots: Snapshots, limits: Limits) -> None:
        self._journal = journal
        self._snapshots = snapshots
        self._limits = limits

    async def rows(self, position: int, backlog: Backlog) -> AsyncGenerator[list[RowEvents]]:
        """Yield the rows behind `position`, until the backlog has the next one.

        Raises EventsError when the log does not hold any more what is needed.
        """
        log = UpTo(self._journal, backlog.seq)
        try:
            recovered = await restore(
                log, self._snapshots, self._limits, hash_key=secrets.token_bytes(32), at_most=position
            )
            oldest = await self._journal.first()
        except LogDamaged as error:
            raise _gone(position, error.seq) from error
        except LogLost as error:
            raise EventsError(f"events: {error}") from error
        if recovered.seq + 1 < oldest:
            raise _gone(position, oldest)
        batch = Batch()
        maker: Maker | None = Maker(recovered.engine) if recovered.seq == position else None
        while not backlog.covers(recovered.seq + 1):
            if not backlog.collecting and recovered.seq + JOIN_ROWS >= backlog.seq:
                backlog.collect()
            last = min(backlog.first - 1, backlog.seq) if backlog.collecting else backlog.seq
            if maker is None:
                last = min(last, position)
            async for rows in _chunks(self._read(recovered, last), SKIPPED_ROWS if maker is None else CHUNK_ROWS):
                made: list[RowEvents] = []
                await asyncio.to_thread(_apply, recovered, rows, batch, maker, made)
                if made:
                    yield made
            if recovered.seq == position and maker is None:
                maker = Maker(recovered.engine)

    def _read(self, recovered: Recovered, last: int) -> AsyncIterator[Row]:
        return self._journal.read(recovered.seq + 1, last=last, previous_hash=recovered.log_hash, epoch=recovered.epoch)


def _apply(recovered: Recovered, rows: Iterable[Row], batch: Batch, maker: Maker | None, made: list[RowEvents]) -> None:
    if maker is None:
        apply_rows(recovered, rows, batch)
    else:
        apply_rows(recovered, rows, batch, lambda row, answers: made.append(maker.of(row, answers)))


async def _chunks(rows: AsyncIterator[Row], size: int) -> AsyncIterator[list[Row]]:
    chunk: list[Row] = []
    async for row in rows:
        chunk.append(row)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _gone(position: int, oldest: int) -> EventsError:
    return EventsError(
        f"events: those behind row {position} cannot be made again: the log begins at row {oldest}, and there is no "
        "snapshot of before. When a person has decided to do without them: events_from = now, and an empty target"
    )
