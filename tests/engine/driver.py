"""Drives the plain and the fast ledger with the same random batches and compares every answer.

    python -m tests.engine.driver --steps 1000000            # a new seed, printed
    python -m tests.engine.driver --seed 42 --steps 200000   # the same again
    python -m tests.engine.driver --seed 42 --world 17       # one world of it

A run is a row of small worlds, each seeded by "seed/world" and with habits of its own (`generator.Habits`). In every
world each batch goes through a log record; some batches are followed by a comparison of everything readable, some by
a snapshot from which the world goes on; at its end the log is replayed from nothing under another hash key. When a
world fails, its list of batches is made as short as it can be and printed as Python.
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
from typing import TypeVar

from engine.results import Status
from tests.engine.batches import Batch, Request
from tests.engine.generator import Generator
from tests.engine.subjects import Answer, Fast, Plain
from tests.models.records import Filter

Seen = Counter[tuple[str, Status]]
"""How often each status was given, by method."""


Part = TypeVar("Part")


class Difference(Exception):  # noqa: N818 - what the search looks for
    """The two ledgers disagree."""


class Pair:
    """The two ledgers side by side."""

    def __init__(self, directory: Path, hash_key: bytes) -> None:
        self.plain = Plain()
        self.fast = Fast(hash_key=hash_key)
        self.directory = directory
        self.answers: list[list[Answer]] = []
        self.seen: Seen = Counter()

    def apply(self, batch: Batch) -> None:
        """One batch on both."""
        expected = self.plain.apply(batch)
        given = self.fast.apply(batch)
        if given != expected:
            compare_answers(batch, given, expected)
        compare("counts", self.fast.counts(), self.plain.counts())
        if batch.writes():
            self.answers.append([answer for r, answer in zip(batch.requests, expected, strict=True) if is_write(r)])
        for request, answer in zip(batch.requests, expected, strict=True):
            if isinstance(answer, Status):
                self.seen[request.method, answer] += 1
            elif is_write(request):
                for result in answer:
                    self.seen[request.method, result.status] += 1
            else:
                self.seen[request.method, Status.FOUND] += 1

    def compare_everything(self) -> None:
        """Every account, every transfer, every history; and each ledger's own invariants."""
        plain, fast = self.plain, self.fast
        ids = plain.account_ids()
        compare("accounts", fast.lookup_accounts(ids), plain.lookup_accounts(ids))
        transfer_ids = plain.transfer_ids()
        compare("transfers", fast.lookup_transfers(transfer_ids), plain.lookup_transfers(transfer_ids))
        everything = Filter(limit=8_190)
        compare("query_accounts", fast.query_accounts(everything), plain.query_accounts(everything))
        for account in ids:
            f = Filter(account_id=account, limit=8_190, reversed=account % 2 == 0)
            compare(f"transfers of {account}", fast.get_account_transfers(f), plain.get_account_transfers(f))
            request = Batch(0, (Request("get_account_balances", f),))
            compare(f"balances of {account}", fast.apply(request), plain.apply(request))
        plain.check_invariants()
        fast.check_invariants()

    def snapshot(self, hash_key: bytes) -> None:
        """Go on from a snapshot of the fast one."""
        self.fast = self.fast.restored(self.directory / "world.snapshot", hash_key=hash_key)

    def replay(self, hash_key: bytes) -> None:
        """The log from nothing gives the same answers, digest and state."""
        again = Fast(hash_key=hash_key)
        for number, payload in enumerate(self.fast.log):
            again.replay(payload)
            compare(f"replayed answers of record {number}", again.results(), self.answers[number])
        compare("digest", again.engine.digest(), self.fast.engine.digest())
        compare("state hash", again.engine.state_hash(), self.fast.engine.state_hash())


def is_write(request: Request) -> bool:
    return request.method in {"create_accounts", "create_transfers", "update_accounts", "define_scope"}


def compare(what: str, given: object, expected: object) -> None:
    """Raises Difference, with the first item that differs."""
    if given == expected:
        return
    if isinstance(given, list) and isinstance(expected, list) and len(given) == len(expected):
        for index, (one, other) in enumerate(zip(given, expected, strict=True)):
            if one != other:
                raise Difference(f"{what}[{index}]\n  fast:  {one}\n  plain: {other}")
    raise Difference(f"{what}\n  fast:  {given}\n  plain: {expected}")


def compare_answers(batch: Batch, given: list[Answer], expected: list[Answer]) -> None:
    for request, one, other in zip(batch.requests, given, expected, strict=True):
        if one != other and isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
            index = next(i for i in range(len(one)) if one[i] != other[i])
            item = request.items[index] if not isinstance(request.items, Filter) else request.items
            raise Difference(
                f"{request.method}[{index}] at {batch.time}: {item}\n  fast:  {named(one[index])}\n"
                f"  plain: {named(other[index])}"
            )
        compare(f"{request.method} {request.items} at {batch.time}", one, other)


def named(result: object) -> str:
    status = getattr(result, "status", None)
    return f"{result} ({Status(status).name})" if status is not None else str(result)


# --- one world ---------------------------------------------------------------------------------------


def key(random: Random) -> bytes:
    return random.randbytes(32)


