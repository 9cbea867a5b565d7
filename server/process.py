"""A process with an ordered start and an ordered stop, which mirror each other: what `serve` and `follow` share.

Each step is named in the log with the time it took. SIGTERM or SIGINT stop in order; a second one, or the time limit,
cuts the stop short. A fault while it runs ends it at once, and the exit code tells which.
"""

import asyncio
import fcntl
import gc
import json
import os
import signal
import time
from collections.abc import Awaitable, Callable
from enum import IntEnum
from http import HTTPStatus
from pathlib import Path
from typing import Any, NamedTuple

import uvloop

from engine.errors import CapacityError, EngineError, InvariantError
from server import logs
from server.channels import ChannelsError
from server.events.errors import EventsError
from server.http import HttpServer
from server.journal import (
    Fenced,
    JournalError,
    LogDamaged,
    LogLost,
    PostgresUnavailable,
    UnsafeDatabase,
)
from server.journal.link import UNREADABLE
from server.metrics import Metrics
from server.projection.errors import ProjectionError
from server.recovery import ReplayError
from server.settings import SettingsError

logs.OURS += [JournalError, EngineError, ReplayError, SettingsError, ChannelsError, ProjectionError, EventsError]


class Exit(IntEnum):
    """Exit codes of `tongbao serve`, documented in docs/OPERATIONS.md."""

    STOPPED = 0
    """Stopped in order."""
    FAULT = 1
    """A fault of ours; the log line names it."""
    SETTINGS = 2
    """A setting, the channels file or a certificate is wrong."""
    IN_USE = 3
    """Another process uses data_dir, or a port is taken."""
    DATABASE = 4
    """PostgreSQL cannot be started or reached, its settings could lose commits, or its disk is damaged."""
    LOG_DAMAGED = 5
    """A log row is missing, damaged, of a newer format, or does not give the state it gave."""
    FENCED = 6
    """Another leader has taken over the log."""
    LOG_LOST = 7
    """Acknowledged rows are gone from the log. Do not start again before a person has decided."""
    INVARIANT = 8
    """The books do not balance in memory. The log is good; a restart rebuilds the state from it."""
    CAPACITY = 9
    """The log holds more than the capacities allow."""
    CUT_SHORT = 10
    """The stop was cut short by a second signal or its time limit."""
    PROJECTION = 11
    """The tables of a projection are not there, of another revision, or not of this log."""
    PROJECTION_DIFFERS = 12
    """`tongbao projection check` found rows that are not what the log gives."""
    EVENTS = 13
    """A target of events holds another log's, or what it lacks is not in the log any more."""


def exit_code_of(error: BaseException) -> Exit:
    """Return the exit code that tells an error."""
    for kinds, code in (
        ((SettingsError, ChannelsError), Exit.SETTINGS),
        ((InUseError,), Exit.IN_USE),
        ((PostgresUnavailable, UnsafeDatabase, *UNREADABLE), Exit.DATABASE),
        ((LogDamaged, ReplayError), Exit.LOG_DAMAGED),
        ((Fenced,), Exit.FENCED),
        ((LogLost,), Exit.LOG_LOST),
        ((InvariantError,), Exit.INVARIANT),
        ((CapacityError,), Exit.CAPACITY),
        ((ProjectionError,), Exit.PROJECTION),
        ((EventsError,), Exit.EVENTS),
    ):
        if isinstance(error, kinds):
            return code
    return Exit.FAULT


class InUseError(Exception):
    """The data directory or a port belongs to somebody else."""


logs.OURS.append(InUseError)


class Step(NamedTuple):
    """One step of the start and what undoes it."""

    name: str
    start: Callable[[], Awaitable[None]]
    stop: Callable[[], Awaitable[None]] | None


