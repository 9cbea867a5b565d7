"""See `batch.pxd` for what a batch is; this file only manages its memory."""

from libc.stdlib cimport free, realloc
from libc.string cimport memset

from engine._core.codes cimport KIND_DEFINE_SCOPE, KIND_READ


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
        self.fills_max = self.listings_max = <uint64_t>-1

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
        free(self.instruments)
        free(self.trading_accounts)
        free(self.links)
        free(self.orders)
        free(self.amends)
        free(self.mass_cancels)
        free(self.sessions)
        free(self.days)
        free(self.trade_commands)
        free(self.order_filters)
        free(self.order_results)
        free(self.fills)
        free(self.order_views)
        free(self.execution_views)
        free(self.trade_views)
        free(self.level_views)
        free(self.book_views)
        free(self.position_views)
        free(self.limits)
        free(self.limit_values)
        free(self.kills)
        free(self.approvals)
        free(self.verdicts)
        free(self.limits_filters)
        free(self.limits_views)
        free(self.proposals)
        free(self.scratch_base)

    def __len__(self) -> int:
        return self.request_count

    cdef void clear(self) noexcept:
        self.request_count = self.account_count = self.transfer_count = self.update_count = 0
        self.range_count = self.id_count = self.filter_count = self.text_count = 0
        self.result_count = self.account_view_count = self.transfer_view_count = self.balance_view_count = 0
        self.instrument_count = 0
        self.trading_account_count = 0
        self.link_count = 0
        self.order_count = 0
        self.amend_count = 0
        self.mass_cancel_count = 0
        self.session_count = 0
        self.day_count = 0
        self.trade_command_count = 0
        self.order_filter_count = 0
        self.order_result_count = 0
        self.fill_count = 0
        self.order_view_count = 0
        self.execution_view_count = 0
        self.trade_view_count = 0
        self.level_view_count = 0
        self.book_view_count = 0
        self.position_view_count = 0
        self.limit_count = 0
        self.limit_value_count = 0
        self.kill_count = 0
        self.approval_count = 0
        self.verdict_count = 0
        self.limits_filter_count = 0
        self.limits_view_count = 0
        self.proposal_count = 0
        self.decided = False
        self.execution_first = self.execution_end = self.trade_first = self.trade_end = 0
        self.weight = self.slices = 0
        self.fills_max = self.listings_max = <uint64_t>-1
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
        if self.account_count or self.transfer_count or self.update_count or self.order_count or self.amend_count:
            return True
        for index in range(self.request_count):
            if self.requests[index].kind < KIND_READ and (
                    self.requests[index].item_count or self.requests[index].kind == KIND_DEFINE_SCOPE):
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

    cdef InstrumentCommand* append_instruments(self, uint32_t count) noexcept nogil:
        return <InstrumentCommand*>grow(
            <void**>&self.instruments, &self.instrument_count, &self.instrument_capacity, count, sizeof(InstrumentCommand))

    cdef TradingAccountCommand* append_trading_accounts(self, uint32_t count) noexcept nogil:
        return <TradingAccountCommand*>grow(
            <void**>&self.trading_accounts, &self.trading_account_count, &self.trading_account_capacity, count, sizeof(TradingAccountCommand))

    cdef LinkCommand* append_links(self, uint32_t count) noexcept nogil:
        return <LinkCommand*>grow(
            <void**>&self.links, &self.link_count, &self.link_capacity, count, sizeof(LinkCommand))

    cdef OrderCommand* append_orders(self, uint32_t count) noexcept nogil:
        return <OrderCommand*>grow(
            <void**>&self.orders, &self.order_count, &self.order_capacity, count, sizeof(OrderCommand))

    cdef AmendCommand* append_amends(self, uint32_t count) noexcept nogil:
        return <AmendCommand*>grow(
            <void**>&self.amends, &self.amend_count, &self.amend_capacity, count, sizeof(AmendCommand))

    cdef MassCancelCommand* append_mass_cancels(self, uint32_t count) noexcept nogil:
        return <MassCancelCommand*>grow(
            <void**>&self.mass_cancels, &self.mass_cancel_count, &self.mass_cancel_capacity, count, sizeof(MassCancelCommand))

    cdef SessionCommand* append_sessions(self, uint32_t count) noexcept nogil:
        return <SessionCommand*>grow(
            <void**>&self.sessions, &self.session_count, &self.session_capacity, count, sizeof(SessionCommand))

    cdef DayCommand* append_days(self, uint32_t count) noexcept nogil:
        return <DayCommand*>grow(
            <void**>&self.days, &self.day_count, &self.day_capacity, count, sizeof(DayCommand))

    cdef TradeCommand* append_trade_commands(self, uint32_t count) noexcept nogil:
        return <TradeCommand*>grow(
            <void**>&self.trade_commands, &self.trade_command_count, &self.trade_command_capacity, count, sizeof(TradeCommand))

    cdef OrderFilter* append_order_filters(self, uint32_t count) noexcept nogil:
        return <OrderFilter*>grow(
            <void**>&self.order_filters, &self.order_filter_count, &self.order_filter_capacity, count, sizeof(OrderFilter))

    cdef OrderResult* append_order_results(self, uint32_t count) noexcept nogil:
        return <OrderResult*>grow(
            <void**>&self.order_results, &self.order_result_count, &self.order_result_capacity, count, sizeof(OrderResult))

    cdef Fill* append_fills(self, uint32_t count) noexcept nogil:
        return <Fill*>grow(
            <void**>&self.fills, &self.fill_count, &self.fill_capacity, count, sizeof(Fill))

    cdef OrderView* append_order_views(self, uint32_t count) noexcept nogil:
        return <OrderView*>grow(
            <void**>&self.order_views, &self.order_view_count, &self.order_view_capacity, count, sizeof(OrderView))

    cdef ExecutionView* append_execution_views(self, uint32_t count) noexcept nogil:
        return <ExecutionView*>grow(
            <void**>&self.execution_views, &self.execution_view_count, &self.execution_view_capacity, count, sizeof(ExecutionView))

    cdef TradeView* append_trade_views(self, uint32_t count) noexcept nogil:
        return <TradeView*>grow(
            <void**>&self.trade_views, &self.trade_view_count, &self.trade_view_capacity, count, sizeof(TradeView))

    cdef LevelView* append_level_views(self, uint32_t count) noexcept nogil:
        return <LevelView*>grow(
            <void**>&self.level_views, &self.level_view_count, &self.level_view_capacity, count, sizeof(LevelView))

    cdef BookView* append_book_views(self, uint32_t count) noexcept nogil:
        return <BookView*>grow(
            <void**>&self.book_views, &self.book_view_count, &self.book_view_capacity, count, sizeof(BookView))

    cdef PositionView* append_position_views(self, uint32_t count) noexcept nogil:
        return <PositionView*>grow(
            <void**>&self.position_views, &self.position_view_count, &self.position_view_capacity, count, sizeof(PositionView))

    cdef LimitsCommand* append_limits(self, uint32_t count) noexcept nogil:
        return <LimitsCommand*>grow(
            <void**>&self.limits, &self.limit_count, &self.limit_capacity, count, sizeof(LimitsCommand))

    cdef LimitValue* append_limit_values(self, uint32_t count) noexcept nogil:
        return <LimitValue*>grow(
            <void**>&self.limit_values, &self.limit_value_count, &self.limit_value_capacity, count, sizeof(LimitValue))

    cdef KillCommand* append_kills(self, uint32_t count) noexcept nogil:
        return <KillCommand*>grow(
            <void**>&self.kills, &self.kill_count, &self.kill_capacity, count, sizeof(KillCommand))

    cdef ApprovalCommand* append_approvals(self, uint32_t count) noexcept nogil:
        return <ApprovalCommand*>grow(
            <void**>&self.approvals, &self.approval_count, &self.approval_capacity, count, sizeof(ApprovalCommand))

    cdef Verdict* append_verdicts(self, uint32_t count) noexcept nogil:
        return <Verdict*>grow(
            <void**>&self.verdicts, &self.verdict_count, &self.verdict_capacity, count, sizeof(Verdict))

    cdef LimitsFilter* append_limits_filters(self, uint32_t count) noexcept nogil:
        return <LimitsFilter*>grow(
            <void**>&self.limits_filters, &self.limits_filter_count, &self.limits_filter_capacity, count, sizeof(LimitsFilter))

    cdef LimitsView* append_limits_views(self, uint32_t count) noexcept nogil:
        return <LimitsView*>grow(
            <void**>&self.limits_views, &self.limits_view_count, &self.limits_view_capacity, count, sizeof(LimitsView))

    cdef Proposal* append_proposals(self, uint32_t count) noexcept nogil:
        return <Proposal*>grow(
            <void**>&self.proposals, &self.proposal_count, &self.proposal_capacity, count, sizeof(Proposal))
