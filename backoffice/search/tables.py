"""The table that customers are found in; migrations/versions/0010_search.sql makes it and says what it means."""

from sqlalchemy import BigInteger, Column, LargeBinary, SmallInteger, Table, Text
from sqlalchemy.dialects.postgresql import ARRAY

from backoffice.tables import MOMENT, metadata

customer_search = Table(
    "customer_search",
    metadata,
    Column("customer_id", BigInteger, primary_key=True),
    Column("kind", Text),
    Column("status", Text),
    Column("branch", Text),
    Column("region", Text),
    Column("manager", BigInteger),
    Column("industry", Text),
    Column("birth_year", SmallInteger),
    Column("risk_level", SmallInteger),
    Column("grade", Text),
    Column("tags", ARRAY(Text)),
    Column("certificate_index", LargeBinary),
    Column("phone_index", LargeBinary),
    Column("email_index", LargeBinary),
    Column("tokens", ARRAY(BigInteger)),
    Column("products", ARRAY(Text)),
    Column("deposits_minor", BigInteger),
    Column("investments_minor", BigInteger),
    Column("loans_minor", BigInteger),
    Column("figures_at", MOMENT),
)
