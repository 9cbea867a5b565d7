"""The params of the order methods in plain Python: what docs/PROTOCOL.md says about them, for `tests/models/wire.py`.

Each reader gives the values that the compiled parser must put into its records, under the records' names.
"""

import datetime
import re
from collections.abc import Callable
from typing import Any

from engine.order_results import (
    AmendField,
    InstrumentField,
    InstrumentFlag,
    Offset,
    OrderFilterFlag,
    OrderFlag,
    OrderType,
    SelfTradePrevention,
    Session,
    SessionFlag,
    Side,
    TimeInForce,
)
from tests.models.values import (
    INT63,
    Number,
    Pairs,
    Read,
    Shape,
    WireError,
    array,
    boolean,
    integer,
    members,
    require,
    uuid_number,
)

PROFILES: dict[str, dict[str, Any]] = {
    "test-stock": {
        "tick_size": 1,
        "lot_size": 100,
        "price_band_ppm": 100_000,
        "settlement": "T+1",
        "session": "closed",
    },
    "test-futures": {"tick_size": 5, "lot_size": 1, "contract_size": 5, "kind": "futures", "pricing": "median"},
}
"""What the parser under test is made with."""


# --- values -----------------------------------------------------------------------------------------------------------


def symbol(value: Any, path: str) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[A-Z0-9._-]{1,24}", value):
        raise WireError(-32602, path)
    return value


def text(value: Any, path: str) -> str:
    """1 to 24 printable characters, or an integer as its digits."""
    if isinstance(value, Number):
        return str(integer(0, 2**64 - 1)(value, path))
    if not isinstance(value, str) or not re.fullmatch(r"[ -~]{1,24}", value):
        raise WireError(-32602, path)
    return value


def name(*names: str) -> Callable[[Any, str], int]:
    """The place of a name among names."""

    def read(value: Any, path: str) -> int:
        if not isinstance(value, str) or value not in names:
            raise WireError(-32602, path)
        return names.index(value)

    return read


def of(kind: Any) -> Callable[[Any, str], int]:
    return name(*(member.name.lower() for member in kind))


def table(key: Callable[[str, str], Any]) -> Callable[[Any, str], list[tuple[Any, int]]]:
    """An object whose keys are values. That no key is there twice is looked at last."""

    def read(value: Any, path: str) -> list[tuple[Any, int]]:
        if not isinstance(value, Pairs):
            raise WireError(-32602, path)
        rows = []
        for label, amount in value:
            rows.append((key(label, path), integer(1, INT63)(amount, f"{path}.{label}")))
        keys = [row[0] for row in rows]
        for one in keys:
            if keys.count(one) > 1:
                raise WireError(-32602, path)
        return rows

    return read


def ledger(label: str, path: str) -> int:
    return integer(1, 2**32 - 1)(label, path)


def id128(value: Any, path: str) -> int:
    """A UUID; that it is an id is looked at when the whole item has been read."""
    return uuid_number(value, path)


def check_id(given: dict[str, Any], path: str) -> None:
    if given.get("client_order_id") in (0, 2**128 - 1):
        raise WireError(-32602, f"{path}.client_order_id")


# --- items ------------------------------------------------------------------------------------------------------------

amount = integer(0, INT63)
small = integer(0, 2**32 - 1)
positive = integer(1, INT63)

ORDER: Shape = {
    "client_order_id": id128, "account_id": amount, "instrument": symbol, "side": of(Side), "type": of(OrderType),
    "quantity": amount, "price": amount, "stop_price": amount, "time_in_force": of(TimeInForce),
    "expire_time": amount, "display_quantity": amount, "post_only": boolean,
    "self_trade_prevention": of(SelfTradePrevention), "offset": of(Offset),
}  # fmt: skip


def order(value: Any, path: str) -> dict[str, Any]:
    given = members(value, path, ORDER)
    check_id(given, path)
    require(given, path, "client_order_id", "account_id", "instrument", "side", "type", "quantity")
    stop = given["type"] in (OrderType.STOP, OrderType.STOP_LIMIT)
    if not stop and "stop_price" in given:
        raise WireError(-32602, f"{path}.stop_price")
    if given.get("time_in_force") != TimeInForce.GTD and "expire_time" in given:
        raise WireError(-32602, f"{path}.expire_time")
    if given["type"] in (OrderType.LIMIT, OrderType.STOP_LIMIT):
        require(given, path, "price")
    if stop:
        require(given, path, "stop_price")
    if given.get("time_in_force") == TimeInForce.GTD:
        require(given, path, "expire_time")
    flags = OrderFlag.POST_ONLY if given.pop("post_only", False) else 0
    names = [member for member in ORDER if member != "post_only"]
    return dict.fromkeys(names, 0) | given | {"flags": int(flags)}


