"""The book by itself: against a plain book on random flow, and its tree of levels on prices from everywhere."""

from collections import Counter, deque
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import order_flow
from benchmarks.order_flow import ADD, CANCEL, MOVE, REDUCE
from engine.matching.solo import OPERATION, OrderBook

TICKS_MAX = 2**30 - 1
FLOWS: list[dict[str, Any]] = [
    {"depth": 1, "spread": 3.0, "highest": 1_000},
    {"depth": 50, "spread": 2.0},
    {"depth": 500, "spread": 100.0, "highest": TICKS_MAX},
    {"depth": 500, "spread": 5_000.0, "highest": 2**24, "swing": True},
    {"depth": 2_000, "spread": 1_000_000.0, "highest": TICKS_MAX, "swing": True},
]


@pytest.mark.parametrize("changes", FLOWS, ids=str)
@pytest.mark.parametrize("seed", [1, 2])
def test_it_trades_as_a_plain_book_does(changes: dict[str, Any], seed: int) -> None:
    flow = order_flow.generate(5_000, seed=seed, **changes)
    book = OrderBook(20_000, 20_000, keep_trades=20_000)
    for first in range(0, len(flow.operations), 777):
        book.run(flow.operations[first : first + 777])
    assert flow.trades > 50
    assert (book.trades, book.trade_hash, book.resting) == (flow.trades, flow.trade_hash, flow.resting)
    kept = book.kept()
    assert len(kept) == book.trades
    assert int(kept["quantity"].sum()) == book.volume


def test_the_public_workload_gives_its_answer() -> None:
    path = order_flow.find_public()
    if path is None:
        pytest.skip("the public workload is not here; see TONGBAO_SHARED_DATA")
    flow = order_flow.matching_workload(path, 20_000, 1_000)
    book = OrderBook(100_000, 100_000)
    book.run(flow.operations)
    assert (book.trades, book.trade_hash, book.resting) == (flow.trades, flow.trade_hash, flow.resting)


PRICES = st.one_of(
    st.integers(1, TICKS_MAX), st.integers(1, 200), st.sampled_from([1, 63, 64, 4095, 4096, 2**24, TICKS_MAX])
)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), PRICES, st.integers(1, 5)), max_size=60), st.integers(0, 1))
def test_levels_are_those_of_a_plain_side(steps: list[tuple[int, int, int]], side: int) -> None:
    """One side only, so nothing trades; after every operation all levels are compared."""
    book = OrderBook(100, 100)
    orders: dict[int, list[int]] = {}
    number = 0
    for kind, price, quantity in steps:
        chosen = sorted(orders)[price % len(orders)] if orders else 0
        if kind == CANCEL and chosen:
            row = (chosen, 0, 0, CANCEL, side, 0)
            del orders[chosen]
        elif kind == MOVE and chosen:
            row = (chosen, 0, price, MOVE, side, 0)
            orders[chosen][0] = price
        elif kind == REDUCE and chosen:
            orders[chosen][1] = min(quantity, orders[chosen][1])
            row = (chosen, orders[chosen][1], 0, REDUCE, side, 0)
        else:
            number += 1
            row = (number, quantity, price, ADD, side, 0)
            orders[number] = [price, quantity]
        book.run(np.array([row], dtype=OPERATION))
        totals: Counter[int] = Counter()
        counts: Counter[int] = Counter()
        for at, left in orders.values():
            totals[at] += left
            counts[at] += 1
        expected = [(at, totals[at], counts[at]) for at in sorted(totals, reverse=side == 0)]
        assert book.levels(side, 1_000) == expected
        assert book.resting == len(orders)


def test_orders_of_a_price_trade_in_the_order_in_which_they_came() -> None:
    book = OrderBook(10_000, 10_000, keep_trades=10_000)
    rows = [(number, 1, 500, ADD, 0, 0) for number in range(1, 1_001)]
    waiting = deque(range(1, 1_001))
    for number in range(1, 1_001, 7):  # those that move go behind
        rows.append((number, 0, 500, MOVE, 0, 0))
        waiting.remove(number)
        waiting.append(number)
    rows.append((1_001, 1_000, 500, ADD, 1, 1))
    book.run(np.array(rows, dtype=OPERATION))
    assert book.kept()["maker"].tolist() == list(waiting)


@pytest.mark.parametrize(
    "row",
    [
        (0, 0, 0, CANCEL, 0, 0),
        (2, 0, 0, CANCEL, 0, 0),
        (1, 6, 0, REDUCE, 0, 0),
        (1, 0, 0, REDUCE, 0, 0),
        (9, 0, 5, MOVE, 0, 0),
    ],
)
def test_an_operation_on_what_is_not_there_is_refused(row: tuple[int, ...]) -> None:
    book = OrderBook(10, 10)
    book.run(np.array([(1, 5, 100, ADD, 0, 0)], dtype=OPERATION))
    with pytest.raises(ValueError, match="does not rest"):
        book.run(np.array([row], dtype=OPERATION))
    assert book.levels(0, 5) == [(100, 5, 1)]


def test_a_full_book_refuses() -> None:
    book = OrderBook(3, 2)
    rows = np.array([(number, 1, 100, ADD, 0, 0) for number in range(1, 5)], dtype=OPERATION)
    with pytest.raises(ValueError, match="orders_max"):
        book.run(rows)
    with pytest.raises(ValueError, match="open_orders_max"):
        book.run(rows[:3])
    assert book.resting == 0
