import pytest
from hypothesis import given
from hypothesis import strategies as st

from backoffice.payments.fees import FREE, FeeRule, FeeSchedule, schedule_for
from backoffice.products.rates import Rate, Rounding
from backoffice.products.tiers import Tier, TierMode, Tiers


def percent(text: str) -> Tiers:
    return Tiers.flat(Rate.from_percent(text))


@pytest.mark.parametrize(
    ("amount", "fee"),
    [
        (1, 200),  # the minimum
        (200_000, 200),
        (200_001, 200),  # 0.1 % of it is 200.001, rounded down
        (250_500, 251),  # 250.5: halves go up
        (50_000_000, 5_000),  # the maximum
    ],
)
def test_a_share_between_two_bounds(amount: int, fee: int) -> None:
    schedule = FeeSchedule(tiers=percent("0.1"), minimum_minor=200, maximum_minor=5_000)
    assert schedule.fee_minor(amount) == fee


def test_tiers_by_slices_and_as_a_whole() -> None:
    steps = (Tier(0, Rate.from_percent("1")), Tier(10_000, Rate.from_percent("0.5")))
    assert FeeSchedule(tiers=Tiers(steps)).fee_minor(20_000) == 150
    assert FeeSchedule(tiers=Tiers(steps, TierMode.WHOLE)).fee_minor(20_000) == 100


def test_fixed_part_free_part_and_rounding() -> None:
    schedule = FeeSchedule(fixed_minor=10, tiers=percent("1"), free_below_minor=1_000, rounding=Rounding.UP)
    assert (schedule.fee_minor(999), schedule.fee_minor(1_000), schedule.fee_minor(1_001)) == (0, 20, 21)
    assert FREE.fee_minor(10**18) == 0


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"fixed_minor": -1}, "fixed_minor"),
        ({"minimum_minor": -1}, "minimum_minor"),
        ({"minimum_minor": 5, "maximum_minor": 4}, "maximum_minor"),
        ({"tiers": percent("-0.1")}, "tiers"),
    ],
)
def test_a_schedule_without_sense_is_refused(wrong: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        FeeSchedule(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("amount", [0, -1])
def test_no_fee_for_nothing(amount: int) -> None:
    with pytest.raises(ValueError, match="amount_minor"):
        FREE.fee_minor(amount)


@given(st.integers(1, 10**15), st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**9))
def test_bounds_hold_and_more_never_costs_less(amount: int, minimum: int, above: int, parts: int) -> None:
    schedule = FeeSchedule(tiers=Tiers.flat(Rate(parts)), minimum_minor=minimum, maximum_minor=minimum + above)
    fee = schedule.fee_minor(amount)
    assert minimum <= fee <= minimum + above
    assert fee <= schedule.fee_minor(amount + 1)


def test_the_closest_rule_wins() -> None:
    rules = [
        FeeRule(FeeSchedule(fixed_minor=1)),
        FeeRule(FeeSchedule(fixed_minor=2), currency="USD"),
        FeeRule(FeeSchedule(fixed_minor=3), operation="transfer"),
        FeeRule(FeeSchedule(fixed_minor=4), channel="card"),
        FeeRule(FeeSchedule(fixed_minor=5), channel="card", operation="transfer", currency="CNY"),
    ]

    def fixed(channel: str, operation: str, currency: str) -> int:
        return schedule_for(rules, channel=channel, operation=operation, currency=currency).fixed_minor

    assert fixed("cash", "deposit", "CNY") == 1
    assert fixed("cash", "deposit", "USD") == 2
    assert fixed("cash", "transfer", "USD") == 3
    assert fixed("card", "transfer", "USD") == 4
    assert fixed("card", "transfer", "CNY") == 5
    assert schedule_for([], channel="card", operation="transfer", currency="CNY") == FREE


def test_rules_that_contradict_each_other() -> None:
    rules = [FeeRule(FeeSchedule(fixed_minor=n), channel="card") for n in (1, 2)]
    with pytest.raises(ValueError, match="two rules for card, transfer, CNY"):
        schedule_for(rules, channel="card", operation="transfer", currency="CNY")
