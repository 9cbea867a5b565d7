"""See `order_shapes.pxd`."""

from engine._core.order_codes cimport INSTRUMENT_FUTURES, INSTRUMENT_MEDIAN_PRICE, INSTRUMENT_T1
from engine._core.order_records cimport (
    AmendCommand, DayCommand, InstrumentCommand, MassCancelCommand, OrderCommand, OrderFilter, SessionCommand,
    TradeCommand, TradingAccountCommand,
)
from server.wire.methods cimport (
    METHOD_BUST_TRADES, METHOD_CANCEL_ORDERS, METHOD_CORRECT_TRADES, METHOD_CREATE_INSTRUMENTS,
    METHOD_CREATE_TRADING_ACCOUNTS, METHOD_END_OF_DAY, METHOD_GET_BOOK, METHOD_GET_EXECUTIONS,
    METHOD_GET_INSTRUMENTS, METHOD_GET_MARGIN_CALLS, METHOD_GET_ORDERS, METHOD_GET_POSITIONS, METHOD_GET_TRADES,
    METHOD_MASS_CANCEL, METHOD_REPLACE_ORDERS, METHOD_SET_SESSION, METHOD_SUBMIT_ORDERS, METHOD_UPDATE_INSTRUMENTS,
)
from server.wire.shapes cimport (
    KIND_BIT, KIND_BOOLEAN, KIND_INTEGER, KIND_LIMIT, KIND_LINKS, KIND_NAME, KIND_PRICES, KIND_PROFILE, KIND_SYMBOL,
    KIND_TEXT, KIND_UUID, build, offset,
)

cdef OrderCommand order
cdef AmendCommand amend
cdef MassCancelCommand mass
cdef SessionCommand session
cdef DayCommand day
cdef TradeCommand trade
cdef InstrumentCommand terms
cdef TradingAccountCommand account
cdef OrderFilter wanted

INT63, INT32 = 2**63 - 1, 2**32 - 1


def number(name: str, place: int, width: int = 8, *, required: bool = False, minimum: int = 0) -> tuple:
    return name, KIND_INTEGER, place, width, minimum, INT63 if width == 8 else INT32, required


def uuid(name: str, place: int, *, required: bool = False) -> tuple:
    return name, KIND_UUID, place, 16, 0, 0, required


def symbol(place: int, *, required: bool = False) -> tuple:
    return "instrument", KIND_SYMBOL, place, 24, 0, 0, required


def choice(name: str, place: int, width: int = 2, *, required: bool = False, minimum: int = 0) -> tuple:
    return name, KIND_NAME, place, width, minimum, 0, required


def boolean(name: str) -> tuple:
    return name, KIND_BOOLEAN, 0, 0, 0, 0, False


# The first seven are the template's, in its order.
submit_fields = build(&order_shape, NULL, [
    uuid("client_order_id", offset(&order, &order.client_order_id_lo), required=True),
    number("account_id", offset(&order, &order.account_id), required=True),
    symbol(offset(&order, &order.symbol_0), required=True),
    choice("side", offset(&order, &order.side), required=True),
    choice("type", offset(&order, &order.type), required=True),
    number("quantity", offset(&order, &order.quantity), required=True),
    number("price", offset(&order, &order.price)),
    number("stop_price", offset(&order, &order.stop_price)),
    choice("time_in_force", offset(&order, &order.time_in_force)),
    number("expire_time", offset(&order, &order.expire_time)),
    number("display_quantity", offset(&order, &order.display_quantity)),
    boolean("post_only"),
    choice("self_trade_prevention", offset(&order, &order.self_trade_prevention)),
    choice("offset", offset(&order, &order.offset)),
])

CANCEL = [
    number("account_id", offset(&amend, &amend.account_id), required=True),
    number("order_id", offset(&amend, &amend.order_id), minimum=1),
    uuid("client_order_id", offset(&amend, &amend.client_order_id_lo)),
]
cancel_fields = build(&cancel_shape, NULL, CANCEL)
replace_fields = build(&amend_shape, NULL, [
    *CANCEL,
    number("quantity", offset(&amend, &amend.quantity)),
    number("price", offset(&amend, &amend.price)),
    number("stop_price", offset(&amend, &amend.stop_price)),
])

