"""A batch as bytes and back: what one row of the log holds.

Only what changes the state is recorded: the written requests with their items, and the time. Items are stored by
column, since the values of one field resemble each other: a column of zeros takes two bits, a constant one a single
value, and the rest compresses well (20 bytes a transfer instead of 104).

Layout, little-endian. Head: u8 format, u8 codec (0 plain, 1 zstd), u16 zero, u32 bytes of the body when plain.
Body: u64 time; u32 numbers of runs, accounts, transfers, updates, ranges, and a zero; the runs, four u32 each (kind, scope, items per
request, requests); then per table that is not empty a u64 with two bits per column (0 zeros, 1 constant, 2 plain,
the first column lowest) and the columns in the order of the record's fields. Tables begin at a multiple of 8 bytes of the body.
"""

import zstandard

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy, memset

from engine._core.batch cimport Batch, Request
from engine._core.codes cimport (
    KIND_CREATE_ACCOUNTS, KIND_CREATE_TRANSFERS, KIND_DEFINE_SCOPE, KIND_READ, KIND_UPDATE_ACCOUNTS,
)
from engine._core.records cimport AccountCommand, ScopeRange, TransferCommand, UpdateCommand

from engine._core import records
from engine.errors import RecordError

FORMAT = 1

cdef enum:
    HEAD = 8
    BODY_HEAD = 32
    RUN = 16
    TABLES = 4
    COLUMNS_MAX = 32
    PLAIN = 0
    ZSTD = 1
    ZEROS = 0
    CONSTANT = 1
    VALUES = 2
    COMPRESS_FROM = 512         # bytes: a smaller body gains less than the call costs
    ITEMS_MAX = 1 << 24         # more in one row is damage
    BODY_MAX = 1 << 30

cdef struct Table:
    uint32_t size               # bytes of a record
    uint32_t columns
    uint32_t offsets[COLUMNS_MAX]
    uint32_t widths[COLUMNS_MAX]

cdef Table TABLE[TABLES]        # accounts, transfers, updates, ranges

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
_compressor = zstandard.ZstdCompressor(level=1, write_checksum=False, write_content_size=True)
_decompressor = zstandard.ZstdDecompressor()


def _load_tables():
    for number, dtype in enumerate(
            (records.ACCOUNT_COMMAND, records.TRANSFER_COMMAND, records.UPDATE_COMMAND, records.SCOPE_RANGE)):
        TABLE[number].size = dtype.itemsize
        TABLE[number].columns = len(dtype.names)
        for column, name in enumerate(dtype.names):
            TABLE[number].offsets[column] = dtype.fields[name][1]
            TABLE[number].widths[column] = dtype.fields[name][0].itemsize


_load_tables()


# --- columns --------------------------------------------------------------------------------------
# A column begins where the one before it ended, so wide values may stand at odd places: they are written by memcpy, which
# the compiler turns into the same single store.

cdef uint32_t gather_8(const char* base, size_t stride, size_t count, uint8_t* out) noexcept nogil:
    cdef size_t index
    cdef uint64_t first = (<const uint64_t*>base)[0]
    cdef uint64_t differs = 0
    cdef uint64_t value
    for index in range(count):
        value = (<const uint64_t*>(base + index * stride))[0]
        memcpy(out + 8 * index, &value, 8)
        differs |= value ^ first
    return VALUES if differs else (CONSTANT if first else ZEROS)


cdef uint32_t gather_4(const char* base, size_t stride, size_t count, uint8_t* out) noexcept nogil:
    cdef size_t index
    cdef uint32_t first = (<const uint32_t*>base)[0]
    cdef uint32_t differs = 0
    cdef uint32_t value
    for index in range(count):
        value = (<const uint32_t*>(base + index * stride))[0]
        memcpy(out + 4 * index, &value, 4)
        differs |= value ^ first
    return VALUES if differs else (CONSTANT if first else ZEROS)


cdef uint32_t gather_2(const char* base, size_t stride, size_t count, uint8_t* out) noexcept nogil:
    cdef size_t index
    cdef uint16_t first = (<const uint16_t*>base)[0]
    cdef uint16_t differs = 0
    cdef uint16_t value
    for index in range(count):
        value = (<const uint16_t*>(base + index * stride))[0]
        memcpy(out + 2 * index, &value, 2)
        differs |= value ^ first
    return VALUES if differs else (CONSTANT if first else ZEROS)


cdef uint8_t* encode_table(const Table* table, const char* base, size_t count, uint8_t* out) noexcept nogil:
    """The modes and the columns; returns the end."""
    cdef uint64_t modes = 0
    cdef uint32_t column, width, mode
    cdef uint8_t* start = out
    if count == 0:
        return out
    out += 8
    for column in range(table.columns):
        width = table.widths[column]
        if width == 8:
            mode = gather_8(base + table.offsets[column], table.size, count, out)
        elif width == 4:
            mode = gather_4(base + table.offsets[column], table.size, count, out)
        else:
            mode = gather_2(base + table.offsets[column], table.size, count, out)
        modes |= <uint64_t>mode << (2 * column)
        if mode == VALUES:
            out += count * width
        elif mode == CONSTANT:
            out += width
    memcpy(start, &modes, 8)
    while <size_t>out % 8:      # the buffer itself is aligned
        out[0] = 0
        out += 1
    return out


