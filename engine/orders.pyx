"""See `orders.pxd`, and docs/TRADING.md for the order of the checks."""

from libc.stdlib cimport qsort
from libc.string cimport memset

from engine._core.codes cimport ACCOUNT_CLOSED, ACCOUNT_FROZEN, INT63_MAX, NONE
from engine._core.native cimport likely, unlikely
from engine._core.order_codes cimport *
from engine._core.order_records cimport Fill, OrderCommand
from engine._core.records cimport Account
from engine._core.store cimport scope_permits
from engine.matching.book cimport *
from engine.matching.levels cimport level_from
from engine.listing cimport band_limit
from engine.matching.market cimport Market, due_push, instrument_find, ticks_of, touch, units_of
from engine.matching.records cimport *
from engine.risk.exposure cimport order_changed, order_closed, order_filled, order_opened
from engine.risk.verdict cimport Before, risk_accepted, risk_check, risk_message
from engine.settlement.arithmetic cimport TOO_LARGE, notional, ppm_of
from engine.settlement.fills cimport order_ready, record_execution, settle_fill
from engine.settlement.holds cimport Need, available, need_of, order_hold, payer_of
from engine.settlement.records cimport Execution, Position, Trade
from engine.settlement.store cimport (
    Clearing, order_find, order_insert, position_require, trading_account_find,
)

cdef enum:
    SLICES_MAX = 1000               # of an iceberg when it is entered
    TICKS_MAX = 0x3FFFFFFF


# --- what the book calls ----------------------------------------------------------------------------

cdef uint32_t venue_fill(
    void* context, uint32_t maker, uint32_t taker, uint32_t price, uint64_t quantity, uint16_t* reason) noexcept nogil:
    cdef Exchange* exchange = <Exchange*>context
    cdef uint32_t outcome = settle_fill(&exchange.clearing, maker, taker, price, quantity, reason)
    cdef Trade* trade
    if unlikely(outcome != FILL_DONE):
        return outcome
    trade = &exchange.clearing.trades[exchange.clearing.trade_count - 1]
    if trade.taker_side == SIDE_SELL:
        order_filled(&exchange.risk, maker, quantity, trade.notional, trade.buy_fee, price)
        order_filled(&exchange.risk, taker, quantity, trade.notional, trade.sell_fee + trade.duty, price)
    else:
        order_filled(&exchange.risk, maker, quantity, trade.notional, trade.sell_fee + trade.duty, price)
        order_filled(&exchange.risk, taker, quantity, trade.notional, trade.buy_fee, price)
    return outcome


cdef void venue_cancel(void* context, uint32_t slot, uint16_t reason) noexcept nogil:
    cdef Exchange* exchange = <Exchange*>context
    close_order(exchange, slot, ORDER_CANCELED, EXECUTION_CANCELED, reason, tick(exchange))


cdef void venue_restated(void* context, uint32_t slot, uint64_t decremented) noexcept nogil:
    cdef Exchange* exchange = <Exchange*>context
    if decremented:
        take_off(exchange, slot, decremented)
        order_changed(
            &exchange.risk, slot, exchange.market.orders[slot].price, exchange.market.orders[slot].leaves + decremented)
        if exchange.market.orders[slot].place == PLACE_NONE:
            return                              # the order that came; its owner is told when it rests
    record_execution(
        &exchange.clearing, slot, EXECUTION_RESTATED, REASON_SELF_TRADE if decremented else REASON_NONE, tick(exchange))


cdef bint venue_ready(void* context, uint32_t slot) noexcept nogil:
    return order_ready(&(<Exchange*>context).clearing, slot)


# --- small things -----------------------------------------------------------------------------------

cdef inline uint64_t lesser(uint64_t a, uint64_t b) noexcept nogil:
    return a if a < b else b


cdef inline uint64_t tick(Exchange* exchange) noexcept nogil:
    """The time of what happens now."""
    exchange.clearing.clock += 1
    return exchange.clearing.clock - 1


cdef bint scope_permits_trading(Exchange* exchange, uint32_t scope, uint32_t account) noexcept nogil:
    """Whether a channel may move every account that the trading account is linked to."""
    cdef Clearing* clearing = &exchange.clearing
    cdef uint32_t link
    if scope == 0:
        return True
    for link in range(clearing.accounts[account].link_first,
                      clearing.accounts[account].link_first + clearing.accounts[account].link_count):
        if not scope_permits(exchange.ledger, scope, exchange.ledger.accounts[clearing.links[link].account].id):
            return False
    return True


cdef inline uint32_t type_of(const Order* order) noexcept nogil:
    return (order.traits & TRAIT_TYPE) >> TRAIT_TYPE_SHIFT


cdef inline uint32_t tif_of(const Order* order) noexcept nogil:
    return (order.traits & TRAIT_TIF) >> TRAIT_TIF_SHIFT


cdef inline bint sell_of(const Order* order) noexcept nogil:
    return order.traits & TRAIT_SELL


cdef void answer(Exchange* exchange, uint32_t slot, uint32_t status, uint32_t reason, OrderResult* result) noexcept nogil:
    """The result of an item whose order is known."""
    cdef Order* order = &exchange.market.orders[slot]
    result.order_id = <uint64_t>slot + 1
    result.cum_quantity = order.filled
    result.leaves_quantity = order.leaves
    result.status = <uint16_t>status
    result.reason = <uint16_t>reason


