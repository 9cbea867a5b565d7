"""Simulated rails as processes, and a client that signs."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from backoffice.rails.signing import Call, Keys, new_key_line, sign

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
