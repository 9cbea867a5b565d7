"""Reads the PKDD'99 Financial Data Set (Berka): accounts, and transactions in booking order.

Amounts become haléř (1/100 crown) by exact decimal conversion. Within one day the file does not keep the booking
order; `booking_order` finds it: the order in which each balance follows from the one before.
"""

import csv
import gzip
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final, NamedTuple

ROUNDING_MAX: Final = 10
"""Haléř by which a balance of the bank may miss the one before plus the amount: it rounds to 0.10 now and then."""

ACCOUNT_FILE: Final = "account.asc.gz"
TRANSACTION_FILE: Final = "trans_1993-01-01_1994-03-30.asc.gz"

_AMOUNT = re.compile(r"(-?)([0-9]+)(?:\.([0-9]{1,2}))?")


class DataError(Exception):
    """The data are not what they should be; the message names file and row."""


@dataclass(frozen=True, slots=True)
class Opening:
    """One customer account."""

    id: int
    opened: date


class Row(NamedTuple):
    """One transaction: `amount` signed (credits positive) and `balance` after it, in haléř."""

    id: int
    account: int
    day: date
    kind: str
    operation: str
    symbol: str
    amount: int
    balance: int


def find() -> Path | None:
    """Give the directory of the data: in TONGBAO_SHARED_DATA, or beside the repository; None when it is not there."""
    roots = [Path(__file__).resolve().parents[3] / "shared" / "data"]
    if os.environ.get("TONGBAO_SHARED_DATA"):
        roots.insert(0, Path(os.environ["TONGBAO_SHARED_DATA"]))
    for root in roots:
        if (root / "berka" / TRANSACTION_FILE).is_file():
            return root / "berka"
    return None


def haler(text: str) -> int:
    """Turn crowns with at most two decimals into haléř, exactly."""
    match = _AMOUNT.fullmatch(text)
    if match is None:
        raise DataError(f"{text!r} is not an amount")
    sign, whole, fraction = match.groups()
    value = int(whole) * 100 + int((fraction or "").ljust(2, "0"))
    return -value if sign else value


def _day(text: str) -> date:
    return date(1900 + int(text[:2]), int(text[2:4]), int(text[4:6]))


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    try:
        with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
            yield from enumerate(csv.DictReader(file, delimiter=";"), 2)
    except (OSError, csv.Error) as error:
        raise DataError(f"{path}: {error}") from None


def read_accounts(directory: Path) -> list[Opening]:
    """Read the accounts in the order of their opening."""
    openings = [Opening(int(row["account_id"]), _day(row["date"])) for _, row in _rows(directory / ACCOUNT_FILE)]
    return sorted(openings, key=lambda opening: (opening.opened, opening.id))


def read_transactions(directory: Path) -> list[Row]:
    """Read the transactions in the order of the file: by day."""
    result = []
    for line, row in _rows(directory / TRANSACTION_FILE):
        try:
            amount = haler(row["amount"])
            result.append(
                Row(
                    int(row["trans_id"]),
                    int(row["account_id"]),
                    _day(row["date"]),
                    row["type"],
                    row["operation"].strip(),
                    row["k_symbol"].strip(),
                    amount if row["type"] == "PRIJEM" else -amount,
                    haler(row["balance"]),
                )
            )
        except (ValueError, DataError) as error:
            raise DataError(f"{TRANSACTION_FILE}, line {line}: {error}") from None
    return result


def booking_order(rows: list[Row]) -> list[Row]:
    """Put the rows into an order in which every account's balances follow from one another, from zero.

    Days stay in order. DataError when there is no such order.
    """
    days: dict[date, dict[int, list[Row]]] = {}
    for row in rows:
        days.setdefault(row.day, {}).setdefault(row.account, []).append(row)
    balances: dict[int, int] = {}
    ordered: list[Row] = []
    for day in sorted(days):
        for account, group in days[day].items():
            chain = _chain(balances.get(account, 0), group)
            if chain is None:
                raise DataError(f"account {account}, {day}: its balances do not chain in any order")
            balances[account] = chain[-1].balance
            ordered += chain
    return ordered


def _chain(balance: int, rows: list[Row]) -> list[Row] | None:
    """Order the rows of one account and day. Exact steps are tried before rounded ones; rows in a day are few."""
    if not rows:
        return []
    steps = sorted((abs(balance + row.amount - row.balance), place) for place, row in enumerate(rows))
    for miss, place in steps:
        if miss > ROUNDING_MAX:
            break
        row = rows[place]
        rest = _chain(row.balance, rows[:place] + rows[place + 1 :])
        if rest is not None:
            return [row, *rest]
    return None
