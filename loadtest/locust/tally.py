"""What Locust has no place for: how many items there were, and what became of them by name."""

from collections import Counter
from collections.abc import Mapping


class Tally:
    """Counts of (request, result); of a worker it is sent to the master with each report, and begun anew."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, str]] = Counter()

    def add(self, request: str, result: str, count: int = 1) -> None:
        """Count some items."""
        self.counts[request, result] += count

    def clear(self) -> None:
        """Begin anew."""
        self.counts.clear()

    def taken(self) -> list[tuple[str, str, int]]:
        """What there is, as plain values, and begin anew."""
        taken = [(request, result, count) for (request, result), count in self.counts.items()]
        self.clear()
        return taken

    def merge(self, taken: list[tuple[str, str, int]]) -> None:
        """Add what another process has taken."""
        for request, result, count in taken:
            self.counts[request, result] += count

    def items(self) -> Mapping[str, int]:
        """Items of each kind of request."""
        sums: Counter[str] = Counter()
        for (request, _), count in self.counts.items():
            sums[request] += count
        return sums
