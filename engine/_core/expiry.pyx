"""A binary heap by (time, slot). Entries of transfers that were posted or voided meanwhile are dropped when met.

The order is total, so what expires does not depend on how the heap came about, and a restored ledger may build it anew.
"""

from engine._core.codes cimport STATE_EXPIRED, STATE_PENDING, TRANSFER_CLOSING_CREDIT, TRANSFER_CLOSING_DEBIT, ACCOUNT_CLOSED
from engine._core.digest cimport digest_mix
from engine._core.records cimport Account, Transfer
from engine._core.store cimport Expiry

cdef uint64_t SECOND = 1000000000


cdef inline bint before(const Expiry* a, const Expiry* b) noexcept nogil:
    return a.at < b.at or (a.at == b.at and a.slot < b.slot)


cdef void expiry_push(Ledger* ledger, uint32_t slot) noexcept nogil:
    cdef Expiry* heap = ledger.expiries
    cdef Expiry entry
    cdef uint32_t position = ledger.expiry_count
    cdef uint32_t parent
    entry.at = ledger.transfers[slot].timestamp + ledger.transfers[slot].timeout * SECOND
    entry.slot = slot
    entry.reserved = 0
    ledger.expiry_count += 1
    while position:
        parent = (position - 1) // 2
        if not before(&entry, &heap[parent]):
            break
        heap[position] = heap[parent]
        position = parent
    heap[position] = entry


cdef void expiry_pop(Ledger* ledger) noexcept nogil:
    cdef Expiry* heap = ledger.expiries
    cdef Expiry entry
    cdef uint32_t position = 0
    cdef uint32_t child
    ledger.expiry_count -= 1
    entry = heap[ledger.expiry_count]
    while True:
        child = 2 * position + 1
        if child >= ledger.expiry_count:
            break
        if child + 1 < ledger.expiry_count and before(&heap[child + 1], &heap[child]):
            child += 1
        if not before(&heap[child], &entry):
            break
        heap[position] = heap[child]
        position = child
    heap[position] = entry


cdef uint64_t expiry_next(Ledger* ledger) noexcept nogil:
    while ledger.expiry_count and ledger.transfers[ledger.expiries[0].slot].state != STATE_PENDING:
        expiry_pop(ledger)
    return ledger.expiries[0].at if ledger.expiry_count else 0


cdef uint32_t expire_due(Ledger* ledger, uint64_t time) noexcept nogil:
    """Gives back what transfers due at `time` hold, and re-opens accounts that they closed."""
    cdef uint32_t expired = 0
    cdef uint64_t at
    cdef Transfer* transfer
    cdef Account* debit
    cdef Account* credit
    while expired < EXPIRE_MAX:
        at = expiry_next(ledger)
        if at == 0 or at > time:
            break
        transfer = &ledger.transfers[ledger.expiries[0].slot]
        expiry_pop(ledger)
        debit = &ledger.accounts[transfer.debit]
        credit = &ledger.accounts[transfer.credit]
        debit.debits_pending -= transfer.amount
        credit.credits_pending -= transfer.amount
        if transfer.flags & TRANSFER_CLOSING_DEBIT:
            debit.flags &= ~ACCOUNT_CLOSED
        if transfer.flags & TRANSFER_CLOSING_CREDIT:
            credit.flags &= ~ACCOUNT_CLOSED
        transfer.state = STATE_EXPIRED
        ledger.pending_count -= 1
        digest_mix(ledger, transfer.timestamp, debit.debits_pending ^ (credit.credits_pending << 1) ^ STATE_EXPIRED)
        expired += 1
    return expired


cdef void expiry_rebuild(Ledger* ledger) noexcept nogil:
    cdef uint32_t slot
    ledger.expiry_count = 0
    ledger.pending_count = 0
    for slot in range(ledger.transfer_count):
        if ledger.transfers[slot].state == STATE_PENDING:
            ledger.pending_count += 1
            if ledger.transfers[slot].timeout:
                expiry_push(ledger, slot)
