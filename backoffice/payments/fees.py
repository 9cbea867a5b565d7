"""Fees of a payment: per channel and currency, by amount, with a floor and a ceiling.

A fee is charged beside the amount, never taken out of it. Rates are parts per billion (`products.rates`), amounts
whole minor units; the exact fee is rounded once and then held between minimum and maximum.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

from backoffice.products.rates import Rounding, divide
from backoffice.products.tiers import Tiers


@dataclass(frozen=True, slots=True)
class FeeSchedule:
    """What one kind of payment costs: a fixed part, plus a share by tiers, between two bounds.

    `free_below_minor`: payments under this amount cost nothing (0: none are free).
    """

    fixed_minor: int = 0
    tiers: Tiers | None = None
    minimum_minor: int = 0
    maximum_minor: int | None = None
    free_below_minor: int = 0
    rounding: Rounding = Rounding.HALF_UP

    def __post_init__(self) -> None:
        for name in ("fixed_minor", "minimum_minor", "free_below_minor"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}: {getattr(self, name)} is below zero")
        if self.maximum_minor is not None and self.maximum_minor < self.minimum_minor:
            raise ValueError(f"maximum_minor: {self.maximum_minor} is below the minimum, {self.minimum_minor}")
        if self.tiers is not None and any(tier.rate.parts < 0 for tier in self.tiers.tiers):
            raise ValueError("tiers: a rate is below zero")

    def fee_minor(self, amount_minor: int) -> int:
        """Give the fee for one payment. Raises ValueError for an amount that is not above zero."""
        if amount_minor <= 0:
            raise ValueError(f"amount_minor: {amount_minor} is not above zero")
        if amount_minor < self.free_below_minor:
            return 0
        pieces = self.tiers.slices(amount_minor) if self.tiers is not None else ()
        exact = sum((piece * rate.fraction for piece, rate in pieces), Fraction(self.fixed_minor))
        fee = max(divide(exact.numerator, exact.denominator, self.rounding), self.minimum_minor)
        return fee if self.maximum_minor is None else min(fee, self.maximum_minor)


FREE = FeeSchedule()


@dataclass(frozen=True, slots=True)
class FeeRule:
    """Where a schedule holds. An empty name holds for all; the rule with more names given wins."""

    schedule: FeeSchedule
    channel: str = ""
    operation: str = ""
    currency: str = ""

    def rank(self, channel: str, operation: str, currency: str) -> int | None:
        """How closely the rule fits; None when it does not. The channel weighs most, the currency least."""
        rank = 0
        asked = ((self.channel, channel, 4), (self.operation, operation, 2), (self.currency, currency, 1))
        for own, wanted, weight in asked:
            if own and own != wanted:
                return None
            rank += weight if own else 0
        return rank


def schedule_for(rules: Iterable[FeeRule], *, channel: str, operation: str, currency: str) -> FeeSchedule:
    """Choose the schedule. No rule means no fee; two rules that fit equally well are an error in the data."""
    fits: dict[int, FeeSchedule] = {}
    for rule in rules:
        rank = rule.rank(channel, operation, currency)
        if rank is None:
            continue
        if rank in fits and fits[rank] != rule.schedule:
            raise ValueError(f"fees: two rules for {channel}, {operation}, {currency}")
        fits[rank] = rule.schedule
    return fits[max(fits)] if fits else FREE
