"""A follower has what the log has, says how far it is, and stops at the first thing that is not as it was."""

import asyncio
import json
from pathlib import Path

import numpy as np
import pytest

from engine import ACCOUNT_COMMAND
from server.follower.process import FollowProcess
from server.journal import LogDamaged, LogLost
from server.lifecycle import Server
from server.process import Exit, exit_code_of
from server.recovery import ReplayError
from tests.server.follower.harness import follow_settings, following
from tests.server.journal.test_log import tamper
from tests.server.serving.harness import Client, accounts, running, settings_for, transfer, until


async def caught_up(server: Server, process: FollowProcess) -> None:
    assert process.follower is not None
    async with asyncio.timeout(10):
        await process.follower.reached(server.batcher.seq)


async def test_it_has_the_state_of_the_leader_at_every_row(
    server: Server, client: Client, tmp_path: Path, database: str
) -> None:
    await client.result("create_accounts", accounts([1, 2]))
    async with following(follow_settings(tmp_path / "follower", database_url=database)) as process:
        assert process.follower is not None
        for count in (1, 100, 5):
            for _ in range(3):
                await client.result("create_transfers", [transfer() for _ in range(count)])
                await caught_up(server, process)
                assert process.follower.seq == server.batcher.seq
                assert process.follower.engine.state_hash() == server.engine.state_hash()
        assert process.follower.lag_seconds < 5
        assert process.follower.row_time >= server.engine.last_timestamp - 100


async def test_it_catches_up_with_what_was_there_before(
    server: Server, client: Client, tmp_path: Path, database: str
) -> None:
    await client.result("create_accounts", accounts([1, 2]))
    for _ in range(80):
        await client.result("create_transfers", [transfer() for _ in range(20)])
    async with following(follow_settings(tmp_path / "follower", database_url=database)) as process:
        assert process.follower is not None
        assert process.follower.seq == server.batcher.seq
        assert process.follower.recovered.digests > 0
        assert process.follower.engine.state_hash() == server.engine.state_hash()


async def test_two_followers_and_a_restart(server: Server, client: Client, tmp_path: Path, database: str) -> None:
    one, other = (follow_settings(tmp_path / name, database_url=database) for name in ("one", "other"))
    await client.result("create_accounts", accounts([1, 2]))
    async with following(one) as first, following(other) as second:
        await client.result("create_transfers", [transfer()])
        await caught_up(server, first)
        await caught_up(server, second)
    await client.result("create_transfers", [transfer()])
    async with following(one) as first:
        assert first.follower is not None
        assert first.follower.engine.state_hash() == server.engine.state_hash()


async def test_own_snapshots_shorten_its_next_start(
    server: Server, client: Client, tmp_path: Path, database: str
) -> None:
    settings = follow_settings(
        tmp_path / "follower", database_url=database, snapshot_every_items=50, snapshot_stop_items=50
    )
    await client.result("create_accounts", accounts([1, 2]))
    async with following(settings) as process:
        await client.result("create_transfers", [transfer() for _ in range(60)])
        await caught_up(server, process)
        await until(lambda: process.snapshotter.newest is not None)
        newest = process.snapshotter.newest
        assert newest is not None
        assert newest.seq == server.batcher.seq
        await client.result("create_transfers", [transfer() for _ in range(70)])
        await caught_up(server, process)
    async with following(settings) as process:
        assert process.follower is not None
        assert process.follower.recovered.snapshot is not None
        assert process.follower.recovered.snapshot.seq == server.batcher.seq
        assert process.follower.recovered.rows == 0
        assert process.follower.engine.state_hash() == server.engine.state_hash()


async def test_it_begins_with_the_leaders_snapshot(tmp_path: Path, database: str) -> None:
    flags = {"database_url": database, "snapshot_every_items": 50, "snapshot_stop_items": 50}
    async with running(settings_for(tmp_path / "leader", **flags)) as server:
        async with await Client.connect(server.port) as client:
            await client.result("create_accounts", accounts([1, 2]))
            await client.result("create_transfers", [transfer() for _ in range(60)])
            await until(lambda: server.snapshotter.newest is not None)
            await client.result("create_transfers", [transfer()])
        settings = follow_settings(tmp_path / "follower", database_url=database, leader_dir=tmp_path / "leader")
        async with following(settings) as process:
            assert process.follower is not None
            assert process.follower.recovered.snapshot == server.snapshotter.newest
            assert process.follower.engine.state_hash() == server.engine.state_hash()


