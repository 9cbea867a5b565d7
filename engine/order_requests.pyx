"""Requests about orders as NumPy records: into a batch, and their answers out of it. See `engine/requests.pyx`."""

import numpy as np

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from engine._core.batch cimport Batch, Request
from engine._core.codes cimport *
from engine._core.order_records cimport LinkCommand, OrderFilter, TradingAccountCommand
from engine._core.risk_records cimport LimitsFilter, LimitValue

from engine._core import order_records, records, risk_records
from engine.requests import check_dtype

ITEMS_MAX = 1 << 22
STEP_SUBMIT, STEP_CANCEL, STEP_REPLACE, STEP_BOOK = range(4)

_WRITES = {
    "create_instruments": (KIND_CREATE_INSTRUMENTS, order_records.INSTRUMENT_COMMAND),
    "update_instruments": (KIND_UPDATE_INSTRUMENTS, order_records.INSTRUMENT_COMMAND),
    "create_trading_accounts": (KIND_CREATE_TRADING_ACCOUNTS, order_records.TRADING_ACCOUNT_COMMAND),
    "submit_orders": (KIND_SUBMIT_ORDERS, order_records.ORDER_COMMAND),
    "cancel_orders": (KIND_CANCEL_ORDERS, order_records.AMEND_COMMAND),
    "replace_orders": (KIND_REPLACE_ORDERS, order_records.AMEND_COMMAND),
    "mass_cancel": (KIND_MASS_CANCEL, order_records.MASS_CANCEL_COMMAND),
    "set_session": (KIND_SET_SESSION, order_records.SESSION_COMMAND),
    "end_of_day": (KIND_END_OF_DAY, order_records.DAY_COMMAND),
    "bust_trades": (KIND_BUST_TRADES, order_records.TRADE_COMMAND),
    "set_limits": (KIND_SET_LIMITS, risk_records.LIMITS_COMMAND),
    "kill_switch": (KIND_KILL_SWITCH, risk_records.KILL_COMMAND),
    "approve_limits": (KIND_APPROVE_LIMITS, risk_records.APPROVAL_COMMAND),
}
_READS = {
    "get_orders": KIND_GET_ORDERS,
    "get_book": KIND_GET_BOOK,
    "get_trades": KIND_GET_TRADES,
    "get_positions": KIND_GET_POSITIONS,
    "get_executions": KIND_GET_EXECUTIONS,
    "get_instruments": KIND_GET_INSTRUMENTS,
}
_LARGEST = {                            # of members that are numbers of an enumeration, or bits
    "side": 1, "sides": 2, "type": 3, "time_in_force": 4, "self_trade_prevention": 4, "offset": 3, "session": 4, "state": 4,
    "name": 23, "unset": 1, "on": 1, "approve": 1, "reserved": 0, "reserved_2": 0,
}
_FLAGS = {"submit_orders": 1, "set_session": 1, "create_instruments": 7, "update_instruments": 7}


def append(Batch batch not None, method: str, items, *, links=None, scope: int = 0) -> None:
    """A written request: records of the method's dtype. `links` (LINK_COMMAND) belong to create_trading_accounts, and
    as LIMIT_VALUE to set_limits."""
    kind, dtype = _WRITES[method]
    array = _checked(method, items, dtype)
    cdef uint32_t count = <uint32_t>len(array)
    cdef Request* request
    if not 0 <= scope < 2**32:
        raise ValueError(f"scope: {scope} is not between 0 and {2**32 - 1}")
    if kind == KIND_CREATE_TRADING_ACCOUNTS:
        _append_links(batch, array, links)
    elif kind == KIND_SET_LIMITS:
        _append_values(batch, array, links)
    request = batch.append_request()
    if request is NULL:
        raise MemoryError("requests")
    request.kind = kind
    request.scope = scope
    request.item_first = _copy(batch, kind, array)
    request.item_count = count


