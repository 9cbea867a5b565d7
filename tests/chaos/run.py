"""One run: a site under load, one fault after the other, the crash test's audit after each.

The load is the crash test's (clients that book and desks that trade, each noting what it means to send and what it was
told) and callers of the public client. After a fault everything is mended, whatever ended is started again, everybody
is answered, and then it is judged: books, order, trading, log and views as after a kill (tests/crash), what the
public client was told, and the follower, whose accounts must be the leader's.
"""

import contextlib
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from tests.chaos.faults import ALLOWED, FENCED, PROCESSES_KILLED, Blow, Deck, Fault
from tests.chaos.load import CREDIT, DEBIT, Load
from tests.chaos.site import LOOK_SECONDS, NAMES, Site, is_small, site_on
from tests.crash.channel import Channel
from tests.crash.control import Gate
from tests.crash.findings import Finding
from tests.crash.processes import Clients, ServerProcess, StuckError, send
from tests.crash.run import Options, Run, Summary
from tests.crash.workload import COUNTER, HOT, LIMITED, UNIFORM

LEASE_MS = 1_500
"""Longer than the default: the machine of a test is shared, and a standby that is too quick is not what is tested."""
DUTY = (0.05, 0.01)
"""A slow disk: seconds in which PostgreSQL's processes stand still, and in which they work."""
ROUNDS_MIN = 2
"""However long they take on a busy machine."""
COMMIT_DELAY_MICROSECONDS = 50_000
FILL_BYTES, BLOCK_BYTES = 16 << 20, 4_096


@dataclass(slots=True)
class Happened:
    """What a run did beside what the crash test's summary tells."""

    blows: dict[Fault, int] = field(default_factory=dict)
    skipped: dict[Fault, int] = field(default_factory=dict)
    changes: int = 0
    """Times that another server led."""
    fenced: int = 0
    killed: int = 0
    """Processes killed with -9, those of PostgreSQL as one."""
    full: int = 0
    """Times that a full disk had no room for another block."""
    public: int = 0
    """Transfers of the public client."""
    resends: int = 0
    waits: dict[Fault, float] = field(default_factory=dict)
    """Longest time without any answer to the public client, by fault."""

    def lines(self) -> list[str]:
        lines = [f"  {self.changes} changes of the leader, {self.fenced} old leaders ended as fenced"]
        lines.append(f"  {self.full} times no block was left on a full disk")
        lines.append(f"  {self.killed} times killed with -9")
        lines.append(f"  {self.public:,} transfers of the public client, {self.resends} requests sent again")
        for fault, count in sorted(self.blows.items()):
            lines.append(f"  {count:>4} × {fault}, at most {self.waits.get(fault, 0.0):.2f} s without an answer")
        lines += [
            f"  {count:>4} × {fault}: skipped, no file system may be mounted here"
            for fault, count in self.skipped.items()
        ]
        return lines


