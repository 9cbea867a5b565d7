"""Subscriptions: executions and market data to whoever asked for them, after the commit that made them true.

The batcher calls `publish` when a batch is durable and before the next one is applied, so what the engine's memory
says at that moment is what the log says, and nothing that is not durable ever leaves.

Every topic is a row of updates, each with `seq`, the log entry that made it, and `prev_seq`, that of the update
before it on this topic; a client whose last `seq` is another has missed something. Books, tops, orders and auctions
begin with a snapshot. A client that does not read gets no market data until it has read what waits for it: then one
update leads from what it has to what there is now. Executions and trades are never left out: they are read from the
engine's stores again, page by page, as fast as the client reads.

Without a subscriber a batch costs one comparison.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from engine import Batch, Engine
from engine._core.order_records import ORDER_FILTER, ORDER_VIEW, TRADE_VIEW
from engine.errors import EngineError
from engine.order_results import ExecutionKind, OrderFilterFlag
from server.wire.encode_orders import (
    auction_line,
    book_line,
    execution_lines,
    orders_line,
    top_line,
    trade_lines,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from server.metrics import Metrics

    Records = NDArray[np.void]

TOPICS_MAX = 1_024
"""Topics of one connection."""
PAGE = 1_000
"""Executions or trades that are read from the store at a time."""
DEPTH_ALL = 2**31 - 1
MARKET_TOPICS = ("book", "bbo", "orders", "auction", "trades")
TRADING_TOPICS = ("executions",)


class Reader(Protocol):
    """What a subscription needs of a connection."""

    @property
    def slow(self) -> bool:
        """Whether so much waits for the client that nothing should be added."""

    def notify(self, data: bytes) -> None:
        """Write lines behind everything that was written before."""


class TopicError(ValueError):
    """A topic that does not exist or may not be read; the message is the protocol's."""


@dataclass(slots=True, eq=False)
class Subscription:
    """One topic of one connection."""

    topic: str
    line: "Line"
    reader: Reader
    quoted: bool
    scope: int
    account_id: int = 0
    """executions: of this trading account; 0 = of all that the scope permits."""
    seq: int = 0
    """Of the last update that was sent."""
    next_id: int = 0
    """executions, trades: everything up to this id was sent or is not for this client."""
    behind: bool = False
    """Something was left out because the client does not read."""
    image: Any = None
    """While behind: what the client has."""
    starting: bool = True
    """The snapshot has not been sent."""
    from_seq: int | None = None


@dataclass(slots=True, eq=False)
class Line:
    """One topic with its subscriptions, and what they have been told."""

    kind: str
    symbol: str = ""
    number: int = -1
    """Of the instrument."""
    depth: int = DEPTH_ALL
    seq: int = 0
    """Of the newest update."""
    last_id: int = 0
    """executions, trades: the newest durable id."""
    image: Any = None
    subscriptions: dict[Subscription, None] = field(default_factory=dict)


