"""The work of `tongbao accept-loss`; apart from the command, since it needs the journal's modules."""

import fcntl
import getpass
import json
import os
import socket
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import asyncpg

from server.cli.common import CommandError, Exit
from server.journal import Journal, JournalError, Kind
from server.mark import Mark, put_aside
from server.snapshots import Manifest, Snapshots

WAIT_SECONDS = 10.0


@dataclass(slots=True)
class Loss:
    """What a data directory knows and the log does not hold."""

    log_seq: int
    """The log's newest row."""
    common_seq: int
    """The newest row of before the loss: whatever was acknowledged behind it is gone."""
    known_seq: int
    """The newest row that this data directory knows to have been acknowledged or applied."""
    lost: bool
    snapshots: list[int]
    """Snapshots of rows that are gone."""
    accepted: bool


async def look(database_url: str, data_dir: Path, after: int | None) -> Loss:
    """Compare what the data directory knows with the log; put aside what stands for lost rows if `after` is right."""
    lock = _lock(data_dir)
    try:
        journal = await Journal.open(database_url, wait=WAIT_SECONDS, read_only=True)
    except (JournalError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError, ValueError) as error:
        os.close(lock)
        raise CommandError(f"--database-url: {error}", Exit.UNREACHABLE) from None
    try:
        return await _compare(journal, database_url, data_dir, after)
    finally:
        await journal.close()
        os.close(lock)


def _lock(data_dir: Path) -> int:
    """Keep servers out meanwhile, and find out whether one is in."""
    if not data_dir.is_dir():
        raise CommandError(f"--data-dir: {data_dir} is not a directory", Exit.USAGE)
    descriptor = os.open(data_dir / "tongbao.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise CommandError(f"--data-dir: {data_dir} is used by a process of tongbao", Exit.USAGE) from None
    return descriptor


async def _compare(journal: Journal, database_url: str, data_dir: Path, after: int | None) -> Loss:
    snapshots = Snapshots(data_dir / "snapshots", 2)
    manifests = snapshots.newest_first() if snapshots.directory.is_dir() else []
    mark = Mark.read(data_dir)
    if mark is not None and mark.log_id != journal.log_id.hex():
        raise CommandError(
            f"--database-url: holds log {journal.log_id.hex()}, the data directory is of log {mark.log_id}", Exit.USAGE
        )
    known = {manifest.seq: manifest.log_hash for manifest in manifests}
    if mark is not None:
        known[mark.seq] = mark.hash
    gone = {seq for seq, log_hash in known.items() if await _hash(journal, seq) != log_hash}
    newest = max(known, default=0)
    lost = [manifest for manifest in manifests if manifest.seq in gone]
    good = max((seq for seq in known if seq not in gone), default=0)
    common = await _common(journal, min(gone), good) if gone else journal.head.seq
    found = Loss(journal.head.seq, common, newest, bool(gone), [manifest.seq for manifest in lost], accepted=False)
    if not gone or after is None:
        return found
    if after != common:
        raise CommandError(
            f"--after: {after} is not the last row that is left of those before the loss; that is {common}",
            Exit.NOT_READY,
        )
    await _remark(database_url, found)
    _put_aside(snapshots, lost)
    put_aside(data_dir, f"lost-{time.time_ns()}")
    found.accepted = True
    return found


async def _hash(journal: Journal, seq: int) -> str:
    if seq > journal.head.seq:
        return ""
    async for row in journal.read(seq, last=seq):
        return row.hash.hex()
    return ""


async def _common(journal: Journal, first_gone: int, good: int) -> int:
    """Return the last row that the log and the lost history share.

    An earlier decision about this loss says so. Else, where nobody has led since, it is the log's newest row; and where
    somebody has, the row before the takeover with which that began.
    """
    link = await journal.connect()
    try:
        remarks = await link.connection.fetch("SELECT value FROM tongbao.metadata WHERE name LIKE 'loss_accepted_%'")
        decided = [json.loads(record["value"])["after"] for record in remarks]
        if before := [seq for seq in decided if good <= seq < first_gone]:
            return int(max(before))
        if journal.head.seq < first_gone:
            return journal.head.seq
        takeover = await link.connection.fetchval(
            "SELECT max(seq) FROM tongbao.log WHERE kind = $1 AND seq > $2 AND seq <= $3",
            Kind.TAKEOVER,
            good,
            first_gone,
        )
        return int(takeover or first_gone) - 1
    finally:
        await link.close()


async def _remark(database_url: str, found: Loss) -> None:
    """Write the decision beside the log, where it stays with it."""
    who = f"{getpass.getuser()}@{socket.gethostname()}"
    at = datetime.now(UTC).isoformat(timespec="seconds")
    journal = await Journal.open(database_url, wait=WAIT_SECONDS)
    link = None
    try:
        link = await journal.connect()
        await link.connection.execute(
            "INSERT INTO tongbao.metadata (name, value) VALUES ($1, $2)",
            f"loss_accepted_{time.time_ns()}",
            json.dumps({"at": at, "by": who, "after": found.common_seq, "known": found.known_seq}),
        )
    finally:
        if link is not None:
            await link.close()
        await journal.close()


def _put_aside(snapshots: Snapshots, lost: list[Manifest]) -> None:
    for manifest in lost:
        for suffix in (".json", ".snapshot"):
            path = snapshots.path(manifest.seq).with_suffix(suffix)
            if path.exists():
                path.rename(path.with_name(f"lost-{time.time_ns()}-{path.name}"))
