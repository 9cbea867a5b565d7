"""Fixtures of the tests that need a whole server."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
import uvloop

from server import logs
from server.journal import PrivatePostgres
from server.lifecycle import Server
from tests.server.serving.harness import SMALL, Client, running, settings_for


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> dict[str, Any]:
    """The event loop that the server runs on."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture(autouse=True)
def quiet_logs() -> Iterator[None]:
    """Only errors of servers in this process are written."""
    logs.configure("json", "warning", lambda _: None)
    yield
    structlog.reset_defaults()


@pytest.fixture
async def server(tmp_path: Path, database: str) -> AsyncIterator[Server]:
    """A server with an empty log, in this event loop, with --dev."""
    async with running(settings_for(tmp_path, database_url=database)) as server:
        yield server


@pytest.fixture
async def client(server: Server) -> AsyncIterator[Client]:
    """A connection to it."""
    async with await Client.connect(server.port) as client:
        yield client


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with a private PostgreSQL that was made and stopped: copying it is quicker than making one."""
    directory = tmp_path_factory.mktemp("cluster") / "data"

    async def make() -> None:
        postgres = PrivatePostgres(directory, wal_size=int(SMALL["postgres_wal_bytes"]), free_floor=0)
        await postgres.start()
        await postgres.stop()

    asyncio.run(make())
    return directory


@pytest.fixture
def data_dir(cluster: Path, tmp_path: Path) -> Path:
    """A data directory with an empty log in a private PostgreSQL."""
    directory = tmp_path / "data"
    shutil.copytree(cluster, directory, symlinks=True)
    return directory
