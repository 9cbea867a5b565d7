"""A standby takes over by itself, once, with everything that was acknowledged."""

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from examples.local_server import free_port
from server.client import Account, BlockingClient, Status, Transfer, uuid7
from server.client import Client as AsyncClient
from server.journal import Fenced, Journal
from server.lifecycle import Server
from server.process import Exit, exit_code_of
from server.settings import Settings, SettingsError
from tests.server.serving.harness import Client, ServerProcess, accounts, settings_for, transfer, until

LEASE = {"lease_ms": 400}


def of(tmp_path: Path, database: str, name: str, **flags: Any) -> Server:
    """One of the servers of a log."""
    return Server(settings_for(tmp_path / name, database_url=database, name=name, **LEASE | flags))


@asynccontextmanager
async def standing_by(server: Server) -> AsyncIterator["asyncio.Task[None]"]:
    """A standby in this event loop; the task ends when it leads."""
    starting = asyncio.create_task(server.start())
    try:
        await until(lambda: server.state == "standby" or starting.done())
        yield starting
    finally:
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        await server.stop()


async def row(database: str, query: str) -> Any:
    connection = await asyncpg.connect(database)
    try:
        return await connection.fetchrow(query)
    finally:
        await connection.close()


async def test_a_leader_says_that_it_leads(tmp_path: Path, database: str) -> None:
    leader = of(tmp_path, database, "one")
    await leader.start()
    first = await row(database, "SELECT * FROM tongbao.leader")
    await asyncio.sleep(0.3)
    second = await row(database, "SELECT * FROM tongbao.leader")
    assert (first["name"], first["epoch"], first["lease_ms"], first["released"]) == ("one", 1, 400, False)
    assert second["renewed"] > first["renewed"]
    assert second["address"] == f"127.0.0.1:{leader.port}"
    await leader.stop()
    assert (await row(database, "SELECT released FROM tongbao.leader"))["released"]


async def test_a_standby_waits_while_the_leader_lives(tmp_path: Path, database: str) -> None:
    leader, standby = of(tmp_path, database, "one"), of(tmp_path, database, "two", standby=True)
    await leader.start()
    async with standing_by(standby) as starting, await Client.connect(leader.port) as client:
        await client.result("create_accounts", accounts([1, 2]))
        for _ in range(15):
            await client.result("create_transfers", [transfer()])
            await asyncio.sleep(0.1)
        assert not starting.done()
        assert standby.health()["seq"] == leader.batcher.seq
        assert not standby.ready
        known = await row(database, "SELECT * FROM tongbao.standby")
        assert known["name"] == "two"
        assert leader.fatal is None
    await leader.stop()
    assert await row(database, "SELECT * FROM tongbao.standby") is None, "a standby that stops is one no more"


async def test_it_takes_over_at_once_when_the_leader_stops(tmp_path: Path, database: str) -> None:
    long = {"lease_ms": 20_000}
    leader, standby = of(tmp_path, database, "one", **long), of(tmp_path, database, "two", standby=True, **long)
    await leader.start()
    async with standing_by(standby) as starting:
        async with await Client.connect(leader.port) as client:
            await client.result("create_accounts", accounts([1, 2]))
            await client.result("create_transfers", [transfer(amount=5)])
        await leader.stop()
        async with asyncio.timeout(8):  # well before the lease has run out
            await starting
        assert standby.journal.epoch == 2
        async with await Client.connect(standby.port) as client:
            assert (await client.result("lookup_accounts", [1]))[0]["debits_posted"] == 5
            assert (await client.result("create_transfers", [transfer()]))[0]["status"] == "created"


async def test_one_of_three_standbys_takes_over_from_a_leader_that_is_silent(tmp_path: Path, database: str) -> None:
    leader = of(tmp_path, database, "one")
    await leader.start()
    standbys = [of(tmp_path, database, name, standby=True) for name in ("two", "three", "four")]
    async with standing_by(standbys[0]) as a, standing_by(standbys[1]) as b, standing_by(standbys[2]) as c:
        tasks = [a, b, c]
        assert leader._leadership is not None
        assert leader._leadership._task is not None
        leader._leadership._task.cancel()  # it answers clients, but nobody hears of it any more
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED, timeout=10)
        await asyncio.sleep(1.2)  # three leases: nobody else may follow
        assert sum(task.done() for task in tasks) == 1
        [new] = [server for server, task in zip(standbys, tasks, strict=True) if task.done()]
        assert new.journal.epoch == 2
        async with await Client.connect(leader.port) as client:
            client.send("ping")
            assert await client.ended(), "the old leader answers nothing"
        await until(lambda: leader.fatal)
        assert isinstance(leader.fatal, Fenced)
        assert exit_code_of(leader.fatal) == Exit.FENCED
        async with await Client.connect(new.port) as client:
            assert (await client.result("create_accounts", accounts([1])))[0]["status"] == "created"
    await leader.stop()


