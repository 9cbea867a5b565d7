"""Holds that end by themselves: by the batch's time, in any number, with or without traffic."""

import random

import pytest

from engine import Limits, Status
from tests.engine.batches import Batch, Request
from tests.engine.driver import compare
from tests.engine.subjects import SUBJECTS, Fast, Plain
from tests.models.records import Account, Filter, Transfer

SECOND = 1_000_000_000
PENDING, POST, VOID, CLOSING_DEBIT = 2, 4, 8, 64
ALL = 2**64 - 1


@pytest.fixture(params=SUBJECTS)
def ledger(request: pytest.FixtureRequest) -> Plain | Fast:
    subject: Plain | Fast = request.param()
    subject.create_accounts([Account(1), Account(2)], 1)
    return subject


def held(ledger: Plain | Fast) -> int:
    view = ledger.lookup_accounts([1])[0]
    assert view is not None
    return view.debits_pending


def state(ledger: Plain | Fast, transfer: int) -> int:
    view = ledger.lookup_transfers([transfer])[0]
    assert view is not None
    return view.state


def test_a_hold_ends_at_its_nanosecond(ledger: Plain | Fast) -> None:
    ledger.create_transfers([Transfer(1, 1, 2, 5, 1, 1, PENDING, timeout=2)], 10)
    assert ledger.counts()["next_expiry"] == 10 + 2 * SECOND
    ledger.tick(10 + 2 * SECOND - 1)
    assert (held(ledger), state(ledger, 1)) == (5, 1)
    ledger.tick(10 + 2 * SECOND)
    assert (held(ledger), state(ledger, 1)) == (0, 4)
    assert ledger.counts()["next_expiry"] == 0


def test_a_hold_that_ends_within_a_batch_cannot_be_posted_by_a_later_item(ledger: Plain | Fast) -> None:
    """It is let go at the start of the next batch; until then it counts as held."""
    ledger.create_transfers([Transfer(i, 1, 2, 5, 1, 1, PENDING, timeout=1) for i in (1, 2)], 10)
    end = 10 + SECOND
    resolve = [Transfer(10 + i, flags=POST, pending_id=1 + i % 2, amount=ALL) for i in range(3)]
    results = ledger.create_transfers(resolve, end - 1)
    # Hold 1 ends at `end`, hold 2 one nanosecond later.
    assert [Status(r.status).name for r in results] == ["CREATED", "CREATED", "PENDING_TRANSFER_ALREADY_POSTED"]
    ledger.create_transfers([Transfer(3, 1, 2, 7, 1, 1, PENDING, timeout=1)], end + 10)
    late = [Transfer(20 + i, flags=VOID if i % 2 else POST, pending_id=3, amount=ALL, code=i) for i in range(3)]
    filler = [Transfer(30 + i, 1, 2, 0, 1, 1) for i in range(2)]
    results = ledger.create_transfers([*filler, *late[:1]], end + 10 + SECOND - 2)
    assert results[-1].status == Status.PENDING_TRANSFER_EXPIRED
    assert (held(ledger), state(ledger, 3)) == (7, 1)
    ledger.tick(end + 20 + SECOND)
    assert (held(ledger), state(ledger, 3)) == (0, 4)


def test_a_read_alone_lets_no_time_pass(ledger: Plain | Fast) -> None:
    ledger.create_transfers([Transfer(1, 1, 2, 5, 1, 1, PENDING, timeout=1)], 10)
    ledger.apply(Batch(5 * SECOND, (Request("query_transfers", Filter()),)))
    assert held(ledger) == 5
    ledger.apply(Batch(5 * SECOND, (Request("lookup_accounts", (1,)), Request("create_accounts", (Account(3),)))))
    assert held(ledger) == 0


