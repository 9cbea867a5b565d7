"""A TCP proxy before PostgreSQL's socket that loses what it is told to lose."""

import asyncio
from pathlib import Path
from typing import Self


class FaultyProxy:
    """Forwards bytes both ways. `cut_request` and `cut_answer` end a connection at its next appended row."""

    def __init__(self, socket_path: Path) -> None:
        self.socket_path = socket_path
        self.port = 0
        self.marker = b""  # what a request must contain for the two switches below to act
        self.cut_request = False  # … before the server sees it
        self.cut_answer = False  # … after the server has it, before the client sees the answer
        self.crumbs = False  # forwards answers byte by byte
        self.hole = False  # keeps every connection open, and forwards nothing
        self.cuts = 0
        self._server: asyncio.Server | None = None
        self._healed = asyncio.Event()
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

    def heal(self) -> None:
        """Forward again, beginning with what was held back."""
        self.hole = False
        self._healed.set()
        self._healed = asyncio.Event()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        out: asyncio.StreamWriter | None = None
        try:
            back, out = await asyncio.open_unix_connection(self.socket_path)
            mute = asyncio.Event()
            pumps = [
                asyncio.create_task(self._pump(reader, out, mute, request=True)),
                asyncio.create_task(self._pump(back, writer, mute, request=False)),
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

    async def _pump(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, mute: asyncio.Event, *, request: bool
    ) -> None:
        while data := await source.read(1 << 20):
            while self.hole:
                await self._healed.wait()
            if request and self.marker and self.marker in data:
                if self.cut_request:
                    self.cut_request = False
                    self.cuts += 1
                    return
                if self.cut_answer:
                    self.cut_answer = False
                    self.cuts += 1
                    mute.set()
            if not request and mute.is_set():
                return
            if self.crumbs and not request:
                for place in range(len(data)):
                    sink.write(data[place : place + 1])
                    await asyncio.sleep(0.001)  # else the kernel would put them together again
            else:
                sink.write(data)
            await sink.drain()
