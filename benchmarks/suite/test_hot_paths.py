"""Posting, the wire, the log's records, matching and risk: in one process, on CPU time."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import engine as engine_package
from engine import (
    ACCOUNT_COMMAND,
    INSTRUMENT_COMMAND,
    LINK_COMMAND,
    ORDER_COMMAND,
    TRADING_ACCOUNT_COMMAND,
    TRANSFER_COMMAND,
    Batch,
    Engine,
    Limits,
    log_record,
    order_requests,
    requests,
)
from engine.matching.solo import OPERATION, OrderBook
from engine.order_results import OrderType, Session, TimeInForce
from loadtest.requests import Requests
from loadtest.workload import Workload
from server import wire

ROUNDS = 60
WARM_UP = 5
BATCH = 1_024
TIME = 1_795_350_000_000_000_001

pytestmark = pytest.mark.benchmark(timer=time.thread_time)


def measure(benchmark: Any, work: Callable[..., object], *, setup: Callable[[], Any] | None = None, per: int) -> Any:
    """Time `work`, once a round, on what `setup` gives; `per` is how many messages a call handles."""
    benchmark.extra_info |= {"messages": per, "build": engine_package.__file__}
    return benchmark.pedantic(work, setup=setup, rounds=ROUNDS, warmup_rounds=WARM_UP if setup is None else 0)


# --- posting ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spread", "shape", "items"),
    [("uniform", "single", 1), ("hot", "single", 1), ("uniform", "two_phase", 1), ("uniform", "single", 1_000)],
)
def test_posting(benchmark: Any, spread: Any, shape: Any, items: int) -> None:
    """Engine.apply on batches of 1,024 transfers between 100,000 accounts."""
    engine = Engine(Limits(accounts_max=100_001, transfers_max=1_000_000))
    engine.populate_ahead()
    workload = Workload(seed=3, accounts=100_000, spread=spread, shape=shape)
    for first in range(0, 100_000, 5_000):
        engine.create_accounts(workload.account_commands(first, 5_000), engine.last_timestamp + 1)
    source = Requests(workload, items=items)
    count = max(1, BATCH // items)
    batches = [Batch() for _ in range(ROUNDS + WARM_UP)]
    for number, batch in enumerate(batches):
        source.fill(batch, number * count, count)
    for batch in batches[:WARM_UP]:
        engine.apply(batch, engine.last_timestamp + 1)
    left = iter(batches[WARM_UP:])

    def setup() -> tuple[tuple[Batch], dict[str, Any]]:
        while not engine.populated:
            time.sleep(0.0002)
        return (next(left),), {}

    measure(benchmark, lambda batch: engine.apply(batch, engine.last_timestamp + 1), setup=setup, per=count * items)
    assert engine.transfers == (ROUNDS + WARM_UP) * count * items


# --- the wire -----------------------------------------------------------------------------------------


def lines(items: int, total: int) -> bytes:
    """Requests of so many plain transfers, in all so many."""
    draw = np.random.default_rng(7)
    made = np.zeros(total, TRANSFER_COMMAND)
    made["id_hi"], made["id_lo"] = draw.integers(0, 2**63, (2, total), np.uint64)
    made["debit_account_id"], made["credit_account_id"] = draw.integers(1, 10**7, (2, total))
    made["amount"] = (10 ** draw.uniform(1, 8, total)).astype(np.uint64)
    made["ledger"], made["code"] = 156, 10
    if items == 1:
        return wire.encode_single_transfers(1, made)
    return b"".join(wire.encode_create_transfers(n, made[n : n + items]) for n in range(0, total, items))


@pytest.mark.parametrize("items", [1, 1_000])
def test_parsing(benchmark: Any, items: int) -> None:
    """Lines of JSON into a batch."""
    text, total = lines(items, 4_000), 4_000
    parser = wire.Parser(batch_items_max=2**30)
    parser.allow(wire.METHODS_ALL, 0, logged_on=True, int64_strings=False)
    batch = Batch()

    def setup() -> tuple[tuple[()], dict[str, Any]]:
        requests.clear(batch)
        parser.feed(text)
        return (), {}

    assert measure(benchmark, lambda: parser.parse(batch, 1), setup=setup, per=total) == wire.IDLE
    assert len(batch) == total // items


@pytest.mark.parametrize("items", [1, 1_000])
def test_replies(benchmark: Any, items: int) -> None:
    """Results of a batch into lines of JSON."""
    workload = Workload(seed=3, accounts=1_000)
    engine = Engine(Limits(accounts_max=1_001, transfers_max=100_000))
    engine.create_accounts(workload.account_commands(0, 1_000), engine.last_timestamp + 1)
    batch = Batch()
    Requests(workload, items=items).fill(batch, 0, 4_000 // items)
    engine.apply(batch, engine.last_timestamp + 1)
    [(_, text)] = measure(benchmark, lambda: wire.encode(batch, 123_456, TIME), per=4_000)
    assert text.count(b'"created"') == 4_000


# --- the log's records --------------------------------------------------------------------------------


@pytest.mark.parametrize("items", [1, 1_000])
def test_log_record(benchmark: Any, items: int) -> None:
    """A batch of 1,000 transfers into the payload of a row."""
    batch = Batch()
    Requests(Workload(seed=3, accounts=10_000), items=items).fill(batch, 0, 1_000 // items)
    payload = measure(benchmark, lambda: log_record.encode(batch, TIME), per=1_000)
    assert log_record.decode(payload, Batch()) == TIME


# --- matching and risk --------------------------------------------------------------------------------


def test_book(benchmark: Any) -> None:
    """The order book alone: passive orders and cancels around a middle, 5 % aggressive."""
    draw = np.random.default_rng(11)
    flow = np.zeros(20_000, OPERATION)
    live: list[int] = []
    number = 0
    for place in range(len(flow)):
        if len(live) > 1_000 and draw.random() < 0.5:
            gone = live.pop(int(draw.integers(len(live))))
            flow[place] = (gone, 0, 0, 1, 0, 0)
            continue
        number += 1
        side, offset = int(draw.integers(2)), int(draw.geometric(0.1))
        price = 10_000 - offset if side == 0 else 10_000 + offset
        flow[place] = (number, int(draw.integers(1, 100)), price, 0, side, 0)
        live.append(number)

    def setup() -> tuple[tuple[OrderBook], dict[str, Any]]:
        return (OrderBook(len(flow) + 1, len(flow) + 1),), {}

    measure(benchmark, lambda book: book.run(flow), setup=setup, per=len(flow))


def test_orders(benchmark: Any) -> None:
    """Limit orders with holds, settlement, fees, executions and the checks of limits that nobody has."""
    engine = market()
    count = (ROUNDS + WARM_UP) * BATCH
    draw = np.random.default_rng(5)
    orders = np.zeros(count, ORDER_COMMAND)
    orders["client_order_id_lo"] = range(1, count + 1)
    orders["account_id"], orders["side"] = draw.integers(1, 9, count), draw.integers(0, 2, count)
    orders["symbol_0"], orders["quantity"] = int.from_bytes(b"BENCH", "little"), 1
    orders["price"] = 10_000 + draw.integers(-20, 21, count)
    orders["type"], orders["time_in_force"] = OrderType.LIMIT, TimeInForce.GTC
    batches = []
    for first in range(0, count, BATCH):
        batch = Batch()
        order_requests.append(batch, "submit_orders", orders[first : first + BATCH])
        batches.append(batch)
    for batch in batches[:WARM_UP]:
        engine.apply(batch, engine.last_timestamp + 1)
    left = iter(batches[WARM_UP:])

    def setup() -> tuple[tuple[Batch], dict[str, Any]]:
        while not engine.populated:
            time.sleep(0.0002)
        return (next(left),), {}

    measure(benchmark, lambda batch: engine.apply(batch, engine.last_timestamp + 1), setup=setup, per=BATCH)
    assert engine.orders == count
    assert engine.trades > count // 4


def market() -> Engine:
    """One instrument and eight traders who have more than they can spend."""
    engine = Engine(Limits(transfers_max=4_000_000))
    engine.populate_ahead()
    accounts = np.zeros(19, ACCOUNT_COMMAND)
    accounts["id"] = [1, 2, 9, *range(100, 108), *range(200, 208)]
    accounts["ledger"], accounts["code"] = [156, 600, 156, *[156] * 8, *[600] * 8], 1
    engine.create_accounts(accounts, engine.last_timestamp + 1)
    transfers = np.zeros(16, TRANSFER_COMMAND)
    transfers["id_lo"], transfers["code"], transfers["amount"] = range(1, 17), 1, 2**50
    transfers["debit_account_id"], transfers["credit_account_id"] = [1] * 8 + [2] * 8, accounts["id"][3:]
    transfers["ledger"] = [156] * 8 + [600] * 8
    engine.create_transfers(transfers, engine.last_timestamp + 1)
    instrument = np.zeros(1, INSTRUMENT_COMMAND)
    instrument["symbol_0"] = int.from_bytes(b"BENCH", "little")
    for name in ("tick_size", "lot_size", "price_scale", "contract_size"):
        instrument[name] = 1
    instrument["base_ledger"], instrument["quote_ledger"], instrument["fee_account_id"] = 600, 156, 9
    instrument["market_protection_ppm"], instrument["session"] = 1_000_000, Session.CONTINUOUS
    engine.create_instruments(instrument, engine.last_timestamp + 1)
    traders = np.zeros(8, TRADING_ACCOUNT_COMMAND)
    traders["id"], traders["link_first"], traders["link_count"] = range(1, 9), range(0, 16, 2), 2
    links = np.zeros(16, LINK_COMMAND)
    links["ledger"] = [156, 600] * 8
    links["account_id"] = np.column_stack((np.arange(100, 108), np.arange(200, 208))).ravel()
    engine.create_trading_accounts(traders, links, engine.last_timestamp + 1)
    return engine
