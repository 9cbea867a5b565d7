"""Thresholds of a run: `p99=20ms`, `errors=0`, `rps>=5000`, `create_transfers:p99.9<=50ms`.

A check is text until the run ends: options travel to the workers and into the web page as plain values. The syntax is
looked at when the command line is.
"""

import argparse
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

SYNTAX = re.compile(
    r"(?:(?P<name>[\w ]+):)?(?P<what>p\d{1,2}(?:\.\d+)?|mean|max|rps|items|errors|error_rate|requests)"
    r"(?P<relation><=|>=|=)(?P<limit>\d+(?:\.\d+)?)(?P<unit>us|ms|s|%)?"
)
MILLISECONDS = {"us": 0.001, "ms": 1.0, "s": 1_000.0}
AT_LEAST = ("rps", "items", "requests")
"""Of these more is better; of the others less."""

HELP = (
    "[REQUEST:]WHAT, a relation and a limit: p50 … p99.99, mean or max with us, ms or s (p99=20ms); errors; "
    "error_rate with %%; rps, items (a second) or requests with >= (rps>=1000). = means at most."
)


class CheckError(ValueError):
    """A check that cannot be read."""


class Measured(Protocol):
    """What a check looks at: the figures of one kind of request, or of all."""

    @property
    def requests(self) -> int: ...  # noqa: D102
    @property
    def errors(self) -> int: ...  # noqa: D102
    @property
    def rps(self) -> float: ...  # noqa: D102
    @property
    def items(self) -> float: ...  # noqa: D102
    @property
    def mean(self) -> float: ...  # noqa: D102
    @property
    def max(self) -> float: ...  # noqa: D102
    @property
    def timed(self) -> int: ...  # noqa: D102
    def percentile(self, percent: float) -> float: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of a check."""

    check: str
    ok: bool
    found: str


@dataclass(frozen=True, slots=True)
class Check:
    """One threshold. Times are in milliseconds, `error_rate` in percent."""

    text: str
    name: str
    what: str
    relation: str
    limit: float

    @property
    def rules_on_errors(self) -> bool:
        """Whether it says how many errors all requests together may have."""
        return not self.name and self.what in {"errors", "error_rate"}

    def judge(self, measured: Mapping[str, Measured]) -> Verdict:
        """Compare with what was measured; the total has the name "". What was never measured is not in order."""
        entry = measured.get(self.name)
        if entry is None:
            known = ", ".join(sorted(name for name in measured if name)) or "none at all"
            return Verdict(self.text, False, f"there were no such requests, but {known}")
        timed = self.what.startswith("p") or self.what in {"mean", "max"}
        if (timed and not entry.timed) or not (timed or entry.requests or self.what in AT_LEAST):
            return Verdict(self.text, False, "nothing was measured")
        value = self.value(entry)
        ok = value >= self.limit if self.relation == ">=" else value <= self.limit
        unit = " ms" if timed else " %" if self.what == "error_rate" else ""
        return Verdict(self.text, ok, f"{value:,.3f}".rstrip("0").rstrip(".") + unit)

    def value(self, entry: Measured) -> float:
        """The figure that the check is about."""
        if self.what.startswith("p"):
            return entry.percentile(float(self.what[1:]))
        if self.what == "error_rate":
            return 100 * entry.errors / entry.requests
        return float(getattr(entry, self.what))


def parse(text: str) -> Check:
    """Read one check; CheckError says what is wrong with it."""
    found = SYNTAX.fullmatch(text.strip())
    if found is None:
        raise CheckError(f"check: {text!r} is not like p99=20ms, errors=0, rps>=1000 or create_transfers:p99=20ms")
    what, relation, unit, limit = found["what"], found["relation"], found["unit"], float(found["limit"])
    if what.startswith("p") or what in {"mean", "max"}:
        if unit not in MILLISECONDS:
            raise CheckError(f"check: {text!r} needs a unit of time: us, ms or s")
        limit *= MILLISECONDS[unit]
    elif unit is not None and (what, unit) != ("error_rate", "%"):
        raise CheckError(f"check: {text!r}: {what} has no unit {unit}")
    if what in AT_LEAST and relation == "=":
        raise CheckError(f"check: {text!r}: write {what}>={found['limit']} or {what}<={found['limit']}")
    return Check(text.strip(), found["name"] or "", what, relation, limit)


def validated(text: str) -> str:
    """The same text, once it is known that it can be read: for argparse, which shows only errors of its own."""
    try:
        parse(text)
    except CheckError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text.strip()


def judge(checks: Iterable[str], measured: Mapping[str, Measured]) -> list[Verdict]:
    """All verdicts, in the order of the checks."""
    return [parse(text).judge(measured) for text in checks]


def bucket(milliseconds: float) -> float:
    """A response time with three digits, and never finer than a microsecond.

    Locust keeps whole milliseconds below 100, which would make all of ours 0 or 1.
    """
    if milliseconds <= 0:
        return 0.0
    return round(milliseconds, min(3, 2 - math.floor(math.log10(milliseconds))))
