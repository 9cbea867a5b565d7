# The engine as other compiled modules see it.

from libc.stdint cimport uint32_t, uint64_t
from engine._core.batch cimport Batch
from engine._core.store cimport Ledger

cdef class Engine:
    cdef Ledger ledger
    cdef readonly object limits
    cdef Batch own                      # the one batch of the embedding interface

    cpdef apply(self, Batch batch, uint64_t time)
    # private to machine.pyx
    cdef check_capacity(self, uint64_t accounts, uint64_t transfers, uint64_t ranges)
    cdef items(self, array, str name, dtype, int flags_known)
    cdef begin(self, uint32_t kind, scope, uint32_t count)
    cdef results(self, time)
    cdef lookup(self, uint32_t kind, pairs, scope)
    cdef search(self, uint32_t kind, filter, scope)
    cdef views(self, uint32_t kind)
    cdef uint32_t scopes_defined(self)
    cdef adopt(self, source)
