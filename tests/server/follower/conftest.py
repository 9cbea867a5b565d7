"""Fixtures: those of a whole server, since a follower needs one to follow."""

from tests.server.serving.conftest import (
    client,
    cluster,
    data_dir,
    pytest_asyncio_loop_factories,
    quiet_logs,
    server,
)

__all__ = ["client", "cluster", "data_dir", "pytest_asyncio_loop_factories", "quiet_logs", "server"]
