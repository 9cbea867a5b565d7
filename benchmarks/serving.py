"""A real server in a process of its own, for benchmarks."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from server.journal.cluster import Files

START_SECONDS = 120.0
ANSWER_SECONDS = 10.0
END_SECONDS = 60.0


class Serving:
    """`tongbao serve --dev` in `directory`, with its private PostgreSQL."""

    def __init__(self, directory: Path, *, module: str = "server.cli", **settings: str) -> None:
        """`settings` are environment variables without their prefix, e.g. transfers_max="50000000".

        `module` is what `python -m` starts: the product, or something of a benchmark that stands for it.
        """
        self.directory = directory
        self._module = module
        self.port = free_port()
        self._environment = os.environ | {f"TONGBAO_{name.upper()}": value for name, value in settings.items()}
        self._environment.pop("DATABASE_URL", None)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> float:
        """Start it; returns the seconds until it answered the first ping."""
        self.directory.mkdir(parents=True, exist_ok=True)
        began = time.monotonic()
        with (self.directory / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", self._module, "serve", "--dev", "--data-dir", str(self.directory / "data"),
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

    def discard(self) -> None:
        """End it with kill -9 and wait for its PostgreSQL too: nothing writes into the directory any more."""
        self.kill()
        files = Files(self.directory / "data" / "postgres")
        began = time.monotonic()
        while files.processes():
            if time.monotonic() - began > END_SECONDS:
                raise RuntimeError("the server's PostgreSQL does not end")
            time.sleep(0.01)

    @property
    def pid(self) -> int:
        """The server's process."""
        assert self._process is not None
        return self._process.pid

    def resident_bytes(self) -> int:
        """Memory that the server's process holds."""
        assert self._process is not None
        pages = int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def cpu_seconds(self) -> float:
        """User and system time that the server's process has used, in steps of 10 ms; PostgreSQL's is not in it."""
        assert self._process is not None
        return cpu_seconds(self._process.pid)

    def ask(self, method: str) -> dict[str, Any]:
        """Call a method without parameters on a connection of its own; returns its result."""
        with socket.create_connection(("127.0.0.1", self.port), ANSWER_SECONDS) as one:
            one.sendall(json.dumps({"id": 1, "method": method}).encode() + b"\n")
            result: dict[str, Any] = json.loads(one.makefile().readline())["result"]
            return result

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(END_SECONDS)
            self._process = None

    def _answers(self) -> bool:
        try:
            self.ask("ping")
        except (OSError, ValueError, KeyError):
            return False
        return True


def cpu_seconds(pid: int) -> float:
    """User and system time that a process has used, in steps of 10 ms."""
    # The program's name, in brackets, may hold blanks; behind it utime and stime are the 12th and 13th field.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def free_port() -> int:
    """A TCP port of the loopback that nobody listens on just now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port
