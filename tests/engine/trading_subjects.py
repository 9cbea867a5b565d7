"""The two trading machines behind one face: steps of tuples in, tuples out. `Plain` is the model, `Fast` the engine."""

from collections.abc import Callable, Container, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from engine import Batch as EngineBatch
from engine import Engine, Limits, log_record, order_requests, requests
from engine._core import order_records, risk_records
from engine.order_results import (
    ExecutionKind,
    OrderFilterFlag,
    OrderStatus,
    Reason,
    Session,
    SessionFlag,
)
from engine.results import AccountFlag, Status
from tests.engine.trading_arrays import Step, array, text, written
from tests.models import records
from tests.models.records import Filter
from tests.models.risk_records import (
    Exposure,
    Finding,
    LimitScope,
    LimitsResult,
    LimitsView,
    ProposalView,
)
from tests.models.trading import Trading
from tests.models.trading_records import Execution, Fill, Generated, Order, OrderResult, Trade

LIMITS = Limits(
    accounts_max=2**12, transfers_max=2**22, burnt_max=2**16, balances_max=2**22, orders_max=2**18,
    open_orders_max=2**16, instruments_max=2**8, trading_accounts_max=2**8, links_max=2**10, positions_max=2**12,
    trades_max=2**20, executions_max=2**22, limit_pairs_max=2**10, proposals_max=2**14,
)  # fmt: skip
"""Small, so that a world costs little to set up and throw away."""

LOW = 2**64 - 1
PLAIN = {
    "create_accounts": requests.append_accounts,
    "create_transfers": requests.append_transfers,
    "update_accounts": requests.append_updates,
}
ITEMS = {"submit_orders", "cancel_orders", "replace_orders", "kill_switch", "set_limits", "approve_limits"}
"""Whose items have a turn that limits look at."""
SCOPED = {*PLAIN, "submit_orders", "cancel_orders", "replace_orders", "mass_cancel"}
MANY = 8_190


class Read(NamedTuple):
    """The filter of get_orders, get_trades or get_executions; 0 and "" are no condition."""

    method: str
    account_id: int = 0
    symbol: str = ""
    order_id: int = 0
    after: int = 0
    limit: int = MANY
    open_only: bool = False
    newest_first: bool = False
    scope: int = 0


class BookState(NamedTuple):
    """An instrument as a market-data reader sees it."""

    session: Session
    no_cancel: bool
    last_price: int
    reference_price: int
    indicative: tuple[int, int]
    open_price: int
    high_price: int
    low_price: int
    volume: int
    turnover: int
    bids: tuple[tuple[int, int, int], ...]
    asks: tuple[tuple[int, int, int], ...]


class OpenOrder(NamedTuple):
    """What can be seen of an open order."""

    id: int
    price: int
    stop_price: int
    quantity: int
    filled: int
    leaves: int
    visible: int
    held: int
    turnover: int
    fees: int
    status: OrderStatus


class PositionState(NamedTuple):
    """A futures position."""

    account_id: int
    symbol: str
    long: int
    short: int
    long_today: int
    short_today: int
    long_basis: int
    short_basis: int
    margin: int
    shortfall: int
    margin_initial: int
    margin_maintenance: int
    call: int


class TradeState(NamedTuple):
    """A trade as get_trades shows it."""

    id: int
    price: int
    quantity: int
    notional: int
    orders: tuple[int, int]
    fees: tuple[int, int, int]
    date: int
    state: int
    corrects: int


