"""What each table has of the engine's records: names, kinds and values of its columns, for some records at a time.

Everything here reads the engine between two awaits, or reads only what never changes: which account a transfer
debits, which order an execution is of. What does change is given: the records as they were when they were captured.
Null stands for the engine's "none": NONE as a slot, 0 as a price, an id or a time.
"""

import json
from typing import Any

import numpy as np
import numpy.typing as npt

from engine import Engine
from engine._core.risk_records import LIMITS
from engine.order_results import (
    ExecutionKind,
    Offset,
    OrderStatus,
    OrderType,
    Reason,
    SelfTradePrevention,
    Session,
    Side,
    TimeInForce,
    TradeState,
)
from engine.results import TransferState
from engine.risk.names import LimitName, LimitScope
from server.projection.encoding import Column

Array = npt.NDArray[Any]
Columns = dict[str, Column]

NONE = np.uint32(2**32 - 1)
UNLIMITED = 2**63 - 1
EPOCH_2000 = 946_684_800_000_000
"""Microseconds from 1970 to 2000."""
DAYS_2000 = 10_957
"""Days from 1970 to 2000."""
TYPE_MASK, TYPE_SHIFT = 6, 1  # Order.traits, engine/matching/records.pxd
TIF_MASK, TIF_SHIFT = 56, 3
STP_MASK, STP_SHIFT = 448, 6
OFFSET_MASK, OFFSET_SHIFT = 1536, 9
POST_ONLY, SELL = 2048, 1
FLAGS_PUBLIC = 511
"""Flags that the protocol shows; the ledger keeps one of its own behind them."""
GROUP_DEFAULT, GROUP_APPROVAL, GROUP_NEUTRAL = 0, 1, 2
PROPOSAL_STATES = (b"open", b"approved", b"declined")
ROW_KINDS = (b"genesis", b"batch", b"takeover")


def _names(members: Any) -> tuple[bytes, ...]:
    return tuple(member.name.lower().encode() for member in members)


TRANSFER_STATES = _names(TransferState)
SIDES, TYPES, TIFS, STPS, OFFSETS = (
    _names(kind) for kind in (Side, OrderType, TimeInForce, SelfTradePrevention, Offset)
)
STATUSES, KINDS, REASONS, TRADE_STATES = (_names(kind) for kind in (OrderStatus, ExecutionKind, Reason, TradeState))
SESSIONS, SCOPES = _names(Session), _names(LimitScope)


def _bigint(values: Array) -> Column:
    return Column("bigint", values)


def _positive(values: Array) -> Column:
    """Null for 0."""
    return Column("bigint", values, values != 0)


def _label(values: Array, names: tuple[bytes, ...]) -> Column:
    return Column("label", values, None, names)


def _words(records: Array, name: str) -> Array:
    """Text in three words, the first character in the lowest byte."""
    words = np.stack([records[f"{name}_{word}"] for word in range(3)], axis=1)
    return np.ascontiguousarray(words.astype("<u8")).view("S24").reshape(len(records))


