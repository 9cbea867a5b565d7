"""The ordered start and the ordered stop: two lists that mirror each other.

    start   http > channels > lock > postgres > journal > recovery > takeover > scopes > snapshots > batcher >
            listen > ready
    stop    not ready > listen (accept no more) > batcher (finish what was accepted, reply) > snapshots (a last one) >
            journal > postgres > lock > http

Each step is named in the log with the time it took. The TCP port opens when everything before it is done, so whoever
gets an answer to `ping` can write. SIGTERM or SIGINT stop in order; a second one, or the time limit, cuts the stop
short: connections are dropped, the database is still closed. Nothing acknowledged is lost either way.
"""

import asyncio
import fcntl
import gc
import json
import os
import secrets
import signal
import ssl
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from enum import IntEnum
from http import HTTPStatus
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import numpy as np
import uvloop

from engine import SCOPE_RANGE, Batch, Engine, log_record, order_requests
from engine._core.order_records import MASS_CANCEL_COMMAND
from engine.errors import CapacityError, EngineError, InvariantError
from engine.order_results import SESSION_ANY
from engine.requests import append_scope
from server import checks, logs
from server.acceptor import Acceptor, tls_context
from server.batcher import Batcher, Boundary
from server.channels import Channels, ChannelsError
from server.feed import Feed
from server.http import HttpServer
from server.journal import (
    Fenced,
    Journal,
    JournalError,
    LogDamaged,
    LogLost,
    PostgresUnavailable,
    PrivatePostgres,
    UnsafeDatabase,
)
from server.metrics import Metrics
from server.profiles import terms_today
from server.recovery import ReplayError, catch_up, recover
from server.settings import Settings, SettingsError
from server.snapshots import Snapshots, Snapshotter
from server.wire import Profiles

LOOK_SECONDS = 0.05
"""How often expiries, deadlines and a slow database are looked at."""
DISK_SECONDS = 1.0
PROTOCOL = "protocol 1"

logs.OURS += [JournalError, EngineError, ReplayError, SettingsError, ChannelsError]


class Exit(IntEnum):
    """Exit codes of `tongbao serve`, documented in docs/OPERATIONS.md."""

    STOPPED = 0
    """Stopped in order."""
    FAULT = 1
    """A fault of ours; the log line names it."""
    SETTINGS = 2
    """A setting, the channels file or a certificate is wrong."""
    IN_USE = 3
    """Another server uses data_dir, or a port is taken."""
    DATABASE = 4
    """PostgreSQL cannot be started or reached, or its settings could lose commits."""
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


