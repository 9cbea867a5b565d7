"""What the plain trading model stores, and the arithmetic of money, in Python's unbounded integers.

Prices are in the instrument's units everywhere, never in ticks. A name without a unit is an amount in minor units.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

from engine.order_results import (
    PRICE_TICKS_MAX,
    AmendField,
    ExecutionKind,
    InstrumentFlag,
    Offset,
    OrderStatus,
    OrderType,
    Reason,
    SelfTradePrevention,
    Session,
    Side,
    TimeInForce,
    TradeState,
)

MILLION = 1_000_000

# --- commands ------------------------------------------------------------------------------------


class InstrumentTerms(NamedTuple):
    """One item of create_instruments."""

    symbol: str
    base_ledger: int
    quote_ledger: int
    tick_size: int = 1
    lot_size: int = 1
    price_scale: int = 1
    contract_size: int = 1
    flags: InstrumentFlag = InstrumentFlag(0)
    maker_fee_ppm: int = 0
    taker_fee_ppm: int = 0
    minimum_fee: int = 0
    transfer_fee_ppm: int = 0
    sell_duty_ppm: int = 0
    fee_account_id: int = 0
    reference_price: int = 0
    price_band_ppm: int = 0
    price_cage_ppm: int = 0
    circuit_breaker_ppm: int = 0
    market_protection_ppm: int = 50_000
    initial_margin_ppm: int = 0
    maintenance_margin_ppm: int = 0
    session: Session = Session.CONTINUOUS


class NewTradingAccount(NamedTuple):
    """One item of create_trading_accounts; links are ledger -> account id."""

    id: int
    links: tuple[tuple[int, int], ...]
    owner: str = ""
    desk: str = ""


class NewOrder(NamedTuple):
    """One item of submit_orders."""

    account_id: int
    client_order_id: int
    symbol: str
    side: Side
    quantity: int
    price: int = 0
    type: OrderType = OrderType.LIMIT
    time_in_force: TimeInForce = TimeInForce.DAY
    stop_price: int = 0
    display_quantity: int = 0
    expire_time: int = 0
    session: int = 0
    self_trade_prevention: SelfTradePrevention = SelfTradePrevention.NONE
    offset: Offset = Offset.AUTO
    post_only: bool = False


class Amend(NamedTuple):
    """One item of cancel_orders (no values) or replace_orders; order_id 0: by client order id."""

    account_id: int
    order_id: int = 0
    client_order_id: int = 0
    quantity: int | None = None
    price: int | None = None
    stop_price: int | None = None

    def fields(self) -> AmendField:
        """Which members are meant."""
        bits = AmendField(0)
        for bit, value in (
            (AmendField.QUANTITY, self.quantity),
            (AmendField.PRICE, self.price),
            (AmendField.STOP_PRICE, self.stop_price),
        ):
            if value is not None:
                bits |= bit
        return bits


class MassCancel(NamedTuple):
    """The item of mass_cancel; 0, "" and None are no condition."""

    account_id: int = 0
    symbol: str = ""
    session: int = 0
    side: Side | None = None


class SessionChange(NamedTuple):
    """One item of set_session."""

    symbol: str
    state: Session
    no_cancel: bool = False


# --- answers -------------------------------------------------------------------------------------


class Fill(NamedTuple):
    """One fill of the order that an item is about."""

    trade_id: int
    price: int
    quantity: int
    fee: int


class OrderResult(NamedTuple):
    """What became of one item."""

    status: OrderStatus
    reason: Reason = Reason.NONE
    order_id: int = 0
    cum_quantity: int = 0
    leaves_quantity: int = 0
    fills: tuple[Fill, ...] = ()
    order_status: OrderStatus = OrderStatus.NEW
    finding: tuple[int, ...] | None = None
    """Of a refusal by a limit: scope, limit, used, asked and check, see `risk_records.Finding`."""


class Execution(NamedTuple):
    """What happened to an order; its number is its place in the list, from 1."""

    order_id: int
    kind: ExecutionKind
    status: OrderStatus
    reason: Reason
    leaves_qty: int
    cum_qty: int
    last_px: int = 0
    last_qty: int = 0
    trade_id: int = 0
    fee: int = 0


class Generated(NamedTuple):
    """A transfer that the engine made."""

    code: int
    debit_account_id: int
    credit_account_id: int
    amount: int
    trade_id: int
    instrument: int
    order_id: int


# --- state ---------------------------------------------------------------------------------------


@dataclass(slots=True, eq=False)
class Instrument:
    """The terms, the book, and the day so far. Orders of `bids`, `asks` stand best first, oldest first."""

    number: int
    terms: InstrumentTerms
    session: Session
    no_cancel: bool = False
    bids: list["Order"] = field(default_factory=list)
    asks: list["Order"] = field(default_factory=list)
    stops: list["Order"] = field(default_factory=list)
    last_price: int = 0
    breaker_price: int = 0
    open_price: int = 0
    high_price: int = 0
    low_price: int = 0
    volume: int = 0
    turnover: int = 0

    @property
    def futures(self) -> bool:
        return bool(self.terms.flags & InstrumentFlag.FUTURES)

    @property
    def next_day(self) -> bool:
        """Whether purchases and proceeds are free on the next business day only."""
        return bool(self.terms.flags & InstrumentFlag.T1)

    def side(self, side: Side) -> list["Order"]:
        return self.bids if side == Side.BUY else self.asks

    def best(self, side: Side) -> int:
        """The best price of a side, 0 when it is empty."""
        orders = self.side(side)
        return orders[0].price if orders else 0

    @property
    def crossed(self) -> bool:
        return bool(self.bids and self.asks and self.bids[0].price >= self.asks[0].price)

    def sort(self) -> None:
        self.bids.sort(key=lambda order: (-order.price, order.turn))
        self.asks.sort(key=lambda order: (order.price, order.turn))

    # Prices

    def on_tick(self, price: int) -> bool:
        return 0 < price <= PRICE_TICKS_MAX * self.terms.tick_size and price % self.terms.tick_size == 0

    def notional(self, price: int, quantity: int) -> int:
        return divide(price * quantity * self.terms.contract_size, self.terms.price_scale)

    def band(self) -> tuple[int, int]:
        """The lowest and the highest price allowed."""
        if not self.terms.price_band_ppm or not self.terms.reference_price:
            return 0, PRICE_TICKS_MAX * self.terms.tick_size
        return self.around(self.terms.reference_price, self.terms.price_band_ppm)

    def around(self, reference: int, ppm: int) -> tuple[int, int]:
        """So many millionths below and above a price, on the tick: the nearest, for futures towards the price."""
        tick = self.terms.tick_size
        low, high, unit = reference * (MILLION - ppm), reference * (MILLION + ppm), MILLION * tick
        if self.futures:
            low_ticks, high_ticks = -(-low // unit), high // unit
        else:
            low_ticks, high_ticks = (2 * low + unit) // (2 * unit), (2 * high + unit) // (2 * unit)
        return max(0, low_ticks * tick), min(PRICE_TICKS_MAX, high_ticks) * tick

    def moved(self, price: int, side: Side, ppm: int) -> int:
        """The price made worse for `side` by so many millionths, rounded towards where it was."""
        tick = self.terms.tick_size
        by = price * ppm // (MILLION * tick) * tick
        if side == Side.BUY:
            return min(price + by, PRICE_TICKS_MAX * tick)
        return max(price - by, tick)

    def protection(self, price: int, side: Side) -> int:
        """How far a market order may go from `price`, inside the band."""
        low, high = self.band()
        moved = self.moved(price, side, self.terms.market_protection_ppm)
        return min(moved, high) if side == Side.BUY else max(moved, low)

    def breaks(self, price: int) -> bool:
        """Whether a trade at this price is too far from the breaker's reference."""
        if not self.terms.circuit_breaker_ppm or not self.breaker_price:
            return False
        return abs(price - self.breaker_price) * MILLION > self.breaker_price * self.terms.circuit_breaker_ppm


