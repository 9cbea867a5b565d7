"""The log with nothing going wrong, and each thing that must be noticed when it is read back."""

import asyncio
import time
from collections.abc import AsyncIterator
from hashlib import sha256
from urllib.parse import urlsplit

import asyncpg
import pytest

from server.journal import Fenced, Head, Journal, JournalClosed, JournalError, Kind, LogDamaged, LogLost, UnsafeDatabase
from server.journal.link import Link, connect

ROWS = 10
# A row rewritten in full, with the right hash for what it says: the row after it gives it away.
REWRITE = """
UPDATE tongbao.log
SET payload = 'x', checksum = sha256('x'),
    hash = sha256(previous_hash || int8send(seq) || int8send(epoch) || int8send(time) || int2send(format)
                  || int2send(kind) || sha256('x') || coalesce(digest, ''))
WHERE seq = 6
"""


@pytest.fixture
async def journal(any_database: str) -> AsyncIterator[Journal]:
    """A journal of small partitions whose leader we are; row 1 is our takeover."""
    journal = await Journal.open(any_database, partition_rows=4, format=7)
    await journal.take_over()
    yield journal
    await journal.close()


async def append_rows(journal: Journal, count: int) -> list[Head]:
    """Append some rows and return the head after each."""
    heads = []
    for number in range(count):
        seq = await journal.append(time.time_ns(), b"payload %d" % number, b"d" * 16 if number % 3 == 0 else None)
        assert seq == journal.head.seq
        heads.append(journal.head)
    return heads


async def tamper(dsn: str, command: str) -> None:
    """Do what nobody should."""
    connection = await asyncpg.connect(dsn)
    await connection.execute(command)
    await connection.close()


async def test_rows_come_back_as_they_were_appended(journal: Journal) -> None:
    heads = await append_rows(journal, ROWS)
    rows = [row async for row in journal.read(1)]
    assert rows[0].kind == Kind.TAKEOVER
    assert [Head(row.seq, row.hash, row.epoch, row.time) for row in rows[1:]] == heads
    assert [row.payload for row in rows[1:]] == [b"payload %d" % number for number in range(ROWS)]
    assert {row.format for row in rows} == {7}
    assert [row.digest is not None for row in rows[1:5]] == [True, False, False, True]
    # From anywhere, with and without the anchor that a snapshot gives, and to anywhere.
    for first in range(1, ROWS + 2):
        assert [row async for row in journal.read(first)] == rows[first - 1 :]
    anchored = journal.read(6, previous_hash=rows[4].hash, epoch=1, last=8)
    assert [row async for row in anchored] == rows[5:8]
    assert [row async for row in journal.read(ROWS + 2)] == []


async def test_an_empty_log_has_row_0_and_an_identity_of_its_own(any_database: str) -> None:
    journal = await Journal.open(any_database)
    assert (journal.head.seq, journal.head.epoch) == (0, 0)
    [row] = [row async for row in journal.read(0)]
    assert (row.kind, row.payload, row.previous_hash) == (Kind.GENESIS, journal.log_id, bytes(32))
    again = await Journal.open(any_database)
    assert (again.log_id, again.head) == (journal.log_id, journal.head)
    await again.close()
    await journal.close()


async def test_two_processes_that_open_at_once_make_one_log(any_database: str) -> None:
    journals = await asyncio.gather(*[Journal.open(any_database) for _ in range(5)])
    assert len({journal.log_id for journal in journals}) == 1
    for journal in journals:
        await journal.close()


async def test_the_chain_can_be_verified_in_sql_alone(journal: Journal, any_database: str) -> None:
    await append_rows(journal, ROWS)
    connection = await asyncpg.connect(any_database)
    wrong = await connection.fetchval(
        """
        SELECT count(*) FROM (
            SELECT *, lag(hash, 1, decode(repeat('00', 32), 'hex')) OVER (ORDER BY seq) AS before FROM tongbao.log
        ) AS log
        WHERE previous_hash <> before OR checksum <> sha256(payload)
           OR hash <> sha256(previous_hash || int8send(seq) || int8send(epoch) || int8send(time) || int2send(format)
                             || int2send(kind) || checksum || coalesce(digest, ''))
        """
    )
    assert wrong == 0
    assert await connection.fetchval("SELECT count(*) FROM tongbao.log") == ROWS + 2
    await connection.close()


