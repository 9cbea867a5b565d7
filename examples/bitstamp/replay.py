"""Lets the book match the feed's orders, and compares its trades and books with the exchange's.

The exchange matches about 0.1 s after it tells of an order, and its books and prints reach us a little before or after
the events that belong to them. So content is compared exactly, and time is what is tolerated: a book of the exchange
must be equal, in all of its levels, to ours as it was at some moment near the one at which it came.
"""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

import engine
from engine.order_results import OrderStatus, Side
from examples.bitstamp.data import DEPTH, Feed
from examples.bitstamp.plan import SCALE, Replayed
from examples.market.drive import drive, open_market, settle
from examples.market.plan import Step
from examples.market.settlement import Terms

TERMS: Final = Terms("BTC-USD", price_scale=SCALE, maker_fee_ppm=0, taker_fee_ppm=0)
"""No commission: that of an order with many fills of a few cents may be cut by a cent, as docs/TRADING.md says."""
BOOK_MS_MAX: Final = 1_000
"""How far from a moment of ours a book of the exchange may have come."""

_ALLOWED: Final = {
    Step.ENTER: (OrderStatus.NEW, OrderStatus.PARTIALLY_FILLED, OrderStatus.FILLED),
    Step.REPLACE: (OrderStatus.REPLACED,),
    Step.CANCEL: (OrderStatus.CANCELED,),
}


@dataclass(slots=True)
class Report:
    """What was done and what was found."""

    events: int = 0
    commands: int = 0
    books: int = 0
    books_in_place: int = 0
    """Equal to ours after exactly the events that came before them."""
    books_early: int = 0
    """Equal to ours after a later event."""
    books_late: int = 0
    """Equal to ours before an event that they came after."""
    early_ms_max: int = 0
    late_ms_max: int = 0
    books_within_50_ms: int = 0
    trades: int = 0
    trades_as_printed: int = 0
    """In the order of the exchange's numbers, with price and amount."""
    amount: int = 0
    print_ms_max: int = 0
    """Longest time from the event at which our book traded to the exchange's print."""
    fills: int = 0
    """Of single orders, as the feed tells them: two for each trade."""
    fills_as_told: int = 0
    wrong: list[str] = field(default_factory=list)
    """Whatever was not as it should be, in words."""


def replay(feed: Feed, planned: Replayed) -> Report:
    """Replay everything, then cancel what is open and compare the ledger with the trades."""
    report = Report(events=len(feed.events))
    target = engine.Engine()
    open_market(target, TERMS)
    step = np.array(planned.plan.step, np.uint8)
    client = np.array(planned.plan.client, np.uint64)
    looks = np.cumsum(step == Step.BOOK)
    ids = np.zeros(planned.plan.clients + 1, np.uint64)
    books, trades, events = [], [], []
    for part in drive(target, planned.plan, TERMS.symbol, DEPTH):
        did = step[part.steps]
        for kind, allowed in _ALLOWED.items():
            bad = (did == kind) & ~np.isin(part.results["status"], allowed)
            report.wrong += [f"step {part.steps[p]}, {kind.name}: {part.results[p]}" for p in np.flatnonzero(bad)]
        entered = did == Step.ENTER
        ids[client[part.steps[entered]]] = part.results["order_id"][entered]
        report.commands += len(did)
        # A trade's timestamp is the next after that of the command that made it.
        place = np.searchsorted(part.results["timestamp"], part.trades["timestamp"]) - 1
        events.append(looks[part.steps[place]] - 1)
        books.append(part.books)
        trades.append(part.trades)
    all_trades = np.concatenate(trades)
    _compare_books(report, feed, np.concatenate(books))
    _compare_prints(report, feed, all_trades, np.concatenate(events))
    _compare_fills(report, planned, all_trades, ids)
    rested = all_trades["taker_side"] == Side.BUY
    columns = (all_trades["price"].tolist(), all_trades["quantity"].tolist(), rested.tolist())
    report.wrong += settle(target, TERMS, list(zip(*columns, strict=True)))
    return report


def _compare_books(report: Report, feed: Feed, books: npt.NDArray[np.int64]) -> None:
    """Find for each book of the exchange the nearest moment at which ours was the same.

    Ours after n events stands from the time of event n to that of the next.
    """
    times = np.array([event.time for event in feed.events], np.int64)
    since = np.concatenate(([0], times))
    until = np.concatenate((times, [2**62]))
    report.books = len(feed.books)
    for number, (time, events) in enumerate(zip(feed.book_times, feed.book_events, strict=True)):
        wanted = feed.books[number]
        if (books[events] == wanted).all():
            report.books_in_place += 1
            continue
        first = int(np.searchsorted(until, time - BOOK_MS_MAX))
        last = int(np.searchsorted(since, time + BOOK_MS_MAX, "right"))
        same = first + np.flatnonzero((books[first:last] == wanted).all(axis=(1, 2, 3)))
        if not len(same):
            report.wrong.append(f"book {number}, after event {events}: ours was never the same")
            continue
        distance = np.maximum(np.maximum(since[same] - time, time - until[same]), 0)
        nearest = int(same[distance.argmin()])
        if nearest > events:
            report.books_early += 1
            report.early_ms_max = max(report.early_ms_max, int(distance.min()))
        else:
            report.books_late += 1
            report.late_ms_max = max(report.late_ms_max, int(distance.min()))
        report.books_within_50_ms += int(distance.min() <= 50)
    report.books_within_50_ms += report.books_in_place


def _compare_prints(report: Report, feed: Feed, trades: npt.NDArray[np.void], events: npt.NDArray[np.int64]) -> None:
    """Compare trade by trade, in the order of the exchange's numbers."""
    report.trades = len(trades)
    report.amount = int(trades["quantity"].sum())
    prints = sorted(feed.prints, key=lambda item: item.id)
    if len(trades) != len(prints):
        report.wrong.append(f"{len(trades)} trades, {len(prints)} prints")
    for item, price, amount, event in zip(
        prints, trades["price"].tolist(), trades["quantity"].tolist(), events.tolist(), strict=False
    ):
        if (price, amount) != (item.price, item.amount):
            report.wrong.append(f"print {item.id}: {amount} at {price}, not {item.amount} at {item.price}")
            continue
        report.trades_as_printed += 1
        report.print_ms_max = max(report.print_ms_max, item.time - feed.events[event].time)


def _compare_fills(
    report: Report, planned: Replayed, trades: npt.NDArray[np.void], ids: npt.NDArray[np.uint64]
) -> None:
    """Compare the fills of every order, in order."""
    ours: dict[int, list[int]] = defaultdict(list)
    for buy, sell, amount in zip(
        trades["buy_order_id"].tolist(), trades["sell_order_id"].tolist(), trades["quantity"].tolist(), strict=True
    ):
        ours[buy].append(amount)
        ours[sell].append(amount)
    clients = {int(order): client for client, order in enumerate(ids.tolist()) if order}
    by_client = {clients[order]: amounts for order, amounts in ours.items()}
    report.fills = sum(map(len, planned.fills.values()))
    for client in sorted(planned.fills.keys() | by_client.keys()):
        told, found = planned.fills.get(client, []), by_client.get(client, [])
        if told == found:
            report.fills_as_told += len(found)
        else:
            report.wrong.append(f"order {client}: fills of {found}, not {told}")
