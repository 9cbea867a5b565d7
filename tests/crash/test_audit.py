"""The audits can fail: each is given what really happened with one thing changed, and must say which kind of thing.

One server and its clients work for a moment and nobody is killed. Their journals are then judged again and again: as
they are, and doctored.
"""

import copy
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pytest

from server.journal.rows import row_hash
from tests.crash.books import Books, Hold, hold_problem, outcomes_of
from tests.crash.channel import Channel, Reply
from tests.crash.client import workload_of
from tests.crash.control import Control, Gate
from tests.crash.desks import Desks
from tests.crash.findings import Finding, Findings
from tests.crash.journals import Ack, Journal, Told, path_of
from tests.crash.log import Log
from tests.crash.market import Market
from tests.crash.order import Highest, LowestAfter, Order
from tests.crash.processes import Clients, ServerProcess
from tests.crash.run import SETTINGS, set_up_market, write_channels
from tests.crash.trading import DESKS_FROM, SUBMITS, is_desk
from tests.crash.workload import CODE, LEDGER, READERS_FROM, SETUP, UNIFORM
from tests.models import trading_settlement

pytestmark = pytest.mark.crash

SEED = 11
NUMBERS = (1, 2, DESKS_FROM, DESKS_FROM + 1, READERS_FROM)


class DoctoredLog(Log):
    """Reads rows that are not quite what is in the database."""

    def __init__(self, dsn: Callable[[], str], change: Callable[[list[dict[str, Any]]], None]) -> None:
        super().__init__(dsn)
        self._change = change

    async def _read(self, last: int | None) -> list[Any]:
        rows = [dict(row) for row in await super()._read(last)]
        self._change(rows)
        return rows


class DoctoredChannel(Channel):
    """Answers look-ups not quite as the server does."""

    def __init__(self, port: int, change: Callable[[str, Any], None]) -> None:
        super().__init__(port)
        self._change = change

    def call(self, method: str, params: Any = None) -> Reply:
        reply = super().call(method, params)
        for view in reply.result if method.startswith(("lookup_", "get_orders", "query_accounts")) else ():
            if view is not None:
                self._change(method, view)
        return reply


@dataclass
class Evidence:
    """What a moment of work has left: the server, its journals and the answers to the set-up."""

    server: ServerProcess
    directory: Path
    set_up: list[dict[str, object]]

    def judge(
        self,
        change: Callable[[list[Ack]], None] = lambda _: None,
        *,
        view: Callable[[str, Any], None] = lambda *_: None,
        rows: Callable[[list[dict[str, Any]]], None] = lambda _: None,
        told: Callable[[list[Told]], None] = lambda _: None,
    ) -> Findings:
        """Return what the audits find when changes have been made.

        To replies, to looked up views, to the log, or to what the first desk was told.
        """
        findings = Findings()
        log = DoctoredLog(lambda: self.server.cluster.dsn, rows)
        begun = Control(self.directory / "control").begun
        workloads = {number: workload_of(SEED, number, begun) for number in NUMBERS}
        books = Books(workloads, findings, log, Random(0))
        order = Order(books, log, findings)
        market = Market(log.engine, findings)
        log.on_applied = market.applied
        desks = Desks(books, market, log, order, findings)
        journals = {number: Journal(number, path_of(self.directory, number)) for number in NUMBERS}
        acks = [ack for journal in journals.values() for ack in journal.load()]
        change(acks)
        told(journals[DESKS_FROM].told)
        books.set_up(self.set_up)
        for number, journal in journals.items():
            assert not journal.faults
            for n in range(journal.next_n):
                books.intended(number, n)
        log.advance(findings)
        for ack in acks:
            books.acknowledged(ack)
            if is_desk(ack.client):
                desks.acknowledged(ack)
        desks.told(journals)
        with DoctoredChannel(self.server.port, view) as channel:
            books.audit(channel, all_of_it=True)
            books.check_history(channel)
            desks.audit(channel, all_of_it=True)
        order.audit(journals, acks)
        return findings


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory, template: Path) -> Iterator[Evidence]:
    directory = tmp_path_factory.mktemp("evidence")
    server = ServerProcess(directory, SETTINGS | {"channels": write_channels(directory)})
    server.adopt(template)
    control = Control(directory / "control", create=True)
    control.move(Gate.CLOSED)
    clients = None
    try:
        server.start()
        server.wait_ready()
        with Channel(server.port) as channel:
            results = channel.call("create_accounts", SETUP).result
            set_up_market(channel)
        control.port = server.port
        clients = Clients(directory, list(NUMBERS), SEED, 300.0)
        control.move(Gate.RUN)
        deadline = time.monotonic() + 60
        gathered = [Journal(number, path_of(directory, number)) for number in NUMBERS]
        acks: list[Ack] = []
        while len(acks) < ACKS_MIN or not all(any(map(which, acks)) for which in DOCTORED):
            assert time.monotonic() < deadline, server.log_tail()
            time.sleep(0.1)
            acks += [ack for journal in gathered for ack in journal.load()]
        control.move(Gate.DRAIN)
        while not all(control.quiet(number) for number in NUMBERS):
            assert time.monotonic() < deadline, server.log_tail()
            time.sleep(0.02)
        clients.end()
        time.sleep(3.5)  # whatever has a timeout expires: the state is at rest
        yield Evidence(server, directory, results)
    finally:
        if clients is not None:
            clients.end()
        server.end()


