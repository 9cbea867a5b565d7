"""Drives the plain and the fast trading machine with the same random orders and compares everything that can be seen.

    python -m tests.engine.trading_driver --steps 100000            # a new seed, printed
    python -m tests.engine.trading_driver --seed 42 --world 17      # one world of a seed

After every step: results with their fills, executions, transfers that the engine made, all balances, the books, open
orders with what they hold, positions. Now and then all trades and both machines' own invariants. A world that fails
is made as short as it can be and printed as Python.
"""

import argparse
import secrets
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

from engine.order_results import ExecutionKind, OrderStatus, Reason
from tests.engine.driver import Difference, compare, remove_parts
from tests.engine.trading_generator import Generator, Habits, setup
from tests.engine.trading_subjects import MANY, Fast, Plain, Step
from tests.models.risk_records import LimitsResult
from tests.models.trading_records import OrderResult

Seen = Counter[tuple[str, str]]
"""How often each (method, what became of it) was given, and each kind of execution."""

FUTURES = ("PTA",)
SHRINK_SECONDS = 60


class Pair:
    """Both machines side by side."""

    def __init__(self, hash_key: bytes = b"") -> None:
        self.plain = Plain()
        self.fast = Fast(hash_key)
        self.seen: Seen = Counter()

    def apply(self, step: Step) -> None:
        """One step on both, and everything compared."""
        if not step.items and step.method != "tick":
            return  # a request without items is not written to the log, so nothing happens
        given = self.fast.apply(step)
        times = self.fast.times
        expected = self.plain.apply(step, times)
        compare("results", given, expected)
        executions = self.plain.executions()
        compare("executions", self.fast.executions(), executions)
        compare("transfers", self.fast.generated(), self.plain.generated())
        ids = self.plain.account_ids()
        for account_id, one, other in zip(ids, self.fast.balances(ids), self.plain.balances(ids), strict=True):
            compare(f"account {account_id} (pending and posted debits, credits; flags)", one, other)
        compare("open orders", self.fast.open_orders(), self.plain.open_orders())
        for symbol in self.plain.model.instruments:
            compare(f"book of {symbol}", self.fast.book(symbol), self.plain.book(symbol))
        compare("positions", self.fast.positions(FUTURES), self.plain.positions(FUTURES))
        compare("limits", self.fast.limits(), self.plain.limits())
        compare("proposals", self.fast.proposals(), self.plain.proposals())
        requests = zip(step.items, expected, strict=True) if step.method == "batch" else [(step, expected)]
        for request, answers in requests:
            self._count(request, answers)
        for execution in executions:
            self.seen["execution", ExecutionKind(execution.kind).name.lower()] += 1

    def _count(self, step: Step, answers: Sequence[object]) -> None:
        for answer in answers:
            if isinstance(answer, OrderResult):
                became = OrderStatus(answer.status).name.lower()
                if answer.reason:
                    became += f" ({Reason(answer.reason).name.lower()})"
                self.seen[step.method, became] += 1
            elif isinstance(answer, LimitsResult):
                self.seen[step.method, answer.status.name.lower()] += 1
            elif hasattr(answer, "name"):
                self.seen[step.method, answer.name.lower()] += 1

    def compare_everything(self, hash_key: bytes) -> None:
        """All trades, what each says of itself, and the engine from a snapshot and from its log."""
        after = 0
        while True:
            trades = self.plain.trades(after)
            compare("trades", self.fast.trades(after), trades)
            after += len(trades)
            if len(trades) < MANY:
                break
        self.plain.check_invariants()
        self.fast.check_invariants()
        with tempfile.TemporaryDirectory() as directory:
            self.fast.go_on_from_a_snapshot(Path(directory) / "world.snapshot", hash_key)

    def replay(self, hash_key: bytes) -> None:
        """The log from nothing gives the same state."""
        again = self.fast.replayed(hash_key)
        compare("digest", again.digest(), self.fast.engine.digest())
        compare("state hash", again.state_hash(), self.fast.engine.state_hash())


