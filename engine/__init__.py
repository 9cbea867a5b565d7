"""Tongbao's engine as a library: a deterministic ledger, NumPy record arrays in and out.

    engine = Engine()
    accounts = np.zeros(2, dtype=ACCOUNT_COMMAND)
    ...
    results = engine.create_accounts(accounts, time=1)

Time (nanoseconds) is an argument of every call that changes something, and must advance. See docs/EMBEDDING.md.
"""

from engine._core.batch import Batch
from engine._core.order_records import (
    AMEND_COMMAND,
    BOOK_VIEW,
    DAY_COMMAND,
    EXECUTION_VIEW,
    FILL,
    INSTRUMENT_COMMAND,
    LEVEL_VIEW,
    LINK_COMMAND,
    MASS_CANCEL_COMMAND,
    ORDER_COMMAND,
    ORDER_FILTER,
    ORDER_RESULT,
    ORDER_VIEW,
    POSITION_VIEW,
    SESSION_COMMAND,
    TRADE_COMMAND,
    TRADE_VIEW,
    TRADING_ACCOUNT_COMMAND,
)
from engine._core.records import (
    ACCOUNT_COMMAND,
    ACCOUNT_VIEW,
    BALANCE_VIEW,
    FILTER,
    RESULT,
    SCOPE_RANGE,
    TRANSFER_COMMAND,
    TRANSFER_VIEW,
    UPDATE_COMMAND,
)
from engine._core.risk_records import (
    APPROVAL_COMMAND,
    KILL_COMMAND,
    LIMIT_VALUE,
    LIMITS_COMMAND,
    LIMITS_FILTER,
    LIMITS_VIEW,
    PROPOSAL,
    VERDICT,
)
from engine.errors import CapacityError, EngineError, InvariantError, RecordError, SnapshotError
from engine.limits import Limits
from engine.machine import Engine, Headroom
from engine.results import (
    AMOUNT_ALL,
    INT63_MAX,
    TRANSIENT,
    AccountFlag,
    FilterFlag,
    Status,
    TransferFlag,
    TransferState,
    UpdateField,
)

__all__ = [
    "ACCOUNT_COMMAND",
    "ACCOUNT_VIEW",
    "AMEND_COMMAND",
    "AMOUNT_ALL",
    "APPROVAL_COMMAND",
    "BALANCE_VIEW",
    "BOOK_VIEW",
    "DAY_COMMAND",
    "EXECUTION_VIEW",
    "FILL",
    "FILTER",
    "INSTRUMENT_COMMAND",
    "INT63_MAX",
    "KILL_COMMAND",
    "LEVEL_VIEW",
    "LIMITS_COMMAND",
    "LIMITS_FILTER",
    "LIMITS_VIEW",
    "LIMIT_VALUE",
    "LINK_COMMAND",
    "MASS_CANCEL_COMMAND",
    "ORDER_COMMAND",
    "ORDER_FILTER",
    "ORDER_RESULT",
    "ORDER_VIEW",
    "POSITION_VIEW",
    "PROPOSAL",
    "RESULT",
    "SCOPE_RANGE",
    "SESSION_COMMAND",
    "TRADE_COMMAND",
    "TRADE_VIEW",
    "TRADING_ACCOUNT_COMMAND",
    "TRANSFER_COMMAND",
    "TRANSFER_VIEW",
    "TRANSIENT",
    "UPDATE_COMMAND",
    "VERDICT",
    "AccountFlag",
    "Batch",
    "CapacityError",
    "Engine",
    "EngineError",
    "FilterFlag",
    "Headroom",
    "InvariantError",
    "Limits",
    "RecordError",
    "SnapshotError",
    "Status",
    "TransferFlag",
    "TransferState",
    "UpdateField",
]
