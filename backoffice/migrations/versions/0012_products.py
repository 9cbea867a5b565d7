"""Products, their versions, quotas."""

from alembic import op

from backoffice.migration import run_script

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Run the script of the same name."""
    run_script(op.get_bind(), "0012_products.sql")
