"""Runs one order book of PyPI over a flow and says what came of it, as a line of JSON. Runs in the peers' environment.

python book_adapters.py --list
python book_adapters.py NAME FLOW.npy PREFILL SECONDS
"""

import importlib
import importlib.metadata
import json
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import numpy as np

ADD, CANCEL, MOVE = 0, 1, 2
AT_MARKET = 3
RESTS = 0
HIGHEST = 1_000_000
SYMBOL = "BENCH"


class Book(Protocol):
    """One of them behind the operations of the flow. Numbers are the flow's."""

    trades: int
    volume: int

    def add(self, number: int, side: int, price: int, quantity: int, flags: int) -> None:
        """Match an order; what is left rests, or is canceled when it is for at once."""

    def cancel(self, number: int) -> None:
        """Cancel a resting order."""

    def move(self, number: int, price: int) -> None:
        """Give a resting order another price, at the end of its queue."""

    def resting(self) -> int:
        """Count the resting orders."""


class Light:
    """lightmatchingengine: dictionaries of lists, the best price by `min` over all."""

    package, what, note = "lightmatchingengine", "matching engine in Python", ""

    def __init__(self) -> None:
        module: Any = importlib.import_module("lightmatchingengine.lightmatchingengine")
        self._engine = module.LightMatchingEngine()
        self._ids: dict[int, int] = {}
        self._numbers: dict[int, int] = {}
        self._sides: dict[int, int] = {}
        self.trades = self.volume = 0

    def add(self, number: int, side: int, price: int, quantity: int, flags: int) -> None:
        limit = 0 if flags == AT_MARKET else price
        order, trades = self._engine.add_order(SYMBOL, limit, quantity, side + 1)
        for trade in trades:
            if trade.order_id != order.order_id:
                self.trades += 1
                self.volume += trade.trade_qty
        if order.leaves_qty and flags != RESTS:
            self._engine.cancel_order(order.order_id, SYMBOL)
        elif order.leaves_qty:
            self._ids[number], self._sides[number] = order.order_id, side

    def cancel(self, number: int) -> None:
        self._engine.cancel_order(self._ids[number], SYMBOL)

    def move(self, number: int, price: int) -> None:
        order = self._engine.cancel_order(self._ids[number], SYMBOL)
        left = order.qty - order.cum_qty
        moved, _ = self._engine.add_order(SYMBOL, price, left, self._sides[number] + 1)
        self._ids[number] = moved.order_id

    def resting(self) -> int:
        book = self._engine.order_books[SYMBOL]
        return sum(len(level) for side in (book.bids, book.asks) for level in side.values())


class PyOrderBook:
    """pyorderbook: heaps of levels, Decimal prices, UUIDs."""

    package, what, note = "pyorderbook", "matching engine in Python", ""

    def __init__(self) -> None:
        module: Any = importlib.import_module("pyorderbook")
        orders: Any = importlib.import_module("pyorderbook.order")
        self._book = module.Book()
        self._make = (orders.bid, orders.ask)
        self._orders: dict[int, Any] = {}
        self.trades = self.volume = 0

    def add(self, number: int, side: int, price: int, quantity: int, flags: int) -> None:
        limit = (1 if side else HIGHEST) if flags == AT_MARKET else price
        order = self._make[side](SYMBOL, limit, quantity)
        for trade in self._book.match(order).trades:
            self.trades += 1
            self.volume += trade.fill_quantity
        if order.quantity and flags != RESTS:
            self._book.cancel(order)
        elif order.quantity:
            self._orders[number] = order

    def cancel(self, number: int) -> None:
        self._book.cancel(self._orders[number])

    def move(self, number: int, price: int) -> None:
        old = self._orders[number]
        self._book.cancel(old)
        order = self._make[0 if old.side.value == "bid" else 1](SYMBOL, price, old.quantity)
        self._book.match(order)
        self._orders[number] = order

    def resting(self) -> int:
        return len(self._book.order_map)


class OrderMatching:
    """order-matching: orders are placed and matched in two calls."""

    package, what, note = "order-matching", "matching engine in Python", ""

    def __init__(self) -> None:
        engine: Any = importlib.import_module("order_matching.matching_engine")
        orders: Any = importlib.import_module("order_matching.orders")
        order: Any = importlib.import_module("order_matching.order")
        enums: Any = importlib.import_module("order_matching.enums")
        log: Any = importlib.import_module("loguru")
        log.logger.remove()  # it would write a line for every order
        self._engine = engine.MatchingEngine(seed=1)
        self._orders, self._limit = orders.Orders, order.LimitOrder
        self._sides = (enums.Side.BUY, enums.Side.SELL)
        self._now = datetime(2026, 1, 1)  # noqa: DTZ001 - it compares with datetime.max, which has no zone
        self._known: dict[int, Any] = {}
        self._moves = 0
        self.trades = self.volume = 0

    def _send(self, name: str, side: int, price: int, quantity: int) -> Any:
        self._now += timedelta(microseconds=1)
        order = self._limit(
            side=self._sides[side], price=float(price), size=float(quantity), timestamp=self._now, order_id=name,
            trader_id="x",
        )  # fmt: skip
        self._engine.place(self._orders([order]))
        for trade in self._engine.match(timestamp=self._now).trades:
            self.trades += 1
            self.volume += int(trade.size)
        return order

    def add(self, number: int, side: int, price: int, quantity: int, flags: int) -> None:
        limit = (1 if side else HIGHEST) if flags == AT_MARKET else price
        order = self._send(str(number), side, limit, quantity)
        if order.size and flags != RESTS:
            self._engine.cancel_order(order.order_id)
        elif order.size:
            self._known[number] = order

    def cancel(self, number: int) -> None:
        self._engine.cancel_order(self._known[number].order_id)

    def move(self, number: int, price: int) -> None:
        old = self._known[number]
        self._engine.cancel_order(old.order_id)
        self._moves += 1
        self._known[number] = self._send(f"{number}/{self._moves}", self._sides.index(old.side), price, int(old.size))

    def resting(self) -> int:
        book = self._engine.unprocessed_orders
        return sum(len(level.orders) for side in (book.bids, book.offers) for level in side.values())


