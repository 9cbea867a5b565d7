"""See `trading.pxd`."""

from libc.string cimport memset

from engine._core.ahead cimport ahead_store, ahead_table
from engine._core.batch cimport Request
from engine._core.codes cimport *
from engine._core.digest cimport digest_mix
from engine._core.memory cimport memory_release, memory_reserve
from engine._core.native cimport prefetch_write
from engine._core.order_codes cimport *
from engine._core.order_records cimport OrderCommand, OrderResult
from engine._core.records cimport Result
from engine.listing cimport create_instrument, create_trading_account, update_instrument
from engine.matching.market cimport NODES_PER_LEVEL, Due, Market, due_next, due_pop, instrument_find, market_create, market_destroy, market_rebuild
from engine.matching.records cimport *
from engine.limit_commands cimport approve_limits, kill_switch, set_limits
from engine.orders cimport *
from engine.risk.exposure cimport fill_redone, fill_undone, revalue
from engine.risk.records cimport Group, PositionRisk
from engine.risk.store cimport risk_create, risk_destroy, risk_grow, risk_rebuild
from engine.sessions cimport end_of_day, set_session
from engine.settlement.busts cimport undo_trade
from engine.settlement.fills cimport record_execution
from engine.settlement.records cimport Execution, Position, Trade
from engine.settlement.store cimport Clearing, clearing_create, clearing_destroy, clearing_rebuild, order_prefetch, position_find, trading_account_find

cdef enum:
    SLICES_MOST = 1002              # of one iceberg: book.slices_of
    LEGS_MOST = 8                   # transfers of one fill
    AHEAD = 8                       # items between the prefetch of what one touches and its turn


cdef int exchange_create(
    Exchange* exchange, const MarketCapacity* market, const ClearingCapacity* clearing, const RiskCapacity* risk,
    const uint64_t* key, Ledger* ledger) noexcept nogil:
    memset(exchange, 0, sizeof(Exchange))
    exchange.ledger = ledger
    exchange.venue.context = exchange
    exchange.venue.fill = venue_fill
    exchange.venue.cancel = venue_cancel
    exchange.venue.restated = venue_restated
    exchange.venue.ready = venue_ready
    if (market_create(&exchange.market, market, key) != 0
            or clearing_create(&exchange.clearing, clearing, key, &exchange.market, ledger) != 0
            or risk_create(&exchange.risk, risk, key, &exchange.market, &exchange.clearing) != 0):
        exchange_destroy(exchange)
        return -1
    exchange.scratch = <uint32_t*>memory_reserve(<size_t>market.open_orders * sizeof(uint32_t))
    if exchange.scratch is NULL:
        exchange_destroy(exchange)
        return -1
    return 0


cdef void exchange_destroy(Exchange* exchange) noexcept nogil:
    memory_release(exchange.scratch, <size_t>exchange.market.capacity.open_orders * sizeof(uint32_t))
    risk_destroy(&exchange.risk)
    clearing_destroy(&exchange.clearing)
    market_destroy(&exchange.market)
    memset(exchange, 0, sizeof(Exchange))


cdef int exchange_rebuild(Exchange* exchange) noexcept nogil:
    market_rebuild(&exchange.market)
    risk_rebuild(&exchange.risk)
    return clearing_rebuild(&exchange.clearing)


