"""A client's journal: its intents and its acknowledgements, in one file, in the order in which they happened.

One line a record, written with one `write` before (intents) or after (replies) the fact. The page cache survives the
kill -9 of a process, so nothing is synced. Times are CLOCK_MONOTONIC nanoseconds, which all processes of the machine
share: a time noted before a send is at most that of the send, one noted after a receive is at least that of it.

    S time n line       request n is about to be sent for the first time (its attempt 0)
    R time n k          … is about to be sent again, as attempt k
    A time n k reply    the reply to attempt k of request n has come
    C time port         connected
    D time why          disconnected
    X time what         something that must never happen
    U time topic seq    the reply to a subscription has come: topic (its place in the client's list), from which seq
    E time line         a notification has come

What stands last may be half a line, if the client was killed in mid-write: it counts as not written.
"""

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(slots=True)
class Attempt:
    """One time that a request was sent."""

    k: int
    position: int
    """Line in the journal: orders what one client did."""
    sent: int
    connection: int
    port: int


@dataclass(slots=True)
class Sent:
    """One request and what became of it."""

    n: int
    attempts: list[Attempt]
    acknowledged: bool = False
    """A reply other than busy has come."""
    busy: bool = False
    """At least one attempt was answered busy, so it may have been overtaken by later requests."""

    @property
    def first_sent(self) -> int:
        return self.attempts[0].sent


@dataclass(slots=True)
class Ack:
    """One reply."""

    client: int
    n: int
    attempt: Attempt
    position: int
    got: int
    reply: dict[str, Any]
    first: bool
    """The first that acknowledges its request; later ones answer a repeat."""

    @property
    def seq(self) -> int:
        return int(self.reply["seq"])


@dataclass(slots=True)
class Told:
    """A notification, or the beginning of a subscription."""

    position: int
    connection: int
    message: dict[str, Any]
    """Params of the notification."""
    topic: int | None = None
    """Of a subscription: the topic's place in the client's list."""
    from_seq: int = 0


@dataclass(slots=True)
class Journal:
    """What has been read of one client's journal so far."""

    client: int
    path: Path
    sent: dict[int, Sent] = field(default_factory=dict)
    offset: int = 0
    position: int = 0
    connection: int = 0
    port: int = 0
    faults: list[str] = field(default_factory=list)
    told: list[Told] = field(default_factory=list)
    """What came on subscriptions; whoever judges it takes it out."""

    @property
    def next_n(self) -> int:
        return len(self.sent)

    def unacknowledged(self) -> Iterator[Sent]:
        """Yield the requests that have no reply yet, in the order in which they were first sent."""
        return (sent for sent in self.sent.values() if not sent.acknowledged)

    def load(self) -> list[Ack]:
        """Read what is new; return the new replies, in order."""
        if not self.path.exists():
            return []
        with self.path.open("rb") as file:
            file.seek(self.offset)
            data = file.read()
        end = data.rfind(b"\n") + 1
        self.offset += end
        acks = []
        for line in data[:end].split(b"\n")[:-1]:
            self.position += 1
            ack = self._take(line)
            if ack is not None:
                acks.append(ack)
        return acks

    def _take(self, line: bytes) -> Ack | None:
        letter, time, *rest = line.split(b"\t", 4)
        at = int(time)
        if letter == b"S":
            n = int(rest[0])
            if n != len(self.sent):
                self.faults.append(f"request {n} is noted where {len(self.sent)} was expected")
            self.sent[n] = Sent(n, [Attempt(0, self.position, at, self.connection, self.port)])
        elif letter == b"R":
            n, k = int(rest[0]), int(rest[1])
            self.sent[n].attempts.append(Attempt(k, self.position, at, self.connection, self.port))
        elif letter == b"A":
            n, k = int(rest[0]), int(rest[1])
            sent = self.sent[n]
            reply = json.loads(rest[2])
            busy = reply.get("error", {}).get("code") == BUSY
            first = not busy and not sent.acknowledged
            sent.acknowledged |= not busy
            sent.busy |= busy
            attempt = next(attempt for attempt in reversed(sent.attempts) if attempt.k == k)
            return Ack(self.client, n, attempt, self.position, at, reply, first)
        elif letter == b"C":
            self.connection += 1
            self.port = int(rest[0])
        elif letter == b"U":
            self.told.append(Told(self.position, self.connection, {}, int(rest[0]), int(rest[1])))
        elif letter == b"E":
            self.told.append(Told(self.position, self.connection, json.loads(rest[0])["params"]))
        elif letter == b"X":
            self.faults.append(b" ".join(rest).decode("utf-8", "replace"))
        return None


BUSY = -32003


class Writer:
    """Appends records; the caller notes intents before it sends."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)

    def write(self, records: Iterable[bytes]) -> None:
        """Write records, one line each, in one piece."""
        data = b"".join(record + b"\n" for record in records)
        while data:
            data = data[os.write(self._file, data) :]


def path_of(directory: Path, client: int) -> Path:
    """File of a client's journal."""
    return directory / f"client-{client}.journal"


def resume(journal: Journal) -> None:
    """Make a journal ready for the next incarnation of its client: cut off what was half written."""
    if journal.path.exists() and journal.path.stat().st_size > journal.offset:
        os.truncate(journal.path, journal.offset)
