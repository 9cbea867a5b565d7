# One batch: the requests that share a log entry, with their items, and room for every answer.
#
# The wire fills it (append_* below), the machine applies it, the wire encodes replies from it, and it is cleared
# and used again. All arrays are plain C memory that grows by doubling and is kept from batch to batch; nothing
# here is a Python object but `answers`. A pointer into an array is valid until the next append to it.

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from engine._core.records cimport (
    AccountCommand, AccountView, BalanceView, Filter, Id128, Result, ScopeRange, TransferCommand, TransferView, UpdateCommand,
)
from engine._core.order_records cimport (
    AmendCommand, BookView, DayCommand, ExecutionView, Fill, InstrumentCommand, LevelView, LinkCommand, MassCancelCommand,
    OrderCommand, OrderFilter, OrderResult, OrderView, PositionView, SessionCommand, TradeCommand, TradeView,
    TradingAccountCommand,
)
from engine._core.risk_records cimport (
    ApprovalCommand, KillCommand, LimitsCommand, LimitsFilter, LimitsView, LimitValue, Proposal, Verdict,
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
    cdef InstrumentCommand* instruments
    cdef uint32_t instrument_count, instrument_capacity
    cdef TradingAccountCommand* trading_accounts
    cdef uint32_t trading_account_count, trading_account_capacity
    cdef LinkCommand* links
    cdef uint32_t link_count, link_capacity
    cdef OrderCommand* orders
    cdef uint32_t order_count, order_capacity
    cdef AmendCommand* amends
    cdef uint32_t amend_count, amend_capacity
    cdef MassCancelCommand* mass_cancels
    cdef uint32_t mass_cancel_count, mass_cancel_capacity
    cdef SessionCommand* sessions
    cdef uint32_t session_count, session_capacity
    cdef DayCommand* days
    cdef uint32_t day_count, day_capacity
    cdef TradeCommand* trade_commands
    cdef uint32_t trade_command_count, trade_command_capacity
    cdef OrderFilter* order_filters
    cdef uint32_t order_filter_count, order_filter_capacity
    cdef LimitsCommand* limits
    cdef uint32_t limit_count, limit_capacity
    cdef LimitValue* limit_values
    cdef uint32_t limit_value_count, limit_value_capacity
    cdef KillCommand* kills
    cdef uint32_t kill_count, kill_capacity
    cdef ApprovalCommand* approvals
    cdef uint32_t approval_count, approval_capacity
    cdef Verdict* verdicts                  # refusals by limits: written by the machine, or read from the log
    cdef uint32_t verdict_count, verdict_capacity
    cdef LimitsFilter* limits_filters
    cdef uint32_t limits_filter_count, limits_filter_capacity
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
    cdef OrderResult* order_results
    cdef uint32_t order_result_count, order_result_capacity
    cdef Fill* fills
    cdef uint32_t fill_count, fill_capacity
    cdef OrderView* order_views
    cdef uint32_t order_view_count, order_view_capacity
    cdef ExecutionView* execution_views
    cdef uint32_t execution_view_count, execution_view_capacity
    cdef TradeView* trade_views
    cdef uint32_t trade_view_count, trade_view_capacity
    cdef LevelView* level_views
    cdef uint32_t level_view_count, level_view_capacity
    cdef BookView* book_views
    cdef uint32_t book_view_count, book_view_capacity
    cdef PositionView* position_views
    cdef uint32_t position_view_count, position_view_capacity
    cdef LimitsView* limits_views
    cdef uint32_t limits_view_count, limits_view_capacity
    cdef Proposal* proposals
    cdef uint32_t proposal_count, proposal_capacity
    # what the machine's step did to orders and books, for whoever tells it to subscribers
    cdef uint64_t execution_first       # executions of this batch: from this slot of the engine's store …
    cdef uint64_t execution_end         # … to before this one
    cdef uint64_t trade_first           # so the trades
    cdef uint64_t trade_end
    cdef bint decided               # from the log: its verdicts hold, no check is asked
    cdef void* scratch_base
    cdef size_t scratch_size
    cdef public list answers        # bytes of the KIND_ANSWER replies
    cdef uint64_t slices            # fills that hidden parts of its icebergs may add; whoever fills it counts them
    cdef uint64_t fills_max         # what its order items and slices may come to; all ones after clear()
    cdef uint64_t listings_max      # … its instruments, trading accounts and links
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
    # … about orders
    cdef InstrumentCommand* append_instruments(self, uint32_t count) noexcept nogil
    cdef TradingAccountCommand* append_trading_accounts(self, uint32_t count) noexcept nogil
    cdef LinkCommand* append_links(self, uint32_t count) noexcept nogil
    cdef OrderCommand* append_orders(self, uint32_t count) noexcept nogil
    cdef AmendCommand* append_amends(self, uint32_t count) noexcept nogil
    cdef MassCancelCommand* append_mass_cancels(self, uint32_t count) noexcept nogil
    cdef SessionCommand* append_sessions(self, uint32_t count) noexcept nogil
    cdef DayCommand* append_days(self, uint32_t count) noexcept nogil
    cdef TradeCommand* append_trade_commands(self, uint32_t count) noexcept nogil
    cdef OrderFilter* append_order_filters(self, uint32_t count) noexcept nogil
    cdef OrderResult* append_order_results(self, uint32_t count) noexcept nogil
    cdef Fill* append_fills(self, uint32_t count) noexcept nogil
    cdef OrderView* append_order_views(self, uint32_t count) noexcept nogil
    cdef ExecutionView* append_execution_views(self, uint32_t count) noexcept nogil
    cdef TradeView* append_trade_views(self, uint32_t count) noexcept nogil
    cdef LevelView* append_level_views(self, uint32_t count) noexcept nogil
    cdef BookView* append_book_views(self, uint32_t count) noexcept nogil
    cdef PositionView* append_position_views(self, uint32_t count) noexcept nogil
    # … about limits
    cdef LimitsCommand* append_limits(self, uint32_t count) noexcept nogil
    cdef LimitValue* append_limit_values(self, uint32_t count) noexcept nogil
    cdef KillCommand* append_kills(self, uint32_t count) noexcept nogil
    cdef ApprovalCommand* append_approvals(self, uint32_t count) noexcept nogil
    cdef Verdict* append_verdicts(self, uint32_t count) noexcept nogil
    cdef LimitsFilter* append_limits_filters(self, uint32_t count) noexcept nogil
    cdef LimitsView* append_limits_views(self, uint32_t count) noexcept nogil
    cdef Proposal* append_proposals(self, uint32_t count) noexcept nogil
