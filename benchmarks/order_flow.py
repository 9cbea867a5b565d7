"""Seeded order flow for books, with the answer that a correct book must give.

The mix: 5 % aggressive orders (60 % immediate-or-cancel, 20 % market, 20 % limit whose rest stays), 2.5 % moves, 2.5 %
reductions, and passive orders and cancels of a random resting order that hold the number of resting orders at `depth`.
Passive prices lie around a middle that walks; `swing` lets it run through the whole range of prices, up and down,
several times, as in a flash crash.

`matching_workload` reads the workload that public engines were compared with, where a copy of it is found; it brings
its own answer.
"""

import heapq
import importlib.util
import math
import os
import random
from collections import deque
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from engine.matching.solo import OPERATION

FNV_START, FNV_PRIME, WORD = 0xCBF29CE484222325, 0x100000001B3, 2**64 - 1
ADD, CANCEL, MOVE, REDUCE = range(4)
RESTS, AT_ONCE, AT_MARKET = 0, 1, 3


class Flow(NamedTuple):
    """Operations, the first `prefill` of which build the book and are not timed, and what they must lead to."""

    operations: npt.NDArray[Any]
    prefill: int
    trades: int
    trade_hash: int
    resting: int


class PlainBook:
    """Price-time priority in the plainest way: a queue per price, a heap of prices per side."""

    def __init__(self) -> None:
        self.queues: tuple[dict[int, deque[int]], dict[int, deque[int]]] = ({}, {})
        self.heaps: tuple[list[int], list[int]] = ([], [])
        self.orders: dict[int, list[int]] = {}
        self.trades = 0
        self.volume = 0
        self.hash = FNV_START

    def best(self, side: int) -> int:
        """Best price of a side, 0 when it is empty; emptied prices are dropped on the way."""
        heap, queues = self.heaps[side], self.queues[side]
        while heap:
            price = -heap[0] if side == 0 else heap[0]
            queue = queues.get(price)
            while queue and (queue[0] not in self.orders or self.orders[queue[0]][1] != price):
                queue.popleft()
            if queue:
                return price
            queues.pop(price, None)
            heapq.heappop(heap)
        return 0

    def rest(self, number: int, side: int, price: int, quantity: int) -> None:
        """Puts an order behind its equals."""
        if price not in self.queues[side]:
            self.queues[side][price] = deque()
            heapq.heappush(self.heaps[side], -price if side == 0 else price)
        self.queues[side][price].append(number)
        self.orders[number] = [side, price, quantity]

    def add(self, number: int, side: int, price: int, quantity: int, flags: int) -> None:
        """Matches an order; what is left rests unless it is for at once."""
        while quantity:
            best = self.best(1 - side)
            if not best or (flags != AT_MARKET and (best > price if side == 0 else best < price)):
                break
            maker = self.queues[1 - side][best][0]
            part = min(quantity, self.orders[maker][2])
            quantity -= part
            self.orders[maker][2] -= part
            self.trades += 1
            self.volume += part
            for word in (number, maker, best, part):
                self.hash = (self.hash ^ word) * FNV_PRIME & WORD
            if not self.orders[maker][2]:
                del self.orders[maker]
        if quantity and flags == RESTS:
            self.rest(number, side, price, quantity)


