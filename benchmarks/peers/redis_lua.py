"""A transfer as a script in Redis, with an append-only file that is on the disk before the answer.

The script checks the balance, moves it, and keeps the transfer in a stream. It takes no id from the client: a transfer
that is sent twice is made twice, which is to its advantage. redis-benchmark draws the accounts.
"""

import contextlib
import csv
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from benchmarks.peers.processes import cpu_seconds, family, memory_mib
from benchmarks.peers.result import Result
from benchmarks.serving import free_port

PROGRAMS = ("redis-server", "redis-benchmark")
ACCOUNTS = 10_000
BALANCE = 10**12
AMOUNT = 7
LOADS = ((1, 1), (32, 1), (16, 64))
"""Connections and requests in flight on each."""
START_SECONDS = 10.0
SCRIPT = """
local debit, credit, amount = KEYS[1], KEYS[2], tonumber(ARGV[1])
if debit == credit then return 0 end
local balance = tonumber(redis.call('GET', debit))
if not balance or redis.call('EXISTS', credit) == 0 then return redis.error_reply('NONE no such account') end
if balance < amount then return redis.error_reply('FUNDS the balance is too small') end
redis.call('DECRBY', debit, amount)
redis.call('INCRBY', credit, amount)
return redis.call('XADD', 'transfers', '*', 'debit', debit, 'credit', credit, 'amount', amount)
"""
_FILL = f"for i = 0, {ACCOUNTS - 1} do redis.call('SET', string.format('a:%012d', i), '{BALANCE}') end"
_GAINED = (
    f"local gained = 0 for i = 0, {ACCOUNTS - 1} do "
    f"gained = gained + tonumber(redis.call('GET', string.format('a:%012d', i))) - {BALANCE} end return gained"
)


class Connection:
    """A client with one command at a time, in Redis' own protocol (RESP2)."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), START_SECONDS)
        self._stream: BinaryIO = self._socket.makefile("rwb")  # type: ignore[assignment]

    def call(self, *arguments: str | int) -> str:
        """Send a command; return a simple or a bulk answer, or an array's last element."""
        parts = [str(each).encode() for each in arguments]
        self._stream.write(b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(p), p) for p in parts))
        self._stream.flush()
        return self._answer()

    def _answer(self) -> str:
        line = self._stream.readline().decode().rstrip()
        kind, rest = line[:1], line[1:]
        if kind == "-":
            raise RuntimeError(f"redis: {rest}")
        if kind == "$" and rest != "-1":
            return self._stream.read(int(rest) + 2)[:-2].decode()
        if kind == "*":
            return [self._answer() for _ in range(int(rest))][-1]
        return rest

    def close(self) -> None:
        """End it."""
        self._stream.close()
        self._socket.close()


def missing() -> str:
    """Say which program is not installed, or nothing."""
    return next((f"{name} is not installed" for name in PROGRAMS if shutil.which(name) is None), "")


def results(directory: Path, seconds: float) -> Iterator[Result]:
    """Measure it with each load, for about so many seconds."""
    port = free_port()
    process = subprocess.Popen(
        ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "yes",
         "--appendfsync", "always", "--dir", str(directory)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        with contextlib.closing(_connected(process, port)) as client:
            version = next(line for line in client.call("INFO", "server").splitlines() if "redis_version" in line)
            client.call("EVAL", _FILL, 0)
            script = client.call("SCRIPT", "LOAD", SCRIPT)
            if client.call("CONFIG", "GET", "appendfsync") != "always":
                raise AssertionError("redis: appendfsync is not always")
            for connections, depth in LOADS:
                _run(port, script, connections, depth, 100 * connections * depth)  # warm, and how fast it is
                began = time.monotonic()
                _run(port, script, connections, depth, 100 * connections * depth)
                guess = 100 * connections * depth / (time.monotonic() - began)
                count = max(1_000, int(guess * seconds))
                before, kept = cpu_seconds(family(process.pid)), int(client.call("XLEN", "transfers"))
                row = _run(port, script, connections, depth, count)
                pids = family(process.pid)
                done = int(client.call("XLEN", "transfers")) - kept
                # Pairs of one account with itself are refused, one in 10,000.
                if not 0.998 * count <= done <= count + connections * depth:
                    raise AssertionError(f"redis: {done} transfers were kept of {count}")
                yield Result(
                    "transfers",
                    "Redis, Lua script",
                    f"redis-benchmark, {connections} × {depth}",
                    float(row["rps"]),
                    1e3 * float(row["p50_latency_ms"]),
                    1e3 * float(row["p99_latency_ms"]),
                    1e6 * (cpu_seconds(pids) - before) / count,
                    memory_mib(pids),
                    "appendfsync always",
                    version.partition(":")[2],
                )
            if client.call("EVAL", _GAINED, 0) != "0":
                raise AssertionError("redis: money was made or lost")
    finally:
        process.terminate()
        process.wait(START_SECONDS)


def _run(port: int, script: str, connections: int, depth: int, count: int) -> dict[str, str]:
    printed = subprocess.run(
        ["redis-benchmark", "-h", "127.0.0.1", "-p", str(port), "-c", str(connections), "-P", str(depth),
         "-n", str(count), "-r", str(ACCOUNTS), "--csv",
         "EVALSHA", script, "2", "a:__rand_int__", "a:__rand_int__", str(AMOUNT)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if printed.returncode:
        raise RuntimeError(f"redis-benchmark: {printed.stderr or printed.stdout}")
    return next(csv.DictReader(printed.stdout.splitlines()))


def _connected(process: "subprocess.Popen[bytes]", port: int) -> Connection:
    began = time.monotonic()
    while True:
        try:
            return Connection(port)
        except OSError:
            if process.poll() is not None or time.monotonic() - began > START_SECONDS:
                raise RuntimeError("redis-server did not start") from None
            time.sleep(0.01)
