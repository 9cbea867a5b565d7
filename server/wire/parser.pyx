"""See `parser.pxd`."""

from libc.string cimport memchr, memcpy, memset

from engine._core.batch cimport REPLY_INT64_STRING, REPLY_JSONRPC, Request
from engine._core.codes cimport (
    KIND_ANSWER, KIND_APPROVE_LIMITS, KIND_BUST_TRADES, KIND_CANCEL_ORDERS, KIND_CREATE_ACCOUNTS, KIND_CREATE_INSTRUMENTS,
    KIND_CREATE_TRADING_ACCOUNTS, KIND_CREATE_TRANSFERS, KIND_END_OF_DAY, KIND_GET_ACCOUNT_BALANCES,
    KIND_GET_ACCOUNT_TRANSFERS, KIND_GET_BOOK, KIND_GET_EXECUTIONS, KIND_GET_INSTRUMENTS, KIND_GET_LIMITS,
    KIND_GET_ORDERS, KIND_GET_POSITIONS, KIND_GET_PROPOSALS, KIND_GET_TRADES, KIND_KILL_SWITCH, KIND_LOOKUP_ACCOUNTS, KIND_LOOKUP_TRANSFERS, KIND_MASS_CANCEL, KIND_PING,
    KIND_QUERY_ACCOUNTS, KIND_QUERY_TRANSFERS, KIND_REPLACE_ORDERS, KIND_REPLY, KIND_SET_LIMITS, KIND_SET_SESSION, KIND_SUBMIT_ORDERS,
    KIND_UPDATE_ACCOUNTS, KIND_UPDATE_INSTRUMENTS,
)
from engine._core.order_codes cimport AMEND_QUANTITY
from server.wire.capacity cimport listed, order_items
from server.wire.fields cimport REASON_MEMORY
from server.wire.items cimport explain, read_params
from server.wire.methods cimport (
    ERROR_BEHIND, ERROR_CAPACITY, ERROR_METHOD, ERROR_NOT_LOGGED_ON, ERROR_NOT_PERMITTED, ERROR_PARAMS, ERROR_PARSE, ERROR_REQUEST,
    ERROR_TOO_LARGE, METHOD_COUNT, METHOD_CREATE_ACCOUNTS, METHOD_CREATE_TRANSFERS, METHOD_LOGON, METHOD_PING,
    METHOD_CORRECT_TRADES, METHOD_CREATE_INSTRUMENTS, METHOD_REPLACE_ORDERS, METHOD_SET_LIMITS, METHOD_SUBMIT_ORDERS, METHOD_SUBSCRIBE,
    METHOD_UNSUBSCRIBE, read_in_c,
)
from server.wire.orders cimport Profiles
from server.wire.scan cimport (
    FAULT_CONTROL, FAULT_DEPTH, FAULT_END, FAULT_ESCAPE, FAULT_SYNTAX, FAULT_UTF8, Scan, scan_value, skip_value,
    unescape,
)
from server.wire.shapes cimport build_names
from server.wire.text cimport (
    Names, create_transfers_template, digits, find, plain, quote, skip_blanks, submit_orders_template,
)

from msgspec.json import decode as json_decode

from server.wire.cold import Cold, decode_logon, decode_topics
from server.wire.methods import Method
from server.wire.replies import error_line

IDLE = OUTCOME_IDLE
COLD = OUTCOME_COLD
FULL = OUTCOME_FULL
CLOSE = OUTCOME_CLOSE
BEHIND = OUTCOME_BEHIND

cdef enum:
    ENVELOPE_ID = 1                     # bits, in the order of ENVELOPE_NAMES
    ENVELOPE_METHOD = 2
    ENVELOPE_PARAMS = 4
    ENVELOPE_JSONRPC = 8
    ENVELOPE_MIN_SEQ = 16
    SLICES_MOST = 1002                  # fills that the hidden part of one iceberg may add: engine/trading.pyx
    SLICES_FULL = 4096 * 1002           # … and how many of them a batch takes
    ID_MAX = 64                         # bytes of an id that is a string, as written

