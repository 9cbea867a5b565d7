"""See `store.pxd`."""

from libc.stdint cimport uint16_t
from libc.string cimport memset

from engine._core.memory cimport memory_release, memory_reserve
from engine._core.native cimport bucket_matches, fold, hash_128, lowest_bit
from engine._core.risk_records cimport *
from engine._core.table cimport Bucket, table_create, table_destroy, table_insert
from engine.risk.records cimport *
from engine.settlement.records cimport TradingAccount


cdef int risk_create(
    Risk* risk, const RiskCapacity* capacity, const uint64_t* key, Market* market, Clearing* clearing) noexcept nogil:
    """0, or -1: out of memory."""
    memset(risk, 0, sizeof(Risk))
    risk.capacity = capacity[0]
    risk.market = market
    risk.clearing = clearing
    risk.accounts = <Group*>memory_reserve(<size_t>clearing.capacity.trading_accounts * sizeof(Group))
    risk.instruments = <Group*>memory_reserve(<size_t>market.capacity.instruments * sizeof(Group))
    risk.named = <Group*>memory_reserve((<size_t>capacity.named + GROUP_FIRST) * sizeof(Group))
    risk.positions = <PositionRisk*>memory_reserve(<size_t>clearing.capacity.positions * sizeof(PositionRisk))
    risk.pairs = <Pair*>memory_reserve(<size_t>capacity.pairs * sizeof(Pair))
    risk.proposals = <Proposal*>memory_reserve(<size_t>capacity.proposals * sizeof(Proposal))
    if (risk.accounts is NULL or risk.instruments is NULL or risk.named is NULL or risk.positions is NULL
            or risk.pairs is NULL or risk.proposals is NULL
            or table_create(&risk.names, key, capacity.named) != 0 or table_create(&risk.pair_keys, key, capacity.pairs) != 0):
        risk_destroy(risk)
        return -1
    while risk.named_count < GROUP_FIRST:
        limits_clear(&risk.named[risk.named_count].limits)
        risk.named_count += 1
    risk.named[GROUP_DEFAULT].scope = SCOPE_DEFAULT
    risk.named[GROUP_APPROVAL].scope = SCOPE_APPROVAL
    return 0


cdef void risk_destroy(Risk* risk) noexcept nogil:
    if risk.clearing is NULL:
        return
    memory_release(risk.accounts, <size_t>risk.clearing.capacity.trading_accounts * sizeof(Group))
    memory_release(risk.instruments, <size_t>risk.market.capacity.instruments * sizeof(Group))
    memory_release(risk.named, (<size_t>risk.capacity.named + GROUP_FIRST) * sizeof(Group))
    memory_release(risk.positions, <size_t>risk.clearing.capacity.positions * sizeof(PositionRisk))
    memory_release(risk.pairs, <size_t>risk.capacity.pairs * sizeof(Pair))
    memory_release(risk.proposals, <size_t>risk.capacity.proposals * sizeof(Proposal))
    table_destroy(&risk.names)
    table_destroy(&risk.pair_keys)
    memset(risk, 0, sizeof(Risk))


cdef void risk_rebuild(Risk* risk) noexcept nogil:
    cdef uint32_t slot
    for slot in range(GROUP_FIRST, risk.named_count):
        table_insert(&risk.names, name_hash(risk, risk.named[slot].scope, &risk.named[slot].id_0), slot)
    for slot in range(risk.pair_count):
        table_insert(
            &risk.pair_keys, pair_hash(risk, risk.pairs[slot].scope, risk.pairs[slot].group, risk.pairs[slot].instrument), slot)


# --- limits -----------------------------------------------------------------------------------------

cdef int64_t limit_neutral(uint32_t name) noexcept nogil:
    if name == LIMIT_EXPOSURE_RATE:
        return 1000000
    if (name == LIMIT_ORDER_BURST or name == LIMIT_ORDER_TO_TRADE_FREE or name == LIMIT_DUPLICATE_ORDER
            or name == LIMIT_SHORT_SALE or name == LIMIT_SUITABILITY or name == LIMIT_SUITABILITY_CONFIRMED
            or name == LIMIT_RESTRICTED or name == LIMIT_KILL_SWITCH):
        return 0
    return UNLIMITED


cdef void limits_clear(Limits* limits) noexcept nogil:
    cdef uint32_t name
    for name in range(LIMIT_COUNT):
        (<int64_t*>limits)[name] = limit_neutral(name)


# --- groups -----------------------------------------------------------------------------------------

cdef uint64_t name_hash(Risk* risk, uint32_t scope, const uint64_t* id) noexcept nogil:
    return hash_128(risk.names.key, fold(id[0] ^ risk.names.key[0], id[1] ^ risk.names.key[1]), id[2] ^ <uint64_t>scope << 56)


