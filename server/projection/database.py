"""The session with the tables: where they are, and how they go on by one transaction.

What is new is copied into the tables themselves; what has changed is copied into a temporary table and from there into
the rows it belongs to, if they are different. The row of `progress` moves in the same transaction, and only from where
it was, so nothing is ever written twice, whatever became of a transaction whose end we did not hear of.
"""

import uuid
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import numpy as np
import numpy.typing as npt

from server.projection import REVISION, SCHEMA
from server.projection.changes import COUNTED, Mark, Work, Write
from server.projection.columns import Columns, moments
from server.projection.encoding import HEADER, TRAILER, arranged, encode
from server.projection.errors import ProjectionError
from server.projection.migration import revision_of

VERSIONS = range(15, 19)
"""Of PostgreSQL."""
PARTITIONED = ("batches", "transfers", "executions", "trades")
CHANGING = (
    "accounts", "transfers", "instruments", "orders", "trades", "positions", "limits", "exposures",
    "limits_by_instrument", "proposals",
)  # fmt: skip
"""Tables whose rows change; the others are only added to."""
WHOLE = (
    "accounts", "trading_accounts", "trading_account_links", "instruments", "orders", "positions", "limits",
    "exposures", "limits_by_instrument", "proposals",
)  # fmt: skip
"""Tables without partitions."""
ARRANGED = {"transfers": "debit_account_id"}
"""In which order rows that come together are copied: neighbours in an index are then entered one after another."""
NEXT = "_next"
"""Behind the name of a partitioned table that is to take another's place."""
ADVISORY_LOCK = 0x746F_6E67_6261_71
"""Held by the process that writes the tables, for as long as its session lasts."""
CONNECT_SECONDS = 10.0
SESSION = {
    "application_name": "tongbao projection",
    "search_path": "pg_catalog",
    "TimeZone": "UTC",
    "jit": "off",
    "statement_timeout": "0",
    "lock_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    # What changes is found by its key, also when there are no statistics of a temporary table.
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
}
_PROGRESS = ("log_id", "seq", "log_hash", "timestamp", "at", *COUNTED)


class BusyError(ConnectionError):
    """Another process writes these tables just now."""


