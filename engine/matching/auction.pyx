"""See `auction.pxd`.

What is offered up to a price and wanted from a price on changes only at prices of orders. So it is enough to look at these,
and at one price between each two neighbours: the one nearest to the reference.
"""

from engine._core.codes cimport NONE
from engine._core.order_codes cimport ORDER_FILLED, ORDER_PARTIALLY_FILLED
from engine.matching.book cimport FILL_DONE, FILL_MAKER_FAILED, book_reduce, book_remove
from engine.matching.levels cimport level_from
from engine.matching.market cimport ticks_of, touch
from engine.matching.records cimport *

cdef struct Best:
    uint64_t volume
    uint64_t surplus                # of what is bought over what is sold, or the other way round
    uint32_t distance               # from the reference
    uint32_t price


cdef void look(Best* best, uint32_t first, uint32_t last, uint64_t bought, uint64_t sold, uint32_t reference) noexcept nogil:
    """Prices first … last, at all of which so much would be bought and sold. Called with rising prices."""
    cdef uint64_t volume = bought if bought < sold else sold
    cdef uint64_t surplus = bought - sold if bought > sold else sold - bought
    cdef uint32_t price = first if reference <= first else (last if reference >= last else reference)
    cdef uint32_t distance = 0
    if reference:
        distance = price - reference if price > reference else reference - price
    if volume < best.volume:
        return
    if volume == best.volume and (surplus > best.surplus or (surplus == best.surplus and distance >= best.distance)):
        return
    best.volume = volume
    best.surplus = surplus
    best.distance = distance
    best.price = price


cdef uint64_t quantity_of(Market* market, uint32_t level) noexcept nogil:
    return 0 if level == NONE else market.levels[level].quantity + market.levels[level].hidden


cdef void auction_price(Market* market, uint32_t slot, uint32_t* price, uint64_t* quantity) noexcept nogil:
    cdef Instrument* instrument = &market.instruments[slot]
    cdef BookSide* bids = &instrument.sides[FOLD_BIDS]
    cdef BookSide* asks = &instrument.sides[FOLD_ASKS]
    cdef uint32_t reference, low, high, bid, ask, here, following
    cdef uint64_t sold = 0
    cdef uint64_t bought = 0
    cdef Best best
    price[0] = 0
    quantity[0] = 0
    if bids.best == NONE or asks.best == NONE:
        return
    low = market.levels[asks.best].price
    high = market.levels[bids.best].price
    if low > high:
        return
    reference = ticks_of(instrument, instrument.reference_price)
    if reference == 0:
        reference = instrument.last_price
    bid = bids.best
    while bid != NONE and market.levels[bid].price >= low:
        bought += quantity_of(market, bid)
        bid = level_from(market, bids, <uint64_t>market.levels[bid].price - 1, True)
    best.volume = 0
    best.surplus = <uint64_t>-1
    best.distance = <uint32_t>-1
    best.price = 0
    ask = asks.best
    bid = level_from(market, bids, low, False)
    here = low
    while True:
        if ask != NONE and market.levels[ask].price == here:
            sold += quantity_of(market, ask)
            ask = level_from(market, asks, <uint64_t>here + 1, False)
        look(&best, here, here, bought, sold, reference)
        if bid != NONE and market.levels[bid].price == here:
            bought -= quantity_of(market, bid)
            bid = level_from(market, bids, <uint64_t>here + 1, False)
        if here == high:
            break
        following = market.levels[bid].price        # there is one: high is a bid's
        if ask != NONE and market.levels[ask].price < following:
            following = market.levels[ask].price
        if following > here + 1:
            look(&best, here + 1, following - 1, bought, sold, reference)
        here = following
    price[0] = best.price
    quantity[0] = best.volume


cdef void take_from(Market* market, uint32_t slot, uint64_t quantity) noexcept nogil:
    """The order has traded so much; out of the book with it when that was all."""
    cdef Order* order = &market.orders[slot]
    order.filled += quantity
    if order.leaves == quantity:
        book_remove(market, slot)
        order.leaves = order.visible = 0
        order.status = ORDER_FILLED
        return
    # A slice that is left is what it was, or as much as there is.
    book_reduce(market, slot, order.leaves - quantity)
    order.status = ORDER_PARTIALLY_FILLED


cdef uint64_t auction_uncross(Market* market, uint32_t slot, uint32_t price, const Venue* venue) noexcept nogil:
    cdef Instrument* instrument = &market.instruments[slot]
    cdef BookSide* bids = &instrument.sides[FOLD_BIDS]
    cdef BookSide* asks = &instrument.sides[FOLD_ASKS]
    cdef uint32_t bid, ask, maker, taker, outcome
    cdef uint64_t quantity
    cdef uint64_t traded = 0
    cdef uint16_t reason = 0
    while (bids.best != NONE and asks.best != NONE
            and market.levels[bids.best].price >= price and market.levels[asks.best].price <= price):
        bid = market.levels[bids.best].first
        ask = market.levels[asks.best].first
        quantity = market.orders[bid].leaves
        if market.orders[ask].leaves < quantity:
            quantity = market.orders[ask].leaves
        maker = bid if bid < ask else ask
        taker = ask if bid < ask else bid
        outcome = venue.fill(venue.context, maker, taker, price, quantity, &reason)
        if outcome != FILL_DONE:
            venue.cancel(venue.context, maker if outcome == FILL_MAKER_FAILED else taker, reason)
            continue
        take_from(market, bid, quantity)
        take_from(market, ask, quantity)
        traded += quantity
        instrument.last_price = price
    if traded:
        instrument.breaker_price = price
        touch(market, slot)
    return traded
