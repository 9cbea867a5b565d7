"""Which rows of the tables are new or have changed since the tables were last written, found in the engine itself.

Nothing is collected per command. The engine's big stores are only appended to, so new rows are what stands behind a
cursor, and they name what they changed: a transfer its accounts and the pending one that it ends, an execution its
order. What is left:

- A pending transfer expires without a row of its own: those with a timeout are kept as (time, slot), 12 bytes each.
- Orders hold money without a transfer; positions, exposures, instruments, limits move with the market. Of these stores
  a fingerprint per record is kept (8 bytes), and a record with another one has changed.
- `update_accounts` changes accounts without a trace in a store: the numbers of these are noted row by row.

`capture` says what is to be written for the state as it is now. It copies what can change later (balances, orders), and
of the append-only stores only says from where to where, so that writing may take its time while the engine goes on.
`confirm` moves on, when what was captured is known to be committed.
"""

from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from engine import Batch, Engine
from engine.results import TransferState
from server import batches
from server.journal import Row
from server.projection import columns
from server.projection.columns import NONE, Columns
from server.projection.stores import (
    CHUNK_ROWS,
    FINGERPRINTED,
    GROUPS,
    Parts,
    captured,
    distinct,
    find,
    fingerprints,
    groups_of,
    narrowed,
    picks,
    ranges,
    timed,
)

Array = npt.NDArray[Any]

NOTES_MAX = 1 << 20
"""Rows of the log of which we remember what `batches` says; those behind them are read again from the log."""
_EMPTY = np.zeros(0, dtype=np.uint64)

COUNTED = (
    "accounts", "transfers", "trading_accounts", "links", "instruments", "orders", "executions", "trades", "positions",
    "named_groups", "limit_pairs", "proposals",
)  # fmt: skip
"""The engine's stores, and the columns of `progress` that count their records."""


class Mark(NamedTuple):
    """A state of the tables: the row of the log, and how many records there were."""

    seq: int
    log_hash: bytes
    timestamp: int
    counts: dict[str, int]


NOTHING = Mark(0, b"", 0, dict.fromkeys(COUNTED, 0))
"""Empty tables."""


@dataclass(slots=True)
class Write:
    """Rows for one table, in parts of at most CHUNK_ROWS."""

    table: str
    rows: int
    parts: Parts
    """Give columns and their number of rows."""
    key: tuple[str, ...] = ()
    """Of changed rows: the columns that find them. Empty: the rows are new."""


@dataclass(slots=True)
class Work:
    """What brings the tables from one mark to the next."""

    before: Mark
    after: Mark
    writes: list[Write]
    missing: tuple[int, int] | None
    """Rows of the log, first and last, that `batches` still needs and that must be read from it."""
    settle: dict[str, Any] = field(default_factory=dict)
    """What the tracker takes over when it is committed."""

    @property
    def rows(self) -> int:
        """How many rows of tables it writes, those of `missing` left out."""
        return sum(write.rows for write in self.writes)