CANCEL: Shape = {"account_id": amount, "order_id": positive, "client_order_id": id128}
REPLACE: Shape = CANCEL | {"quantity": amount, "price": amount, "stop_price": amount}


def amend(shape: Shape) -> Callable[[Any, str], dict[str, Any]]:
    def read(value: Any, path: str) -> dict[str, Any]:
        given = members(value, path, shape)
        require(given, path, "account_id")
        if "order_id" in given and "client_order_id" in given:
            raise WireError(-32602, path)
        if "client_order_id" not in given:
            require(given, path, "order_id")
        check_id(given, path)
        fields = AmendField(0)
        for field in AmendField:
            if field.name is not None and field.name.lower() in given:
                fields |= field
        return dict.fromkeys(REPLACE, 0) | given | {"fields": int(fields)}

    return read


def bust(value: Any, path: str) -> dict[str, Any]:
    given = members(value, path, {"trade_id": positive})
    require(given, path, "trade_id")
    return given | {"price": 0}


def correction(value: Any, path: str) -> dict[str, Any]:
    given = members(value, path, {"trade_id": positive, "price": positive})
    require(given, path, "trade_id", "price")
    return given


CHANGEABLE: Shape = {
    "reference_price": amount, "price_band_ppm": small, "price_cage_ppm": small, "circuit_breaker_ppm": small,
    "market_protection_ppm": small, "maker_fee_ppm": small, "taker_fee_ppm": small, "transfer_fee_ppm": small,
    "sell_duty_ppm": small, "minimum_fee": amount, "initial_margin_ppm": small, "maintenance_margin_ppm": small,
}  # fmt: skip
INSTRUMENT: Shape = CHANGEABLE | {
    "instrument": symbol, "base_ledger": small, "quote_ledger": small, "tick_size": amount, "lot_size": amount,
    "price_scale": amount, "contract_size": amount, "fee_account_id": amount, "settlement": name("T+0", "T+1"),
    "pricing": name("maker", "median"), "kind": name("spot", "futures"), "session": of(Session),
    "profile": name(*PROFILES),
}  # fmt: skip
TERMS = [member for member in INSTRUMENT if member not in ("settlement", "pricing", "kind", "profile")]


def instrument(value: Any, path: str) -> dict[str, Any]:
    given = members(value, path, INSTRUMENT)
    chosen = given.pop("profile", None)
    if chosen is not None:
        terms = list(PROFILES.values())[chosen]
        read = {term: INSTRUMENT[term](Number(str(v)) if isinstance(v, int) else v, path) for term, v in terms.items()}
        given = read | given
    require(given, path, "instrument", "base_ledger", "quote_ledger", "tick_size", "lot_size")
    flags = InstrumentFlag.T1 if given.pop("settlement", 0) else InstrumentFlag(0)
    if given.pop("pricing", 0):
        flags |= InstrumentFlag.MEDIAN_PRICE
    if given.pop("kind", 0):
        flags |= InstrumentFlag.FUTURES
    default = {
        "price_scale": 1, "contract_size": 1, "market_protection_ppm": 50_000, "session": int(Session.CONTINUOUS),
    }  # fmt: skip
    return dict.fromkeys(TERMS, 0) | default | given | {"flags": int(flags), "fields": 0}


def instrument_update(value: Any, path: str) -> dict[str, Any]:
    given = members(value, path, {"instrument": symbol} | CHANGEABLE)
    require(given, path, "instrument")
    fields = InstrumentField(0)
    for member, field in zip(CHANGEABLE, InstrumentField, strict=True):
        if member in given:
            fields |= field
    return dict.fromkeys(TERMS, 0) | given | {"flags": 0, "fields": int(fields)}


def trading_account(value: Any, path: str) -> dict[str, Any]:
    given = members(value, path, {"id": amount, "accounts": table(ledger), "owner": text, "desk": text})
    require(given, path, "id", "accounts")
    return {"owner": "", "desk": ""} | given


# --- params -----------------------------------------------------------------------------------------------------------


def single(read: Callable[[Any, str], list[dict[str, Any]]]) -> Read:
    return lambda params, _: read(params, "params")


def mass_cancel(params: Any, path: str) -> list[dict[str, Any]]:
    given = members(params, path, {"account_id": positive, "instrument": symbol, "side": of(Side)})
    side = given.pop("side", None)
    return [{"account_id": 0, "instrument": "", "sides": 0 if side is None else side + 1} | given]


def set_session(params: Any, path: str) -> list[dict[str, Any]]:
    given = members(params, path, {"instrument": symbol, "state": of(Session), "cancels": boolean})
    require(given, path, "instrument", "state")
    flags = 0 if given.pop("cancels", True) else int(SessionFlag.NO_CANCEL)
    return [given | {"flags": flags}]


