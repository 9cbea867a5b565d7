# One batch: the requests that share a log entry, with their items, and room for every answer.
#
# The wire fills it (append_* below), the machine applies it, the wire encodes replies from it, and it is cleared
# and used again. All arrays are plain C memory that grows by doubling and is kept from batch to batch; nothing
# here is a Python object but `answers`. A pointer into an array is valid until the next append to it.

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from engine._core.records cimport (
    AccountCommand, AccountView, BalanceView, Filter, Id128, Result, ScopeRange, TransferCommand, TransferView, UpdateCommand,
)

cdef struct Request:                # 48 bytes
    uint32_t kind                   # codes.Kind
    uint32_t scope                  # accounts that its channel may touch; 0 = all
    uint32_t item_first             # first item, in the array of its kind
    uint32_t item_count             # items (0 is allowed)
    uint32_t answer_first           # first Result or view, in the array of its kind; set by the machine
    uint32_t answer_count           # set by the machine
    uint32_t status                 # of a read: FOUND or why not; set by the machine
    uint32_t connection             # the server's number of the connection; the machine ignores it
    uint32_t id_first               # raw JSON text of the request's `id`, in `text` (or the whole reply of KIND_REPLY)
    uint32_t id_length
    uint32_t reply_flags            # ReplyFlag
    uint32_t reserved

cdef enum ReplyFlag:
    REPLY_JSONRPC = 1               # the request had "jsonrpc"
    REPLY_INT64_STRING = 2          # the session asked for strings

cdef class Batch:
    cdef Request* requests
    cdef uint32_t request_count, request_capacity
    cdef AccountCommand* accounts
    cdef uint32_t account_count, account_capacity
    cdef TransferCommand* transfers
    cdef uint32_t transfer_count, transfer_capacity
    cdef UpdateCommand* updates
    cdef uint32_t update_count, update_capacity
    cdef ScopeRange* ranges
    cdef uint32_t range_count, range_capacity
    cdef Id128* ids
    cdef uint32_t id_count, id_capacity
    cdef Filter* filters
    cdef uint32_t filter_count, filter_capacity
    cdef uint8_t* text
    cdef uint32_t text_count, text_capacity
    # answers, written by the machine
    cdef Result* results
    cdef uint32_t result_count, result_capacity
    cdef AccountView* account_views
    cdef uint32_t account_view_count, account_view_capacity
    cdef TransferView* transfer_views
    cdef uint32_t transfer_view_count, transfer_view_capacity
    cdef BalanceView* balance_views
    cdef uint32_t balance_view_count, balance_view_capacity
    cdef void* scratch_base
    cdef size_t scratch_size
    cdef public list answers        # bytes of the KIND_ANSWER replies
    cdef uint64_t weight            # requests, items and the records that reads may return; whoever fills it bounds it

    cdef void clear(self) noexcept
    cdef void* scratch(self, size_t size) noexcept nogil    # working memory until the next call; NULL: out of memory
    cdef bint has_writes(self) noexcept nogil   # anything that must be logged
    # Room for `count` more; NULL when memory is out. The counts go up at once: take back with *_truncate.
    cdef Request* append_request(self) noexcept nogil
    cdef AccountCommand* append_accounts(self, uint32_t count) noexcept nogil
    cdef TransferCommand* append_transfers(self, uint32_t count) noexcept nogil
    cdef UpdateCommand* append_updates(self, uint32_t count) noexcept nogil
    cdef ScopeRange* append_ranges(self, uint32_t count) noexcept nogil
    cdef Id128* append_ids(self, uint32_t count) noexcept nogil
    cdef Filter* append_filters(self, uint32_t count) noexcept nogil
    cdef uint8_t* append_text(self, uint32_t count) noexcept nogil
    cdef Result* append_results(self, uint32_t count) noexcept nogil
    cdef AccountView* append_account_views(self, uint32_t count) noexcept nogil
    cdef TransferView* append_transfer_views(self, uint32_t count) noexcept nogil
    cdef BalanceView* append_balance_views(self, uint32_t count) noexcept nogil
