"""Spinning: the loop does not sleep while few requests wait for a commit, and only then."""

import asyncio
import os
import time
from pathlib import Path

import pytest

from server.batcher import SPIN_REQUESTS_MAX, Batcher
from tests.server.serving.harness import Client, accounts, running, settings_for, statuses, transfer, until

pytestmark = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="a single CPU does not spin")


@pytest.fixture
def turns(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How often a spinning loop turned, in the last place; a new place is begun by the test."""
    counts = [0]
    spin_on = Batcher._spin_on

    def counting(self: Batcher) -> None:
        counts[-1] += 1
        spin_on(self)

    monkeypatch.setattr(Batcher, "_spin_on", counting)
    return counts


async def test_it_spins_for_few_requests_and_ends(tmp_path: Path, database: str, turns: list[int]) -> None:
    settings = settings_for(tmp_path, database_url=database, spin_microseconds=5_000)
    async with running(settings) as server, await Client.connect(server.port) as client:
        await client.result("create_accounts", accounts([1, 2]))
        for _ in range(20):
            assert statuses(await client.result("create_transfers", [transfer()])) == ["created"]
        assert turns[-1] > 20
        await until(lambda: not server.batcher._spinning)
        turns.append(0)
        await asyncio.sleep(0.1)
        assert turns[-1] == 0
        many = [asyncio.ensure_future(flood(server.port)) for _ in range(4 * SPIN_REQUESTS_MAX)]
        await asyncio.gather(*many)
        await until(lambda: not server.batcher._spinning)
        began = time.monotonic()
        await client.result("lookup_accounts", [1, 2])  # reads spin, too
        assert time.monotonic() - began < 5
        assert server.engine.transfers == 20 + 4 * SPIN_REQUESTS_MAX * 50


async def flood(port: int) -> None:
    async with await Client.connect(port) as client:
        for _ in range(50):
            await client.result("create_transfers", [transfer()])


async def test_it_does_not_unless_it_is_asked_to(tmp_path: Path, database: str, turns: list[int]) -> None:
    async with (
        running(settings_for(tmp_path, database_url=database)) as server,
        await Client.connect(server.port) as client,
    ):
        await client.result("create_accounts", accounts([1, 2]))
        await client.result("create_transfers", [transfer()])
        assert turns == [0]
