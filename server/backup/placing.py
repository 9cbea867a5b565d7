"""Where a restored log goes: a new data directory with a private PostgreSQL, or an empty database.

Everything is made in DIR/.restoring, beside the places that a server looks at, and is moved there when it is proven and
on disk. A restore that was interrupted leaves nothing that a server would take for a log; the next one removes it.
"""

import asyncio
import contextlib
import fcntl
import os
import shutil
import stat
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import asyncpg

from engine.limits import Limits
from server.backup.manifest import BackupError
from server.backup.restoring import Restore, Restored, refuse_a_log
from server.backup.writing import copy_file
from server.journal import PostgresUnavailable, PrivatePostgres, UnsafeDatabase
from server.journal.cluster import sync_directory
from server.journal.link import connect
from server.process import InUseError

LOCK = "tongbao.lock"
WORKSHOP = ".restoring"


@contextlib.contextmanager
def _new_place(data_dir: Path) -> Iterator[Path]:
    """Keep servers out of an empty data directory, and give one below it to work in. Raises BackupError."""
    made = not data_dir.exists()
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    there = {path.name for path in data_dir.iterdir()} - {WORKSHOP, LOCK, "lost+found"}
    if there:
        raise BackupError(f"{data_dir} is not empty (it holds {min(there)}); restore into a new directory")
    lock = os.open(data_dir / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InUseError(f"data_dir: {data_dir} is used by another process of tongbao") from None
        workshop = data_dir / WORKSHOP
        if workshop.exists():
            shutil.rmtree(workshop)
        workshop.mkdir()
        # PostgreSQL may run as another user, who can enter the one as well as the other.
        workshop.chmod(stat.S_IMODE(data_dir.stat().st_mode))
        try:
            yield workshop
        except BaseException:
            shutil.rmtree(workshop, ignore_errors=True)
            (data_dir / LOCK).unlink(missing_ok=True)
            if made:
                with contextlib.suppress(OSError):
                    data_dir.rmdir()
            raise
        shutil.rmtree(workshop, ignore_errors=True)
    finally:
        os.close(lock)


async def restore_backup(
    directory: Path,
    data_dir: Path,
    database_url: str,
    restored: Restored,
    limits: Limits,
    *,
    to_seq: int | None = None,
    to_time: int | None = None,
    wal_bytes: int = 1 << 30,
    advance: Callable[[int, int], None] = lambda _, __: None,
) -> None:
    """Restore a backup into `data_dir`, or its log into the database at `database_url` and its snapshot there.

    `to_seq`, `to_time` (nanoseconds): to that row, or to the newest whose time is not after it, instead of to the end.
    Raises BackupError, BackupDamaged, LogDamaged, ReplayError, CapacityError, InvariantError, or what the database
    says; then nothing was restored.
    """
    restore = Restore(directory, restored, limits)
    with _new_place(data_dir) as workshop:
        await restore.prepare(to_seq, to_time)
        if database_url:
            await _into_database(restore, database_url, workshop, data_dir, advance)
        else:
            await _into_cluster(restore, workshop, data_dir, wal_bytes, advance)


async def _into_cluster(
    restore: Restore, workshop: Path, data_dir: Path, wal_bytes: int, advance: Callable[[int, int], None]
) -> None:
    postgres = PrivatePostgres(workshop, prime=False, wal_size=wal_bytes)
    dsn = await postgres.start(supervise=False)
    try:
        async with _session(dsn) as connection, connection.transaction():
            await restore.load(connection, advance)
    finally:
        await postgres.stop()
    await asyncio.to_thread(_place_snapshot, restore, workshop, data_dir)
    (workshop / "postgres").rename(data_dir / "postgres")
    sync_directory(data_dir)


async def _into_database(
    restore: Restore, dsn: str, workshop: Path, data_dir: Path, advance: Callable[[int, int], None]
) -> None:
    try:
        async with _session(dsn) as connection, connection.transaction():
            await restore.load(connection, advance)
            # Before the commit: a snapshot without its log stops a server, a log that begins in its middle needs one.
            await asyncio.to_thread(_place_snapshot, restore, workshop, data_dir)
    except BaseException:
        # The outcome of the commit itself may be unknown; then, too, the caller hears of it and begins anew.
        shutil.rmtree(data_dir / "snapshots", ignore_errors=True)
        raise


@contextlib.asynccontextmanager
async def _session(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    """Give a session with an empty database whose settings keep what it confirms."""
    try:
        link = await connect(dsn, allow_unsafe=False)
    except (OSError, TimeoutError, asyncpg.PostgresConnectionError) as error:
        raise PostgresUnavailable(f"the database is not there: {error}") from None
    except (asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as error:
        raise UnsafeDatabase(f"the database cannot be used: {error}") from None
    try:
        await refuse_a_log(link.connection)
        yield link.connection
    finally:
        await link.close()


def _place_snapshot(restore: Restore, workshop: Path, data_dir: Path) -> None:
    kept = restore.kept
    if kept is None:
        return
    snapshots = workshop / "snapshots"
    snapshots.mkdir(mode=0o700)
    for name in (kept.file, kept.manifest_file):  # the manifest last
        copy_file(restore.directory / name, workshop / name)
    sync_directory(snapshots)
    snapshots.rename(data_dir / "snapshots")
    sync_directory(data_dir)
