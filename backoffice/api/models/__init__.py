"""What goes in and out over HTTP; unknown members are refused."""

from datetime import date, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from backoffice.money import Money, MoneyError
from backoffice.problems import invalid


class In(BaseModel):
    """A body that is sent to us."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)


class Out(BaseModel):
    """A body that we answer."""


class Amount(BaseModel):
    """Money at the edge: a decimal string and its currency. `money()` checks it."""

    model_config = ConfigDict(extra="forbid")
    amount: str = Field(max_length=24, examples=["1234.50"])
    currency: str = Field("CNY", min_length=3, max_length=3)

    def money(self, field: str = "amount") -> Money:
        """Give it in minor units; Problem that names the field."""
        try:
            return Money.parse(self.amount, self.currency)
        except MoneyError as error:
            raise invalid(field, str(error)) from None

    @classmethod
    def of(cls, minor: int, currency: str = "CNY") -> "Amount":
        """Write minor units."""
        return cls(amount=str(Money(minor, currency)), currency=currency)


class ProblemOut(Out):
    """RFC 9457."""

    type: str
    code: str
    title: str
    status: int
    detail: str | None = None
    instance: str | None = None
    errors: list[dict[str, str]] | None = None


class LogonIn(In):
    name: str = Field(min_length=1, max_length=64)
    password: str = Field(min_length=1, max_length=256)
    code: str = Field("", max_length=10, description="One-time code, for users who have switched them on.")


class IdentityLogonIn(In):
    token: str = Field(min_length=16, max_length=16_384, description="Identity token of the provider (a JWT).")


class IdentityIn(In):
    subject: str = Field(min_length=1, max_length=255, description="`sub` of the provider.")


class UserOut(Out):
    user_id: int
    name: str
    full_name: str
    branch: str
    roles: list[str]
    active: bool
    one_time_codes: bool
    version: int
    created_at: datetime
    locked_until: datetime | None


class SessionOut(Out):
    token: str = Field(description="For `Authorization: Bearer …`; shown once.")
    ends_at: datetime
    user: UserOut
    permissions: list[str]


class MeOut(Out):
    user: UserOut
    permissions: list[str]


class UserIn(In):
    name: str = Field(min_length=2, max_length=32)
    full_name: str = Field(min_length=1, max_length=100)
    branch: str = Field("", max_length=32)
    roles: list[str] = Field(min_length=1, max_length=16)
    password: str = Field(min_length=1, max_length=256)


class UserChangeIn(In):
    roles: list[str] | None = Field(None, min_length=1, max_length=16)
    branch: str | None = Field(None, max_length=32)
    active: bool | None = None


class UsersOut(Out):
    items: list[UserOut]
    next: str | None


class CodesOut(Out):
    secret: str
    address: str


class CodesIn(In):
    secret: str = Field(min_length=16, max_length=64)
    code: str = Field(min_length=6, max_length=6)


class ParameterOut(Out):
    parameter_id: int
    name: str
    scope: str
    value: Any
    valid_from: date
    valid_to: date | None
    source: str


class ParametersOut(Out):
    items: list[ParameterOut]


class ParameterIn(In):
    scope: str = Field("", max_length=64)
    value: int | str
    valid_from: date
    source: str = Field(min_length=1, max_length=500)


class ApprovalOut(Out):
    approval_id: int
    kind: str
    subject: str
    summary: str
    payload: dict[str, Any]
    state: Literal["open", "approved", "rejected", "withdrawn"]
    maker: int
    maker_name: str
    made_at: datetime
    checker: int | None
    checker_name: str | None
    decided_at: datetime | None
    reason: str
    result: Any
    permission: str = Field(description="Needed to decide.")


class ApprovalsOut(Out):
    items: list[ApprovalOut]
    next: str | None


class DecisionIn(In):
    approve: bool
    reason: str = Field("", max_length=500)


class AuditOut(Out):
    entry: int
    at: datetime
    user_name: str
    action: str
    subject: str
    detail: str
    address: str


class AuditsOut(Out):
    items: list[AuditOut]
    next: str | None


class HealthOut(Out):
    status: Literal["ready"]
    revision: str
