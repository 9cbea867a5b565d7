"""See `fills.pxd`.

A fill reads as in posting: first every check, each of which names a reason and whose fault it is; from the comment "must succeed" on,
assignments only.
"""

from libc.string cimport memset

from engine._core.codes cimport ACCOUNT_CLOSED, ACCOUNT_FROZEN, INT63_MAX, NONE
from engine._core.digest cimport digest_mix
from engine._core.native cimport likely, prefetch_write, unlikely
from engine._core.order_codes cimport *
from engine._core.posting cimport Generated, post_generated
from engine._core.records cimport Account
from engine.matching.book cimport FILL_DONE, FILL_MAKER_FAILED, FILL_TAKER_FAILED
from engine.matching.market cimport Market, ticks_of
from engine.matching.records cimport *
from engine.settlement.arithmetic cimport TOO_LARGE, notional, part_of, ppm_of
from engine.settlement.holds cimport available, hold_refresh, margin_of
from engine.settlement.records cimport Execution, Holding, Position, Trade

cdef enum:
    LEG_CASH = 1
    LEG_ASSET = 2
    LEG_BUY_FEE = 3
    LEG_SELL_FEE = 4
    LEG_DUTY = 5
    LEG_BUY_RESULT = 6
    LEG_SELL_RESULT = 7
    UNUSABLE = ACCOUNT_CLOSED | ACCOUNT_FROZEN

cdef struct Charge:                 # what a fill costs one side beside its value
    uint64_t commission             # by the rate alone
    uint64_t due                    # … charged now, with what the minimum asks for
    uint64_t transfer
    uint64_t duty


cdef inline uint64_t lesser(uint64_t a, uint64_t b) noexcept nogil:
    return a if a < b else b


# --- executions and legs ----------------------------------------------------------------------------

cdef uint32_t record_execution(
    Clearing* clearing, uint32_t slot, int kind, uint32_t reason, uint64_t timestamp) noexcept nogil:
    cdef Market* market = clearing.market
    cdef Order* order = &market.orders[slot]
    return note(clearing, slot, kind, reason, timestamp, order.leaves, order.filled, order.status, NONE)


cdef inline uint32_t note(
    Clearing* clearing, uint32_t slot, int kind, uint32_t reason, uint64_t timestamp, uint64_t leaves, uint64_t filled,
    uint32_t status, uint32_t trade) noexcept nogil:
    cdef Order* order = &clearing.market.orders[slot]
    cdef OrderDetail* detail = &clearing.market.details[slot]
    cdef uint32_t account = clearing.positions[order.position].account
    cdef uint32_t number = clearing.execution_count
    cdef Execution* execution = &clearing.executions[number]
    execution.timestamp = timestamp
    execution.batch = clearing.batch
    execution.leaves = leaves
    execution.filled = filled
    execution.quantity = detail.quantity
    execution.order = slot
    execution.trade = trade
    execution.price = order.price
    execution.previous = detail.execution_last
    execution.previous_of_account = clearing.accounts[account].execution_last
    execution.kind = <uint8_t>kind
    execution.status = <uint8_t>status
    execution.reason = <uint16_t>reason
    clearing.execution_count += 1
    detail.execution_last = number
    detail.updated = timestamp
    clearing.accounts[account].execution_last = number
    digest_mix(clearing.ledger, timestamp ^ leaves, filled ^ <uint64_t>(kind | reason << 8) << 40)
    return number


cdef void post_leg(
    Clearing* clearing, uint32_t instrument, uint64_t trade_id, uint32_t leg, uint32_t debit, uint32_t credit,
    uint64_t amount, uint32_t code, uint64_t order_id) noexcept nogil:
    cdef Generated transfer
    if amount == 0 or debit == credit:
        return
    transfer.leg = <uint16_t>leg
    transfer.user_data_128 = order_id
    transfer.user_data_64 = trade_id
    transfer.user_data_32 = instrument
    transfer.debit = debit
    transfer.credit = credit
    transfer.code = <uint16_t>code
    post_generated(clearing.ledger, &transfer, amount, clearing.clock)
    clearing.clock += 1


# --- checks -----------------------------------------------------------------------------------------