class Tables:
    """A session. `seq` and so on of the tables are asked for with `progress`."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        """Use `open`."""
        self.connection = connection
        self._partitions: dict[str, set[str]] = {}

    @classmethod
    async def open(cls, dsn: str, *, write: bool = True) -> "Tables":
        """Connect. Raises ProjectionError when the tables cannot be used, BusyError, or asyncpg's errors."""
        settings = SESSION if write else SESSION | {"default_transaction_read_only": "on"}
        connection = await asyncpg.connect(
            dsn, timeout=CONNECT_SECONDS, statement_cache_size=0, server_settings=settings
        )
        try:
            major = connection.get_server_version().major
            if major not in VERSIONS:
                raise ProjectionError(f"PostgreSQL {major}: versions {VERSIONS[0]} to {VERSIONS[-1]} are supported")
            await _check_revision(connection)
            if write and not await connection.fetchval("SELECT pg_try_advisory_lock($1)", ADVISORY_LOCK):
                raise BusyError("another process writes these tables")
            tables = cls(connection)
            await tables._read_partitions()
            if write:
                await tables._make_staging()
        except BaseException:
            connection.terminate()
            raise
        return tables

    async def close(self) -> None:
        """End the session, politely if that is quick."""
        try:
            await self.connection.close(timeout=1.0)
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
            self.connection.terminate()

    # --- where the tables are --------------------------------------------------------------------

    async def progress(self) -> tuple[bytes, Mark] | None:
        """The log that the tables are of, and how far they are; None if nothing was ever written."""
        record = await self.connection.fetchrow(f"SELECT {', '.join(_PROGRESS)} FROM {SCHEMA}.progress")
        if record is None:
            return None
        counts = {name: record[name] for name in COUNTED}
        return record["log_id"].bytes, Mark(record["seq"], record["log_hash"], record["timestamp"], counts)

    async def pending(self) -> npt.NDArray[np.uint64]:
        """Timestamps of the transfers that the tables know as pending."""
        rows = await self.connection.fetch(f"SELECT timestamp FROM {SCHEMA}.transfers WHERE state = 'pending'")
        return np.array([row[0] for row in rows], dtype=np.uint64)

    # --- writing ---------------------------------------------------------------------------------

    async def write(self, log_id: bytes, work: Work, missing: AsyncIterator[tuple[Columns, int]] | None = None) -> int:
        """Bring the tables from one mark to the next, in one transaction; return how many rows that took.

        `missing`: rows for `batches` that `work` does not have. Raises ProjectionError when somebody else has written,
        and asyncpg's errors: then it is not known whether it was done, and `progress` tells.
        """
        written = 0
        known = {table: set(names) for table, names in self._partitions.items()}
        try:
            async with self.connection.transaction():
                if missing is not None:
                    async for columns, count in missing:
                        written += await self._copy("batches", iter([(columns, count)]))
                for write in work.writes:
                    written += await (self._change(write) if write.key else self._copy(write.table, write.parts()))
                await self._move(log_id, work)
        except BaseException:
            self._partitions = known
            raise
        return written

    async def replace(self, log_id: bytes, work: Work, batches: AsyncIterator[tuple[Columns, int]]) -> int:
        """Put all of a state in the place of what the tables hold, in one transaction; return how many rows that took.

        Readers see the old rows until it is committed, and wait only for its last step, which takes milliseconds: what
        is partitioned is written beside the old partitions and then attached in their place.
        """
        written = 0
        async with self.connection.transaction():
            for table in PARTITIONED:
                await self.connection.execute(
                    f"CREATE TABLE {SCHEMA}.{table}{NEXT} (LIKE {SCHEMA}.{table} INCLUDING ALL) PARTITION BY RANGE (at)"
                )
                self._partitions[table + NEXT] = set()
            for table in ("progress", *WHOLE):
                await self.connection.execute(f"DELETE FROM {SCHEMA}.{table}")
            async for columns, count in batches:
                written += await self._copy("batches" + NEXT, iter([(columns, count)]))
            for write in work.writes:
                table = write.table + NEXT if write.table in PARTITIONED else write.table
                written += await self._copy(table, write.parts())
            for table in PARTITIONED:
                await self._swap(table)
            await self._move(log_id, work)
        return written

    async def _swap(self, table: str) -> None:
        """Attach the new partitions in the place of the old ones."""
        for name in sorted(self._partitions[table]):
            await self.connection.execute(f"DROP TABLE {SCHEMA}.{name}")
        fresh = self._partitions.pop(table + NEXT)
        self._partitions[table] = set()
        for name in sorted(fresh):
            kept = name.replace(NEXT, "", 1)
            low, high = bounds(month_of(name))
            await self.connection.execute(f"ALTER TABLE {SCHEMA}.{table}{NEXT} DETACH PARTITION {SCHEMA}.{name}")
            await self.connection.execute(f"ALTER TABLE {SCHEMA}.{name} RENAME TO {kept}")
            await self.connection.execute(
                f"ALTER TABLE {SCHEMA}.{table} ATTACH PARTITION {SCHEMA}.{kept} FOR VALUES FROM ('{low}') TO ('{high}')"
            )
            await self.connection.execute(f"ALTER TABLE {SCHEMA}.{kept} DROP CONSTRAINT bounds")
            self._partitions[table].add(kept)
        await self.connection.execute(f"DROP TABLE {SCHEMA}.{table}{NEXT}")

    async def _copy(self, table: str, parts: Iterator[tuple[Columns, int]]) -> int:
        """Add rows; partitions are made before they are needed."""
        held = next(parts, None)
        if held is None:
            return 0
        written = 0

        async def source() -> AsyncIterator[bytes]:
            nonlocal written, held
            yield HEADER
            part: tuple[Columns, int] | None = first_of_run
            while part is not None:
                columns = list(part[0].values())
                if by := ARRANGED.get(table.removesuffix(NEXT)):
                    columns = arranged(columns, part[0][by].values)
                yield encode(columns, part[1])
                written += part[1]
                part = next(parts, None)
                if part is not None and table in self._partitions and not self._has_partitions(table, part[0]):
                    held = part  # a COPY cannot make tables: end it, and begin another
                    break
            yield TRAILER

        while held is not None:
            first_of_run, held = held, None
            if table in self._partitions:
                await self._make_partitions(table, first_of_run[0])
            await self.connection.copy_to_table(
                table, schema_name=SCHEMA, columns=list(first_of_run[0]), source=source(), format="binary"
            )
        return written

    async def _change(self, write: Write) -> int:
        """Bring rows to their newest state."""
        parts = write.parts()
        first = next(parts, None)
        if first is None:
            return 0
        names = list(first[0])
        staging = f"changed_{write.table}"
        written = 0

        async def source() -> AsyncIterator[bytes]:
            nonlocal written
            yield HEADER
            part: tuple[Columns, int] | None = first
            while part is not None:
                yield encode(list(part[0].values()), part[1])
                written += part[1]
                part = next(parts, None)
            yield TRAILER

        await self.connection.copy_to_table(staging, columns=names, source=source(), format="binary")
        rest = [name for name in names if name not in write.key]
        await self.connection.execute(
            f"UPDATE {SCHEMA}.{write.table} AS t SET {', '.join(f'{name} = s.{name}' for name in rest)} "
            f"FROM pg_temp.{staging} AS s WHERE {' AND '.join(f't.{name} = s.{name}' for name in write.key)} "
            f"AND ({', '.join(f't.{name}' for name in rest)}) "
            f"IS DISTINCT FROM ({', '.join(f's.{name}' for name in rest)})"
        )
        return written

    async def _move(self, log_id: bytes, work: Work) -> None:
        """Say how far the tables are, if nobody else has moved them."""
        after = work.after
        at = datetime.fromtimestamp(0, UTC) + timedelta(microseconds=after.timestamp // 1000)
        values: list[Any] = [uuid.UUID(bytes=log_id), after.seq, after.log_hash, after.timestamp, at]
        values += [after.counts[name] for name in COUNTED]
        places = ", ".join(f"${number}" for number in range(1, len(values) + 1))
        if work.before.log_hash:
            done = await self.connection.execute(
                f"UPDATE {SCHEMA}.progress SET ({', '.join(_PROGRESS)}) = ROW({places}) "
                f"WHERE seq = ${len(values) + 1} AND log_hash = ${len(values) + 2}",
                *values, work.before.seq, work.before.log_hash,
            )  # fmt: skip
            moved = done == "UPDATE 1"
        else:
            done = await self.connection.execute(
                f"INSERT INTO {SCHEMA}.progress ({', '.join(_PROGRESS)}) VALUES ({places}) ON CONFLICT DO NOTHING",
                *values,
            )
            moved = done == "INSERT 0 1"
        if not moved:
            raise ProjectionError(
                f"the tables are not at row {work.before.seq} any more: somebody else has written them; "
                "let one process alone write, then start again"
            )

    async def _make_staging(self) -> None:
        """Where changed rows wait to be brought to theirs; empty again at the end of every transaction."""
        rows = await self.connection.fetch(
            "SELECT relname, "
            "string_agg(quote_ident(attname) || ' ' || format_type(atttypid, atttypmod), ', ') AS columns "
            "FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid "
            "JOIN pg_namespace ON pg_namespace.oid = relnamespace "
            "WHERE nspname = $1 AND relname = ANY($2) AND attnum > 0 AND NOT attisdropped GROUP BY relname",
            SCHEMA, list(CHANGING),
        )  # fmt: skip
        await self.connection.execute(
            ";".join(
                f"CREATE TEMPORARY TABLE changed_{row['relname']} ({row['columns']}) ON COMMIT DELETE ROWS"
                for row in rows
            )
        )

    # --- partitions ------------------------------------------------------------------------------

    async def _read_partitions(self) -> None:
        rows = await self.connection.fetch(
            "SELECT parent.relname AS parent, child.relname AS child FROM pg_inherits "
            "JOIN pg_class AS parent ON parent.oid = inhparent JOIN pg_class AS child ON child.oid = inhrelid "
            "JOIN pg_namespace ON pg_namespace.oid = parent.relnamespace WHERE nspname = $1 AND parent.relkind = 'p'",
            SCHEMA,
        )
        self._partitions = {table: set() for table in PARTITIONED}
        for row in rows:
            self._partitions[row["parent"]].add(row["child"])

    def _has_partitions(self, table: str, columns: Columns) -> bool:
        return {partition_name(table, month) for month in months_of(columns)} <= self._partitions[table]

    async def _make_partitions(self, table: str, columns: Columns) -> None:
        """Make the months of some rows, and the one after them, which will be next."""
        months = months_of(columns)
        known = self._partitions[table]
        if not any(partition_name(table, month) not in known for month in months):
            return
        for month in [*months, months[-1] + 1]:
            name = partition_name(table, month)
            if name in known:
                continue
            low, high = bounds(month)
            # Made beside the table and then attached: that waits for no reader.
            await self.connection.execute(
                f"CREATE TABLE {SCHEMA}.{name} (LIKE {SCHEMA}.{table} INCLUDING ALL, "
                f"CONSTRAINT bounds CHECK (at >= '{low}' AND at < '{high}'))"
            )
            await self.connection.execute(
                f"ALTER TABLE {SCHEMA}.{table} ATTACH PARTITION {SCHEMA}.{name} FOR VALUES FROM ('{low}') TO ('{high}')"
            )
            if not table.endswith(NEXT):
                await self.connection.execute(f"ALTER TABLE {SCHEMA}.{name} DROP CONSTRAINT bounds")
            known.add(name)


async def _check_revision(connection: asyncpg.Connection) -> None:
    found = await revision_of(connection)
    if found is None:
        raise ProjectionError("there are no tables in this database: make them with `tongbao projection migrate`")
    if found < REVISION:
        raise ProjectionError(
            f"the tables are of revision {found}, this program needs {REVISION}: run `tongbao projection migrate`"
        )
    if found > REVISION:
        raise ProjectionError(
            f"the tables are of revision {found}, this program knows {REVISION}: use the program that made them"
        )


# --- months -------------------------------------------------------------------------------------------


def months_of(columns: Columns) -> list[int]:
    """Months of some rows, as numbers from 1970-01 on, in order."""
    at = columns["at"].values
    months = (at + MICROS_1970).view("datetime64[us]").astype("datetime64[M]").astype(np.int64)
    first, last = int(months.min()), int(months.max())
    return [first] if first == last else np.unique(months).tolist()


MICROS_1970 = -int(moments(np.zeros(1, dtype=np.uint64))[0])
"""Microseconds from 1970 to where PostgreSQL counts from."""


def partition_name(table: str, month: int) -> str:
    """transfers_2026_11."""
    return f"{table}_{1970 + month // 12:04d}_{month % 12 + 1:02d}"


def month_of(name: str) -> int:
    """Return the month of a partition's name."""
    year, month = name.split("_")[-2:]
    return (int(year) - 1970) * 12 + int(month) - 1


def bounds(month: int) -> tuple[str, str]:
    """Its first moment, and that of the next."""
    low, high = (f"{1970 + number // 12:04d}-{number % 12 + 1:02d}-01 00:00:00+00" for number in (month, month + 1))
    return low, high
