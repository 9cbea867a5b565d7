"""See `store.pxd`: memory of the ledger, growth of its tables, sparse indexes, search by time."""

from libc.stdlib cimport calloc, free
from libc.string cimport memset

from engine._core.codes cimport ENGINE_ID_LO
from engine._core.memory cimport memory_release, memory_reserve
from engine._core.table cimport table_create, table_destroy, table_grow, table_grown, table_retire


cdef int ledger_create(Ledger* ledger, const Capacity* capacity, const uint64_t* key) noexcept nogil:
    memset(ledger, 0, sizeof(Ledger))
    ledger.capacity = capacity[0]
    # A leg of every transfer may complete a run of 64 and with it fill, at worst, a first block of 1 + 4 words.
    ledger.index_capacity = capacity.transfers // 4 + 1024
    ledger.accounts = <Account*>memory_reserve(<size_t>capacity.accounts * sizeof(Account))
    ledger.details = <AccountDetail*>memory_reserve(<size_t>capacity.accounts * sizeof(AccountDetail))
    ledger.transfers = <Transfer*>memory_reserve(<size_t>capacity.transfers * sizeof(Transfer))
    ledger.burnt = <Id128*>memory_reserve(<size_t>capacity.burnt * sizeof(Id128))
    ledger.balances = <Balance*>memory_reserve(<size_t>capacity.balances * sizeof(Balance))
    ledger.index = <uint32_t*>memory_reserve(<size_t>ledger.index_capacity * sizeof(uint32_t))
    ledger.expiries = <Expiry*>memory_reserve(<size_t>capacity.transfers * sizeof(Expiry))
    ledger.scopes = <Scope*>calloc(<size_t>capacity.scopes + 1, sizeof(Scope))
    ledger.ranges = <ScopeRange*>calloc(<size_t>capacity.scope_ranges, sizeof(ScopeRange))
    if (ledger.accounts is NULL or ledger.details is NULL or ledger.transfers is NULL or ledger.burnt is NULL
            or ledger.balances is NULL or ledger.index is NULL or ledger.expiries is NULL
            or ledger.scopes is NULL or ledger.ranges is NULL
            or table_create(&ledger.account_ids, key, 0) != 0
            or table_create(&ledger.transfer_ids, key, 0) != 0):
        ledger_destroy(ledger)
        return -1
    return 0


cdef void ledger_destroy(Ledger* ledger) noexcept nogil:
    memory_release(ledger.accounts, <size_t>ledger.capacity.accounts * sizeof(Account))
    memory_release(ledger.details, <size_t>ledger.capacity.accounts * sizeof(AccountDetail))
    memory_release(ledger.transfers, <size_t>ledger.capacity.transfers * sizeof(Transfer))
    memory_release(ledger.burnt, <size_t>ledger.capacity.burnt * sizeof(Id128))
    memory_release(ledger.balances, <size_t>ledger.capacity.balances * sizeof(Balance))
    memory_release(ledger.index, <size_t>ledger.index_capacity * sizeof(uint32_t))
    memory_release(ledger.expiries, <size_t>ledger.capacity.transfers * sizeof(Expiry))
    free(ledger.scopes)
    free(ledger.ranges)
    table_destroy(&ledger.account_ids)
    table_destroy(&ledger.transfer_ids)
    memset(ledger, 0, sizeof(Ledger))


# --- tables that grow -----------------------------------------------------------------------------

cdef int ledger_prepare(Ledger* ledger, uint64_t accounts, uint64_t transfers) noexcept nogil:
    """Growth starts only between batches, so ids that move are never of a chain that may be rolled back."""
    while ledger.account_ids.count + accounts > ledger.account_ids.count_max:
        while ledger.account_ids.old is not NULL:   # only when a batch is larger than the table itself
            ledger_move_accounts(ledger, 4096)
        if table_grow(&ledger.account_ids) != 0:
            return -1
        ledger.account_moving = 0
        ledger.account_moving_end = ledger.account_count
    while ledger.transfer_ids.count + transfers > ledger.transfer_ids.count_max:
        while ledger.transfer_ids.old is not NULL:
            ledger_move_transfers(ledger, 4096)
        if table_grow(&ledger.transfer_ids) != 0:
            return -1
        ledger.transfer_moving = 0
        ledger.transfer_moving_end = ledger.transfer_count
        ledger.burnt_moving = 0
        ledger.burnt_moving_end = ledger.burnt_count
    table_retire(&ledger.account_ids)
    table_retire(&ledger.transfer_ids)
    return 0


