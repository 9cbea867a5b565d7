"""A server that answers when and what a test says: one thread, one line a request, replies in order."""

import asyncio
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

Answer = Callable[[dict[str, Any]], dict[str, Any] | None]
"""The reply's members besides the id, and notifications behind it under "then"; None hangs up."""
Delay = Callable[[int], float]
"""Seconds from the arrival of request number n (all connections together, from 0) to its reply."""


class Clock:
    """Timestamps that rise."""

    def __init__(self) -> None:
        self.now = 0

    def next(self) -> int:
        self.now += 1
        return self.now


def taken(request: dict[str, Any]) -> dict[str, Any]:
    """Whatever was sent has worked."""
    params = request.get("params")
    if request["method"] == "get_account_transfers":
        return {"result": [], "seq": 1}
    if not isinstance(params, list):
        return {"result": {}, "seq": 1}
    if request["method"] == "lookup_accounts":
        return {"result": [{"id": one} for one in params], "seq": 1}
    statuses = {"submit_orders": "new", "replace_orders": "replaced", "cancel_orders": "canceled"}
    status = statuses.get(request["method"], "created")
    return {"result": [{"status": status, "timestamp": CLOCK.next()} for _ in params], "seq": 1}


CLOCK = Clock()


class Slow:
    """What the server has seen."""

    def __init__(self, answer: Answer, delay: Delay) -> None:
        self.answer = answer
        self.delay = delay
        self.port = 0
        self.requests: list[dict[str, Any]] = []
        self.connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        replies: asyncio.Queue[tuple[float, dict[str, Any]]] = asyncio.Queue()
        loop = asyncio.get_running_loop()

        async def answer() -> None:
            while True:
                due, request = await replies.get()
                await asyncio.sleep(max(0.0, due - loop.time()))
                reply = self.answer(request)
                if reply is None:
                    writer.close()
                    return
                lines = [{"id": request["id"]} | reply, *reply.pop("then", [])]
                writer.write(b"".join(json.dumps(line).encode() + b"\n" for line in lines))

        answering = loop.create_task(answer())
        try:
            while line := await reader.readline():
                request = json.loads(line)
                replies.put_nowait((loop.time() + self.delay(len(self.requests)), request))
                self.requests.append(request)
        except ConnectionError:
            pass
        finally:
            answering.cancel()
            writer.close()


@contextmanager
def slow(answer: Answer = taken, delay: Delay = lambda _: 0.0, tls: ssl.SSLContext | None = None) -> Iterator[Slow]:
    """Run one in a thread."""
    server = Slow(answer, delay)
    ready = threading.Event()
    stop: list[Callable[[], object]] = []

    async def main() -> None:
        done = asyncio.Event()
        loop = asyncio.get_running_loop()
        stop.append(lambda: loop.call_soon_threadsafe(done.set))
        listening = await asyncio.start_server(server.serve, "127.0.0.1", 0, limit=1 << 24, ssl=tls)
        server.port = listening.sockets[0].getsockname()[1]
        ready.set()
        await done.wait()
        listening.close()

    # `run` ends what still serves, and closes the loop.
    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    ready.wait()
    try:
        yield server
    finally:
        stop[0]()
        thread.join()
