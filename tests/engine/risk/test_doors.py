"""The kernel over baskets, and positions at prices: against one order at a time, and against Python's whole numbers."""

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine._core.order_codes import NUMBERS
from engine._core.risk_records import EXPOSURE, FINDING, LIMITS, RISK_ORDER
from engine.risk import ACCEPT, doors, kernel, loops
from engine.risk.compiled import HOLDING, TERMS, TOTAL, VALUATION
from engine.risk.doors import Basket, check_basket, revalue_all
from tests.engine.risk.cases import UNLIMITED, Case, case, formula, found
from tests.engine.risk.test_kernel import any_case

OVERFLOW = NUMBERS["Reason"]["REASON_OVERFLOW"]
OPEN_ORDERS = NUMBERS["Reason"]["REASON_OPEN_ORDERS"]
POSITION_LONG = NUMBERS["Reason"]["REASON_POSITION_LONG"]
ORDER_RATE = NUMBERS["Reason"]["REASON_ORDER_RATE"]
ORDER_TO_TRADE = NUMBERS["Reason"]["REASON_ORDER_TO_TRADE"]
OPEN_NOTIONAL = NUMBERS["Reason"]["REASON_OPEN_NOTIONAL"]


SUMS = ("open_buy", "open_sell", "long_value", "short_value", "traded", "realised", "unrealised")


def plain_basket(
    orders: Any, limits: Any, exposures: Any, groups: Any, *, in_sequence: bool = False
) -> tuple[list[int], list[Any]]:
    """The kernel un-jitted, one order after the other; the exposures a dictionary's worth of Python numbers."""
    exposures = exposures.copy()
    opened: dict[tuple[int, int, int], int] = {}
    verdicts, findings = [], []
    for order, four in zip(orders.copy(), groups.tolist(), strict=True):
        key = (four[0], int(order["instrument"]))
        order["open_buy_quantity"] += opened.get((*key, 0), 0)
        order["open_sell_quantity"] += opened.get((*key, 1), 0)
        out = np.zeros(1, FINDING)
        if order["value"] > 2**56 or any(abs(int(exposures[name][group])) >= 2**61 for name in SUMS for group in four):
            verdict = OVERFLOW
        else:
            rows = [row for group in four for row in (limits[group], exposures[group])]
            verdict = int(kernel.decide(order, *rows, out[0]))
        verdicts.append(verdict)
        findings.append(out[0])
        if not in_sequence:
            continue
        for group in four:
            exposures["messages"][group] += 1
        if verdict == ACCEPT:
            side = int(order["side"])
            opened[*key, side] = opened.get((*key, side), 0) + int(order["quantity"] - order["old_quantity"])
            for group in four:
                exposures["open_orders"][group] += 1 - order["replaces"]
                exposures["open_sell" if side else "open_buy"][group] += order["value"] - order["old_value"]
                rate = int(limits["order_rate"][group])
                if 0 < rate < UNLIMITED:
                    exposures["rate_due"][group] = max(exposures["rate_due"][group], order["time"]) + 10**9 // rate
    return verdicts, findings


def same(basket: Basket, plain: tuple[list[int], list[Any]]) -> None:
    assert basket.verdicts.tolist() == plain[0]
    assert basket.findings.tolist() == [each.tolist() for each in plain[1]]


