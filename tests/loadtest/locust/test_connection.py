"""The greenlets' connection against servers that are slow, wrong, or gone for a moment.

The module needs gevent, which Locust brings, but not Locust: nothing of this process is patched.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

pytest.importorskip("gevent")

import gevent

from loadtest.locust.asked import Judgement, Request, asked
from loadtest.locust.connection import Address, Connection, ConnectionLostError
from loadtest.locust.tally import Tally
from tests.loadtest.locust.slow import Answer, Slow, slow, taken

SLACK = 0.25
"""What a busy machine may add to a delay. Less than what adding up a pipeline's delays would."""

Ended = tuple[Request, float, str | None]


@contextmanager
def connected(server: Slow, allowed: tuple[str, ...] = (), **values: Any) -> Iterator[tuple[Connection, list[Ended]]]:
    ended: list[Ended] = []

    def report(request: Request, seconds: float, length: int, failure: str | None) -> None:
        assert length > 0 or failure is not None
        ended.append((request, seconds, failure))

    judgement = Judgement(Tally(), allowed)
    connection = Connection(Address("127.0.0.1", server.port), judgement, report, **values)
    try:
        yield connection, ended
    finally:
        connection.close()


def transfer(number: int) -> Request:
    return asked("create_transfers", [{"id": number}], number)


def once(answer: Answer) -> Answer:
    """Only the first time; afterwards all goes well."""
    calls: list[None] = []

    def wrapped(request: dict[str, Any]) -> dict[str, Any] | None:
        calls.append(None)
        return answer(request) if len(calls) == 1 else taken(request)

    return wrapped


def test_each_request_of_a_pipeline_has_its_own_response_time() -> None:
    """Eight in flight, each answered 80 ms after it arrived: 80 ms each, and not 80, 160, … 640."""
    with slow(delay=lambda _: 0.08) as server, connected(server) as (connection, ended):
        connection.send([transfer(number) for number in range(8)])
        connection.drain(5)
    assert [request.id for request, _, _ in ended] == list(range(8))
    for _, seconds, failure in ended:
        assert failure is None
        assert 0.08 <= seconds < 0.08 + SLACK


def test_known_delays_are_told_request_by_request() -> None:
    delays = [0.02, 0.1, 0.3, 0.6]
    with slow(delay=lambda number: delays[number]) as server, connected(server) as (connection, ended):
        for number in range(4):
            connection.send([transfer(number)])
        connection.drain(5)
    for (_, seconds, _), delay in zip(ended, delays, strict=True):
        assert delay <= seconds < delay + SLACK


def test_a_plan_counts_from_when_it_was_due() -> None:
    """A request that is sent 100 ms late has waited these 100 ms."""
    with slow(delay=lambda _: 0.02) as server, connected(server) as (connection, ended):
        request = transfer(1)
        request.due = time.perf_counter() - 0.1
        connection.send([request])
        connection.drain(5)
    assert 0.12 <= ended[0][1] < 0.12 + SLACK


def test_room_is_waited_for() -> None:
    with slow(delay=lambda _: 0.05) as server, connected(server) as (connection, ended):
        connection.send([transfer(number) for number in range(4)])
        assert connection.wait_for_room(6) == 2
        began = time.perf_counter()
        assert 1 <= connection.wait_for_room(4) <= 4
        assert 0.02 < time.perf_counter() - began < 0.05 + SLACK
        assert ended


def test_after_a_cut_the_same_requests_are_sent_again_in_order() -> None:
    """The first copy of 2 had arrived: `exists` is what it wanted, and its time counts from the first sending."""
    cut: list[float] = []

    def answer(request: dict[str, Any]) -> dict[str, Any] | None:
        if request["id"] == 2 and not cut:
            cut.append(time.perf_counter())
            return None
        if request["id"] == 2:
            return {"result": [{"status": "exists", "timestamp": 1}], "seq": 1}
        return taken(request)

    with slow(answer, delay=lambda _: 0.02) as server, connected(server) as (connection, ended):
        connection.send([transfer(number) for number in range(5)])
        connection.drain(5)
        assert connection.cuts == 1
        assert server.connections == 2
        assert [request["id"] for request in server.requests] == [0, 1, 2, 3, 4, 2, 3, 4]
        connection.send([transfer(9)])
        connection.drain(5)
        assert dict(connection.judgement.tally.counts) == {
            ("create_transfers", "created"): 5,
            ("create_transfers", "exists"): 1,
        }
    assert [(request.id, failure) for request, _, failure in ended] == [(n, None) for n in (0, 1, 2, 3, 4, 9)]
    assert ended[2][1] >= 0.04


def test_exists_without_a_cut_is_a_failure() -> None:
    def answer(_: dict[str, Any]) -> dict[str, Any]:
        return {"result": [{"status": "exists", "timestamp": 1}], "seq": 1}

    with slow(answer) as server, connected(server) as (connection, ended):
        connection.send([transfer(1)])
        connection.drain(5)
    assert ended[0][2] == "exists"


def test_a_request_that_always_cuts_is_given_up() -> None:
    def answer(request: dict[str, Any]) -> dict[str, Any] | None:
        return None if request["id"] == 1 else taken(request)

    with slow(answer) as server, connected(server) as (connection, ended):
        connection.send([transfer(1), transfer(2)])
        connection.drain(10)
    assert [(request.id, failure) for request, _, failure in ended] == [(1, "cut off 4 times"), (2, None)]


