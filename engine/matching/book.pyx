"""See `book.pxd`. `book_match` is the hot loop; all else is arithmetic on linked lists."""

from engine._core.codes cimport NONE
from engine._core.native cimport likely, prefetch_write, unlikely
from engine._core.order_codes cimport (
    INSTRUMENT_MEDIAN_PRICE, ORDER_FILLED, ORDER_PARTIALLY_FILLED, REASON_SELF_TRADE, STP_CANCEL_BOTH, STP_CANCEL_NEWEST,
    STP_CANCEL_OLDEST, STP_DECREMENT,
)
from engine.matching.levels cimport level_from, level_remove, level_require
from engine.matching.market cimport touch
from engine.matching.records cimport *


cdef inline uint64_t lesser(uint64_t a, uint64_t b) noexcept nogil:
    return a if a < b else b


cdef inline uint64_t shown(Market* market, uint32_t slot) noexcept nogil:
    """How much of the order is to be visible from now on."""
    cdef Order* order = &market.orders[slot]
    if likely(not order.traits & TRAIT_ICEBERG):
        return order.leaves
    return lesser(order.leaves, market.details[slot].display)


cdef uint64_t slices_of(Market* market, uint32_t slot) noexcept nogil:
    """How many fills of the order can end because its visible part is used up."""
    cdef uint64_t display
    if not market.orders[slot].traits & TRAIT_ICEBERG:
        return 1
    display = market.details[slot].display
    return (market.orders[slot].leaves + display - 1) // display + 1


cdef inline void count_slices(Market* market, uint32_t slot, bint more) noexcept nogil:
    cdef uint64_t slices = slices_of(market, slot)
    if more:
        market.slices += slices
        market.instruments[market.orders[slot].instrument].slices += <uint32_t>slices
    else:
        market.slices -= slices
        market.instruments[market.orders[slot].instrument].slices -= <uint32_t>slices


# --- queues ---------------------------------------------------------------------------------------

cdef inline void append(Market* market, uint32_t level_slot, uint32_t slot) noexcept nogil:
    """The order becomes the last of the level."""
    cdef Level* level = &market.levels[level_slot]
    cdef Order* order = &market.orders[slot]
    order.previous = level.last
    order.next = NONE
    order.level = level_slot
    if level.last == NONE:
        level.first = slot
    else:
        market.orders[level.last].next = slot
    level.last = slot
    level.count += 1
    level.quantity += order.visible
    level.hidden += order.leaves - order.visible


cdef inline void unlink(Market* market, BookSide* side, uint32_t slot, bint descending) noexcept nogil:
    """Takes the order out of its level, and the level out of the side when it is left empty."""
    cdef Order* order = &market.orders[slot]
    cdef Level* level = &market.levels[order.level]
    level.count -= 1
    side.orders -= 1
    if level.count == 0:
        level_remove(market, side, order.level, descending)
    else:
        level.quantity -= order.visible
        level.hidden -= order.leaves - order.visible
        if order.previous == NONE:
            level.first = order.next
        else:
            market.orders[order.previous].next = order.next
        if order.next == NONE:
            level.last = order.previous
        else:
            market.orders[order.next].previous = order.previous
    order.level = NONE


cdef void book_insert(Market* market, uint32_t slot) noexcept nogil:
    cdef Order* order = &market.orders[slot]
    cdef uint32_t fold = order.traits & TRAIT_SELL
    cdef BookSide* side = &market.instruments[order.instrument].sides[fold]
    order.visible = shown(market, slot)
    order.place = PLACE_BOOK
    side.orders += 1
    side.total += order.leaves
    append(market, level_require(market, side, order.price, fold == FOLD_BIDS), slot)
    count_slices(market, slot, True)
    market.open_count += 1
    touch(market, order.instrument)


