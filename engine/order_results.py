"""Names and numbers about orders: sides, types, states, reasons, codes of generated transfers.

The numbers are those of `engine/_core/order_codes.pxd`; a test holds the two equal. Names in JSON are the members'
names in lower case.
"""

from enum import IntEnum, IntFlag


class Side(IntEnum):
    """Which side of the book."""

    BUY = 0
    SELL = 1


class OrderType(IntEnum):
    """What kind of order."""

    LIMIT = 0
    MARKET = 1
    STOP = 2
    STOP_LIMIT = 3


class TimeInForce(IntEnum):
    """How long an order stands."""

    DAY = 0
    GTC = 1
    GTD = 2
    IOC = 3
    FOK = 4


class SelfTradePrevention(IntEnum):
    """What happens when an order would meet one of the same trading account."""

    NONE = 0
    CANCEL_NEWEST = 1
    CANCEL_OLDEST = 2
    CANCEL_BOTH = 3
    DECREMENT = 4


class Offset(IntEnum):
    """Futures: whether an order opens or closes a position."""

    AUTO = 0
    OPEN = 1
    CLOSE = 2
    CLOSE_TODAY = 3


class OrderFlag(IntFlag):
    """Flags of an order."""

    POST_ONLY = 1


class InstrumentFlag(IntFlag):
    """What kind of instrument."""

    FUTURES = 1
    T1 = 2
    MEDIAN_PRICE = 4


class InstrumentField(IntFlag):
    """Members that update_instruments may change."""

    REFERENCE_PRICE = 1
    PRICE_BAND = 2
    PRICE_CAGE = 4
    CIRCUIT_BREAKER = 8
    MARKET_PROTECTION = 16
    MAKER_FEE = 32
    TAKER_FEE = 64
    TRANSFER_FEE = 128
    SELL_DUTY = 256
    MINIMUM_FEE = 512
    INITIAL_MARGIN = 1024
    MAINTENANCE_MARGIN = 2048


class AmendField(IntFlag):
    """Members that replace_orders may change."""

    QUANTITY = 1
    PRICE = 2
    STOP_PRICE = 4


class Session(IntEnum):
    """Trading state of an instrument."""

    CLOSED = 0
    PRE_OPEN = 1
    AUCTION = 2
    CONTINUOUS = 3
    HALTED = 4


class SessionFlag(IntFlag):
    """Conditions of a trading state."""

    NO_CANCEL = 1


class OrderStatus(IntEnum):
    """Where an order stands; the last ones are of results only."""

    NEW = 0
    PARTIALLY_FILLED = 1
    FILLED = 2
    CANCELED = 3
    EXPIRED = 4
    REJECTED = 5
    EXISTS = 6
    REPLACED = 7
    DONE = 8
    BUSTED = 9
    CORRECTED = 10


class ExecutionKind(IntEnum):
    """What happened to an order."""

    NEW = 0
    FILL = 1
    CANCELED = 2
    REPLACED = 3
    EXPIRED = 4
    REJECTED = 5
    TRIGGERED = 6
    RESTATED = 7
    BUSTED = 8
    CORRECTED = 9


class TradeState(IntEnum):
    """Whether a trade stands."""

    DONE = 0
    BUSTED = 1
    CORRECTED = 2


class OrderFilterFlag(IntFlag):
    """Options of a query about orders."""

    OPEN_ONLY = 1
    MARGIN_CALLS = 2
    NEWEST_FIRST = 4


class TransferCode(IntEnum):
    """Codes of transfers and accounts that the engine makes."""

    CLEARING = 65000
    TRADE_CASH = 65001
    TRADE_ASSET = 65002
    TRADE_FEE = 65003
    TRADE_DUTY = 65004
    REALISED_PROFIT = 65005
    REALISED_LOSS = 65006
    VARIATION_MARGIN = 65007
    REVERSED = 100


class Reason(IntEnum):
    """Why an order was refused, canceled or not changed."""

    NONE = 0
    UNKNOWN_INSTRUMENT = 1
    UNKNOWN_ACCOUNT = 2
    SESSION_CLOSED = 3
    PRICE_NOT_ON_TICK = 4
    QUANTITY_NOT_IN_LOTS = 5
    PRICE_OUTSIDE_BAND = 6
    INSUFFICIENT_FUNDS = 7
    INSUFFICIENT_HOLDINGS = 8
    WOULD_CROSS = 9
    FOK_NOT_FILLABLE = 10
    NO_LIQUIDITY = 11
    MAX_QUANTITY = 12
    MAX_NOTIONAL = 13
    PRICE_COLLAR = 14
    OPEN_ORDERS = 15
    OPEN_NOTIONAL = 16
    POSITION_LONG = 17
    POSITION_SHORT = 18
    GROSS_EXPOSURE = 19
    CREDIT_LIMIT = 20
    DAILY_LOSS = 21
    ORDER_RATE = 22
    DUPLICATE_ORDER = 23
    RESTRICTED = 24
    KILL_SWITCH = 25
    SUITABILITY = 26
    NOT_PERMITTED = 27
    TYPE_NOT_ALLOWED = 28
    INVALID_COMBINATION = 29
    OVERFLOW = 30
    LEDGER_NOT_LINKED = 31
    ACCOUNT_CLOSED = 32
    ACCOUNT_FROZEN = 33
    UNKNOWN_ORDER = 34
    ORDER_CLOSED = 35
    CANCEL_NOT_ALLOWED = 36
    ALREADY_FILLED = 37
    SELF_TRADE = 38
    MASS_CANCEL = 39
    SESSION_ENDED = 40
    END_OF_DAY = 41
    CIRCUIT_BREAKER = 42
    UNKNOWN_TRADE = 43
    TRADE_BUSTED = 44
    TRADE_SETTLED = 45
    DATE_NOT_LATER = 46
    NET_EXPOSURE = 47
    ORDER_TO_TRADE = 48
    SHORT_SALE = 49
    OWN_CHECK = 50
    RISK_FAILED = 51


SESSION_ANY = 2**64 - 1
"""As the session of a mass cancel: all orders that belong to a session."""

PRICE_TICKS_MAX = 2**30 - 1
"""Highest price, in ticks."""

CLEARING_ACCOUNT_BASE = 2**63 - 2**32
"""The clearing account of a ledger has this id plus the ledger's number."""
