"""Old rows out of the database: whole partitions, archived to files or dropped.

An archived partition is two files:

    log-0000000000.copy.zst     its rows verbatim, in the order of seq: PostgreSQL's COPY … (FORMAT binary), compressed
    log-0000000000.json         the manifest: which log, which rows, the hashes at both ends, the file's own checksum

so that `zstd -dc log-0000000000.copy.zst | psql -c "COPY tongbao.log FROM STDIN (FORMAT binary)"` brings them back. A
partition leaves the database only after its archive has been read back from disk and verified row by row, and the
rows of the archives chain on from one to the next.

What is dropped is detached first, without a lock that an append or a reader would wait for.
"""

import asyncio
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

import asyncpg
import structlog

from server.journal.cluster import sync_directory
from server.journal.copied import FileOfRows, file_sha256, read_rows
from server.journal.errors import JournalError, LogDamaged
from server.journal.rows import Chain, Row
from server.journal.schema import COLUMNS, LogFacts, list_partitions, table_name

log = structlog.get_logger("tongbao.journal")


@dataclass(frozen=True, slots=True)
class ArchiveManifest:
    """What an archived partition holds. Hashes in hex."""

    version: int
    log_id: str
    partition: int
    first: int
    last: int
    first_previous_hash: str
    last_hash: str
    first_epoch: int
    last_epoch: int
    file: str
    bytes: int
    """Of the file."""
    sha256: str
    """Of the file."""
    created: str

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a manifest. Raises JournalError when it is not one."""
        try:
            return cls(**json.loads(path.read_text("utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise JournalError(f"{path.name}: not the manifest of an archive ({error})") from error


def read_archive(directory: Path, first: int = 0) -> Iterator[Row]:
    """Yield the archived rows from `first` on, in order, each verified against the one before it.

    Raises LogDamaged naming the seq, JournalError for files that are not an archive. Blocks; meant for a thread.
    """
    chain: Chain | None = None
    log_id = ""
    for path in sorted(directory.glob("log-*.json")):
        manifest = ArchiveManifest.read(path)
        if manifest.last < first:
            continue
        if log_id and manifest.log_id != log_id:
            raise JournalError(f"{path.name}: belongs to another log")
        log_id = manifest.log_id
        if chain is None:
            chain = Chain(manifest.first - 1, bytes.fromhex(manifest.first_previous_hash), None)
        for row in read_rows(directory / manifest.file, chain.seq + 1):
            chain.check(row)
            if row.seq >= first:
                yield row
        if chain.seq != manifest.last or chain.hash != bytes.fromhex(manifest.last_hash):
            raise LogDamaged(chain.seq + 1, f"missing: {manifest.file} ends before row {manifest.last}")


async def archive_partition(
    connection: asyncpg.Connection, facts: LogFacts, partition: int, directory: Path
) -> ArchiveManifest:
    """Write one full partition to `directory` and verify what was written. Nothing leaves the database."""
    await asyncio.to_thread(directory.mkdir, mode=0o700, parents=True, exist_ok=True)
    name = f"log-{partition:010d}"
    path, manifest_path = directory / f"{name}.copy.zst", directory / f"{name}.json"
    if manifest_path.exists():  # an earlier run was interrupted before the drop
        manifest = ArchiveManifest.read(manifest_path)
        await asyncio.to_thread(_verify, directory, manifest, facts)
        return manifest
    file = FileOfRows(path)
    try:

        async def write(data: bytes) -> None:
            await asyncio.to_thread(file.write, data)

        await connection.copy_from_query(
            f"SELECT {COLUMNS} FROM {table_name(partition)} ORDER BY seq", output=write, format="binary"
        )
        await asyncio.to_thread(file.finish)
    except BaseException:
        file.abandon()
        raise
    manifest = await asyncio.to_thread(_describe, path, facts, partition)
    await asyncio.to_thread(_verify, directory, manifest, facts)
    await asyncio.to_thread(_write_manifest, manifest_path, manifest)
    log.info("log_archived", partition=partition, first=manifest.first, last=manifest.last, bytes=manifest.bytes)
    return manifest


def _describe(path: Path, facts: LogFacts, partition: int) -> ArchiveManifest:
    first = last = None
    for row in read_rows(path, partition * facts.partition_rows):
        first = first or row
        last = row
    if first is None or last is None:
        raise LogDamaged(partition * facts.partition_rows, "missing: the partition is empty")
    return ArchiveManifest(
        version=1,
        log_id=facts.log_id.hex(),
        partition=partition,
        first=first.seq,
        last=last.seq,
        first_previous_hash=first.previous_hash.hex(),
        last_hash=last.hash.hex(),
        first_epoch=first.epoch,
        last_epoch=last.epoch,
        file=path.name,
        bytes=path.stat().st_size,
        sha256=file_sha256(path),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _verify(directory: Path, manifest: ArchiveManifest, facts: LogFacts) -> None:
    """Raise unless the file on disk holds exactly the rows of its partition, chained."""
    first = manifest.partition * facts.partition_rows
    if manifest.log_id != facts.log_id.hex():
        raise JournalError(f"{manifest.file}: belongs to another log")
    path = directory / manifest.file
    chain = Chain(first - 1, bytes.fromhex(manifest.first_previous_hash), None)
    for row in read_rows(path, first):
        chain.check(row)
    if chain.seq != first + facts.partition_rows - 1:
        raise LogDamaged(chain.seq + 1, f"missing from {manifest.file}")
    if file_sha256(path) != manifest.sha256:
        raise LogDamaged(first, f"{manifest.file} is not the file that its manifest describes")
    before = directory / f"log-{manifest.partition - 1:010d}.json"
    if before.exists() and ArchiveManifest.read(before).last_hash != manifest.first_previous_hash:
        raise LogDamaged(first, f"{manifest.file} does not continue the archive before it")


def _write_manifest(path: Path, manifest: ArchiveManifest) -> None:
    temporary = path.with_name(f".{path.name}.writing")
    with temporary.open("w", encoding="utf-8") as file:
        json.dump(asdict(manifest), file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_directory(path.parent)


async def drop_partition(connection: asyncpg.Connection, partition: int) -> None:
    """Take one partition out of the log."""
    table = table_name(partition)
    # Not in a transaction, and with a wait for those who are just reading it; an interrupted one is finished below.
    await connection.execute(f"ALTER TABLE tongbao.log DETACH PARTITION {table} CONCURRENTLY")
    await connection.execute(f"DROP TABLE {table}")
    log.info("log_dropped", partition=partition)


async def finish_interrupted(connection: asyncpg.Connection) -> None:
    """Drop what an earlier run had detached, in part or in full."""
    pending = await connection.fetch(
        "SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid "
        "WHERE inhparent = 'tongbao.log'::regclass AND inhdetachpending"
    )
    for record in pending:
        await connection.execute(f"ALTER TABLE tongbao.log DETACH PARTITION tongbao.{record['relname']} FINALIZE")
    detached = await connection.fetch(
        "SELECT relname FROM pg_class WHERE relnamespace = 'tongbao'::regnamespace AND relkind = 'r' "
        "AND relname ~ '^log_[0-9]{10}$' AND NOT relispartition "
        "AND relname < (SELECT min(relname) FROM pg_class JOIN pg_inherits ON inhrelid = pg_class.oid "
        "WHERE inhparent = 'tongbao.log'::regclass)"
    )
    for record in detached:
        await connection.execute(f"DROP TABLE tongbao.{record['relname']}")


async def release(
    connection: asyncpg.Connection,
    facts: LogFacts,
    seq: int,
    directory: Path | None,
    progress: Callable[[int], None] = lambda _: None,
) -> int:
    """Archive (with a directory) and drop every partition that lies below `seq` in full; return how many."""
    await finish_interrupted(connection)
    count = 0
    for partition in await list_partitions(connection):
        if (partition + 1) * facts.partition_rows > seq:
            break
        if directory is not None:
            await archive_partition(connection, facts, partition, directory)
        await drop_partition(connection, partition)
        count += 1
        progress(partition)
    return count
