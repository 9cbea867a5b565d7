"""See `limit_commands.pxd`."""

from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memcpy, memset

from engine._core.batch cimport Request
from engine._core.codes cimport *
from engine._core.digest cimport digest_mix
from engine._core.order_codes cimport *
from engine._core.risk_records cimport *
from engine.matching.market cimport instrument_find
from engine.matching.records cimport Order
from engine.orders cimport cancels_allowed, close_order, gather, sort_slots
from engine.risk.exposure cimport rate_changed
from engine.risk.records cimport *
from engine.risk.store cimport Risk, limit_neutral, named_find, named_require, pair_find, pair_require
from engine.settlement.store cimport trading_account_find

cdef extern from *:
    """
    #define TB_LIMIT_MOST ((int64_t)1 << 62)
    """
    const int64_t MOST "TB_LIMIT_MOST"

cdef enum:
    # Where less is looser: bits by LimitName.
    REVERSED = 1 << LIMIT_DUPLICATE_ORDER | 1 << LIMIT_SHORT_SALE | 1 << LIMIT_RESTRICTED | 1 << LIMIT_KILL_SWITCH
    OF_PAIRS = 1 << LIMIT_RESTRICTED
    OF_ACCOUNT_PAIRS = OF_PAIRS | 1 << LIMIT_POSITION_LONG | 1 << LIMIT_POSITION_SHORT
    OF_ACCOUNTS = 1 << LIMIT_DUPLICATE_ORDER | 1 << LIMIT_PROGRAMME_RATE | 1 << LIMIT_PROGRAMME_DAY    # and of the default
    OF_INSTRUMENTS = 1 << LIMIT_EXPOSURE_RATE
    OF_PERSONS = 1 << LIMIT_SUITABILITY_CONFIRMED       # accounts and clients

cdef struct Target:                 # whose limits are meant
    Group* group
    Pair* pair                      # NULL: all instruments
    uint32_t slot                   # of the account, the instrument or the named group
    uint32_t instrument             # of the pair
    uint32_t scope

cdef struct Wish:                   # values to be set or taken away
    Limits values
    uint32_t set                    # bits by LimitName
    uint32_t unset


cdef inline uint64_t tick(Exchange* exchange) noexcept nogil:
    exchange.clearing.clock += 1
    return exchange.clearing.clock - 1


cdef uint32_t find_target(
    Exchange* exchange, uint32_t scope, const uint64_t* id, const uint64_t* symbol, bint create, Target* target) noexcept nogil:
    """The group that is meant, and with a symbol its pair, if there is one. FOUND, or the status of the refusal."""
    cdef Risk* risk = &exchange.risk
    cdef uint32_t pair
    memset(target, 0, sizeof(Target))
    target.scope = scope
    target.instrument = NONE
    if scope == SCOPE_ACCOUNT:
        target.slot = trading_account_find(&exchange.clearing, id[0])
        if target.slot == NONE:
            return TRADING_ACCOUNT_NOT_FOUND
        target.group = &risk.accounts[target.slot]
    elif scope == SCOPE_INSTRUMENT:
        target.slot = instrument_find(&exchange.market, id)
        if target.slot == NONE:
            return UNKNOWN_INSTRUMENT
        target.group = &risk.instruments[target.slot]
    elif scope == SCOPE_DEFAULT or scope == SCOPE_APPROVAL:
        target.slot = GROUP_DEFAULT if scope == SCOPE_DEFAULT else GROUP_APPROVAL
        target.group = &risk.named[target.slot]
    else:
        target.slot = named_require(risk, scope, id) if create else named_find(risk, scope, id)
        if target.slot != NONE:
            target.group = &risk.named[target.slot]
    if symbol is NULL or symbol[0] == 0:
        return FOUND
    if scope > SCOPE_CLIENT:
        return LIMIT_NOT_FOR_SCOPE
    target.instrument = instrument_find(&exchange.market, symbol)
    if target.instrument == NONE:
        return UNKNOWN_INSTRUMENT
    if target.slot != NONE:
        pair = pair_find(risk, scope, target.slot, target.instrument)
        if pair != NONE:
            target.pair = &risk.pairs[pair]
    return FOUND


# --- what may be asked --------------------------------------------------------------------------------

