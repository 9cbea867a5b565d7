"""One measured row: a peer, what it was asked, what it gave, and on which conditions."""

from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

Part: TypeAlias = Literal["transfers", "hot account", "orders"]


@dataclass(frozen=True, slots=True)
class Result:
    """Latencies and CPU time in microseconds, memory in MiB; None where it was not measured."""

    part: Part
    """What is compared: rows of one part stand in one table."""
    peer: str
    load: str
    """How it was driven."""
    per_second: float
    """Transfers or operations a second."""
    p50: float | None
    p99: float | None
    cpu: float | None
    """Of all processes of the peer, per transfer or operation; the load generator's is not in it."""
    memory: float | None
    """Of all processes of the peer at the end, shared pages counted once."""
    durability: str
    note: str = ""
    details: dict[str, Any] = field(default_factory=dict)