def append_read(Batch batch not None, method: str, filter, *, limit_max: int, scope: int = 0) -> None:
    """A read of one ORDER_FILTER record; a limit of 0 means as many as may be."""
    cdef Request* request
    cdef OrderFilter* into
    cdef OrderFilter[::1] items
    array = _checked("filter", np.atleast_1d(filter), order_records.ORDER_FILTER)
    items = array
    if items.shape[0] != 1:
        raise ValueError(f"filter: {items.shape[0]} records, not 1")
    if items[0].limit > limit_max:
        raise ValueError(f"filter.limit: {items[0].limit} is more than {limit_max}")
    into = batch.append_order_filters(1)
    request = batch.append_request()
    if into is NULL or request is NULL:
        raise MemoryError("requests")
    into[0] = items[0]
    if into.limit == 0:
        into.limit = limit_max
    request.kind = _READS[method]
    request.scope = scope
    request.item_first = batch.order_filter_count - 1
    request.item_count = 1


def append_steps(Batch batch not None, steps, orders, amends, filter, *, limit_max: int, scope: int = 0) -> None:
    """Many requests of one item each, in the order of `steps` (uint8: a STEP_…); for replays of long streams.

    A STEP_SUBMIT takes the next of `orders`, STEP_CANCEL and STEP_REPLACE the next of `amends`, and a STEP_BOOK reads a book
    with the one ORDER_FILTER record `filter`, as `append_read` does. All orders and amends must be taken.
    """
    cdef const uint8_t[::1] codes
    cdef uint8_t submit = STEP_SUBMIT, cancel = STEP_CANCEL, book = STEP_BOOK
    cdef uint32_t order, amend, read, index
    cdef Request* request
    if not isinstance(steps, np.ndarray) or steps.dtype != np.uint8 or steps.ndim != 1 or len(steps) > ITEMS_MAX:
        raise ValueError(f"steps: not an array of uint8 with one dimension and at most {ITEMS_MAX} items")
    counts = np.bincount(steps, minlength=4)
    if len(counts) > 4:
        raise ValueError(f"steps: {len(counts) - 1} is not a step")
    if counts[STEP_SUBMIT] != len(orders) or counts[STEP_CANCEL] + counts[STEP_REPLACE] != len(amends):
        raise ValueError(f"steps: {counts[:3].tolist()} for {len(orders)} orders and {len(amends)} amends")
    if not 0 <= scope < 2**32:
        raise ValueError(f"scope: {scope} is not between 0 and {2**32 - 1}")
    orders = _checked("submit_orders", orders, order_records.ORDER_COMMAND)
    amends = _checked("replace_orders", amends, order_records.AMEND_COMMAND)
    read = batch.order_filter_count
    append_read(batch, "get_book", filter, limit_max=limit_max, scope=scope)
    batch.request_count -= 1            # only its filter is wanted: each STEP_BOOK makes a request of its own
    order = _copy(batch, KIND_SUBMIT_ORDERS, orders)
    amend = _copy(batch, KIND_REPLACE_ORDERS, amends)
    codes = np.ascontiguousarray(steps)
    for index in range(<uint32_t>codes.shape[0]):
        request = batch.append_request()
        if request is NULL:
            raise MemoryError("requests")
        request.scope = scope
        request.item_count = 1
        if codes[index] == submit:
            request.kind = KIND_SUBMIT_ORDERS
            request.item_first = order
            order += 1
        elif codes[index] == book:
            request.kind = KIND_GET_BOOK
            request.item_first = read
        else:
            request.kind = KIND_CANCEL_ORDERS if codes[index] == cancel else KIND_REPLACE_ORDERS
            request.item_first = amend
            amend += 1


def order_answers(Batch batch not None):
    """Copies of all answers to orders in an applied batch, in order: (ORDER_RESULT, FILL)."""
    return (_out(<char*>batch.order_results, batch.order_result_count, order_records.ORDER_RESULT),
            _out(<char*>batch.fills, batch.fill_count, order_records.FILL))


def verdicts(Batch batch not None):
    """The refusals by limits of an applied batch, as VERDICT."""
    return _out(<char*>batch.verdicts, batch.verdict_count, risk_records.VERDICT)


