"""A replica answers reads as the leader does, says of which entry they are, and waits for the one it is asked for."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from server.follower.process import FollowProcess
from server.follower.replica import NOT_LEADER
from server.lifecycle import Server
from tests.server.follower.harness import follow_settings, following
from tests.server.serving.harness import Client, accounts, transfer, until


@pytest.fixture
async def replica(server: Server, tmp_path: Path, database: str) -> AsyncIterator[FollowProcess]:
    """A replica of `server`."""
    settings = follow_settings(tmp_path / "replica", database_url=database, replica=True, dev=True, wait_ms_max=300)
    async with following(settings) as process:
        yield process


@pytest.fixture
async def reader(replica: FollowProcess) -> AsyncIterator[Client]:
    """A connection to it."""
    async with await Client.connect(replica.port) as client:
        yield client


async def at(reader: Client, seq: int, method: str, params: Any) -> Any:
    """Read at least as of an entry."""
    reader.send(method, params, min_seq=seq)
    return await reader.receive()


READS = [
    ("lookup_accounts", [1, 2, 3]),
    ("query_accounts", {"ledger": 156}),
    ("get_account_transfers", {"account_id": 1, "limit": 10, "reversed": True}),
    ("get_account_balances", {"account_id": 1}),
    ("query_transfers", {"ledger": 156, "limit": 5}),
]


async def test_it_answers_what_the_leader_answers(client: Client, reader: Client) -> None:
    await client.result("create_accounts", accounts([1], flags=["history"]) + accounts([2]))
    for _ in range(5):
        items = [transfer(amount=number) for number in (1, 2, 3)]
        seq = (await client.ask("create_transfers", items))["seq"]
        for method, params in [*READS, ("lookup_transfers", [item["id"] for item in items])]:
            mine, theirs = await at(reader, seq, method, params), await client.ask(method, params)
            assert mine["result"] == theirs["result"]
            assert mine["seq"] == theirs["seq"] == seq


async def test_writes_are_refused_in_their_place(server: Server, client: Client, reader: Client) -> None:
    seq = (await client.ask("create_accounts", accounts([1, 2])))["seq"]
    await at(reader, seq, "lookup_accounts", [1])
    reader.send("create_transfers", [transfer()])
    reader.send("lookup_accounts", [1])
    reader.send("create_accounts", accounts([3]))
    reader.send("ping")
    replies = [await reader.receive() for _ in range(4)]
    for refused in (replies[0], replies[2]):
        assert refused["error"] == {"code": -32008, "message": NOT_LEADER}
    assert replies[1]["result"][0]["debits_posted"] == 0
    assert replies[3]["seq"] == seq
    assert server.engine.transfers == 0
    assert server.batcher.seq == seq


async def test_min_seq_waits_for_the_entry(client: Client, replica: FollowProcess, reader: Client) -> None:
    seq = (await client.ask("create_accounts", accounts([1, 2])))["seq"]
    await at(reader, seq, "ping", None)
    reader.send("lookup_accounts", [1], min_seq=seq + 1)
    reader.send("lookup_accounts", [2])
    async with await Client.connect(replica.port) as other:  # nobody else waits
        assert (await other.ask("ping"))["seq"] == seq
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await reader.reader.readline()
    await client.ask("create_transfers", [transfer(amount=7)])
    first, second = await reader.receive(), await reader.receive()
    assert (first["seq"], first["result"][0]["debits_posted"]) == (seq + 1, 7)
    assert second["result"][0]["credits_posted"] == 7


async def test_min_seq_that_does_not_come_is_an_error(client: Client, replica: FollowProcess, reader: Client) -> None:
    seq = (await client.ask("create_accounts", accounts([1, 2])))["seq"]
    await at(reader, seq, "ping", None)
    reader.send("lookup_accounts", [1], min_seq=seq + 5)
    reader.send("lookup_accounts", [1], min_seq=seq + 6)
    reader.send("lookup_accounts", [1], min_seq=seq)
    replies = [await reader.receive() for _ in range(3)]
    for reply, asked in zip(replies, (seq + 5, seq + 6), strict=False):
        assert reply["error"]["code"] == -32007
        assert reply["error"]["message"] == f"behind: the newest log entry here is {seq}, and min_seq is {asked}"
    assert replies[2]["result"][0]["id"] == 1
    assert replica.reads is not None
    assert not replica.reads.batcher._behind


async def test_a_client_that_leaves_while_it_waits_is_forgotten(
    client: Client, replica: FollowProcess, reader: Client
) -> None:
    seq = (await client.ask("create_accounts", accounts([1, 2])))["seq"]
    await at(reader, seq, "ping", None)
    async with await Client.connect(replica.port) as other:
        other.send("ping", min_seq=seq + 1)
        await asyncio.sleep(0.05)
    assert replica.reads is not None
    await until(lambda: len(replica.reads.batcher.connections) == 1)
    await client.ask("create_transfers", [transfer()])
    assert (await at(reader, seq + 1, "ping", None))["seq"] == seq + 1


@pytest.mark.parametrize("value", ["-1", "1.0", "null", '"x"', "9223372036854775808", "01", "true", "[]", '""'])
async def test_min_seq_is_a_number(reader: Client, value: str) -> None:
    reader.send_line(b'{"id":1,"method":"ping","min_seq":%s}' % value.encode())
    reply = await reader.receive()
    assert reply["error"]["code"] in {-32600, -32700}
    if value != "01":
        assert reply["error"]["message"] == "min_seq: is not a whole number from 0 to 2^63 - 1"


async def test_the_leader_knows_min_seq_and_does_not_wait(client: Client) -> None:
    seq = (await client.ask("create_accounts", accounts([1, 2])))["seq"]
    client.send("create_transfers", [transfer()], min_seq=seq)
    assert (await client.receive())["seq"] == seq + 1
    client.send("ping", min_seq=str(seq + 1))
    assert (await client.receive())["seq"] == seq + 1
    client.send("ping", min_seq=seq + 2)
    assert (await client.receive())["error"]["code"] == -32007


async def test_executions_and_books_are_told_by_a_replica(client: Client, reader: Client) -> None:
    ledgers = {1: 156, 2: 700, 11: 156, 12: 700, 21: 156, 22: 700}
    await client.result("create_accounts", [{"id": n, "ledger": x, "code": 1} for n, x in ledgers.items()])
    await client.result("create_transfers", [transfer(1, 11, 1_000_000), {**transfer(2, 22, 500), "ledger": 700}])
    share = {"instrument": "600519", "base_ledger": 700, "quote_ledger": 156, "tick_size": 1, "lot_size": 100}
    await client.result("create_instruments", [share])
    traders = [{"id": 7001, "accounts": {"156": 11, "700": 12}}, {"id": 7002, "accounts": {"156": 21, "700": 22}}]
    seq = (await client.ask("create_trading_accounts", traders))["seq"]
    reply = await at(reader, seq, "subscribe", {"topics": ["executions", "book:600519"]})
    assert reply["result"]["topics"] == ["executions", "book:600519"]
    assert (await reader.receive())["method"] == "book"
    common = {"instrument": "600519", "type": "limit", "time_in_force": "day"}
    buy = {"account_id": 7001, "side": "buy", "quantity": 300, "price": 1700}
    sell = {"account_id": 7002, "side": "sell", "quantity": 200, "price": 1690}
    orders = [{**common, **each, "client_order_id": str(uuid.uuid4())} for each in (buy, sell)]
    assert [each["status"] for each in await client.result("submit_orders", orders)] == ["new", "filled"]
    told = [await reader.receive() for _ in range(5)]
    kinds = [each["params"]["kind"] for each in told if each["method"] == "execution"]
    assert sorted(kinds) == ["filled", "new", "new", "partially_filled"]
    [book] = [each["params"] for each in told if each["method"] == "book"]
    assert book["bids"] == [[1700, 100, 1]]


async def test_pending_transfers_expire_when_the_log_says_so(
    server: Server, client: Client, replica: FollowProcess, reader: Client
) -> None:
    await client.result("create_accounts", accounts([1, 2]))
    held = {**transfer(amount=5), "flags": ["pending"], "timeout": 1}
    seq = (await client.ask("create_transfers", [held]))["seq"]
    assert (await at(reader, seq, "lookup_transfers", [held["id"]]))["result"][0]["status"] == "pending"
    await until(lambda: server.batcher.seq > seq)
    assert (await at(reader, seq + 1, "lookup_transfers", [held["id"]]))["result"][0]["status"] == "expired"


async def test_status(replica: FollowProcess, reader: Client) -> None:
    status = await reader.result("server_status")
    assert (status["role"], status["state"], status["port"]) == ("follower", "ready", replica.port)
    assert json.dumps(status)


async def test_it_answers_what_it_accepted_before_it_stops(client: Client, replica: FollowProcess) -> None:
    seq = (await client.ask("create_accounts", accounts([1, 2])))["seq"]
    reader = await Client.connect(replica.port)
    await at(reader, seq, "ping", None)
    for _ in range(200):
        reader.send("lookup_accounts", [1, 2])
    await reader.writer.drain()
    await asyncio.sleep(0.05)
    stopping = asyncio.create_task(replica.stop())
    for _ in range(200):
        assert len((await reader.receive())["result"]) == 2
    assert await reader.receive() is None
    await reader.close()
    await stopping


async def test_silent_connections_are_ended(
    server: Server, tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert server.port
    monkeypatch.setattr("server.connection.LOOK_SECONDS", 0.5)
    limits = {"frame_seconds": 1, "handshake_seconds": 1}
    settings = follow_settings(tmp_path / "replica", database_url=database, replica=True, dev=True, **limits)
    async with following(settings) as process, await Client.connect(process.port) as client:
        client.writer.write(b'{"id":1,')
        async with asyncio.timeout(5):
            assert (await client.receive())["error"]["code"] == -32600
            assert await client.ended()
