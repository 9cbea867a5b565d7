"""A log to back up, and a database to restore into."""

import itertools
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import asyncpg
import pytest

from server.backup.restoring import Restored
from server.journal import PrivatePostgres
from tests.server.backup.world import World, restore_to
from tests.server.conftest import _fresh_database

Dry = Callable[[int | None, int | None], Awaitable[Restored]]
_numbers = itertools.count(1)


@pytest.fixture
async def world(database: str, tmp_path: Path) -> AsyncIterator[World]:
    """Rows 0 to 41 in partitions of 16, and a snapshot after row 21."""
    world = await World.make(database, tmp_path / "data")
    try:
        await world.write(19)
        world.snapshot()
        await world.write(20)
        yield world
    finally:
        await world.close()


@pytest.fixture
def empty(postgres_18: PrivatePostgres) -> Iterator[str]:
    """A database that nobody has used, to restore into."""
    yield from _fresh_database(postgres_18)


@pytest.fixture
def dry(postgres_18: PrivatePostgres, tmp_path: Path) -> Dry:
    """Restore the backup to a seq or a time, into a place that is thrown away."""

    async def restore(to_seq: int | None, to_time: int | None) -> Restored:
        name = f"dry_{next(_numbers)}"
        admin = await asyncpg.connect(postgres_18.dsn)
        await admin.execute(f"CREATE DATABASE {name}")
        try:
            dsn = postgres_18.dsn.replace("/tongbao?", f"/{name}?", 1)
            return await restore_to(tmp_path / "backup", dsn, tmp_path / "dry", to_seq, to_time)
        finally:
            await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
            await admin.close()
            shutil.rmtree(tmp_path / "dry", ignore_errors=True)

    return restore
