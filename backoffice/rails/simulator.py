"""A rail as the office sees it from outside: decides, keeps a book, expires, settles. Pure, seeded, deterministic.

The state is a function of what it was told and when: the same requests at the same times make the same answers,
events, references and file. It draws no random numbers: what is left to chance follows from the seed and the
reference. Time comes in with each call and never goes back.

Decisions follow the last two digits of an amount, as the test systems of card schemes do: they are the response codes
of ISO 8583 (field 39), so 10.51 is refused for want of funds. Codes with another meaning here: see `LATE`, `RETURNED`.
"""

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from typing import Final

from backoffice.payments import states
from backoffice.payments.limits import day_of
from backoffice.payments.railfile import Format, RailItem, write
from backoffice.rails.wire import AnswerOut, EventKind, EventOut, IncomingIn, Operation, OperationIn, RailKind, Status

REFUSALS: Final = {
    5: "do not honour",
    14: "no such account",
    51: "not sufficient funds",
    54: "expired instrument",
    57: "not permitted to the holder",
    61: "exceeds the amount limit",
    62: "restricted",
}
"""By response code of ISO 8583-1:1987."""
LATE: Final = 68
"""The answer comes later, as an event: taken, and decided after `Rules.late_s`."""
CANCELLED: Final = 17
"""Who collects gives up after we have agreed (customer cancellation)."""
RETURNED: Final = 4
"""An interbank credit is returned after it was settled (退汇), as a pacs.004 would."""
CREATED: Final = states.State.CREATED
BEGINNING: Final = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Rules:
    """Terms of a simulated rail. Amounts in minor units, shares and fees in parts per million."""

    limit_minor: int = 5_000_000
    currencies: frozenset[str] = frozenset({"CNY"})
    declines_ppm: int = 0
    """Refused by chance, beside those that the amount asks for."""
    lates_ppm: int = 0
    late_s: float = 1.0
    returns_s: float = 2.0
    expires_s: float = 7 * 86_400.0
    """After which an authorisation that was not captured is void."""
    clears_s: float = 1.0
    """After which what was collected with a code or a card is captured."""
    fee_ppm: int = 3_800
    at_once: bool = False
    """An authorisation is captured with it: wallets, codes and transfers have one message, cards have two."""
    form: Format = Format.PIPE


RULES: Final = {
    RailKind.CARD: Rules(),
    RailKind.WALLET: Rules(at_once=True, clears_s=0.0, fee_ppm=6_000, form=Format.CSV),
    RailKind.QR: Rules(at_once=True, clears_s=0.0, fee_ppm=3_800, form=Format.CSV),
    RailKind.INTERBANK: Rules(at_once=True, fee_ppm=0, limit_minor=100_000_000_000),
}


@dataclass(frozen=True, slots=True)
class Paid:
    """A payment in the rail's book. `inwards`: the office gets the money."""

    name: str
    payment: states.Payment
    currency: str
    inwards: bool


@dataclass(frozen=True, slots=True)
class Done:
    """An operation and its answer so far."""

    request: OperationIn
    answer: AnswerOut


@dataclass(frozen=True, slots=True, order=True)
class _Due:
    """Something that happens by itself: a late decision, an expiry, a return."""

    at: datetime
    number: int
    what: str
    name: str


