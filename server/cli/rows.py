"""Rows of CSV and Parquet files as accounts and transfers, each with its number, or with what is wrong with it.

Columns have the protocol's member names. An empty cell is a member left out. Amounts are whole minor units, or, when
the number of decimals is given, decimal numbers that are converted exactly; a binary fraction never stands for money.
"""

import csv
import hashlib
import re
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, NamedTuple

from server.cli.common import CommandError, file_error
from server.client import Account, Transfer
from server.client.values import id128

NAMESPACE: Final = uuid.UUID("5c6f0b7e-8a35-5b52-9d5c-6d7a2c1f4e90")
"""Namespace of the ids that rows without an id get; see `row_id`."""

ACCOUNT_MEMBERS: Final = (
    "id", "ledger", "code", "flags", "overdraft_limit", "user_data_128", "user_data_64", "user_data_32", "timestamp",
)  # fmt: skip
TRANSFER_MEMBERS: Final = (
    "id", "debit_account_id", "credit_account_id", "amount", "ledger", "code", "flags", "pending_id", "timeout",
    "user_data_128", "user_data_64", "user_data_32", "timestamp",
)  # fmt: skip
_ACCOUNT_REQUIRED = ("id", "ledger", "code")
_TRANSFER_REQUIRED = ("debit_account_id", "credit_account_id", "amount", "ledger", "code")
_UUIDS = frozenset({"user_data_128", "pending_id"})
_DIGITS = re.compile(r"[0-9]{1,39}")
_DECIMAL = re.compile(r"([0-9]{1,39})(?:\.([0-9]{1,39}))?")
_TIME = re.compile(r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?(Z|[+-]\d{2}:?\d{2})?)?")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Columns:
    """How columns become members."""

    columns: Mapping[str, str] = field(default_factory=dict)
    """Member to header, for headers with names of their own."""
    constants: Mapping[str, str] = field(default_factory=dict)
    """Members that are the same in every row."""
    ignored: frozenset[str] = frozenset()
    """Headers that are no members."""
    decimals: int = 0
    """Digits behind the point of `amount` and `overdraft_limit`."""
    delimiter: str = ","


class Row(NamedTuple):
    """One row: an item, or the reason why it is none. `number` counts data rows from 1, `line` is for people."""

    number: int
    line: int
    item: Account | Transfer | None
    problem: str
    linked: bool
    imported: bool


def row_id(content: str, number: int) -> int:
    """Give the id of a row that has none: UUIDv5 of `NAMESPACE` and "SHA-256 of the file in hex:row number".

    The same file always gives the same ids, so it can be imported again without posting anything twice.
    """
    digest = hashlib.sha1(NAMESPACE.bytes + f"{content}:{number}".encode(), usedforsecurity=False).digest()
    number = int.from_bytes(digest[:16])
    return number & ~(0xF000 << 64) & ~(0xC000 << 48) | 0x5000 << 64 | 0x8000 << 48


