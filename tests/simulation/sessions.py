"""Sessions with the simulated database: what `asyncpg.connect` gives in a simulated world.

The server's own code runs on top of it, from `server.journal.link.connect` on: sessions, prepared statements,
transactions, and the appends that `server.journal.stream` writes as bytes.

Everything may fail on the way there and on the way back. A session that is cut before its statement arrives, after the
statement was executed, or with the statement still on its way, looks the same to whoever sent it.
"""

import asyncio
import struct
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from random import Random
from types import SimpleNamespace
from typing import Any

import asyncpg

from server.journal.stream import INSERTED
from tests.simulation.database import Answer, Database
from tests.simulation.loop import Node, SimulatedLoop

USER_TIMEOUT_SECONDS = 15.0
"""When the network swallows everything, either side gives a session up after so long."""
NOTICED_SECONDS = 0.002
"""A process that is gone is noticed by the database within so long."""
INSERTED_NOTHING = INSERTED.replace(b"INSERT 0 1", b"INSERT 0 0")
_LENGTH = struct.Struct("!i")
Operation = Callable[["Session"], Any]


class Rates:
    """How often things go wrong with statements, as parts of one."""

    def __init__(self) -> None:
        self.cut_before = 0.0
        self.cut_after = 0.0
        self.ghost = 0.0
        """The session is cut, and the statement is executed seconds later."""
        self.warning = 0.0
        self.slow = 0.0


class Session:
    """A session with both its ends."""

    def __init__(self, server: "Server", node: Node, *, read_only: bool) -> None:
        server.pids += 1
        self.pid = server.pids
        self.server = server
        self.node = node
        self.read_only = read_only
        self.closed = False
        """The client's end is."""
        self.made: set[int] = set()
        """Partitions made in the open transaction."""
        self.touched = 0.0
        self._arrived = 0.0
        self._answered = 0.0
        self._protocol = _Owner(self)
        self._transport = _Transport(self)
        self._listeners: list[Callable[[Any, Any], None]] = []
        self._waiting: asyncio.Future[Any] | None = None
        self.ended: list[Callable[[Any], None]] = []
        """Who wants to hear of its end."""
        self.prepared: dict[str, str] = {}
        self.held: deque[tuple[Operation, Callable[[Any], None], float]] = deque()

    # --- as asyncpg has it

    def is_closed(self) -> bool:
        return self.closed

    def terminate(self) -> None:
        """End it without a word."""
        if not self.closed:
            self.closed = True
            self._lost(ConnectionResetError("terminated"))
            self.server.leave(self)

    async def close(self) -> None:
        self.terminate()

    def add_log_listener(self, listener: Callable[[Any, Any], None]) -> None:
        self._listeners.append(listener)

    def add_termination_listener(self, listener: Callable[[Any], None]) -> None:
        self.ended.append(listener)

    def get_server_version(self) -> Any:
        return SimpleNamespace(major=18)

    async def _ask(self, text: str, arguments: Sequence[Any] = ()) -> Answer:
        answer: Answer = await self._do(lambda session: self.server.database.execute(session, text, arguments), text)
        return answer

    async def _do(self, operation: Operation, text: str) -> Any:
        if self.closed:
            raise asyncpg.InterfaceError("connection is closed")
        future: asyncio.Future[Any] = self.node.loop.create_future()
        self._waiting = future

        def answered(result: Any) -> None:
            if future.done() or self.closed:
                return
            if isinstance(result, BaseException):
                future.set_exception(result)
            else:
                future.set_result(result)

        self.server.send(self, operation, answered, append="INSERT INTO tongbao.log_" in text)
        try:
            return await future
        finally:
            self._waiting = None

    async def fetch(self, text: str, *arguments: Any) -> list[Any]:
        return list((await self._ask(text, arguments))[0])

    async def fetchrow(self, text: str, *arguments: Any) -> Any:
        rows = (await self._ask(text, arguments))[0]
        return rows[0] if rows else None

    async def fetchval(self, text: str, *arguments: Any) -> Any:
        rows = (await self._ask(text, arguments))[0]
        return rows[0][0] if rows else None

    async def execute(self, text: str, *arguments: Any) -> str:
        return (await self._ask(text, arguments))[1]

    async def prepare(self, text: str, *, name: str | None = None) -> "Statement":
        name = name or f"statement_{len(self.prepared)}"

        def prepare(session: Session) -> None:
            self.server.database.plan(text)
            for word in text.split():
                if word.startswith("tongbao.log_"):
                    self.server.database._table(word.removeprefix("tongbao.log_"), session)
            self.prepared[name] = text

        await self._do(prepare, "")
        return Statement(self, text, name)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """Everything or nothing; who is silent in it for too long loses the session (see journal.schema.alone)."""
        await self._do(self.server.begin, "")
        try:
            yield
        except BaseException:
            if not self.closed:
                await self._do(self.server.roll_back, "")
            raise
        await self._do(self.server.commit, "")

    # --- the ends

    def _lost(self, error: Exception) -> None:
        """Tell the client's end, in the client's own turn."""
        loop = self.node.loop
        before, loop.node = loop.node, self.node
        loop.call_soon(self._transport.protocol.connection_lost, error)
        loop.node = before

    def cut(self) -> None:
        """The client's end is lost; of the server's nothing is said."""
        if not self.closed:
            self.closed = True
            self._lost(ConnectionResetError("the session was cut"))

    def warn(self) -> None:
        """Send a warning, as behind a synchronous commit whose wait was canceled."""
        if isinstance(self._transport.protocol, _Owner):
            message = SimpleNamespace(severity_en="WARNING", severity="WARNING", sqlstate="01000")
            for listener in self._listeners:
                listener(self, message)


