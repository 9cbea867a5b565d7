"""From the disk to the same state: snapshots, the tail, and everything that may be damaged."""

import asyncio
import dataclasses
import hashlib
import itertools
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncpg
import numpy as np
import pytest

from engine import TRANSFER_COMMAND, Batch, CapacityError, Engine, Limits, log_record, snapshot
from engine.requests import append_transfers
from server.journal import Journal, Kind, LogDamaged, LogLost
from server.lifecycle import Exit, Server, exit_code_of
from server.recovery import ReplayError, recover
from server.snapshots import Snapshots
from tests.server.serving.harness import Client, accounts, running, settings_for, transfer, until

SETTINGS: dict[str, Any] = {"snapshot_every_items": 10**9, "snapshot_stop_items": 10**9, "digest_every": 3}


async def work(server: Server, seed: int, requests: int = 60) -> None:
    """A mixture of writes in many batches: pending, posted, voided, chains, failures, updates."""
    random_ = random.Random(seed)
    async with await Client.connect(server.port) as client:
        await client.result("create_accounts", accounts(range(1, 21), flags=["history"]))
        limited = accounts(range(21, 31), flags=["debits_must_not_exceed_credits"])
        await client.result("create_accounts", limited)
        held: list[str] = []
        for _ in range(requests):
            items = []
            for _ in range(random_.randint(1, 6)):
                debit, credit = random_.sample(range(1, 35), 2)
                item = transfer(debit, credit, random_.randint(0, 500))
                kind = random_.randrange(6)
                if kind == 0:
                    item["flags"] = ["pending"]
                    held.append(item["id"])
                elif kind == 1 and held:
                    flag = random_.choice(["post_pending_transfer", "void_pending_transfer"])
                    item = {"id": item["id"], "pending_id": held.pop(), "flags": [flag]}
                elif kind == 2:
                    item["flags"] = ["linked"]
                items.append(item)
            if "linked" in items[-1].get("flags", []):
                del items[-1]["flags"]
            await client.result("create_transfers", items)
            if random_.random() < 0.1:
                update = {"id": random_.randint(1, 20), "frozen": random_.random() < 0.5}
                await client.result("update_accounts", [update])


async def take_snapshot(server: Server) -> None:
    before = server.snapshotter.newest
    async with await Client.connect(server.port) as client:
        await client.result("take_snapshot")
    await until(lambda: server.snapshotter.newest is not before)


@pytest.fixture
async def history(tmp_path: Path, database: str) -> tuple[Any, bytes]:
    """A stopped server's disk: a log with two snapshots and a tail behind them, and the state's hash."""
    settings = settings_for(tmp_path / "data", database_url=database, **SETTINGS)
    async with running(settings) as server:
        await work(server, 1)
        await take_snapshot(server)
        await work(server, 2)
        await take_snapshot(server)
        await work(server, 3)
        state = server.engine.state_hash()
    return settings, state


async def replayed_from_zero(database: str) -> Engine:
    """The state by another way: every row of the log, nothing else."""
    journal = await Journal.open(database)
    engine = await replayed(journal, None)
    await journal.close()
    return engine


async def replayed(journal: Journal, last: int | None) -> Engine:
    engine = Engine(Limits(accounts_max=100_000, transfers_max=2_000_000))
    async for row in journal.read(1, last=last):
        if row.kind == Kind.BATCH:
            batch = Batch()
            time = log_record.decode(row.payload, batch)
            engine.batches = row.seq - 1
            engine.apply(batch, time)
    return engine


def files(settings: Any) -> list[Path]:
    """Snapshots, newest first."""
    return sorted((settings.data_dir / "snapshots").glob("0*.snapshot"), reverse=True)


async def recovered_hash(settings: Any) -> tuple[bytes, int]:
    """Start, and return the state's hash and the seq of the snapshot that was used (0: none)."""
    async with running(settings) as server:
        server.engine.check_invariants()
        snapshot = server._recovered.snapshot
        return server.engine.state_hash(), snapshot.seq if snapshot else 0


