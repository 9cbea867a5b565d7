"""The tables of rails; migrations/versions/0016_rails.sql makes them and says what they mean."""

from sqlalchemy import BigInteger, Boolean, Column, Date, Integer, LargeBinary, Table, Text
from sqlalchemy.dialects.postgresql import JSONB, UUID

from backoffice.tables import MOMENT, metadata

NUMBER = UUID(as_uuid=True)

rails = Table(
    "rails",
    metadata,
    Column("name", Text, primary_key=True),
    Column("kind", Text),
    Column("url", Text),
    Column("active", Boolean),
    Column("paused", Boolean),
    Column("amount_minor_max", BigInteger),
    Column("settlement_part", Integer),
    Column("file_format", Text),
    Column("give_up_minutes", Integer),
    Column("version", Integer),
)
outbox = Table(
    "rail_outbox",
    metadata,
    Column("reference", Text, primary_key=True),
    Column("seq", BigInteger),
    Column("rail", Text),
    Column("payment_id", BigInteger),
    Column("operation", Text),
    Column("body", JSONB),
    Column("state", Text),
    Column("attempts", Integer),
    Column("next_at", MOMENT),
    Column("give_up_at", MOMENT),
    Column("last_error", Text),
    Column("answer", JSONB(none_as_null=True)),
    Column("made_at", MOMENT),
    Column("answered_at", MOMENT),
)
rail_events = Table(
    "rail_events",
    metadata,
    Column("rail", Text, primary_key=True),
    Column("event_id", Text, primary_key=True),
    Column("seq", BigInteger),
    Column("kind", Text),
    Column("payment", Text),
    Column("body", JSONB),
    Column("source", Text),
    Column("state", Text),
    Column("reason", Text),
    Column("payment_id", BigInteger),
    Column("told_at", MOMENT),
    Column("applied_at", MOMENT),
)
rail_nonces = Table(
    "rail_nonces",
    metadata,
    Column("rail", Text, primary_key=True),
    Column("nonce", Text, primary_key=True),
    Column("until", MOMENT),
)
rail_codes = Table(
    "rail_codes",
    metadata,
    Column("code_hash", LargeBinary, primary_key=True),
    Column("mode", Text),
    Column("account_id", BigInteger),
    Column("currency", Text),
    Column("amount_minor", BigInteger),
    Column("amount_minor_max", BigInteger),
    Column("expires_at", MOMENT),
    Column("used_by", Text),
    Column("made_at", MOMENT),
)
rail_files = Table(
    "rail_files",
    metadata,
    Column("rail", Text, primary_key=True),
    Column("day", Date, primary_key=True),
    Column("digest", Text),
    Column("rows", Integer),
    Column("nets", JSONB),
    Column("taken_at", MOMENT),
)
rail_items = Table(
    "rail_items",
    metadata,
    Column("rail", Text, primary_key=True),
    Column("rail_reference", Text),
    Column("file_day", Date, primary_key=True),
    Column("place", Integer, primary_key=True),
    Column("our_reference", Text),
    Column("kind", Text),
    Column("amount_minor", BigInteger),
    Column("fee_minor", BigInteger),
    Column("currency", Text),
    Column("day", Date),
    Column("batch", Text),
    Column("matched", Text),
)
rail_matches = Table(
    "rail_matches",
    metadata,
    Column("transfer_id", NUMBER, primary_key=True),
    Column("rail", Text),
    Column("day", Date),
    Column("rule", Text),
    Column("rail_reference", Text),
)
rail_differences = Table(
    "rail_differences",
    metadata,
    Column("difference_id", BigInteger, primary_key=True),
    Column("rail", Text),
    Column("key", Text),
    Column("day", Date),
    Column("kind", Text),
    Column("amount_minor", BigInteger),
    Column("currency", Text),
    Column("items", JSONB),
    Column("proposal", JSONB),
    Column("state", Text),
    Column("case_id", BigInteger),
    Column("approval_id", BigInteger),
    Column("group_id", NUMBER),
    Column("found_at", MOMENT),
    Column("closed_at", MOMENT),
)
rail_settlements = Table(
    "rail_settlements",
    metadata,
    Column("rail", Text, primary_key=True),
    Column("day", Date, primary_key=True),
    Column("currency", Text, primary_key=True),
    Column("net_minor", BigInteger),
    Column("fee_minor", BigInteger),
    Column("state", Text),
    Column("approval_id", BigInteger),
    Column("group_id", NUMBER),
    Column("made_at", MOMENT),
    Column("settled_at", MOMENT),
)
