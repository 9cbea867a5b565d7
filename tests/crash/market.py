"""The log's trading, twice: in the engine that replays it, and beside it in the slow plain model.

`applied` is called for each row when the replay engine has applied it. The commands in the row go to the model of
docs/TRADING.md (tests/models), one after the other, and every result and execution must be the same. What the engine
answered is kept until the audit has held the clients' replies against it.
"""

import traceback
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from engine import Batch, Engine, order_requests, requests
from engine.order_results import OrderFilterFlag, OrderStatus
from engine.results import Status
from server.wire import tools
from tests.crash import views
from tests.crash.findings import Finding, Findings
from tests.crash.trading import LEDGERS, SYMBOLS
from tests.crash.views import Json
from tests.engine.trading_subjects import ITEMS, MANY, Fast, Plain, order_results, wanted
from tests.models.trading import Trading
from tests.models.trading_records import Fill, Order, OrderResult, Trade

KINDS = {
    1: "create_accounts", 2: "create_transfers", 3: "update_accounts", 5: "create_instruments",
    7: "create_trading_accounts", 8: "submit_orders", 9: "cancel_orders", 10: "replace_orders", 11: "mass_cancel",
    12: "set_session", 13: "end_of_day", 14: "bust_trades", 15: "set_limits",
}  # fmt: skip
PLAIN = {"create_accounts", "create_transfers", "update_accounts"}
FUTURES = ("TA701",)

Key = tuple[str, tuple[Any, ...]]
"""A request: its method and items."""


class Model(Trading):
    """The plain model with two indexes, so that a day of trading takes time in proportion to its length."""

    def __init__(self) -> None:
        super().__init__()
        self._resting: dict[int, Order] = {}
        self._fills: dict[int, list[Fill]] = defaultdict(list)

    def rest(self, order: Order) -> None:
        super().rest(order)
        self._resting[order.id] = order

    def wait(self, order: Order) -> None:
        super().wait(order)
        self._resting[order.id] = order

    def _open(self) -> list[Order]:
        self._resting = {order_id: order for order_id, order in self._resting.items() if order.place}
        return [self._resting[order_id] for order_id in sorted(self._resting)]

    def record_fill(self, trade: Trade) -> None:
        super().record_fill(trade)
        for order in (trade.maker, trade.taker):
            self._fills[order.id].append(Fill(trade.id, trade.price, trade.quantity, trade.fee(order)))

    def _answer(self, order: Order, status: OrderStatus, first: int) -> OrderResult:
        if status != OrderStatus.EXISTS:
            return super()._answer(order, status, first)
        fills = tuple(self._fills[order.id])
        return OrderResult(status, order.reason, order.id, order.filled, order.leaves, fills, order.status)


