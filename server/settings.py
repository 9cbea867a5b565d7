# ruff: noqa: RUF009 - `setting` makes a dataclass field
"""Every setting of the server: its name, default, limits and one sentence, in one frozen value.

Settings enter once, at the edge: flags before environment before profile before default. Everything below takes
plain arguments. The table in docs/OPERATIONS.md is rendered from here, and a test holds the two equal.
"""

import ipaddress
import os
from collections.abc import Collection, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, Self, get_args, get_type_hints

from engine.limits import Limits

KIB = 1024
MIB = 1024 * KIB
VIEW_JSON_BYTES_MAX = 640
"""Upper bound of one record in a reply: 13 members of at most 39 digits or 36 characters, their names, flags."""

ProfileName = Literal["standard", "latency", "throughput", "small"]

PROFILES: dict[str, dict[str, int]] = {
    "standard": {},
    # Shorter batches: no batch holds the event loop for more than about 2 ms. And a CPU of its own to spin on.
    "latency": {"items_batch_max": 8_190, "spin_microseconds": 500},
    # Longer batches: fewer commits per transfer; a batch may hold the loop for tens of milliseconds.
    "throughput": {"items_batch_max": 65_536, "write_cap_bytes": 128 * MIB},
    # For laptops and tests: address space and tables for a million accounts.
    "small": {
        "accounts_max": 1_048_576,
        "transfers_max": 16_777_216,
        "burnt_max": 4_194_304,
        "balances_max": 16_777_216,
        "orders_max": 4_194_304,
        "open_orders_max": 1_048_576,
        "positions_max": 1_048_576,
        "trading_accounts_max": 1_048_576,
        "links_max": 4_194_304,
        "trades_max": 4_194_304,
        "executions_max": 16_777_216,
        "limit_pairs_max": 65_536,
        "proposals_max": 65_536,
        "postgres_wal_bytes": 64 * MIB,
    },
}
"""Named sets of defaults. A flag or an environment variable wins over the profile."""


class SettingsError(ValueError):
    """A setting is missing, malformed or contradicts another. The message starts with the setting's name."""


def setting(
    default: Any,
    sentence: str,
    *,
    minimum: int | None = None,
    maximum: int | None = None,
    variable: str | None = None,
    secret: bool = False,
) -> Any:
    """One field of `Settings` with what the table and the checks need."""
    return field(
        default=default,
        metadata={
            "sentence": sentence,
            "minimum": minimum,
            "maximum": maximum,
            "variable": variable,
            "secret": secret,
        },
    )


_CAPACITY = Limits()


