"""See `limits.pxd`. What an `id` must be depends on `scope`, which may stand behind it: it is read as a text, and
again when the object is complete."""

from libc.stdint cimport int32_t, uint16_t
from libc.string cimport memcpy, memset

from engine._core.risk_records cimport (
    SCOPE_ACCOUNT, SCOPE_APPROVAL, SCOPE_CLIENT, SCOPE_COUNT, SCOPE_DEFAULT, SCOPE_INSTRUMENT, ApprovalCommand,
    KillCommand, LimitsCommand, LimitsFilter,
)
from server.wire.fields cimport (
    REASON_ID_NUMBER, REASON_ID_SYMBOL, REASON_MEMORY, REASON_MISSING, REASON_NO_LIMIT, REASON_NOT_ARRAY,
    REASON_NOT_FOR_SCOPE, REASON_SYNTAX, REASON_TOO_MANY, Seen, check_required, explain_fields, read_integer,
    read_object, read_symbol, refuse,
)
from server.wire.methods cimport (
    METHOD_APPROVE_LIMITS, METHOD_GET_LIMITS, METHOD_GET_PROPOSALS, METHOD_KILL_SWITCH, METHOD_SET_LIMITS,
)
from server.wire.shapes cimport (
    KIND_BOOLEAN, KIND_CHOICE, KIND_INTEGER, KIND_LIMIT, KIND_NAME, KIND_SWITCH, KIND_SYMBOL, KIND_TEXT, KIND_VALUE,
    Shape, build, offset,
)
from server.wire.text cimport skip_blanks

from engine._core.risk_records import LIMITS

cdef enum:                              # indices in the fields of the shapes
    SCOPE = 0
    ID = 1
    INSTRUMENT = 2                      # of set_limits
    FIRST_LIMIT = 3                     # … the limits from here on
    ON = 2                              # of kill_switch
    APPROVE = 1
    VIEW_WEIGHT = 4                     # a view of limits is so many times as long as a record that others return

cdef Shape limits_shape
cdef Shape kill_shape
cdef Shape approval_shape
cdef Shape filter_shape
cdef Shape proposals_shape

cdef LimitsCommand command
cdef KillCommand kill
cdef ApprovalCommand approval
cdef LimitsFilter wanted

INT63, INT32 = 2**63 - 1, 2**32 - 1
SWITCHES, CHOICES = ("restricted", "kill_switch"), ("short_sale",)


def limit(name: str, number: int) -> tuple:
    kind = KIND_SWITCH if name in SWITCHES else KIND_CHOICE if name in CHOICES else KIND_VALUE
    return name, kind, number, 8, 0, INT63, False


def scope(place: int, width: int, *, required: bool) -> tuple:
    return "scope", KIND_NAME, place, width, 0, 0, required


limits_fields = build(&limits_shape, NULL, [
    scope(offset(&command, &command.scope), 2, required=True),
    ("id", KIND_TEXT, offset(&command, &command.id_0), 24, 0, 0, False),
    ("instrument", KIND_SYMBOL, offset(&command, &command.symbol_0), 24, 0, 0, False),
    *(limit(name, number) for number, name in enumerate(LIMITS.names)),
])
kill_fields = build(&kill_shape, NULL, [
    scope(offset(&kill, &kill.scope), 2, required=True),
    ("id", KIND_TEXT, offset(&kill, &kill.id_0), 24, 0, 0, False),
    ("on", KIND_BOOLEAN, 0, 0, 0, 0, True),
])
approval_fields = build(&approval_shape, NULL, [
    ("proposal_id", KIND_INTEGER, offset(&approval, &approval.proposal_id), 8, 1, INT63, True),
    ("approve", KIND_BOOLEAN, 0, 0, 0, 0, False),
])
PAGE = [
    ("after", KIND_INTEGER, offset(&wanted, &wanted.after), 8, 0, INT63, False),
    ("limit", KIND_LIMIT, offset(&wanted, &wanted.limit), 4, 1, INT32, False),
]
filter_fields = build(&filter_shape, NULL, [
    scope(offset(&wanted, &wanted.scope), 4, required=False),
    ("id", KIND_TEXT, offset(&wanted, &wanted.id_0), 24, 0, 0, False),
    *PAGE,
])
proposals_fields = build(&proposals_shape, NULL, PAGE)

cdef dict FIELDS = {
    METHOD_SET_LIMITS: (limits_fields, "set_limits"),
    METHOD_KILL_SWITCH: (kill_fields, "this method's params"),
    METHOD_APPROVE_LIMITS: (approval_fields, "an approval"),
    METHOD_GET_LIMITS: (filter_fields, "this method's params"),
    METHOD_GET_PROPOSALS: (proposals_fields, "this method's params"),
}


cdef const uint8_t* check_id(
    const uint8_t* p, uint32_t scope, uint64_t* words, const Seen* seen, bint required, Reading* reading
) noexcept nogil:
    """`p`, with the id in `words` as its scope has it, or NULL."""
    cdef uint64_t value = 0
    if scope >= SCOPE_DEFAULT:
        return refuse(reading, REASON_NOT_FOR_SCOPE, ID, p) if seen.given & 1 << ID else p
    if not seen.given & 1 << ID:
        return refuse(reading, REASON_MISSING, ID, p) if required else p
    if scope == SCOPE_ACCOUNT:
        if read_integer(seen.text, reading.exact, &value) is NULL or value < 1 or value >> 63:
            return refuse(reading, REASON_ID_NUMBER, ID, seen.text)
        words[0] = value
        words[1] = words[2] = 0
    elif scope == SCOPE_INSTRUMENT and read_symbol(seen.text, reading.exact, words) is NULL:
        return refuse(reading, REASON_ID_SYMBOL, ID, seen.text)
    return p


