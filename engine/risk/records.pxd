# What pre-trade risk remembers: a group of limits and exposures per account, instrument, desk and client, and a row per position.

from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t
from engine._core.risk_records cimport Exposure, Limits

cdef enum:                          # places in the store of named groups
    GROUP_DEFAULT = 0
    GROUP_APPROVAL = 1
    GROUP_NEUTRAL = 2               # of an account without desk, or without owner; never written to
    GROUP_FIRST = 3

cdef struct Group:                  # 384 bytes, six cache lines
    Limits limits                   # in force: an account's include the defaults
    Exposure exposure
    uint64_t id_0                   # account: its id; instrument, desk, client: text
    uint64_t id_1
    uint64_t id_2
    uint64_t updated                # timestamp of the last set_limits or kill_switch
    uint32_t own                    # bits by LimitName: set here
    uint32_t pairs                  # how many of its limits are about one instrument
    uint32_t desk                   # account: named groups, or GROUP_NEUTRAL
    uint32_t client
    uint32_t marked                 # instrument: the mark price of all its positions, in ticks; 2^32 - 1: not of all
    uint16_t scope                  # LimitScope
    uint16_t reserved               # 0
    uint64_t reserved_2             # 0

cdef struct PositionRisk:           # 96 bytes; same slot as its Position
    int64_t quantity                # negative: short
    int64_t basis                   # signed as quantity, in the quote ledger, as the next
    int64_t realised
    int64_t value                   # signed, in the risk currency, as all below
    int64_t unrealised
    int64_t realised_value
    int64_t open_buy
    int64_t open_sell
    uint32_t mark                   # ticks; 0: none yet
    uint32_t last_order             # newest accepted order, or NONE; the one before it stands in Order.reserved
    uint32_t owns                   # 1: what the base account holds is this position
    uint32_t reserved               # 0
    uint64_t reserved_2             # 0
    uint64_t reserved_3             # 0

cdef struct Pair:                   # 48 bytes; limits of a group in one instrument by itself
    int64_t position_long
    int64_t position_short
    uint64_t updated
    uint32_t group                  # slot of the account, or of the named group
    uint32_t instrument
    uint32_t own                    # bits by LimitName
    uint16_t scope                  # LimitScope of the group
    uint16_t restricted
    uint64_t reserved               # 0

cdef struct RiskState:              # 32 bytes; one record: what the stores themselves do not say
    uint64_t next_revaluation       # nanoseconds
    uint64_t limited                # how many limits are set; 0: no order need be checked
    uint64_t reserved               # 0
    uint64_t reserved_2             # 0