def test_without_a_server_everything_in_flight_fails() -> None:
    with slow(delay=lambda _: 30.0) as server, connected(server, reconnect_seconds=0.2) as (connection, ended):
        connection.send([transfer(1), transfer(2)])
        gevent.sleep(0.05)
        connection.address = Address("127.0.0.1", 1)
        connection._socket.shutdown(2)
        connection.drain(5)
        assert [str(failure)[:26] for _, _, failure in ended] == ["no connection within 0.2 s"] * 2
        with pytest.raises(ConnectionLostError, match="no connection within"):
            connection.send([transfer(3)])


def test_what_is_not_answered_at_the_end_is_a_failure() -> None:
    with slow(delay=lambda _: 30.0) as server, connected(server) as (connection, ended):
        connection.send([transfer(1)])
        connection.drain(0.1)
    assert ended[0][2] == "no reply within 0.1 s of the end"


def test_a_server_that_falls_silent_is_noticed() -> None:
    delays = iter([30.0])
    with slow(delay=lambda _: next(delays, 0.0)) as server, connected(server, reply_seconds=0.2) as (connection, ended):
        connection.send([transfer(1)])
        connection.drain(5)
        connection.send([transfer(2)])
        connection.drain(5)
    assert [failure for _, _, failure in ended] == ["no reply within 0.2 s", None]


@pytest.mark.parametrize(
    ("answer", "failure"),
    [
        (lambda _: {"error": {"code": -32003, "message": "busy"}}, "busy"),
        (lambda _: {"error": {"code": -32602, "message": "params[0]: x"}}, "invalid params: params[0]: x"),
        (lambda _: {"result": [{"status": "exceeds_credits", "timestamp": 1}]}, "exceeds_credits"),
        (lambda _: {"result": []}, "0 results instead of 1"),
        (lambda _: {"result": 5}, "not a result of create_transfers"),
        (lambda _: {"result": [{"status": "created", "timestamp": 0}]}, "timestamps do not rise"),
        (lambda _: {"id": 77, "result": []}, "the reply to another request"),
    ],
    ids=["busy", "error", "refused", "too few", "no list", "time runs backwards", "wrong id"],
)
def test_failures_have_names(answer: Answer, failure: str) -> None:
    with slow(once(answer)) as server, connected(server) as (connection, ended):
        connection.send([transfer(1)])
        connection.drain(5)
        # Whatever it was, the connection goes on.
        connection.send([transfer(2)])
        connection.drain(5)
    assert str(ended[0][2]).startswith(failure)
    assert [one[2] for one in ended[1:]] == [None]


def test_what_is_allowed_is_a_result() -> None:
    def answer(request: dict[str, Any]) -> dict[str, Any]:
        if request["id"] == 1:
            return {"error": {"code": -32003, "message": "busy"}}
        return {"result": [{"status": "rejected", "reason": "insufficient_funds", "timestamp": 1}], "seq": 1}

    with slow(answer) as server, connected(server, ("busy", "insufficient_funds")) as (connection, ended):
        connection.send([transfer(1), asked("submit_orders", [{}], 2)])
        connection.drain(5)
        assert dict(connection.judgement.tally.counts) == {
            ("create_transfers", "busy"): 1,
            ("submit_orders", "insufficient_funds"): 1,
        }
    assert [failure for _, _, failure in ended] == [None, None]


@pytest.mark.parametrize(
    ("method", "result", "failure"),
    [
        ("submit_orders", {"status": "rejected", "reason": "price_not_on_tick"}, "price_not_on_tick"),
        ("submit_orders", {"status": "canceled"}, None),
        ("cancel_orders", {"status": "rejected", "reason": "order_closed"}, None),
        ("cancel_orders", {"status": "rejected", "reason": "unknown_order"}, "unknown_order"),
        ("replace_orders", {"status": "rejected", "reason": "already_filled"}, None),
        ("replace_orders", {"status": "replaced"}, None),
    ],
)
def test_orders(method: str, result: dict[str, Any], failure: str | None) -> None:
    def answer(_: dict[str, Any]) -> dict[str, Any]:
        return {"result": [result | {"timestamp": 1}], "seq": 1}

    with slow(answer) as server, connected(server) as (connection, ended):
        connection.send([asked(method, [{}], -1)])
        connection.drain(5)
    assert ended[0][2] == failure


def test_reads_are_compared_with_what_was_asked_for() -> None:
    def answer(request: dict[str, Any]) -> dict[str, Any]:
        if request["method"] == "lookup_accounts":
            return {"result": [{"id": 5}, None if request["id"] == 1 else {"id": 6}], "seq": 1}
        transfers = [{"debit_account_id": 5, "credit_account_id": 9}] * 2
        return {"result": transfers, "seq": 1}

    def statement(number: int, account: int, limit: int) -> Request:
        return asked("get_account_transfers", {"account_id": account}, number, about=(account, limit))

    with slow(answer) as server, connected(server) as (connection, ended):
        connection.send([
            asked("lookup_accounts", [5, 6], 1, about=[5, 6]),
            asked("lookup_accounts", [5, 6], 2, about=[5, 6]),
            asked("lookup_accounts", [6, 5], 3, about=[6, 5]),
            statement(4, 9, 2),
            statement(5, 9, 1),
            statement(6, 8, 2),
        ])  # fmt: skip
        connection.drain(5)
    wrong = "not the transfers asked for"
    assert [failure for _, _, failure in ended] == [
        "account not found", None, "not the accounts asked for", None, wrong, wrong,
    ]  # fmt: skip
