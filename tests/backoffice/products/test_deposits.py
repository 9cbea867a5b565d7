"""Interest against sums that can be checked by hand, and against a second way: day by day."""

from datetime import date, timedelta
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backoffice.products.daycount import DayCount
from backoffice.products.deposits import (
    BalanceFrom,
    Notice,
    NoticeDeposit,
    NoticeOutcome,
    TermDeposit,
    accumulated_balance,
    accumulated_interest,
    demand_settlements,
    next_settlement,
)
from backoffice.products.rates import Rate, divide
from backoffice.products.tiers import Tier, TierMode, Tiers

DEMAND = Rate.from_percent("0.35")
START = date(2026, 1, 1)


def test_accumulated_balance_by_hand() -> None:
    entries = [
        BalanceFrom(date(2026, 1, 1), 1_000_050),  # 10,000.50: the half yuan earns nothing
        BalanceFrom(date(2026, 1, 11), 400_000),
        BalanceFrom(date(2026, 1, 16), -5_000),  # overdrawn: nothing
        BalanceFrom(date(2026, 1, 20), 100_000),
    ]
    assert accumulated_balance(entries, date(2026, 1, 1), date(2026, 1, 21)) == 1_000_000 * 10 + 400_000 * 5 + 100_000
    assert accumulated_balance(entries, date(2025, 12, 1), date(2026, 1, 2)) == 1_000_000


@given(
    st.dictionaries(st.integers(0, 120), st.integers(-(10**6), 10**10), max_size=12),
    st.integers(0, 120),
    st.integers(0, 120),
    st.sampled_from(TierMode),
)
def test_interest_is_what_counting_day_by_day_gives(
    balances: dict[int, int], first: int, length: int, mode: TierMode
) -> None:
    tiers = Tiers(
        (Tier(0, DEMAND), Tier(5_000_000, Rate.from_percent("0.55")), Tier(10**9, Rate.from_percent("1"))), mode
    )
    entries = [BalanceFrom(START + timedelta(days=n), balances[n]) for n in sorted(balances)]
    exact = Fraction(0)
    for n in range(first, first + length):
        known = [balances[k] for k in sorted(balances) if k <= n]
        whole_yuan = max(0, known[-1] if known else 0) // 100 * 100
        if mode is TierMode.WHOLE:
            rate = max((t for t in tiers.tiers if t.from_minor <= whole_yuan), key=lambda t: t.from_minor).rate
            exact += whole_yuan * rate.fraction / 360
        else:
            bounds = [t.from_minor for t in tiers.tiers] + [10**18]
            for tier, bound in zip(tiers.tiers, bounds[1:], strict=True):
                exact += max(0, min(whole_yuan, bound) - tier.from_minor) * tier.rate.fraction / 360
    start = START + timedelta(days=first)
    got = accumulated_interest(entries, start, start + timedelta(days=length), tiers)
    assert got == divide(exact.numerator, exact.denominator)


def test_demand_interest_is_settled_on_the_20th_and_earns_from_the_21st() -> None:
    entries = [BalanceFrom(date(2026, 1, 1), 100_000_000)]
    lower = Rate.from_percent("0.05")
    found = demand_settlements(
        entries,
        date(2026, 1, 1),
        date(2026, 7, 1),
        lambda day: Tiers.flat(DEMAND if day < date(2026, 6, 20) else lower),
        closes=True,
    )
    assert [(s.start, s.end, s.closing) for s in found] == [
        (date(2026, 1, 1), date(2026, 3, 21), False),
        (date(2026, 3, 21), date(2026, 6, 21), False),
        (date(2026, 6, 21), date(2026, 7, 1), True),
    ]
    # 79 days at 0.35 %: 1,000,000 x 0.0035 / 360 x 79 = 768.06
    assert found[0].interest_minor == 76_806
    # 92 days on 1,000,768 yuan; the rate of the settlement day holds for the whole quarter: 0.05 %
    assert found[1].accumulated_minor_days == 100_076_800 * 92
    assert found[1].interest_minor == divide(100_076_800 * 92 * 5, 360 * 10_000)
    assert not demand_settlements(entries, date(2026, 1, 1), date(2026, 3, 20), lambda _: Tiers.flat(DEMAND))


