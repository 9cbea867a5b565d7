"""A projection behind a real server: it keeps up, comes right after a cut, and says what is wrong with the tables."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg

from server.follower.process import FollowProcess
from server.lifecycle import Server
from server.projection.comparison import Report
from server.projection.migration import migrate
from server.projection.work import Source, check, status
from server.snapshots import Snapshots
from tests.server.follower.harness import follow_settings, following
from tests.server.serving.harness import Client, accounts, transfer, until


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
