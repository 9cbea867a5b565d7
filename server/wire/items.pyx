"""See `items.pxd`."""

from libc.stdint cimport uint16_t
from libc.string cimport memset

from engine._core.codes cimport (
    AMOUNT_ALL, FILTER_CREDITS, FILTER_DEBITS, FILTER_REVERSED, FILTER_USER_DATA_128, FILTER_USER_DATA_32,
    FILTER_USER_DATA_64, TRANSFER_POST_PENDING_TRANSFER, TRANSFER_VOID_PENDING_TRANSFER, UPDATE_FROZEN,
    UPDATE_OVERDRAFT_LIMIT,
)
from engine._core.records cimport AccountCommand, Filter, Id128, TransferCommand, UpdateCommand
from server.wire.methods cimport (
    METHOD_CREATE_ACCOUNTS, METHOD_CREATE_TRANSFERS, METHOD_GET_ACCOUNT_BALANCES, METHOD_GET_ACCOUNT_TRANSFERS,
    METHOD_LOOKUP_ACCOUNTS, METHOD_LOOKUP_TRANSFERS, METHOD_QUERY_ACCOUNTS, METHOD_QUERY_TRANSFERS,
    METHOD_UPDATE_ACCOUNTS,
)
from server.wire.scan cimport skip_value, unescape
from server.wire.shapes cimport (
    FILTER_CREDITS_FIELD, FILTER_DEBITS_FIELD, FILTER_LIMIT, FILTER_MIN, FILTER_REVERSED_FIELD, FILTER_UD128,
    FILTER_UD32, FILTER_UD64, KIND_BOOLEAN, KIND_FLAGS, KIND_INTEGER, KIND_LIMIT, KIND_UUID, TRANSFER_AMOUNT,
    TRANSFER_ID, TRANSFER_TEMPLATE, UPDATE_FROZEN_FIELD, UPDATE_LIMIT_FIELD, Field, Shape, account_fields,
    account_filter_fields, account_filter_shape, account_shape, query_filter_fields, query_filter_shape,
    transfer_fields, transfer_shape, update_fields, update_shape,
)
from server.wire.text cimport (
    Names, TransferText, digits, find, quote, skip_blanks, transfer_template, uuid32, uuid36,
)

from msgspec.json import decode as json_decode


cdef struct Seen:
    uint32_t given                      # bits of the fields that were given
    uint32_t true                       # bits of the boolean fields that were given as true


# --- one value ----------------------------------------------------------------------------------

cdef const uint8_t* refuse(Reading* reading, int reason, int field, const uint8_t* at) noexcept nogil:
    reading.reason = reason
    reading.field = field
    reading.at = at
    return NULL


cdef inline bint ends_value(uint8_t text) noexcept nogil:
    """Whether a number may end before `text`."""
    return text == c',' or text == c'}' or text == c']' or text == c' ' or text == c'\t' or text == c'\r'


cdef const uint8_t* integer_escaped(const uint8_t* p, uint64_t* value) noexcept nogil:
    """An integer as a string with escapes."""
    cdef uint8_t text[64]
    cdef int length
    if p[0] != c'"':
        return NULL
    length = unescape(p, text, 40)
    if length < 1 or <int>digits(text, value) != length:
        return NULL
    return skip_value(p)


cdef inline const uint8_t* read_integer(const uint8_t* p, bint exact, uint64_t* value) noexcept nogil:
    """Digits, or a string of digits. Behind it, or NULL."""
    cdef unsigned int length
    if p[0] == c'"':
        length = digits(p + 1, value)
        if length == 0 or p[length + 1] != c'"':
            return integer_escaped(p, value) if exact else NULL
        return p + length + 2
    length = digits(p, value)
    if length == 0 or not ends_value(p[length]):
        return NULL
    return p + length


cdef const uint8_t* uuid_escaped(const uint8_t* p, uint64_t* halves) noexcept nogil:
    """A UUID as a string with escapes."""
    cdef uint8_t text[128]
    cdef int length
    memset(text + 64, 0, 64)
    length = unescape(p, text, 64)
    if length == 36 and uuid36(text, &halves[1], &halves[0]):
        return skip_value(p)
    if length == 32 and uuid32(text, &halves[1], &halves[0]):
        return skip_value(p)
    return NULL


cdef inline const uint8_t* read_uuid(const uint8_t* p, bint exact, uint64_t* halves) noexcept nogil:
    """UUID text into `halves`, low half first. Behind it, or NULL."""
    if p[0] != c'"':
        return NULL
    if p[37] == c'"' and uuid36(p + 1, &halves[1], &halves[0]):
        return p + 38
    if p[33] == c'"' and uuid32(p + 1, &halves[1], &halves[0]):
        return p + 34
    return uuid_escaped(p, halves) if exact else NULL


