"""See `order_reads.pxd`."""

from libc.stdint cimport uint16_t, uint64_t
from libc.string cimport memset

from engine._core.batch cimport Request
from engine._core.codes cimport (
    FOUND, KIND_GET_EXECUTIONS, KIND_GET_INSTRUMENTS, KIND_GET_ORDERS, KIND_GET_POSITIONS, KIND_GET_TRADES,
    NONE, NOT_PERMITTED, SCAN_LIMIT_REACHED, UNKNOWN_INSTRUMENT, ACCOUNT_NOT_FOUND,
)
from engine._core.order_codes cimport *
from engine.matching.auction cimport auction_price
from engine.matching.levels cimport level_from
from engine.matching.market cimport instrument_find, ticks_of, units_of
from engine.matching.records cimport *
from engine.orders cimport gather, scope_permits_trading, sort_slots
from engine.settlement.holds cimport margin_of
from engine.settlement.records cimport Execution, Position, Trade
from engine.settlement.store cimport Clearing, trading_account_find


# --- views ------------------------------------------------------------------------------------------

cdef void view_order(Exchange* exchange, uint32_t slot, OrderView* view) noexcept nogil:
    cdef Order* order = &exchange.market.orders[slot]
    cdef OrderDetail* detail = &exchange.market.details[slot]
    cdef Instrument* instrument = &exchange.market.instruments[order.instrument]
    cdef uint32_t type = (order.traits & TRAIT_TYPE) >> TRAIT_TYPE_SHIFT
    memset(view, 0, sizeof(OrderView))
    view.order_id = <uint64_t>slot + 1
    view.client_order_id_lo = detail.client_order_id_lo
    view.client_order_id_hi = detail.client_order_id_hi
    view.account_id = exchange.clearing.accounts[exchange.clearing.positions[order.position].account].id
    view.symbol_0 = instrument.symbol_0
    view.symbol_1 = instrument.symbol_1
    view.symbol_2 = instrument.symbol_2
    view.price = 0 if type == TYPE_MARKET else units_of(instrument, order.price)
    view.stop_price = units_of(instrument, detail.stop_price)
    view.quantity = detail.quantity
    view.display_quantity = detail.display
    view.cum_quantity = order.filled
    view.leaves_quantity = order.leaves
    view.visible_quantity = order.visible if order.place == PLACE_BOOK else 0
    view.reserved_amount = order.held
    view.turnover = detail.turnover
    view.fees = detail.commission + detail.charges
    view.expire_time = detail.expire_time
    view.session = detail.session
    view.timestamp = detail.timestamp
    view.updated = detail.updated
    view.side = order.traits & TRAIT_SELL
    view.type = <uint16_t>type
    view.time_in_force = (order.traits & TRAIT_TIF) >> TRAIT_TIF_SHIFT
    view.self_trade_prevention = (order.traits & TRAIT_STP) >> TRAIT_STP_SHIFT
    view.offset = (order.traits & TRAIT_OFFSET) >> TRAIT_OFFSET_SHIFT
    view.flags = ORDER_POST_ONLY if order.traits & TRAIT_POST_ONLY else 0
    view.status = order.status
    view.reason = detail.reason


