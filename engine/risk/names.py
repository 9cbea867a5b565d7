"""Names of limits and of whose they are, as in `engine/_core/risk_records.pxd`; a test holds the numbers equal."""

from enum import IntEnum


class LimitScope(IntEnum):
    """Whose limits."""

    ACCOUNT = 0
    DESK = 1
    CLIENT = 2
    INSTRUMENT = 3
    DEFAULT = 4
    APPROVAL = 5


class LimitName(IntEnum):
    """A limit: its place in LIMITS."""

    MAX_QUANTITY = 0
    MAX_NOTIONAL = 1
    PRICE_COLLAR = 2
    OPEN_ORDERS = 3
    OPEN_NOTIONAL = 4
    POSITION_LONG = 5
    POSITION_SHORT = 6
    GROSS_EXPOSURE = 7
    NET_EXPOSURE = 8
    CREDIT_LIMIT = 9
    DAILY_LOSS = 10
    ORDER_RATE = 11
    ORDER_BURST = 12
    ORDER_TO_TRADE = 13
    ORDER_TO_TRADE_FREE = 14
    DUPLICATE_ORDER = 15
    SHORT_SALE = 16
    SUITABILITY = 17
    SUITABILITY_CONFIRMED = 18
    PROGRAMME_RATE = 19
    PROGRAMME_DAY = 20
    RESTRICTED = 21
    KILL_SWITCH = 22
    EXPOSURE_RATE = 23
