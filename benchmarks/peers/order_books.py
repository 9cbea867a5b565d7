"""Order books and matching engines of PyPI, in process, over one seeded flow, beside our own.

Each runs in a process of its own (`book_adapters`, in the peers' environment) for a few seconds, and what it then holds
(trades, volume, resting orders) must be what a plain book holds after as many operations. The flow has no reductions in
place, which most of them do not know; immediate-or-cancel and market orders are limit orders whose rest is canceled
where they know nothing else. Trade prices are not compared: not all of them trade at the resting order's price.
"""

import json
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.bench_matching import BATCH, alone, batches, settled, totals
from benchmarks.order_flow import ADD, CANCEL, Flow, PlainBook, generate
from benchmarks.peers.result import Result

ADAPTERS = Path(__file__).with_name("book_adapters.py")
OPERATIONS = 300_000
DEPTH = 1_000
ROUNDS = 3
SPREAD = 10.0
NONE = "none: in memory"


def results(python: Path, seconds: float) -> Iterator[Result]:
    """Measure ours and those that are installed."""
    flow = generate(OPERATIONS, DEPTH, spread=SPREAD, reductions=False)
    yield from _ours(flow)
    expected = history(flow)
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "flow.npy"
        np.save(file, flow.operations)
        for name in _run(python, "--list"):
            said = _run(python, name, str(file), str(flow.prefill), f"{seconds:g}")
            if "missing" in said:
                continue
            held = [said["trades"], said["volume"], said["resting"]]
            if held != expected[said["operations"] - 1].tolist():
                raise AssertionError(
                    f"{name}: trades, volume and resting orders are {held} instead of "
                    f"{expected[said['operations'] - 1].tolist()} after {said['operations']} operations"
                )
            yield Result(
                "orders", f"{name} {said['version']}", said["what"], said["per_second"], said["p50"], said["p99"],
                1e6 / said["per_second"], said["memory"], NONE, said["note"],
            )  # fmt: skip


def history(flow: Flow) -> npt.NDArray[np.int64]:
    """Trades, volume and resting orders of a plain book after each operation."""
    book = PlainBook()
    rows = np.zeros((len(flow.operations), 3), np.int64)
    for place, (number, quantity, price, operation, side, flags) in enumerate(flow.operations.tolist()):
        if operation == ADD:
            book.add(number, side, price, quantity, flags)
        elif operation == CANCEL:
            del book.orders[number]
        else:
            _, old, left = book.orders[number]
            book.queues[side][old].remove(number)  # its place is given up
            book.rest(number, side, price, left)
        rows[place] = book.trades, book.volume, len(book.orders)
    return rows


def _ours(flow: Flow) -> Iterator[Result]:
    spent = min(alone(flow) for _ in range(ROUNDS))
    yield Result("orders", "Tongbao", "the book alone, a loop in C", 1e9 / spent, None, None, spent / 1e3, None, NONE)
    settling = totals(flow)
    whole = min(settled(settling, batches(settling), flow.prefill // BATCH) for _ in range(ROUNDS))
    note = "holds, settlement, fees, executions; batches of 1,000"
    yield Result("orders", "Tongbao", "the whole engine", 1e9 / whole, None, None, whole / 1e3, None, NONE, note)


def _run(python: Path, *arguments: str) -> Any:
    done = subprocess.run([python, ADAPTERS, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(arguments)}: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])
