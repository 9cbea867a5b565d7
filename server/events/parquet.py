"""Events as Parquet files: a folder per kind and date, whole files only, each event once.

    DIR/trades/date=2026-11-23/00000000000000000008-3_00000000000000000019-7.parquet

A file is called by its first and last event. Files are written under other names, then the position is replaced,
which is what makes them count, then they are renamed; who finds the position with files that are not renamed yet
renames them. So there is never a part of a file, and after a crash nothing is missing and nothing there twice.
"""

import asyncio
import contextlib
import os
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from engine import Engine
from server.events.errors import EventsError
from server.events.maker import KINDS, Event
from server.events.position import State, read_state, write_state
from server.events.publisher import CHUNK_EVENTS, Chunk, Mark
from server.journal.cluster import sync_directory

T = TypeVar("T")
RETRY_SECONDS = 1.0
POSITION = "_position.json"
"""Readers of such folders leave out what begins with an underscore or a dot."""
WRITING = ".writing"
LEDGER = {
    "ledger": (pa.int64(), "currency or asset"),
    "code": (pa.int64(), "in the chart of accounts, or the kind of transfer"),
}
INTEGER, TEXT = pa.int64(), pa.string()
COMMON: dict[str, tuple[pa.DataType, str]] = {
    "seq": (INTEGER, "log entry"),
    "place": (INTEGER, "place among the entry's events, from 0; seq-place is the event's id"),
    "timestamp": (INTEGER, "nanoseconds since 1970-01-01 UTC"),
    "at": (pa.timestamp("us", "UTC"), "the same moment in microseconds, rounded down"),
}
MEMBERS: dict[str, dict[str, tuple[pa.DataType, str]]] = {
    "transfers": {
        "id": (TEXT, "UUID of the transfer"),
        "debit_account_id": (INTEGER, "account that is debited"),
        "credit_account_id": (INTEGER, "account that is credited"),
        "amount": (INTEGER, "minor units"),
        **LEDGER,
        "flags": (pa.list_(TEXT), "as in the protocol"),
        "status": (TEXT, "what it was when it was made: posted, pending, voided"),
        "pending_id": (TEXT, "the pending transfer that it posts or voids"),
        "timeout": (INTEGER, "seconds until a pending transfer expires"),
        "trade_id": (INTEGER, "the trade that it settles"),
        "user_data_128": (TEXT, "the client's own"),
        "user_data_64": (pa.uint64(), "the client's own"),
        "user_data_32": (INTEGER, "the client's own"),
    },
    "trades": {
        "trade_id": (INTEGER, "from 1 without gaps"),
        "instrument": (TEXT, "symbol"),
        "price": (INTEGER, "in the instrument's unit"),
        "quantity": (INTEGER, "base units, or lots of a future"),
        "taker_side": (TEXT, "side of the order that came later"),
        "state": (TEXT, "done; told again as busted or corrected"),
        "corrects": (INTEGER, "the trade that this one stands for"),
        "notional": (INTEGER, "minor units of the quote ledger"),
        "buy_order_id": (INTEGER, "order of the buyer"),
        "sell_order_id": (INTEGER, "order of the seller"),
        "buy_account_id": (INTEGER, "trading account of the buyer"),
        "sell_account_id": (INTEGER, "trading account of the seller"),
        "buy_fee": (INTEGER, "commission and transfer fee of the buyer"),
        "sell_fee": (INTEGER, "commission and transfer fee of the seller"),
        "duty": (INTEGER, "stamp duty of the seller"),
        "business_date": (INTEGER, "yyyymmdd; 0 before the first was told"),
    },
    "executions": {
        "exec_id": (INTEGER, "from 1 without gaps"),
        "kind": (TEXT, "what happened to the order"),
        "order_id": (INTEGER, "the order"),
        "client_order_id": (TEXT, "UUID that the client gave it"),
        "account_id": (INTEGER, "trading account"),
        "instrument": (TEXT, "symbol"),
        "side": (TEXT, "buy or sell"),
        "type": (TEXT, "type of the order"),
        "price": (INTEGER, "of the order"),
        "quantity": (INTEGER, "of the order"),
        "status": (TEXT, "of the order after it"),
        "reason": (TEXT, "why it was refused, canceled or not changed"),
        "leaves_qty": (INTEGER, "what may still trade"),
        "cum_qty": (INTEGER, "what has traded"),
        "trade_id": (INTEGER, "of a fill"),
        "last_px": (INTEGER, "price of the fill"),
        "last_qty": (INTEGER, "quantity of the fill"),
        "fee": (INTEGER, "of the fill, this side's"),
    },
    "balances": {
        "account_id": (INTEGER, "account"),
        **LEDGER,
        "debits_pending": (INTEGER, "after the log entry, minor units"),
        "debits_posted": (INTEGER, "after the log entry, minor units"),
        "credits_pending": (INTEGER, "after the log entry, minor units"),
        "credits_posted": (INTEGER, "after the log entry, minor units"),
    },
    "alerts": {
        "name": (TEXT, "which alert"),
        "details": (TEXT, "its other members, a JSON object"),
    },
}
"""Columns by kind: what they hold, and what it is. What an event has not is null."""


