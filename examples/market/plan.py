"""A plan: commands for one order book, in order, each event of the data ended by a look at the book."""

from collections import Counter
from dataclasses import dataclass, field
from enum import IntEnum


class Step(IntEnum):
    """What one step asks of the book."""

    ENTER = 0
    """A limit order, good till canceled."""
    TAKE = 1
    """A limit order, immediate or cancel."""
    REPLACE = 2
    CANCEL = 3
    BOOK = 4
    """Look: an event is complete."""


@dataclass(slots=True)
class Plan:
    """Commands in order, a column for each member."""

    step: list[int] = field(default_factory=list)
    client: list[int] = field(default_factory=list)
    """Number that the order's client order id is made from: of ENTER and TAKE a new one, one more than the last; of
    REPLACE and CANCEL that of the order that is meant; 0 for BOOK."""
    side: list[int] = field(default_factory=list)
    """Of the order that is entered or meant: 0 buy, 1 sell."""
    price: list[int] = field(default_factory=list)
    """0 for CANCEL, and for a REPLACE that keeps it."""
    quantity: list[int] = field(default_factory=list)
    """Of a REPLACE, the new total."""
    clients: int = 0
    """Orders entered so far."""
    makers: dict[int, int] = field(default_factory=dict)
    """For the client number of each TAKE, that of the order which it must hit."""
    counts: Counter[str] = field(default_factory=Counter)
    """What the events were, and each kind of assumption that was needed."""

    def enter(self, side: int, price: int, quantity: int, step: Step = Step.ENTER) -> int:
        """Append a new order; gives its client number."""
        self.clients += 1
        self._add(step, self.clients, side, price, quantity)
        return self.clients

    def replace(self, client: int, side: int, price: int, quantity: int) -> None:
        """Append a replace."""
        self._add(Step.REPLACE, client, side, price, quantity)

    def cancel(self, client: int, side: int) -> None:
        """Append a cancel."""
        self._add(Step.CANCEL, client, side, 0, 0)

    def look(self) -> None:
        """End an event."""
        self._add(Step.BOOK, 0, 0, 0, 0)

    def _add(self, step: Step, client: int, side: int, price: int, quantity: int) -> None:
        self.step.append(step)
        self.client.append(client)
        self.side.append(side)
        self.price.append(price)
        self.quantity.append(quantity)

    def __len__(self) -> int:
        """Give the number of steps."""
        return len(self.step)
