"""Branches and customers."""

from alembic import op

from backoffice.migration import run_script

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Run the script of the same name."""
    run_script(op.get_bind(), "0009_customers.sql")