cdef int answer_fills(
    Exchange* exchange, Batch batch, uint32_t slot, uint32_t first, OrderResult* result) noexcept nogil:
    """The fills of the order among the executions from `first` on; -1 when memory is out."""
    cdef Clearing* clearing = &exchange.clearing
    cdef Execution* execution
    cdef Fill* fill
    cdef uint32_t number
    result.fill_first = batch.fill_count
    for number in range(first, clearing.execution_count):
        execution = &clearing.executions[number]
        if execution.order != slot or execution.kind != EXECUTION_FILL:
            continue
        fill = batch.append_fills(1)
        if fill is NULL:
            return -1
        fill_of(exchange, number, fill)
    result.fill_count = batch.fill_count - result.fill_first
    return 0


cdef void fill_of(Exchange* exchange, uint32_t number, Fill* fill) noexcept nogil:
    cdef Clearing* clearing = &exchange.clearing
    cdef Execution* execution = &clearing.executions[number]
    fill.exec_id = <uint64_t>number + 1
    fill.trade_id = <uint64_t>execution.trade + 1
    fill.price = (
        clearing.trades[execution.trade].price
        * exchange.market.instruments[exchange.market.orders[execution.order].instrument].tick_size)
    fill.quantity = clearing.trades[execution.trade].quantity
    if exchange.market.orders[execution.order].traits & TRAIT_SELL:
        fill.fee = clearing.trades[execution.trade].sell_fee + clearing.trades[execution.trade].duty
    else:
        fill.fee = clearing.trades[execution.trade].buy_fee


# --- ending and shrinking an order --------------------------------------------------------------------

cdef void take_off(Exchange* exchange, uint32_t slot, uint64_t quantity) noexcept nogil:
    """So much of an order is no longer open, other than by a fill: what it holds and closes follows its leaves."""
    cdef Order* order = &exchange.market.orders[slot]
    cdef OrderDetail* detail = &exchange.market.details[slot]
    cdef Position* position = &exchange.clearing.positions[order.position]
    cdef Need need
    if sell_of(order):
        position.open_sell -= quantity
    else:
        position.open_buy -= quantity
    if detail.closing > order.leaves:
        if sell_of(order):
            position.closing_long -= detail.closing - order.leaves
        else:
            position.closing_short -= detail.closing - order.leaves
        detail.closing = order.leaves
    if (type_of(order) == TYPE_MARKET and order.leaves and not sell_of(order)
            and not exchange.market.instruments[order.instrument].flags & INSTRUMENT_FUTURES):
        return                              # it holds a cost; what is left of that ends with it
    need_of(&exchange.clearing, slot, order.leaves, detail.closing, &need)     # less than it was, so it fits
    detail.held_fees = lesser(detail.held_fees, need.fees)
    order_hold(&exchange.clearing, slot, lesser(order.held, need.amount))


cdef void forget_open(Exchange* exchange, uint32_t slot) noexcept nogil:
    """The order is no longer among the open ones."""
    cdef Order* order = &exchange.market.orders[slot]
    cdef Position* position = &exchange.clearing.positions[order.position]
    position.open_orders -= 1
    exchange.clearing.accounts[position.account].open_orders -= 1
    if order.traits & TRAIT_GUARDED:
        exchange.market.instruments[order.instrument].guarded -= 1


cdef void close_order(
    Exchange* exchange, uint32_t slot, int status, int kind, uint32_t reason, uint64_t timestamp) noexcept nogil:
    cdef Market* market = &exchange.market
    cdef Order* order = &market.orders[slot]
    cdef uint64_t leaves = order.leaves
    if order.place == PLACE_BOOK:
        book_remove(market, slot)
    elif order.place == PLACE_STOPS:
        stops_remove(market, slot)
    order.leaves = order.visible = 0
    order.status = <uint8_t>status
    market.details[slot].reason = <uint16_t>reason
    take_off(exchange, slot, leaves)
    order_closed(&exchange.risk, slot, leaves)
    order_hold(&exchange.clearing, slot, 0)
    market.details[slot].held_fees = 0
    forget_open(exchange, slot)
    record_execution(&exchange.clearing, slot, kind, reason, timestamp)


# --- entering the book --------------------------------------------------------------------------------

cdef void enter(Exchange* exchange, uint32_t slot) noexcept nogil:
    """An accepted order meets the book in continuous trading; what is left rests or is canceled."""
    cdef Market* market = &exchange.market
    cdef Order* order = &market.orders[slot]
    cdef Instrument* instrument = &market.instruments[order.instrument]
    cdef uint32_t type = type_of(order)
    cdef uint32_t tif = tif_of(order)
    cdef bint rests = (type == TYPE_LIMIT or type == TYPE_STOP_LIMIT) and tif != TIF_IOC and tif != TIF_FOK
    cdef uint32_t ending
    cdef uint32_t reason = REASON_NONE
    cdef Match match
    memset(&match, 0, sizeof(Match))
    ending = book_match(market, slot, order.price, &exchange.venue, &match)
    if order.leaves == 0 and order.status == ORDER_FILLED:
        if order.held:
            order_hold(&exchange.clearing, slot, 0)
            market.details[slot].held_fees = 0
        return
    if unlikely(ending == ENDING_BREAKER):
        instrument.session = SESSION_AUCTION
        instrument.session_flags = 0
        touch(market, order.instrument)
        reason = REASON_CIRCUIT_BREAKER
    elif unlikely(ending == ENDING_CANCEL):
        reason = match.reason
        rests = False
    elif type == TYPE_MARKET or type == TYPE_STOP:
        reason = REASON_NO_LIQUIDITY
    if rests:
        book_insert(market, slot)
        if unlikely(match.decremented):
            market.details[slot].quantity -= match.decremented
            record_execution(&exchange.clearing, slot, EXECUTION_RESTATED, REASON_SELF_TRADE, tick(exchange))
        return
    close_order(exchange, slot, ORDER_CANCELED, EXECUTION_CANCELED, reason, tick(exchange))


