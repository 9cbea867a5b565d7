"""What every test can rely on."""

import gc
import os
import shutil
import tempfile
from collections.abc import Iterator

import pytest
import structlog


@pytest.fixture(autouse=True)
def _plain_logging() -> Iterator[None]:
    """A server that ran in the test's process has sent log lines to a stream that ends with the test."""
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="module", autouse=True)
def _memory_back() -> Iterator[None]:
    """Servers that ran in the test's process are rings of a few objects and hundreds of megabytes of engine.

    Nothing makes the collector look for them: without this a run ends with six gigabytes.
    """
    yield
    gc.collect()


@pytest.fixture(scope="session", autouse=True)
def _kernels_once() -> Iterator[None]:
    """Servers of the tests, each with data of its own, need not each compile the checks of limits."""
    directory = tempfile.mkdtemp(prefix="tongbao-kernels-")
    os.environ["TONGBAO_RISK_CACHE"] = directory
    yield
    del os.environ["TONGBAO_RISK_CACHE"]
    shutil.rmtree(directory, ignore_errors=True)
