"""The clients of a simulated world: each is a process with the server's own client and a notebook on its disk."""

import asyncio
import math
import traceback
from random import Random
from typing import TYPE_CHECKING

from server.client import Client
from server.client.errors import BEHIND, BUSY, ClientError, DeadlineExceeded, RequestError
from tests.crash.findings import Finding
from tests.simulation.history import ACCOUNTS, COUNTER, HOT, WRITES, Call, Notebook
from tests.simulation.loop import Node

if TYPE_CHECKING:
    from tests.simulation.world import World


class Customer:
    """One client."""

    def __init__(self, world: "World", number: int, random: Random, *, calls: int, reads_only: bool = False) -> None:
        self.world = world
        self.number = number
        self.name = f"client{number}"
        self.random = random
        self.calls = calls
        self.notebook = Notebook(number, random, reads_only)
        self.node: Node | None = None
        self.clock_ns = 0
        self.done = False
        self.concurrency = 1 if world.standby_reads else random.choice([1, 1, 2, 4])
        self.pause = 0.04 if reads_only else random.choice([0.0, 0.02, 0.06])
        self.switch_after_s = random.choice([0.2, 0.5, 2.0])
        self.reads_replica = random.random() < 0.5
        self.seq = 0
        """Highest log entry that it was told of."""

    def start(self) -> None:
        """Start its process."""
        if self.node is None and not self.done:
            node = self.node = Node(self.world.loop, self.name)
            node.clock_ns = self.clock_ns
            self.world.loop.start(node, self._main()).add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        error = task.exception()
        if error is not None:
            told = "".join(traceback.format_exception(error, limit=-4))
            self.world.findings.add(Finding.PROTOCOL, f"{self.name} ended: {told}")

    def kill(self) -> None:
        """Kill its process; what stands in the notebook is there when it is started again."""
        node = self.node
        if node is not None:
            self.node = None
            node.kill()
            self.world.loop.graveyard.append(node)
            self.world.network.kill(node)
            self.world.later(0.1, self.start)

    async def _main(self) -> None:
        world = self.world
        ports = [machine.port for machine in world.servers]
        first = self.random.randrange(len(ports))
        ports = ports[first:] + ports[:first]
        client = Client(
            "127.0.0.1",
            ports[0],
            others=[("127.0.0.1", port) for port in ports[1:]],
            deadline_s=math.inf,
            connect_deadline_s=1e9,
            in_flight_max=self.random.choice([1, 4, 64]),
            switch_after_s=self.switch_after_s,
        )
        replica: Client | None = None
        await client.connect()
        for machine in world.machines:
            if machine.follows and self.reads_replica:
                replica = Client("127.0.0.1", machine.port, deadline_s=math.inf, connect_deadline_s=1e9)
        await client.create_accounts(ACCOUNTS)
        # What has no answer comes first, in the order in which it was asked.
        for call in [call for call in self.notebook.calls if not call.got]:
            await self._call(client, call, again=True)
        self._connected = False
        await asyncio.gather(*(self._work(client, replica) for _ in range(self.concurrency)))
        await client.close()
        if replica is not None:
            await replica.close()
        self.done = True
        self.world.working -= 1

    async def _work(self, client: Client, replica: Client | None) -> None:
        while len(self.notebook.calls) < self.calls and not (self.notebook.reads_only and self.world.working == 1):
            call = self.notebook.next()
            if replica is not None and call.kind not in WRITES and self.random.random() < 0.6:
                call.replica = True
                if not self._connected:
                    self._connected = True
                    await replica.connect()
            await self._call(replica if call.replica and replica is not None else client, call)
            self.seq = max(self.seq, client.seq)
            if self.pause:
                await asyncio.sleep(self.random.expovariate(1 / self.pause))

    async def _call(self, client: Client, call: Call, *, again: bool = False) -> None:
        """Call until there is an answer; deadlines pass, and the same call is made again."""
        loop = self.world.loop
        call.replica = call.replica and not again
        while True:
            call.sent = call.sent or loop.now
            call.sent_last = loop.now
            call.attempts += 1
            deadline = self.random.choice([0.05, 0.5]) if self.random.random() < 0.1 else math.inf
            if call.kind not in WRITES and (call.replica or self.world.standby_reads):
                call.replica = True
                call.min_seq = self.seq
            client.min_seq = call.min_seq
            try:
                call.result = await self._ask(client, call, deadline)
            except DeadlineExceeded as error:
                call.resent = call.resent or error.sent
                continue
            except RequestError as error:
                if error.code in {BEHIND, BUSY}:  # in the time of the call: nothing was executed
                    await asyncio.sleep(0.05)
                    continue
                call.error = f"{error.code}: {error.message}"
            except ClientError as error:
                call.error = f"{type(error).__name__}: {error}"
            break
        call.got = loop.now
        if call.kind in WRITES and not call.error:
            self.notebook.written.append(call)
        self.world.trace("answer", call.client, call.n, call.kind, call.error or _short(call.result))

    async def _ask(self, client: Client, call: Call, deadline: float) -> object:
        match call.kind:
            case "read_counter":
                return await client.lookup_accounts([COUNTER, HOT], deadline_s=deadline)
            case "read_history":
                return await client.get_account_balances(COUNTER, limit=1, reversed=True, deadline_s=deadline)
            case "read_transfers":
                return await client.lookup_transfers(call.items, deadline_s=deadline)
            case "ping":
                return await client.ping(deadline_s=deadline)
        results = await client.create_transfers(call.items, deadline_s=deadline)
        if call.attempts > 1:
            results = await client.settle_transfers(call.items, results)
        return results


def _short(result: object) -> str:
    if isinstance(result, list):
        return " ".join(f"{each[0]!s}:{each[-1]!s}" if each is not None else "-" for each in result)
    return str(result)
