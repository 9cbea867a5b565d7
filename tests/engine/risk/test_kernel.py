"""The kernel: compiled, called by address, un-jitted, and a formula written another way, all alike."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine._core.risk_records import EXPOSURE, FINDING, LIMITS, RISK_ORDER
from engine.risk import ACCEPT, kernel
from tests.engine.risk.cases import GROUPS, NEUTRAL_0, UNLIMITED, WAYS, Case, case, compiled, formula, plainly
from tests.models.risk_formula import Refusal

SELL = {"side": 1}
TIME = 10**18

# What makes an order pass at a limit, what makes it fail one beyond, and what is then found; for every scope.
AT_A_LIMIT: list[tuple[str, dict[str, int], dict[str, int], dict[str, int], tuple[int, int, int]]] = [
    ("kill_switch", {}, {"kill_switch": 0}, {"kill_switch": 1}, (1, 0, 0)),
    ("restricted", {}, {"restricted": 0}, {"restricted": 1}, (1, 0, 0)),
    ("short_sale", SELL | {"short_quantity": 4}, {"short_sale": 0}, {"short_sale": 2}, (2, 0, 4)),
    (
        "short_sale",
        SELL | {"short_quantity": 4, "last_price": 101},
        {"short_sale": 0},
        {"short_sale": 1},
        (1, 0, 4),
    ),
    (
        "order_rate",
        {},
        {"order_rate": 10, "rate_due": TIME + 900_000_000},
        {"rate_due": TIME + 900_000_001},
        (10, 10, 1),
    ),
    (
        "order_rate",
        {},
        {"order_rate": 10, "order_burst": 3, "rate_due": TIME + 200_000_000},
        {"rate_due": TIME + 200_000_001},
        (3, 3, 1),
    ),
    ("order_rate", {}, {"order_rate": 1}, {"order_rate": 0, "order_burst": 5}, (0, 0, 1)),
    (
        "order_to_trade",
        {},
        {"order_to_trade": 5, "order_to_trade_free": 100, "trades": 3, "messages": 114},
        {"messages": 115},
        (115, 115, 1),
    ),
    ("max_quantity", {}, {"max_quantity": 10}, {"max_quantity": 9}, (9, 0, 10)),
    ("max_notional", {}, {"max_notional": 1_000}, {"max_notional": 999}, (999, 0, 1_000)),
    ("price_collar", {"mark_price": 80}, {"price_collar": 250_000}, {"price_collar": 249_999}, (249_999, 80, 100)),
    (
        "price_collar",
        SELL | {"mark_price": 125},
        {"price_collar": 200_000},
        {"price_collar": 199_999},
        (199_999, 125, 100),
    ),
    (
        "position_long",
        {"position": 7, "open_buy_quantity": 5},
        {"position_long": 22},
        {"position_long": 21},
        (21, 12, 10),
    ),
    (
        "position_short",
        SELL | {"position": -7, "open_sell_quantity": 5},
        {"position_short": 22},
        {"position_short": 21},
        (21, 12, 10),
    ),
    ("open_orders", {}, {"open_orders_used": 6, "open_orders": 7}, {"open_orders": 6}, (6, 6, 1)),
    (
        "open_notional",
        {},
        {"open_notional": 3_000, "open_buy": 1_500, "open_sell": 500},
        {"open_sell": 501},
        (3_000, 2_001, 1_000),
    ),
    (
        "gross_exposure",
        {},
        {"gross_exposure": 2_000, "open_buy": 100, "open_sell": 200, "long_value": 300, "short_value": 400},
        {"short_value": 401},
        (2_000, 1_001, 1_000),
    ),
    (
        "net_exposure",
        {},
        {"net_exposure": 2_000, "open_buy": 500, "open_sell": 9_999, "long_value": 900, "short_value": 400},
        {"short_value": 399},
        (2_000, 1_001, 1_000),
    ),
    (
        "net_exposure",
        SELL,
        {"net_exposure": 2_000, "open_sell": 500, "open_buy": 9_999, "short_value": 900, "long_value": 400},
        {"long_value": 399},
        (2_000, 1_001, 1_000),
    ),
    (
        "credit_limit",
        {},
        {"credit_limit": 2_000, "traded": 500, "open_buy": 300, "open_sell": 200},
        {"traded": 501},
        (2_000, 1_001, 1_000),
    ),
    ("daily_loss", {}, {"daily_loss": 700, "realised": -900, "unrealised": 200}, {"unrealised": 199}, (700, 701, 0)),
]


def scoped(order: dict[str, int], scope: str, values: dict[str, int]) -> Case:
    """`open_orders` is the name of a limit and of an exposure; `open_orders_used` is the second one."""
    made = case(order, **{scope: {name: value for name, value in values.items() if name != "open_orders_used"}})
    if "open_orders_used" in values:
        made.exposures["open_orders"][GROUPS.index(scope)] = values["open_orders_used"]
    return made


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("scope", GROUPS)
@pytest.mark.parametrize(
    ("reason", "order", "at", "beyond", "figures"), AT_A_LIMIT, ids=lambda each: each if isinstance(each, str) else ""
)
def test_at_a_limit_and_one_beyond(
    reason: str,
    order: dict[str, int],
    at: dict[str, int],
    beyond: dict[str, int],
    figures: tuple[int, int, int],
    scope: str,
    way: Any,
) -> None:
    assert way(scoped(order, scope, at)) is None
    assert way(scoped(order, scope, at | beyond)) == Refusal(reason, scope, *figures)


# What belongs to no scope, or to one only.
ONE_OF_A_KIND: list[tuple[str, Case, Refusal | None]] = [
    ("nothing is limited", case(), None),
    (
        "everybody's kill switch comes first",
        case({"killed": 1}, account={"kill_switch": 1}),
        Refusal("kill_switch", "default", 1, 0, 0),
    ),
    (
        "a restriction of the desk in this instrument",
        case({"restricted": 2}, account={"restricted": 1}),
        Refusal("restricted", "desk", 1, 0, 0),
    ),
    ("suitability: the account's level", case(account={"suitability": 3}, instrument={"suitability": 3}), None),
    (
        "suitability: nobody's level",
        case(account={"suitability": 2}, client={"suitability_confirmed": 2}, instrument={"suitability": 3}),
        Refusal("suitability", "account", 2, 0, 3),
    ),
    (
        "suitability: a confirmed warning",
        case(client={"suitability": 1, "suitability_confirmed": 3}, instrument={"suitability": 3}),
        None,
    ),
    (
        "suitability: none at all",
        case(instrument={"suitability": 1}),
        Refusal("suitability", "account", 0, 0, 1),
    ),
    ("a desk has no suitability", case(desk={"suitability": 5}), None),
    (
        "short sale: the strictest counts",
        case(SELL | {"short_quantity": 1}, desk={"short_sale": 1}, client={"short_sale": 2}),
        Refusal("short_sale", "client", 2, 0, 1),
    ),
    (
        "short sale: at the last price",
        case(SELL | {"short_quantity": 1, "last_price": 100}, desk={"short_sale": 1}),
        None,
    ),
    ("short sale: futures", case(SELL | {"short_quantity": 1, "futures": 1}, desk={"short_sale": 2}), None),
    ("short sale: of what one has", case(SELL, desk={"short_sale": 2}), None),
    ("short sale: a buy", case({"short_quantity": 1}, desk={"short_sale": 2}), None),
    (
        "duplicate: just within the window",
        case({"duplicate_age": 49}, account={"duplicate_order": 50}),
        Refusal("duplicate_order", "account", 50, 0, 49),
    ),
    ("duplicate: just outside", case({"duplicate_age": 50}, account={"duplicate_order": 50}), None),
    ("duplicate: a replace", case({"duplicate_age": 1, "replaces": 1}, account={"duplicate_order": 50}), None),
    ("duplicate: there is none", case({"duplicate_age": -1}, account={"duplicate_order": 50}), None),
    ("duplicate: of the desk it does not exist", case({"duplicate_age": 1}, desk={"duplicate_order": 50}), None),
    (
        "an account's limit for the instrument, when it is lower",
        case({"position_long": 9}, account={"position_long": 99}),
        Refusal("position_long", "account", 9, 0, 10),
    ),
    (
        "an account's limit, when that for the instrument is higher",
        case(SELL | {"position_short": 99}, account={"position_short": 9}),
        Refusal("position_short", "account", 9, 0, 10),
    ),
    ("a replace does not add an order", case({"replaces": 1}, account={"open_orders": 0}), None),
    (
        "a replace gives back what it was",
        case(
            {"replaces": 1, "old_quantity": 10, "old_value": 1_000, "open_buy_quantity": 10},
            account={"position_long": 10, "open_notional": 1_000, "credit_limit": 1_000, "open_buy": 1_000},
        ),
        None,
    ),
    ("a collar without a mark price", case({"mark_price": 0}, account={"price_collar": 0}), None),
    ("a collar holds buys from above", case({"mark_price": 200}, account={"price_collar": 0}), None),
    (
        "an order that reduces a short position is not held to the loss",
        case({"position": -10}, account={"daily_loss": 0, "realised": -1, "gross_exposure": 0, "credit_limit": 0}),
        None,
    ),
    (
        "one that would turn it is",
        case({"position": -9}, account={"daily_loss": 0, "realised": -1}),
        Refusal("daily_loss", "account", 0, 1, 0),
    ),
    (
        "so is one that open orders have reduced before it",
        case(SELL | {"position": 15, "open_sell_quantity": 6}, account={"daily_loss": 0, "realised": -1}),
        Refusal("daily_loss", "account", 0, 1, 0),
    ),
    (
        "a reducing order is held to its own size",
        case({"position": -99}, account={"max_quantity": 9}),
        Refusal("max_quantity", "account", 9, 0, 10),
    ),
]


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize(
    ("asked", "expected"), [row[1:] for row in ONE_OF_A_KIND], ids=[row[0] for row in ONE_OF_A_KIND]
)
def test_one_of_a_kind(asked: Case, expected: Refusal | None, way: Any) -> None:
    assert way(asked) == expected


def test_checks_come_in_the_order_of_the_page() -> None:
    """Everything fails in every scope; taking away what is found uncovers the next."""
    asked = case({"killed": 1, "restricted": 1, "duplicate_age": 1, "mark_price": 1})
    asked.limits["kill_switch"] = asked.limits["restricted"] = 1
    asked.limits["suitability"][3] = 5
    asked.limits["duplicate_order"] = 9
    for name in ("order_rate", "order_to_trade"):
        asked.limits[name] = 0
    last = ("open_notional", "gross_exposure", "net_exposure", "credit_limit", "daily_loss")
    for name in ("max_quantity", "max_notional", "price_collar", "position_long", "open_orders", *last):
        asked.limits[name] = 0
    asked.exposures["realised"] = -1
    met: list[tuple[str, str]] = []
    while (refusal := compiled(asked)) is not None:
        assert refusal == plainly(asked) == formula(asked)
        met.append(refusal[:2])
        reason, scope = refusal[:2]
        if (reason, scope) == ("kill_switch", "default"):
            asked.order["killed"] = 0
        elif reason == "restricted" and asked.order["restricted"][0]:
            asked.order["restricted"] = 0
        elif reason == "suitability":
            asked.limits["suitability"] = 0
        else:
            asked.limits[reason][GROUPS.index(scope)] = 0 if reason in NEUTRAL_0 else UNLIMITED
    every = ["max_quantity", "max_notional", "price_collar", "position_long", "open_orders", *last]
    assert met == [
        ("kill_switch", "default"),
        *[("kill_switch", scope) for scope in GROUPS],
        ("restricted", "account"),
        *[("restricted", scope) for scope in GROUPS],
        ("suitability", "account"),
        ("duplicate_order", "account"),
        *[(reason, scope) for reason in ("order_rate", "order_to_trade", *every) for scope in GROUPS],
    ]


# --- at the ends ----------------------------------------------------------------------------------------


def around(*points: int, least: int, most: int) -> st.SearchStrategy[int]:
    """Whole numbers from `least` to `most`, often the ends and what lies beside some points."""
    near = sorted({point + step for point in (*points, least, most) for step in (-1, 0, 1)})
    return st.sampled_from([each for each in near if least <= each <= most]) | st.integers(least, most)


LIMIT = around(2**56, 2**61, least=0, most=2**62) | st.just(UNLIMITED)
SUM = around(1_000, least=0, most=2**61 - 1)
SIGNED = around(0, least=-(2**61) + 1, most=2**61 - 1)
WHOLE = around(10, 2**56, 2**62, least=0, most=2**63 - 1)
PRICE = around(100, 10**6, 2**43, least=0, most=2**63 - 1)
MILLIONTHS = around(0, 1, least=0, most=10**6) | st.just(UNLIMITED)

LIMIT_VALUES: dict[str, st.SearchStrategy[int]] = dict.fromkeys(LIMITS.names or (), LIMIT) | {
    "price_collar": MILLIONTHS,
    "order_rate": around(1, 2, 3, least=0, most=10**9) | st.just(UNLIMITED),
    "order_burst": around(1, 5, least=0, most=2**62),
    "order_to_trade": MILLIONTHS,
    "order_to_trade_free": around(0, least=0, most=2**62),
    "duplicate_order": around(0, least=0, most=86_400 * 10**9),
    "short_sale": st.integers(0, 2),
    "suitability": st.integers(0, 5),
    "suitability_confirmed": st.integers(0, 5),
    "restricted": st.integers(0, 1),
    "kill_switch": st.integers(0, 1),
    "exposure_rate": st.just(10**6),
}
EXPOSURE_VALUES: dict[str, st.SearchStrategy[int]] = dict.fromkeys(EXPOSURE.names or (), SUM) | {
    "realised": SIGNED,
    "unrealised": SIGNED,
    "trades": around(0, least=0, most=2**42),
    "messages": around(0, 2**62 - 1, least=0, most=2**62),
    "open_orders": around(0, least=0, most=2**62),
    "rate_due": around(TIME, TIME + 10**9, least=0, most=2**63 - 1),
}


@st.composite
def any_case(draw: st.DrawFn) -> Case:
    """Few things are limited, each at any value; so the later checks are met as well."""
    asked = case()
    replaces = draw(st.booleans())
    value, quantity = draw(around(1_000, least=0, most=2**56)), draw(around(10, least=1, most=2**62))
    open_buy, open_sell = draw(WHOLE), draw(WHOLE)
    buy = draw(st.booleans())
    order = {
        "side": 0 if buy else 1,
        "time": draw(around(TIME, least=0, most=2**63 - 1)),
        "replaces": int(replaces),
        "old_quantity": draw(st.integers(0, min(open_buy if buy else open_sell, 2**62))) if replaces else 0,
        "price": draw(PRICE),
        "quantity": quantity,
        "value": value,
        "last_price": draw(PRICE),
        "mark_price": draw(PRICE),
        "position": draw(around(0, -10, 10, least=-(2**63) + 1, most=2**63 - 1)),
        "open_buy_quantity": open_buy,
        "open_sell_quantity": open_sell,
        "short_quantity": draw(around(0, least=0, most=2**63 - 1)),
        "futures": draw(st.integers(0, 1)),
        "duplicate_age": draw(around(0, least=-1, most=86_400 * 10**9)),
        "position_long": draw(LIMIT),
        "position_short": draw(LIMIT),
        "killed": draw(st.sampled_from([0, 0, 0, 1])),
        "restricted": draw(st.sampled_from([0, 0, 0, 0, 1, 2, 3, 4])),
    }
    for name, number in order.items():
        asked.order[name] = number
    for scope in range(4):
        for name, values in EXPOSURE_VALUES.items():
            asked.exposures[name][scope] = draw(values) if draw(st.booleans()) else 0
        for name in draw(st.lists(st.sampled_from(sorted(LIMIT_VALUES)), max_size=4)):
            asked.limits[name][scope] = draw(LIMIT_VALUES[name])
    if replaces:
        least = min(int(asked.exposures["open_buy" if buy else "open_sell"][scope]) for scope in range(4))
        asked.order["old_value"] = draw(st.integers(0, min(least, 2**56)))
    return asked


@settings(deadline=None, max_examples=400)
@given(any_case())
def test_compiled_plain_and_formula_are_one(asked: Case) -> None:
    assert compiled(asked) == plainly(asked) == formula(asked)


@pytest.mark.parametrize(
    ("name", "used"),
    [
        ("gross_exposure", ("open_buy", "open_sell", "long_value", "short_value")),
        ("credit_limit", ("open_buy", "open_sell", "traded")),
        ("open_notional", ("open_buy", "open_sell")),
        ("net_exposure", ("open_buy", "long_value")),
    ],
)
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_the_largest_sums_do_not_wrap(name: str, used: tuple[str, ...], way: Any) -> None:
    most = dict.fromkeys(used, 2**61 - 1)
    total = len(used) * (2**61 - 1)
    asked = case({"value": 2**56}, client={name: 2**62} | most)
    refused = total + 2**56 > 2**62
    assert way(asked) == (Refusal(name, "client", 2**62, total, 2**56) if refused else None)
    assert way(case({"value": 2**56}, client={name: UNLIMITED} | most)) is None


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_the_largest_positions_do_not_wrap(way: Any) -> None:
    order = {"position": 2**63 - 1, "open_buy_quantity": 2**63 - 1, "quantity": 2**62}
    assert way(case(order, account={"position_long": 2**62})) == Refusal(
        "position_long", "account", 2**62, 2**63 - 1, 2**62
    )
    assert way(case(order)) is None
    assert way(case(order | {"position": -(2**63) + 1, "open_buy_quantity": 0}, account={"position_long": 0})) is None


def test_nothing_but_accept_is_accept() -> None:
    assert ACCEPT == 0x5AFE
    assert not set(kernel._REASONS.values()) & {ACCEPT}
    assert 0 not in {number for name, number in kernel._REASONS.items() if name != "REASON_NONE"}


def test_only_the_finding_is_written() -> None:
    asked = case(account={"max_quantity": 1})
    before = [each.tobytes() for each in asked]
    out = np.zeros(1, FINDING)
    assert kernel.decide(*asked.rows(), out[0]) != ACCEPT
    assert compiled(asked) is not None
    assert [each.tobytes() for each in asked] == before


def test_every_field_is_a_whole_number_of_64_bits() -> None:
    for dtype in (RISK_ORDER, LIMITS, EXPOSURE, FINDING):
        assert {dtype[name] for name in dtype.names or ()} == {np.dtype(np.int64)}
