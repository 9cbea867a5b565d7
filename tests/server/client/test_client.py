"""The asyncio client against a stand-in that loses, delays and garbles answers on demand."""

import asyncio
import math
import uuid
from collections.abc import AsyncIterator

import numpy as np
import pytest

from engine._core import records
from server.client import (
    Account,
    AccountUpdate,
    Busy,
    Client,
    ConnectionLost,
    DeadlineExceeded,
    InvalidParams,
    Logon,
    NotLoggedOn,
    ProtocolError,
    RequestError,
    Status,
    Transfer,
    account_records,
    transfer_records,
    update_records,
    uuid7,
)
from tests.server.client.double import Double, Once, method, until


@pytest.fixture
async def double() -> AsyncIterator[Double]:
    async with Double() as double:
        yield double


@pytest.fixture
async def client(double: Double) -> AsyncIterator[Client]:
    async with Client(port=double.port, deadline_s=5) as client:
        await client.create_accounts([Account(1, 156, 10), Account(2, 156, 10)])
        yield client


def pay(amount: int = 5, debit: int = 1, credit: int = 2, *, flags: tuple[str, ...] = ()) -> Transfer:
    return Transfer(uuid7(), debit, credit, amount, 156, 1, flags)


async def test_values_go_there_and_come_back(client: Client) -> None:
    transfer = pay()
    (result,) = await client.create_transfers([transfer])
    assert result.status is Status.CREATED
    assert result.created_or_exists
    (view,) = await client.lookup_transfers([transfer.id])
    assert view is not None
    assert (view.id.int, view.amount, view.status) == (transfer.id, 5, "posted")
    one, none = await client.lookup_accounts([1, 99])
    assert one is not None
    assert one.balance == -5
    assert none is None
    assert client.seq == 2
    assert await client.ping() >= 1000


async def test_arrays_go_there_and_come_back(client: Client) -> None:
    accounts = await client.create_accounts(account_records([Account(3, 156, 10), Account(2, 156, 10)]))
    assert accounts.dtype == records.RESULT
    assert accounts["status"].tolist() == [Status.CREATED, Status.EXISTS]
    transfers = [pay(amount) for amount in (1, 2, 3)]
    answers = await client.create_transfers(transfer_records(transfers))
    assert answers.dtype == records.RESULT
    assert answers["status"].tolist() == [Status.CREATED] * 3
    ids = np.array([[t.id & (2**64 - 1), t.id >> 64] for t in transfers], np.uint64)
    views = await client.lookup_transfers(ids)
    assert views.dtype == records.TRANSFER_VIEW
    assert views["amount"].tolist() == [1, 2, 3]
    found = await client.lookup_accounts(np.array([1, 99], np.uint64))
    assert found["debits_posted"].tolist() == [6, 0]
    assert found["id"].tolist() == [1, 0]
    history = await client.get_account_transfers(1, arrays=True)
    assert history["amount"].tolist() == [1, 2, 3]
    updates = await client.update_accounts(update_records([AccountUpdate(1, frozen=True)]))
    assert updates["status"].tolist() == [Status.UPDATED]
    with pytest.raises(TypeError, match=r"transfers\.id_lo: is missing"):
        await client.create_transfers(account_records([Account(3, 156, 10)]))


async def test_calls_of_one_turn_leave_in_one_write_and_in_order(client: Client, double: Double) -> None:
    before = len(double.requests)
    results = await asyncio.gather(*(client.call("slow", {"n": n}) for n in range(500)))
    assert results == [{"n": n} for n in range(500)]
    assert [r["params"]["n"] for r in double.requests[before:]] == list(range(500))
    assert double.connections == 1


async def test_a_lost_answer_is_asked_for_again_and_posts_once(client: Client, double: Double) -> None:
    double.fault = Once("lose", method("create_transfers"))
    transfer = pay()
    (result,) = await client.create_transfers([transfer])
    assert result.status is Status.EXISTS
    assert result.created_or_exists
    assert result.timestamp == double.transfers[transfer.id]["timestamp"]
    assert double.accounts[1]["debits_posted"] == 5
    sent = [line for line in double.lines if b"create_transfers" in line]
    assert sent[0] == sent[1]
    assert (client.reconnects, client.resends) == (1, 1)