async def test_snapshot_and_tail_give_the_same_state_as_the_whole_log(
    history: tuple[Any, bytes], database: str
) -> None:
    settings, state = history
    newest, older = files(settings)
    assert await recovered_hash(settings) == (state, int(newest.stem))
    assert (await replayed_from_zero(database)).state_hash() == state
    for path in (newest, older):
        path.unlink()
        path.with_suffix(".json").unlink()
    assert await recovered_hash(settings) == (state, 0)


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "a bit in the stores": lambda path: flip(path, path.stat().st_size // 2),
    "a bit in the header": lambda path: flip(path, 20),
    "a bit in the hash": lambda path: flip(path, path.stat().st_size - 1),
    "cut short": lambda path: path.write_bytes(path.read_bytes()[:-100]),
    "empty": lambda path: path.write_bytes(b""),
    "absent": lambda path: path.unlink(),
    "a manifest that is no JSON": lambda path: path.with_suffix(".json").write_text("{"),
    "a manifest of another seq": lambda path: path.with_suffix(".json").write_text(
        path.with_suffix(".json").read_text().replace('"seq": ', '"seq": 1')
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
async def test_a_damaged_snapshot_is_set_aside_for_the_one_before(history: tuple[Any, bytes], damage: str) -> None:
    settings, state = history
    newest, older = files(settings)
    DAMAGES[damage](newest)
    assert await recovered_hash(settings) == (state, int(older.stem))
    assert not newest.exists()
    assert not newest.with_suffix(".json").exists()
    assert list(newest.parent.glob("damaged-*")), "it is kept for a person to look at"
    assert await recovered_hash(settings) == (state, int(older.stem))


async def test_without_a_good_snapshot_the_whole_log_is_replayed(history: tuple[Any, bytes]) -> None:
    settings, state = history
    for path in files(settings):
        flip(path, 100)
    assert await recovered_hash(settings) == (state, 0)


async def start_error(settings: Any) -> BaseException:
    server = Server(settings)
    try:
        with pytest.raises(Exception) as caught:  # noqa: PT011 - the caller looks at it
            await server.start()
        return caught.value
    finally:
        await server.stop()


async def execute(database: str, *commands: str) -> None:
    connection = await asyncpg.connect(database)
    for command in commands:
        await connection.execute(command)
    await connection.close()


@pytest.mark.parametrize(
    ("command", "seq"),
    [
        ("UPDATE tongbao.log SET payload = set_byte(payload, 9, get_byte(payload, 9) # 1) WHERE seq = 150", 150),
        ("UPDATE tongbao.log SET time = time + 1 WHERE seq = 151", 151),
        ("UPDATE tongbao.log SET digest = NULL WHERE seq = 150", 150),
        ("DELETE FROM tongbao.log WHERE seq = 149", 149),
    ],
)
async def test_a_damaged_row_stops_the_start_and_is_named(
    history: tuple[Any, bytes], database: str, command: str, seq: int
) -> None:
    settings, _ = history
    assert int(files(settings)[0].stem) < 148
    await execute(database, command)
    error = await start_error(settings)
    assert isinstance(error, LogDamaged)
    assert error.seq == seq
    assert f"log row {seq}:" in str(error)
    assert exit_code_of(error) == Exit.LOG_DAMAGED


async def test_lost_rows_halt_the_start(history: tuple[Any, bytes], database: str) -> None:
    """A snapshot newer than the log: rows that were acknowledged are gone."""
    settings, _ = history
    seq = int(files(settings)[0].stem)
    await execute(database, f"DELETE FROM tongbao.log WHERE seq >= {seq - 1}")
    error = await start_error(settings)
    assert isinstance(error, LogLost)
    assert f"the log ends at row {seq - 2}" in str(error)
    assert exit_code_of(error) == Exit.LOG_LOST


async def test_a_snapshot_of_another_log_halts_the_start(
    history: tuple[Any, bytes], tmp_path: Path, database: str, postgres_18: Any
) -> None:
    settings, _ = history
    await execute(database, "DROP SCHEMA tongbao CASCADE")
    async with running(settings_for(tmp_path / "elsewhere", database_url=database, **SETTINGS)) as server:
        for seed in range(3):
            await work(server, seed + 50)
    error = await start_error(settings)
    assert isinstance(error, LogLost)
    assert "another log" in str(error)


async def rewrite(database: str, change: Callable[[dict[str, Any]], None]) -> int:
    """Write a row that the journal finds good: what a newer build, or a fault of ours, could have written."""
    journal = await Journal.open(database)
    await journal.take_over()
    row: dict[str, Any] = {
        "time": journal.head.time + 10**12,
        "payload": b"",
        "digest": None,
        "format": log_record.FORMAT,
    }
    batch = Batch()
    items = np.zeros(1, dtype=TRANSFER_COMMAND)
    items["id_lo"] = 77
    append_transfers(batch, items)
    row["payload"] = log_record.encode(batch, row["time"])
    change(row)
    journal._format = row["format"]
    seq = await journal.append(row["time"], row["payload"], row["digest"])
    await journal.close()
    return seq


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": log_record.FORMAT + 1}, "this build reads formats up to"),
        ({"payload": b"\x00garbage"}, "cannot be decoded"),
        ({"digest": bytes(16)}, "the state before it is not what it was"),
        ({"time": 2**62}, "its record is of time"),
    ],
)
async def test_a_row_that_cannot_be_replayed_stops_the_start(
    history: tuple[Any, bytes], database: str, change: dict[str, Any], message: str
) -> None:
    settings, _ = history
    seq = await rewrite(database, lambda row: row.update(change))
    error = await start_error(settings)
    assert isinstance(error, ReplayError)
    assert error.seq == seq
    assert message in str(error)
    assert exit_code_of(error) == Exit.LOG_DAMAGED