class Plain:
    """The model."""

    def __init__(self) -> None:
        self.model = Trading()
        self._executions = 0

    def apply(self, step: Step, times: Sequence[int] = ()) -> list[Any]:
        """`times`: when the step's items had their turn in the other machine, where that counts."""
        self.model.begin(step.time)
        self.model.times.clear()
        self.model.times.extend(times)
        return self._answers(step)

    def _answers(self, step: Step) -> list[Any]:
        m, (method, items, time, scope) = self.model, step
        match method:
            case "tick":
                return []
            case "batch":
                return [self._answers(request) for request in items]
            case "create_accounts" | "create_transfers" | "update_accounts":
                do: Callable[..., list[Any]] = getattr(m.ledger, f"do_{method}")
                return [Status(result.status) for result in do(items, scope)]
            case "define_scope":
                m.ledger.do_define_scope(*items)
                return []
            case "create_instruments" | "create_trading_accounts":
                getattr(m, method)(items, time)
                return [Status.CREATED for _ in items]
            case "update_instrument":
                m.update_instrument(items[0], dict(items[1]), time)
                return [Status.UPDATED]
            case "submit_orders" | "cancel_orders" | "replace_orders":
                return list(getattr(m, method)(items, time, scope=scope))
            case "set_limits" | "approve_limits" | "kill_switch":
                return list(getattr(m, method)(items, time))
            case "mass_cancel":
                return list(m.mass_cancel(items[0], time, scope=scope))
            case "set_session":
                return list(m.set_session(items, time))
            case "end_of_day":
                return list(m.end_of_day(items[0], items[1:], time))
            case "bust_trades":
                return list(m.bust_trades(items, time))
        raise AssertionError(method)

    def executions(self) -> list[Execution]:
        """Since the last call."""
        new = self.model.executions[self._executions :]
        self._executions = len(self.model.executions)
        return new

    def generated(self) -> list[Generated]:
        """Since the last call."""
        new, self.model.generated = self.model.generated, []
        return new

    def account_ids(self) -> list[int]:
        return list(self.model.ledger._accounts)

    def balances(self, ids: Sequence[int]) -> list[tuple[int, ...]]:
        accounts = [self.model.account(account_id) for account_id in ids]
        return [(a.debits_pending, a.debits_posted, a.credits_pending, a.credits_posted, a.flags) for a in accounts]

    def book(self, symbol: str) -> BookState:
        i = self.model.instruments[symbol]
        bids, asks = self.model.levels(symbol)
        gathering = i.session in {Session.PRE_OPEN, Session.AUCTION}
        return BookState(
            i.session,
            i.no_cancel,
            i.last_price,
            i.terms.reference_price,
            self.model.auction_price(i) if gathering else (0, 0),
            i.open_price,
            i.high_price,
            i.low_price,
            i.volume,
            i.turnover,
            tuple(bids),
            tuple(asks),
        )

    def open_orders(self) -> list[OpenOrder]:
        return [
            OpenOrder(
                o.id,
                o.price,
                o.stop_price,
                o.quantity,
                o.filled,
                o.leaves,
                o.visible if o.place == "book" else 0,
                o.held,
                o.turnover,
                o.commission + o.other_fees,
                o.status,
            )
            for o in self.model.orders
            if o.place
        ]

    def positions(self, symbols: Container[str]) -> list[PositionState]:
        return [
            PositionState(
                p.account.id,
                p.instrument.terms.symbol,
                *(p.long, p.short, p.long_today, p.short_today, p.long_basis, p.short_basis, p.margin, p.shortfall),
                *self.model.margins(p),
            )
            for p in self.model.positions()
            if p.instrument.terms.symbol in symbols
        ]

    def limits(self) -> list[LimitsView]:
        return self.model.risk.views()

    def proposals(self) -> list[ProposalView]:
        return self.model.risk.proposed()

    def trades(self, after: int) -> list[TradeState]:
        """The first MANY after that id."""

        def state(t: Trade) -> TradeState:
            fees = t.buy_fee, t.sell_fee, t.duty
            orders = t.buy.id, t.sell.id
            return TradeState(t.id, t.price, t.quantity, t.notional, orders, fees, t.date, t.state, t.corrects)

        return [state(t) for t in self.model.trades[after : after + MANY]]

    def read(self, f: Read) -> list[int] | None:
        """The ids that a read gives; None when it is not permitted."""
        m = self.model
        account = m.accounts.get(f.account_id)
        if account is not None and not m._permitted(account, f.scope):
            return None
        if f.account_id and account is None:
            return []

        def mine(order: Order) -> bool:
            whose = order.account is account if account is not None else m._permitted(order.account, f.scope)
            return whose and f.symbol in {"", order.instrument.terms.symbol}

        match f.method:
            case "get_orders":
                found = [o.id for o in m.orders if mine(o) and f.order_id in {0, o.id} and (o.place or not f.open_only)]
            case "get_trades":
                found = [t.id for t in m.trades if mine(t.buy) or mine(t.sell)]
                if f.order_id:
                    found = [i for i in found if f.order_id in {m.trades[i - 1].buy.id, m.trades[i - 1].sell.id}]
            case _:
                numbered = enumerate(m.executions, 1)
                found = [i for i, e in numbered if mine(m.orders[e.order_id - 1]) and f.order_id in {0, e.order_id}]
        if f.newest_first:
            found = [i for i in reversed(found) if not f.after or i < f.after]
        else:
            found = [i for i in found if i > f.after]
        return found[: f.limit]

    def check_invariants(self) -> None:
        """What must hold of the model itself."""
        m = self.model
        held: dict[int, int] = {}
        for order in m.orders:
            assert order.place or (order.held == order.leaves == order.closing == 0), order
            assert not order.place or order.leaves > 0, order
            payer = m.payer(order) if order.held else 0
            held[payer] = held.get(payer, 0) + order.held
        for p in m.positions():
            if p.margin:
                cash = p.account.links[p.instrument.terms.quote_ledger]
                held[cash] = held.get(cash, 0) + p.margin
            mine = [o for o in m.orders if o.place and o.account is p.account and o.instrument is p.instrument]
            assert p.closing_short == sum(o.closing for o in mine if o.buys) <= p.short
            assert p.closing_long == sum(o.closing for o in mine if not o.buys) <= p.long
        for holding in m._holdings.values():
            assert holding.held == held.get(holding.account_id, 0)
            assert holding.pending == holding.wanted()
        for instrument in m.instruments.values():
            assert instrument.session != Session.CONTINUOUS or not instrument.crossed
        sums: dict[int, list[int]] = {}
        for account in m.ledger._accounts.values():
            total = sums.setdefault(account.command.ledger, [0, 0])
            total[0] += account.debits_pending - account.credits_pending
            total[1] += account.debits_posted - account.credits_posted
            limited = account.flags & AccountFlag.DEBITS_MUST_NOT_EXCEED_CREDITS
            assert not limited or account.debits <= account.credits_posted + account.overdraft_limit, account
        assert all(total == [0, 0] for total in sums.values())
        m.risk.check_invariants(m.orders, m.trades)


