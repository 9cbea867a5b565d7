"""Payment rails over HTTP."""

from datetime import date, datetime
from typing import Any, Literal

from pydantic import Field

from backoffice.api.models import Amount, In, Out
from backoffice.payments.iso20022.values import Bank, Party

Kind = Literal["card", "wallet", "qr", "interbank"]


class RailOut(Out):
    name: str
    kind: Kind
    url: str
    active: bool
    paused: bool = Field(description="Nothing is sent for now; what is ordered waits.")
    limit: Amount = Field(description="The most that one payment may be.")
    settlement_account: int = Field(description="The engine's account on which its payments in CNY stand.")
    give_up_minutes: int
    version: int


class RailListedOut(RailOut):
    waiting: int = Field(description="Orders without a final answer.")
    given_up: int = Field(description="Orders that a person must look at.")


class RailsOut(Out):
    items: list[RailListedOut]


class RailChangeIn(In):
    url: str | None = Field(None, max_length=200, examples=["https://rail.example:8443"])
    active: bool | None = None
    paused: bool | None = None
    limit: Amount | None = None
    give_up_minutes: int | None = Field(None, ge=1, le=43_200)


class RailTestOut(Out):
    reachable: bool
    signature_taken: bool
    milliseconds: int
    problem: str


class OutsidePartyIn(In):
    name: str = Field(min_length=1, max_length=140)
    account: str = Field(min_length=1, max_length=34)
    bic: str = Field("", max_length=11)
    member: str = Field("", max_length=14)
    bank: str = Field("", max_length=140)

    def party(self) -> Party:
        """Give it as payments keep it."""
        return Party(self.name, account=self.account, bank=Bank(bic=self.bic, member=self.member, name=self.bank))


class RailPaymentIn(In):
    direction: Literal["pay", "collect"] = Field(description="Pay from the account, or collect for it from outside.")
    account: str = Field(min_length=12, max_length=19, pattern="^[0-9]+$", examples=["9901560000000000012"])
    amount: Amount
    instrument: str = Field(
        "", max_length=140, description="A card's token, a wallet's name, or the code that was scanned."
    )
    outside: OutsidePartyIn | None = Field(None, description="The payee of an interbank transfer.")
    channel: Literal["counter", "online", "mobile", "api"] = "online"
    purpose: str = Field("", max_length=140)
    reference: str = Field("", max_length=64, description="The asker's own; the same one again is the same payment.")


class CodeIn(In):
    mode: Literal["merchant_presented", "customer_presented"]
    account: str = Field(min_length=12, max_length=19, pattern="^[0-9]+$", examples=["9901560000000000012"])
    amount: Amount | None = Field(None, description="For this amount and no other.")
    most: Amount | None = Field(None, description="The most that may be paid with it.")


class CodeOut(Out):
    code: str = Field(description="Shown once.")
    mode: str
    expires_at: datetime


class RailOrderOut(Out):
    reference: str
    payment: str
    operation: str
    state: Literal["waiting", "pending", "done", "declined", "given_up"]
    attempts: int
    next_at: datetime
    give_up_at: datetime
    last_error: str
    made_at: datetime
    answered_at: datetime | None


class RailOrdersOut(Out):
    items: list[RailOrderOut]
    next: str | None


class RailEventOut(Out):
    event_id: str
    kind: str
    payment: str
    source: str
    state: str
    reason: str
    told_at: datetime
    applied_at: datetime | None


class RailEventsOut(Out):
    items: list[RailEventOut]
    next: str | None


class DayIn(In):
    day: date


class ReportOut(Out):
    rail: str
    day: date
    rows: int
    new_file: bool
    matched: int
    found: int
    gone: int
    differences: int = Field(description="Open on the work list now.")


class DifferenceOut(Out):
    difference_id: int
    day: date
    kind: str
    amount: Amount | None = Field(description="Rail less ledger; null when two currencies met.")
    items: dict[str, Any]
    proposal: dict[str, Any]
    state: Literal["open", "asked", "correcting", "corrected", "accepted", "gone"]
    case_id: int | None
    approval_id: int | None
    found_at: datetime
    closed_at: datetime | None


class DifferencesOut(Out):
    items: list[DifferenceOut]
    next: str | None


class CorrectionIn(In):
    action: Literal["correct", "accept"]
    reason: str = Field(min_length=1, max_length=500)


class SettlementOut(Out):
    day: date
    net: Amount = Field(description="Above zero: the rail pays us. Fees not taken off.")
    fees: Amount
    state: Literal["asked", "planned", "posted", "refused", "rejected"]
    approval_id: int
    made_at: datetime
    settled_at: datetime | None


class SettlementsOut(Out):
    items: list[SettlementOut]
