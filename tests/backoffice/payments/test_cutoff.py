from datetime import date, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backoffice.payments.cutoff import Hours, timing
from backoffice.payments.limits import CHINA
from backoffice.products.calendar import BusinessCalendar

CALENDAR = BusinessCalendar()
HIGH_VALUE = Hours(time(20, 30), time(17, 15), every_day=False, evening_before=True)
COUNTER = Hours(time(9), time(17), every_day=False)
INSTANT = Hours()
NET = Hours(every_day=True, settles_after=1)


def at(day: int, hour: int, minute: int = 0, month: int = 9) -> datetime:
    return datetime(2026, month, day, hour, minute, tzinfo=CHINA)


@pytest.mark.parametrize(
    ("asked", "day", "sent", "late"),
    [
        (at(23, 10), 23, at(23, 10), False),  # a Wednesday
        (at(23, 8, 59), 23, at(23, 9), True),  # before the counter opens
        (at(23, 16, 59), 23, at(23, 16, 59), False),
        (at(23, 17), 24, at(24, 9), True),  # the cut-off belongs to the next day
        (at(18, 18), 20, at(20, 9), True),  # Friday evening; the Sunday is a make-up working day in 2026
    ],
)
def test_a_counter(asked: datetime, day: int, sent: datetime, late: bool) -> None:
    found = timing(COUNTER, CALENDAR, asked)
    assert (found.business_day, found.sent_at, found.late) == (date(2026, 9, day), sent, late)
    assert found.settlement_day == found.business_day


def test_a_day_that_begins_on_the_evening_before() -> None:
    assert timing(HIGH_VALUE, CALENDAR, at(22, 20, 30)).business_day == date(2026, 9, 23)
    assert not timing(HIGH_VALUE, CALENDAR, at(22, 20, 30)).late
    between = timing(HIGH_VALUE, CALENDAR, at(22, 17, 15))  # after the cut-off, before the evening
    assert (between.business_day, between.sent_at, between.late) == (date(2026, 9, 23), at(22, 20, 30), True)


def test_over_the_national_holiday() -> None:
    """1 to 7 October 2026 are holidays; the 8th is a Thursday."""
    found = timing(HIGH_VALUE, CALENDAR, at(30, 18))
    assert (found.business_day, found.sent_at) == (date(2026, 10, 8), at(7, 20, 30, month=10))


def test_around_the_clock() -> None:
    found = timing(INSTANT, CALENDAR, at(3, 3, month=10))
    assert (found.business_day, found.settlement_day, found.late) == (date(2026, 10, 3), date(2026, 10, 3), False)
    assert timing(NET, CALENDAR, at(3, 3, month=10)).settlement_day == date(2026, 10, 8)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Hours(time(18), time(9)),
        lambda: Hours(time(9), time(17), evening_before=True),
        lambda: Hours(time(9, tzinfo=CHINA), time(17)),
        lambda: Hours(settles_after=-1),
    ],
)
def test_hours_without_sense(wrong: object) -> None:
    with pytest.raises(ValueError, match=r"opens|settles_after"):
        wrong()  # type: ignore[operator]


def test_a_time_without_a_zone() -> None:
    with pytest.raises(ValueError, match="time zone"):
        timing(INSTANT, CALENDAR, datetime(2026, 9, 23))  # noqa: DTZ001


@given(st.integers(0, 300 * 24 * 60), st.sampled_from([HIGH_VALUE, COUNTER, INSTANT, NET]))
def test_a_payment_never_goes_back_in_time(minutes: int, hours: Hours) -> None:
    asked = at(1, 0, month=1) + timedelta(minutes=minutes)
    found = timing(hours, CALENDAR, asked)
    assert found.sent_at >= asked
    assert found.late == (found.sent_at > asked)
    assert found.settlement_day >= found.business_day >= asked.date()
    assert hours.every_day or CALENDAR.is_working_day(found.business_day)
    assert timing(hours, CALENDAR, found.sent_at).business_day == found.business_day
