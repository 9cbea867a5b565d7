"""The limits of docs/RISK.md, one function each, in the order in which they are looked at.

A check gets a Question and says what it found against the order, or None.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from engine.order_results import Reason
from tests.models.risk_records import Exposure, Finding, Group, LimitName, LimitScope
from tests.models.trading_records import MILLION, Order

SECOND = 10**9
L = LimitName


@dataclass(frozen=True, slots=True)
class Question:
    """An order as it would be, and what it meets. `exposures` are without the order."""

    order: Order
    replaces: bool
    now: int
    value: int
    groups: tuple[Group | None, ...]
    """Account, desk, client, instrument."""
    exposures: tuple[Exposure | None, ...]
    everybody: Group
    alone: tuple[dict[LimitName, int], ...]
    """What is set for account, desk and client in this instrument only."""
    mark: int
    position: int
    open_buys: int
    open_sells: int
    """Quantities of the account in this instrument, without the order."""
    short: int
    duplicate_age: int | None

    def limits(self, name: LimitName) -> Iterator[tuple[LimitScope, int, Exposure, Group]]:
        """Those that are set, in the order of the page."""
        for scope, group, exposure in zip(LimitScope, self.groups, self.exposures, strict=False):
            if group is not None and exposure is not None:
                limit = group.limit(name)
                if limit is not None:
                    yield scope, limit, exposure, group

    def held(self) -> int:
        """In the direction of the order, with what is open in it."""
        if self.order.buys:
            return self.position + self.open_buys
        return -self.position + self.open_sells

    def reduces(self) -> bool:
        return self.held() + self.order.leaves <= 0


def kill_switch(q: Question) -> Finding | None:
    if q.everybody.number(L.KILL_SWITCH):
        return Finding(LimitScope.DEFAULT, 1, 0, 0)
    for scope, limit, _, _ in q.limits(L.KILL_SWITCH):
        if limit:
            return Finding(scope, 1, 0, 0)
    return None


def restricted(q: Question) -> Finding | None:
    for scope, alone in zip(LimitScope, q.alone, strict=False):
        if alone.get(L.RESTRICTED):
            return Finding(scope, 1, 0, 0)
    for scope, limit, _, _ in q.limits(L.RESTRICTED):
        if limit:
            return Finding(scope, 1, 0, 0)
    return None


def suitability(q: Question) -> Finding | None:
    account, _, client, instrument = q.groups
    level = 0
    for group in (account, client):
        if group is not None:
            level = max(level, group.number(L.SUITABILITY), group.number(L.SUITABILITY_CONFIRMED))
    assert instrument is not None
    product = instrument.number(L.SUITABILITY)
    return Finding(LimitScope.ACCOUNT, level, 0, product) if product > level else None


def short_sale(q: Question) -> Finding | None:
    if not q.short:
        return None
    rules = [(limit, scope) for scope, limit, _, _ in q.limits(L.SHORT_SALE)]
    rule = max(limit for limit, _ in rules)
    scope = next(scope for limit, scope in rules if limit == rule)
    below = q.order.price < q.order.instrument.last_price
    if rule == 2 or (rule == 1 and below):
        return Finding(scope, rule, 0, q.short)
    return None


def duplicate_order(q: Question) -> Finding | None:
    account = q.groups[0]
    assert account is not None
    window = account.number(L.DUPLICATE_ORDER)
    if q.replaces or q.duplicate_age is None or q.duplicate_age >= window:
        return None
    return Finding(LimitScope.ACCOUNT, window, 0, q.duplicate_age)


def order_rate(q: Question) -> Finding | None:
    for scope, rate, exposure, group in q.limits(L.ORDER_RATE):
        if not rate:
            return Finding(scope, 0, 0, 1)
        size = group.number(L.ORDER_BURST) or rate
        used = -(-max(0, exposure.rate_due - q.now) // (SECOND // rate))
        if used + 1 > size:
            return Finding(scope, size, used, 1)
    return None


def order_to_trade(q: Question) -> Finding | None:
    for scope, ratio, exposure, group in q.limits(L.ORDER_TO_TRADE):
        most = group.number(L.ORDER_TO_TRADE_FREE) + ratio * exposure.trades
        if exposure.messages + 1 > most:
            return Finding(scope, most, exposure.messages, 1)
    return None


def max_quantity(q: Question) -> Finding | None:
    for scope, limit, _, _ in q.limits(L.MAX_QUANTITY):
        if q.order.leaves > limit:
            return Finding(scope, limit, 0, q.order.leaves)
    return None


def max_notional(q: Question) -> Finding | None:
    for scope, limit, _, _ in q.limits(L.MAX_NOTIONAL):
        if q.value > limit:
            return Finding(scope, limit, 0, q.value)
    return None


def price_collar(q: Question) -> Finding | None:
    away = q.order.price - q.mark if q.order.buys else q.mark - q.order.price
    for scope, limit, _, _ in q.limits(L.PRICE_COLLAR):
        if q.mark and away * MILLION > q.mark * limit:
            return Finding(scope, limit, q.mark, q.order.price)
    return None


def _position(q: Question, name: LimitName) -> Finding | None:
    alone = q.alone[0].get(name)
    own = q.groups[0].limit(name) if q.groups[0] is not None else None
    lowest = min((limit for limit in (own, alone) if limit is not None), default=None)
    limits = [] if lowest is None else [(LimitScope.ACCOUNT, lowest)]
    limits += [(scope, limit) for scope, limit, _, _ in q.limits(name) if scope != LimitScope.ACCOUNT]
    for scope, limit in limits:
        if q.held() + q.order.leaves > limit:
            return Finding(scope, limit, q.held(), q.order.leaves)
    return None


def position_long(q: Question) -> Finding | None:
    return _position(q, L.POSITION_LONG) if q.order.buys else None


def position_short(q: Question) -> Finding | None:
    return None if q.order.buys else _position(q, L.POSITION_SHORT)


def open_orders(q: Question) -> Finding | None:
    for scope, limit, exposure, _ in q.limits(L.OPEN_ORDERS):
        used, asked = exposure.open_orders + q.replaces, 0 if q.replaces else 1
        if used + asked > limit:
            return Finding(scope, limit, used, asked)
    return None


def _value(q: Question, name: LimitName, use: Callable[[Exposure], int]) -> Finding | None:
    for scope, limit, exposure, _ in q.limits(name):
        if use(exposure) + q.value > limit:
            return Finding(scope, limit, use(exposure), q.value)
    return None


def open_notional(q: Question) -> Finding | None:
    return _value(q, L.OPEN_NOTIONAL, lambda e: e.open_buy + e.open_sell)


def gross_exposure(q: Question) -> Finding | None:
    if q.reduces():
        return None
    return _value(q, L.GROSS_EXPOSURE, lambda e: e.long_value + e.short_value + e.open_buy + e.open_sell)


def net_exposure(q: Question) -> Finding | None:
    if q.reduces():
        return None
    if q.order.buys:
        return _value(q, L.NET_EXPOSURE, lambda e: e.long_value - e.short_value + e.open_buy)
    return _value(q, L.NET_EXPOSURE, lambda e: e.short_value - e.long_value + e.open_sell)


def credit_limit(q: Question) -> Finding | None:
    if q.reduces():
        return None
    return _value(q, L.CREDIT_LIMIT, lambda e: e.traded + e.open_buy + e.open_sell)


def daily_loss(q: Question) -> Finding | None:
    if q.reduces():
        return None
    for scope, limit, exposure, _ in q.limits(L.DAILY_LOSS):
        loss = -(exposure.realised + exposure.unrealised)
        if loss > limit:
            return Finding(scope, limit, loss, 0)
    return None


CHECKS: dict[Reason, Callable[[Question], Finding | None]] = {
    Reason.KILL_SWITCH: kill_switch,
    Reason.RESTRICTED: restricted,
    Reason.SUITABILITY: suitability,
    Reason.SHORT_SALE: short_sale,
    Reason.DUPLICATE_ORDER: duplicate_order,
    Reason.ORDER_RATE: order_rate,
    Reason.ORDER_TO_TRADE: order_to_trade,
    Reason.MAX_QUANTITY: max_quantity,
    Reason.MAX_NOTIONAL: max_notional,
    Reason.PRICE_COLLAR: price_collar,
    Reason.POSITION_LONG: position_long,
    Reason.POSITION_SHORT: position_short,
    Reason.OPEN_ORDERS: open_orders,
    Reason.OPEN_NOTIONAL: open_notional,
    Reason.GROSS_EXPOSURE: gross_exposure,
    Reason.NET_EXPOSURE: net_exposure,
    Reason.CREDIT_LIMIT: credit_limit,
    Reason.DAILY_LOSS: daily_loss,
}


def first_refusal(q: Question) -> tuple[Reason, Finding] | None:
    for reason, check in CHECKS.items():
        found = check(q)
        if found is not None:
            return reason, found
    return None
