"""What goes wrong in a simulated world, as its seed has it."""

from collections import defaultdict
from collections.abc import Sequence
from hashlib import sha256
from random import Random
from typing import TYPE_CHECKING, Any

from engine import Batch, log_record
from server.client import Client
from server.client.errors import ClientError
from server.journal import Kind
from server.journal.rows import row_hash
from server.process import Exit
from tests.crash.findings import Finding
from tests.simulation.history import COUNTER
from tests.simulation.loop import BEGIN, Node

if TYPE_CHECKING:
    from tests.simulation.machines import Machine
    from tests.simulation.world import World

WEIGHTS = {
    "kill": 8, "power": 2, "terminate": 3, "stop_in_the_dark": 2, "pause": 5, "clock": 4, "part_database": 4,
    "cut_sessions": 4, "restart_database": 3, "pause_database": 2, "part_client": 2, "split": 4, "silence": 3,
    "kill_client": 2, "promote": 3, "tear": 4, "flip_row": 2, "rewrite_row": 1, "lose_rows": 2,
}  # fmt: skip


class Misfortune:
    """The faults of one world: some happen all the time, with low probability, some at moments."""

    def __init__(self, world: "World", random: Random, kinds: Sequence[str] = ()) -> None:
        """`kinds`: what strikes, instead of what the seed chooses."""
        self.world = world
        self.random = random
        self.struck: dict[str, int] = defaultdict(int)
        self.lost = False
        self.knew: dict[Machine, int] = {}
        """When the database had lost rows: who knew of them."""
        self.knew_starts: dict[Machine, int] = {}
        self._parted: set[tuple[str, str]] = set()
        self._terminated: set[str] = set()
        chosen = [kind for kind in WEIGHTS if random.random() < 0.6]
        self._kinds = chosen
        self._strikes = random.choice([0, 1, 2, 3, 4, 6]) if chosen else 0
        if kinds:
            self._kinds, self._strikes = list(kinds), 4

    def begin(self) -> None:
        """Set the weather, and plan the strikes."""
        world, random = self.world, self.random
        if random.random() < 0.6:
            world.network.cut_part = random.choice([0.0, 0.002, 0.01, 0.03])
            world.network.split_part = random.choice([0.0, 0.05, 0.3])
            world.network.slow = random.choice([1.0, 1.0, 10.0])
            rates = world.server.rates
            rates.cut_before = random.choice([0.0, 0.01, 0.05])
            rates.cut_after = random.choice([0.0, 0.01, 0.05])
            rates.ghost = random.choice([0.0, 0.01, 0.05])
            rates.warning = random.choice([0.0, 0.01])
            rates.slow = random.choice([0.0, 0.01, 0.1])
        for _ in range(self._strikes):
            kind = random.choices(self._kinds, [WEIGHTS[kind] for kind in self._kinds])[0]
            world.later(0.1 + random.random() * 2.0, self._strike, kind)

    def _strike(self, kind: str) -> None:
        if self.world.quiet or self.lost:
            return
        done = getattr(self, f"_{kind}")()
        if done is not None:
            self.struck[kind] += 1
            self.world.trace("fault", kind, done)

    def heal(self) -> None:
        """End all of it, and start whatever is down."""
        world = self.world
        network, rates = world.network, world.server.rates
        network.cut_part = network.split_part = 0.0
        network.slow = 1.0
        rates.cut_before = rates.cut_after = rates.ghost = rates.warning = rates.slow = 0.0
        for one, other in sorted(self._parted):
            network.heal(one, other)
        for name in [machine.name for machine in world.machines]:
            world.server.heal(name)
        world.database.damaged.clear()
        world.database.node.resume()
        for machine in world.machines:
            machine.halted = False  # the person has decided, and the rows are what they were
            if machine.node is not None:
                machine.node.resume()
            world.later(0.1, machine.start)
        for customer in world.customers:
            if customer.node is not None:
                customer.node.resume()

    # --- who

    def _machine(self, *, leader: float = 0.7) -> "Machine | None":
        world = self.world
        if world.leader is not None and self.random.random() < leader:
            return world.leader
        running = [machine for machine in world.machines if machine.runs]
        return self.random.choice(running) if running else None

    def explains(self, machine: "Machine", code: Exit) -> bool:
        """Whether a process may have ended so."""
        if code is Exit.FENCED:
            return len(self.world.servers) > 1 or self.world.server.rates.ghost > 0 or machine.starts > 1
        damage_read = any(machine.name in who for who in self.world.database.read_damage.values())
        if code is Exit.LOG_DAMAGED:
            # Rows that go while a start reads them are missing rows to it.
            reads = machine.process is not None and machine.process._done[-1].name in {"recovery", "takeover"}
            return damage_read or (self.lost and reads)
        if code is Exit.LOG_LOST:
            # A row that was rewritten is another row in the place of one that was known.
            return self.lost or damage_read
        if code in {Exit.STOPPED, Exit.CUT_SHORT}:
            return machine.name in self._terminated
        return False

    # --- what; each returns what it did, or None

    def _kill(self, *, silently: bool = False) -> str | None:
        machine = self._machine()
        if machine is None:
            return None
        machine.kill(silently=silently)
        self.world.later(self.random.choice([0.05, 0.3, 1.5]) * self.random.random(), machine.start)
        return machine.name

    def _power(self) -> str | None:
        return self._kill(silently=True)

    def _tear(self) -> str | None:
        """A crash that leaves a damaged file behind."""
        machine = self._machine()
        if machine is None:
            return None
        machine.kill(silently=True)
        what = machine.tear(self.random)
        self.world.later(0.3 * self.random.random(), machine.start)
        return f"{machine.name} {what}"

    def _terminate(self) -> str | None:
        machine = self._machine()
        if machine is None:
            return None
        self._stop(machine)
        return machine.name

    def _stop_in_the_dark(self) -> str | None:
        """The database goes away under load, and whoever is on duty stops the leader: it cannot finish."""
        machine = self.world.leader
        if machine is None:
            return None
        self.world.server.restart(1.0 + 3.0 * self.random.random())
        self.world.later(0.2 * self.random.random(), self._stop, machine)
        return machine.name

    def _stop(self, machine: "Machine") -> None:
        if machine.node is not None:
            self._terminated.add(machine.name)
            machine.node.terminate()

    def _pause(self) -> str | None:
        machine = self._machine()
        if machine is None or machine.node is None:
            return None
        node = machine.node
        node.pause()
        seconds = self.random.choice([0.05, 0.5, 3.0]) * self.random.random()
        if self.random.random() < 0.4:
            # Long enough for somebody else to take over, and for clients not to have left.
            seconds = (0.8 + self.random.random()) * 1e-3 * machine.lease_ms
        self.world.later(seconds, node.resume)
        return f"{machine.name} {seconds:.3f}"

    def _clock(self) -> str | None:
        machine = self._machine()
        if machine is None or machine.node is None:
            return None
        seconds = self.random.choice([-3_600, -2, -0.1, 0.1, 2, 60]) * self.random.random()
        machine.clock_ns += round(seconds * 1e9)
        machine.node.clock_ns = machine.clock_ns
        return f"{machine.name} {seconds:.3f}"

    def _part_database(self) -> str | None:
        machine = self._machine()
        if machine is None:
            return None
        seconds = self.random.choice([0.1, 1.0, 4.0]) * self.random.random()
        self.world.server.part(machine.name)
        self.world.later(seconds, self.world.server.heal, machine.name)
        return f"{machine.name} {seconds:.3f}"

    def _split(self) -> str | None:
        """The leader and those who only read are on one side, everybody else on the other."""
        world, machine = self.world, self.world.leader
        if machine is None or len(world.servers) < 2:
            return None
        seconds = 1.5 + 2.0 * self.random.random()
        world.server.part(machine.name)
        if self.random.random() < 0.5:  # the database has been told that its sessions are gone
            for session in list(world.database.sessions.values()):
                if session.node is machine.node:
                    world.server.forget(session)
        world.later(seconds, world.server.heal, machine.name)
        for customer in world.customers:
            if not customer.notebook.reads_only:
                self._part(customer.name, machine.name, seconds)
        return f"{machine.name} {seconds:.3f}"

    def _part(self, one: str, other: str, seconds: float) -> None:
        self._parted.add((one, other))
        self.world.network.part(one, other)
        self.world.later(seconds, self.world.network.heal, one, other)

    def _cut_sessions(self) -> str | None:
        machine = self._machine()
        if machine is None:
            return None
        sessions = [each for each in self.world.database.sessions.values() if each.node is machine.node]
        for session in sessions:
            if self.random.random() < 0.7:
                self.world.server.end(session)
        return machine.name

    def _restart_database(self) -> str | None:
        seconds = self.random.choice([0.05, 0.5, 2.0]) * self.random.random()
        self.world.server.restart(seconds)
        return f"{seconds:.3f}"

    def _pause_database(self) -> str | None:
        node = self.world.database.node
        node.pause()
        seconds = self.random.choice([0.1, 1.0, 3.0]) * self.random.random()
        self.world.later(seconds, node.resume)
        return f"{seconds:.3f}"

    def _part_client(self) -> str | None:
        machine = self._machine(leader=1.0)
        customer = self.random.choice(self.world.customers)
        if machine is None:
            return None
        seconds = self.random.choice([0.1, 1.0, 5.0]) * self.random.random()
        self._part(customer.name, machine.name, seconds)
        return f"{customer.name} {machine.name} {seconds:.3f}"

    def _silence(self) -> str | None:
        transports = list(self.world.network.transports)
        if not transports:
            return None
        transport = self.random.choice(transports)
        self.world.network.silence(transport)
        return f"{transport.node.name} {transport.peer.node.name}"

    def _kill_client(self) -> str | None:
        customer = self.random.choice(self.world.customers)
        if customer.done:
            return None
        customer.kill()
        return customer.name

    def _promote(self) -> str | None:
        """Ask the leader to hand over to a standby."""
        database = self.world.database
        names = [name for name in database.standbys if database.leader and name != database.leader["name"]]
        if not names or database.leader is None or database.leader["released"]:
            return None
        database.leader["successor"] = name = self.random.choice(sorted(names))
        self._terminated |= {machine.name for machine in self.world.servers}
        return str(name)

    def _flip_row(self) -> str | None:
        """A bit of a row is read otherwise than it was written."""
        database, random = self.world.database, self.random
        if len(database.rows) < 4:
            return None
        seq = random.randrange(max(1, len(database.rows) - 12), len(database.rows))
        row = database.rows[seq]
        name = random.choice(["payload"] * 6 + ["hash", "previous_hash", "checksum", "time", "epoch"])
        value = getattr(row, name)
        if isinstance(value, bytes):
            raw = bytearray(value)
            raw[random.randrange(len(raw))] ^= 1 << random.randrange(8)
            changed: Any = bytes(raw)
        else:
            changed = value ^ 1 << random.randrange(20)
        database.damaged[seq] = row._replace(**{name: changed})
        self._read_again()
        return f"row {seq} {name}"

    def _rewrite_row(self) -> str | None:
        """Somebody has taken the commands out of a row, and made its checksum and hash fit."""
        database = self.world.database
        found = [row for row in database.rows[1:-1] if row.kind == Kind.BATCH]
        if not found:
            return None
        row = self.random.choice(found[-6:])
        payload = log_record.encode(Batch(), row.time)
        checksum = sha256(payload).digest()
        hash_ = row_hash(row.previous_hash, row.seq, row.epoch, row.time, row.format, row.kind, checksum, row.digest)
        database.damaged[row.seq] = row._replace(payload=payload, checksum=checksum, hash=hash_)
        self._read_again()
        return f"row {row.seq}"

    def _read_again(self) -> None:
        """Have somebody read the log from its snapshot on."""
        machine = self._machine(leader=0.3)
        if machine is not None:
            machine.kill()
            self.world.later(0.05, machine.start)

    def _lose_rows(self) -> str | None:
        """The database fails over to a standby that had not got its newest rows."""
        world = self.world
        if world.loop.now < BEGIN + 0.5 or len(world.database.rows) < 10:
            return None
        count = self.random.randint(1, 5)
        self.lost = True
        world.stopping = True
        last = len(world.database.rows) - 1 - count
        for machine in world.machines:
            if machine.runs and machine.seq > last:
                self.knew[machine] = machine.seq
                self.knew_starts[machine] = machine.starts
        world.server.restart(0.05)
        world.database.lose(count)
        for machine in self.knew:
            if machine.leads:
                world.later(0.5, Probe(world, machine).start)
        return f"rows behind {last}"


class Probe:
    """Asks a leader whose newest rows are gone: it must not answer."""

    def __init__(self, world: "World", machine: "Machine") -> None:
        self._world = world
        self._machine = machine

    def start(self) -> None:
        """Begin to ask."""
        loop = self._world.loop
        loop.start(Node(loop, "probe"), self._ask())

    async def _ask(self) -> None:
        client = Client("127.0.0.1", self._machine.port, deadline_s=3.0)
        try:
            await client.connect()
            await client.lookup_accounts([COUNTER])
        except ClientError:
            return
        self._world.findings.add(
            Finding.LOST, f"{self._machine.name} answered a read from memory that the database has lost"
        )
