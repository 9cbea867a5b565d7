"""See `encode_limits.pxd`."""

from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from engine._core.batch cimport Batch, Request
from engine._core.codes cimport KIND_GET_LIMITS, KIND_GET_PROPOSALS, KIND_SUBMIT_ORDERS, PROPOSED
from engine._core.order_codes cimport REASON_OWN_CHECK
from engine._core.order_records cimport AmendCommand, OrderCommand, OrderResult
from engine._core.records cimport Result
from engine._core.risk_records cimport (
    LIMIT_COUNT, LIMIT_CREDIT_LIMIT, LIMIT_DAILY_LOSS, LIMIT_DUPLICATE_ORDER, LIMIT_EXPOSURE_RATE,
    LIMIT_GROSS_EXPOSURE, LIMIT_KILL_SWITCH, LIMIT_NET_EXPOSURE, LIMIT_OPEN_NOTIONAL, LIMIT_OPEN_ORDERS,
    LIMIT_ORDER_BURST, LIMIT_ORDER_TO_TRADE, LIMIT_ORDER_TO_TRADE_FREE, LIMIT_RESTRICTED, LIMIT_SHORT_SALE,
    LIMIT_SUITABILITY, LIMIT_SUITABILITY_CONFIRMED, SCOPE_ACCOUNT, SCOPE_COUNT, SCOPE_DEFAULT, SCOPE_INSTRUMENT, UNLIMITED, Exposure, Limits,
    LimitsView, Proposal, Verdict,
)
from server.wire.output cimport Out, done, put, put64, room
from server.wire.text cimport store64, write

from engine._core.risk_records import LIMITS
from engine.order_results import Reason
from engine.results import Status
from server.wire.shapes import LIMIT_NAMES

cdef extern from *:
    """
    typedef __int128 tb_wide;
    """
    ctypedef long long wide "tb_wide"   # the compiler knows better: 128 bits, for sums of 64

cdef enum:
    NAME_TEXT = 40                      # bytes of a name that is copied whole
    CHECK_TEXT = 152
    RESULT_ROOM = 192
    VIEW_ROOM = 6144                    # 24 limits thrice, 12 figures, ids
    STATUS_COUNT = 128
    REASON_COUNT = 64

cdef enum:                              # bits by LimitName
    NONE_IS_ZERO = (
        1 << LIMIT_ORDER_BURST | 1 << LIMIT_ORDER_TO_TRADE_FREE | 1 << LIMIT_DUPLICATE_ORDER | 1 << LIMIT_SHORT_SALE
        | 1 << LIMIT_SUITABILITY | 1 << LIMIT_SUITABILITY_CONFIRMED | 1 << LIMIT_RESTRICTED | 1 << LIMIT_KILL_SWITCH)

cdef struct Name:
    uint32_t length
    uint8_t text[NAME_TEXT]             # with its quotation marks

cdef struct CheckName:                  # what a refusal by an own check is called
    uint32_t number
    uint32_t length
    uint8_t text[CHECK_TEXT]            # with its quotation marks

cdef CheckName* checks = NULL
cdef uint32_t check_count = 0
cdef Name[STATUS_COUNT] statuses
cdef Name[REASON_COUNT] reasons
cdef Name[LIMIT_COUNT] limit_names
cdef Name[SCOPE_COUNT] scope_names
cdef Name[3] short_sales
cdef Name[3] states
cdef const char** programmes = [b'[]', b'["programme_rate"]', b'["programme_day"]', b'["programme_rate","programme_day"]']


cdef int build(Name* names, uint32_t count, pairs) except -1:
    cdef bytes text
    memset(names, 0, count * sizeof(Name))
    for number, name in pairs:
        text = b'"' + name.encode() + b'"'
        if number >= count or len(text) > NAME_TEXT:
            raise ImportError(f"server.wire.encode_limits: no room for {name!r}")
        names[<uint32_t>number].length = <uint32_t>len(text)
        memcpy(names[<uint32_t>number].text, <const char*>text, len(text))
    return 0


