"""See `orders.pxd`."""

from libc.stdint cimport int32_t, uint16_t
from libc.string cimport memcpy, memset

from engine._core.order_codes cimport (
    FILTER_MARGIN_CALLS, FILTER_NEWEST_FIRST, FILTER_OPEN_ONLY, ORDER_POST_ONLY, SESSION_CONTINUOUS, SESSION_NO_CANCEL,
    TIF_GTD, TYPE_LIMIT, TYPE_STOP, TYPE_STOP_LIMIT,
)
from engine._core.order_records cimport (
    AmendCommand, DayCommand, InstrumentCommand, MassCancelCommand, OrderCommand, OrderFilter, SessionCommand,
    TradeCommand, TradingAccountCommand,
)
from server.wire.fields cimport (
    PROFILES_MAX, REASON_BOTH, REASON_DATE, REASON_MEMORY, REASON_MISSING, REASON_NO_ID, REASON_NOT_ARRAY,
    REASON_NOT_FOR_TIME, REASON_NOT_FOR_TYPE, REASON_SYNTAX, REASON_TIMES, REASON_TOO_MANY, Seen, check_required,
    explain_fields, read_object, refuse,
)
from server.wire.methods cimport (
    METHOD_BUST_TRADES, METHOD_CANCEL_ORDERS, METHOD_CORRECT_TRADES, METHOD_CREATE_INSTRUMENTS,
    METHOD_CREATE_TRADING_ACCOUNTS, METHOD_END_OF_DAY, METHOD_GET_BOOK, METHOD_GET_EXECUTIONS, METHOD_GET_INSTRUMENTS,
    METHOD_GET_MARGIN_CALLS, METHOD_GET_ORDERS, METHOD_GET_POSITIONS, METHOD_GET_TRADES, METHOD_MASS_CANCEL,
    METHOD_REPLACE_ORDERS, METHOD_SET_SESSION, METHOD_SUBMIT_ORDERS, METHOD_UPDATE_INSTRUMENTS,
)
from server.wire.order_shapes cimport (
    AMEND_CLIENT_ID, AMEND_FIRST, AMEND_ORDER_ID, DAY_DATE, INSTRUMENT_CONTRACT_SIZE, INSTRUMENT_PRICE_SCALE,
    INSTRUMENT_PROFILE, INSTRUMENT_PROTECTION, INSTRUMENT_SESSION, ORDERS_FLAG, ORDERS_LIMIT, ORDERS_MIN,
    ORDERS_REVERSED, ORDER_CLIENT_ID, ORDER_EXPIRE_TIME, ORDER_POST_ONLY_FIELD, ORDER_PRICE, ORDER_STOP_PRICE,
    ORDER_TEMPLATE, SESSION_CANCELS, amend_shape, book_shape, bust_shape, cancel_shape, correct_shape, day_shape,
    executions_shape, instrument_shape, instrument_update_shape, instruments_shape, mass_cancel_shape, order_fields,
    order_shape, orders_shape, positions_shape, session_shape, trades_shape, trading_account_shape,
)
from server.wire.shapes cimport KIND_BIT, Shape, build_names, choices
from server.wire.text cimport OrderText, order_template, skip_blanks

import numpy as np

from engine._core.order_records import INSTRUMENT_COMMAND


cdef enum:
    PROTECTION_DEFAULT_PPM = 50000      # market_protection_ppm, when neither the client nor a profile decides


# --- profiles -----------------------------------------------------------------------------------

cdef class Profiles:
    def __init__(self, profiles) -> None:
        """`profiles`: name -> terms, as create_instruments would have them ({"tick_size": 1, "settlement": "T+1"})."""
        self.replace(profiles)

    def replace(self, profiles) -> None:
        """Other terms from now on; parsers that have this table use them for the next line."""
        cdef ProfileTable table
        cdef InstrumentCommand[::1] record
        cdef uint32_t given
        cdef list fields = order_fields[METHOD_CREATE_INSTRUMENTS][0]
        cdef dict places = {field[0]: index for index, field in enumerate(fields)}
        if len(profiles) > PROFILES_MAX:
            raise ValueError(f"profiles: {len(profiles)} are more than {PROFILES_MAX}")
        memset(&table, 0, sizeof(ProfileTable))
        build_names(&table.names, list(profiles))
        for index, (name, terms) in enumerate(profiles.items()):
            given = 0
            made = np.zeros(1, INSTRUMENT_COMMAND)
            for member, value in terms.items():
                if member not in places or member in ("instrument", "profile"):
                    raise ValueError(f"profiles.{name}.{member}: is not a term of an instrument")
                given |= <uint32_t>1 << <int>places[member]
                kind, maximum = fields[places[member]][1], fields[places[member]][5]
                if member == "session":
                    made["session"] = choices["session"].index(value)
                elif kind == KIND_BIT:
                    made["flags"] |= maximum if choices[member].index(value) else 0
                else:
                    made[member] = value
            record = made
            table.values[index] = record[0]
            table.given[index] = given
        self.table = table
        self.names = tuple(profiles)


