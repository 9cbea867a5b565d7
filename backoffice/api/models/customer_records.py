"""What belongs to a customer, over HTTP."""

from datetime import date, datetime
from typing import Any, Literal

from pydantic import Field

from backoffice.api.models import Amount, In, Out
from backoffice.api.models.customers import CustomerOut

REASON = Field(min_length=1, max_length=500, description="Why; kept in the audit log. No personal data.")


class DuplicateOut(CustomerOut):
    reasons: list[str] = Field(description="What both have the same of.")


class CustomersOut(Out):
    items: list[CustomerOut]


class DuplicatesOut(Out):
    items: list[DuplicateOut]


class LookupIn(In):
    certificate_kind: str = Field("", max_length=30)
    certificate_number: str = Field("", max_length=40)
    certificate_country: str = Field("CHN", max_length=3)
    phone: str = Field("", max_length=30)
    email: str = Field("", max_length=254)


class MergeIn(In):
    into: int = Field(ge=1, lt=2**63)
    reason: str = REASON


class OwnerIn(In):
    name: str = Field(min_length=1, max_length=100)
    basis: Literal["share", "control", "senior_manager"] = "share"
    share_ppm: int = Field(0, ge=0, le=1_000_000, description="Share or votes in millionths.")
    certificate_kind: str = Field("", max_length=30)
    certificate_number: str = Field("", max_length=40)
    owner_id: int | None = Field(None, ge=1, lt=2**63)


class OwnersIn(In):
    owners: list[OwnerIn] = Field(max_length=50)


class OwnerOut(Out):
    owner_row: int
    owner_id: int | None
    basis: str
    share_ppm: int
    beneficial: bool
    name: str
    certificate_number: str


class OwnersOut(Out):
    items: list[OwnerOut]


class RelationIn(In):
    other_id: int = Field(ge=1, lt=2**63)
    kind: str = Field(min_length=1, max_length=20)


class RelationOut(Out):
    relation_id: int
    customer_id: int
    other_id: int
    kind: str
    made_at: datetime


class RelatedOut(Out):
    relation_id: int
    other_id: int
    kind: str
    name: str


class RelationsOut(Out):
    items: list[RelatedOut]


class NoteIn(In):
    text: str = Field(min_length=1, max_length=4000)


class NoteMadeOut(Out):
    note_id: int
    user_name: str
    at: datetime


class NoteOut(NoteMadeOut):
    text: str


class NotesOut(Out):
    items: list[NoteOut]
    next: str | None


class DocumentOut(Out):
    document_id: int
    customer_id: int
    kind: str
    media_type: str
    bytes: int
    expires_on: date | None
    user_name: str
    at: datetime


class DocumentsOut(Out):
    items: list[DocumentOut]


class HeldOut(Out):
    account_id: int
    number: str
    kind: str
    product_id: str
    product_version: int
    currency: str
    branch: str
    status: str
    holding: bool
    opened_on: date
    matures_on: date | None
    balance: Amount | None = Field(description="What is owed, for a loan. Null when the ledger does not answer.")
    available: Amount | None


class CaseOut(Out):
    case_id: int
    kind: str
    state: str
    summary: str
    decision: str
    due_on: date | None
    made_at: datetime


class ToldOut(Out):
    notice_id: int
    kind: str
    detail: dict[str, Any]
    made_at: datetime


class RatingOut(Out):
    risk_level: int | None
    risk_until: date | None
    grade: str


class OverviewOut(Out):
    customer: CustomerOut
    accounts: list[HeldOut]
    ledger_answers: bool
    cases_open: int
    cases: list[CaseOut]
    notices: list[ToldOut]
    rating: RatingOut
    documents: list[DocumentOut]
    owners: list[OwnerOut]
    relations: list[RelatedOut]
    merged_from: list[int]


class ChangeOut(Out):
    change_id: int
    version: int
    at: datetime
    user_id: int | None
    action: str
    reason: str


class ChangesOut(Out):
    items: list[ChangeOut]
    next: str | None


class VersionOut(Out):
    version: int
    fields: dict[str, Any] = Field(description="In clear, as it was before the change of this version.")
