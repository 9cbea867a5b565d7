"""Reads. None looks at more than `Capacity.scan` records, so that no question holds up the others.

An account's transfers are threaded newest to oldest; its sparse index has every 64th. Oldest-first answers are
given run by run: walk a run back into a small array, then read that forwards.
"""

from libc.stdint cimport uint16_t, uint64_t

from engine._core.codes cimport *
from engine._core.records cimport Account, AccountDetail, AccountView, Balance, BalanceView, Filter, Id128, Transfer, TransferView
from engine._core.store cimport *


# --- views ----------------------------------------------------------------------------------------

cdef void view_account(Ledger* ledger, uint32_t slot, AccountView* view) noexcept nogil:
    cdef const Account* account = &ledger.accounts[slot]
    cdef const AccountDetail* detail = &ledger.details[slot]
    view.id = account.id
    view.debits_pending = account.debits_pending
    view.debits_posted = account.debits_posted
    view.credits_pending = account.credits_pending
    view.credits_posted = account.credits_posted
    view.overdraft_limit = detail.overdraft_limit
    view.user_data_128_lo = detail.user_data_128_lo
    view.user_data_128_hi = detail.user_data_128_hi
    view.user_data_64 = detail.user_data_64
    view.timestamp = detail.timestamp
    view.user_data_32 = detail.user_data_32
    view.ledger = account.ledger
    view.code = account.code
    view.flags = account.flags & ACCOUNT_FLAGS_PUBLIC
    view.reserved = 0


cdef void view_transfer(Ledger* ledger, uint32_t slot, TransferView* view) noexcept nogil:
    cdef const Transfer* transfer = &ledger.transfers[slot]
    view.id_lo = transfer.id_lo
    view.id_hi = transfer.id_hi
    view.debit_account_id = ledger.accounts[transfer.debit].id
    view.credit_account_id = ledger.accounts[transfer.credit].id
    view.amount = transfer.amount
    view.pending_id_lo = view.pending_id_hi = 0
    if transfer.pending != NONE:
        view.pending_id_lo = ledger.transfers[transfer.pending].id_lo
        view.pending_id_hi = ledger.transfers[transfer.pending].id_hi
    view.user_data_128_lo = transfer.user_data_128_lo
    view.user_data_128_hi = transfer.user_data_128_hi
    view.user_data_64 = transfer.user_data_64
    view.timestamp = transfer.timestamp
    view.user_data_32 = transfer.user_data_32
    view.timeout = transfer.timeout
    view.ledger = ledger.accounts[transfer.debit].ledger
    view.code = transfer.code
    view.flags = transfer.flags
    view.state = transfer.state
    view.reserved = 0


cdef void view_nothing(void* view, size_t size) noexcept nogil:
    cdef size_t index
    for index in range(size):
        (<char*>view)[index] = 0


# --- lookups --------------------------------------------------------------------------------------

cdef int lookup_accounts(Ledger* ledger, Batch batch, Request* request) noexcept nogil:
    cdef AccountView* views = batch.append_account_views(request.item_count)
    cdef uint32_t item, slot
    cdef uint64_t id
    if views is NULL:
        return -1
    for item in range(request.item_count):
        id = batch.ids[request.item_first + item].lo
        slot = account_lookup(ledger, id)
        if slot == NONE or not scope_permits(ledger, request.scope, id):
            view_nothing(&views[item], sizeof(AccountView))
        else:
            view_account(ledger, slot, &views[item])
    request.answer_count = request.item_count
    return 0


cdef bint transfer_visible(Ledger* ledger, uint32_t slot, uint32_t scope) noexcept nogil:
    """A channel sees a transfer when it may touch one of its accounts."""
    return scope == 0 or (
        scope_permits(ledger, scope, ledger.accounts[ledger.transfers[slot].debit].id)
        or scope_permits(ledger, scope, ledger.accounts[ledger.transfers[slot].credit].id))


cdef int lookup_transfers(Ledger* ledger, Batch batch, Request* request) noexcept nogil:
    cdef TransferView* views = batch.append_transfer_views(request.item_count)
    cdef uint32_t item, slot
    cdef Id128* id
    if views is NULL:
        return -1
    for item in range(request.item_count):
        id = &batch.ids[request.item_first + item]
        if id.lo == ENGINE_ID_LO:
            slot = transfer_generated(ledger, id.lo, id.hi)
        else:
            slot = transfer_find(ledger, id.lo, id.hi, transfer_hash(ledger, id.lo, id.hi))
        if slot & BURNT or not transfer_visible(ledger, slot, request.scope):
            view_nothing(&views[item], sizeof(TransferView))
        else:
            view_transfer(ledger, slot, &views[item])
    request.answer_count = request.item_count
    return 0


