"""A connection for greenlets: many requests in flight, each with a response time of its own.

Replies come in the order of the requests, so the oldest request in flight is the one that a reply belongs to; its id is
compared all the same. One greenlet reads; the user's greenlet writes. When the connection is cut the reader connects
again and sends what is in flight once more, in order: ids make that safe. Response times go on counting meanwhile.
"""

import json
import ssl
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import gevent
import msgspec
from gevent import Greenlet, socket
from gevent.event import Event

from loadtest.locust.asked import Judgement, Reply, Request, decode_reply

CHUNK = 65_536
CONNECT_SECONDS = 5.0
BACKOFF_SECONDS = 0.05
BACKOFF_MOST_SECONDS = 1.0
SENT_AGAIN_MOST = 3
"""A request that was cut off so often is given up: it may be what the server falls over."""


class ConnectionLostError(Exception):
    """There is no server any more."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where the server is and who asks."""

    host: str
    port: int
    channel: str = ""
    key: str = ""
    tls: ssl.SSLContext | None = None


Report = Callable[[Request, float, int, str | None], None]
"""Told of each request that has ended: its response time in seconds, length of the reply, failure."""


class Connection:
    """One session with the server."""

    def __init__(
        self,
        address: Address,
        judgement: Judgement,
        report: Report,
        *,
        reconnect_seconds: float = 10.0,
        reply_seconds: float = 30.0,
        notified: Callable[[Reply], None] | None = None,
    ) -> None:
        """Connect and log on; OSError or ConnectionLostError when that fails."""
        self.address = address
        self.judgement = judgement
        self.report = report
        self.reconnect_seconds = reconnect_seconds
        self.reply_seconds = reply_seconds
        self.notified = notified
        self.pending: deque[Request] = deque()
        self.cuts = 0
        self.dead = ""
        self._closed = False
        self._ready = Event()
        self._moved = Event()
        self._socket = self._open()
        self._ready.set()
        self._reader = Greenlet.spawn(self._read)

    # --- the user's side --------------------------------------------------------------------------

    def send(self, requests: Sequence[Request], due: float | None = None) -> None:
        """Send them in one piece. Without `due`, and unless they have a plan of their own, they are due now."""
        self._ready.wait()
        if self.dead:
            raise ConnectionLostError(self.dead)
        now = time.perf_counter() if due is None else due
        for request in requests:
            request.due = request.due or now
        one = self._socket
        # Nothing may come between: what is pending is what was sent, or will be sent again.
        self.pending.extend(requests)
        try:
            one.sendall(b"".join([request.line for request in requests]))
        except OSError:
            shut(one)
        except BaseException:
            # The user is being stopped in the middle of a line: only a new connection can go on from here.
            shut(one)
            raise

    def wait_for_room(self, depth: int) -> int:
        """Wait until fewer than `depth` requests are in flight; how many more may be sent."""
        while len(self.pending) >= depth and not self.dead:
            self._moved.clear()
            self._moved.wait()
        return max(1, depth - len(self.pending))

    def drain(self, seconds: float) -> None:
        """Wait for the replies that are still due; those that do not come are failures."""
        end = time.perf_counter() + seconds
        while self.pending and not self.dead and time.perf_counter() < end:
            self._moved.clear()
            self._moved.wait(end - time.perf_counter())
        self._give_up(f"no reply within {seconds:g} s of the end")

    def close(self) -> None:
        """Hang up."""
        self._closed = True
        shut(self._socket)
        self._reader.kill()
        self._socket.close()

    # --- the reader -------------------------------------------------------------------------------

    def _open(self) -> socket.socket:
        address = self.address
        one = socket.create_connection((address.host, address.port), CONNECT_SECONDS)
        try:
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if address.tls is not None:
                one = address.tls.wrap_socket(one, server_hostname=address.host)
            if address.channel:
                params = {"channel": address.channel, "key": address.key}
                one.sendall(json.dumps({"id": 0, "method": "logon", "params": params}).encode() + b"\n")
                reply = b""
                while not reply.endswith(b"\n"):
                    more = one.recv(CHUNK)
                    if not more:
                        raise ConnectionLostError("logon: the server closed the connection")
                    reply += more
                if "result" not in json.loads(reply):
                    raise ConnectionLostError(f"logon: {reply.decode(errors='replace').strip()}")
            one.settimeout(self.reply_seconds)
        except BaseException:
            one.close()
            raise
        return one

    def _read(self) -> None:
        rest = b""
        while not self._closed:
            try:
                data = self._socket.recv(CHUNK)
            except TimeoutError:
                if not self.pending:
                    continue
                # What the server keeps for so long will not come; nor can it be told from later replies.
                self._give_up(f"no reply within {self.reply_seconds:g} s")
                data = b""
            except OSError:
                data = b""
            now = time.perf_counter()
            if data:
                *lines, rest = (rest + data).split(b"\n")
                if all([self._line(line, now) for line in lines]):  # noqa: C419 - every line must be looked at
                    continue
            rest = b""
            if self._closed or not self._again():
                return

    def _line(self, line: bytes, now: float) -> bool:
        """Take one line; False when nothing that this connection brings can be trusted any more."""
        if not line:
            return True
        try:
            reply = decode_reply(line)
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            self._give_up(f"not a reply: {error}")
            return False
        if reply.method:
            if self.notified is not None:
                self.notified(reply)
            return True
        if not self.pending:
            return False
        request = self.pending[0]
        if reply.id != request.id and not (reply.id is None and reply.error is not None):
            self._give_up("the reply to another request")
            return False
        self.pending.popleft()
        self._moved.set()
        self.report(request, now - request.due, len(line), self.judgement.reply(request, reply))
        return True

    def _again(self) -> bool:
        """Connect again and send what is in flight; False when there is no server within `reconnect_seconds`."""
        self.cuts += 1
        self._ready.clear()
        self._socket.close()
        end = time.perf_counter() + self.reconnect_seconds
        backoff = BACKOFF_SECONDS
        while True:
            try:
                self._socket = self._open()
                break
            except (OSError, ConnectionLostError) as error:
                if time.perf_counter() + backoff > end:
                    self.dead = f"no connection within {self.reconnect_seconds:g} s: {error}"
                    self._give_up(self.dead)
                    self._ready.set()
                    return False
            gevent.sleep(backoff)
            backoff = min(2 * backoff, BACKOFF_MOST_SECONDS)
        for request in self.pending:
            request.sent_again += 1
        if self.pending and self.pending[0].sent_again > SENT_AGAIN_MOST:
            self._fail(self.pending.popleft(), f"cut off {SENT_AGAIN_MOST + 1} times")
            # Those behind it had no part in that.
            for request in self.pending:
                request.sent_again = 1
        self.judgement.last_timestamp = 0
        # In a greenlet of its own: a server that is to take much wants its replies read meanwhile.
        gevent.spawn(self._send_again, self._socket, b"".join([request.line for request in self.pending]))
        return True

    def _send_again(self, one: socket.socket, data: bytes) -> None:
        try:
            one.sendall(data)
        except OSError:
            shut(one)
        if one is self._socket:
            self._ready.set()

    def _give_up(self, failure: str) -> None:
        while self.pending:
            self._fail(self.pending.popleft(), failure)

    def _fail(self, request: Request, failure: str) -> None:
        self._moved.set()
        self.report(request, time.perf_counter() - request.due, 0, failure)


def shut(one: socket.socket) -> None:
    """End a connection, so that its reader sees it."""
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
