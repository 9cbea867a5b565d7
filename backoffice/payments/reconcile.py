"""What a rail says against what the ledger says: matches, and a work list of differences.

Four passes, each over what the one before has left, from the surest to the least sure:

1. *reference*: items of both sides under our reference, or under the rail's: one to one first, then one to many.
2. *batch*: many entries that the rail settles in one sum, joined by the batch's name.
3. *amount and day*: without a common name, when exactly one item of either side fits.
4. what is left becomes differences, with a proposal where some of the other side's items sum to the amount.

The result does not depend on the order of the input, and nothing is lost: each item is in one match or one difference.
Fees are the rail's own entry and are not compared here.
"""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from itertools import combinations
from typing import TypeVar

from backoffice.payments.railfile import RailItem


@dataclass(frozen=True, slots=True)
class LedgerItem:
    """One posted movement on the rail's settlement account; the sign is the rail item's."""

    id: str
    our_reference: str
    amount_minor: int
    currency: str
    day: date
    rail_reference: str = ""
    batch: str = ""


class Rule(StrEnum):
    """What made a match."""

    REFERENCE = "reference"
    RAIL_REFERENCE = "rail_reference"
    BATCH = "batch"
    AMOUNT_AND_DAY = "amount_and_day"


@dataclass(frozen=True, slots=True)
class Match:
    """Items that say the same. One to one, one to many or many to one."""

    rule: Rule
    rail: tuple[RailItem, ...]
    ledger: tuple[LedgerItem, ...]


class Kind(StrEnum):
    """What does not agree."""

    AMOUNT = "amount"
    """Both sides know it, with different amounts, or several of each that cannot be told apart."""
    DAY = "day"
    """Both sides know it, further apart than is allowed."""
    CURRENCY = "currency"
    NOT_IN_LEDGER = "not_in_ledger"
    """The rail has settled what we have not booked."""
    NOT_AT_RAIL = "not_at_rail"
    """We have booked what the rail has not settled."""
    TWICE_AT_RAIL = "twice_at_rail"
    """The rail tells the same item again."""


@dataclass(frozen=True, slots=True)
class Difference:
    """An entry of the work list. `amount_minor`: rail less ledger, in `currency` ("" when two currencies met).

    `key` is the same in every run over the same items, so that a second run finds its entry again.
    """

    kind: Kind
    rail: tuple[RailItem, ...]
    ledger: tuple[LedgerItem, ...]
    amount_minor: int
    currency: str
    days: int = 0
    proposal: tuple[str, ...] = ()
    """Ids of items of the other side that sum to this one; a person decides."""

    @property
    def key(self) -> str:
        """Name of this entry, from its kind and its items."""
        parts = [self.kind, *(item.rail_reference for item in self.rail), "/", *(item.id for item in self.ledger)]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Terms:
    """How far two items may be apart. `proposal_items`: of so many candidates at most sums are tried."""

    days_apart: int = 1
    proposal_items: int = 12
    proposal_parts: int = 4


@dataclass(frozen=True, slots=True)
class Result:
    """Everything, once."""

    matches: tuple[Match, ...]
    differences: tuple[Difference, ...]

    @property
    def agrees(self) -> bool:
        """Whether the work list is empty."""
        return not self.differences


Item = TypeVar("Item", RailItem, LedgerItem)
NAMES: Sequence[tuple[Rule, str]] = (
    (Rule.REFERENCE, "our_reference"),
    (Rule.RAIL_REFERENCE, "rail_reference"),
    (Rule.BATCH, "batch"),
)


def reconcile(rail: Iterable[RailItem], ledger: Iterable[LedgerItem], terms: Terms | None = None) -> Result:
    """Compare two sides of a day (or of several). Raises ValueError when a ledger's id stands twice."""
    work = _Work(rail, ledger, terms or Terms())
    for rule, name in NAMES:
        work.by_name(rule, name)
    work.by_amount()
    for _, name in NAMES:
        work.named_differences(name)
        work.other_currency(name)
    work.rest()
    return Result(tuple(work.matches), tuple(work.differences))


