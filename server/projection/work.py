"""What the commands do that need an engine at a row of the log: `tongbao projection check` and `rebuild`."""

import secrets
from collections.abc import AsyncIterator
from typing import NamedTuple

import numpy as np

from engine import log_record
from engine.limits import Limits
from server.journal import Head, Journal, Row
from server.projection.changes import NOTHING, Changes
from server.projection.comparison import Report, compare
from server.projection.database import BusyError, Tables
from server.projection.errors import ProjectionError
from server.projection.sink import batches_of
from server.recovery import Recovered, catch_up, restore
from server.snapshots import Snapshots


class Source(NamedTuple):
    """Where the log is, and what helps to replay it."""

    dsn: str
    snapshots: Snapshots
    limits: Limits


class Rebuilt(NamedTuple):
    """What a rebuild did."""

    seq: int
    rows: int


class _Until:
    """The log up to one row, as recovery reads it."""

    def __init__(self, journal: Journal, head: Head) -> None:
        self.head = head
        self._journal = journal

    async def read(
        self, first: int, *, last: int | None = None, previous_hash: bytes | None = None, epoch: int | None = None
    ) -> AsyncIterator[Row]:
        """Yield verified rows."""
        until = self.head.seq if last is None else last
        async for row in self._journal.read(first, last=until, previous_hash=previous_hash, epoch=epoch):
            yield row


async def check(source: Source, projection: str) -> Report:
    """Compare the tables with an engine at the same row, in one snapshot of the tables' database.

    Raises ProjectionError when there is nothing to compare, and what recovery raises.
    """
    journal = await Journal.open(source.dsn, format=log_record.FORMAT, read_only=True, wait=10.0)
    try:
        tables = await Tables.open(projection, write=False)
        try:
            async with tables.connection.transaction(isolation="repeatable_read", readonly=True):
                found = await tables.progress()
                if found is None:
                    raise ProjectionError("the tables are empty: `tongbao follow --projection-url` fills them")
                log_id, mark = found
                if log_id != journal.log_id:
                    raise ProjectionError("the tables hold another log: give the --database-url of theirs")
                if mark.seq > journal.head.seq:
                    raise ProjectionError(
                        f"the tables are at row {mark.seq}, and the log ends at row {journal.head.seq}"
                    )
                row = await _row(journal, mark.seq)
                if row.hash != mark.log_hash:
                    raise ProjectionError(f"the tables were made with another row {mark.seq} than the log has")
                head = Head(row.seq, row.hash, row.epoch, row.time)
                recovered = await _recovered(source, journal, head)
                return await compare(tables.connection, recovered.engine, mark.seq, batches_of(journal, 1, mark.seq))
        finally:
            await tables.close()
    finally:
        await journal.close()


async def rebuild(source: Source, projection: str) -> Rebuilt:
    """Make the tables anew from the newest state of the log, whatever they hold."""
    journal = await Journal.open(source.dsn, format=log_record.FORMAT, read_only=True, wait=10.0)
    try:
        try:
            tables = await Tables.open(projection)
        except BusyError:
            raise ProjectionError("a follower writes these tables just now: stop it first") from None
        try:
            recovered = await _recovered(source, journal, journal.head)
            nobody = np.zeros(0, dtype=np.uint64)
            changes = Changes(recovered.engine, NOTHING, recovered.seq, recovered.log_hash, nobody)
            work = changes.capture(static=True)
            rows = await tables.replace(journal.log_id, work, batches_of(journal, 1, recovered.seq))
        finally:
            await tables.close()
    finally:
        await journal.close()
    return Rebuilt(recovered.seq, rows)


async def _recovered(source: Source, journal: Journal, head: Head) -> Recovered:
    """An engine at row `head`."""
    until = _Until(journal, head)
    recovered = await restore(
        journal, source.snapshots, source.limits, hash_key=secrets.token_bytes(32), at_most=head.seq
    )
    await catch_up(until, recovered)
    return recovered


async def _row(journal: Journal, seq: int) -> Row:
    async for row in journal.read(seq, last=seq):
        return row
    raise ProjectionError(f"row {seq}, where the tables are, is not in the log any more: `tongbao projection rebuild`")


async def status(projection: str) -> dict[str, object]:
    """Say what the tables hold, and how large they are."""
    tables = await Tables.open(projection, write=False)
    try:
        found = await tables.progress()
        sizes = await tables.connection.fetch(
            "SELECT relname AS name, sum(pg_total_relation_size(coalesce(relid, pg_class.oid)))::bigint AS bytes "
            "FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace "
            "LEFT JOIN LATERAL pg_partition_tree(pg_class.oid) ON relkind = 'p' "
            "WHERE nspname = 'ledger' AND relkind IN ('r', 'p') AND NOT relispartition "
            "GROUP BY relname ORDER BY relname"
        )
    finally:
        await tables.close()
    said: dict[str, object] = {"seq": None}
    if found is not None:
        log_id, mark = found
        said = {"seq": mark.seq, "log_id": log_id.hex(), "timestamp": mark.timestamp, **mark.counts}
    return said | {"bytes": {row["name"]: row["bytes"] for row in sizes}}
