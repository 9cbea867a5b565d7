"""The tables of customers; migrations/versions/0009_customers.sql makes them and says what they mean."""

from sqlalchemy import ARRAY, BigInteger, Boolean, Column, Date, Integer, LargeBinary, SmallInteger, Table, Text

from backoffice.privacy.rows import sealed_table
from backoffice.tables import MOMENT, metadata

branches = Table(
    "branches",
    metadata,
    Column("branch", Text, primary_key=True),
    Column("name_zh", Text),
    Column("name_en", Text),
    Column("region", Text),
    Column("parent", Text),
    Column("active", Boolean),
)
customers = Table(
    "customers",
    metadata,
    Column("customer_id", BigInteger, primary_key=True),
    Column("kind", Text),
    Column("status", Text),
    Column("frozen_from", Text),
    Column("branch", Text),
    Column("manager", BigInteger),
    Column("region", Text),
    Column("key_id", Integer),
    Column("sealed", LargeBinary),
    Column("certificate_kind", Text),
    Column("certificate_index", LargeBinary),
    Column("phone_index", LargeBinary),
    Column("email_index", LargeBinary),
    Column("industry", Text),
    Column("birth_year", SmallInteger),
    Column("tags", ARRAY(Text)),
    Column("risk_level", SmallInteger),
    Column("risk_until", Date),
    Column("grade", Text),
    Column("reviewed_on", Date),
    Column("review_due", Date),
    Column("merged_into", BigInteger),
    Column("version", Integer),
    Column("made_at", MOMENT),
    Column("changed_at", MOMENT),
)
customer_changes = Table(
    "customer_changes",
    metadata,
    Column("change_id", BigInteger, primary_key=True),
    Column("customer_id", BigInteger),
    Column("version", Integer),
    Column("at", MOMENT),
    Column("user_id", BigInteger),
    Column("action", Text),
    Column("reason", Text),
    Column("key_id", Integer),
    Column("sealed", LargeBinary),
)
customer_documents = Table(
    "customer_documents",
    metadata,
    Column("document_id", BigInteger, primary_key=True),
    Column("customer_id", BigInteger),
    Column("kind", Text),
    Column("media_type", Text),
    Column("bytes", Integer),
    Column("expires_on", Date),
    Column("user_id", BigInteger),
    Column("user_name", Text),
    Column("at", MOMENT),
    Column("key_id", Integer),
    Column("sealed", LargeBinary),
)
customer_owners = Table(
    "customer_owners",
    metadata,
    Column("owner_row", BigInteger, primary_key=True),
    Column("customer_id", BigInteger),
    Column("owner_id", BigInteger),
    Column("basis", Text),
    Column("share_ppm", Integer),
    Column("beneficial", Boolean),
    Column("key_id", Integer),
    Column("sealed", LargeBinary),
)
customer_relations = Table(
    "customer_relations",
    metadata,
    Column("relation_id", BigInteger, primary_key=True),
    Column("customer_id", BigInteger),
    Column("other_id", BigInteger),
    Column("kind", Text),
    Column("made_at", MOMENT),
)
customer_notes = Table(
    "customer_notes",
    metadata,
    Column("note_id", BigInteger, primary_key=True),
    Column("customer_id", BigInteger),
    Column("user_id", BigInteger),
    Column("user_name", Text),
    Column("at", MOMENT),
    Column("key_id", Integer),
    Column("sealed", LargeBinary),
)

sealed_table(customers)
sealed_table(customer_changes, lambda row: f"customer_changes:{row['customer_id']}:{row['version']}")
sealed_table(customer_documents)
sealed_table(customer_owners)
sealed_table(customer_notes)
