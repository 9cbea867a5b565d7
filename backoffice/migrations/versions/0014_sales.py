"""Online sale: orders, suitability, holdings."""

from alembic import op

from backoffice.migration import run_script

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """Run the script of the same name."""
    run_script(op.get_bind(), "0014_sales.sql")