cdef uint32_t[METHOD_COUNT] KINDS
KINDS[:] = [
    0, KIND_PING, KIND_CREATE_ACCOUNTS, KIND_CREATE_TRANSFERS, KIND_UPDATE_ACCOUNTS, KIND_LOOKUP_ACCOUNTS,
    KIND_LOOKUP_TRANSFERS, KIND_GET_ACCOUNT_TRANSFERS, KIND_GET_ACCOUNT_BALANCES, KIND_QUERY_ACCOUNTS,
    KIND_QUERY_TRANSFERS, KIND_ANSWER, KIND_ANSWER, 0, 0, 0,
    KIND_CREATE_INSTRUMENTS, KIND_UPDATE_INSTRUMENTS, KIND_CREATE_TRADING_ACCOUNTS, KIND_SUBMIT_ORDERS,
    KIND_CANCEL_ORDERS, KIND_REPLACE_ORDERS, KIND_MASS_CANCEL, KIND_SET_SESSION, KIND_END_OF_DAY, KIND_BUST_TRADES,
    KIND_BUST_TRADES, KIND_GET_ORDERS, KIND_GET_BOOK, KIND_GET_TRADES, KIND_GET_POSITIONS, KIND_GET_POSITIONS,
    KIND_GET_EXECUTIONS, KIND_GET_INSTRUMENTS, KIND_ANSWER, KIND_ANSWER,
    KIND_SET_LIMITS, KIND_KILL_SWITCH, KIND_APPROVE_LIMITS, KIND_GET_LIMITS, KIND_GET_PROPOSALS,
]

cdef Names envelope_names
cdef Names method_names                 # index -> METHOD_NUMBERS
cdef int[METHOD_COUNT] METHOD_NUMBERS
cdef dict METHOD_NAMES = {method.bit_length() - 1: method.name.lower() for method in Method}


for place, number in enumerate(METHOD_NAMES):
    METHOD_NUMBERS[place] = number
build_names(&envelope_names, ["id", "method", "params", "jsonrpc", "min_seq"])
build_names(&method_names, list(METHOD_NAMES.values()))


# --- small readers ------------------------------------------------------------------------------

cdef inline const uint8_t* read_id(const uint8_t* p) noexcept nogil:
    """Behind an integer of 64 bits or a plain string of at most ID_MAX bytes; NULL for anything else."""
    cdef const uint8_t* start = p
    cdef uint64_t value = 0
    cdef unsigned int length
    cdef bint negative
    if p[0] == c'"':
        p += 1
        while True:
            length = plain(p)
            p += length
            if length < 16 or p - start > ID_MAX + 1:
                break
        return p + 1 if p[0] == c'"' and p - start <= ID_MAX + 1 else NULL
    negative = p[0] == c'-'
    p += negative
    length = digits(p, &value)
    p += length
    if length == 0 or value > <uint64_t>0x7FFFFFFFFFFFFFFF + negative or (negative and value == 0):
        return NULL
    if p[0] == c',' or p[0] == c'}' or p[0] == c' ' or p[0] == c'\t' or p[0] == c'\r':
        return p
    return NULL


cdef struct Marks:                      # what the batch held before a request
    uint32_t accounts
    uint32_t transfers
    uint32_t updates
    uint32_t ids
    uint32_t filters
    uint32_t instruments
    uint32_t trading_accounts
    uint32_t links
    uint32_t orders
    uint32_t amends
    uint32_t mass_cancels
    uint32_t sessions
    uint32_t days
    uint32_t trade_commands
    uint32_t order_filters
    uint32_t limits
    uint32_t limit_values
    uint32_t kills
    uint32_t approvals
    uint32_t limits_filters


cdef inline void mark(Batch batch, Marks* marks) noexcept nogil:
    marks.accounts = batch.account_count
    marks.transfers = batch.transfer_count
    marks.updates = batch.update_count
    marks.ids = batch.id_count
    marks.filters = batch.filter_count
    marks.instruments = batch.instrument_count
    marks.trading_accounts = batch.trading_account_count
    marks.links = batch.link_count
    marks.orders = batch.order_count
    marks.amends = batch.amend_count
    marks.mass_cancels = batch.mass_cancel_count
    marks.sessions = batch.session_count
    marks.days = batch.day_count
    marks.trade_commands = batch.trade_command_count
    marks.order_filters = batch.order_filter_count
    marks.limits = batch.limit_count
    marks.limit_values = batch.limit_value_count
    marks.kills = batch.kill_count
    marks.approvals = batch.approval_count
    marks.limits_filters = batch.limits_filter_count