cdef void run_stops(Exchange* exchange, uint32_t instrument_slot) noexcept nogil:
    cdef Market* market = &exchange.market
    cdef Instrument* instrument = &market.instruments[instrument_slot]
    cdef uint32_t slot
    if likely(instrument.sides[FOLD_STOP_BUYS].orders + instrument.sides[FOLD_STOP_SELLS].orders == 0):
        return
    while instrument.session == SESSION_CONTINUOUS:
        slot = stops_triggered(market, instrument_slot)
        if slot == NONE:
            return
        stops_remove(market, slot)
        record_execution(&exchange.clearing, slot, EXECUTION_TRIGGERED, REASON_NONE, tick(exchange))
        enter(exchange, slot)


# --- the checks of a new order --------------------------------------------------------------------------

cdef inline bint in_lots(const Instrument* instrument, uint64_t quantity) noexcept nogil:
    return quantity != 0 and quantity <= INT63_MAX and (instrument.lot_size == 1 or quantity % instrument.lot_size == 0)


cdef uint32_t check_session(const Instrument* instrument, const Order* order) noexcept nogil:
    cdef uint32_t tif = tif_of(order)
    if instrument.session == SESSION_CLOSED or instrument.session == SESSION_HALTED:
        return REASON_SESSION_CLOSED
    if instrument.session == SESSION_CONTINUOUS:
        return REASON_NONE
    if type_of(order) == TYPE_MARKET or tif == TIF_IOC or tif == TIF_FOK or order.traits & TRAIT_POST_ONLY:
        return REASON_TYPE_NOT_ALLOWED
    return REASON_NONE


cdef uint32_t check_combination(
    const OrderCommand* command, const Instrument* instrument, const Order* order, uint64_t now) noexcept nogil:
    cdef uint32_t type = type_of(order)
    cdef uint32_t tif = tif_of(order)
    cdef bint at_once = tif == TIF_IOC or tif == TIF_FOK
    if (type == TYPE_LIMIT or type == TYPE_STOP_LIMIT) and command.price == 0:
        return REASON_INVALID_COMBINATION
    if (type == TYPE_STOP or type == TYPE_STOP_LIMIT) and (command.stop_price == 0 or at_once):
        return REASON_INVALID_COMBINATION
    if tif == TIF_GTD and command.expire_time <= now:
        return REASON_INVALID_COMBINATION
    if (command.display_quantity or order.traits & TRAIT_POST_ONLY) and type != TYPE_LIMIT:
        return REASON_INVALID_COMBINATION
    if order.traits & TRAIT_POST_ONLY and at_once:
        return REASON_INVALID_COMBINATION
    if command.offset and not instrument.flags & INSTRUMENT_FUTURES:
        return REASON_INVALID_COMBINATION
    return REASON_NONE


cdef uint32_t moved_down(uint32_t ticks, uint32_t ppm) noexcept nogil:
    """A price lowered by millionths, rounded towards itself."""
    cdef uint64_t by = <uint64_t>ticks * ppm // 1000000
    return <uint32_t>(ticks - by) if by < ticks else 1


