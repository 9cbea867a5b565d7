"""See `exposure.pxd`, and docs/RISK.md for what the figures mean."""

from engine._core.codes cimport NONE
from engine._core.order_codes cimport INSTRUMENT_FUTURES
from engine._core.records cimport Account
from engine._core.risk_records cimport Exposure
from engine.matching.market cimport ticks_of
from engine.matching.records cimport Order, TRAIT_SELL
from engine.risk.records cimport GROUP_NEUTRAL, PositionRisk
from engine.settlement.arithmetic cimport TOO_LARGE, notional, part_of
from engine.settlement.records cimport Position

cdef enum:
    SECOND = 1000000000
    MOVED = 0xFFFFFFFF              # as Group.marked: some of the instrument's positions have another mark

cdef extern from *:
    """
    #define TB_VALUE_MAX ((int64_t)1 << 56)
    """
    const int64_t VALUE_MAX "TB_VALUE_MAX"


# --- arithmetic ---------------------------------------------------------------------------------------

cdef inline int64_t converted(uint64_t amount, int64_t rate) noexcept nogil:
    """An amount of the quote ledger in the risk currency; VALUE_MAX + 1 when it is more than VALUE_MAX."""
    if rate != 1000000:
        amount = part_of(amount, <uint64_t>rate, 1000000)
    return <int64_t>amount if amount <= <uint64_t>VALUE_MAX else VALUE_MAX + 1


cdef inline int64_t clamped(int64_t amount, int64_t rate) noexcept nogil:
    """A signed amount in the risk currency, its magnitude at most VALUE_MAX."""
    cdef int64_t value = converted(<uint64_t>(amount if amount >= 0 else -amount), rate)
    if value > VALUE_MAX:
        value = VALUE_MAX
    return value if amount >= 0 else -value


cdef inline int64_t held_in(int64_t amount) noexcept nogil:
    """An amount of the quote ledger kept inside ±2^61, where sums of a few cannot overflow."""
    cdef int64_t most = <int64_t>1 << 61
    return most if amount > most else -most if amount < -most else amount


cdef inline uint64_t magnitude(int64_t amount) noexcept nogil:
    return <uint64_t>(amount if amount >= 0 else -amount)


cdef inline int64_t raw_value(const Instrument* instrument, uint32_t ticks, uint64_t quantity) noexcept nogil:
    """Notional, at most 2^61."""
    cdef uint64_t value = notional(instrument, ticks, quantity)
    return <int64_t>value if value < <uint64_t>1 << 61 else <int64_t>1 << 61


cdef int64_t value_of(Risk* risk, uint32_t instrument, uint32_t ticks, uint64_t quantity) noexcept nogil:
    cdef uint64_t value = notional(&risk.market.instruments[instrument], ticks, quantity)
    return VALUE_MAX + 1 if value == TOO_LARGE else converted(value, risk.instruments[instrument].limits.exposure_rate)


cdef uint32_t mark_of(const Instrument* instrument) noexcept nogil:
    cdef uint32_t ticks
    if instrument.open_price:               # there was a trade on this business day
        return instrument.last_price
    ticks = ticks_of(instrument, instrument.reference_price)
    return ticks if ticks else instrument.last_price


# --- sums of groups -----------------------------------------------------------------------------------

cdef void groups_of(Risk* risk, uint32_t position, Groups* groups) noexcept nogil:
    cdef Position* row = &risk.clearing.positions[position]
    groups.account = &risk.accounts[row.account]
    groups.desk = NULL if groups.account.desk == GROUP_NEUTRAL else &risk.named[groups.account.desk]
    groups.client = NULL if groups.account.client == GROUP_NEUTRAL else &risk.named[groups.account.client]
    groups.instrument = &risk.instruments[row.instrument]


cdef inline void add_open_to(Group* group, int64_t orders, int64_t buy, int64_t sell) noexcept nogil:
    if group is not NULL:
        group.exposure.open_orders += orders
        group.exposure.open_buy += buy
        group.exposure.open_sell += sell


cdef inline void add_open(Risk* risk, uint32_t position, int64_t orders, int64_t value, bint sell) noexcept nogil:
    cdef PositionRisk* row = &risk.positions[position]
    cdef int64_t buy = 0 if sell else value
    cdef Groups groups
    groups_of(risk, position, &groups)
    if sell:
        row.open_sell += value
    else:
        row.open_buy += value
    add_open_to(groups.account, orders, buy, value - buy)
    add_open_to(groups.desk, orders, buy, value - buy)
    add_open_to(groups.client, orders, buy, value - buy)
    add_open_to(groups.instrument, orders, buy, value - buy)


