# `params` of the methods about limits into the command structs of a batch.
#
# As in `orders`: what a reader appended before a NULL stays in the batch, and the caller takes the counts back.

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from engine._core.batch cimport Batch
from server.wire.fields cimport Reading

cdef const uint8_t* read_limit_params(
    int method, const uint8_t* p, Batch batch, Reading* reading, uint32_t* first, uint32_t* count, uint64_t* weight
) noexcept nogil

cdef object explain_limit_params(int method, Reading* reading)