cdef uint32_t names_of(uint32_t scope, bint pair) noexcept nogil:
    """Which limits there are for a scope."""
    cdef uint32_t names = (<uint32_t>1 << LIMIT_COUNT) - 1
    if pair:
        return OF_ACCOUNT_PAIRS if scope == SCOPE_ACCOUNT else OF_PAIRS
    if scope == SCOPE_APPROVAL:
        return names
    if scope != SCOPE_INSTRUMENT:
        names &= ~<uint32_t>OF_INSTRUMENTS
    if scope != SCOPE_ACCOUNT and scope != SCOPE_DEFAULT:
        names &= ~<uint32_t>OF_ACCOUNTS
    if scope != SCOPE_ACCOUNT and scope != SCOPE_CLIENT:
        names &= ~<uint32_t>OF_PERSONS
    return names


cdef bint in_range(uint32_t name, int64_t value) noexcept nogil:
    cdef int64_t most = MOST
    if name == LIMIT_EXPOSURE_RATE:
        return 1 <= value <= <int64_t>1000000 * 1000000
    if name == LIMIT_PRICE_COLLAR or name == LIMIT_ORDER_TO_TRADE:
        most = 1000000
    elif name == LIMIT_ORDER_RATE or name == LIMIT_ORDER_BURST:
        most = 1000000000
    elif name == LIMIT_DUPLICATE_ORDER:
        most = <int64_t>86400 * 1000000000
    elif name == LIMIT_SUITABILITY or name == LIMIT_SUITABILITY_CONFIRMED:
        most = 5
    elif name == LIMIT_SHORT_SALE:
        most = 2
    elif name == LIMIT_RESTRICTED or name == LIMIT_KILL_SWITCH:
        most = 1
    return 0 <= value <= most


cdef int64_t current(const Target* target, uint32_t name) noexcept nogil:
    if target.pair is not NULL:
        if name == LIMIT_RESTRICTED:
            return target.pair.restricted
        return target.pair.position_long if name == LIMIT_POSITION_LONG else target.pair.position_short
    return (<const int64_t*>&target.group.limits)[name]


cdef bint raises(const Target* target, const Group* approval, const Wish* wish, uint32_t name) noexcept nogil:
    """Whether a wish needs a second person."""
    cdef uint32_t own = target.pair.own if target.pair is not NULL else target.group.own
    cdef uint32_t bit = <uint32_t>1 << name
    cdef int64_t value = (<const int64_t*>&wish.values)[name]
    cdef int64_t threshold = (<const int64_t*>&approval.limits)[name]
    if target.scope == SCOPE_APPROVAL:
        if not own & bit:
            return False                    # there was no such rule
        threshold = current(target, name)
    elif not approval.own & bit:
        return False
    if wish.unset & bit:
        return own & bit != 0
    if REVERSED & bit:
        return value < current(target, name) and value < threshold
    return value > current(target, name) and value > threshold


# --- setting ------------------------------------------------------------------------------------------

cdef void put_rate(Exchange* exchange, uint32_t instrument, int64_t rate) noexcept nogil:
    cdef uint32_t count
    if exchange.risk.instruments[instrument].limits.exposure_rate == rate:
        return
    count = gather(exchange, instrument, 0)
    rate_changed(&exchange.risk, instrument, exchange.scratch, count, rate)


cdef void put_default(Risk* risk, uint32_t name, int64_t value) noexcept nogil:
    """Accounts without such a limit of their own follow; what stops everybody is looked at by itself."""
    cdef uint32_t slot
    if name == LIMIT_KILL_SWITCH:
        return
    for slot in range(risk.account_count):
        if not risk.accounts[slot].own & <uint32_t>1 << name:
            (<int64_t*>&risk.accounts[slot].limits)[name] = value


cdef void put(Exchange* exchange, const Target* target, uint32_t name, int64_t value, bint unset) noexcept nogil:
    cdef Risk* risk = &exchange.risk
    cdef uint32_t bit = <uint32_t>1 << name
    cdef uint32_t* own = &target.pair.own if target.pair is not NULL else &target.group.own
    if unset:
        value = limit_neutral(name)
        if target.scope == SCOPE_ACCOUNT and target.pair is NULL and name != LIMIT_KILL_SWITCH:
            value = (<int64_t*>&risk.named[GROUP_DEFAULT].limits)[name]
        if own[0] & bit:
            risk.state.limited -= 1
        own[0] &= ~bit
    else:
        if not own[0] & bit:
            risk.state.limited += 1
        own[0] |= bit
    if target.pair is not NULL:
        if name == LIMIT_RESTRICTED:
            target.pair.restricted = <uint16_t>value
        elif name == LIMIT_POSITION_LONG:
            target.pair.position_long = value
        else:
            target.pair.position_short = value
        return
    if name == LIMIT_EXPOSURE_RATE and target.scope == SCOPE_INSTRUMENT:
        put_rate(exchange, target.slot, value)
        return
    (<int64_t*>&target.group.limits)[name] = value
    if target.scope == SCOPE_DEFAULT:
        put_default(risk, name, value)


