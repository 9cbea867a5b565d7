# Exposures follow orders and fills: of each position, and summed for its account, desk, client and instrument.

from libc.stdint cimport int64_t, uint32_t, uint64_t
from engine.matching.records cimport Instrument
from engine.risk.records cimport Group
from engine.risk.store cimport Risk

cdef enum:
    VALUE_BITS = 56                 # an order's value is at most 2^56 …
    HEADROOM_BITS = 61              # … and a group with 2^61 or more takes no new orders

cdef struct Groups:                 # of a position; NULL where the account has no desk or no client
    Group* account
    Group* desk
    Group* client
    Group* instrument

cdef void groups_of(Risk* risk, uint32_t position, Groups* groups) noexcept nogil
cdef uint32_t mark_of(const Instrument* instrument) noexcept nogil      # ticks; 0: none
cdef int64_t value_of(Risk* risk, uint32_t instrument, uint32_t ticks, uint64_t quantity) noexcept nogil   # risk currency, at most 2^56 + 1

cdef void position_begin(Risk* risk, uint32_t position) noexcept nogil      # rows of positions that have been created
cdef void position_touch(Risk* risk, uint32_t position) noexcept nogil      # what was paid in or out, and the mark
cdef void order_opened(Risk* risk, uint32_t slot) noexcept nogil
cdef void order_closed(Risk* risk, uint32_t slot, uint64_t leaves) noexcept nogil           # which it had
cdef void order_changed(Risk* risk, uint32_t slot, uint32_t ticks, uint64_t leaves) noexcept nogil  # it had these before
cdef void order_filled(Risk* risk, uint32_t slot, uint64_t quantity, uint64_t notional, uint64_t fees, uint32_t ticks) noexcept nogil
cdef void fill_undone(Risk* risk, uint32_t slot, uint64_t quantity, uint64_t notional, uint64_t fees, bint sell) noexcept nogil
cdef void fill_redone(Risk* risk, uint32_t slot, uint64_t quantity, uint64_t notional, uint64_t fees, bint sell) noexcept nogil
cdef void revalue(Risk* risk, uint64_t time) noexcept nogil                 # at the beginning of a batch
cdef void exposures_end_day(Risk* risk) noexcept nogil
cdef void rate_changed(Risk* risk, uint32_t instrument, const uint32_t* orders, uint32_t count, int64_t rate) noexcept nogil
