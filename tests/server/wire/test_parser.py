"""Lines into batches: the rules of docs/PROTOCOL.md, one by one."""

import json
from typing import Any

import numpy as np
import pytest

from engine._core import records
from engine._core.batch import Batch
from engine.results import AMOUNT_ALL, AccountFlag, FilterFlag, Status, TransferFlag, UpdateField
from server import wire
from server.wire import tools

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


# --- framing ----------------------------------------------------------------------------------------------------------


def test_blank_lines_are_ignored_and_cr_before_lf_is_tolerated():
    data = b"\n\r\n \t\n" + line("ping", {}).replace(b"\n", b"\r\n") + b"\n"
    outcome, requests, _ = parse(data)
    assert outcome == wire.IDLE
    assert len(requests) == 1


def test_a_line_waits_for_its_lf():
    parser, batch = make_parser(), Batch()
    data = line("create_transfers", [TRANSFER])
    for at in range(len(data) - 1):
        parser.feed(data[at : at + 1])
        assert parser.parse(batch, 1) == wire.IDLE
        assert len(batch) == 0
    assert parser.buffered == len(data) - 1
    parser.feed(b"\n")
    assert parser.parse(batch, 1) == wire.IDLE
    assert len(batch) == 1
    assert parser.buffered == 0


@pytest.mark.parametrize("ending", [b"\n", b"", b"\r\n"])
def test_a_line_that_is_too_long_is_fatal_also_before_its_end(ending: bytes):
    data = line("ping", {})
    limit = len(data) - 1
    assert good(data, line_max=limit)["kind"] == 35
    code, request_id, message = bad(data[:-1] + b" " + ending, line_max=limit)
    assert (code, request_id) == (wire.ErrorCode.TOO_LARGE, None)
    assert message == f"a line is longer than {limit} bytes"


def test_after_a_fatal_error_nothing_is_read():
    parser, batch = make_parser(), Batch()
    parser.feed(line("ping", {}) + b"{]\n" + line("ping", {}))
    assert parser.parse(batch, 1) == wire.CLOSE
    parser.feed(line("ping", {}))
    assert parser.parse(batch, 1) == wire.CLOSE
    assert parser.buffered == 0
    assert [request["kind"] for request in tools.dump(batch)] == [35, 33]


def test_an_error_that_is_not_fatal_does_not_touch_its_neighbours():
    _, requests, counts = parse(
        line("create_transfers", [TRANSFER], 1)
        + line("create_transfers", [TRANSFER, TRANSFER | {"code": 65536}], 2)
        + line("create_transfers", [TRANSFER], 3)
    )
    assert [request["kind"] for request in requests] == [2, 33, 2]
    assert counts["transfers"] == 2


def test_the_buffer_offered_to_a_transport_takes_the_same_bytes():
    parser, batch = make_parser(), Batch()
    data = line("create_transfers", [TRANSFER]) * 3
    room = parser.get_buffer(-1)
    assert len(room) >= 65536
    room[: len(data)] = data
    parser.buffer_updated(len(data))
    assert parser.parse(batch, 1) == wire.IDLE
    assert len(batch) == 3
    with pytest.raises(ValueError, match="more than the room"):
        parser.buffer_updated(10**9)


# --- JSON -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"x", "not JSON"),
        (b"{", "the line ends too early"),
        (b'{"id":1', "the line ends too early"),
        (b'{"id":1}}', "not JSON"),
        (b'{"id":1,}', "not JSON"),
        (b"{'id':1}", "not JSON"),
        (b'{"id":1 "method":"ping"}', "not JSON"),
        (b'{"id":01,"method":"ping"}', "not JSON"),
        (b'{"id":+1,"method":"ping"}', "not JSON"),
        (b'{"id":1.,"method":"ping"}', "not JSON"),
        (b'{"id":.5,"method":"ping"}', "not JSON"),
        (b'{"id":NaN,"method":"ping"}', "not JSON"),
        (b'{"id":tru,"method":"ping"}', "not JSON"),
        (b'{"id":1,"method":"ping"} x', "not JSON"),
        (b'{"id":1,"method":"ping"}{}', "not JSON"),
        (b'\xef\xbb\xbf{"id":1,"method":"ping"}', "not JSON"),
        (b'{"id":"\x00","method":"ping"}', "a control character"),
        (b'{"id":"\t","method":"ping"}', "a control character"),
        (b'{"id":"\x7f","method":"ping"}', "a control character"),
        (b'{"id":"\\u0000","method":"ping"}', "a control character"),
        (b'{"id":"\\u001f","method":"ping"}', "a control character"),
        (b'{"id":"\\n","method":"ping"}', "a control character"),
        (b'{"id":"\\x41","method":"ping"}', "an escape that is none"),
        (b'{"id":"\\u12g4","method":"ping"}', "an escape that is none"),
        (b'{"id":"\\ud800","method":"ping"}', "an escape that is none"),
        (b'{"id":"\\udc00","method":"ping"}', "an escape that is none"),
        (b'{"id":"\\ud800\\u0041","method":"ping"}', "an escape that is none"),
        (b'{"id":"\xff","method":"ping"}', "not UTF-8"),
        (b'{"id":"\xc0\x80","method":"ping"}', "not UTF-8"),
        (b'{"id":"\xed\xa0\x80","method":"ping"}', "not UTF-8"),
        (b'{"id":"\xf4\x90\x80\x80","method":"ping"}', "not UTF-8"),
        (b'{"id":"\xe2\x82","method":"ping"}', "not UTF-8"),
        (b'{"id":1,"method":"ping","params":' + b"[" * 8 + b"]" * 8 + b"}", "nested deeper than 8"),
        (b"[" * 100_000, "nested deeper than 8"),
    ],
)
def test_what_is_not_json_is_fatal(text: bytes, reason: str):
    code, request_id, message = bad(text + b"\n")
    assert (code, request_id) == (wire.ErrorCode.PARSE_ERROR, None)
    assert message.startswith(reason + " at byte ")


