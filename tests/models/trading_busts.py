"""Busts and corrections of trades in the plain trading model."""

from engine.order_results import CLEARING_ACCOUNT_BASE, Reason, Side, TradeState, TransferCode
from tests.models.trading_records import Generated, Instrument, Order, Trade, divide, ppm_of
from tests.models.trading_settlement import CLOSED, FROZEN, Charge, Refused, Settlement


class Busts(Settlement):
    """Trades taken back."""

    def undo(self, trade: Trade, price: int) -> Trade:
        """Reverse every leg and, with a price, post them anew at it; or nothing, and Refused. The trade that stands."""
        futures = trade.instrument.futures
        if futures:
            for order in (trade.buy, trade.sell):
                p = self.position(order.account, order.instrument)
                opened = trade.quantity - trade.closed[order.side][0]
                free = (
                    (p.long - p.closing_long, p.long_today)
                    if order.buys
                    else (p.short - p.closing_short, p.short_today)
                )
                if opened > min(free):
                    raise Refused(Reason.INSUFFICIENT_HOLDINGS)
            if price and any(closes for closes, _ in trade.closed.values()):
                raise Refused(Reason.INVALID_COMBINATION)
        back = [
            leg._replace(
                code=leg.code + TransferCode.REVERSED,
                debit_account_id=leg.credit_account_id,
                credit_account_id=leg.debit_account_id,
            )
            for leg in trade.legs
        ]
        anew = self._corrected(trade, price) if price else None
        self._check_flows(trade.instrument, [*back, *(self._planned(anew) if anew else [])])

        # It happens.
        self._unwind(trade, corrected=anew)
        for leg in back:
            self.post(leg.code, leg.debit_account_id, leg.credit_account_id, leg.amount, trade, leg.order_id)
        trade.instrument.turnover -= trade.notional
        if anew is None:
            trade.state = TradeState.BUSTED
            trade.instrument.volume -= trade.quantity
            return trade
        trade.state = TradeState.CORRECTED
        trade.instrument.turnover += anew.notional
        self.trades.append(anew)
        for leg in self._planned(anew):
            self.post(leg.code, leg.debit_account_id, leg.credit_account_id, leg.amount, anew, leg.order_id)
        self._count_fees(anew, 1)
        if futures:
            for order in (anew.buy, anew.sell):
                self._open_again(order, anew)
        return anew

    def _corrected(self, trade: Trade, price: int) -> Trade:
        """The trade at another price, with the fees that the orders would then have paid."""
        instrument = trade.instrument
        anew = Trade(
            len(self.trades) + 1,
            instrument,
            price,
            trade.quantity,
            instrument.notional(price, trade.quantity),
            trade.buy,
            trade.sell,
            trade.maker,
            trade.taker,
            trade.date,
            corrects=trade.id,
            closed={Side.BUY: (0, 0), Side.SELL: (0, 0)},
        )
        self._count_fees(trade, -1)
        buy = Charge(trade.buy, anew.notional, maker=trade.buy is trade.maker)
        sell = Charge(trade.sell, anew.notional, maker=trade.sell is trade.maker)
        self._count_fees(trade, 1)
        if not instrument.futures:
            sell.duty = ppm_of(anew.notional, instrument.terms.sell_duty_ppm)
            sell.limit(anew.notional)
        anew.buy_commission, anew.buy_exact, anew.buy_transfer = buy.commission, buy.exact, buy.transfer
        anew.sell_commission, anew.sell_exact, anew.sell_transfer = sell.commission, sell.exact, sell.transfer
        anew.duty = sell.duty
        return anew

    def _planned(self, trade: Trade) -> list[Generated]:
        """The legs of a corrected trade."""
        buy, sell, fees = trade.buy, trade.sell, trade.instrument.terms.fee_account_id
        legs: list[tuple[int, int, int, int, int]] = []
        if not trade.instrument.futures:
            legs.append((TransferCode.TRADE_CASH, self.quote(buy), self.quote(sell), trade.notional, buy.id))
            legs.append((TransferCode.TRADE_ASSET, self.base(sell), self.base(buy), trade.quantity, sell.id))
        if fees:
            legs.append((TransferCode.TRADE_FEE, self.quote(buy), fees, trade.buy_fee, buy.id))
            legs.append((TransferCode.TRADE_FEE, self.quote(sell), fees, trade.sell_fee, sell.id))
            legs.append((TransferCode.TRADE_DUTY, self.quote(sell), fees, trade.duty, sell.id))
        number = trade.instrument.number
        return [Generated(*leg[:4], trade.id, number, leg[4]) for leg in legs if leg[3] and leg[1] != leg[2]]

    def _check_flows(self, instrument: Instrument, legs: list[Generated]) -> None:
        """Every account can pay what it pays over all legs."""
        paid: dict[int, int] = {}
        for leg in legs:
            paid[leg.debit_account_id] = paid.get(leg.debit_account_id, 0) + leg.amount
            paid[leg.credit_account_id] = paid.get(leg.credit_account_id, 0) - leg.amount
        if any(self.account(account_id).flags & CLOSED for account_id in paid):
            raise Refused(Reason.ACCOUNT_CLOSED)
        if any(amount > 0 and self.account(account_id).flags & FROZEN for account_id, amount in paid.items()):
            raise Refused(Reason.ACCOUNT_FROZEN)
        lacking = {
            self.account(account_id).command.ledger
            for account_id, amount in paid.items()
            if account_id < CLEARING_ACCOUNT_BASE
            and amount > 0
            and amount > self.available(account_id) + self.holding(account_id).bought
        }
        if instrument.terms.quote_ledger in lacking:
            raise Refused(Reason.INSUFFICIENT_FUNDS)
        if lacking:
            raise Refused(Reason.INSUFFICIENT_HOLDINGS)

    @staticmethod
    def _count_fees(trade: Trade, sign: int) -> None:
        trade.buy.commission += sign * trade.buy_commission
        trade.buy.commission_exact += sign * trade.buy_exact
        trade.buy.other_fees += sign * trade.buy_transfer
        trade.sell.commission += sign * trade.sell_commission
        trade.sell.commission_exact += sign * trade.sell_exact
        trade.sell.other_fees += sign * (trade.sell_transfer + trade.duty)
        trade.buy.turnover += sign * trade.notional
        trade.sell.turnover += sign * trade.notional

    def _unwind(self, trade: Trade, *, corrected: Trade | None) -> None:
        """Orders' charges, T+1 holds and positions as if the trade had not been, or had been the corrected one."""
        self._count_fees(trade, -1)
        if trade.instrument.futures:
            for order in (trade.buy, trade.sell):
                self._unwind_position(order, trade)
            return
        cash = self.holding(self.quote(trade.buy))
        cash.proceeds += trade.spent
        same_cash = self.quote(trade.buy) == self.quote(trade.sell)
        if trade.instrument.next_day and self.base(trade.buy) != self.base(trade.sell) and corrected is None:
            bought = self.holding(self.base(trade.buy))
            bought.bought -= min(bought.bought, trade.quantity)
            self.refresh(bought)
        if not same_cash:
            more = -(trade.notional - trade.sell_fee - trade.duty)
            if corrected is not None:
                more += corrected.notional - corrected.sell_fee - corrected.duty
            sold = self.holding(self.quote(trade.sell))
            if more < 0 or trade.instrument.next_day:
                sold.proceeds = max(0, sold.proceeds + more)  # what was spent of them stays spent
            self.refresh(sold)
        if corrected is not None:
            paid = corrected.sell_fee + corrected.duty if same_cash else corrected.notional
            corrected.spent = min(cash.proceeds, paid + corrected.buy_fee)
            cash.proceeds -= corrected.spent
        self.refresh(cash)

    def _unwind_position(self, order: Order, trade: Trade) -> None:
        p = self.position(order.account, order.instrument)
        closes, basis = trade.closed[order.side]
        opened = trade.quantity - closes
        value = trade.notional - trade.instrument.notional(trade.price, closes)
        if opened:
            self._set_margin(p, p.margin - divide(p.margin * opened, p.long + p.short))
            if order.buys:
                p.long -= opened
                p.long_today -= opened
                p.long_basis -= min(p.long_basis, value)
            else:
                p.short -= opened
                p.short_today -= opened
                p.short_basis -= min(p.short_basis, value)
        if closes and order.buys:
            p.short += closes
            p.short_today += closes
            p.short_basis += basis
        elif closes:
            p.long += closes
            p.long_today += closes
            p.long_basis += basis

    def _open_again(self, order: Order, trade: Trade) -> None:
        """A corrected trade opens again at its new value; its margin as far as there are funds."""
        p = self.position(order.account, order.instrument)
        margin = self.margin(order.instrument, trade.price, trade.quantity, order.instrument.terms.initial_margin_ppm)
        self._set_margin(p, p.margin + min(margin, self.available(self._cash(p))))
        if order.buys:
            p.long += trade.quantity
            p.long_today += trade.quantity
            p.long_basis += trade.notional
        else:
            p.short += trade.quantity
            p.short_today += trade.quantity
            p.short_basis += trade.notional
