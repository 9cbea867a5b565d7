"""Params into command records: values, items and queries, rule by rule of docs/PROTOCOL.md."""

import json

import numpy as np
import pytest

from engine.results import AMOUNT_ALL, AccountFlag, FilterFlag, TransferFlag, UpdateField
from server import wire
from tests.server.wire.asking import ACCOUNT, TRANSFER, UUID, bad, good, line, refused, with_value

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
