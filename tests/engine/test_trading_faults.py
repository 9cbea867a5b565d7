"""The driver finds faults about limits and exposures: each is planted in the model, and must be found soon."""

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import pytest

from engine.order_results import OrderStatus, Reason
from tests.engine import driver, trading_driver
from tests.engine.trading_generator import Habits
from tests.models import risk_checks
from tests.models.risk import SECOND, Risk, signed
from tests.models.risk_checks import Question
from tests.models.risk_records import (
    NOT_SET,
    Entry,
    Exposure,
    Finding,
    Group,
    KillSwitch,
    LimitName,
    LimitScope,
)
from tests.models.trading import Trading
from tests.models.trading_records import MILLION, Order, OrderResult, Trade, divide

STEPS_MAX = 20_000
Plant = Callable[[pytest.MonkeyPatch], None]
L = LimitName


def check(reason: Reason, fault: Callable[[Question], Finding | None]) -> Plant:
    """Another check in the place of that of a reason."""
    return lambda patch: patch.setitem(risk_checks.CHECKS, reason, fault)


def method(owner: type, name: str, fault: Callable[..., Any]) -> Plant:
    return lambda patch: patch.setattr(owner, name, fault)


# --- limits --------------------------------------------------------------------------------------------


def one_less(q: Question) -> Finding | None:
    for scope, limit, _, _ in q.limits(L.MAX_QUANTITY):
        if q.order.leaves >= limit:
            return Finding(scope, limit, 0, q.order.leaves)
    return None


_exposures = Risk.exposures


def replaced_counts_twice(
    self: Risk, groups: Sequence[Group | None], without: Order | None = None
) -> list[Exposure | None]:
    return _exposures(self, groups)


def never_filled_again(q: Question) -> Finding | None:
    """Tokens come back only when all of them are back."""
    for scope, rate, exposure, group in q.limits(L.ORDER_RATE):
        size = group.number(L.ORDER_BURST) or rate
        used = size if exposure.rate_due > q.now else 0
        if used + 1 > size:
            return Finding(scope, size, used, 1)
    return None


_kill = Trading._kill


def misses_a_client(self: Trading, item: KillSwitch, now: int) -> OrderResult:
    """Their open orders stay."""
    if item.scope != LimitScope.CLIENT or not item.on:
        return _kill(self, item, now)
    group = self.risk.group(item.scope, item.id)
    self.risk.put(group, L.KILL_SWITCH, 1)
    group.updated = now
    return OrderResult(OrderStatus.DONE)


def client_may_go_on(q: Question) -> Finding | None:
    found = risk_checks.kill_switch(q)
    return None if found is not None and found.scope == LimitScope.CLIENT else found


def ignores_pending(self: Risk, order: Order, held: int) -> int:
    if order.buys or order.instrument.futures:
        return 0
    account = self.floor.account(order.account.links[order.instrument.terms.base_ledger])
    return max(0, order.leaves - max(0, account.credits_posted - account.debits_posted))


def first_rule_counts(q: Question) -> Finding | None:
    """Not the strictest of the four."""
    for scope, rule, _, _ in q.limits(L.SHORT_SALE):
        if rule and q.short:
            below = q.order.price < q.order.instrument.last_price
            return Finding(scope, rule, 0, q.short) if rule == 2 or below else None
    return None


def window_with_its_end(q: Question) -> Finding | None:
    window = q.groups[0].number(L.DUPLICATE_ORDER) if q.groups[0] is not None else 0
    if q.replaces or q.duplicate_age is None or not window or q.duplicate_age > window:
        return None
    return Finding(LimitScope.ACCOUNT, window, 0, q.duplicate_age)


def collar_in_whole_ticks(q: Question) -> Finding | None:
    """Rounds what may not be rounded."""
    away = q.order.price - q.mark if q.order.buys else q.mark - q.order.price
    for scope, limit, _, _ in q.limits(L.PRICE_COLLAR):
        if q.mark and away > divide(q.mark * limit, MILLION):
            return Finding(scope, limit, q.mark, q.order.price)
    return None


def reducing_is_not_free(q: Question) -> Finding | None:
    for scope, limit, e, _ in q.limits(L.GROSS_EXPOSURE):
        used = e.long_value + e.short_value + e.open_buy + e.open_sell
        if used + q.value > limit:
            return Finding(scope, limit, used, q.value)
    return None


def default_is_not_taken_over(self: Entry, name: LimitName) -> int | None:
    return self.own.get(name, NOT_SET[name])


# --- a second person -----------------------------------------------------------------------------------

_raises = Risk._raises


def may_be_taken_away(self: Risk, target: Entry, name: LimitName, value: int | None) -> bool:
    return value is not None and _raises(self, target, name, value)


def higher_is_always_looser(self: Risk, target: Entry, name: LimitName, value: int | None) -> bool:
    above = (target if target.scope == LimitScope.APPROVAL else self.approval).own.get(name)
    if above is None or value is None:
        return above is not None and name in target.own
    now = target.limit(name)
    return now is not None and value > now and value > above


# --- exposures -----------------------------------------------------------------------------------------


