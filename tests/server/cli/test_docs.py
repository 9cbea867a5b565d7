"""docs/CLI.md says what --help says: every command, every flag, every sentence, every exit code.

TONGBAO_REWRITE_DOCS=1 writes the reference part anew.
"""

import os
import re
import sys
from pathlib import Path
from unittest.mock import patch

from server.cli import app
from server.cli.common import Exit

PAGE = Path(__file__).parents[3] / "docs" / "CLI.md"
MARK = "<!-- What follows is made from --help; tests/server/cli/test_docs.py writes it anew. -->\n"


def reference() -> str:
    """Render the help of all commands, without the introduction, which the page has in its own words."""
    # The library writes part of the running program's name into the usage, which is pytest's here.
    with patch.object(sys, "argv", ["tongbao"]):
        text = app.generate_docs(output_format="markdown")
    return text[text.index("## tongbao serve") :].rstrip() + "\n"


def sentences(text: str) -> set[str]:
    """Give the lines that say something, without the marks that differ from one release of the library to the next."""
    lines = (re.sub(r"\*?\[[^\]]*\]\*?|[*`]", "", line).strip() for line in text.splitlines())
    return {line for line in lines if line}


def test_the_page_has_everything_that_help_says() -> None:
    page = PAGE.read_text("utf-8")
    head = page[: page.index(MARK) + len(MARK)]
    if os.environ.get("TONGBAO_REWRITE_DOCS"):
        PAGE.write_text(head + "\n" + reference(), "utf-8")
        page = PAGE.read_text("utf-8")
    assert sentences(page[len(head) :]) == sentences(reference())


def test_the_exit_codes_are_on_the_page() -> None:
    page = PAGE.read_text("utf-8")
    for code in Exit:
        assert re.search(rf"^\| {int(code)} \| \w", page, re.MULTILINE), code
