"""A coarse timer wheel: deadlines of many connections for the price of one timer.

Each connection stands in one slot at most. Being active does not move it: when its slot comes up it is asked for its
deadline again, and it either has passed or gives a later one. So a busy connection costs nothing per message and one
look per deadline. Deadlines are kept to within one slot (a second).
"""

from typing import Protocol

SLOTS = 64
"""A deadline further away than so many seconds is looked at again when the wheel has turned once."""


class Watched(Protocol):
    """What stands in the wheel. It must be hashable by identity."""

    def on_deadline(self, now: float) -> float:
        """Act if a deadline has passed; return the next one in monotonic seconds (0 = watch no more)."""


class Wheel:
    """Slots of one second each."""

    def __init__(self, now: float) -> None:
        self._slots: list[set[Watched]] = [set() for _ in range(SLOTS)]
        self._where: dict[Watched, int] = {}
        self._turned = int(now)

    def watch(self, item: Watched, deadline: float) -> None:
        """Look at `item` at `deadline` (monotonic seconds), instead of when it was to be looked at before."""
        self.forget(item)
        ticks = min(max(int(deadline) + 1 - self._turned, 1), SLOTS - 1)
        slot = (self._turned + ticks) % SLOTS
        self._slots[slot].add(item)
        self._where[item] = slot

    def forget(self, item: Watched) -> None:
        """Look at `item` no more."""
        slot = self._where.pop(item, None)
        if slot is not None:
            self._slots[slot].discard(item)

    def turn(self, now: float) -> None:
        """Look at everything whose slot has come up. To be called about once a second."""
        due: list[Watched] = []
        until = int(now)
        for second in range(max(self._turned + 1, until - SLOTS + 1), until + 1):
            slot = self._slots[second % SLOTS]
            due += slot
            slot.clear()
        self._turned = max(until, self._turned)
        for item in due:
            self._where.pop(item, None)
        for item in due:
            if (deadline := item.on_deadline(now)) > 0:
                self.watch(item, deadline)
