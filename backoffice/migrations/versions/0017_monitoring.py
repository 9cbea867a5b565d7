"""Large-value and suspicious transactions; customers' ratings."""

from alembic import op

from backoffice.migration import run_script

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    """Run the script of the same name."""
    run_script(op.get_bind(), "0017_monitoring.sql")
