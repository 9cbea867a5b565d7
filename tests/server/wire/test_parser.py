"""Lines into batches: the rules of the protocol page, one by one."""

import json

import numpy as np
import pytest

from engine._core.batch import Batch
from engine._core.records import RESULT
from engine.results import AMOUNT_ALL, Status
from server import wire
from server.wire import tools

TRANSFER = {
    "id": "018f3c1e-7b1a-7c2d-9e4f-0123456789ab",
    "debit_account_id": 1001,
    "credit_account_id": 2002,
    "amount": 12500,
    "ledger": 156,
    "code": 10,
}


def parser(**limits: int) -> wire.Parser:
    made = wire.Parser(**limits)
    made.allow(wire.METHODS_ALL, 0, logged_on=True, int64_strings=False)
    return made


def parse(data: bytes, **limits: int):
    batch = Batch()
    made = parser(**limits)
    made.feed(data)
    outcome = made.parse(batch, 1)
    return outcome, tools.dump(batch), tools.counts(batch)


def line(method: str, params: object, request_id: object = 1) -> bytes:
    return json.dumps({"id": request_id, "method": method, "params": params}).encode() + b"\n"


def one(method: str, params: object):
    """The only request of a line that is good."""
    outcome, requests, _ = parse(line(method, params))
    assert outcome == wire.IDLE
    assert len(requests) == 1
    assert requests[0]["line"] == b""
    return requests[0]


def error(data: bytes, **limits: int):
    """(outcome, reply) of a line that is bad; nothing of it is in the batch."""
    outcome, requests, counts = parse(data, **limits)
    assert len(requests) == 1
    assert [counts[name] for name in ("accounts", "transfers", "updates", "ids", "filters")] == [0] * 5
    return outcome, json.loads(requests[0]["line"])


def test_a_transfer_in_canonical_order_and_in_any_other_is_the_same():
    canonical = one("create_transfers", [TRANSFER])["items"]
    turned = one("create_transfers", [dict(reversed(TRANSFER.items()))])["items"]
    assert canonical == turned
    item = canonical[0]
    assert item["id_hi"] == 0x018F3C1E7B1A7C2D
    assert item["id_lo"] == 0x9E4F0123456789AB
    assert (item["debit_account_id"], item["credit_account_id"], item["amount"]) == (1001, 2002, 12500)
    assert (item["ledger"], item["code"], item["flags"]) == (156, 10, 0)


@pytest.mark.parametrize("flag", ["post_pending_transfer", "void_pending_transfer"])
def test_a_post_or_void_may_leave_out_all_but_the_id(flag):
    item = one("create_transfers", [{"id": TRANSFER["id"], "flags": [flag]}])["items"][0]
    assert item["amount"] == AMOUNT_ALL
    assert item["debit_account_id"] == item["ledger"] == 0


def test_an_amount_that_is_no_integer_names_its_path():
    outcome, reply = error(line("create_transfers", [TRANSFER, TRANSFER | {"amount": 12.5}]))
    assert outcome == wire.IDLE
    assert reply == {
        "id": 1,
        "error": {"code": -32602, "message": "params[1].amount: 12.5 is not an integer in minor units"},
    }


def test_replies_come_in_request_order_with_seq():
    batch = Batch()
    made = parser()
    made.feed(line("create_transfers", [TRANSFER], "a") + line("ping", {}, 2) + line("create_transfers", [], 3))
    assert made.parse(batch, 9) == wire.IDLE
    tools.answer(batch, 0, np.array([(7, Status.EXCEEDS_CREDITS, 0)], RESULT))
    tools.answer(batch, 2, np.array([], RESULT))
    [(connection, text)] = wire.encode(batch, 42, 1_000)
    assert connection == 9
    assert text.splitlines() == [
        b'{"id":"a","result":[{"status":"exceeds_credits","timestamp":7}],"seq":42}',
        b'{"id":2,"result":{"time":1000},"seq":42}',
        b'{"id":3,"result":[],"seq":42}',
    ]


def test_after_malformed_json_the_connection_closes():
    outcome, reply = error(b'{"id":1,}\n')
    assert outcome == wire.CLOSE
    assert reply["id"] is None
    assert reply["error"]["code"] == -32700
