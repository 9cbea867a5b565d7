"""What Python itself gives a process, put on the simulated world's time and chance while it runs.

Clocks, random bytes, asyncpg's way to a database, the fork that writes a snapshot. Everything is put back behind a run.
"""

import contextlib
import gc
import os
import random
import secrets
import socket
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import asyncpg
import structlog

import engine.snapshot
import server.acceptor
import server.batcher
import server.checks
import server.client.ids
import server.journal.link
import server.process
from engine.snapshot import SnapshotJob
from tests.simulation.loop import BEGIN, SimulatedLoop
from tests.simulation.sessions import Server

real_time = time.perf_counter
SNAPSHOT_SECONDS = 0.03
"""How long a snapshot takes to be written, at most."""


class WrittenJob(SnapshotJob):
    """A snapshot that was written at once, and of which that is known only later."""

    def __init__(self, temporary: Path, target: Path, loop: SimulatedLoop, seconds: float) -> None:
        super().__init__(0, temporary, target)
        self._loop = loop
        self._until = loop.now + seconds

    def _wait(self, options: int) -> bool:
        if self._loop.now < self._until and options == os.WNOHANG:
            return False
        self._status = 0
        return True


_ABSENT = object()


class Patches:
    """Attributes that are replaced for a while."""

    def __init__(self) -> None:
        self._old: list[tuple[Any, str, Any, bool]] = []

    def set(self, owner: Any, name: str, value: Any) -> None:
        """Replace an attribute, or a member of a dict."""
        if isinstance(owner, dict):
            self._old.append((owner, name, owner[name], True))
            owner[name] = value
        else:
            self._old.append((owner, name, vars(owner).get(name, getattr(owner, name, _ABSENT)), False))
            setattr(owner, name, value)

    def undo(self) -> None:
        """Put everything back."""
        for owner, name, value, item in reversed(self._old):
            if item:
                owner[name] = value
            elif value is _ABSENT:
                delattr(owner, name)
            else:
                setattr(owner, name, value)
        self._old.clear()


@contextlib.contextmanager
def virtual(loop: SimulatedLoop, database: Server, chance: Random, patches: Patches) -> Iterator[None]:
    """Run with a world's clocks, chance, and database; `patches` may hold more, and are undone with these."""
    state = random.getstate()
    random.seed(chance.getrandbits(64))

    def now() -> float:
        return loop.now

    for name, value in (
        ("time", lambda: loop.wall_ns() / 1e9),
        ("time_ns", loop.wall_ns),
        ("monotonic", now),
        ("monotonic_ns", lambda: round((loop.now - BEGIN) * 1e9)),
        ("perf_counter", now),
    ):
        patches.set(time, name, value)
    for cls in (server.batcher.Batcher, server.acceptor.Acceptor):
        patches.set(cls.__init__.__kwdefaults__, "clock_ns", loop.wall_ns)
    patches.set(os, "urandom", chance.randbytes)
    patches.set(os, "getpid", lambda: 1)
    patches.set(socket, "gethostname", lambda: "simulated")
    patches.set(secrets, "token_bytes", lambda count=32: chance.randbytes(count))
    patches.set(secrets, "token_hex", lambda count=32: chance.randbytes(count).hex())
    patches.set(server.client.ids, "_last", 0)
    patches.set(asyncpg, "connect", database.connect)
    patches.set(server.journal.link, "_keep_alive", lambda _: None)
    # A collection takes real time, and freezing would keep what belongs to a world.
    patches.set(server.process, "gc", SimpleNamespace(collect=lambda: 0, freeze=lambda: None))
    # The kernels of limits are compiled once in this process; each engine is given them.
    patches.set(server.checks, "attach", lambda *_: None)

    def fork_write(sections: Any, path: Any) -> SnapshotJob:
        target = Path(path)
        temporary = target.with_name(f".{target.name}.writing")
        temporary.write_bytes(b"".join(engine.snapshot._bytes(array) for _, array in sections))
        return WrittenJob(temporary, target, loop, SNAPSHOT_SECONDS * chance.random())

    patches.set(engine.snapshot, "fork_write", fork_write)
    patches.set(os, "fsync", lambda _: None)
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        patches.undo()
        random.setstate(state)
        if collects:
            gc.enable()


def quiet_logs(say: Any = None) -> None:
    """Have nothing logged, or everything given to `say`."""
    if say is None:
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50), cache_logger_on_first_use=False)
        return

    def tell(_: Any, level: str, event: Any) -> Any:
        say(level, event)
        raise structlog.DropEvent

    structlog.configure(
        processors=[tell], wrapper_class=structlog.make_filtering_bound_logger(0), cache_logger_on_first_use=False
    )


@contextlib.contextmanager
def last_words_ignored() -> Iterator[None]:
    """Let go of a world that has ended: what its processes would still say when they are collected is not heard."""
    hook = sys.unraisablehook
    sys.unraisablehook = lambda _: None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            gc.collect()
            gc.collect()  # what ignored the end of its world is let go of only now
            sys.unraisablehook = hook