async def test_a_leader_whose_lease_was_taken_stops(tmp_path: Path, database: str) -> None:
    """Even when nobody asks it anything."""
    leader, other = of(tmp_path, database, "one"), of(tmp_path, database, "two")
    await leader.start()
    await other.start()
    await until(lambda: leader.fatal)
    assert isinstance(leader.fatal, Fenced)
    assert other.fatal is None
    await leader.stop()
    await other.stop()
    assert (await row(database, "SELECT name, released FROM tongbao.leader")) == ("two", True)


async def test_a_leader_that_died_before_it_said_so_is_succeeded(tmp_path: Path, database: str) -> None:
    """It took over, and was gone before it had claimed the lease: the lease is an older one's."""
    leader = of(tmp_path, database, "one")
    await leader.start()
    await leader.stop()
    dead = await Journal.open(database, format=3)
    await dead.take_over()
    await dead.close()
    standby = of(tmp_path, database, "two", standby=True)
    async with standing_by(standby) as starting:
        async with asyncio.timeout(5):
            await starting
        assert standby.journal.epoch == 3


async def test_the_first_leader_that_died_before_it_said_so_is_succeeded(tmp_path: Path, database: str) -> None:
    """It took over a new log, and was gone before it had claimed the lease: there has never been one."""
    dead = await Journal.open(database, format=3)
    await dead.take_over()
    await dead.close()
    standby = of(tmp_path, database, "two", standby=True)
    async with standing_by(standby) as starting:
        async with asyncio.timeout(5):
            await starting
        assert standby.journal.epoch == 2


async def test_the_lease_outlives_a_lost_session(tmp_path: Path, database: str) -> None:
    leader, standby = of(tmp_path, database, "one", lease_ms=2_000), of(tmp_path, database, "two", standby=True)
    await leader.start()
    async with standing_by(standby) as starting:
        for _ in range(3):
            await row(database, "SELECT pg_terminate_backend(pid) FROM tongbao.leader")
            await asyncio.sleep(0.8)
        assert not starting.done()
        assert leader.fatal is None
        assert (await row(database, "SELECT epoch FROM tongbao.leader"))["epoch"] == 1
    await leader.stop()


async def test_a_lost_session_is_replaced_at_once(tmp_path: Path, database: str) -> None:
    """Not when the next renewal is due: a standby waits for the leader's session for a quarter of the lease only."""
    leader = of(tmp_path, database, "one", lease_ms=40_000)
    await leader.start()
    for _ in range(3):
        lost = await row(database, "SELECT pid FROM tongbao.leader")
        await row(database, "SELECT pg_terminate_backend(pid) FROM tongbao.leader")
        async with asyncio.timeout(3):
            while await row(database, "SELECT pid FROM tongbao.leader") == lost:
                await asyncio.sleep(0.02)
    await leader.stop()


async def test_a_standby_keeps_snapshots_and_drops_no_rows(tmp_path: Path, database: str) -> None:
    leader = of(tmp_path, database, "one")
    standby = of(
        tmp_path, database, "two", standby=True, snapshot_every_items=50, snapshot_stop_items=50, log_retention="drop"
    )
    await leader.start()
    async with standing_by(standby), await Client.connect(leader.port) as client:
        await client.result("create_accounts", accounts([1, 2]))
        for _ in range(3):
            await client.result("create_transfers", [transfer() for _ in range(60)])
            seq = leader.batcher.seq
            await until(lambda: standby.snapshotter.newest is not None and standby.snapshotter.newest.seq == seq)  # noqa: B023
        assert await leader.journal.first() == 0
    await leader.stop()


async def test_a_standby_answers_reads_until_it_leads(tmp_path: Path, database: str) -> None:
    leader = of(tmp_path, database, "one")
    port = free_port()
    standby = of(tmp_path, database, "two", standby=True, standby_reads=True, port=port)
    await leader.start()
    async with standing_by(standby) as starting, await Client.connect(leader.port) as client:
        await client.result("create_accounts", accounts([1, 2]))
        seq = (await client.ask("create_transfers", [transfer(amount=7)]))["seq"]
        reader = await Client.connect(port)
        reader.send("lookup_accounts", [1], min_seq=seq)
        reply = await reader.receive()
        assert (reply["seq"], reply["result"][0]["debits_posted"]) == (seq, 7)
        reader.send("create_transfers", [transfer()])
        assert (await reader.receive())["error"]["code"] == -32008
        status = await reader.result("server_status")
        assert (status["role"], status["state"], status["port"]) == ("standby", "standby", port)
        assert status["log"]["seq"] == seq
        assert status["ledger"]["digest"] == leader.engine.digest().hex()
        # Clients that look for the leader pass by it.
        async with AsyncClient("127.0.0.1", port, others=[("127.0.0.1", leader.port)]) as other:
            assert (await other.create_transfers([Transfer(uuid7(), 1, 2, 1, 156, 1)]))[0].status == Status.CREATED
        await leader.stop()
        async with asyncio.timeout(5):
            await starting
        assert await reader.ended()
        await reader.close()
        async with await Client.connect(port) as writer:
            assert (await writer.result("create_transfers", [transfer()]))[0]["status"] == "created"
            assert (await writer.result("lookup_accounts", [1]))[0]["debits_posted"] == 9
            assert "role" not in await writer.result("server_status")


