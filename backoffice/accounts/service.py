"""Opening, finding, stopping and closing accounts. Balances are the engine's and are asked for when they are shown."""

from collections.abc import Mapping
from datetime import date
from typing import Any, Final

from sqlalchemy import insert, select, update

from backoffice import audit, businessday
from backoffice.accounts.numbers import number_of
from backoffice.accounts.tables import accounts
from backoffice.context import Context
from backoffice.database import rows_of
from backoffice.ledger import chart, open_account
from backoffice.money import LEDGERS
from backoffice.problems import Code, Problem, invalid

CODES: Final = {
    "demand": 2011,
    "term": 2011,
    "notice": 2011,
    "card": 2011,
    "wealth": 2314,
    "fund": 2314,
    "loan": 1303,
}
"""Line of the chart on which accounts of a kind stand."""
SERIAL_BASE: Final = 10**12
"""Where the sequence of customers' accounts begins."""

MOVES: Final = {
    "dormant": {"open"},
    "stopped": {"open", "dormant"},
    "frozen": {"open", "dormant", "stopped"},
    "open": {"dormant", "stopped", "frozen"},
}
"""State: those from which it may be set; closing is `close`."""


async def open_(
    context: Context,
    *,
    customer_id: int,
    kind: str,
    product_id: str,
    product_version: int,
    currency: str,
    branch: str,
    terms: Mapping[str, Any] | None = None,
    matures_on: date | None = None,
) -> dict[str, Any]:
    """Open an account in the transaction at hand; the engine's account is planned with it. Return its row.

    The caller has made sure that the customer may have one and that the version of the product is on sale.
    """
    if currency not in LEDGERS:
        raise invalid("currency", f"{currency!r} is none of {', '.join(LEDGERS)}")
    today = await businessday.today(context)
    flags = chart.CUSTOMER_LOAN if kind == "loan" else chart.CUSTOMER_DEPOSIT
    account_id = await open_account(context, f"customer:{customer_id}", CODES[kind], LEDGERS[currency], flags)
    values = {
        "account_id": account_id, "number": number_of(account_id - SERIAL_BASE), "customer_id": customer_id,
        "kind": kind, "product_id": product_id, "product_version": product_version, "currency": currency,
        "branch": branch, "terms": dict(terms or {}), "opened_on": today, "matures_on": matures_on,
        "active_on": today, "made_at": context.clock(),
    }  # fmt: skip
    row = rows_of(await context.connection.execute(insert(accounts).values(**values).returning(accounts)))[0]
    detail = {"number": row["number"], "product": f"{product_id}/{product_version}"}
    await audit.record(context, "accounts.open", f"account:{account_id}", detail | {"customer": customer_id})
    return row


async def get(context: Context, number: str, *, lock: bool = False) -> dict[str, Any]:
    """One account by its number; Problem when there is none. `lock`: nobody changes it until the commit."""
    query = select(accounts).where(accounts.c.number == number)
    found = rows_of(await context.connection.execute(query.with_for_update(key_share=True) if lock else query))
    if not found:
        raise Problem(Code.NOT_FOUND, f"there is no account {number}")
    return found[0]


async def by_id(context: Context, account_id: int, *, lock: bool = False) -> dict[str, Any]:
    """One account by the engine's number; Problem when there is none."""
    query = select(accounts).where(accounts.c.account_id == account_id)
    found = rows_of(await context.connection.execute(query.with_for_update(key_share=True) if lock else query))
    if not found:
        raise Problem(Code.NOT_FOUND, f"there is no account {account_id}")
    return found[0]


async def of_customer(context: Context, customer_id: int) -> list[dict[str, Any]]:
    """All accounts of a customer, oldest first."""
    query = select(accounts).where(accounts.c.customer_id == customer_id).order_by(accounts.c.account_id)
    return rows_of(await context.connection.execute(query))


def can_pay(account: Mapping[str, Any]) -> None:
    """Raise Problem unless money may be taken from the account."""
    if account["status"] not in {"open", "dormant"}:
        raise Problem(Code.STATE, f"account {account['number']} is {account['status']}", more=_state(account))


def can_receive(account: Mapping[str, Any]) -> None:
    """Raise Problem unless money may be put into the account; a stopped one still takes."""
    if account["status"] not in {"open", "dormant", "stopped"}:
        raise Problem(Code.STATE, f"account {account['number']} is {account['status']}", more=_state(account))


async def used_by_customer(context: Context, account: Mapping[str, Any]) -> None:
    """Note the customer's own business on an account: it is not dormant any more."""
    today = await businessday.today(context)
    if account["active_on"] == today and account["status"] != "dormant":
        return
    values: dict[str, Any] = {"active_on": today}
    if account["status"] == "dormant":
        values |= {"status": "open", "version": accounts.c.version + 1}
        await audit.record(context, "accounts.awake", f"account:{account['account_id']}", {})
    await context.connection.execute(
        update(accounts).where(accounts.c.account_id == account["account_id"]).values(**values)
    )


async def set_status(context: Context, number: str, status: str, reason: str, version: int | None) -> dict[str, Any]:
    """Stop, freeze, release or lay to rest; `version` is the one that was read, None: whatever it is."""
    row = await get(context, number, lock=True)
    if version is not None and row["version"] != version:
        raise Problem(Code.CHANGED, f"account {number} is at version {row['version']}")
    if row["status"] not in MOVES.get(status, ()):
        raise Problem(Code.STATE, f"account {number} is {row['status']}", more=_state(row))
    return await _change(context, row, {"status": status}, f"accounts.{status}", {"reason": reason})


async def close(context: Context, number: str) -> dict[str, Any]:
    """Close an account. The caller has seen in the engine that nothing is on it and nothing is pending."""
    row = await get(context, number, lock=True)
    if row["status"] not in {"open", "dormant"}:
        raise Problem(Code.STATE, f"account {number} is {row['status']}", more=_state(row))
    today = await businessday.today(context)
    return await _change(context, row, {"status": "closed", "closed_on": today}, "accounts.close", {})


def _state(row: Mapping[str, Any]) -> dict[str, Any]:
    return {"state": row["status"]}


async def _change(
    context: Context, row: Mapping[str, Any], values: Mapping[str, Any], action: str, detail: dict[str, Any]
) -> dict[str, Any]:
    at = accounts.c.account_id == row["account_id"]
    change = update(accounts).where(at).values(**values, version=accounts.c.version + 1).returning(accounts)
    changed = rows_of(await context.connection.execute(change))[0]
    await audit.record(context, action, f"account:{row['account_id']}", {"from": row["status"]} | detail)
    return changed
