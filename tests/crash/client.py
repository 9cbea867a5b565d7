"""A client process: `python -m tests.crash.client DIRECTORY CLIENT SEED RATE`.

It does what a careful channel does. Every request is noted in the journal before it is sent, every reply when it has
come. Requests are pipelined. After a reconnect it first sends again, in order and with the same ids, whatever has no
reply; now and then it repeats, to be on the safe side, what has been answered already. It may be killed at any
moment: its next incarnation goes on from the journal.
"""

import contextlib
import json
import select
import socket
import sys
import time
from collections import deque
from pathlib import Path
from random import Random
from typing import Any

from tests.crash.control import Control, Gate, gate_of
from tests.crash.journals import BUSY, Journal, Writer, path_of, resume
from tests.crash.trading import CHANNEL, KEY, DeskWorkload, guarded, is_desk, topics_of
from tests.crash.workload import Request, Workload

WINDOWS = (1, 1, 2, 4, 16, 64)
"""Requests that may be on their way at once; another of these is taken now and then."""
BUSY_SECONDS = 0.05
"""How long a request that was answered busy waits before it is sent again."""
REPEAT_EVERY = 24
"""One request of so many is followed by a repeat of an older one."""
TURN_SECONDS = 0.005
CONNECT_SECONDS = 2.0


LOGON = -1
TOPICS = -2
"""Numbers that stand in the ids of what is no request of the workload: topics have -2, -3 …"""


