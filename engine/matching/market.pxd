# The memory of all books: stores of instruments and orders, pools of levels and nodes. Rules live in `book` and `auction`.
#
# Capacities are checked before a batch (engine/trading), so nothing here can run out in the middle of one.

from libc.stdint cimport uint16_t, uint32_t, uint64_t
from engine._core.codes cimport NONE
from engine._core.table cimport Table
from engine.matching.records cimport BookSide, Instrument, Level, Node, Order, OrderDetail

cdef enum:
    NODES_PER_LEVEL = 5             # at most so many floors of six bits in 30

cdef struct MarketCapacity:
    uint32_t instruments
    uint32_t orders
    uint32_t open_orders

cdef struct Due:                    # of an order with an expire time; stale once it is closed
    uint64_t at                     # nanoseconds
    uint32_t slot
    uint32_t reserved

cdef struct Market:
    MarketCapacity capacity
    Instrument* instruments
    uint32_t instrument_count
    uint32_t open_count             # orders in books and among stops
    Order* orders
    OrderDetail* details
    uint32_t order_count
    Level* levels
    uint32_t level_count            # of the pool, also free ones
    uint32_t level_free             # first free one, or NONE
    Node* nodes
    uint32_t node_count
    uint32_t node_free
    Due* dues                       # binary heap by (at, slot); derived: rebuilt on restore
    uint32_t due_count
    Table symbols                   # derived
    uint64_t slices                 # of all instruments' open orders: bounds the fills that one order can have
    uint32_t* touched               # instruments whose books changed in this batch; no part of the state
    uint32_t touched_count
    unsigned char* touched_marks

cdef int market_create(Market* market, const MarketCapacity* capacity, const uint64_t* key) noexcept nogil
cdef void market_destroy(Market* market) noexcept nogil
cdef void market_rebuild(Market* market) noexcept nogil     # what is derived, after a restore
cdef uint32_t instrument_find(Market* market, const uint64_t* symbol) noexcept nogil    # slot or NONE
cdef uint32_t instrument_append(Market* market, const uint64_t* symbol) noexcept nogil  # zeroed but for its symbol and sides
cdef void due_push(Market* market, uint32_t slot) noexcept nogil
cdef uint32_t due_next(Market* market) noexcept nogil       # the open order that expires first, or NONE
cdef void due_pop(Market* market) noexcept nogil
cdef void touched_clear(Market* market) noexcept nogil

cdef inline void touch(Market* market, uint32_t instrument) noexcept nogil:
    """The instrument's book changes in this batch."""
    if not market.touched_marks[instrument]:
        market.touched_marks[instrument] = 1
        market.touched[market.touched_count] = instrument
        market.touched_count += 1

cdef inline uint32_t ticks_of(const Instrument* instrument, uint64_t price) noexcept nogil:
    """The price in ticks, 0 when it is not on the tick, is 0 or is too high.

    Dividing by the tick size without a division (Granlund and Montgomery 1994): a multiple of an odd number times that
    number's inverse is the exact quotient, and no other product is that small.
    """
    cdef uint64_t quotient
    if price > instrument.price_max:
        return 0
    quotient = price * instrument.tick_inverse
    if instrument.tick_shift:
        quotient = quotient >> instrument.tick_shift | quotient << (64 - instrument.tick_shift)
    return <uint32_t>quotient if quotient <= 0x3FFFFFFF else 0

cdef inline uint64_t units_of(const Instrument* instrument, uint32_t ticks) noexcept nogil:
    return ticks * instrument.tick_size