cdef void complete(InstrumentCommand* terms, const Seen* seen, const Reading* reading, uint32_t* given) noexcept nogil:
    """Members that were left out, by the profile or by default. `given` becomes what is decided then."""
    cdef const InstrumentCommand* values
    cdef uint32_t more
    cdef int number
    given[0] = seen.given
    if seen.given & 1 << INSTRUMENT_PROFILE:
        values = &reading.profiles.values[seen.profile]
        more = reading.profiles.given[seen.profile] & ~seen.given
        for number in range(INSTRUMENT_PROFILE):
            if not more >> number & 1:
                continue
            if instrument_shape.fields[number].kind == KIND_BIT:
                terms.flags |= values.flags & <uint16_t>instrument_shape.fields[number].maximum
            else:
                memcpy(<uint8_t*>terms + instrument_shape.fields[number].offset,
                       <const uint8_t*>values + instrument_shape.fields[number].offset,
                       instrument_shape.fields[number].width)
        given[0] |= more
    if not given[0] & 1 << INSTRUMENT_PRICE_SCALE:
        terms.price_scale = 1
    if not given[0] & 1 << INSTRUMENT_CONTRACT_SIZE:
        terms.contract_size = 1
    if not given[0] & 1 << INSTRUMENT_PROTECTION:
        terms.market_protection_ppm = PROTECTION_DEFAULT_PPM
    if not given[0] & 1 << INSTRUMENT_SESSION:
        terms.session = SESSION_CONTINUOUS


# --- orders -------------------------------------------------------------------------------------

cdef inline bint is_no_id(uint64_t lo, uint64_t hi) noexcept nogil:
    return (lo | hi) == 0 or (lo & hi) == 0xFFFFFFFFFFFFFFFFULL


cdef const uint8_t* check_order(
    const uint8_t* p, const OrderCommand* order, uint32_t given, Reading* reading
) noexcept nogil:
    """`p`, or NULL when a member is missing that the order's type or time in force needs, or is not for it."""
    cdef uint32_t required = order_shape.required
    cdef bint stop = order.type == TYPE_STOP or order.type == TYPE_STOP_LIMIT
    if given & 1 << ORDER_CLIENT_ID and is_no_id(order.client_order_id_lo, order.client_order_id_hi):
        return refuse(reading, REASON_NO_ID, ORDER_CLIENT_ID, p)
    if check_required(p, required, given, reading) is NULL:
        return NULL
    if order.type == TYPE_LIMIT or order.type == TYPE_STOP_LIMIT:
        required |= 1 << ORDER_PRICE
    if stop:
        required |= 1 << ORDER_STOP_PRICE
    elif given & 1 << ORDER_STOP_PRICE:
        return refuse(reading, REASON_NOT_FOR_TYPE, ORDER_STOP_PRICE, p)
    if order.time_in_force == TIF_GTD:
        required |= 1 << ORDER_EXPIRE_TIME
    elif given & 1 << ORDER_EXPIRE_TIME:
        return refuse(reading, REASON_NOT_FOR_TIME, ORDER_EXPIRE_TIME, p)
    return check_required(p, required, given, reading)


