# The memory of settlement, and the state of the business day.

from libc.stdint cimport uint32_t, uint64_t
from engine._core.codes cimport NONE
from engine._core.store cimport Ledger
from engine._core.table cimport Table
from engine.matching.market cimport Market
from engine.settlement.records cimport Execution, Holding, Link, Position, Trade, TradingAccount

cdef struct ClearingCapacity:
    uint32_t trading_accounts
    uint32_t links
    uint32_t positions
    uint32_t trades
    uint32_t executions

cdef struct Clearing:
    ClearingCapacity capacity
    TradingAccount* accounts
    uint32_t account_count
    Link* links
    uint32_t link_count
    Holding* holdings
    uint32_t holding_count          # at most one per link
    Position* positions
    uint32_t position_count
    Trade* trades
    uint32_t trade_count
    Execution* executions
    uint32_t execution_count
    uint32_t business_date          # yyyymmdd; 0: not told yet
    uint64_t batch                  # number of the batch that is being applied, from 1
    uint64_t clock                  # timestamp of the next thing that happens in it
    Table account_ids               # derived, as the tables below
    Table position_keys             # (trading account, instrument)
    Table order_keys                # (trading account, client order id)
    uint32_t order_moving           # while that table grows
    uint32_t order_moving_end
    Market* market
    Ledger* ledger

cdef int clearing_create(
    Clearing* clearing, const ClearingCapacity* capacity, const uint64_t* key, Market* market, Ledger* ledger) noexcept nogil
cdef void clearing_destroy(Clearing* clearing) noexcept nogil
cdef int clearing_prepare(Clearing* clearing, uint64_t orders) noexcept nogil   # room for so many client order ids; -1: no memory
cdef int clearing_rebuild(Clearing* clearing) noexcept nogil                    # the tables, after a restore

cdef uint32_t trading_account_find(Clearing* clearing, uint64_t id) noexcept nogil      # slot or NONE
cdef void trading_account_insert(Clearing* clearing, uint32_t slot) noexcept nogil
cdef uint32_t link_find(Clearing* clearing, uint32_t account, uint32_t ledger) noexcept nogil
cdef uint32_t position_find(Clearing* clearing, uint32_t account, uint32_t instrument) noexcept nogil
cdef uint32_t position_require(Clearing* clearing, uint32_t account, uint32_t instrument) noexcept nogil
cdef uint32_t order_find(Clearing* clearing, uint32_t account, uint64_t lo, uint64_t hi) noexcept nogil
cdef void order_insert(Clearing* clearing, uint32_t slot) noexcept nogil
cdef void order_prefetch(Clearing* clearing, uint64_t account_id, uint64_t lo, uint64_t hi) noexcept nogil  # before order_find
cdef uint32_t holding_require(Clearing* clearing, uint32_t account_slot) noexcept nogil
cdef uint32_t account_of_order(Clearing* clearing, uint32_t order) noexcept nogil       # trading account