def market(seed: int, count: int) -> tuple[Any, Any, Any, Any]:
    """Orders of 6 accounts at 2 desks of 2 clients in 3 instruments, with limits that some of them break."""
    rng = np.random.default_rng(seed)
    groups = np.zeros((count, 4), np.int32)
    groups[:, 0] = rng.integers(0, 6, count)
    groups[:, 1], groups[:, 2] = 6 + groups[:, 0] % 2, 8 + groups[:, 0] // 3
    instruments = rng.integers(0, 3, count)
    groups[:, 3] = 10 + instruments
    neutral = case()
    limits, exposures = np.repeat(neutral.limits[:1], 13), np.zeros(13, EXPOSURE)
    orders = np.repeat(neutral.order, count)
    orders["time"] += np.arange(count) * 10**6
    orders["instrument"] = instruments
    orders["side"] = rng.integers(0, 2, count)
    orders["price"] = rng.integers(90, 111, count)
    orders["quantity"] = rng.integers(1, 50, count)
    orders["value"] = orders["price"] * orders["quantity"]
    orders["mark_price"], orders["futures"] = 100, 1
    orders["position"] = rng.integers(-40, 40, 18)[groups[:, 0] * 3 + instruments]
    for name, ends in {
        "max_quantity": (45, 60),
        "price_collar": (90_000, 120_000),
        "position_long": (60, 400),
        "position_short": (60, 400),
        "open_orders": (count // 12, count // 2),
        "open_notional": (20_000, 300_000),
        "gross_exposure": (20_000, 300_000),
        "net_exposure": (20_000, 300_000),
        "credit_limit": (20_000, 300_000),
        "order_rate": (200, 2_000),
        "order_to_trade_free": (count // 8, count),
    }.items():
        limits[name] = rng.integers(*ends, 13)
    limits["order_to_trade"][::2] = 3
    limits["order_burst"][::2] = 5
    exposures["open_buy"] = rng.integers(0, 9_000, 13)
    return orders, limits, exposures, groups


@pytest.fixture(params=["room first", "each in full"], autouse=True)
def _both_ways(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether the room of all groups is worked out first."""
    monkeypatch.setattr(doors, "GROUPS_PER_ORDER", 10**9 if request.param == "room first" else 0)


@pytest.mark.parametrize("in_sequence", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_a_basket_says_what_one_order_at_a_time_says(seed: int, in_sequence: bool) -> None:
    asked = market(seed, 300)
    before = [each.tobytes() for each in asked]
    basket = check_basket(*asked, in_sequence=in_sequence)
    same(basket, plain_basket(*asked, in_sequence=in_sequence))
    assert [each.tobytes() for each in asked] == before, "an argument was changed"
    assert len(set(basket.verdicts.tolist())) > (5 if in_sequence else 1)
    assert 20 < (basket.verdicts == ACCEPT).sum() < 290


@pytest.mark.parametrize("loop", ["each in full", "room first", "in sequence"])
def test_the_loops_run_un_jitted(loop: str) -> None:
    orders, limits, exposures, groups = market(9, 40)
    compiled = check_basket(orders, limits, exposures, groups, in_sequence=loop == "in sequence")
    answers = np.zeros(40, np.int64), np.zeros(40, FINDING)
    if loop == "in sequence":
        positions = groups[:, 0].astype(np.int64) * 3 + orders["instrument"]
        opened, seen = np.zeros((18, 2), np.int64), np.zeros(1, RISK_ORDER)
        done = loops.basket_in_sequence(orders, limits, exposures.copy(), groups, positions, opened, seen, *answers)
    elif loop == "room first":
        rooms = np.empty((13, loops.ROOMS), np.int64)
        loops.prepare(limits, exposures, rooms)
        done = loops.basket_prepared(orders, limits, exposures, groups, rooms, *answers)
    else:
        done = loops.basket(orders, limits, exposures, groups, *answers)
    assert done == 40
    assert [each.tolist() for each in answers] == [each.tolist() for each in compiled]


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(any_case(), min_size=1, max_size=4))
def test_whatever_an_order_and_its_groups_are(cases: list[Case]) -> None:
    """Baskets of the kernel's own extremes: as `decide`, one by one."""
    orders = np.concatenate([each.order for each in cases])
    limits = np.concatenate([each.limits for each in cases])
    exposures = np.concatenate([each.exposures for each in cases])
    groups = np.arange(4 * len(cases), dtype=np.int32).reshape(-1, 4)
    basket = check_basket(orders, limits, exposures, groups)
    for index, each in enumerate(cases):
        refusal = formula(each)
        if refusal is None:
            assert basket.verdicts[index] == ACCEPT
        else:
            assert found(int(basket.verdicts[index]), basket.findings[index : index + 1]) == refusal


def four_alike(**limits: int) -> tuple[Any, Any, Any, Any]:
    """Four times the same buy of 10 for 1,000, and an account with limits."""
    made = case(account=limits)
    return np.repeat(made.order, 4), made.limits, made.exposures, np.tile(np.arange(4, dtype=np.int32), (4, 1))


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        ({"open_orders": 2}, OPEN_ORDERS),
        ({"position_long": 29}, POSITION_LONG),
        ({"open_notional": 2_999}, OPEN_NOTIONAL),
        ({"order_rate": 2}, ORDER_RATE),
    ],
)
def test_in_sequence_the_earlier_ones_count(limits: dict[str, int], reason: int) -> None:
    asked = four_alike(**limits)
    assert check_basket(*asked).verdicts.tolist() == [ACCEPT] * 4
    assert check_basket(*asked, in_sequence=True).verdicts.tolist() == [ACCEPT, ACCEPT, reason, reason]


def test_in_sequence_refused_ones_are_messages_and_open_nothing() -> None:
    orders, limits, exposures, groups = four_alike(order_to_trade=0, order_to_trade_free=3, max_quantity=10)
    orders["quantity"][1] = 11
    verdicts = check_basket(orders, limits, exposures, groups, in_sequence=True).verdicts.tolist()
    assert verdicts == [ACCEPT, kernel.MAX_QUANTITY, ACCEPT, ORDER_TO_TRADE]


def test_in_sequence_a_replace_adds_what_it_adds() -> None:
    orders, limits, exposures, groups = four_alike(position_long=45, open_orders=3)
    orders["replaces"][1], orders["old_quantity"][1], orders["old_value"][1] = 1, 5, 500
    orders["open_buy_quantity"], exposures["open_buy"], exposures["open_orders"] = 5, 500, 1
    basket = check_basket(orders, limits, exposures, groups, in_sequence=True)
    same(basket, plain_basket(orders, limits, exposures, groups, in_sequence=True))
    assert basket.verdicts.tolist() == [ACCEPT, ACCEPT, ACCEPT, OPEN_ORDERS]


@pytest.mark.parametrize("name", SUMS)
@pytest.mark.parametrize("group", range(4))
def test_too_much_held_is_an_overflow(name: str, group: int) -> None:
    orders, limits, exposures, groups = four_alike()
    exposures[name][group] = 2**61 - 1
    assert check_basket(orders, limits, exposures, groups).verdicts.tolist() == [ACCEPT] * 4
    exposures[name][group] = 2**61
    assert check_basket(orders, limits, exposures, groups).verdicts.tolist() == [OVERFLOW] * 4
    exposures[name][group] = -(2**61)
    if name in {"realised", "unrealised"}:
        assert check_basket(orders, limits, exposures, groups).verdicts.tolist() == [OVERFLOW] * 4


def test_an_order_may_be_worth_so_much() -> None:
    orders, limits, exposures, groups = four_alike()
    orders["value"] = [2**56, 2**56 + 1, 1, 2**62]
    assert check_basket(orders, limits, exposures, groups).verdicts.tolist() == [ACCEPT, OVERFLOW, ACCEPT, OVERFLOW]


def test_nothing_gives_nothing() -> None:
    orders, limits, exposures, groups = four_alike()
    for in_sequence in (False, True):
        assert len(check_basket(orders[:0], limits, exposures, groups[:0], in_sequence=in_sequence).verdicts) == 0


@pytest.mark.parametrize("in_sequence", [False, True])
@pytest.mark.parametrize("group", [-1, 4, 2**31 - 1])
@pytest.mark.parametrize("scope", range(4))
def test_a_group_that_is_not_there(scope: int, group: int, in_sequence: bool) -> None:
    orders, limits, exposures, groups = four_alike()
    groups[2, scope] = group
    with pytest.raises(IndexError, match=r"groups\[2\].*with 4 groups"):
        check_basket(orders, limits, exposures, groups, in_sequence=in_sequence)


def test_arrays_of_another_kind() -> None:
    orders, limits, exposures, groups = four_alike()
    with pytest.raises(TypeError, match="orders"):
        check_basket(np.zeros(4, LIMITS), limits, exposures, groups)
    with pytest.raises(TypeError, match="groups: int64 instead of int32"):
        check_basket(orders, limits, exposures, groups.astype(np.int64))
    with pytest.raises(ValueError, match="exposures: shape"):
        check_basket(orders, limits, exposures[:3], groups)
    with pytest.raises(ValueError, match="groups: shape"):
        check_basket(orders, limits, exposures, groups[:3])


def test_arrays_that_are_not_contiguous_or_not_to_be_written_are_taken() -> None:
    orders, limits, exposures, groups = market(3, 100)
    expected = check_basket(orders[::2].copy(), limits, exposures, groups[::2].copy()).verdicts
    for array in (orders, limits, exposures, groups):
        array.flags.writeable = False
    assert check_basket(orders[::2], limits, exposures, groups[::2]).verdicts.tolist() == expected.tolist()
    check_basket(orders, limits, exposures, groups, in_sequence=True)


# --- positions at prices --------------------------------------------------------------------------------

LARGE = [0, 1, 2, 3, 5, 10**6, 2**31 - 1, 2**31, 2**32, 2**56, 2**61 - 1, 2**61, 2**62 - 1]
NOT_NEGATIVE = st.sampled_from(LARGE) | st.integers(0, 2**62 - 1)


def half_even(value: Fraction) -> int:
    return round(value)  # Python rounds half to even


@settings(deadline=None, max_examples=300)
@given(NOT_NEGATIVE, NOT_NEGATIVE, NOT_NEGATIVE.map(lambda by: max(by, 1)), st.sampled_from([2**56, 2**61]))
def test_parts_are_exact(value: int, times: int, by: int, most: int) -> None:
    assert loops.part(value, times, by, most) == min(half_even(Fraction(value * times, by)), most)


def plainly(holdings: Any, terms: Any, accounts: int) -> tuple[list[tuple[int, int]], list[list[int]]]:
    """Positions and accounts, with fractions."""
    positions, totals = [], [[0, 0, 0] for _ in range(accounts)]

    def within(value: int, most: int) -> int:
        return max(-most, min(value, most))

    for account, instrument, quantity, given_basis in holdings.tolist():
        price, size, scale, rate = terms[instrument].tolist()
        basis = within(given_basis, 2**61)
        sign = -1 if quantity < 0 else 1
        worth = sign * within(half_even(Fraction(abs(quantity) * price * size, scale)), 2**61) if price else basis
        value = within(half_even(Fraction(worth * rate, 10**6)), 2**56)
        gain = within(half_even(Fraction(within(worth - basis, 2**61) * rate, 10**6)), 2**56)
        positions.append((value, gain))
        total = totals[account]
        total[0] = within(total[0] + max(value, 0), 2**62)
        total[1] = within(total[1] + max(-value, 0), 2**62)
        total[2] = within(total[2] + gain, 2**62)
    return positions, totals


WHOLE = st.sampled_from([*LARGE, *[-each for each in LARGE]]) | st.integers(-(2**62) + 1, 2**62 - 1)


@st.composite
def portfolios(draw: st.DrawFn) -> tuple[Any, Any, int]:
    terms = np.zeros(draw(st.integers(1, 4)), TERMS)
    for row in range(len(terms)):
        size = draw(st.sampled_from([1, 10, 1_000, 2**20]))
        terms[row] = (
            draw(st.sampled_from([0, 1, 99, 10**6]) | st.integers(0, (2**62 - 1) // size)),
            size,
            draw(st.sampled_from([1, 2, 100, 10**8, 2**31, 2**40, 2**62 - 1])),
            draw(st.sampled_from([10**6, 1, 999_999, 7_123_456, 10**12])),
        )
    accounts = draw(st.integers(1, 3))
    holdings = np.zeros(draw(st.integers(0, 8)), HOLDING)
    for row in range(len(holdings)):
        place = (draw(st.integers(0, accounts - 1)), draw(st.integers(0, len(terms) - 1)))
        holdings[row] = (*place, draw(WHOLE), draw(WHOLE))
    return holdings, terms, accounts


@settings(deadline=None, max_examples=300)
@given(portfolios())
def test_positions_at_prices(portfolio: tuple[Any, Any, int]) -> None:
    holdings, terms, accounts = portfolio
    positions, totals = plainly(holdings, terms, accounts)
    found = revalue_all(holdings, terms, accounts)
    assert found.positions.tolist() == positions
    assert found.accounts.tolist() == [tuple(each) for each in totals]
    unjitted = np.zeros(len(holdings), VALUATION), np.zeros(accounts, TOTAL)
    assert loops.revalue(holdings, terms, *unjitted) == len(holdings)
    assert unjitted[0].tolist() == positions
    assert unjitted[1].tolist() == found.accounts.tolist()


def test_sums_stop_where_they_would_wrap() -> None:
    holdings = np.zeros(300, HOLDING)
    holdings["quantity"], holdings["basis"] = 2**61, -(2**61)
    terms = np.array([(1, 1, 1, 10**6)], TERMS)
    found = revalue_all(holdings, terms, 1)
    assert found.positions["value"].tolist() == [2**56] * 300
    assert found.accounts.tolist() == [(2**62, 0, 2**62)]


@pytest.mark.parametrize(
    "wrong",
    [
        {"mark_price": -1},
        {"contract_size": 0},
        {"price_scale": 0},
        {"price_scale": 2**62},
        {"exposure_rate": 0},
        {"exposure_rate": 10**12 + 1},
        {"mark_price": 2**62},
        {"mark_price": 2**40, "contract_size": 2**22},
    ],
)
def test_terms_out_of_bounds(wrong: dict[str, int]) -> None:
    terms = np.ones(2, TERMS)
    for name, value in wrong.items():
        terms[name][1] = value
    with pytest.raises(ValueError, match=r"terms\[1\]"):
        revalue_all(np.zeros(1, HOLDING), terms, 1)


@pytest.mark.parametrize(("account", "instrument"), [(-1, 0), (2, 0), (0, -1), (0, 3)])
def test_positions_of_what_is_not_there(account: int, instrument: int) -> None:
    holdings = np.zeros(2, HOLDING)
    holdings[1] = (account, instrument, 1, 1)
    with pytest.raises(IndexError, match=r"holdings\[1\]"):
        revalue_all(holdings, np.ones(3, TERMS), 2)
