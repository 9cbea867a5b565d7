"""One client connection: the transport on one side, the parser and the open batch on the other.

Pressure flows back through `_paused`, a set of reasons not to read this client. While there is one, its socket is not
read and its buffer is not parsed, so a client costs at most one line of requests and `write_cap_bytes` of replies.
What is in a batch is always answered, in order; `outstanding` counts the batches that still owe this client replies.
"""

import asyncio
import socket
from time import perf_counter
from typing import TYPE_CHECKING, Any, cast

from server.batcher import Late
from server.channels import Channel, ChannelUse
from server.feed import TopicError
from server.logs import get as get_logger
from server.session import BEHIND_LOG, FULL_BATCH, RATE, READS, SLOW_READER, WINDOW, Event, State, move
from server.wire import BEHIND, CLOSE, COLD, FULL, Cold, Logon, Parser, Topics, error_line, result_line
from server.wire.methods import ErrorCode, Method

if TYPE_CHECKING:
    from server.acceptor import Acceptor

LOOK_SECONDS = 5.0
"""A connection is looked at this often at least, so deadlines hold to within that (the logon's: a second)."""
LINGER_SECONDS = 2.0
"""After our last byte a client may take so long to close. Closing while bytes of its are unread would reset the
connection, and what we wrote last could be lost on the way."""
LOGON_REFUSED = "logon refused"
"""One message for every reason, so that it does not tell which channels exist."""

CHANNEL_FULL = "busy: connections_max of the channel reached"


def mask_of(channel: Channel) -> int:
    """Return the wire's mask of the channel's methods."""
    mask = 0
    for name in channel.methods:
        mask |= Method[name.upper()]
    return mask