async def test_a_damaged_copy_of_a_snapshot_is_not_used(tmp_path: Path, database: str) -> None:
    flags = {"database_url": database, "snapshot_every_items": 50, "snapshot_stop_items": 50}
    async with running(settings_for(tmp_path / "leader", **flags)) as server:
        async with await Client.connect(server.port) as client:
            await client.result("create_accounts", accounts([1, 2]))
            await client.result("create_transfers", [transfer() for _ in range(60)])
            await until(lambda: server.snapshotter.newest is not None)
        [path] = (tmp_path / "leader" / "snapshots").glob("*.snapshot")
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 4
        path.write_bytes(content)
        settings = follow_settings(tmp_path / "follower", database_url=database, leader_dir=tmp_path / "leader")
        async with following(settings) as process:
            assert process.follower is not None
            assert process.follower.recovered.snapshot is None
            assert process.follower.engine.state_hash() == server.engine.state_hash()


async def test_another_state_than_the_leaders_ends_it(tmp_path: Path, database: str) -> None:
    async with (
        running(settings_for(tmp_path / "leader", database_url=database, digest_every=1)) as server,
        await Client.connect(server.port) as client,
    ):
        await client.result("create_accounts", accounts([1, 2]))
        process = FollowProcess(follow_settings(tmp_path / "follower", database_url=database))
        await process.start()
        try:
            assert process.follower is not None
            # As a cosmic ray would: one account more than the leader has.
            ours = process.follower.engine
            extra = np.zeros(1, dtype=ACCOUNT_COMMAND)
            extra["id"], extra["ledger"], extra["code"] = 77, 156, 1
            ours.create_accounts(extra, time=ours.last_timestamp + 1)
            await client.result("create_transfers", [transfer()])
            await until(lambda: process.fatal)
            assert isinstance(process.fatal, ReplayError)
            assert str(server.batcher.seq) in str(process.fatal)
            assert exit_code_of(process.fatal) == Exit.LOG_DAMAGED
        finally:
            await process.stop()


@pytest.mark.parametrize(
    ("command", "error"),
    [
        ("UPDATE tongbao.log SET payload = payload || 'x' WHERE seq = (SELECT max(seq) FROM tongbao.log)", LogDamaged),
        ("DELETE FROM tongbao.log WHERE seq >= 3", LogLost),
    ],
)
async def test_a_log_that_is_not_what_it_was_ends_it(
    server: Server, client: Client, tmp_path: Path, database: str, command: str, error: type[Exception]
) -> None:
    await client.result("create_accounts", accounts([1, 2]))
    process = FollowProcess(follow_settings(tmp_path / "follower", database_url=database))
    await process.start()
    try:
        assert process.follower is not None
        if error is LogLost:
            await client.result("create_transfers", [transfer()])
            await caught_up(server, process)
            await tamper(database, command)
        else:
            process.follower.tail._poll_max = 5.0  # so that it looks when the row has been changed
            await asyncio.sleep(0.8)
            await client.result("create_transfers", [transfer()])
            await tamper(database, command)
        await tamper(
            database, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'tongbao reader'"
        )
        await until(lambda: process.fatal)
        assert isinstance(process.fatal, error)
        assert exit_code_of(process.fatal) in {Exit.LOG_DAMAGED, Exit.LOG_LOST}
    finally:
        await process.stop()


async def get(port: int, path: str) -> tuple[int, bytes]:
    """GET a resource."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), body


async def test_it_says_how_far_it_is(server: Server, client: Client, tmp_path: Path, database: str) -> None:
    await client.result("create_accounts", accounts([1, 2]))
    async with following(follow_settings(tmp_path / "follower", database_url=database)) as process:
        await client.result("create_transfers", [transfer()])
        await caught_up(server, process)
        status, body = await get(process.http_port, "/health/ready")
        said = json.loads(body)
        assert status == 200
        assert (said["ready"], said["seq"]) == (True, server.batcher.seq)
        assert 0 <= said["lag_seconds"] < 5
        status, body = await get(process.http_port, "/metrics")
        assert f"tongbao_follow_seq {float(server.batcher.seq)}".encode() in body
        assert b"tongbao_follow_lag_seconds_count" in body
        ports = json.loads((tmp_path / "follower" / "server.json").read_text())
        assert ports["http_port"] == process.http_port
