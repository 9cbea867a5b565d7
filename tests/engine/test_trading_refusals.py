"""The refusal tables of trading, row by row and in pairs, on the plain model and on the engine."""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import pytest

from engine.order_results import OrderStatus, Reason
from tests.engine import trading_refusals as tables
from tests.engine.trading_refusals import (
    BUST,
    CANCEL,
    CANCELED,
    CLOSING_TRADE,
    DAY,
    ENDINGS,
    FUTURES,
    FUTURES_TRADE,
    NOW,
    ORDER,
    OWNER,
    REPLACE,
    REPLACED,
    SUBMIT,
    TRADE,
    Ending,
    Row,
    Steps,
    day,
)
from tests.engine.trading_subjects import Fast, Plain, Step
from tests.models.trading_records import OrderResult

SUBJECTS = pytest.mark.parametrize("subject", [Plain, Fast])


class Floor:
    """The exchange of the tables on one of the machines."""

    def __init__(self, subject: type[Plain] | type[Fast]) -> None:
        self.machine = subject()
        for step in tables.exchange():
            self.machine.apply(step)
        self.time = NOW + 1_000_000_000

    def do(self, method: str, items: tuple[Any, ...], *, scoped: bool = False) -> list[Any]:
        self.time += 1_000_000
        return self.machine.apply(Step(method, items, self.time, tables.STRANGERS if scoped else 0))

    def prepare(self, steps: Steps) -> None:
        """What is given must be possible itself."""
        for method, items in steps:
            for answer in self.do(method, items):
                refused = isinstance(answer, OrderResult) and answer.status == OrderStatus.REJECTED
                assert not refused, (method, items, answer)


def name(row: Row | Ending) -> str:
    return f"{row.reason.name.lower()}: {row.words}"


def together(rows: Sequence[Row]) -> Row:
    """Rows put together; orders, cancels and busts are given before what would keep them out."""
    change: dict[str, Any] = {}
    given: list[Any] = []
    for row in rows:
        change.update(row.change)
        given += [step for step in row.given if step not in given]
    given.sort(key=lambda step: step[0] not in {"submit_orders", "cancel_orders", "bust_trades"})
    words = " and ".join(row.words for row in rows)
    return Row(rows[0].reason, words, change, tuple(given), any(row.scoped for row in rows))


def pairs(rows: list[Row]) -> list[tuple[Row, Row]]:
    """Those that can be put together: not two values of one member, not two states of the market."""

    def members(row: Row) -> set[str]:
        """What it changes; some members mean something else beside others."""
        beside = {"type": {"price", "post_only", "display_quantity"}, "post_only": {"time_in_force"}}
        return set(row.change).union(*(beside.get(member, set()) for member in row.change))

    def methods(row: Row) -> set[str]:
        return {method for method, _ in row.given} & {"set_session", "create_transfers", "cancel_orders", "end_of_day"}

    return [
        (upper, lower)
        for upper, lower in combinations(rows, 2)
        if not (upper.alone or lower.alone)
        and not members(upper) & members(lower)
        and not methods(upper) & methods(lower)
    ]


def submit(floor: Floor, row: Row) -> OrderResult:
    floor.prepare(row.given)
    return floor.do("submit_orders", (ORDER._replace(**row.change),), scoped=row.scoped)[0]


def cancel(floor: Floor, row: Row) -> OrderResult:
    floor.prepare((OWNER, *row.given))
    return floor.do("cancel_orders", (CANCELED._replace(**row.change),), scoped=row.scoped)[0]


def replace(floor: Floor, row: Row) -> OrderResult:
    floor.prepare((OWNER, *row.given))
    return floor.do("replace_orders", (REPLACED._replace(**row.change),), scoped=row.scoped)[0]


def bust(floor: Floor, row: Row) -> OrderResult:
    floor.prepare((day(20260105), ("set_session", (tables.SessionChange("COIN", tables.Session.CONTINUOUS),))))
    floor.prepare((*TRADE, *row.given))
    item = {"trade_id": 1, "price": 0, **row.change}
    return floor.do("bust_trades", ((item["trade_id"], item["price"]),))[0]


