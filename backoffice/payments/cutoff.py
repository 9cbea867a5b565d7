"""When a payment is worked on: hours of a rail, its cut-off, and on which day it counts and settles.

The day that a payment counts for (its business day) is the day in China on which it is taken, if the rail works that
day and the cut-off is not over; else the rail's next one. The cut-off is the first moment that belongs to the next day.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from backoffice.payments.limits import CHINA
from backoffice.products.calendar import BusinessCalendar


@dataclass(frozen=True, slots=True)
class Hours:
    """When a rail takes payments, in China Standard Time. `closes` is the cut-off; equal times: around the clock.

    `every_day`: also on days that are no working days (网上支付跨行清算系统 runs 7 x 24, 大额支付系统 does not).
    `evening_before`: the business day begins on the evening before, at `opens`, as the high-value system's does (m).
    `settles_after`: working days from the business day to settlement; 0 with `every_day` is the day itself.
    """

    opens: time = time(0)
    closes: time = time(0)
    every_day: bool = True
    evening_before: bool = False
    settles_after: int = 0

    def __post_init__(self) -> None:
        if self.opens.tzinfo is not None or self.closes.tzinfo is not None:
            raise ValueError("opens, closes: times are China Standard Time, without a zone of their own")
        if self.evening_before and self.opens < self.closes:
            raise ValueError("opens: a day that begins on the evening before opens after its cut-off")
        if not self.evening_before and not self.around_the_clock and self.opens > self.closes:
            raise ValueError("opens: is after the cut-off of the same day")
        if self.settles_after < 0:
            raise ValueError(f"settles_after: {self.settles_after} is below zero")

    @property
    def around_the_clock(self) -> bool:
        """Whether there is no cut-off."""
        return self.opens == self.closes and not self.evening_before


@dataclass(frozen=True, slots=True)
class Timing:
    """When a payment can go out, for which business day, and when it settles."""

    sent_at: datetime
    business_day: date
    settlement_day: date
    late: bool
    """It does not go out at once: the rail is closed, or the day's cut-off is over."""


def timing(hours: Hours, calendar: BusinessCalendar, asked_at: datetime) -> Timing:
    """Place a payment. Raises ValueError for a time without a zone, CalendarUnknownError for an unpublished year."""
    if asked_at.tzinfo is None:
        raise ValueError(f"asked_at: {asked_at} has no time zone")
    here = asked_at.astimezone(CHINA)
    day = here.date()
    if not hours.around_the_clock and here.time() >= hours.closes:
        day += timedelta(days=1)
    while not (hours.every_day or calendar.is_working_day(day)):
        day += timedelta(days=1)
    first = _opening(hours, day)
    at_once = hours.every_day and hours.settles_after == 0
    settles = day if at_once else calendar.plus_working_days(day, hours.settles_after)
    return Timing(max(asked_at.astimezone(UTC), first), day, settles, late=first > asked_at)


def _opening(hours: Hours, day: date) -> datetime:
    """The first moment of a business day."""
    starts = day - timedelta(days=1) if hours.evening_before else day
    return datetime.combine(starts, hours.opens, CHINA).astimezone(UTC)
