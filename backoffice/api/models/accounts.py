"""Customers' accounts over HTTP."""

from datetime import date
from typing import Any, Literal

from pydantic import Field

from backoffice.api.models import Amount, In, Out


class AccountIn(In):
    product_id: str = Field(min_length=1, max_length=32, examples=["DEMAND-CNY"])
    branch: str | None = Field(None, min_length=1, max_length=16, description="Else the customer's.")


class AccountStatusIn(In):
    status: Literal["open", "stopped", "frozen"]
    reason: str = Field(min_length=1, max_length=500)


class AccountOut(Out):
    number: str
    customer_id: int
    kind: str
    product_id: str
    product_version: int
    currency: str
    branch: str
    status: Literal["open", "dormant", "stopped", "frozen", "closed"]
    terms: dict[str, Any]
    opened_on: date
    matures_on: date | None
    closed_on: date | None
    active_on: date
    version: int


class BalanceOut(Out):
    balance: Amount = Field(description="What stands on the account: credits less debits (loans: debits less credits).")
    available: Amount = Field(description="What may be taken: the balance less what is held.")
    held: Amount


class AccountBalanceOut(AccountOut, BalanceOut):
    pass


class AccountsOut(Out):
    items: list[AccountBalanceOut]
