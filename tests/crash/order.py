"""The audit of the order: do all replies fit one total order of events, and does that order fit real time?

The order is the log's: events have a timestamp, rows have a number (`seq`), and the log says which row holds which
times. Against it are held

- real time: what was answered before something else was sent came before it, in timestamp and in seq;
- each connection: replies come with seq that never falls, and what it asked later happened later;
- each client: what it asked for later took effect later, across its reconnects;
- each read of the counter: its value is the number of transfers to it in a prefix of the order. The prefix ends
  inside the row whose seq the reply carries, holds all that was acknowledged before the read was sent, and nothing that
  was sent after the read was answered.

All of it in O(n log n), window by window: an audit's window ends when every client is quiet.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from tests.crash import trading
from tests.crash.books import Books
from tests.crash.findings import Finding, Findings
from tests.crash.journals import Ack, Journal
from tests.crash.log import Log
from tests.crash.workload import COUNTER, HOT

EFFECTIVE = {"created", "exists"}
WRITES = {"create_transfers", "create_accounts", *trading.WRITES}


class Highest:
    """Of values noted at rising moments: the highest up to a moment."""

    def __init__(self) -> None:
        self._at: list[int] = []
        self._values: list[int] = []

    def note(self, at: int, value: int) -> None:
        """Note a value; moments must not fall."""
        highest = max(value, self._values[-1]) if self._values else value
        self._at.append(at)
        self._values.append(highest)

    def before(self, at: int) -> int:
        """Return the highest value noted before `at` (0: none)."""
        place = bisect_left(self._at, at)
        return self._values[place - 1] if place else 0


@dataclass(slots=True)
class _Connection:
    number: int = -1
    seq: int = 0
    timestamp: int = 0


@dataclass(slots=True)
class _CounterWrite:
    """A transfer to the counter that was acknowledged: the bounds that it sets for reads."""

    client: int
    timestamp: int
    first_sent: int
    got: int
    position: int
    """In its client's journal, when it was first sent."""


@dataclass(slots=True)
class OrderTally:
    """What was compared."""

    replies: int = 0
    errors: int = 0
    busy: int = 0
    events: int = 0
    reads: int = 0


