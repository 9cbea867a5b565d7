"""Batches are as long as the machine gets them done in time."""

from server.pressure import FLOOR, BatchLimit


def test_it_shrinks_while_batches_are_slow_and_comes_back() -> None:
    limit = BatchLimit(16_384, 0.010)
    seen = [limit.items]
    for _ in range(20):
        limit.took(limit.items, 0.000_002 * limit.items)  # 2 µs an item: 5,000 take 10 ms
        seen.append(limit.items)
    assert seen[1] == 16_384 * 3 // 4
    assert all(3_000 < items < 5_800 for items in seen[8:])
    for _ in range(40):
        limit.took(limit.items, 0.001)
    assert limit.items == 16_384


def test_small_batches_say_nothing() -> None:
    limit = BatchLimit(16_384, 0.010)
    for _ in range(50):
        limit.took(FLOOR, 0.5)  # a slow disk is no reason for more commits
    assert limit.items == 16_384
    limit.took(5_000, 0.5)
    small = limit.items
    for _ in range(50):
        limit.took(100, 0.001)  # nobody asked for more
    assert limit.items == small == 3_750


def test_it_has_a_floor_which_a_smaller_limit_moves() -> None:
    limit = BatchLimit(16_384, 0.010)
    for _ in range(50):
        limit.took(limit.items, 1.0)
    assert limit.items == FLOOR
    tiny = BatchLimit(100, 0.010)
    for _ in range(5):
        tiny.took(100, 1.0)
    assert tiny.items == 100
