"""Requests and replies of a running server: every method, every kind of mistake, and the order of replies."""

import asyncio
import json
import random
import shutil
import subprocess
from typing import Any

import pytest

from server.lifecycle import Server
from tests.server.serving.harness import Client, accounts, statuses, transfer, until


async def test_the_main_job(client: Client) -> None:
    time = (await client.result("ping"))["time"]
    created = await client.ask("create_accounts", accounts([1, 2], flags=["history"]))
    assert statuses(created["result"]) == ["created", "created"]
    assert created["result"][0]["timestamp"] >= time
    payment = transfer(1, 2, 12_500)
    reply = await client.ask("create_transfers", [payment])
    assert statuses(reply["result"]) == ["created"]
    assert reply["seq"] == created["seq"] + 1
    again = await client.result("create_transfers", [payment])
    assert again == [{"status": "exists", "timestamp": reply["result"][0]["timestamp"]}]
    different = await client.result("create_transfers", [payment | {"amount": 1}])
    assert statuses(different) == ["exists_with_different_amount"]
    debit, credit, nobody = await client.result("lookup_accounts", [1, 2, 3])
    assert (debit["debits_posted"], credit["credits_posted"], nobody) == (12_500, 12_500, None)
    assert (await client.result("lookup_transfers", [payment["id"]]))[0]["status"] == "posted"
    assert len(await client.result("get_account_transfers", {"account_id": 1})) == 1
    assert (await client.result("get_account_balances", {"account_id": 1}))[0]["debits_posted"] == 12_500
    assert len(await client.result("query_accounts", {"ledger": 156})) == 2
    assert len(await client.result("query_transfers", {"code": 10, "limit": 5})) == 1
    assert statuses(await client.result("update_accounts", [{"id": 1, "frozen": True}])) == ["updated"]
    assert statuses(await client.result("create_transfers", [transfer(1, 2)])) == ["debit_account_frozen"]


BAD_LINES: list[tuple[bytes, int, bool]] = [
    # line, error code, whether the connection is closed
    (b"hello", -32700, True),
    (b'{"id":1,"method":"ping"', -32700, True),
    (b'{"id":1,"method":"ping"}}', -32700, True),
    (b'{"id":1,"method":"p\xffng"}', -32700, True),
    (b'{"id":1,"method":"p\x00ng"}', -32700, True),
    (b"[" * 1_000, -32700, True),
    (b'{"id":1,"method":"ping","x":"' + b"a" * (2 * 2**20) + b'"}', -32004, True),
    (b"a" * (2 * 2**20 + 10), -32004, True),
    (b'{"id":1,"method":"lookup_accounts","params":[' + b",".join([b"1"] * 8_191) + b"]}", -32004, True),
    (b"[]", -32600, False),
    (b'"ping"', -32600, False),
    (b'{"method":"ping"}', -32600, False),
    (b'{"id":null,"method":"ping"}', -32600, False),
    (b'{"id":1.5,"method":"ping"}', -32600, False),
    (b'{"id":"' + b"i" * 65 + b'","method":"ping"}', -32600, False),
    (b'{"id":1}', -32600, False),
    (b'{"id":1,"method":"ping","extra":1}', -32600, False),
    (b'{"id":1,"id":1,"method":"ping"}', -32600, False),
    (b'{"id":1,"jsonrpc":"1.0","method":"ping"}', -32600, False),
    (b'{"id":1,"method":"pong"}', -32601, False),
    (b'{"id":1,"method":"set_limit","params":[]}', -32601, False),
    (b'{"id":1,"method":"lookup_accounts"}', -32602, False),
    (b'{"id":1,"method":"lookup_accounts","params":{}}', -32602, False),
    (b'{"id":1,"method":"lookup_accounts","params":[1e3]}', -32602, False),
    (b'{"id":1,"method":"lookup_accounts","params":[18446744073709551616]}', -32602, False),
    (b'{"id":1,"method":"create_transfers","params":[{"id":"x"}]}', -32602, False),
    (b'{"id":1,"method":"create_accounts","params":[{"id":1,"ledger":1,"code":1,"code":1}]}', -32602, False),
    (b'{"id":1,"method":"query_accounts","params":{"limit":8191}}', -32602, False),
    (b'{"id":1,"method":"server_status","params":{"all":1}}', -32602, False),
    (b'{"id":1,"method":"logon","params":{"channel":"a"}}', -32602, False),
]


