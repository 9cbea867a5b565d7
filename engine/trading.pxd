# The commands about orders, as the machine hands them over: one request after the other.

from libc.stdint cimport uint32_t, uint64_t
from engine._core.batch cimport Batch
from engine._core.store cimport Ledger
from engine.exchange cimport Exchange
from engine.matching.market cimport MarketCapacity
from engine.risk.store cimport RiskCapacity
from engine.settlement.store cimport ClearingCapacity

cdef int exchange_create(
    Exchange* exchange, const MarketCapacity* market, const ClearingCapacity* clearing, const RiskCapacity* risk,
    const uint64_t* key, Ledger* ledger) noexcept nogil                                      # 0, or -1: out of memory
cdef void exchange_destroy(Exchange* exchange) noexcept nogil
cdef int exchange_rebuild(Exchange* exchange) noexcept nogil            # what is derived, after a restore; -1: out of memory

cdef struct Growth:                 # what a batch may add to the stores at most
    uint64_t accounts               # clearing accounts
    uint64_t transfers              # generated ones
    uint64_t instruments
    uint64_t trading_accounts
    uint64_t links
    uint64_t positions
    uint64_t orders
    uint64_t trades
    uint64_t executions
    uint64_t named                  # desks and clients
    uint64_t pairs
    uint64_t proposals
    uint64_t timestamps

cdef void exchange_growth(Exchange* exchange, Batch batch, uint64_t time, Growth* growth) noexcept nogil
cdef uint64_t exchange_next_expiry(Exchange* exchange) noexcept nogil   # nanoseconds; 0: none
cdef void exchange_expire(Exchange* exchange, uint64_t time) noexcept nogil
# Executes one written request about orders; clearing.clock goes on from item to item. -1: no memory for the answers.
cdef int exchange_request(Exchange* exchange, Batch batch, uint32_t index) noexcept nogil
cdef void exchange_begin(Exchange* exchange, Batch batch, uint64_t time) noexcept nogil  # a batch of writes
cdef void exchange_ahead(Exchange* exchange, void* ahead) noexcept nogil   # after a batch: say how far to populate