cdef void view_execution(Exchange* exchange, uint32_t slot, ExecutionView* view) noexcept nogil:
    cdef Clearing* clearing = &exchange.clearing
    cdef Execution* execution = &clearing.executions[slot]
    cdef Order* order = &exchange.market.orders[execution.order]
    cdef OrderDetail* detail = &exchange.market.details[execution.order]
    cdef Instrument* instrument = &exchange.market.instruments[order.instrument]
    cdef Trade* trade
    cdef uint32_t type = (order.traits & TRAIT_TYPE) >> TRAIT_TYPE_SHIFT
    memset(view, 0, sizeof(ExecutionView))
    view.exec_id = <uint64_t>slot + 1
    view.order_id = <uint64_t>execution.order + 1
    view.client_order_id_lo = detail.client_order_id_lo
    view.client_order_id_hi = detail.client_order_id_hi
    view.account_id = clearing.accounts[clearing.positions[order.position].account].id
    view.symbol_0 = instrument.symbol_0
    view.symbol_1 = instrument.symbol_1
    view.symbol_2 = instrument.symbol_2
    view.price = 0 if type == TYPE_MARKET else units_of(instrument, execution.price)
    view.quantity = execution.quantity
    view.leaves_qty = execution.leaves
    view.cum_qty = execution.filled
    view.timestamp = execution.timestamp
    view.batch = execution.batch
    view.session = detail.session
    view.side = order.traits & TRAIT_SELL
    view.type = <uint16_t>type
    view.kind = execution.kind
    view.status = execution.status
    view.reason = execution.reason
    if execution.trade != NONE:
        trade = &clearing.trades[execution.trade]
        view.trade_id = <uint64_t>execution.trade + 1
        view.last_px = units_of(instrument, trade.price)
        view.last_qty = trade.quantity
        view.fee = trade.sell_fee + trade.duty if order.traits & TRAIT_SELL else trade.buy_fee


cdef void view_trade(Exchange* exchange, uint32_t slot, TradeView* view) noexcept nogil:
    cdef Clearing* clearing = &exchange.clearing
    cdef Trade* trade = &clearing.trades[slot]
    cdef Instrument* instrument = &exchange.market.instruments[trade.instrument]
    memset(view, 0, sizeof(TradeView))
    view.trade_id = <uint64_t>slot + 1
    view.timestamp = trade.timestamp
    view.symbol_0 = instrument.symbol_0
    view.symbol_1 = instrument.symbol_1
    view.symbol_2 = instrument.symbol_2
    view.price = units_of(instrument, trade.price)
    view.quantity = trade.quantity
    view.notional = trade.notional
    view.buy_order_id = <uint64_t>trade.buy_order + 1
    view.sell_order_id = <uint64_t>trade.sell_order + 1
    view.buy_account_id = clearing.accounts[clearing.positions[exchange.market.orders[trade.buy_order].position].account].id
    view.sell_account_id = clearing.accounts[clearing.positions[exchange.market.orders[trade.sell_order].position].account].id
    view.buy_fee = trade.buy_fee
    view.sell_fee = trade.sell_fee
    view.duty = trade.duty
    view.corrects = 0 if trade.corrects == NONE else <uint64_t>trade.corrects + 1
    view.batch = trade.batch
    view.business_date = trade.business_date
    view.instrument = trade.instrument
    view.taker_side = trade.taker_side
    view.state = trade.state


cdef void view_position(Exchange* exchange, uint32_t slot, PositionView* view) noexcept nogil:
    cdef Clearing* clearing = &exchange.clearing
    cdef Position* position = &clearing.positions[slot]
    cdef Instrument* instrument = &exchange.market.instruments[position.instrument]
    cdef uint32_t reference = ticks_of(instrument, instrument.reference_price)
    cdef uint64_t quantity = position.long_quantity + position.short_quantity
    memset(view, 0, sizeof(PositionView))
    view.account_id = clearing.accounts[position.account].id
    view.symbol_0 = instrument.symbol_0
    view.symbol_1 = instrument.symbol_1
    view.symbol_2 = instrument.symbol_2
    view.long_today = position.long_today
    view.short_today = position.short_today
    view.long_basis = position.long_basis
    view.short_basis = position.short_basis
    view.margin = position.margin
    view.shortfall = position.shortfall
    view.open_buy = position.open_buy
    view.open_sell = position.open_sell
    view.long_quantity = position.long_quantity
    view.short_quantity = position.short_quantity
    if instrument.flags & INSTRUMENT_FUTURES:
        view.margin_initial = margin_of(instrument, reference, quantity, instrument.initial_margin_ppm)
        view.margin_maintenance = margin_of(instrument, reference, quantity, instrument.maintenance_margin_ppm)
        if position.shortfall or position.margin < view.margin_maintenance:
            view.call = position.shortfall
            if view.margin_initial > position.margin:
                view.call += view.margin_initial - position.margin
    elif position.base_account != NONE:
        view.long_quantity = exchange.ledger.accounts[position.base_account].credits_posted
        if view.long_quantity > exchange.ledger.accounts[position.base_account].debits_posted:
            view.long_quantity -= exchange.ledger.accounts[position.base_account].debits_posted
        else:
            view.long_quantity = 0
        view.unsettled = clearing.holdings[position.base_holding].bought


