"""A slow, plain model of docs/TRADING.md: one method per command, every rule where the page has it.

It shares nothing with the engine but the names and numbers of its answers. The accounts are those of the plain
ledger; `generated` lists every transfer that trading made, `executions` everything that happened to orders.

A batch is one call: `begin(time)`, then the items. GTD orders and pending transfers expire in `begin`.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any

from engine.order_results import (
    SESSION_ANY,
    ExecutionKind,
    Offset,
    OrderStatus,
    OrderType,
    Reason,
    Session,
    Side,
    TimeInForce,
    TradeState,
)
from engine.results import INT63_MAX
from tests.models.risk import NotSet, Risk
from tests.models.risk_records import Approval, KillSwitch, LimitName, LimitScope, LimitsResult, SetLimits
from tests.models.trading_book import Book
from tests.models.trading_records import (
    Amend,
    Execution,
    Fill,
    Instrument,
    InstrumentTerms,
    MassCancel,
    NewOrder,
    NewTradingAccount,
    Order,
    OrderResult,
    SessionChange,
    Trade,
    TradingAccount,
)
from tests.models.trading_settlement import CLOSED, FROZEN, Refused

SLICES_MAX = 1_000
"""An iceberg shows at least a thousandth of itself."""

AT_ONCE = {TimeInForce.IOC, TimeInForce.FOK}
STOPS = {OrderType.STOP, OrderType.STOP_LIMIT}


class Trading(Book):
    """The model. Every answer is a list of OrderResult, one per item."""

    def __init__(self) -> None:
        super().__init__()
        self.instruments: dict[str, Instrument] = {}
        self.accounts: dict[int, TradingAccount] = {}
        self._known: dict[tuple[int, int], Order] = {}
        self._time = self._items = 0
        self.risk = Risk(self)
        self.times: deque[int] = deque()
        """When the next items have their turn, where somebody else says so; else one nanosecond after the other."""

    def _now(self) -> int:
        """The next item's turn."""
        self._items += 1
        return self.times.popleft() if self.times else self._time + self._items - 1

    def begin(self, time: int) -> None:
        """A batch at `time`: what is due expires. More requests of the same batch change nothing here."""
        if time == self._time:
            return
        self.risk.revalue(time)
        self.ledger.begin(time)
        self._time, self._items = time, 0
        due = [o for o in self._open() if o.command.time_in_force == TimeInForce.GTD and o.command.expire_time <= time]
        for order in sorted(due, key=lambda o: (o.command.expire_time, o.id)):
            self.close(order, OrderStatus.EXPIRED, ExecutionKind.EXPIRED, Reason.NONE)

    def _open(self) -> list[Order]:
        return [order for order in self.orders if order.place]

    # --- instruments and trading accounts -----------------------------------------------------------

    def create_instruments(self, items: Iterable[InstrumentTerms], time: int) -> None:
        self.begin(time)
        for terms in items:
            assert terms.symbol not in self.instruments
            instrument = Instrument(len(self.instruments), terms, terms.session)
            instrument.breaker_price = terms.reference_price
            self.instruments[terms.symbol] = instrument
            self.risk.new_instrument(instrument)
            self.open_clearing(terms.base_ledger)
            self.open_clearing(terms.quote_ledger)

    def update_instrument(self, symbol: str, changes: dict[str, Any], time: int) -> None:
        """Members of the terms that may change, by name."""
        self.begin(time)
        instrument = self.instruments[symbol]
        instrument.terms = instrument.terms._replace(**changes)
        instrument.breaker_price = changes.get("reference_price", instrument.breaker_price)

    def create_trading_accounts(self, items: Iterable[NewTradingAccount], time: int) -> None:
        self.begin(time)
        for item in items:
            assert item.id not in self.accounts
            account = TradingAccount(item.id, len(self.accounts), dict(item.links), item.owner, item.desk)
            self.accounts[item.id] = account
            self.risk.new_account(account)

    def _permitted(self, account: TradingAccount, scope: int) -> bool:
        return all(self.ledger._permitted(scope, account_id) for account_id in account.links.values())

    # --- submit ------------------------------------------------------------------------------------

    def submit_orders(self, items: Sequence[NewOrder], time: int, *, scope: int = 0) -> list[OrderResult]:
        self.begin(time)
        return [self._submit(item, scope) for item in items]

    def _submit(self, item: NewOrder, scope: int) -> OrderResult:
        now = self._now()
        account = self.accounts.get(item.account_id)
        if account is None:
            return OrderResult(OrderStatus.REJECTED, Reason.UNKNOWN_ACCOUNT)
        if not self._permitted(account, scope):
            return OrderResult(OrderStatus.REJECTED, Reason.NOT_PERMITTED)
        known = self._known.get((item.account_id, item.client_order_id))
        if known is not None:
            return self._answer(known, OrderStatus.EXISTS, 0)
        instrument = self.instruments.get(item.symbol)
        if instrument is None:
            return OrderResult(OrderStatus.REJECTED, Reason.UNKNOWN_INSTRUMENT)

        self.position(account, instrument)
        self.risk.new_position(account, instrument)
        order = Order(
            id=len(self.orders) + 1,
            command=item,
            account=account,
            instrument=instrument,
            price=item.price,
            stop_price=item.stop_price if item.type in STOPS else 0,
            quantity=item.quantity,
            leaves=item.quantity,
        )
        self.orders.append(order)
        self._known[item.account_id, item.client_order_id] = order
        first = len(self.executions)
        try:
            amount, fees = self._check(order, now)
        except Refused as refused:
            self.forget_closing(order)
            order.leaves = 0
            order.status, order.reason = OrderStatus.REJECTED, refused.reason
            self.record(order, ExecutionKind.REJECTED, refused.reason)
            return self._answer(order, order.status, first)._replace(finding=refused.finding)
        self.hold(order, amount, fees)
        self.risk.opened(order, now)
        self.risk.take_token(order, now)
        self.record(order, ExecutionKind.NEW)
        if item.type in STOPS:
            self.wait(order)
        elif instrument.session == Session.CONTINUOUS:
            self.enter(order)
        else:
            self.rest(order)
        self._run_stops(instrument)
        return self._answer(order, order.status, first)

    def _answer(self, order: Order, status: OrderStatus, first: int) -> OrderResult:
        """The order as it is now, with its fills since execution `first`."""
        fills = tuple(
            Fill(e.trade_id, e.last_px, e.last_qty, e.fee)
            for e in self.executions[first:]
            if e.order_id == order.id and e.kind == ExecutionKind.FILL
        )
        known_as = order.status if status == OrderStatus.EXISTS else OrderStatus.NEW
        return OrderResult(status, order.reason, order.id, order.filled, order.leaves, fills, known_as)

    def _run_stops(self, instrument: Instrument) -> None:
        """One by one, the lowest order id first, looked at again after each."""
        while instrument.session == Session.CONTINUOUS:
            triggered = [o for o in instrument.stops if self._is_triggered(o)]
            if not triggered:
                return
            order = min(triggered, key=lambda o: o.id)
            self.take_out(order)
            self.record(order, ExecutionKind.TRIGGERED)
            self.enter(order)

    @staticmethod
    def _is_triggered(order: Order) -> bool:
        last = order.instrument.last_price
        return last != 0 and (last >= order.stop_price if order.buys else last <= order.stop_price)

    # The checks, in the order of the page.

    def _check(self, order: Order, now: int) -> tuple[int, int]:
        """Raises Refused; else what the order must hold, and how much of it for fees."""
        self._check_session(order)
        self._check_combination(order)
        self._check_quantity(order, order.command.quantity)
        self._check_ticks(order)
        self._check_limits(order)
        if order.price and order.instrument.notional(order.price, order.leaves) > INT63_MAX:
            raise Refused(Reason.OVERFLOW)
        self._check_room(order, order.leaves)
        self._check_accounts(order)
        self._check_liquidity(order)
        self.risk.look(order, None, now)
        return self._check_funds(order)

    @staticmethod
    def _check_session(order: Order) -> None:
        item, session = order.command, order.instrument.session
        if session in {Session.CLOSED, Session.HALTED}:
            raise Refused(Reason.SESSION_CLOSED)
        if session != Session.CONTINUOUS and (
            item.type == OrderType.MARKET or item.time_in_force in AT_ONCE or item.post_only
        ):
            raise Refused(Reason.TYPE_NOT_ALLOWED)

    def _check_combination(self, order: Order) -> None:
        item = order.command
        wrong = (
            (item.type in {OrderType.LIMIT, OrderType.STOP_LIMIT} and not item.price)
            or (item.type in STOPS and not item.stop_price)
            or (item.type in STOPS and item.time_in_force in AT_ONCE)
            or (item.time_in_force == TimeInForce.GTD and item.expire_time <= self._time)
            or ((item.display_quantity or item.post_only) and item.type != OrderType.LIMIT)
            or (item.post_only and item.time_in_force in AT_ONCE)
            or (item.offset != Offset.AUTO and not order.instrument.futures)
        )
        if wrong:
            raise Refused(Reason.INVALID_COMBINATION)

    @staticmethod
    def _check_quantity(order: Order, quantity: int) -> None:
        lot, display = order.instrument.terms.lot_size, order.command.display_quantity
        if quantity == 0 or quantity % lot or quantity > INT63_MAX:
            raise Refused(Reason.QUANTITY_NOT_IN_LOTS)
        if display and (display % lot or display * SLICES_MAX < quantity):
            raise Refused(Reason.QUANTITY_NOT_IN_LOTS)

    @staticmethod
    def _check_ticks(order: Order) -> None:
        item, instrument = order.command, order.instrument
        if item.display_quantity > item.quantity:
            raise Refused(Reason.QUANTITY_NOT_IN_LOTS)
        if item.price and not instrument.on_tick(item.price):
            raise Refused(Reason.PRICE_NOT_ON_TICK)
        if item.type in STOPS and not instrument.on_tick(item.stop_price):
            raise Refused(Reason.PRICE_NOT_ON_TICK)

    def _check_limits(self, order: Order) -> None:
        """Band and cage; gives a stop without a price its protection price."""
        item, instrument = order.command, order.instrument
        low, high = instrument.band()
        if item.price and not low <= item.price <= high:
            raise Refused(Reason.PRICE_OUTSIDE_BAND)
        if item.type not in STOPS and item.price:
            self._check_cage(order, item.price)
        if item.type == OrderType.STOP and not item.price:
            order.price = instrument.protection(item.stop_price, item.side)

    @staticmethod
    def _check_cage(order: Order, price: int) -> None:
        instrument = order.instrument
        ppm = instrument.terms.price_cage_ppm
        if not ppm or instrument.session != Session.CONTINUOUS:
            return
        best = instrument.best(order.opposite)
        if not best:
            return
        low, high = instrument.around(best, ppm)
        if price > high if order.buys else price < low:
            raise Refused(Reason.PRICE_OUTSIDE_BAND)

    @staticmethod
    def _check_room(order: Order, more: int) -> None:
        """All open quantities of a side stay below 2^63."""
        instrument = order.instrument
        same = [*instrument.side(order.side), *(o for o in instrument.stops if o.side == order.side)]
        if sum(o.leaves for o in same) + more > INT63_MAX:
            raise Refused(Reason.OVERFLOW)

    def _check_accounts(self, order: Order) -> None:
        links, terms = order.account.links, order.instrument.terms
        if terms.quote_ledger not in links or (terms.base_ledger not in links and not order.instrument.futures):
            raise Refused(Reason.LEDGER_NOT_LINKED)
        flags = self.account(self.payer(order)).flags
        if flags & CLOSED:
            raise Refused(Reason.ACCOUNT_CLOSED)
        if flags & FROZEN:
            raise Refused(Reason.ACCOUNT_FROZEN)

    def _check_liquidity(self, order: Order) -> None:
        """What must be in the book, or must not; gives a market order its protection price."""
        item, instrument = order.command, order.instrument
        if item.type == OrderType.MARKET:
            best = instrument.best(order.opposite)
            if not order.price and best:
                order.price = instrument.protection(best, order.side)
            if not order.price or not any(self.meets(order)):
                raise Refused(Reason.NO_LIQUIDITY)
        best = instrument.best(order.opposite)
        if item.post_only and best and order.reaches(best):
            raise Refused(Reason.WOULD_CROSS)
        if item.time_in_force == TimeInForce.FOK and not self.fillable_whole(order):
            raise Refused(Reason.FOK_NOT_FILLABLE)

    def _check_funds(self, order: Order) -> tuple[int, int]:
        if not self.plan_closing(order):
            raise Refused(Reason.INSUFFICIENT_HOLDINGS)
        futures = order.instrument.futures
        if order.command.type == OrderType.MARKET and order.buys and not futures:
            amount, fees = self._cost(order)
        else:
            amount, fees = self.need(order)
            self._check_worth(order)
        if amount > INT63_MAX:
            raise Refused(Reason.OVERFLOW)
        if amount - order.held > self.available(self.payer(order)):
            asset = not order.buys and not futures
            raise Refused(Reason.INSUFFICIENT_HOLDINGS if asset else Reason.INSUFFICIENT_FUNDS)
        return amount, fees

    def _check_worth(self, order: Order) -> None:
        """What must be held for is worth less than 2^63, at the order's price and at that of its margin."""
        if not order.buys and not order.instrument.futures:
            return
        prices = [(order.price, order.leaves)]
        if order.instrument.futures:
            reference = order.instrument.terms.reference_price or order.price
            prices.append((reference, order.leaves - order.closing))
        if any(order.instrument.notional(price, quantity) > INT63_MAX for price, quantity in prices):
            raise Refused(Reason.OVERFLOW)

    def _cost(self, order: Order) -> tuple[int, int]:
        """What a market buy pays for the orders that it will meet, with fees; and these alone."""
        left, cost = order.leaves, 0
        median = order.instrument.terms.flags & order.instrument.terms.flags.MEDIAN_PRICE
        for maker in self.meets(order):
            part = min(left, maker.leaves)
            cost += order.instrument.notional(order.price if median else maker.price, part)
            left -= part
        fees = self.fees_needed(order, cost)
        return cost + fees, fees

    # --- cancel ------------------------------------------------------------------------------------

    def cancel_orders(self, items: Sequence[Amend], time: int, *, scope: int = 0) -> list[OrderResult]:
        self.begin(time)
        return [self._amend(item, scope, replace=False) for item in items]

    def replace_orders(self, items: Sequence[Amend], time: int, *, scope: int = 0) -> list[OrderResult]:
        self.begin(time)
        return [self._amend(item, scope, replace=True) for item in items]

    def _amend(self, item: Amend, scope: int, *, replace: bool) -> OrderResult:
        now = self._now()
        try:
            order = self._find_open(item, scope)
            if replace:
                return self._replace(order, item, now)
            if not self._cancels_allowed(order):
                raise Refused(Reason.CANCEL_NOT_ALLOWED, order)
        except Refused as refused:
            about = refused.order
            if about is None:
                return OrderResult(OrderStatus.REJECTED, refused.reason)
            known = OrderResult(OrderStatus.REJECTED, refused.reason, about.id, about.filled, about.leaves)
            return known._replace(finding=refused.finding)
        self.cancel(order, Reason.NONE)
        self.risk.message(order, now)
        return self._answer(order, OrderStatus.CANCELED, len(self.executions))

    def _find_open(self, item: Amend, scope: int) -> Order:
        account = self.accounts.get(item.account_id)
        if account is None:
            raise Refused(Reason.UNKNOWN_ACCOUNT)
        if not self._permitted(account, scope):
            raise Refused(Reason.NOT_PERMITTED)
        if item.order_id:
            found = self.orders[item.order_id - 1] if item.order_id <= len(self.orders) else None
            order = found if found is not None and found.account is account else None
        else:
            order = self._known.get((item.account_id, item.client_order_id))
        if order is None:
            raise Refused(Reason.UNKNOWN_ORDER)
        if not order.place:
            raise Refused(Reason.ORDER_CLOSED, order)
        return order

    @staticmethod
    def _cancels_allowed(order: Order) -> bool:
        return not (order.instrument.session == Session.AUCTION and order.instrument.no_cancel)

    def mass_cancel(self, item: MassCancel, time: int, *, scope: int = 0) -> list[OrderResult]:
        self.begin(time)
        if item.account_id:
            if item.account_id not in self.accounts:
                return [OrderResult(OrderStatus.REJECTED, Reason.UNKNOWN_ACCOUNT)]
            if not self._permitted(self.accounts[item.account_id], scope):
                return [OrderResult(OrderStatus.REJECTED, Reason.NOT_PERMITTED)]
        if item.symbol and item.symbol not in self.instruments:
            return [OrderResult(OrderStatus.REJECTED, Reason.UNKNOWN_INSTRUMENT)]
        meant = [
            o
            for o in self._open()
            if item.account_id in {0, o.account.id}
            and item.symbol in {"", o.instrument.terms.symbol}
            and item.side in {None, o.side}
            and (
                not item.session
                or o.command.session == item.session
                or (item.session == SESSION_ANY and o.command.session)
            )
            and self._permitted(o.account, scope)
            and self._cancels_allowed(o)
        ]
        for order in meant:
            self.cancel(order, Reason.SESSION_ENDED if item.session else Reason.MASS_CANCEL)
        return [OrderResult(OrderStatus.DONE, cum_quantity=len(meant))]

    @staticmethod
    def _belongs(order: Order, session: int) -> bool:
        """Whether the order is one of the session's; 0 asks for nothing."""
        if session == SESSION_ANY:
            return order.command.session != 0
        return session in {0, order.command.session}

    # --- replace -----------------------------------------------------------------------------------

    def _replace(self, order: Order, item: Amend, now: int) -> OrderResult:
        before = order.price, order.stop_price, order.quantity, order.leaves, order.closing
        try:
            amount, fees = self._check_replace(order, item, now)
        except Refused as refused:
            order.price, order.stop_price, order.quantity, order.leaves, _ = before
            self.speak_for(order, before[4])
            refused.order = order
            raise
        first = len(self.executions)
        keeps = (order.price, order.stop_price) == before[:2] and order.leaves <= before[3]
        place = order.place
        self.hold(order, amount, fees)
        self.risk.recount(order)
        self.risk.take_token(order, now)
        self.record(order, ExecutionKind.REPLACED)
        if place == "stops":
            order.visible = order.leaves
        elif keeps:
            order.visible = min(order.visible, order.leaves)
        else:
            self.take_out(order)
            if order.instrument.session == Session.CONTINUOUS:
                self.enter(order)
            else:
                self.rest(order)
        self._run_stops(order.instrument)
        return self._answer(order, OrderStatus.REPLACED, first)

    def _check_replace(self, order: Order, item: Amend, now: int) -> tuple[int, int]:
        """As for a new order, of what changes. Changes the order; the caller puts it back when it is refused."""
        instrument = order.instrument
        if instrument.session in {Session.CLOSED, Session.HALTED}:
            raise Refused(Reason.SESSION_CLOSED)
        if not self._cancels_allowed(order):
            raise Refused(Reason.CANCEL_NOT_ALLOWED)
        self._check_session(order)
        if item.stop_price is not None and order.place != "stops":
            raise Refused(Reason.INVALID_COMBINATION)
        if 0 in {item.price, item.stop_price}:
            raise Refused(Reason.INVALID_COMBINATION)
        if item.quantity is not None:
            self._check_quantity(order, item.quantity)
        for price in (item.price, item.stop_price):
            if price is not None and not instrument.on_tick(price):
                raise Refused(Reason.PRICE_NOT_ON_TICK)
        if item.quantity is not None and item.quantity <= order.filled:
            raise Refused(Reason.ALREADY_FILLED)

        before = order.price, order.leaves
        more = (item.quantity - order.filled if item.quantity is not None else order.leaves) - order.leaves
        if item.stop_price is not None:
            order.stop_price = item.stop_price
            if order.command.type == OrderType.STOP:
                order.price = instrument.protection(item.stop_price, order.side)
        if item.price is not None:
            order.price = item.price
            low, high = instrument.band()
            if not low <= item.price <= high:
                raise Refused(Reason.PRICE_OUTSIDE_BAND)
            if order.command.type == OrderType.LIMIT:
                self._check_cage(order, item.price)
        if instrument.notional(order.price, order.leaves + more) > INT63_MAX:
            raise Refused(Reason.OVERFLOW)
        if more > 0:
            self._check_room(order, more)
        self._check_accounts(order)
        best = instrument.best(order.opposite)
        if order.command.post_only and instrument.session == Session.CONTINUOUS and best and order.reaches(best):
            raise Refused(Reason.WOULD_CROSS)
        order.leaves += more
        order.quantity = order.filled + order.leaves
        self.risk.look(order, before, now)
        return self._check_funds(order)

    # --- sessions and days -------------------------------------------------------------------------

    def set_session(self, items: Sequence[SessionChange], time: int) -> list[OrderResult]:
        """cum_quantity is what was uncrossed, leaves_quantity its price."""
        self.begin(time)
        return [self._set_session(item) for item in items]

    def _set_session(self, item: SessionChange) -> OrderResult:
        instrument = self.instruments.get(item.symbol)
        if instrument is None:
            return OrderResult(OrderStatus.REJECTED, Reason.UNKNOWN_INSTRUMENT)
        price, quantity = self._change_session(instrument, item.state, no_cancel=item.no_cancel)
        self._run_stops(instrument)
        return OrderResult(OrderStatus.DONE, cum_quantity=quantity, leaves_quantity=price)

    def _change_session(self, instrument: Instrument, state: Session, *, no_cancel: bool = False) -> tuple[int, int]:
        leaving_auction = instrument.session == Session.AUCTION and state != Session.AUCTION
        instrument.session = state
        instrument.no_cancel = no_cancel and state == Session.AUCTION
        if leaving_auction or state == Session.CONTINUOUS:
            return self.uncross(instrument)
        return 0, 0

    def end_of_day(self, date: int, prices: Sequence[tuple[str, int]], time: int) -> list[OrderResult]:
        """`date` begins; `prices` are settlement prices by symbol."""
        self.begin(time)
        if date <= self.date:
            return [OrderResult(OrderStatus.REJECTED, Reason.DATE_NOT_LATER)]
        for symbol, price in prices:
            if symbol not in self.instruments:
                return [OrderResult(OrderStatus.REJECTED, Reason.UNKNOWN_INSTRUMENT)]
            if not self.instruments[symbol].on_tick(price):
                return [OrderResult(OrderStatus.REJECTED, Reason.PRICE_NOT_ON_TICK)]
        given = {self.instruments[symbol].number: price for symbol, price in prices}
        for instrument in self.instruments.values():
            self._change_session(instrument, Session.CLOSED)
        for order in self._open():
            if order.command.time_in_force == TimeInForce.DAY:
                self.close(order, OrderStatus.EXPIRED, ExecutionKind.EXPIRED, Reason.END_OF_DAY)
        self.free_holdings()
        settlement = {i.number: self.settlement_price(i, given.get(i.number, 0)) for i in self.instruments.values()}
        self.mark_to_market(settlement)
        for instrument in self.instruments.values():
            price = settlement[instrument.number]
            instrument.terms = instrument.terms._replace(reference_price=price)
            instrument.breaker_price = price
            instrument.open_price = instrument.high_price = instrument.low_price = 0
            instrument.volume = instrument.turnover = 0
        self.risk.end_day()
        self.date = date
        return [OrderResult(OrderStatus.DONE)]

    # --- limits ------------------------------------------------------------------------------------

    def set_limits(self, items: Sequence[SetLimits], time: int) -> list[LimitsResult]:
        self.begin(time)
        return [self.risk.set_limits(item, self._now()) for item in items]

    def approve_limits(self, items: Sequence[Approval], time: int) -> list[LimitsResult]:
        self.begin(time)
        return [self.risk.approve(item, self._now()) for item in items]

    def kill_switch(self, items: Sequence[KillSwitch], time: int) -> list[OrderResult]:
        """cum_quantity is the number of orders that it has canceled."""
        self.begin(time)
        return [self._kill(item, self._now()) for item in items]

    def _kill(self, item: KillSwitch, now: int) -> OrderResult:
        try:
            group = self.risk.group(item.scope, item.id)
        except NotSet:
            unknown = item.scope == LimitScope.ACCOUNT
            reason = Reason.UNKNOWN_ACCOUNT if unknown else Reason.UNKNOWN_INSTRUMENT
            return OrderResult(OrderStatus.REJECTED, reason)
        self.risk.put(group, LimitName.KILL_SWITCH, 1 if item.on else None)
        group.updated = now
        if not item.on:
            return OrderResult(OrderStatus.DONE)
        everybody = item.scope == LimitScope.DEFAULT
        meant = [
            o
            for o in self._open()
            if (everybody or group in self.risk.groups_of(o.account, o.instrument)) and self._cancels_allowed(o)
        ]
        for order in meant:
            self.cancel(order, Reason.KILL_SWITCH)
        return OrderResult(OrderStatus.DONE, cum_quantity=len(meant))

    # What limits are held against follows the book.

    def settle(self, maker: Order, taker: Order, price: int, quantity: int) -> Trade:
        trade = super().settle(maker, taker, price, quantity)
        for order in (maker, taker):
            self.risk.filled(order, trade)
        return trade

    def shrink(self, order: Order) -> None:
        super().shrink(order)
        self.risk.recount(order)

    def release(self, order: Order) -> None:
        super().release(order)
        self.risk.recount(order)

    # --- busts and corrections ---------------------------------------------------------------------

    def bust_trades(self, items: Sequence[tuple[int, int]], time: int) -> list[OrderResult]:
        """Trade ids with the right price, or 0 for none."""
        self.begin(time)
        return [self._bust(*item) for item in items]

    def _bust(self, trade_id: int, price: int) -> OrderResult:
        try:
            trade = self._undo(trade_id, price)
        except Refused as refused:
            return OrderResult(OrderStatus.REJECTED, refused.reason)
        wrong = self.trades[trade_id - 1]
        for order in (wrong.maker, wrong.taker):
            self.risk.undone(order, wrong)
        for order in (trade.maker, trade.taker) if price else ():
            self.risk.redone(order, trade)
        for order in (trade.maker, trade.taker):
            self._tell_of(trade, order, ExecutionKind.CORRECTED if price else ExecutionKind.BUSTED)
        return OrderResult(OrderStatus.CORRECTED if price else OrderStatus.BUSTED, order_id=trade.id)

    def _undo(self, trade_id: int, price: int) -> Trade:
        if not 0 < trade_id <= len(self.trades):
            raise Refused(Reason.UNKNOWN_TRADE)
        trade = self.trades[trade_id - 1]
        if trade.state != TradeState.DONE:
            raise Refused(Reason.TRADE_BUSTED)
        if trade.date != self.date:
            raise Refused(Reason.TRADE_SETTLED)
        if price and not trade.instrument.on_tick(price):
            raise Refused(Reason.PRICE_NOT_ON_TICK)
        if price and trade.instrument.notional(price, trade.quantity) > INT63_MAX:
            raise Refused(Reason.OVERFLOW)
        return self.undo(trade, price)

    def _tell_of(self, trade: Trade, order: Order, kind: ExecutionKind) -> None:
        self.executions.append(
            Execution(
                order.id,
                kind,
                order.status,
                Reason.NONE,
                order.leaves,
                order.filled,
                trade.price,
                trade.quantity,
                trade.id,
                trade.fee(order),
            )
        )

    # --- what is compared --------------------------------------------------------------------------

    def queue(self, symbol: str) -> list[tuple[int, int, int]]:
        """Order id, leaves and visible quantity: bids best first, asks best first, stops by id."""
        i = self.instruments[symbol]
        stops = sorted(i.stops, key=lambda o: o.id)
        return [(o.id, o.leaves, o.visible) for o in (*i.bids, *i.asks, *stops)]

    def levels(self, symbol: str) -> tuple[list[tuple[int, int, int]], list[tuple[int, int, int]]]:
        """Price, visible quantity and number of orders, per side."""
        both: list[list[tuple[int, int, int]]] = []
        for side in (Side.BUY, Side.SELL):
            levels: dict[int, tuple[int, int, int]] = {}
            for o in self.instruments[symbol].side(side):
                _, quantity, count = levels.get(o.price, (0, 0, 0))
                levels[o.price] = o.price, quantity + o.visible, count + 1
            both.append(list(levels.values()))
        return both[0], both[1]