cdef inline bint overflows_credit(const Account* account, uint64_t amount) noexcept nogil:
    return account.credits_posted + account.credits_pending + amount > INT63_MAX


cdef inline bint overflows_debit(const Account* account, uint64_t amount) noexcept nogil:
    return account.debits_posted + account.debits_pending + amount > INT63_MAX


cdef uint32_t why_not(Clearing* clearing, uint32_t slot) noexcept nogil:
    """Why the accounts of an order do not let it settle, or REASON_NONE: nothing goes to or from a closed account, nothing from a frozen one."""
    cdef Order* order = &clearing.market.orders[slot]
    cdef Position* position = &clearing.positions[order.position]
    cdef Account* quote = &clearing.ledger.accounts[position.quote_account]
    cdef Account* base
    if clearing.market.instruments[order.instrument].flags & INSTRUMENT_FUTURES:
        base = quote
    else:
        base = &clearing.ledger.accounts[position.base_account]
    if (quote.flags | base.flags) & ACCOUNT_CLOSED:
        return REASON_ACCOUNT_CLOSED
    if (base if order.traits & TRAIT_SELL else quote).flags & ACCOUNT_FROZEN:
        return REASON_ACCOUNT_FROZEN
    return REASON_NONE


cdef bint order_ready(void* context, uint32_t slot) noexcept nogil:
    return why_not(<Clearing*>context, slot) == REASON_NONE


# --- fees -------------------------------------------------------------------------------------------

cdef inline void charge_of(
    const Instrument* instrument, const OrderDetail* detail, uint64_t value, bint maker, Charge* charge) noexcept nogil:
    """What the fill is to be charged, before anything limits it."""
    cdef uint64_t target
    charge.commission = ppm_of(value, instrument.maker_fee_ppm if maker else instrument.taker_fee_ppm)
    charge.transfer = ppm_of(value, instrument.transfer_fee_ppm)
    charge.duty = 0
    target = detail.commission_exact + charge.commission
    if target < instrument.minimum_fee:
        target = instrument.minimum_fee
    charge.due = target - detail.commission if target > detail.commission else 0


cdef inline void limit_charge(Charge* charge, uint64_t most) noexcept nogil:
    """Duty first, then the transfer fee, then commission: as far as `most` goes."""
    charge.duty = lesser(charge.duty, most)
    charge.transfer = lesser(charge.transfer, most - charge.duty)
    charge.due = lesser(charge.due, most - charge.duty - charge.transfer)


cdef inline uint64_t fees_needed(
    const Instrument* instrument, const OrderDetail* detail, const Charge* charge, uint64_t rest_value) noexcept nogil:
    """What the rest of an order needs for fees once `charge` has been charged."""
    cdef uint32_t rate
    cdef uint64_t target, charged
    if rest_value == 0:
        return 0
    rate = instrument.taker_fee_ppm if instrument.taker_fee_ppm > instrument.maker_fee_ppm else instrument.maker_fee_ppm
    target = detail.commission_exact + charge.commission + ppm_of(rest_value, rate)
    if target < instrument.minimum_fee:
        target = instrument.minimum_fee
    charged = detail.commission + charge.due
    return (target - charged if target > charged else 0) + ppm_of(rest_value, instrument.transfer_fee_ppm)


cdef inline void note_charge(OrderDetail* detail, const Charge* charge, uint64_t value) noexcept nogil:
    detail.turnover += value
    detail.commission += charge.due
    detail.commission_exact += charge.commission
    detail.charges += charge.transfer + charge.duty


# --- the day's statistics ---------------------------------------------------------------------------

cdef inline void count_trade(Instrument* instrument, uint32_t price, uint64_t quantity, uint64_t value, uint64_t timestamp) noexcept nogil:
    instrument.volume += quantity           # modulo 2^64: a statistic, no money
    instrument.turnover += value
    instrument.updated = timestamp
    if instrument.open_price == 0:
        instrument.open_price = instrument.high_price = instrument.low_price = price
    elif price > instrument.high_price:
        instrument.high_price = price
    elif price < instrument.low_price:
        instrument.low_price = price