# --- conditions -----------------------------------------------------------------------------------

cdef inline bint user_data_matches(
    const Filter* wanted, uint64_t user_data_128_lo, uint64_t user_data_128_hi, uint64_t user_data_64,
    uint32_t user_data_32) noexcept nogil:
    if wanted.flags & FILTER_USER_DATA_128 and (
            user_data_128_lo != wanted.user_data_128_lo or user_data_128_hi != wanted.user_data_128_hi):
        return False
    if wanted.flags & FILTER_USER_DATA_64 and user_data_64 != wanted.user_data_64:
        return False
    return not (wanted.flags & FILTER_USER_DATA_32 and user_data_32 != wanted.user_data_32)


cdef inline bint transfer_matches(const Filter* wanted, const Transfer* transfer) noexcept nogil:
    return (wanted.code == 0 or transfer.code == wanted.code) and user_data_matches(
        wanted, transfer.user_data_128_lo, transfer.user_data_128_hi, transfer.user_data_64, transfer.user_data_32)


# --- one account's transfers and balances ---------------------------------------------------------

cdef struct Search:
    Ledger* ledger
    Account* account
    const Filter* wanted
    uint32_t account_slot
    bint balances               # Balance slots are collected instead of transfer slots
    bint debits
    bint credits
    uint64_t timestamp_max
    uint32_t scanned
    bint unfinished             # there was more to look at than may be looked at
    uint32_t found
    uint32_t* slots             # [wanted.limit]


cdef inline uint32_t previous_of(const Search* search, uint32_t slot) noexcept nogil:
    cdef const Transfer* transfer = &search.ledger.transfers[slot]
    return transfer.debit_previous if transfer.debit == search.account_slot else transfer.credit_previous


cdef uint32_t balance_at(const Search* search, uint64_t timestamp) noexcept nogil:
    """The account's balance after its transfer of that time. Balances stand in the order of time, two per transfer at most."""
    cdef Ledger* ledger = search.ledger
    cdef uint32_t low = 0
    cdef uint32_t high = ledger.balance_count
    cdef uint32_t middle
    while low < high:
        middle = low + (high - low) // 2
        if ledger.balances[middle].timestamp < timestamp:
            low = middle + 1
        else:
            high = middle
    if ledger.balances[low].account != search.account_slot:
        low += 1
    return low


cdef bint offer(Search* search, uint32_t transfer_slot, uint32_t balance_slot) noexcept nogil:
    """Takes the record if it fits; False once enough have been found, or when no more may be looked at."""
    cdef const Transfer* transfer = &search.ledger.transfers[transfer_slot]
    if search.scanned == search.ledger.capacity.scan:
        search.unfinished = True
        return False
    search.scanned += 1
    if ((search.debits if transfer.debit == search.account_slot else search.credits)
            and transfer_matches(search.wanted, transfer)):
        search.slots[search.found] = balance_slot if search.balances else transfer_slot
        search.found += 1
    return search.found < search.wanted.limit


cdef uint64_t timestamp_max_of(const Filter* wanted) noexcept nogil:
    """The newest time that is wanted; there is none after INT63_MAX, so one more can always be added."""
    return wanted.timestamp_max if 0 < wanted.timestamp_max < INT63_MAX else INT63_MAX


cdef uint32_t run_first_at(const Search* search, uint64_t timestamp) noexcept nogil:
    """The first complete run whose newest transfer is at or after `timestamp`; the number of runs if none is."""
    cdef uint32_t low = 0
    cdef uint32_t high = search.account.transfer_count // INDEX_RUN
    cdef uint32_t middle
    while low < high:
        middle = low + (high - low) // 2
        if search.ledger.transfers[index_entry(search.ledger, search.account, middle)].timestamp < timestamp:
            low = middle + 1
        else:
            high = middle
    return low


