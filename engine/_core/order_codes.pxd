# Numbers about orders that stand in commands, results and the log. They never change meaning; new ones go to the end.
# `engine/order_results.py` mirrors them as strict enumerations, and a test holds the two equal.

cdef extern from *:
    """
    #define TB_SESSION_ANY 0xFFFFFFFFFFFFFFFFULL
    """
    const unsigned long long SESSION_ANY "TB_SESSION_ANY"

cdef enum Side:
    SIDE_BUY = 0
    SIDE_SELL = 1

cdef enum OrderType:
    TYPE_LIMIT = 0
    TYPE_MARKET = 1
    TYPE_STOP = 2
    TYPE_STOP_LIMIT = 3

cdef enum TimeInForce:
    TIF_DAY = 0
    TIF_GTC = 1
    TIF_GTD = 2
    TIF_IOC = 3
    TIF_FOK = 4

cdef enum SelfTradePrevention:
    STP_NONE = 0
    STP_CANCEL_NEWEST = 1
    STP_CANCEL_OLDEST = 2
    STP_CANCEL_BOTH = 3
    STP_DECREMENT = 4

cdef enum Offset:
    OFFSET_AUTO = 0
    OFFSET_OPEN = 1
    OFFSET_CLOSE = 2
    OFFSET_CLOSE_TODAY = 3

cdef enum OrderFlag:
    ORDER_POST_ONLY = 1

cdef enum InstrumentFlag:
    INSTRUMENT_FUTURES = 1
    INSTRUMENT_T1 = 2
    INSTRUMENT_MEDIAN_PRICE = 4

cdef enum InstrumentField:              # members that update_instruments may change
    FIELD_REFERENCE_PRICE = 1
    FIELD_PRICE_BAND = 2
    FIELD_PRICE_CAGE = 4
    FIELD_CIRCUIT_BREAKER = 8
    FIELD_MARKET_PROTECTION = 16
    FIELD_MAKER_FEE = 32
    FIELD_TAKER_FEE = 64
    FIELD_TRANSFER_FEE = 128
    FIELD_SELL_DUTY = 256
    FIELD_MINIMUM_FEE = 512
    FIELD_INITIAL_MARGIN = 1024
    FIELD_MAINTENANCE_MARGIN = 2048

cdef enum AmendField:
    AMEND_QUANTITY = 1
    AMEND_PRICE = 2
    AMEND_STOP_PRICE = 4

cdef enum Session:
    SESSION_CLOSED = 0
    SESSION_PRE_OPEN = 1
    SESSION_AUCTION = 2
    SESSION_CONTINUOUS = 3
    SESSION_HALTED = 4

cdef enum SessionFlag:
    SESSION_NO_CANCEL = 1

cdef enum OrderStatus:
    ORDER_NEW = 0
    ORDER_PARTIALLY_FILLED = 1
    ORDER_FILLED = 2
    ORDER_CANCELED = 3
    ORDER_EXPIRED = 4
    ORDER_REJECTED = 5
    ORDER_EXISTS = 6                    # of results only, as all below
    ORDER_REPLACED = 7
    ORDER_DONE = 8                      # mass_cancel, set_session, end_of_day
    ORDER_BUSTED = 9
    ORDER_CORRECTED = 10

cdef enum ExecutionKind:
    EXECUTION_NEW = 0
    EXECUTION_FILL = 1                  # status says whether partial or full
    EXECUTION_CANCELED = 2
    EXECUTION_REPLACED = 3
    EXECUTION_EXPIRED = 4
    EXECUTION_REJECTED = 5
    EXECUTION_TRIGGERED = 6
    EXECUTION_RESTATED = 7              # an iceberg's next slice, or a decrement
    EXECUTION_BUSTED = 8
    EXECUTION_CORRECTED = 9

cdef enum TradeState:
    TRADE_DONE = 0
    TRADE_BUSTED = 1
    TRADE_CORRECTED = 2                 # busted, and posted anew as another trade

cdef enum OrderFilterFlag:
    FILTER_OPEN_ONLY = 1
    FILTER_MARGIN_CALLS = 2
    FILTER_NEWEST_FIRST = 4

cdef enum TransferCode:                 # codes of transfers and accounts that the engine makes
    CODE_CLEARING = 65000               # of the clearing account of a ledger
    CODE_TRADE_CASH = 65001
    CODE_TRADE_ASSET = 65002
    CODE_TRADE_FEE = 65003
    CODE_TRADE_DUTY = 65004
    CODE_REALISED_PROFIT = 65005
    CODE_REALISED_LOSS = 65006
    CODE_VARIATION_MARGIN = 65007
    CODE_REVERSED = 100                 # added to the code of a leg that a bust reverses

cdef enum Reason:
    REASON_NONE = 0
    REASON_UNKNOWN_INSTRUMENT = 1
    REASON_UNKNOWN_ACCOUNT = 2
    REASON_SESSION_CLOSED = 3
    REASON_PRICE_NOT_ON_TICK = 4
    REASON_QUANTITY_NOT_IN_LOTS = 5
    REASON_PRICE_OUTSIDE_BAND = 6
    REASON_INSUFFICIENT_FUNDS = 7
    REASON_INSUFFICIENT_HOLDINGS = 8
    REASON_WOULD_CROSS = 9
    REASON_FOK_NOT_FILLABLE = 10
    REASON_NO_LIQUIDITY = 11
    # limits
    REASON_MAX_QUANTITY = 12
    REASON_MAX_NOTIONAL = 13
    REASON_PRICE_COLLAR = 14
    REASON_OPEN_ORDERS = 15
    REASON_OPEN_NOTIONAL = 16
    REASON_POSITION_LONG = 17
    REASON_POSITION_SHORT = 18
    REASON_GROSS_EXPOSURE = 19
    REASON_CREDIT_LIMIT = 20
    REASON_DAILY_LOSS = 21
    REASON_ORDER_RATE = 22
    REASON_DUPLICATE_ORDER = 23
    REASON_RESTRICTED = 24
    REASON_KILL_SWITCH = 25
    REASON_SUITABILITY = 26
    # ours
    REASON_NOT_PERMITTED = 27           # a linked account is outside the channel's scope
    REASON_TYPE_NOT_ALLOWED = 28        # an order that this session state does not take
    REASON_INVALID_COMBINATION = 29
    REASON_OVERFLOW = 30
    REASON_LEDGER_NOT_LINKED = 31
    REASON_ACCOUNT_CLOSED = 32
    REASON_ACCOUNT_FROZEN = 33
    REASON_UNKNOWN_ORDER = 34
    REASON_ORDER_CLOSED = 35
    REASON_CANCEL_NOT_ALLOWED = 36
    REASON_ALREADY_FILLED = 37
    REASON_SELF_TRADE = 38              # of a cancel by self-trade prevention, or a decrement
    REASON_MASS_CANCEL = 39
    REASON_SESSION_ENDED = 40           # cancel on disconnect
    REASON_END_OF_DAY = 41
    REASON_CIRCUIT_BREAKER = 42
    REASON_UNKNOWN_TRADE = 43
    REASON_TRADE_BUSTED = 44            # it has been busted already
    REASON_TRADE_SETTLED = 45           # it is of an earlier business date
    REASON_DATE_NOT_LATER = 46
    REASON_NET_EXPOSURE = 47            # limits, as 12 to 26
    REASON_ORDER_TO_TRADE = 48
    REASON_SHORT_SALE = 49
    REASON_OWN_CHECK = 50               # a check of the institution's own
    REASON_RISK_FAILED = 51             # a check did not come to a verdict
    REASON_COUNT = 52                   # not a reason: how many there are
