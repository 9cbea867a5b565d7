"""Alembic's way in: the connection is given by `backoffice.migration`."""

from alembic import context

from backoffice import SCHEMA

context.configure(
    connection=context.config.attributes["connection"],
    version_table="migration",
    version_table_schema=SCHEMA,
    transaction_per_migration=True,
)
with context.begin_transaction():
    context.run_migrations()