cdef void book_remove(Market* market, uint32_t slot) noexcept nogil:
    cdef Order* order = &market.orders[slot]
    cdef uint32_t fold = order.traits & TRAIT_SELL
    count_slices(market, slot, False)
    market.instruments[order.instrument].sides[fold].total -= order.leaves
    unlink(market, &market.instruments[order.instrument].sides[fold], slot, fold == FOLD_BIDS)
    order.place = PLACE_NONE
    market.open_count -= 1
    touch(market, order.instrument)


cdef void book_reduce(Market* market, uint32_t slot, uint64_t leaves) noexcept nogil:
    cdef Order* order = &market.orders[slot]
    cdef Level* level = &market.levels[order.level]
    count_slices(market, slot, False)
    level.quantity -= order.visible
    level.hidden -= order.leaves - order.visible
    market.instruments[order.instrument].sides[order.traits & TRAIT_SELL].total -= order.leaves - leaves
    order.leaves = leaves
    order.visible = lesser(order.visible, leaves)
    level.quantity += order.visible
    level.hidden += order.leaves - order.visible
    count_slices(market, slot, True)
    touch(market, order.instrument)


# --- stops ----------------------------------------------------------------------------------------

cdef void stops_insert(Market* market, uint32_t slot) noexcept nogil:
    cdef Order* order = &market.orders[slot]
    cdef bint sell = order.traits & TRAIT_SELL
    cdef BookSide* side = &market.instruments[order.instrument].sides[FOLD_STOP_SELLS if sell else FOLD_STOP_BUYS]
    order.visible = order.leaves
    order.place = PLACE_STOPS
    side.orders += 1
    side.total += order.leaves
    append(market, level_require(market, side, market.details[slot].stop_price, sell), slot)
    count_slices(market, slot, True)
    market.open_count += 1


cdef void stops_remove(Market* market, uint32_t slot) noexcept nogil:
    cdef Order* order = &market.orders[slot]
    cdef bint sell = order.traits & TRAIT_SELL
    cdef BookSide* side = &market.instruments[order.instrument].sides[FOLD_STOP_SELLS if sell else FOLD_STOP_BUYS]
    count_slices(market, slot, False)
    side.total -= order.leaves
    unlink(market, side, slot, sell)
    order.place = PLACE_NONE
    market.open_count -= 1


cdef uint32_t stops_triggered(Market* market, uint32_t instrument_slot) noexcept nogil:
    cdef Instrument* instrument = &market.instruments[instrument_slot]
    cdef uint32_t found = NONE
    cdef uint32_t level, slot
    if instrument.last_price == 0:
        return NONE
    level = instrument.sides[FOLD_STOP_BUYS].best
    while level != NONE and market.levels[level].price <= instrument.last_price:
        slot = market.levels[level].first
        while slot != NONE:
            found = slot if slot < found else found
            slot = market.orders[slot].next
        level = level_from(market, &instrument.sides[FOLD_STOP_BUYS], <uint64_t>market.levels[level].price + 1, False)
    level = instrument.sides[FOLD_STOP_SELLS].best
    while level != NONE and market.levels[level].price >= instrument.last_price:
        slot = market.levels[level].first
        while slot != NONE:
            found = slot if slot < found else found
            slot = market.orders[slot].next
        level = level_from(market, &instrument.sides[FOLD_STOP_SELLS], <uint64_t>market.levels[level].price - 1, True)
    return found


# --- matching -------------------------------------------------------------------------------------

cdef inline bint beyond(uint32_t price, uint32_t limit, bint taker_sells) noexcept nogil:
    """Whether a resting price is worse than the taker's limit."""
    return price < limit if taker_sells else price > limit


cdef inline uint32_t median(uint32_t a, uint32_t b, uint32_t c) noexcept nogil:
    if a > b:
        a, b = b, a
    return a if c < a else (b if c > b else c)


cdef inline uint32_t traded_at(const Instrument* instrument, uint32_t price, uint32_t limit) noexcept nogil:
    """The price of a trade between a resting price and a taker's limit."""
    if likely(not instrument.flags & INSTRUMENT_MEDIAN_PRICE) or instrument.last_price == 0:
        return price
    return median(price, limit, instrument.last_price)