def schema_of(kind: str, log_id: bytes) -> pa.Schema:
    """Return the columns of a kind, with a comment for each."""
    columns = COMMON | MEMBERS[kind]
    fields = [pa.field(name, kind_of, metadata={"comment": comment}) for name, (kind_of, comment) in columns.items()]
    return pa.schema(fields, metadata={"tongbao.log_id": log_id.hex(), "tongbao.events": "1"})


class Parquet:
    """The target. Use it from one task."""

    name = "parquet"
    events_max = CHUNK_EVENTS
    dead = 0
    drains = True

    def __init__(self, directory: Path, rows_max: int, seconds: float) -> None:
        """A set of files is written when so many events wait, or one has waited so long."""
        self.trouble: str | None = None
        self.settled: Mark | None = None
        self._directory = directory
        self._rows_max = rows_max
        self._seconds = seconds
        self._waiting: list[tuple[int, Event]] = []
        self._mark: Mark | None = None
        """Where we are with all that waits."""
        self._unsure: tuple[Mark, int] | None = None
        """What was being written when writing broke off: where it leads to, and how many events."""
        self._timer: asyncio.Task[None] | None = None
        self._lock = asyncio.Lock()

    def begin(self, engine: Engine) -> None:
        """Events have all that is needed."""

    async def open(self) -> Mark | None:
        """Read where it is; bring what a crash has left into order."""
        self._waiting, self._mark, self._unsure, self.trouble = [], None, None, None
        self.settled = await asyncio.to_thread(_recover, self._directory)
        return self.settled

    async def publish(self, before: Mark | None, chunk: Chunk) -> None:
        """Take events; they are written when there are enough, or when it is time."""
        if self.settled is None:
            self.settled = before if before is not None else Mark(chunk.mark.log_id, 0, b"")
        async with self._lock:
            self._waiting += chunk.events
            self._mark = chunk.mark
            if len(self._waiting) >= self._rows_max:
                await self._write()
        if self._timer is None:
            self._timer = asyncio.create_task(self._write_later())

    async def close(self) -> None:
        """Write what waits."""
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
            await asyncio.gather(timer, return_exceptions=True)
        async with self._lock:
            await self._write()

    async def _write_later(self) -> None:
        """Write what waits when it is time; what cannot be written is tried again."""
        pause = self._seconds
        while True:
            await asyncio.sleep(pause)
            async with self._lock:
                try:
                    await self._write()
                except (OSError, pa.ArrowException) as error:
                    self.trouble = f"{type(error).__name__}: {error}"
                    pause = RETRY_SECONDS
                    continue
                self.trouble = None
                self._timer = None
                return

    async def _write(self) -> None:
        """Write everything that waits, and be there."""
        if self._unsure is not None:
            # Writing broke off; it counts if the position was replaced.
            mark, count = self._unsure
            if await _to_the_end(_recover, self._directory) == mark:
                self.settled, self._waiting = mark, self._waiting[count:]
            self._unsure = None
        if self._mark is None or self._mark == self.settled:
            return
        mark, events = self._mark, self._waiting
        self._unsure = mark, len(events)
        await _to_the_end(write_files, self._directory, mark, events)
        self.settled, self._waiting, self._unsure = mark, [], None


