"""`tongbao-office`: from an empty database to a served request, and every exit code."""

import asyncio
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import asyncpg
import pytest

from backoffice import REVISION
from backoffice.cli import main
from server.journal import PrivatePostgres
from tests.backoffice.conftest import PASSWORD, dsn_of
from tests.server.conftest import _fresh_database

__all__ = ["empty"]


@pytest.fixture
def empty(office_postgres: PrivatePostgres) -> object:
    yield from _fresh_database(office_postgres)


def test_from_nothing_to_an_answer(
    empty: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("OFFICE_DATABASE_URL", empty)
    assert main(["serve", "--port", "0"]) == 2
    assert "tongbao-office migrate" in capsys.readouterr().err
    key = tmp_path / "master"
    assert main(["keys", "new", str(key)]) == 0
    assert main(["keys", "new", str(key)]) == 2
    assert "File exists" in capsys.readouterr().err
    assert main(["migrate"]) == 0
    assert f"tables: none -> {REVISION}; rules written: " in capsys.readouterr().out
    assert main(["migrate"]) == 0
    assert f"tables: {REVISION} -> {REVISION}; rules written: 0" in capsys.readouterr().out
    monkeypatch.setattr(sys, "stdin", io.StringIO(PASSWORD + "\n"))
    options = ["--full-name", "Root", "--role", "administrator", "--password-stdin"]
    assert main(["user", "add", "root", *options, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["roles"] == ["administrator"]
    monkeypatch.setattr(sys, "stdin", io.StringIO("short\n"))
    assert main(["user", "add", "other", *options]) == 3
    assert "password: at least 12 characters" in capsys.readouterr().err
    assert main(["audit", "verify", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"entries": 2, "fault": "", "whole": True}
    assert main(["serve", "--port", "0"]) == 2
    assert "OFFICE_MASTER_KEY_FILE is not set" in capsys.readouterr().err
    monkeypatch.setenv("OFFICE_MASTER_KEY_FILE", str(key))
    answered(tmp_path)


def answered(directory: Path) -> None:
    """A process of its own, asked over a real socket, and stopped by a signal."""
    log = directory / "office.log"
    with log.open("wb") as file:
        command = [sys.executable, "-m", "backoffice.cli", "serve", "--port", "0"]
        process = subprocess.Popen(command, stderr=file, stdout=file, env=os.environ)
    try:
        end = time.monotonic() + 30
        while not (found := re.search(r"running on (http://[\d.:]+)", log.read_text())):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.05)
        with urllib.request.urlopen(f"{found[1]}/api/v1/health", timeout=10) as response:
            assert json.load(response) == {"status": "ready", "revision": REVISION}
        body = json.dumps({"name": "root", "password": PASSWORD}).encode()
        asked = urllib.request.Request(f"{found[1]}/api/v1/sessions", body, {"content-type": "application/json"})
        with urllib.request.urlopen(asked, timeout=10) as response:
            assert json.load(response)["user"]["name"] == "root"
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) in {0, -signal.SIGTERM}


def test_a_log_that_is_not_whole_has_its_exit_code(office_dsn: str) -> None:
    async def tamper() -> None:
        connection = await asyncpg.connect(office_dsn)
        await connection.execute("SET session_replication_role = replica")
        await connection.execute("UPDATE office.audit_log SET action = 'nothing'")
        await connection.close()

    asyncio.run(tamper())
    done = subprocess.run(
        [sys.executable, "-m", "backoffice.cli", "audit", "verify", "--database-url", office_dsn],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stdout.strip()) == (4, "entry 1 has been changed")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["migrate"], 2, "--database-url: not given, and OFFICE_DATABASE_URL is not set"),
        (["serve", "--database-url", "postgresql://localhost:1/x"], 1, "the database does not answer"),
        (["serve", "--database-url", "postgresql://localhost:1/x", "--port", "99999"], 2, "port: 99999 is not between"),
    ],
)
def test_wrong_usage(
    arguments: list[str], code: int, words: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OFFICE_DATABASE_URL", raising=False)
    assert main(arguments) == code
    assert words in capsys.readouterr().err


def test_a_database_that_is_not_there(office_postgres: PrivatePostgres, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["migrate", "--database-url", dsn_of(office_postgres, "nowhere")]) == 1
    assert "nowhere" in capsys.readouterr().err
