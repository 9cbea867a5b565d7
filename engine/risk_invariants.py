"""What must be true of exposures and limits, recomputed from open orders, positions and their marks. Slow."""

from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from engine.errors import InvariantError
from engine.order_results import InstrumentFlag

if TYPE_CHECKING:
    from engine.machine import Engine

_NONE = 0xFFFFFFFF
_NEUTRAL = 2
_SELL = 1
_HELD_MAX = 2**61
_VALUE_MAX = 2**56
_RATE = 1_000_000
_BY_ITSELF = {"kill_switch"}
"""Of the defaults: not part of an account's own limits."""
_SUMS = ("open_orders", "open_buy", "open_sell", "long_value", "short_value", "realised", "unrealised")

Records = npt.NDArray[Any]


def check(engine: "Engine") -> None:
    """Raises InvariantError, naming what is wrong, unless exposures and limits are consistent.

    Each position's row is worth what its mark says, its open values are those of its open orders, and each account,
    desk, client and instrument has the sums of its positions; accounts have the defaults where they have nothing own.
    """
    groups = {name: engine.array(f"{name}_groups") for name in ("account", "instrument", "named")}
    _require(len(groups["account"]) == engine.array("trading_accounts").size, "a trading account has no limits")
    _require(len(groups["instrument"]) == engine.array("instruments").size, "an instrument has no limits")
    sums: dict[tuple[str, int], dict[str, int]] = {}
    _add_orders(engine, groups, sums)
    _add_positions(engine, groups, sums)
    for name, records in groups.items():
        for slot, group in enumerate(records):
            expected = sums.get((name, slot), dict.fromkeys(_SUMS, 0))
            found = {key: int(group["exposure"][key]) for key in _SUMS}
            _require(found == expected, f"{name} group {slot}: {found} is not {expected}, the sum of its positions")
    _check_defaults(groups)
    bits = sum(int(own).bit_count() for records in groups.values() for own in records["own"])
    bits += sum(int(own).bit_count() for own in engine.array("limit_pairs")["own"])
    _require(int(engine.array("risk")["limited"][0]) == bits, f"{bits} limits are set, another number is told")


def _require(condition: object, message: str) -> None:
    if not condition:
        raise InvariantError(message)


def _half_even(above: int, below: int) -> int:
    quotient, rest = divmod(above, below)
    return quotient + (2 * rest > below or (2 * rest == below and quotient % 2 == 1))


def _notional(instrument: Records, ticks: int, quantity: int) -> int:
    above = ticks * int(instrument["tick_size"]) * quantity * int(instrument["contract_size"])
    return _half_even(above, int(instrument["price_scale"]))


def _converted(amount: int, rate: int) -> int:
    return min(_half_even(amount * rate, _RATE), _VALUE_MAX + 1)


def _clamped(amount: int, rate: int) -> int:
    value = min(_half_even(abs(amount) * rate, _RATE), _VALUE_MAX)
    return value if amount >= 0 else -value


def _members(engine: "Engine", groups: dict[str, Records], position: int) -> list[tuple[str, int]]:
    row = engine.array("positions")[position]
    account = groups["account"][int(row["account"])]
    named = [("named", int(account[name])) for name in ("desk", "client") if account[name] != _NEUTRAL]
    return [("account", int(row["account"])), ("instrument", int(row["instrument"])), *named]


def _add(sums: dict[tuple[str, int], dict[str, int]], members: list[tuple[str, int]], **values: int) -> None:
    for member in members:
        into = sums.setdefault(member, dict.fromkeys(_SUMS, 0))
        for name, value in values.items():
            into[name] += value


def _add_orders(engine: "Engine", groups: dict[str, Records], sums: dict[tuple[str, int], dict[str, int]]) -> None:
    orders, instruments, rows = engine.array("orders"), engine.array("instruments"), engine.array("position_risks")
    opened: dict[tuple[int, str], int] = {}
    for order in orders[orders["place"] != 0]:
        rate = int(groups["instrument"][int(order["instrument"])]["limits"]["exposure_rate"])
        value = _converted(
            _notional(instruments[int(order["instrument"])], int(order["price"]), int(order["leaves"])), rate
        )
        side = "open_sell" if order["traits"] & _SELL else "open_buy"
        position = int(order["position"])
        opened[position, side] = opened.get((position, side), 0) + value
        _add(sums, _members(engine, groups, position), open_orders=1, **{side: value})
    for position, row in enumerate(rows):
        for side in ("open_buy", "open_sell"):
            expected = opened.get((position, side), 0)
            _require(
                int(row[side]) == expected,
                f"position {position}: {side} is {row[side]}, its open orders are worth {expected}",
            )


def _add_positions(engine: "Engine", groups: dict[str, Records], sums: dict[tuple[str, int], dict[str, int]]) -> None:
    positions, instruments = engine.array("positions"), engine.array("instruments")
    for number, row in enumerate(engine.array("position_risks")):
        position = positions[number]
        instrument = instruments[int(position["instrument"])]
        rate = int(groups["instrument"][int(position["instrument"])]["limits"]["exposure_rate"])
        quantity, basis = int(row["quantity"]), int(row["basis"])
        if int(instrument["flags"]) & InstrumentFlag.FUTURES:
            held = int(position["long_quantity"]) - int(position["short_quantity"])
            _require(quantity == held, f"position {number}: {quantity} in its row, {held} in the books")
        worth = basis
        if row["mark"]:
            notional = min(_notional(instrument, int(row["mark"]), abs(quantity)), _HELD_MAX)
            worth = -notional if quantity < 0 else notional
        expected = {
            "value": _clamped(worth, rate),
            "unrealised": _clamped(max(-_HELD_MAX, min(worth - basis, _HELD_MAX)), rate),
            "realised_value": _clamped(int(row["realised"]), rate),
        }
        found = {name: int(row[name]) for name in expected}
        _require(found == expected, f"position {number}: {found} is not {expected}, its worth at its mark")
        _add(
            sums,
            _members(engine, groups, number),
            long_value=max(found["value"], 0),
            short_value=max(-found["value"], 0),
            realised=found["realised_value"],
            unrealised=found["unrealised"],
        )


def _check_defaults(groups: dict[str, Records]) -> None:
    default = groups["named"][0]["limits"]
    names = groups["account"].dtype["limits"].names or ()
    for slot, group in enumerate(groups["account"]):
        for bit, name in enumerate(names):
            if not int(group["own"]) >> bit & 1 and name not in _BY_ITSELF:
                _require(
                    group["limits"][name] == default[name], f"account group {slot}: {name} is neither own nor default"
                )
