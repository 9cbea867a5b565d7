"""`python -m benchmarks.profiling.counted`: the compiled path, for callgrind to count. Started by `counts.py`.

Each case warms up, then does its rounds between two calls of getppid(2), at which callgrind writes what it has counted.
Everything is a function of seeds: two runs execute the same instructions.
"""

import json
import os
import sys
from collections.abc import Callable, Iterator

from benchmarks.profiling.loads import request_line
from engine import Batch, Engine, Limits, log_record, requests
from engine.risk import attach
from loadtest.market import TRADER_FIRST, Item, Market
from loadtest.requests import Requests
from loadtest.workload import Workload
from server import batches, wire

TIME = 1_795_350_000_000_000_001
WARM_UP, ROUNDS = 2, 4
BATCH = 1_024
ACCOUNTS = 10_000
LIMITS = Limits(
    transfers_max=2_000_000, balances_max=1_000_000, burnt_max=1_000_000, orders_max=1_000_000, open_orders_max=500_000,
    trades_max=1_000_000, executions_max=4_000_000,
)  # fmt: skip
"""Less than a server has: valgrind gives a program little address space."""

Texts = Callable[[int], bytes]
"""The lines of a round."""


class Path:
    """What a request goes through, without sockets and database."""

    def __init__(self) -> None:
        self.engine = Engine(LIMITS)
        self.parser = wire.Parser(batch_items_max=2**30)
        self.parser.allow(wire.METHODS_ALL, 0, logged_on=True, int64_strings=False)
        self.batch = Batch()

    def round(self, text: bytes) -> bytes:
        """Take lines through it; return the replies."""
        batch, engine = self.batch, self.engine
        self.parser.feed(text)
        if self.parser.parse(batch, 1) != wire.IDLE:
            raise RuntimeError("not every line was parsed")
        survey = batches.survey(batch)
        now = max(TIME, engine.last_timestamp + 1)
        engine.apply(batch, now)
        if survey.items:
            log_record.encode(batch, now)
        [(_, replies)] = wire.encode(batch, 1, now)
        requests.clear(batch)
        return replies


def transfers(items: int) -> tuple[Path, Texts]:
    """Single transfers, or batches of them."""
    path, workload = Path(), Workload(seed=5, accounts=ACCOUNTS, draws=1 << 14)
    for first in range(0, ACCOUNTS, 5_000):
        path.engine.create_accounts(workload.account_commands(first, 5_000), path.engine.last_timestamp + 1)
    source = Requests(workload, items=items)
    count = BATCH // items
    return path, lambda number: source.lines(number * count, count)


def looking_up() -> tuple[Path, Texts]:
    """Reads of one account."""
    path, _ = transfers(1)
    return path, lambda number: b"".join(
        request_line(line, "lookup_accounts", [1_000_000_000 + (number * BATCH + line) * 7 % ACCOUNTS])
        for line in range(BATCH)
    )


def orders() -> tuple[Path, Texts]:
    """Order flow under the compiled limits; nobody has any, so every check is made and none refuses."""
    path, market = Path(), Market(seed=5, traders=64, instruments=4)
    attach(path.engine)
    steps: tuple[tuple[str, Iterator[Item]], ...] = (
        ("create_accounts", market.accounts()),
        ("create_transfers", market.funding()),
        ("create_instruments", market.listed()),
        ("create_trading_accounts", market.trading_accounts()),
    )
    for method, items in steps:
        path.round(request_line(0, method, list(items)))

    def text(number: int) -> bytes:
        commands = (market.flow(number * BATCH + line, TRADER_FIRST + line // 64) for line in range(BATCH))
        return b"".join(request_line(line, each.method, [each.item]) for line, each in enumerate(commands))

    return path, text


CASES: dict[str, Callable[[], tuple[Path, Texts]]] = {
    "single transfers": lambda: transfers(1),
    "transfers in batches of 256": lambda: transfers(256),
    "orders": orders,
    "look-ups": looking_up,
}


def main() -> int:
    """Do every case; print how many messages each round had."""
    for make in CASES.values():
        path, text = make()
        texts = [text(number) for number in range(WARM_UP + ROUNDS)]
        for each in texts[:WARM_UP]:
            path.round(each)
        os.getppid()
        for each in texts[WARM_UP:]:
            if b'"error"' in path.round(each):
                raise RuntimeError("a request failed")
        os.getppid()
        del path, text  # before the next engine takes its address space
    json.dump({"cases": list(CASES), "messages": ROUNDS * BATCH}, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
