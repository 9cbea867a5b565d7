"""Clients of a log with several servers: they find the one that leads, and go on with it when another does."""

import asyncio
import signal
from pathlib import Path

import pytest

from examples.local_server import free_port
from server.client import (
    Account,
    BlockingClient,
    Client,
    NotLeader,
    Status,
    Transfer,
    uuid7,
)
from server.client.route import Route
from tests.server.client.double import Double
from tests.server.follower.harness import follow_settings, following
from tests.server.serving.harness import ServerProcess, running, settings_for


def test_a_route_goes_round() -> None:
    route = Route("a", 1, [("b", 2), ("c", 3)])
    seen = [route.address]
    for _ in range(3):
        route.next()
        seen.append(route.address)
    assert seen == ["a:1", "b:2", "c:3", "a:1"]
    route.next()
    other = route.copy()
    assert [other.address, route.address] == ["b:2", "b:2"]
    other.next()
    assert (other.address, route.address) == ("c:3", "b:2")
    assert not Route("a", 1).several


async def test_a_replica_is_left_for_the_leader(tmp_path: Path, database: str) -> None:
    async with running(settings_for(tmp_path / "leader", database_url=database)) as leader:
        replica_settings = follow_settings(tmp_path / "replica", database_url=database, replica=True, dev=True)
        async with following(replica_settings) as replica:
            others = [("127.0.0.1", leader.port)]
            async with Client("127.0.0.1", replica.port, others=others) as client:
                reading = asyncio.create_task(client.lookup_accounts([1]))
                writing = [asyncio.create_task(client.create_accounts([Account(n, 156, 1)])) for n in (1, 2)]
                assert await reading == [None]
                for task in writing:
                    assert (await task)[0].status == Status.CREATED
                assert client.address == f"127.0.0.1:{leader.port}"
            async with Client("127.0.0.1", replica.port) as client:
                with pytest.raises(NotLeader):
                    await client.create_accounts([Account(3, 156, 1)])

            def blocking() -> None:
                with BlockingClient("127.0.0.1", replica.port, others=others) as client:
                    assert client.create_accounts([Account(3, 156, 1)])[0].status == Status.CREATED
                    assert client.address == f"127.0.0.1:{leader.port}"
                with BlockingClient("127.0.0.1", replica.port) as reader:
                    reader.min_seq = client.seq
                    assert reader.lookup_accounts([3])[0] is not None

            await asyncio.to_thread(blocking)


async def test_a_server_that_drops_whoever_comes_is_left() -> None:
    """As a balancer does whose server is gone: it takes a connection, and closes it without a word."""
    dropped = 0

    def drop(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal dropped
        dropped += 1
        writer.close()

    balancer = await asyncio.start_server(drop, "127.0.0.1", 0)
    port = balancer.sockets[0].getsockname()[1]
    async with balancer, Double() as server:
        others = [("127.0.0.1", server.port)]
        async with Client("127.0.0.1", port, others=others, deadline_s=5) as client:
            assert (await client.create_accounts([Account(1, 156, 1)]))[0].status == Status.CREATED
            assert client.address == f"127.0.0.1:{server.port}"

        def blocking() -> None:
            with BlockingClient("127.0.0.1", port, others=others, deadline_s=5) as client:
                assert client.create_accounts([Account(2, 156, 1)])[0].status == Status.CREATED
                assert client.address == f"127.0.0.1:{server.port}"

        await asyncio.to_thread(blocking)
        assert dropped >= 2


def test_transfers_go_on_while_leaders_are_killed_and_paused(tmp_path: Path, database: str) -> None:
    """Each transfer is there once, whoever led when it was sent, and no caller has noticed."""

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

    async def load(ports: list[int], stop: asyncio.Event, done: list[object]) -> int:
        others = [("127.0.0.1", port) for port in ports[1:]]
        async with Client("127.0.0.1", ports[0], others=others, deadline_s=60, switch_after_s=0.5) as client:
            while not stop.is_set():
                ids = [uuid7() for _ in range(5)]
                results = await client.create_transfers([Transfer(id_, 1, 2, 1, 156, 1) for id_ in ids])
                assert all(result.status in {Status.CREATED, Status.EXISTS} for result in results)
                done += ids
            return client.reconnects

    async def play() -> None:
        stop = asyncio.Event()
        done: list[object] = []
        ports = [one.port, two.port]
        loads = [asyncio.create_task(load(ports, stop, done)) for _ in range(4)]
        await asyncio.sleep(0.5)
        one.kill()
        await asyncio.to_thread(two.wait_ready)
        one.start(wait=False)
        await asyncio.sleep(2)
        two.signal(signal.SIGSTOP)
        await asyncio.to_thread(one.wait_ready)
        await asyncio.sleep(0.5)
        two.signal(signal.SIGCONT)
        count = len(done)
        await asyncio.sleep(0.5)
        assert len(done) > count
        stop.set()
        assert all([await task for task in loads])
        async with Client("127.0.0.1", one.port) as client:
            [account] = await client.lookup_accounts([1])
            assert account is not None
            assert account.debits_posted == len(done)

    with process("one") as one, process("two") as two:
        for server in (one, two):
            server.port = free_port()
            server.environment["TONGBAO_PORT"] = str(server.port)
        one.start()
        two.start(wait=False)
        with BlockingClient("127.0.0.1", one.port) as client:
            client.create_accounts([Account(1, 156, 1), Account(2, 156, 1)])
        asyncio.run(play())
