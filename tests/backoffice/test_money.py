"""Amounts go in and out as decimals and never lose or gain anything."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backoffice.money import DECIMALS, LEDGERS, MINOR_MAX, Money, MoneyError

CURRENCIES = st.sampled_from(sorted(LEDGERS))


@given(st.integers(-MINOR_MAX, MINOR_MAX), CURRENCIES)
def test_what_is_written_is_read_back(minor: int, currency: str) -> None:
    money = Money(minor, currency)
    assert Money.parse(str(money), currency) == money


@given(
    st.decimals(min_value=-(10**12), max_value=10**12, places=2),
    st.decimals(min_value=-(10**12), max_value=10**12, places=2),
)
def test_sums_are_those_of_decimals(one: object, other: object) -> None:
    first, second = Money.parse(f"{one:f}".replace("-0.00", "0.00")), Money.parse(f"{other:f}".replace("-0.00", "0.00"))
    assert str(first + second) == f"{one + other:.2f}".replace("-0.00", "0.00")  # type: ignore[operator]
    assert (first - second) + second == first


@pytest.mark.parametrize("text", ["", "1.", ".5", "1,50", "1e3", " 1", "01", "+1", "1.005", "١", "NaN", "--1", "1.00 "])
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(MoneyError):
        Money.parse(text)


def test_decimals_are_the_currency_s() -> None:
    assert str(Money(5, "CNY")) == "0.05"
    assert str(Money(5, "JPY")) == "5"
    assert Money.parse("5", "CNY").minor == 500
    assert Money.parse("5", "JPY").minor == 5
    assert DECIMALS["JPY"] == 0
    with pytest.raises(MoneyError, match="more than 0 decimals"):
        Money.parse("5.0", "JPY")


def test_what_does_not_fit_or_mix() -> None:
    with pytest.raises(MoneyError, match="64 bits"):
        Money(MINOR_MAX) + Money(1)
    with pytest.raises(MoneyError, match="do not mix"):
        Money(1, "CNY") + Money(1, "USD")
    with pytest.raises(MoneyError, match="is none of"):
        Money(1, "XXX")
