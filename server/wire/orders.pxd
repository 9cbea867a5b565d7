# `params` of the order methods into the command structs of a batch.
#
# What a reader appended before a NULL stays in the batch: the caller takes the counts back.

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from engine._core.batch cimport Batch
from server.wire.fields cimport ProfileTable, Reading

cdef class Profiles:
    """Named sets of terms for create_instruments; parsers share one."""
    cdef ProfileTable table
    cdef readonly tuple names

cdef const uint8_t* read_order_params(
    int method, const uint8_t* p, Batch batch, Reading* reading, uint32_t* first, uint32_t* count, uint64_t* weight
) noexcept nogil

cdef object explain_order_params(int method, Reading* reading)