def test_what_happened_is_in_order(evidence: Evidence) -> None:
    findings = evidence.judge()
    assert not len(findings), findings.report()


# --- one thing changed


def kind_of(ack: Ack) -> str:
    return workload_of(SEED, ack.client, 0).kind(ack.n)


def last(acks: list[Ack], which: Callable[[Ack], bool]) -> Ack:
    """Return the newest reply of a kind, with a copy of its members that may be changed."""
    ack = max((ack for ack in acks if which(ack)), key=lambda ack: ack.got)
    ack.reply = copy.deepcopy(ack.reply)
    return ack


def created(ack: Ack) -> bool:
    return kind_of(ack) == "single" and ack.first and ack.reply["result"][0]["status"] == "created"


def repeated(ack: Ack) -> bool:
    return kind_of(ack) in {"single", "counter"} and not ack.first and ack.reply["result"][0]["status"] == "exists"


def refused(ack: Ack) -> bool:
    return kind_of(ack) == "refused" and ack.first


def chain(ack: Ack) -> bool:
    return kind_of(ack) == "chain" and ack.first


def opened(ack: Ack) -> bool:
    return kind_of(ack) == "open" and ack.first


def read_counter(ack: Ack) -> bool:
    return kind_of(ack) == "read_counter"


def read_history(ack: Ack) -> bool:
    return kind_of(ack) == "read_history" and bool(ack.reply["result"])


def read_transfers(ack: Ack) -> bool:
    return kind_of(ack) == "read_transfers" and any(ack.reply["result"])


def ordered(ack: Ack) -> bool:
    """An order that was filled at once, in part at least."""
    return kind_of(ack) in SUBMITS and ack.first and any(each["fills"] for each in ack.reply["result"])


def ordered_again(ack: Ack) -> bool:
    return kind_of(ack) in SUBMITS and not ack.first and ack.reply["result"][0]["status"] == "exists"


def read_executions(ack: Ack) -> bool:
    return kind_of(ack) == "read_executions" and bool(ack.reply["result"])


DOCTORED = (
    *(created, repeated, refused, chain, opened, read_counter, read_history, read_transfers),
    *(ordered, ordered_again, read_executions),
)
"""What the changes need: the moment of work lasts until there is one of each."""
ACKS_MIN = 500


def said_created_of_what_is_not_there(acks: list[Ack]) -> None:
    last(acks, refused).reply["result"][0]["status"] = "created"


def said_refused_of_what_is_there(acks: list[Ack]) -> None:
    last(acks, created).reply["result"][0]["status"] = "exceeds_credits"


def another_timestamp(acks: list[Ack]) -> None:
    last(acks, created).reply["result"][0]["timestamp"] += 1