def name_checks(names: dict[int, str]) -> None:
    """Say what refusals by own checks are called: `engine.risk.describe` of each number. Takes the place of earlier names."""
    global checks, check_count
    cdef bytes text
    cdef CheckName* made = <CheckName*>calloc(max(1, len(names)), sizeof(CheckName))
    if made is NULL:
        raise MemoryError
    for place, (number, name) in enumerate(names.items()):
        text = name.encode("ascii", "replace").replace(b'"', b"'").replace(b"\\", b"/")[:CHECK_TEXT - 2]
        text = b'"' + text + b'"'
        made[<uint32_t>place].number = number
        made[<uint32_t>place].length = <uint32_t>len(text)
        memcpy(made[<uint32_t>place].text, <const char*>text, len(text))
    free(checks)
    checks, check_count = made, <uint32_t>len(names)


build(statuses, STATUS_COUNT, [
    (member, member.name.lower()) for member in Status if len(member.name) + 2 <= NAME_TEXT    # none of ours is longer
])
build(reasons, REASON_COUNT, [(member, member.name.lower()) for member in Reason])
build(limit_names, LIMIT_COUNT, enumerate(LIMITS.names))
build(scope_names, SCOPE_COUNT, enumerate(LIMIT_NAMES["scope"]))
build(short_sales, 3, enumerate(LIMIT_NAMES["short_sale"]))
build(states, 3, enumerate(["open", "approved", "declined"]))


# --- pieces -------------------------------------------------------------------------------------

cdef inline uint8_t* put_name(uint8_t* p, const Name* name) noexcept nogil:
    memcpy(p, name.text, NAME_TEXT)
    return p + name.length


cdef inline uint8_t* put_signed(uint8_t* p, int64_t value, bint quoted) noexcept nogil:
    if value >= 0:
        return put64(p, <uint64_t>value, quoted)
    if quoted:
        p[0] = c'"'
        p += 1
    p[0] = c'-'
    p = write(p + 1, <uint64_t>0 - <uint64_t>value)
    if quoted:
        p[0] = c'"'
        p += 1
    return p


cdef uint8_t* put_text(uint8_t* p, const uint64_t* words) noexcept nogil:
    """Printable ASCII in three words as a string; at most 50 bytes."""
    cdef uint8_t text[24]
    cdef int index
    memcpy(text, words, 24)
    p[0] = c'"'
    p += 1
    for index in range(24):
        if not text[index]:
            break
        if text[index] == c'"' or text[index] == c'\\':
            p[0] = c'\\'
            p += 1
        p[0] = text[index]
        p += 1
    p[0] = c'"'
    return p + 1


cdef uint8_t* put_id(uint8_t* p, uint16_t scope, const uint64_t* words, bint quoted) noexcept nogil:
    """`,"id":…` of scopes that have one."""
    if scope == SCOPE_ACCOUNT:
        return put64(put(p, b',"id":'), words[0], quoted)
    return p if scope >= SCOPE_DEFAULT else put_text(put(p, b',"id":'), words)


cdef uint8_t* put_value(uint8_t* p, uint32_t name, int64_t value, bint quoted) noexcept nogil:
    """A limit's value as set_limits takes it."""
    if name == LIMIT_RESTRICTED or name == LIMIT_KILL_SWITCH:
        return put(p, b"true" if value else b"false")
    if name == LIMIT_SHORT_SALE:
        return put_name(p, &short_sales[value if 0 <= value <= 2 else 0])
    return put_signed(p, value, quoted)


cdef inline bint is_limited(uint32_t name, int64_t value) noexcept nogil:
    """Whether a value says anything; see `Limits`."""
    if value == UNLIMITED:
        return False
    if name == LIMIT_EXPOSURE_RATE:
        return value != 1000000
    return value != 0 or not NONE_IS_ZERO >> name & 1


cdef wide used_of(uint32_t name, const Exposure* used) noexcept nogil:
    """What counts against the limit before an order; -1: not known without the order."""
    cdef wide net
    if name == LIMIT_OPEN_ORDERS:
        return used.open_orders
    if name == LIMIT_OPEN_NOTIONAL:
        return <wide>used.open_buy + used.open_sell
    if name == LIMIT_GROSS_EXPOSURE:
        return <wide>used.long_value + used.short_value + used.open_buy + used.open_sell
    if name == LIMIT_NET_EXPOSURE:
        net = <wide>used.long_value - used.short_value
        return max(<wide>(net + used.open_buy), <wide>(used.open_sell - net))
    if name == LIMIT_CREDIT_LIMIT:
        return <wide>used.traded + used.open_buy + used.open_sell
    if name == LIMIT_DAILY_LOSS:
        return max(<wide>0, <wide>-(<wide>used.realised + used.unrealised))
    if name == LIMIT_ORDER_TO_TRADE:
        return used.messages
    return -1


