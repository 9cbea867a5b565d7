"""Verdicts are in the log: a replay under other checks, or none, comes to the same state."""

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from engine import AMEND_COMMAND, ORDER_COMMAND, Batch, Engine, log_record, order_requests
from engine._core import risk_records
from engine.errors import EngineError
from engine.order_results import AmendField, OrderStatus, Reason, Side
from tests.engine.risk.desk import LIMITS, Desk, put

ACCEPT = 0x5AFE
Address = Any


def check(refuses: Callable[[Any], bool]) -> tuple[Address, int]:
    """A function of ctypes with its address, which refuses as max_quantity what `refuses` says; keep the first."""
    size = risk_records.RISK_ORDER.itemsize

    def decide(order: int, *others: int) -> int:
        seen = np.frombuffer(ctypes.string_at(order, size), risk_records.RISK_ORDER)[0]
        if not refuses(seen):
            return ACCEPT
        found = np.frombuffer((ctypes.c_char * risk_records.FINDING.itemsize).from_address(others[-1]), np.int64)
        found[:] = [1, 50, 0, int(seen["quantity"]), 0]
        return int(Reason.MAX_QUANTITY)

    function = ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_void_p] * 10)(decide)
    return function, ctypes.cast(function, ctypes.c_void_p).value or 0


def orders(*quantities: int) -> Any:
    commands = np.zeros(len(quantities), ORDER_COMMAND)
    commands["client_order_id_lo"] = np.arange(1, len(quantities) + 1) + 1_000
    commands["account_id"], commands["side"], commands["price"] = 1, Side.BUY, 10
    commands["quantity"] = quantities
    put(commands, "symbol", "SHARE")
    return commands


@pytest.fixture
def desk() -> Desk:
    made = Desk()
    made.set("default", max_quantity=1_000_000)  # so that there is something to ask
    return made


def entered(desk: Desk) -> tuple[Batch, int]:
    """A batch of orders and replaces, applied under a check that refuses more than 50."""
    keep, address = check(lambda seen: seen["quantity"] > 50)
    desk.engine.attach_checks(address)
    batch = Batch()
    order_requests.append(batch, "submit_orders", orders(10, 60, 20, 70))
    amends = np.zeros(2, AMEND_COMMAND)
    amends["account_id"], amends["order_id"], amends["fields"] = 1, [1, 3], AmendField.QUANTITY
    amends["quantity"] = [90, 40]
    order_requests.append(batch, "replace_orders", amends)
    time = desk.tick()
    desk.engine.apply(batch, time)
    del keep
    return batch, time


def test_refusals_stand_in_the_batch_and_in_the_results(desk: Desk) -> None:
    batch, _ = entered(desk)
    verdicts = order_requests.verdicts(batch)
    assert verdicts["item"].tolist() == [1, 3, 0]
    assert verdicts["amend"].tolist() == [0, 0, 1]
    assert verdicts["reason"].tolist() == [Reason.MAX_QUANTITY] * 3
    assert (verdicts["limit"].tolist(), verdicts["asked"].tolist()) == ([50] * 3, [60, 70, 90])
    results, _ = order_requests.answers(batch, 0)
    assert results["status"].tolist() == [OrderStatus.NEW, OrderStatus.REJECTED] * 2
    assert results["reserved"].tolist() == [0, 1, 0, 1]
    assert results["fill_first"][[1, 3]].tolist() == [0, 1]
    assert results["fill_count"].tolist() == [0] * 4


@pytest.mark.parametrize("refuses", [None, lambda _: True, lambda _: False], ids=["no check", "all", "nothing"])
def test_a_replay_has_the_recorded_verdicts(desk: Desk, refuses: Callable[[Any], bool] | None, tmp_path: Any) -> None:
    desk.engine.snapshot(tmp_path / "before")
    batch, time = entered(desk)
    record = log_record.encode(batch, time)
    other = Engine.restore(tmp_path / "before", LIMITS)
    if refuses is not None:
        _keep, address = check(refuses)
        other.attach_checks(address)
    again = Batch()
    assert log_record.decode(record, again) == time
    other.apply(again, time)
    assert other.state_hash() == desk.engine.state_hash()
    assert other.digest() == desk.engine.digest()
    assert np.array_equal(order_requests.answers(again, 0)[0], order_requests.answers(batch, 0)[0])
    assert log_record.encode(again, time) == record


def test_a_verdict_that_fits_no_order_stops_the_replay(desk: Desk) -> None:
    batch, time = entered(desk)
    record = log_record.encode(batch, time)
    again = Batch()
    log_record.decode(record, again)
    with pytest.raises(EngineError, match="verdicts: 0 of 3 fit the orders"):
        Engine(LIMITS).apply(again, time)  # where nobody is known, so that no order comes so far


def test_a_log_without_verdicts_lets_everything_pass(desk: Desk) -> None:
    keep, address = check(lambda _: True)
    batch = Batch()
    order_requests.append(batch, "submit_orders", orders(10))
    record = log_record.encode(batch, desk.tick())
    again = Batch()
    log_record.decode(record, again)
    desk.engine.attach_checks(address)
    desk.engine.apply(again, desk.tick())
    assert order_requests.answers(again, 0)[0]["status"].tolist() == [OrderStatus.NEW]
    del keep
