"""From the disk to a ready engine: the newest good snapshot, then the tail of the log through the same `apply`.

A damaged snapshot is set aside and the one before is taken, or the log is replayed from its start. A damaged or
missing row, a row of a newer format, or a digest that does not fit stops with the row's number; nothing is skipped.
Rows are read and verified in the event loop while a thread decodes and applies those before them.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import asyncpg

from engine import Batch, Engine, log_record, snapshot
from engine.errors import RecordError, SnapshotError
from engine.limits import Limits
from engine.requests import clear
from server import batches
from server.journal import Head, Journal, Kind, LogLost, Row
from server.journal.link import GONE, temporary
from server.logs import get as get_logger
from server.mark import Mark
from server.snapshots import Manifest, Snapshots

CHUNK_ROWS = 256
CHUNK_BYTES = 8 * 2**20
"""What one call of the applying thread gets: enough to hide the hand-over, little enough to overlap."""
PROGRESS_SECONDS = 5.0


class ReplayError(Exception):
    """The log cannot be replayed by this build, or the state does not come out as it was. Names the row."""

    def __init__(self, seq: int, what: str) -> None:
        super().__init__(f"log row {seq}: {what}")
        self.seq = seq


async def prove(journal: Journal, directory: Path) -> None:
    """Raise LogLost when the log does not hold what a process on this data directory has acknowledged or applied."""
    mark = Mark.read(directory)
    if mark is None:
        return
    pause = 0.1
    while True:
        try:
            await journal.prove(bytes.fromhex(mark.log_id), mark.seq, bytes.fromhex(mark.hash))
        except (*GONE, asyncpg.PostgresError) as error:
            if not temporary(error):
                raise
            await asyncio.sleep(pause)
            pause = min(2 * pause, 1.0)
        else:
            return


class ReadableLog(Protocol):
    """What recovery needs of the journal."""

    head: Head

    def read(
        self, first: int, *, last: int | None = None, previous_hash: bytes | None = None, epoch: int | None = None
    ) -> AsyncIterator[Row]:
        """Yield verified rows `first` … `last` (None: the head), in order."""


@dataclass(slots=True)
class Recovered:
    """An engine and how far it has come."""

    engine: Engine
    seq: int
    """Newest row that was applied (or skipped as no event of the ledger)."""
    epoch: int
    log_hash: bytes
    """Epoch and hash of that row."""
    snapshot: Manifest | None
    """What it started from."""
    items: int = 0
    """Items replayed since the snapshot."""
    rows: int = 0
    digests: int = 0
    """Digests in rows that were compared with the engine's."""


async def recover(
    log: ReadableLog,
    snapshots: Snapshots,
    limits: Limits,
    *,
    hash_key: bytes,
    progress: Callable[[int, int], None] = lambda _, __: None,
    at_most: int | None = None,
) -> Recovered:
    """Restore the newest good snapshot and apply the log's tail. `progress` gets (row, newest row) now and then.

    `at_most`: no snapshot newer than this row is taken.
    Raises LogLost when a snapshot is newer than the log, LogDamaged or ReplayError naming the row, CapacityError when
    the capacities are smaller than what the log holds.
    """
    recovered = await restore(log, snapshots, limits, hash_key=hash_key, at_most=at_most)
    await catch_up(log, recovered, progress)
    return recovered


async def restore(
    log: ReadableLog, snapshots: Snapshots, limits: Limits, *, hash_key: bytes, at_most: int | None = None
) -> Recovered:
    """Restore the newest good snapshot that is not newer than row `at_most`; without one, an empty engine at row 0."""
    for manifest in await asyncio.to_thread(snapshots.newest_first):
        if manifest.seq > log.head.seq:
            raise LogLost(
                f"the log ends at row {log.head.seq}, and there is a snapshot of row {manifest.seq}: "
                "rows that were acknowledged are gone"
            )
        if at_most is not None and manifest.seq > at_most:
            continue
        if manifest.format > log_record.FORMAT:
            raise ReplayError(
                manifest.seq,
                f"its snapshot is of log format {manifest.format}; this build reads formats up to {log_record.FORMAT}: "
                "upgrade it",
            )
        version = await asyncio.to_thread(_newer_format, snapshots, manifest)
        if version:
            # Not damaged: a build that knows it will want it again.
            raise ReplayError(
                manifest.seq,
                f"its snapshot is of format {version}; this build reads formats up to {snapshot.FORMAT}: upgrade it",
            )
        row = await _row(log, manifest.seq)
        if row.hash.hex() != manifest.log_hash:
            raise LogLost(
                f"log row {manifest.seq} is not the row that the snapshot was taken after: this is another log"
            )
        started = time.perf_counter()
        try:
            engine = await asyncio.to_thread(_read_snapshot, snapshots, manifest, limits, hash_key)
        except SnapshotError as error:
            await asyncio.to_thread(snapshots.set_aside, manifest.seq, error)
            continue
        get_logger().info(
            "snapshot_restored",
            seq=manifest.seq,
            seconds=round(time.perf_counter() - started, 3),
            bytes=manifest.bytes,
            accounts=engine.accounts,
            transfers=engine.transfers,
        )
        return Recovered(engine, manifest.seq, row.epoch, row.hash, manifest)
    row = await _row(log, 0)
    engine = Engine(limits, hash_key=hash_key)
    engine.populate_ahead()
    return Recovered(engine, 0, row.epoch, row.hash, None)