cdef void exchange_growth(Exchange* exchange, Batch batch, uint64_t time, Growth* growth) noexcept nogil:
    """Every fill ends an order or a slice of one, so there are no more fills than open and new orders have slices."""
    cdef uint64_t entered = <uint64_t>batch.order_count + batch.amend_count
    cdef uint64_t fills = 0
    cdef uint64_t open_after = <uint64_t>exchange.market.open_count + batch.order_count
    cdef uint32_t index
    memset(growth, 0, sizeof(Growth))
    growth.instruments = batch.instrument_count
    growth.accounts = 2 * <uint64_t>batch.instrument_count
    growth.trading_accounts = batch.trading_account_count
    growth.links = batch.link_count
    growth.orders = growth.positions = batch.order_count
    if entered or batch.session_count or batch.day_count:
        fills = exchange.market.slices + entered
        for index in range(batch.order_count):
            if batch.orders[index].display_quantity:
                fills += SLICES_MOST
        if fills != <uint64_t>exchange.market.open_count + entered:     # there are icebergs, open ones or new ones
            for index in range(batch.amend_count):
                if batch.amends[index].fields & AMEND_QUANTITY:         # and this may be one that grows
                    fills += SLICES_MOST
    growth.named = 2 * <uint64_t>batch.trading_account_count + batch.limit_count + batch.kill_count
    growth.pairs = growth.proposals = batch.limit_count
    growth.trades = fills + batch.trade_command_count
    growth.transfers = LEGS_MOST * fills + 2 * LEGS_MOST * <uint64_t>batch.trade_command_count
    if batch.day_count:
        growth.transfers += 2 * <uint64_t>exchange.clearing.position_count
    # Two of every fill, one more when it shows the next slice; of an order new, triggered, restated and its end.
    growth.executions = 3 * fills + 4 * entered + 2 * <uint64_t>batch.trade_command_count
    if (entered or batch.mass_cancel_count or batch.session_count or batch.day_count or batch.kill_count
            or exchange.market.due_count):
        growth.executions += 3 * open_after
    growth.timestamps = (
        growth.executions + growth.transfers + growth.trades + growth.accounts + growth.instruments
        + growth.trading_accounts + entered + batch.mass_cancel_count + batch.session_count + batch.day_count
        + batch.trade_command_count + batch.limit_count + batch.kill_count + batch.approval_count)


cdef void exchange_begin(Exchange* exchange, Batch batch, uint64_t time) noexcept nogil:
    """Verdicts that are not from the log are those of another engine, or of none."""
    if not batch.decided:
        batch.verdict_count = 0
    exchange.risk.verdict = 0
    revalue(&exchange.risk, time)


cdef void exchange_ahead(Exchange* exchange, void* ahead) noexcept nogil:
    cdef Market* market = &exchange.market
    cdef Clearing* clearing = &exchange.clearing
    ahead_store(ahead, 0, market.orders, market.order_count, market.capacity.orders, sizeof(Order))
    ahead_store(ahead, 1, market.details, market.order_count, market.capacity.orders, sizeof(OrderDetail))
    ahead_store(ahead, 2, clearing.trades, clearing.trade_count, clearing.capacity.trades, sizeof(Trade))
    ahead_store(ahead, 3, clearing.executions, clearing.execution_count, clearing.capacity.executions, sizeof(Execution))
    ahead_store(ahead, 4, clearing.positions, clearing.position_count, clearing.capacity.positions, sizeof(Position))
    ahead_store(ahead, 5, market.dues, market.due_count, market.capacity.orders, sizeof(Due))
    ahead_store(ahead, 6, market.nodes, market.node_count, NODES_PER_LEVEL * market.capacity.open_orders, sizeof(Node))
    ahead_table(ahead, 7, &clearing.order_keys, market.capacity.orders)


# --- expiry -----------------------------------------------------------------------------------------

cdef uint64_t exchange_next_expiry(Exchange* exchange) noexcept nogil:
    cdef uint32_t slot = due_next(&exchange.market)
    return 0 if slot == NONE else exchange.market.details[slot].expire_time


cdef void exchange_expire(Exchange* exchange, uint64_t time) noexcept nogil:
    cdef uint32_t slot = due_next(&exchange.market)
    while slot != NONE and exchange.market.details[slot].expire_time <= time:
        due_pop(&exchange.market)
        close_order(exchange, slot, ORDER_EXPIRED, EXECUTION_EXPIRED, REASON_NONE, exchange.clearing.clock)
        exchange.clearing.clock += 1
        slot = due_next(&exchange.market)


# --- requests ---------------------------------------------------------------------------------------

