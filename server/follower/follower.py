"""An engine that follows the log: it applies each row as soon as it is committed, in the event loop's thread.

A follower gives nothing back: the leader does not know of it, and waits for none. It can lag, it cannot disagree: rows
are verified and chained, digests in them are compared with the engine's, and at the first difference it stops.

Sinks make something of it (a projection into tables, events). They hear of each row once it has been applied, note
what they need of it, and do their work in a task of their own, so that no sink waits for another. Since everything
happens in one thread, whatever a sink reads of the engine between two awaits is the state after row `seq`.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from engine import Batch, Engine
from server.journal import Head, Journal, Row, Tail
from server.metrics import Metrics
from server.recovery import Recovered, apply_rows

TURN_SECONDS = 0.005
"""How long rows are applied in one turn of the event loop: reads of a replica wait for it."""


class Sink(Protocol):
    """Something that is made of the log."""

    name: str

    def applied(self, row: Row, batch: Batch | None) -> None:
        """Note a row that the engine has just applied; `batch` holds its answers, and is gone afterwards."""

    async def run(self) -> None:
        """Do the work, until it is cancelled. What it raises stops the follower."""


class Follower:
    """See the head of this file."""

    def __init__(
        self,
        journal: Journal,
        recovered: Recovered,
        metrics: Metrics,
        sinks: Sequence[Sink] = (),
        *,
        poll_max: float,
        on_turn: Callable[[], None] = lambda: None,
    ) -> None:
        """`recovered`: how far the engine has come. `poll_max`: seconds between two looks at an idle log, at most.

        `on_turn` is called when some rows have been applied.
        """
        known = Head(recovered.seq, recovered.log_hash, recovered.epoch, recovered.engine.last_timestamp)
        self.recovered = recovered
        self.tail: Tail = journal.tail(known, poll_max=poll_max)
        self.started = recovered.seq
        """Row behind which it began to follow."""
        self.row_time = recovered.engine.last_timestamp
        """Time of the newest row, nanoseconds since 1970 UTC by the leader's clock."""
        self.behind = 0.0
        """Seconds that the newest row was old when it was applied."""
        self._metrics = metrics
        self._on_turn = on_turn
        self._sinks = sinks
        self._batch = Batch()
        self._progress = asyncio.Event()

    @property
    def engine(self) -> Engine:
        """The state after row `seq`."""
        return self.recovered.engine

    @property
    def seq(self) -> int:
        """Newest row that was applied."""
        return self.recovered.seq

    @property
    def lag_seconds(self) -> float:
        """How old the newest row was when it was applied, or how long nobody has been able to look for newer ones."""
        return max(self.behind, self.silent_seconds)

    @property
    def silent_seconds(self) -> float:
        """Seconds since the log last answered, 0 while it does."""
        return time.monotonic() - self.tail.looked if self.tail.trouble is not None else 0.0

    async def run(self) -> None:
        """Follow until cancelled. Raises LogDamaged, LogLost, ReplayError or CapacityError."""
        while True:
            rows = await self.tail.rows()
            first = 0
            while first < len(rows):
                first = self.apply(rows, first)
                if first < len(rows):
                    await asyncio.sleep(0)

    def apply(self, rows: Sequence[Row], first: int = 0) -> int:
        """Apply rows for one turn of the loop; return the place of the first that is left."""
        until = time.perf_counter() + TURN_SECONDS
        sinks = self._sinks
        for place in range(first, len(rows)):
            row = rows[place]
            apply_rows(self.recovered, (row,), self._batch, self._applied if sinks else _nobody)
            if time.perf_counter() > until:
                break
        self.row_time = row.time
        self.behind = max(0.0, time.time() - row.time / 1e9)
        self._metrics.follow_lag_seconds.observe(self.behind)
        self._progress.set()
        self._progress = asyncio.Event()
        self._on_turn()
        return place + 1

    def _applied(self, row: Row, batch: Batch | None) -> None:
        for sink in self._sinks:
            sink.applied(row, batch)

    async def reached(self, seq: int) -> None:
        """Wait until row `seq` has been applied."""
        while self.seq < seq:
            await self._progress.wait()

    async def close(self) -> None:
        """End the session with the log; after `run` has ended."""
        await self.tail.close()


def _nobody(_: Row, __: Batch | None) -> None:
    pass