class Source:
    """A file of accounts or transfers, read in order."""

    def __init__(self, path: Path, kind: str, mapping: Columns) -> None:
        """Look at the whole file once: its hash, its header, about how many rows. CommandError says what is wrong."""
        self.path = path
        self.kind = kind
        self.mapping = mapping
        self.parquet = path.suffix.lower() in {".parquet", ".pq"}
        self.members = ACCOUNT_MEMBERS if kind == "accounts" else TRANSFER_MEMBERS
        try:
            with path.open("rb") as file:
                self.sha256 = hashlib.file_digest(file, "sha256").hexdigest()
                file.seek(0)
                lines = 0
                while chunk := file.read(1 << 20):
                    lines += chunk.count(b"\n")
        except OSError as error:
            raise file_error(path, error) from None
        self.rows = self._parquet_file().metadata.num_rows if self.parquet else max(lines - 1, 0)
        self._places = self._headers(self._header())

    # --- header ---------------------------------------------------------------------------------------------------

    def _header(self) -> list[str]:
        if self.parquet:
            return list(self._parquet_file().schema_arrow.names)
        try:
            with self.path.open(encoding="utf-8-sig", newline="") as file:
                header: list[str] = next(self._reader(file), [])
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise file_error(self.path, error) from None
        return [name.strip() for name in header]

    def _headers(self, header: Sequence[str]) -> dict[str, int]:
        """Find the place of every member in the header."""
        mapping = self.mapping
        for member in (*mapping.columns, *mapping.constants):
            if member not in self.members:
                raise CommandError(f"{member!r} is not a member of {self.kind} (there are {', '.join(self.members)})")
        if len(set(header)) < len(header):
            twice = next(name for name in header if header.count(name) > 1)
            raise CommandError(f"{self.path}: the header has {twice!r} twice")
        named = {mapping.columns.get(member, member): member for member in self.members}
        places = {}
        for place, name in enumerate(header):
            if name in mapping.ignored:
                continue
            if name in named:
                places[named[name]] = place
            else:
                raise CommandError(
                    f"{self.path}: the column {name!r} is no member of {self.kind}; give --column MEMBER={name} or "
                    f"--ignore {name} (members: {', '.join(self.members)})"
                )
        for member, name in mapping.columns.items():
            if member not in places:
                raise CommandError(f"{self.path}: there is no column {name!r} for {member}")
        both = set(places) & set(mapping.constants)
        if both:
            raise CommandError(f"{min(both)}: comes both from a column and from --set")
        required: tuple[str, ...] = _ACCOUNT_REQUIRED if self.kind == "accounts" else _TRANSFER_REQUIRED
        if "pending_id" in places:  # posts and voids may leave the rest out
            required = ()
        for member in required:
            if member not in places and member not in mapping.constants:
                raise CommandError(f"{self.path}: there is no column {member!r}; give --column or --set {member}=…")
        return places

    # --- rows -----------------------------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[Row]:
        """Give the rows in order. A row that cannot be read is given with its problem."""
        build = self._account if self.kind == "accounts" else self._transfer
        fixed = {member: _read(member, self._reading(member), text) for member, text in self.mapping.constants.items()}
        columns = [(member, place, self._reading(member)) for member, place in self._places.items()]
        rows = self._parquet_rows() if self.parquet else self._csv_rows()
        for number, (line, cells) in enumerate(rows, 1):
            linked = False
            try:
                if isinstance(cells, str):
                    raise ValueError(cells)  # noqa: TRY004 - one path for all that is wrong with a row
                values = dict(fixed)
                for member, place, reading in columns:
                    cell = cells[place]
                    if cell is not None and cell != "":
                        value = _read(member, reading, cell)
                        if value is not None:
                            values[member] = value
                flags = values.get("flags")
                if "timestamp" in values:
                    values["flags"] = flags = [*(flags or ()), "imported"]
                imported = False
                if flags is not None:
                    linked = "linked" in flags
                    imported = "imported" in flags
                yield Row(number, line, build(values, number), "", linked, imported)
            except ValueError as error:
                yield Row(number, line, None, str(error), linked, False)

    def _reader(self, file: Any) -> Any:
        return csv.reader(file, delimiter=self.mapping.delimiter, strict=True)

    def _csv_rows(self) -> Iterator[tuple[int, Sequence[Any]]]:
        width = -1
        try:
            with self.path.open(encoding="utf-8-sig", newline="") as file:
                reader = self._reader(file)
                for cells in reader:
                    if width < 0:
                        width = len(cells)
                    elif cells:
                        fits = len(cells) == width
                        yield reader.line_num, cells if fits else f"has {len(cells)} cells, the header {width}"
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise file_error(self.path, error) from None

    def _parquet_file(self) -> Any:
        try:
            import pyarrow  # noqa: PLC0415 - optional
            import pyarrow.parquet  # noqa: PLC0415
        except ImportError:
            raise CommandError("Parquet files need pyarrow: pip install 'tongbao[parquet]'") from None
        try:
            return pyarrow.parquet.ParquetFile(self.path)
        except (OSError, pyarrow.ArrowException) as error:
            raise file_error(self.path, ValueError(str(error))) from None

    def _parquet_rows(self) -> Iterator[tuple[int, Sequence[Any]]]:
        import pyarrow as pa  # noqa: PLC0415 - optional

        line = 0
        file = self._parquet_file()
        for name, kind in zip(file.schema_arrow.names, file.schema_arrow.types, strict=True):
            if pa.types.is_floating(kind) and name not in self.mapping.ignored:
                raise CommandError(
                    f"{self.path}: the column {name!r} holds floating-point numbers, which are not exact"
                )
        for batch in file.iter_batches(batch_size=4096):
            columns = []
            for column in batch.columns:
                if pa.types.is_timestamp(column.type):  # as nanoseconds, without a detour over microseconds
                    column = column.cast(pa.timestamp("ns", column.type.tz)).cast(pa.int64())  # noqa: PLW2901
                columns.append(column.to_pylist())
            for cells in zip(*columns, strict=True):
                line += 1
                yield line, cells

    # --- values ---------------------------------------------------------------------------------------------------

    def _reading(self, member: str) -> Callable[[Any], Any]:
        if member in _UUIDS or (member == "id" and self.kind == "transfers"):
            return _uuid
        if member == "flags":
            return _flags
        if member == "timestamp":
            return _timestamp
        if member in {"amount", "overdraft_limit"}:
            return lambda cell: _amount(cell, self.mapping.decimals)
        return _integer

    def _account(self, values: dict[str, Any], _: int) -> Account:
        for member in _ACCOUNT_REQUIRED:
            if member not in values:
                raise ValueError(f"{member}: is missing")
        return Account(**values)

    def _transfer(self, values: dict[str, Any], number: int) -> Transfer:
        if "id" not in values:
            values["id"] = row_id(self.sha256, number)
        return Transfer(**values)


