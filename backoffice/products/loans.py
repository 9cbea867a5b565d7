"""What a loan costs: schedules of equal instalments, equal principal, interest first, and all at maturity.

The month's rate is the year's over twelve (银发〔2005〕129号); a month in which the rate changes counts actual days
over 360, each part at its rate. Interest is rounded half up to the fen in every period; the last instalment takes what
rounding has left, so that principal parts add up to the loan exactly. When a floating rate is set anew, the instalment
is computed anew from what is still owed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from fractions import Fraction
from itertools import pairwise

from backoffice.products.daycount import DayCount, add_months, year_fraction
from backoffice.products.rates import PARTS_PER_UNIT, Rate, divide
from backoffice.products.yields import Flow, effective_annual_rate


class Repayment(StrEnum):
    """How a loan is paid back."""

    EQUAL_INSTALMENT = "equal_instalment"
    """等额本息"""
    EQUAL_PRINCIPAL = "equal_principal"
    """等额本金"""
    INTEREST_FIRST = "interest_first"
    """按期付息到期还本"""
    BULLET = "bullet"
    """到期一次还本付息: simple interest over the whole life."""


@dataclass(frozen=True, slots=True)
class Instalment:
    """One payment. Minor units; `owed_minor` is the principal left after it."""

    number: int
    due: date
    principal_minor: int
    interest_minor: int
    owed_minor: int

    @property
    def payment_minor(self) -> int:
        """What is paid."""
        return self.principal_minor + self.interest_minor


def equal_instalment_minor(owed_minor: int, rate: Rate, months: int) -> int:
    """P i / (1 - (1 + i)^-n) with i = rate / 12, exact and then half up; P / n without interest."""
    if rate.parts == 0:
        return divide(owed_minor, months)
    base = 12 * PARTS_PER_UNIT
    grown = (base + rate.parts) ** months  # (1 + i)^n as whole numbers over base^n
    return divide(owed_minor * rate.parts * grown, base * (grown - base**months))


def _rate_on(rates: Sequence[tuple[date, Rate]], day: date) -> Rate:
    return [rate for since, rate in rates if since <= day][-1]


def _period_interest(owed_minor: int, rates: Sequence[tuple[date, Rate]], start: date, end: date, months: int) -> int:
    """Interest of one period: whole months at one rate, or actual days where the rate changes within."""
    changes = [since for since, _ in rates if start < since < end]
    if not changes:
        exact = owed_minor * _rate_on(rates, start).fraction * Fraction(months, 12)
    else:
        bounds = [start, *changes, end]
        exact = sum(
            (
                owed_minor * _rate_on(rates, a).fraction * year_fraction(DayCount.ACT_360, a, b)
                for a, b in pairwise(bounds)
            ),
            Fraction(0),
        )
    return divide(exact.numerator, exact.denominator)


def schedule(
    principal_minor: int, drawn: date, months: int, rates: Sequence[tuple[date, Rate]], repayment: Repayment
) -> Sequence[Instalment]:
    """All instalments, monthly. `rates` are (from, rate) in order, the first from the day of drawing or before."""
    if principal_minor <= 0:
        raise ValueError(f"principal_minor: {principal_minor} is not positive")
    if months <= 0:
        raise ValueError(f"months: {months} is not positive")
    if not rates or rates[0][0] > drawn:
        raise ValueError(f"rates: no rate on the day of drawing {drawn}")
    if any(rate.parts < 0 for _, rate in rates):
        raise ValueError("rates: a loan's rate is not negative")
    if repayment is Repayment.BULLET:
        end = add_months(drawn, months)
        return [Instalment(1, end, principal_minor, _period_interest(principal_minor, rates, drawn, end, months), 0)]
    owed, start, instalments = principal_minor, drawn, list[Instalment]()
    payment, payment_rate = 0, None
    for number in range(1, months + 1):
        due = add_months(drawn, number)
        interest = _period_interest(owed, rates, start, due, 1)
        rate = _rate_on(rates, start)
        if number == months:
            principal = owed
        elif repayment is Repayment.INTEREST_FIRST:
            principal = 0
        elif repayment is Repayment.EQUAL_PRINCIPAL:
            principal = divide(principal_minor, months)
        else:
            if rate != payment_rate:
                payment, payment_rate = equal_instalment_minor(owed, rate, months - number + 1), rate
            principal = payment - interest
        principal = min(max(principal, 0), owed)
        owed -= principal
        instalments.append(Instalment(number, due, principal, interest, owed))
        start = due
    return instalments


def loan_flows(
    principal_minor: int, drawn: date, instalments: Sequence[Instalment], fee_minor: int = 0
) -> Sequence[Flow]:
    """The customer's side: what is paid out less fees, then what is paid back."""
    return [Flow(drawn, principal_minor - fee_minor), *(Flow(i.due, -i.payment_minor) for i in instalments)]


def loan_cost(principal_minor: int, drawn: date, instalments: Sequence[Instalment], fee_minor: int = 0) -> Rate:
    """Effective annual cost by the internal rate of return (m: PBoC announcement 2021 No. 3, 年化利率)."""
    return effective_annual_rate(loan_flows(principal_minor, drawn, instalments, fee_minor))