@dataclass(slots=True)
class Simulator:
    """One rail. `events` is everything that ever happened, in order; callbacks tell of them."""

    name: str
    kind: RailKind
    seed: int
    rules: Rules
    book: dict[str, Paid] = field(default_factory=dict)
    operations: dict[str, Done] = field(default_factory=dict)
    events: list[EventOut] = field(default_factory=list)
    items: list[RailItem] = field(default_factory=list)
    now: datetime = BEGINNING
    _due: list[_Due] = field(default_factory=list)
    _numbers: int = 0

    # --- what comes in -------------------------------------------------------------------------------

    def ask(self, request: OperationIn, now: datetime) -> AnswerOut | None:
        """Do an operation, once for each reference. None: the reference is known with another content."""
        self.advance(now)
        known = self.operations.get(request.reference)
        if known is not None:
            return known.answer if known.request == request else None
        late = request.amount_minor % 100 == LATE or self._chance("late", request.reference) < self.rules.lates_ppm
        if late and request.operation is Operation.AUTHORISE:
            self._later(self.rules.late_s, "decide", request.reference)
            answer = AnswerOut(reference=request.reference, status=Status.PENDING)
        else:
            answer = self._decided(request)
        self.operations[request.reference] = Done(request, answer)
        return answer

    def answer_to(self, reference: str, now: datetime) -> AnswerOut | None:
        """Say how far an operation is. None: it never arrived."""
        self.advance(now)
        known = self.operations.get(reference)
        return known.answer if known else None

    def incoming(self, asked: IncomingIn, now: datetime) -> EventOut | None:
        """Let somebody outside pay in (CREDIT), or collect with a code (DEBIT). None: the name is known already.

        A credit is settled at once. A debit is in the book only when the office has agreed: `collected`.
        """
        self.advance(now)
        name, amount = asked.name, asked.amount_minor
        if name in self.book:
            return None
        self.book[name] = Paid(name, states.Payment(amount), asked.currency, asked.kind is EventKind.CREDIT)
        event = self._event(asked.kind, name, "", amount, asked.currency, instrument=asked.instrument)
        if asked.kind is EventKind.CREDIT:
            self._move(name, states.Event(event.id, states.Kind.AUTHORISE, amount))
            self._move(name, states.Event(event.id + ".c", states.Kind.CAPTURE, amount))
            self._settle(event, amount)
        return event

    def collected(self, event: EventOut, agreed: bool, now: datetime) -> None:
        """Note what the office has answered to a debit; saying so again changes nothing."""
        self.advance(now)
        if self.book[event.payment].payment.state is not CREATED:
            return
        if not agreed:
            self._move(event.payment, states.Event(event.id, states.Kind.DECLINE))
            return
        self._move(event.payment, states.Event(event.id, states.Kind.AUTHORISE, event.amount_minor))
        self._later(self.rules.clears_s, "clear", event.payment)
        self.advance(now)

    # --- time ----------------------------------------------------------------------------------------

    @property
    def next_at(self) -> datetime | None:
        """When something happens by itself next."""
        return self._due[0].at if self._due else None

    def advance(self, now: datetime) -> None:
        """Let everything happen that is due. Raises ValueError when time goes back."""
        if now < self.now:
            raise ValueError(f"now: {now} is before {self.now}")
        while self._due and self._due[0].at <= now:
            due = heapq.heappop(self._due)
            self.now = max(self.now, due.at)
            match due.what:
                case "decide":
                    done = self.operations[due.name]
                    self.operations[due.name] = replace(done, answer=self._decided(done.request))
                case "expire":
                    self._own(due.name, EventKind.EXPIRE)
                case "clear":
                    amount = self.book[due.name].payment.authorised_minor
                    self._own(due.name, EventKind.VOID if amount % 100 == CANCELLED else EventKind.CAPTURE)
                case _:
                    self._own(due.name, EventKind.REVERSE)
        self.now = now

    def _later(self, seconds: float, what: str, name: str) -> None:
        heapq.heappush(self._due, _Due(self.now + timedelta(seconds=seconds), self._number(), what, name))

    def _own(self, name: str, kind: EventKind) -> None:
        """What happens without an order of the office, if the payment still allows it."""
        paid = self.book[name]
        before = paid.payment
        amount = before.authorised_minor if kind is EventKind.CAPTURE else 0
        move = states.Kind(kind.value)
        if states.step(before, states.Event("probe", move, amount)).outcome is not states.Outcome.APPLIED:
            return
        event = self._event(kind, name, "", amount, paid.currency)
        self._move(name, states.Event(event.id, move, amount))
        if kind is EventKind.CAPTURE:
            self._settle(event, amount)
        elif kind is EventKind.REVERSE:
            self._settle(event, -before.captured_minor)

    # --- decisions -----------------------------------------------------------------------------------

    def _decided(self, request: OperationIn) -> AnswerOut:
        if request.operation is Operation.AUTHORISE:
            return self._authorise(request)
        paid = self.book.get(request.payment)
        if paid is None or paid.currency != request.currency:
            return self._refused(request, "25", "no such payment", EventKind.REFUSE)
        kind = states.Kind(request.operation.value)
        done = states.step(paid.payment, states.Event(request.reference, kind, request.amount_minor))
        if done.outcome is not states.Outcome.APPLIED:
            return self._refused(request, "12", done.reason, EventKind.REFUSE)
        event = self._event(
            EventKind(kind.value), request.payment, request.reference, request.amount_minor, paid.currency
        )
        self._move(request.payment, states.Event(request.reference, kind, request.amount_minor))
        if kind is states.Kind.CAPTURE:
            self._settle(event, request.amount_minor)
        elif kind is states.Kind.REFUND:
            self._settle(event, -request.amount_minor)
        return AnswerOut(reference=request.reference, status=Status.DONE, events=(event,))

    def _authorise(self, request: OperationIn) -> AnswerOut:
        code, reason = self._refusal(request)
        if code:
            return self._refused(request, code, reason, EventKind.DECLINE)
        amount = request.amount_minor
        self.book[request.payment] = Paid(request.payment, states.Payment(amount), request.currency, request.collect)
        events = [self._event(EventKind.AUTHORISE, request.payment, request.reference, amount, request.currency)]
        self._move(request.payment, states.Event(request.reference, states.Kind.AUTHORISE, amount))
        if self.rules.at_once:
            events.append(self._event(EventKind.CAPTURE, request.payment, request.reference, amount, request.currency))
            self._move(request.payment, states.Event(f"{request.reference}.c", states.Kind.CAPTURE, amount))
            self._settle(events[-1], amount)
            if self.kind is RailKind.INTERBANK and amount % 100 == RETURNED:
                self._later(self.rules.returns_s, "return", request.payment)
        else:
            self._later(self.rules.expires_s, "expire", request.payment)
        return AnswerOut(reference=request.reference, status=Status.DONE, events=tuple(events))

    def _refusal(self, request: OperationIn) -> tuple[str, str]:
        amount = request.amount_minor
        if request.payment in self.book:
            return "94", "the payment is known"
        if amount == 0 or request.currency not in self.rules.currencies:
            return "13", "no such amount"
        if amount > self.rules.limit_minor:
            return "61", REFUSALS[61]
        if amount % 100 in REFUSALS:
            return f"{amount % 100:02d}", REFUSALS[amount % 100]
        if self._chance("decline", request.reference) < self.rules.declines_ppm:
            return "05", REFUSALS[5]
        return "", ""

    def _refused(self, request: OperationIn, code: str, reason: str, kind: EventKind) -> AnswerOut:
        event = self._event(kind, request.payment, request.reference, 0, request.currency, code=code, reason=reason)
        return AnswerOut(reference=request.reference, status=Status.DECLINED, code=code, reason=reason, events=(event,))

    # --- book ----------------------------------------------------------------------------------------

    def _move(self, name: str, event: states.Event) -> None:
        paid = self.book[name]
        done = states.step(paid.payment, event)
        assert done.outcome is states.Outcome.APPLIED, done.reason
        self.book[name] = replace(paid, payment=done.payment)

    def _event(
        self,
        kind: EventKind,
        payment: str,
        reference: str,
        amount_minor: int,
        currency: str = "CNY",
        *,
        code: str = "",
        reason: str = "",
        instrument: Mapping[str, str] | None = None,
    ) -> EventOut:
        number = self._number()
        event = EventOut(
            id=f"{self.name}-E{number:08d}",
            kind=kind,
            reference=reference,
            payment=payment,
            rail_reference=f"{self.name}-{self._mark(number)}",
            amount_minor=amount_minor,
            currency=currency,
            at=self.now,
            code=code,
            reason=reason,
            instrument=dict(instrument or {}),
        )
        self.events.append(event)
        return event

    def _settle(self, event: EventOut, moved_minor: int) -> None:
        """Note a movement for the day's file: above zero the payment's own way, below zero back. Fees are on the way.

        The file's sign is the office's (`railfile.RailItem`): above zero the rail owes it.
        """
        signed = moved_minor if self.book[event.payment].inwards else -moved_minor
        fee = (max(0, moved_minor) * self.rules.fee_ppm + 500_000) // 1_000_000
        item = RailItem(event.rail_reference, event.payment, event.kind, signed, event.currency, day_of(self.now), fee)
        self.items.append(item)

    def day(self, day: date) -> tuple[RailItem, ...]:
        """What was settled on a day."""
        return tuple(item for item in self.items if item.day == day)

    def file(self, day: date, planted: Sequence[RailItem] | None = None) -> bytes:
        """Write the day's settlement file; `planted` stands in the place of what is true."""
        return write(self.rules.form, self.name, day, self.day(day) if planted is None else planted)

    def check_invariants(self) -> None:
        """Raise AssertionError when the book, the events and the file contradict each other."""
        sums: dict[str, int] = {}
        for item in self.items:
            sums[item.our_reference] = sums.get(item.our_reference, 0) + item.amount_minor
        for name, paid in self.book.items():
            paid.payment.check_invariants()
            assert sums.pop(name, 0) == (paid.payment.net_minor if paid.inwards else -paid.payment.net_minor)
        assert not sums
        assert len({event.id for event in self.events}) == len(self.events)

    # --- chance --------------------------------------------------------------------------------------

    def _number(self) -> int:
        self._numbers += 1
        return self._numbers

    def _mark(self, number: int) -> str:
        return sha256(f"{self.seed}:{self.name}:{number}".encode()).hexdigest()[:16].upper()

    def _chance(self, purpose: str, reference: str) -> int:
        """A number from 0 to 999,999, the same for the same seed, purpose and reference."""
        return chance(self.seed, purpose, reference)


def chance(seed: int, purpose: str, name: str) -> int:
    """Parts per million that look like chance, and are the same each time."""
    return int.from_bytes(sha256(f"{seed}:{purpose}:{name}".encode()).digest()[:8], "big") % 1_000_000
