"""`tongbao projection check`: the tables against an engine at the same row of the log, byte for byte.

What the tables should hold is encoded as it would be written, the tables are read by COPY in the same order, and the
two are compared as they come: nothing is decoded unless it is different. All tables are read in one snapshot of the
database, so a follower may go on writing meanwhile.
"""

import struct
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import asyncpg
import numpy as np

from engine import Engine
from server.projection import SCHEMA
from server.projection.changes import NOTHING, Changes, Write
from server.projection.columns import Columns
from server.projection.encoding import HEADER, Column, encode

ORDERED = {
    "batches": "seq",
    "accounts": "timestamp",
    "transfers": "timestamp",
    "trading_accounts": "timestamp",
    "instruments": "instrument_id",
    "orders": "order_id",
    "executions": "execution_id",
    "trades": "trade_id",
    "proposals": "proposal_id",
}
"""Tables that stand in the engine in the order of a column. The others are compared as sets, in memory."""
TABLES = (*ORDERED, "trading_account_links", "positions", "limits", "exposures", "limits_by_instrument")
SHOWN_COLUMNS = 6


@dataclass(slots=True)
class Report:
    """What was compared, and what was found."""

    seq: int = 0
    rows: dict[str, int] = field(default_factory=dict)
    """Rows that were compared, by table."""
    differences: list[str] = field(default_factory=list)
    """The first of each table."""


async def compare(
    connection: asyncpg.Connection, engine: Engine, seq: int, batches: AsyncIterator[tuple[Columns, int]]
) -> Report:
    """Compare every table with the engine, which is at row `seq`, as the tables are in this session's snapshot.

    `batches`: what the log says about its rows, as far as it still has them.
    """
    report = Report(seq)
    writes: dict[str, list[Write]] = {}
    everything = Changes(engine, NOTHING, seq, b"", np.zeros(0, dtype=np.uint64)).capture(static=True)
    for write in everything.writes:
        writes.setdefault(write.table, []).append(write)
    kinds = await _kinds(connection)
    for table in TABLES:
        if table == "batches":
            expected = [part async for part in batches]
            writes["batches"] = [Write("batches", 0, expected.__iter__)]
            low = int(expected[0][0]["seq"].values[0]) if expected else seq + 1
            condition = f" WHERE seq >= {low}"
        else:
            condition = ""
        parts = (part for write in writes.get(table, []) for part in write.parts())
        names = list(kinds[table])
        comparison = _Ordered(table, names, parts) if table in ORDERED else _Sets(table, names, parts)
        query = (
            f"SELECT {', '.join(_shown(name, kinds[table][name]) for name in names)} FROM {SCHEMA}.{table}{condition}"
        )
        if table in ORDERED:
            query += f" ORDER BY {ORDERED[table]}"
        await connection.copy_from_query(query, output=comparison.take, format="binary")
        difference = comparison.end()
        report.rows[table] = comparison.rows
        if difference:
            report.differences.append(difference)
    return report


async def _kinds(connection: asyncpg.Connection) -> dict[str, dict[str, str]]:
    """Columns of every table, with their types."""
    rows = await connection.fetch(
        "SELECT relname, attname, format_type(atttypid, NULL) AS type FROM pg_attribute "
        "JOIN pg_class ON pg_class.oid = attrelid JOIN pg_namespace ON pg_namespace.oid = relnamespace "
        "WHERE nspname = $1 AND relkind IN ('r', 'p') AND attnum > 0 AND NOT attisdropped ORDER BY relname, attnum",
        SCHEMA,
    )
    found: dict[str, dict[str, str]] = {}
    for row in rows:
        found.setdefault(row["relname"], {})[row["attname"]] = row["type"]
    return found


def _shown(name: str, kind: str) -> str:
    """As what a column is read: in a form that has one sequence of bytes for each value."""
    if kind == "numeric":
        return f"({name} - 9223372036854775808)::bigint"
    if kind == "jsonb":
        return f"convert_to({name}::text, 'UTF8')"
    return name


def _expected(columns: Columns, names: list[str], count: int) -> bytes:
    """The same form of what should be there."""
    if set(columns) != set(names):
        raise KeyError(f"columns {sorted(set(columns) ^ set(names))}: the tables and this program differ")
    shown = []
    for name in names:
        column = columns[name]
        if column.kind == "numeric":
            values = np.asarray(column.values).astype(np.uint64) ^ np.uint64(2**63)
            column = Column("bigint", values.view(np.int64), column.present)
        elif column.kind == "bytes":
            column = Column("bytes", [value[1:] for value in column.values])
        shown.append(column)
    return encode(shown, count)


