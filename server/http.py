"""Health and metrics over HTTP/1.1, on a port of its own.

Three resources, GET and HEAD, one request per connection. It answers while the server recovers, and under any load of
the TCP port it stays this small: a request head of at most 4 KiB, five seconds to send it, 32 connections. An HTTP
framework would bring a hundred times the code for less strictness.
"""

import asyncio
import contextlib
import re
from collections.abc import Callable
from http import HTTPStatus

HEAD_BYTES_MAX = 4_096
HEAD_SECONDS_MAX = 5.0
CONNECTIONS_MAX = 32

_REQUEST_LINE = re.compile(rb"([A-Z]{1,16}) (/[!-~]{0,1024}) HTTP/1\.[01]")
_HEADER = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t -~\x80-\xff]*")

Resource = Callable[[], tuple[HTTPStatus, str, bytes]]
"""Returns status, content type and body."""


class HttpServer:
    """The listener. `resources` maps paths to functions that answer at once."""

    def __init__(self, resources: dict[str, Resource]) -> None:
        self._resources = resources
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, host: str, port: int) -> int:
        """Listen; return the port."""
        self._server = await asyncio.start_server(self._accept, host, port, limit=HEAD_BYTES_MAX)
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Stop listening and end every connection."""
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._server is not None:
            await self._server.wait_closed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        if len(self._tasks) >= CONNECTIONS_MAX:
            writer.transport.abort()
            return
        self._tasks.add(task)
        try:
            async with asyncio.timeout(HEAD_SECONDS_MAX):
                try:
                    head = await reader.readuntil(b"\r\n\r\n")
                except asyncio.LimitOverrunError:
                    reply = self._reply(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "text/plain", b"head too large\n")
                else:
                    reply = self._answer(head)
                writer.write(reply)
                writer.write_eof()
                await writer.drain()
                # Let the peer read before the socket goes: data of it left unread would reset the connection.
                while await reader.read(HEAD_BYTES_MAX):
                    pass
        except (TimeoutError, OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self._tasks.discard(task)
            writer.transport.abort()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    def _answer(self, head: bytes) -> bytes:
        line, *headers = head[:-4].split(b"\r\n")
        match = _REQUEST_LINE.fullmatch(line)
        if match is None or not all(_HEADER.fullmatch(header) for header in headers):
            return self._reply(HTTPStatus.BAD_REQUEST, "text/plain", b"malformed request\n")
        method, path = match[1].decode(), match[2].decode().partition("?")[0]
        if any(header.partition(b":")[0].lower() in {b"transfer-encoding", b"content-length"} for header in headers):
            return self._reply(HTTPStatus.BAD_REQUEST, "text/plain", b"no body is expected\n")
        resource = self._resources.get(path)
        if resource is None:
            return self._reply(HTTPStatus.NOT_FOUND, "text/plain", b"not found\n", head_only=method == "HEAD")
        if method not in {"GET", "HEAD"}:
            return self._reply(
                HTTPStatus.METHOD_NOT_ALLOWED, "text/plain", b"GET, HEAD\n", extra="Allow: GET, HEAD\r\n"
            )
        return self._reply(*resource(), head_only=method == "HEAD")

    @staticmethod
    def _reply(
        status: HTTPStatus, content_type: str, body: bytes, *, head_only: bool = False, extra: str = ""
    ) -> bytes:
        head = (
            f"HTTP/1.1 {status.value} {status.phrase}\r\n"
            f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n"
            f"Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n{extra}\r\n"
        )
        return head.encode() + (b"" if head_only else body)
