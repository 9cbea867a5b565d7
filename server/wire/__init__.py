"""The protocol without a socket: lines of JSON into batches, batches into lines of JSON, and the client's side."""

from server.wire.cold import Cold, Logon, Topics
from server.wire.encode import encode
from server.wire.methods import FATAL, METHODS_ALL, ErrorCode, Method
from server.wire.orders import Profiles
from server.wire.parser import BEHIND, CLOSE, COLD, FULL, IDLE, Parser, Position
from server.wire.reader import Reader, Replies, Reply, decode_results
from server.wire.replies import error_line, result_line
from server.wire.requests import (
    encode_create_accounts,
    encode_create_transfers,
    encode_lookup_accounts,
    encode_lookup_transfers,
    encode_single_transfers,
    encode_update_accounts,
)

__all__ = [
    "BEHIND",
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
    "Position",
    "Profiles",
    "Reader",
    "Replies",
    "Reply",
    "Topics",
    "decode_results",
    "encode",
    "encode_create_accounts",
    "encode_create_transfers",
    "encode_lookup_accounts",
    "encode_lookup_transfers",
    "encode_single_transfers",
    "encode_update_accounts",
    "error_line",
    "result_line",
]
