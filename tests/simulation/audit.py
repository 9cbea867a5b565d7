"""The audit of a simulated world: everything that clients were told, against the log that there is in the end.

The log is read from the database's own memory, so more is known here than an audit of real processes can know: when
each row was committed. It is verified row by row, replayed from nothing by the engine, and, command by command, by the
plain model. Then

- an answer is that of the log: the same item at the same time with the same status, in a row that was committed
  before the answer came; what was created is there once, and stays as it was told;
- time runs one way: what was answered before something else was asked has the lower timestamp;
- a read shows a prefix of the log: nothing that was not committed when the answer came, and all that had been
  acknowledged when it was asked (at a replica: all up to the entry that it was asked for);
- every engine that still runs, and every snapshot on a disk, is the replay's at the same row.

O(n log n) in calls and rows.
"""

from bisect import bisect_left, bisect_right
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from engine import Batch, Engine, requests
from engine.errors import SnapshotError
from engine.results import Status
from server.snapshots import Manifest
from server.wire import tools
from tests.crash.findings import Finding, Findings
from tests.crash.log import Log
from tests.models import records as plain
from tests.models.ledger import Ledger
from tests.simulation.history import COUNTER, SURE, WRITES, Call
from tests.simulation.machines import limits

if TYPE_CHECKING:
    from pathlib import Path

    from tests.simulation.world import World

FRESH = {"counter", "single", "chain"}
"""Writes that stand for themselves."""
CREATE_ACCOUNTS, CREATE_TRANSFERS = 1, 2
DONE = {Status.CREATED, Status.EXISTS}

Item = tuple[Any, ...]


class Entry:
    """What the log says about one item."""

    __slots__ = ("item", "row", "status", "timestamp")

    def __init__(self, item: Item, status: int, timestamp: int, row: int) -> None:
        self.item = item
        self.status = status
        self.timestamp = timestamp
        self.row = row


