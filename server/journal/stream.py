"""Appends on the wire: one prepared statement, sent as bytes, with one good answer.

asyncpg opens the session, prepares the statement, and does everything else. For the appends in between, the session's
transport speaks to the protocol here, which does nothing but write Bind, Execute and Sync in one piece and compare what
comes back with the answer to a row that was inserted. That takes a fifth of the time of asyncpg's own way, and commits
are what a client waits for. Any other answer, and a notice or an error is one, ends the session: the outcome is then
unknown, which the journal settles on a new session through asyncpg.

Messages: PostgreSQL documentation, "Frontend/Backend Protocol", Message Formats.
"""

import asyncio
import struct
from collections.abc import Callable
from typing import Any, TypeAlias, cast

import asyncpg

INSERTED = b"2\0\0\0\4C\0\0\0\x0fINSERT 0 1\0Z\0\0\0\5I"
"""BindComplete, CommandComplete, ReadyForQuery outside a transaction."""
_EXECUTE_SYNC = b"E\0\0\0\x09\0\0\0\0\0S\0\0\0\4"
_FIXED = struct.Struct("!iqiqiqihi32si32si32s")
_LENGTH = struct.Struct("!i")
_NULL = _LENGTH.pack(-1)
_SHOWN_MAX = 300


Values: TypeAlias = tuple[int, int, int, int, bytes, bytes, bytes, bytes | None, bytes]
"""seq, epoch, time, format, previous_hash, hash, checksum, digest, payload."""


Done: TypeAlias = Callable[[BaseException | None], None]


class StreamBrokenError(ConnectionError):
    """The session ended, or answered what an append is not answered with. Whether the row is there is not known."""


class AppendStream(asyncio.Protocol):
    """One prepared append on one session, one row at a time."""

    def __init__(self, connection: asyncpg.Connection, statement: str) -> None:
        """`statement` is the name of the prepared append on `connection`, which must be idle."""
        # asyncpg gives no public way to either.
        self._transport = cast("asyncio.Transport", connection._transport)  # noqa: SLF001
        self._owner: Any = connection._protocol  # noqa: SLF001
        # Name of the portal, of the statement; all parameters are binary; nine of them.
        self._head = b"\0" + statement.encode() + b"\0" + struct.pack("!hhh", 1, 1, 9)
        self._done: Done | None = None
        self._received = b""
        self._transport.set_protocol(self)

    @property
    def busy(self) -> bool:
        """Whether an append is under way."""
        return self._done is not None

    def release(self) -> None:
        """Give the session back to asyncpg. Only when no append is under way."""
        self._transport.set_protocol(self._owner)

    def append(self, values: Values, done: Done) -> None:
        """Send a row. `done` is called with None when it is durable, else with a StreamBrokenError."""
        seq, epoch, time, format, previous, hash, checksum, digest, payload = values
        fixed = _FIXED.pack(8, seq, 8, epoch, 8, time, 2, format, 32, previous, 32, hash, 32, checksum)
        digest_part = _NULL if digest is None else _LENGTH.pack(len(digest)) + digest
        length = 4 + len(self._head) + len(fixed) + len(digest_part) + 4 + len(payload) + 2
        self._done = done
        self._transport.write(
            b"".join(
                (b"B", _LENGTH.pack(length), self._head, fixed, digest_part, _LENGTH.pack(len(payload)), payload,
                 b"\0\0", _EXECUTE_SYNC)
            )
        )  # fmt: skip

    def data_received(self, data: bytes) -> None:
        """Compare."""
        if self._received:
            data = self._received + data
        done = self._done
        if data == INSERTED and done is not None:
            self._received = b""
            self._done = None
            done(None)
        elif done is not None and INSERTED.startswith(data):
            self._received = data
        else:
            self._break(f"unexpected answer: {data[:_SHOWN_MAX]!r}")

    def eof_received(self) -> None:
        """The other side has closed; `connection_lost` follows."""

    def connection_lost(self, error: Exception | None) -> None:
        """Let asyncpg know, whose session it is."""
        self._break(str(error or "the connection was closed"))
        self._owner.connection_lost(error)

    def pause_writing(self) -> None:
        """One row at a time: nobody would write more."""

    def resume_writing(self) -> None:
        """See pause_writing."""

    def _break(self, why: str) -> None:
        self._transport.abort()
        done, self._done = self._done, None
        if done is not None:
            done(StreamBrokenError(why))