def _sum(items: Iterable[RailItem | LedgerItem]) -> int:
    return sum(item.amount_minor for item in items)


def _apart(rail: Iterable[RailItem], ledger: Iterable[LedgerItem]) -> int:
    """Days between the two sides' furthest items."""
    ours = [other.day for other in ledger]
    first, last = min(ours), max(ours)
    return max(max(abs((one.day - first).days), abs((one.day - last).days)) for one in rail)


def _gathered(items: Iterable[Item], of: Callable[[Item], object]) -> dict[object, list[Item]]:
    found: dict[object, list[Item]] = defaultdict(list)
    for item in items:
        found[of(item)].append(item)
    return found


class _Work:
    """What is left on each side, by its unique name and in a fixed order, and what has been found."""

    def __init__(self, rail: Iterable[RailItem], ledger: Iterable[LedgerItem], terms: Terms) -> None:
        self.terms = terms
        self.matches: list[Match] = []
        self.differences: list[Difference] = []
        self.rail: dict[str, RailItem] = {}
        self.ledger: dict[str, LedgerItem] = {}
        for item in sorted(rail, key=lambda item: (item.day, item.rail_reference, repr(item))):
            if item.rail_reference in self.rail:
                again = Difference(Kind.TWICE_AT_RAIL, (item,), (), item.amount_minor, item.currency)
                self.differences.append(again)
            else:
                self.rail[item.rail_reference] = item
        for other in sorted(ledger, key=lambda item: (item.day, item.id)):
            if other.id in self.ledger:
                raise ValueError(f"ledger: {other.id} stands twice")
            self.ledger[other.id] = other

    # --- passes --------------------------------------------------------------------------------------

    def by_name(self, rule: Rule, name: str) -> None:
        """Match items under a common name: pairs of the same amount first, then one to many if the sums agree."""
        for rail, ledger in self._groups(name):
            left = list(rail)
            others = list(ledger)
            if rule is not Rule.BATCH:
                left, others = self._pairs(rule, rail, ledger)
            alone = min(len(left), len(others)) == 1
            if alone and _sum(left) == _sum(others) and self._near(left, others):
                self._match(rule, tuple(left), tuple(others))

    def _pairs(
        self, rule: Rule, rail: Sequence[RailItem], ledger: Sequence[LedgerItem]
    ) -> tuple[list[RailItem], list[LedgerItem]]:
        """Match what has the same amount within a group; give what is left."""
        of_amount = _gathered(ledger, lambda item: item.amount_minor)
        left, paired = [], set()
        for one in rail:
            fits = of_amount.get(one.amount_minor, [])
            pair = next((other for other in fits if self._near((one,), (other,))), None)
            if pair is None:
                left.append(one)
            else:
                fits.remove(pair)
                paired.add(pair.id)
                self._match(rule, (one,), (pair,))
        return left, [other for other in ledger if other.id not in paired]

    def by_amount(self) -> None:
        """Match items without a common name when one of either side fits and no other does."""
        rails, ledgers = self._nameless()
        of_rail = _gathered(rails, lambda item: (item.currency, item.amount_minor))
        of_ledger = _gathered(ledgers, lambda item: (item.currency, item.amount_minor))
        for amount, candidates in of_rail.items():
            others = of_ledger.get(amount, [])
            if min(len(candidates), len(others)) > self.terms.proposal_items:
                continue  # so many alike cannot be told apart
            for one in candidates:
                fits = [other for other in others if self._near((one,), (other,))]
                if len(fits) != 1 or (one.our_reference and fits[0].our_reference):
                    continue
                if sum(self._near((each,), (fits[0],)) for each in candidates) == 1:
                    self._match(Rule.AMOUNT_AND_DAY, (one,), (fits[0],))

    def _nameless(self) -> tuple[list[RailItem], list[LedgerItem]]:
        """What shares no name with the other side."""
        rails, ledgers = list(self.rail.values()), list(self.ledger.values())
        for _, name in NAMES:
            shared = {getattr(item, name) for item in self.rail.values()}
            shared &= {getattr(item, name) for item in self.ledger.values()}
            shared.discard("")
            rails = [item for item in rails if getattr(item, name) not in shared]
            ledgers = [item for item in ledgers if getattr(item, name) not in shared]
        return rails, ledgers

    def named_differences(self, name: str) -> None:
        """Whatever shares a name and is still here does not agree: say in what."""
        for rail, ledger in self._groups(name):
            amount, apart = _sum(rail) - _sum(ledger), _apart(rail, ledger)
            kind = Kind.DAY if amount == 0 and apart > self.terms.days_apart else Kind.AMOUNT
            self._differ(Difference(kind, tuple(rail), tuple(ledger), amount, rail[0].currency, apart))

    def other_currency(self, name: str) -> None:
        """Pair what shares a name in two currencies."""
        of_ledger = _gathered(self.ledger.values(), lambda item: getattr(item, name))
        for one in list(self.rail.values()):
            others = of_ledger.get(getattr(one, name)) if getattr(one, name) else None
            if others:
                other = others.pop(0)
                apart = _apart((one,), (other,))
                self._differ(Difference(Kind.CURRENCY, (one,), (other,), 0, "", apart))

    def rest(self) -> None:
        """Nobody on the other side knows these."""
        of_rail = _gathered(self.rail.values(), lambda item: item.currency)
        of_ledger = _gathered(self.ledger.values(), lambda item: item.currency)
        for one in self.rail.values():
            choices = {other.id: other for other in of_ledger.get(one.currency, [])}
            proposal = self._proposal(one, choices)
            missing = Difference(Kind.NOT_IN_LEDGER, (one,), (), one.amount_minor, one.currency, 0, proposal)
            self.differences.append(missing)
        for other in self.ledger.values():
            of_other = {one.rail_reference: one for one in of_rail.get(other.currency, [])}
            proposal = self._proposal(other, of_other)
            missing = Difference(Kind.NOT_AT_RAIL, (), (other,), -other.amount_minor, other.currency, 0, proposal)
            self.differences.append(missing)

    # --- what the passes share -----------------------------------------------------------------------

    def _groups(self, name: str) -> list[tuple[list[RailItem], list[LedgerItem]]]:
        """Items of both sides under one name and currency; the empty name joins nothing."""
        rails = _gathered(self.rail.values(), lambda item: (getattr(item, name), item.currency))
        ledgers = _gathered(self.ledger.values(), lambda item: (getattr(item, name), item.currency))
        return [(items, ledgers[key]) for key, items in rails.items() if key in ledgers and getattr(items[0], name)]

    def _near(self, rail: Sequence[RailItem], ledger: Sequence[LedgerItem]) -> bool:
        return _apart(rail, ledger) <= self.terms.days_apart

    def _match(self, rule: Rule, rail: tuple[RailItem, ...], ledger: tuple[LedgerItem, ...]) -> None:
        self.matches.append(Match(rule, rail, ledger))
        self._take(rail, ledger)

    def _differ(self, difference: Difference) -> None:
        self.differences.append(difference)
        self._take(difference.rail, difference.ledger)

    def _take(self, rail: Iterable[RailItem], ledger: Iterable[LedgerItem]) -> None:
        for one in rail:
            del self.rail[one.rail_reference]
        for other in ledger:
            del self.ledger[other.id]

    def _proposal(self, item: RailItem | LedgerItem, others: Mapping[str, RailItem | LedgerItem]) -> tuple[str, ...]:
        """Fewest items of the other side, near in time, that sum to this one; none when two choices are as good."""
        days = self.terms.days_apart
        near = {name: other for name, other in others.items() if abs((other.day - item.day).days) <= days}
        if len(near) > self.terms.proposal_items:
            return ()
        for count in range(1, self.terms.proposal_parts + 1):
            found = [names for names in combinations(near, count) if _sum(near[n] for n in names) == item.amount_minor]
            if found:
                return found[0] if len(found) == 1 else ()
        return ()
