"""One target of events: where it is, what it gets next, and what happens while it is away.

The target itself says how far it is, and takes events only behind that: so whatever is cut, and wherever, each event
is there once and in order. Nobody waits for a target: while it is away its rows wait in the backlog, and when that is
full they are made again from the log.
"""

import asyncio
import contextlib
import time
from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

from engine import Engine
from server.events.backlog import Again, Backlog, Source
from server.events.errors import EventsError
from server.events.maker import Event, RowEvents
from server.logs import fault
from server.logs import get as get_logger

CHUNK_EVENTS = 8_192
CHUNK_BYTES = 4 << 20
"""What a target gets at once."""
BACKOFF_MIN, BACKOFF_MAX = 0.05, 5.0
HALTED_SECONDS = 5.0
"""Before another look at a target that only a person can put right."""


class Mark(NamedTuple):
    """How far a target is: it has row `seq`, all before, and the first `part` events of the row behind."""

    log_id: bytes
    seq: int
    hash: bytes
    part: int = 0


class Chunk(NamedTuple):
    """Events that a target takes as one, and where it is then."""

    mark: Mark
    events: list[tuple[int, Event]]
    """With their seq."""


class Target(Protocol):
    """Where events go. Whatever it raises but EventsError is taken for a passing trouble."""

    name: str
    events_max: int
    """How many it takes at once."""
    settled: Mark | None
    """What it has, if it tells so later than when it takes events; None: it has what it took."""
    trouble: str | None
    """Why it does not get on with what it took."""
    drains: bool
    """Whether `close` settles what it took."""
    dead: int
    """Events that were given up."""

    def begin(self, engine: Engine) -> None:
        """The engine whose events will come."""

    async def open(self) -> Mark | None:
        """Connect; return how far it is, None when it has nothing. Raises EventsError when it cannot be ours."""

    async def publish(self, before: Mark | None, chunk: Chunk) -> None:
        """Take events if it is still at `before`, all or none."""

    async def close(self) -> None:
        """End the connection."""


class MovedError(Exception):
    """The target is not where we left it: it lost something, or somebody else has published meanwhile."""


