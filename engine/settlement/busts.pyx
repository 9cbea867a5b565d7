"""See `busts.pxd`.

What each account gains and loses is summed first, over the reversed legs and, of a correction, the new ones; only when every account
can pay its sum is anything posted.
"""

from libc.string cimport memset

from engine._core.codes cimport ACCOUNT_CLOSED, ACCOUNT_FROZEN, INT63_MAX, NONE
from engine._core.order_codes cimport *
from engine._core.records cimport Account, Transfer
from engine.matching.market cimport ticks_of
from engine.matching.records cimport *
from engine.settlement.arithmetic cimport TOO_LARGE, notional, part_of, ppm_of
from engine.settlement.fills cimport post_leg, rates_of
from engine.settlement.holds cimport available, hold_refresh, margin_of
from engine.settlement.records cimport Holding, Position, Trade

cdef enum:
    LEGS_MAX = 8
    LEG_REVERSED = 16               # added to the leg's number
    RATE = 0xFFFFF                  # 20 bits of Trade.rates

cdef struct Flow:                   # of one account over all legs
    uint32_t account
    uint32_t reserved
    uint64_t out
    uint64_t back

cdef struct Flows:
    uint32_t count
    Flow flows[4 * LEGS_MAX]

cdef struct Leg:
    uint32_t number
    uint32_t debit
    uint32_t credit
    uint32_t code
    uint64_t amount
    uint64_t order_id

cdef struct Legs:
    uint32_t count
    Leg legs[LEGS_MAX]


cdef inline uint64_t lesser(uint64_t a, uint64_t b) noexcept nogil:
    return a if a < b else b


cdef Flow* flow_of(Flows* flows, uint32_t account) noexcept nogil:
    cdef uint32_t index
    for index in range(flows.count):
        if flows.flows[index].account == account:
            return &flows.flows[index]
    memset(&flows.flows[flows.count], 0, sizeof(Flow))
    flows.flows[flows.count].account = account
    flows.count += 1
    return &flows.flows[flows.count - 1]


cdef void add(Flows* flows, uint32_t debit, uint32_t credit, uint64_t amount) noexcept nogil:
    if debit != credit:
        flow_of(flows, debit).out += amount
        flow_of(flows, credit).back += amount


cdef uint64_t payable(Clearing* clearing, uint32_t account_slot) noexcept nogil:
    """What an account can pay in a bust: what its orders could hold, and what it bought today."""
    cdef uint32_t holding = clearing.ledger.details[account_slot].holding
    cdef Account* account = &clearing.ledger.accounts[account_slot]
    cdef uint64_t used
    if holding:
        return available(clearing, holding - 1) + clearing.holdings[holding - 1].bought
    used = account.debits_posted + account.debits_pending
    return account.credits_posted - used if account.credits_posted > used else 0


cdef uint32_t check_flows(Clearing* clearing, const Flows* flows, const Instrument* instrument) noexcept nogil:
    cdef uint32_t index, lacking
    cdef Account* account
    cdef const Flow* flow
    cdef uint32_t reason = REASON_NONE
    for index in range(flows.count):
        account = &clearing.ledger.accounts[flows.flows[index].account]
        if account.flags & ACCOUNT_CLOSED:
            return REASON_ACCOUNT_CLOSED
    for index in range(flows.count):
        flow = &flows.flows[index]
        account = &clearing.ledger.accounts[flow.account]
        if flow.out > flow.back and account.flags & ACCOUNT_FROZEN:
            return REASON_ACCOUNT_FROZEN
    for index in range(flows.count):
        flow = &flows.flows[index]
        account = &clearing.ledger.accounts[flow.account]
        if (account.debits_posted + account.debits_pending + flow.out > INT63_MAX
                or account.credits_posted + account.credits_pending + flow.back > INT63_MAX):
            return REASON_OVERFLOW
        if (flow.out > flow.back and flow.account != instrument.quote_clearing
                and flow.out - flow.back > payable(clearing, flow.account)):
            lacking = REASON_INSUFFICIENT_HOLDINGS
            if account.ledger == instrument.quote_ledger:
                lacking = REASON_INSUFFICIENT_FUNDS
            if reason == REASON_NONE or lacking == REASON_INSUFFICIENT_FUNDS:
                reason = lacking
    return reason


cdef void plan_leg(
    Legs* legs, Flows* flows, uint32_t number, uint32_t debit, uint32_t credit, uint64_t amount, uint32_t code,
    uint64_t order_id) noexcept nogil:
    cdef Leg* leg = &legs.legs[legs.count]
    if amount == 0 or debit == credit:
        return
    leg.number = number
    leg.debit = debit
    leg.credit = credit
    leg.code = code
    leg.amount = amount
    leg.order_id = order_id
    legs.count += 1
    add(flows, debit, credit, amount)