def exit_code_of(error: BaseException) -> Exit:
    """Return the exit code that tells an error."""
    for kinds, code in (
        ((SettingsError, ChannelsError), Exit.SETTINGS),
        ((InUseError,), Exit.IN_USE),
        ((PostgresUnavailable, UnsafeDatabase), Exit.DATABASE),
        ((LogDamaged, ReplayError), Exit.LOG_DAMAGED),
        ((Fenced,), Exit.FENCED),
        ((LogLost,), Exit.LOG_LOST),
        ((InvariantError,), Exit.INVARIANT),
        ((CapacityError,), Exit.CAPACITY),
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


class Server:
    """One server process. `run` starts it, waits, stops it and returns the exit code."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.state = "starting"
        """starting, ready, stopping, stopped or failed."""
        self.step = ""
        self.port = 0
        self.http_port = 0
        self._began = time.monotonic()
        self._log = logs.get()
        self._stop = asyncio.Event()
        self._cut = asyncio.Event()
        self.fatal: BaseException | None = None
        self._progress = (0, 0)
        self._done: list[Step] = []
        self._lock = -1
        self._releasing: asyncio.Task[None] | None = None
        self._disk_looked = 0.0
        self._snapshot_behind = 0
        """Serial of the batch that asked for a snapshot; 0 = none did."""
        self._looker: asyncio.TimerHandle | None = None
        self.postgres: PrivatePostgres | None = None
        self._steps = [
            Step("http", self._start_http, self._stop_http),
            Step("channels", self._start_channels, None),
            Step("lock", self._start_lock, self._stop_lock),
            Step("postgres", self._start_postgres, self._stop_postgres),
            Step("journal", self._start_journal, self._stop_journal),
            Step("recovery", self._start_recovery, None),
            Step("risk", self._start_risk, None),
            Step("takeover", self._start_takeover, None),
            Step("scopes", self._start_scopes, None),
            Step("snapshots", self._start_snapshots, self._stop_snapshots),
            Step("batcher", self._start_batcher, self._stop_batcher),
            Step("listen", self._start_listen, self._stop_listen),
        ]

    # --- the whole -------------------------------------------------------------------------------

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
        for step in self._steps:
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
        self._write_ports()
        seconds = time.monotonic() - self._began
        self.metrics.gauges["start_seconds"] = lambda: seconds
        self._log.info(
            "ready",
            seconds=round(seconds, 3),
            host=self.settings.host,
            port=self.port,
            http_port=self.http_port,
            seq=self.batcher.seq,
            epoch=self.journal.epoch,
            pid=os.getpid(),
            accounts=self.engine.accounts,
            transfers=self.engine.transfers,
        )

    async def stop(self) -> bool:
        """Undo what was started, in reverse order; False when that was cut short."""
        if self.state != "failed":
            self.state = "stopping"
        self._cut.clear()
        limit = asyncio.create_task(asyncio.sleep(self.settings.stop_seconds))
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
                self._abort()
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

    def _on_fatal(self, error: BaseException) -> None:
        """Stop at once: nothing more is answered."""
        if self.fatal is None:
            self.fatal = error
            self.state = "failed"
            self._abort()
            self._stop.set()

    def _abort(self) -> None:
        if hasattr(self, "batcher"):
            self.batcher.stop()
        if hasattr(self, "acceptor"):
            self.acceptor.abort()

    def _report(self, error: BaseException) -> Exit:
        code = exit_code_of(error)
        self.state = "failed"
        self._log.error("failed", step=self.step, exit_code=int(code), **logs.fault(error))
        return code

    # --- the steps -------------------------------------------------------------------------------

    async def _start_http(self) -> None:
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
            self.http_port = await self._http.start(self.settings.http_host, self.settings.http_port)
        except OSError as error:
            raise InUseError(f"http_port: {self.settings.http_port} cannot be opened: {error.strerror}") from None

    async def _stop_http(self) -> None:
        await self._http.stop()

    async def _start_channels(self) -> None:
        """Read everything that may be wrong in files before anything is touched."""
        settings = self.settings
        if settings.channels is not None:
            self._channels = Channels.from_file(settings.channels, os.environ)
        else:
            self._channels = Channels({})
        self._profiles = Profiles(terms_today())
        self._profiles_hour = datetime.now(UTC).hour
        self._tls = None
        if settings.tls_cert is not None and settings.tls_key is not None:
            try:
                self._tls = tls_context(settings.tls_cert, settings.tls_key)
            except (OSError, ssl.SSLError) as error:
                raise SettingsError(f"tls_cert: {type(error).__name__} while loading tls_cert and tls_key") from None

    async def _start_lock(self) -> None:
        directory = self.settings.data_dir
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = os.open(directory / "tongbao.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InUseError(f"data_dir: {directory} is used by another server") from None
        os.ftruncate(self._lock, 0)
        os.write(self._lock, f"{os.getpid()}\n".encode())
        self._ports_file().unlink(missing_ok=True)

    async def _stop_lock(self) -> None:
        if self._lock >= 0:
            self._ports_file().unlink(missing_ok=True)
            os.close(self._lock)

    def _ports_file(self) -> Path:
        return self.settings.data_dir / "server.json"

    def _write_ports(self) -> None:
        """Tell local commands where this server listens."""
        path = self._ports_file()
        temporary = path.with_suffix(".writing")
        where = {"pid": os.getpid(), "host": self.settings.host, "port": self.port, "http_port": self.http_port}
        temporary.write_text(json.dumps(where) + "\n", "utf-8")
        temporary.replace(path)

    async def _start_postgres(self) -> None:
        if self.settings.database_url:
            self._dsn = self.settings.database_url
            return
        self.postgres = PrivatePostgres(
            self.settings.data_dir,
            wal_size=self.settings.postgres_wal_bytes,
            free_floor=self.settings.disk_free_bytes_min,
            progress=lambda what: self._log.info("postgres", state=what),
        )
        self._dsn = await self.postgres.start()
        postgres = self.postgres
        self.metrics.gauges["disk_free_bytes"] = lambda: postgres.free
        self.metrics.gauges["postgres_restarts"] = lambda: postgres.restarts

    async def _stop_postgres(self) -> None:
        if self.postgres is not None:
            await self.postgres.stop()

    async def _start_journal(self) -> None:
        self.journal = await Journal.open(self._dsn, format=log_record.FORMAT)

    async def _stop_journal(self) -> None:
        if self._releasing is not None:
            self._releasing.cancel()
            await asyncio.gather(self._releasing, return_exceptions=True)
        if hasattr(self, "journal"):
            await self.journal.close()

    async def _start_recovery(self) -> None:
        settings = self.settings
        self.snapshots = Snapshots(settings.data_dir / "snapshots", settings.snapshots_kept)
        await asyncio.to_thread(self.snapshots.prepare)
        self._recovered = await recover(
            self.journal,
            self.snapshots,
            settings.limits(),
            hash_key=secrets.token_bytes(32),
            progress=self._on_progress,
        )
        self.engine: Engine = self._recovered.engine

    def _on_progress(self, seq: int, last: int) -> None:
        self._progress = (seq, last)
        self._log.info("recovering", seq=seq, seq_last=last)

    async def _start_risk(self) -> None:
        """Compile the checks of limits, before anything is changed: a check that is no good ends the start."""
        await asyncio.to_thread(checks.attach, self.engine, self.settings)

    async def _start_takeover(self) -> None:
        await self.journal.take_over()
        # What an older leader still wrote between our reading and its end is part of the log.
        await catch_up(self.journal, self._recovered, self._on_progress)

    async def _start_scopes(self) -> None:
        settings = self.settings
        for number, ranges in sorted(self._channels.scopes().items()):
            if number > settings.scopes_max:
                raise SettingsError(f"scopes_max: a channel has scope {number}")
            wanted = np.array(list(ranges), dtype=SCOPE_RANGE)
            known = self.engine.scope(number)
            if known is not None and np.array_equal(known, wanted):
                continue
            batch = Batch()
            append_scope(batch, number, wanted)
            await self._log_and_apply(batch)
            self._log.info("scope_defined", scope=number, ranges=len(ranges), seq=self._recovered.seq)
        if self.engine.open_orders:
            # Sessions of before are over, also those that had no time to say so.
            batch = Batch()
            everybody = np.zeros(1, MASS_CANCEL_COMMAND)
            everybody["session"] = SESSION_ANY
            order_requests.append(batch, "mass_cancel", everybody)
            open_before = self.engine.open_orders
            await self._log_and_apply(batch)
            self._log.info("sessions_ended", count=open_before - self.engine.open_orders, seq=self._recovered.seq)

    async def _log_and_apply(self, batch: Batch) -> None:
        """Execute a request of the server's own, before anybody is connected."""
        at = max(time.time_ns(), self.engine.last_timestamp + 1)
        self._recovered.seq = await self.journal.append(at, log_record.encode(batch, at), None)
        self.engine.batches = self._recovered.seq - 1
        self.engine.apply(batch, at)

    async def _start_snapshots(self) -> None:
        settings, engine = self.settings, self.engine
        self.snapshotter = Snapshotter(
            self.snapshots,
            engine,
            self.metrics,
            every_items=settings.snapshot_every_items,
            items=self._recovered.items,
            newest=self._recovered.snapshot,
            on_published=self._on_snapshot,
        )

    async def _stop_snapshots(self) -> None:
        """Take a last snapshot if the next start would have much to replay."""
        snapshotter = getattr(self, "snapshotter", None)
        if snapshotter is None or self.fatal is not None:
            return
        await snapshotter.wait()
        if snapshotter.items >= self.settings.snapshot_stop_items:
            snapshotter.begin(self.journal.head.seq, self.journal.head.hash)
            await snapshotter.wait()

    async def _start_batcher(self) -> None:
        settings, engine = self.settings, self.engine
        self.feed = Feed(engine, self.metrics)
        self.batcher = Batcher(
            engine,
            self.journal,
            self.metrics,
            seq=self.journal.head.seq,
            items_batch_max=settings.items_batch_max,
            queue_delay_seconds=settings.queue_delay_ms_max / 1e3,
            digest_every=settings.digest_every,
            # On a single CPU it would keep from working whom it waits for.
            spin_seconds=settings.spin_microseconds / 1e6 if len(os.sched_getaffinity(0)) > 1 else 0.0,
            on_fatal=self._on_fatal,
            on_boundary=self._on_boundary,
            feed=self.feed,
        )
        self.acceptor = Acceptor(
            settings,
            self.batcher,
            self._channels,
            self.metrics,
            {"server_status": self.status, "take_snapshot": self.take_snapshot},
            feed=self.feed,
            profiles=self._profiles,
            epoch=self.journal.epoch,
        )
        self._set_gauges()
        self._look()

    async def _stop_batcher(self) -> None:
        """Finish what was accepted, hand out the replies, close the connections."""
        if not hasattr(self, "acceptor"):
            return
        if self.fatal is not None:
            self._abort()
        else:
            self.acceptor.end_input()
            await self.batcher.settle()
            await self.acceptor.empty()
            await self.batcher.settle()  # of sessions that ended now
        self.batcher.stop()
        if self._looker is not None:
            self._looker.cancel()

    async def _start_listen(self) -> None:
        try:
            self.port = await self.acceptor.listen(self._tls)
        except OSError as error:
            raise InUseError(f"port: {self.settings.port} cannot be opened: {error.strerror}") from None

    async def _stop_listen(self) -> None:
        """Accept no more connections; those that are there go on until the next step."""
        self.acceptor.stop_listening()

    # --- while it runs ---------------------------------------------------------------------------

    def _look(self) -> None:
        """Do what is due by time, twenty times a second."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        self._looker = loop.call_later(LOOK_SECONDS, self._look)
        self.batcher.look()
        self.acceptor.wheel.turn(now)
        if not self.batcher.in_flight_since:
            self._snapshot_if_due()
        self._refresh_profiles()
        if self.postgres is not None and now - self._disk_looked >= DISK_SECONDS:
            self._disk_looked = now
            low = self.postgres.below_floor
            if low != self.batcher.disk_low:
                self.batcher.disk_low = low
                self._log.warning("disk_low" if low else "disk_ok", free_bytes=self.postgres.free)

    def _refresh_profiles(self) -> None:
        """Figures of profiles have dates from which they are valid."""
        hour = datetime.now(UTC).hour
        if hour != self._profiles_hour:
            self._profiles_hour = hour
            self._profiles.replace(terms_today())

    def _on_boundary(self, boundary: Boundary) -> None:
        self.snapshotter.items += boundary.items
        self._snapshot_if_due()

    def _snapshot_if_due(self) -> None:
        """Begin a snapshot if it is time; everything applied is durable now."""
        if self._snapshot_behind and self.batcher.finished >= self._snapshot_behind:
            self._snapshot_behind = 0
            self.snapshotter.wanted = True
        if self.snapshotter.due:
            self.snapshotter.begin(self.journal.head.seq, self.journal.head.hash)

    def _on_snapshot(self, oldest: int) -> None:
        """Let go of log rows that no kept snapshot needs, if that is configured."""
        if self.settings.log_retention == "keep" or oldest < 2 or (self._releasing and not self._releasing.done()):
            return
        self._releasing = asyncio.create_task(self._release(oldest))

    async def _release(self, oldest: int) -> None:
        # The row of the oldest snapshot stays, and the one before it: a start proves that the snapshot is of this log.
        try:
            if self.settings.log_retention == "archive":
                partitions = await self.journal.archive_before(oldest - 1, self.settings.data_dir / "archive")
            else:
                partitions = await self.journal.drop_before(oldest - 1)
        except Exception as error:  # noqa: BLE001 - the rows stay where they are, and the next snapshot tries again
            self._log.error("log_release_failed", **logs.fault(error))
        else:
            self._log.info("log_released", count=partitions, seq=oldest - 1, kind=self.settings.log_retention)

    @property
    def ready(self) -> bool:
        """Whether requests are answered just now."""
        return self.state == "ready" and not self.batcher.stalled

    def _ready(self) -> tuple[HTTPStatus, str, bytes]:
        ready = self.ready
        body: dict[str, object] = {"ready": ready, "state": self.state}
        if self.step:
            body["step"] = self.step
        if self.step in {"recovery", "takeover"}:
            body["row"], body["rows"] = self._progress
        if self.state == "ready" and not ready:
            body["reason"] = "the database does not answer"
        status = HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE
        return status, "application/json", json.dumps(body).encode() + b"\n"

    def _set_gauges(self) -> None:
        batcher, engine, snapshotter = self.batcher, self.engine, self.snapshotter
        self.metrics.channel_requests = self.acceptor.channel_numbers
        self.metrics.gauges |= {
            "connections": lambda: len(batcher.connections),
            "connections_paused": self.acceptor.paused_count,
            "log_seq": lambda: batcher.seq,
            "log_epoch": lambda: self.journal.epoch,
            "last_timestamp": lambda: engine.last_timestamp,
            "accounts": lambda: engine.accounts,
            "transfers": lambda: engine.transfers,
            "transfers_pending": lambda: engine.pending,
            "accounts_free": lambda: engine.headroom().accounts,
            "transfers_free": lambda: engine.headroom().transfers,
            "in_flight_seconds": lambda: time.monotonic() - batcher.in_flight_since if batcher.in_flight_since else 0.0,
            "snapshot_seq": lambda: snapshotter.newest.seq if snapshotter.newest else 0,
            "snapshot_items_since": lambda: snapshotter.items,
            "snapshot_running": lambda: float(snapshotter.running),
            "orders": lambda: engine.orders,
            "orders_open": lambda: engine.open_orders,
            "trades": lambda: engine.trades,
            "subscriptions": lambda: self.feed.subscriptions,
        }

    def status(self) -> dict[str, object]:
        """Answer `server_status`."""
        newest = self.snapshotter.newest
        headroom = self.engine.headroom()
        return {
            "state": self.state,
            "version": version("tongbao"),
            "pid": os.getpid(),
            "uptime_seconds": round(time.monotonic() - self._began, 3),
            "port": self.port,
            "http_port": self.http_port,
            "connections": len(self.batcher.connections),
            "log": {
                "seq": self.batcher.seq,
                "epoch": self.journal.epoch,
                "database": "private" if self.postgres is not None else "given",
                "trouble": self.journal.trouble is not None,
            },
            "ledger": {
                "timestamp": self.engine.last_timestamp,
                "accounts": self.engine.accounts,
                "transfers": self.engine.transfers,
                "pending": self.engine.pending,
                "digest": self.engine.digest().hex(),
            },
            "headroom": headroom._asdict(),
            "snapshot": {
                "seq": newest.seq if newest else 0,
                "created": newest.created if newest else None,
                "state_hash": newest.state_hash if newest else None,
                "running": self.snapshotter.running,
                "items_since": self.snapshotter.items,
            },
        }

    def take_snapshot(self) -> dict[str, object]:
        """Answer `take_snapshot`: one is begun behind this batch; `server_status` tells when it is there."""
        # Answers are made while their batch is applied, so it is the one before the open one.
        self._snapshot_behind = self.batcher.serial - 1
        newest = self.snapshotter.newest
        return {"wanted": True, "log_seq": self.batcher.seq, "snapshot_seq": newest.seq if newest else 0}


def run(settings: Settings) -> int:
    """Run a server in this process until it stops; return the exit code (see `Exit`)."""

    async def main() -> Exit:
        server = Server(settings)

        def trimmed(count: int) -> None:
            server.metrics.log_lines_trimmed += count

        logs.configure(settings.log_format, settings.log_level, trimmed)
        return await server.run()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return int(runner.run(main()))
