"""A batch as bytes and back: what one row of the log holds.

Only what changes the state is recorded: the written requests with their items, and the time. Items are stored by
column, since the values of one field resemble each other: a column of zeros takes two bits, a constant one a single
value, and of any other column only those bytes are stored in which its values differ, first byte by first byte, then
second by second. That leaves 17 bytes of a transfer's 104, most of them random, which a fast compressor goes over quickly.

Layout, little-endian. Head: u8 format, u8 codec (0 plain, 1 zstd), u16 zero, u32 bytes of the body when plain.
Body: u64 time; u32 numbers of runs, accounts, transfers, updates, ranges, and a mask of further tables; per bit of the mask, lowest
first, the u32 number of items of that table (TABLE_NAMES from its fifth on), and a zero where their number is odd; the runs, four u32 each
(kind, scope, items per request, requests); then per table that is not empty a u64 with two bits per column (0 zeros, 1 constant, 2 plain,
3 bytes, the first column lowest) and the columns in the order of the record's fields. Tables begin at a multiple of 8 bytes of the body.
A column of bytes is a u8 with a bit for each byte in which values differ, the first value, and for each bit, lowest first, that byte of
every value. Formats: 1 knows the first four tables and no columns of bytes, 2 all tables, 3 columns of bytes. A record is of the oldest that can hold it.
"""

import zstandard

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy, memset

from engine._core.batch cimport Batch, Request
from engine._core.codes cimport *
from engine._core.risk_records cimport LIMIT_COUNT
from engine._core import order_records, records, risk_records
from engine.errors import RecordError

FORMAT = 3                      # the newest that is written and read
FORMAT_FIRST = 1
TABLE_NAMES = (
    "accounts", "transfers", "updates", "ranges", "instruments", "trading_accounts", "links", "orders", "amends",
    "mass_cancels", "sessions", "days", "trade_commands", "limits", "limit_values", "kills", "approvals", "verdicts",
)

cdef enum:
    HEAD = 8
    BODY_HEAD = 32
    RUN = 16
    TABLES = 18
    TABLES_FIRST = 4            # whose numbers stand in the head of the body
    LINKS = 6
    LIMIT_VALUES = 14
    VERDICTS = 17
    COLUMNS_MAX = 32
    PLAIN = 0
    ZSTD = 1
    ZEROS = 0
    CONSTANT = 1
    VALUES = 2
    BYTES = 3
    BYTES_FROM = 16             # values: a shorter column gains nothing
    FORMAT_TABLES = 2
    FORMAT_BYTES = 3
    COMPRESS_FROM = 512         # bytes: a smaller body gains less than the call costs
    ITEMS_MAX = 1 << 24         # more in one row is damage
    BODY_MAX = 1 << 30

cdef struct Table:
    uint32_t size               # bytes of a record
    uint32_t columns
    uint32_t offsets[COLUMNS_MAX]
    uint32_t widths[COLUMNS_MAX]

cdef Table TABLE[TABLES]        # in the order of TABLE_NAMES

