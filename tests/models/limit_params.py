"""The params of the methods about limits in plain Python: what docs/PROTOCOL.md says, for `tests/models/wire.py`.

Each reader gives the values that the compiled parser must put into its records, under the records' names.
"""

from collections.abc import Callable
from typing import Any

from tests.models.order_params import amount, name, positive, symbol, text
from tests.models.values import INT63, Read, Shape, WireError, array, boolean, integer, members, require

SCOPES = ("account", "desk", "client", "instrument", "default", "approval")
NAMES = (
    "max_quantity", "max_notional", "price_collar", "open_orders", "open_notional", "position_long", "position_short",
    "gross_exposure", "net_exposure", "credit_limit", "daily_loss", "order_rate", "order_burst", "order_to_trade",
    "order_to_trade_free", "duplicate_order", "short_sale", "suitability", "suitability_confirmed", "programme_rate",
    "programme_day", "restricted", "kill_switch", "exposure_rate",
)  # fmt: skip
SHORT_SALES = ("allowed", "not_below_last", "forbidden")
VIEWS = 4
"""A page of limits has this fraction of the records that other reads give."""

scope = name(*SCOPES)


class Id:
    """An id as it was written; what it must be depends on the scope."""

    def __init__(self, value: Any, path: str) -> None:
        self.text = text(value, path)
        self.value, self.path = value, path

    def of(self, kind: str) -> str | int:
        if kind == "account":
            return integer(1, INT63)(self.value, self.path)
        if kind == "instrument":
            return symbol(self.value, self.path)
        return self.text


def value(label: str) -> Callable[[Any, str], int | None]:
    def read(given: Any, path: str) -> int | None:
        if given is None:
            return None
        if label in {"restricted", "kill_switch"}:
            return int(boolean(given, path))
        return name(*SHORT_SALES)(given, path) if label == "short_sale" else integer(0, INT63)(given, path)

    return read


def whose(given: dict[str, Any], path: str, *, required: bool) -> str | int:
    """The id as its scope has it; 0 without one."""
    kind = SCOPES[given["scope"]]
    if kind in {"default", "approval"}:
        if "id" in given:
            raise WireError(-32602, f"{path}.id")
        return 0
    if required:
        require(given, path, "id")
    found: str | int = given["id"].of(kind) if "id" in given else 0
    return found


LIMITS: Shape = {"scope": scope, "id": Id, "instrument": symbol} | {label: value(label) for label in NAMES}


def limits(item: Any, path: str) -> dict[str, Any]:
    given = members(item, path, LIMITS)
    require(given, path, "scope")
    if "instrument" in given and given["scope"] > SCOPES.index("client"):
        raise WireError(-32602, f"{path}.instrument")
    values = [(label, given[label]) for label in given if label in NAMES]
    if not values:
        raise WireError(-32602, path)
    id_ = whose(given, path, required=True)
    return {"scope": given["scope"], "id": id_, "instrument": given.get("instrument", ""), "values": values}


def approval(item: Any, path: str) -> dict[str, Any]:
    given = members(item, path, {"proposal_id": positive, "approve": boolean})
    require(given, path, "proposal_id")
    return {"proposal_id": given["proposal_id"], "approve": int(given.get("approve", True))}


def kill(params: Any, _limits: Any) -> list[Any]:
    given = members(params, "params", {"scope": scope, "id": Id, "on": boolean})
    require(given, "params", "scope", "on")
    if SCOPES[given["scope"]] == "approval":
        raise WireError(-32602, "params.scope")
    return [{"scope": given["scope"], "id": whose(given, "params", required=True), "on": int(given["on"])}]


def page(of_scope: bool) -> Callable[[Any, Any], list[Any]]:
    def read(params: Any, wire: Any) -> list[Any]:
        shape: Shape = {"after": amount, "limit": integer(1, wire.query_limit_max)}
        if of_scope:
            shape |= {"scope": scope, "id": Id}
        given = members(params, "params", shape)
        most = max(1, wire.query_limit_max // VIEWS)
        limit = min(given.get("limit", most), most)
        id_: str | int = 0
        if "scope" in given:
            id_ = whose(given, "params", required=False)
        elif "id" in given:
            raise WireError(-32602, "params.scope")
        found = {"scope": given.get("scope", len(SCOPES)), "id": id_, "after": given.get("after", 0), "limit": limit}
        return [found]

    return read


METHODS: dict[str, Read] = {
    "set_limits": array(limits),
    "approve_limits": array(approval),
    "kill_switch": kill,
    "get_limits": page(of_scope=True),
    "get_proposals": page(of_scope=False),
}
