"""A real private PostgreSQL for the whole run, and a fresh database for each test that wants one."""

import asyncio
import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from server.journal import PrivatePostgres

SECOND = Path(os.environ.get("TONGBAO_TEST_POSTGRES", "/usr/lib/postgresql/15/bin"))
"""Programs of the other PostgreSQL: Debian's 15, unless another one (15 to 18) is to be tested."""
_numbers = itertools.count(1)


def _run_cluster(directory: Path, **options: object) -> Iterator[PrivatePostgres]:
    postgres = PrivatePostgres(directory, wal_size=64 << 20, shared_buffers=32 << 20, prime=False, **options)
    asyncio.run(postgres.start(supervise=False))
    yield postgres
    asyncio.run(postgres.stop())


@pytest.fixture(scope="session")
def postgres_18(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivatePostgres]:
    """A cluster of the wheel's PostgreSQL."""
    yield from _run_cluster(tmp_path_factory.mktemp("postgres-18"))


@pytest.fixture(scope="session")
def postgres_15(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivatePostgres]:
    """A cluster of the system's PostgreSQL 15, or of another one: see SECOND."""
    if not SECOND.is_dir():
        pytest.skip(f"there is no PostgreSQL in {SECOND}")
    yield from _run_cluster(tmp_path_factory.mktemp("postgres-15"), binaries=SECOND)


def _fresh_database(postgres: PrivatePostgres) -> Iterator[str]:
    name = f"test_{next(_numbers)}"

    async def execute(command: str) -> None:
        connection = await asyncpg.connect(postgres.dsn)
        await connection.execute(command)
        await connection.close()

    asyncio.run(execute(f"CREATE DATABASE {name}"))
    yield postgres.dsn.replace("/tongbao?", f"/{name}?", 1)
    asyncio.run(execute(f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture
def database(postgres_18: PrivatePostgres) -> Iterator[str]:
    """The connection string of a database nobody has used."""
    yield from _fresh_database(postgres_18)


@pytest.fixture(params=["postgres_18", "postgres_15"])
def any_database(request: pytest.FixtureRequest) -> Iterator[str]:
    """The same on each PostgreSQL there is."""
    yield from _fresh_database(request.getfixturevalue(request.param))
