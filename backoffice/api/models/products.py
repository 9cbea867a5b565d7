"""Products, comparison and sale over HTTP."""

from datetime import date, datetime
from typing import Any, Literal

from pydantic import Field

from backoffice.api.models import Amount, In, Out

Kind = Literal["demand", "term", "notice", "wealth", "fund", "loan", "card"]
ID_PATTERN = "^[A-Z0-9][A-Z0-9-]{1,31}$"


class ProductIn(In):
    product_id: str = Field(pattern=ID_PATTERN, examples=["TERM-12M"])
    kind: Kind
    name_zh: str = Field(min_length=1, max_length=100)
    name_en: str = Field(min_length=1, max_length=100)
    currency: str = Field("CNY", min_length=3, max_length=3)
    issuer: str = Field("", max_length=100)


class ProductOut(Out):
    product_id: str
    kind: Kind
    name_zh: str
    name_en: str
    currency: str
    issuer: str


class VersionIn(In):
    """Amounts are decimals in the product's currency."""

    terms: dict[str, Any] = Field(description="By the product's kind; `GET /products/terms` gives the schemas.")
    risk_level: int = Field(ge=1, le=5)
    minimum: str = Field("0", max_length=24)
    step: str = Field("0.01", max_length=24)
    quota: str | None = Field(None, max_length=24)
    sale_from: date | None = None
    sale_to: date | None = None


class VersionOut(ProductOut):
    version: int
    state: Literal["draft", "submitted", "approved", "on_sale", "suspended", "retired"]
    terms: dict[str, Any]
    risk_level: int
    minimum: Amount
    step: Amount
    quota: Amount | None
    left: Amount | None = Field(description="Of the quota; null without one.")
    sale_from: date | None
    sale_to: date | None
    row_version: int


class VersionsOut(Out):
    items: list[VersionOut]
    next: str | None


class TermsOut(Out):
    items: dict[str, Any]


class MoveIn(In):
    move: Literal["launch", "suspend", "resume", "retire"]


class ComparisonIn(In):
    products: list[str] = Field(min_length=1, max_length=20, description="product_id, or product_id/version.")
    amount: Amount
    months: int = Field(12, ge=1, le=600)


class PointOut(Out):
    day: date
    worth: Amount


class ComparedOut(Out):
    product_id: str
    version: int
    name_zh: str
    name_en: str
    kind: Kind
    risk_level: int
    reason: str = Field(description="Why it cannot be compared (below_minimum, no_lpr, …); else empty.")
    basis: Literal["contract", "assumed", ""]
    effective_annual_rate: str | None = Field(description="Percent; what is earned, or what a loan costs.")
    gain: Amount | None
    fees: Amount | None
    ends: date | None
    points: list[PointOut]


class ComparisonOut(Out):
    on: date
    items: list[ComparedOut]


class QuestionnaireOut(Out):
    version: int
    questions: list[dict[str, Any]]


class AnswersIn(In):
    answers: dict[str, str] = Field(max_length=50)


class AssessmentOut(Out):
    level: int
    points: int
    capped_by: list[str]
    questionnaire: int
    on_day: date


class AssessmentsOut(Out):
    items: list[AssessmentOut]


class PurchaseIn(In):
    customer_id: int = Field(ge=1, lt=2**63)
    product_id: str = Field(pattern=ID_PATTERN, examples=["TERM-12M"])
    paying_account: str = Field(pattern="^[0-9]{12,19}$", examples=["9901560000000000000"])
    amount: Amount
    risk_warning_confirmed: bool = False
    second_look: bool = Field(False, description="Another person has looked at the sale (elderly customers).")


class RedemptionIn(In):
    holding_account: str = Field(pattern="^[0-9]{12,19}$", examples=["9901560000000000000"])
    paying_account: str | None = Field(None, pattern="^[0-9]{12,19}$", description="Else the one that paid.")


class OrderOut(Out):
    number: str
    kind: Literal["purchase", "redemption", "withdrawal"]
    state: Literal["planned", "confirmed", "failed"]
    reason: str
    customer_id: int
    product_id: str
    product_version: int
    paying_account: str
    holding_account: str
    amount: Amount
    fee: Amount
    interest: Amount
    suitability: dict[str, Any]
    on_day: date
    made_at: datetime
    settled_at: datetime | None


class OrdersOut(Out):
    items: list[OrderOut]
    next: str | None
