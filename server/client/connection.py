"""One connection that is kept up: pipelining, matching of replies, reconnecting, and sending again what is safe.

A call goes through three places, in order: the *window* (at most `in_flight_max` calls are past it), the *queue* (not
yet written), the *sent* list (written, waiting for the reply). Replies come in request order, so a reply belongs to
the head of the sent list, and its id must be that call's. When the connection goes away, calls on the sent list that
are safe go back to the head of the queue in their old order, and the others end with ConnectionLost; then a new
connection is made, with growing waits, and logs on before anything else is written.

A call whose caller has given up stays on the sent list until its reply has come, so that later replies still match,
and it keeps its place in the window of the connection.
"""

import asyncio
import contextlib
import ssl
from collections import deque
from collections.abc import Callable
from typing import Final, TypeVar, cast

from server.client import codec
from server.client.calls import Call, other
from server.client.errors import (
    BUSY,
    NOT_LEADER,
    Busy,
    ClientError,
    ConnectionLost,
    DeadlineExceeded,
    NotLoggedOn,
    NotPermitted,
    ProtocolError,
    RequestError,
)
from server.client.logon import Logon
from server.client.retry import BUSY as BUSY_BACKOFF
from server.client.retry import tune_socket
from server.client.route import Route

T = TypeVar("T")

ATTEMPT_MAX_S: Final = 10.0
"""How long one attempt to connect and log on may take."""

WRITE_MAX: Final = 256 * 1024
"""Bytes that are joined for one write."""


class _Pending:
    """A request on its way, as the connection sees it."""

    __slots__ = ("future", "id", "line", "resent", "safe", "sent", "since")

    def __init__(self, id_: int, line: bytes, future: asyncio.Future[codec.Reply], *, safe: bool) -> None:
        self.id = id_
        self.line = line
        self.future = future
        self.safe = safe
        self.sent = False
        self.resent = False
        self.since = 0.0
        """When it was written (loop.time)."""


