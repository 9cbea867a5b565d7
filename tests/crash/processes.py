"""The processes of a run: the server, its PostgreSQL, an external PostgreSQL, the clients. Each can be killed.

Only processes that the run has started are ever signalled: a server by the number we got when we started it, its
PostgreSQL by the data directory that it works in.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tests.crash.channel import Channel

ROOT = Path(__file__).resolve().parents[2]
POLL_SECONDS = 0.005
READY_SECONDS = 60.0
"""A server that does not answer ping within so long after its start is stuck."""


class StuckError(Exception):
    """A process did not do in time what it must do."""


class Cluster:
    """A PostgreSQL cluster, seen from outside: its processes and its address."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.data = base / "data"

    @property
    def dsn(self) -> str:
        """Connection string of the cluster while it runs."""
        directory = (self.base / "socket_directory").read_text().strip()
        return f"postgresql:///tongbao?host={quote(directory)}&port=5432&user=tongbao"

    def processes(self) -> list[int]:
        """Return the numbers of all its processes, the postmaster first."""
        data = str(self.data.resolve())
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    program = (entry / "exe").readlink().name
                    if program.startswith("postgres") and str((entry / "cwd").readlink()) == data:
                        found.append(int(entry.name))
        postmaster = self.postmaster()
        return sorted(found, key=lambda pid: (pid != postmaster, pid))

    def postmaster(self) -> int:
        """Return the postmaster's number; 0 if there is none."""
        try:
            return int((self.data / "postmaster.pid").read_text().split("\n", 1)[0])
        except (OSError, ValueError):
            return 0

    def backends(self) -> list[int]:
        """Return the processes that serve the server's sessions."""
        found = []
        for pid in self.processes():
            with contextlib.suppress(OSError):
                title = Path(f"/proc/{pid}/cmdline").read_bytes()
                if b"postgres: tongbao tongbao" in title:
                    found.append(pid)
        return found


def send(pids: list[int], number: signal.Signals) -> bool:
    """Signal processes; return whether at least one was there."""
    there = False
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
            there = True
    return there


