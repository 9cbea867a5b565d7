"""See `market.pxd`."""

from libc.stdlib cimport calloc, free
from libc.string cimport memset

from engine._core.memory cimport memory_release, memory_reserve
from engine._core.native cimport bucket_matches, fold, hash_128, lowest_bit
from engine._core.table cimport Bucket, table_create, table_destroy, table_insert
from engine.matching.records cimport PLACE_NONE


cdef int market_create(Market* market, const MarketCapacity* capacity, const uint64_t* key) noexcept nogil:
    """0, or -1: out of memory."""
    cdef uint64_t levels = <uint64_t>capacity.open_orders + 1
    memset(market, 0, sizeof(Market))
    market.capacity = capacity[0]
    market.level_free = market.node_free = NONE
    market.instruments = <Instrument*>memory_reserve(<size_t>capacity.instruments * sizeof(Instrument))
    market.orders = <Order*>memory_reserve(<size_t>capacity.orders * sizeof(Order))
    market.details = <OrderDetail*>memory_reserve(<size_t>capacity.orders * sizeof(OrderDetail))
    market.levels = <Level*>memory_reserve(levels * sizeof(Level))
    market.nodes = <Node*>memory_reserve(levels * NODES_PER_LEVEL * sizeof(Node))
    market.dues = <Due*>memory_reserve(<size_t>capacity.orders * sizeof(Due))
    market.touched = <uint32_t*>memory_reserve(<size_t>capacity.instruments * sizeof(uint32_t))
    market.touched_marks = <unsigned char*>calloc(capacity.instruments, 1)
    if (market.instruments is NULL or market.orders is NULL or market.details is NULL or market.levels is NULL
            or market.nodes is NULL or market.dues is NULL or market.touched is NULL or market.touched_marks is NULL
            or table_create(&market.symbols, key, capacity.instruments) != 0):
        market_destroy(market)
        return -1
    return 0


cdef void market_destroy(Market* market) noexcept nogil:
    cdef uint64_t levels = <uint64_t>market.capacity.open_orders + 1
    memory_release(market.instruments, <size_t>market.capacity.instruments * sizeof(Instrument))
    memory_release(market.orders, <size_t>market.capacity.orders * sizeof(Order))
    memory_release(market.details, <size_t>market.capacity.orders * sizeof(OrderDetail))
    memory_release(market.levels, levels * sizeof(Level))
    memory_release(market.nodes, levels * NODES_PER_LEVEL * sizeof(Node))
    memory_release(market.dues, <size_t>market.capacity.orders * sizeof(Due))
    memory_release(market.touched, <size_t>market.capacity.instruments * sizeof(uint32_t))
    free(market.touched_marks)
    table_destroy(&market.symbols)
    memset(market, 0, sizeof(Market))


cdef void market_rebuild(Market* market) noexcept nogil:
    """The table of symbols and the heap of expire times."""
    cdef uint32_t slot
    for slot in range(market.instrument_count):
        table_insert(&market.symbols, symbol_hash(market, &market.instruments[slot].symbol_0), slot)
    market.due_count = 0
    for slot in range(market.order_count):
        if market.details[slot].expire_time and market.orders[slot].place != PLACE_NONE:
            due_push(market, slot)


# --- instruments by symbol ------------------------------------------------------------------------

cdef uint64_t symbol_hash(Market* market, const uint64_t* symbol) noexcept nogil:
    return hash_128(market.symbols.key, fold(symbol[0] ^ market.symbols.key[0], symbol[1] ^ market.symbols.key[1]), symbol[2])


cdef uint32_t instrument_find(Market* market, const uint64_t* symbol) noexcept nogil:
    cdef uint64_t hashed = symbol_hash(market, symbol)
    cdef uint64_t position = hashed & market.symbols.mask
    cdef uint32_t matches, slot
    cdef Bucket* bucket
    cdef Instrument* instrument
    while True:
        bucket = &market.symbols.buckets[position]
        matches = bucket_matches(bucket, <uint16_t>(hashed >> 48))
        while matches:
            slot = bucket.slots[lowest_bit(matches)]
            instrument = &market.instruments[slot]
            if instrument.symbol_0 == symbol[0] and instrument.symbol_1 == symbol[1] and instrument.symbol_2 == symbol[2]:
                return slot
            matches &= matches - 1
        if not bucket.overflowed:
            return NONE
        position = (position + 1) & market.symbols.mask


cdef uint32_t instrument_append(Market* market, const uint64_t* symbol) noexcept nogil:
    cdef uint32_t slot = market.instrument_count
    cdef Instrument* instrument = &market.instruments[slot]
    cdef int side
    memset(instrument, 0, sizeof(Instrument))
    instrument.symbol_0 = symbol[0]
    instrument.symbol_1 = symbol[1]
    instrument.symbol_2 = symbol[2]
    instrument.positions = NONE
    for side in range(4):
        instrument.sides[side].best = NONE
        instrument.sides[side].root = NONE
        instrument.sides[side].leaf = NONE
    market.instrument_count += 1
    table_insert(&market.symbols, symbol_hash(market, symbol), slot)
    return slot


# --- expire times -----------------------------------------------------------------------------------

cdef inline bint before(const Due* a, const Due* b) noexcept nogil:
    return a.at < b.at or (a.at == b.at and a.slot < b.slot)


cdef void due_push(Market* market, uint32_t slot) noexcept nogil:
    cdef Due* heap = market.dues
    cdef Due entry
    cdef uint32_t position = market.due_count
    cdef uint32_t parent
    entry.at = market.details[slot].expire_time
    entry.slot = slot
    entry.reserved = 0
    market.due_count += 1
    while position:
        parent = (position - 1) // 2
        if not before(&entry, &heap[parent]):
            break
        heap[position] = heap[parent]
        position = parent
    heap[position] = entry


cdef void due_pop(Market* market) noexcept nogil:
    cdef Due* heap = market.dues
    cdef Due entry
    cdef uint32_t position = 0
    cdef uint32_t child
    market.due_count -= 1
    entry = heap[market.due_count]
    while True:
        child = 2 * position + 1
        if child >= market.due_count:
            break
        if child + 1 < market.due_count and before(&heap[child + 1], &heap[child]):
            child += 1
        if not before(&heap[child], &entry):
            break
        heap[position] = heap[child]
        position = child
    heap[position] = entry


cdef uint32_t due_next(Market* market) noexcept nogil:
    while market.due_count and market.orders[market.dues[0].slot].place == PLACE_NONE:
        due_pop(market)
    return market.dues[0].slot if market.due_count else NONE


cdef void touched_clear(Market* market) noexcept nogil:
    cdef uint32_t index
    for index in range(market.touched_count):
        market.touched_marks[market.touched[index]] = 0
    market.touched_count = 0
