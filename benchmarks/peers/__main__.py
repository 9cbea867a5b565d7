"""`python -m benchmarks.peers`: everything beside its peers in one run. `make bench-peers` sets the environment up.

Each round measures every peer once, one after the other and each on fresh data; rows are medians over the rounds.
What is not installed is left out, and said so.
"""

import argparse
import json
import logging
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import structlog
from rich.console import Console
from rich.table import Table

from benchmarks.figures import shown
from benchmarks.peers import order_books, plain_postgres, redis_lua, tongbao, web_service
from benchmarks.peers.result import Part, Result
from loadtest.machine import machine

WAL_BYTES = 1 << 30
"""The server's default; every PostgreSQL here has it."""
WAL_BYTES_QUICK = 256 << 20
SECONDS, SECONDS_FULL = 3.0, 10.0
PLOT = Path(__file__).with_name("plot.py")
TITLES: dict[Part, str] = {
    "transfers": "Transfers between 10,000 accounts",
    "hot account": "Transfers with one account in each",
    "orders": "Orders: 1,000 resting; adds, cancels, moves, 5 % aggressive",
}
Peer = Callable[[Path], Iterator[Result]]


def peers(python: Path, seconds: float, wal_bytes: int) -> dict[str, Peer]:
    """Name of each peer, and how to measure it in an empty directory."""
    return {
        "tongbao": lambda directory: tongbao.results(directory, wal_bytes, seconds),
        "postgres": lambda directory: plain_postgres.results(directory, wal_bytes, seconds),
        "redis": lambda directory: redis_lua.results(directory, seconds),
        "web": lambda directory: web_service.results(directory, python, wal_bytes, seconds),
        "books": lambda _: order_books.results(python, seconds),
    }


def missing(name: str, python: Path) -> str:
    """Say what a peer lacks, or nothing."""
    if name == "redis":
        return redis_lua.missing()
    if name == "web":
        return web_service.missing(python)
    return ""


def middle(rounds: list[Result]) -> Result:
    """One row of the medians of several rounds."""
    values: dict[str, Any] = {}
    for name in ("per_second", "p50", "p99", "cpu", "memory"):
        known = [value for each in rounds if (value := getattr(each, name)) is not None]
        values[name] = median(known) if known else None
    return replace(rounds[0], **values, details={"per_second": [each.per_second for each in rounds]})


def markdown(results: list[Result]) -> str:
    """Render the tables of docs/BENCHMARKS.md."""
    lines: list[str] = []
    for part, title in TITLES.items():
        rows = [each for each in results if each.part == part]
        if not rows:
            continue
        lines += [f"**{title}**", "", "| | driven by | a second | p50 | p99 | CPU each | memory | durability |"]
        lines += ["|---|---|---|---|---|---|---|---|"]
        for each in sorted(rows, key=lambda row: -row.per_second):
            spread = each.details.get("per_second", [each.per_second])
            said = shown(each.per_second)
            if len(spread) > 1:
                said += f" ({shown(min(spread))}–{shown(max(spread))})"
            cells = [
                f"**{each.peer}**" if each.peer == "Tongbao" else each.peer, each.load, said, _time(each.p50),
                _time(each.p99), _time(each.cpu), "–" if each.memory is None else f"{each.memory:,.0f} MiB",
                each.durability + (f"; {each.note}" if each.note else ""),
            ]  # fmt: skip
            lines.append("| " + " | ".join(cells) + " |")
        lines.append("")
    return "\n".join(lines)


def _time(microseconds: float | None) -> str:
    if microseconds is None:
        return "–"
    if microseconds >= 1_000:
        return f"{microseconds / 1e3:.3g} ms"
    return f"{microseconds:.3g} µs" if microseconds >= 1 else f"{1e3 * microseconds:.0f} ns"


def show(results: list[Result], colour: bool) -> None:
    """Print the tables."""
    console = Console(no_color=not colour, width=None if colour else 180)
    for part, title in TITLES.items():
        table = Table(title=title)
        for name in ("peer", "driven by", "a second", "p50", "p99", "CPU each", "memory", "durability"):
            table.add_column(name, justify="left" if name in {"peer", "driven by", "durability"} else "right")
        for each in sorted((row for row in results if row.part == part), key=lambda row: -row.per_second):
            table.add_row(
                each.peer, each.load, shown(each.per_second), _time(each.p50), _time(each.p99), _time(each.cpu),
                "–" if each.memory is None else f"{each.memory:,.0f} MiB", each.durability,
                style="bold" if each.peer == "Tongbao" else "",
            )  # fmt: skip
        if table.row_count:
            console.print(table)


def main() -> int:
    """Run the command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("--python", type=Path, default=Path(sys.executable), help="of the peers' environment")
    parser.add_argument("--only", nargs="+", choices=list(peers(Path(), 0, 0)), help="these alone")
    parser.add_argument("--rounds", type=int, default=1, help="how often all of it is done; medians are given (1)")
    parser.add_argument("--full", action="store_true", help="the full lengths: minutes a round")
    parser.add_argument("--json", type=Path, help="write the results and the facts of the machine here")
    parser.add_argument("--plots", type=Path, help="write SVG pictures into this directory")
    parser.add_argument("--markdown", action="store_true", help="print Markdown tables instead")
    arguments = parser.parse_args()
    if arguments.rounds < 1:
        parser.error("--rounds: at least 1")
    structlog.configure(
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
    )
    seconds = SECONDS_FULL if arguments.full else SECONDS
    chosen = peers(arguments.python, seconds, WAL_BYTES if arguments.full else WAL_BYTES_QUICK)
    facts = machine()
    found: dict[tuple[str, str, str], list[Result]] = {}
    for turn in range(arguments.rounds):
        for name, measure in chosen.items():
            if arguments.only and name not in arguments.only:
                continue
            if lacks := missing(name, arguments.python):
                print(f"{name}: left out, {lacks}", file=sys.stderr)
                continue
            with tempfile.TemporaryDirectory() as directory:
                for result in measure(Path(directory)):
                    found.setdefault((result.part, result.peer, result.load), []).append(result)
                    said = f"{turn + 1}/{arguments.rounds} {result.peer}, {result.load}: {shown(result.per_second)}/s"
                    print(said, file=sys.stderr, flush=True)
    results = [middle(rounds) for rounds in found.values()]
    if arguments.markdown:
        print(markdown(results))
    else:
        show(results, sys.stdout.isatty())
    written = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"), "machine": facts, "rounds": arguments.rounds,
        "seconds": seconds, "titles": TITLES, "results": [asdict(each) for each in results],
    }  # fmt: skip
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(written, indent=1) + "\n", "utf-8")
    if arguments.plots is not None:
        arguments.plots.mkdir(parents=True, exist_ok=True)
        subprocess.run([arguments.python, PLOT, arguments.plots], input=json.dumps(written), text=True, check=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
