"""See `fields.pxd`."""

from libc.stdint cimport int64_t
from libc.stdlib cimport qsort
from libc.string cimport memcmp, memcpy, memset

from engine._core.order_records cimport DayCommand, LinkCommand
from engine._core.risk_records cimport LimitValue
from server.wire.scan cimport skip_value, unescape
from server.wire.shapes cimport (
    KIND_BIT, KIND_BOOLEAN, KIND_CHOICE, KIND_FLAGS, KIND_INTEGER, KIND_LIMIT, KIND_LINKS, KIND_NAME, KIND_PRICES, KIND_PROFILE,
    KIND_SWITCH, KIND_SYMBOL, KIND_TEXT, KIND_UUID, KIND_VALUE, Field, Shape, choices,
)
from server.wire.text cimport Names, digits, find, plain, quote, skip_blanks, symbol, uuid32, uuid36

from msgspec.json import decode as json_decode

MINOR_UNITS = {"amount", "overdraft_limit"}


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


cdef const uint8_t* read_integer(const uint8_t* p, bint exact, uint64_t* value) noexcept nogil:
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


cdef const uint8_t* read_uuid(const uint8_t* p, bint exact, uint64_t* halves) noexcept nogil:
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


cdef const uint8_t* read_symbol(const uint8_t* p, bint exact, uint64_t* words) noexcept nogil:
    """A string of 1 to 24 characters A-Z 0-9 . _ - into three words."""
    cdef uint8_t text[96]
    cdef int length
    if p[0] != c'"':
        return NULL
    length = <int>symbol(p + 1, words)
    if length and p[length + 1] == c'"':
        return p + length + 2
    if not exact:
        return NULL
    memset(text, 0, sizeof(text))
    length = unescape(p, text, 32)
    return skip_value(p) if 0 < length <= 24 and <int>symbol(text, words) == length else NULL


cdef const uint8_t* read_text(const uint8_t* p, bint exact, uint64_t* words) noexcept nogil:
    """Printable ASCII of 1 to 24 characters, or an integer as its digits, into three words."""
    cdef uint8_t text[96]
    cdef uint64_t value = 0
    cdef int length, index
    memset(text, 0, sizeof(text))
    if p[0] == c'"':
        if exact:
            length = unescape(p, text, 32)
            if not 1 <= length <= 24:
                return NULL
            for index in range(length):
                if not 0x20 <= text[index] < 0x7F:
                    return NULL
            p = skip_value(p)
        else:
            length = <int>plain(p + 1)
            if length == 16:
                length += <int>plain(p + 17)
            if not 1 <= length <= 24 or p[length + 1] != c'"':
                return NULL
            memcpy(text, p + 1, length)
            p += length + 2
    else:
        length = <int>digits(p, &value)
        if length == 0 or not ends_value(p[length]):
            return NULL
        memcpy(text, p, length)
        p += length
    memcpy(words, text, 24)
    return p


# --- tables: objects whose keys are values ------------------------------------------------------

cdef int compare_links(const void* one, const void* other) noexcept nogil:
    cdef uint32_t a = (<const uint32_t*>one)[0]
    cdef uint32_t b = (<const uint32_t*>other)[0]
    return (a > b) - (a < b)


cdef int compare_symbols(const void* one, const void* other) noexcept nogil:
    return memcmp(one, other, 24)


cdef const uint8_t* table_key(const uint8_t** place, Reading* reading, int field, bint first) noexcept nogil:
    """The opening quotation mark of the next key, or NULL. At the end of the object `place` moves behind it."""
    cdef const uint8_t* p = skip_blanks(place[0])
    if p[0] == c'}':
        place[0] = p + 1
        return NULL
    if not first:
        if p[0] != c',':
            refuse(reading, REASON_SYNTAX, field, p)
            return NULL
        p = skip_blanks(p + 1)
    if p[0] != c'"':
        refuse(reading, REASON_SYNTAX, field, p)
        return NULL
    return p


cdef const uint8_t* behind_colon(const uint8_t* p, Reading* reading, int field) noexcept nogil:
    p = skip_blanks(p)
    return skip_blanks(p + 1) if p[0] == c':' else refuse(reading, REASON_SYNTAX, field, p)


