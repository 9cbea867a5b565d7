"""What the tests of a whole server share: one in this process or one of its own, and a client of plain lines."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Self

from server.journal import PrivatePostgres
from server.lifecycle import Server
from server.settings import Settings

SMALL = {
    "profile": "small",
    "accounts_max": 100_000,
    "transfers_max": 2_000_000,
    "burnt_max": 100_000,
    "balances_max": 1_000_000,
    "postgres_wal_bytes": 32 * 2**20,
    "disk_free_bytes_min": 0,
    "stop_seconds": 20,
}


def settings_for(data_dir: Path, **flags: Any) -> Settings:
    """Settings of a small server on free ports; a channels file makes it a server without --dev."""
    dev = {"dev": True} if flags.get("channels") is None else {}
    return Settings.from_environment(SMALL | dev | {"data_dir": data_dir, "port": 0, "http_port": 0} | flags, {})


@contextlib.asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Server]:
    """Run a server in this event loop."""
    server = Server(settings)
    try:
        await server.start()
        yield server
        if server.fatal is not None:
            raise server.fatal
    finally:
        await server.stop()


async def until(condition: Callable[[], object], seconds: float = 20) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)


class Client:
    """Lines of JSON over a socket."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self._id = 0

    @classmethod
    async def connect(cls, port: int, **options: Any) -> Self:
        return cls(*await asyncio.open_connection("127.0.0.1", port, limit=2**26, **options))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()

    def send(self, method: str, params: Any = None, **members: Any) -> int:
        """Send one request without waiting; return its id."""
        self._id += 1
        request = {"id": self._id, "method": method} | members
        if params is not None:
            request["params"] = params
        self.writer.write(json.dumps(request).encode() + b"\n")
        return self._id

    def send_line(self, line: bytes) -> None:
        self.writer.write(line + b"\n")

    async def receive(self) -> Any:
        """Return the next reply; None at the end of the stream."""
        async with asyncio.timeout(20):
            line = await self.reader.readline()
        return json.loads(line) if line else None

    async def ask(self, method: str, params: Any = None) -> Any:
        """Send one request and return its whole reply."""
        number = self.send(method, params)
        reply = await self.receive()
        assert reply is not None, f"the connection was closed instead of answering {method}"
        assert reply["id"] == number
        return reply

    async def result(self, method: str, params: Any = None) -> Any:
        reply = await self.ask(method, params)
        assert "result" in reply, reply
        return reply["result"]

    async def ended(self) -> bool:
        """Whether the server has closed the connection (what it still sent is thrown away)."""
        async with asyncio.timeout(20):
            try:
                while await self.reader.read(2**16):
                    pass
            except ConnectionResetError:
                pass
        return True


def accounts(ids: Iterable[int], **members: Any) -> list[dict[str, Any]]:
    return [{"id": number, "ledger": 156, "code": 2011} | members for number in ids]


def transfer(debit: int = 1, credit: int = 2, amount: int = 1, **members: Any) -> dict[str, Any]:
    return {
        "id": str(uuid.uuid4()),
        "debit_account_id": debit,
        "credit_account_id": credit,
        "amount": amount,
        "ledger": 156,
        "code": 10,
    } | members


def statuses(result: list[dict[str, Any]]) -> list[str]:
    return [item["status"] for item in result]


class ServerProcess:
    """A server in a process of its own, as an operator runs it."""

    def __init__(self, data_dir: Path, *, module: str = "server", **variables: object) -> None:
        """`module`: what is run, with its arguments."""
        self.module = module
        self.data_dir = data_dir
        self.log_path = data_dir.parent / "server.log"
        names = {
            f"TONGBAO_{name.upper()}": str(value)
            for name, value in (SMALL | {"port": 0, "http_port": 0, "data_dir": data_dir} | variables).items()
        }
        if "channels" not in variables:
            names["TONGBAO_DEV"] = "1"
        if database_url := names.pop("TONGBAO_DATABASE_URL", ""):
            names["DATABASE_URL"] = database_url
        outside = {name: text for name, text in os.environ.items() if name != "DATABASE_URL"}
        self.environment = outside | names
        self.process: subprocess.Popen[bytes] | None = None
        self.port = self.http_port = 0

    def start(self, *, wait: bool = True) -> Self:
        self.log_start = self.log_path.stat().st_size if self.log_path.exists() else 0
        (self.data_dir / "server.json").unlink(missing_ok=True)
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *self.module.split()],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self, seconds: float = 60) -> None:
        assert self.process is not None
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            with contextlib.suppress(FileNotFoundError):
                where = json.loads((self.data_dir / "server.json").read_text())
                if where["pid"] == self.process.pid:
                    self.port, self.http_port = where["port"], where["http_port"]
                    return
            assert self.process.poll() is None, self.log()
            time.sleep(0.01)
        raise AssertionError(f"not ready after {seconds} s: {self.log()}")

    def log(self) -> str:
        with self.log_path.open("rb") as file:
            file.seek(self.log_start)
            return file.read().decode()

    def events(self) -> list[dict[str, Any]]:
        """The log lines of this run."""
        return [json.loads(line) for line in self.log().splitlines() if line.startswith("{")]

    def event(self, name: str) -> dict[str, Any]:
        """The newest log line of an event."""
        found = [line for line in self.events() if line["event"] == name]
        assert found, f"no {name} in {self.log()}"
        return found[-1]

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def wait(self, seconds: float = 60) -> int:
        """Wait for the end; return the exit code."""
        assert self.process is not None
        return self.process.wait(seconds)

    def stop(self) -> int:
        self.signal(signal.SIGTERM)
        return self.wait()

    def kill(self) -> None:
        """Kill it as a power cut would: this process only; its PostgreSQL ends by itself."""
        self.signal(signal.SIGKILL)
        self.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class Lines:
    """A blocking client for processes: one request, one reply."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self.file = self.socket.makefile("rb")

    def ask(self, method: str, params: Any = None) -> Any:
        request: dict[str, Any] = {"id": 1, "method": method}
        if params is not None:
            request["params"] = params
        self.socket.sendall(json.dumps(request).encode() + b"\n")
        line = self.file.readline()
        return json.loads(line) if line else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()
        self.socket.close()


def backends(postgres: PrivatePostgres) -> list[int]:
    """Process ids of PostgreSQL's children."""
    top = postgres.pid
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                text = (entry / "stat").read_text()
                parent = int(text[text.rindex(")") + 2 :].split()[1])
                if parent == top:
                    found.append(int(entry.name))
    return found


@contextlib.contextmanager
def stalled(postgres: PrivatePostgres) -> Iterator[None]:
    """PostgreSQL's backends stand still inside the block, as on a disk that hangs."""
    stopped = backends(postgres)
    assert stopped
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
