"""The tables of payments; migrations/versions/0015_payments.sql makes them and says what they mean."""

from sqlalchemy import BigInteger, Column, Date, Integer, Sequence, Table, Text
from sqlalchemy.dialects.postgresql import JSONB, UUID

from backoffice import SCHEMA
from backoffice.tables import MOMENT, metadata

NUMBER = UUID(as_uuid=True)
PAYMENT_IDS = Sequence("payment_ids", schema=SCHEMA)

payments = Table(
    "payments",
    metadata,
    Column("payment_id", BigInteger, primary_key=True),
    Column("number", Text),
    Column("kind", Text),
    Column("operation", Text),
    Column("channel", Text),
    Column("mode", Text),
    Column("state", Text),
    Column("currency", Text),
    Column("ordered_minor", BigInteger),
    Column("authorised_minor", BigInteger),
    Column("captured_minor", BigInteger),
    Column("refunded_minor", BigInteger),
    Column("fee_minor", BigInteger),
    Column("from_account", BigInteger),
    Column("to_account", BigInteger),
    Column("debit_id", BigInteger),
    Column("credit_id", BigInteger),
    Column("customer_id", BigInteger),
    Column("outside", JSONB(none_as_null=True)),
    Column("purpose", Text),
    Column("reference", Text),
    Column("rail", Text),
    Column("rail_reference", Text),
    Column("cause", Text),
    Column("business_date", Date),
    Column("value_date", Date),
    Column("send_at", MOMENT),
    Column("sent_at", MOMENT),
    Column("expires_at", MOMENT),
    Column("hold_id", NUMBER),
    Column("fee_hold_id", NUMBER),
    Column("in_flight", NUMBER),
    Column("reason", Text),
    Column("detail", JSONB),
    Column("reversal_of", BigInteger),
    Column("approval_id", BigInteger),
    Column("use_day", Date),
    Column("maker", BigInteger),
    Column("branch", Text),
    Column("version", Integer),
    Column("made_at", MOMENT),
    Column("changed_at", MOMENT),
)
payment_events = Table(
    "payment_events",
    metadata,
    Column("payment_id", BigInteger, primary_key=True),
    Column("place", Integer, primary_key=True),
    Column("event_id", Text),
    Column("kind", Text),
    Column("amount_minor", BigInteger),
    Column("outcome", Text),
    Column("reason", Text),
    Column("source", Text),
    Column("group_id", NUMBER),
    Column("at", MOMENT),
    Column("settled_at", MOMENT),
)
payment_use = Table(
    "payment_use",
    metadata,
    Column("customer_id", BigInteger, primary_key=True),
    Column("day", Date, primary_key=True),
    Column("currency", Text, primary_key=True),
    Column("channel", Text, primary_key=True),
    Column("amount_minor", BigInteger),
    Column("count", BigInteger),
)
