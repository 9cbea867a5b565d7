"""The deterministic state machine: a batch of requests and a time go in, answers come out.

Nothing here reads a clock, draws a random number or touches a socket. The same batches at the same times give the same
state, bit for bit, whatever the capacities and the hash key are.
"""

from typing import NamedTuple

import numpy as np

from libc.string cimport memcpy

from engine._core.ahead cimport ahead_finished, ahead_look, ahead_start, ahead_stop
from engine._core.accounts cimport create_accounts, define_scope, update_accounts
from engine._core.batch cimport Request
from engine._core.codes cimport *
from engine._core.expiry cimport expire_due, expiry_next, expiry_rebuild
from engine._core.native cimport CHECKED
from engine._core.posting cimport create_transfers
from engine._core.reads cimport read_request
from engine._core.records cimport *
from engine._core.risk_records cimport Proposal
from engine._core.order_records cimport BookView, ExecutionView, LevelView, TradeView
from engine._core.store cimport (
    Capacity, account_lookup, ledger_create, ledger_destroy, ledger_prepare, ledger_reindex, transfer_find, transfer_generated,
    transfer_hash,
)
from engine.limit_commands cimport read_limits
from engine.matching.market cimport NODES_PER_LEVEL, MarketCapacity, touched_clear
from engine.matching.records cimport Instrument, Level, Node, Order, OrderDetail
from engine.order_reads cimport read_orders, view_book, view_execution, view_levels, view_trade
from engine.risk.records cimport GROUP_FIRST, Group, Pair, PositionRisk, RiskState
from engine.risk.store cimport CHECKS_MAX, Decide, OwnCheck, RiskCapacity
from engine.settlement.records cimport Execution, Holding, Link, Position, Trade, TradingAccount
from engine.settlement.store cimport ClearingCapacity, clearing_prepare
from engine.trading cimport (
    Growth, exchange_ahead, exchange_begin, exchange_create, exchange_destroy, exchange_expire, exchange_growth, exchange_next_expiry, exchange_rebuild,
    exchange_request,
)

from engine._core import order_records, records, risk_records
from engine import invariants, order_requests, requests, snapshot as snapshots
from engine.matching import records as books
from engine.risk import records as risks
from engine.settlement import records as settlement
from engine.errors import CapacityError, EngineError
from engine.limits import Limits

TIME_MAX = 2**63 - 1
DEFAULT_KEY = bytes(range(1, 33))


class Headroom(NamedTuple):
    """How many more records of each kind an engine can take."""

    accounts: int
    transfers: int
    burnt: int
    balances: int
    orders: int
    open_orders: int
    trades: int
    executions: int
    instruments: int
    trading_accounts: int
    links: int
    positions: int
    desks_and_clients: int
    limit_pairs: int
    proposals: int