cdef void apply_wish(Exchange* exchange, Target* target, const Wish* wish, uint64_t now) noexcept nogil:
    cdef uint32_t name
    for name in range(LIMIT_COUNT):
        if wish.set >> name & 1:
            put(exchange, target, name, (<const int64_t*>&wish.values)[name], False)
        elif wish.unset >> name & 1:
            put(exchange, target, name, 0, True)
    if target.pair is not NULL:
        target.pair.updated = now
    else:
        target.group.updated = now


cdef uint32_t read_wish(Batch batch, const LimitsCommand* command, Wish* wish) noexcept nogil:
    """What the command asks; the last word about a limit counts. LIMIT_OUT_OF_RANGE, or FOUND."""
    cdef const LimitValue* value
    cdef uint32_t index, bit
    memset(wish, 0, sizeof(Wish))
    for index in range(command.value_first, command.value_first + command.value_count):
        value = &batch.limit_values[index]
        if value.name >= LIMIT_COUNT:
            return LIMIT_NOT_FOR_SCOPE
        bit = <uint32_t>1 << value.name
        wish.set &= ~bit
        wish.unset &= ~bit
        if value.unset:
            wish.unset |= bit
            continue
        if not in_range(value.name, value.value):
            return LIMIT_OUT_OF_RANGE
        wish.set |= bit
        (<int64_t*>&wish.values)[value.name] = value.value
    return FOUND


cdef uint32_t try_limits(
    Exchange* exchange, Batch batch, const LimitsCommand* command, uint64_t now, Result* result) noexcept nogil:
    cdef Risk* risk = &exchange.risk
    cdef uint32_t status, name
    cdef Target target
    cdef Wish wish
    if command.scope >= SCOPE_COUNT:
        return LIMIT_NOT_FOR_SCOPE
    status = find_target(exchange, command.scope, &command.id_0, &command.symbol_0, False, &target)
    if status != FOUND:
        return status
    status = read_wish(batch, command, &wish)
    if status != FOUND:
        return status
    if (wish.set | wish.unset) & ~names_of(command.scope, target.instrument != NONE):
        return LIMIT_NOT_FOR_SCOPE
    if target.slot == NONE:
        target.slot = named_require(risk, command.scope, &command.id_0)
        target.group = &risk.named[target.slot]
    if target.instrument != NONE and target.pair is NULL:
        target.pair = &risk.pairs[pair_require(risk, command.scope, target.slot, target.instrument)]
        target.group.pairs += 1
    for name in range(LIMIT_COUNT):
        if (wish.set | wish.unset) >> name & 1 and raises(&target, &risk.named[GROUP_APPROVAL], &wish, name):
            propose(exchange, command, &wish, now)
            result.reserved = risk.proposal_count
            return PROPOSED
    apply_wish(exchange, &target, &wish, now)
    return LIMITS_SET


cdef void propose(Exchange* exchange, const LimitsCommand* command, const Wish* wish, uint64_t now) noexcept nogil:
    cdef Proposal* proposal = &exchange.risk.proposals[exchange.risk.proposal_count]
    memset(proposal, 0, sizeof(Proposal))
    exchange.risk.proposal_count += 1
    proposal.proposal_id = exchange.risk.proposal_count
    memcpy(&proposal.id_0, &command.id_0, 24)
    memcpy(&proposal.symbol_0, &command.symbol_0, 24)
    memcpy(&proposal.actor_0, &command.actor_0, 24)
    proposal.timestamp = now
    proposal.values = wish.values
    proposal.set = wish.set
    proposal.unset = wish.unset
    proposal.scope = command.scope


cdef void set_limits(Exchange* exchange, Batch batch, const LimitsCommand* command, Result* result) noexcept nogil:
    result.reserved = 0
    result.timestamp = tick(exchange)
    result.status = try_limits(exchange, batch, command, result.timestamp, result)
    digest_mix(exchange.ledger, result.timestamp ^ <uint64_t>command.scope << 56, command.id_0 ^ result.status)


# --- a second person ----------------------------------------------------------------------------------