cdef inline bint breaks(const Instrument* instrument, uint32_t price) noexcept nogil:
    cdef uint64_t reference = instrument.breaker_price
    cdef uint64_t distance
    if instrument.circuit_breaker_ppm == 0 or reference == 0:
        return False
    distance = price - reference if price > reference else reference - price
    return distance * 1000000 > reference * instrument.circuit_breaker_ppm      # 30 bits times 20


cdef bint prevent(Market* market, uint32_t taker_slot, uint32_t maker_slot, const Venue* venue, Match* match) noexcept nogil:
    """Self-trade prevention between two orders of one account; whether what is left of the taker is to be canceled."""
    cdef Order* taker = &market.orders[taker_slot]
    cdef Order* maker = &market.orders[maker_slot]
    cdef uint32_t mode = (taker.traits & TRAIT_STP) >> TRAIT_STP_SHIFT
    cdef uint64_t less
    if mode == STP_CANCEL_OLDEST or mode == STP_CANCEL_BOTH:
        venue.cancel(venue.context, maker_slot, REASON_SELF_TRADE)
    if mode == STP_DECREMENT:
        less = lesser(taker.leaves, maker.leaves)
        taker.leaves -= less
        match.decremented += less
        venue.restated(venue.context, taker_slot, less)
        if maker.leaves == less:
            venue.cancel(venue.context, maker_slot, REASON_SELF_TRADE)
        else:
            market.details[maker_slot].quantity -= less
            book_reduce(market, maker_slot, maker.leaves - less)
            venue.restated(venue.context, maker_slot, less)
        if taker.leaves:
            return False
    match.reason = REASON_SELF_TRADE
    return mode != STP_CANCEL_OLDEST


cdef void used_up(Market* market, BookSide* side, uint32_t slot, bint descending, const Venue* venue) noexcept nogil:
    """Nothing of the order is visible any more: it is filled, or shows its next slice at the end of the queue."""
    cdef Order* order = &market.orders[slot]
    cdef Instrument* instrument = &market.instruments[order.instrument]
    cdef uint32_t level
    if order.leaves == 0:
        unlink(market, side, slot, descending)
        market.slices -= 1
        instrument.slices -= 1
        order.place = PLACE_NONE
        market.open_count -= 1
        return
    level = order.level
    if market.levels[level].count > 1:
        unlink(market, side, slot, descending)
        side.orders += 1
        order.visible = shown(market, slot)
        append(market, level, slot)
    else:
        order.visible = shown(market, slot)
        market.levels[level].hidden -= order.visible
        market.levels[level].quantity += order.visible
    venue.restated(venue.context, slot, 0)


cdef uint32_t book_match(Market* market, uint32_t taker_slot, uint32_t limit, const Venue* venue, Match* match) noexcept nogil:
    cdef Order* taker = &market.orders[taker_slot]
    cdef Order* maker
    cdef Level* level
    cdef Instrument* instrument = &market.instruments[taker.instrument]
    cdef bint taker_sells = taker.traits & TRAIT_SELL
    cdef BookSide* side = &instrument.sides[FOLD_BIDS if taker_sells else FOLD_ASKS]
    cdef bint prevents = taker.traits & TRAIT_STP != 0
    cdef uint64_t quantity
    cdef uint32_t maker_slot, price, outcome
    if side.best == NONE:
        return ENDING_DONE
    touch(market, taker.instrument)
    while taker.leaves and side.best != NONE:
        level = &market.levels[side.best]
        if beyond(level.price, limit, taker_sells):
            break
        maker_slot = level.first
        maker = &market.orders[maker_slot]
        if unlikely(prevents and maker.position == taker.position):
            if prevent(market, taker_slot, maker_slot, venue, match):
                return ENDING_CANCEL
            continue
        price = traded_at(instrument, level.price, limit)
        if unlikely(breaks(instrument, price)):
            return ENDING_BREAKER
        quantity = lesser(taker.leaves, maker.visible)
        if maker.next != NONE:
            prefetch_write(&market.orders[maker.next])
        outcome = venue.fill(venue.context, maker_slot, taker_slot, price, quantity, &match.reason)
        if unlikely(outcome != FILL_DONE):
            if outcome == FILL_TAKER_FAILED:
                return ENDING_CANCEL
            venue.cancel(venue.context, maker_slot, match.reason)
            continue
        taker.leaves -= quantity
        taker.filled += quantity
        taker.status = ORDER_PARTIALLY_FILLED if taker.leaves else ORDER_FILLED
        if unlikely(maker.traits & TRAIT_ICEBERG):
            count_slices(market, maker_slot, False)
        maker.leaves -= quantity
        maker.visible -= quantity
        maker.filled += quantity
        maker.status = ORDER_PARTIALLY_FILLED if maker.leaves else ORDER_FILLED
        level.quantity -= quantity
        side.total -= quantity
        if unlikely(maker.traits & TRAIT_ICEBERG):
            count_slices(market, maker_slot, True)
        instrument.last_price = price
        match.trades += 1
        if maker.visible == 0:
            used_up(market, side, maker_slot, taker_sells, venue)
    return ENDING_DONE