class Audit:
    """See the head of this file."""

    def __init__(self, world: "World") -> None:
        self.world = world
        self.findings: Findings = world.findings
        self.database = world.database
        self.counts: dict[str, int] = {"answers": 0, "reads": 0, "exists": 0, "snapshots": 0, "resent": 0}
        self._log = Log(lambda: "", limits())
        self._log.on_applied = self._applied
        self._model = Ledger()
        self._created: dict[int, Entry] = {}
        """By id of transfer."""
        self._at: dict[int, Entry] = {}
        """Items by their own time."""
        self._counter: list[Entry] = []
        self._broken = False

    def judge(self) -> None:
        """Judge all of it."""
        # What is left in the database: row by row, from nothing.
        states = self._states()
        snapshots = self._snapshots()
        for row in self.database.rows:
            if not self._log.take(row._asdict(), self.findings):
                return
            self._compare_states(row.seq, states, snapshots)
        self._counter_times = [entry.timestamp for entry in self._counter]
        self._counter_commits = [self.database.times[entry.row] for entry in self._counter]
        self._counter_rows = [entry.row for entry in self._counter]
        calls = [call for customer in self.world.customers for call in customer.notebook.calls if call.got]
        if self.world.misfortune.lost:
            # What was told before is lost; what was asked since must be as good as ever.
            self._judge_writes([call for call in calls if call.kind in FRESH and call.sent > self.database.lost_at])
            return
        calls.sort(key=attrgetter("got"))
        self._judge_writes([call for call in calls if call.kind in WRITES])
        for call in calls:
            if call.kind not in WRITES:
                self._judge_read(call)
        self._judge_order(calls)
        for what in self.world.loop.faults:
            self.findings.add(Finding.STUCK, f"nobody caught: {what}")

    # --- the log

    def _applied(self, seq: int, time: int, batch: Batch) -> None:
        """Give a row to the plain model, and note what came of each item."""
        model = self._model
        model.begin(time)
        for index, request in enumerate(tools.dump(batch)):
            kind = request["kind"]
            if kind not in {CREATE_ACCOUNTS, CREATE_TRANSFERS}:
                continue
            given = requests.answers(batch, index)
            if kind == CREATE_ACCOUNTS:
                names = ("id", "ledger", "code", "flags", "overdraft_limit")
                accounts = [plain.Account(*(int(item[name]) for name in names)) for item in request["items"]]
                expected = model.do_create_accounts(accounts, request["scope"])
            else:
                items = [_transfer(item) for item in request["items"].tolist()]
                expected = model.do_create_transfers(items, request["scope"])
                for item, status, timestamp in zip(
                    items, given["status"].tolist(), given["timestamp"].tolist(), strict=True
                ):
                    self._note(Entry(item, status, timestamp, seq))
            answered = list(zip(given["timestamp"].tolist(), given["status"].tolist(), strict=True))
            if not self._broken and answered != [(each.timestamp, each.status) for each in expected]:
                self._broken = True
                self.findings.add(Finding.MODEL, f"row {seq}: the engine answered {answered}, the model {expected}")

    def _note(self, entry: Entry) -> None:
        if entry.status == Status.EXISTS:
            return  # its time is that of the original
        if entry.status == Status.CREATED:
            if entry.item[0] in self._created:
                self.findings.add(Finding.DOUBLED, f"transfer {entry.item[0]:x} is created again in row {entry.row}")
            self._created[entry.item[0]] = entry
            if entry.item[2] == COUNTER:
                self._counter.append(entry)
        if entry.timestamp in self._at:
            self.findings.add(Finding.ORDER, f"two items of time {entry.timestamp}")
        self._at[entry.timestamp] = entry

    # --- engines and snapshots

    def _states(self) -> dict[int, list[tuple[str, bytes]]]:
        """State hashes of every engine that runs, by row."""
        states: dict[int, list[tuple[str, bytes]]] = {}
        for machine in self.world.machines:
            engine: Engine | None = machine.engine if machine.runs and machine.at_rest else None
            if engine is not None and not self.world.misfortune.lost:
                states.setdefault(machine.seq, []).append((machine.name, engine.state_hash()))
        return states

    def _snapshots(self) -> dict[int, list[tuple[str, str]]]:
        found: dict[int, list[tuple[str, str]]] = {}
        if self.world.misfortune.lost:
            return found  # they hold what is lost
        for machine in self.world.machines:
            directory: Path = machine.directory / "snapshots"
            for path in directory.glob("0*.json") if directory.exists() else ():
                try:
                    manifest = Manifest.read(path)
                except SnapshotError:
                    continue
                found.setdefault(manifest.seq, []).append((f"{machine.name}, snapshot", manifest.state_hash))
        return found

    def _compare_states(
        self, seq: int, states: dict[int, list[tuple[str, bytes]]], snapshots: dict[int, list[tuple[str, str]]]
    ) -> None:
        here = [(name, state.hex()) for name, state in states.get(seq, ())] + snapshots.get(seq, [])
        if not here:
            return
        expected = self._log.engine.state_hash().hex()
        for name, state in here:
            self.counts["snapshots"] += 1
            if state != expected:
                self.findings.add(Finding.REPLAY, f"{name} at row {seq} is not what the log gives from nothing")

    # --- writes

    def _judge_writes(self, calls: list[Call]) -> None:
        for call in calls:
            self.counts["answers"] += 1
            self.counts["resent"] += call.attempts > 1 or call.resent
            if call.error:
                self.findings.add(Finding.PROTOCOL, f"{call.name}: {call.error}")
                continue
            for item, result in zip(call.items, call.result, strict=True):
                self._judge_item(call, item, result)
            if call.kind in SURE and not all(result.status in DONE for result in call.result):
                statuses = ", ".join(result.status.name for result in call.result)
                self.findings.add(Finding.RETRY, f"{call.name}: nothing explains its refusal: {statuses}")

    def _judge_item(self, call: Call, item: Any, result: Any) -> None:
        where = f"{call.name}, transfer {item.id:x}"
        status, timestamp = result
        if status in DONE:
            entry = self._created.get(item.id)
            if entry is None:
                self.findings.add(Finding.LOST, f"{where}: {status.name}, and it is not in the log")
                return
            self.counts["exists"] += status == Status.EXISTS
        else:
            entry = self._at.get(timestamp)
            if entry is None or entry.status != status or entry.item[0] != item.id:
                self.findings.add(Finding.ALTERED, f"{where}: {status.name} at {timestamp}, which the log has not")
                return
        if entry.timestamp != timestamp:
            kind = Finding.DOUBLED if status == Status.CREATED else Finding.ALTERED
            self.findings.add(kind, f"{where}: {status.name} at {timestamp}; in the log it is of {entry.timestamp}")
        if entry.item != _asked(item):
            self.findings.add(Finding.ALTERED, f"{where}: asked {_asked(item)}, logged {entry.item}")
        if self.database.times[entry.row] > call.got:
            self.findings.add(Finding.DIRTY_READ, f"{where}: answered before row {entry.row} was committed")

    # --- reads

    def _judge_read(self, call: Call) -> None:
        self.counts["reads"] += 1
        if call.error:
            self.findings.add(Finding.PROTOCOL, f"{call.name}: {call.error}")
        elif call.kind == "read_counter":
            views = call.result
            if len(views) != 2 or views[0] is None or views[0].id != COUNTER:
                if not call.replica or call.min_seq:
                    self.findings.add(Finding.STALE_READ, f"{call.name}: the counter is not there")
                return
            self._judge_prefix(call, views[0].credits_posted)
        elif call.kind == "read_history":
            value = call.result[0].credits_posted if call.result else 0
            if 0 < value <= len(self._counter_times) and call.result[0].timestamp != self._counter_times[value - 1]:
                self.findings.add(Finding.DIRTY_READ, f"{call.name}: {value} at another time than in the log")
            self._judge_prefix(call, value)
        elif call.kind == "read_transfers":
            self._judge_found(call)

    def _judge_prefix(self, call: Call, value: int) -> None:
        """`value` transfers to the counter were seen."""
        committed = bisect_right(self._counter_commits, call.got)
        if value > committed:
            self.findings.add(
                Finding.DIRTY_READ, f"{call.name} read {value}, and {committed} were committed when it was answered"
            )
        if call.replica:
            least = bisect_right(self._counter_rows, call.min_seq)
            if value < least:
                self.findings.add(
                    Finding.STALE_READ, f"{call.name} read {value}; row {call.min_seq} and before have {least}"
                )
            return
        call.items.append(value)  # held against what was acknowledged in _judge_order

    def _judge_found(self, call: Call) -> None:
        for id_, view in zip(call.items, call.result, strict=True):
            entry = self._created.get(id_)
            if view is None:
                if call.replica and entry is not None and entry.row <= call.min_seq:
                    self.findings.add(Finding.STALE_READ, f"{call.name}: {id_:x} of row {entry.row} is not there")
                continue
            if entry is None:
                self.findings.add(Finding.DIRTY_READ, f"{call.name}: {id_:x} is there, and not in the log")
            elif view.timestamp != entry.timestamp or self.database.times[entry.row] > call.got:
                self.findings.add(Finding.DIRTY_READ, f"{call.name}: {id_:x} was seen otherwise or before its commit")
            elif entry.item[1] and (view.debit_account_id, view.credit_account_id) != entry.item[1:3]:
                self.findings.add(Finding.ALTERED, f"{call.name}: {id_:x} has other accounts")

    # --- real time

    def _judge_order(self, calls: list[Call]) -> None:
        """What was answered before something was asked came before it."""
        answered: list[float] = []
        highest: list[int] = []
        acknowledged: dict[int, float] = {}
        for call in calls:  # by the time of the answer
            if call.kind in WRITES and not call.error:
                times = [result.timestamp for result in call.result if result.status == Status.CREATED]
                for item, result in zip(call.items, call.result, strict=True):
                    if result.status in DONE:
                        acknowledged.setdefault(item.id, call.got)
                if times:
                    answered.append(call.got)
                    highest.append(max(*times, highest[-1] if highest else 0))
        for call in calls:
            if call.error or call.replica:
                continue
            place = bisect_left(answered, call.sent) - 1
            before = highest[place] if place >= 0 else 0
            if call.kind in WRITES:
                for item, result in zip(call.items, call.result, strict=True):
                    if result.status == Status.CREATED and result.timestamp <= before:
                        self.findings.add(
                            Finding.ORDER,
                            f"{call.name}, {item.id:x}: at {result.timestamp}, and {before} was answered before",
                        )
            elif call.kind in {"read_counter", "read_history"} and call.items:
                place = bisect_left(answered, call.sent_last) - 1
                before = highest[place] if place >= 0 else 0
                least = bisect_right(self._counter_times, before)
                if call.items[-1] < least:
                    self.findings.add(
                        Finding.STALE_READ, f"{call.name} read {call.items[-1]}, and {least} were acknowledged before"
                    )
            elif call.kind == "read_transfers":
                for id_, view in zip(call.items, call.result, strict=True):
                    if view is None and acknowledged.get(id_, 1e300) < call.sent_last:
                        self.findings.add(
                            Finding.STALE_READ, f"{call.name}: {id_:x} is not there, and was acknowledged before"
                        )


def _transfer(item: tuple[int, ...]) -> plain.Transfer:
    """A record of TRANSFER_COMMAND as the model's tuple."""
    (lo, hi, debit, credit, amount, pending_lo, pending_hi, user_lo, user_hi, user_64, timestamp, user_32, timeout,
     ledger, code, flags) = item  # fmt: skip
    return plain.Transfer(
        lo | hi << 64, debit, credit, amount, ledger, code, flags, pending_lo | pending_hi << 64, timeout,
        user_lo | user_hi << 64, user_64, user_32, timestamp,
    )  # fmt: skip


def _asked(item: Any) -> plain.Transfer:
    """What a client asked for, as the model's tuple."""
    return plain.Transfer(
        item.id, item.debit_account_id, item.credit_account_id, item.amount, item.ledger, item.code, int(item.flags),
        item.pending_id, item.timeout, item.user_data_128, item.user_data_64, item.user_data_32, item.timestamp,
    )  # fmt: skip