cdef inline void take_back(Batch batch, const Marks* marks) noexcept nogil:
    batch.account_count = marks.accounts
    batch.transfer_count = marks.transfers
    batch.update_count = marks.updates
    batch.id_count = marks.ids
    batch.filter_count = marks.filters
    batch.instrument_count = marks.instruments
    batch.trading_account_count = marks.trading_accounts
    batch.link_count = marks.links
    batch.order_count = marks.orders
    batch.amend_count = marks.amends
    batch.mass_cancel_count = marks.mass_cancels
    batch.session_count = marks.sessions
    batch.day_count = marks.days
    batch.trade_command_count = marks.trade_commands
    batch.order_filter_count = marks.order_filters
    batch.limit_count = marks.limits
    batch.limit_value_count = marks.limit_values
    batch.kill_count = marks.kills
    batch.approval_count = marks.approvals
    batch.limits_filter_count = marks.limits_filters


cdef inline Request* append(
    Batch batch, uint32_t kind, uint32_t connection, const uint8_t* text, size_t length
) noexcept nogil:
    """A new request with its id (or its whole reply) in the batch's text; NULL when memory is out. `text` may be
    read for 15 bytes behind its end."""
    cdef Request* request
    cdef uint8_t* copy = batch.append_text(<uint32_t>length + 16)
    cdef size_t done
    if copy is NULL:
        return NULL
    request = batch.append_request()
    if request is NULL:
        batch.text_count -= <uint32_t>length + 16
        return NULL
    for done in range(0, length, 16):
        memcpy(copy + done, text + done, 16)
    batch.text_count -= 16
    request.kind = kind
    request.connection = connection
    request.id_first = batch.text_count - <uint32_t>length
    request.id_length = <uint32_t>length
    return request


cdef uint64_t slices_of(int method, uint32_t first, uint32_t count, Batch batch) noexcept nogil:
    """How many fills the hidden parts of the request's orders may bring at most."""
    cdef uint64_t slices = 0
    cdef uint32_t index
    if method == METHOD_SUBMIT_ORDERS:
        for index in range(first, first + count):
            if batch.orders[index].display_quantity:
                slices += SLICES_MOST
    elif method == METHOD_REPLACE_ORDERS:
        for index in range(first, first + count):
            if batch.amends[index].fields & AMEND_QUANTITY:
                slices += SLICES_MOST
    return slices


# --- the parser ---------------------------------------------------------------------------------

cdef class Position:
    """How far the log has come for those who read here: the newest entry whose effects their answers hold.

    One for all parsers of a server, which moves it before it answers.
    """

    def __init__(self, seq: int = 0) -> None:
        self.seq = seq


