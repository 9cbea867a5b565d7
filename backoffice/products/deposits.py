"""Interest of demand, term and notice deposits as Chinese banks pay it.

Sources, known without having been opened (m): 储蓄管理条例 (State Council Order 107) art. 23-27: a term deposit keeps
its rate, what is withdrawn early or stays longer earns the demand rate of the day of withdrawal; demand deposits take
the rate of the settlement or closing day. 银发〔2005〕129号: settlement on the 20th of a quarter's last month,
methods of counting. 通知存款管理办法 (银发〔1999〕3号) art. 9: when a notice deposit earns only the demand rate.
Interest is on whole yuan, to the fen, half up.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from fractions import Fraction
from itertools import pairwise

from backoffice.products.daycount import DayCount, add_months, days_between, year_fraction
from backoffice.products.rates import Rate, Rounding, divide, earning_part_minor, interest_minor
from backoffice.products.tiers import Tiers

DAY = timedelta(days=1)


@dataclass(frozen=True, order=True, slots=True)
class BalanceFrom:
    """The end-of-day balance from this day on, until the next entry."""

    on: date
    balance_minor: int


def balance_runs(entries: Sequence[BalanceFrom], start: date, end: date) -> Iterator[tuple[int, int]]:
    """(balance, days) from `start` to the day before `end`. Entries ascend; before the first it is nought."""
    if any(later.on <= earlier.on for earlier, later in pairwise(entries)):
        raise ValueError("entries: days must ascend, one entry a day")
    days_between(start, end)
    day, balance = start, 0
    for entry in entries:
        if entry.on > day:
            until = min(entry.on, end)
            if until > day:
                yield balance, (until - day).days
                day = until
        balance = entry.balance_minor
    if day < end:
        yield balance, (end - day).days


def accumulated_balance(entries: Sequence[BalanceFrom], start: date, end: date, unit_minor: int = 100) -> int:
    """积数: the sum over days of the balance that earns interest (whole yuan), in minor units x days."""
    return sum(earning_part_minor(balance, unit_minor) * days for balance, days in balance_runs(entries, start, end))


def accumulated_interest(
    entries: Sequence[BalanceFrom],
    start: date,
    end: date,
    tiers: Tiers,
    *,
    days_in_year: int = 360,
    rounding: Rounding = Rounding.HALF_UP,
) -> int:
    """积数计息: accumulated balance x daily rate, rounded once for the period; each day's balance in its tiers."""
    exact = Fraction(0)
    for balance, days in balance_runs(entries, start, end):
        for amount, rate in tiers.slices(earning_part_minor(balance)):
            exact += amount * rate.fraction * days
    exact /= days_in_year
    return divide(exact.numerator, exact.denominator, rounding)


def next_settlement(day: date) -> date:
    """The settlement day on or after `day`: the 20th of March, June, September or December."""
    month = (day.month + 2) // 3 * 3
    settlement = date(day.year, month, 20)
    return settlement if day <= settlement else add_months(settlement, 3)


@dataclass(frozen=True, slots=True)
class Settlement:
    """One payment of demand interest: for the days from `start` to before `end`, credited on `end`."""

    start: date
    end: date
    accumulated_minor_days: int
    interest_minor: int
    closing: bool


def demand_settlements(
    entries: Sequence[BalanceFrom],
    opened: date,
    until: date,
    tiers_on: Callable[[date], Tiers],
    *,
    closes: bool = False,
    days_in_year: int = 360,
) -> Sequence[Settlement]:
    """Every settlement of a demand account credited up to `until`, interest upon interest.

    `entries` are the balances without the interest that is found here. Interest is settled on the 20th with the rate
    of that day, for that day too, and credited on the 21st. With `closes` the rest up to `until` is paid with the
    closing day's rate.
    """
    settlements: list[Settlement] = []
    start, credited = opened, [(opened, 0)]
    while start < until:
        settlement_day = next_settlement(start)
        end = settlement_day + DAY
        closing = end > until
        if closing:
            if not closes:
                break
            end = settlement_day = until
        within = _with_interest(entries, credited)
        settlements.append(
            Settlement(
                start,
                end,
                accumulated_balance(within, start, end),
                accumulated_interest(within, start, end, tiers_on(settlement_day), days_in_year=days_in_year),
                closing,
            )
        )
        credited.append((end, credited[-1][1] + settlements[-1].interest_minor))
        start = end
    return settlements


