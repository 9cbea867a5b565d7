"""docs/schema: what the parser takes fits the request schema, what the encoder writes fits the reply schema."""

import json
from random import Random

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine._core import records
from engine.results import AccountFlag, TransferFlag
from server import wire
from server.wire import tools
from tests.models.wire import ALWAYS, METHODS, Asked, Limits, read_line
from tests.server.wire.lines import Lines
from tests.server.wire.test_encode import batch_of, replies, view
from tests.server.wire.test_protocol_page import REPLY, REQUEST

UUID = "018f3c1e-7b1a-7c2d-9e4f-0123456789ab"
TRANSFER = {"id": UUID, "debit_account_id": 1, "credit_account_id": 2, "amount": 3, "ledger": 4, "code": 5}
ACCOUNT = {"id": 1, "ledger": 4, "code": 5}
SLOW = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@given(random=st.randoms(use_true_random=True))
@SLOW
def test_what_is_executed_fits_the_request_schema(random: Random):
    lines = Lines(random, 0.002)
    for _ in range(5):
        line = lines.line()
        if isinstance(read_line(line, Limits(allowed=frozenset(METHODS) - ALWAYS)), Asked):
            REQUEST.validate(json.loads(line))


@pytest.mark.parametrize(
    "request_",
    [
        {"method": "ping"},
        {"id": None, "method": "ping"},
        {"id": 1},
        {"id": 1, "method": "nope"},
        {"id": 1, "method": "ping", "params": [1]},
        {"id": 1, "method": "create_accounts"},
        {"id": 1, "method": "create_accounts", "params": {}},
        {"id": 1, "method": "create_accounts", "params": [ACCOUNT | {"x": 1}]},
        {"id": 1, "method": "create_accounts", "params": [ACCOUNT | {"code": -1}]},
        {"id": 1, "method": "create_accounts", "params": [ACCOUNT | {"id": 2**63}]},
        {"id": 1, "method": "create_accounts", "params": [ACCOUNT | {"flags": ["pending"]}]},
        {"id": 1, "method": "create_transfers", "params": [{**TRANSFER, "amount": "01"}]},
        {"id": 1, "method": "create_transfers", "params": [{**TRANSFER, "flags": ["linked", "linked"]}]},
        {"id": 1, "method": "create_transfers", "params": [{**TRANSFER, "id": UUID[:-1]}]},
        {"id": 1, "method": "create_transfers", "params": [{"id": UUID, "flags": ["pending"]}]},
        {"id": 1, "method": "create_transfers", "params": [TRANSFER] * 8191},
        {"id": 1, "method": "query_accounts", "params": {"account_id": 1}},
        {"id": 1, "method": "get_account_transfers", "params": {}},
        {"id": 1, "method": "get_account_transfers", "params": {"account_id": 1, "debits": False, "credits": False}},
        {"id": 1, "method": "logon", "params": {"channel": "a"}},
        {"id": 1, "method": "logon", "params": {"channel": "a", "key": "b", "nonce": "c"}},
        {"id": 1, "jsonrpc": "1.0", "method": "ping"},
    ],
)
def test_what_is_refused_does_not_fit(request_: dict[str, object]):
    assert not REQUEST.is_valid(request_)
    outcome = read_line(json.dumps(request_).encode(), Limits(allowed=frozenset(METHODS) - ALWAYS))
    assert not isinstance(outcome, Asked)


@given(seed=st.integers(0, 2**32), strings=st.booleans())
@SLOW
def test_replies_fit_the_reply_schema(seed: int, strings: bool):
    batch = batch_of(
        ("create_transfers", []),
        ("lookup_accounts", [1, 2]),
        ("query_transfers", {}),
        ("get_account_balances", {"account_id": 1}),
        ("ping", {}),
        ("nope", {}),
        ("create_accounts", [{}]),
        strings=strings,
    )
    account, transfer = view(records.ACCOUNT_VIEW, seed), view(records.TRANSFER_VIEW, seed + 1)
    account["flags"] &= sum(AccountFlag)
    transfer["flags"] &= sum(TransferFlag)
    transfer["state"] = seed % 5
    account["id"] = transfer["id_lo"] = seed + 1
    tools.answer(batch, 0, np.array([(5, seed % 73, 0)], records.RESULT))
    tools.answer(batch, 1, np.concatenate([account, np.zeros(1, records.ACCOUNT_VIEW)]))
    tools.answer(batch, 2, transfer)
    tools.answer(batch, 3, view(records.BALANCE_VIEW, seed + 2))
    for reply in replies(batch):
        REPLY.validate(reply)


@pytest.mark.parametrize(
    "reply",
    [
        {"id": 1},
        {"id": 1, "result": []},
        {"id": 1, "result": [], "error": {"code": -32600, "message": ""}, "seq": 1},
        {"id": None, "result": [], "seq": 1},
        {"id": 1, "error": {"code": 5, "message": ""}},
        {"id": 1, "result": [{"status": "nope", "timestamp": 1}], "seq": 1},
        {"id": 1, "result": [{"status": "found", "timestamp": 1}], "seq": 1},
    ],
)
def test_what_is_no_reply_does_not_fit(reply: dict[str, object]):
    assert not REPLY.is_valid(reply)


def test_lines_made_in_python_fit_too():
    for code in wire.ErrorCode:
        REPLY.validate(json.loads(wire.error_line(None, code, "x", jsonrpc=True)))
    logged_on = {"channel": "a", "permissions": ["read"], "protocol": 1}
    REPLY.validate(json.loads(wire.result_line(b'"a"', logged_on, 7, jsonrpc=True, int64_strings=True)))