def repeat_created_again(acks: list[Ack]) -> None:
    ack = last(acks, repeated)
    ack.reply["result"][0] = {"status": "created", "timestamp": ack.reply["result"][0]["timestamp"] + 10**6}


def repeat_of_another_time(acks: list[Ack]) -> None:
    last(acks, repeated).reply["result"][0]["timestamp"] -= 1


def repeat_refused(acks: list[Ack]) -> None:
    last(acks, repeated).reply["result"][0]["status"] = "exists_with_different_amount"


def chain_half_done(acks: list[Ack]) -> None:
    ack = last(acks, chain)
    ack.reply["result"][0]["status"] = "linked_event_failed"


def seq_too_low(acks: list[Ack]) -> None:
    last(acks, created).reply["seq"] -= 3


def seq_too_high(acks: list[Ack]) -> None:
    last(acks, lambda ack: created(ack) and ack.seq < max(other.seq for other in acks) - 5).reply["seq"] += 3


def unexplained_error(acks: list[Ack]) -> None:
    last(acks, read_counter).reply = {"error": {"code": -32000, "message": "internal"}}


def read_too_much(acks: list[Ack]) -> None:
    last(acks, read_counter).reply["result"][0]["credits_posted"] += 1_000


def read_one_too_many(acks: list[Ack]) -> None:
    """Everybody's last transfers come after the first reads."""
    ack = min(filter(read_counter, acks), key=lambda ack: ack.got)
    ack.reply = copy.deepcopy(ack.reply)
    newest = max(other.reply["result"][0]["credits_posted"] for other in filter(read_counter, acks))
    ack.reply["result"][0]["credits_posted"] = newest


def read_too_little(acks: list[Ack]) -> None:
    last(acks, read_counter).reply["result"][0]["credits_posted"] -= 20


def history_of_another_time(acks: list[Ack]) -> None:
    last(acks, read_history).reply["result"][0]["timestamp"] += 1


def own_transfers_not_seen(acks: list[Ack]) -> None:
    ack = last(acks, read_transfers)
    ack.reply["result"] = [None] * len(ack.reply["result"])


def account_created_twice(acks: list[Ack]) -> None:
    ack = last(acks, opened)
    again = copy.deepcopy(ack)
    again.first = False
    again.reply["result"][0]["timestamp"] += 10**6
    acks.append(again)


def fill_at_another_price(acks: list[Ack]) -> None:
    (fill, *_), *_ = (each["fills"] for each in last(acks, ordered).reply["result"] if each["fills"])
    fill["price"] += 1


def fill_not_told(acks: list[Ack]) -> None:
    for each in last(acks, ordered).reply["result"]:
        each["fills"] = []


def order_of_another_row(acks: list[Ack]) -> None:
    last(acks, ordered).reply["seq"] += 1_000


def repeat_is_another_order(acks: list[Ack]) -> None:
    last(acks, ordered_again).reply["result"][0]["order_id"] += 1


def repeat_is_new(acks: list[Ack]) -> None:
    last(acks, ordered_again).reply["result"][0]["status"] = "new"


def repeat_of_an_order_of_another_time(acks: list[Ack]) -> None:
    last(acks, ordered_again).reply["result"][0]["timestamp"] += 1


def read_no_execution(acks: list[Ack]) -> None:
    last(acks, read_executions).reply["result"] = []


