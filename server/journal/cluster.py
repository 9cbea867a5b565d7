"""The files of a private PostgreSQL cluster, and the processes that may still be using them.

    DIR/postgres/
      data/               PGDATA; exists only when initdb has finished (it works in data.partial and is renamed)
      run/                the socket's directory, 0700 (elsewhere when its path would be too long for a socket)
      socket_directory    one line: where the socket really is, for operators and scripts
      postgres.log        what the server writes
      lock                held by the one process that supervises this cluster
      wal_primed          exists once the files of the write-ahead log have been made

Everything here blocks for microseconds to a few milliseconds; nothing here knows an event loop.
"""

import contextlib
import fcntl
import os
import pwd
import shutil
import signal
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

from server.journal.errors import PostgresUnavailable

SOCKET_PATH_MAX = 107
"""Bytes of a unix socket's path (Linux: sun_path of 108 with its NUL)."""
PORT = 5432
"""Names the socket; nothing listens on TCP."""
SEGMENT_SIZE = 4 << 20
"""Bytes of one file of the write-ahead log. Making a file stalls commits: 35 ms at 16 MB, 9 ms at 4 MB."""
LOG_SIZE_MAX = 16 << 20
"""postgres.log is set aside as postgres.log.1 at a start that finds it larger."""

CONFIGURATION = """\
# Written by tongbao at every start. Put settings of your own into postgresql.local.conf in this directory;
# what stands after it cannot be changed there, since acknowledged commands would be lost.
max_connections = 50
shared_buffers = {shared_buffers_kb}kB
wal_level = replica
min_wal_size = {wal_size_mb}MB
max_wal_size = {wal_size_mb}MB
checkpoint_timeout = 15min
checkpoint_completion_target = 0.9
jit = off
max_parallel_workers_per_gather = 0
log_min_messages = warning
log_line_prefix = '%m [%p] '
timezone = 'UTC'
include_if_exists = 'postgresql.local.conf'

fsync = on
synchronous_commit = on
full_page_writes = on
listen_addresses = ''
unix_socket_directories = '{socket_directory}'
unix_socket_permissions = 0700
port = {port}
"""


@dataclass(frozen=True, slots=True)
class Identity:
    """As whom PostgreSQL runs: `plain` (as we do), `userns` or `setuid` (we are root; see launcher.py)."""

    mode: str
    uid: int
    gid: int

    @property
    def owner(self) -> tuple[int, int]:
        """Uid and gid, as this process sees them, that must own the cluster's files."""
        return (self.uid, self.gid) if self.mode == "setuid" else (os.geteuid(), os.getegid())


def unprivileged_user() -> tuple[int, int]:
    """Return uid and gid of a user that is not root: postgres, else daemon, nobody, or the first there is.

    initdb wants a name for its uid, hence one from the user database.
    """
    names = ("postgres", "daemon", "nobody")
    users = {user.pw_name: user for user in pwd.getpwall() if user.pw_uid != 0}
    for user in [users[name] for name in names if name in users] + list(users.values()):
        return user.pw_uid, user.pw_gid
    raise PostgresUnavailable("PostgreSQL does not run as root, and the user database has no other user")