cdef inline int read_name(const Names* names, const uint8_t** place, bint exact) noexcept nogil:
    """The index of the name in the string at `place`, which moves behind it; -1 when it is none of them."""
    cdef const uint8_t* p = place[0]
    cdef unsigned int length = quote(p + 1)
    cdef int index = find(names, p + 1, length)
    cdef int count
    cdef uint8_t text[64]
    if index >= 0:
        place[0] = p + length + 2
        return index
    if not exact:
        return -1
    memset(text, 0, 64)
    count = unescape(p, text, 40)
    if count < 1 or count > 31:
        return -1
    index = find(names, text, <unsigned int>count)
    if index >= 0:
        place[0] = skip_value(p)
    return index


cdef const uint8_t* read_flags(
    const Names* names, const uint8_t* p, Reading* reading, int field, uint16_t* flags
) noexcept nogil:
    """An array of names, each at most once, into bits."""
    cdef const uint8_t* at = p
    cdef int bit, element = 0
    if p[0] != c'[':
        return refuse(reading, REASON_VALUE, field, p)
    flags[0] = 0
    p = skip_blanks(p + 1)
    if p[0] == c']':
        return p + 1
    while True:
        at = p
        bit = read_name(names, &p, reading.exact) if p[0] == c'"' else -1
        if bit < 0 or flags[0] & 1 << bit:
            reading.element = element
            return refuse(reading, REASON_FLAG if bit < 0 else REASON_FLAG_TWICE, field, at)
        flags[0] |= <uint16_t>(1 << bit)
        element += 1
        p = skip_blanks(p)
        if p[0] == c']':
            return p + 1
        if p[0] != c',':
            return refuse(reading, REASON_SYNTAX, field, p)
        p = skip_blanks(p + 1)


# --- one object ---------------------------------------------------------------------------------

cdef const uint8_t* read_object(
    const Shape* shape, const uint8_t* p, uint8_t* out, Seen* seen, Reading* reading
) noexcept nogil:
    """The object at `p` into the struct at `out`. With fields already given: the rest of it, from behind a value."""
    cdef const uint8_t* at
    cdef const Field* field
    cdef uint64_t value = 0
    cdef uint64_t maximum
    cdef uint32_t bit
    cdef int number
    if seen.given == 0:
        if p[0] != c'{':
            return refuse(reading, REASON_NOT_OBJECT, -1, p)
        p = skip_blanks(p + 1)
        if p[0] == c'}':
            return p + 1
    else:
        p = skip_blanks(p)
        if p[0] == c'}':
            return p + 1
        if p[0] != c',':
            return refuse(reading, REASON_SYNTAX, -1, p)
        p = skip_blanks(p + 1)
    while True:
        at = p
        if p[0] != c'"':
            return refuse(reading, REASON_SYNTAX, -1, p)
        number = read_name(&shape.names, &p, reading.exact)
        if number < 0:
            return refuse(reading, REASON_UNKNOWN, -1, at)
        bit = <uint32_t>1 << number
        if seen.given & bit:
            return refuse(reading, REASON_TWICE, number, at)
        seen.given |= bit
        if p[0] != c':':
            p = skip_blanks(p)
            if p[0] != c':':
                return refuse(reading, REASON_SYNTAX, -1, p)
        p = skip_blanks(p + 1)
        at = p
        field = &shape.fields[number]
        if field.kind == KIND_INTEGER or field.kind == KIND_LIMIT:
            maximum = field.maximum if field.kind == KIND_INTEGER else reading.query_limit_max
            p = read_integer(p, reading.exact, &value)
            if p is NULL or value < field.minimum or value > maximum:
                return refuse(reading, REASON_VALUE, number, at)
            if field.width == 8:
                (<uint64_t*>(out + field.offset))[0] = value
            elif field.width == 4:
                (<uint32_t*>(out + field.offset))[0] = <uint32_t>value
            else:
                (<uint16_t*>(out + field.offset))[0] = <uint16_t>value
        elif field.kind == KIND_UUID:
            p = read_uuid(p, reading.exact, <uint64_t*>(out + field.offset))
            if p is NULL:
                return refuse(reading, REASON_VALUE, number, at)
        elif field.kind == KIND_FLAGS:
            p = read_flags(shape.flags, p, reading, number, <uint16_t*>(out + field.offset))
            if p is NULL:
                return NULL
        elif p[0] == c't' and p[1] == c'r' and p[2] == c'u' and p[3] == c'e':
            seen.true |= bit
            p += 4
        elif p[0] == c'f' and p[1] == c'a' and p[2] == c'l' and p[3] == c's' and p[4] == c'e':
            p += 5
        else:
            return refuse(reading, REASON_VALUE, number, at)
        p = skip_blanks(p)
        if p[0] == c'}':
            return p + 1
        if p[0] != c',':
            return refuse(reading, REASON_SYNTAX, number, p)
        p = skip_blanks(p + 1)


