"""Three machines on one: etcd, Patroni and PostgreSQL thrice, each in a network namespace of its own or on loopback.

What README.md has an operator do on three machines is done here with the same files, so that a test may kill, pause and
cut off what it likes. With namespaces (root only) every machine has an address behind a bridge, and cutting it off
takes its cable out; on loopback there is nothing to take out. PostgreSQL refuses to run as root: then everything runs
as `postgres`. Nothing is left behind but the directory, if that was given.
"""

import contextlib
import json
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from string import Template
from typing import Any, Self

HERE = Path(__file__).parent
START_SECONDS = 90.0
MACHINES = 3


class ClusterError(Exception):
    """The cluster does not come up, or did not do what it was told."""


def missing(*, namespaces: bool = False) -> str:
    """Say what this machine lacks for a cluster; empty: nothing."""
    if not _programs():
        return "there is no PostgreSQL in /usr/lib/postgresql"
    for program in ("patroni", "etcd"):
        if shutil.which(program, path=_PATH) is None:
            return f"{program} is not installed (apt-get install patroni etcd-server)"
    if namespaces:
        if os.geteuid() != 0:
            return "network namespaces need root"
        name = f"tongbao-{os.getpid()}"
        if (
            shutil.which("ip") is None
            or subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False).returncode
        ):
            return "this machine permits no network namespaces (ip netns add)"
        subprocess.run(["ip", "netns", "del", name], check=True, capture_output=True)
    return ""


_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def _programs() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[4]))
    return found[-1].parent if found else None


@dataclass(slots=True, eq=False)
class Machine:
    """One of the three."""

    name: str
    address: str
    directory: Path
    namespace: str = ""
    cable: str = ""
    """Our end of the pair that joins its namespace to the bridge."""
    processes: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)

    @property
    def postmaster(self) -> int:
        """Process number of its PostgreSQL; 0 when there is none."""
        with contextlib.suppress(OSError, ValueError, IndexError):
            pid = int((self.directory / "data" / "postmaster.pid").read_text().split()[0])
            if str(self.directory).encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                return pid
        return 0


