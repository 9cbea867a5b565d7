"""Making a backup: the newest good snapshot, and the rows behind those that are there already.

Rows come out of the database by COPY, a segment at a time; those that have left it come from the archive. Each file is
read back from disk and verified before the manifest names it. Nothing in the database, in the data directory, or in a
file of an earlier run is ever changed.
"""

import asyncio
import contextlib
import fcntl
import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import asyncpg

from engine.errors import SnapshotError
from server.backup.checking import check_row, check_snapshot, content_hash
from server.backup.manifest import LOCK, NAME, Backup, BackupError, Kept, Segment
from server.journal import ArchiveManifest, Head, Journal, LogDamaged, LogLost, Row
from server.journal.cluster import sync_directory
from server.journal.copied import HEADER, TRAILER, FileOfRows, encode_row, file_sha256, read_chunks, read_rows
from server.journal.rows import Chain
from server.journal.schema import COLUMNS, table_name
from server.snapshots import Manifest

SEGMENT_BYTES = 256 << 20
"""Payload of one file of rows, about: what an interrupted backup does again, at most."""
SEGMENT_ROWS = 1 << 18
_OURS = re.compile(r"\.?\d{20}\.(copy\.zst|snapshot|json)(\.writing)?")


@dataclass(slots=True)
class Made:
    """What a run has done."""

    log_id: str = ""
    first: int = 0
    last: int = -1
    last_hash: str = ""
    oldest_point: int | None = None
    rows: int = 0
    """Rows that this run added."""
    bytes: int = 0
    """Bytes of the files that this run added."""
    files: int = 0
    snapshots: list[int] = field(default_factory=list)
    """Snapshots that this run added."""
    damaged: list[str] = field(default_factory=list)
    """Snapshots of the server that were passed over."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the log is."""

    journal: Journal
    connection: asyncpg.Connection
    """A session of its own, for COPY."""
    data_dir: Path
    """Holds the snapshots and the archive."""


@contextlib.contextmanager
def writing(directory: Path) -> Iterator[None]:
    """Make the directory if need be, and keep other backups out. Raises BackupError if it is not one for backups."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    strange = {path.name for path in directory.iterdir()} - {NAME, f".{NAME}.writing", LOCK, "log", "snapshots"}
    if strange - {"lost+found"} and not (directory / NAME).exists():
        raise BackupError(f"{directory} holds other things (such as {min(strange)}) and no backup")
    descriptor = os.open(directory / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise BackupError(f"{directory} is being written by another process") from None
        for name in ("log", "snapshots"):
            (directory / name).mkdir(mode=0o700, exist_ok=True)
        yield
    finally:
        os.close(descriptor)


async def back_up(
    origin: Origin,
    directory: Path,
    made: Made,
    *,
    from_start: bool = False,
    advance: Callable[[int, int], None] = lambda _, __: None,
) -> Backup:
    """Bring a backup up to the newest row; `advance` gets (row, newest row) now and then.

    Call it within `writing(directory)`. Raises BackupError when this log's rows do not go on behind those that are
    there, LogLost when the log has lost rows that are there, LogDamaged for a row that is not what was written.
    """
    run = _Run(origin, directory, made, advance)
    if (directory / NAME).exists():
        found = await asyncio.to_thread(Backup.read, directory)
        # Without rows it is as good as none: what the snapshots were taken of may have left the database since.
        run.backup = found if found.segments else run.backup
    await asyncio.to_thread(_clean, directory, run.backup)
    # In this order: a snapshot that there is by now has its row below the newest one read after it.
    snapshots = await asyncio.to_thread(_snapshots, origin.data_dir)
    head = await origin.journal.newest()
    await run.begin(head, snapshots, from_start=from_start)
    await run.snapshots(snapshots, head, oldest_too=run.fresh)
    await run.rows(head)
    run.save(complete=True)
    return run.backup


def _clean(directory: Path, backup: Backup) -> None:
    """Remove what an interrupted run left, and make sure that the rest is there."""
    for path in (*(directory / "log").iterdir(), *(directory / "snapshots").iterdir()):
        if str(path.relative_to(directory)) not in backup.files() and _OURS.fullmatch(path.name):
            path.unlink()
    for name in backup.files():
        if not (directory / name).exists():
            raise BackupError(f"{name} is missing from the backup; begin another one in another directory")


def _snapshots(data_dir: Path) -> list[int]:
    """Numbers of the server's snapshots, newest first."""
    paths = (data_dir / "snapshots").glob("*.json")
    return sorted((int(path.stem) for path in paths if path.stem.isdigit()), reverse=True)


