"""The log alone: real payloads appended to a private PostgreSQL, row by row, and read back. No socket, no ledger.

Each row is a batch of single transfers, encoded and appended as the server does it: one at a time, each durable before
the next, on uvloop. A rate counts encoding and appending; p50 and p99 are of the append alone, which is what a reply
waits for. Reading back is what a restart does without its posting: rows fetched, their hash chain verified, batches
decoded.
"""

import asyncio
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, Self

import uvloop

from benchmarks.figures import Figure, main
from engine import Batch, log_record
from engine.requests import clear
from loadtest.histogram import Latencies
from loadtest.requests import Requests
from loadtest.workload import Workload
from server.batches import survey
from server.journal import Head, Journal, Kind, PrivatePostgres

BATCHES = (1, 100, 1_000, 8_190)
WARM_UP_ROWS = 20
BARRIERS = 2_000
WAL_BYTES = 1 << 30
"""The server's default."""
WAL_BYTES_QUICK = 256 << 20


class Appended(NamedTuple):
    """What was appended with one size of batch."""

    first: int
    """Seq of the first row."""
    head: Head
    rows: int
    transfers: int
    payload_bytes: int
    encode_seconds: float
    append_seconds: float
    latency: dict[str, float]
    """Of the appends, in microseconds."""


class Bench:
    """A journal on a PostgreSQL of its own, as its leader."""

    def __init__(self, postgres: PrivatePostgres, journal: Journal) -> None:
        """Use `open`."""
        self._postgres = postgres
        self._journal = journal
        self._batch = Batch()

    @classmethod
    async def open(cls, directory: Path, wal_bytes: int) -> Self:
        """Start PostgreSQL and take over its empty log."""
        postgres = PrivatePostgres(directory, wal_size=wal_bytes)
        await postgres.start()
        try:
            journal = await Journal.open(postgres.dsn, format=log_record.FORMAT)
            await journal.take_over()
        except BaseException:
            await postgres.stop()
            raise
        return cls(postgres, journal)

    async def close(self) -> None:
        """End both."""
        await self._journal.close()
        await self._postgres.stop()

    async def append(self, size: int, seconds: float) -> Appended:
        """Append batches of so many transfers for so long."""
        requests = Requests(Workload(seed=size))
        for number in range(WARM_UP_ROWS):
            await self._append(requests, number, size)
        first = self._journal.head.seq + 1
        latencies = Latencies()
        rows = payload_bytes = encoding = appending = 0
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            length, encoded, appended = await self._append(requests, WARM_UP_ROWS + rows, size)
            latencies.record(appended)
            payload_bytes += length
            encoding += encoded
            appending += appended
            rows += 1
        if self._journal.head.seq != first + rows - 1:
            raise AssertionError(f"the log ends at row {self._journal.head.seq} and not at {first + rows - 1}")
        return Appended(
            first, self._journal.head, rows, rows * size, payload_bytes, encoding / 1e9, appending / 1e9,
            latencies.summary(),
        )  # fmt: skip

    async def _append(self, requests: Requests, number: int, size: int) -> tuple[int, int, int]:
        """Append batch `number`; returns the payload's bytes and the nanoseconds of encoding and appending it."""
        # Making the commands is the generator's work, not the log's.
        clear(self._batch)
        requests.fill(self._batch, number * size, size)
        at = time.time_ns()
        start = time.perf_counter_ns()
        payload = log_record.encode(self._batch, at)
        encoded = time.perf_counter_ns()
        await self._journal.append(at, payload)
        return len(payload), encoded - start, time.perf_counter_ns() - encoded

    async def read(self, appended: Appended) -> float:
        """Read the rows of one size back and decode them; returns the seconds."""
        transfers = rows = 0
        row = None
        start = time.perf_counter()
        async for row in self._journal.read(appended.first, last=appended.head.seq):
            clear(self._batch)
            log_record.decode(row.payload, self._batch)
            transfers += survey(self._batch).items
            rows += row.kind == Kind.BATCH
        spent = time.perf_counter() - start
        # The reader checks that each hash covers payload and row before, so the last one speaks for all.
        if row is None or (rows, transfers, row.hash) != (appended.rows, appended.transfers, appended.head.hash):
            raise AssertionError(f"{rows} rows and {transfers} transfers were read back of {appended}")
        return spent

    async def barriers(self) -> dict[str, float]:
        """Latencies of the barrier, in microseconds, while nothing is appended."""
        latencies = Latencies()
        for _ in range(BARRIERS):
            start = time.perf_counter_ns()
            await self._journal.barrier()
            latencies.record(time.perf_counter_ns() - start)
        return latencies.summary()


def measure(full: bool) -> Iterator[Figure]:
    """Yield the figures; with --full 10 seconds for each size of batch and the server's size of PostgreSQL's log."""
    with (
        tempfile.TemporaryDirectory() as directory,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        bench = runner.run(Bench.open(Path(directory), WAL_BYTES if full else WAL_BYTES_QUICK))
        try:
            for size in BATCHES:
                appended = runner.run(bench.append(size, 10.0 if full else 1.0))
                yield from _figures(size, appended)
                seconds = runner.run(bench.read(appended))
                yield Figure(
                    f"journal/batches of {size:,}, read back", appended.transfers / seconds, "transfers/s",
                    f"{appended.rows / seconds:,.0f} rows/s; fetched, verified, decoded",
                )  # fmt: skip
            latency = runner.run(bench.barriers())
            yield Figure(
                "journal/barrier p50", latency["p50"], "µs", f"p99 {latency['p99']:,.0f} µs; nothing appended", latency
            )
        finally:
            runner.run(bench.close())


def _figures(size: int, appended: Appended) -> Iterator[Figure]:
    name = f"journal/batches of {size:,}"
    latency = appended.latency
    seconds = appended.encode_seconds + appended.append_seconds
    details: dict[str, Any] = appended._asdict() | {"head": appended.head.seq}
    yield Figure(
        name, appended.transfers / seconds, "transfers/s",
        f"{appended.rows / seconds:,.0f} rows/s, encoding {1e9 * appended.encode_seconds / appended.transfers:,.0f} ns "
        "a transfer",
        details,
    )  # fmt: skip
    yield Figure(f"{name}, commit p50", latency["p50"], "µs")
    yield Figure(f"{name}, commit p99", latency["p99"], "µs")
    yield Figure(
        f"{name}, payload",
        appended.payload_bytes / appended.transfers,
        "bytes",
        "a transfer, columns of the row not in it",
    )


if __name__ == "__main__":
    main(__doc__, measure)
