"""Exposures, reckoned by hand: what orders, fills, busts, ends of days and rates do to them."""

from pathlib import Path

import numpy as np
import pytest

from engine import AMEND_COMMAND, DAY_COMMAND, TRADE_COMMAND, Engine
from engine.order_results import AmendField, Side
from engine.results import Status
from tests.engine.risk.desk import HOLDINGS, LIMITS, SECOND, Desk

BUY, SELL = Side.BUY, Side.SELL
HELD = {"long_value": HOLDINGS * 1_000}
"""Of a trader who has only touched the share, at its reference price."""


@pytest.fixture
def desk() -> Desk:
    return Desk()


def amend(order: int, account: int, quantity: int | None = None, price: int | None = None) -> np.ndarray:
    command = np.zeros(1, AMEND_COMMAND)
    command["account_id"], command["order_id"] = account, order
    if quantity is not None:
        command["quantity"] = quantity
        command["fields"] |= np.uint32(AmendField.QUANTITY)
    if price is not None:
        command["price"] = price
        command["fields"] |= np.uint32(AmendField.PRICE)
    return command


def end_of_day(desk: Desk, date: int, **prices: int) -> None:
    days = np.zeros(1 + len(prices), DAY_COMMAND)
    days["business_date"][0] = date
    for place, (symbol, price) in enumerate(prices.items()):
        days["symbol_0"][1 + place], days["price"][1 + place] = int.from_bytes(symbol.encode(), "little"), price
    (result,), _ = desk.engine.end_of_day(days, desk.tick())
    assert not result["reason"]


def test_open_orders_count_for_account_desk_client_and_instrument(desk: Desk) -> None:
    desk.order(1, BUY, 100, 990)
    desk.order(2, SELL, 50, 1_010)
    desk.order(3, BUY, 10, 980)
    one = {"open_orders": 1, "open_buy": 99_000, "messages": 1} | HELD
    two = {"open_orders": 1, "open_sell": 50_500, "messages": 1} | HELD
    assert desk.used("account", 1) == one
    assert desk.used("account", 2) == two
    north = {"open_orders": 2, "open_buy": 99_000, "open_sell": 50_500, "messages": 2}
    assert desk.used("desk", "north") == north | {"long_value": 2 * HOLDINGS * 1_000}
    assert desk.used("client", "wang")["open_buy"] == 99_000 + 9_800
    assert desk.used("instrument", "SHARE")["open_orders"] == 3
    assert desk.used("instrument", "FUT") == {}
    desk.engine.check_invariants()


def test_replaces_cancels_and_ends_take_them_away(desk: Desk) -> None:
    order = int(desk.order(1, BUY, 100, 990)["order_id"])
    desk.engine.replace_orders(amend(order, 1, quantity=60), desk.tick())
    assert desk.used("account", 1)["open_buy"] == 60 * 990
    desk.engine.replace_orders(amend(order, 1, price=985), desk.tick())
    assert desk.used("account", 1)["open_buy"] == 60 * 985
    desk.engine.cancel_orders(amend(order, 1), desk.tick())
    assert desk.used("account", 1) == {"messages": 4} | HELD
    order = int(desk.order(1, SELL, 10, 1_010)["order_id"])
    assert desk.used("account", 1)["open_sell"] == 10_100
    end_of_day(desk, 20260106)
    assert desk.used("account", 1) == HELD, "a DAY order has expired, and the day's counts are gone"
    desk.engine.check_invariants()


def test_a_fill_at_average_cost_with_its_fee(desk: Desk) -> None:
    desk.order(1, SELL, 100, 1_020)
    desk.order(2, BUY, 40, 1_020)
    # The seller had 10,000 at 1,000 and sells 40 at 1,020: 800 realised less 0.1 % of 40,800.
    seller, buyer = desk.used("account", 1), desk.used("account", 2)
    assert seller["realised"] == 40 * 20 - 41
    assert seller["open_sell"] == 60 * 1_020
    assert seller["long_value"] == (HOLDINGS - 40) * 1_020
    assert seller["unrealised"] == (HOLDINGS - 40) * 20
    assert buyer["realised"] == -82
    assert buyer["long_value"] == (HOLDINGS + 40) * 1_020
    assert buyer["unrealised"] == HOLDINGS * 20
    assert seller["traded"] == buyer["traded"] == 40 * 1_020
    assert desk.used("desk", "north")["traded"] == 2 * 40 * 1_020
    assert desk.used("desk", "north")["trades"] == 2
    desk.engine.check_invariants()


