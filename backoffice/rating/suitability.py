"""Which products a customer may buy: C1-C5 by questionnaire, R1-R5 of the product, and what must be said first.

Sources: NFRA Order 2025-7 (in force since 2026-02-01): at least five levels, the stricter rating where issuer and
seller differ. That an assessment holds for 12 months and may be repeated twice a day and eight times a year is market
practice (m). The figures arrive as `Rules`, from the effective-dated parameters, and are no constants here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from backoffice.products.daycount import add_months

LEVEL_MIN, LEVEL_MAX = 1, 5


@dataclass(frozen=True, slots=True)
class Rules:
    """Figures of the market, valid on the day of the check."""

    validity_months: int
    attempts_a_day: int
    attempts_a_year: int
    elderly_from_age: int
    """From this age on a sale above C1 needs a person's confirmation."""


@dataclass(frozen=True, slots=True)
class Question:
    """One question: points for each answer. `caps` bound the level that an answer allows, whatever the sum."""

    key: str
    points: Mapping[str, int]
    caps: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Questionnaire:
    """A version of the questionnaire: its questions, and the points from which each level above C1 starts."""

    version: int
    questions: tuple[Question, ...]
    level_from_points: tuple[int, int, int, int]
    """Least points for C2, C3, C4 and C5, ascending."""

    def __post_init__(self) -> None:
        if list(self.level_from_points) != sorted(set(self.level_from_points)):
            raise ValueError("level_from_points: must ascend")
        for question in self.questions:
            for answer, level in question.caps.items():
                if answer not in question.points or not LEVEL_MIN <= level <= LEVEL_MAX:
                    raise ValueError(f"questions.{question.key}.caps.{answer}: no such answer, or no level from 1 to 5")

    def level(self, answers: Mapping[str, str]) -> "Scored":
        """Points, level and the questions that lowered it. Every question must be answered with one of its answers."""
        unknown = sorted(set(answers) - {question.key for question in self.questions})
        if unknown:
            raise ValueError(f"answers.{unknown[0]}: no such question in version {self.version}")
        points, caps = 0, dict[str, int]()
        for question in self.questions:
            answer = answers.get(question.key)
            if answer is None or answer not in question.points:
                raise ValueError(f"answers.{question.key}: {answer!r} is none of {', '.join(question.points)}")
            points += question.points[answer]
            if answer in question.caps:
                caps[question.key] = question.caps[answer]
        by_points = LEVEL_MIN + sum(points >= least for least in self.level_from_points)
        level = min([by_points, *caps.values()])
        return Scored(points, level, tuple(key for key, cap in caps.items() if cap < by_points))


@dataclass(frozen=True, slots=True)
class Scored:
    """What the answers come to."""

    points: int
    level: int
    capped_by: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Assessment:
    """A level that a customer got on a day."""

    on: date
    level: int

    def valid_until(self, rules: Rules) -> date:
        """The first day on which it no longer counts."""
        return add_months(self.on, rules.validity_months)


class AttemptRefusal(StrEnum):
    """Why a customer cannot answer the questionnaire again now."""

    TOO_MANY_TODAY = "too_many_today"
    TOO_MANY_THIS_YEAR = "too_many_this_year"


def attempt_refusal(earlier: Sequence[date], today: date, rules: Rules) -> AttemptRefusal | None:
    """Whether another attempt is allowed; a year is the twelve months up to and including today."""
    if sum(day == today for day in earlier) >= rules.attempts_a_day:
        return AttemptRefusal.TOO_MANY_TODAY
    if sum(add_months(day, 12) > today >= day for day in earlier) >= rules.attempts_a_year:
        return AttemptRefusal.TOO_MANY_THIS_YEAR
    return None


def stricter_level(*levels: int) -> int:
    """A product's level where several have rated it: the highest."""
    for level in levels:
        if not LEVEL_MIN <= level <= LEVEL_MAX:
            raise ValueError(f"risk_level: R{level} is none of R1 to R5")
    return max(levels)


class Finding(StrEnum):
    """Why a sale is refused, or what must be done before it."""

    NOT_ASSESSED = "not_assessed"
    ASSESSMENT_EXPIRED = "assessment_expired"
    ABOVE_LEVEL = "above_level"
    RISK_WARNING = "risk_warning"
    """The product can lose money: the customer confirms a warning, which is recorded."""
    ELDERLY_CONFIRMATION = "elderly_confirmation"
    """A second look by a person before the sale."""


REFUSALS = frozenset({Finding.NOT_ASSESSED, Finding.ASSESSMENT_EXPIRED, Finding.ABOVE_LEVEL})


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of a check, to be recorded with the sale."""

    findings: tuple[Finding, ...]

    @property
    def allowed(self) -> bool:
        """No finding refuses it; what must be done first may still stand in `findings`."""
        return not REFUSALS & set(self.findings)


def check(
    product_level: int, assessment: Assessment | None, age: int | None, today: date, rules: Rules, *, loses: bool
) -> Verdict:
    """Whether this customer may buy this product today. `loses`: the product does not promise the principal.

    Deposits (`loses` false, R1) need no assessment. Nobody buys above the assessed level, whatever is confirmed.
    """
    level = stricter_level(product_level)
    if not loses and level == LEVEL_MIN:
        return Verdict(())
    if assessment is None:
        return Verdict((Finding.NOT_ASSESSED,))
    if not assessment.on <= today < assessment.valid_until(rules):
        return Verdict((Finding.ASSESSMENT_EXPIRED,))
    if level > assessment.level:
        return Verdict((Finding.ABOVE_LEVEL,))
    findings = [Finding.RISK_WARNING] if loses else []
    if age is not None and age >= rules.elderly_from_age and level > LEVEL_MIN:
        findings.append(Finding.ELDERLY_CONFIRMATION)
    return Verdict(tuple(findings))
