"""Users, audit, approvals, idempotency, parameters."""

from alembic import op

from backoffice.migration import run_script

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Run the script of the same name."""
    run_script(op.get_bind(), "0001_base.sql")
