"""The blocking client against the same stand-in, which runs in a thread of its own."""

import asyncio
import threading
from collections.abc import Iterator

import numpy as np
import pytest

from server.client import (
    Account,
    AccountUpdate,
    BlockingClient,
    Busy,
    ConnectionLost,
    DeadlineExceeded,
    InvalidParams,
    Logon,
    NotLoggedOn,
    Status,
    Transfer,
    transfer_records,
    uuid7,
)
from tests.server.client.double import Double, Once, method


@pytest.fixture
def double() -> Iterator[Double]:
    double = Double()
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    asyncio.run_coroutine_threadsafe(double.listen(), loop).result()
    yield double
    asyncio.run_coroutine_threadsafe(double.stop(), loop).result()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.fixture
def client(double: Double) -> Iterator[BlockingClient]:
    with BlockingClient(port=double.port, deadline_s=5) as client:
        client.create_accounts([Account(1, 156, 10), Account(2, 156, 10)])
        yield client


def pay(amount: int = 5, *flags: str) -> Transfer:
    return Transfer(uuid7(), 1, 2, amount, 156, 1, flags)


def test_values_and_arrays(client: BlockingClient) -> None:
    transfers = [pay(1), pay(2)]
    assert [r.status for r in client.create_transfers(transfers)] == [Status.CREATED] * 2
    assert client.create_transfers(transfer_records(transfers))["status"].tolist() == [Status.EXISTS] * 2
    (one,) = client.lookup_accounts([1])
    assert one is not None
    assert one.debits_posted == 3
    assert client.lookup_accounts(np.array([1, 9], np.uint64))["debits_posted"].tolist() == [3, 0]
    assert [t.amount for t in client.get_account_transfers(1)] == [1, 2]
    assert client.get_account_transfers(1, arrays=True)["amount"].tolist() == [1, 2]
    assert client.update_accounts([AccountUpdate(1, frozen=True)])[0].status is Status.UPDATED
    assert client.ping() > 0
    assert client.seq == 4
    assert client.call("slow", {"n": 1}) == {"n": 1}


@pytest.mark.parametrize("fault", ["lose", "cut"])
def test_a_lost_answer_is_asked_for_again(client: BlockingClient, double: Double, fault: str) -> None:
    double.fault = Once(fault, method("create_transfers"))
    (result,) = client.create_transfers([pay()])
    assert result.status is (Status.EXISTS if fault == "lose" else Status.CREATED)
    assert double.accounts[1]["debits_posted"] == 5
    assert client.resends == 1


def test_a_chain_that_met_its_own_copy(client: BlockingClient, double: Double) -> None:
    double.fault = Once("lose", method("create_transfers"))
    results = client.create_transfers([pay(1, "linked"), pay(2)])
    assert [r.status for r in results] == [Status.EXISTS] * 2


def test_what_is_not_safe(client: BlockingClient, double: Double) -> None:
    double.fault = Once("lose", method("slow"))
    with pytest.raises(ConnectionLost, match="unknown") as caught:
        client.call("slow", {"n": 1})
    assert caught.value.sent
    assert client.call("slow", {"n": 2}) == {"n": 2}


def test_busy_and_deadlines(client: BlockingClient, double: Double) -> None:
    double.fault = Once("busy", method("ping"), times=3)
    assert client.ping()
    double.fault = Once("busy", method("ping"), times=10**6)
    with pytest.raises(Busy):
        client.ping(deadline_s=0.1)
    double.fault = Once("silent", method("ping"), times=1)
    with pytest.raises(DeadlineExceeded) as caught:
        client.ping(deadline_s=0.05)
    assert caught.value.sent
    assert client.ping()


def test_errors_and_cut_up_writes(client: BlockingClient, double: Double) -> None:
    with pytest.raises(InvalidParams, match="666666"):
        client.create_transfers([pay(666_666)])
    with BlockingClient(port=double.port, items_max=3) as small:
        assert len(small.create_transfers([pay() for _ in range(8)])) == 8
    assert [len(r["params"]) for r in double.requests if r["method"] == "create_transfers"][-3:] == [3, 3, 2]


def test_logon_and_nobody_there(double: Double, unused_tcp_port: int) -> None:
    double.key = "secret"
    with BlockingClient(port=double.port, logon=Logon("mobile", "secret")) as client:
        client.create_accounts([Account(1, 156, 10)])
    with pytest.raises(NotLoggedOn):
        BlockingClient(port=double.port, logon=Logon("mobile", "wrong")).connect()
    with pytest.raises(ConnectionLost, match="cannot reach"):
        BlockingClient(port=unused_tcp_port, connect_deadline_s=0).connect()
