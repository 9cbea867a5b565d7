"""A real redis-server, worlds whose events are published, and the plain reading of a log that they must equal."""

import asyncio
import json
import shutil
import signal
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from redis import Redis, RedisError

from engine import Batch, Engine
from engine.limits import Limits
from server.events.backlog import Again
from server.events.maker import KINDS, Maker, RowEvents
from server.events.publisher import Publisher, Target
from server.events.sink import Events
from server.events.streams import Streams
from server.journal import Row
from server.metrics import Metrics
from server.recovery import Recovered, apply_rows
from server.snapshots import Snapshots
from tests.server.projection.worlds import Log

Told = dict[str, list[tuple[str, bytes]]]
"""Ids and documents by kind, in order."""


def redis_program() -> str | None:
    return shutil.which("redis-server")


class RedisServer:
    """One process on a unix socket; it can be killed and started again on what it has written."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.socket = directory / "redis.sock"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"unix://{self.socket}"

    def start(self) -> None:
        program = redis_program()
        assert program is not None
        self.socket.unlink(missing_ok=True)
        arguments = {
            "port": "0", "unixsocket": self.socket, "dir": self.directory, "save": "", "appendonly": "yes",
            "appendfsync": "no", "loglevel": "warning",
        }  # fmt: skip
        flags = [word for name, value in arguments.items() for word in (f"--{name}", str(value))]
        with (self.directory / "redis.log").open("ab") as log:
            self.process = subprocess.Popen([program, *flags], stdout=log, stderr=log)
        deadline = time.monotonic() + 10
        while True:
            try:
                with Redis.from_url(self.url) as redis:
                    redis.ping()
                    return
            except RedisError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)

    def kill(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None

    def lose(self) -> None:
        """Everything that it has written is gone; it must not run."""
        shutil.rmtree(self.directory / "appendonlydir", ignore_errors=True)

    def keep(self, name: str) -> None:
        """Copy what it has written, as an older replica would have it."""
        shutil.copytree(self.directory / "appendonlydir", self.directory / name)

    def lose_copy(self, name: str) -> None:
        shutil.rmtree(self.directory / name, ignore_errors=True)

    def put_back(self, name: str) -> None:
        self.lose()
        shutil.copytree(self.directory / name, self.directory / "appendonlydir")

    def told(self, prefix: str = "tongbao") -> Told:
        """Everything in the streams."""
        with Redis.from_url(self.url) as redis:
            found: Told = {}
            for kind in KINDS:
                entries: Any = redis.xrange(f"{prefix}:{kind}")
                found[kind] = [(entry.decode(), fields[b"event"]) for entry, fields in entries]
        return found


def by_kind(rows: Iterable[RowEvents]) -> Told:
    told: Told = {kind: [] for kind in KINDS}
    for row in rows:
        for event in row.events:
            told[KINDS[event.kind]].append((f"{row.seq}-{event.place}", event.data))
    return told


def read_plainly(rows: Iterable[Row], limits: Limits, engine: Engine | None = None) -> Told:
    """The events that a log makes, from its beginning, in one go."""
    rows = list(rows)
    recovered = Recovered(engine or Engine(limits), 0, 0, rows[0].hash, None)
    maker = Maker(recovered.engine)
    made: list[RowEvents] = []
    apply_rows(recovered, rows[1:], Batch(), lambda row, batch: made.append(maker.of(row, batch)))
    return by_kind(made)


class World:
    """An engine behind a log in memory, and publishers of its events, row by row as a test wants it."""

    def __init__(
        self, log: Log, limits: Limits, targets: list[Target], directory: Path, *, bytes_max: int = 1 << 26,
        from_now: bool = False, at: Recovered | None = None,
    ) -> None:  # fmt: skip
        self.log = log
        self.limits = limits
        self.batch = Batch()
        self.recovered = at or Recovered(Engine(limits), 0, 0, log.rows[0].hash, None)
        again = Again(log, Snapshots(directory / "snapshots", 2), limits)
        (directory / "snapshots").mkdir(exist_ok=True)
        self.publishers = [Publisher(target, log, again, bytes_max=bytes_max, from_now=from_now) for target in targets]
        self.metrics = Metrics()
        self.sink = Events(self.publishers, self.metrics)
        self.sink.begin(self.recovered.engine, self.recovered.seq)
        self.running: asyncio.Task[None] | None = None

    def apply(self, count: int) -> bool:
        """Apply some rows; False when there are no more."""
        first = self.recovered.seq + 1
        rows = self.log.rows[first : first + count]
        apply_rows(self.recovered, rows, self.batch, self.sink.applied)
        return bool(rows)

    def start(self) -> None:
        self.running = asyncio.create_task(self.sink.run())

    async def stop(self) -> None:
        """As a kill would: whatever is under way is cut."""
        if self.running is not None:
            self.running.cancel()
            await asyncio.gather(self.running, return_exceptions=True)
            self.running = None

    async def flushed(self) -> None:
        """Until every target has all that was applied."""
        assert self.running is not None
        reaching = asyncio.gather(*(publisher.reached(self.recovered.seq) for publisher in self.publishers))
        done, _ = await asyncio.wait({reaching, self.running}, timeout=30, return_when=asyncio.FIRST_COMPLETED)
        reaching.cancel()
        await asyncio.gather(reaching, return_exceptions=True)
        if self.running in done:
            self.running.result()
        assert reaching in done, [(publisher.health(), publisher.trouble) for publisher in self.publishers]


def streams(redis: RedisServer, prefix: str = "tongbao", entries_max: int = 0) -> Streams:
    return Streams(redis.url, prefix, entries_max)


def data_of(told: Told, kind: str) -> list[Any]:
    return [json.loads(document)["data"] for _, document in told[kind]]
