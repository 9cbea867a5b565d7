"""The methods and error codes of the protocol, as Python sees them.

The numbers are those of `methods.pxd`; a test holds the two equal.
"""

from enum import IntEnum, IntFlag


class Method(IntFlag):
    """A bit per method, for permission masks. A member's name in lower case is the method's name in JSON."""

    LOGON = 1 << 0
    PING = 1 << 1
    CREATE_ACCOUNTS = 1 << 2
    CREATE_TRANSFERS = 1 << 3
    UPDATE_ACCOUNTS = 1 << 4
    LOOKUP_ACCOUNTS = 1 << 5
    LOOKUP_TRANSFERS = 1 << 6
    GET_ACCOUNT_TRANSFERS = 1 << 7
    GET_ACCOUNT_BALANCES = 1 << 8
    QUERY_ACCOUNTS = 1 << 9
    QUERY_TRANSFERS = 1 << 10
    SERVER_STATUS = 1 << 11
    TAKE_SNAPSHOT = 1 << 12
    CREATE_INSTRUMENTS = 1 << 16
    UPDATE_INSTRUMENTS = 1 << 17
    CREATE_TRADING_ACCOUNTS = 1 << 18
    SUBMIT_ORDERS = 1 << 19
    CANCEL_ORDERS = 1 << 20
    REPLACE_ORDERS = 1 << 21
    MASS_CANCEL = 1 << 22
    SET_SESSION = 1 << 23
    END_OF_DAY = 1 << 24
    BUST_TRADES = 1 << 25
    CORRECT_TRADES = 1 << 26
    GET_ORDERS = 1 << 27
    GET_BOOK = 1 << 28
    GET_TRADES = 1 << 29
    GET_POSITIONS = 1 << 30
    GET_MARGIN_CALLS = 1 << 31
    GET_EXECUTIONS = 1 << 32
    GET_INSTRUMENTS = 1 << 33
    SUBSCRIBE = 1 << 34
    UNSUBSCRIBE = 1 << 35
    SET_LIMITS = 1 << 36
    KILL_SWITCH = 1 << 37
    APPROVE_LIMITS = 1 << 38
    GET_LIMITS = 1 << 39
    GET_PROPOSALS = 1 << 40


METHODS_ALL = int(~Method(0))
"""Mask of every method. `logon` and `ping` are allowed whatever the mask says."""


class ErrorCode(IntEnum):
    """Why a request was not executed, or why a read has no answer."""

    PARSE_ERROR = -32700
    INVALID_REQUEST = -32600
    UNKNOWN_METHOD = -32601
    INVALID_PARAMS = -32602
    INTERNAL = -32000
    NOT_LOGGED_ON = -32001
    NOT_PERMITTED = -32002
    BUSY = -32003
    TOO_LARGE = -32004
    CAPACITY_REACHED = -32005
    SCAN_LIMIT_REACHED = -32006
    BEHIND = -32007
    NOT_LEADER = -32008


FATAL = frozenset({ErrorCode.PARSE_ERROR, ErrorCode.TOO_LARGE})
"""After these the server closes the connection."""