cdef const uint8_t* read_orders(const uint8_t* p, Batch batch, Reading* reading, uint32_t* count) noexcept nogil:
    cdef OrderCommand* order
    cdef OrderText text
    cdef const uint8_t* behind
    cdef Seen seen
    while True:
        if count[0] >= reading.items_max:
            return refuse(reading, REASON_TOO_MANY, -1, p)
        reading.item = <int32_t>count[0]
        if batch.order_count < batch.order_capacity:
            order = &batch.orders[batch.order_count]
            batch.order_count += 1
        else:
            order = batch.append_orders(1)
            if order is NULL:
                return refuse(reading, REASON_MEMORY, -1, p)
        memset(order, 0, sizeof(OrderCommand))
        order.session = reading.session
        seen.given = 0
        seen.true = 0
        behind = order_template(p, &text)
        if behind is not NULL:
            order.client_order_id_lo = text.client_lo
            order.client_order_id_hi = text.client_hi
            order.account_id = text.account
            order.symbol_0 = text.symbol[0]
            order.symbol_1 = text.symbol[1]
            order.symbol_2 = text.symbol[2]
            order.side = <uint16_t>text.side
            order.type = <uint16_t>text.type
            order.quantity = text.quantity
            order.price = text.price
            seen.given = ORDER_TEMPLATE | text.priced << ORDER_PRICE
            p = behind
        if behind is not NULL and p[0] == c'}':
            p += 1
            if (not text.priced and text.type == TYPE_LIMIT) or is_no_id(text.client_lo, text.client_hi):
                p = check_order(p, order, seen.given, reading)
                if p is NULL:
                    return NULL
        else:
            p = read_object(&order_shape, p, <uint8_t*>order, &seen, reading, batch)
            if p is NULL:
                return NULL
            if seen.true & 1 << ORDER_POST_ONLY_FIELD:
                order.flags = ORDER_POST_ONLY
            p = check_order(p, order, seen.given, reading)
            if p is NULL:
                return NULL
        count[0] += 1
        p = skip_blanks(p)
        if p[0] == c']':
            return p + 1
        if p[0] != c',':
            return refuse(reading, REASON_SYNTAX, -1, p)
        p = skip_blanks(p + 1)


cdef const uint8_t* read_amend(
    bint replace, const uint8_t* p, AmendCommand* amend, Reading* reading, Batch batch
) noexcept nogil:
    cdef const Shape* shape = &amend_shape if replace else &cancel_shape
    cdef uint32_t ids = 1 << AMEND_ORDER_ID | 1 << AMEND_CLIENT_ID
    cdef Seen seen
    seen.given = 0
    seen.true = 0
    memset(amend, 0, sizeof(AmendCommand))
    p = read_object(shape, p, <uint8_t*>amend, &seen, reading, batch)
    p = check_required(p, shape.required, seen.given, reading)
    if p is NULL:
        return NULL
    if seen.given & ids == ids:
        return refuse(reading, REASON_BOTH, -1, p)
    if not seen.given & ids:
        return refuse(reading, REASON_MISSING, AMEND_ORDER_ID, p)
    if seen.given & 1 << AMEND_CLIENT_ID and is_no_id(amend.client_order_id_lo, amend.client_order_id_hi):
        return refuse(reading, REASON_NO_ID, AMEND_CLIENT_ID, p)
    amend.fields = seen.given >> AMEND_FIRST
    return p


# --- everything else ----------------------------------------------------------------------------

cdef const uint8_t* read_instrument(
    const uint8_t* p, InstrumentCommand* terms, Reading* reading, Batch batch
) noexcept nogil:
    cdef uint32_t given
    cdef Seen seen
    seen.given = 0
    seen.true = 0
    seen.profile = 0
    memset(terms, 0, sizeof(InstrumentCommand))
    p = read_object(&instrument_shape, p, <uint8_t*>terms, &seen, reading, batch)
    if p is NULL:
        return NULL
    complete(terms, &seen, reading, &given)
    return check_required(p, instrument_shape.required, given, reading)


cdef const uint8_t* read_plain(
    const Shape* shape, const uint8_t* p, uint8_t* out, Seen* seen, Reading* reading, Batch batch
) noexcept nogil:
    """An object of which nothing but the required members is checked."""
    seen.given = 0
    seen.true = 0
    p = read_object(shape, p, out, seen, reading, batch)
    return check_required(p, shape.required, seen.given, reading)


