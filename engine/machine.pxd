# The engine as other compiled modules see it.

from libc.stdint cimport uint32_t, uint64_t
from engine._core.ahead cimport Ahead
from engine._core.batch cimport Batch
from engine._core.store cimport Ledger
from engine.exchange cimport Exchange
from engine.settlement.records cimport ExchangeState

cdef class Engine:
    cdef Ledger ledger
    cdef Exchange exchange
    cdef ExchangeState exchange_state   # filled for snapshots
    cdef Ahead* ahead                   # NULL: memory comes when it is touched
    cdef readonly object limits
    cdef Batch own                      # the one batch of the embedding interface

    cpdef apply(self, Batch batch, uint64_t time)
    # private to machine.pyx
    cdef check_capacity(self, Batch batch, uint64_t time)
    cdef uint64_t check_scopes(self, Batch batch) except? 0
    cdef written(self, time)
    cdef read(self)
    cdef search(self, str method, filter, scope)
    cdef ordered(self, str method, items, time, scope, links)
    cdef asked(self, str method, filter, scope)
    cdef limits_asked(self, str method, filter)
    cdef note_exchange_state(self)
    cdef read_exchange(self, source)
    cdef adopt_exchange(self, counts)
    cdef uint32_t scopes_defined(self)
    cdef adopt(self, source)