cdef void ledger_move_accounts(Ledger* ledger, uint32_t count) noexcept nogil:
    cdef uint32_t slot
    while count and ledger.account_moving < ledger.account_moving_end:
        slot = ledger.account_moving
        table_insert(&ledger.account_ids, account_hash(ledger, ledger.accounts[slot].id), slot)
        ledger.account_moving += 1
        count -= 1
    if ledger.account_moving == ledger.account_moving_end:
        table_grown(&ledger.account_ids)


cdef void ledger_move_transfers(Ledger* ledger, uint32_t count) noexcept nogil:
    cdef uint32_t slot
    cdef Id128* id
    while count and ledger.transfer_moving < ledger.transfer_moving_end:
        slot = ledger.transfer_moving
        id = <Id128*>&ledger.transfers[slot]
        if id.lo != ENGINE_ID_LO:
            table_insert(&ledger.transfer_ids, transfer_hash(ledger, id.lo, id.hi), slot)
        ledger.transfer_moving += 1
        count -= 1
    while count and ledger.burnt_moving < ledger.burnt_moving_end:
        slot = ledger.burnt_moving
        id = &ledger.burnt[slot]
        table_insert(&ledger.transfer_ids, transfer_hash(ledger, id.lo, id.hi), slot | BURNT)
        ledger.burnt_moving += 1
        count -= 1
    if ledger.transfer_moving == ledger.transfer_moving_end and ledger.burnt_moving == ledger.burnt_moving_end:
        table_grown(&ledger.transfer_ids)


cdef enum:
    REINDEX_GROUP = 32          # as many insertions are prefetched together


cdef int ledger_reindex(Ledger* ledger) noexcept nogil:
    cdef uint64_t key[4]
    cdef uint64_t hashes[REINDEX_GROUP]
    cdef uint64_t total = <uint64_t>ledger.transfer_count + ledger.burnt_count
    cdef uint32_t first, slot, count, index
    cdef Transfer* transfer
    for index in range(4):
        key[index] = ledger.account_ids.key[index]
    table_destroy(&ledger.account_ids)
    table_destroy(&ledger.transfer_ids)
    if table_create(&ledger.account_ids, key, ledger.account_count) != 0:
        return -1
    if table_create(&ledger.transfer_ids, key, total) != 0:
        return -1
    for slot in range(ledger.account_count):
        account_id_insert(ledger, account_hash(ledger, ledger.accounts[slot].id), slot)
    first = 0
    while first < ledger.transfer_count:
        count = ledger.transfer_count - first
        if count > REINDEX_GROUP:
            count = REINDEX_GROUP
        for index in range(count):
            transfer = &ledger.transfers[first + index]
            hashes[index] = transfer_hash(ledger, transfer.id_lo, transfer.id_hi)
            prefetch(&ledger.transfer_ids.buckets[hashes[index] & ledger.transfer_ids.mask])
        for index in range(count):
            if ledger.transfers[first + index].id_lo != ENGINE_ID_LO:
                transfer_id_insert(ledger, hashes[index], first + index)
        first += count
    for slot in range(ledger.burnt_count):
        transfer_id_insert(
            ledger, transfer_hash(ledger, ledger.burnt[slot].lo, ledger.burnt[slot].hi), slot | BURNT)
    return 0


# --- the sparse index of an account's transfers ---------------------------------------------------

