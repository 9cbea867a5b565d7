"""`python -m tests.simulation`: simulated worlds, one for each seed; see docs/SIMULATION.md.

    --seeds 5000            seeds 0 to 4999, on all cores
    --seeds 20000-30000     a range
    --minutes 10            seeds from a random one on, for so long
    --seed 1049             one seed, with everything that happens
    --mutant NAME           with a planted fault
    --mutants               every planted fault, and the first seed that finds it (of at most --seeds)

Exit code 0: nothing found (with --mutants: everything planted was found); 1: something was; 2: wrong usage.
"""

import argparse
import json
import os
import secrets
import shutil
import sys
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from itertools import count
from typing import Any

from tests.simulation.many import MUTANT_SEEDS_MAX, find_all, outcomes, workshop
from tests.simulation.mutants import MUTANTS
from tests.simulation.world import run_seed


def show_one(seed: int, mutant: str) -> int:
    """Run one seed and print everything."""
    directory = workshop()
    planted = MUTANTS.get(mutant)
    try:
        say = partial(print, flush=True)
        if planted is None:
            outcome = run_seed(seed, directory, say=say)
        else:
            outcome = run_seed(seed, directory, plant=planted.plant, say=say, kinds=planted.kinds)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    faults = ", ".join(f"{count} × {name}" for name, count in sorted(outcome.faults.items())) or "none"
    print(
        f"seed {seed}: {outcome.calls} calls, {outcome.rows} rows, {outcome.seconds:.1f} s of its own; faults: {faults}"
    )
    print(f"history {outcome.trace_hash}")
    print(outcome.findings.report(20) or "nothing found")
    return int(len(outcome.findings) > 0)


def show_mutants(jobs: int, seeds: range, *, as_json: bool) -> int:
    """Find every planted fault, and print the table."""
    rows = []
    for name, outcome in find_all(MUTANTS, seeds, jobs):
        rows.append(
            {
                "mutant": name,
                "what": MUTANTS[name].what,
                "seeds": None if outcome is None else outcome.seed + 1,
                "found": "" if outcome is None else ", ".join(sorted(outcome.findings.kinds)),
            }
        )
        if not as_json:
            row = rows[-1]
            told = f"{row['seeds']:>6} seeds  {row['found']}" if outcome is not None else "NOT FOUND"
            print(f"{name:<32} {told}", flush=True)
    if as_json:
        print(json.dumps(rows, indent=1))
    return int(any(row["seeds"] is None for row in rows))


def show_many(seeds: Iterator[int], options: argparse.Namespace, until: float) -> int:
    """Run many seeds; print each that finds something."""
    began = said = time.monotonic()
    total: Counter[str] = Counter()
    faults: Counter[str] = Counter()
    found: list[dict[str, Any]] = []
    for outcome in outcomes(seeds, options.mutant, options.jobs, until):
        total["seeds"] += 1
        total.update(calls=outcome.calls, rows=outcome.rows, **outcome.counts)
        faults.update(outcome.faults)
        if len(outcome.findings):
            again = f"python -m tests.simulation --seed {outcome.seed}"
            again += f" --mutant {options.mutant}" if options.mutant else ""
            found.append({"seed": outcome.seed, "again": again, "findings": outcome.findings.report()})
            if not options.json:
                print(f"seed {outcome.seed}: {outcome.findings.report(3)}\n  again: {again}", flush=True)
        now = time.monotonic()
        if now - said > 10 and not options.json:
            said = now
            rate = 60 * total["seeds"] / (now - began)
            print(f"{total['seeds']:>8,} seeds, {rate:,.0f} a minute, {len(found)} with findings", flush=True)
    seconds = time.monotonic() - began
    if options.json:
        told = {"seconds": round(seconds, 1), "totals": dict(total), "faults": dict(faults), "found": found}
        print(json.dumps(told, indent=1))
    else:
        rate = 60 * total["seeds"] / max(seconds, 1e-9)
        print(f"{total['seeds']:,} seeds in {seconds:.1f} s, {rate:,.0f} a minute; {len(found)} with findings")
        print(", ".join(f"{value:,} {name}" for name, value in total.items() if name != "seeds"))
        print("struck: " + (", ".join(f"{value:,} × {name}" for name, value in sorted(faults.items())) or "nothing"))
    return int(bool(found))


def seeds_of(text: str) -> range:
    """Read N, or A-B (both included)."""
    first, dash, last = text.partition("-")
    try:
        return range(int(first), int(last) + 1) if dash else range(int(first))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number of seeds nor a range A-B") from None


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.simulation", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=seeds_of, help="how many, or a range A-B")
    parser.add_argument("--seed", type=int, help="this one alone, with everything that happens")
    parser.add_argument("--minutes", type=float, help="seeds from a random one on, for so long")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), help="processes (all cores)")
    parser.add_argument("--json", action="store_true", help="the result as JSON")
    parser.add_argument("--mutant", default="", choices=["", *MUTANTS], metavar="NAME", help="with a planted fault")
    parser.add_argument("--mutants", action="store_true", help="find every planted fault")
    options = parser.parse_args()
    if options.mutants:
        return show_mutants(options.jobs, options.seeds or range(MUTANT_SEEDS_MAX), as_json=options.json)
    if options.seed is not None:
        return show_one(options.seed, options.mutant)
    until = float("inf")
    seeds: Iterator[int] = iter(options.seeds or range(1_000))
    if options.minutes is not None:
        until = time.monotonic() + 60 * options.minutes
        if options.seeds is None:
            seeds = count(secrets.randbelow(1 << 40))
    return show_many(seeds, options, until)


if __name__ == "__main__":
    sys.exit(main())
