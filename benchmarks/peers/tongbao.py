"""Tongbao itself, in the loads that the peers have, and in those it is made for."""

from collections.abc import Iterator
from pathlib import Path

from benchmarks.peers.processes import cpu_seconds, family, memory_mib
from benchmarks.peers.result import Result
from benchmarks.serving import Serving
from loadtest.generator import run
from loadtest.workload import Spread, Workload
from server.journal.cluster import Files

ACCOUNTS = 10_000
LOADS: tuple[tuple[Spread, int, int, int], ...] = (
    ("uniform", 1, 1, 1),
    ("uniform", 32, 1, 1),
    ("uniform", 16, 64, 1),
    ("uniform", 4, 4, 1_000),
    ("hot", 32, 1, 1),
    ("hot", 16, 64, 1),
)
"""Whose money moves; connections; requests in flight on each; transfers in a request."""


def results(directory: Path, wal_bytes: int, seconds: float) -> Iterator[Result]:
    """Measure it with each load."""
    server = Serving(directory, postgres_wal_bytes=str(wal_bytes))
    server.start()
    files = Files(directory / "data" / "postgres")
    try:
        for seed, (spread, connections, depth, items) in enumerate(LOADS):
            before = cpu_seconds(_processes(server, files))
            result = run(
                Workload(seed=seed, accounts=ACCOUNTS, spread=spread), port=server.port, connections=connections,
                depth=depth, items=items, seconds=seconds + 1.0, warm_up=1.0,
            )  # fmt: skip
            pids = _processes(server, files)
            spent = cpu_seconds(pids) - before
            if not result["ok"]:
                raise RuntimeError(f"{spread}, {connections} x {depth}: {result}")
            latency = result["latency_us"]
            # The CPU time is of the warm-up, too, so it is divided by what both made.
            made = result["transfers_per_second"] * (seconds + 1.0)
            yield Result(
                "transfers" if spread == "uniform" else "hot account",
                "Tongbao",
                f"{connections} × {depth}" + (f", batches of {items:,}" if items > 1 else ""),
                result["transfers_per_second"],
                latency["p50"],
                latency["p99"],
                1e6 * spent / made,
                memory_mib(pids),
                "fsync before each answer",
                details=result,
            )
    finally:
        server.discard()


def _processes(server: Serving, files: Files) -> list[int]:
    return list({*family(server.pid), *files.processes()})
