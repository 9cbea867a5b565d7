"""A ledger server in a thread: the real parser, engine and encoder, no log; and one that answers badly on purpose."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import cast

import uvloop

from engine import Batch, Engine
from engine.requests import clear
from server.wire import METHODS_ALL, Parser, encode

Alter = Callable[[bytes, int], bytes]
"""What leaves instead of a piece of replies; the number counts the pieces of a connection from 0. b"" closes."""


class Ledger(asyncio.BufferedProtocol):
    """One connection."""

    def __init__(self, engine: Engine, batch: Batch, alter: Alter | None) -> None:
        self.engine = engine
        self.batch = batch
        self.alter = alter
        self.pieces = 0
        self.parser = Parser()
        self.parser.allow(METHODS_ALL, 0, logged_on=True, int64_strings=False)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self.parser.get_buffer(sizehint)

    def buffer_updated(self, nbytes: int) -> None:
        self.parser.buffer_updated(nbytes)
        while True:
            clear(self.batch)
            self.parser.parse(self.batch, 1)
            if not len(self.batch):
                return
            time = self.engine.last_timestamp + 1
            self.engine.apply(self.batch, time)
            for _, data in encode(self.batch, 1, time):
                self.answer(data)

    def answer(self, data: bytes) -> None:
        if self.alter is not None:
            data = self.alter(data, self.pieces)
            self.pieces += 1
        if data:
            self.transport.write(data)
        else:
            self.transport.close()


@contextmanager
def serving(alter: Alter | None = None) -> Iterator[tuple[int, Engine]]:
    """The port and the engine of a server that runs in a thread."""
    engine = Engine()
    batch = Batch()
    ready = threading.Event()
    port = 0

    async def main() -> None:
        nonlocal port
        server = await asyncio.get_running_loop().create_server(lambda: Ledger(engine, batch, alter), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        ready.set()
        await done.wait()
        server.close()

    loop = uvloop.new_event_loop()
    done = asyncio.Event()
    thread = threading.Thread(target=lambda: loop.run_until_complete(main()))
    thread.start()
    ready.wait()
    try:
        yield port, engine
    finally:
        loop.call_soon_threadsafe(done.set)
        thread.join()
        loop.close()