cdef void view_book(Exchange* exchange, uint32_t slot, BookView* view) noexcept nogil:
    cdef Instrument* instrument = &exchange.market.instruments[slot]
    cdef uint32_t price
    memset(view, 0, sizeof(BookView))
    view.symbol_0 = instrument.symbol_0
    view.symbol_1 = instrument.symbol_1
    view.symbol_2 = instrument.symbol_2
    view.last_price = units_of(instrument, instrument.last_price)
    view.reference_price = instrument.reference_price
    if instrument.price_band_ppm and instrument.reference_price:
        view.limit_down = units_of(instrument, instrument.limit_down)
        view.limit_up = units_of(instrument, instrument.limit_up)
    view.open_price = units_of(instrument, instrument.open_price)
    view.high_price = units_of(instrument, instrument.high_price)
    view.low_price = units_of(instrument, instrument.low_price)
    view.volume = instrument.volume
    view.turnover = instrument.turnover
    view.timestamp = instrument.updated
    view.number = slot
    view.session = instrument.session
    view.flags = instrument.session_flags
    if instrument.session == SESSION_PRE_OPEN or instrument.session == SESSION_AUCTION:
        auction_price(&exchange.market, slot, &price, &view.indicative_quantity)
        view.indicative_price = units_of(instrument, price)


cdef uint32_t view_levels(Exchange* exchange, uint32_t slot, int side, uint32_t most, LevelView* views) noexcept nogil:
    cdef Instrument* instrument = &exchange.market.instruments[slot]
    cdef BookSide* levels = &instrument.sides[side]
    cdef uint32_t count = 0
    cdef uint32_t level = levels.best
    cdef Level* found
    while level != NONE and count < most:
        found = &exchange.market.levels[level]
        views[count].price = units_of(instrument, found.price)
        views[count].quantity = found.quantity
        views[count].orders = found.count
        views[count].side = side
        count += 1
        level = level_from(
            &exchange.market, levels, <uint64_t>found.price + (<uint64_t>-1 if side == FOLD_BIDS else 1), side == FOLD_BIDS)
    return count


# --- searching --------------------------------------------------------------------------------------

cdef struct Search:
    uint32_t account                # trading account, or NONE: any
    uint32_t instrument             # or NONE: any
    uint32_t scope


cdef uint32_t begin(Exchange* exchange, const Request* request, const OrderFilter* filter, Search* search) noexcept nogil:
    """FOUND, or why the filter names nothing that may be read."""
    search.account = search.instrument = NONE
    search.scope = request.scope
    if filter.account_id:
        search.account = trading_account_find(&exchange.clearing, filter.account_id)
        if search.account == NONE:
            return ACCOUNT_NOT_FOUND
        if not scope_permits_trading(exchange, request.scope, search.account):
            return NOT_PERMITTED
    if filter.symbol_0:
        search.instrument = instrument_find(&exchange.market, &filter.symbol_0)
        if search.instrument == NONE:
            return UNKNOWN_INSTRUMENT
    return FOUND


cdef bint mine(Exchange* exchange, const Search* search, uint32_t order) noexcept nogil:
    """Whether an order is of an account that is asked for and may be seen."""
    cdef uint32_t account = exchange.clearing.positions[exchange.market.orders[order].position].account
    if search.account != NONE:
        return account == search.account
    return scope_permits_trading(exchange, search.scope, account)


cdef bint in_time(const OrderFilter* filter, uint64_t timestamp) noexcept nogil:
    return timestamp >= filter.timestamp_min and (filter.timestamp_max == 0 or timestamp <= filter.timestamp_max)


