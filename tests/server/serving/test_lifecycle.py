"""Real processes: start, stop, kill, restart, and what each exit code means."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from server.journal import PrivatePostgres
from server.lifecycle import Exit
from tests.server.serving.harness import Lines, ServerProcess, accounts, stalled, transfer


def get(port: int, path: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as reply:
            return reply.status, reply.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


class Load:
    """Clients that send transfers one after another and note what was acknowledged."""

    def __init__(self, port: int, clients: int = 4) -> None:
        self.acknowledged: list[str] = []
        self.sent: list[str] = []
        self.strange: list[Any] = []
        self._threads = [threading.Thread(target=self._run, args=(port,), daemon=True) for _ in range(clients)]
        for thread in self._threads:
            thread.start()

    def _run(self, port: int) -> None:
        with contextlib.suppress(OSError), Lines(port) as lines:
            while True:
                item = transfer(1, 2)
                self.sent.append(item["id"])
                reply = lines.ask("create_transfers", [item])
                if reply is None:
                    return
                if "result" in reply:
                    self.acknowledged.append(item["id"])
                else:
                    self.strange.append(reply)

    def wait_for(self, count: int, seconds: float = 30) -> None:
        until = time.monotonic() + seconds
        while len(self.acknowledged) < count:
            assert time.monotonic() < until
            time.sleep(0.005)

    def join(self) -> None:
        for thread in self._threads:
            thread.join(30)
            assert not thread.is_alive()


def ask(port: int, method: str, params: Any = None) -> Any:
    with Lines(port) as lines:
        return lines.ask(method, params)["result"]


def total(port: int) -> int:
    """What left account 1: the number of transfers of a load."""
    posted: int = ask(port, "lookup_accounts", [1])[0]["debits_posted"]
    return posted


def audit(port: int, load: Load, before: int = 0) -> None:
    """Every acknowledged transfer is there exactly once, and nothing that was never sent."""
    for start in range(0, len(load.acknowledged), 1_000):
        found = ask(port, "lookup_transfers", load.acknowledged[start : start + 1_000])
        assert all(found), "an acknowledged transfer is lost"
    assert len(load.acknowledged) <= total(port) - before <= len(load.sent)


def open_books(port: int) -> None:
    ask(port, "create_accounts", accounts([1, 2]))


def test_start_stop_and_start_again(data_dir: Path) -> None:
    with ServerProcess(data_dir).start() as server:
        open_books(server.port)
        with Lines(server.port) as lines:
            assert lines.ask("create_transfers", [transfer(1, 2, 70)])["result"][0]["status"] == "created"
            assert get(server.http_port, "/health/live") == (200, b'{"live":true}\n')
            assert get(server.http_port, "/health/ready")[0] == 200
            assert b"tongbao_ready 1.0" in get(server.http_port, "/metrics")[1]
            assert server.stop() == Exit.STOPPED
            assert lines.file.readline() == b"", "the connection ended in order"
        assert not (data_dir / "server.json").exists()
        steps = [line["step"] for line in server.events() if line["event"] == "started"]
        undone = [line["step"] for line in server.events() if line["event"] == "stopped_step"]
        assert steps == ["http", "channels", "lock", "postgres", "journal", "recovery", "risk", "snapshots", "standby",
                         "takeover", "scopes", "lease", "batcher", "listen"]  # fmt: skip
        assert undone == [step for step in reversed(steps) if step in undone]
        assert not postgres_processes(data_dir)
        server.start()
        assert server.event("ready")["epoch"] == 2
        assert total(server.port) == 70
        assert server.stop() == Exit.STOPPED


def postgres_processes(data_dir: Path) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if str((entry / "cwd").readlink()).startswith(str(data_dir)):
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


def test_sigterm_under_load_answers_what_it_accepted(data_dir: Path) -> None:
    with ServerProcess(data_dir).start() as server:
        open_books(server.port)
        load = Load(server.port, 8)
        load.wait_for(300)
        began = time.monotonic()
        server.signal(signal.SIGTERM)
        assert server.wait() == Exit.STOPPED
        assert time.monotonic() - began < 15
        load.join()
        assert not load.strange
        server.start()
        audit(server.port, load)
        # Each client had one request under way: it was answered, or it had not been accepted.
        assert total(server.port) == len(load.acknowledged)


def test_pipelined_requests_are_answered_in_a_stop(data_dir: Path) -> None:
    """What was read before the signal is finished; then the stream ends, without a reset."""
    text = b"".join(
        json.dumps({"id": number, "method": "create_transfers", "params": [transfer(1, 2)]}).encode() + b"\n"
        for number in range(20_000)
    )
    with ServerProcess(data_dir).start() as server:
        open_books(server.port)
        with Lines(server.port) as lines:
            writing = threading.Thread(target=_send_quietly, args=(lines.socket, text), daemon=True)
            writing.start()
            assert json.loads(lines.file.readline())["id"] == 0
            server.signal(signal.SIGTERM)
            expected = 1
            for line in lines.file:
                reply = json.loads(line)
                assert reply["id"] == expected
                assert reply["result"][0]["status"] == "created"
                expected += 1
        writing.join(10)
        assert server.wait() == Exit.STOPPED
        server.start()
        assert total(server.port) == expected


def _send_quietly(sock: socket.socket, data: bytes) -> None:
    with contextlib.suppress(OSError):
        sock.sendall(data)


@pytest.mark.parametrize("second", [True, False], ids=["second signal", "time limit"])
def test_a_stop_that_hangs_is_cut_short(
    tmp_path: Path, database: str, postgres_18: PrivatePostgres, second: bool
) -> None:
    """The database stands still, so what was accepted cannot be finished, and no snapshot may hold it."""
    process = ServerProcess(
        tmp_path / "data",
        database_url=database,
        stop_seconds=30 if second else 1,
        snapshot_stop_items=1,
        digest_every=1,
    )
    with process.start() as server:
        open_books(server.port)
        load = Load(server.port, 2)
        load.wait_for(20)
        with stalled(postgres_18):
            time.sleep(0.3)
            began = time.monotonic()
            server.signal(signal.SIGTERM)
            time.sleep(0.5)
            assert server.process is not None
            assert server.process.poll() is None, "it waits for what it accepted"
            if second:
                server.signal(signal.SIGTERM)
            assert server.wait(20) == Exit.CUT_SHORT
            assert time.monotonic() - began < 15
            load.join()
        assert server.event("stop_cut_short")["reason"] == ("signal" if second else "stop_seconds")
        assert not list((tmp_path / "data" / "snapshots").glob("*.json"))
        server.start()
        audit(server.port, load)


def test_kill_9_and_restart_loses_nothing(data_dir: Path) -> None:
    with ServerProcess(data_dir).start() as server:
        open_books(server.port)
        for _ in range(3):
            before = total(server.port)
            load = Load(server.port)
            load.wait_for(150)
            server.kill()
            load.join()
            server.start()
            audit(server.port, load, before)
        epochs = server.event("ready")["epoch"]
        assert epochs == 4


def test_the_port_opens_when_writes_are_possible(data_dir: Path) -> None:
    """The health port answers from the start; the TCP port refuses until recovery is done."""
    with ServerProcess(data_dir).start() as server:
        open_books(server.port)
        for _ in range(40):
            ask(server.port, "create_transfers", [transfer(1, 2) for _ in range(8_000)])
        port, http_port = server.port, server.http_port
        server.kill()
        server.environment |= {"TONGBAO_PORT": str(port), "TONGBAO_HTTP_PORT": str(http_port)}
        server.start(wait=False)
        seen = []
        while True:
            try:
                status, body = get(http_port, "/health/ready")
            except OSError:
                time.sleep(0.002)
                continue
            seen.append((status, json.loads(body).get("step")))
            assert get(http_port, "/health/live")[0] == 200
            if status == 200:
                break
            with socket.socket() as sock:
                if sock.connect_ex(("127.0.0.1", port)) == 0:
                    # It opened since we asked.
                    assert get(http_port, "/health/ready")[0] == 200 or seen[-1][1] == "listen"
        steps = [step for _, step in seen if step]
        assert "recovery" in steps
        server.wait_ready()
        assert total(port) == 40 * 8_000


def test_one_server_per_data_directory_and_port(data_dir: Path, tmp_path: Path) -> None:
    with ServerProcess(data_dir).start() as server:
        other = subprocess.run(
            [*server.process.args],
            env=server.environment,
            capture_output=True,
            timeout=30,
            check=False,  # type: ignore[union-attr]
        )
        assert other.returncode == Exit.IN_USE
        assert b"is used by another process" in other.stderr
        for name in ("TONGBAO_HTTP_PORT", "TONGBAO_PORT"):
            taken = server.environment | {
                "TONGBAO_DATA_DIR": str(tmp_path / "other"),
                name: str(server.http_port if "HTTP" in name else server.port),
            }
            other = subprocess.run(
                [*server.process.args],
                env=taken,
                capture_output=True,
                timeout=60,
                check=False,  # type: ignore[union-attr]
            )
            assert other.returncode == Exit.IN_USE, other.stderr
        assert get(server.http_port, "/health/ready")[0] == 200


@pytest.mark.parametrize(
    ("variables", "code", "words"),
    [
        ({"port": "seven"}, Exit.SETTINGS, "port: 'seven' is not a whole number"),
        ({"channels": "/nowhere.toml"}, Exit.SETTINGS, "No such file"),
        ({"database_url": "postgresql://127.0.0.1:1/x", "stop_seconds": 5}, None, "database_unavailable"),
    ],
)
def test_what_cannot_start_says_why(tmp_path: Path, variables: dict[str, Any], code: Exit | None, words: str) -> None:
    with ServerProcess(tmp_path / "data", **variables) as server:
        (tmp_path / "data").mkdir()
        server.start(wait=False)
        if code is None:
            # A database that is not there is waited for, live and not ready, until somebody ends it.
            until = time.monotonic() + 20
            while words not in server.log():
                assert time.monotonic() < until
                time.sleep(0.05)
            assert server.process is not None
            assert server.process.poll() is None
            assert server.stop() == Exit.STOPPED
        else:
            assert server.wait(30) == code
            assert words in server.log()


def test_postgres_killed_under_load(data_dir: Path) -> None:
    """The server goes on when its PostgreSQL comes back; what was in flight is settled, nothing is lost or doubled."""
    with ServerProcess(data_dir).start() as server:
        open_books(server.port)
        load = Load(server.port)
        load.wait_for(100)
        postmaster = int((data_dir / "postgres" / "data" / "postmaster.pid").read_text().splitlines()[0])
        os.kill(postmaster, signal.SIGKILL)
        count = len(load.acknowledged)
        load.wait_for(count + 100, 40)
        assert server.stop() == Exit.STOPPED
        load.join()
        assert all("-32003" in str(reply) for reply in load.strange)
        server.start()
        audit(server.port, load)


def test_logs_hold_no_data_of_clients(data_dir: Path) -> None:
    """A canary in every place a client can put it."""
    canary = "c0ffee00-dead-4bee-8bad-c0ffeec0ffee"
    with ServerProcess(data_dir, log_level="debug").start() as server:
        with Lines(server.port) as lines:
            lines.ask("logon", {"channel": f"x{canary}", "key": f"tbk_{canary}"})
            lines.ask("create_transfers", [transfer(1, 2) | {"id": canary}])
            lines.ask("lookup_transfers", [canary])
            lines.ask(canary)
            lines.socket.sendall(f'{{"id":"{canary}","{canary}"\n'.encode())
            assert b"error" in lines.file.readline()
        server.stop()
        text = server.log()
        assert "logon_refused" in text
        assert "c0ffee" not in text
        assert "tbk_" not in text
