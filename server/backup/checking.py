"""Reading a backup back: every file, every row, every hash; without a database, without an engine."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from engine.errors import SnapshotError
from engine.snapshot import Source
from server.backup.manifest import Backup, BackupDamaged, BackupError, Kept, Segment
from server.journal import LogDamaged
from server.journal.copied import Chunk, file_sha256, read_chunks
from server.journal.rows import Chain, Kind, Row
from server.snapshots import Manifest

HASH_CHUNK = 8 << 20
_DIGEST_BYTES = 32


@dataclass(slots=True)
class Checked:
    """What was looked at."""

    log_id: str = ""
    complete: bool = False
    first: int = 0
    last: int = -1
    last_hash: str = ""
    oldest_point: int | None = None
    files: int = 0
    bytes: int = 0
    rows: int = 0
    snapshots: list[int] = field(default_factory=list)


def check_backup(directory: Path, checked: Checked, advance: Callable[[int], None] = lambda _: None) -> Backup:
    """Read everything; raises BackupDamaged or LogDamaged at the first thing that is not as it was written."""
    backup = Backup.read(directory)
    checked.log_id, checked.complete = backup.log_id, backup.complete
    checked.first, checked.last, checked.oldest_point = backup.first, backup.last, backup.oldest_point
    hashes = dict.fromkeys((kept.seq for kept in backup.snapshots), "")
    chain = chain_before(backup, backup.segments[0]) if backup.segments else None
    for segment in backup.segments:
        assert chain is not None
        check_file(directory, segment.file, segment.bytes, segment.sha256)
        for chunk in read_segment(directory, backup, segment, chain):
            checked.rows += len(chunk.rows)
            for row in chunk.rows:
                if row.seq in hashes:
                    hashes[row.seq] = row.hash.hex()
            advance(chunk.rows[-1].seq)
        checked.files += 1
        checked.bytes += segment.bytes
        checked.last_hash = segment.last_hash
    for kept in backup.snapshots:
        check_snapshot(directory, kept)
        if hashes[kept.seq] != kept.log_hash and (hashes[kept.seq] or backup.complete):
            raise BackupDamaged(f"{kept.file}: does not belong to row {kept.seq} of this log")
        checked.files += 2
        checked.bytes += kept.bytes
        checked.snapshots.append(kept.seq)
    return backup


def check_file(directory: Path, name: str, size: int, sha256: str) -> None:
    """Raise BackupDamaged unless a file is the one that was written."""
    path = directory / name
    try:
        if path.stat().st_size != size:
            raise BackupDamaged(f"{name}: has {path.stat().st_size} bytes, not {size}")
        if file_sha256(path) != sha256:
            raise BackupDamaged(f"{name}: is damaged: its content does not match its hash")
    except OSError as error:
        raise BackupDamaged(f"{name}: {error.strerror}") from None


def chain_before(backup: Backup, segment: Segment) -> Chain:
    """Return what checks the rows from a segment on: those of the first one against the manifest."""
    if segment is not backup.segments[0]:
        raise ValueError("begin with the first segment")
    return Chain(segment.first - 1, bytes.fromhex(segment.first_previous_hash), None)


def read_segment(directory: Path, backup: Backup, segment: Segment, chain: Chain) -> Iterator[Chunk]:
    """Yield the rows of a segment, verified; `chain` has come to the row before it."""
    path = directory / segment.file
    first: Row | None = None
    row: Row | None = None
    for chunk in read_chunks(path, segment.first):
        for row in chunk.rows:
            check_row(backup, chain, row)
        first = first or chunk.rows[0]
        yield chunk
    if first is None or row is None or (first.seq, row.seq) != (segment.first, segment.last):
        raise LogDamaged(chain.seq + 1, f"missing from {segment.file}")
    ends = (first.previous_hash, first.epoch, first.time, row.hash, row.epoch, row.time)
    told = (
        bytes.fromhex(segment.first_previous_hash), segment.first_epoch, segment.first_time,
        bytes.fromhex(segment.last_hash), segment.last_epoch, segment.last_time,
    )  # fmt: skip
    if ends != told:
        raise BackupDamaged(f"{segment.file}: does not hold the rows that the manifest tells")


def check_row(backup: Backup, chain: Chain, row: Row) -> None:
    """Check one row: its place, its checksum, its link; and row 0's identity."""
    chain.check(row)
    if row.seq == 0 and (row.kind != Kind.GENESIS or row.payload.hex() != backup.log_id):
        raise BackupDamaged("row 0 is that of another log")


def check_snapshot(directory: Path, kept: Kept) -> Manifest:
    """Raise BackupDamaged unless a snapshot's two files are whole and belong together; return its manifest."""
    check_file(directory, kept.file, kept.bytes, kept.sha256)
    path = directory / kept.manifest_file
    try:
        if file_sha256(path) != kept.manifest_sha256:
            raise BackupDamaged(f"{kept.manifest_file}: is damaged: its content does not match its hash")
        manifest = Manifest.read(path)
        if content_hash(directory / kept.file) != kept.state_hash:
            raise BackupDamaged(f"{kept.file}: its content does not match the state's hash")
        with Source(directory / kept.file) as source:
            found = (source.digest.hex(), source.last_timestamp)
    except OSError as error:
        raise BackupDamaged(f"{kept.manifest_file}: {error.strerror}") from None
    except SnapshotError as error:
        raise BackupDamaged(str(error)) from None
    described = (manifest.digest, manifest.last_timestamp, manifest.seq, manifest.log_hash, manifest.state_hash)
    if described != (*found, kept.seq, kept.log_hash, kept.state_hash):
        raise BackupDamaged(f"{kept.file}: is not the snapshot that its manifest describes")
    return manifest


def content_hash(path: Path) -> str:
    """SHA-256 of a snapshot's content, which stands at its end; raises SnapshotError if it does not."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        left = path.stat().st_size - _DIGEST_BYTES
        while left > 0 and (chunk := file.read(min(HASH_CHUNK, left))):
            digest.update(chunk)
            left -= len(chunk)
        if file.read() != digest.digest():
            raise SnapshotError(f"{path.name}: is damaged: its content does not match its hash")
    return digest.hexdigest()


def point_at(directory: Path, backup: Backup, to_seq: int | None, to_time: int | None) -> int:
    """Return the row to restore to: `to_seq`, the newest whose time is not after `to_time`, or the newest there is.

    Raises BackupError when the backup does not reach there.
    """
    oldest = backup.oldest_point
    if oldest is None:
        raise BackupError("nothing can be restored: the backup has neither the first row nor a snapshot with its row")
    point = backup.last if to_seq is None else to_seq
    if to_time is not None:
        point = -1
        begun = [segment for segment in backup.segments if segment.first_time <= to_time]
        if begun:
            rows = (row for chunk in read_chunks(directory / begun[-1].file, begun[-1].first) for row in chunk.rows)
            point = max(row.seq for row in rows if row.time <= to_time)
    if not oldest <= point <= backup.last:
        where = "before its first row" if point < 0 else f"row {point}"
        raise BackupError(f"the backup can be restored to rows {oldest} to {backup.last}; wanted is {where}")
    return point
