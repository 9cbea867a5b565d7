"""See `encode_orders.pxd`. Notifications are made here, too: lines of many executions or trades in one call."""

from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from engine._core.batch cimport Batch, Request
from engine._core.codes cimport (
    KIND_BUST_TRADES, KIND_END_OF_DAY, KIND_GET_BOOK, KIND_GET_EXECUTIONS, KIND_GET_INSTRUMENTS, KIND_GET_ORDERS,
    KIND_GET_POSITIONS, KIND_GET_TRADES, KIND_KILL_SWITCH, KIND_MASS_CANCEL, KIND_SET_SESSION,
)
from engine._core.order_codes cimport (
    EXECUTION_FILL, ORDER_EXISTS, ORDER_POST_ONLY, REASON_NONE, SESSION_NO_CANCEL,
)
from engine._core.order_records cimport (
    BookView, ExecutionView, Fill, LevelView, OrderResult, OrderView, PositionView, TradeView,
)
from server.wire.encode_limits cimport VERDICT_ROOM, put_verdict
from server.wire.output cimport Out, done, put, put64, put_uuid, reset, room, take
from server.wire.text cimport load64, store64, write

import numpy as np

from engine._core.order_records import BOOK_VIEW, EXECUTION_VIEW, LEVEL_VIEW, ORDER_VIEW, TRADE_VIEW
from engine.order_results import (
    ExecutionKind, Offset, OrderStatus, OrderType, Reason, SelfTradePrevention, Session, Side, TimeInForce, TradeState,
)

cdef enum:
    NAME_TEXT = 32                      # bytes of a name that is copied whole
    NAMES = 64                          # per table
    RESULT_ROOM = 512                   # bytes that one result may touch, without its fills
    FILL_ROOM = 256
    VIEW_ROOM = 1792
    LEVEL_ROOM = 96

cdef struct Name:
    uint32_t length
    uint8_t text[NAME_TEXT]

cdef Name[NAMES] statuses
cdef Name[NAMES] reasons
cdef Name[NAMES] kinds
cdef Name[NAMES] sides
cdef Name[NAMES] types
cdef Name[NAMES] times
cdef Name[NAMES] preventions
cdef Name[NAMES] offsets
cdef Name[NAMES] session_names
cdef Name[NAMES] trade_states


cdef int build(Name* names, kind) except -1:
    cdef bytes text
    memset(names, 0, NAMES * sizeof(Name))
    for member in kind:
        text = b'"' + member.name.lower().encode() + b'"'
        if member >= NAMES or len(text) > NAME_TEXT:
            raise ImportError(f"server.wire.encode_orders: no room for {member!r}")
        names[<int>member].length = <uint32_t>len(text)
        memcpy(names[<int>member].text, <const char*>text, len(text))
    return 0


build(statuses, OrderStatus)
build(reasons, Reason)
build(kinds, ExecutionKind)
build(sides, Side)
build(types, OrderType)
build(times, TimeInForce)
build(preventions, SelfTradePrevention)
build(offsets, Offset)
build(session_names, Session)
build(trade_states, TradeState)


# --- pieces -------------------------------------------------------------------------------------

cdef inline uint8_t* put_name(uint8_t* p, const Name* names, uint16_t number) noexcept nogil:
    memcpy(p, names[number & (NAMES - 1)].text, NAME_TEXT)
    return p + names[number & (NAMES - 1)].length


cdef inline uint8_t* put_symbol(uint8_t* p, const uint64_t* words) noexcept nogil:
    """Three words as a string; the characters need no escaping."""
    cdef unsigned int length = 0
    store64(p + 1, words[0])
    store64(p + 9, words[1])
    store64(p + 17, words[2])
    p[0] = c'"'
    while length < 24 and p[1 + length]:
        length += 1
    p[1 + length] = c'"'
    return p + length + 2


cdef int put_byte(Out* out, uint8_t text) noexcept nogil:
    cdef uint8_t* p = room(out, 8)
    if p is NULL:
        return -1
    p[0] = text
    done(out, p + 1)
    return 0


