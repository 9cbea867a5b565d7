"""Channels: who may log on, with what permissions, to which accounts, and how fast.

A channel is an upstream system (mobile bank, counter, gateway), not a person. The file is TOML:

    [channels.mobile]
    permissions = ["read", "transfers"]
    key = "sha256$<salt>$<digest>"               # from `tongbao channel`; or, or both:
    hmac_secret_env = "MOBILE_SECRET"            # hmac_secret_file = "/run/secrets/mobile"
    scope = 1                                    # with accounts: the channel touches only these accounts
    accounts = ["1000-1999", 5001]
    connections_max = 64
    window = 8192                                # requests without an answer, over all its connections
    requests_per_second = 20000                  # token bucket; requests_burst = 40000

Scope numbers stand in the file because they stand in the log: every logged request names its scope by number, and
the ranges behind a number are state of the engine, changed only by a logged DEFINE_SCOPE. A number that was assigned
by order of appearance would change its meaning when a line moves. Two channels may share a number if their accounts
are the same. At start the server compares each scope with the engine's and logs what differs.

Keys are made by `generate_key`: 256 random bits. A slow password hash protects what can be guessed; this cannot,
so one salted SHA-256 is enough, and a logon costs microseconds. Typed passwords are refused by their form.
"""

import hashlib
import hmac
import re
import secrets
import tomllib
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from server.wire.cold import Logon

PERMISSIONS: dict[str, tuple[str, ...]] = {
    "read": (
        "lookup_accounts",
        "lookup_transfers",
        "get_account_transfers",
        "get_account_balances",
        "query_accounts",
        "query_transfers",
    ),
    "accounts": ("create_accounts", "update_accounts"),
    "transfers": ("create_transfers",),
    "trade": (
        "submit_orders",
        "cancel_orders",
        "replace_orders",
        "mass_cancel",
        "get_orders",
        "get_trades",
        "get_positions",
        "get_margin_calls",
        "get_executions",
        "subscribe",
        "unsubscribe",
    ),
    "trade_read": (
        "get_orders",
        "get_trades",
        "get_positions",
        "get_margin_calls",
        "get_executions",
        "subscribe",
        "unsubscribe",
    ),
    "market_data": ("get_book", "get_instruments", "subscribe", "unsubscribe"),
    "market_admin": (
        "create_instruments",
        "update_instruments",
        "create_trading_accounts",
        "set_session",
        "end_of_day",
        "bust_trades",
        "correct_trades",
    ),
    "risk": ("set_limits", "kill_switch", "approve_limits", "get_limits", "get_proposals"),
    "risk_read": ("get_limits", "get_proposals"),
    "admin": ("server_status", "take_snapshot"),
}
"""Groups of methods. `ping` and `logon` need no permission."""

LOGON_WINDOW_SECONDS = 30
"""How far the timestamp of a signed logon may lie from our clock, either way (fixed by the protocol)."""
NONCES_MAX = 65_536
"""Nonces remembered per channel; more signed logons within the window are refused."""
ADDRESSES_MAX = 16_384
"""Addresses whose failed logons are counted; the one that failed longest ago is forgotten first."""
KEY_PREFIX = "tbk_"
ACCOUNT_ID_MAX = 2**63 - 1

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_KEY_HASH = re.compile(r"sha256\$([0-9a-f]{32})\$([0-9a-f]{64})")
_NONCE = re.compile(r"[!-~]{8,64}")
_SIGNATURE = re.compile(r"[0-9a-fA-F]{64}")
_RANGE = re.compile(r"([0-9]{1,19})-([0-9]{1,19})")

_MEMBERS = {
    "permissions": list,
    "key": str,
    "hmac_secret_env": str,
    "hmac_secret_file": str,
    "scope": int,
    "accounts": list,
    "connections_max": int,
    "window": int,
    "requests_per_second": int,
    "requests_burst": int,
}


class ChannelsError(ValueError):
    """The channels file is wrong. The message names the channel and the member, never a secret."""


