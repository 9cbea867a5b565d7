"""The embedding interface: what it takes, what it refuses, and how it says so."""

from typing import Any

import numpy as np
import pytest

from engine import (
    ACCOUNT_COMMAND,
    FILTER,
    INT63_MAX,
    RESULT,
    SCOPE_RANGE,
    TRANSFER_COMMAND,
    UPDATE_COMMAND,
    Engine,
    EngineError,
    Limits,
    Status,
)
from tests.engine.batches import Batch, Request
from tests.engine.subjects import LIMITS, SUBJECTS, Fast, Plain
from tests.models import records
from tests.models.records import Account, Filter, Transfer, Update

Records = np.ndarray[Any, Any]


def accounts(*ids: int) -> Records:
    return records.account_array([Account(i) for i in ids])


def transfers(*ids: int, amount: int = 1) -> Records:
    return records.transfer_array([Transfer(i, 1, 2, amount, 1, 1) for i in ids])


@pytest.fixture
def engine() -> Engine:
    engine = Engine(LIMITS)
    engine.create_accounts(accounts(1, 2), 10)
    return engine


# --- arrays ------------------------------------------------------------------------------------------


def narrowed(dtype: np.dtype[Any], field: str) -> np.dtype[Any]:
    """The record with one field half as wide."""
    half = {"<u8": "<u4", "<u4": "<u2", "<u2": "u1"}
    return np.dtype([(name, half[dtype[name].str] if name == field else dtype[name]) for name in dtype.names or ()])


@pytest.mark.parametrize(
    ("method", "name", "dtype"),
    [
        ("create_accounts", "accounts", ACCOUNT_COMMAND),
        ("create_transfers", "transfers", TRANSFER_COMMAND),
        ("update_accounts", "updates", UPDATE_COMMAND),
    ],
)
def test_a_wrong_dtype_is_refused_by_the_name_of_its_field(
    engine: Engine, method: str, name: str, dtype: np.dtype[Any]
) -> None:
    before = engine.state_hash()
    send = getattr(engine, method)
    for field in dtype.names or ():
        with pytest.raises(TypeError, match=rf"^{name}\.{field}: "):
            send(np.zeros(1, narrowed(dtype, field)), 20)
        without = np.dtype([(other, dtype[other]) for other in dtype.names or () if other != field])
        with pytest.raises(TypeError, match=rf"^{name}\.{field}: is missing"):
            send(np.zeros(1, without), 20)
    with pytest.raises(TypeError, match=rf"^{name}\.surprise: is not a field"):
        send(np.zeros(1, np.dtype([*dtype.descr, ("surprise", "<u8")])), 20)
    with pytest.raises(TypeError, match=rf"^{name}\.\w+: stands at byte"):
        send(np.zeros(1, np.dtype([(other, dtype[other]) for other in reversed(dtype.names or ())])), 20)
    with pytest.raises(TypeError, match=rf"^{name}\.\w+: >u\d is not <?u"):
        send(np.zeros(1, dtype.newbyteorder(">")), 20)
    with pytest.raises(TypeError, match=rf"^{name}: dtype uint64 is not a record"):
        send(np.zeros(1, np.uint64), 20)
    with pytest.raises(TypeError, match=rf"^{name}: list is not a NumPy array"):
        send([(1, 2)], 20)
    with pytest.raises(ValueError, match=rf"^{name}: 2 dimensions, not 1"):
        send(np.zeros((1, 1), dtype), 20)
    with pytest.raises(ValueError, match=rf"^{name}: 0 dimensions, not 1"):
        send(np.zeros((), dtype), 20)
    assert engine.state_hash() == before


def test_a_wrong_filter_is_refused(engine: Engine) -> None:
    with pytest.raises(TypeError, match=r"^filter\.account_id: is missing"):
        engine.get_account_transfers(np.zeros(1, np.dtype([("account", "<u8")])))
    with pytest.raises(ValueError, match=r"^filter: 2 records, not 1"):
        engine.query_accounts(np.zeros(2, FILTER))
    for limit in (0, LIMITS.query_limit_max + 1):
        with pytest.raises(ValueError, match=rf"^filter\.limit: {limit} is not between 1 and 8190"):
            engine.query_transfers(records.filter_array(Filter(limit=limit)))
    wrong = records.filter_array(Filter())
    wrong["flags"] = 64
    with pytest.raises(ValueError, match=r"filter\[0\]\.flags: 64 has bits without a meaning"):
        engine.query_accounts(wrong)


