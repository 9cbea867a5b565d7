"""What is agreed with a product, by its kind: typed, checked where it enters, kept as JSON with a version.

Rates are decimals of percent as texts ("1.55"), amounts whole minor units, so that JSON holds nothing inexact.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from backoffice.problems import Code, FieldError, Problem
from backoffice.products.daycount import DayCount
from backoffice.products.loans import Repayment
from backoffice.products.lpr import LprTenor, Reset
from backoffice.products.rates import Rate
from backoffice.products.tiers import Tier, TierMode, Tiers


def _percent(text: str) -> str:
    rate = Rate.from_percent(text)
    if not 0 <= rate.parts <= Rate.from_percent(100).parts:
        raise ValueError("is not from 0 to 100 percent")
    return text


Percent = Annotated[str, Field(pattern=r"^[0-9]{1,3}(\.[0-9]{1,7})?$", examples=["1.55"]), AfterValidator(_percent)]
Days = Annotated[int, Field(ge=0, le=36_600)]
Months = Annotated[int, Field(ge=1, le=600)]
Minor = Annotated[int, Field(ge=0, lt=2**62)]


class Terms(BaseModel):
    """What every kind shares: nothing that is not named, nothing that changes."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class TierTerms(Terms):
    """From this balance on, this rate."""

    from_minor: Minor = 0
    rate: Percent


class DemandTerms(Terms):
    """活期: interest by accumulated balance, settled on the 20th of each quarter's last month."""

    tiers: Annotated[list[TierTerms], Field(min_length=1, max_length=20)]
    mode: TierMode = TierMode.SLICE
    days_in_year: Literal[360, 365] = 360

    @model_validator(mode="after")
    def _ascending(self) -> "DemandTerms":
        self.scale()
        return self

    def scale(self) -> Tiers:
        """Give the tiers to reckon with. Raises ValueError for ones that do not ascend from zero."""
        return Tiers(tuple(Tier(each.from_minor, Rate.from_percent(each.rate)) for each in self.tiers), self.mode)


class TermTerms(Terms):
    """定期 (整存整取): a rate for some months; what is taken out before earns the demand rate."""

    months: Months
    rate: Percent
    early_rate: Percent
    day_count: DayCount = DayCount.ITEM_WISE
    rollover: bool = True
    """Whether it may be renewed at maturity under the terms of that day."""


class NoticeTerms(Terms):
    """通知存款: withdrawals are announced some days before."""

    notice_days: Literal[1, 7]
    rate: Percent
    early_rate: Percent
    least_withdrawal_minor: Minor = 0


class WealthTerms(Terms):
    """理财: a term, a benchmark that is no promise, fees; closed until it ends."""

    days: Annotated[int, Field(ge=1, le=36_600)]
    benchmark: Percent
    subscription_fee: Percent = "0"
    yearly_fee: Percent = "0"
    redemption_fee: Percent = "0"
    cooling_off_days: Days = 0
    loses: bool = True
    """Whether the principal may be lost: the customer is warned."""


class FundTerms(Terms):
    """基金: units at the net asset value of a day, four decimals."""

    benchmark: Percent
    subscription_fee: Percent = "0"
    yearly_fee: Percent = "0"
    redemption_fee: Percent = "0"
    redemption_free_after_days: Days = 365
    lock_days: Days = 0
    settles_days: Annotated[int, Field(ge=0, le=30)] = 1


class LoanTerms(Terms):
    """贷款: LPR of a tenor with a spread, or a rate that stays; one of the two."""

    least_months: Months = 1
    most_months: Months
    repayments: Annotated[list[Repayment], Field(min_length=1)]
    fixed: Percent | None = None
    tenor: LprTenor | None = None
    spread_basis_points: Annotated[int, Field(ge=-1000, le=3000)] = 0
    reset: Reset = Reset.FIRST_OF_JANUARY
    fee: Percent = "0"

    @model_validator(mode="after")
    def _one_rate(self) -> "LoanTerms":
        if (self.fixed is None) == (self.tenor is None):
            raise ValueError("give either fixed or tenor")
        if self.least_months > self.most_months:
            raise ValueError("least_months is above most_months")
        return self


class CardTerms(Terms):
    """银行卡: a yearly fee, waived after some uses; what stands on it earns the demand rate."""

    yearly_fee_minor: Minor = 0
    waived_after_uses: Annotated[int, Field(ge=0, le=1000)] = 0
    rate: Percent = "0"


TERMS: Final[Mapping[str, type[Terms]]] = {
    "demand": DemandTerms,
    "term": TermTerms,
    "notice": NoticeTerms,
    "wealth": WealthTerms,
    "fund": FundTerms,
    "loan": LoanTerms,
    "card": CardTerms,
}


def read(kind: str, given: Mapping[str, Any]) -> Terms:
    """Read terms of a kind. Problem naming each field, `terms.` before it."""
    try:
        return TERMS[kind].model_validate(given)
    except ValidationError as error:
        errors = [
            FieldError(".".join(["terms", *map(str, each["loc"])]), each["msg"].removeprefix("Value error, "))
            for each in error.errors()
        ]
        raise Problem(
            Code.INVALID, "; ".join(f"{each.field}: {each.message}" for each in errors), errors=errors
        ) from None


def stored(terms: Terms) -> dict[str, Any]:
    """Give them as JSON."""
    return terms.model_dump(mode="json", exclude_none=True)
