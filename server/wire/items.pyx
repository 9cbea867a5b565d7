"""See `items.pxd`."""

from libc.stdint cimport int32_t, uint16_t
from libc.string cimport memset

from engine._core.codes cimport (
    AMOUNT_ALL, FILTER_CREDITS, FILTER_DEBITS, FILTER_REVERSED, FILTER_USER_DATA_128, FILTER_USER_DATA_32,
    FILTER_USER_DATA_64, TRANSFER_POST_PENDING_TRANSFER, TRANSFER_VOID_PENDING_TRANSFER, UPDATE_FROZEN,
    UPDATE_OVERDRAFT_LIMIT,
)
from engine._core.records cimport AccountCommand, Filter, Id128, TransferCommand, UpdateCommand
from server.wire.fields cimport (
    REASON_MEMORY, REASON_MISSING, REASON_NONE, REASON_NOT_ARRAY, REASON_SIDES, REASON_SYNTAX, REASON_TIMES,
    REASON_TOO_MANY, REASON_VALUE, Seen, check_required, excerpt, expected, explain_fields, read_integer, read_object,
    read_uuid, refuse,
)
from server.wire.methods cimport (
    METHOD_CREATE_ACCOUNTS, METHOD_CREATE_INSTRUMENTS, METHOD_CREATE_TRANSFERS, METHOD_GET_ACCOUNT_BALANCES,
    METHOD_GET_ACCOUNT_TRANSFERS,
    METHOD_LOOKUP_ACCOUNTS, METHOD_LOOKUP_TRANSFERS, METHOD_QUERY_ACCOUNTS, METHOD_QUERY_TRANSFERS,
    METHOD_SET_LIMITS, METHOD_UPDATE_ACCOUNTS,
)
from server.wire.limits cimport explain_limit_params, read_limit_params
from server.wire.orders cimport explain_order_params, read_order_params
from server.wire.shapes cimport (
    FILTER_CREDITS_FIELD, FILTER_DEBITS_FIELD, FILTER_LIMIT, FILTER_MIN, FILTER_REVERSED_FIELD, FILTER_UD128,
    FILTER_UD32, FILTER_UD64, KIND_INTEGER, KIND_UUID, TRANSFER_AMOUNT,
    TRANSFER_ID, TRANSFER_TEMPLATE, UPDATE_FROZEN_FIELD, UPDATE_LIMIT_FIELD, Shape, account_fields,
    account_filter_fields, account_filter_shape, account_shape, query_filter_fields, query_filter_shape,
    transfer_fields, transfer_shape, update_fields, update_shape,
)
from server.wire.text cimport TransferText, skip_blanks, transfer_template


# --- arrays -------------------------------------------------------------------------------------

cdef const uint8_t* read_transfers(const uint8_t* p, Batch batch, Reading* reading, uint32_t* count) noexcept nogil:
    cdef TransferCommand* transfer
    cdef TransferText text
    cdef const uint8_t* behind
    cdef Seen seen
    while True:
        if count[0] >= reading.items_max:
            return refuse(reading, REASON_TOO_MANY, -1, p)
        reading.item = <int32_t>count[0]
        if batch.transfer_count < batch.transfer_capacity:
            transfer = &batch.transfers[batch.transfer_count]
            batch.transfer_count += 1
        else:
            transfer = batch.append_transfers(1)
            if transfer is NULL:
                return refuse(reading, REASON_MEMORY, -1, p)
        memset(transfer, 0, sizeof(TransferCommand))
        behind = transfer_template(p, &text)
        if behind is not NULL:
            transfer.id_lo = text.id_lo
            transfer.id_hi = text.id_hi
            transfer.debit_account_id = text.debit
            transfer.credit_account_id = text.credit
            transfer.amount = text.amount
            transfer.ledger = <uint32_t>text.ledger
            transfer.code = <uint16_t>text.code
            p = behind
            if p[0] == c'}':
                p += 1
            else:
                seen.given = TRANSFER_TEMPLATE
                p = read_object(&transfer_shape, p, <uint8_t*>transfer, &seen, reading, batch)
                if p is NULL:
                    return NULL
        else:
            seen.given = 0
            p = read_object(&transfer_shape, p, <uint8_t*>transfer, &seen, reading, batch)
            if p is NULL:
                return NULL
            if transfer.flags & (TRANSFER_POST_PENDING_TRANSFER | TRANSFER_VOID_PENDING_TRANSFER):
                if not seen.given & 1 << TRANSFER_AMOUNT:
                    transfer.amount = AMOUNT_ALL
                if not seen.given & 1 << TRANSFER_ID:
                    return refuse(reading, REASON_MISSING, TRANSFER_ID, p)
            else:
                p = check_required(p, transfer_shape.required, seen.given, reading)
                if p is NULL:
                    return NULL
        count[0] += 1
        p = skip_blanks(p)
        if p[0] == c']':
            return p + 1
        if p[0] != c',':
            return refuse(reading, REASON_SYNTAX, -1, p)
        p = skip_blanks(p + 1)


