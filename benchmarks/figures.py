"""What a benchmark gives: figures, each beside its first gate and its goal, with the facts of the machine."""

import argparse
import json
import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from statistics import median_low
from typing import Any

import structlog
from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Gate:
    """What a figure is to reach."""

    gate: float
    goal: float
    at_most: bool = False
    """Less is better."""


GATES: dict[str, Gate] = {
    "request/serial": Gate(3_000, 3_500),
    "request/serial p50": Gate(0.27, 0.25, at_most=True),
    "request/1 x 64": Gate(100_000, 150_000),
    "request/1 x 64 p99": Gate(20, 3, at_most=True),
    "request/16 x 64": Gate(400_000, 1_000_000),
    "request/16 x 64 p99": Gate(117, 20, at_most=True),
    "request/64 x 16": Gate(400_000, 1_000_000),
    "request/64 x 16 p99": Gate(117, 20, at_most=True),
    "request/open 100 k/s p99": Gate(5, 2, at_most=True),
    "request/open 300 k/s p99": Gate(10, 4, at_most=True),
    "request/batches of 1,000": Gate(600_000, 1_200_000),
    "request/times plain PostgreSQL": Gate(40, 100),
    "request/times plain PostgreSQL, hot account": Gate(40, 100),
    "path/16 x 64 without the commit": Gate(1_000_000, 2_000_000),
    "posting/10 k accounts": Gate(7e6, 12e6),
    "posting/1 M accounts": Gate(3.5e6, 7e6),
    "posting/10 M accounts": Gate(2.5e6, 5e6),
    "book/1 k resting": Gate(8e6, 12e6),
    "book/100 k resting": Gate(3e6, 6.5e6),
    "settled/1 k resting": Gate(1.5e6, 3e6),
    "settled/100 k resting": Gate(1.5e6, 3e6),
    "risk/order": Gate(60, 35, at_most=True),
    "risk/times the twin": Gate(1.3, 1.0, at_most=True),
    "risk/decision p99": Gate(2, 2, at_most=True),
    "risk/basket": Gate(40e6, 40e6),
    "risk/start, warm": Gate(2, 0.5, at_most=True),
    "projection/behind": Gate(100_000, 100_000),
    "recovery/10 M transfers": Gate(10, 3, at_most=True),
    "overload/10 x in flight, of the peak": Gate(0.9, 0.9),
    "overload/10 x offered, of the peak": Gate(0.9, 0.9),
    "overload/10 x in flight, p99 inside, of the peak's": Gate(2, 2, at_most=True),
    "overload/10 x offered, p99 inside, of the peak's": Gate(2, 2, at_most=True),
    "overload/next second, of the peak": Gate(0.9, 0.9),
    "snapshot/stall p99.9": Gate(50, 10, at_most=True),
    "memory/bytes per transfer": Gate(256, 180, at_most=True),
}
"""First gates and goals of the project, on the machine it is developed on: 2 virtual cores that the server, PostgreSQL
and the load generator share."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number. `name` is that of a gate, or free; `note` says what else one must know to read it."""

    name: str
    value: float
    unit: str
    note: str = ""
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def verdict(self) -> str:
        """How it stands to its gate: "goal", "gate", "below", or "" when it has none."""
        wanted = GATES.get(self.name)
        if wanted is None:
            return ""
        sign = -1 if wanted.at_most else 1
        if sign * self.value >= sign * wanted.goal:
            return "goal"
        return "gate" if sign * self.value >= sign * wanted.gate else "below"


Measure = Callable[[bool], Iterator[Figure]]
"""Yields figures; True: the full sizes, False: what fits into a minute."""


def main(description: str | None, measure: Measure, *, rounds_full: int = 1) -> None:
    """The command line of one benchmark: `python -m benchmarks.bench_… [--full] [--rounds N] [--json]`.

    `rounds_full` is how often all of it is done with --full, where --rounds says nothing else; otherwise once.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--full", action="store_true", help="the full sizes, minutes instead of seconds")
    parser.add_argument(
        "--rounds", type=int, help=f"how often, one after another; gives medians (1, with --full {rounds_full})"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object per figure and line")
    arguments = parser.parse_args()
    rounds: int = (rounds_full if arguments.full else 1) if arguments.rounds is None else arguments.rounds
    if rounds < 1:
        parser.error("--rounds: at least 1")
    # What a journal in this process has to say must not stand between the figures, nor be paid for in their times.
    structlog.configure(
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
    )
    found: dict[str, list[Figure]] = {}
    for turn in range(1, rounds + 1):
        for figure in measure(arguments.full):
            found.setdefault(figure.name, []).append(figure)
            if not arguments.json:
                line = f"{figure.name:<50}{shown(figure.value):>12} {figure.unit:<13} {figure.note}"
                print(f"{turn}/{rounds} {line}" if rounds > 1 else line, flush=True)
            elif rounds == 1:
                print(json.dumps(asdict(figure)), flush=True)
    figures = [middle(each) for each in found.values()]
    if not arguments.json:
        show(figures, sys.stdout.isatty())
    elif rounds > 1:
        for figure in figures:
            print(json.dumps(asdict(figure)), flush=True)


def middle(rounds: Sequence[Figure]) -> Figure:
    """The figure of the median round (of two the lower), with the range of all rounds before its note."""
    if len(rounds) == 1:
        return rounds[0]
    values = [figure.value for figure in rounds]
    value = median_low(values)
    figure = rounds[values.index(value)]
    spread = f"{shown(min(values))} to {shown(max(values))} in {len(rounds)} rounds"
    return replace(
        figure,
        note=f"{spread}; {figure.note}" if figure.note else spread,
        details={**figure.details, "rounds": values},
    )


def shown(value: float) -> str:
    """A number for people: thousands with commas, small ones with three digits."""
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.3g}"


def show(figures: list[Figure], colour: bool) -> None:
    """Print figures beside their gates and goals."""
    table = Table()
    table.add_column("figure")
    for name in ("measured", "gate", "goal", "reached"):
        table.add_column(name, justify="right")
    table.add_column("unit")
    table.add_column("note")
    styles = {"goal": "bold green", "gate": "green", "below": "red", "": ""}
    for figure in figures:
        wanted = GATES.get(figure.name)
        sign = "≤ " if wanted and wanted.at_most else ""
        table.add_row(
            figure.name,
            shown(figure.value),
            f"{sign}{shown(wanted.gate)}" if wanted else "",
            f"{sign}{shown(wanted.goal)}" if wanted else "",
            figure.verdict,
            figure.unit,
            figure.note,
            style=styles[figure.verdict],
        )
    Console(no_color=not colour, width=None if colour else 160).print(table)
