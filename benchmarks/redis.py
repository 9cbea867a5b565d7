"""A Redis of our own for a while, as a peer: its server in memory alone, driven by its own benchmark. Not required."""

import csv
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.serving import cpu_seconds, free_port

START_SECONDS = 10.0
END_SECONDS = 10.0
KEYS = 10_000
"""As many as the loads have accounts."""


class Redis:
    """A running redis-server."""

    def __init__(self, port: int, pid: int, version: str) -> None:
        """Use `redis`."""
        self.port = port
        self.pid = pid
        self.version = version

    def set(self, requests: int, *, connections: int, depth: int) -> dict[str, Any]:
        """Send so many SET of 3 bytes, uniformly over the keys.

        Returns requests_per_second, p50 and p99 in milliseconds, server_ns_per_request.
        """
        before, calls = cpu_seconds(self.pid), self._calls()
        printed = subprocess.run(
            ["redis-benchmark", "-h", "127.0.0.1", "-p", str(self.port), "-t", "set", "-c", str(connections),
             "-P", str(depth), "-n", str(requests), "-r", str(KEYS), "--csv"],
            capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        spent = cpu_seconds(self.pid) - before
        row = next(csv.DictReader(printed.splitlines()))
        # Its last requests may be more than were asked for: pipelines are sent in full.
        done = self._calls() - calls
        keys = int(self._ask("DBSIZE")[1:])
        if done < requests or not KEYS // 2 < keys <= KEYS:
            raise AssertionError(f"redis-benchmark did {done} SET of {requests} with {keys} keys of {KEYS}")
        return {
            "requests_per_second": float(row["rps"]),
            "p50": float(row["p50_latency_ms"]),
            "p99": float(row["p99_latency_ms"]),
            "server_ns_per_request": 1e9 * spent / done,
        }

    def _calls(self) -> int:
        """How many SET were executed without an error so far."""
        for line in self._ask("INFO commandstats").splitlines():
            if line.startswith("cmdstat_set:"):
                facts = dict(fact.split("=") for fact in line.partition(":")[2].split(","))
                return int(facts["calls"]) - int(facts["failed_calls"]) - int(facts["rejected_calls"])
        return 0

    def _ask(self, command: str) -> str:
        return _ask(self.port, command)


def _ask(port: int, command: str) -> str:
    """The answer to an inline command: one line, or the text that its length announces."""
    with socket.create_connection(("127.0.0.1", port), END_SECONDS) as one, one.makefile("rwb") as stream:
        stream.write(command.encode() + b"\r\n")
        stream.flush()
        first: str = stream.readline().decode().rstrip()
        return stream.read(int(first[1:])).decode() if first.startswith("$") else first


@contextmanager
def redis(directory: Path) -> Iterator[Redis | None]:
    """Start one with nothing on disk, and end it; None where redis-server or redis-benchmark is not installed."""
    if shutil.which("redis-server") is None or shutil.which("redis-benchmark") is None:
        yield None
        return
    port = free_port()
    process = subprocess.Popen(
        ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
         "--dir", str(directory)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield Redis(port, process.pid, _version(process, port))
    finally:
        process.terminate()
        process.wait(END_SECONDS)


def _version(process: "subprocess.Popen[bytes]", port: int) -> str:
    """Wait until it answers, and say which Redis it is."""
    began = time.monotonic()
    while True:
        try:
            lines = _ask(port, "INFO server").splitlines()
            return next(line.partition(":")[2] for line in lines if line.startswith("redis_version:"))
        except OSError:
            if process.poll() is not None or time.monotonic() - began > START_SECONDS:
                raise RuntimeError("redis-server did not start") from None
            time.sleep(0.01)
