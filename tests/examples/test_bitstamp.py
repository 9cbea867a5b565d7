"""Five hours of a bitcoin exchange: our book makes the trades that it printed, and is the book that it published."""

from dataclasses import replace
from pathlib import Path

import pytest

from examples.bitstamp import data
from examples.bitstamp.data import Action, Event, Feed, Print
from examples.bitstamp.plan import plan
from examples.bitstamp.replay import replay
from examples.market.plan import Step

DIRECTORY = data.find()
needs_data = pytest.mark.skipif(DIRECTORY is None, reason="the Bitstamp data are not here; see TONGBAO_SHARED_DATA")

BUY, SELL = 0, 1


@pytest.fixture
def directory() -> Path:
    assert DIRECTORY is not None
    return DIRECTORY


def test_numbers_are_exact() -> None:
    assert data.scaled("236.61000000000001", 2) == 23_661
    assert data.scaled("1.7885566900000001", 8) == 178_855_669
    for text in ("1.005", "x", "nan"):
        with pytest.raises((ValueError, ArithmeticError)):
            data.scaled(text, 2)


def test_only_what_people_did_becomes_a_command() -> None:
    feed = Feed(
        events=[
            Event(1000, Action.CREATED, 10, SELL, 500, 30),
            Event(1100, Action.CREATED, 11, BUY, 500, 20),
            Event(1200, Action.DELETED, 11, BUY, 500, 0),  # filled
            Event(1201, Action.CHANGED, 10, SELL, 500, 10),
            Event(1300, Action.DELETED, 12, BUY, 400, 5),  # before it is created
            Event(1301, Action.CREATED, 12, BUY, 400, 5),
            Event(1400, Action.CREATED, 13, BUY, 300, 8),
            Event(1401, Action.CHANGED, 13, BUY, 490, 4),  # a market order at its first level …
            Event(1402, Action.CHANGED, 13, BUY, 500, 3),  # … and at its next
            Event(1403, Action.DELETED, 13, BUY, 500, 0),
            Event(1404, Action.CHANGED, 10, SELL, 500, 7),
            Event(1500, Action.DELETED, 10, SELL, 500, 7),
            Event(1600, Action.DELETED, 9, SELL, 600, 4),  # from before
        ],
        prints=[Print(1202, 4, 1, 500, 20), Print(1405, 11, 2, 500, 3)],
    )
    planned = plan(feed)
    assert planned.plan.step.count(Step.ENTER) == 4
    assert planned.plan.step.count(Step.REPLACE) == 2
    assert planned.plan.step.count(Step.CANCEL) == 2
    assert planned.plan.counts["orders deleted before they were created"] == 1
    assert planned.fills == {2: [20, 3], 3: [20], 4: [3]}
    report = replay(feed, planned)
    assert (report.trades, report.trades_as_printed, report.fills_as_told, report.wrong) == (2, 2, 4, [])


@needs_data
@pytest.mark.data
def test_the_trades_and_books_are_the_exchanges(directory: Path) -> None:
    feed = data.read(directory)
    assert (len(feed.events), len(feed.books), len(feed.prints)) == (50_414, 5_011, 575)
    planned = plan(feed)
    report = replay(feed, planned)
    assert report.wrong == []
    # Every book of 20 levels, all of them equal: 4,958 at once, the others with an event just before or after.
    assert (report.books, report.books_in_place) == (5_011, 4_958)
    assert (report.books_late, report.late_ms_max, report.books_early, report.early_ms_max) == (48, 580, 5, 48)
    assert report.books_within_50_ms == 5_002
    # Every trade, in the exchange's order, with its price and amount, and the fills of every order.
    assert (report.trades, report.trades_as_printed, report.amount) == (575, 575, 84_765_711_841)
    assert (report.fills, report.fills_as_told) == (1_150, 1_150)
    assert report.print_ms_max < 1_000
    counts = planned.plan.counts
    assert (counts["orders created"], counts["orders canceled"], counts["prices changed"]) == (24_889, 24_308, 36)
    assert (counts["stand-ins"], counts["orders from before that are named"]) == (24, 182)

    # It can fail: a print, a fill and a book that are not so.
    feed.prints[100] = replace(feed.prints[100], amount=feed.prints[100].amount + 1)
    feed.books[1_000, SELL, 19, 1] += 1
    client = next(iter(planned.fills))
    planned.fills[client] = [*planned.fills[client], 1]
    report = replay(feed, planned)
    assert len(report.wrong) == 3
    assert report.wrong[0].startswith("book 1000, after event ")
    assert report.wrong[1].startswith("print ")
    assert report.wrong[2].startswith(f"order {client}: fills of ")
