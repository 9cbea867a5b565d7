"""Limits of connections, deadlines, rates, capacity and disk."""

import asyncio
import json
import time
from pathlib import Path

import pytest

from server.channels import generate_key
from server.lifecycle import Server
from tests.server.serving.harness import Client, accounts, running, settings_for, statuses, transfer, until


async def refusal(port: int) -> tuple[int, str]:
    """Connect; return what a refused connection is told in its one line."""
    async with await Client.connect(port) as client:
        reply = await client.receive()
        assert reply["id"] is None
        assert await client.receive() is None
        return reply["error"]["code"], reply["error"]["message"]


async def test_connections_in_total_and_per_address(tmp_path: Path, database: str) -> None:
    settings = settings_for(tmp_path, database_url=database, connections_max=5, connections_address_max=3)
    async with running(settings) as server:
        here = [await Client.connect(server.port) for _ in range(3)]
        for client in here:
            await client.result("ping")
        assert await refusal(server.port) == (-32003, "busy: connections_address_max reached")
        there = [await Client.connect(server.port, local_addr=("127.0.0.2", 0)) for _ in range(2)]
        for client in there:
            await client.result("ping")
        async with await Client.connect(server.port, local_addr=("127.0.0.3", 0)) as client:
            assert (await client.receive())["error"]["message"] == "busy: connections_max reached"
        for client in here + there:
            await client.result("ping")
        await here.pop().close()
        await until(lambda: len(server.batcher.connections) == 4)
        async with await Client.connect(server.port) as client:
            await client.result("ping")
        assert server.metrics.connections_refused == {"total": 1, "address": 1, "stopping": 0}
        for client in here + there:
            await client.close()
        await until(lambda: not server.batcher.connections)
        assert not server.acceptor._addresses


async def test_a_refused_client_that_talks_still_reads_why(tmp_path: Path, database: str) -> None:
    """Bytes of the client that nobody reads must not reset the connection before the line arrives."""
    settings = settings_for(tmp_path, database_url=database, connections_max=1)
    async with running(settings) as server, await Client.connect(server.port) as first:
        await first.result("ping")
        for _ in range(20):
            async with await Client.connect(server.port) as client:
                client.writer.write(b'{"id":1,"method":"ping"}\n' * 5_000)
                assert (await client.receive())["error"]["code"] == -32003


async def test_handshake_deadline(tmp_path: Path, database: str) -> None:
    (tmp_path / "channels.toml").write_text(f'[channels.a]\nkey = "{generate_key()[1]}"')
    settings = settings_for(
        tmp_path, database_url=database, channels=tmp_path / "channels.toml", handshake_seconds=1, idle_seconds=100
    )
    async with running(settings) as server, await Client.connect(server.port) as client:
        began = time.monotonic()
        while time.monotonic() - began < 0.7:
            await client.result("ping")
            await asyncio.sleep(0.1)
        reply = await client.receive()
        assert reply["error"] == {"code": -32001, "message": "no logon within handshake_seconds"}
        assert await client.receive() is None
        assert 0.9 < time.monotonic() - began < 4
        assert server.metrics.connections_dropped["handshake"] == 1


