"""Lines of requests, and what the parser makes of one."""

import json
from typing import Any

from engine._core.batch import Batch
from engine._core.codes import KIND
from server import wire
from server.wire import tools

KINDS = {name.removeprefix("KIND_"): number for name, number in KIND.items()}
CREATE_ACCOUNTS, CREATE_TRANSFERS = KINDS["CREATE_ACCOUNTS"], KINDS["CREATE_TRANSFERS"]
LOOKUP_ACCOUNTS, LOOKUP_TRANSFERS = KINDS["LOOKUP_ACCOUNTS"], KINDS["LOOKUP_TRANSFERS"]
REPLY, ANSWER, PING = KINDS["REPLY"], KINDS["ANSWER"], KINDS["PING"]

UUID = "018f3c1e-7b1a-7c2d-9e4f-0123456789ab"
TRANSFER = {
    "id": UUID,
    "debit_account_id": 1001,
    "credit_account_id": 2002,
    "amount": 12500,
    "ledger": 156,
    "code": 10,
}
ACCOUNT = {"id": 1001, "ledger": 156, "code": 2011}


def make_parser(**limits: int) -> wire.Parser:
    made = wire.Parser(**limits)
    made.allow(wire.METHODS_ALL, 0, logged_on=True, int64_strings=False)
    return made


def parse(data: bytes, **limits: int):
    batch = Batch()
    made = make_parser(**limits)
    made.feed(data)
    outcome = made.parse(batch, 1)
    return outcome, tools.dump(batch), tools.counts(batch)


def line(method: str, params: object, request_id: object = 1) -> bytes:
    return json.dumps({"id": request_id, "method": method, "params": params}).encode() + b"\n"


def with_value(method: str, member: str, text: str) -> bytes:
    """The line of one good item, but with `text` in the place of one member's value."""
    items = {
        "create_transfers": TRANSFER,
        "create_accounts": ACCOUNT,
        "update_accounts": {"id": 1},
        "get_account_transfers": {"account_id": 1},
        "query_transfers": {},
    }
    item = {name: json.dumps(value) for name, value in items[method].items()} | {member: text}
    body = "{" + ",".join(f'"{name}":{value}' for name, value in item.items()) + "}"
    body = f"[{body}]" if (method.endswith("s") and "create" in method) or method == "update_accounts" else body
    return f'{{"id":1,"method":"{method}","params":{body}}}\n'.encode()


def good(data: bytes, **limits: int) -> dict[str, Any]:
    """The only request of a line that is executed."""
    outcome, requests, _ = parse(data, **limits)
    assert outcome == wire.IDLE
    assert len(requests) == 1
    assert requests[0]["line"] == b"", requests[0]["line"]
    return requests[0]


def bad(data: bytes, **limits: int) -> tuple[int, object, str]:
    """(code, id, message) of a line that is refused; nothing of it stays in the batch."""
    outcome, requests, counts = parse(data, **limits)
    assert len(requests) == 1
    assert [counts[name] for name in ("accounts", "transfers", "updates", "ids", "filters")] == [0] * 5
    reply = json.loads(requests[0]["line"])
    assert requests[0]["line"].endswith(b"\n")
    assert list(reply) == ["id", "error"]
    error = reply["error"]
    assert (outcome == wire.CLOSE) == (error["code"] in wire.FATAL)
    return error["code"], reply["id"], error["message"]


def refused(method: str, params: object) -> str:
    """The message of a -32602."""
    code, request_id, message = bad(line(method, params))
    assert (code, request_id) == (wire.ErrorCode.INVALID_PARAMS, 1)
    return message
