"""The loops of the doors (`engine.risk.doors`): plain Python over arrays, compiled by `engine.risk.compiled`.

They change nothing but what their docstrings say, and look at each index before they use it.
"""

from typing import Any

from engine.risk.kernel import ACCEPT, BUY, FAR, MOST, OVERFLOW, SECOND, UNLIMITED, decide, saturated

VALUE_MAX = 2**56
"""An order, or a position, is worth at most this."""
HELD_MAX = 2**61
"""A group with so much open or held takes no new orders; amounts of the quote ledger stop here."""
SUM_MAX = 2**62
"""Sums of `revalue` stop here."""
ROOM_QUANTITY, ROOM_VALUE, ROOM_POSITION, ROOM_TIME, ROOM_RULES = 0, 1, 4, 6, 7
"""Places in a group's room: quantity; value that a buy, a sell, a reducing order may have; what may be held long and
short; the time before which the bucket may be empty; and collar, levels and short sale in one."""
ROOMS = 8
LEVEL_MASK = 7 << 5
LIMB = 31
LIMB_MASK = 2**31 - 1
WORD_MASK = 2**62 - 1
MILLION = 1_000_000

# --- a basket of orders -------------------------------------------------------------------------------


def too_full(used: Any) -> bool:
    """Whether so much is open or held that sums might no longer fit."""
    most = max(used["open_buy"], used["open_sell"], used["long_value"], used["short_value"], used["traded"])
    return bool(most >= HELD_MAX or abs(used["realised"]) >= HELD_MAX or abs(used["unrealised"]) >= HELD_MAX)


def judge(
    order: Any, limits: Any, exposures: Any, account: int, desk: int, client: int, instrument: int, out: Any
) -> int:
    """One order, with everything that the engine asks before and instead of `decide`."""
    if order["value"] > VALUE_MAX:
        return OVERFLOW
    for group in (account, desk, client, instrument):
        if too_full(exposures[group]):
            return OVERFLOW
    return decide(
        order,
        limits[account],
        exposures[account],
        limits[desk],
        exposures[desk],
        limits[client],
        exposures[client],
        limits[instrument],
        exposures[instrument],
        out,
    )


def basket(orders: Any, limits: Any, exposures: Any, groups: Any, verdicts: Any, findings: Any) -> int:
    """Each order against the exposures as they are. How many orders were looked at before a group that is not there."""
    count = len(limits)
    for index in range(len(orders)):
        account, desk, client, instrument = (
            groups[index, 0],
            groups[index, 1],
            groups[index, 2],
            groups[index, 3],
        )
        if not (0 <= account < count and 0 <= desk < count and 0 <= client < count and 0 <= instrument < count):
            return index
        verdicts[index] = judge(orders[index], limits, exposures, account, desk, client, instrument, findings[index])
    return len(orders)


def room_below(limit: int, used: int) -> int:
    """How much may be added to `used`, which is at least -2^61."""
    return MOST if limit == UNLIMITED else limit - used


