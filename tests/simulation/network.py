"""The network of a simulated world: connections whose bytes arrive later, in pieces, or never.

What TCP promises is kept: bytes of one direction of one connection arrive in order, once, or the connection ends. All
else may happen: it is cut in the middle of a line, it falls silent in both directions without an end (a partition, or
a peer whose machine is gone), the other process does not read, or is paused: then its kernel still takes connections
and bytes, and nobody answers.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from random import Random
from typing import Any

from tests.simulation.loop import Node, SimulatedLoop

SILENCE_SECONDS = 10.0
"""Bytes that nobody acknowledges end a connection after so long (TCP_USER_TIMEOUT)."""
KEEP_ALIVE_SECONDS = 11.0
"""A connection over which nothing comes through is noticed at the latest after so long."""
HIGH_BYTES = 65_536


class Address:
    """What a server has for sockets."""

    def __init__(self, port: int) -> None:
        self._port = port

    def getsockname(self) -> tuple[str, int]:
        return "127.0.0.1", self._port


class Listener:
    """An open port."""

    def __init__(self, network: "Network", node: Node, factory: Callable[[], Any], port: int) -> None:
        self.node = node
        self.factory = factory
        self.port = port
        self.sockets = [Address(port)]
        self._network = network

    def close(self) -> None:
        self._network.listeners.pop(self.port, None)

    def get_loop(self) -> SimulatedLoop:
        return self.node.loop

    def is_serving(self) -> bool:
        return self.port in self._network.listeners

    async def wait_closed(self) -> None:
        """Connections are on their own."""

    def _attach(self, transport: Any = None) -> None:
        """Of asyncio's own servers."""