def read_another_execution(acks: list[Ack]) -> None:
    last(acks, read_executions).reply["result"][0]["leaves_qty"] += 1


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (fill_at_another_price, Finding.ALTERED),
        (fill_not_told, Finding.ALTERED),
        (order_of_another_row, Finding.LOST),
        (repeat_is_another_order, Finding.DOUBLED),
        (repeat_is_new, Finding.RETRY),
        (repeat_of_an_order_of_another_time, Finding.RETRY),
        (read_no_execution, Finding.STALE_READ),
        (read_another_execution, Finding.DIRTY_READ),
        (said_created_of_what_is_not_there, Finding.LOST),
        (said_refused_of_what_is_there, Finding.PHANTOM),
        (another_timestamp, Finding.ALTERED),
        (repeat_created_again, Finding.DOUBLED),
        (account_created_twice, Finding.DOUBLED),
        (repeat_of_another_time, Finding.RETRY),
        (repeat_refused, Finding.RETRY),
        (chain_half_done, Finding.TORN),
        (seq_too_low, Finding.ORDER),
        (seq_too_high, Finding.ORDER),
        (unexplained_error, Finding.PROTOCOL),
        (read_too_much, Finding.DIRTY_READ),
        (read_one_too_many, Finding.DIRTY_READ),
        (read_too_little, Finding.STALE_READ),
        (history_of_another_time, Finding.DIRTY_READ),
        (own_transfers_not_seen, Finding.STALE_READ),
    ],
)
def test_a_change_is_found(evidence: Evidence, change: Callable[[list[Ack]], None], kind: Finding) -> None:
    findings = evidence.judge(change)
    assert kind in findings.kinds, findings.report()


def one_side_has_more(method: str, view: Any) -> None:
    if view.get("id") == UNIFORM[0]:
        view["credits_posted"] += 1


def posted_is_voided(method: str, view: Any) -> None:
    if view.get("status") == "posted":
        view["status"] = "voided"


def a_time_that_no_row_has(method: str, view: Any) -> None:
    if method == "lookup_transfers":
        view["timestamp"] -= 10**12


def order_of_another_size(method: str, view: Any) -> None:
    if method == "get_orders":
        view["leaves_quantity"] += 1


def market_has_more(method: str, view: Any) -> None:
    if method == "query_accounts" and view["flags"]:
        view["credits_posted"] += 1


def market_has_spent(method: str, view: Any) -> None:
    if method == "query_accounts" and view["flags"]:
        view["debits_pending"] += view["credits_posted"]


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (order_of_another_size, Finding.REPLAY),
        (market_has_more, Finding.BALANCE),
        (market_has_more, Finding.BOOKS),
        (market_has_spent, Finding.BALANCE),
        (one_side_has_more, Finding.BALANCE),
        (one_side_has_more, Finding.BOOKS),
        (posted_is_voided, Finding.PENDING),
        (a_time_that_no_row_has, Finding.REPLAY),
        (a_time_that_no_row_has, Finding.ALTERED),
    ],
)
def test_a_change_of_the_state_is_found(evidence: Evidence, change: Callable[[str, Any], None], kind: Finding) -> None:
    findings = evidence.judge(view=change)
    assert kind in findings.kinds, findings.report()


def told_of_one_less(told: list[Told]) -> None:
    del told[len(told) // 2]


def told_twice(told: list[Told]) -> None:
    told.insert(len(told) // 2, told[len(told) // 2])


def told_in_another_order(told: list[Told]) -> None:
    told[-2], told[-1] = told[-1], told[-2]


def told_otherwise(told: list[Told]) -> None:
    told[-1].message["cum_qty"] += 1


def told_after_another(told: list[Told]) -> None:
    told[-1].message["prev_seq"] -= 1


def told_of_what_never_happened(told: list[Told]) -> None:
    told[-1].message["timestamp"] += 10**12


def told_before_the_reply(told: list[Told]) -> None:
    for each in told:
        each.position -= 1_000_000


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (told_of_one_less, Finding.STREAM),
        (told_twice, Finding.STREAM),
        (told_in_another_order, Finding.STREAM),
        (told_otherwise, Finding.STREAM),
        (told_after_another, Finding.STREAM),
        (told_before_the_reply, Finding.STREAM),
        (told_of_what_never_happened, Finding.DIRTY_READ),
    ],
)
def test_a_change_of_what_was_told_is_found(
    evidence: Evidence, change: Callable[[list[Told]], None], kind: Finding
) -> None:
    findings = evidence.judge(told=change)
    assert kind in findings.kinds, findings.report()


