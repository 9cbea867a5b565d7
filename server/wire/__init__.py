"""The protocol without a socket: lines of JSON into batches, batches into lines of JSON, and the client's side."""

from server.wire.cold import Cold, Logon
from server.wire.encode import encode
from server.wire.methods import FATAL, METHODS_ALL, ErrorCode, Method
from server.wire.parser import CLOSE, COLD, FULL, IDLE, Parser
from server.wire.replies import error_line, result_line

__all__ = [
    "CLOSE",
    "COLD",
    "FATAL",
    "FULL",
    "IDLE",
    "METHODS_ALL",
    "Cold",
    "ErrorCode",
    "Logon",
    "Method",
    "Parser",
    "encode",
    "error_line",
    "result_line",
]
