"""Imports through a real server: exactly once, whoever is killed in the middle."""

import csv
import json
import random
import signal
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest

from examples.local_server import LocalServer
from server.cli.common import Exit
from server.client import BlockingClient
from tests.server.cli.conftest import Outcome, Tongbao, process

HEADER = "debit_account_id,credit_account_id,amount,ledger,code"


@pytest.fixture(scope="module")
def number() -> list[int]:
    return [20_000]


@pytest.fixture
def pair(dev: Tongbao, number: list[int]) -> tuple[int, int]:
    number[0] += 2
    pair = (number[0], number[0] + 1)
    for account in pair:
        dev("accounts", "create", account, "--ledger", 156, "--code", 10)
    return pair


def posted(dev: Tongbao, account: int) -> int:
    return int(dev("accounts", "lookup", account, "--json").json[0]["debits_posted"])


def refused(path: Path) -> list[list[str]]:
    with path.open(newline="") as file:
        return list(csv.reader(file))[1:]


def write(path: Path, pair: tuple[int, int], amounts: list[object]) -> Path:
    path.write_text(HEADER + "\n" + "".join(f"{pair[0]},{pair[1]},{amount},156,1\n" for amount in amounts))
    return path


def test_accounts_then_transfers(dev: Tongbao, number: list[int], tmp_path: Path) -> None:
    first = number[0] = number[0] + 10
    number[0] += 10
    accounts = tmp_path / "a.csv"
    accounts.write_text("id,flags\n" + "".join(f"{first + n},history\n" for n in range(5)))
    outcome = dev("import", "accounts", accounts, "--set", "ledger=156", "--set", "code=10")
    assert outcome.code == 0
    assert "created" in outcome.out
    table = pa.table({"debit_account_id": [first] * 3, "credit_account_id": [first + 1] * 3, "amount": [1, 2, 3]})
    pyarrow.parquet.write_table(table, tmp_path / "t.parquet")
    transfers = ["import", "transfers", tmp_path / "t.parquet", "--set", "ledger=156", "--set", "code=10", "--json"]
    summary = dev(*transfers).json
    assert (summary["rows"], summary["created"], summary["refused"]) == (3, 3, 0)
    assert posted(dev, first) == 6
    again = dev(*transfers).json
    assert (again["resumed_at"], again["created"]) == (3, 3)
    assert dev(*transfers, "--restart").json["repeated"] == 3
    assert posted(dev, first) == 6


def test_what_was_exported_can_be_imported_elsewhere(
    dev: Tongbao, tongbao: Tongbao, pair: tuple[int, int], tmp_path: Path
) -> None:
    dev("import", "transfers", write(tmp_path / "t.csv", pair, [1, 2, 3]))
    dev("export", "transfers", "--account", pair[0], "--out", tmp_path / "out.csv")
    ignore = ["--ignore", "status"]
    again = dev("import", "transfers", tmp_path / "out.csv", *ignore, "--ignore", "timestamp", "--json").json
    assert again["repeated"] == 3
    (tmp_path / "a.csv").write_text(f"id,ledger,code,timestamp\n{pair[0]},156,10,1\n{pair[1]},156,10,2\n")
    with LocalServer() as other:
        connect = ["--connect", f"{other.host}:{other.port}"]
        assert tongbao("import", "accounts", tmp_path / "a.csv", *connect).code == 0
        there = tongbao("import", "transfers", tmp_path / "out.csv", *ignore, *connect, "--restart", "--json").json
        assert there["created"] == 3
        exported = tongbao("export", "transfers", *connect).out.replace("imported", "")
    assert exported == (tmp_path / "out.csv").read_text()


