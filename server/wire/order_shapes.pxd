# The shapes of the params of the order methods. As in `shapes`, which holds their kinds.

from server.wire.shapes cimport Shape

cdef enum:                              # indices in the fields of the shapes, as far as the code names them
    ORDER_CLIENT_ID = 0
    ORDER_PRICE = 6
    ORDER_STOP_PRICE = 7
    ORDER_EXPIRE_TIME = 9
    ORDER_POST_ONLY_FIELD = 11
    ORDER_TEMPLATE = 0x3F               # the first six
    AMEND_ORDER_ID = 1
    AMEND_CLIENT_ID = 2
    AMEND_FIRST = 3                     # from here on the bits of AmendField
    SESSION_CANCELS = 2
    DAY_DATE = 0
    INSTRUMENT_TICK = 3
    INSTRUMENT_LOT = 4
    INSTRUMENT_PRICE_SCALE = 5
    INSTRUMENT_CONTRACT_SIZE = 6
    INSTRUMENT_PROTECTION = 17
    INSTRUMENT_SETTLEMENT = 18
    INSTRUMENT_PRICING = 19
    INSTRUMENT_KIND = 20
    INSTRUMENT_SESSION = 23
    INSTRUMENT_PROFILE = 24
    INSTRUMENT_FIELDS = 25
    ORDERS_MIN = 0                      # of the filters' shapes, as far as they have them
    ORDERS_MAX = 1
    ORDERS_LIMIT = 2
    ORDERS_FLAG = 3                     # open_only or reversed; both of get_orders and get_executions
    ORDERS_REVERSED = 4

cdef Shape order_shape
cdef Shape amend_shape                  # of cancel_orders the first AMEND_FIRST fields
cdef Shape cancel_shape
cdef Shape mass_cancel_shape
cdef Shape session_shape
cdef Shape day_shape
cdef Shape bust_shape
cdef Shape correct_shape
cdef Shape instrument_shape
cdef Shape instrument_update_shape      # fields behind the first: the bits of InstrumentField
cdef Shape trading_account_shape
cdef Shape orders_shape                 # get_orders
cdef Shape book_shape                   # get_book
cdef Shape trades_shape                 # get_trades
cdef Shape executions_shape             # get_executions
cdef Shape positions_shape              # get_positions, get_margin_calls
cdef Shape instruments_shape            # get_instruments

cdef dict order_fields                  # method -> (fields, what an item is called), for messages
