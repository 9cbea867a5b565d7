"""A real server for profiles: with its private PostgreSQL, or on a log that forgets."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.profiling.budget import Reading
from benchmarks.profiling.loads import LOADS, Run
from benchmarks.serving import Serving, cpu_seconds
from server.journal.cluster import Files

WARM_UP_SECONDS = 1.0


class Profiled:
    """A server under one load after the other."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving
        self._data = serving.directory / "data"
        self._seed = 0

    @property
    def pid(self) -> int:
        """Its process."""
        return self._serving.pid

    def cpu_seconds(self) -> float:
        """User and system time of its process so far."""
        return self._serving.cpu_seconds()

    def database_cpu_seconds(self) -> float:
        """Those of the processes of its PostgreSQL that live now."""
        return sum(cpu_seconds(pid) for pid in Files(self._data / "postgres").processes())

    def reading(self) -> Reading:
        """Its metrics."""
        port = json.loads((self._data / "server.json").read_text("utf-8"))["http_port"]
        return Reading.fetch(f"http://127.0.0.1:{port}/metrics")

    def warm(self, name: str) -> None:
        """Run a load for a moment: what is set up at first use is then there."""
        self.ready(name)(WARM_UP_SECONDS)

    def ready(self, name: str) -> Run:
        """Make a load ready to run."""
        self._seed += 1
        return LOADS[name][1](self._serving.port, self._seed)


@contextmanager
def running(directory: Path, *, no_commit: bool = False, staged: bool = False) -> Iterator[Profiled]:
    """Run a server in `directory`. No snapshot falls into what is measured. `staged`: reads are timed, too."""
    module = "benchmarks.unlogged_server" if no_commit else "server.cli"
    if staged:
        module = "benchmarks.profiling.staged_server"
        os.environ["STAGED_NO_COMMIT"] = "1" if no_commit else "0"
    serving = Serving(directory / "served", module=module, snapshot_every_items=str(2**40))
    serving.start()
    try:
        yield Profiled(serving)
    finally:
        serving.discard()
