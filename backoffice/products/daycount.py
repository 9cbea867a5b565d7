"""How long a period is, in years: exact fractions, one convention per product.

The People's Bank lets a bank choose between two methods and asks it to say which (银发〔2005〕129号): 积数计息 (the
accumulated balance times the daily rate, actual days) and 逐笔计息 (item by item: whole years and months as such, odd
days by the daily rate). The daily rate is the yearly one over 360, the monthly one over 12. Some products divide by
365.

The first day counts, the last does not (算头不算尾).
"""

import calendar
from datetime import date
from enum import StrEnum
from fractions import Fraction


class DayCount(StrEnum):
    """Conventions a product may name."""

    ACT_360 = "act/360"
    ACT_365 = "act/365"
    """Fixed: 365 also in leap years."""
    ITEM_WISE = "item-wise"
    """逐笔: whole months are twelfths of a year, odd days three-hundred-and-sixtieths."""
    THIRTY_E_360 = "30e/360"
    """Every month has 30 days; a 31st counts as the 30th (ISDA 2006, 4.16(g))."""


def days_between(start: date, end: date) -> int:
    """Actual days; refuses a period that ends before it starts."""
    if end < start:
        raise ValueError(f"end: {end} is before start {start}")
    return (end - start).days


def add_months(start: date, months: int) -> date:
    """The same day so many months on, or the month's last day where there is none (对月对日).

    Count from the first date and not from the one before: 31 January + 2 months is 31 March.
    """
    month = start.year * 12 + start.month - 1 + months
    year, month = month // 12, month % 12 + 1
    return date(year, month, min(start.day, calendar.monthrange(year, month)[1]))


def whole_months(start: date, end: date) -> tuple[int, int]:
    """(months, odd days) with `add_months(start, months)` + odd days = end."""
    days_between(start, end)
    months = (end.year - start.year) * 12 + end.month - start.month
    if add_months(start, months) > end:
        months -= 1
    return months, (end - add_months(start, months)).days


def year_fraction(convention: DayCount, start: date, end: date) -> Fraction:
    """Length of the period in years, exactly."""
    days = days_between(start, end)
    match convention:
        case DayCount.ACT_360:
            return Fraction(days, 360)
        case DayCount.ACT_365:
            return Fraction(days, 365)
        case DayCount.ITEM_WISE:
            months, odd_days = whole_months(start, end)
            return Fraction(months, 12) + Fraction(odd_days, 360)
        case DayCount.THIRTY_E_360:
            months = (end.year - start.year) * 12 + end.month - start.month
            return Fraction(months * 30 + min(end.day, 30) - min(start.day, 30), 360)