async def test_digests_are_compared_on_the_way(history: tuple[Any, bytes], database: str) -> None:
    journal = await Journal.open(database)
    recovered = await recover(journal, Snapshots(Path("/nonexistent"), 2), Limits(), hash_key=b"k" * 32)
    await journal.close()
    assert recovered.digests > 50
    assert recovered.snapshot is None
    assert recovered.engine.state_hash() == history[1]


async def test_too_small_capacities_are_told(history: tuple[Any, bytes], database: str, tmp_path: Path) -> None:
    error = await start_error(settings_for(tmp_path / "other", database_url=database, transfers_max=50))
    assert isinstance(error, CapacityError)
    assert exit_code_of(error) == Exit.CAPACITY


async def test_snapshots_are_taken_by_items_and_pruned(tmp_path: Path, database: str) -> None:
    settings = settings_for(
        tmp_path, database_url=database, snapshot_every_items=300, snapshot_stop_items=300, snapshots_kept=2
    )
    async with running(settings) as server:
        taken = 0
        for seed in range(6):
            await work(server, seed, 60)
            await until(lambda: not server.snapshotter.running)
            taken = server.metrics.snapshots["taken"]
        assert taken >= 3
        assert server.metrics.snapshots["failed"] == 0
        assert server.snapshotter.items < 300 + 300
        state = server.engine.state_hash()
    assert len(files(settings)) == 2
    assert (await recovered_hash(settings))[0] == state


async def test_an_orderly_stop_takes_a_last_snapshot_if_worthwhile(tmp_path: Path, database: str) -> None:
    settings = settings_for(tmp_path, database_url=database, snapshot_stop_items=50)
    async with running(settings) as server:
        await work(server, 1)
        seq, state = server.batcher.seq, server.engine.state_hash()
    assert [int(path.stem) for path in files(settings)] == [seq]
    assert await recovered_hash(settings) == (state, seq)
    assert len(files(settings)) == 1, "nothing happened since: no second one"