class Chaos(Run):
    """See the head of this file."""

    def __init__(
        self, options: Options, seconds: float, blows: Deck, say: Callable[[str], None] = lambda _: None
    ) -> None:
        super().__init__(options, say)
        self._seconds = seconds
        self._deck = blows
        self.happened = Happened()
        self._site: Site

    def _work(self, stack: contextlib.ExitStack) -> None:
        options = self._options
        settings = self._settings | {"lease_ms": LEASE_MS}
        self._site = site = stack.enter_context(site_on(options.directory, settings, options.template))
        self._log._dsn = lambda: site.cluster.dsn
        self._control.move(Gate.CLOSED)
        site.on_leader = self._on_leader
        began = time.monotonic()
        site.servers[NAMES[0]].start()
        site.await_leader()
        site.servers[NAMES[1]].start()
        site.follower.start()
        self.summary.ready_seconds.append(time.monotonic() - began)
        self._set_up()
        load = self._load = Load([site.front(name) for name in NAMES])
        load.start()
        stack.callback(load.end)
        site.await_standby()
        self._clients = Clients(options.directory, list(self._journals), options.seed, options.rate)
        stack.callback(self._clients.end)
        until = time.monotonic() + self._seconds
        while time.monotonic() < until or self.summary.rounds < ROUNDS_MIN:
            self._blow(self._deck.draw())
            if self._found():
                return
        self._stand_alone()
        self._end()

    def _on_leader(self) -> None:
        """Another server leads, or has another port."""
        self.happened.changes += 1
        self._server = self._site.leader
        self._control.port = self._site.front(self._site.leads)

    def _ready(self) -> None:
        self.summary.ready_seconds.append(self._server.wait_ready())
        self._site.await_leader()

    # --- one fault

    def _blow(self, blow: Blow) -> None:
        if blow.fault is Fault.DISK_FULL and not is_small(self._site.disk):
            self.happened.skipped[blow.fault] = self.happened.skipped.get(blow.fault, 0) + 1
            return
        site, load = self._site, self._load
        self.summary.rounds += 1
        self.happened.blows[blow.fault] = self.happened.blows.get(blow.fault, 0) + 1
        self.happened.killed += blow.fault in PROCESSES_KILLED
        self._control.move(Gate.RUN)
        load.resume()
        self._await_progress()
        time.sleep(blow.load)
        waited = len(load.waits)
        struck = time.monotonic()
        with self._watching():
            self._strike_site(blow)
        healed = time.monotonic()
        self._mend(blow.fault)
        site.await_leader(lambda: self._mend(blow.fault))
        site.await_standby(lambda: self._mend(blow.fault))
        self._control.move(Gate.DRAIN)
        self._await_quiet()
        load.pause(self.findings, site.look)
        longest = max((seconds for at, seconds in load.waits[waited:] if at > struck), default=0.0)
        self.happened.waits[blow.fault] = max(self.happened.waits.get(blow.fault, 0.0), longest)
        self.audit()
        load.audit(site.leader.port, self.findings)
        self._audit_follower()
        self.happened.public, self.happened.resends = len(load.told), load.resends
        self._say(
            f"{self.summary.rounds}  {blow.fault}: {healed - struck:.1f} s, {longest:.2f} s without an answer; "
            f"{site.leads} leads  row {self._log.seq}  transfers {self._log.engine.transfers}  "
            f"findings {len(self.findings)}"
        )

    @contextlib.contextmanager
    def _watching(self) -> Iterator[None]:
        """Tell the clients meanwhile who leads."""
        ended = threading.Event()

        def watch() -> None:
            while not ended.wait(LOOK_SECONDS):
                self._site.look()

        thread = threading.Thread(target=watch)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def _strike_site(self, blow: Blow) -> None:
        site = self._site
        name, leader, other = site.leads, site.leader, site.servers[site.other]
        match blow.fault:
            case Fault.KILL_LEADER:
                leader.kill()
            case Fault.KILL_STANDBY:
                other.kill()
            case Fault.KILL_BOTH:
                leader.kill()
                other.kill()
                leader.start()
            case Fault.KILL_FOLLOWER:
                site.follower.kill()
                time.sleep(blow.seconds)
                site.follower.start()
            case Fault.KILL_POSTGRES:
                send(site.cluster.processes(), signal.SIGKILL)
            case Fault.KILL_BACKEND:
                send(site.cluster.backends()[:1], signal.SIGKILL)
            case Fault.POSTGRES_FAST:
                send([site.cluster.postmaster()], signal.SIGINT)
            case Fault.POSTGRES_IMMEDIATE:
                send([site.cluster.postmaster()], signal.SIGQUIT)
            case Fault.PAUSE_LEADER:
                leader.signal(signal.SIGSTOP)
                time.sleep(blow.seconds)
                leader.signal(signal.SIGCONT)
            case Fault.PAUSE_POSTGRES:
                stopped = site.cluster.processes()
                send(stopped, signal.SIGSTOP)
                time.sleep(blow.seconds)
                send(stopped, signal.SIGCONT)
            case Fault.CUT_OFF_LEADER:
                self._hole([f"{name}-back"], blow.seconds + LEASE_MS / 1e3)
            case Fault.CUT_OFF_ALL:
                self._hole([f"{each}-back" for each in NAMES], blow.seconds)
            case Fault.CUT_OFF_CLIENTS:
                self._hole([f"{name}-front"], blow.seconds)
            case Fault.DROP_SESSIONS:
                for side in ("front", "back"):
                    site.proxies.tell(f"{name}-{side}", cut=True)
            case Fault.DISK_FULL:
                self._fill_disk(blow.seconds)
            case Fault.SLOW_DISK:
                self._slow_disk(blow.seconds)
            case Fault.PROMOTE:
                site.promote(site.other).wait(30)
            case Fault.PROMOTE_AND_KILL:
                promoting = site.promote(site.other)
                time.sleep(0.6 + blow.load / 5)  # so long the command takes until it asks
                leader.kill()
                promoting.wait(30)

    def _hole(self, proxies: list[str], seconds: float) -> None:
        for proxy in proxies:
            self._site.proxies.tell(proxy, hole=True)
        time.sleep(seconds)
        for proxy in proxies:
            self._site.proxies.tell(proxy, hole=False)

    def _slow_disk(self, seconds: float) -> None:
        """Every commit waits, and all of PostgreSQL stands still most of the time, as where a disk is too slow."""
        self._site.configure(commit_delay=str(COMMIT_DELAY_MICROSECONDS), commit_siblings="0")
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            stopped = self._site.cluster.processes()
            send(stopped, signal.SIGSTOP)
            time.sleep(DUTY[0])
            send(stopped, signal.SIGCONT)
            time.sleep(DUTY[1])
        self._site.configure(commit_delay=None, commit_siblings=None)

    def _fill_disk(self, seconds: float) -> None:
        """Leave no byte on the file system of servers and PostgreSQL for a while."""
        path = self._site.disk / "fill"
        until = time.monotonic() + seconds
        try:
            with path.open("wb", buffering=0) as file:
                size = FILL_BYTES
                while time.monotonic() < until:
                    try:
                        file.write(bytes(size))
                    except OSError:
                        self.happened.full += size == BLOCK_BYTES
                        size = BLOCK_BYTES  # the rest; what is freed meanwhile is taken, too
                        time.sleep(0.02)
        finally:
            path.unlink()

    def _mend(self, fault: Fault) -> None:
        """Start what ended, after a look at why."""
        for name, server in self._site.servers.items():
            if server.code is not None:
                self.happened.fenced += server.code == FENCED
                if server.code not in ALLOWED.get(fault, set()) | {FENCED}:
                    self._ended(name, server, fault)
                server.start()
        if self._site.follower.code is not None:
            self._ended("the follower", self._site.follower, fault)
            self._site.follower.start()

    def _ended(self, name: str, process: ServerProcess, fault: Fault) -> None:
        self.findings.add(Finding.STUCK, f"{name} ended with code {process.code} after: {fault}\n{process.log_tail()}")

    # --- waiting and judging

    def _await_quiet(self, *, alive: bool = True) -> None:
        """As in a run of kills, but another server may begin to lead meanwhile."""
        if not alive:
            super()._await_quiet(alive=False)
            return
        deadline = time.monotonic() + 60.0
        while not all(self._control.quiet(number) for number in self._journals):
            self._clients.check()
            self._site.look()
            if time.monotonic() > deadline:
                loud = [number for number in self._journals if not self._control.quiet(number)]
                raise StuckError(f"clients {loud} have waited 60 s for their replies")
            time.sleep(0.01)

    def _audit_follower(self) -> None:
        """At the leader's newest row the follower must show the leader's accounts; digests it compares by itself."""
        accounts = [COUNTER, HOT, *UNIFORM, *LIMITED, DEBIT, CREDIT]
        for _ in range(20):
            with Channel(self._site.leader.port) as leader:
                asked = leader.call("lookup_accounts", accounts)
            with self._site.await_follower(asked.seq) as follower:
                shown = follower.call("lookup_accounts", accounts)
            if shown.seq == asked.seq:
                if shown.result != asked.result:
                    self.findings.add(Finding.REPLAY, f"the follower shows other accounts at row {asked.seq}")
                return
        self.findings.add(Finding.STUCK, "the follower never showed the row that the leader did")

    def _stand_alone(self) -> None:
        """Leave one server, which the crash test's end restarts and verifies."""
        site, load = self._site, self._load
        load.end()
        self.happened.public, self.happened.resends = len(load.told), load.resends
        for process in (site.servers[site.other], site.follower):
            if code := process.terminate():
                self.findings.add(Finding.STUCK, f"an ordered stop ended with code {code}\n{process.log_tail()}")


def run(
    options: Options, seconds: float, faults: Sequence[Fault], pause: float, say: Callable[[str], None]
) -> tuple[Summary, Happened]:
    """Run for about so long; nothing stays when nothing was found."""
    chaos = Chaos(options, seconds, Deck(options.seed, faults, pause), say)
    summary = chaos.go()
    if not len(summary.findings):
        shutil.rmtree(options.directory, ignore_errors=True)
    return summary, chaos.happened
