"""What the server does to a batch as a whole: look at it, refuse it. No Python work per request."""

from typing import NamedTuple

import numpy as np

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from engine._core.batch cimport Batch, REPLY_JSONRPC, Request
from engine._core.codes cimport KIND_EDGE, KIND_PING, KIND_READ, KIND_REPLACE_ORDERS, KIND_REPLY
from server.wire.capacity cimport limit_items, listed, order_items


class Survey(NamedTuple):
    """Counts of one batch."""

    requests: int
    writes: int         # requests that change the state and are logged
    reads: int          # requests that the engine answers from its state
    pings: int
    items: int          # of requests that are logged
    accounts: int
    transfers: int


def survey(Batch batch not None) -> Survey:
    """Count what is in the batch; about a nanosecond per request."""
    cdef uint32_t index
    cdef uint32_t writes = 0
    cdef uint32_t reads = 0
    cdef uint32_t pings = 0
    with nogil:
        for index in range(batch.request_count):
            if batch.requests[index].kind < KIND_READ:
                writes += 1
            elif batch.requests[index].kind < KIND_EDGE:
                reads += 1
            elif batch.requests[index].kind == KIND_PING:
                pings += 1
    return Survey(
        batch.request_count, writes, reads, pings,
        batch.account_count + batch.transfer_count + batch.update_count + order_items(batch)
        + limit_items(batch),
        batch.account_count, batch.transfer_count,
    )


def updated_accounts(Batch batch not None):
    """The ids of the accounts that the batch asks to change (update_accounts), as uint64."""
    cdef uint32_t index
    cdef uint64_t[::1] view
    array = np.empty(batch.update_count, dtype=np.uint64)
    view = array
    for index in range(batch.update_count):
        view[index] = batch.updates[index].id
    return array


class Contents(NamedTuple):
    """How many commands of each kind there are that are about orders and limits."""

    orders: int
    amends: int         # cancels and replaces
    mass_cancels: int
    listings: int       # instruments made or changed, and trading accounts
    sessions: int
    days: int
    trades: int         # busts and corrections
    limits: int
    kills: int
    approvals: int


def contents(Batch batch not None) -> Contents:
    """Say what of the exchange a batch may have moved, so that nobody need look at all of it."""
    return Contents(
        batch.order_count, batch.amend_count, batch.mass_cancel_count,
        batch.instrument_count + batch.trading_account_count, batch.session_count, batch.day_count,
        batch.trade_command_count, batch.limit_count, batch.kill_count, batch.approval_count,
    )


def ordering_accounts(Batch batch not None):
    """The trading accounts that its orders, cancels and replaces name, as uint64, as often as they are named."""
    cdef uint32_t index
    cdef uint64_t[::1] view
    array = np.empty(batch.order_count + batch.amend_count, dtype=np.uint64)
    view = array
    for index in range(batch.order_count):
        view[index] = batch.orders[index].account_id
    for index in range(batch.amend_count):
        view[batch.order_count + index] = batch.amends[index].account_id
    return array


class Refusal(NamedTuple):
    """An order or replace that a limit refused, and what the limit said."""

    amend: bool
    account_id: int
    client_order_id: int
    order_id: int       # of a replace that names it
    symbol: bytes       # of an order
    reason: int         # Reason
    scope: int          # LimitScope
    limit: int
    used: int
    asked: int
    check: int          # number of the institution's own check; 0: ours


def refusals(Batch batch not None) -> list[Refusal]:
    """What limits refused, in the order of the verdicts; after the batch was applied or decoded."""
    cdef uint32_t index
    found = []
    for index in range(batch.verdict_count):
        verdict = batch.verdicts[index]
        if verdict.amend:
            amend = batch.amends[verdict.item]
            who = (True, amend.account_id, (int(amend.client_order_id_hi) << 64) | amend.client_order_id_lo,
                   amend.order_id, b"")
        else:
            order = batch.orders[verdict.item]
            symbol = b"".join([int(word).to_bytes(8, "little") for word in (order.symbol_0, order.symbol_1, order.symbol_2)])
            who = (False, order.account_id, (int(order.client_order_id_hi) << 64) | order.client_order_id_lo, 0,
                   symbol.rstrip(b"\0"))
        found.append(Refusal(
            *who, verdict.reason, verdict.scope, verdict.limit, verdict.used, verdict.asked, verdict.check,
        ))
    return found


