"""Balances of accounts as people read them, from the engine's four sums."""

from collections.abc import Mapping, Sequence
from typing import Any

from backoffice.ledger import Gateway
from backoffice.problems import Code, Problem
from server.client import AccountView, ClientError


def read(kind: str, view: AccountView | None) -> tuple[int, int, int]:
    """Give (balance, available, held) in minor units; zeros for an account that the engine does not have yet.

    Deposits stand on the credit side and are held by pending debits; loans stand on the debit side.
    """
    if view is None:
        return 0, 0, 0
    if kind == "loan":
        owed = view.debits_posted - view.credits_posted
        return owed, owed - view.credits_pending, view.credits_pending
    balance = view.credits_posted - view.debits_posted
    return balance, balance - view.debits_pending, view.debits_pending


async def of(gateway: Gateway, rows: Sequence[Mapping[str, Any]]) -> dict[int, tuple[int, int, int]]:
    """Look the balances of accounts up. Problem when the engine does not answer."""
    try:
        views = await gateway.balances([row["account_id"] for row in rows])
    except ClientError as error:
        raise Problem(Code.LEDGER_AWAY, type(error).__name__) from None
    return {row["account_id"]: read(row["kind"], views.get(row["account_id"])) for row in rows}
