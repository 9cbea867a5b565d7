"""Posting.

Each rule is an early return, in the order in which `protocol.md` (and TigerBeetle's reference) lists the statuses.
Below the comment "must succeed" there are only assignments. Statuses and time go out through `Result`; nothing here
raises, allocates or reads a clock.

A transfer touches seven to nine cache lines that are seldom in the cache: the buckets of its id and of two account ids,
both accounts, and the end of the transfer store. So items are taken in groups of 32: first their buckets are
prefetched, then their accounts, and only then they are executed one by one (one by one without: 2.5 times slower at a million accounts).
"""

from libc.string cimport memset

from engine._core.codes cimport *
from engine._core.digest cimport digest_mix
from engine._core.expiry cimport expiry_push
from engine._core.native cimport bucket_matches, likely, lowest_bit, prefetch, prefetch_write, unlikely
from engine._core.records cimport Account, Balance, Transfer
from engine._core.store cimport *
from engine._core.table cimport Bucket, Table, table_prefetch, table_remove

cdef enum:
    GROUP = 32
    POST_OR_VOID = TRANSFER_POST_PENDING_TRANSFER | TRANSFER_VOID_PENDING_TRANSFER
    BALANCING = TRANSFER_BALANCING_DEBIT | TRANSFER_BALANCING_CREDIT
    CLOSING = TRANSFER_CLOSING_DEBIT | TRANSFER_CLOSING_CREDIT
    NOT_WITH_POST_OR_VOID = TRANSFER_PENDING | BALANCING | CLOSING

cdef uint64_t SECOND = 1000000000
cdef uint64_t UINT64_MAX = 0xFFFFFFFFFFFFFFFFULL


# --- prefetching ----------------------------------------------------------------------------------

cdef struct Probe:              # what prefetching has found out about an item
    uint64_t id_hash
    uint64_t debit_hash
    uint64_t credit_hash
    uint64_t pending_hash
    uint32_t debit              # a slot whose tag matches, to be verified; NONE: search
    uint32_t credit


cdef inline uint32_t candidate(const Table* table, uint64_t hashed) noexcept nogil:
    """A slot that may be the id's. Only the first bucket is looked at: enough nearly always."""
    cdef const Bucket* bucket = &table.buckets[hashed & table.mask]
    cdef uint32_t matches = bucket_matches(bucket, <uint16_t>(hashed >> 48))
    return bucket.slots[lowest_bit(matches)] if matches else NONE


cdef void prefetch_group(Ledger* ledger, const TransferCommand* commands, uint32_t count, Probe* probes) noexcept nogil:
    cdef uint32_t index, slot
    cdef const TransferCommand* command
    cdef Probe* probe
    for index in range(count):
        command = &commands[index]
        probe = &probes[index]
        probe.id_hash = transfer_hash(ledger, command.id_lo, command.id_hi)
        probe.debit_hash = account_hash(ledger, command.debit_account_id)
        probe.credit_hash = account_hash(ledger, command.credit_account_id)
        table_prefetch(&ledger.transfer_ids, probe.id_hash)
        table_prefetch(&ledger.account_ids, probe.debit_hash)
        table_prefetch(&ledger.account_ids, probe.credit_hash)
        if command.flags & POST_OR_VOID:
            probe.pending_hash = transfer_hash(ledger, command.pending_id_lo, command.pending_id_hi)
            table_prefetch(&ledger.transfer_ids, probe.pending_hash)
    for index in range(count):
        probe = &probes[index]
        probe.debit = candidate(&ledger.account_ids, probe.debit_hash)
        probe.credit = candidate(&ledger.account_ids, probe.credit_hash)
        if probe.debit != NONE:
            prefetch_write(&ledger.accounts[probe.debit])
        if probe.credit != NONE:
            prefetch_write(&ledger.accounts[probe.credit])
        if commands[index].flags & POST_OR_VOID:
            slot = candidate(&ledger.transfer_ids, probe.pending_hash)
            if slot != NONE and not slot & BURNT:
                prefetch_write(&ledger.transfers[slot])
                prefetch_write(<char*>&ledger.transfers[slot] + 64)


cdef inline uint32_t account_of(Ledger* ledger, uint64_t id, uint64_t hashed, uint32_t slot) noexcept nogil:
    if likely(slot != NONE) and likely(ledger.accounts[slot].id == id):
        return slot
    return account_find(ledger, id, hashed)


