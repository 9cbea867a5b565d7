"""Payments, standing orders, bulk files."""

from alembic import op

from backoffice.migration import run_script

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    """Run the script of the same name."""
    run_script(op.get_bind(), "0015_payments.sql")
