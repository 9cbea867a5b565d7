"""The ordered start and the ordered stop: two lists that mirror each other.

    start   http > channels > lock > postgres > journal > recovery > risk > snapshots > standby (until it is its turn) >
            takeover > scopes > lease > batcher > listen > ready
    stop    not ready > listen (accept no more) > batcher (finish what was accepted, reply) > lease (a standby may take
            over) > standby > snapshots (a last one) > journal > postgres > lock > http

The steps' way is `server.process`'s. The TCP port opens when everything before it is done, so whoever gets an answer to
`ping` can write. When a stop is cut short, connections are dropped, and the database is still closed. Nothing
acknowledged is lost either way.
"""

import asyncio
import os
import secrets
import time
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import numpy as np

from engine import SCOPE_RANGE, Batch, Engine, log_record, order_requests
from engine._core.order_records import MASS_CANCEL_COMMAND
from engine.order_results import SESSION_ANY
from engine.requests import append_scope
from server import checks, logs, process
from server.acceptor import Acceptor, tls_of
from server.batcher import Batcher, Boundary
from server.channels import Channels
from server.feed import Feed
from server.follower.follower import Follower
from server.follower.reads import Reads
from server.journal import Journal, PrivatePostgres
from server.leadership import Leadership, Watch, Who
from server.mark import Marker
from server.process import Exit, InUseError, Process, Step, exit_code_of
from server.profiles import terms_today
from server.recovery import catch_up, prove, recover
from server.settings import Settings, SettingsError
from server.snapshots import Snapshots, Snapshotter
from server.wire import Profiles

__all__ = ["Exit", "Server", "exit_code_of", "run"]

LOOK_SECONDS = 0.05
"""How often expiries, deadlines and a slow database are looked at."""
DISK_SECONDS = 1.0
STANDBY_POLL_SECONDS = 0.02
PROTOCOL = "protocol 1"


