"""Whole random logs replayed under other checks: what was decided stays decided (docs/decisions/0024-…).

The worlds have limits that bite, so their logs hold many verdicts. Each replay is asked how often its own checks were
called, which must be never; afterwards they must refuse the next order, so they were there.
"""

import ctypes
from collections.abc import Callable
from random import Random
from typing import Any, NamedTuple

import pytest

from engine import Engine
from engine._core import order_records
from engine.order_results import OrderStatus, Reason, Session, Side
from tests.engine.trading_arrays import array
from tests.engine.trading_driver import Pair
from tests.engine.trading_generator import Generator, Habits, setup
from tests.engine.trading_limits import LIMIT_REASONS
from tests.engine.trading_subjects import LIMITS, Fast, Recording, Step, replay
from tests.models.risk_records import LimitName, LimitScope, SetLimits

ACCEPT = 0x5AFE
WORLDS = [f"verdicts-{number}" for number in range(4)]
STEPS = 400


class Check:
    """A C function that answers `says`, and how often it was called."""

    def __init__(self, arguments: int, says: int) -> None:
        self.calls = 0

        def called(*_: int) -> int:
            self.calls += 1
            return says

        self._function = ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_void_p] * arguments)(called)
        self.address = ctypes.cast(self._function, ctypes.c_void_p).value or 0


class Checks(NamedTuple):
    """What an engine is given: the kernel's place, and own checks."""

    decide: Check
    own: tuple[Check, ...] = ()

    def attach(self, engine: Engine) -> None:
        engine.attach_checks(self.decide.address, [each.address for each in self.own])

    def calls(self) -> int:
        return sum(each.calls for each in (self.decide, *self.own))


def everything_refused() -> Checks:
    return Checks(Check(10, Reason.MAX_QUANTITY))


def own_check_refuses() -> Checks:
    return Checks(Check(10, ACCEPT), (Check(4, ACCEPT), Check(4, 7)))


def own_check_fails() -> Checks:
    return Checks(Check(10, ACCEPT), (Check(4, 0),))


def nothing_refused() -> Checks:
    return Checks(Check(10, ACCEPT))


class World(NamedTuple):
    """What was traded, and how many of its orders and replaces limits refused and accepted."""

    pair: Pair
    generator: Generator
    refused: int
    accepted: int
    steps: list[Step]


def traded(seed: str) -> World:
    """A random world with limits from its beginning on, on the engine and on the model."""
    random = Random(seed)
    habits = Habits(random)
    habits.limits = 6
    pair = Pair(random.randbytes(32))
    steps = setup(random, habits)
    for step in steps:
        pair.apply(step)
    generator = Generator(random, pair.plain.model, habits)
    loose = SetLimits(LimitScope.DEFAULT, "", ((int(LimitName.MAX_QUANTITY), 2**40),))
    steps.append(Step("set_limits", (loose,), generator.time))
    pair.apply(steps[-1])
    for _ in range(STEPS):
        steps.append(generator.step())
        pair.apply(steps[-1])
    told = {f"rejected ({reason.name.lower()})" for reason in LIMIT_REASONS}
    refused = sum(n for (method, what), n in pair.seen.items() if method != "execution" and what in told)
    accepted = sum(n for (method, what), n in pair.seen.items() if (method, what) == ("execution", "new"))
    return World(pair, generator, refused, accepted, steps)


@pytest.fixture(scope="module", params=WORLDS)
def world(request: pytest.FixtureRequest) -> World:
    return traded(request.param)


def next_order(engine: Engine, pair: Pair) -> Any:
    """An order that gets as far as the limits, with its result: the first instrument and account for which one does."""
    opened = [{"symbol": symbol, "state": Session.CONTINUOUS} for symbol in pair.plain.model.instruments]
    engine.set_session(array(order_records.SESSION_COMMAND, opened), engine.last_timestamp + 1)
    for number, (symbol, instrument) in enumerate(pair.plain.model.instruments.items()):
        for account in pair.plain.model.accounts:
            low, high = instrument.band()
            tick = instrument.terms.tick_size
            price = min(max((instrument.last_price or 1_000) // tick * tick, -(-low // tick) * tick), high)
            row = {"account_id": account, "client_order_id_lo": 10**15 + 1_000 * number + account, "symbol": symbol}
            row |= {"side": Side.BUY, "quantity": instrument.terms.lot_size, "price": price}
            results, _ = engine.submit_orders(array(order_records.ORDER_COMMAND, [row]), engine.last_timestamp + 1)
            if results[0]["reserved"]:
                return results[0]
    raise AssertionError("no order got as far as the limits")


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (everything_refused, Reason.MAX_QUANTITY),
        (own_check_refuses, Reason.OWN_CHECK),
        (own_check_fails, Reason.RISK_FAILED),
        (nothing_refused, None),
    ],
)
def test_a_log_replayed_under_other_checks_gives_the_same_state(
    world: World, make: Callable[[], Checks], reason: Reason | None
) -> None:
    assert world.refused > 20
    assert world.accepted > 20
    checks = make()
    original = world.pair.fast.engine
    other = world.pair.fast.replayed(b"v" * 32, checks.attach)
    assert checks.calls() == 0
    assert other.digest() == original.digest()
    assert other.state_hash() == original.state_hash()
    other.check_invariants()
    if reason is not None:
        result = next_order(other, world.pair)
        assert (result["status"], result["reason"]) == (OrderStatus.REJECTED, reason)
        assert checks.calls() > 0


@pytest.mark.parametrize("make", [everything_refused, own_check_refuses, nothing_refused])
def test_a_replay_makes_the_same_records(world: World, make: Callable[[], Checks]) -> None:
    """So that what a follower writes, and what is replayed a second time, is what the leader wrote."""
    checks = make()
    again = Recording(LIMITS, hash_key=b"w" * 32)
    again.log = []
    checks.attach(again)
    replay(again, world.pair.fast.engine.log)
    assert checks.calls() == 0
    assert again.log == world.pair.fast.engine.log


def test_the_same_steps_under_a_stricter_check_give_another_state(world: World) -> None:
    """What comes now is decided now: it is the log that holds the verdicts, not the commands."""
    checks = everything_refused()
    again = Fast(b"x" * 32)
    checks.attach(again.engine)
    for step in world.steps:
        again.apply(step)
    assert checks.calls() > world.refused
    assert again.engine.state_hash() != world.pair.fast.engine.state_hash()
