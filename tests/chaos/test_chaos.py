"""Half a minute of faults with real processes, judged like crashes; `make chaos` takes longer and knows more faults."""

import os
import time
from pathlib import Path

import pytest

from tests.chaos.faults import SHORT, Deck, Fault
from tests.chaos.run import Chaos
from tests.crash.run import Options

pytestmark = pytest.mark.crash

SECONDS = 14.0
PAUSE_SECONDS = 2.5


def _seed() -> int:
    """Another one every day, unless one is asked for."""
    return int(os.environ.get("TONGBAO_CHAOS_SEED", "") or time.time_ns() // 86_400_000_000_000)


def test_half_a_minute_of_faults(tmp_path: Path, template: Path) -> None:
    options = Options(tmp_path / "run", seed=_seed(), clients=2, desks=1, rate=150.0, template=template)
    run = Chaos(options, SECONDS, Deck(_seed(), SHORT, PAUSE_SECONDS), print)
    summary = run.go()
    happened = run.happened
    print("\n".join(happened.lines()), summary.table(), sep="\n")
    assert not len(summary.findings), f"seed {_seed()}\n{summary.table()}"
    # A run that has not done what it is for has proved nothing.
    assert summary.rounds >= 2
    assert happened.changes >= 1
    assert happened.public > 200
    assert summary.transfers > 100
    assert summary.order.reads > 20
    assert summary.desks.orders > 20


def test_the_seed_decides_the_faults() -> None:
    def drawn(seed: int, count: int) -> list[object]:
        blows = Deck(seed, tuple(Fault), 30.0)
        return [blows.draw() for _ in range(count)]

    assert drawn(7, 40) == drawn(7, 40)
    assert drawn(7, 40) != drawn(8, 40)
    once = drawn(9, len(Fault))
    assert {blow.fault for blow in once} == set(Fault)  # type: ignore[attr-defined]
    assert set(SHORT) < set(Fault)