class Nautilus:
    """nautilus_trader's order book in Rust, called from Python: it keeps a book by order and matches nothing.

    So the matching is done beside it, in Python, and not timed: it gets what an exchange's feed would tell.
    """

    package = "nautilus_trader"
    what = "book by order in Rust, fed from Python"
    note = "keeps the book, does not match; time of the book's calls alone"

    def __init__(self) -> None:
        book: Any = importlib.import_module("nautilus_trader.model.book")
        data: Any = importlib.import_module("nautilus_trader.model.data")
        enums: Any = importlib.import_module("nautilus_trader.model.enums")
        objects: Any = importlib.import_module("nautilus_trader.model.objects")
        names: Any = importlib.import_module("nautilus_trader.model.identifiers")
        self._book = book.OrderBook(names.InstrumentId.from_str(f"{SYMBOL}.XCHG"), enums.BookType.L3_MBO)
        self._order = data.BookOrder
        self._price = [objects.Price(value, 0) for value in range(20_001)]
        self._size = [objects.Quantity(value, 0) for value in range(301)]
        self._sides = (enums.OrderSide.BUY, enums.OrderSide.SELL)
        self._orders: dict[int, list[int]] = {}
        self._queues: tuple[dict[int, dict[int, None]], ...] = ({}, {})
        self.spent = 0
        self.trades = self.volume = 0
        self._time = 0

    def _tell(self, what: str, number: int, side: int, price: int, quantity: int) -> None:
        self._time += 1
        began = time.perf_counter_ns()
        order = self._order(self._sides[side], self._price[price], self._size[quantity], number)
        getattr(self._book, what)(order, self._time, 0, self._time)
        self.spent += time.perf_counter_ns() - began

    def add(self, number: int, side: int, price: int, quantity: int, flags: int) -> None:
        queues = self._queues[1 - side]
        while quantity and queues:
            best = min(queues) if side == 0 else max(queues)
            if flags != AT_MARKET and (best > price if side == 0 else best < price):
                break
            maker = next(iter(queues[best]))
            order = self._orders[maker]
            part = min(quantity, order[2])
            quantity -= part
            order[2] -= part
            self.trades += 1
            self.volume += part
            if order[2]:
                self._tell("update", maker, 1 - side, best, order[2])
            else:
                self.cancel(maker)
        if quantity and flags == RESTS:
            self._queues[side].setdefault(price, {})[number] = None
            self._orders[number] = [side, price, quantity]
            self._tell("add", number, side, price, quantity)

    def cancel(self, number: int) -> None:
        side, price, quantity = self._orders.pop(number)
        del self._queues[side][price][number]
        if not self._queues[side][price]:
            del self._queues[side][price]
        self._tell("delete", number, side, price, quantity)

    def move(self, number: int, price: int) -> None:
        side, _, quantity = self._orders[number]
        self.cancel(number)
        self.add(number, side, price, quantity, RESTS)

    def resting(self) -> int:
        orders = [
            order for side in (self._book.bids(), self._book.asks()) for level in side for order in level.orders()
        ]
        return len(orders)


BOOKS: dict[str, type[Any]] = {cls.package: cls for cls in (Nautilus, Light, PyOrderBook, OrderMatching)}


def run(name: str, file: Path, prefill: int, seconds: float) -> dict[str, object]:
    """Run one for about so many seconds."""
    try:
        version = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return {"missing": name}
    book = BOOKS[name]()
    operations = np.load(file).tolist()
    times: list[int] = []
    clock = time.perf_counter_ns
    until, own = 0.0, hasattr(book, "spent")
    place = 0
    for place, (number, quantity, price, kind, side, flags) in enumerate(operations, start=1):
        began = book.spent if own else clock()
        if kind == ADD:
            book.add(number, side, price, quantity, flags)
        elif kind == CANCEL:
            book.cancel(number)
        else:
            book.move(number, price)
        times.append((book.spent if own else clock()) - began)
        if place == prefill:
            times.clear()
            until = time.monotonic() + seconds
        elif until and not place % 64 and time.monotonic() > until:
            break
    p50, p99 = np.percentile(times, (50, 99)) / 1e3
    with Path("/proc/self/smaps_rollup").open() as lines:
        memory = next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024
    return {
        "version": version, "what": BOOKS[name].what, "note": BOOKS[name].note, "operations": place,
        "per_second": 1e9 * len(times) / sum(times), "p50": p50, "p99": p99, "memory": memory,
        "trades": book.trades, "volume": book.volume, "resting": book.resting(),
    }  # fmt: skip


if __name__ == "__main__":
    if sys.argv[1] == "--list":
        print(json.dumps(list(BOOKS)))
    else:
        print(json.dumps(run(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))))
