"""Steps of tuples as the engine's record arrays."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from engine._core import order_records, risk_records
from engine.order_results import InstrumentField, OrderFlag, SessionFlag, Side
from tests.models import records

LOW = 2**64 - 1
TEXTS = {"symbol", "owner", "desk", "actor", "id"}


class Step(NamedTuple):
    """One request, in a batch of its own. `items` are the tuples of tests.models; what they are depends on `method`."""

    method: str
    items: tuple[Any, ...]
    time: int
    scope: int = 0


def words(text: str) -> tuple[int, int, int]:
    """A symbol as three words."""
    data = text.encode().ljust(24, b"\0")
    return tuple(int.from_bytes(data[i : i + 8], "little") for i in (0, 8, 16))  # type: ignore[return-value]


def text(row: Any, name: str = "symbol") -> str:
    """The symbol of a record, or another text."""
    data = b"".join(int(row[f"{name}_{i}"]).to_bytes(8, "little") for i in range(3))
    return data.rstrip(b"\0").decode()


def array(dtype: np.dtype[np.void], rows: Iterable[dict[str, Any]]) -> np.ndarray[Any, np.dtype[np.void]]:
    """Records from members by name; what is left out is 0. Members of three words are given as text."""
    listed = list(rows)
    result = np.zeros(len(listed), dtype)
    for record, row in zip(result, listed, strict=True):
        for name, value in row.items():
            if name in TEXTS and f"{name}_0" in (dtype.names or ()):
                record[f"{name}_0"], record[f"{name}_1"], record[f"{name}_2"] = words(str(value))
            else:
                record[name] = value
    return result


def written(step: Step) -> tuple[str, np.ndarray[Any, np.dtype[np.void]], np.ndarray[Any, np.dtype[np.void]] | None]:
    """A step as the engine's method, its records, and links of trading accounts."""
    method, items = step.method, step.items
    match method:
        case "create_accounts":
            return method, records.account_array(items), None
        case "create_transfers":
            return method, records.transfer_array(items), None
        case "update_accounts":
            return method, records.update_array(items), None
        case "create_instruments":
            return method, array(order_records.INSTRUMENT_COMMAND, (item._asdict() for item in items)), None
        case "update_instrument":
            fields = sum(InstrumentField[name.removesuffix("_ppm").upper()] for name, _ in items[1])
            row = {"symbol": items[0], "fields": fields, **dict(items[1])}
            return "update_instruments", array(order_records.INSTRUMENT_COMMAND, [row]), None
        case "create_trading_accounts":
            links = [{"account_id": account, "ledger": ledger} for item in items for ledger, account in item.links]
            rows, first = [], 0
            for item in items:
                row = {"id": item.id, "link_first": first, "link_count": len(item.links)}
                rows.append({**row, "owner": item.owner, "desk": item.desk})
                first += len(item.links)
            return method, array(order_records.TRADING_ACCOUNT_COMMAND, rows), array(order_records.LINK_COMMAND, links)
        case "submit_orders":
            return method, order_array(items), None
        case "cancel_orders" | "replace_orders":
            return method, amend_array(items), None
        case "mass_cancel":
            return method, mass_cancel_array(items), None
        case "set_session":
            flags = [SessionFlag.NO_CANCEL if i.no_cancel else 0 for i in items]
            changes = [
                {"symbol": i.symbol, "state": i.state, "flags": flag} for i, flag in zip(items, flags, strict=True)
            ]
            return method, array(order_records.SESSION_COMMAND, changes), None
        case "end_of_day":
            days = [{"business_date": items[0]}, *({"symbol": s, "price": p} for s, p in items[1:])]
            return method, array(order_records.DAY_COMMAND, days), None
        case "bust_trades":
            trades = [{"trade_id": trade_id, "price": price} for trade_id, price in items]
            return method, array(order_records.TRADE_COMMAND, trades), None
        case "set_limits":
            limits, values = [], []
            for item in items:
                limits.append({**named(item), "value_first": len(values), "value_count": len(item.values)})
                values += [{"name": n, "value": v or 0, "unset": v is None} for n, v in item.values]
            return method, array(risk_records.LIMITS_COMMAND, limits), array(risk_records.LIMIT_VALUE, values)
        case "kill_switch":
            return method, array(risk_records.KILL_COMMAND, (named(item) for item in items)), None
        case "approve_limits":
            return method, array(risk_records.APPROVAL_COMMAND, (item._asdict() for item in items)), None
    raise AssertionError(method)


def named(item: Any) -> dict[str, Any]:
    """A command about somebody's limits; the id of an account is a number."""
    row = item._asdict()
    row.pop("values", None)
    if isinstance(item.id, int):
        row["id_0"] = row.pop("id")
    return row  # type: ignore[no-any-return]


def order_array(items: Sequence[Any]) -> np.ndarray[Any, np.dtype[np.void]]:
    rows = []
    for item in items:
        row = item._asdict()
        client_order_id = row.pop("client_order_id")
        row.update(client_order_id_lo=client_order_id & LOW, client_order_id_hi=client_order_id >> 64)
        row["flags"] = OrderFlag.POST_ONLY if row.pop("post_only") else 0
        rows.append(row)
    return array(order_records.ORDER_COMMAND, rows)


def amend_array(items: Sequence[Any]) -> np.ndarray[Any, np.dtype[np.void]]:
    return array(
        order_records.AMEND_COMMAND,
        [
            {
                "account_id": i.account_id,
                "order_id": i.order_id,
                "client_order_id_lo": i.client_order_id & LOW,
                "client_order_id_hi": i.client_order_id >> 64,
                "quantity": i.quantity or 0,
                "price": i.price or 0,
                "stop_price": i.stop_price or 0,
                "fields": i.fields(),
            }
            for i in items
        ],
    )


def mass_cancel_array(items: Sequence[Any]) -> np.ndarray[Any, np.dtype[np.void]]:
    sides = {None: 0, Side.BUY: 1, Side.SELL: 2}
    return array(
        order_records.MASS_CANCEL_COMMAND,
        [{"account_id": i.account_id, "symbol": i.symbol, "session": i.session, "sides": sides[i.side]} for i in items],
    )