class Client:
    """One connection at a time, one thread, `select`."""

    def __init__(self, directory: Path, number: int, seed: int, rate: float) -> None:
        self._control = Control(directory / "control")
        self._number = number
        self._rate = rate
        self._workload = workload_of(seed, number, self._control.begun)
        self._topics = topics_of(number)
        # What is chance here is only when things are sent, not what: that may differ from run to run.
        self._random = Random(f"{seed}:{number}:{time.monotonic_ns()}")
        journal = Journal(number, path_of(directory, number))
        journal.load()
        resume(journal)
        self._journal = Writer(journal.path)
        self._next = journal.next_n
        self._attempts = {sent.n: sent.attempts[-1].k for sent in journal.unacknowledged()}
        """Requests without a reply, in order, with their newest attempt."""
        self._seen = self._last_seen(journal)
        """Newest seq that was told of each topic."""
        answered = [n for n, sent in journal.sent.items() if sent.acknowledged]
        self._answered = deque(answered[-2_000:], maxlen=2_000)
        self._repeats: dict[int, int] = dict.fromkeys(answered[-2_000:], 1_000)
        """Highest attempt of a repeated request; an incarnation starts above whatever the one before used."""
        self._repeats |= {n: sent.attempts[-1].k for n, sent in journal.sent.items() if n in self._repeats}
        self._socket: socket.socket | None = None
        self._outgoing = bytearray()
        self._incoming = bytearray()
        self._expected: deque[tuple[int, int]] = deque()
        self._again: list[tuple[float, int]] = []
        self._window = 1
        self._budget = 0.0

    # --- the loop

    def run(self) -> None:
        """Work until the gate says END."""
        last = time.monotonic()
        while (gate := gate_of(word := self._control.word)) is not Gate.END:
            now = time.monotonic()
            self._budget = min(self._budget + (now - last) * self._rate, 64.0)
            last = now
            if self._socket is None:
                if gate is Gate.CLOSED or (gate is Gate.DRAIN and not self._attempts and not self._topics):
                    self._control.set_quiet(self._number, word)
                    time.sleep(0.002)
                    continue
                if not self._connect():
                    time.sleep(0.01)
                    continue
            if gate is Gate.DRAIN and not self._expected and not self._attempts:
                self._control.set_quiet(self._number, word)
            self._send_again()
            if gate in {Gate.RUN, Gate.CLOSED}:
                self._send_new()
            self._turn()

    def _connect(self) -> bool:
        try:
            connection = socket.create_connection(("127.0.0.1", self._control.port), timeout=CONNECT_SECONDS)
        except OSError:
            return False
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setblocking(False)
        self._socket = connection
        self._journal.write([b"C\t%d\t%d" % (time.monotonic_ns(), self._control.port)])
        self._again.clear()
        if guarded(self._number):
            logon = {"channel": CHANNEL, "key": KEY, "cancel_on_disconnect": True}
            self._queue(LOGON, 0, line_of(Request("logon", "logon", logon), LOGON, 0))
        for place, topic in enumerate(self._topics):
            seen = self._seen.get(topic, 1)
            params = {"topics": [topic], "from_seq": seen}
            self._queue(TOPICS - place, seen, line_of(Request("subscribe", "subscribe", params), TOPICS - place, seen))
        self._send(list(self._attempts))
        return True

    def _note_seen(self, params: dict[str, Any]) -> None:
        topic = self._topics[0] if len(self._topics) == 1 else f"executions:{params['account_id']}"
        self._seen[topic] = params["seq"]

    def _last_seen(self, journal: Journal) -> dict[str, int]:
        """Return what an earlier incarnation has been told."""
        self._seen = {}
        for told in journal.told:
            if told.topic is None:
                self._note_seen(told.message)
        journal.told.clear()
        return self._seen

    def _disconnect(self, why: str) -> None:
        if self._socket is not None:
            self._socket.close()
        self._socket = None
        self._outgoing.clear()
        self._incoming.clear()
        self._expected.clear()
        self._journal.write([b"D\t%d\t%s" % (time.monotonic_ns(), why.encode())])

    # --- sending

    def _send_again(self) -> None:
        now = time.monotonic()
        due = [n for at, n in self._again if at <= now]
        if due:
            self._again = [(at, n) for at, n in self._again if at > now]
            self._send(due)

    def _send(self, again: list[int]) -> None:
        """Send requests again: those without a reply, or repeats of answered ones."""
        records = []
        for n in again:
            if n in self._attempts:
                k = self._attempts[n] = self._attempts[n] + 1
            else:
                k = self._repeats[n] = self._repeats.get(n, 0) + 1
            records.append(b"R\t%d\t%d\t%d" % (time.monotonic_ns(), n, k))
            self._queue(n, k, line_of(self._workload.request(n), n, k))
        if records:
            self._journal.write(records)

    def _send_new(self) -> None:
        count = min(self._window - len(self._expected), int(self._budget), 32)
        if count <= 0:
            return
        self._budget -= count
        records = []
        for n in range(self._next, self._next + count):
            line = line_of(self._workload.request(n), n, 0)
            records.append(b"S\t%d\t%d\t%s" % (time.monotonic_ns(), n, line))
            self._attempts[n] = 0
            self._queue(n, 0, line)
        self._next += count
        self._journal.write(records)  # before a byte of it leaves
        if self._random.random() < count / REPEAT_EVERY and self._answered:
            self._send([self._random.choice(self._answered)])
        if self._random.random() < 0.02:
            self._window = self._random.choice(WINDOWS)

    def _queue(self, n: int, k: int, line: bytes) -> None:
        self._outgoing += line + b"\n"
        self._expected.append((n, k))

    # --- the socket

    def _turn(self) -> None:
        assert self._socket is not None
        try:
            if self._outgoing:
                with contextlib.suppress(BlockingIOError):
                    del self._outgoing[: self._socket.send(self._outgoing)]
            readable, _, _ = select.select([self._socket], [self._socket] if self._outgoing else [], [], TURN_SECONDS)
            if readable:
                data = self._socket.recv(1 << 18)
                if not data:
                    self._disconnect("closed")
                    return
                self._incoming += data
                self._take(time.monotonic_ns())
        except OSError as error:
            self._disconnect(type(error).__name__)

    def _take(self, got: int) -> None:
        *lines, rest = bytes(self._incoming).split(b"\n")
        self._incoming = bytearray(rest)
        records = []
        for line in lines:
            try:
                reply = json.loads(line)
                if "method" in reply:
                    records.append(b"E\t%d\t%s" % (got, line))
                    self._note_seen(reply["params"])
                    continue
                n, k = (int(part) for part in reply["id"].split("."))
            except (ValueError, KeyError, TypeError, AttributeError):
                records.append(b"X\t%d\ta reply that cannot be read: %s" % (got, line[:200]))
                continue
            if not self._expected or self._expected[0] != (n, k):
                records.append(b"X\t%d\ta reply to %d.%d, which is not next" % (got, n, k))
                continue
            self._expected.popleft()
            if n < 0:
                if "error" in reply:
                    records.append(b"X\t%d\trefused: %s" % (got, line))
                elif n <= TOPICS:
                    records.append(b"U\t%d\t%d\t%d" % (got, TOPICS - n, k))
                continue
            records.append(b"A\t%d\t%d\t%d\t%s" % (got, n, k, line))
            if reply.get("error", {}).get("code") == BUSY:
                if n in self._attempts:
                    self._again.append((time.monotonic() + BUSY_SECONDS, n))
            elif n in self._attempts:
                self._repeats[n] = self._attempts.pop(n)
                self._answered.append(n)
        if records:
            self._journal.write(records)


def workload_of(seed: int, number: int, begun: int) -> Workload | DeskWorkload:
    """Return the requests of a client; `begun`: when the run began, nanoseconds."""
    return DeskWorkload(seed, number, begun) if is_desk(number) else Workload(seed, number)


def line_of(request: Request, n: int, k: int) -> bytes:
    """Return the bytes of attempt k of request n."""
    message = {"id": f"{n}.{k}", "method": request.method, "params": request.params}
    return json.dumps(message, separators=(",", ":")).encode()


if __name__ == "__main__":
    Client(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])).run()
