"""Customers' accounts and the business date."""

from alembic import op

from backoffice.migration import run_script

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Run the script of the same name."""
    run_script(op.get_bind(), "0013_accounts.sql")
