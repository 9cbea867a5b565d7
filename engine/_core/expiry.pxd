# Pending transfers in the order in which they expire.

from libc.stdint cimport uint32_t, uint64_t
from engine._core.store cimport Ledger

cdef enum:
    EXPIRE_MAX = 100000     # expired at the start of one batch at most, so that a flood of them stalls nobody

cdef void expiry_push(Ledger* ledger, uint32_t slot) noexcept nogil
cdef uint32_t expire_due(Ledger* ledger, uint64_t time) noexcept nogil      # how many expired
cdef uint64_t expiry_next(Ledger* ledger) noexcept nogil                    # when the next one is due; 0: none
cdef void expiry_rebuild(Ledger* ledger) noexcept nogil                     # and the count of pending transfers, after a restore
