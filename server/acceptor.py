"""The listening side: takes connections in, holds the limits that span them, and answers the administrator.

Limits of connections (in total, per address, per channel), the throttle of logons, the timer wheel of deadlines, and
the parts that every connection shares. A connection over a limit is told so in one line and closed.
"""

import asyncio
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from server.batcher import Batcher
from server.channels import DEV, Channel, Channels, ChannelUse, LogonThrottle
from server.connection import LOOK_SECONDS, Connection
from server.deadlines import Wheel
from server.feed import Feed
from server.metrics import Metrics
from server.settings import Settings, SettingsError
from server.wire import Parser, Profiles

BACKLOG = 1_024
UNKNOWN = Channel("", (), window=65_536)
"""What a connection is before its logon."""

Administration = Callable[[], object]


def tls_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """TLS 1.3 and nothing older; raises ssl.SSLError or OSError when the files do not fit."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.maximum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(certificate, key)
    return context


def tls_of(settings: Settings) -> ssl.SSLContext | None:
    """Return what the port speaks TLS with, if it does. Raises SettingsError."""
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    try:
        return tls_context(settings.tls_cert, settings.tls_key)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(f"tls_cert: {type(error).__name__} while loading tls_cert and tls_key") from None


class Acceptor:
    """See the head of this file."""

    def __init__(
        self,
        settings: Settings,
        batcher: Batcher,
        channels: Channels,
        metrics: Metrics,
        administration: dict[str, Administration],
        *,
        feed: Feed,
        profiles: Profiles | None = None,
        epoch: int = 0,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.settings = settings
        self.batcher = batcher
        self.channels = channels
        self.metrics = metrics
        self.clock_ns = clock_ns
        self.throttle = LogonThrottle(settings.logon_failures_max)
        self.wheel = Wheel(self.loop.time())
        self.first_channel = DEV if settings.dev else None
        self.nobody = ChannelUse(UNKNOWN, self.loop.time())
        self.socket_options = _socket_options(settings)
        self.feed = feed
        self._profiles = profiles
        self._sessions = epoch << 32
        """The newest session number: no two sessions of a log ever have the same."""
        self._administration = administration
        self._connections = batcher.connections
        self._addresses: dict[str, int] = {}
        self._uses: dict[str, ChannelUse] = {}
        self._number = 0
        self._server: asyncio.Server | None = None
        self.scrap = memoryview(bytearray(65_536))
        """Where bytes go that nobody will read."""
        self._stopping = False
        self._left = asyncio.Event()

    # --- listening -------------------------------------------------------------------------------

    async def listen(self, tls: ssl.SSLContext | None) -> int:
        """Open the port; return its number."""
        settings = self.settings
        self._server = await self.loop.create_server(
            lambda: Connection(self),
            settings.host,
            settings.port,
            backlog=BACKLOG,
            ssl=tls,
            ssl_handshake_timeout=settings.handshake_seconds if tls else None,
        )
        return int(self._server.sockets[0].getsockname()[1])

    def stop_listening(self) -> None:
        """Take no more connections."""
        self._stopping = True
        if self._server is not None:
            self._server.close()

    def end_input(self) -> None:
        """Read nothing more from anybody; each connection closes when its last reply is out."""
        for connection in list(self._connections.values()):
            connection.end_input()

    async def empty(self) -> None:
        """Wait until every connection has closed."""
        while self._connections:
            self._left.clear()
            await self._left.wait()

    def abort(self) -> None:
        """End every connection now, without another byte."""
        self.stop_listening()
        for connection in list(self._connections.values()):
            connection.transport.abort()

    # --- connections -----------------------------------------------------------------------------

    def new_parser(self) -> Parser:
        """Return the parser of one connection."""
        settings = self.settings
        return Parser(
            line_max=settings.line_bytes_max,
            items_max=settings.items_request_max,
            query_limit_max=settings.query_limit_max,
            batch_items_max=settings.items_batch_max,
            profiles=self._profiles,
            position=self.batcher.position,
            waits=self.batcher.waits,
        )

    def new_session(self) -> int:
        """Return a number for the orders of a session that are canceled when it ends."""
        self._sessions += 1
        return self._sessions

    def enter(self, connection: Connection) -> str:
        """Give a connection its number and place; return why not, or nothing."""
        self.nobody.connections += 1
        self._number = self._number % 0xFFFF_FFFE + 1
        while self._number in self._connections:
            self._number = self._number % 0xFFFF_FFFE + 1
        connection.number = self._number
        self._connections[self._number] = connection
        used = self._addresses[connection.address] = self._addresses.get(connection.address, 0) + 1
        self.wheel.watch(connection, self.loop.time() + min(self.settings.handshake_seconds, LOOK_SECONDS))
        if self._stopping:
            reason, message = "stopping", "busy: the server stops"
        elif len(self._connections) > self.settings.connections_max:
            reason, message = "total", "busy: connections_max reached"
        elif used > self.settings.connections_address_max:
            reason, message = "address", "busy: connections_address_max reached"
        else:
            self.metrics.connections_opened += 1
            return ""
        self.metrics.connections_refused[reason] += 1
        return message

    def leave(self, connection: Connection) -> None:
        """Free the place of a connection."""
        del self._connections[connection.number]
        connection.use.connections -= 1
        self.wheel.forget(connection)
        left = self._addresses[connection.address] - 1
        if left:
            self._addresses[connection.address] = left
        else:
            del self._addresses[connection.address]
        self._left.set()

    def use_of(self, channel: Channel) -> ChannelUse:
        """Return what the channel uses at this moment."""
        use = self._uses.get(channel.name)
        if use is None or use.channel is not channel:
            use = self._uses[channel.name] = ChannelUse(channel, self.loop.time())
        return use

    def channel_numbers(self) -> Iterator[tuple[str, int, int]]:
        """Yield (channel, connections, requests accepted) for the metrics."""
        for name, use in self._uses.items():
            yield name, use.connections, use.accepted

    def paused_count(self) -> int:
        """Connections that are not read at this moment."""
        return sum(connection.paused for connection in self._connections.values())

    def administer(self, method: str) -> object:
        """Answer a method of the `admin` permission."""
        return self._administration[method]()


def _socket_options(settings: Settings) -> list[tuple[int, int, int]]:
    """Replies leave at once, and a peer that is gone is noticed: half-open connections end by themselves."""
    return [
        (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
        (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
        (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, settings.keepalive_seconds),
        (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, max(1, settings.keepalive_seconds // 3)),
        (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
        (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 1_000 * settings.user_timeout_seconds),
    ]