cdef uint64_t commission_of(const Instrument* instrument, const OrderDetail* detail, uint64_t value, bint maker, uint64_t* exact) noexcept nogil:
    """Of a corrected fill, as if it were the order's newest."""
    cdef uint64_t target
    exact[0] = ppm_of(value, instrument.maker_fee_ppm if maker else instrument.taker_fee_ppm)
    target = detail.commission_exact + exact[0]
    if target < instrument.minimum_fee:
        target = instrument.minimum_fee
    return target - detail.commission if target > detail.commission else 0


cdef void undo_order(Clearing* clearing, uint32_t slot, const Trade* trade) noexcept nogil:
    """The order's sums without the trade, at the rates of its time."""
    cdef OrderDetail* detail = &clearing.market.details[slot]
    cdef bint sell = clearing.market.orders[slot].traits & TRAIT_SELL
    cdef uint32_t rate = (trade.rates >> 20 if sell else trade.rates) & RATE
    cdef uint64_t transfer = lesser(
        ppm_of(trade.notional, <uint32_t>(trade.rates >> 40)), trade.sell_fee if sell else trade.buy_fee)
    cdef uint64_t commission = (trade.sell_fee if sell else trade.buy_fee) - transfer
    detail.turnover -= trade.notional
    detail.commission -= lesser(detail.commission, commission)
    detail.commission_exact -= lesser(detail.commission_exact, ppm_of(trade.notional, rate))
    detail.charges -= lesser(detail.charges, transfer + (trade.duty if sell else 0))


# --- futures: positions as they were ------------------------------------------------------------------

cdef bint can_undo_side(const Position* position, bint sell, uint64_t opened) noexcept nogil:
    if sell:
        return position.short_quantity - position.closing_short >= opened and position.short_today >= opened
    return position.long_quantity - position.closing_long >= opened and position.long_today >= opened


cdef void undo_side(
    Clearing* clearing, uint32_t position_slot, bint sell, uint64_t opened, uint64_t opened_value, uint64_t closed,
    uint64_t basis) noexcept nogil:
    cdef Position* position = &clearing.positions[position_slot]
    cdef uint64_t freed
    if opened:
        freed = part_of(position.margin, opened, position.long_quantity + position.short_quantity)
        position.margin -= freed
        clearing.holdings[position.quote_holding].held -= freed
        if sell:
            position.short_quantity -= opened
            position.short_today -= opened
            position.short_basis -= lesser(position.short_basis, opened_value)
        else:
            position.long_quantity -= opened
            position.long_today -= opened
            position.long_basis -= lesser(position.long_basis, opened_value)
    if closed:
        if sell:
            position.long_quantity += closed
            position.long_today += closed
            position.long_basis += basis
        else:
            position.short_quantity += closed
            position.short_today += closed
            position.short_basis += basis
    hold_refresh(clearing, position.quote_holding)