def test_eight_levels_are_json_and_every_utf8_form_is_too():
    code, *_ = bad(b'{"id":1,"method":"ping","params":' + b"[" * 7 + b"]" * 7 + b"}\n")
    assert code == wire.ErrorCode.INVALID_PARAMS
    for text in ("\u0080", "\u07ff", "\u0800", "\ud7ff", "\ue000", "\uffff", "\U00010000", "\U0010ffff"):
        raw = json.dumps(text, ensure_ascii=False).encode()
        assert good(b'{"id":' + raw + b',"method":"ping"}\n')["id"] == raw


# --- envelope ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "0",
        "1",
        "-1",
        "9223372036854775807",
        "-9223372036854775808",
        '""',
        '"a"',
        f'"{"x" * 64}"',
        '"\\u0041\\""',
        '"é"',
    ],
)
def test_the_id_is_echoed_as_it_was_written(text: str):
    request = good(f'{{"id":{text},"method":"create_transfers","params":[]}}\n'.encode())
    assert request["id"] == text.encode()


@pytest.mark.parametrize(
    "text",
    ["null", "true", "1.0", "1e3", "-0", "9223372036854775808", "-9223372036854775809", "[]", "{}", f'"{"x" * 65}"'],
)
def test_an_id_of_another_kind_is_an_invalid_request(text: str):
    code, request_id, message = bad(f'{{"id":{text},"method":"create_transfers","params":[]}}\n'.encode())
    assert (code, request_id) == (wire.ErrorCode.INVALID_REQUEST, None)
    assert message == "id: is neither a 64-bit integer nor a string of at most 64 bytes"


@pytest.mark.parametrize(
    ("text", "request_id", "message"),
    [
        ("[]", None, "a request is an object"),
        ("5", None, "a request is an object"),
        ("{}", None, "id: is missing"),
        ('{"method":"create_transfers","params":[]}', None, "id: is missing"),
        ('{"id":1,"id":1,"method":"ping"}', None, '"id": is given twice'),
        ('{"id":1,"\\u0069d":1,"method":"ping"}', None, '"\\u0069d": is given twice'),
        ('{"id":1}', 1, "method: is missing"),
        ('{"id":1,"method":5}', 1, "method: is not a string"),
        ('{"id":1,"method":"ping","method":"ping"}', 1, '"method": is given twice'),
        ('{"id":1,"method":"ping","extra":1}', 1, '"extra": is not a member of a request'),
        ('{"id":1,"method":"ping","":1}', 1, '"": is not a member of a request'),
        ('{"id":1,"method":"ping","params":{},"params":{}}', 1, '"params": is given twice'),
    ],
)
def test_an_invalid_request_says_why(text: str, request_id: object, message: str):
    assert bad(text.encode() + b"\n") == (wire.ErrorCode.INVALID_REQUEST, request_id, message)


def test_jsonrpc_is_echoed_and_may_only_be_2_0():
    request = good(b'{"jsonrpc":"2.0","id":1,"method":"create_transfers","params":[]}\n')
    assert request["reply_flags"] == 1
    for version in (b'"1.0"', b"2.0", b"null"):
        code, request_id, message = bad(b'{"jsonrpc":' + version + b',"id":1,"method":"ping"}\n')
        assert (code, request_id, message) == (wire.ErrorCode.INVALID_REQUEST, 1, 'jsonrpc: is not "2.0"')
    _, requests, _ = parse(b'{"jsonrpc":"2.0","id":1,"method":"nope"}\n')
    assert json.loads(requests[0]["line"])["jsonrpc"] == "2.0"


