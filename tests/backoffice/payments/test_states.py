import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backoffice.payments.states import (
    ENDS,
    MOVES,
    Event,
    Kind,
    Outcome,
    Payment,
    State,
    diagram,
    settle,
    step,
)

AMOUNT = {Kind.AUTHORISE: 1000, Kind.CAPTURE: 800, Kind.REFUND: 300}


def event(kind: Kind, amount: int | None = None, name: str = "") -> Event:
    return Event(name or kind.value, kind, AMOUNT.get(kind, 0) if amount is None else amount)


def payment(*events: Event, ordered: int = 1000) -> Payment:
    made = Payment(ordered)
    for each in events:
        done = step(made, each)
        assert done.outcome is Outcome.APPLIED, done.reason
        made = done.payment
        made.check_invariants()
    return made


IN_STATE = {
    State.CREATED: (),
    State.AUTHORISED: (event(Kind.AUTHORISE),),
    State.DECLINED: (event(Kind.DECLINE),),
    State.CAPTURED: (event(Kind.AUTHORISE), event(Kind.CAPTURE)),
    State.VOIDED: (event(Kind.AUTHORISE), event(Kind.VOID)),
    State.EXPIRED: (event(Kind.AUTHORISE), event(Kind.EXPIRE)),
    State.PARTLY_REFUNDED: (event(Kind.AUTHORISE), event(Kind.CAPTURE), event(Kind.REFUND)),
    State.REFUNDED: (event(Kind.AUTHORISE), event(Kind.CAPTURE), event(Kind.REFUND, 800)),
    State.REVERSED: (event(Kind.AUTHORISE), event(Kind.CAPTURE), event(Kind.REVERSE)),
}


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("kind", Kind)
def test_every_cell_of_the_table(state: State, kind: Kind) -> None:
    before = payment(*IN_STATE[state])
    assert before.state is state
    done = step(before, event(kind, name="another"))
    if (state, kind) in MOVES:
        assert done.outcome is Outcome.APPLIED
        done.payment.check_invariants()
    else:
        assert done.outcome in {Outcome.EARLY, Outcome.REFUSED}
        assert done.payment == before
        assert done.reason
    if state in ENDS:
        assert done.outcome is Outcome.REFUSED


def test_what_may_wait_for_an_earlier_event() -> None:
    waits = {
        (state, kind)
        for state in State
        for kind in Kind
        if step(payment(*IN_STATE[state]), event(kind, name="x")).outcome is Outcome.EARLY
    }
    assert waits == {
        (State.CREATED, Kind.CAPTURE),
        (State.CREATED, Kind.VOID),
        (State.CREATED, Kind.EXPIRE),
        (State.CREATED, Kind.REFUND),
        (State.CREATED, Kind.REVERSE),
        (State.AUTHORISED, Kind.REFUND),
        (State.AUTHORISED, Kind.REVERSE),
    }


@pytest.mark.parametrize(
    ("before", "asked", "most"),
    [
        ((), Kind.AUTHORISE, 1000),
        ((event(Kind.AUTHORISE, 900),), Kind.CAPTURE, 900),
        ((event(Kind.AUTHORISE), event(Kind.CAPTURE, 700)), Kind.REFUND, 700),
        ((event(Kind.AUTHORISE), event(Kind.CAPTURE, 700), event(Kind.REFUND, 600)), Kind.REFUND, 100),
    ],
)
def test_amounts_have_a_ceiling(before: tuple[Event, ...], asked: Kind, most: int) -> None:
    made = payment(*before)
    assert step(made, event(asked, most, "x")).outcome is Outcome.APPLIED
    for wrong in (most + 1, 0, -1):
        done = step(made, event(asked, wrong, "x"))
        assert done.outcome is Outcome.REFUSED
        assert f"from 1 to {most}" in done.reason
        assert done.payment == made


def test_a_void_has_no_amount_of_its_own() -> None:
    assert step(payment(event(Kind.AUTHORISE)), event(Kind.VOID, 5)).outcome is Outcome.REFUSED