class Order:
    """See the head of this file."""

    def __init__(self, books: Books, log: Log, findings: Findings) -> None:
        self._books = books
        self._log = log
        self._findings = findings
        self.tally = OrderTally()
        self._timestamps = Highest()
        self._seqs = Highest()
        self._connections: dict[int, _Connection] = {}
        self._effective: dict[int, int] = {}
        """Newest effective timestamp of each client."""
        self._owners: dict[int, tuple[int, int, int]] = {}
        """Which item happened at a timestamp."""
        self._counter_highest = Highest()
        self._client_counter: dict[int, Highest] = {}
        """Of each client: its transfers to the counter, by the position in its journal at which they were sent."""

    def audit(self, journals: Mapping[int, Journal], acks: Sequence[Ack]) -> None:
        """Take the replies of one window, after the books have looked up what they mean."""
        acks = sorted(acks, key=lambda ack: (ack.got, ack.client, ack.position))
        for ack in acks:
            self._note(ack)
        writes: list[_CounterWrite] = []
        for ack in acks:
            if "result" in ack.reply:
                self._check_times(journals[ack.client], ack, writes)
        writes.sort(key=lambda write: write.got)
        for write in writes:
            self._counter_highest.note(write.got, write.timestamp)
        later = LowestAfter((write.first_sent, write.timestamp) for write in writes)
        by_client = {
            client: LowestAfter((write.position, write.timestamp) for write in writes if write.client == client)
            for client in journals
        }
        for ack in acks:
            if "result" in ack.reply:
                bound = min(later.than(ack.got), by_client[ack.client].than(ack.attempt.position))
                self._check_read(journals[ack.client], ack, bound)

    def _note(self, ack: Ack) -> None:
        """Note what every later request must come after."""
        self.tally.replies += 1
        if "error" in ack.reply:
            code = ack.reply["error"]["code"]
            self.tally.errors += 1
            if code == -32003:
                self.tally.busy += 1
            else:
                self._findings.add(Finding.PROTOCOL, f"{_name(ack)}: error {ack.reply['error']}")
            return
        self._seqs.note(ack.got, ack.seq)
        if times := _times(ack, self._books.request(ack.client, ack.n).method):
            self._timestamps.note(ack.got, max(times))

    def newest_before(self, at: int) -> int:
        """Return the newest timestamp that was answered before a moment."""
        return self._timestamps.before(at)

    # --- writes

    def _check_times(self, journal: Journal, ack: Ack, writes: list[_CounterWrite]) -> None:
        sent = journal.sent[ack.n]
        name = _name(ack)
        highest = self._seqs.before(ack.attempt.sent)
        if ack.seq < highest:
            self._findings.add(Finding.ORDER, f"{name}: seq {ack.seq}, and {highest} was answered before it was sent")
        connection = self._connections.setdefault(ack.client, _Connection())
        if connection.number != ack.attempt.connection:
            connection.number, connection.seq, connection.timestamp = ack.attempt.connection, 0, 0
        if ack.seq < connection.seq:
            self._findings.add(Finding.ORDER, f"{name}: seq {ack.seq} after {connection.seq} on one connection")
        connection.seq = max(connection.seq, ack.seq)
        request = self._books.request(ack.client, ack.n)
        if request.method not in {"create_transfers", "create_accounts"}:
            return
        before_first = self._timestamps.before(sent.first_sent)
        before_attempt = self._timestamps.before(ack.attempt.sent)
        for index, result in enumerate(ack.reply["result"]):
            self.tally.events += 1
            status, timestamp = result["status"], result["timestamp"]
            where = f"{name}, item {index}: {status} at {timestamp}"
            row = self._log.row_of(timestamp)
            if status == "exists":
                if timestamp <= before_first:
                    self._findings.add(
                        Finding.ORDER, f"{where}, and {before_first} was answered before it was first sent"
                    )
                if row is None or row > ack.seq:
                    self._findings.add(Finding.ORDER, f"{where} in row {row}, and the reply has seq {ack.seq}")
            else:
                if timestamp <= before_attempt:
                    self._findings.add(Finding.ORDER, f"{where}, and {before_attempt} was answered before it was sent")
                if timestamp <= connection.timestamp:
                    self._findings.add(Finding.ORDER, f"{where} after {connection.timestamp} on one connection")
                if row != ack.seq:
                    self._findings.add(Finding.ORDER, f"{where} is in row {row}, and the reply has seq {ack.seq}")
                connection.timestamp = max(connection.timestamp, timestamp)
                owner = self._owners.setdefault(timestamp, (ack.client, ack.n, index))
                if status == "created" and owner != (ack.client, ack.n, index):
                    self._findings.add(Finding.ORDER, f"{where}, as does item {owner}")
            if status in EFFECTIVE and ack.first:
                self._check_effective(journal, ack, timestamp, where)
                if request.params[index].get("credit_account_id") == COUNTER:
                    first = sent.attempts[0].position
                    writes.append(_CounterWrite(ack.client, timestamp, sent.first_sent, ack.got, first))
                    self._client_counter.setdefault(ack.client, Highest()).note(ack.attempt.position, timestamp)

    def _check_effective(self, journal: Journal, ack: Ack, timestamp: int, where: str) -> None:
        """Hold an effect against the client's earlier ones; one that was answered busy may have been overtaken."""
        if journal.sent[ack.n].busy:
            return
        newest = self._effective.get(ack.client, 0)
        if timestamp <= newest:
            self._findings.add(Finding.ORDER, f"{where}, and something that its client sent earlier at {newest}")
        self._effective[ack.client] = max(newest, timestamp)

    # --- reads

    def _check_read(self, journal: Journal, ack: Ack, later: int) -> None:
        request = self._books.request(ack.client, ack.n)
        if request.kind == "read_counter":
            views = ack.reply["result"]
            if len(views) != 2 or views[0] is None or views[1] is None or views[1]["id"] != HOT:
                self._findings.add(Finding.STALE_READ, f"{_name(ack)}: an account is not there: {str(views)[:200]}")
                return
            self._check_prefix(ack, views[0]["credits_posted"], None, later)
        elif request.kind == "read_history":
            rows = ack.reply["result"]
            value = rows[0]["credits_posted"] if rows else 0
            self._check_prefix(ack, value, rows[0]["timestamp"] if rows else None, later)
        elif request.kind == "read_transfers":
            self._check_found(journal, ack)

    def _check_prefix(self, ack: Ack, value: int, timestamp: int | None, later: int) -> None:
        """`value` transfers to the counter were seen, the last of them at `timestamp` (None: not told)."""
        self.tally.reads += 1
        times = self._books.counter_times
        name = f"{_name(ack)} read {value} with seq {ack.seq}"
        if value > len(times):
            self._findings.add(Finding.DIRTY_READ, f"{name}, and only {len(times)} were ever committed")
            return
        if timestamp is not None and times[value - 1] != timestamp:
            self._findings.add(
                Finding.DIRTY_READ, f"{name} at {timestamp}, and transfer {value} is of {times[value - 1]}"
            )
        # By real time, and by the order in which its client sent things.
        own = self._client_counter.get(ack.client)
        seen = bisect_right(times, self._counter_highest.before(ack.attempt.sent))
        sent = bisect_right(times, own.before(ack.attempt.position)) if own else 0
        if value < max(seen, sent):
            self._findings.add(
                Finding.STALE_READ, f"{name}: {seen} were acknowledged before it was sent; its client had sent {sent}"
            )
        unseen = bisect_left(times, later)
        if value > unseen:
            self._findings.add(Finding.DIRTY_READ, f"{name}, and transfer {unseen + 1} was sent after it")
        # By the log.
        begin, end = self._log.times_around(ack.seq)
        if not bisect_left(times, begin) <= value <= bisect_left(times, end):
            kind = Finding.STALE_READ if value < bisect_left(times, begin) else Finding.DIRTY_READ
            self._findings.add(
                kind, f"{name}, and the log has {bisect_left(times, begin)} … {bisect_left(times, end)} there"
            )

    def _check_found(self, journal: Journal, ack: Ack) -> None:
        """A read of transfers that the same client had sent before."""
        about = self._books.request(ack.client, ack.n)
        for id_, view in zip(about.params, ack.reply["result"], strict=True):
            entry = self._books.entries.get(id_)
            if entry is None or entry.applied is None:
                continue
            sent = journal.sent[entry.n]
            # Sent before the read on the connection that answered it, and not left behind by a busy answer.
            before = any(
                attempt.position < ack.attempt.position and attempt.connection == ack.attempt.connection
                for attempt in sent.attempts
            )
            if entry.applied and view is None and before and not sent.busy:
                self._findings.add(Finding.STALE_READ, f"{_name(ack)}: {id_} is not there, and was sent before")
            elif not entry.applied and view is not None:
                self._findings.add(Finding.PHANTOM, f"{_name(ack)}: {id_} is there, and was refused")
            elif view is not None and entry.timestamp and view["timestamp"] != entry.timestamp:
                self._findings.add(
                    Finding.DIRTY_READ,
                    f"{_name(ack)}: {id_} is of {view['timestamp']}, and was committed at {entry.timestamp}",
                )


class LowestAfter:
    """Of (moment, value) pairs: the lowest value of those after a moment."""

    def __init__(self, pairs: Iterable[tuple[int, int]]) -> None:
        ordered = sorted(pairs)
        self._at = [at for at, _ in ordered]
        self._lowest = list(accumulate((value for _, value in reversed(ordered)), min))[::-1]

    def than(self, at: int) -> int:
        """Return the lowest value after `at` (2^63: there is none)."""
        place = bisect_right(self._at, at)
        return self._lowest[place] if place < len(self._lowest) else 2**63


def _times(ack: Ack, method: str) -> list[int]:
    """Timestamps in a reply to a write."""
    if method not in WRITES:
        return []
    result: Any = ack.reply["result"]
    return [item["timestamp"] for item in (result if isinstance(result, list) else [result])]


def _name(ack: Ack) -> str:
    return f"request {ack.client}/{ack.n}.{ack.attempt.k}"