@pytest.mark.parametrize("members", [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)])
@pytest.mark.parametrize("method", ["create_transfers", "create_accounts", "lookup_accounts"])
def test_members_of_a_request_may_come_in_any_order(members: tuple[int, ...], method: str):
    params = {"create_transfers": [TRANSFER], "create_accounts": [ACCOUNT], "lookup_accounts": [1, 2]}[method]
    parts = [('"id"', "7"), ('"method"', json.dumps(method)), ('"params"', json.dumps(params))]
    text = "{" + ",".join(":".join(parts[index]) for index in members) + "}\n"
    request = good(text.encode())
    assert request["id"] == b"7"
    assert len(request["items"]) == len(params)


def test_params_before_the_method_do_not_lead_it_astray():
    transfers = f'{{"params":{json.dumps([TRANSFER])},"id":1,"method":"create_transfers"}}\n'.encode()
    accounts = f'{{"params":{json.dumps([ACCOUNT])},"id":2,"method":"create_accounts"}}\n'.encode()
    empty = b'{"params":[],"id":3,"method":"lookup_transfers"}\n'
    _, requests, counts = parse((transfers + accounts + empty) * 3)
    assert [request["kind"] for request in requests] == [2, 1, 18] * 3
    assert (counts["transfers"], counts["accounts"], counts["ids"]) == (3, 3, 0)


def test_names_with_escapes_are_the_same_names():
    plain = good(line("create_transfers", [TRANSFER | {"flags": ["pending"]}]))
    data = line("create_transfers", [TRANSFER | {"flags": ["pending"]}])
    for name in (
        b"id",
        b"method",
        b"create_transfers",
        b"params",
        b"amount",
        b"pending",
        b"flags",
        b"018f3c1e",
        b"code",
    ):
        escaped = data.replace(b'"' + name, b'"\\u%04x' % name[0] + name[1:])
        assert escaped != data
        request = good(escaped)
        assert np.array_equal(request["items"], plain["items"])


def test_unknown_methods_and_those_of_later_releases_are_named():
    for method in ("nope", "submit_orders", "set_limits", "Ping", "ping ", "", "x" * 100):
        code, request_id, message = bad(line(method, []))
        assert (code, request_id) == (wire.ErrorCode.UNKNOWN_METHOD, 1)
        assert message.startswith("unknown method: ")


def test_what_is_not_allowed_is_told_apart_by_the_logon():
    for logged_on, code in ((False, wire.ErrorCode.NOT_LOGGED_ON), (True, wire.ErrorCode.NOT_PERMITTED)):
        parser, batch = wire.Parser(), Batch()
        parser.allow(wire.Method.LOOKUP_ACCOUNTS, 0, logged_on=logged_on, int64_strings=False)
        parser.feed(line("create_transfers", [TRANSFER]) + line("lookup_accounts", [1]) + line("ping", {}))
        assert parser.parse(batch, 1) == wire.IDLE
        first, *others = tools.dump(batch)
        assert json.loads(first["line"])["error"]["code"] == code
        assert [request["kind"] for request in others] == [17, 35]
        assert tools.counts(batch)["transfers"] == 0


def test_a_fresh_parser_allows_only_ping_and_logon():
    parser, batch = wire.Parser(), Batch()
    parser.feed(line("ping", {}) + line("query_accounts", {}) + line("logon", {"channel": "a", "key": "b"}))
    assert parser.parse(batch, 1) == wire.COLD
    assert [request["kind"] for request in tools.dump(batch)] == [35, 33, 34]


def test_requests_carry_scope_connection_and_the_form_of_replies():
    parser, batch = wire.Parser(), Batch()
    parser.allow(wire.METHODS_ALL, 9, logged_on=True, int64_strings=True)
    parser.feed(line("create_transfers", [TRANSFER]))
    assert parser.parse(batch, 77) == wire.IDLE
    [request] = tools.dump(batch)
    assert (request["scope"], request["connection"], request["reply_flags"]) == (9, 77, 2)


# --- ping and logon ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("params", ["", ',"params":{}', ',"params":[ ]'])
def test_ping_takes_no_params(params: str):
    assert good(f'{{"id":1,"method":"ping"{params}}}\n'.encode())["kind"] == 35


@pytest.mark.parametrize("params", ["1", "null", "[1]", '{"a":1}', '"x"'])
def test_ping_refuses_params(params: str):
    code, _, message = bad(f'{{"id":1,"method":"ping","params":{params}}}\n'.encode())
    assert (code, message) == (wire.ErrorCode.INVALID_PARAMS, "params: ping takes none")


