"""See `store.pxd`."""

from libc.stdint cimport uint16_t
from libc.string cimport memset

from engine._core.memory cimport memory_release, memory_reserve
from engine._core.native cimport bucket_matches, fold, hash_128, hash_64, lowest_bit
from engine._core.table cimport Bucket, table_create, table_destroy, table_grow, table_grown, table_insert, table_prefetch, table_retire
from engine.matching.records cimport Instrument, Order, OrderDetail

cdef enum:
    MOVE_PER_INSERT = 8             # old keys that move over per new one while the table of orders grows


cdef int clearing_create(
    Clearing* clearing, const ClearingCapacity* capacity, const uint64_t* key, Market* market, Ledger* ledger) noexcept nogil:
    """0, or -1: out of memory."""
    memset(clearing, 0, sizeof(Clearing))
    clearing.capacity = capacity[0]
    clearing.market = market
    clearing.ledger = ledger
    clearing.accounts = <TradingAccount*>memory_reserve(<size_t>capacity.trading_accounts * sizeof(TradingAccount))
    clearing.links = <Link*>memory_reserve(<size_t>capacity.links * sizeof(Link))
    clearing.holdings = <Holding*>memory_reserve(<size_t>capacity.links * sizeof(Holding))
    clearing.positions = <Position*>memory_reserve(<size_t>capacity.positions * sizeof(Position))
    clearing.trades = <Trade*>memory_reserve(<size_t>capacity.trades * sizeof(Trade))
    clearing.executions = <Execution*>memory_reserve(<size_t>capacity.executions * sizeof(Execution))
    if (clearing.accounts is NULL or clearing.links is NULL or clearing.holdings is NULL or clearing.positions is NULL
            or clearing.trades is NULL or clearing.executions is NULL
            or table_create(&clearing.account_ids, key, capacity.trading_accounts) != 0
            or table_create(&clearing.position_keys, key, capacity.positions) != 0
            or table_create(&clearing.order_keys, key, 0) != 0):
        clearing_destroy(clearing)
        return -1
    return 0


cdef void clearing_destroy(Clearing* clearing) noexcept nogil:
    memory_release(clearing.accounts, <size_t>clearing.capacity.trading_accounts * sizeof(TradingAccount))
    memory_release(clearing.links, <size_t>clearing.capacity.links * sizeof(Link))
    memory_release(clearing.holdings, <size_t>clearing.capacity.links * sizeof(Holding))
    memory_release(clearing.positions, <size_t>clearing.capacity.positions * sizeof(Position))
    memory_release(clearing.trades, <size_t>clearing.capacity.trades * sizeof(Trade))
    memory_release(clearing.executions, <size_t>clearing.capacity.executions * sizeof(Execution))
    table_destroy(&clearing.account_ids)
    table_destroy(&clearing.position_keys)
    table_destroy(&clearing.order_keys)
    memset(clearing, 0, sizeof(Clearing))


# --- trading accounts -------------------------------------------------------------------------------

cdef uint32_t trading_account_find(Clearing* clearing, uint64_t id) noexcept nogil:
    cdef Table* table = &clearing.account_ids
    cdef uint64_t hashed = hash_64(table.key, id)
    cdef uint64_t place = hashed & table.mask
    cdef uint32_t matches, slot
    cdef Bucket* bucket
    while True:
        bucket = &table.buckets[place]
        matches = bucket_matches(bucket, <uint16_t>(hashed >> 48))
        while matches:
            slot = bucket.slots[lowest_bit(matches)]
            if clearing.accounts[slot].id == id:
                return slot
            matches &= matches - 1
        if not bucket.overflowed:
            return NONE
        place = (place + 1) & table.mask


cdef void trading_account_insert(Clearing* clearing, uint32_t slot) noexcept nogil:
    table_insert(&clearing.account_ids, hash_64(clearing.account_ids.key, clearing.accounts[slot].id), slot)


