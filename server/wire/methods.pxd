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
    METHOD_SERVER_STATUS = 11           # from here on Python answers, with the `admin` permission
    METHOD_TAKE_SNAPSHOT = 12
    METHOD_COUNT = 13                   # numbers from 16 on are for orders and limits

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