cdef inline uint8_t* append_item(int method, Batch batch) noexcept nogil:
    """Room for one more item of the method, zeroed; NULL when memory is out."""
    cdef AccountCommand* account
    cdef UpdateCommand* update
    cdef Id128* id128
    if method == METHOD_CREATE_ACCOUNTS:
        account = batch.append_accounts(1)
        if account is not NULL:
            memset(account, 0, sizeof(AccountCommand))
        return <uint8_t*>account
    if method == METHOD_UPDATE_ACCOUNTS:
        update = batch.append_updates(1)
        if update is not NULL:
            memset(update, 0, sizeof(UpdateCommand))
        return <uint8_t*>update
    id128 = batch.append_ids(1)
    if id128 is not NULL:
        memset(id128, 0, sizeof(Id128))
    return <uint8_t*>id128


cdef const uint8_t* read_item(
    int method, const uint8_t* p, uint8_t* out, Reading* reading, Batch batch
) noexcept nogil:
    """One item of any array but create_transfers'."""
    cdef const uint8_t* at = p
    cdef uint64_t* halves
    cdef UpdateCommand* update
    cdef Seen seen
    seen.given = 0
    seen.true = 0
    if method == METHOD_CREATE_ACCOUNTS:
        p = read_object(&account_shape, p, out, &seen, reading, batch)
        return check_required(p, account_shape.required, seen.given, reading)
    if method == METHOD_UPDATE_ACCOUNTS:
        p = read_object(&update_shape, p, out, &seen, reading, batch)
        update = <UpdateCommand*>out
        if seen.given & 1 << UPDATE_LIMIT_FIELD:
            update.fields |= UPDATE_OVERDRAFT_LIMIT
        if seen.given & 1 << UPDATE_FROZEN_FIELD:
            update.fields |= UPDATE_FROZEN
            update.frozen = seen.true != 0
        return check_required(p, update_shape.required, seen.given, reading)
    halves = <uint64_t*>out
    if method == METHOD_LOOKUP_TRANSFERS:
        p = read_uuid(p, reading.exact, halves)
    else:
        p = read_integer(p, reading.exact, halves)
        if halves[0] >> 63:
            p = NULL
    return p if p is not NULL else refuse(reading, REASON_VALUE, -1, at)


cdef const uint8_t* read_array(
    int method, const uint8_t* p, Batch batch, Reading* reading, uint32_t* count
) noexcept nogil:
    cdef uint8_t* out
    while True:
        if count[0] >= reading.items_max:
            return refuse(reading, REASON_TOO_MANY, -1, p)
        reading.item = <int32_t>count[0]
        out = append_item(method, batch)
        if out is NULL:
            return refuse(reading, REASON_MEMORY, -1, p)
        p = read_item(method, p, out, reading, batch)
        if p is NULL:
            return NULL
        count[0] += 1
        p = skip_blanks(p)
        if p[0] == c']':
            return p + 1
        if p[0] != c',':
            return refuse(reading, REASON_SYNTAX, -1, p)
        p = skip_blanks(p + 1)


# --- filters ------------------------------------------------------------------------------------

