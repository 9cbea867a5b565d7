"""Replays a plan in an engine of its own, and compares the book after every event.

The commands go in batches of many requests, with a read of the book behind each event; reads take part in the order
of a batch, so each sees the book as that event left it. All comparisons are done on arrays, after the batch.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

import engine
from engine import order_requests
from engine.order_results import OrderStatus, Side, TimeInForce, TransferCode
from engine.requests import clear
from examples.lobster import settlement
from examples.lobster.data import BUY, EMPTY_PRICE, Sample
from examples.lobster.plan import Plan, Step

EVENTS_PER_BATCH: Final = 2000

_STEPS: Final = np.zeros(len(Step), np.uint8)
_STEPS[[Step.ENTER, Step.TAKE, Step.REDUCE, Step.CANCEL, Step.BOOK]] = [
    order_requests.STEP_SUBMIT, order_requests.STEP_SUBMIT, order_requests.STEP_REPLACE, order_requests.STEP_CANCEL,
    order_requests.STEP_BOOK,
]  # fmt: skip

_STATUS: Final = np.zeros(len(Step), np.uint16)
_STATUS[[Step.ENTER, Step.TAKE, Step.REDUCE, Step.CANCEL]] = [
    OrderStatus.NEW, OrderStatus.FILLED, OrderStatus.REPLACED, OrderStatus.CANCELED,
]  # fmt: skip

Records = npt.NDArray[Any]


@dataclass(slots=True)
class Report:
    """What was done and what was found."""

    symbol: str
    levels: int
    events: int = 0
    """After so many events the book was compared."""
    mismatches: int = 0
    """Events after which it was another one than the data's."""
    orders: int = 0
    trades: int = 0
    shares: int = 0
    steps: Counter[str] = field(default_factory=Counter)
    transfers: dict[int, tuple[int, int]] = field(default_factory=dict)
    """For each code of generated transfers, how many there are and their sum."""
    wrong: list[str] = field(default_factory=list)
    """Whatever was not as it should be, in words."""


def symbol_words(symbol: str) -> list[int]:
    """Give a symbol as the three words of a record."""
    raw = symbol.encode("ascii").ljust(24, b"\0")
    return [int.from_bytes(raw[first : first + 8], "little") for first in (0, 8, 16)]


def put_symbol(records: Records, symbol: str) -> None:
    """Set the symbol of all records."""
    for name, word in zip(("symbol_0", "symbol_1", "symbol_2"), symbol_words(symbol), strict=True):
        records[name] = word


def instrument(symbol: str) -> Records:
    """Give the command that makes the instrument."""
    command = np.zeros(1, engine.INSTRUMENT_COMMAND)
    put_symbol(command, symbol)
    command["tick_size"], command["lot_size"] = settlement.TICK, settlement.LOT
    command["price_scale"] = command["contract_size"] = 1
    command["base_ledger"], command["quote_ledger"] = settlement.SHARES, settlement.DOLLARS
    command["maker_fee_ppm"], command["taker_fee_ppm"] = settlement.MAKER_FEE_PPM, settlement.TAKER_FEE_PPM
    command["sell_duty_ppm"] = settlement.SELL_DUTY_PPM
    command["fee_account_id"] = settlement.FEES
    command["session"] = 3  # continuous
    return command


def open_accounts(target: engine.Engine, symbol: str) -> None:
    """Make the accounts with their funds, the instrument and the trading accounts."""
    pairs = [(account, ledger) for account, ledger in zip((1, 2, 3), (settlement.DOLLARS, settlement.SHARES, settlement.DOLLARS), strict=True)]
    funded = [
        (settlement.account_of(trader, ledger), ledger)
        for trader in (settlement.MAKER, settlement.TAKER)
        for ledger in (settlement.DOLLARS, settlement.SHARES)
    ]
    accounts = np.zeros(len(pairs) + len(funded), engine.ACCOUNT_COMMAND)
    accounts["id"], accounts["ledger"] = zip(*pairs, *funded, strict=True)
    accounts["code"] = 1
    accounts["flags"][len(pairs) :] = engine.AccountFlag.DEBITS_MUST_NOT_EXCEED_CREDITS
    transfers = np.zeros(len(funded), engine.TRANSFER_COMMAND)
    transfers["id_lo"] = np.arange(1, len(funded) + 1)
    transfers["credit_account_id"], transfers["ledger"] = zip(*funded, strict=True)
    transfers["debit_account_id"] = np.where(
        transfers["ledger"] == settlement.DOLLARS, settlement.CENTRAL_BANK, settlement.REGISTRAR
    )
    transfers["amount"] = settlement.FUNDS
    transfers["code"] = 1
    traders = np.zeros(2, engine.TRADING_ACCOUNT_COMMAND)
    traders["id"] = settlement.MAKER, settlement.TAKER
    traders["link_first"], traders["link_count"] = (0, 2), 2
    links = np.zeros(len(funded), engine.LINK_COMMAND)
    links["account_id"], links["ledger"] = zip(*funded, strict=True)
    results = [
        target.create_accounts(accounts, target.last_timestamp + 1),
        target.create_transfers(transfers, target.last_timestamp + 1000),
        target.create_instruments(instrument(symbol), target.last_timestamp + 1),
        target.create_trading_accounts(traders, links, target.last_timestamp + 1),
    ]
    for result in results:
        if np.any(result["status"] != engine.Status.CREATED):
            raise RuntimeError(f"setting up: {result['status'].tolist()}")


