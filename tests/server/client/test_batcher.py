"""Single transfers that are sent together."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from server.client import Account, Batcher, Client, ConnectionLost, InvalidParams, Status, Transfer, uuid7
from tests.server.client.double import Double, Once, method


@pytest.fixture
async def double() -> AsyncIterator[Double]:
    async with Double() as double:
        yield double


@pytest.fixture
async def client(double: Double) -> AsyncIterator[Client]:
    async with Client(port=double.port, deadline_s=5) as client:
        await client.create_accounts([Account(1, 156, 10), Account(2, 156, 10)])
        yield client


def pay(amount: int = 5, *flags: str, timestamp: int = 0) -> Transfer:
    return Transfer(uuid7(), 1, 2, amount, 156, 1, flags, timestamp=timestamp)


def sizes(double: Double) -> list[int]:
    return [len(r["params"]) for r in double.requests if r["method"] == "create_transfers"]


async def test_callers_of_one_turn_share_a_request_and_get_their_own_result(client: Client, double: Double) -> None:
    async with Batcher(client, items_max=100) as batcher:
        transfers = [pay(n + 1) for n in range(250)]
        results = await asyncio.gather(*(batcher.transfer(t) for t in transfers))
    assert sizes(double) == [100, 100, 50]
    assert [r.timestamp for r in results] == [double.transfers[t.id]["timestamp"] for t in transfers]
    assert (batcher.requests, batcher.items) == (3, 250)


async def test_while_requests_are_out_the_next_accumulates(client: Client, double: Double) -> None:
    async with Batcher(client, requests_max=1) as batcher:

        async def caller(n: int) -> None:
            for _ in range(n):
                assert (await batcher.transfer(pay())).status is Status.CREATED

        await asyncio.gather(*(caller(20) for _ in range(50)))
    assert sum(sizes(double)) == 1000
    assert len(sizes(double)) <= 60  # twenty rounds of fifty callers, not a thousand requests


async def test_a_lone_transfer_leaves_at_once(client: Client, double: Double) -> None:
    async with Batcher(client) as batcher:
        for _ in range(3):
            await batcher.transfer(pay())
    assert sizes(double) == [1, 1, 1]


async def test_a_chain_is_never_cut_and_fails_as_one(client: Client, double: Double) -> None:
    async with Batcher(client, items_max=10) as batcher:
        groups = await asyncio.gather(
            batcher.chain([pay(1), pay(2), pay(3)]),
            batcher.chain([pay(1, "linked"), pay(2), pay(3), pay(4)]),
            batcher.chain([pay(1), pay(2), pay(3), Transfer(uuid7(), 77, 2, 1, 156, 1)]),
            batcher.transfer(pay()),
        )
        with pytest.raises(ValueError, match="1 to 10"):
            await batcher.chain([pay() for _ in range(11)])
        with pytest.raises(ValueError, match="chain"):
            await batcher.transfer(pay(1, "linked"))
    assert sizes(double) == [7, 5]
    assert [r.status for r in groups[0]] == [Status.CREATED] * 3
    assert [r.status for r in groups[1]] == [Status.CREATED] * 4
    assert [r.status for r in groups[2]] == [Status.LINKED_EVENT_FAILED] * 3 + [Status.DEBIT_ACCOUNT_NOT_FOUND]
    assert groups[3].status is Status.CREATED
    assert double.accounts[1]["debits_posted"] == 6 + 10 + 5


async def test_imported_transfers_travel_apart(client: Client, double: Double) -> None:
    async with Batcher(client) as batcher:
        await asyncio.gather(
            batcher.transfer(pay()),
            batcher.transfer(pay(5, "imported", timestamp=5)),
            batcher.transfer(pay(5, "imported", timestamp=6)),
            batcher.transfer(pay()),
        )
    assert sizes(double) == [1, 2, 1]  # the stand-in asserts that no request mixes them


async def test_only_the_caller_who_erred_hears_of_it(client: Client) -> None:
    async with Batcher(client) as batcher:
        outcomes = await asyncio.gather(
            *(batcher.transfer(pay(amount)) for amount in (1, 666_666, 3)), return_exceptions=True
        )
    assert isinstance(outcomes[1], InvalidParams)
    assert [o.status for o in outcomes[::2] if not isinstance(o, BaseException)] == [Status.CREATED] * 2


async def test_a_lost_answer_costs_nobody_anything(client: Client, double: Double) -> None:
    double.fault = Once("lose", method("create_transfers"))
    async with Batcher(client) as batcher:
        results = await asyncio.gather(*(batcher.transfer(pay()) for _ in range(10)), batcher.chain([pay(), pay()]))
    flat = [*results[:-1], *results[-1]]
    assert all(r.created_or_exists for r in flat)
    assert double.accounts[1]["debits_posted"] == 60


async def test_a_caller_who_gives_up_before_sending_is_left_out(client: Client, double: Double) -> None:
    async with Batcher(client, requests_max=1) as batcher:
        first = asyncio.create_task(batcher.transfer(pay(1)))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        second = asyncio.create_task(batcher.transfer(pay(2)))
        await asyncio.sleep(0)
        second.cancel()
        assert (await first).status is Status.CREATED
    assert second.cancelled()
    assert double.accounts[1]["debits_posted"] == 1


async def test_closing_sends_what_is_queued_and_takes_no_more(client: Client, double: Double) -> None:
    batcher = Batcher(client, items_max=1, requests_max=1)
    tasks = [asyncio.create_task(batcher.transfer(pay())) for _ in range(5)]
    await asyncio.sleep(0)
    await batcher.close()
    assert {(await task).status for task in tasks} == {Status.CREATED}
    with pytest.raises(ConnectionLost):
        await batcher.transfer(pay())
    assert sum(sizes(double)) == 5


async def test_a_client_that_ends_ends_the_callers(client: Client, double: Double) -> None:
    double.fault = Once("silent", method("create_transfers"))
    batcher = Batcher(client)
    task = asyncio.create_task(batcher.transfer(pay()))
    await asyncio.sleep(0.02)
    await client.close()
    with pytest.raises(ConnectionLost):
        await task
    await batcher.close()