async def test_everything_in_flight_is_sent_again_in_its_order(client: Client, double: Double) -> None:
    seen = 0

    def third(_double: Double, request: dict[str, object]) -> str | None:
        nonlocal seen
        seen += request["method"] == "create_transfers"
        return "lose" if seen == 3 else None

    double.fault = third
    transfers = [pay(n) for n in range(1, 11)]
    results = await asyncio.gather(*(client.create_transfers([t]) for t in transfers))
    assert [r[0].status for r in results] == [Status.CREATED] * 2 + [Status.EXISTS] + [Status.CREATED] * 7
    assert double.accounts[1]["debits_posted"] == sum(range(1, 11))
    numbers = [n for what, n in double.executed if what == "transfer"]
    assert numbers == [t.id for t in [*transfers[:3], *transfers[2:]]]


async def test_a_refusal_whose_answer_was_lost_stays_a_refusal(client: Client, double: Double) -> None:
    double.fault = Once("lose", method("create_transfers"))
    (result,) = await client.create_transfers([pay(debit=77)])
    assert result.status is Status.ID_ALREADY_FAILED
    assert not result.created_or_exists


@pytest.mark.parametrize("arrays", [False, True])
async def test_a_chain_that_met_its_own_copy_is_settled(client: Client, double: Double, arrays: bool) -> None:
    chain = [pay(1, flags=("linked",)), pay(2, flags=("linked",)), pay(3)]
    single = pay(4)
    double.fault = Once("lose", method("create_transfers"))
    if arrays:
        answer = await client.create_transfers(transfer_records([*chain, single]))
        statuses, times = answer["status"].tolist(), answer["timestamp"].tolist()
    else:
        results = await client.create_transfers([*chain, single])
        statuses, times = [r.status for r in results], [r.timestamp for r in results]
    assert statuses == [Status.EXISTS] * 4
    assert times == [double.transfers[t.id]["timestamp"] for t in [*chain, single]]
    assert double.accounts[1]["debits_posted"] == 10


async def test_a_chain_that_was_refused_is_not_taken_for_done(client: Client, double: Double) -> None:
    first = pay(1, flags=("linked",))
    await client.create_transfers([first, pay(2)])
    # The same first member with another second one: the chain as asked is not in the ledger.
    double.fault = Once("lose", method("create_transfers"))
    results = await client.create_transfers([first, pay(9)])
    assert [r.status for r in results] == [Status.EXISTS, Status.LINKED_EVENT_FAILED]


async def test_settling_after_the_process_itself_started_anew(client: Client) -> None:
    chain = [pay(1, flags=("linked",)), pay(2)]
    await client.create_transfers(chain)
    again = await client.create_transfers(chain)
    assert [r.status for r in again] == [Status.EXISTS, Status.LINKED_EVENT_FAILED]
    assert all(r.created_or_exists for r in await client.settle_transfers(chain, again))


async def test_what_is_not_safe_is_not_sent_twice(client: Client, double: Double) -> None:
    double.fault = Once("lose", method("slow"))
    with pytest.raises(ConnectionLost, match="unknown") as caught:
        await client.call("slow", {"n": 1})
    assert caught.value.sent
    assert await client.call("slow", {"n": 2}) == {"n": 2}
    assert [n for what, n in double.executed if what == "slow"] == [1, 2]
    double.fault = Once("lose", method("slow"))
    assert await client.call("slow", {"n": 3}, safe=True) == {"n": 3}


async def test_updates_are_sent_again_unless_told_otherwise(client: Client, double: Double) -> None:
    double.fault = Once("lose", method("update_accounts"))
    (result,) = await client.update_accounts([AccountUpdate(1, overdraft_limit=5)])
    assert result.status is Status.UPDATED
    async with Client(port=double.port, resend_updates=False) as careful:
        double.fault = Once("lose", method("update_accounts"))
        with pytest.raises(ConnectionLost):
            await careful.update_accounts([AccountUpdate(1, frozen=True)])


async def test_busy_is_tried_again(client: Client, double: Double) -> None:
    double.fault = Once("busy", method("create_transfers"), times=4)
    (result,) = await client.create_transfers([pay()])
    assert result.status is Status.CREATED


async def test_busy_until_the_deadline(client: Client, double: Double) -> None:
    double.fault = Once("busy", method("ping"), times=10**6)
    with pytest.raises(Busy, match="busy"):
        await client.ping(deadline_s=0.1)
    double.fault = Once("busy", method("ping"), times=0)
    assert await client.ping()


async def test_deadline_says_whether_the_request_had_left(client: Client, double: Double) -> None:
    double.fault = Once("silent", method("slow"))
    with pytest.raises(DeadlineExceeded, match="unknown") as caught:
        await client.call("slow", {"n": 1}, deadline_s=0.05)
    assert caught.value.sent
    await double.stop()
    await until(lambda: not client.connected)
    with pytest.raises(DeadlineExceeded, match="not sent") as caught:
        await client.ping(deadline_s=0.05)
    assert not caught.value.sent
    await double.listen()
    assert await client.ping(deadline_s=math.inf)


