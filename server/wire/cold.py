"""Methods that Python decides about: their params, decoded by msgspec after the compiled scan.

The scan has already refused what msgspec would let pass: duplicate members, numbers with a fraction or an
exponent, control characters, depth. Here come types and unknown members.
"""

from typing import Literal, NamedTuple

import msgspec


class Logon(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Params of `logon`: either `key`, or `timestamp`, `nonce` and `signature` together."""

    channel: str
    key: str | None = None
    timestamp: int | str | None = None
    """As written; a string holds digits only."""
    nonce: str | None = None
    signature: str | None = None
    """HMAC-SHA-256, hex, over `channel|timestamp|nonce`."""
    int64: Literal["number", "string"] = "number"
    """Form of 64-bit values in replies."""


class Cold(NamedTuple):
    """A request that the session must answer before the lines behind it are read."""

    method: str
    params: Logon
    request: int
    """Its place in `Batch.requests`."""
    answer: int
    """The place in `Batch.answers` that takes its reply line."""
    id: bytes
    """JSON text of its id."""
    jsonrpc: bool


_logon = msgspec.json.Decoder(Logon)


def decode_logon(text: bytes) -> Logon:
    """Return the params; ValueError says what is wrong, beginning with the path."""
    try:
        params = _logon.decode(text)
    except msgspec.ValidationError as error:
        raise ValueError(_in_our_words(str(error))) from None
    signed = (params.timestamp, params.nonce, params.signature)
    if (params.key is None) == all(part is None for part in signed):
        raise ValueError("params: needs either key, or timestamp, nonce and signature")
    if params.key is None and any(part is None for part in signed):
        raise ValueError("params: timestamp, nonce and signature go together")
    if isinstance(params.timestamp, str) and not _digits(params.timestamp):
        raise ValueError("params.timestamp: is not an integer")
    return params


def _digits(text: str) -> bool:
    return text.isascii() and text.isdigit() and (text == "0" or text[0] != "0") and len(text) <= 19


def _in_our_words(message: str) -> str:
    """Turn msgspec's "Expected `str`, got `int` - at `$.channel`" into "params.channel: expected str, got int"."""
    text, _, place = message.replace("`", "").partition(" - at ")
    return f"params{place.removeprefix('$')}: {text[0].lower()}{text[1:]}"