cdef void search_backward(Search* search) noexcept nogil:
    cdef Ledger* ledger = search.ledger
    cdef uint32_t slot = search.account.transfer_last
    cdef uint32_t run = run_first_at(search, search.timestamp_max)
    cdef uint32_t balance = NONE
    cdef bint first = True
    if run < search.account.transfer_count // INDEX_RUN:
        slot = index_entry(ledger, search.account, run)
    while slot != NONE and ledger.transfers[slot].timestamp > search.timestamp_max:
        slot = previous_of(search, slot)
    while slot != NONE and ledger.transfers[slot].timestamp >= search.wanted.timestamp_min:
        if search.balances:
            balance = balance_at(search, ledger.transfers[slot].timestamp) if first else ledger.balances[balance].previous
            first = False
        if not offer(search, slot, balance):
            return
        slot = previous_of(search, slot)


cdef void search_forward(Search* search) noexcept nogil:
    cdef Ledger* ledger = search.ledger
    cdef uint32_t transfers[INDEX_RUN]
    cdef uint32_t balances[INDEX_RUN]
    cdef uint32_t runs = search.account.transfer_count // INDEX_RUN
    cdef uint32_t run = run_first_at(search, search.wanted.timestamp_min)
    cdef uint32_t slot, balance, count, start, position
    while run <= runs:
        if run < runs:
            count = INDEX_RUN
            slot = index_entry(ledger, search.account, run)
        else:
            count = search.account.transfer_count % INDEX_RUN
            slot = search.account.transfer_last
        if count == 0:
            return
        balance = balance_at(search, ledger.transfers[slot].timestamp) if search.balances else 0
        start = count
        while ledger.transfers[slot].timestamp >= search.wanted.timestamp_min:
            start -= 1
            transfers[start] = slot
            balances[start] = balance
            if start == 0:
                break
            slot = previous_of(search, slot)
            if search.balances:
                balance = ledger.balances[balance].previous
        for position in range(start, count):
            if ledger.transfers[transfers[position]].timestamp > search.timestamp_max:
                return
            if not offer(search, transfers[position], balances[position]):
                return
        run += 1


cdef int account_history(Ledger* ledger, Batch batch, Request* request) noexcept nogil:
    """get_account_transfers and get_account_balances."""
    cdef const Filter* wanted = &batch.filters[request.item_first]
    cdef Search search
    cdef Balance* balance
    cdef TransferView* views
    cdef BalanceView* balance_views
    cdef uint32_t index
    search.account_slot = account_lookup(ledger, wanted.account_id)
    if not scope_permits(ledger, request.scope, wanted.account_id):
        request.status = NOT_PERMITTED
        return 0
    if search.account_slot == NONE:
        request.status = ACCOUNT_NOT_FOUND
        return 0
    search.ledger = ledger
    search.account = &ledger.accounts[search.account_slot]
    search.wanted = wanted
    search.balances = request.kind == KIND_GET_ACCOUNT_BALANCES
    search.debits = wanted.flags & FILTER_DEBITS or not wanted.flags & FILTER_CREDITS
    search.credits = wanted.flags & FILTER_CREDITS or not wanted.flags & FILTER_DEBITS
    search.timestamp_max = timestamp_max_of(wanted)
    search.scanned = search.found = 0
    search.unfinished = False
    if search.balances and not search.account.flags & ACCOUNT_HISTORY:
        request.status = NO_HISTORY
        return 0
    search.slots = <uint32_t*>batch.scratch(wanted.limit * sizeof(uint32_t))
    if search.slots is NULL:
        return -1
    if wanted.flags & FILTER_REVERSED:
        search_backward(&search)
    else:
        search_forward(&search)
    if search.unfinished:
        request.status = SCAN_LIMIT_REACHED
        return 0
    request.answer_count = search.found
    if search.balances:
        balance_views = batch.append_balance_views(search.found)
        if balance_views is NULL:
            return -1
        for index in range(search.found):
            balance = &ledger.balances[search.slots[index]]
            balance_views[index].timestamp = balance.timestamp
            balance_views[index].debits_pending = balance.debits_pending
            balance_views[index].debits_posted = balance.debits_posted
            balance_views[index].credits_pending = balance.credits_pending
            balance_views[index].credits_posted = balance.credits_posted
        return 0
    views = batch.append_transfer_views(search.found)
    if views is NULL:
        return -1
    for index in range(search.found):
        view_transfer(ledger, search.slots[index], &views[index])
    return 0


# --- everything, by what it carries ---------------------------------------------------------------