def run_world(seed: str, steps_max: int) -> tuple[int, Seen]:
    """One world from its seed. Returns its number of steps and what was seen; raises Difference, shrunk."""
    random = Random(seed)
    habits = Habits(random)
    beginning = setup(random, habits)
    pair = Pair(random.randbytes(32))
    steps: list[Step] = []
    try:
        for step in beginning:
            pair.apply(step)
        generator = Generator(random, pair.plain.model, habits)
        length = min(steps_max, random.choice([50, 300, 1_000]))
        while len(steps) < length:
            step = generator.step()
            steps.append(step)
            pair.apply(step)
            if len(steps) % 5 == 0:
                read = generator.read()
                compare(str(read), pair.fast.read(read), pair.plain.read(read))
            if len(steps) % 20 == 0:
                pair.plain.check_invariants()
            if len(steps) % 100 == 0:
                pair.compare_everything(random.randbytes(32))
        pair.compare_everything(random.randbytes(32))
        pair.replay(random.randbytes(32))
    except (Difference, AssertionError) as error:
        if isinstance(error, AssertionError) and not steps:
            raise
        shortest = shrink(beginning, steps)
        raise Difference(
            f"world {seed!r}, step {len(steps)}: {error}\n\nshrunk from {len(steps)} steps to {len(shortest)}:\n"
            + "\n".join(f"    {step}," for step in [*beginning[1:2], *shortest])
            + f"\n\nwhich gives: {fails(beginning, shortest)}"
        ) from error
    return len(steps), pair.seen


def fails(beginning: Sequence[Step], steps: Sequence[Step], *, whole: bool = True) -> str | None:
    """What goes wrong with these steps; `whole`: also with the snapshot at their end and their log."""
    pair = Pair(b"k" * 32)
    try:
        for step in (*beginning, *steps):
            pair.apply(step)
        if whole:
            pair.compare_everything(b"s" * 32)
            pair.replay(b"r" * 32)
    except (Difference, AssertionError) as error:
        return f"{type(error).__name__}: {error}"
    return None


def shrink(beginning: Sequence[Step], steps: list[Step]) -> list[Step]:
    """Fewer steps, then fewer items, while it still fails; what it has after a minute will do."""
    whole = fails(beginning, steps, whole=False) is None
    if whole and fails(beginning, steps) is None:
        return steps
    until = time.perf_counter() + SHRINK_SECONDS

    def still_fails(some: Sequence[Step]) -> str | None:
        return fails(beginning, some, whole=whole) if time.perf_counter() < until else None

    steps = remove_parts(steps, still_fails)
    for index in range(len(steps)):
        steps = shrink_items(steps, index, still_fails)
    return remove_parts(steps, still_fails)


def shrink_items(steps: list[Step], index: int, still_fails: Callable[[Sequence[Step]], str | None]) -> list[Step]:
    if steps[index].method not in {"batch", "submit_orders", "cancel_orders", "replace_orders", "set_limits"}:
        return steps

    def put(items: Sequence[object]) -> list[Step]:
        return [*steps[:index], steps[index]._replace(items=tuple(items)), *steps[index + 1 :]]

    return put(remove_parts(list(steps[index].items), lambda some: still_fails(put(some))))


def run(seed: str, steps: int, report: Callable[[str], None] = print) -> Seen:
    """Worlds until `steps` are done. Prints the seed first."""
    report(f"seed {seed}: {steps:,} steps")
    done = world = 0
    seen: Seen = Counter()
    started = time.perf_counter()
    next_line = 10_000
    while done < steps:
        world_steps, world_seen = run_world(f"{seed}/{world}", steps - done)
        done += world_steps
        world += 1
        seen += world_seen
        if done >= next_line:
            report(f"{done:>12,} steps, {world:,} worlds, {done / (time.perf_counter() - started):,.0f} steps/s")
            next_line = done + 10_000
    return seen


def table(seen: Seen) -> str:
    return "\n".join(f"{count:>10,}  {method}: {what}" for (method, what), count in sorted(seen.items()))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", default=secrets.token_hex(4))
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--world", type=int, help="only this world of the seed")
    arguments = parser.parse_args()
    try:
        if arguments.world is None:
            print(table(run(arguments.seed, arguments.steps)))
        else:
            print(table(run_world(f"{arguments.seed}/{arguments.world}", arguments.steps)[1]))
    except Difference as difference:
        print(difference)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
