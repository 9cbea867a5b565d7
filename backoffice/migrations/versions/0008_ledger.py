"""Planned postings, their outcomes, and accounts of the engine."""

from alembic import op

from backoffice.migration import run_script

revision = "0008"
down_revision = "0001"


def upgrade() -> None:
    """Run the script of the same name."""
    run_script(op.get_bind(), "0008_ledger.sql")
