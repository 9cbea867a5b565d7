"""Seeds that find nothing, histories that repeat themselves, and planted faults that are found.

`make simulate SEEDS=…` runs many more (docs/SIMULATION.md).
"""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from tests.simulation.database import Database, UnknownStatementError
from tests.simulation.loop import Node, SimulatedLoop
from tests.simulation.many import find, run_some
from tests.simulation.mutants import MUTANTS

SEEDS = range(100)
MUTANT_SEEDS = 400
ROOT = Path(__file__).parents[2]


def command(*arguments: str, hash_seed: str = "0") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.simulation", *arguments],
        cwd=ROOT,
        env=os.environ | {"PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_seeds_find_nothing() -> None:
    outcomes = run_some(list(SEEDS), "")
    found = {outcome.seed: outcome.findings.report(3) for outcome in outcomes if len(outcome.findings)}
    assert not found, "\n".join(f"python -m tests.simulation --seed {seed}\n{what}" for seed, what in found.items())
    # Worlds in which nothing happens would prove nothing.
    struck = {fault for outcome in outcomes for fault in outcome.faults}
    assert len(struck) >= 14
    for what, least in (("answers", 20), ("reads", 10), ("exists", 1), ("snapshots", 2)):
        assert sum(outcome.counts[what] for outcome in outcomes) >= least * len(SEEDS), what


def test_a_seed_has_one_history(tmp_path: Path) -> None:
    """Here, here again, and in a process whose sets and dicts are ordered otherwise."""
    seeds = [3, 5, 8]
    histories = [outcome.trace_hash for outcome in run_some(seeds, "")]
    assert [outcome.trace_hash for outcome in run_some(seeds, "")] == histories
    assert len(set(histories)) == len(seeds)
    told = command("--seed", "5", hash_seed="4711").stdout
    assert f"history {histories[1]}" in told


@pytest.mark.parametrize("name", MUTANTS)
def test_a_planted_fault_is_found(name: str) -> None:
    """By one of so many seeds: which one changes with every change of what the server does."""
    planted = find(name, range(MUTANT_SEEDS))
    assert planted is not None, f"python -m tests.simulation --mutants: {name} is not found by {MUTANT_SEEDS} seeds"
    (sound,) = run_some([planted.seed], "", MUTANTS[name].kinds)
    assert not len(sound.findings), sound.findings.report()


def test_there_are_twenty_planted_faults() -> None:
    assert len(MUTANTS) >= 20


def test_the_command_tells_how_to_repeat_what_it_found() -> None:
    quiet = command("--seeds", "2", "--jobs", "1", "--json")
    assert quiet.returncode == 0, quiet.stderr
    assert json.loads(quiet.stdout)["totals"]["seeds"] == 2
    loud = command("--seeds", "2", "--jobs", "1", "--mutant", "reply_before_commit")
    assert loud.returncode == 1, loud.stderr
    assert "again: python -m tests.simulation --seed 0 --mutant reply_before_commit" in loud.stdout


def test_an_unknown_statement_ends_the_run() -> None:
    loop = SimulatedLoop(Random(0))
    database = Database(loop, Node(loop, "database"), lambda *_: None, 8)
    with pytest.raises(UnknownStatementError, match="does not know this statement: DELETE"):
        database.plan("DELETE FROM tongbao.log")
    loop.close()


def test_nodes_of_the_loop() -> None:
    """Order within a node is kept; a paused node waits; a killed one has no last word."""
    loop = SimulatedLoop(Random(1))
    said: list[str] = []

    async def work(name: str) -> None:
        try:
            for step in range(3):
                said.append(f"{name}{step}")
                await asyncio.sleep(1.0)
        finally:
            said.append(f"{name} ends")

    nodes = [Node(loop, name) for name in "abc"]
    tasks = [loop.start(node, work(node.name)) for node in nodes]
    begun = loop.now
    loop.on(Node(loop, "fate"), 0.5, nodes[1].pause)
    loop.on(Node(loop, "fate"), 1.5, nodes[2].kill)
    loop.run_until(tasks[0].done)
    assert [word for word in said if word[0] == "a"] == ["a0", "a1", "a2", "a ends"]
    assert [word for word in said if word[0] == "b"] == ["b0"]
    assert [word for word in said if word[0] == "c"] == ["c0", "c1"]
    assert loop.now == begun + 3
    nodes[1].resume()
    loop.run_until(tasks[1].done)
    assert said[-1] == "b ends"
    assert loop.now == begun + 5, "its first sleep was over long ago"
    assert not [word for word in said if word == "c ends"]
    tasks[2]._log_destroy_pending = False  # type: ignore[attr-defined]
    loop.over = True
    loop.close()
