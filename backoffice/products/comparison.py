"""Products side by side: the same stake, the same day, the same measure.

Each product becomes dated flows as the customer would see them, under stated assumptions, and one effective annual
rate is taken of each. What a wealth product or a fund will earn is nobody's promise: the caller gives the assumed
rate, and the row says so.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from backoffice.products.daycount import DayCount, add_months, year_fraction
from backoffice.products.deposits import BalanceFrom, TermDeposit, demand_settlements
from backoffice.products.loans import Instalment, loan_flows
from backoffice.products.rates import Rate, Rounding, divide, interest_minor
from backoffice.products.tiers import Tiers
from backoffice.products.yields import Flow, effective_annual_rate


class Basis(StrEnum):
    """What a row's figure rests on."""

    CONTRACT = "contract"
    """Paid if both sides keep the contract."""
    ASSUMED = "assumed"
    """An assumption of the caller; it may be less, and a loss."""


@dataclass(frozen=True, slots=True)
class Row:
    """One product in the comparison. Gains are positive, costs negative."""

    name: str
    basis: Basis
    rate: Rate
    stake_minor: int
    gain_minor: int
    fees_minor: int
    ends: date


def _row(name: str, basis: Basis, flows: Sequence[Flow], fees_minor: int) -> Row:
    ordered = sorted(flows)
    gain = sum(flow.amount_minor for flow in ordered)
    return Row(
        name, basis, effective_annual_rate(ordered), abs(ordered[0].amount_minor), gain, fees_minor, ordered[-1].on
    )


def term_deposit_row(name: str, deposit: TermDeposit) -> Row:
    """A term deposit held to its day of maturity."""
    back = deposit.principal_minor + deposit.interest_minor(deposit.matures, Rate(0))
    flows = [Flow(deposit.opened, -deposit.principal_minor), Flow(deposit.matures, back)]
    return _row(name, Basis.CONTRACT, flows, 0)


def demand_row(name: str, tiers: Tiers, stake_minor: int, span: tuple[date, date], days_in_year: int = 360) -> Row:
    """Money that can be taken out at any time, left alone from one day to another; interest settled each quarter."""
    start, ends = span
    entries = [BalanceFrom(start, stake_minor)]
    settled = demand_settlements(entries, start, ends, lambda _: tiers, closes=True, days_in_year=days_in_year)
    gain = sum(each.interest_minor for each in settled)
    return _row(name, Basis.CONTRACT, [Flow(start, -stake_minor), Flow(ends, stake_minor + gain)], 0)


@dataclass(frozen=True, slots=True)
class Wealth:
    """A wealth product or fund held for some months: an assumed gross rate, and fees as shares of amounts."""

    months: int
    assumed_rate: Rate
    subscription_fee: Rate
    """Outside the amount invested (价外费): fee = stake - stake / (1 + share), as funds compute it."""
    yearly_fee: Rate
    """Management and custody, off the gross rate; act/365."""
    redemption_fee: Rate
    """Off what is paid back."""


def wealth_row(name: str, wealth: Wealth, stake_minor: int, bought: date) -> Row:
    """Simple growth at the assumed rate less yearly fees; fees are rounded up, never to the customer's surprise."""
    ends = add_months(bought, wealth.months)
    whole = Rate.from_percent(100).parts
    invested = divide(stake_minor * whole, whole + wealth.subscription_fee.parts, Rounding.DOWN)
    years = year_fraction(DayCount.ACT_365, bought, ends)
    yearly = interest_minor(invested, wealth.yearly_fee, years, Rounding.UP)
    worth = invested + interest_minor(invested, wealth.assumed_rate, years, Rounding.DOWN) - yearly
    redemption = divide(worth * wealth.redemption_fee.parts, whole, Rounding.UP)
    fees = stake_minor - invested + yearly + redemption
    return _row(name, Basis.ASSUMED, [Flow(bought, -stake_minor), Flow(ends, worth - redemption)], fees)


def loan_row(name: str, principal_minor: int, drawn: date, plan: Sequence[Instalment], fee_minor: int = 0) -> Row:
    """A loan: the rate is its cost, fees included."""
    return _row(name, Basis.CONTRACT, loan_flows(principal_minor, drawn, plan, fee_minor), fee_minor)