cdef inline void add_held_to(Group* group, const Exposure* change) noexcept nogil:
    if group is not NULL:
        group.exposure.long_value += change.long_value
        group.exposure.short_value += change.short_value
        group.exposure.realised += change.realised
        group.exposure.unrealised += change.unrealised


cdef inline void add_held(Risk* risk, uint32_t position, const PositionRisk* before) noexcept nogil:
    """What has changed in a position since `before` goes into the sums."""
    cdef PositionRisk* row = &risk.positions[position]
    cdef Exposure change
    cdef Groups groups
    change.long_value = (row.value if row.value > 0 else 0) - (before.value if before.value > 0 else 0)
    change.short_value = (-row.value if row.value < 0 else 0) - (-before.value if before.value < 0 else 0)
    change.realised = row.realised_value - before.realised_value
    change.unrealised = row.unrealised - before.unrealised
    groups_of(risk, position, &groups)
    add_held_to(groups.account, &change)
    add_held_to(groups.desk, &change)
    add_held_to(groups.client, &change)
    add_held_to(groups.instrument, &change)


cdef inline void add_traded_to(Group* group, int64_t value, int64_t trades) noexcept nogil:
    """Neither falls below 0: a bust may be of a trade that the sums do not know."""
    if group is not NULL:
        group.exposure.traded = group.exposure.traded + value if group.exposure.traded + value > 0 else 0
        group.exposure.trades = group.exposure.trades + trades if group.exposure.trades + trades > 0 else 0


cdef inline void add_traded(Risk* risk, uint32_t position, int64_t value, int64_t trades) noexcept nogil:
    cdef Groups groups
    groups_of(risk, position, &groups)
    add_traded_to(groups.account, value, trades)
    add_traded_to(groups.desk, value, trades)
    add_traded_to(groups.client, value, trades)
    add_traded_to(groups.instrument, value, trades)


# --- positions ----------------------------------------------------------------------------------------

cdef void mark(Risk* risk, uint32_t position, uint32_t ticks) noexcept nogil:
    """Value and unrealised result of a row at a mark price (0: none), and its realised result in the risk currency."""
    cdef PositionRisk* row = &risk.positions[position]
    cdef Instrument* instrument = &risk.market.instruments[risk.clearing.positions[position].instrument]
    cdef Group* group = &risk.instruments[risk.clearing.positions[position].instrument]
    cdef int64_t rate = group.limits.exposure_rate
    cdef int64_t raw
    if ticks == 0:
        raw = row.basis
    else:
        raw = raw_value(instrument, ticks, magnitude(row.quantity))
        if row.quantity < 0:
            raw = -raw
        if row.mark == 0:
            row.basis = raw
    row.mark = ticks
    if ticks != group.marked:
        group.marked = MOVED
    row.value = clamped(raw, rate)
    row.unrealised = clamped(held_in(raw - row.basis), rate)
    row.realised_value = clamped(row.realised, rate)


cdef void position_begin(Risk* risk, uint32_t position) noexcept nogil:
    """Positions are created one at a time; the first one of an account with a base account takes what that holds."""
    cdef Position* created
    cdef Position* other
    cdef PositionRisk* row
    cdef uint32_t slot
    while risk.position_count <= position:
        created = &risk.clearing.positions[risk.position_count]
        row = &risk.positions[risk.position_count]
        row.last_order = NONE
        if created.base_account != NONE and not risk.market.instruments[created.instrument].flags & INSTRUMENT_FUTURES:
            row.owns = 1
            slot = created.previous_of_account
            while slot != NONE:
                other = &risk.clearing.positions[slot]
                if other.base_account == created.base_account and risk.positions[slot].owns:
                    row.owns = 0
                slot = other.previous_of_account
        risk.position_count += 1


cdef inline void take_over(Risk* risk, uint32_t position, uint32_t ticks) noexcept nogil:
    """What has been paid in or out of the base account by other than trades joins or leaves at the mark price."""
    cdef PositionRisk* row = &risk.positions[position]
    cdef Position* held = &risk.clearing.positions[position]
    cdef Account* account
    cdef int64_t now, raw
    if not row.owns:
        return
    account = &risk.clearing.ledger.accounts[held.base_account]
    now = <int64_t>account.credits_posted - <int64_t>account.debits_posted
    if now == row.quantity:
        return
    if ticks and row.mark:
        raw = raw_value(&risk.market.instruments[held.instrument], ticks, magnitude(now - row.quantity))
        row.basis = held_in(row.basis + (raw if now > row.quantity else -raw))
    row.quantity = now


