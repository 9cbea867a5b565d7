"""The events of a row of the log, made from the engine right after it has applied the row.

The same row makes the same events, whoever makes them and whenever: everything comes from the row, and from the state
before and after it. Their order is part of what they are: transfers, trades, executions, balances, alerts, each in the
order in which they happened. An event's identity is its place: `seq-index`.
"""

import heapq
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from engine import Batch, Engine
from engine.order_results import ExecutionKind
from engine.results import TransferState
from server import batches
from server.events import lines
from server.events.alerts import Alerts
from server.events.lines import Line
from server.journal import Row
from server.projection.columns import NONE
from server.projection.stores import timed

Array = npt.NDArray[Any]

KINDS = ("transfers", "trades", "executions", "balances", "alerts")
"""Kinds of events, in their order within a row; a stream, a folder of files and a filter of webhooks are called so."""
TYPES = ("transfer", "trade", "execution", "balance", "alert")
BALANCES = ("debits_pending", "debits_posted", "credits_pending", "credits_posted")
ROW_BYTES = 256
"""What a row costs that waits, besides its events."""


class Event(NamedTuple):
    """One event."""

    place: int
    """In the row, from 0."""
    kind: int
    """In KINDS."""
    data: bytes
    """The JSON document."""


class RowEvents(NamedTuple):
    """What one row of the log makes; perhaps nothing."""

    seq: int
    hash: bytes
    time: int
    events: tuple[Event, ...]
    bytes: int