cdef int64_t left_of(uint32_t name, const Limits* limits, const Exposure* used) noexcept nogil:
    """What is left of a limit: not below 0; -1 when that depends on the order."""
    cdef wide taken = used_of(name, used)
    cdef wide value = (<const int64_t*>limits)[name]
    if taken < 0:
        return -1
    if name == LIMIT_ORDER_TO_TRADE:
        value = limits.order_to_trade_free + value * used.trades
    return <int64_t>min(<wide>UNLIMITED, max(<wide>0, <wide>(value - taken)))


# --- answers ------------------------------------------------------------------------------------

cdef int put_results(Out* out, Batch batch, const Request* request, bint quoted) noexcept nogil:
    """The array of results of set_limits and approve_limits."""
    cdef const Result* result
    cdef uint32_t index
    cdef uint8_t* p = room(out, <size_t>request.answer_count * RESULT_ROOM + 8)
    if p is NULL:
        return -1
    p[0] = c'['
    p += 1
    for index in range(request.answer_count):
        result = &batch.results[request.answer_first + index]
        p = put_name(put(p, b',{"status":' if index else b'{"status":'), &statuses[result.status & (STATUS_COUNT - 1)])
        if result.status == PROPOSED:
            p = put64(put(p, b',"proposal_id":'), result.reserved, quoted)
        p = put64(put(p, b',"timestamp":'), result.timestamp, quoted)
        p[0] = c'}'
        p += 1
    p[0] = c']'
    done(out, p + 1)
    return 0


cdef uint8_t* put_used(uint8_t* p, const Exposure* used, bint quoted) noexcept nogil:
    p = put_signed(put(p, b',"used":{"open_orders":'), used.open_orders, quoted)
    p = put_signed(put(p, b',"open_buy":'), used.open_buy, quoted)
    p = put_signed(put(p, b',"open_sell":'), used.open_sell, quoted)
    p = put_signed(put(p, b',"long_value":'), used.long_value, quoted)
    p = put_signed(put(p, b',"short_value":'), used.short_value, quoted)
    p = put_signed(put(p, b',"realised":'), used.realised, quoted)
    p = put_signed(put(p, b',"unrealised":'), used.unrealised, quoted)
    p = put_signed(put(p, b',"traded":'), used.traded, quoted)
    p = put_signed(put(p, b',"messages":'), used.messages, quoted)
    p = put_signed(put(p, b',"trades":'), used.trades, quoted)
    return put(put(put(p, b',"programme":'), programmes[used.programme & 3]), b"}")


cdef uint8_t* put_view(uint8_t* p, const LimitsView* view, bint quoted) noexcept nogil:
    cdef const int64_t* values = <const int64_t*>&view.limits
    cdef uint32_t name
    cdef int64_t left
    cdef bint first = True
    p = put64(put(p, b'{"number":'), view.number, quoted)
    p = put_name(put(p, b',"scope":'), &scope_names[view.scope % SCOPE_COUNT])
    p = put_id(p, view.scope, &view.id_0, quoted)
    if view.symbol_0:
        p = put_text(put(p, b',"instrument":'), &view.symbol_0)
    p = put(p, b',"limits":{')
    for name in range(LIMIT_COUNT):
        if view.own >> name & 1 or is_limited(name, values[name]):
            if not first:
                p[0] = c','
                p += 1
            p = put_name(p, &limit_names[name])
            p[0] = c':'
            p = put_value(p + 1, name, values[name], quoted)
            first = False
    p = put(p, b'},"own":[')
    first = True
    for name in range(LIMIT_COUNT):
        if view.own >> name & 1:
            if not first:
                p[0] = c','
                p += 1
            p = put_name(p, &limit_names[name])
            first = False
    p[0] = c']'
    p += 1
    if not view.symbol_0 and view.scope <= SCOPE_INSTRUMENT:
        p = put(put_used(p, &view.exposure, quoted), b',"headroom":{')
        first = True
        for name in range(LIMIT_COUNT):
            left = -1 if values[name] == UNLIMITED else left_of(name, &view.limits, &view.exposure)
            if left < 0:
                continue
            if not first:
                p[0] = c','
                p += 1
            p = put_name(p, &limit_names[name])
            p[0] = c':'
            p = put_signed(p + 1, left, quoted)
            first = False
        p[0] = c'}'
        p += 1
    p = put64(put(p, b',"updated":'), view.updated, quoted)
    p[0] = c'}'
    return p + 1


