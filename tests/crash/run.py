"""One run: load, strikes, restarts, audits. `Run(...).go()` returns a Summary; nothing of the run stays behind.

An audit happens after every round, at a moment when nobody writes:

- The server was killed: before its clients may reconnect. What it holds is then exactly what recovery has made, and
  what was in flight is either there or not.
- PostgreSQL was killed, or the server paused: the clients first get an answer to everything they have sent.

What the clients send again after a restart is judged by the audit after the next round, and in the end everything is
judged once more in full, before and after an ordered restart.
"""

import contextlib
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from random import Random

from tests.crash.books import Books, Tally
from tests.crash.channel import Channel, ChannelError
from tests.crash.client import workload_of
from tests.crash.control import Control, Gate
from tests.crash.desks import Desks, DeskTally
from tests.crash.findings import Finding, Findings
from tests.crash.journals import Ack, Journal, path_of
from tests.crash.log import Log
from tests.crash.market import Market
from tests.crash.nemesis import ENDS_SERVER, KILLS, Nemesis, Round, Strike, schedule
from tests.crash.order import Order, OrderTally
from tests.crash.processes import Clients, Cluster, ServerProcess, StuckError, external_cluster, status
from tests.crash.trading import CHANNEL, DESKS_FROM, KEY, is_desk, set_up
from tests.crash.workload import READERS_FROM, SETUP

SETTINGS: dict[str, object] = {
    # Small enough that snapshots, digests and pruning are always under way.
    "snapshot_every_items": 1_500,
    "snapshot_stop_items": 500,
    "digest_every": 8,
    "postgres_wal_bytes": 64 << 20,
    "log_level": "info",
}
QUIET_SECONDS = 60.0
TOLD_SECONDS = 20.0
STARTS_MAX = 5
"""A start may fail when its PostgreSQL was killed under it; then it is tried again, so often."""


@dataclass(frozen=True, slots=True)
class Options:
    """What to do."""

    directory: Path
    seed: int
    kills: int = 25
    clients: int = 4
    readers: int = 1
    """Clients that only read, beside the others."""
    desks: int = 2
    """Clients that trade, beside the others."""
    rate: float = 350.0
    """Requests per second and client."""
    external: bool = False
    """One external PostgreSQL instead of the server's private one."""
    template: Path | None = None
    """A data directory that was stopped in order with an empty ledger, to start from a copy of: saves an initdb."""
    fault: str = ""
    """Planted fault (see faulty_server.py)."""
    until: frozenset[Finding] = frozenset()
    """Stop at the first finding of these kinds (none: at the first of any kind)."""
    rounds: tuple[Round, ...] = ()
    """Instead of those that the seed gives."""


@dataclass(slots=True)
class Summary:
    """What happened."""

    options: Options
    findings: Findings
    kills: int = 0
    rounds: int = 0
    audits: int = 0
    restarts: int = 0
    seconds: float = 0.0
    requests: int = 0
    transfers: int = 0
    rows: int = 0
    ready_seconds: list[float] = field(default_factory=list)
    strikes: dict[str, int] = field(default_factory=dict)
    books: Tally = field(default_factory=Tally)
    order: OrderTally = field(default_factory=OrderTally)
    desks: DeskTally = field(default_factory=DeskTally)
    trades: int = 0

    def table(self) -> str:
        """Return what people want to know, one fact a line."""
        ready = sorted(self.ready_seconds) or [0.0]
        facts: list[tuple[str, object]] = [
            ("seed", self.options.seed),
            ("kills (-9)", self.kills),
            ("rounds, audits, starts of the server", f"{self.rounds}, {self.audits}, {self.restarts}"),
            ("seconds", f"{self.seconds:.0f}"),
            ("start to ping, median and longest", f"{ready[len(ready) // 2]:.2f} s, {ready[-1]:.2f} s"),
            ("requests answered", f"{self.order.replies:,} ({self.order.busy:,} busy)"),
            ("transfers in the books", f"{self.transfers:,}"),
            ("log rows replayed from zero", f"{self.rows:,}"),
            ("events held against the order", f"{self.order.events:,}"),
            ("reads of the counter explained", f"{self.order.reads:,}"),
            ("sent again, had been committed", f"{self.books.resends_exist:,} transfers"),
            ("repeats of answered transfers", f"{self.books.repeats:,} ({self.books.repeats_exist:,} exist)"),
            ("pending transfers expired", f"{self.books.expired:,}"),
            ("orders answered, trades", f"{self.desks.orders:,}, {self.trades:,}"),
            ("orders sent again, had been committed", f"{self.desks.resends_exist:,}"),
            ("repeats of answered orders", f"{self.desks.repeats_exist:,} exist"),
            ("executions told, again, to the audits", self._executions()),
            ("… of orders whose time had come", f"{self.desks.expired:,}"),
        ]
        width = max(len(name) for name, _ in facts)
        lines = [f"  {name:<{width}}  {value}" for name, value in facts]
        lines += [f"  {'struck':<{width}}  {count} × {name}" for name, count in sorted(self.strikes.items())]
        lines.append(f"  {'findings':<{width}}  {len(self.findings)}")
        if len(self.findings):
            lines.append(self.findings.report())
        return "\n".join(lines)

    def _executions(self) -> str:
        return f"{self.desks.told:,}, {self.desks.told_again:,}, {self.desks.replayed:,}"