def end_day(floor: Floor, row: Row) -> OrderResult:
    floor.prepare((day(20260105),))
    item = {"date": 20260106, "prices": (), **row.change}
    return floor.do("end_of_day", (item["date"], *item["prices"]))[0]


TABLES = [
    *((submit, row) for row in [*SUBMIT, *FUTURES]),
    *((cancel, row) for row in CANCEL),
    *((replace, row) for row in REPLACE),
    *((bust, row) for row in BUST),
    *((end_day, row) for row in DAY),
]
PAIRS = [
    *((submit, pair) for pair in pairs(SUBMIT)),
    *((cancel, pair) for pair in pairs(CANCEL)),
    *((replace, pair) for pair in pairs(REPLACE)),
    *((bust, pair) for pair in pairs(BUST)),
    *((end_day, pair) for pair in pairs(DAY)),
]


@SUBJECTS
@pytest.mark.parametrize(("do", "row"), TABLES, ids=[f"{do.__name__} {name(row)}" for do, row in TABLES])
def test_row(subject: type[Plain] | type[Fast], do: Any, row: Row) -> None:
    result = do(Floor(subject), row)
    assert (result.status, result.reason) == (OrderStatus.REJECTED, row.reason)


@SUBJECTS
@pytest.mark.parametrize(
    ("do", "status"),
    [
        (submit, OrderStatus.NEW),
        (cancel, OrderStatus.CANCELED),
        (replace, OrderStatus.REPLACED),
        (bust, OrderStatus.BUSTED),
        (end_day, OrderStatus.DONE),
    ],
)
def test_without_a_row_it_succeeds(subject: type[Plain] | type[Fast], do: Any, status: OrderStatus) -> None:
    assert do(Floor(subject), Row(Reason.NONE, "nothing is wrong")).status == status


@SUBJECTS
def test_of_two_rows_the_upper_one_is_told(subject: type[Plain] | type[Fast]) -> None:
    for do, (upper, lower) in PAIRS:
        result = do(Floor(subject), together([upper, lower]))
        assert (result.status, result.reason) == (OrderStatus.REJECTED, upper.reason), (name(upper), name(lower))


@SUBJECTS
@pytest.mark.parametrize("ending", ENDINGS, ids=[name(ending) for ending in ENDINGS])
def test_ending(subject: type[Plain] | type[Fast], ending: Ending) -> None:
    floor = Floor(subject)
    floor.prepare(ending.steps)
    ended = [e for e in floor.machine.executions() if e.status in {OrderStatus.CANCELED, OrderStatus.EXPIRED}]
    assert [e.reason for e in ended][:1] == [ending.reason]
    assert ended[0].leaves_qty == 0


@SUBJECTS
def test_a_correction_of_a_trade_that_closed_is_refused(subject: type[Plain] | type[Fast]) -> None:
    floor = Floor(subject)
    floor.prepare((*FUTURES_TRADE, *CLOSING_TRADE))
    assert floor.do("bust_trades", ((2, 6_005),))[0].reason == Reason.INVALID_COMBINATION


@SUBJECTS
def test_a_client_order_id_is_taken_once_for_all(subject: type[Plain] | type[Fast]) -> None:
    """Also by an order that was refused; but what leaves no trace may be sent again."""
    floor = Floor(subject)
    assert floor.do("submit_orders", (ORDER._replace(symbol="GONE"),))[0].reason == Reason.UNKNOWN_INSTRUMENT
    first = floor.do("submit_orders", (ORDER._replace(price=1_001),))[0]
    again = floor.do("submit_orders", (ORDER,))[0]
    assert (again.status, again.order_status) == (OrderStatus.EXISTS, OrderStatus.REJECTED)
    assert (again.order_id, again.reason) == (first.order_id, Reason.PRICE_NOT_ON_TICK)


def test_every_reason_has_a_row() -> None:
    told = {row.reason for _, row in TABLES} | {ending.reason for ending in ENDINGS}
    assert set(Reason) - told - tables.LIMITS == set()
