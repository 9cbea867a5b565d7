# The memory of pre-trade risk.

from libc.stdint cimport int64_t, uint32_t, uint64_t
from engine._core.codes cimport NONE
from engine._core.risk_records cimport Exposure, Finding, Limits, Proposal, RiskOrder
from engine._core.table cimport Table
from engine.matching.market cimport Market
from engine.risk.records cimport Group, Pair, PositionRisk, RiskState
from engine.settlement.store cimport Clearing

cdef enum:
    CHECKS_MAX = 16                 # of the institution's own

# Both answer ACCEPT, or why not with what they have found; anything else, 0 above all, is no verdict.
ctypedef int64_t (*Decide)(
    const RiskOrder*, const Limits*, const Exposure*, const Limits*, const Exposure*, const Limits*, const Exposure*,
    const Limits*, const Exposure*, Finding*) noexcept nogil
ctypedef int64_t (*OwnCheck)(const RiskOrder*, const Limits*, const Exposure*, Finding*) noexcept nogil

cdef struct RiskCapacity:
    uint32_t named                  # desks and clients
    uint32_t pairs
    uint32_t proposals

cdef struct Risk:
    RiskCapacity capacity
    Group* accounts                 # by slot of the trading account
    Group* instruments              # by slot of the instrument
    Group* named                    # GROUP_DEFAULT …, then desks and clients
    uint32_t named_count
    uint32_t account_count          # how many of the groups have been made, as the next
    uint32_t instrument_count
    uint32_t position_count
    PositionRisk* positions         # by slot of the position
    Pair* pairs
    uint32_t pair_count
    Proposal* proposals
    uint32_t proposal_count
    RiskState state
    Table names                     # (scope, text) of named groups; derived, as the next
    Table pair_keys                 # (scope, group, instrument)
    Decide decide
    OwnCheck checks[CHECKS_MAX]
    uint32_t check_count
    uint32_t verdict                # the next one of the batch's verdicts, when they come from the log
    Market* market
    Clearing* clearing

cdef int risk_create(Risk* risk, const RiskCapacity* capacity, const uint64_t* key, Market* market, Clearing* clearing) noexcept nogil
cdef void risk_destroy(Risk* risk) noexcept nogil
cdef void risk_rebuild(Risk* risk) noexcept nogil           # the tables, after a restore
cdef void risk_grow(Risk* risk) noexcept nogil              # groups of accounts and instruments that have been created
cdef uint32_t named_find(Risk* risk, uint32_t scope, const uint64_t* id) noexcept nogil         # slot or NONE
cdef uint32_t named_require(Risk* risk, uint32_t scope, const uint64_t* id) noexcept nogil
cdef uint32_t pair_find(Risk* risk, uint32_t scope, uint32_t group, uint32_t instrument) noexcept nogil
cdef uint32_t pair_require(Risk* risk, uint32_t scope, uint32_t group, uint32_t instrument) noexcept nogil
cdef void limits_clear(Limits* limits) noexcept nogil       # nothing is limited
cdef int64_t limit_neutral(uint32_t name) noexcept nogil    # the value of a limit that is not set
