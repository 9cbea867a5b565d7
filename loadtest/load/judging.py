"""What checks look at, of a run of the generator; and one run held against another."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hdrh.histogram import HdrHistogram

from loadtest.checks import Check, Verdict
from loadtest.load.result import Result, decoded

PERCENTILES = (50.0, 90.0, 99.0, 99.9, 99.99, 100.0)
ALIKE = ("workload", "accounts", "spread", "shape", "items", "connections", "depth", "rate")
"""What two runs must have in common to be compared."""


@dataclass(frozen=True, slots=True)
class Figures:
    """One kind of request, or all of them; times in milliseconds."""

    requests: int
    errors: int
    rps: float
    items: float
    histogram: HdrHistogram

    @property
    def timed(self) -> int:
        """How many latencies there are."""
        return int(self.histogram.get_total_count())

    @property
    def mean(self) -> float:
        """Their mean."""
        return float(self.histogram.get_mean_value()) / 1e6

    @property
    def max(self) -> float:
        """The highest."""
        return float(self.histogram.get_max_value()) / 1e6

    def percentile(self, percent: float) -> float:
        """What so many percent of them do not exceed."""
        return float(self.histogram.get_value_at_percentile(percent)) / 1e6


def figures(result: Result) -> dict[str, Figures]:
    """All requests under "", and each kind; errors and items are known of all together only."""
    measured = result["measured"]
    seconds = measured["seconds"] or 1.0
    found = {}
    for name, text in result["histograms"].items():
        histogram = decoded(text)
        count = int(histogram.get_total_count())
        whole = name == ""
        failed = measured["requests_failed"] + measured["requests_unexpected"] + measured["replies_wrong"]
        found[name] = Figures(
            measured["requests"] if whole else count,
            failed if whole else 0,
            count / seconds,
            measured["transfers_per_second"] if whole else 0.0,
            histogram,
        )
    return found


def judge(checks: list[Check], result: Result) -> list[Verdict]:
    """All verdicts, in order."""
    known = figures(result)
    return [check.judge(known) for check in checks]


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of both runs; `ratio` is new over old, `worse` a verdict by the tolerance."""

    name: str
    old: float
    new: float
    unit: str
    ratio: float
    verdict: str


def differences(old: Result, new: Result) -> list[str]:
    """In what the two runs are not alike: what was asked, and the machine."""
    found = [
        f"{name}: {old['run'].get(name)} and {new['run'].get(name)}"
        for name in ALIKE
        if old["run"].get(name) != new["run"].get(name)
    ]
    found += [
        f"machine, {name}: {old['machine'].get(name)} and {new['machine'].get(name)}"
        for name in ("cpu", "cores")
        if old["machine"].get(name) != new["machine"].get(name)
    ]
    return found


def compared(old: Result, new: Result, tolerance: float) -> list[Row]:
    """Throughput and percentiles of two runs; worse or better when beyond the tolerance (0.1: ten percent)."""
    before, after = figures(old)[""], figures(new)[""]
    rows = [_row("requests a second", before.rps, after.rps, "/s", tolerance, more=True)]
    for percent in PERCENTILES:
        name = "highest" if percent == 100 else f"p{percent:g}"
        rows.append(_row(name, before.percentile(percent), after.percentile(percent), "ms", tolerance, more=False))
    return rows


def _row(name: str, old: float, new: float, unit: str, tolerance: float, *, more: bool) -> Row:
    ratio = new / old if old else float("inf") if new else 1.0
    gain = ratio if more else 1 / ratio if ratio else float("inf")
    verdict = "worse" if gain < 1 / (1 + tolerance) else "better" if gain > 1 + tolerance else ""
    return Row(name, old, new, unit, ratio, verdict)


def worse(rows: list[Row], judged: Mapping[str, Any] | None = None) -> list[str]:
    """Names of the judged figures that are worse: the rate and the percentiles up to p99, which two runs repeat."""
    names = judged if judged is not None else {"requests a second": 1, "p50": 1, "p90": 1, "p99": 1}
    return [row.name for row in rows if row.verdict == "worse" and row.name in names]