# --- the engine -------------------------------------------------------------------------------------


def wanted(**members: Any) -> np.ndarray[Any, np.dtype[np.void]]:
    return array(order_records.ORDER_FILTER, [{"limit": MANY, **members}])


class Recording(Engine):
    """An engine that keeps what a log would hold. Records are made when their batch has been applied: with verdicts."""

    log: list[bytes]

    def apply(self, batch: EngineBatch, time: int) -> None:
        before = self.batches
        super().apply(batch, time)
        if self.batches > before:  # a read, or a request without items, is no entry
            self.log.append(log_record.encode(batch, time))


def recording(engine: Recording, log: list[bytes]) -> Recording:
    engine.log = log
    return engine


def replay(engine: Engine, log: Iterable[bytes]) -> None:
    batch = EngineBatch()
    for payload in log:
        time = log_record.decode(payload, batch)
        engine.apply(batch, time)


class Fast:
    """The engine through its embedding interface. What each step leaves in the log also survives being read."""

    def __init__(self, hash_key: bytes = b"") -> None:
        self.engine = recording(Recording(LIMITS, hash_key=hash_key), [])
        self._batch, self._decoded = EngineBatch(), EngineBatch()
        self._executions = 0
        self._told: list[int] | None = None
        self._seen = 0
        self.times: list[int] = []
        """When the items of the last step had their turn."""

    def apply(self, step: Step) -> list[Any]:
        before = len(self.engine.log)
        answers = self._apply(step)
        for payload in self.engine.log[before:]:
            time = log_record.decode(payload, self._decoded)
            assert time == step.time
            assert log_record.encode(self._decoded, time) == payload
        return answers

    def _apply(self, step: Step) -> list[Any]:
        e, (method, _, time, scope) = self.engine, step
        self._told = None
        self.times = []
        if method == "tick":
            e.tick(time)
            return []
        if method == "batch":
            return self._apply_batch(step)
        if method == "define_scope":
            e.define_scope(step.items[0], records.range_array(step.items[1]), time)
            return []
        method, array_of_items, links = written(step)
        more = {"scope": scope} if method in SCOPED else {}
        answer = getattr(e, method)(array_of_items, *([links] if links is not None else []), time, **more)
        return self._read(method, answer, e.verdicts())

    def _read(self, method: str, answer: Any, verdicts: np.ndarray[Any, Any]) -> list[Any]:
        results = answer[0] if isinstance(answer, tuple) else answer
        if method in ITEMS:
            self.times += [int(timestamp) for timestamp in results["timestamp"]]
        if isinstance(answer, tuple):
            return order_results(*answer, verdicts)
        if method in {"set_limits", "approve_limits"}:
            return [LimitsResult(Status(r["status"]), int(r["reserved"])) for r in answer]
        return statuses(answer)

    def _apply_batch(self, step: Step) -> list[Any]:
        """Several requests at once, as the server has them applied."""
        requests.clear(self._batch)
        self._compose(step)
        self.engine.apply(self._batch, step.time)
        self._told = [int(e["exec_id"]) for e in self.engine.executions_of(self._batch)]
        answers = []
        for index, request in enumerate(step.items):
            if request.method in PLAIN:
                answers.append(statuses(requests.answers(self._batch, index)))
            else:
                answer = order_requests.answers(self._batch, index)
                answers.append(self._read(request.method, answer, order_requests.verdicts(self._batch)))
        return answers

    def _compose(self, step: Step) -> None:
        if step.method == "batch":
            for request in step.items:
                self._compose(request)
        elif step.method == "define_scope":
            requests.append_scope(self._batch, step.items[0], records.range_array(step.items[1]))
        elif step.method in PLAIN:
            method, items, _ = written(step)
            PLAIN[method](self._batch, items, scope=step.scope)
        elif step.method != "tick":
            method, items, links = written(step)
            order_requests.append(self._batch, method, items, links=links, scope=step.scope)

    def replayed(self, hash_key: bytes, attach: Callable[[Engine], object] = bool) -> Engine:
        """The log from nothing, under another hash key and perhaps other checks."""
        other = Engine(LIMITS, hash_key=hash_key)
        attach(other)
        replay(other, self.engine.log)
        return other

    def go_on_from_a_snapshot(self, path: Path, hash_key: bytes) -> None:
        written_hash = self.engine.snapshot(path)
        restored = recording(Recording.restore(path, LIMITS, hash_key=hash_key), self.engine.log)
        assert restored.state_hash() == written_hash == self.engine.state_hash()
        self.engine = restored

    def executions(self) -> list[Execution]:
        """Since the last call; their numbers have no gaps."""
        new: list[Execution] = []
        while True:
            views = self.engine.get_executions(wanted(after=self._executions))
            for v in views:
                self._executions += 1
                assert v["exec_id"] == self._executions
                new.append(
                    Execution(
                        int(v["order_id"]),
                        ExecutionKind(v["kind"]),
                        OrderStatus(v["status"]),
                        Reason(v["reason"]),
                        *(int(v[name]) for name in ("leaves_qty", "cum_qty", "last_px", "last_qty", "trade_id", "fee")),
                    )
                )
            if len(views) < MANY:
                break
        first = self._executions - len(new) + 1
        assert self._told is None or self._told == list(range(first, self._executions + 1))
        return new

    def generated(self) -> list[Generated]:
        """Since the last call."""
        new: list[Generated] = []
        while True:
            views = records.transfer_views(
                self.engine.query_transfers(records.filter_array(Filter(timestamp_min=self._seen + 1, limit=MANY)))
            )
            for view in views:
                assert view is not None
                assert view.timestamp > self._seen
                self._seen = view.timestamp
                if view.code >= 65000:
                    new.append(
                        Generated(
                            view.code,
                            view.debit_account_id,
                            view.credit_account_id,
                            view.amount,
                            view.user_data_64,
                            view.user_data_32,
                            view.user_data_128,
                        )
                    )
            if len(views) < MANY:
                return new

    def balances(self, ids: Sequence[int]) -> list[tuple[int, ...]]:
        views = records.account_views(self.engine.lookup_accounts(records.account_id_array(ids)))
        return [
            (v.debits_pending, v.debits_posted, v.credits_pending, v.credits_posted, v.flags) if v else ()
            for v in views
        ]

    def book(self, symbol: str) -> BookState:
        head, levels = self.engine.get_book(wanted(symbol=symbol))
        head = head if head.shape == () else head[0]
        both: tuple[list[tuple[int, int, int]], list[tuple[int, int, int]]] = [], []
        for level in levels:
            both[level["side"]].append((int(level["price"]), int(level["quantity"]), int(level["orders"])))
        assert (len(both[0]), len(both[1])) == (head["bids"], head["asks"])
        return BookState(
            Session(head["session"]),
            bool(head["flags"] & SessionFlag.NO_CANCEL),
            int(head["last_price"]),
            int(head["reference_price"]),
            (int(head["indicative_price"]), int(head["indicative_quantity"])),
            *(int(head[name]) for name in ("open_price", "high_price", "low_price", "volume", "turnover")),
            tuple(both[0]),
            tuple(both[1]),
        )

    def open_orders(self) -> list[OpenOrder]:
        orders: list[OpenOrder] = []
        after = 0
        while True:
            views = self.engine.get_orders(wanted(after=after, flags=OrderFilterFlag.OPEN_ONLY))
            for v in views:
                after = int(v["order_id"])
                orders.append(
                    OpenOrder(
                        after,
                        *(
                            int(v[name])
                            for name in (
                                *("price", "stop_price", "quantity", "cum_quantity", "leaves_quantity"),
                                *("visible_quantity", "reserved_amount", "turnover", "fees"),
                            )
                        ),
                        OrderStatus(v["status"]),
                    )
                )
            if len(views) < MANY:
                return orders

    def positions(self, symbols: Container[str]) -> list[PositionState]:
        names = "long_quantity", "short_quantity", "long_today", "short_today", "long_basis", "short_basis"
        more = "margin", "shortfall", "margin_initial", "margin_maintenance", "call"
        return [
            PositionState(int(v["account_id"]), text(v), *(int(v[name]) for name in (*names, *more)))
            for v in self.engine.get_positions(wanted())
            if text(v) in symbols
        ]

    def limits(self) -> list[LimitsView]:
        views: list[Any] = []
        while True:
            page = self.engine.get_limits(limits_wanted(after=int(views[-1]["number"]) if views else 0, limit=7))
            views += list(page)
            if len(page) < 7:
                break
        return [
            LimitsView(
                LimitScope(v["scope"]),
                name_of(v),
                text(v),
                int(v["updated"]),
                tuple(int(value) for value in v["limits"].tolist()),
                int(v["own"]),
                None if v["symbol_0"] else Exposure._make(int(value) for value in v["exposure"].tolist()[:-2]),
            )
            for v in views
        ]

    def proposals(self) -> list[ProposalView]:
        return [
            ProposalView(
                int(v["proposal_id"]),
                LimitScope(v["scope"]),
                name_of(v),
                text(v),
                tuple(
                    (number, int(value) if int(v["set"]) >> number & 1 else None)
                    for number, value in enumerate(v["values"].tolist())
                    if int(v["set"] | v["unset"]) >> number & 1
                ),
                text(v, "actor"),
                text(v, "decided_by"),
                *(int(v[name]) for name in ("timestamp", "decided_at", "state")),
            )
            for v in self.engine.get_proposals(limits_wanted())
        ]

    def trades(self, after: int) -> list[TradeState]:
        return [
            TradeState(
                *(int(v[name]) for name in ("trade_id", "price", "quantity", "notional")),
                (int(v["buy_order_id"]), int(v["sell_order_id"])),
                (int(v["buy_fee"]), int(v["sell_fee"]), int(v["duty"])),
                *(int(v[name]) for name in ("business_date", "state", "corrects")),
            )
            for v in self.engine.get_trades(wanted(after=after))
        ]

    def read(self, f: Read) -> list[int] | None:
        """The ids that a read gives; None when it is not permitted."""
        flags = f.open_only * OrderFilterFlag.OPEN_ONLY | f.newest_first * OrderFilterFlag.NEWEST_FIRST
        filters = wanted(
            account_id=f.account_id, symbol=f.symbol, order_id=f.order_id, after=f.after, limit=f.limit, flags=flags
        )
        try:
            views = getattr(self.engine, f.method)(filters, scope=f.scope)
        except PermissionError:
            return None
        name = {"get_orders": "order_id", "get_trades": "trade_id", "get_executions": "exec_id"}[f.method]
        return [int(i) for i in views[name]]

    def check_invariants(self) -> None:
        self.engine.check_invariants()


