"""Holds one order to the limits of its account, desk, client and instrument. docs/RISK.md is what it must mean.

`decide` is plain Python over records and whole numbers, and runs as it stands on NumPy records (`orders[0]`). What the
engine calls is the same function compiled by Numba (`engine.risk.compiled`). It reads fields by item, takes no part in
the state, and writes nothing but `out`, and that only when it refuses.

**Nothing may overflow**, since compiled whole numbers wrap in silence. What is promised about the arguments:

- limits are 0 … 2^62 or UNLIMITED (2^63 - 1), smaller where docs/RISK.md says so;
- every sum of a group (open_buy, open_sell, long_value, short_value, traded) is 0 … 2^61, realised and unrealised
  ± 2^61: the engine refuses with `overflow` from 2^61 on; an order's value, new or old, is 0 … 2^56 + 1;
- trades of a day are at most 2^42 (at 50 million a second), messages and open orders at most 2^62;
- prices, quantities, times, the position: any that is not negative, the position any at all.

A limit is therefore never added to: `used > limit - asked` stands for `used + asked > limit`, and both parts of the
difference are not negative. Sums of values have at most four parts of 2^61, less what a replace takes away: at most
2^63 - 1, as the engine has let through less than 2^61 of each. Position and open quantities are added with saturation,
which keeps every comparison right, as limits end at 2^62. order_to_trade x trades is at most 10^6 x 2^42 < 2^62, and
with order_to_trade_free at most 2^62 below 2^63. The collar's band is split at 10^6, and is at most the mark price.
"""

from typing import Any

from engine._core.order_codes import NUMBERS

Record = Any
"""A record of NumPy's, or what Numba makes of one: `record["field"]` is a whole number."""

ACCEPT = 0x5AFE
"""The only answer that lets an order pass; a compiled function that fails answers 0."""

UNLIMITED = 2**63 - 1
MOST = 2**63 - 1
SECOND = 1_000_000_000
FAR = 2**32
MILLION = 1_000_000
BUY = 0

SCOPE_ACCOUNT, SCOPE_DESK, SCOPE_CLIENT, SCOPE_INSTRUMENT, SCOPE_DEFAULT = range(5)

_REASONS = NUMBERS["Reason"]
KILL_SWITCH = _REASONS["REASON_KILL_SWITCH"]
RESTRICTED = _REASONS["REASON_RESTRICTED"]
SUITABILITY = _REASONS["REASON_SUITABILITY"]
SHORT_SALE = _REASONS["REASON_SHORT_SALE"]
DUPLICATE_ORDER = _REASONS["REASON_DUPLICATE_ORDER"]
ORDER_RATE = _REASONS["REASON_ORDER_RATE"]
ORDER_TO_TRADE = _REASONS["REASON_ORDER_TO_TRADE"]
MAX_QUANTITY = _REASONS["REASON_MAX_QUANTITY"]
MAX_NOTIONAL = _REASONS["REASON_MAX_NOTIONAL"]
PRICE_COLLAR = _REASONS["REASON_PRICE_COLLAR"]
POSITION_LONG = _REASONS["REASON_POSITION_LONG"]
POSITION_SHORT = _REASONS["REASON_POSITION_SHORT"]
OPEN_ORDERS = _REASONS["REASON_OPEN_ORDERS"]
OPEN_NOTIONAL = _REASONS["REASON_OPEN_NOTIONAL"]
GROSS_EXPOSURE = _REASONS["REASON_GROSS_EXPOSURE"]
NET_EXPOSURE = _REASONS["REASON_NET_EXPOSURE"]
CREDIT_LIMIT = _REASONS["REASON_CREDIT_LIMIT"]
DAILY_LOSS = _REASONS["REASON_DAILY_LOSS"]
OVERFLOW = _REASONS["REASON_OVERFLOW"]
RISK_FAILED = _REASONS["REASON_RISK_FAILED"]

SHORT_SALE_NOT_BELOW_LAST = 1
SHORT_SALE_FORBIDDEN = 2


