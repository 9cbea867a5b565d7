"""Simulated rails, as processes and in the test's own loop, and a client that signs."""

import asyncio
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from backoffice.rails.planting import Plant
from backoffice.rails.process import Faults, Rail, Setup, create_app
from backoffice.rails.signing import Call, Keys, new_key_line, sign
from backoffice.rails.wire import RailKind

pytest.importorskip("fastapi")


class RailProcess:
    """A simulated rail as a program; it can be killed and started again at the same address."""

    def __init__(self, directory: Path, kind: str, **flags: Any) -> None:
        self.kind = kind
        self.directory = directory
        self.keys_path = directory / f"{kind}.keys"
        if not self.keys_path.exists():
            self.keys_path.write_text(new_key_line("k1"))
        self.flags = flags
        self.port = 0
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        command = [
            sys.executable, "-m", "backoffice.cli", "rail", "simulate", "--kind", self.kind, "--port", str(self.port),
            "--keys", str(self.keys_path), "--data", str(self.directory),
        ]  # fmt: skip
        for name, value in self.flags.items():
            for each in value if isinstance(value, list) else [value]:
                command += [f"--{name}", str(each)]
        with (self.directory / f"{self.kind}.log").open("a") as log:
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line.startswith("http://"), (self.directory / f"{self.kind}.log").read_text()
        self.port = int(line.rsplit(":", 1)[1])

    def kill(self) -> None:
        """kill -9."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            assert self.process.stdout is not None
            self.process.stdout.close()
            self.process = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask(self, method: str, path: str, body: bytes = b"", timeout: float = 20.0) -> httpx.Response:
        """Ask as the office would."""
        headers = sign(Keys.read(self.keys_path), Call(method, path, body), datetime.now(UTC))
        headers["content-type"] = "application/json"
        with httpx.Client(trust_env=False, timeout=timeout) as client:
            return client.request(method, self.url + path, content=body, headers=headers)

    def book(self) -> dict[str, Any]:
        response = self.ask("GET", "/book")
        assert response.status_code == 200
        found: dict[str, Any] = response.json()
        return found


@pytest.fixture
def rail_process(tmp_path: Path) -> Iterator[Any]:
    """Makes rails as processes; ends them with the test."""
    made: list[RailProcess] = []

    def make(kind: str, **flags: Any) -> RailProcess:
        made.append(RailProcess(tmp_path, kind, **flags))
        made[-1].start()
        return made[-1]

    yield make
    for process in made:
        process.kill()


class LocalRail(RailProcess):
    """The same rail, over HTTP all the same, in the loop of the test: it is there at once. `ask` it from a thread."""

    async def serve(self) -> None:
        flags = dict(self.flags)
        shares = {
            f"{name}_ppm": round(flags.pop(name, 0) * 1_000_000) for name in ("duplicates", "failures", "lost")
        }  # fmt: skip
        plants = tuple(Plant(each) for each in flags.pop("plant", ()))
        faults = Faults(flags.pop("delay", 0.02), hang_s=flags.pop("hang", 5.0), plants=plants, **shares)
        setup = Setup(
            RailKind(self.kind), flags.pop("callback", ""), Keys.read(self.keys_path), self.directory,
            flags.pop("seed", 1), faults=faults,
        )  # fmt: skip
        assert not flags
        self.rail = Rail(setup)
        self.socket = socket.socket()
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        config = uvicorn.Config(create_app(self.rail), lifespan="on", log_level="warning")
        self.server = uvicorn.Server(config)
        self.task = asyncio.create_task(self.server.serve(sockets=[self.socket]))

    async def end(self) -> None:
        self.server.should_exit = True
        await self.task
        self.socket.close()

    def book(self) -> dict[str, Any]:
        self.rail.machine.check_invariants()
        return {
            name: {"state": str(paid.payment.state), "captured_minor": paid.payment.captured_minor,
                   "refunded_minor": paid.payment.refunded_minor}
            for name, paid in self.rail.machine.book.items()
        }  # fmt: skip


@pytest.fixture
async def rail_here(tmp_path: Path) -> AsyncIterator[Any]:
    """Makes rails in this loop; ends them with the test."""
    made: list[LocalRail] = []

    async def make(kind: str, **flags: Any) -> LocalRail:
        rail = LocalRail(tmp_path, kind, **flags)
        await rail.serve()
        made.append(rail)
        return rail

    yield make
    for rail in made:
        await rail.end()
