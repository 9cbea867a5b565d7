"""The port of a replica: what answers reads beside a follower, in `tongbao follow` and in a server that stands by."""

import asyncio
import os
import ssl
from importlib.metadata import version
from typing import TYPE_CHECKING

from server.acceptor import Acceptor
from server.channels import Channels
from server.feed import Feed
from server.follower.replica import Replica, ReplicaBatcher
from server.process import InUseError, Process
from server.settings import Settings

LOOK_SECONDS = 0.05
"""How often deadlines of connections are looked at."""

if TYPE_CHECKING:
    from server.follower.follower import Follower
    from server.recovery import Recovered
    from server.snapshots import Snapshotter


class Reads:
    """A batcher of reads and its connections. `sink` belongs into the follower whose engine is read."""

    def __init__(
        self,
        process: Process,
        settings: Settings,
        recovered: "Recovered",
        snapshotter: "Snapshotter",
        channels: Channels,
    ) -> None:
        """`recovered`: what the follower applies to."""
        self.port = 0
        self.follower: Follower | None = None
        """Whose `lag_seconds` the status tells; set when there is one."""
        self._process = process
        self._settings = settings
        self._recovered = recovered
        self._snapshotter = snapshotter
        feed = Feed(recovered.engine, process.metrics)
        self.batcher = ReplicaBatcher(
            recovered.engine,
            process.metrics,
            seq=recovered.seq,
            items_batch_max=settings.items_batch_max,
            wait_seconds=settings.wait_ms_max / 1e3,
            on_fatal=process.on_fatal,
            feed=feed,
        )
        self.sink = Replica(self.batcher)
        self._looker: asyncio.TimerHandle | None = None
        self._acceptor = Acceptor(
            settings,
            self.batcher,
            channels,
            process.metrics,
            {"server_status": self.status, "take_snapshot": self.take_snapshot},
            feed=feed,
        )

    async def listen(self, tls: ssl.SSLContext | None) -> None:
        """Open the port."""
        self._look()
        try:
            self.port = await self._acceptor.listen(tls)
        except OSError as error:
            raise InUseError(f"port: {self._settings.port} cannot be opened: {error.strerror}") from None

    def _look(self) -> None:
        """End the connections whose time is over."""
        loop = asyncio.get_running_loop()
        self._looker = loop.call_later(LOOK_SECONDS, self._look)
        self._acceptor.wheel.turn(loop.time())

    def stop_listening(self) -> None:
        """Take no more connections."""
        self._acceptor.stop_listening()

    async def finish(self) -> None:
        """Answer what was accepted, and close."""
        self._acceptor.end_input()
        await self.batcher.settle()
        await self._acceptor.empty()
        self._end()

    def abort(self) -> None:
        """Answer nothing more."""
        self._end()
        self._acceptor.abort()

    def _end(self) -> None:
        if self._looker is not None:
            self._looker.cancel()
        self.batcher.stop()

    # --- what the administrator asks -----------------------------------------------------------------

    def take_snapshot(self) -> dict[str, object]:
        """Answer `take_snapshot`: one of this process's own is begun; `server_status` tells when it is there."""
        self._snapshotter.wanted = True
        asyncio.get_running_loop().call_soon(self.snapshot_if_due)
        newest = self._snapshotter.newest
        return {"wanted": True, "log_seq": self._recovered.seq, "snapshot_seq": newest.seq if newest else 0}

    def snapshot_if_due(self) -> None:
        """Begin a snapshot if it is time."""
        if self._snapshotter.due:
            self._snapshotter.begin(self._recovered.seq, self._recovered.log_hash)

    def status(self) -> dict[str, object]:
        """Answer `server_status`."""
        process, follower, newest = self._process, self.follower, self._snapshotter.newest
        assert follower is not None
        engine = follower.engine
        return {
            "state": process.state,
            "role": "standby" if self._settings.standby else "follower",
            "version": version("tongbao"),
            "pid": os.getpid(),
            "uptime_seconds": process.uptime_seconds,
            "port": self.port,
            "http_port": process.http_port,
            "connections": len(self.batcher.connections),
            "log": {
                "seq": follower.seq,
                "epoch": self._recovered.epoch,
                "lag_seconds": round(follower.lag_seconds, 4),
                "trouble": follower.tail.trouble is not None,
            },
            "ledger": {
                "timestamp": engine.last_timestamp,
                "accounts": engine.accounts,
                "transfers": engine.transfers,
                "pending": engine.pending,
                "digest": engine.digest().hex(),
            },
            "headroom": engine.headroom()._asdict(),
            "snapshot": {
                "seq": newest.seq if newest else 0,
                "created": newest.created if newest else None,
                "state_hash": newest.state_hash if newest else None,
                "running": self._snapshotter.running,
                "items_since": self._snapshotter.items,
            },
        }
