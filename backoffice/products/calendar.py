"""Working days of banks in China: the State Council's holidays, make-up working days, and a table of corrections.

The published calendar (package chinesecalendar) ends with the last year announced. A date beyond it is refused unless
the caller allows weekends only, for plans that lie years ahead: a due date that is wrong by a holiday must be seen and
not be silent.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from enum import StrEnum

import chinese_calendar


class Adjust(StrEnum):
    """Where a date that is no working day goes (ISDA 2006, 4.12)."""

    NONE = "none"
    FOLLOWING = "following"
    MODIFIED_FOLLOWING = "modified_following"
    """The next working day, unless that is in the next month; then the one before."""
    PRECEDING = "preceding"


class CalendarUnknownError(ValueError):
    """No calendar has been published for this year."""


@dataclass(frozen=True, slots=True)
class BusinessCalendar:
    """Working days. `overrides` (day -> works) win over everything: closures, changes, years not in the package."""

    overrides: Mapping[date, bool] = field(default_factory=dict)
    weekends_only_beyond: bool = False
    """For years that are not published: Monday to Friday work. Otherwise they are refused."""

    def is_working_day(self, day: date) -> bool:
        """Whether banks work that day. Raises CalendarUnknownError for a year nobody has published."""
        if day in self.overrides:
            return self.overrides[day]
        try:
            return bool(chinese_calendar.is_workday(day))
        except NotImplementedError:
            if self.weekends_only_beyond:
                return day.weekday() < 5
            raise CalendarUnknownError(
                f"date: no calendar is published for {day.year}; add it to the overrides"
            ) from None

    def _next(self, day: date, step: int) -> date:
        while not self.is_working_day(day):
            day += timedelta(days=step)
        return day

    def adjusted(self, day: date, rule: Adjust) -> date:
        """The day itself if it is a working day or nothing is asked, otherwise where the rule sends it."""
        match rule:
            case Adjust.NONE:
                return day
            case Adjust.FOLLOWING:
                return self._next(day, 1)
            case Adjust.PRECEDING:
                return self._next(day, -1)
            case Adjust.MODIFIED_FOLLOWING:
                following = self._next(day, 1)
                return following if following.month == day.month else self._next(day, -1)

    def plus_working_days(self, day: date, count: int) -> date:
        """T+n: the n-th working day after `day` (which need not be one). n = 0: the day itself or the next one."""
        if count < 0:
            raise ValueError(f"count: {count} is negative")
        if count == 0:
            return self._next(day, 1)
        for _ in range(count):
            day = self._next(day + timedelta(days=1), 1)
        return day
