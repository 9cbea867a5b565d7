"""One simulated world: what a seed makes of servers, followers, a database, clients and misfortune.

    world = World(seed, directory)
    outcome = world.run()

The world goes through four phases: the servers start; clients work, while faults strike; the faults end, everything
that is down is started, and the clients get their answers; all followers come to the end of the log. Then the audit.
"""

import hashlib
import os
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from server import lifecycle
from server.journal import tail
from server.process import Exit
from tests.crash.findings import Finding, Findings
from tests.simulation.audit import Audit
from tests.simulation.clients import Customer
from tests.simulation.database import Database
from tests.simulation.faults import Misfortune
from tests.simulation.loop import BEGIN, Node, SimulatedLoop
from tests.simulation.machines import Machine
from tests.simulation.network import Network
from tests.simulation.sessions import Server
from tests.simulation.virtual import Patches, last_words_ignored, quiet_logs, real_time, virtual

LOAD_SECONDS_MAX = 12.0
END_SECONDS = 60.0
"""When everything is well again, every call must be answered within so long, and every follower be at the end."""
LOSS_SECONDS = 16.0
"""Rows are lost: whoever knew of them must have noticed within so long, also when it could not reach the database."""
TURNS_MAX = 400_000


@dataclass(slots=True)
class Outcome:
    """What became of a seed."""

    seed: int
    findings: Findings
    trace_hash: str = ""
    lines: list[str] = field(default_factory=list)
    calls: int = 0
    rows: int = 0
    faults: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    """Virtual."""
    real_seconds: float = 0.0
    turns: int = 0
    counts: dict[str, int] = field(default_factory=dict)


