"""The client's side of replies: lines into results, without a Python object per item where it matters.

The reply of a write is read straight into RESULT records. Whatever does not look exactly like one (reads, errors,
notifications, a server that writes blanks) is left to a JSON library.
"""

from typing import NamedTuple

from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memcmp, memcpy, memset

from engine._core.records cimport Result
from server.wire.buffer cimport LineBuffer
from server.wire.text cimport PAD, digits, load64

import msgspec
import numpy as np

from engine._core.records import RESULT
from engine.results import Status

cdef enum:
    LINE_MIN = 29                       # bytes of the shortest reply of a write
    STATUS_SLOTS = 1024
    STATUS_TEXT = 64
    STATUS_MAX = 56                     # bytes of the longest status name that fits

cdef struct StatusName:
    uint32_t length                     # 0: no name here
    uint32_t status
    uint8_t text[STATUS_TEXT]           # with zeros behind it

cdef StatusName status_names[STATUS_SLOTS]
cdef uint64_t status_multiplier


# --- names of statuses --------------------------------------------------------------------------

cdef inline size_t status_slot(const uint8_t* p, size_t length) noexcept nogil:
    """By the first two and last eight bytes and the length; a shorter name takes in the `":"` in front of it."""
    cdef uint64_t first = p[0] | <uint64_t>p[1] << 8
    return ((load64(p + length - 8) ^ (first << 16 | length)) * status_multiplier) >> 54


cdef int find_status(const uint8_t* p, size_t length) noexcept nogil:
    """The number of the status of this name, which `":"` stands in front of; or -1."""
    cdef const StatusName* name
    if length < 5 or length > STATUS_MAX:
        return -1
    name = &status_names[status_slot(p, length)]
    if name.length != length or memcmp(name.text, p, length) != 0:
        return -1
    return <int>name.status


cdef bint place_statuses(list texts) except -1:
    cdef bytes text
    cdef StatusName* name
    cdef size_t length
    cdef uint32_t number
    memset(status_names, 0, sizeof(status_names))
    for number in range(<uint32_t>len(texts)):
        text = texts[number]
        length = len(text) - 3
        name = &status_names[status_slot(<const uint8_t*><const char*>text + 3, length)]
        if name.length:
            return False
        name.length = <uint32_t>length
        name.status = number
        memcpy(name.text, <const char*>text + 3, length)
    return True


cdef void build() except *:
    global status_multiplier
    cdef list texts = [b'":"' + status.name.lower().encode() for status in sorted(Status)]
    if [int(status) for status in sorted(Status)] != list(range(len(texts))):
        raise ImportError("server.wire.reader: the statuses have gaps")
    if min(map(len, texts)) < 8 or max(map(len, texts)) > STATUS_MAX:
        raise ImportError("server.wire.reader: a status name is too short or too long")
    status_multiplier = 0x9E3779B97F4A7C15ULL
    if len({(text[3:5], text[len(text) - 8:], len(text)) for text in texts}) < len(texts):
        raise ImportError("server.wire.reader: two status names are too alike for status_slot")
    while not place_statuses(texts):
        status_multiplier = status_multiplier * 6364136223846793005ULL + 1442695040888963407ULL


build()


# --- what comes out -----------------------------------------------------------------------------

class Reply(NamedTuple):
    """One line from the server."""

    id: int | str | None
    """None in a notification, and in the error of a request without a usable id."""
    seq: int | None
    """The log entry that the reply waited for."""
    results: object
    """RESULT records of a write; None in any other reply."""
    result: object
    """Whatever else the result is, as Python values."""
    error: tuple | None
    """(code, message)"""
    method: str | None
    """Of a notification, whose params stand in `result`."""


class Replies(NamedTuple):
    """Replies of writes in a row, without an object each."""

    ids: object
    """int64, one per reply"""
    seqs: object
    """uint64, one per reply"""
    counts: object
    """uint32, results per reply"""
    results: object
    """RESULT, those of all replies one behind the other"""


cdef inline const uint8_t* expect(const uint8_t* p, const char* text, size_t length) noexcept nogil:
    """Behind `text` if it stands at `p`, else NULL."""
    return p + length if memcmp(p, text, length) == 0 else NULL


