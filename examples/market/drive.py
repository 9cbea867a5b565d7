"""Drives a plan through an engine of its own, many requests in a batch.

Reads take part in the order of a batch, so that the read of the book behind each event sees it as that event left
it. What comes back are arrays; whoever drives compares them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

import engine
from engine import order_requests
from engine.order_results import AmendField, Session, Side, TimeInForce, TransferCode
from engine.requests import clear
from examples.market import settlement
from examples.market.plan import Plan, Step
from examples.market.settlement import BUYER, CENTRAL_BANK, FEES, FUNDS, GOODS, MONEY, REGISTRAR, SELLER, Terms

EVENTS_PER_BATCH: Final = 2000
NO_LEVEL: Final = 9_999_999_999
"""Price of an ask level that is not there; negative for a bid."""

Records = npt.NDArray[Any]

_STEPS: Final = np.zeros(len(Step), np.uint8)
_STEPS[[Step.ENTER, Step.TAKE]] = order_requests.STEP_SUBMIT
_STEPS[Step.REPLACE] = order_requests.STEP_REPLACE
_STEPS[Step.CANCEL] = order_requests.STEP_CANCEL
_STEPS[Step.BOOK] = order_requests.STEP_BOOK


@dataclass(frozen=True, slots=True)
class Part:
    """What one batch has answered."""

    steps: npt.NDArray[np.intp]
    """Places in the plan of its commands, without the looks at the book."""
    results: Records
    """ORDER_RESULT of each of them."""
    trades: Records
    """TRADE_VIEW, in order."""
    first_event: int
    books: npt.NDArray[np.int64]
    """The book after each event: (events, side, level, price and quantity); NO_LEVEL and 0 where there is none."""


def put_symbol(records: Records, symbol: str) -> None:
    """Set the symbol of all records."""
    raw = symbol.encode("ascii").ljust(24, b"\0")
    for name, first in (("symbol_0", 0), ("symbol_1", 8), ("symbol_2", 16)):
        records[name] = int.from_bytes(raw[first : first + 8], "little")


def accounts() -> tuple[Records, Records]:
    """Give the commands that make the accounts, and the transfers that fund them."""
    bank = [(CENTRAL_BANK, MONEY), (REGISTRAR, GOODS), (FEES, MONEY)]
    funded = [
        (settlement.account_of(trader, ledger), ledger) for trader in (BUYER, SELLER) for ledger in (MONEY, GOODS)
    ]
    made = np.zeros(len(bank) + len(funded), engine.ACCOUNT_COMMAND)
    made["id"], made["ledger"] = zip(*bank, *funded, strict=True)
    made["code"] = 1
    made["flags"][len(bank) :] = engine.AccountFlag.DEBITS_MUST_NOT_EXCEED_CREDITS
    funds = np.zeros(len(funded), engine.TRANSFER_COMMAND)
    funds["id_lo"] = np.arange(1, len(funded) + 1)
    funds["credit_account_id"], funds["ledger"] = zip(*funded, strict=True)
    funds["debit_account_id"] = np.where(funds["ledger"] == MONEY, CENTRAL_BANK, REGISTRAR)
    funds["amount"], funds["code"] = FUNDS, 1
    return made, funds


def open_market(target: engine.Engine, terms: Terms) -> None:
    """Make accounts with funds, the instrument, and the trading accounts."""
    command = np.zeros(1, engine.INSTRUMENT_COMMAND)
    put_symbol(command, terms.symbol)
    command["base_ledger"], command["quote_ledger"], command["fee_account_id"] = GOODS, MONEY, FEES
    command["tick_size"], command["lot_size"], command["contract_size"] = terms.tick_size, 1, 1
    for name in ("price_scale", "maker_fee_ppm", "taker_fee_ppm", "sell_duty_ppm"):
        command[name] = getattr(terms, name)
    command["session"] = Session.CONTINUOUS
    traders = np.zeros(2, engine.TRADING_ACCOUNT_COMMAND)
    traders["id"] = BUYER, SELLER
    traders["link_first"], traders["link_count"] = (0, 2), 2
    links = np.zeros(4, engine.LINK_COMMAND)
    links["ledger"] = MONEY, GOODS, MONEY, GOODS
    links["account_id"] = np.repeat((BUYER, SELLER), 2) + np.array((1, 2, 1, 2))
    made, funds = accounts()
    time = target.last_timestamp
    for result in (
        target.create_accounts(made, time + 1_000),
        target.create_transfers(funds, time + 2_000),
        target.create_instruments(command, time + 3_000),
        target.create_trading_accounts(traders, links, time + 4_000),
    ):
        if np.any(result["status"] != engine.Status.CREATED):
            raise RuntimeError(f"{terms.symbol}: {result['status'].tolist()}")


def records(plan: Plan, symbol: str) -> tuple[Records, Records]:
    """Give the orders and the amends of a plan."""
    step = np.array(plan.step, np.uint8)
    client, price, quantity = (np.array(column, np.uint64) for column in (plan.client, plan.price, plan.quantity))
    side = np.array(plan.side, np.uint16)
    trader = np.where(side == Side.BUY, BUYER, SELLER)
    submits = (step == Step.ENTER) | (step == Step.TAKE)
    orders = np.zeros(np.count_nonzero(submits), engine.ORDER_COMMAND)
    put_symbol(orders, symbol)
    orders["client_order_id_lo"], orders["account_id"] = client[submits], trader[submits]
    orders["side"], orders["price"], orders["quantity"] = side[submits], price[submits], quantity[submits]
    orders["time_in_force"] = np.where(step[submits] == Step.TAKE, TimeInForce.IOC, TimeInForce.GTC)
    changes = (step == Step.REPLACE) | (step == Step.CANCEL)
    amends = np.zeros(np.count_nonzero(changes), engine.AMEND_COMMAND)
    amends["client_order_id_lo"], amends["account_id"] = client[changes], trader[changes]
    amends["price"], amends["quantity"] = price[changes], quantity[changes]
    amends["fields"] = np.where(amends["quantity"] > 0, AmendField.QUANTITY, 0)
    amends["fields"] |= np.where(amends["price"] > 0, AmendField.PRICE, 0).astype(np.uint32)
    return orders, amends


def drive(target: engine.Engine, plan: Plan, symbol: str, depth: int) -> Iterator[Part]:
    """Execute a plan whose last step is a look, batch by batch; books have up to `depth` levels on each side."""
    orders, amends = records(plan, symbol)
    step = np.array(plan.step, np.uint8)
    ends = np.flatnonzero(step == Step.BOOK) + 1
    look = np.zeros(1, engine.ORDER_FILTER)
    put_symbol(look, symbol)
    look["limit"] = depth
    batch = engine.Batch()
    first = order = amend = 0
    for event in range(0, len(ends), EVENTS_PER_BATCH):
        end = int(ends[min(event + EVENTS_PER_BATCH, len(ends)) - 1])
        steps = _STEPS[step[first:end]]
        counts = np.bincount(steps, minlength=4)
        order_end = order + int(counts[order_requests.STEP_SUBMIT])
        amend_end = amend + int(counts[order_requests.STEP_CANCEL] + counts[order_requests.STEP_REPLACE])
        clear(batch)
        order_requests.append_steps(
            batch, steps, orders[order:order_end], amends[amend:amend_end], look, limit_max=depth
        )
        target.apply(batch, target.last_timestamp + 1)
        yield Part(
            first + np.flatnonzero(step[first:end] != Step.BOOK),
            order_requests.order_answers(batch)[0],
            target.trades_of(batch),
            event,
            book_array(*order_requests.book_answers(batch), depth),
        )
        first, order, amend = end, order_end, amend_end


def book_array(books: Records, levels: Records, depth: int) -> npt.NDArray[np.int64]:
    """Arrange BOOK_VIEWs and the LEVEL_VIEWs of all of them as (books, side, level, price and quantity)."""
    counts = np.stack([books["bids"], books["asks"]], axis=1).ravel().astype(np.intp)
    if counts.max(initial=0) > depth or counts.sum() != len(levels):
        raise ValueError(f"{len(levels)} levels for {len(books)} books of at most {depth} levels on each side")
    group = np.repeat(np.arange(len(counts)), counts)
    place = np.arange(len(levels)) - np.repeat(np.cumsum(counts) - counts, counts)
    array = np.zeros((len(books), 2, depth, 2), np.int64)
    array[:, 0, :, 0], array[:, 1, :, 0] = -NO_LEVEL, NO_LEVEL
    flat = array.reshape(len(counts), depth, 2)
    flat[group, place, 0], flat[group, place, 1] = levels["price"], levels["quantity"]
    return array


def settle(target: engine.Engine, terms: Terms, trades: list[tuple[int, int, bool]]) -> list[str]:
    """Cancel what is open and compare the ledger with the trades (as `settlement.expected` takes them)."""
    condition = np.zeros(1, engine.MASS_CANCEL_COMMAND)
    put_symbol(condition, terms.symbol)
    target.mass_cancel(condition, target.last_timestamp + 1)
    books = settlement.expected(terms, trades)
    found = {int(code): transfers(target, code) for code in TransferCode}
    views = target.lookup_accounts(np.array(list(books.balances), np.uint64))
    target.check_invariants()
    return settlement.differences(books, views, {code: value for code, value in found.items() if value[0]})


def transfers(target: engine.Engine, code: int) -> tuple[int, int]:
    """Give number and sum of the transfers of a code."""
    wanted = np.zeros(1, engine.FILTER)
    wanted["code"], wanted["limit"] = code, 8190
    count = total = 0
    while len(page := target.query_transfers(wanted)):
        count += len(page)
        total += sum(page["amount"].tolist())
        wanted["timestamp_min"] = int(page["timestamp"][-1]) + 1
    return count, total
