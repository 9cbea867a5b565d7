"""Log lines let nothing through that is not on the list: a canary."""

import ast
import io
import json
import re
import sys
from pathlib import Path

import pytest
import structlog

from server import logs
from server.channels import generate_key

CANARIES = {
    "name": "王小明",
    "key": generate_key()[0],
    "customer": "6222020000001234567",
    "params": {"id": 1001, "amount": 12500},
    "line": '{"id":1,"method":"logon","params":{"channel":"m","key":"hunter2"}}',
}


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    counted: list[int] = []
    logs.configure("json", "debug", counted.append)
    yield stream
    structlog.reset_defaults()


def test_allowed_fields_pass(lines: io.StringIO) -> None:
    logs.get().info("started", step="recovery", seconds=1.25, seq=7, host="127.0.0.1", state_hash="ab" * 32)
    line = json.loads(lines.getvalue())
    assert line["step"] == "recovery"
    assert line["seconds"] == 1.25
    assert line["state_hash"] == "ab" * 32
    assert "left_out" not in line


@pytest.mark.parametrize("name", CANARIES)
def test_no_canary_leaves(lines: io.StringIO, name: str) -> None:
    """Whatever field a mistake puts it in."""
    value = CANARIES[name]
    logs.get().warning("oops", **{name: value}, step=value, reason=value, error=value, count=value, channel=value)
    text = lines.getvalue()
    line = json.loads(text)
    for part in ("王小明", "hunter2", "12500", generate_key()[0][:4], "amount"):
        if name != "name":
            assert part not in text
    assert name not in line or name in logs.FIELDS
    assert line["left_out"] >= 2


def test_words_of_the_database_come_without_what_they_quote(lines: io.StringIO) -> None:
    logs.get().warning("database_trouble", error='InvalidPasswordError: password authentication failed for user "li"')
    assert json.loads(lines.getvalue())["error"].startswith("InvalidPasswordError: password authentication failed")
    assert "li" not in json.loads(lines.getvalue())["error"].split()


def test_an_exception_is_logged_by_class_and_place() -> None:
    try:
        int("王小明")
    except ValueError as error:
        fields = logs.fault(error)
    assert fields["error"] == "ValueError"
    assert fields["place"].startswith("test_logs.py:")
    assert "message" not in fields


def test_our_own_exceptions_say_what_is_wrong() -> None:
    from server.journal import LogDamaged

    logs.OURS.append(LogDamaged)
    try:
        assert logs.fault(LogDamaged(7, "missing"))["message"] == "log row 7: missing"
    finally:
        logs.OURS.remove(LogDamaged)


def test_a_log_nobody_reads_any_more_stops_nothing() -> None:
    stream = io.StringIO()
    printer = logs.Printer(stream)
    printer.msg("one")
    assert stream.getvalue() == "one\n"
    stream.close()
    printer.info("two")


def test_every_line_of_ours_has_allowed_fields() -> None:
    """What is left out at run time would be missing when it is needed: find it here."""
    calls = 0
    for path in (Path(__file__).parents[3] / "server").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in {"debug", "info", "warning", "error"}
                and re.fullmatch(r"(self\._log|log|get_logger\(\)|logs\.get\(\))", ast.unparse(node.func.value))
            ):
                calls += 1
                names = {keyword.arg for keyword in node.keywords if keyword.arg}
                assert names <= set(logs.FIELDS), f"{path.name}:{node.lineno}"
    assert calls > 30
