"""Capacities of an engine, and the relations between them."""

from dataclasses import dataclass

SLOT_MAX = 2**31 - 2
"""Largest number of records in one store: slots are 32 bits, of which the highest marks a burnt id."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one engine may hold. Memory is reserved as address space and taken only when it is used.

    An engine that is full refuses before anything is applied; a log is replayed with capacities at least as
    large as those it was written with.
    """

    accounts_max: int = 16_777_216
    """Accounts (about 140 bytes each)."""
    transfers_max: int = 268_435_456
    """Transfers (about 112 bytes each)."""
    burnt_max: int = 67_108_864
    """Ids of transfers that failed for a reason of the moment (about 32 bytes each)."""
    balances_max: int = 268_435_456
    """Balances kept for accounts with `history` (48 bytes each)."""
    orders_max: int = 134_217_728
    """Orders that ever were (about 205 bytes each)."""
    open_orders_max: int = 8_388_608
    """Orders that are open at one time."""
    instruments_max: int = 65_536
    """Instruments (392 bytes each)."""
    trading_accounts_max: int = 4_194_304
    """Trading accounts (about 120 bytes each)."""
    links_max: int = 16_777_216
    """Accounts that trading accounts use, all together (56 bytes each)."""
    positions_max: int = 16_777_216
    """Pairs of trading account and instrument with an order (about 165 bytes each)."""
    trades_max: int = 134_217_728
    """Trades (152 bytes each, and their transfers)."""
    executions_max: int = 536_870_912
    """Executions: whatever happened to an order (64 bytes each)."""
    limit_pairs_max: int = 1_048_576
    """Limits of an account, desk or client in one instrument by itself (48 bytes each)."""
    proposals_max: int = 1_048_576
    """Raises of limits that waited for a second person (336 bytes each)."""
    scopes_max: int = 4_096
    """Scopes of channels, numbered from 1."""
    scope_ranges_max: int = 65_536
    """Ranges of account ids in all scopes together."""
    query_limit_max: int = 8_190
    """Records that one read may return."""
    scan_max: int = 2_000_000
    """Records that one read may look at."""

    def __post_init__(self) -> None:
        for name in (
            "accounts_max", "transfers_max", "burnt_max", "balances_max", "orders_max", "open_orders_max",
            "instruments_max", "trading_accounts_max", "links_max", "positions_max", "trades_max", "executions_max",
            "limit_pairs_max", "proposals_max",
        ):  # fmt: skip
            value = getattr(self, name)
            if not 1 <= value <= SLOT_MAX:
                raise ValueError(f"{name}: {value} is not between 1 and {SLOT_MAX}")
        for name in ("scopes_max", "scope_ranges_max", "query_limit_max", "scan_max"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: {getattr(self, name)} is less than 1")
