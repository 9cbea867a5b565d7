"""Draws what `python -m benchmarks.peers` measured: JSON on standard input, SVG into a directory.

Runs in the peers' environment.
"""

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt

OURS, THEIRS = "#b3261e", "#5f6b7a"


def label(value: float) -> str:
    """A number on a bar."""
    if value >= 1e6:
        return f"{value / 1e6:.3g} M"
    return f"{value / 1e3:.3g} k" if value >= 1e3 else f"{value:.3g}"


def bars(rows: list[dict[str, Any]], title: str, file: Path) -> None:
    """Throughput as bars on a logarithmic axis, with latencies beside them."""
    rows = sorted(rows, key=lambda row: row["per_second"])
    figure, axes = plt.subplots(figsize=(9, 0.42 * len(rows) + 1.1), layout="constrained")
    names = [f"{row['peer']}: {row['load']}" for row in rows]
    values = [row["per_second"] for row in rows]
    axes.barh(names, values, color=[OURS if row["peer"] == "Tongbao" else THEIRS for row in rows])
    axes.set_xscale("log")
    axes.set_xlim(right=max(values) * 100)
    for place, row in enumerate(rows):
        latency = "" if row["p50"] is None else f"   p50 {row['p50'] / 1e3:.3g}, p99 {row['p99'] / 1e3:.3g} ms"
        axes.text(row["per_second"] * 1.1, place, label(row["per_second"]) + latency, va="center", fontsize=8)
    axes.set_title(title, fontsize=10, loc="left")
    axes.set_xlabel("a second, logarithmic", fontsize=8)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(file, bbox_inches="tight", metadata={"Date": None})
    plt.close(figure)


def main() -> None:
    """Draw a picture for each part."""
    mpl.rcParams["svg.hashsalt"] = "tongbao"  # the same figures give the same file
    written = json.load(sys.stdin)
    for part, title in written["titles"].items():
        rows = [row for row in written["results"] if row["part"] == part]
        if rows:
            bars(rows, title, Path(sys.argv[1]) / f"peers-{part.replace(' ', '-')}.svg")


if __name__ == "__main__":
    main()
