"""The log's tables: made once, checked at every connection, extended by partitions ahead of time.

Appends and reads name a partition's own table and never the partitioned one: no statement of the hot path then
depends on how many partitions there are, takes a lock on the parent, or waits for whoever has one.
"""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from importlib import resources

import asyncpg

from server.journal.binaries import MAJOR_MAX, MAJOR_MIN
from server.journal.errors import LogDamaged, UnsafeDatabase
from server.journal.rows import NO_HASH, Chain, Head, Kind, Row, row_hash

SCHEMA_VERSION = 1
PARTITION_ROWS = 1 << 20
"""Rows of one partition: 7 minutes at the highest rate of commits, hours at an ordinary one. It is fixed when the
log is made."""
ADVISORY_LOCK = 0x746F_6E67_6261_6F
"""Keeps two processes from making the tables at the same time."""
SILENCE_MAX_MS = 2_000
"""How long a process that makes tables may stay silent between two statements, which take microseconds."""

COLUMNS = "seq, epoch, time, format, kind, previous_hash, hash, checksum, digest, payload"


@dataclass(frozen=True, slots=True)
class LogFacts:
    """What metadata says about a log."""

    log_id: bytes
    """16 bytes; the payload of row 0."""
    partition_rows: int

    def partition(self, seq: int) -> int:
        """Return the number of the partition that holds row `seq`."""
        return seq // self.partition_rows

    def table(self, seq: int) -> str:
        """Return the table that holds row `seq`."""
        return table_name(self.partition(seq))


def table_name(partition: int) -> str:
    """Return the table of a partition."""
    return f"tongbao.log_{partition:010d}"


async def check_server(connection: asyncpg.Connection, *, allow_unsafe: bool) -> None:
    """Raise UnsafeDatabase unless what this server confirms is durable."""
    major = connection.get_server_version().major
    if not MAJOR_MIN <= major <= MAJOR_MAX:
        raise UnsafeDatabase(f"PostgreSQL {major}: versions {MAJOR_MIN} to {MAJOR_MAX} are supported")
    settings = await connection.fetchrow(
        "SELECT current_setting('fsync') AS fsync, current_setting('full_page_writes') AS full_page_writes, "
        "current_setting('synchronous_commit') AS synchronous_commit"
    )
    wrong = [
        f"{name} = {settings[name]}"
        for name, bad in (("fsync", "off"), ("full_page_writes", "off"), ("synchronous_commit", "off local"))
        if settings[name] in bad.split()
    ]
    if wrong and not allow_unsafe:
        raise UnsafeDatabase(
            f"the database runs with {', '.join(wrong)}: a crash would lose commands that were acknowledged"
        )


async def read_facts(connection: asyncpg.Connection) -> LogFacts | None:
    """Return what metadata says; None if there is no log yet. Raises UnsafeDatabase for a newer schema."""
    if not await has_table(connection, "metadata"):
        return None
    facts = {row["name"]: row["value"] for row in await connection.fetch("SELECT name, value FROM tongbao.metadata")}
    version = int(facts["schema_version"])
    if version > SCHEMA_VERSION:
        raise UnsafeDatabase(f"the log's tables are of version {version}; this program knows {SCHEMA_VERSION}")
    return LogFacts(bytes.fromhex(facts["log_id"]), int(facts["partition_rows"]))


async def has_table(connection: asyncpg.Connection, name: str) -> bool:
    """Whether the schema has a table of this name.

    Asked of the catalogue's rows: to_regclass() answers from a cache that an advisory lock does not refresh, so that a
    process which waited for another to make the table would still not see it.
    """
    query = (
        "SELECT EXISTS (SELECT FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace "
        "WHERE nspname = 'tongbao' AND relname = $1)"
    )
    return bool(await connection.fetchval(query, name))


@asynccontextmanager
async def alone(connection: asyncpg.Connection) -> AsyncIterator[None]:
    """Make tables in one transaction, while no other process does.

    A process that is paused in the middle would keep every successor waiting for the lock. So PostgreSQL ends the
    session of one that is silent, and whoever it was finds its session lost when it goes on.
    """
    async with connection.transaction():
        await connection.execute(f"SET LOCAL idle_in_transaction_session_timeout = {SILENCE_MAX_MS}")
        await connection.execute(f"SELECT pg_advisory_xact_lock({ADVISORY_LOCK})")
        yield