# --- committing: assignments only -----------------------------------------------------------------

cdef inline void link_account(Ledger* ledger, Account* account, uint32_t slot) noexcept nogil:
    """The transfer becomes the newest of the account; its previous one has been noted."""
    account.transfer_last = slot
    account.transfer_count += 1
    if unlikely(account.transfer_count % INDEX_RUN == 0):
        index_append(ledger, account, slot)


cdef void remember_balance(Ledger* ledger, uint32_t account_slot, uint64_t timestamp) noexcept nogil:
    cdef Account* account = &ledger.accounts[account_slot]
    cdef Balance* balance = &ledger.balances[ledger.balance_count]
    balance.timestamp = timestamp
    balance.debits_pending = account.debits_pending
    balance.debits_posted = account.debits_posted
    balance.credits_pending = account.credits_pending
    balance.credits_posted = account.credits_posted
    balance.account = account_slot
    balance.previous = account.balance_last
    account.balance_last = ledger.balance_count
    ledger.balance_count += 1


cdef inline void append_transfer(
    Ledger* ledger, const TransferCommand* command, const Probe* probe, uint64_t timestamp, uint64_t amount,
    uint32_t debit_slot, uint32_t credit_slot, uint32_t pending_slot, uint32_t state, uint16_t code,
    bint generated) noexcept nogil:
    """Stores the transfer and threads it into both accounts, whose balances have been changed already."""
    cdef uint32_t slot = ledger.transfer_count
    cdef Transfer* transfer = &ledger.transfers[slot]
    cdef Account* debit = &ledger.accounts[debit_slot]
    cdef Account* credit = &ledger.accounts[credit_slot]
    transfer.id_lo = command.id_lo
    transfer.id_hi = command.id_hi
    transfer.amount = amount
    transfer.timestamp = timestamp
    transfer.user_data_128_lo = command.user_data_128_lo
    transfer.user_data_128_hi = command.user_data_128_hi
    transfer.user_data_64 = command.user_data_64
    transfer.user_data_32 = command.user_data_32
    transfer.timeout = command.timeout
    transfer.debit = debit_slot
    transfer.credit = credit_slot
    transfer.debit_previous = debit.transfer_last
    transfer.credit_previous = credit.transfer_last
    transfer.pending = pending_slot
    transfer.code = code
    transfer.flags = command.flags
    transfer.state = state
    transfer.reserved = 0
    ledger.transfer_count += 1
    link_account(ledger, debit, slot)
    link_account(ledger, credit, slot)
    if unlikely((debit.flags | credit.flags) & ACCOUNT_HISTORY):
        if debit.flags & ACCOUNT_HISTORY:
            remember_balance(ledger, debit_slot, timestamp)
        if credit.flags & ACCOUNT_HISTORY:
            remember_balance(ledger, credit_slot, timestamp)
    if not generated:           # whose ids tell their slots
        transfer_id_insert(ledger, probe.id_hash, slot)
    digest_mix(
        ledger,
        timestamp ^ debit.debits_pending ^ (credit.credits_posted << 1),
        amount ^ debit.debits_posted ^ (credit.credits_pending << 1))


cdef void burn(Ledger* ledger, const TransferCommand* command, uint64_t hashed) noexcept nogil:
    cdef uint32_t slot = ledger.burnt_count
    ledger.burnt[slot].lo = command.id_lo
    ledger.burnt[slot].hi = command.id_hi
    ledger.burnt_count += 1
    transfer_id_insert(ledger, hashed, slot | BURNT)


cdef void post_generated(Ledger* ledger, const Generated* transfer, uint64_t amount, uint64_t timestamp) noexcept nogil:
    cdef TransferCommand command
    memset(&command, 0, sizeof(TransferCommand))
    command.id_lo = ENGINE_ID_LO
    command.id_hi = <uint64_t>ledger.transfer_count << 16 | 0x8000 | transfer.leg
    command.user_data_128_lo = transfer.user_data_128
    command.user_data_64 = transfer.user_data_64
    command.user_data_32 = transfer.user_data_32
    ledger.accounts[transfer.debit].debits_posted += amount
    ledger.accounts[transfer.credit].credits_posted += amount
    append_transfer(
        ledger, &command, NULL, timestamp, amount, transfer.debit, transfer.credit, NONE, STATE_POSTED,
        transfer.code, True)