def test_logon_is_answered_before_the_lines_behind_it_are_read():
    parser, batch = wire.Parser(), Batch()
    parser.feed(line("logon", {"channel": "mobile", "key": "secret"}, "l") + line("create_transfers", [TRANSFER]))
    assert parser.parse(batch, 1) == wire.COLD
    cold = parser.cold
    assert cold == wire.Cold("logon", wire.Logon("mobile", "secret"), 0, 0, b'"l"', jsonrpc=False)
    assert len(batch) == 1
    batch.answers[cold.answer] = wire.result_line(cold.id, {"channel": "mobile"}, 4, cold.jsonrpc)
    parser.allow(wire.Method.CREATE_TRANSFERS, 0, logged_on=True, int64_strings=False)
    assert parser.parse(batch, 1) == wire.IDLE
    assert parser.cold is None
    tools.answer(batch, 1, np.array([(5, 0, 0)], records.RESULT))
    [(_, text)] = wire.encode(batch, 4, 0)
    assert text == (
        b'{"id":"l","result":{"channel":"mobile"},"seq":4}\n'
        b'{"id":1,"result":[{"status":"created","timestamp":5}],"seq":4}\n'
    )


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ("5", "params: 5 is not an object"),
        ('{"channel":"a"}', "params: needs either key, or timestamp, nonce and signature"),
        ('{"channel":"a","key":"b","nonce":"c"}', "params: needs either key, or timestamp, nonce and signature"),
        ('{"channel":"a","nonce":"c"}', "params: timestamp, nonce and signature go together"),
        ('{"key":"b"}', "params.channel: is missing"),
        ('{"channel":5,"key":"b"}', "params.channel: expected str, got int"),
        ('{"channel":"a","key":"b","x":1}', "params.x: is not a member of logon's params"),
        ('{"channel":"a","key":"b","key":"b"}', "params.key: is given twice"),
        ('{"channel":"a","key":"b","k\\u0065y":"b"}', "params.key: is given twice"),
        ('{"channel":"a","timestamp":1.5,"nonce":"b","signature":"c"}', "params.timestamp: 1.5 is not an integer"),
        ('{"channel":"a","timestamp":"x","nonce":"b","signature":"c"}', "params.timestamp: is not an integer"),
        ('{"channel":"a","key":"b","int64":"float"}', "params.int64: invalid enum value 'float'"),
    ],
)
def test_logon_refuses_by_path(params: str, message: str):
    code, request_id, told = bad(f'{{"id":1,"method":"logon","params":{params}}}\n'.encode())
    assert (code, request_id, told) == (wire.ErrorCode.INVALID_PARAMS, 1, message)


def test_a_signed_logon_takes_the_timestamp_in_both_forms():
    for stamp in (123, "123"):
        parser, batch = wire.Parser(), Batch()
        parser.feed(
            line("logon", {"channel": "a", "timestamp": stamp, "nonce": "n", "signature": "s", "int64": "string"})
        )
        assert parser.parse(batch, 1) == wire.COLD
        assert parser.cold is not None
        assert parser.cold.params == wire.Logon("a", None, stamp, "n", "s", "string")


@pytest.mark.parametrize("method", ["server_status", "take_snapshot"])
def test_what_an_administrator_asks_is_answered_by_the_server(method: str):
    parser, batch = make_parser(), Batch()
    parser.feed(line(method, {}) + f'{{"id":2,"method":"{method}"}}\n'.encode() + line("ping", {}))
    for place in (0, 1):
        assert parser.parse(batch, 1) == wire.COLD
        assert parser.cold == wire.Cold(method, None, place, place, b"%d" % (place + 1), jsonrpc=False)
    assert parser.parse(batch, 1) == wire.IDLE
    assert [request["kind"] for request in tools.dump(batch)] == [34, 34, 35]
    assert bad(line(method, [1]))[2] == f"params: {method} takes none"


# --- values -----------------------------------------------------------------------------------------------------------