@pytest.mark.parametrize(("line", "code", "closes"), BAD_LINES, ids=range(len(BAD_LINES)))
async def test_bad_lines(client: Client, line: bytes, code: int, closes: bool) -> None:
    """One error each; only what breaks the framing ends the connection; what came before is answered first."""
    before = client.send("ping")
    client.send_line(line)
    after = client.send("ping")
    assert (await client.receive())["id"] == before
    reply = await client.receive()
    assert reply["error"]["code"] == code, reply
    if closes:
        assert await client.receive() is None
    else:
        assert (await client.receive())["id"] == after


async def test_one_clients_mistake_does_not_touch_others(server: Server, client: Client) -> None:
    async with await Client.connect(server.port) as bad:
        bad.send_line(b"garbage")
        numbers = [client.send("ping") for _ in range(100)]
        assert [(await client.receive())["id"] for _ in numbers] == numbers
        assert await bad.ended()


def mixture(random_: random.Random, count: int) -> list[tuple[dict[str, Any] | bytes, str]]:
    """Requests of every kind with what their reply must have: a result, or an error code."""
    requests: list[tuple[dict[str, Any] | bytes, str]] = []
    for _ in range(count):
        kind = random_.randrange(9)
        if kind == 0:
            requests.append(({"method": "ping"}, "result"))
        elif kind <= 3:
            items = [transfer(random_.randint(1, 20), random_.randint(21, 40)) for _ in range(random_.randint(0, 5))]
            requests.append(({"method": "create_transfers", "params": items}, "result"))
        elif kind == 4:
            requests.append(({"method": "lookup_accounts", "params": [random_.randint(1, 50)]}, "result"))
        elif kind == 5:
            requests.append(({"method": "query_transfers", "params": {"limit": random_.randint(1, 20)}}, "result"))
        elif kind == 6:
            requests.append(({"method": "no_such_method"}, "-32601"))
        elif kind == 7:
            requests.append(({"method": "create_transfers", "params": [{"amount": 1.5}]}, "-32602"))
        else:
            requests.append(({"method": "server_status"}, "result"))
    return requests


async def test_replies_come_in_request_order(server: Server) -> None:
    """Several clients, requests of all kinds, cut into pieces anywhere."""
    async with await Client.connect(server.port) as first:
        await first.result("create_accounts", accounts(range(1, 41)))

    async def one(seed: int) -> None:
        random_ = random.Random(seed)
        requests = mixture(random_, 400)
        async with await Client.connect(server.port) as client:
            data = b"".join(json.dumps({"id": n} | r).encode() + b"\n" for n, (r, _) in enumerate(requests))

            async def write() -> None:
                at = 0
                while at < len(data):
                    piece = random_.choice((1, 7, 100, 3_000, 70_000))
                    client.writer.write(data[at : at + piece])
                    at += piece
                    if random_.random() < 0.5:
                        await asyncio.sleep(random_.random() * 0.002)

            writing = asyncio.create_task(write())
            last_seq = 0
            for number, (_, expected) in enumerate(requests):
                reply = await client.receive()
                assert reply["id"] == number
                if expected == "result":
                    assert "result" in reply, reply
                    assert reply["seq"] >= last_seq
                    last_seq = reply["seq"]
                else:
                    assert str(reply["error"]["code"]) == expected
            await writing

    await asyncio.gather(*(one(seed) for seed in range(8)))
    assert server.metrics.batches["logged"] > 0


async def test_a_read_sees_the_writes_before_it(client: Client) -> None:
    """Also in the same batch, and nothing of what comes after it."""
    client.send("create_accounts", accounts([1, 2]))
    for _ in range(50):
        client.send("create_transfers", [transfer(1, 2)])
        client.send("lookup_accounts", [1])
    await client.receive()
    for count in range(1, 51):
        assert statuses((await client.receive())["result"]) == ["created"]
        assert (await client.receive())["result"][0]["debits_posted"] == count


async def test_ids_and_jsonrpc_are_echoed(client: Client) -> None:
    client.send_line(b'{"jsonrpc":"2.0","method":"ping","id":"a-\\u0041"}')
    client.send_line(b'\r\n\n{"id":-5,"method":"ping"}\r')
    first = await client.receive()
    assert first["jsonrpc"] == "2.0"
    assert first["id"] == "a-A"
    second = await client.receive()
    assert second["id"] == -5
    assert "jsonrpc" not in second


