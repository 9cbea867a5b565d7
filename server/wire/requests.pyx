"""Requests of a client from record arrays, without a Python object per item.

Items are written in the order of the protocol page and without blanks, which is the form that the server reads
fastest. Members that say nothing (zero, no flags) are left out, except those that may not be. What the protocol
cannot say raises ValueError with the item's index; what only the server can judge is left to it.
"""

from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from engine._core.codes cimport (
    ACCOUNT_FLAGS_PUBLIC, AMOUNT_ALL, TRANSFER_FLAGS_PUBLIC, TRANSFER_POST_PENDING_TRANSFER,
    TRANSFER_VOID_PENDING_TRANSFER, UPDATE_FROZEN, UPDATE_OVERDRAFT_LIMIT,
)
from engine._core.records cimport AccountCommand, TransferCommand, UpdateCommand
from server.wire.output cimport (
    Out, account_flag_texts, done, put, put_flags, put_uuid, reset, room, take, transfer_flag_texts,
)
from server.wire.text cimport write

import numpy as np

from engine._core.records import ACCOUNT_COMMAND, TRANSFER_COMMAND, UPDATE_COMMAND
from engine.requests import check_dtype

cdef enum:
    ITEM_ROOM = 1024                    # bytes that one item may touch
    ENVELOPE_ROOM = 128
    RESOLVING = TRANSFER_POST_PENDING_TRANSFER | TRANSFER_VOID_PENDING_TRANSFER

cdef Out out                            # kept from call to call


# --- items --------------------------------------------------------------------------------------

cdef uint8_t* put_user_data(uint8_t* p, uint64_t hi, uint64_t lo, uint64_t data64, uint32_t data32) noexcept nogil:
    if hi or lo:
        p = put_uuid(put(p, b',"user_data_128":'), hi, lo)
    if data64:
        p = write(put(p, b',"user_data_64":'), data64)
    if data32:
        p = write(put(p, b',"user_data_32":'), data32)
    return p


cdef uint8_t* put_account(uint8_t* p, const AccountCommand* item) noexcept nogil:
    p = write(put(p, b'{"id":'), item.id)
    p = write(put(p, b',"ledger":'), item.ledger)
    p = write(put(p, b',"code":'), item.code)
    if item.flags:
        p = put_flags(put(p, b',"flags":'), account_flag_texts, item.flags)
    if item.overdraft_limit:
        p = write(put(p, b',"overdraft_limit":'), item.overdraft_limit)
    p = put_user_data(p, item.user_data_128_hi, item.user_data_128_lo, item.user_data_64, item.user_data_32)
    if item.timestamp:
        p = write(put(p, b',"timestamp":'), item.timestamp)
    p[0] = c'}'
    return p + 1


cdef uint8_t* put_transfer(uint8_t* p, const TransferCommand* item) noexcept nogil:
    cdef bint resolving = item.flags & RESOLVING != 0
    p = put_uuid(put(p, b'{"id":'), item.id_hi, item.id_lo)
    if item.debit_account_id or not resolving:
        p = write(put(p, b',"debit_account_id":'), item.debit_account_id)
    if item.credit_account_id or not resolving:
        p = write(put(p, b',"credit_account_id":'), item.credit_account_id)
    if item.amount != AMOUNT_ALL:
        p = write(put(p, b',"amount":'), item.amount)
    if item.ledger or not resolving:
        p = write(put(p, b',"ledger":'), item.ledger)
    if item.code or not resolving:
        p = write(put(p, b',"code":'), item.code)
    if item.flags:
        p = put_flags(put(p, b',"flags":'), transfer_flag_texts, item.flags)
    if item.pending_id_hi or item.pending_id_lo:
        p = put_uuid(put(p, b',"pending_id":'), item.pending_id_hi, item.pending_id_lo)
    if item.timeout:
        p = write(put(p, b',"timeout":'), item.timeout)
    p = put_user_data(p, item.user_data_128_hi, item.user_data_128_lo, item.user_data_64, item.user_data_32)
    if item.timestamp:
        p = write(put(p, b',"timestamp":'), item.timestamp)
    p[0] = c'}'
    return p + 1


cdef uint8_t* put_update(uint8_t* p, const UpdateCommand* item) noexcept nogil:
    p = write(put(p, b'{"id":'), item.id)
    if item.fields & UPDATE_OVERDRAFT_LIMIT:
        p = write(put(p, b',"overdraft_limit":'), item.overdraft_limit)
    if item.fields & UPDATE_FROZEN:
        p = put(put(p, b',"frozen":'), b"true" if item.frozen else b"false")
    p[0] = c'}'
    return p + 1


# --- checking -----------------------------------------------------------------------------------

cdef object checked(array, str name, dtype):
    """The array, C-contiguous, if it is one-dimensional and of this dtype."""
    check_dtype(array, name, dtype)
    if array.ndim != 1:
        raise ValueError(f"{name}: {array.ndim} dimensions, not 1")
    # A copy of read-only and strided arrays: the memory views below want neither.
    return np.require(array, requirements=["C", "A", "W"])


cdef int check_transfers(const TransferCommand* items, size_t count) except -1:
    cdef size_t index
    for index in range(count):
        if items[index].flags & ~<uint32_t>TRANSFER_FLAGS_PUBLIC:
            raise ValueError(f"transfers[{index}].flags: {items[index].flags} has bits without a meaning")
        if items[index].amount == AMOUNT_ALL and not items[index].flags & RESOLVING:
            raise ValueError(f"transfers[{index}].amount: only a post or a void may leave it out")
    return 0


cdef int check_accounts(const AccountCommand* items, size_t count) except -1:
    cdef size_t index
    for index in range(count):
        if items[index].flags & ~<uint32_t>ACCOUNT_FLAGS_PUBLIC:
            raise ValueError(f"accounts[{index}].flags: {items[index].flags} has bits without a meaning")
    return 0


