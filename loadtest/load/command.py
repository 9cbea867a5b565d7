"""The command `tongbao load`; see docs/LOADTEST.md."""

import json as json_library
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from loadtest.checks import Check, CheckError, parse
from loadtest.locust.own_server import OwnServer
from loadtest.loop import LoadError, Loop
from loadtest.sources import SourceError, Wanted
from loadtest.workload import Shape, Spread, Workload
from server.cli.common import CommandError
from server.client import ClientError

app = App(
    name="load",
    help="Measure a server with the compiled generator: closed or open loop, sweeps, files to compare.",
    result_action="return_value",
)

OWN_SERVER = "a server of its own: fsync before each answer, the same machine"
Json = Annotated[bool, Parameter(name="--json", negative=())]


@dataclass(frozen=True, slots=True)
class Out:
    """Where results go."""

    json: bool
    output: Path | None
    plots: Path | None
    html: Path | None
    hgrm: Path | None


@app.default
def load(
    workload: str = "transfers",
    *,
    host: str = "127.0.0.1",
    port: Annotated[int, Parameter(alias="-p")] = 7420,
    own_server: Annotated[bool, Parameter(negative=())] = False,
    channel: Annotated[str, Parameter(env_var="TONGBAO_CHANNEL")] = "",
    key: Annotated[str, Parameter(env_var="TONGBAO_KEY", show_default=False)] = "",
    connections: Annotated[int, Parameter(alias="-c")] = 16,
    depth: Annotated[int, Parameter(alias="-d")] = 64,
    rate: Annotated[float, Parameter(alias="-r")] = 0.0,
    sweep_to: float = 0.0,
    sweep_factor: float = 1.5,
    seconds: Annotated[float, Parameter(alias="-t")] = 10.0,
    warm_up: float = 1.0,
    rest: float = 1.0,
    count: Annotated[int | None, Parameter(alias="-n")] = None,
    items: int = 1,
    accounts: int = 10_000,
    spread: Spread = "uniform",
    shape: Shape = "single",
    seed: int | None = None,
    data: Annotated[Path | None, Parameter(env_var="TONGBAO_SHARED_DATA")] = None,
    check: Annotated[list[str] | None, Parameter(negative="")] = None,
    note: str = "",
    output: Annotated[Path | None, Parameter(alias="-o")] = None,
    plots: Path | None = None,
    html: Path | None = None,
    hgrm: Path | None = None,
    json: Json = False,
) -> int:
    """Send a load and print what was measured.

    Closed loop: each connection keeps `depth` requests in flight. With `--rate` an open loop: requests go out on a
    schedule that no reply delays, and a latency counts from when its request was due. With `--sweep-to` as well, one
    open loop after the other from `--rate` on, to find the highest rate that the checks allow.

    Exit codes: 0 done, and all checks hold; 1 no server, or a reply that makes no sense; 2 wrong usage; 3 a check does
    not hold, or replies were not as expected and no check speaks of errors.

    Parameters
    ----------
    workload
        transfers, reads, orders, quotes, bank-day, berka, lobster, or MODULE:FUNCTION of your own.
    host
        Address of the server.
    port
        Its TCP/JSON port.
    own_server
        Start a server of its own with its data in a temporary directory, and end it afterwards.
    channel
        Channel to log on as; without it the server must run with --dev.
    key
        The channel's key.
    connections
        How many connections; thousands are fine.
    depth
        Requests in flight on each connection (closed loop).
    rate
        Requests a second in all, on a fixed schedule (open loop); 0: closed loop.
    sweep_to
        Sweep the rate from --rate to this.
    sweep_factor
        How much higher each rate of a sweep is.
    seconds
        How long, or how long each step of a sweep.
    warm_up
        Seconds at the beginning that are not measured.
    rest
        Seconds of quiet before the first request, and between the steps of a sweep. A server that has just made its
        database has a disk that is busy for some ten seconds.
    count
        At most so many requests.
    items
        Transfers of one request (transfers only).
    accounts
        How many accounts take part; they are created first.
    spread
        Whose money moves: uniform, zipf, or hot (one account in every transfer).
    shape
        single transfers, two_phase (pending, then post or void), or linked (chains of two).
    seed
        Another seed makes other requests; by default one that has not been used yet.
    data
        Directory of the shared data, for berka and lobster.
    check
        A threshold, may be repeated: p99=5ms, p99.9<=20ms, rps>=100000, errors=0, balances:p99=2ms.
    note
        Words for the result file: what server this is, how durable.
    output
        Write the result to this file (JSON), for `compare` and `report`.
    plots
        Write pictures: PLOTS-percentiles.png and PLOTS-seconds.png, or PLOTS-sweep.png.
    html
        Write a page with pictures and tables that needs nothing else.
    hgrm
        Write the percentile distribution as HdrHistogram's tools read it.
    json
        Print the result as JSON.
    """
    _needs()
    from loadtest.load.result import facts
    from loadtest.load.running import Pace, Server, run
    from loadtest.load.sweep import Sweep, sweep

    checks = _checks(check or [])
    if sweep_to and not (rate and rate < sweep_to and sweep_factor > 1):
        raise CommandError("--sweep-to: more than --rate, from which the sweep begins, and a --sweep-factor above 1")
    if seconds <= warm_up or warm_up < 0:
        raise CommandError("--seconds: more than --warm-up, which is at least 0")
    if connections < 1 or depth < 1 or rate < 0 or rest < 0:
        raise CommandError("--connections and --depth: at least 1; --rate and --rest: at least 0")
    try:
        made = Workload(seed=time.time_ns() if seed is None else seed, accounts=accounts, spread=spread, shape=shape)
    except ValueError as error:
        raise CommandError(f"--{error}") from None
    if sweep_to and hgrm is not None:
        raise CommandError("--hgrm: a sweep has no single distribution")
    out = Out(json, output, plots, html, hgrm)
    console = Console(stderr=True)
    at_start = facts(note or (OWN_SERVER if own_server else ""))
    with ExitStack() as stack:
        bar = Bar(stack, console, seconds) if console.is_terminal and not json else None
        server = Server(host, port, channel, key)
        if own_server:
            try:
                own = stack.enter_context(OwnServer(connections_max=connections + 64))
            except RuntimeError as error:
                console.print(f"tongbao load: {error}", style="red", highlight=False, markup=False)
                return 1
            server = Server("127.0.0.1", own.port)
        wanted = Wanted(
            workload, made, connections, None, items, data, bar.prepared if bar else lambda _done, _total: None
        )
        pace = Pace(depth, rate, seconds, warm_up, count)
        time.sleep(rest)
        try:
            if sweep_to:
                plan = Sweep(rate, sweep_to, sweep_factor, rest_seconds=rest)
                say = _say_step(console) if not json else lambda _step: None
                found = sweep(
                    server, wanted, pace, plan, checks, rest=time.sleep, say=say, look=bar.look if bar else None
                )
                found["run"] = dict(found["steps"][0]["run"]) | {"rate": 0, "sweep": [rate, sweep_to, sweep_factor]}
            else:
                found = run(server, wanted, pace, bar.look if bar else None)
        except (SourceError, ValueError) as error:
            raise CommandError(str(error)) from None
        except (LoadError, ClientError, OSError) as error:
            console.print(f"tongbao load: {error}", style="red", highlight=False, markup=False)
            return 1
    return _end(at_start | found, checks, out)


