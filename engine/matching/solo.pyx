"""A book by itself, without accounts and money: for benchmarks, tests, and replays of recorded order flow.

Operations come as records and are executed in one call; trades are counted, hashed and, if wanted, kept. The hash is FNV-1a over the
64-bit words (taker, maker, price, quantity) of every trade, so that two books can be compared by a number.
"""

import numpy as np

from libc.stdint cimport uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from engine._core.codes cimport NONE
from engine._core.memory cimport memory_populate, memory_release, memory_reserve
from engine._core.native cimport prefetch_write
from engine.matching.book cimport *
from engine.matching.levels cimport level_from
from engine.matching.market cimport Market, MarketCapacity, instrument_append, market_create, market_destroy, touched_clear
from engine.matching.records cimport *

cdef enum:
    ADD = 0                         # id, side, price, quantity, flags: 1 = immediate or cancel, 2 = market
    CANCEL = 1                      # id
    MOVE = 2                        # id, price: loses its place
    REDUCE = 3                      # id, quantity: what is left open; keeps its place
    AT_ONCE = 1
    AT_MARKET = 2
    AHEAD = 12                      # operations between the prefetch of an order and its turn
    TICKS_MAX = 0x3FFFFFFF

cdef struct Operation:              # 32 bytes
    uint64_t id                     # 1, 2, 3 … in the order of their ADDs
    uint64_t quantity
    uint32_t price                  # ticks
    uint32_t kind
    uint32_t side
    uint32_t flags

cdef struct SoloTrade:              # 32 bytes
    uint64_t taker
    uint64_t maker
    uint64_t quantity
    uint64_t price

cdef Operation operation_model
cdef SoloTrade trade_model
OPERATION = np.asarray(<Operation[:1]>&operation_model).dtype
TRADE = np.asarray(<SoloTrade[:1]>&trade_model).dtype

cdef struct Tape:
    uint64_t trades
    uint64_t volume
    uint64_t notional
    uint64_t digest
    SoloTrade* kept
    uint64_t kept_count
    uint64_t kept_most

cdef extern from *:
    """
    #define TB_FNV_START 0xCBF29CE484222325ULL
    #define TB_FNV_PRIME 0x100000001B3ULL
    """
    const uint64_t FNV_START "TB_FNV_START"
    const uint64_t FNV_PRIME "TB_FNV_PRIME"


cdef uint32_t note_fill(
    void* context, uint32_t maker, uint32_t taker, uint32_t price, uint64_t quantity, uint16_t* reason) noexcept nogil:
    cdef Tape* tape = <Tape*>context
    cdef uint64_t digest = tape.digest
    cdef SoloTrade* trade
    digest = (digest ^ (<uint64_t>taker + 1)) * FNV_PRIME
    digest = (digest ^ (<uint64_t>maker + 1)) * FNV_PRIME
    digest = (digest ^ price) * FNV_PRIME
    tape.digest = (digest ^ quantity) * FNV_PRIME
    tape.trades += 1
    tape.volume += quantity
    tape.notional += quantity * price
    if tape.kept_count < tape.kept_most:
        trade = &tape.kept[tape.kept_count]
        trade.taker = <uint64_t>taker + 1
        trade.maker = <uint64_t>maker + 1
        trade.quantity = quantity
        trade.price = price
        tape.kept_count += 1
    return FILL_DONE


cdef void ignore_cancel(void* context, uint32_t slot, uint16_t reason) noexcept nogil:
    pass


cdef void ignore_restated(void* context, uint32_t slot, uint64_t decremented) noexcept nogil:
    pass


cdef bint always_ready(void* context, uint32_t slot) noexcept nogil:
    return True


cdef void add(Market* market, const Venue* venue, const Operation* operation) noexcept nogil:
    cdef uint32_t slot = market.order_count
    cdef Order* order = &market.orders[slot]
    cdef Match match
    cdef uint32_t limit = operation.price
    memset(order, 0, sizeof(Order))
    order.leaves = operation.quantity
    order.price = operation.price
    order.next = order.previous = order.level = NONE
    order.traits = <uint16_t>operation.side
    market.order_count += 1
    if operation.flags & AT_MARKET:
        limit = 1 if operation.side else TICKS_MAX
    match.decremented = 0
    match.trades = 0
    book_match(market, slot, limit, venue, &match)
    if order.leaves and not operation.flags:
        book_insert(market, slot)
    else:
        order.leaves = 0


