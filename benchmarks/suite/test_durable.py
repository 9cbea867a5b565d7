"""The log and the whole server, on wall time: what the disk does is in it, so these are shown and never judged."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.serving import Serving
from engine import Batch, log_record
from loadtest.generator import run
from loadtest.requests import Requests
from loadtest.workload import Workload
from server.journal import Journal, PrivatePostgres

pytestmark = pytest.mark.durable
WAL_BYTES = 256 << 20


@pytest.mark.parametrize("transfers", [1, 1_000])
def test_append(benchmark: Any, tmp_path: Path, transfers: int) -> None:
    """A row of so many transfers, encoded and appended."""
    batch = Batch()
    Requests(Workload(seed=3)).fill(batch, 0, transfers)
    benchmark.extra_info["messages"] = transfers
    with asyncio.Runner() as runner:
        postgres = PrivatePostgres(tmp_path, wal_size=WAL_BYTES)
        runner.run(postgres.start(supervise=False))
        try:
            journal = runner.run(Journal.open(postgres.dsn, format=log_record.FORMAT))
            runner.run(journal.take_over())

            async def append() -> None:
                time = journal.head.time + 1
                await journal.append(time, log_record.encode(batch, time), None)

            first = journal.head.seq
            benchmark.pedantic(lambda: runner.run(append()), rounds=300, warmup_rounds=20)
            assert journal.head.seq == first + 320
            runner.run(journal.close())
        finally:
            runner.run(postgres.stop())


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Serving]:
    """A server of its own."""
    serving = Serving(tmp_path, postgres_wal_bytes=str(WAL_BYTES))
    serving.start()
    yield serving
    serving.discard()


@pytest.mark.parametrize(("connections", "depth", "count"), [(1, 1, 500), (1, 64, 20_000), (16, 64, 200_000)])
def test_end_to_end(benchmark: Any, server: Serving, connections: int, depth: int, count: int) -> None:
    """Single transfers over TCP, each answered once it is durable."""
    seeds = iter(range(1, 100))

    def load() -> None:
        result = run(
            Workload(seed=next(seeds)), port=server.port, connections=connections, depth=depth, count=count,
            seconds=60.0, warm_up=0.0, accounts=False,
        )  # fmt: skip
        assert result["ok"], result

    run(Workload(seed=0), port=server.port, count=1_000, warm_up=0.0)
    benchmark.extra_info["messages"] = count
    benchmark.pedantic(load, rounds=5, warmup_rounds=1)
