"""Batches into replies, and the whole way from a line through the engine to its reply."""

import json
import uuid
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import requests
from engine._core import records
from engine._core.batch import Batch
from engine.machine import Engine
from engine.results import AccountFlag, Status, TransferFlag, TransferState
from server import wire
from server.wire import tools

ALL_INT64 = {
    "id", "overdraft_limit", "user_data_64", "timestamp", "amount", "debit_account_id", "credit_account_id",
    "debits_pending", "debits_posted", "credits_pending", "credits_posted",
}  # fmt: skip


def batch_of(*lines: tuple[str, object], strings: bool = False, connection: int = 1) -> Batch:
    batch = Batch()
    append(batch, *lines, strings=strings, connection=connection)
    return batch


def append(batch: Batch, *lines: tuple[str, object], strings: bool = False, connection: int = 1) -> None:
    parser = wire.Parser()
    parser.allow(wire.METHODS_ALL, 0, logged_on=True, int64_strings=strings)
    for index, (method, params) in enumerate(lines):
        parser.feed(json.dumps({"id": index, "method": method, "params": params}).encode() + b"\n")
    assert parser.parse(batch, connection) == wire.IDLE


def replies(batch: Batch, seq: int = 42, time: int = 1_000) -> list[Any]:
    [(_, text)] = wire.encode(batch, seq, time)
    assert text.endswith(b"\n")
    return [json.loads(line) for line in text.splitlines()]


def view(dtype: np.dtype[Any], seed: int) -> np.ndarray:
    """One record with a number of another size in each field."""
    rng = np.random.default_rng(seed)
    record = np.zeros(1, dtype)
    for name in dtype.names or ():
        high = 2**64 - 1 if name.endswith(("_lo", "_hi", "data_64")) else 2**63 - 1
        high = min(high, np.iinfo(dtype[name]).max)
        record[name] = (
            min(int(rng.integers(0, 2**63)) >> int(rng.integers(0, 63)), high) if rng.random() < 0.8 else high
        )
    return record


def uuid_of(record: np.void, name: str) -> str:
    return str(uuid.UUID(int=int(record[f"{name}_hi"]) << 64 | int(record[f"{name}_lo"])))


def as_told(values: dict[str, Any], *, strings: bool) -> dict[str, Any]:
    """64-bit values are strings in a session that asked for them."""
    return {
        name: str(value) if strings and name in ALL_INT64 and isinstance(value, int) else value
        for name, value in values.items()
    }


def flags_of(number: int, kind: type[AccountFlag] | type[TransferFlag]) -> list[str]:
    return [flag.name.lower() for flag in kind if flag.name and number & flag]


@given(seed=st.integers(0, 2**32), strings=st.booleans())
def test_an_account_is_written_with_every_member(seed: int, strings: bool):
    [record] = view(records.ACCOUNT_VIEW, seed)
    record["id"] = max(1, record["id"])
    record["flags"] &= 127
    batch = batch_of(("lookup_accounts", [1, 2]), strings=strings)
    tools.answer(batch, 0, np.array([record, np.zeros((), records.ACCOUNT_VIEW)]))
    [reply] = replies(batch)
    wanted = {name: int(record[name]) for name in ("id", "ledger", "code")}
    wanted["flags"] = flags_of(int(record["flags"]), AccountFlag)
    wanted["overdraft_limit"] = int(record["overdraft_limit"])
    wanted["user_data_128"] = uuid_of(record, "user_data_128")
    names = "user_data_64", "user_data_32", "debits_pending", "debits_posted", "credits_pending", "credits_posted"
    wanted |= {name: int(record[name]) for name in (*names, "timestamp")}
    assert reply["result"] == [as_told(wanted, strings=strings), None]
    assert list(reply["result"][0]) == list(wanted)
    assert reply["seq"] == ("42" if strings else 42)


