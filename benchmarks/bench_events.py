"""How many events a second a follower makes, and gives to a Redis and to Parquet files of its own.

Transfers between 100,000 accounts, in rows of the log of 1,000: a transfer is an event, and so is each balance that it
changed. What is measured is from the first row applied until the target has the last; the engine's own work is in it.
"""

import asyncio
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import uvloop

from benchmarks.bench_projection import Ledger, NoLog
from benchmarks.figures import Figure, main
from engine import Limits
from server.events.backlog import Again
from server.events.maker import Maker
from server.events.parquet import Parquet
from server.events.publisher import Publisher, Target
from server.events.sink import Events
from server.events.streams import Streams
from server.metrics import Metrics
from server.snapshots import Snapshots

ROWS, ITEMS = 100, 1_000


async def published(target: Target) -> tuple[int, float]:
    """Events that a target took, and the seconds it took."""
    ledger = Ledger(ordered=True)
    directory = Path(tempfile.mkdtemp())
    again = Again(NoLog(), Snapshots(directory, 2), Limits())
    publisher = Publisher(target, NoLog(), again, bytes_max=1 << 32, from_now=False)
    sink = Events([publisher], Metrics())
    sink.begin(ledger.engine, 0)
    sink.applied(ledger.transfers(1)._replace(seq=1), ledger.batch)
    running = asyncio.create_task(sink.run())
    await publisher.reached(1)
    began, before = time.perf_counter(), publisher.published
    for seq in range(2, ROWS + 2):
        row = ledger.transfers(ITEMS)
        sink.applied(row._replace(seq=seq), ledger.batch)
        await asyncio.sleep(0)
    await publisher.reached(ROWS + 1)
    seconds = time.perf_counter() - began
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    shutil.rmtree(directory, ignore_errors=True)
    return publisher.published - before, seconds


def made() -> float:
    """Events a second that are made and thrown away."""
    ledger = Ledger(ordered=True)
    maker = Maker(ledger.engine)
    count = 0
    seconds = 0.0
    for _ in range(ROWS):
        row = ledger.transfers(ITEMS)
        began = time.perf_counter()
        count += len(maker.of(row, ledger.batch).events)
        seconds += time.perf_counter() - began
    return count / seconds


def to_redis() -> float:
    """Events a second into a Redis on a unix socket, with its log on and synced once a second."""
    program = shutil.which("redis-server")
    if program is None:
        raise SystemExit("there is no redis-server")
    with tempfile.TemporaryDirectory() as directory:
        socket = f"{directory}/redis.sock"
        command = [program, "--port", "0", "--unixsocket", socket, "--dir", directory, "--save", "",
                   "--appendonly", "yes"]  # fmt: skip
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
            while not Path(socket).exists():
                time.sleep(0.01)
            count, seconds = uvloop.run(published(Streams(f"unix://{socket}", "bench", 0)))
            server.terminate()
    return count / seconds


def to_parquet() -> float:
    """Events a second into files, of 100,000 events each set."""
    with tempfile.TemporaryDirectory() as directory:
        count, seconds = uvloop.run(published(Parquet(Path(directory), 100_000, 1)))
    return count / seconds


def measure(full: bool) -> Iterator[Figure]:
    """Yield the figures."""
    del full  # one size: more rows only take longer
    note = f"{ROWS * ITEMS:,} transfers in rows of {ITEMS:,}"
    yield Figure("events/made", made(), "events/s", note)
    yield Figure("events/redis", to_redis(), "events/s", note)
    yield Figure("events/parquet", to_parquet(), "events/s", note)


if __name__ == "__main__":
    main(__doc__, measure)
