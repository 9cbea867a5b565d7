"""When a standing order is due, as a pure function: dates by the calendar, and the working days they roll to.

Dates are counted from the first one, so an order for the 31st is paid on the last day of shorter months and on the
31st again afterwards. A daily order that rolls is one for working days; dates that fall together are not paid twice.
"""

from calendar import monthrange
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from typing import Final

from backoffice.products.calendar import Adjust, BusinessCalendar

WEEK: Final = 7


class Every(StrEnum):
    """How often."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"


@dataclass(frozen=True, slots=True)
class Schedule:
    """`step`: every so many days, weeks, months. `on_day`: 1 (Monday) to 7 of a week, 1 to 31 of a month.

    `last_on` is the last nominal date that may be; `times` the most payments.
    """

    every: Every
    first_on: date
    step: int = 1
    on_day: int = 1
    roll: Adjust = Adjust.NONE
    last_on: date | None = None
    times: int | None = None

    def __post_init__(self) -> None:
        if self.step < 1:
            raise ValueError(f"step: {self.step} is below one")
        most = {Every.WEEK: WEEK, Every.MONTH: 31}.get(self.every, 31)
        if not 1 <= self.on_day <= most:
            raise ValueError(f"on_day: {self.on_day} is not from 1 to {most}")
        if self.last_on is not None and self.last_on < self.first_on:
            raise ValueError(f"last_on: is before {self.first_on}")
        if self.times is not None and self.times < 1:
            raise ValueError(f"times: {self.times} is below one")

    def nominal(self, number: int) -> date:
        """Give the n-th date by the calendar, counted from zero."""
        match self.every:
            case Every.DAY:
                return self.first_on + timedelta(days=number * self.step)
            case Every.WEEK:
                ahead = (self.on_day - self.first_on.isoweekday()) % WEEK
                return self.first_on + timedelta(days=ahead + number * self.step * WEEK)
            case Every.MONTH:
                begin = 0 if self._in_month(0) >= self.first_on else 1
                return self._in_month(begin + number * self.step)

    def _in_month(self, ahead: int) -> date:
        months = self.first_on.year * 12 + self.first_on.month - 1 + ahead
        year, month = divmod(months, 12)
        return date(year, month + 1, min(self.on_day, monthrange(year, month + 1)[1]))

    def _number(self, after: date) -> int:
        """Give the number of the first nominal date behind a day."""
        days = max((after - self.first_on).days, 0)
        number = max(days // ({Every.DAY: 1, Every.WEEK: WEEK, Every.MONTH: 31}[self.every] * self.step) - 1, 0)
        while self.nominal(number) <= after:
            number += 1
        return number

    def next_after(self, after: date | None, runs: int, calendar: BusinessCalendar) -> tuple[date, date] | None:
        """Give the next nominal date behind `after` (None: the first) and the day it is paid on; None at the end."""
        if self.times is not None and runs >= self.times:
            return None
        number = 0 if after is None else self._number(after)
        while True:
            nominal = self.nominal(number)
            if self.last_on is not None and nominal > self.last_on:
                return None
            if self.every is not Every.DAY or self.roll is Adjust.NONE or calendar.is_working_day(nominal):
                return nominal, calendar.adjusted(nominal, self.roll)
            number += 1
