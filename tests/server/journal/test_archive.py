"""Old rows out of the database, whole partitions at a time, and back from their files."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
import zstandard

from server.journal import Journal, JournalError, LogDamaged, Row, read_archive
from server.journal.archive import archive_partition
from server.journal.schema import list_partitions


@pytest.fixture
async def journal(any_database: str) -> AsyncIterator[Journal]:
    """Rows 0 to 21 in partitions of 4: five full ones, and the one that the head is in."""
    journal = await Journal.open(any_database, partition_rows=4)
    await journal.take_over()
    for number in range(20):
        await journal.append(time.time_ns(), b"payload %d" % number * 100, b"d" * 16 if number % 3 == 0 else None)
    yield journal
    await journal.close()


async def everything(journal: Journal, first: int) -> list[Row]:
    return [row async for row in journal.read(first)]


async def test_what_is_archived_comes_back_verbatim(journal: Journal, tmp_path: Path) -> None:
    rows = await everything(journal, 0)
    assert await journal.archive_before(15, tmp_path) == 3
    assert await journal.first() == 12
    assert list(read_archive(tmp_path)) == rows[:12]
    assert list(read_archive(tmp_path, 6)) == rows[6:12]
    assert await everything(journal, 12) == rows[12:]
    assert await everything(journal, 14) == rows[14:]
    assert await journal.archive_before(15, tmp_path) == 0
    # It goes on, and so does the log.
    await journal.append(time.time_ns(), b"later")
    assert await journal.archive_before(20, tmp_path) == 2
    assert list(read_archive(tmp_path)) == rows[:20]
    with pytest.raises(LogDamaged, match="archived or dropped"):
        await everything(journal, 3)


async def test_what_is_dropped_is_gone_and_the_rest_stays(journal: Journal) -> None:
    rows = await everything(journal, 0)
    for seq, first in ((3, 0), (4, 4), (11, 8), (21, 20)):
        await journal.drop_before(seq)
        assert await journal.first() == first
        assert await everything(journal, max(first, 8)) == rows[max(first, 8) :]
    await journal.barrier()
    await journal.append(time.time_ns(), b"later")
    with pytest.raises(ValueError, match="not in the log yet"):
        await journal.drop_before(23)


async def test_a_log_whose_beginning_is_gone_opens_and_is_taken_over(journal: Journal, any_database: str) -> None:
    await journal.drop_before(21)
    second = await Journal.open(any_database)
    await second.take_over()
    await second.append(time.time_ns(), b"x")
    assert second.log_id == journal.log_id
    await second.close()


async def test_postgres_reads_an_archive_by_itself(journal: Journal, any_database: str, tmp_path: Path) -> None:
    rows = await everything(journal, 0)
    await journal.archive_before(8, tmp_path)
    connection = await asyncpg.connect(any_database)
    await connection.execute("CREATE TABLE restored (LIKE tongbao.log)")
    (tmp_path / "plain").write_bytes(_unpacked(tmp_path / "log-0000000000.copy.zst"))
    await connection.copy_to_table("restored", source=tmp_path / "plain", format="binary")
    assert [Row(*record) for record in await connection.fetch("SELECT * FROM restored ORDER BY seq")] == rows[:4]
    await connection.close()


def _unpacked(path: Path) -> bytes:
    with path.open("rb") as file, zstandard.ZstdDecompressor().stream_reader(file) as stream:
        return stream.read()


@pytest.mark.parametrize("step", ["file", "manifest", "detached", "pending"])
async def test_an_interrupted_run_is_finished_by_the_next(
    journal: Journal, any_database: str, tmp_path: Path, step: str
) -> None:
    rows = await everything(journal, 0)
    connection = await asyncpg.connect(any_database)
    if step == "file":
        (tmp_path / ".log-0000000000.writing").write_bytes(b"half a file")
        (tmp_path / "log-0000000000.copy.zst").write_bytes(b"a file without its manifest")
    else:
        await archive_partition(connection, journal._facts, 0, tmp_path)
    if step == "detached":
        await connection.execute("ALTER TABLE tongbao.log DETACH PARTITION tongbao.log_0000000000 CONCURRENTLY")
    if step == "pending":
        await interrupt_detach(any_database)
    assert await journal.archive_before(10, tmp_path) == (2 if step in {"file", "manifest"} else 1)
    assert list(read_archive(tmp_path)) == rows[:8]
    assert await connection.fetchval("SELECT to_regclass('tongbao.log_0000000000') IS NULL")
    assert (await list_partitions(connection))[0] == 2
    await connection.close()


async def interrupt_detach(dsn: str) -> None:
    """Leave a DETACH … CONCURRENTLY between its two transactions: it waits for a reader and is cancelled there."""
    reader, detacher = await asyncpg.connect(dsn), await asyncpg.connect(dsn)
    transaction = reader.transaction()
    await transaction.start()
    await reader.execute("SELECT FROM tongbao.log")
    with pytest.raises(TimeoutError):
        await detacher.execute(
            "ALTER TABLE tongbao.log DETACH PARTITION tongbao.log_0000000000 CONCURRENTLY", timeout=0.5
        )
    async with asyncio.timeout(10):  # until PostgreSQL has heeded the cancellation, the reader keeps it waiting
        state = "SELECT state FROM pg_stat_activity WHERE pid = $1"
        while await reader.fetchval(state, detacher.get_server_pid()) == "active":
            await reader.execute("SELECT pg_stat_clear_snapshot()")
    await transaction.rollback()
    assert await reader.fetchval("SELECT count(*) FROM pg_inherits WHERE inhdetachpending") == 1
    await reader.close()
    await detacher.close()


async def test_appends_and_readers_go_on_while_a_partition_is_dropped(journal: Journal, any_database: str) -> None:
    reader = await asyncpg.connect(any_database)
    transaction = reader.transaction()
    await transaction.start()
    await reader.execute("SELECT FROM tongbao.log")
    dropping = asyncio.create_task(journal.drop_before(8))
    done, _ = await asyncio.wait([dropping], timeout=0.3)
    assert not done  # it waits for that reader
    async with asyncio.timeout(10):
        for _ in range(12):  # and makes partitions meanwhile
            await journal.append(time.time_ns(), b"x")
            await journal.barrier()
    await transaction.rollback()
    assert await asyncio.wait_for(dropping, 10) == 2
    await reader.close()


def change_a_payload(data: bytes) -> bytes:
    plain = zstandard.ZstdDecompressor().decompressobj().decompress(data)
    assert b"payload 0" in plain
    return zstandard.compress(plain.replace(b"payload 0", b"payload 9", 1))


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        (lambda data: data[:-3], "log row 0|log row 3"),
        (lambda data: data[:40] + bytes([data[40] ^ 1]) + data[41:], "log row"),
        (lambda _: b"", "too early"),
        (lambda _: zstandard.compress(b"something else, and long enough"), "begin"),
        (lambda _: zstandard.compress(b"PGCOPY\n\xff\r\n\0" + bytes(8) + b"\xff\xff"), "missing"),
        (change_a_payload, "checksum"),
    ],
    ids=["short", "flipped", "empty", "other", "no rows", "changed"],
)
async def test_a_damaged_archive_is_noticed_and_keeps_its_partition(
    journal: Journal, any_database: str, tmp_path: Path, damage: object, what: str
) -> None:
    connection = await asyncpg.connect(any_database)
    await archive_partition(connection, journal._facts, 0, tmp_path)
    path = tmp_path / "log-0000000000.copy.zst"
    path.write_bytes(damage(path.read_bytes()))  # type: ignore[operator]
    with pytest.raises(LogDamaged, match=what):
        list(read_archive(tmp_path))
    with pytest.raises(LogDamaged):
        await journal.archive_before(4, tmp_path)
    assert await journal.first() == 0
    await connection.close()


async def test_the_archive_of_another_log_is_refused(journal: Journal, tmp_path: Path) -> None:
    await journal.archive_before(4, tmp_path)
    manifest = tmp_path / "log-0000000000.json"
    document = json.loads(manifest.read_text())
    (tmp_path / "log-0000000001.json").write_text(json.dumps(document | {"log_id": "00" * 16, "partition": 1}))
    with pytest.raises(JournalError, match="another log"):
        await journal.archive_before(8, tmp_path)
    with pytest.raises(JournalError, match="another log"):
        list(read_archive(tmp_path))
    assert await journal.first() == 4