class Transport(asyncio.Transport):
    """One side of a connection."""

    def __init__(self, network: "Network", node: Node) -> None:
        super().__init__()
        self.network = network
        self.node = node
        self.peer: Transport = self
        self.protocol: Any = None
        self.buffered = False
        self.open = True
        self.silent = False
        self._last = 0.0
        self._inbox: deque[bytes | None] = deque()
        """What has arrived and was not read: bytes, and None for the end."""
        self._reading = True
        self._ended = False
        """We have sent our end."""
        self._unread = 0
        self._high = HIGH_BYTES
        self._stopped = False
        self._held: list[tuple[Callable[..., None], Any]] = []

    # --- as asyncio knows it

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("127.0.0.1", 50_000) if name == "peername" else default

    def set_protocol(self, protocol: Any) -> None:
        self.protocol = protocol
        self.buffered = isinstance(protocol, asyncio.BufferedProtocol)

    def get_protocol(self) -> Any:
        return self.protocol

    def is_closing(self) -> bool:
        return not self.open

    def is_reading(self) -> bool:
        return self._reading

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._high = HIGH_BYTES if high is None else high

    def get_write_buffer_size(self) -> int:
        return self._unread

    def can_write_eof(self) -> bool:
        return True

    def write(self, data: Any) -> None:
        if not self.open or self._ended or not data:
            return
        data = bytes(data)
        network = self.network
        cut = network.cut_of(data)
        if cut is not None:
            network.trace("cut", self.node.name, self.peer.node.name, cut, len(data))
            if cut:
                self._send(self.peer._arrive, data[:cut])
            self._send(self.peer._reset, None)
            self.node.loop.on(self.node, network.delay(), self._reset, None)
            return
        self._unread += len(data)
        split = network.split_of(data)
        if split:
            self._send(self.peer._arrive, data[:split])
            self._send(self.peer._arrive, data[split:])
        else:
            self._send(self.peer._arrive, data)
        if self._unread > self._high and not self._stopped:
            self._stopped = True
            self.protocol.pause_writing()

    def writelines(self, list_of_data: Any) -> None:
        self.write(b"".join(list_of_data))

    def write_eof(self) -> None:
        if self.open and not self._ended:
            self._ended = True
            self._send(self.peer._arrive, None)

    def pause_reading(self) -> None:
        self._reading = False

    def resume_reading(self) -> None:
        if not self._reading:
            self._reading = True
            if self._inbox:
                self.node.loop.call_soon(self._read)

    def close(self) -> None:
        if not self.open:
            return
        self.write_eof()
        self._end(None)
        if self._inbox:
            self._send(self.peer._reset, None)  # what was not read resets the connection

    def abort(self) -> None:
        if self.open:
            self._send(self.peer._reset, None)
            self._end(None)

    # --- how things arrive

    def _send(self, what: Callable[..., None], data: Any) -> None:
        if self.silent or self.network.parted(self.node, self.peer.node):
            self._held.append((what, data))
            self.network.hold(self)
            return
        loop = self.node.loop
        self._last = max(self._last + 1e-7, loop.now + self.network.delay())
        loop.on(self.peer.node, self._last - loop.now, what, data)

    def release(self) -> None:
        """Send what a partition has held back."""
        held, self._held = self._held, []
        for what, data in held:
            self._send(what, data)

    def _arrive(self, data: bytes | None) -> None:
        if not self.open:
            if data is not None:
                self._send(self.peer._reset, None)
            return
        self._inbox.append(data)
        if self._reading and self.protocol is not None:
            self._read()

    def _read(self) -> None:
        while self._inbox and self._reading and self.open:
            data = self._inbox.popleft()
            if data is None:
                if not self.protocol.eof_received():
                    self.close()
                return
            if not self.buffered:
                self._taken(len(data))
                self.protocol.data_received(data)
                continue
            buffer = self.protocol.get_buffer(-1)
            count = min(len(buffer), len(data))
            buffer[:count] = data[:count]
            if count < len(data):
                self._inbox.appendleft(data[count:])
            self._taken(count)
            self.protocol.buffer_updated(count)

    def _taken(self, count: int) -> None:
        peer = self.peer
        peer._unread = max(0, peer._unread - count)
        if peer._stopped and peer._unread <= peer._high // 4:
            peer._stopped = False
            peer.node.loop.on(peer.node, self.network.delay(), peer._resume_writing)

    def _resume_writing(self) -> None:
        if self.open:
            self.protocol.resume_writing()

    def _reset(self, _: None) -> None:
        if self.open:
            self._end(ConnectionResetError("the connection was reset"))

    def _end(self, error: Exception | None) -> None:
        self.open = False
        self.network.transports.pop(self, None)
        loop = self.node.loop
        if self.protocol is None:
            return
        before, loop.node = loop.node, self.node
        loop.call_soon(self.protocol.connection_lost, error)
        loop.node = before

    def vanish(self) -> None:
        """The process is gone, and the system tells the other side; a machine that is gone tells nobody."""
        self.open = False
        self.network.transports.pop(self, None)
        self._send(self.peer._reset, None)


