"""What a client call can raise. A refused account or transfer is a `Result` and never one of these."""

from typing import Final

PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
UNKNOWN_METHOD: Final = -32601
INVALID_PARAMS: Final = -32602
INTERNAL: Final = -32000
NOT_LOGGED_ON: Final = -32001
NOT_PERMITTED: Final = -32002
BUSY: Final = -32003
TOO_LARGE: Final = -32004
CAPACITY_REACHED: Final = -32005
BEHIND: Final = -32007
NOT_LEADER: Final = -32008


class ClientError(Exception):
    """Anything that a client call raises about the server or the way to it."""


class RequestError(ClientError):
    """The server refused the whole request; nothing of it was executed.

    `resent` is true when the answer of an earlier copy of the request was lost: that copy may have been executed.
    """

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{message} ({code})")
        self.code = code
        self.message = message
        self.resent = False

    @staticmethod
    def of(code: int, message: str) -> "RequestError":
        """Give the class that names `code`, or RequestError itself for a code without a class."""
        return _CLASSES.get(code, RequestError)(code, message)


class InvalidParams(RequestError):  # noqa: N818
    """A member is missing, unknown, or out of range; the message names its path."""


class NotLoggedOn(RequestError):  # noqa: N818
    """No logon, or the server refused the channel's key or signature."""


class NotPermitted(RequestError):  # noqa: N818
    """The channel may not call this method, or may not see this account."""


class Busy(RequestError):  # noqa: N818
    """The server was still too busy when the deadline of the call came; nothing was executed."""


class TooLarge(RequestError):  # noqa: N818
    """The line or the array is longer than the server takes."""


class CapacityReached(RequestError):  # noqa: N818
    """The engine is full; nothing was executed, and it stays so until the server has larger limits."""


class Behind(RequestError):  # noqa: N818
    """The server, a replica most likely, did not come to the `min_seq` of the request in time."""


class NotLeader(RequestError):  # noqa: N818
    """A replica was asked to write, and no other server is known to this client."""


class ConnectionLost(ClientError, ConnectionError):  # noqa: N818
    """The connection went away, and the call was not one that may be sent again.

    `sent` tells whether the request had left: then its outcome is unknown.
    """

    def __init__(self, message: str, *, sent: bool) -> None:
        super().__init__(message)
        self.sent = sent


class DeadlineExceeded(ClientError, TimeoutError):  # noqa: N818
    """No answer came in time.

    `sent` tells whether the request had left: then its outcome is unknown, and the way to know is to send the same
    items again with the same ids. When it is false, nothing was executed.
    """

    def __init__(self, message: str, *, sent: bool) -> None:
        super().__init__(message)
        self.sent = sent


class ProtocolError(ClientError):
    """The server sent what the protocol does not allow; the connection was closed."""


_CLASSES: Final[dict[int, type[RequestError]]] = {
    INVALID_PARAMS: InvalidParams,
    NOT_LOGGED_ON: NotLoggedOn,
    NOT_PERMITTED: NotPermitted,
    BUSY: Busy,
    TOO_LARGE: TooLarge,
    CAPACITY_REACHED: CapacityReached,
    BEHIND: Behind,
    NOT_LEADER: NotLeader,
}
