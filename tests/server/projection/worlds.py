"""Random worlds as logs: the generators of the engine's tests, their records as rows, and a log that is in memory."""

import os
from collections.abc import AsyncIterator
from hashlib import sha256
from random import Random

from engine import Batch, Engine, Limits, log_record
from engine.requests import clear
from engine.results import INT63_MAX
from server.journal import Head, Kind, Row
from server.journal.rows import NO_HASH, row_hash
from server.metrics import Metrics
from server.projection.sink import Projection
from server.recovery import Recovered, apply_rows
from tests.engine import batches, subjects, trading_subjects
from tests.engine import generator as ledger
from tests.engine import trading_generator as trading


def trading_records(seed: str, steps: int) -> tuple[list[bytes], Limits]:
    """The log of an exchange: orders of every kind, amends, trades, busts, days, holds."""
    random = Random(seed)
    habits = trading.Habits(random)
    plain, fast = trading_subjects.Plain(), trading_subjects.Fast()
    for step in trading.setup(random, habits):
        plain.apply(step)
        fast.apply(step)
    generator = trading.Generator(random, plain.model, habits)
    for _ in range(steps):
        step = generator.step()
        if step.items or step.method == "tick":
            plain.apply(step)
            fast.apply(step)
    return fast.engine.log, trading_subjects.LIMITS


def ledger_records(seed: str, batches: int) -> tuple[list[bytes], Limits]:
    """The log of a ledger: two-phase, linked, balancing, imported, closing transfers, and expiry."""
    random = Random(seed)
    plain, fast = subjects.Plain(), subjects.Fast()
    generator = ledger.Generator(random, plain)
    for _ in range(batches):
        batch = as_protocol(generator.batch())
        plain.apply(batch)
        fast.apply(batch)
    return fast.log, subjects.LIMITS


def as_protocol(batch: batches.Batch) -> batches.Batch:
    """Without what the protocol lets nobody ask for."""
    requests = []
    for request in batch.requests:
        items = request.items
        if request.method in {"create_accounts", "update_accounts"}:
            items = tuple(i for i in items if i.id <= INT63_MAX and (i.overdraft_limit or 0) <= INT63_MAX)
        if items:
            requests.append(request._replace(items=items))
    return batch._replace(requests=tuple(requests))


class Log:
    """A log in memory, as the projection reads it."""

    def __init__(self, records: list[bytes]) -> None:
        self.log_id = os.urandom(16)
        self.rows: list[Row] = []
        self.lowest = 0
        self._add(Kind.GENESIS, 0, 0, self.log_id)
        self._add(Kind.TAKEOVER, 1, 0, b"leader")
        batch = Batch()
        for payload in records:
            clear(batch)
            self._add(Kind.BATCH, 1, log_record.decode(payload, batch), payload)

    def _add(self, kind: int, epoch: int, time: int, payload: bytes) -> None:
        previous = self.rows[-1].hash if self.rows else NO_HASH
        checksum = sha256(payload).digest()
        seq = len(self.rows)
        row_is = row_hash(previous, seq, epoch, time, 1, kind, checksum, None)
        self.rows.append(Row(seq, epoch, time, 1, kind, previous, row_is, checksum, None, payload))

    async def first(self) -> int:
        return self.lowest

    async def newest(self) -> Head:
        row = self.rows[-1]
        return Head(row.seq, row.hash, row.epoch, row.time)

    async def read(
        self, first: int, *, last: int | None = None, previous_hash: bytes | None = None, epoch: int | None = None
    ) -> AsyncIterator[Row]:
        for row in self.rows[first : None if last is None else last + 1]:
            yield row


class World:
    """An engine behind a log in memory, and its projection, row by row as a test wants it."""

    def __init__(self, log: Log, limits: Limits, dsn: str) -> None:
        self.log = log
        self.limits = limits
        self.dsn = dsn
        self.batch = Batch()
        first = log.rows[0]
        self.recovered = Recovered(Engine(limits), 0, 0, first.hash, None)
        self.sink = self.make_sink()

    @property
    def engine(self) -> Engine:
        return self.recovered.engine

    def make_sink(self) -> Projection:
        row = self.log.rows[self.recovered.seq]
        return Projection(self.dsn, self.log, self.engine, Head(row.seq, row.hash, row.epoch, row.time), Metrics())

    def apply(self, count: int) -> bool:
        """Apply some rows; False when there are no more."""
        first = self.recovered.seq + 1
        rows = self.log.rows[first : first + count]
        apply_rows(self.recovered, rows, self.batch, self.sink.applied)
        return bool(rows)
