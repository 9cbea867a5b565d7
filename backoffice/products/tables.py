"""The tables of products; migrations/versions/0012_products.sql makes them and says what they mean."""

from sqlalchemy import BigInteger, Column, Date, Integer, SmallInteger, Table, Text
from sqlalchemy.dialects.postgresql import JSONB

from backoffice.tables import MOMENT, metadata

products = Table(
    "products",
    metadata,
    Column("product_id", Text, primary_key=True),
    Column("kind", Text),
    Column("name_zh", Text),
    Column("name_en", Text),
    Column("currency", Text),
    Column("issuer", Text),
    Column("made_at", MOMENT),
)
versions = Table(
    "product_versions",
    metadata,
    Column("product_id", Text, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("state", Text),
    Column("terms", JSONB),
    Column("risk_level", SmallInteger),
    Column("sale_from", Date),
    Column("sale_to", Date),
    Column("minimum_minor", BigInteger),
    Column("step_minor", BigInteger),
    Column("quota_minor", BigInteger),
    Column("sold_minor", BigInteger),
    Column("maker", BigInteger),
    Column("checker", BigInteger),
    Column("row_version", Integer),
    Column("made_at", MOMENT),
    Column("decided_at", MOMENT),
)
