"""Fixtures of the tests that need a whole server."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
import uvloop

from server import logs
from server.lifecycle import Server
from tests.server.serving.harness import Client, running, settings_for


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