cdef int put_results(Out* out, Batch batch, const Request* request, bint quoted) noexcept nogil:
    """The array of results of submit_orders, cancel_orders and replace_orders."""
    cdef const OrderResult* result
    cdef const Fill* fill
    cdef uint32_t index, number
    cdef uint8_t* p
    if put_byte(out, c'[') < 0:
        return -1
    for index in range(request.answer_count):
        result = &batch.order_results[request.answer_first + index]
        p = room(out, RESULT_ROOM + VERDICT_ROOM + <size_t>result.fill_count * FILL_ROOM)
        if p is NULL:
            return -1
        p = put_name(put(p, b',{"status":' if index else b'{"status":'), statuses, result.status)
        if result.reason != REASON_NONE:
            p = put_name(put(p, b',"reason":'), reasons, result.reason)
        if result.reserved:
            p = put_verdict(p, batch, request, result, quoted)
        if result.status == ORDER_EXISTS:
            p = put_name(put(p, b',"order_status":'), statuses, result.order_status)
        p = put64(put(p, b',"order_id":'), result.order_id, quoted)
        p = put64(put(p, b',"cum_quantity":'), result.cum_quantity, quoted)
        p = put64(put(p, b',"leaves_quantity":'), result.leaves_quantity, quoted)
        p = put(p, b',"fills":[')
        for number in range(result.fill_count):
            fill = &batch.fills[result.fill_first + number]
            p = put64(put(p, b',{"exec_id":' if number else b'{"exec_id":'), fill.exec_id, quoted)
            p = put64(put(p, b',"trade_id":'), fill.trade_id, quoted)
            p = put64(put(p, b',"price":'), fill.price, quoted)
            p = put64(put(p, b',"quantity":'), fill.quantity, quoted)
            p = put64(put(p, b',"fee":'), fill.fee, quoted)
            p[0] = c'}'
            p += 1
        p = put64(put(p, b'],"timestamp":'), result.timestamp, quoted)
        p[0] = c'}'
        done(out, p + 1)
    return put_byte(out, c']')


cdef int put_trade_results(Out* out, Batch batch, const Request* request, bint quoted) noexcept nogil:
    """The array of results of bust_trades and correct_trades."""
    cdef const OrderResult* result
    cdef uint32_t index
    cdef uint8_t* p
    if put_byte(out, c'[') < 0:
        return -1
    for index in range(request.answer_count):
        result = &batch.order_results[request.answer_first + index]
        p = room(out, RESULT_ROOM)
        if p is NULL:
            return -1
        p = put_name(put(p, b',{"status":' if index else b'{"status":'), statuses, result.status)
        if result.reason != REASON_NONE:
            p = put_name(put(p, b',"reason":'), reasons, result.reason)
        p = put64(put(p, b',"trade_id":'), result.order_id, quoted)
        p = put64(put(p, b',"timestamp":'), result.timestamp, quoted)
        p[0] = c'}'
        done(out, p + 1)
    return put_byte(out, c']')


cdef int put_single_result(Out* out, Batch batch, const Request* request, bint quoted) noexcept nogil:
    """The object of mass_cancel, kill_switch, set_session and end_of_day."""
    cdef const OrderResult* result = &batch.order_results[request.answer_first]
    cdef uint8_t* p = room(out, RESULT_ROOM)
    if p is NULL:
        return -1
    p = put_name(put(p, b'{"status":'), statuses, result.status)
    if result.reason != REASON_NONE:
        p = put_name(put(p, b',"reason":'), reasons, result.reason)
    if request.kind == KIND_MASS_CANCEL or request.kind == KIND_KILL_SWITCH:
        p = put64(put(p, b',"canceled":'), result.cum_quantity, quoted)
    elif request.kind == KIND_SET_SESSION:
        p = put64(put(p, b',"uncrossed_price":'), result.leaves_quantity, quoted)
        p = put64(put(p, b',"uncrossed_quantity":'), result.cum_quantity, quoted)
    p = put64(put(p, b',"timestamp":'), result.timestamp, quoted)
    p[0] = c'}'
    done(out, p + 1)
    return 0


# --- views --------------------------------------------------------------------------------------

