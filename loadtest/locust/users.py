"""The users. Each has a connection and a stretch of the workload of its own, and keeps several requests in flight.

A user of your own is a `TongbaoUser` with a `next_request`.
"""

import time
from collections import deque
from contextlib import suppress
from typing import Any

import gevent
import msgspec
from locust import User, task
from locust.exception import StopUser

from loadtest.bankday import activity, hour_at, volume
from loadtest.locust.asked import Judgement, Reply, Request, asked, created
from loadtest.locust.connection import Connection, ConnectionLostError
from loadtest.locust.load import DRAIN_SECONDS, load_of
from loadtest.market import Command, symbol
from loadtest.requests import Requests
from loadtest.stretches import drawn
from loadtest.workload import ACCOUNT_FIRST

AHEAD = 64
"""Requests of single transfers that are written at once."""
CATCH_UP_MOST = 256
"""Requests of a schedule that are sent in one piece when it is behind."""
IN_FLIGHT_MOST = 10_000
"""Of a user on a schedule; it waits beyond that, and its requests are late by their plan."""
LOOKED_UP = 10
"""Accounts of one balance query."""
LISTEN_SECONDS = 0.5
"""Between two looks of MarketData at its connection."""
STATEMENT = 20
"""Transfers of a statement."""


class TongbaoUser(User):
    """A connection with requests in flight, closed loop (--depth) or on a schedule (--rate).

    Locust's task is one turn: in a closed loop whatever there is room for, on a schedule whatever is due.
    """

    abstract = True
    needs_market = False

    def on_start(self) -> None:
        """Connect."""
        self.load = load_of(self.environment)
        settings = self.load.settings
        if settings is None:
            raise StopUser
        self.settings = settings
        self.stretch = self.load.next_stretch()
        self.judgement = Judgement(self.load.tally, settings.allowed)
        self.asked_count = 0
        self.sent = 0
        try:
            self.connection = Connection(
                settings.address,
                self.judgement,
                self.load.report,
                reconnect_seconds=settings.reconnect_seconds,
                notified=self.on_notification,
            )
        except (OSError, ConnectionLostError) as error:
            self.load.report(Request("connect", 0, b"", created), 0.0, 0, f"{error}")
            raise StopUser from error
        self.load.connections.add(self.connection)
        self.account = settings.market.trading_account(self.stretch.number)
        self.due = time.perf_counter()
        self.begin()

    def on_stop(self) -> None:
        """Wait for what is in flight, and hang up."""
        connection: Connection | None = getattr(self, "connection", None)
        if connection is None:
            return
        with suppress(ConnectionLostError):
            self.end()
        connection.drain(DRAIN_SECONDS)
        for _ in range(connection.cuts):
            self.load.tally.add("connect", "again")
        self.load.connections.discard(connection)
        connection.close()

    def wait_time(self) -> float:
        """Until the next request of the schedule is due."""
        return max(0.0, self.due - time.perf_counter()) if self.settings.rate else 0.0

    @task
    def turn(self) -> None:
        """Locust's task."""
        self.step()

    def step(self) -> None:
        """Send what there is to send."""
        if self.load.draining:
            gevent.sleep(0.05)
            return
        connection = self.connection
        requests: list[Request] = []
        try:
            if self.settings.rate:
                connection.wait_for_room(IN_FLIGHT_MOST)
                now = time.perf_counter()
                while self.due <= now and len(requests) < CATCH_UP_MOST:
                    request = self.next_request()
                    request.due = self.due
                    self.due += self.pause()
                    requests.append(request)
            else:
                requests = [self.next_request() for _ in range(connection.wait_for_room(self.settings.depth))]
            if requests and not self.load.draining:
                connection.send(requests)
        except ConnectionLostError as error:
            raise StopUser from error

    # --- for the users below, and yours -----------------------------------------------------------

    def begin(self) -> None:
        """Called once, with the connection."""

    def end(self) -> None:
        """Called when the user stops, with the connection."""

    def on_notification(self, reply: Reply) -> None:
        """Called for each line that is no reply."""

    def pause(self) -> float:
        """Seconds between two requests of the schedule."""
        return 1 / self.settings.rate

    def next_request(self) -> Request:
        """The next request of this user."""
        raise NotImplementedError

    def asked(self, method: str, params: Any, *, about: Any = None) -> Request:
        """A request of any method; ids that no request of transfers has."""
        self.asked_count += 1
        return asked(method, params, -self.asked_count, about=about)

    def number(self) -> int:
        """The next number of this user's stretch, for items that are made one by one."""
        self.sent += 1
        return self.stretch.first + self.sent - 1

    def looked_up(self, bits: int) -> Request:
        """The balances of some accounts."""
        accounts = self.settings.workload.accounts
        first = bits % accounts
        wanted = [ACCOUNT_FIRST + (first + index * 7_919) % accounts for index in range(LOOKED_UP)]
        return self.asked("lookup_accounts", wanted, about=wanted)

    def statement(self, bits: int) -> Request:
        """The last transfers of an account."""
        account = ACCOUNT_FIRST + bits % self.settings.workload.accounts
        params = {"account_id": account, "limit": STATEMENT, "reversed": True}
        return self.asked("get_account_transfers", params, about=(account, STATEMENT))

    def ordered(self, command: Command) -> Request:
        """A request of one order, replace or cancel."""
        return self.asked(command.method, [command.item])