cdef int run(Market* market, const Venue* venue, const Operation* operations, uint64_t count) noexcept nogil:
    """-1 when an operation names an order that does not rest."""
    cdef uint64_t index
    cdef uint32_t slot
    cdef const Operation* operation
    cdef Order* order
    for index in range(count):
        if index + AHEAD < count and operations[index + AHEAD].kind != ADD:
            prefetch_write(&market.orders[operations[index + AHEAD].id - 1])
        operation = &operations[index]
        if operation.kind == ADD:
            add(market, venue, operation)
            continue
        slot = <uint32_t>(operation.id - 1)
        if operation.id == 0 or slot >= market.order_count or market.orders[slot].place != PLACE_BOOK:
            return -1
        order = &market.orders[slot]
        if operation.kind == CANCEL:
            book_remove(market, slot)
            order.leaves = 0
        elif operation.kind == MOVE:
            book_remove(market, slot)
            order.price = operation.price
            book_insert(market, slot)
        elif operation.quantity == 0 or operation.quantity > order.leaves:
            return -1
        else:
            book_reduce(market, slot, operation.quantity)
    return 0


cdef class OrderBook:
    """One instrument's book with tick and lot 1. Ids count from 1 in the order of the ADDs.

    Takes 64 bytes for each of `orders_max` at once, so that no page is cleared while it runs.
    """

    cdef Market market
    cdef Venue venue
    cdef Tape tape

    def __cinit__(self, uint32_t orders_max=1 << 24, uint32_t open_orders_max=1 << 22, *, uint64_t keep_trades=0) -> None:
        cdef MarketCapacity capacity
        cdef uint64_t key[4]
        cdef uint64_t symbol[3]
        cdef Instrument* instrument
        capacity.instruments = 1
        capacity.orders = orders_max
        capacity.open_orders = open_orders_max
        key[:] = [1, 2, 3, 4]
        symbol[:] = [1, 0, 0]
        if market_create(&self.market, &capacity, key) != 0:
            raise MemoryError("no address space for a book of these limits")
        memory_populate(self.market.orders, <size_t>orders_max * sizeof(Order))
        instrument_append(&self.market, symbol)
        instrument = &self.market.instruments[0]
        instrument.tick_size = instrument.lot_size = instrument.tick_inverse = 1
        self.venue.context = &self.tape
        self.venue.fill = note_fill
        self.venue.cancel = ignore_cancel
        self.venue.restated = ignore_restated
        self.venue.ready = always_ready
        self.tape.digest = FNV_START
        self.tape.kept_most = keep_trades
        if keep_trades:
            self.tape.kept = <SoloTrade*>memory_reserve(keep_trades * sizeof(SoloTrade))
            if self.tape.kept is NULL:
                raise MemoryError("no address space for the trades")

    def __dealloc__(self) -> None:
        market_destroy(&self.market)
        memory_release(self.tape.kept, self.tape.kept_most * sizeof(SoloTrade))

    def run(self, operations) -> int:
        """Executes OPERATION records; returns how many trades there have been. ValueError for an order that does not rest."""
        cdef const Operation[::1] items = np.ascontiguousarray(operations, dtype=OPERATION)
        cdef int outcome = 0
        if self.market.order_count + <uint64_t>items.shape[0] > self.market.capacity.orders:
            raise ValueError("operations: more orders than orders_max")
        if self.market.open_count + <uint64_t>items.shape[0] > self.market.capacity.open_orders:
            if self.market.open_count + np.count_nonzero(operations["kind"] == ADD) > self.market.capacity.open_orders:
                raise ValueError("operations: more open orders than open_orders_max")
        if items.shape[0]:
            with nogil:
                outcome = run(&self.market, &self.venue, &items[0], items.shape[0])
                touched_clear(&self.market)
        if outcome != 0:
            raise ValueError("operations: one of them names an order that does not rest, or a quantity that it does not have")
        return self.tape.trades

    @property
    def trades(self) -> int:
        """Number of trades."""
        return self.tape.trades

    @property
    def volume(self) -> int:
        """Quantity traded."""
        return self.tape.volume

    @property
    def notional(self) -> int:
        """Sum of price times quantity, modulo 2^64."""
        return self.tape.notional

    @property
    def trade_hash(self) -> int:
        """FNV-1a over all trades: see the module."""
        return self.tape.digest

    @property
    def resting(self) -> int:
        """Number of orders in the book."""
        return self.market.open_count

    def levels(self, int side, uint32_t most) -> list:
        """Up to `most` levels of a side (0 bids, 1 asks), best first: (price, quantity, orders)."""
        cdef BookSide* levels = &self.market.instruments[0].sides[side]
        cdef uint32_t level = levels.best
        cdef Level* found
        answer = []
        while level != NONE and len(answer) < most:
            found = &self.market.levels[level]
            answer.append((found.price, found.quantity, found.count))
            level = level_from(&self.market, levels, <uint64_t>found.price + (<uint64_t>-1 if side == 0 else 1), side == 0)
        return answer

    def kept(self):
        """The trades that were kept, as TRADE records."""
        array = np.empty(self.tape.kept_count, dtype=TRADE)
        cdef SoloTrade[::1] into = array
        if self.tape.kept_count:
            memcpy(&into[0], self.tape.kept, self.tape.kept_count * sizeof(SoloTrade))
        return array