def statuses(results: np.ndarray[Any, Any]) -> list[Status]:
    return [Status(status) for status in results["status"]]


def name_of(record: Any) -> int | str:
    """Whom limits are about."""
    return int(record["id_0"]) if record["scope"] == LimitScope.ACCOUNT else text(record, "id")


def limits_wanted(**members: Any) -> np.ndarray[Any, np.dtype[np.void]]:
    return array(risk_records.LIMITS_FILTER, [{"scope": len(LimitScope), "limit": MANY, **members}])


def finding(r: Any, verdicts: np.ndarray[Any, Any]) -> Finding | None:
    """What the log says about a refusal by a limit."""
    if not r["reserved"]:
        return None
    verdict = verdicts[int(r["fill_first"])]
    assert verdict["reason"] == r["reason"]
    assert r["fill_count"] == 0
    return Finding(*(int(verdict[name]) for name in Finding._fields))


def order_results(
    results: np.ndarray[Any, Any], fills: np.ndarray[Any, Any], verdicts: np.ndarray[Any, Any]
) -> list[OrderResult]:
    answers = []
    for r in results:
        mine = fills[int(r["fill_first"]) : int(r["fill_first"]) + int(r["fill_count"])]
        answers.append(
            OrderResult(
                OrderStatus(r["status"]),
                Reason(r["reason"]),
                *(int(r[name]) for name in ("order_id", "cum_quantity", "leaves_quantity")),
                tuple(Fill(*(int(f[name]) for name in ("trade_id", "price", "quantity", "fee"))) for f in mine),
                OrderStatus(r["order_status"]),
                finding(r, verdicts),
            )
        )
    return answers