cdef uint32_t undo_trade(Clearing* clearing, uint64_t trade_id, uint64_t price, uint32_t* slot) noexcept nogil:
    cdef Trade* trade
    cdef Trade* corrected
    cdef Instrument* instrument
    cdef Transfer* transfer
    cdef Position* buyer
    cdef Position* seller
    cdef Holding* holding
    cdef Legs back, anew
    cdef Flows flows
    cdef bint futures, buy_makes
    cdef uint32_t ticks = 0
    cdef uint32_t index, reason, buyer_slot, seller_slot
    cdef uint64_t value = 0
    cdef uint64_t buy_fee = 0
    cdef uint64_t sell_fee = 0
    cdef uint64_t duty = 0
    cdef uint64_t transfer_fee = 0
    cdef uint64_t spent = 0
    cdef uint64_t income, income_now
    cdef uint64_t buy_exact = 0
    cdef uint64_t sell_exact = 0
    cdef uint64_t closed_value
    cdef OrderDetail buy_after, sell_after
    slot[0] = NONE
    if trade_id == 0 or trade_id > clearing.trade_count:
        return REASON_UNKNOWN_TRADE
    trade = &clearing.trades[trade_id - 1]
    if trade.state != TRADE_DONE:
        return REASON_TRADE_BUSTED
    if trade.business_date != clearing.business_date:
        return REASON_TRADE_SETTLED
    instrument = &clearing.market.instruments[trade.instrument]
    futures = instrument.flags & INSTRUMENT_FUTURES
    if price:
        ticks = ticks_of(instrument, price)
        if ticks == 0:
            return REASON_PRICE_NOT_ON_TICK
        value = notional(instrument, ticks, trade.quantity)
        if value == TOO_LARGE:
            return REASON_OVERFLOW
    buyer_slot = clearing.market.orders[trade.buy_order].position
    seller_slot = clearing.market.orders[trade.sell_order].position
    buyer = &clearing.positions[buyer_slot]
    seller = &clearing.positions[seller_slot]
    buy_makes = trade.taker_side == SIDE_SELL
    back.count = anew.count = flows.count = 0
    for index in range(trade.transfer_first, trade.transfer_first + trade.transfer_count):
        transfer = &clearing.ledger.transfers[index]
        plan_leg(
            &back, &flows, LEG_REVERSED + <uint32_t>(transfer.id_hi & 0xFFF), transfer.credit, transfer.debit, transfer.amount,
            transfer.code + CODE_REVERSED, transfer.user_data_128_lo)
    if futures:
        if (not can_undo_side(buyer, False, trade.quantity - trade.buy_closed)
                or not can_undo_side(seller, True, trade.quantity - trade.sell_closed)):
            return REASON_INSUFFICIENT_HOLDINGS
        if price and (trade.buy_closed or trade.sell_closed):
            return REASON_INVALID_COMBINATION       # of a trade that closed, bust it and trade anew
    buy_after = clearing.market.details[trade.buy_order]
    sell_after = clearing.market.details[trade.sell_order]
    if price:
        undo_order(clearing, trade.buy_order, trade)
        undo_order(clearing, trade.sell_order, trade)
        transfer_fee = ppm_of(value, instrument.transfer_fee_ppm)
        buy_fee = commission_of(instrument, &clearing.market.details[trade.buy_order], value, buy_makes, &buy_exact) + transfer_fee
        sell_fee = commission_of(instrument, &clearing.market.details[trade.sell_order], value, not buy_makes, &sell_exact)
        clearing.market.details[trade.buy_order] = buy_after
        clearing.market.details[trade.sell_order] = sell_after
        if not futures:
            duty = lesser(ppm_of(value, instrument.sell_duty_ppm), value)
            transfer_fee = lesser(transfer_fee, value - duty)
            sell_fee = lesser(sell_fee, value - duty - transfer_fee)
            plan_leg(&anew, &flows, 1, buyer.quote_account, seller.quote_account, value, CODE_TRADE_CASH, trade.buy_order + 1)
            plan_leg(&anew, &flows, 2, seller.base_account, buyer.base_account, trade.quantity, CODE_TRADE_ASSET, trade.sell_order + 1)
        sell_fee += transfer_fee
        if instrument.fee_account != NONE:
            plan_leg(&anew, &flows, 3, buyer.quote_account, instrument.fee_account, buy_fee, CODE_TRADE_FEE, trade.buy_order + 1)
            plan_leg(&anew, &flows, 4, seller.quote_account, instrument.fee_account, sell_fee, CODE_TRADE_FEE, trade.sell_order + 1)
            plan_leg(&anew, &flows, 5, seller.quote_account, instrument.fee_account, duty, CODE_TRADE_DUTY, trade.sell_order + 1)
    reason = check_flows(clearing, &flows, instrument)
    if reason:
        return reason

    # From here on it must succeed.
    trade.state = TRADE_CORRECTED if price else TRADE_BUSTED
    undo_order(clearing, trade.buy_order, trade)
    undo_order(clearing, trade.sell_order, trade)
    instrument.turnover -= trade.notional
    if not price:
        instrument.volume -= trade.quantity
    if futures:
        closed_value = notional(instrument, trade.price, trade.buy_closed)
        undo_side(clearing, buyer_slot, False, trade.quantity - trade.buy_closed, trade.notional - closed_value,
                  trade.buy_closed, trade.buy_basis)
        closed_value = notional(instrument, trade.price, trade.sell_closed)
        undo_side(clearing, seller_slot, True, trade.quantity - trade.sell_closed, trade.notional - closed_value,
                  trade.sell_closed, trade.sell_basis)
    else:
        # What the buyer had paid with is proceeds of the day again, before the corrected trade takes of them anew.
        holding = &clearing.holdings[buyer.quote_holding]
        holding.proceeds += trade.buy_proceeds
        if price:
            spent = value + buy_fee if buyer.quote_account != seller.quote_account else buy_fee + sell_fee + duty
    if not futures and instrument.flags & INSTRUMENT_T1 and not price and buyer.base_account != seller.base_account:
        holding = &clearing.holdings[buyer.base_holding]
        holding.bought -= lesser(holding.bought, trade.quantity)
        hold_refresh(clearing, buyer.base_holding)
    if not futures and buyer.quote_account != seller.quote_account:
        # Of a correction only the difference: what has been spent of the proceeds stays spent. What the seller pays back
        # comes out of the proceeds of the day first, as whatever is paid.
        holding = &clearing.holdings[seller.quote_holding]
        income = trade.notional - trade.sell_fee - trade.duty
        income_now = value - sell_fee - duty if price else 0
        if income_now < income:
            holding.proceeds -= lesser(holding.proceeds, income - income_now)
        elif instrument.flags & INSTRUMENT_T1:
            holding.proceeds += income_now - income
        hold_refresh(clearing, seller.quote_holding)
    if not futures:
        holding = &clearing.holdings[buyer.quote_holding]
        spent = lesser(spent, holding.proceeds)
        holding.proceeds -= spent
        hold_refresh(clearing, buyer.quote_holding)
    for index in range(back.count):
        post_leg(clearing, trade.instrument, trade_id, back.legs[index].number, back.legs[index].debit, back.legs[index].credit,
                 back.legs[index].amount, back.legs[index].code, back.legs[index].order_id)
    slot[0] = <uint32_t>(trade_id - 1)
    if not price:
        return REASON_NONE

    corrected = &clearing.trades[clearing.trade_count]
    memset(corrected, 0, sizeof(Trade))
    corrected.timestamp = clearing.clock
    corrected.batch = clearing.batch
    corrected.quantity = trade.quantity
    corrected.notional = value
    corrected.buy_fee = buy_fee
    corrected.sell_fee = sell_fee
    corrected.duty = duty
    corrected.buy_proceeds = spent
    corrected.price = ticks
    corrected.buy_order = trade.buy_order
    corrected.sell_order = trade.sell_order
    corrected.transfer_first = clearing.ledger.transfer_count
    corrected.instrument = trade.instrument
    corrected.business_date = trade.business_date
    corrected.corrects = slot[0]
    corrected.taker_side = trade.taker_side
    corrected.rates = rates_of(instrument, trade.taker_side)
    slot[0] = clearing.trade_count
    clearing.trade_count += 1
    clearing.clock += 1
    for index in range(anew.count):
        post_leg(clearing, trade.instrument, clearing.trade_count, anew.legs[index].number, anew.legs[index].debit,
                 anew.legs[index].credit, anew.legs[index].amount, anew.legs[index].code, anew.legs[index].order_id)
    corrected.transfer_count = clearing.ledger.transfer_count - corrected.transfer_first
    add_order(clearing, trade.buy_order, value, buy_fee - ppm_of(value, instrument.transfer_fee_ppm), buy_exact,
              ppm_of(value, instrument.transfer_fee_ppm))
    add_order(clearing, trade.sell_order, value, sell_fee - transfer_fee, sell_exact, transfer_fee + duty)
    instrument.turnover += value
    if futures:
        open_again(clearing, buyer_slot, False, trade.quantity, value)
        open_again(clearing, seller_slot, True, trade.quantity, value)
    return REASON_NONE


