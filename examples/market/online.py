"""Drives a plan through a running server: JSON over TCP, requests pipelined, a `get_book` behind each event.

The server must not have been used for this before; busy answers (-32003) would change the order of commands, and so
the replay would find differences.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final
from uuid import UUID

import numpy as np

import engine
from engine.order_results import OrderStatus, Reason, Side, TransferCode
from examples.market import settlement
from examples.market.drive import NO_LEVEL, Part, Records, accounts
from examples.market.plan import Plan, Step
from examples.market.settlement import BUYER, FEES, GOODS, MONEY, SELLER, Terms
from server.client import Client

EVENTS_IN_FLIGHT: Final = 2000
PAGE: Final = 8190

_STATUS: Final = {status.name.lower(): status for status in OrderStatus}
_REASON: Final = {reason.name.lower(): reason for reason in Reason}
_SIDES: Final = ("buy", "sell")
_TRADERS: Final = (BUYER, SELLER)


class NotFreshError(Exception):
    """The server has been used before, or refuses to be set up."""


async def open_market(client: Client, terms: Terms) -> None:
    """Make accounts with funds, the instrument, and the trading accounts; NotFreshError when any of them is there."""
    made, funds = accounts()
    results: list[Any] = [
        *(await client.create_accounts(made))["status"],
        *(await client.create_transfers(funds))["status"],
    ]
    instrument = {
        "instrument": terms.symbol, "base_ledger": GOODS, "quote_ledger": MONEY, "tick_size": terms.tick_size,
        "lot_size": 1, "price_scale": terms.price_scale, "maker_fee_ppm": terms.maker_fee_ppm,
        "taker_fee_ppm": terms.taker_fee_ppm, "sell_duty_ppm": terms.sell_duty_ppm, "fee_account_id": FEES,
    }  # fmt: skip
    traders = [
        {"id": trader, "accounts": {str(ledger): settlement.account_of(trader, ledger) for ledger in (MONEY, GOODS)}}
        for trader in _TRADERS
    ]
    answers = await client.call("create_instruments", [instrument])
    answers += await client.call("create_trading_accounts", traders)
    if any(status != engine.Status.CREATED for status in results) or any(a["status"] != "created" for a in answers):
        raise NotFreshError(f"{terms.symbol} needs a server of its own: {[a['status'] for a in answers]}")


def requests(plan: Plan, symbol: str, first: int, end: int, depth: int) -> list[tuple[str, Any, int]]:
    """Give the requests of steps first … end: method, params, and how many steps it has.

    Steps of one method that follow each other go into one request.
    """
    found: list[tuple[str, Any, int]] = []
    look = {"instrument": symbol, "depth": depth}
    items: list[dict[str, Any]] = []
    last = ""
    for place in range(first, end):
        step = plan.step[place]
        if step == Step.BOOK:
            found.append(("get_book", look, 1))
            last = ""
            continue
        item: dict[str, Any] = {
            "client_order_id": str(UUID(int=plan.client[place])), "account_id": _TRADERS[plan.side[place]],
        }  # fmt: skip
        if step in {Step.ENTER, Step.TAKE}:
            method = "submit_orders"
            item |= {
                "instrument": symbol, "side": _SIDES[plan.side[place]], "type": "limit",
                "time_in_force": "gtc" if step == Step.ENTER else "ioc",
                "price": plan.price[place], "quantity": plan.quantity[place],
            }  # fmt: skip
        elif step == Step.CANCEL:
            method = "cancel_orders"
        else:
            method = "replace_orders"
            item["quantity"] = plan.quantity[place]
            if plan.price[place]:
                item["price"] = plan.price[place]
        if method != last:
            items = []
            found.append((method, items, 0))
            last = method
        items.append(item)
        found[-1] = (method, items, len(items))
    return found


async def drive(client: Client, plan: Plan, symbol: str, depth: int) -> AsyncIterator[Part]:
    """Execute a plan whose last step is a look; books have up to `depth` levels on each side."""
    step = np.array(plan.step, np.uint8)
    ends = np.flatnonzero(step == Step.BOOK) + 1
    first = trade = 0
    for event in range(0, len(ends), EVENTS_IN_FLIGHT):
        end = int(ends[min(event + EVENTS_IN_FLIGHT, len(ends)) - 1])
        sent = requests(plan, symbol, first, end, depth)
        tasks = [asyncio.create_task(client.call(method, params)) for method, params, _ in sent]
        try:
            answers = await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
        trades = await _trades(client, symbol, trade)
        if len(trades):
            trade = int(trades["trade_id"][-1])
        looks = [answer for (method, _, _), answer in zip(sent, answers, strict=True) if method == "get_book"]
        results = [
            result
            for (method, _, _), answer in zip(sent, answers, strict=True)
            if method != "get_book"
            for result in answer
        ]
        yield Part(
            first + np.flatnonzero(step[first:end] != Step.BOOK), _results(results), trades, event, _books(looks, depth)
        )
        first = end


async def _trades(client: Client, symbol: str, after: int) -> Records:
    found: list[dict[str, Any]] = []
    while True:
        page = await client.call("get_trades", {"instrument": symbol, "after": after, "limit": PAGE}, safe=True)
        found += page
        if len(page) < PAGE:
            break
        after = page[-1]["trade_id"]
    array = np.zeros(len(found), engine.TRADE_VIEW)
    for name in ("trade_id", "price", "quantity", "buy_order_id", "sell_order_id", "timestamp"):
        array[name] = [trade[name] for trade in found]
    array["taker_side"] = [Side.BUY if trade["taker_side"] == "buy" else Side.SELL for trade in found]
    return array


def _results(found: Sequence[dict[str, Any]]) -> Records:
    array = np.zeros(len(found), engine.ORDER_RESULT)
    array["status"] = [_STATUS[result["status"]] for result in found]
    array["reason"] = [_REASON[result.get("reason", "none")] for result in found]
    for name in ("order_id", "cum_quantity", "leaves_quantity", "timestamp"):
        array[name] = [result[name] for result in found]
    return array


def _books(found: Sequence[dict[str, Any]], depth: int) -> Records:
    array = np.zeros((len(found), 2, depth, 2), np.int64)
    array[:, 0, :, 0], array[:, 1, :, 0] = -NO_LEVEL, NO_LEVEL
    for place, book in enumerate(found):
        for side, levels in enumerate((book["bids"], book["asks"])):
            if levels:
                array[place, side, : len(levels)] = [level[:2] for level in levels]
    return array


async def settle(
    client: Client, terms: Terms, trades: list[tuple[int, int, bool]]
) -> tuple[settlement.Books, list[str]]:
    """Cancel what is open and compare the ledger with the trades: the books as they should be, and what differs."""
    await client.call("mass_cancel", {"instrument": terms.symbol})
    books = settlement.expected(terms, trades)
    found = {}
    for code in TransferCode:
        number, total = await transfers(client, code)
        if number:
            found[int(code)] = number, total
    views = await client.lookup_accounts(np.array(list(books.balances), np.uint64))
    return books, settlement.differences(books, views, found)


async def transfers(client: Client, code: int) -> tuple[int, int]:
    """Give number and sum of the transfers of a code."""
    number = total = since = 0
    while True:
        page = await client.query_transfers(arrays=True, code=code, limit=PAGE, timestamp_min=since)
        number += len(page)
        total += sum(page["amount"].tolist())
        if len(page) < PAGE:
            return number, total
        since = int(page["timestamp"][-1]) + 1