@pytest.mark.parametrize(
    ("method", "array", "field", "value"),
    [
        ("create_accounts", accounts(3), "flags", 128),
        ("create_accounts", accounts(3), "reserved", 1),
        ("create_transfers", transfers(3), "flags", 512),
        ("update_accounts", np.zeros(1, UPDATE_COMMAND), "frozen", 2),
        ("update_accounts", np.zeros(1, UPDATE_COMMAND), "fields", 4),
    ],
)
def test_bits_without_a_meaning_are_refused(
    engine: Engine, method: str, array: Records, field: str, value: int
) -> None:
    array = array.copy()
    array[field] = value
    with pytest.raises(ValueError, match=rf"\[0\]\.{field}: {value} has bits without a meaning"):
        getattr(engine, method)(array, 20)
    assert engine.last_timestamp == 11


@pytest.mark.parametrize("limit", [INT63_MAX + 1, 2**64 - 1])
def test_an_overdraft_that_would_wrap_around_is_refused(engine: Engine, limit: int) -> None:
    limited = records.account_array([Account(3, flags=2, overdraft_limit=limit)])
    with pytest.raises(ValueError, match=rf"accounts\[0\]\.overdraft_limit: {limit} is more than 2\^63 - 1"):
        engine.create_accounts(limited, 20)
    with pytest.raises(ValueError, match=rf"updates\[1\]\.overdraft_limit: {limit} is more than 2\^63 - 1"):
        engine.update_accounts(records.update_array([Update(1, frozen=False), Update(1, overdraft_limit=limit)]), 20)


@pytest.mark.parametrize("subject", SUBJECTS)
def test_the_largest_overdraft_and_the_largest_balance_do_not_wrap(subject: type[Plain] | type[Fast]) -> None:
    ledger = subject()
    ledger.create_accounts([Account(1, flags=2, overdraft_limit=INT63_MAX), Account(2), Account(3)], 1)
    steps = [Transfer(1, 2, 1, INT63_MAX, 1, 1), Transfer(2, 1, 3, INT63_MAX, 1, 1), Transfer(3, 1, 2, 1, 1, 1)]
    statuses = [result.status for result in ledger.create_transfers(steps, 10)]
    assert statuses == [Status.CREATED, Status.CREATED, Status.OVERFLOWS_DEBITS_POSTED]


def test_read_only_and_strided_arrays_are_taken(engine: Engine) -> None:
    given = transfers(1, 99, 2, 99, 3)
    given.flags.writeable = False
    assert [r.status for r in records.results(engine.create_transfers(given[::2], 20))] == [Status.CREATED] * 3
    found = engine.lookup_transfers(np.array([[1, 0], [2, 0], [3, 0], [99, 0]], np.uint64)[::-1])
    assert found["id_lo"].tolist() == [0, 3, 2, 1]
    backwards = transfers(6, 5, 4)[::-1]
    assert engine.create_transfers(backwards, 30)["timestamp"].tolist() == [30, 31, 32]
    assert engine.lookup_transfers(np.array([[4, 0], [6, 0]], np.uint64))["timestamp"].tolist() == [30, 32]


def test_the_arrays_given_stay_as_they_were_and_answers_belong_to_the_caller(engine: Engine) -> None:
    given = transfers(1, 2)
    copy = given.copy()
    first = engine.create_transfers(given, 20)
    assert np.array_equal(given, copy)
    kept = first.copy()
    view = engine.lookup_accounts(np.array([1, 2], np.uint64))
    view_kept = view.copy()
    engine.create_transfers(transfers(3, 4), 30)
    engine.lookup_accounts(np.array([2, 1], np.uint64))
    assert np.array_equal(first, kept)
    assert np.array_equal(view, view_kept)
    first["status"] = 5  # and may be written to