cdef const uint8_t* read_filter(
    const Shape* shape, const uint8_t* p, Batch batch, Reading* reading, uint64_t* weight
) noexcept nogil:
    cdef Filter* item = batch.append_filters(1)
    cdef const uint8_t* at = p
    cdef uint32_t sides, given
    cdef Seen seen
    if item is NULL:
        return refuse(reading, REASON_MEMORY, -1, p)
    memset(item, 0, sizeof(Filter))
    seen.given = 0
    seen.true = 0
    p = read_object(shape, p, <uint8_t*>item, &seen, reading, batch)
    p = check_required(p, shape.required, seen.given, reading)
    if p is NULL:
        return NULL
    given = seen.given
    if not given & 1 << FILTER_LIMIT:
        item.limit = reading.query_limit_max
    weight[0] = item.limit
    if item.timestamp_max and item.timestamp_min > item.timestamp_max:
        return refuse(reading, REASON_TIMES, FILTER_MIN, at)
    if given & 1 << FILTER_UD128:
        item.flags |= FILTER_USER_DATA_128
    if given & 1 << FILTER_UD64:
        item.flags |= FILTER_USER_DATA_64
    if given & 1 << FILTER_UD32:
        item.flags |= FILTER_USER_DATA_32
    if seen.true & 1 << FILTER_REVERSED_FIELD:
        item.flags |= FILTER_REVERSED
    # A side given as false is not wanted, one given as true is; with one of them given, it decides about the other.
    sides = 1 << FILTER_DEBITS_FIELD | 1 << FILTER_CREDITS_FIELD
    if shape is &account_filter_shape and given & sides:
        if given & sides == sides and seen.true & sides == 0:
            return refuse(reading, REASON_SIDES, -1, at)
        if seen.true & sides:
            if seen.true & 1 << FILTER_DEBITS_FIELD:
                item.flags |= FILTER_DEBITS
            if seen.true & 1 << FILTER_CREDITS_FIELD:
                item.flags |= FILTER_CREDITS
        else:
            item.flags |= FILTER_CREDITS if given & 1 << FILTER_DEBITS_FIELD else FILTER_DEBITS
    return p


# --- params -------------------------------------------------------------------------------------

cdef const uint8_t* read_params(
    int method, const uint8_t* p, Batch batch, Reading* reading, uint32_t* first, uint32_t* count, uint64_t* weight
) noexcept nogil:
    reading.reason = REASON_NONE
    reading.item = -1
    reading.field = -1
    reading.element = -1
    reading.keyed = False
    count[0] = 0
    if method >= METHOD_SET_LIMITS:
        return read_limit_params(method, p, batch, reading, first, count, weight)
    if method >= METHOD_CREATE_INSTRUMENTS:
        return read_order_params(method, p, batch, reading, first, count, weight)
    if METHOD_GET_ACCOUNT_TRANSFERS <= method <= METHOD_QUERY_TRANSFERS:
        first[0] = batch.filter_count
        count[0] = 1
        return read_filter(
            &account_filter_shape if method <= METHOD_GET_ACCOUNT_BALANCES else &query_filter_shape,
            p, batch, reading, weight)
    if method == METHOD_CREATE_TRANSFERS:
        first[0] = batch.transfer_count
    elif method == METHOD_CREATE_ACCOUNTS:
        first[0] = batch.account_count
    elif method == METHOD_UPDATE_ACCOUNTS:
        first[0] = batch.update_count
    else:
        first[0] = batch.id_count
    if p[0] != c'[':
        return refuse(reading, REASON_NOT_ARRAY, -1, p)
    p = skip_blanks(p + 1)
    if p[0] == c']':
        weight[0] = 0
        return p + 1
    if method == METHOD_CREATE_TRANSFERS:
        p = read_transfers(p, batch, reading, count)
    else:
        p = read_array(method, p, batch, reading, count)
    weight[0] = count[0]
    return p


# --- messages -----------------------------------------------------------------------------------

cdef list fields_of(int method):
    if method == METHOD_CREATE_ACCOUNTS:
        return account_fields
    if method == METHOD_CREATE_TRANSFERS:
        return transfer_fields
    if method == METHOD_UPDATE_ACCOUNTS:
        return update_fields
    if method == METHOD_QUERY_ACCOUNTS or method == METHOD_QUERY_TRANSFERS:
        return query_filter_fields
    return account_filter_fields


cdef dict ITEM_NOUNS = {
    METHOD_CREATE_ACCOUNTS: "an account",
    METHOD_CREATE_TRANSFERS: "a transfer",
    METHOD_UPDATE_ACCOUNTS: "an account update",
}


cdef object explain(int method, Reading* reading):
    cdef str path = "params" if reading.item < 0 else f"params[{reading.item}]"
    if method >= METHOD_SET_LIMITS:
        return explain_limit_params(method, reading)
    if method >= METHOD_CREATE_INSTRUMENTS:
        return explain_order_params(method, reading)
    if reading.reason == REASON_VALUE and reading.field < 0:
        if method == METHOD_LOOKUP_TRANSFERS:
            return f"{path}: {excerpt(reading.at)} {expected('id', KIND_UUID, reading.at, 0, 0)}"
        return f"{path}: {excerpt(reading.at)} {expected('id', KIND_INTEGER, reading.at, 0, 2**63 - 1)}"
    return explain_fields(fields_of(method), ITEM_NOUNS.get(method, "this method's params"), reading)