cdef uint8_t* put_order(uint8_t* p, const OrderView* view, bint quoted) noexcept nogil:
    p = put64(put(p, b'{"order_id":'), view.order_id, quoted)
    p = put_uuid(put(p, b',"client_order_id":'), view.client_order_id_hi, view.client_order_id_lo)
    p = put64(put(p, b',"account_id":'), view.account_id, quoted)
    p = put_symbol(put(p, b',"instrument":'), &view.symbol_0)
    p = put_name(put(p, b',"side":'), sides, view.side)
    p = put_name(put(p, b',"type":'), types, view.type)
    p = put_name(put(p, b',"status":'), statuses, view.status)
    if view.reason != REASON_NONE:
        p = put_name(put(p, b',"reason":'), reasons, view.reason)
    p = put64(put(p, b',"quantity":'), view.quantity, quoted)
    p = put64(put(p, b',"price":'), view.price, quoted)
    p = put64(put(p, b',"stop_price":'), view.stop_price, quoted)
    p = put_name(put(p, b',"time_in_force":'), times, view.time_in_force)
    p = put64(put(p, b',"expire_time":'), view.expire_time, quoted)
    p = put64(put(p, b',"display_quantity":'), view.display_quantity, quoted)
    p = put(put(p, b',"post_only":'), b"true" if view.flags & ORDER_POST_ONLY else b"false")
    p = put_name(put(p, b',"self_trade_prevention":'), preventions, view.self_trade_prevention)
    p = put_name(put(p, b',"offset":'), offsets, view.offset)
    p = put64(put(p, b',"cum_quantity":'), view.cum_quantity, quoted)
    p = put64(put(p, b',"leaves_quantity":'), view.leaves_quantity, quoted)
    p = put64(put(p, b',"visible_quantity":'), view.visible_quantity, quoted)
    p = put64(put(p, b',"reserved_amount":'), view.reserved_amount, quoted)
    p = put64(put(p, b',"turnover":'), view.turnover, quoted)
    p = put64(put(p, b',"fees":'), view.fees, quoted)
    p = put64(put(p, b',"timestamp":'), view.timestamp, quoted)
    p = put64(put(p, b',"updated":'), view.updated, quoted)
    p[0] = c'}'
    return p + 1


cdef uint8_t* put_execution(uint8_t* p, const ExecutionView* view, bint quoted) noexcept nogil:
    """The members of an execution, without the closing brace."""
    p = put64(put(p, b'{"exec_id":'), view.exec_id, quoted)
    if view.kind == EXECUTION_FILL:
        p = put_name(put(p, b',"kind":'), statuses, view.status)
    else:
        p = put_name(put(p, b',"kind":'), kinds, view.kind)
    p = put64(put(p, b',"order_id":'), view.order_id, quoted)
    p = put_uuid(put(p, b',"client_order_id":'), view.client_order_id_hi, view.client_order_id_lo)
    p = put64(put(p, b',"account_id":'), view.account_id, quoted)
    p = put_symbol(put(p, b',"instrument":'), &view.symbol_0)
    p = put_name(put(p, b',"side":'), sides, view.side)
    p = put_name(put(p, b',"type":'), types, view.type)
    p = put64(put(p, b',"price":'), view.price, quoted)
    p = put64(put(p, b',"quantity":'), view.quantity, quoted)
    p = put_name(put(p, b',"status":'), statuses, view.status)
    if view.reason != REASON_NONE:
        p = put_name(put(p, b',"reason":'), reasons, view.reason)
    p = put64(put(p, b',"leaves_qty":'), view.leaves_qty, quoted)
    p = put64(put(p, b',"cum_qty":'), view.cum_qty, quoted)
    if view.trade_id:
        p = put64(put(p, b',"trade_id":'), view.trade_id, quoted)
        p = put64(put(p, b',"last_px":'), view.last_px, quoted)
        p = put64(put(p, b',"last_qty":'), view.last_qty, quoted)
        p = put64(put(p, b',"fee":'), view.fee, quoted)
    p = put64(put(p, b',"timestamp":'), view.timestamp, quoted)
    return put64(put(p, b',"seq":'), view.batch, quoted)


cdef uint8_t* put_tape(uint8_t* p, const TradeView* view, bint quoted) noexcept nogil:
    """What everybody may know of a trade, without the closing brace."""
    p = put64(put(p, b'{"trade_id":'), view.trade_id, quoted)
    p = put_symbol(put(p, b',"instrument":'), &view.symbol_0)
    p = put64(put(p, b',"price":'), view.price, quoted)
    p = put64(put(p, b',"quantity":'), view.quantity, quoted)
    p = put_name(put(p, b',"taker_side":'), sides, view.taker_side)
    p = put_name(put(p, b',"state":'), trade_states, view.state)
    if view.corrects:
        p = put64(put(p, b',"corrects":'), view.corrects, quoted)
    p = put64(put(p, b',"timestamp":'), view.timestamp, quoted)
    return put64(put(p, b',"seq":'), view.batch, quoted)