def _read_snapshot(snapshots: Snapshots, manifest: Manifest, limits: Limits, hash_key: bytes) -> Engine:
    engine = Engine.restore(snapshots.path(manifest.seq), limits, hash_key=hash_key)
    engine.populate_ahead()
    if engine.digest().hex() != manifest.digest or engine.last_timestamp != manifest.last_timestamp:
        raise SnapshotError(f"{manifest.seq}: the snapshot is not the one that its manifest describes")
    return engine


def _newer_format(snapshots: Snapshots, manifest: Manifest) -> int:
    """Return the format of a whole snapshot of a newer build; 0 for any other, also with a flipped bit there."""
    path = snapshots.path(manifest.seq)
    version = snapshot.format_of(path)
    if version <= snapshot.FORMAT or snapshot.hash_of(path).hex() != manifest.state_hash:
        return 0
    return version


async def _row(log: ReadableLog, seq: int) -> Row:
    async for row in log.read(seq, last=seq):
        return row
    raise LogLost(f"log row {seq} is gone")


async def catch_up(
    log: ReadableLog, recovered: Recovered, progress: Callable[[int, int], None] = lambda _, __: None
) -> None:
    """Apply every row behind `recovered.seq`; reading and applying overlap."""
    applying: asyncio.Task[None] | None = None
    last = log.head.seq
    said = started = time.monotonic()
    batch = Batch()
    try:
        chunk: list[Row] = []
        size = 0
        rows = log.read(recovered.seq + 1, previous_hash=recovered.log_hash, epoch=recovered.epoch)
        async for row in rows:
            chunk.append(row)
            size += len(row.payload)
            if len(chunk) >= CHUNK_ROWS or size >= CHUNK_BYTES:
                if applying is not None:
                    await applying
                applying = asyncio.create_task(asyncio.to_thread(apply_rows, recovered, chunk, batch))
                chunk, size = [], 0
                if (now := time.monotonic()) - said >= PROGRESS_SECONDS:
                    said = now
                    progress(recovered.seq, last)
        if applying is not None:
            await applying
            applying = None
        if chunk:
            await asyncio.to_thread(apply_rows, recovered, chunk, batch)
    finally:
        if applying is not None:
            # A thread cannot be cancelled: let it end before anybody else touches the engine.
            await asyncio.gather(applying, return_exceptions=True)
    if recovered.seq < last:
        raise LogLost(f"the log ends at row {recovered.seq}, and row {last} was there before")
    seconds = time.monotonic() - started
    get_logger().info(
        "log_replayed",
        seq=recovered.seq,
        rows=recovered.rows,
        items=recovered.items,
        count=recovered.digests,
        seconds=round(seconds, 3),
        items_per_second=round(recovered.items / max(seconds, 1e-6)),
    )


def _ignore(_: Row, __: Batch | None) -> None:
    """Nobody wants to know."""


def apply_rows(
    recovered: Recovered, rows: Iterable[Row], batch: Batch, applied: Callable[[Row, Batch | None], None] = _ignore
) -> None:
    """Apply verified rows behind `recovered.seq`, in order. `batch` is used for each, and emptied.

    `applied` is called behind each row, with its batch and the batch's answers, or None for a row that is no batch.
    Raises ReplayError, CapacityError.
    """
    engine = recovered.engine
    for row in rows:
        has_batch = row.kind == Kind.BATCH
        if has_batch:
            if row.format > log_record.FORMAT:
                raise ReplayError(
                    row.seq,
                    f"is of format {row.format}; this build reads formats up to {log_record.FORMAT}: upgrade it",
                )
            if row.digest is not None:
                if row.digest != engine.digest():
                    raise ReplayError(row.seq, "the state before it is not what it was when the row was written")
                recovered.digests += 1
            clear(batch)
            try:
                at = log_record.decode(row.payload, batch)
            except RecordError as error:
                raise ReplayError(row.seq, f"cannot be decoded: {error}") from error
            if at != row.time:
                raise ReplayError(row.seq, f"its record is of time {at}, the row of {row.time}")
            engine.batches = row.seq - 1  # rows without a batch count, too
            engine.apply(batch, at)
            recovered.items += batches.survey(batch).items
            recovered.rows += 1
        recovered.seq, recovered.epoch, recovered.log_hash = row.seq, row.epoch, row.hash
        applied(row, batch if has_batch else None)
