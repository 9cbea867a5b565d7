"""Payment rails: what was told to them and by them, files, reconciliation."""

from alembic import op

from backoffice.migration import run_script

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    """Run the script of the same name."""
    run_script(op.get_bind(), "0016_rails.sql")
