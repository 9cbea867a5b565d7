"""One real server for the tests of the commands, and a way to run a command as a user would see it."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest

from examples.local_server import LocalServer
from server.cli import main

COMMAND = [sys.executable, "-m", "server.cli"]


class Outcome(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Tongbao = Callable[..., Outcome]


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalServer]:
    server = LocalServer(tmp_path_factory.mktemp("data"))
    with server:
        yield server


@pytest.fixture
def tongbao(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Tongbao:
    """Run a command in this process; a traceback fails the test by itself."""
    for name in ("TONGBAO_CONNECT", "TONGBAO_CHANNEL", "TONGBAO_KEY", "TONGBAO_KEY_FILE", "DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: object) -> Outcome:
        capfd.readouterr()
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as end:
            code = int(end.code or 0)
        out, err = capfd.readouterr()
        return Outcome(code, out, err)

    return run


@pytest.fixture
def dev(server: LocalServer, tongbao: Tongbao) -> Tongbao:
    """Run a command against the server."""

    def run(*arguments: object) -> Outcome:
        return tongbao(*arguments, "--connect", f"{server.host}:{server.port}")

    return run


def process(*arguments: object, **options: Any) -> subprocess.Popen[str]:
    """Start a command as a process of its own."""
    return subprocess.Popen(
        [*COMMAND, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
    )
