import random
from collections import Counter
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backoffice.payments.railfile import RailItem
from backoffice.payments.reconcile import Kind, LedgerItem, Result, Rule, Terms, reconcile

DAY = date(2026, 11, 23)


def at_rail(
    name: str, amount: int, ours: str = "", *, late: int = 0, currency: str = "CNY", batch: str = ""
) -> RailItem:
    return RailItem(name, ours, "capture", amount, currency, DAY + timedelta(late), batch=batch)


def booked(
    name: str, amount: int, ours: str = "", *, late: int = 0, currency: str = "CNY", rails: str = "", batch: str = ""
) -> LedgerItem:
    return LedgerItem(name, ours, amount, currency, DAY + timedelta(late), rails, batch)


def rules(result: Result) -> list[tuple[Rule, int, int]]:
    assert result.agrees, result.differences
    return [(match.rule, len(match.rail), len(match.ledger)) for match in result.matches]


def only(result: Result, kind: Kind) -> tuple[int, int]:
    assert [difference.kind for difference in result.differences] == [kind], result
    return result.differences[0].amount_minor, result.differences[0].days


def test_one_to_one() -> None:
    assert rules(reconcile([at_rail("r", 5, "p")], [booked("l", 5, "p", late=1)])) == [(Rule.REFERENCE, 1, 1)]
    assert rules(reconcile([at_rail("r", 5)], [booked("l", 5, rails="r")])) == [(Rule.RAIL_REFERENCE, 1, 1)]


def test_a_capture_and_its_refunds_share_a_name() -> None:
    rail = [at_rail("r1", 100, "p"), at_rail("r2", -30, "p"), at_rail("r3", -30, "p")]
    ledger = [booked("l1", 100, "p"), booked("l2", -30, "p"), booked("l3", -30, "p")]
    assert rules(reconcile(rail, ledger)) == [(Rule.REFERENCE, 1, 1)] * 3


def test_one_to_many_both_ways() -> None:
    parts = [booked(f"l{n}", n, "p") for n in (10, 20, 30)]
    assert rules(reconcile([at_rail("r", 60, "p")], parts)) == [(Rule.REFERENCE, 1, 3)]
    rail = [at_rail(f"r{n}", n, "p") for n in (10, 20, 30)]
    assert rules(reconcile(rail, [booked("l", 60, "p")])) == [(Rule.REFERENCE, 3, 1)]


def test_a_batch_in_one_sum() -> None:
    parts = [booked(f"l{n}", n, f"p{n}", batch="b") for n in (10, 20, 30)]
    assert rules(reconcile([at_rail("r", 60, batch="b")], parts)) == [(Rule.BATCH, 1, 3)]
    assert only(reconcile([at_rail("r", 61, batch="b")], parts), Kind.AMOUNT) == (1, 0)


def test_by_amount_and_day_only_when_nothing_else_fits() -> None:
    assert rules(reconcile([at_rail("r", 5)], [booked("l", 5, "p")])) == [(Rule.AMOUNT_AND_DAY, 1, 1)]
    two = reconcile([at_rail("r", 5)], [booked("l1", 5), booked("l2", 5)])
    assert not two.matches
    assert Counter(each.kind for each in two.differences) == {Kind.NOT_IN_LEDGER: 1, Kind.NOT_AT_RAIL: 2}
    other_names = reconcile([at_rail("r", 5, "p1")], [booked("l", 5, "p2")])
    assert not other_names.matches
    assert len(other_names.differences) == 2


def test_amounts_that_differ() -> None:
    assert only(reconcile([at_rail("r", 105, "p")], [booked("l", 100, "p")]), Kind.AMOUNT) == (5, 0)
    assert only(reconcile([at_rail("r", 95, "p")], [booked("l", 100, rails="r")]), Kind.AMOUNT) == (-5, 0)


def test_many_to_many_is_not_guessed() -> None:
    """Sums that agree by chance are no match."""
    result = reconcile([at_rail("r1", 10, "p"), at_rail("r2", -10, "p")], [booked("l1", 7, "p"), booked("l2", -7, "p")])
    assert only(result, Kind.AMOUNT) == (0, 0)


def test_days_that_differ() -> None:
    assert only(reconcile([at_rail("r", 5, "p")], [booked("l", 5, "p", late=3)]), Kind.DAY) == (0, 3)
    assert reconcile([at_rail("r", 5, "p")], [booked("l", 5, "p", late=3)], Terms(days_apart=3)).agrees
    nameless = reconcile([at_rail("r", 5)], [booked("l", 5, late=3)])
    assert len(nameless.differences) == 2


