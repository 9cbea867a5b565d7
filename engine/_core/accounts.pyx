"""The rules of `create_accounts` and `update_accounts`, in their order of precedence."""

from libc.string cimport memmove, memset

from engine._core.codes cimport *
from engine._core.digest cimport digest_mix
from engine._core.records cimport Account, AccountDetail
from engine._core.store cimport *
from engine._core.table cimport table_remove

cdef uint64_t UINT64_MAX = 0xFFFFFFFFFFFFFFFFULL


cdef uint32_t account_exists(
    Ledger* ledger, const AccountCommand* command, uint32_t slot, Result* result) noexcept nogil:
    """A repeat is compared with what was asked for at creation: closing or freezing since then does not make it another."""
    cdef const Account* account = &ledger.accounts[slot]
    cdef const AccountDetail* detail = &ledger.details[slot]
    if command.flags != detail.flags_created:
        return EXISTS_WITH_DIFFERENT_FLAGS
    if command.user_data_128_lo != detail.user_data_128_lo or command.user_data_128_hi != detail.user_data_128_hi:
        return EXISTS_WITH_DIFFERENT_USER_DATA_128
    if command.user_data_64 != detail.user_data_64:
        return EXISTS_WITH_DIFFERENT_USER_DATA_64
    if command.user_data_32 != detail.user_data_32:
        return EXISTS_WITH_DIFFERENT_USER_DATA_32
    if command.ledger != account.ledger:
        return EXISTS_WITH_DIFFERENT_LEDGER
    if command.code != account.code:
        return EXISTS_WITH_DIFFERENT_CODE
    result.timestamp = detail.timestamp
    return EXISTS


cdef uint32_t create_account(
    Ledger* ledger, const AccountCommand* command, uint32_t scope, uint64_t now, Result* result) noexcept nogil:
    cdef uint64_t hashed, timestamp
    cdef uint32_t slot
    cdef Account* account
    cdef AccountDetail* detail
    if command.id == 0:
        return ID_MUST_NOT_BE_ZERO
    if command.id == UINT64_MAX:
        return ID_MUST_NOT_BE_INT_MAX
    hashed = account_hash(ledger, command.id)
    slot = account_find(ledger, command.id, hashed)
    if slot != NONE:
        return account_exists(ledger, command, slot, result)
    if (command.flags & ACCOUNT_DEBITS_MUST_NOT_EXCEED_CREDITS
            and command.flags & ACCOUNT_CREDITS_MUST_NOT_EXCEED_DEBITS):
        return FLAGS_ARE_MUTUALLY_EXCLUSIVE
    if command.overdraft_limit and not command.flags & ACCOUNT_DEBITS_MUST_NOT_EXCEED_CREDITS:
        return OVERDRAFT_LIMIT_NEEDS_FLAG
    if command.ledger == 0:
        return LEDGER_MUST_NOT_BE_ZERO
    if command.code == 0:
        return CODE_MUST_NOT_BE_ZERO
    if not scope_permits(ledger, scope, command.id):
        return NOT_PERMITTED
    timestamp = now
    if command.flags & ACCOUNT_IMPORTED:
        timestamp = command.timestamp
        if ((ledger.account_count and timestamp <= ledger.details[ledger.account_count - 1].timestamp)
                or transfer_has_timestamp(ledger, timestamp)):
            return IMPORTED_EVENT_TIMESTAMP_MUST_NOT_REGRESS

    # From here on it must succeed.
    slot = ledger.account_count
    account = &ledger.accounts[slot]
    detail = &ledger.details[slot]
    memset(account, 0, sizeof(Account))
    memset(detail, 0, sizeof(AccountDetail))
    account.id = command.id
    account.ledger = command.ledger
    account.code = command.code
    account.flags = command.flags
    if command.overdraft_limit:
        account.flags |= ACCOUNT_HAS_OVERDRAFT_LIMIT
    account.transfer_last = NONE
    account.balance_last = NONE
    account.index_last = NONE
    detail.user_data_128_lo = command.user_data_128_lo
    detail.user_data_128_hi = command.user_data_128_hi
    detail.user_data_64 = command.user_data_64
    detail.user_data_32 = command.user_data_32
    detail.overdraft_limit = command.overdraft_limit
    detail.timestamp = timestamp
    detail.flags_created = command.flags
    ledger.account_count += 1
    account_id_insert(ledger, hashed, slot)
    digest_mix(ledger, timestamp, command.id)
    result.timestamp = timestamp
    return CREATED


cdef uint32_t check_imported(const AccountCommand* command, uint16_t flags_first, uint64_t now) noexcept nogil:
    if (command.flags ^ flags_first) & ACCOUNT_IMPORTED:
        return IMPORTED_EVENT_NOT_EXPECTED if command.flags & ACCOUNT_IMPORTED else IMPORTED_EVENT_EXPECTED
    if not command.flags & ACCOUNT_IMPORTED:
        return TIMESTAMP_MUST_BE_ZERO if command.timestamp != 0 else CREATED
    if command.timestamp == 0 or command.timestamp > INT63_MAX:
        return IMPORTED_EVENT_TIMESTAMP_OUT_OF_RANGE
    if command.timestamp >= now:
        return IMPORTED_EVENT_TIMESTAMP_MUST_NOT_ADVANCE
    return CREATED


