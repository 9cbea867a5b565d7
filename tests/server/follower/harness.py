"""Followers in this event loop."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from server.follower.process import FollowProcess
from server.follower.settings import FollowSettings
from tests.server.serving.harness import SMALL

LEFT_OUT = {"postgres_wal_bytes", "disk_free_bytes_min"}


def follow_settings(data_dir: Path, **flags: Any) -> FollowSettings:
    """Settings of a small follower on free ports."""
    small = {name: value for name, value in SMALL.items() if name not in LEFT_OUT}
    return FollowSettings.from_environment(small | {"data_dir": data_dir, "port": 0, "http_port": 0} | flags, {})


@contextlib.asynccontextmanager
async def following(settings: FollowSettings) -> AsyncIterator[FollowProcess]:
    """Run a follower in this event loop."""
    process = FollowProcess(settings)
    try:
        await process.start()
        yield process
        if process.fatal is not None:
            raise process.fatal
    finally:
        await process.stop()