@dataclass(slots=True, eq=False)
class TradingAccount:
    """Which account it uses in which ledger, and whose it is."""

    id: int
    number: int
    links: dict[int, int]
    owner: str = ""
    desk: str = ""


@dataclass(slots=True, eq=False)
class Holding:
    """What trading holds of a ledger account."""

    account_id: int
    held: int = 0  # by orders, and as margin of positions
    proceeds: int = 0  # of the day's sales (T+1), as far as they have not been spent
    bought: int = 0  # today (T+1)
    pending: int = 0  # what of this stands in the account's debits_pending

    def wanted(self) -> int:
        return max(self.held, self.proceeds) + self.bought


@dataclass(slots=True, eq=False)
class Position:
    """Of a trading account in an instrument; all of it about futures."""

    account: TradingAccount
    instrument: Instrument
    long: int = 0
    short: int = 0
    long_today: int = 0
    short_today: int = 0
    long_basis: int = 0
    short_basis: int = 0
    closing_long: int = 0  # spoken for by open orders
    closing_short: int = 0
    margin: int = 0
    shortfall: int = 0


@dataclass(slots=True, eq=False)
class Order:
    """An order, open or not."""

    id: int
    command: NewOrder
    account: TradingAccount
    instrument: Instrument
    price: int  # limit or protection price
    stop_price: int
    quantity: int
    leaves: int
    visible: int = 0
    filled: int = 0
    status: OrderStatus = OrderStatus.NEW
    reason: Reason = Reason.NONE
    place: str = ""  # "book", "stops" or nowhere
    turn: int = 0  # order in the queue of its price
    held: int = 0
    held_fees: int = 0  # part of `held`
    closing: int = 0  # futures: part of `leaves`
    commission: int = 0  # charged
    commission_exact: int = 0  # what the rates alone would have charged
    other_fees: int = 0
    turnover: int = 0

    @property
    def side(self) -> Side:
        return self.command.side

    @property
    def buys(self) -> bool:
        return self.command.side == Side.BUY

    @property
    def opposite(self) -> Side:
        return Side.SELL if self.buys else Side.BUY

    @property
    def prevents(self) -> bool:
        return self.command.self_trade_prevention != SelfTradePrevention.NONE

    def reaches(self, price: int) -> bool:
        """Whether it would trade at a price of the other side."""
        return price <= self.price if self.buys else price >= self.price


