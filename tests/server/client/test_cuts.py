"""Connections that break at any byte: every transfer is posted exactly once."""

import asyncio

import pytest

from server.client import Account, Batcher, Client, Status, Transfer, uuid7
from tests.server.client.double import Double
from tests.server.client.proxy import CuttingProxy


@pytest.mark.parametrize("seed", range(4))
async def test_single_transfers_through_a_cutting_proxy(seed: int) -> None:
    async with (
        Double() as double,
        CuttingProxy(double.port, seed=seed, bytes_min=200, bytes_max=25_000) as proxy,
        Client(port=proxy.port, deadline_s=30) as client,
    ):
        await client.create_accounts([Account(1, 156, 10), Account(2, 156, 10)])
        transfers = [Transfer(uuid7(), 1, 2, n, 156, 1) for n in range(1, 1001)]
        results = await asyncio.gather(*(client.create_transfers([t]) for t in transfers))
        proxy.cutting = False
        assert all(r[0].created_or_exists for r in results)
        (one,) = await client.lookup_accounts([1])
        assert one is not None
        assert one.debits_posted == sum(range(1, 1001))
        assert len(double.transfers) == 1000
        assert proxy.cuts > 3
        assert client.reconnects == proxy.cuts


async def test_chains_and_batches_through_a_cutting_proxy() -> None:
    async with (
        Double() as double,
        CuttingProxy(double.port, seed=7, bytes_min=500, bytes_max=25_000) as proxy,
        Client(port=proxy.port, deadline_s=30) as client,
    ):
        await client.create_accounts([Account(1, 156, 10), Account(2, 156, 10)])
        async with Batcher(client, items_max=50) as batcher:

            async def caller() -> None:
                for n in range(1, 11):
                    chain = [Transfer(uuid7(), 1, 2, n, 156, 1), Transfer(uuid7(), 2, 1, 1, 156, 1)]
                    answers = await batcher.chain(chain)
                    assert all(a.created_or_exists for a in answers), answers
                    single = await batcher.transfer(Transfer(uuid7(), 77, 2, n, 156, 1))
                    assert single.status in {Status.DEBIT_ACCOUNT_NOT_FOUND, Status.ID_ALREADY_FAILED}

            await asyncio.gather(*(caller() for _ in range(30)))
        proxy.cutting = False
        assert double.accounts[1]["debits_posted"] == 30 * sum(range(1, 11))
        assert double.accounts[2]["debits_posted"] == 300
        assert proxy.cuts > 3
        assert client.resends > 0
