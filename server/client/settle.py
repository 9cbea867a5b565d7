"""Linked chains that were sent twice.

A chain is one event: when a copy of a chain meets itself in the ledger, its first member is `exists`, which breaks the
copy, so that the other members are `linked_event_failed`. Whether the chain as asked is in the ledger then takes a
look at the others. The two functions do that without input or output of their own: each yields ids to look up, is
sent what was found, and corrects the results in place.
"""

from collections.abc import Generator, Sequence
from typing import Any, cast

import numpy as np

from engine.results import AMOUNT_ALL, AccountFlag, Status, TransferFlag
from server.client import codec
from server.client.calls import flag_column
from server.client.values import Account, AccountView, Records, Result, Transfer, TransferView

LOOKUP_MAX = 1000
"""Ids in one look-up."""

_RESOLVING = TransferFlag.POST_PENDING_TRANSFER | TransferFlag.VOID_PENDING_TRANSFER
_BALANCING = TransferFlag.BALANCING_DEBIT | TransferFlag.BALANCING_CREDIT

Answers = list[Result] | Records


def accounts(
    items: Sequence[Account] | Records, results: Answers
) -> Generator[list[int], list[AccountView | None], None]:
    """Correct the results of accounts that were sent twice; see the head of the module."""
    for chain in _broken_chains(items, results, int(AccountFlag.LINKED)):
        asked = _items(items, chain, codec.account_rows, Account)
        views: list[AccountView | None] = []
        for first in range(0, len(asked), LOOKUP_MAX):
            views += yield [account.id for account in asked[first : first + LOOKUP_MAX]]
        if all(_same_account(account, view) for account, view in zip(asked, views, strict=True)):
            _set_exists(results, chain, [view.timestamp for view in views if view is not None])


def transfers(
    items: Sequence[Transfer] | Records, results: Answers
) -> Generator[list[int], list[TransferView | None], None]:
    """Correct the results of transfers that were sent twice; see the head of the module."""
    for chain in _broken_chains(items, results, int(TransferFlag.LINKED)):
        asked = _items(items, chain, codec.transfer_rows, Transfer)
        views: list[TransferView | None] = []
        for first in range(0, len(asked), LOOKUP_MAX):
            views += yield [transfer.id for transfer in asked[first : first + LOOKUP_MAX]]
        if all(_same_transfer(transfer, view) for transfer, view in zip(asked, views, strict=True)):
            _set_exists(results, chain, [view.timestamp for view in views if view is not None])


def _items(items: Any, chain: slice, rows: Any, kind: Any) -> list[Any]:
    if not isinstance(items, np.ndarray):
        return list(items[chain])
    flag_type = TransferFlag if kind is Transfer else AccountFlag
    position = kind._fields.index("flags")
    return [kind._make((*row[:position], flag_type(row[position]), *row[position + 1 :])) for row in rows(items[chain])]


def _broken_chains(items: Any, results: Answers, linked: int) -> list[slice]:
    flags = flag_column(items)
    if isinstance(results, np.ndarray):
        statuses = cast("list[int]", results["status"].tolist())
    else:
        statuses = [result.status for result in results]
    found = []
    first = 0
    while first < len(flags):
        end = first
        while end < len(flags) - 1 and flags[end] & linked:
            end += 1
        end += 1
        rest = statuses[first + 1 : end]
        if rest and statuses[first] == Status.EXISTS and all(s == Status.LINKED_EVENT_FAILED for s in rest):
            found.append(slice(first, end))
        first = end
    return found


def _set_exists(results: Answers, chain: slice, timestamps: list[int]) -> None:
    for place, timestamp in zip(range(chain.start, chain.stop), timestamps, strict=True):
        if isinstance(results, np.ndarray):
            results[place] = (timestamp, int(Status.EXISTS), 0)
        else:
            results[place] = Result(Status.EXISTS, timestamp)


def _same_account(asked: Account, view: AccountView | None) -> bool:
    """Whether it is the account that was asked for; flags and limit may have changed since."""
    return view is not None and (
        (view.ledger, view.code, view.user_data_128, view.user_data_64, view.user_data_32)
        == (asked.ledger, asked.code, asked.user_data_128, asked.user_data_64, asked.user_data_32)
    )  # fmt: skip


def _same_transfer(asked: Transfer, view: TransferView | None) -> bool:
    """Whether it is the transfer that was asked for, by the rules of `exists`."""
    if view is None or view.flags != asked.flags or view.timeout != asked.timeout:
        return False
    if (view.pending_id.int if view.pending_id else 0) != asked.pending_id:
        return False
    resolving = asked.flags & _RESOLVING
    pairs = (
        (asked.debit_account_id, view.debit_account_id),
        (asked.credit_account_id, view.credit_account_id),
        (asked.user_data_128, view.user_data_128),
        (asked.user_data_64, view.user_data_64),
        (asked.user_data_32, view.user_data_32),
        (asked.ledger, view.ledger),
        (asked.code, view.code),
    )
    if any(mine != theirs and not (resolving and mine == 0) for mine, theirs in pairs):
        return False
    if resolving:
        all_of_it = asked.amount == AMOUNT_ALL or (
            asked.amount == 0 and asked.flags & TransferFlag.VOID_PENDING_TRANSFER
        )
        return bool(all_of_it) or asked.amount == view.amount
    if asked.flags & _BALANCING:
        return asked.amount >= view.amount
    return asked.amount == view.amount
