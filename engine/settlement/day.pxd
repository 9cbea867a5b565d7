# What the end of a business day does to holds and positions.

from libc.stdint cimport uint32_t
from engine.matching.records cimport Instrument
from engine.settlement.store cimport Clearing

cdef void end_holds(Clearing* clearing) noexcept nogil              # T+1: what was bought may be sold, proceeds withdrawn
cdef uint32_t settlement_ticks(const Instrument* instrument) noexcept nogil     # volume-weighted average, or 0
cdef void mark_positions(Clearing* clearing) noexcept nogil         # of all futures, to their new reference prices