cdef uint8_t* put_proposal(uint8_t* p, const Proposal* view, bint quoted) noexcept nogil:
    cdef const int64_t* values = <const int64_t*>&view.values
    cdef uint32_t name
    cdef bint first = True
    p = put64(put(p, b'{"proposal_id":'), view.proposal_id, quoted)
    p = put_name(put(p, b',"state":'), &states[view.state % 3])
    p = put_name(put(p, b',"scope":'), &scope_names[view.scope % SCOPE_COUNT])
    p = put_id(p, view.scope, &view.id_0, quoted)
    if view.symbol_0:
        p = put_text(put(p, b',"instrument":'), &view.symbol_0)
    p = put(p, b',"limits":{')
    for name in range(LIMIT_COUNT):
        if (view.set | view.unset) >> name & 1:
            if not first:
                p[0] = c','
                p += 1
            p = put_name(p, &limit_names[name])
            p[0] = c':'
            p += 1
            p = put(p, b"null") if view.unset >> name & 1 else put_value(p, name, values[name], quoted)
            first = False
    p = put_text(put(p, b'},"proposed_by":'), &view.actor_0)
    p = put64(put(p, b',"timestamp":'), view.timestamp, quoted)
    if view.state:
        p = put_text(put(p, b',"decided_by":'), &view.decided_by_0)
        p = put64(put(p, b',"decided_at":'), view.decided_at, quoted)
    p[0] = c'}'
    return p + 1


cdef int put_limits_answer(Out* out, Batch batch, const Request* request, bint quoted) noexcept nogil:
    cdef uint32_t index, first = request.answer_first
    cdef uint8_t* p
    if request.kind != KIND_GET_LIMITS and request.kind != KIND_GET_PROPOSALS:
        return put_results(out, batch, request, quoted)
    p = room(out, 8)
    if p is NULL:
        return -1
    p[0] = c'['
    done(out, p + 1)
    for index in range(first, first + request.answer_count):
        p = room(out, VIEW_ROOM)
        if p is NULL:
            return -1
        if index != first:
            p[0] = c','
            p += 1
        if request.kind == KIND_GET_LIMITS:
            p = put_view(p, &batch.limits_views[index], quoted)
        else:
            p = put_proposal(p, &batch.proposals[index], quoted)
        done(out, p)
    p = room(out, 8)
    if p is NULL:
        return -1
    p[0] = c']'
    done(out, p + 1)
    return 0


# --- refusals of orders -------------------------------------------------------------------------

cdef uint8_t* put_verdict(
    uint8_t* p, Batch batch, const Request* request, const OrderResult* result, bint quoted
) noexcept nogil:
    cdef const Verdict* verdict = &batch.verdicts[result.fill_first]
    cdef wide left = <wide>verdict.limit - verdict.used
    cdef uint32_t index
    if verdict.reason == REASON_OWN_CHECK:
        p = write(put(p, b',"check":'), verdict.check)
        for index in range(check_count):
            if checks[index].number == verdict.check:
                p = put(p, b',"check_name":')
                memcpy(p, checks[index].text, CHECK_TEXT)
                p += checks[index].length
                break
    p = put_name(put(p, b',"limit":{"name":'), &reasons[verdict.reason & (REASON_COUNT - 1)])
    p = put_name(put(p, b',"scope":'), &scope_names[verdict.scope % SCOPE_COUNT])
    if verdict.scope == SCOPE_ACCOUNT:
        p = put64(put(p, b',"id":'), (
            batch.amends[verdict.item].account_id if verdict.amend else batch.orders[verdict.item].account_id), quoted)
    elif verdict.scope == SCOPE_INSTRUMENT and not verdict.amend:
        p = put_text(put(p, b',"id":'), &batch.orders[verdict.item].symbol_0)
    p = put_signed(put(p, b',"value":'), verdict.limit, quoted)
    p = put_signed(put(p, b',"used":'), verdict.used, quoted)
    p = put_signed(put(p, b',"asked":'), verdict.asked, quoted)
    p = put_signed(put(p, b',"headroom":'), <int64_t>min(<wide>UNLIMITED, max(<wide>0, left)), quoted)
    p[0] = c'}'
    return p + 1
