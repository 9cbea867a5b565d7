"""The ledger's tables for SQLAlchemy Core; migrations/versions/0008_ledger.sql makes them and says what they mean."""

from sqlalchemy import BigInteger, Column, Integer, Table, Text
from sqlalchemy.dialects.postgresql import UUID

from backoffice.tables import MOMENT, metadata

NUMBER = UUID(as_uuid=True)

ledger_accounts = Table(
    "ledger_accounts",
    metadata,
    Column("id", BigInteger, primary_key=True),
    Column("ledger", Integer),
    Column("code", Integer),
    Column("flags", Integer),
    Column("owner", Text),
    Column("state", Text),
    Column("status", Text),
    Column("made_at", MOMENT),
)
posting_groups = Table(
    "posting_groups",
    metadata,
    Column("id", NUMBER, primary_key=True),
    Column("seq", BigInteger),
    Column("kind", Text),
    Column("subject", Text),
    Column("state", Text),
    Column("user_id", BigInteger),
    Column("made_at", MOMENT),
    Column("settled_at", MOMENT),
    Column("attempts", Integer),
    Column("last_error", Text),
)
postings = Table(
    "postings",
    metadata,
    Column("id", NUMBER, primary_key=True),
    Column("group_id", NUMBER),
    Column("position", Integer),
    Column("debit_account_id", BigInteger),
    Column("credit_account_id", BigInteger),
    Column("amount_minor", BigInteger),
    Column("ledger", Integer),
    Column("code", Integer),
    Column("flags", Integer),
    Column("pending_id", NUMBER),
    Column("timeout_s", Integer),
    Column("status", Text),
    Column("engine_timestamp", BigInteger),
)
