"""Requests with no items, and reads that find nothing: the first thing an engine may be asked."""

from collections.abc import Callable

import numpy as np
import pytest

from engine._core import records
from engine.machine import Engine


def account() -> np.ndarray:
    array = np.zeros(1, records.ACCOUNT_COMMAND)
    array["id"], array["ledger"], array["code"], array["flags"] = 5, 1, 1, 8
    return array


def search() -> np.ndarray:
    array = np.zeros(1, records.FILTER)
    array["account_id"], array["limit"] = 5, 10
    return array


EMPTY: dict[str, Callable[[Engine], np.ndarray]] = {
    "get_account_transfers": lambda engine: engine.get_account_transfers(search()),
    "get_account_balances": lambda engine: engine.get_account_balances(search()),
    "query_transfers": lambda engine: engine.query_transfers(search()),
    "query_accounts": lambda engine: engine.query_accounts(_of_another_ledger()),
    "lookup_accounts": lambda engine: engine.lookup_accounts(np.zeros(0, np.uint64)),
    "lookup_transfers": lambda engine: engine.lookup_transfers(np.zeros((0, 2), np.uint64)),
    "create_accounts": lambda engine: engine.create_accounts(np.zeros(0, records.ACCOUNT_COMMAND), 2000),
    "create_transfers": lambda engine: engine.create_transfers(np.zeros(0, records.TRANSFER_COMMAND), 2000),
    "update_accounts": lambda engine: engine.update_accounts(np.zeros(0, records.UPDATE_COMMAND), 2000),
}


def _of_another_ledger() -> np.ndarray:
    array = search()
    array["account_id"], array["ledger"] = 0, 77
    return array


@pytest.mark.parametrize("name", EMPTY)
def test_an_answer_of_nothing(name: str) -> None:
    engine = Engine()
    engine.create_accounts(account(), 1000)
    assert len(EMPTY[name](engine)) == 0