cdef void position_touch(Risk* risk, uint32_t position) noexcept nogil:
    cdef PositionRisk before
    cdef uint32_t ticks = mark_of(&risk.market.instruments[risk.clearing.positions[position].instrument])
    if risk.position_count <= position:
        position_begin(risk, position)
    before = risk.positions[position]
    take_over(risk, position, ticks)
    if ticks == before.mark and risk.positions[position].quantity == before.quantity:
        return
    mark(risk, position, ticks)
    add_held(risk, position, &before)


cdef void trade_into(Risk* risk, uint32_t position, uint64_t quantity, uint64_t notional, bint sell) noexcept nogil:
    """A fill changes quantity, basis and realised result, at average cost."""
    cdef PositionRisk* row = &risk.positions[position]
    cdef uint64_t closed = 0
    cdef uint64_t closed_notional = 0
    cdef int64_t closed_basis
    cdef int64_t opened
    if row.quantity and (row.quantity > 0) == sell:
        closed = magnitude(row.quantity)
        if closed > quantity:
            closed = quantity
        closed_notional = part_of(notional, closed, quantity)
        # What has been paid out since at another price may have turned the sign of the basis.
        closed_basis = <int64_t>part_of(magnitude(row.basis), closed, magnitude(row.quantity))
        if row.basis < 0:
            closed_basis = -closed_basis
        row.basis -= closed_basis
        if sell:
            row.realised = held_in(row.realised + <int64_t>closed_notional - closed_basis)
            row.quantity -= <int64_t>closed
        else:
            row.realised = held_in(row.realised - closed_basis - <int64_t>closed_notional)
            row.quantity += <int64_t>closed
    if quantity > closed:
        opened = <int64_t>(notional - closed_notional)
        row.basis = held_in(row.basis + (-opened if sell else opened))
        row.quantity += -<int64_t>(quantity - closed) if sell else <int64_t>(quantity - closed)


# --- orders and fills ---------------------------------------------------------------------------------

cdef void order_opened(Risk* risk, uint32_t slot) noexcept nogil:
    cdef Order* order = &risk.market.orders[slot]
    order.reserved = risk.positions[order.position].last_order
    risk.positions[order.position].last_order = slot
    add_open(risk, order.position, 1, value_of(risk, order.instrument, order.price, order.leaves), order.traits & TRAIT_SELL)


cdef void order_closed(Risk* risk, uint32_t slot, uint64_t leaves) noexcept nogil:
    cdef Order* order = &risk.market.orders[slot]
    add_open(risk, order.position, -1, -value_of(risk, order.instrument, order.price, leaves), order.traits & TRAIT_SELL)


cdef void order_changed(Risk* risk, uint32_t slot, uint32_t ticks, uint64_t leaves) noexcept nogil:
    cdef Order* order = &risk.market.orders[slot]
    cdef int64_t change = (
        value_of(risk, order.instrument, order.price, order.leaves) - value_of(risk, order.instrument, ticks, leaves))
    if change:
        add_open(risk, order.position, 0, change, order.traits & TRAIT_SELL)


cdef void order_filled(Risk* risk, uint32_t slot, uint64_t quantity, uint64_t notional, uint64_t fees, uint32_t ticks) noexcept nogil:
    """Called before the book takes the quantity off the order."""
    cdef Order* order = &risk.market.orders[slot]
    cdef bint sell = order.traits & TRAIT_SELL
    cdef PositionRisk* row = &risk.positions[order.position]
    cdef PositionRisk before = row[0]
    cdef int64_t rate = risk.instruments[order.instrument].limits.exposure_rate
    cdef int64_t change = (
        value_of(risk, order.instrument, order.price, order.leaves - quantity)
        - value_of(risk, order.instrument, order.price, order.leaves))
    add_open(risk, order.position, -1 if order.leaves == quantity else 0, change, sell)
    if row.mark == 0:                       # its first mark makes the basis of what was there before
        mark(risk, order.position, ticks)
    trade_into(risk, order.position, quantity, notional, sell)
    row.realised = held_in(row.realised - <int64_t>fees)
    mark(risk, order.position, ticks)
    add_held(risk, order.position, &before)
    add_traded(risk, order.position, clamped(held_in(<int64_t>notional), rate), 1)


cdef void fill_undone(Risk* risk, uint32_t slot, uint64_t quantity, uint64_t notional, uint64_t fees, bint sell) noexcept nogil:
    """`sell`: the side of the order; what is undone goes the other way."""
    again(risk, slot, quantity, notional, -<int64_t>fees, not sell, -1)


