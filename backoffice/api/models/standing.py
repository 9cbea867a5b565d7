"""Standing orders over HTTP."""

from datetime import date, datetime
from typing import Literal

from pydantic import Field

from backoffice.api.models import Amount, In, Out
from backoffice.api.models.payments import Number, OutsideIn, OutsideOut, Purpose


class StandingTermsIn(In):
    amount: Amount
    purpose: str = Purpose
    every: Literal["day", "week", "month"]
    step: int = Field(1, ge=1, le=366, description="Every so many days, weeks or months.")
    on_day: int = Field(1, ge=1, le=31, description="1 (Monday) to 7 of a week; 1 to 31 of a month, or its last day.")
    roll: Literal["none", "following", "modified_following", "preceding"] = "following"
    first_on: date
    last_on: date | None = None
    times: int | None = Field(None, ge=1, le=10_000)
    retries: int = Field(0, ge=0, le=10, description="Further attempts on the next working days without money.")
    on_failure: Literal["skip", "stop"] = "skip"


class StandingIn(StandingTermsIn):
    from_account: str = Number
    to_account: str | None = Field(None, max_length=34)
    outside: OutsideIn | None = None
    rail: str = Field("", max_length=32)


class StopIn(In):
    reason: str = Field(min_length=1, max_length=500)


class RunOut(Out):
    nominal_on: date
    due_on: date
    attempt: int
    state: Literal["open", "paid", "waiting", "failed"]
    payment: str | None
    retry_on: date | None
    reason: str


class StandingOut(Out):
    standing_id: int
    customer_id: int
    from_account: str | None
    to_account: str | None
    outside: OutsideOut | None
    rail: str
    amount: Amount
    purpose: str
    every: str
    step: int
    on_day: int
    roll: str
    first_on: date
    last_on: date | None
    times: int | None
    retries: int
    on_failure: str
    state: Literal["active", "stopped", "finished"]
    reason: str
    next_on: date | None
    next_due: date | None
    runs: int
    version: int
    made_at: datetime


class StandingDetailOut(StandingOut):
    history: list[RunOut]


class StandingsOut(Out):
    items: list[StandingOut]
    next: str | None
