from datetime import date

import pytest

from backoffice.products.calendar import Adjust, BusinessCalendar, CalendarUnknownError

CALENDAR = BusinessCalendar()


def test_holidays_and_make_up_days() -> None:
    assert not CALENDAR.is_working_day(date(2025, 10, 1))
    assert CALENDAR.is_working_day(date(2025, 9, 28))  # a Sunday that is worked
    assert CALENDAR.is_working_day(date(2021, 2, 20))  # a Saturday: LPR was published


def test_adjustments() -> None:
    national_day, month_end = (
        date(2025, 10, 1),
        date(2025, 5, 31),
    )  # the latter a Saturday; the next Monday is a holiday
    assert CALENDAR.adjusted(national_day, Adjust.NONE) == national_day
    assert CALENDAR.adjusted(national_day, Adjust.FOLLOWING) == date(2025, 10, 9)
    assert CALENDAR.adjusted(national_day, Adjust.PRECEDING) == date(2025, 9, 30)
    assert CALENDAR.adjusted(month_end, Adjust.FOLLOWING) == date(2025, 6, 3)
    assert CALENDAR.adjusted(month_end, Adjust.MODIFIED_FOLLOWING) == date(2025, 5, 30)


def test_working_days_are_counted_over_the_holidays() -> None:
    assert CALENDAR.plus_working_days(date(2025, 9, 30), 1) == date(2025, 10, 9)
    assert CALENDAR.plus_working_days(date(2025, 10, 3), 0) == date(2025, 10, 9)
    assert CALENDAR.plus_working_days(date(2025, 9, 26), 2) == date(2025, 9, 29)  # over the worked Sunday


def test_overrides_and_years_nobody_has_published() -> None:
    typhoon = date(2025, 9, 24)
    assert not BusinessCalendar({typhoon: False}).is_working_day(typhoon)
    far = date(2094, 10, 1)  # a Friday
    with pytest.raises(CalendarUnknownError, match="2094"):
        CALENDAR.is_working_day(far)
    assert BusinessCalendar({far: False}).adjusted(far, Adjust.NONE) == far
    assert not BusinessCalendar({far: False}).is_working_day(far)
    assert BusinessCalendar(weekends_only_beyond=True).is_working_day(far)
    assert not BusinessCalendar(weekends_only_beyond=True).is_working_day(date(2094, 10, 2))
