"""One endpoint that is told of events by HTTP: signed, tried again, in order per account, at least once.

An event waits for those before it that name one of its accounts, and for no others: while one account's event is tried
again, those of other accounts go on. What is on its way is bounded; when that many events wait, nothing more is taken.
How far it is stands in a file: everything up to there was delivered or given up. What was delivered behind it is
delivered again after a crash, with the same webhook-id.
"""

import asyncio
import base64
import hashlib
import hmac
import json
import os
import random
import ssl
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from engine import Engine
from server.events.errors import EventsError
from server.events.hooks import Hook
from server.events.lines import text_of
from server.events.maker import KINDS, Event
from server.events.position import State, read_state, write_state
from server.events.publisher import Chunk, Mark
from server.logs import get as get_logger

SAVE_SECONDS = 0.2
"""At most so often the position is written: what a crash delivers again."""
GONE = 410
RETRY_AFTER_MAX = 3_600.0
LEDGER = ("debit_account_id", "credit_account_id")
TRADING = ("buy_account_id", "sell_account_id")
Key = tuple[str, int]


@dataclass(slots=True)
class _Entry:
    """An event on its way, or the end of a chunk."""

    mark: Mark | None = None
    """Where everything is when this and all before it are done; of the end of a chunk."""
    done: bool = False


