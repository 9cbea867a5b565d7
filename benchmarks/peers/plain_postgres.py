"""A transfer as PostgreSQL alone would keep it (benchmarks/plain_postgres.sql), under pgbench."""

import asyncio
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg
import numpy as np

from benchmarks.peers.processes import cpu_seconds, memory_mib
from benchmarks.peers.result import Result
from loadtest.workload import AMOUNT_MAX, LEDGER, Spread
from server.journal import PrivatePostgres
from server.journal.cluster import Files

ACCOUNTS = 10_000
CLIENTS = (1, 8, 32)
BALANCE = 10**12
"""Of each account at first: no transfer is refused."""
SCHEMA = Path(__file__).parents[1] / "plain_postgres.sql"
DURABLE = ("fsync", "synchronous_commit", "full_page_writes")
SPREADS: tuple[Spread, ...] = ("uniform", "hot")

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
    """What pgbench measured; latencies in milliseconds, CPU of the server per transfer and memory in µs and MiB."""

    clients: int
    transfers_per_second: float
    p50: float
    p99: float
    cpu: float
    memory: float


def clients(count: int) -> str:
    """So many clients, in words."""
    return f"{count} client{'s' if count > 1 else ''}"


def measure(directory: Path, wal_bytes: int, seconds: float) -> Iterator[tuple[Spread, Plain]]:
    """Measure it: each spread on fresh tables, with each number of clients."""
    with asyncio.Runner() as runner:
        postgres = PrivatePostgres(directory, wal_size=wal_bytes)
        # pgbench blocks this thread and its loop: nobody would bring it back, so a dead one fails the run.
        runner.run(postgres.start(supervise=False))
        program = str(Path(postgres.psql[0]).with_name("pgbench"))
        files = Files(directory / "postgres")
        try:
            for spread in SPREADS:
                made = runner.run(_prepare(postgres.dsn))
                script = directory / f"{spread}.pgbench"
                script.write_text(
                    f"{SCRIPTS[spread]}\\set amount random(1, {AMOUNT_MAX})\n"
                    f"SELECT make_transfer({made}(), :debit, :credit, :amount);\n"
                )
                done = 0
                for count in CLIENTS:
                    plain, transfers = _one(program, postgres.dsn, script, files=files, count=count, seconds=seconds)
                    done += transfers
                    yield spread, plain
                runner.run(_audit(postgres.dsn, done))
        finally:
            runner.run(postgres.stop())


def results(directory: Path, wal_bytes: int, seconds: float) -> Iterator[Result]:
    """Measure it; one row for each spread and number of clients."""
    for spread, plain in measure(directory, wal_bytes, seconds):
        yield Result(
            "transfers" if spread == "uniform" else "hot account",
            "PostgreSQL, stored procedure",
            f"pgbench, {clients(plain.clients)}, prepared, unix socket",
            plain.transfers_per_second,
            1e3 * plain.p50,
            1e3 * plain.p99,
            plain.cpu,
            plain.memory,
            "fsync before each answer",
        )


def _one(program: str, dsn: str, script: Path, *, files: Files, count: int, seconds: float) -> tuple[Plain, int]:
    """Run pgbench once; returns also how many transfers it made."""
    log = script.with_suffix(f".{count}")
    before = cpu_seconds(files.processes())
    printed = subprocess.run(
        [program, "--no-vacuum", "--protocol=prepared", f"--client={count}", "--jobs=1", f"--time={seconds:.0f}",
         f"--file={script}", "--log", f"--log-prefix={log}", dsn],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    pids = files.processes()
    spent, memory = cpu_seconds(pids) - before, memory_mib(pids)
    done = int(_number(r"transactions actually processed: (\d+)", printed))
    if _number(r"failed transactions: (\d+)", printed) or not done:
        raise RuntimeError(f"pgbench: {printed}")
    (entries,) = log.parent.glob(f"{log.name}.*")
    milliseconds = np.loadtxt(entries, usecols=2) / 1e3
    p50, p99 = np.percentile(milliseconds, (50, 99))
    speed = _number(r"tps = ([\d.]+)", printed)
    return Plain(count, speed, float(p50), float(p99), 1e6 * spent / done, memory), done


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
    await audit(dsn, done, "transfer", "account")


async def audit(dsn: str, done: int, transfers: str, accounts: str) -> None:
    """Compare books in PostgreSQL with the number of transfers that were confirmed; raise AssertionError."""
    connection = await asyncpg.connect(dsn)
    try:
        kept = await connection.fetchval(f"SELECT count(*) FROM {transfers}")
        moved = await connection.fetchval(f"SELECT coalesce(sum(abs(balance - $1)), 0) FROM {accounts}", BALANCE)
        total = await connection.fetchval(f"SELECT sum(balance) FROM {accounts}")
        durable: dict[str, Any] = {
            name: await connection.fetchval("SELECT current_setting($1)", name) for name in DURABLE
        }
    finally:
        await connection.close()
    if kept != done or total != ACCOUNTS * BALANCE or not moved or set(durable.values()) != {"on"}:
        raise AssertionError(f"{kept} transfers of {done}, balances {total} in all, {durable}")