def test_expiry_opens_what_it_closed_before_the_batch_begins(ledger: Plain | Fast) -> None:
    ledger.create_transfers([Transfer(1, 1, 2, 0, 1, 1, PENDING | CLOSING_DEBIT, timeout=1)], 10)
    assert ledger.create_transfers([Transfer(2, 1, 2, 1, 1, 1)], 20)[0].status == Status.DEBIT_ACCOUNT_ALREADY_CLOSED
    assert ledger.create_transfers([Transfer(3, 1, 2, 1, 1, 1)], 10 + SECOND)[0].status == Status.CREATED


def test_a_hold_of_an_undone_chain_does_not_expire(ledger: Plain | Fast) -> None:
    chain = [Transfer(1, 1, 2, 5, 1, 1, PENDING | 1, timeout=1), Transfer(2, 1, 1, 5, 1, 1)]
    ledger.create_transfers(chain, 10)
    assert ledger.counts()["next_expiry"] == 0
    # The id is used again, with another timeout.
    ledger.create_transfers([Transfer(1, 1, 2, 5, 1, 1, PENDING, timeout=3)], 20)
    ledger.tick(20 + 2 * SECOND)
    assert (held(ledger), ledger.counts()["next_expiry"]) == (5, 20 + 3 * SECOND)
    # A chain that posts it and is undone leaves it open, and due.
    ledger.create_transfers([Transfer(4, flags=POST | 1, pending_id=1, amount=ALL), Transfer(5, 1, 1)], 30 + 2 * SECOND)
    assert (held(ledger), ledger.counts()["next_expiry"]) == (5, 20 + 3 * SECOND)
    ledger.tick(20 + 3 * SECOND)
    assert held(ledger) == 0


def test_thousands_of_holds_in_random_order() -> None:
    source = random.Random(8)
    plain, fast = Plain(), Fast()
    time = 1
    for ledger in (plain, fast):
        ledger.create_accounts([Account(i) for i in range(1, 10)], time)
    open_holds: list[int] = []
    for step in range(300):
        time += source.choice([1_000, SECOND // 3, SECOND])
        legs = [source.sample(range(1, 10), 2) for _ in range(20)]
        holds = tuple(
            Transfer(1 + 100 * step + i, pair[0], pair[1], 1, 1, 1, PENDING, timeout=source.choice([0, 1, 2, 5, 60]))
            for i, pair in enumerate(legs)
        )
        ends = tuple(
            Transfer(10**6 + 100 * step + i, flags=source.choice([POST, VOID]), pending_id=hold, amount=ALL)
            for i, hold in enumerate(source.sample(open_holds, min(len(open_holds), 10)))
        )
        open_holds.extend(t.id for t in holds)
        batch = Batch(time, (Request("create_transfers", holds), Request("create_transfers", ends)))
        compare("answers", fast.apply(batch), plain.apply(batch))
        compare("counts", fast.counts(), plain.counts())
    fast.check_invariants()


def test_a_flood_of_expiries_is_spread_over_batches() -> None:
    """100,000 at the start of a batch at most. The rest counts as expired, and is let go with the next batches."""
    count = 250_000
    fast = Fast(limits=Limits(10, 2**19, 2**19, 2**20))
    fast.create_accounts([Account(1), Account(2)], 1)
    time = 10
    for start in range(1, count, 50_000):
        fast.create_transfers(
            [Transfer(i, 1, 2, 1, 1, 1, PENDING, timeout=1) for i in range(start, start + 50_000)], time
        )
        time += 50_000
    assert held(fast) == fast.engine.pending == count
    fast.tick(10 * SECOND)
    assert held(fast) == fast.engine.pending == 150_000
    assert 0 < fast.engine.next_expiry <= fast.last_timestamp, "a server sees that it has to call again at once"
    last = Transfer(10**9, flags=POST, pending_id=count, amount=ALL)
    assert fast.create_transfers([last], 10 * SECOND + 1)[0].status == Status.PENDING_TRANSFER_EXPIRED
    assert held(fast) == 50_000
    fast.tick(10 * SECOND + 2)
    assert (held(fast), fast.engine.pending, fast.engine.next_expiry) == (0, 0, 0)
    fast.check_invariants()
