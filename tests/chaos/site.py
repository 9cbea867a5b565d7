"""A site: two servers and a follower over one PostgreSQL, with a proxy at every connection, on a disk of its own.

    clients ── front proxy ── server ── back proxy ── PostgreSQL        one of each for every server
                              follower ── back proxy ──┘

The servers' data directories and PostgreSQL lie on one small file system in memory where this may be mounted (as root
on Linux); so a disk can be full without harm to anybody else.
"""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import asyncpg

from tests.chaos.proxy import Proxies
from tests.crash.channel import Channel, ChannelError
from tests.crash.processes import Cluster, ServerProcess, StuckError, external_cluster

NAMES = ("one", "two")
FOLLOWER = "follower"
DISK_BYTES = 1 << 30
LEADER_SECONDS = 60.0
"""A site that has no leader for so long is stuck."""
LOOK_SECONDS = 0.02
PING_SECONDS = 0.5
IN_ORDER = """
SELECT count(*) FROM tongbao.leader, tongbao.standby
WHERE NOT released AND renewed > clock_timestamp() - interval '0.7 s' AND seen > clock_timestamp() - interval '1.5 s'
AND EXISTS (SELECT FROM pg_stat_activity WHERE pg_stat_activity.pid = leader.pid AND backend_start = session_start)
"""
"""Whether there is a leader whose lease holds, and a standby that is not it."""
LEADERS_OWN = ("postgres_wal_bytes", "digest_every")
"""Settings that a follower does not know."""


class Proxied(Cluster):
    """The cluster as one server sees it: through its back proxy."""

    def __init__(self, base: Path, port: int) -> None:
        super().__init__(base)
        self._port = port

    @property
    def dsn(self) -> str:
        return f"postgresql://tongbao@127.0.0.1:{self._port}/tongbao?sslmode=disable"