cdef uint8_t* put_trade(uint8_t* p, const TradeView* view, bint quoted) noexcept nogil:
    p = put_tape(p, view, quoted)
    p = put64(put(p, b',"notional":'), view.notional, quoted)
    p = write(put(p, b',"business_date":'), view.business_date)
    if view.buy_account_id:
        p = put64(put(p, b',"buy_order_id":'), view.buy_order_id, quoted)
        p = put64(put(p, b',"buy_account_id":'), view.buy_account_id, quoted)
        p = put64(put(p, b',"buy_fee":'), view.buy_fee, quoted)
    if view.sell_account_id:
        p = put64(put(p, b',"sell_order_id":'), view.sell_order_id, quoted)
        p = put64(put(p, b',"sell_account_id":'), view.sell_account_id, quoted)
        p = put64(put(p, b',"sell_fee":'), view.sell_fee, quoted)
        p = put64(put(p, b',"duty":'), view.duty, quoted)
    p[0] = c'}'
    return p + 1


cdef uint8_t* put_position(uint8_t* p, const PositionView* view, bint quoted) noexcept nogil:
    p = put64(put(p, b'{"account_id":'), view.account_id, quoted)
    p = put_symbol(put(p, b',"instrument":'), &view.symbol_0)
    p = put64(put(p, b',"long_quantity":'), view.long_quantity, quoted)
    p = put64(put(p, b',"short_quantity":'), view.short_quantity, quoted)
    p = put64(put(p, b',"long_today":'), view.long_today, quoted)
    p = put64(put(p, b',"short_today":'), view.short_today, quoted)
    p = put64(put(p, b',"long_basis":'), view.long_basis, quoted)
    p = put64(put(p, b',"short_basis":'), view.short_basis, quoted)
    p = put64(put(p, b',"margin":'), view.margin, quoted)
    p = put64(put(p, b',"margin_initial":'), view.margin_initial, quoted)
    p = put64(put(p, b',"margin_maintenance":'), view.margin_maintenance, quoted)
    p = put64(put(p, b',"unsettled":'), view.unsettled, quoted)
    p = put64(put(p, b',"shortfall":'), view.shortfall, quoted)
    p = put64(put(p, b',"open_buy":'), view.open_buy, quoted)
    p = put64(put(p, b',"open_sell":'), view.open_sell, quoted)
    p = put64(put(p, b',"call":'), view.call, quoted)
    p[0] = c'}'
    return p + 1


cdef uint8_t* put_state(uint8_t* p, const BookView* view, bint quoted) noexcept nogil:
    """Session and prices of an instrument, each with a comma before it."""
    p = put_name(put(p, b',"session":'), session_names, view.session)
    p = put(put(p, b',"cancels":'), b"false" if view.flags & SESSION_NO_CANCEL else b"true")
    p = put64(put(p, b',"last_price":'), view.last_price, quoted)
    p = put64(put(p, b',"reference_price":'), view.reference_price, quoted)
    p = put64(put(p, b',"limit_down":'), view.limit_down, quoted)
    p = put64(put(p, b',"limit_up":'), view.limit_up, quoted)
    p = put64(put(p, b',"indicative_price":'), view.indicative_price, quoted)
    p = put64(put(p, b',"indicative_quantity":'), view.indicative_quantity, quoted)
    p = put64(put(p, b',"open_price":'), view.open_price, quoted)
    p = put64(put(p, b',"high_price":'), view.high_price, quoted)
    p = put64(put(p, b',"low_price":'), view.low_price, quoted)
    p = put64(put(p, b',"volume":'), view.volume, quoted)
    p = put64(put(p, b',"turnover":'), view.turnover, quoted)
    return put64(put(p, b',"timestamp":'), view.timestamp, quoted)


cdef uint8_t* put_level(uint8_t* p, uint64_t price, uint64_t quantity, uint32_t orders, bint quoted) noexcept nogil:
    p[0] = c'['
    p = put64(p + 1, price, quoted)
    p[0] = c','
    p = put64(p + 1, quantity, quoted)
    p[0] = c','
    p = write(p + 1, orders)
    p[0] = c']'
    return p + 1


cdef int put_levels(Out* out, const LevelView* levels, uint32_t count, bint quoted) noexcept nogil:
    cdef uint32_t index
    cdef uint8_t* p = room(out, <size_t>count * LEVEL_ROOM + 8)
    if p is NULL:
        return -1
    p[0] = c'['
    p += 1
    for index in range(count):
        p = put_level(p, levels[index].price, levels[index].quantity, levels[index].orders, quoted)
        p[0] = c','
        p += 1
    if count:
        p -= 1
    p[0] = c']'
    done(out, p + 1)
    return 0