INT63, INT64, INT32 = 2**63 - 1, 2**64 - 1, 2**32 - 1
INTEGERS = [
    ("create_transfers", "debit_account_id", 0, INT63),
    ("create_transfers", "credit_account_id", 0, INT63),
    ("create_transfers", "amount", 0, INT63),
    ("create_transfers", "ledger", 0, INT32),
    ("create_transfers", "code", 0, 65535),
    ("create_transfers", "timeout", 0, INT32),
    ("create_transfers", "timestamp", 0, INT63),
    ("create_transfers", "user_data_64", 0, INT64),
    ("create_transfers", "user_data_32", 0, INT32),
    ("create_accounts", "id", 0, INT63),
    ("create_accounts", "ledger", 0, INT32),
    ("create_accounts", "code", 0, 65535),
    ("create_accounts", "overdraft_limit", 0, INT63),
    ("create_accounts", "timestamp", 0, INT63),
    ("update_accounts", "id", 0, INT63),
    ("update_accounts", "overdraft_limit", 0, INT63),
    ("get_account_transfers", "account_id", 1, INT63),
    ("get_account_transfers", "limit", 1, 8190),
    ("get_account_transfers", "timestamp_min", 0, INT63),
    ("get_account_transfers", "timestamp_max", 0, INT63),
    ("get_account_transfers", "code", 1, 65535),
    ("query_transfers", "ledger", 1, INT32),
    ("query_transfers", "user_data_64", 0, INT64),
]


@pytest.mark.parametrize(("method", "member", "low", "high"), INTEGERS)
def test_integers_are_digits_within_their_range(method: str, member: str, low: int, high: int):
    for number in {low, 1, 9, 10, 12345678, 123456789, 10**15, 10**16, 10**18, high - 1, high}:
        if low <= number <= high:
            for text in (str(number), f'"{number}"', f' "\\u{ord(str(number)[0]):04x}{str(number)[1:]}" '):
                assert good(with_value(method, member, text))["items"][0][member] == number
    name = "is not an integer in minor units" if member in {"amount", "overdraft_limit"} else "is not an integer"
    path = f"params[0].{member}" if "_account_" not in method and "query" not in method else f"params.{member}"
    for text in ("1.5", "1.0", "1e2", "-0", '"-0"', '"01"', '"1 "', '""', '"x"', "null", "true", "[]", "{}", '"1.0"'):
        code, _, message = bad(with_value(method, member, text))
        assert (code, message) == (wire.ErrorCode.INVALID_PARAMS, f"{path}: {text} {name}")
    for number in (low - 1, high + 1, 2**64, 10**25, 10**30):
        text = str(number)
        code, _, message = bad(with_value(method, member, text))
        assert (code, message) == (
            wire.ErrorCode.INVALID_PARAMS,
            f"{path}: {text} is not between {low} and {high}",
        )


@pytest.mark.parametrize("member", ["id", "pending_id", "user_data_128"])
def test_uuids_are_text_in_either_case_with_all_hyphens_or_none(member: str):
    number = int(UUID.replace("-", ""), 16)
    for text in (UUID, UUID.upper(), UUID.replace("-", ""), UUID.replace("-", "").upper()):
        item = good(with_value("create_transfers", member, f'"{text}"'))["items"][0]
        assert int(item[f"{member}_hi"]) << 64 | int(item[f"{member}_lo"]) == number
    for text in (
        UUID[:-1],
        UUID + "0",
        UUID.replace("-", "", 1),
        UUID.replace("-", "")[:31],
        UUID.replace("-", "") + "0",
        "018f3c1e7-b1a-7c2d-9e4f-0123456789ab",
        "{" + UUID + "}",
        "urn:uuid:" + UUID,
        UUID.replace("a", "g"),
        UUID.replace("-", "_"),
        "",
    ):
        code, _, message = bad(with_value("create_transfers", member, f'"{text}"'))
        assert code == wire.ErrorCode.INVALID_PARAMS
        assert message.startswith(f"params[0].{member}: ")
        assert message.endswith(" is not a UUID")
    for raw in ("5", "null", str(number)):
        assert bad(with_value("create_transfers", member, raw))[2].endswith("is not a UUID")


def test_the_zero_and_the_all_ones_uuid_reach_the_engine_as_ids():
    for text, half in (("0" * 32, 0), ("f" * 32, INT64)):
        item = good(with_value("create_transfers", "id", f'"{text}"'))["items"][0]
        assert (item["id_lo"], item["id_hi"]) == (half, half)


@pytest.mark.parametrize(("method", "kind"), [("create_transfers", TransferFlag), ("create_accounts", AccountFlag)])
def test_flags_are_names(method: str, kind: type[TransferFlag] | type[AccountFlag]):
    names = [flag.name.lower() for flag in kind if flag.name]
    for name in names:
        assert good(with_value(method, "flags", json.dumps([name])))["items"][0]["flags"] == kind[name.upper()]
    assert good(with_value(method, "flags", json.dumps(names)))["items"][0]["flags"] == sum(kind)
    assert good(with_value(method, "flags", "[ ]"))["items"][0]["flags"] == 0
    noun = "a transfer" if kind is TransferFlag else "an account"
    for text, path, message in (
        ('["linked","nope"]', "flags[1]", f'"nope" is not a flag of {noun}'),
        ('["Linked"]', "flags[0]", f'"Linked" is not a flag of {noun}'),
        ("[1]", "flags[0]", f"1 is not a flag of {noun}"),
        ('["linked","linked"]', "flags[1]", '"linked" is given twice'),
        ('"linked"', "flags", '"linked" is not an array of flag names'),
        ("1", "flags", "1 is not an array of flag names"),
        ("null", "flags", "null is not an array of flag names"),
    ):
        assert bad(with_value(method, "flags", text))[2] == f"params[0].{path}: {message}"


