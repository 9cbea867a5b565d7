"""Schedules and yields: closed forms, and a second method in decimals."""

import gzip
import os
from datetime import date, timedelta
from decimal import Decimal, localcontext
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backoffice.products.daycount import add_months
from backoffice.products.loans import Repayment, equal_instalment_minor, loan_cost, loan_flows, schedule
from backoffice.products.lpr import FloatingRate, LprHistory, LprTenor, Reset
from backoffice.products.rates import Rate
from backoffice.products.yields import Flow, NoUniqueYieldError, effective_annual_rate

DRAWN = date(2026, 1, 31)
RATE = Rate.from_percent("3.5")


def test_the_textbook_mortgage() -> None:
    """1,000,000 yuan, 30 years, 4.9 %: 5,307.27 a month, the figure every Chinese loan calculator shows."""
    assert equal_instalment_minor(100_000_000, Rate.from_percent("4.9"), 360) == 530_727
    plan = schedule(100_000_000, DRAWN, 360, [(DRAWN, Rate.from_percent("4.9"))], Repayment.EQUAL_INSTALMENT)
    assert plan[0].interest_minor == 408_333
    by_principal = schedule(100_000_000, DRAWN, 360, [(DRAWN, Rate.from_percent("4.9"))], Repayment.EQUAL_PRINCIPAL)
    assert by_principal[0].payment_minor == 277_778 + 408_333
    # closed form of all interest: P i (n + 1) / 2 = 737,041.67 yuan, up to one fen of rounding a month
    assert abs(sum(i.interest_minor for i in by_principal) - 73_704_167) <= 360