cdef bint book_crosses(Market* market, uint32_t instrument_slot, bint sell, uint32_t limit) noexcept nogil:
    """Whether an order with this limit would meet anything."""
    cdef BookSide* side = &market.instruments[instrument_slot].sides[FOLD_BIDS if sell else FOLD_ASKS]
    return side.best != NONE and not beyond(market.levels[side.best].price, limit, sell)


cdef uint64_t ahead_of_own(Market* market, uint32_t level, uint32_t position, const Venue* venue) noexcept nogil:
    """What is visible, of ready orders, at the level in front of the position's own first one; -1 when it has none there."""
    cdef uint32_t slot = market.levels[level].first
    cdef uint64_t visible = 0
    while slot != NONE:
        if market.orders[slot].position == position:
            return visible
        if venue.ready(venue.context, slot):
            visible += market.orders[slot].visible
        slot = market.orders[slot].next
    return <uint64_t>-1


cdef uint64_t book_fillable(
    Market* market, uint32_t taker_slot, uint32_t limit, uint64_t quantity, const Venue* venue) noexcept nogil:
    cdef Order* taker = &market.orders[taker_slot]
    cdef Order* maker
    cdef Instrument* instrument = &market.instruments[taker.instrument]
    cdef bint taker_sells = taker.traits & TRAIT_SELL
    cdef BookSide* side = &instrument.sides[FOLD_BIDS if taker_sells else FOLD_ASKS]
    cdef uint32_t mode = (taker.traits & TRAIT_STP) >> TRAIT_STP_SHIFT
    cdef uint64_t found = 0
    cdef uint64_t ahead
    cdef uint32_t level = side.best
    cdef uint32_t slot
    while level != NONE and not beyond(market.levels[level].price, limit, taker_sells):
        if venue is not NULL and mode and mode != STP_CANCEL_OLDEST:
            # Matching ends at the first own order; slices that are still hidden come behind it.
            ahead = ahead_of_own(market, level, taker.position, venue)
            if ahead != <uint64_t>-1:
                if breaks(instrument, traded_at(instrument, market.levels[level].price, limit)):
                    return found
                return lesser(found + ahead, quantity)
        slot = market.levels[level].first
        while slot != NONE:
            maker = &market.orders[slot]
            if mode and maker.position == taker.position:
                slot = maker.next
                continue
            if venue is not NULL and breaks(instrument, traded_at(instrument, market.levels[level].price, limit)):
                return found        # looked at before whether the order is ready, as in book_match
            if venue is NULL or venue.ready(venue.context, slot):
                if maker.leaves >= quantity - found:
                    return quantity
                found += maker.leaves
            slot = maker.next
        level = level_from(market, side, <uint64_t>market.levels[level].price + (<uint64_t>-1 if taker_sells else 1), taker_sells)
    return found