class Connection(asyncio.BufferedProtocol):
    """See the head of this file. Made by the acceptor for each accepted socket."""

    __slots__ = (
        "_acceptor", "_batch_serial", "_batcher", "_closing_since", "_connected", "_ended", "_failures", "_last_read",
        "_loop", "_parser", "_partial_since", "_paused", "_peer_ended", "_room", "_session", "_slow_since", "_stages",
        "_strings", "_tls", "address", "backlog_since", "number", "outstanding", "state", "transport", "use",
    )  # fmt: skip

    def __init__(self, acceptor: "Acceptor") -> None:
        self._acceptor = acceptor
        self._batcher = acceptor.batcher
        self._loop = acceptor.loop
        self._parser: Parser = acceptor.new_parser()
        self._stages = acceptor.metrics.stage_seconds
        self._paused = 0
        self._ended = False
        """No more input: the client closed its side, or the server stops."""
        self._peer_ended = False
        self._batch_serial = 0
        """Serial of the newest batch that holds requests of ours."""
        self._failures = 0
        self._connected = self._last_read = self._loop.time()
        self._partial_since = self._slow_since = self._closing_since = 0.0
        self._tls = False
        self._strings = False
        self._session = 0
        """What our orders carry when they are to be canceled at the end of the connection; 0: they are not."""
        self.outstanding = 0
        self._room = 0
        """Bytes that the last read could have brought."""
        self.backlog_since = 0.0
        """Since when it has sent more than batches had room for, without its socket having been empty once; 0: it has
        not."""
        self.state = State.CONNECTED
        self.number = 0
        self.address = ""
        self.use: ChannelUse = acceptor.nobody
        self.transport: asyncio.Transport = cast("asyncio.Transport", None)

    # --- the transport calls these ---------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Set the socket up and ask the acceptor for a place."""
        self.transport = cast("asyncio.Transport", transport)
        peer = transport.get_extra_info("peername")
        self.address = str(peer[0]) if peer else ""
        self._tls = transport.get_extra_info("ssl_object") is not None
        refusal = self._acceptor.enter(self)
        if refusal:
            self.state = move(self.state, Event.DRAIN)
            self._close_with(ErrorCode.BUSY, refusal)
            return
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.family in {socket.AF_INET, socket.AF_INET6}:
            for level, option, value in self._acceptor.socket_options:
                sock.setsockopt(level, option, value)
        self.transport.set_write_buffer_limits(high=self._acceptor.settings.write_high_bytes)
        channel = self._acceptor.first_channel
        if channel is not None:
            self._log_on(channel, int64_strings=False)
        else:
            self._allow(0, 0, logged_on=False, int64_strings=False)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Room for the next bytes, at the end of the parser's buffer."""
        if self._closing_since:
            return self._acceptor.scrap
        buffer = self._parser.get_buffer(sizehint)
        self._room = len(buffer)
        return buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Take in bytes and parse what is whole."""
        if self._closing_since:
            return
        self._parser.buffer_updated(nbytes)
        if nbytes < self._room:
            self.backlog_since = 0.0  # all that had come has been read
        self._last_read = self._loop.time()
        if not self._paused:
            self.work()

    def eof_received(self) -> bool:
        """Answer what was sent, then close: `nc` and scripts close their side first."""
        self._ended = self._peer_ended = True
        if self.state in READS and not self._paused:
            self.work()
        return not self._tls and not self._closing_since

    def pause_writing(self) -> None:
        """Stop reading a client that does not read."""
        self._slow_since = self._loop.time()
        self._pause(SLOW_READER)

    def resume_writing(self) -> None:
        """Read again."""
        self._slow_since = 0.0
        self.resume(SLOW_READER)
        self._acceptor.feed.resumed(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the client; replies that it is owed are dropped when they come."""
        if exc is not None and self._slow_since:
            # TCP_USER_TIMEOUT: the peer's window stayed shut.
            self._acceptor.metrics.connections_dropped["slow_reader"] += 1
        self.state = move(self.state, Event.LOST)
        self._end_session()
        self._acceptor.leave(self)

    # --- requests --------------------------------------------------------------------------------

    def work(self) -> None:
        """Parse complete lines into the open batch, as far as every limit allows."""
        batcher = self._batcher
        use = self.use
        while self.state in READS:
            if batcher.full:
                self._wait_for_room()
                return
            batch = batcher.open
            before = len(batch)
            if batcher.scarce:
                self._parser.admit(*batcher.admission())
            started = perf_counter()
            outcome = self._parser.parse(batch, self.number)
            self._stages["parse"] += perf_counter() - started
            count = len(batch) - before
            if count:
                if self._batch_serial != batcher.serial:
                    self._batch_serial = batcher.serial
                    self.outstanding += 1
                if not use.open:
                    batcher.uses.append(use)
                use.open += count
                delay = use.take(count, self._last_read)
                if not batcher.scheduled:
                    batcher.schedule()
                if delay > 0:
                    self._pause(RATE)
                    self._loop.call_later(delay, self.resume, RATE)
                if use.window_full:
                    self._pause(WINDOW)
                    use.stopped.append(self)
            if outcome == COLD:
                cold = self._parser.cold
                assert cold is not None
                batcher.late.append((cold.answer, self._decide(cold)))
                use = self.use
                continue
            if outcome == FULL:
                self._wait_for_room()
                return
            if outcome == BEHIND:
                self._pause(BEHIND_LOG)
                batcher.wait_for(self._parser.min_seq, self)
                return
            if outcome == CLOSE:
                self._acceptor.metrics.connections_dropped["protocol"] += 1
                self.drain()
                return
            # Everything that is whole has been taken; what is left is the start of a line.
            if not self._parser.buffered:
                self._partial_since = 0.0
            elif count or not self._partial_since:
                self._partial_since = self._last_read
            if self._ended and not self._paused:
                self.drain()
            return

    def _wait_for_room(self) -> None:
        self.backlog_since = self.backlog_since or self._loop.time()
        self._pause(FULL_BATCH)
        self._batcher.waiting.append(self)

    def go_on(self, *, behind: bool) -> None:
        """Read on: the log entry that was waited for is here, or (`behind`) it has been waited for long enough."""
        self._parser.patient = not behind
        self.resume(BEHIND_LOG)

    def _decide(self, cold: Cold) -> Late:
        """Decide a request that Python answers. The line is made when the seq is known that it waits for."""
        if cold.method == "logon":
            return self._logon(cold)
        if isinstance(cold.params, Topics):
            return self._topics(cold, cold.params)
        administer = self._acceptor.administer
        return lambda seq: result_line(cold.id, administer(cold.method), seq, cold.jsonrpc)

    def _topics(self, cold: Cold, params: Topics) -> Late:
        """Subscribe or unsubscribe when everything before it has been executed."""
        feed, channel, strings = self._acceptor.feed, self.use.channel, self._strings
        from_seq = None if params.from_seq is None else int(params.from_seq)
        depth = None if params.depth is None else int(params.depth)

        def answer(seq: int) -> bytes:
            try:
                if self.state is State.CLOSED:
                    topics = []
                elif cold.method == "unsubscribe":
                    topics = feed.unsubscribe(self, params.topics)
                else:
                    topics = feed.subscribe(
                        self,
                        params.topics,
                        permissions=channel.permissions,
                        scope=channel.scope,
                        quoted=strings,
                        from_seq=from_seq,
                        depth=depth,
                    )
            except TopicError as error:
                return error_line(cold.id, ErrorCode.INVALID_PARAMS, str(error), cold.jsonrpc)
            except PermissionError as error:
                return error_line(cold.id, ErrorCode.NOT_PERMITTED, str(error), cold.jsonrpc)
            return result_line(cold.id, {"topics": topics}, seq, cold.jsonrpc, int64_strings=strings)

        return answer

    def _logon(self, cold: Cold) -> Late:
        acceptor = self._acceptor
        params = cold.params
        assert isinstance(params, Logon)
        now = self._loop.time()
        channel: Channel | None = None
        if not acceptor.throttle.allows(self.address, now):
            acceptor.metrics.logons["throttled"] += 1
            self._ended = True
        else:
            channel = acceptor.channels.logon(params, acceptor.clock_ns())
            if channel is None:
                acceptor.throttle.failed(self.address, now)
                acceptor.metrics.logons["refused"] += 1
                get_logger().warning("logon_refused", address=self.address, connection=self.number)
                self._failures += 1
                self._ended = self._ended or self._failures >= 3
        if channel is None:
            return lambda _: error_line(cold.id, ErrorCode.NOT_LOGGED_ON, LOGON_REFUSED, cold.jsonrpc)
        use = acceptor.use_of(channel)
        if use is not self.use and use.connections >= channel.connections_max:
            acceptor.metrics.logons["channel_full"] += 1
            self._ended = True
            return lambda _: error_line(cold.id, ErrorCode.BUSY, CHANNEL_FULL, cold.jsonrpc)
        acceptor.metrics.logons["accepted"] += 1
        strings = params.int64 == "string"
        self._end_session()
        if params.cancel_on_disconnect:
            self._session = acceptor.new_session()
        self._log_on(channel, int64_strings=strings)
        result: dict[str, Any] = {"channel": channel.name, "permissions": list(channel.permissions), "protocol": 1}
        return lambda seq: result_line(cold.id, result, seq, cold.jsonrpc, int64_strings=strings)

    def _log_on(self, channel: Channel, *, int64_strings: bool) -> None:
        self.state = move(self.state, Event.LOGON)
        self.use.connections -= 1
        self.use = self._acceptor.use_of(channel)
        self.use.connections += 1
        self._allow(mask_of(channel), channel.scope, logged_on=True, int64_strings=int64_strings)

    def _allow(self, methods: int, scope: int, *, logged_on: bool, int64_strings: bool) -> None:
        self._strings = int64_strings
        self._parser.allow(
            methods,
            scope,
            logged_on=logged_on,
            int64_strings=int64_strings,
            session=self._session,
            actor=self.use.channel.name,
        )

    def _end_session(self) -> None:
        """The connection or its logon ends: no more notifications, and its orders go if they were to go with it."""
        self._acceptor.feed.forget(self)
        if self._session:
            self._batcher.cancel_session(self._session)
            self._session = 0

    # --- replies ---------------------------------------------------------------------------------

    def send(self, data: bytes) -> None:
        """Write the replies of one batch. Drops the client when too much waits for it."""
        self.outstanding -= 1
        if self.state is State.CLOSED:
            return
        self.transport.write(data)
        if self.transport.get_write_buffer_size() > self._acceptor.settings.write_cap_bytes:
            self._drop("slow_reader")
        elif self.state is State.DRAINING and not self.outstanding:
            self._close()

    def notify(self, data: bytes) -> None:
        """Write notifications."""
        if self.state is State.LOGGED_ON:
            self.transport.write(data)
            if self.transport.get_write_buffer_size() > self._acceptor.settings.write_cap_bytes:
                self._drop("slow_reader")

    @property
    def slow(self) -> bool:
        """Whether the client has not read what was written."""
        return self._slow_since != 0.0

    # --- back-pressure ---------------------------------------------------------------------------

    @property
    def paused(self) -> bool:
        """Whether the client is not read at this moment."""
        return self._paused != 0

    def _pause(self, reason: int) -> None:
        if not self._paused and not self._ended:
            self.transport.pause_reading()
        self._paused |= reason

    def resume(self, reason: int) -> None:
        """Take one reason away; with the last, parse what is there and read on."""
        if not self._paused & reason:
            return
        self._paused &= ~reason
        if self._paused or self.state not in READS:
            return
        self.work()
        if not self._paused and not self._ended and self.state in READS:
            self.transport.resume_reading()

    # --- the end ---------------------------------------------------------------------------------

    def end_input(self) -> None:
        """Read no more, answer what has been received in whole lines, then close: the server stops."""
        if not self._ended:
            self._ended = True
            if not self._paused and self.state in READS:
                self.transport.pause_reading()
        if self.state in READS and not self._paused:
            self.work()

    def drain(self) -> None:
        """Accept nothing more; close when the last reply has been handed to the transport."""
        if self.state not in READS:
            return
        self.state = move(self.state, Event.DRAIN)
        self._ended = True
        self.transport.pause_reading()
        if not self.outstanding:
            self._close()

    def _close(self) -> None:
        """Our last byte is written: send it and the end of the stream, then wait for the client's end."""
        self._closing_since = self._loop.time()
        if self._peer_ended or self._tls:
            self.transport.close()
            return
        self.transport.write_eof()
        self.transport.resume_reading()
        self._acceptor.wheel.watch(self, self._closing_since + LINGER_SECONDS)

    def _close_with(self, code: ErrorCode, message: str) -> None:
        """Say why in one line, if no reply of ours is under way that must come before it, and close."""
        if not self.outstanding:
            self.transport.write(error_line(None, code, message, False))
        self._close()

    def _drop(self, reason: str) -> None:
        """End it now; what waits for the client is lost to it (the log has what was committed)."""
        self._acceptor.metrics.connections_dropped[reason] += 1
        get_logger().info("connection_dropped", reason=reason, connection=self.number, channel=self.use.channel.name)
        self.transport.abort()

    def on_deadline(self, now: float) -> float:
        """Act if a deadline has passed; return when to look again (see `deadlines.Wheel`)."""
        settings = self._acceptor.settings
        if self.state is State.CLOSED:
            return 0.0
        if self.state is State.DRAINING:
            if self._closing_since and not self.transport.get_write_buffer_size():
                self.transport.abort()
            elif self._closing_since and now - self._closing_since > settings.frame_seconds:
                self._drop("slow_reader")
            return now + LINGER_SECONDS
        if self._slow_since and now - self._slow_since > settings.user_timeout_seconds:
            self._drop("slow_reader")
            return 0.0
        reason = ""
        if self.state is State.CONNECTED and now >= self._connected + settings.handshake_seconds:
            reason, code, message = "handshake", ErrorCode.NOT_LOGGED_ON, "no logon within handshake_seconds"
        elif self._partial_since and now >= self._partial_since + settings.frame_seconds:
            reason, code, message = "frame", ErrorCode.INVALID_REQUEST, "no complete line within frame_seconds"
        elif now >= self._last_read + settings.idle_seconds and not self.outstanding:
            reason, code, message = "idle", ErrorCode.BUSY, "nothing received within idle_seconds"
        if reason and not self._paused:
            self._acceptor.metrics.connections_dropped[reason] += 1
            self.state = move(self.state, Event.DRAIN)
            self._ended = True
            self.transport.pause_reading()
            self._close_with(code, message)
            return now + LOOK_SECONDS
        deadline = self._last_read + settings.idle_seconds
        if self.state is State.CONNECTED:
            deadline = min(deadline, self._connected + settings.handshake_seconds)
        return min(max(deadline, now + 1), now + LOOK_SECONDS)
