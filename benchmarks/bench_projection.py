"""How many rows a second the projection writes into a PostgreSQL of its own, whose commits are durable.

- behind: a projection that comes back after a while: the whole backlog in one transaction
- live: rows of the log as they come, applied by an engine in the same loop, several to a transaction
- rebuild: everything from an engine that stands still

A row is a row of a table, new or changed: a transfer with its accounts is one row and what its accounts' rows cost.
Ids of transfers are random, which is the worst for their index, unless it says "ordered".
"""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import uvloop

from benchmarks.figures import Figure, main
from engine import ACCOUNT_COMMAND, TRANSFER_COMMAND, Batch, Engine, Limits, requests
from server.journal import Head, Kind, PrivatePostgres, Row
from server.metrics import Metrics
from server.projection.changes import NOTHING, Changes
from server.projection.columns import Columns
from server.projection.database import Tables
from server.projection.migration import migrate
from server.projection.sink import Projection

ACCOUNTS = 100_000
START = 1_790_000_000_000_000_000
LOG_ID = bytes(range(16))


class Ledger:
    """An engine with accounts, and rows of the log for transfers between them."""

    def __init__(self, *, ordered: bool) -> None:
        self.engine = Engine(Limits(accounts_max=2**20, transfers_max=2**25, burnt_max=2**20, balances_max=2**20))
        self.random = np.random.default_rng(7)
        self.ordered = ordered
        self.batch = Batch()
        self.seq = 0
        commands = np.zeros(ACCOUNTS, dtype=ACCOUNT_COMMAND)
        commands["id"], commands["ledger"], commands["code"] = np.arange(1, ACCOUNTS + 1), 156, 1
        self.row(lambda: requests.append_accounts(self.batch, commands))

    def row(self, fill: Any) -> Row:
        """Apply a batch, and make the row that would be in the log."""
        requests.clear(self.batch)
        fill()
        self.seq += 1
        at = max(START + self.seq * 1_000_000, self.engine.last_timestamp + 1)
        self.engine.apply(self.batch, at)
        hashed = self.seq.to_bytes(32, "big")
        return Row(self.seq, 1, at, 1, Kind.BATCH, bytes(32), hashed, bytes(32), None, b"")

    def transfers(self, count: int) -> Row:
        """A row of so many transfers."""
        commands = np.zeros(count, dtype=TRANSFER_COMMAND)
        first = self.engine.transfers + 1
        numbers = np.arange(first, first + count, dtype=np.uint64)
        scattered = self.random.integers(1, 2**63, count, dtype=np.uint64)
        commands["id_hi"], commands["id_lo"] = (numbers, scattered) if self.ordered else (scattered, numbers)
        accounts = self.random.integers(1, ACCOUNTS, (2, count), dtype=np.uint64)
        commands["debit_account_id"] = accounts[0]
        commands["credit_account_id"] = np.where(accounts[1] == accounts[0], ACCOUNTS, accounts[1])
        commands["amount"], commands["ledger"], commands["code"] = self.random.integers(1, 10_000, count), 156, 10
        return self.row(lambda: requests.append_transfers(self.batch, commands))


class NoLog:
    """What the projection asks of a log of which everything was noted."""

    log_id = LOG_ID

    async def first(self) -> int:
        """Everything is there."""
        return 0

    async def newest(self) -> Head:
        """Nothing is behind it."""
        return Head(2**62, b"", 1, 0)

    async def read(self, *_: Any, **__: Any) -> AsyncIterator[Row]:
        """Give no row."""
        nobody: tuple[Row, ...] = ()
        for row in nobody:
            yield row


def projection(dsn: str, ledger: Ledger) -> Projection:
    """A sink behind the ledger."""
    head = Head(ledger.seq, ledger.seq.to_bytes(32, "big"), 1, ledger.engine.last_timestamp)
    return Projection(dsn, NoLog(), ledger.engine, head, Metrics())