def moments(timestamps: Array) -> Array:
    """Nanoseconds since 1970 as microseconds since 2000, rounded down."""
    micros: Array = (timestamps // np.uint64(1000)).astype(np.int64) - EPOCH_2000
    return micros


def _time(timestamps: Array) -> Columns:
    return {"timestamp": _bigint(timestamps), "at": Column("timestamptz", moments(timestamps))}


def _user_data(records: Array) -> Columns:
    low, high = records["user_data_128_lo"], records["user_data_128_hi"]
    return {
        "user_data_128": Column("uuid", (low, high), (low | high) != 0),
        "user_data_64": Column("numeric", records["user_data_64"], records["user_data_64"] != 0),
        "user_data_32": _positive(records["user_data_32"].astype(np.int64)),
    }


def _at(values: Array, slots: Array) -> tuple[Array, Array]:
    """Values at slots, and where there is one."""
    present = slots != NONE
    if not len(values):
        return np.zeros(len(slots), dtype=values.dtype), present
    return values[np.where(present, slots, 0)], present


# --- the ledger ---------------------------------------------------------------------------------------


def batches(seqs: Array, epochs: Array, kinds: Array, items: Array, times: Array) -> Columns:
    """Rows of the log."""
    return {
        "seq": _bigint(seqs),
        "epoch": _bigint(epochs),
        "kind": _label(kinds, ROW_KINDS),
        "items": Column("integer", items),
    } | _time(times.astype(np.uint64))


def accounts(records: Array, details: Array) -> Columns:
    """Accounts; of both stores the same slots."""
    return {
        "account_id": _bigint(records["id"]),
        "ledger": _bigint(records["ledger"].astype(np.int64)),
        "code": Column("integer", records["code"]),
        "flags": Column("integer", records["flags"] & FLAGS_PUBLIC),
        "debits_pending": _bigint(records["debits_pending"]),
        "debits_posted": _bigint(records["debits_posted"]),
        "credits_pending": _bigint(records["credits_pending"]),
        "credits_posted": _bigint(records["credits_posted"]),
        "overdraft_limit": _bigint(details["overdraft_limit"]),
        **_user_data(details),
        **_time(details["timestamp"]),
    }


ACCOUNTS_CHANGING = ("flags", "debits_pending", "debits_posted", "credits_pending", "credits_posted", "overdraft_limit")


class TradeLegs:
    """Which trade a transfer settles: the legs of a trade stand together."""

    def __init__(self, engine: Engine, first: int = 0) -> None:
        """`first`: the first trade that may have legs among the transfers asked for."""
        trades = engine.array("trades")[first:]
        self._ids = np.flatnonzero(trades["transfer_count"])
        self._first = trades["transfer_first"][self._ids]
        self._end = self._first + trades["transfer_count"][self._ids]
        self._ids += first + 1
        order = np.argsort(self._first, kind="stable")
        self._ids, self._first, self._end = self._ids[order], self._first[order], self._end[order]

    def of(self, first: int, end: int) -> Array:
        """Ids of the trades of transfers first … end - 1, 0 where there is none."""
        found = np.zeros(end - first, dtype=np.int64)
        if not len(self._ids):
            return found
        slots = np.arange(first, end)
        place = np.searchsorted(self._first, slots, "right") - 1
        inside = (place >= 0) & (slots < self._end[place])
        found[inside] = self._ids[place[inside]]
        return found


def transfers(engine: Engine, first: int, end: int, states: Array, legs: TradeLegs) -> Columns:
    """Transfers first … end - 1; `states` as they were captured."""
    records, owners = engine.array("transfers")[first:end], engine.array("accounts")
    pending = records["pending"]
    pended = engine.array("transfers")[np.where(pending != NONE, pending, 0)] if (pending != NONE).any() else records
    return {
        "transfer_id": Column("uuid", (records["id_lo"], records["id_hi"])),
        "debit_account_id": _bigint(owners["id"][records["debit"]]),
        "credit_account_id": _bigint(owners["id"][records["credit"]]),
        "ledger": _bigint(owners["ledger"][records["debit"]].astype(np.int64)),
        "code": Column("integer", records["code"]),
        "flags": Column("integer", records["flags"] & FLAGS_PUBLIC),
        "amount": _bigint(records["amount"]),
        "state": _label(states, TRANSFER_STATES),
        "pending_id": Column("uuid", (pended["id_lo"], pended["id_hi"]), pending != NONE),
        "timeout": _positive(records["timeout"].astype(np.int64)),
        "trade_id": _positive(legs.of(first, end)),
        **_user_data(records),
        **_time(records["timestamp"]),
    }


def transfer_states(engine: Engine, slots: Array, states: Array) -> Columns:
    """What changes of transfers."""
    records = engine.array("transfers")[slots]
    return {
        "transfer_id": Column("uuid", (records["id_lo"], records["id_hi"])),
        "at": Column("timestamptz", moments(records["timestamp"])),
        "state": _label(states, TRANSFER_STATES),
    }


# --- orders -------------------------------------------------------------------------------------------


def trading_accounts(records: Array) -> Columns:
    """Trading accounts."""
    owners, desks = _words(records, "owner"), _words(records, "desk")
    return {
        "trading_account_id": _bigint(records["id"]),
        "owner": Column("text", owners, owners != b""),
        "desk": Column("text", desks, desks != b""),
        **_time(records["timestamp"]),
    }


def links(engine: Engine, first: int, end: int) -> Columns:
    """Links first … end - 1 of trading accounts."""
    records, traders = engine.array("links")[first:end], engine.array("trading_accounts")
    # Links stand together, in the order of their accounts.
    whose = np.searchsorted(traders["link_first"] + traders["link_count"], np.arange(first, end), "right")
    return {
        "trading_account_id": _bigint(traders["id"][whose]),
        "ledger": _bigint(records["ledger"].astype(np.int64)),
        "account_id": _bigint(engine.array("accounts")["id"][records["account"]]),
    }


def instruments(slots: Array, records: Array) -> Columns:
    """Instruments with the state of their market."""
    ticks = records["tick_size"]
    limited = (records["price_band_ppm"] != 0) & (records["reference_price"] != 0)
    rates = (
        "maker_fee_ppm", "taker_fee_ppm", "transfer_fee_ppm", "sell_duty_ppm", "price_band_ppm", "price_cage_ppm",
        "circuit_breaker_ppm", "market_protection_ppm", "initial_margin_ppm", "maintenance_margin_ppm",
    )  # fmt: skip
    return {
        "instrument_id": Column("integer", slots),
        "symbol": Column("text", _words(records, "symbol")),
        "base_ledger": _bigint(records["base_ledger"].astype(np.int64)),
        "quote_ledger": _bigint(records["quote_ledger"].astype(np.int64)),
        "flags": Column("integer", records["flags"]),
        "tick_size": _bigint(ticks),
        "lot_size": _bigint(records["lot_size"]),
        "price_scale": _bigint(records["price_scale"]),
        "contract_size": _bigint(records["contract_size"]),
        **{name: _bigint(records[name].astype(np.int64)) for name in rates},
        "minimum_fee": _bigint(records["minimum_fee"]),
        "fee_account_id": _positive(records["fee_account_id"]),
        "session": _label(records["session"], SESSIONS),
        "no_cancel": Column("boolean", records["session_flags"] & 1),
        "reference_price": _positive(records["reference_price"]),
        "limit_down": Column("bigint", records["limit_down"] * ticks, limited),
        "limit_up": Column("bigint", records["limit_up"] * ticks, limited),
        **{name: _positive(records[name] * ticks) for name in ("last_price", "open_price", "high_price", "low_price")},
        "volume": Column("numeric", records["volume"]),
        "turnover": Column("numeric", records["turnover"]),
        "updated": _positive(records["updated"]),
    }


INSTRUMENTS_KEY = ("instrument_id",)


def orders(engine: Engine, slots: Array, records: Array, details: Array) -> Columns:
    """Orders as they were captured; of both stores the same slots."""
    traits = records["traits"]
    ticks = engine.array("instruments")["tick_size"][records["instrument"]]
    kind = (traits & TYPE_MASK) >> TYPE_SHIFT
    return {
        "order_id": _bigint(slots.astype(np.int64) + 1),
        "client_order_id": Column("uuid", (details["client_order_id_lo"], details["client_order_id_hi"])),
        "trading_account_id": _bigint(_traders(engine, records)),
        "instrument_id": Column("integer", records["instrument"]),
        "side": _label(traits & SELL, SIDES),
        "type": _label(kind, TYPES),
        "time_in_force": _label((traits & TIF_MASK) >> TIF_SHIFT, TIFS),
        "self_trade_prevention": _label((traits & STP_MASK) >> STP_SHIFT, STPS),
        "open_close": _label((traits & OFFSET_MASK) >> OFFSET_SHIFT, OFFSETS),
        "post_only": Column("boolean", traits & POST_ONLY != 0),
        "session_id": Column("numeric", details["session"], details["session"] != 0),
        "price": Column("bigint", records["price"] * ticks, kind != OrderType.MARKET),
        "stop_price": _positive(details["stop_price"] * ticks),
        "quantity": _bigint(details["quantity"]),
        "display_quantity": _positive(details["display"]),
        "expire_time": _positive(details["expire_time"]),
        "is_open": Column("boolean", records["place"] != 0),
        "status": _label(records["status"], STATUSES),
        "reason": _label(details["reason"], REASONS),
        "leaves": _bigint(records["leaves"]),
        "filled": _bigint(records["filled"]),
        "visible": _bigint(np.where(records["place"] == 1, records["visible"], 0)),
        "held": _bigint(records["held"]),
        "turnover": Column("numeric", details["turnover"]),
        "fees": Column("numeric", details["commission"] + details["charges"]),
        "updated": _bigint(details["updated"]),
        **_time(details["timestamp"]),
    }


ORDERS_CHANGING = (
    "price", "stop_price", "quantity", "is_open", "status", "reason", "leaves", "filled", "visible", "held", "turnover",
    "fees", "updated",
)  # fmt: skip


def _traders(engine: Engine, records: Array) -> Array:
    """Ids of the trading accounts of orders."""
    whose = engine.array("positions")["account"][records["position"]]
    found: Array = engine.array("trading_accounts")["id"][whose]
    return found


def executions(engine: Engine, first: int, end: int) -> Columns:
    """Executions first … end - 1."""
    records = engine.array("executions")[first:end]
    of, trades = engine.array("orders")[records["order"]], engine.array("trades")
    ticks = engine.array("instruments")["tick_size"][of["instrument"]]
    sells = of["traits"] & SELL
    traded = records["trade"] != NONE
    some = trades if len(trades) else np.zeros(1, dtype=trades.dtype)
    trade = some[np.where(traded, records["trade"], 0)]
    return {
        "execution_id": _bigint(np.arange(first + 1, end + 1)),
        "order_id": _bigint(records["order"].astype(np.int64) + 1),
        "trading_account_id": _bigint(_traders(engine, of)),
        "instrument_id": Column("integer", of["instrument"]),
        "side": _label(sells, SIDES),
        "kind": _label(records["kind"], KINDS),
        "status": _label(records["status"], STATUSES),
        "reason": _label(records["reason"], REASONS),
        "price": Column(
            "bigint", records["price"] * ticks, (of["traits"] & TYPE_MASK) >> TYPE_SHIFT != OrderType.MARKET
        ),
        "quantity": _bigint(records["quantity"]),
        "leaves": _bigint(records["leaves"]),
        "filled": _bigint(records["filled"]),
        "trade_id": Column("bigint", records["trade"].astype(np.int64) + 1, traded),
        "last_price": Column("bigint", trade["price"] * ticks, traded),
        "last_quantity": Column("bigint", trade["quantity"], traded),
        "fee": Column("bigint", np.where(sells, trade["sell_fee"] + trade["duty"], trade["buy_fee"]), traded),
        "seq": _bigint(records["batch"]),
        **_time(records["timestamp"]),
    }


def trades(engine: Engine, first: int, end: int, states: Array) -> Columns:
    """Trades first … end - 1; `states` as they were captured."""
    records, stored = engine.array("trades")[first:end], engine.array("orders")
    ticks = engine.array("instruments")["tick_size"][records["instrument"]]
    dates = records["business_date"].astype(np.int64)
    corrected = records["corrects"] != NONE
    return {
        "trade_id": _bigint(np.arange(first + 1, end + 1)),
        "instrument_id": Column("integer", records["instrument"]),
        "price": _bigint(records["price"] * ticks),
        "quantity": _bigint(records["quantity"]),
        "notional": _bigint(records["notional"]),
        "taker_side": _label(records["taker_side"], SIDES),
        "state": _label(states, TRADE_STATES),
        "buy_order_id": _bigint(records["buy_order"].astype(np.int64) + 1),
        "sell_order_id": _bigint(records["sell_order"].astype(np.int64) + 1),
        "buy_account_id": _bigint(_traders(engine, stored[records["buy_order"]])),
        "sell_account_id": _bigint(_traders(engine, stored[records["sell_order"]])),
        "buy_fee": _bigint(records["buy_fee"]),
        "sell_fee": _bigint(records["sell_fee"]),
        "duty": _bigint(records["duty"]),
        "corrects": Column("bigint", records["corrects"].astype(np.int64) + 1, corrected),
        "business_date": Column("date", _days(dates), dates != 0),
        "seq": _bigint(records["batch"]),
        **_time(records["timestamp"]),
    }


def _days(dates: Array) -> Array:
    """Dates as yyyymmdd as days since 2000-01-01."""
    months = (dates // 10_000 - 1970) * 12 + dates // 100 % 100 - 1
    first: Array = months.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
    return np.where(dates != 0, first + dates % 100 - 1 - DAYS_2000, 0)


def trade_states(engine: Engine, slots: Array, states: Array) -> Columns:
    """What changes of trades."""
    return {
        "trade_id": _bigint(slots.astype(np.int64) + 1),
        "at": Column("timestamptz", moments(engine.array("trades")["timestamp"][slots])),
        "state": _label(states, TRADE_STATES),
    }


def positions(engine: Engine, records: Array, risks: Array) -> Columns:
    """Positions; of both stores the same slots."""
    owners = engine.array("accounts")["id"]
    base, has_base = _at(owners, records["base_account"])
    quote, has_quote = _at(owners, records["quote_account"])
    ticks = engine.array("instruments")["tick_size"][records["instrument"]]
    plain = (
        "long_quantity", "short_quantity", "long_today", "short_today", "long_basis", "short_basis", "margin",
        "shortfall", "open_buy", "open_sell", "open_held",
    )  # fmt: skip
    seen = {"quantity": "risk_quantity", "basis": "risk_basis", "realised": "risk_realised", "value": "risk_value"}
    return {
        "trading_account_id": _bigint(engine.array("trading_accounts")["id"][records["account"]]),
        "instrument_id": Column("integer", records["instrument"]),
        "base_account_id": Column("bigint", base, has_base),
        "quote_account_id": Column("bigint", quote, has_quote),
        **{name: _bigint(records[name]) for name in plain},
        "open_orders": _bigint(records["open_orders"].astype(np.int64)),
        **{name: _bigint(risks[field]) for field, name in seen.items()},
        "risk_unrealised": _bigint(risks["unrealised"]),
        "mark_price": _positive(risks["mark"] * ticks),
    }


POSITIONS_KEY = ("trading_account_id", "instrument_id")


# --- limits -------------------------------------------------------------------------------------------


def _whose(scopes: Array, records: Array) -> Columns:
    """Scope and its name, of whatever has id_0 … id_2."""
    names = _words(records, "id")
    of_accounts = scopes == LimitScope.ACCOUNT
    if of_accounts.any():
        names = np.where(of_accounts, np.char.mod("%d", records["id_0"]).astype("S24"), names)
    names = np.where((scopes == LimitScope.DEFAULT) | (scopes == LimitScope.APPROVAL), b"", names)
    return {"scope": _label(scopes, SCOPES), "scope_id": Column("text", names)}


def group_scopes(store: str, slots: Array, records: Array) -> Array:
    """Whose limits the groups of a store are."""
    if store == "account_groups":
        return np.full(len(records), int(LimitScope.ACCOUNT))
    if store == "instrument_groups":
        return np.full(len(records), int(LimitScope.INSTRUMENT))
    scopes = records["scope"].astype(np.int64)
    scopes = np.where(slots == GROUP_DEFAULT, int(LimitScope.DEFAULT), scopes)
    return np.where(slots == GROUP_APPROVAL, int(LimitScope.APPROVAL), scopes)


def limits(store: str, slots: Array, records: Array) -> Columns:
    """Limits of groups."""
    values = records["limits"]
    return {
        **_whose(group_scopes(store, slots, records), records),
        **{
            name.name.lower(): Column("bigint", values[field], values[field] != UNLIMITED)
            for name, field in zip(LimitName, LIMITS.names or (), strict=True)
        },
        "updated": _positive(records["updated"]),
    }


def exposures(store: str, slots: Array, records: Array) -> Columns:
    """Exposures of groups."""
    values = records["exposure"]
    names = (
        "open_orders", "open_buy", "open_sell", "long_value", "short_value", "realised", "unrealised", "traded",
        "messages", "trades", "programme",
    )  # fmt: skip
    return {
        **_whose(group_scopes(store, slots, records), records),
        **{name: _bigint(values[name]) for name in names},
    }


GROUPS_KEY = ("scope", "scope_id")


def pairs(engine: Engine, records: Array) -> Columns:
    """Limits of a group in one instrument by itself."""
    named, of_accounts = engine.array("named_groups"), engine.array("account_groups")
    is_account = records["scope"] == LimitScope.ACCOUNT
    ids = np.zeros(len(records), dtype=named.dtype)
    for mask, groups in ((is_account, of_accounts), (~is_account, named)):
        if mask.any():
            ids[mask] = groups[records["group"][mask]]
    return {
        **_whose(records["scope"].astype(np.int64), ids),
        "instrument_id": Column("integer", records["instrument"]),
        "position_long": Column("bigint", records["position_long"], records["position_long"] != UNLIMITED),
        "position_short": Column("bigint", records["position_short"], records["position_short"] != UNLIMITED),
        "restricted": Column("boolean", records["restricted"] != 0),
        "updated": _positive(records["updated"]),
    }


PAIRS_KEY = ("scope", "scope_id", "instrument_id")


def proposals(records: Array) -> Columns:
    """Proposals; there are few, and each is a document."""
    symbols, deciders = _words(records, "symbol"), _words(records, "decided_by")
    return {
        "proposal_id": _bigint(records["proposal_id"]),
        **_whose(records["scope"].astype(np.int64), records),
        "symbol": Column("text", symbols, symbols != b""),
        "changes": Column("bytes", [b"\x01" + _changes(record) for record in records]),
        "state": _label(records["state"], PROPOSAL_STATES),
        "proposed_by": Column("text", _words(records, "actor")),
        "decided_by": Column("text", deciders, deciders != b""),
        "decided": _positive(records["decided_at"]),
        **_time(records["timestamp"]),
    }


PROPOSALS_KEY = ("proposal_id",)


def _changes(record: Any) -> bytes:
    """A JSON document in PostgreSQL's order of keys: the shorter first."""
    values = record["values"]
    changes: dict[str, int | None] = {}
    for name, field in zip(LimitName, LIMITS.names or (), strict=True):
        bit = 1 << name.value
        if int(record["set"]) & bit:
            changes[name.name.lower()] = int(values[field])
        elif int(record["unset"]) & bit:
            changes[name.name.lower()] = None
    return json.dumps(dict(sorted(changes.items(), key=lambda item: (len(item[0]), item[0])))).encode()