class ServerProcess:
    """One server with its data directory, started again and again."""

    def __init__(
        self,
        directory: Path,
        settings: Mapping[str, object],
        *,
        command: list[str] | None = None,
        cluster: Cluster | None = None,
        name: str = "server",
    ) -> None:
        """`cluster` is the external PostgreSQL, if there is one; `command` starts the server (without arguments)."""
        self.data_dir = directory / f"{name}-data"
        self.cluster = cluster or Cluster(self.data_dir / "postgres")
        self._external = cluster
        self._command = command or [sys.executable, "-m", "server"]
        self.log = directory / f"{name}.log"
        self._settings = dict(settings)
        self.port = 0
        self.starts = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        return self._process.pid if self._process is not None else 0

    @property
    def code(self) -> int | None:
        """Exit code; None while it runs."""
        return self._process.poll() if self._process is not None else 0

    def adopt(self, template: Path) -> None:
        """Start from a copy of the data directory of a server that was stopped in order: saves making a cluster."""
        copy_data(template, self.data_dir)

    def start(self) -> None:
        """Start the process; do not wait."""
        settings: dict[str, object] = {
            "dev": "on",
            "data_dir": self.data_dir,
            "port": 0,
            "http_port": 0,
            "profile": "small",
            **self._settings,
        }
        environment = {name: value for name, value in os.environ.items() if not name.startswith("TONGBAO_")}
        environment.pop("DATABASE_URL", None)
        if self._external is not None:
            environment["DATABASE_URL"] = self._external.dsn
        environment |= {f"TONGBAO_{name.upper()}": str(value) for name, value in settings.items()}
        self.starts += 1
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                self._command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )

    def wait_ready(self, seconds: float = READY_SECONDS) -> float:
        """Wait until ping answers; return how long that took. Raises StuckError."""
        began = time.monotonic()
        assert self._process is not None
        while time.monotonic() - began < seconds:
            if self._process.poll() is not None:
                raise StuckError(f"the server ended with code {self._process.returncode} while it started")
            with contextlib.suppress(OSError, ValueError, KeyError):
                where = json.loads((self.data_dir / "server.json").read_text())
                if where["pid"] == self._process.pid:
                    self.port = int(where["port"])
                    with Channel(self.port, seconds=seconds) as channel:
                        channel.call("ping")
                    return time.monotonic() - began
            time.sleep(POLL_SECONDS)
        raise StuckError(f"the server did not answer ping within {seconds:.0f} s")

    def kill(self) -> None:
        """Kill it with -9 and reap it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)

    def terminate(self, seconds: float = 45.0) -> int:
        """Stop it in order; return its exit code. Raises StuckError."""
        assert self._process is not None
        self._process.terminate()
        return self.wait_end(seconds)

    def wait_end(self, seconds: float) -> int:
        """Wait until it has ended; return its exit code. Raises StuckError."""
        assert self._process is not None
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise StuckError(f"the server has not ended within {seconds:.0f} s") from None

    def end(self) -> None:
        """Leave nothing of it behind, its private PostgreSQL included."""
        if self._process is not None and self._process.poll() is None:
            with contextlib.suppress(StuckError):
                self.signal(signal.SIGCONT)
                self.terminate(15.0)
            self.kill()
        if self._external is None:
            _end_all(self.cluster)

    def verify(self, seconds: float = 120.0) -> tuple[int, str]:
        """Run `tongbao verify` beside it; return the exit code and what it said."""
        command = [str(Path(sys.executable).with_name("tongbao")), "verify", "--data-dir", str(self.data_dir)]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("TONGBAO_")}
        environment.pop("DATABASE_URL", None)
        if self._external is not None:
            command += ["--database-url", self._external.dsn]
        try:
            done = subprocess.run(
                command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=seconds, check=False
            )
        except subprocess.TimeoutExpired:
            raise StuckError(f"tongbao verify has not ended within {seconds:.0f} s") from None
        return done.returncode, done.stdout + done.stderr

    def log_tail(self, lines: int = 15) -> str:
        """Return the newest lines of its log."""
        try:
            return "\n".join(self.log.read_text("utf-8", "replace").splitlines()[-lines:])
        except OSError:
            return ""


def copy_data(template: Path, directory: Path) -> None:
    """Copy a data directory that nobody uses."""
    shutil.copytree(template, directory)
    # Where the copy's socket is to be, it finds out for itself.
    (directory / "postgres" / "socket_directory").unlink()


def _end_all(cluster: Cluster) -> None:
    deadline = time.monotonic() + 10.0
    while processes := cluster.processes():
        if time.monotonic() > deadline:
            send(processes, signal.SIGKILL)
        time.sleep(0.02)


def status(port: int) -> dict[str, Any]:
    """Return the answer of the admin method `server_status`."""
    with Channel(port) as channel:
        result: dict[str, Any] = channel.call("server_status").result
        return result


@contextlib.contextmanager
def external_cluster(directory: Path, template: Path | None) -> Iterator[Cluster]:
    """Run a PostgreSQL of its own, to be used by several servers; it comes back by itself when it is killed."""
    cluster = Cluster(directory / "external" / "postgres")
    if template is not None:
        copy_data(template, directory / "external")
    with (directory / "external.log").open("ab") as output:
        keeper = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.database", str(directory / "external")],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=output,
        )
    try:
        assert keeper.stdout is not None
        if not keeper.stdout.readline():
            raise StuckError(f"the external PostgreSQL did not start; see {directory / 'external.log'}")
        yield cluster
    finally:
        keeper.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            keeper.wait(20)
        keeper.kill()
        keeper.wait()
        if keeper.stdout is not None:
            keeper.stdout.close()
        _end_all(cluster)


class Clients:
    """The client processes."""

    def __init__(self, directory: Path, numbers: list[int], seed: int, rate: float) -> None:
        self._directory = directory
        self._arguments = (str(seed), str(rate))
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self.log = directory / "clients.log"
        for number in numbers:
            self.start(number)

    def start(self, number: int) -> None:
        """Start a client, or its next incarnation."""
        with self.log.open("ab") as output:
            self._processes[number] = subprocess.Popen(
                [sys.executable, "-m", "tests.crash.client", str(self._directory), str(number), *self._arguments],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    def kill(self, number: int) -> None:
        """Kill a client with -9 and start its next incarnation."""
        self._processes[number].kill()
        self._processes[number].wait()
        self.start(number)

    def check(self) -> None:
        """Raise StuckError when a client has ended by itself."""
        for number, process in self._processes.items():
            if process.poll() is not None:
                said = self.log.read_text("utf-8", "replace")[-2000:]
                raise StuckError(f"client {number} ended with code {process.returncode}: {said}")

    def end(self) -> None:
        for process in self._processes.values():
            process.kill()
            process.wait()
