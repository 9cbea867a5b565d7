"""A load generator for the TCP/JSON protocol: `run` from Python, `python -m loadtest.generator` from a shell.

It makes the accounts first, then sends transfers in a closed loop (connections times depth in flight) or an open one (a
fixed schedule), checks every reply, and fails unless every one is what was expected.
"""

import json
import socket
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from typing import Annotated, Any

from cyclopts import App, Parameter
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from engine.results import Status
from loadtest.loop import LoadError, Loop
from loadtest.requests import Requests
from loadtest.workload import Shape, Spread, Workload

SLICE_SECONDS = 0.25
"""How long the compiled loop runs between two looks at signals and the progress bar."""
CONNECT_SECONDS = 10.0
ACCOUNTS_PER_REQUEST = 1_000
ACCOUNTS_DEPTH = 4
HOUR = 3_600.0

Look = Callable[[Loop], None]
"""Called between two slices of a run."""


def connect(host: str, port: int, count: int, channel: str = "", key: str = "") -> list[socket.socket]:
    """Open `count` connections, logged on when a channel is given; raise LoadError when a logon is refused."""
    sockets: list[socket.socket] = []
    try:
        for _ in range(count):
            one = socket.create_connection((host, port), CONNECT_SECONDS)
            sockets.append(one)
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if channel:
                log_on(one, channel, key)
    except BaseException:
        close(sockets)
        raise
    return sockets


def log_on(one: socket.socket, channel: str, key: str) -> None:
    """Log one fresh connection on."""
    one.sendall(json.dumps({"id": 0, "method": "logon", "params": {"channel": channel, "key": key}}).encode() + b"\n")
    reply = b""
    while not reply.endswith(b"\n"):
        more = one.recv(65_536)
        if not more:
            raise LoadError("logon: the server closed the connection")
        reply += more
    if "result" not in json.loads(reply):
        raise LoadError(f"logon: {reply.decode()}")


def close(sockets: Iterable[socket.socket]) -> None:
    """Close them all."""
    for one in sockets:
        one.close()


def finish(loop: Loop, look: Look | None = None) -> dict[str, Any]:
    """Run a loop to its end and return its result; `ok` says whether every reply was as expected."""
    while not loop.run(SLICE_SECONDS):
        if look is not None:
            look(loop)
    result = loop.result()
    result["ok"] = not (result["requests_unexpected"] or result["requests_failed"] or result["replies_wrong"])
    return result


def prepare(sockets: Sequence[socket.socket], workload: Workload, look: Look | None = None) -> dict[str, Any]:
    """Create the workload's accounts; those that exist already are left as they are."""
    requests = Requests(workload, items=ACCOUNTS_PER_REQUEST, accounts=True)
    loop = Loop(
        requests,
        sockets[:1],
        depth=ACCOUNTS_DEPTH,
        seconds=HOUR,
        count=requests.account_requests,
        allowed=(Status.CREATED, Status.EXISTS),
    )
    result = finish(loop, look)
    if not result["ok"]:
        raise LoadError(f"accounts could not be created: {'; '.join(result['kept'])}")
    return result


def run(
    workload: Workload,
    *,
    host: str = "127.0.0.1",
    port: int = 7420,
    connections: int = 16,
    depth: int = 64,
    rate: float = 0.0,
    tick: float = 0.0001,
    items: int = 1,
    seconds: float = 10.0,
    warm_up: float = 1.0,
    count: int | None = None,
    first: int = 0,
    allowed: Iterable[int] = (Status.CREATED,),
    channel: str = "",
    key: str = "",
    accounts: bool = True,
    look: Look | None = None,
) -> dict[str, Any]:
    """Run one load and return what was measured (latencies in microseconds).

    `rate` (requests a second in all) makes the loop open; else it is closed, with `depth` requests in flight on each
    of `connections`. An open loop wakes every `tick` seconds and sends what has become due; latencies count from
    when it was due, so they hold half a tick on average. `items` is transfers per request. The run ends after
    `count` requests or `seconds`, of which the first `warm_up` are not measured. `first` is the number of the first
    request in the workload: whoever runs twice against one ledger moves it, or takes another seed. The result's
    `ok` is False when any reply had a status outside `allowed` or was an error. Raises LoadError when the server
    breaks off, stalls or answers nonsense.
    """
    sockets = connect(host, port, connections, channel, key)
    try:
        if accounts:
            prepare(sockets, workload, look)
        loop = Loop(
            Requests(workload, items=items),
            sockets,
            depth=depth,
            rate=rate,
            tick=tick,
            seconds=seconds,
            warm_up=warm_up,
            count=count,
            first=first,
            allowed=allowed,
        )
        result = finish(loop, look)
    finally:
        close(sockets)
    result["load"] = {
        "connections": connections,
        "depth": 0 if rate else depth,
        "rate": rate,
        "items": items,
        "workload": {name: getattr(workload, name) for name in ("seed", "accounts", "spread", "shape")},
    }
    return result


