"""One load on one server: connect, set up, send, measure."""

import resource
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from engine.results import Status
from loadtest.generator import close, connect, finish, prepare
from loadtest.load.result import Result, encoded
from loadtest.loop import LoadError, Loop
from loadtest.sources import Source, Wanted, source
from server.client import BlockingClient, Logon

PIECE = 1_000
FILES_SPARE = 64
TICK_SECONDS = 0.00025
"""An open loop wakes so often; waking costs it some microseconds, and a request waits half of it on average."""


@dataclass(frozen=True, slots=True)
class Server:
    """Where, and as whom."""

    host: str = "127.0.0.1"
    port: int = 7420
    channel: str = ""
    key: str = ""


@dataclass(frozen=True, slots=True)
class Pace:
    """How requests are sent: closed with `depth` in flight on each connection, or open at `rate` in all."""

    depth: int = 64
    rate: float = 0.0
    seconds: float = 10.0
    warm_up: float = 1.0
    count: int | None = None


Look = Callable[[Loop], None]


def allow_files(connections: int) -> None:
    """Raise the limit on open files as far as the system lets us; LoadError when that is not enough."""
    needed = connections + FILES_SPARE
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= needed:
        return
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise LoadError(f"connections: {connections} need {needed} open files, and this system allows {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def set_up(server: Server, stages: Sequence[tuple[str, Iterable[dict[str, Any]]]]) -> None:
    """Send the set-up; what exists already is what an earlier run has made. LoadError names what was refused."""
    if not stages:
        return
    logon = Logon(server.channel, server.key) if server.channel else None
    with BlockingClient(server.host, server.port, logon=logon) as client:
        for method, items in stages:
            rest = iter(items)
            while piece := list(islice(rest, PIECE)):
                for item, answer in zip(piece, client.call(method, piece), strict=True):
                    if answer["status"] not in {"created", "exists"}:
                        raise LoadError(f"set-up: {method}: {answer} for {item}")


def load(
    server: Server, made: Source, pace: Pace, wanted: Wanted, *, first: int = 0, look: Look | None = None
) -> tuple[Result, int]:
    """Run one load; gives the result and the number that the next one may begin with."""
    connections = made.connections or wanted.connections
    allow_files(connections)
    count = pace.count
    if made.count is not None:
        left = made.count - first
        if left <= 0:
            raise LoadError("all requests that were made have been sent")
        count = left if count is None else min(count, left)
    with ExitStack() as stack:
        sockets = connect(server.host, server.port, connections, server.channel, server.key)
        stack.callback(close, sockets)
        if made.accounts is not None:
            prepare(sockets, made.accounts, look)
        loop = Loop(
            made.requests, sockets, depth=pace.depth, rate=pace.rate, tick=TICK_SECONDS, seconds=pace.seconds,
            warm_up=pace.warm_up, count=count, first=first, allowed=(Status.CREATED,), words=made.words,
        )  # fmt: skip
        measured = finish(loop, look)
    asked = {
        "workload": wanted.name,
        "seed": wanted.workload.seed,
        "accounts": wanted.workload.accounts,
        "spread": wanted.workload.spread,
        "shape": wanted.workload.shape,
        "items": wanted.items,
        "connections": connections,
        "depth": 0 if pace.rate else pace.depth,
        "rate": pace.rate,
        "seconds": pace.seconds,
        "warm_up": pace.warm_up,
        **made.facts,
    }
    return (
        {"run": asked, "measured": measured, "histograms": encoded(loop.latencies())},
        -(-(first + measured["requests_all"]) // max(1, made.unit)) * max(1, made.unit),
    )


def run(server: Server, wanted: Wanted, pace: Pace, look: Look | None = None) -> Result:
    """Make the requests, set the server up, and run."""
    made = source(replace(wanted, count=_most(pace)))
    set_up(server, made.stages)
    return load(server, made, pace, wanted, look=look)[0]


def _most(pace: Pace) -> int | None:
    """How many requests will be sent at most, if that is known."""
    scheduled = int(pace.rate * pace.seconds) + 1 if pace.rate else None
    return min((count for count in (scheduled, pace.count) if count is not None), default=None)
