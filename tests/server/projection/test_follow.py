"""A projection behind a real server: it keeps up, comes right after a cut, and says what is wrong with the tables."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from server.follower.process import FollowProcess
from server.lifecycle import Server
from server.process import Exit, exit_code_of
from server.projection.comparison import Report
from server.projection.errors import ProjectionError
from server.projection.migration import migrate
from server.projection.work import Source, check, rebuild, status
from server.snapshots import Snapshots
from tests.server.follower.harness import follow_settings, following
from tests.server.journal.test_log import tamper
from tests.server.serving.harness import Client, accounts, running, settings_for, transfer, until


@contextlib.asynccontextmanager
async def projecting(directory: Path, database: str, tables: str, **flags: Any) -> AsyncIterator[FollowProcess]:
    """A follower with a projection."""
    settings = follow_settings(directory, database_url=database, projection_url=tables, **flags)
    async with following(settings) as process:
        yield process


async def reached(process: FollowProcess, seq: int) -> None:
    assert process.projection is not None
    async with asyncio.timeout(20):
        await process.projection.reached(seq)


async def found(directory: Path, database: str, tables: str) -> Report:
    """What `tongbao projection check` finds."""
    settings = follow_settings(directory, database_url=database)
    source = Source(database, Snapshots(directory / "snapshots", 2), settings.limits())
    return await check(source, tables)


async def equal(directory: Path, database: str, tables: str) -> Report:
    report = await found(directory, database, tables)
    assert not report.differences
    return report


async def query(tables: str, text: str, *arguments: Any) -> Any:
    connection = await asyncpg.connect(tables)
    try:
        return await connection.fetch(text, *arguments)
    finally:
        await connection.close()


async def test_it_keeps_up_on_every_postgresql(
    server: Server, client: Client, tmp_path: Path, database: str, any_tables: str
) -> None:
    assert await migrate(any_tables) == (None, "0002")
    assert await migrate(any_tables) == ("0002", "0002")
    await client.result("create_accounts", accounts([1, 2, 3], flags=["history"]))
    async with projecting(tmp_path / "follower", database, any_tables) as process:
        hold = transfer(amount=50, flags=["pending"], timeout=1)
        posted = transfer(amount=20, flags=["pending"])
        await client.result("create_transfers", [transfer(amount=500), hold, posted])
        part = {"id": transfer()["id"], "pending_id": posted["id"], "amount": 15, "flags": ["post_pending_transfer"]}
        await client.result("create_transfers", [part, transfer(2, 3, 100)])
        await client.result("update_accounts", [{"id": 3, "frozen": True}])
        await until(lambda: server.engine.pending == 0)  # the hold expires
        await reached(process, server.batcher.seq)
        report = await equal(tmp_path / "follower", database, any_tables)
        assert (report.rows["accounts"], report.rows["transfers"]) == (3, 5)
    rows = await query(any_tables, "SELECT debit, credit, balance FROM ledger.statement WHERE account_id = 2")
    assert [tuple(row) for row in rows] == [(0, 500, 500), (0, 15, 515), (100, 0, 415)]
    states = await query(any_tables, "SELECT state, count(*) FROM ledger.transfers GROUP BY state ORDER BY state")
    assert [tuple(row) for row in states] == [("posted", 3), ("pending_posted", 1), ("expired", 1)]
    [row] = await query(any_tables, "SELECT ledger.account_flags(flags) FROM ledger.accounts WHERE account_id = 3")
    assert row[0] == ["history", "frozen"]
    assert (await status(any_tables))["seq"] == server.batcher.seq


async def pour(client: Client, seconds: float) -> int:
    """Traffic of every kind the ledger has, for a while; return how many transfers were asked for."""
    asked = 0
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    holds: list[str] = []
    while loop.time() < end:
        items = [transfer(1 + asked % 5, 1 + (asked + 1) % 5, 1 + asked % 7) for _ in range(20)]
        hold = transfer(1, 2, 3, flags=["pending"], timeout=1 + asked % 3)
        holds.append(hold["id"])
        items += [hold, transfer(3, 4, 5, flags=["linked"]), transfer(4, 3, 5)]
        if len(holds) > 3:
            end_of = ["post_pending_transfer", "void_pending_transfer"][asked % 2]
            items.append({"id": transfer()["id"], "pending_id": holds.pop(0), "flags": [end_of]})
        await client.result("create_transfers", items)
        asked += len(items)
        await asyncio.sleep(0)
    return asked


async def test_exactly_once_whatever_is_cut_and_whenever(
    server: Server, client: Client, tmp_path: Path, database: str, tables: str
) -> None:
    await migrate(tables)
    await client.result("create_accounts", accounts(range(1, 6)))
    pouring = asyncio.create_task(pour(client, 5))
    cuts = 0
    marks = set()
    while not pouring.done():
        async with projecting(tmp_path / "follower", database, tables) as process:
            projection = process.projection
            assert projection is not None
            for _ in range(3):
                before = projection.mark.seq
                with contextlib.suppress(TimeoutError):
                    await until(lambda: projection.mark.seq > before, 1)  # noqa: B023 - called here
                await asyncio.sleep(0.017 * (cuts % 7))
                marks.add(projection.mark.seq)
                cuts += 1
                # Its session, in the middle of whatever it does.
                await tamper(
                    tables,
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE application_name = 'tongbao projection'",
                )
            process.abort()  # as a kill would: no time to finish
    await pouring
    async with projecting(tmp_path / "follower", database, tables) as process:
        await reached(process, server.batcher.seq)
        await equal(tmp_path / "follower", database, tables)
    assert cuts > 6
    assert len(marks) > 3


async def test_a_reader_sees_whole_transactions_only(
    server: Server, client: Client, tmp_path: Path, database: str, tables: str
) -> None:
    await migrate(tables)
    await client.result("create_accounts", accounts(range(1, 6)))
    async with projecting(tmp_path / "follower", database, tables) as process:
        pouring = asyncio.create_task(pour(client, 3))
        seen = set()
        reader = await asyncpg.connect(tables)
        while not pouring.done():
            async with reader.transaction(isolation="repeatable_read", readonly=True):
                for row in await reader.fetch("SELECT * FROM ledger.trial_balance WHERE code IS NULL"):
                    assert row["debits"] == row["credits"]
                    assert row["debits_pending"] == row["credits_pending"]
                held = await reader.fetchval("SELECT coalesce(sum(amount), 0) FROM ledger.pending")
                assert held == await reader.fetchval("SELECT coalesce(sum(debits_pending), 0) FROM ledger.accounts")
                moved = await reader.fetchval("SELECT coalesce(sum(debit), 0) FROM ledger.statement")
                assert moved == await reader.fetchval("SELECT coalesce(sum(debits_posted), 0) FROM ledger.accounts")
                seen.add(await reader.fetchval("SELECT seq FROM ledger.progress"))
            await asyncio.sleep(0.01)
        await reader.close()
        await pouring
        await reached(process, server.batcher.seq)
    assert len(seen) > 5


async def test_it_waits_for_its_database_and_holds_nobody_up(
    server: Server, client: Client, tmp_path: Path, database: str, tables: str
) -> None:
    await migrate(tables)
    await client.result("create_accounts", accounts(range(1, 6)))
    name = tables.split("?", 1)[0].rsplit("/", 1)[1]
    async with projecting(tmp_path / "follower", database, tables) as process:
        assert process.projection is not None
        assert process.follower is not None
        await reached(process, server.batcher.seq)
        await tamper(database, f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        await tamper(database, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
        before = process.projection.mark.seq
        await pour(client, 1)
        await process.follower.reached(server.batcher.seq)
        await until(lambda: process.projection is not None and process.projection.trouble)
        assert process.projection.mark.seq == before
        assert process.ready
        await tamper(database, f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        await reached(process, server.batcher.seq)
        assert process.projection.trouble is None
        await equal(tmp_path / "follower", database, tables)


async def test_a_rebuild_equals_what_was_written_row_by_row(
    server: Server, client: Client, tmp_path: Path, database: str, tables: str
) -> None:
    await migrate(tables)
    directory = tmp_path / "follower"
    settings = follow_settings(directory, database_url=database)
    source = Source(database, Snapshots(directory / "snapshots", 2), settings.limits())
    await client.result("create_accounts", accounts(range(1, 6)))
    async with projecting(directory, database, tables) as process:
        await pour(client, 1)
        await until(lambda: server.engine.pending == 0)
        await reached(process, server.batcher.seq)
        with pytest.raises(ProjectionError, match="stop it first"):
            await rebuild(source, tables)
    await tamper(tables, "UPDATE ledger.accounts SET debits_posted = debits_posted + 1 WHERE account_id = 3")
    first = "SELECT min(timestamp) FROM ledger.transfers"
    await tamper(tables, f"DELETE FROM ledger.transfers WHERE timestamp = ({first})")
    report = await found(directory, database, tables)
    assert [line.split(":")[0] for line in report.differences] == ["accounts", "transfers"]
    assert "account_id 3" in report.differences[0]
    assert "debits_posted is" in report.differences[0]
    done = await rebuild(source, tables)
    assert done.seq == server.batcher.seq
    await equal(directory, database, tables)
    # And it goes on from there.
    async with projecting(directory, database, tables) as process:
        await pour(client, 0.5)
        await reached(process, server.batcher.seq)
        await equal(directory, database, tables)


async def test_tables_that_are_not_its_own_end_the_start(
    server: Server, client: Client, tmp_path: Path, database: str, tables: str
) -> None:
    settings = follow_settings(tmp_path / "follower", database_url=database, projection_url=tables)

    async def refused(words: str) -> None:
        process = FollowProcess(settings)
        with pytest.raises(ProjectionError, match=words) as raised:
            await process.start()
        await process.stop()
        assert exit_code_of(raised.value) == Exit.PROJECTION

    await refused("projection migrate")
    await migrate(tables, "0001")
    await refused("projection migrate")
    assert await migrate(tables) == ("0001", "0002")
    await client.result("create_accounts", accounts([1, 2]))
    async with following(settings) as process:
        await reached(process, server.batcher.seq)
    await tamper(tables, "UPDATE ledger.progress SET seq = seq + 10")
    await refused("the log ends at row")
    await tamper(tables, "UPDATE ledger.progress SET seq = seq - 10, log_hash = 'x'")
    await refused("another row")
    await tamper(tables, "UPDATE ledger.progress SET log_id = gen_random_uuid()")
    await refused("another log")
    await tamper(tables, "UPDATE ledger.migration SET version_num = '9999'")
    await refused("use the program that made them")


async def test_tables_behind_the_snapshot(tmp_path: Path, database: str, tables: str) -> None:
    """The follower begins with a snapshot that is newer than the tables."""
    await migrate(tables)
    flags = {"database_url": database, "snapshot_every_items": 200, "snapshot_stop_items": 50}
    follower = {"snapshot_every_items": 200, "snapshot_stop_items": 50}
    async with running(settings_for(tmp_path / "leader", **flags)) as server:
        async with await Client.connect(server.port) as client:
            await client.result("create_accounts", accounts(range(1, 6)))
            async with projecting(tmp_path / "follower", database, tables, **follower) as process:
                await pour(client, 0.3)
                await reached(process, server.batcher.seq)
            async with following(follow_settings(tmp_path / "follower", database_url=database, **follower)):
                await pour(client, 1)
            await until(lambda: server.engine.pending == 0)
        async with projecting(tmp_path / "follower", database, tables, **follower) as process:
            assert process.follower is not None
            assert process.follower.recovered.snapshot is not None
            assert process.projection is not None
            await reached(process, server.batcher.seq)
            await equal(tmp_path / "follower", database, tables)


async def test_two_followers_on_the_same_tables_take_turns(
    server: Server, client: Client, tmp_path: Path, database: str, tables: str
) -> None:
    await migrate(tables)
    await client.result("create_accounts", accounts(range(1, 6)))
    async with projecting(tmp_path / "one", database, tables) as one:
        await reached(one, server.batcher.seq)
        async with projecting(tmp_path / "other", database, tables) as other:
            assert other.projection is not None
            await pour(client, 0.3)
            await reached(one, server.batcher.seq)
            assert other.projection.trouble is not None
            one.abort()
            assert one.projection is not None
            await pour(client, 0.3)
            await reached(other, server.batcher.seq)
            await equal(tmp_path / "other", database, tables)
