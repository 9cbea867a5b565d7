from datetime import date

from backoffice.products.comparison import Basis, Wealth, loan_row, term_deposit_row, wealth_row
from backoffice.products.deposits import TermDeposit
from backoffice.products.loans import Repayment, schedule
from backoffice.products.rates import Rate

DAY = date(2026, 1, 15)
NO_FEE = Rate(0)


def percent(text: str) -> Rate:
    return Rate.from_percent(text)


def test_a_three_year_deposit_is_less_than_its_nominal_rate_a_year() -> None:
    row = term_deposit_row("three years", TermDeposit(10_000_000, date(2025, 3, 1), 36, percent("3")))
    assert (row.gain_minor, row.basis, row.ends) == (900_000, Basis.CONTRACT, date(2028, 3, 1))
    # 1.09^(365/1096) - 1, 1096 days with the leap day
    assert row.rate.parts == round((1.09 ** (365 / 1096) - 1) * 10**9)


def test_without_fees_a_year_of_wealth_yields_what_was_assumed() -> None:
    row = wealth_row("no fees", Wealth(12, percent("4"), NO_FEE, NO_FEE, NO_FEE), 1_000_000, DAY)
    assert (row.rate.percent(), row.gain_minor, row.fees_minor, row.basis) == ("4.00", 40_000, 0, Basis.ASSUMED)


def test_fees_by_hand() -> None:
    wealth = Wealth(12, percent("5"), percent("1"), percent("0.5"), percent("0.2"))
    row = wealth_row("fund", wealth, 1_010_000, DAY)
    # 10,100 yuan: 100 fee, 10,000 invested; grows to 10,500, 50 yearly fee; 10,450 less 20.90 redemption
    assert row.fees_minor == 10_000 + 5_000 + 2_090
    assert row.gain_minor == 1_042_910 - 1_010_000
    assert row.rate.parts == round((1_042_910 / 1_010_000 - 1) * 10**9)


def test_a_lower_instalment_rate_can_cost_more_than_a_higher_one() -> None:
    def row(nominal: str, fee: int) -> Rate:
        plan = schedule(1_200_000, DAY, 12, [(DAY, percent(nominal))], Repayment.EQUAL_INSTALMENT)
        return loan_row(nominal, 1_200_000, DAY, plan, fee).rate

    assert row("4", 36_000) > row("8", 0)
