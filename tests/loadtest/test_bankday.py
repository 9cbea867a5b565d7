"""The bank's day."""

from collections import Counter

import pytest

from loadtest.bankday import ACTIVITIES, HALF_HOURS, VOLUME, activity, hour_at, volume
from loadtest.stretches import drawn


def test_the_tables_are_complete() -> None:
    assert len(HALF_HOURS) == 48
    assert len(VOLUME) == 24
    assert all(len(shares) == len(ACTIVITIES) and sum(shares) == 100 for shares in HALF_HOURS)
    assert all(0 < part <= 1 for part in VOLUME)
    assert max(VOLUME) == 1


def test_shares_are_kept() -> None:
    found = Counter(activity(9.75, drawn(3, number)[2]) for number in range(20_000))
    for name, share in zip(ACTIVITIES, HALF_HOURS[19], strict=True):
        assert found[name] / 20_000 == pytest.approx(share / 100, abs=0.02)


def test_the_exchange_trades_in_its_hours_only() -> None:
    open_at = {half / 2 for half in range(48) if any(activity(half / 2, ball << 40) == "order" for ball in range(100))}
    assert open_at == {9.5, 10.0, 10.5, 11.0, 13.0, 13.5, 14.0, 14.5}


def test_the_clock() -> None:
    assert hour_at(0, 240, 9) == 9
    assert hour_at(120, 240, 9) == 21
    assert hour_at(240, 240, 9) == 9
    assert hour_at(180, 240, 9) == 3
    assert volume(10.5) == 1
    assert volume(1.0) < 0.1
