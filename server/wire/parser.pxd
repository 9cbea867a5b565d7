# The parser of one connection: bytes in, Requests of a Batch out. No socket, no clock.
#
# Three ways lead from a line to a request, from fast to thorough, and all give the same batch:
#   the template    create_transfers, submit_orders with members in the order of the protocol page, without blanks
#   the short way   any known request, in any order; one pass; no escapes, no explanations
#   the exact way   scans the whole line first, then reads it and names what is wrong
# The first two never report an error: what they do not take goes the exact way.

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from engine._core.batch cimport Batch
from server.wire.buffer cimport LineBuffer
from server.wire.fields cimport Reading
from server.wire.orders cimport Profiles

cdef enum Outcome:
    OUTCOME_IDLE = 0                    # no complete line is left
    OUTCOME_COLD = 1                    # Python must answer `cold` first
    OUTCOME_FULL = 2                    # the batch is full
    OUTCOME_CLOSE = 3                   # a fatal error is the last reply
    OUTCOME_BEHIND = 4                  # the next line asks for a log entry that is not here yet: it stays where it is

cdef struct Envelope:                   # the members of a request, as places in a line that is JSON; NULL: not given
    const uint8_t* id
    const uint8_t* id_end
    const uint8_t* method
    const uint8_t* params
    uint64_t min_seq
    bint jsonrpc

cdef class Position:
    cdef public uint64_t seq

cdef class Parser(LineBuffer):
    cdef uint32_t batch_items_max
    cdef Reading reading
    cdef uint64_t methods               # permission mask
    cdef uint32_t scope
    cdef uint32_t reply_flags
    cdef bint logged_on
    cdef uint64_t accounts_left         # capacity
    cdef uint64_t transfers_left
    cdef uint64_t limits_left           # items of set_limits
    cdef readonly Profiles profiles     # that reading.profiles points into
    cdef int hint                       # method of the line before: params may stand before "method"
    cdef public object cold
    cdef readonly Position position
    cdef readonly bint waits
    cdef public bint patient            # false: the next line that is behind gets its error
    cdef readonly uint64_t min_seq      # what the line waits for that is behind

    cdef const uint8_t* short_way(self, Batch batch, uint32_t connection, const uint8_t* p) noexcept nogil
    cdef bint admits(self, int method, uint32_t first, uint32_t count, Batch batch) noexcept nogil
    cdef void admitted(self, int method, uint32_t first, uint32_t count, Batch batch) noexcept nogil
    cdef int exact_way(self, Batch batch, uint32_t connection, const uint8_t* p, const uint8_t* end) except -1
    cdef int execute(
        self, Batch batch, uint32_t connection, int method, Envelope* envelope, bytes request_id
    ) except -1
    cdef int answer_error(
        self, Batch batch, uint32_t connection, bytes request_id, int code, str message, bint jsonrpc
    ) except -1
    cdef str too_long(self)
