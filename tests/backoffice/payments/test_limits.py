from datetime import UTC, date, datetime

import pytest

from backoffice.payments.limits import Limit, Measure, Use, check, day_of

LIMITS = [
    Limit(Measure.EACH, 500, "wallet"),
    Limit(Measure.DAY, 1_000, "wallet"),
    Limit(Measure.COUNT, 3, "wallet"),
    Limit(Measure.DAY, 2_000),
    Limit(Measure.DAY, 10, "wallet", "USD"),
]


def broken(amount: int, used: dict[str, Use], channel: str = "wallet", currency: str = "CNY") -> list[tuple[str, int]]:
    found = check(LIMITS, used, channel=channel, currency=currency, amount_minor=amount)
    return [(f"{breach.limit.measure} {breach.limit.channel}".strip(), breach.left) for breach in found]


def test_limits_are_inclusive() -> None:
    assert broken(500, {}) == []
    assert broken(501, {}) == [("each wallet", 500)]
    assert broken(400, {"wallet": Use(600, 1)}) == []
    assert broken(401, {"wallet": Use(600, 1)}) == [("day wallet", 400)]


def test_all_channels_count_together() -> None:
    used = {"wallet": Use(100, 1), "card": Use(1_800, 9)}
    assert broken(100, used) == []
    assert broken(101, used) == [("day", 100)]
    assert broken(101, used, "card") == [("day", 100)]  # the wallet's own limits do not concern it


def test_how_often() -> None:
    assert broken(1, {"wallet": Use(2, 2)}) == []
    assert broken(1, {"wallet": Use(3, 3)}) == [("count wallet", 0)]


def test_every_limit_is_named() -> None:
    assert broken(600, {"wallet": Use(900, 3), "card": Use(900, 1)}) == [
        ("each wallet", 500),
        ("day wallet", 100),
        ("count wallet", 0),
        ("day", 200),
    ]


def test_used_beyond_the_limit_already() -> None:
    """A limit that was lowered during the day: nothing is left, not less than nothing."""
    found = check(LIMITS, {"wallet": Use(1_500, 1)}, channel="wallet", currency="CNY", amount_minor=1)
    assert [(breach.reached, breach.left) for breach in found] == [(1_501, 0)]
    assert found[0].words() == "limit day of wallet: 1501 is above 1000, 0 is left"


def test_currencies_do_not_mix() -> None:
    assert broken(11, {}, currency="USD") == [("day wallet", 10)]


def test_nonsense() -> None:
    with pytest.raises(ValueError, match="amount_minor"):
        check(LIMITS, {}, channel="wallet", currency="CNY", amount_minor=0)
    with pytest.raises(ValueError, match="most"):
        Limit(Measure.DAY, -1)


def test_the_day_is_chinas() -> None:
    assert day_of(datetime(2026, 11, 23, 15, 59, 59, tzinfo=UTC)) == date(2026, 11, 23)
    assert day_of(datetime(2026, 11, 23, 16, 0, tzinfo=UTC)) == date(2026, 11, 24)
    with pytest.raises(ValueError, match="time zone"):
        day_of(datetime(2026, 11, 23))  # noqa: DTZ001