cdef int put_book(Out* out, const BookView* view, const LevelView* levels, bint quoted) noexcept nogil:
    cdef uint8_t* p = room(out, VIEW_ROOM)
    if p is NULL:
        return -1
    done(out, put(put_symbol(put(p, b'{"instrument":'), &view.symbol_0), b',"bids":'))
    if put_levels(out, levels, view.bids, quoted) < 0:
        return -1
    p = room(out, VIEW_ROOM)
    if p is NULL:
        return -1
    done(out, put(p, b',"asks":'))
    if put_levels(out, levels + view.bids, view.asks, quoted) < 0:
        return -1
    p = room(out, VIEW_ROOM)
    if p is NULL:
        return -1
    p = put_state(p, view, quoted)
    p[0] = c'}'
    done(out, p + 1)
    return 0


cdef int put_views(Out* out, Batch batch, const Request* request, bint quoted) noexcept nogil:
    cdef uint32_t index, first = request.answer_first
    cdef uint8_t* p
    if put_byte(out, c'[') < 0:
        return -1
    for index in range(first, first + request.answer_count):
        p = room(out, VIEW_ROOM)
        if p is NULL:
            return -1
        if index != first:
            p[0] = c','
            p += 1
        if request.kind == KIND_GET_ORDERS:
            p = put_order(p, &batch.order_views[index], quoted)
        elif request.kind == KIND_GET_TRADES:
            p = put_trade(p, &batch.trade_views[index], quoted)
        elif request.kind == KIND_GET_POSITIONS:
            p = put_position(p, &batch.position_views[index], quoted)
        elif request.kind == KIND_GET_EXECUTIONS:
            p = put_execution(p, &batch.execution_views[index], quoted)
            p[0] = c'}'
            p += 1
        else:
            p = put_symbol(put(p, b'{"instrument":'), &batch.book_views[index].symbol_0)
            p = put_state(p, &batch.book_views[index], quoted)
            p[0] = c'}'
            p += 1
        done(out, p)
    return put_byte(out, c']')


cdef int put_order_answer(Out* out, Batch batch, const Request* request, bint quoted) noexcept nogil:
    if request.kind == KIND_GET_BOOK:
        return put_book(
            out, &batch.book_views[request.answer_first], batch.level_views + request.reserved, quoted)
    if request.kind >= KIND_GET_ORDERS:
        return put_views(out, batch, request, quoted)
    if (request.kind == KIND_MASS_CANCEL or request.kind == KIND_SET_SESSION or request.kind == KIND_END_OF_DAY
            or request.kind == KIND_KILL_SWITCH):
        return put_single_result(out, batch, request, quoted)
    if request.kind == KIND_BUST_TRADES:
        return put_trade_results(out, batch, request, quoted)
    return put_results(out, batch, request, quoted)


# --- notifications ------------------------------------------------------------------------------

cdef Out lines                          # kept from call to call


cdef const uint8_t[::1] bytes_of(array, dtype):
    """The bytes of a record array, which is not copied when it is contiguous."""
    if array.dtype != dtype:
        raise TypeError(f"records: expected {dtype}, got {array.dtype}")
    return np.ascontiguousarray(array).view(np.uint8)


cdef uint8_t* begin(const char* method) except NULL:
    cdef uint8_t* p = room(&lines, VIEW_ROOM)
    if p is NULL:
        raise MemoryError
    return put(put(put(p, b'{"method":"'), method), b'","params":')


def execution_lines(views, uint64_t prev_seq, bint quoted) -> bytes:
    """`execution` notifications of EXECUTION_VIEW records in order; `prev_seq` is that before the first."""
    cdef const uint8_t[::1] raw
    cdef const ExecutionView* view
    cdef uint8_t* p
    cdef size_t index, count = len(views)
    if count == 0:
        return b""
    raw = bytes_of(views, EXECUTION_VIEW)
    try:
        for index in range(count):
            view = <const ExecutionView*>&raw[index * sizeof(ExecutionView)]
            p = put_execution(begin(b"execution"), view, quoted)
            p = put64(put(p, b',"prev_seq":'), prev_seq, quoted)
            done(&lines, put(p, b"}}\n"))
            prev_seq = view.batch
        return take(&lines)
    finally:
        reset(&lines)


