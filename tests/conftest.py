"""What every test can rely on."""

from collections.abc import Iterator

import pytest
import structlog


@pytest.fixture(autouse=True)
def _plain_logging() -> Iterator[None]:
    """A server that ran in the test's process has sent log lines to a stream that ends with the test."""
    yield
    structlog.reset_defaults()
