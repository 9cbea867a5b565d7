"""What must be true of the books and of settlement, recomputed from orders, positions and trades. Slow."""

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from engine.errors import InvariantError
from engine.order_results import CLEARING_ACCOUNT_BASE, ExecutionKind, InstrumentFlag, OrderStatus, Session

if TYPE_CHECKING:
    from engine.machine import Engine

_NONE = 0xFFFFFFFF
_BOOK, _STOPS = 1, 2
_SELL, _ICEBERG, _GUARDED = 1, 4096, 8192
_DIGITS = 6

Records = npt.NDArray[Any]


def check(engine: "Engine") -> None:
    """Raises InvariantError, naming what is wrong, unless books, holds, positions and executions are consistent.

    Levels are sorted and their totals those of their orders, bid below ask while trading is continuous; what accounts
    hold is what orders, positions and the day's unsettled trades say; filled quantities are those of the trades.
    """
    orders, details = engine.array("orders"), engine.array("order_details")
    instruments = engine.array("instruments")
    standing = _check_books(engine, instruments, orders, details)
    open_orders = np.flatnonzero(orders["place"] != 0)
    _require(np.array_equal(np.sort(standing), open_orders), "not exactly the open orders stand in books")
    _require(engine.open_orders == len(open_orders), "the number of open orders is wrong")
    _check_orders(engine, orders, details)
    _check_positions(engine, orders, details)
    _check_holdings(engine, instruments, orders)
    _check_executions(engine, orders, details)


def held(engine: "Engine") -> tuple[Records, Records]:
    """What holdings add to debits_pending and credits_pending, per account slot."""
    accounts = len(engine.array("accounts"))
    debits, credits_ = np.zeros(accounts, dtype=np.uint64), np.zeros(accounts, dtype=np.uint64)
    holdings = engine.array("holdings")
    np.add.at(debits, holdings["account"], holdings["pending"])
    used = holdings[holdings["clearing"] != _NONE]
    np.add.at(credits_, used["clearing"], used["pending"])
    return debits, credits_


def _require(condition: object, message: str) -> None:
    if not condition:
        raise InvariantError(message)


# --- books ----------------------------------------------------------------------------------------


def _check_books(engine: "Engine", instruments: Records, orders: Records, details: Records) -> Records:
    levels, nodes = engine.array("levels"), engine.array("nodes")
    standing: list[int] = []
    used_levels: list[int] = []
    used_nodes: list[int] = []
    slices = 0
    for number, instrument in enumerate(instruments):
        best = [0, 0]
        count = guarded = 0
        for fold, side in enumerate(instrument["sides"]):
            found: list[tuple[int, int]] = []
            if side["height"]:
                _walk(nodes, int(side["root"]), int(side["height"]), 0, found, used_nodes)
            prices = [price for price, _ in found]
            where = f"instrument {number}, side {fold}"
            _require(prices == sorted(set(prices)), f"{where}: levels are not sorted")
            _require(len(found) == side["levels"], f"{where}: {side['levels']} levels are counted, {len(found)} exist")
            descending = fold in (0, 3)
            expected = _NONE if not found else found[-1 if descending else 0][1]
            _require(side["best"] == expected, f"{where}: the best level is not the best")
            total = 0
            in_side = 0
            for price, level in found:
                slots = _check_level(levels[level], orders, level, where)
                price_of = details["stop_price"] if fold >= _STOPS else orders["price"]
                _require(levels[level]["price"] == price, f"{where}: a level does not stand at its price")
                for slot in slots:
                    order = orders[slot]
                    _require(price_of[slot] == price, f"order {slot + 1} stands at another price")
                    _require(order["instrument"] == number, f"order {slot + 1} stands in another instrument's book")
                    _require((order["traits"] & _SELL) == fold % 2, f"order {slot + 1} stands on the wrong side")
                    place = _STOPS if fold >= _STOPS else _BOOK
                    _require(order["place"] == place, f"order {slot + 1}: its place is wrong")
                    total += int(order["leaves"])
                    guarded += bool(order["traits"] & _GUARDED)
                    count += _slices(order, details[slot])
                standing += slots
                in_side += len(slots)
            _require(side["total"] == total, f"{where}: the total is {side['total']}, its orders sum to {total}")
            _require(side["orders"] == in_side, f"{where}: the number of orders is wrong")
            used_levels += [level for _, level in found]
            if found and fold < _STOPS:
                best[fold] = found[-1 if descending else 0][0]
        crossed = best[0] and best[1] and best[0] >= best[1]
        _require(
            not (crossed and instrument["session"] == Session.CONTINUOUS), f"instrument {number}: the book is crossed"
        )
        _require(instrument["slices"] == count, f"instrument {number}: slices are counted wrong")
        _require(instrument["guarded"] == guarded, f"instrument {number}: guarded orders are counted wrong")
        slices += count
    _require(engine.slices == slices, "slices are counted wrong")
    state = engine.array("exchange")[0]
    _check_pool("level", len(levels), used_levels, int(state["level_free"]), lambda slot: int(levels[slot]["first"]))
    _check_pool("node", len(nodes), used_nodes, int(state["node_free"]), lambda slot: int(nodes[slot]["used"]))
    return np.array(standing, dtype=np.int64)


