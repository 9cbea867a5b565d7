"""One session with the database, set up so that what it confirms can be believed.

- No timeout of the session may cut an append short: an append that was cut short has an unknown outcome.
- A warning while a commit is waited for is not a confirmation: PostgreSQL answers "canceling wait for synchronous
  replication" with a WARNING and then with success. `doubt` tells; whoever sees it takes a new session and asks again.
- Ending a session never waits for the other side.
"""

import asyncio
import os
import socket
from typing import Any
from urllib.parse import parse_qs, urlsplit

import asyncpg
import structlog

from server.journal import hosts
from server.journal.errors import UnsafeDatabase
from server.journal.schema import check_server
from server.journal.stream import AppendStream

log = structlog.get_logger("tongbao.journal")

CONNECT_TIMEOUT = 10.0
"""Seconds for one attempt to connect; attempts go on until one works."""
BACKOFF_MIN, BACKOFF_MAX = 0.02, 1.0
"""Seconds between two attempts."""
TCP_USER_TIMEOUT_MS = 15_000
"""A peer that has acknowledged nothing for so long is gone (only over TCP)."""

SESSION = {
    "application_name": "tongbao",
    "statement_timeout": "0",
    "lock_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "idle_session_timeout": "0",
    "default_transaction_isolation": "read committed",
    "search_path": "pg_catalog",
    # Our statements find one row by its key. There are no statistics about the log (it is not vacuumed), so the
    # planner is told, and told to plan once.
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "jit": "off",
    # The server's half of noticing that the other side is gone; it means nothing on a unix socket.
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": str(TCP_USER_TIMEOUT_MS),
}

READ_ONLY = {"application_name": "tongbao reader", "default_transaction_read_only": "on"}

GONE = (
    OSError,
    asyncio.TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # asyncpg's state after a server that ended an idle session with an error
)
"""What is raised when the session is lost, or could not be had, whatever the server did with the statement."""

UNREADABLE = (asyncpg.DataCorruptedError, asyncpg.IndexCorruptedError)
"""What PostgreSQL answers when a page on its disk is not what it wrote: asking again will not help."""


class Link:
    """A session. Never used by two tasks at the same time."""

    __slots__ = ("__weakref__", "_connection", "_stream", "doubt", "timeline")

    def __init__(self, connection: asyncpg.Connection, timeline: int = 0) -> None:
        self._connection = connection
        self.timeline = timeline
        """Of the primary that it is with, when that is one of several hosts; else 0."""
        self._stream: AppendStream | None = None
        self.doubt = False
        """A warning arrived: what was confirmed since may not be durable everywhere it should be."""
        connection.add_log_listener(self._on_message)

    def _on_message(self, _: object, message: asyncpg.PostgresLogMessage) -> None:
        # asyncpg schedules this before it wakes whoever waits for the statement's end, since the server sends it
        # before; the text may be in any language, so every warning counts.
        if getattr(message, "severity_en", None) == "WARNING" or getattr(message, "severity", None) == "WARNING":
            self.doubt = True
            log.warning("database_warning", message=str(message), sqlstate=message.sqlstate)

    @property
    def connection(self) -> asyncpg.Connection:
        """For everything but appends."""
        if self._stream is not None:
            self._stream.release()
            self._stream = None
        return self._connection

    def stream(self, statement: asyncpg.prepared_stmt.PreparedStatement) -> AppendStream:
        """For appends by a statement that was prepared on `connection`, until that is used again."""
        if self._stream is None:
            self._stream = AppendStream(self._connection, statement.get_name())
        return self._stream

    @property
    def lost(self) -> bool:
        """Whether it cannot be used any more."""
        return bool(self._connection.is_closed())

    def drop(self) -> None:
        """End it without waiting for anybody."""
        self._connection.terminate()

    async def close(self) -> None:
        """End it, politely if that takes less than a second.

        On a network that swallows everything asyncpg's close waits for a minute, and cancelling it waits as long: only
        terminating helps.
        """
        if self._stream is not None and self._stream.busy:
            self.drop()
        else:
            await finish(asyncio.create_task(self.connection.close()), self)


async def finish(task: "asyncio.Task[Any]", link: Link | None) -> None:
    """Wait a second for a task that uses the session, then end the session and leave the task to itself."""
    done, _ = await asyncio.wait({task}, timeout=1.0)
    if not done:
        if link is not None:
            link.drop()
        task.cancel()
        await asyncio.wait({task}, timeout=1.0)
    task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())


async def connect(dsn: str, *, allow_unsafe: bool, read_only: bool = False) -> Link:
    """Connect once. Raises one of GONE, a PostgresError, or UnsafeDatabase.

    `read_only`: for readers of the log. The session cannot write, and a standby of PostgreSQL will do.
    """
    options: dict[str, Any] = {
        "timeout": CONNECT_TIMEOUT,
        "command_timeout": None,
        "statement_cache_size": 0,
        "server_settings": SESSION | READ_ONLY if read_only else SESSION,
    }
    places = hosts.hosts_of(dsn)
    timeline = 0
    if read_only:
        # For asyncpg a session that must not write is never one with a server that takes writes.
        attributes = parse_qs(urlsplit(dsn).query).get("target_session_attrs", ["any"])[0]
        options["target_session_attrs"] = "primary" if attributes == "read-write" else attributes
        connect_one = (
            asyncpg.connect(dsn, **options) if len(places) < 2 else hosts.connect_reader(dsn, places, **options)
        )
        connection = await connect_one
    elif len(places) < 2:
        connection = await asyncpg.connect(dsn, **options)
    else:
        timeline, connection = await hosts.connect_primary(dsn, places, **options)
    try:
        _keep_alive(connection)
        if not read_only and await connection.fetchval("SELECT pg_is_in_recovery()"):
            raise asyncpg.CannotConnectNowError("the database is a standby")
        await check_server(connection, allow_unsafe=allow_unsafe or read_only)
    except BaseException:
        connection.terminate()
        raise
    return Link(connection, timeline)


def _keep_alive(connection: asyncpg.Connection) -> None:
    """Have the kernel notice a peer that is gone, on a TCP connection."""
    transport = connection._transport  # noqa: SLF001 - asyncpg gives no other way to its socket
    descriptor = transport.get_extra_info("socket").fileno()
    # Options belong to the socket, not to the descriptor: a duplicate avoids whatever wrapper the loop hands out.
    with socket.socket(fileno=os.dup(descriptor)) as ours:
        if ours.family == socket.AF_UNIX:
            return
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in (("TCP_KEEPIDLE", 10), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3)):
            ours.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
        ours.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, TCP_USER_TIMEOUT_MS)


def curable(error: BaseException) -> bool:
    """Whether the same statement may succeed later, by itself or after an operator has acted (room, permission)."""
    state = getattr(error, "sqlstate", None) or ""
    return state[:2] != "42" or state in {"42501", "42P01"}


def temporary(error: BaseException) -> bool:
    """Whether connecting again later may help without anybody changing anything."""
    if isinstance(error, UnsafeDatabase):
        return False
    if isinstance(error, asyncpg.PostgresError):
        # 08 connection, 53 resources, 57 operator intervention: shutting down, starting up, a standby.
        return (error.sqlstate or "")[:2] in {"08", "53", "57"}
    return isinstance(error, GONE)
