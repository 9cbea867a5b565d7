"""The log of everything: in PostgreSQL, private or given, with its snapshots and archive."""

from server.journal.archive import ArchiveManifest, read_archive
from server.journal.errors import (
    Fenced,
    JournalClosed,
    JournalError,
    LogDamaged,
    LogLost,
    PostgresUnavailable,
    UnsafeDatabase,
)
from server.journal.log import Journal
from server.journal.postgres import PrivatePostgres
from server.journal.rows import Head, Kind, Row
from server.journal.tail import Tail

__all__ = [
    "ArchiveManifest",
    "Fenced",
    "Head",
    "Journal",
    "JournalClosed",
    "JournalError",
    "Kind",
    "LogDamaged",
    "LogLost",
    "PostgresUnavailable",
    "PrivatePostgres",
    "Row",
    "Tail",
    "UnsafeDatabase",
    "read_archive",
]