# --- the rules ------------------------------------------------------------------------------------

cdef uint32_t plain_exists(Ledger* ledger, const TransferCommand* command, const Transfer* existing) noexcept nogil:
    """What a repeated id that is neither a post nor a void gets; flags, pending id and timeout are equal."""
    if command.debit_account_id != ledger.accounts[existing.debit].id:
        return EXISTS_WITH_DIFFERENT_DEBIT_ACCOUNT_ID
    if command.credit_account_id != ledger.accounts[existing.credit].id:
        return EXISTS_WITH_DIFFERENT_CREDIT_ACCOUNT_ID
    # A balancing transfer names an upper limit; what it moved depends on the moment.
    if command.flags & BALANCING:
        if command.amount < existing.amount:
            return EXISTS_WITH_DIFFERENT_AMOUNT
    elif command.amount != existing.amount:
        return EXISTS_WITH_DIFFERENT_AMOUNT
    if (command.user_data_128_lo != existing.user_data_128_lo
            or command.user_data_128_hi != existing.user_data_128_hi):
        return EXISTS_WITH_DIFFERENT_USER_DATA_128
    if command.user_data_64 != existing.user_data_64:
        return EXISTS_WITH_DIFFERENT_USER_DATA_64
    if command.user_data_32 != existing.user_data_32:
        return EXISTS_WITH_DIFFERENT_USER_DATA_32
    if command.ledger != ledger.accounts[existing.debit].ledger:
        return EXISTS_WITH_DIFFERENT_LEDGER
    if command.code != existing.code:
        return EXISTS_WITH_DIFFERENT_CODE
    return EXISTS


cdef uint32_t post_or_void_exists(Ledger* ledger, const TransferCommand* command, const Transfer* existing) noexcept nogil:
    """The same for a post or a void, where what was left out means the pending transfer's."""
    cdef const Transfer* pending = &ledger.transfers[existing.pending]
    cdef uint64_t amount = command.amount
    cdef uint64_t user_data_128_lo = command.user_data_128_lo
    cdef uint64_t user_data_128_hi = command.user_data_128_hi
    cdef uint64_t user_data_64 = command.user_data_64
    cdef uint32_t user_data_32 = command.user_data_32
    if command.debit_account_id != 0 and command.debit_account_id != ledger.accounts[existing.debit].id:
        return EXISTS_WITH_DIFFERENT_DEBIT_ACCOUNT_ID
    if command.credit_account_id != 0 and command.credit_account_id != ledger.accounts[existing.credit].id:
        return EXISTS_WITH_DIFFERENT_CREDIT_ACCOUNT_ID
    if amount == AMOUNT_ALL or (amount == 0 and command.flags & TRANSFER_VOID_PENDING_TRANSFER):
        amount = pending.amount
    if amount != existing.amount:
        return EXISTS_WITH_DIFFERENT_AMOUNT
    if user_data_128_lo == 0 and user_data_128_hi == 0:
        user_data_128_lo = pending.user_data_128_lo
        user_data_128_hi = pending.user_data_128_hi
    if user_data_128_lo != existing.user_data_128_lo or user_data_128_hi != existing.user_data_128_hi:
        return EXISTS_WITH_DIFFERENT_USER_DATA_128
    if user_data_64 == 0:
        user_data_64 = pending.user_data_64
    if user_data_64 != existing.user_data_64:
        return EXISTS_WITH_DIFFERENT_USER_DATA_64
    if user_data_32 == 0:
        user_data_32 = pending.user_data_32
    if user_data_32 != existing.user_data_32:
        return EXISTS_WITH_DIFFERENT_USER_DATA_32
    if command.ledger != 0 and command.ledger != ledger.accounts[existing.debit].ledger:
        return EXISTS_WITH_DIFFERENT_LEDGER
    if command.code != 0 and command.code != existing.code:
        return EXISTS_WITH_DIFFERENT_CODE
    return EXISTS