def test_ids_for_lookups(engine: Engine) -> None:
    assert engine.lookup_accounts([2, 7, 1])["id"].tolist() == [2, 0, 1]
    assert len(engine.lookup_accounts(np.zeros(0, np.uint64))) == 0
    assert len(engine.lookup_transfers(np.zeros((0, 2), np.uint64))) == 0
    with pytest.raises(ValueError, match=r"ids: shape \(3,\), not \(n, 2\)"):
        engine.lookup_transfers(np.zeros(3, np.uint64))
    with pytest.raises(ValueError, match="ids: 2 dimensions, not 1"):
        engine.lookup_accounts(np.zeros((1, 2), np.uint64))


def test_the_answers_have_the_public_dtypes(engine: Engine) -> None:
    assert engine.create_transfers(transfers(1), 20).dtype == RESULT
    assert engine.create_transfers(transfers(), 30).dtype == RESULT


# --- time --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("time", [11, 10, 0, -1, 2**63, 2**64])
def test_time_must_advance(engine: Engine, time: int) -> None:
    before = engine.state_hash()
    for call in (
        lambda: engine.create_accounts(accounts(3), time),
        lambda: engine.create_transfers(transfers(1), time),
        lambda: engine.update_accounts(records.update_array([Update(1, frozen=True)]), time),
        lambda: engine.define_scope(1, np.zeros(0, SCOPE_RANGE), time),
        lambda: engine.tick(time),
    ):
        with pytest.raises(ValueError, match=r"^time: "):
            call()
    assert engine.state_hash() == before
    assert engine.last_timestamp == 11


def test_each_item_has_its_own_time(engine: Engine) -> None:
    assert engine.create_transfers(transfers(1, 2, 3), 100)["timestamp"].tolist() == [100, 101, 102]
    assert engine.last_timestamp == 102
    engine.tick(103)
    assert engine.last_timestamp == 103


def test_no_item_gets_a_time_after_the_end_of_time(engine: Engine) -> None:
    """2^63-1 is the last nanosecond; a batch that would pass it is refused whole."""
    before = engine.state_hash()
    with pytest.raises(ValueError, match=r"^time: "):
        engine.create_transfers(transfers(1, 2, 3), INT63_MAX - 1)
    assert engine.state_hash() == before
    assert engine.create_transfers(transfers(1, 2), INT63_MAX - 1)["timestamp"].tolist() == [INT63_MAX - 1, INT63_MAX]
    with pytest.raises(ValueError, match=r"^time: "):
        engine.tick(INT63_MAX)


@pytest.mark.parametrize("subject", SUBJECTS)
def test_a_batch_counts_its_items_over_all_requests(subject: type[Plain] | type[Fast]) -> None:
    ledger = subject()
    answers = ledger.apply(
        Batch(
            1_000,
            (
                Request("create_accounts", (Account(1), Account(2))),
                Request("lookup_accounts", (1,)),
                Request("create_transfers", (Transfer(1, 1, 2, 5, 1, 1),)),
                Request("define_scope", (1, ((1, 1),))),
                Request("create_transfers", ()),
                Request("update_accounts", (Update(1, frozen=True),)),
                Request("create_transfers", (Transfer(2, 1, 2, 5, 1, 1), Transfer(3, 2, 1, 5, 1, 1))),
                Request("lookup_transfers", (3, 2)),
            ),
        )
    )
    lists = [answer for answer in answers if isinstance(answer, list)]
    assert len(lists) == 8
    times = [result.timestamp for index in (0, 2, 3, 5, 6) for result in lists[index]]
    assert times == list(range(1_000, 1_007))
    assert lists[1][0].debits_posted == 0, "a read sees what stands before it"
    assert [view and view.id for view in lists[7]] == [3, None]
    assert ledger.last_timestamp == 1_006


