"""Signatures of requests and callbacks between the office and a rail: HMAC-SHA-256 (RFC 2104) with a shared key.

Signed are the time, a nonce, the method, the path with its query, and the body; each with its length before it, so
that no two requests have the same bytes. A request counts for five minutes and once: who gets it keeps its nonce for
as long as its time would be believed. A key has an id. Two keys may hold at the same time, so that one takes over from
the other without a moment in which either side refuses: the file's first key signs, both are believed.
"""

import hmac
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from typing import Final, Self

WINDOW: Final = timedelta(minutes=5)
"""How far the clocks of both sides may be apart, and how long a request may take."""
KEYS_MAX: Final = 2
KEY_BYTES_MIN: Final = 32
"""As many as the hash has: RFC 2104, section 3, advises against fewer."""
FILE_BYTES_MAX: Final = 4096
PREFIX: Final = b"tongbao-rail-1"
KEY, TIME, NONCE, SIGNATURE = "rail-key", "rail-time", "rail-nonce", "rail-signature"
_NAME = re.compile(r"[A-Za-z0-9_-]{1,32}")
_NONCE = re.compile(r"[0-9a-f]{32}")
_TIME = re.compile(r"[0-9]{1,13}")


class Fault(StrEnum):
    """Why a signature is not believed."""

    MISSING = "missing"
    """A header is not there or not written as it must be."""
    KEY = "key"
    CLOCK = "clock"
    SIGNATURE = "signature"
    REPLAY = "replay"


class SignatureError(ValueError):
    """Not believed; `fault` says why. The other side is told no more than that."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(f"signature: {fault}")
        self.fault = fault


class KeyFileError(ValueError):
    """A file of keys cannot be used; the message names it and never holds a key."""


@dataclass(frozen=True, slots=True, repr=False)
class Keys:
    """One or two keys by id; the first one signs."""

    by_id: Mapping[str, bytes]

    def __post_init__(self) -> None:
        if not 1 <= len(self.by_id) <= KEYS_MAX:
            raise ValueError(f"keys: {len(self.by_id)} are not from 1 to {KEYS_MAX}")
        for name, secret in self.by_id.items():
            if not _NAME.fullmatch(name) or len(secret) < KEY_BYTES_MIN:
                raise ValueError(f"keys: {name!r} has a bad name or fewer than {KEY_BYTES_MIN} bytes")

    def __repr__(self) -> str:
        return f"Keys({', '.join(self.by_id)})"

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read lines `ID HEX`; # begins a comment. Raises KeyFileError."""
        try:
            with path.open("rb") as file:
                content = file.read(FILE_BYTES_MAX + 1)
        except OSError as error:
            raise KeyFileError(f"{path}: {error.strerror}") from None
        if len(content) > FILE_BYTES_MAX:
            raise KeyFileError(f"{path}: is longer than {FILE_BYTES_MAX} bytes")
        found: dict[str, bytes] = {}
        for number, line in enumerate(content.decode(errors="replace").splitlines(), 1):
            words = line.partition("#")[0].split()
            if not words:
                continue
            try:
                name, text = words
                secret = bytes.fromhex(text)
            except ValueError:
                raise KeyFileError(f"{path}: line {number} is not `ID HEX`") from None
            if name in found:
                raise KeyFileError(f"{path}: {name} stands twice")
            found[name] = secret
        try:
            return cls(found)
        except ValueError as error:
            raise KeyFileError(f"{path}: {error}") from None


@dataclass(frozen=True, slots=True)
class Signed:
    """What a good signature says. The nonce must not be taken twice before `until`."""

    key: str
    nonce: str
    at: datetime

    @property
    def until(self) -> datetime:
        """The last moment at which the same request would still be believed."""
        return self.at + WINDOW


def new_key_line(name: str) -> str:
    """Make a line for a file of keys, of 32 random bytes."""
    return f"{name} {secrets.token_hex(KEY_BYTES_MIN)}\n"


@dataclass(frozen=True, slots=True)
class Call:
    """What is signed of a request; `path` is with its query."""

    method: str
    path: str
    body: bytes = b""


def _mac(secret: bytes, time: str, nonce: str, call: Call) -> str:
    parts = (PREFIX, time.encode(), nonce.encode(), call.method.upper().encode(), call.path.encode(), call.body)
    content = b"".join(len(part).to_bytes(8, "big") + part for part in parts)
    return hmac.new(secret, content, sha256).hexdigest()


def sign(keys: Keys, call: Call, at: datetime, nonce: str | None = None) -> dict[str, str]:
    """Give the headers of a request. A request that is sent again is signed again."""
    name, secret = next(iter(keys.by_id.items()))
    time = str(int(at.timestamp() * 1000))
    nonce = nonce or secrets.token_hex(16)
    return {KEY: name, TIME: time, NONCE: nonce, SIGNATURE: _mac(secret, time, nonce, call)}


def verify(keys: Keys, headers: Mapping[str, str], call: Call, now: datetime) -> Signed:
    """Believe a request or raise SignatureError. The nonce is the caller's to check, in the commit of what it does.

    `headers` finds names in lower case. The order matters: nothing is said about clocks to who does not have the key.
    """
    name, time, nonce, signature = (headers.get(each, "") for each in (KEY, TIME, NONCE, SIGNATURE))
    if not _NAME.fullmatch(name) or not _TIME.fullmatch(time) or not _NONCE.fullmatch(nonce):
        raise SignatureError(Fault.MISSING)
    secret = keys.by_id.get(name)
    # An unknown key costs as much time as a wrong signature.
    good = hmac.compare_digest(_mac(secret or bytes(32), time, nonce, call).encode(), signature.encode())
    if secret is None:
        raise SignatureError(Fault.KEY)
    if not good:
        raise SignatureError(Fault.SIGNATURE)
    at = datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=int(time))
    if abs(now - at) > WINDOW:
        raise SignatureError(Fault.CLOCK)
    return Signed(name, nonce, at)


class Nonces:
    """Nonces seen, in memory; for a side that has no database. Those that are over are forgotten."""

    def __init__(self) -> None:
        self._until: dict[str, datetime] = {}
        self._sweep_at = datetime.min.replace(tzinfo=UTC)

    def take(self, signed: Signed, now: datetime) -> None:
        """Raise SignatureError for one that was there before."""
        if now >= self._sweep_at:
            self._until = {nonce: until for nonce, until in self._until.items() if until >= now}
            self._sweep_at = now + WINDOW
        if signed.nonce in self._until:
            raise SignatureError(Fault.REPLAY)
        self._until[signed.nonce] = signed.until
