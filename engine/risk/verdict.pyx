"""See `verdict.pxd`. The order of the checks and what they mean stands in docs/RISK.md; they themselves in `kernel.py`."""

from libc.string cimport memset

from engine._core.codes cimport NONE
from engine._core.native cimport likely, prefetch_write, unlikely
from engine._core.order_codes cimport *
from engine._core.records cimport Account
from engine._core.risk_records cimport *
from engine.matching.market cimport units_of
from engine.matching.records cimport *
from engine.risk.exposure cimport Groups, VALUE_BITS, HEADROOM_BITS, groups_of, mark_of, position_touch, value_of
from engine.risk.records cimport GROUP_DEFAULT, GROUP_NEUTRAL, Group, Pair, PositionRisk
from engine.risk.store cimport pair_find
from engine.settlement.records cimport Position

cdef enum:
    ACCEPT = 0x5AFE
    SECOND = 1000000000
    PROGRAMME_RATE = 1
    PROGRAMME_DAY = 2
    GROUP_LINES = (sizeof(Group) + 63) // 64


# --- counting -----------------------------------------------------------------------------------------

cdef inline void count_message(Group* group) noexcept nogil:
    if group is not NULL:
        group.exposure.messages += 1


cdef void risk_message(Risk* risk, uint32_t position, uint64_t now) noexcept nogil:
    cdef int64_t second = <int64_t>(now // SECOND)
    cdef Exposure* exposure
    cdef Groups groups
    groups_of(risk, position, &groups)
    count_message(groups.account)
    count_message(groups.desk)
    count_message(groups.client)
    count_message(groups.instrument)
    exposure = &groups.account.exposure     # of accounts alone the second counts, too
    if exposure.second != second:
        exposure.second = second
        exposure.second_messages = 0
    exposure.second_messages += 1
    if unlikely(exposure.second_messages >= groups.account.limits.programme_rate):
        exposure.programme |= PROGRAMME_RATE
    if unlikely(exposure.messages >= groups.account.limits.programme_day):
        exposure.programme |= PROGRAMME_DAY


cdef inline void take_token(Group* group, uint64_t now) noexcept nogil:
    """The bucket as the time at which it will be full again (GCRA, ITU-T I.371): one more token later."""
    if group is NULL or group.limits.order_rate == UNLIMITED or group.limits.order_rate <= 0:
        return
    if group.exposure.rate_due < <int64_t>now:
        group.exposure.rate_due = <int64_t>now
    group.exposure.rate_due += SECOND // group.limits.order_rate


cdef void risk_accepted(Risk* risk, uint32_t position, uint64_t now) noexcept nogil:
    cdef Groups groups
    groups_of(risk, position, &groups)
    take_token(groups.account, now)
    take_token(groups.desk, now)
    take_token(groups.client, now)
    take_token(groups.instrument, now)


# --- what the checks see ------------------------------------------------------------------------------

cdef int64_t best_price(Risk* risk, const Instrument* instrument, uint32_t fold) noexcept nogil:
    if instrument.sides[fold].best == NONE:
        return 0
    return <int64_t>units_of(instrument, risk.market.levels[instrument.sides[fold].best].price)


cdef int64_t short_part(Risk* risk, const Order* order, const Before* before) noexcept nogil:
    """How much of a spot sell is more than what the base account holds beside what its open sells hold."""
    cdef Position* held = &risk.clearing.positions[order.position]
    cdef Account* account = &risk.clearing.ledger.accounts[held.base_account]
    # What the order itself holds has been its leaves before.
    cdef int64_t free = (
        <int64_t>account.credits_posted - <int64_t>account.debits_posted - <int64_t>account.debits_pending
        + <int64_t>before.leaves)
    if free < 0:
        free = 0
    return <int64_t>order.leaves - free if <int64_t>order.leaves > free else 0


cdef int64_t duplicate_age(Risk* risk, uint32_t slot, uint64_t now, int64_t window) noexcept nogil:
    """How long ago the same order was accepted; -1: not within the window."""
    cdef Order* order = &risk.market.orders[slot]
    cdef Order* other
    cdef uint32_t earlier = risk.positions[order.position].last_order
    cdef uint64_t accepted
    while earlier != NONE:
        other = &risk.market.orders[earlier]
        accepted = risk.market.details[earlier].timestamp
        if accepted + <uint64_t>window <= now:
            return -1
        if (other.price == order.price and (other.traits ^ order.traits) & (TRAIT_SELL | TRAIT_TYPE) == 0
                and risk.market.details[earlier].quantity == risk.market.details[slot].quantity):
            return <int64_t>(now - accepted)
        earlier = other.reserved
    return -1


cdef void restrictions(Risk* risk, const Groups* groups, uint32_t position, RiskOrder* order) noexcept nogil:
    """Limits of account, desk and client in this instrument by itself."""
    cdef Position* held = &risk.clearing.positions[position]
    cdef uint32_t pair
    if groups.account.pairs:
        pair = pair_find(risk, SCOPE_ACCOUNT, held.account, held.instrument)
        if pair != NONE:
            order.position_long = risk.pairs[pair].position_long
            order.position_short = risk.pairs[pair].position_short
            if risk.pairs[pair].restricted:
                order.restricted = 1 + SCOPE_ACCOUNT
                return
    if groups.desk is not NULL and groups.desk.pairs:
        pair = pair_find(risk, SCOPE_DESK, groups.account.desk, held.instrument)
        if pair != NONE and risk.pairs[pair].restricted:
            order.restricted = 1 + SCOPE_DESK
            return
    if groups.client is not NULL and groups.client.pairs:
        pair = pair_find(risk, SCOPE_CLIENT, groups.account.client, held.instrument)
        if pair != NONE and risk.pairs[pair].restricted:
            order.restricted = 1 + SCOPE_CLIENT


cdef void describe(
    Risk* risk, const Groups* groups, uint32_t slot, const Before* before, uint64_t now, int64_t value, RiskOrder* seen) noexcept nogil:
    cdef Order* order = &risk.market.orders[slot]
    cdef Instrument* instrument = &risk.market.instruments[order.instrument]
    cdef Position* held = &risk.clearing.positions[order.position]
    cdef bint sell = order.traits & TRAIT_SELL
    memset(seen, 0, sizeof(RiskOrder))
    seen.time = <int64_t>now
    seen.account_id = <int64_t>groups.account.id_0
    seen.instrument = order.instrument
    seen.side = sell
    seen.type = (order.traits & TRAIT_TYPE) >> TRAIT_TYPE_SHIFT
    seen.time_in_force = (order.traits & TRAIT_TIF) >> TRAIT_TIF_SHIFT
    seen.post_only = order.traits & TRAIT_POST_ONLY != 0
    seen.quantity = <int64_t>order.leaves
    seen.value = value
    if before.leaves:
        seen.replaces = 1
        seen.old_quantity = <int64_t>before.leaves
        seen.old_value = value_of(risk, order.instrument, before.price, before.leaves)
    seen.price = <int64_t>units_of(instrument, order.price)
    seen.stop_price = <int64_t>units_of(instrument, risk.market.details[slot].stop_price)
    seen.last_price = <int64_t>units_of(instrument, instrument.last_price)
    seen.reference_price = <int64_t>instrument.reference_price
    seen.mark_price = <int64_t>units_of(instrument, mark_of(instrument))
    seen.best_bid = best_price(risk, instrument, FOLD_BIDS)
    seen.best_ask = best_price(risk, instrument, FOLD_ASKS)
    seen.position = risk.positions[order.position].quantity
    seen.open_buy_quantity = <int64_t>held.open_buy
    seen.open_sell_quantity = <int64_t>held.open_sell
    seen.futures = instrument.flags & INSTRUMENT_FUTURES != 0
    if sell and not seen.futures:
        seen.short_quantity = short_part(risk, order, before)
    seen.duplicate_age = -1
    if groups.account.limits.duplicate_order and not before.leaves:
        seen.duplicate_age = duplicate_age(risk, slot, now, groups.account.limits.duplicate_order)
    seen.position_long = seen.position_short = UNLIMITED
    seen.killed = risk.named[GROUP_DEFAULT].limits.kill_switch
    restrictions(risk, groups, order.position, seen)


# --- the verdict --------------------------------------------------------------------------------------

cdef int64_t ask(Risk* risk, const Groups* groups, const RiskOrder* seen, Finding* found) noexcept nogil:
    """ACCEPT, or a Reason. Whatever is not plainly one of both is a failure, and refused."""
    cdef Group* neutral = &risk.named[GROUP_NEUTRAL]
    cdef Group* desk = neutral if groups.desk is NULL else groups.desk
    cdef Group* client = neutral if groups.client is NULL else groups.client
    cdef int64_t said
    cdef uint32_t check
    memset(found, 0, sizeof(Finding))
    if risk.state.limited:
        if risk.decide is NULL:
            return REASON_RISK_FAILED
        said = risk.decide(
            seen, &groups.account.limits, &groups.account.exposure, &desk.limits, &desk.exposure, &client.limits,
            &client.exposure, &groups.instrument.limits, &groups.instrument.exposure, found)
        if said != ACCEPT:
            return said if REASON_MAX_QUANTITY <= said < REASON_COUNT else REASON_RISK_FAILED
    for check in range(risk.check_count):
        said = risk.checks[check](seen, &groups.account.limits, &groups.account.exposure, found)
        if said != ACCEPT:
            found.scope = SCOPE_ACCOUNT
            found.check = 1000 * (<int64_t>check + 1) + (said if 0 < said < 1000 else 0)
            return REASON_OWN_CHECK if 0 < said < 1000 else REASON_RISK_FAILED
    return ACCEPT


cdef inline bint outside(int64_t value) noexcept nogil:
    return not 0 <= value < <int64_t>1 << HEADROOM_BITS


cdef inline bint too_full(const Group* group) noexcept nogil:
    """Whether sums are so large that the checks could not reckon with them; one that has wrapped is negative, and so is seen, too."""
    cdef int64_t most = <int64_t>1 << HEADROOM_BITS
    return group is not NULL and (
        outside(group.exposure.open_buy) or outside(group.exposure.open_sell) or outside(group.exposure.long_value)
        or outside(group.exposure.short_value) or outside(group.exposure.traded) or not -most < group.exposure.realised < most
        or not -most < group.exposure.unrealised < most)


cdef int recorded(Risk* risk, Batch batch, uint32_t item, bint amend, OrderResult* result) noexcept nogil:
    """What the log says about it: a refusal, or nothing."""
    cdef Verdict* verdict
    if risk.verdict == batch.verdict_count:
        return REASON_NONE
    verdict = &batch.verdicts[risk.verdict]
    if verdict.item != item or (verdict.amend != 0) != amend:
        return REASON_NONE
    result.reserved = 1
    result.fill_first = risk.verdict
    risk.verdict += 1
    return verdict.reason


cdef inline void look_ahead(const Group* group) noexcept nogil:
    """All of a group that checks read comes into the cache while other things are looked at."""
    cdef int line
    if group is not NULL:
        for line in range(GROUP_LINES):
            prefetch_write(<char*>group + 64 * line)


cdef int risk_check(
    Risk* risk, Batch batch, uint32_t slot, uint32_t item, const Before* before, uint64_t now, OrderResult* result) noexcept nogil:
    cdef Order* order = &risk.market.orders[slot]
    cdef int64_t value = value_of(risk, order.instrument, order.price, order.leaves)
    cdef int64_t said
    cdef int reason
    cdef Groups groups
    cdef RiskOrder seen
    cdef Finding found
    cdef Verdict* verdict
    groups_of(risk, order.position, &groups)
    if risk.state.limited:
        look_ahead(groups.account)
        look_ahead(groups.desk)
        look_ahead(groups.client)
        look_ahead(groups.instrument)
    position_touch(risk, order.position)
    if risk.state.limited and unlikely(
            value > <int64_t>1 << VALUE_BITS or too_full(groups.account) or too_full(groups.desk) or too_full(groups.client)
            or too_full(groups.instrument)):
        risk_message(risk, order.position, now)
        return REASON_OVERFLOW
    if batch.decided:
        reason = recorded(risk, batch, item, before.leaves != 0, result)
        risk_message(risk, order.position, now)
        return reason
    if likely(risk.state.limited == 0 and risk.check_count == 0):
        risk_message(risk, order.position, now)
        return REASON_NONE
    describe(risk, &groups, slot, before, now, value, &seen)
    said = ask(risk, &groups, &seen, &found)
    risk_message(risk, order.position, now)
    if likely(said == ACCEPT):
        return REASON_NONE
    verdict = batch.append_verdicts(1)
    if verdict is NULL:
        return -1
    memset(verdict, 0, sizeof(Verdict))
    verdict.limit = found.limit
    verdict.used = found.used
    verdict.asked = found.asked
    verdict.item = item
    verdict.check = <uint32_t>found.check
    verdict.amend = before.leaves != 0
    verdict.reason = <uint16_t>said
    verdict.scope = <uint16_t>found.scope
    result.reserved = 1
    result.fill_first = batch.verdict_count - 1
    return <int>said