cdef const uint8_t* read_links(
    const uint8_t* p, Reading* reading, int field, Batch batch, uint32_t* range_
) noexcept nogil:
    """`{"156":1001,…}` into links of the batch; their first index and count into `range_`."""
    cdef uint32_t first = batch.link_count, count = 0, index
    cdef uint32_t* sorted_
    cdef bint ascending = True
    cdef uint64_t ledger = 0, account_id = 0
    cdef LinkCommand* link
    cdef const uint8_t* key
    cdef const uint8_t* at
    if p[0] != c'{':
        return refuse(reading, REASON_VALUE, field, p)
    p += 1
    while True:
        key = table_key(&p, reading, field, count == 0)
        if key is NULL:
            break
        p = read_integer(key, reading.exact, &ledger)
        if p is NULL or ledger == 0 or ledger >> 32:
            return refuse(reading, REASON_KEY, field, key)
        reading.key = ledger
        at = behind_colon(p, reading, field)
        if at is NULL:
            return NULL
        p = read_integer(at, reading.exact, &account_id)
        if p is NULL or account_id < 1 or account_id >> 63:
            reading.keyed = True
            return refuse(reading, REASON_VALUE, field, at)
        link = batch.append_links(1)
        if link is NULL:
            return refuse(reading, REASON_MEMORY, field, p)
        link.account_id = account_id
        link.ledger = <uint32_t>ledger
        link.reserved = 0
        if count and ledger <= batch.links[first + count - 1].ledger:
            ascending = False
        count += 1
    if reading.reason != REASON_NONE:
        return NULL
    if not ascending:
        sorted_ = <uint32_t*>batch.scratch(count * sizeof(uint32_t))
        if sorted_ is NULL:
            return refuse(reading, REASON_MEMORY, field, p)
        for index in range(count):
            sorted_[index] = batch.links[first + index].ledger
        qsort(sorted_, count, sizeof(uint32_t), compare_links)
        for index in range(1, count):
            if sorted_[index] == sorted_[index - 1]:
                reading.key = sorted_[index]
                return refuse(reading, REASON_KEY_TWICE, field, p)
    range_[0] = first
    range_[1] = count
    return p


cdef const uint8_t* read_prices(const uint8_t* p, Reading* reading, int field, Batch batch) noexcept nogil:
    """`{"CF701":1402500,…}` into days of the batch."""
    cdef uint32_t first = batch.day_count, count = 0, index
    cdef uint8_t* sorted_
    cdef DayCommand* day
    cdef uint64_t price = 0
    cdef uint64_t words[3]
    cdef const uint8_t* key
    cdef const uint8_t* at
    if p[0] != c'{':
        return refuse(reading, REASON_VALUE, field, p)
    p += 1
    while True:
        key = table_key(&p, reading, field, count == 0)
        if key is NULL:
            break
        p = read_symbol(key, reading.exact, words)
        if p is NULL:
            return refuse(reading, REASON_KEY, field, key)
        at = behind_colon(p, reading, field)
        if at is NULL:
            return NULL
        p = read_integer(at, reading.exact, &price)
        if p is NULL or price < 1 or price >> 63:
            reading.keyed = True
            memcpy(reading.key_text, words, 24)
            return refuse(reading, REASON_VALUE, field, at)
        day = batch.append_days(1)
        if day is NULL:
            return refuse(reading, REASON_MEMORY, field, p)
        memset(day, 0, sizeof(DayCommand))
        day.symbol_0 = words[0]
        day.symbol_1 = words[1]
        day.symbol_2 = words[2]
        day.price = price
        count += 1
    if reading.reason != REASON_NONE:
        return NULL
    if count > 1:
        sorted_ = <uint8_t*>batch.scratch(<size_t>count * 24)
        if sorted_ is NULL:
            return refuse(reading, REASON_MEMORY, field, p)
        for index in range(count):
            memcpy(sorted_ + 24 * <size_t>index, &batch.days[first + index].symbol_0, 24)
        qsort(sorted_, count, 24, compare_symbols)
        for index in range(1, count):
            if memcmp(sorted_ + 24 * <size_t>index, sorted_ + 24 * <size_t>(index - 1), 24) == 0:
                memcpy(reading.key_text, sorted_ + 24 * <size_t>index, 24)
                return refuse(reading, REASON_KEY_TWICE, field, p)
    return p


# --- limits -------------------------------------------------------------------------------------

