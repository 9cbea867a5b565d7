# The life of an order: accepted, matched, replaced, canceled, expired.

from libc.stdint cimport uint16_t, uint32_t, uint64_t
from engine._core.batch cimport Batch
from engine._core.order_records cimport AmendCommand, MassCancelCommand, OrderResult
from engine.exchange cimport Exchange
from engine.matching.records cimport Instrument

# One item each; `clearing.clock` is its time and goes on. -1: no memory for the fills of the answer.
cdef int submit_order(
    Exchange* exchange, Batch batch, uint32_t item, uint32_t scope, OrderResult* result) noexcept nogil    # item: of batch.orders
cdef int replace_order(
    Exchange* exchange, Batch batch, uint32_t item, uint32_t scope, OrderResult* result) noexcept nogil    # … of batch.amends
cdef void cancel_order(Exchange* exchange, const AmendCommand* command, uint32_t scope, OrderResult* result) noexcept nogil
cdef void mass_cancel(Exchange* exchange, const MassCancelCommand* command, uint32_t scope, OrderResult* result) noexcept nogil

# Takes an open order out for good: its hold ends, what was left of it is gone.
cdef void close_order(Exchange* exchange, uint32_t slot, int status, int kind, uint32_t reason, uint64_t timestamp) noexcept nogil
# Stops that the last price has reached become orders, until there are none.
cdef void run_stops(Exchange* exchange, uint32_t instrument) noexcept nogil
# Gathers the open orders of an instrument into exchange.scratch from `count` on; the new count.
cdef uint32_t gather(Exchange* exchange, uint32_t instrument, uint32_t count) noexcept nogil
cdef void sort_slots(uint32_t* slots, uint32_t count) noexcept nogil
cdef bint cancels_allowed(const Instrument* instrument) noexcept nogil
cdef bint scope_permits_trading(Exchange* exchange, uint32_t scope, uint32_t account) noexcept nogil
# What the book calls: see book.Venue.
cdef void venue_cancel(void* context, uint32_t slot, uint16_t reason) noexcept nogil
cdef void venue_restated(void* context, uint32_t slot, uint64_t decremented) noexcept nogil
cdef uint32_t venue_fill(
    void* context, uint32_t maker, uint32_t taker, uint32_t price, uint64_t quantity, uint16_t* reason) noexcept nogil
cdef bint venue_ready(void* context, uint32_t slot) noexcept nogil
