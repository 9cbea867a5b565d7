"""The whole path without the commit's wait: the real server behind real sockets, with a log that confirms at once.

What is left is what Tongbao itself does to a request: read, parse, batch, encode and hash the log's row, post, reply,
write. See benchmarks/unlogged_server.py for how the log is replaced, in that process only. The peer, in the same
round: Redis (in memory, nothing on disk) with SET of 3 bytes, where redis-server and redis-benchmark are installed.

Rates are of closed loops. Server CPU is user and system time of the server's process, less what it had used before the
measured requests, divided by how many they were.
"""

import asyncio
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg

from benchmarks.figures import Figure, main
from benchmarks.redis import redis
from benchmarks.serving import Serving
from loadtest.generator import run
from loadtest.workload import Workload
from server.journal.postgres import DATABASE, USER

ACCOUNTS = 10_000
WARM_UP_SECONDS = 0.5
LOADS = (("16 x 64", 16, 64), ("1 x 64", 1, 64), ("16 x 1", 16, 1))
"""Connections times requests in flight on each."""
REDIS_WARM_UP_REQUESTS = 200_000


def measure(full: bool) -> Iterator[Figure]:
    """Yield the figures; with --full 8 seconds a load."""
    seconds = 8.0 if full else 2.0
    with tempfile.TemporaryDirectory() as directory:
        # A snapshot is the business of another benchmark; PostgreSQL has nothing to write.
        server = Serving(
            Path(directory),
            module="benchmarks.unlogged_server",
            snapshot_every_items=str(2**40),
            postgres_wal_bytes=str(64 << 20),
        )
        ours = 0.0
        server.start()
        try:
            first = _rows(server)
            for seed, (name, connections, depth) in enumerate(LOADS):
                result = _run(server, seed, connections, depth, seconds)
                ours = ours or result["requests_per_second"]
                yield from _figures(name, result)
            if asyncio.run(_kept(Path(directory))) != first:
                raise RuntimeError("the log was to be replaced, and rows went to PostgreSQL")
        finally:
            server.discard()  # a last snapshot would belong to no log
        with redis(Path(directory)) as peer:
            if peer is None:
                print("redis: skipped, redis-server or redis-benchmark is not installed", file=sys.stderr)
                return
            name, connections, depth = LOADS[0]
            warm = peer.set(REDIS_WARM_UP_REQUESTS, connections=connections, depth=depth)
            # It takes a number, not a time: one that lasts about as long as ours.
            count = int(seconds * warm["requests_per_second"])
            result = peer.set(count, connections=connections, depth=depth)
            theirs = result["requests_per_second"]
            yield Figure(
                f"path/Redis {peer.version} SET, {name}", theirs, "requests/s",
                f"p50 {result['p50']:.2f}, p99 {result['p99']:.2f} ms; its server "
                f"{result['server_ns_per_request']:,.0f} ns of CPU a request",
                result,
            )  # fmt: skip
            yield Figure("path/times Redis", ours / theirs, "×", f"{ours:,.0f} transfers/s and {theirs:,.0f} SET/s")


def _run(server: Serving, seed: int, connections: int, depth: int, seconds: float) -> dict[str, Any]:
    """Measure a load; its warm-up is a run of its own, so that the CPU time is that of the measured requests."""
    load: dict[str, Any] = {"port": server.port, "connections": connections, "depth": depth, "warm_up": 0.0}
    warm = run(Workload(seed=2 * seed, accounts=ACCOUNTS), seconds=WARM_UP_SECONDS, **load)
    rows, before = _rows(server), server.cpu_seconds()
    # Another seed: the connections of a closed loop get unequally far, so no number is known to be unused.
    result = run(Workload(seed=2 * seed + 1, accounts=ACCOUNTS), seconds=seconds, accounts=False, **load)
    spent, rows = server.cpu_seconds() - before, _rows(server) - rows
    if not (warm["ok"] and result["ok"]):
        raise RuntimeError(f"{connections} x {depth}: {warm}, {result}")
    done = result["requests_all"]
    return result | {"server_ns_per_request": 1e9 * spent / done, "requests_per_row": done / rows}


async def _kept(directory: Path) -> int:
    """Newest row that PostgreSQL has."""
    host = (directory / "data" / "postgres" / "socket_directory").read_text().strip()
    connection = await asyncpg.connect(host=host, user=USER, database=DATABASE)
    try:
        newest: int = await connection.fetchval("SELECT max(seq) FROM tongbao.log")
        return newest
    finally:
        await connection.close()


def _rows(server: Serving) -> int:
    """Newest row that the server believes in."""
    seq: int = server.ask("server_status")["log"]["seq"]
    return seq


def _figures(name: str, result: dict[str, Any]) -> Iterator[Figure]:
    latency = result["latency_us"]
    note = f"p50 {latency['p50'] / 1e3:.2f}, p99 {latency['p99'] / 1e3:.2f} ms"
    yield Figure(f"path/{name} without the commit", result["transfers_per_second"], "transfers/s", note, result)
    yield Figure(
        f"path/{name}, server CPU", result["server_ns_per_request"], "ns a message",
        f"{result['requests_per_row']:,.0f} messages a batch; generator {result['generator_ns_per_request']:,.0f} ns",
    )  # fmt: skip


if __name__ == "__main__":
    main(__doc__, measure, rounds_full=3)
