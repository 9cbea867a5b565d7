"""Back-pressure: clients that do not read, and a database that does not answer."""

import asyncio
import json
import socket
from pathlib import Path
from typing import Any

from server.journal import PrivatePostgres
from server.lifecycle import Server
from tests.server.serving.harness import Client, accounts, running, settings_for, stalled, statuses, transfer, until


async def make_history(server: Server, transfers: int = 8_000) -> None:
    async with await Client.connect(server.port) as client:
        await client.result("create_accounts", accounts([1, 2]))
        await client.result("create_transfers", [transfer() for _ in range(transfers)])


async def slow_reader(port: int, requests: int) -> socket.socket:
    """A client that asks for a lot (about 2.5 MB a request) and reads nothing."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    sock.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(sock, ("127.0.0.1", port))
    line = json.dumps({"id": 1, "method": "query_transfers", "params": {"limit": 8_000}}).encode() + b"\n"
    await loop.sock_sendall(sock, line * requests)
    return sock


async def test_a_client_that_does_not_read_is_not_read(tmp_path: Path, database: str) -> None:
    """500 requests would be answered with 1.3 GB; it costs the server no more than its marks, and others nothing."""
    settings = settings_for(tmp_path, database_url=database)
    async with running(settings) as server:
        await make_history(server)
        sock = await slow_reader(server.port, 500)
        await until(server.acceptor.paused_count)
        waits = 0
        async with await Client.connect(server.port) as other:
            for _ in range(100):
                await other.result("lookup_accounts", [1, 2])
                assert statuses(await other.result("create_transfers", [transfer()])) == ["created"]
                waiting = [one.transport.get_write_buffer_size() for one in server.batcher.connections.values()]
                waits = max(waits, *waiting)
        # The answers of the batch in flight and of the open one may come on top of the mark.
        assert settings.write_high_bytes < waits < settings.write_high_bytes + 24 * 2**20
        assert server.acceptor.paused_count() == 1
        reads = server.metrics.requests["read"]
        await asyncio.sleep(0.2)
        assert server.metrics.requests["read"] == reads
        # When it reads after all, it gets every answer.
        loop = asyncio.get_running_loop()
        lines = size = 0
        while lines < 6:
            data = await loop.sock_recv(sock, 2**20)
            lines += data.count(b"\n")
            size += len(data)
        assert size > 6 * 2 * 2**20
        sock.close()
        await until(lambda: not server.batcher.connections)


async def test_a_client_that_never_reads_is_dropped(tmp_path: Path, database: str) -> None:
    settings = settings_for(tmp_path, database_url=database, items_batch_max=1_000, user_timeout_seconds=2)
    async with running(settings) as server:
        await make_history(server)
        sock = await slow_reader(server.port, 100)
        async with await Client.connect(server.port) as other:
            async with asyncio.timeout(15):
                while server.metrics.connections_dropped["slow_reader"] == 0:
                    assert statuses(await other.result("create_transfers", [transfer()])) == ["created"]
                    await asyncio.sleep(0.05)
            assert len(server.batcher.connections) == 1
            assert (await other.result("lookup_accounts", [1]))[0]["id"] == 1
        sock.close()


async def test_a_client_over_the_cap_is_dropped_at_once(server: Server, client: Client) -> None:
    await client.result("ping")
    async with await Client.connect(server.port) as other:
        await other.result("ping")
        connection = server.batcher.connections[1]
        connection.outstanding += 1
        connection.send(bytes(server.settings.write_cap_bytes + 2**24))
        await until(lambda: len(server.batcher.connections) == 1)
        assert server.metrics.connections_dropped["slow_reader"] == 1
        await other.result("ping")


async def test_nobody_starves_behind_a_client_that_fills_every_batch(tmp_path: Path, database: str) -> None:
    settings = settings_for(tmp_path, database_url=database, items_batch_max=100, items_request_max=1_000)
    async with running(settings) as server:
        greedy, modest = [await Client.connect(server.port) for _ in range(2)]
        await greedy.result("create_accounts", accounts([1, 2]))
        lines = [greedy.send("create_transfers", [transfer() for _ in range(100)]) for _ in range(300)]
        await until(lambda: server.batcher.waiting)
        for _ in range(5):
            await modest.result("create_transfers", [transfer()])
        assert server.engine.transfers < 300 * 100, "the modest client was answered while the greedy one still waited"
        for number in lines:
            assert (await greedy.receive())["id"] == number
        await greedy.close()
        await modest.close()


async def test_busy_when_the_database_stalls(tmp_path: Path, database: str, postgres_18: PrivatePostgres) -> None:
    """What waits longer than the target is refused unexecuted, each client in its order; what is in flight is not."""
    settings = settings_for(tmp_path, database_url=database, queue_delay_ms_max=300)
    async with running(settings) as server:
        first, second = [await Client.connect(server.port) for _ in range(2)]
        await first.result("create_accounts", accounts([1, 2]))
        sent, refused = transfer(), transfer()
        with stalled(postgres_18):
            flying = first.send("create_transfers", [sent])
            await until(lambda: server.batcher.in_flight_since)
            await asyncio.sleep(0.05)
            behind = first.send("create_transfers", [refused])
            ping = first.send("ping")
            wrong = first.send("nonsense")
            other = second.send("create_transfers", [transfer()])
            # The second client waits for nothing that is in flight: it hears at once.
            reply = await second.receive()
            assert reply["id"] == other
            assert reply["error"]["code"] == -32003
            assert server.batcher.stalled
            assert not server.ready
            # Nor is it refused for long without asking again: each request gets its answer.
            for _ in range(3):
                assert (await second.ask("create_transfers", [transfer()]))["error"]["code"] == -32003
            await asyncio.sleep(0.1)
            assert not first.reader._buffer, "a reply came before the commit that it waits for"
        replies = [await first.receive() for _ in range(4)]
        assert [reply["id"] for reply in replies] == [flying, behind, ping, wrong]
        assert statuses(replies[0]["result"]) == ["created"]
        assert [reply["error"]["code"] for reply in replies[1:]] == [-32003, -32003, -32601]
        await until(lambda: server.ready)
        found = await first.result("lookup_transfers", [sent["id"], refused["id"]])
        assert [bool(one) for one in found] == [True, False]
        assert statuses(await first.result("create_transfers", [refused])) == ["created"]
        assert server.metrics.requests_refused["queue_delay"] == 6
        await first.close()
        await second.close()


async def test_a_flood_behind_a_stalled_database_is_bounded(
    tmp_path: Path, database: str, postgres_18: PrivatePostgres
) -> None:
    """Many clients pipeline into a database that stands still: all are answered, in order, once each."""
    settings = settings_for(tmp_path, database_url=database, queue_delay_ms_max=200, items_batch_max=500)
    async with running(settings) as server:
        async with await Client.connect(server.port) as client:
            await client.result("create_accounts", accounts([1, 2]))

        async def one() -> tuple[int, int]:
            created = busy = 0
            async with await Client.connect(server.port) as client:
                numbers = [client.send("create_transfers", [transfer()]) for _ in range(1_000)]
                for number in numbers:
                    reply = await client.receive()
                    assert reply["id"] == number
                    if "error" in reply:
                        assert reply["error"]["code"] == -32003
                        busy += 1
                    else:
                        created += len(reply["result"])
            return created, busy

        with stalled(postgres_18):
            working = [asyncio.create_task(one()) for _ in range(10)]
            await asyncio.sleep(1.5)
        outcomes = await asyncio.gather(*working)
        created, busy = (sum(column) for column in zip(*outcomes, strict=True))
        assert created + busy == 10_000
        assert busy > 0
        assert created > 0
        assert server.engine.transfers == created
        refused = server.metrics.requests_refused
        assert refused["queue_delay"] > 0
        assert refused["queue_delay"] + refused["overload"] == busy
        assert not server.batcher._held
        assert len(server.batcher._spare) <= 3


async def test_who_waits_too_long_for_room_is_told(tmp_path: Path, database: str) -> None:
    """More is sent than can be served: some of it is refused, in order, and what is served is served on."""
    settings = settings_for(tmp_path, database_url=database, queue_delay_ms_max=60, items_batch_max=50)
    async with running(settings) as server:
        async with await Client.connect(server.port) as client:
            await client.result("create_accounts", accounts([1, 2]))

        append = server.journal.append

        async def slow(*row: Any) -> int:
            seq = await append(*row)
            await asyncio.sleep(0.01)
            return seq

        server.batcher._log.append = slow  # type: ignore[method-assign]

        async def one() -> tuple[int, int]:
            created = busy = 0
            async with await Client.connect(server.port) as client:
                numbers = [client.send("create_transfers", [transfer()]) for _ in range(300)]
                for number in numbers:
                    reply = await client.receive()
                    assert reply["id"] == number
                    if "error" in reply:
                        assert reply["error"]["code"] == -32003
                        busy += 1
                    else:
                        created += len(reply["result"])
            return created, busy

        outcomes = await asyncio.gather(*[one() for _ in range(20)])
        created, busy = (sum(column) for column in zip(*outcomes, strict=True))
        assert created + busy == 6_000
        assert busy > 0
        assert created >= 6_000 // 4, "refusing takes no more batches than serving"
        assert server.engine.transfers == created
        refused = server.metrics.requests_refused
        assert refused["overload"] > 0
        assert refused["overload"] + refused["queue_delay"] == busy
        assert not server.batcher._held
        async with await Client.connect(server.port) as client:  # it is over, and so is the refusing
            assert statuses(await client.result("create_transfers", [transfer()])) == ["created"]


async def test_nothing_is_answered_before_its_commit(
    tmp_path: Path, database: str, postgres_18: PrivatePostgres
) -> None:
    """Reads, pings and mistakes behind a write wait for it too: memory runs ahead, nobody sees it."""
    async with running(settings_for(tmp_path, database_url=database)) as server:
        writer, reader = [await Client.connect(server.port) for _ in range(2)]
        await writer.result("create_accounts", accounts([1, 2]))
        with stalled(postgres_18):
            writer.send("create_transfers", [transfer(1, 2, 70)])
            await until(lambda: server.engine.transfers == 1)
            reader.send("lookup_accounts", [1])
            reader.send("ping")
            await asyncio.sleep(0.3)
            assert not reader.reader._buffer
            assert not writer.reader._buffer
        assert statuses((await writer.receive())["result"]) == ["created"]
        assert (await reader.receive())["result"][0]["debits_posted"] == 70
        assert "result" in await reader.receive()
        await writer.close()
        await reader.close()
