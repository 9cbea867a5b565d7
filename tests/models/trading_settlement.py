"""What orders and trades do to the accounts of the plain ledger: holds, fills, fees, positions, the end of the day.

A holding is what trading holds of a ledger account: it stands in `debits_pending` there and in `credits_pending` of
the clearing account of the ledger. `refresh` is the only place that changes either.
"""

from engine.order_results import (
    CLEARING_ACCOUNT_BASE,
    Offset,
    OrderType,
    Reason,
    Side,
    TransferCode,
)
from engine.results import AccountFlag
from tests.models.ledger import Ledger
from tests.models.records import Account
from tests.models.stored import StoredAccount
from tests.models.trading_records import (
    Generated,
    Holding,
    Instrument,
    Order,
    Position,
    Trade,
    TradingAccount,
    divide,
    ppm_of,
)

CLOSED = int(AccountFlag.CLOSED)
FROZEN = int(AccountFlag.FROZEN)


class Refused(Exception):  # noqa: N818 - a business answer
    """Why a command does nothing, the order it is about, and what a limit has found."""

    def __init__(self, reason: Reason, order: Order | None = None, finding: tuple[int, ...] | None = None) -> None:
        super().__init__(reason.name)
        self.reason, self.order, self.finding = reason, order, finding


class CannotSettle(Exception):  # noqa: N818 - a business answer
    """The order on whose side a fill fails, and why."""

    def __init__(self, order: Order, reason: Reason) -> None:
        super().__init__(reason.name)
        self.order, self.reason = order, reason


class Charge:
    """What one fill costs one side in fees."""

    def __init__(self, order: Order, value: int, *, maker: bool) -> None:
        terms = order.instrument.terms
        self.exact = ppm_of(value, terms.maker_fee_ppm if maker else terms.taker_fee_ppm)
        self.commission = max(terms.minimum_fee, order.commission_exact + self.exact) - order.commission
        self.commission = max(0, self.commission)
        self.transfer = ppm_of(value, terms.transfer_fee_ppm)
        self.duty = 0

    def limit(self, most: int) -> None:
        """Duty first, then the transfer fee, then commission."""
        self.duty = min(self.duty, most)
        self.transfer = min(self.transfer, most - self.duty)
        self.commission = min(self.commission, most - self.duty - self.transfer)

    @property
    def total(self) -> int:
        return self.commission + self.transfer + self.duty