async def test_a_late_answer_does_not_shift_the_next(client: Client, double: Double) -> None:
    gate = asyncio.Event()
    real = double._line

    async def slowly(line: bytes, *rest: object) -> bool:
        if b'"n":1}' in line:
            await gate.wait()
        return await real(line, *rest)  # type: ignore[arg-type]

    double._line = slowly  # type: ignore[method-assign]
    with pytest.raises(DeadlineExceeded):
        await client.call("slow", {"n": 1}, deadline_s=0.05)
    second = asyncio.create_task(client.call("slow", {"n": 2}))
    await asyncio.sleep(0.02)
    gate.set()
    assert await second == {"n": 2}
    assert client.reconnects == 0


async def test_a_cancelled_call_that_was_queued_is_never_sent(client: Client, double: Double) -> None:
    await double.stop()
    await until(lambda: not client.connected)
    task = asyncio.create_task(client.call("slow", {"n": 1}))
    await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await double.listen()
    await client.ping()
    assert double.executed == []


async def test_the_window_bounds_what_is_in_flight(double: Double) -> None:
    double.fault = Once("silent", method("slow"), times=10**6)
    async with Client(port=double.port, in_flight_max=3) as client:
        tasks = [asyncio.create_task(client.call("slow", {"n": n}, deadline_s=0.3)) for n in range(10)]
        await asyncio.sleep(0.1)
        assert len(double.executed) == 3
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert [getattr(o, "sent", None) for o in outcomes] == [True] * 3 + [False] * 7
        # Abandoned calls keep their place until the connection is gone.
        with pytest.raises(DeadlineExceeded):
            await client.ping(deadline_s=0.05)
        double.cut()
        assert await client.ping()


async def test_a_write_larger_than_a_request_is_cut_between_chains(double: Double) -> None:
    async with Client(port=double.port, items_max=10) as client:
        await client.create_accounts([Account(n, 156, 10) for n in range(1, 26)])
        flags = [("linked",) if n % 4 != 3 else () for n in range(40)]
        transfers = [pay(n + 1, flags=f) for n, f in enumerate(flags)]
        results = await client.create_transfers(transfers)
        assert [r.status for r in results] == [Status.CREATED] * 40
        sizes = [len(r["params"]) for r in double.requests if r["method"] == "create_transfers"]
        assert sizes == [8, 8, 8, 8, 8]
        arrays = await client.create_transfers(transfer_records(transfers))
        assert arrays["status"].tolist() == ([Status.EXISTS] + [Status.LINKED_EVENT_FAILED] * 3) * 10
        with pytest.raises(ValueError, match="linked chain is longer"):
            await client.create_transfers([pay(1, flags=("linked",)) for _ in range(12)])
    async with Client(port=double.port, line_max=2000) as client:
        await client.create_transfers([pay(1) for _ in range(50)])
        assert max(map(len, double.lines)) < max(2000, max(len(line) for line in double.lines[:6]) + 1)
        assert all(len(line) <= 2000 for line in double.lines[-8:])


async def test_an_error_belongs_to_its_call_alone(client: Client) -> None:
    good, bad, more = await asyncio.gather(
        client.create_transfers([pay()]),
        client.create_transfers([pay(666_666)]),
        client.create_transfers([pay()]),
        return_exceptions=True,
    )
    assert not isinstance(good, BaseException)
    assert not isinstance(more, BaseException)
    assert isinstance(bad, InvalidParams)
    assert bad.code == -32602
    assert bad.message == "params[0].amount: 666666 is not allowed here"
    with pytest.raises(RequestError, match="unknown method"):
        await client.call("nonsense", {})


@pytest.mark.parametrize("fault", ["garbage", "other id"])
async def test_nonsense_from_the_server_costs_the_connection_not_the_call(
    client: Client, double: Double, fault: str
) -> None:
    double.fault = Once(fault, method("create_transfers"))
    (result,) = await client.create_transfers([pay()])
    assert result.status is Status.EXISTS
    assert client.reconnects == 1


async def test_another_number_of_answers_is_an_error(client: Client, double: Double) -> None:
    double.do_lookup_accounts = lambda _params: []  # type: ignore[method-assign]
    with pytest.raises(ProtocolError, match="0 answers for 2 items"):
        await client.lookup_accounts([1, 2])


async def test_notifications_empty_lines_and_cr_are_passed_over(client: Client, double: Double) -> None:
    double.fault = Once("notify", method("slow"))
    assert await client.call("slow", {"n": 1}) == {"n": 1}