async def test_idle_and_frame_deadlines(tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.connection.LOOK_SECONDS", 0.5)
    settings = settings_for(tmp_path, database_url=database, idle_seconds=2, frame_seconds=1, handshake_seconds=1)
    async with running(settings) as server:
        idle, slow, busy = [await Client.connect(server.port) for _ in range(3)]
        slow.writer.write(b'{"id":1,')

        async def keep_busy() -> None:
            while True:
                await busy.result("ping")
                await asyncio.sleep(0.2)

        working = asyncio.create_task(keep_busy())
        began = time.monotonic()
        trickle = asyncio.create_task(_trickle(slow))
        assert (await slow.receive())["error"]["message"] == "no complete line within frame_seconds"
        assert time.monotonic() - began < 4
        trickle.cancel()
        assert (await idle.receive())["error"]["message"] == "nothing received within idle_seconds"
        assert 1.9 < time.monotonic() - began < 6
        assert not working.done()
        working.cancel()
        for client in (idle, slow, busy):
            await client.close()
        assert server.metrics.connections_dropped["idle"] == 1
        assert server.metrics.connections_dropped["frame"] == 1


async def _trickle(client: Client) -> None:
    """A client that sends a byte now and then is not idle, but never gets a line done."""
    while True:
        await asyncio.sleep(0.2)
        client.writer.write(b" ")


async def test_rate_of_a_channel(tmp_path: Path, database: str) -> None:
    """Requests above the rate wait; nothing is refused, and others are not slowed."""
    key, stored = generate_key()
    (tmp_path / "channels.toml").write_text(
        f'[channels.slow]\nkey = "{stored}"\npermissions = ["read"]\nrequests_per_second = 200\nrequests_burst = 100\n'
        f'[channels.fast]\nkey = "{stored}"\npermissions = ["read"]\n'
    )
    settings = settings_for(tmp_path, database_url=database, channels=tmp_path / "channels.toml")
    async with running(settings) as server:
        slow, fast = [await Client.connect(server.port) for _ in range(2)]
        await slow.result("logon", {"channel": "slow", "key": key})
        await fast.result("logon", {"channel": "fast", "key": key})
        began = time.monotonic()
        for _ in range(500):
            await slow.result("ping") if _ % 100 == 0 else slow.send("ping")
            if _ % 100 == 99:
                for _ in range(99):
                    await slow.receive()
            if _ % 50 == 0:
                start = time.monotonic()
                await fast.result("ping")
                assert time.monotonic() - start < 1
        elapsed = time.monotonic() - began
        assert 1.5 < elapsed < 8, elapsed
        await slow.close()
        await fast.close()


async def test_window_of_a_channel(tmp_path: Path, database: str) -> None:
    key, stored = generate_key()
    (tmp_path / "channels.toml").write_text(f'[channels.a]\nkey = "{stored}"\npermissions = ["accounts"]\nwindow = 4\n')
    settings = settings_for(tmp_path, database_url=database, channels=tmp_path / "channels.toml")
    async with running(settings) as server, await Client.connect(server.port) as client:
        await client.result("logon", {"channel": "a", "key": key})
        largest = 0
        numbers = []
        for number in range(1, 301):
            numbers.append(client.send("create_accounts", accounts([number])))
            if number % 3 == 0:
                await asyncio.sleep(0)
            use = server.acceptor._uses["a"]
            largest = max(largest, use.open + use.waiting)
        for number in numbers:
            assert (await client.receive())["id"] == number
        assert use.open == use.waiting == 0
        assert not use.stopped
        assert largest > 0


async def test_capacity_is_refused_before_the_log(tmp_path: Path, database: str) -> None:
    settings = settings_for(tmp_path, database_url=database, accounts_max=10, transfers_max=20)
    async with running(settings) as server, await Client.connect(server.port) as client:
        assert statuses(await client.result("create_accounts", accounts(range(1, 9)))) == ["created"] * 8
        error = (await client.ask("create_accounts", accounts(range(9, 12))))["error"]
        assert error["code"] == -32005
        assert error["message"].startswith("accounts_capacity_reached")
        seq = server.batcher.seq
        assert statuses(await client.result("create_accounts", accounts([9, 10]))) == ["created"] * 2
        assert server.batcher.seq == seq + 1
        # Several requests in one batch: the second does not fit behind the first.
        client.send("create_transfers", [transfer() for _ in range(15)])
        client.send("create_transfers", [transfer() for _ in range(15)])
        client.send("create_transfers", [transfer() for _ in range(5)])
        client.send("create_transfers", [transfer()])
        client.send("lookup_accounts", [1])
        assert len((await client.receive())["result"]) == 15
        error = (await client.receive())["error"]
        assert error["code"] == -32005
        assert error["message"].startswith("transfers_capacity_reached")
        assert len((await client.receive())["result"]) == 5
        assert (await client.receive())["error"]["code"] == -32005
        assert (await client.receive())["result"][0]["debits_posted"] == 20
        rows = [row async for row in server.journal.read(1)]
        assert len(rows) == server.batcher.seq


async def test_low_disk_stops_writes_only(data_dir: Path) -> None:
    async with running(settings_for(data_dir)) as server, await Client.connect(server.port) as client:
        await client.result("create_accounts", accounts([1, 2]))
        assert server.postgres is not None
        server.postgres.free_floor = 2**62
        await until(lambda: server.batcher.disk_low)
        seq = server.batcher.seq
        client.send("create_transfers", [transfer()])
        client.send("lookup_accounts", [1])
        assert (await client.receive())["error"] == {"code": -32003, "message": "busy: disk space is low"}
        assert (await client.receive())["result"][0]["id"] == 1
        assert server.batcher.seq == seq
        server.postgres.free_floor = 0
        await until(lambda: not server.batcher.disk_low)
        assert statuses(await client.result("create_transfers", [transfer()])) == ["created"]


async def test_items_of_a_batch_are_bounded(tmp_path: Path, database: str) -> None:
    """What does not fit waits for the next batch; everything is answered, in order, for every client."""
    settings = settings_for(tmp_path, database_url=database, items_batch_max=100)
    async with running(settings) as server:
        async with await Client.connect(server.port) as first:
            await first.result("create_accounts", accounts(range(1, 41)))

        async def one() -> None:
            async with await Client.connect(server.port) as client:
                numbers = [client.send("create_transfers", [transfer() for _ in range(30)]) for _ in range(40)]
                for number in numbers:
                    reply = await client.receive()
                    assert reply["id"] == number
                    assert statuses(reply["result"]) == ["created"] * 30

        await asyncio.gather(*(one() for _ in range(6)))
        counts = server.metrics.batch_items.counts
        assert sum(counts[8:]) == 0, "no batch has more than 128 items"
        assert server.engine.transfers == 6 * 40 * 30


async def test_a_query_cannot_make_a_batch_of_any_size(server: Server) -> None:
    """Small requests with large answers are bounded by what they may return."""
    async with await Client.connect(server.port) as client:
        await client.result("create_accounts", accounts(range(1, 8_001)))
        line = json.dumps({"id": 1, "method": "query_accounts", "params": {"limit": 8_000}}).encode() + b"\n"
        client.writer.write(line * 20)
        for _ in range(20):
            assert len((await client.receive())["result"]) == 8_000
    assert server.metrics.batch_requests.counts[-1] == 0
    assert server.metrics.batches["reads"] >= 7
