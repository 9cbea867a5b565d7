"""The work of `tongbao verify`; apart from the command, since it needs the whole server's modules."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from engine import Engine
from engine.errors import SnapshotError
from engine.limits import Limits
from server.backup.checking import content_hash
from server.cli.common import CommandError, progress
from server.cli.origin import open_log, origin
from server.journal import Head, LogDamaged, LogLost, Row
from server.recovery import ReadableLog, Recovered, catch_up
from server.settings import Settings
from server.snapshots import Manifest


@dataclass(slots=True)
class Report:
    """What was looked at, and what was found."""

    source: str = ""
    start: str = "the first row"
    rows: int = 0
    """Rows of the log that were read: each in its place, with the right checksum, chained to the one before."""
    batches: int = 0
    items: int = 0
    takeovers: int = 0
    digests: int = 0
    """Digests of the engine's state in the rows that were compared."""
    snapshots: list[int] = field(default_factory=list)
    """Snapshots whose file and whose state were compared with the replayed state."""
    seq: int = 0
    log_hash: str = ""
    state_hash: str = ""
    accounts: int = 0
    transfers: int = 0
    pending: int = 0
    seconds: float = 0.0
    ok: bool = False
    error: str = ""


class WholeLog(ReadableLog, Protocol):
    """What verifying needs of the journal."""

    @property
    def log_id(self) -> bytes:
        """16 bytes that name this log."""

    async def first(self) -> int:
        """Return the number of the oldest row that is left."""


class _Part:
    """The journal up to one row, as recovery reads it; counts what it reads."""

    def __init__(self, journal: WholeLog, head: Head, report: Report, advance: Callable[[int], None]) -> None:
        self.head = head
        self._journal = journal
        self._report = report
        self._advance = advance

    async def read(
        self, first: int, *, last: int | None = None, previous_hash: bytes | None = None, epoch: int | None = None
    ) -> AsyncIterator[Row]:
        """Yield verified rows."""
        until = self.head.seq if last is None else last
        epoch_before = epoch
        async for row in self._journal.read(first, last=until, previous_hash=previous_hash, epoch=epoch):
            self._report.rows += 1
            self._report.takeovers += epoch_before is not None and row.epoch != epoch_before
            epoch_before = row.epoch
            if self._report.rows % 256 == 0:
                self._advance(row.seq)
            yield row
        self._advance(until)


async def replay_log(report: Report, data_dir: Path, database_url: str, *, from_snapshot: bool, quiet: bool) -> None:
    """Replay the whole log and fill in the report. Raises what is wrong, with the report filled so far."""
    async with origin(data_dir, database_url) as (dsn, report.source):
        journal = await open_log(dsn)
        limits = Settings.from_environment({"dev": True, "data_dir": data_dir}).limits()
        try:
            await replay_from(report, journal, data_dir, limits, from_snapshot=from_snapshot, quiet=quiet)
        finally:
            await journal.close()


async def replay_from(
    report: Report, journal: WholeLog, data_dir: Path, limits: Limits, *, from_snapshot: bool, quiet: bool
) -> None:
    """Replay an open log; see replay_log."""
    head = journal.head
    snapshots = _snapshots(data_dir)
    for seq, _ in snapshots:
        if seq > head.seq:
            raise LogLost(f"the log ends at row {head.seq}, and there is a snapshot of row {seq}")
    first = await journal.first()
    hash_key = os.urandom(32)
    start: tuple[int, Path] | None = None
    if from_snapshot or first > 0:
        usable = [item for item in snapshots if item[0] >= first]
        if not usable:
            what = f"the log begins at row {first}" if first else "--from-snapshot"
            raise CommandError(f"{what}, and there is no snapshot to begin with")
        start = usable[-1] if from_snapshot else usable[0]
    if start is None:
        row = await _row(journal, 0)
        if row.payload != journal.log_id:
            raise LogDamaged(0, "it is not the first row of the log that the table of metadata names")
        recovered = Recovered(Engine(limits, hash_key=hash_key), 0, row.epoch, row.hash, None)
        report.rows = 1
    else:
        seq, path = start
        row = await _row(journal, seq)
        manifest = _manifest(path)
        if manifest.log_hash != row.hash.hex():
            raise SnapshotError(f"snapshot {seq}: belongs to another log")
        engine = await asyncio.to_thread(Engine.restore, path, limits, hash_key=hash_key)
        report.start = f"the snapshot after row {seq}"
        recovered = Recovered(engine, seq, row.epoch, row.hash, None)
        await _compare(report, recovered, path)
    with progress(quiet=quiet) as bar:
        task = bar.add_task("verify", total=head.seq, completed=recovered.seq, skipped=recovered.seq)
        for seq, path in ((seq, path) for seq, path in snapshots if seq > recovered.seq):
            part = _Part(journal, await _head(journal, seq), report, lambda at: bar.update(task, completed=at))
            await catch_up(part, recovered)
            await _compare(report, recovered, path)
        await catch_up(_Part(journal, head, report, lambda at: bar.update(task, completed=at)), recovered)
    report.batches, report.items, report.digests = recovered.rows, recovered.items, recovered.digests
    if recovered.log_hash != head.hash:
        raise LogDamaged(head.seq, "its hash is not the one that the head of the log had")
    engine = recovered.engine
    await asyncio.to_thread(engine.check_invariants)
    report.seq, report.log_hash = recovered.seq, recovered.log_hash.hex()
    report.state_hash = (await asyncio.to_thread(engine.state_hash)).hex()
    report.accounts, report.transfers, report.pending = engine.accounts, engine.transfers, engine.pending


async def _row(journal: WholeLog, seq: int) -> Row:
    async for row in journal.read(seq, last=seq):
        return row
    raise LogDamaged(seq, "missing")


async def _head(journal: WholeLog, seq: int) -> Head:
    row = await _row(journal, seq)
    return Head(row.seq, row.hash, row.epoch, row.time)


def _snapshots(data_dir: Path) -> list[tuple[int, Path]]:
    """Give the published snapshots, oldest first."""
    manifests = sorted((data_dir / "snapshots").glob("*.json"))
    return [(int(path.stem), path.with_suffix(".snapshot")) for path in manifests if path.stem.isdigit()]


def _manifest(path: Path) -> Manifest:
    """Read the manifest of a snapshot. Raises SnapshotError; FileNotFoundError when both have been pruned."""
    try:
        manifest = Manifest.read(path.with_suffix(".json"))
    except SnapshotError:
        if not path.exists():
            raise FileNotFoundError(path) from None
        raise
    if manifest.seq != int(path.stem):
        raise SnapshotError(f"{path.name}: its manifest is that of snapshot {manifest.seq}")
    return manifest


async def _compare(report: Report, recovered: Any, path: Path) -> None:
    """Hold a snapshot's file and manifest against the state that the replay has reached."""
    try:
        in_file = await asyncio.to_thread(content_hash, path)
        manifest = _manifest(path)
    except FileNotFoundError:
        return  # pruned by the server meanwhile
    state = (await asyncio.to_thread(recovered.engine.state_hash)).hex()
    for what, value in (("file", in_file), ("manifest", manifest.state_hash)):
        if value != state:
            raise SnapshotError(f"{path.name}: the state in its {what} is not the state that the log gives")
    engine = recovered.engine
    if (manifest.digest, manifest.log_hash, manifest.last_timestamp) != (
        engine.digest().hex(), recovered.log_hash.hex(), engine.last_timestamp,
    ):  # fmt: skip
        raise SnapshotError(f"{path.name}: its manifest does not belong to this row of the log")
    report.snapshots.append(recovered.seq)