@app.command
def compare(
    old: Path,
    new: Path,
    /,
    *,
    tolerance: float = 0.1,
    anyway: Annotated[bool, Parameter(negative=())] = False,
    plots: Path | None = None,
    json: Json = False,
) -> int:
    """Hold two results against each other: rate and percentiles, and whether the new one is worse.

    Exit codes: 0 not worse, 2 not comparable or no results, 3 the rate, p50, p90 or p99 is worse than the tolerance.

    Parameters
    ----------
    old
        A result file of `tongbao load --output`.
    new
        Another.
    tolerance
        What may be lost, as a part of one.
    anyway
        Compare results of different loads or machines all the same.
    plots
        Write a picture of both: PLOTS-percentiles.png.
    json
        Print one JSON document.
    """
    _needs()
    from loadtest.load import judging, result

    try:
        before, after = result.read(old), result.read(new)
    except result.ResultError as error:
        raise CommandError(str(error)) from None
    if "steps" in before or "steps" in after:
        raise CommandError("a sweep is compared by its knee; give the results of two runs")
    different = judging.differences(before, after)
    if different and not anyway:
        raise CommandError(f"not alike: {'; '.join(different)} (--anyway compares all the same)")
    rows = judging.compared(before, after, tolerance)
    bad = judging.worse(rows)
    if plots is not None:
        from loadtest.load import plots as drawing

        drawing.save({"percentiles": drawing.percentiles([before, after], [old.stem, new.stem])}, plots)
    if json:
        document = {
            "rows": [{name: getattr(row, name) for name in row.__slots__} for row in rows],
            "worse": bad,
            "different": different,
        }
        print(json_library.dumps(document, indent=1))
    else:
        table = Table(title=f"{new.name} over {old.name}")
        for name in ("", old.stem, new.stem, "new / old", "verdict"):
            table.add_column(name, justify="left" if name in {"", "verdict"} else "right")
        for row in rows:
            form = ",.0f" if row.unit == "/s" else ",.3f"
            cells = (f"{row.old:{form}} {row.unit}", f"{row.new:{form}} {row.unit}", f"{row.ratio:.2f}", row.verdict)
            table.add_row(row.name, *cells, style={"worse": "red", "better": "green"}.get(row.verdict, ""))
        Console().print(table)
        for words in different:
            print(f"not alike: {words}", file=sys.stderr)
    return 3 if bad else 0


