"""The lease from both sides: a leader that keeps it, and a standby that follows the log until it is its turn.

What is safe stands in `server.journal.log`: this is about how soon (see `server.journal.lease`).
"""

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import NamedTuple

import asyncpg

from server.follower.follower import Follower
from server.journal import Fenced, Journal, JournalError, lease
from server.journal.link import GONE, Link
from server.logs import get as get_logger

RENEWALS = 5
"""A lease is renewed so often in its time."""
LOOKS = 20
"""A standby looks so often in the time of its own lease."""
AGAIN_SECONDS = 0.01
REGISTER_SECONDS = 1.0


class Who(NamedTuple):
    """Who we are to others."""

    name: str
    address: str
    """host:port."""
    lease_ms: int


class Leadership:
    """A leader's side: claims the lease, renews it, and gives it up."""

    def __init__(
        self,
        journal: Journal,
        who: Who,
        *,
        on_replaced: Callable[[BaseException], None],
        on_hand_over: Callable[[str], None],
    ) -> None:
        """`on_replaced` is called when another leader has claimed it, `on_hand_over` when we are asked to stop."""
        self.address = who.address
        self._journal = journal
        self._who = who
        self._on_replaced = on_replaced
        self._on_hand_over = on_hand_over
        self._link: Link | None = None
        self._lost = asyncio.Event()
        """The session that renews the lease has ended: standbys see that, and do not wait long."""
        self._asked = False
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Claim it; a database that does not answer just now is tried again beside everything else."""
        await self._renew()
        self._task = asyncio.create_task(self._go_on())

    async def stop(self, *, released: bool) -> None:
        """End; `released`: everything is answered, and a standby may take over at once."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if released and self._journal.epoch:
            with contextlib.suppress(*GONE, asyncpg.PostgresError, JournalError):
                async with asyncio.timeout(2.0):
                    if self._link is None or self._link.lost:
                        self._link = await self._journal.connect()
                    await lease.release(self._link, self._journal.epoch)
                    get_logger().info("lease_released", epoch=self._journal.epoch)
        if self._link is not None:
            await self._link.close()

    async def _go_on(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._who.lease_ms / 1e3 / RENEWALS):
                    await self._lost.wait()
            if self._lost.is_set():
                self._lost.clear()
                await asyncio.sleep(AGAIN_SECONDS)  # a database that ends sessions at once is not asked all the time
            await self._renew()

    async def _renew(self) -> None:
        epoch = self._journal.epoch
        try:
            async with asyncio.timeout(max(1.0, self._who.lease_ms / 1e3)):
                if self._link is None or self._link.lost:
                    self._link = await self._journal.connect()
                    self._link.connection.add_termination_listener(lambda _: self._lost.set())
                    await lease.ensure_tables(self._link)
                successor = await lease.renew(self._link, epoch, self.address)
                if successor is None and not await lease.claim(
                    self._link, epoch, self._who.name, self.address, self._who.lease_ms
                ):
                    self._on_replaced(Fenced(f"another leader holds the lease; ours is of epoch {epoch}"))
                    return
        except JournalError as error:
            # A new session found that the log is not what it was; with nothing to do, the journal has not noticed yet.
            self._on_replaced(error)
            return
        except (*GONE, asyncpg.PostgresError):
            # The journal meets the same trouble and says so; nothing depends on us.
            if self._link is not None:
                self._link.drop()
                self._link = None
            return
        if successor and not self._asked:
            self._asked = True
            self._on_hand_over(successor)


class Watch:
    """A standby's side: looks at the lease while its follower runs."""

    def __init__(self, journal: Journal, who: Who, follower: Follower) -> None:
        self._journal = journal
        self._who = who
        self._follower = follower
        self._link: Link | None = None
        self._registered = 0.0
        self._unclaimed = 0.0
        """Since when the newest epoch in the log has had no lease."""

    async def turn(self) -> int:
        """Follow the log until the lease is free; return the epoch after which to take over.

        Raises what ends a follower.
        """
        following = asyncio.create_task(self._follower.run())
        try:
            while True:
                why = await self._look()
                if following.done():
                    await following
                if why:
                    get_logger().info("lease_free", reason=why, epoch=self._epoch, seq=self._follower.seq)
                    return self._epoch
                await asyncio.wait({following}, timeout=self._who.lease_ms / 1e3 / LOOKS)
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)

    async def close(self, *, leave: bool) -> None:
        """End the sessions; `leave`: we are no standby any more."""
        if self._link is not None:
            if leave:
                with contextlib.suppress(*GONE, asyncpg.PostgresError):
                    await lease.leave(self._link, self._who.name)
            await self._link.close()
            self._link = None
        await self._follower.close()

    @property
    def _epoch(self) -> int:
        return self._follower.recovered.epoch

    async def _look(self) -> str:
        """Say why the lease is free, or nothing."""
        try:
            async with asyncio.timeout(max(1.0, self._who.lease_ms / 1e3)):
                if self._link is None or self._link.lost:
                    self._link = await self._journal.connect()
                    await lease.ensure_tables(self._link)
                    await self._link.connection.execute("SET synchronous_commit = off")
                held = await lease.look(self._link)
                if time.monotonic() - self._registered >= REGISTER_SECONDS:
                    self._registered = time.monotonic()
                    await lease.register(self._link, self._who.name, self._who.address, self._follower.seq)
        except (*GONE, asyncpg.PostgresError):
            # Whoever cannot reach the database cannot lead either.
            if self._link is not None:
                self._link.drop()
                self._link = None
            self._unclaimed = 0.0
            return ""
        return self._judge(held)

    def _judge(self, held: lease.Lease | None) -> str:
        epoch = self._epoch
        if held is None and not epoch:
            return "nobody has led yet"
        if held is None or held.epoch < epoch:
            # Somebody has taken over and not said so yet, and may have died before it could.
            now = time.monotonic()
            self._unclaimed = self._unclaimed or now
            return "not claimed" if now - self._unclaimed > self._who.lease_ms / 1e3 else ""
        self._unclaimed = 0.0
        if held.epoch > epoch or not held.over(self._who.name):
            return ""  # the row of its takeover is on its way to us; or all is well
        return "released" if held.released else "expired" if held.connected else "disconnected"
