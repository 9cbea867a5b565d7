"""`python -m benchmarks.profiling flame …`: where the server's time goes. See docs/PROFILING.md."""

import sys
import tempfile
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter
from rich.console import Console

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


if __name__ == "__main__":
    sys.exit(app())