class Site:
    """The processes. Everything here blocks."""

    def __init__(self, disk: Path, settings: Mapping[str, object], cluster: Cluster, proxies: Proxies) -> None:
        self.disk = disk
        self.cluster = cluster
        self.proxies = proxies
        for name in (*NAMES, FOLLOWER):
            proxies.tell(f"{name}-back", target=str(cluster.base / "socket_directory"))
        self.servers = {name: self._server(name, settings) for name in NAMES}
        follows = {name: value for name, value in settings.items() if name not in LEADERS_OWN}
        self.follower = ServerProcess(
            disk,
            follows | {"replica": "on", "profile": "small"},
            command=[sys.executable, "-m", "server.cli", "follow"],
            cluster=Proxied(cluster.base, proxies.ports[f"{FOLLOWER}-back"]),
            name=FOLLOWER,
        )
        self.leads = ""
        """Name of the server that led when somebody last looked."""
        self.on_leader = lambda: None
        """Called when another server leads."""
        self._looking = threading.Lock()

    def _server(self, name: str, settings: Mapping[str, object]) -> ServerProcess:
        cluster = Proxied(self.cluster.base, self.proxies.ports[f"{name}-back"])
        return ServerProcess(self.disk, {**settings, "standby": "on", "name": name}, cluster=cluster, name=name)

    @property
    def leader(self) -> ServerProcess:
        return self.servers[self.leads]

    @property
    def other(self) -> str:
        """Name of the server that does not lead."""
        return next(name for name in NAMES if name != self.leads)

    def front(self, name: str) -> int:
        """Port on which clients reach a server."""
        return self.proxies.ports[f"{name}-front"]

    def look(self) -> bool:
        """Find out who leads now; whoever answers ping does. Returns whether anybody does."""
        with self._looking:
            for name, server in sorted(self.servers.items(), key=lambda item: item[0] != self.leads):
                if server.code is None and (port := self._answers(server)):
                    if (self.leads, server.port) != (name, port):
                        self.leads, server.port = name, port
                        self.proxies.tell(f"{name}-front", target=str(port), refuse=False)
                        for each in NAMES:
                            if each != name:
                                # Who waits for an answer of a leader that is stopped goes to the next.
                                self.proxies.tell(f"{each}-front", refuse=True, cut=True)
                        self.on_leader()
                    return True
        return False

    @staticmethod
    def _answers(server: ServerProcess) -> int:
        with contextlib.suppress(OSError, ValueError, KeyError, ChannelError):
            where = json.loads((server.data_dir / "server.json").read_text())
            if where["pid"] == server.pid:
                with Channel(int(where["port"]), seconds=PING_SECONDS) as channel:
                    channel._call("ping", None)  # once: a server that is busy leads, and is asked again
                return int(where["port"])
        return 0

    def await_leader(self, mend: Callable[[], None] = lambda: None, seconds: float = LEADER_SECONDS) -> None:
        """Return when a server answers; `mend` is called meanwhile. Raises StuckError."""
        deadline = time.monotonic() + seconds
        while not self.look():
            mend()
            if time.monotonic() > deadline:
                said = "\n".join(f"{name}:\n{server.log_tail(8)}" for name, server in self.servers.items())
                raise StuckError(f"no server has answered for {seconds:.0f} s\n{said}")
            time.sleep(LOOK_SECONDS)

    def await_standby(self, mend: Callable[[], None] = lambda: None, seconds: float = LEADER_SECONDS) -> None:
        """Return when one server leads and keeps its lease, and the other stands by; `mend` is called meanwhile.

        Raises StuckError.
        """
        deadline = time.monotonic() + seconds
        while not self.ask(IN_ORDER):
            mend()
            self.look()
            server = self.servers[self.other]
            if time.monotonic() > deadline:
                raise StuckError(f"{server.data_dir.name}: no standby (code {server.code})\n{server.log_tail(8)}")
            time.sleep(0.1)

    def await_follower(self, seq: int, seconds: float = LEADER_SECONDS) -> Channel:
        """Return a connection to the follower when it is there and has applied row `seq`. Raises StuckError."""
        self.follower.wait_ready()
        deadline = time.monotonic() + seconds
        channel = Channel(self.follower.port, seconds=10.0)
        while channel.call("ping").seq < seq:
            if time.monotonic() > deadline or self.follower.code is not None:
                raise StuckError(f"the follower has not come to row {seq}\n{self.follower.log_tail(8)}")
            time.sleep(0.02)
        return channel

    def ask(self, query: str) -> Any:
        """Ask PostgreSQL directly; None when it is away."""

        async def fetch() -> Any:
            connection = await asyncpg.connect(self.cluster.dsn, timeout=5)
            try:
                return await connection.fetchval(query)
            finally:
                await connection.close()

        try:
            return asyncio.run(fetch())
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            return None

    def configure(self, **settings: str | None) -> None:
        """Change settings of PostgreSQL; None takes a change back."""

        async def change() -> None:
            connection = await asyncpg.connect(self.cluster.dsn, timeout=5)
            try:
                for name, value in settings.items():
                    await connection.execute(
                        f"ALTER SYSTEM RESET {name}" if value is None else f"ALTER SYSTEM SET {name} = {value}"
                    )
                await connection.execute("SELECT pg_reload_conf()")
            finally:
                await connection.close()

        asyncio.run(change())

    def promote(self, name: str) -> subprocess.Popen[bytes]:
        """Begin to hand over."""
        command = [sys.executable, "-m", "server.cli", "promote", name, "--database-url", self.cluster.dsn]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def end(self) -> None:
        for process in (self.follower, *self.servers.values()):
            process.end()
        self.proxies.end()


@contextlib.contextmanager
def site_on(directory: Path, settings: Mapping[str, object], template: Path | None) -> Iterator[Site]:
    """Make a site; nothing of it stays but the directory."""
    with _disk(directory / "disk") as disk, external_cluster(disk, template) as cluster:
        names = [f"{name}-{side}" for name in (*NAMES, FOLLOWER) for side in ("front", "back")]
        site = Site(disk, settings, cluster, Proxies(names))
        try:
            yield site
        finally:
            site.end()


@contextlib.contextmanager
def _disk(directory: Path) -> Iterator[Path]:
    directory.mkdir(parents=True, exist_ok=True)
    mounted = False
    if os.geteuid() == 0 and sys.platform == "linux":
        command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES},mode=0755", "tongbao-chaos", str(directory)]
        mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    try:
        yield directory
    finally:
        if mounted:
            kept = directory.with_name("kept")
            kept.mkdir(exist_ok=True)
            for path in directory.glob("*.log"):
                (kept / path.name).write_bytes(path.read_bytes())
            subprocess.run(["umount", "--lazy", str(directory)], check=False)


def is_small(disk: Path) -> bool:
    """Whether the site has a file system of its own, which may be filled."""
    return disk.stat().st_dev != disk.parent.stat().st_dev
