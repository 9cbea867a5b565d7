"""Search over HTTP."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from backoffice.api.models import Amount, In, Out

Tag = Annotated[str, Field(min_length=1, max_length=32)]
Kind = Literal["demand", "term", "notice", "wealth", "fund", "loan", "card"]


class AmountRange(In):
    least: str | None = Field(None, max_length=24, description="Decimal, in CNY.")
    most: str | None = Field(None, max_length=24)


class YearRange(In):
    least: int | None = Field(None, ge=1800, le=2200)
    most: int | None = Field(None, ge=1800, le=2200)


class SearchIn(In):
    """Everything that is given must hold."""

    text: str = Field("", max_length=64, description="A part of the name: characters, pinyin, initials, letters.")
    kind: Literal["person", "enterprise"] | None = None
    status: Literal["prospect", "active", "dormant", "frozen", "closed"] | None = None
    branch: str | None = Field(None, max_length=16)
    manager: int | None = Field(None, ge=1, lt=2**63)
    industry: str | None = Field(None, max_length=64)
    grade: str | None = Field(None, max_length=16)
    risk_level: int | None = Field(None, ge=1, le=5)
    region: str = Field("", max_length=12, pattern="^[0-9]*$", description="A code finds everything in it.")
    tags: list[Tag] = Field(default_factory=list, max_length=16)
    products: list[Kind] = Field(default_factory=list, max_length=7, description="Kinds of accounts that are open.")
    birth_year: YearRange | None = None
    deposits: AmountRange | None = None
    investments: AmountRange | None = None
    loans: AmountRange | None = None
    certificate: str = Field("", max_length=64, description="The whole number.")
    phone: str = Field("", max_length=32, description="The whole number.")
    email: str = Field("", max_length=254, description="The whole address.")
    sort: Literal["newest", "oldest", "deposits", "investments", "loans"] = "newest"
    limit: int = Field(50, ge=1, le=200)
    cursor: str | None = Field(None, max_length=200)


class FoundOut(Out):
    customer_id: int
    kind: Literal["person", "enterprise"]
    status: Literal["prospect", "active", "dormant", "frozen", "closed"]
    name: str
    phone: str
    branch: str
    region: str
    tags: list[str]
    risk_level: int | None
    grade: str
    products: list[str]
    deposits: Amount
    investments: Amount
    loans: Amount
    figures_at: datetime | None = Field(description="When the ledger was last asked for the amounts.")


class FoundsOut(Out):
    items: list[FoundOut]
    next: str | None
