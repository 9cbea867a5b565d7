"""A batch as Python objects and back, for tests, fuzzing and tools. Nothing in the server's path uses it."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

import numpy as np

from engine._core.batch cimport Batch, Request
from engine._core.codes cimport (
    FOUND, KIND_APPROVE_LIMITS, KIND_BUST_TRADES, KIND_CANCEL_ORDERS, KIND_CREATE_ACCOUNTS, KIND_CREATE_INSTRUMENTS,
    KIND_CREATE_TRADING_ACCOUNTS, KIND_CREATE_TRANSFERS, KIND_END_OF_DAY, KIND_GET_ACCOUNT_BALANCES,
    KIND_GET_ACCOUNT_TRANSFERS, KIND_GET_BOOK, KIND_GET_EXECUTIONS, KIND_GET_INSTRUMENTS, KIND_GET_LIMITS, KIND_GET_ORDERS,
    KIND_GET_POSITIONS, KIND_GET_PROPOSALS, KIND_GET_TRADES, KIND_KILL_SWITCH, KIND_LOOKUP_ACCOUNTS, KIND_LOOKUP_TRANSFERS, KIND_MASS_CANCEL,
    KIND_QUERY_ACCOUNTS, KIND_QUERY_TRANSFERS, KIND_READ, KIND_REPLACE_ORDERS, KIND_REPLY, KIND_SET_LIMITS, KIND_SET_SESSION,
    KIND_SUBMIT_ORDERS, KIND_UPDATE_ACCOUNTS, KIND_UPDATE_INSTRUMENTS,
)
from engine._core.order_records import (
    AMEND_COMMAND, BOOK_VIEW, DAY_COMMAND, EXECUTION_VIEW, FILL, INSTRUMENT_COMMAND, LEVEL_VIEW, LINK_COMMAND,
    MASS_CANCEL_COMMAND, ORDER_COMMAND, ORDER_FILTER, ORDER_RESULT, ORDER_VIEW, POSITION_VIEW, SESSION_COMMAND,
    TRADE_COMMAND, TRADE_VIEW, TRADING_ACCOUNT_COMMAND,
)
from engine._core.records import (
    ACCOUNT_COMMAND, ACCOUNT_VIEW, BALANCE_VIEW, FILTER, RESULT, TRANSFER_COMMAND, TRANSFER_VIEW, UPDATE_COMMAND,
)
from engine._core.risk_records import (
    APPROVAL_COMMAND, KILL_COMMAND, LIMIT_VALUE, LIMITS_COMMAND, LIMITS_FILTER, LIMITS_VIEW, PROPOSAL, VERDICT,
)

# Members that are a text in words, and must be characters.
TEXTS = ("symbol_", "id_", "actor_", "decided_by_")

# Items of lookups; account ids use `lo` alone.
ID128 = np.dtype([("lo", np.uint64), ("hi", np.uint64)])


cdef object items(const void* first, dtype, uint32_t count):
    """A copy of `count` records as an array."""
    array = np.empty(count, dtype)
    cdef uint8_t[::1] view
    if count:
        view = array.view(np.uint8)
        memcpy(&view[0], first, count * <uint64_t>dtype.itemsize)
    return array


cdef object order_items(Batch batch, const Request* request):
    """The items of a request about orders, or None."""
    cdef uint32_t first = request.item_first, count = request.item_count
    if request.kind == KIND_CREATE_INSTRUMENTS or request.kind == KIND_UPDATE_INSTRUMENTS:
        return items(batch.instruments + first, INSTRUMENT_COMMAND, count)
    if request.kind == KIND_CREATE_TRADING_ACCOUNTS:
        return items(batch.trading_accounts + first, TRADING_ACCOUNT_COMMAND, count)
    if request.kind == KIND_SUBMIT_ORDERS:
        return items(batch.orders + first, ORDER_COMMAND, count)
    if request.kind == KIND_CANCEL_ORDERS or request.kind == KIND_REPLACE_ORDERS:
        return items(batch.amends + first, AMEND_COMMAND, count)
    if request.kind == KIND_MASS_CANCEL:
        return items(batch.mass_cancels + first, MASS_CANCEL_COMMAND, count)
    if request.kind == KIND_SET_SESSION:
        return items(batch.sessions + first, SESSION_COMMAND, count)
    if request.kind == KIND_END_OF_DAY:
        return items(batch.days + first, DAY_COMMAND, count)
    if request.kind == KIND_BUST_TRADES:
        return items(batch.trade_commands + first, TRADE_COMMAND, count)
    if KIND_GET_ORDERS <= request.kind <= KIND_GET_INSTRUMENTS:
        return items(batch.order_filters + first, ORDER_FILTER, count)
    if request.kind == KIND_SET_LIMITS:
        return items(batch.limits + first, LIMITS_COMMAND, count)
    if request.kind == KIND_KILL_SWITCH:
        return items(batch.kills + first, KILL_COMMAND, count)
    if request.kind == KIND_APPROVE_LIMITS:
        return items(batch.approvals + first, APPROVAL_COMMAND, count)
    if request.kind == KIND_GET_LIMITS or request.kind == KIND_GET_PROPOSALS:
        return items(batch.limits_filters + first, LIMITS_FILTER, count)
    return None


def dump(Batch batch not None) -> list:
    """The requests of a batch with copies of their items.

    Dictionaries of kind, scope, connection, reply_flags, id (JSON text), line (of a reply that stands ready),
    items (a record array, or None), links and limit_values (both of the whole batch).
    """
    cdef const Request* request
    cdef uint32_t index
    cdef list requests = []
    for index in range(batch.request_count):
        request = &batch.requests[index]
        text = (<const char*>(batch.text + request.id_first))[:request.id_length]
        if request.kind == KIND_CREATE_ACCOUNTS:
            array = items(batch.accounts + request.item_first, ACCOUNT_COMMAND, request.item_count)
        elif request.kind == KIND_CREATE_TRANSFERS:
            array = items(batch.transfers + request.item_first, TRANSFER_COMMAND, request.item_count)
        elif request.kind == KIND_UPDATE_ACCOUNTS:
            array = items(batch.updates + request.item_first, UPDATE_COMMAND, request.item_count)
        elif request.kind == KIND_LOOKUP_ACCOUNTS or request.kind == KIND_LOOKUP_TRANSFERS:
            array = items(batch.ids + request.item_first, ID128, request.item_count)
        elif KIND_GET_ACCOUNT_TRANSFERS <= request.kind <= KIND_QUERY_TRANSFERS:
            array = items(batch.filters + request.item_first, FILTER, request.item_count)
        else:
            array = order_items(batch, request)
        requests.append({
            "kind": request.kind,
            "scope": request.scope,
            "connection": request.connection,
            "reply_flags": request.reply_flags,
            "id": b"" if request.kind == KIND_REPLY else text,
            "line": text if request.kind == KIND_REPLY else b"",
            "items": array,
            "links": items(batch.links, LINK_COMMAND, batch.link_count),
            "limit_values": items(batch.limit_values, LIMIT_VALUE, batch.limit_value_count),
        })
    return requests


def raw(Batch batch not None) -> bytes:
    """All requests, items and texts of a batch as memory has them: two batches that were filled alike are equal."""
    return b"".join([
        (<const char*>batch.requests)[:batch.request_count * sizeof(Request)] if batch.request_count else b"",
        items(batch.accounts, ACCOUNT_COMMAND, batch.account_count).tobytes(),
        items(batch.transfers, TRANSFER_COMMAND, batch.transfer_count).tobytes(),
        items(batch.updates, UPDATE_COMMAND, batch.update_count).tobytes(),
        items(batch.ids, ID128, batch.id_count).tobytes(),
        items(batch.filters, FILTER, batch.filter_count).tobytes(),
        items(batch.instruments, INSTRUMENT_COMMAND, batch.instrument_count).tobytes(),
        items(batch.trading_accounts, TRADING_ACCOUNT_COMMAND, batch.trading_account_count).tobytes(),
        items(batch.links, LINK_COMMAND, batch.link_count).tobytes(),
        items(batch.orders, ORDER_COMMAND, batch.order_count).tobytes(),
        items(batch.amends, AMEND_COMMAND, batch.amend_count).tobytes(),
        items(batch.mass_cancels, MASS_CANCEL_COMMAND, batch.mass_cancel_count).tobytes(),
        items(batch.sessions, SESSION_COMMAND, batch.session_count).tobytes(),
        items(batch.days, DAY_COMMAND, batch.day_count).tobytes(),
        items(batch.trade_commands, TRADE_COMMAND, batch.trade_command_count).tobytes(),
        items(batch.order_filters, ORDER_FILTER, batch.order_filter_count).tobytes(),
        items(batch.limits, LIMITS_COMMAND, batch.limit_count).tobytes(),
        items(batch.limit_values, LIMIT_VALUE, batch.limit_value_count).tobytes(),
        items(batch.kills, KILL_COMMAND, batch.kill_count).tobytes(),
        items(batch.approvals, APPROVAL_COMMAND, batch.approval_count).tobytes(),
        items(batch.limits_filters, LIMITS_FILTER, batch.limits_filter_count).tobytes(),
        (<const char*>batch.text)[:batch.text_count] if batch.text_count else b"",
        batch.weight.to_bytes(8, "little"),
    ])


def counts(Batch batch not None) -> dict:
    """How much of everything the batch holds, by name."""
    return {
        "requests": batch.request_count,
        "accounts": batch.account_count,
        "transfers": batch.transfer_count,
        "updates": batch.update_count,
        "ids": batch.id_count,
        "filters": batch.filter_count,
        "instruments": batch.instrument_count,
        "trading_accounts": batch.trading_account_count,
        "links": batch.link_count,
        "orders": batch.order_count,
        "amends": batch.amend_count,
        "mass_cancels": batch.mass_cancel_count,
        "sessions": batch.session_count,
        "days": batch.day_count,
        "trade_commands": batch.trade_command_count,
        "order_filters": batch.order_filter_count,
        "limits": batch.limit_count,
        "limit_values": batch.limit_value_count,
        "kills": batch.kill_count,
        "approvals": batch.approval_count,
        "limits_filters": batch.limits_filter_count,
        "text": batch.text_count,
        "weight": batch.weight,
    }


cdef int put(void* place, records, dtype) except -1:
    """Copies records to their place in the batch."""
    cdef const uint8_t[::1] view
    if records.dtype != dtype:
        raise TypeError(f"records: expected {dtype}, got {records.dtype}")
    if place is NULL:
        raise MemoryError
    if len(records):
        view = np.ascontiguousarray(records).view(np.uint8)
        memcpy(place, &view[0], len(records) * <uint64_t>dtype.itemsize)
    return 0


def answer(Batch batch not None, uint32_t index, records, uint32_t status=FOUND, *, more=None) -> None:
    """Writes `records` (RESULT, ACCOUNT_VIEW, …) as the engine's answer to request `index`.

    `more`: FILL records behind order results, or VERDICT records of refusals, which name them from 0; LEVEL_VIEW records
    behind a book's head.
    """
    cdef Request* request
    cdef uint32_t count = <uint32_t>len(records)
    cdef void* place
    if index >= batch.request_count:
        raise IndexError(f"index: the batch has {batch.request_count} requests")
    request = &batch.requests[index]
    if KIND_SUBMIT_ORDERS <= request.kind <= KIND_BUST_TRADES or request.kind == KIND_KILL_SWITCH:
        dtype = ORDER_RESULT
        if more is not None and more.dtype == VERDICT:
            records = records.copy()
            records["fill_first"] += batch.verdict_count
            put(batch.append_verdicts(<uint32_t>len(more)), more, VERDICT)
        elif more is not None:
            records = records.copy()
            records["fill_first"] += batch.fill_count
            put(batch.append_fills(<uint32_t>len(more)), more, FILL)
        request.answer_first = batch.order_result_count
        place = batch.append_order_results(count)
    elif request.kind == KIND_GET_ORDERS:
        dtype = ORDER_VIEW
        request.answer_first = batch.order_view_count
        place = batch.append_order_views(count)
    elif request.kind == KIND_GET_TRADES:
        dtype = TRADE_VIEW
        request.answer_first = batch.trade_view_count
        place = batch.append_trade_views(count)
    elif request.kind == KIND_GET_POSITIONS:
        dtype = POSITION_VIEW
        request.answer_first = batch.position_view_count
        place = batch.append_position_views(count)
    elif request.kind == KIND_GET_EXECUTIONS:
        dtype = EXECUTION_VIEW
        request.answer_first = batch.execution_view_count
        place = batch.append_execution_views(count)
    elif request.kind == KIND_GET_BOOK or request.kind == KIND_GET_INSTRUMENTS:
        dtype = BOOK_VIEW
        request.answer_first = batch.book_view_count
        place = batch.append_book_views(count)
        request.reserved = batch.level_view_count
        if more is not None:
            put(batch.append_level_views(<uint32_t>len(more)), more, LEVEL_VIEW)
    elif request.kind == KIND_GET_LIMITS:
        dtype = LIMITS_VIEW
        request.answer_first = batch.limits_view_count
        place = batch.append_limits_views(count)
    elif request.kind == KIND_GET_PROPOSALS:
        dtype = PROPOSAL
        request.answer_first = batch.proposal_count
        place = batch.append_proposals(count)
    elif request.kind < KIND_READ:
        dtype = RESULT
        request.answer_first = batch.result_count
        place = batch.append_results(count)
    elif request.kind == KIND_LOOKUP_ACCOUNTS or request.kind == KIND_QUERY_ACCOUNTS:
        dtype = ACCOUNT_VIEW
        request.answer_first = batch.account_view_count
        place = batch.append_account_views(count)
    elif request.kind == KIND_GET_ACCOUNT_BALANCES:
        dtype = BALANCE_VIEW
        request.answer_first = batch.balance_view_count
        place = batch.append_balance_views(count)
    elif KIND_READ < request.kind <= KIND_QUERY_TRANSFERS:
        dtype = TRANSFER_VIEW
        request.answer_first = batch.transfer_view_count
        place = batch.append_transfer_views(count)
    else:
        raise ValueError(f"index: a request of kind {request.kind} takes no records")
    put(place, records, dtype)
    request.answer_count = count
    request.status = status


def ones(dtype, count: int):
    """`count` records of small numbers that the encoder can write, whatever their type."""
    array = np.zeros(count, dtype)
    for name in dtype.names:
        if name not in ("reserved", "flags", "state"):
            array[name] = 0x41 if name.startswith(TEXTS) else 1
    return array


def clear(Batch batch not None) -> None:
    """Empties the batch for its next use."""
    batch.clear()