cdef uint32_t moved_up(uint32_t ticks, uint32_t ppm) noexcept nogil:
    return <uint32_t>lesser(ticks + <uint64_t>ticks * ppm // 1000000, TICKS_MAX)


cdef uint32_t best_of(Market* market, const Instrument* instrument, uint32_t fold) noexcept nogil:
    """The best price of a side in ticks, 0 when it is empty."""
    return 0 if instrument.sides[fold].best == NONE else market.levels[instrument.sides[fold].best].price


cdef uint32_t protection(const Instrument* instrument, uint32_t ticks, bint sell) noexcept nogil:
    """The protection price of a market order or stop, inside the band."""
    if sell:
        ticks = moved_down(ticks, instrument.market_protection_ppm)
        return ticks if ticks > instrument.limit_down else instrument.limit_down
    ticks = moved_up(ticks, instrument.market_protection_ppm)
    return ticks if ticks < instrument.limit_up else instrument.limit_up


cdef bint outside_cage(Market* market, const Instrument* instrument, uint32_t ticks, bint sell) noexcept nogil:
    """Whether a limit price is too far through the best opposite price."""
    cdef uint32_t base
    if instrument.price_cage_ppm == 0 or instrument.session != SESSION_CONTINUOUS:
        return False
    base = best_of(market, instrument, FOLD_BIDS if sell else FOLD_ASKS)
    if base == 0:
        return False
    if sell:
        return ticks < band_limit(instrument, units_of(instrument, base), instrument.price_cage_ppm, False)
    return ticks > band_limit(instrument, units_of(instrument, base), instrument.price_cage_ppm, True)


cdef uint32_t check_price(
    Exchange* exchange, Order* order, OrderDetail* detail, const Instrument* instrument, uint64_t price,
    uint64_t stop_price) noexcept nogil:
    """Ticks of all prices, and the band. Sets Order.price and the stop price; a market order's protection comes later."""
    cdef uint32_t type = type_of(order)
    cdef bint sell = sell_of(order)
    order.price = 0
    detail.stop_price = 0
    if price:
        order.price = ticks_of(instrument, price)
        if order.price == 0:
            return REASON_PRICE_NOT_ON_TICK
    if stop_price and type != TYPE_LIMIT and type != TYPE_MARKET:
        detail.stop_price = ticks_of(instrument, stop_price)
        if detail.stop_price == 0:
            return REASON_PRICE_NOT_ON_TICK
    if price and (order.price < instrument.limit_down or order.price > instrument.limit_up):
        return REASON_PRICE_OUTSIDE_BAND
    if price and (type == TYPE_LIMIT or type == TYPE_MARKET) and outside_cage(&exchange.market, instrument, order.price, sell):
        return REASON_PRICE_OUTSIDE_BAND
    if type == TYPE_STOP and price == 0:
        order.price = protection(instrument, detail.stop_price, sell)
    return REASON_NONE


cdef uint32_t check_accounts(Exchange* exchange, const Position* position, const Instrument* instrument, bint sell) noexcept nogil:
    cdef bint futures = instrument.flags & INSTRUMENT_FUTURES
    cdef Account* payer
    if position.quote_account == NONE or (position.base_account == NONE and not futures):
        return REASON_LEDGER_NOT_LINKED
    payer = &exchange.ledger.accounts[position.base_account if sell and not futures else position.quote_account]
    if payer.flags & ACCOUNT_CLOSED:
        return REASON_ACCOUNT_CLOSED
    if payer.flags & ACCOUNT_FROZEN:
        return REASON_ACCOUNT_FROZEN
    return REASON_NONE


cdef uint32_t check_liquidity(Exchange* exchange, uint32_t slot) noexcept nogil:
    """What an order must find in the book, or must not. Gives a market order its protection price."""
    cdef Market* market = &exchange.market
    cdef Order* order = &market.orders[slot]
    cdef Instrument* instrument = &market.instruments[order.instrument]
    cdef bint sell = sell_of(order)
    cdef uint32_t best
    if type_of(order) == TYPE_MARKET:
        if order.price == 0:
            best = best_of(market, instrument, FOLD_BIDS if sell else FOLD_ASKS)
            if best == 0:
                return REASON_NO_LIQUIDITY
            order.price = protection(instrument, best, sell)
        if book_fillable(market, slot, order.price, 1, NULL) == 0:
            return REASON_NO_LIQUIDITY
    if order.traits & TRAIT_POST_ONLY and book_crosses(market, order.instrument, sell, order.price):
        return REASON_WOULD_CROSS
    if tif_of(order) == TIF_FOK and (
            not order_ready(&exchange.clearing, slot)
            or book_fillable(market, slot, order.price, order.leaves, &exchange.venue) < order.leaves):
        return REASON_FOK_NOT_FILLABLE
    return REASON_NONE


cdef bint plan_closing(Exchange* exchange, uint32_t slot, uint64_t spoken_for) noexcept nogil:
    """Futures: how much of the order closes. `spoken_for` is what it closes already. False: more than there is."""
    cdef Order* order = &exchange.market.orders[slot]
    cdef OrderDetail* detail = &exchange.market.details[slot]
    cdef Position* position = &exchange.clearing.positions[order.position]
    cdef uint32_t offset = (order.traits & TRAIT_OFFSET) >> TRAIT_OFFSET_SHIFT
    cdef bint sell = sell_of(order)
    cdef uint64_t free = (
        position.long_quantity - position.closing_long if sell else position.short_quantity - position.closing_short)
    free += spoken_for
    detail.closing = 0
    if not exchange.market.instruments[order.instrument].flags & INSTRUMENT_FUTURES or offset == OFFSET_OPEN:
        return True
    if offset == OFFSET_AUTO:
        detail.closing = lesser(order.leaves, free)
        return True
    if offset == OFFSET_CLOSE_TODAY:
        free = lesser(free, position.long_today if sell else position.short_today)
    if order.leaves > free:
        return False
    detail.closing = order.leaves
    return True


cdef bint market_need(Exchange* exchange, uint32_t slot, Need* need) noexcept nogil:
    """What a market buy of spot pays for the orders that it will meet; False: 2^63 or more."""
    cdef Market* market = &exchange.market
    cdef Order* order = &market.orders[slot]
    cdef Instrument* instrument = &market.instruments[order.instrument]
    cdef BookSide* side = &instrument.sides[FOLD_ASKS]
    cdef bint prevents = order.traits & TRAIT_STP != 0
    cdef uint64_t left = order.leaves
    cdef uint64_t cost = 0
    cdef uint64_t part, value, fees
    cdef uint32_t level = side.best
    cdef uint32_t maker, price
    while level != NONE and left and market.levels[level].price <= order.price:
        # Under the median rule the price may be anything up to the taker's own.
        price = order.price if instrument.flags & INSTRUMENT_MEDIAN_PRICE else market.levels[level].price
        maker = market.levels[level].first
        while maker != NONE and left:
            if not (prevents and market.orders[maker].position == order.position):
                part = lesser(left, market.orders[maker].leaves)
                value = notional(instrument, price, part)
                if value == TOO_LARGE or cost + value > INT63_MAX:
                    return False
                cost += value
                left -= part
            maker = market.orders[maker].next
        level = level_from(market, side, <uint64_t>market.levels[level].price + 1, False)
    fees = ppm_of(cost, instrument.taker_fee_ppm if instrument.taker_fee_ppm > instrument.maker_fee_ppm else instrument.maker_fee_ppm)
    if fees < instrument.minimum_fee:
        fees = instrument.minimum_fee
    need.fees = fees + ppm_of(cost, instrument.transfer_fee_ppm)
    need.amount = cost + need.fees
    return need.amount <= INT63_MAX


cdef uint32_t check_funds(Exchange* exchange, uint32_t slot, Need* need) noexcept nogil:
    """Whether the account can hold what the order needs beyond what it holds."""
    cdef Order* order = &exchange.market.orders[slot]
    cdef OrderDetail* detail = &exchange.market.details[slot]
    cdef Instrument* instrument = &exchange.market.instruments[order.instrument]
    cdef uint32_t payer = payer_of(&exchange.clearing, slot)
    cdef uint64_t more
    cdef Account* account
    cdef bint asset = sell_of(order) and not instrument.flags & INSTRUMENT_FUTURES
    cdef uint32_t lacking = REASON_INSUFFICIENT_HOLDINGS if asset else REASON_INSUFFICIENT_FUNDS
    if type_of(order) == TYPE_MARKET and not sell_of(order) and not instrument.flags & INSTRUMENT_FUTURES:
        if not market_need(exchange, slot, need):
            return REASON_OVERFLOW
    elif not need_of(&exchange.clearing, slot, order.leaves, detail.closing, need):
        return REASON_OVERFLOW
    if need.amount <= order.held:
        return REASON_NONE
    more = need.amount - order.held
    if more > available(&exchange.clearing, payer):
        return lacking
    account = &exchange.ledger.accounts[exchange.clearing.holdings[payer].account]
    if account.debits_posted + account.debits_pending + more > INT63_MAX:
        return REASON_OVERFLOW
    account = &exchange.ledger.accounts[exchange.clearing.holdings[payer].clearing]
    if account.credits_posted + account.credits_pending + more > INT63_MAX:
        return REASON_OVERFLOW
    return REASON_NONE


cdef bint too_much(const Instrument* instrument, const Order* order, uint64_t more) noexcept nogil:
    """Whether a side of the book would hold 2^63 or more."""
    cdef uint64_t bids = instrument.sides[FOLD_BIDS].total + instrument.sides[FOLD_STOP_BUYS].total
    cdef uint64_t asks = instrument.sides[FOLD_ASKS].total + instrument.sides[FOLD_STOP_SELLS].total
    return (asks if order.traits & TRAIT_SELL else bids) + more > INT63_MAX


cdef int check(
    Exchange* exchange, Batch batch, uint32_t item, uint32_t slot, uint64_t now, Need* need, OrderResult* result) noexcept nogil:
    """Why the order at `slot` is refused, or REASON_NONE and what it needs. In the order of TRADING.md. -1: memory is out."""
    cdef const OrderCommand* command = &batch.orders[item]
    cdef Order* order = &exchange.market.orders[slot]
    cdef OrderDetail* detail = &exchange.market.details[slot]
    cdef Instrument* instrument = &exchange.market.instruments[order.instrument]
    cdef int reason = check_session(instrument, order)
    cdef uint64_t value
    cdef Before none
    if reason:
        return reason
    reason = check_combination(command, instrument, order, now)
    if reason:
        return reason
    if not in_lots(instrument, command.quantity):
        return REASON_QUANTITY_NOT_IN_LOTS
    if command.display_quantity and (
            not in_lots(instrument, command.display_quantity) or command.display_quantity > command.quantity
            or (command.quantity - 1) // command.display_quantity >= SLICES_MAX):
        return REASON_QUANTITY_NOT_IN_LOTS
    reason = check_price(exchange, order, detail, instrument, command.price, command.stop_price)
    if reason:
        return reason
    if order.price:
        value = notional(instrument, order.price, order.leaves)
        if value == TOO_LARGE:
            return REASON_OVERFLOW
    if too_much(instrument, order, order.leaves):
        return REASON_OVERFLOW
    reason = check_accounts(exchange, &exchange.clearing.positions[order.position], instrument, sell_of(order))
    if reason:
        return reason
    reason = check_liquidity(exchange, slot)
    if reason:
        return reason
    none.leaves = none.price = 0
    reason = risk_check(&exchange.risk, batch, slot, item, &none, now, result)
    if reason:
        return reason
    if not plan_closing(exchange, slot, 0):
        return REASON_INSUFFICIENT_HOLDINGS
    return check_funds(exchange, slot, need)


cdef uint32_t new_order(Exchange* exchange, const OrderCommand* command, uint32_t position, uint32_t instrument, uint64_t now) noexcept nogil:
    """The order as it was sent, in the next slot; not yet open."""
    cdef Market* market = &exchange.market
    cdef uint32_t slot = market.order_count
    cdef Order* order = &market.orders[slot]
    cdef OrderDetail* detail = &market.details[slot]
    cdef uint32_t account = exchange.clearing.positions[position].account
    memset(order, 0, sizeof(Order))
    memset(detail, 0, sizeof(OrderDetail))
    order.leaves = command.quantity
    order.next = order.previous = order.level = NONE
    order.position = position
    order.instrument = instrument
    order.traits = <uint16_t>(
        command.side | command.type << TRAIT_TYPE_SHIFT | command.time_in_force << TRAIT_TIF_SHIFT
        | command.self_trade_prevention << TRAIT_STP_SHIFT | command.offset << TRAIT_OFFSET_SHIFT
        | (TRAIT_POST_ONLY if command.flags & ORDER_POST_ONLY else 0)
        | (TRAIT_ICEBERG if command.display_quantity else 0) | (TRAIT_GUARDED if command.session else 0))
    order.status = ORDER_NEW
    detail.client_order_id_lo = command.client_order_id_lo
    detail.client_order_id_hi = command.client_order_id_hi
    detail.quantity = command.quantity
    detail.display = command.display_quantity
    detail.expire_time = command.expire_time if command.time_in_force == TIF_GTD else 0
    detail.timestamp = detail.updated = now
    detail.session = command.session
    detail.execution_last = NONE
    detail.previous_of_account = exchange.clearing.accounts[account].order_last
    market.order_count += 1
    exchange.clearing.accounts[account].order_last = slot
    exchange.clearing.accounts[account].order_count += 1
    order_insert(&exchange.clearing, slot)
    return slot


cdef void open_order(Exchange* exchange, uint32_t slot, const Need* need, uint64_t now) noexcept nogil:
    """The order is accepted: it holds what it needs and is counted."""
    cdef Order* order = &exchange.market.orders[slot]
    cdef OrderDetail* detail = &exchange.market.details[slot]
    cdef Position* position = &exchange.clearing.positions[order.position]
    if sell_of(order):
        position.open_sell += order.leaves
        position.closing_long += detail.closing
    else:
        position.open_buy += order.leaves
        position.closing_short += detail.closing
    position.open_orders += 1
    exchange.clearing.accounts[position.account].open_orders += 1
    if order.traits & TRAIT_GUARDED:
        exchange.market.instruments[order.instrument].guarded += 1
    detail.held_fees = need.fees
    order_hold(&exchange.clearing, slot, need.amount)
    record_execution(&exchange.clearing, slot, EXECUTION_NEW, REASON_NONE, now)
    order_opened(&exchange.risk, slot)
    risk_accepted(&exchange.risk, order.position, now)
    if detail.expire_time:
        due_push(&exchange.market, slot)


cdef int submit_order(
    Exchange* exchange, Batch batch, uint32_t item, uint32_t scope, OrderResult* result) noexcept nogil:
    cdef const OrderCommand* command = &batch.orders[item]
    cdef Clearing* clearing = &exchange.clearing
    cdef Market* market = &exchange.market
    cdef uint64_t now = tick(exchange)
    cdef uint32_t account, instrument, slot, first
    cdef int reason
    cdef Order* order
    cdef Need need
    memset(result, 0, sizeof(OrderResult))
    result.timestamp = now
    result.status = ORDER_REJECTED
    account = trading_account_find(clearing, command.account_id)
    if account == NONE:
        result.reason = REASON_UNKNOWN_ACCOUNT
        return 0
    if not scope_permits_trading(exchange, scope, account):
        result.reason = REASON_NOT_PERMITTED
        return 0
    slot = order_find(clearing, account, command.client_order_id_lo, command.client_order_id_hi)
    if unlikely(slot != NONE):
        return answer_existing(exchange, batch, slot, result)
    instrument = instrument_find(market, &command.symbol_0)
    if instrument == NONE:
        result.reason = REASON_UNKNOWN_INSTRUMENT
        return 0
    slot = new_order(exchange, command, position_require(clearing, account, instrument), instrument, now)
    order = &market.orders[slot]
    first = clearing.execution_count
    reason = check(exchange, batch, item, slot, now, &need, result)
    if unlikely(reason < 0):
        return -1
    if unlikely(reason):
        order.leaves = 0
        order.status = ORDER_REJECTED
        market.details[slot].reason = <uint16_t>reason
        market.details[slot].closing = 0
        record_execution(clearing, slot, EXECUTION_REJECTED, reason, now)
        answer(exchange, slot, ORDER_REJECTED, reason, result)
        return 0
    open_order(exchange, slot, &need, now)
    if type_of(order) == TYPE_STOP or type_of(order) == TYPE_STOP_LIMIT:
        stops_insert(market, slot)
    elif likely(market.instruments[instrument].session == SESSION_CONTINUOUS):
        enter(exchange, slot)
    else:
        book_insert(market, slot)
    run_stops(exchange, instrument)
    # Stops that it has triggered may have traded with it, too.
    if clearing.execution_count - first > 1 and answer_fills(exchange, batch, slot, first, result) != 0:
        return -1
    answer(exchange, slot, order.status, market.details[slot].reason, result)
    return 0


cdef int answer_existing(Exchange* exchange, Batch batch, uint32_t slot, OrderResult* result) noexcept nogil:
    """The state of an order whose client order id came again, with all its fills."""
    cdef Execution* executions = exchange.clearing.executions
    cdef uint32_t number = exchange.market.details[slot].execution_last
    cdef uint32_t left
    cdef Fill* fills
    answer(exchange, slot, ORDER_EXISTS, exchange.market.details[slot].reason, result)
    result.order_status = exchange.market.orders[slot].status
    result.timestamp = exchange.market.details[slot].timestamp
    result.fill_first = batch.fill_count
    while number != NONE:
        result.fill_count += executions[number].kind == EXECUTION_FILL
        number = executions[number].previous
    fills = batch.append_fills(result.fill_count)
    if fills is NULL:
        return -1
    left = result.fill_count
    number = exchange.market.details[slot].execution_last
    while number != NONE:
        if executions[number].kind == EXECUTION_FILL:
            left -= 1
            fill_of(exchange, number, &fills[left])
        number = executions[number].previous
    return 0


# --- cancels ----------------------------------------------------------------------------------------

cdef uint32_t find_open(
    Exchange* exchange, const AmendCommand* command, uint32_t scope, OrderResult* result) noexcept nogil:
    """The slot of the open order that is meant; NONE with the reason in the result."""
    cdef uint32_t account = trading_account_find(&exchange.clearing, command.account_id)
    cdef uint32_t slot = NONE
    memset(result, 0, sizeof(OrderResult))
    result.timestamp = tick(exchange)
    result.status = ORDER_REJECTED
    if account == NONE:
        result.reason = REASON_UNKNOWN_ACCOUNT
        return NONE
    if not scope_permits_trading(exchange, scope, account):
        result.reason = REASON_NOT_PERMITTED
        return NONE
    if command.order_id:
        if command.order_id <= exchange.market.order_count:
            slot = <uint32_t>(command.order_id - 1)
            if exchange.clearing.positions[exchange.market.orders[slot].position].account != account:
                slot = NONE
    else:
        slot = order_find(&exchange.clearing, account, command.client_order_id_lo, command.client_order_id_hi)
    if slot == NONE:
        result.reason = REASON_UNKNOWN_ORDER
        return NONE
    answer(exchange, slot, ORDER_REJECTED, REASON_NONE, result)
    if exchange.market.orders[slot].place == PLACE_NONE:
        result.reason = REASON_ORDER_CLOSED
        return NONE
    return slot


cdef bint cancels_allowed(const Instrument* instrument) noexcept nogil:
    return not (instrument.session == SESSION_AUCTION and instrument.session_flags & SESSION_NO_CANCEL)


cdef void cancel_order(Exchange* exchange, const AmendCommand* command, uint32_t scope, OrderResult* result) noexcept nogil:
    cdef uint32_t slot = find_open(exchange, command, scope, result)
    if slot == NONE:
        return
    if not cancels_allowed(&exchange.market.instruments[exchange.market.orders[slot].instrument]):
        result.reason = REASON_CANCEL_NOT_ALLOWED
        return
    close_order(exchange, slot, ORDER_CANCELED, EXECUTION_CANCELED, REASON_NONE, result.timestamp)
    risk_message(&exchange.risk, exchange.market.orders[slot].position, result.timestamp)
    answer(exchange, slot, ORDER_CANCELED, REASON_NONE, result)


cdef int by_number(const void* a, const void* b) noexcept nogil:
    cdef uint32_t first = (<const uint32_t*>a)[0]
    cdef uint32_t second = (<const uint32_t*>b)[0]
    return (first > second) - (first < second)


cdef void sort_slots(uint32_t* slots, uint32_t count) noexcept nogil:
    qsort(slots, count, sizeof(uint32_t), by_number)


cdef uint32_t gather(Exchange* exchange, uint32_t instrument_slot, uint32_t count) noexcept nogil:
    cdef Market* market = &exchange.market
    cdef Instrument* instrument = &market.instruments[instrument_slot]
    cdef uint32_t fold, level, slot
    for fold in range(4):
        level = level_from(market, &instrument.sides[fold], 0, False)
        while level != NONE:
            slot = market.levels[level].first
            while slot != NONE:
                exchange.scratch[count] = slot
                count += 1
                slot = market.orders[slot].next
            level = level_from(market, &instrument.sides[fold], <uint64_t>market.levels[level].price + 1, False)
    return count


cdef bint is_meant(
    Exchange* exchange, const MassCancelCommand* command, uint32_t scope, uint32_t account, uint32_t slot) noexcept nogil:
    cdef Order* order = &exchange.market.orders[slot]
    cdef uint32_t owner = exchange.clearing.positions[order.position].account
    if account != NONE and owner != account:
        return False
    if command.sides and (command.sides == 2) != sell_of(order):
        return False
    if command.session == SESSION_ANY:
        if not order.traits & TRAIT_GUARDED:
            return False
    elif command.session and exchange.market.details[slot].session != command.session:
        return False
    return scope_permits_trading(exchange, scope, owner)


cdef void mass_cancel(Exchange* exchange, const MassCancelCommand* command, uint32_t scope, OrderResult* result) noexcept nogil:
    cdef Market* market = &exchange.market
    cdef Clearing* clearing = &exchange.clearing
    cdef uint32_t account = NONE
    cdef uint32_t count = 0
    cdef uint32_t canceled = 0
    cdef uint32_t instrument, index, position
    memset(result, 0, sizeof(OrderResult))
    result.timestamp = tick(exchange)
    result.status = ORDER_REJECTED
    if command.account_id:
        account = trading_account_find(clearing, command.account_id)
        if account == NONE:
            result.reason = REASON_UNKNOWN_ACCOUNT
            return
        if not scope_permits_trading(exchange, scope, account):
            result.reason = REASON_NOT_PERMITTED
            return
    if command.symbol_0:
        instrument = instrument_find(market, &command.symbol_0)
        if instrument == NONE:
            result.reason = REASON_UNKNOWN_INSTRUMENT
            return
        count = gather(exchange, instrument, count)
    elif account != NONE:
        position = clearing.accounts[account].position_last
        while position != NONE:
            if clearing.positions[position].open_orders:
                count = gather(exchange, clearing.positions[position].instrument, count)
            position = clearing.positions[position].previous_of_account
    else:
        for instrument in range(market.instrument_count):
            if not command.session or market.instruments[instrument].guarded:
                count = gather(exchange, instrument, count)
    sort_slots(exchange.scratch, count)
    for index in range(count):
        if (is_meant(exchange, command, scope, account, exchange.scratch[index])
                and cancels_allowed(&market.instruments[market.orders[exchange.scratch[index]].instrument])):
            close_order(
                exchange, exchange.scratch[index], ORDER_CANCELED, EXECUTION_CANCELED,
                REASON_SESSION_ENDED if command.session else REASON_MASS_CANCEL, tick(exchange))
            canceled += 1
    result.status = ORDER_DONE
    result.cum_quantity = canceled


# --- replacing --------------------------------------------------------------------------------------

cdef int check_replace(
    Exchange* exchange, Batch batch, uint32_t item, uint32_t slot, Need* need, OrderResult* result) noexcept nogil:
    """Changes price, quantity and closing part of the order as wanted; why that cannot be, or REASON_NONE and what it needs. -1: memory is out."""
    cdef const AmendCommand* command = &batch.amends[item]
    cdef Market* market = &exchange.market
    cdef Order* order = &market.orders[slot]
    cdef OrderDetail* detail = &market.details[slot]
    cdef Instrument* instrument = &market.instruments[order.instrument]
    cdef int reason = check_session(instrument, order)
    cdef Before before
    cdef uint32_t ticks = order.price
    cdef uint32_t stop_ticks = detail.stop_price
    cdef uint64_t leaves = order.leaves
    if reason == REASON_SESSION_CLOSED:
        return reason
    if not cancels_allowed(instrument):
        return REASON_CANCEL_NOT_ALLOWED
    if reason:
        return reason
    if command.fields & AMEND_STOP_PRICE and (order.place != PLACE_STOPS or command.stop_price == 0):
        return REASON_INVALID_COMBINATION
    if command.fields & AMEND_PRICE and command.price == 0:
        return REASON_INVALID_COMBINATION
    if command.fields & AMEND_QUANTITY:
        if not in_lots(instrument, command.quantity):
            return REASON_QUANTITY_NOT_IN_LOTS
        if order.traits & TRAIT_ICEBERG and (command.quantity - 1) // detail.display >= SLICES_MAX:
            return REASON_QUANTITY_NOT_IN_LOTS
    if command.fields & AMEND_PRICE:
        ticks = ticks_of(instrument, command.price)
        if ticks == 0:
            return REASON_PRICE_NOT_ON_TICK
    if command.fields & AMEND_STOP_PRICE:
        stop_ticks = ticks_of(instrument, command.stop_price)
        if stop_ticks == 0:
            return REASON_PRICE_NOT_ON_TICK
        if type_of(order) == TYPE_STOP and not command.fields & AMEND_PRICE:
            ticks = protection(instrument, stop_ticks, sell_of(order))
    if command.fields & AMEND_QUANTITY:
        if command.quantity <= order.filled:
            return REASON_ALREADY_FILLED
        leaves = command.quantity - order.filled
    if command.fields & AMEND_PRICE:
        if ticks < instrument.limit_down or ticks > instrument.limit_up:
            return REASON_PRICE_OUTSIDE_BAND
        if type_of(order) == TYPE_LIMIT and outside_cage(market, instrument, ticks, sell_of(order)):
            return REASON_PRICE_OUTSIDE_BAND
    if notional(instrument, ticks, leaves) == TOO_LARGE or (
            leaves > order.leaves and too_much(instrument, order, leaves - order.leaves)):
        return REASON_OVERFLOW
    reason = check_accounts(exchange, &exchange.clearing.positions[order.position], instrument, sell_of(order))
    if reason:
        return reason
    if (order.traits & TRAIT_POST_ONLY and instrument.session == SESSION_CONTINUOUS
            and book_crosses(market, order.instrument, sell_of(order), ticks)):
        return REASON_WOULD_CROSS
    before.leaves = order.leaves
    before.price = order.price
    order.leaves = leaves
    order.price = ticks
    detail.stop_price = stop_ticks
    detail.quantity = order.filled + leaves
    reason = risk_check(&exchange.risk, batch, slot, item, &before, result.timestamp, result)
    if reason:
        return reason
    if not plan_closing(exchange, slot, detail.closing):
        return REASON_INSUFFICIENT_HOLDINGS
    return check_funds(exchange, slot, need)


cdef int replace_order(
    Exchange* exchange, Batch batch, uint32_t item, uint32_t scope, OrderResult* result) noexcept nogil:
    cdef const AmendCommand* command = &batch.amends[item]
    cdef Market* market = &exchange.market
    cdef Clearing* clearing = &exchange.clearing
    cdef uint32_t slot = find_open(exchange, command, scope, result)
    cdef uint32_t place, first
    cdef int reason
    cdef Order* order
    cdef OrderDetail* detail
    cdef Position* position
    cdef Order before
    cdef OrderDetail detail_before
    cdef uint64_t leaves, closing
    cdef bint keeps
    cdef Need need
    if slot == NONE:
        return 0
    order = &market.orders[slot]
    detail = &market.details[slot]
    before = order[0]
    detail_before = detail[0]
    reason = check_replace(exchange, batch, item, slot, &need, result)
    if unlikely(reason < 0):
        return -1
    leaves = order.leaves
    closing = detail.closing
    if reason:
        order[0] = before
        detail[0] = detail_before
        result.reason = <uint16_t>reason
        return 0
    first = clearing.execution_count
    keeps = order.price == before.price and detail.stop_price == detail_before.stop_price and leaves <= before.leaves
    place = before.place
    # The queues and levels know the order as it was.
    order.leaves = before.leaves
    order.price = before.price
    detail.stop_price = detail_before.stop_price
    if keeps and place == PLACE_BOOK:
        book_reduce(market, slot, leaves)
    elif place == PLACE_BOOK:
        book_remove(market, slot)
    else:
        stops_remove(market, slot)
    if not keeps or place == PLACE_STOPS:
        order.leaves = leaves
        if command.fields & AMEND_PRICE:
            order.price = ticks_of(&market.instruments[order.instrument], command.price)
        if command.fields & AMEND_STOP_PRICE:
            detail.stop_price = ticks_of(&market.instruments[order.instrument], command.stop_price)
            if type_of(order) == TYPE_STOP and not command.fields & AMEND_PRICE:
                order.price = protection(&market.instruments[order.instrument], detail.stop_price, sell_of(order))
    position = &clearing.positions[order.position]
    if sell_of(order):
        position.open_sell += leaves - before.leaves
        position.closing_long += closing - detail_before.closing
    else:
        position.open_buy += leaves - before.leaves
        position.closing_short += closing - detail_before.closing
    order_changed(&exchange.risk, slot, before.price, before.leaves)
    risk_accepted(&exchange.risk, order.position, result.timestamp)
    detail.held_fees = need.fees
    order_hold(clearing, slot, need.amount)
    record_execution(clearing, slot, EXECUTION_REPLACED, REASON_NONE, result.timestamp)
    if place == PLACE_STOPS:
        stops_insert(market, slot)
    elif not keeps:
        if market.instruments[order.instrument].session == SESSION_CONTINUOUS:
            enter(exchange, slot)
        else:
            book_insert(market, slot)
    run_stops(exchange, order.instrument)
    if clearing.execution_count - first > 1 and answer_fills(exchange, batch, slot, first, result) != 0:
        return -1
    answer(exchange, slot, ORDER_REPLACED, detail.reason, result)
    return 0