def refuse(out: Record, reason: int, scope: int, limit: int, used: int, asked: int) -> int:
    """Writes what was found, and gives the reason back."""
    out["scope"] = scope
    out["limit"] = limit
    out["used"] = used
    out["asked"] = asked
    out["check"] = 0
    return reason


def saturated(a: int, b: int) -> int:
    """`a + b`, or the most there is; `b` is not negative."""
    if a > MOST - b:
        return MOST
    return a + b


def rate_used(due: int, time: int, interval: int) -> int:
    """Tokens that have been taken from a bucket and are not back: one comes back every `interval`."""
    if due <= time:
        return 0
    return (due - time - 1) // interval + 1


def refusal(
    order: Record,
    account: Record,
    account_used: Record,
    desk: Record,
    desk_used: Record,
    client: Record,
    client_used: Record,
    instrument: Record,
    instrument_used: Record,
    out: Record,
) -> int:
    """The page, line by line: ACCEPT, or the Reason of the first line that fails, with what was found in `out`."""
    limits = (account, desk, client, instrument)
    exposures = (account_used, desk_used, client_used, instrument_used)

    # --- who and what may trade at all
    if order["killed"]:
        return refuse(out, KILL_SWITCH, SCOPE_DEFAULT, 1, 0, 0)
    for scope in range(4):
        if limits[scope]["kill_switch"]:
            return refuse(out, KILL_SWITCH, scope, limits[scope]["kill_switch"], 0, 0)
    if order["restricted"]:
        return refuse(out, RESTRICTED, order["restricted"] - 1, 1, 0, 0)
    for scope in range(4):
        if limits[scope]["restricted"]:
            return refuse(out, RESTRICTED, scope, limits[scope]["restricted"], 0, 0)
    if instrument["suitability"]:
        level = max(
            account["suitability"],
            account["suitability_confirmed"],
            client["suitability"],
            client["suitability_confirmed"],
        )
        if instrument["suitability"] > level:
            return refuse(out, SUITABILITY, SCOPE_ACCOUNT, level, 0, instrument["suitability"])

    buys = order["side"] == BUY
    price = order["price"]
    quantity = order["quantity"]
    value = order["value"]
    time = order["time"]

    if not buys and not order["futures"] and order["short_quantity"] > 0:
        rule = 0
        strictest = 0
        for scope in range(4):
            if limits[scope]["short_sale"] > rule:
                rule = limits[scope]["short_sale"]
                strictest = scope
        if rule >= SHORT_SALE_FORBIDDEN or (rule == SHORT_SALE_NOT_BELOW_LAST and price < order["last_price"]):
            return refuse(out, SHORT_SALE, strictest, rule, 0, order["short_quantity"])

    # --- how often
    if not order["replaces"] and 0 <= order["duplicate_age"] < account["duplicate_order"]:
        return refuse(out, DUPLICATE_ORDER, SCOPE_ACCOUNT, account["duplicate_order"], 0, order["duplicate_age"])
    for scope in range(4):
        rate = limits[scope]["order_rate"]
        if rate != UNLIMITED:
            if rate <= 0:
                return refuse(out, ORDER_RATE, scope, 0, 0, 1)
            size = limits[scope]["order_burst"]
            if size == 0:
                size = rate
            used = rate_used(exposures[scope]["rate_due"], time, SECOND // rate)
            if used >= size:
                return refuse(out, ORDER_RATE, scope, size, used, 1)
    for scope in range(4):
        ratio = limits[scope]["order_to_trade"]
        if ratio != UNLIMITED:
            most = limits[scope]["order_to_trade_free"] + ratio * exposures[scope]["trades"]
            if exposures[scope]["messages"] >= most:
                return refuse(out, ORDER_TO_TRADE, scope, most, exposures[scope]["messages"], 1)

    # --- the order by itself
    for scope in range(4):
        if quantity > limits[scope]["max_quantity"]:
            return refuse(out, MAX_QUANTITY, scope, limits[scope]["max_quantity"], 0, quantity)
    for scope in range(4):
        if value > limits[scope]["max_notional"]:
            return refuse(out, MAX_NOTIONAL, scope, limits[scope]["max_notional"], 0, value)
    mark = order["mark_price"]
    if mark > 0:
        away = price - mark if buys else mark - price
        if away > 0:
            for scope in range(4):
                collar = limits[scope]["price_collar"]
                if collar != UNLIMITED and away > mark // MILLION * collar + mark % MILLION * collar // MILLION:
                    return refuse(out, PRICE_COLLAR, scope, collar, mark, price)

    # --- what the account would hold in the instrument
    old_quantity = order["old_quantity"]
    if buys:
        held = saturated(max(order["position"], -MOST), order["open_buy_quantity"] - old_quantity)
        for scope in range(4):
            limit = limits[scope]["position_long"]
            if scope == SCOPE_ACCOUNT:
                limit = min(limit, order["position_long"])
            if limit != UNLIMITED and held > limit - quantity:
                return refuse(out, POSITION_LONG, scope, limit, held, quantity)
    else:
        held = saturated(-max(order["position"], -MOST), order["open_sell_quantity"] - old_quantity)
        for scope in range(4):
            limit = limits[scope]["position_short"]
            if scope == SCOPE_ACCOUNT:
                limit = min(limit, order["position_short"])
            if limit != UNLIMITED and held > limit - quantity:
                return refuse(out, POSITION_SHORT, scope, limit, held, quantity)

    # --- what would be open, and what would be held in all
    adds = 0 if order["replaces"] else 1
    for scope in range(4):
        if exposures[scope]["open_orders"] > limits[scope]["open_orders"] - adds:
            return refuse(out, OPEN_ORDERS, scope, limits[scope]["open_orders"], exposures[scope]["open_orders"], adds)
    old_value = order["old_value"]
    for scope in range(4):
        used = exposures[scope]["open_buy"] + exposures[scope]["open_sell"] - old_value
        if used > limits[scope]["open_notional"] - value:
            return refuse(out, OPEN_NOTIONAL, scope, limits[scope]["open_notional"], used, value)
    if held <= -quantity:
        return ACCEPT  # it reduces the position

    for scope in range(4):
        used = (exposures[scope]["long_value"] + exposures[scope]["short_value"] - old_value) + (
            exposures[scope]["open_buy"] + exposures[scope]["open_sell"]
        )
        if used > limits[scope]["gross_exposure"] - value and limits[scope]["gross_exposure"] != UNLIMITED:
            return refuse(out, GROSS_EXPOSURE, scope, limits[scope]["gross_exposure"], used, value)
    for scope in range(4):
        used = exposures[scope]["long_value"] - exposures[scope]["short_value"]
        if buys:
            used = used + exposures[scope]["open_buy"] - old_value
        else:
            used = exposures[scope]["open_sell"] - used - old_value
        if used > limits[scope]["net_exposure"] - value:
            return refuse(out, NET_EXPOSURE, scope, limits[scope]["net_exposure"], used, value)
    for scope in range(4):
        used = exposures[scope]["traded"] - old_value + exposures[scope]["open_buy"] + exposures[scope]["open_sell"]
        if used > limits[scope]["credit_limit"] - value:
            return refuse(out, CREDIT_LIMIT, scope, limits[scope]["credit_limit"], used, value)
    for scope in range(4):
        used = -(exposures[scope]["realised"] + exposures[scope]["unrealised"])
        if used > limits[scope]["daily_loss"]:
            return refuse(out, DAILY_LOSS, scope, limits[scope]["daily_loss"], used, 0)
    return ACCEPT


def rate_may_fail(limits: Record, used: Record, time: int) -> bool:
    """Whether a bucket may be empty: no, when it would not be even if tokens came back as slowly as rounding allows.

    A token comes back after more than (10^9 - rate) / rate, so no division is needed. False only when it is not empty.
    """
    rate = limits["order_rate"]
    size = limits["order_burst"]
    if size == 0:
        size = rate
    missing = max(used["rate_due"] - time, 0)
    empty: bool = rate <= 0 or missing > FAR or missing * rate > (min(size, FAR) - 1) * (SECOND - rate + 1)
    return empty


def scope_may_fail(
    limits: Record,
    used: Record,
    time: int,
    buys: bool,
    quantity: int,
    value: int,
    more: int,
    adds: int,
    held: int,
    away: int,
    mark: int,
) -> bool:
    """Whether one of the four scopes may refuse. `more`: what open orders gain; `held`: with the order."""
    if limits["kill_switch"] | limits["restricted"]:
        return True
    if limits["order_rate"] != UNLIMITED and rate_may_fail(limits, used, time):
        return True
    ratio = limits["order_to_trade"]
    if ratio != UNLIMITED and used["messages"] >= limits["order_to_trade_free"] + ratio * used["trades"]:
        return True
    if quantity > limits["max_quantity"] or value > limits["max_notional"]:
        return True
    if away > 0:
        collar = limits["price_collar"]
        if collar != UNLIMITED and away > mark // MILLION * collar + mark % MILLION * collar // MILLION:
            return True
    if held > (limits["position_long"] if buys else limits["position_short"]):
        return True
    if used["open_orders"] > limits["open_orders"] - adds:
        return True
    open_buy = used["open_buy"]
    open_sell = used["open_sell"]
    opened = open_buy + open_sell + more
    if opened > limits["open_notional"]:
        return True
    if held <= 0:
        return False  # it reduces the position
    net = used["long_value"] - used["short_value"]
    net = net + open_buy + more if buys else open_sell + more - net
    exceeds: bool = (
        used["long_value"] + used["short_value"] > limits["gross_exposure"] - opened
        or net > limits["net_exposure"]
        or used["traded"] + opened > limits["credit_limit"]
        or -(used["realised"] + used["unrealised"]) > limits["daily_loss"]
    )
    return exceeds


def decide(
    order: Record,
    account: Record,
    account_used: Record,
    desk: Record,
    desk_used: Record,
    client: Record,
    client_used: Record,
    instrument: Record,
    instrument_used: Record,
    out: Record,
) -> int:
    """ACCEPT, or the Reason of the first limit that the order would break, with what was found in `out`.

    `order` is a RISK_ORDER, the others in turn LIMITS and EXPOSURE of the four scopes, `out` a FINDING.

    Nearly every order passes, so all that might be wrong with one is looked at scope by scope, in no particular order
    and without divisions; only when something may be, `refusal` goes through the page in its order.
    """
    buys = order["side"] == BUY
    price = order["price"]
    quantity = order["quantity"]
    mark = order["mark_price"]
    rule = (account["short_sale"] | desk["short_sale"]) | (client["short_sale"] | instrument["short_sale"])
    level = max(
        account["suitability"],
        account["suitability_confirmed"],
        client["suitability"],
        client["suitability_confirmed"],
    )
    away = price - mark if buys else mark - price
    if mark <= 0:
        away = 0
    if buys:
        held = saturated(max(order["position"], -MOST), order["open_buy_quantity"] - order["old_quantity"])
    else:
        held = saturated(-max(order["position"], -MOST), order["open_sell_quantity"] - order["old_quantity"])
    held = saturated(held, quantity)
    time = order["time"]
    value = order["value"]
    more = value - order["old_value"]
    adds = 1 - order["replaces"]
    if (
        order["killed"] | order["restricted"]
        or instrument["suitability"] > level
        or (order["short_quantity"] > 0)
        & ((rule >= SHORT_SALE_FORBIDDEN) | ((rule > 0) & (price < order["last_price"])))
        or order["duplicate_age"] >= 0
        or held > (order["position_long"] if buys else order["position_short"])
        or scope_may_fail(account, account_used, time, buys, quantity, value, more, adds, held, away, mark)
        or scope_may_fail(desk, desk_used, time, buys, quantity, value, more, adds, held, away, mark)
        or scope_may_fail(client, client_used, time, buys, quantity, value, more, adds, held, away, mark)
        or scope_may_fail(instrument, instrument_used, time, buys, quantity, value, more, adds, held, away, mark)
    ):
        return refusal(
            order,
            account,
            account_used,
            desk,
            desk_used,
            client,
            client_used,
            instrument,
            instrument_used,
            out,
        )
    return ACCEPT