async def test_every_column_is_explained(journal: Journal, any_database: str) -> None:
    connection = await asyncpg.connect(any_database)
    silent = await connection.fetch(
        """
        SELECT attname FROM pg_attribute
        WHERE attrelid = 'tongbao.log'::regclass AND attnum > 0 AND col_description(attrelid, attnum) IS NULL
        """
    )
    assert silent == []
    await connection.close()


@pytest.mark.parametrize(
    ("command", "seq", "what"),
    [
        ("UPDATE tongbao.log SET payload = set_byte(payload, 3, 0) WHERE seq = 6", 6, "checksum"),
        ("UPDATE tongbao.log SET payload = 'x', checksum = sha256('x') WHERE seq = 6", 6, "hash"),
        ("UPDATE tongbao.log SET time = time + 1 WHERE seq = 5", 5, "hash"),
        ("UPDATE tongbao.log SET digest = NULL WHERE seq = 5", 5, "hash"),
        ("UPDATE tongbao.log SET epoch = 9 WHERE seq = 5", 5, "hash"),
        ("UPDATE tongbao.log SET hash = sha256(hash) WHERE seq = 7", 7, "hash"),
        ("UPDATE tongbao.log SET previous_hash = sha256(hash) WHERE seq = 7", 7, "previous_hash"),
        ("DELETE FROM tongbao.log WHERE seq = 6", 6, "missing"),
        ("DELETE FROM tongbao.log WHERE seq > 8", 9, "missing"),
        ("DELETE FROM tongbao.log WHERE seq BETWEEN 4 AND 7", 4, "missing"),
        ("DROP TABLE tongbao.log_0000000001", 4, "missing"),
        (REWRITE, 7, "previous_hash"),
    ],
)
async def test_damage_is_named_by_its_seq(
    journal: Journal, any_database: str, command: str, seq: int, what: str
) -> None:
    await append_rows(journal, ROWS)
    await tamper(any_database, command)
    with pytest.raises(LogDamaged, match=what) as caught:
        async for _ in journal.read(1):
            pass
    assert caught.value.seq == seq


async def test_a_tail_that_does_not_continue_a_snapshot_is_damage(journal: Journal) -> None:
    await append_rows(journal, ROWS)
    with pytest.raises(LogDamaged, match="previous_hash") as caught:
        async for _ in journal.read(6, previous_hash=sha256(b"another log").digest(), epoch=1):
            pass
    assert caught.value.seq == 6
    [before] = [row async for row in journal.read(5, last=5)]
    with pytest.raises(LogDamaged, match="epoch"):
        async for _ in journal.read(6, previous_hash=before.hash, epoch=2):
            pass


async def test_a_damaged_newest_row_is_found_when_opening(journal: Journal, any_database: str) -> None:
    await append_rows(journal, ROWS)
    await tamper(any_database, "UPDATE tongbao.log SET payload = 'x' WHERE seq = 11")
    with pytest.raises(LogDamaged, match="row 11"):
        await Journal.open(any_database)


async def test_a_second_leader_fences_the_first(journal: Journal, any_database: str) -> None:
    await append_rows(journal, 3)
    await journal.barrier()
    second = await Journal.open(any_database)
    await journal.append(time.time_ns(), b"still the leader")
    await second.take_over()
    assert (second.head.seq, second.epoch) == (6, 2)
    with pytest.raises(Fenced):
        await journal.append(time.time_ns(), b"too late")
    with pytest.raises(Fenced):  # and for ever
        await journal.append(time.time_ns(), b"too late")
    with pytest.raises(Fenced):
        await journal.barrier()
    await append_rows(second, 2)
    assert b"too late" not in [row.payload async for row in second.read(1)]
    await second.close()


async def test_a_barrier_notices_another_leader_at_any_place_of_a_partition(any_database: str) -> None:
    for count in range(9):
        first = await Journal.open(any_database, partition_rows=4)
        await first.take_over()
        await append_rows(first, count)
        await first.barrier()
        second = await Journal.open(any_database)
        await second.take_over()
        with pytest.raises(Fenced):
            await first.barrier()
        with pytest.raises(Fenced):
            await first.append(time.time_ns(), b"")
        await first.close()
        await second.close()


async def test_nothing_is_appended_before_a_takeover_or_after_the_end(any_database: str) -> None:
    journal = await Journal.open(any_database)
    with pytest.raises(JournalError, match="take_over"):
        await journal.append(1, b"")
    await journal.take_over()
    await journal.close()
    with pytest.raises(JournalClosed):
        await journal.append(1, b"")
    with pytest.raises(JournalClosed):
        await journal.barrier()