async def test_netcat(server: Server) -> None:
    """A newcomer's first transfer: lines in, end of input, every answer out."""
    program = shutil.which("nc") or shutil.which("netcat") or shutil.which("socat")
    if program is None:
        pytest.skip("no netcat")
    netcat = ["-q", "5", "127.0.0.1", str(server.port)]
    target = ["-", f"TCP:127.0.0.1:{server.port}"] if program.endswith("socat") else netcat
    lines = [
        {"id": 1, "method": "create_accounts", "params": accounts([1001, 2002])},
        {"id": 2, "method": "create_transfers", "params": [transfer(1001, 2002, 12_500)]},
        {"id": 3, "method": "lookup_accounts", "params": [1001]},
    ]
    text = "".join(json.dumps(line) + "\n" for line in lines).encode()
    done = await asyncio.to_thread(
        subprocess.run, [program, *target], input=text, capture_output=True, timeout=20, check=True
    )
    replies = [json.loads(line) for line in done.stdout.splitlines()]
    assert [reply["id"] for reply in replies] == [1, 2, 3]
    assert replies[2]["result"][0]["debits_posted"] == 12_500


async def test_a_closed_input_is_answered_then_closed(server: Server) -> None:
    """A client that closes its side first, as scripts do; the last line without its LF is dropped."""
    async with await Client.connect(server.port) as client:
        numbers = [client.send("create_accounts", accounts([number])) for number in range(1, 200)]
        client.writer.write(b'{"id":999,"method":"ping"}')
        client.writer.write_eof()
        for number in numbers:
            assert (await client.receive())["id"] == number
        assert await client.receive() is None


async def test_a_client_that_leaves_in_mid_request(server: Server, client: Client) -> None:
    """A whole line still commits; a part of one is dropped."""
    leaver = await Client.connect(server.port)
    leaver.send("create_accounts", accounts([1]))
    leaver.writer.write(b'{"id":2,"method":"create_accounts","params":[{"id":2,')
    await leaver.writer.drain()
    await asyncio.sleep(0.05)
    leaver.writer.transport.abort()
    await asyncio.sleep(0.1)
    one, two = await client.result("lookup_accounts", [1, 2])
    assert one is not None
    assert two is None


async def test_expiry_without_traffic(server: Server, client: Client) -> None:
    """A tick is logged when the time has come, though nobody asks."""
    await client.result("create_accounts", accounts([1, 2]))
    held = transfer(1, 2, 50, flags=["pending"], timeout=1)
    await client.result("create_transfers", [held])
    assert (await client.result("lookup_accounts", [1]))[0]["debits_pending"] == 50
    seq = server.batcher.seq
    await until(lambda: server.batcher.seq != seq, 5)
    assert server.metrics.batches["tick"] == 1
    assert server.engine.pending == 0
    reply = await client.ask("lookup_transfers", [held["id"]])
    assert reply["result"][0]["status"] == "expired"
    assert reply["seq"] == seq + 1


async def test_reads_do_not_append(server: Server, client: Client) -> None:
    await client.result("create_accounts", accounts([1]))
    seq = server.batcher.seq
    for _ in range(5):
        assert (await client.ask("lookup_accounts", [1]))["seq"] == seq
        assert (await client.ask("ping"))["seq"] == seq
        assert (await client.ask("create_transfers", []))["result"] == []
    assert server.batcher.seq == seq
    assert server.metrics.barrier_seconds.counts != [0] * len(server.metrics.barrier_seconds.counts)


async def test_a_digest_goes_into_the_log(server: Server, client: Client) -> None:
    for number in range(1, 130):
        await client.result("create_accounts", accounts([number]))
    digests = [row.seq async for row in server.journal.read(1) if row.digest is not None]
    assert digests == [64, 128]


async def test_the_administrators_methods(server: Server, client: Client) -> None:
    status = await client.result("server_status")
    assert status["state"] == "ready"
    assert status["port"] == server.port
    assert status["log"]["epoch"] == 1
    assert status["snapshot"]["seq"] == 0
    client.send("create_accounts", accounts([1]))
    assert await client.receive()
    assert (await client.result("take_snapshot"))["wanted"] is True
    await until(lambda: server.snapshotter.newest)
    status = await client.result("server_status")
    assert status["snapshot"]["seq"] == status["log"]["seq"]
    assert status["snapshot"]["state_hash"] == server.engine.state_hash().hex()