class Process:
    """One process. `run` starts it, waits, stops it and returns the exit code.

    A subclass gives `steps`, and says what is `ready`, what `health` adds, and how to `abort`.
    """

    def __init__(self, directory: Path, http: tuple[str, int], stop_seconds: float) -> None:
        """`directory`: its own, locked while it runs; `http`: address and port of health and metrics."""
        self.metrics = Metrics()
        self.state = "starting"
        """starting, ready, stopping, stopped or failed."""
        self.step = ""
        self.http_port = 0
        self.fatal: BaseException | None = None
        self.steps: list[Step] = []
        self._directory = directory
        self._http_at = http
        self._stop_seconds = stop_seconds
        self._began = time.monotonic()
        self._log = logs.get()
        self._stop = asyncio.Event()
        self._cut = asyncio.Event()
        self._done: list[Step] = []
        self._lock = -1

    @property
    def uptime_seconds(self) -> float:
        """Since it was made."""
        return round(time.monotonic() - self._began, 3)

    # --- what a subclass says ----------------------------------------------------------------------

    @property
    def ready(self) -> bool:
        """Whether it does its work just now."""
        return self.state == "ready"

    def health(self) -> dict[str, object]:
        """Return what /health/ready says besides `ready`, `state` and `step`."""
        return {}

    def when_ready(self) -> dict[str, Any]:
        """Return the fields of the log line `ready`; called when all steps are done."""
        return {}

    def abort(self) -> None:
        """Do and answer nothing more from now on."""

    # --- the whole ----------------------------------------------------------------------------------

    async def run(self) -> Exit:
        """Start, serve until a signal or a fault, stop."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal, number)
        starting = asyncio.create_task(self.start())
        stopping = asyncio.create_task(self._stop.wait())
        await asyncio.wait((starting, stopping), return_when=asyncio.FIRST_COMPLETED)
        code = Exit.STOPPED
        if not starting.done():
            starting.cancel()
        try:
            await starting
        except asyncio.CancelledError:
            self._log.info("start_interrupted", step=self.step)
        except Exception as error:  # noqa: BLE001 - every fault has its exit code
            code = self._report(error)
        else:
            await stopping
        stopping.cancel()
        if self.fatal is not None:
            code = self._report(self.fatal)
        if not await self.stop():
            code = code or Exit.CUT_SHORT
        self._log.info("stopped", exit_code=int(code))
        return code

    async def start(self) -> None:
        """Do the steps of the start; whatever is raised, `stop` must follow."""
        for step in self.steps:
            self.step = step.name
            began = time.monotonic()
            # Noted before it starts: what has begun must be undone.
            self._done.append(step)
            await step.start()
            self._log.info("started", step=step.name, seconds=round(time.monotonic() - began, 3))
        # What lives now lives as long as the process: the collector need not look at it again.
        gc.collect()
        gc.freeze()
        self.state, self.step = "ready", ""
        seconds = time.monotonic() - self._began
        self.metrics.gauges["start_seconds"] = lambda: seconds
        self._log.info("ready", seconds=round(seconds, 3), pid=os.getpid(), **self.when_ready())

    async def stop(self) -> bool:
        """Undo what was started, in reverse order; False when that was cut short."""
        if self.state != "failed":
            self.state = "stopping"
        self._cut.clear()
        limit = asyncio.create_task(asyncio.sleep(self._stop_seconds))
        cut = asyncio.create_task(self._cut.wait())
        orderly = True
        for step in reversed(self._done):
            if step.stop is None:
                continue
            self.step = step.name
            began = time.monotonic()
            # Once cut short, the rest gets a moment each: to drop connections and to tell the database.
            work = asyncio.create_task(self._guarded(step))
            waits = {work} if not orderly else {work, limit, cut}
            await asyncio.wait(waits, timeout=None if orderly else 7.0, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                if orderly:
                    self._log.warning(
                        "stop_cut_short", step=step.name, reason="signal" if cut.done() else "stop_seconds"
                    )
                orderly = False
                self.abort()
                work.cancel()
                await asyncio.wait({work}, timeout=7.0)
            self._log.info("stopped_step", step=step.name, seconds=round(time.monotonic() - began, 3))
        limit.cancel()
        cut.cancel()
        self.state = "stopped"
        return orderly

    async def _guarded(self, step: Step) -> None:
        assert step.stop is not None
        try:
            await step.stop()
        except Exception as error:  # noqa: BLE001 - the steps after it must be undone too
            self._log.error("stop_failed", step=step.name, **logs.fault(error))

    def _on_signal(self, number: signal.Signals) -> None:
        self._log.info("signal", signal=signal.Signals(number).name)
        if self._stop.is_set():
            self._cut.set()
        self._stop.set()

    def request_stop(self) -> None:
        """Stop in order, as a signal does."""
        self._stop.set()

    def on_fatal(self, error: BaseException) -> None:
        """Stop at once: nothing more is answered."""
        if self.fatal is None:
            self.fatal = error
            self.state = "failed"
            self.abort()
            self._stop.set()

    def _report(self, error: BaseException) -> Exit:
        code = exit_code_of(error)
        self.state = "failed"
        self._log.error("failed", step=self.step, exit_code=int(code), **logs.fault(error))
        return code

    # --- steps that every process has -----------------------------------------------------------------

    async def start_http(self) -> None:
        """Open the port of health and metrics, which answers from now on to the very end."""
        self._http = HttpServer(
            {
                "/health/live": lambda: (HTTPStatus.OK, "application/json", b'{"live":true}\n'),
                "/health/ready": self._ready,
                "/metrics": lambda: (
                    HTTPStatus.OK,
                    "text/plain; version=0.0.4; charset=utf-8",
                    self.metrics.exposition(),
                ),
            }
        )
        self.metrics.gauges["ready"] = lambda: float(self.ready)
        try:
            self.http_port = await self._http.start(*self._http_at)
        except OSError as error:
            raise InUseError(f"http_port: {self._http_at[1]} cannot be opened: {error.strerror}") from None

    async def stop_http(self) -> None:
        """Close it."""
        await self._http.stop()

    async def start_lock(self) -> None:
        """Make the directory, and keep other processes out of it."""
        directory = self._directory
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = os.open(directory / "tongbao.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InUseError(f"data_dir: {directory} is used by another process of tongbao") from None
        os.ftruncate(self._lock, 0)
        os.write(self._lock, f"{os.getpid()}\n".encode())
        self._ports_file().unlink(missing_ok=True)

    async def stop_lock(self) -> None:
        """Let others in."""
        if self._lock >= 0:
            self._ports_file().unlink(missing_ok=True)
            os.close(self._lock)

    def _ports_file(self) -> Path:
        return self._directory / "server.json"

    def write_ports(self, host: str, port: int) -> None:
        """Tell local commands where this process listens."""
        path = self._ports_file()
        temporary = path.with_suffix(".writing")
        where = {"pid": os.getpid(), "host": host, "port": port, "http_port": self.http_port}
        temporary.write_text(json.dumps(where) + "\n", "utf-8")
        temporary.replace(path)

    def _ready(self) -> tuple[HTTPStatus, str, bytes]:
        ready = self.ready
        body: dict[str, object] = {"ready": ready, "state": self.state}
        if self.step:
            body["step"] = self.step
        body |= self.health()
        status = HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE
        return status, "application/json", json.dumps(body).encode() + b"\n"


def run(make: Callable[[], Process], log_format: str, log_level: str) -> int:
    """Run a process until it stops; return its exit code (see `Exit`). `make` is called within the event loop."""

    async def main() -> Exit:
        process = make()

        def trimmed(count: int) -> None:
            process.metrics.log_lines_trimmed += count

        logs.configure(log_format, log_level, trimmed)
        return await process.run()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return int(runner.run(main()))
