"""Orders for both clients: what goes into a call and what comes out of it.

Prices and quantities are integers in the units of the instrument, see docs/TRADING.md; timestamps are nanoseconds
since 1970-01-01 UTC. Names (sides, types, states, reasons) are the protocol's.
"""

import uuid
from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec

from server.client import codec
from server.client.calls import Call
from server.client.errors import ProtocolError

T = TypeVar("T")


class Order(msgspec.Struct, frozen=True, omit_defaults=True):
    """An order to submit; members as in the protocol, None leaves one out."""

    client_order_id: uuid.UUID
    account_id: int
    instrument: str
    side: str
    type: str
    quantity: int
    price: int | None = None
    stop_price: int | None = None
    time_in_force: str | None = None
    expire_time: int | None = None
    display_quantity: int | None = None
    post_only: bool | None = None
    self_trade_prevention: str | None = None
    offset: str | None = None


class Replace(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is to change of an order, which is named by `order_id` or `client_order_id`; also a cancel, then nothing."""

    account_id: int
    order_id: int | None = None
    client_order_id: uuid.UUID | None = None
    quantity: int | None = None
    price: int | None = None
    stop_price: int | None = None


class Fill(msgspec.Struct, frozen=True):
    """One fill of an order, seen from its side."""

    exec_id: int
    trade_id: int
    price: int
    quantity: int
    fee: int


class Refusal(msgspec.Struct, frozen=True):
    """The limit that an order was refused by: `asked` beside what was `used` is more than `value`."""

    name: str
    scope: str
    value: int
    used: int
    asked: int
    headroom: int
    id: int | str | None = None


class OrderResult(msgspec.Struct, frozen=True):
    """What became of one order, cancel or replace."""

    status: str
    order_id: int
    cum_quantity: int
    leaves_quantity: int
    timestamp: int
    reason: str = ""
    order_status: str = ""
    """With the status `exists`: that of the order that is there."""
    fills: list[Fill] = []
    limit: Refusal | None = None
    check: int = 0
    """With the reason `own_check`: the number of the check that refused, …"""
    check_name: str = ""
    """… its name, and that of its reason."""

    @property
    def accepted(self) -> bool:
        """Whether the order was taken, now or by an earlier copy of the request."""
        return (self.order_status or self.status) != "rejected"


class OrderState(msgspec.Struct, frozen=True):
    """An order as the engine has it."""

    order_id: int
    client_order_id: uuid.UUID
    account_id: int
    instrument: str
    side: str
    type: str
    status: str
    quantity: int
    price: int
    cum_quantity: int
    leaves_quantity: int
    visible_quantity: int
    time_in_force: str
    timestamp: int
    updated: int
    reason: str = ""
    stop_price: int = 0
    expire_time: int = 0
    display_quantity: int = 0
    post_only: bool = False
    self_trade_prevention: str = "none"
    offset: str = "auto"
    reserved_amount: int = 0
    turnover: int = 0
    fees: int = 0


class Execution(msgspec.Struct, frozen=True):
    """What happened to an order; `seq` is the log entry."""

    exec_id: int
    kind: str
    order_id: int
    client_order_id: uuid.UUID
    account_id: int
    instrument: str
    side: str
    type: str
    price: int
    quantity: int
    status: str
    leaves_qty: int
    cum_qty: int
    timestamp: int
    seq: int
    reason: str = ""
    trade_id: int = 0
    last_px: int = 0
    last_qty: int = 0
    fee: int = 0


class Trade(msgspec.Struct, frozen=True):
    """A trade; the members about a side are 0 when it is not for the channel to see."""

    trade_id: int
    instrument: str
    price: int
    quantity: int
    taker_side: str
    state: str
    timestamp: int
    seq: int
    corrects: int = 0
    notional: int = 0
    business_date: int = 0
    buy_order_id: int = 0
    buy_account_id: int = 0
    buy_fee: int = 0
    sell_order_id: int = 0
    sell_account_id: int = 0
    sell_fee: int = 0
    duty: int = 0


class InstrumentState(msgspec.Struct, frozen=True):
    """Where an instrument stands; prices are 0 when there is none."""

    instrument: str
    session: str
    cancels: bool
    last_price: int
    reference_price: int
    limit_down: int
    limit_up: int
    indicative_price: int
    indicative_quantity: int
    open_price: int
    high_price: int
    low_price: int
    volume: int
    turnover: int
    timestamp: int


class Book(InstrumentState, frozen=True):
    """The levels of a book, best first: (price, quantity, orders)."""

    bids: list[tuple[int, int, int]] = []
    asks: list[tuple[int, int, int]] = []


class Position(msgspec.Struct, frozen=True):
    """What a trading account holds of an instrument."""

    account_id: int
    instrument: str
    long_quantity: int
    short_quantity: int
    long_today: int = 0
    short_today: int = 0
    long_basis: int = 0
    short_basis: int = 0
    margin: int = 0
    margin_initial: int = 0
    margin_maintenance: int = 0
    unsettled: int = 0
    shortfall: int = 0
    open_buy: int = 0
    open_sell: int = 0
    call: int = 0


class MarketResult(msgspec.Struct, frozen=True):
    """What became of a mass cancel, a change of session or the end of a day."""

    status: str
    timestamp: int
    reason: str = ""
    canceled: int = 0
    uncrossed_price: int = 0
    uncrossed_quantity: int = 0


class TradeResult(msgspec.Struct, frozen=True):
    """What became of a bust or a correction; the id is the new trade's."""

    status: str
    trade_id: int
    timestamp: int
    reason: str = ""


def _call(method: str, params: bytes, kind: Any, *, safe: bool, items: int | None = None) -> Call[Any]:
    decoder = msgspec.json.Decoder(kind)

    def decode(raw: bytes) -> Any:
        try:
            return decoder.decode(raw)
        except msgspec.MsgspecError as error:
            raise ProtocolError(f"the server sent a result of another shape: {error}") from None

    return Call(method, params, decode, safe, items)


def create_instruments(instruments: Sequence[dict[str, Any]]) -> Call[Any]:
    """List instruments."""
    return Call(
        "create_instruments", codec.params_text(list(instruments)), codec.decode_results, items=len(instruments)
    )


def update_instruments(changes: Sequence[dict[str, Any]]) -> Call[Any]:
    """Change terms; not safe to send twice when others change them too."""
    return Call("update_instruments", codec.params_text(list(changes)), codec.decode_results, False, len(changes))


def create_trading_accounts(accounts: Sequence[dict[str, Any]]) -> Call[Any]:
    """Create trading accounts."""
    text = codec.params_text(list(accounts))
    return Call("create_trading_accounts", text, codec.decode_results, items=len(accounts))


def submit_orders(orders: Sequence[Order]) -> Call[Any]:
    """Submit orders; the second copy of one is answered `exists`, with its state."""
    return _call("submit_orders", msgspec.json.encode(orders), list[OrderResult], safe=True, items=len(orders))


def cancel_orders(orders: Sequence[Replace]) -> Call[Any]:
    """Cancel orders; the second copy of one that was canceled is refused with `order_closed`."""
    return _call("cancel_orders", msgspec.json.encode(orders), list[OrderResult], safe=True, items=len(orders))


def replace_orders(orders: Sequence[Replace]) -> Call[Any]:
    """Replace orders; never sent twice."""
    return _call("replace_orders", msgspec.json.encode(orders), list[OrderResult], safe=False, items=len(orders))


def bust_trades(trade_ids: Sequence[int]) -> Call[Any]:
    """Bust trades."""
    text = msgspec.json.encode([{"trade_id": number} for number in trade_ids])
    return _call("bust_trades", text, list[TradeResult], safe=False, items=len(trade_ids))


def correct_trades(prices: dict[int, int]) -> Call[Any]:
    """Correct the price of trades."""
    text = msgspec.json.encode([{"trade_id": number, "price": price} for number, price in prices.items()])
    return _call("correct_trades", text, list[TradeResult], safe=False, items=len(prices))


def market(method: str, members: dict[str, Any]) -> Call[Any]:
    """Make a call of mass_cancel, set_session or end_of_day."""
    return _call(method, codec.params_text(members), MarketResult, safe=False)


def read(method: str, kind: Any, members: dict[str, Any]) -> Call[Any]:
    """Make a call of one of the reads."""
    return _call(method, codec.params_text(members), kind, safe=True)