@app.command
def report(
    file: Path,
    /,
    *,
    plots: Path | None = None,
    html: Path | None = None,
    hgrm: Path | None = None,
    json: Json = False,
) -> int:
    """Show a result file again, and make its pictures and its page.

    Exit codes: 0 done, 2 not a result.

    Parameters
    ----------
    file
        A result file of `tongbao load --output`.
    plots
        Write pictures: PLOTS-percentiles.png and PLOTS-seconds.png, or PLOTS-sweep.png.
    html
        Write a page with pictures and tables that needs nothing else.
    hgrm
        Write the percentile distribution as HdrHistogram's tools read it.
    json
        Print it as JSON.
    """
    from loadtest.load import result

    try:
        found = result.read(file)
    except result.ResultError as error:
        raise CommandError(str(error)) from None
    _end(found, [], Out(json, None, plots, html, hgrm))
    return 0


# --- what the commands share --------------------------------------------------------------------------


def _needs() -> None:
    missing = [name for name in ("hdrh", "matplotlib") if find_spec(name) is None]
    if missing:
        raise CommandError(f"{' and '.join(missing)}: not installed; pip install 'tongbao[load]'")


def _checks(texts: Sequence[str]) -> list[Check]:
    try:
        return [parse(text) for text in texts]
    except CheckError as error:
        raise CommandError(f"--{error}") from None