def test_a_bust_goes_the_other_way(desk: Desk) -> None:
    desk.order(1, SELL, 100, 1_020)
    desk.order(2, BUY, 40, 1_020)
    bust = np.zeros(1, TRADE_COMMAND)
    bust["trade_id"] = 1
    (result,), _ = desk.engine.bust_trades(bust, desk.tick())
    assert not result["reason"]
    for account in (1, 2):
        used = desk.used("account", account)
        assert used.get("traded", 0) == used.get("trades", 0) == 0
        assert used["long_value"] == HOLDINGS * 1_020
        assert used.get("realised", 0) + used["unrealised"] == HOLDINGS * 20, "as if it had only been held"
    desk.engine.check_invariants()


def test_a_correction_is_a_bust_and_a_fill(desk: Desk) -> None:
    desk.order(1, SELL, 100, 1_020)
    desk.order(2, BUY, 40, 1_020)
    correct = np.zeros(1, TRADE_COMMAND)
    correct["trade_id"], correct["price"] = 1, 1_010
    (result,), _ = desk.engine.bust_trades(correct, desk.tick())
    assert not result["reason"]
    assert desk.used("account", 1)["traded"] == 40 * 1_010
    assert desk.used("account", 1)["trades"] == 1
    desk.engine.check_invariants()


def test_futures_long_short_and_through_zero(desk: Desk) -> None:
    desk.order(1, SELL, 3, 2_000, "FUT")
    desk.order(2, BUY, 3, 2_000, "FUT")
    short, long = desk.used("account", 1), desk.used("account", 2)
    assert short["short_value"] == long["long_value"] == 3 * 5 * 2_000
    assert "unrealised" not in short
    desk.order(3, SELL, 5, 2_100, "FUT")
    desk.order(1, BUY, 5, 2_100, "FUT")
    # 3 closed at a loss of 100 each and 5 tons, 2 opened.
    used = desk.used("account", 1)
    assert used["realised"] == -3 * 5 * 100
    assert used["long_value"] == 2 * 5 * 2_100
    assert "short_value" not in used
    desk.engine.check_invariants()


def test_marks_move_a_second_later_and_at_the_end_of_the_day(desk: Desk) -> None:
    desk.order(1, SELL, 3, 2_000, "FUT")
    desk.order(2, BUY, 3, 2_000, "FUT")
    desk.order(3, SELL, 1, 2_200, "FUT")
    desk.order(1, BUY, 1, 2_200, "FUT")
    assert desk.used("account", 2)["long_value"] == 3 * 5 * 2_000, "nobody has touched it"
    desk.tick(SECOND)
    desk.order(3, BUY, 1, 10, "FUT")
    assert desk.used("account", 2)["long_value"] == 3 * 5 * 2_200
    assert desk.used("account", 2)["unrealised"] == 3 * 5 * 200
    end_of_day(desk, 20260106, FUT=2_300)
    used = desk.used("account", 2)
    assert used == {"long_value": 3 * 5 * 2_300}, "it stands at the settlement price, and the day begins"
    desk.engine.check_invariants()


def test_what_is_paid_in_joins_at_the_mark(desk: Desk) -> None:
    desk.order(1, BUY, 1, 10)
    desk.pay(2, 101, 500, 600)
    assert desk.used("account", 1)["long_value"] == HOLDINGS * 1_000
    desk.order(1, BUY, 1, 11)
    used = desk.used("account", 1)
    assert used["long_value"] == (HOLDINGS + 500) * 1_000
    assert "unrealised" not in used
    desk.engine.check_invariants()


def test_a_new_exposure_rate_holds_for_what_is_open_and_held(desk: Desk) -> None:
    desk.order(1, BUY, 100, 990)
    desk.set("instrument", "SHARE", exposure_rate=7_250_000)
    used = desk.used("account", 1)
    assert used["open_buy"] == 717_750
    assert used["long_value"] == HOLDINGS * 7_250
    desk.engine.check_invariants()
    desk.set("instrument", "SHARE", exposure_rate=None)
    assert desk.used("account", 1)["open_buy"] == 99_000
    desk.engine.check_invariants()


def test_snapshots_hold_all_of_it(desk: Desk, tmp_path: Path) -> None:
    desk.order(1, SELL, 100, 1_020)
    desk.order(2, BUY, 40, 1_020)
    desk.set("desk", "north", max_quantity=70)
    desk.set("client", "wang", instrument="SHARE", restricted=1)
    desk.set("approval", max_notional=5)
    desk.set("account", 1, max_notional=6)
    assert desk.set("account", 1, max_notional=7)["status"] == Status.PROPOSED
    desk.engine.snapshot(tmp_path / "s")
    restored = Engine.restore(tmp_path / "s", LIMITS, hash_key=bytes(32 * [7]))
    restored.check_invariants()
    assert restored.state_hash() == desk.engine.state_hash()
    other, other.engine = desk, restored
    assert other.view("desk", "north")["limits"]["max_quantity"] == 70
    assert other.views("client", "wang")[1]["limits"]["restricted"] == 1
    assert other.approve(1, actor="bob") == Status.APPROVED
    assert other.view("account", 1)["limits"]["max_notional"] == 7
