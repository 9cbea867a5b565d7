"""An order, four groups, and the ways of asking whether it may pass."""

import ctypes
from typing import Any, NamedTuple

import numpy as np

from engine._core.order_codes import NUMBERS
from engine._core.risk_records import EXPOSURE, FINDING, LIMITS, RISK_ORDER
from engine.risk import kernel
from engine.risk.compiled import kernels
from tests.models.risk_formula import SCOPES, Refusal, judge

UNLIMITED = 2**63 - 1
GROUPS = SCOPES[:4]
NEUTRAL_0 = (
    "order_burst",
    "order_to_trade_free",
    "duplicate_order",
    "short_sale",
    "suitability",
    "suitability_confirmed",
    "restricted",
    "kill_switch",
)
REASONS = {number: name.removeprefix("REASON_").lower() for name, number in NUMBERS["Reason"].items()}


class Case(NamedTuple):
    """Records: an order, and limits and exposures of account, desk, client, instrument."""

    order: Any
    limits: Any
    exposures: Any

    def rows(self) -> list[Any]:
        """The arguments of `decide` before `out`."""
        groups = [row for scope in range(4) for row in (self.limits[scope], self.exposures[scope])]
        return [self.order[0], *groups]


def fill(records: Any, values: dict[str, int]) -> None:
    for name, value in values.items():
        records[name] = value


def case(order: dict[str, int] | None = None, **groups: dict[str, int]) -> Case:
    """A buy of 10 at 100 by somebody who has nothing and is not limited, but for what is given.

    Groups by scope's name; what is not a limit is an exposure.
    """
    made = Case(np.zeros(1, RISK_ORDER), np.zeros(4, LIMITS), np.zeros(4, EXPOSURE))
    fill(made.order, {"time": 10**18, "price": 100, "quantity": 10, "value": 1_000, "duplicate_age": -1})
    fill(made.order, {"position_long": UNLIMITED, "position_short": UNLIMITED})
    for name in LIMITS.names or ():
        made.limits[name] = 0 if name in NEUTRAL_0 else UNLIMITED
    made.limits["exposure_rate"] = 10**6
    fill(made.order, order or {})
    for scope, values in groups.items():
        for name, value in values.items():
            rows = made.limits if name in (LIMITS.names or ()) else made.exposures
            rows[name][GROUPS.index(scope)] = value
    return made


def found(verdict: int, out: Any) -> Refusal | None:
    """What a verdict and a finding say, in the formula's words."""
    if verdict == kernel.ACCEPT:
        assert out.tobytes() == bytes(FINDING.itemsize), "something was written about an order that may pass"
        return None
    assert out["check"][0] == 0
    scope, limit, used, asked = (int(out[name][0]) for name in ("scope", "limit", "used", "asked"))
    return Refusal(REASONS[verdict], SCOPES[scope], limit, used, asked)


def plainly(asked: Case) -> Refusal | None:
    """The function as it stands, on NumPy's records."""
    out = np.zeros(1, FINDING)
    return found(int(kernel.decide(*asked.rows(), out[0])), out)


def compiled(asked: Case) -> Refusal | None:
    """Compiled, called from Python."""
    out = np.zeros(1, FINDING)
    return found(kernels().decide(*asked.rows(), out[0]), out)


def by_address(asked: Case) -> Refusal | None:
    """Compiled, called as the engine calls it."""
    out = np.zeros(1, FINDING)
    function = ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_void_p] * 10)(kernels().address)
    groups = [
        each.ctypes.data + scope * each.itemsize for scope in range(4) for each in (asked.limits, asked.exposures)
    ]
    return found(function(asked.order.ctypes.data, *groups, out.ctypes.data), out)


def formula(asked: Case) -> Refusal | None:
    """The plain formula."""
    order = {name: int(asked.order[name][0]) for name in RISK_ORDER.names or ()}
    limits = {s: {name: int(asked.limits[name][i]) for name in LIMITS.names or ()} for i, s in enumerate(GROUPS)}
    used = {s: {name: int(asked.exposures[name][i]) for name in EXPOSURE.names or ()} for i, s in enumerate(GROUPS)}
    return judge(order, limits, used)


WAYS = {"plain": plainly, "compiled": compiled, "by address": by_address, "formula": formula}