# --- arrays and lines ---------------------------------------------------------------------------

cdef int begin(const char* method, object request_id) except -1:
    """The text in front of the params; none of it when `request_id` is None."""
    cdef uint8_t* p = room(&out, ENVELOPE_ROOM)
    cdef int64_t number
    if p is NULL:
        raise MemoryError
    if request_id is not None:
        number = request_id
        p = put(p, b'{"id":')
        if number < 0:
            p[0] = c'-'
            p += 1
        p = write(p, <uint64_t>number if number >= 0 else 0 - <uint64_t>number)
        p = put(put(put(p, b',"method":"'), method), b'","params":')
    p[0] = c'['
    done(&out, p + 1)
    return 0


cdef bytes finish(object request_id):
    cdef uint8_t* p = room(&out, ENVELOPE_ROOM)
    if p is NULL:
        raise MemoryError
    if out.data[out.length - 1] == c',':
        p -= 1
    p[0] = c']'
    p += 1
    if request_id is not None:
        p = put(p, b"}\n")
    done(&out, p)
    return take(&out)


def encode_create_transfers(request_id: int | None, transfers) -> bytes:
    """The line of create_transfers for TRANSFER_COMMAND records; with None instead of an id only its params."""
    cdef TransferCommand[::1] items = checked(transfers, "transfers", TRANSFER_COMMAND)
    cdef size_t index, count = items.shape[0]
    cdef uint8_t* p
    try:
        if count:
            check_transfers(&items[0], count)
        begin(b"create_transfers", request_id)
        for index in range(count):
            p = room(&out, ITEM_ROOM)
            if p is NULL:
                raise MemoryError
            p = put_transfer(p, &items[index])
            p[0] = c','
            done(&out, p + 1)
        return finish(request_id)
    finally:
        reset(&out)


def encode_single_transfers(first_id: int, transfers) -> bytes:
    """A line of create_transfers for each of the records, with ids from `first_id` up."""
    cdef TransferCommand[::1] items = checked(transfers, "transfers", TRANSFER_COMMAND)
    cdef size_t index, count = items.shape[0]
    cdef uint64_t request_id = first_id
    cdef uint8_t* p
    if first_id + count > 2**63:
        raise ValueError(f"first_id: {first_id} leaves no room for {count} ids")
    try:
        if count:
            check_transfers(&items[0], count)
        for index in range(count):
            p = room(&out, ITEM_ROOM + ENVELOPE_ROOM)
            if p is NULL:
                raise MemoryError
            p = write(put(p, b'{"id":'), request_id + index)
            p = put_transfer(put(p, b',"method":"create_transfers","params":['), &items[index])
            done(&out, put(p, b"]}\n"))
        return take(&out)
    finally:
        reset(&out)


def encode_create_accounts(request_id: int | None, accounts) -> bytes:
    """The line of create_accounts for ACCOUNT_COMMAND records; with None instead of an id only its params."""
    cdef AccountCommand[::1] items = checked(accounts, "accounts", ACCOUNT_COMMAND)
    cdef size_t index, count = items.shape[0]
    cdef uint8_t* p
    try:
        if count:
            check_accounts(&items[0], count)
        begin(b"create_accounts", request_id)
        for index in range(count):
            p = room(&out, ITEM_ROOM)
            if p is NULL:
                raise MemoryError
            p = put_account(p, &items[index])
            p[0] = c','
            done(&out, p + 1)
        return finish(request_id)
    finally:
        reset(&out)


def encode_update_accounts(request_id: int | None, updates) -> bytes:
    """The line of update_accounts for UPDATE_COMMAND records; with None instead of an id only its params."""
    cdef UpdateCommand[::1] items = checked(updates, "updates", UPDATE_COMMAND)
    cdef size_t index
    cdef uint8_t* p
    try:
        begin(b"update_accounts", request_id)
        for index in range(<size_t>items.shape[0]):
            p = room(&out, ITEM_ROOM)
            if p is NULL:
                raise MemoryError
            p = put_update(p, &items[index])
            p[0] = c','
            done(&out, p + 1)
        return finish(request_id)
    finally:
        reset(&out)


def encode_lookup_accounts(request_id: int | None, ids) -> bytes:
    """The line of lookup_accounts for ids (uint64); with None instead of an id only its params."""
    cdef const uint64_t[::1] items = np.ascontiguousarray(ids, dtype=np.uint64)
    cdef size_t index
    cdef uint8_t* p
    try:
        begin(b"lookup_accounts", request_id)
        for index in range(<size_t>items.shape[0]):
            p = room(&out, ITEM_ROOM)
            if p is NULL:
                raise MemoryError
            p = write(p, items[index])
            p[0] = c','
            done(&out, p + 1)
        return finish(request_id)
    finally:
        reset(&out)


def encode_lookup_transfers(request_id: int | None, ids) -> bytes:
    """The line of lookup_transfers for ids (uint64, shape (n, 2), low half first); with None only its params."""
    cdef const uint64_t[:, ::1] items = np.ascontiguousarray(ids, dtype=np.uint64)
    cdef size_t index
    cdef uint8_t* p
    if items.shape[1] != 2:
        raise ValueError(f"ids: shape {items.shape[0], items.shape[1]}, not (n, 2)")
    try:
        begin(b"lookup_transfers", request_id)
        for index in range(<size_t>items.shape[0]):
            p = room(&out, ITEM_ROOM)
            if p is NULL:
                raise MemoryError
            p = put_uuid(p, items[index, 1], items[index, 0])
            p[0] = c','
            done(&out, p + 1)
        return finish(request_id)
    finally:
        reset(&out)
