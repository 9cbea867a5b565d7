"""docs/PROTOCOL.md: its examples run, and it names everything that there is.

The examples are one story, run from the top of the page to its end against one engine: request k comes at
TIME + k * 1000 ns, and a write is the next log entry. With REWRITE=1 in the environment the replies are written anew.
"""

import json
import os
import re
from pathlib import Path

import jsonschema
import pytest

from engine._core.batch import Batch
from engine.machine import Engine
from engine.results import AccountFlag, Status, TransferFlag
from server import wire
from server.channels import PERMISSIONS
from server.wire import tools

PAGE = Path(__file__).parents[3] / "docs" / "PROTOCOL.md"
SCHEMAS = PAGE.parent / "schema"
TIME = 1_795_350_000_000_000_000
TEXT = PAGE.read_text("utf-8")
REQUEST = jsonschema.Draft202012Validator(json.loads((SCHEMAS / "request.json").read_text("utf-8")))
REPLY = jsonschema.Draft202012Validator(json.loads((SCHEMAS / "reply.json").read_text("utf-8")))


class Story:
    """A dev connection, a ledger and a log that counts."""

    def __init__(self) -> None:
        self.engine = Engine()
        self.parser = wire.Parser()
        self.parser.allow(wire.METHODS_ALL, 0, logged_on=True, int64_strings=False)
        self.seq = 0
        self.requests = 0

    def reply(self, line: str) -> str:
        batch = Batch()
        self.requests += 1
        self.parser.feed(line.encode() + b"\n")
        outcome = self.parser.parse(batch, 1)
        if outcome == wire.COLD:
            cold = self.parser.cold
            assert cold is not None
            assert cold.params is not None
            result = {"channel": cold.params.channel, "permissions": ["read", "transfers"], "protocol": 1}
            batch.answers[cold.answer] = wire.result_line(cold.id, result, self.seq, cold.jsonrpc)
        else:
            assert outcome == wire.IDLE
        self.seq += any(request["kind"] < 16 for request in tools.dump(batch))
        time = TIME + self.requests * 1000
        self.engine.apply(batch, time)
        [(_, text)] = wire.encode(batch, self.seq, time)
        return text.decode().removesuffix("\n")


def exchanges() -> list[tuple[str, str]]:
    """Every request of the page with the reply under it."""
    pairs = []
    for block in re.findall(r"```session\n(.*?)```", TEXT, re.DOTALL):
        lines = block.splitlines()
        for request, reply in zip(lines[::2], lines[1::2], strict=True):
            assert request.startswith("-> ")
            assert reply.startswith("<- ")
            pairs.append((request[3:], reply[3:]))
    return pairs


def test_the_examples_are_what_the_wire_and_the_ledger_say():
    story = Story()
    told = [(request, story.reply(request)) for request, _ in exchanges()]
    if os.environ.get("REWRITE"):
        replies = iter(reply for _, reply in told)
        PAGE.write_text(re.sub(r"^<- .*$", lambda _: "<- " + next(replies), TEXT, flags=re.MULTILINE), "utf-8")
        return
    assert told == exchanges()
    assert len(told) >= 20


def test_the_examples_fit_the_schemas():
    for request, reply in exchanges():
        answer = json.loads(reply)
        REPLY.validate(answer)
        if "error" not in answer:
            REQUEST.validate(json.loads(request))


def test_examples_that_are_refused_are_refused_by_the_schema_too():
    refused = [request for request, reply in exchanges() if json.loads(reply).get("error", {}).get("code") in
               {-32600, -32601, -32602} and "history" not in reply]  # fmt: skip
    assert len(refused) >= 6
    for request in refused:
        assert not REQUEST.is_valid(json.loads(request)), request


@pytest.mark.parametrize("method", list(wire.Method))
def test_every_method_is_on_the_page(method: wire.Method):
    assert method.name is not None
    assert f"`{method.name.lower()}`" in TEXT or f"### {method.name.lower()}" in TEXT


def test_every_error_is_on_the_page_with_its_code():
    rows = set(re.findall(r"^\| (-\d+) \|", TEXT, re.MULTILINE))
    assert rows == {str(int(code)) for code in wire.ErrorCode}


def test_every_status_and_flag_is_on_the_page():
    inside = {Status.FOUND, Status.SCAN_LIMIT_REACHED, Status.NO_HISTORY, Status.DEFINED}
    for status in set(Status) - inside:
        assert f"`{status.name.lower()}`" in TEXT, status
    for flag in (*AccountFlag, *TransferFlag):
        assert flag.name is not None
        assert f"`{flag.name.lower()}`" in TEXT


def test_permissions_are_those_of_the_channels():
    for name, methods in PERMISSIONS.items():
        assert f"| `{name}` | {', '.join(f'`{method}`' for method in methods)} |" in TEXT