@dataclass(slots=True, eq=False)
class Trade:
    """A trade and what is needed to take it back."""

    id: int
    instrument: Instrument
    price: int
    quantity: int
    notional: int
    buy: Order
    sell: Order
    maker: Order
    taker: Order
    date: int
    buy_commission: int = 0
    buy_exact: int = 0
    buy_transfer: int = 0
    sell_commission: int = 0
    sell_exact: int = 0
    sell_transfer: int = 0
    duty: int = 0
    closed: dict[Side, tuple[int, int]] = field(default_factory=dict)  # quantity, basis
    spent: int = 0  # of the buyer's proceeds of the day
    legs: list[Generated] = field(default_factory=list)
    corrects: int = 0
    state: TradeState = TradeState.DONE

    @property
    def buy_fee(self) -> int:
        return self.buy_commission + self.buy_transfer

    @property
    def sell_fee(self) -> int:
        return self.sell_commission + self.sell_transfer

    def fee(self, order: Order) -> int:
        return self.buy_fee if order.buys else self.sell_fee + self.duty


# --- arithmetic ----------------------------------------------------------------------------------


def divide(value: int, by: int) -> int:
    """Rounded half to even."""
    quotient, rest = divmod(value, by)
    return quotient + (2 * rest > by or (2 * rest == by and quotient % 2 == 1))


def ppm_of(amount: int, ppm: int) -> int:
    return divide(amount * ppm, MILLION)
