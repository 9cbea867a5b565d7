# A fill settles in the ledger in the same step, or does not happen.

from libc.stdint cimport uint16_t, uint32_t, uint64_t
from engine.matching.records cimport Instrument
from engine.settlement.store cimport Clearing

# A book's Venue.fill; `context` is the Clearing.
cdef uint32_t settle_fill(
    void* context, uint32_t maker, uint32_t taker, uint32_t price, uint64_t quantity, uint16_t* reason) noexcept nogil
# A book's Venue.ready: whether the accounts of a resting order are open and not frozen.
cdef bint order_ready(void* context, uint32_t order) noexcept nogil
# The rates of a trade, for Trade.rates; they may have changed when it is undone.
cdef uint64_t rates_of(const Instrument* instrument, uint32_t taker_side) noexcept nogil
# Notes an execution of the order as it stands now, at `timestamp`; its slot.
cdef uint32_t record_execution(Clearing* clearing, uint32_t order, int kind, uint32_t reason, uint64_t timestamp) noexcept nogil
# One leg; nothing when the amount is zero or it stays within one account.
cdef void post_leg(
    Clearing* clearing, uint32_t instrument, uint64_t trade_id, uint32_t leg, uint32_t debit, uint32_t credit,
    uint64_t amount, uint32_t code, uint64_t order_id) noexcept nogil
# Moves a result of futures between an account and its clearing account, as far as a loss can be paid; see TRADING.md.
cdef void settle_result(
    Clearing* clearing, uint32_t position, uint64_t profit, uint64_t loss, uint64_t trade_id, uint32_t leg,
    uint32_t code_profit, uint32_t code_loss, uint64_t order_id) noexcept nogil
