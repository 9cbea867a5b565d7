"""Posting in process: Engine.apply on prepared batches, no wire, no log.

Each batch is 1,024 requests of one transfer, as the server sees them with 1,024 in flight; the ledger already holds ten
million transfers (one million in the quick form). Times are CPU times of `apply` alone; a figure is the median over
rounds, each the mean of its batches.
"""

import time
from collections.abc import Iterator
from statistics import median

from benchmarks.figures import Figure, main
from engine import Batch, Engine, Limits
from loadtest.requests import Requests
from loadtest.workload import Shape, Spread, Workload

BATCH = 1_024
ROUND_BATCHES = 200
ROUNDS = 7
PREFILL_ITEMS = 8_190
MILLION = 1_000_000

CASES: tuple[tuple[str, Spread, Shape, int], ...] = (
    ("", "uniform", "single", 1),
    (", Zipf", "zipf", "single", 1),
    (", one hot account", "hot", "single", 1),
    (", two-phase", "uniform", "two_phase", 1),
    (", linked pairs", "uniform", "linked", 2),
    (", requests of 1,000", "uniform", "single", 1_000),
)


def ledger(accounts: int, transfers: int) -> Engine:
    """An engine that holds so many accounts and transfers, and has room for the rounds."""
    engine = Engine(Limits(accounts_max=accounts + 1, transfers_max=2 * transfers + 64 * MILLION))
    engine.populate_ahead()
    workload = Workload(seed=1, accounts=accounts, draws=draws(accounts))
    for first in range(0, accounts, PREFILL_ITEMS):
        count = min(PREFILL_ITEMS, accounts - first)
        engine.create_accounts(workload.account_commands(first, count), engine.last_timestamp + 1)
    requests = Requests(workload, items=PREFILL_ITEMS)
    batch = Batch()
    for number in range(transfers // PREFILL_ITEMS):
        requests.fill(batch, number, 1)
        engine.apply(batch, engine.last_timestamp + 1)
    return engine


def draws(accounts: int) -> int:
    """So many drawn pairs that every account is drawn."""
    return max(1 << 20, min(1 << 24, 1 << (2 * accounts).bit_length()))


def timed(engine: Engine, requests: Requests, first: int, batches: int) -> float:
    """Nanoseconds of CPU per transfer over so many batches."""
    batch = Batch()
    count = max(1, BATCH // requests.items)
    spent = 0
    before = engine.transfers
    for number in range(first, first + batches):
        requests.fill(batch, number * count, count)
        while not engine.populated:  # a server's batches come more slowly than these
            time.sleep(0.0002)
        start = time.thread_time_ns()
        engine.apply(batch, engine.last_timestamp + 1)
        spent += time.thread_time_ns() - start
    done = engine.transfers - before
    if done != batches * count * requests.items:
        raise AssertionError(f"{done} transfers were created instead of {batches * count * requests.items}")
    return spent / done


def measure(full: bool) -> Iterator[Figure]:
    """All cases at each number of accounts, in interleaved rounds, so that a slow moment hits them alike."""
    transfers = 10 * MILLION if full else MILLION
    for name, accounts in (("10 k", 10_000), ("1 M", MILLION), ("10 M", 10 * MILLION)):
        engine = ledger(accounts, transfers)
        plans = {}
        for seed, (case, spread, shape, items) in enumerate(CASES if full or accounts == 10_000 else CASES[:3]):
            workload = Workload(seed=10 + seed, accounts=accounts, spread=spread, shape=shape, draws=draws(accounts))
            plans[case] = Requests(workload, items=items)
        times: dict[str, list[float]] = {case: [] for case in plans}
        for turn in range(ROUNDS + 1):
            for case, requests in plans.items():
                spent = timed(engine, requests, turn * ROUND_BATCHES, ROUND_BATCHES)
                if turn:  # the first one warms up
                    times[case].append(spent)
        for case, spent_all in times.items():
            middle = median(spent_all)
            yield Figure(
                f"posting/{name} accounts{case}",
                1e9 / middle,
                "transfers/s",
                f"{middle:.0f} ns a transfer ({min(spent_all):.0f} to {max(spent_all):.0f})",
                {"ns": spent_all, "transfers_before": transfers},
            )


if __name__ == "__main__":
    main(__doc__, measure)
