"""End of day."""

from alembic import op

from backoffice.migration import run_script

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    """Run the script of the same name."""
    run_script(op.get_bind(), "0018_endofday.sql")