cdef const uint8_t* read_item(
    int method, const uint8_t* p, Batch batch, Reading* reading
) noexcept nogil:
    """One item of any array but submit_orders', appended."""
    cdef InstrumentCommand* terms
    cdef TradingAccountCommand* account
    cdef AmendCommand* amend
    cdef TradeCommand* trade
    cdef Seen seen
    if method == METHOD_CANCEL_ORDERS or method == METHOD_REPLACE_ORDERS:
        amend = batch.append_amends(1)
        if amend is not NULL:
            return read_amend(method == METHOD_REPLACE_ORDERS, p, amend, reading, batch)
    elif method == METHOD_CREATE_INSTRUMENTS:
        terms = batch.append_instruments(1)
        if terms is not NULL:
            return read_instrument(p, terms, reading, batch)
    elif method == METHOD_UPDATE_INSTRUMENTS:
        terms = batch.append_instruments(1)
        if terms is not NULL:
            memset(terms, 0, sizeof(InstrumentCommand))
            p = read_plain(&instrument_update_shape, p, <uint8_t*>terms, &seen, reading, batch)
            terms.fields = seen.given >> 1
            return p
    elif method == METHOD_CREATE_TRADING_ACCOUNTS:
        account = batch.append_trading_accounts(1)
        if account is not NULL:
            memset(account, 0, sizeof(TradingAccountCommand))
            return read_plain(&trading_account_shape, p, <uint8_t*>account, &seen, reading, batch)
    else:
        trade = batch.append_trade_commands(1)
        if trade is not NULL:
            memset(trade, 0, sizeof(TradeCommand))
            return read_plain(
                &bust_shape if method == METHOD_BUST_TRADES else &correct_shape, p, <uint8_t*>trade, &seen, reading,
                batch)
    return refuse(reading, REASON_MEMORY, -1, p)


cdef const uint8_t* read_array(
    int method, const uint8_t* p, Batch batch, Reading* reading, uint32_t* count
) noexcept nogil:
    while True:
        if count[0] >= reading.items_max:
            return refuse(reading, REASON_TOO_MANY, -1, p)
        reading.item = <int32_t>count[0]
        p = read_item(method, p, batch, reading)
        if p is NULL:
            return NULL
        count[0] += 1
        p = skip_blanks(p)
        if p[0] == c']':
            return p + 1
        if p[0] != c',':
            return refuse(reading, REASON_SYNTAX, -1, p)
        p = skip_blanks(p + 1)


cdef const uint8_t* read_mass_cancel(const uint8_t* p, Batch batch, Reading* reading) noexcept nogil:
    cdef MassCancelCommand* mass = batch.append_mass_cancels(1)
    cdef Seen seen
    if mass is NULL:
        return refuse(reading, REASON_MEMORY, -1, p)
    memset(mass, 0, sizeof(MassCancelCommand))
    return read_plain(&mass_cancel_shape, p, <uint8_t*>mass, &seen, reading, batch)


cdef const uint8_t* read_session(const uint8_t* p, Batch batch, Reading* reading) noexcept nogil:
    cdef SessionCommand* session = batch.append_sessions(1)
    cdef Seen seen
    if session is NULL:
        return refuse(reading, REASON_MEMORY, -1, p)
    memset(session, 0, sizeof(SessionCommand))
    p = read_plain(&session_shape, p, <uint8_t*>session, &seen, reading, batch)
    if seen.given & ~seen.true & 1 << SESSION_CANCELS:
        session.flags = SESSION_NO_CANCEL
    return p


cdef bint is_day(uint32_t date) noexcept nogil:
    """Whether yyyymmdd is a day of the calendar."""
    cdef uint32_t year = date // 10000, month = date // 100 % 100, day = date % 100, days = 31
    if year < 1970 or year > 9999 or month < 1 or month > 12:
        return False
    if month == 4 or month == 6 or month == 9 or month == 11:
        days = 30
    elif month == 2:
        days = 29 if year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) else 28
    return 1 <= day <= days


cdef const uint8_t* read_day(const uint8_t* p, Batch batch, Reading* reading, uint32_t* count) noexcept nogil:
    """The date first, then the prices, which may have been given before it."""
    cdef const uint8_t* at = p
    cdef uint32_t first = batch.day_count
    cdef DayCommand date
    cdef Seen seen
    if batch.append_days(1) is NULL:
        return refuse(reading, REASON_MEMORY, -1, p)
    memset(&date, 0, sizeof(DayCommand))
    p = read_plain(&day_shape, p, <uint8_t*>&date, &seen, reading, batch)
    if p is NULL:
        return NULL
    if not is_day(date.business_date):
        return refuse(reading, REASON_DATE, DAY_DATE, at)
    batch.days[first] = date
    count[0] = batch.day_count - first
    return p


