# Memory that is going to be needed, asked for ahead of time by a thread of its own.
#
# The first touch of a 2 MiB page takes up to 5 ms on a virtual machine, since the system clears it and the host may have to
# find it first; whoever waits for the batch that touches it waits as long. So a thread keeps the stores populated some
# way beyond what is used, and a table's successor altogether before the table is full. It changes no content, only
# whether the content is resident; the ledger works the same without it, and slower.

from libc.stddef cimport size_t
from libc.stdint cimport uint64_t
from engine._core.store cimport Ledger
from engine._core.table cimport Table

cdef struct Ahead           # opaque; see ahead.pyx

cdef Ahead* ahead_start() noexcept nogil                            # NULL: no thread, or a kernel that cannot populate
cdef void ahead_stop(Ahead* ahead) noexcept nogil                   # before the memory goes; NULL is allowed
cdef bint ahead_finished(Ahead* ahead) noexcept nogil               # all that was said is populated
cdef void ahead_look(Ahead* ahead, Ledger* ledger) noexcept nogil   # after a batch: say how far to populate
# The same for a store or table of somebody else, under a number of its own from 0 on. (Untyped, since elsewhere the struct is unknown.)
cdef void ahead_store(void* opaque, int number, void* base, uint64_t used, uint64_t capacity, size_t record) noexcept nogil
cdef void ahead_table(void* opaque, int number, Table* table, uint64_t most) noexcept nogil