class Source:
    """The transfers of a user's stretch, as the compiled workload writes them."""

    def __init__(self, requests: Requests, numbers: range, name: str) -> None:
        self.requests = requests
        self.numbers = iter(numbers)
        self.name = name
        self.lines: deque[bytes] = deque()
        self.ahead = max(1, AHEAD // requests.items)
        self.next = numbers.start

    def request(self) -> Request:
        """The next one."""
        if not self.lines:
            self.lines.extend(self.requests.lines(self.next, self.ahead).splitlines(keepends=True))
            self.next += self.ahead
        return Request(self.name, next(self.numbers), self.lines.popleft(), created, self.requests.items)


class Transfers(TongbaoUser):
    """Single transfers (or chains of two): what a payment channel sends."""

    weight = 4

    def begin(self) -> None:
        """Take the stretch."""
        requests = self.settings.singles
        self.source = Source(requests, self.stretch.requests(requests.items), "create_transfers")

    def next_request(self) -> Request:
        """One transfer."""
        return self.source.request()


class Batches(TongbaoUser):
    """Requests of --batch transfers: clearing files, salaries."""

    weight = 1

    def begin(self) -> None:
        """Take the stretch."""
        requests = self.settings.batches
        self.source = Source(requests, self.stretch.requests(requests.items), "batch of transfers")

    def next_request(self) -> Request:
        """One batch."""
        return self.source.request()


class Balances(TongbaoUser):
    """Balance queries, of ten accounts at a time, and now and then a statement."""

    weight = 2

    def next_request(self) -> Request:
        """Nine lookups and a statement."""
        number = self.number()
        bits = drawn(self.settings.workload.seed, number)[2]
        return self.statement(bits) if number % 10 == 9 else self.looked_up(bits)


class OrderFlow(TongbaoUser):
    """Orders as an exchange sees them: rest, replace, cancel, take."""

    weight = 2
    needs_market = True

    def begin(self) -> None:
        """Start at the beginning of a block."""
        self.offset = -self.stretch.first % 64

    def next_request(self) -> Request:
        """One command."""
        return self.ordered(self.settings.market.flow(self.offset + self.number(), self.account))

    def end(self) -> None:
        """Leave nothing in the book."""
        self.connection.send([self.asked("mass_cancel", {"account_id": self.account})])


class MarketMaker(OrderFlow):
    """Quotes of both sides, replaced over and over."""

    weight = 2

    def next_request(self) -> Request:
        """One command."""
        return self.ordered(self.settings.market.quotes(self.offset + self.number(), self.account))


class BankDay(OrderFlow):
    """A bank's day: payments, salaries, balances, statements and orders by the hour (see loadtest/bankday.py).

    On a schedule (--rate) the volume follows the hours as well; --rate is that of the busiest.
    """

    weight = 2

    def begin(self) -> None:
        """Take the stretch in parts, since each kind of item counts for itself."""
        super().begin()
        # Even, as the stretch's ends are: what comes in pairs stays together.
        quarter = (self.stretch.end - self.stretch.first) // 8 * 2
        middle, last = self.stretch.first + 2 * quarter, self.stretch.first + 3 * quarter
        singles, batches = self.settings.singles, self.settings.batches
        self.payments = Source(singles, part(middle, last, singles.items), "create_transfers")
        self.salaries = Source(batches, part(last, self.stretch.end, batches.items), "batch of transfers")
        self.orders = 0

    def hour(self) -> float:
        """What time it is in the bank."""
        return hour_at(time.perf_counter() - self.load.began, self.settings.day_seconds, self.settings.day_start)

    def pause(self) -> float:
        """Longer in the quiet hours."""
        return super().pause() / volume(self.hour())

    def next_request(self) -> Request:
        """Whatever the hour brings."""
        bits = drawn(self.settings.workload.seed, self.number())[2]
        doing = activity(self.hour(), bits)
        if doing == "payment":
            return self.payments.request()
        if doing == "salaries":
            return self.salaries.request()
        if doing == "balance":
            return self.looked_up(bits)
        if doing == "statement":
            return self.statement(bits)
        self.orders += 1
        return self.ordered(self.settings.market.flow(self.stretch.first + self.offset + self.orders - 1, self.account))


class MarketData(TongbaoUser):
    """Subscribes to trades and tops of all instruments, and looks that no update is missing."""

    weight = 1
    needs_market = True

    def begin(self) -> None:
        """Subscribe; a connection that has been made anew knows nothing of the subscriptions of the one before."""
        self.seen: dict[tuple[str, str], int] = {}
        self.cuts = self.connection.cuts
        topics = [f"{kind}:{symbol(index)}" for index in range(self.settings.market.instruments) for kind in KINDS]
        self.connection.send([self.asked("subscribe", {"topics": topics})])

    def step(self) -> None:
        """Listen; a session that says nothing is kept alive by a ping."""
        gevent.sleep(LISTEN_SECONDS)
        if self.load.draining:
            return
        try:
            if self.connection.cuts != self.cuts:
                self.begin()
            self.connection.send([self.asked("ping", {})])
        except ConnectionLostError as error:
            raise StopUser from error

    def on_notification(self, reply: Reply) -> None:
        """Count it, and fail when one before it is missing."""
        update = decode_update(reply.params)
        topic = reply.method, update.instrument
        before = self.seen.get(topic)
        self.seen[topic] = update.seq
        self.load.tally.add("notification", reply.method)
        if before is not None and not update.snapshot and update.prev_seq > before:
            self.load.report(Request("notification", 0, b"", created), 0.0, 0, f"{reply.method}: a gap")


KINDS = ("trades", "bbo")


class Update(msgspec.Struct):
    """What is looked at of a notification."""

    instrument: str
    seq: int
    prev_seq: int
    snapshot: bool = False


decode_update = msgspec.json.Decoder(Update).decode


def part(first: int, end: int, items: int) -> range:
    """Numbers of the requests of `items` items that lie wholly between two items."""
    return range(-(-first // items), end // items)