def _walk(  # noqa: PLR0917 - a recursion's arguments
    nodes: Records, slot: int, floor: int, base: int, found: list[tuple[int, int]], used: list[int]
) -> None:
    """Levels below a node, by rising price."""
    used.append(slot)
    bits = int(nodes[slot]["used"])
    _require(bits, "a node of a tree is empty")
    for digit in range(64):
        if bits >> digit & 1:
            child = int(nodes[slot]["children"][digit])
            price = base << _DIGITS | digit
            if floor == 1:
                found.append((price, child))
            else:
                _walk(nodes, child, floor - 1, price, found, used)


def _check_level(level: np.void, orders: Records, number: int, where: str) -> list[int]:
    """The slots of a level's orders, oldest first."""
    slots: list[int] = []
    slot, previous = int(level["first"]), _NONE
    quantity = hidden = 0
    while slot != _NONE:
        order = orders[slot]
        _require(order["previous"] == previous, f"{where}: order {slot + 1} does not lead to the one before it")
        _require(order["level"] == number, f"{where}: order {slot + 1} does not know its level")
        _require(1 <= order["visible"] <= order["leaves"], f"{where}: order {slot + 1} shows what it does not have")
        slots.append(slot)
        quantity += int(order["visible"])
        hidden += int(order["leaves"] - order["visible"])
        previous, slot = slot, int(order["next"])
        _require(len(slots) <= len(orders), f"{where}: a queue runs in a circle")
    _require(slots and level["last"] == previous, f"{where}: a level is empty, or its last order is not the last")
    _require(level["count"] == len(slots), f"{where}: a level counts its orders wrong")
    totals = (level["quantity"], level["hidden"])
    _require(totals == (quantity, hidden), f"{where}: a level's totals are not its orders'")
    return slots


