"""`tongbao backup` and `tongbao restore` as an operator uses them, with orders and limits in the log."""

import time
from pathlib import Path

import pytest

from engine.results import Status
from examples.local_server import LocalServer
from server.cli.backup import parse_time
from server.cli.common import CommandError
from server.client import Account, BlockingClient, Order, Transfer, uuid7
from tests.server.cli.conftest import Tongbao


def trade(client: BlockingClient) -> None:
    """Accounts, a market, orders that trade and one that rests, limits."""
    ids = (41, 42, 43)
    client.create_accounts([Account(n, 156, 1) for n in ids] + [Account(n + 10, 7, 1) for n in ids])
    client.create_transfers([Transfer(uuid7(), 41, n, 10**9, 156, 1) for n in ids[1:]])
    client.create_transfers([Transfer(uuid7(), 51, n + 10, 10**9, 7, 1) for n in ids[1:]])
    terms = {"base_ledger": 7, "quote_ledger": 156, "tick_size": 1, "lot_size": 1, "reference_price": 100}
    client.create_instruments([{"instrument": "A"} | terms])
    client.create_trading_accounts([{"id": n, "accounts": {"156": n, "7": n + 10}} for n in ids[1:]])
    client.submit_orders(
        [Order(uuid7(), 42, "A", "buy", "limit", 5, 99), Order(uuid7(), 42, "A", "sell", "limit", 3, 101)]
    )
    client.submit_orders([Order(uuid7(), 43, "A", "buy", "limit", 2, 101)])


def move(client: BlockingClient, rows: int) -> Transfer:
    for n in range(rows):
        last = Transfer(uuid7(), 41, 42 + n % 2, 5 + n, 156, 1)
        client.create_transfers([last])
    return last


def test_from_a_server_to_another(tongbao: Tongbao, tmp_path: Path) -> None:
    data, kept, new = tmp_path / "data", tmp_path / "backup", tmp_path / "new"
    with LocalServer(data, "--digest-every", "2") as server, BlockingClient(server.host, server.port) as client:
        trade(client)
        address = ("--connect", f"{server.host}:{server.port}")
        assert tongbao("limits", "set", "desk", "d", "max_quantity=500", *address).code == 0
        move(client, 10)
        seq = client.call("take_snapshot", {}, safe=True)["log_seq"]
        while client.call("server_status", {}, safe=True)["snapshot"]["seq"] < seq:
            pass
        first = tongbao("backup", kept, "--data-dir", data, "--json")
        assert (first.code, first.json["snapshots"], first.json["ok"]) == (0, [seq], True)
        moment = time.time_ns()
        then = client.lookup_accounts([42])[0]
        last = move(client, 10)
        assert "rows added" in tongbao("backup", kept, "--data-dir", data).out
    # The server is gone: its PostgreSQL is started, read and stopped.
    after = tongbao("backup", kept, "--data-dir", data, "--json").json
    assert after["ok"]
    whole = tongbao("verify", "--data-dir", data, "--json").json
    assert (whole["seq"], whole["log_hash"]) == (after["last"], after["last_hash"])

    checked = tongbao("backup", kept, "--verify-only", "--json")
    assert (checked.code, checked.json["last"], checked.json["complete"]) == (0, after["last"], True)
    restored = tongbao("restore", kept, "--data-dir", new, "--json")
    assert restored.code == 0, restored.json
    assert restored.json["state_hash"] == whole["state_hash"]
    assert restored.json["digests"] >= 3
    assert restored.json["log_id"] == after["log_id"]
    again = tongbao("restore", kept, "--data-dir", new)
    assert (again.code, "is not empty" in again.err) == (2, True)

    with LocalServer(new) as server, BlockingClient(server.host, server.port) as client:
        status = client.call("server_status", {}, safe=True)["log"]
        assert status["seq"] > after["last"]
        (result,) = client.create_transfers([last])
        assert result.status is Status.EXISTS
        assert tongbao("limits", "show", "desk", "d", "--connect", f"{server.host}:{server.port}").out.count("500")
        book = tongbao("book", "A", "--connect", f"{server.host}:{server.port}", "--json").json
        assert (book["bids"], book["asks"], book["last_price"]) == ([[99, 5, 1]], [[101, 1, 1]], 101)
        move(client, 3)
    assert tongbao("verify", "--data-dir", new, "--json").json["ok"]
    # That log is another one now, from the restored point on.
    outcome = tongbao("backup", kept, "--data-dir", data, "--json")
    assert outcome.code == 0

    early = tongbao("restore", kept, "--data-dir", tmp_path / "early", "--to-time", moment, "--json")
    assert early.json["seq"] < after["last"]
    assert early.json["left"] == after["last"] - early.json["seq"]
    with LocalServer(tmp_path / "early") as server, BlockingClient(server.host, server.port) as client:
        assert client.lookup_accounts([42])[0] == then
        move(client, 40)
    outcome = tongbao("backup", kept, "--data-dir", tmp_path / "early", "--json")
    assert (outcome.code, "another way" in outcome.json["error"]) == (7, True)


def test_what_is_damaged_or_wrong_has_its_exit_code(tongbao: Tongbao, tmp_path: Path) -> None:
    data, kept = tmp_path / "data", tmp_path / "backup"
    with LocalServer(data) as server, BlockingClient(server.host, server.port) as client:
        trade(client)
        assert tongbao("backup", kept, "--data-dir", data).code == 0
    assert "can be restored from row" in tongbao("backup", kept, "--verify-only").out
    for arguments in (
        ("--to-seq", 5, "--to-time", "2026-01-01"),
        ("--to-seq", 10**6),
        ("--to-time", "yesterday"),
        ("--to-time", "1999-01-01"),
    ):
        outcome = tongbao("restore", kept, "--data-dir", tmp_path / "new", *arguments)
        assert (outcome.code, outcome.err.startswith("tongbao: ")) == (2, True), arguments
        assert not (tmp_path / "new").exists()
    assert tongbao("restore", tmp_path, "--data-dir", tmp_path / "new").code == 2
    assert tongbao("backup", tmp_path / "none", "--verify-only").code == 2
    assert tongbao("backup", data, "--data-dir", data).code == 2
    assert tongbao("backup", tmp_path / "other", "--data-dir", tmp_path / "none").code == 2
    assert tongbao("backup", tmp_path / "other", "--database-url", "postgresql:///x?host=/nowhere").code == 4
    (path,) = (kept / "log").iterdir()
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    for command in (("backup", kept, "--verify-only"), ("restore", kept, "--data-dir", tmp_path / "new")):
        outcome = tongbao(*command, "--json")
        assert (outcome.code, outcome.json["ok"]) == (5, False)
        assert path.name in outcome.json["error"]
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("1790000000123456789", 1_790_000_000_123_456_789),
        ("1970-01-01T00:00:01", 10**9),
        ("1970-01-01T08:00:01+08:00", 10**9),
        ("1970-01-01T00:00:01.000000001Z", 10**9 + 1),
        ("1970-01-02", 86_400 * 10**9),
        ("1969-12-31T23:59:59.5+00:00", -(10**9) // 2),
    ],
)
def test_times(text: str, nanoseconds: int) -> None:
    assert parse_time(text) == nanoseconds


@pytest.mark.parametrize("text", ["", "now", "2026-13-01", "1.5", "2026-01-01T00:00:00.0000000001"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(CommandError, match="neither ISO 8601"):
        parse_time(text)
