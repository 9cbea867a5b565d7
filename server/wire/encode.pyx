"""Replies of an applied batch as bytes, without a Python object per item.

One reply is one line:
    {"id":7,"result":[{"status":"created","timestamp":1795350000000000001}],"seq":42}
`seq` is last, and stands in results only. Whatever is rare (a read without an answer) is made in Python.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from engine._core.batch cimport REPLY_INT64_STRING, REPLY_JSONRPC, Batch, Request
from engine._core.codes cimport (
    ACCOUNT_NOT_FOUND, FOUND, KIND_ANSWER, KIND_APPROVE_LIMITS, KIND_BUST_TRADES, KIND_DEFINE_SCOPE, KIND_GET_ACCOUNT_BALANCES,
    KIND_GET_ACCOUNT_TRANSFERS, KIND_GET_BOOK, KIND_GET_INSTRUMENTS, KIND_GET_LIMITS, KIND_GET_ORDERS,
    KIND_GET_PROPOSALS, KIND_KILL_SWITCH, KIND_LOOKUP_ACCOUNTS, KIND_MASS_CANCEL, KIND_PING, KIND_QUERY_ACCOUNTS,
    KIND_READ, KIND_REPLY, KIND_SET_LIMITS, KIND_SUBMIT_ORDERS, NO_HISTORY, NOT_PERMITTED, SCAN_LIMIT_REACHED,
    TRADING_ACCOUNT_NOT_FOUND, UNKNOWN_INSTRUMENT,
)
from engine._core.records cimport AccountView, BalanceView, Result, TransferView
from server.wire.encode_limits cimport put_limits_answer
from server.wire.encode_orders cimport put_order_answer
from server.wire.methods cimport ERROR_INTERNAL, ERROR_NOT_PERMITTED, ERROR_PARAMS, ERROR_SCAN_LIMIT
from server.wire.output cimport FlagText, Out, account_flag_texts, done, put, put64, put_flags, put_uuid, reset, room, take, transfer_flag_texts
from server.wire.text cimport write

from engine.results import Status
from server.wire.replies import error_line

cdef enum:
    RESULT_ROOM = 144                   # bytes that one result may touch
    VIEW_ROOM = 1536                    # … one view
    ENVELOPE_ROOM = 256                 # … what surrounds them, without the id
    STATUS_COUNT = 128
    STATUS_TEXT = 96                    # `{"status":"…","timestamp":`, whose longest has 77 bytes

cdef struct StatusText:
    uint32_t length
    uint8_t text[STATUS_TEXT]

cdef StatusText status_texts[STATUS_COUNT]
cdef const char** state_texts = [b"posted", b"pending", b"posted", b"voided", b"expired"]


cdef void build() except *:
    cdef bytes text
    memset(status_texts, 0, sizeof(status_texts))
    for status in Status:
        text = f'{{"status":"{status.name.lower()}","timestamp":'.encode()
        if status >= STATUS_COUNT or len(text) > STATUS_TEXT:
            raise ImportError(f"server.wire.encode: no room for the status {status.name}")
        status_texts[status].length = <uint32_t>len(text)
        memcpy(status_texts[status].text, <const char*>text, len(text))


build()


cdef Out out                            # kept from batch to batch


# --- items --------------------------------------------------------------------------------------

cdef int put_results(const Result* results, uint32_t count, bint quoted) noexcept nogil:
    """The array of results; -1 when memory is out."""
    cdef uint8_t* p = room(&out, <size_t>count * RESULT_ROOM + 8)
    cdef const StatusText* status
    cdef uint32_t index
    if p is NULL:
        return -1
    p[0] = c'['
    p += 1
    for index in range(count):
        status = &status_texts[results[index].status]
        memcpy(p, status.text, 32)      # `created` needs no more
        if status.length > 32:
            memcpy(p + 32, status.text + 32, STATUS_TEXT - 32)
        p = put64(p + status.length, results[index].timestamp, quoted)
        p[0] = c'}'
        p[1] = c','
        p += 2
    if count:
        p -= 1                          # the last comma
    p[0] = c']'
    done(&out, p + 1)
    return 0


cdef uint8_t* put_account(uint8_t* p, const AccountView* view, bint quoted) noexcept nogil:
    p = put64(put(p, b'{"id":'), view.id, quoted)
    p = write(put(p, b',"ledger":'), view.ledger)
    p = write(put(p, b',"code":'), view.code)
    p = put_flags(put(p, b',"flags":'), account_flag_texts, view.flags)
    p = put64(put(p, b',"overdraft_limit":'), view.overdraft_limit, quoted)
    p = put_uuid(put(p, b',"user_data_128":'), view.user_data_128_hi, view.user_data_128_lo)
    p = put64(put(p, b',"user_data_64":'), view.user_data_64, quoted)
    p = write(put(p, b',"user_data_32":'), view.user_data_32)
    p = put64(put(p, b',"debits_pending":'), view.debits_pending, quoted)
    p = put64(put(p, b',"debits_posted":'), view.debits_posted, quoted)
    p = put64(put(p, b',"credits_pending":'), view.credits_pending, quoted)
    p = put64(put(p, b',"credits_posted":'), view.credits_posted, quoted)
    p = put64(put(p, b',"timestamp":'), view.timestamp, quoted)
    p[0] = c'}'
    return p + 1


cdef uint8_t* put_transfer(uint8_t* p, const TransferView* view, bint quoted) noexcept nogil:
    p = put_uuid(put(p, b'{"id":'), view.id_hi, view.id_lo)
    p = put64(put(p, b',"debit_account_id":'), view.debit_account_id, quoted)
    p = put64(put(p, b',"credit_account_id":'), view.credit_account_id, quoted)
    p = put64(put(p, b',"amount":'), view.amount, quoted)
    p = write(put(p, b',"ledger":'), view.ledger)
    p = write(put(p, b',"code":'), view.code)
    p = put_flags(put(p, b',"flags":'), transfer_flag_texts, view.flags)
    p = put_uuid(put(p, b',"pending_id":'), view.pending_id_hi, view.pending_id_lo)
    p = write(put(p, b',"timeout":'), view.timeout)
    p = put_uuid(put(p, b',"user_data_128":'), view.user_data_128_hi, view.user_data_128_lo)
    p = put64(put(p, b',"user_data_64":'), view.user_data_64, quoted)
    p = write(put(p, b',"user_data_32":'), view.user_data_32)
    p = put64(put(p, b',"timestamp":'), view.timestamp, quoted)
    p = put(put(p, b',"status":"'), state_texts[view.state])
    return put(p, b'"}')


cdef uint8_t* put_balance(uint8_t* p, const BalanceView* view, bint quoted) noexcept nogil:
    p = put64(put(p, b'{"timestamp":'), view.timestamp, quoted)
    p = put64(put(p, b',"debits_pending":'), view.debits_pending, quoted)
    p = put64(put(p, b',"debits_posted":'), view.debits_posted, quoted)
    p = put64(put(p, b',"credits_pending":'), view.credits_pending, quoted)
    p = put64(put(p, b',"credits_posted":'), view.credits_posted, quoted)
    p[0] = c'}'
    return p + 1


cdef int put_views(Batch batch, const Request* request, bint quoted) noexcept nogil:
    """The array of views, null for what was not found; -1 when memory is out."""
    cdef uint32_t index, first = request.answer_first
    cdef uint8_t* p = room(&out, 8)
    if p is NULL:
        return -1
    p[0] = c'['
    done(&out, p + 1)
    for index in range(first, first + request.answer_count):
        p = room(&out, VIEW_ROOM)
        if p is NULL:
            return -1
        if index != first:
            p[0] = c','
            p += 1
        if request.kind == KIND_LOOKUP_ACCOUNTS or request.kind == KIND_QUERY_ACCOUNTS:
            if batch.account_views[index].id:
                p = put_account(p, &batch.account_views[index], quoted)
            else:
                p = put(p, b"null")
        elif request.kind == KIND_GET_ACCOUNT_BALANCES:
            p = put_balance(p, &batch.balance_views[index], quoted)
        elif batch.transfer_views[index].id_lo | batch.transfer_views[index].id_hi:
            p = put_transfer(p, &batch.transfer_views[index], quoted)
        else:
            p = put(p, b"null")
        done(&out, p)
    p = room(&out, 8)
    if p is NULL:
        return -1
    p[0] = c']'
    done(&out, p + 1)
    return 0


# --- replies ------------------------------------------------------------------------------------

cdef int put_bytes(const void* text, size_t length) noexcept nogil:
    cdef uint8_t* p = room(&out, length)
    if p is NULL:
        return -1
    memcpy(p, text, length)
    done(&out, p + length)
    return 0


cdef int put_reply(Batch batch, const Request* request, uint64_t seq, uint64_t time) noexcept nogil:
    """The line of a request that was executed; -1 when memory is out."""
    cdef bint quoted = request.reply_flags & REPLY_INT64_STRING != 0
    cdef uint8_t* p = room(&out, ENVELOPE_ROOM + request.id_length)
    if p is NULL:
        return -1
    p[0] = c'{'
    p += 1
    if request.reply_flags & REPLY_JSONRPC:
        p = put(p, b'"jsonrpc":"2.0",')
    p = put(p, b'"id":')
    memcpy(p, batch.text + request.id_first, request.id_length)
    p = put(p + request.id_length, b',"result":')
    if request.kind == KIND_PING:
        p = put64(put(p, b'{"time":'), time, quoted)
        p[0] = c'}'
        done(&out, p + 1)
    else:
        done(&out, p)
        if (KIND_SUBMIT_ORDERS <= request.kind <= KIND_BUST_TRADES
                or KIND_GET_ORDERS <= request.kind <= KIND_GET_INSTRUMENTS or request.kind == KIND_KILL_SWITCH):
            if put_order_answer(&out, batch, request, quoted) < 0:
                return -1
        elif (KIND_SET_LIMITS <= request.kind <= KIND_APPROVE_LIMITS
                or KIND_GET_LIMITS <= request.kind <= KIND_GET_PROPOSALS):
            if put_limits_answer(&out, batch, request, quoted) < 0:
                return -1
        elif request.kind < KIND_READ:
            if put_results(batch.results + request.answer_first, request.answer_count, quoted) < 0:
                return -1
        elif put_views(batch, request, quoted) < 0:
            return -1
    p = room(&out, ENVELOPE_ROOM)
    if p is NULL:
        return -1
    p = put(put64(put(p, b',"seq":'), seq, quoted), b"}\n")
    done(&out, p)
    return 0


cdef bint has_answer(const Request* request) noexcept nogil:
    """Whether a result can be written; otherwise `read_error` says why not."""
    if request.kind < KIND_READ or request.kind == KIND_PING:
        return True
    if request.kind == KIND_GET_BOOK and request.answer_count == 0:
        return False
    return request.status == FOUND or request.status == ACCOUNT_NOT_FOUND


cdef bytes read_error(Batch batch, const Request* request):
    """The error line of a read that the engine did not answer."""
    cdef int code = ERROR_INTERNAL
    cdef str message = f"a read ended with status {request.status}"
    cdef uint64_t account_id = 0
    cdef bytes symbol
    if KIND_GET_ORDERS <= request.kind <= KIND_GET_INSTRUMENTS:
        account_id = batch.order_filters[request.item_first].account_id
    if request.kind == KIND_GET_ACCOUNT_TRANSFERS or request.kind == KIND_GET_ACCOUNT_BALANCES:
        account_id = batch.filters[request.item_first].account_id
    if request.kind == KIND_GET_LIMITS:
        code = ERROR_PARAMS
        message = "params.id: there is no such instrument"
        if request.status == TRADING_ACCOUNT_NOT_FOUND:
            account_id = batch.limits_filters[request.item_first].id_0
            message = f"params.id: there is no trading account {account_id}"
    elif request.status == UNKNOWN_INSTRUMENT or request.kind == KIND_GET_BOOK:
        code = ERROR_PARAMS
        symbol = (<bytes>(<const char*>&batch.order_filters[request.item_first].symbol_0)[:24]).rstrip(b"\0")
        message = f"params.instrument: there is no instrument {symbol.decode()}"
    elif request.status == SCAN_LIMIT_REACHED:
        code = ERROR_SCAN_LIMIT
        message = "scan limit reached: narrow timestamp_min and timestamp_max"
    elif request.status == NO_HISTORY:
        code = ERROR_PARAMS
        message = f"params.account_id: account {account_id} does not have the flag history"
    elif request.status == NOT_PERMITTED:
        code = ERROR_NOT_PERMITTED
        message = f"params.account_id: account {account_id} is outside the accounts of this channel"
    return error_line(
        (<const char*>(batch.text + request.id_first))[:request.id_length], code, message,
        request.reply_flags & REPLY_JSONRPC != 0)


def encode(Batch batch not None, uint64_t seq, uint64_t time) -> list:
    """The replies of an applied batch: (connection, lines) per run of requests of one connection, in order.

    `seq` is the log entry that the replies waited for, `time` (nanoseconds) answers `ping`. Raises MemoryError.
    """
    cdef list runs = []
    cdef const Request* request
    cdef uint32_t index, connection = 0
    cdef bint written = False
    cdef bytes line
    cdef int rc
    out.length = 0
    try:
        for index in range(batch.request_count):
            request = &batch.requests[index]
            if request.kind == KIND_DEFINE_SCOPE or (request.connection == 0 and request.kind == KIND_MASS_CANCEL):
                continue                # the server's own; nobody waits for it
            if written and request.connection != connection:
                runs.append((connection, take(&out)))
            connection = request.connection
            written = True
            if request.kind == KIND_REPLY:
                rc = put_bytes(batch.text + request.id_first, request.id_length)
            elif request.kind == KIND_ANSWER:
                line = batch.answers[request.item_first]
                rc = put_bytes(PyBytes_AS_STRING(line), PyBytes_GET_SIZE(line))
            elif has_answer(request):
                rc = put_reply(batch, request, seq, time)
            else:
                line = read_error(batch, request)
                rc = put_bytes(PyBytes_AS_STRING(line), PyBytes_GET_SIZE(line))
            if rc < 0:
                raise MemoryError
        if written:
            runs.append((connection, take(&out)))
    finally:
        reset(&out)
    return runs
