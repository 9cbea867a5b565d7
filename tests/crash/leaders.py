"""Two servers on one log: the leader is stopped for a while, another takes over, and the old one goes on.

From the moment at which the new leader answers ping, the old one must neither write nor answer a read: whatever is
sent to it after that moment must stay without a result, and it must end by itself and say that it was fenced. Stopping
a process is what a long pause of a virtual machine, of a swapping host or of a network does to a leader.
"""

import contextlib
import signal
import socket
import time
from dataclasses import dataclass
from random import Random

from tests.crash.channel import Channel
from tests.crash.client import line_of
from tests.crash.control import Gate
from tests.crash.findings import Finding
from tests.crash.processes import Clients, ServerProcess, StuckError
from tests.crash.run import Run
from tests.crash.workload import COUNTER, LEDGER, UNIFORM, Request

FENCED = 6
"""Exit code of a server that was fenced."""
END_SECONDS = 30.0
LATE_SECONDS = 1.0
"""How long the old leader is given to answer, wrongly, before what it has said is judged."""


@dataclass(frozen=True, slots=True)
class Cycle:
    """One change of leaders."""

    load: float
    """Seconds of load before the old leader is stopped."""
    idle: bool
    """Whether the clients have come to rest before: the first that the old leader gets then is a read."""


class Late:
    """Connections to the old leader, made while it led, over which requests are sent when it no longer does."""

    def __init__(self, port: int, serial: int) -> None:
        self._sockets = [socket.create_connection(("127.0.0.1", port), timeout=5.0) for _ in range(2)]
        self.transfer_id = f"00000000-0000-4000-8000-{serial:012d}"

    def send(self, *, write: bool) -> None:
        """Ask for the counter; then, if so, post a transfer to it."""
        read = Request("read_counter", "lookup_accounts", [COUNTER])
        transfer = {
            "id": self.transfer_id,
            "debit_account_id": UNIFORM[0],
            "credit_account_id": COUNTER,
            "amount": 1,
            "ledger": LEDGER,
            "code": 1,
        }
        self._sockets[0].sendall(line_of(read, 0, 0) + b"\n")
        if write:
            self._sockets[1].sendall(line_of(Request("counter", "create_transfers", [transfer]), 1, 0) + b"\n")

    def answers(self) -> list[bytes]:
        """Return what came back until the connections were closed, or for a while."""
        lines = []
        for connection in self._sockets:
            connection.settimeout(LATE_SECONDS)
            data = b""
            with contextlib.suppress(OSError):
                while part := connection.recv(65536):
                    data += part
            connection.close()
            lines += data.splitlines()
        return lines


class Leaders(Run):
    """Changes of leaders under load, judged like crashes."""

    cycles: tuple[Cycle, ...] = ()

    def _work(self, stack: contextlib.ExitStack) -> None:
        options = self._options
        self._control.move(Gate.CLOSED)
        self._server.start()
        self._ready()
        self._set_up()
        self._clients = Clients(options.directory, list(self._journals), options.seed, options.rate)
        stack.callback(self._clients.end)
        other = ServerProcess(
            options.directory, self._settings, command=self._command, cluster=self._server.cluster, name="other"
        )
        stack.callback(other.end)
        for serial, cycle in enumerate(self.cycles):
            other = self._change(cycle, other, serial)
            self._say(f"change {serial + 1}/{len(self.cycles)}  row {self._log.seq}  findings {len(self.findings)}")
            if self._found():
                return
        self._end()

    def _change(self, cycle: Cycle, successor: ServerProcess, serial: int) -> ServerProcess:
        """Stop the leader, let the successor take over, let the old one go on; return the old one."""
        old = self._server
        self.summary.rounds += 1
        self._control.move(Gate.RUN)
        self._await_progress()
        time.sleep(cycle.load)
        if cycle.idle:
            self._control.move(Gate.DRAIN)
            self._await_quiet()
        late = Late(old.port, serial)
        old.signal(signal.SIGSTOP)
        try:
            successor.start()
            self._server = successor
            self._ready()
            took_over = time.monotonic_ns()
            late.send(write=not cycle.idle)
        finally:
            old.signal(signal.SIGCONT)
        for line in late.answers():
            if b'"result"' in line:
                self.findings.add(
                    Finding.TWO_LEADERS, f"the old leader answered what was sent after the takeover: {line[:300]!r}"
                )
        if Finding.TWO_LEADERS in self.findings.kinds:
            old.kill()  # it is no leader that would end by itself
        try:
            code = old.wait_end(END_SECONDS)
            if code != FENCED:
                self.findings.add(Finding.TWO_LEADERS, f"the old leader ended with code {code}, not as fenced")
        except StuckError as error:
            self.findings.add(Finding.TWO_LEADERS, f"the old leader goes on: {error}")
            old.kill()
        self._control.move(Gate.DRAIN)
        self._await_quiet()
        with Channel(self._server.port) as channel:
            if channel.call("lookup_transfers", [late.transfer_id]).result != [None]:
                self.findings.add(Finding.TWO_LEADERS, "the old leader wrote after the takeover")
        self.audit()
        for ack in self._newest:
            if ack.attempt.port == old.port and ack.attempt.sent > took_over and "result" in ack.reply:
                self.findings.add(
                    Finding.TWO_LEADERS, f"request {ack.client}/{ack.n}.{ack.attempt.k}: answered by the old leader"
                )
        return old


def cycles(seed: int, count: int) -> tuple[Cycle, ...]:
    """Return changes of leaders, as the seed has it; idle and busy take turns."""
    random = Random(f"leaders:{seed}")
    return tuple(Cycle(random.uniform(0.2, 0.8), idle=bool(number % 2)) for number in range(count))