def revalued_half_as_often(self: Risk, time: int) -> None:
    if time < self.next_revaluation or not self.instruments:
        return
    self.next_revaluation = time + 2 * SECOND
    for h in self.holdings.values():
        h.set_mark(self.mark_price(h.instrument))


def keeps_what_was_busted(self: Risk, order: Order, trade: Trade) -> None:
    """As `undone`, and the trade stays in traded and trades."""
    h = self.holdings[order.account.number, order.instrument.number]
    self._trade_into(h, trade.quantity, trade.notional, sells=order.buys)
    h.realised += trade.fee(order)
    h.set_mark(self.mark_price(h.instrument))


_end_day = Risk.end_day


def keeps_messages(self: Risk) -> None:
    before = {group: group.messages for group in self.all_groups()}
    _end_day(self)
    for group, messages in before.items():
        group.messages = messages


def closes_at_the_size_of_the_basis(h: Any, quantity: int, notional: int, *, sells: bool) -> None:
    """What the engine did until the model was beside it: the sign of the basis is taken for that of the position."""
    against = h.quantity > 0 if sells else h.quantity < 0
    closed = min(quantity, abs(h.quantity)) if against else 0
    value = divide(notional * closed, quantity)
    if closed:
        basis = divide(abs(h.basis) * closed, abs(h.quantity))
        h.basis -= signed(h.basis, basis)
        h.realised += value - basis if sells else basis - value
        h.quantity += -closed if sells else closed
    h.basis += value - notional if sells else notional - value
    h.quantity += closed - quantity if sells else quantity - closed


def old_rate_for_open_orders(self: Risk, target: Entry, name: LimitName, value: int | None) -> None:
    if value is None:
        target.own.pop(name, None)
    else:
        target.own[name] = value


def stays_open(self: Trading, order: Order) -> None:
    """An order that self-trade prevention made smaller is counted as it was."""
    super(Trading, self).shrink(order)


@pytest.fixture
def limited(monkeypatch: pytest.MonkeyPatch) -> None:
    """Worlds that all have limits, and no time for making programs short: that one is found is enough."""
    made = Habits.__init__

    def habits(self: Habits, random: Random) -> None:
        made(self, random)
        self.limits = 6

    monkeypatch.setattr(Habits, "__init__", habits)
    monkeypatch.setattr(trading_driver, "SHRINK_SECONDS", 0)


FAULTS: dict[str, Plant] = {
    "a limit is off by one": check(Reason.MAX_QUANTITY, one_less),
    "a replaced order counts twice": method(Risk, "exposures", replaced_counts_twice),
    "the bucket fills only when it is empty": check(Reason.ORDER_RATE, never_filled_again),
    "the kill switch lets a client go on": check(Reason.KILL_SWITCH, client_may_go_on),
    "a short sale ignores what is pending": method(Risk, "_short", ignores_pending),
    "the collar is rounded": check(Reason.PRICE_COLLAR, collar_in_whole_ticks),
    "reducing is not free": check(Reason.GROSS_EXPOSURE, reducing_is_not_free),
    "the default is not taken over": method(Entry, "limit", default_is_not_taken_over),
    "a limit goes away without a second person": method(Risk, "_raises", may_be_taken_away),
    "a second person is asked where less is looser": method(Risk, "_raises", higher_is_always_looser),
    "a revaluation is missed": method(Risk, "revalue", revalued_half_as_often),
    "a bust gives nothing back": method(Risk, "undone", keeps_what_was_busted),
    "messages outlive the day": method(Risk, "end_day", keeps_messages),
    "open orders keep the old rate": method(Risk, "put", old_rate_for_open_orders),
    "a smaller order is counted as it was": method(Trading, "shrink", stays_open),
}
RARE_FAULTS: dict[str, Plant] = {
    "the kill switch leaves a client's orders": method(Trading, "_kill", misses_a_client),
    "the first rule of short sales counts": check(Reason.SHORT_SALE, first_rule_counts),
    "a duplicate is one at the end of its window": check(Reason.DUPLICATE_ORDER, window_with_its_end),
    "a basis of the other sign is closed the wrong way": method(
        Risk, "_trade_into", staticmethod(closes_at_the_size_of_the_basis)
    ),
}
"""Those that take the driver more than 3,000 steps."""


def found(monkeypatch: pytest.MonkeyPatch, plant: Plant) -> None:
    plant(monkeypatch)
    with pytest.raises(driver.Difference):
        trading_driver.run("limits", STEPS_MAX)


@pytest.mark.usefixtures("limited")
@pytest.mark.parametrize("plant", FAULTS.values(), ids=FAULTS)
def test_a_planted_fault_is_found(monkeypatch: pytest.MonkeyPatch, plant: Plant) -> None:
    found(monkeypatch, plant)


@pytest.mark.long
@pytest.mark.usefixtures("limited")
@pytest.mark.parametrize("plant", RARE_FAULTS.values(), ids=RARE_FAULTS)
def test_a_rare_planted_fault_is_found(monkeypatch: pytest.MonkeyPatch, plant: Plant) -> None:
    found(monkeypatch, plant)


@pytest.mark.long
@pytest.mark.usefixtures("limited")
def test_without_a_fault_nothing_is_found() -> None:
    """In the same worlds: what is found above are the faults."""
    trading_driver.run("limits", STEPS_MAX)