class _Ordered:
    """Compares a table as it comes."""

    def __init__(self, table: str, names: list[str], parts: Iterator[tuple[Columns, int]]) -> None:
        self.rows = 0
        self._table = table
        self._names = names
        self._parts = parts
        self._part: Columns = {}
        self._expected = b""
        self._count = 0
        self._found = bytearray()
        self._head = len(HEADER)
        self._difference = ""

    async def take(self, data: bytes) -> None:
        """Take the next bytes of the table."""
        if self._difference:
            return
        if self._head:
            cut = min(self._head, len(data))
            self._head -= cut
            data = data[cut:]
        self._found += data
        while not self._difference:
            if not self._expected and not self._next():
                return
            size = len(self._expected)
            if len(self._found) < size:
                # A row that is missing may make the table shorter: what is there must at least begin like it.
                return
            if self._found[:size] != self._expected:
                self._tell()
                return
            del self._found[:size]
            self.rows += self._count
            self._expected = b""

    def _next(self) -> bool:
        part = next(self._parts, None)
        if part is None:
            return False
        self._part, self._count = part
        self._expected = _expected(self._part, self._names, self._count)
        return True

    def end(self) -> str:
        """Return the first difference; empty if there is none."""
        if not self._difference and (self._expected or self._next() or bytes(self._found) != b"\xff\xff"):
            self._tell()
        return self._difference

    def _tell(self) -> None:
        """Find the row, and say what is different in it."""
        wanted, found = list(rows_of(self._expected)), rows_of(bytes(self._found))
        for number in range(len(wanted) + 1):
            there = next(found, None)
            if number == len(wanted):
                # What is behind the last one.
                if there is not None:
                    self._difference = f"{self._table}: a row that should not be there: {self._key(there)}"
                return
            self.rows += 1
            if there != wanted[number]:
                break
        kinds = {name: self._part[name].kind for name in self._names}
        self._difference = f"{self._table}: " + difference(self._names, kinds, wanted[number], there)

    def _key(self, row: tuple[bytes | None, ...]) -> str:
        name = self._names[0]
        return f"{name} {readable('uuid' if len(row[0] or b'') == 16 else 'bigint', row[0])}"


class _Sets:
    """Compares a table whose rows stand in no order that the engine has."""

    def __init__(self, table: str, names: list[str], parts: Iterator[tuple[Columns, int]]) -> None:
        self.rows = 0
        self._table = table
        self._names = names
        self._kinds: dict[str, str] = {}
        self._wanted: set[tuple[bytes | None, ...]] = set()
        for columns, count in parts:
            self._kinds = {name: columns[name].kind for name in names}
            self._wanted.update(rows_of(_expected(columns, names, count)))
        self._found = bytearray()

    async def take(self, data: bytes) -> None:
        """Take the next bytes of the table."""
        self._found += data

    def end(self) -> str:
        """Return the first difference; empty if there is none."""
        found = list(rows_of(bytes(self._found[len(HEADER) :])))
        self.rows = len(found)
        there = set(found)
        missing = sorted(self._wanted - there, key=repr)
        more = sorted(there - self._wanted, key=repr)
        if missing:
            # The row with most in common is the one that it should have been.
            like = max(more, key=lambda row: sum(a == b for a, b in zip(row, missing[0], strict=True)), default=None)
            return f"{self._table}: " + difference(self._names, self._kinds, missing[0], like)
        if more or len(found) != len(there):
            return f"{self._table}: {len(found) - len(self._wanted)} rows that should not be there"
        return ""


# --- rows ---------------------------------------------------------------------------------------------


def rows_of(data: bytes) -> Iterator[tuple[bytes | None, ...]]:
    """The values of encoded rows."""
    at = 0
    while at + 2 <= len(data):
        (count,) = struct.unpack_from(">h", data, at)
        if count < 0:
            return
        at += 2
        row: list[bytes | None] = []
        for _ in range(count):
            if at + 4 > len(data):
                return
            (size,) = struct.unpack_from(">i", data, at)
            at += 4
            if size < 0:
                row.append(None)
                continue
            row.append(data[at : at + size])
            at += size
        yield tuple(row)


def difference(
    names: list[str], kinds: dict[str, str], wanted: tuple[bytes | None, ...], found: tuple[bytes | None, ...] | None
) -> str:
    """Say how a row is not what it should be."""
    key = " ".join(
        f"{name} {readable(kinds[name], value)}" for name, value in list(zip(names, wanted, strict=True))[:2]
    )
    if found is None or len(found) != len(wanted):
        return f"{key} is missing"
    parts = [
        f"{name} is {readable(kinds[name], there)}, should be {readable(kinds[name], value)}"
        for name, value, there in zip(names, wanted, found, strict=True)
        if value != there
    ]
    more = f" and {len(parts) - SHOWN_COLUMNS} more columns" if len(parts) > SHOWN_COLUMNS else ""
    return f"{key}: {', '.join(parts[:SHOWN_COLUMNS])}{more}"


def readable(kind: str, value: bytes | None) -> str:
    """A value as psql shows it."""
    if value is None:
        return "null"
    shown: Any
    match kind:
        case "uuid" if len(value) == 16:
            shown = uuid.UUID(bytes=value)
        case "numeric":
            shown = int.from_bytes(value, "big", signed=True) + 2**63
        case "timestamptz":
            shown = datetime(2000, 1, 1, tzinfo=UTC) + timedelta(microseconds=int.from_bytes(value, "big", signed=True))
        case "date":
            shown = date(2000, 1, 1) + timedelta(days=int.from_bytes(value, "big", signed=True))
        case "boolean":
            shown = bool(value[0])
        case "label" | "text" | "bytes":
            shown = value.decode("utf-8", "replace")
        case _:
            shown = int.from_bytes(value, "big", signed=True)
    return str(shown)
