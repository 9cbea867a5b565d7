"""`tongbao-office up`: a server and an office on one machine, with nothing else to set up."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import asyncpg
import uvicorn

from backoffice import demo as demonstration
from backoffice import parameters
from backoffice.api.app import create_app
from backoffice.context import SYSTEM, Context
from backoffice.database import Database
from backoffice.migration import migrate
from backoffice.privacy.keyring import new_master
from backoffice.settings import Settings

DATABASE = "office"
LOG = "server.log"
"""What the server writes, in the data directory."""
START_SECONDS = 180.0
"""The first start of a server makes its PostgreSQL and its log files."""


class UpError(Exception):
    """It cannot be started; the message says why. `code` is the exit code."""

    def __init__(self, words: str, code: int = 1) -> None:
        super().__init__(words)
        self.code = code


def up(data_dir: Path, *, host: str | None, port: int | None, demo: bool) -> int:
    """Run both until SIGTERM or Ctrl-C. A server that runs in the directory already is used, and left running."""
    data_dir.mkdir(parents=True, exist_ok=True)
    # uvicorn raises the signal again when it has stopped; the server is still to be ended then.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with engine(data_dir) as (process, where):
        try:
            return asyncio.run(_office(data_dir, where["port"], process, host=host, port=port, demo=demo))
        except KeyboardInterrupt:
            return 0


@contextmanager
def engine(data_dir: Path) -> Iterator[tuple[subprocess.Popen[bytes] | None, dict[str, Any]]]:
    """Start `tongbao serve --dev` unless one runs there; give it (None: it was there) and its ports."""
    where = _where(data_dir)
    if where is not None and _alive(where["pid"]):
        yield None, where
        return
    command = [sys.executable, "-m", "server.cli", "serve", "--dev", "--data-dir", str(data_dir)]
    # In a session of its own: Ctrl-C ends the office first, and then the server, in order.
    with (data_dir / LOG).open("ab") as log:
        process = subprocess.Popen(  # noqa: S603 - our own program
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    try:
        yield process, _wait(process, data_dir)
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()


def _where(data_dir: Path) -> dict[str, Any] | None:
    with contextlib.suppress(OSError, ValueError):
        found: dict[str, Any] = json.loads((data_dir / "server.json").read_text("utf-8"))
        return found
    return None


def running(data_dir: Path) -> bool:
    """Whether a server runs there."""
    where = _where(data_dir)
    return where is not None and _alive(where["pid"])


def _alive(pid: int) -> bool:
    try:
        return b"server" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def _wait(process: subprocess.Popen[bytes], data_dir: Path) -> dict[str, Any]:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        where = _where(data_dir)
        if where is not None and where["pid"] == process.pid:
            return where
        if process.poll() is not None:
            raise UpError(f"the server has not started:\n{_last_lines(data_dir)}", process.returncode)
        time.sleep(0.05)
    raise UpError(f"the server is not ready after {START_SECONDS:.0f} s")


def _last_lines(data_dir: Path, lines: int = 5) -> str:
    with contextlib.suppress(OSError):
        return "\n".join((data_dir / LOG).read_text("utf-8", "replace").splitlines()[-lines:])
    return ""


def private_dsn(data_dir: Path, database: str) -> str:
    """Address of a database in the private PostgreSQL of a server's data directory."""
    try:
        directory = Path((data_dir / "postgres" / "socket_directory").read_text("utf-8").strip())
        port = next(directory.glob(".s.PGSQL.[0-9]*[0-9]")).suffix[1:]
    except (OSError, StopIteration):
        raise UpError(
            f"{data_dir} has no private PostgreSQL; say OFFICE_DATABASE_URL, and see `tongbao-office serve`", 2
        ) from None
    return f"postgresql:///{database}?host={quote(str(directory))}&port={port}&user=tongbao"


async def prepare(data_dir: Path, dsn: str) -> str:
    """Make the database unless it is there, and bring its tables up; return its address."""
    if not dsn:
        dsn = private_dsn(data_dir, DATABASE)
        connection = await asyncpg.connect(private_dsn(data_dir, "tongbao"), timeout=10.0)
        try:
            if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", DATABASE):
                await connection.execute(f"CREATE DATABASE {DATABASE}")
        finally:
            await connection.close()
    await migrate(dsn)
    database = Database.open(dsn, pool_size=1)
    try:
        async with database.transaction() as connection:
            await parameters.seed(Context(connection, SYSTEM))
    finally:
        await database.close()
    return dsn


async def _office(
    data_dir: Path,
    engine_port: int,
    process: subprocess.Popen[bytes] | None,
    *,
    host: str | None,
    port: int | None,
    demo: bool,
) -> int:
    home = data_dir / "office"
    home.mkdir(mode=0o700, exist_ok=True)
    asked = Settings.read({"host": host, "port": port})
    dsn = await prepare(data_dir, asked.database_url)
    flags = {"host": host, "port": port, "database_url": dsn}
    if "OFFICE_ENGINE" not in os.environ:
        flags["engine"] = f"127.0.0.1:{engine_port}"
    if "OFFICE_MASTER_KEY_FILE" not in os.environ:
        key = home / "master-key"
        if not key.exists():
            new_master(key)
        flags["master_key_file"] = str(key)
    settings = Settings.read(flags)
    database = Database.open(settings.database_url, pool_size=settings.pool_size)
    app = create_app(database, settings)
    async with database.transaction() as connection:
        await app.state.office.keyring.prepare(connection)
    if demo:
        await demonstration.seed(app.state.office, home)
    config = uvicorn.Config(app, settings.host, settings.port, server_header=False, log_level="warning")
    server = uvicorn.Server(config)
    told = asyncio.create_task(_tell(server, home, engine_port, demo=demo))
    watch = asyncio.create_task(_watch(server, process)) if process is not None else None
    await server.serve()
    told.cancel()
    if watch is not None:
        watch.cancel()
    if process is not None and process.poll() is not None:
        raise UpError(
            f"the server has ended with exit code {process.returncode}:\n{_last_lines(data_dir)}",
            process.returncode or 1,
        )
    return 0


async def _tell(server: uvicorn.Server, home: Path, engine_port: int, *, demo: bool) -> None:
    """Say where everything is, once it is there, and note the office's port beside the server's."""
    while not server.started:  # noqa: ASYNC110 - uvicorn has nothing to wait for
        await asyncio.sleep(0.02)
    host, port = server.servers[0].sockets[0].getsockname()[:2]
    (home / "office.json").write_text(json.dumps({"pid": os.getpid(), "host": host, "port": port}), "utf-8")
    print(f"ledger   127.0.0.1:{engine_port}  (JSON over TCP; docs/PROTOCOL.md)")
    print(f"console  http://{host}:{port}/")
    print(f"API      http://{host}:{port}/api/v1/openapi.json")
    if demo:
        print(demonstration.words(home))
    sys.stdout.flush()


async def _watch(server: uvicorn.Server, process: subprocess.Popen[bytes]) -> None:
    while process.poll() is None:  # noqa: ASYNC110 - a child's end is no event here
        await asyncio.sleep(0.2)
    server.should_exit = True
