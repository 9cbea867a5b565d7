"""What requests look like on the wire, and that every member survives both ways."""

import json
import uuid

import msgspec
import numpy as np
import pytest

from engine._core import records
from engine.results import AMOUNT_ALL, AccountFlag, Status, TransferFlag, TransferState
from server.client import Account, AccountUpdate, Transfer, account_records, calls, codec, transfer_records
from server.client.values import update_records

FULL_ACCOUNT = Account(
    2**63 - 1, 2**32 - 1, 65535, ["linked", "debits_must_not_exceed_credits", "history", "imported"],
    overdraft_limit=2**63 - 1, user_data_128=2**128 - 1, user_data_64=2**64 - 1, user_data_32=2**32 - 1, timestamp=7,
)  # fmt: skip
FULL_TRANSFER = Transfer(
    2**128 - 2, 2**63 - 1, 1, 2**63 - 1, 2**32 - 1, 65535, ["pending", "closing_debit"], pending_id=3,
    timeout=2**32 - 1,
    user_data_128=uuid.UUID(int=5), user_data_64=2**64 - 1, user_data_32=2**32 - 1, timestamp=9,
)  # fmt: skip
POST = Transfer(5, flags=["post_pending_transfer"], pending_id=6)


def test_an_account_has_every_member_in_the_order_of_the_page() -> None:
    item = json.loads(codec.account_text(FULL_ACCOUNT))
    assert list(item) == [
        "id", "ledger", "code", "flags", "overdraft_limit", "user_data_128", "user_data_64", "user_data_32",
        "timestamp",
    ]  # fmt: skip
    assert item["flags"] == ["linked", "debits_must_not_exceed_credits", "history", "imported"]
    assert item["user_data_128"] == "ffffffff-ffff-ffff-ffff-ffffffffffff"
    assert json.loads(codec.account_text(Account(1, 2, 3))) == {"id": 1, "ledger": 2, "code": 3}


def test_a_transfer_has_every_member_in_the_order_of_the_page() -> None:
    item = json.loads(codec.transfer_text(FULL_TRANSFER))
    assert list(item) == [
        "id", "debit_account_id", "credit_account_id", "amount", "ledger", "code", "flags", "pending_id", "timeout",
        "user_data_128", "user_data_64", "user_data_32", "timestamp",
    ]  # fmt: skip
    assert item["id"] == "ffffffff-ffff-ffff-ffff-fffffffffffe"
    assert json.loads(codec.transfer_text(POST)) == {
        "id": str(uuid.UUID(int=5)),
        "flags": ["post_pending_transfer"],
        "pending_id": str(uuid.UUID(int=6)),
    }


def test_an_amount_of_zero_is_said() -> None:
    assert json.loads(codec.transfer_text(Transfer(5, 1, 2, 0, 1, 1)))["amount"] == 0


def test_arrays_are_written_as_lists_are() -> None:
    accounts = [FULL_ACCOUNT, Account(1, 2, 3)]
    assert calls.create_accounts(account_records(accounts)).params == calls.create_accounts(accounts).params
    transfers = [FULL_TRANSFER, POST, Transfer(5, 1, 2, 0, 1, 1)]
    assert calls.create_transfers(transfer_records(transfers)).params == calls.create_transfers(transfers).params
    updates = [AccountUpdate(1, 5), AccountUpdate(2, None, frozen=False), AccountUpdate(3, 0, frozen=True)]
    text = calls.update_accounts(updates, safe=True).params
    assert calls.update_accounts(update_records(updates), safe=True).params == text
    assert json.loads(text) == [
        {"id": 1, "overdraft_limit": 5},
        {"id": 2, "frozen": False},
        {"id": 3, "overdraft_limit": 0, "frozen": True},
    ]


def test_records_hold_every_member() -> None:
    (row,) = account_records([FULL_ACCOUNT])
    assert (row["overdraft_limit"], row["user_data_128_hi"], row["flags"]) == (
        2**63 - 1, 2**64 - 1, FULL_ACCOUNT.flags,
    )  # fmt: skip
    (row,) = transfer_records([FULL_TRANSFER])
    assert (row["id_lo"], row["id_hi"], row["pending_id_lo"]) == (2**64 - 2, 2**64 - 1, 3)
    assert transfer_records([POST])["amount"].tolist() == [AMOUNT_ALL]
    assert len(transfer_records([])) == 0


