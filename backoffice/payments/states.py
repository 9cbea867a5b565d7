"""The life of a payment as a table: authorise, capture, void, expire, refund, reverse.

A payment is what its accepted events make of it. Rails tell of events by callbacks that come twice, late and in any
order, so `step` answers every event with one of five outcomes and never raises for what a rail may say. The moves
follow the two-phase transfers of the engine: a hold is captured once, wholly or in part, and the capture releases
the rest.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum


class State(StrEnum):
    """Where a payment stands."""

    CREATED = "created"
    AUTHORISED = "authorised"
    """Funds are held."""
    DECLINED = "declined"
    CAPTURED = "captured"
    VOIDED = "voided"
    EXPIRED = "expired"
    PARTLY_REFUNDED = "partly_refunded"
    REFUNDED = "refunded"
    REVERSED = "reversed"
    """冲正: undone as a whole, as if it had not been."""


class Kind(StrEnum):
    """What can happen to a payment."""

    AUTHORISE = "authorise"
    DECLINE = "decline"
    CAPTURE = "capture"
    VOID = "void"
    EXPIRE = "expire"
    REFUND = "refund"
    REVERSE = "reverse"


class Outcome(StrEnum):
    """What came of an event."""

    APPLIED = "applied"
    REPEATED = "repeated"
    """The same event as before: nothing to do."""
    EARLY = "early"
    """It presupposes an event that has not come yet: keep it and try again after the next one."""
    REFUSED = "refused"
    """The state or the amount does not allow it, and waiting will not help: work for a person."""
    CONFLICT = "conflict"
    """The id is known with another content: one of the two is wrong."""


MOVES: dict[tuple[State, Kind], State] = {
    (State.CREATED, Kind.AUTHORISE): State.AUTHORISED,
    (State.CREATED, Kind.DECLINE): State.DECLINED,
    (State.AUTHORISED, Kind.CAPTURE): State.CAPTURED,
    (State.AUTHORISED, Kind.VOID): State.VOIDED,
    (State.AUTHORISED, Kind.EXPIRE): State.EXPIRED,
    (State.CAPTURED, Kind.REFUND): State.PARTLY_REFUNDED,  # or REFUNDED, when nothing is left
    (State.PARTLY_REFUNDED, Kind.REFUND): State.PARTLY_REFUNDED,
    (State.CAPTURED, Kind.REVERSE): State.REVERSED,
}

_BEFORE: dict[Kind, frozenset[State]] = {
    Kind.CAPTURE: frozenset({State.CREATED}),
    Kind.VOID: frozenset({State.CREATED}),
    Kind.EXPIRE: frozenset({State.CREATED}),
    Kind.REFUND: frozenset({State.CREATED, State.AUTHORISED}),
    Kind.REVERSE: frozenset({State.CREATED, State.AUTHORISED}),
}
"""States from which the event may still become possible."""

ENDS = frozenset({State.DECLINED, State.VOIDED, State.EXPIRED, State.REFUNDED, State.REVERSED})
"""States that nothing leaves."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that has happened. `id` is the teller's own and makes repetition visible.

    `amount_minor` counts for AUTHORISE, CAPTURE and REFUND; the other kinds take all there is and leave it at zero.
    """

    id: str
    kind: Kind
    amount_minor: int = 0


@dataclass(frozen=True, slots=True)
class Payment:
    """Amounts in minor units. Always 0 <= refunded <= captured <= authorised <= ordered."""

    ordered_minor: int
    state: State = State.CREATED
    authorised_minor: int = 0
    captured_minor: int = 0
    refunded_minor: int = 0
    events: tuple[Event, ...] = ()

    def __post_init__(self) -> None:
        if self.ordered_minor <= 0:
            raise ValueError(f"ordered_minor: {self.ordered_minor} is not above zero")

    @property
    def held_minor(self) -> int:
        """What is held and neither captured nor released."""
        return self.authorised_minor if self.state is State.AUTHORISED else 0

    @property
    def net_minor(self) -> int:
        """What the payment has moved for good."""
        return 0 if self.state is State.REVERSED else self.captured_minor - self.refunded_minor

    def check_invariants(self) -> None:
        """Raise AssertionError when amounts and state contradict each other. For tests and audits."""
        assert 0 <= self.refunded_minor <= self.captured_minor <= self.authorised_minor <= self.ordered_minor
        assert (self.state is State.REFUNDED) == (0 < self.captured_minor == self.refunded_minor)
        assert (self.state is State.PARTLY_REFUNDED) == (0 < self.refunded_minor < self.captured_minor)
        if self.state in {State.CREATED, State.DECLINED}:
            assert self.authorised_minor == 0
        if self.state in {State.AUTHORISED, State.VOIDED, State.EXPIRED}:
            assert self.authorised_minor > 0
            assert self.captured_minor == 0
        assert len({event.id for event in self.events}) == len(self.events)


@dataclass(frozen=True, slots=True)
class Step:
    """The payment after an event, what came of the event, and why if it was not applied."""

    payment: Payment
    outcome: Outcome
    reason: str = ""


def step(payment: Payment, event: Event) -> Step:
    """Let one event happen, or say why it does not. Only APPLIED changes the payment."""
    for known in payment.events:
        if known.id == event.id:
            if known == event:
                return Step(payment, Outcome.REPEATED)
            reason = f"{event.id} is known as {known.kind} of {known.amount_minor}"
            return Step(payment, Outcome.CONFLICT, reason)
    target = MOVES.get((payment.state, event.kind))
    if target is None:
        if payment.state in _BEFORE.get(event.kind, ()):
            return Step(payment, Outcome.EARLY, f"{event.kind} before the payment is ready for it: {payment.state}")
        return Step(payment, Outcome.REFUSED, f"{event.kind} is not possible: the payment is {payment.state}")
    limit = _limit_minor(payment, event.kind)
    if limit is not None and not 0 < event.amount_minor <= limit:
        return Step(payment, Outcome.REFUSED, f"amount: {event.amount_minor} is not from 1 to {limit}")
    if limit is None and event.amount_minor != 0:
        return Step(payment, Outcome.REFUSED, f"amount: {event.kind} takes all there is, not {event.amount_minor}")
    return Step(_moved(payment, event, target), Outcome.APPLIED)


def _limit_minor(payment: Payment, kind: Kind) -> int | None:
    """The most that an event may be about; None where it has no amount of its own."""
    match kind:
        case Kind.AUTHORISE:
            return payment.ordered_minor
        case Kind.CAPTURE:
            return payment.authorised_minor
        case Kind.REFUND:
            return payment.captured_minor - payment.refunded_minor
        case _:
            return None


def _moved(payment: Payment, event: Event, target: State) -> Payment:
    authorised, captured, refunded = payment.authorised_minor, payment.captured_minor, payment.refunded_minor
    match event.kind:
        case Kind.AUTHORISE:
            authorised = event.amount_minor
        case Kind.CAPTURE:
            captured = event.amount_minor
        case Kind.REFUND:
            refunded += event.amount_minor
            target = State.REFUNDED if refunded == captured else State.PARTLY_REFUNDED
        case _:
            pass
    return replace(
        payment,
        state=target,
        authorised_minor=authorised,
        captured_minor=captured,
        refunded_minor=refunded,
        events=(*payment.events, event),
    )


@dataclass(frozen=True, slots=True)
class Settled:
    """A payment after a heap of events; `early` still waits, `refused` is work for a person."""

    payment: Payment
    early: tuple[Event, ...]
    refused: tuple[tuple[Event, str], ...]


def settle(payment: Payment, events: Iterable[Event]) -> Settled:
    """Apply events in whatever order makes them possible; of those possible at once, in the order given.

    What a sound history makes of a payment does not depend on the order or the number of times in which its events
    arrive. Two events that exclude each other (a capture and a void) are not a sound history: the first one counts.
    """
    waiting = list(events)
    refused: list[tuple[Event, str]] = []
    moved = True
    while moved:
        moved = False
        early: list[Event] = []
        for event in waiting:
            done = step(payment, event)
            payment = done.payment
            moved = moved or done.outcome is Outcome.APPLIED
            if done.outcome is Outcome.EARLY:
                early.append(event)
            elif done.outcome in {Outcome.REFUSED, Outcome.CONFLICT}:
                refused.append((event, done.reason))
        waiting = early
    return Settled(payment, tuple(dict.fromkeys(waiting)), tuple(refused))


def diagram() -> str:
    """The table as a Graphviz graph, for the documentation."""
    lines = [f"  {source} -> {target} [label={kind}];" for (source, kind), target in MOVES.items()]
    lines += [f"  {source} -> {State.REFUNDED} [label={Kind.REFUND}];" for source in ("captured", "partly_refunded")]
    return "\n".join(["digraph payment {", *lines, "}"])
