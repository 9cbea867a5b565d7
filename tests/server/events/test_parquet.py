"""Property: whatever is cut, and wherever, the Parquet files hold each event once, and only whole files are seen."""

import asyncio
import json
import os
from pathlib import Path
from random import Random
from typing import Any

import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from server.events import parquet
from server.events.errors import EventsError
from server.events.maker import KINDS
from server.events.parquet import COMMON, MEMBERS, Parquet
from tests.server.events.harness import Told, World, read_plainly
from tests.server.projection.worlds import Log, ledger_records, trading_records


def documents(directory: Path, kind: str) -> list[dict[str, Any]]:
    """What the files of a kind hold, as events, in order."""
    found = []
    for path in sorted((directory / kind).glob("date=*/*.parquet")):
        for row in pq.ParquetFile(path).read().to_pylist():
            assert round(row["at"].timestamp() * 1e6) == row["timestamp"] // 1000
            data = {name: row[name] for name in MEMBERS[kind] if row[name] is not None}
            if kind == "alerts":
                data |= json.loads(data.pop("details"))
            found.append({"seq": row["seq"], "place": row["place"], "timestamp": row["timestamp"], "data": data})
    return sorted(found, key=lambda row: (row["seq"], row["place"]))


def as_rows(told: Told, kind: str) -> list[dict[str, Any]]:
    found = []
    for name, document in told[kind]:
        event = json.loads(document)
        seq, place = (int(part) for part in name.split("-"))
        found.append({"seq": seq, "place": place, "timestamp": event["timestamp"], "data": event["data"]})
    return found


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", ["ledger", "trading"])
async def test_each_event_once(tmp_path: Path, kind: str, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Writing ends, as a crash would, before or after any of its steps."""
    records, limits = (trading_records if kind == "trading" else ledger_records)(f"parquet/{seed}", 120)
    log = Log(records)
    random = Random(seed)
    directory = tmp_path / "files"
    crashes = 0

    def crashing(real: Any) -> Any:
        def step(*arguments: Any, **options: Any) -> Any:
            nonlocal crashes
            if random.random() < 0.04:
                crashes += 1
                raise OSError("crash before")
            found = real(*arguments, **options)
            if random.random() < 0.04:
                crashes += 1
                raise OSError("crash behind")
            return found

        return step

    monkeypatch.setattr(parquet, "RETRY_SECONDS", 0.02)
    for module, name in ((parquet.pq, "write_table"), (parquet, "write_state"), (parquet, "_rename"),
                         (parquet, "_sync_file"), (os, "replace")):  # fmt: skip
        monkeypatch.setattr(module, name, crashing(getattr(module, name)))
    world = World(log, limits, [Parquet(directory, 40, 0.01)], tmp_path)
    world.start()
    while world.apply(random.choice([1, 3, 8])):
        await asyncio.sleep(random.choice([0, 0.005, 0.02]))
        if random.random() < 0.2:
            await world.stop()
            world = World(log, limits, [Parquet(directory, 40, 0.01)], tmp_path, at=world.recovered)
            world.start()
        for path in directory.glob("*/date=*/*.parquet"):
            pq.ParquetFile(path).metadata  # noqa: B018 - every file that can be seen is whole
    await world.flushed()  # also what was applied last
    await world.stop()
    monkeypatch.undo()
    plain = read_plainly(log.rows, limits)
    for name in KINDS:
        assert documents(directory, name) == as_rows(plain, name)
    assert crashes > 0
    assert not list(directory.glob("*/date=*/.*"))

    # From nothing: the same rows.
    again = tmp_path / "again"
    world = World(log, limits, [Parquet(again, 10_000, 0.01)], tmp_path)
    world.start()
    world.apply(10_000)
    await world.flushed()
    await world.stop()
    for name in KINDS:
        assert documents(again, name) == documents(directory, name)


async def test_readers_find_types_comments_and_partitions(tmp_path: Path) -> None:
    records, limits = trading_records("parquet/types", 60)
    log = Log(records)
    world = World(log, limits, [Parquet(tmp_path / "files", 1_000_000, 3_600)], tmp_path)
    world.start()
    world.apply(1_000)
    async with asyncio.timeout(20):
        while world.publishers[0].seq < log.rows[-1].seq:
            await asyncio.sleep(0.01)
    assert not list((tmp_path / "files").glob("*/date=*/*.parquet"))  # nothing is due
    await world.sink.finish(5)
    await world.stop()  # writes what waits
    plain = read_plainly(log.rows, limits)
    for kind in KINDS:
        if not plain[kind]:
            continue
        found = ds.dataset(tmp_path / "files" / kind, format="parquet", partitioning="hive")
        table = found.to_table()
        assert table.num_rows == len(plain[kind])
        assert table.column_names == [*COMMON, *MEMBERS[kind], "date"]
        for field in found.schema:
            assert field.name == "date" or field.metadata[b"comment"]
        days = {str(moment)[:10] for moment in table["at"].to_pylist()}
        assert {str(day)[:10] for day in table["date"].to_pylist()} == days


async def test_what_cannot_be_ours_is_refused(tmp_path: Path) -> None:
    records, limits = ledger_records("parquet/refused", 30)
    log, other = Log(records), Log(records)
    directory = tmp_path / "files"
    world = World(log, limits, [Parquet(directory, 10, 1)], tmp_path)
    world.start()
    world.apply(100)
    await world.flushed()
    await world.stop()

    async def refused(log: Log, words: str) -> None:
        with pytest.raises(EventsError, match=words):
            await World(log, limits, [Parquet(directory, 10, 1)], tmp_path).publishers[0].check()

    await refused(other, "another log")
    (directory / "_position.json").write_text("{", "utf-8")
    await refused(log, "cannot be read")
    (directory / "_position.json").unlink()
    await refused(log, "no _position.json")
