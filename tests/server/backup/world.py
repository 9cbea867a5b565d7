"""A log and the engine that wrote it, in partitions of 16 rows, without a server around them."""

import time
from pathlib import Path

import asyncpg
import numpy as np

from engine import ACCOUNT_COMMAND, TRANSFER_COMMAND, Batch, Engine, Limits, log_record
from engine.requests import append_accounts, append_transfers
from server.backup.manifest import Backup
from server.backup.placing import restore_backup
from server.backup.restoring import Restored
from server.backup.writing import Made, Origin, back_up, writing
from server.journal import Journal
from server.journal.link import connect
from server.snapshots import Manifest, Snapshots

PARTITION_ROWS = 16
LIMITS = Limits(accounts_max=1_000, transfers_max=100_000, burnt_max=1_000, balances_max=1_000)


class World:
    """Writes rows; remembers the state after each."""

    def __init__(self, dsn: str, data_dir: Path, journal: Journal) -> None:
        self.dsn = dsn
        self.data_dir = data_dir
        self.journal = journal
        self.engine = Engine(LIMITS)
        self.snapshots = Snapshots(data_dir / "snapshots", 2)
        self.snapshots.prepare()
        self.states: dict[int, str] = {}
        self.times: dict[int, int] = {}
        self._random = np.random.default_rng(7)
        self._id = 0

    @classmethod
    async def make(cls, dsn: str, data_dir: Path) -> "World":
        journal = await Journal.open(dsn, format=log_record.FORMAT, partition_rows=PARTITION_ROWS)
        await journal.take_over()
        world = cls(dsn, data_dir, journal)
        accounts = np.zeros(20, ACCOUNT_COMMAND)
        accounts["id"] = np.arange(1, 21)
        accounts["ledger"], accounts["code"] = 156, 1
        batch = Batch()
        append_accounts(batch, accounts)
        await world._log(batch)
        return world

    async def _log(self, batch: Batch) -> None:
        at = max(time.time_ns(), self.engine.last_timestamp + 1)
        digest = self.engine.digest() if self.journal.head.seq % 3 == 0 else None
        seq = await self.journal.append(at, log_record.encode(batch, at), digest)
        self.engine.batches = seq - 1
        self.engine.apply(batch, at)
        self.states[seq] = self.engine.state_hash().hex()
        self.times[seq] = at

    async def write(self, rows: int) -> None:
        """Log batches of 1 to 40 transfers."""
        for _ in range(rows):
            count = int(self._random.integers(1, 40))
            transfers = np.zeros(count, TRANSFER_COMMAND)
            transfers["id_lo"] = np.arange(self._id + 1, self._id + count + 1)
            self._id += count
            transfers["debit_account_id"] = self._random.integers(1, 11, count)
            transfers["credit_account_id"] = self._random.integers(11, 21, count)
            transfers["amount"] = self._random.integers(1, 10_000, count)
            transfers["ledger"], transfers["code"] = 156, 1
            batch = Batch()
            append_transfers(batch, transfers)
            await self._log(batch)

    def snapshot(self) -> int:
        """Take one, as the server does; return its seq."""
        seq = self.journal.head.seq
        state = self.engine.snapshot(self.snapshots.path(seq))
        size = self.snapshots.path(seq).stat().st_size
        engine = self.engine
        self.snapshots.publish(
            Manifest(
                seq, self.journal.head.hash.hex(), state.hex(), engine.digest().hex(), engine.last_timestamp,
                log_record.FORMAT, size, "2026-11-23T00:00:00+00:00",
            )
        )  # fmt: skip
        return seq

    async def back_up(self, directory: Path, *, from_start: bool = True) -> tuple[Backup, Made]:
        return await back_up_from(self.dsn, self.data_dir, directory, from_start=from_start)

    async def close(self) -> None:
        await self.journal.close()


async def back_up_from(dsn: str, data_dir: Path, directory: Path, *, from_start: bool = True) -> tuple[Backup, Made]:
    """What the command does."""
    made = Made()
    journal = await Journal.open(f"{dsn}&default_transaction_read_only=on", allow_unsafe=True)
    link = await connect(dsn, allow_unsafe=True, read_only=True)
    try:
        with writing(directory):
            origin = Origin(journal, link.connection, data_dir)
            backup = await back_up(origin, directory, made, from_start=from_start)
    finally:
        await link.close()
        await journal.close()
    return backup, made


async def restore_to(
    directory: Path, dsn: str, data_dir: Path, to_seq: int | None = None, to_time: int | None = None
) -> Restored:
    restored = Restored()
    await restore_backup(directory, data_dir, dsn, restored, LIMITS, to_seq=to_seq, to_time=to_time)
    return restored


async def rows_of(dsn: str) -> list[tuple[object, ...]]:
    """Every row of a log, as the database has it."""
    connection = await asyncpg.connect(dsn)
    try:
        return [tuple(row) for row in await connection.fetch("SELECT * FROM tongbao.log ORDER BY seq")]
    finally:
        await connection.close()
