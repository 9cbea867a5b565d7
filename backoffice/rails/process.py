"""The simulated rail as a program of its own: HTTP in, signed callbacks out, faults on purpose.

Its journal is a file of JSON lines, each synced before anything is answered; the state is made from it again after a
kill, because the machine is a function of what it was told and when. A line cut off at the end was never answered and
is dropped. Faults follow from the seed, the reference and the number of the attempt, never from a random number.
"""

import asyncio
import contextlib
import heapq
import itertools
import json
import os
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

import httpx
import structlog
from fastapi import Depends, FastAPI, HTTPException, Query, Request, Response
from pydantic import ValidationError

from backoffice.payments.railfile import RailItem
from backoffice.rails.planting import Plant, Planted, planted
from backoffice.rails.signing import Call, Keys, Nonces, SignatureError, sign, verify
from backoffice.rails.simulator import RULES, Rules, Simulator, chance
from backoffice.rails.wire import (
    AnswerOut,
    CallbackIn,
    CallbackOut,
    EventKind,
    EventOut,
    IncomingIn,
    OperationIn,
    RailKind,
)

log = structlog.get_logger("tongbao.rail")
RETRY_S_MAX: Final = 5.0
CALLBACKS_AT_ONCE: Final = 8
BODY_BYTES_MAX: Final = 65_536


@dataclass(frozen=True, slots=True)
class Faults:
    """What goes wrong, in parts per million of requests or callbacks; `delay_s` is the mean wait of a callback."""

    delay_s: float = 0.0
    duplicates_ppm: int = 0
    failures_ppm: int = 0
    """Of requests: a third is refused undone, a third done and then failed, a third done and never answered."""
    lost_ppm: int = 0
    """Of callbacks that answer an order: never sent. The office finds out by asking."""
    hang_s: float = 5.0
    plants: tuple[Plant, ...] = ()
    """What is false in the settlement file."""


@dataclass(frozen=True, slots=True)
class Setup:
    """What a process runs with."""

    kind: RailKind
    callback: str
    """Address of the office's callbacks; "" sends none."""
    keys: Keys
    directory: Path
    seed: int = 1
    name: str = ""
    faults: Faults = field(default_factory=Faults)
    rules: Rules | None = None


class JournalError(Exception):
    """The journal cannot be read: a line before the last is not whole."""