class Settlement:
    """Accounts, holdings, positions and trades."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.generated: list[Generated] = []
        self.trades: list[Trade] = []
        self.date = 0
        self._holdings: dict[int, Holding] = {}
        self._positions: dict[tuple[int, int], Position] = {}

    # --- accounts and holdings ---------------------------------------------------------------------

    def account(self, account_id: int) -> StoredAccount:
        return self.ledger._accounts[account_id]

    def open_clearing(self, ledger: int) -> None:
        account_id = CLEARING_ACCOUNT_BASE + ledger
        if account_id not in self.ledger._accounts:
            command = Account(account_id, ledger, TransferCode.CLEARING)
            self.ledger._accounts[account_id] = StoredAccount(command, 0, 0, 0)

    def holding(self, account_id: int) -> Holding:
        return self._holdings.setdefault(account_id, Holding(account_id))

    def refresh(self, holding: Holding) -> None:
        account = self.account(holding.account_id)
        more = holding.wanted() - holding.pending
        account.debits_pending += more
        self.account(CLEARING_ACCOUNT_BASE + account.command.ledger).credits_pending += more
        holding.pending += more

    def available(self, account_id: int) -> int:
        """What orders may still hold."""
        account, holding = self.account(account_id), self.holding(account_id)
        others = account.debits_pending - holding.pending
        funds = account.credits_posted + account.overdraft_limit
        return max(0, funds - account.debits_posted - others - holding.held - holding.bought)

    def position(self, account: TradingAccount, instrument: Instrument) -> Position:
        return self._positions.setdefault((account.number, instrument.number), Position(account, instrument))

    def positions(self) -> list[Position]:
        """In the order in which they came to be: with the first order of the trading account in the instrument."""
        return list(self._positions.values())

    @staticmethod
    def quote(order: Order) -> int:
        return order.account.links[order.instrument.terms.quote_ledger]

    @staticmethod
    def base(order: Order) -> int:
        return order.account.links[order.instrument.terms.base_ledger]

    def payer(self, order: Order) -> int:
        """The account that an order holds of and is debited by its fills."""
        return self.quote(order) if order.buys or order.instrument.futures else self.base(order)

    def post(self, code: int, debit: int, credit: int, amount: int, of: Trade | Instrument, order_id: int) -> None:
        """One leg, unless there is nothing to move."""
        if amount == 0 or debit == credit:
            return
        assert amount > 0
        self.account(debit).debits_posted += amount
        self.account(credit).credits_posted += amount
        if isinstance(of, Trade):
            leg = Generated(code, debit, credit, amount, of.id, of.instrument.number, order_id)
            of.legs.append(leg)
        else:
            leg = Generated(code, debit, credit, amount, 0, of.number, order_id)
        self.generated.append(leg)

    # --- what an order needs -----------------------------------------------------------------------

    @staticmethod
    def margin(instrument: Instrument, price: int, quantity: int, ppm: int) -> int:
        """At the reference price, without one at `price`."""
        return ppm_of(instrument.notional(instrument.terms.reference_price or price, quantity), ppm)

    @staticmethod
    def fees_needed(order: Order, value: int) -> int:
        """For the rest of an order, of which `value` is the notional."""
        terms = order.instrument.terms
        rest = ppm_of(value, max(terms.maker_fee_ppm, terms.taker_fee_ppm))
        commission = max(terms.minimum_fee, order.commission_exact + rest) - order.commission
        return max(0, commission) + ppm_of(value, terms.transfer_fee_ppm)

    def need(self, order: Order) -> tuple[int, int]:
        """What an order with a limit or protection price must hold, and the part of it that is for fees."""
        if not order.buys and not order.instrument.futures:
            return order.leaves, 0
        if order.leaves == 0:
            return 0, 0
        value = order.instrument.notional(order.price, order.leaves)
        fees = self.fees_needed(order, value)
        if order.instrument.futures:
            opening = order.leaves - order.closing
            ppm = order.instrument.terms.initial_margin_ppm
            return self.margin(order.instrument, order.price, opening, ppm) + fees, fees
        return value + fees, fees

    def hold(self, order: Order, amount: int, fees: int) -> None:
        """From what the order holds to so much."""
        holding = self.holding(self.payer(order))
        holding.held += amount - order.held
        order.held, order.held_fees = amount, fees
        self.refresh(holding)

    def plan_closing(self, order: Order) -> bool:
        """Futures: how much of what is left of the order closes; False when that is more than there is."""
        self.forget_closing(order)
        if not order.instrument.futures or order.command.offset == Offset.OPEN:
            return True
        p = self.position(order.account, order.instrument)
        free = p.short - p.closing_short if order.buys else p.long - p.closing_long
        if order.command.offset == Offset.AUTO:
            self.speak_for(order, min(order.leaves, free))
            return True
        if order.command.offset == Offset.CLOSE_TODAY:
            free = min(free, p.short_today if order.buys else p.long_today)
        if order.leaves > free:
            return False
        self.speak_for(order, order.leaves)
        return True

    def speak_for(self, order: Order, closing: int) -> None:
        """The order closes so much from now on."""
        p = self.position(order.account, order.instrument)
        if order.buys:
            p.closing_short += closing - order.closing
        else:
            p.closing_long += closing - order.closing
        order.closing = closing

    def forget_closing(self, order: Order) -> None:
        if order.closing:
            self.speak_for(order, 0)

    def shrink(self, order: Order) -> None:
        """Something has been taken off the order's leaves, other than by a fill."""
        if order.closing > order.leaves:
            self.speak_for(order, order.leaves)
        if order.leaves and order.command.type == OrderType.MARKET and order.buys and not order.instrument.futures:
            return  # it holds a cost; what is left of that ends with it
        amount, fees = self.need(order)
        self.hold(order, min(order.held, amount), min(order.held_fees, fees))

    def release(self, order: Order) -> None:
        """The order has ended."""
        self.forget_closing(order)
        self.hold(order, 0, 0)

    # --- fills -------------------------------------------------------------------------------------

    def why_not_ready(self, order: Order) -> Reason:
        """Why the order's side could not settle a fill now."""
        accounts = [self.quote(order)] if order.instrument.futures else [self.quote(order), self.base(order)]
        if any(self.account(account_id).flags & CLOSED for account_id in accounts):
            return Reason.ACCOUNT_CLOSED
        if self.account(self.payer(order)).flags & FROZEN:
            return Reason.ACCOUNT_FROZEN
        return Reason.NONE

    def settle(self, maker: Order, taker: Order, price: int, quantity: int) -> Trade:
        """One fill; raises CannotSettle, having done nothing. The orders' leaves are changed here, too."""
        for order in (maker, taker):
            why = self.why_not_ready(order)
            if why:
                raise CannotSettle(order, why)
        buy, sell = (maker, taker) if maker.buys else (taker, maker)
        instrument = maker.instrument
        trade = Trade(
            len(self.trades) + 1,
            instrument,
            price,
            quantity,
            instrument.notional(price, quantity),
            buy,
            sell,
            maker,
            taker,
            self.date,
        )
        if instrument.futures:
            self._settle_futures(trade)
        else:
            self._settle_spot(trade)
        self.trades.append(trade)
        instrument.volume += quantity
        instrument.turnover += trade.notional
        instrument.open_price = instrument.open_price or price
        instrument.high_price = max(instrument.high_price, price)
        instrument.low_price = min(instrument.low_price or price, price)
        return trade

    def _settle_spot(self, trade: Trade) -> None:
        buy, sell, value = trade.buy, trade.sell, trade.notional
        instrument = trade.instrument
        charge = Charge(buy, value, maker=buy is trade.maker)
        charge.limit(buy.held_fees)
        cost = value + charge.total
        sale = Charge(sell, value, maker=sell is trade.maker)
        sale.duty = ppm_of(value, instrument.terms.sell_duty_ppm)
        sale.limit(value)

        # What the buyer's order holds afterwards.
        left = buy.leaves - trade.quantity
        fees_left = buy.held_fees - charge.total
        if buy.command.type == OrderType.MARKET:
            held_left = max(0, buy.held - buy.held_fees - value) + fees_left
        else:
            rest = instrument.notional(buy.price, left)
            fees_left = min(fees_left, self._fees_after(buy, charge, rest))
            held_left = rest + fees_left
        if cost + held_left - buy.held > self.available(self.quote(buy)):
            raise CannotSettle(buy, Reason.INSUFFICIENT_FUNDS)

        # It happens.
        cash, asset = self.holding(self.quote(buy)), self.holding(self.base(sell))
        paid = cost if self.quote(buy) != self.quote(sell) else charge.total + sale.total
        trade.spent = min(cash.proceeds, paid)
        cash.proceeds -= trade.spent
        self.hold(buy, held_left, fees_left)
        self.hold(sell, sell.held - trade.quantity, 0)
        if instrument.next_day and self.base(buy) != self.base(sell):
            self.holding(self.base(buy)).bought += trade.quantity
        if instrument.next_day and self.quote(buy) != self.quote(sell):
            self.holding(self.quote(sell)).proceeds += value - sale.total
        for account_id in (self.quote(buy), self.base(buy), self.quote(sell), self.base(sell)):
            self.refresh(self.holding(account_id))
        self._note_charges(trade, charge, sale)
        self._take(trade)
        self._post_spot(trade)
        assert asset.held >= 0
        assert cash.held >= 0

    def _post_spot(self, trade: Trade) -> None:
        buy, sell, fees = trade.buy, trade.sell, trade.instrument.terms.fee_account_id
        self.post(TransferCode.TRADE_CASH, self.quote(buy), self.quote(sell), trade.notional, trade, buy.id)
        self.post(TransferCode.TRADE_ASSET, self.base(sell), self.base(buy), trade.quantity, trade, sell.id)
        if fees:
            self.post(TransferCode.TRADE_FEE, self.quote(buy), fees, trade.buy_fee, trade, buy.id)
            self.post(TransferCode.TRADE_FEE, self.quote(sell), fees, trade.sell_fee, trade, sell.id)
            self.post(TransferCode.TRADE_DUTY, self.quote(sell), fees, trade.duty, trade, sell.id)

    def _fees_after(self, order: Order, charge: Charge, rest: int) -> int:
        """What an order needs for fees once it has been charged, when `rest` is the notional of what is left."""
        if rest == 0:
            return 0
        order.commission += charge.commission
        order.commission_exact += charge.exact
        needed = self.fees_needed(order, rest)
        order.commission -= charge.commission
        order.commission_exact -= charge.exact
        return needed

    @staticmethod
    def _note_charges(trade: Trade, buy: Charge, sell: Charge) -> None:
        trade.buy_commission, trade.buy_exact, trade.buy_transfer = buy.commission, buy.exact, buy.transfer
        trade.sell_commission, trade.sell_exact, trade.sell_transfer = sell.commission, sell.exact, sell.transfer
        trade.duty = sell.duty
        for order, charge in ((trade.buy, buy), (trade.sell, sell)):
            order.commission += charge.commission
            order.commission_exact += charge.exact
            order.other_fees += charge.transfer + charge.duty
            order.turnover += trade.notional

    @staticmethod
    def _take(trade: Trade) -> None:
        for order in (trade.buy, trade.sell):
            order.leaves -= trade.quantity
            order.filled += trade.quantity

    # --- futures -----------------------------------------------------------------------------------

    def _settle_futures(self, trade: Trade) -> None:
        buy, sell, value = trade.buy, trade.sell, trade.notional
        charges = {order.side: Charge(order, value, maker=order is trade.maker) for order in (buy, sell)}
        results: dict[Side, int] = {}
        for order in (buy, sell):
            charges[order.side].limit(order.held_fees)
            closes = min(trade.quantity, order.closing)
            basis, results[order.side] = self._closing_result(order, closes, trade.price)
            trade.closed[order.side] = closes, basis
        self._note_charges(trade, charges[Side.BUY], charges[Side.SELL])
        for order in (buy, sell):
            self._move_position(order, trade, charges[order.side])
        fees = trade.instrument.terms.fee_account_id
        for order in (buy, sell):
            paid = trade.fee(order)
            if fees:
                self.spend(self.quote(order), paid)
                self.post(TransferCode.TRADE_FEE, self.quote(order), fees, paid, trade, order.id)
        for order in (buy, sell):
            codes = TransferCode.REALISED_PROFIT, TransferCode.REALISED_LOSS
            position = self.position(order.account, order.instrument)
            self._settle_result(position, results[order.side], codes, trade, order.id)
        self._take(trade)

    def spend(self, account_id: int, amount: int) -> None:
        """What a fill pays reduces the proceeds of the day first."""
        holding = self.holding(account_id)
        holding.proceeds -= min(holding.proceeds, amount)
        self.refresh(holding)

    def _closing_result(self, order: Order, closes: int, price: int) -> tuple[int, int]:
        """The basis of what is closed, and the profit (or loss, below zero)."""
        if closes == 0:
            return 0, 0
        p = self.position(order.account, order.instrument)
        value = order.instrument.notional(price, closes)
        if order.buys:
            basis = divide(p.short_basis * closes, p.short)
            return basis, basis - value
        basis = divide(p.long_basis * closes, p.long)
        return basis, value - basis

    def _move_position(self, order: Order, trade: Trade, charge: Charge) -> None:
        """Quantities, basis and margin of one side."""
        p = self.position(order.account, order.instrument)
        instrument = order.instrument
        holding = self.holding(self.quote(order))
        closes, basis = trade.closed[order.side]
        opens = trade.quantity - closes
        left = order.leaves - trade.quantity
        left_closing = order.closing - closes

        # The order's margin: what its rest does not need goes to the position.
        margin = order.held - order.held_fees
        ppm = instrument.terms.initial_margin_ppm
        rest = self.margin(instrument, order.price, left - left_closing, ppm)
        moved = max(0, margin - rest)
        fees_left = self.fees_needed(order, instrument.notional(order.price, left)) if left else 0
        fees_left = min(order.held_fees - charge.total, fees_left)

        self.speak_for(order, left_closing)
        if closes:
            freed = divide(p.margin * closes, p.long + p.short)
            today = order.command.offset == Offset.CLOSE_TODAY
            if order.buys:
                p.short -= closes
                p.short_basis -= basis
                p.short_today = max(0, p.short_today - closes) if today else min(p.short_today, p.short)
            else:
                p.long -= closes
                p.long_basis -= basis
                p.long_today = max(0, p.long_today - closes) if today else min(p.long_today, p.long)
            if p.long + p.short == 0:
                freed = p.margin
            p.margin -= freed
            holding.held -= freed
        if opens:
            value = trade.notional - instrument.notional(trade.price, closes)
            if order.buys:
                p.long += opens
                p.long_today += opens
                p.long_basis += value
            else:
                p.short += opens
                p.short_today += opens
                p.short_basis += value
        p.margin += moved
        holding.held += moved
        self.hold(order, margin - moved + fees_left, fees_left)

    def _settle_result(
        self, p: Position, result: int, codes: tuple[int, int], of: Trade | Instrument, order_id: int
    ) -> None:
        """A profit after what is owed, a loss as far as there are funds."""
        account_id = p.account.links[p.instrument.terms.quote_ledger]
        clearing = CLEARING_ACCOUNT_BASE + p.instrument.terms.quote_ledger
        if result > 0:
            owed = min(p.shortfall, result)
            p.shortfall -= owed
            self.post(codes[0], clearing, account_id, result - owed, of, order_id)
        elif result < 0:
            paid = min(-result, self.available(account_id))
            p.shortfall += -result - paid
            self.spend(account_id, paid)
            self.post(codes[1], account_id, clearing, paid, of, order_id)

    # --- the end of the day ------------------------------------------------------------------------

    def free_holdings(self) -> None:
        """T+1: what was bought and earned today is free."""
        for holding in self._holdings.values():
            holding.bought = holding.proceeds = 0
            if holding.pending:
                self.refresh(holding)

    def settlement_price(self, instrument: Instrument, given: int) -> int:
        terms = instrument.terms
        if given:
            return given
        if not instrument.volume:
            return terms.reference_price
        if not instrument.futures:
            return instrument.last_price
        above, below = instrument.turnover * terms.price_scale, instrument.volume * terms.contract_size
        ticks = (2 * above + below * terms.tick_size) // (2 * below * terms.tick_size)
        return max(1, ticks) * terms.tick_size

    def mark_to_market(self, prices: dict[int, int]) -> None:
        """Settle every futures position to the price of its instrument's number."""
        marked = [p for p in self.positions() if p.instrument.futures and prices[p.instrument.number]]
        nets: list[int] = []
        for p in marked:
            self._set_margin(p, 0)
            long_value = p.instrument.notional(prices[p.instrument.number], p.long)
            short_value = p.instrument.notional(prices[p.instrument.number], p.short)
            net = long_value - p.long_basis + p.short_basis - short_value - p.shortfall
            p.long_basis, p.short_basis, p.shortfall = long_value, short_value, 0
            p.long_today = p.short_today = 0
            nets.append(net)
        codes = TransferCode.VARIATION_MARGIN, TransferCode.VARIATION_MARGIN
        for loss in (True, False):
            for p, net in zip(marked, nets, strict=True):
                if net and (net < 0) == loss:
                    self._settle_result(p, net, codes, p.instrument, 0)
        for p in marked:
            ppm = p.instrument.terms.initial_margin_ppm
            value = p.instrument.notional(prices[p.instrument.number], p.long + p.short)
            self._set_margin(p, min(ppm_of(value, ppm), self.available(self._cash(p))))

    def _cash(self, p: Position) -> int:
        return p.account.links[p.instrument.terms.quote_ledger]

    def _set_margin(self, p: Position, margin: int) -> None:
        holding = self.holding(self._cash(p))
        holding.held += margin - p.margin
        p.margin = margin
        self.refresh(holding)

    def margins(self, p: Position) -> tuple[int, int, int]:
        """Initial and maintenance margin at the reference price, and the margin call."""
        value = p.instrument.notional(p.instrument.terms.reference_price, p.long + p.short)
        initial = ppm_of(value, p.instrument.terms.initial_margin_ppm)
        maintenance = ppm_of(value, p.instrument.terms.maintenance_margin_ppm)
        called = p.shortfall > 0 or p.margin < maintenance
        return initial, maintenance, p.shortfall + max(0, initial - p.margin) if called else 0