@given(seed=st.integers(0, 2**32), strings=st.booleans(), state=st.sampled_from(TransferState))
def test_a_transfer_is_written_with_every_member(seed: int, strings: bool, state: TransferState):
    [record] = view(records.TRANSFER_VIEW, seed)
    record["id_lo"] = max(1, record["id_lo"])
    record["flags"] &= 511
    record["state"] = state
    batch = batch_of(("lookup_transfers", ["0" * 32]), ("query_transfers", {}), strings=strings)
    tools.answer(batch, 0, np.array([np.zeros((), records.TRANSFER_VIEW), record]))
    tools.answer(batch, 1, np.array([record, record]))
    looked_up, queried = replies(batch)
    wanted: dict[str, Any] = {"id": uuid_of(record, "id")}
    wanted |= {
        name: int(record[name]) for name in ("debit_account_id", "credit_account_id", "amount", "ledger", "code")
    }
    wanted["flags"] = flags_of(int(record["flags"]), TransferFlag)
    wanted["pending_id"] = uuid_of(record, "pending_id")
    wanted["timeout"] = int(record["timeout"])
    wanted["user_data_128"] = uuid_of(record, "user_data_128")
    wanted |= {name: int(record[name]) for name in ("user_data_64", "user_data_32", "timestamp")}
    wanted["status"] = "posted" if state == TransferState.PENDING_POSTED else state.name.lower()
    told = as_told(wanted, strings=strings)
    assert looked_up["result"] == [None, told]
    assert queried["result"] == [told, told]
    assert list(told) == list(queried["result"][0])


@given(seed=st.integers(0, 2**32), strings=st.booleans())
def test_balances_are_written(seed: int, strings: bool):
    [record] = view(records.BALANCE_VIEW, seed)
    batch = batch_of(("get_account_balances", {"account_id": 1}), strings=strings)
    tools.answer(batch, 0, np.array([record]))
    wanted = {name: int(record[name]) for name in records.BALANCE_VIEW.names or ()}
    assert replies(batch)[0]["result"] == [as_told(wanted, strings=strings)]


@pytest.mark.parametrize(
    "number", [*range(12), *(10**n + d for n in range(1, 20) for d in (-1, 0, 1)), 2**63, 2**64 - 1]
)
def test_every_length_of_number_is_written_right(number: int):
    number = min(number, 2**64 - 1)
    batch = batch_of(("create_transfers", []))
    tools.answer(batch, 0, np.array([(number, 0, 0)], records.RESULT))
    assert replies(batch, seq=number) == [
        {"id": 0, "result": [{"status": "created", "timestamp": number}], "seq": number}
    ]


def test_ping_tells_the_time_of_the_batch():
    assert replies(batch_of(("ping", {})), 7, 99) == [{"id": 0, "result": {"time": 99}, "seq": 7}]
    assert replies(batch_of(("ping", {}), strings=True), 7, 99) == [{"id": 0, "result": {"time": "99"}, "seq": "7"}]


def test_jsonrpc_comes_first_when_it_was_asked_for():
    parser, batch = wire.Parser(), Batch()
    parser.allow(wire.METHODS_ALL, 0, logged_on=True, int64_strings=False)
    parser.feed(b'{"id":1,"method":"ping","jsonrpc":"2.0"}\n')
    assert parser.parse(batch, 1) == wire.IDLE
    assert wire.encode(batch, 3, 4) == [(1, b'{"jsonrpc":"2.0","id":1,"result":{"time":4},"seq":3}\n')]


@pytest.mark.parametrize(
    ("status", "code", "message"),
    [
        (Status.SCAN_LIMIT_REACHED, -32006, "scan limit reached: narrow timestamp_min and timestamp_max"),
        (Status.NO_HISTORY, -32602, "params.account_id: account 5 does not have the flag history"),
        (Status.NOT_PERMITTED, -32002, "params.account_id: account 5 is outside the accounts of this channel"),
        (Status.CREATED, -32000, "a read ended with status 0"),
    ],
)
def test_reads_without_an_answer_are_errors(status: Status, code: int, message: str):
    batch = batch_of(("get_account_balances", {"account_id": 5}))
    tools.answer(batch, 0, np.zeros(0, records.BALANCE_VIEW), status)
    assert replies(batch) == [{"id": 0, "error": {"code": code, "message": message}}]


def test_an_account_that_is_not_there_has_no_transfers():
    batch = batch_of(("get_account_transfers", {"account_id": 5}))
    tools.answer(batch, 0, np.zeros(0, records.TRANSFER_VIEW), Status.ACCOUNT_NOT_FOUND)
    assert replies(batch) == [{"id": 0, "result": [], "seq": 42}]


def test_runs_of_a_connection_are_one_piece_in_order():
    batch = Batch()
    for connection in (4, 4, 9, 4):
        append(batch, ("ping", {}), connection=connection)
    runs = wire.encode(batch, 1, 2)
    assert [connection for connection, _ in runs] == [4, 9, 4]
    assert [text.count(b"\n") for _, text in runs] == [2, 1, 1]
    assert wire.encode(Batch(), 1, 2) == []


