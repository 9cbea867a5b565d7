"""Property: whatever is killed, lost or slow, the streams of a real Redis hold each event once, in order."""

import asyncio
from pathlib import Path
from random import Random

import pytest
from redis import Redis

from engine import Batch, Engine
from server.events.errors import EventsError
from server.events.maker import KINDS
from server.events.publisher import Chunk, Mark
from server.events.streams import Streams
from server.recovery import Recovered, apply_rows
from tests.server.events.harness import RedisServer, World, read_plainly, streams
from tests.server.projection.worlds import Log, ledger_records, trading_records


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", ["ledger", "trading"])
async def test_each_event_once_whatever_is_cut(redis: RedisServer, tmp_path: Path, kind: str, seed: int) -> None:
    """The publisher is stopped and begun again, Redis is killed, away, empty, or an older copy of itself."""
    records, limits = (trading_records if kind == "trading" else ledger_records)(f"streams/{seed}", 200)
    log = Log(records)
    random = Random(seed)
    world = World(log, limits, [streams(redis)], tmp_path, bytes_max=random.choice([20_000, 1 << 20]))
    world.start()
    redis.keep("old")
    happened = set()
    while world.apply(random.choice([1, 2, 10, 40])):
        await asyncio.sleep(random.choice([0, 0.002, 0.01]))
        what = random.choice(["nothing", "stop", "kill", "flush", "older", "away", "keep"])
        happened.add(what)
        if what == "stop":
            await world.stop()
            at = world.recovered
            world = World(log, limits, [streams(redis)], tmp_path, bytes_max=30_000, at=at)
            world.start()
        elif what == "kill":
            redis.kill()
            redis.start()
        elif what == "flush":
            with Redis.from_url(redis.url) as connection:
                connection.flushall()
        elif what in {"away", "older"}:
            redis.kill()
            world.apply(random.choice([1, 20, 60]))
            await asyncio.sleep(0.01)
            if what == "older":
                redis.put_back("old")
            redis.start()
        elif what == "keep":
            await world.flushed()
            redis.kill()
            redis.lose_copy("old")
            redis.keep("old")
            redis.start()
    await world.flushed()
    await world.stop()
    told = redis.told()
    plain = read_plainly(log.rows, limits)
    assert {name: len(items) for name, items in told.items()} == {name: len(items) for name, items in plain.items()}
    assert told == plain
    assert len(happened) > 2


async def test_two_publishers_do_not_mix(redis: RedisServer, tmp_path: Path) -> None:
    records, limits = trading_records("streams/two", 150)
    log = Log(records)
    worlds = [World(log, limits, [streams(redis)], tmp_path) for _ in range(2)]
    random = Random(2)
    for world in worlds:
        world.start()
    going = True
    while going:
        going = sum(world.apply(random.choice([1, 1, 5])) for world in worlds) > 0
        await asyncio.sleep(0.002)
    for world in worlds:
        while world.apply(100):
            pass
        await world.flushed()
    assert redis.told() == read_plainly(log.rows, limits)
    assert sum(world.publishers[0].retries for world in worlds) > 0
    for world in worlds:
        await world.stop()


async def test_a_row_that_is_more_than_a_chunk(redis: RedisServer, tmp_path: Path) -> None:
    records, limits = trading_records("streams/chunks", 80)
    log = Log(records)
    cut_in_a_row = 0

    class Cutting(Streams):
        """Its answers are lost now and then, when Redis has already done what it was asked for."""

        events_max = 3

        async def open(self) -> Mark | None:
            nonlocal cut_in_a_row
            mark = await super().open()
            cut_in_a_row += mark is not None and mark.part > 0
            return mark

        async def publish(self, before: Mark | None, chunk: Chunk) -> None:
            await super().publish(before, chunk)
            if random.random() < 0.05:
                raise ConnectionError("the answer was lost")

    random = Random(3)
    world = World(log, limits, [Cutting(redis.url, "tongbao", 0)], tmp_path)
    world.start()
    while world.apply(9):
        await asyncio.sleep(0.002)
    await world.flushed()
    await world.stop()
    assert cut_in_a_row > 0
    assert redis.told() == read_plainly(log.rows, limits)


async def test_streams_are_trimmed(redis: RedisServer, tmp_path: Path) -> None:
    records, limits = trading_records("streams/trim", 120)
    log = Log(records)
    world = World(log, limits, [streams(redis, "short", 100)], tmp_path)
    world.start()
    while world.apply(20):
        await world.flushed()
    await world.stop()
    told, plain = redis.told("short"), read_plainly(log.rows, limits)
    assert len(plain["executions"]) > 300
    for kind in KINDS:
        assert told[kind] == plain[kind][-len(told[kind]) or len(plain[kind]) :]
        assert len(told[kind]) <= 100 + 100  # whole nodes are trimmed, of at most a hundred entries


async def test_what_cannot_be_ours_is_refused(redis: RedisServer, tmp_path: Path) -> None:
    records, limits = ledger_records("streams/refused", 30)
    log, other = Log(records), Log(records)
    world = World(log, limits, [streams(redis)], tmp_path)
    world.start()
    world.apply(100)
    await world.flushed()
    await world.stop()

    async def refused(log: Log, words: str) -> None:
        with pytest.raises(EventsError, match=words):
            await World(log, limits, [streams(redis)], tmp_path).publishers[0].check()

    await refused(other, "another log")
    with Redis.from_url(redis.url) as connection:
        mark = connection.get("tongbao:mark")
        assert isinstance(mark, bytes)
        log_id, seq, row_hash, part = mark.decode().split()
        connection.set("tongbao:mark", f"{log_id} {seq} {'0' * 64} {part}")
        await refused(log, "another row")
        connection.set("tongbao:mark", f"{log_id} 900000 {row_hash} {part}")
        await refused(log, "the log ends at row")
        connection.set("tongbao:mark", f"{log_id} 2 {log.rows[2].hash.hex()} 0")
        await refused(log, "somebody else writes there")
        connection.set("tongbao:mark", "hello")
        await refused(log, "not a mark of ours")
        connection.delete("tongbao:mark")
        await refused(log, "their mark was deleted")
        connection.flushall()
        connection.set("tongbao:balances", "text")
        await refused(log, "cannot be used")


async def test_from_now(redis: RedisServer, tmp_path: Path) -> None:
    records, limits = ledger_records("streams/now", 60)
    log = Log(records)
    log.rows, later = log.rows[:30], log.rows[30:]
    first = Recovered(Engine(limits), 0, 0, log.rows[0].hash, None)
    apply_rows(first, log.rows[1:], Batch())
    world = World(log, limits, [streams(redis)], tmp_path, from_now=True, at=first)
    world.start()
    await world.flushed()
    assert not any(redis.told().values())
    log.rows += later
    world.apply(10)
    await world.flushed()
    with Redis.from_url(redis.url) as connection:
        connection.flushall()
    world.apply(100)
    await world.flushed()
    await world.stop()
    plain = read_plainly(log.rows, limits)
    assert redis.told() == {
        kind: [item for item in items if int(item[0].split("-")[0]) >= 30] for kind, items in plain.items()
    }
