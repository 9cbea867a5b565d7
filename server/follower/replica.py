"""Reads over TCP from a follower: the server's own connections, parsers and replies, on an engine that only follows.

What a replica answers carries, as `seq`, the newest log entry that was applied when it was read. Writes are refused
with -32008, and nothing here writes, whatever time it is: pending transfers expire when the leader's log says so. A
request with a `min_seq` waits until that entry has been applied, and the requests behind it on its connection with it.
Subscriptions work as they do at the leader: each row is told as soon as it has been applied.
"""

import asyncio
import heapq
import itertools
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from engine import Batch, Engine
from server import batches
from server.batcher import Batcher, Flight
from server.feed import Feed
from server.journal import Row
from server.metrics import Metrics
from server.wire.methods import ErrorCode

if TYPE_CHECKING:
    from server.connection import Connection

NOT_LEADER = "not_leader: this is a follower, which only reads"


class _NoLog:
    """A log to which nothing is ever appended."""

    async def append(self, _: int, __: bytes, ___: bytes | None) -> int:
        raise AssertionError("a replica appends nothing")

    async def barrier(self) -> None:
        raise AssertionError("a replica asks nobody who leads")


class ReplicaBatcher(Batcher):
    """Batches of reads. It is told of rows by `Replica`, and never has one in flight between two turns of the loop."""

    def __init__(
        self,
        engine: Engine,
        metrics: Metrics,
        *,
        seq: int,
        items_batch_max: int,
        wait_seconds: float,
        on_fatal: Callable[[BaseException], None],
        feed: Feed,
    ) -> None:
        """`wait_seconds`: how long a request may wait for its `min_seq`."""
        super().__init__(
            engine,
            _NoLog(),
            metrics,
            seq=seq,
            items_batch_max=items_batch_max,
            queue_delay_seconds=3_600.0,
            digest_every=1,
            on_fatal=on_fatal,
            feed=feed,
        )
        self.waits = True
        self.scarce = False
        self._wait_seconds = wait_seconds
        self._behind: list[tuple[int, int, float, Connection]] = []
        """Heap of the entry that is waited for, a number, until when, and who waits."""
        self._numbers = itertools.count()
        self._empty = Batch()

    def cancel_session(self, session: int) -> None:
        """Nobody has orders here."""

    def look(self) -> None:
        """Nothing is due here by time."""

    def wait_for(self, seq: int, connection: "Connection") -> None:
        """Let a connection go on when log entry `seq` has been applied, or with an error after a while."""
        place = (seq, next(self._numbers), self._loop.time() + self._wait_seconds, connection)
        heapq.heappush(self._behind, place)
        self._loop.call_later(self._wait_seconds, self._give_up, place)

    def _give_up(self, place: tuple[int, int, float, "Connection"]) -> None:
        if place in self._behind:
            self._behind.remove(place)
            heapq.heapify(self._behind)
            place[3].go_on(behind=True)

    def moved(self, row: Row, batch: Batch | None) -> None:
        """Tell subscribers of a row that has just been applied."""
        self.position.seq = row.seq
        if self._feed is not None and self._feed.active:
            self._feed.publish(self._empty if batch is None else batch, row.seq, logged=batch is not None)

    def turn(self) -> None:
        """Let those go on whose entry has come; between two turns of applying."""
        behind, seq = self._behind, self.seq
        while behind and behind[0][0] <= seq:
            heapq.heappop(behind)[3].go_on(behind=False)

    def _close(self, *, apply_now: bool = True) -> None:
        """Execute what is open, in a turn of its own: whoever called may still have to write replies."""
        del apply_now
        if self._flight is not None or self._dead:
            return
        self.scheduled = False
        batch = self.open
        survey = batches.survey(batch)
        if not survey.requests:
            return
        if survey.writes:
            batches.refuse(batch, ErrorCode.NOT_LEADER, NOT_LEADER, writes_only=True)
            survey = batches.survey(batch)
        now = max(self._clock_ns(), self._engine.last_timestamp + 1)
        flight = Flight(batch, self.serial, survey, now, self.seq, time.monotonic(), late=self.late)
        flight.confirmed = True
        self._flight = flight
        self._open_next()
        self._metrics.queue_seconds.observe(flight.started - self._opened)
        self._loop.call_soon(self._apply)

    def _apply(self) -> None:
        if self._flight is not None:
            self._flight.seq = self.seq  # rows may have been applied since it was closed
        super()._apply()


class Replica:
    """The sink that keeps a `ReplicaBatcher` informed."""

    name = "replica"

    def __init__(self, batcher: ReplicaBatcher) -> None:
        self._batcher = batcher

    def applied(self, row: Row, batch: Batch | None) -> None:
        """Move on by one row."""
        self._batcher.moved(row, batch)

    async def run(self) -> None:
        """All the work is done by connections."""
        await asyncio.Event().wait()
