"""The tables."""

from alembic import op

from server.projection.migration import run_script

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Run the script of the same name."""
    run_script(op.get_bind(), "0001_tables.sql")