class Statement:
    """A prepared statement."""

    def __init__(self, session: Session, text: str, name: str) -> None:
        self._session = session
        self._text = text
        self._name = name
        self._status = ""

    def get_name(self) -> str:
        return self._name

    def get_statusmsg(self) -> str:
        return self._status

    async def fetch(self, *arguments: Any) -> list[Any]:
        rows, self._status = await self._session._ask(self._text, arguments)
        return list(rows)

    async def fetchrow(self, *arguments: Any) -> Any:
        rows = await self.fetch(*arguments)
        return rows[0] if rows else None


class _Owner:
    """asyncpg's own protocol, as far as others know it."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def connection_lost(self, _: Exception | None) -> None:
        session = self._session
        session.closed = True
        ended, session.ended = session.ended, []
        for listener in ended:
            session.node.loop.call_soon(listener, session)
        waiting = session._waiting
        if waiting is not None and not waiting.done():
            waiting.set_exception(
                asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation")
            )


class _Transport:
    """The session's transport, as `server.journal.stream` uses it: it writes appends and reads what comes back."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.protocol: Any = session._protocol

    def set_protocol(self, protocol: Any) -> None:
        self.protocol = protocol

    def abort(self) -> None:
        session = self._session
        if not session.closed:
            session.closed = True
            session.server.leave(session)
            session._protocol.connection_lost(None)

    def write(self, data: bytes) -> None:
        session = self._session
        if session.closed:
            session._lost(ConnectionResetError("the session is closed"))
            return
        name, values = _bound(data)
        text = session.prepared[name]

        def answered(result: Any) -> None:
            if session.closed:
                return
            if isinstance(result, BaseException):
                self.protocol.data_received(b"E\0\0\0\x0dSERROR\0\0\0")
            elif isinstance(result, _Warned):
                self.protocol.data_received(b"N\0\0\0\x0fSWARNING\0\0\0\0")
            else:
                answer = INSERTED if result[1] == "INSERT 0 1" else INSERTED_NOTHING
                place = session.server.random.randrange(len(answer)) if session.server.random.random() < 0.1 else 0
                if place:
                    self.protocol.data_received(answer[:place])
                self.protocol.data_received(answer[place:])

        session.server.send(
            session, lambda each: session.server.database.execute(each, text, values), answered, append=True
        )


