"""`tongbao follow`: the ordered start and stop of a process that follows the log.

    start   http > channels > lock > journal > events > recovery > replica > projection > follow > listen > ready
    stop    not ready > listen > follow > replica (answer what was accepted) > snapshots (a last one) > journal > lock >
            http

It is ready when it has applied every row that was there when it began to follow, and the log answers.
"""

import asyncio
import os
import secrets
from typing import Any

from engine import log_record
from server import process
from server.acceptor import tls_of
from server.channels import Channels
from server.events.backlog import UpTo
from server.events.sink import Events
from server.events.targets import publishers_of
from server.follower.follower import Follower, Sink
from server.follower.local import dsn_of, seed_snapshot
from server.follower.reads import Reads
from server.follower.settings import FollowSettings
from server.journal import Head, Journal
from server.mark import Marker
from server.process import InUseError, Process, Step
from server.projection.sink import Projection
from server.recovery import catch_up, prove, restore
from server.snapshots import Snapshots, Snapshotter

__all__ = ["FollowProcess", "InUseError", "run"]

SILENT_SECONDS = 5.0
"""A follower that has not heard of its log for so long is not ready."""
FINISH_SECONDS = 5.0
"""An orderly stop gives a projection so long to write what was applied."""


class FollowProcess(Process):
    """One follower."""

    def __init__(self, settings: FollowSettings) -> None:
        super().__init__(settings.data_dir, (settings.http_host, settings.http_port), settings.stop_seconds)
        self.settings = settings
        self.sinks: list[Sink] = []
        self.follower: Follower | None = None
        self.projection: Projection | None = None
        self.events: Events | None = None
        self._progress = (0, 0)
        self._published: list[int] = []
        self._tasks: list[asyncio.Task[None]] = []
        self.reads: Reads | None = None
        self._marker: Marker | None = None
        self.steps = [
            Step("http", self.start_http, self.stop_http),
            Step("channels", self._start_channels, None),
            Step("lock", self.start_lock, self.stop_lock),
            Step("journal", self._start_journal, self._stop_journal),
            Step("events", self._start_events, None),
            Step("recovery", self._start_recovery, self._stop_snapshots),
            Step("replica", self._start_replica, self._stop_replica),
            Step("projection", self._start_projection, None),
            Step("follow", self._start_follow, self._stop_follow),
            Step("listen", self._start_listen, self._stop_listen),
        ]

    @property
    def port(self) -> int:
        """Port on which a replica answers; 0 for any other follower."""
        return self.reads.port if self.reads is not None else 0

    # --- what Process asks ---------------------------------------------------------------------------

    @property
    def ready(self) -> bool:
        """Whether it keeps up with the log."""
        return self.state == "ready" and self.follower is not None and self.follower.silent_seconds < SILENT_SECONDS

    def health(self) -> dict[str, object]:
        """Say how far it is."""
        if self.follower is None:
            return {"row": self._progress[0], "rows": self._progress[1]} if self.step == "recovery" else {}
        said: dict[str, object] = {
            "seq": self.follower.seq,
            "row_time": self.follower.row_time,
            "lag_seconds": round(self.follower.lag_seconds, 4),
        }
        if self.follower.tail.trouble is not None:
            said["reason"] = "the database does not answer"
        if self.projection is not None:
            said["projection"] = {"seq": self.projection.mark.seq, "trouble": self.projection.trouble is not None}
        if self.events is not None:
            said["events"] = self.events.health()
        return said

    def when_ready(self) -> dict[str, Any]:
        """Tell local commands and the log where it is."""
        assert self.follower is not None
        self.write_ports(self.settings.host, self.port)
        return {
            "port": self.port,
            "http_port": self.http_port,
            "seq": self.follower.seq,
            "seconds_behind": self.follower.lag_seconds,
        }

    def abort(self) -> None:
        """Apply and answer nothing more."""
        for task in self._tasks:
            task.cancel()
        if self.reads is not None:
            self.reads.abort()

    # --- the steps -----------------------------------------------------------------------------------

    async def _start_channels(self) -> None:
        """Read everything that may be wrong in files before anything else is done."""
        settings = self.settings
        file = settings.channels
        self._channels = Channels({}) if file is None else Channels.from_file(file, os.environ)
        self._tls = tls_of(settings)

    async def _start_journal(self) -> None:
        dsn = self.settings.database_url or _dsn_of_leader(self.settings)
        self.journal = await Journal.open(dsn, format=log_record.FORMAT, read_only=True)

    async def _stop_journal(self) -> None:
        if hasattr(self, "journal"):
            await self.journal.close()

    async def _start_events(self) -> None:
        """A target that cannot be ours ends the start; one that is away is waited for later."""
        settings = self.settings
        self._snapshots = Snapshots(settings.data_dir / "snapshots", settings.snapshots_kept)
        publishers = publishers_of(settings, self.journal, self._snapshots)
        if not publishers:
            return
        self.events = Events(publishers, self.metrics)
        self._snapshots.needed = lambda: self.events.needed if self.events is not None else -1
        self._published = await self.events.positions()

    def _log_until(self, seq: int) -> UpTo | Journal:
        """The log up to where the slowest target is, if that is not behind row `seq`: there it needs its events."""
        behind = [position for position in self._published if position >= seq]
        if not behind or min(behind) >= self.journal.head.seq:
            return self.journal
        return UpTo(self.journal, min(behind))

    async def _start_recovery(self) -> None:
        settings = self.settings
        snapshots = self._snapshots
        await asyncio.to_thread(snapshots.prepare)
        if settings.leader_dir is not None:
            await asyncio.to_thread(seed_snapshot, settings.leader_dir / "snapshots", snapshots)
        if settings.database_url:
            await prove(self.journal, settings.data_dir)
        recovered = await restore(self.journal, snapshots, settings.limits(), hash_key=secrets.token_bytes(32))
        await catch_up(self._log_until(recovered.seq), recovered, self._on_progress)
        if self.events is not None:
            self.events.begin(recovered.engine, recovered.seq)
            self.sinks.append(self.events)
        self.snapshotter = Snapshotter(
            snapshots,
            recovered.engine,
            self.metrics,
            every_items=settings.snapshot_every_items,
            items=recovered.items,
            newest=recovered.snapshot,
            on_published=lambda _: None,
        )
        self._recovered = recovered
        if settings.database_url:
            self._marker = Marker(settings.data_dir, self.journal.log_id, lambda: (recovered.seq, recovered.log_hash))

    def _on_progress(self, seq: int, last: int) -> None:
        self._progress = (seq, last)
        self._log.info("recovering", seq=seq, seq_last=last)

    async def _stop_snapshots(self) -> None:
        """Take a last snapshot if the next start would have much to replay."""
        if self._marker is not None:
            await self._marker.stop()
        snapshotter = getattr(self, "snapshotter", None)
        if snapshotter is None or self.fatal is not None:
            return
        await snapshotter.wait()
        self._count_items()
        if snapshotter.items >= self.settings.snapshot_stop_items:
            snapshotter.begin(self._recovered.seq, self._recovered.log_hash)
            await snapshotter.wait()

    async def _start_replica(self) -> None:
        """Make what answers reads; nobody is let in before the follower has caught up."""
        if self.settings.replica:
            self.reads = Reads(self, self.settings, self._recovered, self.snapshotter, self._channels)
            self.sinks.append(self.reads.sink)

    async def _stop_replica(self) -> None:
        if self.reads is None:
            return
        if self.fatal is not None:
            self.reads.abort()
        else:
            await self.reads.finish()

    async def _start_projection(self) -> None:
        """Tables that cannot be ours end the start; a database that is away is waited for later, by the sink."""
        if not self.settings.projection_url:
            return
        recovered = self._recovered
        head = Head(recovered.seq, recovered.log_hash, recovered.epoch, recovered.engine.last_timestamp)
        self.projection = Projection(self.settings.projection_url, self.journal, recovered.engine, head, self.metrics)
        await self.projection.check()
        self.sinks.append(self.projection)

    async def _start_listen(self) -> None:
        if self.reads is not None:
            await self.reads.listen(self._tls)

    async def _stop_listen(self) -> None:
        if self.reads is not None:
            self.reads.stop_listening()

    async def _start_follow(self) -> None:
        self._items = self._recovered.items
        follower = self.follower = Follower(
            self.journal,
            self._recovered,
            self.metrics,
            self.sinks,
            poll_max=self.settings.poll_ms_max / 1e3,
            on_turn=self._on_turn,
        )
        if self.reads is not None:
            self.reads.follower = follower
        engine = follower.engine
        self.metrics.gauges |= {
            "follow_seq": lambda: follower.seq,
            "follow_behind_seconds": lambda: follower.lag_seconds,
            "log_seq": lambda: follower.seq,
            "log_epoch": lambda: self._recovered.epoch,
            "last_timestamp": lambda: engine.last_timestamp,
            "accounts": lambda: engine.accounts,
            "transfers": lambda: engine.transfers,
            "transfers_pending": lambda: engine.pending,
            "orders": lambda: engine.orders,
            "orders_open": lambda: engine.open_orders,
            "trades": lambda: engine.trades,
            "snapshot_seq": lambda: self.snapshotter.newest.seq if self.snapshotter.newest else 0,
            "snapshot_items_since": lambda: self.snapshotter.items,
            "snapshot_running": lambda: float(self.snapshotter.running),
        }
        # What came while it recovered; a fault in it is a fault of the start.
        newest = (await self.journal.newest()).seq
        self._begin(follower.run())
        for sink in self.sinks:
            self._begin(sink.run())
        await self._or_fault(follower.reached(newest))

    def _begin(self, work: Any) -> None:
        task = asyncio.create_task(work)
        task.add_done_callback(self._ended)
        self._tasks.append(task)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self.on_fatal(error)

    async def _or_fault(self, wait: Any) -> None:
        """Wait for something, or for a fault."""
        waiting, stopped = asyncio.create_task(wait), asyncio.create_task(self._stop.wait())
        await asyncio.wait((waiting, stopped), return_when=asyncio.FIRST_COMPLETED)
        for task in (waiting, stopped):
            task.cancel()
        if self.fatal is not None:
            raise self.fatal

    async def _stop_follow(self) -> None:
        if self.projection is not None and self.fatal is None and self._tasks:
            self._tasks[0].cancel()  # the follower's own: nothing more is applied
            await self.projection.finish(FINISH_SECONDS)
        if self.events is not None and self.fatal is None and self._tasks:
            self._tasks[0].cancel()
            await self.events.finish(FINISH_SECONDS)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self.follower is not None:
            await self.follower.close()

    # --- while it runs -------------------------------------------------------------------------------

    def _count_items(self) -> None:
        self.snapshotter.items += self._recovered.items - self._items
        self._items = self._recovered.items

    def _on_turn(self) -> None:
        self._count_items()
        self._snapshot_if_due()
        if self.reads is not None:
            self.reads.batcher.turn()

    def _snapshot_if_due(self) -> None:
        if self.snapshotter.due:
            self.snapshotter.begin(self._recovered.seq, self._recovered.log_hash)


def _dsn_of_leader(settings: FollowSettings) -> str:
    assert settings.leader_dir is not None  # the settings have been checked
    return dsn_of(settings.leader_dir)


def run(settings: FollowSettings) -> int:
    """Run a follower in this process until it stops; return the exit code (see `server.process.Exit`)."""
    return process.run(lambda: FollowProcess(settings), settings.log_format, settings.log_level)