def _end(found: dict[str, Any], checks: list[Check], out: Out) -> int:
    """Write the files, print, judge."""
    from loadtest.load import judging, result

    if out.output is not None:
        result.write(out.output, found)
    if out.hgrm is not None:
        if "steps" in found:
            raise CommandError("--hgrm: a sweep has no single distribution")
        result.write_hgrm(out.hgrm, found["histograms"][""])
    if out.plots is not None:
        from loadtest.load import plots

        plots.save(plots.pictures(found), out.plots)
    if out.html is not None:
        from loadtest.load import page

        page.write(out.html, found)
    if out.json:
        print(json_library.dumps(found, indent=1))
    if "steps" in found:
        if not out.json:
            knee = f"{found['knee']:,.0f} requests a second" if found["knee"] else "no rate of these"
            print(f"served with every check: {knee}")
        return 0 if found["knee"] else 3
    if not found["measured"]["requests"]:
        raise CommandError(
            "nothing was measured: all requests were answered in the warm-up; --warm-up 0, or a larger --count"
        )
    verdicts = judging.judge(checks, found)
    if not out.json:
        _show(found)
        for verdict in verdicts:
            print(f"{'holds' if verdict.ok else 'FAILS'}  {verdict.check}  ({verdict.found})")
    ruled = any(check.rules_on_errors for check in checks)
    return 0 if all(verdict.ok for verdict in verdicts) and (found["measured"]["ok"] or ruled) else 3


def _show(found: dict[str, Any]) -> None:
    from loadtest.load.judging import PERCENTILES, figures

    run_, measured = found["run"], found["measured"]
    console = Console()
    pace = f"{run_['rate']:,.0f}/s on schedule" if run_["rate"] else f"{run_['depth']} in flight on each"
    table = Table(title=f"{run_['workload']}, {run_['connections']:,} connections, {pace}")
    names = ("ms", "requests", *(f"p{percent:g}" if percent < 100 else "highest" for percent in PERCENTILES))
    for name in names:
        table.add_column(name, justify="left" if name == "ms" else "right")
    for name, known in figures(found).items():
        table.add_row(
            name or "all", f"{known.timed:,}", *(f"{known.percentile(percent):,.3f}" for percent in PERCENTILES)
        )
    console.print(table)
    lines = [("requests a second", f"{measured['requests_per_second']:,.0f}")]
    if measured["transfers"] != measured["requests"]:
        lines.append(("items a second", f"{measured['transfers_per_second']:,.0f}"))
    lines += [(name, f"{count:,}") for name, count in measured["statuses"].items()]
    lines += [(f"error {code}", f"{count:,}") for code, count in measured["errors"].items()]
    lines.append(("generator CPU a request", f"{measured['generator_ns_per_request']:,.0f} ns"))
    for name, value in lines:
        console.print(f"  {name:<26}{value:>16}", highlight=False)
    if not measured["ok"]:
        console.print("not every reply was as expected:", style="red")
        for line in measured["kept"]:
            console.print(line, highlight=False, markup=False)


def _say_step(console: Console) -> Callable[[dict[str, Any]], None]:
    def say(step: dict[str, Any]) -> None:
        latency = step["measured"]["latency_us"]
        figures = ", ".join(
            f"{name.replace('_', '.')} {latency.get(name, 0) / 1e3:.2f} ms" for name in ("p50", "p99", "p99_9")
        )
        verdict = "served" if step["served"] else "NOT served"
        answered = step["measured"]["requests_per_second"]
        console.print(
            f"{step['run']['rate']:>12,.0f}/s  answered {answered:>12,.0f}/s  {figures}  {verdict}", highlight=False
        )

    return say


class Bar:
    """Progress on the terminal: making requests, creating accounts, sending."""

    def __init__(self, stack: ExitStack, console: Console, seconds: float) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._progress = stack.enter_context(Progress(*columns, console=console, transient=True))
        self._tasks: dict[str, Any] = {}
        self._seconds = seconds

    def prepared(self, done: int, total: int) -> None:
        """So many requests have been made."""
        self._move("requests made", done, total)

    def look(self, loop: Loop) -> None:
        """Called by the generator several times a second."""
        if loop.preparing:
            self._move("accounts, requests of 1,000", loop.answered, loop.requests.account_requests)
        else:
            self._move("seconds", int(loop.elapsed), int(self._seconds))

    def _move(self, name: str, done: int, total: int) -> None:
        if name not in self._tasks:
            self._tasks[name] = self._progress.add_task(name, total=total)
        self._progress.update(self._tasks[name], completed=done, total=total)