# --- items ------------------------------------------------------------------------------------------------------------


def test_a_transfer_in_canonical_order_and_in_any_other_is_the_same():
    canonical = json.dumps([TRANSFER], separators=(",", ":"))
    fast = good(f'{{"id":1,"method":"create_transfers","params":{canonical}}}\n'.encode())["items"]
    turned = good(line("create_transfers", [dict(reversed(TRANSFER.items()))]))["items"]
    assert np.array_equal(fast, turned)
    item = fast[0]
    assert (item["id_hi"], item["id_lo"]) == (0x018F3C1E7B1A7C2D, 0x9E4F0123456789AB)
    assert (item["debit_account_id"], item["credit_account_id"], item["amount"]) == (1001, 2002, 12500)
    assert (item["ledger"], item["code"], item["flags"]) == (156, 10, 0)


def test_every_member_of_a_transfer_and_an_account_has_its_place():
    full = TRANSFER | {
        "flags": ["pending", "imported"],
        "pending_id": "00000000-0000-0001-0000-000000000002",
        "timeout": 3,
        "user_data_128": "00000000-0000-0004-0000-000000000005",
        "user_data_64": 6,
        "user_data_32": 7,
        "timestamp": 8,
    }
    item = good(line("create_transfers", [full]))["items"][0]
    assert item.tolist()[5:] == (2, 1, 5, 4, 6, 8, 7, 3, 156, 10, 258)
    account = (
        ACCOUNT | {"overdraft_limit": 9} | {name: full[name] for name in full if name.startswith(("user", "time"))}
    )
    del account["timeout"]
    item = good(line("create_accounts", [account]))["items"][0]
    assert item.tolist() == (1001, 5, 4, 6, 9, 8, 7, 156, 2011, 0, 0)


@pytest.mark.parametrize("flag", ["post_pending_transfer", "void_pending_transfer"])
def test_a_post_or_void_may_leave_out_all_but_the_id(flag: str):
    item = good(line("create_transfers", [{"id": UUID, "flags": [flag]}]))["items"][0]
    assert item["amount"] == AMOUNT_ALL
    assert item["debit_account_id"] == item["ledger"] == 0
    item = good(line("create_transfers", [{"amount": 5, "flags": [flag], "id": UUID}]))["items"][0]
    assert item["amount"] == 5
    assert refused("create_transfers", [{"flags": [flag]}]) == "params[0].id: is missing"


@pytest.mark.parametrize("member", list(TRANSFER))
def test_what_a_transfer_may_not_leave_out_is_named(member: str):
    rest = {name: value for name, value in TRANSFER.items() if name != member}
    assert refused("create_transfers", [TRANSFER, rest]) == f"params[1].{member}: is missing"


@pytest.mark.parametrize("member", list(ACCOUNT))
def test_what_an_account_may_not_leave_out_is_named(member: str):
    rest = {name: value for name, value in ACCOUNT.items() if name != member}
    assert refused("create_accounts", [rest]) == f"params[0].{member}: is missing"


@pytest.mark.parametrize(
    ("method", "noun", "item"),
    [
        ("create_transfers", "a transfer", TRANSFER),
        ("create_accounts", "an account", ACCOUNT),
        ("update_accounts", "an account update", {"id": 1}),
    ],
)
def test_unknown_and_repeated_members_are_errors(method: str, noun: str, item: dict[str, object]):
    assert refused(method, [item | {"colour": 1}]) == f"params[0].colour: is not a member of {noun}"
    assert refused(method, [item | {"ids": 1}]) == f"params[0].ids: is not a member of {noun}"
    assert refused(method, [item | {"é" * 50: 1}]) == f"params[0].{'é' * 40}…: is not a member of {noun}"
    data = line(method, [item])
    twice = data.replace(
        b'"params": [{', b'"params": [{"id": 1, ' if item["id"] != UUID else b'"params": [{"id": "%b", ' % UUID.encode()
    )
    assert bad(twice)[2] == "params[0].id: is given twice"
    assert refused(method, [item, 5]) == "params[1]: 5 is not an object"
    assert refused(method, [[]]) == "params[0]: [] is not an object"
    assert refused(method, {}) == "params: {} is not an array"
    assert bad(f'{{"id":1,"method":"{method}"}}\n'.encode())[2] == "params: is missing"


