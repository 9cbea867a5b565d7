"""Codes that our customers show: a payee's to be paid with, a payer's to be collected from. Once, and not for long.

A code is 18 digits as wallets show them: a prefix, and 52 random bits that are kept as a hash. It is used up in the
commit of what it pays for; the same payment told again finds it used by itself and is let through.
"""

import secrets
from datetime import timedelta
from hashlib import sha256
from typing import Any, Final, Literal

from sqlalchemy import insert, select, update

from backoffice import audit
from backoffice.accounts import service as accounts
from backoffice.context import Context
from backoffice.database import rows_of
from backoffice.money import Money
from backoffice.problems import invalid
from backoffice.rails import service
from backoffice.rails.tables import rail_codes

Mode = Literal["merchant_presented", "customer_presented"]
PREFIX: Final = "99"
DIGITS: Final = 16
LIVES: Final = {"merchant_presented": timedelta(minutes=10), "customer_presented": timedelta(minutes=1)}
"""A payer's code is good for a minute, as wallets renew theirs; a payee's waits until somebody has typed."""


def _hash(code: str) -> bytes:
    return sha256(f"rail code {code}".encode()).digest()


async def issue(
    context: Context, mode: Mode, number: str, amount: Money | None, most: Money | None = None
) -> dict[str, Any]:
    """Make a code for an account; it is shown once and not kept. `amount`: for this and no other."""
    account = await accounts.get(context, number)
    (accounts.can_receive if mode == "merchant_presented" else accounts.can_pay)(account)
    rail = await service.get(context, "qr")
    for field, money in (("amount", amount), ("most", most)):
        if money is None:
            continue
        if money.currency != account["currency"]:
            raise invalid(field, f"the account is kept in {account['currency']}")
        if not 0 < money.minor <= rail["amount_minor_max"]:
            raise invalid(field, f"is not from 1 to {rail['amount_minor_max']} minor units")
    code = PREFIX + "".join(secrets.choice("0123456789") for _ in range(DIGITS))
    now = context.clock()
    values = {
        "code_hash": _hash(code), "mode": mode, "account_id": account["account_id"], "currency": account["currency"],
        "amount_minor": amount.minor if amount else None,
        "amount_minor_max": most.minor if most else rail["amount_minor_max"], "expires_at": now + LIVES[mode],
        "made_at": now,
    }  # fmt: skip
    await context.connection.execute(insert(rail_codes).values(**values))
    await audit.record(context, "rails.code", f"account:{account['account_id']}", {"mode": mode})
    return {"code": code, "mode": mode, "expires_at": values["expires_at"]}


async def use(context: Context, code: str, mode: Mode, money: Money, payment: str) -> tuple[int | None, str]:
    """Use a code up for a payment: the account, or why not. A code that is refused is not used up."""
    query = select(rail_codes).where(rail_codes.c.code_hash == _hash(code), rail_codes.c.mode == mode)
    found = rows_of(await context.connection.execute(query.with_for_update()))
    if not found:
        return None, "code_unknown"
    row = found[0]
    if row["used_by"] == payment:
        return row["account_id"], ""
    if row["used_by"] is not None:
        return None, "code_used"
    if row["expires_at"] < context.clock():
        return None, "code_expired"
    if money.currency != row["currency"] or money.minor > row["amount_minor_max"]:
        return None, "code_amount"
    if row["amount_minor"] not in {None, money.minor}:
        return None, "code_amount"
    at = rail_codes.c.code_hash == row["code_hash"]
    await context.connection.execute(update(rail_codes).where(at).values(used_by=payment))
    return row["account_id"], ""
