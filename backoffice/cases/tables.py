"""The tables of cases; migrations/versions/0011_screening.sql makes them and says what they mean."""

from sqlalchemy import BigInteger, Column, Date, Integer, Table, Text
from sqlalchemy.dialects.postgresql import JSONB

from backoffice.tables import MOMENT, metadata

cases = Table(
    "cases",
    metadata,
    Column("case_id", BigInteger, primary_key=True),
    Column("kind", Text),
    Column("key", Text),
    Column("subject", Text),
    Column("customer_id", BigInteger),
    Column("summary", Text),
    Column("detail", JSONB),
    Column("state", Text),
    Column("assigned_to", BigInteger),
    Column("decision", Text),
    Column("decided_by", BigInteger),
    Column("decided_at", MOMENT),
    Column("due_on", Date),
    Column("version", Integer),
    Column("made_at", MOMENT),
)
case_notes = Table(
    "case_notes",
    metadata,
    Column("note_id", BigInteger, primary_key=True),
    Column("case_id", BigInteger),
    Column("user_id", BigInteger),
    Column("user_name", Text),
    Column("at", MOMENT),
    Column("text", Text),
)
