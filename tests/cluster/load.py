"""Clients that send all the while, and what they were told; each transfer must be there once in the end."""

import asyncio
import contextlib
import itertools
import time
from collections.abc import Iterator
from threading import Event, Thread
from typing import TYPE_CHECKING

from server.client import Account, BlockingClient, Client, Status, Transfer, uuid7

if TYPE_CHECKING:
    from uuid import UUID

CLIENTS = 4
SIZE = 5


class Load:
    """Runs in a thread of its own, so that a test may do its harm in plain steps."""

    def __init__(self, *ports: int) -> None:
        self.done: list[UUID] = []
        """Transfers whose creation was acknowledged."""
        self.times: list[float] = []
        """When (`time.monotonic`), a batch each."""
        self.errors: list[BaseException] = []
        self._ports = ports
        self._stop = Event()
        self._thread = Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self.debit, self.credit = 0, 0

    def start(self) -> None:
        with BlockingClient("127.0.0.1", self._ports[0], deadline_s=60) as client:
            first = time.time_ns() % 2**40
            self.debit, self.credit = first, first + 1
            client.create_accounts([Account(self.debit, 156, 1), Account(self.credit, 156, 1)])
        self._thread.start()

    async def _run(self) -> None:
        others = [("127.0.0.1", port) for port in self._ports[1:]]

        async def send() -> None:
            async with Client("127.0.0.1", self._ports[0], others=others, deadline_s=150, switch_after_s=2.0) as client:
                while not self._stop.is_set():
                    ids = [uuid7() for _ in range(SIZE)]
                    results = await client.create_transfers(
                        [Transfer(id_, self.debit, self.credit, 1, 156, 1) for id_ in ids]
                    )
                    assert {result.status for result in results} <= {Status.CREATED, Status.EXISTS}
                    self.done += ids
                    self.times.append(time.monotonic())
                    await asyncio.sleep(0.001)

        for error in await asyncio.gather(*[send() for _ in range(CLIENTS)], return_exceptions=True):
            if error is not None:
                self.errors.append(error)

    def progress(self, seconds: float = 60.0) -> float:
        """Wait until something that is sent from now on has been acknowledged; return how long that took."""
        began = time.monotonic()
        count = len(self.times)
        while len(self.times) <= count + CLIENTS:  # what was on its way before may come first
            assert not self.errors, self.errors
            assert time.monotonic() - began < seconds, f"nothing acknowledged in {seconds} s"
            time.sleep(0.005)
        return time.monotonic() - began

    def pause(self) -> float:
        """The longest time without an acknowledgement so far."""
        times = self.times
        return max((after - before for before, after in itertools.pairwise(times)), default=0.0)

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(160)

    def audit(self, port: int) -> int:
        """Every acknowledged transfer is there once, and nothing else; return how many."""
        assert not self.errors, self.errors
        assert len(set(self.done)) == len(self.done) > 0
        with BlockingClient("127.0.0.1", port, deadline_s=60) as client:
            for first in range(0, len(self.done), 1000):
                assert all(client.lookup_transfers(self.done[first : first + 1000]))
            [account] = client.lookup_accounts([self.debit])
            assert account is not None
            assert account.debits_posted == len(self.done)
        return len(self.done)


@contextlib.contextmanager
def loaded(*ports: int) -> Iterator[Load]:
    """Load inside the block."""
    load = Load(*ports)
    load.start()
    try:
        load.progress()
        yield load
    finally:
        load.stop()
