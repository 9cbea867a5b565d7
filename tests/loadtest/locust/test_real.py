"""Users that send real data; skipped where there are none."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("gevent")

from examples.berka import data as berka
from loadtest.locust.own_server import OwnServer

ROOT = Path(__file__).parents[3]

pytestmark = pytest.mark.data


@pytest.mark.skipif(berka.find() is None, reason="the data are not there")
@pytest.mark.parametrize(("user", "users"), [("Berka", 2), ("Lobster", 1)])
def test_real_data_are_sent_and_every_reply_is_good(tmp_path: Path, user: str, users: int) -> None:
    summary = tmp_path / "summary.json"
    with OwnServer() as server:
        done = subprocess.run(
            [
                *(sys.executable, "-m", "locust", "-f", "loadtest/locust/real.py", "--headless", "--only-summary"),
                *("--host", f"127.0.0.1:{server.port}", "-u", str(users), "-r", "5", "-t", "6s", "--accounts", "3"),
                *("--check", "errors=0", "--check", "requests>=200", "--summary", str(summary), "--depth", "16", user),
            ],
            capture_output=True, text=True, check=False, cwd=ROOT, timeout=100,
        )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(summary.read_text())
    assert found["failures"] == []
    requests, results = found["requests"], found["results"]
    if user == "Berka":
        assert results["create_transfers"] == {"created": requests["create_transfers"]["requests"]}
    else:
        assert {"new", "canceled", "filled"} <= {name for each in results.values() for name in each}
