"""A financial institution's daily work around the engine: customers, products, payments, and who may do what.

The engine is reached only through the public client, and is the only book of money. PostgreSQL holds everything else.
See docs/BACKOFFICE.md.
"""

SCHEMA = "office"
"""Of all tables."""
REVISION = "0019"
"""Of the tables that this build works with."""
