"""What an audit may find, by kind."""

from dataclasses import dataclass, field
from enum import StrEnum


class Finding(StrEnum):
    """Kinds of findings. Every one of them is a fault of the server (or of a follower of its promises)."""

    LOST = "lost"
    """Something acknowledged is not there."""
    DOUBLED = "doubled"
    """One id was created twice, or a balance holds a transfer twice."""
    ALTERED = "altered"
    """A transfer is there, but not as it was asked for or answered."""
    PHANTOM = "phantom"
    """Something is there that was refused."""
    TORN = "torn"
    """A part of a request, or of a linked chain, is there and another is not."""
    RETRY = "retry"
    """A repeat was not answered as the original was."""
    ORDER = "order"
    """Timestamps or seq do not fit one total order, or it does not fit real time."""
    DIRTY_READ = "dirty_read"
    """A read or a notification showed what was not, or not yet, committed."""
    STALE_READ = "stale_read"
    """A read did not show what had been acknowledged before it was asked."""
    BALANCE = "balance"
    """A balance is not the sum of the committed transfers."""
    BOOKS = "books"
    """Debits and credits differ."""
    PENDING = "pending"
    """A pending transfer's state, its resolutions and its expiry contradict each other."""
    LOG = "log"
    """A row of the log is missing, or does not continue the chain."""
    REPLAY = "replay"
    """A replay of the log from zero gives another state than the server has."""
    MODEL = "model"
    """The plain model of trading comes to something else than the engine that replays the log."""
    STREAM = "stream"
    """Executions were told with a gap, twice, in another order, or otherwise than the log has them."""
    PROTOCOL = "protocol"
    """Replies out of order, unreadable, or an error that nothing explains."""
    TWO_LEADERS = "two_leaders"
    """A server answered after another one had taken over the log."""
    STUCK = "stuck"
    """A process did not start, answer or stop in time."""


@dataclass(slots=True)
class Findings:
    """A list with a limit: after a real fault there may be millions."""

    kept_max: int = 100
    found: list[tuple[Finding, str]] = field(default_factory=list)
    counts: dict[Finding, int] = field(default_factory=dict)

    def add(self, kind: Finding, what: str) -> None:
        count = self.counts[kind] = self.counts.get(kind, 0) + 1
        if count <= self.kept_max:
            self.found.append((kind, what))

    @property
    def kinds(self) -> set[Finding]:
        return set(self.counts)

    def __len__(self) -> int:
        return sum(self.counts.values())

    def report(self, each: int = 8) -> str:
        """Return a text for people: some of every kind."""
        lines = []
        for kind, count in self.counts.items():
            lines.append(f"{kind}: {count}")
            lines += [f"    {what}" for found, what in self.found if found is kind][:each]
        return "\n".join(lines)
