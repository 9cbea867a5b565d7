"""A TCP proxy that cuts connections after a random number of bytes, in either direction."""

import asyncio
import random
from typing import Self


class CuttingProxy:
    """Listens on `port`; each connection lives for `bytes_min` to `bytes_max` bytes of one direction."""

    def __init__(self, target: int, *, seed: int, bytes_min: int, bytes_max: int) -> None:
        self.target = target
        self.host = "127.0.0.1"
        self.port = 0
        self.cuts = 0
        self.cutting = True
        self._random = random.Random(seed)
        self._bounds = (bytes_min, bytes_max)
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        out: asyncio.StreamWriter | None = None
        try:
            back, out = await asyncio.open_connection("127.0.0.1", self.target)
            limits = [self._random.randint(*self._bounds), 2**62]
            self._random.shuffle(limits)
            pumps = [
                asyncio.create_task(self._pump(reader, out, limits[0])),
                asyncio.create_task(self._pump(back, writer, limits[1])),
            ]
            try:
                await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for pump in pumps:
                    pump.cancel()
                await asyncio.gather(*pumps, return_exceptions=True)
        except (OSError, asyncio.CancelledError):
            pass  # the end of this connection, or of the proxy
        finally:
            self._tasks.discard(task)
            writer.transport.abort()
            if out is not None:
                out.transport.abort()

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, left: int) -> None:
        while data := await source.read(65536):
            if self.cutting and len(data) >= left:
                sink.write(data[:left])
                await sink.drain()
                # Let the part that got through arrive; what is cut is the rest.
                await asyncio.sleep(0.001)
                self.cuts += 1
                return
            left -= len(data)
            sink.write(data)
            await sink.drain()
