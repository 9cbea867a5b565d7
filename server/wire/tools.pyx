"""A batch as Python objects and back, for tests, fuzzing and tools. Nothing in the server's path uses it."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

import numpy as np

from engine._core.batch cimport Batch, Request
from engine._core.codes cimport (
    FOUND, KIND_ANSWER, KIND_CREATE_ACCOUNTS, KIND_CREATE_TRANSFERS, KIND_GET_ACCOUNT_BALANCES,
    KIND_GET_ACCOUNT_TRANSFERS, KIND_LOOKUP_ACCOUNTS, KIND_LOOKUP_TRANSFERS, KIND_QUERY_ACCOUNTS,
    KIND_QUERY_TRANSFERS, KIND_READ, KIND_REPLY, KIND_UPDATE_ACCOUNTS,
)
from engine._core.records import (
    ACCOUNT_COMMAND, ACCOUNT_VIEW, BALANCE_VIEW, FILTER, RESULT, TRANSFER_COMMAND, TRANSFER_VIEW, UPDATE_COMMAND,
)

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


def dump(Batch batch not None) -> list:
    """The requests of a batch with copies of their items.

    Dictionaries of kind, scope, connection, reply_flags, id (JSON text), line (of a reply that stands ready) and
    items (a record array, or None).
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
            array = None
        requests.append({
            "kind": request.kind,
            "scope": request.scope,
            "connection": request.connection,
            "reply_flags": request.reply_flags,
            "id": b"" if request.kind == KIND_REPLY else text,
            "line": text if request.kind == KIND_REPLY else b"",
            "items": array,
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
        "text": batch.text_count,
        "weight": batch.weight,
    }


def answer(Batch batch not None, uint32_t index, records, uint32_t status=FOUND) -> None:
    """Writes `records` (RESULT, ACCOUNT_VIEW, …) as the engine's answer to request `index`."""
    cdef Request* request
    cdef const uint8_t[::1] view
    cdef uint32_t count = <uint32_t>len(records)
    cdef void* place
    if index >= batch.request_count:
        raise IndexError(f"index: the batch has {batch.request_count} requests")
    request = &batch.requests[index]
    if request.kind < KIND_READ:
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
    if records.dtype != dtype:
        raise TypeError(f"records: expected {dtype}, got {records.dtype}")
    if place is NULL:
        raise MemoryError
    request.answer_count = count
    request.status = status
    if count:
        view = np.ascontiguousarray(records).view(np.uint8)
        memcpy(place, &view[0], count * <uint64_t>dtype.itemsize)


def ones(dtype, count: int):
    """`count` records of small numbers that the encoder can write, whatever their type."""
    array = np.zeros(count, dtype)
    for name in dtype.names:
        if name not in ("reserved", "flags", "state"):
            array[name] = 1
    return array


def clear(Batch batch not None) -> None:
    """Empties the batch for its next use."""
    batch.clear()