@dataclass(frozen=True, slots=True)
class Commands:
    """A plan as records."""

    step: npt.NDArray[np.uint8]
    client: npt.NDArray[np.uint64]
    quantity: npt.NDArray[np.uint64]
    orders: Records
    amends: Records
    makers: npt.NDArray[np.uint64]
    """For the client number of a TAKE, that of its maker; 0 for others."""


def commands(plan: Plan, symbol: str) -> Commands:
    """Turn a plan into records."""
    step = np.array(plan.step, np.uint8)
    client, price, quantity = (np.array(column, np.uint64) for column in (plan.client, plan.price, plan.quantity))
    side = np.array(plan.side, np.uint16)
    submits = (step == Step.ENTER) | (step == Step.TAKE)
    orders = np.zeros(np.count_nonzero(submits), engine.ORDER_COMMAND)
    put_symbol(orders, symbol)
    orders["client_order_id_lo"] = client[submits]
    orders["side"] = np.where(side[submits] == BUY, Side.BUY, Side.SELL)
    orders["price"], orders["quantity"] = price[submits], quantity[submits]
    takes = step[submits] == Step.TAKE
    orders["account_id"] = np.where(takes, settlement.TAKER, settlement.MAKER)
    orders["time_in_force"] = np.where(takes, TimeInForce.IOC, TimeInForce.GTC)
    changes = (step == Step.REDUCE) | (step == Step.CANCEL)
    amends = np.zeros(np.count_nonzero(changes), engine.AMEND_COMMAND)
    amends["account_id"] = settlement.MAKER
    amends["client_order_id_lo"] = client[changes]
    reduces = step[changes] == Step.REDUCE
    amends["quantity"] = np.where(reduces, quantity[changes], 0)
    amends["fields"] = np.where(reduces, 1, 0)
    makers = np.zeros(int(client.max(initial=0)) + 1, np.uint64)
    makers[list(plan.makers)] = list(plan.makers.values())
    return Commands(step, client, quantity, orders, amends, makers)


def book_array(books: Records, levels: Records, depth: int) -> npt.NDArray[np.int64]:
    """Arrange books as the data have them: (books, side, level, price and size)."""
    counts = np.stack([books["bids"], books["asks"]], axis=1).ravel().astype(np.int64)
    if counts.max(initial=0) > depth or counts.sum() != len(levels):
        raise ValueError(f"{len(levels)} levels for {len(books)} books of at most {depth} levels on each side")
    group = np.repeat(np.arange(len(counts)), counts)
    place = np.arange(len(levels)) - np.repeat(np.cumsum(counts) - counts, counts)
    array = np.zeros((len(books), 2, depth, 2), np.int64)
    array[:, 0, :, 0], array[:, 1, :, 0] = -EMPTY_PRICE, EMPTY_PRICE
    flat = array.reshape(len(counts), depth, 2)
    flat[group, place, 0], flat[group, place, 1] = levels["price"], levels["quantity"]
    return array