class Maker:
    """Follows an engine row by row. Everything happens between two rows: nothing here waits."""

    def __init__(self, engine: Engine) -> None:
        """The engine stands at the row behind which events are to be made."""
        self._engine = engine
        self._transfers = engine.transfers
        self._trades = engine.trades
        self._shadow = np.zeros((0, 4), dtype=np.uint64)
        """Balances as they were last told."""
        self._learn_balances(len(engine.array("accounts")))
        self._alerts = Alerts(engine)
        slots, due = timed(engine.array("transfers"), np.flatnonzero(_pending(engine)).astype(np.uint32))
        self._due = sorted(zip(due.tolist(), slots.tolist(), strict=True))
        """Heap of the pending transfers that expire: when, and which."""

    def of(self, row: Row, batch: Batch | None) -> RowEvents:
        """Make the events of a row that has just been applied; `batch` holds its answers."""
        if batch is None:
            return RowEvents(row.seq, row.hash, row.time, (), ROW_BYTES)
        engine = self._engine
        first, first_trade = self._transfers, self._trades
        end, self._trades = engine.transfers, engine.trades
        self._transfers = end
        transfers = lines.transfers(engine, first, end, first_trade) if end > first else []
        expired = self._expired(row.time)
        self._remember_timeouts(first, end)
        contents = batches.contents(batch)
        views = engine.executions_of(batch)
        exchange = bool(len(views)) or any(contents)
        trades = self._trades_of(batch, views) if exchange else []
        changed = self._changed(
            first,
            end,
            expired,
            views,
            whole=contents != _QUIET._replace(orders=contents.orders, amends=contents.amends, limits=contents.limits),
        )
        balances = lines.balances(engine.array("accounts")[changed], row.time)
        alerts = self._alerts.of(row, batch, contents, expired, exchange=exchange)
        found = (transfers, trades, lines.executions(views), balances, alerts)
        return _numbered(row, found)

    # --- what has expired ------------------------------------------------------------------------

    def _expired(self, now: int) -> list[int]:
        """Slots of the pending transfers that the row's time has ended, the earliest first."""
        found, kept = [], []
        states = self._engine.array("transfers")["state"]
        while self._due and self._due[0][0] <= now:
            due, slot = heapq.heappop(self._due)
            if states[slot] == TransferState.EXPIRED:
                found.append(slot)
            elif states[slot] == TransferState.PENDING:
                kept.append((due, slot))
        for item in kept:
            heapq.heappush(self._due, item)
        return found

    def _remember_timeouts(self, first: int, end: int) -> None:
        records = self._engine.array("transfers")[first:end]
        if records["timeout"].any():
            slots, due = timed(self._engine.array("transfers"), np.arange(first, end, dtype=np.uint32))
            for item in zip(due.tolist(), slots.tolist(), strict=True):
                heapq.heappush(self._due, item)

    # --- trades ----------------------------------------------------------------------------------

    def _trades_of(self, batch: Batch, executions: Array) -> list[Line]:
        """Those of the batch, and behind them the older ones that it undid, as they stand now."""
        engine = self._engine
        trades = engine.trades_of(batch)
        undone = executions[np.isin(executions["kind"], (ExecutionKind.BUSTED, ExecutionKind.CORRECTED))]["trade_id"]
        found = lines.trades(trades)
        for trade_id in np.unique(undone).tolist():
            view = _trade(engine, trade_id)
            if not len(trades) or trade_id < int(trades["trade_id"][0]):
                at = int(executions["timestamp"][0])
                found += [(at, line) for _, line in lines.trades(view)]
        return found

    # --- balances --------------------------------------------------------------------------------

    def _changed(self, first: int, end: int, expired: list[int], executions: Array, *, whole: bool) -> Array:
        """Slots of the accounts whose balances are not as they were last told; they count as told from now on."""
        engine = self._engine
        accounts = engine.array("accounts")
        known = len(self._shadow)
        if len(accounts) > known:
            self._learn_balances(len(accounts), new=True)
        stored = engine.array("transfers")
        ended = stored[np.array(expired, dtype=np.uint32)]
        new = stored[first:end]
        touched = np.concatenate([new["debit"], new["credit"], ended["debit"], ended["credit"]])
        holdings = engine.array("holdings")
        if len(holdings):
            touched = self._with_holdings(touched, holdings, executions, whole=whole)
        touched = np.unique(touched)
        if not len(touched):
            return touched
        now = _balances(accounts[touched])
        differs = (now != self._shadow[touched]).any(axis=1)
        changed: Array = touched[differs]
        self._shadow[changed] = now[differs]
        return changed

    def _with_holdings(self, touched: Array, holdings: Array, executions: Array, *, whole: bool) -> Array:
        """Add the accounts of which an order or a position may hold another amount than before.

        What is held stands in the account's pending debits and, on the other side, in its ledger's clearing account.
        A plain transfer may change it, too: it may use up proceeds of the day.
        """
        engine = self._engine
        if whole:
            named = holdings
        else:
            slots = engine.array("details")["holding"][np.unique(touched)]
            slots = slots[slots != 0] - 1
            if len(executions):
                orders = engine.array("orders")[np.unique(executions["order_id"]).astype(np.int64) - 1]
                positions = engine.array("positions")[orders["position"]]
                both = np.concatenate([positions["base_holding"], positions["quote_holding"]])
                slots = np.concatenate([slots, both[both < len(holdings)]])
            named = holdings[np.unique(slots)]
        clearing = named["clearing"]
        more: Array = np.concatenate([touched, named["account"], clearing[clearing != NONE]])
        return more

    def _learn_balances(self, count: int, *, new: bool = False) -> None:
        """Take in accounts: as they are, or new ones, of which nothing has been told."""
        shadow = np.zeros((count, 4), dtype=np.uint64)
        known = len(self._shadow)
        shadow[:known] = self._shadow
        if not new:
            shadow[known:] = _balances(self._engine.array("accounts")[known:count])
        self._shadow = shadow


_QUIET = batches.Contents(0, 0, 0, 0, 0, 0, 0, 0, 0, 0)


def _balances(records: Array) -> Array:
    stacked: Array = np.stack([records[name] for name in BALANCES], axis=1)
    return stacked


def _pending(engine: Engine) -> Array:
    stored = engine.array("transfers")
    found: Array = (stored["state"] == TransferState.PENDING) & (stored["timeout"] != 0)
    return found


def _trade(engine: Engine, trade_id: int) -> Array:
    from engine._core.order_records import ORDER_FILTER  # noqa: PLC0415

    query = np.zeros(1, ORDER_FILTER)
    query["after"], query["limit"] = trade_id - 1, 1
    view: Array = engine.get_trades(query)
    return view


def _numbered(row: Row, found: tuple[list[Line], ...]) -> RowEvents:
    events = []
    size = ROW_BYTES
    index = 0
    seq = row.seq
    for kind, made in enumerate(found):
        name = TYPES[kind]
        for at, members in made:
            data = (
                f'{{"id":"{seq}-{index}","type":"{name}","seq":{seq},"timestamp":{at},"data":{{{members}}}}}'.encode()
            )
            size += len(data) + 120
            events.append(Event(index, kind, data))
            index += 1
    return RowEvents(row.seq, row.hash, row.time, tuple(events), size)
