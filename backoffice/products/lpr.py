"""Loans priced at LPR plus a spread, and when their rate is set anew.

LPR (贷款市场报价利率) is published on the 20th of a month or the next working day, for one year and for over five
years, and is in force from that day to the next publication. A contract names a tenor, a spread in basis points that
stays for its life, and a reset: every year on 1 January or on the day of the month of drawing (m: PBoC announcement
2019 No. 16, No. 30). Between resets the rate stays.
"""

import csv
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum
from itertools import pairwise

from backoffice.products.daycount import add_months
from backoffice.products.rates import Rate


class LprTenor(StrEnum):
    """The two published tenors."""

    ONE_YEAR = "1y"
    OVER_FIVE_YEARS = "5y"

    @classmethod
    def of_months(cls, months: int) -> "LprTenor":
        """The tenor a loan of so many months refers to: over five years, the long one; up to five, the short one."""
        return cls.OVER_FIVE_YEARS if months > 60 else cls.ONE_YEAR


class Reset(StrEnum):
    """When a floating rate is set anew."""

    FIXED = "fixed"
    """Never: LPR of the signing day plus spread for good."""
    FIRST_OF_JANUARY = "first_of_january"
    ANNIVERSARY = "anniversary"
    QUARTERLY = "quarterly"
    """Every three months from drawing (since 2024-11-01 the shortest period allowed for mortgages)."""


@dataclass(frozen=True, slots=True)
class LprHistory:
    """Publications in order: (day, one year, over five years)."""

    publications: tuple[tuple[date, Rate, Rate], ...]

    def __post_init__(self) -> None:
        days = [row[0] for row in self.publications]
        if not days:
            raise ValueError("lpr: no publication")
        if any(later <= earlier for earlier, later in pairwise(days)):
            raise ValueError("lpr: publication days must ascend")

    @classmethod
    def read_csv(cls, lines: Iterable[str]) -> "LprHistory":
        """From lines of CSV with columns publish_date, lpr_1y_pct, lpr_5y_plus_pct. Errors name the line."""
        rows = []
        for number, row in enumerate(csv.DictReader(lines), start=2):
            try:
                rows.append(
                    (
                        date.fromisoformat(row["publish_date"]),
                        Rate.from_percent(Decimal(row["lpr_1y_pct"])),
                        Rate.from_percent(Decimal(row["lpr_5y_plus_pct"])),
                    )
                )
            except (KeyError, ValueError, ArithmeticError) as error:
                raise ValueError(f"lpr: line {number}: {error}") from error
        return cls(tuple(sorted(rows, key=lambda row: row[0])))

    def at(self, day: date, tenor: LprTenor) -> Rate:
        """The LPR in force on a day: the newest publication up to and including it."""
        place = bisect_right(self.publications, day, key=lambda row: row[0])
        if place == 0:
            raise ValueError(f"lpr: nothing published by {day}; the first is of {self.publications[0][0]}")
        _, one_year, over_five = self.publications[place - 1]
        return one_year if tenor is LprTenor.ONE_YEAR else over_five


@dataclass(frozen=True, slots=True)
class FloatingRate:
    """LPR plus a spread, with its reset."""

    tenor: LprTenor
    spread_basis_points: int
    reset: Reset

    def reset_days(self, drawn: date, end: date) -> Sequence[date]:
        """Days after `drawn` and before `end` on which the rate is set anew."""
        match self.reset:
            case Reset.FIXED:
                return []
            case Reset.FIRST_OF_JANUARY:
                days = [date(year, 1, 1) for year in range(drawn.year + 1, end.year + 1)]
            case Reset.ANNIVERSARY:
                days = [add_months(drawn, 12 * n) for n in range(1, end.year - drawn.year + 1)]
            case Reset.QUARTERLY:
                days = [add_months(drawn, 3 * n) for n in range(1, (end.year - drawn.year) * 4 + 5)]
        return [day for day in days if drawn < day < end]

    def periods(self, history: LprHistory, drawn: date, end: date) -> Sequence[tuple[date, Rate]]:
        """(from, rate) for the loan's life; neighbours with the same rate are one.

        Resets after the newest publication take that one: a schedule says what would be paid if rates stayed.
        """
        found: list[tuple[date, Rate]] = []
        for day in [drawn, *self.reset_days(drawn, end)]:
            rate = history.at(day, self.tenor).plus_basis_points(self.spread_basis_points)
            if not found or found[-1][1] != rate:
                found.append((day, rate))
        return found