async def test_a_snapshot_while_transfers_go_on(tmp_path: Path, database: str) -> None:
    """What it holds is exactly the state after its seq, though the server goes on meanwhile."""
    settings = settings_for(tmp_path, database_url=database, **SETTINGS)
    async with running(settings) as server:
        taken = asyncio.Event()

        async def work_on() -> None:
            for seed in itertools.count():
                await work(server, seed, 10)
                if taken.is_set():
                    return

        working = asyncio.create_task(work_on())
        for _ in range(4):
            await take_snapshot(server)
        taken.set()
        await working
        state = server.engine.state_hash()
    for path in files(settings):
        manifest = json.loads(path.with_suffix(".json").read_text())
        journal = await Journal.open(database)
        engine = await replayed(journal, manifest["seq"])
        await journal.close()
        assert engine.state_hash().hex() == manifest["state_hash"]
    assert (await recovered_hash(settings))[0] == state


async def test_a_failing_snapshot_leaves_everything_else_alone(tmp_path: Path, database: str) -> None:
    settings = settings_for(tmp_path, database_url=database, **SETTINGS)
    async with running(settings) as server:
        await work(server, 1)
        directory = settings.data_dir / "snapshots"
        directory.rename(settings.data_dir / "gone")
        async with await Client.connect(server.port) as client:
            await client.result("take_snapshot")
            await until(lambda: server.metrics.snapshots["failed"])
            await work(server, 2)
            (settings.data_dir / "gone").rename(directory)
            await client.result("take_snapshot")
            await until(lambda: server.metrics.snapshots["taken"])


async def test_old_rows_are_dropped_or_archived_only_when_configured(tmp_path: Path, database: str) -> None:
    journal = await Journal.open(database, partition_rows=20)
    await journal.close()
    for retention in ("keep", "archive", "drop"):
        settings = settings_for(tmp_path / "data", database_url=database, log_retention=retention, **SETTINGS)
        async with running(settings) as server:
            before = await server.journal.first()
            for seed in range(3):
                await work(server, seed, 30)
                await take_snapshot(server)
            if retention != "keep":
                await until(lambda: server._releasing is not None and server._releasing.done())
                assert await server.journal.first() > before
                assert await server.journal.first() <= int(files(settings)[-1].stem) - 1
            else:
                assert await server.journal.first() == before
            state = server.engine.state_hash()
        assert (await recovered_hash(settings))[0] == state
        assert bool(list((settings.data_dir / "archive").glob("*"))) == (retention != "keep")
    for path in files(settings):
        flip(path, 100)
    error = await start_error(settings)
    assert isinstance(error, LogDamaged)


async def test_a_snapshot_of_a_newer_build_is_no_damaged_one(history: tuple[Any, bytes]) -> None:
    """It stops the start and stays; one whose format is a flipped bit is damaged like any other."""
    settings, state = history
    snapshots = Snapshots(settings.data_dir / "snapshots", 2)
    newest = snapshots.newest_first()[0]
    path = snapshots.path(newest.seq)
    whole = path.read_bytes()
    newer = whole[:8] + (snapshot.FORMAT + 1).to_bytes(4, "little") + whole[12:-32]
    hash_ = hashlib.sha256(newer).digest()
    path.write_bytes(newer + hash_)
    snapshots.publish(dataclasses.replace(newest, state_hash=hash_.hex()))
    with pytest.raises(
        ReplayError, match=rf"^log row {newest.seq}: its snapshot is of format 4.*: upgrade it$"
    ) as caught:
        async with running(settings):
            pass
    assert exit_code_of(caught.value) == Exit.LOG_DAMAGED
    assert snapshots.newest_first()[0].seq == newest.seq
    snapshots.publish(newest)
    async with running(settings) as server:
        assert server.engine.state_hash() == state
    assert snapshots.newest_first()[0].seq < newest.seq