class Feed:
    """All subscriptions of a server. Runs in the event loop's thread."""

    def __init__(self, engine: Engine, metrics: "Metrics") -> None:
        self._engine = engine
        self._metrics = metrics
        self._lines: dict[tuple[str, str, int], Line] = {}
        self._books: dict[int, list[Line]] = {}
        """Lines of the topics of an instrument, by its number."""
        self._starting: list[Subscription] = []
        self._behind: dict[Subscription, None] = {}
        self._of: dict[Reader, dict[str, Subscription]] = {}
        self._permitted: dict[tuple[int, int], bool] = {}
        self._trades = 0
        """Lines of trades."""
        self._executions_before = self._trades_before = 0
        """How many there were before the batch whose answers are being made."""
        self._seq = 0

    @property
    def active(self) -> bool:
        """Whether anybody is subscribed to anything."""
        return bool(self._of)

    @property
    def subscriptions(self) -> int:
        """How many there are."""
        return sum(map(len, self._of.values()))

    def before_batch(self) -> None:
        """Must be called before a batch that may contain a subscription is applied."""
        self._executions_before, self._trades_before = self._engine.executions, self._engine.trades

    # --- subscribing -----------------------------------------------------------------------------

    def subscribe(
        self,
        reader: Reader,
        topics: list[str],
        *,
        permissions: tuple[str, ...],
        scope: int,
        quoted: bool,
        from_seq: int | None,
        depth: int | None,
    ) -> list[str]:
        """Add topics of a connection; TopicError when one of them is none, and then nothing is added.

        The first updates are sent with the next `publish`.
        """
        mine = self._of.get(reader, {})
        if len(set(topics) | set(mine)) > TOPICS_MAX:
            raise TopicError(f"params.topics: more than {TOPICS_MAX} topics of one connection")
        wanted = [
            self._subscription(f"params.topics[{index}]", topic, reader, permissions, depth)
            for index, topic in enumerate(topics)
        ]
        for subscription in wanted:
            old = mine.get(subscription.topic)
            if old is not None:
                self._remove(old)
            subscription.quoted, subscription.scope, subscription.from_seq = quoted, scope, from_seq
            # What the requests behind this one lead to is for it, in the same batch, too.
            kind = subscription.line.kind
            subscription.next_id = self._executions_before if kind == "executions" else self._trades_before
            mine[subscription.topic] = subscription
            self._join(subscription)
            self._starting.append(subscription)
        if mine:
            self._of[reader] = mine
        return list(mine)

    def unsubscribe(self, reader: Reader, topics: list[str]) -> list[str]:
        """Take topics away; those that are not subscribed to are passed over. Returns what is left."""
        mine = self._of.get(reader, {})
        for topic in topics:
            subscription = mine.pop(topic, None)
            if subscription is not None:
                self._remove(subscription)
        if not mine:
            self._of.pop(reader, None)
        return list(mine)

    def forget(self, reader: Reader) -> None:
        """The connection has ended, or has become another channel's."""
        for subscription in self._of.pop(reader, {}).values():
            self._remove(subscription)

    def _subscription(
        self, path: str, topic: str, reader: Reader, permissions: tuple[str, ...], depth: int | None
    ) -> Subscription:
        kind, colon, name = topic.partition(":")
        if kind in TRADING_TOPICS:
            if not {"trade", "trade_read"} & set(permissions):
                raise PermissionError(f"{path}: {kind} is not permitted to this channel")
            account_id = 0
            if colon:
                if not (name.isascii() and name.isdigit() and name[0] != "0" and int(name) < 2**63):
                    raise TopicError(f"{path}: {name[:40]!r} is not a trading account")
                account_id = int(name)
            return Subscription(topic, Line(kind), reader, False, 0, account_id)
        if kind not in MARKET_TOPICS or not colon:
            raise TopicError(f"{path}: {topic[:40]!r} is not a topic")
        if "market_data" not in permissions:
            raise PermissionError(f"{path}: {kind} is not permitted to this channel")
        number = self._number(name)
        if number is None:
            raise TopicError(f"{path}: there is no instrument {name[:40]}")
        line = Line(kind, name, number)
        if kind == "bbo":
            line.depth = 1
        elif kind == "book" and depth is not None:
            line.depth = depth
        return Subscription(topic, line, reader, False, 0)

    def _number(self, symbol: str) -> int | None:
        """Return the number of an instrument."""
        if not 1 <= len(symbol) <= 24 or not symbol.isascii():
            return None
        try:
            views = self._engine.get_instruments(_filter(symbol=symbol))
        except ValueError:
            return None
        return int(views[0]["number"]) if len(views) else None

    def _join(self, subscription: Subscription) -> None:
        """Put a subscription on the line that it shares with others."""
        fresh = subscription.line
        key = (fresh.kind, fresh.symbol, fresh.depth)
        line = self._lines.get(key)
        if line is None:
            line = self._lines[key] = fresh
            line.seq = -1
            if line.kind in {"book", "bbo", "orders", "auction"}:
                self._books.setdefault(line.number, []).append(line)
            self._trades += line.kind == "trades"
        subscription.line = line
        line.subscriptions[subscription] = None

    def _remove(self, subscription: Subscription) -> None:
        line = subscription.line
        line.subscriptions.pop(subscription, None)
        self._behind.pop(subscription, None)
        if subscription in self._starting:
            self._starting.remove(subscription)
        if not line.subscriptions:
            self._lines.pop((line.kind, line.symbol, line.depth), None)
            if line.kind in {"book", "bbo", "orders", "auction"}:
                self._books[line.number].remove(line)
                if not self._books[line.number]:
                    del self._books[line.number]
            self._trades -= line.kind == "trades"

    # --- telling ---------------------------------------------------------------------------------

    def publish(self, batch: Batch, seq: int, *, logged: bool) -> None:
        """Tell what a durable batch did; the engine's memory is that of right after it."""
        self._seq = seq
        if logged:
            executions = self._engine.executions_of(batch)
            if len(executions):
                self._tell_executions(executions)
                if self._books:
                    self._tell_orders(executions, seq)
                if self._trades:
                    self._tell_trades(batch, executions, seq)
            if self._books:
                for number in self._engine.touched():
                    for line in self._books.get(number, ()):
                        if line.kind != "orders":
                            self._tell_book(line, seq)
        if self._starting:
            starting, self._starting = self._starting, []
            for subscription in starting:
                self._start(subscription, seq)

    def resumed(self, reader: Reader) -> None:
        """The client reads again: send what it has missed."""
        for subscription in list(self._of.get(reader, {}).values()):
            if subscription in self._behind and not reader.slow:
                self._catch_up(subscription)

    def _send(self, subscription: Subscription, data: bytes) -> None:
        self._metrics.notifications += data.count(b"\n")
        subscription.reader.notify(data)

    def _fall_behind(self, subscription: Subscription) -> None:
        if not subscription.behind:
            subscription.behind = True
            self._behind[subscription] = None

    # --- executions ------------------------------------------------------------------------------

    def _execution_line(self) -> Line | None:
        return self._lines.get(("executions", "", DEPTH_ALL))

    def _tell_executions(self, executions: "Records") -> None:
        line = self._execution_line()
        if line is None:
            return
        line.last_id = int(executions["exec_id"][-1])
        for subscription in line.subscriptions:
            if subscription.starting:
                continue
            if subscription.behind or subscription.reader.slow:
                self._fall_behind(subscription)
                continue
            self._send_executions(subscription, executions)

    def _send_executions(self, subscription: Subscription, executions: "Records") -> None:
        subscription.next_id = int(executions["exec_id"][-1])
        wanted = self._visible(subscription, executions)
        if len(wanted):
            data = execution_lines(wanted, subscription.seq, subscription.quoted)
            subscription.seq = int(wanted["batch"][-1])
            self._send(subscription, data)

    def _visible(self, subscription: Subscription, executions: "Records") -> "Records":
        """Those that the subscription asks for and may see."""
        account_ids = executions["account_id"]
        if subscription.account_id:
            executions = executions[account_ids == subscription.account_id]
            account_ids = executions["account_id"]
        if subscription.scope and len(executions):
            ids = np.unique(account_ids)
            seen = [account_id for account_id in ids.tolist() if self._permits(subscription.scope, account_id)]
            if len(seen) < len(ids):
                executions = executions[np.isin(account_ids, np.array(seen, np.uint64))]
        return executions

    def _permits(self, scope: int, account_id: int) -> bool:
        """Whether a scope holds all ledger accounts of a trading account; neither ever changes."""
        known = self._permitted.get((scope, account_id))
        if known is None:
            try:
                self._engine.get_positions(_filter(account_id=account_id, limit=1), scope=scope)
                known = True
            except PermissionError:
                known = False
            self._permitted[scope, account_id] = known
        return known

    # --- trades ----------------------------------------------------------------------------------

    def _tell_trades(self, batch: Batch, executions: "Records", seq: int) -> None:
        trades = self._engine.trades_of(batch)
        busted = executions[executions["kind"] == ExecutionKind.BUSTED]["trade_id"]
        undone = [self._trade(int(trade_id)) for trade_id in np.unique(busted).tolist()]
        if undone:
            trades = np.concatenate([trades, *undone])
        if not len(trades):
            return
        newest = self._engine.trades
        for number in np.unique(trades["instrument"]).tolist():
            mine = trades[trades["instrument"] == number]
            line = self._lines.get(("trades", _symbol(mine[0]), DEPTH_ALL))
            if line is None:
                continue
            made: dict[bool, bytes] = {}
            for subscription in line.subscriptions:
                if subscription.starting:
                    continue
                if subscription.behind or subscription.reader.slow:
                    self._fall_behind(subscription)
                    continue
                quoted = subscription.quoted
                if quoted not in made:
                    made[quoted] = trade_lines(mine, line.seq, quoted, seq)
                subscription.seq, subscription.next_id = seq, newest
                self._send(subscription, made[quoted])
            line.seq, line.last_id = seq, newest

    def _trade(self, trade_id: int) -> "Records":
        return self._engine.get_trades(_filter(after=trade_id - 1, limit=1))

    # --- books -----------------------------------------------------------------------------------

    def _image(self, line: Line) -> Any:
        """What a line's snapshot tells, from the engine's memory of now."""
        if line.kind == "orders":
            return self._open_orders(line.symbol)
        head, levels = self._engine.book(line.number, line.depth if line.kind != "auction" else 0)
        return head, levels

    def _open_orders(self, symbol: str) -> dict[int, "Records"]:
        orders: dict[int, Records] = {}
        after = 0
        while True:
            page = self._engine.get_orders(_filter(symbol=symbol, after=after, flags=OrderFilterFlag.OPEN_ONLY))
            for index in range(len(page)):
                if page[index]["visible_quantity"]:
                    orders[int(page[index]["order_id"])] = page[index : index + 1]
            if len(page) < self._engine.limits.query_limit_max:
                return orders
            after = int(page[-1]["order_id"])

    def _tell_book(self, line: Line, seq: int) -> None:
        """Tell the difference between a line's image and the book of now, if there is one."""
        if line.seq < 0:
            return  # all its subscriptions are starting
        image = self._image(line)
        if _same(line.kind, line.image, image):
            return
        self._advance(line, image, seq)

    def _tell_orders(self, executions: "Records", seq: int) -> None:
        """Orders topics: look at every order that something happened to."""
        for lines in self._books.values():
            for line in lines:
                if line.kind != "orders" or line.seq < 0:
                    continue
                words = _words(line.symbol)
                mine = executions[
                    (executions["symbol_0"] == words[0])
                    & (executions["symbol_1"] == words[1])
                    & (executions["symbol_2"] == words[2])
                ]
                image = None
                for order_id in np.unique(mine["order_id"]).tolist():
                    view = self._engine.get_orders(
                        _filter(symbol=line.symbol, after=order_id - 1, order_id=order_id, limit=1)
                    )
                    old = line.image.get(order_id)
                    if view[0]["visible_quantity"]:
                        if old is None or _shown(old[0]) != _shown(view[0]):
                            image = dict(line.image) if image is None else image
                            image[order_id] = view
                    elif old is not None:
                        image = dict(line.image) if image is None else image
                        del image[order_id]
                if image is not None:
                    self._advance(line, image, seq)

    def _advance(self, line: Line, image: Any, seq: int) -> None:
        """Give a line a new image and tell those who keep up."""
        made: dict[bool, bytes] = {}
        for subscription in line.subscriptions:
            if subscription.starting or subscription.behind:
                continue
            if subscription.reader.slow:
                subscription.image = line.image
                self._fall_behind(subscription)
                continue
            quoted = subscription.quoted
            if quoted not in made:
                made[quoted] = _update(line, image, line.image, seq, line.seq, quoted=quoted)
            subscription.seq = seq
            self._send(subscription, made[quoted])
        line.image, line.seq = image, seq

    # --- beginnings, and what was missed -----------------------------------------------------------

    def _start(self, subscription: Subscription, seq: int) -> None:
        """Send the snapshot, or begin with the executions from where the client asked."""
        line = subscription.line
        subscription.starting = False
        if line.kind in {"executions", "trades"}:
            store = self._engine.executions if line.kind == "executions" else self._engine.trades
            if line.seq < 0:
                line.seq = seq
            line.last_id = store
            if subscription.from_seq is not None:
                subscription.seq = max(subscription.from_seq - 1, 0)
                subscription.next_id = self._before(line.kind, subscription.from_seq, store)
            elif subscription.next_id < store:
                subscription.seq = max(seq - 1, 0)
            else:
                subscription.seq = max(line.seq, 0) if line.kind == "trades" else seq
                return
            self._fall_behind(subscription)
            self._catch_up(subscription)
            return
        if line.seq < 0:
            line.image, line.seq = self._image(line), seq
        subscription.seq = line.seq
        self._send(subscription, _snapshot(line, quoted=subscription.quoted))

    def _before(self, kind: str, from_seq: int, store: int) -> int:
        """Return the newest id of before a log entry."""
        read: Callable[..., Records] = self._engine.get_executions if kind == "executions" else self._engine.get_trades
        first = read(_filter(batch_min=from_seq, limit=1))
        name = "exec_id" if kind == "executions" else "trade_id"
        return int(first[0][name]) - 1 if len(first) else store

    def _catch_up(self, subscription: Subscription) -> None:
        """Send what a subscription has missed; of executions and trades as much as the client takes."""
        line = subscription.line
        if line.kind == "executions":
            while subscription.next_id < line.last_id:
                if subscription.reader.slow:
                    return
                page = self._engine.get_executions(_filter(after=subscription.next_id, limit=PAGE))
                page = page[page["exec_id"] <= line.last_id]
                self._send_executions(subscription, page)
        elif line.kind == "trades":
            while subscription.next_id < line.last_id:
                if subscription.reader.slow:
                    return
                self._send_old_trades(subscription, line)
            subscription.seq = line.seq
        elif subscription.seq != line.seq:
            image, subscription.image = subscription.image, None
            data = _update(line, line.image, image, line.seq, subscription.seq, quoted=subscription.quoted)
            subscription.seq = line.seq
            self._send(subscription, data)
        subscription.behind = False
        self._behind.pop(subscription, None)

    def _send_old_trades(self, subscription: Subscription, line: Line) -> None:
        try:
            page = self._engine.get_trades(_filter(symbol=line.symbol, after=subscription.next_id, limit=PAGE))
        except EngineError:
            page = np.empty(0, TRADE_VIEW)  # too many of other instruments between them: look at all of them
            others = self._engine.get_trades(_filter(after=subscription.next_id, limit=PAGE))
            if len(others):
                page = others[others["instrument"] == line.number]
                subscription.next_id = int(others["trade_id"][-1])
        else:
            subscription.next_id = int(page["trade_id"][-1]) if len(page) == PAGE else line.last_id
        page = page[page["trade_id"] <= line.last_id]
        if len(page):
            data = trade_lines(page, subscription.seq, subscription.quoted)
            subscription.seq = int(page["batch"][-1])
            self._send(subscription, data)


