"""The rules of payments out of the parameters: fees, limits, two persons, hours. All of one day in one query.

Names begin with `payment.`; what a value holds for stands in its scope, parts between `/`, empty ones for all:

- `fee_fixed`, `fee_ppm`, `fee_minimum`, `fee_maximum`, `fee_free_below`: CHANNEL/OPERATION/CURRENCY
- `limit_each`, `limit_day`, `limit_count`: CHANNEL/CURRENCY (no currency: CNY); of one customer and day
- `two_persons_from`: CHANNEL/OPERATION; the amount from which a second person decides
- `opens`, `closes` (HH:MM in China), `every_day` (0 or 1), `evening_before`, `settles_after`, `hold_hours`: rail or
  channel

Operations: deposit, withdrawal, transfer (within the house), transfer_out, transfer_in, card, wallet, qr, fee.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, time
from typing import Any

from sqlalchemy import select

from backoffice.context import Context
from backoffice.database import rows_of
from backoffice.parameters import on
from backoffice.payments.cutoff import Hours
from backoffice.payments.fees import FeeRule, FeeSchedule, schedule_for
from backoffice.payments.limits import Limit, Measure
from backoffice.products.rates import PARTS_PER_UNIT, Rate
from backoffice.products.tiers import Tiers
from backoffice.tables import parameters

PREFIX = "payment."
_PARTS_PER_PPM = PARTS_PER_UNIT // 1_000_000
HOLD_HOURS = 24 * 7
"""How long money is held for a rail that says nothing, unless a parameter says otherwise."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What holds on one day: values by name without its prefix, and scope."""

    values: Mapping[str, Mapping[str, Any]]

    def _scoped(self, name: str, *scopes: str) -> Any:
        """Give the value of the first scope that has one; None when none has."""
        found = self.values.get(name, {})
        return next((found[scope] for scope in scopes if scope in found), None)

    def fee_minor(self, channel: str, operation: str, currency: str, amount_minor: int) -> int:
        """Give the fee of a payment."""
        names = ("fee_fixed", "fee_ppm", "fee_minimum", "fee_maximum", "fee_free_below")
        rules = []
        for scope in {scope for name in names for scope in self.values.get(name, {})}:
            fixed, ppm, least, most, free = (self.values.get(name, {}).get(scope) for name in names)
            tiers = Tiers.flat(Rate(ppm * _PARTS_PER_PPM)) if ppm else None
            of_channel, of_operation, of_currency = (*scope.split("/"), "", "")[:3]
            schedule = FeeSchedule(fixed or 0, tiers, least or 0, most, free or 0)
            rules.append(FeeRule(schedule, of_channel, of_operation, of_currency))
        return schedule_for(rules, channel=channel, operation=operation, currency=currency).fee_minor(amount_minor)

    def limits(self) -> list[Limit]:
        """All limits of a customer's day."""
        found = []
        for measure in Measure:
            for scope, most in self.values.get(f"limit_{measure}", {}).items():
                channel, currency = (*scope.split("/"), "")[:2]
                found.append(Limit(measure, most, channel, currency or "CNY"))
        return found

    def two_persons(self, channel: str, operation: str, amount_minor: int) -> bool:
        """Whether a second person must decide."""
        least = self._scoped("two_persons_from", f"{channel}/{operation}", channel, f"/{operation}", "")
        return least is not None and amount_minor >= least

    def hours(self, *names: str) -> Hours | None:
        """Give the hours of the first of these rails or channels that has some; None: around the clock."""
        for name in names:
            if name and name in self.values.get("closes", {}):
                return Hours(
                    time.fromisoformat(self._scoped("opens", name) or "00:00"),
                    time.fromisoformat(self._scoped("closes", name)),
                    bool(self._scoped("every_day", name)),
                    bool(self._scoped("evening_before", name)),
                    self._scoped("settles_after", name) or 0,
                )
        return None

    def hold_hours(self, rail: str) -> int:
        """How long money is held for a rail."""
        return int(self._scoped("hold_hours", rail, "") or HOLD_HOURS)


async def load(context: Context, day: date) -> Rules:
    """Read what holds on a day."""
    query = select(parameters.c.name, parameters.c.scope, parameters.c.value).where(
        parameters.c.name.startswith(PREFIX, autoescape=True), on(day)
    )
    values: dict[str, dict[str, Any]] = {}
    for row in rows_of(await context.connection.execute(query)):
        values.setdefault(row["name"].removeprefix(PREFIX), {})[row["scope"]] = row["value"]
    return Rules(values)