cdef void add_order(
    Clearing* clearing, uint32_t slot, uint64_t value, uint64_t commission, uint64_t exact, uint64_t charges) noexcept nogil:
    cdef OrderDetail* detail = &clearing.market.details[slot]
    detail.turnover += value
    detail.commission += commission
    detail.commission_exact += exact
    detail.charges += charges


cdef void open_again(
    Clearing* clearing, uint32_t position_slot, bint sell, uint64_t quantity, uint64_t value) noexcept nogil:
    """A corrected trade opens again at its new value; its margin as far as there are funds."""
    cdef Position* position = &clearing.positions[position_slot]
    cdef Instrument* instrument = &clearing.market.instruments[position.instrument]
    cdef uint32_t reference = ticks_of(instrument, instrument.reference_price)
    cdef uint64_t margin = (
        margin_of(instrument, reference, quantity, instrument.initial_margin_ppm) if reference
        else ppm_of(value, instrument.initial_margin_ppm))
    margin = lesser(margin, available(clearing, position.quote_holding))
    position.margin += margin
    clearing.holdings[position.quote_holding].held += margin
    hold_refresh(clearing, position.quote_holding)
    if sell:
        position.short_quantity += quantity
        position.short_today += quantity
        position.short_basis += value
    else:
        position.long_quantity += quantity
        position.long_today += quantity
        position.long_basis += value