class _Link(asyncio.Protocol):
    """One TCP connection: cuts what comes into lines, and tells the owner of every line and of the end."""

    def __init__(self, on_line: Callable[[bytes], None], on_writable: Callable[[], None]) -> None:
        self._on_line = on_line
        self._on_writable = on_writable
        self._tail: list[bytes] = []
        self.transport: asyncio.Transport | None = None
        self.paused = False
        self.answered = False
        self.heard = 0.0
        """When something came last (loop.time)."""
        self.lost: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is one by its methods only
        sock = transport.get_extra_info("socket")
        if sock is not None:
            tune_socket(sock)

    def data_received(self, data: bytes) -> None:
        self.heard = asyncio.get_running_loop().time()
        head, newline, rest = data.partition(b"\n")
        if not newline:
            self._tail.append(data)
            return
        if self._tail:
            head = b"".join([*self._tail, head])
            self._tail.clear()
        self._take(head)
        lines = rest.split(b"\n")
        tail = lines.pop()
        for line in lines:
            self._take(line)
        if tail:
            self._tail.append(tail)

    def _take(self, line: bytes) -> None:
        if not line.strip() or self.transport is None or self.transport.is_closing():
            return
        try:
            self._on_line(line)
        except ProtocolError as error:
            self.abort(error)
        else:
            self.answered = True

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False
        self._on_writable()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.lost.done():
            self.lost.set_result(exc)

    def abort(self, why: Exception | None = None) -> None:
        """Drop the connection at once."""
        if not self.lost.done():
            self.lost.set_result(why)
        if self.transport is not None:
            self.transport.abort()

    def write(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.write(data)


class Connection:
    """Sends calls over one connection and keeps it up; belongs to one event loop."""

    def __init__(
        self,
        route: Route,
        *,
        logon: Logon | None,
        tls: ssl.SSLContext | None,
        in_flight_max: int,
        switch_after_s: float = 3.0,
    ) -> None:
        if in_flight_max < 1:
            raise ValueError(f"in_flight_max: {in_flight_max} is less than 1")
        self.route = route
        self.seq = 0
        self.min_seq = 0
        """What requests ask for, see Client.min_seq."""
        self.reconnects = 0
        self.resends = 0
        self.logon = logon
        self.tls = tls
        self._switch_after_s = switch_after_s
        self._switching = False
        """This server does not lead: no more is sent to it, and when it has answered all, the next is tried."""
        self._in_flight_max = in_flight_max
        self._window = asyncio.Semaphore(in_flight_max)
        self._queue: deque[_Pending] = deque()
        self._sent: deque[_Pending] = deque()
        self._link: _Link | None = None
        self._flushing = False
        self._id = 0
        self._end: ClientError | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def address(self) -> str:
        """Of the server that is tried now."""
        return self.route.address

    # --- life ---------------------------------------------------------------------------------------------------

    async def open(self, deadline_s: float) -> None:
        """Connect and log on. Attempts go on until `deadline_s` is over; there is always one.

        Raises ConnectionLost when there is no server, NotLoggedOn or NotPermitted when it refuses the channel.
        """
        if self._task is not None:
            raise RuntimeError("the client was opened before; make a new one")
        loop = asyncio.get_running_loop()
        first: asyncio.Future[None] = loop.create_future()
        self._task = asyncio.create_task(self._run(first, loop.time() + deadline_s), name=f"client of {self.address}")
        try:
            await first
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """End; calls that are still waiting get ConnectionLost. May be called twice."""
        task = self._task
        if task is not None:
            task.cancel()
        self._fail(ConnectionLost("the client was closed", sent=False))
        if task is not None:
            with contextlib.suppress(asyncio.CancelledError):
                await task

    @property
    def connected(self) -> bool:
        """Whether there is a connection that has logged on."""
        return self._link is not None

    async def _run(self, first: asyncio.Future[None], give_up: float) -> None:
        """Keep one connection up until the client is closed or refused."""
        loop = asyncio.get_running_loop()
        attempt = 0
        try:
            while True:
                try:
                    link = await self._connect()
                except (NotLoggedOn, NotPermitted) as error:
                    self._fail(error)
                    if not first.done():
                        first.set_exception(error)
                    return
                except (OSError, ClientError) as error:
                    self.route.next()
                    if not first.done() and loop.time() >= give_up:
                        why = ConnectionLost(
                            f"cannot reach {self.address}: {error or type(error).__name__}", sent=False
                        )
                        first.set_exception(why)
                        return
                else:
                    if not first.done():
                        first.set_result(None)
                    else:
                        self.reconnects += 1
                    switched = await self._serve(link)
                    if link.answered:
                        attempt = 0
                    elif not switched:
                        # Taken and dropped without a word: whoever did that (a balancer) has no server behind it.
                        self.route.next()
                await asyncio.sleep(self.route.backoff.wait_s(attempt))
                attempt += 1
        finally:
            if not first.done():
                first.cancel()
            self._fail(ConnectionLost("the client has ended", sent=False))

    async def _connect(self) -> _Link:
        """Make one connection and log on; leaves nothing behind when that fails."""
        loop = asyncio.get_running_loop()
        link = _Link(self._on_line, self._flush_soon)
        try:
            async with asyncio.timeout(self._switch_after_s if self.route.several else ATTEMPT_MAX_S):
                host, port = self.route.host, self.route.port
                name = host if self.tls is not None else None
                await loop.create_connection(lambda: link, host, port, ssl=self.tls, server_hostname=name)
                if self.logon is not None:
                    await self._log_on(link, self.logon)
        except BaseException:
            link.abort()
            self._take_back()
            raise
        return link

    async def _log_on(self, link: _Link, logon: Logon) -> None:
        pending = self._pending(other("logon", logon.params(), safe=False))
        pending.sent = True
        self._sent.append(pending)
        link.lost.add_done_callback(lambda _: self._take_back())
        link.write(pending.line)
        reply = await pending.future
        if reply.error is not None:
            raise RequestError.of(reply.error.code, reply.error.message)

    async def _serve(self, link: _Link) -> bool:
        """Send and receive over a ready link until it goes away; return whether it was left for the next server."""
        self._link = link
        self._flush_soon()
        try:
            if self.route.several:
                await self._watch(link)
            await link.lost
        finally:
            self._link = None
            link.abort()
            self._take_back()
            switched, self._switching = self._switching, False
            if switched:
                self.route.next()
        return switched

    async def _watch(self, link: _Link) -> None:
        """Until the link is lost, look whether requests wait in vain: a server that was paused still has its port."""
        loop = asyncio.get_running_loop()
        while True:
            done, _ = await asyncio.wait({link.lost}, timeout=self._switch_after_s / 4)
            if done:
                return
            if self._sent and loop.time() - max(link.heard, self._sent[0].since) > self._switch_after_s:
                self._switching = True
                link.abort(ConnectionError(f"{self.address} has not answered for {self._switch_after_s} s"))

    def _take_back(self) -> None:
        """Queue again what a lost link left unanswered and may be sent twice; the rest ends with ConnectionLost."""
        while self._sent:
            pending = self._sent.pop()
            if pending.future.done():
                continue
            if pending.safe:
                pending.resent = True
                self.resends += 1
                self._queue.appendleft(pending)
            else:
                message = f"the connection to {self.address} was lost; whether the request was executed is unknown"
                pending.future.set_exception(ConnectionLost(message, sent=True))

    def _fail(self, error: ClientError) -> None:
        """End for good: every waiting call gets the error. The first error given stays."""
        if self._end is not None:
            return
        self._end = error
        for pending in (*self._sent, *self._queue):
            if pending.future.done():
                continue
            if isinstance(error, ConnectionLost):
                pending.future.set_exception(ConnectionLost(str(error), sent=pending.sent))
            else:
                pending.future.set_exception(error)
        self._sent.clear()
        self._queue.clear()

    # --- calls --------------------------------------------------------------------------------------------------

    async def exchange(self, call: Call[T], deadline_s: float | None) -> tuple[T, bool]:
        """Send a call and wait for its answer; also tells whether it had to be sent more than once."""
        pending: _Pending | None = None
        busy: Busy | None = None
        resent = False
        try:
            async with asyncio.timeout(deadline_s), self._window:
                attempt = 0
                while True:
                    pending = self._pending(call)
                    self._enqueue(pending)
                    reply = await pending.future
                    resent = resent or pending.resent
                    pending.sent = False
                    if reply.error is None:
                        return call.read(bytes(reply.result)), resent
                    error = RequestError.of(reply.error.code, reply.error.message)
                    error.resent = resent
                    if reply.error.code == NOT_LEADER and self.route.several:
                        await asyncio.sleep(self.route.backoff.wait_s(attempt))
                        attempt += 1
                        continue
                    if reply.error.code != BUSY:
                        raise error
                    busy = Busy(error.code, error.message)
                    await asyncio.sleep(BUSY_BACKOFF.wait_s(attempt))
                    attempt += 1
        except TimeoutError:
            sent = resent or (pending is not None and (pending.sent or pending.resent))
            if busy is not None and not sent:
                raise busy from None
            state = "its outcome is unknown" if sent else "it was not sent"
            raise DeadlineExceeded(f"{call.method}: no answer within {deadline_s} s; {state}", sent=sent) from None

    def _pending(self, call: Call[T]) -> _Pending:
        self._id += 1
        future: asyncio.Future[codec.Reply] = asyncio.get_running_loop().create_future()
        line = codec.request_line(self._id, call.method, call.params, self.min_seq)
        return _Pending(self._id, line, future, safe=call.safe)

    def _enqueue(self, pending: _Pending) -> None:
        if self._task is None:
            raise RuntimeError("the client is not open: use `async with` or await connect()")
        if self._end is not None:
            if isinstance(self._end, ConnectionLost):
                raise ConnectionLost(str(self._end), sent=False)
            raise self._end
        self._queue.append(pending)
        self._flush_soon()

    def _flush_soon(self) -> None:
        """Write at the end of this turn of the loop, so that calls made in one turn leave in one write."""
        if not self._flushing and self._link is not None:
            self._flushing = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        link = self._link
        if link is None or link.lost.done() or self._switching:
            return
        lines: list[bytes] = []
        size = 0
        now = asyncio.get_running_loop().time()
        while self._queue and len(self._sent) < self._in_flight_max and not link.paused:
            pending = self._queue.popleft()
            if pending.future.done():
                continue
            pending.sent = True
            pending.since = now
            self._sent.append(pending)
            lines.append(pending.line)
            size += len(pending.line)
            if size >= WRITE_MAX:
                link.write(b"".join(lines))
                lines.clear()
                size = 0
        if lines:
            link.write(b"".join(lines))

    def _on_line(self, line: bytes) -> None:
        reply = codec.decode_reply(line)
        if reply.id is None and reply.method is not None:
            return  # a notification; subscriptions have connections of their own
        if not self._sent:
            raise ProtocolError(f"the server sent a reply that nobody waits for: {line[:200]!r}")
        pending = self._sent[0]
        if reply.id != pending.id and not (reply.id is None and reply.error is not None):
            raise ProtocolError(f"the server answered {reply.id!r} where {pending.id} was next")
        self._sent.popleft()
        if reply.seq is not None and reply.seq > self.seq:
            self.seq = reply.seq
        if reply.error is not None and reply.error.code == NOT_LEADER and self.route.several:
            self._switching = True
        if not pending.future.done():
            pending.future.set_result(reply)
        if self._switching and not self._sent and self._link is not None:
            self._link.abort()
        elif self._queue:
            self._flush_soon()