# --- the command ----------------------------------------------------------------------------------

app = App(name="python -m loadtest.generator", help=__doc__, version_flags=[])


@app.default
def command(
    *,
    host: str = "127.0.0.1",
    port: int = 7420,
    connections: Annotated[int, Parameter(alias="-c")] = 16,
    depth: Annotated[int, Parameter(alias="-d")] = 64,
    rate: Annotated[float, Parameter(alias="-r")] = 0.0,
    items: int = 1,
    seconds: Annotated[float, Parameter(alias="-t")] = 10.0,
    warm_up: float = 1.0,
    count: Annotated[int | None, Parameter(alias="-n")] = None,
    accounts: int = 10_000,
    spread: Spread = "uniform",
    shape: Shape = "single",
    seed: int | None = None,
    channel: str = "",
    key: str = "",
    json_output: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> int:
    """Send a load and print what was measured; the exit code is 0 when every reply was as expected.

    Parameters
    ----------
    host
        Address of the server.
    port
        Its TCP/JSON port.
    connections
        How many connections.
    depth
        Requests in flight on each connection (closed loop).
    rate
        Requests a second in all, on a fixed schedule whatever the server does (open loop); 0: closed loop.
    items
        Transfers per request.
    seconds
        How long.
    warm_up
        Seconds at the beginning that are not measured.
    count
        Stop after so many requests.
    accounts
        How many accounts take part; they are created first.
    spread
        Whose money moves: uniform, zipf, or hot (one account in every transfer).
    shape
        single transfers, two_phase (pending, then post or void), or linked (chains of two).
    seed
        Another seed makes other transfers; by default one that has not been used yet.
    channel
        Channel to log on as.
    key
        The channel's key.
    json_output
        Print the whole result as JSON.
    """
    workload = Workload(seed=time.time_ns() if seed is None else seed, accounts=accounts, spread=spread, shape=shape)
    console = Console(stderr=True)
    try:
        with ExitStack() as stack:
            look = None if json_output or not console.is_terminal else bar(stack, console, seconds)
            result = run(
                workload,
                host=host,
                port=port,
                connections=connections,
                depth=depth,
                rate=rate,
                items=items,
                seconds=seconds,
                warm_up=warm_up,
                count=count,
                channel=channel,
                key=key,
                look=look,
            )
    except (LoadError, OSError, ValueError) as error:
        console.print(f"[red]failed:[/red] {error}", highlight=False)
        return 1
    if json_output:
        json.dump(result, sys.stdout, indent=1)
        sys.stdout.write("\n")
    else:
        show(result)
    return 0 if result["ok"] else 1


def bar(stack: ExitStack, console: Console, seconds: float) -> Look:
    """Return a function that moves a progress bar."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    progress = stack.enter_context(Progress(*columns, console=console, transient=True))
    tasks: dict[int, Any] = {}

    def look(loop: Loop) -> None:
        if loop.preparing:
            task = tasks.setdefault(0, progress.add_task("accounts, requests of 1,000"))
            progress.update(task, completed=loop.answered, total=loop.requests.account_requests)
            return
        if 1 not in tasks:
            tasks[1] = progress.add_task("seconds", total=int(seconds))
        progress.update(tasks[1], completed=int(loop.elapsed))

    return look


def show(result: dict[str, Any]) -> None:
    """Print a result as a table."""
    console = Console()
    latency, load = result["latency_us"], result["load"]
    manner = f"{load['rate']:,.0f}/s on schedule" if load["rate"] else f"{load['depth']} in flight each"
    table = Table(title=f"{load['connections']} connections, {manner}, {load['items']} transfers a request")
    table.add_column("measure")
    table.add_column("value", justify="right")
    table.add_row("requests", f"{result['requests']:,}")
    table.add_row("requests a second", f"{result['requests_per_second']:,.0f}")
    table.add_row("transfers a second", f"{result['transfers_per_second']:,.0f}")
    for name in ("p50", "p90", "p99", "p99_9", "max"):
        if name in latency:
            table.add_row(f"latency {name.replace('_', '.')}", f"{latency[name] / 1e3:,.3f} ms")
    for name, number in result["statuses"].items():
        table.add_row(f"status {name}", f"{number:,}")
    for name, number in result["errors"].items():
        table.add_row(f"error {name}", f"{number:,}", style="red")
    table.add_row("generator CPU a request", f"{result['generator_ns_per_request']:,.0f} ns")
    console.print(table)
    if not result["ok"]:
        console.print("[red]not every reply was as expected:[/red]")
        for line in result["kept"]:
            console.print(line, highlight=False, markup=False)


if __name__ == "__main__":
    sys.exit(app())
