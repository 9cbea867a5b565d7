"""Dates of standing orders: ends of months, working days, ends of orders."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backoffice.payments.schedule import Every, Schedule
from backoffice.products.calendar import Adjust, BusinessCalendar

CALENDAR = BusinessCalendar(weekends_only_beyond=True)


def dates(plan: Schedule, count: int) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    after = None
    while len(found) < count:
        following = plan.next_after(after, len(found), CALENDAR)
        if following is None:
            break
        found.append((str(following[0]), str(following[1])))
        after = following[0]
    return found


def test_the_31st_is_the_last_day_of_shorter_months() -> None:
    plan = Schedule(Every.MONTH, date(2026, 1, 31), on_day=31)
    assert [nominal for nominal, _ in dates(plan, 4)] == ["2026-01-31", "2026-02-28", "2026-03-31", "2026-04-30"]
    leap = Schedule(Every.MONTH, date(2028, 1, 30), on_day=30)
    assert [nominal for nominal, _ in dates(leap, 3)] == ["2028-01-30", "2028-02-29", "2028-03-30"]


def test_the_first_date_is_not_before_the_first_day() -> None:
    assert dates(Schedule(Every.MONTH, date(2026, 1, 20), on_day=5), 2)[0][0] == "2026-02-05"
    assert dates(Schedule(Every.MONTH, date(2026, 1, 20), on_day=20, step=3), 2) == [
        ("2026-01-20", "2026-01-20"),
        ("2026-04-20", "2026-04-20"),
    ]
    assert dates(Schedule(Every.WEEK, date(2026, 11, 24), on_day=1), 2) == [
        ("2026-11-30", "2026-11-30"),
        ("2026-12-07", "2026-12-07"),
    ]


def test_the_national_holiday_rolls() -> None:
    """1 to 7 October 2026 are holidays; Saturday 10 October is a working day."""
    plan = Schedule(Every.MONTH, date(2026, 10, 1), on_day=1, roll=Adjust.FOLLOWING)
    assert dates(plan, 1) == [("2026-10-01", "2026-10-08")]
    before = Schedule(Every.MONTH, date(2026, 10, 1), on_day=1, roll=Adjust.PRECEDING)
    assert dates(before, 1) == [("2026-10-01", "2026-09-30")]
    last = Schedule(Every.MONTH, date(2026, 10, 31), on_day=31, roll=Adjust.MODIFIED_FOLLOWING)
    assert dates(last, 1) == [("2026-10-31", "2026-10-30")]


def test_a_daily_order_that_rolls_is_for_working_days() -> None:
    plan = Schedule(Every.DAY, date(2026, 11, 27), roll=Adjust.FOLLOWING)
    assert [due for _, due in dates(plan, 3)] == ["2026-11-27", "2026-11-30", "2026-12-01"]
    each = Schedule(Every.DAY, date(2026, 11, 27))
    assert [due for _, due in dates(each, 3)] == ["2026-11-27", "2026-11-28", "2026-11-29"]


def test_it_ends_by_date_or_by_count() -> None:
    assert len(dates(Schedule(Every.DAY, date(2026, 1, 1), times=4), 99)) == 4
    assert len(dates(Schedule(Every.DAY, date(2026, 1, 1), last_on=date(2026, 1, 9), step=4), 99)) == 3
    assert dates(Schedule(Every.MONTH, date(2026, 1, 20), on_day=5, last_on=date(2026, 2, 4)), 9) == []


@pytest.mark.parametrize(
    ("terms", "field"),
    [
        ({"step": 0}, "step"),
        ({"on_day": 8}, "on_day"),
        ({"last_on": date(2025, 1, 1)}, "last_on"),
        ({"times": 0}, "times"),
    ],
)
def test_what_makes_no_schedule(terms: dict[str, object], field: str) -> None:
    with pytest.raises(ValueError, match=f"^{field}: "):
        Schedule(Every.WEEK, date(2026, 1, 1), **terms)  # type: ignore[arg-type]


@given(
    st.sampled_from(Every), st.dates(date(2020, 1, 1), date(2030, 1, 1)), st.integers(1, 40), st.integers(1, 7),
    st.integers(0, 3_000),
)  # fmt: skip
def test_behind_any_day_comes_the_first_date_behind_it(
    every: Every, first: date, step: int, on_day: int, ahead: int
) -> None:
    """Found by jumping, the same as by counting."""
    plan = Schedule(every, first, step, on_day)
    after = date.fromordinal(first.toordinal() + ahead)
    found = plan.next_after(after, 0, CALENDAR)
    assert found is not None
    number = 0
    while plan.nominal(number) <= after:
        number += 1
    assert found[0] == plan.nominal(number)