cdef uint32_t decide_proposal(Exchange* exchange, const ApprovalCommand* command, uint64_t now) noexcept nogil:
    cdef Risk* risk = &exchange.risk
    cdef Proposal* proposal
    cdef Target target
    cdef Wish wish
    if command.proposal_id == 0 or command.proposal_id > risk.proposal_count:
        return PROPOSAL_NOT_FOUND
    proposal = &risk.proposals[command.proposal_id - 1]
    if proposal.state != PROPOSAL_OPEN:
        return PROPOSAL_CLOSED
    if command.approve and (command.actor_0 == proposal.actor_0 and command.actor_1 == proposal.actor_1
                            and command.actor_2 == proposal.actor_2):
        return ANOTHER_PERSON_NEEDED
    proposal.state = PROPOSAL_APPROVED if command.approve else PROPOSAL_DECLINED
    proposal.decided_at = now
    memcpy(&proposal.decided_by_0, &command.actor_0, 24)
    if not command.approve:
        return DECLINED
    find_target(exchange, proposal.scope, &proposal.id_0, &proposal.symbol_0, False, &target)   # it was there, and nothing goes
    wish.values = proposal.values
    wish.set = proposal.set
    wish.unset = proposal.unset
    apply_wish(exchange, &target, &wish, now)
    return APPROVED


cdef void approve_limits(Exchange* exchange, const ApprovalCommand* command, Result* result) noexcept nogil:
    result.reserved = 0
    result.timestamp = tick(exchange)
    result.status = decide_proposal(exchange, command, result.timestamp)
    digest_mix(exchange.ledger, result.timestamp, command.proposal_id << 8 | result.status)


# --- stopping -----------------------------------------------------------------------------------------

cdef bint is_meant(Exchange* exchange, const Target* target, uint32_t slot) noexcept nogil:
    cdef uint32_t account = exchange.clearing.positions[exchange.market.orders[slot].position].account
    if target.scope == SCOPE_ACCOUNT:
        return account == target.slot
    if target.scope == SCOPE_DESK:
        return exchange.risk.accounts[account].desk == target.slot
    if target.scope == SCOPE_CLIENT:
        return exchange.risk.accounts[account].client == target.slot
    return True


cdef void kill_switch(Exchange* exchange, const KillCommand* command, OrderResult* result) noexcept nogil:
    cdef uint32_t count = 0
    cdef uint32_t instrument, index, status, slot
    cdef Target target
    memset(result, 0, sizeof(OrderResult))
    result.timestamp = tick(exchange)
    result.status = ORDER_REJECTED
    status = LIMIT_NOT_FOR_SCOPE
    if command.scope <= SCOPE_DEFAULT:
        status = find_target(exchange, command.scope, &command.id_0, NULL, True, &target)
    digest_mix(exchange.ledger, result.timestamp ^ <uint64_t>command.scope << 56, command.id_0 ^ status << 1 ^ command.on)
    if status != FOUND:
        result.reason = REASON_UNKNOWN_INSTRUMENT if status == UNKNOWN_INSTRUMENT else REASON_UNKNOWN_ACCOUNT
        return
    put(exchange, &target, LIMIT_KILL_SWITCH, 1, command.on == 0)
    target.group.updated = result.timestamp
    result.status = ORDER_DONE
    if not command.on:
        return
    if command.scope == SCOPE_INSTRUMENT:
        count = gather(exchange, target.slot, 0)
    else:
        for instrument in range(exchange.market.instrument_count):
            count = gather(exchange, instrument, count)
    sort_slots(exchange.scratch, count)
    for index in range(count):
        slot = exchange.scratch[index]
        if is_meant(exchange, &target, slot) and cancels_allowed(&exchange.market.instruments[exchange.market.orders[slot].instrument]):
            close_order(exchange, slot, ORDER_CANCELED, EXECUTION_CANCELED, REASON_KILL_SWITCH, tick(exchange))
            result.cum_quantity += 1


# --- reading ------------------------------------------------------------------------------------------
# Numbers for paging stand still while stores grow: the kind of a group above its slot.

cdef int view_group(Batch batch, const Group* group, uint64_t number) noexcept nogil:
    cdef LimitsView* view = batch.append_limits_views(1)
    if view is NULL:
        return -1
    memset(view, 0, sizeof(LimitsView))
    view.number = number
    view.id_0 = group.id_0
    view.id_1 = group.id_1
    view.id_2 = group.id_2
    view.updated = group.updated
    view.limits = group.limits
    view.exposure = group.exposure
    view.own = group.own
    view.scope = group.scope
    return 0