cdef const uint8_t* read_limit(
    const Field* field, const uint8_t* p, Reading* reading, int number, Batch batch
) noexcept nogil:
    """The value of a limit, or null, into the limit values of the batch."""
    cdef LimitValue* limit = batch.append_limit_values(1)
    cdef const uint8_t* at = p
    cdef uint64_t value = 0
    cdef int index
    if limit is NULL:
        return refuse(reading, REASON_MEMORY, number, p)
    memset(limit, 0, sizeof(LimitValue))
    limit.name = <uint16_t>field.offset
    if p[0] == c'n' and p[1] == c'u' and p[2] == c'l' and p[3] == c'l':
        limit.unset = 1
        return p + 4
    if field.kind == KIND_VALUE:
        p = read_integer(p, reading.exact, &value)
        if p is NULL or value > field.maximum:
            return refuse(reading, REASON_VALUE, number, at)
        limit.value = <int64_t>value
        return p
    if field.kind == KIND_CHOICE:
        index = read_name(field.names, &p, reading.exact) if p[0] == c'"' else -1
        if index < 0:
            return refuse(reading, REASON_VALUE, number, at)
        limit.value = index
        return p
    if p[0] == c't' and p[1] == c'r' and p[2] == c'u' and p[3] == c'e':
        limit.value = 1
        return p + 4
    if p[0] == c'f' and p[1] == c'a' and p[2] == c'l' and p[3] == c's' and p[4] == c'e':
        return p + 5
    return refuse(reading, REASON_VALUE, number, at)


# --- one object ---------------------------------------------------------------------------------

cdef const uint8_t* read_object(
    const Shape* shape, const uint8_t* p, uint8_t* out, Seen* seen, Reading* reading, Batch batch
) noexcept nogil:
    cdef const uint8_t* at
    cdef const Field* field
    cdef uint64_t value = 0
    cdef uint64_t maximum
    cdef uint32_t bit
    cdef int number, index
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
        elif field.kind == KIND_SYMBOL:
            p = read_symbol(p, reading.exact, <uint64_t*>(out + field.offset))
            if p is NULL:
                return refuse(reading, REASON_VALUE, number, at)
        elif field.kind == KIND_NAME or field.kind == KIND_BIT:
            index = read_name(field.names, &p, reading.exact) if p[0] == c'"' else -1
            if index < 0:
                return refuse(reading, REASON_VALUE, number, at)
            if field.kind == KIND_BIT:
                if index:
                    (<uint16_t*>(out + field.offset))[0] |= <uint16_t>field.maximum
            elif field.width == 4:
                (<uint32_t*>(out + field.offset))[0] = <uint32_t>(index + field.minimum)
            else:
                (<uint16_t*>(out + field.offset))[0] = <uint16_t>(index + field.minimum)
        elif field.kind == KIND_FLAGS:
            p = read_flags(shape.flags, p, reading, number, <uint16_t*>(out + field.offset))
            if p is NULL:
                return NULL
        elif field.kind == KIND_TEXT:
            seen.text = p
            p = read_text(p, reading.exact, <uint64_t*>(out + field.offset))
            if p is NULL:
                return refuse(reading, REASON_VALUE, number, at)
        elif field.kind == KIND_LINKS:
            p = read_links(p, reading, number, batch, <uint32_t*>(out + field.offset))
            if p is NULL:
                return NULL
        elif field.kind == KIND_PRICES:
            p = read_prices(p, reading, number, batch)
            if p is NULL:
                return NULL
        elif field.kind == KIND_PROFILE:
            index = -1
            if p[0] == c'"' and reading.profiles is not NULL:
                index = read_name(&reading.profiles.names, &p, reading.exact)
            if index < 0:
                return refuse(reading, REASON_VALUE, number, at)
            seen.profile = index
        elif field.kind >= KIND_VALUE:
            p = read_limit(field, p, reading, number, batch)
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


