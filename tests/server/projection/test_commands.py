"""`tongbao projection …`, as a shell runs it, beside a server in a process of its own."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from server.cli import main
from server.process import Exit
from tests.server.journal.test_log import tamper
from tests.server.serving.harness import Lines, ServerProcess, accounts, transfer


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, Any, str]:
    """Exit code, the JSON document if there is one, and what was said on standard error."""
    code = main(["projection", *map(str, words), "--json"])
    said = capsys.readouterr()
    return code, json.loads(said.out) if said.out else None, said.err


def test_from_nothing_to_a_difference(
    tmp_path: Path, database: str, tables: str, capsys: pytest.CaptureFixture[str]
) -> None:
    url = ("--projection-url", tables)
    log = (
        "--database-url", database, "--data-dir", tmp_path / "follower", "--dev", "--profile", "small",
        "--snapshot-every-items", 1_000_000,
    )  # fmt: skip
    code, _, said = run(capsys, "status", *url)
    assert code == Exit.PROJECTION
    assert "projection migrate" in said
    assert run(capsys, "migrate", *url)[:2] == (0, {"before": None, "after": "0002"})
    assert run(capsys, "status", *url)[1]["seq"] is None
    with ServerProcess(tmp_path / "data", database_url=database).start() as server:
        with Lines(server.port) as lines:
            lines.ask("create_accounts", accounts([1, 2]))
            lines.ask("create_transfers", [transfer(amount=7), transfer(amount=8)])
        code, _, said = run(capsys, "check", *url, *log)
        assert code == Exit.PROJECTION
        assert "empty" in said
        code, done, _ = run(capsys, "rebuild", *url, *log)
        assert code == 0
        assert done["rows"] >= 4
        code, report, _ = run(capsys, "check", *url, *log)
        assert (code, report["differences"], report["seq"]) == (0, [], done["seq"])
        assert (report["rows"]["accounts"], report["rows"]["transfers"]) == (2, 2)
        asyncio.run(tamper(tables, "UPDATE ledger.transfers SET amount = 9 WHERE amount = 8"))
        code, report, _ = run(capsys, "check", *url, *log)
        assert code == Exit.PROJECTION_DIFFERS
        assert "amount is 9, should be 8" in report["differences"][0]
        assert run(capsys, "status", *url)[1]["transfers"] == 2
        server.stop()


def test_a_database_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, said = run(capsys, "status", "--projection-url", f"postgresql:///x?host={tmp_path}")
    assert code == Exit.DATABASE
    assert "--projection-url" in said