async def ensure_schema(connection: asyncpg.Connection, partition_rows: int, time: int) -> LogFacts:
    """Return the log's facts; make the tables and row 0 if there is no log yet."""
    facts = await read_facts(connection)
    if facts is not None:
        return facts
    async with alone(connection):
        facts = await read_facts(connection)
        if facts is not None:
            return facts
        facts = LogFacts(secrets.token_bytes(16), partition_rows)
        await make_empty(connection, facts)
        await make_partition(connection, facts, 0)
        checksum = sha256(facts.log_id).digest()
        hash = row_hash(NO_HASH, 0, 0, time, 0, Kind.GENESIS, checksum, None)
        await connection.execute(
            f"INSERT INTO {facts.table(0)} ({COLUMNS}) VALUES (0, 0, $1, 0, 0, $2, $3, $4, NULL, $5)",
            time, NO_HASH, hash, checksum, facts.log_id,
        )  # fmt: skip
    return facts


async def make_empty(connection: asyncpg.Connection, facts: LogFacts, remarks: dict[str, str] | None = None) -> None:
    """Make the tables of a log that has no row yet, within the caller's transaction; `remarks` go into metadata."""
    await connection.execute(resources.files(__package__).joinpath("schema.sql").read_text())
    values = {"schema_version": SCHEMA_VERSION, "log_id": facts.log_id.hex(), "partition_rows": facts.partition_rows}
    await connection.executemany(
        "INSERT INTO tongbao.metadata (name, value) VALUES ($1, $2)",
        [(name, str(value)) for name, value in (values | (remarks or {})).items()],
    )


async def make_partition(connection: asyncpg.Connection, facts: LogFacts, partition: int) -> None:
    """Make one partition if it is missing.

    It is made beside the log and attached, which lets appends and readers go on; CREATE … PARTITION OF would wait
    for every reader, and everybody else behind it.
    """
    table = table_name(partition)
    first, end = partition * facts.partition_rows, (partition + 1) * facts.partition_rows
    if await has_table(connection, table.removeprefix("tongbao.")):
        return
    async with alone(connection):
        if await has_table(connection, table.removeprefix("tongbao.")):
            return
        # A log is only ever appended to: vacuum has nothing to find in it but the freezing it does at the latest
        # every 200 million transactions, which it does in spite of this setting.
        await connection.execute(
            f"CREATE TABLE {table} (LIKE tongbao.log INCLUDING ALL, "
            f"CONSTRAINT bounds CHECK (seq >= {first} AND seq < {end})) "
            "WITH (autovacuum_enabled = off, toast.autovacuum_enabled = off)"
        )
        await connection.execute(
            f"ALTER TABLE tongbao.log ATTACH PARTITION {table} FOR VALUES FROM ({first}) TO ({end})"
        )
        await connection.execute(f"ALTER TABLE {table} DROP CONSTRAINT bounds")


async def list_partitions(connection: asyncpg.Connection) -> list[int]:
    """Return the numbers of the partitions there are, in order."""
    names = await connection.fetch(
        "SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid "
        "WHERE inhparent = 'tongbao.log'::regclass AND NOT inhdetachpending ORDER BY relname"
    )
    return [int(row["relname"].removeprefix("log_")) for row in names]


async def read_head(connection: asyncpg.Connection) -> Head:
    """Return the newest row, after checking it against its own hash. Raises LogDamaged."""
    for partition in reversed(await list_partitions(connection)):
        newest = f"SELECT {COLUMNS} FROM {table_name(partition)} ORDER BY seq DESC LIMIT 1"
        try:
            record = await connection.fetchrow(newest)
        except (asyncpg.DataCorruptedError, asyncpg.IndexCorruptedError) as error:
            raise LogDamaged(LogDamaged.NEWEST, f"PostgreSQL cannot read it: {error}") from error
        if record is not None:
            row = Row(*record)
            Chain(row.seq - 1, None, None).check(row)
            return Head(row.seq, row.hash, row.epoch, row.time)
    raise LogDamaged(0, "missing: the log has no row at all")
