"""FastAPI and SQLAlchemy in front of PostgreSQL (service.py), under wrk."""

import asyncio
import json
import os
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg

from benchmarks.peers.plain_postgres import ACCOUNTS, BALANCE, audit
from benchmarks.peers.processes import cpu_seconds, family, memory_mib
from benchmarks.peers.result import Result
from benchmarks.serving import free_port
from server.journal import PrivatePostgres
from server.journal.cluster import Files

HERE = Path(__file__).parent
CONNECTIONS = (1, 32)
WORKERS = 2
"""One for each core, as the handbooks say."""
START_SECONDS = 30.0
SETTLE_SECONDS = 0.3
TABLES = f"""
CREATE TABLE web_account (id bigint PRIMARY KEY, balance bigint NOT NULL) WITH (fillfactor = 50);
CREATE TABLE web_transfer (
    id uuid PRIMARY KEY, debit_account_id bigint NOT NULL, credit_account_id bigint NOT NULL, amount bigint NOT NULL,
    created timestamptz NOT NULL DEFAULT now()
);
INSERT INTO web_account SELECT number, {BALANCE} FROM generate_series(1, {ACCOUNTS}) AS number;
"""


def missing(python: Path) -> str:
    """Say what is not installed, or nothing."""
    if shutil.which("wrk") is None:
        return "wrk is not installed"
    found = subprocess.run([python, "-c", "import fastapi, uvicorn, sqlalchemy"], capture_output=True, check=False)
    return "" if found.returncode == 0 else "fastapi, uvicorn or sqlalchemy is not in the peers' environment"


def results(directory: Path, python: Path, wal_bytes: int, seconds: float) -> Iterator[Result]:
    """Measure it with each number of connections."""
    with asyncio.Runner() as runner:
        postgres = PrivatePostgres(directory, wal_size=wal_bytes)
        runner.run(postgres.start(supervise=False))
        files = Files(directory / "postgres")
        try:
            runner.run(_execute(postgres.dsn, TABLES))
            port = free_port()
            service = _serve(python, postgres.dsn, port)
            try:
                _wait(service, port)
                _wrk(port, CONNECTIONS[-1], 1.0)
                done = runner.run(_count(postgres.dsn))
                for connections in CONNECTIONS:
                    before = cpu_seconds(family(service.pid) + files.processes())
                    said = _wrk(port, connections, seconds)
                    pids = family(service.pid) + files.processes()
                    spent = cpu_seconds(pids) - before
                    if said["failed"]:
                        raise AssertionError(f"wrk: {said['failed']} requests failed")
                    kept = runner.run(_count(postgres.dsn))
                    # What was under way when wrk ended was made and not counted.
                    if not 0 <= kept - done - said["requests"] <= connections:
                        raise AssertionError(f"wrk counted {said['requests']} transfers, {kept - done} were made")
                    done = kept
                    yield Result(
                        "transfers",
                        "FastAPI + SQLAlchemy + PostgreSQL",
                        f"wrk, {connections} × 1, {WORKERS} uvicorn workers",
                        1e6 * said["requests"] / said["microseconds"],
                        said["p50"],
                        said["p99"],
                        1e6 * spent / said["requests"],
                        memory_mib(pids),
                        "fsync before each answer",
                    )
                runner.run(audit(postgres.dsn, done, "web_transfer", "web_account"))
            finally:
                service.terminate()
                service.wait(START_SECONDS)
        finally:
            runner.run(postgres.stop())


def _serve(python: Path, dsn: str, port: int) -> "subprocess.Popen[bytes]":
    url = "postgresql+asyncpg:" + dsn.partition(":")[2]
    return subprocess.Popen(
        [python, "-m", "uvicorn", "service:app", "--app-dir", str(HERE), "--port", str(port),
         "--workers", str(WORKERS), "--log-level", "warning", "--no-access-log"],
        env=os.environ | {"DATABASE_URL": url}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def _wait(service: "subprocess.Popen[bytes]", port: int) -> None:
    began = time.monotonic()
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
                return
        except OSError:
            if service.poll() is not None or time.monotonic() - began > START_SECONDS:
                raise RuntimeError("the web service did not start") from None
            time.sleep(0.05)


def _wrk(port: int, connections: int, seconds: float) -> dict[str, Any]:
    printed = subprocess.run(
        ["wrk", "--threads", "1", "--connections", str(connections), "--duration", f"{seconds:.0f}s",
         "--timeout", "30s", "--script", str(HERE / "service.lua"), f"http://127.0.0.1:{port}", "--", str(ACCOUNTS)],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    said: dict[str, Any] = json.loads(printed.splitlines()[-1])
    return said


async def _execute(dsn: str, statements: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(statements)
        await connection.execute("VACUUM ANALYZE web_account")
    finally:
        await connection.close()


async def _count(dsn: str) -> int:
    """Count the transfers, once those are through that were under way when wrk ended."""
    connection = await asyncpg.connect(dsn)
    try:
        count, before = 0, -1
        while count != before:
            await asyncio.sleep(SETTLE_SECONDS)
            count, before = await connection.fetchval("SELECT count(*) FROM web_transfer"), count
        return count
    finally:
        await connection.close()