mass_cancel_fields = build(&mass_cancel_shape, NULL, [
    number("account_id", offset(&mass, &mass.account_id), minimum=1),
    symbol(offset(&mass, &mass.symbol_0)),
    choice("side", offset(&mass, &mass.sides), 4, minimum=1),
])

session_fields = build(&session_shape, NULL, [
    symbol(offset(&session, &session.symbol_0), required=True),
    choice("state", offset(&session, &session.state), required=True),
    boolean("cancels"),
])

day_fields = build(&day_shape, NULL, [
    number("business_date", offset(&day, &day.business_date), 4, required=True),
    ("settlement_prices", KIND_PRICES, 0, 0, 0, 0, False),
])

bust_fields = build(&bust_shape, NULL, [
    number("trade_id", offset(&trade, &trade.trade_id), required=True, minimum=1),
])
correct_fields = build(&correct_shape, NULL, [
    number("trade_id", offset(&trade, &trade.trade_id), required=True, minimum=1),
    number("price", offset(&trade, &trade.price), required=True, minimum=1),
])

instrument_fields = build(&instrument_shape, NULL, [
    symbol(offset(&terms, &terms.symbol_0), required=True),
    number("base_ledger", offset(&terms, &terms.base_ledger), 4, required=True),
    number("quote_ledger", offset(&terms, &terms.quote_ledger), 4, required=True),
    number("tick_size", offset(&terms, &terms.tick_size), required=True),
    number("lot_size", offset(&terms, &terms.lot_size), required=True),
    number("price_scale", offset(&terms, &terms.price_scale)),
    number("contract_size", offset(&terms, &terms.contract_size)),
    number("maker_fee_ppm", offset(&terms, &terms.maker_fee_ppm), 4),
    number("taker_fee_ppm", offset(&terms, &terms.taker_fee_ppm), 4),
    number("minimum_fee", offset(&terms, &terms.minimum_fee)),
    number("transfer_fee_ppm", offset(&terms, &terms.transfer_fee_ppm), 4),
    number("sell_duty_ppm", offset(&terms, &terms.sell_duty_ppm), 4),
    number("fee_account_id", offset(&terms, &terms.fee_account_id)),
    number("price_band_ppm", offset(&terms, &terms.price_band_ppm), 4),
    number("reference_price", offset(&terms, &terms.reference_price)),
    number("price_cage_ppm", offset(&terms, &terms.price_cage_ppm), 4),
    number("circuit_breaker_ppm", offset(&terms, &terms.circuit_breaker_ppm), 4),
    number("market_protection_ppm", offset(&terms, &terms.market_protection_ppm), 4),
    ("settlement", KIND_BIT, offset(&terms, &terms.flags), 2, 0, INSTRUMENT_T1, False),
    ("pricing", KIND_BIT, offset(&terms, &terms.flags), 2, 0, INSTRUMENT_MEDIAN_PRICE, False),
    ("kind", KIND_BIT, offset(&terms, &terms.flags), 2, 0, INSTRUMENT_FUTURES, False),
    number("initial_margin_ppm", offset(&terms, &terms.initial_margin_ppm), 4),
    number("maintenance_margin_ppm", offset(&terms, &terms.maintenance_margin_ppm), 4),
    choice("session", offset(&terms, &terms.session)),
    ("profile", KIND_PROFILE, 0, 0, 0, 0, False),
])

update_fields = build(&instrument_update_shape, NULL, [
    symbol(offset(&terms, &terms.symbol_0), required=True),
    number("reference_price", offset(&terms, &terms.reference_price)),
    number("price_band_ppm", offset(&terms, &terms.price_band_ppm), 4),
    number("price_cage_ppm", offset(&terms, &terms.price_cage_ppm), 4),
    number("circuit_breaker_ppm", offset(&terms, &terms.circuit_breaker_ppm), 4),
    number("market_protection_ppm", offset(&terms, &terms.market_protection_ppm), 4),
    number("maker_fee_ppm", offset(&terms, &terms.maker_fee_ppm), 4),
    number("taker_fee_ppm", offset(&terms, &terms.taker_fee_ppm), 4),
    number("transfer_fee_ppm", offset(&terms, &terms.transfer_fee_ppm), 4),
    number("sell_duty_ppm", offset(&terms, &terms.sell_duty_ppm), 4),
    number("minimum_fee", offset(&terms, &terms.minimum_fee)),
    number("initial_margin_ppm", offset(&terms, &terms.initial_margin_ppm), 4),
    number("maintenance_margin_ppm", offset(&terms, &terms.maintenance_margin_ppm), 4),
])