# --- messages -----------------------------------------------------------------------------------

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
    if kind == KIND_SYMBOL:
        return "is not a symbol (1 to 24 characters A-Z 0-9 . _ -)"
    if kind == KIND_TEXT:
        return "is neither a text of 1 to 24 printable ASCII characters nor an integer"
    if kind == KIND_LINKS or kind == KIND_PRICES:
        return "is not an object"
    if kind == KIND_BOOLEAN:
        return "is neither true nor false"
    if kind == KIND_FLAGS:
        return "is not an array of flag names"
    if kind == KIND_SWITCH:
        return "is neither true, false nor null"
    if is_integer_text(at):
        return f"is not between {minimum} and {maximum}"
    if name in MINOR_UNITS:
        return "is not an integer in minor units"
    if kind == KIND_VALUE:
        return "is neither an integer nor null"
    return "is not an integer"


cdef str key_of(list field, Reading* reading):
    """The key of a table that is complained about."""
    if field[1] == KIND_LINKS:
        return str(reading.key)
    return (<bytes>(<const char*>reading.key_text)[:24]).rstrip(b"\0").decode()


cdef object explain_fields(list fields, str noun, Reading* reading):
    cdef int reason = reading.reason
    cdef str path = "params" if reading.item < 0 else f"params[{reading.item}]"
    if reason == REASON_NOT_ARRAY:
        return f"{path}: {excerpt(reading.at)} is not an array"
    if reason == REASON_NOT_OBJECT:
        return f"{path}: {excerpt(reading.at)} is not an object"
    if reason == REASON_TIMES:
        return f"{path}.timestamp_min: is after timestamp_max"
    if reason == REASON_SIDES:
        return f"{path}: debits and credits are both false"
    if reason == REASON_BOTH:
        return f"{path}: order_id and client_order_id are both given"
    if reason == REASON_NO_LIMIT:
        return f"{path}: names no limit"
    if reason == REASON_UNKNOWN:
        return f"{path}.{name_at(reading.at)}: is not a member of {noun}"
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
    if reason == REASON_NO_ID:
        return f"{path}: the zero and the all-ones UUID are not ids"
    if reason == REASON_NOT_FOR_TYPE:
        return f"{path}: is for stop and stop_limit orders only"
    if reason == REASON_NOT_FOR_TIME:
        return f"{path}: is for time_in_force gtd only"
    if reason == REASON_DATE:
        return f"{path}: is not a day (yyyymmdd)"
    if reason == REASON_ID_NUMBER:
        return f"{path}: {excerpt(reading.at)} {expected(name, KIND_INTEGER, reading.at, 1, 2**63 - 1)}"
    if reason == REASON_ID_SYMBOL:
        return f"{path}: {excerpt(reading.at)} {expected(name, KIND_SYMBOL, reading.at, 0, 0)}"
    if reason == REASON_NOT_FOR_SCOPE:
        return f"{path}: approval has no kill switch" if name == "scope" else f"{path}: is not for this scope"
    if reason == REASON_KEY:
        noun = "a ledger" if kind == KIND_LINKS else "a symbol (1 to 24 characters A-Z 0-9 . _ -)"
        return f"{path}: {excerpt(reading.at)} is not {noun}"
    if reason == REASON_KEY_TWICE:
        return f"{path}.{key_of(list(fields[reading.field]), reading)}: is given twice"
    if reason == REASON_VALUE and reading.keyed:
        path = f"{path}.{key_of(list(fields[reading.field]), reading)}"
        return f"{path}: {excerpt(reading.at)} {expected(name, KIND_INTEGER, reading.at, 1, 2**63 - 1)}"
    if reason == REASON_VALUE and (kind == KIND_NAME or kind == KIND_BIT):
        return f"{path}: {excerpt(reading.at)} is not one of {', '.join(choices[name])}"
    if reason == REASON_VALUE and kind == KIND_CHOICE:
        return f"{path}: {excerpt(reading.at)} is neither one of {', '.join(choices[name])} nor null"
    if reason == REASON_VALUE and kind == KIND_PROFILE:
        return f"{path}: {excerpt(reading.at)} is not a profile of this server"
    if reason == REASON_VALUE:
        return f"{path}: {excerpt(reading.at)} {expected(name, kind, reading.at, minimum, maximum)}"
    if reason == REASON_FLAG:
        noun = "an account" if noun == "an account" else "a transfer"
        return f"{path}[{reading.element}]: {excerpt(reading.at)} is not a flag of {noun}"
    if reason == REASON_FLAG_TWICE:
        return f"{path}[{reading.element}]: {excerpt(reading.at)} is given twice"
    raise SystemError(f"the exact reader refused well-formed text for reason {reason}")
