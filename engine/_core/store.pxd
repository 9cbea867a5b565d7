# The ledger's memory: append-only stores of accounts, transfers and balances, the tables that find them, and what is
# derived from them. Rules live elsewhere (accounts, posting, expiry); this file says what is true between calls.
#
# - A slot is an index into a store. Slots are given out in order and never reused, but for those of a rolled-back chain.
# - Timestamps rise strictly with the slot, in accounts and in transfers, and no account shares one with a transfer.
# - Each account threads its transfers newest to oldest (`transfer_last`, `debit_previous`, `credit_previous`). Every 64th
#   stands in the account's sparse index too, so that any range of its history is found in O(log n).
# - Transfers that the engine makes are in no table: their ids tell their slots.
# - An id that failed for a reason of the moment is burnt: it stands in `burnt`, and in the same table as the
#   transfers with the highest bit of its slot set.

from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t, uint64_t
from engine._core.codes cimport ENGINE_ID_LO, NONE
from engine._core.native cimport bucket_matches, hash_128, hash_64, lowest_bit, prefetch
from engine._core.records cimport Account, AccountDetail, Balance, Id128, ScopeRange, Transfer
from engine._core.table cimport Bucket, Table, table_insert

cdef enum:
    BURNT = 0x80000000          # in a slot of the transfer table
    INDEX_RUN = 64              # transfers of an account per entry of its sparse index
    INDEX_BLOCK_FIRST = 4       # entries of an account's first index block; each next block has twice as many
    MOVE_PER_INSERT = 8         # old ids that move over per new one while a table grows

cdef struct Expiry:             # a pending transfer with a timeout; stale once it is no longer pending
    uint64_t at                 # nanoseconds
    uint32_t slot
    uint32_t reserved

cdef struct Scope:
    uint32_t range_first
    uint32_t range_count
    uint32_t defined            # 0: nothing is permitted

cdef struct Capacity:
    uint32_t accounts
    uint32_t transfers
    uint32_t burnt
    uint32_t balances
    uint32_t scopes
    uint32_t scope_ranges
    uint32_t query_limit
    uint32_t scan

cdef struct Ledger:
    Capacity capacity
    Account* accounts
    AccountDetail* details      # same slots as `accounts`
    uint32_t account_count
    Transfer* transfers
    uint32_t transfer_count
    Id128* burnt
    uint32_t burnt_count
    Balance* balances
    uint32_t balance_count
    uint32_t* index             # sparse indexes of all accounts: blocks of [previous block, entries …]
    uint32_t index_count
    uint32_t index_capacity
    Expiry* expiries            # binary heap by (at, slot); derived: rebuilt from the transfers on restore
    uint32_t expiry_count
    Scope* scopes               # [capacity.scopes + 1]; number 0 is unused: it permits everything
    ScopeRange* ranges          # sorted and disjoint within a scope
    uint32_t range_count
    Table account_ids
    Table transfer_ids
    uint32_t account_moving     # while the table grows: next slot to move, and where to stop
    uint32_t account_moving_end
    uint32_t transfer_moving
    uint32_t transfer_moving_end
    uint32_t burnt_moving
    uint32_t burnt_moving_end
    uint32_t pending_count      # transfers in STATE_PENDING
    uint64_t last_timestamp     # of the newest batch item or tick
    uint64_t digest_lo          # rolling over everything ever applied
    uint64_t digest_hi

cdef int ledger_create(Ledger* ledger, const Capacity* capacity, const uint64_t* key) noexcept nogil    # 0, or -1: out of memory
cdef void ledger_destroy(Ledger* ledger) noexcept nogil
# Before a batch: room in the tables for so many new ids; -1 when memory is out. Growth starts only here.
cdef int ledger_prepare(Ledger* ledger, uint64_t accounts, uint64_t transfers) noexcept nogil
cdef void ledger_move_accounts(Ledger* ledger, uint32_t count) noexcept nogil
cdef void ledger_move_transfers(Ledger* ledger, uint32_t count) noexcept nogil
cdef int ledger_reindex(Ledger* ledger) noexcept nogil      # tables anew from the stores, after a restore
cdef void index_append(Ledger* ledger, Account* account, uint32_t slot) noexcept nogil
cdef void index_remove(Ledger* ledger, Account* account) noexcept nogil
cdef uint32_t index_entry(Ledger* ledger, Account* account, uint32_t entry) noexcept nogil
cdef bint account_has_timestamp(Ledger* ledger, uint64_t timestamp) noexcept nogil
cdef bint transfer_has_timestamp(Ledger* ledger, uint64_t timestamp) noexcept nogil
cdef uint32_t transfer_first_at(Ledger* ledger, uint64_t timestamp) noexcept nogil  # first slot at or after; count if none
cdef bint scope_permits_bounded(Ledger* ledger, uint32_t scope, uint64_t account_id) noexcept nogil