class Changes:
    """The tracker: between two marks."""

    def __init__(self, engine: Engine, mark: Mark, seq: int, log_hash: bytes, pending: Array) -> None:
        """`mark`: what the tables hold; the engine is at row `seq`, there or further.

        `pending`: timestamps of the transfers that the tables know as pending.
        """
        self.mark = mark
        self.seq = seq
        self.log_hash = log_hash
        self._engine = engine
        self._updated: set[int] = set()
        self._notes = array("q")
        self._noted_from = seq + 1
        self._jump = mark.seq != seq or not mark.log_hash
        """The tables are of an earlier state than the tracker's beginning: all that may have changed is compared."""
        known = find(engine, pending)
        transfers = engine.array("transfers")
        self._settled = known[transfers["state"][known] != TransferState.PENDING]
        """Transfers that are pending in the tables, and were not any more when the tracker began."""
        self._timed, self._due = timed(transfers, known)
        """Pending transfers with a timeout, and when it ends."""
        self._now: dict[str, Array] = {}
        self._prints = {} if self._jump else {name: fingerprints(engine, name) for name in FINGERPRINTED}

    def note(self, row: Row, batch: Batch | None) -> None:
        """Note a row that was just applied."""
        self.seq, self.log_hash = row.seq, row.hash
        items = 0
        if batch is not None:
            items = batches.survey(batch).items
            changed = batches.updated_accounts(batch)
            if len(changed):
                self._updated.update(changed.tolist())
        if len(self._notes) < 5 * NOTES_MAX:
            self._notes.extend((row.seq, row.epoch, row.kind, items, row.time))

    @property
    def behind(self) -> bool:
        """Whether there is something to write."""
        return self.mark.seq != self.seq

    # --- capture ---------------------------------------------------------------------------------

    def capture(self, *, static: bool = False) -> Work:
        """Say what is to be written for the state as it is. `static`: the engine stands still, so copy nothing."""
        engine = self._engine
        counts = {name: len(engine.array(name)) for name in COUNTED}
        after = Mark(self.seq, self.log_hash, engine.last_timestamp, counts)
        writes: list[Write] = []
        self._now = {}
        settle: dict[str, Any] = {"updated": self._updated, "notes": len(self._notes)}
        self._updated = set()
        missing = self._capture_batches(writes)
        self._capture_ledger(writes, settle, counts, static=static)
        if counts["instruments"] or counts["trading_accounts"]:
            self._capture_trading(writes, counts, static=static)
        settle["prints"] = self._capture_fingerprinted(writes)
        return Work(self.mark, after, [write for write in writes if write.rows], missing, settle)

    def confirm(self, work: Work) -> None:
        """What was captured is committed."""
        self.mark = work.after
        del self._notes[: work.settle["notes"]]
        self._noted_from = work.after.seq + 1
        self._timed, self._due = work.settle["timed"]
        self._prints.update(work.settle["prints"])
        self._settled = self._settled[:0]
        self._jump = False

    def give_back(self, work: Work) -> None:
        """What was captured is not committed: it will be captured again."""
        self._updated |= work.settle["updated"]

    def _capture_batches(self, writes: list[Write]) -> tuple[int, int] | None:
        notes = np.frombuffer(self._notes.tobytes(), dtype=np.int64).reshape(-1, 5)
        noted = notes[notes[:, 0] > self.mark.seq]

        def part(first: int, end: int) -> Columns:
            seqs, epochs, kinds, items, times = noted[first:end].T
            return columns.batches(seqs, epochs, kinds, items, times)

        writes.append(Write("batches", len(noted), ranges(part, 0, len(noted))))
        if len(noted) == self.seq - self.mark.seq:
            return None
        if len(noted) and noted[-1, 0] == self.seq:
            return self.mark.seq + 1, int(noted[0, 0]) - 1
        # Too much was noted meanwhile: leave the notes, and take all from the log.
        writes.pop()
        return self.mark.seq + 1, self.seq

    def _capture_ledger(
        self, writes: list[Write], settle: dict[str, Any], counts: dict[str, int], *, static: bool
    ) -> None:
        engine, before = self._engine, self.mark.counts
        transfers = engine.array("transfers")
        first, end = before["transfers"], counts["transfers"]
        new = transfers[first:end]
        states = new["state"] if static else new["state"].astype(np.uint8)
        legs = columns.TradeLegs(engine, before["trades"])
        write = ranges(lambda a, b: columns.transfers(engine, a, b, states[a - first : b - first], legs), first, end)
        writes.append(Write("transfers", end - first, write))

        # What was pending, and is not any more: ended by a new transfer, or by time.
        ended = new["pending"][new["pending"] != NONE]
        ended = ended[ended < first]
        due = self._due <= engine.last_timestamp
        candidates = self._timed[due]
        expired = candidates[transfers["state"][candidates] == TransferState.EXPIRED]
        changed = np.unique(np.concatenate([ended, expired, self._settled]).astype(np.uint32))
        changed_states = transfers["state"][changed].astype(np.uint8)
        write = picks(lambda some, at: columns.transfer_states(engine, some, changed_states[at]), changed)
        writes.append(Write("transfers", len(changed), write, ("transfer_id", "at")))
        settle["timed"] = self._timed_after(first, end, due)

        # Accounts.
        known, all_accounts = before["accounts"], counts["accounts"]
        accounts, details = engine.array("accounts"), engine.array("details")
        if self._jump:
            touched = np.arange(known, dtype=np.uint32)
        else:
            holdings = self._changed("holdings")
            held = engine.array("holdings")[holdings]
            updated = [slot for slot in engine.find(account_ids=list(settle["updated"])) if slot is not None]
            touched = distinct(
                (new["debit"], new["credit"], transfers["debit"][expired], transfers["credit"][expired],
                 held["account"], held["clearing"][held["clearing"] != NONE], np.array(updated, dtype=np.uint32)),
                known,
            )  # fmt: skip
        for slots, key in ((np.arange(known, all_accounts, dtype=np.uint32), ()), (touched, ("account_id",))):
            parts = captured(lambda _, *both: columns.accounts(*both), slots, (accounts, details), static=static)
            if key:
                parts = narrowed(parts, (*key, *columns.ACCOUNTS_CHANGING))
            writes.append(Write("accounts", len(slots), parts, key))

    def _timed_after(self, first: int, end: int, due: Array) -> tuple[Array, Array]:
        """The pending transfers with a timeout, when what is captured now is settled."""
        transfers = self._engine.array("transfers")
        kept, kept_due = self._timed, self._due
        if due.any():
            stays = ~due | (transfers["state"][kept] == TransferState.PENDING)
            kept, kept_due = kept[stays], kept_due[stays]
        new = transfers[first:end]
        added = np.flatnonzero((new["timeout"] != 0) & (new["state"] == TransferState.PENDING)) + first
        if len(added):
            more, more_due = timed(transfers, added.astype(np.uint32))
            kept, kept_due = np.concatenate([kept, more]), np.concatenate([kept_due, more_due])
        return kept, kept_due

    def _capture_trading(self, writes: list[Write], counts: dict[str, int], *, static: bool) -> None:
        engine, before = self._engine, self.mark.counts
        first, end = before["trading_accounts"], counts["trading_accounts"]
        made = engine.array("trading_accounts")
        writes.append(
            Write("trading_accounts", end - first, ranges(lambda a, b: columns.trading_accounts(made[a:b]), first, end))
        )
        first, end = before["links"], counts["links"]
        writes.append(
            Write("trading_account_links", end - first, ranges(lambda a, b: columns.links(engine, a, b), first, end))
        )
        executions, trades = engine.array("executions"), engine.array("trades")
        first, end = before["executions"], counts["executions"]
        writes.append(
            Write("executions", end - first, ranges(lambda a, b: columns.executions(engine, a, b), first, end))
        )
        news = executions[first:end]

        known_trades, all_trades = before["trades"], counts["trades"]
        states = trades["state"][known_trades:].astype(np.uint8)
        write = ranges(
            lambda a, b: columns.trades(engine, a, b, states[a - known_trades : b - known_trades]),
            known_trades, all_trades,
        )  # fmt: skip
        writes.append(Write("trades", all_trades - known_trades, write))
        if self._jump:
            undone = np.flatnonzero(trades["state"][:known_trades])
        else:
            named = np.unique(news["trade"][news["trade"] != NONE])
            named = np.concatenate([named, trades["corrects"][named]])
            undone = distinct((named[named != NONE],), known_trades)
            undone = undone[trades["state"][undone] != 0]
        undone_states = trades["state"][undone].astype(np.uint8)
        write = picks(lambda some, at: columns.trade_states(engine, some, undone_states[at]), undone)
        writes.append(Write("trades", len(undone), write, ("trade_id", "at")))

        orders, details = engine.array("orders"), engine.array("order_details")
        known, all_orders = before["orders"], counts["orders"]
        if self._jump:
            touched = np.flatnonzero(details["updated"][:known] > self.mark.timestamp).astype(np.uint32)
        else:
            touched = distinct((news["order"],), known)
        for slots, key in ((np.arange(known, all_orders, dtype=np.uint32), ()), (touched, ("order_id",))):
            parts = captured(
                lambda some, *both: columns.orders(engine, some, *both), slots, (orders, details), static=static
            )
            if key:
                parts = narrowed(parts, (*key, *columns.ORDERS_CHANGING))
            writes.append(Write("orders", len(slots), parts, key))

    # --- stores of which fingerprints are kept ---------------------------------------------------

    def _changed(self, store: str) -> Array:
        """Slots of records that are not as they were, new ones included."""
        now = self._now.setdefault(store, fingerprints(self._engine, store))
        was = self._prints.get(store, _EMPTY)
        common = min(len(was), len(now))
        return np.concatenate([np.flatnonzero(now[:common] != was[:common]), np.arange(common, len(now))])

    def _capture_fingerprinted(self, writes: list[Write]) -> dict[str, Array]:
        engine, before = self._engine, self.mark.counts

        found: dict[tuple[str, tuple[str, ...]], list[tuple[Columns, int]]] = {}

        def add(
            table: str, changed: Array, known: int, key: tuple[str, ...], build: Callable[[Array], Columns]
        ) -> None:
            """New rows and changed ones. They are built now: these stores are small, and what changed is less."""
            for slots, by in ((changed[changed >= known], ()), (changed[changed < known], key)):
                for first in range(0, len(slots), CHUNK_ROWS):
                    some = slots[first : first + CHUNK_ROWS]
                    found.setdefault((table, by), []).append((build(some), len(some)))

        instruments = engine.array("instruments")
        add(
            "instruments", self._changed("instruments"), before["instruments"], columns.INSTRUMENTS_KEY,
            lambda slots: columns.instruments(slots, instruments[slots]),
        )  # fmt: skip
        positions, risks = engine.array("positions"), engine.array("position_risks")

        def build_positions(slots: Array) -> Columns:
            values = np.zeros(len(slots), dtype=risks.dtype)
            there = slots < len(risks)
            values[there] = risks[slots[there]]
            return columns.positions(engine, positions[slots], values)

        moved = np.union1d(self._changed("positions"), self._changed("position_risks"))
        add("positions", moved, before["positions"], columns.POSITIONS_KEY, build_positions)
        known_groups = (before["trading_accounts"], before["instruments"], before["named_groups"])
        for store, known in zip(GROUPS, known_groups, strict=True):
            groups = engine.array(store)
            for table, part in (("limits", "limits"), ("exposures", "exposure")):
                changed = self._changed(f"{store}.{part}")
                if store == "named_groups":
                    changed = changed[changed != columns.GROUP_NEUTRAL]
                add(table, changed, known, columns.GROUPS_KEY, groups_of(store, table, groups))
        pairs, made = engine.array("limit_pairs"), engine.array("proposals")
        add(
            "limits_by_instrument", self._changed("limit_pairs"), before["limit_pairs"], columns.PAIRS_KEY,
            lambda slots: columns.pairs(engine, pairs[slots]),
        )  # fmt: skip
        add(
            "proposals", self._changed("proposals"), before["proposals"], columns.PROPOSALS_KEY,
            lambda slots: columns.proposals(made[slots]),
        )  # fmt: skip
        for (table, by), built in found.items():
            writes.append(Write(table, sum(count for _, count in built), built.__iter__, by))
        self._changed("holdings")
        return self._now
