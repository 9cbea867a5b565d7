"""Random limits for the random order flow: values near what is used, so that they bite now and then, and loosening.

When more than a third of the latest orders were refused by limits, limits go rather than come.
"""

from collections.abc import Callable
from random import Random
from typing import Any

from engine.order_results import Reason
from tests.models.risk import names_of
from tests.models.risk_records import (
    LOWER_IS_LOOSER,
    MOST,
    Approval,
    Entry,
    Exposure,
    KillSwitch,
    LimitName,
    LimitScope,
    SetLimits,
)
from tests.models.trading import Trading

L = LimitName
SECOND = 1_000_000_000
DESKS = {101: "north", 102: "north", 103: "south", 104: "south", 106: "north"}
CLIENTS = {101: "wang", 102: "li", 103: "wang", 105: "li", 106: "zhao-of-twenty-four-byte"}
"""105 has no desk, 104 no client, 107 neither."""
ACTORS = ("ann", "bob", "cem")
LIMIT_REASONS = {
    *(reason for reason in Reason if Reason.MAX_QUANTITY <= reason <= Reason.SUITABILITY),
    *(Reason.NET_EXPOSURE, Reason.ORDER_TO_TRADE, Reason.SHORT_SALE),
}
FLAGS = {L.KILL_SWITCH, L.RESTRICTED}
RARE = {L.SHORT_SALE: 5, L.DUPLICATE_ORDER: 5}
"""How much more often than others those are set that few orders meet."""
RATES = (1, 10, 333_333, 500_000, 1_000_000, 1_000_001, 6_890_001, 10**9)
RATE_LIMITS = (0, 1, 2, 3, 7, 20, 1_000, 10**9)
WINDOWS = (0, 1, SECOND // 2, 3 * SECOND, 60 * SECOND, 86_400 * SECOND)


class LimitCommands:
    """Commands about limits; the generator's other half has orders."""

    random: Random
    model: Trading
    odd: Callable[[], bool]

    # --- who -----------------------------------------------------------------------------------------

    def somebody(self) -> tuple[LimitScope, int | str]:
        r = self.random
        scope = r.choices(list(LimitScope), [6, 4, 4, 4, 3, 0.4])[0]
        if self.odd():
            return scope, {LimitScope.ACCOUNT: 10**6, LimitScope.INSTRUMENT: "NOTHING"}.get(scope, "nobody")
        match scope:
            case LimitScope.ACCOUNT:
                return scope, r.choice(list(self.model.accounts))
            case LimitScope.DESK:
                return scope, r.choice([*DESKS.values(), "empty"])
            case LimitScope.CLIENT:
                return scope, r.choice([*CLIENTS.values(), "empty"])
            case LimitScope.INSTRUMENT:
                return scope, r.choice(list(self.model.instruments))
        return scope, ""

    def exposure(self, scope: LimitScope, id_: int | str) -> Exposure:
        """Of somebody who may not be there yet; of everybody the greatest."""
        risk = self.model.risk
        everybody = scope > LimitScope.INSTRUMENT
        groups = [
            group
            for group in risk.all_groups()
            if (group.scope == LimitScope.ACCOUNT if everybody else (group.scope, group.id) == (scope, id_))
        ]
        found = [e for e in risk.exposures(groups) if e is not None]
        return max(found, key=lambda e: e.open_buy + e.open_sell, default=Exposure(*[0] * 14))

    # --- what ----------------------------------------------------------------------------------------

    def typical(self) -> tuple[int, int]:
        """Quantity and value of some late order."""
        orders = self.model.orders[-30:]
        if not orders:
            return 10, 10_000
        order = self.random.choice(orders)
        value = self.model.risk.value(order.instrument, order.price or 1_000, order.command.quantity)
        return order.command.quantity, value

    def limit_value(self, name: LimitName, e: Exposure) -> int:
        """Something that may bite soon."""
        r = self.random
        quantity, value = self.typical()
        few = r.choice([0, 1, 2, 3, 5])
        if self.odd():
            return r.choice([-1, MOST[name], MOST[name] + 1, 2**62 + 1])
        uses = {
            L.OPEN_ORDERS: e.open_orders + few,
            L.OPEN_NOTIONAL: e.open_buy + e.open_sell + few * value,
            L.GROSS_EXPOSURE: e.long_value + e.short_value + e.open_buy + e.open_sell + few * value,
            L.NET_EXPOSURE: abs(e.long_value - e.short_value) + r.choice([e.open_buy, e.open_sell]) + few * value,
            L.CREDIT_LIMIT: e.traded + e.open_buy + e.open_sell + few * 2 * value,
            L.DAILY_LOSS: max(0, -(e.realised + e.unrealised) + r.choice([-1, 0, 1, value // 50])),
            L.MAX_QUANTITY: quantity * r.choice([1, 2, 5]) + r.choice([-1, 0]),
            L.MAX_NOTIONAL: value * r.choice([1, 2, 5]) + r.choice([-1, 0]),
            L.POSITION_LONG: quantity * r.choice([1, 3, 20]),
            L.POSITION_SHORT: quantity * r.choice([0, 1, 3]),
            L.PRICE_COLLAR: r.choice([0, 1_000, 2_000, 10_000, 50_000, 10**6]),
            L.ORDER_RATE: r.choice(RATE_LIMITS),
            L.ORDER_BURST: r.choice([0, 1, 2, 3, 50]),
            L.ORDER_TO_TRADE: r.choice([0, 1, 2, 3, 10, 10**6]),
            L.ORDER_TO_TRADE_FREE: r.choice([0, 5, 20, e.messages, e.messages + 3]),
            L.DUPLICATE_ORDER: r.choice(WINDOWS),
            L.SHORT_SALE: r.choice([0, 1, 1, 2]),
            L.SUITABILITY: r.randint(0, 5),
            L.SUITABILITY_CONFIRMED: r.randint(0, 5),
            L.PROGRAMME_RATE: r.choice([0, 1, 2, 3, 5]),
            L.PROGRAMME_DAY: r.choice([0, 1, e.messages + 2, 100]),
            L.RESTRICTED: r.choice([0, 1]),
            L.KILL_SWITCH: r.choice([0, 0, 1]),
            L.EXPOSURE_RATE: r.choice(RATES),
        }
        return min(max(uses[name], 1 if name == L.EXPOSURE_RATE else 0), MOST[name])

    def limits(self) -> tuple[str, list[Any]]:
        if self.refused_share() > 0.33:
            loose = self.loosened()
            if loose is not None:
                return "set_limits", [loose]
        return "set_limits", [self.tightened() for _ in range(self.random.choice([1, 1, 2]))]

    def refused_share(self) -> float:
        last = self.model.orders[-30:]
        return sum(order.reason in LIMIT_REASONS for order in last) / 30

    def tightened(self) -> SetLimits:
        r = self.random
        scope, id_ = self.somebody()
        alone = r.random() < (0.25 if scope <= LimitScope.CLIENT else 0.02)
        symbol = r.choice(list(self.model.instruments)) if alone else ""
        if alone and self.odd():
            symbol = "NOTHING"
        names = sorted(names_of(scope, alone=alone))
        if self.odd():
            names = [*L]
        e = self.exposure(scope, id_)
        chosen = r.choices(names, [RARE.get(name, 1) for name in names], k=r.choice([1, 1, 2, 4]))
        values: list[tuple[int, int | None]] = [
            (int(name), None if r.random() < 0.2 else self.limit_value(name, e)) for name in chosen
        ]
        return SetLimits(scope, id_, tuple(values), symbol, r.choice(ACTORS))

    def loosened(self) -> SetLimits | None:
        """Some entry loses most of what it has set."""
        r, risk = self.random, self.model.risk
        entries: list[Entry] = [*risk.all_groups(), *risk.entries.values()]
        entries = [entry for entry in entries if entry.own and entry.scope != LimitScope.APPROVAL]
        if not entries:
            return None
        entry = r.choice(entries)
        values: list[tuple[int, int | None]] = []
        for name, value in entry.own.items():
            if name in FLAGS or r.random() < 0.7:
                values.append((int(name), None))
            elif name != L.EXPOSURE_RATE:
                values.append((int(name), value // 2 if name in LOWER_IS_LOOSER else min(MOST[name], 2 * value + 1)))
        return SetLimits(entry.scope, entry.id, tuple(values), entry.symbol, r.choice(ACTORS))

    def kill(self) -> tuple[str, list[Any]]:
        r, risk = self.random, self.model.risk
        stopped = [g for g in risk.all_groups() if g.own.get(L.KILL_SWITCH) and g.scope != LimitScope.APPROVAL]
        if stopped and r.random() < 0.8:
            group = r.choice(stopped)
            return "kill_switch", [KillSwitch(group.scope, group.id, on=False, actor=r.choice(ACTORS))]
        scope, id_ = self.somebody()
        while scope == LimitScope.APPROVAL:
            scope, id_ = self.somebody()
        return "kill_switch", [KillSwitch(scope, id_, on=r.random() < 0.8, actor=r.choice(ACTORS))]

    def approve(self) -> tuple[str, list[Any]]:
        r, proposals = self.random, self.model.risk.proposals
        waiting = [p.number for p in proposals if not p.state]
        number = r.choice(waiting) if waiting and r.random() < 0.9 else r.randint(0, len(proposals) + 1)
        return "approve_limits", [Approval(number, r.choice(ACTORS), approve=r.random() < 0.8)]
