# `params` into the command structs of a batch: arrays of accounts, transfers, updates and ids, and filters.
#
# What a reader appended before a NULL stays in the batch: the caller takes the counts back. The order methods are in
# `orders`.

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from engine._core.batch cimport Batch
from server.wire.fields cimport Reading

# Reads the params of a method (a MethodNumber from METHOD_CREATE_ACCOUNTS on) and appends them to the batch.
# `first` and `count` are what its Request says; `weight` is how many answers it may bring.
cdef const uint8_t* read_params(
    int method, const uint8_t* p, Batch batch, Reading* reading, uint32_t* first, uint32_t* count, uint64_t* weight
) noexcept nogil

cdef object explain(int method, Reading* reading)   # the message of -32602
