"""Restoring a backup: the log into an empty database, the state into an engine, and the proof that they fit.

The log is loaded in one transaction, and the replay beside it. Only when every row is verified, every digest on the
way is the same, and every invariant holds, the transaction commits: a database holds the whole restored log or none.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg

from engine import Batch, Engine
from engine.errors import SnapshotError
from engine.limits import Limits
from server.backup.checking import chain_before, check_file, check_snapshot, point_at, read_segment
from server.backup.manifest import Backup, BackupDamaged, BackupError, Kept, Segment
from server.journal import LogDamaged, Row
from server.journal.copied import HEADER, TRAILER, Chunk, encode_row
from server.journal.rows import Chain
from server.journal.schema import COLUMNS, LogFacts, make_empty, make_partition
from server.recovery import Recovered, apply_rows


@dataclass(slots=True)
class Restored:
    """What was restored."""

    log_id: str = ""
    start: str = "the first row"
    """What the replay began with."""
    first: int = 0
    seq: int = -1
    """Newest row."""
    time: int = 0
    epoch: int = 0
    log_hash: str = ""
    rows: int = 0
    bytes: int = 0
    """Bytes of the rows, uncompressed."""
    batches: int = 0
    items: int = 0
    digests: int = 0
    """Digests in the rows that were compared with the state."""
    state_hash: str = ""
    accounts: int = 0
    transfers: int = 0
    pending: int = 0
    passed_over: list[str] = field(default_factory=list)
    """Damaged snapshots that were not used."""
    left: int = 0
    """Rows of the backup behind the point that was restored to."""


class Restore:
    """One restore: `prepare` reads, `load` writes, and nothing counts before the caller commits."""

    def __init__(self, directory: Path, restored: Restored, limits: Limits) -> None:
        self.directory = directory
        self.backup = Backup.read(directory)
        self.restored = restored
        self.kept: Kept | None = None
        """The snapshot that the replay began with."""
        self._limits = limits
        self._point = -1
        self._recovered: Recovered | None = None

    async def prepare(self, to_seq: int | None, to_time: int | None) -> None:
        """Find the point, and the state to begin with. Raises BackupError, BackupDamaged."""
        self._point = await asyncio.to_thread(point_at, self.directory, self.backup, to_seq, to_time)
        await asyncio.to_thread(self._begin)

    def _begin(self) -> None:
        hash_key = os.urandom(32)
        backup = self.backup
        for kept in reversed(backup.snapshots):
            if not backup.first <= kept.seq <= self._point:
                continue
            try:
                manifest = check_snapshot(self.directory, kept)
                engine = Engine.restore(self.directory / kept.file, self._limits, hash_key=hash_key)
            except (BackupDamaged, SnapshotError) as error:
                self.restored.passed_over.append(str(error))
                continue
            if engine.digest().hex() != manifest.digest:
                raise BackupDamaged(f"{kept.file}: its state has another digest")
            self.kept = kept
            self.restored.start = f"the snapshot after row {kept.seq}"
            self._recovered = Recovered(engine, kept.seq, 0, bytes.fromhex(kept.log_hash), manifest)
            return
        if backup.first:
            raise BackupDamaged(f"no snapshot to begin with is whole: {'; '.join(self.restored.passed_over)}")
        self._recovered = Recovered(Engine(self._limits, hash_key=hash_key), -1, 0, b"", None)

    async def load(self, connection: asyncpg.Connection, advance: Callable[[int, int], None]) -> None:
        """Make the log's tables and fill them, within the caller's transaction; replay; compare; fill in `restored`."""
        backup, restored, recovered = self.backup, self.restored, self._recovered
        assert recovered is not None
        facts = LogFacts(bytes.fromhex(backup.log_id), backup.partition_rows)
        await make_empty(connection, facts, {"restored": f"rows {backup.first} to {self._point} of {backup.last}"})
        for partition in range(facts.partition(backup.first), facts.partition(self._point) + 1):
            await make_partition(connection, facts, partition)
        # Who makes a partition for a running server must not be silent for long; this transaction waits for the replay.
        await connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
        chain = chain_before(backup, backup.segments[0])
        replay = _Replay(recovered)
        try:
            for segment in backup.segments:
                if segment.first > self._point:
                    break
                await asyncio.to_thread(check_file, self.directory, segment.file, segment.bytes, segment.sha256)
                table = facts.table(segment.first).removeprefix("tongbao.")
                await connection.copy_to_table(
                    table,
                    schema_name="tongbao",
                    columns=COLUMNS.split(", "),
                    source=self._source(segment, chain, replay, advance),
                    format="binary",
                )
            await replay.finish()
        finally:
            await replay.quiet()
        await asyncio.to_thread(self._compare, recovered)
        restored.left = backup.last - self._point

    async def _source(
        self, segment: Segment, chain: Chain, replay: "_Replay", advance: Callable[[int, int], None]
    ) -> AsyncIterator[bytes]:
        """Give COPY the rows of a segment, each verified before, and the replay, too."""
        restored = self.restored
        chunks: Iterator[Chunk] = read_segment(self.directory, self.backup, segment, chain)
        yield HEADER
        while (chunk := await asyncio.to_thread(next, chunks, None)) is not None:
            rows, raw = chunk
            if rows[-1].seq > self._point:
                # What lies behind the point is read all the same: the file is whole or it is not used.
                rows = [row for row in rows if row.seq <= self._point]
                raw = b"".join([encode_row(row) for row in rows])
            if not rows:
                continue
            newest = rows[-1]
            restored.seq, restored.time, restored.epoch = newest.seq, newest.time, newest.epoch
            restored.log_hash = newest.hash.hex()
            restored.rows += len(rows)
            restored.bytes += len(raw)
            await replay.add(rows)
            advance(newest.seq, self._point)
            yield raw
        yield TRAILER

    def _compare(self, recovered: Recovered) -> None:
        restored, backup, engine = self.restored, self.backup, recovered.engine
        if restored.seq != self._point or recovered.seq != self._point:
            raise LogDamaged(restored.seq + 1, "missing from the backup")
        restored.log_id, restored.first = backup.log_id, backup.first
        restored.batches, restored.items = recovered.rows, recovered.items
        restored.digests = recovered.digests
        engine.check_invariants()
        restored.state_hash = engine.state_hash().hex()
        restored.accounts, restored.transfers, restored.pending = engine.accounts, engine.transfers, engine.pending
        for kept in backup.snapshots:
            if kept.seq == self._point and kept.state_hash != restored.state_hash:
                raise BackupDamaged(f"{kept.file}: the log gives another state")


class _Replay:
    """Applies rows in a thread while those behind them are read and loaded."""

    def __init__(self, recovered: Recovered) -> None:
        self._recovered = recovered
        self._batch = Batch()
        self._applying: asyncio.Task[None] | None = None

    async def add(self, rows: list[Row]) -> None:
        """Apply these behind those before; those before are applied when it returns."""
        recovered = self._recovered
        if rows[0].seq <= recovered.seq:
            for row in rows:
                if row.seq == recovered.seq and row.hash != recovered.log_hash:
                    raise BackupDamaged(f"the snapshot after row {row.seq} is not one of this log")
            rows = [row for row in rows if row.seq > recovered.seq]
        await self.finish()
        if rows:
            self._applying = asyncio.create_task(asyncio.to_thread(apply_rows, recovered, rows, self._batch))

    async def finish(self) -> None:
        """Wait until everything is applied; raises what was wrong."""
        applying, self._applying = self._applying, None
        if applying is not None:
            await applying

    async def quiet(self) -> None:
        """Wait for the thread, whatever comes of it: it cannot be cancelled."""
        if self._applying is not None:
            await asyncio.gather(self._applying, return_exceptions=True)


async def refuse_a_log(connection: asyncpg.Connection) -> None:
    """Raise BackupError when the database has anything of a log in it."""
    if await connection.fetchval("SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = 'tongbao')"):
        raise BackupError("the database has a schema tongbao already; restore into an empty one")
