"""Fixtures: those of a whole server, and a real redis-server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server.events.harness import RedisServer, redis_program
from tests.server.serving.conftest import (
    client,
    cluster,
    pytest_asyncio_loop_factories,
    quiet_logs,
    server,
)

__all__ = ["client", "cluster", "pytest_asyncio_loop_factories", "quiet_logs", "server"]


@pytest.fixture
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A Redis of its own, that writes everything down before it answers."""
    if redis_program() is None:
        pytest.skip("there is no redis-server")
    server = RedisServer(Path(tmp_path_factory.mktemp("redis")))
    server.start()
    yield server
    server.kill()