cdef inline uint32_t block_of(uint32_t entry) noexcept nogil:
    """Block b holds the entries 4·(2^b − 1) … 4·(2^(b+1) − 1) − 1."""
    cdef uint32_t block = 0
    cdef uint32_t quads = entry // INDEX_BLOCK_FIRST + 1
    while quads > 1:
        quads >>= 1
        block += 1
    return block


cdef inline uint32_t block_first(uint32_t block) noexcept nogil:
    return INDEX_BLOCK_FIRST * ((1u << block) - 1)


cdef void index_append(Ledger* ledger, Account* account, uint32_t slot) noexcept nogil:
    """The account's transfer `slot` has completed a run."""
    cdef uint32_t entry = account.transfer_count // INDEX_RUN - 1
    cdef uint32_t block = block_of(entry)
    cdef uint32_t size
    if entry == block_first(block):
        size = 1 + (INDEX_BLOCK_FIRST << block)
        memset(&ledger.index[ledger.index_count], 0, size * sizeof(uint32_t))
        ledger.index[ledger.index_count] = account.index_last
        account.index_last = ledger.index_count
        ledger.index_count += size
    ledger.index[account.index_last + 1 + entry - block_first(block)] = slot


cdef void index_remove(Ledger* ledger, Account* account) noexcept nogil:
    """Undoes the newest index_append; the account's count has not been lowered yet."""
    cdef uint32_t entry = account.transfer_count // INDEX_RUN - 1
    cdef uint32_t block = block_of(entry)
    ledger.index[account.index_last + 1 + entry - block_first(block)] = 0
    if entry == block_first(block):
        # Roll-back undoes in reverse, so this block is the newest of all.
        ledger.index_count = account.index_last
        account.index_last = ledger.index[account.index_last]
        ledger.index[ledger.index_count] = 0


cdef uint32_t index_entry(Ledger* ledger, Account* account, uint32_t entry) noexcept nogil:
    """Slot of the account's transfer number 64·(entry + 1), counted from 1."""
    cdef uint32_t block = block_of(account.transfer_count // INDEX_RUN - 1)
    cdef uint32_t offset = account.index_last
    while entry < block_first(block):
        offset = ledger.index[offset]
        block -= 1
    return ledger.index[offset + 1 + entry - block_first(block)]


# --- search by time -------------------------------------------------------------------------------

cdef uint32_t transfer_first_at(Ledger* ledger, uint64_t timestamp) noexcept nogil:
    cdef uint32_t low = 0
    cdef uint32_t high = ledger.transfer_count
    cdef uint32_t middle
    while low < high:
        middle = low + (high - low) // 2
        if ledger.transfers[middle].timestamp < timestamp:
            low = middle + 1
        else:
            high = middle
    return low


cdef bint transfer_has_timestamp(Ledger* ledger, uint64_t timestamp) noexcept nogil:
    cdef uint32_t slot = transfer_first_at(ledger, timestamp)
    return slot < ledger.transfer_count and ledger.transfers[slot].timestamp == timestamp


cdef bint account_has_timestamp(Ledger* ledger, uint64_t timestamp) noexcept nogil:
    cdef uint32_t low = 0
    cdef uint32_t high = ledger.account_count
    cdef uint32_t middle
    while low < high:
        middle = low + (high - low) // 2
        if ledger.details[middle].timestamp < timestamp:
            low = middle + 1
        else:
            high = middle
    return low < ledger.account_count and ledger.details[low].timestamp == timestamp


# --- scopes ---------------------------------------------------------------------------------------

cdef bint scope_permits_bounded(Ledger* ledger, uint32_t scope, uint64_t account_id) noexcept nogil:
    cdef ScopeRange* ranges
    cdef uint32_t low = 0
    cdef uint32_t high, middle
    if scope > ledger.capacity.scopes:
        return False
    ranges = &ledger.ranges[ledger.scopes[scope].range_first]
    high = ledger.scopes[scope].range_count
    while low < high:       # the first range that ends at or after the id
        middle = low + (high - low) // 2
        if ranges[middle].last < account_id:
            low = middle + 1
        else:
            high = middle
    return low < ledger.scopes[scope].range_count and ranges[low].first <= account_id
