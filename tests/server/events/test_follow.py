"""`tongbao follow --redis-url` as real processes: killed with -9, Redis too, under load; and what health says."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from random import Random
from typing import Any

import pytest

from engine import log_record
from server.events.errors import EventsError
from server.follower.process import FollowProcess
from server.journal import Journal
from server.lifecycle import Server
from server.process import Exit, exit_code_of
from tests.server.events.harness import RedisServer, read_plainly
from tests.server.follower.harness import follow_settings, following
from tests.server.projection.test_follow import pour
from tests.server.serving.harness import Client, accounts, transfer, until


async def plainly(database: str, directory: Path) -> Any:
    """The events of the whole log."""
    journal = await Journal.open(database, format=log_record.FORMAT, read_only=True)
    try:
        rows = [row async for row in journal.read(0)]
    finally:
        await journal.close()
    return read_plainly(rows, follow_settings(directory, database_url=database).limits())


def follow(directory: Path, database: str, redis: RedisServer) -> "subprocess.Popen[bytes]":
    settings = follow_settings(directory, database_url=database)
    names = [name for name in ("profile", "accounts_max", "transfers_max") if hasattr(settings, name)]
    flags = [word for name in names for word in (f"--{name.replace('_', '-')}", str(getattr(settings, name)))]
    command = [
        sys.executable, "-m", "server.cli", "follow", "--database-url", database, "--redis-url", redis.url,
        "--data-dir", str(directory), "--port", "0", "--http-port", "0", "--log-level", "error",
        "--snapshot-every-items", "400", "--snapshot-stop-items", "100", *flags,
    ]  # fmt: skip
    return subprocess.Popen(command)


async def test_each_event_once_when_everything_is_killed(
    server: Server, client: Client, tmp_path: Path, database: str, redis: RedisServer
) -> None:
    await client.result("create_accounts", accounts(range(1, 6)))
    pouring = asyncio.create_task(pour(client, 5))
    random = Random(1)
    kills = 0
    process = follow(tmp_path / "follower", database, redis)
    try:
        while not pouring.done():
            await asyncio.sleep(1.2 + random.random())
            if random.random() < 0.5:
                redis.kill()
                await asyncio.sleep(0.1 * random.random())
                redis.start()
            process.send_signal(signal.SIGKILL)
            process.wait()
            kills += 1
            process = follow(tmp_path / "follower", database, redis)
        await pouring
        await until(lambda: server.engine.pending == 0)
        seq = server.batcher.seq
        await until(lambda: _mark(redis) >= seq, 60)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert kills > 1
    told = redis.told()
    plain = await plainly(database, tmp_path)
    assert told == plain
    assert len(told["transfers"]) > 100


def _mark(redis: RedisServer) -> int:
    from redis import Redis

    with Redis.from_url(redis.url) as connection:
        mark = connection.get("tongbao:mark")
    return int(mark.split()[1]) if isinstance(mark, bytes) else 0


async def test_redis_away_holds_nobody_up(
    server: Server, client: Client, tmp_path: Path, database: str, redis: RedisServer
) -> None:
    await client.result("create_accounts", accounts(range(1, 6)))
    redis.kill()
    settings = follow_settings(
        tmp_path / "follower", database_url=database, redis_url=redis.url, events_waiting_bytes=65_536
    )
    async with following(settings) as process:
        assert process.events is not None
        assert process.follower is not None
        await pour(client, 1)
        await until(lambda: server.engine.pending == 0)
        await process.follower.reached(server.batcher.seq)
        [publisher] = process.events.publishers
        assert process.ready
        assert publisher.trouble is not None
        assert publisher.backlog.bytes <= 65_536
        health = await asyncio.to_thread(_get, process.http_port, "/health/ready")
        assert b'"events": {"redis": {"seq": 0, "rows_behind": ' in health
        metrics = await asyncio.to_thread(_get, process.http_port, "/metrics")
        assert b'tongbao_events_trouble{target="redis"} 1.0' in metrics
        redis.start()
        async with asyncio.timeout(20):
            await publisher.reached(server.batcher.seq)
        assert publisher.trouble is None
        metrics = await asyncio.to_thread(_get, process.http_port, "/metrics")
        assert f'tongbao_events_seq{{target="redis"}} {float(server.batcher.seq)}'.encode() in metrics
        assert b'tongbao_events_rows_behind{target="redis"} 0.0' in metrics
    assert redis.told() == await plainly(database, tmp_path)


def _get(port: int, path: str) -> bytes:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
        return bytes(answer.read())


async def test_redis_of_another_log_ends_the_start(
    server: Server, client: Client, tmp_path: Path, database: str, redis: RedisServer
) -> None:
    from redis import Redis

    await client.result("create_accounts", accounts([1, 2]))
    settings = follow_settings(tmp_path / "follower", database_url=database, redis_url=redis.url)
    async with following(settings) as process:
        assert process.events is not None
        await client.result("create_transfers", [transfer()])
        async with asyncio.timeout(20):
            await process.events.publishers[0].reached(server.batcher.seq)
    with Redis.from_url(redis.url) as connection:
        mark = connection.get("tongbao:mark")
        assert isinstance(mark, bytes)
        connection.set("tongbao:mark", b"0" * 32 + mark[32:])
    refused = FollowProcess(settings)
    with pytest.raises(EventsError, match="another log") as raised:
        await refused.start()
    await refused.stop()
    assert exit_code_of(raised.value) == Exit.EVENTS


async def test_a_snapshot_of_before_stays_while_a_target_needs_it(
    server: Server, client: Client, tmp_path: Path, database: str, redis: RedisServer
) -> None:
    """Redis is away while the follower takes newer snapshots; the old one is where events begin again."""
    await client.result("create_accounts", accounts(range(1, 6)))
    flags = {"snapshot_every_items": 100, "snapshot_stop_items": 50, "events_waiting_bytes": 65_536}
    settings = follow_settings(tmp_path / "follower", database_url=database, redis_url=redis.url, **flags)
    async with following(settings) as process:
        assert process.events is not None
        [publisher] = process.events.publishers
        for _ in range(30):
            await client.result("create_transfers", [transfer() for _ in range(10)])
        await until(lambda: process.snapshotter.newest is not None and not process.snapshotter.running)
        async with asyncio.timeout(20):
            await publisher.reached(server.batcher.seq)
        redis.kill()
        behind = publisher.seq
        taken = 0
        while taken < 4:
            before = process.snapshotter.newest
            for _ in range(20):
                await client.result("create_transfers", [transfer() for _ in range(10)])
            await until(lambda: process.snapshotter.newest is not before, 10)  # noqa: B023 - called here
            taken += 1
        await until(lambda: not process.snapshotter.running)
        kept = sorted(int(path.stem) for path in (tmp_path / "follower" / "snapshots").glob("*.json"))
        assert 0 < kept[0] <= behind < kept[-2]
        redis.start()
        async with asyncio.timeout(20):
            await publisher.reached(server.batcher.seq)
    assert redis.told() == await plainly(database, tmp_path)