class World:
    """See the head of this file."""

    def __init__(
        self,
        seed: int,
        directory: Path,
        *,
        plant: Callable[["World", Patches], None] | None = None,
        say: Callable[[str], None] | None = None,
        kinds: Sequence[str] = (),
    ) -> None:
        """`kinds`: faults that strike, instead of those that the seed chooses.

        `plant`: changes something in the server for the time of the run; `say`: is told everything as it happens."""
        self.seed = seed
        self.directory = directory
        self.findings = Findings()
        self._plant = plant
        self._say = say
        self._hash = hashlib.blake2b(digest_size=16)
        self.patches = Patches()
        self.random = random = Random(f"world:{seed}")
        self.loop = SimulatedLoop(Random(f"loop:{seed}"))
        self.nobody = self.loop.node
        self.network = Network(self.loop, Random(f"network:{seed}"), self.trace)
        partition_rows = random.choice([8, 32, 128, 1 << 20])
        self.database = Database(self.loop, Node(self.loop, "database"), self.trace, partition_rows)
        self.server = Server(self.loop, self.database, Random(f"database:{seed}"), self.trace)
        self.quiet = False
        """The faults are over."""
        self.stopping = False
        """Nothing that ends is started again."""
        self.working = 0
        """Clients that have not done all they meant to."""
        self.machines = self._make_machines(random)
        self.customers = [
            Customer(self, number, Random(f"customer:{seed}:{number}"), calls=random.randint(12, 30))
            for number in range(random.choice([2, 3, 3]))
        ]
        number = len(self.customers)
        self.customers.append(Customer(self, number, Random(f"customer:{seed}:{number}"), calls=150, reads_only=True))
        self.misfortune = Misfortune(self, Random(f"faults:{seed}"), kinds)

    def _make_machines(self, random: Random) -> list[Machine]:
        count = random.choice([1, 2, 2, 2, 3])
        values: dict[str, object] = {
            "standby": count > 1 or random.random() < 0.3,
            "lease_ms": random.choice([300, 600, 1_000]),
            "digest_every": random.choice([1, 4, 16]),
            "snapshot_every_items": random.choice([8, 25, 80, 1_000]),
            "snapshot_stop_items": 1,
            "items_batch_max": random.choice([16, 64, 1_024]),
            "queue_delay_ms_max": random.choice([100, 500, 2_000]),
            "stop_seconds": random.choice([1, 1, 5]),
        }
        self.standby_reads = values["standby_reads"] = count > 1 and random.random() < 0.2
        machines = [Machine(self, f"server{number}", number, values) for number in range(count)]
        if random.random() < 0.6:
            followers = {
                "snapshot_every_items": values["snapshot_every_items"],
                "snapshot_stop_items": 1,
                "items_batch_max": 64,
                "poll_ms_max": random.choice([20, 50, 100]),
                "wait_ms_max": random.choice([200, 2_000]),
            }
            machines.append(Machine(self, "replica", 9, followers))
        return machines

    # --- what happens

    def trace(self, what: str, *details: object) -> None:
        """Note that something has happened: the history, by which two runs are compared."""
        line = f"{self.loop.now - BEGIN:.7f} {what} {' '.join(map(str, details))}"
        self._hash.update(line.encode())
        if self._say is not None:
            self._say(line)

    @property
    def servers(self) -> list[Machine]:
        """Machines that may lead."""
        return [machine for machine in self.machines if not machine.follows]

    @property
    def leader(self) -> Machine | None:
        """A machine that thinks it leads, the newest of them."""
        leaders = [machine for machine in self.servers if machine.runs and machine.leads]
        return max(leaders, key=lambda machine: machine.process.journal.epoch) if leaders else None

    def later(self, seconds: float, what: Callable[..., object], *arguments: Any) -> None:
        """Do something to the world after a while."""
        self.loop.on(self.nobody, seconds, what, *arguments)

    def on_end(self, machine: Machine, code: Exit) -> None:
        """A process has ended by itself: start it again, unless that is for a person to decide."""
        expected = self.misfortune.explains(machine, code)
        if not expected:
            self.findings.add(Finding.STUCK, f"{machine.name} ended with {code.name}, and nothing explains it")
        if code is Exit.LOG_LOST:
            machine.halted = True
        elif not self.stopping:
            self.later(0.05 + self.random.random() * 0.3, machine.start)

    # --- a run

    def run(self) -> Outcome:
        """Go through all of it."""
        began = real_time()
        for machine in self.machines:
            machine.clear()
        quiet_logs(None if self._say is None else self._tell)
        with virtual(self.loop, self.server, Random(f"chance:{self.seed}"), self.patches):
            self.patches.set(lifecycle, "LOOK_SECONDS", 0.1)
            self.patches.set(lifecycle, "STANDBY_POLL_SECONDS", 0.1)
            self.patches.set(tail, "POLL_MIN", 0.004)
            if self._plant is not None:
                self._plant(self, self.patches)
            try:
                self._go()
            except Exception as error:  # noqa: BLE001 - whatever it is, the seed is told
                self.findings.add(Finding.STUCK, "".join(traceback.format_exception(error, limit=-6)))
            self.loop.over = True
        audit = Audit(self)
        audit.judge()
        outcome = Outcome(
            self.seed,
            self.findings,
            trace_hash=self._hash.hexdigest(),
            calls=sum(len(customer.notebook.calls) for customer in self.customers),
            rows=len(self.database.rows),
            faults=self.misfortune.struck,
            seconds=self.loop.now - BEGIN,
            turns=self.loop.turns,
            counts=audit.counts,
        )
        self._let_go()
        outcome.real_seconds = real_time() - began
        return outcome

    def _tell(self, level: str, event: dict[str, Any]) -> None:
        assert self._say is not None
        words = " ".join(f"{name}={value}" for name, value in event.items() if name != "event")
        self._say(f"{self.loop.now - BEGIN:.7f}     {self.loop.node.name} {level} {event.get('event')} {words}")

    def _go(self) -> None:
        loop = self.loop
        for number, machine in enumerate(self.machines):
            self.later(number * self.random.choice([0.0, 0.05]), machine.start)
        self.working = len(self.customers)
        for customer in self.customers:
            customer.start()
        self.misfortune.begin()
        loop.run_until(self._worked)
        if len(self.findings):
            return  # nothing is as it should be any more
        if self.misfortune.lost:
            self._see_the_loss_found()
            return
        self.quiet = True
        self.trace("quiet")
        self.misfortune.heal()
        until = loop.now + END_SECONDS
        loop.run_until(lambda: not self.working or self._late(until))
        if len(self.findings):
            return
        if loop.now > until:
            late = [call.name for customer in self.customers for call in customer.notebook.calls if not call.got]
            self.findings.add(Finding.STUCK, f"not answered when everything was well again: {', '.join(late[:5])}")
            return
        until = loop.now + END_SECONDS
        loop.run_until(lambda: self._followed() or self._late(until))
        if loop.now > until:
            where = ", ".join(f"{machine.name} {machine.seq}" for machine in self.machines)
            self.findings.add(Finding.STUCK, f"not at the end of the log, row {self.database.head.seq}: {where}")

    def _late(self, until: float) -> bool:
        if self.loop.turns > TURNS_MAX:
            raise RuntimeError(f"{TURNS_MAX} turns, and no end")
        return self.loop.now > until or len(self.findings) > 0

    def _worked(self) -> bool:
        if self.misfortune.lost:
            return self._late(self.database.lost_at + LOSS_SECONDS)
        return not self.working or self._late(BEGIN + LOAD_SECONDS_MAX)

    def _see_the_loss_found(self) -> None:
        """Rows that were acknowledged are gone: whoever knew of them must have stopped."""
        for machine, seq in self.misfortune.knew.items():
            if machine.runs and machine.starts == self.misfortune.knew_starts[machine]:
                self.findings.add(
                    Finding.LOST, f"{machine.name} knew row {seq}, which the database has lost, and goes on"
                )

    def _followed(self) -> bool:
        head = self.database.head.seq
        return all(machine.runs and machine.at_rest and machine.seq == head for machine in self.machines)

    def _let_go(self) -> None:
        """Give back what the world held."""
        for machine in self.machines:
            if machine.process is not None and machine.process._lock >= 0:
                os.close(machine.process._lock)
                machine.process._lock = -1
        self.loop.close()


def run_seed(
    seed: int,
    directory: Path,
    *,
    plant: Callable[[World, Patches], None] | None = None,
    say: Callable[[str], None] | None = None,
    kinds: Sequence[str] = (),
) -> Outcome:
    """Make a world, run it, and leave nothing of it behind."""
    with last_words_ignored():
        try:
            return World(seed, directory, plant=plant, say=say, kinds=kinds).run()
        finally:
            quiet_logs()
