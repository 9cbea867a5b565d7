"""Where the server's time goes: flame graphs under load, a budget by stage. See docs/PROFILING.md."""

import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter
from rich.console import Console

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


if __name__ == "__main__":
    sys.exit(app())