# --- pieces ---------------------------------------------------------------------------------------


def _words(symbol: str) -> tuple[int, int, int]:
    raw = symbol.encode("ascii").ljust(24, b"\0")
    first, second, third = (int.from_bytes(raw[at : at + 8], "little") for at in (0, 8, 16))
    return first, second, third


def _symbol(record: np.void) -> str:
    raw = b"".join(int(record[f"symbol_{index}"]).to_bytes(8, "little") for index in range(3))
    return raw.rstrip(b"\0").decode("ascii")


def _filter(*, symbol: str = "", **members: int) -> "Records":
    """One ORDER_FILTER record."""
    record = np.zeros(1, ORDER_FILTER)
    if symbol:
        record["symbol_0"], record["symbol_1"], record["symbol_2"] = _words(symbol)
    for name, value in members.items():
        record[name] = value
    return record


AUCTION_FIELDS = ("session", "flags", "indicative_price", "indicative_quantity", "reference_price")


def _same(kind: str, old: Any, new: Any) -> bool:
    """Whether nothing changed that a topic tells."""
    (old_head, old_levels), (head, levels) = old, new
    if kind == "auction":
        return all(old_head[name] == head[name] for name in AUCTION_FIELDS)
    if old_head["session"] != head["session"] or old_head["flags"] != head["flags"]:
        return False
    if kind == "bbo" and old_head["last_price"] != head["last_price"]:
        return False
    return old_head["bids"] == head["bids"] and bool(np.array_equal(old_levels, levels))


