from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backoffice.products.rates import Rate, Rounding, divide, earning_part_minor, interest_minor


@pytest.mark.parametrize(
    ("numerator", "half_up", "half_even", "down", "up"),
    [(5, 3, 2, 2, 3), (7, 4, 4, 3, 4), (-5, -3, -2, -2, -3), (4, 2, 2, 2, 2), (1, 1, 0, 0, 1), (0, 0, 0, 0, 0)],
)
def test_each_rounding_on_halves(numerator: int, half_up: int, half_even: int, down: int, up: int) -> None:
    modes = (Rounding.HALF_UP, Rounding.HALF_EVEN, Rounding.DOWN, Rounding.UP)
    assert [divide(numerator, 2, mode) for mode in modes] == [half_up, half_even, down, up]


@given(st.integers(-(10**24), 10**24), st.integers(1, 10**15))
def test_rounding_is_off_by_less_than_one_and_half_up_by_at_most_a_half(numerator: int, denominator: int) -> None:
    exact = Fraction(numerator, denominator)
    assert abs(divide(numerator, denominator, Rounding.HALF_UP) - exact) <= Fraction(1, 2)
    assert divide(numerator, denominator, Rounding.HALF_EVEN) == round(exact)  # Python rounds fractions half to even
    assert abs(divide(numerator, denominator, Rounding.DOWN)) <= abs(exact)
    assert abs(divide(numerator, denominator, Rounding.UP)) >= abs(exact)


def test_rates_are_exact_and_print_as_written() -> None:
    assert Rate.from_percent("3.45").parts == 34_500_000
    assert str(Rate.from_percent("3.45").plus_basis_points(-30)) == "3.15%"
    assert Rate.from_percent("-0.1").percent() == "-0.10"
    assert Rate.from_percent("0.0000001").parts == 1
    for wrong in ("0.00000001", "nan", "x", "Infinity"):
        with pytest.raises(ValueError, match="rate"):
            Rate.from_percent(wrong)
    with pytest.raises(ValueError, match="denominator"):
        divide(1, 0)


def test_interest_is_rounded_once() -> None:
    # 10,000.00 yuan at 1.75 % for 7 days of 360: 3.402777… yuan
    assert interest_minor(1_000_000, Rate.from_percent("1.75"), Fraction(7, 360)) == 340
    assert interest_minor(1_000_000, Rate.from_percent("1.75"), Fraction(7, 360), Rounding.UP) == 341


def test_only_whole_yuan_earn() -> None:
    assert earning_part_minor(12_399) == 12_300
    assert earning_part_minor(-1) == 0
