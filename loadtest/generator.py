"""A load generator for the TCP/JSON protocol, from Python; from a shell it is `tongbao load` (loadtest/load).

It makes the accounts first, then sends transfers in a closed loop (connections times depth in flight) or an open one (a
fixed schedule), checks every reply, and fails unless every one is what was expected.
"""

import json
import socket
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from engine.results import Status
from loadtest.loop import LoadError, Loop
from loadtest.requests import Requests
from loadtest.workload import Workload

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