cdef uint32_t link_find(Clearing* clearing, uint32_t account, uint32_t ledger) noexcept nogil:
    """By halves: links of an account stand in the order of their ledgers."""
    cdef uint32_t first = clearing.accounts[account].link_first
    cdef uint32_t last = first + clearing.accounts[account].link_count
    cdef uint32_t middle
    while first < last:
        middle = first + (last - first) // 2
        if clearing.links[middle].ledger < ledger:
            first = middle + 1
        else:
            last = middle
    if first < clearing.accounts[account].link_first + clearing.accounts[account].link_count:
        if clearing.links[first].ledger == ledger:
            return first
    return NONE


cdef uint32_t holding_require(Clearing* clearing, uint32_t account_slot) noexcept nogil:
    """The one record of a ledger account, however many trading accounts use it."""
    cdef uint32_t slot
    if clearing.ledger.details[account_slot].holding:
        return clearing.ledger.details[account_slot].holding - 1
    slot = clearing.holding_count
    clearing.holding_count += 1
    memset(&clearing.holdings[slot], 0, sizeof(Holding))
    clearing.holdings[slot].account = account_slot
    clearing.holdings[slot].clearing = NONE
    clearing.ledger.details[account_slot].holding = slot + 1
    return slot


# --- positions --------------------------------------------------------------------------------------

cdef uint32_t position_find(Clearing* clearing, uint32_t account, uint32_t instrument) noexcept nogil:
    cdef Table* table = &clearing.position_keys
    cdef uint64_t hashed = hash_64(table.key, <uint64_t>account << 32 | instrument)
    cdef uint64_t place = hashed & table.mask
    cdef uint32_t matches, slot
    cdef Bucket* bucket
    while True:
        bucket = &table.buckets[place]
        matches = bucket_matches(bucket, <uint16_t>(hashed >> 48))
        while matches:
            slot = bucket.slots[lowest_bit(matches)]
            if clearing.positions[slot].account == account and clearing.positions[slot].instrument == instrument:
                return slot
            matches &= matches - 1
        if not bucket.overflowed:
            return NONE
        place = (place + 1) & table.mask


cdef void position_insert(Clearing* clearing, uint32_t slot) noexcept nogil:
    cdef Position* position = &clearing.positions[slot]
    table_insert(
        &clearing.position_keys,
        hash_64(clearing.position_keys.key, <uint64_t>position.account << 32 | position.instrument), slot)


cdef void link_position(Clearing* clearing, Position* position, uint32_t ledger, uint32_t* account, uint32_t* holding) noexcept nogil:
    cdef uint32_t link = link_find(clearing, position.account, ledger)
    account[0] = holding[0] = NONE
    if link != NONE:
        account[0] = clearing.links[link].account
        holding[0] = clearing.links[link].holding


cdef uint32_t position_require(Clearing* clearing, uint32_t account, uint32_t instrument_slot) noexcept nogil:
    cdef uint32_t slot = position_find(clearing, account, instrument_slot)
    cdef Position* position
    cdef Instrument* instrument = &clearing.market.instruments[instrument_slot]
    if slot != NONE:
        return slot
    slot = clearing.position_count
    clearing.position_count += 1
    position = &clearing.positions[slot]
    memset(position, 0, sizeof(Position))
    position.account = account
    position.instrument = instrument_slot
    link_position(clearing, position, instrument.base_ledger, &position.base_account, &position.base_holding)
    link_position(clearing, position, instrument.quote_ledger, &position.quote_account, &position.quote_holding)
    if position.base_holding != NONE:
        clearing.holdings[position.base_holding].clearing = instrument.base_clearing
    if position.quote_holding != NONE:
        clearing.holdings[position.quote_holding].clearing = instrument.quote_clearing
    position.previous_of_account = clearing.accounts[account].position_last
    position.previous_of_instrument = instrument.positions
    clearing.accounts[account].position_last = slot
    clearing.accounts[account].positions += 1
    instrument.positions = slot
    position_insert(clearing, slot)
    return slot


cdef uint32_t account_of_order(Clearing* clearing, uint32_t order) noexcept nogil:
    return clearing.positions[clearing.market.orders[order].position].account


# --- client order ids -------------------------------------------------------------------------------

