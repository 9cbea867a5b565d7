"""A batch as bytes and back: exact, small, and damage is noticed rather than replayed."""

import random

import pytest
import zstandard

from engine import Batch as EngineBatch
from engine import RecordError, log_record, requests
from tests.engine.batches import READS, Batch, Request
from tests.engine.generator import Generator
from tests.engine.subjects import Fast, Plain
from tests.models import records
from tests.models.records import Account, Transfer, Update


def encoded(batch: Batch) -> bytes:
    fast = Fast()
    fast._compose(batch)
    return log_record.encode(fast._batch, batch.time)


EVERYTHING = Batch(
    77,
    (
        Request("create_accounts", (Account(1, flags=8), Account(2**63 - 1, 2**32 - 1, 65_535, 2, 7, 2**127, 8, 9))),
        Request("lookup_accounts", (1, 2)),
        Request("create_transfers", tuple(Transfer(i << 64, 1, 2, 5, 1, 1) for i in range(1, 4)), 3),
        Request("create_transfers", ()),
        Request("update_accounts", (Update(1, frozen=True), Update(2, 5))),
        Request("define_scope", (2, ((1, 5), (7, 9)))),
        Request("create_transfers", (Transfer(9, 1, 2, 2**63 - 1, 1, 1, 2, timeout=2**32 - 1, timestamp=4),)),
    ),
)


def test_what_is_written_comes_back_and_what_is_read_is_left_out() -> None:
    batch = EngineBatch()
    assert log_record.decode(encoded(EVERYTHING), batch) == 77
    again = EngineBatch()
    without_reads = Batch(77, tuple(r for r in EVERYTHING.requests if r.method not in READS and r.items))
    assert log_record.encode(batch, 77) == encoded(without_reads)
    assert log_record.decode(log_record.encode(batch, 77), again) == 77
    one, other = Fast(), Fast()
    answers = one.apply(EVERYTHING)
    other.replay(encoded(EVERYTHING))
    writes = [a for r, a in zip(EVERYTHING.requests, answers, strict=True) if r.method not in READS and r.items]
    assert [answer for answer in other.results() if answer] == writes
    assert one.engine.state_hash() == other.engine.state_hash()


def test_a_tick_is_a_record_too() -> None:
    batch = EngineBatch()
    requests.append_transfers(batch, records.transfer_array([Transfer(1)]))
    payload = encoded(Batch(2**63 - 1))
    assert log_record.decode(payload, batch) == 2**63 - 1
    assert len(batch) == 0, "what was in the batch is gone"
    assert len(payload) <= 64


def test_transfers_that_resemble_each_other_take_few_bytes() -> None:
    """104 bytes each in memory; random ids alone need 16."""
    source = random.Random(1)
    items = tuple(
        Transfer(
            source.getrandbits(128),
            source.randint(1, 10_000),
            source.randint(1, 10_000),
            source.randint(1, 10**6),
            156,
            10,
        )
        for _ in range(1_000)
    )
    assert len(encoded(Batch(1, (Request("create_transfers", items),)))) < 26 * 1_000


