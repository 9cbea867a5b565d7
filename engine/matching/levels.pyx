"""See `levels.pxd`."""

from engine._core.native cimport highest_bit_64, likely, lowest_bit_64, unlikely
from engine.matching.records cimport Level, Node

cdef enum:
    FLOORS_MAX = 5


cdef uint32_t node_take(Market* market) noexcept nogil:
    cdef uint32_t slot = market.node_free
    if slot != NONE:
        market.node_free = <uint32_t>market.nodes[slot].used
    else:
        slot = market.node_count
        market.node_count += 1
    market.nodes[slot].used = 0
    return slot


cdef void node_give(Market* market, uint32_t slot) noexcept nogil:
    market.nodes[slot].used = market.node_free
    market.node_free = slot


cdef inline uint32_t digit(uint64_t price, uint32_t floor) noexcept nogil:
    return <uint32_t>(price >> (6 * floor)) & 63


cdef inline uint32_t lowest_node(Market* market, BookSide* side, uint32_t price) noexcept nogil:
    """The node on the lowest floor that holds the price's level, if there is one; or NONE."""
    cdef uint32_t floor = side.height
    cdef uint32_t slot = side.root
    cdef uint32_t place
    if side.leaf != NONE and side.leaf_base == price >> 6:
        return side.leaf
    if floor == 0 or <uint64_t>price >> (6 * floor):
        return NONE
    while floor > 1:
        floor -= 1
        place = digit(price, floor)
        if not market.nodes[slot].used >> place & 1:
            return NONE
        slot = market.nodes[slot].children[place]
    side.leaf = slot
    side.leaf_base = price >> 6
    return slot


cdef uint32_t level_find(Market* market, BookSide* side, uint32_t price) noexcept nogil:
    cdef uint32_t slot = lowest_node(market, side, price)
    if slot == NONE or not market.nodes[slot].used >> (price & 63) & 1:
        return NONE
    return market.nodes[slot].children[price & 63]


cdef uint32_t make_path(Market* market, BookSide* side, uint32_t price) noexcept nogil:
    """The node on the lowest floor for the price, made with those above it."""
    cdef uint32_t floor, slot, child, place
    if side.height == 0:
        side.root = node_take(market)
        side.height = 1
    while <uint64_t>price >> (6 * side.height):
        slot = node_take(market)
        if market.nodes[side.root].used:
            market.nodes[slot].used = 1
            market.nodes[slot].children[0] = side.root
        else:
            node_give(market, side.root)
        side.root = slot
        side.height += 1
    floor = side.height
    slot = side.root
    while floor > 1:
        floor -= 1
        place = digit(price, floor)
        if market.nodes[slot].used >> place & 1:
            slot = market.nodes[slot].children[place]
            continue
        child = node_take(market)
        market.nodes[slot].used |= <uint64_t>1 << place
        market.nodes[slot].children[place] = child
        slot = child
    side.leaf = slot
    side.leaf_base = price >> 6
    return slot


cdef uint32_t level_require(Market* market, BookSide* side, uint32_t price, bint descending) noexcept nogil:
    cdef uint32_t node = lowest_node(market, side, price)
    cdef uint64_t bit = <uint64_t>1 << (price & 63)
    cdef uint32_t slot
    cdef Level* level
    if likely(node != NONE):
        if likely(market.nodes[node].used & bit):
            return market.nodes[node].children[price & 63]
    else:
        node = make_path(market, side, price)
    slot = market.level_free
    if slot != NONE:
        market.level_free = market.levels[slot].first
    else:
        slot = market.level_count
        market.level_count += 1
    level = &market.levels[slot]
    level.quantity = level.hidden = 0
    level.price = price
    level.first = level.last = NONE
    level.count = 0
    market.nodes[node].used |= bit
    market.nodes[node].children[price & 63] = slot
    side.levels += 1
    if side.best == NONE or (price > market.levels[side.best].price) == descending:
        side.best = slot
    return slot


cdef uint32_t extreme(Market* market, BookSide* side, bint descending) noexcept nogil:
    """The best level, searched from the root; NONE when there is none."""
    cdef uint32_t floor = side.height
    cdef uint32_t slot = side.root
    cdef uint64_t used
    if side.levels == 0:
        return NONE
    while floor:
        used = market.nodes[slot].used
        slot = market.nodes[slot].children[highest_bit_64(used) if descending else lowest_bit_64(used)]
        floor -= 1
    return slot


cdef void level_remove(Market* market, BookSide* side, uint32_t slot, bint descending) noexcept nogil:
    cdef uint32_t path[FLOORS_MAX + 1]
    cdef uint32_t price = market.levels[slot].price
    cdef uint32_t node = side.leaf
    cdef uint32_t floor
    market.levels[slot].first = market.level_free
    market.level_free = slot
    side.levels -= 1
    if likely(node != NONE and side.leaf_base == price >> 6):
        market.nodes[node].used &= ~(<uint64_t>1 << (price & 63))
        if likely(market.nodes[node].used):
            if side.best == slot:       # the next best is in the node of the best, as long as that has any
                side.best = market.nodes[node].children[
                    highest_bit_64(market.nodes[node].used) if descending else lowest_bit_64(market.nodes[node].used)]
            return
        market.nodes[node].used |= <uint64_t>1 << (price & 63)
    # Down the path, then up again as far as nodes have become empty.
    floor = side.height
    node = side.root
    while floor:
        floor -= 1
        path[floor] = node
        if floor:
            node = market.nodes[node].children[digit(price, floor)]
    while floor < side.height:
        node = path[floor]
        market.nodes[node].used &= ~(<uint64_t>1 << digit(price, floor))
        if market.nodes[node].used:
            break
        if node == side.leaf:
            side.leaf = NONE
        node_give(market, node)
        floor += 1
    if floor == side.height:
        side.root = NONE
        side.height = 0
    if side.best == slot:
        side.best = extreme(market, side, descending)


cdef uint32_t level_from(Market* market, BookSide* side, uint64_t price, bint descending) noexcept nogil:
    cdef uint32_t path[FLOORS_MAX + 1]
    cdef uint32_t floor = side.height
    cdef uint32_t node = side.root
    cdef uint64_t used, place
    if side.levels == 0:
        return NONE
    if price >> (6 * side.height):
        if not descending:
            return NONE
        return extreme(market, side, True)
    # Down as far as the price's own path goes.
    while True:
        floor -= 1
        path[floor] = node
        place = digit(price, floor)
        if not market.nodes[node].used >> place & 1:
            break
        node = market.nodes[node].children[place]
        if floor == 0:
            return node
    # Up until there is a neighbour on the wanted side, then down along its edge.
    while True:
        place = digit(price, floor)
        used = market.nodes[path[floor]].used
        if descending:
            used &= (<uint64_t>1 << place) - 1
        else:
            used &= ~(((<uint64_t>1 << place) << 1) - 1)
        if used:
            break
        floor += 1
        if floor == side.height:
            return NONE
    node = market.nodes[path[floor]].children[highest_bit_64(used) if descending else lowest_bit_64(used)]
    while floor:
        floor -= 1
        used = market.nodes[node].used
        node = market.nodes[node].children[highest_bit_64(used) if descending else lowest_bit_64(used)]
    return node