cdef class Engine:
    """A ledger in memory.

    `limits` are its capacities. `hash_key`, 32 secret bytes, protects the tables of a server against ids made to
    collide; it affects no result.
    """

    def __cinit__(self, limits: Limits | None = None, *, hash_key: bytes = b"") -> None:
        cdef Capacity capacity
        cdef MarketCapacity market
        cdef ClearingCapacity clearing
        cdef RiskCapacity risk
        cdef uint64_t key[4]
        cdef bytes secret = hash_key or DEFAULT_KEY
        if len(secret) != 32:
            raise ValueError(f"hash_key: {len(secret)} bytes, not 32")
        self.limits = limits if limits is not None else Limits()
        capacity.accounts = self.limits.accounts_max
        capacity.transfers = self.limits.transfers_max
        capacity.burnt = self.limits.burnt_max
        capacity.balances = self.limits.balances_max
        capacity.scopes = self.limits.scopes_max
        capacity.scope_ranges = self.limits.scope_ranges_max
        capacity.query_limit = self.limits.query_limit_max
        capacity.scan = self.limits.scan_max
        memcpy(key, <const char*>secret, 32)
        if ledger_create(&self.ledger, &capacity, key) != 0:
            raise MemoryError("no address space for an engine of these limits")
        market.instruments = self.limits.instruments_max
        market.orders = self.limits.orders_max
        market.open_orders = self.limits.open_orders_max
        clearing.trading_accounts = self.limits.trading_accounts_max
        clearing.links = self.limits.links_max
        clearing.positions = self.limits.positions_max
        clearing.trades = self.limits.trades_max
        clearing.executions = self.limits.executions_max
        risk.named = min(2 * self.limits.trading_accounts_max, 2**31 - 16)
        risk.pairs = self.limits.limit_pairs_max
        risk.proposals = self.limits.proposals_max
        if exchange_create(&self.exchange, &market, &clearing, &risk, key, &self.ledger) != 0:
            raise MemoryError("no address space for an engine of these limits")
        self.own = Batch()

    def __dealloc__(self) -> None:
        ahead_stop(self.ahead)
        exchange_destroy(&self.exchange)
        ledger_destroy(&self.ledger)

    def populate_ahead(self) -> None:
        """Has a thread of its own ask the system for the memory that the next batches will touch.

        For servers: a batch then never waits for the system to clear a page, up to 5 ms on a virtual machine. It takes
        up to 16 MiB a store more than is used, and a table's successor when the table is three quarters full.
        """
        if self.ahead is NULL:
            self.ahead = ahead_start()
            if self.ahead is not NULL:
                ahead_look(self.ahead, &self.ledger)

    @property
    def populated(self) -> bool:
        """Whether the thread of `populate_ahead` has nothing left to do."""
        return self.ahead is NULL or ahead_finished(self.ahead)

    # --- the server's interface -------------------------------------------------------------------

    cpdef apply(self, Batch batch, uint64_t time):
        """Executes all requests of `batch` in order, reads included; answers go into the batch.

        `time` (nanoseconds, later than `last_timestamp`) is that of the first written item. A batch with reads only
        changes nothing; one without any request is a tick: it expires what is due.
        Raises CapacityError before anything is applied, ValueError for a time that does not advance.
        """
        cdef bint writes = batch.request_count == 0 or batch.has_writes()
        cdef int outcome
        if writes:
            if time <= self.ledger.last_timestamp:
                raise ValueError(f"time: {time} is not later than {self.ledger.last_timestamp}")
            self.check_capacity(batch, time)
            if (self.exchange.risk.decide is NULL and not batch.decided
                    and (self.exchange.risk.state.limited or batch.limit_count or batch.kill_count or batch.approval_count)
                    and (batch.order_count or batch.amend_count)):
                attach(self)
        with nogil:
            outcome = apply_batch(&self.ledger, &self.exchange, batch, time, writes)
            if writes and self.ahead is not NULL:
                ahead_look(self.ahead, &self.ledger)
                if batch.order_count:
                    exchange_ahead(&self.exchange, self.ahead)
        if outcome != 0:
            raise MemoryError("no memory for the answers of a batch")
        if batch.decided and self.exchange.risk.verdict != batch.verdict_count:
            raise EngineError(f"verdicts: {self.exchange.risk.verdict} of {batch.verdict_count} fit the orders of their batch")
        if CHECKED and writes:
            self.check_invariants()

    cdef check_capacity(self, Batch batch, uint64_t time):
        cdef Ledger* ledger = &self.ledger
        cdef Exchange* exchange = &self.exchange
        cdef uint64_t accounts = batch.account_count
        cdef uint64_t transfers = batch.transfer_count
        cdef uint64_t items = accounts + transfers + batch.update_count + self.check_scopes(batch)
        cdef Growth growth
        exchange_growth(exchange, batch, time, &growth)
        items += growth.timestamps
        if time + max(items, <uint64_t>1) - 1 >= <uint64_t>1 << 63:
            raise ValueError(f"time: {time} is too late for {items} items, the last would be after {TIME_MAX}")
        require("accounts", ledger.account_count, accounts + growth.accounts, ledger.capacity.accounts)
        require("transfers", ledger.transfer_count, transfers + growth.transfers, ledger.capacity.transfers)
        require("burnt", ledger.burnt_count, transfers, ledger.capacity.burnt)
        require("balances", ledger.balance_count, 2 * (transfers + growth.transfers), ledger.capacity.balances)
        require("scope_ranges", ledger.range_count, batch.range_count, ledger.capacity.scope_ranges)
        if growth.timestamps:
            require("orders", exchange.market.order_count, growth.orders, exchange.market.capacity.orders)
            require("open_orders", exchange.market.open_count, growth.orders, exchange.market.capacity.open_orders)
            require("instruments", exchange.market.instrument_count, growth.instruments, exchange.market.capacity.instruments)
            require(
                "trading_accounts", exchange.clearing.account_count, growth.trading_accounts,
                exchange.clearing.capacity.trading_accounts)
            require("links", exchange.clearing.link_count, growth.links, exchange.clearing.capacity.links)
            require("positions", exchange.clearing.position_count, growth.positions, exchange.clearing.capacity.positions)
            require("trades", exchange.clearing.trade_count, growth.trades, exchange.clearing.capacity.trades)
            require("executions", exchange.clearing.execution_count, growth.executions, exchange.clearing.capacity.executions)
            require(
                "desks_and_clients", exchange.risk.named_count, growth.named, exchange.risk.capacity.named + GROUP_FIRST)
            require("limit_pairs", exchange.risk.pair_count, growth.pairs, exchange.risk.capacity.pairs)
            require("proposals", exchange.risk.proposal_count, growth.proposals, exchange.risk.capacity.proposals)
        if (ledger_prepare(ledger, accounts + growth.accounts, transfers) != 0
                or clearing_prepare(&exchange.clearing, growth.orders) != 0):
            raise CapacityError("out of memory for the tables of ids")

    cdef uint64_t check_scopes(self, Batch batch) except? 0:
        """How many scopes the batch defines; CapacityError when one of them has a number too high."""
        cdef uint64_t count = 0
        cdef uint32_t index
        for index in range(batch.request_count):
            if batch.requests[index].kind != KIND_DEFINE_SCOPE:
                continue
            count += 1
            if not 1 <= batch.requests[index].scope <= self.ledger.capacity.scopes:
                raise CapacityError(f"scopes_capacity_reached: scope {batch.requests[index].scope} is not between 1 and "
                                    f"{self.ledger.capacity.scopes}")
        return count

    def headroom(self) -> Headroom:
        """How many more records fit. A transfer may need one of `transfers` or `burnt`, and two of `balances`."""
        cdef Ledger* ledger = &self.ledger
        return Headroom(
            ledger.capacity.accounts - ledger.account_count,
            ledger.capacity.transfers - ledger.transfer_count,
            ledger.capacity.burnt - ledger.burnt_count,
            ledger.capacity.balances - ledger.balance_count,
            self.exchange.market.capacity.orders - self.exchange.market.order_count,
            self.exchange.market.capacity.open_orders - self.exchange.market.open_count,
            self.exchange.clearing.capacity.trades - self.exchange.clearing.trade_count,
            self.exchange.clearing.capacity.executions - self.exchange.clearing.execution_count,
            self.exchange.market.capacity.instruments - self.exchange.market.instrument_count,
            self.exchange.clearing.capacity.trading_accounts - self.exchange.clearing.account_count,
            self.exchange.clearing.capacity.links - self.exchange.clearing.link_count,
            self.exchange.clearing.capacity.positions - self.exchange.clearing.position_count,
            self.exchange.risk.capacity.named + GROUP_FIRST - self.exchange.risk.named_count,
            self.exchange.risk.capacity.pairs - self.exchange.risk.pair_count,
            self.exchange.risk.capacity.proposals - self.exchange.risk.proposal_count,
        )

    @property
    def last_timestamp(self) -> int:
        """Time of the newest item or tick, in nanoseconds; 0 before the first."""
        return self.ledger.last_timestamp

    @property
    def next_expiry(self) -> int:
        """When the next pending transfer or order expires, in nanoseconds; 0 when none will."""
        cdef uint64_t transfer = expiry_next(&self.ledger)
        cdef uint64_t order = exchange_next_expiry(&self.exchange)
        return order if transfer == 0 or 0 < order < transfer else transfer

    @property
    def accounts(self) -> int:
        """Number of accounts."""
        return self.ledger.account_count

    @property
    def transfers(self) -> int:
        """Number of transfers."""
        return self.ledger.transfer_count

    @property
    def pending(self) -> int:
        """Number of transfers that hold money."""
        return self.ledger.pending_count

    @property
    def burnt(self) -> int:
        """Number of burnt ids."""
        return self.ledger.burnt_count

    @property
    def orders(self) -> int:
        """Number of orders that ever were; the newest order's id."""
        return self.exchange.market.order_count

    @property
    def open_orders(self) -> int:
        """Number of orders in books or waiting as stops."""
        return self.exchange.market.open_count

    @property
    def trades(self) -> int:
        """Number of trades; the newest trade's id."""
        return self.exchange.clearing.trade_count

    @property
    def executions(self) -> int:
        """Number of executions; the newest one's id."""
        return self.exchange.clearing.execution_count

    @property
    def slices(self) -> int:
        """Upper bound of the fills that open orders can still have; what a batch may need of the stores grows with it."""
        return self.exchange.market.slices

    @property
    def business_date(self) -> int:
        """The business date as yyyymmdd; 0 before the first end of a day."""
        return self.exchange.clearing.business_date

    @property
    def batches(self) -> int:
        """Number of written batches (ticks included) since the beginning of the log: the seq of its newest entry."""
        return self.exchange.clearing.batch

    @batches.setter
    def batches(self, number: int) -> None:
        # For states of before there was the number: the log knows it.
        self.exchange.clearing.batch = number

    def digest(self) -> bytes:
        """16 bytes that depend on the outcome of everything ever applied: times, statuses, amounts, balances.

        Kept up as it is applied, at no cost to ask for. What commands carry besides (ids, user data) is in `state_hash`,
        and in the hashes of the log.
        """
        return self.ledger.digest_lo.to_bytes(8, "little") + self.ledger.digest_hi.to_bytes(8, "little")

    # --- the embedding interface: one call is one batch -------------------------------------------

    def create_accounts(self, accounts, time: int, *, scope: int = 0):
        """Creates accounts.

        `accounts` is a one-dimensional array of dtype `engine.ACCOUNT_COMMAND`. Returns a RESULT per account.
        """
        self.own.clear()
        requests.append_accounts(self.own, accounts, scope=scope)
        return self.written(time)

    def create_transfers(self, transfers, time: int, *, scope: int = 0):
        """Posts transfers.

        `transfers` is a one-dimensional array of dtype `engine.TRANSFER_COMMAND`. Returns a RESULT per transfer.
        """
        self.own.clear()
        requests.append_transfers(self.own, transfers, scope=scope)
        return self.written(time)

    def update_accounts(self, updates, time: int, *, scope: int = 0):
        """Changes overdraft limits and freezes.

        `updates` is a one-dimensional array of dtype `engine.UPDATE_COMMAND`. Returns a RESULT per update.
        """
        self.own.clear()
        requests.append_updates(self.own, updates, scope=scope)
        return self.written(time)

    def define_scope(self, scope: int, ranges, time: int) -> None:
        """Says which accounts requests of `scope` (from 1) may touch: a SCOPE_RANGE array, sorted and disjoint."""
        check_scope(self.limits, scope, 1)
        self.own.clear()
        requests.append_scope(self.own, scope, ranges)
        self.written(time)

    def tick(self, time: int, Batch told=None) -> None:
        """Lets time pass: what is due expires.

        `told`: a batch that does not write itself; `executions_of` and `trades_of` of it give what this led to.
        """
        self.own.clear()
        self.apply(self.own, check_time(time))
        if told is not None:
            told.execution_first, told.execution_end = self.own.execution_first, self.own.execution_end
            told.trade_first, told.trade_end = self.own.trade_first, self.own.trade_end

    def lookup_accounts(self, ids, *, scope: int = 0):
        """The accounts of these ids (uint64), as ACCOUNT_VIEW; id 0 where there is none."""
        self.own.clear()
        requests.append_lookup_accounts(self.own, ids, scope=scope)
        return self.read()

    def lookup_transfers(self, ids, *, scope: int = 0):
        """The transfers of these ids (uint64, shape (n, 2), low half first), as TRANSFER_VIEW; id 0 where there is none."""
        self.own.clear()
        requests.append_lookup_transfers(self.own, ids, scope=scope)
        return self.read()

    def get_account_transfers(self, filter, *, scope: int = 0):
        """Transfers of the filter's account, oldest first, as TRANSFER_VIEW; `filter` is one FILTER record."""
        return self.search("get_account_transfers", filter, scope)

    def get_account_balances(self, filter, *, scope: int = 0):
        """Balances of the filter's account after each of its transfers, as BALANCE_VIEW; it needs `history`."""
        return self.search("get_account_balances", filter, scope)

    def query_accounts(self, filter, *, scope: int = 0):
        """Accounts that fit the filter, oldest first, as ACCOUNT_VIEW."""
        return self.search("query_accounts", filter, scope)

    def query_transfers(self, filter, *, scope: int = 0):
        """Transfers that fit the filter, oldest first, as TRANSFER_VIEW."""
        return self.search("query_transfers", filter, scope)

    def scope(self, number: int):
        """The ranges of a scope, as SCOPE_RANGE; None if it has never been defined."""
        check_scope(self.limits, number, 1)
        if not self.ledger.scopes[number].defined:
            return None
        first = self.ledger.scopes[number].range_first
        return self.array("ranges")[first:first + self.ledger.scopes[number].range_count].copy()

    # --- orders: the same, see docs/TRADING.md ----------------------------------------------------

    def create_instruments(self, instruments, time: int):
        """Lists instruments (INSTRUMENT_COMMAND). Returns a RESULT per instrument."""
        return self.ordered("create_instruments", instruments, time, 0, None)

    def update_instruments(self, instruments, time: int):
        """Changes the members of instruments that `fields` names. Returns a RESULT per instrument."""
        return self.ordered("update_instruments", instruments, time, 0, None)

    def create_trading_accounts(self, accounts, links, time: int, *, scope: int = 0):
        """Creates trading accounts (TRADING_ACCOUNT_COMMAND) with their links (LINK_COMMAND). Returns a RESULT per account."""
        return self.ordered("create_trading_accounts", accounts, time, scope, links)

    def submit_orders(self, orders, time: int, *, scope: int = 0):
        """Enters orders (ORDER_COMMAND). Returns an ORDER_RESULT per order, and the FILLs that they lead to."""
        return self.ordered("submit_orders", orders, time, scope, None)

    def cancel_orders(self, orders, time: int, *, scope: int = 0):
        """Cancels orders (AMEND_COMMAND). Returns an ORDER_RESULT per order, and no fills."""
        return self.ordered("cancel_orders", orders, time, scope, None)

    def replace_orders(self, orders, time: int, *, scope: int = 0):
        """Changes orders (AMEND_COMMAND). Returns an ORDER_RESULT per order, and the FILLs that this led to."""
        return self.ordered("replace_orders", orders, time, scope, None)

    def mass_cancel(self, conditions, time: int, *, scope: int = 0):
        """Cancels all orders that fit (MASS_CANCEL_COMMAND). Returns an ORDER_RESULT each, with the number as cum_quantity."""
        return self.ordered("mass_cancel", conditions, time, scope, None)

    def set_session(self, sessions, time: int):
        """Changes trading states (SESSION_COMMAND). Returns an ORDER_RESULT each: what was uncrossed, as cum_quantity, and its
        price as leaves_quantity."""
        return self.ordered("set_session", sessions, time, 0, None)

    def end_of_day(self, days, time: int):
        """Ends the business day (DAY_COMMAND: the date that begins, then settlement prices). Returns one ORDER_RESULT."""
        return self.ordered("end_of_day", days, time, 0, None)

    def bust_trades(self, trades, time: int):
        """Busts trades (TRADE_COMMAND), or corrects their price. Returns an ORDER_RESULT each with the trade's id."""
        return self.ordered("bust_trades", trades, time, 0, None)

    def set_limits(self, limits, values, time: int):
        """Sets limits (LIMITS_COMMAND, each with its LIMIT_VALUEs). Returns a RESULT each; of a proposal `reserved` is its id."""
        return self.ordered("set_limits", limits, time, 0, values)

    def approve_limits(self, approvals, time: int):
        """Approves or declines proposals (APPROVAL_COMMAND). Returns a RESULT each."""
        return self.ordered("approve_limits", approvals, time, 0, None)

    def kill_switch(self, kills, time: int):
        """Stops new orders and cancels open ones (KILL_COMMAND). Returns an ORDER_RESULT each, with the number as cum_quantity."""
        return self.ordered("kill_switch", kills, time, 0, None)

    def get_limits(self, filter):
        """Limits and exposures that fit a LIMITS_FILTER, as LIMITS_VIEW."""
        return self.limits_asked("get_limits", filter)

    def get_proposals(self, filter):
        """Raises that wait or waited for a second person, as PROPOSAL, by id."""
        return self.limits_asked("get_proposals", filter)

    def verdicts(self):
        """The refusals by limits of the last call that entered or replaced orders, as VERDICT."""
        return order_requests.verdicts(self.own)

    def attach_checks(self, size_t decide, own=()) -> None:
        """Which compiled functions hold orders to their limits: addresses, see `engine.risk.attach`."""
        if len(own) > CHECKS_MAX:
            raise ValueError(f"own: {len(own)} checks are more than {CHECKS_MAX}")
        self.exchange.risk.decide = <Decide>decide
        self.exchange.risk.check_count = 0
        for address in own:
            self.exchange.risk.checks[self.exchange.risk.check_count] = <OwnCheck><size_t>address
            self.exchange.risk.check_count += 1

    cdef limits_asked(self, str method, filter):
        self.own.clear()
        order_requests.append_limits_read(self.own, method, filter, limit_max=self.limits.query_limit_max)
        self.apply(self.own, 0)
        status = requests.status(self.own, 0)
        if status == TRADING_ACCOUNT_NOT_FOUND:
            raise ValueError("filter.id: there is no such trading account")
        if status == UNKNOWN_INSTRUMENT:
            raise ValueError("filter.id: there is no such instrument")
        return order_requests.answers(self.own, 0)

    def get_orders(self, filter, *, scope: int = 0):
        """Orders that fit an ORDER_FILTER, as ORDER_VIEW, by id."""
        return self.asked("get_orders", filter, scope)

    def get_trades(self, filter, *, scope: int = 0):
        """Trades that fit an ORDER_FILTER, as TRADE_VIEW, by id."""
        return self.asked("get_trades", filter, scope)

    def get_positions(self, filter, *, scope: int = 0):
        """Positions that fit an ORDER_FILTER, as POSITION_VIEW."""
        return self.asked("get_positions", filter, scope)

    def get_executions(self, filter, *, scope: int = 0):
        """Executions that fit an ORDER_FILTER, as EXECUTION_VIEW, by id."""
        return self.asked("get_executions", filter, scope)

    def get_book(self, filter):
        """The book of an ORDER_FILTER's symbol: a BOOK_VIEW, and its LEVEL_VIEWs, bids then asks, best first."""
        return self.asked("get_book", filter, 0)

    def get_instruments(self, filter):
        """The state of instruments, as BOOK_VIEW."""
        return self.asked("get_instruments", filter, 0)

    def executions_of(self, Batch batch not None):
        """The executions of an applied batch, as EXECUTION_VIEW: for whoever tells them to their owners, after the commit."""
        cdef uint64_t first = batch.execution_first
        cdef uint64_t index
        cdef ExecutionView[::1] views
        array = np.empty(batch.execution_end - first, dtype=order_records.EXECUTION_VIEW)
        views = array
        for index in range(views.shape[0]):
            view_execution(&self.exchange, <uint32_t>(first + index), &views[index])
        return array

    def trades_of(self, Batch batch not None):
        """The trades of an applied batch, as TRADE_VIEW."""
        cdef uint64_t index
        cdef TradeView[::1] views
        array = np.empty(batch.trade_end - batch.trade_first, dtype=order_records.TRADE_VIEW)
        views = array
        for index in range(views.shape[0]):
            view_trade(&self.exchange, <uint32_t>(batch.trade_first + index), &views[index])
        return array

    def touched(self) -> list:
        """Numbers of the instruments whose books the newest batch changed."""
        return [self.exchange.market.touched[index] for index in range(self.exchange.market.touched_count)]

    def book(self, uint32_t number, uint32_t depth):
        """The book of instrument `number` as it is now: a BOOK_VIEW, and up to `depth` LEVEL_VIEWs per side."""
        cdef BookView[::1] view
        cdef LevelView[::1] levels
        if number >= self.exchange.market.instrument_count:
            raise IndexError(f"instrument {number} of {self.exchange.market.instrument_count}")
        views = np.empty(1, dtype=order_records.BOOK_VIEW)
        view = views
        view_book(&self.exchange, number, &view[0])
        view[0].bids = min(depth, self.exchange.market.instruments[number].sides[0].levels)
        view[0].asks = min(depth, self.exchange.market.instruments[number].sides[1].levels)
        found = np.empty(view[0].bids + view[0].asks + 1, dtype=order_records.LEVEL_VIEW)
        levels = found
        view_levels(&self.exchange, number, 0, view[0].bids, &levels[0])
        view_levels(&self.exchange, number, 1, view[0].asks, &levels[view[0].bids])
        return views[0], found[:len(found) - 1]

    cdef ordered(self, str method, items, time, scope, links):
        self.own.clear()
        order_requests.append(self.own, method, items, links=links, scope=scope)
        self.apply(self.own, check_time(time))
        return order_requests.answers(self.own, 0)

    cdef asked(self, str method, filter, scope):
        cdef int status
        self.own.clear()
        order_requests.append_read(self.own, method, filter, limit_max=self.limits.query_limit_max, scope=scope)
        self.apply(self.own, 0)
        status = requests.status(self.own, 0)
        if status == SCAN_LIMIT_REACHED:
            raise EngineError(f"scan_limit_reached: {self.limits.scan_max} records do not answer it; narrow the filter")
        if status == NOT_PERMITTED:
            raise PermissionError(f"filter.account_id: {np.atleast_1d(filter)['account_id'][0]} is outside scope {scope}")
        if status == UNKNOWN_INSTRUMENT:
            raise ValueError("filter.symbol: there is no such instrument")
        return order_requests.answers(self.own, 0)

    cdef written(self, time):
        self.apply(self.own, check_time(time))
        return requests.answers(self.own, 0)

    cdef read(self):
        self.apply(self.own, 0)
        return requests.answers(self.own, 0)

    cdef search(self, str method, filter, scope):
        cdef int status
        self.own.clear()
        requests.append_search(self.own, method, filter, limit_max=self.limits.query_limit_max, scope=scope)
        answers = self.read()
        status = requests.status(self.own, 0)
        if status == NO_HISTORY:
            raise ValueError(f"filter.account_id: {np.atleast_1d(filter)['account_id'][0]} has no history flag")
        if status == NOT_PERMITTED:
            raise PermissionError(f"filter.account_id: {np.atleast_1d(filter)['account_id'][0]} is outside scope {scope}")
        if status == SCAN_LIMIT_REACHED:
            raise EngineError(
                f"scan_limit_reached: {self.limits.scan_max} records do not answer it; "
                "narrow timestamp_min and timestamp_max")
        return answers

    # --- the whole state --------------------------------------------------------------------------

    def array(self, name: str):
        """One store as a read-only array over the engine's own memory: valid until the next batch. For tests and tools."""
        cdef Ledger* ledger = &self.ledger
        cdef Exchange* exchange = &self.exchange
        cdef uint32_t scopes = self.scopes_defined()
        if name == "accounts":
            return over(<char*>ledger.accounts, ledger.account_count, records.ACCOUNT)
        if name == "details":
            return over(<char*>ledger.details, ledger.account_count, records.ACCOUNT_DETAIL)
        if name == "transfers":
            return over(<char*>ledger.transfers, ledger.transfer_count, records.TRANSFER)
        if name == "burnt":
            return over(<char*>ledger.burnt, 2 * <uint64_t>ledger.burnt_count, np.dtype(np.uint64)).reshape(-1, 2)
        if name == "balances":
            return over(<char*>ledger.balances, ledger.balance_count, records.BALANCE)
        if name == "index":
            return over(<char*>ledger.index, ledger.index_count, np.dtype(np.uint32))
        if name == "scopes":
            return over(<char*>ledger.scopes, 3 * <uint64_t>scopes, np.dtype(np.uint32)).reshape(-1, 3)
        if name == "ranges":
            return over(<char*>ledger.ranges, ledger.range_count, records.SCOPE_RANGE)
        if name == "exchange":
            self.note_exchange_state()
            return over(<char*>&self.exchange_state, 1, settlement.EXCHANGE_STATE)
        if name == "instruments":
            return over(<char*>exchange.market.instruments, exchange.market.instrument_count, books.INSTRUMENT)
        if name == "orders":
            return over(<char*>exchange.market.orders, exchange.market.order_count, books.ORDER)
        if name == "order_details":
            return over(<char*>exchange.market.details, exchange.market.order_count, books.ORDER_DETAIL)
        if name == "levels":
            return over(<char*>exchange.market.levels, exchange.market.level_count, books.LEVEL)
        if name == "nodes":
            return over(<char*>exchange.market.nodes, exchange.market.node_count, books.NODE)
        if name == "trading_accounts":
            return over(<char*>exchange.clearing.accounts, exchange.clearing.account_count, settlement.TRADING_ACCOUNT)
        if name == "links":
            return over(<char*>exchange.clearing.links, exchange.clearing.link_count, settlement.LINK)
        if name == "holdings":
            return over(<char*>exchange.clearing.holdings, exchange.clearing.holding_count, settlement.HOLDING)
        if name == "positions":
            return over(<char*>exchange.clearing.positions, exchange.clearing.position_count, settlement.POSITION)
        if name == "trades":
            return over(<char*>exchange.clearing.trades, exchange.clearing.trade_count, settlement.TRADE)
        if name == "risk":
            return over(<char*>&exchange.risk.state, 1, risks.RISK_STATE)
        if name == "named_groups":
            return over(<char*>exchange.risk.named, exchange.risk.named_count, risks.GROUP)
        if name == "account_groups":
            return over(<char*>exchange.risk.accounts, exchange.risk.account_count, risks.GROUP)
        if name == "instrument_groups":
            return over(<char*>exchange.risk.instruments, exchange.risk.instrument_count, risks.GROUP)
        if name == "position_risks":
            return over(<char*>exchange.risk.positions, exchange.risk.position_count, risks.POSITION_RISK)
        if name == "limit_pairs":
            return over(<char*>exchange.risk.pairs, exchange.risk.pair_count, risks.PAIR)
        if name == "proposals":
            return over(<char*>exchange.risk.proposals, exchange.risk.proposal_count, risk_records.PROPOSAL)
        if name == "executions":
            return over(<char*>exchange.clearing.executions, exchange.clearing.execution_count, settlement.EXECUTION)
        raise KeyError(name)

    cdef note_exchange_state(self):
        cdef ExchangeState* state = &self.exchange_state
        state.batch = self.exchange.clearing.batch
        state.slices = self.exchange.market.slices
        state.business_date = self.exchange.clearing.business_date
        state.open_count = self.exchange.market.open_count
        state.level_count = self.exchange.market.level_count
        state.level_free = self.exchange.market.level_free
        state.node_count = self.exchange.market.node_count
        state.node_free = self.exchange.market.node_free

    cdef uint32_t scopes_defined(self):
        """1 + the highest scope that is defined."""
        cdef uint32_t number = self.ledger.capacity.scopes
        while number and not self.ledger.scopes[number].defined:
            number -= 1
        return number + 1

    def sections(self) -> list:
        """The whole logical state as (name, array), header first: what is hashed and what a snapshot holds."""
        header = snapshots.header(
            {name: len(self.array(name)) for name in snapshots.SECTIONS}, self.ledger.last_timestamp, self.digest())
        return [("header", header), *((name, self.array(name)) for name in snapshots.SECTIONS)]

    def state_hash(self) -> bytes:
        """SHA-256 over the whole state; two engines are equal exactly when it is. About a second per 10 million transfers."""
        return snapshots.state_hash(self.sections())

    def check_invariants(self) -> None:
        """Recomputes balances, holds, histories and indexes from the transfers; raises InvariantError. Slow."""
        invariants.check(self)

    def find(self, account_ids=None, transfer_ids=None) -> list:
        """Slots by id as the tables give them (None: not found), for check_invariants."""
        cdef uint32_t slot
        slots = []
        if account_ids is not None:
            for id in account_ids:
                slot = account_slot(&self.ledger, id)
                slots.append(None if slot == NONE else slot)
        if transfer_ids is not None:
            for lo, hi in transfer_ids:
                slot = transfer_slot(&self.ledger, lo, hi)
                slots.append(None if slot == NONE else slot)
        return slots

    def buckets(self, transfer_ids) -> list:
        """Where the table looks first for each id (a pair of halves), for tests of the keyed hash."""
        return [transfer_hash(&self.ledger, lo, hi) & self.ledger.transfer_ids.mask for lo, hi in transfer_ids]

    def snapshot(self, path) -> bytes:
        """Writes the state to `path` (through a temporary file, so that `path` is whole or absent); returns the state hash."""
        return snapshots.write(self.sections(), path)

    def snapshot_fork(self, path):
        """The same from a forked child, which sees the state as it is now while this engine goes on; returns a SnapshotJob."""
        return snapshots.fork_write(self.sections(), path)

    @classmethod
    def restore(cls, path, limits: Limits | None = None, *, hash_key: bytes = b""):
        """An engine with the state of a snapshot; SnapshotError when it is damaged, CapacityError when `limits` are too small."""
        cdef Engine engine = cls(limits, hash_key=hash_key)
        with snapshots.Source(path) as source:
            engine.adopt(source)
        return engine

    cdef adopt(self, source):
        cdef Ledger* ledger = &self.ledger
        cdef int outcome
        counts = source.counts
        for name, most in (
            ("accounts", ledger.capacity.accounts), ("transfers", ledger.capacity.transfers),
            ("burnt", ledger.capacity.burnt), ("balances", ledger.capacity.balances),
            ("index", ledger.index_capacity), ("scopes", ledger.capacity.scopes + 1),
            ("ranges", ledger.capacity.scope_ranges),
        ):
            if counts[name] > most:
                raise CapacityError(f"{name}_capacity_reached: the snapshot holds {counts[name]}, the limit is {most}")
        ledger.account_count = counts["accounts"]
        ledger.transfer_count = counts["transfers"]
        ledger.burnt_count = counts["burnt"]
        ledger.balance_count = counts["balances"]
        ledger.index_count = counts["index"]
        ledger.range_count = counts["ranges"]
        for name, base, size in (
            ("accounts", <size_t>ledger.accounts, sizeof(Account)),
            ("details", <size_t>ledger.details, sizeof(AccountDetail)),
            ("transfers", <size_t>ledger.transfers, sizeof(Transfer)),
            ("burnt", <size_t>ledger.burnt, sizeof(Id128)),
            ("balances", <size_t>ledger.balances, sizeof(Balance)),
            ("index", <size_t>ledger.index, 4),
            ("scopes", <size_t>ledger.scopes, 12),
            ("ranges", <size_t>ledger.ranges, sizeof(ScopeRange)),
        ):
            if counts[name]:
                source.read_into(writable(<char*><size_t>base, counts[name] * <size_t>size))
        self.read_exchange(source)
        source.verify()
        self.adopt_exchange(counts)
        ledger.last_timestamp = source.last_timestamp
        ledger.digest_lo = int.from_bytes(source.digest[:8], "little")
        ledger.digest_hi = int.from_bytes(source.digest[8:], "little")
        with nogil:
            outcome = ledger_reindex(ledger)
            if outcome == 0:
                expiry_rebuild(ledger)
                outcome = exchange_rebuild(&self.exchange)
        if outcome != 0:
            raise MemoryError("no memory for the tables of ids")


    cdef read_exchange(self, source):
        cdef Exchange* exchange = &self.exchange
        counts = source.counts
        for name, most in (
            ("exchange", 1), ("instruments", exchange.market.capacity.instruments),
            ("orders", exchange.market.capacity.orders), ("levels", exchange.market.capacity.open_orders + 1),
            ("nodes", NODES_PER_LEVEL * (<uint64_t>exchange.market.capacity.open_orders + 1)),
            ("trading_accounts", exchange.clearing.capacity.trading_accounts), ("links", exchange.clearing.capacity.links),
            ("holdings", exchange.clearing.capacity.links), ("positions", exchange.clearing.capacity.positions),
            ("trades", exchange.clearing.capacity.trades), ("executions", exchange.clearing.capacity.executions),
            ("risk", 1), ("named_groups", <uint64_t>exchange.risk.capacity.named + GROUP_FIRST),
            ("account_groups", exchange.clearing.capacity.trading_accounts),
            ("instrument_groups", exchange.market.capacity.instruments), ("position_risks", exchange.clearing.capacity.positions),
            ("limit_pairs", exchange.risk.capacity.pairs), ("proposals", exchange.risk.capacity.proposals),
        ):
            if counts[name] > most:
                raise CapacityError(f"{name}_capacity_reached: the snapshot holds {counts[name]}, the limit is {most}")
        for name, base, size in (
            ("exchange", <size_t>&self.exchange_state, sizeof(ExchangeState)),
            ("instruments", <size_t>exchange.market.instruments, sizeof(Instrument)),
            ("orders", <size_t>exchange.market.orders, sizeof(Order)),
            ("order_details", <size_t>exchange.market.details, sizeof(OrderDetail)),
            ("levels", <size_t>exchange.market.levels, sizeof(Level)),
            ("nodes", <size_t>exchange.market.nodes, sizeof(Node)),
            ("trading_accounts", <size_t>exchange.clearing.accounts, sizeof(TradingAccount)),
            ("links", <size_t>exchange.clearing.links, sizeof(Link)),
            ("holdings", <size_t>exchange.clearing.holdings, sizeof(Holding)),
            ("positions", <size_t>exchange.clearing.positions, sizeof(Position)),
            ("trades", <size_t>exchange.clearing.trades, sizeof(Trade)),
            ("executions", <size_t>exchange.clearing.executions, sizeof(Execution)),
            ("risk", <size_t>&exchange.risk.state, sizeof(RiskState)),
            ("named_groups", <size_t>exchange.risk.named, sizeof(Group)),
            ("account_groups", <size_t>exchange.risk.accounts, sizeof(Group)),
            ("instrument_groups", <size_t>exchange.risk.instruments, sizeof(Group)),
            ("position_risks", <size_t>exchange.risk.positions, sizeof(PositionRisk)),
            ("limit_pairs", <size_t>exchange.risk.pairs, sizeof(Pair)),
            ("proposals", <size_t>exchange.risk.proposals, sizeof(Proposal)),
        ):
            if counts[name]:
                source.read_into(writable(<char*><size_t>base, counts[name] * <size_t>size))

    cdef adopt_exchange(self, counts):
        cdef Exchange* exchange = &self.exchange
        cdef ExchangeState* state = &self.exchange_state
        if not counts["exchange"]:
            return                      # of before there were orders
        if state.open_count > exchange.market.capacity.open_orders:
            raise CapacityError(f"open_orders_capacity_reached: the snapshot holds {state.open_count}, the limit is "
                                f"{exchange.market.capacity.open_orders}")
        exchange.market.instrument_count = counts["instruments"]
        exchange.market.order_count = counts["orders"]
        exchange.market.level_count = counts["levels"]
        exchange.market.node_count = counts["nodes"]
        exchange.market.level_free = state.level_free
        exchange.market.node_free = state.node_free
        exchange.market.open_count = state.open_count
        exchange.market.slices = state.slices
        exchange.clearing.account_count = counts["trading_accounts"]
        exchange.clearing.link_count = counts["links"]
        exchange.clearing.holding_count = counts["holdings"]
        exchange.clearing.position_count = counts["positions"]
        exchange.clearing.trade_count = counts["trades"]
        exchange.clearing.execution_count = counts["executions"]
        if counts["named_groups"]:
            exchange.risk.named_count = counts["named_groups"]
        exchange.risk.account_count = counts["account_groups"]
        exchange.risk.instrument_count = counts["instrument_groups"]
        exchange.risk.position_count = counts["position_risks"]
        exchange.risk.pair_count = counts["limit_pairs"]
        exchange.risk.proposal_count = counts["proposals"]
        exchange.clearing.batch = state.batch
        exchange.clearing.business_date = state.business_date