class Market:
    """See the head of this file."""

    def __init__(self, engine: Engine, findings: Findings) -> None:
        self.engine = engine
        self._findings = findings
        self._plain = Plain()
        self._plain.model = Model()
        self._fast = Fast()
        self._fast.engine = engine
        self.answers: dict[int, dict[Key, list[Any]]] = {}
        """What the engine answered in each row that the audits have not yet judged, by request, as JSON."""
        self.compared = 0
        """Requests that went to both."""
        self.broken = False
        """The two have come apart; nothing is compared any more."""

    @property
    def model(self) -> Trading:
        return self._plain.model

    def applied(self, seq: int, time: int, batch: Batch) -> None:
        """Take a row that the engine has just applied."""
        if not self.broken:
            try:
                self._row(seq, time, batch)
            except Exception:  # noqa: BLE001 - whatever it is, the two do not go together
                self._differs(f"row {seq}: {traceback.format_exc(limit=6)}")

    def _differs(self, what: str) -> None:
        self.broken = True  # what follows would differ, too
        self._findings.add(Finding.MODEL, what)

    def _row(self, seq: int, time: int, batch: Batch) -> None:
        self.model.begin(time)
        row: dict[Key, list[Any]] = defaultdict(list)
        for index, request in enumerate(tools.dump(batch)):
            method = KINDS.get(request["kind"], "")
            if not method or (method in PLAIN and method != "update_accounts" and not _in_the_market(request["items"])):
                continue
            more = request["limit_values"] if method == "set_limits" else request["links"]
            items = views.logged(method, request["items"], more)
            self._request(f"row {seq}, {method}", method, items, request["scope"], batch, index, row)
            self.compared += 1
        if row:
            self.answers[seq] = row
        executions = self._plain.executions()
        told = self._fast.executions()
        if told != executions:
            self._differs(f"row {seq}: executions {_first_difference(told, executions)}")

    def _request(
        self,
        where: str,
        method: str,
        items: tuple[Any, ...],
        scope: int,
        batch: Batch,
        index: int,
        row: dict[Key, list[Any]],
    ) -> None:
        expected: list[Any]
        if method in PLAIN:
            given = requests.answers(batch, index)
            statuses = [Status(status) for status in given["status"]]
            row[method, items].append(
                [
                    {"status": Status(status).name.lower(), "timestamp": int(timestamp)}
                    for status, timestamp in zip(given["status"], given["timestamp"], strict=True)
                ]
            )
            do = getattr(self.model.ledger, f"do_{method}")
            expected = [Status(result.status) for result in do(items, scope)]
            if statuses != expected:
                self._differs(f"{where}: {_first_difference(statuses, expected)}")
            return
        if method in {"create_instruments", "create_trading_accounts"}:
            getattr(self.model, method)(items, self.model._time)
            return
        if method == "set_limits":
            self.model.set_limits(items, self.model._time)
            return
        results, fills = order_requests.answers(batch, index)
        verdicts = order_requests.verdicts(batch)
        if method in {"mass_cancel", "set_session", "end_of_day"}:
            shown: Any = views.single_result(method, results)
        elif method == "bust_trades":
            shown = views.trade_results(results, fills)
        else:
            shown = views.order_results(results, fills, verdicts, items)
        row[method, views.without_sessions(items)].append(shown)
        answered = order_results(results, fills, verdicts)
        self.model.times.clear()
        if method in ITEMS:
            self.model.times.extend(int(timestamp) for timestamp in results["timestamp"])
        expected = self._expected(method, items, scope)
        if answered != expected:
            self._differs(f"{where}: {_first_difference(answered, expected)}")

    def _expected(self, method: str, items: tuple[Any, ...], scope: int) -> list[Any]:
        m, time = self.model, self.model._time
        match method:
            case "submit_orders" | "cancel_orders" | "replace_orders":
                return list(getattr(m, method)(items, time, scope=scope))
            case "mass_cancel":
                # The server's own may be about many sessions.
                return [result for item in items for result in m.mass_cancel(item, time, scope=scope)]
            case "set_session":
                return m.set_session(items, time)
            case "end_of_day":
                return m.end_of_day(items[0][2], [(symbol, price) for symbol, price, _ in items[1:]], time)
            case "bust_trades":
                return m.bust_trades(items, time)
        raise AssertionError(method)

    # --- the state that all of it has led to

    def compare(self, *, all_of_it: bool = False) -> None:
        """Compare all that the two hold; `all_of_it`: their own invariants, too."""
        if self.broken:
            return
        plain, fast = self._plain, self._fast
        ids = plain.account_ids()
        after = max(len(plain.model.trades) - MANY, 0)
        symbols = [symbol for symbol in SYMBOLS if symbol in plain.model.instruments]
        for what, one, other in (
            ("transfers made", fast.generated(), plain.generated()),
            ("balances", fast.balances(ids), plain.balances(ids)),
            ("open orders", fast.open_orders(), plain.open_orders()),
            ("books", [fast.book(symbol) for symbol in symbols], [plain.book(symbol) for symbol in symbols]),
            ("positions", fast.positions(FUTURES), plain.positions(FUTURES)),
            ("trades", fast.trades(after), plain.trades(after)),
            ("limits and exposures", fast.limits(), plain.limits()),
        ):
            if one != other:
                self._differs(f"{what}: {_first_difference(one, other)}")
                return
        if all_of_it:
            try:
                plain.check_invariants()
                fast.check_invariants()
            except Exception:  # noqa: BLE001
                self._differs(f"invariants: {traceback.format_exc(limit=6)}")

    # --- executions, for whoever is told of them

    @property
    def executions(self) -> int:
        """How many there are."""
        return self.engine.executions

    def executions_after(self, exec_id: int, count: int, *, account_id: int = 0, from_seq: int = 0) -> list[Json]:
        """Return the first so many behind an id, of one trading account or all, of rows from `from_seq` on."""
        found: list[Json] = []
        while len(found) < count:
            limit = min(count - len(found), MANY)
            page = self.engine.get_executions(
                wanted(after=exec_id, account_id=account_id, batch_min=from_seq, limit=limit)
            )
            found += [views.execution(view) for view in page]
            if len(page) < limit:
                break
            exec_id = int(page[-1]["exec_id"])
        return found

    def newest_execution(self, account_id: int = 0) -> int:
        """Return the newest id, 0 if there is none."""
        page = self.engine.get_executions(wanted(account_id=account_id, flags=OrderFilterFlag.NEWEST_FIRST, limit=1))
        return int(page[0]["exec_id"]) if len(page) else 0


def _in_the_market(items: Any) -> bool:
    return bool(len(items)) and int(items[0]["ledger"]) in LEDGERS


def _first_difference(one: Sequence[Any], other: Sequence[Any]) -> str:
    if len(one) != len(other):
        return f"the engine has {len(one)}, the model {len(other)}: {str(one)[:300]} / {str(other)[:300]}"
    place = next(place for place, (a, b) in enumerate(zip(one, other, strict=True)) if a != b)
    return f"[{place}] the engine has {str(one[place])[:400]}, the model {str(other[place])[:400]}"