def _shown(view: np.void) -> tuple[int, int]:
    return int(view["price"]), int(view["visible_quantity"])


def _snapshot(line: Line, *, quoted: bool) -> bytes:
    """Everything that a line tells, as it was at its newest update."""
    if line.kind == "orders":
        views = list(line.image.values())
        return orders_line(
            line.symbol, np.concatenate(views) if views else np.empty(0, ORDER_VIEW), True, line.seq, 0, quoted
        )
    head, levels = line.image
    if line.kind == "bbo":
        return top_line(head, levels, True, line.seq, 0, quoted)
    if line.kind == "auction":
        return auction_line(head, True, line.seq, 0, quoted)
    return book_line("book", head, levels, None, None, line.seq, 0, quoted)


def _update(line: Line, image: Any, old: Any, seq: int, prev_seq: int, *, quoted: bool) -> bytes:
    """What leads from one image of a line to another."""
    if line.kind == "orders":
        views = [view for order_id, view in image.items() if old.get(order_id) is not view]
        for order_id, view in old.items():
            if order_id not in image:
                gone = view.copy()
                gone["visible_quantity"] = 0
                views.append(gone)
        changed = np.concatenate(views) if views else np.empty(0, ORDER_VIEW)
        return orders_line(line.symbol, changed, False, seq, prev_seq, quoted)
    head, levels = image
    if line.kind == "bbo":
        return top_line(head, levels, False, seq, prev_seq, quoted)
    if line.kind == "auction":
        return auction_line(head, False, seq, prev_seq, quoted)
    return book_line("book", head, levels, old[0], old[1], seq, prev_seq, quoted)
