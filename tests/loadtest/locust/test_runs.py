"""Whole runs: Locust in processes of its own, against a real server and against one that answers as a test says."""

import json
import re
import shutil
import ssl
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("gevent")

from tests.loadtest.locust.slow import Slow, slow, taken

ROOT = Path(__file__).parents[3]
LOCUST = [sys.executable, "-m", "locust", "-f", "loadtest/locust/locustfile.py", "--headless", "--only-summary"]
RUN_SECONDS = 100


def run(command: list[str], *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*command, *options], capture_output=True, text=True, check=False, cwd=ROOT, timeout=RUN_SECONDS
    )


def against(server: Slow, summary: Path, *options: str) -> tuple[int, dict[str, Any], str]:
    done = run(LOCUST, "--host", f"127.0.0.1:{server.port}", "--accounts", "100", "--summary", str(summary), *options)
    return done.returncode, json.loads(summary.read_text()), done.stdout + done.stderr


def test_the_default_run_on_a_server_of_its_own_with_two_processes(tmp_path: Path) -> None:
    """`make loadtest`, shorter: every kind of user, nothing fails, and the checks hold."""
    done = run(
        [sys.executable, "-m", "loadtest.locust"],
        *("--processes", "2", "--run-time", "3s", "--rate", "20", "--batch", "10", "--traders", "16"),
        *("--check", "errors=0", "--check", "p99=60s", "--check", "create_transfers:requests>=10"),
        *("--summary", str(tmp_path / "summary.json")),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert all(check["ok"] for check in summary["checks"])
    assert len(summary["checks"]) == 3
    kinds = {"create_transfers", "batch of transfers", "submit_orders", "replace_orders", "cancel_orders"}
    assert kinds | {"lookup_accounts", "subscribe"} <= summary["requests"].keys()
    requests, results = summary["requests"], summary["results"]
    assert results["create_transfers"] == {"created": requests["create_transfers"]["requests"]}
    assert results["batch of transfers"] == {"created": 10 * requests["batch of transfers"]["requests"]}
    assert summary["failures"] == []
    assert results["notification"]["bbo"] > 0
    assert requests["all"]["requests"] == sum(one["requests"] for name, one in requests.items() if name != "all")
    assert "check p99=60s holds" in done.stdout


def test_pipelined_users_of_two_processes(tmp_path: Path) -> None:
    """Each request is answered 40 ms after it arrived: that is its response time with four in flight, too. No id is
    sent twice, and no reply is lost at the end."""
    with slow(delay=lambda _: 0.04) as server:
        code, summary, output = against(
            server,
            tmp_path / "summary.json",
            *("Transfers", "--processes", "2", "-u", "4", "-r", "4", "-t", "3s", "--depth", "4"),
            *("--check", "create_transfers:p50=10ms", "--check", "errors=0"),
        )
        sent = [request for request in server.requests if request["method"] == "create_transfers"]
    assert code == 1, output
    assert [check["ok"] for check in summary["checks"]] == [False, True]
    assert "Check failed: create_transfers:p50=10ms" in output
    figures = summary["requests"]["create_transfers"]
    assert 40 <= figures["p50"] < 120  # the four added up are 160
    assert figures["requests"] == len(sent) == len({request["params"][0]["id"] for request in sent})
    assert len(sent) > 100
    assert summary["results"] == {"create_transfers": {"created": len(sent)}}


def test_a_stall_shows_in_all_that_was_due_and_failures_have_names(tmp_path: Path) -> None:
    """On a schedule of 200 a second the server keeps everything for 0.8 s once. A third of the run was due then; one
    that sends only after a reply would have seen a single slow request."""
    stalled: list[float] = []

    def delay(number: int) -> float:
        if number == 100:
            stalled.append(time.monotonic() + 0.8)
        return max(0.0, stalled[0] - time.monotonic()) if stalled else 0.0

    def answer(request: dict[str, Any]) -> dict[str, Any]:
        if request["method"] == "create_transfers" and len(server.requests) % 10 == 0:
            return {"error": {"code": -32003, "message": "busy"}}
        return taken(request)

    with slow(answer, delay) as server:
        code, summary, output = against(
            server, tmp_path / "summary.json", *("Transfers", "-u", "1", "-t", "3s", "--rate", "200", "--seed", "7")
        )
    assert code == 1, output
    figures = summary["requests"]["create_transfers"]
    assert figures["p90"] > 200
    assert figures["max"] > 700
    assert summary["seed"] == 7
    (failure,) = summary["failures"]
    assert failure["request"] == "create_transfers"
    assert "busy" in failure["failure"]
    assert failure["count"] == figures["errors"] == summary["results"]["create_transfers"]["busy"]


def test_a_shape_sets_the_number_of_users(tmp_path: Path) -> None:
    """A spike: one user, ten, one. Each user has a connection of its own."""
    with slow() as server:
        code, summary, output = against(
            server,
            tmp_path / "summary.json",
            *("Balances", "--shape", "spike", "-u", "10", "-t", "5s", "--rate", "5"),
            *("--check", "errors=0"),
        )
        connections = server.connections
    assert code == 0, output
    assert connections == 11  # and that of the set-up
    assert [line.split("updating to ")[1].split()[0] for line in output.splitlines() if "updating to" in line] == [
        "1", "10", "1",
    ]  # fmt: skip
    assert summary["requests"]["lookup_accounts"]["errors"] == 0


def test_the_user_that_the_document_shows_as_a_channel_over_tls(tmp_path: Path) -> None:
    """Every connection begins with a logon, that of the set-up too."""
    text = (ROOT / "docs" / "LOADTEST.md").read_text()
    (example,) = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    locustfile = tmp_path / "locustfile.py"
    locustfile.write_text(example)
    program = shutil.which("openssl")
    if program is None:
        pytest.skip("no openssl to make a certificate with")
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        [program, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key),
         "-out", str(certificate)],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate, key)
    with slow(tls=tls) as server:
        done = run(
            [sys.executable, "-m", "locust", "-f", str(locustfile), "--headless", "--only-summary"],
            *(
                "--host",
                f"127.0.0.1:{server.port}",
                "--accounts",
                "3",
                "-u",
                "2",
                "-r",
                "2",
                "-t",
                "2s",
                "--rate",
                "50",
            ),
            *("--channel", "load", "--key", "secret", "--tls-ca", str(certificate)),
            *("--check", "errors=0", "--check", "lookup_accounts:requests>=20"),
        )
        logons = [request["params"] for request in server.requests if request["method"] == "logon"]
    assert done.returncode == 0, done.stdout + done.stderr
    assert logons == [{"channel": "load", "key": "secret"}] * 3
    assert server.connections == 3