cdef uint32_t transfer_exists(
    Ledger* ledger, const TransferCommand* command, const Transfer* existing, Result* result) noexcept nogil:
    cdef uint32_t status
    cdef uint64_t pending_lo = 0
    cdef uint64_t pending_hi = 0
    if command.flags != existing.flags:
        return EXISTS_WITH_DIFFERENT_FLAGS
    if existing.pending != NONE:
        pending_lo = ledger.transfers[existing.pending].id_lo
        pending_hi = ledger.transfers[existing.pending].id_hi
    if command.pending_id_lo != pending_lo or command.pending_id_hi != pending_hi:
        return EXISTS_WITH_DIFFERENT_PENDING_ID
    if command.timeout != existing.timeout:
        return EXISTS_WITH_DIFFERENT_TIMEOUT
    if command.flags & POST_OR_VOID:
        status = post_or_void_exists(ledger, command, existing)
    else:
        status = plain_exists(ledger, command, existing)
    if status == EXISTS:
        result.timestamp = existing.timestamp
    return status


cdef uint32_t post_or_void(
    Ledger* ledger, const TransferCommand* command, const Probe* probe, uint32_t scope, uint64_t now,
    Result* result) noexcept nogil:
    cdef TransferCommand inherited
    cdef uint32_t pending_slot
    cdef uint64_t amount
    cdef uint64_t timestamp = command.timestamp if command.flags & TRANSFER_IMPORTED else now
    cdef bint posting = command.flags & TRANSFER_POST_PENDING_TRANSFER != 0
    cdef Transfer* pending
    cdef Account* debit
    cdef Account* credit
    if command.flags & POST_OR_VOID == POST_OR_VOID or command.flags & NOT_WITH_POST_OR_VOID:
        return FLAGS_ARE_MUTUALLY_EXCLUSIVE
    if command.pending_id_lo == 0 and command.pending_id_hi == 0:
        return PENDING_ID_MUST_NOT_BE_ZERO
    if command.pending_id_lo == UINT64_MAX and command.pending_id_hi == UINT64_MAX:
        return PENDING_ID_MUST_NOT_BE_INT_MAX
    if command.pending_id_lo == command.id_lo and command.pending_id_hi == command.id_hi:
        return PENDING_ID_MUST_BE_DIFFERENT
    if command.timeout != 0:
        return TIMEOUT_RESERVED_FOR_PENDING_TRANSFER

    pending_slot = transfer_find(ledger, command.pending_id_lo, command.pending_id_hi, probe.pending_hash)
    if pending_slot & BURNT:    # NONE has the bit too
        return PENDING_TRANSFER_NOT_FOUND
    pending = &ledger.transfers[pending_slot]
    if not pending.flags & TRANSFER_PENDING:
        return PENDING_TRANSFER_NOT_PENDING
    debit = &ledger.accounts[pending.debit]
    credit = &ledger.accounts[pending.credit]
    if not scope_permits(ledger, scope, debit.id) or not scope_permits(ledger, scope, credit.id):
        return NOT_PERMITTED
    if command.debit_account_id != 0 and command.debit_account_id != debit.id:
        return PENDING_TRANSFER_HAS_DIFFERENT_DEBIT_ACCOUNT_ID
    if command.credit_account_id != 0 and command.credit_account_id != credit.id:
        return PENDING_TRANSFER_HAS_DIFFERENT_CREDIT_ACCOUNT_ID
    if command.ledger != 0 and command.ledger != debit.ledger:
        return PENDING_TRANSFER_HAS_DIFFERENT_LEDGER
    if command.code != 0 and command.code != pending.code:
        return PENDING_TRANSFER_HAS_DIFFERENT_CODE

    amount = command.amount
    if amount == AMOUNT_ALL or (amount == 0 and not posting):
        amount = pending.amount
    if amount > pending.amount:
        return EXCEEDS_PENDING_TRANSFER_AMOUNT
    if not posting and amount < pending.amount:
        return PENDING_TRANSFER_HAS_DIFFERENT_AMOUNT

    if pending.state == STATE_PENDING_POSTED:
        return PENDING_TRANSFER_ALREADY_POSTED
    if pending.state == STATE_VOIDED:
        return PENDING_TRANSFER_ALREADY_VOIDED
    if pending.state == STATE_EXPIRED:
        return PENDING_TRANSFER_EXPIRED
    # Due within this batch: what holds the money is gone at its time, even before it has been cleared away.
    if pending.timeout != 0 and pending.timestamp + pending.timeout * SECOND <= now:
        return PENDING_TRANSFER_EXPIRED

    if command.flags & TRANSFER_IMPORTED:
        if (timestamp <= ledger.transfers[ledger.transfer_count - 1].timestamp
                or account_has_timestamp(ledger, timestamp)):
            return IMPORTED_EVENT_TIMESTAMP_MUST_NOT_REGRESS

    # Nothing may be debited from a closed or frozen account; giving a hold back is always allowed.
    if posting:
        if debit.flags & ACCOUNT_CLOSED:
            return DEBIT_ACCOUNT_ALREADY_CLOSED
        if credit.flags & ACCOUNT_CLOSED:
            return CREDIT_ACCOUNT_ALREADY_CLOSED
        if debit.flags & ACCOUNT_FROZEN:
            return DEBIT_ACCOUNT_FROZEN
        if credit.flags & ACCOUNT_FROZEN and credit.flags & ACCOUNT_CREDITS_MUST_NOT_EXCEED_DEBITS:
            return CREDIT_ACCOUNT_FROZEN

    # From here on it must succeed.
    inherited = command[0]
    if inherited.user_data_128_lo == 0 and inherited.user_data_128_hi == 0:
        inherited.user_data_128_lo = pending.user_data_128_lo
        inherited.user_data_128_hi = pending.user_data_128_hi
    if inherited.user_data_64 == 0:
        inherited.user_data_64 = pending.user_data_64
    if inherited.user_data_32 == 0:
        inherited.user_data_32 = pending.user_data_32
    debit.debits_pending -= pending.amount
    credit.credits_pending -= pending.amount
    if posting:
        debit.debits_posted += amount
        credit.credits_posted += amount
        pending.state = STATE_PENDING_POSTED
    else:
        if pending.flags & TRANSFER_CLOSING_DEBIT:
            debit.flags &= ~ACCOUNT_CLOSED
        if pending.flags & TRANSFER_CLOSING_CREDIT:
            credit.flags &= ~ACCOUNT_CLOSED
        pending.state = STATE_VOIDED
    ledger.pending_count -= 1
    append_transfer(
        ledger, &inherited, probe, timestamp, amount, pending.debit, pending.credit, pending_slot,
        STATE_POSTED if posting else STATE_VOIDED, pending.code, False)
    result.timestamp = timestamp
    return CREATED