cdef void bust_trade(Exchange* exchange, Batch batch, uint32_t item, OrderResult* result) noexcept nogil:
    cdef uint64_t price = batch.trade_commands[item].price
    cdef uint64_t now = exchange.clearing.clock
    cdef uint32_t slot
    cdef Trade* trade
    cdef bint buy_makes
    exchange.clearing.clock += 1
    memset(result, 0, sizeof(OrderResult))
    result.timestamp = now
    result.reason = <uint16_t>undo_trade(&exchange.clearing, batch.trade_commands[item].trade_id, price, &slot)
    result.status = ORDER_REJECTED
    digest_mix(exchange.ledger, now ^ price, batch.trade_commands[item].trade_id << 8 | result.reason)
    if result.reason:
        return
    result.status = ORDER_CORRECTED if price else ORDER_BUSTED
    result.order_id = <uint64_t>slot + 1
    trade = &exchange.clearing.trades[slot]
    follow_bust(exchange, &exchange.clearing.trades[batch.trade_commands[item].trade_id - 1], True)
    if price:
        follow_bust(exchange, trade, False)
    buy_makes = trade.taker_side == SIDE_SELL
    trade_execution(exchange, trade.buy_order if buy_makes else trade.sell_order, slot, price != 0, now)
    trade_execution(exchange, trade.sell_order if buy_makes else trade.buy_order, slot, price != 0, now)


cdef void trade_execution(Exchange* exchange, uint32_t order, uint32_t trade, bint corrected, uint64_t now) noexcept nogil:
    cdef uint32_t number = record_execution(
        &exchange.clearing, order, EXECUTION_CORRECTED if corrected else EXECUTION_BUSTED, REASON_NONE, now)
    exchange.clearing.executions[number].trade = trade


cdef void follow_bust(Exchange* exchange, const Trade* trade, bint undone) noexcept nogil:
    """Exposures of both sides, the maker's first, after a trade has been taken back or posted anew."""
    cdef uint32_t turn
    cdef bint sell
    for turn in range(2):
        sell = (turn == 0) == (trade.taker_side == SIDE_BUY)
        (fill_undone if undone else fill_redone)(
            &exchange.risk, trade.sell_order if sell else trade.buy_order, trade.quantity, trade.notional,
            trade.sell_fee + trade.duty if sell else trade.buy_fee, sell)


cdef inline void lines(void* first, size_t size) noexcept nogil:
    cdef size_t line
    for line in range(0, size, 64):
        prefetch_write(<char*>first + line)


cdef inline void look_ahead_position(Exchange* exchange, const OrderCommand* command) noexcept nogil:
    """What only orders that are held to limits touch before they meet the book: it makes the others slower to find it twice."""
    cdef Clearing* clearing = &exchange.clearing
    cdef uint32_t account = trading_account_find(clearing, command.account_id)
    cdef uint32_t instrument = instrument_find(&exchange.market, &command.symbol_0)
    cdef uint32_t slot
    if account == NONE or instrument == NONE:
        return
    slot = position_find(clearing, account, instrument)
    if slot != NONE:
        lines(&clearing.positions[slot], sizeof(Position))
        lines(&exchange.risk.positions[slot], sizeof(PositionRisk))
    lines(&exchange.risk.accounts[account], sizeof(Group))


