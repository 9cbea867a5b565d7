"""The figures of a run: a table with fractions of milliseconds, named results, checks; the same as JSON."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from locust.stats import RequestStats, StatsEntry
from rich.console import Console
from rich.table import Table

from loadtest.checks import Verdict
from loadtest.locust.tally import Tally

PERCENTILES = (50.0, 90.0, 99.0, 99.9)
WIDTH = 140
"""Of the table in a file or pipe."""


@dataclass(frozen=True, slots=True)
class Figures:
    """One kind of request, or all; see checks.Measured. Times are in milliseconds."""

    entry: StatsEntry
    done: int

    @property
    def requests(self) -> int:
        """Requests that have ended."""
        return self.entry.num_requests

    @property
    def timed(self) -> int:
        """Those that have a response time."""
        return self.entry.num_requests - self.entry.num_none_requests

    @property
    def errors(self) -> int:
        """Requests that failed."""
        return self.entry.num_failures

    @property
    def rps(self) -> float:
        """Requests a second."""
        return float(self.entry.total_rps)

    @property
    def items(self) -> float:
        """Items (transfers, orders, records) a second."""
        return self.done * self.rps / self.requests if self.requests else 0.0

    @property
    def mean(self) -> float:
        """Mean response time."""
        return float(self.entry.avg_response_time)

    @property
    def max(self) -> float:
        """Longest response time."""
        return float(self.entry.max_response_time)

    def percentile(self, percent: float) -> float:
        """A response time that so many percent did not exceed, to three digits; never more than the longest."""
        return min(self.max, float(self.entry.get_response_time_percentile(percent / 100)))

    def plain(self) -> dict[str, float]:
        """For JSON."""
        figures = {name: getattr(self, name) for name in ("requests", "errors", "rps", "items", "mean", "max")}
        return figures | {f"p{percent:g}": self.percentile(percent) for percent in PERCENTILES}


def measured(stats: RequestStats, tally: Tally) -> dict[str, Figures]:
    """All kinds by name; the total has the name ""."""
    items = tally.items()
    entries = [entry for entry in stats.entries.values() if entry.num_requests]
    known = {str(entry.name): Figures(entry, items.get(str(entry.name), 0)) for entry in entries}
    return {"": Figures(stats.total, sum(items.get(name, 0) for name in known))} | dict(sorted(known.items()))


def show(
    figures: Mapping[str, Figures],
    stats: RequestStats,
    tally: Tally,
    verdicts: list[Verdict],
    *,
    to_stderr: bool = False,
) -> None:
    """Print all of it."""
    console = Console(stderr=to_stderr, highlight=False, soft_wrap=True)
    if not console.is_terminal:
        console.width = WIDTH
    table = Table(title="response times in milliseconds")
    table.add_column("request")
    for name in ("requests", "failed", "requests/s", "items/s", *(f"p{p:g}" for p in PERCENTILES), "max"):
        table.add_column(name, justify="right")
    for name, one in [*((name, one) for name, one in figures.items() if name), ("all", figures[""])]:
        times = [f"{one.percentile(percent):,.3f}" for percent in PERCENTILES] if one.timed else [""] * 4
        longest = f"{one.max:,.3f}" if one.timed else ""
        failed = f"[red]{one.errors:,}[/red]" if one.errors else "0"
        table.add_row(name, f"{one.requests:,}", failed, f"{one.rps:,.0f}", f"{one.items:,.0f}", *times, longest)
    console.print(table)
    for name in dict.fromkeys(request for request, _ in sorted(tally.counts)):
        results = sorted((result, count) for (request, result), count in tally.counts.items() if request == name)
        console.print(f"{name}: {', '.join(f'{result} {count:,}' for result, count in results)}", markup=False)
    for error in stats.errors.values():
        console.print(f"failed: {error.occurrences:,} × {error.name}: {error.error}", style="red", markup=False)
    for verdict in verdicts:
        word, style = ("holds", "green") if verdict.ok else ("FAILS", "red")
        console.print(f"check {verdict.check} {word}: {verdict.found}", style=style, markup=False)


def write(
    path: str, figures: Mapping[str, Figures], stats: RequestStats, tally: Tally, verdicts: list[Verdict], *, seed: int
) -> None:
    """Write all of it as JSON."""
    results: dict[str, dict[str, int]] = {}
    for (request, result), count in sorted(tally.counts.items()):
        results.setdefault(request, {})[result] = count
    document: dict[str, Any] = {
        "seed": seed,
        "requests": {name or "all": one.plain() for name, one in figures.items()},
        "results": results,
        "failures": [
            {"request": error.name, "failure": str(error.error), "count": error.occurrences}
            for error in stats.errors.values()
        ],
        "checks": [{"check": one.check, "ok": one.ok, "found": one.found} for one in verdicts],
    }
    Path(path).write_text(json.dumps(document, indent=1) + "\n")