class Files:
    """The paths of one cluster."""

    def __init__(self, base: Path) -> None:
        # PostgreSQL changes its working directory: only absolute paths mean the same to both of us.
        self.base = base.resolve()
        self.data = self.base / "data"
        self.log = self.base / "postgres.log"
        self.primed = self.base / "wal_primed"

    def prepare(self, identity: Identity) -> None:
        """Make the directory, give it to the user PostgreSQL will be, and set a long log aside."""
        self.base.mkdir(mode=0o700, parents=True, exist_ok=True)
        for partial in self.base.glob("data.partial*"):
            shutil.rmtree(partial)
        if self.log.exists() and self.log.stat().st_size > LOG_SIZE_MAX:
            self.log.replace(self.log.with_suffix(".log.1"))
        give_to(self.base, *identity.owner)

    def lock(self) -> int:
        """Take the cluster's lock and return its descriptor; raises PostgresUnavailable if another process has it."""
        self.base.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(self.base / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise PostgresUnavailable(f"{self.base} is in use by another tongbao process") from None
        return descriptor

    def major(self) -> int | None:
        """Return the version that made the cluster; None if there is none yet."""
        try:
            return int((self.data / "PG_VERSION").read_text())
        except FileNotFoundError:
            return None

    def socket_directory(self, identity: Identity) -> Path:
        """Return a directory only we may enter, with a path short enough for a socket; make and record it."""
        record = self.base / "socket_directory"
        directory = self.base / "run"
        if len(os.fsencode(directory / f".s.PGSQL.{PORT}")) > SOCKET_PATH_MAX:
            recorded = Path(record.read_text().strip()) if record.exists() else None
            # Anybody may have made that name below /tmp meanwhile: use it only if it is ours alone.
            if recorded and _is_private(recorded, identity.owner[0]):
                return recorded
            directory = Path(tempfile.mkdtemp(prefix="tongbao-"))
        directory.mkdir(mode=0o700, exist_ok=True)
        os.chown(directory, *identity.owner)
        record.write_text(f"{directory}\n")
        return directory

    def configure(self, socket_directory: Path, wal_size: int, shared_buffers: int) -> None:
        """Write postgresql.conf."""
        text = CONFIGURATION.format(
            shared_buffers_kb=shared_buffers >> 10,
            wal_size_mb=wal_size >> 20,
            socket_directory=str(socket_directory).replace("'", "''"),
            port=PORT,
        )
        path = self.data / "postgresql.conf"
        path.write_text(text)
        path.chmod(0o600)

    def status(self) -> str:
        """Return the last line of postmaster.pid (starting, ready, stopping, standby); empty if there is none."""
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return ""
        return lines[7].strip() if len(lines) > 7 else ""

    def log_tail(self, start: int) -> str:
        """Return what the server has written since offset `start`, at most its last 20 lines."""
        try:
            with self.log.open("rb") as file:
                file.seek(start)
                lines = file.read().decode("utf-8", "replace").splitlines()
        except FileNotFoundError:
            return ""
        return "\n".join(lines[-20:])

    def processes(self) -> list[int]:
        """Return the PostgreSQL processes that have this cluster open.

        PostgreSQL's processes change into the data directory. The pid file alone would not do: its number may
        belong to somebody else by now, and backends may outlive their postmaster for a moment.
        """
        data = str(self.data)
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                ours = str((entry / "cwd").readlink()) == data
                if ours and (entry / "exe").readlink().name.startswith("postgres"):
                    found.append(int(entry.name))
            except OSError:
                continue  # ended meanwhile, or not ours to look at
        return found

    def end_leftovers(self, patience: float) -> bool:
        """Ask what is left of an earlier run to end; call it again until it returns True: nothing is left.

        A leftover postmaster (its supervisor was killed, and the kernel's signal has not worked yet or not reached
        it) is shut down fast, when `patience` (seconds) is used up at once, 5 s later by force. Orphaned backends
        notice by themselves that their postmaster is gone.
        """
        left = self.processes()
        if not left:
            # Its number may be another process's by now, for which PostgreSQL would refuse to start.
            (self.data / "postmaster.pid").unlink(missing_ok=True)
            return True
        if patience < -5:
            targets, signal_number = left, signal.SIGKILL
        else:
            targets = [pid for pid in left if pid == self.postmaster()]
            signal_number = signal.SIGINT if patience > 0 else signal.SIGQUIT
        for pid in targets:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal_number)
        return False

    def postmaster(self) -> int:
        """Return the process number in postmaster.pid; 0 if there is none."""
        try:
            return int((self.data / "postmaster.pid").read_text().splitlines()[0])
        except (FileNotFoundError, IndexError, ValueError):
            return 0


def _is_private(directory: Path, uid: int) -> bool:
    try:
        found = directory.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == uid and stat.S_IMODE(found.st_mode) == 0o700


def give_to(directory: Path, uid: int, gid: int) -> None:
    """Chown a tree, if we are root and its top has another owner."""
    if os.geteuid() != 0 or directory.stat().st_uid == uid:
        return
    for parent, _, names in os.walk(directory):
        for name in [".", *names]:
            os.chown(os.path.join(parent, name), uid, gid, follow_symlinks=False)  # noqa: PTH118 - a hot walk


def sync_directory(directory: Path) -> None:
    """Make a rename in `directory` durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def free_bytes(directory: Path) -> int:
    """Return what an ordinary user may still write to the disk of `directory` (a microsecond)."""
    found = os.statvfs(directory)
    return found.f_bavail * found.f_frsize
