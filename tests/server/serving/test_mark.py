"""A process that is started again finds in the log what it has acknowledged, or halts."""

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from server.journal import LogLost
from server.mark import NAME, Mark
from server.process import Exit, exit_code_of
from tests.server.follower.harness import follow_settings, following
from tests.server.serving.harness import Client, accounts, running, settings_for, transfer, until


async def tamper(database: str, *commands: str) -> None:
    connection = await asyncpg.connect(database)
    for command in commands:
        await connection.execute(command)
    await connection.close()


async def work(port: int, count: int = 3) -> int:
    """Write something; return the row of the last answer."""
    async with await Client.connect(port) as client:
        await client.result("create_accounts", accounts([1, 2]))
        for _ in range(count):
            reply = await client.ask("create_transfers", [transfer()])
        return int(reply["seq"])


async def failed_start(settings: Any) -> BaseException:
    with pytest.raises(LogLost) as caught:
        async with running(settings):
            pass
    assert exit_code_of(caught.value) == Exit.LOG_LOST
    return caught.value


async def test_rows_that_are_gone_are_missed_after_a_restart(tmp_path: Path, database: str) -> None:
    """There is no snapshot, and nobody else who knows."""
    settings = settings_for(tmp_path / "data", database_url=database)
    async with running(settings) as server:
        seq = await work(server.port)
    mark = Mark.read(tmp_path / "data")
    assert mark is not None
    assert mark.seq == seq
    await tamper(database, f"DELETE FROM tongbao.log WHERE seq >= {seq}")
    error = await failed_start(settings)
    assert str(error) == f"row {seq} was applied, but the log ends at row {seq - 1}"
    # Another history, which is longer: the row is there, but it is another one.
    other = settings_for(tmp_path / "other", database_url=database)
    async with running(other) as server:
        assert await work(server.port) > seq
    assert "another row stands in its place" in str(await failed_start(settings))


async def test_it_is_written_while_the_server_runs(tmp_path: Path, database: str) -> None:
    async with running(settings_for(tmp_path / "data", database_url=database)) as server:
        seq = await work(server.port)
        await until(lambda: (mark := Mark.read(tmp_path / "data")) is not None and mark.seq == seq)


async def test_another_log_is_not_begun_in_place_of_a_lost_one(tmp_path: Path, database: str) -> None:
    settings = settings_for(tmp_path / "data", database_url=database)
    async with running(settings) as server:
        await work(server.port)
    await tamper(database, "DROP SCHEMA tongbao CASCADE")
    assert "of another log" in str(await failed_start(settings))


async def test_one_that_cannot_be_read_is_none(tmp_path: Path, database: str) -> None:
    settings = settings_for(tmp_path / "data", database_url=database)
    async with running(settings) as server:
        await work(server.port)
    (tmp_path / "data" / NAME).write_text('{"seq": ')
    async with running(settings) as server:
        assert await work(server.port)


async def test_a_follower_misses_rows_after_a_restart_too(tmp_path: Path, database: str) -> None:
    settings = follow_settings(tmp_path / "follower", database_url=database)
    async with running(settings_for(tmp_path / "data", database_url=database)) as server:
        seq = await work(server.port)
        async with following(settings):
            pass
    await tamper(database, f"DELETE FROM tongbao.log WHERE seq >= {seq}")
    with pytest.raises(LogLost, match=f"row {seq} was applied, but the log ends at row {seq - 1}"):
        async with following(settings):
            pass


async def test_a_leader_with_nothing_to_do_notices(tmp_path: Path, database: str) -> None:
    """A failover ends every session; the first new one is that of the lease."""
    settings = settings_for(tmp_path / "data", database_url=database, lease_ms=200)
    with contextlib.suppress(LogLost):
        async with running(settings) as server:
            seq = await work(server.port)
            await asyncio.sleep(0.3)
            assert server.fatal is None
            await tamper(
                database,
                f"DELETE FROM tongbao.log WHERE seq >= {seq}",
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
                "AND datname = current_database()",
            )
            await until(lambda: server.fatal is not None)
            assert isinstance(server.fatal, LogLost)
            assert str(server.fatal) == f"row {seq} was acknowledged, but the log ends at row {seq - 1}"
            raise server.fatal