class _Warned:
    """An answer that came behind a warning."""


def _bound(data: bytes) -> tuple[str, tuple[Any, ...]]:
    """Read a Bind message: the name of the statement and its parameters."""
    end = data.index(b"\0", 6)
    name = data[6:end].decode()
    at = end + 1 + 6
    values: list[Any] = []
    for size in (8, 8, 8, 2, 0, 0, 0, 0, 0):
        (length,) = _LENGTH.unpack_from(data, at)
        at += 4
        if length < 0:
            values.append(None)
            continue
        raw = data[at : at + length]
        at += length
        values.append(int.from_bytes(raw, "big", signed=True) if size else raw)
    return name, tuple(values)


class Server:
    """The way to the database and back."""

    def __init__(self, loop: SimulatedLoop, database: Database, random: Random, trace: Callable[..., None]) -> None:
        self.loop = loop
        self.database = database
        self.random = random
        self.trace = trace
        self.rates = Rates()
        self.pids = 0
        self.up = True
        self._parted: dict[str, list[Callable[[], None]]] = {}
        """Of nodes that cannot reach it: what is on its way, either way."""
        self._alone: Session | None = None
        self._queue: deque[tuple[Session, Operation, Callable[[Any], None]]] = deque()

    async def connect(self, *_: Any, server_settings: dict[str, str], **__: Any) -> Session:
        """Stand in for asyncpg.connect."""
        node = self.loop.node
        await asyncio.sleep(0.000_5 + self.random.random() * 0.001)
        if node.name in self._parted:
            await asyncio.sleep(10.0)
            raise TimeoutError
        if not self.up:
            if self.random.random() < 0.5:
                raise ConnectionRefusedError(111, "Connect call failed")
            raise asyncpg.CannotConnectNowError("the database system is starting up")
        while self.database.node.paused:
            await asyncio.sleep(0.05)
        session = Session(self, node, read_only="default_transaction_read_only" in server_settings)
        self.database.sessions[session.pid] = session
        return session

    # --- there

    def send(self, session: Session, operation: Operation, answered: Callable[[Any], None], *, append: bool) -> None:
        """Send an operation; what comes of it is given to `answered`, at the client's node."""
        random, rates = self.random, self.rates
        delay = 0.000_05 + random.random() * 0.000_2
        if append and rates.cut_before and (dice := random.random()) < rates.cut_before + rates.ghost:
            if dice < rates.cut_before:
                self.trace("append_lost", session.node.name)
            else:
                late = random.choice((0.01, 0.3, 2.0)) * random.random()
                self.trace("append_late", session.node.name, round(late, 4))
                self.loop.on(self.database.node, delay + late, self._ghost, session, operation)
            self.loop.on(session.node, delay, session.cut)
            self._forget_later(session)
            return
        self._way(session, delay, self.database.node, self._arrive, session, operation, answered, append)

    def _way(self, session: Session, delay: float, to: Node, what: Callable[..., None], *arguments: Any) -> None:
        """Go there or back, in order, unless nothing comes through."""
        held = self._parted.get(session.node.name)
        if held is not None:
            held.append(lambda: self._way(session, delay, to, what, *arguments))
            return
        now = self.loop.now
        if to is session.node:
            session._answered = at = max(session._answered + 1e-7, now + delay)
        else:
            session._arrived = at = max(session._arrived + 1e-7, now + delay)
        self.loop.on(to, at - now, what, *arguments)

    def _ghost(self, session: Session, operation: Operation) -> None:
        """A statement of a session that its client has given up long ago."""
        if not self.up:
            return
        try:
            operation(session)
        except (asyncpg.PostgresError, OSError) as error:
            self.trace("late_append", session.node.name, type(error).__name__)
        else:
            self.trace("late_append", session.node.name, "executed")

    def _arrive(self, session: Session, operation: Operation, answered: Callable[[Any], None], append: bool) -> None:
        if session.pid not in self.database.sessions:
            self.loop.on(session.node, 0.000_1, session.cut)
            return
        if self._alone is not None and self._alone is not session and operation == self.begin:
            self._queue.append((session, operation, answered))
            return
        session.touched = self.loop.now
        try:
            result = operation(session)
        except (asyncpg.PostgresError, OSError) as error:
            result = error
        self._answer(session, result, answered, append=append)

    def _answer(self, session: Session, result: Any, answered: Callable[[Any], None], *, append: bool) -> None:
        random, rates = self.random, self.rates
        delay = 0.000_05 + random.random() * (0.001 if append else 0.000_2)
        if rates.slow and random.random() < rates.slow:
            delay += random.random() * 0.3
        if append:
            if rates.cut_after and random.random() < rates.cut_after:
                self.trace("answer_lost", session.node.name)
                self.loop.on(session.node, delay, session.cut)
                self._forget_later(session)
                return
            if rates.warning and random.random() < rates.warning and not isinstance(result, BaseException):
                self.trace("warning", session.node.name)
                if isinstance(session._transport.protocol, _Owner):
                    self._way(session, delay, session.node, session.warn)
                else:
                    result = _Warned()
        self._way(session, delay, session.node, answered, result)

    # --- transactions, of which there is one at a time

    def begin(self, session: Session) -> None:
        """Begin, alone (see journal.schema.alone: every transaction of the server is)."""
        self._alone = session
        self._watch(session)

    def _watch(self, session: Session) -> None:
        def look() -> None:
            if self._alone is not session:
                return
            if self.loop.now - session.touched >= 2.0:
                self.trace("transaction_ended", session.node.name)
                self.end(session)
            else:
                self._watch(session)

        self.loop.on(self.database.node, 1.0, look)

    def commit(self, session: Session) -> None:
        """Let everybody see what was made."""
        self.database.partitions |= session.made
        self.roll_back(session)

    def roll_back(self, session: Session) -> None:
        """Forget what was made, and let the next one begin."""
        session.made = set()
        if self._alone is session:
            self._alone = None
            if self._queue:
                other, operation, answered = self._queue.popleft()
                self._arrive(other, operation, answered, append=False)

    # --- ends

    def leave(self, session: Session) -> None:
        """The client has ended it, or is gone: the database notices, if anything comes through."""
        self._way(session, NOTICED_SECONDS, self.database.node, self.end, session)

    def _forget_later(self, session: Session) -> None:
        self.loop.on(self.database.node, self.random.random() * 0.5, self.end, session)

    def end(self, session: Session) -> None:
        """End the server's end; the client learns of it."""
        if self.database.sessions.pop(session.pid, None) is None:
            return
        self.roll_back(session)
        if not session.closed:
            self._way(session, 0.000_2, session.node, session.cut)

    def forget(self, session: Session) -> None:
        """End the server's end, and tell nobody."""
        self.database.sessions.pop(session.pid, None)
        self.roll_back(session)

    def kill(self, node: Node) -> None:
        """A process is gone."""
        for session in list(self.database.sessions.values()):
            if session.node is node:
                session.closed = True
                self.leave(session)

    def restart(self, seconds: float) -> None:
        """End every session, and let nobody in for a while."""
        self.up = False
        for session in list(self.database.sessions.values()):
            self.end(session)
        self.loop.on(self.database.node, seconds, self._back)

    def _back(self) -> None:
        self.up = True
        self.trace("database_up")

    def part(self, node: str) -> None:
        """Let nothing come through between a node and the database."""
        if node not in self._parted:
            self._parted[node] = []
            self.loop.on(self.database.node, USER_TIMEOUT_SECONDS, self._give_up, node)

    def _give_up(self, node: str) -> None:
        if node in self._parted:
            for session in list(self.database.sessions.values()):
                if session.node.name == node:
                    self.forget(session)
                    self.loop.on(session.node, 0.0, session.cut)

    def heal(self, node: str) -> None:
        """Let everything through that was held."""
        for go_on in self._parted.pop(node, ()):
            go_on()