def test_a_capture_releases_the_rest() -> None:
    made = payment(event(Kind.AUTHORISE))
    assert made.held_minor == 1000
    made = step(made, event(Kind.CAPTURE, 800)).payment
    assert (made.held_minor, made.net_minor) == (0, 800)
    assert step(made, event(Kind.CAPTURE, 200, "second")).outcome is Outcome.REFUSED


def test_refunds_add_up_and_no_reversal_follows() -> None:
    made = payment(
        event(Kind.AUTHORISE), event(Kind.CAPTURE), event(Kind.REFUND, 300, "a"), event(Kind.REFUND, 400, "b")
    )
    assert (made.state, made.net_minor) == (State.PARTLY_REFUNDED, 100)
    assert step(made, event(Kind.REVERSE)).outcome is Outcome.REFUSED
    assert step(made, event(Kind.REFUND, 100, "c")).payment.state is State.REFUNDED


def test_a_reversal_leaves_nothing() -> None:
    assert payment(event(Kind.AUTHORISE), event(Kind.CAPTURE), event(Kind.REVERSE)).net_minor == 0


def test_the_same_event_counts_once_and_another_under_its_id_is_a_conflict() -> None:
    made = payment(event(Kind.AUTHORISE), event(Kind.CAPTURE))
    assert step(made, event(Kind.CAPTURE)).outcome is Outcome.REPEATED
    done = step(made, event(Kind.CAPTURE, 799))
    assert (done.outcome, done.payment) == (Outcome.CONFLICT, made)
    assert "capture of 800" in done.reason


def test_an_order_of_nothing_is_none() -> None:
    with pytest.raises(ValueError, match="ordered_minor"):
        Payment(0)


def test_capture_against_void() -> None:
    """What excludes itself: the first counts, the other is work for a person."""
    done = settle(Payment(1000), [event(Kind.VOID), event(Kind.CAPTURE), event(Kind.AUTHORISE)])
    assert done.payment.state is State.VOIDED
    assert [refused.kind for refused, _ in done.refused] == [Kind.CAPTURE]
    assert not done.early


def test_what_never_becomes_possible_stays_waiting_once() -> None:
    refund = event(Kind.REFUND)
    done = settle(Payment(1000), [refund, event(Kind.AUTHORISE), refund])
    assert (done.payment.state, done.early, done.refused) == (State.AUTHORISED, (refund,), ())


@st.composite
def histories(draw: st.DrawFn) -> list[Event]:
    """Sound ones: authorised, then captured and refunded bit by bit, or let go."""
    authorised = draw(st.integers(1, 1000))
    events = [event(Kind.AUTHORISE, authorised)]
    end = draw(st.sampled_from(["capture", "void", "expire", "open"]))
    if end == "capture":
        left = draw(st.integers(1, authorised))
        events.append(event(Kind.CAPTURE, left))
        for number in range(draw(st.integers(0, 4))):
            if left:
                part = draw(st.integers(1, left))
                events.append(event(Kind.REFUND, part, f"refund {number}"))
                left -= part
    elif end != "open":
        events.append(event(Kind(end)))
    return events


@given(histories(), st.randoms(use_true_random=False))
def test_order_and_repetition_do_not_matter(history: list[Event], chance: random.Random) -> None:
    """Every event twice or three times, shuffled: the same payment."""
    wanted = settle(Payment(1000), history)
    assert not wanted.early
    assert not wanted.refused
    heap = [each for each in history for _ in range(chance.randint(2, 3))]
    chance.shuffle(heap)
    made = settle(Payment(1000), heap)
    assert not made.early
    assert not made.refused
    assert set(made.payment.events) == set(wanted.payment.events)
    for name in ("state", "authorised_minor", "captured_minor", "refunded_minor"):
        assert getattr(made.payment, name) == getattr(wanted.payment, name)


@given(st.lists(st.builds(Event, st.sampled_from("abcdef"), st.sampled_from(Kind), st.integers(-2, 12)), max_size=25))
def test_no_heap_of_events_breaks_a_payment(heap: list[Event]) -> None:
    settle(Payment(10), heap).payment.check_invariants()


def test_the_diagram_shows_every_move() -> None:
    drawn = diagram()
    assert all(f"{source} -> {target}" in drawn for (source, _), target in MOVES.items())
