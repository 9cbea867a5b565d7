"""A run's result as a file: what was asked, where, what was measured, and every latency as an HdrHistogram.

The file is JSON. `histograms` holds one compressed HdrHistogram (V2, base64, values in nanoseconds, three digits) for
all requests ("") and one for each kind, as every HdrHistogram library reads them.
"""

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from hdrh.histogram import HdrHistogram

from loadtest.machine import machine

FORMAT = "tongbao-load/1"
HIGHEST_NS = 2**37
DIGITS = 3

Result = dict[str, Any]
"""`run` with what was asked, `measured` as the generator gives it, `histograms`, or for a sweep `steps` of those."""


class ResultError(ValueError):
    """A file that is no result."""


def histogram(counts: Iterable[tuple[int, int]]) -> HdrHistogram:
    """Make an HdrHistogram of (value in nanoseconds, count)."""
    made = HdrHistogram(1, HIGHEST_NS, DIGITS)
    for value, count in counts:
        made.record_value(max(1, min(value, HIGHEST_NS)), count)
    return made


def encoded(latencies: Mapping[str, Iterable[tuple[int, int]]]) -> dict[str, str]:
    """Encode the histograms of a run by kind."""
    return {name: histogram(counts).encode().decode() for name, counts in latencies.items()}


def decoded(text: str) -> HdrHistogram:
    """Read one back."""
    return HdrHistogram.decode(text)


def facts(note: str) -> dict[str, Any]:
    """When and where, asked before the run; `note` is what the user says of the server and its durability."""
    return {
        "format": FORMAT,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "tongbao": version("tongbao"),
        "machine": machine(),
        "note": note,
    }


def write(path: Path, result: Result) -> None:
    """Write a result."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n", "utf-8")


def read(path: Path) -> Result:
    """Read a result; ResultError names the file."""
    try:
        found = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ResultError(f"{path}: {error.strerror}") from None
    except ValueError:
        raise ResultError(f"{path}: not JSON") from None
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise ResultError(f"{path}: not a result of `tongbao load` ({FORMAT})")
    return found


def write_hgrm(path: Path, text: str) -> None:
    """Write the percentile distribution in milliseconds, as HdrHistogram's plotter takes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        decoded(text).output_percentile_distribution(file, 1e6)
