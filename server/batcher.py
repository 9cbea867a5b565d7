"""Requests into batches, batches through the journal and the engine, replies out. The heart of the server.

One batch is open and takes requests; at most one is in flight, waiting for the database. When nothing is in flight the
open batch closes at the end of the loop's turn, so that everything read in one turn shares a commit; else it closes as
soon as the one in flight is durable. The size of a batch thus follows the load by itself, with no timer.

A batch in flight:
    turn 1   log record encoded, the journal's INSERT leaves for PostgreSQL; while that works, the engine applies the
             batch and the wire encodes the replies
    later    the commit is confirmed: the next batch closes, and one write per connection

What limits say about new orders and replaces stands in the log record, so a batch with such requests is applied first:
    turn 1   the engine applies the batch, its log record is encoded with the verdicts, the INSERT leaves; while that
             works, the wire encodes the replies
    later    the commit is confirmed: one write per connection, and then the next batch closes
If applying fails, nothing of the batch has been logged: the process stops, and the next one does not meet it again.

Memory runs ahead of the log by this one batch, and nobody sees it: replies, reads of the next batch included, wait for
the commit. A batch with reads or pings alone appends nothing. It is applied after everything before it is durable, and
its replies wait for a barrier: the proof that our row is still the head of the log under our epoch.

Any doubt about the log (Fenced, LogLost, an invariant broken) ends the process through `on_fatal`: no reply leaves
after it, and nothing is undone in memory.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from engine import Batch, Engine, log_record, order_requests
from engine._core.order_records import MASS_CANCEL_COMMAND
from engine.requests import clear
from server import batches
from server.metrics import Metrics
from server.pressure import BatchLimit
from server.session import FULL_BATCH, WINDOW
from server.wire import Position, encode
from server.wire.methods import ErrorCode

if TYPE_CHECKING:
    from engine.machine import Headroom
    from server.channels import ChannelUse
    from server.connection import Connection
    from server.feed import Feed

SPIN_REQUESTS_MAX = 4
"""In batches of up to so many requests there is time to spin: see Batcher._spin."""
BATCHES_KEPT = 3
"""Empty batches that are kept for their memory: one opens, one flies, one is refused in a stall."""


class Log(Protocol):
    """What the batcher needs of the journal."""

    def append(self, time: int, payload: bytes, digest: bytes | None) -> Awaitable[int]:
        """Send a row at once; give its seq once it is durable."""

    async def barrier(self) -> None:
        """Return if our row is still the head of the log under our epoch."""


@dataclass(slots=True)
class Flight:
    """The batch that waits for the journal."""

    batch: Batch
    serial: int
    survey: batches.Survey
    time: int
    """Nanoseconds, as logged."""
    seq: int
    """What the replies carry."""
    started: float
    logged: bool = False
    tick: bool = False
    """Logged for expiries alone: it has no items (perhaps reads)."""
    shed: bool = False
    """Whether a batch was refused behind it, because requests had waited too long for room."""
    executed: bool = False
    """By the engine; `applied` when the replies stand ready, too."""
    applied: bool = False
    confirmed: bool = False
    task: "asyncio.Future[int] | asyncio.Task[None] | None" = None
    late: "list[tuple[int, Late]]" = field(default_factory=list)
    replies: dict[int, bytes] = field(default_factory=dict)


Late = Callable[[int], bytes]
"""Makes a reply line when the seq is known that its batch waits for."""


class Boundary(NamedTuple):
    """A moment at which everything applied is durable."""

    seq: int
    items: int
    """Items logged since the last boundary."""


class Batcher:
    """See the head of this file. Runs in the event loop's thread and nowhere else."""

    def __init__(
        self,
        engine: Engine,
        log: Log,
        metrics: Metrics,
        *,
        seq: int,
        items_batch_max: int,
        queue_delay_seconds: float,
        batch_seconds: float = 3_600.0,
        digest_every: int,
        row_format: int = log_record.FORMAT,
        spin_seconds: float = 0.0,
        on_fatal: Callable[[BaseException], None],
        on_boundary: Callable[[Boundary], None] = lambda _: None,
        feed: "Feed | None" = None,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """`seq` is the newest committed entry; `on_boundary` runs after a commit, before the next batch closes.

        `row_format` is the newest of log records that is written if an older one would do. `feed` tells subscribers of
        what is durable. A batch that takes longer than `batch_seconds` makes the next ones
        shorter.
        """
        self._loop = asyncio.get_running_loop()
        self._engine = engine
        self._log = log
        self._metrics = metrics
        self._items_batch_max = items_batch_max
        self._queue_delay = queue_delay_seconds
        self._batch_limit = BatchLimit(items_batch_max, batch_seconds)
        self._digest_every = digest_every
        self._row_format = row_format
        self._spin_seconds = spin_seconds
        self._spin_until = 0.0
        self._spinning = False
        self._on_fatal = on_fatal
        self._on_boundary = on_boundary
        self._feed = feed
        self._cancels: list[int] = []
        """Sessions that have ended, whose orders the next batch cancels."""
        self._clock_ns = clock_ns
        self._flight: Flight | None = None
        self._spare = [Batch() for _ in range(BATCHES_KEPT - 1)]
        self._opened = 0.0
        self._dead = False
        self._held: dict[int, list[bytes]] = {}
        """Busy replies of connections that are owed replies of the batch in flight first."""
        self._moved_uses: list[ChannelUse] = []
        """Channels with requests in the batch in flight."""
        self._landed = asyncio.Event()
        self.open = Batch()
        self.serial = 1
        """Number of the open batch; connections use it to tell batches apart."""
        self.finished = 0
        """Serial of the newest batch that was answered."""
        self.position = Position(seq)
        """The newest committed log entry, as parsers see it."""
        self.waits = False
        """Whether requests with a `min_seq` beyond it are to wait for it: it cannot come by itself to a leader."""
        self.scheduled = False
        """Whether nothing must be done for the open batch to close: it will."""
        self.connections: dict[int, Connection] = {}
        self.uses: list[ChannelUse] = []
        """Channels with requests in the open batch."""
        self.late: list[tuple[int, Late]] = []
        """Answers of the open batch that Python gives: their places, and how to make them."""
        self.waiting: list[Connection] = []
        """Connections that the open batch had no room for."""
        self.scarce = False
        """Whether so little capacity is left that each parse must be told how much."""
        self.disk_low = False
        """Writes are answered busy until there is space again."""
        self._look_at_headroom()
        self._limit(self.open, None)

    @property
    def seq(self) -> int:
        """Newest committed log entry."""
        return self.position.seq

    @property
    def full(self) -> bool:
        """Whether the open batch is as long as it may be just now."""
        return batches.weight(self.open) >= self._batch_limit.items

    # --- what connections call -------------------------------------------------------------------

    def schedule(self) -> None:
        """Close the open batch as soon as it may; called when it has got its first request."""
        self.scheduled = True
        self._opened = time.monotonic()
        if self._flight is None:
            self._loop.call_soon(self._close)

    def admission(self) -> tuple[int, int, int]:
        """Accounts, transfers and items of set_limits that still fit behind what the open batch holds."""
        accounts, transfers, limits = batches.room(self.open)
        free = self._engine.headroom()
        # A transfer may burn an id instead of taking a place, and may leave a balance on both its accounts. Orders
        # leave room for what they may make, see `_limit`.
        generated = 8 * (self._engine.slices + batches.orders_room(self.open)[0])
        room = min(free.transfers - generated, free.burnt, free.balances // 2 - generated)
        return free.accounts - accounts, room - transfers, _limits_room(free) - limits

    def cancel_session(self, session: int) -> None:
        """Cancel the orders of a session that has ended, with the next batch."""
        self._cancels.append(session)
        if not self.scheduled:
            self.schedule()

    def wait_for(self, seq: int, connection: "Connection") -> None:
        """Let a connection go on when log entry `seq` is here, or after a while; for batchers that wait."""
        raise NotImplementedError

    def _limit(self, batch: Batch, ahead: Batch | None) -> None:
        """Say how much a new batch may ask of the stores of orders, behind one that may not have been applied yet.

        Always left free is what needs no new request: fills of the orders that are open, the end of every order.
        """
        engine = self._engine
        free = engine.headroom()
        limits = engine.limits
        slices, ends = engine.slices, engine.open_orders
        fills, listings = batches.orders_room(ahead) if ahead is not None else (0, 0)
        spare = 2 * (self._items_batch_max + 65_536)  # plain transfers of this batch and the one ahead
        fills_max = min(
            free.orders,
            free.open_orders,
            free.positions,
            free.trades - slices,
            (free.transfers - spare - 2 * (limits.positions_max - free.positions)) // 8 - slices,
            (free.balances - 2 * spare - 4 * (limits.positions_max - free.positions)) // 16 - slices,
            (free.executions - 3 * slices - 3 * ends) // 10,
        )
        listings_max = min(
            free.instruments, free.trading_accounts, free.links, free.accounts // 2, free.desks_and_clients // 2
        )
        batches.limit_orders(batch, max(0, fills_max - fills), max(0, listings_max - listings))

    # --- the way of a batch ----------------------------------------------------------------------

    def _close(self, *, apply_now: bool = True) -> None:
        """Put the open batch in flight, if nothing else is; apply it at once unless the caller has to write first."""
        if self._flight is not None or self._dead:
            return
        self.scheduled = False
        batch = self.open
        engine = self._engine
        survey = batches.survey(batch)
        now = max(self._clock_ns(), engine.last_timestamp + 1)
        due = 0 < engine.next_expiry <= now
        if not survey.requests and not due and not self._cancels:
            return
        started = time.monotonic()
        if survey.writes and self.disk_low:
            refused = batches.refuse(batch, ErrorCode.BUSY, "busy: disk space is low", writes_only=True)
            self._metrics.requests_refused["disk_free"] += refused
            survey = batches.survey(batch)
        if self._cancels:
            self._cancel_sessions(batch)
            survey = batches.survey(batch)
        flight = self._flight = Flight(batch, self.serial, survey, now, self.seq, started, late=self.late)
        self._open_next()
        if survey.requests:
            self._metrics.queue_seconds.observe(started - self._opened)
        try:
            if survey.items or due:
                # Expiry changes the state, so a batch at whose time something is due is logged even if it only reads.
                flight.logged, flight.tick = True, not survey.items
                flight.seq = self.seq + 1
                digest = engine.digest() if flight.seq % self._digest_every == 0 else None
                if batches.decides(batch):
                    self._execute(flight)
                    flight.started = time.monotonic()
                encoding = time.perf_counter()
                payload = log_record.encode(batch, now, format_most=self._row_format)
                encoded = time.perf_counter()
                flight.task = asyncio.ensure_future(self._log.append(now, payload, digest))
                stages = self._metrics.stage_seconds
                stages["log_encode"] += encoded - encoding
                stages["append"] += time.perf_counter() - encoded
            elif survey.writes or survey.reads or survey.pings:
                flight.task = self._loop.create_task(self._log.barrier())
        except Exception as error:  # noqa: BLE001 - whatever it is, the state is in doubt
            self._fail(error)
            return
        if flight.task is None:
            # Not at once: the replies of the batch before it may still have to be written, by whoever called us.
            flight.confirmed = True
            self._loop.call_soon(self._apply)
            return
        flight.task.add_done_callback(self._confirmed)
        if self._spin_seconds and survey.requests <= SPIN_REQUESTS_MAX:
            self._spin(started + self._spin_seconds)
        if flight.logged and apply_now:
            self._apply()  # the row is under way
        else:
            self._loop.call_soon(self._apply)  # a barrier's first step stands in the queue before this

    def _cancel_sessions(self, batch: Batch) -> None:
        """Mass cancels of ours, at the end of the batch; nobody is answered."""
        sessions, self._cancels = self._cancels, []
        commands = np.zeros(len(sessions), MASS_CANCEL_COMMAND)
        commands["session"] = sessions
        order_requests.append(batch, "mass_cancel", commands)

    def _open_next(self) -> None:
        """Open an empty batch, and let those in that the one before had no room for."""
        ahead = self.open
        self.open = self._spare.pop() if self._spare else Batch()
        self._limit(self.open, ahead)
        self.serial += 1
        self.late = []
        for use in self.uses:
            use.waiting += use.open
            use.open = 0
        self._moved_uses = self.uses
        self.uses = []
        if self.waiting:
            self._loop.call_soon(self._let_in)

    def _let_in(self) -> None:
        """Parse for those that wait, until the batch is full. Who was served goes behind who was not.

        If the first of them has sent more than there was room for ever since the queue-delay target, what it sends now
        has waited as long, here or in its socket, and will be late: the batch is answered busy. That is done once for
        each batch in flight, so that refusing never takes the time that serving needs.
        """
        waiting, self.waiting = self.waiting, []
        overdue = bool(waiting) and self._loop.time() - waiting[0].backlog_since > self._queue_delay
        for index, connection in enumerate(waiting):
            if self.full:
                self.waiting[:0] = waiting[index:]
                break
            connection.resume(FULL_BATCH)
            if self.waiting:
                self.waiting[:0] = waiting[index + 1 :]
                break
        if overdue:
            self._loop.call_soon(self._shed)  # behind the batch in flight, which may not have been applied yet

    def _shed(self) -> None:
        """Answer the open batch busy."""
        flight = self._flight
        if not self._dead and flight is not None and flight.applied and not flight.shed and len(self.open):
            flight.shed = True
            self._refuse_open(flight, "overload", "busy: there is more to do than can be done, nothing was executed")

    def _execute(self, flight: Flight) -> None:
        """Let the engine apply a batch; memory is ahead of the log from here to its commit."""
        started = time.perf_counter()
        flight.executed = True
        if flight.logged:
            self._engine.batches = flight.seq - 1  # rows without a batch count, too
        if flight.late and self._feed is not None:
            self._feed.before_batch()
        if flight.tick:
            self._engine.tick(flight.time, flight.batch)
        if flight.survey.writes or flight.survey.reads:
            self._engine.apply(flight.batch, flight.time)
        self._metrics.apply_seconds.observe(time.perf_counter() - started)

    def _apply(self) -> None:
        """Execute the batch in flight, if that has not been done, and encode its replies."""
        flight = self._flight
        if flight is None or self._dead:
            return
        try:
            if not flight.executed:
                self._execute(flight)
            applied = time.perf_counter()
            for place, make in flight.late:
                flight.batch.answers[place] = make(flight.seq)
            runs = encode(flight.batch, flight.seq, flight.time)
        except Exception as error:  # noqa: BLE001
            self._fail(error)
            return
        flight.replies = together(runs)
        encoded = time.perf_counter()
        self._metrics.encode_seconds.observe(encoded - applied)
        flight.applied = True
        if flight.logged:
            self._look_at_headroom()
        if flight.confirmed:
            self._finish(flight)

    def _confirmed(self, task: "asyncio.Future[Any]") -> None:
        """The journal has answered."""
        flight = self._flight
        if self._dead or flight is None or task is not flight.task:
            return
        if task.cancelled():
            self._fail(RuntimeError("the task of the journal was cancelled"))
            return
        error = task.exception()
        if error is not None:
            self._fail(error)
            return
        elapsed = time.monotonic() - flight.started
        if flight.logged:
            if task.result() != flight.seq:
                self._fail(RuntimeError(f"the journal wrote row {task.result()} and {flight.seq} was expected"))
                return
            self._metrics.commit_seconds.observe(elapsed)
            self._batch_limit.took(flight.survey.items, elapsed)
        else:
            self._metrics.barrier_seconds.observe(elapsed)
        flight.confirmed = True
        if flight.applied:
            self._finish(flight)

    def _finish(self, flight: Flight) -> None:
        """Send the replies of a batch that is applied and durable, and close the next."""
        self._flight = None
        self.position.seq = flight.seq
        self.finished = flight.serial
        for use in self._moved_uses:
            use.waiting = 0
        released = [use for use in self._moved_uses if use.stopped]
        survey = flight.survey
        if flight.logged:
            self._on_boundary(Boundary(flight.seq, survey.items))
        # First the next batch to the database, which can work while we write. But one that must be applied first waits:
        # while we publish, memory must be what the log says.
        waits = self.scheduled and batches.decides(self.open)
        if self.scheduled and not waits:
            self._close(apply_now=False)
        replies, held = flight.replies, self._held
        if held:
            self._held = {}
            for number, more in held.items():
                self._send(number, replies.pop(number, None), more)
        writing = time.perf_counter()
        connections = self.connections
        sent = 0
        for number, data in replies.items():
            connection = connections.get(number)
            if connection is not None:
                connection.send(data)
                sent += len(data)
        self._metrics.stage_seconds["write"] += time.perf_counter() - writing
        if self._feed is not None and self._feed.active:
            # The next batch is on its way but not applied: memory is what the log says.
            self._feed.publish(flight.batch, flight.seq, logged=flight.logged)
        self._count(flight, survey, sent)
        clear(flight.batch)
        if len(self._spare) < BATCHES_KEPT:
            self._spare.append(flight.batch)
        for use in released:
            self._release(use)
        if waits:
            self._close()
        self._landed.set()
        if self._spinning:
            # A client that waits for one answer after the other asks again at once, or not so soon.
            self._spin(time.monotonic() + self._spin_seconds / 5)

    def _spin(self, until: float) -> None:
        """Keep the loop from sleeping: one that sleeps is woken some 30 µs late, and a commit takes 200 µs.

        Only while little is going on; else the CPU has better things to do, and a batch wins nothing by it.
        """
        self._spin_until = until
        if not self._spinning:
            self._spinning = True
            self._loop.call_soon(self._spin_on)

    def _spin_on(self) -> None:
        if len(self.open) > SPIN_REQUESTS_MAX or self._dead or time.monotonic() > self._spin_until:
            self._spinning = False
        else:
            self._loop.call_soon(self._spin_on)

    def _send(self, number: int, first: bytes | None, more: list[bytes]) -> None:
        connection = self.connections.get(number)
        if connection is not None:
            for data in more if first is None else [first, *more]:
                connection.send(data)

    def _count(self, flight: Flight, survey: batches.Survey, sent: int) -> None:
        metrics = self._metrics
        kind = "tick" if flight.tick else "logged" if flight.logged else "reads" if survey.reads else "replies"
        metrics.batches[kind] += 1
        requests = metrics.requests
        requests["write"] += survey.writes
        requests["read"] += survey.reads
        requests["ping"] += survey.pings
        requests["other"] += survey.requests - survey.writes - survey.reads - survey.pings
        metrics.batch_requests.observe(survey.requests)
        metrics.bytes_sent += sent
        if flight.logged:
            metrics.items += survey.items
            metrics.batch_items.observe(survey.items)

    @staticmethod
    def _release(use: "ChannelUse") -> None:
        stopped, use.stopped = use.stopped, []
        for connection in stopped:
            connection.resume(WINDOW)

    def _look_at_headroom(self) -> None:
        free = self._engine.headroom()
        generated = 8 * self._engine.slices  # transfers that the orders which rest may make
        # Twice, since one batch may be applied between a look and a parse.
        enough = 2 * (self._items_batch_max + 65_536)
        transfers = min(free.transfers - generated, free.balances // 2 - generated)
        self.scarce = min(free.accounts, free.burnt, transfers, _limits_room(free)) < enough

    # --- a slow database, ticks, the end -----------------------------------------------------------

    def look(self) -> None:
        """Do what is due by time; to be called several times a second.

        Closes a batch for expiries, and answers busy whatever has gathered behind a database that does not answer.
        """
        if self._dead:
            return
        flight = self._flight
        if flight is None:
            if 0 < self._engine.next_expiry <= self._clock_ns():
                self._close()
        elif flight.applied and self.stalled and len(self.open):
            self._refuse_open(flight, "queue_delay", "busy: the database is slow, nothing was executed")

    @property
    def in_flight_since(self) -> float:
        """When the batch in flight was handed to the journal (`time.monotonic`); 0 when there is none."""
        return self._flight.started if self._flight is not None else 0.0

    @property
    def ahead(self) -> bool:
        """Whether there is a batch whose row may or may not be durable; for good, when we were stopped meanwhile."""
        return self._flight is not None

    @property
    def stalled(self) -> bool:
        """Whether the database has not answered for longer than the queue-delay target."""
        return self._flight is not None and time.monotonic() - self._flight.started > self._queue_delay

    def _refuse_open(self, flight: Flight, reason: str, message: str) -> None:
        """Answer the open batch busy, in order: behind the replies that wait for the database, and nobody else's."""
        batch = self.open
        self._metrics.requests_refused[reason] += batches.refuse(batch, ErrorCode.BUSY, message)
        for place, make in self.late:
            batch.answers[place] = make(self.seq)
        replies = together(encode(batch, self.seq, flight.time))
        for use in self.uses:
            use.open = 0
            if use.stopped:
                self._loop.call_soon(self._release, use)
        self.uses = []
        moved = self._moved_uses
        self._open_next()
        self._moved_uses = moved
        self.scheduled = bool(self._cancels)  # those are ours, and refused by nobody
        for number, data in replies.items():
            if number in flight.replies:
                self._held.setdefault(number, []).append(data)
            else:
                self._send(number, data, [])
        clear(batch)
        self._spare.append(batch)

    async def settle(self) -> None:
        """Wait until no request is open, in flight or waiting for room."""
        while not self._dead and (self._flight is not None or len(self.open) or self.waiting or self._cancels):
            self._landed.clear()
            await self._landed.wait()

    def _fail(self, error: BaseException) -> None:
        """Stop for good. Nothing that was not durable is answered."""
        if not self._dead:
            self._dead = True
            self._landed.set()
            self._on_fatal(error)

    def stop(self) -> None:
        """Do nothing more; whatever the journal still says is ignored."""
        self._dead = True
        self._landed.set()


def _limits_room(free: "Headroom") -> int:
    """How many items of set_limits fit: each may be the first of a desk, of an instrument by itself, or a proposal."""
    return min(free.limit_pairs, free.proposals, free.desks_and_clients)


def together(runs: list[tuple[int, bytes]]) -> dict[int, bytes]:
    """One piece per connection, in order: connections that were read several times have several runs."""
    replies = dict(runs)
    if len(replies) == len(runs):
        return replies
    pieces: dict[int, list[bytes]] = {}
    for number, data in runs:
        pieces.setdefault(number, []).append(data)
    return {number: b"".join(parts) for number, parts in pieces.items()}
