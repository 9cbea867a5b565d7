"""The log as it grows, and a reader of it that must never go on behind a row that is gone."""

import asyncio
from collections.abc import AsyncIterator
from typing import NoReturn

import asyncpg
import pytest

from server.journal import Head, Journal, JournalError, Kind, LogDamaged, LogLost, PostgresUnavailable, Tail
from tests.server.journal.test_log import append_rows, tamper


@pytest.fixture
async def journal(any_database: str) -> AsyncIterator[Journal]:
    """A journal of small partitions whose leader we are; row 1 is our takeover."""
    journal = await Journal.open(any_database, partition_rows=4, format=7)
    await journal.take_over()
    yield journal
    await journal.close()


@pytest.fixture
async def reader(journal: Journal, any_database: str) -> AsyncIterator[Journal]:
    """Somebody who reads it."""
    reader = await Journal.open(any_database, read_only=True)
    yield reader
    await reader.close()


async def look_on(tail: Tail) -> NoReturn:
    """Look until something is wrong."""
    while True:
        await tail.look()


async def test_rows_come_as_they_are_committed_over_every_partition(journal: Journal, reader: Journal) -> None:
    known = journal.head
    tail = reader.tail(known)
    assert await tail.look() == []
    heads = await append_rows(journal, 3)
    seen = []
    while len(seen) < 3:
        seen += await tail.rows()
    assert [Head(row.seq, row.hash, row.epoch, row.time) for row in seen] == heads
    # Across four partitions, while they are being written.
    writing = asyncio.create_task(append_rows(journal, 13))
    while len(seen) < 16:
        async with asyncio.timeout(10):
            seen += await tail.rows()
    assert [row.seq for row in seen] == list(range(known.seq + 1, known.seq + 17))
    assert [row.hash for row in seen[3:]] == [head.hash for head in await writing]
    assert tail.seq == journal.head.seq
    assert await tail.look() == []
    await tail.close()


async def test_a_takeover_is_a_row_too(journal: Journal, reader: Journal, any_database: str) -> None:
    tail = reader.tail(journal.head)
    successor = await Journal.open(any_database)
    await successor.take_over()
    [row] = await tail.rows()
    assert (row.kind, row.epoch) == (Kind.TAKEOVER, 2)
    await successor.close()
    await tail.close()


async def test_a_lost_session_costs_nothing(journal: Journal, reader: Journal, any_database: str) -> None:
    tail = reader.tail(journal.head)
    await append_rows(journal, 2)
    assert [row.seq for row in await tail.rows()] == [2, 3]
    await append_rows(journal, 1)
    await tamper(
        any_database,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'tongbao reader'",
    )
    assert [row.seq for row in await tail.rows()] == [4]
    await tail.close()


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("DELETE FROM tongbao.log WHERE seq >= 3", "row 3 was committed, and it is not in the log any more"),
        ("UPDATE tongbao.log SET hash = sha256('x') WHERE seq = 3", "row 3 was committed, but another row stands"),
    ],
)
async def test_a_row_that_was_given_and_is_gone_is_a_lost_log(
    journal: Journal, reader: Journal, any_database: str, command: str, message: str
) -> None:
    """As after a failover to a standby that had not got it."""
    tail = reader.tail(journal.head)
    await append_rows(journal, 2)
    assert [row.seq for row in await tail.rows()] == [2, 3]
    await tamper(any_database, command)
    await tamper(
        any_database,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'tongbao reader'",
    )
    with pytest.raises(LogLost, match=message):
        await look_on(tail)
    await tail.close()


@pytest.mark.parametrize("column", ["payload", "checksum", "hash", "previous_hash", "digest"])
async def test_a_changed_row_is_named(journal: Journal, reader: Journal, any_database: str, column: str) -> None:
    tail = reader.tail(journal.head)
    await append_rows(journal, 5)
    await tamper(any_database, f"UPDATE tongbao.log SET {column} = sha256('other') WHERE seq = 4")
    with pytest.raises(LogDamaged, match="log row 4"):
        await look_on(tail)
    await tail.close()


async def test_a_missing_row_is_named(journal: Journal, reader: Journal, any_database: str) -> None:
    tail = reader.tail(journal.head)
    await append_rows(journal, 2)
    await tamper(any_database, "DELETE FROM tongbao.log WHERE seq = 2")
    with pytest.raises(LogDamaged, match="log row 2: missing"):
        await tail.rows()
    await tail.close()


async def test_a_dropped_partition_is_named(journal: Journal, reader: Journal) -> None:
    tail = reader.tail(journal.head)
    await append_rows(journal, 12)
    assert await journal.drop_before(9) == 2
    with pytest.raises(LogDamaged, match="archived or dropped"):
        await tail.rows()
    await tail.close()


async def test_behind_the_last_dropped_row_it_goes_on(journal: Journal, reader: Journal) -> None:
    heads = await append_rows(journal, 12)
    assert await journal.drop_before(9) == 2
    [known] = [head for head in heads if head.seq == 7]
    tail = reader.tail(known)
    assert (await tail.rows())[0].seq == 8
    await tail.close()


async def test_a_reader_cannot_write(reader: Journal) -> None:
    with pytest.raises(JournalError, match="opened to read"):
        await reader.take_over()
    link = await reader._connect()
    with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
        await link.connection.execute("CREATE TABLE public.x (y int)")
    await link.close()


async def test_a_reader_waits_for_a_log_and_makes_none(database: str) -> None:
    with pytest.raises(PostgresUnavailable, match="there is no log in it yet"):
        await Journal.open(database, read_only=True, wait=0.2)
    waiting = asyncio.create_task(Journal.open(database, read_only=True))
    await asyncio.sleep(0.1)
    journal = await Journal.open(database)
    reader = await waiting
    assert reader.log_id == journal.log_id
    await reader.close()
    await journal.close()
