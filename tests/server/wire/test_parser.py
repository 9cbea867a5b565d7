"""Lines into batches: framing, JSON, envelope, session and limits, rule by rule of docs/PROTOCOL.md."""

import json

import numpy as np
import pytest

from engine._core import records
from engine._core.batch import Batch
from engine.results import Status
from server import wire
from server.wire import tools
from tests.server.wire.asking import (
    ACCOUNT,
    ANSWER,
    CREATE_ACCOUNTS,
    CREATE_TRANSFERS,
    LOOKUP_ACCOUNTS,
    LOOKUP_TRANSFERS,
    PING,
    REPLY,
    TRANSFER,
    bad,
    good,
    line,
    make_parser,
    parse,
)

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
    assert good(data, line_max=limit)["kind"] == PING
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
    assert [request["kind"] for request in tools.dump(batch)] == [PING, REPLY]


def test_an_error_that_is_not_fatal_does_not_touch_its_neighbours():
    _, requests, counts = parse(
        line("create_transfers", [TRANSFER], 1)
        + line("create_transfers", [TRANSFER, TRANSFER | {"code": 65536}], 2)
        + line("create_transfers", [TRANSFER], 3)
    )
    assert [request["kind"] for request in requests] == [CREATE_TRANSFERS, REPLY, CREATE_TRANSFERS]
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
    assert [request["kind"] for request in requests] == [CREATE_TRANSFERS, CREATE_ACCOUNTS, LOOKUP_TRANSFERS] * 3
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
    for method in ("nope", "submit_order", "set_limit", "Ping", "ping ", "", "x" * 100):
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
        assert [request["kind"] for request in others] == [LOOKUP_ACCOUNTS, PING]
        assert tools.counts(batch)["transfers"] == 0


def test_a_fresh_parser_allows_only_ping_and_logon():
    parser, batch = wire.Parser(), Batch()
    parser.feed(line("ping", {}) + line("query_accounts", {}) + line("logon", {"channel": "a", "key": "b"}))
    assert parser.parse(batch, 1) == wire.COLD
    assert [request["kind"] for request in tools.dump(batch)] == [PING, REPLY, ANSWER]


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
    assert good(f'{{"id":1,"method":"ping"{params}}}\n'.encode())["kind"] == PING


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
    assert [request["kind"] for request in tools.dump(batch)] == [ANSWER, ANSWER, PING]
    assert bad(line(method, [1]))[2] == f"params: {method} takes none"


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
    assert [request["kind"] for request in requests] == [
        CREATE_TRANSFERS,
        REPLY,
        CREATE_TRANSFERS,
        REPLY,
        CREATE_ACCOUNTS,
        REPLY,
        LOOKUP_ACCOUNTS,
    ]
    told = [json.loads(request["line"])["error"] for request in requests if request["kind"] == REPLY]
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
