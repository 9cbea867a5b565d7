"""Instruments and trading accounts: every refusal, one row each, and what a repeat is told."""

from typing import Any

import numpy as np
import pytest

from engine import (
    ACCOUNT_COMMAND,
    INSTRUMENT_COMMAND,
    LINK_COMMAND,
    ORDER_FILTER,
    TRADING_ACCOUNT_COMMAND,
    Engine,
    Limits,
)
from engine.order_results import CLEARING_ACCOUNT_BASE, InstrumentField, InstrumentFlag, Session, TransferCode
from engine.results import AccountFlag, Status

LIMITS = Limits(1_000, 1_000, 1_000, 2_000, orders_max=1_000, open_orders_max=1_000, trades_max=1_000)
TERMS: dict[str, Any] = {
    "symbol_0": int.from_bytes(b"600519", "little"),
    "tick_size": 5,
    "lot_size": 100,
    "price_scale": 1,
    "contract_size": 1,
    "base_ledger": 600,
    "quote_ledger": 156,
    "reference_price": 1_000,
    "market_protection_ppm": 50_000,
    "session": Session.CONTINUOUS,
}
PPM = [name for name in INSTRUMENT_COMMAND.names or () if name.endswith("_ppm")]
INSTRUMENTS: list[tuple[Status, dict[str, Any]]] = [
    (Status.CREATED, {}),
    (Status.CREATED, {"maker_fee_ppm": 1, "fee_account_id": 3}),
    (Status.ID_MUST_NOT_BE_ZERO, {"symbol_0": 0}),
    (Status.LEDGER_MUST_NOT_BE_ZERO, {"base_ledger": 0}),
    (Status.LEDGER_MUST_NOT_BE_ZERO, {"quote_ledger": 0}),
    (Status.LEDGERS_MUST_BE_DIFFERENT, {"base_ledger": 156}),
    (Status.TICK_SIZE_MUST_NOT_BE_ZERO, {"tick_size": 0}),
    (Status.TICK_SIZE_MUST_NOT_BE_ZERO, {"tick_size": 2**63}),
    (Status.LOT_SIZE_MUST_NOT_BE_ZERO, {"lot_size": 0}),
    (Status.PRICE_SCALE_MUST_NOT_BE_ZERO, {"price_scale": 0}),
    (Status.CONTRACT_SIZE_MUST_NOT_BE_ZERO, {"contract_size": 0}),
    *(
        (Status.PPM_OUT_OF_RANGE, {name: 1_000_001})
        for name in (INSTRUMENT_COMMAND.names or ())
        if name.endswith("_ppm")
    ),
    (Status.PRICE_NOT_ON_TICK, {"reference_price": 1_001}),
    (Status.PRICE_NOT_ON_TICK, {"tick_size": 1, "reference_price": 2**30}),
    (Status.FEE_ACCOUNT_NOT_FOUND, {"fee_account_id": 77}),
    *((Status.FEE_ACCOUNT_NOT_FOUND, {name: 1}) for name in ("maker_fee_ppm", "sell_duty_ppm", "minimum_fee")),
    (Status.FEE_ACCOUNT_HAS_DIFFERENT_LEDGER, {"fee_account_id": 2}),
]


def engine() -> Engine:
    """Accounts 1 and 3 in ledger 156, 2 in 600, 4 debit-normal in 156."""
    bank = Engine(LIMITS)
    accounts = np.zeros(4, dtype=ACCOUNT_COMMAND)
    accounts["id"], accounts["ledger"], accounts["code"] = [1, 2, 3, 4], [156, 600, 156, 156], 1
    accounts["flags"][3] = AccountFlag.CREDITS_MUST_NOT_EXCEED_DEBITS
    bank.create_accounts(accounts, 1)
    return bank


def terms(**changes: Any) -> np.ndarray[Any, Any]:
    command = np.zeros(1, dtype=INSTRUMENT_COMMAND)
    for name, value in (TERMS | changes).items():
        command[name] = value
    return command


def later(bank: Engine) -> int:
    return bank.last_timestamp + 10


def list_it(bank: Engine, **changes: Any) -> Status:
    return Status(bank.create_instruments(terms(**changes), later(bank))["status"][0])


@pytest.mark.parametrize(
    ("status", "changes"), INSTRUMENTS, ids=lambda part: str(part) if isinstance(part, dict) else ""
)
def test_an_instrument_is_created_or_told_why_not(status: Status, changes: dict[str, Any]) -> None:
    bank = engine()
    assert list_it(bank, **changes) == status
    found = bank.get_instruments(np.zeros(1, dtype=ORDER_FILTER))
    assert len(found) == (status == Status.CREATED)
    bank.check_invariants()


def test_a_repeat_exists_and_other_terms_are_told() -> None:
    bank = engine()
    assert list_it(bank) == Status.CREATED
    assert list_it(bank) == Status.EXISTS
    assert list_it(bank, tick_size=1) == Status.EXISTS_WITH_DIFFERENT_TERMS
    assert list_it(bank, flags=InstrumentFlag.FUTURES) == Status.EXISTS_WITH_DIFFERENT_TERMS