def trade_lines(views, uint64_t prev_seq, bint quoted, uint64_t seq=0) -> bytes:
    """`trade` notifications of TRADE_VIEW records in order. `seq`: that of all, in place of the trades' own."""
    cdef const uint8_t[::1] raw
    cdef TradeView view
    cdef uint8_t* p
    cdef size_t index, count = len(views)
    if count == 0:
        return b""
    raw = bytes_of(views, TRADE_VIEW)
    try:
        for index in range(count):
            memcpy(&view, &raw[index * sizeof(TradeView)], sizeof(TradeView))
            if seq:
                view.batch = seq
            p = put_tape(begin(b"trade"), &view, quoted)
            p = put64(put(p, b',"prev_seq":'), prev_seq, quoted)
            done(&lines, put(p, b"}}\n"))
            prev_seq = view.batch
        return take(&lines)
    finally:
        reset(&lines)


cdef int put_changes(
    const LevelView* old, uint32_t old_count, const LevelView* new, uint32_t count, bint bids, bint quoted
) except -1:
    """The levels of one side that differ, best first; those that are gone have quantity 0. Returns how many."""
    cdef uint32_t i = 0, j = 0
    cdef int changed = 0
    cdef uint8_t* p
    cdef bint gone, come
    while i < old_count or j < count:
        p = room(&lines, LEVEL_ROOM)
        if p is NULL:
            raise MemoryError
        if i < old_count and j < count and old[i].price == new[j].price:
            gone = come = False
        elif j == count:
            gone, come = True, False
        elif i == old_count:
            gone, come = False, True
        else:
            gone = (old[i].price > new[j].price) == bids
            come = not gone
        if gone or come or old[i].quantity != new[j].quantity or old[i].orders != new[j].orders:
            if changed:
                p[0] = c','
                p += 1
            if gone:
                p = put_level(p, old[i].price, 0, 0, quoted)
            else:
                p = put_level(p, new[j].price, new[j].quantity, new[j].orders, quoted)
            done(&lines, p)
            changed += 1
        if not come:
            i += 1
        if not gone:
            j += 1
    return changed


def book_line(
    str method not None, head, levels, old_head, old_levels, uint64_t seq, uint64_t prev_seq, bint quoted,
) -> bytes:
    """A `book` notification: what differs from the older image (levels that are gone have quantity 0), or with None
    as the older image all of it with `"snapshot":true`. Heads are BOOK_VIEW, levels LEVEL_VIEW: bids, then asks.
    """
    cdef const uint8_t[::1] head_raw = bytes_of(np.atleast_1d(head), BOOK_VIEW)
    cdef const uint8_t[::1] new_raw, old_raw
    cdef const uint8_t[::1] old_head_raw
    cdef const BookView* view = <const BookView*>&head_raw[0]
    cdef const BookView* old_view = NULL
    cdef const LevelView* new = NULL
    cdef const LevelView* old = NULL
    cdef uint32_t old_bids = 0, old_asks = 0
    cdef bytes name = method.encode()
    cdef uint8_t* p
    if len(levels):
        new_raw = bytes_of(levels, LEVEL_VIEW)
        new = <const LevelView*>&new_raw[0]
    if old_head is not None:
        old_head_raw = bytes_of(np.atleast_1d(old_head), BOOK_VIEW)
        old_view = <const BookView*>&old_head_raw[0]
        old_bids, old_asks = old_view.bids, old_view.asks
        if len(old_levels):
            old_raw = bytes_of(old_levels, LEVEL_VIEW)
            old = <const LevelView*>&old_raw[0]
    try:
        p = put(put_symbol(put(begin(name), b'{"instrument":'), &view.symbol_0), b',"bids":[')
        done(&lines, p)
        put_changes(old, old_bids, new, view.bids, True, quoted)
        p = room(&lines, LEVEL_ROOM)
        if p is NULL:
            raise MemoryError
        done(&lines, put(p, b'],"asks":['))
        put_changes(old + old_bids, old_asks, new + view.bids, view.asks, False, quoted)
        p = room(&lines, VIEW_ROOM)
        if p is NULL:
            raise MemoryError
        p = put_state(put(p, b']'), view, quoted)
        finish(p, old_view is NULL, seq, prev_seq, quoted)
        return take(&lines)
    finally:
        reset(&lines)


