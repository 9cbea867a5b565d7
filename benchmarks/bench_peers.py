"""Beside plain PostgreSQL: the same transfers as a stored procedure, and then through Tongbao, on the same settings.

Each round has its own fresh clusters, of the same PrivatePostgres (fsync and synchronous_commit on, the same size of
write-ahead log): first pgbench calls benchmarks/plain_postgres.sql, prepared, one transfer a commit, with 1, 8 and 32
clients; then the load generator sends single transfers to a server, 16 connections x 64 in flight. Both over 10,000
accounts, uniformly, and then with one account in every transfer. The figures "times" divide by pgbench's best number of
clients. pgbench stands on the same machine and goes over the unix socket; our generator goes over TCP.
"""

import asyncio
import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg
import numpy as np

from benchmarks.figures import Figure, main
from benchmarks.serving import Serving
from loadtest.generator import run
from loadtest.workload import AMOUNT_MAX, LEDGER, Spread, Workload
from server.journal import PrivatePostgres

ACCOUNTS = 10_000
CLIENTS = (1, 8, 32)
BALANCE = 10**12
"""Of each account at first: no transfer is refused."""
WAL_BYTES = 1 << 30
"""The server's default."""
WAL_BYTES_QUICK = 256 << 20
SCHEMA = Path(__file__).with_name("plain_postgres.sql")
SPREADS: tuple[tuple[Spread, str], ...] = (("uniform", ""), ("hot", ", hot account"))

SCRIPTS: dict[Spread, str] = {
    "uniform": f"""
\\set debit random(1, {ACCOUNTS})
\\set credit random(1, {ACCOUNTS - 1})
\\set credit :credit + CASE WHEN :credit >= :debit THEN 1 ELSE 0 END
""",
    "hot": f"""
\\set other random(2, {ACCOUNTS})
\\set pays random(0, 1)
\\set debit CASE WHEN :pays = 1 THEN 1 ELSE :other END
\\set credit CASE WHEN :pays = 1 THEN :other ELSE 1 END
""",
}


class Plain(NamedTuple):
    """What pgbench measured; latencies in milliseconds."""

    clients: int
    transfers_per_second: float
    p50: float
    p99: float


def measure(full: bool) -> Iterator[Figure]:
    """Yield the figures; with --full 10 seconds for each number of clients, and 20 for Tongbao."""
    wal_bytes = WAL_BYTES if full else WAL_BYTES_QUICK
    best: dict[Spread, Plain] = {}
    with tempfile.TemporaryDirectory() as directory:
        # One after the other, so that neither pays for what the other's database does behind its back.
        for spread, plain in _pgbench(Path(directory), wal_bytes, 10.0 if full else 1.0):
            name = f"peers/plain PostgreSQL{dict(SPREADS)[spread]}, {_clients(plain)}"
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
                    f"{ours:,.0f} and {peer.transfers_per_second:,.0f} transfers/s ({_clients(peer)})",
                )  # fmt: skip
        finally:
            server.discard()


def _pgbench(directory: Path, wal_bytes: int, seconds: float) -> Iterator[tuple[Spread, Plain]]:
    """Measure plain PostgreSQL: each spread on fresh tables, with each number of clients."""
    with asyncio.Runner() as runner:
        postgres = PrivatePostgres(directory, wal_size=wal_bytes)
        # pgbench blocks this thread and its loop: nobody would bring it back, so a dead one fails the run.
        runner.run(postgres.start(supervise=False))
        program = str(Path(postgres.psql[0]).with_name("pgbench"))
        try:
            for spread, _ in SPREADS:
                made = runner.run(_prepare(postgres.dsn))
                script = directory / f"{spread}.pgbench"
                script.write_text(
                    f"{SCRIPTS[spread]}\\set amount random(1, {AMOUNT_MAX})\n"
                    f"SELECT make_transfer({made}(), :debit, :credit, :amount);\n"
                )
                done = 0
                for clients in CLIENTS:
                    plain, count = _one(program, postgres.dsn, script, clients, seconds)
                    done += count
                    yield spread, plain
                runner.run(_audit(postgres.dsn, done))
        finally:
            runner.run(postgres.stop())


def _one(program: str, dsn: str, script: Path, clients: int, seconds: float) -> tuple[Plain, int]:
    """Run pgbench once; returns also how many transfers it made."""
    log = script.with_suffix(f".{clients}")
    printed = subprocess.run(
        [program, "--no-vacuum", "--protocol=prepared", f"--client={clients}", "--jobs=1", f"--time={seconds:.0f}",
         f"--file={script}", "--log", f"--log-prefix={log}", dsn],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    count = _number(r"transactions actually processed: (\d+)", printed)
    if _number(r"failed transactions: (\d+)", printed) or not count:
        raise RuntimeError(f"pgbench: {printed}")
    (entries,) = log.parent.glob(f"{log.name}.*")
    milliseconds = np.loadtxt(entries, usecols=2) / 1e3
    p50, p99 = np.percentile(milliseconds, (50, 99))
    return Plain(clients, _number(r"tps = ([\d.]+)", printed), float(p50), float(p99)), int(count)


def _clients(plain: Plain) -> str:
    return f"{plain.clients} client{'s' if plain.clients > 1 else ''}"


def _number(pattern: str, text: str) -> float:
    found = re.search(pattern, text)
    if found is None:
        raise RuntimeError(f"pgbench did not print {pattern!r}: {text}")
    return float(found[1])


async def _prepare(dsn: str) -> str:
    """Make the tables afresh with their accounts; returns the function that makes ids."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(SCHEMA.read_text())
        await connection.execute(
            f"INSERT INTO account SELECT number, {LEDGER}, {BALANCE} FROM generate_series(1, {ACCOUNTS}) AS number"
        )
        await connection.execute("VACUUM ANALYZE account")
        # Ids that grow with time, as the workload's do; PostgreSQL makes such from version 18 on.
        return "uuidv7" if connection.get_server_version().major >= 18 else "gen_random_uuid"
    finally:
        await connection.close()


async def _audit(dsn: str, done: int) -> None:
    """Compare the books with what pgbench said it did."""
    connection = await asyncpg.connect(dsn)
    try:
        kept = await connection.fetchval("SELECT count(*) FROM transfer")
        moved = await connection.fetchval("SELECT coalesce(sum(abs(balance - $1)), 0) FROM account", BALANCE)
        total = await connection.fetchval("SELECT sum(balance) FROM account")
        durable: dict[str, Any] = {
            name: await connection.fetchval("SELECT current_setting($1)", name)
            for name in ("fsync", "synchronous_commit", "full_page_writes")
        }
    finally:
        await connection.close()
    if kept != done or total != ACCOUNTS * BALANCE or not moved or set(durable.values()) != {"on"}:
        raise AssertionError(f"{kept} transfers of {done}, balances {total} in all, {durable}")


if __name__ == "__main__":
    main(__doc__, measure, rounds_full=3)
