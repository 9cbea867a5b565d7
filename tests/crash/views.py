"""Records of the replay engine as the protocol's JSON would show them, and commands as the plain model takes them.

Written from docs/PROTOCOL.md, apart from the server's encoder and parser: what an audit compares a reply with must
not come from where the reply came from.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from engine.order_results import (
    ExecutionKind,
    InstrumentFlag,
    Offset,
    OrderFlag,
    OrderStatus,
    OrderType,
    Reason,
    SelfTradePrevention,
    Session,
    SessionFlag,
    Side,
    TimeInForce,
    TradeState,
)
from tests.engine.trading_subjects import text
from tests.models.records import Account, Transfer, Update
from tests.models.risk_records import LimitScope, SetLimits
from tests.models.trading_records import (
    Amend,
    InstrumentTerms,
    MassCancel,
    NewOrder,
    NewTradingAccount,
    SessionChange,
)

Json = dict[str, Any]
Records = np.ndarray[Any, np.dtype[np.void]]


def uuid(low: int, high: int) -> str:
    """Return an id in text."""
    digits = f"{int(high):016x}{int(low):016x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def number(id_: str) -> int:
    """Return an id's number."""
    return int(id_.replace("-", ""), 16)


def name(member: Any) -> str:
    return str(member.name).lower()


def _numbers(view: Any, *names: str) -> Json:
    return {each: int(view[each]) for each in names}


def _reason(view: Any) -> Json:
    return {"reason": name(Reason(view["reason"]))} if view["reason"] else {}


# --- answers ------------------------------------------------------------------------------------------


def order_results(results: Records, fills: Records, verdicts: Records, items: Sequence[Any]) -> list[Json]:
    """Results of submit_orders, cancel_orders, replace_orders; `items`: what was asked, as the model's tuples."""
    answers = []
    for result, item in zip(results, items, strict=True):
        first = int(result["fill_first"])
        exists = result["status"] == OrderStatus.EXISTS
        answers.append(
            {
                "status": name(OrderStatus(result["status"])),
                **_reason(result),
                **(_limit(verdicts[first], item) if result["reserved"] else {}),
                **({"order_status": name(OrderStatus(result["order_status"]))} if exists else {}),
                **_numbers(result, "order_id", "cum_quantity", "leaves_quantity"),
                "fills": [
                    _numbers(fill, "exec_id", "trade_id", "price", "quantity", "fee")
                    for fill in fills[first : first + int(result["fill_count"])]
                ],
                "timestamp": int(result["timestamp"]),
            }
        )
    return answers


def _limit(verdict: Any, item: Any) -> Json:
    """What is told of the limit that refused an order or replace."""
    scope = LimitScope(verdict["scope"])
    used, value = int(verdict["used"]), int(verdict["limit"])
    whose: Json = {}
    if scope == LimitScope.ACCOUNT:
        whose = {"id": item.account_id}
    elif scope == LimitScope.INSTRUMENT and isinstance(item, NewOrder):
        whose = {"id": item.symbol}
    return {
        "limit": {
            "name": name(Reason(verdict["reason"])),
            "scope": name(scope),
            **whose,
            "value": value,
            "used": used,
            "asked": int(verdict["asked"]),
            "headroom": max(value - used, 0),
        }
    }


def trade_results(results: Records, _: Records) -> list[Json]:
    """Results of bust_trades and correct_trades."""
    return [
        {
            "status": name(OrderStatus(result["status"])),
            **_reason(result),
            "trade_id": int(result["order_id"]),
            "timestamp": int(result["timestamp"]),
        }
        for result in results
    ]


def single_result(method: str, results: Records) -> Json:
    """The result of mass_cancel (for many sessions: of the first), set_session or end_of_day."""
    result = results[0]
    answer = {"status": name(OrderStatus(result["status"])), **_reason(result)}
    if method == "mass_cancel":
        answer["canceled"] = int(result["cum_quantity"])
    elif method == "set_session":
        answer["uncrossed_price"] = int(result["leaves_quantity"])
        answer["uncrossed_quantity"] = int(result["cum_quantity"])
    return answer | {"timestamp": int(result["timestamp"])}


# --- what can be read ---------------------------------------------------------------------------------


def execution(view: Any) -> Json:
    """An execution, as get_executions and notifications show it."""
    kind = ExecutionKind(view["kind"])
    status = name(OrderStatus(view["status"]))
    traded = ("trade_id", "last_px", "last_qty", "fee") if view["trade_id"] else ()
    return {
        "exec_id": int(view["exec_id"]),
        "kind": status if kind == ExecutionKind.FILL else name(kind),
        "order_id": int(view["order_id"]),
        "client_order_id": uuid(view["client_order_id_lo"], view["client_order_id_hi"]),
        "account_id": int(view["account_id"]),
        "instrument": text(view),
        "side": name(Side(view["side"])),
        "type": name(OrderType(view["type"])),
        "status": status,
        **_reason(view),
        **_numbers(view, "price", "quantity", "leaves_qty", "cum_qty", *traded, "timestamp"),
        "seq": int(view["batch"]),
    }