cdef uint64_t rates_of(const Instrument* instrument, uint32_t taker_side) noexcept nogil:
    cdef uint64_t buyer = instrument.taker_fee_ppm if taker_side == SIDE_BUY else instrument.maker_fee_ppm
    cdef uint64_t seller = instrument.maker_fee_ppm if taker_side == SIDE_BUY else instrument.taker_fee_ppm
    return buyer | seller << 20 | <uint64_t>instrument.transfer_fee_ppm << 40


cdef inline Trade* new_trade(
    Clearing* clearing, uint32_t buy_slot, uint32_t sell_slot, uint32_t taker_side, uint32_t price, uint64_t quantity,
    uint64_t value) noexcept nogil:
    cdef Trade* trade = &clearing.trades[clearing.trade_count]
    memset(trade, 0, sizeof(Trade))
    trade.timestamp = clearing.clock
    trade.batch = clearing.batch
    trade.quantity = quantity
    trade.notional = value
    trade.price = price
    trade.buy_order = buy_slot
    trade.sell_order = sell_slot
    trade.transfer_first = clearing.ledger.transfer_count
    trade.instrument = clearing.market.orders[buy_slot].instrument
    trade.business_date = clearing.business_date
    trade.corrects = NONE
    trade.taker_side = <uint16_t>taker_side
    trade.rates = rates_of(&clearing.market.instruments[trade.instrument], taker_side)
    clearing.trade_count += 1
    clearing.clock += 1
    return trade


cdef inline void note_fill(Clearing* clearing, uint32_t slot, uint64_t quantity, uint64_t timestamp) noexcept nogil:
    """The execution of one side; the book changes the order right afterwards."""
    cdef Order* order = &clearing.market.orders[slot]
    cdef Position* position = &clearing.positions[order.position]
    cdef uint64_t leaves = order.leaves - quantity
    if order.traits & TRAIT_SELL:
        position.open_sell -= quantity
    else:
        position.open_buy -= quantity
    if leaves == 0:
        position.open_orders -= 1
        clearing.accounts[position.account].open_orders -= 1
        if order.traits & TRAIT_GUARDED:
            clearing.market.instruments[order.instrument].guarded -= 1
    note(
        clearing, slot, EXECUTION_FILL, REASON_NONE, timestamp, leaves, order.filled + quantity,
        ORDER_PARTIALLY_FILLED if leaves else ORDER_FILLED, clearing.trade_count - 1)


cdef inline uint32_t fault(bint makers, uint32_t why, uint16_t* reason) noexcept nogil:
    reason[0] = <uint16_t>why
    return FILL_MAKER_FAILED if makers else FILL_TAKER_FAILED


cdef uint32_t settle_fill(
    void* context, uint32_t maker, uint32_t taker, uint32_t price, uint64_t quantity, uint16_t* reason) noexcept nogil:
    cdef Clearing* clearing = <Clearing*>context
    cdef Instrument* instrument = &clearing.market.instruments[clearing.market.orders[taker].instrument]
    if instrument.flags & INSTRUMENT_FUTURES:
        return settle_futures(clearing, instrument, maker, taker, price, quantity, reason)
    return settle_spot(clearing, instrument, maker, taker, price, quantity, reason)


# --- spot -------------------------------------------------------------------------------------------