def prepare(limits: Any, exposures: Any, rooms: Any) -> None:
    """For every group, what an order must not pass to be sure that `decide` accepts it; eight numbers, a cache line.

    Whoever passes one of them is asked about in full, so these may be too strict, but never too lax. A group that
    refuses or may refuse everything lets no quantity pass.
    """
    for group in range(len(limits)):
        limit, used, room = limits[group], exposures[group], rooms[group]
        room[ROOM_QUANTITY] = -MOST
        if (
            too_full(used)
            or limit["kill_switch"] | limit["restricted"]
            or used["open_orders"] >= limit["open_orders"]
            or (limit["suitability"] | limit["suitability_confirmed"]) & ~7
            or limit["short_sale"] & ~3
        ):
            continue
        room[ROOM_TIME] = -MOST
        rate = limit["order_rate"]
        if rate != UNLIMITED:
            if rate <= 0:
                continue
            size = limit["order_burst"] or rate
            room[ROOM_TIME] = used["rate_due"] - (min(size, FAR) - 1) * (SECOND // rate)
        ratio = limit["order_to_trade"]
        if ratio != UNLIMITED and used["messages"] >= limit["order_to_trade_free"] + ratio * used["trades"]:
            continue
        opened = used["open_buy"] + used["open_sell"]
        net = used["long_value"] - used["short_value"]
        reducing = min(room_below(limit["open_notional"], opened), limit["max_notional"], VALUE_MAX)
        either = min(reducing, room_below(limit["credit_limit"], used["traded"] + opened))
        if limit["gross_exposure"] != UNLIMITED:
            either = min(either, limit["gross_exposure"] - opened - (used["long_value"] + used["short_value"]))
        if -(used["realised"] + used["unrealised"]) > limit["daily_loss"]:
            either = -1
        room[ROOM_QUANTITY] = limit["max_quantity"]
        room[ROOM_VALUE] = min(either, room_below(limit["net_exposure"], net + used["open_buy"]))
        room[ROOM_VALUE + 1] = min(either, room_below(limit["net_exposure"], used["open_sell"] - net))
        room[ROOM_VALUE + 2] = reducing
        room[ROOM_POSITION] = limit["position_long"]
        room[ROOM_POSITION + 1] = limit["position_short"]
        level = max(limit["suitability"], limit["suitability_confirmed"])
        collar = max(min(limit["price_collar"], MILLION), 0)
        room[ROOM_RULES] = collar << 8 | level << 5 | limit["suitability"] << 2 | limit["short_sale"]


def basket_prepared(
    orders: Any, limits: Any, exposures: Any, groups: Any, rooms: Any, verdicts: Any, findings: Any
) -> int:
    """As `basket`, with the `rooms` of all groups; worth it for more orders than groups."""
    count = len(limits)
    for index in range(len(orders)):
        account, desk, client, instrument = (
            groups[index, 0],
            groups[index, 1],
            groups[index, 2],
            groups[index, 3],
        )
        if not (0 <= account < count and 0 <= desk < count and 0 <= client < count and 0 <= instrument < count):
            return index
        order = orders[index]
        side = order["side"]
        buys = side == BUY
        quantity = order["quantity"]
        value = order["value"]
        price = order["price"]
        mark = order["mark_price"]
        time = order["time"]
        position = max(order["position"], -MOST)
        held = saturated(
            saturated(
                position if buys else -position, order["open_buy_quantity"] if buys else order["open_sell_quantity"]
            ),
            quantity,
        )
        away = 0 if mark <= 0 else max(price - mark if buys else mark - price, 0)
        whole, rest = mark // MILLION, mark % MILLION
        kind = ROOM_VALUE + (2 if held <= 0 else 0 if buys else 1)
        bound = ROOM_POSITION + (0 if buys else 1)
        own = order["position_long"] if buys else order["position_short"]
        rules_account, rules_client = rooms[account, ROOM_RULES], rooms[client, ROOM_RULES]
        rules_desk, rules_instrument = rooms[desk, ROOM_RULES], rooms[instrument, ROOM_RULES]
        rule = (rules_account | rules_desk | rules_client | rules_instrument) & 3
        collar = min(rules_account, rules_desk, rules_client, rules_instrument) >> 8
        level = max(rules_account & LEVEL_MASK, rules_client & LEVEL_MASK)
        odd = order["killed"] | order["restricted"] | order["replaces"]
        short = (order["short_quantity"] > 0) & (rule > 0) & ((rule > 1) | (price < order["last_price"]))
        largest = min(
            rooms[account, ROOM_QUANTITY],
            rooms[desk, ROOM_QUANTITY],
            rooms[client, ROOM_QUANTITY],
            rooms[instrument, ROOM_QUANTITY],
        )
        dearest = min(rooms[account, kind], rooms[desk, kind], rooms[client, kind], rooms[instrument, kind])
        widest = min(own, rooms[account, bound], rooms[desk, bound], rooms[client, bound], rooms[instrument, bound])
        earliest = max(
            rooms[account, ROOM_TIME],
            rooms[desk, ROOM_TIME],
            rooms[client, ROOM_TIME],
            rooms[instrument, ROOM_TIME],
        )
        # One branch, since each alone is hardly ever true.
        if (
            (odd != 0)
            | (order["duplicate_age"] >= 0)
            | short
            | ((rules_instrument << 3 & LEVEL_MASK) > level)
            | (away > whole * collar + rest * collar // MILLION)
            | (quantity > largest)
            | (value > dearest)
            | (held > widest)
            | (time < earliest)
        ):
            verdicts[index] = judge(order, limits, exposures, account, desk, client, instrument, findings[index])
        else:
            verdicts[index] = ACCEPT
    return len(orders)


def take_token(limits: Any, used: Any, time: int) -> None:
    """An accepted order's token is back `1 / order_rate` after the one before it."""
    rate = limits["order_rate"]
    if rate != UNLIMITED and rate > 0:
        used["rate_due"] = max(used["rate_due"], time) + SECOND // rate


def basket_in_sequence(
    orders: Any,
    limits: Any,
    exposures: Any,
    groups: Any,
    positions: Any,
    opened: Any,
    seen: Any,
    verdicts: Any,
    findings: Any,
) -> int:
    """As `basket`, but each order meets what the accepted ones before it have opened.

    `exposures` are changed. `positions`: of each order, the row of `opened` (buys, sells) for its account and
    instrument; `seen`: room for one order.
    """
    count = len(limits)
    for index in range(len(orders)):
        order = orders[index]
        for scope in range(4):
            if not 0 <= groups[index, scope] < count:
                return index
        position = positions[index]
        seen[0] = order
        seen[0]["open_buy_quantity"] += opened[position, 0]
        seen[0]["open_sell_quantity"] += opened[position, 1]
        verdict = judge(
            seen[0],
            limits,
            exposures,
            groups[index, 0],
            groups[index, 1],
            groups[index, 2],
            groups[index, 3],
            findings[index],
        )
        verdicts[index] = verdict
        for scope in range(4):
            exposures[groups[index, scope]]["messages"] += 1
        if verdict == ACCEPT:
            opened[position, 0 if order["side"] == 0 else 1] += order["quantity"] - order["old_quantity"]
            for scope in range(4):
                used = exposures[groups[index, scope]]
                used["open_orders"] += 0 if order["replaces"] else 1
                if order["side"] == 0:
                    used["open_buy"] += order["value"] - order["old_value"]
                else:
                    used["open_sell"] += order["value"] - order["old_value"]
                take_token(limits[groups[index, scope]], used, order["time"])
    return len(orders)


# --- positions at prices --------------------------------------------------------------------------------


def part(value: int, times: int, by: int, most: int) -> int:
    """`value * times / by`, half to even, and at most `most`.

    `value`, `times`: 0 … 2^62 - 1; `by`: 1 … 2^62 - 1; `most` at most 2^61. The product is kept as two words of 62
    bits, made of limbs of 31, so that nothing passes 2^63; a quotient of 2^61 or more is not worked out.
    """
    high = 0
    if value <= LIMB_MASK and times <= LIMB_MASK:
        low = value * times
    else:
        value_high, value_low = value >> LIMB, value & LIMB_MASK
        times_high, times_low = times >> LIMB, times & LIMB_MASK
        middle = value_high * times_low + value_low * times_high
        low = value_low * times_low + ((middle & LIMB_MASK) << LIMB)
        high = value_high * times_high + (middle >> LIMB) + (low >> (2 * LIMB))
        low &= WORD_MASK
    if high == 0:
        quotient, rest = low // by, low % by
    elif 2 * high >= by:
        return most
    elif by <= LIMB_MASK:
        upper = (high << LIMB) | (low >> LIMB)
        lower = ((upper % by) << LIMB) | (low & LIMB_MASK)
        quotient, rest = (upper // by << LIMB) + lower // by, lower % by
    else:
        quotient, rest = 0, high
        for bit in range(2 * LIMB - 1, -1, -1):
            rest = 2 * rest + (low >> bit & 1)
            quotient *= 2
            if rest >= by:
                rest -= by
                quotient += 1
    if rest > by - rest or (rest == by - rest and quotient & 1):
        quotient += 1
    return min(quotient, most)


def converted(amount: int, rate: int) -> int:
    """A signed amount of the quote ledger in the risk currency, within ± VALUE_MAX."""
    if rate == MILLION:
        return max(-VALUE_MAX, min(amount, VALUE_MAX))
    return part(amount, rate, MILLION, VALUE_MAX) if amount >= 0 else -part(-amount, rate, MILLION, VALUE_MAX)


def revalue(holdings: Any, terms: Any, positions: Any, accounts: Any) -> int:
    """How many positions were valued before one whose account or instrument is not there."""
    for index in range(len(holdings)):
        account, instrument = holdings[index]["account"], holdings[index]["instrument"]
        if not (0 <= account < len(accounts) and 0 <= instrument < len(terms)):
            return index
        quantity, basis = holdings[index]["quantity"], holdings[index]["basis"]
        basis = max(-HELD_MAX, min(basis, HELD_MAX))
        mark = terms[instrument]["mark_price"]
        worth = basis
        if mark > 0:
            size, scale = terms[instrument]["contract_size"], terms[instrument]["price_scale"]
            worth = part(min(abs(max(quantity, -WORD_MASK)), WORD_MASK), mark * size, scale, HELD_MAX)
            if quantity < 0:
                worth = -worth
        rate = terms[instrument]["exposure_rate"]
        value = converted(worth, rate)
        unrealised = converted(max(-HELD_MAX, min(worth - basis, HELD_MAX)), rate)
        positions[index]["value"] = value
        positions[index]["unrealised"] = unrealised
        total = accounts[account]
        if value >= 0:
            total["long_value"] = min(total["long_value"] + value, SUM_MAX)
        else:
            total["short_value"] = min(total["short_value"] - value, SUM_MAX)
        total["unrealised"] = max(-SUM_MAX, min(total["unrealised"] + unrealised, SUM_MAX))
    return len(holdings)