cdef bint fits(Exchange* exchange, const Search* search, const OrderFilter* filter, uint32_t slot) noexcept nogil:
    cdef Order* order = &exchange.market.orders[slot]
    if search.instrument != NONE and order.instrument != search.instrument:
        return False
    if filter.flags & FILTER_OPEN_ONLY and order.place == PLACE_NONE:
        return False
    if filter.order_id and filter.order_id != <uint64_t>slot + 1:
        return False
    return in_time(filter, exchange.market.details[slot].timestamp) and mine(exchange, search, slot)


cdef uint32_t gather_open(Exchange* exchange, const Search* search) noexcept nogil:
    """The open orders of the books that can hold wanted ones, in the order of their ids, in exchange.scratch."""
    cdef uint32_t count = 0
    cdef uint32_t slot
    if search.instrument != NONE:
        count = gather(exchange, search.instrument, count)
    elif search.account != NONE:
        slot = exchange.clearing.accounts[search.account].position_last
        while slot != NONE:
            if exchange.clearing.positions[slot].open_orders:
                count = gather(exchange, exchange.clearing.positions[slot].instrument, count)
            slot = exchange.clearing.positions[slot].previous_of_account
    else:
        for slot in range(exchange.market.instrument_count):
            count = gather(exchange, slot, count)
    sort_slots(exchange.scratch, count)
    return count


cdef int put_order(Exchange* exchange, Batch batch, uint32_t slot) noexcept nogil:
    cdef OrderView* view = batch.append_order_views(1)
    if view is NULL:
        return -1
    view_order(exchange, slot, view)
    return 0


cdef int get_orders(Exchange* exchange, Batch batch, Request* request, const OrderFilter* filter, const Search* search) noexcept nogil:
    """By id, upwards from `after`; newest first downwards (below `after`, if given)."""
    cdef uint32_t limit = filter.limit
    cdef uint32_t looked = 0
    cdef uint32_t count, index, slot
    cdef bint newest = filter.flags & FILTER_NEWEST_FIRST
    request.answer_first = batch.order_view_count
    if filter.flags & FILTER_OPEN_ONLY:
        count = gather_open(exchange, search)
        for index in range(count):
            slot = exchange.scratch[count - 1 - index if newest else index]
            if limit and after(filter, <uint64_t>slot + 1, newest) and fits(exchange, search, filter, slot):
                limit -= 1
                if put_order(exchange, batch, slot) != 0:
                    return -1
    elif newest and search.account != NONE:
        slot = exchange.clearing.accounts[search.account].order_last
        while slot != NONE and limit:
            looked += 1
            if looked > exchange.ledger.capacity.scan:
                request.status = SCAN_LIMIT_REACHED
                break
            if after(filter, <uint64_t>slot + 1, newest) and fits(exchange, search, filter, slot):
                limit -= 1
                if put_order(exchange, batch, slot) != 0:
                    return -1
            slot = exchange.market.details[slot].previous_of_account
    else:
        index = 0
        if not newest:
            index = <uint32_t>filter.after if filter.after < exchange.market.order_count else exchange.market.order_count
        while index < exchange.market.order_count and limit:
            looked += 1
            if looked > exchange.ledger.capacity.scan:
                request.status = SCAN_LIMIT_REACHED
                break
            slot = exchange.market.order_count - 1 - index if newest else index
            if after(filter, <uint64_t>slot + 1, newest) and fits(exchange, search, filter, slot):
                limit -= 1
                if put_order(exchange, batch, slot) != 0:
                    return -1
            index += 1
    request.answer_count = batch.order_view_count - request.answer_first
    return 0


cdef inline bint after(const OrderFilter* filter, uint64_t id, bint newest) noexcept nogil:
    if filter.after == 0:
        return True
    return id < filter.after if newest else id > filter.after