cdef uint32_t settle_spot(
    Clearing* clearing, Instrument* instrument, uint32_t maker_slot, uint32_t taker_slot, uint32_t price, uint64_t quantity,
    uint16_t* reason) noexcept nogil:
    cdef Market* market = clearing.market
    cdef bint taker_sells = market.orders[taker_slot].traits & TRAIT_SELL
    cdef uint32_t buy_slot = maker_slot if taker_sells else taker_slot
    cdef uint32_t sell_slot = taker_slot if taker_sells else maker_slot
    cdef Order* buy = &market.orders[buy_slot]
    cdef Order* sell = &market.orders[sell_slot]
    cdef OrderDetail* buy_detail = &market.details[buy_slot]
    cdef OrderDetail* sell_detail = &market.details[sell_slot]
    cdef Position* buyer = &clearing.positions[buy.position]
    cdef Position* seller = &clearing.positions[sell.position]
    cdef Account* accounts = clearing.ledger.accounts
    cdef Holding* cash = &clearing.holdings[buyer.quote_holding]
    cdef Holding* asset = &clearing.holdings[seller.base_holding]
    cdef uint64_t value, rest, cost, held, fees_held, release, income, spent
    cdef uint32_t why
    cdef Charge buy_charge, sell_charge
    cdef Trade* trade
    cdef uint64_t trade_id, timestamp

    if unlikely((accounts[buyer.quote_account].flags | accounts[buyer.base_account].flags
                 | accounts[seller.quote_account].flags | accounts[seller.base_account].flags) & UNUSABLE):
        why = why_not(clearing, maker_slot)     # looked at first
        if why:
            return fault(True, why, reason)
        why = why_not(clearing, taker_slot)
        if why:
            return fault(False, why, reason)
    value = notional(instrument, price, quantity)
    if unlikely(value == TOO_LARGE):
        return fault(False, REASON_OVERFLOW, reason)
    charge_of(instrument, buy_detail, value, not not taker_sells, &buy_charge)
    charge_of(instrument, sell_detail, value, not taker_sells, &sell_charge)
    limit_charge(&buy_charge, buy_detail.held_fees)
    sell_charge.duty = ppm_of(value, instrument.sell_duty_ppm)
    limit_charge(&sell_charge, value)
    cost = value + buy_charge.due + buy_charge.transfer

    # What the buyer's order still needs, and so what it releases.
    held = buy.held - buy_detail.held_fees
    fees_held = buy_detail.held_fees - buy_charge.due - buy_charge.transfer
    if unlikely(buy.traits & TRAIT_TYPE == TYPE_MARKET << TRAIT_TYPE_SHIFT):
        held -= lesser(held, value)
    else:
        rest = notional(instrument, buy.price, buy.leaves - quantity)
        held = rest
        fees_held = lesser(fees_held, fees_needed(instrument, buy_detail, &buy_charge, rest))
    release = buy.held - held - fees_held
    if unlikely(cost > release) and cost - release > available(clearing, buyer.quote_holding):
        return fault(not not taker_sells, REASON_INSUFFICIENT_FUNDS, reason)
    income = value - sell_charge.duty - sell_charge.transfer - sell_charge.due
    if unlikely(overflows_credit(&accounts[buyer.base_account], quantity)
                or overflows_debit(&accounts[buyer.quote_account], cost)):
        return fault(not not taker_sells, REASON_OVERFLOW, reason)
    if unlikely(overflows_credit(&accounts[seller.quote_account], value)
                or overflows_debit(&accounts[seller.quote_account], value)
                or overflows_debit(&accounts[seller.base_account], quantity)):
        return fault(not taker_sells, REASON_OVERFLOW, reason)
    if instrument.fee_account != NONE and unlikely(overflows_credit(&accounts[instrument.fee_account], value + cost)):
        return fault(False, REASON_OVERFLOW, reason)
    if instrument.flags & INSTRUMENT_T1 and unlikely(
            overflows_credit(&accounts[instrument.quote_clearing], value)
            or overflows_credit(&accounts[instrument.base_clearing], quantity)):
        return fault(False, REASON_OVERFLOW, reason)

    # From here on it must succeed.
    trade = new_trade(clearing, buy_slot, sell_slot, taker_sells, price, quantity, value)
    trade.buy_fee = buy_charge.due + buy_charge.transfer
    trade.sell_fee = sell_charge.due + sell_charge.transfer
    trade.duty = sell_charge.duty
    trade_id = clearing.trade_count
    timestamp = trade.timestamp

    buyer.open_held -= release
    buy.held -= release
    buy_detail.held_fees = fees_held
    note_charge(buy_detail, &buy_charge, value)
    # Within one account only the fees of both sides are paid.
    spent = lesser(
        cash.proceeds, cost if buyer.quote_account != seller.quote_account else cost - income)
    trade.buy_proceeds = spent
    cash.proceeds -= spent
    cash.held -= release
    sell.held -= quantity
    note_charge(sell_detail, &sell_charge, value)
    asset.held -= quantity
    if instrument.flags & INSTRUMENT_T1:
        if buyer.base_account != seller.base_account:
            clearing.holdings[buyer.base_holding].bought += quantity
        if buyer.quote_account != seller.quote_account:
            clearing.holdings[seller.quote_holding].proceeds += income
        hold_refresh(clearing, buyer.base_holding)
        hold_refresh(clearing, seller.quote_holding)
    hold_refresh(clearing, buyer.quote_holding)
    hold_refresh(clearing, seller.base_holding)

    post_leg(clearing, trade.instrument, trade_id, LEG_CASH, buyer.quote_account, seller.quote_account, value,
             CODE_TRADE_CASH, buy_slot + 1)
    post_leg(clearing, trade.instrument, trade_id, LEG_ASSET, seller.base_account, buyer.base_account, quantity,
             CODE_TRADE_ASSET, sell_slot + 1)
    if instrument.fee_account != NONE:
        post_leg(clearing, trade.instrument, trade_id, LEG_BUY_FEE, buyer.quote_account, instrument.fee_account,
                 trade.buy_fee, CODE_TRADE_FEE, buy_slot + 1)
        post_leg(clearing, trade.instrument, trade_id, LEG_SELL_FEE, seller.quote_account, instrument.fee_account,
                 trade.sell_fee, CODE_TRADE_FEE, sell_slot + 1)
        post_leg(clearing, trade.instrument, trade_id, LEG_DUTY, seller.quote_account, instrument.fee_account,
                 trade.duty, CODE_TRADE_DUTY, sell_slot + 1)
    trade.transfer_count = clearing.ledger.transfer_count - trade.transfer_first
    count_trade(instrument, price, quantity, value, timestamp)
    note_fill(clearing, maker_slot, quantity, timestamp)
    note_fill(clearing, taker_slot, quantity, timestamp)
    return FILL_DONE


