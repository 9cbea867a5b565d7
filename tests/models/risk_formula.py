"""The limits of docs/RISK.md as a table of formulas over Python's own whole numbers, which have no end.

Nothing here follows the kernel: a check is (used, asked, limit) for a scope, and all of them are worked out before any
is looked at. `judge` gives the reason's name and (scope, limit, used, asked), or None.
"""

from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import NamedTuple

UNLIMITED = 2**63 - 1
SCOPES = ("account", "desk", "client", "instrument", "default")
LARGEST = 2**63 - 1

Row = Mapping[str, int]


class Refusal(NamedTuple):
    """Why an order may not pass."""

    reason: str
    scope: str
    limit: int
    used: int
    asked: int


class Check(NamedTuple):
    """One line of the table for one scope."""

    refusal: Refusal
    fails: bool


def limited(value: int) -> bool:
    return value != UNLIMITED


def switches(order: Row, limits: Mapping[str, Row]) -> Iterator[Check]:
    yield Check(Refusal("kill_switch", "default", 1, 0, 0), order["killed"] == 1)
    for scope, row in limits.items():
        yield Check(Refusal("kill_switch", scope, 1, 0, 0), row["kill_switch"] == 1)
    yield Check(Refusal("restricted", SCOPES[max(order["restricted"] - 1, 0)], 1, 0, 0), order["restricted"] != 0)
    for scope, row in limits.items():
        yield Check(Refusal("restricted", scope, 1, 0, 0), row["restricted"] == 1)


def rules(order: Row, limits: Mapping[str, Row]) -> Iterator[Check]:
    product = limits["instrument"]["suitability"]
    level = max(limits[who][what] for who in ("account", "client") for what in ("suitability", "suitability_confirmed"))
    yield Check(Refusal("suitability", "account", level, 0, product), product > level)

    strictest = max(row["short_sale"] for row in limits.values())
    scope = next(name for name, row in limits.items() if row["short_sale"] == strictest)
    short = order["short_quantity"] if order["side"] == 1 and order["futures"] == 0 else 0
    forbidden = strictest == 2 or (strictest == 1 and order["price"] < order["last_price"])
    yield Check(Refusal("short_sale", scope, strictest, 0, short), short > 0 and forbidden)

    window, age = limits["account"]["duplicate_order"], order["duplicate_age"]
    same = age != -1 and order["replaces"] == 0
    yield Check(Refusal("duplicate_order", "account", window, 0, age), same and age < window)


def rates(order: Row, limits: Mapping[str, Row], exposures: Mapping[str, Row]) -> Iterator[Check]:
    for scope, row in limits.items():
        rate = row["order_rate"]
        if rate == 0:
            yield Check(Refusal("order_rate", scope, 0, 0, 1), True)
        elif limited(rate):
            size = row["order_burst"] or rate
            missing = max(exposures[scope]["rate_due"] - order["time"], 0)
            taken = -(-missing // (10**9 // rate))
            yield Check(Refusal("order_rate", scope, size, taken, 1), taken + 1 > size)
    for scope, row in limits.items():
        most = row["order_to_trade_free"] + row["order_to_trade"] * exposures[scope]["trades"]
        messages = exposures[scope]["messages"]
        yield Check(
            Refusal("order_to_trade", scope, most, messages, 1), limited(row["order_to_trade"]) and messages + 1 > most
        )


def sums(order: Row, limits: Mapping[str, Row], exposures: Mapping[str, Row]) -> Iterator[Check]:
    """Every line that reads "used + asked is more than the limit", in the order of the page."""
    buy = order["side"] == 0
    value, old = order["value"], order["old_value"]
    sign = 1 if buy else -1
    opened = order["open_buy_quantity"] if buy else order["open_sell_quantity"]
    held = min(sign * order["position"] + opened - order["old_quantity"], LARGEST)
    reducing = sign * order["position"] + opened - order["old_quantity"] + order["quantity"] <= 0
    position = "position_long" if buy else "position_short"

    def line(name: str, used: Mapping[str, int] | int, asked: int) -> Iterator[Check]:
        for scope, row in limits.items():
            limit = row[name]
            if name == position and scope == "account":
                limit = min(limit, order[position])
            has = used if isinstance(used, int) else used[scope]
            yield Check(Refusal(name, scope, limit, has, asked), limited(limit) and has + asked > limit)

    yield from line("max_quantity", 0, order["quantity"])
    yield from line("max_notional", 0, value)
    mark, price = order["mark_price"], order["price"]
    for scope, row in limits.items():
        beyond = (
            mark
            and limited(row["price_collar"])
            and sign * (Fraction(price, mark) - 1) > Fraction(row["price_collar"], 10**6)
        )
        yield Check(Refusal("price_collar", scope, row["price_collar"], mark, price), bool(beyond))
    yield from line(position, held, order["quantity"])
    yield from line("open_orders", {name: row["open_orders"] for name, row in exposures.items()}, 1 - order["replaces"])
    in_book = {name: row["open_buy"] + row["open_sell"] - old for name, row in exposures.items()}
    yield from line("open_notional", in_book, value)
    if reducing:
        return
    gross = {name: row["long_value"] + row["short_value"] + in_book[name] for name, row in exposures.items()}
    yield from line("gross_exposure", gross, value)
    net = {
        name: sign * (row["long_value"] - row["short_value"]) + row["open_buy" if buy else "open_sell"] - old
        for name, row in exposures.items()
    }
    yield from line("net_exposure", net, value)
    yield from line("credit_limit", {name: row["traded"] + in_book[name] for name, row in exposures.items()}, value)
    loss = {name: -(row["realised"] + row["unrealised"]) for name, row in exposures.items()}
    yield from line("daily_loss", loss, 0)


def judge(order: Row, limits: Mapping[str, Row], exposures: Mapping[str, Row]) -> Refusal | None:
    """The first line that fails; `limits` and `exposures` by scope, in the order account, desk, client, instrument."""
    for check in (
        *switches(order, limits),
        *rules(order, limits),
        *rates(order, limits, exposures),
        *sums(order, limits, exposures),
    ):
        if check.fails:
            return check.refusal
    return None
