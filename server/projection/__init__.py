"""The log as relational tables, in any PostgreSQL: a sink of `tongbao follow`.

- encoding    NumPy columns as PostgreSQL's binary COPY
- columns     what each table has of the engine's records
- changes     which rows are new or have changed since the tables were last written
- database    the session with the tables: position, partitions, staging, one transaction
- sink        the follower's sink: everything together, and what to do when the database is away
- rebuild     all tables from an engine that stands still
- comparison  the tables against an engine at the same row
- migration   Alembic, without a file of settings
"""

SCHEMA = "ledger"
"""Schema of the tables."""

REVISION = "0002"
"""The migration that the tables must be at."""
