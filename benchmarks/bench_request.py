"""End to end: requests through a real server on its private PostgreSQL, each reply after its commit.

Server, PostgreSQL and load generator share the machine. Closed loops with 1, 64 and 1,024 requests in flight,
batches of 1,000 transfers, and open loops, whose schedule does not wait for replies: every 250 µs they send what has
become due, and latency counts from when it was due.

A round (`--rounds`; three with --full) is all of them, one after another, on a fresh ledger; so the rounds of one load
lie minutes apart and meet the same state, and a slow moment of the machine spoils one round of it and not the median.
"""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure, main
from benchmarks.serving import Serving
from loadtest.generator import run
from loadtest.workload import Workload

ACCOUNTS = 10_000


CLOSED: tuple[tuple[str, dict[str, Any]], ...] = (
    ("request/serial", {"connections": 1, "depth": 1}),
    ("request/4 x 1", {"connections": 4, "depth": 1}),
    ("request/1 x 64", {"connections": 1, "depth": 64}),
    ("request/64 x 1", {"connections": 64, "depth": 1}),
    ("request/16 x 64", {"connections": 16, "depth": 64}),
    ("request/64 x 16", {"connections": 64, "depth": 16}),
    ("request/batches of 1,000", {"connections": 4, "depth": 4, "items": 1_000}),
)
OPEN: tuple[tuple[str, dict[str, Any]], ...] = (
    ("request/open 100 k/s", {"connections": 4, "rate": 100_000.0, "tick": 0.00025}),
    ("request/open 300 k/s", {"connections": 4, "rate": 300_000.0, "tick": 0.00025}),
)
"""On a server of their own: behind the closed loops a snapshot would be due, which bench_snapshot measures."""
REST_SECONDS = 15.0
"""A first start writes the files of the write-ahead log, a gigabyte, and a disk may be busy with that for a while."""
SPINNING: tuple[tuple[str, dict[str, Any]], ...] = (
    ("request/serial, profile latency", {"connections": 1, "depth": 1}),
    ("request/4 x 1, profile latency", {"connections": 4, "depth": 1}),
)
SERVERS: tuple[tuple[dict[str, str], tuple[tuple[str, dict[str, Any]], ...]], ...] = (
    ({}, OPEN),
    ({}, CLOSED),
    ({"profile": "latency"}, SPINNING),
)


def measure(full: bool) -> Iterator[Figure]:
    """Yield the figures; latencies in milliseconds."""
    seconds = 20.0 if full else 4.0
    for settings, loads in SERVERS:
        with tempfile.TemporaryDirectory() as directory:
            server = Serving(Path(directory), **settings)
            server.start()
            if loads is OPEN:
                time.sleep(REST_SECONDS)
            try:
                for seed, (name, load) in enumerate(loads):
                    workload = Workload(seed=seed, accounts=ACCOUNTS)
                    result = run(workload, port=server.port, seconds=seconds, warm_up=1.0, **load)
                    if not result["ok"]:
                        raise RuntimeError(f"{name}: {result}")
                    yield from _figures(name, result)
            finally:
                server.stop()


def _figures(name: str, result: dict[str, Any]) -> Iterator[Figure]:
    latency = result["latency_us"]
    note = f"p50 {latency['p50'] / 1e3:.2f}, p99 {latency['p99'] / 1e3:.2f}, p99.9 {latency['p99_9'] / 1e3:.2f} ms"
    yield Figure(name, result["transfers_per_second"], "transfers/s", note, result)
    for quantile in ("p50", "p99"):
        yield Figure(f"{name} {quantile}", latency[quantile] / 1e3, "ms")


if __name__ == "__main__":
    main(__doc__, measure, rounds_full=3)
