"""Faults about orders, planted from outside as those of `faulty_server` are."""

import ctypes
from collections.abc import Callable
from time import time_ns
from types import SimpleNamespace
from typing import Any

import numpy as np

from engine import Batch, Engine, log_record, order_requests, requests
from engine.order_results import TransferCode
from engine.requests import clear
from server import feed, recovery
from server.batcher import Batcher
from server.feed import Feed, Subscription
from server.lifecycle import Server
from server.wire import tools
from tests.crash.market import KINDS

NONE = 2**32 - 1
"""A slot that is none."""
IN_BOOK = 1
"""Place of an order that stands in a book."""
PAGE = 20
"""Executions that are read from the store at a time when a page's border is to be met."""


def execution_before_commit() -> None:
    """Subscribers are told when the batch has been applied, whatever becomes of its commit."""
    apply, publish = Batcher._apply, Feed.publish
    told: set[int] = set()

    def _apply(self: Batcher) -> None:
        flight = self._flight
        apply(self)
        if flight is not None and flight is self._flight and flight.applied and flight.logged and self._feed:
            publish(self._feed, flight.batch, flight.seq, logged=True)
            told.add(flight.seq)

    def _publish(self: Feed, batch: Batch, seq: int, *, logged: bool) -> None:
        publish(self, batch, seq, logged=logged and seq not in told)

    Batcher._apply = _apply  # type: ignore[method-assign]
    Feed.publish = _publish  # type: ignore[method-assign]


def forget_orders() -> None:
    """After a recovery the client order ids of all earlier orders are unknown, as from a snapshot without them."""

    def forget(engine: Engine) -> None:
        details = engine.array("order_details")
        salt = time_ns()
        for slot in range(len(details)):
            _change(details, slot, "client_order_id_hi", lambda value: value ^ salt)

    _after_recovery(forget)


def leave_out_an_asset_leg() -> None:
    """After a recovery one fill has not moved its asset: neither account has noticed it."""

    def leave_out(engine: Engine) -> None:
        transfers, accounts = engine.array("transfers"), engine.array("accounts")
        legs = np.flatnonzero(transfers["code"] == TransferCode.TRADE_ASSET)
        if len(legs):
            leg = transfers[legs[-1]]
            _change(accounts, leg["debit"], "debits_posted", lambda value: value - int(leg["amount"]))
            _change(accounts, leg["credit"], "credits_posted", lambda value: value - int(leg["amount"]))

    _after_recovery(leave_out)


def lose_priority() -> None:
    """After a recovery the first two orders of each price have changed places."""

    def swap(engine: Engine) -> None:
        orders, levels = engine.array("orders"), engine.array("levels")
        for first in np.flatnonzero((orders["place"] == IN_BOOK) & (orders["previous"] == NONE)).tolist():
            level, second = int(orders[first]["level"]), int(orders[first]["next"])
            if second == NONE:
                continue
            third = int(orders[second]["next"])
            for slot, name, value in ((first, "previous", second), (first, "next", third), (second, "next", first)):
                _put(orders, slot, name, value)
            _put(orders, second, "previous", NONE)
            _put(levels, level, "first", second)
            if third == NONE:
                _put(levels, level, "last", first)
            else:
                _put(orders, third, "previous", first)

    _after_recovery(swap)


def cancel_not_applied() -> None:
    """A recovery passes over what cancels the log holds, though they were answered."""
    scratch = Batch()

    def decode(payload: bytes, batch: Batch) -> int:
        clear(scratch)
        time = log_record.decode(payload, scratch)
        for request in tools.dump(scratch):
            method = KINDS[request["kind"]]
            if method != "cancel_orders":
                _append(batch, method, request)
        return time

    recovery.log_record = SimpleNamespace(FORMAT=log_record.FORMAT, decode=decode)  # type: ignore[assignment, attr-defined]


def _append(batch: Batch, method: str, request: dict[str, Any]) -> None:
    items, scope = request["items"], request["scope"]
    plain = {
        "create_accounts": requests.append_accounts,
        "create_transfers": requests.append_transfers,
        "update_accounts": requests.append_updates,
    }
    if method in plain:
        plain[method](batch, items, scope=scope)
    else:
        links = request["links"] if method == "create_trading_accounts" else None
        order_requests.append(batch, method, items, links=links, scope=scope)


def skip_at_page_border() -> None:
    """Who catches up with executions misses the one behind each full page."""
    feed.PAGE = PAGE
    send_executions = Feed._send_executions

    def _send_executions(self: Feed, subscription: Subscription, executions: Any) -> None:
        send_executions(self, subscription, executions)
        if subscription.behind and len(executions) == PAGE:
            subscription.next_id += 1

    Feed._send_executions = _send_executions  # type: ignore[method-assign]


def keep_orders_of_sessions() -> None:
    """The orders of sessions that have ended stay, after a restart, too."""
    log_and_apply = Server._log_and_apply

    def _cancel_sessions(self: Batcher, batch: Batch) -> None:
        self._cancels = []

    async def _log_and_apply(self: Server, batch: Batch) -> None:
        if all(KINDS.get(request["kind"]) != "mass_cancel" for request in tools.dump(batch)):
            await log_and_apply(self, batch)

    Batcher._cancel_sessions = _cancel_sessions  # type: ignore[method-assign]
    Server._log_and_apply = _log_and_apply  # type: ignore[method-assign]


# --- the engine's memory, which its arrays are views of -----------------------------------------------


def _after_recovery(change: Callable[[Engine], None]) -> None:
    start_recovery = Server._start_recovery

    async def _start_recovery(self: Server) -> None:
        await start_recovery(self)
        change(self.engine)

    Server._start_recovery = _start_recovery  # type: ignore[method-assign]


def _change(array: Any, slot: int, name: str, change: Callable[[int], int]) -> None:
    dtype, at = array.dtype.fields[name][:2]
    place = array.ctypes.data + int(slot) * array.dtype.itemsize + at
    number = (ctypes.c_uint64 if dtype.itemsize == 8 else ctypes.c_uint32).from_address(place)
    number.value = change(number.value)


def _put(array: Any, slot: int, name: str, value: int) -> None:
    _change(array, slot, name, lambda _: value)


FAULTS: tuple[Callable[[], None], ...] = (
    execution_before_commit,
    forget_orders,
    leave_out_an_asset_leg,
    lose_priority,
    cancel_not_applied,
    skip_at_page_border,
    keep_orders_of_sessions,
)
