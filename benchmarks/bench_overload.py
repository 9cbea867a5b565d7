"""Ten times the load: what is served, how long what the server has taken in waits, memory, and the second after.

The peak is the best of three closed loops, with 1,024, 2,048 and 4,096 requests in flight. Then ten times of it is
offered, in two ways: ten times as many requests in flight, and an open loop whose schedule asks for ten times the
peak's rate and does not wait for replies.
Server, PostgreSQL and load generator share the machine.

A server under pressure does not read sockets (decision 11): what it has no room for waits with its sender. So two
latencies are told: that of clients, which with an open loop grows for as long as the overload lasts (all that was asked
for is served in the end, and only then the loop is over), and that of what the server has taken in, from the turn in
which it was parsed to its commit (the server's own histograms).
"""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure, main
from benchmarks.histograms import Buckets, quantile, scrape
from benchmarks.serving import Serving
from loadtest.generator import run
from loadtest.loop import LoadError
from loadtest.workload import Workload

ACCOUNTS = 10_000
TIMES = 10
PEAKS = ((16, 64), (16, 128), (32, 128))
"""Connections and requests in flight on each."""
INSIDE = ("tongbao_queue_seconds", "tongbao_commit_seconds")
"""Waiting for its batch to close, and for its commit: all that a request spends in the server, but microseconds."""


def measure(full: bool) -> Iterator[Figure]:
    """Yield the figures; latencies in milliseconds."""
    seconds = 20.0 if full else 5.0
    with tempfile.TemporaryDirectory() as directory:
        # A snapshot would be due behind so many transfers; what it costs, bench_snapshot measures.
        server = Serving(Path(directory), snapshot_every_items=str(2**40))
        server.start()
        try:
            yield from _all(server, seconds)
        finally:
            server.stop()


def _all(server: Serving, seconds: float) -> Iterator[Figure]:
    found = []
    for seed, (connections, depth) in enumerate(PEAKS, start=1):
        result, inside = _load(server, seed, seconds, connections=connections, depth=depth)
        found.append((result["transfers_per_second"], connections, depth, result, inside))
        note = f"{result['transfers_per_second']:,.0f} transfers/s"
        yield Figure(f"overload/{connections} x {depth} p99 inside", inside, "ms", note)
    rate, connections, depth, peak, inside = max(found, key=lambda each: each[0])
    yield Figure("overload/peak", rate, "transfers/s", f"{connections} x {depth} in flight", peak)
    yield Figure("overload/peak p99", peak["latency_us"]["p99"] / 1e3, "ms", "of clients")
    yield Figure("overload/peak p99 inside", inside, "ms")
    loads: tuple[tuple[str, dict[str, Any]], ...] = (
        ("in flight", {"connections": TIMES * connections, "depth": depth}),
        ("offered", {"connections": 64, "rate": TIMES * rate, "tick": 0.001}),
    )
    for seed, (name, load) in enumerate(loads, start=1 + len(PEAKS)):
        before = server.resident_bytes()
        result, inside_now = _load(server, seed, seconds, **load)
        held = max(0, server.resident_bytes() - before) / result["transfers"]
        served = result["transfers_per_second"]
        busy = sum(result["errors"].values())
        note = f"{served:,.0f} transfers/s, {busy:,} answered busy"
        yield Figure(f"overload/{TIMES} x {name}, of the peak", served / rate, "", note, result)
        yield Figure(f"overload/{TIMES} x {name}, p99", result["latency_us"]["p99"] / 1e3, "ms", "of clients")
        yield Figure(
            f"overload/{TIMES} x {name}, p99 inside, of the peak's", inside_now / inside, "", f"{inside_now:.1f} ms"
        )
        yield Figure(f"overload/{TIMES} x {name}, memory", held, "bytes/transfer", "a transfer itself takes about 160")
    began = time.monotonic()
    for seed, name in ((9, "second after"), (10, "next second")):
        after, _ = _load(server, seed, 1.0, warm_up=0.0, connections=connections, depth=depth)
        note = f"ends {time.monotonic() - began:.1f} s after the overload"
        yield Figure(f"overload/{name}, of the peak", after["transfers_per_second"] / rate, "", note)


def _load(
    server: Serving, seed: int, seconds: float, *, warm_up: float = 1.0, **load: Any
) -> tuple[dict[str, Any], float]:
    """Run a load; return its result, and the p99 that requests spent inside the server, in milliseconds."""
    before = _look(server)
    workload = Workload(seed=seed, accounts=ACCOUNTS)
    result = run(workload, port=server.port, seconds=seconds, warm_up=warm_up, accounts=seed == 1, **load)
    if result["replies_wrong"] or result["requests_unexpected"]:
        raise LoadError(f"not every reply was as expected: {result['kept']}")
    return result, sum(quantile(*looks, 0.99) for looks in zip(before, _look(server), strict=True)) * 1e3


def _look(server: Serving) -> list[Buckets]:
    return [scrape(server.directory / "data", name) for name in INSIDE]


if __name__ == "__main__":
    main(__doc__, measure)