def end_of_day(params: Any, path: str) -> list[dict[str, Any]]:
    given = members(params, path, {"business_date": small, "settlement_prices": table(symbol)})
    require(given, path, "business_date")
    try:
        date = datetime.datetime.strptime(f"{given['business_date']:08d}", "%Y%m%d").replace(tzinfo=datetime.UTC)
    except ValueError:
        raise WireError(-32602, f"{path}.business_date") from None
    if date.year < 1970 or given["business_date"] > 99991231:
        raise WireError(-32602, f"{path}.business_date")
    prices = given.get("settlement_prices", [])
    first = {"instrument": "", "price": 0, "business_date": given["business_date"]}
    return [first, *({"instrument": key, "price": price, "business_date": 0} for key, price in prices)]


FILTER = ("account_id", "timestamp_min", "timestamp_max", "after", "batch_min", "order_id", "limit", "flags")


def search(*names: str, required: str = "", more_flags: int = 0) -> Read:
    """Conditions; `required` must be among them."""

    def read(params: Any, limits: Any) -> list[dict[str, Any]]:
        limit = integer(1, limits.query_limit_max)
        known: Shape = {
            "timestamp_min": amount, "timestamp_max": amount, "limit": limit, "depth": limit, "open_only": boolean,
            "reversed": boolean, "account_id": positive, "instrument": symbol, "order_id": positive, "after": amount,
            "from_seq": amount,
        }  # fmt: skip
        given = members(params, "params", {member: known[member] for member in names})
        if (required == "account_id" and "instrument" not in given) or required == "instrument":
            require(given, "params", required)
        if given.get("timestamp_max", 0) and given.get("timestamp_min", 0) > given["timestamp_max"]:
            raise WireError(-32602, "params.timestamp_min")
        flags = OrderFilterFlag(more_flags)
        if given.pop("open_only", False):
            flags |= OrderFilterFlag.OPEN_ONLY
        if given.pop("reversed", False):
            flags |= OrderFilterFlag.NEWEST_FIRST
        if "depth" in given:
            given["limit"] = given.pop("depth")
        if "from_seq" in given:
            given["batch_min"] = given.pop("from_seq")
        default = dict.fromkeys(FILTER, 0) | {"limit": limits.query_limit_max, "instrument": ""}
        return [default | given | {"flags": int(flags)}]

    return read


TIMES = ("timestamp_min", "timestamp_max", "limit", "reversed")


def topics(params: Any, limits: Any) -> list[dict[str, Any]]:
    """Only what the parser itself decides: the shape. Of several errors any may be named."""
    given = dict(params) if isinstance(params, Pairs) else {}

    def whole(number: Any, low: int, high: int) -> bool:
        digits = number.text if isinstance(number, Number) else number
        return number is None or (
            isinstance(digits, str)
            and re.fullmatch(r"0|[1-9][0-9]{0,18}", digits) is not None
            and low <= int(digits) <= high
        )

    wanted = given.get("topics")
    if (
        not isinstance(params, Pairs)
        or len(given) != len(params)
        or not set(given) <= {"topics", "from_seq", "depth"}
        or not isinstance(wanted, list)
        or isinstance(wanted, Pairs)
        or not 1 <= len(wanted) <= 1024
        or not all(isinstance(topic, str) for topic in wanted)
        or not whole(given.get("from_seq"), 0, INT63)
        or not whole(given.get("depth"), 1, 8190)
    ):
        raise WireError(-32602, "params")
    return []


METHODS: dict[str, Read] = {
    "create_instruments": array(instrument),
    "update_instruments": array(instrument_update),
    "create_trading_accounts": array(trading_account),
    "submit_orders": array(order),
    "cancel_orders": array(amend(CANCEL)),
    "replace_orders": array(amend(REPLACE)),
    "mass_cancel": single(mass_cancel),
    "set_session": single(set_session),
    "end_of_day": single(end_of_day),
    "bust_trades": array(bust),
    "correct_trades": array(correction),
    "get_orders": search(*TIMES, "open_only", "account_id", "instrument", "order_id", "after", required="account_id"),
    "get_book": search("instrument", "depth", required="instrument"),
    "get_trades": search(*TIMES, "account_id", "instrument", "after", "from_seq"),
    "get_positions": search("account_id", "instrument", "limit"),
    "get_margin_calls": search("account_id", "instrument", "limit", more_flags=int(OrderFilterFlag.MARGIN_CALLS)),
    "get_executions": search(*TIMES, "account_id", "instrument", "order_id", "after", "from_seq"),
    "get_instruments": search("instrument", "limit"),
    "subscribe": topics,
    "unsubscribe": topics,
}
SAME_KIND = {"correct_trades": "bust_trades", "get_margin_calls": "get_positions"}
"""Methods whose requests look the same in a batch."""