cdef uint32_t named_find(Risk* risk, uint32_t scope, const uint64_t* id) noexcept nogil:
    cdef uint64_t hashed = name_hash(risk, scope, id)
    cdef uint64_t place = hashed & risk.names.mask
    cdef uint32_t matches, slot
    cdef Bucket* bucket
    while True:
        bucket = &risk.names.buckets[place]
        matches = bucket_matches(bucket, <uint16_t>(hashed >> 48))
        while matches:
            slot = bucket.slots[lowest_bit(matches)]
            if (risk.named[slot].scope == scope and risk.named[slot].id_0 == id[0] and risk.named[slot].id_1 == id[1]
                    and risk.named[slot].id_2 == id[2]):
                return slot
            matches &= matches - 1
        if not bucket.overflowed:
            return NONE
        place = (place + 1) & risk.names.mask


cdef uint32_t named_require(Risk* risk, uint32_t scope, const uint64_t* id) noexcept nogil:
    cdef uint32_t slot = named_find(risk, scope, id)
    if slot != NONE:
        return slot
    slot = risk.named_count
    group_create(&risk.named[slot], scope, id)
    risk.named_count += 1
    table_insert(&risk.names, name_hash(risk, scope, id), slot)
    return slot


cdef void group_create(Group* group, uint32_t scope, const uint64_t* id) noexcept nogil:
    memset(group, 0, sizeof(Group))
    limits_clear(&group.limits)
    group.scope = <uint16_t>scope
    group.id_0 = id[0]
    group.id_1 = id[1]
    group.id_2 = id[2]
    group.desk = group.client = GROUP_NEUTRAL


cdef void risk_grow(Risk* risk) noexcept nogil:
    cdef Clearing* clearing = risk.clearing
    cdef TradingAccount* account
    cdef Group* group
    cdef uint64_t id[3]
    id[1] = id[2] = 0
    while risk.account_count < clearing.account_count:
        account = &clearing.accounts[risk.account_count]
        group = &risk.accounts[risk.account_count]
        id[0] = account.id
        group_create(group, SCOPE_ACCOUNT, id)
        group.limits = risk.named[GROUP_DEFAULT].limits
        group.limits.kill_switch = 0        # that of the defaults stops everybody, and is looked at by itself
        if account.desk_0:
            group.desk = named_require(risk, SCOPE_DESK, &account.desk_0)
        if account.owner_0:
            group.client = named_require(risk, SCOPE_CLIENT, &account.owner_0)
        risk.account_count += 1
    while risk.instrument_count < risk.market.instrument_count:
        group_create(
            &risk.instruments[risk.instrument_count], SCOPE_INSTRUMENT,
            &risk.market.instruments[risk.instrument_count].symbol_0)
        risk.instrument_count += 1


# --- limits in one instrument -----------------------------------------------------------------------

cdef uint64_t pair_hash(Risk* risk, uint32_t scope, uint32_t group, uint32_t instrument) noexcept nogil:
    return hash_128(risk.pair_keys.key, <uint64_t>group << 32 | instrument, scope)


cdef uint32_t pair_find(Risk* risk, uint32_t scope, uint32_t group, uint32_t instrument) noexcept nogil:
    cdef uint64_t hashed = pair_hash(risk, scope, group, instrument)
    cdef uint64_t place = hashed & risk.pair_keys.mask
    cdef uint32_t matches, slot
    cdef Bucket* bucket
    while True:
        bucket = &risk.pair_keys.buckets[place]
        matches = bucket_matches(bucket, <uint16_t>(hashed >> 48))
        while matches:
            slot = bucket.slots[lowest_bit(matches)]
            if risk.pairs[slot].group == group and risk.pairs[slot].instrument == instrument and risk.pairs[slot].scope == scope:
                return slot
            matches &= matches - 1
        if not bucket.overflowed:
            return NONE
        place = (place + 1) & risk.pair_keys.mask


cdef uint32_t pair_require(Risk* risk, uint32_t scope, uint32_t group, uint32_t instrument) noexcept nogil:
    cdef uint32_t slot = pair_find(risk, scope, group, instrument)
    cdef Pair* pair
    if slot != NONE:
        return slot
    slot = risk.pair_count
    pair = &risk.pairs[slot]
    memset(pair, 0, sizeof(Pair))
    pair.position_long = pair.position_short = UNLIMITED
    pair.group = group
    pair.instrument = instrument
    pair.scope = <uint16_t>scope
    risk.pair_count += 1
    table_insert(&risk.pair_keys, pair_hash(risk, scope, group, instrument), slot)
    return slot
