# Transfers: the rules of `create_transfers`, in their order of precedence.

from libc.stdint cimport uint32_t, uint64_t
from engine._core.batch cimport Request
from engine._core.records cimport Result, TransferCommand
from engine._core.store cimport Ledger

# A run of `request_count` create_transfers requests, whose items and results stand one behind the other. The first item's
# time is `time`, the next one's time + 1, and so on. The caller has seen to capacity (ledger_prepare, headroom).
cdef void create_transfers(
    Ledger* ledger, const Request* requests, uint32_t request_count,
    const TransferCommand* commands, Result* results, uint64_t time) noexcept nogil