@given(
    st.integers(1, 10**12),
    st.integers(1, 120),
    st.integers(0, 360_000_000).map(Rate),
    st.sampled_from(Repayment),
    st.integers(0, 3000),
)
def test_principal_parts_add_up(principal: int, months: int, rate: Rate, repayment: Repayment, change: int) -> None:
    rates = [(DRAWN, rate), (DRAWN + timedelta(days=change + 1), Rate(rate.parts // 2))]
    plan = schedule(principal, DRAWN, months, rates, repayment)
    assert sum(i.principal_minor for i in plan) == principal
    assert plan[-1].owed_minor == 0
    assert all(i.principal_minor >= 0 and i.interest_minor >= 0 for i in plan)
    assert plan[-1].due == add_months(DRAWN, months)


def test_equal_instalments_are_equal_until_the_rate_is_set_anew() -> None:
    reset = add_months(DRAWN, 12)
    plan = schedule(
        10_000_000, DRAWN, 24, [(DRAWN, RATE), (reset, Rate.from_percent("3.0"))], Repayment.EQUAL_INSTALMENT
    )
    assert len({i.payment_minor for i in plan[:12]}) == 1
    assert len({i.payment_minor for i in plan[12:-1]}) == 1
    assert plan[12].payment_minor == equal_instalment_minor(plan[11].owed_minor, Rate.from_percent("3.0"), 12)
    assert plan[12].payment_minor < plan[11].payment_minor
    assert abs(plan[-1].payment_minor - plan[12].payment_minor) < 24


def test_a_month_in_which_the_rate_changes_counts_days() -> None:
    plan = schedule(
        36_000_000, date(2026, 1, 1), 1, [(date(2026, 1, 1), RATE), (date(2026, 1, 11), Rate(0))], Repayment.BULLET
    )
    assert plan[0].interest_minor == 35_000  # 360,000 x 3.5 % x 10 / 360


def second_method(flows: list[Flow]) -> Rate:
    """The same equation in 40 decimal digits, solved by false position on the discount factor of a day."""
    with localcontext() as context:
        context.prec = 40
        first = min(flow.on for flow in flows)

        def value(daily: Decimal) -> Decimal:
            return sum((flow.amount_minor * daily ** (flow.on - first).days for flow in flows), Decimal(0))

        low, high = Decimal("0.97"), Decimal("1.02")  # of a half to one and a half of the stake, after 31 days
        assert (value(low) > 0) != (value(high) > 0)
        for _ in range(110):
            middle = (low + high) / 2
            low, high = (low, middle) if (value(middle) > 0) == (value(high) > 0) else (middle, high)
        return Rate(int(((1 / low) ** 365 - 1).scaleb(9).to_integral_value()))


@given(
    st.lists(st.tuples(st.integers(1, 400), st.integers(1, 10**9)), min_size=1, max_size=12),
    st.fractions(Fraction(7, 10), Fraction(3, 2)),
)
def test_yields_agree_with_decimals(later: list[tuple[int, int]], ratio: Fraction) -> None:
    stake = max(1, int(sum(amount for _, amount in later) * ratio))
    flows = [Flow(DRAWN, -stake), *(Flow(DRAWN + timedelta(days=30 + days), amount) for days, amount in later)]
    got, expected = effective_annual_rate(flows).parts, second_method(flows).parts
    # a rate of some hundred thousand % has few digits below one part per billion left in a double
    assert abs(got - expected) <= max(1, abs(expected) // 10**11)


def test_yields_against_closed_forms() -> None:
    def of(*flows: tuple[int, int]) -> str:
        return effective_annual_rate([Flow(date(2025, 1, 1) + timedelta(days=d), a) for d, a in flows]).percent()

    assert of((0, -100), (365, 103)) == "3.00"
    assert of((0, -10_000), (730, 12_100)) == "10.00"  # two years, squared
    assert of((0, 10_000), (730, -12_100)) == "10.00"  # the borrower's side of it
    assert of((0, -100), (365, 50)) == "-50.00"
    assert of((0, -200), (365, 5 + 100), (365, 5 + 100)) == "5.00"  # flows of one day are one
    assert of((0, -1000), (365, 100), (730, 100), (1095, 1100)) == "10.00"  # a bond at par


def test_what_has_no_yield_or_several_is_refused() -> None:
    day = date(2025, 1, 1)
    with pytest.raises(NoUniqueYieldError, match="both ways"):
        effective_annual_rate([Flow(day, -100), Flow(day, 200)])
    with pytest.raises(NoUniqueYieldError, match="several"):  # 10 % and 20 % both solve this one
        effective_annual_rate(
            [Flow(day, -10_000), Flow(day + timedelta(365), 23_000), Flow(day + timedelta(730), -13_200)]
        )


def test_cost_shows_fees_and_compounding() -> None:
    plan = schedule(12_000_000, DRAWN, 12, [(DRAWN, Rate.from_percent("6"))], Repayment.EQUAL_INSTALMENT)
    plain = loan_cost(12_000_000, DRAWN, plan)
    # (1 + 6 % / 12)^12 - 1 = 6.1678 %; due dates are days, not twelfths of a year
    assert abs(plain.parts - 61_677_812) < 600_000
    assert loan_cost(12_000_000, DRAWN, plan, fee_minor=120_000).parts > plain.parts + 15_000_000
    assert plain == effective_annual_rate([Flow(f.on, -f.amount_minor) for f in loan_flows(12_000_000, DRAWN, plan)])


LPR = LprHistory(
    (
        (date(2019, 8, 20), Rate.from_percent("4.25"), Rate.from_percent("4.85")),
        (date(2020, 4, 20), Rate.from_percent("3.85"), Rate.from_percent("4.65")),
        (date(2021, 12, 20), Rate.from_percent("3.80"), Rate.from_percent("4.65")),
        (date(2022, 1, 20), Rate.from_percent("3.70"), Rate.from_percent("4.60")),
    )
)


def test_lpr_holds_until_the_next_publication() -> None:
    assert LPR.at(date(2020, 4, 19), LprTenor.ONE_YEAR).percent() == "4.25"
    assert LPR.at(date(2020, 4, 20), LprTenor.OVER_FIVE_YEARS).percent() == "4.65"
    with pytest.raises(ValueError, match="nothing published by 2019-08-19"):
        LPR.at(date(2019, 8, 19), LprTenor.ONE_YEAR)
    assert [LprTenor.of_months(n) for n in (60, 61)] == [LprTenor.ONE_YEAR, LprTenor.OVER_FIVE_YEARS]


def test_resets() -> None:
    drawn, end = date(2019, 9, 15), date(2022, 9, 15)

    def periods(reset: Reset) -> list[tuple[str, str]]:
        floating = FloatingRate(LprTenor.ONE_YEAR, 50, reset)
        return [(day.isoformat(), rate.percent()) for day, rate in floating.periods(LPR, drawn, end)]

    assert periods(Reset.FIXED) == [("2019-09-15", "4.75")]
    assert periods(Reset.FIRST_OF_JANUARY) == [("2019-09-15", "4.75"), ("2021-01-01", "4.35"), ("2022-01-01", "4.30")]
    assert periods(Reset.ANNIVERSARY) == [("2019-09-15", "4.75"), ("2020-09-15", "4.35")]
    assert periods(Reset.QUARTERLY) == [("2019-09-15", "4.75"), ("2020-06-15", "4.35"), ("2022-03-15", "4.20")]


def test_lpr_file_errors_name_the_line() -> None:
    with pytest.raises(ValueError, match="line 3"):
        LprHistory.read_csv(["publish_date,lpr_1y_pct,lpr_5y_plus_pct", "2019-08-20,4.25,4.85", "2019-09-20,x,4.85"])


@pytest.mark.data
def test_the_published_history() -> None:
    path = Path(os.environ.get("TONGBAO_SHARED_DATA", "/nowhere")) / "cn_lpr" / "lpr_2019-08_2026-08.csv.gz"
    if not path.exists():
        pytest.skip("TONGBAO_SHARED_DATA has no cn_lpr")
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        history = LprHistory.read_csv(lines)
    assert len(history.publications) == 85
    assert history.at(date(2024, 2, 20), LprTenor.OVER_FIVE_YEARS).percent() == "3.95"
    floating = FloatingRate(LprTenor.OVER_FIVE_YEARS, -45, Reset.FIRST_OF_JANUARY)
    drawn = date(2023, 10, 8)
    plan = schedule(
        100_000_000, drawn, 360, floating.periods(history, drawn, add_months(drawn, 360)), Repayment.EQUAL_INSTALMENT
    )
    assert sum(i.principal_minor for i in plan) == 100_000_000
    assert plan[0].payment_minor > plan[26].payment_minor > plan[38].payment_minor  # LPR fell in 2024 and 2025
