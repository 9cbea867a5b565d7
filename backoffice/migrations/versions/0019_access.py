"""Outside identities and rate limits."""

from alembic import op

from backoffice.migration import run_script

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    """Run the script of the same name."""
    run_script(op.get_bind(), "0019_access.sql")
