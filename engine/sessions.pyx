"""See `sessions.pxd`."""

from libc.stdint cimport uint64_t
from libc.string cimport memset

from engine._core.codes cimport NONE
from engine._core.digest cimport digest_mix
from engine._core.order_codes cimport *
from engine.listing cimport band_refresh
from engine.matching.auction cimport auction_price, auction_uncross
from engine.matching.book cimport book_crosses
from engine.matching.market cimport Market, instrument_find, ticks_of, touch, units_of
from engine.matching.records cimport *
from engine.orders cimport close_order, gather, run_stops, sort_slots
from engine.risk.exposure cimport exposures_end_day
from engine.settlement.day cimport end_holds, mark_positions, settlement_ticks
from engine.settlement.holds cimport order_hold


cdef inline uint64_t tick(Exchange* exchange) noexcept nogil:
    exchange.clearing.clock += 1
    return exchange.clearing.clock - 1


cdef bint crossed(Market* market, uint32_t slot) noexcept nogil:
    cdef Instrument* instrument = &market.instruments[slot]
    cdef uint32_t bid = instrument.sides[FOLD_BIDS].best
    return bid != NONE and book_crosses(market, slot, False, market.levels[bid].price)


cdef void release_filled(Exchange* exchange, uint32_t first) noexcept nogil:
    """Orders that the uncrossing has filled hold nothing any more; first: of its executions."""
    cdef uint32_t number, slot
    for number in range(first, exchange.clearing.execution_count):
        slot = exchange.clearing.executions[number].order
        if exchange.market.orders[slot].place == PLACE_NONE and exchange.market.orders[slot].held:
            order_hold(&exchange.clearing, slot, 0)
            exchange.market.details[slot].held_fees = 0


cdef void uncross(Exchange* exchange, uint32_t slot, OrderResult* result) noexcept nogil:
    """Until nothing crosses: orders whose accounts cannot settle leave the book on the way and change the balance."""
    cdef Market* market = &exchange.market
    cdef uint32_t first = exchange.clearing.execution_count
    cdef uint32_t price = 0
    cdef uint64_t quantity = 0
    while crossed(market, slot):
        auction_price(market, slot, &price, &quantity)
        quantity = auction_uncross(market, slot, price, &exchange.venue)
        result.cum_quantity += quantity
        if quantity:
            result.leaves_quantity = units_of(&market.instruments[slot], price)
    release_filled(exchange, first)


cdef void change_session(Exchange* exchange, uint32_t slot, uint32_t state, uint32_t flags, OrderResult* result) noexcept nogil:
    cdef Instrument* instrument = &exchange.market.instruments[slot]
    cdef uint32_t before = instrument.session
    instrument.session = <uint16_t>state
    instrument.session_flags = <uint16_t>(flags if state == SESSION_AUCTION else 0)
    touch(&exchange.market, slot)
    if (before == SESSION_AUCTION and state != SESSION_AUCTION) or state == SESSION_CONTINUOUS:
        uncross(exchange, slot, result)


cdef void set_session(Exchange* exchange, const SessionCommand* command, OrderResult* result) noexcept nogil:
    cdef uint32_t slot = instrument_find(&exchange.market, &command.symbol_0)
    memset(result, 0, sizeof(OrderResult))
    result.timestamp = tick(exchange)
    result.status = ORDER_REJECTED
    if slot == NONE:
        result.reason = REASON_UNKNOWN_INSTRUMENT
        return
    change_session(exchange, slot, command.state, command.flags, result)
    run_stops(exchange, slot)
    result.status = ORDER_DONE
    digest_mix(exchange.ledger, result.timestamp, <uint64_t>slot << 32 | command.state << 8 | command.flags)


cdef uint32_t check_day(Exchange* exchange, const DayCommand* commands, uint32_t count) noexcept nogil:
    cdef uint32_t index, slot
    if count == 0 or (exchange.clearing.business_date and commands[0].business_date <= exchange.clearing.business_date):
        return REASON_DATE_NOT_LATER
    for index in range(1, count):
        slot = instrument_find(&exchange.market, &commands[index].symbol_0)
        if slot == NONE:
            return REASON_UNKNOWN_INSTRUMENT
        if ticks_of(&exchange.market.instruments[slot], commands[index].price) == 0:
            return REASON_PRICE_NOT_ON_TICK
    return REASON_NONE


cdef void expire_day_orders(Exchange* exchange) noexcept nogil:
    cdef Market* market = &exchange.market
    cdef uint32_t count = 0
    cdef uint32_t slot, index
    for slot in range(market.instrument_count):
        count = gather(exchange, slot, count)
    sort_slots(exchange.scratch, count)
    for index in range(count):
        slot = exchange.scratch[index]
        if (market.orders[slot].traits & TRAIT_TIF) >> TRAIT_TIF_SHIFT == TIF_DAY:
            close_order(exchange, slot, ORDER_EXPIRED, EXECUTION_EXPIRED, REASON_END_OF_DAY, tick(exchange))


cdef void settle_prices(Exchange* exchange, const DayCommand* commands, uint32_t count) noexcept nogil:
    """New reference prices: the one given, else the day's average (futures) or last price (spot), if there was a trade."""
    cdef Market* market = &exchange.market
    cdef Instrument* instrument
    cdef uint32_t slot, index, ticks
    for slot in range(market.instrument_count):
        instrument = &market.instruments[slot]
        ticks = 0
        if instrument.volume:
            ticks = settlement_ticks(instrument) if instrument.flags & INSTRUMENT_FUTURES else instrument.last_price
            if ticks == 0:
                ticks = 1
        if ticks:
            instrument.reference_price = units_of(instrument, ticks)
    for index in range(1, count):
        slot = instrument_find(market, &commands[index].symbol_0)
        market.instruments[slot].reference_price = commands[index].price


cdef void begin_day(Instrument* instrument) noexcept nogil:
    instrument.volume = instrument.turnover = 0
    instrument.open_price = instrument.high_price = instrument.low_price = 0
    instrument.breaker_price = ticks_of(instrument, instrument.reference_price)
    band_refresh(instrument)


cdef void end_of_day(Exchange* exchange, const DayCommand* commands, uint32_t count, OrderResult* result) noexcept nogil:
    cdef Market* market = &exchange.market
    cdef uint32_t slot
    cdef OrderResult uncrossed
    memset(result, 0, sizeof(OrderResult))
    memset(&uncrossed, 0, sizeof(OrderResult))
    result.timestamp = tick(exchange)
    result.reason = <uint16_t>check_day(exchange, commands, count)
    result.status = ORDER_REJECTED if result.reason else ORDER_DONE
    digest_mix(exchange.ledger, result.timestamp, <uint64_t>commands[0].business_date << 8 | result.reason)
    if result.reason:
        return
    for slot in range(market.instrument_count):
        change_session(exchange, slot, SESSION_CLOSED, 0, &uncrossed)
    expire_day_orders(exchange)
    end_holds(&exchange.clearing)
    settle_prices(exchange, commands, count)
    mark_positions(&exchange.clearing)
    for slot in range(market.instrument_count):
        begin_day(&market.instruments[slot])
    exposures_end_day(&exchange.risk)
    exchange.clearing.business_date = commands[0].business_date
