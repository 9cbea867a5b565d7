"""Tables that grow under load, keyed hashing, and that neither shows in any result."""

import ctypes
import random
import resource
from collections import Counter
from pathlib import Path
from time import sleep
from typing import Any

import numpy as np
import pytest

from engine import ACCOUNT_COMMAND, TRANSFER_COMMAND, Engine, Limits, Status
from tests.engine.batches import Batch, Request
from tests.engine.driver import compare
from tests.engine.subjects import Fast, Plain
from tests.models.records import Account, Transfer

LINKED = 1


def ids(count: int, seed: int) -> list[int]:
    """Ids of several shapes: counting up, random in both halves, and in one."""
    source = random.Random(seed)
    made = ((i + 1, source.getrandbits(127) | 1, (i + 1) << 64, (i << 32) + 7)[i % 4] for i in range(count))
    return list(dict.fromkeys(made))


def test_every_id_is_found_while_the_tables_grow() -> None:
    """From empty over a dozen doublings; chains are broken and undone all the way, ids burnt, accounts opened."""
    plain, fast = Plain(), Fast(limits=Limits(2**16, 2**18, 2**18, 2**18))
    source = random.Random(5)
    transfer_ids = ids(40_000, 5)
    account_ids = [1, 2] + [source.getrandbits(63) | 1 for _ in range(6_000)]
    known: list[int] = []
    time = 1
    while transfer_ids:
        requests = []
        if account_ids:
            requests.append(Request("create_accounts", tuple(Account(i) for i in account_ids[:100])))
            del account_ids[:100]
        batch, transfer_ids = transfer_ids[:700], transfer_ids[700:]
        items = []
        for start in range(0, len(batch), 7):
            chain = [Transfer(i, 1, 2, 1, 1, 1, LINKED) for i in batch[start : start + 7]]
            if start % 3 == 0:  # this one breaks at its last item, all of it is undone
                chain[-1] = chain[-1]._replace(debit_account_id=77 if start % 2 else 2**64 - 1)
            chain[-1] = chain[-1]._replace(flags=0)
            items.extend(chain)
            if start % 3 == 0:  # and half of its ids are used after all
                items.extend(t._replace(debit_account_id=1, flags=0) for t in chain[::2])
        requests.append(Request("create_transfers", tuple(items)))
        known.extend(t.id for t in items)
        requests.append(Request("lookup_transfers", tuple(source.sample(known, min(len(known), 500)))))
        step = Batch(time, tuple(requests))
        assert fast.apply(step) == plain.apply(step)
        time += 10_000
    compare("transfers", fast.lookup_transfers(known), plain.lookup_transfers(known))
    assert fast.counts() == plain.counts()
    assert fast.counts()["transfers"] > 30_000
    assert fast.counts()["burnt"] > 500
    fast.check_invariants()


def test_a_restored_engine_grows_on(tmp_path_factory: pytest.TempPathFactory) -> None:
    fast = Fast(limits=Limits(100, 2**18, 100_000, 2**18))
    fast.create_accounts([Account(1), Account(2)], 1)
    path = tmp_path_factory.mktemp("snapshots") / "growing"
    everything = ids(30_000, 6)
    for start in range(0, len(everything), 1_000):
        part = [Transfer(i, 1, 2, 1, 1, 1) for i in everything[start : start + 1_000]]
        assert {r.status for r in fast.create_transfers(part, 10 + start)} == {Status.CREATED}
        if start % 7_000 == 0:
            fast = fast.restored(path, hash_key=bytes([start % 251]) * 32)
    assert {r.status for r in fast.create_transfers([Transfer(i, 1, 2, 1, 1, 1) for i in everything], 10**6)} == {
        Status.EXISTS
    }


# --- keyed hashing -------------------------------------------------------------------------------------