cdef uint32_t account_first_at(Ledger* ledger, uint64_t timestamp) noexcept nogil:
    cdef uint32_t low = 0
    cdef uint32_t high = ledger.account_count
    cdef uint32_t middle
    while low < high:
        middle = low + (high - low) // 2
        if ledger.details[middle].timestamp < timestamp:
            low = middle + 1
        else:
            high = middle
    return low


cdef bint account_fits(Ledger* ledger, uint32_t slot, const Filter* wanted, uint32_t scope) noexcept nogil:
    cdef const Account* account = &ledger.accounts[slot]
    cdef const AccountDetail* detail = &ledger.details[slot]
    return (
        (wanted.ledger == 0 or account.ledger == wanted.ledger)
        and (wanted.code == 0 or account.code == wanted.code)
        and user_data_matches(
            wanted, detail.user_data_128_lo, detail.user_data_128_hi, detail.user_data_64, detail.user_data_32)
        and scope_permits(ledger, scope, account.id))


cdef bint transfer_fits(Ledger* ledger, uint32_t slot, const Filter* wanted, uint32_t scope) noexcept nogil:
    cdef const Transfer* transfer = &ledger.transfers[slot]
    return (
        transfer_matches(wanted, transfer)
        and (wanted.ledger == 0 or ledger.accounts[transfer.debit].ledger == wanted.ledger)
        and transfer_visible(ledger, slot, scope))


cdef int query(Ledger* ledger, Batch batch, Request* request) noexcept nogil:
    """query_accounts and query_transfers: a walk over the slots between two times."""
    cdef const Filter* wanted = &batch.filters[request.item_first]
    cdef uint64_t timestamp_max = timestamp_max_of(wanted)
    cdef bint accounts = request.kind == KIND_QUERY_ACCOUNTS
    cdef uint32_t low, high, slot, index
    cdef uint32_t scanned = 0
    cdef uint32_t found = 0
    cdef uint32_t* slots = <uint32_t*>batch.scratch(wanted.limit * sizeof(uint32_t))
    cdef AccountView* account_views
    cdef TransferView* transfer_views
    if slots is NULL:
        return -1
    if accounts:
        low = account_first_at(ledger, wanted.timestamp_min)
        high = account_first_at(ledger, timestamp_max + 1)
    else:
        low = transfer_first_at(ledger, wanted.timestamp_min)
        high = transfer_first_at(ledger, timestamp_max + 1)
    while low < high and found < wanted.limit and scanned < ledger.capacity.scan:
        if wanted.flags & FILTER_REVERSED:
            high -= 1
            slot = high
        else:
            slot = low
            low += 1
        scanned += 1
        if account_fits(ledger, slot, wanted, request.scope) if accounts else transfer_fits(
                ledger, slot, wanted, request.scope):
            slots[found] = slot
            found += 1
    if low < high and found < wanted.limit:
        request.status = SCAN_LIMIT_REACHED
        return 0
    request.answer_count = found
    if accounts:
        account_views = batch.append_account_views(found)
        if account_views is NULL:
            return -1
        for index in range(found):
            view_account(ledger, slots[index], &account_views[index])
        return 0
    transfer_views = batch.append_transfer_views(found)
    if transfer_views is NULL:
        return -1
    for index in range(found):
        view_transfer(ledger, slots[index], &transfer_views[index])
    return 0


cdef int read_request(Ledger* ledger, Batch batch, uint32_t request_index) noexcept nogil:
    cdef Request* request = &batch.requests[request_index]
    request.status = FOUND
    request.answer_count = 0
    if request.kind == KIND_LOOKUP_ACCOUNTS or request.kind == KIND_QUERY_ACCOUNTS:
        request.answer_first = batch.account_view_count
    elif request.kind == KIND_GET_ACCOUNT_BALANCES:
        request.answer_first = batch.balance_view_count
    else:
        request.answer_first = batch.transfer_view_count
    if request.kind == KIND_LOOKUP_ACCOUNTS:
        return lookup_accounts(ledger, batch, request)
    if request.kind == KIND_LOOKUP_TRANSFERS:
        return lookup_transfers(ledger, batch, request)
    if request.kind == KIND_GET_ACCOUNT_TRANSFERS or request.kind == KIND_GET_ACCOUNT_BALANCES:
        return account_history(ledger, batch, request)
    return query(ledger, batch, request)
