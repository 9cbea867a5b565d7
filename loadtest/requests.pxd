# The compiled twin of `workload.py`: items as records, as lines of JSON, and as requests of a batch.

from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from engine._core.records cimport TransferCommand

cdef enum:
    ITEM_ROOM = 384             # bytes that one item may touch, in JSON
    LINE_ROOM = 192             # … what surrounds the items

cdef enum PlanShape:
    SHAPE_SINGLE = 0
    SHAPE_TWO_PHASE = 1
    SHAPE_LINKED = 2

cdef struct Plan:               # what an item is made of, besides its number
    uint64_t seed               # already multiplied
    uint64_t clock_ms
    const uint32_t* pairs       # [draws][2]: account numbers; owned by the Requests
    uint64_t draws_mask
    uint64_t account_first
    uint64_t amount_max
    uint32_t ledger
    uint32_t account_code
    uint32_t code
    uint32_t hold_seconds
    uint32_t void_every
    uint32_t shape              # PlanShape
    uint32_t items              # per request
    uint32_t creates_accounts   # requests create accounts instead of transfers
    uint64_t accounts           # how many there are; the last request of accounts may be shorter
    # Requests that were made beforehand (see Script); NULL: those above.
    const uint8_t* script       # what follows `{"id":N` in each line, LF included
    const uint64_t* ends        # [script_count + 1]: where lines begin and end in `script`
    const uint32_t* counts      # [script_count]: results of each reply; 0: any number
    const uint8_t* kinds        # [script_count]: which kind each is of, from 0
    uint64_t script_count
    size_t script_longest       # bytes of a line

cdef enum:
    KINDS_MAX = 8

cdef class Requests:
    cdef Plan plan
    cdef object pairs           # the array that `plan.pairs` points into
    cdef object kept            # the arrays that the script points into
    cdef readonly object workload
    cdef readonly tuple kinds   # names, by number
    cdef readonly uint32_t block        # requests that follow each other on one connection
    cdef readonly size_t reply_bytes    # room for the longest reply

# Item `number` into `out`, all fields.
cdef void plan_item(const Plan* plan, uint64_t number, TransferCommand* out) noexcept nogil
# Request `number` (its items begin at number * items) as a line with the JSON id `id`; returns the end. The caller has
# seen to `plan_room` bytes.
cdef uint8_t* plan_line(const Plan* plan, uint64_t number, uint64_t id, uint8_t* out) noexcept nogil
cdef size_t plan_room(const Plan* plan) noexcept nogil
cdef uint32_t plan_items(const Plan* plan, uint64_t number) noexcept nogil      # items of request `number`
cdef uint32_t plan_kind(const Plan* plan, uint64_t number) noexcept nogil       # its kind, from 0
