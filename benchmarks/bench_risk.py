"""Pre-trade checks: the compiled kernel beside the same checks by hand in Cython and in plain Python; baskets; starts.

10,000 orders of 1,000 accounts at 20 desks of 200 clients in 50 instruments, every limit of every group set; all orders
pass. An order is the time of one call by C function pointer in a C loop, as in the engine; "plain Python" is the very
function that is compiled, on NumPy's records. Everything is measured by turns within a round, each after a run that is
not timed, so that none finds the caches as another left them; figures are medians over rounds, in wall time, and the
range stands behind. Starts are processes.

"Decision" is what an order waits for in the engine, from its turn in a batch that has been parsed to its verdict
(benchmarks/risk_market.py says how this is seen from outside): its own record, what the checks are to see of book,
position and ledger, and the checks. Percentiles over 60,000 orders; a figure is the median over rounds.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks import risk_market, risk_twin
from benchmarks.figures import Figure, main
from engine._core.risk_records import EXPOSURE, FINDING, LIMITS, RISK_ORDER
from engine.risk import ACCEPT, kernel
from engine.risk.compiled import HOLDING, TERMS, kernels
from engine.risk.doors import check_basket, revalue_all

ORDERS = 10_000
ACCOUNTS, DESKS, CLIENTS, INSTRUMENTS = 1_000, 20, 200, 50
POSITIONS = 100_000
UNLIMITED = 2**63 - 1
AMPLE = 2**50
"""A limit that holds nobody back."""

Workload = tuple[Any, Any, Any, Any]


def workload(seed: int = 4) -> Workload:
    """Orders, limits, exposures, and the groups of each order."""
    rng = np.random.default_rng(seed)
    count = ACCOUNTS + DESKS + CLIENTS + INSTRUMENTS
    limits, exposures = np.zeros(count, LIMITS), np.zeros(count, EXPOSURE)
    for name in LIMITS.names or ():
        limits[name] = AMPLE
    limits["price_collar"], limits["duplicate_order"] = 100_000, 10**9
    limits["order_rate"], limits["order_burst"] = 10_000, 20_000
    limits["order_to_trade"], limits["order_to_trade_free"] = 500, 100_000
    limits["suitability"], limits["suitability_confirmed"] = 3, 0
    limits["short_sale"] = 1
    limits["restricted"] = limits["kill_switch"] = 0
    for name in ("open_buy", "open_sell", "long_value", "short_value", "traded"):
        exposures[name] = rng.integers(0, 10**9, count)
    for name in ("open_orders", "messages", "trades"):
        exposures[name] = rng.integers(0, 1_000, count)
    exposures["realised"] = rng.integers(-(10**6), 10**6, count)
    orders = np.zeros(ORDERS, RISK_ORDER)
    orders["time"] = 10**18 + np.arange(ORDERS) * 1_000
    exposures["rate_due"] = 10**18 + rng.integers(-(10**9), 10**9, count)
    orders["side"] = rng.integers(0, 2, ORDERS)
    orders["mark_price"] = orders["last_price"] = 10_000
    orders["price"] = 10_000 + rng.integers(0, 50, ORDERS)
    orders["quantity"] = rng.integers(1, 1_000, ORDERS)
    orders["value"] = orders["price"] * orders["quantity"]
    orders["position"] = rng.integers(-300, 300, ORDERS)
    orders["open_buy_quantity"] = orders["open_sell_quantity"] = rng.integers(0, 1_000, ORDERS)
    orders["short_quantity"] = np.where(orders["side"] == 1, rng.integers(0, 10, ORDERS), 0)
    orders["duplicate_age"] = -1
    orders["position_long"] = orders["position_short"] = UNLIMITED
    groups = np.zeros((ORDERS, 4), np.int32)
    groups[:, 0] = rng.integers(0, ACCOUNTS, ORDERS)
    groups[:, 1] = ACCOUNTS + groups[:, 0] % DESKS
    groups[:, 2] = ACCOUNTS + DESKS + groups[:, 0] % CLIENTS
    orders["instrument"] = rng.integers(0, INSTRUMENTS, ORDERS)
    groups[:, 3] = ACCOUNTS + DESKS + CLIENTS + orders["instrument"]
    return orders, limits, exposures, groups


def part(data: Workload, count: int) -> Workload:
    """So many of the orders, again and again if need be."""
    orders, limits, exposures, groups = data
    return np.resize(orders, count), limits, exposures, np.resize(groups, (count, 4))


def neutral(data: Workload, *, but: int) -> Workload:
    """The same, limited in `but` of the four scopes only."""
    orders, limits, exposures, groups = data
    limits = limits.copy()
    without = {
        "order_burst",
        "order_to_trade_free",
        "duplicate_order",
        "short_sale",
        "suitability",
        "suitability_confirmed",
    }
    for name in set(LIMITS.names or ()) - {"restricted", "kill_switch"}:
        limits[name][ACCOUNTS if but else 0 :] = 0 if name in without else UNLIMITED
    return orders, limits, exposures, groups


def one_by_one(address: int, data: Workload) -> float:
    """Nanoseconds an order, called in C."""
    verdicts, findings = np.zeros(len(data[0]), np.int64), np.zeros(len(data[0]), FINDING)
    start = time.perf_counter_ns()
    risk_twin.ask(address, *data, verdicts, findings)
    spent = time.perf_counter_ns() - start
    check(verdicts)
    return spent / len(data[0])


def plain(data: Workload) -> float:
    """Nanoseconds an order in Python."""
    orders, limits, exposures, groups = data
    rows = [(order, groups[index].tolist()) for index, order in enumerate(orders[:300])]
    out = np.zeros(1, FINDING)[0]
    start = time.perf_counter_ns()
    for order, (account, desk, client, instrument) in rows:
        if (
            kernel.decide(
                order,
                limits[account],
                exposures[account],
                limits[desk],
                exposures[desk],
                limits[client],
                exposures[client],
                limits[instrument],
                exposures[instrument],
                out,
            )
            != ACCEPT
        ):
            raise AssertionError("an order was refused")
    return (time.perf_counter_ns() - start) / len(rows)


def basket(data: Workload, *, in_sequence: bool = False) -> float:
    """Nanoseconds an order through the door, all of it."""
    start = time.perf_counter_ns()
    verdicts = check_basket(*data, in_sequence=in_sequence).verdicts
    spent = time.perf_counter_ns() - start
    check(verdicts)
    return spent / len(data[0])


def check(verdicts: Any) -> None:
    if not (verdicts == ACCEPT).all():
        raise AssertionError(f"{np.unique(verdicts).tolist()} instead of {ACCEPT} alone")


def revalued(holdings: Any, terms: Any) -> float:
    """Nanoseconds a position."""
    start = time.perf_counter_ns()
    found = revalue_all(holdings, terms, ACCOUNTS)
    spent = time.perf_counter_ns() - start
    total = int(found.accounts["long_value"].sum()) - int(found.accounts["short_value"].sum())
    if total != int((holdings["quantity"] * terms["mark_price"][holdings["instrument"]]).sum()):
        raise AssertionError("the values are not price times quantity")
    return spent / len(holdings)


def portfolio() -> tuple[Any, Any]:
    rng = np.random.default_rng(5)
    holdings, terms = np.zeros(POSITIONS, HOLDING), np.ones(INSTRUMENTS, TERMS)
    holdings["account"] = rng.integers(0, ACCOUNTS, POSITIONS)
    holdings["instrument"] = rng.integers(0, INSTRUMENTS, POSITIONS)
    holdings["quantity"] = rng.integers(-1_000, 1_000, POSITIONS)
    terms["mark_price"], terms["exposure_rate"] = rng.integers(1, 10**6, INSTRUMENTS), 10**6
    return holdings, terms


START = """
import sys, time
from pathlib import Path
begun = time.perf_counter()
import numba
imported = time.perf_counter()
from engine import risk
risk.warm(Path(sys.argv[1]))
print(imported - begun, time.perf_counter() - imported)
"""


def started(directory: str) -> tuple[float, float]:
    """Seconds of importing Numba, and of having the kernels after that."""
    done = subprocess.run([sys.executable, "-c", START, directory], capture_output=True, text=True, check=True)
    imported, warm = (float(each) for each in done.stdout.split())
    return imported, warm


def measure(full: bool) -> Iterator[Figure]:
    """All by turns, then the starts."""
    everything = workload()
    accounts = neutral(everything, but=ACCOUNTS)
    ours = kernels().address
    twin, in_order = risk_twin.addresses()
    small, large = part(everything, 1_000), part(everything, 100 * ORDERS)
    positions = portfolio()
    turns: dict[str, Callable[[], float]] = {
        "kernel": lambda: one_by_one(ours, everything),
        "twin": lambda: one_by_one(twin, everything),
        "twin, check by check": lambda: one_by_one(in_order, everything),
        "kernel/accounts": lambda: one_by_one(ours, accounts),
        "twin/accounts": lambda: one_by_one(twin, accounts),
        "basket": lambda: basket(everything),
        "basket/accounts": lambda: basket(accounts),
        "basket/1,000": lambda: basket(small),
        "basket/in sequence": lambda: basket(everything, in_sequence=True),
        "plain": lambda: plain(everything),
        "revalue": lambda: revalued(*positions),
    }
    if full:
        turns["basket/1,000,000"] = lambda: basket(large)
    times: dict[str, list[float]] = {name: [] for name in turns}
    for turn in range(1 + (201 if full else 41)):
        for name, run in turns.items():
            run()
            spent = run()
            if turn:
                times[name].append(spent)
    middle = {name: median(each) for name, each in times.items()}

    def note(name: str) -> str:
        return f"{middle[name]:.1f} ns ({min(times[name]):.1f} to {max(times[name]):.1f})"

    for name, label in (("kernel", "risk/order"), ("kernel/accounts", "risk/order, accounts limited only")):
        yield Figure(label, middle[name], "ns", note(name), {"ns": times[name]})
    for name in ("twin", "twin/accounts", "twin, check by check"):
        yield Figure(f"risk/{name}, Cython", middle[name], "ns", note(name), {"ns": times[name]})
    ratios = [mine / theirs for mine, theirs in zip(times["kernel"], times["twin"], strict=True)]
    spread = f"median of rounds ({min(ratios):.2f} to {max(ratios):.2f})"
    yield Figure("risk/times the twin", median(ratios), "", spread)
    yield Figure("risk/plain Python by the kernel", middle["plain"] / middle["kernel"], "times", note("plain"))
    for name in ("basket", "basket/accounts", "basket/1,000", "basket/in sequence", "basket/1,000,000"):
        if name in middle:
            yield Figure(f"risk/{name}", 1e9 / middle[name], "orders/s", note(name), {"ns": times[name]})
    yield Figure("risk/revalue", 1e9 / middle["revalue"], "positions/s", note("revalue"), {"ns": times["revalue"]})
    yield from decisions(15 if full else 5)
    yield from starts()


def decisions(rounds: int) -> Iterator[Figure]:
    """Microseconds from an order's turn to its verdict, in batches and in a batch by itself, by turns."""
    orders = risk_market.flow(70_000)
    found: dict[int, list[Any]] = {1_000: [], 1: []}
    for _ in range(rounds):
        for size, percentiles in found.items():
            waited = risk_market.waits(orders, size, warm=10_000)
            percentiles.append(np.percentile(waited, [50, 99, 99.9]) / 1_000)
    for size, percentiles in found.items():
        what = "decision" if size > 1 else "decision, a batch by itself"
        for place, percentile in enumerate(("p50", "p99", "p99.9")):
            values = [float(each[place]) for each in percentiles]
            note = f"{min(values):.2f} to {max(values):.2f} in {rounds} rounds"
            yield Figure(f"risk/{what} {percentile}", median(values), "µs", note, {"us": values})


def starts() -> Iterator[Figure]:
    """Seconds that a start takes longer because of the kernels."""
    with tempfile.TemporaryDirectory() as directory:
        cold = started(str(Path(directory) / "numba"))
        warm = [started(str(Path(directory) / "numba")) for _ in range(5)]
    yield Figure("risk/start, cold", sum(cold), "s", f"{cold[0]:.2f} of it importing Numba")
    middle = median(sum(each) for each in warm)
    yield Figure("risk/start, warm", middle, "s", f"{median(each[0] for each in warm):.2f} of it importing Numba")


if __name__ == "__main__":
    main(__doc__, measure)