cdef const Shape* filter_shape(int method) noexcept nogil:
    if method == METHOD_GET_ORDERS:
        return &orders_shape
    if method == METHOD_GET_BOOK:
        return &book_shape
    if method == METHOD_GET_TRADES:
        return &trades_shape
    if method == METHOD_GET_EXECUTIONS:
        return &executions_shape
    if method == METHOD_GET_INSTRUMENTS:
        return &instruments_shape
    return &positions_shape


cdef const uint8_t* read_filter(
    int method, const uint8_t* p, Batch batch, Reading* reading, uint64_t* weight
) noexcept nogil:
    cdef OrderFilter* item = batch.append_order_filters(1)
    cdef const uint8_t* at = p
    cdef uint32_t reversed_ = 0
    cdef Seen seen
    if item is NULL:
        return refuse(reading, REASON_MEMORY, -1, p)
    memset(item, 0, sizeof(OrderFilter))
    p = read_plain(filter_shape(method), p, <uint8_t*>item, &seen, reading, batch)
    if p is NULL:
        return NULL
    if not item.limit:
        item.limit = reading.query_limit_max
    weight[0] = item.limit
    if method == METHOD_GET_BOOK:
        weight[0] = 2 * <uint64_t>item.limit
    elif method == METHOD_GET_ORDERS:
        if not item.account_id and not item.symbol_0:
            return refuse(reading, REASON_MISSING, ORDERS_REVERSED + 1, p)
        if seen.true & 1 << ORDERS_FLAG:
            item.flags |= FILTER_OPEN_ONLY
        reversed_ = 1 << ORDERS_REVERSED
    elif method == METHOD_GET_TRADES or method == METHOD_GET_EXECUTIONS:
        reversed_ = 1 << ORDERS_FLAG
    elif method == METHOD_GET_MARGIN_CALLS:
        item.flags |= FILTER_MARGIN_CALLS
    if seen.true & reversed_:
        item.flags |= FILTER_NEWEST_FIRST
    if item.timestamp_max and item.timestamp_min > item.timestamp_max:
        return refuse(reading, REASON_TIMES, ORDERS_MIN, at)
    return p


cdef const uint8_t* read_order_params(
    int method, const uint8_t* p, Batch batch, Reading* reading, uint32_t* first, uint32_t* count, uint64_t* weight
) noexcept nogil:
    count[0] = 1
    weight[0] = 1
    if method >= METHOD_GET_ORDERS:
        first[0] = batch.order_filter_count
        return read_filter(method, p, batch, reading, weight)
    if method == METHOD_MASS_CANCEL:
        first[0] = batch.mass_cancel_count
        return read_mass_cancel(p, batch, reading)
    if method == METHOD_SET_SESSION:
        first[0] = batch.session_count
        return read_session(p, batch, reading)
    if method == METHOD_END_OF_DAY:
        first[0] = batch.day_count
        p = read_day(p, batch, reading, count)
        weight[0] = count[0]
        return p
    if method == METHOD_SUBMIT_ORDERS:
        first[0] = batch.order_count
    elif method == METHOD_CANCEL_ORDERS or method == METHOD_REPLACE_ORDERS:
        first[0] = batch.amend_count
    elif method == METHOD_CREATE_TRADING_ACCOUNTS:
        first[0] = batch.trading_account_count
    elif method == METHOD_BUST_TRADES or method == METHOD_CORRECT_TRADES:
        first[0] = batch.trade_command_count
    else:
        first[0] = batch.instrument_count
    count[0] = 0
    weight[0] = 0
    if p[0] != c'[':
        return refuse(reading, REASON_NOT_ARRAY, -1, p)
    p = skip_blanks(p + 1)
    if p[0] == c']':
        return p + 1
    if method == METHOD_SUBMIT_ORDERS:
        p = read_orders(p, batch, reading, count)
    else:
        p = read_array(method, p, batch, reading, count)
    weight[0] = count[0]
    return p


cdef object explain_order_params(int method, Reading* reading):
    fields, noun = order_fields[method]
    return explain_fields(fields, noun, reading)