cdef inline uint64_t order_hash(Clearing* clearing, uint32_t account, uint64_t lo, uint64_t hi) noexcept nogil:
    return hash_128(clearing.order_keys.key, lo ^ fold(account + 1, clearing.order_keys.key[2]), hi)


cdef uint32_t order_find_in(
    Clearing* clearing, Bucket* buckets, uint64_t mask, uint64_t hashed, uint32_t account, uint64_t lo, uint64_t hi) noexcept nogil:
    cdef uint64_t place = hashed & mask
    cdef uint32_t matches, slot
    cdef Bucket* bucket
    cdef OrderDetail* detail
    while True:
        bucket = &buckets[place]
        matches = bucket_matches(bucket, <uint16_t>(hashed >> 48))
        while matches:
            slot = bucket.slots[lowest_bit(matches)]
            detail = &clearing.market.details[slot]
            if (detail.client_order_id_lo == lo and detail.client_order_id_hi == hi
                    and account_of_order(clearing, slot) == account):
                return slot
            matches &= matches - 1
        if not bucket.overflowed:
            return NONE
        place = (place + 1) & mask


cdef uint32_t order_find(Clearing* clearing, uint32_t account, uint64_t lo, uint64_t hi) noexcept nogil:
    cdef uint64_t hashed = order_hash(clearing, account, lo, hi)
    cdef Table* table = &clearing.order_keys
    cdef uint32_t slot = order_find_in(clearing, table.buckets, table.mask, hashed, account, lo, hi)
    if slot == NONE and table.old is not NULL:
        slot = order_find_in(clearing, table.old, table.old_mask, hashed, account, lo, hi)
    return slot


cdef void order_prefetch(Clearing* clearing, uint64_t account_id, uint64_t lo, uint64_t hi) noexcept nogil:
    cdef uint32_t account = trading_account_find(clearing, account_id)
    if account != NONE:
        table_prefetch(&clearing.order_keys, order_hash(clearing, account, lo, hi))


cdef void order_move(Clearing* clearing, uint32_t count) noexcept nogil:
    cdef OrderDetail* detail
    cdef uint32_t slot
    while count and clearing.order_moving < clearing.order_moving_end:
        slot = clearing.order_moving
        detail = &clearing.market.details[slot]
        table_insert(
            &clearing.order_keys,
            order_hash(clearing, account_of_order(clearing, slot), detail.client_order_id_lo, detail.client_order_id_hi), slot)
        clearing.order_moving += 1
        count -= 1
    if clearing.order_moving == clearing.order_moving_end:
        table_grown(&clearing.order_keys)


cdef void order_insert(Clearing* clearing, uint32_t slot) noexcept nogil:
    cdef OrderDetail* detail = &clearing.market.details[slot]
    if clearing.order_keys.old is not NULL:
        order_move(clearing, MOVE_PER_INSERT)
    table_insert(
        &clearing.order_keys,
        order_hash(clearing, account_of_order(clearing, slot), detail.client_order_id_lo, detail.client_order_id_hi), slot)
    clearing.order_keys.count += 1


cdef int clearing_prepare(Clearing* clearing, uint64_t orders) noexcept nogil:
    while clearing.order_keys.count + orders > clearing.order_keys.count_max:
        while clearing.order_keys.old is not NULL:
            order_move(clearing, 4096)
        if table_grow(&clearing.order_keys) != 0:
            return -1
        clearing.order_moving = 0
        clearing.order_moving_end = clearing.market.order_count
    table_retire(&clearing.order_keys)
    return 0


cdef int clearing_rebuild(Clearing* clearing) noexcept nogil:
    cdef uint64_t key[4]
    cdef uint32_t slot, index
    for slot in range(clearing.account_count):
        trading_account_insert(clearing, slot)
    for slot in range(clearing.position_count):
        position_insert(clearing, slot)
    for index in range(4):
        key[index] = clearing.order_keys.key[index]
    table_destroy(&clearing.order_keys)
    if table_create(&clearing.order_keys, key, clearing.market.order_count) != 0:
        return -1
    for slot in range(clearing.market.order_count):
        order_insert(clearing, slot)
    return 0