def test_market_data_subscribes_again_after_a_cut_and_sees_gaps(tmp_path: Path) -> None:
    def update(seq: int, before: int, **values: bool) -> dict[str, Any]:
        return {"method": "bbo", "params": {"instrument": "LOAD01", "seq": seq, "prev_seq": before} | values}

    def answer(request: dict[str, Any]) -> dict[str, Any] | None:
        methods = [one["method"] for one in server.requests]
        if request["method"] == "subscribe":
            return {"result": {}, "then": [update(5, 0, snapshot=True), update(8, 5)]}
        if request["method"] == "ping" and methods.count("subscribe") == 1:
            return None if methods.count("ping") == 1 else {"result": {}}
        if request["method"] == "ping" and methods.count("ping") == 3:
            return {"result": {}, "then": [update(9, 8), update(12, 11)]}
        return taken(request)

    with slow(answer) as server:
        code, summary, output = against(server, tmp_path / "summary.json", "MarketData", "-u", "1", "-t", "4s")
        methods = [one["method"] for one in server.requests if one["method"] in {"subscribe", "ping"}]
    assert code == 1, output
    assert methods[:5] == ["subscribe", "ping", "ping", "subscribe", "ping"]
    assert summary["results"]["connect"] == {"again": 1}
    assert summary["results"]["notification"] == {"bbo": 6}
    (failure,) = summary["failures"]
    assert failure["count"] == 1
    assert "bbo: a gap" in failure["failure"]


def test_without_a_server_the_test_does_not_start() -> None:
    done = run(LOCUST, "--host", "127.0.0.1:1", "-u", "1", "-t", "60s", "Transfers")
    assert done.returncode == 2
    assert "The test cannot start" in done.stderr


def test_a_check_that_cannot_be_read_is_refused_at_once() -> None:
    done = run(LOCUST, "--host", "127.0.0.1:1", "--check", "p99=20")
    assert done.returncode == 2
    assert "needs a unit of time" in done.stderr
