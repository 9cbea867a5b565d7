from datetime import date, timedelta

import pytest

from backoffice.rating.suitability import (
    Assessment,
    AttemptRefusal,
    Finding,
    Question,
    Questionnaire,
    Rules,
    attempt_refusal,
    check,
    stricter_level,
)

RULES = Rules(validity_months=12, attempts_a_day=2, attempts_a_year=8, elderly_from_age=65)
TODAY = date(2026, 11, 23)
PAPER = Questionnaire(
    3,
    (
        Question("experience", {"none": 0, "some": 10, "much": 20}, {"none": 2}),
        Question("loss", {"none": 0, "tenth": 10, "half": 20}, {"none": 1}),
        Question("horizon", {"short": 0, "long": 10}, {}),
    ),
    (10, 20, 30, 45),
)


@pytest.mark.parametrize(
    ("experience", "loss", "horizon", "points", "level", "capped"),
    [
        ("none", "tenth", "short", 10, 2, ()),
        ("some", "tenth", "short", 20, 3, ()),
        ("some", "tenth", "long", 30, 4, ()),
        ("much", "half", "long", 50, 5, ()),
        ("much", "none", "long", 30, 1, ("loss",)),  # who can bear no loss is C1, whatever else
        ("none", "half", "long", 30, 2, ("experience",)),
        ("none", "none", "short", 0, 1, ()),
    ],
)
def test_levels(experience: str, loss: str, horizon: str, points: int, level: int, capped: tuple[str, ...]) -> None:
    scored = PAPER.level({"experience": experience, "loss": loss, "horizon": horizon})
    assert (scored.points, scored.level, scored.capped_by) == (points, level, capped)


def test_answers_must_fit_the_version() -> None:
    with pytest.raises(ValueError, match=r"answers\.loss: None"):
        PAPER.level({"experience": "some", "horizon": "long"})
    with pytest.raises(ValueError, match=r"answers\.age: no such question in version 3"):
        PAPER.level({"experience": "some", "loss": "half", "horizon": "long", "age": "30"})


def test_attempts_a_day_and_a_year() -> None:
    assert attempt_refusal([TODAY], TODAY, RULES) is None
    assert attempt_refusal([TODAY, TODAY], TODAY, RULES) is AttemptRefusal.TOO_MANY_TODAY
    year = [TODAY - timedelta(days=30 * n) for n in range(1, 9)]
    assert attempt_refusal(year, TODAY, RULES) is AttemptRefusal.TOO_MANY_THIS_YEAR
    assert attempt_refusal(year[:-1], TODAY, RULES) is None
    assert attempt_refusal([*year[:-1], date(2025, 11, 23)], TODAY, RULES) is None  # a year ago to the day
    assert attempt_refusal([*year[:-1], date(2025, 11, 24)], TODAY, RULES) is AttemptRefusal.TOO_MANY_THIS_YEAR


@pytest.mark.parametrize("customer", range(1, 6))
@pytest.mark.parametrize("product", range(1, 6))
def test_nobody_buys_above_the_level(customer: int, product: int) -> None:
    verdict = check(product, Assessment(TODAY, customer), 40, TODAY, RULES, loses=True)
    assert verdict.allowed is (product <= customer)
    assert verdict.findings == ((Finding.RISK_WARNING,) if product <= customer else (Finding.ABOVE_LEVEL,))


def test_an_assessment_ends_after_twelve_months() -> None:
    done = Assessment(date(2025, 11, 24), 5)
    assert check(3, done, 40, TODAY, RULES, loses=True).allowed
    assert check(3, done, 40, date(2026, 11, 24), RULES, loses=True).findings == (Finding.ASSESSMENT_EXPIRED,)
    assert check(3, None, 40, TODAY, RULES, loses=True).findings == (Finding.NOT_ASSESSED,)
    assert check(1, None, 40, TODAY, RULES, loses=False).allowed  # a deposit


def test_the_elderly_get_a_second_look() -> None:
    findings = check(2, Assessment(TODAY, 3), 65, TODAY, RULES, loses=True).findings
    assert findings == (Finding.RISK_WARNING, Finding.ELDERLY_CONFIRMATION)
    assert check(2, Assessment(TODAY, 3), 64, TODAY, RULES, loses=True).findings == (Finding.RISK_WARNING,)


def test_the_stricter_rating_wins() -> None:
    assert stricter_level(2, 4, 3) == 4
    with pytest.raises(ValueError, match="R6"):
        stricter_level(6)
