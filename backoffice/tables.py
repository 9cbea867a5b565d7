"""The base tables for SQLAlchemy Core; migrations/versions/0001_base.sql makes them and says what they mean."""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
)
from sqlalchemy.dialects.postgresql import JSONB

from backoffice import SCHEMA

metadata = MetaData(schema=SCHEMA)
MOMENT = DateTime(timezone=True)

users = Table(
    "users",
    metadata,
    Column("user_id", BigInteger, primary_key=True),
    Column("name", Text),
    Column("full_name", Text),
    Column("branch", Text),
    Column("roles", ARRAY(Text)),
    Column("password", Text),
    Column("totp_secret", Text),
    Column("totp_used", BigInteger),
    Column("failures", Integer),
    Column("locked_until", MOMENT),
    Column("active", Boolean),
    Column("version", Integer),
    Column("created_at", MOMENT),
)
sessions = Table(
    "sessions",
    metadata,
    Column("token_hash", LargeBinary, primary_key=True),
    Column("user_id", BigInteger),
    Column("address", Text),
    Column("created_at", MOMENT),
    Column("seen_at", MOMENT),
    Column("ends_at", MOMENT),
)
audit_log = Table(
    "audit_log",
    metadata,
    Column("entry", BigInteger, primary_key=True),
    Column("at", MOMENT),
    Column("user_id", BigInteger),
    Column("user_name", Text),
    Column("action", Text),
    Column("subject", Text),
    Column("detail", Text),
    Column("address", Text),
    Column("previous_hash", LargeBinary),
    Column("hash", LargeBinary),
)
audit_head = Table(
    "audit_head",
    metadata,
    Column("single", Boolean, primary_key=True),
    Column("entry", BigInteger),
    Column("hash", LargeBinary),
)
approvals = Table(
    "approvals",
    metadata,
    Column("approval_id", BigInteger, primary_key=True),
    Column("kind", Text),
    Column("subject", Text),
    Column("summary", Text),
    Column("payload", JSONB),
    Column("state", Text),
    Column("maker", BigInteger),
    Column("made_at", MOMENT),
    Column("checker", BigInteger),
    Column("decided_at", MOMENT),
    Column("reason", Text),
    Column("result", JSONB),
)
idempotency = Table(
    "idempotency",
    metadata,
    Column("user_id", BigInteger, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("request", LargeBinary),
    Column("status", Integer),
    Column("response", Text),
    Column("at", MOMENT),
)
parameters = Table(
    "parameters",
    metadata,
    Column("parameter_id", BigInteger, primary_key=True),
    Column("name", Text),
    Column("scope", Text),
    Column("value", JSONB),
    Column("valid_from", Date),
    Column("valid_to", Date),
    Column("source", Text),
)
