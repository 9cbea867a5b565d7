# The methods of the protocol, in the order of their bits in a permission mask (bit = 1 << number).

cdef enum MethodNumber:
    METHOD_LOGON = 0
    METHOD_PING = 1
    METHOD_CREATE_ACCOUNTS = 2
    METHOD_CREATE_TRANSFERS = 3
    METHOD_UPDATE_ACCOUNTS = 4
    METHOD_LOOKUP_ACCOUNTS = 5
    METHOD_LOOKUP_TRANSFERS = 6
    METHOD_GET_ACCOUNT_TRANSFERS = 7
    METHOD_GET_ACCOUNT_BALANCES = 8
    METHOD_QUERY_ACCOUNTS = 9
    METHOD_QUERY_TRANSFERS = 10
    METHOD_SERVER_STATUS = 11           # Python answers these two, with the `admin` permission
    METHOD_TAKE_SNAPSHOT = 12
    METHOD_CREATE_INSTRUMENTS = 16      # 13 to 15 are free
    METHOD_UPDATE_INSTRUMENTS = 17
    METHOD_CREATE_TRADING_ACCOUNTS = 18
    METHOD_SUBMIT_ORDERS = 19
    METHOD_CANCEL_ORDERS = 20
    METHOD_REPLACE_ORDERS = 21
    METHOD_MASS_CANCEL = 22
    METHOD_SET_SESSION = 23
    METHOD_END_OF_DAY = 24
    METHOD_BUST_TRADES = 25
    METHOD_CORRECT_TRADES = 26
    METHOD_GET_ORDERS = 27
    METHOD_GET_BOOK = 28
    METHOD_GET_TRADES = 29
    METHOD_GET_POSITIONS = 30
    METHOD_GET_MARGIN_CALLS = 31
    METHOD_GET_EXECUTIONS = 32
    METHOD_GET_INSTRUMENTS = 33
    METHOD_SUBSCRIBE = 34               # Python answers these two
    METHOD_UNSUBSCRIBE = 35
    METHOD_SET_LIMITS = 36
    METHOD_KILL_SWITCH = 37
    METHOD_APPROVE_LIMITS = 38
    METHOD_GET_LIMITS = 39
    METHOD_GET_PROPOSALS = 40
    METHOD_COUNT = 41

cdef enum ErrorNumber:
    ERROR_PARSE = -32700                # closes the connection
    ERROR_REQUEST = -32600
    ERROR_METHOD = -32601
    ERROR_PARAMS = -32602
    ERROR_INTERNAL = -32000
    ERROR_NOT_LOGGED_ON = -32001
    ERROR_NOT_PERMITTED = -32002
    ERROR_BUSY = -32003
    ERROR_TOO_LARGE = -32004            # closes the connection
    ERROR_CAPACITY = -32005
    ERROR_SCAN_LIMIT = -32006
    ERROR_BEHIND = -32007
    ERROR_NOT_LEADER = -32008


cdef inline bint read_in_c(int method) noexcept nogil:
    """Whether params of the method become commands of a batch; Python answers the other methods, except ping."""
    return (METHOD_CREATE_ACCOUNTS <= method <= METHOD_QUERY_TRANSFERS
            or METHOD_CREATE_INSTRUMENTS <= method <= METHOD_GET_INSTRUMENTS
            or METHOD_SET_LIMITS <= method <= METHOD_GET_PROPOSALS)