class Publisher:
    """See the head of this file."""

    def __init__(self, target: Target, journal: Source, again: Again, *, bytes_max: int, from_now: bool) -> None:
        """`from_now`: an empty target gets what happens from now on, not what the log holds."""
        self.target = target
        self.backlog = Backlog(bytes_max)
        self.mark: Mark | None = None
        """How far the target is, as far as we know."""
        self.published = 0
        """Events since the start."""
        self.retries = 0
        self.trouble: str | None = None
        """Why nothing can be published just now."""
        self.halted = False
        """Whether only a person can end it."""
        self.again_from: int | None = None
        """Row from which events are being made again from the log."""
        self._journal = journal
        self._again = again
        self._from_now = from_now
        self._connected = False
        self._found: Mark | None = None
        """What the target itself said, or was told."""
        self._origin: Mark | None = None
        """With `from_now`: where it began."""
        self._time = 0
        self._log = get_logger()

    @property
    def name(self) -> str:
        """Of the target."""
        return self.target.name

    @property
    def seq(self) -> int:
        """Newest row that the target has."""
        return self.mark.seq if self.mark is not None else 0

    @property
    def settled_seq(self) -> int:
        """Newest row whose events are where they belong; `seq` may be further, for they may be on their way."""
        settled = self.target.settled
        return self.seq if settled is None else settled.seq

    @property
    def ailing(self) -> bool:
        """Whether events do not get to where they belong."""
        return self.trouble is not None or self.target.trouble is not None

    @property
    def lag_seconds(self) -> float:
        """Age of the oldest row that it has not, as far as that is known; 0 when it has all."""
        waits = self._time if self.settled_seq < self.seq else self.backlog.first_time or self._time
        if self.settled_seq >= self.backlog.seq or not waits:
            return 0.0
        return max(0.0, time.time() - waits / 1e9)

    def health(self) -> dict[str, object]:
        """Say how far it is."""
        behind = self.backlog.seq - self.settled_seq
        return {"seq": self.settled_seq, "rows_behind": behind, "trouble": self.ailing}

    def numbers(self) -> tuple[str | float, ...]:
        """Name, and the values of server.metrics.PUBLISHERS."""
        return (
            self.name, self.settled_seq, self.backlog.seq - self.settled_seq, self.lag_seconds, self.published,
            self.retries, self.target.dead, self.ailing,
        )  # fmt: skip

    async def check(self) -> int | None:
        """Return how far the target is; None when it is away. Raises EventsError when it cannot be ours."""
        try:
            await self._open()
        except EventsError:
            raise
        except Exception as error:  # noqa: BLE001 - it may come back
            self._note(error)
            return None
        finally:
            await self._close()
        return self.seq

    async def run(self) -> None:
        """Publish until cancelled."""
        pause = BACKOFF_MIN
        while True:
            try:
                await self._open()
                self._note(None)
                self._connected = True
                await self._publish()
            except MovedError as error:
                self._note(error)
                await asyncio.sleep(BACKOFF_MIN)
            except EventsError as error:
                self._note(error, halted=True)
                await asyncio.sleep(HALTED_SECONDS)
            except Exception as error:  # noqa: BLE001 - whatever a network can do; it is tried again for ever
                if self._connected:
                    pause = BACKOFF_MIN
                self._note(error)
                await asyncio.sleep(pause)
                pause = min(2 * pause, BACKOFF_MAX)
            finally:
                self._connected = False
                await self._close()
            self.retries += 1

    async def reached(self, seq: int) -> None:
        """Wait until the target has row `seq`."""
        while self.settled_seq < seq:  # noqa: ASYNC110 - for stops and tests
            await asyncio.sleep(0.005)

    async def finish(self, seconds: float) -> None:
        """Give it some time to publish what was applied, if the target is there."""
        waited = 0.0

        def rest() -> int:
            return self.backlog.seq - (self.seq if self.target.drains else self.settled_seq)

        while self._connected and not self.ailing and rest() > 0 and waited < seconds:
            await asyncio.sleep(0.01)
            waited += 0.01

    # --- where to go on --------------------------------------------------------------------------

    async def _open(self) -> None:
        """Connect, and hold what the target says against the log."""
        mark = self._found = await self.target.open()
        if mark is None:
            self.mark = await self._beginning()
            return
        if mark.log_id != self._journal.log_id:
            raise EventsError(
                f"{self.name}: holds events of another log ({mark.log_id.hex()}, not {self._journal.log_id.hex()}): "
                "give it another place"
            )
        newest = mark.seq if mark.seq <= self.backlog.seq else (await self._journal.newest()).seq
        if mark.seq > newest:
            raise EventsError(
                f"{self.name}: is at row {mark.seq}, and the log ends at row {newest}: rows of the log were lost, or "
                "this is an old copy of it"
            )
        if mark.seq >= max(1, await self._journal.first()):
            async for row in self._journal.read(mark.seq, last=mark.seq):
                if row.hash != mark.hash:
                    raise EventsError(f"{self.name}: was told of another row {mark.seq} than the log has")
                self._time = row.time
        self.mark = mark

    async def _beginning(self) -> Mark | None:
        """Where to begin with an empty target."""
        if not self._from_now:
            return None
        if self._origin is None:
            head = await self._journal.newest()
            self._origin = Mark(self._journal.log_id, head.seq, head.hash)
        return self._origin

    async def _close(self) -> None:
        with contextlib.suppress(Exception):
            await self.target.close()

    # --- publishing ------------------------------------------------------------------------------

    async def _publish(self) -> None:
        """Publish while the target is there."""
        backlog = self.backlog
        if self._found is None and self.mark is not None:
            await self.target.publish(None, Chunk(self.mark, []))
            self._found = self.mark
        while True:
            _heed_cancelling()
            backlog.forget(self.seq)
            if not backlog.covers(self.seq + 1):
                if self.seq > backlog.seq:  # others were faster than this follower
                    await backlog.wait()
                    continue
                self.again_from = self.seq + 1
                self._log.info("events_again", kind=self.name, seq=self.seq, seq_last=backlog.seq)
                try:
                    async with contextlib.aclosing(self._again.rows(self.seq, backlog)) as rows:
                        async for some in rows:
                            await self._take(some)
                finally:
                    self.again_from = None
                continue
            rows_now = backlog.some(CHUNK_BYTES)
            if rows_now:
                await self._take(rows_now)
            else:
                await backlog.wait()

    async def _take(self, rows: Sequence[RowEvents]) -> None:
        """Publish the events of some rows, which must be the next ones."""
        assert rows[0].seq == self.seq + 1, f"row {rows[0].seq} behind row {self.seq}"
        for chunk in chunks(rows, self._journal.log_id, self.mark, self.target.events_max):
            await self.target.publish(self._found, chunk)
            _heed_cancelling()
            self._found = self.mark = chunk.mark
            self.published += len(chunk.events)
        self._time = rows[-1].time

    def _note(self, error: BaseException | None, *, halted: bool = False) -> None:
        trouble = None if error is None else f"{type(error).__name__}: {error}"
        if trouble != self.trouble:
            if error is not None:
                self._log.warning("events_wait", kind=self.name, seq=self.seq, **fault(error))
            else:
                self._log.info("events_go_on", kind=self.name, seq=self.seq)
            self.trouble = trouble
        self.halted = halted


def _heed_cancelling() -> None:
    """End a task that was cancelled while a client's library waited and kept it to itself (Python 3.11's wait_for)."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def chunks(rows: Sequence[RowEvents], log_id: bytes, mark: Mark | None, events_max: int) -> Iterable[Chunk]:
    """Cut rows into what a target takes at once; what it has of the first row is left out.

    A row is cut only when it alone is more than a chunk.
    """
    events: list[tuple[int, Event]] = []
    size = 0
    at = mark if mark is not None else Mark(log_id, rows[0].seq - 1, b"")
    for row in rows:
        part = at.part if row.seq == at.seq + 1 else 0
        if events and (len(events) + len(row.events) > events_max or size + row.bytes > CHUNK_BYTES):
            yield Chunk(at, events)
            events, size = [], 0
        for event in row.events[part:]:
            events.append((row.seq, event))
            size += len(event.data)
            if len(events) >= events_max and event.place + 1 < len(row.events):
                yield Chunk(Mark(log_id, at.seq, at.hash, event.place + 1), events)
                events, size = [], 0
        at = Mark(log_id, row.seq, row.hash)
    yield Chunk(at, events)