cdef int require(str name, uint64_t used, uint64_t more, uint64_t most) except -1:
    """CapacityError when a batch may need more of a store than is free."""
    if used + more > most:
        raise CapacityError(f"{name}_capacity_reached: {used} of {most} are taken, {more} more may be needed")
    return 0


cdef attach(Engine engine):
    """The kernel, when somebody needs it who has not asked for it; Numba is imported only now."""
    from engine import risk
    risk.attach(engine)


cdef uint32_t account_slot(Ledger* ledger, uint64_t id) noexcept nogil:
    return account_lookup(ledger, id)


cdef uint32_t transfer_slot(Ledger* ledger, uint64_t lo, uint64_t hi) noexcept nogil:
    if lo == ENGINE_ID_LO:
        return transfer_generated(ledger, lo, hi)
    return transfer_find(ledger, lo, hi, transfer_hash(ledger, lo, hi))


cdef over(char* base, uint64_t count, dtype):
    """A read-only array over the engine's memory."""
    if count == 0:
        return np.empty(0, dtype=dtype)
    array = np.frombuffer(<const char[:count * <uint64_t>dtype.itemsize]>base, dtype=dtype)
    array.flags.writeable = False
    return array


cdef writable(char* base, size_t size):
    return memoryview(<char[:size]>base).cast("B")


