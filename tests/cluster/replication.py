"""PostgreSQL's plain streaming replication on one machine: a primary, and standbys that are copies of it."""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Self

from examples.local_server import free_port
from tests.server.conftest import SECOND

CONFIGURATION = """
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = '{directory}'
fsync = on
synchronous_commit = on
shared_buffers = 32MB
max_connections = 60
wal_level = replica
hot_standby = on
max_wal_senders = 8
wal_receiver_status_interval = 1s
cluster_name = '{name}'
"""
START_SECONDS = 60.0


class Postgres:
    """One cluster on a port of its own."""

    def __init__(self, world: "Replication", name: str) -> None:
        self.name = name
        self.port = free_port()
        self.directory = world.directory / name
        self.data = self.directory / "data"
        self._world = world
        self._process: subprocess.Popen[bytes] | None = None
        self.directory.mkdir()
        world.give(self.directory)

    @property
    def place(self) -> str:
        """host:port."""
        return f"127.0.0.1:{self.port}"

    @property
    def dsn(self) -> str:
        return f"postgresql://postgres@{self.place}/tongbao"

    def make(self) -> None:
        """A new and empty one."""
        self._world.run(
            "initdb", "-D", str(self.data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "-N"
        )
        with (self.data / "pg_hba.conf").open("a") as file:
            file.write("host replication all 127.0.0.1/32 trust\n")

    def copy(self, primary: "Postgres") -> None:
        """A standby of one that runs."""
        self._world.run(
            "pg_basebackup", "-D", str(self.data), "-h", "127.0.0.1", "-p", str(primary.port), "-U", "postgres",
            "-X", "stream", "-R", "-c", "fast", "--no-sync", "-d", f"application_name={self.name}",
        )  # fmt: skip

    def start(self) -> None:
        text = CONFIGURATION.format(port=self.port, directory=self.directory, name=self.name)
        (self.data / "postgresql.conf").write_text(text)
        with (self.directory / "postgres.log").open("ab") as log:
            self._process = subprocess.Popen(
                self._world.command("postgres", "-D", str(self.data)), stdout=log, stderr=log, start_new_session=True
            )
        end = time.monotonic() + START_SECONDS
        while self.sql("SELECT 1", database="postgres", check=False) != "1":
            assert time.monotonic() < end, (self.directory / "postgres.log").read_text()
            time.sleep(0.1)

    def sql(self, text: str, *, database: str = "postgres", check: bool = True) -> str:
        command = [str(SECOND / "psql"), "-X", "-At", "-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres"]
        done = subprocess.run(
            [*command, "-d", database, "-v", "ON_ERROR_STOP=1", "-c", text],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert not check or done.returncode == 0, done.stderr
        return done.stdout.strip()

    def wait_for(self, text: str, answer: str, *, database: str = "postgres", seconds: float = 60.0) -> None:
        end = time.monotonic() + seconds
        while self.sql(text, database=database, check=False) != answer:
            assert time.monotonic() < end, f"{text}: not {answer}"
            time.sleep(0.05)

    def promote(self) -> None:
        """Make it a primary, as an operator does."""
        assert self.sql("SELECT pg_promote(true, 60)") == "t"

    def kill(self) -> None:
        """End it as if its machine had lost its power."""
        for pid in (*self._children(), self.pid):
            if pid:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        if self._process is not None:
            self._process.wait()

    @property
    def pid(self) -> int:
        with contextlib.suppress(OSError, ValueError, IndexError):
            pid = int((self.data / "postmaster.pid").read_text().split()[0])
            if str(self.data).encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                return pid
        return 0

    def _children(self) -> list[int]:
        found = []
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError, ValueError):
                if entry.name.isdigit():
                    text = (entry / "stat").read_text()
                    if self.pid and int(text[text.rindex(")") + 2 :].split()[1]) == self.pid:
                        found.append(int(entry.name))
        return found

    def configure(self, *lines: str) -> None:
        """Add settings, and have them read."""
        with (self.data / "postgresql.auto.conf").open("a") as file:
            file.write("".join(f"{line}\n" for line in lines))
        self.sql("SELECT pg_reload_conf()")

    def follow(self, primary: "Postgres") -> None:
        """Receive from another primary from now on."""
        where = f"host=127.0.0.1 port={primary.port} user=postgres application_name={self.name}"
        self.configure(f"primary_conninfo = '{where}'", "wal_retrieve_retry_interval = 200ms")

    def hold_back(self, standby: "Postgres") -> None:
        """From now on the standby gets nothing more: what sends to it stands still."""
        pid = self.sql(f"SELECT pid FROM pg_stat_replication WHERE application_name = '{standby.name}'")
        os.kill(int(pid), signal.SIGSTOP)


class Replication:
    """A directory of clusters, gone at the end."""

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="tongbao-replication-"))
        self.directory.chmod(0o755)
        self.all: list[Postgres] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for one in self.all:
            one.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def give(self, directory: Path) -> None:
        if os.geteuid() == 0:
            user = pwd.getpwnam("postgres")
            os.chown(directory, user.pw_uid, user.pw_gid)

    def command(self, program: str, *arguments: str) -> list[str]:
        """PostgreSQL refuses to run as root."""
        who = ["setpriv", "--reuid", "postgres", "--regid", "postgres", "--clear-groups", "--"]
        return [*(who if os.geteuid() == 0 else []), str(SECOND / program), *arguments]

    def run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            self.command(program, *arguments), capture_output=True, text=True, timeout=120, check=False, cwd="/"
        )
        assert done.returncode == 0, done.stderr

    def primary(self, name: str) -> Postgres:
        one = Postgres(self, name)
        self.all.append(one)
        one.make()
        one.start()
        one.sql("CREATE DATABASE tongbao")
        return one

    def standby(self, name: str, primary: Postgres) -> Postgres:
        one = Postgres(self, name)
        self.all.append(one)
        one.copy(primary)
        one.start()
        primary.wait_for(f"SELECT state FROM pg_stat_replication WHERE application_name = '{name}'", "streaming")
        return one

    def dsn(self, *places: Postgres) -> str:
        hosts = ",".join(place.place for place in places)
        return f"postgresql://postgres@{hosts}/tongbao?target_session_attrs=read-write"
