"""Instruction counts: reading callgrind's files, and what is a regression."""

import json
import shutil
from pathlib import Path

import pytest

from benchmarks.profiling import counts
from benchmarks.profiling.__main__ import app

CALLGRIND = """version: 1
creator: callgrind-3.19.0
events: Ir
fl=parser.c
fn=outer
0 100
cfn=inner
calls=4 0
0 60
fn=inner'2
0 55
cfn=malloc
calls=1 0
0 5
fn=outer
0 7
totals: 167
"""


def test_callees_are_included() -> None:
    assert counts.read_callgrind(CALLGRIND) == {"outer": 167, "inner": 60}


def test_the_modules_have_every_symbol() -> None:
    symbols = counts.symbols()
    assert list(symbols) == [name for name, _, _ in counts.STAGES]
    assert symbols["apply"].endswith("apply")


def test_what_is_written_down_has_every_stage() -> None:
    found = json.loads(counts.EXPECTED.read_text("utf-8"))
    assert set(found["facts"]) == set(counts.facts())
    for case, stages in found["cases"].items():
        assert {"parse", "apply", "reply encode"} <= set(stages), case
        assert ("log encode" in stages) == (case != "look-ups")
    assert found["cases"]["orders"]["apply: risk"] > 0


@pytest.mark.parametrize(("parse", "code"), [(1_000.0, 0), (1_029.0, 0), (1_031.0, 1), (900.0, 0)])
def test_more_instructions_fail(
    parse: float, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(counts, "count", lambda: {"transfers": {"parse": parse}})
    kept = tmp_path / "counts.json"
    kept.write_text(json.dumps({"facts": counts.facts(), "cases": {"transfers": {"parse": 1_000.0}}}))
    assert app(["counts", "--expected", str(kept)], result_action="return_value") == code
    assert ("more: transfers, parse: +3.1 %" in capsys.readouterr().err) == (code == 1)


def test_another_compiler_is_not_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(counts, "count", lambda: {"transfers": {"parse": 2_000.0}})
    kept = tmp_path / "counts.json"
    facts = counts.facts() | {"compiler": "gcc 1.0"}
    kept.write_text(json.dumps({"facts": facts, "cases": {"transfers": {"parse": 1_000.0}}}))
    assert app(["counts", "--expected", str(kept)], result_action="return_value") == 0
    assert "not compared" in capsys.readouterr().err


def test_without_valgrind_nothing_is_counted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert app(["counts"], result_action="return_value") == 0
    assert "skipped: valgrind is not installed" in capsys.readouterr().err