cdef int view_pair(Risk* risk, Batch batch, const Pair* pair, uint64_t number) noexcept nogil:
    cdef const Group* group = &risk.accounts[pair.group] if pair.scope == SCOPE_ACCOUNT else &risk.named[pair.group]
    cdef LimitsView* view = batch.append_limits_views(1)
    cdef uint32_t name
    if view is NULL:
        return -1
    memset(view, 0, sizeof(LimitsView))
    for name in range(LIMIT_COUNT):
        (<int64_t*>&view.limits)[name] = limit_neutral(name)
    view.number = number
    view.id_0 = group.id_0
    view.id_1 = group.id_1
    view.id_2 = group.id_2
    view.symbol_0 = risk.market.instruments[pair.instrument].symbol_0
    view.symbol_1 = risk.market.instruments[pair.instrument].symbol_1
    view.symbol_2 = risk.market.instruments[pair.instrument].symbol_2
    view.updated = pair.updated
    view.limits.position_long = pair.position_long
    view.limits.position_short = pair.position_short
    view.limits.restricted = pair.restricted
    view.own = pair.own
    view.scope = pair.scope
    return 0


cdef int view_groups(
    Batch batch, const Group* groups, uint32_t count, uint64_t kind, const LimitsFilter* filter, uint32_t* left) noexcept nogil:
    cdef uint64_t slot = 0
    if filter.after >= (kind << 32) + 1:
        slot = filter.after - (kind << 32)
    while slot < count and left[0]:
        if (filter.scope == SCOPE_COUNT or filter.scope == groups[slot].scope) and not (
                kind == 0 and slot == GROUP_NEUTRAL):
            if view_group(batch, &groups[slot], (kind << 32) + slot + 1) != 0:
                return -1
            left[0] -= 1
        slot += 1
    return 0


cdef int view_pairs(
    Risk* risk, Batch batch, const LimitsFilter* filter, const Target* target, uint32_t* left) noexcept nogil:
    cdef uint64_t kind = 3
    cdef uint64_t slot = 0
    cdef Pair* pair
    if filter.after >= (kind << 32) + 1:
        slot = filter.after - (kind << 32)
    while slot < risk.pair_count and left[0]:
        pair = &risk.pairs[slot]
        slot += 1
        if filter.scope != SCOPE_COUNT and filter.scope != pair.scope:
            continue
        if target is not NULL and pair.group != target.slot:
            continue
        if view_pair(risk, batch, pair, (kind << 32) + slot) != 0:
            return -1
        left[0] -= 1
    return 0


cdef int get_limits(Exchange* exchange, Batch batch, Request* request, const LimitsFilter* filter) noexcept nogil:
    cdef Risk* risk = &exchange.risk
    cdef uint32_t left = filter.limit
    cdef uint32_t status
    cdef Target target
    request.answer_first = batch.limits_view_count
    if filter.scope < SCOPE_COUNT and (filter.id_0 or filter.scope >= SCOPE_DEFAULT):
        status = find_target(exchange, filter.scope, &filter.id_0, NULL, False, &target)
        if status != FOUND:
            request.status = status
            return 0
        if target.slot != NONE and left:
            if filter.after == 0:
                if view_group(batch, target.group, 1) != 0:
                    return -1
                left -= 1
            if filter.scope <= SCOPE_CLIENT and view_pairs(risk, batch, filter, &target, &left) != 0:
                return -1
    elif (view_groups(batch, risk.named, risk.named_count, 0, filter, &left) != 0
            or view_groups(batch, risk.accounts, risk.account_count, 1, filter, &left) != 0
            or view_groups(batch, risk.instruments, risk.instrument_count, 2, filter, &left) != 0
            or view_pairs(risk, batch, filter, NULL, &left) != 0):
        return -1
    request.answer_count = batch.limits_view_count - request.answer_first
    return 0


cdef int get_proposals(Exchange* exchange, Batch batch, Request* request, const LimitsFilter* filter) noexcept nogil:
    cdef uint64_t slot = filter.after
    cdef uint32_t left = filter.limit
    cdef Proposal* view
    request.answer_first = batch.proposal_count
    while slot < exchange.risk.proposal_count and left:
        view = batch.append_proposals(1)
        if view is NULL:
            return -1
        view[0] = exchange.risk.proposals[slot]
        slot += 1
        left -= 1
    request.answer_count = batch.proposal_count - request.answer_first
    return 0


cdef int read_limits(Exchange* exchange, Batch batch, uint32_t index) noexcept nogil:
    cdef Request* request = &batch.requests[index]
    cdef const LimitsFilter* filter = &batch.limits_filters[request.item_first]
    request.status = FOUND
    request.answer_first = request.answer_count = 0
    if request.kind == KIND_GET_LIMITS:
        return get_limits(exchange, batch, request, filter)
    return get_proposals(exchange, batch, request, filter)