# --- futures ----------------------------------------------------------------------------------------

cdef void spend(Clearing* clearing, uint32_t holding, uint64_t amount) noexcept nogil:
    """What is paid reduces the proceeds of the day first."""
    if clearing.holdings[holding].proceeds:
        clearing.holdings[holding].proceeds -= lesser(clearing.holdings[holding].proceeds, amount)
        hold_refresh(clearing, holding)


cdef void settle_result(
    Clearing* clearing, uint32_t position_slot, uint64_t profit, uint64_t loss, uint64_t trade_id, uint32_t leg,
    uint32_t code_profit, uint32_t code_loss, uint64_t order_id) noexcept nogil:
    cdef Position* position = &clearing.positions[position_slot]
    cdef uint32_t clearing_account = clearing.market.instruments[position.instrument].quote_clearing
    cdef uint64_t part
    if profit:
        part = lesser(profit, position.shortfall)
        position.shortfall -= part
        post_leg(clearing, position.instrument, trade_id, leg, clearing_account, position.quote_account, profit - part,
                 code_profit, order_id)
    if loss:
        part = lesser(loss, available(clearing, position.quote_holding))
        position.shortfall += loss - part
        spend(clearing, position.quote_holding, part)
        post_leg(clearing, position.instrument, trade_id, leg, position.quote_account, clearing_account, part,
                 code_loss, order_id)


cdef struct Leg:                    # one side of a futures fill
    uint64_t closes
    uint64_t basis                  # of what it closes
    uint64_t profit
    uint64_t loss
    Charge charge


cdef void plan_side(
    Clearing* clearing, const Instrument* instrument, uint32_t slot, uint32_t price, uint64_t quantity, uint64_t value,
    bint maker, Leg* side) noexcept nogil:
    cdef Order* order = &clearing.market.orders[slot]
    cdef OrderDetail* detail = &clearing.market.details[slot]
    cdef Position* position = &clearing.positions[order.position]
    cdef uint64_t closed_value
    memset(side, 0, sizeof(Leg))
    charge_of(instrument, detail, value, maker, &side.charge)
    limit_charge(&side.charge, detail.held_fees)
    side.closes = lesser(quantity, detail.closing)
    if side.closes == 0:
        return
    closed_value = value if side.closes == quantity else notional(instrument, price, side.closes)
    if order.traits & TRAIT_SELL:
        side.basis = part_of(position.long_basis, side.closes, position.long_quantity)
        side.profit = closed_value - side.basis if closed_value > side.basis else 0
        side.loss = side.basis - closed_value if side.basis > closed_value else 0
    else:
        side.basis = part_of(position.short_basis, side.closes, position.short_quantity)
        side.profit = side.basis - closed_value if side.basis > closed_value else 0
        side.loss = closed_value - side.basis if closed_value > side.basis else 0