class Webhook:
    """The target. Use it from one task."""

    events_max = 64
    drains = False

    def __init__(self, hook: Hook, directory: Path) -> None:
        """`directory`: of the files of all webhooks."""
        self.name = f"webhook:{hook.name}"
        self.hook = hook
        self.trouble: str | None = None
        self.settled: Mark | None = None
        self.dead = 0
        self.attempts = 0
        self._path = directory / f"{hook.name}.json"
        self._letters = directory / f"{hook.name}.dead.jsonl"
        self._failing: dict[str, str] = {}
        """Events that are tried again, and why."""
        self._disabled = ""
        self._dead_in_a_row = 0
        self._engine: Engine | None = None
        self._desks: dict[int, str] = {}
        self._window: deque[_Entry] = deque()
        self._last: dict[Key, asyncio.Future[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._room = asyncio.Event()
        self._saved: tuple[Mark | None, int, str] = (None, 0, "")
        self._saved_at = 0.0
        self._saver: asyncio.TimerHandle | None = None
        self._session: aiohttp.ClientSession | None = None
        self._slots = asyncio.Semaphore(hook.requests_max)
        self._log = get_logger()

    def begin(self, engine: Engine) -> None:
        """Desks are looked up in it."""
        self._engine = engine

    async def open(self) -> Mark | None:
        """Read where it is, and make the client."""
        if self._disabled:
            raise EventsError(f"{self.name}: is disabled: {self._disabled}. Start the follower again to try it again")
        state = read_state(self._path)
        self.settled, self.dead = state.mark, state.dead
        self._saved = (state.mark, state.dead, "")
        self._failing.clear()
        self.trouble = None
        self._window.clear()
        self._last.clear()
        if self._session is None:
            tls = ssl.create_default_context(cafile=self.hook.ca or None)
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self.hook.requests_max, ssl=tls),
                timeout=aiohttp.ClientTimeout(total=self.hook.timeout_seconds),
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
            )
        return state.mark

    async def publish(self, before: Mark | None, chunk: Chunk) -> None:
        """Take events, as soon as there is room for them."""
        if self.settled is None:
            self.settled = before if before is not None else Mark(chunk.mark.log_id, 0, b"")
        for seq, event in chunk.events:
            keys = self._wanted(event)
            if keys is None:
                continue
            while len(self._tasks) >= self.hook.waiting_max and not self._disabled:
                self._room.clear()
                await self._room.wait()
            if self._disabled:
                raise EventsError(f"{self.name}: is disabled: {self._disabled}")
            self._send(seq, event, keys)
        self._window.append(_Entry(chunk.mark, done=True))
        self._advance()

    async def close(self) -> None:
        """Stop what is on its way, write down where it is."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        if self._session is not None:
            session, self._session = self._session, None
            await session.close()
        self._save()

    # --- which events, and whom they concern --------------------------------------------------------

    def _wanted(self, event: Event) -> list[Key] | None:
        """The accounts of an event; None when the endpoint is not told of it."""
        hook = self.hook
        kind = KINDS[event.kind]
        if kind not in hook.kinds:
            return None
        data = json.loads(event.data)["data"]
        trading = [data[name] for name in TRADING if name in data]
        ledger = [data[name] for name in LEDGER if name in data]
        if "account_id" in data:
            (ledger if kind == "balances" else trading).append(data["account_id"])
        elif data.get("scope") == "account":
            trading.append(data["id"])
        if hook.accounts or hook.trading_accounts or hook.desks:
            named = (
                any(account in hook.accounts for account in ledger)
                or any(account in hook.trading_accounts for account in trading)
                or any(self._desk(account) in hook.desks for account in trading if hook.desks)
                or (data.get("scope") == "desk" and data.get("id") in hook.desks)
            )
            if not named:
                return None
        keys = [("ledger", account) for account in ledger] + [("trading", account) for account in trading]
        return keys or [("none", 0)]

    def _desk(self, account: int) -> str:
        """Desk of a trading account, which never changes."""
        if account not in self._desks and self._engine is not None:
            records = self._engine.array("trading_accounts")
            for record in records[len(self._desks) :]:
                self._desks[int(record["id"])] = text_of([record[f"desk_{word}"] for word in range(3)])
        return self._desks.get(account, "")

    # --- on their way ------------------------------------------------------------------------------

    def _send(self, seq: int, event: Event, keys: list[Key]) -> None:
        entry = _Entry()
        self._window.append(entry)
        waits = [future for key in keys if (future := self._last.get(key)) is not None]
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        for key in keys:
            self._last[key] = done
        task = asyncio.create_task(self._deliver(seq, event, waits))

        def ended(task: "asyncio.Task[None]") -> None:
            self._tasks.discard(task)
            self._room.set()
            if task.cancelled():
                return
            entry.done = True
            if not done.done():
                done.set_result(None)
            for key in keys:
                if self._last.get(key) is done:
                    del self._last[key]
            self._advance()

        self._tasks.add(task)
        task.add_done_callback(ended)

    async def _deliver(self, seq: int, event: Event, waits: list["asyncio.Future[None]"]) -> None:
        """Deliver one event, after those of its accounts before it; or give it up."""
        for future in waits:
            await asyncio.shield(future)
        hook = self.hook
        began = time.monotonic()
        name = f"{seq}-{event.place}"
        pause = hook.retry_seconds_min
        while True:
            async with self._slots:
                why, after = await self._attempt(name, event.data)
            if why is None:
                self._dead_in_a_row = 0
                self._fails(name, None)
                return
            self._fails(name, why)
            if self._disabled:
                await asyncio.Event().wait()  # until it is closed
            if time.monotonic() - began + pause > hook.give_up_seconds:
                self._fails(name, None)
                self._give_up(event, why)
                return
            await asyncio.sleep(max(after, pause * random.uniform(0.5, 1.0)))  # noqa: S311 - no secret
            pause = min(2 * pause, hook.retry_seconds_max)

    def _fails(self, name: str, why: str | None) -> None:
        """Note that an event is to be tried again, or that it is not any more."""
        if why is None:
            self._failing.pop(name, None)
        else:
            self._failing[name] = why
        self.trouble = self._disabled or next(iter(self._failing.values()), None)

    async def _attempt(self, webhook_id: str, body: bytes) -> tuple[str | None, float]:
        """Try once; return why it failed, and how long the endpoint wants to be left alone."""
        assert self._session is not None
        self.attempts += 1
        now = str(int(time.time()))
        headers = {
            "content-type": "application/json",
            "user-agent": "tongbao",
            "webhook-id": webhook_id,
            "webhook-timestamp": now,
            "webhook-signature": signature(self.hook.secret, webhook_id, now, body),
        }
        try:
            async with self._session.post(self.hook.url, data=body, headers=headers, allow_redirects=False) as answer:
                status, after = answer.status, answer.headers.get("retry-after", "")
        except (aiohttp.ClientError, OSError, TimeoutError, ssl.SSLError) as error:
            return type(error).__name__, 0.0
        if status == GONE:
            self._disable("the endpoint answered 410 Gone")
        if 200 <= status < 300:
            return None, 0.0
        return f"HTTP {status}", min(float(after), RETRY_AFTER_MAX) if after.isascii() and after.isdigit() else 0.0

    def _give_up(self, event: Event, why: str) -> None:
        """Write the event down, and go on with the next."""
        letter = json.dumps({"given_up": time.time_ns(), "why": why, "event": json.loads(event.data)})
        with self._letters.open("a", encoding="utf-8") as file:
            file.write(letter + "\n")
            file.flush()
            os.fsync(file.fileno())
        self.dead += 1
        self._dead_in_a_row += 1
        self._log.error("event_given_up", kind=self.name, reason=why)
        if self._dead_in_a_row >= self.hook.disable_after:
            self._disable(f"{self._dead_in_a_row} events in a row were given up, the last with {why}")

    def _disable(self, why: str) -> None:
        if not self._disabled:
            self._disabled = why
            self.trouble = why
            self._room.set()
            self._log.error("webhook_disabled", kind=self.name, reason=why)
            self._save()

    # --- where it is -----------------------------------------------------------------------------

    def _advance(self) -> None:
        """Move on over all that is done."""
        window = self._window
        while window and window[0].done:
            mark = window.popleft().mark
            if mark is not None:
                self.settled = mark
        if self._saver is None:
            pause = max(0.0, self._saved_at + SAVE_SECONDS - time.monotonic())
            self._saver = asyncio.get_running_loop().call_later(pause, self._save)

    def _save(self) -> None:
        if self._saver is not None:
            self._saver.cancel()
            self._saver = None
        state = (self.settled, self.dead, self._disabled)
        if self.settled is not None and state != self._saved:
            write_state(self._path, State(self.settled, self.dead, self._disabled, {"url": self.hook.url}))
            self._saved = state
        self._saved_at = time.monotonic()


def signature(secret: bytes, webhook_id: str, timestamp: str, body: bytes) -> str:
    """Sign as the Standard Webhooks specification says."""
    signed = f"{webhook_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode()
