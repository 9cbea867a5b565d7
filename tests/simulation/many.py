"""Many seeds, one after the other and on several processes."""

import gc
import multiprocessing
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from itertools import islice
from pathlib import Path

from tests.simulation.mutants import MUTANTS
from tests.simulation.world import Outcome, run_seed

CHUNK = 20
"""Seeds that a process takes at a time."""
MUTANT_SEEDS_MAX = 3_000
"""A mutant that so many seeds do not find is not found."""


def workshop() -> Path:
    """Make a directory for the disks of a world: in memory, if that can be had."""
    memory = Path("/dev/shm")
    return Path(tempfile.mkdtemp(prefix="tongbao-simulation-", dir=memory if os.access(memory, os.W_OK) else None))


def run_some(seeds: list[int], mutant: str, kinds: Sequence[str] = ()) -> list[Outcome]:
    """Run seeds one after the other in this process; `kinds`: the faults of worlds without a planted one."""
    directory = workshop()
    gc.collect()
    gc.freeze()  # what is there now belongs to no world
    planted = MUTANTS.get(mutant)
    plant = planted.plant if planted is not None else None
    if planted is not None:
        kinds = planted.kinds
    try:
        return [run_seed(seed, directory, plant=plant, kinds=kinds) for seed in seeds]
    finally:
        gc.unfreeze()
        shutil.rmtree(directory, ignore_errors=True)


def chunks(seeds: Iterator[int]) -> Iterator[list[int]]:
    """Cut seeds into pieces of work."""
    while some := list(islice(seeds, CHUNK)):
        yield some


def outcomes(seeds: Iterator[int], mutant: str, jobs: int, until: float) -> Iterator[Outcome]:
    """Run seeds on some processes, until there are no more or time is over; outcomes come in order of their seeds."""
    if jobs == 1:
        for some in chunks(seeds):
            if time.monotonic() > until:
                return
            yield from run_some(some, mutant)
        return
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        pending: list[Future[list[Outcome]]] = []
        work = chunks(seeds)
        while True:
            while len(pending) < 2 * jobs and time.monotonic() < until and (some := next(work, [])):
                pending.append(pool.submit(run_some, some, mutant))
            if not pending:
                return
            yield from pending.pop(0).result()


def find(mutant: str, seeds: Iterable[int]) -> Outcome | None:
    """Return the first seed that finds a planted fault."""
    for seed in seeds:
        (outcome,) = run_some([seed], mutant)
        if len(outcome.findings):
            return outcome
    return None


def find_all(mutants: Iterable[str], seeds: range, jobs: int) -> Iterator[tuple[str, Outcome | None]]:
    """Find planted faults, each in a process of its own."""
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        pending = [(mutant, pool.submit(find, mutant, seeds)) for mutant in mutants]
        for mutant, outcome in pending:
            yield mutant, outcome.result()