@dataclass(frozen=True, slots=True)
class Settings:
    """What `tongbao serve` runs with. Build it with `Settings.from_environment`."""

    data_dir: Path = setting(
        Path("tongbao-data"), "Directory of the private PostgreSQL, the snapshots, the archive and the lock."
    )
    profile: ProfileName = setting("standard", "Named set of defaults: standard, latency, throughput or small.")
    dev: bool = setting(
        False, "Loopback only; every fresh connection is the channel `dev` with all permissions, without a key."
    )
    host: str = setting("127.0.0.1", "Address of the TCP/JSON port.")
    port: int = setting(7420, "TCP/JSON port; 0 takes a free one.", minimum=0, maximum=65535)
    http_host: str = setting("127.0.0.1", "Address of the health and metrics port.")
    http_port: int = setting(7421, "Health and metrics port; 0 takes a free one.", minimum=0, maximum=65535)
    database_url: str = setting(
        "",
        "PostgreSQL that holds the log; empty starts a private one in data_dir.",
        variable="DATABASE_URL",
        secret=True,
    )
    standby: bool = setting(
        False, "Follow the log and take over when the leader's lease has run out or it hands over; needs database_url."
    )
    standby_reads: bool = setting(
        False, "While it stands by, answer reads on `port`, each with the log entry up to which it has applied."
    )
    wait_ms_max: int = setting(
        2_000,
        "Longest wait of a read, at a standby or a replica, for the `min_seq` it asks for; then it is answered -32007.",
        minimum=1,
    )
    name: str = setting("", "Name of this server among those of one log; by default its host and port.")
    lease_ms: int = setting(
        1_000,
        "Time without a sign of life after which a standby takes over from this server.",
        minimum=100,
        maximum=600_000,
    )
    postgres_wal_bytes: int = setting(
        1024 * MIB,
        "Size of the private PostgreSQL's write-ahead log on disk, made once at its first start (about 5 s for 1 GiB).",
        minimum=32 * MIB,
    )
    channels: Path | None = setting(None, "TOML file of the channels; needed without dev.")
    tls_cert: Path | None = setting(None, "Certificate chain (PEM); given with tls_key, the port speaks TLS 1.3 only.")
    tls_key: Path | None = setting(None, "Private key (PEM) of tls_cert.")
    risk_checks: str = setting(
        "", "Python files with checks of your own, with commas between them; compiled at the start (docs/RISK.md)."
    )
    risk_cache: Path | None = setting(
        None,
        "Directory of the compiled risk kernels; by default `kernels` in data_dir. Only the server may write there.",
    )
    log_format: Literal["json", "console"] = setting(
        "json", "Form of the log lines on standard error: json or console."
    )
    log_level: Literal["debug", "info", "warning", "error"] = setting(
        "info", "Least severe log lines that are written."
    )

    line_bytes_max: int = setting(
        2 * MIB, "Longest request line in bytes; a longer one is answered with -32004.", minimum=KIB, maximum=64 * MIB
    )
    items_request_max: int = setting(8_190, "Items of one `params` array.", minimum=1, maximum=65_536)
    items_batch_max: int = setting(
        16_384, "Items after which a batch (one log entry) takes no further request.", minimum=1, maximum=1_048_576
    )
    query_limit_max: int = setting(
        _CAPACITY.query_limit_max, "Records that one read may return.", minimum=1, maximum=65_536
    )
    scan_max: int = setting(_CAPACITY.scan_max, "Records that one read may look at.", minimum=1, maximum=2**31)

    connections_max: int = setting(4_096, "Connections in total.", minimum=1, maximum=1_000_000)
    connections_address_max: int = setting(1_024, "Connections from one address.", minimum=1, maximum=1_000_000)
    handshake_seconds: int = setting(10, "Time from connecting to a successful logon.", minimum=1, maximum=3_600)
    idle_seconds: int = setting(900, "Time without a byte from the client after which it is closed.", minimum=1)
    frame_seconds: int = setting(30, "Time from the first byte of a line to its last.", minimum=1, maximum=3_600)
    keepalive_seconds: int = setting(30, "Idle time before TCP keep-alive probes.", minimum=1, maximum=32_767)
    user_timeout_seconds: int = setting(
        60,
        "Time that sent bytes may stay unacknowledged by the peer's TCP (TCP_USER_TIMEOUT).",
        minimum=1,
        maximum=3_600,
    )
    write_high_bytes: int = setting(
        MIB, "Replies waiting for a slow client at which its requests are no longer read.", minimum=4 * KIB
    )
    write_cap_bytes: int = setting(
        64 * MIB, "Replies waiting for a slow client at which it is dropped.", minimum=64 * KIB
    )
    logon_failures_max: int = setting(
        10, "Failed logons per minute from one address, after which logons from there are refused unread.", minimum=1
    )

    batch_ms_max: int = setting(
        10,
        "Time that a batch may take to its commit; when one takes longer, the next ones hold fewer items (but 1,024).",
        minimum=1,
    )
    queue_delay_ms_max: int = setting(
        2_000,
        "Longest wait of a request for the commit before its own, or for room in a batch; then it is answered busy "
        "(-32003).",
        minimum=1,
    )
    spin_microseconds: int = setting(
        0,
        "How long the server looks again and again instead of sleeping when few requests wait for a commit, and a "
        "fifth of it for the next request after them. For a server with a CPU of its own.",
        minimum=0,
        maximum=100_000,
    )
    disk_free_bytes_min: int = setting(
        512 * MIB, "Free space in data_dir under which writes are answered busy (-32003).", minimum=0
    )
    row_format: int = setting(
        3,
        "Newest format of log rows that is written if an older one would do: 1 while builds that read no more follow.",
        minimum=1,
        maximum=3,
    )
    digest_every: int = setting(64, "A log row of so many carries the digest of the state before it.", minimum=1)
    snapshot_every_items: int = setting(4_000_000, "Log items after which a snapshot is taken.", minimum=1)
    snapshot_stop_items: int = setting(
        100_000, "Log items since the last snapshot that make one worthwhile in an orderly stop.", minimum=1
    )
    snapshots_kept: int = setting(2, "Verified snapshots that are kept.", minimum=2, maximum=1_000)
    log_retention: Literal["keep", "archive", "drop"] = setting(
        "keep", "Log rows older than the oldest kept snapshot: keep, archive (to data_dir/archive, then drop) or drop."
    )
    stop_seconds: int = setting(30, "Time limit of an orderly stop.", minimum=1, maximum=3_600)

    accounts_max: int = setting(_CAPACITY.accounts_max, "Accounts that the ledger may hold.", minimum=1)
    transfers_max: int = setting(_CAPACITY.transfers_max, "Transfers that the ledger may hold.", minimum=1)
    burnt_max: int = setting(_CAPACITY.burnt_max, "Ids of failed transfers that the ledger may hold.", minimum=1)
    balances_max: int = setting(_CAPACITY.balances_max, "Balances of accounts with `history`.", minimum=1)
    orders_max: int = setting(_CAPACITY.orders_max, "Orders that ever were.", minimum=1)
    open_orders_max: int = setting(_CAPACITY.open_orders_max, "Orders that are open at one time.", minimum=1)
    instruments_max: int = setting(_CAPACITY.instruments_max, "Instruments.", minimum=1)
    trading_accounts_max: int = setting(_CAPACITY.trading_accounts_max, "Trading accounts.", minimum=1)
    links_max: int = setting(_CAPACITY.links_max, "Ledger accounts that trading accounts use, all together.", minimum=1)
    positions_max: int = setting(
        _CAPACITY.positions_max, "Pairs of trading account and instrument with an order.", minimum=1
    )
    trades_max: int = setting(_CAPACITY.trades_max, "Trades.", minimum=1)
    executions_max: int = setting(_CAPACITY.executions_max, "Executions: whatever happened to an order.", minimum=1)
    limit_pairs_max: int = setting(
        _CAPACITY.limit_pairs_max, "Limits of an account, desk or client in one instrument by itself.", minimum=1
    )
    proposals_max: int = setting(
        _CAPACITY.proposals_max, "Raises of limits that ever waited for a second person.", minimum=1
    )
    scopes_max: int = setting(_CAPACITY.scopes_max, "Scopes of channels.", minimum=1, maximum=1_000_000)
    scope_ranges_max: int = setting(
        _CAPACITY.scope_ranges_max, "Ranges of account ids in all scopes together.", minimum=1, maximum=2**24
    )

    @classmethod
    def from_environment(
        cls, flags: Mapping[str, Any] | None = None, environment: Mapping[str, str] | None = None
    ) -> Self:
        """Merge flags (None = not given), TONGBAO_* variables, the profile and the defaults; check everything."""
        environment = os.environ if environment is None else environment
        given: dict[str, Any] = {}
        known = {item.name: item for item in fields(cls)}
        for name, value in (flags or {}).items():
            if name not in known:
                raise SettingsError(f"{name}: there is no such setting")
            if value is not None:
                given[name] = _converted(cls, known[name], value)
        for name, item in known.items():
            if name not in given and (text := environment.get(variable_of(item))) not in {None, ""}:
                given[name] = _converted(cls, item, text)
        profile = given.get("profile", "standard")
        return cls(**(PROFILES.get(profile, {}) | given))

    def __post_init__(self) -> None:
        for item in fields(self):
            _check_value(type(self), item, getattr(self, item.name))
        self.check_relations()

    def check_relations(self) -> None:
        """Raise SettingsError for settings that contradict each other."""
        if self.dev:
            for name in ("host", "http_host"):
                if not _is_loopback(getattr(self, name)):
                    raise SettingsError(f"{name}: {getattr(self, name)} is not loopback, and dev is on")
            if self.tls_cert:
                raise SettingsError("tls_cert: dev is on, which speaks plain TCP on loopback")
        elif self.channels is None:
            raise SettingsError("channels: without a file of channels nobody could log on (or start with --dev)")
        if self.standby and not self.database_url:
            raise SettingsError("standby: needs a database_url; the private PostgreSQL ends with its own server")
        if self.standby_reads and not self.standby:
            raise SettingsError("standby_reads: is for a server with `standby`; any other leads at once")
        if (self.tls_cert is None) != (self.tls_key is None):
            missing = "tls_key" if self.tls_key is None else "tls_cert"
            raise SettingsError(f"{missing}: tls_cert and tls_key are given together or not at all")
        if self.line_bytes_max > self.write_cap_bytes:
            raise SettingsError("write_cap_bytes: is less than line_bytes_max")
        if self.write_high_bytes > self.write_cap_bytes:
            raise SettingsError("write_high_bytes: is more than write_cap_bytes")
        answer = VIEW_JSON_BYTES_MAX * (self.items_batch_max + max(self.items_request_max, self.query_limit_max))
        # A client may have answers in the batch in flight and in the open one before it is seen to be slow.
        if self.write_cap_bytes < 2 * answer:
            raise SettingsError(
                f"write_cap_bytes: is less than the {2 * answer} bytes that two batches' answers may take "
                f"(items_batch_max + the larger of items_request_max and query_limit_max, {VIEW_JSON_BYTES_MAX} each)"
            )
        if self.snapshot_stop_items > self.snapshot_every_items:
            raise SettingsError("snapshot_stop_items: is more than snapshot_every_items")
        try:
            self.limits()
        except ValueError as error:
            raise SettingsError(str(error)) from None

    def limits(self) -> Limits:
        """Return the capacities of the engine."""
        return Limits(**{item.name: getattr(self, item.name) for item in fields(Limits)})


