"""Snapshots of the engine's state on disk: taken, described, kept, pruned.

    snapshots/00000000000000123456.snapshot     the state after log entry 123456 (engine.snapshot's format)
    snapshots/00000000000000123456.json         what belongs to it: the manifest, written last
    snapshots/damaged-…                          what could not be read, for a person to look at

A snapshot is begun only at a boundary, when everything applied is durable, so it never holds what the log does not.
The forked child writes while the server goes on; the file is read back and hashed, its header compared with the
engine at the fork, and only then the manifest makes it one. A snapshot without a manifest is a leftover.
"""

import asyncio
import contextlib
import hashlib
import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from engine import Engine, log_record
from engine.errors import SnapshotError
from engine.snapshot import Source
from server.logs import fault
from server.logs import get as get_logger
from server.metrics import Metrics

POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Manifest:
    """What is known of one snapshot besides its bytes. Hashes in hex, time in nanoseconds since 1970."""

    seq: int
    """Newest log entry whose effects it holds."""
    log_hash: str
    """Hash of that row: proves that the snapshot belongs to this log."""
    state_hash: str
    digest: str
    last_timestamp: int
    format: int
    """Format of log records of the build that wrote it."""
    bytes: int
    created: str

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a manifest; raises SnapshotError when it is not one."""
        try:
            document = json.loads(path.read_text("utf-8"))
            values = {item.name: document[item.name] for item in fields(cls)}
            if document["checksum"] != _checksum(values):
                raise SnapshotError(f"{path.name}: the manifest's checksum does not fit")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise SnapshotError(f"{path.name}: {type(error).__name__} while reading the manifest") from None
        for item in fields(cls):
            if not isinstance(values[item.name], int if item.type is int else str):
                raise SnapshotError(f"{path.name}: {item.name} is malformed")
        return cls(**values)


class Snapshots:
    """The directory of snapshots. Everything here blocks; nothing here knows an event loop."""

    def __init__(self, directory: Path, kept: int) -> None:
        self.directory = directory
        self.needed: Callable[[], int] = lambda: -1
        """A row from which somebody may have to begin again: the newest snapshot of before stays."""
        self._kept = kept

    def prepare(self) -> None:
        """Make the directory; remove what an interrupted snapshot left."""
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in self.directory.iterdir():
            interrupted = path.name.startswith(".") and path.name.endswith(".writing")
            orphan = path.suffix == ".snapshot" and path.stem.isdigit() and not path.with_suffix(".json").exists()
            if interrupted or orphan:
                path.unlink()

    def path(self, seq: int) -> Path:
        """File of the snapshot after log entry `seq`."""
        return self.directory / f"{seq:020d}.snapshot"

    def newest_first(self) -> list[Manifest]:
        """Return what is there, newest first; a manifest that cannot be read is set aside."""
        found = []
        for path in sorted(self.directory.glob("*.json"), reverse=True):
            if not path.stem.isdigit():
                continue
            try:
                manifest = Manifest.read(path)
                if manifest.seq != int(path.stem):
                    raise SnapshotError(f"{path.name}: tells another seq")
                found.append(manifest)
            except SnapshotError as error:
                self.set_aside(int(path.stem), error)
        return found

    def set_aside(self, seq: int, error: SnapshotError) -> None:
        """Take a damaged snapshot out of use, but keep it."""
        get_logger().error("snapshot_damaged", seq=seq, **fault(error))
        for suffix in (".json", ".snapshot"):
            path = self.path(seq).with_suffix(suffix)
            with contextlib.suppress(FileNotFoundError):
                path.rename(path.with_name(f"damaged-{time.time_ns()}-{path.name}"))

    def publish(self, manifest: Manifest) -> None:
        """Write the manifest durably: from now on the snapshot is one."""
        path = self.path(manifest.seq).with_suffix(".json")
        temporary = path.with_name(f".{path.name}.writing")
        with temporary.open("w", encoding="utf-8") as file:
            values = asdict(manifest)
            json.dump(values | {"checksum": _checksum(values)}, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync(self.directory)

    def prune(self) -> int:
        """Remove all but the newest ones; return the seq of the oldest that stays (0 = none)."""
        manifests = self.newest_first()
        needed = self.needed()
        of_before = next((manifest.seq for manifest in manifests if manifest.seq <= needed), -1)
        for manifest in manifests[self._kept :]:
            if manifest.seq == of_before:
                continue
            # The manifest goes first: a snapshot without one is a leftover, a manifest without one would be damage.
            self.path(manifest.seq).with_suffix(".json").unlink()
            self.path(manifest.seq).unlink(missing_ok=True)
        kept = manifests[: self._kept]
        return kept[-1].seq if len(kept) >= self._kept else 0


class Snapshotter:
    """Takes snapshots of a running engine: every so many items, on demand, and at the end."""

    def __init__(
        self,
        snapshots: Snapshots,
        engine: Engine,
        metrics: Metrics,
        *,
        every_items: int,
        items: int,
        newest: Manifest | None,
        on_published: Callable[[int], None],
    ) -> None:
        """`items` is what was logged since `newest`; `on_published` gets the oldest seq that is still needed."""
        self._snapshots = snapshots
        self._engine = engine
        self._metrics = metrics
        self._every = every_items
        self._on_published = on_published
        self._task: asyncio.Task[None] | None = None
        self.items = items
        """Items logged since the newest snapshot was begun."""
        self.newest = newest
        self.wanted = False
        """Somebody asked for one: take it at the next boundary."""

    @property
    def running(self) -> bool:
        """Whether one is being written."""
        return self._task is not None and not self._task.done()

    @property
    def due(self) -> bool:
        """Whether one should begin now."""
        return (self.wanted or self.items >= self._every) and not self.running

    def begin(self, seq: int, log_hash: bytes) -> None:
        """Fork the writer. Call it only at a boundary: everything applied is durable up to row `seq`."""
        self.wanted = False
        if self.running or (self.newest is not None and self.newest.seq == seq):
            return
        loop = asyncio.get_running_loop()
        started = time.perf_counter()
        try:
            path = self._snapshots.path(seq)
            job = self._engine.snapshot_fork(path)
        except OSError as error:
            self._failed(seq, error)
            return
        stall = time.perf_counter() - started
        self._metrics.snapshot_stall_seconds.observe(stall)
        digest, timestamp = self._engine.digest(), self._engine.last_timestamp
        self.items = 0

        async def write() -> None:
            try:
                while not job.poll():  # noqa: ASYNC110 - a process of the kernel sets no event
                    await asyncio.sleep(POLL_SECONDS)
                manifest = await asyncio.to_thread(self._verify, job.finish, seq, log_hash, digest, timestamp)
                oldest = await asyncio.to_thread(self._snapshots.prune)
            except (SnapshotError, OSError) as error:
                self._failed(seq, error)
                return
            self.newest = manifest
            self._metrics.snapshots["taken"] += 1
            get_logger().info(
                "snapshot_taken",
                seq=seq,
                bytes=manifest.bytes,
                seconds=round(time.perf_counter() - started, 3),
                ms=round(1e3 * stall, 3),
                state_hash=manifest.state_hash,
            )
            self._on_published(oldest)

        self._task = loop.create_task(write())

    def _verify(
        self, finish: Callable[[], bytes], seq: int, log_hash: bytes, digest: bytes, last_timestamp: int
    ) -> Manifest:
        state_hash = finish()
        path = self._snapshots.path(seq)
        with Source(path) as source:
            if source.digest != digest or source.last_timestamp != last_timestamp:
                raise SnapshotError(f"{path.name}: is not of the state that was to be written")
        manifest = Manifest(
            seq,
            log_hash.hex(),
            state_hash.hex(),
            digest.hex(),
            last_timestamp,
            log_record.FORMAT,
            path.stat().st_size,
            datetime.now(UTC).isoformat(timespec="seconds"),
        )
        self._snapshots.publish(manifest)
        return manifest

    def _failed(self, seq: int, error: Exception) -> None:
        self._metrics.snapshots["failed"] += 1
        get_logger().error("snapshot_failed", seq=seq, **fault(error))

    async def wait(self) -> None:
        """Wait for the one that is being written."""
        if self._task is not None:
            await self._task


def _checksum(values: dict[str, object]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
