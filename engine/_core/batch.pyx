"""See `batch.pxd` for what a batch is; this file only manages its memory."""

from libc.stdlib cimport free, realloc
from libc.string cimport memset

from engine._core.codes cimport KIND_DEFINE_SCOPE


cdef void* grow(void** array, uint32_t* count, uint32_t* capacity, uint32_t more, size_t size) noexcept nogil:
    """Room for `more` items at the end of `array`, also for none; NULL only when memory or 32 bits are out."""
    cdef uint32_t first = count[0]
    cdef uint64_t need = <uint64_t>first + more
    cdef uint64_t capacity_new
    cdef void* moved
    if need > capacity[0] or array[0] is NULL:
        if need > 0x7FFFFFFF:
            return NULL
        capacity_new = 2 * <uint64_t>capacity[0]
        if capacity_new < 64:
            capacity_new = 64
        if capacity_new < need:
            capacity_new = need
        moved = realloc(array[0], capacity_new * size)
        if moved is NULL:
            return NULL
        array[0] = moved
        capacity[0] = <uint32_t>capacity_new
    count[0] = <uint32_t>need
    return <uint8_t*>array[0] + first * size


cdef class Batch:
    def __cinit__(self) -> None:
        self.answers = []

    def __dealloc__(self) -> None:
        free(self.requests)
        free(self.accounts)
        free(self.transfers)
        free(self.updates)
        free(self.ranges)
        free(self.ids)
        free(self.filters)
        free(self.text)
        free(self.results)
        free(self.account_views)
        free(self.transfer_views)
        free(self.balance_views)
        free(self.scratch_base)

    def __len__(self) -> int:
        return self.request_count

    cdef void clear(self) noexcept:
        self.request_count = self.account_count = self.transfer_count = self.update_count = 0
        self.range_count = self.id_count = self.filter_count = self.text_count = 0
        self.result_count = self.account_view_count = self.transfer_view_count = self.balance_view_count = 0
        self.weight = 0
        if self.answers:
            self.answers.clear()

    cdef void* scratch(self, size_t size) noexcept nogil:
        cdef void* moved
        if size > self.scratch_size:
            moved = realloc(self.scratch_base, size)
            if moved is NULL:
                return NULL
            self.scratch_base = moved
            self.scratch_size = size
        return self.scratch_base

    cdef bint has_writes(self) noexcept nogil:
        cdef uint32_t index
        if self.account_count or self.transfer_count or self.update_count:
            return True
        for index in range(self.request_count):
            if self.requests[index].kind == KIND_DEFINE_SCOPE:
                return True
        return False

    cdef Request* append_request(self) noexcept nogil:
        cdef Request* request = <Request*>grow(
            <void**>&self.requests, &self.request_count, &self.request_capacity, 1, sizeof(Request))
        if request is not NULL:
            memset(request, 0, sizeof(Request))
        return request

    cdef AccountCommand* append_accounts(self, uint32_t count) noexcept nogil:
        return <AccountCommand*>grow(
            <void**>&self.accounts, &self.account_count, &self.account_capacity, count, sizeof(AccountCommand))

    cdef TransferCommand* append_transfers(self, uint32_t count) noexcept nogil:
        return <TransferCommand*>grow(
            <void**>&self.transfers, &self.transfer_count, &self.transfer_capacity, count, sizeof(TransferCommand))

    cdef UpdateCommand* append_updates(self, uint32_t count) noexcept nogil:
        return <UpdateCommand*>grow(
            <void**>&self.updates, &self.update_count, &self.update_capacity, count, sizeof(UpdateCommand))

    cdef ScopeRange* append_ranges(self, uint32_t count) noexcept nogil:
        return <ScopeRange*>grow(
            <void**>&self.ranges, &self.range_count, &self.range_capacity, count, sizeof(ScopeRange))

    cdef Id128* append_ids(self, uint32_t count) noexcept nogil:
        return <Id128*>grow(<void**>&self.ids, &self.id_count, &self.id_capacity, count, sizeof(Id128))

    cdef Filter* append_filters(self, uint32_t count) noexcept nogil:
        return <Filter*>grow(<void**>&self.filters, &self.filter_count, &self.filter_capacity, count, sizeof(Filter))

    cdef uint8_t* append_text(self, uint32_t count) noexcept nogil:
        return <uint8_t*>grow(<void**>&self.text, &self.text_count, &self.text_capacity, count, 1)

    cdef Result* append_results(self, uint32_t count) noexcept nogil:
        return <Result*>grow(<void**>&self.results, &self.result_count, &self.result_capacity, count, sizeof(Result))

    cdef AccountView* append_account_views(self, uint32_t count) noexcept nogil:
        return <AccountView*>grow(
            <void**>&self.account_views, &self.account_view_count, &self.account_view_capacity, count,
            sizeof(AccountView))

    cdef TransferView* append_transfer_views(self, uint32_t count) noexcept nogil:
        return <TransferView*>grow(
            <void**>&self.transfer_views, &self.transfer_view_count, &self.transfer_view_capacity, count,
            sizeof(TransferView))

    cdef BalanceView* append_balance_views(self, uint32_t count) noexcept nogil:
        return <BalanceView*>grow(
            <void**>&self.balance_views, &self.balance_view_count, &self.balance_view_capacity, count,
            sizeof(BalanceView))
