# The memory layout that every part shares: commands in, results out, views for reads, and what the ledger stores.
#
# Fields stand widest first, so that no struct has padding; `records.pyx` refuses to load when a size drifts.
# 128-bit values are two 64-bit halves, low half first. Amounts and balances are minor units, 0 … 2^63-1.
# Timestamps are nanoseconds since 1970-01-01 UTC, 1 … 2^63-1; 0 means "none".

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t


# --- commands: what a request asks for -----------------------------------------------------------

cdef struct AccountCommand:         # 64 bytes
    uint64_t id                     # 1 … 2^63-1
    uint64_t user_data_128_lo
    uint64_t user_data_128_hi
    uint64_t user_data_64
    uint64_t overdraft_limit        # debits may exceed credits by so much; needs DEBITS_MUST_NOT_EXCEED_CREDITS
    uint64_t timestamp              # 0, or the time of an imported account
    uint32_t user_data_32
    uint32_t ledger
    uint16_t code
    uint16_t flags                  # AccountFlag
    uint32_t reserved               # 0

cdef struct TransferCommand:        # 104 bytes
    uint64_t id_lo
    uint64_t id_hi
    uint64_t debit_account_id       # 0 = inherit from the pending transfer (post and void only)
    uint64_t credit_account_id      # 0 = inherit
    uint64_t amount                 # or AMOUNT_ALL: the whole pending amount (post and void only)
    uint64_t pending_id_lo
    uint64_t pending_id_hi
    uint64_t user_data_128_lo
    uint64_t user_data_128_hi
    uint64_t user_data_64
    uint64_t timestamp              # 0, or the time of an imported transfer
    uint32_t user_data_32
    uint32_t timeout                # seconds
    uint32_t ledger                 # 0 = inherit
    uint16_t code                   # 0 = inherit
    uint16_t flags                  # TransferFlag

cdef struct UpdateCommand:          # 24 bytes
    uint64_t id
    uint64_t overdraft_limit
    uint32_t fields                 # UpdateField: which of the two below are meant
    uint32_t frozen                 # 0 or 1

cdef struct ScopeRange:             # 16 bytes; a channel may move accounts first … last, both included
    uint64_t first
    uint64_t last

cdef struct Id128:                  # 16 bytes; account ids use `lo` alone
    uint64_t lo
    uint64_t hi

cdef struct Filter:                 # 72 bytes; get_account_* and query_*; 0 = no condition on that field
    uint64_t account_id             # get_account_* only
    uint64_t timestamp_min
    uint64_t timestamp_max
    uint64_t user_data_128_lo
    uint64_t user_data_128_hi
    uint64_t user_data_64
    uint32_t user_data_32
    uint32_t ledger                 # query_* only
    uint32_t limit                  # 1 … the configured maximum
    uint16_t code
    uint16_t flags                  # FilterFlag
    uint64_t reserved               # 0


# --- answers ------------------------------------------------------------------------------------

cdef struct Result:                 # 16 bytes; one per item of a write request, in order
    uint64_t timestamp              # of the item; for `exists` that of the original
    uint32_t status                 # codes.Status
    uint32_t reserved               # 0

cdef struct AccountView:            # 96 bytes; id 0 = not found
    uint64_t id
    uint64_t debits_pending
    uint64_t debits_posted
    uint64_t credits_pending
    uint64_t credits_posted
    uint64_t overdraft_limit
    uint64_t user_data_128_lo
    uint64_t user_data_128_hi
    uint64_t user_data_64
    uint64_t timestamp
    uint32_t user_data_32
    uint32_t ledger
    uint16_t code
    uint16_t flags                  # AccountFlag
    uint32_t reserved               # 0

cdef struct TransferView:           # 112 bytes; id 0 = not found
    uint64_t id_lo
    uint64_t id_hi
    uint64_t debit_account_id
    uint64_t credit_account_id
    uint64_t amount
    uint64_t pending_id_lo
    uint64_t pending_id_hi
    uint64_t user_data_128_lo
    uint64_t user_data_128_hi
    uint64_t user_data_64
    uint64_t timestamp
    uint32_t user_data_32
    uint32_t timeout
    uint32_t ledger
    uint16_t code
    uint16_t flags                  # TransferFlag
    uint32_t state                  # TransferState
    uint32_t reserved               # 0

cdef struct BalanceView:            # 40 bytes; an account's balances right after the transfer of that timestamp
    uint64_t timestamp
    uint64_t debits_pending
    uint64_t debits_posted
    uint64_t credits_pending
    uint64_t credits_posted


# --- stored ---------------------------------------------------------------------------------------

cdef struct Account:                # 64 bytes, one cache line: all that posting touches
    uint64_t id
    uint64_t debits_pending
    uint64_t debits_posted
    uint64_t credits_pending
    uint64_t credits_posted         # each sum of pending and posted stays below 2^63
    uint32_t ledger
    uint16_t code
    uint16_t flags                  # AccountFlag, and HAS_OVERDRAFT_LIMIT
    uint32_t transfer_last          # slot of the newest transfer that touches it; NONE before the first
    uint32_t transfer_count         # transfers that touch it, in the order of their slots
    uint32_t balance_last           # slot of its newest Balance; NONE without `history`
    uint32_t index_last             # newest block of its sparse index; NONE before the first

cdef struct AccountDetail:          # 56 bytes; same slot as its Account; what posting rarely needs
    uint64_t user_data_128_lo
    uint64_t user_data_128_hi
    uint64_t user_data_64
    uint64_t overdraft_limit
    uint64_t timestamp              # strictly increasing with the slot
    uint32_t user_data_32
    uint16_t flags_created          # the flags asked for, which a retry is compared with
    uint16_t reserved               # 0
    uint32_t holding                # 1 + settlement's record of an account that is traded with; 0: none
    uint32_t reserved_2             # 0

cdef struct Transfer:               # 96 bytes; append-only but for `state`
    uint64_t id_lo
    uint64_t id_hi
    uint64_t amount                 # what moved (after balancing), or what is or was held
    uint64_t timestamp              # strictly increasing with the slot
    uint64_t user_data_128_lo
    uint64_t user_data_128_hi
    uint64_t user_data_64
    uint32_t user_data_32
    uint32_t timeout
    uint32_t debit                  # account slots
    uint32_t credit
    uint32_t debit_previous         # slot of the debit account's transfer before this one, or NONE
    uint32_t credit_previous
    uint32_t pending                # slot of the transfer that this one posts or voids, or NONE
    uint16_t code
    uint16_t flags                  # TransferFlag
    uint32_t state                  # TransferState
    uint32_t reserved               # 0

cdef struct Balance:                # 48 bytes; one per transfer of an account with `history`
    uint64_t timestamp
    uint64_t debits_pending
    uint64_t debits_posted
    uint64_t credits_pending
    uint64_t credits_posted
    uint32_t account
    uint32_t previous               # slot of the account's Balance before this one, or NONE
