"""No flipped bit passes, wherever it is: in rows, snapshots and backups, and on PostgreSQL's own disk."""

import asyncio
import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import asyncpg
import pytest

from server.journal import LogDamaged
from server.lifecycle import Server
from server.process import Exit, exit_code_of
from server.recovery import ReplayError
from tests.chaos.corruption import corrupt, make_world
from tests.chaos.flips import Flip, flipped, random_flip
from tests.crash.channel import Channel
from tests.crash.processes import ServerProcess, StuckError, status
from tests.crash.run import SETTINGS
from tests.server.serving.harness import Client, accounts, running, settings_for, transfer

FLIPS = 10_000
NO_SNAPSHOTS: dict[str, Any] = {"snapshot_every_items": 10**9, "snapshot_stop_items": 10**9}


def _seed() -> int:
    """Another one every day, unless one is asked for."""
    return int(os.environ.get("TONGBAO_CHAOS_SEED", "") or time.time_ns() // 86_400_000_000_000)


async def test_every_flipped_bit_is_noticed(tmp_path: Path, database: str) -> None:
    world = await make_world(database, tmp_path)
    try:
        noticed = await corrupt(world, tmp_path, FLIPS, _seed(), print)
    finally:
        await world.close()
    print(noticed.table())
    assert not noticed.missed, f"seed {_seed()}\n{noticed.table()}"
    assert noticed.flips.total() == FLIPS
    assert {name for name in noticed.flips if name.startswith("log.")} == {
        f"log.{column}"
        for column in (
            "seq", "epoch", "time", "format", "kind", "previous_hash", "hash", "checksum", "digest", "payload",
        )
    }  # fmt: skip
    for who in ("a follower", "verify", "a start", "a start without snapshots", "backup verify"):
        assert noticed.by[who] > 20, who
    assert noticed.harmless > 0


# --- rows of a real table, and a real start


async def _start_error(settings: Any) -> BaseException | None:
    server = Server(settings)
    try:
        await server.start()
    except Exception as error:  # noqa: BLE001 - the caller looks at it
        return error
    else:
        return None
    finally:
        await server.stop()


async def test_a_server_does_not_start_on_a_damaged_row(tmp_path: Path, database: str) -> None:
    """The same through SQL and the server's whole start; each is taken back, and in the end the server starts."""
    settings = settings_for(tmp_path / "data", database_url=database, digest_every=3, **NO_SNAPSHOTS)
    async with running(settings) as server, await Client.connect(server.port) as client:
        await client.result("create_accounts", accounts([1, 2]))
        for n in range(30):
            await client.result("create_transfers", [transfer(amount=n + 1) for _ in range(n % 5 + 1)])
        state = server.engine.state_hash()
        rows = [row async for row in server.journal.read(0)]
    random = Random(_seed())
    connection = await asyncpg.connect(database)
    for _ in range(16):
        flip = random_flip(rows, random)
        row = rows[flip.seq]
        damaged = flip.of(row)
        if not 0 <= damaged.seq < 1 << 20:
            continue  # PostgreSQL itself keeps such a row out of the table
        with contextlib.suppress(asyncpg.UniqueViolationError):
            await _replace(connection, flip, getattr(damaged, flip.column), flip.seq)
            error = await _start_error(settings)
            assert isinstance(error, LogDamaged | ReplayError), (flip, error)
            assert exit_code_of(error) == Exit.LOG_DAMAGED
            assert error.seq in {flip.seq, damaged.seq}, (flip, error)
            await _replace(connection, flip, getattr(row, flip.column), damaged.seq)
    await connection.close()
    async with running(settings) as server:
        assert server.engine.state_hash() == state


async def _replace(connection: asyncpg.Connection, flip: Flip, value: object, seq: int) -> None:
    done = await connection.execute(f"UPDATE tongbao.log SET {flip.column} = $1 WHERE seq = $2", value, seq)
    assert done == "UPDATE 1"


# --- PostgreSQL's own disk


@pytest.fixture
def stopped(tmp_path: Path) -> Iterator[tuple[ServerProcess, list[Path], str]]:
    """A real server that was stopped in order, the files of its log's table, and the digest of its state."""
    server = ServerProcess(tmp_path, SETTINGS | NO_SNAPSHOTS)
    try:
        server.start()
        server.wait_ready()
        with Channel(server.port) as channel:
            channel.call("create_accounts", accounts([1, 2]))
            for size in (1, 2, 5, 400, 3):  # the large one does not fit into a page: its payload is stored apart
                channel.call("create_transfers", [transfer() for _ in range(size)])
        digest = status(server.port)["ledger"]["digest"]
        files = [server.cluster.data / name for name in asyncio.run(_files(server.cluster.dsn))]
        assert server.terminate() == 0
        yield server, [path for path in files if path.stat().st_size], digest
    finally:
        server.end()


async def _files(dsn: str) -> list[str]:
    connection = await asyncpg.connect(dsn)
    found = await connection.fetch(
        "SELECT pg_relation_filepath(oid) AS path FROM pg_class WHERE relnamespace = 'tongbao'::regnamespace "
        "AND relname ~ '^log_' UNION SELECT pg_relation_filepath(reltoastrelid) FROM pg_class "
        "WHERE relnamespace = 'tongbao'::regnamespace AND relname ~ '^log_' AND relkind = 'r'"
    )
    await connection.close()
    return [row["path"] for row in found if row["path"]]


def _trial(server: ServerProcess, path: Path, bit: int) -> int:
    """Start on a disk with one flipped bit; return the exit code, 0 if it came up."""
    good = path.read_bytes()
    path.write_bytes(flipped(good, bit))
    try:
        server.start()
        server.wait_ready()
    except StuckError:
        return server.wait_end(30)
    else:
        return 0
    finally:
        server.end()
        path.write_bytes(good)


@pytest.mark.crash
def test_a_server_does_not_start_on_a_damaged_page(stopped: tuple[ServerProcess, list[Path], str]) -> None:
    server, files, digest = stopped
    assert len(files) >= 3, "table, index, and the payloads that are stored apart"
    random = Random(_seed())
    for path in sorted(files):
        page = random.randrange(path.stat().st_size // 8192)
        code = _trial(server, path, 8 * 8192 * page + random.randrange(8 * 8192))
        assert code == Exit.LOG_DAMAGED, (path, page, code, server.log_tail())
    server.start()
    server.wait_ready()
    assert status(server.port)["ledger"]["digest"] == digest
    assert server.terminate() == 0
