"""`python -m tests.chaos.failover --trials 100 --by kill`: how long clients are without service when the leader goes.

A leader and a standby in processes of their own over one PostgreSQL, and callers of the public client that send all the
while. Each trial ends the leader (kill -9; or SIGSTOP, continued when the other one leads; or `tongbao promote`), and
notes the longest time in which no caller got an answer. Then the one that ended is started again as the standby. Every
tenth trial, and in the end, all transfers that were acknowledged are looked up, and counted by a balance.
"""

import argparse
import contextlib
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from random import Random

from examples.local_server import free_port
from tests.chaos.load import Load
from tests.crash.findings import Findings
from tests.crash.processes import Cluster, ServerProcess, StuckError, external_cluster
from tests.crash.run import SETTINGS

HOWS = ("kill", "pause", "promote")
SECONDS = 60.0
AUDIT_EVERY = 10
GOAL_SECONDS = 2.0
"""99 of 100 failovers are to be shorter."""


class Pair:
    """Two servers, one of which leads."""

    def __init__(self, directory: Path, cluster: Cluster, lease_ms: int) -> None:
        self._cluster = cluster
        self.servers = [
            ServerProcess(
                directory,
                SETTINGS | {"snapshot_every_items": 100_000, "standby": "on", "name": name, "port": free_port(),
                            "lease_ms": lease_ms},
                cluster=cluster,
                name=name,
            )
            for name in ("one", "two")
        ]  # fmt: skip

    @property
    def ports(self) -> list[int]:
        return [int(str(server._settings["port"])) for server in self.servers]

    def end(self) -> None:
        for server in self.servers:
            server.end()

    def await_standby(self) -> None:
        """Return when somebody stands by."""
        query = "SELECT count(*) FROM tongbao.standby WHERE seen > clock_timestamp() - interval '1.2 s'"
        deadline = time.monotonic() + SECONDS
        while self._psql(query) != "1":
            if time.monotonic() > deadline:
                raise StuckError("nobody stands by")
            time.sleep(0.1)

    def _psql(self, query: str) -> str:
        import asyncio

        import asyncpg

        async def ask() -> object:
            connection = await asyncpg.connect(self._cluster.dsn)
            try:
                return await connection.fetchval(query)
            finally:
                await connection.close()

        return str(asyncio.run(ask()))

    def strike(self, old: ServerProcess, new: ServerProcess, how: str) -> None:
        """End the leader, and return when the other one leads."""
        if how == "kill":
            old.kill()
        elif how == "pause":
            old.signal(signal.SIGSTOP)
        else:
            name = "one" if new is self.servers[0] else "two"
            command = [sys.executable, "-m", "server.cli", "promote", name, "--database-url", self._cluster.dsn]
            subprocess.run(command, stdout=subprocess.DEVNULL, check=True, timeout=SECONDS)
        new.wait_ready()
        if how == "pause":
            old.signal(signal.SIGCONT)
        expected = {"kill": -9, "pause": 6, "promote": 0}[how]
        if (code := old.wait_end(SECONDS)) != expected:
            raise StuckError(f"the old leader ended with code {code}, not {expected}: {old.log_tail()}")


def trials(directory: Path, count: int, how: str, lease_ms: int, switch_s: float, seed: int) -> tuple[list[float], int]:
    """Return the times without service, in seconds, and how many transfers were acknowledged and found."""
    random = Random(f"failover:{seed}")
    findings = Findings()
    times: list[float] = []
    with contextlib.ExitStack() as stack:
        cluster = stack.enter_context(external_cluster(directory, None))
        pair = Pair(directory, cluster, lease_ms)
        stack.callback(pair.end)
        old, new = pair.servers
        old.start()
        old.wait_ready()
        new.start()
        load = Load(pair.ports, switch_s=switch_s)
        load.start()
        stack.callback(load.end)
        load.resume()
        for number in range(1, count + 1):
            pair.await_standby()
            time.sleep(random.uniform(0.2, 1.0))
            seen, struck = len(load.waits), time.monotonic()
            pair.strike(old, new, how)
            led = time.monotonic()
            while load.answered < led:
                time.sleep(0.002)
                if time.monotonic() > led + SECONDS:
                    raise StuckError("no caller has got an answer of the new leader")
            times.append(max((length for at, length in load.waits[seen:] if at > struck), default=0.0))
            old.start()
            old, new = new, old
            if number % AUDIT_EVERY == 0 or number == count:
                load.pause(findings, lambda: None)
                load.audit(old.port, findings)
                if len(findings):
                    raise StuckError(findings.report())
                load.resume()
                print(f"{number} of {count}: {figures(times)}", file=sys.stderr, flush=True)
        return times, len(load.told)


def figures(times: list[float]) -> dict[str, float]:
    """Return percentiles, in seconds: the smallest time that so many of all are not above."""
    ordered = sorted(times)

    def at(part: float) -> float:
        return round(ordered[math.ceil(part * len(ordered)) - 1], 3)

    return {"p50": at(0.5), "p90": at(0.9), "p99": at(0.99), "max": round(ordered[-1], 3)}


def main() -> int:
    """Return 0 when the goal was met and nothing was lost."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.failover", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--trials", type=int, default=100, help="how many (100)")
    parser.add_argument("--by", choices=HOWS, default="kill", help="how the leader goes (kill)")
    parser.add_argument("--lease-ms", type=int, default=1_000, help="the servers' lease_ms (1000)")
    parser.add_argument("--switch-after", type=float, default=0.5, help="the clients' switch_after_s (0.5)")
    parser.add_argument("--seed", type=int, default=1, help="decides the moments (1)")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tongbao-failover-") as directory:
        times, found = trials(
            Path(directory), given.trials, given.by, given.lease_ms, given.switch_after, given.seed
        )  # fmt: skip
    told = {
        "by": given.by,
        "trials": len(times),
        **figures(times),
        "transfers": found,
        "load": round(os.getloadavg()[1], 1),
    }
    if given.json:
        print(json.dumps({**told, "times": [round(each, 3) for each in times]}))
    else:
        for name, value in told.items():
            print(f"  {name:<12} {value}")
    return 0 if told["p99"] < GOAL_SECONDS else 1


if __name__ == "__main__":
    sys.exit(main())
