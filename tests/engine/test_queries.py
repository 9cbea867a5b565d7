"""Reads: histories of any length through the sparse index, filters, ranges of time, limits."""

import random
from itertools import product

import pytest

from engine import AccountFlag, Limits, Status
from engine.results import INT63_MAX
from tests.engine.driver import compare
from tests.engine.subjects import SUBJECTS, Fast, Plain
from tests.models.ledger import Refused
from tests.models.records import Account, Filter, Transfer

LENGTHS = [0, 1, 2, 63, 64, 65, 127, 128, 129, 255, 256, 257, 1_000]
"""Numbers of transfers an account has had, around the borders of the index (a run has 64) and of its blocks."""

BOOK = 1_000_000
HISTORY = int(AccountFlag.HISTORY)


def books(lengths: list[int], limits: Limits) -> tuple[Plain, Fast, dict[int, int]]:
    """One account per length, all against one book account; their transfers lie among each other at odd times."""
    source = random.Random(3)
    plain, fast = Plain(), Fast(limits=limits)
    ids = {1 + index: length for index, length in enumerate(lengths)}
    accounts = [Account(i, flags=HISTORY) for i in (*ids, BOOK)]
    legs = [i for i, length in ids.items() for _ in range(length)]
    source.shuffle(legs)
    transfers = []
    for number, i in enumerate(legs, start=1):
        debit, credit = (i, BOOK) if source.random() < 0.6 else (BOOK, i)
        data = source.randint(0, 1)
        transfers.append(Transfer(number, debit, credit, 1, 1, 1 + data, user_data_64=data, user_data_128=data << 64))
    for ledger in (plain, fast):
        ledger.create_accounts(accounts, 1)
    time = 1_000
    start = 0
    while start < len(transfers):
        # Several items at neighbouring times, then a gap.
        width = source.randint(1, 40)
        part = transfers[start : start + width]
        assert fast.create_transfers(part, time) == plain.create_transfers(part, time)
        start += width
        time += width + source.randint(0, 3)
    return plain, fast, ids


@pytest.fixture(scope="module")
def filled() -> tuple[Plain, Fast, dict[int, int]]:
    return books(LENGTHS, Limits(100, 2**14, 2**14, 2**15))


def asked(plain: Plain, fast: Fast, f: Filter) -> None:
    compare(f"transfers {f}", fast.get_account_transfers(f), plain.get_account_transfers(f))
    compare(f"balances {f}", fast.get_account_balances(f), plain.get_account_balances(f))


@pytest.mark.parametrize("length", LENGTHS)
def test_histories_of_every_length(filled: tuple[Plain, Fast, dict[int, int]], length: int) -> None:
    plain, fast, ids = filled
    account = next(i for i, n in ids.items() if n == length)
    times = [view.timestamp for view in plain.get_account_transfers(Filter(account_id=account))]
    assert len(times) == length
    interesting = [0, *(t + d for t in (*times[:1], *times[62:66], *times[127:129], *times[-1:]) for d in (-1, 0))]
    for backwards in (False, True):
        for limit in (1, 2, 63, 64, 65, 8_190):
            asked(plain, fast, Filter(account, limit=limit, reversed=backwards))
        for low, high in product(interesting, interesting):
            if high == 0 or low <= high + 1:
                asked(plain, fast, Filter(account, low, high, limit=70, reversed=backwards))
        for debits, credits_, code in product((False, True), (False, True), (0, 1, 2, 3)):
            asked(plain, fast, Filter(account, debits=debits, credits=credits_, code=code, reversed=backwards))


@pytest.fixture(scope="module")
def long_history() -> tuple[Plain, Fast, list[int]]:
    plain, fast, _ = books([10_000, 3_000], Limits(100, 2**14, 2**14, 2**15))
    return plain, fast, [view.timestamp for view in plain.get_account_transfers(Filter(1, limit=20_000))]


@pytest.mark.parametrize("backwards", [False, True])
def test_a_history_of_ten_thousand(long_history: tuple[Plain, Fast, list[int]], backwards: bool) -> None:
    plain, fast, times = long_history
    assert len(times) == 10_000
    source = random.Random(11)
    asked(plain, fast, Filter(1, limit=8_190, reversed=backwards))
    asked(plain, fast, Filter(BOOK, limit=8_190, reversed=backwards))
    for _ in range(60):
        low, high = sorted((source.choice(times) + source.randint(-1, 1), source.choice(times) + source.randint(-1, 1)))
        f = Filter(
            source.choice([1, 1, 1, BOOK]),
            source.choice([low, 0]),
            source.choice([high, 0]),
            limit=source.choice([1, 64, 100, 8_190]),
            debits=source.random() < 0.3,
            credits=source.random() < 0.3,
            user_data_64=source.choice([None, None, 0, 1]),
            user_data_128=source.choice([None, None, 0, 1 << 64]),
            reversed=backwards,
        )
        asked(plain, fast, f)