cdef class Parser(LineBuffer):
    """Lines of one connection into requests of a batch. It owns the receive buffer and knows no socket.

    `line_max` is in bytes without the LF. `items_max` bounds a `params` array, `query_limit_max` the records of one
    read. `batch_items_max` bounds the requests of a batch, their items and the records that its reads may return,
    all together: when it is reached, no further request enters (so the last one may exceed it). `profiles` are those
    that create_instruments may name. `position` says how far the log has come; a request with a `min_seq` beyond it is
    an error, or, for a parser that `waits`, one to come back to.
    """

    def __init__(
        self, *, line_max: int = 2 * 2**20, items_max: int = 8190, query_limit_max: int = 8190,
        batch_items_max: int = 65536, Profiles profiles=None, Position position=None, waits: bool = False,
    ) -> None:
        for name, value in (("line_max", line_max), ("items_max", items_max), ("query_limit_max", query_limit_max),
                            ("batch_items_max", batch_items_max)):
            if not 1 <= value <= 2**30:
                raise ValueError(f"{name}: {value} is not between 1 and {2**30}")
        self.line_max = line_max
        self.reading.items_max = items_max
        self.reading.query_limit_max = query_limit_max
        self.batch_items_max = batch_items_max
        self.position = Position() if position is None else position
        self.waits = self.patient = waits
        self.profiles = profiles
        self.reading.profiles = NULL if profiles is None else &profiles.table
        self.accounts_left = self.transfers_left = self.limits_left = <uint64_t>-1
        self.hint = METHOD_CREATE_TRANSFERS

    def allow(
        self, methods: int, scope: int, *, logged_on: bool, int64_strings: bool, session: int = 0, actor: str = "dev",
    ) -> None:
        """What later lines may do: a mask of Method, the scope number of their requests, the form of replies.

        `session` is given to orders, to be canceled together when the session ends; 0 = they outlive it. `actor` is
        who changes limits: of a longer name the first 24 characters.
        """
        cdef bytes name = actor.encode("ascii")[:24].ljust(24, b"\0")
        memcpy(self.reading.actor, <const char*>name, 24)
        self.reading.session = session
        self.methods = methods
        self.scope = scope
        self.logged_on = logged_on
        self.reply_flags = REPLY_INT64_STRING if int64_strings else 0

    def admit(self, accounts: int, transfers: int, limits: int = 2**32) -> None:
        """How many accounts, transfers and items of set_limits still have room. A request beyond that gets -32005 and
        does not enter."""
        self.limits_left = max(0, limits)
        self.accounts_left = max(0, accounts)
        self.transfers_left = max(0, transfers)

    # --- parsing ---

    def parse(self, Batch batch not None, uint32_t connection) -> int:
        """Appends one Request per complete line to `batch`, in order.

        A line with an error becomes a request that carries its reply. Returns IDLE (no complete line is left), COLD
        (`cold` must be answered before the lines behind it are read), FULL (call again with the next batch), BEHIND
        (call again when the log has come to `min_seq`, or without being `patient`: then the line gets its error) or
        CLOSE (a fatal error is the last reply of this connection). Raises MemoryError.
        """
        cdef const uint8_t* p
        cdef const uint8_t* behind
        cdef int outcome
        self.cold = None
        if self.closed:
            return OUTCOME_CLOSE
        self.reading.exact = False
        while self.start < self.complete:
            if batch.weight >= self.batch_items_max or batch.slices >= SLICES_FULL:
                return OUTCOME_FULL
            p = self.buffer + self.start
            behind = self.short_way(batch, connection, p)
            if behind is not NULL:
                self.start = behind - self.buffer
                continue
            behind = <const uint8_t*>memchr(p, c'\n', self.complete - self.start)
            self.start = behind + 1 - self.buffer
            outcome = self.exact_way(batch, connection, p, behind)
            if outcome == OUTCOME_BEHIND:
                self.start = p - self.buffer
            if outcome != OUTCOME_IDLE:
                return outcome
        if self.end - self.start > self.line_max:
            if batch.weight >= self.batch_items_max:
                return OUTCOME_FULL
            self.answer_error(batch, connection, None, ERROR_TOO_LARGE, self.too_long(), False)
            return OUTCOME_CLOSE
        return OUTCOME_IDLE

    cdef str too_long(self):
        return f"a line is longer than {self.line_max} bytes"

    cdef bint admits(self, int method, uint32_t first, uint32_t count, Batch batch) noexcept nogil:
        if method == METHOD_CREATE_TRANSFERS:
            return count <= self.transfers_left
        if method == METHOD_CREATE_ACCOUNTS:
            return count <= self.accounts_left
        if method == METHOD_SET_LIMITS:
            return count <= self.limits_left
        if METHOD_CREATE_INSTRUMENTS <= method <= METHOD_CORRECT_TRADES:
            return (order_items(batch) + batch.slices + slices_of(method, first, count, batch) <= batch.fills_max
                    and listed(batch) <= batch.listings_max)
        return True

    cdef void admitted(self, int method, uint32_t first, uint32_t count, Batch batch) noexcept nogil:
        """A request has entered the batch."""
        if method == METHOD_CREATE_TRANSFERS:
            self.transfers_left -= count
        elif method == METHOD_CREATE_ACCOUNTS:
            self.accounts_left -= count
        elif method == METHOD_SET_LIMITS:
            self.limits_left -= count
        elif METHOD_CREATE_INSTRUMENTS <= method <= METHOD_CORRECT_TRADES:
            batch.slices += slices_of(method, first, count, batch)

    cdef const uint8_t* short_way(self, Batch batch, uint32_t connection, const uint8_t* p) noexcept nogil:
        """Behind the line if it could be taken this way; else NULL, and the batch is as before."""
        cdef const uint8_t* line = p
        cdef const uint8_t* id_first = NULL
        cdef const uint8_t* id_end = NULL
        cdef const uint8_t* q
        cdef uint32_t given = 0, bit, first = 0, count = 0
        cdef uint64_t weight = 0, min_seq = 0
        cdef int member, method = -1, method_read = -1
        cdef unsigned int length
        cdef Marks marks
        cdef Request* request
        mark(batch, &marks)
        p = skip_blanks(p)
        if p[0] == c'\n':
            return p + 1
        if p[0] != c'{':
            return NULL
        p = skip_blanks(p + 1)
        while True:
            if p[0] != c'"':
                break
            length = quote(p + 1)
            member = find(&envelope_names, p + 1, length)
            if member < 0:
                break
            bit = <uint32_t>1 << member
            if given & bit:
                break
            given |= bit
            p += length + 2
            if p[0] != c':':
                p = skip_blanks(p)
                if p[0] != c':':
                    break
            p = skip_blanks(p + 1)
            if bit == ENVELOPE_ID:
                id_first = p
                p = read_id(p)
                if p is NULL:
                    break
                id_end = p
                member = METHOD_CREATE_TRANSFERS
                q = create_transfers_template(p)
                if q is NULL:
                    member = METHOD_SUBMIT_ORDERS
                    q = submit_orders_template(p)
                if q is not NULL and not given & (ENVELOPE_METHOD | ENVELOPE_PARAMS):
                    method = method_read = member
                    given |= ENVELOPE_METHOD | ENVELOPE_PARAMS
                    p = read_params(method, q, batch, &self.reading, &first, &count, &weight)
                    if p is NULL:
                        break
            elif bit == ENVELOPE_METHOD:
                if p[0] != c'"':
                    break
                length = quote(p + 1)
                method = find(&method_names, p + 1, length)
                if method < 0:
                    break
                method = METHOD_NUMBERS[method]
                p += length + 2
            elif bit == ENVELOPE_PARAMS:
                method_read = method if method >= 0 else self.hint
                if not read_in_c(method_read):
                    break
                p = read_params(method_read, p, batch, &self.reading, &first, &count, &weight)
                if p is NULL:
                    break
            elif bit == ENVELOPE_MIN_SEQ:
                length = digits(p, &min_seq)
                if length == 0 or length > 18 or (p[0] == c'0' and length > 1) or min_seq > self.position.seq:
                    break
                p += length
            else:
                if p[0] != c'"' or p[1] != c'2' or p[2] != c'.' or p[3] != c'0' or p[4] != c'"':
                    break
                p += 5
            p = skip_blanks(p)
            if p[0] == c',':
                p = skip_blanks(p + 1)
                continue
            if p[0] != c'}':
                break
            p = skip_blanks(p + 1)
            if p[0] != c'\n' or <size_t>(p - line) > self.line_max:
                break
            # A whole line of JSON with known members, each once. Now what may be executed without a word:
            if not given & ENVELOPE_ID or (method != METHOD_PING and not read_in_c(method)):
                break
            if method == METHOD_PING:
                if given & ENVELOPE_PARAMS:
                    break
            elif method != method_read or not self.methods >> method & 1 or not self.admits(method, first, count, batch):
                break
            request = append(batch, KINDS[method], connection, id_first, id_end - id_first)
            if request is NULL:
                break
            request.scope = self.scope
            request.item_first = first
            request.item_count = count
            request.reply_flags = self.reply_flags | (REPLY_JSONRPC if given & ENVELOPE_JSONRPC else 0)
            self.admitted(method, first, count, batch)
            batch.weight += weight + 1
            if method != METHOD_PING:
                self.hint = method
            return p + 1
        take_back(batch, &marks)
        return NULL

    # --- the exact way ---

    cdef int answer_error(
        self, Batch batch, uint32_t connection, bytes request_id, int code, str message, bint jsonrpc
    ) except -1:
        """Append the reply. After a fatal one nothing more is read."""
        cdef bytes line = error_line(request_id, code, message, jsonrpc)
        cdef bytes padded = line + bytes(16)
        if append(batch, KIND_REPLY, connection, <const uint8_t*><const char*>padded, len(line)) is NULL:
            raise MemoryError
        batch.weight += 1
        if code == ERROR_PARSE or code == ERROR_TOO_LARGE:
            self.closed = True
            self.start = self.end = self.complete = 0
            return OUTCOME_CLOSE
        return OUTCOME_IDLE

    cdef int exact_way(self, Batch batch, uint32_t connection, const uint8_t* p, const uint8_t* end) except -1:
        cdef const uint8_t* line = p
        cdef const uint8_t* behind
        cdef Envelope envelope
        cdef Scan scan
        cdef bytes request_id = None
        cdef int number
        if <size_t>(end - p) > self.line_max:
            return self.answer_error(batch, connection, None, ERROR_TOO_LARGE, self.too_long(), False)
        scan.end = end
        behind = scan_value(p, 0, &scan)
        if behind is not NULL:
            behind = skip_blanks(behind)
            if behind != end:
                scan.at = behind
                scan.fault = FAULT_SYNTAX
                behind = NULL
        if behind is NULL:
            message = f"{FAULTS[scan.fault]} at byte {scan.at - line}"
            return self.answer_error(batch, connection, None, ERROR_PARSE, message, False)
        p = skip_blanks(p)
        if p[0] != c'{':
            return self.answer_error(batch, connection, None, ERROR_REQUEST, "a request is an object", False)
        complaint = read_envelope(&envelope, p)
        if envelope.id is not NULL:
            request_id = (<const char*>envelope.id)[:envelope.id_end - envelope.id]
        if complaint is not None:
            return self.answer_error(batch, connection, request_id, ERROR_REQUEST, complaint, envelope.jsonrpc)
        if envelope.params is not NULL and has_more(envelope.params, self.reading.items_max):
            message = f"params: has more than {self.reading.items_max} items"
            return self.answer_error(batch, connection, request_id, ERROR_TOO_LARGE, message, envelope.jsonrpc)
        number = exact_name(&method_names, envelope.method)
        if number >= 0:
            number = METHOD_NUMBERS[number]
        else:
            message = f"unknown method: {excerpt(envelope.method)}"
            return self.answer_error(batch, connection, request_id, ERROR_METHOD, message, envelope.jsonrpc)
        if number >= METHOD_CREATE_ACCOUNTS and not self.methods >> number & 1:
            if self.logged_on:
                code, message = ERROR_NOT_PERMITTED, f"{METHOD_NAMES[number]}: is not permitted to this channel"
            else:
                code, message = ERROR_NOT_LOGGED_ON, f"{METHOD_NAMES[number]}: needs a logon first"
            return self.answer_error(batch, connection, request_id, code, message, envelope.jsonrpc)
        if envelope.min_seq > self.position.seq:
            if self.patient:
                self.min_seq = envelope.min_seq
                return OUTCOME_BEHIND
            self.patient = self.waits
            message = f"behind: the newest log entry here is {self.position.seq}, and min_seq is {envelope.min_seq}"
            return self.answer_error(batch, connection, request_id, ERROR_BEHIND, message, envelope.jsonrpc)
        return self.execute(batch, connection, number, &envelope, request_id)

    cdef int execute(
        self, Batch batch, uint32_t connection, int method, Envelope* envelope, bytes request_id
    ) except -1:
        """Append the request, or the reply that says what is wrong with its params."""
        cdef Marks marks
        cdef uint32_t first = 0, count = 0
        cdef uint64_t weight = 0
        cdef uint32_t kind = KINDS[method]
        cdef const uint8_t* behind
        cdef Request* request
        cdef object params = None
        cdef str complaint = None
        cdef int code = ERROR_PARAMS
        cdef bint cold = method != METHOD_PING and not read_in_c(method)
        mark(batch, &marks)
        if cold:
            kind = KIND_ANSWER
            first = <uint32_t>len(batch.answers)
        if method == METHOD_LOGON or method == METHOD_SUBSCRIBE or method == METHOD_UNSUBSCRIBE:
            try:
                params = decode_params(envelope.params, decode_logon if method == METHOD_LOGON else decode_topics)
            except ValueError as error:
                complaint = str(error)
        elif method == METHOD_PING or cold:
            if envelope.params is not NULL and not is_empty(envelope.params):
                complaint = f"params: {METHOD_NAMES[method]} takes none"
        elif envelope.params is NULL:
            complaint = "params: is missing"
        else:
            self.reading.exact = True
            behind = read_params(method, envelope.params, batch, &self.reading, &first, &count, &weight)
            self.reading.exact = False
            if behind is NULL:
                take_back(batch, &marks)
                if self.reading.reason == REASON_MEMORY:
                    raise MemoryError
                complaint = explain(method, &self.reading)
            elif not self.admits(method, first, count, batch):
                take_back(batch, &marks)
                code = ERROR_CAPACITY
                if method == METHOD_CREATE_ACCOUNTS:
                    complaint = f"accounts_capacity_reached: there is room for {self.accounts_left} more accounts"
                elif method == METHOD_SET_LIMITS:
                    complaint = f"limits_capacity_reached: there is room for {self.limits_left} more items"
                elif method != METHOD_CREATE_TRANSFERS:
                    complaint = "orders_capacity_reached: there is no room for what the request may lead to"
                else:
                    complaint = f"transfers_capacity_reached: there is room for {self.transfers_left} more transfers"
        if complaint is not None:
            return self.answer_error(batch, connection, request_id, code, complaint, envelope.jsonrpc)
        request = append(batch, kind, connection, envelope.id, envelope.id_end - envelope.id)
        if request is NULL:
            take_back(batch, &marks)
            raise MemoryError
        request.scope = self.scope
        request.item_first = first
        request.item_count = count
        request.reply_flags = self.reply_flags | (REPLY_JSONRPC if envelope.jsonrpc else 0)
        batch.weight += weight + 1
        self.admitted(method, first, count, batch)
        if cold:
            batch.answers.append(b"")
            self.cold = Cold(METHOD_NAMES[method], params, batch.request_count - 1, first, request_id, envelope.jsonrpc)
            return OUTCOME_COLD
        if method != METHOD_PING:
            self.hint = method
        return OUTCOME_IDLE


