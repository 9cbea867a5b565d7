# The engine as other compiled modules see it.

from libc.stdint cimport uint32_t, uint64_t
from engine._core.ahead cimport Ahead
from engine._core.batch cimport Batch
from engine._core.store cimport Ledger

cdef class Engine:
    cdef Ledger ledger
    cdef Ahead* ahead                   # NULL: memory comes when it is touched
    cdef readonly object limits
    cdef Batch own                      # the one batch of the embedding interface

    cpdef apply(self, Batch batch, uint64_t time)
    # private to machine.pyx
    cdef check_capacity(self, uint64_t accounts, uint64_t transfers, uint64_t ranges)
    cdef uint64_t check_scopes(self, Batch batch) except? 0
    cdef written(self, time)
    cdef read(self)
    cdef search(self, str method, filter, scope)
    cdef uint32_t scopes_defined(self)
    cdef adopt(self, source)