def test_a_model_that_comes_to_something_else_is_found(evidence: Evidence, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trading_settlement, "ppm_of", lambda amount, ppm: amount * ppm // 1_000_000 + 1)
    findings = evidence.judge()
    assert findings.kinds == {Finding.MODEL}, findings.report()


def missing(rows: list[dict[str, Any]]) -> None:
    del rows[len(rows) // 2]


def flipped(rows: list[dict[str, Any]]) -> None:
    row = rows[len(rows) // 2]
    row["payload"] = bytes([row["payload"][0] ^ 1]) + row["payload"][1:]


def another_state(rows: list[dict[str, Any]]) -> None:
    """A row that is all right but for the state that its writer had."""
    row = [row for row in rows if row["digest"] is not None][-1]
    row["digest"] = bytes(16)
    row["hash"] = row_hash(
        row["previous_hash"], row["seq"], row["epoch"], row["time"], row["format"], row["kind"], row["checksum"],
        row["digest"],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("change", "kind"), [(missing, Finding.LOG), (flipped, Finding.LOG), (another_state, Finding.REPLAY)]
)
def test_a_change_of_the_log_is_found(
    evidence: Evidence, change: Callable[[list[dict[str, Any]]], None], kind: Finding
) -> None:
    findings = evidence.judge(rows=change)
    assert kind in findings.kinds, findings.report()


def test_money_that_nobody_meant_is_found(evidence: Evidence) -> None:
    """Last in this file: it changes the ledger."""
    item = {
        "id": "00000000-0000-4000-8000-000000000001",
        "debit_account_id": UNIFORM[0],
        "credit_account_id": UNIFORM[1],
        "amount": 7,
        "ledger": LEDGER,
        "code": CODE,
    }
    with Channel(evidence.server.port) as channel:
        assert channel.call("create_transfers", [item]).result[0]["status"] == "created"
    findings = evidence.judge()
    assert findings.counts == {Finding.BALANCE: 2}, findings.report()


# --- the parts that judge


def test_what_answers_mean() -> None:
    def results(*statuses: str) -> list[dict[str, Any]]:
        return [{"status": status, "timestamp": 10 + place} for place, status in enumerate(statuses)]

    chain: list[dict[str, Any]] = [{"flags": ["linked"]}, {"flags": ["linked"]}, {"flags": []}]
    assert outcomes_of(chain, results("created", "created", "created")) == [(True, 10), (True, 11), (True, 12)]
    assert outcomes_of(chain, results("exists", "linked_event_failed", "linked_event_failed")) == [
        (True, 10),
        (True, 0),
        (True, 0),
    ]
    failed = results("linked_event_failed", "debit_account_not_found", "linked_event_failed")
    assert outcomes_of(chain, failed) == [(False, 0)] * 3
    assert outcomes_of(chain, results("created", "linked_event_failed", "created")) is None
    assert outcomes_of([{}, {}], results("exceeds_credits", "exists")) == [(False, 0), (True, 11)]


def test_what_may_be_said_of_a_pending_transfer() -> None:
    second = 10**9

    def hold(state: str = "pending", resolved: tuple[str, int, str] | None = None) -> Hold:
        return Hold(100, amount=5, debit=1, credit=2, expires=100 + second, state=state, resolved=resolved)

    assert hold_problem(hold(), 200) is None
    assert hold_problem(hold(), 10 * second) is not None
    assert hold_problem(hold("expired"), 200) is not None
    assert hold_problem(hold("expired"), 2 * second) is None
    assert hold_problem(hold("posted"), 200) is not None
    assert hold_problem(hold("posted", ("posted", 150, "x")), 200) is None
    assert hold_problem(hold("posted", ("voided", 150, "x")), 200) is not None
    assert hold_problem(hold("expired", ("posted", 150, "x")), 2 * second) is not None
    assert hold_problem(hold("voided", ("voided", 200 + second, "x")), 3 * second) is not None


def test_highest_and_lowest() -> None:
    highest = Highest()
    for at, value in ((1, 5), (3, 2), (7, 9)):
        highest.note(at, value)
    assert [highest.before(at) for at in (1, 2, 4, 7, 8)] == [0, 5, 5, 5, 9]
    lowest = LowestAfter([(3, 8), (1, 6), (7, 9)])
    assert [lowest.than(at) for at in (0, 1, 2, 3, 7)] == [6, 8, 8, 9, 2**63]
