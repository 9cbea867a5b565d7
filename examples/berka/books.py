"""The bank's books: which ledger account stands against a customer's, and every row as an imported transfer.

A customer's account is a liability of the bank: what the customer has is its credits less its debits. Money that
comes in debits the contra account and credits the customer; money that goes out the other way round.
"""

import uuid
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import IntEnum
from typing import Final

import numpy as np

from engine._core import records
from engine.results import AccountFlag, TransferFlag
from examples.berka.data import DataError, Opening, Row
from server.client.values import Records

LEDGER: Final = 203
"""CZK in ISO 4217, minor unit haléř."""

NAMESPACE: Final = uuid.UUID("0d5a2f70-53a3-5c0c-8f0a-1e3a8a2f6b11")
"""Namespace of the transfers' ids: UUIDv5 over the bank's own transaction number."""

CUSTOMER_CODE: Final = 2010


class Contra(IntEnum):
    """The bank's own accounts, by id. The customers' ids are the data set's, 1 to 11,382."""

    CASH = 900_001
    OTHER_BANKS = 900_002
    INTEREST_PAID = 900_003
    FEES = 900_004
    PENALTY_INTEREST = 900_005
    LOANS = 900_006


_CONTRA_CODE = {
    Contra.CASH: 1010,
    Contra.OTHER_BANKS: 1110,
    Contra.LOANS: 1310,
    Contra.INTEREST_PAID: 5010,
    Contra.FEES: 4010,
    Contra.PENALTY_INTEREST: 4020,
}


@dataclass(frozen=True, slots=True)
class Kind:
    """What kind of transfer a row is."""

    code: int
    contra: Contra
    name: str


_KINDS = {
    ("VKLAD", ""): Kind(1, Contra.CASH, "cash deposit"),
    ("VYBER", ""): Kind(2, Contra.CASH, "cash withdrawal"),
    ("VYBER KARTOU", ""): Kind(3, Contra.CASH, "card withdrawal"),
    ("PREVOD Z UCTU", ""): Kind(4, Contra.OTHER_BANKS, "transfer in"),
    ("PREVOD NA UCET", ""): Kind(5, Contra.OTHER_BANKS, "transfer out"),
    ("", "UROK"): Kind(6, Contra.INTEREST_PAID, "interest"),
    ("VYBER", "SLUZBY"): Kind(7, Contra.FEES, "statement fee"),
    ("VYBER", "SANKC. UROK"): Kind(8, Contra.PENALTY_INTEREST, "penalty interest"),
    ("PREVOD NA UCET", "UVER"): Kind(9, Contra.LOANS, "loan payment"),
}


def kind_of(row: Row) -> Kind:
    """Say what a row is. A symbol that only names the purpose of a payment (SIPO, DUCHOD, …) makes no difference."""
    kind = _KINDS.get((row.operation, row.symbol)) or _KINDS.get((row.operation, ""))
    if kind is None:
        raise DataError(f"transaction {row.id}: operation {row.operation!r} with symbol {row.symbol!r} is unknown")
    return kind


def _nanoseconds(day: date, hour: int) -> int:
    return int(datetime(day.year, day.month, day.day, hour, tzinfo=UTC).timestamp()) * 10**9


def account_array(openings: list[Opening], first_day: date) -> Records:
    """Make the accounts as imported ones, in order of time: contra accounts at the start, customers as they opened.

    Customers keep the history of their balances. Timestamps rise by a nanosecond within a day, from midnight on;
    transfers take the nanoseconds from noon on, so no account shares one with a transfer.
    """
    array = np.zeros(len(Contra) + len(openings), records.ACCOUNT_COMMAND)
    array["ledger"] = LEDGER
    start = min([first_day, *(opening.opened for opening in openings)])
    rows: list[tuple[int, int, int, int]] = [
        (contra, _CONTRA_CODE[contra], int(AccountFlag.IMPORTED), _nanoseconds(start, 0) - len(Contra) + place)
        for place, contra in enumerate(Contra)
    ]
    flags = int(AccountFlag.IMPORTED | AccountFlag.HISTORY)
    rows += [
        (opening.id, CUSTOMER_CODE, flags, _nanoseconds(opening.opened, 0) + place)
        for place, opening in enumerate(openings)
    ]
    for name, column in zip(("id", "code", "flags", "timestamp"), zip(*rows, strict=True), strict=True):
        array[name] = column
    return array


def transfer_array(rows: list[Row]) -> Records:
    """Make rows in booking order as imported transfers; each carries the bank's number in user_data_64."""
    array = np.zeros(len(rows), records.TRANSFER_COMMAND)
    array["ledger"] = LEDGER
    array["flags"] = int(TransferFlag.IMPORTED)
    for place, row in enumerate(rows):
        kind = kind_of(row)
        id_ = uuid.uuid5(NAMESPACE, str(row.id)).int
        item = array[place]
        item["id_lo"], item["id_hi"] = id_ & (2**64 - 1), id_ >> 64
        incoming = row.amount >= 0
        item["debit_account_id"] = kind.contra if incoming else row.account
        item["credit_account_id"] = row.account if incoming else kind.contra
        item["amount"] = abs(row.amount)
        item["code"] = kind.code
        item["user_data_64"] = row.id
        item["timestamp"] = _nanoseconds(row.day, 12) + place
    return array
