"""Order books in process, one thread: the book alone, and with holds, settlement and fees.

The flow is the public workload (benchmarks/order_flow.py says where it is looked for), whose trade hash every row must
reproduce, else one of our own with the same mix; and a flow of our own whose price swings through 16 million ticks.
"Settled" is `Engine.apply` on prepared batches of 1,000 commands by 64 trading accounts on one instrument with maker
and taker fees: every order is kept under its client order id, holds funds or assets in the ledger, every fill posts
cash, asset and both fees, and every event is an execution. Its trades must be those of the book alone. Times are CPU
times; a figure is the median over rounds.
"""

import time
from collections.abc import Iterator
from itertools import pairwise
from statistics import median
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from benchmarks import order_flow
from benchmarks.figures import Figure, main
from benchmarks.order_flow import ADD, AT_MARKET, AT_ONCE, CANCEL, Flow
from engine import (
    ACCOUNT_COMMAND,
    AMEND_COMMAND,
    INSTRUMENT_COMMAND,
    LINK_COMMAND,
    ORDER_COMMAND,
    TRADING_ACCOUNT_COMMAND,
    TRANSFER_COMMAND,
    Batch,
    Engine,
    Limits,
    order_requests,
)
from engine.matching.solo import OrderBook
from engine.order_results import AmendField, OrderType, Session, TimeInForce
from examples.lobster import data
from examples.lobster.plan import plan
from examples.lobster.replay import terms
from examples.market.drive import drive, open_market
from examples.market.plan import Step

ROUNDS = 7
TRADERS = 64
BATCH = 1_000
FUNDS = 2**56
BASE, QUOTE, FEES = 600_000, 156, 9


def flows(full: bool) -> Iterator[tuple[str, Flow]]:
    """Name and flow of each case."""
    public = order_flow.find_public()
    operations = 1_000_000 if full else 300_000
    for name, depth in (("1 k resting", 1_000), ("100 k resting", 100_000)):
        if public is not None:
            yield name, order_flow.matching_workload(public, operations, depth)
        else:
            yield name, order_flow.generate(operations, depth, spread=10.0 if depth <= 10_000 else 100.0)
    for name, depth, spread in (("1 k resting, swinging", 1_000, 10.0), ("100 k resting, swinging", 100_000, 2_000.0)):
        yield name, order_flow.generate(min(operations, 300_000), depth, spread=spread, highest=2**24, swing=True)


def alone(flow: Flow) -> float:
    """Nanoseconds per operation of the book alone."""
    book = OrderBook(len(flow.operations) + 1, len(flow.operations) + 1)
    book.run(flow.operations[: flow.prefill])
    start = time.thread_time_ns()
    book.run(flow.operations[flow.prefill :])
    spent = time.thread_time_ns() - start
    check("the book alone", flow, book.trades, book.resting)
    if book.trade_hash != flow.trade_hash:
        raise AssertionError(f"the trade hash is {book.trade_hash:016x} instead of {flow.trade_hash:016x}")
    return spent / (len(flow.operations) - flow.prefill)


def check(what: str, flow: Flow, trades: int, resting: int) -> None:
    """The counts that the flow's answer gives."""
    if (trades, resting) != (flow.trades, flow.resting):
        raise AssertionError(
            f"{what}: {trades} trades and {resting} resting instead of {flow.trades} and {flow.resting}"
        )


# --- with holds, settlement and fees ----------------------------------------------------------------


