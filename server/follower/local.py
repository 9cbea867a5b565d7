"""A leader on this machine: where its log is, and its newest snapshot to begin with."""

import contextlib
import os
import shutil
from pathlib import Path
from urllib.parse import quote

from engine.errors import SnapshotError
from server.journal import PostgresUnavailable
from server.journal.cluster import PORT, sync_directory
from server.journal.postgres import DATABASE, USER
from server.logs import get as get_logger
from server.snapshots import Manifest, Snapshots


def dsn_of(leader_dir: Path) -> str:
    """Return the connection string of a server's private PostgreSQL. Raises PostgresUnavailable."""
    try:
        directory = (leader_dir / "postgres" / "socket_directory").read_text("utf-8").strip()
    except OSError:
        raise PostgresUnavailable(f"leader_dir: no private PostgreSQL runs in {leader_dir}") from None
    return f"postgresql:///{DATABASE}?host={quote(directory)}&port={PORT}&user={USER}"


def seed_snapshot(directory: Path, snapshots: Snapshots) -> None:
    """Copy the newest snapshot of the leader, if it is newer than all of ours; one that goes away meanwhile is left.

    What is copied is held against its manifest when it is restored, as every snapshot is.
    """
    ours = snapshots.newest_first()
    newest = ours[0].seq if ours else 0
    for path in sorted(directory.glob("*.json"), reverse=True):
        if not path.stem.isdigit() or int(path.stem) <= newest:
            continue
        try:
            manifest = Manifest.read(path)
            target = snapshots.path(manifest.seq)
            temporary = target.with_name(f".{target.name}.writing")
            with path.with_suffix(".snapshot").open("rb") as source, temporary.open("wb") as copy:
                shutil.copyfileobj(source, copy, 1 << 20)
                copy.flush()
                os.fsync(copy.fileno())
            temporary.replace(target)
            sync_directory(snapshots.directory)
            snapshots.publish(manifest)
        except (OSError, SnapshotError) as error:
            with contextlib.suppress(OSError):
                snapshots.prepare()  # removes what is half there
            get_logger().warning("snapshot_not_copied", seq=int(path.stem), error=type(error).__name__)
            continue
        get_logger().info("snapshot_copied", seq=manifest.seq, bytes=manifest.bytes)
        return