cdef uint32_t create_transfer(
    Ledger* ledger, const TransferCommand* command, const Probe* probe, uint32_t scope, uint64_t now, bint chained,
    Result* result) noexcept nogil:
    cdef uint32_t slot, debit_slot, credit_slot
    cdef uint64_t amount, timestamp, used, available
    cdef uint16_t flags = command.flags
    cdef Account* debit
    cdef Account* credit
    if command.id_lo == 0 and command.id_hi == 0:
        return ID_MUST_NOT_BE_ZERO
    if command.id_lo == UINT64_MAX and command.id_hi == UINT64_MAX:
        return ID_MUST_NOT_BE_INT_MAX
    if unlikely(command.id_lo == ENGINE_ID_LO):
        return ID_RESERVED
    slot = transfer_find(ledger, command.id_lo, command.id_hi, probe.id_hash)
    if unlikely(slot != NONE):
        if slot & BURNT:
            return ID_ALREADY_FAILED
        return transfer_exists(ledger, command, &ledger.transfers[slot], result)
    if flags & POST_OR_VOID:
        return post_or_void(ledger, command, probe, scope, now, result)

    if command.debit_account_id == 0:
        return DEBIT_ACCOUNT_ID_MUST_NOT_BE_ZERO
    if command.debit_account_id == UINT64_MAX:
        return DEBIT_ACCOUNT_ID_MUST_NOT_BE_INT_MAX
    if command.credit_account_id == 0:
        return CREDIT_ACCOUNT_ID_MUST_NOT_BE_ZERO
    if command.credit_account_id == UINT64_MAX:
        return CREDIT_ACCOUNT_ID_MUST_NOT_BE_INT_MAX
    if command.debit_account_id == command.credit_account_id:
        return ACCOUNTS_MUST_BE_DIFFERENT
    if command.pending_id_lo != 0 or command.pending_id_hi != 0:
        return PENDING_ID_MUST_BE_ZERO
    if not flags & TRANSFER_PENDING:
        if command.timeout != 0:
            return TIMEOUT_RESERVED_FOR_PENDING_TRANSFER
        if flags & CLOSING:
            return CLOSING_TRANSFER_MUST_BE_PENDING
    if command.ledger == 0:
        return LEDGER_MUST_NOT_BE_ZERO
    if command.code == 0:
        return CODE_MUST_NOT_BE_ZERO
    if (not scope_permits(ledger, scope, command.debit_account_id)
            or not scope_permits(ledger, scope, command.credit_account_id)):
        return NOT_PERMITTED

    debit_slot = account_of(ledger, command.debit_account_id, probe.debit_hash, probe.debit)
    if debit_slot == NONE:
        return DEBIT_ACCOUNT_NOT_FOUND
    credit_slot = account_of(ledger, command.credit_account_id, probe.credit_hash, probe.credit)
    if credit_slot == NONE:
        return CREDIT_ACCOUNT_NOT_FOUND
    debit = &ledger.accounts[debit_slot]
    credit = &ledger.accounts[credit_slot]
    if debit.ledger != credit.ledger:
        return ACCOUNTS_MUST_HAVE_THE_SAME_LEDGER
    if command.ledger != debit.ledger:
        return TRANSFER_MUST_HAVE_THE_SAME_LEDGER_AS_ACCOUNTS

    timestamp = now
    if unlikely(flags & TRANSFER_IMPORTED):
        timestamp = command.timestamp
        if ((ledger.transfer_count and timestamp <= ledger.transfers[ledger.transfer_count - 1].timestamp)
                or account_has_timestamp(ledger, timestamp)):
            return IMPORTED_EVENT_TIMESTAMP_MUST_NOT_REGRESS
        if timestamp <= ledger.details[debit_slot].timestamp:
            return IMPORTED_EVENT_TIMESTAMP_MUST_POSTDATE_DEBIT_ACCOUNT
        if timestamp <= ledger.details[credit_slot].timestamp:
            return IMPORTED_EVENT_TIMESTAMP_MUST_POSTDATE_CREDIT_ACCOUNT
        if command.timeout != 0:
            return IMPORTED_EVENT_TIMEOUT_MUST_BE_ZERO

    if unlikely((debit.flags | credit.flags) & (ACCOUNT_CLOSED | ACCOUNT_FROZEN)):
        if debit.flags & ACCOUNT_CLOSED:
            return DEBIT_ACCOUNT_ALREADY_CLOSED
        if credit.flags & ACCOUNT_CLOSED:
            return CREDIT_ACCOUNT_ALREADY_CLOSED
        if debit.flags & ACCOUNT_FROZEN:
            return DEBIT_ACCOUNT_FROZEN
        # Of a debit-normal account value leaves by a credit.
        if credit.flags & ACCOUNT_FROZEN and credit.flags & ACCOUNT_CREDITS_MUST_NOT_EXCEED_DEBITS:
            return CREDIT_ACCOUNT_FROZEN

    amount = command.amount
    if unlikely(flags & BALANCING):
        if flags & TRANSFER_BALANCING_DEBIT:
            used = debit.debits_posted + debit.debits_pending
            available = debit.credits_posted - used if debit.credits_posted > used else 0
            amount = amount if amount < available else available
        if flags & TRANSFER_BALANCING_CREDIT:
            used = credit.credits_posted + credit.credits_pending
            available = credit.debits_posted - used if credit.debits_posted > used else 0
            amount = amount if amount < available else available

    # Each sum of pending and posted is below 2^63, so the differences cannot wrap; the last two say it for the sum.
    if flags & TRANSFER_PENDING:
        if amount > INT63_MAX - debit.debits_pending:
            return OVERFLOWS_DEBITS_PENDING
        if amount > INT63_MAX - credit.credits_pending:
            return OVERFLOWS_CREDITS_PENDING
    if amount > INT63_MAX - debit.debits_posted:
        return OVERFLOWS_DEBITS_POSTED
    if amount > INT63_MAX - credit.credits_posted:
        return OVERFLOWS_CREDITS_POSTED
    if amount > INT63_MAX - (debit.debits_pending + debit.debits_posted):
        return OVERFLOWS_DEBITS
    if amount > INT63_MAX - (credit.credits_pending + credit.credits_posted):
        return OVERFLOWS_CREDITS
    if timestamp + command.timeout * SECOND > INT63_MAX:
        return OVERFLOWS_TIMEOUT

    if debit.flags & ACCOUNT_DEBITS_MUST_NOT_EXCEED_CREDITS:
        available = debit.credits_posted
        if debit.flags & ACCOUNT_HAS_OVERDRAFT_LIMIT:
            available += ledger.details[debit_slot].overdraft_limit     # two numbers below 2^63
        if debit.debits_pending + debit.debits_posted + amount > available:
            return EXCEEDS_CREDITS
    if credit.flags & ACCOUNT_CREDITS_MUST_NOT_EXCEED_DEBITS:
        if credit.credits_pending + credit.credits_posted + amount > credit.debits_posted:
            return EXCEEDS_DEBITS

    # From here on it must succeed.
    if flags & TRANSFER_PENDING:
        debit.debits_pending += amount
        credit.credits_pending += amount
        if flags & TRANSFER_CLOSING_DEBIT:
            debit.flags |= ACCOUNT_CLOSED
        if flags & TRANSFER_CLOSING_CREDIT:
            credit.flags |= ACCOUNT_CLOSED
        ledger.pending_count += 1
    else:
        debit.debits_posted += amount
        credit.credits_posted += amount
    slot = ledger.transfer_count
    append_transfer(
        ledger, command, probe, timestamp, amount, debit_slot, credit_slot, NONE,
        STATE_PENDING if flags & TRANSFER_PENDING else STATE_POSTED, command.code, False)
    if command.timeout != 0 and not chained:    # a chain may be rolled back: its expiries are noted when it holds
        expiry_push(ledger, slot)
    result.timestamp = timestamp
    return CREATED