cdef uint32_t first_trade(Clearing* clearing, uint64_t number) noexcept nogil:
    """The first trade of a batch from this number on."""
    cdef uint32_t low = 0
    cdef uint32_t high = clearing.trade_count
    cdef uint32_t middle
    while low < high:
        middle = low + (high - low) // 2
        if clearing.trades[middle].batch < number:
            low = middle + 1
        else:
            high = middle
    return low


cdef uint32_t first_execution(Clearing* clearing, uint64_t number) noexcept nogil:
    cdef uint32_t low = 0
    cdef uint32_t high = clearing.execution_count
    cdef uint32_t middle
    while low < high:
        middle = low + (high - low) // 2
        if clearing.executions[middle].batch < number:
            low = middle + 1
        else:
            high = middle
    return low


cdef int get_trades(Exchange* exchange, Batch batch, Request* request, const OrderFilter* filter, const Search* search) noexcept nogil:
    """A channel with a scope sees the trades of its accounts, and of those only its own sides."""
    cdef Clearing* clearing = &exchange.clearing
    cdef Trade* trade
    cdef TradeView* view
    cdef uint32_t limit = filter.limit
    cdef uint32_t looked = 0
    cdef uint32_t first = first_trade(clearing, filter.batch_min)
    cdef uint32_t index, slot
    cdef bint newest = filter.flags & FILTER_NEWEST_FIRST
    cdef bint buys, sells
    request.answer_first = batch.trade_view_count
    if not newest and filter.after > first:
        first = <uint32_t>filter.after if filter.after < clearing.trade_count else clearing.trade_count
    index = first
    while index < clearing.trade_count and limit:
        slot = clearing.trade_count - 1 - (index - first) if newest else index
        index += 1
        looked += 1
        if looked > exchange.ledger.capacity.scan:
            request.status = SCAN_LIMIT_REACHED
            break
        trade = &clearing.trades[slot]
        if search.instrument != NONE and trade.instrument != search.instrument:
            continue
        if not after(filter, <uint64_t>slot + 1, newest) or not in_time(filter, trade.timestamp):
            continue
        if filter.order_id and filter.order_id != <uint64_t>trade.buy_order + 1 and filter.order_id != <uint64_t>trade.sell_order + 1:
            continue
        buys = mine(exchange, search, trade.buy_order)
        sells = mine(exchange, search, trade.sell_order)
        if not buys and not sells:
            continue
        view = batch.append_trade_views(1)
        if view is NULL:
            return -1
        view_trade(exchange, slot, view)
        if request.scope and not buys:
            view.buy_order_id = view.buy_account_id = view.buy_fee = 0
        if request.scope and not sells:
            view.sell_order_id = view.sell_account_id = view.sell_fee = view.duty = 0
        limit -= 1
    request.answer_count = batch.trade_view_count - request.answer_first
    return 0


cdef int get_executions(
    Exchange* exchange, Batch batch, Request* request, const OrderFilter* filter, const Search* search) noexcept nogil:
    """By id, upwards from `after`; newest first downwards (below `after`, if given)."""
    cdef Clearing* clearing = &exchange.clearing
    cdef Execution* execution
    cdef ExecutionView* view
    cdef uint32_t limit = filter.limit
    cdef uint32_t looked = 0
    cdef uint32_t first = first_execution(clearing, filter.batch_min)
    cdef uint32_t end = clearing.execution_count
    cdef uint32_t slot
    cdef bint newest = filter.flags & FILTER_NEWEST_FIRST
    request.answer_first = batch.execution_view_count
    if newest and 0 < filter.after <= end:
        end = <uint32_t>filter.after - 1
    elif not newest and filter.after > first:
        first = <uint32_t>filter.after if filter.after < end else end
    while first < end and limit:
        looked += 1
        if looked > exchange.ledger.capacity.scan:
            request.status = SCAN_LIMIT_REACHED
            break
        if newest:
            end -= 1
            slot = end
        else:
            slot = first
            first += 1
        execution = &clearing.executions[slot]
        if search.instrument != NONE and exchange.market.orders[execution.order].instrument != search.instrument:
            continue
        if filter.order_id and filter.order_id != <uint64_t>execution.order + 1:
            continue
        if not in_time(filter, execution.timestamp) or not mine(exchange, search, execution.order):
            continue
        view = batch.append_execution_views(1)
        if view is NULL:
            return -1
        view_execution(exchange, slot, view)
        limit -= 1
    request.answer_count = batch.execution_view_count - request.answer_first
    return 0