@dataclass(frozen=True, slots=True)
class Channel:
    """One upstream system, as the file has it."""

    name: str
    permissions: tuple[str, ...]
    key_hash: str = field(default="", repr=False)
    hmac_secret: bytes = field(default=b"", repr=False)
    scope: int = 0
    """0 = every account."""
    ranges: tuple[tuple[int, int], ...] = ()
    """Account ids first … last, sorted, neither overlapping nor touching; empty with scope 0."""
    connections_max: int = 1_024
    window: int = 65_536
    requests_per_second: int = 0
    """0 = no limit."""
    requests_burst: int = 0

    @property
    def methods(self) -> tuple[str, ...]:
        """Names of the methods that the channel may call, besides `ping` and `logon`."""
        return tuple(method for permission in self.permissions for method in PERMISSIONS[permission])


DEV = Channel("dev", tuple(PERMISSIONS), connections_max=1_000_000, window=1_000_000)
"""What a fresh connection is with --dev."""


def generate_key() -> tuple[str, str]:
    """Return a new channel key and its salted hash for the channels file. The key is shown once and not kept."""
    key = KEY_PREFIX + secrets.token_urlsafe(32)
    salt = secrets.token_hex(16)
    return key, f"sha256${salt}${_digest(salt, key)}"


def _digest(salt: str, key: str) -> str:
    return hashlib.sha256(bytes.fromhex(salt) + key.encode()).hexdigest()


def signature(secret: bytes, channel: str, timestamp: int, nonce: str) -> str:
    """HMAC-SHA-256 in hex over `channel|timestamp|nonce`, as a signed logon carries it."""
    return hmac.new(secret, f"{channel}|{timestamp}|{nonce}".encode(), hashlib.sha256).hexdigest()