cdef inline uint64_t account_hash(Ledger* ledger, uint64_t id) noexcept nogil:
    return hash_64(ledger.account_ids.key, id)

cdef inline uint64_t transfer_hash(Ledger* ledger, uint64_t lo, uint64_t hi) noexcept nogil:
    return hash_128(ledger.transfer_ids.key, lo, hi)

cdef inline uint32_t account_find_in(Ledger* ledger, Bucket* buckets, uint64_t mask, uint64_t hashed, uint64_t id) noexcept nogil:
    cdef uint64_t position = hashed & mask
    cdef uint32_t matches, slot
    cdef Bucket* bucket
    while True:
        bucket = &buckets[position]
        matches = bucket_matches(bucket, <uint16_t>(hashed >> 48))
        while matches:
            slot = bucket.slots[lowest_bit(matches)]
            if ledger.accounts[slot].id == id:
                return slot
            matches &= matches - 1
        if not bucket.overflowed:
            return NONE
        position = (position + 1) & mask

cdef inline uint32_t account_find(Ledger* ledger, uint64_t id, uint64_t hashed) noexcept nogil:
    """Slot of the account, or NONE."""
    cdef uint32_t slot = account_find_in(ledger, ledger.account_ids.buckets, ledger.account_ids.mask, hashed, id)
    if slot == NONE and ledger.account_ids.old is not NULL:
        slot = account_find_in(ledger, ledger.account_ids.old, ledger.account_ids.old_mask, hashed, id)
    return slot

cdef inline uint32_t account_lookup(Ledger* ledger, uint64_t id) noexcept nogil:
    return account_find(ledger, id, account_hash(ledger, id))

cdef inline uint32_t transfer_find_in(
    Ledger* ledger, Bucket* buckets, uint64_t mask, uint64_t hashed, uint64_t lo, uint64_t hi) noexcept nogil:
    cdef uint64_t position = hashed & mask
    cdef uint32_t matches, slot
    cdef Bucket* bucket
    cdef Id128* id
    while True:
        bucket = &buckets[position]
        matches = bucket_matches(bucket, <uint16_t>(hashed >> 48))
        while matches:
            slot = bucket.slots[lowest_bit(matches)]
            if slot & BURNT:
                id = &ledger.burnt[slot & ~<uint32_t>BURNT]
            else:
                id = <Id128*>&ledger.transfers[slot]    # a transfer begins with its id
            if id.lo == lo and id.hi == hi:
                return slot
            matches &= matches - 1
        if not bucket.overflowed:
            return NONE
        position = (position + 1) & mask

cdef inline uint32_t transfer_find(Ledger* ledger, uint64_t lo, uint64_t hi, uint64_t hashed) noexcept nogil:
    """Slot of the transfer, with BURNT set when the id is burnt, or NONE."""
    cdef uint32_t slot = transfer_find_in(ledger, ledger.transfer_ids.buckets, ledger.transfer_ids.mask, hashed, lo, hi)
    if slot == NONE and ledger.transfer_ids.old is not NULL:
        slot = transfer_find_in(ledger, ledger.transfer_ids.old, ledger.transfer_ids.old_mask, hashed, lo, hi)
    return slot

cdef inline uint32_t transfer_generated(Ledger* ledger, uint64_t lo, uint64_t hi) noexcept nogil:
    """Slot of a transfer that the engine made, which its id tells; NONE if there is none."""
    cdef uint64_t slot = hi >> 16
    if lo != ENGINE_ID_LO or slot >= ledger.transfer_count:
        return NONE
    if ledger.transfers[slot].id_lo != lo or ledger.transfers[slot].id_hi != hi:
        return NONE
    return <uint32_t>slot

cdef inline void transfer_id_insert(Ledger* ledger, uint64_t hashed, uint32_t slot) noexcept nogil:
    if ledger.transfer_ids.old is not NULL:
        ledger_move_transfers(ledger, MOVE_PER_INSERT)
    table_insert(&ledger.transfer_ids, hashed, slot)
    ledger.transfer_ids.count += 1

cdef inline void account_id_insert(Ledger* ledger, uint64_t hashed, uint32_t slot) noexcept nogil:
    if ledger.account_ids.old is not NULL:
        ledger_move_accounts(ledger, MOVE_PER_INSERT)
    table_insert(&ledger.account_ids, hashed, slot)
    ledger.account_ids.count += 1

cdef inline bint scope_permits(Ledger* ledger, uint32_t scope, uint64_t account_id) noexcept nogil:
    """Whether requests of `scope` may touch the account; scope 0 may touch all."""
    return scope == 0 or scope_permits_bounded(ledger, scope, account_id)
