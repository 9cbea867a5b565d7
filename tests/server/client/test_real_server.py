"""Both clients against the real server: killed with -9 under load, and behind connections that break at any byte."""

import asyncio
import random
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from engine._core import records
from examples.local_server import LocalServer
from server.client import (
    Account,
    AccountFlag,
    AccountUpdate,
    Batcher,
    BlockingClient,
    Client,
    InvalidParams,
    Status,
    Transfer,
    TransferFlag,
    account_records,
    transfer_records,
    uuid7,
    uuid7_array,
)
from tests.server.client.proxy import CuttingProxy


@pytest.fixture
def server(tmp_path: Path) -> Iterator[LocalServer]:
    """A server with an empty ledger: each test runs twice, with the same ids."""
    with LocalServer(tmp_path / "data") as server:
        yield server


def accounts(first: int, count: int, flags: AccountFlag | tuple[()] = ()) -> list[Account]:
    return [Account(first + n, 156, 10, flags) for n in range(count)]


async def test_every_method_with_values(server: LocalServer) -> None:
    async with Client(server.host, server.port) as client:
        made = await client.create_accounts([
            Account(100, 156, 10, ["history", "debits_must_not_exceed_credits"], overdraft_limit=50, user_data_128=7),
            Account(101, 156, 11, ["history"], user_data_64=8, user_data_32=9),
        ])  # fmt: skip
        assert [r.status for r in made] == [Status.CREATED] * 2
        pending = Transfer(uuid7(), 100, 101, 30, 156, 1, ["pending"], timeout=600, user_data_128=5)
        post = Transfer(uuid7(), flags=["post_pending_transfer"], amount=20, pending_id=pending.id)
        too_much = Transfer(uuid7(), 100, 101, 31, 156, 1)
        results = await client.create_transfers([pending, post, too_much])
        assert [r.status for r in results] == [Status.CREATED, Status.CREATED, Status.EXCEEDS_CREDITS]
        views = await client.lookup_transfers([pending.id, post.id, too_much.id])
        assert views[2] is None
        assert views[0] is not None
        assert views[1] is not None
        assert (views[0].status, views[0].timeout, views[0].flags) == ("posted", 600, TransferFlag.PENDING)
        assert (views[1].amount, views[1].pending_id, views[1].user_data_128) == (20, views[0].id, 5)
        assert [r.timestamp for r in results[:2]] == [views[0].timestamp, views[1].timestamp]
        one, two, none = await client.lookup_accounts([100, 101, 102])
        assert none is None
        assert one is not None
        assert two is not None
        assert (one.balance, one.overdraft_limit, one.user_data_128, one.code) == (-20, 50, 7, 10)
        assert (two.balance, two.user_data_64, two.user_data_32, two.flags) == (20, 8, 9, AccountFlag.HISTORY)
        assert [t.id for t in await client.get_account_transfers(100)] == [views[0].id, views[1].id]
        assert [t.id for t in await client.get_account_transfers(100, reversed=True, limit=1)] == [views[1].id]
        assert [b.balance for b in await client.get_account_balances(101)] == [0, 20]
        assert [a.id for a in await client.query_accounts(user_data_64=8)] == [101]
        assert [t.id for t in await client.query_transfers(user_data_128=5)] == [views[0].id, views[1].id]
        (update,) = await client.update_accounts([AccountUpdate(100, overdraft_limit=500, frozen=True)])
        assert update.status is Status.UPDATED
        (frozen,) = await client.create_transfers([Transfer(uuid7(), 100, 101, 1, 156, 1)])
        assert frozen.status is Status.DEBIT_ACCOUNT_FROZEN
        assert await client.get_account_balances(424242) == []
        await client.create_accounts([Account(102, 156, 10)])
        with pytest.raises(InvalidParams, match="history"):
            await client.get_account_balances(102)
        assert client.seq >= 3


