from datetime import date, timedelta
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backoffice.products.daycount import DayCount, add_months, whole_months, year_fraction

DAYS = st.dates(date(2000, 1, 1), date(2060, 12, 31))


@pytest.mark.parametrize(
    ("start", "end", "act_360", "act_365", "item_wise", "thirty"),
    [
        (date(2024, 2, 28), date(2024, 3, 1), (2, 360), (2, 365), (2, 360), (3, 360)),
        (date(2025, 1, 31), date(2025, 2, 28), (28, 360), (28, 365), (1, 12), (28, 360)),
        (date(2025, 1, 15), date(2026, 1, 15), (365, 360), (1, 1), (1, 1), (1, 1)),
        (date(2025, 1, 15), date(2025, 7, 25), (191, 360), (191, 365), (190, 360), (190, 360)),
        (date(2025, 3, 31), date(2025, 5, 31), (61, 360), (61, 365), (2, 12), (60, 360)),
    ],
)
def test_known_periods(
    start: date,
    end: date,
    act_360: tuple[int, int],
    act_365: tuple[int, int],
    item_wise: tuple[int, int],
    thirty: tuple[int, int],
) -> None:
    for convention, expected in zip(
        (DayCount.ACT_360, DayCount.ACT_365, DayCount.ITEM_WISE, DayCount.THIRTY_E_360),
        (act_360, act_365, item_wise, thirty),
        strict=True,
    ):
        assert year_fraction(convention, start, end) == Fraction(*expected), convention


@given(DAYS, st.integers(0, 5000))
def test_months_and_odd_days_make_the_period(start: date, length: int) -> None:
    end = start + timedelta(days=length)
    months, odd_days = whole_months(start, end)
    assert months >= 0
    assert 0 <= odd_days < 31
    assert add_months(start, months) + timedelta(days=odd_days) == end
    assert add_months(start, months + 1) > end


@given(DAYS, st.integers(0, 2000), st.integers(0, 2000), st.sampled_from(list(DayCount)))
def test_a_longer_period_is_never_less(start: date, first: int, second: int, convention: DayCount) -> None:
    middle, end = start + timedelta(days=first), start + timedelta(days=first + second)
    whole = year_fraction(convention, start, end)
    if convention in {DayCount.ACT_360, DayCount.ACT_365}:
        assert whole == year_fraction(convention, start, middle) + year_fraction(convention, middle, end)
    assert abs(whole - Fraction(first + second, 365)) < Fraction(first + second, 365) / 50 + Fraction(4, 360)


def test_a_period_that_ends_before_it_starts_is_refused() -> None:
    with pytest.raises(ValueError, match=r"end: 2025-01-01 is before start"):
        year_fraction(DayCount.ACT_360, date(2025, 1, 2), date(2025, 1, 1))
