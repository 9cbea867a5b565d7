"""The loops of the doors (`engine.risk.doors`): plain Python over arrays, compiled by `engine.risk.compiled`.

They change nothing but what their docstrings say, and look at each index before they use it.
"""

from typing import Any

from engine.risk.kernel import ACCEPT, OVERFLOW, SECOND, UNLIMITED, decide

VALUE_MAX = 2**56
"""An order, or a position, is worth at most this."""
HELD_MAX = 2**61
"""A group with so much open or held takes no new orders; amounts of the quote ledger stop here."""
SUM_MAX = 2**62
"""Sums of `revalue` stop here."""
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