def test_updates_say_which_members_are_meant():
    items = good(
        line(
            "update_accounts",
            [{"id": 1}, {"id": 2, "overdraft_limit": 0}, {"id": 3, "frozen": False}, {"frozen": True, "id": 4}],
        )
    )["items"]
    assert items["fields"].tolist() == [0, UpdateField.OVERDRAFT_LIMIT, UpdateField.FROZEN, UpdateField.FROZEN]
    assert items["frozen"].tolist() == [0, 0, 0, 1]
    assert refused("update_accounts", [{"id": 1, "frozen": 1}]) == "params[0].frozen: 1 is neither true nor false"
    assert refused("update_accounts", [{"id": 1, "frozen": "true"}]).endswith('"true" is neither true nor false')


def test_lookups_take_ids():
    assert good(line("lookup_accounts", [1, "2", 0]))["items"].tolist() == [(1, 0), (2, 0), (0, 0)]
    assert good(line("lookup_transfers", [UUID]))["items"].tolist() == [(0x9E4F0123456789AB, 0x018F3C1E7B1A7C2D)]
    assert refused("lookup_accounts", [1, UUID]) == f'params[1]: "{UUID}" is not an integer'
    assert refused("lookup_accounts", [2**63]) == f"params[0]: {2**63} is not between 0 and {2**63 - 1}"
    assert refused("lookup_transfers", [1]) == "params[0]: 1 is not a UUID"


@pytest.mark.parametrize("method", ["create_transfers", "lookup_accounts"])
def test_an_array_may_hold_items_max_and_no_more(method: str):
    items: list[object] = [TRANSFER if method == "create_transfers" else 1] * 3
    assert len(good(line(method, items), items_max=3)["items"]) == 3
    code, request_id, message = bad(line(method, items), items_max=2)
    assert (code, request_id, message) == (wire.ErrorCode.TOO_LARGE, 1, "params: has more than 2 items")


def test_a_request_without_items_is_one():
    for method in ("create_transfers", "create_accounts", "update_accounts", "lookup_accounts", "lookup_transfers"):
        assert len(good(line(method, []))["items"]) == 0


# --- queries ----------------------------------------------------------------------------------------------------------

QUERIES = ["get_account_transfers", "get_account_balances", "query_accounts", "query_transfers"]


def query(method: str, **members: object) -> np.void:
    base = {"account_id": 7} if method.startswith("get") else {}
    return good(line(method, base | members))["items"][0]


@pytest.mark.parametrize("method", QUERIES)
def test_queries_become_filters(method: str):
    plain = query(method)
    assert (plain["limit"], plain["flags"], plain["account_id"]) == (8190, 0, 7 if method.startswith("get") else 0)
    full = query(
        method, timestamp_min=1, timestamp_max=2, limit=3, code=4, reversed=True,
        user_data_128="0" * 31 + "5", user_data_64=6, user_data_32=7,
    )  # fmt: skip
    assert (full["timestamp_min"], full["timestamp_max"], full["limit"], full["code"]) == (1, 2, 3, 4)
    assert (full["user_data_128_lo"], full["user_data_64"], full["user_data_32"]) == (5, 6, 7)
    flags = FilterFlag.REVERSED | FilterFlag.USER_DATA_128 | FilterFlag.USER_DATA_64 | FilterFlag.USER_DATA_32
    assert full["flags"] == flags


@pytest.mark.parametrize("method", QUERIES)
def test_a_condition_on_user_data_holds_also_for_zero(method: str):
    assert query(method, user_data_64=0)["flags"] == FilterFlag.USER_DATA_64
    assert query(method, user_data_128="0" * 32)["flags"] == FilterFlag.USER_DATA_128
    assert query(method, user_data_32=0, reversed=False)["flags"] == FilterFlag.USER_DATA_32


@pytest.mark.parametrize(
    ("sides", "flags"),
    [
        ({}, 0),
        ({"debits": True}, FilterFlag.DEBITS),
        ({"credits": True}, FilterFlag.CREDITS),
        ({"debits": True, "credits": True}, FilterFlag.DEBITS | FilterFlag.CREDITS),
        ({"debits": True, "credits": False}, FilterFlag.DEBITS),
        ({"debits": False}, FilterFlag.CREDITS),
        ({"credits": False}, FilterFlag.DEBITS),
        ({"credits": True, "debits": False}, FilterFlag.CREDITS),
    ],
)
def test_sides_of_an_account(sides: dict[str, bool], flags: int):
    assert query("get_account_transfers", **sides)["flags"] == flags