@pytest.mark.parametrize(
    ("day", "settles"),
    [
        (date(2026, 3, 20), date(2026, 3, 20)),
        (date(2026, 3, 21), date(2026, 6, 20)),
        (date(2026, 12, 21), date(2027, 3, 20)),
        (date(2026, 10, 1), date(2026, 12, 20)),
    ],
)
def test_settlement_days(day: date, settles: date) -> None:
    assert next_settlement(day) == settles


def test_term_deposit_on_time_early_and_late() -> None:
    deposit = TermDeposit(5_000_000, date(2025, 8, 31), 6, Rate.from_percent("1.30"))
    assert deposit.matures == date(2026, 2, 28)
    assert deposit.interest_minor(deposit.matures, DEMAND) == 32_500  # 50,000 x 1.3 % / 2
    # Two months and 10 odd days at the demand rate: 50,000 x 0.35 % x 70 / 360
    assert deposit.interest_minor(date(2025, 11, 10), DEMAND) == 3_403
    # Ten days late: 50,000 x 0.35 % x 10 / 360 = 4.86 more
    assert deposit.interest_minor(date(2026, 3, 10), DEMAND) == 32_500 + 486
    assert deposit.interest_minor(date(2025, 11, 10), DEMAND, 1_000_000) == 681
    again = deposit.rolled_over(Rate.from_percent("1.10"))
    assert (again.principal_minor, again.opened, again.matures) == (5_032_500, date(2026, 2, 28), date(2026, 8, 28))
    by_days = TermDeposit(5_000_000, date(2025, 8, 31), 6, Rate.from_percent("1.30"), DayCount.ACT_365)
    assert by_days.interest_minor(by_days.matures, DEMAND) == divide(5_000_000 * 13 * 181, 1000 * 365)
    with pytest.raises(ValueError, match="part_minor"):
        deposit.interest_minor(deposit.matures, DEMAND, 5_000_001)


NOTICE_RATE = Rate.from_percent("0.75")


@pytest.mark.parametrize(
    ("amount", "withdrawn", "notice", "outcome"),
    [
        (10_000_000, date(2026, 3, 12), Notice(date(2026, 3, 5), 10_000_000), NoticeOutcome.NOTICE_RATE),
        (10_000_000, date(2026, 3, 6), Notice(date(2026, 3, 1), 10_000_000), NoticeOutcome.HELD_TOO_SHORT),
        (10_000_000, date(2026, 3, 12), None, NoticeOutcome.NO_NOTICE),
        (10_000_000, date(2026, 3, 13), Notice(date(2026, 3, 5), 10_000_000), NoticeOutcome.NOT_ON_THE_DAY),
        (10_000_000, date(2026, 3, 11), Notice(date(2026, 3, 5), 10_000_000), NoticeOutcome.NOT_ON_THE_DAY),
        (4_000_000, date(2026, 3, 12), Notice(date(2026, 3, 5), 10_000_000), NoticeOutcome.BELOW_MINIMUM),
        (10_000_000, date(2026, 3, 12), Notice(date(2026, 3, 5), 6_000_000), NoticeOutcome.PARTLY),
    ],
)
def test_notice_deposit(amount: int, withdrawn: date, notice: Notice | None, outcome: NoticeOutcome) -> None:
    deposit = NoticeDeposit(date(2026, 3, 1), 7, 5_000_000)
    days = (withdrawn - deposit.opened).days
    at_notice = amount if outcome is NoticeOutcome.NOTICE_RATE else 6_000_000 if outcome is NoticeOutcome.PARTLY else 0
    # rates in hundred-thousandths: 0.75 % and 0.35 %
    expected = divide(at_notice * 75 * days, 3_600_000) + divide((amount - at_notice) * 35 * days, 3_600_000)
    assert deposit.interest_minor(amount, withdrawn, notice, NOTICE_RATE, DEMAND) == (expected, outcome)


def test_tiers_must_start_at_nought_and_ascend() -> None:
    with pytest.raises(ValueError, match="start at 0"):
        Tiers((Tier(1, DEMAND),))
    with pytest.raises(ValueError, match="ascend"):
        Tiers((Tier(0, DEMAND), Tier(0, DEMAND)))
    assert Tiers((Tier(0, Rate.from_percent(1)), Tier(100, Rate.from_percent(3)))).average_rate(
        200
    ) == Rate.from_percent(2)
