"""The book of the plain trading model: sorted lists, one order after the other, and an auction by trying every price.

`Book` knows how orders meet. What a fill costs is the settlement's business, what is told of it the recorder's.
"""

from collections.abc import Iterator

from engine.order_results import (
    ExecutionKind,
    InstrumentFlag,
    OrderStatus,
    OrderType,
    Reason,
    SelfTradePrevention,
    Session,
    TimeInForce,
)
from tests.models.trading_busts import Busts
from tests.models.trading_records import Execution, Instrument, Order, Trade
from tests.models.trading_settlement import CannotSettle

PRICES_MAX = 2_000
"""An auction over more prices than this looks only at those of orders, their neighbours and those at the reference."""


class Book(Busts):
    """Orders in books and among stops."""

    def __init__(self) -> None:
        super().__init__()
        self.orders: list[Order] = []
        self.executions: list[Execution] = []
        self._turns = 0

    # --- telling -----------------------------------------------------------------------------------

    def record(self, order: Order, kind: ExecutionKind, reason: Reason = Reason.NONE) -> None:
        self.executions.append(Execution(order.id, kind, order.status, reason, order.leaves, order.filled))

    def record_fill(self, trade: Trade) -> None:
        for order in (trade.maker, trade.taker):
            order.status = OrderStatus.PARTIALLY_FILLED if order.leaves else OrderStatus.FILLED
            self.executions.append(
                Execution(
                    order.id,
                    ExecutionKind.FILL,
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

    # --- places ------------------------------------------------------------------------------------

    def rest(self, order: Order) -> None:
        """Into the book, behind its equals."""
        order.place = "book"
        self._to_the_end(order)
        order.instrument.side(order.side).append(order)
        order.instrument.sort()

    def _to_the_end(self, order: Order) -> None:
        """The next slice of an iceberg, or all of any other order, at the end of the queue."""
        self._turns += 1
        order.turn = self._turns
        display = order.command.display_quantity
        order.visible = min(order.leaves, display) if display else order.leaves

    def wait(self, order: Order) -> None:
        """Among the stops."""
        order.place = "stops"
        order.visible = order.leaves
        order.instrument.stops.append(order)

    @staticmethod
    def take_out(order: Order) -> None:
        if order.place == "book":
            order.instrument.side(order.side).remove(order)
        elif order.place == "stops":
            order.instrument.stops.remove(order)
        order.place = ""

    def close(self, order: Order, status: OrderStatus, kind: ExecutionKind, reason: Reason) -> None:
        """An open order ends without being filled."""
        self.take_out(order)
        order.leaves = order.visible = 0
        order.status, order.reason = status, reason
        self.release(order)
        self.record(order, kind, reason)

    def cancel(self, order: Order, reason: Reason) -> None:
        self.close(order, OrderStatus.CANCELED, ExecutionKind.CANCELED, reason)

    # --- matching ----------------------------------------------------------------------------------

    def enter(self, order: Order) -> None:
        """An accepted order meets the book in continuous trading; what is left rests or is canceled."""
        ending, decremented = self._match(order)
        if order.status == OrderStatus.FILLED:
            self.release(order)
            return
        rests = order.command.type in {OrderType.LIMIT, OrderType.STOP_LIMIT} and (
            order.command.time_in_force not in {TimeInForce.IOC, TimeInForce.FOK}
        )
        if ending == Reason.CIRCUIT_BREAKER:
            order.instrument.session, order.instrument.no_cancel = Session.AUCTION, False
        elif ending:
            rests = False
        elif order.command.type in {OrderType.MARKET, OrderType.STOP}:
            ending = Reason.NO_LIQUIDITY
        if not rests:
            self.cancel(order, ending)
            return
        if decremented:
            order.quantity -= decremented
            self.record(order, ExecutionKind.RESTATED, Reason.SELF_TRADE)
        self.rest(order)

    def _match(self, taker: Order) -> tuple[Reason, int]:
        """Fills until it is over; why what is left is to be canceled, and by how much the order was decremented."""
        instrument = taker.instrument
        decremented = 0
        while taker.leaves:
            makers = instrument.side(taker.opposite)
            if not makers or not taker.reaches(makers[0].price):
                return Reason.NONE, decremented
            maker = makers[0]
            if taker.prevents and maker.account is taker.account:
                mode = taker.command.self_trade_prevention
                decremented += min(taker.leaves, maker.leaves) * (mode == SelfTradePrevention.DECREMENT)
                if self._prevent(taker, maker, mode):
                    return Reason.SELF_TRADE, decremented
                continue
            price = self._trade_price(taker, maker.price, instrument.last_price)
            if instrument.breaks(price):
                return Reason.CIRCUIT_BREAKER, decremented
            try:
                trade = self.settle(maker, taker, price, min(taker.leaves, maker.visible))
            except CannotSettle as failed:
                if failed.order is taker:
                    return failed.reason, decremented
                self.cancel(maker, failed.reason)
                continue
            instrument.last_price = price
            maker.visible -= trade.quantity
            self.record_fill(trade)
            if maker.leaves == 0:
                self.take_out(maker)
                self.release(maker)
            elif maker.visible == 0:
                self._to_the_end(maker)
                instrument.sort()
                self.record(maker, ExecutionKind.RESTATED)
        return Reason.NONE, decremented

    @staticmethod
    def _trade_price(taker: Order, price: int, last: int) -> int:
        if taker.instrument.terms.flags & InstrumentFlag.MEDIAN_PRICE and last:
            return sorted((price, taker.price, last))[1]
        return price

    def _prevent(self, taker: Order, maker: Order, mode: SelfTradePrevention) -> bool:
        """Whether what is left of the taker is to be canceled."""
        if mode in {SelfTradePrevention.CANCEL_OLDEST, SelfTradePrevention.CANCEL_BOTH}:
            self.cancel(maker, Reason.SELF_TRADE)
        if mode != SelfTradePrevention.DECREMENT:
            return mode != SelfTradePrevention.CANCEL_OLDEST
        less = min(taker.leaves, maker.leaves)
        if maker.leaves == less:
            self.cancel(maker, Reason.SELF_TRADE)
        else:
            maker.quantity -= less
            self._decrement(maker, less)
            self.record(maker, ExecutionKind.RESTATED, Reason.SELF_TRADE)
        self._decrement(taker, less)
        return taker.leaves == 0

    def _decrement(self, order: Order, less: int) -> None:
        order.leaves -= less
        order.visible = min(order.visible, order.leaves)
        self.shrink(order)

    # --- looking ahead -----------------------------------------------------------------------------

    def meets(self, taker: Order) -> Iterator[Order]:
        """The orders within its reach; its own left out when it would not trade with them."""
        for maker in taker.instrument.side(taker.opposite):
            if not taker.reaches(maker.price):
                return
            if not (taker.prevents and maker.account is taker.account):
                yield maker

    def fillable_whole(self, taker: Order) -> bool:
        """Whether all of it would trade at once: what matching would do, without doing it."""
        if self.why_not_ready(taker):
            return False
        found, last = 0, taker.instrument.last_price
        orders = taker.instrument.side(taker.opposite)
        for maker in orders:
            if not taker.reaches(maker.price):
                break
            if taker.prevents and maker.account is taker.account:
                if taker.command.self_trade_prevention == SelfTradePrevention.CANCEL_OLDEST:
                    continue
                # It stops there; of the icebergs ahead at this price only the slice has had its turn.
                ahead = orders[: orders.index(maker)]
                found -= sum(o.leaves - o.visible for o in ahead if o.price == maker.price and self._trades(o))
                break
            last = self._trade_price(taker, maker.price, last)
            if taker.instrument.breaks(last):
                break
            if self._trades(maker):
                found += maker.leaves
        return found >= taker.leaves

    def _trades(self, maker: Order) -> bool:
        return not self.why_not_ready(maker)

    # --- auctions ----------------------------------------------------------------------------------

    @staticmethod
    def auction_price(instrument: Instrument) -> tuple[int, int]:
        """The price at which the book would uncross, and how much; (0, 0) when nothing crosses."""
        if not instrument.crossed:
            return 0, 0
        low, high, tick = instrument.asks[0].price, instrument.bids[0].price, instrument.terms.tick_size
        reference = instrument.terms.reference_price or instrument.last_price
        if (high - low) // tick < PRICES_MAX:
            prices = list(range(low, high + 1, tick))
        else:
            near = {o.price for o in instrument.bids + instrument.asks} | {reference // tick * tick}
            near |= {price + tick for price in near} | {price - tick for price in near}
            prices = sorted(price for price in near if low <= price <= high)

        def rank(price: int) -> tuple[int, int, int, int]:
            bought = sum(o.leaves for o in instrument.bids if o.price >= price)
            sold = sum(o.leaves for o in instrument.asks if o.price <= price)
            distance = abs(price - reference) if reference else 0
            return -min(bought, sold), abs(bought - sold), distance, price

        best = min(rank(price) for price in prices)
        return best[3], -best[0]

    def uncross(self, instrument: Instrument) -> tuple[int, int]:
        """Trade all that crosses; the last price and the quantity, or (0, 0)."""
        last = total = 0
        while instrument.crossed:
            price, _ = self.auction_price(instrument)
            traded = self._uncross_at(instrument, price)
            if traded:
                last, total = price, total + traded
                instrument.breaker_price = price
        return last, total

    def _uncross_at(self, instrument: Instrument, price: int) -> int:
        traded = 0
        while instrument.crossed and instrument.bids[0].price >= price >= instrument.asks[0].price:
            bid, ask = instrument.bids[0], instrument.asks[0]
            maker, taker = (bid, ask) if bid.id < ask.id else (ask, bid)
            try:
                trade = self.settle(maker, taker, price, min(bid.leaves, ask.leaves))
            except CannotSettle as failed:
                self.cancel(failed.order, failed.reason)
                continue
            instrument.last_price = price
            traded += trade.quantity
            self.record_fill(trade)
            for order in (bid, ask):
                order.visible = min(order.visible, order.leaves)
                if order.leaves == 0:
                    self.take_out(order)
                    self.release(order)
        return traded
