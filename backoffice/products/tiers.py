"""Rates that depend on the amount: by slices, or one rate for the whole balance."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from itertools import pairwise

from backoffice.products.rates import Rate, Rounding, divide


class TierMode(StrEnum):
    """What a tier's rate applies to."""

    SLICE = "slice"
    """分段: each slice of the balance at its own rate, as with taxes."""
    WHOLE = "whole"
    """靠档: the rate of the tier reached, for the whole balance."""


@dataclass(frozen=True, slots=True)
class Tier:
    """From this balance on (inclusive), this rate."""

    from_minor: int
    rate: Rate


@dataclass(frozen=True, slots=True)
class Tiers:
    """Tiers in ascending order, the first from zero. One tier is a flat rate."""

    tiers: tuple[Tier, ...]
    mode: TierMode = TierMode.SLICE

    def __post_init__(self) -> None:
        starts = [tier.from_minor for tier in self.tiers]
        if not starts or starts[0] != 0:
            raise ValueError("tiers: the first tier must start at 0")
        if any(later <= earlier for earlier, later in pairwise(starts)):
            raise ValueError("tiers: amounts must ascend, each tier above the one before")

    @classmethod
    def flat(cls, rate: Rate) -> "Tiers":
        """One rate for every amount."""
        return cls((Tier(0, rate),))

    def slices(self, balance_minor: int) -> Sequence[tuple[int, Rate]]:
        """(amount, rate) pieces that add up to the balance. A balance below zero has none."""
        if balance_minor <= 0:
            return []
        reached = [tier for tier in self.tiers if tier.from_minor <= balance_minor]
        if self.mode is TierMode.WHOLE:
            return [(balance_minor, reached[-1].rate)]
        ends = [tier.from_minor for tier in reached[1:]] + [balance_minor]
        pieces = [(end - tier.from_minor, tier.rate) for tier, end in zip(reached, ends, strict=True)]
        return [piece for piece in pieces if piece[0] > 0]

    def interest_minor(self, balance_minor: int, years: Fraction, rounding: Rounding = Rounding.HALF_UP) -> int:
        """Interest on a balance that stays; rounded once, not per slice."""
        exact = sum((amount * rate.fraction for amount, rate in self.slices(balance_minor)), Fraction(0)) * years
        return divide(exact.numerator, exact.denominator, rounding)

    def average_rate(self, balance_minor: int) -> Rate:
        """The rate the balance earns as a whole."""
        if balance_minor <= 0:
            return self.tiers[0].rate
        exact = sum((amount * rate.fraction for amount, rate in self.slices(balance_minor)), Fraction(0))
        return Rate.from_fraction(exact / balance_minor)