def _with_interest(entries: Sequence[BalanceFrom], credited: Sequence[tuple[date, int]]) -> Sequence[BalanceFrom]:
    """Balances plus the interest credited so far, at every day on which one of them changes."""

    def at(pairs: Sequence[tuple[date, int]], day: date) -> int:
        return next((amount for on, amount in reversed(pairs) if on <= day), 0)

    balances = [(entry.on, entry.balance_minor) for entry in entries]
    days = sorted({on for on, _ in balances} | {on for on, _ in credited})
    return [BalanceFrom(day, at(balances, day) + at(credited, day)) for day in days]


@dataclass(frozen=True, slots=True)
class TermDeposit:
    """整存整取: a principal, a rate that stays, a term in months, a way to count days."""

    principal_minor: int
    opened: date
    months: int
    rate: Rate
    day_count: DayCount = DayCount.ITEM_WISE

    def __post_init__(self) -> None:
        if self.principal_minor <= 0:
            raise ValueError(f"principal_minor: {self.principal_minor} is not positive")
        if self.months <= 0:
            raise ValueError(f"months: {self.months} is not positive")

    @property
    def matures(self) -> date:
        """The same day of the month, so many months on (对年对月对日)."""
        return add_months(self.opened, self.months)

    def interest_minor(self, withdrawn: date, demand_rate: Rate, part_minor: int | None = None) -> int:
        """Interest of the principal, or of a part taken out, on the day of withdrawal.

        On maturity the contract's rate for the term; earlier the demand rate of that day for all days; later the
        contract's rate for the term and the demand rate for the days since, without interest on interest.
        """
        part = self.principal_minor if part_minor is None else part_minor
        if not 0 < part <= self.principal_minor:
            raise ValueError(f"part_minor: {part} is not between 1 and the principal {self.principal_minor}")
        part = earning_part_minor(part)
        if withdrawn < self.matures:
            return interest_minor(part, demand_rate, year_fraction(self.day_count, self.opened, withdrawn))
        term = interest_minor(part, self.rate, year_fraction(self.day_count, self.opened, self.matures))
        return term + interest_minor(part, demand_rate, year_fraction(self.day_count, self.matures, withdrawn))

    def rolled_over(self, rate: Rate) -> "TermDeposit":
        """自动转存: principal and interest for the same term again, at the rate of the day of maturity."""
        principal = self.principal_minor + self.interest_minor(self.matures, Rate(0))
        return TermDeposit(principal, self.matures, self.months, rate, self.day_count)


class NoticeOutcome(StrEnum):
    """What the amount of a notice deposit that is withdrawn earns, and why."""

    NOTICE_RATE = "notice_rate"
    HELD_TOO_SHORT = "held_too_short"
    NO_NOTICE = "no_notice"
    NOT_ON_THE_DAY = "not_on_the_day"
    PARTLY = "partly"
    """Above the amount that was announced: the surplus earns the demand rate."""
    BELOW_MINIMUM = "below_minimum"


@dataclass(frozen=True, slots=True)
class Notice:
    """A withdrawal that the customer has announced."""

    given: date
    amount_minor: int


@dataclass(frozen=True, slots=True)
class NoticeDeposit:
    """通知存款: no term; a withdrawal is announced one or seven days before. Actual days over 360."""

    opened: date
    notice_days: int
    minimum_withdrawal_minor: int

    def interest_minor(
        self, amount_minor: int, withdrawn: date, notice: Notice | None, notice_rate: Rate, demand_rate: Rate
    ) -> tuple[int, NoticeOutcome]:
        """Interest of an amount taken out, by the rates of that day, and which rule decided."""
        if amount_minor <= 0:
            raise ValueError(f"amount_minor: {amount_minor} is not positive")
        years = year_fraction(DayCount.ACT_360, self.opened, withdrawn)

        def earns(amount: int, rate: Rate) -> int:
            return interest_minor(earning_part_minor(amount), rate, years)

        outcome = NoticeOutcome.NOTICE_RATE
        if days_between(self.opened, withdrawn) < self.notice_days:
            outcome = NoticeOutcome.HELD_TOO_SHORT
        elif notice is None:
            outcome = NoticeOutcome.NO_NOTICE
        elif withdrawn != notice.given + timedelta(days=self.notice_days):
            outcome = NoticeOutcome.NOT_ON_THE_DAY
        elif amount_minor < self.minimum_withdrawal_minor:
            outcome = NoticeOutcome.BELOW_MINIMUM
        elif amount_minor > notice.amount_minor:
            surplus = amount_minor - notice.amount_minor
            return earns(notice.amount_minor, notice_rate) + earns(surplus, demand_rate), NoticeOutcome.PARTLY
        return earns(amount_minor, notice_rate if outcome is NoticeOutcome.NOTICE_RATE else demand_rate), outcome