async def _to_the_end(work: Callable[..., T], *arguments: Any) -> T:
    """Run it in a thread. That cannot be cancelled: whoever is cancelled waits for its end."""
    working = asyncio.create_task(asyncio.to_thread(work, *arguments))
    try:
        return await asyncio.shield(working)
    except asyncio.CancelledError:
        await asyncio.gather(working, return_exceptions=True)
        raise


def write_files(directory: Path, mark: Mark, events: Iterable[tuple[int, Event]]) -> None:
    """Write events behind the position on disk, in files per kind and date, and move the position to `mark`."""
    parts: dict[tuple[str, str], list[tuple[int, int, dict[str, Any]]]] = {}
    for seq, event in events:
        document = msgspec.json.decode(event.data)
        day = datetime.fromtimestamp(document["timestamp"] // 10**9, UTC).date().isoformat()
        parts.setdefault((KINDS[event.kind], day), []).append((seq, event.place, document))
    directory.mkdir(parents=True, exist_ok=True)
    names = []
    for (kind, day), rows in parts.items():
        folder = directory / kind / f"date={day}"
        folder.mkdir(parents=True, exist_ok=True)
        name = f"{rows[0][0]:020d}-{rows[0][1]}_{rows[-1][0]:020d}-{rows[-1][1]}.parquet"
        path = folder / f".{name}{WRITING}"
        pq.write_table(_table(kind, mark.log_id, rows), path, compression="zstd")
        _sync_file(path)
        sync_directory(folder)
        names.append(f"{kind}/date={day}/{name}")
    write_state(directory / POSITION, State(mark, 0, "", {"files": names}))
    _rename(directory, names)


def _table(kind: str, log_id: bytes, rows: list[tuple[int, int, dict[str, Any]]]) -> pa.Table:
    schema = schema_of(kind, log_id)
    columns: dict[str, list[Any]] = {
        "seq": [row[0] for row in rows],
        "place": [row[1] for row in rows],
        "timestamp": [row[2]["timestamp"] for row in rows],
        "at": [row[2]["timestamp"] // 1000 for row in rows],
    }
    datas = [row[2]["data"] for row in rows]
    for name in MEMBERS[kind]:
        if kind == "alerts" and name == "details":
            columns[name] = [
                msgspec.json.encode({key: value for key, value in data.items() if key != "name"}).decode()
                for data in datas
            ]
        else:
            columns[name] = [data.get(name) for data in datas]
    return pa.table(columns, schema=schema)


def _recover(directory: Path) -> Mark | None:
    """Return the position; rename files that count already, remove those that never will."""
    state = read_state(directory / POSITION)
    if state.mark is None and any(directory.glob("*/date=*/*.parquet")):
        raise EventsError(
            f"parquet_dir: there are files in {directory} and no {POSITION}: they are not ours, or it was deleted. "
            "Choose an empty directory"
        )
    _rename(directory, state.extra.get("files", []))
    for path in directory.glob(f"*/date=*/.*{WRITING}"):
        path.unlink()
    return state.mark


def _rename(directory: Path, names: Iterable[str]) -> None:
    folders = set()
    for name in names:
        path = directory / name
        with contextlib.suppress(FileNotFoundError):  # it has been renamed
            path.with_name(f".{path.name}{WRITING}").replace(path)
            folders.add(path.parent)
    for folder in folders:
        sync_directory(folder)


def _sync_file(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