def test_ids_made_to_collide_under_one_key_do_not_under_another() -> None:
    """Who does not know the key cannot prepare ids that fall into one bucket.

    Here the key is known: out of many ids those are taken that share a bucket. The engine still works with them
    (slowly); under another key they lie apart. Nothing of it shows in answers, digest or state.
    """
    limits = Limits(10, 2**16, 2**16, 2**16)
    engines = {key: Fast(Engine(limits, hash_key=key * 32)) for key in (b"a", b"b")}
    for fast in engines.values():
        fast.create_accounts([Account(1), Account(2)], 1)
        # Enough that the table has many buckets.
        fast.create_transfers([Transfer(10**9 + i, 1, 2, 1, 1, 1) for i in range(4_000)], 10)
    candidates = [(i, 0) for i in range(1, 200_000)]
    homes = engines[b"a"].engine.buckets(candidates)
    bucket, crowd = Counter(homes).most_common(1)[0]
    colliding = [lo for (lo, _), home in zip(candidates, homes, strict=True) if home == bucket]
    assert len(colliding) == crowd >= 60
    others = Counter(engines[b"b"].engine.buckets([(i, 0) for i in colliding]))
    assert max(others.values()) < crowd / 4, "they share buckets under the other key as well"

    part = [Transfer(i, 1, 2, 1, 1, 1) for i in colliding]
    results = [fast.create_transfers(part, 10**6) for fast in engines.values()]
    assert results[0] == results[1]
    again = [fast.create_transfers(part, 2 * 10**6) for fast in engines.values()]
    assert again[0] == again[1]
    assert {r.status for r in again[0]} == {Status.EXISTS}
    assert len({fast.engine.state_hash() for fast in engines.values()}) == 1
    assert len({fast.engine.digest() for fast in engines.values()}) == 1
    for fast in engines.values():
        fast.check_invariants()


def test_account_ids_that_count_up_and_transfer_ids_that_count_up_spread() -> None:
    fast = Fast(limits=Limits(10, 2**16, 2**16, 2**16))
    fast.create_accounts([Account(1), Account(2)], 1)
    fast.create_transfers([Transfer(i, 1, 2, 1, 1, 1) for i in range(1, 8_001)], 10)
    for pairs in ([(i, 0) for i in range(4_000)], [(0, i) for i in range(4_000)], [(i << 40, 1) for i in range(4_000)]):
        homes = Counter(fast.engine.buckets(pairs))
        buckets = max(homes) + 1
        assert max(homes.values()) < 12 + 4 * 4_000 / buckets


# --- determinism -----------------------------------------------------------------------------------------


