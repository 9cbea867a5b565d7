"""What speaks PostgreSQL's protocol itself is tested on both event loops."""

import asyncio
from typing import Any

import pytest
import uvloop


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> dict[str, Any]:
    """Name the loops."""
    loops: dict[str, Any] = {"asyncio": asyncio.new_event_loop}
    if item.path.name == "test_stream.py":
        loops["uvloop"] = uvloop.new_event_loop
    return loops