@pytest.mark.parametrize("use", ["append", "barrier"])
@pytest.mark.parametrize("rows", [2, 3, 4, 5])
async def test_acknowledged_rows_that_are_gone_halt(journal: Journal, any_database: str, use: str, rows: int) -> None:
    await append_rows(journal, rows)
    await tamper(any_database, "DELETE FROM tongbao.log WHERE seq > 2")
    with pytest.raises(LogLost, match=f"row {rows + 1} was acknowledged, but the log ends at row 2"):
        await (journal.append(time.time_ns(), b"x") if use == "append" else journal.barrier())
    with pytest.raises(LogLost):
        await journal.append(time.time_ns(), b"x")


async def test_an_acknowledged_row_that_was_replaced_halts(journal: Journal, any_database: str) -> None:
    await append_rows(journal, 3)
    await tamper(any_database, "DELETE FROM tongbao.log WHERE seq > 3")
    other = await Journal.open(any_database)
    await other.take_over()
    await append_rows(other, 1)
    with pytest.raises((LogLost, Fenced)):
        await journal.barrier()
    with pytest.raises((LogLost, Fenced)):
        await journal.append(time.time_ns(), b"x")
    await other.close()


@pytest.mark.parametrize("setting", ["synchronous_commit = off", "synchronous_commit = local"])
async def test_a_database_that_forgets_is_refused(any_database: str, setting: str) -> None:
    name = urlsplit(any_database).path[1:]
    await tamper(any_database, f"ALTER DATABASE {name} SET {setting}")
    with pytest.raises(UnsafeDatabase, match="synchronous_commit"):
        await Journal.open(any_database)
    journal = await Journal.open(any_database, allow_unsafe=True)
    await journal.close()


async def test_the_next_partition_is_made_before_it_is_needed(journal: Journal, any_database: str) -> None:
    await append_rows(journal, ROWS)  # the newest is row 11, the last of partition 2
    connection = await asyncpg.connect(any_database)
    async with asyncio.timeout(10):
        while await connection.fetchval("SELECT to_regclass('tongbao.log_0000000003') IS NULL"):
            await asyncio.sleep(0.01)  # made beside the appends, in a session of its own
    options = await connection.fetchval(
        "SELECT reloptions FROM pg_class WHERE oid = 'tongbao.log_0000000003'::regclass"
    )
    assert "autovacuum_enabled=off" in options
    storage = "SELECT attstorage FROM pg_attribute WHERE attrelid = $1::regclass AND attname = 'payload'"
    assert await connection.fetchval(storage, "tongbao.log_0000000003") == b"e"
    await connection.close()


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("DELETE FROM tongbao.log WHERE seq >= 4", "row 4 was applied, but the log ends at row 3"),
        ("DELETE FROM tongbao.log WHERE seq = 4", "row 4 was applied, but it is gone"),
        ("UPDATE tongbao.log SET hash = sha256('x') WHERE seq = 4", "row 4 was applied, but another row stands"),
    ],
)
async def test_who_knows_rows_that_are_gone_does_not_take_over(
    journal: Journal, any_database: str, command: str, message: str
) -> None:
    """As a standby whose database fails over, without the newest rows, just when it is its turn."""
    heads = await append_rows(journal, 4)
    known = heads[2]
    assert known.seq == 4
    standby = await Journal.open(any_database, format=7)
    await tamper(any_database, command)
    with pytest.raises(LogLost, match=message):
        await standby.take_over(after=1, known=(known.seq, known.hash))
    assert standby.epoch == 0
    await standby.close()


async def test_who_knows_rows_that_are_there_takes_over(journal: Journal, any_database: str) -> None:
    heads = await append_rows(journal, 4)
    for known in (heads[0], heads[3]):
        standby = await Journal.open(any_database, format=7)
        assert await standby.take_over(known=(known.seq, known.hash))
        await standby.close()


async def test_the_newest_row_is_waited_for(
    journal: Journal, any_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A follower that asks for it while the database restarts must not end."""
    reader = await Journal.open(any_database, read_only=True)
    [head] = await append_rows(journal, 1)
    errors = [ConnectionRefusedError("refused"), asyncpg.CannotConnectNowError("the database system is starting up")]

    async def not_yet(dsn: str, **options: bool) -> Link:
        if errors:
            raise errors.pop()
        return await connect(dsn, **options)

    monkeypatch.setattr("server.journal.log.connect", not_yet)
    assert await reader.newest() == head
    assert not errors
    await reader.close()
