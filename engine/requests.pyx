"""Requests as NumPy records: into a batch, and their answers out of it. The Python door to what the wire fills in C.

Each `append_*` checks dtype, shape and bits without a meaning, and names the field that is wrong.
"""

import numpy as np

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from engine._core.accounts cimport scope_ranges_valid
from engine._core.batch cimport Batch, Request
from engine._core.codes cimport *
from engine._core.records cimport (
    AccountCommand, AccountView, BalanceView, Filter, Id128, Result, ScopeRange, TransferCommand, TransferView, UpdateCommand,
)

from engine._core import records

ITEMS_MAX = 1 << 22
_KNOWN_BITS = {"reserved": 0, "frozen": 1, "fields": 3}


def append_accounts(Batch batch not None, accounts, *, scope: int = 0) -> None:
    """A create_accounts request of ACCOUNT_COMMAND records."""
    cdef AccountCommand[::1] items = _items(accounts, "accounts", records.ACCOUNT_COMMAND, ACCOUNT_FLAGS_PUBLIC)
    cdef uint32_t count = <uint32_t>items.shape[0]
    cdef Request* request = _request(batch, KIND_CREATE_ACCOUNTS, scope, batch.account_count, count)
    if count:
        memcpy(_room(batch.append_accounts(count)), &items[0], count * sizeof(AccountCommand))


def append_transfers(Batch batch not None, transfers, *, scope: int = 0) -> None:
    """A create_transfers request of TRANSFER_COMMAND records."""
    cdef TransferCommand[::1] items = _items(transfers, "transfers", records.TRANSFER_COMMAND, TRANSFER_FLAGS_PUBLIC)
    cdef uint32_t count = <uint32_t>items.shape[0]
    cdef Request* request = _request(batch, KIND_CREATE_TRANSFERS, scope, batch.transfer_count, count)
    if count:
        memcpy(_room(batch.append_transfers(count)), &items[0], count * sizeof(TransferCommand))


def append_updates(Batch batch not None, updates, *, scope: int = 0) -> None:
    """An update_accounts request of UPDATE_COMMAND records."""
    cdef UpdateCommand[::1] items = _items(updates, "updates", records.UPDATE_COMMAND, 0)
    cdef uint32_t count = <uint32_t>items.shape[0]
    cdef Request* request = _request(batch, KIND_UPDATE_ACCOUNTS, scope, batch.update_count, count)
    if count:
        memcpy(_room(batch.append_updates(count)), &items[0], count * sizeof(UpdateCommand))


def append_scope(Batch batch not None, scope: int, ranges) -> None:
    """A request that defines a scope (from 1): SCOPE_RANGE records, sorted and disjoint."""
    cdef ScopeRange[::1] items = _items(ranges, "ranges", records.SCOPE_RANGE, 0)
    cdef uint32_t count = <uint32_t>items.shape[0]
    cdef Request* request
    if scope < 1:
        raise ValueError(f"scope: {scope} is less than 1")
    if count and not scope_ranges_valid(&items[0], count):
        raise ValueError("ranges: are not sorted and disjoint, or begin at 0")
    request = _request(batch, KIND_DEFINE_SCOPE, scope, batch.range_count, count)
    if count:
        memcpy(_room(batch.append_ranges(count)), &items[0], count * sizeof(ScopeRange))


def append_lookup_accounts(Batch batch not None, ids, *, scope: int = 0) -> None:
    """A lookup_accounts request of ids (uint64)."""
    cdef uint64_t[::1] items
    cdef Id128* into
    cdef uint32_t count, index
    wanted = np.array(ids, dtype=np.uint64, order="C", copy=True)
    if wanted.ndim != 1:
        raise ValueError(f"ids: {wanted.ndim} dimensions, not 1")
    items = wanted
    count = <uint32_t>items.shape[0]
    _request(batch, KIND_LOOKUP_ACCOUNTS, scope, batch.id_count, count)
    if count:
        into = <Id128*>_room(batch.append_ids(count))
        for index in range(count):
            into[index].lo = items[index]
            into[index].hi = 0


def append_lookup_transfers(Batch batch not None, ids, *, scope: int = 0) -> None:
    """A lookup_transfers request of ids (uint64, shape (n, 2), low half first)."""
    cdef uint64_t[:, ::1] items
    cdef uint32_t count
    wanted = np.array(ids, dtype=np.uint64, order="C", copy=True)
    if wanted.size == 0:
        wanted = wanted.reshape(0, 2)
    if wanted.ndim != 2 or wanted.shape[1] != 2:
        raise ValueError(f"ids: shape {wanted.shape}, not (n, 2)")
    items = wanted
    count = <uint32_t>items.shape[0]
    _request(batch, KIND_LOOKUP_TRANSFERS, scope, batch.id_count, count)
    if count:
        memcpy(_room(batch.append_ids(count)), &items[0, 0], count * sizeof(Id128))


def append_search(Batch batch not None, method: str, filter, *, limit_max: int, scope: int = 0) -> None:
    """A request of one FILTER record; `method` is the protocol's name, e.g. "get_account_transfers"."""
    cdef Filter[::1] items = _items(np.atleast_1d(filter), "filter", records.FILTER, 63)
    if items.shape[0] != 1:
        raise ValueError(f"filter: {items.shape[0]} records, not 1")
    if not 1 <= items[0].limit <= limit_max:
        raise ValueError(f"filter.limit: {items[0].limit} is not between 1 and {limit_max}")
    _request(batch, _SEARCHES[method], scope, batch.filter_count, 1)
    (<Filter*>_room(batch.append_filters(1)))[0] = items[0]


