"""NumPy columns as the bytes of PostgreSQL's binary COPY, without Python work per row.

A row is laid out as one record of fixed width: the number of columns, then per column a length and a value, big-endian.
Rows whose values take different room (names, nulls) are laid out at the widest, and the bytes that do not belong are
taken out in one step. So a million rows cost what a dozen passes over memory cost.

    "bigint" "integer" "smallint"   int64 (or uint64 below 2^63), int32, int16
    "numeric"                       uint64
    "uuid"                          pair of uint64 arrays, low half first
    "timestamptz"                   int64: microseconds since 2000-01-01 UTC
    "date"                          int32: days since 2000-01-01
    "boolean"                       bool
    "label"                         numbers of an enumeration, with its names
    "text"                          fixed-width bytes (dtype S), ASCII
    "bytes"                         a list of bytes objects, for what is rare
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"

INT63 = np.uint64(2**63)
NUMERIC_DIGITS = 5
"""Groups of four decimal digits that a uint64 needs."""

Array = npt.NDArray[Any]


class Column(NamedTuple):
    """One column of some rows."""

    kind: str
    values: Any
    present: Array | None = None
    """Where it is not null; None: everywhere."""
    names: tuple[bytes, ...] = ()
    """Of a "label": names by number."""


def arranged(columns: Sequence[Column], by: Array) -> list[Column]:
    """The same rows in the order of a key."""
    order = np.argsort(by, kind="stable")
    return [
        column._replace(
            values=tuple(half[order] for half in column.values) if column.kind == "uuid" else column.values[order],
            present=None if column.present is None else column.present[order],
        )
        for column in columns
    ]


def encode(columns: Sequence[Column], count: int) -> bytes:
    """Return the bytes of `count` rows, without header and trailer. Raises ValueError for a number out of range."""
    if count == 0:
        return b""
    laid = [_lay(column, count) for column in columns]
    fields: list[Any] = [("count", ">i2")]
    for number, (_, value, _) in enumerate(laid):
        fields.append((f"n{number}", ">i4"))
        if value is not None:
            fields.append((f"v{number}", value.dtype, value.shape[1:]))
    record = np.dtype(fields)
    rows = np.empty(count, dtype=record)
    template = np.zeros(1, dtype=record)
    template["count"] = len(columns)
    for number, (width, _, _) in enumerate(laid):
        if not isinstance(width, np.ndarray):
            template[f"n{number}"] = width
    rows[:] = template
    keep: Array | None = None
    for number, (width, value, lengths) in enumerate(laid):
        if value is None:
            continue
        rows[f"v{number}"] = value
        if lengths is None:
            continue
        rows[f"n{number}"] = width
        if keep is None:
            keep = np.ones((count, record.itemsize), dtype=bool)
        offset = record.fields[f"v{number}"][1]  # type: ignore[index]
        size = record.fields[f"v{number}"][0].itemsize  # type: ignore[index]
        keep[:, offset : offset + size] = np.arange(size) < lengths[:, None]
    if keep is None:
        return rows.tobytes()
    flat: bytes = rows.view(np.uint8).reshape(count, record.itemsize)[keep].tobytes()
    return flat


Laid = tuple[Any, Array | None, Array | None]
"""The length field (one or an array), the values, and where they vary how many bytes of each count."""


def _lay(column: Column, count: int) -> Laid:
    present = column.present
    if present is not None:
        if not present.any():
            return -1, None, None
        if present.all():
            present = None
    width, value, lengths = _value(column, count)
    if present is None:
        return width, value, lengths
    if lengths is None:
        lengths = np.full(count, width)
    return np.where(present, lengths, -1), value, np.where(present, lengths, 0)


def _value(column: Column, count: int) -> Laid:
    kind, values = column.kind, column.values
    if kind in {"bigint", "timestamptz"}:
        if values.dtype == np.uint64 and bool((values >= INT63).any()):
            at_fault = values if column.present is None else values[column.present]
            if bool((at_fault >= INT63).any()):
                raise ValueError(f"{int(at_fault.max())} does not fit into 64 bits with a sign")
        return 8, values.astype(">i8"), None
    if kind in {"integer", "date"}:
        return 4, values.astype(">i4"), None
    if kind == "smallint":
        return 2, values.astype(">i2"), None
    if kind == "boolean":
        return 1, values.astype(np.uint8), None
    if kind == "numeric":
        return 8 + 2 * NUMERIC_DIGITS, _numeric(values, count), None
    if kind == "uuid":
        low, high = values
        both = np.empty((count, 2), dtype=">u8")
        both[:, 0], both[:, 1] = high, low
        return 16, both, None
    if kind == "label":
        return _text(np.array(column.names)[values], count)
    if kind == "text":
        return _text(values, count)
    if kind == "bytes":
        return _ragged(values)
    raise KeyError(kind)


def _numeric(values: Array, count: int) -> Array:
    """Five groups of digits each; PostgreSQL takes the leading zeros off."""
    digits = np.zeros((count, 4 + NUMERIC_DIGITS), dtype=">i2")
    digits[:, 0], digits[:, 1] = NUMERIC_DIGITS, NUMERIC_DIGITS - 1  # how many, weight of the first; sign, scale: 0
    rest = values.astype(np.uint64)
    for place in range(3 + NUMERIC_DIGITS, 3, -1):
        rest, digits[:, place] = np.divmod(rest, np.uint64(10_000))
    return digits


def _text(values: Array, count: int) -> Laid:
    lengths = np.char.str_len(values)
    longest = int(lengths.max())
    if longest == 0:
        return 0, None, None
    value = np.ascontiguousarray(values.astype(f"S{longest}")).view(np.uint8).reshape(count, longest)
    return (longest, value, None) if int(lengths.min()) == longest else (lengths, value, lengths)


def _ragged(values: Sequence[bytes]) -> Laid:
    lengths = np.array([len(value) for value in values])
    longest = int(lengths.max())
    if longest == 0:
        return 0, None, None
    joined = np.zeros((len(values), longest), dtype=np.uint8)
    for row, value in zip(joined, values, strict=True):
        row[: len(value)] = np.frombuffer(value, dtype=np.uint8)
    return lengths, joined, lengths