async def test_every_method_with_arrays(server: LocalServer) -> None:
    async with Client(server.host, server.port) as client:
        made = await client.create_accounts(account_records(accounts(200, 2, AccountFlag.HISTORY)))
        assert made["status"].tolist() == [Status.CREATED] * 2
        array = np.zeros(20_000, records.TRANSFER_COMMAND)
        array["id_lo"], array["id_hi"] = (ids := uuid7_array(len(array))).T
        array["debit_account_id"], array["credit_account_id"] = 200, 201
        array["amount"] = np.arange(len(array)) + 1
        array["ledger"], array["code"] = 156, 1
        results = await client.create_transfers(array)
        assert results["status"].tolist() == [Status.CREATED] * len(array)
        assert (np.diff(results["timestamp"].astype(np.int64)) > 0).all()
        again = await client.create_transfers(array)
        assert again["status"].tolist() == [Status.EXISTS] * len(array)
        assert (again["timestamp"] == results["timestamp"]).all()
        views = await client.lookup_transfers(ids[:5])
        assert views["amount"].tolist() == [1, 2, 3, 4, 5]
        found = await client.lookup_accounts(np.array([200, 999_999], np.uint64))
        assert found["debits_posted"].tolist() == [20_000 * 20_001 // 2, 0]
        balances = await client.get_account_balances(200, arrays=True)
        assert len(balances) == 8190
        assert balances["debits_posted"][-1] == 8190 * 8191 // 2
        transfers = await client.get_account_transfers(200, arrays=True, limit=3)
        assert transfers["id_lo"].tolist() == array["id_lo"][:3].tolist()
        assert len(await client.query_accounts(arrays=True, ledger=156, limit=8190)) == 2
        assert len(await client.query_transfers(arrays=True, limit=10)) == 10


def test_the_blocking_client(server: LocalServer) -> None:
    with BlockingClient(server.host, server.port) as client:
        client.create_accounts(accounts(300, 2))
        results = client.create_transfers([Transfer(uuid7(), 300, 301, 5, 156, 1)])
        assert results[0].status is Status.CREATED
        array = transfer_records([Transfer(uuid7(), 300, 301, 1, 156, 1) for _ in range(10_000)])
        assert client.create_transfers(array)["status"].tolist() == [Status.CREATED] * 10_000
        (view,) = client.lookup_accounts([300])
        assert view is not None
        assert view.debits_posted == 10_005
        with pytest.raises(InvalidParams, match="history"):
            client.get_account_balances(300)


@pytest.mark.parametrize("seed", range(3))
async def test_behind_connections_that_break_at_any_byte(server: LocalServer, seed: int) -> None:
    first = 1000 + 10 * seed
    async with (
        CuttingProxy(server.port, seed=seed, bytes_min=1_000, bytes_max=60_000) as proxy,
        Client(proxy.host, proxy.port, deadline_s=60) as client,
    ):
        await client.create_accounts(accounts(first, 3))
        async with Batcher(client, items_max=40) as batcher:

            async def single(n: int) -> None:
                result = await client.create_transfers([Transfer(uuid7(), first, first + 1, n, 156, 1)])
                assert result[0].created_or_exists

            async def chain(n: int) -> None:
                pair = [
                    Transfer(uuid7(), first + 1, first + 2, n, 156, 1),
                    Transfer(uuid7(), first, first + 2, 1, 156, 1),
                ]
                assert all(result.created_or_exists for result in await batcher.chain(pair))

            await asyncio.gather(*(single(n) for n in range(500)), *(chain(n) for n in range(500)))
        array = transfer_records([Transfer(uuid7(), first, first + 1, 1, 156, 1) for _ in range(2_000)])
        proxy.cutting = False
        bulk = await client.create_transfers(array)
        assert set(bulk["status"].tolist()) <= {Status.CREATED, Status.EXISTS}
        assert proxy.cuts >= 3
        one, two, three = await client.lookup_accounts([first, first + 1, first + 2])
        total = 499 * 500 // 2
        assert one is not None
        assert two is not None
        assert three is not None
        assert (one.debits_posted, two.credits_posted) == (total + 500 + 2_000, total + 2_000)
        assert (two.debits_posted, three.credits_posted) == (total, total + 500)


@pytest.mark.crash
async def test_the_server_killed_under_load(tmp_path: Path) -> None:
    """Each caller keeps what it was told; after three kills the ledger has every acknowledged transfer exactly once."""
    server = LocalServer(tmp_path / "data")
    await asyncio.to_thread(server.start)
    try:
        dice = random.Random(3)
        told: dict[int, tuple[int, int]] = {}
        async with Client(server.host, server.port, deadline_s=120) as client:
            await client.create_accounts(accounts(1, 50))
            stop = asyncio.Event()

            async with Batcher(client) as batcher:

                async def single() -> None:
                    while not stop.is_set():
                        debit, credit = dice.sample(range(1, 51), 2)
                        item = Transfer(uuid7(), debit, credit, dice.randint(1, 1000), 156, 1)
                        result = await batcher.transfer(item)
                        assert result.created_or_exists, result
                        told[item.id] = (item.amount, result.timestamp)

                async def chained() -> None:
                    while not stop.is_set():
                        debit, credit = dice.sample(range(1, 51), 2)
                        chain = [Transfer(uuid7(), debit, credit, n, 156, 2) for n in (1, 2, 3)]
                        results = await batcher.chain(chain)
                        assert all(result.created_or_exists for result in results), results
                        for item, result in zip(chain, results, strict=True):
                            told[item.id] = (item.amount, result.timestamp)

                callers = [asyncio.create_task(single()) for _ in range(40)]
                callers += [asyncio.create_task(chained()) for _ in range(10)]
                for _ in range(3):
                    await asyncio.sleep(dice.uniform(0.3, 0.8))
                    before = client.reconnects
                    await asyncio.to_thread(server.kill)
                    await asyncio.to_thread(server.start)
                    async with asyncio.timeout(60):
                        while client.reconnects == before:  # until the client is back
                            await asyncio.sleep(0.01)
                stop.set()
                await asyncio.gather(*callers)
            assert client.reconnects >= 3
            ids = list(told)
            for first in range(0, len(ids), 5000):
                for id_, view in zip(
                    ids[first:], await client.lookup_transfers(ids[first : first + 5000]), strict=False
                ):
                    assert view is not None
                    assert (view.amount, view.timestamp) == told[id_]
            views = await client.lookup_accounts(list(range(1, 51)))
            debits = sum(view.debits_posted for view in views if view is not None)
            credits_ = sum(view.credits_posted for view in views if view is not None)
            assert debits == credits_ == sum(amount for amount, _ in told.values())
            assert len({timestamp for _, timestamp in told.values()}) == len(told)
            assert len(told) > 300
    finally:
        await asyncio.to_thread(server.stop)


@pytest.mark.crash
def test_the_blocking_client_and_a_server_killed_under_it(tmp_path: Path) -> None:
    server = LocalServer(tmp_path / "data")
    with server, BlockingClient(server.host, server.port, deadline_s=60) as client:
        client.create_accounts(accounts(1, 2))
        done = threading.Event()
        counts = [0]

        def work() -> None:
            while not done.is_set():
                (result,) = client.create_transfers([Transfer(uuid7(), 1, 2, 1, 156, 1)])
                assert result.created_or_exists
                counts[0] += 1

        thread = threading.Thread(target=work)
        thread.start()
        try:
            for _ in range(2):
                done.wait(0.4)
                server.kill()
                server.start()
            done.wait(0.2)
        finally:
            done.set()
            thread.join()
        (view,) = client.lookup_accounts([1])
        assert view is not None
        assert view.debits_posted == counts[0] > 10