def append_limits_read(Batch batch not None, method: str, filter, *, limit_max: int) -> None:
    """get_limits or get_proposals with one LIMITS_FILTER record; a limit of 0 means as many as may be."""
    cdef Request* request
    cdef LimitsFilter* into
    cdef LimitsFilter[::1] items
    array = _checked("filter", np.atleast_1d(filter), risk_records.LIMITS_FILTER)
    items = array
    if items.shape[0] != 1:
        raise ValueError(f"filter: {items.shape[0]} records, not 1")
    if items[0].limit > limit_max:
        raise ValueError(f"filter.limit: {items[0].limit} is more than {limit_max}")
    into = batch.append_limits_filters(1)
    request = batch.append_request()
    if into is NULL or request is NULL:
        raise MemoryError("requests")
    into[0] = items[0]
    if into.limit == 0:
        into.limit = limit_max
    request.kind = KIND_GET_LIMITS if method == "get_limits" else KIND_GET_PROPOSALS
    request.item_first = batch.limits_filter_count - 1
    request.item_count = 1


def book_answers(Batch batch not None):
    """Copies of all books that an applied batch has read, in order, their levels one behind the other: (BOOK_VIEW, LEVEL_VIEW)."""
    return (_out(<char*>batch.book_views, batch.book_view_count, order_records.BOOK_VIEW),
            _out(<char*>batch.level_views, batch.level_view_count, order_records.LEVEL_VIEW))


def answers(Batch batch not None, uint32_t index):
    """A copy of the answers of request `index`: of writes (ORDER_RESULT, FILL) or RESULT, of reads the views."""
    cdef Request* request
    cdef uint32_t count, first, fill, item
    if index >= batch.request_count:
        raise IndexError(f"request {index} of {batch.request_count}")
    request = &batch.requests[index]
    count, first = request.answer_count, request.answer_first
    if request.kind <= KIND_CREATE_TRADING_ACCOUNTS or request.kind == KIND_SET_LIMITS or request.kind == KIND_APPROVE_LIMITS:
        return _out(<char*>(batch.results + first), count, records.RESULT)
    if request.kind < KIND_READ:
        results = _out(<char*>(batch.order_results + first), count, order_records.ORDER_RESULT)
        fill = fills = 0
        for item in range(count):
            if batch.order_results[first + item].fill_count:
                if fills == 0:
                    fill = batch.order_results[first + item].fill_first
                fills += batch.order_results[first + item].fill_count
        kept = results["reserved"] == 1     # a refusal by a limit: the place of its verdict in the batch
        results["fill_first"] -= np.where(
            results["fill_count"] > 0, np.uint32(fill), np.where(kept, np.uint32(0), results["fill_first"]))
        return results, _out(<char*>(batch.fills + fill), fills, order_records.FILL)
    if request.kind == KIND_GET_ORDERS:
        return _out(<char*>(batch.order_views + first), count, order_records.ORDER_VIEW)
    if request.kind == KIND_GET_TRADES:
        return _out(<char*>(batch.trade_views + first), count, order_records.TRADE_VIEW)
    if request.kind == KIND_GET_POSITIONS:
        return _out(<char*>(batch.position_views + first), count, order_records.POSITION_VIEW)
    if request.kind == KIND_GET_LIMITS:
        return _out(<char*>(batch.limits_views + first), count, risk_records.LIMITS_VIEW)
    if request.kind == KIND_GET_PROPOSALS:
        return _out(<char*>(batch.proposals + first), count, risk_records.PROPOSAL)
    if request.kind == KIND_GET_EXECUTIONS:
        return _out(<char*>(batch.execution_views + first), count, order_records.EXECUTION_VIEW)
    books = _out(<char*>(batch.book_views + first), count, order_records.BOOK_VIEW)
    if request.kind == KIND_GET_INSTRUMENTS:
        return books
    return books[0], _out(
        <char*>(batch.level_views + request.reserved), int(books[0]["bids"]) + int(books[0]["asks"]), order_records.LEVEL_VIEW)


def forget_answers(Batch batch not None) -> None:
    """Takes the answers out and keeps the requests, so that the batch can be applied to another engine."""
    batch.result_count = batch.order_result_count = batch.fill_count = 0