def generate(
    operations: int,
    depth: int,
    *,
    seed: int = 1,
    spread: float = 100.0,
    highest: int = 20_000,
    swing: bool = False,
    reductions: bool = True,
) -> Flow:
    """Random flow as described above, over prices 1 … highest; without `reductions` there are moves instead."""
    draw = random.Random(seed)
    book = PlainBook()
    live: list[int] = []
    rows: list[tuple[int, int, int, int, int, int]] = []
    middle = highest // 2
    number = 0
    scale = math.log(1 - 1 / spread)

    def passive(side: int) -> int:
        offset = 1 + int(math.log(1 - draw.random()) / scale)
        opposite = book.best(1 - side)
        if side == 0:
            return max(1, min(middle - offset, (opposite or highest + 1) - 1))
        return min(highest, max(middle + offset, opposite + 1))

    def pick() -> int:
        while True:  # closed orders leave the list when they are met
            place = draw.randrange(len(live))
            if live[place] in book.orders:
                return place
            live[place] = live[-1]
            live.pop()

    for step in range(depth + operations):
        if swing:
            middle = int(highest * (0.5 + 0.49 * math.sin(step * 8 * math.pi / (depth + operations))))
        elif draw.random() < 0.02:
            middle += 1 if draw.random() < 0.5 - (middle - highest / 2) / 200 else -1
        chance = draw.random()
        if step >= depth and chance < 0.05:
            side, quantity = draw.randrange(2), 1 + draw.randrange(150)
            kind = draw.random()
            flags = AT_MARKET if kind < 0.2 else AT_ONCE if kind < 0.8 else RESTS
            best = book.best(1 - side) or middle
            price = min(highest, best + draw.randrange(4)) if side == 0 else max(1, best - draw.randrange(4))
            number += 1
            rows.append((number, quantity, 0 if flags == AT_MARKET else price, ADD, side, flags))
            book.add(number, side, price, quantity, flags)
            if number in book.orders:
                live.append(number)
            continue
        if step >= depth and chance < 0.10 and book.orders:
            order = live[pick()]
            side, price, quantity = book.orders[order]
            if chance < 0.075 or quantity == 1 or not reductions:
                moved = passive(side)
                rows.append((order, 0, moved, MOVE, side, 0))
                # The place in the old queue is given up by being queued anew.
                old = book.queues[side][price]
                old.remove(order)
                book.rest(order, side, moved, quantity)
            else:
                left = 1 + draw.randrange(quantity - 1)
                rows.append((order, left, 0, REDUCE, side, 0))
                book.orders[order][2] = left
            continue
        lacking = max(-1.0, min(1.0, (depth - len(book.orders)) / (0.02 * depth)))
        if step >= depth and draw.random() >= 0.5 + 0.2 * lacking and book.orders:
            place = pick()
            order = live[place]
            live[place] = live[-1]
            live.pop()
            side, price, _ = book.orders.pop(order)
            rows.append((order, 0, 0, CANCEL, side, 0))
            continue
        side, quantity = draw.randrange(2), 1 + draw.randrange(100)
        price = passive(side)
        number += 1
        rows.append((number, quantity, price, ADD, side, RESTS))
        book.add(number, side, price, quantity, RESTS)
        if number in book.orders:
            live.append(number)
    return Flow(np.array(rows, dtype=OPERATION), depth, book.trades, book.hash, len(book.orders))


# --- the public workload ----------------------------------------------------------------------------


def find_public() -> Path | None:
    """The file of the public workload, if it is here."""
    roots = [Path(__file__).resolve().parents[2] / "shared"]
    if "TONGBAO_SHARED_DATA" in os.environ:
        roots.insert(0, Path(os.environ["TONGBAO_SHARED_DATA"]).parent)
    found = (root / "workloads" / "matching_workload.py" for root in roots)
    return next((path for path in found if path.exists()), None)


def load(path: Path) -> ModuleType:
    """The workload as a module."""
    spec = importlib.util.spec_from_file_location("matching_workload", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path}: cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def matching_workload(path: Path, operations: int, depth: int) -> Flow:
    """The public workload, which carries its own answer."""
    kinds = {"A": ADD, "C": CANCEL, "M": MOVE, "D": REDUCE}
    flags = {"GTC": RESTS, "IOC": AT_ONCE, "MKT": AT_MARKET}
    rows: list[tuple[int, int, int, int, int, int]] = []

    def write(row: tuple[str, int, str, int, int, str]) -> None:
        operation, number, side, price, quantity, force = row
        rows.append((number, quantity, price, kinds[operation], int(side == "S"), flags[force]))

    spread = 10.0 if depth <= 10_000 else 100.0
    book, _, _ = load(path).generate(operations, depth, 20260101, spread, write)
    expected = book.result()
    return Flow(
        np.array(rows, dtype=OPERATION), depth, expected["trades"], int(expected["hash"], 16), expected["resting"]
    )
