"""The loads that are profiled. Each runs until its time is over, checks its replies and says what was done."""

import json
import selectors
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Any, NamedTuple

from loadtest.generator import close as close_all
from loadtest.generator import connect, run
from loadtest.market import TRADER_FIRST, Item, Market
from loadtest.workload import Workload

ACCOUNTS = 10_000
SETUP_ITEMS = 1_000
ANSWER_SECONDS = 30.0
FIRST = 1_024
"""Number of the first request that is measured; one before it was sent to make ready."""


class Done(NamedTuple):
    """What a run of a load did."""

    requests: int
    items: int
    seconds: float


Run = Callable[[float], Done]
"""Run for so many seconds."""
Ready = Callable[[int, int], Run]
"""Make ready to run against a port, with a seed: every run against one server takes another."""


@dataclass(frozen=True, slots=True)
class Transfers:
    """Single transfers or batches of them, in a closed loop or on a schedule."""

    options: dict[str, Any] = field(default_factory=dict)

    def __call__(self, port: int, seed: int) -> Run:
        """Make the accounts; draw what is to be sent."""
        workload = Workload(seed=seed, accounts=ACCOUNTS)
        workload.pairs()
        run(workload, port=port, connections=1, depth=1, seconds=60.0, warm_up=0.0, count=1)
        return partial(self.run, workload, port)

    def run(self, workload: Workload, port: int, seconds: float) -> Done:
        """Send transfers behind that first one."""
        result = run(
            workload, port=port, seconds=seconds, warm_up=0.0, first=FIRST, accounts=False, **self.options
        )  # fmt: skip
        if not result["ok"]:
            raise RuntimeError(f"not every reply was as expected: {result['kept']}")
        requests = result["requests_all"]
        items = requests * int(self.options.get("items", 1))
        return Done(requests, items, result["seconds"])


@dataclass(frozen=True, slots=True)
class Orders:
    """Order flow, one order, replace or cancel a request, with made lines and a window on each connection."""

    connections: int = 16
    depth: int = 64
    lines: int = 4_096
    """Of one connection; afterwards other traders send the same."""
    laps_max: int = 60

    def __call__(self, port: int, seed: int) -> Run:
        """Make the market and the lines."""
        market = Market(seed=seed, traders=self.connections * self.laps_max)
        set_up(market, port)
        return partial(self.run, [_Flow(market, number, self) for number in range(self.connections)], port)

    def run(self, flows: "list[_Flow]", port: int, seconds: float) -> Done:
        """Send them."""
        sockets = connect("127.0.0.1", port, self.connections)
        began = time.perf_counter()
        requests = 0
        try:
            with selectors.DefaultSelector() as selector:
                for one, flow in zip(sockets, flows, strict=True):
                    flow.send(one)
                    selector.register(one, selectors.EVENT_READ, flow)
                waiting = len(flows)
                while waiting:
                    for key, _ in selector.select(ANSWER_SECONDS) or _silent():
                        done = key.data.answered(key.fileobj.recv(1 << 18))  # type: ignore[union-attr]
                        requests += done
                        if not done:
                            continue
                        if time.perf_counter() - began < seconds and key.data.lap < self.laps_max:
                            key.data.send(key.fileobj)
                        else:
                            waiting -= 1
        finally:
            close_all(sockets)
        return Done(requests, requests, time.perf_counter() - began)


class _Flow:
    """The lines of one connection, in windows."""

    def __init__(self, market: Market, number: int, orders: Orders) -> None:
        account, depth = TRADER_FIRST + number, orders.depth
        commands = (market.flow(number * orders.lines + line, account) for line in range(orders.lines))
        # Members in the order of the protocol page, without blanks: as our clients and most others write them.
        texts = [request_line(line, command.method, [command.item]) for line, command in enumerate(commands)]
        self._windows = [b"".join(texts[first : first + depth]) for first in range(0, orders.lines, depth)]
        self._account, self._step = account, orders.connections
        self._depth = depth
        self._window = self._lines = 0
        self._part = b""
        self.lap = 0

    def send(self, one: socket.socket) -> None:
        """Send the next window."""
        text = self._windows[self._window]
        if self.lap:
            text = text.replace(
                b'"account_id":%d' % self._account, b'"account_id":%d' % (self._account + self._step * self.lap)
            )
        one.sendall(text)
        self._window += 1
        if self._window == len(self._windows):
            self._window, self.lap = 0, self.lap + 1

    def answered(self, data: bytes) -> int:
        """Take bytes; how many requests of a window are answered when it is whole, else 0."""
        if not data or b'"error"' in data:
            raise RuntimeError(f"an order request failed: {data[:500]!r}")
        self._lines += data.count(b"\n")
        if self._lines < self._depth:
            return 0
        self._lines = 0
        return self._depth


def _silent() -> Any:
    raise RuntimeError(f"the server has not answered for {ANSWER_SECONDS:.0f} seconds")


def request_line(number: int, method: str, params: Sequence[Item | int]) -> bytes:
    """A request as a client writes it, without blanks."""
    return json.dumps({"id": number, "method": method, "params": params}, separators=(",", ":")).encode() + b"\n"


def set_up(market: Market, port: int) -> None:
    """Make the market; what is there already is left as it is."""
    steps: tuple[tuple[str, Iterator[Item]], ...] = (
        ("create_accounts", market.accounts()),
        ("create_transfers", market.funding()),
        ("create_instruments", market.listed()),
        ("create_trading_accounts", market.trading_accounts()),
    )
    with socket.create_connection(("127.0.0.1", port), ANSWER_SECONDS) as one:
        replies = one.makefile("rb")
        for method, items in steps:
            while chunk := list(islice(items, SETUP_ITEMS)):
                one.sendall(request_line(0, method, chunk))
                reply = json.loads(replies.readline())
                statuses = {each["status"] for each in reply.get("result", [])}
                if not statuses or statuses - {"created", "exists"}:
                    raise RuntimeError(f"{method}: {str(reply)[:500]}")


LOADS: dict[str, tuple[str, Ready]] = {
    "singles": ("single transfers, 16 connections with 64 in flight on each", Transfers()),
    "serial": ("single transfers, one after the other", Transfers({"connections": 1, "depth": 1})),
    "pipeline": ("single transfers, one connection with 64 in flight", Transfers({"connections": 1, "depth": 64})),
    "batches": ("transfers in batches of 1,000, 4 connections with 4 in flight on each",
                Transfers({"connections": 4, "depth": 4, "items": 1_000})),
    "orders": ("order flow: new, replaced, canceled, aggressive; 16 connections with 64 in flight on each", Orders()),
    "open": ("single transfers on a schedule, 100,000 a second over 4 connections",
             Transfers({"connections": 4, "rate": 100_000.0, "tick": 0.00025})),
}  # fmt: skip
"""Name: what it is, and how to run it."""