cdef uint32_t _copy(Batch batch, uint32_t kind, array) except? 0xFFFFFFFF:
    """The records into the array of their kind; the place of the first."""
    cdef uint32_t count = <uint32_t>len(array)
    cdef uint32_t first
    cdef void* into
    cdef const uint8_t[::1] source
    if kind == KIND_CREATE_INSTRUMENTS or kind == KIND_UPDATE_INSTRUMENTS:
        first = batch.instrument_count
        into = batch.append_instruments(count)
    elif kind == KIND_CREATE_TRADING_ACCOUNTS:
        first = batch.trading_account_count
        into = batch.append_trading_accounts(count)
    elif kind == KIND_SUBMIT_ORDERS:
        first = batch.order_count
        into = batch.append_orders(count)
    elif kind == KIND_CANCEL_ORDERS or kind == KIND_REPLACE_ORDERS:
        first = batch.amend_count
        into = batch.append_amends(count)
    elif kind == KIND_MASS_CANCEL:
        first = batch.mass_cancel_count
        into = batch.append_mass_cancels(count)
    elif kind == KIND_SET_SESSION:
        first = batch.session_count
        into = batch.append_sessions(count)
    elif kind == KIND_END_OF_DAY:
        first = batch.day_count
        into = batch.append_days(count)
    elif kind == KIND_SET_LIMITS:
        first = batch.limit_count
        into = batch.append_limits(count)
    elif kind == KIND_KILL_SWITCH:
        first = batch.kill_count
        into = batch.append_kills(count)
    elif kind == KIND_APPROVE_LIMITS:
        first = batch.approval_count
        into = batch.append_approvals(count)
    else:
        first = batch.trade_command_count
        into = batch.append_trade_commands(count)
    if into is NULL:
        raise MemoryError("batch")
    if count:
        source = array.view(np.uint8)
        memcpy(into, &source[0], source.shape[0])
    return first


cdef _append_links(Batch batch, array, links):
    """Links of the accounts, each account's behind those of the one before; their places become those in the batch."""
    cdef LinkCommand[::1] items
    cdef LinkCommand* into
    found = _checked("links", np.zeros(0, order_records.LINK_COMMAND) if links is None else links, order_records.LINK_COMMAND)
    expected = np.concatenate(([0], np.cumsum(array["link_count"], dtype=np.uint64)))
    if np.any(array["link_first"] != expected[:len(array)]) or expected[len(array)] != len(found):
        raise ValueError("accounts.link_first: the links of each account must stand behind those of the account before")
    array["link_first"] += batch.link_count
    into = batch.append_links(<uint32_t>len(found))
    if into is NULL:
        raise MemoryError("batch")
    if len(found):
        items = found
        memcpy(into, &items[0], len(found) * sizeof(LinkCommand))


cdef _append_values(Batch batch, array, values):
    """Values of limits, each command's behind those of the one before; their places become those in the batch."""
    cdef LimitValue[::1] items
    cdef LimitValue* into
    found = _checked("values", np.zeros(0, risk_records.LIMIT_VALUE) if values is None else values, risk_records.LIMIT_VALUE)
    expected = np.concatenate(([0], np.cumsum(array["value_count"], dtype=np.uint64)))
    if np.any(array["value_first"] != expected[:len(array)]) or expected[len(array)] != len(found):
        raise ValueError("limits.value_first: the values of each item must stand behind those of the item before")
    array["value_first"] += batch.limit_value_count
    into = batch.append_limit_values(<uint32_t>len(found))
    if into is NULL:
        raise MemoryError("batch")
    if len(found):
        items = found
        memcpy(into, &items[0], len(found) * sizeof(LimitValue))


cdef _checked(str name, array, dtype):
    check_dtype(array, name, dtype)
    if array.ndim != 1:
        raise ValueError(f"{name}: {array.ndim} dimensions, not 1")
    if len(array) > ITEMS_MAX:
        raise ValueError(f"{name}: {len(array)} items are more than {ITEMS_MAX}")
    for field in dtype.names:
        largest = _FLAGS.get(name) if field == "flags" else _LARGEST.get(field)
        # A session of 64 bits is a server's session, not a trading state.
        if largest is not None and not (field == "session" and dtype[field].itemsize == 8):
            wrong = np.flatnonzero(array[field] > largest)
            if len(wrong):
                raise ValueError(f"{name}[{wrong[0]}].{field}: {array[field][wrong[0]]} is more than {largest}")
    return np.array(array, dtype=dtype, order="C", copy=True)


cdef _out(char* base, uint32_t count, dtype):
    cdef uint8_t[::1] into
    array = np.empty(count, dtype=dtype)
    if count:
        into = array.view(np.uint8)
        memcpy(&into[0], base, into.shape[0])
    return array