class Journal:
    """Lines of JSON; each is on the disk before `write` returns."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a+b")

    def read(self) -> list[dict[str, Any]]:
        """Give all lines and cut off a last one that is not whole. Raises JournalError."""
        self._file.seek(0)
        content = self._file.read()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            self._file.truncate(whole)
            os.fsync(self._file.fileno())
        try:
            return [json.loads(line) for line in content[:whole].splitlines()]
        except ValueError as error:
            raise JournalError(f"{self._file.name}: {error}") from None

    def write(self, entry: dict[str, Any]) -> None:
        """Append one entry."""
        self._file.write(json.dumps(entry).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class Rail:
    """The machine, its journal, and the callbacks that are to be sent."""

    def __init__(self, setup: Setup, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.setup = setup
        self.name = setup.name or setup.kind.value
        self.machine = Simulator(self.name, setup.kind, setup.seed, setup.rules or RULES[setup.kind])
        self.nonces = Nonces()
        self.attempts: Counter[str] = Counter()
        self._clock = clock
        self._told: set[str] = set()
        self._queued = 0
        self._queue: list[tuple[float, int, EventOut, int]] = []
        self._numbers = itertools.count()
        self._wake = asyncio.Event()
        self.journal = Journal(setup.directory / f"{self.name}.jsonl")
        for entry in self.journal.read():
            self._again(entry)

    def now(self) -> datetime:
        """The clock, never before what has happened already."""
        return max(self._clock(), self.machine.now)

    def _again(self, entry: dict[str, Any]) -> None:
        """Do what the journal says, as it was done."""
        at = datetime.fromisoformat(entry["at"])
        match entry["do"]:
            case "ask":
                self.machine.ask(OperationIn.model_validate(entry["request"]), at)
            case "incoming":
                self.machine.incoming(IncomingIn.model_validate(entry["request"]), at)
            case "collected":
                self.machine.collected(EventOut.model_validate(entry["event"]), entry["agreed"], at)
            case _:
                self._told.add(entry["event"])

    def _write(self, do: str, at: datetime, **more: Any) -> None:
        self.journal.write({"do": do, "at": at.isoformat()} | more)

    def ask(self, request: OperationIn) -> AnswerOut | None:
        """Do an operation and queue what is to be told of it."""
        now = self.now()
        if request.reference not in self.machine.operations:
            self._write("ask", now, request=request.model_dump(mode="json"))
        answer = self.machine.ask(request, now)
        self.enqueue()
        return answer

    def incoming(self, asked: IncomingIn) -> EventOut | None:
        """Let somebody outside pay or collect."""
        now = self.now()
        if asked.name not in self.machine.book:
            self._write("incoming", now, request=asked.model_dump(mode="json"))
        event = self.machine.incoming(asked, now)
        self.enqueue()
        return event

    def file(self, day: date) -> tuple[list[RailItem], list[Planted]]:
        """Give the items of the day's file, and what is false among them."""
        return planted(self.machine.day(day), self.setup.faults.plants, self.setup.seed, self.name)

    # --- callbacks -----------------------------------------------------------------------------------

    def enqueue(self) -> None:
        """Queue every event that has happened since the last time."""
        faults = self.setup.faults
        for event in itertools.islice(self.machine.events, self._queued, None):
            self._queued += 1
            lost = bool(event.reference) and self._by_chance("lost", event.id, faults.lost_ppm)
            if event.id in self._told or lost or not self.setup.callback:
                continue
            self._push(event, 0)
            if self._by_chance("twice", event.id, faults.duplicates_ppm):
                self._push(event, 1)

    def _by_chance(self, purpose: str, name: str, ppm: int) -> bool:
        return chance(self.setup.seed, purpose, name) < ppm

    def _push(self, event: EventOut, attempt: int) -> None:
        """Queue one sending, at up to twice the mean delay: so they overtake each other."""
        wait = 2 * self.setup.faults.delay_s * chance(self.setup.seed, f"delay{attempt}", event.id) / 1_000_000
        if attempt > 1:
            wait += min(RETRY_S_MAX, 0.1 * 2**attempt)
        heapq.heappush(self._queue, (_monotonic() + wait, next(self._numbers), event, attempt))
        self._wake.set()

    async def work(self) -> None:
        """Send callbacks and let time pass, for ever."""
        async with httpx.AsyncClient(timeout=10.0, trust_env=False) as client, asyncio.TaskGroup() as tasks:
            slots = asyncio.Semaphore(CALLBACKS_AT_ONCE)
            while True:
                self.machine.advance(self.now())
                self.enqueue()
                self._wake.clear()
                if not self._queue or self._queue[0][0] > _monotonic():
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._wake.wait(), self._pause_s())
                    continue
                await slots.acquire()
                _, _, event, attempt = heapq.heappop(self._queue)
                tasks.create_task(self._send(client, event, attempt)).add_done_callback(lambda _: slots.release())

    def _pause_s(self) -> float:
        """Until the next callback or the next thing that happens by itself; at most a second."""
        pause = self._queue[0][0] - _monotonic() if self._queue else 1.0
        if self.machine.next_at is not None:
            pause = min(pause, (self.machine.next_at - self.now()).total_seconds())
        return min(1.0, max(0.001, pause))

    async def _send(self, client: httpx.AsyncClient, event: EventOut, attempt: int) -> None:
        """Send one callback; whatever is not a plain 200 is tried again, as often as it takes."""
        body = CallbackIn(event=event).model_dump_json().encode()
        target = urlsplit(self.setup.callback)
        path = target.path + (f"?{target.query}" if target.query else "")
        headers = sign(self.setup.keys, Call("POST", path, body), self._clock())
        try:
            response = await client.post(
                self.setup.callback, content=body, headers=headers | {"content-type": "application/json"}
            )
            told = CallbackOut.model_validate_json(response.content) if response.status_code == 200 else None
        except (httpx.HTTPError, ValidationError) as error:
            log.info("callback_failed", callback=event.id, error=type(error).__name__)
            told = None
        if told is None:
            self._push(event, max(2, attempt + 1))
        elif event.id not in self._told:
            now = self.now()
            if event.kind is EventKind.DEBIT:
                self._write("collected", now, event=event.model_dump(mode="json"), agreed=told.accepted)
                self.machine.collected(event, told.accepted, now)
            self._told.add(event.id)
            self._write("told", now, event=event.id)

    def untold(self) -> int:
        """How many callbacks are still to be sent."""
        return len(self._queue)