cdef void roll_back(Ledger* ledger, uint32_t account_first) noexcept nogil:
    """Takes back accounts of a broken chain: nothing can have touched them yet."""
    while ledger.account_count > account_first:
        ledger.account_count -= 1
        table_remove(
            &ledger.account_ids, account_hash(ledger, ledger.accounts[ledger.account_count].id), ledger.account_count)
        ledger.account_ids.count -= 1
        memset(&ledger.accounts[ledger.account_count], 0, sizeof(Account))
        memset(&ledger.details[ledger.account_count], 0, sizeof(AccountDetail))


cdef void create_accounts(
    Ledger* ledger, const Request* request, const AccountCommand* commands, Result* results, uint64_t time) noexcept nogil:
    cdef uint32_t count = request.item_count
    cdef uint32_t item, earlier, status
    cdef bint chain_open = False
    cdef bint chain_broken = False
    cdef uint32_t chain_result_first = 0
    cdef uint32_t chain_account_first = 0
    cdef uint64_t digest_lo = 0
    cdef uint64_t digest_hi = 0
    cdef bint linked
    for item in range(count):
        linked = commands[item].flags & ACCOUNT_LINKED != 0
        results[item].timestamp = time + item
        results[item].reserved = 0
        if linked and not chain_open:
            chain_open = True
            chain_result_first = item
            chain_account_first = ledger.account_count
            digest_lo = ledger.digest_lo
            digest_hi = ledger.digest_hi
        if linked and item == count - 1:
            status = LINKED_EVENT_CHAIN_OPEN
        elif chain_broken:
            status = LINKED_EVENT_FAILED
        else:
            status = check_imported(&commands[item], commands[0].flags, time + item)
            if status == CREATED:
                status = create_account(ledger, &commands[item], request.scope, time + item, &results[item])
        results[item].status = status
        if status != CREATED:
            if chain_open and not chain_broken:
                chain_broken = True
                roll_back(ledger, chain_account_first)
                ledger.digest_lo = digest_lo
                ledger.digest_hi = digest_hi
                for earlier in range(chain_result_first, item):
                    results[earlier].status = LINKED_EVENT_FAILED
                    results[earlier].timestamp = time + earlier
                    digest_mix(ledger, time + earlier, LINKED_EVENT_FAILED)
            digest_mix(ledger, time + item, status)
        if chain_open and (not linked or status == LINKED_EVENT_CHAIN_OPEN):
            chain_open = chain_broken = False


cdef uint32_t update_account(Ledger* ledger, const UpdateCommand* command, uint32_t scope) noexcept nogil:
    cdef uint32_t slot
    cdef Account* account
    if not scope_permits(ledger, scope, command.id):
        return NOT_PERMITTED
    slot = account_lookup(ledger, command.id)
    if slot == NONE:
        return ACCOUNT_NOT_FOUND
    account = &ledger.accounts[slot]
    if (command.fields & UPDATE_OVERDRAFT_LIMIT and command.overdraft_limit
            and not account.flags & ACCOUNT_DEBITS_MUST_NOT_EXCEED_CREDITS):
        return OVERDRAFT_LIMIT_NEEDS_FLAG

    # From here on it must succeed. A limit may be set below what is used already: then only less can be debited.
    if command.fields & UPDATE_OVERDRAFT_LIMIT:
        ledger.details[slot].overdraft_limit = command.overdraft_limit
        account.flags &= ~ACCOUNT_HAS_OVERDRAFT_LIMIT
        if command.overdraft_limit:
            account.flags |= ACCOUNT_HAS_OVERDRAFT_LIMIT
    if command.fields & UPDATE_FROZEN:
        account.flags &= ~ACCOUNT_FROZEN
        if command.frozen:
            account.flags |= ACCOUNT_FROZEN
    digest_mix(ledger, command.id ^ (<uint64_t>account.flags << 48), command.overdraft_limit)
    return UPDATED


cdef void update_accounts(
    Ledger* ledger, const Request* request, const UpdateCommand* commands, Result* results, uint64_t time) noexcept nogil:
    cdef uint32_t item
    for item in range(request.item_count):
        results[item].timestamp = time + item
        results[item].reserved = 0
        results[item].status = update_account(ledger, &commands[item], request.scope)
        digest_mix(ledger, time + item, results[item].status)


cdef bint scope_ranges_valid(const ScopeRange* ranges, uint32_t count) noexcept nogil:
    cdef uint32_t index
    for index in range(count):
        if ranges[index].first == 0 or ranges[index].last < ranges[index].first:
            return False
        if index and ranges[index].first <= ranges[index - 1].last:
            return False
    return True


cdef void define_scope(
    Ledger* ledger, const Request* request, const ScopeRange* ranges, Result* result, uint64_t time) noexcept nogil:
    cdef Scope* scope = &ledger.scopes[request.scope]
    cdef uint32_t behind = scope.range_first + scope.range_count
    cdef uint32_t number, index
    # Close the gap that the old ranges leave, then append the new ones.
    memmove(
        &ledger.ranges[scope.range_first], &ledger.ranges[behind], (ledger.range_count - behind) * sizeof(ScopeRange))
    for number in range(1, ledger.capacity.scopes + 1):
        if ledger.scopes[number].range_first >= behind:
            ledger.scopes[number].range_first -= scope.range_count
    ledger.range_count -= scope.range_count
    scope.range_first = ledger.range_count
    scope.range_count = request.item_count
    scope.defined = 1
    for index in range(request.item_count):
        ledger.ranges[ledger.range_count + index] = ranges[index]
        digest_mix(ledger, ranges[index].first, ranges[index].last)
    ledger.range_count += request.item_count
    result.timestamp = time
    result.status = DEFINED
    result.reserved = 0
    digest_mix(ledger, time, request.scope)
