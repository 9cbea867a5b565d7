# Queries: lookups by id, an account's transfers and balances, accounts and transfers by what they carry.

from libc.stdint cimport uint32_t
from engine._core.batch cimport Batch, Request
from engine._core.store cimport Ledger

# Answers one read request into the batch's views, and sets its answer_first, answer_count and status. Changes nothing else.
# 0, or -1: out of memory.
cdef int read_request(Ledger* ledger, Batch batch, uint32_t request_index) noexcept nogil
