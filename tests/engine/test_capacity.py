"""A full engine refuses a batch whole, before anything of it is applied."""

from collections.abc import Callable

import pytest

from engine import CapacityError, Engine, Limits, Status
from tests.engine.batches import Batch, Request
from tests.engine.subjects import Fast
from tests.models.records import Account, Transfer

SMALL = {"accounts_max": 4, "transfers_max": 10, "burnt_max": 10, "balances_max": 20, "scopes_max": 2}


def small(**limits: int) -> Fast:
    fast = Fast(limits=Limits(**{**SMALL, "scope_ranges_max": 3, **limits}))
    fast.create_accounts([Account(1, flags=8), Account(2, flags=8)], 1)
    return fast


def moves(first: int, count: int, *, debit: int = 1) -> tuple[Transfer, ...]:
    return tuple(Transfer(first + i, debit, 2, 1, 1, 1) for i in range(count))


def opened(first: int, count: int) -> tuple[Account, ...]:
    return tuple(Account(first + i) for i in range(count))


@pytest.mark.parametrize(
    ("what", "limits", "before", "too_much", "just_right"),
    [
        ("accounts", {}, [], Request("create_accounts", opened(3, 3)), Request("create_accounts", opened(3, 2))),
        ("transfers", {}, [], Request("create_transfers", moves(1, 11)), Request("create_transfers", moves(1, 10))),
        (
            "transfers",
            {},
            [Request("create_transfers", moves(100, 9))],
            Request("create_transfers", moves(1, 2)),
            Request("create_transfers", moves(1, 1)),
        ),
        (
            "burnt",
            {"burnt_max": 5},
            [Request("create_transfers", moves(100, 3, debit=9))],
            Request("create_transfers", moves(1, 3)),
            Request("create_transfers", moves(1, 2)),
        ),
        (
            "balances",
            {"balances_max": 10},
            [Request("create_transfers", moves(100, 2))],
            Request("create_transfers", moves(1, 4)),
            Request("create_transfers", moves(1, 3)),
        ),
        (
            "scope_ranges",
            {},
            [Request("define_scope", (1, ((1, 1), (3, 3))))],
            Request("define_scope", (2, ((1, 1), (3, 3)))),
            Request("define_scope", (2, ((1, 1),))),
        ),
    ],
    ids=["accounts", "transfers", "more transfers", "burnt", "balances", "scope ranges"],
)
def test_a_batch_that_may_not_fit_is_refused_whole(
    what: str, limits: dict[str, int], before: list[Request], too_much: Request, just_right: Request
) -> None:
    fast = small(**limits)
    for time, request in enumerate(before):
        fast.apply(Batch(10 + 20 * time, (request,)))
    state, digest = fast.engine.state_hash(), fast.engine.digest()
    counts = fast.counts()
    with pytest.raises(CapacityError, match=rf"^{what}_capacity_reached: \d+ of \d+ are taken, \d+ more"):
        fast.apply(Batch(100, (Request("create_accounts", (Account(1),)), too_much)))
    with pytest.raises(CapacityError, match=rf"^{what}_capacity_reached"):
        fast.apply(Batch(100, (too_much,)))
    assert fast.counts() == counts
    assert (fast.engine.state_hash(), fast.engine.digest()) == (state, digest)
    answers = fast.apply(Batch(100, (just_right,)))[0]
    assert isinstance(answers, list)
    assert all(result.status in {Status.CREATED, Status.DEFINED} for result in answers)
    fast.check_invariants()


def test_headroom_tells_what_fits() -> None:
    fast = small()
    room = fast.engine.headroom()
    assert room[:4] == (2, 10, 10, 20)
    fast.apply(Batch(100, (Request("create_transfers", moves(1, 10)),)))
    assert fast.engine.headroom()[:4] == (2, 0, 10, 0)
    with pytest.raises(CapacityError):
        fast.apply(Batch(200, (Request("create_transfers", moves(11, 1)),)))
    # Reads and updates go on.
    assert fast.apply(Batch(200, (Request("lookup_transfers", (10,)),)))[0]


def test_a_full_engine_still_lets_time_pass() -> None:
    """Holds expire when there is no room for anything else."""
    fast = small(transfers_max=1)
    fast.apply(Batch(100, (Request("create_transfers", (Transfer(1, 1, 2, 5, 1, 1, 2, timeout=1),)),)))
    assert (fast.engine.pending, fast.engine.headroom().transfers) == (1, 0)
    fast.engine.tick(100 + 1_000_000_000)
    assert fast.engine.pending == 0


def test_a_scope_number_above_the_limit_is_refused_before_anything_is_applied() -> None:
    fast = small()
    state = fast.engine.state_hash()
    with pytest.raises(CapacityError, match=r"^scopes_capacity_reached"):
        fast.apply(Batch(50, (Request("create_accounts", (Account(3),)), Request("define_scope", (3, ())))))
    assert fast.engine.state_hash() == state


def test_a_log_does_not_replay_into_smaller_limits() -> None:
    fast = small()
    fast.apply(Batch(100, (Request("create_transfers", moves(1, 10)),)))
    smaller = Fast(Engine(Limits(**{**SMALL, "transfers_max": 9})))
    with pytest.raises(CapacityError, match=r"^transfers_capacity_reached"):
        smaller.replay(fast.log[-1])


def fill(fast: Fast, create: Callable[[int], Request]) -> int:
    """Requests of one item until the engine is full; how many it took."""
    for count in range(1, 1_000):
        try:
            fast.apply(Batch(1_000 + count, (create(count),)))
        except CapacityError:
            return count - 1
    raise AssertionError("it never fills up")


def test_an_engine_takes_as_many_as_its_limits_say() -> None:
    assert fill(small(), lambda n: Request("create_accounts", opened(10 + n, 1))) == 2
    assert fill(small(), lambda n: Request("create_transfers", moves(n, 1))) == 10
    # Refused for good, an id takes no room; repeated, none either.
    assert fill(small(burnt_max=500), lambda n: Request("create_transfers", moves(n, 1, debit=9))) == 500
    fast = small(transfers_max=2)
    for time in range(50):
        fast.apply(Batch(100 + time, (Request("create_transfers", moves(1, 1)),)))
    assert fast.engine.transfers == 1
