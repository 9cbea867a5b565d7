"""A leader that was replaced neither writes nor answers, and says why it ended."""

import asyncio
from pathlib import Path

import pytest

from server.journal import Fenced, Journal
from server.lifecycle import Exit, Server, exit_code_of
from tests.server.serving.harness import Client, accounts, settings_for, transfer, until


@pytest.mark.parametrize("method", ["create_transfers", "lookup_accounts", "ping"])
async def test_a_replaced_leader_answers_nothing(tmp_path: Path, database: str, method: str) -> None:
    old = Server(settings_for(tmp_path / "old", database_url=database))
    await old.start()
    try:
        client = await Client.connect(old.port)
        await client.result("create_accounts", accounts([1, 2]))
        successor = await Journal.open(database)
        await successor.take_over()
        params = {"create_transfers": [transfer()], "lookup_accounts": [1]}.get(method)
        client.send(method, params)
        assert await client.ended()
        await until(lambda: old.fatal)
        assert isinstance(old.fatal, Fenced)
        assert exit_code_of(old.fatal) == Exit.FENCED
        assert old.metrics.requests["write"] == 1
        with pytest.raises(ConnectionRefusedError):
            await Client.connect(old.port)
        head = await successor.newest()
        assert head == successor.head, "the replaced leader wrote nothing"
        await client.close()
        await successor.close()
    finally:
        await old.stop()


async def test_the_successor_has_everything_that_was_acknowledged(tmp_path: Path, database: str) -> None:
    """Handing over under load: every transfer that was answered is there, once, in the new leader."""
    old = Server(settings_for(tmp_path / "old", database_url=database))
    await old.start()
    acknowledged: list[str] = []

    async def load(number: int) -> None:
        async with await Client.connect(old.port) as client:
            while True:
                item = transfer(1, 2)
                client.send("create_transfers", [item])
                reply = await client.receive()
                if reply is None:
                    return
                assert reply["result"][0]["status"] == "created"
                acknowledged.append(item["id"])

    async with await Client.connect(old.port) as client:
        await client.result("create_accounts", accounts([1, 2]))
    working = [asyncio.create_task(load(number)) for number in range(8)]
    await until(lambda: len(acknowledged) > 200)
    new = Server(settings_for(tmp_path / "new", database_url=database))
    await new.start()
    try:
        await asyncio.gather(*working, return_exceptions=True)
        await until(lambda: old.fatal)
        async with await Client.connect(new.port) as client:
            found = await client.result("lookup_transfers", acknowledged)
            assert all(found)
            account = (await client.result("lookup_accounts", [1]))[0]
            assert account["debits_posted"] == new.engine.transfers
            assert len(acknowledged) <= new.engine.transfers <= len(acknowledged) + 8
    finally:
        await old.stop()
        await new.stop()