class Network:
    """Everything between nodes, but for sessions with the database."""

    def __init__(self, loop: SimulatedLoop, random: Random, trace: Callable[..., None]) -> None:
        self.loop = loop
        self.trace = trace
        self._random = random
        self.listeners: dict[int, Listener] = {}
        self.transports: dict[Transport, None] = {}
        self._partings: set[frozenset[str]] = set()
        self._holding: dict[Transport, None] = {}
        self._port = 40_000
        self.cut_part = 0.0
        """Of so many writes one cuts its connection."""
        self.split_part = 0.0
        self.slow = 1.0
        loop.network = self

    def delay(self) -> float:
        """Return how long the next bytes take."""
        random = self._random
        base = 0.000_05 + random.random() * 0.000_4
        if random.random() < 0.02:
            base *= 20 * random.random() + 1
        return base * self.slow

    def cut_of(self, data: bytes) -> int | None:
        """Return behind which byte this write cuts its connection; None: it does not."""
        if self.cut_part and self._random.random() < self.cut_part:
            return self._random.randrange(len(data) + 1)
        return None

    def split_of(self, data: bytes) -> int:
        """Return behind which byte it arrives in two pieces; 0: in one."""
        if self.split_part and len(data) > 1 and self._random.random() < self.split_part:
            return self._random.randrange(1, len(data))
        return 0

    # --- ports and connections

    def listen(self, node: Node, factory: Callable[[], Any], port: int) -> Listener:
        """Open a port."""
        if not port:
            self._port += 1
            port = self._port
        held = self.listeners.get(port)
        if held is not None and not held.node.dead:
            raise OSError(98, "Address already in use")
        listener = self.listeners[port] = Listener(self, node, factory, port)
        return listener

    async def connect(self, node: Node, factory: Callable[[], Any], port: int) -> tuple[Transport, Any]:
        """Connect: refused at once where nobody listens, in vain where nothing arrives."""
        loop = self.loop
        future: asyncio.Future[Transport | None] = loop.create_future()

        def answer(transport: Transport | None) -> None:
            if not future.done():
                future.set_result(transport)
            elif transport is not None:
                transport.vanish()

        def ask() -> None:
            if future.done():
                return
            listener = self.listeners.get(port)
            if listener is not None and self.parted(node, listener.node):
                loop.on(node, 0.2, ask)  # the system tries again
                return
            if listener is None or listener.node.dead:
                loop.on(node, self.delay(), answer, None)
                return
            ours, theirs = Transport(self, node), Transport(self, listener.node)
            ours.peer, theirs.peer = theirs, ours
            self.transports[ours] = self.transports[theirs] = None
            loop.on(listener.node, self.delay(), self._accept, listener, theirs)
            loop.on(node, 2 * self.delay(), answer, ours)

        loop.on(node, self.delay(), ask)
        transport = await future
        if transport is None:
            raise ConnectionRefusedError(111, "Connect call failed")
        protocol = factory()
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        if not transport.open:
            loop.call_soon(protocol.connection_lost, ConnectionResetError("the connection was reset"))
        elif transport._inbox:
            loop.call_soon(transport._read)
        return transport, protocol

    def _accept(self, listener: Listener, transport: Transport) -> None:
        if not listener.is_serving():
            transport.vanish()
            return
        protocol = listener.factory()
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        if transport._inbox and transport._reading:
            transport._read()

    # --- faults

    def parted(self, one: Node, other: Node) -> bool:
        """Whether nothing arrives between two nodes."""
        return bool(self._partings) and frozenset((one.name, other.name)) in self._partings

    def part(self, one: str, other: str) -> None:
        """Let nothing arrive between two nodes, and tell neither."""
        self._partings.add(frozenset((one, other)))

    def hold(self, transport: Transport) -> None:
        """Remember who has something to send when a partition ends; the system gives up after a while."""
        if transport not in self._holding:
            self._holding[transport] = None
            self.loop.on(transport.node, SILENCE_SECONDS, self._give_up, transport)

    def _give_up(self, transport: Transport) -> None:
        if transport in self._holding and transport.open and transport._held:
            transport._reset(None)

    def heal(self, one: str, other: str) -> None:
        """End a partition: what was held arrives."""
        self._partings.discard(frozenset((one, other)))
        holding, self._holding = self._holding, {}
        for transport in holding:
            transport.release()

    def silence(self, transport: Transport) -> None:
        """Let a connection fall silent for ever, in both directions: a box in between has forgotten it."""
        for side in (transport, transport.peer):
            side.silent = True
            if not side.node.dead:
                self.loop.on(side.node, KEEP_ALIVE_SECONDS, side._reset, None)

    def kill(self, node: Node, *, silently: bool = False) -> None:
        """A process is gone: its ports, and the ends of its connections."""
        for port, listener in list(self.listeners.items()):
            if listener.node is node:
                del self.listeners[port]
        for transport in list(self.transports):
            if transport.node is node:
                if silently:
                    self.silence(transport)
                transport.vanish()
