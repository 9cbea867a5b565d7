"""Turns the feed into commands for an order book that does the matching itself.

Only what people did becomes a command: an order created is entered, one deleted with an amount left is canceled, one
that changes its price is replaced (the exchange's market orders do: they go from level to level, and those that buy
are given another amount at each, for their money). What the exchange's matching did is not told to the book: that an
order changed at its price, or was deleted with nothing left, is a *fill* that the book must come to by itself.

What the feed does not say:

- Orders from before the recording that it names later are entered first, in the order of their ids, with the amount
  that they have when they are named, and that of the print if it is for a fill.
- Orders that rest all the time and are never named show in the exchange's books only: where a level is seen for the
  first time with more than the orders that are known, the rest is one *stand-in*, entered at the beginning too.
- A market order to buy that has run out of money ends as deleted with its whole amount, although it was filled but for
  what one cent would buy. It is entered with the amount that the print tells.
- Some orders are created after they were deleted, or deleted twice. What comes after the first deletion is left out,
  but for one fill that is told late.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Final

from examples.bitstamp.data import Action, DataError, Event, Feed, Print
from examples.market.plan import Plan

PRINT_MS_MAX: Final = 100
"""How long after a fill its print may come."""
SCALE: Final = 100_000_000
"""Amounts in one bitcoin."""


@dataclass(slots=True)
class Replayed:
    """A plan with one look before the first event and one after each, and what the book must come to."""

    plan: Plan = field(default_factory=Plan)
    fills: dict[int, list[int]] = field(default_factory=dict)
    """By client number, the amounts of the fills that the feed tells of each order, in order."""


@dataclass(slots=True)
class _Open:
    """An order that we have entered."""

    client: int
    side: int
    price: int
    total: int
    left: int


def plan(feed: Feed) -> Replayed:
    """Plan all events."""
    found = Replayed()
    counts = found.plan.counts
    open_: dict[int, _Open] = {}
    spent = _spent(feed)
    counts["market orders out of money"] = len(spent)
    rested = _before(feed)
    stand_ins = _stand_ins(feed, rested)
    counts["orders from before that are named"] = len(rested)
    counts["stand-ins"] = len(stand_ins)
    for order, (side, price, amount) in sorted(rested.items()):
        open_[order] = _Open(found.plan.enter(side, price, amount), side, price, amount, amount)
    for side, price, amount in stand_ins:
        found.plan.enter(side, price, amount)
    found.plan.look()
    gone: set[int] = set()
    for number, event in enumerate(feed.events):
        own = open_.get(event.order)
        if event.order in gone and event.action == Action.CHANGED and own is not None:
            # It came too late: the deletion was told as one fill, and was the last of two.
            told = found.fills[own.client]
            told[-1:] = [told[-1] - event.amount, event.amount]
            counts["fills told after the order was deleted"] += 1
        elif event.order in gone:
            counts["events after the order was deleted"] += 1
        elif event.action == Action.CREATED:
            amount = spent.get(number, event.amount)
            client = found.plan.enter(event.side, event.price, amount)
            open_[event.order] = _Open(client, event.side, event.price, amount, amount)
            counts["orders created"] += 1
        elif own is None:
            # Its creation comes later.
            gone.add(event.order)
            counts["orders deleted before they were created"] += 1
        elif event.action == Action.CHANGED and event.price != own.price:
            amount = spent.get(number, event.amount)
            own.total += amount - own.left
            own.price, own.left = event.price, amount
            found.plan.replace(own.client, own.side, own.price, own.total)
            counts["prices changed"] += 1
        elif event.action == Action.DELETED and event.amount == own.left:
            found.plan.cancel(own.client, own.side)
            gone.add(event.order)
            counts["orders canceled"] += 1
        else:
            left = 0 if event.action == Action.DELETED else event.amount
            found.fills.setdefault(own.client, []).append(own.left - left)
            own.left = left
            if event.action == Action.DELETED:
                gone.add(event.order)
            counts["fills"] += 1
        found.plan.look()
    return found


def _prints_at(feed: Feed) -> dict[int, list[Print]]:
    """Give the prints by price."""
    found: dict[int, list[Print]] = defaultdict(list)
    for item in feed.prints:
        found[item.price].append(item)
    return found


def _spent(feed: Feed) -> dict[int, int]:
    """For the last event that gave an amount to an order which ran out of money, the amount that it traded."""
    prints = _prints_at(feed)
    last: dict[int, int] = {}
    found: dict[int, int] = {}
    for number, event in enumerate(feed.events):
        if event.action != Action.DELETED:
            last[event.order] = number
        elif event.side == 0 and event.amount and event.order in last:
            for item in prints.get(event.price, ()):
                # One cent, and the rounding of the amounts.
                missing = (event.amount - item.amount) * event.price
                if 0 <= item.time - event.time <= PRINT_MS_MAX and 0 < missing <= SCALE + event.price:
                    found[last[event.order]] = item.amount
    return found


def _before(feed: Feed) -> dict[int, tuple[int, int, int]]:
    """Side, price and amount of each order that is named without having been created."""
    created = {event.order for event in feed.events if event.action == Action.CREATED}
    prints = _prints_at(feed)
    used: set[int] = set()
    found: dict[int, tuple[int, int, int]] = {}
    for event in feed.events:
        if event.order not in created and event.order not in found:
            amount = event.amount
            if event.action == Action.CHANGED or amount == 0:
                traded = _print_of(event, prints, used)
                used.add(traded.id)
                amount += traded.amount
            found[event.order] = event.side, event.price, amount
    return found


def _print_of(event: Event, prints: dict[int, list[Print]], used: set[int]) -> Print:
    """Give the first print after a fill."""
    for item in prints.get(event.price, ()):
        if item.id not in used and 0 <= item.time - event.time <= PRINT_MS_MAX:
            return item
    raise DataError(f"order {event.order}: no print tells how much was filled")


def _stand_ins(feed: Feed, rested: dict[int, tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    """Side, price and amount of what the exchange's books show beyond the orders of the feed."""
    known = dict(rested)
    levels: tuple[Counter[int], Counter[int]] = Counter(), Counter()
    for side, price, amount in known.values():
        levels[side][price] += amount
    gone: set[int] = set()
    seen: tuple[set[int], set[int]] = set(), set()
    found = []
    number = 0
    for book, events in zip(feed.books.tolist(), feed.book_events, strict=True):
        for event in feed.events[number:events]:
            if event.order in known:
                side, price, amount = known.pop(event.order)
                levels[side][price] -= amount
            if event.action == Action.DELETED:
                gone.add(event.order)
            elif event.order not in gone:
                known[event.order] = event.side, event.price, event.amount
                levels[event.side][event.price] += event.amount
        number = events
        for side in (0, 1):
            for price, amount in book[side]:
                if price not in seen[side]:
                    seen[side].add(price)
                    if amount > levels[side][price]:
                        found.append((side, price, amount - levels[side][price]))
    return found
