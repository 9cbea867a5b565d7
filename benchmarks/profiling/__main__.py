"""Where the server's time goes: flame graphs, a budget by stage, instruction counts. See docs/PROFILING.md."""

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter
from rich.console import Console

from benchmarks.profiling import counts as instructions
from benchmarks.profiling.budget import Reading, dump, show, spent
from benchmarks.profiling.flame import svg
from benchmarks.profiling.loads import LOADS
from benchmarks.profiling.owners import show_owners
from benchmarks.profiling.running import running
from benchmarks.profiling.sampling import NoSamplesError, choose

app = App(name="python -m benchmarks.profiling", help=__doc__, version_flags=[])
console = Console(stderr=True)
Load = Annotated[list[str] | None, Parameter(name=["--load", "-l"])]


def chosen(names: list[str] | None, default: list[str]) -> list[str]:
    """Check names of loads."""
    names = list(LOADS) if names == ["all"] else names or default
    for name in names:
        if name not in LOADS:
            raise SystemExit(f"--load: {name!r} is none of {', '.join(LOADS)}, all")
    return names


@app.command
def flame(
    *,
    load: Load = None,
    seconds: Annotated[float, Parameter(alias="-t")] = 6.0,
    no_commit: Annotated[bool, Parameter(negative=())] = False,
    tool: Literal["perf", "py-spy", ""] = "",
    directory: Annotated[Path, Parameter(alias="-o")] = Path("build/profile"),
) -> int:
    """Draw a flame graph of the real server under load.

    Parameters
    ----------
    load
        singles, serial, pipeline, batches, orders, open or all; may be given several times (singles).
    seconds
        How long each load is sampled.
    no_commit
        On a log that confirms at once and keeps nothing (benchmarks/unlogged_server.py).
    tool
        perf or py-spy; by default perf if it is there and allowed.
    directory
        Where the files go: one SVG a load.
    """
    directory.mkdir(parents=True, exist_ok=True)
    for name in chosen(load, ["singles"]):
        with tempfile.TemporaryDirectory() as scratch:
            try:
                sampler, why = choose(tool, Path(scratch))
            except NoSamplesError as error:
                console.print(f"[red]no profiler:[/red] {error}", highlight=False)
                return 1
            console.print(f"{name}: {LOADS[name][0]}; with {sampler.name} ({why})", highlight=False)
            with running(Path(scratch), no_commit=no_commit) as server:
                server.warm(name)
                run = server.ready(name)
                sampler.start(server.pid)
                spent = server.cpu_seconds()
                done = run(seconds)
                spent = server.cpu_seconds() - spent
                stacks = sampler.stop()
        path = directory / f"{name}{'-no-commit' if no_commit else ''}-{sampler.name}.svg"
        title = f"Tongbao, {LOADS[name][0]}{', without the commit' if no_commit else ''}"
        note = (
            f"{sampler.how} {stacks.total():,} samples, {done.requests / done.seconds:,.0f} requests/s while sampled, "
            f"{1e9 * spent / done.requests:,.0f} ns of CPU a request."
        )
        path.write_text(svg(stacks, title, note), "utf-8")
        if sampler.name == "perf":  # py-spy sees no kernel, and gives other names
            show_owners(stacks, 1e9 * spent / done.requests)
        console.print(f"wrote {path}", highlight=False)
    return 0


@app.command
def budget(
    *,
    load: Load = None,
    seconds: Annotated[float, Parameter(alias="-t")] = 5.0,
    no_commit: Annotated[bool, Parameter(negative=())] = False,
    url: str = "",
    json_output: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> int:
    """Say what each stage costs a message: read, parse, apply, log, reply, write, and what is left of the CPU time.

    Parameters
    ----------
    load
        As for flame (singles).
    seconds
        How long each load runs, or how long a running server is watched.
    no_commit
        On a log that confirms at once and keeps nothing.
    url
        Metrics of a running server, e.g. http://127.0.0.1:7421/metrics: it is watched under the load that it has.
    json_output
        Print one JSON object a load.
    """
    for name in [""] if url else chosen(load, ["singles"]):
        if url:
            before, began = Reading.fetch(url), time.perf_counter()
            time.sleep(seconds)
            one = spent(url, before, Reading.fetch(url), time.perf_counter() - began)
        else:
            with tempfile.TemporaryDirectory() as scratch, running(
                Path(scratch), no_commit=no_commit, staged=True
            ) as server:  # fmt: skip
                server.warm(name)
                run = server.ready(name)
                before, database = server.reading(), server.database_cpu_seconds()
                done = run(seconds)
                database = server.database_cpu_seconds() - database
                title = LOADS[name][0] + (", without the commit" if no_commit else "")
                one = spent(title, before, server.reading(), done.seconds, 0.0 if no_commit else database)
        if json_output:
            print(dump(one))
        else:
            show(one)
    return 0


@app.command
def counts(
    *,
    tolerance: float = instructions.TOLERANCE,
    update: Annotated[bool, Parameter(negative=())] = False,
    expected: Path = instructions.EXPECTED,
    json_output: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> int:
    """Count the instructions of the compiled path, and compare them with those that are written down.

    Meant for modules without -march, as `make profile-check` builds them. The exit code is 1 when a stage takes more
    than was written down, and 0 without a comparison (the reason is printed) when instructions cannot be counted here
    or the counts were made with another compiler.

    Parameters
    ----------
    tolerance
        By which share a stage may take more.
    update
        Write down what is counted.
    expected
        The file that holds what is written down.
    json_output
        Print facts, counts and what was expected as one JSON object.
    """
    console.print("counting: about three minutes, most of them for Numba's import", highlight=False)
    try:
        counted = instructions.count()
    except instructions.NotHereError as error:
        console.print(f"skipped: {error}", highlight=False, markup=False)
        return 0
    if update:
        instructions.write(expected, counted)
    facts, before = instructions.facts(), instructions.written(expected)
    rows = instructions.compare(counted, before.get("cases", {}))
    if json_output:
        print(json.dumps({"facts": facts, "cases": counted, "expected": before}))
    else:
        instructions.show(rows, tolerance)
    if before.get("facts") != facts:
        console.print(f"not compared: counted with {facts}, written down with {before.get('facts')}", highlight=False)
        return 0
    more = [row for row in rows if row.more > tolerance]
    for row in more:
        console.print(f"[red]more:[/red] {row.case}, {row.stage}: {100 * row.more:+.1f} %", highlight=False)
    return 1 if more else 0


if __name__ == "__main__":
    sys.exit(app())
