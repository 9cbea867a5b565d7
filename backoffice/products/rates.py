"""Rates as whole parts per billion, and the one place where amounts are rounded.

A rate of 3.45 % a year is 34,500,000 parts per billion. That is exact for every published rate (LPR has two decimals
of a percent, basis points four of one) and leaves room for spreads. Amounts are minor units (分). No float takes part.
"""

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from fractions import Fraction

PARTS_PER_UNIT = 1_000_000_000
PARTS_PER_PERCENT = PARTS_PER_UNIT // 100
PARTS_PER_BASIS_POINT = PARTS_PER_UNIT // 10_000


class Rounding(StrEnum):
    """What happens to the part of an amount below one minor unit."""

    HALF_UP = "half_up"
    """四舍五入: halves go away from zero. What Chinese banks do with interest (algebraic sign is kept)."""
    HALF_EVEN = "half_even"
    """Halves go to the even neighbour: no drift over many roundings."""
    DOWN = "down"
    """Toward zero: units of a fund that are bought, to the investor's cost."""
    UP = "up"
    """Away from zero: fees that must never fall short."""


def divide(numerator: int, denominator: int, rounding: Rounding = Rounding.HALF_UP) -> int:
    """Quotient as a whole number, rounded as named. The denominator must be positive."""
    if denominator <= 0:
        raise ValueError(f"denominator: {denominator} is not positive")
    sign = -1 if numerator < 0 else 1
    quotient, rest = divmod(abs(numerator), denominator)
    match rounding:
        case Rounding.HALF_UP:
            up = 2 * rest >= denominator
        case Rounding.HALF_EVEN:
            up = 2 * rest > denominator or (2 * rest == denominator and quotient % 2 == 1)
        case Rounding.UP:
            up = rest > 0
        case Rounding.DOWN:
            up = False
    return sign * (quotient + up)


@dataclass(frozen=True, order=True, slots=True)
class Rate:
    """A rate or share of one: `parts` per billion. Of a year where it is an interest rate."""

    parts: int

    @classmethod
    def from_percent(cls, percent: str | Decimal | int) -> "Rate":
        """From percent as written, "3.45". Refuses what is no number, or finer than one part per billion."""
        try:
            parts = Decimal(percent) * PARTS_PER_PERCENT
        except InvalidOperation:
            raise ValueError(f"rate: {percent!r} is not a decimal number of percent") from None
        if not parts.is_finite() or parts != parts.to_integral_value():
            raise ValueError(f"rate: {percent!r} % is not a whole number of parts per billion")
        return cls(int(parts))

    @classmethod
    def from_fraction(cls, value: Fraction, rounding: Rounding = Rounding.HALF_EVEN) -> "Rate":
        """The nearest rate, for computed ones."""
        return cls(divide(value.numerator * PARTS_PER_UNIT, value.denominator, rounding))

    def plus_basis_points(self, basis_points: int) -> "Rate":
        """With a spread; one basis point is 0.01 %."""
        return Rate(self.parts + basis_points * PARTS_PER_BASIS_POINT)

    @property
    def fraction(self) -> Fraction:
        """The exact value."""
        return Fraction(self.parts, PARTS_PER_UNIT)

    def percent(self) -> str:
        """Percent in digits, at least two decimals: "3.45"."""
        sign = "-" if self.parts < 0 else ""
        whole, rest = divmod(abs(self.parts), PARTS_PER_PERCENT)
        return f"{sign}{whole}.{f'{rest:07d}'.rstrip('0').ljust(2, '0')}"

    def __str__(self) -> str:
        return f"{self.percent()}%"


def interest_minor(principal_minor: int, rate: Rate, years: Fraction, rounding: Rounding = Rounding.HALF_UP) -> int:
    """Simple interest: principal x rate x years, rounded once, at the end."""
    return divide(
        principal_minor * rate.parts * years.numerator,
        PARTS_PER_UNIT * years.denominator,
        rounding,
    )


def earning_part_minor(balance_minor: int, unit_minor: int = 100) -> int:
    """The part of a balance that earns interest: whole units (计息起点为元), nothing when overdrawn."""
    return max(0, balance_minor) // unit_minor * unit_minor