class Cluster:
    """See the head of this file. Use it in a `with`."""

    def __init__(
        self,
        directory: Path | None = None,
        *,
        namespaces: bool = False,
        synchronous: bool = True,
        ttl: int = 20,
        loop_wait: int = 1,
        retry_timeout: int = 3,
    ) -> None:
        """`directory`: where the machines' data are; None: a temporary one. The times are Patroni's, in seconds."""
        self._temporary = directory is None
        self.directory = directory or Path(tempfile.mkdtemp(prefix="tongbao-patroni-"))
        self._namespaces = namespaces
        self._bridge = f"tb{os.getpid()}"
        self._password = secrets.token_hex(8)
        self._values: dict[str, object] = {
            "synchronous": str(synchronous).lower(),
            "ttl": ttl,
            "loop_wait": loop_wait,
            "retry_timeout": retry_timeout,
            "watchdog": "off",
            "superuser_password": self._password,
            "replication_password": self._password,
            "rewind_password": self._password,
        }
        net = f"10.{197 + os.getpid() % 40}.{os.getpid() // 40 % 250}" if namespaces else "127.197.0"
        self._gateway = f"{net}.254"
        self._network = f"{net}.0/24"
        self.machines = [
            Machine(name, f"{net}.{number}", self.directory / name)
            for number, name in enumerate(("one", "two", "three")[:MACHINES], start=1)
        ]

    # --- starting and ending

    def __enter__(self) -> Self:
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            self.directory.chmod(0o755)
            if self._namespaces:
                self._make_network()
            for machine in self.machines:
                self._prepare(machine)
            for machine in self.machines:
                self.start_etcd(machine)
            for machine in self.machines:
                self.start_patroni(machine)
            self.wait(lambda: len(self.healthy()) == MACHINES, "three members")
            self._make_database()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End everything that was started here."""
        for machine in self.machines:
            self.kill(machine, "patroni")
        for machine in self.machines:
            self.kill(machine, "postgres")
            self.kill(machine, "etcd")
            if machine.namespace:
                subprocess.run(["ip", "netns", "del", machine.namespace], capture_output=True, check=False)
        if self._namespaces:
            subprocess.run(["ip", "link", "del", self._bridge], capture_output=True, check=False)
        if self._temporary:
            shutil.rmtree(self.directory, ignore_errors=True)

    def _make_network(self) -> None:
        _ip("link", "add", self._bridge, "type", "bridge")
        _ip("addr", "add", f"{self._gateway}/24", "dev", self._bridge)
        _ip("link", "set", self._bridge, "up")
        for number, machine in enumerate(self.machines):
            machine.namespace = f"{self._bridge}-{machine.name}"
            machine.cable = f"{self._bridge}v{number}"
            _ip("netns", "add", machine.namespace)
            _ip("link", "add", machine.cable, "type", "veth", "peer", "name", "eth0", "netns", machine.namespace)
            _ip("link", "set", machine.cable, "master", self._bridge, "up")
            _ip("-n", machine.namespace, "addr", "add", f"{machine.address}/24", "dev", "eth0")
            _ip("-n", machine.namespace, "link", "set", "eth0", "up")
            _ip("-n", machine.namespace, "link", "set", "lo", "up")

    def _prepare(self, machine: Machine) -> None:
        machine.directory.mkdir(exist_ok=True)
        values = self._values | {
            "name": machine.name,
            "address": machine.address,
            "etcd_hosts": ",".join(f"{other.address}:2379" for other in self.machines),
            "data_dir": machine.directory / "data",
            "bin_dir": _programs(),
            "pgpass": machine.directory / "pgpass",
            "socket_directory": machine.directory,
            "network": self._network,
        }
        text = Template((HERE / "patroni.yml").read_text("utf-8")).substitute(values)
        (machine.directory / "patroni.yml").write_text(text, "utf-8")
        if os.geteuid() == 0:
            user = pwd.getpwnam("postgres")
            for path in (machine.directory, machine.directory / "patroni.yml"):
                os.chown(path, user.pw_uid, user.pw_gid)

    def start_etcd(self, machine: Machine) -> None:
        """Start, or start again."""
        peers = ",".join(f"{other.name}=http://{other.address}:2380" for other in self.machines)
        where = machine.address
        self._start(
            machine, "etcd", "etcd", "--name", machine.name, "--data-dir", str(machine.directory / "etcd"),
            "--listen-peer-urls", f"http://{where}:2380", "--initial-advertise-peer-urls", f"http://{where}:2380",
            "--listen-client-urls", f"http://{where}:2379", "--advertise-client-urls", f"http://{where}:2379",
            "--initial-cluster", peers, "--initial-cluster-token", "tongbao", "--log-level", "warn",
        )  # fmt: skip

    def start_patroni(self, machine: Machine) -> None:
        """Start, or start again."""
        self._start(machine, "patroni", "patroni", str(machine.directory / "patroni.yml"))

    def _start(self, machine: Machine, key: str, program: str, *arguments: str) -> None:
        command = [str(shutil.which(program, path=_PATH)), *arguments]
        if os.geteuid() == 0:
            command = ["setpriv", "--reuid", "postgres", "--regid", "postgres", "--clear-groups", "--", *command]
        if machine.namespace:
            command = ["ip", "netns", "exec", machine.namespace, *command]
        with (machine.directory / f"{key}.log").open("ab") as log:
            machine.processes[key] = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env={"PATH": _PATH, "LC_ALL": "C", "HOME": str(machine.directory)},
                start_new_session=True,
            )

    def _make_database(self) -> None:
        leader = self.leader
        assert leader is not None
        command = [
            str((_programs() or Path()) / "psql"), "-v", "ON_ERROR_STOP=1", "-d",
            f"postgresql://postgres:{self._password}@{leader.address}/postgres",
            "-c", f"CREATE ROLE tongbao LOGIN PASSWORD '{self._password}'",
            "-c", "CREATE DATABASE tongbao OWNER tongbao",
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        if done.returncode:
            raise ClusterError(done.stderr.strip())

    # --- looking

    @property
    def dsn(self) -> str:
        """What goes into DATABASE_URL."""
        hosts = ",".join(machine.address for machine in self.machines)
        return f"postgresql://tongbao:{self._password}@{hosts}/tongbao?target_session_attrs=read-write"

    def superuser_dsn(self, machine: Machine, database: str = "tongbao") -> str:
        """For looking into one machine."""
        return f"postgresql://postgres:{self._password}@{machine.address}/{database}"

    def members(self) -> list[dict[str, Any]]:
        """What Patroni says of its members, asked of any that answers; [] when none does."""
        for machine in self.machines:
            with (
                contextlib.suppress(OSError, ValueError),
                urllib.request.urlopen(f"http://{machine.address}:8008/cluster", timeout=1) as reply,
            ):
                return list(json.load(reply)["members"])
        return []

    def healthy(self) -> list[dict[str, Any]]:
        """Members that serve; a synchronous cluster has a synchronous standby besides."""
        members = self.members()
        roles = {member["role"] for member in members}
        wanted = {"leader", "sync_standby"} if self._values["synchronous"] == "true" else {"leader"}
        lines = [member.get("timeline") for member in members if member["role"] == "leader"]
        well = [
            member
            for member in members
            if member["state"] in {"running", "streaming"} and [member.get("timeline")] == lines
        ]
        return well if wanted <= roles else []

    @property
    def leader(self) -> Machine | None:
        """The machine of the primary, as Patroni says."""
        return self._with_role("leader")

    @property
    def synchronous_standby(self) -> Machine | None:
        """The machine whose confirmation commits wait for."""
        return self._with_role("sync_standby")

    def _with_role(self, role: str) -> Machine | None:
        names = [member["name"] for member in self.members() if member["role"] == role]
        return next((machine for machine in self.machines if machine.name in names), None)

    def wait(self, condition: Any, what: str, seconds: float = START_SECONDS) -> None:
        """Wait until something is so."""
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                raise ClusterError(f"not after {seconds:.0f} s: {what}; {self.members()}{self._tails()}")
            time.sleep(0.1)

    def whole(self) -> None:
        """Wait until all three are there again, and both standbys have what the primary has."""
        self.wait(lambda: len(self.healthy()) == MACHINES and self._caught_up(), "three members that have caught up")

    def _caught_up(self) -> bool:
        """What Patroni says of its members may be some seconds old; PostgreSQL says what is so."""
        leader = self.leader
        if leader is None:
            return False
        now = self.query(leader, "SELECT pg_current_wal_lsn()")
        query = f"SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming' AND flush_lsn >= '{now}'"
        return bool(now) and self.query(leader, query) == str(MACHINES - 1)

    def query(self, machine: Machine, text: str) -> str:
        """Ask one machine's PostgreSQL; an empty answer when it gives none."""
        psql = str((_programs() or Path()) / "psql")
        command = [psql, "-X", "-At", "-d", self.superuser_dsn(machine, "postgres") + "?connect_timeout=3", "-c", text]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        return done.stdout.strip() if done.returncode == 0 else ""

    def _tails(self) -> str:
        said = ""
        for machine in self.machines:
            for path in sorted(machine.directory.glob("*.log")):
                said += f"\n--- {machine.name} {path.name}\n" + path.read_text("utf-8", "replace")[-1500:]
        return said

    # --- doing harm

    def kill(self, machine: Machine, *keys: str) -> None:
        """End processes of a machine with SIGKILL: etcd, patroni, postgres."""
        for key in keys:
            if key == "postgres":
                if pid := machine.postmaster:
                    os.kill(pid, signal.SIGKILL)
            elif (process := machine.processes.get(key)) is not None and process.poll() is None:
                process.kill()
                process.wait()

    def revive(self, machine: Machine) -> None:
        """Start what is not there."""
        for key, start in (("etcd", self.start_etcd), ("patroni", self.start_patroni)):
            process = machine.processes.get(key)
            if process is None or process.poll() is not None:
                start(machine)

    @contextlib.contextmanager
    def cut_off(self, machine: Machine) -> Iterator[None]:
        """Take its cable out inside the block. Needs namespaces."""
        if not machine.cable:
            raise ClusterError("without namespaces there is no cable to take out")
        _ip("link", "set", machine.cable, "down")
        try:
            yield
        finally:
            _ip("link", "set", machine.cable, "up")

    @contextlib.contextmanager
    def alone(self, machine: Machine) -> Iterator[None]:
        """Cut it off from the other two inside the block; servers still reach it. Needs namespaces."""
        if not machine.namespace:
            raise ClusterError("without namespaces there are no routes to take away")
        routes = [f"{other.address}/32" for other in self.machines if other is not machine]
        for route in routes:
            _ip("-n", machine.namespace, "route", "add", "blackhole", route)
        try:
            yield
        finally:
            for route in routes:
                _ip("-n", machine.namespace, "route", "del", "blackhole", route)

    def hold_back(self, machine: Machine) -> list[int]:
        """Stop what sends this machine's log to its standbys; return the processes."""
        stopped = []
        top = machine.postmaster
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError, ValueError):
                if not entry.name.isdigit() or b"walsender" not in (entry / "cmdline").read_bytes():
                    continue
                text = (entry / "stat").read_text()
                if int(text[text.rindex(")") + 2 :].split()[1]) == top:
                    os.kill(int(entry.name), signal.SIGSTOP)
                    stopped.append(int(entry.name))
        return stopped

    def control(self, *arguments: str) -> str:
        """Run patronictl."""
        configuration = str(self.machines[0].directory / "patroni.yml")
        done = subprocess.run(
            ["patronictl", "-c", configuration, *arguments],
            capture_output=True, text=True, timeout=120, check=False, env={"PATH": _PATH, "LC_ALL": "C.UTF-8"},
        )  # fmt: skip
        if done.returncode:
            raise ClusterError(f"patronictl {' '.join(arguments)}: {done.stdout}{done.stderr}")
        return done.stdout

    def switch_over(self) -> None:
        """Hand over in order, to the synchronous standby."""
        leader, successor = self.leader, self.synchronous_standby
        if leader is None or successor is None:
            raise ClusterError("nobody leads, or nobody could")
        self.control("switchover", "--master", leader.name, "--candidate", successor.name, "--force", "tongbao")


def _ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise ClusterError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
