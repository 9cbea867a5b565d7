"""The simulated rail: deterministic, once for each reference, and its file is its book."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backoffice.payments.railfile import read
from backoffice.payments.reasons import text_of
from backoffice.payments.reconcile import Kind, LedgerItem, reconcile
from backoffice.payments.states import State
from backoffice.rails.planting import Plant, planted
from backoffice.rails.simulator import LATE, REFUSALS, RETURNED, RULES, Rules, Simulator
from backoffice.rails.wire import EventKind, IncomingIn, Operation, OperationIn, RailKind, Status

NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)


def machine(kind: RailKind = RailKind.CARD, seed: int = 1, **rules: Any) -> Simulator:
    base = RULES[kind]
    made = {name: getattr(base, name) for name in Rules.__slots__} | rules  # type: ignore[attr-defined]
    return Simulator(kind.value, kind, seed, Rules(**made))


def order(reference: str, operation: str = "authorise", amount: int = 1_000, payment: str = "p") -> OperationIn:
    return OperationIn(
        reference=reference, operation=Operation(operation), payment=payment, amount_minor=amount
    )  # fmt: skip


STEPS = st.one_of(
    st.tuples(
        st.just("ask"),
        st.integers(0, 12),
        st.sampled_from(Operation),
        st.integers(0, 3),
        st.sampled_from([0, 1, 400, 500, 551, 568, 1000, 1004, 1017, 6_000_000]),
        st.booleans(),
    ),
    st.tuples(st.just("outside"), st.integers(0, 3), st.sampled_from([EventKind.CREDIT, EventKind.DEBIT]),
              st.sampled_from([300, 317, 999]), st.booleans()),
    st.tuples(st.just("wait"), st.integers(0, 100)),
)  # fmt: skip


def run(rail: Simulator, steps: list[Any], *, twice: bool = False) -> list[Any]:
    """Do steps a second apart; `twice` does each again, which must change nothing."""
    told: list[Any] = []
    now = NOW
    for step in steps:
        now += timedelta(hours=step[1]) if step[0] == "wait" else timedelta(seconds=1)
        for _ in range(2 if twice else 1):
            match step:
                case ("ask", number, operation, payment, amount, collect):
                    request = OperationIn(
                        reference=f"r{number}", operation=operation, payment=f"p{payment}", amount_minor=amount,
                        collect=collect,
                    )  # fmt: skip
                    answer = rail.ask(request, now)
                case ("outside", number, kind, amount, agreed):
                    asked = IncomingIn(kind=kind, name=f"o{number}", amount_minor=amount)
                    event = rail.incoming(asked, now)
                    if event is not None and kind is EventKind.DEBIT:
                        rail.collected(event, agreed, now)
                        rail.collected(event, not agreed, now)
                    answer = None
                case _:
                    rail.advance(now)
                    answer = None
        told.append(answer)
        rail.check_invariants()
    return told


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(RailKind), st.lists(STEPS, max_size=25), st.integers(0, 5))
def test_the_same_again_is_the_same(kind: RailKind, steps: list[Any], seed: int) -> None:
    """Two machines agree in everything, and asking each thing twice makes no difference."""
    one, other = machine(kind, seed, declines_ppm=200_000), machine(kind, seed, declines_ppm=200_000)
    assert run(one, steps) == run(other, steps, twice=True)
    assert (one.events, one.items, one.book) == (other.events, other.items, other.book)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(RailKind), st.lists(STEPS, max_size=25))
def test_the_file_is_the_book(kind: RailKind, steps: list[Any]) -> None:
    """Every day's file is sound; all of them together match a ledger that has booked every event."""
    rail = machine(kind)
    run(rail, steps)
    rail.advance(rail.now + timedelta(days=8))
    assert all(paid.payment.state is not State.AUTHORISED for paid in rail.book.values())
    days = {item.day for item in rail.items}
    items = []
    for day in days:
        found = read(rail.rules.form, rail.file(day))
        assert found.sound, found.findings
        assert (found.rail, found.day) == (kind.value, day)
        items += found.items
    ledger = [
        LedgerItem(f"t{number}", item.our_reference, item.amount_minor, item.currency, item.day)
        for number, item in enumerate(rail.items)
    ]
    assert reconcile(items, ledger).agrees


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(Plant), max_size=6), st.integers(0, 1000), st.sampled_from([0, RETURNED]))
def test_what_is_planted_is_found_and_nothing_else(wanted: list[Plant], seed: int, cents: int) -> None:
    """Also when payments have two movements, there and back."""
    rail = machine(RailKind.INTERBANK, seed)
    for number in range(8):
        rail.ask(order(f"r{number}", amount=1_000 + 1_000 * number + cents, payment=f"p{number}"), NOW)
    rail.advance(NOW + timedelta(seconds=5))
    day = rail.items[0].day
    false, done = planted(rail.day(day), wanted, seed, "interbank")
    assert len(done) == len(wanted)
    ledger = [
        LedgerItem(f"t{number}", item.our_reference, item.amount_minor, item.currency, item.day)
        for number, item in enumerate(rail.items)
    ]
    found = read(rail.rules.form, rail.file(day, false))
    assert found.sound, found.findings
    kinds = {
        Plant.MISSING: Kind.NOT_AT_RAIL, Plant.UNKNOWN: Kind.NOT_IN_LEDGER, Plant.AMOUNT: Kind.AMOUNT,
        Plant.TWICE: Kind.NOT_IN_LEDGER,
    }  # fmt: skip
    differences = reconcile(found.items, ledger).differences
    assert sorted(each.kind for each in differences) == sorted(kinds[each.plant] for each in done)


