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
from engine.order_results import Reason
from engine.results import AccountFlag, Status, TransferFlag
from server import wire
from server.channels import PERMISSIONS
from server.feed import MARKET_TOPICS, TRADING_TOPICS, Feed, TopicError
from server.metrics import Metrics
from server.profiles import terms_today
from server.wire import tools
from tests.server.wire.asking import KINDS

PAGE = Path(__file__).parents[3] / "docs" / "PROTOCOL.md"
SCHEMAS = PAGE.parent / "schema"
TIME = 1_795_350_000_000_000_000
TEXT = PAGE.read_text("utf-8")
REQUEST = jsonschema.Draft202012Validator(json.loads((SCHEMAS / "request.json").read_text("utf-8")))
NOTIFICATION = jsonschema.Draft202012Validator(json.loads((SCHEMAS / "notification.json").read_text("utf-8")))
REPLY = jsonschema.Draft202012Validator(json.loads((SCHEMAS / "reply.json").read_text("utf-8")))


class Story:
    """A dev connection, a ledger and a log that counts."""

    slow = False

    def __init__(self) -> None:
        self.engine = Engine()
        self.feed = Feed(self.engine, Metrics())
        self.parser = wire.Parser(profiles=wire.Profiles(terms_today()))
        self.parser.allow(wire.METHODS_ALL, 0, logged_on=True, int64_strings=False)
        self.seq = 0
        self.requests = 0

    def notify(self, data: bytes) -> None:
        """What the feed sends."""
        self.told += data

    def reply(self, line: str) -> list[str]:
        """The reply and what is told behind it."""
        batch = Batch()
        self.requests += 1
        self.told = b""
        self.parser.feed(line.encode() + b"\n")
        outcome = self.parser.parse(batch, 1)
        logged = any(request["kind"] < KINDS["READ"] for request in tools.dump(batch))
        self.seq += logged
        time = TIME + self.requests * 1000
        self.feed.before_batch()
        self.engine.apply(batch, time)
        if outcome == wire.COLD:
            assert self.parser.cold is not None
            batch.answers[self.parser.cold.answer] = self.cold(self.parser.cold)
        else:
            assert outcome == wire.IDLE
        [(_, text)] = wire.encode(batch, self.seq, time)
        self.feed.publish(batch, self.seq, logged=logged)
        return (text + self.told).decode().splitlines()

    def cold(self, cold: wire.Cold) -> bytes:
        """The answers that the server gives in Python."""
        if isinstance(cold.params, wire.Logon):
            result = {"channel": cold.params.channel, "permissions": ["read", "transfers"], "protocol": 1}
            return wire.result_line(cold.id, result, self.seq, cold.jsonrpc)
        assert isinstance(cold.params, wire.Topics)
        depth = None if cold.params.depth is None else int(cold.params.depth)
        try:
            if cold.method == "unsubscribe":
                topics = self.feed.unsubscribe(self, cold.params.topics)
            else:
                topics = self.feed.subscribe(
                    self, cold.params.topics, permissions=tuple(PERMISSIONS), scope=0, quoted=False, from_seq=None,
                    depth=depth,
                )  # fmt: skip
        except TopicError as error:
            return wire.error_line(cold.id, wire.ErrorCode.INVALID_PARAMS, str(error), cold.jsonrpc)
        return wire.result_line(cold.id, {"topics": topics}, self.seq, cold.jsonrpc)


def exchanges() -> list[tuple[str, list[str]]]:
    """Every request of the page with the lines under it."""
    pairs: list[tuple[str, list[str]]] = []
    for block in re.findall(r"```session\n(.*?)```", TEXT, re.DOTALL):
        for line in block.splitlines():
            if line.startswith("-> "):
                pairs.append((line[3:], []))
            else:
                assert line.startswith("<- ")
                pairs[-1][1].append(line[3:])
    return pairs


def test_the_examples_are_what_the_wire_and_the_ledger_say():
    story = Story()
    told = [(request, story.reply(request)) for request, _ in exchanges()]
    if os.environ.get("REWRITE"):
        replies = iter(reply for _, reply in told)
        text = re.sub(
            r"^(-> .*\n)(?:<- .*\n)+",
            lambda found: found[1] + "".join(f"<- {line}\n" for line in next(replies)),
            TEXT,
            flags=re.MULTILINE,
        )
        PAGE.write_text(text, "utf-8")
        return
    assert told == exchanges()
    assert len(told) >= 50


def test_the_examples_fit_the_schemas():
    for request, lines in exchanges():
        answer, *notifications = map(json.loads, lines)
        REPLY.validate(answer)
        if "error" not in answer:
            REQUEST.validate(json.loads(request))
        for notification in notifications:
            NOTIFICATION.validate(notification)


def test_examples_that_are_refused_are_refused_by_the_schema_too():
    named = ("history", "topics", "there is no trading account")  # refused for what the engine has or has not
    refused = [request for request, (reply, *_) in exchanges() if json.loads(reply).get("error", {}).get("code") in
               {-32600, -32601, -32602} and not any(text in reply for text in named)]  # fmt: skip
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


def test_every_reason_and_topic_is_on_the_page():
    for reason in set(Reason) - {Reason.NONE}:
        assert f"`{reason.name.lower()}`" in TEXT, reason
    for topic in (*MARKET_TOPICS, *TRADING_TOPICS):
        assert f"| `{topic}" in TEXT


def test_permissions_are_those_of_the_channels():
    for name, methods in PERMISSIONS.items():
        assert f"| `{name}` | {', '.join(f'`{method}`' for method in methods)} |" in TEXT