# --- reading exactly: the text is known to be JSON ----------------------------------------------

cdef dict FAULTS = {
    FAULT_SYNTAX: "not JSON",
    FAULT_UTF8: "not UTF-8",
    FAULT_CONTROL: "a control character",
    FAULT_ESCAPE: "an escape that is none",
    FAULT_DEPTH: "nested deeper than 8",
    FAULT_END: "the line ends too early",
}


cdef str excerpt(const uint8_t* at):
    """The JSON text of the value at `at`, cut after 40 characters."""
    cdef str text = (<bytes>(<const char*>at)[:skip_value(at) - at]).decode()
    return text if len(text) <= 40 else text[:40] + "…"


cdef int exact_name(const Names* names, const uint8_t* p) except -2:
    """Index of the name in the string at `p`, whose escapes are resolved; -1 when it is none of them."""
    cdef uint8_t text[80]
    cdef int length
    memset(text, 0, sizeof(text))
    length = unescape(p, text, 40)
    return -1 if length < 1 or length > 31 else find(names, text, <unsigned int>length)


cdef bint has_more(const uint8_t* p, uint32_t items_max) except -1:
    """Whether the value at `p` is an array of more than `items_max` items."""
    cdef uint64_t count = 0
    if p[0] != c'[':
        return False
    p = skip_blanks(p + 1)
    while p[0] != c']':
        count += 1
        if count > items_max:
            return True
        p = skip_blanks(skip_value(p))
        if p[0] == c',':
            p += 1
    return False


