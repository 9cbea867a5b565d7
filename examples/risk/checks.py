# ruff: noqa: ARG001 - every check takes all three
"""Checks of a broker's own, given to the server by --risk-checks. docs/RISK.md says what a check may be.

Each sees the order, and the limits and exposures of its trading account, after all limits have let it pass.
"""

from engine import risk

MARKET = 1
LARGE_ORDER = 1_000_000
"""Value from which an order must be near the market, in minor units."""
NEAR_MILLIONTHS = 20_000
CROWDED_PERCENT = 20


@risk.check(reasons={1: "no_price_yet", 2: "large_and_away"})
def large_orders_stay_near(order, limits, exposure):
    """An order worth a million or more is at most 2 % away from the mark price, on either side."""
    if order["value"] < LARGE_ORDER:
        return risk.ACCEPT
    if order["mark_price"] == 0:
        return 1
    if abs(order["price"] - order["mark_price"]) * 1_000_000 > order["mark_price"] * NEAR_MILLIONTHS:
        return 2
    return risk.ACCEPT


@risk.check(reasons={1: "sells_into_its_own_losses"})
def no_panic(order, limits, exposure):
    """Who has lost more than half of today's limit sells at a price, not at any price."""
    loss = -(exposure["realised"] + exposure["unrealised"])
    if order["side"] == 1 and order["type"] == MARKET and loss > limits["daily_loss"] // 2:
        return 1
    return risk.ACCEPT


@risk.check(reasons={1: "too_many_orders_for_so_few_trades"})
def patient(order, limits, exposure):
    """After the first hundred messages of the day one in five must have led to a trade."""
    if exposure["messages"] > 100 and exposure["trades"] * 100 < exposure["messages"] * CROWDED_PERCENT:
        return 1
    return risk.ACCEPT
