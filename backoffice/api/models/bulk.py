"""Files of payments over HTTP."""

from datetime import date, datetime
from typing import Literal

from backoffice.api.models import Amount, Out


class FindingOut(Out):
    code: str
    field: str
    words: str


class BatchOut(Out):
    batch_id: int
    customer_id: int | None
    message: str
    message_id: str
    created_at: str
    sender: str
    digest: str
    linked: bool
    rail: str
    state: Literal["refused", "waiting", "rejected", "running", "capturing", "undoing", "done"]
    reasons: list[FindingOut]
    items: int
    accepted: int
    totals: list[Amount]
    approval_id: int | None
    version: int
    made_at: datetime
    done_at: datetime | None


class BatchDetailOut(BatchOut):
    counts: dict[str, int]
    refused: list["ItemOut"]


class ItemOut(Out):
    place: int
    line: int
    group_name: str
    instruction_id: str
    end_to_end_id: str
    uetr: str
    state: Literal["refused", "ready", "open", "held", "paid", "failed"]
    reasons: list[FindingOut]
    amount: Amount | None
    day: date | None
    to_account: str
    to_name: str
    remittance: str
    payment: str | None
    reason: str


class BatchesOut(Out):
    items: list[BatchOut]
    next: str | None


class ItemsOut(Out):
    items: list[ItemOut]
    next: str | None