def test_neither_key_nor_limits_nor_batch_borders_change_the_state() -> None:
    """The same items at the same times, in one batch or many, under other keys and limits."""
    source = random.Random(9)
    accounts = [Account(i, flags=8 * (i % 2)) for i in range(1, 20)]
    items = [
        Transfer(i, source.randint(1, 22), source.randint(1, 22), source.randint(0, 50), 1, 1, source.choice([0, 2]))
        for i in range(1, 3_000)
    ]
    states = set()
    for number, width in enumerate((3_000, 1, 17, 256)):
        limits = Limits(accounts_max=100 + number, transfers_max=2**14 + number, burnt_max=2**13, balances_max=2**15)
        fast = Fast(limits=limits, hash_key=bytes([number + 1]) * 32)
        fast.create_accounts(accounts, 1)
        results = []
        for start in range(0, len(items), width):
            results += fast.create_transfers(items[start : start + width], 1_000 + start)
        assert fast.engine.batches == 1 + -(-len(items) // width)
        fast.engine.batches = 0  # the one thing that may differ
        states.add((tuple(results), fast.engine.digest(), fast.engine.state_hash()))
    assert len(states) == 1


CHANGES: list[dict[str, int]] = [
    *({"amount": 6}, {"flags": 2}, {"credit_account_id": 9}, {"ledger": 9}, {"code": 0}),
    *({"debit_account_id": 3, "credit_account_id": 1}, {"flags": 2, "timeout": 1}, {"credit_account_id": 3}),
    *({"id": 2}, {"id": 1 + 2**64}, {"code": 2}, {"flags": 2, "timeout": 2}),
    *({"user_data_128": 1}, {"user_data_128": 2**64}, {"user_data_64": 1}, {"user_data_32": 1}),
]
"""Each of another effect; the first five also of another status, amount or balance."""


def test_one_other_bit_gives_another_state() -> None:
    def run(change: dict[str, int]) -> tuple[bytes, bytes]:
        fast = Fast()
        fast.create_accounts([Account(1), Account(2), Account(3)], 1)
        fast.create_transfers([Transfer(7, 2, 3, 1, 1, 1)], 10)
        fast.create_transfers([Transfer(1, 1, 2, 5, 1, 1)._replace(**change)], 20)
        return fast.engine.digest(), fast.engine.state_hash()

    outcomes = [run(change) for change in [{}, *CHANGES]]
    assert len({state for _, state in outcomes}) == len(outcomes)
    assert len({digest for digest, _ in outcomes[:6]}) == 6
    assert run({}) == outcomes[0]


def test_expiry_and_ticks_show_in_the_state() -> None:
    states = []
    for ticks in ([], [20], [10 + 10**9], [20, 10 + 10**9]):
        fast = Fast()
        fast.create_accounts([Account(1), Account(2)], 1)
        fast.create_transfers([Transfer(1, 1, 2, 5, 1, 1, 2, timeout=1)], 10)
        for time in ticks:
            fast.tick(time)
        assert fast.engine.batches == 2 + len(ticks)
        fast.engine.batches = 0
        states.append((fast.engine.digest(), fast.engine.state_hash()))
    assert len({state for _, state in states}) == 3, "a tick on the way leaves no trace but its number"
    assert states[2] == states[3]
    assert len({digest for digest, _ in states}) == 2


def transfers_at_random(count: int) -> np.ndarray[Any, Any]:
    """Build transfers between accounts 1 and 2 with ids in both halves."""
    transfers = np.zeros(count, dtype=TRANSFER_COMMAND)
    transfers["id_lo"] = np.random.default_rng(9).permutation(count) + 1
    transfers["id_hi"] = np.arange(count)
    transfers["debit_account_id"], transfers["credit_account_id"] = 1, 2
    transfers["amount"], transfers["ledger"], transfers["code"] = 1, 1, 1
    return transfers


def engine_after(transfers: np.ndarray[Any, Any], *, ahead: bool) -> Engine:
    engine = Engine(Limits(2**16, 2**20, 2**20, 2**20))
    if ahead:
        engine.populate_ahead()
        engine.populate_ahead()  # a second time means nothing
    accounts = np.zeros(2, dtype=ACCOUNT_COMMAND)
    accounts["id"], accounts["ledger"], accounts["code"] = (1, 2), 1, 1
    engine.create_accounts(accounts, 10)
    for start in range(0, len(transfers), 1_000):
        engine.create_transfers(transfers[start : start + 1_000], 10**6 + start)
    return engine


def test_memory_that_is_asked_for_ahead_changes_no_result(tmp_path: Path) -> None:
    """Over half a dozen doublings, with a fork in the middle of it."""
    transfers = transfers_at_random(300_000)
    plain, ahead = engine_after(transfers, ahead=False), engine_after(transfers, ahead=True)
    assert ahead.state_hash() == plain.state_hash()
    ahead.check_invariants()
    job = ahead.snapshot_fork(tmp_path / "state")
    while not job.poll():
        sleep(0.01)
    assert job.finish() == plain.state_hash()
    restored = Engine.restore(tmp_path / "state", Limits(2**16, 2**20, 2**20, 2**20))
    restored.populate_ahead()
    assert restored.state_hash() == plain.state_hash()


def share_resident(array: np.ndarray[Any, Any], size: int) -> float:
    """Give the share of pages that are in memory among `size` bytes of a store."""
    pages = size // resource.getpagesize()
    found = (ctypes.c_ubyte * pages)()
    assert ctypes.CDLL(None).mincore(ctypes.c_void_p(array.ctypes.data), ctypes.c_size_t(size), found) == 0
    return sum(page & 1 for page in found) / pages


@pytest.mark.parametrize("ahead", [False, True])
def test_stores_are_resident_before_they_are_used(*, ahead: bool) -> None:
    """A store does not fault in page by page under the batches that fill it."""
    engine = engine_after(transfers_at_random(2), ahead=ahead)
    while not engine.populated:
        sleep(0.001)
    share = share_resident(engine.array("transfers"), 8 << 20)
    # Without the thread it is what two transfers touched: a page, or a huge one.
    assert share == 1 if ahead else share <= 1 / 4


def test_an_engine_ends_while_its_memory_is_asked_for() -> None:
    transfers = transfers_at_random(2_000)
    for _ in range(20):
        engine_after(transfers, ahead=True)
