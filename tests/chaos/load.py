"""The public client under chaos: it knows all servers, waits as long as it takes, and counts what it was told."""

import asyncio
import contextlib
import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from uuid import UUID  # noqa: TC003 - in a list of attributes

from server.client import Account, Client, Status, Transfer, uuid7
from tests.crash.channel import ITEMS_MAX, Channel
from tests.crash.findings import Finding, Findings

LEDGER = 777
DEBIT, CREDIT = 7_770_001, 7_770_002
CALLERS = 4
SWITCH_SECONDS = 0.5
QUIET_SECONDS = 60.0


class Load:
    """Callers in a thread with a loop of its own. Each transfer moves 1, so a balance counts them."""

    def __init__(self, ports: list[int], switch_s: float = SWITCH_SECONDS) -> None:
        self.told: dict[UUID, str] = {}
        """What was answered to each id that was ever sent."""
        self.waits: list[tuple[float, float]] = []
        """When an answer came, and how long nobody had got one before it, where that was long."""
        self.reconnects = self.resends = 0
        self._ports = ports
        self._switch_s = switch_s
        self.answered = time.monotonic()
        self._running = threading.Event()
        self._ended = threading.Event()
        self._busy = 0
        self._ready: Future[None] = Future()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    def start(self) -> None:
        """Connect, and make the accounts."""
        self._thread.start()
        self._ready.result(60)

    def resume(self) -> None:
        self.answered = time.monotonic()
        self._running.set()

    def pause(self, findings: Findings, look: Callable[[], object]) -> None:
        """Return when every call has been answered; `look` is called meanwhile."""
        self._running.clear()
        deadline = time.monotonic() + QUIET_SECONDS
        while self._busy and time.monotonic() < deadline:
            look()
            time.sleep(0.01)
        if self._busy:
            findings.add(Finding.STUCK, f"{self._busy} calls of the public client have waited {QUIET_SECONDS:.0f} s")

    def end(self) -> None:
        self._running.set()
        self._ended.set()
        self._thread.join(20)

    def audit(self, port: int, findings: Findings) -> None:
        """Look everything up; nobody calls meanwhile."""
        ids = list(self.told)
        with Channel(port, seconds=60) as channel:
            there = []
            for at in range(0, len(ids), ITEMS_MAX):
                part = [str(each) for each in ids[at : at + ITEMS_MAX]]
                there += channel.call("lookup_transfers", part).result
            debit, credit = channel.call("lookup_accounts", [DEBIT, CREDIT]).result
        for each, found in zip(ids, there, strict=True):
            if found is None:
                findings.add(Finding.LOST, f"{each} was answered {self.told[each]} to the public client")
            if self.told[each] not in {Status.CREATED, Status.EXISTS}:
                findings.add(Finding.RETRY, f"{each} was answered {self.told[each]} to the public client")
        posted = int(debit["debits_posted"]), int(credit["credits_posted"])
        if posted != (len(ids), len(ids)):
            findings.add(Finding.BALANCE, f"{len(ids)} transfers of the public client, balances of {posted}")

    async def _run(self) -> None:
        first, *others = [("127.0.0.1", port) for port in self._ports]
        client = Client(
            *first, others=others, deadline_s=math.inf, connect_deadline_s=30, switch_after_s=self._switch_s
        )
        try:
            async with client:
                await client.create_accounts([Account(number, LEDGER, 1) for number in (DEBIT, CREDIT)])
                self._ready.set_result(None)
                callers = [asyncio.create_task(self._call(client)) for _ in range(CALLERS)]
                while not self._ended.is_set():
                    await asyncio.sleep(0.05)
                for caller in callers:
                    caller.cancel()
                await asyncio.gather(*callers, return_exceptions=True)
                self.reconnects, self.resends = client.reconnects, client.resends
        except Exception as error:
            with contextlib.suppress(Exception):
                self._ready.set_exception(error)
            raise

    async def _call(self, client: Client) -> None:
        number = 0
        while True:
            if not self._running.is_set():
                await asyncio.sleep(0.005)
                continue
            number += 1
            ids = [uuid7() for _ in range(1 + number % 8)]
            self._busy += 1
            results = await client.create_transfers([Transfer(each, DEBIT, CREDIT, 1, LEDGER, 1) for each in ids])
            self._busy -= 1
            now = time.monotonic()
            if now - self.answered > 0.1:
                self.waits.append((now, now - self.answered))
            self.answered = now
            self.told |= {each: result.status for each, result in zip(ids, results, strict=True)}
            await asyncio.sleep(0.005)
