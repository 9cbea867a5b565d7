"""Reply lines that are made one at a time, in Python: errors, logon, whatever is rare."""

import msgspec


def result_line(
    request_id: bytes, result: object, seq: int | None, jsonrpc: bool, *, int64_strings: bool = False
) -> bytes:
    """Return the line of a result; `request_id` is the JSON text of the request's id, `seq` is left out when None."""
    body = msgspec.json.encode(result)
    tail = b"" if seq is None else b',"seq":"%d"' % seq if int64_strings else b',"seq":%d' % seq
    return b'{%s"id":%s,"result":%s%s}\n' % (b'"jsonrpc":"2.0",' if jsonrpc else b"", request_id, body, tail)


def error_line(request_id: bytes | None, code: int, message: str, jsonrpc: bool) -> bytes:
    """Return the line of an error; `request_id` is None when the request had no usable id."""
    return b'{%s"id":%s,"error":{"code":%d,"message":%s}}\n' % (
        b'"jsonrpc":"2.0",' if jsonrpc else b"",
        b"null" if request_id is None else request_id,
        code,
        msgspec.json.encode(message),
    )
