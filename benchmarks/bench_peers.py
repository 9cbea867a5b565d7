"""Beside plain PostgreSQL: the same transfers as a stored procedure, and then through Tongbao, on the same settings.

Each round has its own fresh clusters, of the same PrivatePostgres (fsync and synchronous_commit on, the same size of
write-ahead log): first pgbench calls benchmarks/plain_postgres.sql, prepared, one transfer a commit, with 1, 8 and 32
clients; then the load generator sends single transfers to a server, 16 connections x 64 in flight. Both over 10,000
accounts, uniformly, and then with one account in every transfer. The figures "times" divide by pgbench's best number of
clients. pgbench stands on the same machine and goes over the unix socket; our generator goes over TCP. All the other
peers: `python -m benchmarks.peers`.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.figures import Figure, main
from benchmarks.peers import plain_postgres
from benchmarks.peers.plain_postgres import ACCOUNTS, Plain, clients
from benchmarks.serving import Serving
from loadtest.generator import run
from loadtest.workload import Spread, Workload

WAL_BYTES = 1 << 30
"""The server's default."""
WAL_BYTES_QUICK = 256 << 20
SPREADS: tuple[tuple[Spread, str], ...] = (("uniform", ""), ("hot", ", hot account"))


def measure(full: bool) -> Iterator[Figure]:
    """Yield the figures; with --full 10 seconds for each number of clients, and 20 for Tongbao."""
    wal_bytes = WAL_BYTES if full else WAL_BYTES_QUICK
    best: dict[Spread, Plain] = {}
    with tempfile.TemporaryDirectory() as directory:
        # One after the other, so that neither pays for what the other's database does behind its back.
        for spread, plain in plain_postgres.measure(Path(directory), wal_bytes, 10.0 if full else 1.0):
            name = f"peers/plain PostgreSQL{dict(SPREADS)[spread]}, {clients(plain.clients)}"
            note = f"p50 {plain.p50:.2f}, p99 {plain.p99:.2f} ms"
            yield Figure(name, plain.transfers_per_second, "transfers/s", note, plain._asdict())
            if spread not in best or plain.transfers_per_second > best[spread].transfers_per_second:
                best[spread] = plain
    with tempfile.TemporaryDirectory() as directory:
        server = Serving(Path(directory), postgres_wal_bytes=str(wal_bytes))
        server.start()
        try:
            for seed, (spread, suffix) in enumerate(SPREADS):
                result = run(
                    Workload(seed=seed, accounts=ACCOUNTS, spread=spread), port=server.port, connections=16, depth=64,
                    seconds=20.0 if full else 3.0, warm_up=1.0,
                )  # fmt: skip
                if not result["ok"]:
                    raise RuntimeError(f"{spread}: {result}")
                latency = result["latency_us"]
                ours = result["transfers_per_second"]
                note = f"p50 {latency['p50'] / 1e3:.2f}, p99 {latency['p99'] / 1e3:.2f} ms"
                yield Figure(f"peers/Tongbao{suffix}, 16 x 64", ours, "transfers/s", note, result)
                peer = best[spread]
                yield Figure(
                    f"request/times plain PostgreSQL{suffix}", ours / peer.transfers_per_second, "×",
                    f"{ours:,.0f} and {peer.transfers_per_second:,.0f} transfers/s ({clients(peer.clients)})",
                )  # fmt: skip
        finally:
            server.discard()


if __name__ == "__main__":
    main(__doc__, measure, rounds_full=3)