@pytest.mark.parametrize(
    "batch", [EVERYTHING, Batch(5), Batch(9, EVERYTHING.requests[:1])], ids=["mixed", "tick", "accounts"]
)
def test_damage_is_noticed_or_harmless(batch: Batch) -> None:
    """Every truncation is refused, and no flipped bit leads outside the batch.

    That a flipped bit of a value is noticed at all is the task of the checksum in the journal's row.
    """
    payload = encoded(batch)
    into = EngineBatch()
    for length in range(len(payload)):
        with pytest.raises(RecordError):
            log_record.decode(payload[:length], into)
        assert len(into) == 0, "nothing half decoded is left in the batch"
    with pytest.raises(RecordError):
        log_record.decode(payload + b"\0", into)
    for position in range(8 * len(payload)):
        damaged = bytearray(payload)
        damaged[position // 8] ^= 1 << (position % 8)
        try:
            time = log_record.decode(bytes(damaged), into)
        except RecordError:
            continue
        assert log_record.decode(log_record.encode(into, time), into) == time


def test_compressed_records_are_refused_when_damaged() -> None:
    source = random.Random(2)
    items = tuple(Transfer(i + 1, 1, 2, source.randint(1, 9), 1, 1, user_data_64=i // 7) for i in range(3_000))
    payload = encoded(Batch(1, (Request("create_transfers", items),)))
    into = EngineBatch()
    for _ in range(2_000):
        damaged = bytearray(payload)
        position = source.randrange(len(payload))
        damaged[position] ^= 1 << source.randrange(8)
        try:
            time = log_record.decode(
                bytes(damaged[: source.choice([len(payload), source.randrange(len(payload))])]), into
            )
        except RecordError:
            continue
        log_record.encode(into, time)


def test_another_format_is_refused() -> None:
    payload = bytearray(encoded(EVERYTHING))
    payload[0] = log_record.FORMAT + 1
    with pytest.raises(RecordError, match=f"format {log_record.FORMAT + 1}"):
        log_record.decode(bytes(payload), EngineBatch())


@pytest.mark.parametrize("seed", range(6))
def test_any_batch_survives_the_way_there_and_back(seed: int) -> None:
    """`Fast.apply` itself compares every record with its way back; here with hundreds of odd batches."""
    plain, fast = Plain(), Fast()
    generator = Generator(random.Random(f"log record {seed}"), plain)
    for _ in range(100):
        batch = generator.batch()
        assert fast.apply(batch) == plain.apply(batch)
    again = Fast(hash_key=b"q" * 32)
    for payload in fast.log:
        again.replay(payload)
    assert again.engine.state_hash() == fast.engine.state_hash()


def alike(count: int) -> Batch:
    """Transfers whose columns differ in no, one, some and all bytes."""
    source = random.Random(count)
    items = tuple(
        Transfer(
            source.getrandbits(128),
            source.randint(1, 200),
            source.randint(1, 2**63 - 1),
            5 + (number % 3 << 40),
            156,
            source.choice([1, 2, 65_535]),
            timeout=source.choice([0, 2**32 - 1]),
        )
        for number in range(count)
    )
    return Batch(3, (Request("create_transfers", items),))


@pytest.mark.parametrize(("count", "version"), [(1, 1), (15, 1), (16, 3), (17, 3), (1_000, 3)])
def test_columns_of_bytes_come_back_and_are_format_3(count: int, version: int) -> None:
    payload = encoded(alike(count))
    assert payload[0] == version
    batch, again = EngineBatch(), EngineBatch()
    assert log_record.decode(payload, batch) == 3
    assert log_record.encode(batch, 3) == payload
    older = log_record.encode(batch, 3, format_most=2)
    assert older[0] == 1
    assert log_record.decode(older, again) == 3
    assert log_record.encode(again, 3) == payload
    one, other = Fast(), Fast()
    one.replay(payload)
    other.replay(older)
    assert one.results() == other.results()
    assert one.engine.state_hash() == other.engine.state_hash()


def test_columns_of_bytes_are_shorter() -> None:
    batch = EngineBatch()
    log_record.decode(encoded(alike(1_000)), batch)
    assert len(log_record.encode(batch, 3)) < len(log_record.encode(batch, 3, format_most=1))


@pytest.mark.parametrize("count", [16, 40])
def test_damaged_columns_of_bytes_are_noticed_or_harmless(count: int) -> None:
    payload = encoded(alike(count))
    body = zstandard.ZstdDecompressor().decompress(payload[8:]) if payload[1] else payload[8:]
    plain = payload[:1] + b"\0" + payload[2:8] + body
    into = EngineBatch()
    assert log_record.decode(plain, into) == 3
    assert log_record.encode(into, 3) == payload
    for length in range(len(plain)):
        with pytest.raises(RecordError):
            log_record.decode(plain[:length], into)
    for position in range(8 * len(plain)):
        damaged = bytearray(plain)
        damaged[position // 8] ^= 1 << (position % 8)
        try:
            time = log_record.decode(bytes(damaged), into)
        except RecordError:
            continue
        assert log_record.decode(log_record.encode(into, time), into) == time


def test_an_older_format_has_no_columns_of_bytes() -> None:
    payload = bytearray(encoded(alike(16)))
    payload[0] = 2
    with pytest.raises(RecordError):
        log_record.decode(bytes(payload), EngineBatch())
