"""Appends as bytes on asyncpg's session: every row once, whatever PostgreSQL answers and however it arrives.

tests/server/journal/test_faults.py cuts the session before and after the row.
"""

import asyncio
import time

import asyncpg
import pytest

from server.journal import Journal
from server.journal.stream import INSERTED
from tests.server.journal.test_faults import lead, proxy_for, through


async def rows_of(journal: Journal) -> list[tuple[bytes, bytes | None]]:
    """Return payloads and digests of the rows behind the takeover, verified against hashes and checksums."""
    return [(row.payload, row.digest) async for row in journal.read(2)]


async def test_payloads_of_any_size_with_and_without_digest(any_database: str) -> None:
    journal = await lead(any_database, partition_rows=1_000)
    rows = [(b"%d" % size * size, b"d" * 16 if size % 2 else None) for size in (0, 1, 7, 300, 9_000, 500_000)]
    sessions = set()
    for payload, digest in rows:
        await journal.append(time.time_ns(), payload, digest)
        sessions.add(journal._appender)
    assert await rows_of(journal) == rows
    assert len(sessions) == 1
    await journal.close()


async def test_asyncpg_and_appends_take_turns_on_one_session(any_database: str) -> None:
    journal = await lead(any_database, partition_rows=4)
    for number in range(20):  # a statement of its own for each partition and its first row
        await journal.append(time.time_ns(), b"%d" % number)
        link = journal._appender
        assert link is not None
        assert await link.connection.fetchval("SELECT count(*) FROM tongbao.log") == number + 3
        assert not link.lost
    assert [payload for payload, _ in await rows_of(journal)] == [b"%d" % number for number in range(20)]
    await journal.close()


async def test_an_answer_that_comes_byte_by_byte(any_database: str) -> None:
    async with proxy_for(any_database) as proxy:
        journal = await lead(through(proxy, any_database))
        await journal.append(time.time_ns(), b"prepared")
        link = journal._appender
        proxy.crumbs = True
        began = time.monotonic()
        for number in range(5):
            await journal.append(time.time_ns(), b"%d" % number)
        assert time.monotonic() - began > 5 * len(INSERTED) * 0.001  # they were crumbs
        assert journal._appender is link
        proxy.crumbs = False
        assert len(await rows_of(journal)) == 6
        await journal.close()


@pytest.mark.parametrize("idle", [True, False])
async def test_what_is_no_answer_ends_the_session_and_loses_nothing(any_database: str, idle: bool) -> None:
    """A changed parameter is reported in the middle of whatever goes on; it is no answer to an append."""
    journal = await lead(any_database)
    await journal.append(time.time_ns(), b"before")
    link = journal._appender
    other = await asyncpg.connect(any_database)
    zone = await other.fetchval("SHOW timezone")
    try:
        for number, name in enumerate(("Asia/Shanghai", "UTC", "Europe/Prague")):
            await other.execute(f"ALTER SYSTEM SET timezone = '{name}'")
            await other.execute("SELECT pg_reload_conf()")
            if idle:
                await other.execute("SELECT pg_sleep(0.1)")
            await journal.append(time.time_ns(), b"%d" % number)
        async with asyncio.timeout(20):
            while journal._appender is link:  # a busy machine takes its time to tell
                await journal.append(time.time_ns(), b"again")
    finally:
        await other.execute(f"ALTER SYSTEM SET timezone = '{zone}'")
        await other.execute("SELECT pg_reload_conf()")
        await other.close()
    await journal.append(time.time_ns(), b"after")
    payloads = [payload for payload, _ in await rows_of(journal) if payload != b"again"]
    assert payloads == [b"before", b"0", b"1", b"2", b"after"]
    await journal.close()


async def test_closing_during_an_append_takes_no_time(any_database: str) -> None:
    async with proxy_for(any_database) as proxy:
        journal = await lead(through(proxy, any_database))
        await journal.append(time.time_ns(), b"before")
        proxy.hole = True
        append = journal.append(time.time_ns(), b"unknown")
        began = time.monotonic()
        await journal.close()
        assert time.monotonic() - began < 3
        with pytest.raises(Exception, match="closed"):
            await append
        proxy.heal()