@pytest.mark.parametrize("code", sorted(REFUSALS))
def test_amounts_that_are_refused(code: int) -> None:
    answer = machine().ask(order("r", amount=1_000 + code), NOW)
    assert answer is not None
    assert (answer.status, answer.code) == (Status.DECLINED, f"{code:02d}")
    assert [event.kind for event in answer.events] == [EventKind.DECLINE]


def test_every_refusal_has_words_in_both_languages() -> None:
    for code in (*REFUSALS, 12, 13, 25, 94):
        assert {language: text_of(f"rail_{code:02d}", language).startswith("rail") for language in ("en", "zh")} == {
            "en": False, "zh": False
        }  # fmt: skip


def test_another_order_under_a_known_reference() -> None:
    rail = machine()
    first = rail.ask(order("r"), NOW)
    assert rail.ask(order("r", amount=2_000), NOW) is None
    assert rail.ask(order("r"), NOW) == first
    assert len(rail.events) == 1


def test_a_late_decision() -> None:
    rail = machine()
    answer = rail.ask(order("r", amount=1_000 + LATE), NOW)
    assert answer is not None
    assert (answer.status, answer.events) == (Status.PENDING, ())
    later = rail.answer_to("r", NOW + timedelta(seconds=2))
    assert later is not None
    assert (later.status, later.events[0].at) == (Status.DONE, NOW + timedelta(seconds=1))
    assert rail.answer_to("other", NOW + timedelta(seconds=2)) is None


def test_a_card_is_captured_in_part_and_given_back() -> None:
    rail = machine()
    steps = [
        ("authorise", 1_000, "done"),
        ("capture", 1_001, "declined"),
        ("capture", 700, "done"),
        ("void", 0, "declined"),
        ("refund", 300, "done"),
        ("refund", 401, "declined"),
        ("refund", 400, "done"),
        ("refund", 1, "declined"),
    ]
    for number, (operation, amount, status) in enumerate(steps):
        answer = rail.ask(order(f"r{number}", operation, amount), NOW)
        assert answer is not None
        assert answer.status == status, (number, answer)
    assert [(item.amount_minor, item.fee_minor) for item in rail.items] == [(-700, 3), (300, 0), (400, 0)]


def test_holds_end_and_transfers_return() -> None:
    card, bank = machine(), machine(RailKind.INTERBANK)
    card.ask(order("r"), NOW)
    bank.ask(order("r", amount=1_004), NOW)
    for rail in (card, bank):
        rail.advance(NOW + timedelta(days=8))
    assert [event.kind for event in card.events] == [EventKind.AUTHORISE, EventKind.EXPIRE]
    assert [event.kind for event in bank.events] == [EventKind.AUTHORISE, EventKind.CAPTURE, EventKind.REVERSE]
    assert [item.amount_minor for item in bank.items] == [-1_004, 1_004]


def test_time_does_not_go_back() -> None:
    rail = machine()
    rail.advance(NOW)
    with pytest.raises(ValueError, match="is before"):
        rail.advance(NOW - timedelta(seconds=1))
