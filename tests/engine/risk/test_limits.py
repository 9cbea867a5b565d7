"""Setting limits: whose, which, who must agree, and what stops at once."""

from typing import Any

import numpy as np
import pytest

from engine._core import risk_records
from engine.order_results import OrderStatus, Reason, Side
from engine.results import Status
from tests.engine.risk.desk import NAMES, Desk

UNLIMITED = 2**63 - 1
NOT_FOR = {
    "account": {"exposure_rate"},
    "desk": {"exposure_rate", "duplicate_order", "programme_rate", "programme_day", "suitability_confirmed"},
    "client": {"exposure_rate", "duplicate_order", "programme_rate", "programme_day"},
    "instrument": {"duplicate_order", "programme_rate", "programme_day", "suitability_confirmed"},
    "default": {"exposure_rate", "suitability_confirmed"},
    "approval": set(),
}
IDS: dict[str, Any] = {"account": 1, "desk": "north", "client": "wang", "instrument": "SHARE"}


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.mark.parametrize("scope", NOT_FOR)
@pytest.mark.parametrize("name", NAMES)
def test_each_limit_has_its_scopes(desk: Desk, scope: str, name: str) -> None:
    result = desk.set(scope, IDS.get(scope, 0), **{name: 1})
    if name in NOT_FOR[scope]:
        assert result["status"] == Status.LIMIT_NOT_FOR_SCOPE
        return
    assert result["status"] == Status.LIMITS_SET
    view = desk.view(scope, IDS.get(scope, 0))
    assert view["limits"][name] == 1
    assert view["own"] == 1 << NAMES.index(name)
    assert view["updated"] == result["timestamp"]
    desk.engine.check_invariants()


@pytest.mark.parametrize(
    ("name", "most"),
    [
        *(("price_collar", 10**6), ("order_rate", 10**9), ("order_burst", 10**9), ("order_to_trade", 10**6)),
        *(("duplicate_order", 86_400 * 10**9), ("short_sale", 2), ("suitability", 5), ("restricted", 1)),
        *(("max_notional", 2**62), ("position_short", 2**62)),
    ],
)
def test_values_have_a_range(desk: Desk, name: str, most: int) -> None:
    assert desk.set("account", 1, **{name: most})["status"] == Status.LIMITS_SET
    for wrong in (most + 1, -1):
        assert desk.set("account", 1, **{name: wrong})["status"] == Status.LIMIT_OUT_OF_RANGE
    assert desk.view("account", 1)["limits"][name] == most


def test_an_exposure_rate_is_not_zero(desk: Desk) -> None:
    assert desk.set("instrument", "SHARE", exposure_rate=0)["status"] == Status.LIMIT_OUT_OF_RANGE
    assert desk.set("instrument", "SHARE", exposure_rate=10**12 + 1)["status"] == Status.LIMIT_OUT_OF_RANGE


def test_a_refused_item_changes_nothing(desk: Desk) -> None:
    assert desk.set("account", 1, max_quantity=5, short_sale=3)["status"] == Status.LIMIT_OUT_OF_RANGE
    assert desk.view("account", 1)["limits"]["max_quantity"] == UNLIMITED


def test_who_is_not_there(desk: Desk) -> None:
    assert desk.set("account", 77, max_quantity=5)["status"] == Status.TRADING_ACCOUNT_NOT_FOUND
    assert desk.set("instrument", "NONE", max_quantity=5)["status"] == Status.UNKNOWN_INSTRUMENT
    assert desk.set("account", 1, instrument="NONE", restricted=1)["status"] == Status.UNKNOWN_INSTRUMENT
    assert desk.set("instrument", "SHARE", instrument="FUT", restricted=1)["status"] == Status.LIMIT_NOT_FOR_SCOPE
    assert desk.set("desk", "new", max_quantity=5)["status"] == Status.LIMITS_SET, "before it has accounts"
    with pytest.raises(ValueError, match="no such trading account"):
        desk.view("account", 77)


def test_accounts_without_their_own_have_the_defaults(desk: Desk) -> None:
    desk.set("account", 1, max_quantity=5)
    desk.set("default", max_quantity=7, open_orders=3)
    assert [desk.view("account", account)["limits"]["max_quantity"] for account in (1, 2)] == [5, 7]
    assert desk.view("account", 1)["limits"]["open_orders"] == 3
    desk.set("account", 1, max_quantity=None)
    assert desk.view("account", 1)["limits"]["max_quantity"] == 7
    desk.set("default", max_quantity=None)
    assert desk.view("account", 1)["limits"]["max_quantity"] == UNLIMITED
    assert desk.view("desk", "north")["limits"]["open_orders"] == UNLIMITED
    desk.engine.check_invariants()


def test_limits_in_one_instrument(desk: Desk) -> None:
    assert desk.set("account", 1, instrument="FUT", position_long=5, restricted=1)["status"] == Status.LIMITS_SET
    assert desk.set("desk", "north", instrument="FUT", position_long=5)["status"] == Status.LIMIT_NOT_FOR_SCOPE
    whole, pair = desk.views("account", 1)
    assert whole["limits"]["position_long"] == UNLIMITED
    assert pair["limits"]["position_long"] == 5
    assert pair["symbol_0"] == int.from_bytes(b"FUT", "little")


# --- a second person ------------------------------------------------------------------------------