cdef const uint8_t* decode_table(
    const Table* table, char* base, size_t count, const uint8_t* source, const uint8_t* end) noexcept nogil:
    """Fills zeroed records; returns where it stopped, or NULL when the bytes do not fit."""
    cdef uint64_t modes
    cdef uint32_t column, width, mode
    cdef size_t index, need, step
    cdef size_t filled = 0
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
        if mode > VALUES:
            return NULL
        step = width if mode == VALUES else 0
        need = count * width if mode == VALUES else width
        if <size_t>(end - source) < need:
            return NULL
        into = base + table.offsets[column]
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
        filled += need
    filled = (8 - filled % 8) % 8
    return source + filled if <size_t>(end - source) >= filled else NULL


# --- runs of requests -----------------------------------------------------------------------------

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
    cdef uint32_t number, repeat, table
    cdef Request* request
    memset(used, 0, sizeof(used))
    for number in range(runs):
        memcpy(run, source + number * RUN, RUN)
        if run[0] == KIND_CREATE_ACCOUNTS:
            table = 0
        elif run[0] == KIND_CREATE_TRANSFERS:
            table = 1
        elif run[0] == KIND_UPDATE_ACCOUNTS:
            table = 2
        elif run[0] == KIND_DEFINE_SCOPE:
            table = 3
        else:
            return -1
        if <uint64_t>run[2] * run[3] > counts[table] - used[table] or run[3] > ITEMS_MAX:
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
    for table in range(TABLES):
        if used[table] != counts[table]:
            return -1
    return 0


# --- the two doors --------------------------------------------------------------------------------

def encode(Batch batch not None, uint64_t time) -> bytes:
    """The written requests of `batch`, applied at `time`, as the payload of one log row."""
    cdef size_t most = (
        HEAD + BODY_HEAD + <size_t>batch.request_count * RUN + TABLES * 16
        + <size_t>batch.account_count * sizeof(AccountCommand) + <size_t>batch.transfer_count * sizeof(TransferCommand)
        + <size_t>batch.update_count * sizeof(UpdateCommand) + <size_t>batch.range_count * sizeof(ScopeRange))
    cdef uint8_t* base = scratch.room(most)
    cdef uint8_t* out = base + HEAD
    cdef uint32_t counts[5]
    cdef uint32_t length
    counts[0] = encode_runs(batch, out + BODY_HEAD)
    counts[1] = batch.account_count
    counts[2] = batch.transfer_count
    counts[3] = batch.update_count
    counts[4] = batch.range_count
    memcpy(out, &time, 8)
    memcpy(out + 8, counts, sizeof(counts))
    memset(out + 28, 0, 4)
    out += BODY_HEAD + counts[0] * RUN
    out = encode_table(&TABLE[0], <const char*>batch.accounts, batch.account_count, out)
    out = encode_table(&TABLE[1], <const char*>batch.transfers, batch.transfer_count, out)
    out = encode_table(&TABLE[2], <const char*>batch.updates, batch.update_count, out)
    out = encode_table(&TABLE[3], <const char*>batch.ranges, batch.range_count, out)
    length = <uint32_t>(out - base - HEAD)
    memset(base, 0, HEAD)
    base[0] = FORMAT
    memcpy(base + 4, &length, 4)
    if length < COMPRESS_FROM:
        return PyBytes_FromStringAndSize(<char*>base, HEAD + length)
    base[1] = ZSTD
    return PyBytes_FromStringAndSize(<char*>base, HEAD) + _compressor.compress(<const uint8_t[:length]>(base + HEAD))


def decode(bytes payload not None, Batch batch not None) -> int:
    """Fills `batch` with what `encode` wrote and returns the time; RecordError when the bytes are not a record."""
    cdef const uint8_t* base = <const uint8_t*>PyBytes_AS_STRING(payload)
    cdef const uint8_t* end
    cdef uint32_t length
    cdef uint32_t counts[5]
    cdef uint64_t time
    cdef int outcome
    cdef bytes body
    batch.clear()
    if len(payload) < HEAD:
        raise RecordError("log record: is too short")
    if base[0] != FORMAT:
        raise RecordError(f"log record: format {base[0]} cannot be read by this build (format {FORMAT})")
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
    end = base + length
    memcpy(&time, base, 8)
    memcpy(counts, base + 8, sizeof(counts))
    if max(counts[1], counts[2], counts[3], counts[4]) > ITEMS_MAX or <uint64_t>counts[0] * RUN > length - BODY_HEAD:
        raise RecordError("log record: numbers of items do not fit")
    outcome = fill(batch, base + BODY_HEAD, end, counts)
    if outcome == -2:
        raise MemoryError("log record")
    if outcome != 0:
        batch.clear()
        raise RecordError("log record: items and requests do not add up")
    return time


cdef int fill(Batch batch, const uint8_t* source, const uint8_t* end, const uint32_t* counts) noexcept nogil:
    cdef char* into[TABLES]
    cdef uint32_t table
    if decode_runs(batch, source, counts[0], &counts[1]) != 0:
        return -1
    source += counts[0] * RUN
    into[0] = <char*>batch.append_accounts(counts[1])
    into[1] = <char*>batch.append_transfers(counts[2])
    into[2] = <char*>batch.append_updates(counts[3])
    into[3] = <char*>batch.append_ranges(counts[4])
    for table in range(TABLES):
        if counts[table + 1] == 0:
            continue
        if into[table] is NULL:
            return -2
        memset(into[table], 0, <size_t>counts[table + 1] * TABLE[table].size)
        source = decode_table(&TABLE[table], into[table], counts[table + 1], source, end)
        if source is NULL:
            return -1
    return 0 if source == end else -1
