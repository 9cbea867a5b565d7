"""A result as one HTML file that needs nothing else: pictures inline, tables beside them, the facts below."""

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any

from loadtest.load.judging import PERCENTILES, figures
from loadtest.load.plots import pictures, svg
from loadtest.load.result import Result

STYLE = """
:root { color-scheme: light }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 68rem; padding: 0 1rem; color: #1d2329 }
h1 { font-size: 1.5rem } h2 { font-size: 1.1rem; margin-top: 2rem }
svg { width: 100%; height: auto }
table { border-collapse: collapse; margin: .5rem 0 }
td, th { padding: .2rem .9rem .2rem 0; text-align: right; border-bottom: 1px solid #e3e6e8 }
td:first-child, th:first-child { text-align: left }
.bad { color: #b5322e; font-weight: 600 }
"""


def write(path: Path, result: Result) -> None:
    """Write the page."""
    run = result["run"]
    pace = f"{run['rate']:,.0f}/s on schedule" if run.get("rate") else f"{run.get('depth', 0)} in flight on each"
    head = f"{run['workload']}, {run['connections']:,} connections, {'a sweep' if 'steps' in result else pace}"
    parts = [f"<h1>tongbao load: {escape(head)}</h1>"]
    parts += [f"<figure>{svg(figure)}</figure>" for figure in pictures(result).values()]
    parts += _sweep(result) if "steps" in result else _one(result)
    facts = {"at": result["at"], "tongbao": result["tongbao"], "note": result["note"], **result["machine"], **run}
    parts += [
        "<h2>Facts</h2>",
        _table(("", ""), [(name, _shown(value)) for name, value in facts.items() if value != ""]),
    ]
    page = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(head)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head>'
        f"<body>{''.join(parts)}</body></html>"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, "utf-8")


def _one(result: Result) -> list[str]:
    measured = result["measured"]
    heads = ("latency, ms", "requests", *(f"p{percent:g}" if percent < 100 else "highest" for percent in PERCENTILES))
    rows = [
        (name or "all", f"{known.timed:,}", *(f"{known.percentile(percent):,.3f}" for percent in PERCENTILES))
        for name, known in figures(result).items()
    ]
    answers = [*measured["statuses"].items(), *((f"error {code}", count) for code, count in measured["errors"].items())]
    lines = [(name, f"{count:,}") for name, count in answers]
    lines += [
        ("requests a second", f"{measured['requests_per_second']:,.0f}"),
        ("items a second", f"{measured['transfers_per_second']:,.0f}"),
        ("the generator's CPU a request", f"{measured['generator_ns_per_request']:,.0f} ns"),
    ]
    verdict = "" if measured["ok"] else '<p class="bad">Not every reply was as expected.</p>'
    return [verdict, "<h2>Latencies</h2>", _table(heads, rows), "<h2>Answers</h2>", _table(("", "count"), lines)]


def _sweep(result: Result) -> list[str]:
    rows = []
    for step in sorted(result["steps"], key=lambda step: step["run"]["rate"]):
        measured, latency = step["measured"], step["measured"]["latency_us"]
        shown = [f"{latency.get(name, 0) / 1e3:,.3f}" for name in ("p50", "p99", "p99_9", "max")]
        served = "yes" if step["served"] else "no"
        rows.append((f"{step['run']['rate']:,.0f}", f"{measured['requests_per_second']:,.0f}", *shown, served))
    heads = ("offered a second", "answered", "p50 ms", "p99", "p99.9", "highest", "served")
    knee = f"Highest rate that was served: {result['knee']:,.0f}/s" if result["knee"] else "No rate was served"
    return [f"<h2>{knee}</h2>", _table(heads, rows)]


def _table(heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    head = "".join(f"<th>{escape(str(name))}</th>" for name in heads)
    body = "".join("<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"


def _shown(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int | float) and not isinstance(value, bool) else str(value)