def _read(member: str, reading: Callable[[Any], Any], cell: Any) -> Any:
    """Read one cell; None when it is blank. A problem is told with the member's name."""
    if isinstance(cell, str) and not cell.strip():
        return None
    try:
        return reading(cell)
    except ValueError as error:
        raise ValueError(f"{member}: {str(error).removeprefix(f'{member}: ')}") from None


def _integer(cell: Any) -> int:
    if type(cell) is int:
        return cell
    text = str(cell)
    if not (text.isascii() and text.isdigit()):
        text = text.strip()
    if not _DIGITS.fullmatch(text):
        raise ValueError(f"{text!r} is not a whole number")
    return int(text)


def _amount(cell: Any, decimals: int) -> int:
    if type(cell) is int:
        return cell * int(10**decimals)
    match = _DECIMAL.fullmatch(format(cell, "f") if isinstance(cell, Decimal) else str(cell).strip())
    if match is None:
        raise ValueError(f"{str(cell)!r} is not a number" if decimals else f"{str(cell)!r} is not a whole number")
    whole, fraction = match.group(1), (match.group(2) or "").rstrip("0")
    if len(fraction) > decimals:
        raise ValueError(f"{str(cell)!r} has more than {decimals} decimals")
    return int(whole + fraction.ljust(decimals, "0"))


def _uuid(cell: Any) -> int:
    if isinstance(cell, bytes):
        if len(cell) != 16:
            raise ValueError(f"{len(cell)} bytes are not a UUID")
        return int.from_bytes(cell)
    if type(cell) is int:
        raise ValueError(f"{cell} is not UUID text")
    return id128(cell if isinstance(cell, uuid.UUID) else str(cell).strip())


def _flags(cell: Any) -> list[str]:
    return [name for name in re.split(r"[|;,\s]+", cell) if name] if isinstance(cell, str) else list(cell)


def _timestamp(cell: Any) -> int:
    """Nanoseconds since 1970, or ISO 8601; UTC where no offset is given."""
    if type(cell) is int:
        return cell
    if isinstance(cell, date) and not isinstance(cell, datetime):
        cell = cell.isoformat()
    text = str(cell).strip()
    if _DIGITS.fullmatch(text):
        return int(text)
    if not _TIME.fullmatch(text):
        raise ValueError(f"{text!r} is neither nanoseconds nor a date and time (2026-01-31T12:00:00Z)")
    moment = datetime.fromisoformat(text)
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    since = moment - _EPOCH
    return (since.days * 86_400 + since.seconds) * 10**9 + since.microseconds * 1000
