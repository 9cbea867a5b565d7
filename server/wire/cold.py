"""Methods that Python decides about: their params, decoded by msgspec after the compiled scan.

The scan has already refused what msgspec would let pass: duplicate members, numbers with a fraction or an
exponent, control characters, depth. Here come types and unknown members.
"""

from typing import Annotated, Literal, NamedTuple

import msgspec


class Logon(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Params of `logon`: either `key`, or `timestamp`, `nonce` and `signature` together."""

    channel: str
    key: str | None = None
    timestamp: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)] | str | None = None
    """As written; a string holds digits only."""
    nonce: str | None = None
    signature: str | None = None
    """HMAC-SHA-256, hex, over `channel|timestamp|nonce`."""
    int64: Literal["number", "string"] = "number"
    """Form of 64-bit values in replies."""
    cancel_on_disconnect: bool = False
    """Whether the orders of this session are canceled when its connection ends."""


class Topics(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Params of `subscribe` and `unsubscribe`."""

    topics: Annotated[list[str], msgspec.Meta(min_length=1, max_length=1024)]
    from_seq: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)] | str | None = None
    """subscribe: executions of log entries from this on are sent again."""
    depth: Annotated[int, msgspec.Meta(ge=1, le=8190)] | str | None = None
    """subscribe: levels per side of the topics `book:…`."""


class Cold(NamedTuple):
    """A request that the session must answer before the lines behind it are read."""

    method: str
    params: Logon | Topics | None
    """None for the methods of an administrator, which take none; Topics for `subscribe` and `unsubscribe`."""
    request: int
    """Its place in `Batch.requests`."""
    answer: int
    """The place in `Batch.answers` that takes its reply line."""
    id: bytes
    """JSON text of its id."""
    jsonrpc: bool


_logon = msgspec.json.Decoder(Logon)
_topics = msgspec.json.Decoder(Topics)


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


def decode_topics(text: bytes) -> Topics:
    """Return the params; ValueError says what is wrong, beginning with the path."""
    try:
        params = _topics.decode(text)
    except msgspec.ValidationError as error:
        raise ValueError(_in_our_words(str(error), "subscribe's")) from None
    for name, value, high in (("from_seq", params.from_seq, 2**63 - 1), ("depth", params.depth, 8190)):
        if isinstance(value, str) and not (_digits(value) and (name != "depth" or 1 <= int(value) <= high)):
            raise ValueError(f"params.{name}: is not an integer")
    return params


def _digits(text: str) -> bool:
    if not (text.isascii() and text.isdigit()) or len(text) > 19:
        return False
    return (text == "0" or text[0] != "0") and int(text) < 2**63


def _in_our_words(message: str, whose: str = "logon's") -> str:
    """Turn msgspec's "Expected `str`, got `int` - at `$.channel`" into "params.channel: expected str, got int"."""
    text, _, place = message.replace("`", "").partition(" - at ")
    path = f"params{place.removeprefix('$')}"
    for start, end in (
        ("Object contains unknown field ", f"is not a member of {whose} params"),
        ("Object missing required field ", "is missing"),
    ):
        if text.startswith(start):
            name = text.removeprefix(start)
            return f"{path}.{name if len(name) <= 40 else name[:40] + '…'}: {end}"
    return f"{path}: {text[0].lower()}{text[1:]}"
