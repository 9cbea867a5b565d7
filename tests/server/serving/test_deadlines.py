"""The timer wheel: nothing is forgotten, nothing comes early."""

from server.deadlines import SLOTS, Wheel


class Item:
    def __init__(self, wheel: Wheel, deadline: float) -> None:
        self.deadline = deadline
        self.fired: list[float] = []
        wheel.watch(self, deadline)

    def on_deadline(self, now: float) -> float:
        if now >= self.deadline:
            self.fired.append(now)
            return 0.0
        return self.deadline


def test_each_deadline_fires_once_within_a_second() -> None:
    wheel = Wheel(100.3)
    items = [Item(wheel, 100.3 + delay) for delay in (0.1, 1, 1.5, 7.2, 30, SLOTS - 1, SLOTS, 3 * SLOTS + 0.5, 500)]
    now = 100.3
    while now < 700:
        now += 0.25
        wheel.turn(now)
    for item in items:
        assert len(item.fired) == 1, item.deadline
        assert item.deadline <= item.fired[0] <= item.deadline + 1.25


def test_a_pause_of_the_process_loses_nothing() -> None:
    wheel = Wheel(0)
    items = [Item(wheel, deadline) for deadline in range(1, 400, 7)]
    wheel.turn(1_000)
    wheel.turn(1_001)
    for second in range(1_002, 1_100):
        wheel.turn(second)
    assert all(len(item.fired) == 1 for item in items)


def test_forgotten_and_moved_items() -> None:
    wheel = Wheel(0)
    gone, moved = Item(wheel, 5), Item(wheel, 5)
    wheel.forget(gone)
    wheel.forget(gone)
    moved.deadline = 20
    wheel.watch(moved, 20)
    for second in range(1, 19):
        wheel.turn(second)
    assert not gone.fired
    assert not moved.fired
    for second in range(19, 25):
        wheel.turn(second)
    assert len(moved.fired) == 1