cdef void fill_redone(Risk* risk, uint32_t slot, uint64_t quantity, uint64_t notional, uint64_t fees, bint sell) noexcept nogil:
    again(risk, slot, quantity, notional, <int64_t>fees, sell, 1)


cdef void again(Risk* risk, uint32_t slot, uint64_t quantity, uint64_t notional, int64_t fees, bint sell, int64_t trades) noexcept nogil:
    cdef Order* order = &risk.market.orders[slot]
    cdef PositionRisk* row = &risk.positions[order.position]
    cdef PositionRisk before = row[0]
    cdef int64_t value = clamped(held_in(<int64_t>notional), risk.instruments[order.instrument].limits.exposure_rate)
    trade_into(risk, order.position, quantity, notional, sell)
    row.realised = held_in(row.realised - fees)
    mark(risk, order.position, mark_of(&risk.market.instruments[order.instrument]))
    add_held(risk, order.position, &before)
    add_traded(risk, order.position, trades * value, trades)


# --- all of them ----------------------------------------------------------------------------------------

cdef void remark(Risk* risk, uint32_t instrument) noexcept nogil:
    cdef uint32_t ticks = mark_of(&risk.market.instruments[instrument])
    cdef uint32_t slot = risk.market.instruments[instrument].positions
    cdef PositionRisk before
    risk.instruments[instrument].marked = ticks
    while slot != NONE:
        if slot < risk.position_count and risk.positions[slot].mark != ticks:
            before = risk.positions[slot]
            mark(risk, slot, ticks)
            add_held(risk, slot, &before)
        slot = risk.clearing.positions[slot].previous_of_instrument


cdef void revalue(Risk* risk, uint64_t time) noexcept nogil:
    cdef uint32_t instrument
    if time < risk.state.next_revaluation or risk.instrument_count == 0:
        return
    risk.state.next_revaluation = time + SECOND
    for instrument in range(risk.instrument_count):
        if mark_of(&risk.market.instruments[instrument]) != risk.instruments[instrument].marked:
            remark(risk, instrument)


cdef inline void end_day_of(Exposure* exposure) noexcept nogil:
    exposure.realised = exposure.traded = exposure.messages = exposure.trades = 0
    exposure.second = exposure.second_messages = exposure.programme = 0


cdef void exposures_end_day(Risk* risk) noexcept nogil:
    """Positions stand at the settlement price, and the day's counts begin anew."""
    cdef uint32_t slot, ticks
    cdef PositionRisk before
    cdef PositionRisk* row
    if risk.clearing.position_count:
        position_begin(risk, risk.clearing.position_count - 1)
    for slot in range(risk.position_count):
        row = &risk.positions[slot]
        before = row[0]
        ticks = mark_of(&risk.market.instruments[risk.clearing.positions[slot].instrument])
        take_over(risk, slot, ticks)
        row.realised = 0
        row.mark = 0                        # the price is its first: it makes the basis
        mark(risk, slot, ticks)
        add_held(risk, slot, &before)
    for slot in range(risk.account_count):
        end_day_of(&risk.accounts[slot].exposure)
    for slot in range(risk.named_count):
        end_day_of(&risk.named[slot].exposure)
    for slot in range(risk.instrument_count):
        end_day_of(&risk.instruments[slot].exposure)
        risk.instruments[slot].marked = mark_of(&risk.market.instruments[slot])


cdef void rate_changed(Risk* risk, uint32_t instrument, const uint32_t* orders, uint32_t count, int64_t rate) noexcept nogil:
    """The new rate holds for what is open and held already. `orders`: all open ones of the instrument."""
    cdef uint32_t slot = risk.market.instruments[instrument].positions
    cdef uint32_t index
    cdef Order* order
    cdef PositionRisk before
    cdef bint sell
    for index in range(count):
        order = &risk.market.orders[orders[index]]
        add_open(risk, order.position, 0, -value_of(risk, instrument, order.price, order.leaves), order.traits & TRAIT_SELL)
    risk.instruments[instrument].limits.exposure_rate = rate
    for index in range(count):
        order = &risk.market.orders[orders[index]]
        add_open(risk, order.position, 0, value_of(risk, instrument, order.price, order.leaves), order.traits & TRAIT_SELL)
    while slot != NONE:
        if slot < risk.position_count:
            before = risk.positions[slot]
            mark(risk, slot, before.mark)
            add_held(risk, slot, &before)
        slot = risk.clearing.positions[slot].previous_of_instrument
