"""How long batches may be: as long as the machine gets them done in time.

A longer batch costs less per item and makes everybody in it wait longer. Under more load than can be served batches
would grow to the most that is configured, and with them the time that a request spends in the server. So the limit
follows what batches take: down by a quarter when one took longer than it should, up by an eighth when one that was as
long as it might be did not (additive increase would take seconds, and a commit that was slow once must not count for
long). Small batches say nothing: below the floor a commit costs the same whatever it holds.
"""

FLOOR = 1_024
"""Items below which a batch saves no time worth having."""
NEARLY = 0.8
"""A batch that held this part of the limit was as long as it might be."""


class BatchLimit:
    """The limit, and what it learns from."""

    def __init__(self, items_max: int, seconds: float) -> None:
        """`seconds`: how long a batch may take from its closing to its commit."""
        self.items = items_max
        self._items_max = items_max
        self._floor = min(FLOOR, items_max)
        self._seconds = seconds

    def took(self, items: int, seconds: float) -> None:
        """Learn from a batch that is durable."""
        if seconds > self._seconds:
            if items > self._floor:
                self.items = max(self._floor, min(self.items, items) * 3 // 4)
        elif items >= NEARLY * self.items:
            self.items = min(self._items_max, self.items + self.items // 8)
