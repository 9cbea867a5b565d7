"""Turns the messages of a sample into commands for an order book, one event at a time.

The data show the first levels of a book and say what happened to it. What they do not say must be taken from the books:

- What rested before the first event is represented by one *stand-in* order for each level. An order that the
  messages name without having entered it is part of the stand-in of its level.
- Orders beyond the view may be canceled without a message. They stay in our book for the time being; when the view
  comes back to their level, they are canceled, and the level is adopted as it is now, with a stand-in. So is a level
  that comes into view for the first time.
- Levels *in* view are never touched: there, only the message changes anything, so that a wrong book stays wrong.

An execution is an immediate-or-cancel order of the other side with the message's price and size, which must hit the
named order with all of its size. When the exchange executed an order out of turn (others stood before it at that
price), these are canceled first, and the level is entered again in the data's order afterwards; such cases are counted.
"""

from bisect import bisect_left, insort
from dataclasses import dataclass
from typing import Final

from examples.lobster.data import BUY, DELETE, EXECUTE, NEW, REDUCE, SELL, DataError, Sample
from examples.market.plan import Plan, Step

STAND_IN: Final = 0
"""As the data's order id: what rested before we saw it."""


@dataclass(slots=True, eq=False)
class Resting:
    """An order of ours in the book."""

    client: int
    """As in the plan."""
    order: int
    """The data's id of it, or STAND_IN."""
    quantity: int
    """Total, as replaces see it."""
    leaves: int


def plan(sample: Sample) -> Plan:
    """Plan all events of a sample; its first book is the one that is begun with."""
    planner = _Planner()
    for side in (BUY, SELL):
        for price, size in sample.book[0, side].tolist():
            if size:
                planner.enter(side, price, STAND_IN, size)
    planner.plan.counts["stand-ins of the first book"] = planner.plan.clients
    planner.plan.look()
    worst = sample.book[:, :, -1, 0].tolist()
    columns = (sample.type, sample.order, sample.size, sample.price, sample.side)
    events = zip(*(column.tolist() for column in columns), strict=True)
    next(events)  # what the first message did is in the first book
    for row, (type_, order, size, price, side) in enumerate(events, 1):
        planner.event(type_, order, size, price, side)
        for edge in (BUY, SELL):
            before, after = worst[row - 1][edge], worst[row][edge]
            if after != before:
                if (after > before) == (edge == BUY):
                    planner.leave(edge, sample.book[row - 1, edge].tolist(), after)
                else:
                    planner.come(edge, sample.book[row, edge].tolist(), before, after)
        planner.plan.look()
    return planner.plan


class _Planner:
    """What we have in the book, by side and price, each level in the order of time."""

    def __init__(self) -> None:
        self.plan = Plan()
        self.levels: tuple[dict[int, list[Resting]], ...] = ({}, {})
        self.known: dict[int, Resting] = {}
        self.out: tuple[list[int], ...] = ([], [])
        """Prices of our levels beyond the view, sorted."""

    def event(self, type_: int, order: int, size: int, price: int, side: int) -> None:
        """One message."""
        counts = self.plan.counts
        if type_ == NEW:
            counts["new orders"] += 1
            self.enter(side, price, order, size)
        elif type_ in {REDUCE, DELETE}:
            counts["cancels" if type_ == DELETE else "partial cancels"] += 1
            self._take_off(side, price, self._named(order, size, price, side), size)
        elif type_ == EXECUTE:
            counts["executions"] += 1
            self._execute(order, size, price, side)
        else:
            counts["hidden executions and halts"] += 1

    def enter(self, side: int, price: int, order: int, size: int) -> Resting:
        """A resting order, at the end of its level."""
        resting = Resting(self.plan.enter(side, price, size), order, size, size)
        self.levels[side].setdefault(price, []).append(resting)
        if order != STAND_IN:
            self.known[order] = resting
        return resting

    def leave(self, side: int, levels: list[list[int]], worst: int) -> None:
        """Note the levels that are beyond `worst` now."""
        for price, size in levels:
            if size and ((price < worst) if side == BUY else (price > worst)) and price in self.levels[side]:
                insort(self.out[side], price)

    def come(self, side: int, levels: list[list[int]], before: int, after: int) -> None:
        """Take out what we had beyond `before` and up to `after`, and adopt what the book has there."""
        out = self.out[side]
        cut = bisect_left(out, after) if side == BUY else bisect_left(out, after + 1)
        passed = out[cut:] if side == BUY else out[:cut]
        self.out[side][:] = out[:cut] if side == BUY else out[cut:]
        for price in passed:
            self.plan.counts["levels taken out when they came back into view"] += 1
            for resting in list(self.levels[side][price]):
                self._take_off(side, price, resting, resting.leaves)
        for price, size in levels:
            if size and (price < before if side == BUY else price > before):
                self.plan.counts["stand-ins of levels that came into view"] += 1
                self.enter(side, price, STAND_IN, size)

    def _named(self, order: int, size: int, price: int, side: int) -> Resting:
        """Which of our orders stands for the named one."""
        resting = self.known.get(order)
        if resting is None:
            self.plan.counts["messages about an order in a stand-in"] += 1
            resting = next((item for item in self.levels[side].get(price, ()) if item.order == STAND_IN), None)
        if resting is None or resting.leaves < size:
            raise DataError(f"order {order}: {size} is more than there is of it at {price}")
        return resting

    def _take_off(self, side: int, price: int, resting: Resting, amount: int) -> None:
        """Cancel an order, or make it smaller."""
        if amount == resting.leaves:
            self.plan.cancel(resting.client, side)
            self._gone(side, price, resting)
        else:
            resting.quantity -= amount
            resting.leaves -= amount
            self.plan.replace(resting.client, side, 0, resting.quantity)

    def _gone(self, side: int, price: int, resting: Resting) -> None:
        level = self.levels[side][price]
        level.remove(resting)
        if not level:
            del self.levels[side][price]
        self.known.pop(resting.order, None)

    def _execute(self, order: int, size: int, price: int, side: int) -> None:
        named = self._named(order, size, price, side)
        level = self.levels[side][price]
        ahead = level[: level.index(named)]
        if ahead:
            self.plan.counts["executions out of turn"] += 1
            for item in ahead:
                self.plan.cancel(item.client, side)
        taker = self.plan.enter(SELL if side == BUY else BUY, price, size, Step.TAKE)
        self.plan.makers[taker] = named.client
        named.leaves -= size
        if named.leaves == 0:
            self._gone(side, price, named)
        if ahead:
            # The rest of the level leaves as well, and all come back in the data's order.
            for item in level[len(ahead) :]:
                self.plan.cancel(item.client, side)
            for item in self.levels[side].pop(price):
                self.enter(side, price, item.order, item.leaves)
