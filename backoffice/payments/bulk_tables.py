"""The tables of files of payments; migrations/versions/0015_payments.sql makes them and says what they mean."""

from sqlalchemy import BigInteger, Boolean, Column, Date, Integer, Table, Text
from sqlalchemy.dialects.postgresql import JSONB

from backoffice.tables import MOMENT, metadata

batches = Table(
    "bulk_batches",
    metadata,
    Column("batch_id", BigInteger, primary_key=True),
    Column("customer_id", BigInteger),
    Column("message", Text),
    Column("message_id", Text),
    Column("created_at", Text),
    Column("sender", Text),
    Column("digest", Text),
    Column("linked", Boolean),
    Column("rail", Text),
    Column("state", Text),
    Column("reasons", JSONB),
    Column("items", Integer),
    Column("accepted", Integer),
    Column("totals", JSONB),
    Column("approval_id", BigInteger),
    Column("use_day", Date),
    Column("maker", BigInteger),
    Column("version", Integer),
    Column("made_at", MOMENT),
    Column("done_at", MOMENT),
)
items = Table(
    "bulk_items",
    metadata,
    Column("batch_id", BigInteger, primary_key=True),
    Column("place", Integer, primary_key=True),
    Column("line", Integer),
    Column("group_name", Text),
    Column("instruction_id", Text),
    Column("end_to_end_id", Text),
    Column("uetr", Text),
    Column("state", Text),
    Column("reasons", JSONB),
    Column("amount_minor", BigInteger),
    Column("currency", Text),
    Column("day", Date),
    Column("from_account", BigInteger),
    Column("to_account", BigInteger),
    Column("outside", JSONB(none_as_null=True)),
    Column("remittance", Text),
    Column("payment_id", BigInteger),
    Column("reason", Text),
)
