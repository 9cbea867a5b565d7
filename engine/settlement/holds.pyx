"""See `holds.pxd`."""

from engine._core.order_codes cimport INSTRUMENT_FUTURES
from engine.matching.market cimport ticks_of
from engine.matching.records cimport OrderDetail, TRAIT_SELL
from engine.settlement.arithmetic cimport TOO_LARGE, notional, ppm_of


cdef uint64_t margin_of(const Instrument* instrument, uint32_t ticks, uint64_t quantity, uint32_t ppm) noexcept nogil:
    """Margin of a quantity at a price; TOO_LARGE from 2^63 on."""
    cdef uint64_t value
    if ppm == 0 or quantity == 0:
        return 0
    value = notional(instrument, ticks, quantity)
    return value if value == TOO_LARGE else ppm_of(value, ppm)


cdef uint32_t payer_of(Clearing* clearing, uint32_t slot) noexcept nogil:
    cdef Order* order = &clearing.market.orders[slot]
    cdef Position* position = &clearing.positions[order.position]
    if order.traits & TRAIT_SELL and not clearing.market.instruments[order.instrument].flags & INSTRUMENT_FUTURES:
        return position.base_holding
    return position.quote_holding


cdef bint need_of(Clearing* clearing, uint32_t slot, uint64_t leaves, uint64_t closing, Need* need) noexcept nogil:
    cdef Order* order = &clearing.market.orders[slot]
    cdef OrderDetail* detail = &clearing.market.details[slot]
    cdef Instrument* instrument = &clearing.market.instruments[order.instrument]
    cdef uint64_t value, fees, rest, margin
    cdef uint32_t rate, reference
    need.amount = leaves
    need.fees = 0
    if order.traits & TRAIT_SELL and not instrument.flags & INSTRUMENT_FUTURES:
        return True
    need.amount = 0
    if leaves == 0:
        return True
    value = notional(instrument, order.price, leaves)
    if value == TOO_LARGE:
        return False
    if instrument.taker_fee_ppm | instrument.maker_fee_ppm | instrument.transfer_fee_ppm or instrument.minimum_fee:
        rate = instrument.taker_fee_ppm if instrument.taker_fee_ppm > instrument.maker_fee_ppm else instrument.maker_fee_ppm
        rest = ppm_of(value, rate)
        fees = detail.commission_exact + rest
        if fees < instrument.minimum_fee:
            fees = instrument.minimum_fee
        need.fees = fees - detail.commission + ppm_of(value, instrument.transfer_fee_ppm)
    if instrument.flags & INSTRUMENT_FUTURES:
        reference = ticks_of(instrument, instrument.reference_price)
        margin = margin_of(
            instrument, reference if reference else order.price, leaves - closing, instrument.initial_margin_ppm)
        if margin == TOO_LARGE:
            return False
        value = margin
    need.amount = value + need.fees         # both far below 2^63, or their sum shows it
    return need.amount <= <uint64_t>0x7FFFFFFFFFFFFFFF


cdef void hold_refresh(Clearing* clearing, uint32_t slot) noexcept nogil:
    cdef Holding* holding = &clearing.holdings[slot]
    cdef uint64_t pending = (holding.held if holding.held > holding.proceeds else holding.proceeds) + holding.bought
    if pending == holding.pending:
        return
    clearing.ledger.accounts[holding.account].debits_pending += pending - holding.pending
    clearing.ledger.accounts[holding.clearing].credits_pending += pending - holding.pending
    holding.pending = pending


cdef void order_hold(Clearing* clearing, uint32_t slot, uint64_t amount) noexcept nogil:
    cdef Order* order = &clearing.market.orders[slot]
    cdef uint32_t payer
    if amount == order.held:
        return
    payer = payer_of(clearing, slot)
    clearing.holdings[payer].held += amount - order.held
    if not (order.traits & TRAIT_SELL) or clearing.market.instruments[order.instrument].flags & INSTRUMENT_FUTURES:
        clearing.positions[order.position].open_held += amount - order.held
    order.held = amount
    hold_refresh(clearing, payer)