def order(view: Any) -> Json:
    """An order of get_orders."""
    return {
        "order_id": int(view["order_id"]),
        "client_order_id": uuid(view["client_order_id_lo"], view["client_order_id_hi"]),
        "account_id": int(view["account_id"]),
        "instrument": text(view),
        "side": name(Side(view["side"])),
        "type": name(OrderType(view["type"])),
        "status": name(OrderStatus(view["status"])),
        **_reason(view),
        "time_in_force": name(TimeInForce(view["time_in_force"])),
        "post_only": bool(view["flags"] & OrderFlag.POST_ONLY),
        "self_trade_prevention": name(SelfTradePrevention(view["self_trade_prevention"])),
        "offset": name(Offset(view["offset"])),
        **_numbers(
            view, "quantity", "price", "stop_price", "expire_time", "display_quantity", "cum_quantity",
            "leaves_quantity", "visible_quantity", "reserved_amount", "turnover", "fees", "timestamp", "updated",
        ),
    }  # fmt: skip


def trade(view: Any) -> Json:
    """A trade of get_trades."""
    return {
        "instrument": text(view),
        "taker_side": name(Side(view["taker_side"])),
        "state": name(TradeState(view["state"])),
        "seq": int(view["batch"]),
        **({"corrects": int(view["corrects"])} if view["corrects"] else {}),
        **_numbers(
            view, "trade_id", "price", "quantity", "timestamp", "notional", "business_date", "buy_order_id",
            "buy_account_id", "buy_fee", "sell_order_id", "sell_account_id", "sell_fee", "duty",
        ),
    }  # fmt: skip


def position(view: Any) -> Json:
    """A position of get_positions."""
    return {
        "instrument": text(view),
        **_numbers(
            view, "account_id", "long_quantity", "short_quantity", "long_today", "short_today", "long_basis",
            "short_basis", "margin", "margin_initial", "margin_maintenance", "unsettled", "shortfall", "open_buy",
            "open_sell", "call",
        ),
    }  # fmt: skip


def book(head: Any, levels: Records) -> Json:
    """What get_book answers."""
    sides: tuple[list[list[int]], list[list[int]]] = [], []
    for level in levels:
        sides[level["side"]].append([int(level["price"]), int(level["quantity"]), int(level["orders"])])
    return {
        "instrument": text(head),
        "bids": sides[Side.BUY],
        "asks": sides[Side.SELL],
        "session": name(Session(head["session"])),
        "cancels": not head["flags"] & SessionFlag.NO_CANCEL,
        **_numbers(
            head, "last_price", "reference_price", "limit_down", "limit_up", "indicative_price",
            "indicative_quantity", "open_price", "high_price", "low_price", "volume", "turnover", "timestamp",
        ),
    }  # fmt: skip


# --- commands, as they stand in the log ---------------------------------------------------------------


def logged(method: str, items: Records, links: Records) -> tuple[Any, ...]:
    """Return the items of a logged request as the model's tuples."""
    return tuple(_logged_item(method, item, links) for item in items)


def _logged_item(method: str, item: Any, links: Records) -> Any:
    match method:
        case "create_accounts":
            return Account(*(int(item[each]) for each in ("id", "ledger", "code", "flags", "overdraft_limit")))
        case "create_transfers":
            plain = ("debit_account_id", "credit_account_id", "amount", "ledger", "code", "flags")
            return Transfer(int(item["id_lo"]) | int(item["id_hi"]) << 64, *(int(item[each]) for each in plain))
        case "update_accounts":
            limit = int(item["overdraft_limit"]) if item["fields"] & 1 else None
            return Update(int(item["id"]), limit, bool(item["frozen"]) if item["fields"] & 2 else None)
        case "create_instruments":
            terms = {each: int(item[each]) for each in InstrumentTerms._fields[1:]}
            kinds = {"flags": InstrumentFlag(terms.pop("flags")), "session": Session(terms.pop("session"))}
            return InstrumentTerms(text(item), **terms, **kinds)  # type: ignore[arg-type]
        case "create_trading_accounts":
            mine = links[int(item["link_first"]) : int(item["link_first"]) + int(item["link_count"])]
            return NewTradingAccount(int(item["id"]), tuple((int(x["ledger"]), int(x["account_id"])) for x in mine))
        case "submit_orders":
            return _logged_order(item)
        case "cancel_orders" | "replace_orders":
            values = [
                int(item[each]) if item["fields"] & bit else None
                for bit, each in ((1, "quantity"), (2, "price"), (4, "stop_price"))
            ]
            client_order_id = int(item["client_order_id_lo"]) | int(item["client_order_id_hi"]) << 64
            return Amend(int(item["account_id"]), int(item["order_id"]), client_order_id, *values)
        case "mass_cancel":
            side = {0: None, 1: Side.BUY, 2: Side.SELL}[int(item["sides"])]
            return MassCancel(int(item["account_id"]), text(item), int(item["session"]), side)
        case "set_limits":
            mine = links[int(item["value_first"]) : int(item["value_first"]) + int(item["value_count"])]
            values = tuple((int(x["name"]), None if x["unset"] else int(x["value"])) for x in mine)
            scope = LimitScope(item["scope"])
            whose = int(item["id_0"]) if scope == LimitScope.ACCOUNT else text(item, "id")
            return SetLimits(scope, whose, values, text(item), text(item, "actor"))
        case "set_session":
            return SessionChange(text(item), Session(item["state"]), bool(item["flags"] & SessionFlag.NO_CANCEL))
        case "end_of_day":
            return text(item), int(item["price"]), int(item["business_date"])
        case "bust_trades":
            return int(item["trade_id"]), int(item["price"])
    raise AssertionError(method)