def test_queries_that_cannot_be_meant_are_refused():
    assert (
        refused("get_account_transfers", {"account_id": 1, "debits": False, "credits": False})
        == "params: debits and credits are both false"
    )
    assert (
        refused("query_accounts", {"timestamp_min": 2, "timestamp_max": 1})
        == "params.timestamp_min: is after timestamp_max"
    )
    assert query("query_accounts", timestamp_min=2, timestamp_max=0)["timestamp_min"] == 2
    assert refused("get_account_balances", {}) == "params.account_id: is missing"
    assert refused("query_accounts", {"account_id": 1}) == "params.account_id: is not a member of this method's params"
    assert refused("query_accounts", {"debits": True}) == "params.debits: is not a member of this method's params"
    assert refused("query_accounts", []) == "params: [] is not an object"
    assert refused("query_accounts", {"reversed": 1}) == "params.reversed: 1 is neither true nor false"
    assert (
        bad(line("query_accounts", {"limit": 51}), query_limit_max=50)[2] == "params.limit: 51 is not between 1 and 50"
    )


# --- limits of a batch ------------------------------------------------------------------------------------------------


def test_capacity_refuses_the_whole_request_before_it_enters():
    parser, batch = make_parser(), Batch()
    parser.admit(1, 3)
    for count in (2, 2, 1, 1):
        parser.feed(line("create_transfers", [TRANSFER] * count))
    parser.feed(
        line("create_accounts", [ACCOUNT]) + line("create_accounts", [ACCOUNT]) + line("lookup_accounts", [1] * 9)
    )
    assert parser.parse(batch, 1) == wire.IDLE
    requests = tools.dump(batch)
    assert [request["kind"] for request in requests] == [2, 33, 2, 33, 1, 33, 17]
    told = [json.loads(request["line"])["error"] for request in requests if request["kind"] == 33]
    assert [error["code"] for error in told] == [wire.ErrorCode.CAPACITY_REACHED] * 3
    assert told[0]["message"] == "transfers_capacity_reached: there is room for 1 more transfers"
    assert told[2]["message"] == "accounts_capacity_reached: there is room for 0 more accounts"
    parser.admit(0, 5)
    parser.feed(line("create_transfers", [TRANSFER] * 5))
    assert parser.parse(batch, 1) == wire.IDLE
    assert tools.counts(batch)["transfers"] == 8


def test_a_full_batch_leaves_the_rest_for_the_next_one():
    parser = make_parser(batch_items_max=10)
    for count in (1, 3, 4, 1, 1):
        parser.feed(line("create_transfers", [TRANSFER] * count))
    sizes = []
    outcome = wire.FULL
    while outcome == wire.FULL:
        batch = Batch()
        outcome = parser.parse(batch, 1)
        sizes.append([len(request["items"]) for request in tools.dump(batch)])
    assert outcome == wire.IDLE
    assert sizes == [[1, 3, 4], [1, 1]]


def test_queries_weigh_what_they_may_bring():
    parser, batch = make_parser(batch_items_max=20_000), Batch()
    for _ in range(5):
        parser.feed(line("query_accounts", {}))
    assert parser.parse(batch, 1) == wire.FULL
    assert len(batch) == 3
    tools.clear(batch)
    assert parser.parse(batch, 1) == wire.IDLE
    assert len(batch) == 2


@pytest.mark.parametrize("name", ["line_max", "items_max", "query_limit_max", "batch_items_max"])
def test_limits_are_checked_when_a_parser_is_made(name: str):
    for value in (0, -1, 2**31):
        with pytest.raises(ValueError, match=name):
            wire.Parser(**{name: value})


# --- names and numbers ------------------------------------------------------------------------------------------------


def test_methods_have_the_names_and_numbers_of_the_compiled_table():
    for method in wire.Method:
        assert method.name is not None
        parser, batch = wire.Parser(), Batch()
        parser.allow(method, 0, logged_on=True, int64_strings=False)
        parser.feed(b'{"id":1,"method":"%b","params":5}\n' % method.name.lower().encode())
        assert parser.parse(batch, 1) == wire.IDLE
        assert json.loads(tools.dump(batch)[0]["line"])["error"]["code"] == wire.ErrorCode.INVALID_PARAMS


def test_statuses_are_written_by_name():
    parser, batch = make_parser(), Batch()
    parser.feed(wire.encode_create_transfers(1, np.zeros(len(Status), records.TRANSFER_COMMAND)))
    assert parser.parse(batch, 1) == wire.IDLE
    tools.answer(batch, 0, np.array([(1, status, 0) for status in Status], records.RESULT))
    [(_, text)] = wire.encode(batch, 1, 0)
    assert [item["status"] for item in json.loads(text)["result"]] == [status.name.lower() for status in Status]