cdef inline const uint8_t* number(const uint8_t* p, uint64_t* value) noexcept nogil:
    """Behind digits, or a string of digits; NULL when there are none."""
    cdef bint quoted = p[0] == c'"'
    cdef unsigned int length
    p += quoted
    length = digits(p, value)
    if length == 0:
        return NULL
    p += length
    if quoted:
        return p + 1 if p[0] == c'"' else NULL
    return p


cdef const uint8_t* read_result(const uint8_t* p, Result* result) noexcept nogil:
    """Behind `{"status":"…","timestamp":…}`, or NULL."""
    cdef const uint8_t* name
    cdef int status
    p = expect(p, b'{"status":"', 11)
    if p is NULL:
        return NULL
    if expect(p, b'created"', 8) is not NULL:
        status = 0
        p += 7
    else:
        name = p
        while c'a' <= p[0] <= c'z' or p[0] == c'_' or c'0' <= p[0] <= c'9':
            p += 1
        status = find_status(name, p - name)
        if status < 0:
            return NULL
    p = expect(p, b'","timestamp":', 14)
    if p is NULL:
        return NULL
    result.status = <uint32_t>status
    result.reserved = 0
    p = number(p, &result.timestamp)
    return p + 1 if p is not NULL and p[0] == c'}' else NULL


cdef class Results:
    """A growing array of Result."""

    cdef Result* items
    cdef size_t count
    cdef size_t capacity

    def __dealloc__(self) -> None:
        free(self.items)

    cdef Result* append(self) noexcept nogil:
        cdef size_t capacity
        cdef void* moved
        if self.count == self.capacity:
            capacity = 2 * self.capacity if self.capacity else 64
            moved = realloc(self.items, capacity * sizeof(Result))
            if moved is NULL:
                return NULL
            self.items = <Result*>moved
            self.capacity = capacity
        self.count += 1
        return &self.items[self.count - 1]

    cdef object array(self):
        """A copy as RESULT records."""
        if self.count == 0:
            return np.empty(0, RESULT)
        return np.array(<Result[:self.count]>self.items)


cdef const uint8_t* read_results(const uint8_t* p, Results results) noexcept nogil:
    """Behind an array of results, which are appended; NULL (and some may be appended) when it is none."""
    cdef Result* result
    if p[0] != c'[':
        return NULL
    p += 1
    if p[0] == c']':
        return p + 1
    while True:
        result = results.append()
        if result is NULL:
            return NULL
        p = read_result(p, result)
        if p is NULL:
            return NULL
        if p[0] == c']':
            return p + 1
        if p[0] != c',':
            return NULL
        p += 1


cdef struct Written:                    # the reply of a write
    const uint8_t* id                   # its JSON text
    const uint8_t* id_end
    uint64_t seq


cdef const uint8_t* read_written(const uint8_t* p, Written* written, Results results) noexcept nogil:
    """Behind the line of a write's reply, or NULL when the line is anything else."""
    cdef const uint8_t* q
    p = expect(p, b'{', 1)
    if p is NULL:
        return NULL
    q = expect(p, b'"jsonrpc":"2.0",', 16)
    if q is not NULL:
        p = q
    p = expect(p, b'"id":', 5)
    if p is NULL:
        return NULL
    written.id = p
    if p[0] == c'"':
        p += 1
        while p[0] != c'"':
            if p[0] < 0x20 or p[0] > 0x7E or p[0] == c'\\':
                return NULL
            p += 1
        p += 1
    else:
        p += p[0] == c'-'
        q = p
        while c'0' <= p[0] <= c'9':
            p += 1
        if p == q or p - q > 19:
            return NULL
    written.id_end = p
    p = expect(p, b',"result":', 10)
    if p is NULL:
        return NULL
    p = read_results(p, results)
    if p is NULL:
        return NULL
    p = expect(p, b',"seq":', 7)
    if p is NULL:
        return NULL
    p = number(p, &written.seq)
    if p is NULL:
        return NULL
    return expect(p, b"}\n", 2)


cdef int64_t id_number(const uint8_t* p) noexcept nogil:
    """The integer of an id of up to 19 digits."""
    cdef bint negative = p[0] == c'-'
    cdef uint64_t value = 0
    digits(p + negative, &value)
    return <int64_t>(0 - value if negative else value)


# --- the reader ---------------------------------------------------------------------------------