def _monotonic() -> float:
    return asyncio.get_running_loop().time()


def create_app(rail: Rail) -> FastAPI:
    """Make the HTTP side. Everything but /health is signed by the office."""

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        work = asyncio.create_task(rail.work())
        rail.enqueue()
        try:
            yield
        finally:
            work.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await work
            rail.journal.close()

    async def signed(request: Request) -> None:
        body = await request.body()
        path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        now = datetime.now(UTC)
        try:
            if len(body) > BODY_BYTES_MAX:
                raise HTTPException(413)
            rail.nonces.take(verify(rail.setup.keys, request.headers, Call(request.method, path, body), now), now)
        except SignatureError as error:
            log.warning("signature_refused", fault=error.fault.value)
            raise HTTPException(401, "signature") from None

    app = FastAPI(title=f"Simulated rail: {rail.setup.kind}", docs_url=None, redoc_url=None, lifespan=life)
    needs_signature = [Depends(signed)]

    @app.get("/health")
    async def health() -> dict[str, Any]:
        return {"rail": rail.name, "kind": rail.setup.kind, "untold": rail.untold()}

    @app.post("/operations", dependencies=needs_signature)
    async def operate(request: OperationIn) -> AnswerOut:
        faults = rail.setup.faults
        rail.attempts[request.reference] += 1
        draw = chance(rail.setup.seed, "fail", f"{request.reference}:{rail.attempts[request.reference]}")
        fault = draw % 3 if draw < faults.failures_ppm else None
        if fault == 0:
            raise HTTPException(503, "try again")
        answer = rail.ask(request)
        if answer is None:
            raise HTTPException(409, "the reference is known with another content")
        if fault == 2:
            await asyncio.sleep(faults.hang_s)
        if fault is not None:
            raise HTTPException(500, "failed")
        return answer

    @app.get("/operations/{reference}", dependencies=needs_signature)
    async def inquire(reference: str) -> AnswerOut:
        answer = rail.machine.answer_to(reference, rail.now())
        rail.enqueue()
        if answer is None:
            raise HTTPException(404, "no such reference")
        return answer

    @app.get("/file", dependencies=needs_signature)
    async def file(day: Annotated[date, Query()]) -> Response:
        rail.machine.advance(rail.now())
        items, _ = rail.file(day)
        return Response(rail.machine.file(day, items), media_type="text/plain; charset=utf-8")

    @app.get("/planted", dependencies=needs_signature)
    async def what_is_false(day: Annotated[date, Query()]) -> list[Planted]:
        return rail.file(day)[1]

    @app.get("/book", dependencies=needs_signature)
    async def book() -> dict[str, Any]:
        rail.machine.advance(rail.now())
        rail.machine.check_invariants()
        return {
            name: {
                "state": paid.payment.state,
                "captured_minor": paid.payment.captured_minor,
                "refunded_minor": paid.payment.refunded_minor,
            }
            for name, paid in rail.machine.book.items()
        }

    @app.post("/outside", dependencies=needs_signature)
    async def outside(request: IncomingIn) -> EventOut:
        if request.kind not in {EventKind.CREDIT, EventKind.DEBIT} or request.amount_minor == 0:
            raise HTTPException(422, "kind is credit or debit, and the amount is above zero")
        event = rail.incoming(request)
        if event is None:
            raise HTTPException(409, "the name is known")
        return event

    return app