async def fresh(postgres: PrivatePostgres, name: str) -> str:
    """A database with empty tables."""
    import asyncpg  # noqa: PLC0415

    connection = await asyncpg.connect(postgres.dsn)
    await connection.execute(f"CREATE DATABASE {name}")
    await connection.close()
    dsn = postgres.dsn.replace("/tongbao?", f"/{name}?", 1)
    await migrate(dsn)
    return dsn


async def behind(dsn: str, *, transfers: int, ordered: bool) -> float:
    """Rows a second of a backlog."""
    ledger = Ledger(ordered=ordered)
    sink = projection(dsn, ledger)
    running = asyncio.create_task(sink.run())
    await sink.reached(ledger.seq)
    before = sink.rows
    for _ in range(transfers // 8_000):
        sink.applied(ledger.transfers(8_000), ledger.batch)
    began = time.perf_counter()
    await sink.reached(ledger.seq)
    seconds = time.perf_counter() - began
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    return (sink.rows - before) / seconds


async def live(dsn: str, *, transfers: int, items: int) -> tuple[float, float]:
    """Rows a second of tables, and transfers, while an engine applies rows of the log in the same loop."""
    ledger = Ledger(ordered=False)
    sink = projection(dsn, ledger)
    running = asyncio.create_task(sink.run())
    await sink.reached(ledger.seq)
    before = sink.rows
    began = time.perf_counter()
    for _ in range(transfers // items):
        sink.applied(ledger.transfers(items), ledger.batch)
        # A follower gives way after some milliseconds; here it is held to what the tables take, a little ahead of them.
        if ledger.seq - sink.mark.seq > 200_000 // items:
            await sink.reached(ledger.seq - 100_000 // items)
        await asyncio.sleep(0)
    await sink.reached(ledger.seq)
    seconds = time.perf_counter() - began
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    return (sink.rows - before) / seconds, transfers / seconds


async def rebuilt(dsn: str, *, transfers: int) -> float:
    """Rows a second of a rebuild."""
    ledger = Ledger(ordered=False)
    for _ in range(transfers // 8_000):
        ledger.transfers(8_000)
    tables = await Tables.open(dsn)
    none: npt.NDArray[np.uint64] = np.zeros(0, dtype=np.uint64)
    began = time.perf_counter()
    work = Changes(ledger.engine, NOTHING, ledger.seq, b"x" * 32, none).capture(static=True)
    rows = await tables.replace(LOG_ID, work, _nothing())
    seconds = time.perf_counter() - began
    await tables.close()
    return rows / seconds


async def _nothing() -> AsyncIterator[tuple[Columns, int]]:
    nobody: tuple[tuple[Columns, int], ...] = ()
    for part in nobody:
        yield part


async def _measure(full: bool) -> list[Figure]:
    transfers = 2_000_000 if full else 400_000
    figures = []
    with tempfile.TemporaryDirectory() as directory:
        postgres = PrivatePostgres(Path(directory), wal_size=1 << 30 if full else 256 << 20)
        await postgres.start(supervise=False)
        try:
            for ordered in (False, True):
                dsn = await fresh(postgres, f"behind_{int(ordered)}")
                rate = await behind(dsn, transfers=transfers, ordered=ordered)
                name = "projection/behind" + (", ordered ids" if ordered else "")
                figures.append(Figure(name, rate, "rows/s", f"{transfers:,} transfers, {ACCOUNTS:,} accounts"))
            rate, single = await live(await fresh(postgres, "live"), transfers=transfers, items=1_000)
            figures.append(Figure("projection/live, 1,000 a row", rate, "rows/s", f"{single:,.0f} transfers/s"))
            rate, single = await live(await fresh(postgres, "live_64"), transfers=transfers // 4, items=64)
            figures.append(Figure("projection/live, 64 a row", rate, "rows/s", f"{single:,.0f} transfers/s"))
            rate = await rebuilt(await fresh(postgres, "rebuild"), transfers=transfers)
            figures.append(Figure("projection/rebuild", rate, "rows/s", f"{transfers:,} transfers"))
        finally:
            await postgres.stop()
    return figures


def measure(full: bool) -> Iterator[Figure]:
    """Yield the figures."""
    yield from uvloop.run(_measure(full))


if __name__ == "__main__":
    main(__doc__, measure)