cdef check_scope(limits, scope, int least):
    if not least <= scope <= limits.scopes_max:
        raise ValueError(f"scope: {scope} is not between {least} and {limits.scopes_max}")


cdef check_time(time):
    if not 0 < time <= TIME_MAX:
        raise ValueError(f"time: {time} is not between 1 and {TIME_MAX}")
    return time


cdef int apply_batch(Ledger* ledger, Exchange* exchange, Batch batch, uint64_t time, bint writes) noexcept nogil:
    """One request after the other, at the exchange's clock. Runs of create_transfers go through together, so that their
    items are prefetched across requests."""
    cdef uint32_t index = 0
    cdef Request* request
    if writes:
        exchange.clearing.batch += 1
        exchange.clearing.clock = time
        touched_clear(&exchange.market)
        exchange_begin(exchange, batch, time)
        expire_due(ledger, time)
        batch.execution_first = exchange.clearing.execution_count
        batch.trade_first = exchange.clearing.trade_count
        exchange_expire(exchange, time)
    while index < batch.request_count:
        request = &batch.requests[index]
        if request.kind > KIND_READ:
            if request.kind == KIND_GET_LIMITS or request.kind == KIND_GET_PROPOSALS:
                if read_limits(exchange, batch, index) != 0:
                    return -1
            elif request.kind >= KIND_GET_ORDERS:
                if request.kind < KIND_EDGE and read_orders(exchange, batch, index) != 0:
                    return -1
            elif read_request(ledger, batch, index) != 0:
                return -1
            index += 1
        elif request.kind >= KIND_CREATE_INSTRUMENTS:
            if exchange_request(exchange, batch, index) != 0:
                return -1
            index += 1
        else:
            index = apply_run(ledger, batch, index, &exchange.clearing.clock)
            if index == NONE:
                return -1
    if writes:
        batch.execution_end = exchange.clearing.execution_count
        batch.trade_end = exchange.clearing.trade_count
        ledger.last_timestamp = exchange.clearing.clock - 1 if exchange.clearing.clock > time else time
    return 0