cdef const uint8_t* read_limits(const uint8_t* p, Batch batch, Reading* reading) noexcept nogil:
    cdef LimitsCommand* item = batch.append_limits(1)
    cdef Seen seen
    if item is NULL:
        return refuse(reading, REASON_MEMORY, -1, p)
    memset(item, 0, sizeof(LimitsCommand))
    memcpy(&item.actor_0, reading.actor, 24)
    item.value_first = batch.limit_value_count
    seen.given = seen.true = 0
    p = read_object(&limits_shape, p, <uint8_t*>item, &seen, reading, batch)
    p = check_required(p, limits_shape.required, seen.given, reading)
    if p is NULL:
        return NULL
    if seen.given & 1 << INSTRUMENT and item.scope > SCOPE_CLIENT:
        return refuse(reading, REASON_NOT_FOR_SCOPE, INSTRUMENT, p)
    item.value_count = batch.limit_value_count - item.value_first
    if not item.value_count:
        return refuse(reading, REASON_NO_LIMIT, -1, p)
    return check_id(p, item.scope, &item.id_0, &seen, True, reading)


cdef const uint8_t* read_approval(const uint8_t* p, Batch batch, Reading* reading) noexcept nogil:
    cdef ApprovalCommand* item = batch.append_approvals(1)
    cdef Seen seen
    if item is NULL:
        return refuse(reading, REASON_MEMORY, -1, p)
    memset(item, 0, sizeof(ApprovalCommand))
    memcpy(&item.actor_0, reading.actor, 24)
    seen.given = seen.true = 0
    p = read_object(&approval_shape, p, <uint8_t*>item, &seen, reading, batch)
    item.approve = not seen.given & ~seen.true & 1 << APPROVE
    return check_required(p, approval_shape.required, seen.given, reading)


cdef const uint8_t* read_kill(const uint8_t* p, Batch batch, Reading* reading) noexcept nogil:
    cdef KillCommand* item = batch.append_kills(1)
    cdef Seen seen
    if item is NULL:
        return refuse(reading, REASON_MEMORY, -1, p)
    memset(item, 0, sizeof(KillCommand))
    memcpy(&item.actor_0, reading.actor, 24)
    seen.given = seen.true = 0
    p = read_object(&kill_shape, p, <uint8_t*>item, &seen, reading, batch)
    p = check_required(p, kill_shape.required, seen.given, reading)
    if p is NULL:
        return NULL
    if item.scope == SCOPE_APPROVAL:
        return refuse(reading, REASON_NOT_FOR_SCOPE, SCOPE, p)
    item.on = seen.true >> ON & 1
    return check_id(p, item.scope, &item.id_0, &seen, True, reading)


cdef const uint8_t* read_array(
    int method, const uint8_t* p, Batch batch, Reading* reading, uint32_t* count
) noexcept nogil:
    if p[0] != c'[':
        return refuse(reading, REASON_NOT_ARRAY, -1, p)
    p = skip_blanks(p + 1)
    if p[0] == c']':
        return p + 1
    while True:
        if count[0] >= reading.items_max:
            return refuse(reading, REASON_TOO_MANY, -1, p)
        reading.item = <int32_t>count[0]
        if method == METHOD_SET_LIMITS:
            p = read_limits(p, batch, reading)
        else:
            p = read_approval(p, batch, reading)
        if p is NULL:
            return NULL
        count[0] += 1
        p = skip_blanks(p)
        if p[0] == c']':
            return p + 1
        if p[0] != c',':
            return refuse(reading, REASON_SYNTAX, -1, p)
        p = skip_blanks(p + 1)


cdef const uint8_t* read_filter(
    int method, const uint8_t* p, Batch batch, Reading* reading, uint64_t* weight
) noexcept nogil:
    cdef LimitsFilter* item = batch.append_limits_filters(1)
    cdef const Shape* shape = &filter_shape if method == METHOD_GET_LIMITS else &proposals_shape
    cdef Seen seen
    if item is NULL:
        return refuse(reading, REASON_MEMORY, -1, p)
    memset(item, 0, sizeof(LimitsFilter))
    seen.given = seen.true = 0
    p = read_object(shape, p, <uint8_t*>item, &seen, reading, batch)
    if p is NULL:
        return NULL
    if not item.limit or item.limit > reading.query_limit_max // VIEW_WEIGHT:
        item.limit = max(<uint32_t>1, reading.query_limit_max // VIEW_WEIGHT)
    weight[0] = VIEW_WEIGHT * <uint64_t>item.limit
    if method == METHOD_GET_PROPOSALS:
        item.scope = SCOPE_COUNT
        return p
    if seen.given & 1 << SCOPE:
        return check_id(p, item.scope, &item.id_0, &seen, False, reading)
    item.scope = SCOPE_COUNT
    return refuse(reading, REASON_MISSING, SCOPE, p) if seen.given & 1 << ID else p


cdef const uint8_t* read_limit_params(
    int method, const uint8_t* p, Batch batch, Reading* reading, uint32_t* first, uint32_t* count, uint64_t* weight
) noexcept nogil:
    count[0] = weight[0] = 1
    if method == METHOD_KILL_SWITCH:
        first[0] = batch.kill_count
        return read_kill(p, batch, reading)
    if method == METHOD_GET_LIMITS or method == METHOD_GET_PROPOSALS:
        first[0] = batch.limits_filter_count
        return read_filter(method, p, batch, reading, weight)
    first[0] = batch.limit_count if method == METHOD_SET_LIMITS else batch.approval_count
    count[0] = 0
    p = read_array(method, p, batch, reading, count)
    weight[0] = count[0]
    return p


cdef object explain_limit_params(int method, Reading* reading):
    fields, noun = FIELDS[method]
    return explain_fields(fields, noun, reading)
