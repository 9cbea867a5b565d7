"""Fixtures: those of a whole server, and a second database for the tables."""

from collections.abc import Iterator

import pytest

from server.journal import PrivatePostgres
from tests.server.conftest import _fresh_database
from tests.server.serving.conftest import (
    client,
    cluster,
    pytest_asyncio_loop_factories,
    quiet_logs,
    server,
)

__all__ = ["client", "cluster", "pytest_asyncio_loop_factories", "quiet_logs", "server"]


@pytest.fixture
def tables(postgres_18: PrivatePostgres) -> Iterator[str]:
    """The connection string of another database that nobody has used."""
    yield from _fresh_database(postgres_18)


@pytest.fixture(params=["postgres_18", "postgres_15"])
def any_tables(request: pytest.FixtureRequest) -> Iterator[str]:
    """The same on each PostgreSQL there is."""
    yield from _fresh_database(request.getfixturevalue(request.param))
