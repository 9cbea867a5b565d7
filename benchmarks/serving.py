"""A real server in a process of its own, for benchmarks."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

START_SECONDS = 120.0


class Serving:
    """`tongbao serve --dev` in `directory`, with its private PostgreSQL."""

    def __init__(self, directory: Path, **settings: str) -> None:
        """`settings` are environment variables without their prefix, e.g. transfers_max="50000000"."""
        self.directory = directory
        self.port = _free_port()
        self._environment = os.environ | {f"TONGBAO_{name.upper()}": value for name, value in settings.items()}
        self._environment.pop("DATABASE_URL", None)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> float:
        """Start it; returns the seconds until it answered the first ping."""
        self.directory.mkdir(parents=True, exist_ok=True)
        began = time.monotonic()
        with (self.directory / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "server.cli", "serve", "--dev", "--data-dir", str(self.directory / "data"),
                 "--port", str(self.port), "--http-port", "0"],
                env=self._environment, stdout=log, stderr=log,
            )  # fmt: skip
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() - began > START_SECONDS:
                raise RuntimeError(f"the server did not start; see {self.directory / 'server.log'}")
            time.sleep(0.01)
        return time.monotonic() - began

    def stop(self) -> None:
        """End it in order."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it with kill -9; its PostgreSQL goes with it."""
        self._end(signal.SIGKILL)

    def resident_bytes(self) -> int:
        """Memory that the server's process holds."""
        assert self._process is not None
        pages = int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(60)
            self._process = None

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1) as one:
                one.sendall(b'{"id":1,"method":"ping"}\n')
                return "result" in json.loads(one.makefile().readline())
        except (OSError, ValueError):
            return False


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port
