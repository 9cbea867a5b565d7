"""See `day.pxd`."""

from libc.stdint cimport uint64_t

from engine._core.order_codes cimport CODE_VARIATION_MARGIN, INSTRUMENT_FUTURES
from engine.matching.market cimport ticks_of
from engine.settlement.arithmetic cimport TOO_LARGE, notional
from engine.settlement.fills cimport settle_result
from engine.settlement.holds cimport available, hold_refresh, margin_of
from engine.settlement.records cimport Position

cdef extern from *:
    """
    /* turnover * scale / (volume * size * tick), to the nearest, a half up */
    static inline uint64_t tb_average(uint64_t turnover, uint64_t scale, uint64_t volume, uint64_t size, uint64_t tick) {
        unsigned __int128 above = (unsigned __int128)turnover * scale;
        unsigned __int128 below = (unsigned __int128)volume * size;
        unsigned __int128 ticks;
        if (below == 0 || below > ((unsigned __int128)-1) / tick / 4)
            return 0;
        below *= tick;
        ticks = above / below + (2 * (above % below) >= below);
        return ticks > 0x3FFFFFFF ? 0 : (uint64_t)ticks;
    }
    """
    uint64_t average_ticks "tb_average"(
        uint64_t turnover, uint64_t scale, uint64_t volume, uint64_t size, uint64_t tick) noexcept nogil

cdef enum:
    LEG_VARIATION = 8


cdef void end_holds(Clearing* clearing) noexcept nogil:
    cdef uint32_t slot
    for slot in range(clearing.holding_count):
        if clearing.holdings[slot].proceeds or clearing.holdings[slot].bought:
            clearing.holdings[slot].proceeds = clearing.holdings[slot].bought = 0
            hold_refresh(clearing, slot)


cdef uint32_t settlement_ticks(const Instrument* instrument) noexcept nogil:
    return <uint32_t>average_ticks(
        instrument.turnover, instrument.price_scale, instrument.volume, instrument.contract_size, instrument.tick_size)


cdef void result_of(const Instrument* instrument, const Position* position, uint64_t* profit, uint64_t* loss) noexcept nogil:
    """Of a position at the instrument's reference price; nothing where a value would be 2^63 or more."""
    cdef uint32_t ticks = ticks_of(instrument, instrument.reference_price)
    cdef uint64_t long_value = notional(instrument, ticks, position.long_quantity)
    cdef uint64_t short_value = notional(instrument, ticks, position.short_quantity)
    cdef uint64_t gained, lost
    profit[0] = loss[0] = 0
    if ticks == 0 or long_value == TOO_LARGE or short_value == TOO_LARGE:
        return
    gained = long_value + position.short_basis
    lost = short_value + position.long_basis
    if gained > lost:
        profit[0] = gained - lost
    else:
        loss[0] = lost - gained


cdef void mark_basis(const Instrument* instrument, Position* position) noexcept nogil:
    cdef uint32_t ticks = ticks_of(instrument, instrument.reference_price)
    cdef uint64_t long_value = notional(instrument, ticks, position.long_quantity)
    cdef uint64_t short_value = notional(instrument, ticks, position.short_quantity)
    if ticks == 0 or long_value == TOO_LARGE or short_value == TOO_LARGE:
        return
    position.long_basis = long_value
    position.short_basis = short_value


cdef void take_margin(Clearing* clearing, const Instrument* instrument, Position* position) noexcept nogil:
    """As much of the initial margin as there are funds for."""
    cdef uint32_t ticks = ticks_of(instrument, instrument.reference_price)
    cdef uint64_t wanted, funds
    if ticks == 0:
        return
    wanted = margin_of(instrument, ticks, position.long_quantity + position.short_quantity, instrument.initial_margin_ppm)
    funds = available(clearing, position.quote_holding)
    position.margin = wanted if wanted < funds else funds
    clearing.holdings[position.quote_holding].held += position.margin
    hold_refresh(clearing, position.quote_holding)


cdef void mark_positions(Clearing* clearing) noexcept nogil:
    cdef Position* position
    cdef Instrument* instrument
    cdef uint64_t profit, loss, owed
    cdef uint32_t slot, turn
    for turn in range(4):
        for slot in range(clearing.position_count):
            position = &clearing.positions[slot]
            instrument = &clearing.market.instruments[position.instrument]
            if not instrument.flags & INSTRUMENT_FUTURES:
                continue
            # A bust may leave a basis behind where nothing is held any more: that is a result, too.
            if (position.long_quantity | position.short_quantity | position.shortfall | position.long_basis
                    | position.short_basis) == 0:
                continue
            if turn == 0:               # margin is free to pay with
                if ticks_of(instrument, instrument.reference_price):
                    clearing.holdings[position.quote_holding].held -= position.margin
                    position.margin = 0
                    hold_refresh(clearing, position.quote_holding)
            elif turn == 1:             # what could not be paid before is tried again
                result_of(instrument, position, &profit, &loss)
                owed = position.shortfall
                if loss + owed > profit:
                    position.shortfall = 0
                    settle_result(
                        clearing, slot, 0, loss + owed - profit, 0, LEG_VARIATION, CODE_VARIATION_MARGIN, CODE_VARIATION_MARGIN, 0)
                    mark_basis(instrument, position)
            elif turn == 2:             # those that have been marked have no profit any more
                result_of(instrument, position, &profit, &loss)
                if profit:
                    settle_result(
                        clearing, slot, profit, 0, 0, LEG_VARIATION, CODE_VARIATION_MARGIN, CODE_VARIATION_MARGIN, 0)
                mark_basis(instrument, position)        # also when both sides' results have cancelled each other out
                position.long_today = position.short_today = 0
            else:
                take_margin(clearing, instrument, position)
