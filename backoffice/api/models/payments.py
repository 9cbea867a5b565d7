"""Payments over HTTP."""

from datetime import date, datetime
from typing import Any, Literal

from pydantic import Field

from backoffice.api.models import Amount, In, Out

Channel = Literal["counter", "online", "mobile", "api"]
Number = Field(min_length=1, max_length=34, pattern=r"^[0-9A-Z]+$", examples=["9901560000000000012"])
Reference = Field("", max_length=64, description="The asker's own; the same one again is the same payment.")
Purpose = Field("", max_length=140)


class BankIn(In):
    bic: str = Field("", max_length=11)
    member: str = Field("", max_length=14, description="联行号: member number of the clearing system.")
    name: str = Field("", max_length=140)


class OutsideIn(In):
    name: str = Field(min_length=1, max_length=140)
    account: str = Number
    bank: BankIn


class CashIn(In):
    account: str = Number
    amount: Amount
    purpose: str = Purpose
    reference: str = Reference


class TransferIn(In):
    from_account: str = Number
    to_account: str | None = Field(None, max_length=34, description="An account of this house …")
    outside: OutsideIn | None = Field(None, description="… or a party at another bank, over `rail`.")
    rail: str = Field("", max_length=32)
    amount: Amount
    channel: Channel = "counter"
    purpose: str = Purpose
    reference: str = Reference


class ReversalIn(In):
    reason: str = Field(min_length=1, max_length=500)


class RefundIn(In):
    amount: Amount
    reason: str = Field(min_length=1, max_length=500)


class OutsideOut(Out):
    name: str
    account: str
    bank: str


class PaymentOut(Out):
    number: str
    kind: str
    operation: str
    channel: str
    state: Literal[
        "created",
        "authorised",
        "declined",
        "captured",
        "voided",
        "expired",
        "partly_refunded",
        "refunded",
        "reversed",
    ]
    amount: Amount
    authorised: Amount
    captured: Amount
    refunded: Amount
    fee: Amount
    from_account: str | None
    to_account: str | None
    outside: OutsideOut | None
    customer_id: int | None
    purpose: str
    reference: str
    rail: str
    rail_reference: str
    business_date: date
    value_date: date
    reason: str
    reason_text: str = Field(description="The reason in words, in the caller's language.")
    detail: dict[str, Any]
    approval_id: int | None = Field(description="Of the second person's decision, if one is needed.")
    settled: bool = Field(description="Nothing of it is on its way to the ledger.")
    branch: str
    version: int
    made_at: datetime
    changed_at: datetime


class PaymentsOut(Out):
    items: list[PaymentOut]
    next: str | None


class PaymentEventOut(Out):
    event_id: str
    kind: str
    amount: Amount | None
    outcome: Literal["waiting", "planned", "applied", "refused"]
    reason: str
    source: str
    at: datetime
    settled_at: datetime | None


class PostingOut(Out):
    id: str
    debit_account: str
    credit_account: str
    amount: Amount | None = Field(description="Null: all that was held.")
    code: int
    pending_id: str | None
    status: str | None


class PaymentDetailOut(PaymentOut):
    events: list[PaymentEventOut]
    postings: list[PostingOut]


class LineOut(Out):
    at: datetime
    amount: Amount = Field(description="Above zero: credit.")
    balance: Amount
    code: int
    payment: str | None
    purpose: str
    other: str
    transfer_id: str


class StatementOut(Out):
    account: str
    currency: str
    first_day: date
    last_day: date
    opening: Amount
    closing: Amount
    lines: list[LineOut]
