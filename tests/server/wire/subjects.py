"""What the compiled parser makes of a stream, in the words of the model, so that the two can be compared."""

import json
from collections.abc import Iterable, Iterator
from random import Random
from typing import Any

import numpy as np

from engine._core.batch import Batch
from server import wire
from server.wire import tools
from tests.models.wire import Asked, Limits, Told

READS = {"get_account_transfers", "get_account_balances", "query_accounts", "query_transfers"}
NAMES = {
    1: "create_accounts",
    2: "create_transfers",
    3: "update_accounts",
    17: "lookup_accounts",
    18: "lookup_transfers",
    19: "get_account_transfers",
    20: "get_account_balances",
    21: "query_accounts",
    22: "query_transfers",
    34: "logon",
    35: "ping",
}
FIELDS = {
    "create_accounts": ("id", "ledger", "code", "flags", "overdraft_limit", "timestamp"),
    "create_transfers": (
        "debit_account_id", "credit_account_id", "amount", "ledger", "code", "flags", "timeout", "timestamp",
    ),
    "update_accounts": ("id", "overdraft_limit", "fields", "frozen"),
}  # fmt: skip
FILTER = ("account_id", "timestamp_min", "timestamp_max", "ledger", "limit", "code", "flags")
USER_DATA = ("user_data_64", "user_data_32")


def make_parser(limits: Limits, **more: int) -> wire.Parser:
    parser = wire.Parser(
        line_max=limits.line_max, items_max=limits.items_max, query_limit_max=limits.query_limit_max, **more
    )
    mask = sum(wire.Method[name.upper()] for name in limits.allowed)
    parser.allow(mask, 7, logged_on=limits.logged_on, int64_strings=False)
    return parser


def splits(data: bytes, random: Random) -> Iterator[bytes]:
    """Cut `data` into pieces of random sizes."""
    at = 0
    while at < len(data):
        size = random.choice([1, 2, 3, 17, 64, 200, 4096])
        yield data[at : at + size]
        at += size


def run(pieces: Iterable[bytes], limits: Limits) -> tuple[list[dict[str, Any]], bool]:
    """Feed the pieces one by one; return the dump of everything asked and whether the parser wants to close."""
    parser = make_parser(limits)
    batch = Batch()
    closed = False
    for piece in pieces:
        parser.feed(piece)
        while (outcome := parser.parse(batch, 3)) == wire.COLD:
            assert parser.cold is not None
            batch.answers[parser.cold.answer] = wire.result_line(parser.cold.id, {}, 1, parser.cold.jsonrpc)
        closed = outcome == wire.CLOSE
        assert outcome != wire.FULL
    return tools.dump(batch), closed


def number(item: Any, name: str) -> int:
    return int(item[f"{name}_hi"]) << 64 | int(item[f"{name}_lo"])


def item_values(method: str, item: np.void) -> dict[str, Any]:
    if method == "lookup_accounts":
        assert item["hi"] == 0
        return {"id": int(item["lo"])}
    if method == "lookup_transfers":
        return {"id": int(item["hi"]) << 64 | int(item["lo"])}
    values = {name: int(item[name]) for name in FIELDS.get(method, FILTER)}
    if method != "update_accounts":
        values |= {name: int(item[name]) for name in USER_DATA}
        values["user_data_128"] = number(item, "user_data_128")
    if method == "create_transfers":
        values["id"] = number(item, "id")
        values["pending_id"] = number(item, "pending_id")
    elif "reserved" in item.dtype.names:
        assert item["reserved"] == 0
    return values


def in_words(dump: list[dict[str, Any]]) -> list[Asked | Told]:
    """Turn a dump into what the model gives."""
    said: list[Asked | Told] = []
    for request in dump:
        if request["kind"] == 33:
            reply = json.loads(request["line"])
            error = reply["error"]
            raw = request["line"].decode()
            request_id = raw[raw.index('"id":') + 5 : raw.rindex(',"error":')]
            said.append(Told(error["code"], None if request_id == "null" else request_id, error["message"]))
            continue
        method = NAMES[request["kind"]]
        items = () if request["items"] is None else tuple(item_values(method, item) for item in request["items"])
        said.append(Asked(method, request["id"].decode(), bool(request["reply_flags"] & 1), items))
    return said