def variable_of(item: "Field[Any]") -> str:
    """Name of the environment variable of a setting."""
    return item.metadata["variable"] or f"TONGBAO_{item.name.upper()}"


def _type_of(of: type[Settings], item: "Field[Any]") -> Any:
    return get_type_hints(of)[item.name]


def _converted(of: type[Settings], item: "Field[Any]", value: Any) -> Any:
    """Turn a flag or the text of a variable into the setting's type."""
    kind = _type_of(of, item)
    if kind is bool:
        if isinstance(value, bool):
            return value
        if str(value).lower() in {"1", "true", "yes", "on"}:
            return True
        if str(value).lower() in {"0", "false", "no", "off"}:
            return False
        raise SettingsError(f"{item.name}: {value!r} is neither true nor false")
    if kind is int:
        try:
            return int(value)
        except (TypeError, ValueError):
            raise SettingsError(f"{item.name}: {value!r} is not a whole number") from None
    if kind is Path or Path in get_args(kind):
        return Path(value)
    return value if isinstance(value, str) else str(value)


def _check_value(of: type[Settings], item: "Field[Any]", value: Any) -> None:
    kind = _type_of(of, item)
    if kind is int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise SettingsError(f"{item.name}: {value!r} is not a whole number")
        minimum, maximum = item.metadata["minimum"], item.metadata["maximum"]
        if minimum is not None and value < minimum:
            raise SettingsError(f"{item.name}: {value} is less than {minimum}")
        if maximum is not None and value > maximum:
            raise SettingsError(f"{item.name}: {value} is more than {maximum}")
    elif (choices := get_args(kind)) and all(isinstance(choice, str) for choice in choices) and value not in choices:
        raise SettingsError(f"{item.name}: {value!r} is not one of {', '.join(choices)}")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def table(of: type[Settings] = Settings, names: Collection[str] | None = None) -> str:
    """Render the settings, or some of them, as the Markdown table of docs/OPERATIONS.md."""
    lines = ["| setting | variable | default | meaning |", "|---|---|---|---|"]
    for item in fields(of):
        if names is not None and item.name not in names:
            continue
        default = item.default
        assert default is not MISSING
        if isinstance(default, bool):
            text = "on" if default else "off"
        elif default in {None, ""}:
            text = "–"
        else:
            text = f"{default:,}" if isinstance(default, int) and not item.name.endswith("port") else str(default)
        lines.append(f"| `{item.name}` | `{variable_of(item)}` | {text} | {item.metadata['sentence']} |")
    return "\n".join(lines) + "\n"
