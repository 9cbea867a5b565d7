"""The documents are complete, and what they show is what happens.

A block that begins with ```python run is run, all of a document in one session; a ```text block right behind it is what
it prints.
"""

import contextlib
import io
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from engine.results import TRANSIENT, AccountFlag, Status, TransferFlag
from server.settings import Settings
from server.wire.methods import ErrorCode, Method

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")])
BLOCK = re.compile(r"^```python run\n(?P<code>.*?)^```\n(?:```text\n(?P<output>.*?)^```$)?", re.MULTILINE | re.DOTALL)


def text(name: str) -> str:
    return (ROOT / "docs" / name).read_text()


RUNNABLE = [page for page in PAGES if BLOCK.search(page.read_text())]


@pytest.mark.parametrize("page", RUNNABLE, ids=lambda page: page.name)
def test_the_examples_run_and_print_what_they_show(page: Path) -> None:
    source = page.read_text()
    session: dict[str, Any] = {"__name__": "example"}
    for block in BLOCK.finditer(source):
        line = source.count("\n", 0, block.start()) + 1
        code = compile("\n" * line + block["code"], str(page), "exec")
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(code, session)
        if block["output"] is not None:
            assert printed.getvalue() == block["output"], f"{page.name}:{line}"


def test_there_are_examples() -> None:
    assert ROOT / "docs" / "EMBEDDING.md" in RUNNABLE


STATUS_ROW = re.compile(r"^\| (\d+) \| `(\w+)` \| ([^|]*) \| ([^|]*) \|$", re.MULTILINE)


def test_every_status_has_its_row_and_advice() -> None:
    rows = {
        name: (int(number), meaning, again) for number, name, meaning, again in STATUS_ROW.findall(text("STATUSES.md"))
    }
    assert {name: number for name, (number, _, _) in rows.items()} == {s.name.lower(): int(s) for s in Status}
    for status in Status:
        _, meaning, again = rows[status.name.lower()]
        assert meaning.strip()
        assert again.startswith("with a new id") == (status in TRANSIENT), status.name


@pytest.mark.parametrize("flag", [*AccountFlag, *TransferFlag], ids=lambda flag: f"{type(flag).__name__}-{flag.name}")
def test_every_flag_is_documented(flag: AccountFlag | TransferFlag) -> None:
    assert f"`{str(flag.name).lower()}`" in text("PROTOCOL.md")


@pytest.mark.parametrize("method", list(Method), ids=lambda method: str(method.name))
def test_every_method_is_documented(method: Method) -> None:
    assert f"`{str(method.name).lower()}`" in text("PROTOCOL.md")


@pytest.mark.parametrize("code", list(ErrorCode), ids=lambda code: code.name)
def test_every_error_code_is_documented(code: ErrorCode) -> None:
    assert str(int(code)) in text("PROTOCOL.md")


@pytest.mark.parametrize("name", [field.name for field in fields(Settings)])
def test_every_setting_is_documented(name: str) -> None:
    assert f"`{name}`" in text("OPERATIONS.md")


LINK = re.compile(r"\[[^\]]*\]\((?!https?:|#|mailto:)([^)#\s]+)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    assert not {target for target in LINK.findall(page.read_text()) if not (page.parent / target).exists()}