_SEARCHES = {
    "get_account_transfers": KIND_GET_ACCOUNT_TRANSFERS,
    "get_account_balances": KIND_GET_ACCOUNT_BALANCES,
    "query_accounts": KIND_QUERY_ACCOUNTS,
    "query_transfers": KIND_QUERY_TRANSFERS,
}


def status(Batch batch not None, uint32_t index) -> int:
    """How request `index`, a read, went (Status)."""
    if index >= batch.request_count:
        raise IndexError(f"request {index} of {batch.request_count}")
    return batch.requests[index].status


def answers(Batch batch not None, uint32_t index):
    """A copy of the answers of request `index`: RESULT, ACCOUNT_VIEW, TRANSFER_VIEW or BALANCE_VIEW records."""
    cdef Request* request
    cdef uint32_t count
    if index >= batch.request_count:
        raise IndexError(f"request {index} of {batch.request_count}")
    request = &batch.requests[index]
    count = request.answer_count
    if request.kind == KIND_LOOKUP_ACCOUNTS or request.kind == KIND_QUERY_ACCOUNTS:
        return _copied(<char*>(batch.account_views + request.answer_first), count, records.ACCOUNT_VIEW)
    if request.kind == KIND_GET_ACCOUNT_BALANCES:
        return _copied(<char*>(batch.balance_views + request.answer_first), count, records.BALANCE_VIEW)
    if request.kind > KIND_READ:
        return _copied(<char*>(batch.transfer_views + request.answer_first), count, records.TRANSFER_VIEW)
    return _copied(<char*>(batch.results + request.answer_first), count, records.RESULT)


cdef _copied(char* base, uint32_t count, dtype):
    """Byte by byte into a new array: NumPy would take some 40 microseconds to parse the format of a struct's buffer."""
    cdef uint8_t[::1] into
    array = np.empty(count, dtype=dtype)
    if count:
        into = array.view(np.uint8)
        memcpy(&into[0], base, into.shape[0])
    return array


def clear(Batch batch not None) -> None:
    """Takes all requests out."""
    batch.clear()


cdef Request* _request(Batch batch, uint32_t kind, scope, uint32_t first, uint32_t count) except NULL:
    cdef Request* request
    if not 0 <= scope < 2**32:
        raise ValueError(f"scope: {scope} is not between 0 and {2**32 - 1}")
    request = batch.append_request()
    if request is NULL:
        raise MemoryError("requests")
    request.kind = kind
    request.scope = scope
    request.item_first = first
    request.item_count = count
    return request


cdef void* _room(void* place) except NULL:
    if place is NULL:
        raise MemoryError("batch")
    return place


cdef _items(array, str name, dtype, int flags_known):
    check_dtype(array, name, dtype)
    if array.ndim != 1:
        raise ValueError(f"{name}: {array.ndim} dimensions, not 1")
    if len(array) > ITEMS_MAX:
        raise ValueError(f"{name}: {len(array)} items are more than {ITEMS_MAX}")
    for field, known in (("flags", flags_known), *_KNOWN_BITS.items()):
        if field in dtype.names:
            wrong = np.flatnonzero(array[field] & ~array.dtype[field].type(known))
            if len(wrong):
                raise ValueError(f"{name}[{wrong[0]}].{field}: {array[field][wrong[0]]} has bits without a meaning")
    if "overdraft_limit" in dtype.names:
        # Larger ones would wrap around when credits are added to them.
        wrong = np.flatnonzero(array["overdraft_limit"] > INT63_MAX)
        if len(wrong):
            raise ValueError(f"{name}[{wrong[0]}].overdraft_limit: {array['overdraft_limit'][wrong[0]]} is more than 2^63 - 1")
    # A copy, also of read-only and strided arrays.
    return np.array(array, dtype=dtype, order="C", copy=True)


def check_dtype(array, name: str, dtype) -> None:
    """Refuses an array that is not of `dtype` with a TypeError that names the field that differs."""
    if not isinstance(array, np.ndarray):
        raise TypeError(f"{name}: {type(array).__name__} is not a NumPy array")
    if array.dtype == dtype:
        return
    if array.dtype.names is None:
        raise TypeError(f"{name}: dtype {array.dtype} is not a record; the fields are {', '.join(dtype.names)}")
    for field in dtype.names:
        if field not in array.dtype.names:
            raise TypeError(f"{name}.{field}: is missing")
        if array.dtype[field] != dtype[field]:
            raise TypeError(f"{name}.{field}: {array.dtype[field]} is not {dtype[field]}")
    for field in array.dtype.names:
        if field not in dtype.names:
            raise TypeError(f"{name}.{field}: is not a field of this record")
    for field in dtype.names:
        if array.dtype.fields[field][1] != dtype.fields[field][1]:
            raise TypeError(f"{name}.{field}: stands at byte {array.dtype.fields[field][1]}, not {dtype.fields[field][1]}")
    raise TypeError(f"{name}: records of {array.dtype.itemsize} bytes, not {dtype.itemsize}")
