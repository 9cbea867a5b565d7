"""What the crash tests share."""

from pathlib import Path

import pytest

from tests.crash.processes import ServerProcess
from tests.crash.run import SETTINGS


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with an empty ledger, stopped in order; runs start from copies of it."""
    server = ServerProcess(tmp_path_factory.mktemp("template"), SETTINGS)
    try:
        server.start()
        server.wait_ready()
        assert server.terminate() == 0, server.log_tail()
    finally:
        server.end()
    return server.data_dir