async def test_logon_comes_first_on_every_connection(double: Double) -> None:
    double.key = "secret"
    async with Client(port=double.port, logon=Logon("mobile", "secret")) as client:
        await client.create_accounts([Account(1, 156, 10)])
        double.cut()
        await client.create_accounts([Account(1, 156, 10)])
    assert [r["method"] for r in double.requests] == ["logon", "create_accounts"] * 2
    with pytest.raises(NotLoggedOn, match="refused"):
        await Client(port=double.port, logon=Logon("mobile", "wrong")).connect()
    async with Client(port=double.port) as nobody:
        with pytest.raises(NotLoggedOn):
            await nobody.lookup_accounts([1])


async def test_a_refused_logon_later_ends_the_client(double: Double) -> None:
    double.key = "secret"
    async with Client(port=double.port, logon=Logon("mobile", "secret")) as client:
        double.key = "another"
        double.cut()
        with pytest.raises(NotLoggedOn):
            await client.ping()
        with pytest.raises(NotLoggedOn):
            await client.ping()


def test_a_signature_is_what_the_page_says() -> None:
    params = Logon("mobile", "k", sign=True).params()
    assert "key" not in params
    assert set(params) == {"channel", "timestamp", "nonce", "signature"}
    import hashlib
    import hmac

    text = f"mobile|{params['timestamp']}|{params['nonce']}"
    assert params["signature"] == hmac.new(b"k", text.encode(), hashlib.sha256).hexdigest()
    assert "secret" not in repr(Logon("mobile", "secret"))


async def test_nobody_there(unused_tcp_port: int) -> None:
    client = Client(port=unused_tcp_port, connect_deadline_s=0)
    with pytest.raises(ConnectionLost, match="cannot reach"):
        await client.connect()
    with pytest.raises(RuntimeError, match="not open"):
        await Client().ping()


async def test_the_first_connection_waits_for_a_server_that_starts(double: Double) -> None:
    await double.stop()
    task = asyncio.create_task(Client(port=double.port, connect_deadline_s=5).connect())
    await asyncio.sleep(0.1)
    assert not task.done()
    await double.listen()
    await task


async def test_closing_ends_what_waits(client: Client, double: Double) -> None:
    double.fault = Once("silent", method("slow"))
    task = asyncio.create_task(client.call("slow", {"n": 1}))
    await asyncio.sleep(0.02)
    await client.close()
    with pytest.raises(ConnectionLost) as caught:
        await task
    assert caught.value.sent
    with pytest.raises(ConnectionLost):
        await client.ping()


async def test_many_cuts_in_the_middle_post_everything_once(client: Client, double: Double) -> None:
    count = 0

    def sometimes(_double: Double, request: dict[str, object]) -> str | None:
        nonlocal count
        count += 1
        return ("lose" if count % 2 else "cut") if count % 37 == 0 else None

    double.fault = sometimes
    transfers = [pay(n) for n in range(1, 401)]
    results = await asyncio.gather(*(client.create_transfers([t]) for t in transfers))
    assert all(r[0].created_or_exists for r in results)
    assert len(double.transfers) == 400
    assert double.accounts[2]["credits_posted"] == sum(range(1, 401))
    assert client.reconnects >= 8


def test_values_are_checked_where_they_are_made() -> None:
    with pytest.raises(ValueError, match="amount: -1"):
        Transfer(uuid7(), 1, 2, -1, 156, 1)
    with pytest.raises(ValueError, match=r"amount: 1\.0"):
        Transfer(uuid7(), 1, 2, 1.0, 156, 1)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="amount: True"):
        Transfer(uuid7(), 1, 2, True, 156, 1)
    with pytest.raises(ValueError, match="no transfer flag 'pendng'"):
        Transfer(uuid7(), 1, 2, 1, 156, 1, ["pendng"])
    with pytest.raises(ValueError, match="bare number"):
        Transfer(uuid7(), 1, 2, 1, 156, 1, 2)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="not UUID text"):
        Transfer("xyz", 1, 2, 1, 156, 1)
    with pytest.raises(ValueError, match="are not ids"):
        Transfer(uuid.UUID(int=0), 1, 2, 1, 156, 1)
    with pytest.raises(ValueError, match="may be left out"):
        Transfer(uuid7(), 1, 2, ledger=156, code=1)
    with pytest.raises(ValueError, match="id: 0"):
        Account(0, 156, 1)
    assert Transfer(uuid7(), flags=["void_pending_transfer"], pending_id=uuid7()).amount == 2**64 - 1
    names = Account(1, 156, 1, ["history", "frozen"]).flags
    assert names == Account(1, 156, 1, names).flags
