"""Commands and answers as plain tuples, and their way into and out of the engine's record arrays.

A command holds 128-bit values as one Python integer; the records of the engine hold two 64-bit halves. This file
is the only place in the tests that knows that.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from engine._core import records

LOW = 2**64 - 1


class Account(NamedTuple):
    """One item of create_accounts."""

    id: int
    ledger: int = 1
    code: int = 1
    flags: int = 0
    overdraft_limit: int = 0
    user_data_128: int = 0
    user_data_64: int = 0
    user_data_32: int = 0
    timestamp: int = 0


class Transfer(NamedTuple):
    """One item of create_transfers."""

    id: int
    debit_account_id: int = 0
    credit_account_id: int = 0
    amount: int = 0
    ledger: int = 0
    code: int = 0
    flags: int = 0
    pending_id: int = 0
    timeout: int = 0
    user_data_128: int = 0
    user_data_64: int = 0
    user_data_32: int = 0
    timestamp: int = 0


class Update(NamedTuple):
    """One item of update_accounts; None leaves a member as it is."""

    id: int
    overdraft_limit: int | None = None
    frozen: bool | None = None


class Filter(NamedTuple):
    """The one item of get_account_* and query_*; None and 0 are no condition."""

    account_id: int = 0
    timestamp_min: int = 0
    timestamp_max: int = 0
    user_data_128: int | None = None
    user_data_64: int | None = None
    user_data_32: int | None = None
    ledger: int = 0
    limit: int = 8_190
    code: int = 0
    debits: bool = False
    credits: bool = False
    reversed: bool = False


class Result(NamedTuple):
    """What became of one item."""

    timestamp: int
    status: int


class AccountView(NamedTuple):
    """An account as reads show it."""

    id: int
    debits_pending: int
    debits_posted: int
    credits_pending: int
    credits_posted: int
    overdraft_limit: int
    user_data_128: int
    user_data_64: int
    timestamp: int
    user_data_32: int
    ledger: int
    code: int
    flags: int


class TransferView(NamedTuple):
    """A transfer as reads show it."""

    id: int
    debit_account_id: int
    credit_account_id: int
    amount: int
    pending_id: int
    user_data_128: int
    user_data_64: int
    timestamp: int
    user_data_32: int
    timeout: int
    ledger: int
    code: int
    flags: int
    state: int


class BalanceView(NamedTuple):
    """The balances of an account right after the transfer of that timestamp."""

    timestamp: int
    debits_pending: int
    debits_posted: int
    credits_pending: int
    credits_posted: int


# --- into records --------------------------------------------------------------------------------


def _records(rows: list[tuple[int, ...]], dtype: np.dtype[np.void]) -> np.ndarray[Any, np.dtype[np.void]]:
    return np.array(rows, dtype=dtype) if rows else np.zeros(0, dtype=dtype)


def account_array(accounts: Iterable[Account]) -> np.ndarray[Any, np.dtype[np.void]]:
    """Accounts as ACCOUNT_COMMAND records."""
    rows: list[tuple[int, ...]] = [
        (
            *(a.id, a.user_data_128 & LOW, a.user_data_128 >> 64, a.user_data_64, a.overdraft_limit, a.timestamp),
            *(a.user_data_32, a.ledger, a.code, a.flags, 0),
        )
        for a in accounts
    ]
    return _records(rows, records.ACCOUNT_COMMAND)


def transfer_array(transfers: Iterable[Transfer]) -> np.ndarray[Any, np.dtype[np.void]]:
    """Transfers as TRANSFER_COMMAND records."""
    rows: list[tuple[int, ...]] = [
        (
            *(t.id & LOW, t.id >> 64, t.debit_account_id, t.credit_account_id, t.amount),
            *(t.pending_id & LOW, t.pending_id >> 64, t.user_data_128 & LOW, t.user_data_128 >> 64, t.user_data_64),
            *(t.timestamp, t.user_data_32, t.timeout, t.ledger, t.code, t.flags),
        )
        for t in transfers
    ]
    return _records(rows, records.TRANSFER_COMMAND)


def update_array(updates: Iterable[Update]) -> np.ndarray[Any, np.dtype[np.void]]:
    """Updates as UPDATE_COMMAND records."""
    rows: list[tuple[int, ...]] = [
        (
            u.id,
            u.overdraft_limit or 0,
            (u.overdraft_limit is not None) + 2 * (u.frozen is not None),
            int(bool(u.frozen)),
        )
        for u in updates
    ]
    return _records(rows, records.UPDATE_COMMAND)


def range_array(ranges: Iterable[tuple[int, int]]) -> np.ndarray[Any, np.dtype[np.void]]:
    """Ranges (first, last) of account ids as SCOPE_RANGE records."""
    return _records(list(ranges), records.SCOPE_RANGE)


def filter_array(f: Filter) -> np.ndarray[Any, np.dtype[np.void]]:
    """One filter as an array of one FILTER record."""
    flags = f.debits * 1 + f.credits * 2 + f.reversed * 4
    flags |= (f.user_data_128 is not None) * 8 + (f.user_data_64 is not None) * 16 + (f.user_data_32 is not None) * 32
    user_data_128 = f.user_data_128 or 0
    row = (
        *(f.account_id, f.timestamp_min, f.timestamp_max, user_data_128 & LOW, user_data_128 >> 64),
        *(f.user_data_64 or 0, f.user_data_32 or 0, f.ledger, f.limit, f.code, flags, 0),
    )
    return _records([row], records.FILTER)


def account_id_array(ids: Sequence[int]) -> np.ndarray[Any, np.dtype[np.uint64]]:
    """Account ids as lookup_accounts takes them."""
    return np.array(ids, dtype=np.uint64)


def transfer_id_array(ids: Sequence[int]) -> np.ndarray[Any, np.dtype[np.uint64]]:
    """Transfer ids as lookup_transfers takes them: shape (n, 2), low half first."""
    return np.array([(i & LOW, i >> 64) for i in ids], dtype=np.uint64).reshape(len(ids), 2)


# --- out of records ------------------------------------------------------------------------------


def results(array: np.ndarray[Any, np.dtype[np.void]]) -> list[Result]:
    """RESULT records as tuples."""
    return [Result(timestamp, status) for timestamp, status, _ in array.tolist()]


def account_views(array: np.ndarray[Any, np.dtype[np.void]]) -> list[AccountView | None]:
    """ACCOUNT_VIEW records as tuples; None where nothing was found."""
    return [
        AccountView._make((*row[:6], row[6] | row[7] << 64, *row[8:14])) if row[0] else None for row in array.tolist()
    ]


def transfer_views(array: np.ndarray[Any, np.dtype[np.void]]) -> list[TransferView | None]:
    """TRANSFER_VIEW records as tuples; None where nothing was found."""
    return [
        TransferView._make((row[0] | row[1] << 64, *row[2:5], row[5] | row[6] << 64, row[7] | row[8] << 64, *row[9:17]))
        if row[0] or row[1]
        else None
        for row in array.tolist()
    ]


def balance_views(array: np.ndarray[Any, np.dtype[np.void]]) -> list[BalanceView]:
    """BALANCE_VIEW records as tuples."""
    return [BalanceView._make(row) for row in array.tolist()]
