"""Replays a plan in an engine of its own, and compares the book with the data's after every event."""

from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

import engine
from engine.order_results import OrderStatus, Side
from examples.lobster.data import TICK, Sample
from examples.market.drive import Part, drive, open_market, settle
from examples.market.plan import Plan, Step
from examples.market.settlement import Terms

WORDS_MAX: Final = 20
"""How many faults a report tells in words."""

_STATUS: Final = np.zeros(len(Step), np.uint16)
_STATUS[[Step.ENTER, Step.TAKE, Step.REPLACE, Step.CANCEL]] = [
    OrderStatus.NEW, OrderStatus.FILLED, OrderStatus.REPLACED, OrderStatus.CANCELED,
]  # fmt: skip


@dataclass(slots=True)
class Report:
    """What was done and what was found."""

    events: int = 0
    """After so many events the book was compared."""
    mismatches: int = 0
    """Events after which it was another one than the data's."""
    commands: int = 0
    trades: int = 0
    shares: int = 0
    wrong: list[str] = field(default_factory=list)
    """Whatever was not as it should be, in words."""


def terms(symbol: str) -> Terms:
    """Give the terms of the instrument."""
    return Terms(symbol, tick_size=TICK)


class Checks:
    """Compares what comes back with what the data say; fed in order, in parts of any size."""

    def __init__(self, sample: Sample, plan: Plan) -> None:
        """Nothing has come back yet."""
        self.sample = sample
        self.report = Report()
        self.trades: list[tuple[int, int, bool]] = []
        """As `settlement.expected` takes them."""
        self._step = np.array(plan.step, np.uint8)
        self._client, self._price, self._quantity = (
            np.array(column, np.uint64) for column in (plan.client, plan.price, plan.quantity)
        )
        self._makers = np.zeros(plan.clients + 1, np.uint64)
        self._makers[list(plan.makers)] = list(plan.makers.values())
        self._ids = np.zeros(plan.clients + 1, np.uint64)

    def feed(self, part: Part) -> None:
        """Check the answers, trades and books of some events."""
        self._answers(part)
        self._trades(part)
        theirs = self.sample.book[part.first_event : part.first_event + len(part.books)]
        different = np.flatnonzero((part.books != theirs).any(axis=(1, 2, 3)))
        self.report.events += len(part.books)
        self.report.mismatches += len(different)
        for place in different:
            ours = part.books[place].tolist()
            self._say(f"event {part.first_event + place}: the book is {ours}, not {theirs[place].tolist()}")

    def _answers(self, part: Part) -> None:
        step, client = self._step[part.steps], self._client[part.steps]
        for place in np.flatnonzero(part.results["status"] != _STATUS[step]):
            self._say(f"step {part.steps[place]}, {Step(step[place]).name}: {part.results[place]}")
        submits = (step == Step.ENTER) | (step == Step.TAKE)
        self._ids[client[submits]] = part.results["order_id"][submits]
        self.report.commands += len(step)

    def _trades(self, part: Part) -> None:
        """Every execution is one trade with the order that the data name, with all of its size."""
        takes = part.steps[self._step[part.steps] == Step.TAKE]
        found = part.trades
        if len(found) != len(takes):
            self._say(f"{len(found)} trades for {len(takes)} executions from event {part.first_event}")
            return
        seller_rested: npt.NDArray[np.bool_] = found["taker_side"] == Side.BUY
        maker = np.where(seller_rested, found["sell_order_id"], found["buy_order_id"])
        taker = np.where(seller_rested, found["buy_order_id"], found["sell_order_id"])
        client = self._client[takes]
        good = (
            (taker == self._ids[client])
            & (maker == self._ids[self._makers[client]])
            & (found["price"] == self._price[takes])
            & (found["quantity"] == self._quantity[takes])
        )
        for place in np.flatnonzero(~good):
            self._say(f"step {takes[place]}: {found[place]} is not the execution in the data")
        self.report.trades += len(found)
        self.report.shares += int(found["quantity"].sum())
        self.trades += zip(found["price"].tolist(), found["quantity"].tolist(), seller_rested.tolist(), strict=True)

    def _say(self, words: str) -> None:
        if len(self.report.wrong) < WORDS_MAX:
            self.report.wrong.append(words)


def replay(sample: Sample, plan: Plan) -> Report:
    """Replay everything, then cancel what is open and compare the ledger with the trades."""
    target = engine.Engine()
    open_market(target, terms(sample.symbol))
    checks = Checks(sample, plan)
    for part in drive(target, plan, sample.symbol, sample.levels):
        checks.feed(part)
    checks.report.wrong += settle(target, terms(sample.symbol), checks.trades)
    return checks.report
