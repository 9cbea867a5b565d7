"""TCP proxies in a process of their own, which swallow, cut and refuse what goes through them.

`Proxies` starts the process and tells it what to do, one line of JSON after the other; each is confirmed when it is so.
In a process of its own since an audit keeps the run's process busy, and a proxy that is late would look like a slow
network.
"""

import asyncio
import contextlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
CHUNK = 1 << 18


class Proxy:
    """One listening port. Nothing it does changes a byte or the order of bytes."""

    def __init__(self) -> None:
        self.target = ""
        """A port of this machine, or the path of a file that holds the directory of PostgreSQL's socket."""
        self.hole = asyncio.Event()
        """Cleared: every connection stays open, new ones are taken, and nothing goes through, either way."""
        self.hole.set()
        self.refuse = False
        """New connections are closed at once."""
        self._writers: set[asyncio.StreamWriter] = set()

    async def start(self) -> int:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return int(server.sockets[0].getsockname()[1])

    def tell(self, order: dict[str, Any]) -> None:
        self.target = order.get("target", self.target)
        self.refuse = order.get("refuse", self.refuse)
        if "hole" in order:
            (self.hole.clear if order["hole"] else self.hole.set)()
        if order.get("cut"):
            for writer in self._writers:
                writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        out: asyncio.StreamWriter | None = None
        try:
            self._writers.add(writer)
            if self.refuse:
                return
            await self.hole.wait()
            back, out = await self._connect()
            self._writers.add(out)
            pumps = [asyncio.create_task(self._pump(reader, out)), asyncio.create_task(self._pump(back, writer))]
            _, others = await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            for pump in others:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
        except (OSError, ValueError):
            pass  # there is nobody behind it just now
        finally:
            for end in (writer, out):
                if end is not None:
                    self._writers.discard(end)
                    end.transport.abort() if self.refuse else end.close()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self.target.isdigit():
            return await asyncio.open_connection("127.0.0.1", int(self.target))
        return await asyncio.open_unix_connection(Path(self.target).read_text().strip() + "/.s.PGSQL.5432")

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(CHUNK):
                await self.hole.wait()
                sink.write(data)
                await sink.drain()


class Proxies:
    """The process, from outside: named proxies, each with a port that stays."""

    def __init__(self, names: list[str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.proxy", *names],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.ports: dict[str, int] = json.loads(self._read())

    def tell(self, name: str, **order: object) -> None:
        """Give `target`, `hole`, `refuse` or `cut`; returns when it is so."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"name": name, **order}) + "\n")
        self._process.stdin.flush()
        self._read()

    def _read(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the process of the proxies has ended")
        return line

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()


async def _main(names: list[str]) -> None:
    proxies = {name: Proxy() for name in names}
    print(json.dumps({name: await proxy.start() for name, proxy in proxies.items()}), flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        order = json.loads(line)
        proxies[order.pop("name")].tell(order)
        print("{}", flush=True)


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1:]))
