"""Customers and branches over HTTP."""

from datetime import date, datetime
from typing import Annotated, Any, Literal

from pydantic import Field

from backoffice.api.models import In, Out

Text = Annotated[str, Field(max_length=200)]
Tag = Annotated[str, Field(min_length=1, max_length=32)]


class CertificateIn(In):
    kind: str = Field(max_length=32, examples=["resident_id"])
    number: str = Field(min_length=1, max_length=64, examples=["110101199003070038"])
    until: date | None = Field(None, description="Last day on which it is valid; none for one without an end.")


class CustomerIn(In):
    kind: Literal["person", "enterprise"]
    name: str = Field(min_length=1, max_length=100)
    certificate: CertificateIn
    branch: str = Field(min_length=1, max_length=16)
    phone: Text = ""
    email: Text = ""
    address: Text = ""
    birth_date: date | None = None
    gender: Literal["", "male", "female"] = ""
    nationality: str = Field("CN", min_length=2, max_length=2)
    occupation: Text = ""
    legal_representative: Text = ""
    contact: Text = ""
    region: str = Field("", max_length=12, pattern="^[0-9]*$")
    industry: str = Field("", max_length=64)
    manager: int | None = Field(None, ge=1, lt=2**63)
    tags: list[Tag] = Field(default_factory=list, max_length=32)


class CustomerChangeIn(In):
    """What is left out stays; "" takes a text away."""

    name: str | None = Field(None, min_length=1, max_length=100)
    certificate: CertificateIn | None = None
    branch: str | None = Field(None, min_length=1, max_length=16)
    phone: Text | None = None
    email: Text | None = None
    address: Text | None = None
    nationality: str | None = Field(None, min_length=2, max_length=2)
    occupation: Text | None = None
    legal_representative: Text | None = None
    contact: Text | None = None
    region: str | None = Field(None, max_length=12, pattern="^[0-9]*$")
    industry: str | None = Field(None, max_length=64)
    manager: int | None = Field(None, ge=1, lt=2**63)
    tags: list[Tag] | None = Field(None, max_length=32)
    reviewed_on: date | None = None


class StatusIn(In):
    status: Literal["active", "dormant", "frozen"]
    reason: str = Field(min_length=1, max_length=500)


class ReasonIn(In):
    reason: str = Field(min_length=1, max_length=500)


class CertificateOut(Out):
    kind: str
    number: str
    until: str


class CustomerOut(Out):
    customer_id: int
    kind: Literal["person", "enterprise"]
    status: Literal["prospect", "active", "dormant", "frozen", "closed"]
    name: str
    certificate: CertificateOut
    branch: str
    manager: int | None
    region: str
    phone: str
    email: str
    address: str
    birth_date: str
    gender: str
    nationality: str
    occupation: str
    legal_representative: str
    contact: str
    industry: str
    tags: list[str]
    risk_level: int | None = Field(description="1 (C1) to 5 (C5); null without a valid rating.")
    risk_until: date | None
    grade: str
    reviewed_on: date | None
    review_due: date | None
    merged_into: int | None
    version: int
    made_at: datetime
    changed_at: datetime


class BranchOut(Out):
    branch: str
    name_zh: str
    name_en: str
    region: str
    parent: str | None
    active: bool


class BranchesOut(Out):
    items: list[BranchOut]


class BranchIn(In):
    branch: str = Field(pattern="^[0-9A-Z-]{1,16}$", examples=["ZZ09"])
    name_zh: str = Field(min_length=1, max_length=100)
    name_en: str = Field(min_length=1, max_length=100)
    region: str = Field("", max_length=12, pattern="^[0-9]*$")
    parent: str | None = Field("HO", max_length=16)


class KindsOut(Out):
    items: list[dict[str, Any]]
