"""The health port: what it answers, and that malformed input cannot hurt it."""

import asyncio
import contextlib
import shutil
import subprocess
from collections.abc import AsyncIterator
from http import HTTPStatus

import pytest

from server import http
from server.http import HttpServer


def fine() -> tuple[HTTPStatus, str, bytes]:
    return HTTPStatus.OK, "text/plain", b"fine\n"


def unready() -> tuple[HTTPStatus, str, bytes]:
    return HTTPStatus.SERVICE_UNAVAILABLE, "application/json", b'{"ready":false}\n'


@pytest.fixture
async def port() -> AsyncIterator[int]:
    server = HttpServer({"/fine": fine, "/unready": unready})
    yield await server.start("127.0.0.1", 0)
    await server.stop()


async def ask(port: int, data: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    reply = await reader.read()
    writer.close()
    await writer.wait_closed()
    return reply


@pytest.mark.parametrize(
    ("request_head", "status", "body"),
    [
        (b"GET /fine HTTP/1.1\r\nHost: x\r\n\r\n", 200, b"fine\n"),
        (b"GET /fine?x=1 HTTP/1.0\r\n\r\n", 200, b"fine\n"),
        (b"HEAD /fine HTTP/1.1\r\nHost: x\r\n\r\n", 200, b""),
        (b"GET /unready HTTP/1.1\r\nHost: x\r\n\r\n", 503, b'{"ready":false}\n'),
        (b"GET /other HTTP/1.1\r\nHost: x\r\n\r\n", 404, b"not found\n"),
        (b"POST /fine HTTP/1.1\r\nHost: x\r\n\r\n", 405, b"GET, HEAD\n"),
        (b"GET /fine HTTP/1.1\r\nContent-Length: 5\r\n\r\n", 400, b"no body is expected\n"),
        (b"GET /fine HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 400, b"no body is expected\n"),
        (b"GET /fine HTTP/2.0\r\n\r\n", 400, b"malformed request\n"),
        (b"GET  /fine HTTP/1.1\r\n\r\n", 400, b"malformed request\n"),
        (b"get /fine HTTP/1.1\r\n\r\n", 400, b"malformed request\n"),
        (b"GET /../etc/passwd HTTP/1.1\r\n\r\n", 404, b"not found\n"),
        (b"GET /fi\x00ne HTTP/1.1\r\n\r\n", 400, b"malformed request\n"),
        (b"GET /fine HTTP/1.1\r\nHo st: x\r\n\r\n", 400, b"malformed request\n"),
        (b"GET /fine HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", 400, b"malformed request\n"),
        (b"\r\n\r\n", 400, b"malformed request\n"),
        (b"\xff\xfe\r\n\r\n", 400, b"malformed request\n"),
        (b"GET /" + b"a" * 5_000 + b" HTTP/1.1\r\n\r\n", 431, b"head too large\n"),
        (b"GET /fine HTTP/1.1\r\nX: " + b"a" * 100_000 + b"\r\n\r\n", 431, b"head too large\n"),
    ],
)
async def test_answers(port: int, request_head: bytes, status: int, body: bytes) -> None:
    head, _, content = (await ask(port, request_head)).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert content == body
    assert b"Connection: close" in head


async def test_curl(port: int) -> None:
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("no curl")
    command = [curl, "--silent", "--show-error", "--include", f"http://127.0.0.1:{port}/fine"]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, timeout=10, check=True)
    assert done.stdout.startswith(b"HTTP/1.1 200 OK")
    assert done.stdout.endswith(b"fine\n")


async def test_a_silent_client_is_ended_and_others_are_served(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "HEAD_SECONDS_MAX", 0.3)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /fi")
    assert (await ask(port, b"GET /fine HTTP/1.1\r\n\r\n")).endswith(b"fine\n")
    async with asyncio.timeout(5):
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""
    writer.close()


async def test_too_many_connections_are_dropped(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "CONNECTIONS_MAX", 2)
    held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
    await asyncio.sleep(0.05)
    with pytest.raises((ConnectionResetError, AssertionError)):
        assert (await ask(port, b"GET /fine HTTP/1.1\r\n\r\n")) != b""
    for _, writer in held:
        writer.close()
    await asyncio.sleep(0.05)
    assert (await ask(port, b"GET /fine HTTP/1.1\r\n\r\n")).endswith(b"fine\n")