cdef bint is_empty(const uint8_t* p) except -1:
    """Whether the value at `p` is {} or []."""
    if p[0] != c'{' and p[0] != c'[':
        return False
    p = skip_blanks(p + 1)
    return p[0] == c'}' or p[0] == c']'


cdef str read_envelope(Envelope* envelope, const uint8_t* p):
    """The members of the request at `p`. Returns what is wrong with them, or None; an id that is not usable is NULL."""
    cdef str complaint = None
    cdef object seq
    cdef const uint8_t* name
    cdef const uint8_t* value
    cdef uint32_t given = 0, bit
    cdef int member
    memset(envelope, 0, sizeof(Envelope))
    p = skip_blanks(p + 1)
    while p[0] != c'}':
        name = p
        member = exact_name(&envelope_names, name)
        value = skip_blanks(skip_blanks(skip_value(name)) + 1)
        p = skip_blanks(skip_value(value))
        if p[0] == c',':
            p = skip_blanks(p + 1)
        if member < 0:
            complaint = complaint or f"{excerpt(name)}: is not a member of a request"
            continue
        bit = <uint32_t>1 << member
        if given & bit:
            complaint = complaint or f"{excerpt(name)}: is given twice"
            if bit == ENVELOPE_ID:
                envelope.id = NULL
            continue
        given |= bit
        if bit == ENVELOPE_ID:
            envelope.id = value
            envelope.id_end = skip_value(value)
            if not valid_id(value, envelope.id_end):
                envelope.id = NULL
                complaint = complaint or (
                    f"id: is neither a 64-bit integer nor a string of at most {ID_MAX} bytes")
        elif bit == ENVELOPE_METHOD:
            envelope.method = value
            if value[0] != c'"':
                complaint = complaint or "method: is not a string"
        elif bit == ENVELOPE_PARAMS:
            envelope.params = value
        elif bit == ENVELOPE_MIN_SEQ:
            seq = whole_number(value)
            if seq is None:
                complaint = complaint or "min_seq: is not a whole number from 0 to 2^63 - 1"
            else:
                envelope.min_seq = seq
        else:
            envelope.jsonrpc = excerpt(value) == '"2.0"'
            if not envelope.jsonrpc:
                complaint = complaint or "jsonrpc: is not \"2.0\""
    if not given & ENVELOPE_ID:
        return "id: is missing"
    if complaint is None and not given & ENVELOPE_METHOD:
        return "method: is missing"
    return complaint


