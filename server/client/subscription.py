"""Executions and market data as an asynchronous iterator, over a connection of its own.

When the connection is lost a new one is made, and the topics are subscribed to again: books, tops, orders and auctions
begin with a snapshot again, executions and trades with what was missed, each of them once.
"""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Sequence
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

import msgspec

from server.client.errors import ClientError, ConnectionLost, ProtocolError, RequestError
from server.client.logon import Logon
from server.client.retry import tune_socket
from server.client.route import Route

LINE_MAX: Final = 2**28
ATTEMPT_MAX_S: Final = 10.0


class Event(NamedTuple):
    """One notification."""

    method: str
    params: dict[str, Any]
    gap: bool = False
    """Whether updates of this topic are missing between the event before and this one. It does not happen with a
    server that keeps the protocol; who sees it subscribes again."""

    @property
    def snapshot(self) -> bool:
        """Whether it is everything there is, and not a change."""
        return bool(self.params.get("snapshot"))


class _Line(msgspec.Struct):
    id: int | None = None
    result: Any = None
    error: Any = None
    method: str | None = None
    params: Any = None
    seq: int = 0


_decoder = msgspec.json.Decoder(_Line)


class Subscription:
    """Topics of one connection: `async with`, then `async for`. Made by `Client.subscribe`.

    Raises RequestError and its kinds when the server refuses the logon or a topic, ConnectionLost when the first
    connection cannot be made. Later losses are made good by reconnecting.
    """

    def __init__(
        self,
        route: Route,
        topics: Sequence[str],
        logon: Logon | None = None,
        tls: ssl.SSLContext | None = None,
        *,
        from_seq: int | None = None,
        depth: int | None = None,
    ) -> None:
        if not topics:
            raise ValueError("topics: none are given")
        if "executions" in topics and any(topic.startswith("executions:") for topic in topics):
            raise ValueError("topics: executions are asked for twice")
        self.reconnects = 0
        """Connections made after the first."""
        self._route = route
        self._topics = list(topics)
        self._logon = logon
        self._tls = tls
        self._from_seq = from_seq
        self._depth = depth
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._early: list[_Line] = []
        self._seqs: dict[tuple[str, Any], int] = {}
        """Newest seq by topic."""
        self._complete: dict[str, int] = {}
        """What each topic of executions or trades is complete up to: catching up, one may be far ahead of another."""
        self._newest: dict[tuple[str, Any], int] = {}
        """Newest exec_id or trade_id by topic."""

    async def __aenter__(self) -> Self:
        await self._connect()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End the connection."""
        writer, self._writer, self._reader = self._writer, None, None
        if writer is not None:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def __aiter__(self) -> AsyncIterator[Event]:
        """Give events until the subscription is closed."""
        if self._reader is None:
            raise RuntimeError("the subscription is not open: use `async with`")
        while self._reader is not None:
            try:
                line = self._early.pop(0) if self._early else await self._read()
            except (OSError, EOFError):
                if self._writer is None:
                    return
                await self._connect_again()
                continue
            event = self._event(line)
            if event is not None:
                yield event

    def _event(self, line: _Line) -> Event | None:
        """Check a notification against the one before it; None for what was given already."""
        if line.method is None:
            return None
        params = line.params
        if not isinstance(params, dict) or "seq" not in params:
            return Event(line.method, params if isinstance(params, dict) else {})
        key = (line.method, params.get("account_id") if self._by_account else params.get("instrument"))
        if line.method == "execution" and not self._by_account:
            key = (line.method, None)
        number = params.get("exec_id" if line.method == "execution" else "trade_id")
        known = self._seqs.get(key)
        gap = known is not None and not params.get("snapshot") and params["prev_seq"] > known
        self._seqs[key] = params["seq"]
        if number is not None:
            self._complete[self._topic_of(line.method, params)] = params["seq"]
            if params.get("state", "done") == "done":
                if number <= self._newest.get(key, 0):
                    return None
                self._newest[key] = number
        return Event(line.method, params, gap)

    def _topic_of(self, method: str, params: dict[str, Any]) -> str:
        if method == "trade":
            return f"trades:{params.get('instrument')}"
        return f"executions:{params.get('account_id')}" if self._by_account else "executions"

    @property
    def _by_account(self) -> bool:
        return any(topic.startswith("executions:") for topic in self._topics)

    async def _connect_again(self) -> None:
        attempt = 0
        while True:
            await self._drop()
            await asyncio.sleep(self._route.backoff.wait_s(attempt))
            attempt += 1
            try:
                await self._connect()
            except (ConnectionLost, OSError, EOFError):
                continue
            self.reconnects += 1
            return

    async def _drop(self) -> None:
        writer = self._writer
        if writer is not None:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _connect(self) -> None:
        try:
            async with asyncio.timeout(ATTEMPT_MAX_S):
                host, port = self._route.host, self._route.port
                name = host if self._tls is not None else None
                self._reader, self._writer = await asyncio.open_connection(
                    host, port, ssl=self._tls, server_hostname=name, limit=LINE_MAX
                )
                tune_socket(self._writer.get_extra_info("socket"))
                if self._logon is not None:
                    await self._ask("logon", self._logon.params())
                for from_seq, topics in self._wanted().items():
                    params: dict[str, Any] = {"topics": topics}
                    if from_seq is not None:
                        params["from_seq"] = from_seq
                    if self._depth is not None:
                        params["depth"] = self._depth
                    seq = await self._ask("subscribe", params)
                    for topic in topics:
                        if topic.partition(":")[0] in {"executions", "trades"}:
                            self._complete.setdefault(topic, seq if from_seq is None else from_seq)
        except (OSError, EOFError, TimeoutError) as error:
            await self._drop()
            address = self._route.address
            self._route.next()
            raise ConnectionLost(f"cannot reach {address}: {error or type(error).__name__}", sent=False) from None
        except ClientError:
            await self.close()
            raise

    def _wanted(self) -> dict[int | None, list[str]]:
        """Topics by the log entry from which they are to begin."""
        wanted: dict[int | None, list[str]] = {}
        for topic in self._topics:
            wanted.setdefault(self._complete.get(topic, self._from_seq), []).append(topic)
        return wanted

    async def _ask(self, method: str, params: object) -> int:
        assert self._writer is not None
        request = {"id": 1, "method": method, "params": params}
        self._writer.write(msgspec.json.encode(request) + b"\n")
        while True:
            line = await self._read()
            if line.method is not None:
                self._early.append(line)
                continue
            if line.error is not None:
                raise RequestError.of(int(line.error["code"]), str(line.error["message"]))
            return line.seq

    async def _read(self) -> _Line:
        assert self._reader is not None
        text = await self._reader.readline()
        if not text.endswith(b"\n"):
            raise EOFError("the server closed the connection")
        try:
            return _decoder.decode(text)
        except msgspec.MsgspecError as error:
            raise ProtocolError(f"the server sent a line that is no reply: {error}") from None
