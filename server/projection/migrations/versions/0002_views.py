"""Views for people and reports."""

from alembic import op

from server.projection.migration import run_script

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Run the script of the same name."""
    run_script(op.get_bind(), "0002_views.sql")
