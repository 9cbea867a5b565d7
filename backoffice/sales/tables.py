"""The tables of sales; migrations/versions/0014_sales.sql makes them and says what they mean."""

from sqlalchemy import BigInteger, Column, Date, Integer, Table, Text
from sqlalchemy.dialects.postgresql import JSONB, UUID

from backoffice.tables import MOMENT, metadata

sales_orders = Table(
    "sales_orders",
    metadata,
    Column("order_id", BigInteger, primary_key=True),
    Column("number", Text),
    Column("kind", Text),
    Column("state", Text),
    Column("reason", Text),
    Column("customer_id", BigInteger),
    Column("product_id", Text),
    Column("product_version", Integer),
    Column("paying", BigInteger),
    Column("holding", BigInteger),
    Column("amount_minor", BigInteger),
    Column("fee_minor", BigInteger),
    Column("interest_minor", BigInteger),
    Column("currency", Text),
    Column("suitability", JSONB),
    Column("group_id", UUID(as_uuid=True)),
    Column("on_day", Date),
    Column("user_id", BigInteger),
    Column("made_at", MOMENT),
    Column("settled_at", MOMENT),
)