def test_views_hold_every_member() -> None:
    account = {
        "id": 1, "ledger": 2, "code": 3, "flags": ["frozen", "closed"], "overdraft_limit": 4,
        "user_data_128": str(uuid.UUID(int=2**100)), "user_data_64": 6, "user_data_32": 7, "debits_pending": 8,
        "debits_posted": 9, "credits_pending": 10, "credits_posted": 11, "timestamp": 12, "later_addition": 1,
    }  # fmt: skip
    raw = msgspec.json.encode([account, None])
    view, none = codec.decode_accounts(raw)
    assert view is not None
    assert tuple(view) == (1, 2, 3, AccountFlag.FROZEN | AccountFlag.CLOSED, 4, 2**100, 6, 7, 8, 9, 10, 11, 12)
    assert none is None
    array = codec.decode_account_records(raw)
    assert array.dtype == records.ACCOUNT_VIEW
    assert array["user_data_128_hi"].tolist() == [2**36, 0]
    transfer = {
        "id": str(uuid.UUID(int=1 << 64)), "debit_account_id": 2, "credit_account_id": 3, "amount": 4, "ledger": 5,
        "code": 6, "flags": ["pending"], "pending_id": str(uuid.UUID(int=0)), "timeout": 7,
        "user_data_128": str(uuid.UUID(int=8)),
        "user_data_64": 9, "user_data_32": 10, "timestamp": 11, "status": "expired",
    }  # fmt: skip
    raw = msgspec.json.encode([transfer])
    (one,) = codec.decode_found_transfers(raw)
    assert tuple(one) == (
        uuid.UUID(int=1 << 64), 2, 3, 4, 5, 6, TransferFlag.PENDING, None, 7, 8, 9, 10, 11, "expired",
    )  # fmt: skip
    array = codec.decode_transfer_records(raw)
    assert array.dtype == records.TRANSFER_VIEW
    assert (array["id_hi"][0], array["state"][0], array["timeout"][0]) == (1, TransferState.EXPIRED, 7)
    balance = {"timestamp": 1, "debits_pending": 2, "debits_posted": 3, "credits_pending": 4, "credits_posted": 5}
    raw = msgspec.json.encode([balance])
    assert tuple(codec.decode_balances(raw)[0]) == (1, 2, 3, 4, 5)
    assert codec.decode_balance_records(raw).tolist() == [(1, 2, 3, 4, 5)]


def test_every_status_is_read() -> None:
    raw = msgspec.json.encode([{"status": s.name.lower(), "timestamp": 5} for s in Status])
    assert [r.status for r in codec.decode_results(raw)] == list(Status)
    assert codec.decode_result_records(raw)["status"].tolist() == list(Status)


@pytest.mark.parametrize(
    "raw", [b"{}", b'[{"status":"new_name"}]', b'[{"timestamp":1}]', b"[1]", b'[{"status":"created","timestamp":1.5}]']
)
def test_results_of_another_shape_are_refused(raw: bytes) -> None:
    with pytest.raises(codec.ProtocolError):
        codec.decode_results(raw)


def test_filters_leave_out_what_is_not_asked() -> None:
    call = calls.get_account_transfers({"account_id": 1, "limit": None, "debits": True, "reversed": False, "code": 0})
    assert json.loads(call.params) == {"account_id": 1, "debits": True, "code": 0}
    call = calls.get_account_transfers({"account_id": 1, "user_data_128": 5})
    assert json.loads(call.params)["user_data_128"] == str(uuid.UUID(int=5))


def test_pieces_end_where_no_chain_is_open() -> None:
    assert [(p.start, p.stop) for p in calls.pieces([1, 0, 1, 0, 1, 0], 1, 3)] == [(0, 2), (2, 4), (4, 6)]
    assert [(p.start, p.stop) for p in calls.pieces([0] * 6, 1, 3)] == [(0, 3), (3, 6)]
    assert [(p.start, p.stop) for p in calls.pieces([], 1, 3)] == [(0, 0)]
    with pytest.raises(ValueError, match="item 1"):
        list(calls.pieces([0, 1, 1, 0], 1, 2))


def test_lookups_take_lists_and_arrays() -> None:
    ids = np.array([[1, 2]], np.uint64)
    assert calls.lookup_transfers_array(ids).params == calls.lookup_transfers([2 << 64 | 1]).params
    assert calls.lookup_accounts_array(np.array([7], np.uint64)).params == b"[7]"
