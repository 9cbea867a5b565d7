# Transfers: the rules of `create_transfers`, in their order of precedence.

from libc.stdint cimport uint16_t, uint32_t, uint64_t
from engine._core.batch cimport Request
from engine._core.records cimport Result, TransferCommand
from engine._core.store cimport Ledger

# A run of `request_count` create_transfers requests, whose items and results stand one behind the other. The first item's
# time is `time`, the next one's time + 1, and so on. The caller has seen to capacity (ledger_prepare, headroom).
cdef void create_transfers(
    Ledger* ledger, const Request* requests, uint32_t request_count,
    const TransferCommand* commands, Result* results, uint64_t time) noexcept nogil

# A transfer that the engine itself makes. The caller has seen to it that the accounts may be debited and credited, that nothing
# overflows, and that there is room. Its id tells its slot (store.transfer_generated); ids of that form are refused to clients.
cdef struct Generated:
    uint64_t user_data_128          # low half
    uint64_t user_data_64
    uint32_t user_data_32
    uint32_t debit                  # slots
    uint32_t credit
    uint16_t code
    uint16_t leg                    # 0 … 4095, a part of the id

cdef void post_generated(Ledger* ledger, const Generated* transfer, uint64_t amount, uint64_t timestamp) noexcept nogil