def weight(Batch batch not None) -> int:
    """Requests, items, and records that its reads may return: what fills a batch."""
    return batch.weight


def decides(Batch batch not None) -> bool:
    """Whether applying it may write verdicts of limits into it, which its log record must hold."""
    cdef uint32_t index
    if batch.order_count:
        return True
    if batch.amend_count:
        for index in range(batch.request_count):
            if batch.requests[index].kind == KIND_REPLACE_ORDERS:
                return True
    return False


def room(Batch batch not None) -> tuple[int, int, int]:
    """Accounts, transfers and items of set_limits that the batch holds."""
    return batch.account_count, batch.transfer_count, batch.limit_count


def orders_room(Batch batch not None) -> tuple[int, int]:
    """The fills that its order items may lead to at most, and the instruments, trading accounts and links."""
    return order_items(batch) + batch.slices, listed(batch)


def limit_orders(Batch batch not None, uint64_t fills, uint64_t listings) -> None:
    """Requests that would take `orders_room` of the batch beyond this are refused (-32005)."""
    batch.fills_max = fills
    batch.listings_max = listings


cdef int refuse_one(
    Batch batch, Request* request, const uint8_t* middle, uint32_t middle_length,
) noexcept nogil:
    """Turn a request into a reply that stands ready; -1 when memory is out."""
    cdef bint versioned = (request.reply_flags & REPLY_JSONRPC) != 0
    cdef const char* head = b'{"jsonrpc":"2.0","id":' if versioned else b'{"id":'
    cdef uint32_t head_length = 22 if versioned else 6
    cdef uint32_t id_first = request.id_first
    cdef uint32_t id_length = request.id_length
    cdef uint32_t first = batch.text_count
    cdef uint8_t* at = batch.append_text(head_length + id_length + middle_length)
    if at is NULL:
        return -1
    memcpy(at, head, head_length)
    memcpy(at + head_length, batch.text + id_first, id_length)
    memcpy(at + head_length + id_length, middle, middle_length)
    request.kind = KIND_REPLY
    request.item_count = 0
    request.id_first = first
    request.id_length = head_length + id_length + middle_length
    return 0


def refuse(Batch batch not None, int code, str message not None, *, bint writes_only=False) -> int:
    """Answer requests with an error instead of executing them, in their places. Returns how many.

    Meant are the writes alone, or writes, reads and pings; replies that stand ready already stay. Items of refused
    writes leave the batch. `message` is ours: ASCII without quotes or backslashes.
    """
    cdef bytes middle = b',"error":{"code":%d,"message":"%s"}}\n' % (code, message.encode("ascii"))
    cdef const uint8_t* tail = <const uint8_t*>PyBytes_AS_STRING(middle)
    cdef uint32_t tail_length = <uint32_t>PyBytes_GET_SIZE(middle)
    cdef uint32_t index
    cdef uint32_t kind
    cdef int refused = 0
    cdef int rc = 0
    with nogil:
        for index in range(batch.request_count):
            kind = batch.requests[index].kind
            if kind < KIND_READ or (not writes_only and (kind < KIND_EDGE or kind == KIND_PING)):
                rc = refuse_one(batch, &batch.requests[index], tail, tail_length)
                if rc < 0:
                    break
                refused += 1
    if rc < 0:
        raise MemoryError("refusing a batch")
    # Every write is refused, so none of their items is referred to any more.
    batch.account_count = batch.transfer_count = batch.update_count = batch.range_count = 0
    batch.instrument_count = batch.trading_account_count = batch.link_count = batch.order_count = 0
    batch.amend_count = batch.mass_cancel_count = batch.session_count = batch.day_count = 0
    batch.trade_command_count = batch.limit_count = batch.limit_value_count = batch.kill_count = 0
    batch.approval_count = batch.verdict_count = 0
    batch.slices = 0
    return refused
