"""How many users each shape has, second by second."""

import pytest

from loadtest.locust.curves import CURVES, Curve, users_at


def line(curve: Curve, users: int, lasts: int) -> list[int | None]:
    return [users_at(curve, second, users, lasts) for second in range(lasts + 1)]


def test_ramp_grows_evenly() -> None:
    assert line("ramp", 10, 10) == [1, 1, 2, 3, 4, 5, 6, 7, 8, 9, None]
    assert users_at("ramp", 9.99, 10, 10) == 10


def test_step_goes_up_five_times() -> None:
    assert line("step", 10, 10) == [2, 2, 4, 4, 6, 6, 8, 8, 10, 10, None]


def test_spike_stands_in_the_middle() -> None:
    assert line("spike", 20, 10) == [2, 2, 2, 2, 20, 20, 2, 2, 2, 2, None]


def test_soak_rises_and_stays() -> None:
    assert line("soak", 4, 40) == [1, 2, *[4] * 38, None]


@pytest.mark.parametrize("curve", CURVES)
def test_there_is_always_somebody_and_never_too_many(curve: Curve) -> None:
    for users in (1, 3, 1_000):
        counts = [users_at(curve, tenth / 10, users, 30) for tenth in range(300)]
        assert all(count is not None and 1 <= count <= users for count in counts)
        assert max(count or 0 for count in counts) >= users * 0.99