class Run:
    """See the head of this file."""

    def __init__(self, options: Options, say: Callable[[str], None] = lambda _: None) -> None:
        self._options = options
        self._say = say
        self._random = Random(f"run:{options.seed}")
        self._newest: list[Ack] = []
        """The replies that the newest audit has judged."""
        self.findings = Findings()
        self.summary = Summary(options, self.findings)

    def go(self) -> Summary:
        """Do all of it."""
        began = time.monotonic()
        options = self._options
        options.directory.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as stack:
            cluster = None
            if options.external:
                cluster = stack.enter_context(external_cluster(options.directory, options.template))
            self._prepare(cluster)
            stack.callback(self._server.end)
            try:
                self._work(stack)
            except StuckError as error:
                self.findings.add(Finding.STUCK, f"{error}\n{self._server.log_tail()}")
            except (OSError, ChannelError) as error:
                self.findings.add(
                    Finding.STUCK, f"an audit was cut off: {type(error).__name__}: {error}\n{self._server.log_tail()}"
                )
        summary = self.summary
        summary.seconds = time.monotonic() - began
        summary.requests = sum(journal.next_n for journal in self._journals.values())
        summary.transfers = sum(entry.seen for entry in self._books.entries.values())
        summary.rows = self._log.seq
        summary.strikes = self._nemesis.done
        summary.restarts = self._server.starts
        summary.books, summary.order = self._books.tally, self._order.tally
        summary.desks, summary.trades = self._desks.tally, self._log.engine.trades
        return summary

    # --- the parts

    def _prepare(self, cluster: Cluster | None) -> None:
        options = self._options
        self._settings = dict(SETTINGS)
        if options.desks:
            self._settings["channels"] = write_channels(options.directory)
        self._command: list[str] | None = None
        if options.fault:
            self._command = [sys.executable, "-m", "tests.crash.faulty_server", options.fault]
            # The server's own guard would refuse to start before the audit has seen anything.
            self._settings["digest_every"] = 1_000_000
        self._control = Control(options.directory / "control", create=True)
        self._server = ServerProcess(options.directory, self._settings, command=self._command, cluster=cluster)
        if options.template is not None and cluster is None:
            self._server.adopt(options.template)
        self._nemesis = Nemesis(self._server, self._kill_client)
        self._log = Log(lambda: self._server.cluster.dsn)
        numbers = [
            *range(1, options.clients + 1),
            *range(DESKS_FROM, DESKS_FROM + options.desks),
            *range(READERS_FROM, READERS_FROM + options.readers),
        ]
        self._journals = {number: Journal(number, path_of(options.directory, number)) for number in numbers}
        self._noted = dict.fromkeys(numbers, 0)
        workloads = {number: workload_of(options.seed, number, self._control.begun) for number in numbers}
        self._books = Books(workloads, self.findings, self._log, self._random)
        self._order = Order(self._books, self._log, self.findings)
        self._market = Market(self._log.engine, self.findings)
        self._log.on_applied = self._market.applied
        self._desks = Desks(self._books, self._market, self._log, self._order, self.findings)

    def _work(self, stack: contextlib.ExitStack) -> None:
        options = self._options
        self._control.move(Gate.CLOSED)
        self._server.start()
        self._ready()
        self._set_up()
        self._clients = Clients(options.directory, list(self._journals), options.seed, options.rate)
        stack.callback(self._clients.end)
        rounds = options.rounds or schedule(options.seed, options.kills)
        planned = sum(each.kills for each in rounds)
        for each in rounds:
            self._round(each)
            self._say(
                f"kill {self.summary.kills}/{planned}  {each.strike!s:<20}  up after "
                f"{self.summary.ready_seconds[-1]:.2f} s  row {self._log.seq}  transfers {self._log.engine.transfers}  "
                f"findings {len(self.findings)}"
            )
            if self._found():
                return
        self._end()

    def _set_up(self) -> None:
        with Channel(self._server.port) as channel:
            self._books.set_up(channel.call("create_accounts", SETUP).result)
            if self._options.desks:
                # One with a planted fault would stumble over verdicts that fit no order before its fault is seen.
                set_up_market(channel, limited_orders=not self._options.fault)

    def _found(self) -> bool:
        until = self._options.until
        return bool(self.findings.kinds & until) if until else bool(len(self.findings))

    def _round(self, each: Round) -> None:
        summary = self.summary
        summary.rounds += 1
        self._control.move(Gate.RUN)
        self._await_progress()
        time.sleep(each.load)
        ends = each.strike.target in ENDS_SERVER
        if ends:
            self._control.move(Gate.CLOSED)
        self._strike(each.strike)
        if ends:
            self._await_quiet(alive=False)
            self._restart(each.during_start)
        else:
            self._control.move(Gate.DRAIN)
            self._await_quiet()
        self.audit(ended=ends)

    def _strike(self, strike: Strike) -> None:
        self._nemesis.strike(strike)
        self.summary.kills += strike.target in KILLS

    def _restart(self, strikes: tuple[Strike, ...]) -> None:
        """Start the server; while it starts, strike; start again; until it is up."""
        for strike in strikes:
            self._server.start()
            usual = sorted(self.summary.ready_seconds)[len(self.summary.ready_seconds) // 2]
            deadline = time.monotonic() + strike.delay * usual
            while time.monotonic() < deadline and self._server.code is None:
                time.sleep(0.001)
            self._strike(strike)
            if strike.target not in ENDS_SERVER:
                # Its PostgreSQL died under it: it comes up by itself, or ends and says why.
                with contextlib.suppress(StuckError):
                    self._ready()
                self._server.kill()
        for left in reversed(range(STARTS_MAX)):
            self._server.start()
            try:
                self._ready()
            except StuckError:
                # What the kill has left may be in the way of one start, and not of all of them.
                if not left or self._server.code not in {None, 4}:
                    raise
                self._server.kill()
            else:
                return

    def _ready(self) -> None:
        self.summary.ready_seconds.append(self._server.wait_ready())
        self._control.port = self._server.port

    def _await_progress(self) -> None:
        """Wait until every client has noted something: a strike that hits no load proves nothing."""
        sizes = {journal.path: journal.offset for journal in self._journals.values()}
        deadline = time.monotonic() + QUIET_SECONDS
        while not all(path.exists() and path.stat().st_size > size + 2_000 for path, size in sizes.items()):
            self._clients.check()
            if time.monotonic() > deadline:
                raise StuckError(f"the clients got nowhere in {QUIET_SECONDS:.0f} s")
            time.sleep(0.002)

    def _await_quiet(self, *, alive: bool = True) -> None:
        """Wait until no client expects or sends anything; `alive`: the server must not end meanwhile."""
        deadline = time.monotonic() + QUIET_SECONDS
        while not all(self._control.quiet(number) for number in self._journals):
            self._clients.check()
            if alive and self._server.code is not None:
                raise StuckError(f"the server ended with code {self._server.code} by itself")
            if time.monotonic() > deadline:
                loud = [number for number in self._journals if not self._control.quiet(number)]
                raise StuckError(f"clients {loud} have waited {QUIET_SECONDS:.0f} s for their replies")
            time.sleep(0.002)

    def _kill_client(self, choice: float) -> None:
        numbers = list(self._journals)
        self._clients.kill(numbers[int(choice * len(numbers))])

    # --- audits

    def audit(self, *, all_of_it: bool = False, ended: bool = False) -> None:
        """Judge everything that happened since the last audit. Every client must be quiet.

        `ended`: no client has been connected since the server started.
        """
        self.summary.audits += 1
        self._newest = acks = list[Ack]()
        for number, journal in self._journals.items():
            acks += journal.load()
            for what in journal.faults:
                self.findings.add(Finding.PROTOCOL, f"client {number}: {what}")
            journal.faults.clear()
            for n in range(self._noted[number], journal.next_n):
                self._books.intended(number, n)
            self._noted[number] = journal.next_n
        self._log.advance(self.findings)
        for ack in acks:
            self._books.acknowledged(ack)
            if is_desk(ack.client):
                self._desks.acknowledged(ack)
        self._desks.told(self._journals)
        with Channel(self._server.port, seconds=60) as channel:
            self._books.audit(channel, all_of_it=all_of_it)
            if all_of_it:
                self._books.check_history(channel)
            if self._options.desks:
                self._desks.audit(channel, all_of_it=all_of_it, ended=ended)
        if self._options.desks:
            self._desks.replay(self._server.port, all_of_it=all_of_it)
        self._order.audit(self._journals, acks)
        self._compare_with_replay()

    def _compare_with_replay(self) -> None:
        """The server's state must be that of the log, replayed from zero."""
        for _ in range(50):
            now = status(self._server.port)
            seq, digest = now["log"]["seq"], now["ledger"]["digest"]
            self._log.advance(self.findings, seq)
            # An expiry may have been applied whose row is not yet committed, or have come since.
            if self._log.seq == seq and self._log.engine.digest().hex() == digest:
                return
            if self._log.seq > seq:
                time.sleep(0.02)
                continue
            time.sleep(0.02)
        self.findings.add(
            Finding.REPLAY,
            f"at row {seq} the server's digest is {digest}; a replay from zero gives "
            f"{self._log.engine.digest().hex()} at row {self._log.seq}",
        )

    def _await_told(self) -> None:
        """Wait until every desk has been told of every execution; audits meanwhile."""
        deadline = time.monotonic() + TOLD_SECONDS
        while late := self._desks.missing(self._journals):
            if time.monotonic() > deadline:
                for what in late:
                    self.findings.add(Finding.STREAM, what)
                return
            time.sleep(0.1)
            self.audit()

    def _end(self) -> None:
        """Judge everything, in full, when all is answered; and again after an ordered restart."""
        self._control.move(Gate.DRAIN)
        self._await_quiet()
        self.audit(all_of_it=True)
        self._await_told()
        self._control.move(Gate.CLOSED)
        code = self._server.terminate()
        if code:
            raise StuckError(f"an ordered stop ended with code {code}")
        self._await_quiet(alive=False)
        self._server.start()
        self._ready()
        self.audit(all_of_it=True)
        self._compare_state_hash()
        code, said = self._server.verify()
        if code:
            self.findings.add(Finding.REPLAY, f"tongbao verify ended with code {code}:\n{said}")
        code = self._server.terminate()
        if code:
            raise StuckError(f"an ordered stop ended with code {code}")

    def _compare_state_hash(self) -> None:
        """Have a snapshot taken, and compare the hash of the whole state with that of the replay."""
        with Channel(self._server.port, seconds=60) as channel:
            before = channel.call("take_snapshot").result["snapshot_seq"]
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            snapshot = status(self._server.port)["snapshot"]
            if snapshot["seq"] > before or (snapshot["seq"] == self._log.seq and not snapshot["running"]):
                break
            time.sleep(0.05)
        else:
            raise StuckError("no snapshot was taken within 60 s")
        if snapshot["seq"] != self._log.seq:
            self._log.advance(self.findings, snapshot["seq"])
        ours = self._log.engine.state_hash().hex()
        if snapshot["seq"] != self._log.seq or snapshot["state_hash"] != ours:
            self.findings.add(
                Finding.REPLAY,
                f"state hash {snapshot['state_hash']} at row {snapshot['seq']}; a replay from zero gives {ours} at row "
                f"{self._log.seq}",
            )


def write_channels(directory: Path) -> Path:
    """Write the file of the channel that desks log on to whose orders go with their connections."""
    path = directory / "channels.toml"
    digest = sha256(bytes(16) + KEY.encode()).hexdigest()
    permissions = ["read", "accounts", "transfers", "trade", "market_data", "market_admin", "risk"]
    path.write_text(f'[channels.{CHANNEL}]\npermissions = {permissions}\nkey = "sha256${bytes(16).hex()}${digest}"\n')
    return path


def set_up_market(channel: Channel, *, limited_orders: bool = True) -> None:
    """Make accounts, instruments and trading accounts, and open the market."""
    for method, params in set_up(limited_orders=limited_orders):
        result = channel.call(method, params).result
        for each in result if isinstance(result, list) else [result]:
            if each["status"] not in {"created", "done", "limits_set"}:
                raise StuckError(f"the market cannot be set up: {method}: {each}")


def run(options: Options, say: Callable[[str], None] = lambda _: None, *, keep: bool = False) -> Summary:
    """Run, and remove the directory when nothing was found and it is not to be kept."""
    summary = Run(options, say).go()
    if not len(summary.findings) and not keep:
        shutil.rmtree(options.directory, ignore_errors=True)
    return summary