# --- chains ---------------------------------------------------------------------------------------

cdef struct Chain:
    bint open
    bint broken
    uint32_t result_first
    uint32_t transfer_first
    uint64_t digest_lo
    uint64_t digest_hi


cdef void unlink_account(Ledger* ledger, Account* account, uint32_t previous) noexcept nogil:
    if account.flags & ACCOUNT_HISTORY:
        ledger.balance_count -= 1
        account.balance_last = ledger.balances[ledger.balance_count].previous
    if account.transfer_count % INDEX_RUN == 0:
        index_remove(ledger, account)
    account.transfer_count -= 1
    account.transfer_last = previous


cdef void roll_back(Ledger* ledger, const Chain* chain) noexcept nogil:
    """Takes back the chain's transfers, newest first. All that is needed stands in them."""
    cdef Transfer* transfer
    cdef Transfer* pending
    cdef Account* debit
    cdef Account* credit
    while ledger.transfer_count > chain.transfer_first:
        ledger.transfer_count -= 1
        transfer = &ledger.transfers[ledger.transfer_count]
        debit = &ledger.accounts[transfer.debit]
        credit = &ledger.accounts[transfer.credit]
        unlink_account(ledger, credit, transfer.credit_previous)
        unlink_account(ledger, debit, transfer.debit_previous)
        if transfer.flags & POST_OR_VOID:
            pending = &ledger.transfers[transfer.pending]
            debit.debits_pending += pending.amount
            credit.credits_pending += pending.amount
            pending.state = STATE_PENDING
            ledger.pending_count += 1
            if transfer.flags & TRANSFER_POST_PENDING_TRANSFER:
                debit.debits_posted -= transfer.amount
                credit.credits_posted -= transfer.amount
            else:
                if pending.flags & TRANSFER_CLOSING_DEBIT:
                    debit.flags |= ACCOUNT_CLOSED
                if pending.flags & TRANSFER_CLOSING_CREDIT:
                    credit.flags |= ACCOUNT_CLOSED
        elif transfer.flags & TRANSFER_PENDING:
            debit.debits_pending -= transfer.amount
            credit.credits_pending -= transfer.amount
            if transfer.flags & TRANSFER_CLOSING_DEBIT:
                debit.flags &= ~ACCOUNT_CLOSED
            if transfer.flags & TRANSFER_CLOSING_CREDIT:
                credit.flags &= ~ACCOUNT_CLOSED
            ledger.pending_count -= 1
        else:
            debit.debits_posted -= transfer.amount
            credit.credits_posted -= transfer.amount
        table_remove(
            &ledger.transfer_ids, transfer_hash(ledger, transfer.id_lo, transfer.id_hi), ledger.transfer_count)
        ledger.transfer_ids.count -= 1
        memset(transfer, 0, sizeof(Transfer))
    ledger.digest_lo = chain.digest_lo
    ledger.digest_hi = chain.digest_hi


