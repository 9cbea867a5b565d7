# What orders and positions hold of an account: `debits_pending` there, `credits_pending` at the ledger's clearing account.

from libc.stdint cimport uint32_t, uint64_t
from engine._core.codes cimport ACCOUNT_HAS_OVERDRAFT_LIMIT
from engine._core.records cimport Account
from engine.matching.records cimport Instrument, Order
from engine.settlement.records cimport Holding, Position
from engine.settlement.store cimport Clearing

cdef struct Need:                   # what an order must hold
    uint64_t amount                 # of the quote account (buys, futures) or of the base asset (spot sells), fees included
    uint64_t fees                   # the part of it that is for commission and transfer fee

# What an order needs for `leaves` at its limit (Order.price) after what it has been charged so far; False: 2^63 or more.
cdef bint need_of(Clearing* clearing, uint32_t order, uint64_t leaves, uint64_t closing, Need* need) noexcept nogil
cdef uint32_t payer_of(Clearing* clearing, uint32_t order) noexcept nogil       # holding that the order debits
cdef uint64_t margin_of(const Instrument* instrument, uint32_t ticks, uint64_t quantity, uint32_t ppm) noexcept nogil
cdef void hold_refresh(Clearing* clearing, uint32_t holding) noexcept nogil    # after a change of held, proceeds or bought
cdef void order_hold(Clearing* clearing, uint32_t order, uint64_t amount) noexcept nogil   # from what it held to so much

cdef inline uint64_t available(Clearing* clearing, uint32_t holding_slot) noexcept nogil:
    """What orders may still hold of the account."""
    cdef Holding* holding = &clearing.holdings[holding_slot]
    cdef Account* account = &clearing.ledger.accounts[holding.account]
    cdef uint64_t funds = account.credits_posted
    cdef uint64_t used = account.debits_posted + (account.debits_pending - holding.pending) + holding.held + holding.bought
    if account.flags & ACCOUNT_HAS_OVERDRAFT_LIMIT:
        funds += clearing.ledger.details[holding.account].overdraft_limit
    return funds - used if funds > used else 0