cdef const uint8_t* check_required(
    const uint8_t* p, uint32_t required, uint32_t given, Reading* reading
) noexcept nogil:
    """`p`, or NULL with the first field that is missing."""
    cdef uint32_t missing = required & ~given
    cdef int number = 0
    if missing == 0 or p is NULL:
        return p
    while not missing & <uint32_t>1 << number:
        number += 1
    return refuse(reading, REASON_MISSING, number, p)


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
                p = read_object(&transfer_shape, p, <uint8_t*>transfer, &seen, reading)
                if p is NULL:
                    return NULL
        else:
            seen.given = 0
            p = read_object(&transfer_shape, p, <uint8_t*>transfer, &seen, reading)
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


cdef const uint8_t* read_item(int method, const uint8_t* p, uint8_t* out, Reading* reading) noexcept nogil:
    """One item of any array but create_transfers'."""
    cdef const uint8_t* at = p
    cdef uint64_t* halves
    cdef UpdateCommand* update
    cdef Seen seen
    seen.given = 0
    seen.true = 0
    if method == METHOD_CREATE_ACCOUNTS:
        p = read_object(&account_shape, p, out, &seen, reading)
        return check_required(p, account_shape.required, seen.given, reading)
    if method == METHOD_UPDATE_ACCOUNTS:
        p = read_object(&update_shape, p, out, &seen, reading)
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
        p = read_item(method, p, out, reading)
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
    p = read_object(shape, p, <uint8_t*>item, &seen, reading)
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
    count[0] = 0
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


cdef str excerpt(const uint8_t* at):
    """The JSON text of the value at `at`, cut after 40 characters."""
    cdef str text = (<bytes>(<const char*>at)[:skip_value(at) - at]).decode()
    return text if len(text) <= 40 else text[:40] + "…"


cdef str name_at(const uint8_t* at):
    """The name in the string at `at`, its escapes resolved, cut after 40 characters."""
    cdef str text = json_decode((<const char*>at)[:skip_value(at) - at])
    return text if len(text) <= 40 else text[:40] + "…"


cdef bint is_integer_text(const uint8_t* at):
    """Whether the value at `at` is an integer, in digits or as a string of digits, whatever its size."""
    cdef str text = (<bytes>(<const char*>at)[:skip_value(at) - at]).decode()
    text = text.removeprefix('"').removesuffix('"')
    negative = text.startswith("-")
    text = text.removeprefix("-")
    if negative and text == "0":
        return False
    return text.isascii() and text.isdigit() and (text == "0" or text[0] != "0")


cdef str expected(str name, int kind, const uint8_t* at, object minimum, object maximum):
    if kind == KIND_UUID:
        return "is not a UUID"
    if kind == KIND_BOOLEAN:
        return "is neither true nor false"
    if kind == KIND_FLAGS:
        return "is not an array of flag names"
    if is_integer_text(at):
        return f"is not between {minimum} and {maximum}"
    if name == "amount" or name == "overdraft_limit":
        return "is not an integer in minor units"
    return "is not an integer"


cdef object explain(int method, Reading* reading):
    cdef int reason = reading.reason
    cdef str path = "params" if reading.item < 0 else f"params[{reading.item}]"
    cdef list fields
    if reason == REASON_NOT_ARRAY:
        return f"{path}: {excerpt(reading.at)} is not an array"
    if reason == REASON_NOT_OBJECT:
        return f"{path}: {excerpt(reading.at)} is not an object"
    if reason == REASON_TIMES:
        return f"{path}.timestamp_min: is after timestamp_max"
    if reason == REASON_SIDES:
        return f"{path}: debits and credits are both false"
    if reason == REASON_VALUE and reading.field < 0:
        if method == METHOD_LOOKUP_TRANSFERS:
            return f"{path}: {excerpt(reading.at)} {expected('id', KIND_UUID, reading.at, 0, 0)}"
        return f"{path}: {excerpt(reading.at)} {expected('id', KIND_INTEGER, reading.at, 0, 2**63 - 1)}"
    if reason == REASON_UNKNOWN:
        noun = ITEM_NOUNS.get(method, "this method's params")
        return f"{path}.{name_at(reading.at)}: is not a member of {noun}"
    fields = fields_of(method)
    if not 0 <= reading.field < len(fields):
        raise SystemError(f"the exact reader refused well-formed text for reason {reason}")
    name, kind, _, _, minimum, maximum, _ = fields[reading.field]
    if kind == KIND_LIMIT:
        maximum = reading.query_limit_max
    path = f"{path}.{name}"
    if reason == REASON_TWICE:
        return f"{path}: is given twice"
    if reason == REASON_MISSING:
        return f"{path}: is missing"
    if reason == REASON_VALUE:
        return f"{path}: {excerpt(reading.at)} {expected(name, kind, reading.at, minimum, maximum)}"
    if reason == REASON_FLAG:
        noun = "an account" if method == METHOD_CREATE_ACCOUNTS else "a transfer"
        return f"{path}[{reading.element}]: {excerpt(reading.at)} is not a flag of {noun}"
    if reason == REASON_FLAG_TWICE:
        return f"{path}[{reading.element}]: {excerpt(reading.at)} is given twice"
    raise SystemError(f"the exact reader refused well-formed text for reason {reason}")
