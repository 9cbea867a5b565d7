"""One command from nothing to an institution that works; killed and started again; reset."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from backoffice.cli.up import private_dsn
from tests.server.serving.harness import SMALL

pytest.importorskip("fastapi")


class Up:
    """`tongbao-office up` in a process of its own."""

    def __init__(self, data: Path) -> None:
        self.data = data
        names = {f"TONGBAO_{name.upper()}": str(value) for name, value in (SMALL | {"port": 0, "http_port": 0}).items()}
        outside = {
            name: text for name, text in os.environ.items() if name not in {"DATABASE_URL", "OFFICE_DATABASE_URL"}
        }
        self.environment = outside | names
        self.process: subprocess.Popen[str] | None = None

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "backoffice.cli", *arguments, "--data-dir", str(self.data)]

    def start(self) -> dict[str, Any]:
        where = self.data / "office" / "office.json"
        where.unlink(missing_ok=True)
        self.process = subprocess.Popen(
            self.command("up", "--port", "0"), env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True,
        )  # fmt: skip
        until = time.monotonic() + 90
        while time.monotonic() < until:
            if where.exists() and where.read_text():
                return dict(json.loads(where.read_text()))
            assert self.process.poll() is None, self.process.stdout.read() if self.process.stdout else ""
            time.sleep(0.05)
        raise AssertionError("not ready")

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        code = self.process.wait(60)
        assert self.process.stdout is not None
        self.output = self.process.stdout.read()
        self.process.stdout.close()
        return code

    @property
    def engine(self) -> str:
        return f"127.0.0.1:{json.loads((self.data / 'server.json').read_text())['port']}"

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments), env=self.environment, capture_output=True, text=True, check=False, timeout=60
        )


def users_of(where: dict[str, Any], password: str) -> Any:
    with httpx.Client(base_url=f"http://127.0.0.1:{where['port']}/api/v1") as client:
        answer = client.post("/sessions", json={"name": "auditor", "password": password})
        assert answer.status_code == 201, answer.text
        token = answer.json()["token"]
        return client.get("/users", headers={"authorization": f"Bearer {token}"}).json()["items"]


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    made = Up(tmp_path / "data")
    yield made
    if made.process is not None and made.process.poll() is None:
        made.end(signal.SIGKILL)
    if (made.data / "server.json").exists():
        end_server(made)


def end_server(up: Up) -> None:
    """End the server, too, and wait for it."""
    pid = json.loads((up.data / "server.json").read_text())["pid"]
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    until = time.monotonic() + 30
    while Path(f"/proc/{pid}").exists() and time.monotonic() < until:
        time.sleep(0.05)


def test_from_nothing_and_again_after_a_kill_and_reset(up: Up) -> None:
    where = up.start()
    mark = up.data / "office" / "demo-password"
    password = mark.read_text().strip()
    assert mark.stat().st_mode & 0o077 == 0
    users = users_of(where, password)
    assert {each["name"] for each in users} >= {"teller", "operations", "compliance", "admin"}
    again = subprocess.run(
        [sys.executable, "-m", "backoffice.cli", "reconcile", "--json"],
        env=up.environment | {"OFFICE_DATABASE_URL": private_dsn(up.data, "office"), "OFFICE_ENGINE": up.engine},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert again.returncode == 0, again.stdout + again.stderr
    assert up.run("demo", "reset").returncode == 2  # it runs
    server = json.loads((up.data / "server.json").read_text())
    assert up.end(signal.SIGKILL) == -signal.SIGKILL

    where = up.start()  # uses the server that outlived the office
    assert json.loads((up.data / "server.json").read_text())["pid"] == server["pid"]
    assert users_of(where, password) == users
    assert up.end() == 0
    assert password in up.output
    end_server(up)

    up.start()
    assert up.end(signal.SIGINT) == 0
    assert not (up.data / "server.json").exists()  # it goes when the server has ended in order
    assert up.run("demo", "reset").returncode == 0
    assert not up.data.exists()


def test_a_directory_that_is_no_demo_is_not_touched(up: Up) -> None:
    up.data.mkdir()
    (up.data / "file").touch()
    refused = up.run("demo", "reset")
    assert refused.returncode == 2
    assert "nothing was touched" in refused.stderr
    assert (up.data / "file").exists()
