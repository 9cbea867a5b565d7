"""The log, read from PostgreSQL by statements of our own and replayed from zero beside the server.

The replay engine lives as long as the run and never restarts: it gets each row once, in order. If the server's state,
after however many recoveries, has the digest that the replay has at the same row, the server's state is the log's.
"""

import asyncio
import struct
import time as clock
from bisect import bisect_right
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import asyncpg

from engine import Batch, Engine, Limits, log_record
from engine.requests import clear
from tests.crash.findings import Finding, Findings

LIMITS = Limits(accounts_max=1 << 20, transfers_max=1 << 24, burnt_max=1 << 22, balances_max=1 << 24)
"""Those of the server's profile `small`."""

READ_SECONDS = 60.0

_HEADER = struct.Struct(">qqqhh")
_QUERY = (
    "SELECT seq, epoch, time, format, kind, previous_hash, hash, checksum, digest, payload "
    "FROM tongbao.log WHERE seq > $1 AND seq <= $2 ORDER BY seq"
)
_BATCH, _TAKEOVER = 1, 2


class Log:
    """What the audits know of the log."""

    def __init__(self, dsn: Callable[[], str], limits: Limits = LIMITS) -> None:
        self._dsn = dsn
        self.engine = Engine(limits, hash_key=bytes(range(32)))
        self._batch = Batch()
        self.seq = -1
        """Newest row that was replayed."""
        self.epoch = 0
        self._hash = bytes(32)
        self.on_applied: Callable[[int, int, Batch], None] = lambda *_: None
        """Called with seq, time and batch of each row that was applied."""
        self._times: list[int] = []
        self._seqs: list[int] = []
        self._lasts: list[int] = []
        """Of each row with commands: its time, its number, and the time of its last item."""

    def advance(self, findings: Findings, last: int | None = None) -> None:
        """Read and replay what is new, up to row `last` (None: all there is)."""
        deadline = clock.monotonic() + READ_SECONDS
        while True:
            try:
                rows = asyncio.run(self._read(last))
                break
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                # A killed PostgreSQL may still be on its way back.
                if clock.monotonic() > deadline:
                    findings.add(Finding.STUCK, f"the log cannot be read: {type(error).__name__}: {error}")
                    return
            clock.sleep(0.02)
        for row in rows:
            if not self.take(row, findings):
                return

    async def _read(self, last: int | None) -> list[Any]:
        connection = await asyncpg.connect(self._dsn(), timeout=10)
        try:
            rows: list[Any] = await connection.fetch(_QUERY, self.seq, 2**62 if last is None else last)
            return rows
        finally:
            await connection.close()

    def take(self, row: Any, findings: Findings) -> bool:
        """Verify and replay the next row; False when it is not what it must be."""
        seq = row["seq"]
        header = _HEADER.pack(seq, row["epoch"], row["time"], row["format"], row["kind"])
        digest = row["digest"] or b""
        if seq != self.seq + 1:
            findings.add(Finding.LOG, f"row {self.seq + 1} is missing; the next is {seq}")
        elif row["previous_hash"] != self._hash or row["checksum"] != sha256(row["payload"]).digest():
            findings.add(Finding.LOG, f"row {seq} does not continue the chain")
        elif row["hash"] != sha256(self._hash + header + row["checksum"] + digest).digest():
            findings.add(Finding.LOG, f"row {seq} is not what its hash says")
        elif row["epoch"] != self.epoch + (row["kind"] == _TAKEOVER):
            findings.add(Finding.LOG, f"row {seq} is of epoch {row['epoch']} where {self.epoch} was")
        elif row["kind"] == _BATCH and row["digest"] is not None and row["digest"] != self.engine.digest():
            findings.add(Finding.REPLAY, f"row {seq} tells another state before it than the replay from zero has")
        elif row["kind"] == _BATCH and self._times and row["time"] <= self._lasts[-1]:
            findings.add(Finding.ORDER, f"row {seq} is of time {row['time']}, not after {self._lasts[-1]} before it")
        else:
            self.seq, self.epoch, self._hash = seq, row["epoch"], row["hash"]
            if row["kind"] == _BATCH:
                clear(self._batch)
                log_record.decode(row["payload"], self._batch)
                self.engine.batches = row["seq"] - 1
                self.engine.apply(self._batch, row["time"])
                self._times.append(row["time"])
                self._seqs.append(seq)
                self._lasts.append(self.engine.last_timestamp)
                self.on_applied(seq, row["time"], self._batch)
            return True
        return False

    def row_of(self, timestamp: int) -> int | None:
        """Return the number of the row in which something happened at `timestamp`."""
        place = bisect_right(self._times, timestamp) - 1
        return self._seqs[place] if place >= 0 and timestamp <= self._lasts[place] else None

    def times_around(self, seq: int) -> tuple[int, int]:
        """Return the time before which all rows below `seq` happened, and the one before which row `seq` did too."""
        place = bisect_right(self._seqs, seq)
        after = self._times[place] if place < len(self._times) else 2**63
        begin = self._times[place - 1] if place and self._seqs[place - 1] == seq else after
        return begin, after