def test_currencies_that_differ() -> None:
    assert only(reconcile([at_rail("r", 5, "p", currency="USD")], [booked("l", 5, "p")]), Kind.CURRENCY) == (0, 0)


def test_the_rail_tells_it_twice() -> None:
    result = reconcile([at_rail("r", 5, "p"), at_rail("r", 5, "p")], [booked("l", 5, "p")])
    assert only(result, Kind.TWICE_AT_RAIL) == (5, 0)
    assert len(result.matches) == 1


def test_one_side_knows_nothing() -> None:
    assert only(reconcile([at_rail("r", 5, "p")], []), Kind.NOT_IN_LEDGER) == (5, 0)
    assert only(reconcile([], [booked("l", 5, "p")]), Kind.NOT_AT_RAIL) == (-5, 0)
    assert reconcile([], []).agrees


def test_a_proposal_of_parts_without_a_name() -> None:
    ledger = [booked("a", 10), booked("b", 25), booked("c", 40)]
    result = reconcile([at_rail("r", 35)], ledger)
    assert result.differences[0].proposal == ("a", "b")
    two_ways = reconcile([at_rail("r", 35)], [*ledger, booked("d", 10)])
    assert two_ways.differences[0].proposal == ()  # a or d: a person decides


def test_a_ledger_id_twice_is_our_own_fault() -> None:
    with pytest.raises(ValueError, match="l stands twice"):
        reconcile([], [booked("l", 1), booked("l", 1)])


def test_keys_stay() -> None:
    rail, ledger = [at_rail("r", 5, "p"), at_rail("x", 1)], [booked("l", 6, "p")]
    first, second = reconcile(rail, ledger), reconcile(rail[::-1], [*ledger, booked("new", 9)])
    assert {each.key for each in first.differences} < {each.key for each in second.differences}
    assert len({each.key for each in second.differences}) == 3


NAME = st.sampled_from(["", "p", "q"])
RAIL = st.builds(
    at_rail, st.text("rstu", min_size=1, max_size=2), st.integers(-4, 4), NAME,
    late=st.integers(0, 3), currency=st.sampled_from(["CNY", "USD"]), batch=st.sampled_from(["", "b"]),
)  # fmt: skip
LEDGER = st.builds(
    booked, st.text("klmn", min_size=1, max_size=2), st.integers(-4, 4), NAME, late=st.integers(0, 3),
    currency=st.sampled_from(["CNY", "USD"]), rails=st.sampled_from(["", "r", "s"]), batch=st.sampled_from(["", "b"]),
)  # fmt: skip


@given(
    st.lists(RAIL, max_size=8),
    st.lists(LEDGER, max_size=8, unique_by=lambda item: item.id),
    st.randoms(use_true_random=False),
)
def test_nothing_is_lost_and_order_does_not_matter(
    rail: list[RailItem], ledger: list[LedgerItem], chance: random.Random
) -> None:
    result = reconcile(rail, ledger)
    parts = [*result.matches, *result.differences]
    assert Counter(item for part in parts for item in part.rail) == Counter(rail)
    assert Counter(item for part in parts for item in part.ledger) == Counter(ledger)
    for match in result.matches:
        assert sum(item.amount_minor for item in match.rail) == sum(item.amount_minor for item in match.ledger)
        assert len({item.currency for item in (*match.rail, *match.ledger)}) == 1
        assert min(len(match.rail), len(match.ledger)) == 1
    for currency in ("CNY", "USD"):  # where no currencies met, the differences explain the two sides' difference
        if not any(each.kind is Kind.CURRENCY for each in result.differences):
            told = sum(each.amount_minor for each in result.differences if each.currency == currency)
            assert told == sum(i.amount_minor for i in rail if i.currency == currency) - sum(
                i.amount_minor for i in ledger if i.currency == currency
            )
    chance.shuffle(rail)
    chance.shuffle(ledger)
    again = reconcile(rail, ledger)
    assert Counter(again.matches) == Counter(result.matches)
    assert Counter(again.differences) == Counter(result.differences)


def test_a_large_day() -> None:
    """20,000 rows with 1 % differences."""
    rail = [at_rail(f"r{n}", n + (n % 100 == 0), f"p{n}") for n in range(1, 20_001)]
    ledger = [booked(f"l{n}", n, f"p{n}") for n in range(1, 20_001)]
    result = reconcile(rail, ledger)
    assert (len(result.matches), len(result.differences)) == (19_800, 200)