def test_a_raise_above_the_threshold_waits_for_another_person(desk: Desk) -> None:
    desk.set("account", 1, max_notional=100)
    desk.set("approval", max_notional=1_000)
    assert desk.set("account", 1, max_notional=1_000)["status"] == Status.LIMITS_SET, "not above"
    proposed = desk.set("account", 1, max_notional=1_001, max_quantity=4, actor="ann")
    assert (proposed["status"], proposed["reserved"]) == (Status.PROPOSED, 1)
    limits = desk.view("account", 1)["limits"]
    assert (limits["max_notional"], limits["max_quantity"]) == (1_000, UNLIMITED), "nothing of it is in force"
    assert desk.approve(1, actor="ann") == Status.ANOTHER_PERSON_NEEDED
    assert desk.approve(1, actor="bob") == Status.APPROVED
    limits = desk.view("account", 1)["limits"]
    assert (limits["max_notional"], limits["max_quantity"]) == (1_001, 4)
    assert desk.approve(1, actor="bob") == Status.PROPOSAL_CLOSED
    assert desk.approve(2, actor="bob") == Status.PROPOSAL_NOT_FOUND
    assert desk.set("account", 1, max_notional=900)["status"] == Status.LIMITS_SET, "lower is always allowed"


def test_taking_a_limit_away_is_a_raise(desk: Desk) -> None:
    desk.set("account", 1, max_notional=100)
    desk.set("approval", max_notional=1_000)
    assert desk.set("account", 1, max_notional=None)["status"] == Status.PROPOSED
    assert desk.approve(1, actor="ann", yes=False) == Status.DECLINED, "also by who proposed it"
    assert desk.view("account", 1)["limits"]["max_notional"] == 100


def test_where_less_is_looser(desk: Desk) -> None:
    desk.set("account", 1, short_sale=2)
    desk.set("approval", short_sale=2)
    assert desk.set("account", 1, short_sale=0)["status"] == Status.PROPOSED


def test_the_thresholds_themselves(desk: Desk) -> None:
    assert desk.set("approval", max_notional=1_000)["status"] == Status.LIMITS_SET, "there was none"
    assert desk.set("approval", max_notional=500)["status"] == Status.LIMITS_SET
    assert desk.set("approval", max_notional=501)["status"] == Status.PROPOSED
    assert desk.set("approval", max_notional=None)["status"] == Status.PROPOSED


def test_proposals_can_be_read(desk: Desk) -> None:
    desk.set("approval", max_notional=1)
    desk.set("account", 1, max_notional=1)
    for value in (2, 3, 4):
        desk.set("account", 1, max_notional=value)
    desk.approve(2, actor="bob")
    wanted = np.zeros(1, risk_records.LIMITS_FILTER)
    found = desk.engine.get_proposals(wanted)
    assert found["proposal_id"].tolist() == [1, 2, 3]
    assert found["state"].tolist() == [0, 1, 0]
    assert found["values"]["max_notional"].tolist() == [2, 3, 4]
    wanted["after"], wanted["limit"] = 1, 1
    assert desk.engine.get_proposals(wanted)["proposal_id"].tolist() == [2]


# --- the kill switch ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scope", "id_", "canceled"),
    [
        *(("account", 1, {1, 2}), ("desk", "south", {5}), ("client", "wang", {1, 2, 5}), ("instrument", "FUT", {2, 4})),
        ("default", 0, {1, 2, 3, 4, 5}),
    ],
)
def test_it_cancels_open_orders(desk: Desk, scope: str, id_: int | str, canceled: set[int]) -> None:
    for trader, symbol in ((1, "SHARE"), (1, "FUT"), (2, "SHARE"), (2, "FUT"), (3, "SHARE")):
        assert desk.order(trader, Side.BUY, 1, 10, symbol)["status"] == OrderStatus.NEW
    result = desk.kill(scope, id_)
    assert (result["status"], result["cum_quantity"]) == (OrderStatus.DONE, len(canceled))
    orders, details = desk.engine.array("orders"), desk.engine.array("order_details")
    assert {slot + 1 for slot in range(5) if not orders["place"][slot]} == canceled
    assert {int(details["reason"][order - 1]) for order in canceled} == {Reason.KILL_SWITCH}
    assert desk.view(scope, id_)["limits"]["kill_switch"] == 1
    desk.engine.check_invariants()
    assert desk.kill(scope, id_, on=False)["cum_quantity"] == 0
    assert desk.view(scope, id_)["limits"]["kill_switch"] == 0


def test_nobody_of_that_name(desk: Desk) -> None:
    assert desk.kill("account", 77)["reason"] == Reason.UNKNOWN_ACCOUNT
    assert desk.kill("instrument", "NONE")["reason"] == Reason.UNKNOWN_INSTRUMENT


# --- failing closed -------------------------------------------------------------------------------


def test_without_a_verdict_an_order_is_refused(desk: Desk) -> None:
    """An address that answers 0, as a compiled check does that raises."""
    import ctypes

    answers_zero = ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_void_p] * 10)(lambda *_: 0)
    desk.engine.attach_checks(ctypes.cast(answers_zero, ctypes.c_void_p).value or 0)
    desk.set("account", 1, max_quantity=5)
    result = desk.order(1, Side.BUY, 1, 10)
    assert (result["status"], result["reason"]) == (OrderStatus.REJECTED, Reason.RISK_FAILED)
    (verdict,) = desk.engine.verdicts()
    assert (verdict["item"], verdict["reason"]) == (0, Reason.RISK_FAILED)
