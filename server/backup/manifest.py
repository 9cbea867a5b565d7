"""What a backup directory holds.

    DIR/backup.json                                   the manifest
    DIR/log/LAST-OF-20-DIGITS.copy.zst                rows, up to that one (server/journal/copied.py)
    DIR/snapshots/SEQ-OF-20-DIGITS.snapshot, .json    a snapshot and its manifest, as the server wrote them
    DIR/lock                                          held by the process that writes

The manifest is replaced after each file that was written and verified, so that an interrupted backup is a shorter
one. What it does not name is a leftover. It names every file with its hash, and itself has a checksum and one way to
be written: no bit of a backup can change unnoticed.
"""

import hashlib
import json
import os
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from server.journal.cluster import sync_directory

VERSION = 1
NAME = "backup.json"
LOCK = "lock"


class BackupError(Exception):
    """A backup that cannot be made or used as asked; nothing was changed."""


class BackupDamaged(BackupError):  # noqa: N818 - as LogDamaged
    """A file of a backup is missing or not what was written. Names the file."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A file of rows: `first` to `last` without a gap, all of one partition. Hashes in hex, times in nanoseconds."""

    first: int
    last: int
    first_previous_hash: str
    last_hash: str
    first_epoch: int
    last_epoch: int
    first_time: int
    last_time: int
    format: int
    """Newest format of a payload."""
    bytes: int
    sha256: str
    """Of the file."""

    @property
    def file(self) -> str:
        """Its path in the directory."""
        return f"log/{self.last:020d}.copy.zst"


@dataclass(frozen=True, slots=True)
class Kept:
    """A snapshot: its file and its manifest's."""

    seq: int
    log_hash: str
    state_hash: str
    bytes: int
    sha256: str
    manifest_sha256: str

    @property
    def file(self) -> str:
        """Its path in the directory."""
        return f"snapshots/{self.seq:020d}.snapshot"

    @property
    def manifest_file(self) -> str:
        """Its manifest's path in the directory."""
        return f"snapshots/{self.seq:020d}.json"


@dataclass(frozen=True, slots=True)
class Backup:
    """The manifest."""

    version: int
    complete: bool
    """False while a run is under way, and after one that was interrupted: then newer rows or a snapshot are missing."""
    log_id: str
    partition_rows: int
    created: str
    updated: str
    segments: tuple[Segment, ...] = ()
    snapshots: tuple[Kept, ...] = ()

    @classmethod
    def new(cls, log_id: str, partition_rows: int) -> Self:
        """Return that of a backup without anything in it yet."""
        return cls(VERSION, False, log_id, partition_rows, _now(), _now())

    @property
    def first(self) -> int:
        """Number of the oldest row."""
        return self.segments[0].first if self.segments else 0

    @property
    def last(self) -> int:
        """Number of the newest row; -1 without rows."""
        return self.segments[-1].last if self.segments else -1

    @property
    def size(self) -> int:
        """Bytes of all files but the manifests."""
        return sum(segment.bytes for segment in self.segments) + sum(kept.bytes for kept in self.snapshots)

    @property
    def oldest_point(self) -> int | None:
        """The oldest row that can be restored to; None if there is none."""
        if self.segments and self.first == 0:
            return 0
        return min((kept.seq for kept in self.snapshots if self.first <= kept.seq <= self.last), default=None)

    def files(self) -> set[str]:
        """Paths of everything that belongs to it."""
        snapshots = {path for kept in self.snapshots for path in (kept.file, kept.manifest_file)}
        return {segment.file for segment in self.segments} | snapshots

    def render(self) -> bytes:
        """Return the one text that means this."""
        content = asdict(self)
        checksum = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
        return (json.dumps(content | {"checksum": checksum}, indent=1) + "\n").encode()

    @classmethod
    def read(cls, directory: Path) -> Self:
        """Read it; raises BackupError if there is none, BackupDamaged if it is not what was written."""
        try:
            text = (directory / NAME).read_bytes()
        except FileNotFoundError:
            raise BackupError(f"{directory} holds no backup") from None
        try:
            document: dict[str, Any] = json.loads(text)
            if isinstance(document.get("version"), int) and document["version"] > VERSION:
                raise BackupError(f"{NAME}: is of version {document['version']}; this program knows {VERSION}")
            values = {item.name: document[item.name] for item in fields(cls)}
            values["segments"] = tuple(Segment(**item) for item in values["segments"])
            values["snapshots"] = tuple(Kept(**item) for item in values["snapshots"])
            backup = cls(**values)
            if backup.render() != text:
                raise ValueError("its checksum does not fit")
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise BackupDamaged(f"{NAME}: is damaged ({type(error).__name__})") from None
        return backup

    def write(self, directory: Path) -> Self:
        """Put it in place durably, with the time of now."""
        written = replace(self, updated=_now())
        temporary = directory / f".{NAME}.writing"
        with temporary.open("wb") as file:
            file.write(written.render())
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(directory / NAME)
        sync_directory(directory)
        return written


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
