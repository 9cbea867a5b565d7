"""What finds customers: regions, blind tokens, figures to filter by."""

from alembic import op

from backoffice.migration import run_script

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Run the script of the same name."""
    run_script(op.get_bind(), "0010_search.sql")