cdef uint32_t apply_run(Ledger* ledger, Batch batch, uint32_t index, uint64_t* clock) noexcept nogil:
    """One written request of the ledger, or several create_transfers; the next one's index, NONE when memory is out."""
    cdef Request* request = &batch.requests[index]
    cdef uint32_t run_end = index + 1
    cdef uint32_t item_count = request.item_count
    cdef uint32_t first
    cdef Result* results
    if request.kind == KIND_CREATE_TRANSFERS:
        while run_end < batch.request_count and batch.requests[run_end].kind == KIND_CREATE_TRANSFERS:
            item_count += batch.requests[run_end].item_count
            run_end += 1
    elif request.kind == KIND_DEFINE_SCOPE:
        item_count = 1
    results = batch.append_results(item_count)
    if results is NULL:
        return NONE
    first = batch.result_count - item_count
    while index < run_end:
        batch.requests[index].answer_first = first
        batch.requests[index].answer_count = (
            1 if batch.requests[index].kind == KIND_DEFINE_SCOPE else batch.requests[index].item_count)
        first += batch.requests[index].answer_count
        index += 1
    if request.kind == KIND_CREATE_TRANSFERS:
        create_transfers(
            ledger, request, run_end - <uint32_t>(request - batch.requests),
            &batch.transfers[request.item_first], results, clock[0])
    elif request.kind == KIND_CREATE_ACCOUNTS:
        create_accounts(ledger, request, &batch.accounts[request.item_first], results, clock[0])
    elif request.kind == KIND_UPDATE_ACCOUNTS:
        update_accounts(ledger, request, &batch.updates[request.item_first], results, clock[0])
    else:
        define_scope(ledger, request, &batch.ranges[request.item_first], results, clock[0])
    clock[0] += item_count
    return run_end
