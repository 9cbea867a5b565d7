"""The tables of accounts; migrations/versions/0013_accounts.sql makes them and says what they mean."""

from sqlalchemy import BigInteger, Column, Date, Integer, Table, Text
from sqlalchemy.dialects.postgresql import JSONB

from backoffice.tables import MOMENT, metadata

accounts = Table(
    "accounts",
    metadata,
    Column("account_id", BigInteger, primary_key=True),
    Column("number", Text),
    Column("customer_id", BigInteger),
    Column("kind", Text),
    Column("product_id", Text),
    Column("product_version", Integer),
    Column("currency", Text),
    Column("branch", Text),
    Column("status", Text),
    Column("terms", JSONB),
    Column("opened_on", Date),
    Column("matures_on", Date),
    Column("closed_on", Date),
    Column("active_on", Date),
    Column("version", Integer),
    Column("made_at", MOMENT),
)
