"""Property: whatever happened, and however the writing was cut into transactions, the tables equal the engine."""

import asyncio
from random import Random

import pytest

from server.projection import changes
from server.projection.comparison import Report, compare
from server.projection.database import Tables
from server.projection.migration import migrate
from server.projection.sink import batches_of
from tests.server.projection.worlds import Log, World, ledger_records, trading_records


async def flushed(world: World, running: "asyncio.Task[None]") -> None:
    """Until the tables hold all that was applied."""
    reaching = asyncio.create_task(world.sink.reached(world.recovered.seq))
    done, _ = await asyncio.wait({reaching, running}, timeout=60, return_when=asyncio.FIRST_COMPLETED)
    reaching.cancel()
    if running in done:
        running.result()
    assert reaching in done, world.sink.trouble


async def checked(world: World) -> Report:
    tables = await Tables.open(world.dsn, write=False)
    try:
        found = await tables.progress()
        assert found is not None
        assert found[1].seq == world.recovered.seq
        report = await compare(
            tables.connection, world.engine, world.recovered.seq, batches_of(world.log, 1, world.recovered.seq)
        )
    finally:
        await tables.close()
    assert not report.differences, "\n".join(report.differences)
    return report


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("kind", ["ledger", "trading"])
async def test_the_tables_equal_the_engine(database: str, kind: str, seed: int) -> None:
    records, limits = (trading_records if kind == "trading" else ledger_records)(f"projection/{seed}", 200)
    await migrate(database)
    random = Random(seed)
    world = World(Log(records), limits, database)
    running = asyncio.create_task(world.sink.run())
    try:
        while world.apply(random.choice([1, 2, 10, 60])):
            if random.random() < 0.3:
                await flushed(world, running)
            else:
                await asyncio.sleep(random.choice([0, 0.005, 0.02]))
            if random.random() < 0.1:
                await flushed(world, running)
                await checked(world)
        await flushed(world, running)
        report = await checked(world)
        assert report.rows["batches"] == len(records) + 1
        if kind == "trading":
            assert report.rows["executions"] > 50
        else:
            assert report.rows["transfers"] > 10
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_what_was_not_noted_is_read_from_the_log(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "NOTES_MAX", 3)
    records, limits = ledger_records("projection/notes", 60)
    await migrate(database)
    world = World(Log(records), limits, database)
    running = asyncio.create_task(world.sink.run())
    try:
        for count in (1, 2, 10, 1, 30, 2, 60):
            world.apply(count)
            await asyncio.sleep(0.004)
            world.apply(5)
            await flushed(world, running)
        assert (await checked(world)).rows["batches"] == len(records) + 1
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
