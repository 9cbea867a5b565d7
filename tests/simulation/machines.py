"""The machines of a simulated world: each has a name, a disk, a port, perhaps a process of the server's own code."""

import contextlib
import copy
import os
import shutil
from functools import cache
from random import Random
from typing import TYPE_CHECKING, Any

from engine.limits import Limits
from server.follower.process import FollowProcess
from server.follower.settings import FollowSettings
from server.lifecycle import Server
from server.process import Exit
from server.settings import Settings
from tests.simulation.loop import Node

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.simulation.world import World

CAPACITY = {
    "accounts_max": 256, "transfers_max": 16_384, "burnt_max": 4_096, "balances_max": 16_384, "orders_max": 4_096,
    "open_orders_max": 1_024, "instruments_max": 16, "trading_accounts_max": 64, "links_max": 256,
    "positions_max": 256, "trades_max": 4_096, "executions_max": 16_384, "limit_pairs_max": 64, "proposals_max": 64,
    "scopes_max": 8, "scope_ranges_max": 16,
}  # fmt: skip
FIRST_PORT = 7_001


def limits() -> Limits:
    """Capacities of every engine of a world."""
    return Limits(**CAPACITY)


@cache
def _base(*, follower: bool) -> Settings:
    """Settings take a while to check, so it is done once."""
    kind: type[Settings] = FollowSettings if follower else Settings
    more: dict[str, Any] = {"replica": True} if follower else {"standby": True}
    more |= CAPACITY
    return kind(dev=True, http_port=0, database_url="simulated", snapshots_kept=2, **more)


def settings(*, follower: bool, **values: object) -> Any:
    """Return settings with some values of a world's own."""
    made = copy.copy(_base(follower=follower))
    for name, value in values.items():
        object.__setattr__(made, name, value)
    return made


class Machine:
    """One machine. Its process may be killed, stopped, paused and started again; its disk stays."""

    def __init__(self, world: "World", name: str, number: int, values: dict[str, object]) -> None:
        self.world = world
        self.name = name
        self.port = FIRST_PORT + number
        self.directory = world.directory / name
        self.values = values | {"data_dir": self.directory, "port": self.port}
        self.node: Node | None = None
        self.process: Any = None
        self.clock_ns = 0
        self.lease_ms: int = values.get("lease_ms", 100)  # type: ignore[assignment]
        self.starts = 0
        self.ended_by_itself: list[Exit] = []
        self.halted = False
        """It must not be started again before a person has decided."""

    @property
    def runs(self) -> bool:
        return self.node is not None

    @property
    def follows(self) -> bool:
        return self.name.startswith("replica")

    def start(self) -> None:
        """Start its process, as whoever supervises it would."""
        if self.runs or self.halted:
            return
        world = self.world
        node = self.node = Node(world.loop, self.name)
        node.clock_ns = self.clock_ns
        self.starts += 1
        world.trace("start", self.name)
        world.loop.start(node, self._main(node))

    async def _main(self, node: Node) -> None:
        kind: Callable[[Any], Any] = FollowProcess if self.follows else Server
        self.process = kind(settings(follower=self.follows, **self.values))
        code = await self.process.run()
        self.world.loop.on(self.world.nobody, 0.0, self._ended, node, code)

    def _ended(self, node: Node, code: Exit) -> None:
        if self.node is not node:
            return
        self.world.trace("end", self.name, code.name)
        self.ended_by_itself.append(code)
        self._gone()
        self.world.on_end(self, code)

    def kill(self, *, silently: bool = False) -> None:
        """End it as kill -9 does; `silently`: as if the machine had lost its power."""
        if self.runs:
            self.world.trace("kill", self.name, "silently" if silently else "")
            self._gone(silently=silently)

    def _gone(self, *, silently: bool = False) -> None:
        node, process = self.node, self.process
        assert node is not None
        self.node = None
        node.kill()
        world = self.world
        world.loop.graveyard.append(node)
        node.graveyard.append(process)
        world.network.kill(node, silently=silently)
        world.server.kill(node)
        if process is not None and process._lock >= 0:
            with contextlib.suppress(OSError):
                os.close(process._lock)
        self.process = None

    # --- its disk

    def tear(self, random: Random) -> str:
        """Damage what was written last, as a crash of the machine or a bad disk does; say what."""
        files = sorted((self.directory / "snapshots").glob("0*")) if self.directory.exists() else []
        if not files:
            return ""
        file = random.choice(files[-2:])
        data = bytearray(file.read_bytes())
        if not data:
            return ""
        how = random.choice(("cut", "flip", "zeros"))
        if how == "cut":
            del data[random.randrange(len(data)) :]
        elif how == "flip":
            data[random.randrange(len(data))] ^= 1 << random.randrange(8)
        else:
            at = random.randrange(len(data))
            data[at : at + 512] = bytes(len(data[at : at + 512]))
        file.write_bytes(data)
        return f"{how} {file.name}"

    def clear(self) -> None:
        """Empty its disk."""
        shutil.rmtree(self.directory, ignore_errors=True)

    # --- what is known of it

    @property
    def leads(self) -> bool:
        """Whether it serves as leader."""
        process = self.process
        return not self.follows and process is not None and process.state == "ready" and process.journal.epoch > 0

    @property
    def engine(self) -> Any:
        """Its engine, if it has come so far."""
        process = self.process
        recovered = getattr(process, "_recovered", None)
        return None if recovered is None else recovered.engine

    @property
    def seq(self) -> int:
        """Newest row that its engine has applied, or that it knows to be durable as leader."""
        process = self.process
        if self.leads:
            return int(process.batcher.seq)
        recovered = getattr(process, "_recovered", None)
        return -1 if recovered is None else int(recovered.seq)

    @property
    def at_rest(self) -> bool:
        """Whether its memory is exactly what the log says up to `seq`."""
        return not self.leads or self.process.batcher._flight is None
