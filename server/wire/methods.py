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


METHODS_ALL = int(~Method(0))
"""Mask of every method. `logon` and `ping` are allowed whatever the mask says."""


class ErrorCode(IntEnum):
    """Why a request was not executed, or, for the last two, why a read has no answer."""

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


FATAL = frozenset({ErrorCode.PARSE_ERROR, ErrorCode.TOO_LARGE})
"""After these the server closes the connection."""
