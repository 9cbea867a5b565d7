"""From one format of the log to the next without a pause: the order that works, and the one that must stop cleanly."""

import asyncio
import json
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Self

import asyncpg
import pytest

from engine import log_record
from examples.local_server import free_port
from server.client import Account, BlockingClient, Client, Status, Transfer, uuid7
from server.process import Exit
from tests.server.serving.harness import Lines, ServerProcess

OLDER = "tests.server.serving.older_server"
NEWER = "server"
INSTRUMENT = {
    "instrument": "600519",
    "base_ledger": 1_600_519,
    "quote_ledger": 156,
    "fee_account_id": 900,
    "tick_size": 1,
    "lot_size": 100,
}


class Machines:
    """Two servers and a follower of one log, each of this build or of an older one."""

    def __init__(self, directory: Path, database: str) -> None:
        self._directory = directory
        self._database = database
        self.all: list[ServerProcess] = []
        self.one = self._make("one", standby="1", name="one", lease_ms=500, port=free_port())
        # During an upgrade: write nothing newer than what is followed by older builds, if it need not be.
        self.two = self._make("two", standby="1", name="two", lease_ms=500, port=free_port(), row_format=1)
        self.follower = self._make("three", http_port=free_port())

    def _make(self, place: str, **variables: object) -> ServerProcess:
        (self._directory / place).mkdir()
        machine = ServerProcess(
            self._directory / place / "data",
            database_url=self._database,
            risk_cache=self._directory / "kernels",
            **variables,
        )
        self.all.append(machine)
        return machine

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for machine in self.all:
            machine.__exit__()

    def follow(self, build: str) -> None:
        self.follower.module = f"{OLDER} follow" + (" newer" if build == NEWER else "")
        self.follower.start(wait=False)

    @property
    def ports(self) -> list[int]:
        return [int(machine.environment["TONGBAO_PORT"]) for machine in (self.one, self.two)]

    def followed(self) -> int:
        """Entry up to which the follower has applied, 0 while it is not there."""
        url = f"http://127.0.0.1:{self.follower.environment['TONGBAO_HTTP_PORT']}/health/ready"
        try:
            with urllib.request.urlopen(url, timeout=2) as reply:
                return int(json.load(reply)["seq"])
        except (urllib.error.URLError, OSError, KeyError):
            return 0

    async def query(self, text: str) -> Any:
        connection = await asyncpg.connect(self._database)
        try:
            return await connection.fetchval(text)
        finally:
            await connection.close()

    def promote(self, name: str) -> dict[str, Any]:
        command = [sys.executable, "-m", "server.cli", "promote", name, "--database-url", self._database, "--json"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return dict(json.loads(done.stdout))


FORMATS = "SELECT array_agg(DISTINCT format ORDER BY format) FROM tongbao.log WHERE kind = 1"
LAST = "SELECT max(seq) FROM tongbao.log"


def open_accounts(port: int) -> None:
    with BlockingClient("127.0.0.1", port) as client:
        client.create_accounts([Account(1, 156, 1), Account(2, 156, 1), Account(900, 156, 1)])


def list_instrument(port: int) -> None:
    """What format 1 has no place for."""
    with Lines(port) as lines:
        reply = lines.ask("create_instruments", [INSTRUMENT])
        assert [item["status"] for item in reply["result"]] == ["created"], reply


async def load(ports: list[int], stop: asyncio.Event) -> int:
    """Send until told to stop; the caller sees no error, whoever leads."""
    async with Client("127.0.0.1", ports[0], others=[("127.0.0.1", ports[1])]) as client:
        count = 0
        while not stop.is_set():
            results = await client.create_transfers([Transfer(uuid7(), 1, 2, 1, 156, 1) for _ in range(20)])
            assert {result.status for result in results} <= {Status.CREATED, Status.EXISTS}
            count += 20
            await asyncio.sleep(0.002)
        return count


def posted(port: int) -> int:
    with BlockingClient("127.0.0.1", port) as client:
        [account] = client.lookup_accounts([1])
        assert account is not None
        return account.debits_posted


def test_followers_first_then_promote_then_the_old_leader(tmp_path: Path, database: str) -> None:
    """Under load; each transfer is there once, no caller sees an error, and nobody ever meets what it does not know."""

    async def play(machines: Machines) -> int:
        one, two, follower = machines.one, machines.two, machines.follower
        stop = asyncio.Event()
        loads = [asyncio.create_task(load(machines.ports, stop)) for _ in range(2)]
        # 1. The follower.
        assert await asyncio.to_thread(follower.stop) == Exit.STOPPED
        machines.follow(NEWER)
        # 2. The standby is of the newer build already: it leads.
        assert (await asyncio.to_thread(machines.promote, "two"))["leader"] == "two"
        assert await asyncio.to_thread(one.wait) == Exit.STOPPED
        await asyncio.to_thread(two.wait_ready)
        assert await machines.query(FORMATS) == [1], "a newer leader writes what an older one can read as such"
        # 3. The old leader's machine.
        one.module = NEWER
        one.start(wait=False)
        await asyncio.to_thread(list_instrument, two.port)
        assert await machines.query(FORMATS) == [1, 2]
        await asyncio.to_thread(until, lambda: "standing_by" in one.log())
        # And back, by an upgraded server that has applied what is new.
        assert (await asyncio.to_thread(machines.promote, "one"))["leader"] == "one"
        assert await asyncio.to_thread(two.wait) == Exit.STOPPED
        await asyncio.to_thread(one.wait_ready)
        await asyncio.sleep(0.3)
        assert await machines.query(FORMATS) == [1, 2, 3], "nobody is behind any more"
        stop.set()
        return sum([await task for task in loads])

    with Machines(tmp_path, database) as machines:
        machines.one.module = OLDER
        machines.one.start()
        machines.follow(OLDER)
        open_accounts(machines.one.port)
        until(lambda: machines.followed() > 0)
        machines.two.start(wait=False)
        until(lambda: "standing_by" in machines.two.log())
        count = asyncio.run(play(machines))
        assert count > 0
        assert posted(machines.one.port) == count
        with Lines(machines.one.port) as lines:
            assert lines.ask("get_instruments", {"instrument": "600519"})["result"]
        last = asyncio.run(machines.query(LAST))
        until(lambda: machines.followed() >= last)
        assert machines.one.stop() == Exit.STOPPED


@pytest.mark.skipif(log_record.FORMAT == log_record.FORMAT_FIRST, reason="there is one format only")
def test_the_wrong_order_stops_cleanly(tmp_path: Path, database: str) -> None:
    """Older ones behind a newer leader go on until they meet what they do not know, stop there, and never lead."""

    def stopped(machine: ServerProcess) -> None:
        assert machine.wait() == Exit.LOG_DAMAGED
        said = machine.event("failed")
        assert "is of format 2; this build reads formats up to 1: upgrade it" in said["message"], said
        assert f"log row {seq}" in said["message"], said

    with Machines(tmp_path, database) as machines:
        one, two, follower = machines.one, machines.two, machines.follower
        two.start()
        open_accounts(two.port)
        one.module = OLDER
        one.start(wait=False)
        machines.follow(OLDER)
        with BlockingClient("127.0.0.1", two.port) as client:
            client.create_transfers([Transfer(uuid7(), 1, 2, 5, 156, 1)])
        last = asyncio.run(machines.query(LAST))
        until(lambda: machines.followed() >= last)
        until(lambda: "standing_by" in one.log())
        # Up to here nothing needs the newer format, and nobody has noticed.
        list_instrument(two.port)
        seq = asyncio.run(machines.query("SELECT min(seq) FROM tongbao.log WHERE kind = 1 AND format = 2"))
        stopped(one)
        stopped(follower)
        with BlockingClient("127.0.0.1", two.port) as client:
            client.create_transfers([Transfer(uuid7(), 1, 2, 6, 156, 1)])
        # The leader dies: an older server must not lead, however often it is started.
        two.signal(signal.SIGKILL)
        two.wait()
        one.start(wait=False)
        stopped(one)
        assert asyncio.run(machines.query("SELECT max(epoch) FROM tongbao.log")) == 1
        one.module = NEWER
        one.start()
        assert posted(one.port) == 11
        machines.follow(NEWER)
        last = asyncio.run(machines.query(LAST))
        until(lambda: machines.followed() >= last)


def until(condition: Any, seconds: float = 40.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)