@pytest.mark.parametrize("subject", SUBJECTS)
def test_reads_and_requests_without_items_take_no_time(subject: type[Plain] | type[Fast]) -> None:
    ledger = subject()
    for request in (
        Request("create_transfers", ()),
        Request("create_accounts", ()),
        Request("update_accounts", ()),
        Request("lookup_accounts", ()),
        Request("lookup_transfers", ()),
        Request("query_accounts", Filter()),
        Request("query_transfers", Filter()),
    ):
        assert ledger.apply(Batch(5, (request,))) == [[]]
        assert ledger.last_timestamp == 0
    ledger.apply(Batch(5))
    assert ledger.last_timestamp == 5


# --- scopes ------------------------------------------------------------------------------------------


def scope_ranges(engine: Engine, number: int) -> list[tuple[int, int]]:
    ranges = engine.scope(number)
    assert ranges is not None
    found: list[tuple[int, int]] = ranges.tolist()
    return found


def test_scopes_are_checked_at_the_door(engine: Engine) -> None:
    ranges = np.zeros(1, SCOPE_RANGE)
    ranges["first"], ranges["last"] = 1, 5
    for number in (0, LIMITS.scopes_max + 1):
        with pytest.raises(ValueError, match=r"^scope: "):
            engine.define_scope(number, ranges, 20)
    for pairs in ([(5, 1)], [(1, 5), (5, 9)], [(7, 9), (1, 5)], [(0, 5)]):
        with pytest.raises(ValueError, match=r"^ranges: are not sorted and disjoint, or begin at 0"):
            engine.define_scope(1, records.range_array(pairs), 20)
    engine.define_scope(1, ranges, 20)
    assert scope_ranges(engine, 1) == [(1, 5)]
    assert engine.scope(2) is None


def test_redefining_scopes_does_not_fill_them_up() -> None:
    engine = Engine(Limits(accounts_max=10, transfers_max=10, scopes_max=3, scope_ranges_max=8))
    for time in range(1, 100):
        pairs = [(10 * i + 1, 10 * i + 1 + time) for i in range(time % 4) if time < 9] or [(time, time)]
        engine.define_scope(1 + time % 3, records.range_array(pairs), time)
        assert scope_ranges(engine, 1 + time % 3) == pairs
    assert [scope_ranges(engine, number) for number in (1, 2, 3)] == [[(99, 99)], [(97, 97)], [(98, 98)]]
    engine.check_invariants()


def test_a_scope_that_was_never_defined_permits_nothing(engine: Engine) -> None:
    assert engine.create_transfers(transfers(1), 20, scope=7)["status"].tolist() == [Status.NOT_PERMITTED]
    assert engine.lookup_accounts([1], scope=7)["id"].tolist() == [0]
    with pytest.raises(PermissionError, match="account_id: 1 is outside scope 7"):
        engine.get_account_transfers(records.filter_array(Filter(account_id=1)), scope=7)


# --- limits --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["accounts_max", "transfers_max", "burnt_max", "balances_max"])
@pytest.mark.parametrize("value", [0, -1, 2**31 - 1])
def test_limits_out_of_range_are_refused(name: str, value: int) -> None:
    with pytest.raises(ValueError, match=rf"^{name}: "):
        Limits(**{name: value})


@pytest.mark.parametrize("name", ["scopes_max", "scope_ranges_max", "query_limit_max", "scan_max"])
def test_limits_must_be_positive(name: str) -> None:
    with pytest.raises(ValueError, match=rf"^{name}: 0 is less than 1"):
        Limits(**{name: 0})


def test_the_hash_key_has_32_bytes() -> None:
    with pytest.raises(ValueError, match="hash_key: 31 bytes, not 32"):
        Engine(LIMITS, hash_key=b"x" * 31)


def test_an_account_without_history_has_no_balances(engine: Engine) -> None:
    with pytest.raises(ValueError, match="account_id: 1 has no history flag"):
        engine.get_account_balances(records.filter_array(Filter(account_id=1)))
    assert len(engine.get_account_balances(records.filter_array(Filter(account_id=77)))) == 0


def test_errors_of_the_engine_have_one_root() -> None:
    import engine as public

    for name in ("CapacityError", "InvariantError", "RecordError", "SnapshotError"):
        assert issubclass(getattr(public, name), EngineError)
