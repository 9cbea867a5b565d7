"""The examples of docs/CLIENTS.md run, in order, against a real server."""

import re
from pathlib import Path

from examples.local_server import LocalServer
from server import client as package

PAGE = Path(__file__).parents[3] / "docs" / "CLIENTS.md"


def test_the_examples_run(tmp_path: Path) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    assert len(blocks) == 7
    with LocalServer(tmp_path) as server:
        for number, block in enumerate(blocks, 1):
            assert "7420" in block
            code = compile(block.replace("7420", str(server.port)), f"docs/CLIENTS.md, example {number}", "exec")
            exec(code, {"__name__": "example"})


def test_every_public_name_is_on_the_page() -> None:
    text = PAGE.read_text("utf-8")
    elsewhere = {"AMOUNT_ALL", "AccountUpdate", "AccountView", "BalanceView", "ClientError", "TransferView"}
    missing = [name for name in package.__all__ if name not in text and name not in elsewhere]
    assert missing == []
