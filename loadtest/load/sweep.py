"""A sweep: one open loop after the other at rising rates, until the latency is no longer what was asked for.

Rates rise by a factor; when one fails, the gap between it and the last good one is halved a few times, so that the
knee is known to some percent. Each step is a run of its own on new connections, on a schedule that no reply delays.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from loadtest.checks import Check
from loadtest.load.judging import judge
from loadtest.load.running import Look, Pace, Server, load, set_up
from loadtest.sources import SourceError, Wanted, source

KEPT_UP = 0.99
"""Of the schedule, so much must have been answered in time for a rate to count as served."""


@dataclass(frozen=True, slots=True)
class Sweep:
    """From which rate to which, by which factor; how often the gap is halved at the end."""

    first: float
    last: float
    factor: float = 1.5
    halvings: int = 3
    rest_seconds: float = 1.0

    def requests(self, seconds: float) -> int:
        """How many requests all steps together can need, each of so many seconds."""
        steps = max(0, int(math.log(self.last / self.first, self.factor) + 1e-9)) + 1
        rising = self.first * (self.factor**steps - 1) / (self.factor - 1)
        return int((rising + self.halvings * self.last) * seconds * 1.02) + 1_000


Say = Callable[[dict[str, Any]], None]


def served(step: dict[str, Any], slo: list[Check]) -> bool:
    """Whether the rate was kept, every reply was right, and the objectives hold."""
    result = step["measured"]
    kept_up = result["requests_per_second"] >= KEPT_UP * step["run"]["rate"]
    return bool(result["ok"] and kept_up and all(verdict.ok for verdict in judge(slo, step)))


def sweep(
    server: Server,
    wanted: Wanted,
    pace: Pace,
    plan: Sweep,
    slo: list[Check],
    *,
    rest: Callable[[float], None],
    say: Say = lambda _: None,
    look: Look | None = None,
) -> dict[str, Any]:
    """Run the steps; the result has them in order and `knee`, the highest rate that was served (0: none)."""
    made = source(replace(wanted, count=plan.requests(pace.seconds)))
    if not made.unit:
        raise SourceError(f"workload: {wanted.name} has one beginning and cannot be swept; give one --rate")
    set_up(server, made.stages)
    steps: list[dict[str, Any]] = []
    first = 0

    def served_at(rate: float) -> bool:
        nonlocal first
        step, first = load(server, made, replace(pace, rate=rate), wanted, first=first, look=look)
        step["served"] = served(step, slo)
        steps.append(step)
        say(step)
        rest(plan.rest_seconds)
        return bool(step["served"])

    best, rate, failed = 0.0, plan.first, 0.0
    while rate <= plan.last * 1.000_001:
        if not served_at(rate):
            failed = rate
            break
        best, rate = rate, rate * plan.factor
    for _ in range(plan.halvings if best and failed else 0):
        middle = (best + failed) / 2
        if served_at(middle):
            best = middle
        else:
            failed = middle
    return {"steps": steps, "knee": best}