class Server(Process):
    """One server process. `run` starts it, waits, stops it and returns the exit code."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings.data_dir, (settings.http_host, settings.http_port), settings.stop_seconds)
        self.settings = settings
        self.port = 0
        self._progress = (0, 0)
        self._releasing: asyncio.Task[None] | None = None
        self._disk_looked = 0.0
        self._snapshot_behind = 0
        """Serial of the batch that asked for a snapshot; 0 = none did."""
        self._looker: asyncio.TimerHandle | None = None
        self.postgres: PrivatePostgres | None = None
        self._watch: Watch | None = None
        self._follower: Follower | None = None
        self._reads: Reads | None = None
        """What answers reads while it stands by."""
        self._leadership: Leadership | None = None
        self._marker: Marker | None = None
        self.steps = [
            Step("http", self.start_http, self.stop_http),
            Step("channels", self._start_channels, None),
            Step("lock", self.start_lock, self.stop_lock),
            Step("postgres", self._start_postgres, self._stop_postgres),
            Step("journal", self._start_journal, self._stop_journal),
            Step("recovery", self._start_recovery, self._stop_recovery),
            Step("risk", self._start_risk, None),
            Step("snapshots", self._start_snapshots, self._stop_snapshots),
            Step("standby", self._start_standby, self._stop_standby),
            Step("takeover", self._start_takeover, None),
            Step("scopes", self._start_scopes, None),
            Step("lease", self._start_lease, self._stop_lease),
            Step("batcher", self._start_batcher, self._stop_batcher),
            Step("listen", self._start_listen, self._stop_listen),
        ]

    # --- what Process asks ---------------------------------------------------------------------------

    @property
    def ready(self) -> bool:
        """Whether requests are answered just now."""
        return self.state == "ready" and not self.batcher.stalled

    def health(self) -> dict[str, object]:
        """Say how far a start has come, or what is the matter."""
        if self.step in {"recovery", "takeover"}:
            return {"row": self._progress[0], "rows": self._progress[1]}
        if self._follower is not None:
            return {"seq": self._follower.seq, "lag_seconds": round(self._follower.lag_seconds, 4)}
        return {"reason": "the database does not answer"} if self.state == "ready" and not self.ready else {}

    def when_ready(self) -> dict[str, Any]:
        """Tell local commands and the log where it listens."""
        self.write_ports(self.settings.host, self.port)
        return {
            "host": self.settings.host,
            "port": self.port,
            "http_port": self.http_port,
            "seq": self.batcher.seq,
            "epoch": self.journal.epoch,
            "accounts": self.engine.accounts,
            "transfers": self.engine.transfers,
        }

    def abort(self) -> None:
        """Answer nothing more."""
        if self._reads is not None:
            self._reads.abort()
        if hasattr(self, "batcher"):
            self.batcher.stop()
        if hasattr(self, "acceptor"):
            self.acceptor.abort()

    # --- the steps -----------------------------------------------------------------------------------

    async def _start_channels(self) -> None:
        """Read everything that may be wrong in files before anything is touched."""
        settings = self.settings
        if settings.channels is not None:
            self._channels = Channels.from_file(settings.channels, os.environ)
        else:
            self._channels = Channels({})
        self._profiles = Profiles(terms_today())
        self._profiles_hour = datetime.now(UTC).hour
        self._tls = tls_of(settings)

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
        # A row carries the format of its record, which is the oldest that can hold it: followers of an older build go
        # on until there is something that they do not understand.
        self.journal = await Journal.open(self._dsn, format=log_record.FORMAT, format_of=lambda payload: payload[0])

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
        if settings.database_url:
            await prove(self.journal, settings.data_dir)
        self._recovered = await recover(
            self.journal,
            self.snapshots,
            settings.limits(),
            hash_key=secrets.token_bytes(32),
            progress=self._on_progress,
        )
        self.engine: Engine = self._recovered.engine
        if settings.database_url:
            # A private PostgreSQL is lost together with its data directory, or not at all.
            self._marker = Marker(settings.data_dir, self.journal.log_id, self._newest)

    async def _stop_recovery(self) -> None:
        if self._marker is not None:
            await self._marker.stop()

    def _newest(self) -> tuple[int, bytes]:
        """The newest row that we know to be committed."""
        return self._known if not self.journal.epoch else (self.journal.head.seq, self.journal.head.hash)

    def _on_progress(self, seq: int, last: int) -> None:
        self._progress = (seq, last)
        self._log.info("recovering", seq=seq, seq_last=last)

    async def _start_risk(self) -> None:
        """Compile the checks of limits, before anything is changed: a check that is no good ends the start."""
        await asyncio.to_thread(checks.attach, self.engine, self.settings)

    async def _start_standby(self) -> None:
        """Follow the log until the lease is free and nobody else has taken it."""
        if not self.settings.standby:
            return
        self.state = "standby"
        if self.settings.standby_reads:
            self._reads = Reads(self, self.settings, self._recovered, self.snapshotter, self._channels)
        while True:
            follower = self._follower = Follower(
                self.journal,
                self._recovered,
                self.metrics,
                [self._reads.sink] if self._reads is not None else [],
                poll_max=STANDBY_POLL_SECONDS,
                on_turn=self._on_follow_turn,
            )
            self._watch = Watch(self.journal, self._who(), follower)
            self._items = self._recovered.items
            if self._reads is not None:
                self._reads.follower = follower
                if not self._reads.port:
                    await self._reads.listen(self._tls)
            port = self._reads.port if self._reads is not None else 0
            self._log.info("standing_by", seq=follower.seq, epoch=self._recovered.epoch, port=port)
            epoch = await self._watch.turn()
            if await self.journal.take_over(after=epoch, known=self._known):
                break
            self._log.info("takeover_lost", seq=follower.seq, epoch=epoch)
            await self._watch.close(leave=False)
        # Who reads here connects again, to a leader; nobody waits for slow ones.
        self._stop_reads()
        await self._watch.close(leave=True)
        self._watch = self._follower = None
        self.state = "starting"

    def _stop_reads(self) -> None:
        if self._reads is not None:
            self._reads.abort()
            self._reads = None

    async def _stop_standby(self) -> None:
        self._stop_reads()
        if self._watch is not None:
            await self._watch.close(leave=True)

    @property
    def _known(self) -> tuple[int, bytes]:
        """The newest row that our state holds."""
        return self._recovered.seq, self._recovered.log_hash

    def _on_follow_turn(self) -> None:
        """A standby keeps snapshots, too: it may be restarted after weeks."""
        if self._reads is not None:
            self._reads.batcher.turn()
        self.snapshotter.items += self._recovered.items - self._items
        self._items = self._recovered.items
        if self.snapshotter.due:
            self.snapshotter.begin(self._recovered.seq, self._recovered.log_hash)

    def _who(self) -> Who:
        settings = self.settings
        address = f"{settings.host}:{self.port or settings.port}"
        return Who(settings.name or address, address, settings.lease_ms)

    async def _start_lease(self) -> None:
        """Say that we lead, and go on saying so."""
        self._leadership = Leadership(
            self.journal, self._who(), on_replaced=self.on_fatal, on_hand_over=self._on_hand_over
        )
        await self._leadership.start()

    async def _stop_lease(self) -> None:
        if self._leadership is not None:
            await self._leadership.stop(released=self.fatal is None)

    def _on_hand_over(self, successor: str) -> None:
        """Stop in order: the lease is released as soon as everything is answered, and the successor takes over."""
        self._log.info("handing_over", count=len(self.batcher.connections) if hasattr(self, "batcher") else 0)
        del successor
        self.request_stop()

    async def _start_takeover(self) -> None:
        if not self.journal.epoch:
            await self.journal.take_over(known=self._known)
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
        """Take a last snapshot if the next start would have much to replay, and memory is what the log says."""
        snapshotter = getattr(self, "snapshotter", None)
        if snapshotter is None or self.fatal is not None:
            return
        await snapshotter.wait()
        if snapshotter.items < self.settings.snapshot_stop_items:
            return
        if self._follower is not None:
            boundary = self._known
        elif hasattr(self, "batcher") and not self.batcher.ahead:
            boundary = self.journal.head.seq, self.journal.head.hash
        else:
            # A stop that was cut short leaves a batch of unknown outcome in memory, and one in the middle of a takeover
            # rows that have not been applied: the log has what is true.
            return
        snapshotter.begin(*boundary)
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
            batch_seconds=settings.batch_ms_max / 1e3,
            digest_every=settings.digest_every,
            row_format=settings.row_format,
            # On a single CPU it would keep from working whom it waits for.
            spin_seconds=settings.spin_microseconds / 1e6 if len(os.sched_getaffinity(0)) > 1 else 0.0,
            on_fatal=self.on_fatal,
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
            self.abort()
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
        if self._leadership is not None:
            self._leadership.address = self._who().address  # the port may have been any free one

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
        if not self.journal.epoch or self.settings.log_retention == "keep" or oldest < 2:
            return
        if self._releasing and not self._releasing.done():
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
            "uptime_seconds": self.uptime_seconds,
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
    return process.run(lambda: Server(settings), settings.log_format, settings.log_level)