trading_account_fields = build(&trading_account_shape, NULL, [
    number("id", offset(&account, &account.id), required=True),
    ("accounts", KIND_LINKS, offset(&account, &account.link_first), 8, 0, 0, True),
    ("owner", KIND_TEXT, offset(&account, &account.owner_0), 24, 0, 0, False),
    ("desk", KIND_TEXT, offset(&account, &account.desk_0), 24, 0, 0, False),
])

LIMIT = ("limit", KIND_LIMIT, offset(&wanted, &wanted.limit), 4, 1, INT32, False)
TIMES = [
    number("timestamp_min", offset(&wanted, &wanted.timestamp_min)),
    number("timestamp_max", offset(&wanted, &wanted.timestamp_max)),
    LIMIT,
]
ACCOUNT = number("account_id", offset(&wanted, &wanted.account_id), minimum=1)
SYMBOL = symbol(offset(&wanted, &wanted.symbol_0))
ORDER_ID = number("order_id", offset(&wanted, &wanted.order_id), minimum=1)
AFTER = number("after", offset(&wanted, &wanted.after))
FROM_SEQ = number("from_seq", offset(&wanted, &wanted.batch_min))

get_orders_fields = build(&orders_shape, NULL, [
    *TIMES, boolean("open_only"), boolean("reversed"), ACCOUNT, SYMBOL, ORDER_ID, AFTER,
])
get_book_fields = build(&book_shape, NULL, [
    symbol(offset(&wanted, &wanted.symbol_0), required=True),
    ("depth", KIND_LIMIT, offset(&wanted, &wanted.limit), 4, 1, INT32, False),
])
get_trades_fields = build(&trades_shape, NULL, [
    *TIMES, boolean("reversed"), ACCOUNT, SYMBOL, AFTER, FROM_SEQ,
])
get_executions_fields = build(&executions_shape, NULL, [
    *TIMES, boolean("reversed"), ACCOUNT, SYMBOL, ORDER_ID, AFTER, FROM_SEQ,
])
get_positions_fields = build(&positions_shape, NULL, [ACCOUNT, SYMBOL, LIMIT])
get_instruments_fields = build(&instruments_shape, NULL, [SYMBOL, LIMIT])

order_fields = {
    METHOD_CREATE_INSTRUMENTS: (instrument_fields, "an instrument"),
    METHOD_UPDATE_INSTRUMENTS: (update_fields, "an instrument update"),
    METHOD_CREATE_TRADING_ACCOUNTS: (trading_account_fields, "a trading account"),
    METHOD_SUBMIT_ORDERS: (submit_fields, "an order"),
    METHOD_CANCEL_ORDERS: (cancel_fields, "a cancel"),
    METHOD_REPLACE_ORDERS: (replace_fields, "a replace"),
    METHOD_MASS_CANCEL: (mass_cancel_fields, "this method's params"),
    METHOD_SET_SESSION: (session_fields, "this method's params"),
    METHOD_END_OF_DAY: (day_fields, "this method's params"),
    METHOD_BUST_TRADES: (bust_fields, "a bust"),
    METHOD_CORRECT_TRADES: (correct_fields, "a correction"),
    METHOD_GET_ORDERS: (get_orders_fields, "this method's params"),
    METHOD_GET_BOOK: (get_book_fields, "this method's params"),
    METHOD_GET_TRADES: (get_trades_fields, "this method's params"),
    METHOD_GET_POSITIONS: (get_positions_fields, "this method's params"),
    METHOD_GET_MARGIN_CALLS: (get_positions_fields, "this method's params"),
    METHOD_GET_EXECUTIONS: (get_executions_fields, "this method's params"),
    METHOD_GET_INSTRUMENTS: (get_instruments_fields, "this method's params"),
}