cdef uint32_t check_side(
    Clearing* clearing, const Instrument* instrument, uint32_t slot, uint64_t value, const Leg* side) noexcept nogil:
    cdef Order* order = &clearing.market.orders[slot]
    cdef Position* position = &clearing.positions[order.position]
    cdef Account* account = &clearing.ledger.accounts[position.quote_account]
    cdef uint64_t fees = side.charge.due + side.charge.transfer
    cdef uint32_t why = why_not(clearing, slot)
    if why:
        return why
    if (overflows_credit(account, side.profit) or overflows_debit(account, side.loss + fees)
            or overflows_credit(&clearing.ledger.accounts[instrument.quote_clearing], side.loss)
            or overflows_debit(&clearing.ledger.accounts[instrument.quote_clearing], side.profit)
            or position.long_basis + value > INT63_MAX or position.short_basis + value > INT63_MAX
            or (instrument.fee_account != NONE and overflows_credit(&clearing.ledger.accounts[instrument.fee_account], fees))):
        return REASON_OVERFLOW
    return REASON_NONE


cdef void close_part(Position* position, const Leg* side, bint sell, bint today) noexcept nogil:
    cdef uint64_t earlier
    if sell:
        earlier = position.long_quantity - position.long_today
        position.long_today -= (
            lesser(side.closes, position.long_today) if today else (side.closes - earlier if side.closes > earlier else 0))
        position.long_quantity -= side.closes
        position.long_basis -= side.basis
        position.closing_long -= side.closes
    else:
        earlier = position.short_quantity - position.short_today
        position.short_today -= (
            lesser(side.closes, position.short_today) if today else (side.closes - earlier if side.closes > earlier else 0))
        position.short_quantity -= side.closes
        position.short_basis -= side.basis
        position.closing_short -= side.closes


cdef void apply_side(
    Clearing* clearing, Instrument* instrument, uint32_t slot, uint32_t price, uint64_t quantity, uint64_t value,
    const Leg* side) noexcept nogil:
    """Margin, position and the order's own account; results and fees are posted afterwards."""
    cdef Order* order = &clearing.market.orders[slot]
    cdef OrderDetail* detail = &clearing.market.details[slot]
    cdef Position* position = &clearing.positions[order.position]
    cdef Holding* holding = &clearing.holdings[position.quote_holding]
    cdef bint sell = order.traits & TRAIT_SELL
    cdef bint today = order.traits & TRAIT_OFFSET == OFFSET_CLOSE_TODAY << TRAIT_OFFSET_SHIFT
    cdef uint64_t opens = quantity - side.closes
    cdef uint64_t margin = order.held - detail.held_fees
    cdef uint64_t leaves = order.leaves - quantity
    cdef uint64_t closing = detail.closing - side.closes
    cdef uint64_t opened_value, freed, moved, rest, fees_held
    cdef uint32_t reference = ticks_of(instrument, instrument.reference_price)
    rest = margin_of(instrument, reference if reference else order.price, leaves - closing, instrument.initial_margin_ppm)
    moved = margin - rest if margin > rest else 0
    fees_held = lesser(
        detail.held_fees - side.charge.due - side.charge.transfer,
        fees_needed(instrument, detail, &side.charge, notional(instrument, order.price, leaves)))
    if side.closes:
        freed = part_of(position.margin, side.closes, position.long_quantity + position.short_quantity)
        close_part(position, side, sell, today)
        if position.long_quantity + position.short_quantity == 0:
            freed = position.margin
        position.margin -= freed
        holding.held -= freed
    if opens:
        opened_value = value if side.closes == 0 else value - notional(instrument, price, side.closes)
        if sell:
            position.short_quantity += opens
            position.short_today += opens
            position.short_basis += opened_value
        else:
            position.long_quantity += opens
            position.long_today += opens
            position.long_basis += opened_value
    position.margin += moved
    holding.held -= detail.held_fees - fees_held
    holding.proceeds -= lesser(holding.proceeds, side.charge.due + side.charge.transfer)
    position.open_held -= moved + detail.held_fees - fees_held
    order.held -= moved + detail.held_fees - fees_held
    detail.held_fees = fees_held
    detail.closing = closing
    note_charge(detail, &side.charge, value)
    hold_refresh(clearing, position.quote_holding)