cdef object whole_number(const uint8_t* p):
    """The number at `p`, which may be in a string of digits; None when there is none."""
    cdef str text = excerpt(p)
    if text.startswith('"'):
        text = text[1:len(text) - 1]
    if not text.isascii() or not text.isdecimal() or (text[0] == "0" and len(text) > 1) or len(text) > 19:
        return None
    return int(text) if int(text) < 2**63 else None


cdef bint valid_id(const uint8_t* p, const uint8_t* end) except -1:
    if p[0] == c'"':
        return end - p <= ID_MAX + 2
    return read_id(p) == end


cdef object decode_params(const uint8_t* p, decode):
    """Params of a cold method, refused for what a JSON library would let pass. ValueError tells the path."""
    if p is NULL:
        raise ValueError("params: is missing")
    if p[0] != c'{':
        raise ValueError(f"params: {excerpt(p)} is not an object")
    check_strictly(p, "params")
    return decode((<const char*>p)[:skip_value(p) - p])


cdef const uint8_t* check_strictly(const uint8_t* p, str path) except NULL:
    """Behind the value at `p`, in which no member is given twice and every number is an integer."""
    cdef set names
    cdef str name
    cdef int index = 0
    if p[0] == c'{':
        names = set()
        p = skip_blanks(p + 1)
        while p[0] != c'}':
            name = json_decode((<const char*>p)[:skip_value(p) - p])
            if name in names:
                raise ValueError(f"{path}.{name[:40]}: is given twice")
            names.add(name)
            p = skip_blanks(skip_blanks(skip_value(p)) + 1)
            p = skip_blanks(check_strictly(p, f"{path}.{name[:40]}"))
            if p[0] == c',':
                p = skip_blanks(p + 1)
        return p + 1
    if p[0] == c'[':
        p = skip_blanks(p + 1)
        while p[0] != c']':
            p = skip_blanks(check_strictly(p, f"{path}[{index}]"))
            index += 1
            if p[0] == c',':
                p = skip_blanks(p + 1)
        return p + 1
    if p[0] == c'-' or c'0' <= p[0] <= c'9':
        text = (<bytes>(<const char*>p)[:skip_value(p) - p]).decode()
        if text == "-0" or not text.removeprefix("-").isdigit():
            raise ValueError(f"{path}: {excerpt(p)} is not an integer")
    return skip_value(p)
