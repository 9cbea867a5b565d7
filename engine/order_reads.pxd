# Reads about orders: views of what the stores hold, at their place in the order of requests.

from libc.stdint cimport uint32_t
from engine._core.batch cimport Batch
from engine._core.order_records cimport BookView, ExecutionView, LevelView, OrderFilter, OrderView, PositionView, TradeView
from engine.exchange cimport Exchange

cdef int read_orders(Exchange* exchange, Batch batch, uint32_t request) noexcept nogil  # any KIND_GET_* of orders; -1: no memory
cdef void view_order(Exchange* exchange, uint32_t slot, OrderView* view) noexcept nogil
cdef void view_execution(Exchange* exchange, uint32_t slot, ExecutionView* view) noexcept nogil
cdef void view_trade(Exchange* exchange, uint32_t slot, TradeView* view) noexcept nogil
cdef void view_position(Exchange* exchange, uint32_t slot, PositionView* view) noexcept nogil
cdef void view_book(Exchange* exchange, uint32_t instrument, BookView* view) noexcept nogil    # without its levels
# Up to `most` levels of a side (0 bids, 1 asks), best first; how many there are in `views`.
cdef uint32_t view_levels(Exchange* exchange, uint32_t instrument, int side, uint32_t most, LevelView* views) noexcept nogil