class _Run:
    """One run of a backup."""

    def __init__(self, origin: Origin, directory: Path, made: Made, advance: Callable[[int, int], None]) -> None:
        self.origin = origin
        self.directory = directory
        self.made = made
        self.advance = advance
        journal = origin.journal
        self.backup = Backup.new(journal.log_id.hex(), journal.partition_rows)
        self.fresh = True
        self.next = 0
        self.chain = Chain(-1, None, None)

    def save(self, *, complete: bool = False, **changes: object) -> None:
        """Replace the manifest."""
        self.backup = replace(self.backup, complete=complete, **changes).write(self.directory)  # type: ignore[arg-type]
        made, backup = self.made, self.backup
        made.first, made.last, made.oldest_point = backup.first, backup.last, backup.oldest_point
        made.last_hash = backup.segments[-1].last_hash if backup.segments else ""

    async def begin(self, head: Head, snapshots: list[int], *, from_start: bool) -> None:
        """Decide with which row to go on; make sure that it is the same log, and goes on."""
        backup, journal = self.backup, self.origin.journal
        self.made.log_id = journal.log_id.hex()
        if backup.log_id != journal.log_id.hex():
            raise BackupError(f"the directory holds a backup of another log ({backup.log_id})")
        self.fresh = not backup.segments
        if self.fresh:
            available = await self._available(await journal.first())
            start = available if from_start or not snapshots else snapshots[-1]
            self.next = max(start // journal.partition_rows * journal.partition_rows, available)
            if self.next and not snapshots:
                raise BackupError(f"the log begins at row {self.next}, and there is no snapshot to begin with")
            self.chain = Chain(self.next - 1, bytes(32) if self.next == 0 else None, None)
            return
        newest = backup.segments[-1]
        if from_start and backup.first > await self._available(await journal.first()):
            raise BackupError(f"the backup begins at row {backup.first}; --from-start needs another directory")
        if head.seq < newest.last:
            raise LogLost(f"the log ends at row {head.seq}, and the backup has row {newest.last}")
        if await journal.first() <= newest.last:
            async for row in journal.read(newest.last, last=newest.last):
                if row.hash.hex() != newest.last_hash:
                    raise LogLost(f"row {newest.last} of the log is not the one in the backup: it went another way")
        self.next = newest.last + 1
        self.chain = Chain(newest.last, bytes.fromhex(newest.last_hash), newest.last_epoch)

    async def _available(self, first: int) -> int:
        """Return the oldest row that database and archive have without a gap."""
        manifests = await asyncio.to_thread(self._archived)
        for manifest in reversed(manifests):
            if manifest.last + 1 < first:
                break
            first = min(first, manifest.first)
        return first

    def _archived(self) -> list[ArchiveManifest]:
        paths = sorted((self.origin.data_dir / "archive").glob("log-*.json"))
        manifests = [ArchiveManifest.read(path) for path in paths]
        return [manifest for manifest in manifests if manifest.log_id == self.backup.log_id]

    # --- rows

    async def rows(self, head: Head) -> None:
        """Add every row up to `head`."""
        while self.next <= head.seq:
            self.advance(self.next, head.seq)
            first = await self.origin.journal.first()
            if self.next < first:
                last = await self._archive(first)
            else:
                try:
                    last = await self._database(head.seq)
                except asyncpg.UndefinedTableError:
                    if await self.origin.journal.first() <= self.next:
                        raise LogDamaged(self.next, "missing: its partition is not there") from None
                    continue  # it has just left for the archive
            await self._adopt(last)
        if self.chain.seq == head.seq and self.chain.hash != head.hash:
            raise LogLost(f"row {head.seq} of the log is not the one in the backup: it went another way")
        self.advance(head.seq, head.seq)

    def _path(self, last: int) -> Path:
        return self.directory / "log" / f"{last:020d}.copy.zst"

    async def _database(self, newest: int) -> int:
        """Write the next segment out of the database; return its last row."""
        rows = self.backup.partition_rows
        partition = self.next // rows
        last = min(newest, (partition + 1) * rows - 1, self.next + SEGMENT_ROWS - 1)
        # How long a value is stands beside it: nothing is read for this but the rows' heads.
        sized = (
            "SELECT seq, sum(octet_length(payload) + 200) OVER (ORDER BY seq) AS total "  # noqa: S608
            f"FROM {table_name(partition)} WHERE seq BETWEEN {self.next} AND {last}"
        )
        fits = await self.origin.connection.fetchval(
            f"SELECT max(seq) FROM ({sized}) AS sized WHERE total <= $1",  # noqa: S608
            SEGMENT_BYTES,
        )
        last = max(self.next, fits or 0)
        file = FileOfRows(self._path(last))
        try:

            async def write(data: bytes) -> None:
                await asyncio.to_thread(file.write, data)

            await self.origin.connection.copy_from_query(
                f"SELECT {COLUMNS} FROM {table_name(partition)} "  # noqa: S608
                f"WHERE seq BETWEEN {self.next} AND {last} ORDER BY seq",
                output=write,
                format="binary",
            )
            await asyncio.to_thread(file.finish)
        except BaseException:
            file.abandon()
            raise
        return last

    async def _archive(self, first: int) -> int:
        """Write the next segment out of the archive; return its last row."""
        for manifest in await asyncio.to_thread(self._archived):
            if manifest.first <= self.next <= manifest.last:
                path = self.origin.data_dir / "archive" / manifest.file
                await asyncio.to_thread(self._copy_rows, path, manifest)
                return manifest.last
        raise LogDamaged(self.next, f"missing: the database begins at row {first}, and the archive does not have it")

    def _copy_rows(self, source: Path, manifest: ArchiveManifest) -> None:
        file = FileOfRows(self._path(manifest.last))
        try:
            file.write(HEADER)
            for row in read_rows(source, manifest.first):
                if row.seq >= self.next:
                    file.write(encode_row(row))
            file.write(TRAILER)
            file.finish()
        except BaseException:
            file.abandon()
            raise

    async def _adopt(self, last: int) -> None:
        """Read the new segment back, verify it, and put it into the manifest."""
        path = self._path(last)
        try:
            segment = await asyncio.to_thread(self._describe, path, last)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        self.save(segments=(*self.backup.segments, segment))
        self.made.rows += last + 1 - self.next
        self.made.bytes += segment.bytes
        self.made.files += 1
        self.next = last + 1

    def _describe(self, path: Path, last: int) -> Segment:
        sync_directory(path.parent)
        first: Row | None = None
        row: Row | None = None
        format = 0  # noqa: A001 - the column's name
        for chunk in read_chunks(path, self.next):
            for row in chunk.rows:
                check_row(self.backup, self.chain, row)
                format = max(format, row.format)  # noqa: A001
            first = first or chunk.rows[0]
        if first is None or row is None or row.seq != last:
            raise LogDamaged(self.chain.seq + 1, "missing")
        return Segment(
            first.seq,
            last,
            first.previous_hash.hex(),
            row.hash.hex(),
            first.epoch,
            row.epoch,
            first.time,
            row.time,
            format,
            path.stat().st_size,
            file_sha256(path),
        )

    # --- snapshots

    async def snapshots(self, there: list[int], head: Head, *, oldest_too: bool) -> None:
        """Add the newest good snapshot, if it is newer than what is there.

        A log that will not begin with its first row needs one to begin with, too: the oldest.
        """
        held = max((kept.seq for kept in self.backup.snapshots), default=-1)
        if there and there[0] > head.seq:
            raise LogLost(f"the log ends at row {head.seq}, and there is a snapshot of row {there[0]}")
        added = await self._first_good([seq for seq in there if seq > held])
        if oldest_too and self.next and added is not None:
            await self._first_good([seq for seq in reversed(there) if self.next <= seq < added])
        if self.next and not self.backup.snapshots:
            raise BackupError(f"the log begins at row {self.next}, and there is no good snapshot to begin with")

    async def _first_good(self, numbers: list[int]) -> int | None:
        for seq in numbers:
            try:
                kept = await asyncio.to_thread(self._copy_snapshot, seq)
                async for row in self.origin.journal.read(seq, last=seq):
                    if row.hash.hex() != kept.log_hash:
                        raise LogLost(
                            f"row {seq} is not the one that the snapshot was taken after: this is another log"
                        )
            except FileNotFoundError:
                continue  # pruned by the server meanwhile
            except SnapshotError as error:
                self.made.damaged.append(str(error))
                continue
            snapshots = sorted((*self.backup.snapshots, kept), key=lambda item: item.seq)
            self.save(snapshots=tuple(snapshots))
            self.made.snapshots.append(seq)
            self.made.bytes += kept.bytes
            self.made.files += 2
            return seq
        return None

    def _copy_snapshot(self, seq: int) -> Kept:
        """Copy a snapshot and prove the copy. Raises SnapshotError when it is not good, FileNotFoundError when gone."""
        source = self.origin.data_dir / "snapshots" / f"{seq:020d}.snapshot"
        place = self.directory / "snapshots" / source.name
        try:
            copy_file(source, place)
            copy_file(source.with_suffix(".json"), place.with_suffix(".json"))
            sync_directory(place.parent)
            kept = Kept(
                seq,
                Manifest.read(place.with_suffix(".json")).log_hash,
                content_hash(place),
                place.stat().st_size,
                file_sha256(place),
                file_sha256(place.with_suffix(".json")),
            )
            check_snapshot(self.directory, kept)
        except BaseException as error:
            place.unlink(missing_ok=True)
            place.with_suffix(".json").unlink(missing_ok=True)
            if isinstance(error, BackupError):
                raise SnapshotError(str(error)) from None
            raise
        return kept


def copy_file(source: Path, place: Path) -> None:
    """Copy a file durably."""
    temporary = place.with_name(f".{place.name}.writing")
    with source.open("rb") as read, temporary.open("wb") as write:
        shutil.copyfileobj(read, write, 8 << 20)
        write.flush()
        os.fsync(write.fileno())
    temporary.replace(place)
