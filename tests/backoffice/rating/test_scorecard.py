import pytest

from backoffice.rating.scorecard import Characteristic, Scorecard

CARD = Scorecard(
    1,
    500,
    (
        Characteristic("assets_minor", (1_000_000, 10_000_000), (0, 40, 90), 10, "low_assets"),
        Characteristic("overdue_days", (1, 31, 91), (80, 20, -40, -200), 30, "overdue"),
        Characteristic("limit_use_percent", (30, 80), (60, 30, -30), 0, "limit_use"),
    ),
    ((700, "A"), (600, "B"), (500, "C")),
    "D",
)


@pytest.mark.parametrize(
    ("assets", "overdue", "used", "points", "grade", "reasons"),
    [
        (10_000_000, 0, 29, 730, "A", ()),
        (9_999_999, 0, 30, 650, "B", ("low_assets", "limit_use")),
        (1_000_000, 31, 80, 470, "D", ("overdue", "limit_use", "low_assets")),
        (0, 91, 100, 270, "D", ("overdue", "limit_use", "low_assets")),
        (None, None, None, 540, "C", ("low_assets", "limit_use", "overdue")),
    ],
)
def test_points_grade_and_reasons(
    assets: int | None, overdue: int | None, used: int | None, points: int, grade: str, reasons: tuple[str, ...]
) -> None:
    rating = CARD.rate({"assets_minor": assets, "overdue_days": overdue, "limit_use_percent": used})
    assert (rating.points, rating.grade, rating.version) == (points, grade, 1)
    assert set(rating.reasons) == set(reasons)
    assert rating.points == 500 + sum(rating.points_by_key.values())


def test_the_heaviest_reason_comes_first() -> None:
    rating = CARD.rate({"assets_minor": 1_000_000, "overdue_days": 31, "limit_use_percent": 80})
    assert rating.reasons == ("overdue", "limit_use", "low_assets")  # 120, 90 and 50 points lost


def test_more_overdue_is_never_better() -> None:
    points = [CARD.rate({"overdue_days": days}).points for days in range(120)]
    assert points == sorted(points, reverse=True)


def test_wrong_cards_and_values_are_refused() -> None:
    with pytest.raises(ValueError, match=r"age\.points"):
        Characteristic("age", (1,), (1,), 0, "age")
    with pytest.raises(ValueError, match=r"age\.bounds"):
        Characteristic("age", (2, 1), (1, 2, 3), 0, "age")
    with pytest.raises(ValueError, match="income: no such characteristic"):
        CARD.rate({"income": 1})
    with pytest.raises(ValueError, match="grades"):
        Scorecard(1, 0, (), ((1, "A"), (2, "B")), "C")