cdef int get_positions(Exchange* exchange, Batch batch, Request* request, const OrderFilter* filter, const Search* search) noexcept nogil:
    cdef Clearing* clearing = &exchange.clearing
    cdef Position* position
    cdef PositionView* view
    cdef uint32_t limit = filter.limit
    cdef uint32_t slot
    request.answer_first = batch.position_view_count
    for slot in range(clearing.position_count):
        position = &clearing.positions[slot]
        if limit == 0:
            break
        if search.instrument != NONE and position.instrument != search.instrument:
            continue
        if search.account != NONE and position.account != search.account:
            continue
        if search.account == NONE and not scope_permits_trading(exchange, search.scope, position.account):
            continue
        view = batch.append_position_views(1)
        if view is NULL:
            return -1
        view_position(exchange, slot, view)
        if filter.flags & FILTER_MARGIN_CALLS and view.call == 0:
            batch.position_view_count -= 1
            continue
        limit -= 1
    request.answer_count = batch.position_view_count - request.answer_first
    return 0


cdef int get_book(Exchange* exchange, Batch batch, Request* request, const OrderFilter* filter, uint32_t slot) noexcept nogil:
    cdef BookView* book = batch.append_book_views(1)
    cdef Instrument* instrument = &exchange.market.instruments[slot]
    cdef uint32_t most, side
    cdef LevelView* views
    if book is NULL:
        return -1
    request.answer_first = batch.book_view_count - 1
    request.answer_count = 1
    request.reserved = batch.level_view_count
    view_book(exchange, slot, book)
    for side in range(2):
        most = instrument.sides[side].levels
        if filter.limit and filter.limit < most:
            most = filter.limit
        views = batch.append_level_views(most)
        if views is NULL:
            return -1
        view_levels(exchange, slot, side, most, views)
        if side == FOLD_BIDS:
            book.bids = most
        else:
            book.asks = most
    return 0


cdef int get_instruments(Exchange* exchange, Batch batch, Request* request, const OrderFilter* filter, const Search* search) noexcept nogil:
    cdef BookView* view
    cdef uint32_t limit = filter.limit
    cdef uint32_t slot
    request.answer_first = batch.book_view_count
    for slot in range(exchange.market.instrument_count):
        if limit == 0:
            break
        if slot < filter.after or (search.instrument != NONE and slot != search.instrument):
            continue
        view = batch.append_book_views(1)
        if view is NULL:
            return -1
        view_book(exchange, slot, view)
        limit -= 1
    request.answer_count = batch.book_view_count - request.answer_first
    return 0


cdef int read_orders(Exchange* exchange, Batch batch, uint32_t index) noexcept nogil:
    cdef Request* request = &batch.requests[index]
    cdef const OrderFilter* filter = &batch.order_filters[request.item_first]
    cdef Search search
    request.status = begin(exchange, request, filter, &search)
    request.answer_first = request.answer_count = 0
    if request.status != FOUND:
        return 0
    if request.kind == KIND_GET_ORDERS:
        return get_orders(exchange, batch, request, filter, &search)
    if request.kind == KIND_GET_TRADES:
        return get_trades(exchange, batch, request, filter, &search)
    if request.kind == KIND_GET_POSITIONS:
        return get_positions(exchange, batch, request, filter, &search)
    if request.kind == KIND_GET_EXECUTIONS:
        return get_executions(exchange, batch, request, filter, &search)
    if request.kind == KIND_GET_INSTRUMENTS:
        return get_instruments(exchange, batch, request, filter, &search)
    if search.instrument == NONE:
        request.status = UNKNOWN_INSTRUMENT
        return 0
    return get_book(exchange, batch, request, filter, search.instrument)