def exchange() -> Engine:
    """An engine with one instrument and traders who have more than they can spend."""
    engine = Engine(
        Limits(orders_max=4_000_000, trades_max=4_000_000, executions_max=16_000_000, transfers_max=32_000_000)
    )
    accounts = np.zeros(2 * TRADERS + 3, dtype=ACCOUNT_COMMAND)
    accounts["id"] = [1, 2, FEES, *range(1_000, 1_000 + TRADERS), *range(2_000, 2_000 + TRADERS)]
    accounts["ledger"] = [QUOTE, BASE, QUOTE, *[QUOTE] * TRADERS, *[BASE] * TRADERS]
    accounts["code"] = 1
    engine.create_accounts(accounts, engine.last_timestamp + 1)
    transfers = np.zeros(2 * TRADERS, dtype=TRANSFER_COMMAND)
    transfers["id_lo"] = range(1, 2 * TRADERS + 1)
    transfers["debit_account_id"] = [1] * TRADERS + [2] * TRADERS
    transfers["credit_account_id"] = [*range(1_000, 1_000 + TRADERS), *range(2_000, 2_000 + TRADERS)]
    transfers["amount"], transfers["code"] = FUNDS, 1
    transfers["ledger"] = [QUOTE] * TRADERS + [BASE] * TRADERS
    engine.create_transfers(transfers, engine.last_timestamp + 1)
    instrument = np.zeros(1, dtype=INSTRUMENT_COMMAND)
    instrument["symbol_0"] = int.from_bytes(b"BENCH", "little")
    for name in ("tick_size", "lot_size", "price_scale", "contract_size"):
        instrument[name] = 1
    instrument["base_ledger"], instrument["quote_ledger"], instrument["fee_account_id"] = BASE, QUOTE, FEES
    instrument["maker_fee_ppm"], instrument["taker_fee_ppm"] = 200, 500
    instrument["market_protection_ppm"], instrument["session"] = 1_000_000, Session.CONTINUOUS
    engine.create_instruments(instrument, engine.last_timestamp + 1)
    traders = np.zeros(TRADERS, dtype=TRADING_ACCOUNT_COMMAND)
    traders["id"] = range(1, TRADERS + 1)
    traders["link_first"], traders["link_count"] = range(0, 2 * TRADERS, 2), 2
    links = np.zeros(2 * TRADERS, dtype=LINK_COMMAND)
    links["ledger"] = [QUOTE, BASE] * TRADERS
    links["account_id"] = [1_000 + i // 2 if i % 2 == 0 else 2_000 + i // 2 for i in range(2 * TRADERS)]
    engine.create_trading_accounts(traders, links, engine.last_timestamp + 1)
    return engine


def trader_of(numbers: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Orders go round the traders."""
    return numbers % TRADERS + 1


def commands(flow: Flow) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """The operations as order and amend commands, each at its operation's place."""
    operations = flow.operations
    orders = np.zeros(len(operations), dtype=ORDER_COMMAND)
    orders["client_order_id_lo"], orders["account_id"] = operations["id"], trader_of(operations["id"])
    orders["symbol_0"] = int.from_bytes(b"BENCH", "little")
    orders["price"], orders["quantity"], orders["side"] = (
        operations["price"],
        operations["quantity"],
        operations["side"],
    )
    orders["time_in_force"] = np.where(operations["flags"] & AT_ONCE, TimeInForce.IOC, TimeInForce.GTC)
    orders["type"] = np.where(operations["flags"] == AT_MARKET, OrderType.MARKET, OrderType.LIMIT)
    amends = np.zeros(len(operations), dtype=AMEND_COMMAND)
    amends["account_id"], amends["order_id"] = trader_of(operations["id"]), operations["id"]
    amends["price"], amends["quantity"] = operations["price"], operations["quantity"]
    amends["fields"] = np.where(operations["kind"] == order_flow.MOVE, AmendField.PRICE, AmendField.QUANTITY)
    return orders, amends


def batches(flow: Flow) -> list[Batch]:
    """The flow in batches; neighbours of one kind share a request, as the items of a client's array do."""
    orders, amends = commands(flow)
    kinds = np.minimum(flow.operations["kind"], order_flow.MOVE)
    made = []
    for first in range(0, len(kinds), BATCH):
        batch = Batch()
        part = kinds[first : first + BATCH]
        borders = [0, *(np.flatnonzero(np.diff(part)) + 1).tolist(), len(part)]
        for start, end in pairwise(borders):
            rows = slice(first + start, first + end)
            if part[start] == ADD:
                order_requests.append(batch, "submit_orders", orders[rows])
            else:
                method = "cancel_orders" if part[start] == CANCEL else "replace_orders"
                order_requests.append(batch, method, amends[rows])
        made.append(batch)
    return made


def totals(flow: Flow) -> Flow:
    """The operations as replaces mean them, which tell an order's total and keep its place at the same price.

    A reduction tells what is left open: what has been filled is added. A move to the price that the order has gives up
    its place: it becomes two commands, one more and back again.
    """
    book = OrderBook(len(flow.operations) + 1, len(flow.operations) + 1, keep_trades=flow.trades)
    operations = flow.operations.copy()
    most = int(operations["id"].max()) + 1
    filled, total = np.zeros(most, dtype=np.uint64), np.zeros(most, dtype=np.uint64)
    prices = np.zeros(most, dtype=np.uint32)
    idle: list[int] = []
    done = seen = 0
    for place, (number, quantity, price, kind) in enumerate(
        zip(*(operations[name].tolist() for name in ("id", "quantity", "price", "kind")), strict=True)
    ):
        if kind == ADD:
            total[number], prices[number] = quantity, price
        elif kind == order_flow.MOVE and prices[number] == price:
            operations["kind"][place], operations["quantity"][place] = order_flow.REDUCE, total[number]
            idle.append(place)
        elif kind == order_flow.MOVE:
            prices[number] = price
        elif kind == order_flow.REDUCE:
            book.run(flow.operations[done:place])
            done = place
            trades = book.kept()[seen : book.trades]
            np.add.at(filled, trades["maker"], trades["quantity"])
            np.add.at(filled, trades["taker"], trades["quantity"])
            seen = book.trades
            total[number] = operations["quantity"][place] = quantity + filled[number]
    more = operations[idle]
    more["quantity"] += 1
    return flow._replace(operations=np.insert(operations, idle, more))


def settled(flow: Flow, prepared: list[Batch], first: int) -> float:
    """Nanoseconds per operation of the whole: the prefill's batches are not timed."""
    engine = exchange()
    engine.populate_ahead()
    spent = 0
    for number, batch in enumerate(prepared):
        while not engine.populated:
            time.sleep(0.0002)
        start = time.thread_time_ns()
        engine.apply(batch, engine.last_timestamp + 1)
        if number >= first:
            spent += time.thread_time_ns() - start
        order_requests.forget_answers(batch)
    check("settled", flow, engine.trades, engine.open_orders)
    return spent / (len(flow.operations) - first * BATCH)


def measure(full: bool) -> Iterator[Figure]:
    """Every case in turn, rounds interleaved with nothing else; the first round warms up."""
    for name, flow in flows(full):
        times = [alone(flow) for _ in range(ROUNDS + 1)][1:]
        yield figure(f"book/{name}", times, flow)
        if "swinging" in name:
            continue
        settling = totals(flow)
        prepared = batches(settling)
        times = [settled(settling, prepared, flow.prefill // BATCH) for _ in range(3 if full else 2)]
        yield figure(f"settled/{name}", times, flow)
    directory = data.find()
    if directory is not None:
        yield lobster(data.read(directory, "AMZN", 5), 5 if full else 2)


class Timed:
    """An engine whose batches are timed."""

    def __init__(self) -> None:
        self.engine = Engine()
        self.engine.populate_ahead()
        self.spent = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.engine, name)

    def apply(self, batch: Batch, at: int) -> None:
        """Applies it, with the engine's memory ready as in a server."""
        while not self.engine.populated:
            time.sleep(0.0002)
        start = time.thread_time_ns()
        self.engine.apply(batch, at)
        self.spent += time.thread_time_ns() - start


def lobster(sample: data.Sample, rounds: int) -> Figure:
    """A stock's day with settlement, and a look at the first five levels of the book behind each of its events."""
    steps = plan(sample)
    orders = sum(step != Step.BOOK for step in steps.step)
    times = []
    for _ in range(rounds):
        target = Timed()
        open_market(cast("Engine", target), terms(sample.symbol))
        for part in drive(cast("Engine", target), steps, sample.symbol, sample.levels):
            books = sample.book[part.first_event : part.first_event + len(part.books)]
            if not np.array_equal(part.books, books):
                raise AssertionError(f"lobster: another book than the data's from event {part.first_event} on")
        times.append(target.spent / len(sample))
    middle = median(times)
    note = (
        f"{middle:.0f} ns an event ({min(times):.0f} to {max(times):.0f}); {len(sample):,} events: {orders:,} commands "
        f"and as many reads of the book as events"
    )
    return Figure(f"replay/{sample.symbol}-{sample.levels}", 1e9 / middle, "events/s", note, {"ns": times})


def figure(name: str, times: list[float], flow: Flow) -> Figure:
    """One figure out of nanoseconds per operation."""
    middle = median(times)
    note = f"{middle:.0f} ns an operation ({min(times):.0f} to {max(times):.0f}), {flow.trades:,} trades"
    return Figure(name, 1e9 / middle, "operations/s", note, {"ns": times})


if __name__ == "__main__":
    main(__doc__, measure)