cdef inline void look_ahead_orders(Exchange* exchange, Batch batch, uint32_t item) noexcept nogil:
    """Items of a batch stand one behind the other whatever their requests are; what a later one will touch comes into the cache."""
    if item + AHEAD < batch.order_count:
        order_prefetch(
            &exchange.clearing, batch.orders[item + AHEAD].account_id, batch.orders[item + AHEAD].client_order_id_lo,
            batch.orders[item + AHEAD].client_order_id_hi)
    if exchange.risk.state.limited and item + AHEAD // 2 < batch.order_count:
        look_ahead_position(exchange, &batch.orders[item + AHEAD // 2])


cdef inline void look_ahead_amends(Exchange* exchange, Batch batch, uint32_t item) noexcept nogil:
    """First the order itself, and half the way later, when it is there, its neighbours and its level."""
    cdef Market* market = &exchange.market
    cdef uint64_t slot
    cdef Order* order
    if item + AHEAD < batch.amend_count:
        slot = batch.amends[item + AHEAD].order_id - 1
        if slot < market.order_count:
            prefetch_write(&market.orders[slot])
            prefetch_write(&market.details[slot])
            prefetch_write(<char*>&market.details[slot] + 64)
    if item + AHEAD // 2 < batch.amend_count:
        slot = batch.amends[item + AHEAD // 2].order_id - 1
        if slot < market.order_count:
            order = &market.orders[slot]
            if order.level != NONE:
                prefetch_write(&market.levels[order.level])
                if order.next != NONE:
                    prefetch_write(&market.orders[order.next])
                if order.previous != NONE:
                    prefetch_write(&market.orders[order.previous])


cdef int order_request(Exchange* exchange, Batch batch, const Request* request, OrderResult* results) noexcept nogil:
    cdef uint32_t item
    cdef uint32_t first = request.item_first
    if request.kind == KIND_SUBMIT_ORDERS:
        for item in range(request.item_count):
            look_ahead_orders(exchange, batch, first + item)
            if submit_order(exchange, batch, first + item, request.scope, &results[item]) != 0:
                return -1
    elif request.kind == KIND_CANCEL_ORDERS:
        for item in range(request.item_count):
            look_ahead_amends(exchange, batch, first + item)
            cancel_order(exchange, &batch.amends[first + item], request.scope, &results[item])
    elif request.kind == KIND_REPLACE_ORDERS:
        for item in range(request.item_count):
            look_ahead_amends(exchange, batch, first + item)
            if replace_order(exchange, batch, first + item, request.scope, &results[item]) != 0:
                return -1
    elif request.kind == KIND_MASS_CANCEL:
        for item in range(request.item_count):
            mass_cancel(exchange, &batch.mass_cancels[first + item], request.scope, &results[item])
    elif request.kind == KIND_SET_SESSION:
        for item in range(request.item_count):
            set_session(exchange, &batch.sessions[first + item], &results[item])
    elif request.kind == KIND_KILL_SWITCH:
        for item in range(request.item_count):
            kill_switch(exchange, &batch.kills[first + item], &results[item])
    elif request.kind == KIND_BUST_TRADES:
        for item in range(request.item_count):
            bust_trade(exchange, batch, first + item, &results[item])
    else:
        end_of_day(exchange, &batch.days[first], request.item_count, results)
    return 0


cdef int exchange_request(Exchange* exchange, Batch batch, uint32_t index) noexcept nogil:
    cdef Request* request = &batch.requests[index]
    cdef uint32_t count = request.item_count
    cdef uint32_t item
    cdef Result* results
    cdef OrderResult* order_results
    if request.kind == KIND_END_OF_DAY and count:
        count = 1
    request.answer_count = count
    if request.kind <= KIND_CREATE_TRADING_ACCOUNTS or request.kind == KIND_SET_LIMITS or request.kind == KIND_APPROVE_LIMITS:
        request.answer_first = batch.result_count
        results = batch.append_results(count)
        if results is NULL:
            return -1
        for item in range(count):
            if request.kind == KIND_CREATE_INSTRUMENTS:
                create_instrument(exchange, &batch.instruments[request.item_first + item], &results[item])
            elif request.kind == KIND_UPDATE_INSTRUMENTS:
                update_instrument(exchange, &batch.instruments[request.item_first + item], &results[item])
            elif request.kind == KIND_CREATE_TRADING_ACCOUNTS:
                create_trading_account(
                    exchange, batch, &batch.trading_accounts[request.item_first + item], request.scope, &results[item])
            elif request.kind == KIND_SET_LIMITS:
                set_limits(exchange, batch, &batch.limits[request.item_first + item], &results[item])
            else:
                approve_limits(exchange, &batch.approvals[request.item_first + item], &results[item])
        risk_grow(&exchange.risk)
        return 0
    request.answer_first = batch.order_result_count
    order_results = batch.append_order_results(count)
    if order_results is NULL:
        return -1
    return 0 if count == 0 else order_request(exchange, batch, request, order_results)
