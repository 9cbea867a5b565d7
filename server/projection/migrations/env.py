"""Alembic's way in: the connection is given by `server.projection.migration`, there is no alembic.ini."""

from alembic import context

from server.projection import SCHEMA

context.configure(
    connection=context.config.attributes["connection"],
    version_table="migration",
    version_table_schema=SCHEMA,
    transaction_per_migration=True,
)
with context.begin_transaction():
    context.run_migrations()
