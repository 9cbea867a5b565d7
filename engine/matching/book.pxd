# One instrument's book: price-time priority. It knows nothing of accounts and money; whoever owns those is asked through
# `Venue` before anything happens, and told afterwards.
#
# What is true between calls: every order in the book has leaves >= visible >= 1; a level's quantity and hidden are the sums
# over its orders; its orders stand oldest first; best bid < best ask while trading is continuous.

from libc.stdint cimport uint16_t, uint32_t, uint64_t
from engine.matching.market cimport Market
from engine.matching.records cimport Instrument

cdef enum FillOutcome:
    FILL_DONE = 0
    FILL_MAKER_FAILED = 1           # the resting order's side cannot settle; it is to be canceled
    FILL_TAKER_FAILED = 2

cdef struct Venue:
    void* context
    # A trade of `quantity` at `price` ticks is about to happen. The owner settles it, or says whose fault it is and writes
    # the reason; leaves and filled of both orders are changed afterwards, by the book.
    uint32_t (*fill)(void* context, uint32_t maker, uint32_t taker, uint32_t price, uint64_t quantity, uint16_t* reason) noexcept nogil
    # A resting order is to be canceled; the owner takes it out (book_remove) and releases what it holds.
    void (*cancel)(void* context, uint32_t slot, uint16_t reason) noexcept nogil
    # An iceberg has shown its next slice, or a decrement (STP) has taken so much off an order: of a resting one that stays
    # open, or of the one that came, which is in no place yet. What it holds is to follow before the next fill.
    void (*restated)(void* context, uint32_t slot, uint64_t decremented) noexcept nogil
    # Whether a resting order could settle now; only fill-or-kill asks.
    bint (*ready)(void* context, uint32_t slot) noexcept nogil

cdef enum Ending:                   # why matching stopped
    ENDING_DONE = 0                 # nothing left, or nothing crosses any more
    ENDING_CANCEL = 1               # what is left of the taker is to be canceled, with Match.reason
    ENDING_BREAKER = 2              # the next trade would be too far from the breaker's reference

cdef struct Match:
    uint64_t decremented            # taken off the taker by decrements
    uint32_t trades
    uint16_t reason
    uint16_t reserved

cdef void book_insert(Market* market, uint32_t slot) noexcept nogil     # at its price, behind its equals
cdef void book_remove(Market* market, uint32_t slot) noexcept nogil
cdef void book_reduce(Market* market, uint32_t slot, uint64_t leaves) noexcept nogil    # keeps its place; 1 … its leaves
cdef uint32_t book_match(Market* market, uint32_t taker, uint32_t limit, const Venue* venue, Match* match) noexcept nogil
# How much of `quantity` an order could trade up to `limit`. Its own orders do not count when its mode prevents self-trades. With a
# venue it is what matching would come to: only orders that are ready count, and counting ends where matching would.
cdef uint64_t book_fillable(
    Market* market, uint32_t taker, uint32_t limit, uint64_t quantity, const Venue* venue) noexcept nogil
cdef bint book_crosses(Market* market, uint32_t instrument, bint sell, uint32_t limit) noexcept nogil
cdef void stops_insert(Market* market, uint32_t slot) noexcept nogil    # at its stop price
cdef void stops_remove(Market* market, uint32_t slot) noexcept nogil
cdef uint32_t stops_triggered(Market* market, uint32_t instrument) noexcept nogil   # with the lowest order id, or NONE
cdef uint64_t slices_of(Market* market, uint32_t slot) noexcept nogil

cdef inline bint sells(Market* market, uint32_t slot) noexcept nogil:
    return market.orders[slot].traits & 1