cdef int finish(uint8_t* p, bint snapshot, uint64_t seq, uint64_t prev_seq, bint quoted) except -1:
    """The end of a notification's params."""
    if snapshot:
        p = put(p, b',"snapshot":true')
    p = put64(put(p, b',"seq":'), seq, quoted)
    p = put64(put(p, b',"prev_seq":'), prev_seq, quoted)
    done(&lines, put(p, b"}}\n"))
    return 0


def top_line(head, levels, bint snapshot, uint64_t seq, uint64_t prev_seq, bint quoted) -> bytes:
    """A `bbo` notification: the best level of each side, null where there is none."""
    cdef const uint8_t[::1] head_raw = bytes_of(np.atleast_1d(head), BOOK_VIEW)
    cdef const uint8_t[::1] raw
    cdef const BookView* view = <const BookView*>&head_raw[0]
    cdef const LevelView* level = NULL
    cdef uint8_t* p
    if len(levels):
        raw = bytes_of(levels, LEVEL_VIEW)
        level = <const LevelView*>&raw[0]
    try:
        p = put(put_symbol(put(begin(b"bbo"), b'{"instrument":'), &view.symbol_0), b',"bid":')
        if view.bids:
            p = put_level(p, level.price, level.quantity, level.orders, quoted)
            level += view.bids
        else:
            p = put(p, b"null")
        p = put(p, b',"ask":')
        if view.asks:
            p = put_level(p, level.price, level.quantity, level.orders, quoted)
        else:
            p = put(p, b"null")
        p = put_name(put(p, b',"session":'), session_names, view.session)
        p = put64(put(p, b',"last_price":'), view.last_price, quoted)
        finish(p, snapshot, seq, prev_seq, quoted)
        return take(&lines)
    finally:
        reset(&lines)


def auction_line(head, bint snapshot, uint64_t seq, uint64_t prev_seq, bint quoted) -> bytes:
    """An `auction` notification: the session and what would be uncrossed now."""
    cdef const uint8_t[::1] raw = bytes_of(np.atleast_1d(head), BOOK_VIEW)
    cdef const BookView* view = <const BookView*>&raw[0]
    cdef uint8_t* p
    try:
        p = put_symbol(put(begin(b"auction"), b'{"instrument":'), &view.symbol_0)
        p = put_name(put(p, b',"session":'), session_names, view.session)
        p = put(put(p, b',"cancels":'), b"false" if view.flags & SESSION_NO_CANCEL else b"true")
        p = put64(put(p, b',"indicative_price":'), view.indicative_price, quoted)
        p = put64(put(p, b',"indicative_quantity":'), view.indicative_quantity, quoted)
        p = put64(put(p, b',"reference_price":'), view.reference_price, quoted)
        finish(p, snapshot, seq, prev_seq, quoted)
        return take(&lines)
    finally:
        reset(&lines)


def orders_line(str symbol not None, views, bint snapshot, uint64_t seq, uint64_t prev_seq, bint quoted) -> bytes:
    """An `orders` notification of ORDER_VIEW records: order, side, price and what is visible; quantity 0 = gone."""
    cdef const uint8_t[::1] raw
    cdef const OrderView* view
    cdef size_t index, count = len(views)
    cdef bytes name = symbol.encode("ascii")
    cdef uint8_t* p
    if count:
        raw = bytes_of(views, ORDER_VIEW)
    try:
        p = put(begin(b"orders"), b'{"instrument":"')
        memcpy(p, <const char*>name, len(name))
        done(&lines, put(p + len(name), b'","orders":['))
        for index in range(count):
            p = room(&lines, VIEW_ROOM)
            if p is NULL:
                raise MemoryError
            view = <const OrderView*>&raw[index * sizeof(OrderView)]
            p = put64(put(p, b',{"order_id":' if index else b'{"order_id":'), view.order_id, quoted)
            p = put_name(put(p, b',"side":'), sides, view.side)
            p = put64(put(p, b',"price":'), view.price, quoted)
            p = put64(put(p, b',"quantity":'), view.visible_quantity, quoted)
            p = put64(put(p, b',"timestamp":'), view.updated, quoted)
            p[0] = c'}'
            done(&lines, p + 1)
        p = room(&lines, VIEW_ROOM)
        if p is NULL:
            raise MemoryError
        p[0] = c']'
        finish(p + 1, snapshot, seq, prev_seq, quoted)
        return take(&lines)
    finally:
        reset(&lines)