def test_the_index_survives_chains_that_are_undone() -> None:
    """A chain of 70 passes the end of a run, fails, and is sent again without the mistake."""
    plain, fast = Plain(), Fast()
    for ledger in (plain, fast):
        ledger.create_accounts([Account(1, flags=HISTORY), Account(2)], 1)
    time, number = 10, 1
    for attempt in range(40):
        chain = [Transfer(number + i, 1, 2, 1, 1, 1, 1) for i in range(10 + 5 * (attempt % 13))]
        chain[-1] = chain[-1]._replace(flags=0)
        broken = [*chain[:-1], chain[-1]._replace(ledger=9)]
        for items in (broken, chain):
            expected = plain.create_transfers(items, time)
            assert fast.create_transfers(items, time) == expected
            time += 1_000
        number += len(chain)
        asked(plain, fast, Filter(1))
        asked(plain, fast, Filter(1, timestamp_min=time - 2_000, reversed=True))
        fast.check_invariants()


# --- all accounts and transfers --------------------------------------------------------------------------


def test_queries_over_everything(filled: tuple[Plain, Fast, dict[int, int]]) -> None:
    plain, fast, _ = filled
    source = random.Random(12)
    last = plain.last_timestamp
    for _ in range(200):
        low, high = source.randint(0, last + 2), source.randint(0, last + 2)
        f = Filter(
            timestamp_min=source.choice([0, low]),
            timestamp_max=source.choice([0, high]),
            user_data_64=source.choice([None, 0, 1]),
            user_data_128=source.choice([None, 0, 1, 1 << 64]),
            user_data_32=source.choice([None, None, 0, 1]),
            ledger=source.choice([0, 1, 2]),
            limit=source.choice([1, 10, 8_190]),
            code=source.choice([0, 1, 2]),
            reversed=source.random() < 0.5,
        )
        compare(f"transfers {f}", fast.query_transfers(f), plain.query_transfers(f))
        compare(f"accounts {f}", fast.query_accounts(f), plain.query_accounts(f))


@pytest.mark.parametrize("subject", SUBJECTS)
@pytest.mark.parametrize("latest", [INT63_MAX, INT63_MAX + 1, 2**64 - 1])
def test_until_the_end_of_time(subject: type[Plain] | type[Fast], latest: int) -> None:
    ledger = subject()
    ledger.create_accounts([Account(1, flags=HISTORY), Account(2)], 1)
    ledger.create_transfers([Transfer(1, 1, 2, 1, 1, 1)], 10)
    for backwards in (False, True):
        f = Filter(timestamp_max=latest, reversed=backwards)
        assert len(ledger.query_accounts(f)) == 2
        assert len(ledger.query_transfers(f)) == 1
        assert len(ledger.get_account_transfers(f._replace(account_id=1))) == 1
        assert len(ledger.get_account_balances(f._replace(account_id=1))) == 1
        after = Filter(account_id=1, timestamp_min=latest, reversed=backwards)
        assert ledger.get_account_transfers(after) == []
        assert ledger.get_account_balances(after) == []
        assert ledger.query_transfers(after._replace(account_id=0)) == []


# --- how much a read may look at ----------------------------------------------------------------------------


def scanned(scan_max: int, transfers: int = 200) -> Fast:
    fast = Fast(limits=Limits(2_000, 2**14, 2**14, 2**15, scan_max=scan_max))
    fast.create_accounts([Account(1, flags=HISTORY), Account(2)], 1)
    fast.create_transfers([Transfer(i, 1, 2, 1, 1, 1 + (i == 1)) for i in range(1, transfers + 1)], 10)
    return fast


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("method", ["get_account_transfers", "get_account_balances", "query_transfers"])
def test_a_read_that_looks_at_too_much_says_so(method: str, backwards: bool) -> None:
    f = Filter(account_id=0 if method.startswith("query") else 1, reversed=backwards)
    read = getattr(scanned(scan_max=200), method)
    assert len(read(f)) == 200, "as many as there are may be looked at"
    read = getattr(scanned(scan_max=199), method)
    with pytest.raises(Refused) as refused:
        read(f)
    assert refused.value.status == Status.SCAN_LIMIT_REACHED
    assert len(read(f._replace(limit=199))) == 199, "enough were found before"
    assert len(read(f._replace(timestamp_min=11))) == 199, "narrowed"
    with pytest.raises(Refused):
        read(f._replace(code=7))


def test_accounts_count_as_well() -> None:
    fast = scanned(scan_max=20)
    fast.create_accounts([Account(i) for i in range(10, 29)], 1_000)
    with pytest.raises(Refused):
        fast.query_accounts(Filter())
    assert len(fast.query_accounts(Filter(timestamp_min=2))) == 20