def _logged_order(item: Any) -> NewOrder:
    return NewOrder(
        account_id=int(item["account_id"]),
        client_order_id=int(item["client_order_id_lo"]) | int(item["client_order_id_hi"]) << 64,
        symbol=text(item),
        side=Side(item["side"]),
        quantity=int(item["quantity"]),
        price=int(item["price"]),
        type=OrderType(item["type"]),
        time_in_force=TimeInForce(item["time_in_force"]),
        stop_price=int(item["stop_price"]),
        display_quantity=int(item["display_quantity"]),
        expire_time=int(item["expire_time"]),
        session=int(item["session"]),
        self_trade_prevention=SelfTradePrevention(item["self_trade_prevention"]),
        offset=Offset(item["offset"]),
        post_only=bool(item["flags"] & OrderFlag.POST_ONLY),
    )


# --- commands, as they were sent ----------------------------------------------------------------------

LOGGED_AS = {"correct_trades": "bust_trades"}


def sent(method: str, params: Any) -> tuple[Any, ...]:
    """Return what `logged` must say of a request that was sent, but for sessions, which the server numbers."""
    match method:
        case "submit_orders":
            return tuple(_sent_order(item) for item in params)
        case "cancel_orders" | "replace_orders":
            return tuple(_sent_amend(item) for item in params)
        case "mass_cancel":
            side = Side[params["side"].upper()] if "side" in params else None
            return (MassCancel(params.get("account_id", 0), params.get("instrument", ""), 0, side),)
        case "set_session":
            state = Session[params["state"].upper()]
            return (SessionChange(params["instrument"], state, not params.get("cancels", True)),)
        case "end_of_day":
            prices = params.get("settlement_prices", {}).items()
            return (("", 0, params["business_date"]), *((symbol, price, 0) for symbol, price in prices))
        case "bust_trades" | "correct_trades":
            return tuple((item["trade_id"], item.get("price", 0)) for item in params)
        case "update_accounts":
            return tuple(Update(item["id"], item.get("overdraft_limit"), item.get("frozen")) for item in params)
    raise AssertionError(method)


def _sent_order(item: Mapping[str, Any]) -> NewOrder:
    return NewOrder(
        account_id=item["account_id"],
        client_order_id=number(item["client_order_id"]),
        symbol=item["instrument"],
        side=Side[item["side"].upper()],
        quantity=item["quantity"],
        price=item.get("price", 0),
        type=OrderType[item["type"].upper()],
        time_in_force=TimeInForce[item.get("time_in_force", "day").upper()],
        stop_price=item.get("stop_price", 0),
        display_quantity=item.get("display_quantity", 0),
        expire_time=item.get("expire_time", 0),
        self_trade_prevention=SelfTradePrevention[item.get("self_trade_prevention", "none").upper()],
        offset=Offset[item.get("offset", "auto").upper()],
        post_only=item.get("post_only", False),
    )


def _sent_amend(item: Mapping[str, Any]) -> Amend:
    return Amend(
        item["account_id"],
        item.get("order_id", 0),
        number(item["client_order_id"]) if "client_order_id" in item else 0,
        item.get("quantity"),
        item.get("price"),
        item.get("stop_price"),
    )


def without_sessions(items: Sequence[Any]) -> tuple[Any, ...]:
    """Return logged items as if their senders had no sessions."""
    return tuple(item._replace(session=0) if isinstance(item, NewOrder) else item for item in items)
