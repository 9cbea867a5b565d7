"""Pictures of a result: latency by percentile, the seconds of a run, the steps of a sweep."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

from loadtest.load.result import Result, decoded

SIZE = (11.0, 4.6)
DOTS = 120
NINES = (0.0, 50.0, 90.0, 99.0, 99.9, 99.99, 99.999)
LINES = (("p50", "p50", "#2b7bba"), ("p99", "p99", "#e07b39"), ("p99_9", "p99.9", "#b5322e"))

mpl.rcParams.update({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False, "svg.fonttype": "none"})


def percentiles(results: Sequence[Result], names: Sequence[str]) -> Figure:
    """Draw latency by percentile, one line a run and kind; the axis has as much room for each nine."""
    figure, axes = _axes("latency by percentile", "milliseconds")
    at = 1 - np.logspace(0, -6, 400)
    for result, name in zip(results, names, strict=True):
        for kind, text in result["histograms"].items():
            if kind and len(results) > 1:
                continue
            histogram = decoded(text)
            total = histogram.get_total_count()
            if not total:
                continue
            known = at[at <= 1 - 1 / max(2, total)]
            values = [histogram.get_value_at_percentile(100 * part) / 1e6 for part in known]
            label = " ".join(word for word in (name, kind) if word) or "all requests"
            axes.plot(-np.log10(1 - known), values, label=label, linewidth=2.2 if not kind else 1.1)
    axes.set_xticks([-np.log10(1 - part / 100) if part else 0 for part in NINES], [f"{part:g} %" for part in NINES])
    axes.set_yscale("log")
    _finish(axes)
    return figure


def seconds(result: Result) -> Figure:
    """Draw a run second by second: how many requests, and how late."""
    line = result["measured"]["time_line"]
    figure, axes = _axes("second by second", "milliseconds")
    at = np.arange(1, len(line) + 1)
    for name, label, colour in (*LINES, ("max", "highest", "#8c8c8c")):
        axes.plot(at, [entry[name] / 1e3 for entry in line], label=label, color=colour, linewidth=1.8)
    axes.set_yscale("log")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("second of the measured time")
    rate = axes.twinx()
    rate.spines["right"].set_visible(True)
    rate.bar(at, [entry["requests"] for entry in line], color="#2e8b57", alpha=0.18, width=0.9)
    failed = [entry["failed"] for entry in line]
    if any(failed):
        rate.bar(at, failed, color="#b5322e", alpha=0.6, width=0.9, label="refused or wrong")
    rate.set_ylabel("requests in the second")
    rate.set_ylim(bottom=0)
    rate.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    _finish(axes)
    return figure


def steps(result: Result) -> Figure:
    """Draw a sweep: latency by rate, and where the knee is."""
    figure, axes = _axes("latency by offered rate", "milliseconds")
    found = sorted(result["steps"], key=lambda step: step["run"]["rate"])
    at = [step["run"]["rate"] for step in found]
    for name, label, colour in LINES:
        axes.plot(
            at, [step["measured"]["latency_us"].get(name, 0) / 1e3 for step in found], "o-", label=label, color=colour
        )
    missed = [step for step in found if not step["served"]]
    worst = [step["measured"]["latency_us"].get("p99_9", 0) / 1e3 for step in missed]
    axes.plot([step["run"]["rate"] for step in missed], worst, "x", color="black", markersize=9, label="not served")
    if result["knee"]:
        axes.axvline(result["knee"], color="#2e8b57", linestyle="--", label=f"knee, {result['knee']:,.0f}/s")
    axes.set_yscale("log")
    axes.set_xlabel("requests a second")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    _finish(axes)
    return figure


def pictures(result: Result) -> dict[str, Figure]:
    """All pictures of a result, by name."""
    if "steps" in result:
        return {"sweep": steps(result)}
    found = {"percentiles": percentiles([result], [""])}
    if len(result["measured"]["time_line"]) > 1:
        found["seconds"] = seconds(result)
    return found


def save(figures: dict[str, Figure], path: Path) -> list[Path]:
    """Write PNGs: PATH-NAME.png beside the given path."""
    written = []
    path.parent.mkdir(parents=True, exist_ok=True)
    for name, figure in figures.items():
        target = path.with_name(f"{path.stem}-{name}.png")
        figure.savefig(target, dpi=DOTS, bbox_inches="tight")
        written.append(target)
    return written


def svg(figure: Figure) -> str:
    """Give a picture as the text of an SVG element, without the declaration of a file."""
    text = io.StringIO()
    figure.savefig(text, format="svg", bbox_inches="tight", metadata={"Date": None, "Creator": None})
    return text.getvalue()[text.getvalue().index("<svg") :]


def _axes(title: str, unit: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=SIZE)
    axes: Any = figure.subplots()
    axes.set_title(title, loc="left", fontweight="bold")
    axes.set_ylabel(unit)
    axes.grid(visible=True, which="major", alpha=0.25)
    return figure, axes


def _finish(axes: Axes) -> None:
    if axes.get_yscale() == "log":
        plain = FuncFormatter(lambda value, _: f"{value:g}")
        axes.yaxis.set_major_formatter(plain)
        some = FuncFormatter(lambda value, _: f"{value:g}" if f"{value:e}"[0] in "25" else "")
        axes.yaxis.set_minor_formatter(some if _decades(axes) < 2 else NullFormatter())
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(0, -0.12), ncols=6)


def _decades(axes: Axes) -> float:
    low, high = axes.get_ylim()
    return float(np.log10(high / low))
