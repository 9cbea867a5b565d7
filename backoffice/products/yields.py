"""One measure for everything that is compared: the effective annual rate of dated cash flows.

The rate r at which the flows are worth nothing together: sum of amount / (1 + r) ** (days / 365) = 0, days counted
from the first flow. The same formula for a deposit, a wealth product with fees or a loan with instalments (it is what
spreadsheets call XIRR, and what EU Directive 2008/48/EC, annex I, does for credit). It exists once and only once when
money first goes one way and then the other, or when the running total changes sign once (Norstrom 1972); other flows
are refused rather than answered with one of several roots.

Amounts stay integers. The rate itself is a ratio found by iteration, in binary floating point, and is rounded to parts
per billion; no amount is derived from it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from itertools import accumulate, pairwise

from backoffice.products.rates import PARTS_PER_UNIT, Rate

LOG_RATE_MAX = math.log(1_000_000)
"""Continuous rates are searched within ±13.8 a year: from losing all but a millionth to a million times the stake."""


@dataclass(frozen=True, order=True, slots=True)
class Flow:
    """Money on a day, as seen by the customer: received positive, paid negative. Minor units."""

    on: date
    amount_minor: int


class NoUniqueYieldError(ValueError):
    """The flows have no rate, or may have several."""


def _sign_changes(amounts: Sequence[int]) -> int:
    signs = [amount > 0 for amount in amounts if amount]
    return sum(earlier != later for earlier, later in pairwise(signs))


def effective_annual_rate(flows: Sequence[Flow]) -> Rate:
    """Effective annual yield (who pays first) or cost (who receives first), rounded to parts per billion."""
    by_day: dict[date, int] = {}
    for flow in sorted(flows):
        by_day[flow.on] = by_day.get(flow.on, 0) + flow.amount_minor
    amounts = [amount for amount in by_day.values() if amount]
    days = [day for day, amount in by_day.items() if amount]
    if _sign_changes(amounts) == 0:
        raise NoUniqueYieldError("flows: money must go both ways, on different days")
    if _sign_changes(amounts) > 1 and _sign_changes(list(accumulate(amounts))) > 1:
        raise NoUniqueYieldError("flows: the running total changes sign more than once, so that several rates may fit")
    years = [(day - days[0]).days / 365 for day in days]
    scale = max(map(abs, amounts))
    weights = [amount / scale for amount in amounts]

    def value(log_rate: float) -> float:
        return math.fsum(w * math.exp(-log_rate * t) for w, t in zip(weights, years, strict=True))

    # exp must not overflow: a long product at a very negative rate is searched only as far as doubles reach.
    reach = min(LOG_RATE_MAX, 600 / max(years))
    low, high = -reach, reach
    if (value(low) > 0) == (value(high) > 0):
        raise NoUniqueYieldError("flows: no rate between -99.9999 % and 100,000,000 % a year fits")
    rising = value(high) > 0
    for _ in range(200):  # halving 27.6 reaches neighbouring doubles after about 60 steps
        middle = (low + high) / 2
        if middle in {low, high}:
            break
        if (value(middle) > 0) == rising:
            high = middle
        else:
            low = middle
    return Rate(round(math.expm1((low + high) / 2) * PARTS_PER_UNIT))