def _slices(order: np.void, detail: np.void) -> int:
    if not order["traits"] & _ICEBERG:
        return 1
    return -(-int(order["leaves"]) // int(detail["display"])) + 1


def _check_pool(name: str, count: int, used: list[int], free: int, following: Any) -> None:
    """Every record of a pool is used once or free."""
    _require(len(used) == len(set(used)), f"a {name} is used twice")
    frees = set()
    while free != _NONE:
        _require(free not in frees, f"free {name}s run in a circle")
        frees.add(free)
        free = following(free)
    _require(not frees & set(used), f"a {name} is used and free")
    _require(len(frees) + len(used) == count, f"{count} {name}s exist, {len(used)} are used and {len(frees)} free")


# --- orders, positions, holds ---------------------------------------------------------------------


def _check_orders(engine: "Engine", orders: Records, details: Records) -> None:
    closed = orders[orders["place"] == 0]
    _require(
        not np.any(closed["leaves"]) and not np.any(closed["held"]), "a closed order has leaves or holds something"
    )
    is_open = orders["place"] != 0
    _require(
        np.all(orders["filled"][is_open] + orders["leaves"][is_open] == details["quantity"][is_open]),
        "an open order's quantity is not what is filled and what is left",
    )
    _require(np.all(orders["status"][is_open] <= OrderStatus.PARTIALLY_FILLED), "an open order has a final status")
    _require(np.all(orders["status"][~is_open] >= OrderStatus.FILLED), "a closed order has no final status")
    trades = engine.array("trades")
    filled = np.zeros(len(orders), dtype=np.uint64)
    original = trades[trades["corrects"] == _NONE]
    np.add.at(filled, original["buy_order"], original["quantity"])
    np.add.at(filled, original["sell_order"], original["quantity"])
    _require(np.array_equal(filled, orders["filled"]), "what an order has filled is not the sum of its trades")


def _check_positions(engine: "Engine", orders: Records, details: Records) -> None:
    positions, instruments = engine.array("positions"), engine.array("instruments")
    is_open = orders["place"] != 0
    sells = (orders["traits"] & _SELL) != 0
    futures = (instruments["flags"][orders["instrument"]] & InstrumentFlag.FUTURES) != 0
    for name, values, chosen in (
        ("open_buy", orders["leaves"], is_open & ~sells),
        ("open_sell", orders["leaves"], is_open & sells),
        ("closing_long", details["closing"], is_open & sells),
        ("closing_short", details["closing"], is_open & ~sells),
        ("open_held", orders["held"], is_open & (~sells | futures)),
        ("open_orders", np.ones(len(orders), dtype=np.uint64), is_open),
    ):
        sums = np.zeros(len(positions), dtype=np.uint64)
        np.add.at(sums, orders["position"][chosen], values[chosen])
        _require(np.array_equal(sums, positions[name]), f"{name} of a position is not the sum over its open orders")
    for side in ("long", "short"):
        quantity = positions[f"{side}_quantity"]
        _require(np.all(positions[f"closing_{side}"] <= quantity), f"orders close more than is {side}")
        _require(np.all(positions[f"{side}_today"] <= quantity), f"more of today than there is {side}")
    for number in range(len(instruments)):
        of = positions[positions["instrument"] == number]
        balance = int(np.sum(of["long_quantity"])) - int(np.sum(of["short_quantity"]))
        _require(balance == 0, f"instrument {number}: long and short positions differ by {balance}")
    accounts = engine.array("trading_accounts")
    sums = np.zeros(len(accounts), dtype=np.uint64)
    np.add.at(sums, positions["account"], positions["open_orders"])
    _require(np.array_equal(sums, accounts["open_orders"]), "a trading account counts its open orders wrong")


def _check_holdings(engine: "Engine", instruments: Records, orders: Records) -> None:
    holdings, positions, accounts = engine.array("holdings"), engine.array("positions"), engine.array("accounts")
    expected = np.zeros(len(holdings), dtype=np.uint64)
    asset = (orders["traits"] & _SELL != 0) & (instruments["flags"][orders["instrument"]] & InstrumentFlag.FUTURES == 0)
    payer = np.where(
        asset, positions["base_holding"][orders["position"]], positions["quote_holding"][orders["position"]]
    )
    holds = orders["held"] > 0
    np.add.at(expected, payer[holds], orders["held"][holds])
    with_margin = positions[positions["margin"] > 0]
    np.add.at(expected, with_margin["quote_holding"], with_margin["margin"])
    _require(np.array_equal(expected, holdings["held"]), "an account holds other than its orders and positions do")
    pending = np.maximum(holdings["held"], holdings["proceeds"]) + holdings["bought"]
    _require(np.array_equal(pending, holdings["pending"]), "a holding is not in its account's pending debits")
    for slot in np.flatnonzero(instruments["base_clearing"] != _NONE):
        for side in ("base", "quote"):
            account = accounts[instruments[slot][f"{side}_clearing"]]
            _require(
                account["id"] == CLEARING_ACCOUNT_BASE + int(instruments[slot][f"{side}_ledger"]),
                f"instrument {slot}: its clearing account is somebody else's",
            )


def _check_executions(engine: "Engine", orders: Records, details: Records) -> None:
    executions, trades = engine.array("executions"), engine.array("trades")
    for name, records in (("executions", executions), ("trades", trades)):
        times, batches = records["timestamp"], records["batch"]
        _require(np.all(batches[1:] >= batches[:-1]), f"{name} are not in the order of their batches")
        _require(len(times) == 0 or np.max(times) <= engine.last_timestamp, f"one of the {name} lies in the future")
    _require(np.all(trades["timestamp"][1:] > trades["timestamp"][:-1]), "timestamps of trades do not rise")
    newest = np.full(len(orders), _NONE, dtype=np.uint32)
    newest[executions["order"]] = np.arange(len(executions), dtype=np.uint32)
    _require(np.array_equal(newest, details["execution_last"]), "an order does not lead to its newest execution")
    fills = executions[executions["kind"] == ExecutionKind.FILL]
    _require(len(fills) == 2 * np.count_nonzero(trades["corrects"] == _NONE), "a trade has not two executions")
    transfers = engine.array("transfers")
    for trade in trades[-1000:]:
        legs = transfers[trade["transfer_first"] : trade["transfer_first"] + trade["transfer_count"]]
        number = legs["user_data_64"]
        _require(len(set(number.tolist())) <= 1, "a trade leads to another trade's transfers")
