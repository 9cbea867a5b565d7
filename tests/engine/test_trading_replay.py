"""The same log gives the same state, about orders too: over restarts from snapshots, with other keys and capacities."""

from pathlib import Path
from random import Random
from typing import Any

import pytest

from engine import Batch, CapacityError, Engine, Limits, log_record
from engine.snapshot import fork_write
from tests.engine.trading_generator import Generator, Habits, setup
from tests.engine.trading_subjects import LIMITS, Fast, Plain, Recording, replay


def world(seed: str, steps: int) -> Recording:
    """Random trading through the engine."""
    random = Random(seed)
    habits = Habits(random)
    plain, fast = Plain(), Fast()
    engine = fast.engine
    for step in setup(random, habits):
        fast.apply(step)
        plain.apply(step)
    generator = Generator(random, plain.model, habits)
    for _ in range(steps):
        step = generator.step()
        fast.apply(step)
        plain.apply(step, fast.times)
    return engine


WORLDS = [f"replay-{number}" for number in range(6)]


@pytest.fixture(scope="module", params=WORLDS)
def engine(request: pytest.FixtureRequest) -> Recording:
    return world(request.param, 400)


def test_a_world_trades(engine: Recording) -> None:
    assert engine.orders > 100
    assert engine.executions > engine.orders
    engine.check_invariants()


def test_the_log_replayed_gives_the_same_state(engine: Recording) -> None:
    larger = Limits(orders_max=3_000_000, trades_max=4_000_000)
    again = Engine(larger, hash_key=bytes(range(100, 132)))
    replay(again, engine.log)
    assert again.digest() == engine.digest()
    assert again.state_hash() == engine.state_hash()
    assert again.batches == engine.batches == len(engine.log)


def test_a_restart_from_a_snapshot_at_any_moment_gives_the_same_state(engine: Recording, tmp_path: Path) -> None:
    running = Engine(LIMITS)
    path = tmp_path / "snapshot"
    for first in range(0, len(engine.log), 37):
        replay(running, engine.log[first : first + 37])
        before = running.snapshot(path)
        running = Engine.restore(path, LIMITS, hash_key=Random(first).randbytes(32))
        assert running.state_hash() == before
        running.check_invariants()
    assert running.state_hash() == engine.state_hash()
    assert running.next_expiry == engine.next_expiry


def test_a_forked_snapshot_is_the_same(engine: Recording, tmp_path: Path) -> None:
    job = fork_write(engine.sections(), tmp_path / "forked")
    assert job.finish() == engine.state_hash()
    assert Engine.restore(tmp_path / "forked", LIMITS).state_hash() == engine.state_hash()


def test_a_record_survives_the_log_byte_for_byte(engine: Recording) -> None:
    batch = Batch()
    for payload in engine.log:
        time = log_record.decode(payload, batch)
        assert log_record.encode(batch, time) == payload


@pytest.mark.parametrize(
    "name",
    ["orders_max", "open_orders_max", "instruments_max", "trading_accounts_max", "links_max", "positions_max",
     "trades_max", "executions_max"],
)  # fmt: skip
def test_a_full_store_refuses_before_anything_happens(engine: Recording, name: str) -> None:
    fields: dict[str, Any] = {field: getattr(LIMITS, field) for field in Limits.__slots__}
    small = Engine(Limits(**{**fields, name: 3}))
    states = [small.state_hash()]

    def until_it_is_full() -> None:
        for payload in engine.log:
            replay(small, [payload])
            states.append(small.state_hash())

    with pytest.raises(CapacityError, match=f"{name.removesuffix('_max')}_capacity_reached"):
        until_it_is_full()
    assert small.state_hash() == states[-1]
    small.check_invariants()


def test_a_snapshot_that_does_not_fit_is_refused(engine: Recording, tmp_path: Path) -> None:
    engine.snapshot(tmp_path / "snapshot")
    fields: dict[str, Any] = {field: getattr(LIMITS, field) for field in Limits.__slots__}
    with pytest.raises(CapacityError, match="orders_capacity_reached"):
        Engine.restore(tmp_path / "snapshot", Limits(**{**fields, "orders_max": 5}))
