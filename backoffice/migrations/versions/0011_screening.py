"""Watch lists, screening, cases, notices."""

from alembic import op

from backoffice.migration import run_script

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Run the script of the same name."""
    run_script(op.get_bind(), "0011_screening.sql")