def test_what_the_server_asks_itself_is_not_answered():
    scope = np.array([(1, 5)], records.SCOPE_RANGE)
    batch = Batch()
    requests.append_scope(batch, 1, scope)
    assert wire.encode(batch, 1, 2) == []
    append(batch, ("ping", {}), connection=6)
    requests.append_scope(batch, 2, scope)
    append(batch, ("ping", {}), connection=6)
    [(connection, text)] = wire.encode(batch, 1, 2)
    assert (connection, text.count(b"\n")) == (6, 2)


def test_flags_without_a_name_are_not_written():
    batch = batch_of(("lookup_accounts", [1, 2]))
    views = np.zeros(2, records.ACCOUNT_VIEW)
    views["id"] = 1
    views["flags"] = [0x8000, 0x8001]
    tools.answer(batch, 0, views)
    assert [account["flags"] for account in replies(batch)[0]["result"]] == [[], ["linked"]]


def test_large_replies_are_whole():
    batch = batch_of(("query_accounts", {}), ("ping", {}))
    many = np.zeros(20_000, records.ACCOUNT_VIEW)
    many["id"] = np.arange(1, 20_001)
    tools.answer(batch, 0, many)
    first, second = replies(batch)
    assert [account["id"] for account in first["result"]] == list(range(1, 20_001))
    assert second["id"] == 1


def test_lines_made_in_python_have_the_same_form():
    assert wire.result_line(b'"a"', {"x": 1}, 5, jsonrpc=False) == b'{"id":"a","result":{"x":1},"seq":5}\n'
    assert wire.result_line(b"1", [], 5, jsonrpc=True, int64_strings=True) == (
        b'{"jsonrpc":"2.0","id":1,"result":[],"seq":"5"}\n'
    )
    assert wire.result_line(b"1", None, None, jsonrpc=False) == b'{"id":1,"result":null}\n'
    assert wire.error_line(None, -32003, 'a "b"', jsonrpc=False) == (
        b'{"id":null,"error":{"code":-32003,"message":"a \\"b\\""}}\n'
    )


def test_a_bank_day_from_lines_to_lines():
    """Requests of every kind through parser, engine and encoder."""
    engine = Engine()
    first, second = (f"00000000-0000-0000-0000-00000000000{digit}" for digit in "12")
    transfer = {"id": first, "debit_account_id": 1, "credit_account_id": 2, "amount": 70, "ledger": 156, "code": 1}
    account = {"id": 1, "ledger": 156, "code": 1}
    post = {"id": second, "pending_id": first, "amount": 30, "flags": ["post_pending_transfer"]}
    batch = batch_of(
        ("create_accounts", [account, account | {"id": 2, "flags": ["history"]}]),
        ("create_transfers", [transfer | {"flags": ["pending"]}, post]),
        ("create_transfers", [transfer | {"flags": ["pending"]}]),
        ("lookup_transfers", [first, second, "f" * 32]),
        ("lookup_accounts", [2, 3]),
        ("get_account_balances", {"account_id": 2}),
        ("get_account_balances", {"account_id": 1}),
        ("get_account_transfers", {"account_id": 3}),
        ("update_accounts", [{"id": 1, "frozen": True}, {"id": 9}]),
        ("query_accounts", {"reversed": True, "limit": 1}),
    )
    engine.apply(batch, 1_000)
    made, posted, again, transfers, accounts, balances, none, empty, updated, newest = replies(batch)
    assert [item["timestamp"] for item in made["result"]] == [1000, 1001]
    assert [item["status"] for item in posted["result"]] == ["created", "created"]
    assert again["result"] == [{"status": "exists", "timestamp": 1002}]
    assert [item and item["status"] for item in transfers["result"]] == ["posted", "posted", None]
    assert transfers["result"][1]["pending_id"] == first
    assert accounts["result"][0]["credits_posted"] == 30
    assert accounts["result"][1] is None
    assert [item["credits_pending"] for item in balances["result"]] == [70, 0]
    assert none["error"]["code"] == -32602
    assert empty["result"] == []
    assert [item["status"] for item in updated["result"]] == ["updated", "account_not_found"]
    assert [item["id"] for item in newest["result"]] == [2]
