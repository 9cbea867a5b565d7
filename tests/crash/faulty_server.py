"""`python -m tests.crash.faulty_server FAULT`: the server with one planted fault, set up by the environment as usual.

The faults are planted from outside, in this process only: nothing in the server knows of them. Each breaks one promise
and leaves the rest as it is, and an audit must find it (see test_planted.py).
"""

import asyncio
import ctypes
import sys
from collections.abc import Callable
from hashlib import sha256
from time import time_ns

import asyncpg

from engine import Batch, log_record
from server import recovery
from server.__main__ import main
from server.batcher import Batcher
from server.journal import Head, Journal, Kind, Row, schema
from server.journal.rows import row_hash
from server.leadership import Leadership
from server.lifecycle import Server
from tests.crash import faulty_orders


def reply_before_commit() -> None:
    """Replies leave when the batch has been applied, whatever becomes of its commit."""
    apply = Batcher._apply

    def _apply(self: Batcher) -> None:
        flight = self._flight
        apply(self)
        if flight is not None and flight is self._flight and flight.applied:
            _send_now(self, flight.replies, lambda _: True)

    Batcher._apply = _apply  # type: ignore[method-assign]


SLOW_SECONDS = 0.05


def read_uncommitted() -> None:
    """Reads are answered when they have been executed, and show what the batch in flight has changed.

    Commits are slow here, so that a batch has reads beside writes at the load of this test.
    """
    append = Journal.append

    async def _append(self: Journal, time: int, payload: bytes, digest: bytes | None = None) -> int:
        await asyncio.sleep(SLOW_SECONDS)
        return await append(self, time, payload, digest)

    Journal.append = _append  # type: ignore[method-assign]
    apply = Batcher._apply

    def _apply(self: Batcher) -> None:
        flight = self._flight
        apply(self)
        if flight is not None and flight is self._flight and flight.applied:
            # Results of writes have a status; the reads among our requests, but for lookup_transfers, have none.
            _send_now(self, flight.replies, lambda data: b'"status"' not in data)

    Batcher._apply = _apply  # type: ignore[method-assign]


def _send_now(self: Batcher, replies: dict[int, bytes], which: Callable[[bytes], bool]) -> None:
    for number in [number for number, data in replies.items() if which(data)]:
        connection = self.connections.get(number)
        if connection is not None:
            connection.send(replies.pop(number))


def forget_ids() -> None:
    """After a recovery the ids of all earlier transfers are unknown: nothing is recognised as a repeat."""
    start_recovery = Server._start_recovery

    async def _start_recovery(self: Server) -> None:
        await start_recovery(self)
        transfers = self.engine.array("transfers")
        # The tables verify what they find against the ids in the store, which the array is a view of.
        first = transfers["id_hi"].ctypes.data
        salt = time_ns()
        for slot in range(len(transfers)):
            ctypes.c_uint64.from_address(first + slot * transfers.dtype.itemsize).value ^= salt

    Server._start_recovery = _start_recovery  # type: ignore[method-assign]


def forget_last_row() -> None:
    """Recovery leaves out the last batch of the log."""
    start_recovery, apply = Server._start_recovery, recovery.apply_rows
    last = [0]

    async def _start_recovery(self: Server) -> None:
        last[0] = self.journal.head.seq
        await start_recovery(self)

    def apply_rows(recovered: recovery.Recovered, rows: list[Row], batch: Batch) -> None:
        for row in rows:
            if row.seq == last[0] and row.kind == Kind.BATCH:
                recovered.seq, recovered.epoch, recovered.log_hash = row.seq, row.epoch, row.hash
            else:
                apply(recovered, [row], batch)

    Server._start_recovery = _start_recovery  # type: ignore[method-assign]
    recovery.apply_rows = apply_rows


def no_fence() -> None:
    """Rows are appended wherever the log ends, whoever wrote what stands there, and no read asks who leads."""
    insert = (
        "INSERT INTO {target} (seq, epoch, time, format, kind, previous_hash, hash, checksum, digest, payload) "
        "VALUES ($1, $2, $3, $4, 1, $5, $6, sha256($8), $7, $8)"
    )

    async def append(self: Journal, time: int, payload: bytes, digest: bytes | None = None) -> int:
        while True:
            link = await self._have_appender()
            newest = await schema.read_head(link.connection)
            seq = newest.seq + 1
            checksum = sha256(payload).digest()
            hash_ = row_hash(newest.hash, seq, newest.epoch, time, log_record.FORMAT, Kind.BATCH, checksum, None)
            try:
                await schema.make_partition(link.connection, self._facts, self._facts.partition(seq))
                await link.connection.execute(
                    insert.format(target=self._facts.table(seq)),
                    seq, newest.epoch, time, log_record.FORMAT, newest.hash, hash_, None, payload,
                )  # fmt: skip
            except asyncpg.UniqueViolationError:
                continue
            # What it thinks of the log is still its own.
            self.head = Head(self.head.seq + 1, hash_, self._epoch, time)
            return self.head.seq

    async def barrier(self: Journal) -> None:
        await asyncio.sleep(0)

    async def renew(self: Leadership) -> None:
        """Nor does it hear from the lease that another leads."""

    Journal.append = append  # type: ignore[method-assign]
    Journal.barrier = barrier  # type: ignore[method-assign]
    Leadership._renew = renew  # type: ignore[method-assign]


FAULTS: dict[str, Callable[[], None]] = {
    plant.__name__: plant
    for plant in (
        reply_before_commit,
        read_uncommitted,
        forget_ids,
        forget_last_row,
        no_fence,
        *faulty_orders.FAULTS,
    )
}


if __name__ == "__main__":
    FAULTS[sys.argv.pop(1)]()
    sys.exit(main())