cdef class _Buffer:
    """Bytes that are kept from call to call."""

    cdef uint8_t* base
    cdef size_t size

    def __dealloc__(self) -> None:
        free(self.base)

    cdef uint8_t* room(self, size_t size) except NULL:
        cdef void* moved
        if size > self.size:
            moved = realloc(self.base, size + size // 2)
            if moved is NULL:
                raise MemoryError("log record")
            self.base = <uint8_t*>moved
            self.size = size + size // 2
        return self.base

cdef _Buffer scratch = _Buffer()
# What is left after columns of bytes has little to find: level -1 takes a third of the time of level 1 and as many bytes.
_compressor = zstandard.ZstdCompressor(level=-1, write_checksum=False, write_content_size=True)
_decompressor = zstandard.ZstdDecompressor()


def _load_tables():
    for number, dtype in enumerate((
            records.ACCOUNT_COMMAND, records.TRANSFER_COMMAND, records.UPDATE_COMMAND, records.SCOPE_RANGE,
            order_records.INSTRUMENT_COMMAND, order_records.TRADING_ACCOUNT_COMMAND, order_records.LINK_COMMAND,
            order_records.ORDER_COMMAND, order_records.AMEND_COMMAND, order_records.MASS_CANCEL_COMMAND,
            order_records.SESSION_COMMAND, order_records.DAY_COMMAND, order_records.TRADE_COMMAND,
            risk_records.LIMITS_COMMAND, risk_records.LIMIT_VALUE, risk_records.KILL_COMMAND,
            risk_records.APPROVAL_COMMAND, risk_records.VERDICT)):
        TABLE[number].size = dtype.itemsize
        TABLE[number].columns = len(dtype.names)
        for column, name in enumerate(dtype.names):
            TABLE[number].offsets[column] = dtype.fields[name][1]
            TABLE[number].widths[column] = dtype.fields[name][0].itemsize


_load_tables()


# --- columns --------------------------------------------------------------------------------------
# A column begins where the one before it ended, so wide values may stand at odd places: they are written by memcpy, which
# the compiler turns into the same single store.

cdef uint64_t gather_8(const char* base, size_t stride, size_t count, uint64_t* out) noexcept nogil:
    """Each gathers the values of a column and tells in which bits they differ."""
    cdef size_t index
    cdef uint64_t first = (<const uint64_t*>base)[0]
    cdef uint64_t differs = 0
    for index in range(count):
        out[index] = (<const uint64_t*>(base + index * stride))[0]
        differs |= out[index] ^ first
    return differs


cdef uint64_t gather_4(const char* base, size_t stride, size_t count, uint32_t* out) noexcept nogil:
    cdef size_t index
    cdef uint32_t first = (<const uint32_t*>base)[0]
    cdef uint32_t differs = 0
    for index in range(count):
        out[index] = (<const uint32_t*>(base + index * stride))[0]
        differs |= out[index] ^ first
    return differs


cdef uint64_t gather_2(const char* base, size_t stride, size_t count, uint16_t* out) noexcept nogil:
    cdef size_t index
    cdef uint16_t first = (<const uint16_t*>base)[0]
    cdef uint16_t differs = 0
    for index in range(count):
        out[index] = (<const uint16_t*>(base + index * stride))[0]
        differs |= out[index] ^ first
    return differs


cdef uint8_t* put_bytes(uint64_t differs, const uint8_t* values, uint32_t width, size_t count, uint8_t* out) noexcept nogil:
    """A column of bytes; returns its end."""
    cdef uint8_t* mask = out
    cdef uint32_t place
    cdef size_t index
    mask[0] = 0
    memcpy(out + 1, values, width)
    out += 1 + width
    for place in range(width):
        if not differs >> (8 * place) & 0xFF:
            continue
        mask[0] |= <uint8_t>(1 << place)
        if width == 8:                  # the compiler makes more of a stride that it knows
            for index in range(count):
                out[index] = values[8 * index + place]
        else:
            for index in range(count):
                out[index] = values[width * index + place]
        out += count
    return out


cdef uint8_t* encode_table(
    const Table* table, const char* base, size_t count, uint8_t* out, uint8_t* values, bint* bytewise) noexcept nogil:
    """The modes and the columns; returns the end. `values` has room for a column. `bytewise`: whether there may be
    columns of bytes, and then whether there are."""
    cdef uint64_t modes = 0
    cdef uint64_t differs, first
    cdef uint32_t column, width, mode
    cdef bint allowed = bytewise[0]
    cdef uint8_t* start = out
    bytewise[0] = False
    if count == 0:
        return out
    out += 8
    for column in range(table.columns):
        width = table.widths[column]
        if width == 8:
            differs = gather_8(base + table.offsets[column], table.size, count, <uint64_t*>values)
        elif width == 4:
            differs = gather_4(base + table.offsets[column], table.size, count, <uint32_t*>values)
        else:
            differs = gather_2(base + table.offsets[column], table.size, count, <uint16_t*>values)
        first = 0
        memcpy(&first, values, width)
        if not differs:
            mode = CONSTANT if first else ZEROS
        else:
            mode = BYTES if allowed and count >= BYTES_FROM else VALUES
        modes |= <uint64_t>mode << (2 * column)
        if mode == BYTES:
            out = put_bytes(differs, values, width, count, out)
            bytewise[0] = True
        elif mode != ZEROS:
            memcpy(out, values, width * (count if mode == VALUES else 1))
            out += width * (count if mode == VALUES else 1)
    memcpy(start, &modes, 8)
    while <size_t>out % 8:      # the buffer itself is aligned
        out[0] = 0
        out += 1
    return out


cdef const uint8_t* take_bytes(
    char* into, size_t stride, uint32_t width, size_t count, const uint8_t* source, const uint8_t* end) noexcept nogil:
    """Fills a column from one of bytes; returns where it stopped, or NULL when the bytes do not fit."""
    cdef uint32_t mask, place
    cdef size_t index
    cdef uint64_t first = 0
    if end - source < 1 + <long>width:
        return NULL
    mask = source[0]
    memcpy(&first, source + 1, width)
    source += 1 + width
    if not mask or mask >> width:
        return NULL
    for index in range(count):
        if width == 8:
            memcpy(into + index * stride, &first, 8)
        elif width == 4:
            memcpy(into + index * stride, &first, 4)
        else:
            memcpy(into + index * stride, &first, 2)
    for place in range(width):
        if not mask >> place & 1:
            continue
        if <size_t>(end - source) < count:
            return NULL
        for index in range(count):
            into[index * stride + place] = <char>source[index]
        source += count
    return source


cdef const uint8_t* decode_table(
    const Table* table, char* base, size_t count, const uint8_t* source, const uint8_t* end, bint bytewise) noexcept nogil:
    """Fills zeroed records; returns where it stopped, or NULL when the bytes do not fit. `bytewise`: whether there may be
    columns of bytes."""
    cdef uint64_t modes
    cdef uint32_t column, width, mode
    cdef size_t index, need, step, filled
    cdef const uint8_t* start = source
    cdef char* into
    if count == 0:
        return source
    if end - source < 8:
        return NULL
    memcpy(&modes, source, 8)
    source += 8
    if modes >> (2 * table.columns):
        return NULL
    for column in range(table.columns):
        width = table.widths[column]
        mode = (modes >> (2 * column)) & 3
        if mode == ZEROS:
            continue
        into = base + table.offsets[column]
        if mode == BYTES:
            if not bytewise:
                return NULL
            source = take_bytes(into, table.size, width, count, source, end)
            if source is NULL:
                return NULL
            continue
        step = width if mode == VALUES else 0
        need = count * width if mode == VALUES else width
        if <size_t>(end - source) < need:
            return NULL
        if width == 8:
            for index in range(count):
                memcpy(into + index * table.size, source + index * step, 8)
        elif width == 4:
            for index in range(count):
                memcpy(into + index * table.size, source + index * step, 4)
        else:
            for index in range(count):
                memcpy(into + index * table.size, source + index * step, 2)
        source += need
    filled = (8 - <size_t>(source - start) % 8) % 8
    return source + filled if <size_t>(end - source) >= filled else NULL


# --- runs of requests -----------------------------------------------------------------------------

cdef int table_of(uint32_t kind) noexcept nogil:
    """Which table holds the items of a request; -1: it is no write."""
    if kind == KIND_CREATE_ACCOUNTS:
        return 0
    if kind == KIND_CREATE_TRANSFERS:
        return 1
    if kind == KIND_UPDATE_ACCOUNTS:
        return 2
    if kind == KIND_DEFINE_SCOPE:
        return 3
    if kind == KIND_CREATE_INSTRUMENTS or kind == KIND_UPDATE_INSTRUMENTS:
        return 4
    if kind == KIND_CREATE_TRADING_ACCOUNTS:
        return 5
    if kind == KIND_SUBMIT_ORDERS:
        return 7
    if kind == KIND_CANCEL_ORDERS or kind == KIND_REPLACE_ORDERS:
        return 8
    if kind == KIND_MASS_CANCEL:
        return 9
    if kind == KIND_SET_SESSION:
        return 10
    if kind == KIND_END_OF_DAY:
        return 11
    if kind == KIND_BUST_TRADES:
        return 12
    if kind == KIND_SET_LIMITS:
        return 13
    if kind == KIND_KILL_SWITCH:
        return 15
    if kind == KIND_APPROVE_LIMITS:
        return 16
    return -1


cdef struct Items:                      # of a batch, by table
    char* base
    uint32_t count


cdef void tables_of(Batch batch, Items* items) noexcept nogil:
    items[0].base, items[0].count = <char*>batch.accounts, batch.account_count
    items[1].base, items[1].count = <char*>batch.transfers, batch.transfer_count
    items[2].base, items[2].count = <char*>batch.updates, batch.update_count
    items[3].base, items[3].count = <char*>batch.ranges, batch.range_count
    items[4].base, items[4].count = <char*>batch.instruments, batch.instrument_count
    items[5].base, items[5].count = <char*>batch.trading_accounts, batch.trading_account_count
    items[6].base, items[6].count = <char*>batch.links, batch.link_count
    items[7].base, items[7].count = <char*>batch.orders, batch.order_count
    items[8].base, items[8].count = <char*>batch.amends, batch.amend_count
    items[9].base, items[9].count = <char*>batch.mass_cancels, batch.mass_cancel_count
    items[10].base, items[10].count = <char*>batch.sessions, batch.session_count
    items[11].base, items[11].count = <char*>batch.days, batch.day_count
    items[12].base, items[12].count = <char*>batch.trade_commands, batch.trade_command_count
    items[13].base, items[13].count = <char*>batch.limits, batch.limit_count
    items[14].base, items[14].count = <char*>batch.limit_values, batch.limit_value_count
    items[15].base, items[15].count = <char*>batch.kills, batch.kill_count
    items[16].base, items[16].count = <char*>batch.approvals, batch.approval_count
    items[17].base, items[17].count = <char*>batch.verdicts, batch.verdict_count


cdef char* append_items(Batch batch, int table, uint32_t count) noexcept nogil:
    if table == 0:
        return <char*>batch.append_accounts(count)
    if table == 1:
        return <char*>batch.append_transfers(count)
    if table == 2:
        return <char*>batch.append_updates(count)
    if table == 3:
        return <char*>batch.append_ranges(count)
    if table == 4:
        return <char*>batch.append_instruments(count)
    if table == 5:
        return <char*>batch.append_trading_accounts(count)
    if table == 6:
        return <char*>batch.append_links(count)
    if table == 7:
        return <char*>batch.append_orders(count)
    if table == 8:
        return <char*>batch.append_amends(count)
    if table == 9:
        return <char*>batch.append_mass_cancels(count)
    if table == 10:
        return <char*>batch.append_sessions(count)
    if table == 11:
        return <char*>batch.append_days(count)
    if table == 12:
        return <char*>batch.append_trade_commands(count)
    if table == 13:
        return <char*>batch.append_limits(count)
    if table == 14:
        return <char*>batch.append_limit_values(count)
    if table == 15:
        return <char*>batch.append_kills(count)
    if table == 16:
        return <char*>batch.append_approvals(count)
    return <char*>batch.append_verdicts(count)


cdef uint32_t encode_runs(Batch batch, uint8_t* out) noexcept nogil:
    """Written requests, equal neighbours counted together; returns how many runs."""
    cdef uint32_t runs = 0
    cdef uint32_t index
    cdef uint32_t* run = NULL
    cdef const Request* request
    for index in range(batch.request_count):
        request = &batch.requests[index]
        if request.kind > KIND_READ or (request.item_count == 0 and request.kind != KIND_DEFINE_SCOPE):
            continue
        if run is not NULL and run[0] == request.kind and run[1] == request.scope and run[2] == request.item_count:
            run[3] += 1
            continue
        run = <uint32_t*>(out + runs * RUN)
        run[0] = request.kind
        run[1] = request.scope
        run[2] = request.item_count
        run[3] = 1
        runs += 1
    return runs


cdef int decode_runs(Batch batch, const uint8_t* source, uint32_t runs, const uint32_t* counts) noexcept nogil:
    """The requests anew, each pointing at its items; -1 when they do not add up, -2 when memory is out."""
    cdef uint32_t used[TABLES]
    cdef uint32_t run[4]
    cdef uint32_t number, repeat
    cdef int table
    cdef Request* request
    memset(used, 0, sizeof(used))
    for number in range(runs):
        memcpy(run, source + number * RUN, RUN)
        table = table_of(run[0])
        if table < 0 or <uint64_t>run[2] * run[3] > counts[table] - used[table] or run[3] > ITEMS_MAX:
            return -1
        for repeat in range(run[3]):
            request = batch.append_request()
            if request is NULL:
                return -2
            request.kind = run[0]
            request.scope = run[1]
            request.item_first = used[table]
            request.item_count = run[2]
            used[table] += run[2]
    used[LINKS] = counts[LINKS]         # they belong to trading accounts, not to requests; so the values of limits
    used[LIMIT_VALUES] = counts[LIMIT_VALUES]
    used[VERDICTS] = counts[VERDICTS]
    for table in range(TABLES):
        if used[table] != counts[table]:
            return -1
    return 0


cdef bint links_fit(Batch batch) noexcept nogil:
    """Whether each trading account names the links behind those of the one before it."""
    cdef uint64_t next_link = 0
    cdef uint32_t index
    for index in range(batch.trading_account_count):
        if batch.trading_accounts[index].link_first != next_link:
            return False
        next_link += batch.trading_accounts[index].link_count
    return next_link == batch.link_count


cdef bint values_fit(Batch batch) noexcept nogil:
    """Whether each set_limits names the values behind those of the one before it."""
    cdef uint64_t next_value = 0
    cdef uint32_t index
    for index in range(batch.limit_count):
        if batch.limits[index].value_first != next_value:
            return False
        next_value += batch.limits[index].value_count
    for index in range(batch.limit_value_count):
        if batch.limit_values[index].name >= LIMIT_COUNT:
            return False
    return next_value == batch.limit_value_count


# --- the two doors --------------------------------------------------------------------------------

def encode(Batch batch not None, uint64_t time, *, format_most: int = FORMAT) -> bytes:
    """The written requests of `batch`, applied at `time`, as the payload of one log row.

    It is of the oldest format that can hold them, and of none newer than `format_most` if one up to that can.
    """
    cdef Items items[TABLES]
    cdef size_t most = HEAD + BODY_HEAD + (TABLES + 1) * 4 + <size_t>batch.request_count * RUN + TABLES * 16
    cdef uint8_t* base
    cdef uint8_t* out
    cdef uint32_t counts[6]
    cdef uint32_t length
    cdef uint32_t longest = 0
    cdef bint allowed = min(format_most, FORMAT) >= FORMAT_BYTES
    cdef bint bytewise = False
    cdef bint bytewise_now
    cdef int table
    tables_of(batch, items)
    for table in range(TABLES):
        most += <size_t>items[table].count * TABLE[table].size + COLUMNS_MAX * 9
        longest = max(longest, items[table].count)
    most = (most + 7) // 8 * 8
    base = scratch.room(most + 8 * <size_t>longest)     # behind the record the values of one column
    out = base + HEAD + BODY_HEAD
    counts[5] = 0
    for table in range(TABLES):
        if table < TABLES_FIRST:
            counts[table + 1] = items[table].count
        elif items[table].count:
            counts[5] |= <uint32_t>1 << (table - TABLES_FIRST)
            memcpy(out, &items[table].count, 4)
            out += 4
    if <size_t>out % 8:
        memset(out, 0, 4)
        out += 4
    counts[0] = encode_runs(batch, out)
    out += counts[0] * RUN
    memcpy(base + HEAD, &time, 8)
    memcpy(base + HEAD + 8, counts, sizeof(counts))
    for table in range(TABLES):
        bytewise_now = allowed
        out = encode_table(&TABLE[table], items[table].base, items[table].count, out, base + most, &bytewise_now)
        bytewise = bytewise or bytewise_now
    length = <uint32_t>(out - base - HEAD)
    memset(base, 0, HEAD)
    base[0] = FORMAT_BYTES if bytewise else FORMAT_TABLES if counts[5] else FORMAT_FIRST
    memcpy(base + 4, &length, 4)
    if length < COMPRESS_FROM:
        return PyBytes_FromStringAndSize(<char*>base, HEAD + length)
    base[1] = ZSTD
    return PyBytes_FromStringAndSize(<char*>base, HEAD) + _compressor.compress(<const uint8_t[:length]>(base + HEAD))


def decode(bytes payload not None, Batch batch not None) -> int:
    """Fills `batch` with what `encode` wrote and returns the time; RecordError when the bytes are not a record."""
    cdef const uint8_t* base = <const uint8_t*>PyBytes_AS_STRING(payload)
    cdef uint32_t length
    cdef uint64_t time
    cdef int outcome
    cdef bint bytewise
    cdef bytes body
    batch.clear()
    if len(payload) < HEAD:
        raise RecordError("log record: is too short")
    if not FORMAT_FIRST <= base[0] <= FORMAT:
        raise RecordError(f"log record: format {base[0]} cannot be read by this build (formats {FORMAT_FIRST} to {FORMAT})")
    bytewise = base[0] >= FORMAT_BYTES
    memcpy(&length, base + 4, 4)
    if base[1] == ZSTD:
        if length > BODY_MAX:
            raise RecordError(f"log record: a body of {length} bytes")
        try:
            body = _decompressor.decompress(memoryview(payload)[HEAD:], max_output_size=length)
        except zstandard.ZstdError as error:
            raise RecordError(f"log record: {error}") from error
    elif base[1] == PLAIN:
        body = payload[HEAD:]
    else:
        raise RecordError(f"log record: codec {base[1]} is unknown")
    if len(body) != length or length < BODY_HEAD:
        raise RecordError(f"log record: a body of {len(body)} bytes instead of {length}")
    base = <const uint8_t*>PyBytes_AS_STRING(body)
    memcpy(&time, base, 8)
    outcome = fill(batch, base, base + length, bytewise)
    if outcome == -2:
        batch.clear()
        raise MemoryError("log record")
    if outcome != 0:
        batch.clear()
        raise RecordError("log record: items and requests do not add up")
    return time


cdef int fill(Batch batch, const uint8_t* source, const uint8_t* end, bint bytewise) noexcept nogil:
    """The batch from a body; -1 when its parts do not add up, -2 when memory is out."""
    cdef uint32_t head[6]
    cdef uint32_t counts[TABLES]
    cdef char* into
    cdef int table, outcome
    memset(counts, 0, sizeof(counts))
    memcpy(head, source + 8, sizeof(head))
    source += BODY_HEAD
    if head[5] >> (TABLES - TABLES_FIRST):
        return -1
    for table in range(TABLES):
        if table < TABLES_FIRST:
            counts[table] = head[table + 1]
        elif head[5] & <uint32_t>1 << (table - TABLES_FIRST):
            if end - source < 8:
                return -1
            memcpy(&counts[table], source, 4)
            source += 4
        if counts[table] > ITEMS_MAX:
            return -1
    if one_more(head[5]):
        source += 4
    if <uint64_t>head[0] * RUN > <uint64_t>(end - source):
        return -1
    outcome = decode_runs(batch, source, head[0], counts)
    if outcome != 0:
        return outcome
    source += head[0] * RUN
    for table in range(TABLES):
        if counts[table] == 0:
            continue
        into = append_items(batch, table, counts[table])
        if into is NULL:
            return -2
        memset(into, 0, <size_t>counts[table] * TABLE[table].size)
        source = decode_table(&TABLE[table], into, counts[table], source, end, bytewise)
        if source is NULL:
            return -1
    batch.decided = True
    return 0 if source == end and links_fit(batch) and values_fit(batch) else -1


cdef bint one_more(uint32_t mask) noexcept nogil:
    """Whether an odd number of counts is followed by a zero."""
    cdef bint odd = False
    while mask:
        odd = not odd
        mask &= mask - 1
    return odd