async def test_a_standby_that_answers_reads_stops_in_order(tmp_path: Path, database: str) -> None:
    leader = of(tmp_path, database, "one")
    port = free_port()
    standby = of(tmp_path, database, "two", standby=True, standby_reads=True, port=port)
    await leader.start()
    async with standing_by(standby):
        reader = await Client.connect(port)
        assert await reader.result("server_status")
    assert await reader.ended()
    await reader.close()
    assert standby.fatal is None
    await leader.stop()


def test_reads_of_a_standby_need_a_standby(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"^standby_reads: "):
        Settings.from_environment({"standby_reads": True, "dev": True, "data_dir": tmp_path}, {})


def test_a_standby_needs_a_database_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"^standby: "):
        Settings.from_environment({"standby": True, "dev": True, "data_dir": tmp_path}, {})


def test_killed_and_paused_leaders_lose_nothing(tmp_path: Path, database: str) -> None:
    """Real processes: kill -9, then a pause that outlasts the lease; what was acknowledged is there each time."""

    def process(name: str) -> ServerProcess:
        (tmp_path / name).mkdir(exist_ok=True)
        return ServerProcess(
            tmp_path / name / "data",
            database_url=database,
            standby="1",
            name=name,
            lease_ms=500,
            risk_cache=tmp_path / "kernels",
        )

    with process("one") as one, process("two") as two:
        one.start()
        two.start(wait=False)
        done = []
        with BlockingClient("127.0.0.1", one.port) as client:
            client.create_accounts([Account(1, 156, 1), Account(2, 156, 1)])
            for _ in range(50):
                done.append(uuid7())
                assert client.create_transfers([Transfer(done[-1], 1, 2, 1, 156, 1)])[0].status == Status.CREATED
        one.kill()
        two.wait_ready()
        one.start(wait=False)
        with BlockingClient("127.0.0.1", two.port) as client:
            assert all(client.lookup_transfers(done))
            done.append(uuid7())
            client.create_transfers([Transfer(done[-1], 1, 2, 1, 156, 1)])
        two.signal(signal.SIGSTOP)
        try:
            one.wait_ready()
            with BlockingClient("127.0.0.1", one.port) as client:
                assert all(client.lookup_transfers(done))
                client.create_transfers([Transfer(uuid7(), 1, 2, 1, 156, 1)])
        finally:
            two.signal(signal.SIGCONT)
        assert two.wait() == Exit.FENCED
        assert one.stop() == Exit.STOPPED


def cli(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "server.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_promote_hands_over_without_losing_a_request(tmp_path: Path, database: str) -> None:
    """Four clients send all the while; each transfer is there once, and none of them sees an error."""

    def process(name: str, port: int) -> ServerProcess:
        (tmp_path / name).mkdir()
        server = ServerProcess(
            tmp_path / name / "data",
            database_url=database,
            standby="1",
            name=name,
            port=port,
            risk_cache=tmp_path / "kernels",
        )
        return server.start(wait=name == "one")

    async def load(ports: list[int], stop: asyncio.Event) -> int:
        async with AsyncClient("127.0.0.1", ports[0], others=[("127.0.0.1", ports[1])]) as client:
            count = 0
            while not stop.is_set():
                results = await client.create_transfers([Transfer(uuid7(), 1, 2, 1, 156, 1) for _ in range(20)])
                assert {result.status for result in results} <= {Status.CREATED, Status.EXISTS}
                count += 20
            return count

    async def play(ports: list[int]) -> int:
        stop = asyncio.Event()
        loads = [asyncio.create_task(load(ports, stop)) for _ in range(4)]
        await asyncio.sleep(0.5)
        done = await asyncio.to_thread(cli, "promote", "two", "--database-url", database, "--json")
        assert done.returncode == 0, done.stderr
        said = json.loads(done.stdout)
        assert (said["leader"], said["epoch"]) == ("two", 2)
        await asyncio.sleep(0.5)
        stop.set()
        return sum([await task for task in loads])

    ports = [free_port(), free_port()]
    with process("one", ports[0]) as one, process("two", ports[1]) as two:
        assert cli("promote", "three", "--database-url", database).returncode == 3
        with BlockingClient("127.0.0.1", one.port) as client:
            client.create_accounts([Account(1, 156, 1), Account(2, 156, 1)])
        end = time.monotonic() + 30
        while "stands by" not in (shown := cli("servers", "--database-url", database)).stdout:
            assert time.monotonic() < end, shown.stderr
        assert "leads" in shown.stdout
        count = asyncio.run(play(ports))
        assert one.wait() == Exit.STOPPED
        with BlockingClient("127.0.0.1", ports[1]) as client:
            [account] = client.lookup_accounts([1])
            assert account is not None
            assert account.debits_posted == count
        two.wait_ready()
        assert two.stop() == Exit.STOPPED
    assert cli("servers", "--database-url", database).returncode == 3
    nobody = cli("promote", "--database-url", database)
    assert (nobody.returncode, "there is no leader" in nobody.stderr) == (3, True)
