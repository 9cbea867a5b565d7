"""Products of the catalogue side by side: each as the flows of one stake from one day on, and one rate for all."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from backoffice import parameters
from backoffice.context import Context
from backoffice.problems import Problem, invalid
from backoffice.products import comparison as rows
from backoffice.products import terms as kinds
from backoffice.products.daycount import add_months
from backoffice.products.deposits import TermDeposit
from backoffice.products.loans import schedule
from backoffice.products.rates import Rate
from backoffice.products.tiers import Tiers

MONTH_DAYS = 30
POINTS = 13


@dataclass(frozen=True, slots=True)
class Compared:
    """A row, why there is none, and what the stake is worth over time (for a chart)."""

    row: rows.Row | None
    reason: str
    points: tuple[tuple[date, int], ...]


async def compared(context: Context, version: Mapping[str, Any], stake_minor: int, months: int, on: date) -> Compared:
    """Put one version into the comparison. What it cannot be compared for is a reason, not an error."""
    terms = kinds.read(version["kind"], version["terms"])
    name = f"{version['product_id']}/{version['version']}"
    if version["kind"] != "loan" and stake_minor < version["minimum_minor"]:
        return Compared(None, "below_minimum", ())
    match terms:
        case kinds.DemandTerms():
            return _demand(name, terms.scale(), stake_minor, months, on, days_in_year=terms.days_in_year)
        case kinds.CardTerms():
            return _demand(name, Tiers.flat(Rate.from_percent(terms.rate)), stake_minor, months, on)
        case kinds.TermTerms():
            deposit = TermDeposit(stake_minor, on, terms.months, Rate.from_percent(terms.rate), terms.day_count)
            row = rows.term_deposit_row(name, deposit)
            early = Rate.from_percent(terms.early_rate)
            points = tuple(
                (day, stake_minor + deposit.interest_minor(day, early)) for day in _days(on, deposit.matures)
            )
            return Compared(row, "", points)
        case kinds.NoticeTerms():
            return _demand(name, Tiers.flat(Rate.from_percent(terms.rate)), stake_minor, months, on)
        case kinds.WealthTerms() | kinds.FundTerms():
            held = max(1, round(terms.days / MONTH_DAYS)) if isinstance(terms, kinds.WealthTerms) else months
            fee = terms.redemption_fee
            if isinstance(terms, kinds.FundTerms) and months * MONTH_DAYS >= terms.redemption_free_after_days:
                fee = "0"
            wealth = rows.Wealth(
                held, Rate.from_percent(terms.benchmark), Rate.from_percent(terms.subscription_fee),
                Rate.from_percent(terms.yearly_fee), Rate.from_percent(fee),
            )  # fmt: skip
            row = rows.wealth_row(name, wealth, stake_minor, on)
            return Compared(row, "", _line(on, row.ends, stake_minor, stake_minor + row.gain_minor))
        case kinds.LoanTerms():
            return await _loan(context, name, terms, stake_minor=stake_minor, months=months, on=on)
        case _:
            raise AssertionError(version["kind"])


def _demand(name: str, tiers: Tiers, stake_minor: int, months: int, on: date, *, days_in_year: int = 360) -> Compared:
    ends = add_months(on, months)
    row = rows.demand_row(name, tiers, stake_minor, (on, ends), days_in_year)
    return Compared(row, "", _line(on, ends, stake_minor, stake_minor + row.gain_minor))


async def _loan(
    context: Context, name: str, terms: kinds.LoanTerms, *, stake_minor: int, months: int, on: date
) -> Compared:
    if not terms.least_months <= months <= terms.most_months:
        return Compared(None, "not_for_this_term", ())
    if terms.fixed is not None:
        rate = Rate.from_percent(terms.fixed)
    else:
        assert terms.tenor is not None
        try:
            lpr = await parameters.value(context, f"lpr.{terms.tenor.value}", on)
        except Problem:
            return Compared(None, "no_lpr", ())
        rate = Rate.from_percent(lpr).plus_basis_points(terms.spread_basis_points)
    plan = schedule(stake_minor, on, months, [(on, rate)], terms.repayments[0])
    fee = -(-stake_minor * Rate.from_percent(terms.fee).parts // Rate.from_percent(100).parts)
    row = rows.loan_row(name, stake_minor, on, plan, fee)
    return Compared(row, "", tuple((each.due, each.owed_minor) for each in plan))


def _days(start: date, end: date) -> list[date]:
    """Up to thirteen days evenly from start to end, both included."""
    span = (end - start).days
    return sorted({start + timedelta(days=span * step // (POINTS - 1)) for step in range(POINTS)})


def _line(start: date, end: date, first: int, last: int) -> tuple[tuple[date, int], ...]:
    span = max((end - start).days, 1)
    return tuple((day, first + (last - first) * (day - start).days // span) for day in _days(start, end))


def check_stake(stake_minor: int, months: int) -> None:
    """Raise Problem for what cannot be compared at all."""
    if stake_minor <= 0:
        raise invalid("amount", "is not above zero")
    if not 1 <= months <= 600:
        raise invalid("months", "is not from 1 to 600")
