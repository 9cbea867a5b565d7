"""Looking into the engine's stores without a Python loop: fingerprints, searches, sets of slots."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from engine import Engine
from engine.results import TransferState
from server.projection import columns
from server.projection.columns import Columns

Array = npt.NDArray[Any]
Parts = Callable[[], Iterator[tuple[Columns, int]]]

CHUNK_ROWS = 8_192
"""Rows that are made into bytes in one turn of the event loop: a few milliseconds."""
SECOND = np.uint64(1_000_000_000)
GROUPS = ("account_groups", "instrument_groups", "named_groups")
FINGERPRINTED = (
    "holdings", "instruments", "positions", "position_risks", "limit_pairs", "proposals",
    *(f"{store}.{part}" for store in GROUPS for part in ("limits", "exposure")),
)  # fmt: skip
"""Stores, or parts of their records, of which a fingerprint per record is kept."""
_ROWS = 16_384
_MULTIPLIERS = np.random.default_rng().integers(0, 2**63, 64, dtype=np.uint64) * np.uint64(2) + np.uint64(1)


def fingerprints(engine: Engine, name: str) -> Array:
    """A number per record, which is another one (but for a chance of 2^-64) when the record is.

    Each word is mixed and multiplied by a random odd number of this process; nobody can aim at a collision.
    """
    store, _, part = name.partition(".")
    records = engine.array(store)
    found = np.empty(len(records), dtype=np.uint64)
    for first in range(0, len(records), _ROWS):
        some = records[first : first + _ROWS]
        words = np.ascontiguousarray(some[part] if part else some).view(np.uint64).reshape(len(some), -1)
        sums = ((words ^ (words >> np.uint64(32))) * _MULTIPLIERS[: words.shape[1]]).sum(axis=1)
        if part == "limits":
            sums += some["updated"] * _MULTIPLIERS[-1]
        found[first : first + _ROWS] = sums
    return found


def find(engine: Engine, timestamps: Array) -> Array:
    """Slots of the transfers of these timestamps; those that are not there are left out."""
    stored = engine.array("transfers")["timestamp"]
    low = np.zeros(len(timestamps), dtype=np.int64)
    high = np.full(len(timestamps), len(stored), dtype=np.int64)
    while (open_ := low < high).any():
        middle = np.where(open_, (low + high) // 2, 0)
        less = open_ & (stored[middle] < timestamps)
        low = np.where(less, middle + 1, low)
        high = np.where(open_ & ~less, middle, high)
    there = low < len(stored)
    low, timestamps = low[there], timestamps[there]
    found: Array = low[stored[low] == timestamps].astype(np.uint32)
    return found


def timed(transfers: Array, slots: Array) -> tuple[Array, Array]:
    """Those of some transfers that are pending and have a timeout, and when it ends."""
    records = transfers[slots]
    kept = (records["state"] == TransferState.PENDING) & (records["timeout"] != 0)
    records = records[kept]
    return slots[kept], records["timestamp"] + records["timeout"].astype(np.uint64) * SECOND


def distinct(arrays: Sequence[Array], end: int) -> Array:
    """Return the slots below `end` that are named, each once, in order."""
    named = sum(len(array) for array in arrays)
    if named * 16 > end:
        marks = np.zeros(end, dtype=bool)
        for array in arrays:
            marks[array[array < end]] = True
        return np.flatnonzero(marks).astype(np.uint32)
    together = np.concatenate([array.astype(np.uint32) for array in arrays])
    return np.unique(together[together < end])


# --- rows in parts ------------------------------------------------------------------------------------


def ranges(build: Callable[[int, int], Columns], first: int, end: int) -> Parts:
    """Parts of the records first … end - 1."""

    def parts() -> Iterator[tuple[Columns, int]]:
        for start in range(first, end, CHUNK_ROWS):
            stop = min(start + CHUNK_ROWS, end)
            yield build(start, stop), stop - start

    return parts


def picks(build: Callable[[Array, slice], Columns], slots: Array) -> Parts:
    """Parts of the records in some slots; `build` gets slots, and where they stand among all."""

    def parts() -> Iterator[tuple[Columns, int]]:
        for start in range(0, len(slots), CHUNK_ROWS):
            at = slice(start, start + CHUNK_ROWS)
            yield build(slots[at], at), len(slots[at])

    return parts


def captured(build: Callable[..., Columns], slots: Array, stores: Sequence[Array], *, static: bool) -> Parts:
    """Parts of records that may change later: `build(slots, *records)`. They are copied now, unless `static`."""
    if static:
        return picks(lambda some, _: build(some, *(store[some] for store in stores)), slots)
    copies = [store[slots] for store in stores]
    return picks(lambda some, at: build(some, *(copy[at] for copy in copies)), slots)


def narrowed(parts: Parts, names: Sequence[str]) -> Parts:
    """Only some of the columns."""

    def chosen() -> Iterator[tuple[Columns, int]]:
        for every, count in parts():
            yield {name: every[name] for name in names}, count

    return chosen


def groups_of(store: str, table: str, records: Array) -> Callable[[Array], Columns]:
    """How rows of `limits` or `exposures` are made of a store of groups."""
    build = columns.limits if table == "limits" else columns.exposures
    return lambda slots: build(store, slots, records[slots])
