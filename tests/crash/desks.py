"""The audit of trading: every order that any desk ever meant, what was answered, what was told, and what there is.

- Each reply must be, member for member, what the replay engine answered to a request with the same items in the row
  whose `seq` the reply carries; each request in the log answers one reply. (That the replay engine is right, the plain
  model says; that it is the server, its digest.)
- One client order id is one order for ever: a repeat says `exists`, of the same order and time.
- Executions: what each subscription was told is the log's, without a gap, a repeat or a change, from the entry that
  the client asked for on; `prev_seq` names the notification before; nothing is told that the log does not have, or of
  an own request before its reply; in the end all of it has arrived.
- After every restart the server's books, open orders, positions and balances are those of the replay; every ledger of
  the market adds up to zero, and nothing is spent or held that is not there.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.order_results import OrderFilterFlag
from tests.crash import views
from tests.crash.books import Books
from tests.crash.channel import ITEMS_MAX, Channel
from tests.crash.findings import Finding, Findings
from tests.crash.journals import Ack, Journal, Told
from tests.crash.log import Log
from tests.crash.market import Market
from tests.crash.order import Order
from tests.crash.trading import LEDGERS, SYMBOLS, WRITES, is_desk, topics_of
from tests.crash.views import Json
from tests.engine.trading_subjects import text, wanted
from tests.models import records

STABLE_TRIES = 200
REPLAYED = 2_500
"""Executions that each audit has told again by a subscription of its own; the last one all."""
REPLAY_SECONDS = 20.0
HISTORIES = {
    "get_orders": ("order_id", views.order),
    "get_trades": ("trade_id", views.trade),
    "get_executions": ("exec_id", views.execution),
}
TRANSFER = ("debit_account_id", "credit_account_id", "amount", "code", "user_data_64", "user_data_32", "timestamp")
BALANCES = ("debits_pending", "debits_posted", "credits_pending", "credits_posted")


@dataclass(slots=True)
class DeskTally:
    """What was compared."""

    orders: int = 0
    """Orders in acknowledged replies, each counted once."""
    results: int = 0
    repeats_exist: int = 0
    """Orders in repeats that were answered `exists`."""
    resends_exist: int = 0
    """Orders in requests whose first answer was lost, and which had been committed."""
    fills: int = 0
    told: int = 0
    """Notifications of executions to desks."""
    told_again: int = 0
    """… that a subscription after a reconnect repeated or caught up with."""
    expired: int = 0
    """… of orders whose time had come."""
    replayed: int = 0
    """… to the audits."""
    reads: int = 0
    statuses: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Stream:
    """One topic of one client."""

    account_id: int
    """0: all."""
    connection: int = 0
    from_seq: int = 0
    after: int = 0
    """Newest execution that was told since the subscription; 0: none."""
    prev_seq: int = 0
    broken: bool = False
    pending: list[Told] = field(default_factory=list)
    newest: int = 0
    """Newest execution that was told, over all connections."""


@dataclass(slots=True)
class Known:
    """What was first answered about a client order id."""

    order_id: int
    timestamp: int


class Desks:
    """See the head of this file."""

    def __init__(self, books: Books, market: Market, log: Log, order: Order, findings: Findings) -> None:
        self._books = books
        self._market = market
        self._log = log
        self._order = order
        self._findings = findings
        self.tally = DeskTally()
        self._orders: dict[tuple[int, str], Known] = {}
        self._newest_order: dict[tuple[int, int, int], int] = {}
        """By client, connection and trading account: the newest order in a reply."""
        self._acked: dict[tuple[int, str], tuple[int, int, int, int]] = {}
        """Of each order: client, connection, position and seq of the reply that told it."""
        self._streams: dict[tuple[int, str], Stream] = {}

    # --- replies

    def acknowledged(self, ack: Ack) -> None:
        """Compare a reply with the log."""
        request = self._books.request(ack.client, ack.n)
        if "result" not in ack.reply:
            return
        name = f"request {ack.client}/{ack.n}.{ack.attempt.k}, {request.kind}"
        result = ack.reply["result"]
        if request.method == "get_executions":
            self._check_newest_execution(name, ack, request.params, result)
        elif request.method == "get_orders":
            self._check_newest_orders(name, ack, request.params, result)
        elif request.method in WRITES:
            self._check_against_log(name, ack, request.method, request.params, result)
            self._check_times(name, ack, result)
            if request.method == "submit_orders":
                self._check_orders(name, ack, request.params, result)

    def _check_against_log(self, name: str, ack: Ack, method: str, params: Any, result: Any) -> None:
        if self._market.broken:
            return
        key = views.LOGGED_AS.get(method, method), views.sent(method, params)
        given = self._market.answers.get(ack.seq, {}).get(key, [])
        if result in given:
            given.remove(result)  # it answers this reply and no other
        elif given:
            self._findings.add(
                Finding.ALTERED, f"{name}: answered {str(result)[:300]}, and the log's row {ack.seq} {str(given)[:300]}"
            )
        else:
            self._findings.add(Finding.LOST, f"{name}: row {ack.seq} does not hold it; {str(result)[:200]}")

    def _check_times(self, name: str, ack: Ack, result: Any) -> None:
        highest = self._order.newest_before(ack.attempt.sent)
        for each in result if isinstance(result, list) else [result]:
            self.tally.results += 1
            status = each["status"]
            self.tally.statuses[status] = self.tally.statuses.get(status, 0) + 1
            row = self._log.row_of(each["timestamp"])
            if status == "exists":
                if row is None or row > ack.seq:
                    self._findings.add(Finding.ORDER, f"{name}: {each} is in row {row}, the reply of {ack.seq}")
            elif each["timestamp"] <= highest or row != ack.seq:
                self._findings.add(
                    Finding.ORDER,
                    f"{name}: {status} at {each['timestamp']} in row {row}; the reply has seq {ack.seq}, and {highest} "
                    "was answered before it was sent",
                )

    def _check_orders(self, name: str, ack: Ack, params: list[Json], result: list[Json]) -> None:
        for item, each in zip(params, result, strict=True):
            if not each["order_id"]:
                continue  # refused without a trace
            key = item["account_id"], item["client_order_id"]
            known = self._orders.get(key)
            exists = each["status"] == "exists"
            if known is None:
                self._orders[key] = Known(each["order_id"], each["timestamp"])
                self._acked[key] = ack.client, ack.attempt.connection, ack.position, ack.seq
                self.tally.orders += 1
                self.tally.resends_exist += exists and ack.attempt.k > 0
            elif known.order_id != each["order_id"]:
                self._findings.add(
                    Finding.DOUBLED, f"{name}: {key} is order {each['order_id']}, and was {known.order_id}"
                )
            elif not exists or known.timestamp != each["timestamp"]:
                self._findings.add(Finding.RETRY, f"{name}: {key} was answered at {known.timestamp}, now {each}")
            else:
                self.tally.repeats_exist += 1
            self.tally.fills += 0 if exists else len(each["fills"])
            place = ack.client, ack.attempt.connection, item["account_id"]
            self._newest_order[place] = max(self._newest_order.get(place, 0), each["order_id"])

    # --- reads

    def _check_newest_execution(self, name: str, ack: Ack, params: Json, result: list[Json]) -> None:
        """The newest execution of an account: the last of a prefix of the log that ends in the reply's row."""
        self.tally.reads += 1
        account_id = params["account_id"]
        exec_id = result[0]["exec_id"] if result else 0
        there = self._market.executions_after(exec_id - 1, 1) if exec_id else []
        if result != there or (there and there[0]["seq"] > ack.seq):
            self._findings.add(Finding.DIRTY_READ, f"{name}, seq {ack.seq}: read {result}, and the log has {there}")
        after = self._market.executions_after(exec_id, 1, account_id=account_id)
        if after and after[0]["seq"] < ack.seq:
            self._findings.add(Finding.STALE_READ, f"{name}, seq {ack.seq}: read {result}, and not {after}")

    def _check_newest_orders(self, name: str, ack: Ack, params: Json, result: list[Json]) -> None:
        """The newest orders of an account; what never changes of them must be the log's."""
        self.tally.reads += 1
        account_id = params["account_id"]
        newest = result[0]["order_id"] if result else 0
        own = self._newest_order.get((ack.client, ack.attempt.connection, account_id), 0)
        if newest < own:
            self._findings.add(Finding.STALE_READ, f"{name}: order {newest} is the newest, and {own} was answered")
        engine = self._market.engine
        for each in result:
            page = engine.get_orders(wanted(account_id=account_id, order_id=each["order_id"], limit=1))
            there = views.order(page[0]) if len(page) else {}
            fixed = ("client_order_id", "instrument", "side", "type", "time_in_force", "timestamp")
            row = self._log.row_of(each["timestamp"])
            if any(each[member] != there.get(member) for member in fixed) or row is None or row > ack.seq:
                self._findings.add(
                    Finding.DIRTY_READ, f"{name}, seq {ack.seq}: read {each}, and row {row} of the log has {there}"
                )
        page = engine.get_orders(wanted(account_id=account_id, after=newest, limit=1))
        if len(page) and (self._log.row_of(int(page[0]["timestamp"])) or 0) < ack.seq:
            missed = int(page[0]["order_id"])
            self._findings.add(Finding.STALE_READ, f"{name}, seq {ack.seq}: {newest} is the newest, and not {missed}")

    # --- subscriptions

    def told(self, journals: Mapping[int, Journal]) -> None:
        """Judge what came on subscriptions since the last audit; after all replies have been looked at."""
        for client, journal in journals.items():
            if not is_desk(client):
                continue
            topics = topics_of(client)
            for told in journal.told:
                if told.topic is not None:
                    self._subscribed(client, topics[told.topic], told)
                else:
                    self._notified(client, topics, told)
            journal.told.clear()
            for topic in topics:
                self._judge(client, topic)

    def _stream(self, client: int, topic: str) -> Stream:
        _, _, account = topic.partition(":")
        return self._streams.setdefault((client, topic), Stream(int(account or 0)))

    def _subscribed(self, client: int, topic: str, told: Told) -> None:
        self._judge(client, topic)
        stream = self._stream(client, topic)
        stream.connection, stream.from_seq, stream.after, stream.prev_seq = told.connection, told.from_seq, 0, -1
        stream.broken = False

    def _notified(self, client: int, topics: list[str], told: Told) -> None:
        topic = topics[0] if len(topics) == 1 else f"executions:{told.message.get('account_id')}"
        if topic not in topics or self._stream(client, topic).connection != told.connection:
            self._findings.add(Finding.STREAM, f"client {client} was told what it had not asked for: {told.message}")
            return
        self._stream(client, topic).pending.append(told)

    def _judge(self, client: int, topic: str) -> None:
        """Compare what has gathered on a topic with the log."""
        stream = self._stream(client, topic)
        pending, stream.pending = stream.pending, []
        self.tally.told += len(pending)
        if not pending or stream.broken:
            return
        expected = self._market.executions_after(
            stream.after, len(pending), account_id=stream.account_id, from_seq=stream.from_seq
        )
        for place, told in enumerate(pending):
            message = dict(told.message)
            prev_seq = message.pop("prev_seq", None)
            wanted_prev = stream.from_seq - 1 if stream.prev_seq < 0 else stream.prev_seq
            where = f"client {client}, {topic} from {stream.from_seq}"
            problem = self._problem(message, expected[place] if place < len(expected) else None)
            if problem is None and prev_seq != wanted_prev:
                problem = Finding.STREAM, f"prev_seq is {prev_seq}, and that before it {wanted_prev}"
            if self._too_early(client, told, message):
                self._findings.add(
                    Finding.STREAM, f"{where}: {message.get('exec_id')} was told before the reply to its order"
                )
            if problem is not None:
                self._findings.add(problem[0], f"{where}, execution {message.get('exec_id')}: {problem[1]}")
                stream.broken = True
                return
            stream.after, stream.prev_seq = message["exec_id"], message["seq"]
            self.tally.told_again += stream.after <= stream.newest
            self.tally.expired += message["kind"] == "expired" and "reason" not in message
            stream.newest = max(stream.newest, stream.after)

    def _problem(self, message: Json, expected: Json | None) -> tuple[Finding, str] | None:
        if message == expected:
            return None
        if self._log.row_of(message.get("timestamp", 0)) != message.get("seq"):
            return Finding.DIRTY_READ, f"the log has nothing at that time: {message}"
        return Finding.STREAM, f"{message}, and the log has {expected}"

    def _too_early(self, client: int, told: Told, message: Json) -> bool:
        """Whether an own request's execution came before the reply to it."""
        acked = self._acked.get((message["account_id"], message["client_order_id"]))
        if acked is None or message["kind"] not in {"new", "rejected"}:
            return False
        owner, connection, position, seq = acked
        return (owner, connection, seq) == (client, told.connection, message["seq"]) and position > told.position

    def missing(self, journals: Mapping[int, Journal]) -> list[str]:
        """Say what subscriptions have not been told of yet."""
        late = []
        for client in filter(is_desk, journals):
            for topic in topics_of(client):
                stream = self._stream(client, topic)
                newest = self._market.newest_execution(stream.account_id)
                if stream.newest < newest:
                    late.append(f"client {client}, {topic}: told up to {stream.newest}, and there are {newest}")
        return late

    def replay(self, port: int, *, all_of_it: bool) -> None:
        """Subscribe as somebody who has lost much, and compare what is told with the log."""
        newest = self._market.executions
        if not newest:
            return
        first = 1 if all_of_it else max(1, newest - REPLAYED)
        from_seq = self._market.executions_after(first - 1, 1)[0]["seq"]
        expected = self._market.executions_after(0, newest, from_seq=from_seq)
        with Channel(port, seconds=REPLAY_SECONDS) as channel:
            prev_seq = from_seq - 1
            try:
                for place, params in enumerate(channel.subscribe("executions", from_seq, len(expected))):
                    self.tally.replayed += 1
                    told = dict(params)
                    if told.pop("prev_seq") != prev_seq or told != expected[place]:
                        self._findings.add(
                            Finding.STREAM,
                            f"from {from_seq}: told {params} after seq {prev_seq}, not {expected[place]}",
                        )
                        return
                    prev_seq = told["seq"]
            except TimeoutError:
                self._findings.add(
                    Finding.STREAM, f"from {from_seq}: the log has {len(expected)} executions, fewer came"
                )

    # --- what there is

    def audit(self, channel: Channel, *, all_of_it: bool = False, ended: bool = False) -> None:
        """Compare what the server shows with the replay. Nobody may write. `ended`: all sessions have."""
        for _ in range(STABLE_TRIES):
            # An expiry between two of these reads would make them disagree; it is a row of the log.
            before = channel.call("ping").seq
            shown = self._read(channel)
            if before == channel.call("ping").seq:
                break
        else:
            self._findings.add(Finding.STUCK, "the log does not come to rest: expiries without end")
            return
        self._log.advance(self._findings, before)
        if self._log.seq != before:
            return  # the log has been advanced further than this; the next audit looks again
        self._compare(shown)
        self._check_money(shown)
        if ended:
            self._check_sessions()
        self._market.compare(all_of_it=all_of_it)
        if all_of_it:
            self._compare_histories(channel)
        self._market.answers.clear()

    def _read(self, channel: Channel) -> Json:
        shown: Json = {"get_positions": channel.call("get_positions", {}).result}
        for symbol in SYMBOLS:
            shown[f"get_book {symbol}"] = channel.call("get_book", {"instrument": symbol}).result
            shown[f"get_orders {symbol}"] = channel.call("get_orders", {"instrument": symbol, "open_only": True}).result
        for ledger in sorted(LEDGERS):
            shown[f"query_accounts {ledger}"] = channel.call("query_accounts", {"ledger": ledger}).result
        return shown

    def _compare(self, shown: Json) -> None:
        engine = self._market.engine
        expected: Json = {"get_positions": [views.position(view) for view in engine.get_positions(wanted())]}
        for symbol in SYMBOLS:
            expected[f"get_book {symbol}"] = views.book(*engine.get_book(wanted(symbol=symbol)))
            page = engine.get_orders(wanted(symbol=symbol, flags=OrderFilterFlag.OPEN_ONLY))
            expected[f"get_orders {symbol}"] = [views.order(view) for view in page]
        for what, value in expected.items():
            if what.startswith("get_orders"):
                self._compare_open(what, shown[what], value)
            elif shown[what] != value:
                one, other = _difference(shown[what], value)
                self._findings.add(Finding.REPLAY, f"{what}: the server has {one}, a replay from zero {other}")

    def _compare_open(self, what: str, shown: list[Json], expected: list[Json]) -> None:
        here = {each["order_id"]: each for each in shown}
        there = {each["order_id"]: each for each in expected}
        for order_id in sorted(here.keys() | there.keys()):
            if order_id not in there:
                self._findings.add(Finding.PHANTOM, f"{what}: {order_id} is open, and is not in a replay from zero")
            elif order_id not in here:
                self._findings.add(Finding.LOST, f"{what}: {order_id} is not open, and is in a replay from zero")
            elif here[order_id] != there[order_id]:
                one, other = _difference(here[order_id], there[order_id])
                self._findings.add(
                    Finding.REPLAY, f"{what}, {order_id}: the server has {one}, a replay from zero {other}"
                )

    def _check_money(self, shown: Json) -> None:
        for ledger in sorted(LEDGERS):
            accounts = shown[f"query_accounts {ledger}"]
            sums = [sum(account[name] for account in accounts) for name in BALANCES]
            if sums[0] != sums[2] or sums[1] != sums[3]:
                self._findings.add(Finding.BOOKS, f"ledger {ledger}: sums of {', '.join(BALANCES)}: {sums}")
            held = self._market.engine.lookup_accounts([account["id"] for account in accounts])
            for account, view in zip(accounts, held, strict=True):
                for name in BALANCES:
                    if account[name] != int(view[name]):
                        self._findings.add(
                            Finding.BALANCE,
                            f"account {account['id']}: {name} is {account[name]}, and in a replay {view[name]}",
                        )
                spent = account["debits_pending"] + account["debits_posted"]
                if account["flags"] and spent > account["credits_posted"]:
                    self._findings.add(Finding.BALANCE, f"account {account['id']} is overspent: {account}")

    def _check_sessions(self) -> None:
        """No order may be left of a session that has ended, but where nothing may be canceled."""
        engine = self._market.engine
        orders = engine.get_orders(wanted(flags=OrderFilterFlag.OPEN_ONLY))
        for view in orders[orders["session"] != 0]:
            head, _ = engine.get_book(wanted(symbol=text(view)))
            if not head["flags"]:
                self._findings.add(Finding.PHANTOM, f"order {view['order_id']} is open, and its session has ended")

    def _compare_histories(self, channel: Channel) -> None:
        """All orders, trades, executions, and all transfers of the market."""
        for _ in range(STABLE_TRIES):
            before = channel.call("ping").seq
            self._log.advance(self._findings, before)
            different = [
                *(self._history(channel, method, symbol) for method in HISTORIES for symbol in SYMBOLS),
                *(self._transfers(channel, ledger) for ledger in sorted(LEDGERS)),
            ]
            if before == channel.call("ping").seq:
                break  # no expiry in between has made the two differ
        for what in filter(None, different):
            self._findings.add(Finding.REPLAY, what)

    def _history(self, channel: Channel, method: str, symbol: str) -> str:
        """Say in what the pages of one instrument differ, if they do."""
        member, show = HISTORIES[method]
        after = 0
        while True:
            params = {"instrument": symbol, "after": after, "limit": ITEMS_MAX}
            given = channel.call(method, params).result
            page = getattr(self._market.engine, method)(wanted(symbol=symbol, after=after))
            expected = [show(view) for view in page]
            if given != expected:
                one, other = _difference(given, expected)
                return f"{method} {symbol}: the server has {one}, a replay from zero {other}"
            if len(given) < ITEMS_MAX:
                return ""
            after = given[-1][member]

    def _transfers(self, channel: Channel, ledger: int) -> str:
        """Say in what the transfers in a ledger differ, those that the engine made among them."""
        first = 0
        while True:
            params = {"ledger": ledger, "timestamp_min": first, "limit": ITEMS_MAX}
            given = channel.call("query_transfers", params).result
            condition = records.Filter(ledger=ledger, timestamp_min=first, limit=ITEMS_MAX)
            page = self._market.engine.query_transfers(records.filter_array(condition))
            one = [(row["id"], *(row[member] for member in TRANSFER)) for row in given]
            other = [
                (views.uuid(row["id_lo"], row["id_hi"]), *(int(row[member]) for member in TRANSFER)) for row in page
            ]
            if one != other:
                a, b = _difference(one, other)
                return f"transfers of ledger {ledger}: the server has {a}, a replay from zero {b}"
            if len(given) < ITEMS_MAX:
                return ""
            first = given[-1]["timestamp"] + 1


def _difference(one: Any, other: Any) -> tuple[str, str]:
    """Return the first element of lists, or else member, that differs."""
    if isinstance(one, list) and isinstance(other, list):
        for a, b in zip(one, other, strict=False):
            if a != b:
                return _difference(a, b)
        return f"{len(one)} of them", f"{len(other)} of them"
    if isinstance(one, dict) and isinstance(other, dict):
        members = [member for member in (*one, *other) if one.get(member) != other.get(member)]
        return str({member: one.get(member) for member in members}), str({m: other.get(m) for m in members})
    return str(one)[:300], str(other)[:300]