cdef class Reader(LineBuffer):
    """Bytes of one connection into replies. It owns the receive buffer and knows no socket.

    A line longer than `line_max` bytes is not taken from a server (ValueError).
    """

    def __init__(self, *, line_max: int = 2**28) -> None:
        self.line_max = line_max

    cdef const uint8_t* next_line(self) except? NULL:
        """The next whole line, or NULL."""
        while self.start < self.complete and self.buffer[self.start] == c'\n':
            self.start += 1
        if self.start < self.complete:
            return self.buffer + self.start
        if self.end - self.start > self.line_max:
            raise ValueError(f"the server sends a line of more than {self.line_max} bytes")
        return NULL

    def read(self):
        """The next Reply, or None when no line is whole. ValueError for a line that is no reply."""
        cdef const uint8_t* p = self.next_line()
        cdef const uint8_t* behind
        cdef Results results
        cdef Written written
        if p is NULL:
            return None
        if p[0] == c'{':
            results = Results()
            behind = read_written(p, &written, results)
            if behind is not NULL:
                self.start = behind - self.buffer
                if written.id[0] == c'"':
                    id = (<bytes>(<const char*>written.id)[1:written.id_end - written.id - 1]).decode("ascii")
                else:
                    id = id_number(written.id)
                return Reply(id, written.seq, results.array(), None, None, None)
        behind = p
        while behind[0] != c'\n':
            behind += 1
        self.start = behind + 1 - self.buffer
        return read_line((<const char*>p)[:behind - p])

    def read_many(self, replies_max: int = 65536):
        """Replies of writes with integer ids, as many as are whole, in a row and the next to be read; a Replies.

        It ends before the first line of another kind, which `read` takes.
        """
        cdef size_t limit = replies_max
        cdef size_t count = 0, before, capacity = min(limit, 1 + (self.end - self.start) // LINE_MIN)
        cdef const uint8_t* p
        cdef const uint8_t* behind
        cdef Results results = Results()
        cdef Written written
        ids = np.empty(capacity, np.int64)
        seqs = np.empty(capacity, np.uint64)
        counts = np.empty(capacity, np.uint32)
        cdef int64_t[::1] id_view = ids
        cdef uint64_t[::1] seq_view = seqs
        cdef uint32_t[::1] count_view = counts
        while count < capacity:
            p = self.next_line()
            if p is NULL:
                break
            before = results.count
            behind = read_written(p, &written, results)
            if behind is NULL or written.id[0] == c'"':
                results.count = before
                break
            id_view[count] = id_number(written.id)
            seq_view[count] = written.seq
            count_view[count] = <uint32_t>(results.count - before)
            count += 1
            self.start = behind - self.buffer
        return Replies(ids[:count], seqs[:count], counts[:count], results.array())


def read_line(bytes line):
    """The Reply in one line that is not (or need not be) the reply of a write. ValueError when it is none."""
    try:
        reply = msgspec.json.decode(line)
    except msgspec.MsgspecError as error:
        raise ValueError(f"the server sent a line that is not JSON: {error}") from None
    if not isinstance(reply, dict) or not ("id" in reply or "method" in reply):
        raise ValueError("the server sent a line that is no reply")
    error = reply.get("error")
    seq = reply.get("seq")
    if error is not None:
        if not isinstance(error, dict) or not isinstance(error.get("code"), int):
            raise ValueError("the server sent an error without a code")
        error = (error["code"], str(error.get("message", "")))
    return Reply(
        reply.get("id"), None if seq is None else int(seq), None, reply.get("result", reply.get("params")), error,
        reply.get("method"))


def decode_results(bytes text):
    """The RESULT records of a write's `result` (its JSON text). ValueError when it is none."""
    cdef size_t length = len(text)
    cdef Results results = Results()
    cdef const uint8_t* behind
    cdef uint8_t* padded = <uint8_t*>malloc(length + PAD)
    if padded is NULL:
        raise MemoryError
    try:
        memcpy(padded, <const char*>text, length)
        memset(padded + length, 0, PAD)
        behind = read_results(padded, results)
        if behind is not NULL and <size_t>(behind - padded) == length:
            return results.array()
    finally:
        free(padded)
    return decode_results_slowly(text)


cdef object decode_results_slowly(bytes text):
    """The same by a JSON library, for blanks, other orders and members yet unknown."""
    try:
        items = msgspec.json.decode(text, type=list[dict])
        rows = [(int(item["timestamp"]), Status[item["status"].upper()], 0) for item in items]
        return np.array(rows, RESULT)
    except (msgspec.MsgspecError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"the server sent results of another shape: {error!r}") from None