class Channels:
    """All channels of the file, and the decision who may log on."""

    def __init__(self, channels: Mapping[str, Channel]) -> None:
        self._channels = dict(channels)
        self._nonces: dict[str, OrderedDict[str, float]] = {name: OrderedDict() for name in channels}
        # What an unknown channel is compared with, so that the work does not tell whether the name exists.
        self._nobody_hash = f"sha256${secrets.token_hex(16)}${'0' * 64}"
        self._nobody_secret = secrets.token_bytes(32)

    @classmethod
    def from_file(cls, path: Path, environment: Mapping[str, str]) -> "Channels":
        """Read the file; raises ChannelsError naming the channel and the member."""
        try:
            document = tomllib.loads(path.read_text("utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise ChannelsError(f"{path}: {error}") from None
        unknown = set(document) - {"channels"}
        if unknown:
            raise ChannelsError(f"{path}: unknown table {min(unknown)!r}")
        tables = document.get("channels", {})
        if not isinstance(tables, dict) or not tables:
            raise ChannelsError(f"{path}: there is no [channels.NAME] table")
        channels = {name: _channel(name, table, environment) for name, table in tables.items()}
        scopes: dict[int, Channel] = {}
        for channel in channels.values():
            other = scopes.setdefault(channel.scope, channel)
            if other.ranges != channel.ranges:
                raise ChannelsError(
                    f"channels.{channel.name}.scope: {channel.scope} is also that of {other.name}, with other accounts"
                )
        return cls(channels)

    def __len__(self) -> int:
        return len(self._channels)

    def scopes(self) -> dict[int, tuple[tuple[int, int], ...]]:
        """Scope numbers of the file with their ranges."""
        return {channel.scope: channel.ranges for channel in self._channels.values() if channel.scope}

    def by_key(self, name: str, key: str) -> Channel | None:
        """Return the channel if the key is its key. Takes the same work whether or not the channel exists."""
        channel = self._channels.get(name)
        known = channel is not None and bool(channel.key_hash)
        _, salt, digest = (channel.key_hash if channel is not None and known else self._nobody_hash).split("$")
        matches = hmac.compare_digest(_digest(salt, key), digest)
        return channel if matches and known else None

    def by_signature(self, name: str, timestamp: int, nonce: str, signed: str, now_ns: int) -> Channel | None:
        """Return the channel if it signed, within the window and with a nonce that was not used in it.

        `timestamp` is in nanoseconds since 1970; whole seconds, milliseconds and microseconds are told by their size.
        """
        channel = self._channels.get(name)
        known = channel is not None and bool(channel.hmac_secret)
        secret = channel.hmac_secret if channel is not None and known else self._nobody_secret
        matches = hmac.compare_digest(signature(secret, name, timestamp, nonce), signed.lower())
        if not (matches and known and _NONCE.fullmatch(nonce)):
            return None
        now = now_ns / 1e9
        if abs(_seconds(timestamp) - now) > LOGON_WINDOW_SECONDS:
            return None
        used = self._nonces[name]
        while used and next(iter(used.values())) < now:
            used.popitem(last=False)
        if nonce in used or len(used) >= NONCES_MAX:
            return None
        # A timestamp ahead of us stays valid for up to two windows from now.
        used[nonce] = now + 2 * LOGON_WINDOW_SECONDS
        return channel

    def logon(self, params: "Logon", now_ns: int) -> Channel | None:
        """Decide a logon by its params, whose form the wire has checked; None when refused, whatever the reason."""
        if params.key is not None:
            return self.by_key(params.channel, params.key)
        timestamp, nonce, signed = params.timestamp, params.nonce, params.signature
        if timestamp is None or nonce is None or signed is None or not _SIGNATURE.fullmatch(signed):
            return None
        return self.by_signature(params.channel, int(timestamp), nonce, signed, now_ns)


def _seconds(timestamp: int) -> float:
    for unit in (1e9, 1e6, 1e3):
        if timestamp >= 1e8 * unit:
            return timestamp / unit
    return float(timestamp)


class LogonThrottle:
    """Counts failed logons per address; over the limit an address is refused unread for the rest of the minute."""

    def __init__(self, failures_max: int) -> None:
        self._failures_max = failures_max
        self._failures: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def allows(self, address: str, now: float) -> bool:
        """Whether a logon from there is looked at. `now` is monotonic seconds."""
        started, count = self._failures.get(address, (now, 0))
        return count < self._failures_max or now - started >= 60

    def failed(self, address: str, now: float) -> None:
        """Count one failure."""
        started, count = self._failures.pop(address, (now, 0))
        if now - started >= 60:
            started, count = now, 0
        self._failures[address] = (started, count + 1)
        if len(self._failures) > ADDRESSES_MAX:
            self._failures.popitem(last=False)


class ChannelUse:
    """What a channel uses at this moment: connections, unanswered requests, tokens."""

    __slots__ = (
        "_burst", "_filled", "_rate", "_tokens", "accepted", "channel", "connections", "open", "stopped", "waiting",
    )  # fmt: skip

    def __init__(self, channel: Channel, now: float) -> None:
        self.channel = channel
        self.connections = 0
        self.open = 0
        """Requests in the open batch."""
        self.waiting = 0
        """Requests in the batch that waits for its commit."""
        self.accepted = 0
        """Requests ever accepted, for the metrics."""
        self.stopped: list[Any] = []
        """Connections that are not read because the window is full."""
        self._rate = channel.requests_per_second
        self._burst = channel.requests_burst or 2 * channel.requests_per_second
        self._tokens = float(self._burst)
        self._filled = now

    def take(self, requests: int, now: float) -> float:
        """Take tokens for requests that were accepted; seconds to wait before the next may be read (0 = none).

        What came in one read is accepted whole, so the count may go below zero and the wait makes up for it: over
        time the rate holds, without refusing anybody.
        """
        self.accepted += requests
        if not self._rate:
            return 0.0
        self._tokens = min(float(self._burst), self._tokens + (now - self._filled) * self._rate) - requests
        self._filled = now
        return 0.0 if self._tokens >= 0 else -self._tokens / self._rate

    @property
    def window_full(self) -> bool:
        """Whether the channel has as many unanswered requests as it may have."""
        return self.open + self.waiting >= self.channel.window


def _channel(name: str, table: Any, environment: Mapping[str, str]) -> Channel:
    where = f"channels.{name}"
    if not _NAME.fullmatch(name):
        raise ChannelsError(f"{where}: a name has 1 to 64 letters, digits, dots, hyphens or underscores")
    if not isinstance(table, dict):
        raise ChannelsError(f"{where}: is not a table")
    for member, value in table.items():
        if member not in _MEMBERS:
            raise ChannelsError(f"{where}.{member}: unknown")
        if not isinstance(value, _MEMBERS[member]) or isinstance(value, bool):
            raise ChannelsError(f"{where}.{member}: is not a {_MEMBERS[member].__name__}")
    permissions = table.get("permissions", [])
    for permission in permissions:
        if permission not in PERMISSIONS:
            raise ChannelsError(f"{where}.permissions: {permission!r} is not one of {', '.join(PERMISSIONS)}")
    key_hash = table.get("key", "")
    if key_hash and not _KEY_HASH.fullmatch(key_hash):
        raise ChannelsError(f"{where}.key: is not the salted hash that `tongbao channel` prints")
    secret = _secret(where, table, environment)
    if not key_hash and not secret:
        raise ChannelsError(f"{where}: has neither key nor hmac_secret_env nor hmac_secret_file")
    scope = table.get("scope", 0)
    accounts = table.get("accounts")
    if (scope == 0) != (accounts is None):
        raise ChannelsError(f"{where}.scope: scope (1 or more) and accounts are given together or not at all")
    if not 0 <= scope <= 2**31:
        raise ChannelsError(f"{where}.scope: {scope} is not a scope number")
    numbers = {
        member: table.get(member, getattr(DEFAULTS, member))
        for member in ("connections_max", "window", "requests_per_second", "requests_burst")
    }
    for member, value in numbers.items():
        if value < (1 if member in {"connections_max", "window"} else 0):
            raise ChannelsError(f"{where}.{member}: {value} is too small")
    return Channel(
        name,
        tuple(permission for permission in PERMISSIONS if permission in permissions),
        key_hash,
        secret,
        scope,
        _ranges(where, accounts) if accounts is not None else (),
        **numbers,
    )


DEFAULTS = Channel("defaults", ())


def _secret(where: str, table: dict[str, Any], environment: Mapping[str, str]) -> bytes:
    if "hmac_secret_env" in table and "hmac_secret_file" in table:
        raise ChannelsError(f"{where}: has both hmac_secret_env and hmac_secret_file")
    if variable := table.get("hmac_secret_env"):
        text = environment.get(variable, "")
        member = "hmac_secret_env"
    elif path := table.get("hmac_secret_file"):
        member = "hmac_secret_file"
        try:
            text = Path(path).read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ChannelsError(f"{where}.{member}: {type(error).__name__} while reading it") from None
    else:
        return b""
    if len(text) < 32:
        raise ChannelsError(f"{where}.{member}: the secret has fewer than 32 characters (or is not set)")
    return text.encode()


def _ranges(where: str, accounts: list[Any]) -> tuple[tuple[int, int], ...]:
    """Sort the ids and `first-last` ranges, and join those that overlap or touch."""
    pairs = []
    for index, item in enumerate(accounts):
        if isinstance(item, int) and not isinstance(item, bool):
            first = last = item
        elif isinstance(item, str) and (match := _RANGE.fullmatch(item)):
            first, last = int(match[1]), int(match[2])
        else:
            raise ChannelsError(f'{where}.accounts[{index}]: is neither an id nor a range "first-last"')
        if not 1 <= first <= last <= ACCOUNT_ID_MAX:
            raise ChannelsError(f"{where}.accounts[{index}]: is not a range of account ids within 1 … 2^63-1")
        pairs.append((first, last))
    joined: list[tuple[int, int]] = []
    for first, last in sorted(pairs):
        if joined and first <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(last, joined[-1][1]))
        else:
            joined.append((first, last))
    return tuple(joined)