cdef void hold_chain(Ledger* ledger, const Chain* chain) noexcept nogil:
    cdef uint32_t slot
    for slot in range(chain.transfer_first, ledger.transfer_count):
        if ledger.transfers[slot].timeout and ledger.transfers[slot].state == STATE_PENDING:
            expiry_push(ledger, slot)


cdef inline bint burns_id(uint32_t status) noexcept nogil:
    """Refusals that depend on the moment: trying the same id again later must not turn out differently."""
    return (
        status == DEBIT_ACCOUNT_NOT_FOUND or status == CREDIT_ACCOUNT_NOT_FOUND or status == PENDING_TRANSFER_NOT_FOUND
        or status == DEBIT_ACCOUNT_ALREADY_CLOSED or status == CREDIT_ACCOUNT_ALREADY_CLOSED
        or status == EXCEEDS_CREDITS or status == EXCEEDS_DEBITS
        or status == DEBIT_ACCOUNT_FROZEN or status == CREDIT_ACCOUNT_FROZEN)


cdef uint32_t check_imported(const TransferCommand* command, uint16_t flags_first, uint64_t now) noexcept nogil:
    """The first item decides for its request whether its items carry their own time."""
    if (command.flags ^ flags_first) & TRANSFER_IMPORTED:
        return IMPORTED_EVENT_NOT_EXPECTED if command.flags & TRANSFER_IMPORTED else IMPORTED_EVENT_EXPECTED
    if not command.flags & TRANSFER_IMPORTED:
        return TIMESTAMP_MUST_BE_ZERO if command.timestamp != 0 else CREATED
    if command.timestamp == 0 or command.timestamp > INT63_MAX:
        return IMPORTED_EVENT_TIMESTAMP_OUT_OF_RANGE
    if command.timestamp >= now:
        return IMPORTED_EVENT_TIMESTAMP_MUST_NOT_ADVANCE
    return CREATED