def test_clearing_accounts_are_made_once_per_ledger() -> None:
    bank = engine()
    list_it(bank)
    list_it(bank, symbol_0=7)
    views = bank.lookup_accounts([CLEARING_ACCOUNT_BASE + 156, CLEARING_ACCOUNT_BASE + 600, CLEARING_ACCOUNT_BASE + 9])
    assert views["code"].tolist() == [TransferCode.CLEARING, TransferCode.CLEARING, 0]
    assert bank.accounts == 6


def test_a_client_that_took_the_clearing_account_is_told() -> None:
    bank = engine()
    account = np.zeros(1, dtype=ACCOUNT_COMMAND)
    account["id"], account["ledger"], account["code"] = CLEARING_ACCOUNT_BASE + 156, 156, 5
    assert bank.create_accounts(account, later(bank))["status"][0] == Status.CREATED
    assert list_it(bank) == Status.CLEARING_ACCOUNT_TAKEN


UPDATES: list[tuple[Status, dict[str, Any]]] = [
    (Status.UPDATED, {"fields": InstrumentField.REFERENCE_PRICE, "reference_price": 2_000}),
    (Status.UPDATED, {"fields": 0, "reference_price": 1_001}),
    (Status.PRICE_NOT_ON_TICK, {"fields": InstrumentField.REFERENCE_PRICE, "reference_price": 2_001}),
    (Status.UNKNOWN_INSTRUMENT, {"symbol_0": 9}),
    (Status.PPM_OUT_OF_RANGE, {"fields": InstrumentField.PRICE_BAND, "price_band_ppm": 1_000_001}),
    (Status.FEE_ACCOUNT_NOT_FOUND, {"fields": InstrumentField.MAKER_FEE, "maker_fee_ppm": 5}),
]


@pytest.mark.parametrize(("status", "changes"), UPDATES)
def test_an_update_changes_what_it_names(status: Status, changes: dict[str, Any]) -> None:
    bank = engine()
    list_it(bank)
    assert bank.update_instruments(terms(**changes), later(bank))["status"][0] == status
    reference = bank.get_instruments(np.zeros(1, dtype=ORDER_FILTER))["reference_price"][0]
    assert reference == (2_000 if changes.get("reference_price") == 2_000 else 1_000)


LINKS: list[tuple[Status, list[tuple[int, int]]]] = [
    (Status.CREATED, [(156, 1), (600, 2)]),
    (Status.CREATED, []),
    (Status.LEDGER_MUST_NOT_BE_ZERO, [(0, 1)]),
    (Status.LEDGER_GIVEN_TWICE, [(156, 1), (156, 3)]),
    (Status.ACCOUNT_NOT_FOUND, [(156, 99)]),
    (Status.ACCOUNT_HAS_DIFFERENT_LEDGER, [(156, 2)]),
    (Status.FLAGS_ARE_MUTUALLY_EXCLUSIVE, [(156, 4)]),
]


def trader(bank: Engine, links: list[tuple[int, int]], **changes: Any) -> Status:
    account = np.zeros(1, dtype=TRADING_ACCOUNT_COMMAND)
    account["id"], account["link_count"] = 7, len(links)
    for name, value in changes.items():
        account[name] = value
    rows = np.zeros(len(links), dtype=LINK_COMMAND)
    for row, (ledger, account_id) in zip(rows, links, strict=True):
        row["ledger"], row["account_id"] = ledger, account_id
    return Status(bank.create_trading_accounts(account, rows, later(bank))["status"][0])


@pytest.mark.parametrize(("status", "links"), LINKS)
def test_a_trading_account_is_created_or_told_why_not(status: Status, links: list[tuple[int, int]]) -> None:
    bank = engine()
    assert trader(bank, links) == status
    assert len(bank.array("trading_accounts")) == (status == Status.CREATED)


def test_a_trading_account_without_an_id_is_refused() -> None:
    assert trader(engine(), [], id=0) == Status.ID_MUST_NOT_BE_ZERO


def test_a_repeated_trading_account_is_told_what_differs() -> None:
    bank = engine()
    assert trader(bank, [(600, 2), (156, 1)], owner_0=1, desk_2=2) == Status.CREATED
    assert trader(bank, [(156, 1), (600, 2)], owner_0=1, desk_2=2) == Status.EXISTS
    assert trader(bank, [(156, 1), (600, 2)], owner_0=3, desk_2=2) == Status.EXISTS_WITH_DIFFERENT_OWNER
    assert trader(bank, [(156, 1), (600, 2)], owner_0=1) == Status.EXISTS_WITH_DIFFERENT_DESK
    assert trader(bank, [(156, 3), (600, 2)], owner_0=1, desk_2=2) == Status.EXISTS_WITH_DIFFERENT_ACCOUNTS
    assert trader(bank, [(156, 1)], owner_0=1, desk_2=2) == Status.EXISTS_WITH_DIFFERENT_ACCOUNTS


def test_ten_thousand_idle_instruments_cost_little() -> None:
    bank = Engine()
    many = np.repeat(terms(), 10_000)
    many["symbol_0"] = np.arange(1, 10_001)
    assert not bank.create_instruments(many, later(bank))["status"].any()
    assert len(bank.array("instruments")) == 10_000
    assert bank.array("instruments").nbytes < 4_000_000
    assert len(bank.array("nodes")) == len(bank.array("levels")) == 0