def test_refused_rows_are_named_with_line_and_status(dev: Tongbao, pair: tuple[int, int], tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    lines = [f"{pair[0]},{pair[1]},5,156,1", f"{pair[0]},99,5,156,1", f"{pair[0]},{pair[1]},x,156,1",
             f"{pair[0]},{pair[1]},5,978,1", f"{pair[0]},{pair[1]},7,156,1"]  # fmt: skip
    file.write_text("\n".join([HEADER, *lines]) + "\n")
    outcome = dev("import", "transfers", file, "--json")
    assert outcome.code == Exit.ITEM_REFUSED
    assert {name: outcome.json[name] for name in ("rows", "created", "repeated", "refused")} == {
        "rows": 5, "created": 2, "repeated": 0, "refused": 3,
    }  # fmt: skip
    rows = refused(tmp_path / "t.csv.refused.csv")
    assert [(line, status, message) for line, _, status, message in rows] == [
        ("3", "credit_account_not_found", ""),
        ("4", "invalid", "amount: 'x' is not a whole number"),
        ("5", "transfer_must_have_the_same_ledger_as_accounts", ""),
    ]
    # The finished import is not sent again, and the reasons stay.
    assert dev("import", "transfers", file).code == Exit.ITEM_REFUSED
    assert refused(tmp_path / "t.csv.refused.csv") == rows


def test_a_chain_fails_as_one_and_repeats_as_one(dev: Tongbao, pair: tuple[int, int], tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    good = [f"{pair[0]},{pair[1]},1,156,1,linked", f"{pair[0]},{pair[1]},2,156,1,"]
    bad = [f"{pair[0]},{pair[1]},10,156,1,linked", f"{pair[0]},{pair[1]},x,156,1,"]
    file.write_text("\n".join([HEADER + ",flags", *good, *bad]) + "\n")
    first = dev("import", "transfers", file, "--json").json
    assert (first["created"], first["refused"]) == (2, 2)
    again = dev("import", "transfers", file, "--restart", "--json").json
    assert (again["repeated"], again["created"], again["refused"]) == (2, 0, 2)
    assert posted(dev, pair[0]) == 3


def test_another_file_under_the_same_name_is_noticed(dev: Tongbao, pair: tuple[int, int], tmp_path: Path) -> None:
    file = write(tmp_path / "t.csv", pair, [1, 2])
    dev("import", "transfers", file)
    write(file, pair, [1, 2, 3])
    outcome = dev("import", "transfers", file)
    assert outcome.code == Exit.USAGE
    assert "has changed since this import began" in outcome.err
    outcome = dev("import", "transfers", write(file, pair, [1, 2]), "--decimals", 2)
    assert "begun with other options" in outcome.err
    (tmp_path / "t.csv.import.json").write_text("{torn")
    assert "cannot be read" in dev("import", "transfers", file).err
    assert posted(dev, pair[0]) == 3


def _interrupted(server: LocalServer, file: Path, seconds: float) -> None:
    """Start an import and kill it after a while."""
    child = process("import", "transfers", file, "--batch", 200, "--connect", f"{server.host}:{server.port}")
    state = file.with_name(file.name + ".import.json")
    end = time.monotonic() + 20
    with child:
        while not state.exists() and child.poll() is None and time.monotonic() < end:
            time.sleep(0.005)
        time.sleep(seconds)
        child.send_signal(signal.SIGKILL)


@pytest.mark.crash
def test_killed_in_the_middle_and_run_again(
    dev: Tongbao, server: LocalServer, pair: tuple[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    amounts: list[object] = [*range(1, 60_001), "x"]
    file = write(tmp_path / "t.csv", pair, amounts)
    dice = random.Random(11)
    seen = [0]
    for _ in range(5):
        _interrupted(server, file, dice.uniform(0.0, 0.4))
        state = tmp_path / "t.csv.import.json"
        seen.append(json.loads(state.read_text())["rows"] if state.exists() else 0)
    assert seen == sorted(seen)
    # What a kill in the middle of a write leaves at the end of the file of refused rows.
    with (tmp_path / "t.csv.refused.csv").open("a") as out:
        out.write("17,00000000-0000")
    outcome: Outcome = dev("import", "transfers", file, "--json")
    assert outcome.json["rows"] == 60_001
    assert outcome.json["created"] + outcome.json["repeated"] == 60_000
    assert outcome.json["refused"] == 1
    assert [row[0] for row in refused(tmp_path / "t.csv.refused.csv")] == ["60002"]
    assert posted(dev, pair[0]) == sum(range(1, 60_001))


@pytest.mark.crash
def test_the_server_killed_in_the_middle(tongbao: Tongbao, tmp_path: Path) -> None:
    pair = (1, 2)
    (tmp_path / "a.csv").write_text("id,ledger,code\n1,156,1\n2,156,1\n")
    file = write(tmp_path / "t.csv", pair, list(range(1, 80_001)))
    server = LocalServer(tmp_path / "data")
    with server:
        connect = ["--connect", f"{server.host}:{server.port}"]
        assert tongbao("import", "accounts", tmp_path / "a.csv", *connect).code == 0
        with process("import", "transfers", file, "--batch", 200, "--json", "--timeout", 60, *connect) as child:
            state = tmp_path / "t.csv.import.json"
            while not state.exists() and child.poll() is None:
                time.sleep(0.005)
            for wait in (0.0, 0.3):
                time.sleep(wait)
                assert child.poll() is None
                server.kill()
                server.start()
            assert child.stdout is not None
            summary = json.loads(child.stdout.read())
        assert summary["rows"] == 80_000
        assert summary["refused"] == 0
        with BlockingClient(server.host, server.port) as client:
            (view,) = client.lookup_accounts([1])
        assert view is not None
        assert view.debits_posted == sum(range(1, 80_001))