cdef void create_transfers(
    Ledger* ledger, const Request* requests, uint32_t request_count,
    const TransferCommand* commands, Result* results, uint64_t time) noexcept nogil:
    cdef Probe probes[GROUP]
    cdef Chain chain
    cdef uint32_t total = 0
    cdef uint32_t item = 0          # of the whole run
    cdef uint32_t group_first = 0
    cdef uint32_t group_end = 0
    cdef uint32_t request_index, position, count, earlier, status
    cdef uint16_t flags_first
    cdef const TransferCommand* command
    cdef const Probe* probe
    cdef bint linked
    for request_index in range(request_count):
        total += requests[request_index].item_count
    memset(&chain, 0, sizeof(Chain))
    for request_index in range(request_count):
        count = requests[request_index].item_count
        flags_first = commands[item].flags if count else 0
        for position in range(count):
            if item == group_end:
                group_first = item
                group_end = item + GROUP if total - item > GROUP else total
                prefetch_group(ledger, &commands[group_first], group_end - group_first, probes)
            command = &commands[item]
            probe = &probes[item - group_first]
            linked = command.flags & TRANSFER_LINKED != 0
            results[item].timestamp = time + item
            results[item].reserved = 0
            if unlikely(linked and not chain.open):
                chain.open = True
                chain.broken = False
                chain.result_first = item
                chain.transfer_first = ledger.transfer_count
                chain.digest_lo = ledger.digest_lo
                chain.digest_hi = ledger.digest_hi
            if unlikely(linked and position == count - 1):
                status = LINKED_EVENT_CHAIN_OPEN
            elif unlikely(chain.broken):
                status = LINKED_EVENT_FAILED
            else:
                status = check_imported(command, flags_first, time + item)
                if likely(status == CREATED):
                    status = create_transfer(
                        ledger, command, probe, requests[request_index].scope, time + item, chain.open,
                        &results[item])
            results[item].status = status
            if unlikely(status != CREATED):
                if chain.open and not chain.broken:
                    chain.broken = True
                    roll_back(ledger, &chain)
                    for earlier in range(chain.result_first, item):
                        results[earlier].status = LINKED_EVENT_FAILED
                        results[earlier].timestamp = time + earlier
                        digest_mix(ledger, time + earlier, LINKED_EVENT_FAILED)
                if burns_id(status):
                    burn(ledger, command, probe.id_hash)
                digest_mix(ledger, time + item, status)
            if unlikely(chain.open and (not linked or status == LINKED_EVENT_CHAIN_OPEN)):
                if not chain.broken:
                    hold_chain(ledger, &chain)
                chain.open = chain.broken = False
            item += 1
