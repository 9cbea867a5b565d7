"""What the tests here share with those of the server and of crashes."""

from tests.crash.conftest import template
from tests.server.conftest import database, postgres_18

__all__ = ["database", "postgres_18", "template"]