cdef uint32_t settle_futures(
    Clearing* clearing, Instrument* instrument, uint32_t maker_slot, uint32_t taker_slot, uint32_t price, uint64_t quantity,
    uint16_t* reason) noexcept nogil:
    cdef Market* market = clearing.market
    cdef bint taker_sells = market.orders[taker_slot].traits & TRAIT_SELL
    cdef uint32_t buy_slot = maker_slot if taker_sells else taker_slot
    cdef uint32_t sell_slot = taker_slot if taker_sells else maker_slot
    cdef uint32_t buyer = market.orders[buy_slot].position
    cdef uint32_t seller = market.orders[sell_slot].position
    cdef uint64_t value = notional(instrument, price, quantity)
    cdef uint32_t why
    cdef Leg buy_side, sell_side
    cdef Trade* trade
    cdef uint64_t trade_id, timestamp
    if unlikely(value == TOO_LARGE):
        return fault(False, REASON_OVERFLOW, reason)
    plan_side(clearing, instrument, buy_slot, price, quantity, value, not not taker_sells, &buy_side)
    plan_side(clearing, instrument, sell_slot, price, quantity, value, not taker_sells, &sell_side)
    why = check_side(clearing, instrument, maker_slot, value, &buy_side if taker_sells else &sell_side)
    if unlikely(why):
        return fault(True, why, reason)
    why = check_side(clearing, instrument, taker_slot, value, &sell_side if taker_sells else &buy_side)
    if unlikely(why):
        return fault(False, why, reason)

    # From here on it must succeed.
    trade = new_trade(clearing, buy_slot, sell_slot, taker_sells, price, quantity, value)
    trade.buy_fee = buy_side.charge.due + buy_side.charge.transfer
    trade.sell_fee = sell_side.charge.due + sell_side.charge.transfer
    trade.buy_closed = buy_side.closes
    trade.buy_basis = buy_side.basis
    trade.sell_closed = sell_side.closes
    trade.sell_basis = sell_side.basis
    trade_id = clearing.trade_count
    timestamp = trade.timestamp
    apply_side(clearing, instrument, buy_slot, price, quantity, value, &buy_side)
    apply_side(clearing, instrument, sell_slot, price, quantity, value, &sell_side)
    if instrument.fee_account != NONE:
        post_leg(clearing, trade.instrument, trade_id, LEG_BUY_FEE, clearing.positions[buyer].quote_account,
                 instrument.fee_account, trade.buy_fee, CODE_TRADE_FEE, buy_slot + 1)
        post_leg(clearing, trade.instrument, trade_id, LEG_SELL_FEE, clearing.positions[seller].quote_account,
                 instrument.fee_account, trade.sell_fee, CODE_TRADE_FEE, sell_slot + 1)
    settle_result(clearing, buyer, buy_side.profit, buy_side.loss, trade_id, LEG_BUY_RESULT, CODE_REALISED_PROFIT,
                  CODE_REALISED_LOSS, buy_slot + 1)
    settle_result(clearing, seller, sell_side.profit, sell_side.loss, trade_id, LEG_SELL_RESULT, CODE_REALISED_PROFIT,
                  CODE_REALISED_LOSS, sell_slot + 1)
    trade.transfer_count = clearing.ledger.transfer_count - trade.transfer_first
    count_trade(instrument, price, quantity, value, timestamp)
    note_fill(clearing, maker_slot, quantity, timestamp)
    note_fill(clearing, taker_slot, quantity, timestamp)
    return FILL_DONE