def run_world(seed: str, directory: Path, steps_max: int = 1 << 62) -> tuple[int, Seen]:
    """One world from its seed. Returns its number of steps and what was seen; raises Difference, shrunk."""
    random = Random(seed)
    pair = Pair(directory, key(random))
    generator = Generator(random, pair.plain)
    length = min(steps_max, random.choice([50, 500, 2_000, 8_000]))
    batches: list[Batch] = []
    steps = 0
    next_comparison = random.randint(1, 200)
    try:
        while steps < length:
            batch = generator.batch()
            batches.append(batch)
            steps += batch.steps()
            pair.apply(batch)
            if steps >= next_comparison:
                # Ever rarer, since it takes as long as the world is large.
                next_comparison = steps + random.randint(1, 200 + 2 * steps)
                pair.compare_everything()
                if random.random() < 0.5:
                    pair.snapshot(key(random))
        pair.compare_everything()
        pair.replay(key(random))
    except (Difference, AssertionError) as error:
        shortest = shrink(batches, lambda candidate: fails(candidate, directory))
        raise Difference(
            f"world {seed!r}, batch {len(batches)}: {error}\n\nshrunk from {len(batches)} batches to {len(shortest)}:\n"
            + "\n".join(f"    {batch}," for batch in shortest)
            + f"\n\nwhich gives: {fails(shortest, directory)}"
        ) from error
    return steps, pair.seen


def fails(batches: Sequence[Batch], directory: Path) -> str | None:
    """What goes wrong with these batches, in a form that needs no luck: everything compared after each."""
    pair = Pair(directory, b"k" * 32)
    try:
        for batch in batches:
            if batch.writes() and batch.time <= pair.plain.last_timestamp:
                return None
            pair.apply(batch)
        pair.compare_everything()
        pair.snapshot(b"s" * 32)
        pair.compare_everything()
        pair.replay(b"r" * 32)
    except (Difference, AssertionError) as error:
        return f"{type(error).__name__}: {error}"
    return None


def shrink(batches: list[Batch], still_fails: Callable[[Sequence[Batch]], str | None]) -> list[Batch]:
    """The shortest list it can find that still fails: fewer batches, then fewer requests, then fewer items."""
    if still_fails(batches) is None:
        return batches
    batches = remove_parts(batches, still_fails)
    for index in range(len(batches)):
        batches = shrink_requests(batches, index, still_fails)
        for number in range(len(batches[index].requests)):
            batches = shrink_items(batches, index, number, still_fails)
    return batches


def shrink_requests(
    batches: list[Batch], index: int, still_fails: Callable[[Sequence[Batch]], str | None]
) -> list[Batch]:
    def put(requests: Sequence[Request]) -> list[Batch]:
        return [*batches[:index], batches[index]._replace(requests=tuple(requests)), *batches[index + 1 :]]

    requests = list(batches[index].requests)
    if not requests:
        return batches
    return put(remove_parts(requests, lambda some: still_fails(put(some)) if some else None))


def shrink_items(
    batches: list[Batch], index: int, number: int, still_fails: Callable[[Sequence[Batch]], str | None]
) -> list[Batch]:
    requests = list(batches[index].requests)
    request = requests[number]
    if isinstance(request.items, Filter) or request.method == "define_scope":
        return batches

    def put(items: Sequence[object]) -> list[Batch]:
        requests[number] = request._replace(items=tuple(items))
        return [*batches[:index], batches[index]._replace(requests=tuple(requests)), *batches[index + 1 :]]

    return put(remove_parts(list(request.items), lambda some: still_fails(put(some)) if some else None))


def remove_parts(parts: list[Part], still_fails: Callable[[Sequence[Part]], str | None]) -> list[Part]:
    """Halves, quarters, … down to single ones are taken out for as long as it still fails."""
    size = max(1, len(parts) // 2)
    while True:
        start = 0
        removed = False
        while start < len(parts):
            candidate = parts[:start] + parts[start + size :]
            if still_fails(candidate) is not None:
                parts, removed = candidate, True
            else:
                start += size
        if size == 1 and not removed:
            return parts
        size = max(1, size // 2)


# --- many worlds -------------------------------------------------------------------------------------


def run(seed: str, steps: int, report: Callable[[str], None] = print) -> Seen:
    """Worlds until `steps` are done. Prints the seed first and a line every hundred thousand steps."""
    report(f"seed {seed}: {steps:,} steps")
    done = world = 0
    seen: Seen = Counter()
    started = time.perf_counter()
    next_line = 100_000
    with tempfile.TemporaryDirectory() as directory:
        while done < steps:
            world_steps, world_seen = run_world(f"{seed}/{world}", Path(directory), steps - done)
            done += world_steps
            world += 1
            seen += world_seen
            if done >= next_line:
                rate = done / (time.perf_counter() - started)
                report(f"{done:>12,} steps, {world:,} worlds, {rate:,.0f} steps/s")
                next_line = done + 100_000
    return seen


def table(seen: Seen) -> str:
    """How often each status was seen, by method."""
    methods = sorted({method for method, _ in seen})
    lines = [f"{method}\n" for method in methods]
    for index, method in enumerate(methods):
        rows = [(status, count) for (m, status), count in sorted(seen.items(), key=lambda i: i[0][1]) if m == method]
        lines[index] += "\n".join(f"  {count:>10,}  {status.name.lower()}" for status, count in rows)
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", default=secrets.token_hex(4))
    parser.add_argument("--steps", type=int, default=200_000)
    parser.add_argument("--world", type=int, help="only this world of the seed")
    arguments = parser.parse_args()
    try:
        if arguments.world is None:
            print(table(run(arguments.seed, arguments.steps)))
        else:
            with tempfile.TemporaryDirectory() as directory:
                steps, seen = run_world(f"{arguments.seed}/{arguments.world}", Path(directory))
            print(f"{steps:,} steps\n{table(seen)}")
    except Difference as difference:
        print(difference)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