class Replay:
    """One sample in one engine."""

    def __init__(self, sample: Sample, plan: Plan) -> None:
        """Set up the engine; `run` does the work."""
        self.sample, self.plan = sample, plan
        self.engine = engine.Engine()
        open_accounts(self.engine, sample.symbol)
        self.report = Report(sample.symbol, sample.levels)
        self.trades: list[tuple[int, int, bool]] = []
        self._commands = commands(plan, sample.symbol)
        self._ids = np.zeros(len(self._commands.makers), np.uint64)

    def run(self) -> Report:
        """Replay everything, then settle up: cancel what is open and compare the ledger with the trades."""
        given = self._commands
        ends = np.flatnonzero(given.step == Step.BOOK) + 1
        batch = engine.Batch()
        view = np.zeros(1, engine.ORDER_FILTER)
        put_symbol(view, self.sample.symbol)
        view["limit"] = self.sample.levels
        first = order = amend = 0
        for event in range(0, len(ends), EVENTS_PER_BATCH):
            end = int(ends[min(event + EVENTS_PER_BATCH, len(ends)) - 1])
            steps = _STEPS[given.step[first:end]]
            counts = np.bincount(steps, minlength=4)
            order_end = order + int(counts[order_requests.STEP_SUBMIT])
            amend_end = amend + int(counts[order_requests.STEP_CANCEL] + counts[order_requests.STEP_REPLACE])
            clear(batch)
            order_requests.append_steps(
                batch, steps, given.orders[order:order_end], given.amends[amend:amend_end], view, limit_max=self.sample.levels
            )
            self.engine.apply(batch, self.engine.last_timestamp + 1)
            self._check_answers(batch, first, end)
            self._check_books(batch, event)
            first, order, amend = end, order_end, amend_end
        self.report.orders = len(given.orders)
        self.report.steps = Counter(Step(step).name.lower() for step in self.plan.step)
        self._settle()
        return self.report

    def _check_answers(self, batch: engine.Batch, first: int, end: int) -> None:
        """Every command did what it should, and every execution hit the order that the data name, with all of its size."""
        given, wrong = self._commands, self.report.wrong
        steps = first + np.flatnonzero(given.step[first:end] != Step.BOOK)
        step, client = given.step[steps], given.client[steps]
        results, _ = order_requests.order_answers(batch)
        for place in np.flatnonzero(results["status"] != _STATUS[step])[:20]:
            wrong.append(f"step {steps[place]}, {Step(step[place]).name}: {results[place]}")
        submits = (step == Step.ENTER) | (step == Step.TAKE)
        self._ids[client[submits]] = results["order_id"][submits]
        takes = step == Step.TAKE
        trades = self.engine.trades_of(batch)
        if len(trades) != np.count_nonzero(takes):
            wrong.append(f"steps {first} to {end}: {len(trades)} trades for {np.count_nonzero(takes)} executions")
            return
        sells = trades["taker_side"] == Side.BUY  # the maker's side is the other one
        maker = np.where(sells, trades["sell_order_id"], trades["buy_order_id"])
        taker = np.where(sells, trades["buy_order_id"], trades["sell_order_id"])
        expected = given.orders[np.searchsorted(given.orders["client_order_id_lo"], client[takes])]
        good = (
            (taker == self._ids[client[takes]])
            & (maker == self._ids[given.makers[client[takes]]])
            & (trades["price"] == expected["price"])
            & (trades["quantity"] == expected["quantity"])
        )
        wrong.extend(f"trade {trades[place]}: not as in the data" for place in np.flatnonzero(~good)[:20])
        self.report.trades += len(trades)
        self.report.shares += int(trades["quantity"].sum())
        self.trades += zip(trades["price"].tolist(), trades["quantity"].tolist(), sells.tolist(), strict=True)

    def _check_books(self, batch: engine.Batch, event: int) -> None:
        ours = book_array(*order_requests.book_answers(batch), self.sample.levels)
        theirs = self.sample.book[event : event + len(ours)]
        different = np.flatnonzero((ours != theirs).any(axis=(1, 2, 3)))
        self.report.events += len(ours)
        self.report.mismatches += len(different)
        for place in different[: max(0, 20 - len(self.report.wrong))]:
            text = f"event {event + place}: the book is {ours[place].tolist()}, not {theirs[place].tolist()}"
            self.report.wrong.append(text)

    def _settle(self) -> None:
        condition = np.zeros(1, engine.MASS_CANCEL_COMMAND)
        put_symbol(condition, self.sample.symbol)
        self.engine.mass_cancel(condition, self.engine.last_timestamp + 1)
        books = settlement.expected(self.trades)
        for code in TransferCode:
            found = self._transfers(code)
            if found[0]:
                self.report.transfers[int(code)] = found
        accounts = self.engine.lookup_accounts(np.array(list(books.balances), np.uint64))
        self.report.wrong += settlement.differences(books, accounts, self.report.transfers)
        self.engine.check_invariants()

    def _transfers(self, code: TransferCode) -> tuple[int, int]:
        """Give number and sum of the transfers of a code."""
        wanted = np.zeros(1, engine.FILTER)
        wanted["code"], wanted["limit"] = code, 8190
        count = total = 0
        while len(page := self.engine.query_transfers(wanted)):
            count += len(page)
            total += sum(page["amount"].tolist())
            wanted["timestamp_min"] = int(page["timestamp"][-1]) + 1
        return count, total
