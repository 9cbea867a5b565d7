"""Terms are checked where they enter, and every demo product is one that can be sold and compared."""

from typing import Any

import pytest

from backoffice.problems import Problem
from backoffice.products.terms import read, stored

GOOD: dict[str, dict[str, Any]] = {
    "demand": {"tiers": [{"rate": "0.05"}, {"from_minor": 100, "rate": "0.1"}]},
    "term": {"months": 12, "rate": "0.95", "early_rate": "0.05"},
    "notice": {"notice_days": 7, "rate": "0.30", "early_rate": "0.05"},
    "wealth": {"days": 90, "benchmark": "2.1"},
    "fund": {"benchmark": "5"},
    "loan": {"most_months": 60, "repayments": ["equal_instalment"], "tenor": "1y", "spread_basis_points": -20},
    "card": {"yearly_fee_minor": 1000},
}


@pytest.mark.parametrize("kind", GOOD)
def test_terms_come_back_as_they_were(kind: str) -> None:
    terms = read(kind, GOOD[kind])
    assert read(kind, stored(terms)) == terms


@pytest.mark.parametrize(
    ("kind", "change", "field"),
    [
        ("term", {"rate": "-1"}, "terms.rate"),
        ("term", {"rate": "101"}, "terms.rate"),
        ("term", {"rate": 0.95}, "terms.rate"),
        ("term", {"rate": "1e1"}, "terms.rate"),
        ("term", {"months": 0}, "terms.months"),
        ("term", {"surprise": 1}, "terms.surprise"),
        ("demand", {"tiers": []}, "terms.tiers"),
        ("demand", {"tiers": [{"from_minor": 5, "rate": "1"}]}, "terms"),
        ("demand", {"tiers": [{"rate": "1"}, {"rate": "x"}]}, "terms.tiers.1.rate"),
        ("notice", {"notice_days": 3}, "terms.notice_days"),
        ("loan", {"fixed": "4"}, "terms"),
        ("loan", {"least_months": 61}, "terms"),
        ("loan", {"repayments": ["never"]}, "terms.repayments.0"),
    ],
)
def test_what_is_wrong_is_named(kind: str, change: dict[str, Any], field: str) -> None:
    with pytest.raises(Problem) as raised:
        read(kind, GOOD[kind] | change)
    assert [each.field for each in raised.value.errors] == [field]
