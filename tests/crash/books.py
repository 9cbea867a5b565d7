"""The audit of the money: every transfer that any client ever meant, what was answered, and what the ledger holds.

The union of what was acknowledged and what is found explains every balance exactly. What was answered stays so: a
transfer that is there stays there with its timestamp, one that was refused never appears, a repeat gets the answer of
the original. A request without an answer is there as a whole or not at all.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Protocol

from tests.crash.channel import ITEMS_MAX, Channel
from tests.crash.findings import Finding, Findings
from tests.crash.journals import Ack
from tests.crash.log import Log
from tests.crash.workload import COUNTER, LIMITED, SETUP, Item, Request, sure

SAMPLE = 3_000
"""Settled transfers that every audit looks up again, beside all that is new; the last one looks up all."""
EXPIRY_SLACK = 2_000_000_000
"""Nanoseconds after which a pending transfer that is due must have expired, on a machine that does other work too."""
BILLION = 1_000_000_000
STABLE_TRIES = 200

TRANSIENT = {
    "debit_account_not_found",
    "credit_account_not_found",
    "pending_transfer_not_found",
    "debit_account_already_closed",
    "credit_account_already_closed",
    "exceeds_credits",
    "exceeds_debits",
    "debit_account_frozen",
    "credit_account_frozen",
}
"""Refusals that depend on the moment: they burn the id."""

Outcome = tuple[bool, int]
"""Whether an item took effect, and its timestamp if the answer tells it (0: it does not)."""


@dataclass(slots=True)
class Entry:
    """One item of a create_transfers request."""

    client: int
    n: int
    index: int
    applied: bool | None = None
    """What was answered; None: nothing yet."""
    timestamp: int = 0
    """0: not known."""
    seen: bool = False
    """Found in the ledger by an audit."""
    burnt: bool = False


@dataclass(slots=True)
class Hold:
    """A pending transfer that was found."""

    timestamp: int
    amount: int
    debit: int
    credit: int
    expires: int
    """0: never."""
    state: str = "pending"
    resolved: tuple[str, int, str] | None = None
    """The post or void: its state, timestamp and id."""


@dataclass(slots=True)
class Tally:
    """What the audits have looked at: a test that looked at nothing has proved nothing."""

    looked_up: int = 0
    repeats: int = 0
    repeats_exist: int = 0
    """Items of repeats that were answered `exists`: as many doubles were prevented."""
    resends_exist: int = 0
    """Items of requests whose first answer was lost, and which had been committed."""
    absent: int = 0
    """Items that a crash had swallowed before they were committed (and nobody was told otherwise)."""
    refused: int = 0
    expired: int = 0
    statuses: dict[str, int] = field(default_factory=lambda: defaultdict(int))


class Requests(Protocol):
    """A workload: what request n is."""

    @property
    def request(self) -> Callable[[int], Request]:
        """Return request n."""


class Books:
    """See the head of this file."""

    def __init__(self, workloads: Mapping[int, Requests], findings: Findings, log: Log, random: Random) -> None:
        self._workloads = workloads
        self._findings = findings
        self._log = log
        self._random = random
        self.tally = Tally()
        self.entries: dict[str, Entry] = {}
        self._open: dict[str, None] = {}
        """Ids that were not seen and not refused."""
        self._settled: list[str] = []
        """Ids that were seen, but for those of pending transfers."""
        self._refused: list[str] = []
        self._refused_looked_up = 0
        self._requests: dict[tuple[int, int], list[Outcome]] = {}
        """First answers."""
        self._holds: dict[str, Hold] = {}
        self._open_holds: dict[str, None] = {}
        self._early: list[tuple[str, str, int, str]] = []
        """Resolutions that were found before the pending transfers they resolve."""
        self._totals: dict[int, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
        """Of each account: debits pending (filled in per audit), debits posted, credits pending, credits posted."""
        self._accounts: dict[int, int] = {}
        """Accounts that were acknowledged, with their timestamps."""
        self.counter_times: list[int] = []
        """Timestamps of the transfers to the counter, in order, as of the newest audit."""

    def request(self, client: int, n: int) -> Request:
        return self._workloads[client].request(n)

    # --- what the journals tell

    def intended(self, client: int, n: int) -> None:
        """Take note of an intent."""
        request = self.request(client, n)
        if request.writes:
            for index, item in enumerate(request.params):
                self.entries[item["id"]] = Entry(client, n, index)
                self._open[item["id"]] = None

    def set_up(self, results: Sequence[Mapping[str, Any]]) -> None:
        """Take note of the accounts made before the clients started."""
        self._accounts |= {account["id"]: result["timestamp"] for account, result in zip(SETUP, results, strict=True)}

    def acknowledged(self, ack: Ack) -> None:
        """Compare a reply with what is known of its request."""
        request = self.request(ack.client, ack.n)
        if "result" not in ack.reply:
            return
        results = ack.reply["result"]
        if request.method == "create_accounts":
            self._opened(request, results, ack)
        if not request.writes:
            return
        for result in results:
            self.tally.statuses[result["status"]] += 1
        name = f"request {ack.client}/{ack.n}.{ack.attempt.k}"
        outcomes = outcomes_of(request.params, results)
        if outcomes is None:
            self._findings.add(Finding.TORN, f"{name}: a chain is partly done: {_statuses(results)}")
            return
        self._compare_with_kind(name, request, results, outcomes)
        first = self._requests.get((ack.client, ack.n))
        if first is None:
            self._requests[ack.client, ack.n] = outcomes
            resend = ack.attempt.k > 0
        else:
            self.tally.repeats += len(outcomes)
            resend = False
        for item, outcome, result in zip(request.params, outcomes, results, strict=True):
            self._compare_item(name, self.entries[item["id"]], item["id"], outcome, result, repeat=first is not None)
            if result["status"] == "exists":
                self.tally.repeats_exist += first is not None
                self.tally.resends_exist += resend

    def _compare_with_kind(
        self, name: str, request: Request, results: list[Mapping[str, Any]], outcomes: list[Outcome]
    ) -> None:
        if sure(request.kind) and not all(applied for applied, _ in outcomes):
            self._findings.add(Finding.PROTOCOL, f"{name}: nothing explains its refusal: {_statuses(results)}")
        if request.kind in {"broken_chain", "refused"} and any(applied for applied, _ in outcomes):
            self._findings.add(Finding.PHANTOM, f"{name}: should be refused, was {_statuses(results)}")

    def _compare_item(
        self, name: str, entry: Entry, id_: str, outcome: Outcome, result: Mapping[str, Any], *, repeat: bool
    ) -> None:
        applied, timestamp = outcome
        status = result["status"]
        where = f"{name}, transfer {id_}"
        known = entry.applied if entry.applied is not None else (True if entry.seen else None)
        if known is not None and applied != known:
            if known and status not in {"created", "exists"}:
                self._findings.add(Finding.RETRY, f"{where}: it had taken effect, and is now {status}")
            else:
                self._findings.add(Finding.RETRY, f"{where}: it had been refused, and is now {status}")
        if applied and timestamp and entry.timestamp and timestamp != entry.timestamp:
            kind = Finding.DOUBLED if status == "created" else Finding.RETRY
            self._findings.add(kind, f"{where}: {status} at {timestamp}, and before at {entry.timestamp}")
        if repeat and entry.burnt and status != "id_already_failed":
            self._findings.add(Finding.RETRY, f"{where}: its id was burnt, and is now {status}")
        if known is None:
            entry.applied = applied
            if not applied:
                self.tally.refused += 1
                self._open.pop(id_, None)
                self._refused.append(id_)
        if applied and not entry.timestamp:
            entry.timestamp = timestamp
        entry.burnt |= status in TRANSIENT or status == "id_already_failed"

    def _opened(self, request: Request, results: list[Mapping[str, Any]], ack: Ack) -> None:
        for item, result in zip(request.params, results, strict=True):
            known = self._accounts.get(item["id"])
            if result["status"] not in {"created", "exists"}:
                self._findings.add(Finding.PROTOCOL, f"account {item['id']} was answered {result['status']}")
            elif known is None:
                self._accounts[item["id"]] = result["timestamp"]
            elif result["timestamp"] != known:
                kind = Finding.DOUBLED if result["status"] == "created" else Finding.RETRY
                self._findings.add(
                    kind, f"account {item['id']}: {result['status']} at {result['timestamp']}, before at {known}"
                )
            elif result["status"] == "created" and not ack.first:
                self._findings.add(Finding.RETRY, f"account {item['id']}: created, and a repeat says so again")

    # --- what the ledger tells

    def audit(self, channel: Channel, *, all_of_it: bool = False) -> None:
        """Look up what is new (or everything) and explain every balance. Nobody may write meanwhile."""
        ids = list(self._open)
        if all_of_it:
            again = [*self._settled, *self._holds, *self._refused]
        else:
            again = _sample(self._random, self._settled, SAMPLE) + self._refused[self._refused_looked_up :]
        self._refused_looked_up = len(self._refused)
        appeared = self._look_up(channel, ids)
        self._look_up(channel, again)
        self._whole_requests(appeared)
        for _ in range(STABLE_TRIES):
            # An expiry between two of these reads would make them disagree; it is a row of the log.
            before = channel.call("ping")
            self._look_up(channel, list(self._open_holds))
            accounts, seq = self._look_up_accounts(channel)
            after = channel.call("ping")
            if before.seq == seq == after.seq:
                break
        else:
            self._findings.add(Finding.STUCK, "the log does not come to rest: expiries without end")
            return
        self._check_holds(after.result["time"])
        self._check_balances(accounts)

    def _look_up(self, channel: Channel, ids: Sequence[str]) -> list[str]:
        """Look up transfers, compare each with what is known; return those found for the first time."""
        appeared = []
        for start in range(0, len(ids), ITEMS_MAX):
            part = ids[start : start + ITEMS_MAX]
            views = channel.call("lookup_transfers", part).result
            self.tally.looked_up += len(part)
            for id_, view in zip(part, views, strict=True):
                if self._compare_view(id_, view):
                    appeared.append(id_)
        return appeared

    def _compare_view(self, id_: str, view: Mapping[str, Any] | None) -> bool:
        entry = self.entries[id_]
        where = f"transfer {id_} (request {entry.client}/{entry.n}, item {entry.index})"
        if view is None:
            if entry.applied is False:
                return False
            if entry.applied or entry.seen:
                told = f"was acknowledged at {entry.timestamp}" if entry.applied else f"was there at {entry.timestamp}"
                self._findings.add(Finding.LOST, f"{where} {told} and is not there")
                self._open.pop(id_, None)
            else:
                self.tally.absent += 1
            return False
        timestamp = view["timestamp"]
        if entry.applied is False:
            self._findings.add(Finding.PHANTOM, f"{where} was refused, and is there")
        if entry.timestamp and timestamp != entry.timestamp:
            self._findings.add(Finding.ALTERED, f"{where} is of {timestamp}, and was of {entry.timestamp}")
        item = self.request(entry.client, entry.n).params[entry.index]
        if (what := difference(item, view)) is not None:
            self._findings.add(Finding.ALTERED, f"{where}: {what}")
        if self._log.row_of(timestamp) is None:
            self._findings.add(Finding.REPLAY, f"{where} is of {timestamp}, and no row of the log is")
        hold = self._holds.get(id_)
        if hold is not None:
            if hold.state not in {"pending", view["status"]}:
                self._findings.add(Finding.PENDING, f"{where} was {hold.state}, and is {view['status']} now")
            hold.state = view["status"]
        if entry.seen:
            return False
        entry.seen = True
        entry.timestamp = timestamp
        self._open.pop(id_, None)
        self._enter(id_, item, view)
        return True

    def _enter(self, id_: str, item: Item, view: Mapping[str, Any]) -> None:
        """Enter a transfer, seen for the first time, into the books."""
        flags = item.get("flags", [])
        debit, credit, amount = view["debit_account_id"], view["credit_account_id"], view["amount"]
        if "pending" in flags:
            timeout = item["timeout"]
            expires = view["timestamp"] + timeout * BILLION if timeout else 0
            self._holds[id_] = Hold(view["timestamp"], amount, debit, credit, expires, view["status"])
            self._open_holds[id_] = None
            return
        self._settled.append(id_)
        if "post_pending_transfer" in flags or "void_pending_transfer" in flags:
            state = "posted" if "post_pending_transfer" in flags else "voided"
            self._resolve(item["pending_id"], state, view["timestamp"], id_)
            if state == "voided":
                return
        self._totals[debit][1] += amount
        self._totals[credit][3] += amount
        if credit == COUNTER:
            self.counter_times.append(view["timestamp"])

    def _resolve(self, pending_id: str, state: str, timestamp: int, id_: str) -> None:
        hold = self._holds.get(pending_id)
        if hold is None:
            # It is in the same audit, further down the list: look at it first.
            self._early.append((pending_id, state, timestamp, id_))
        elif hold.resolved is not None:
            self._findings.add(
                Finding.PENDING, f"{pending_id} was {hold.resolved[0]} by {hold.resolved[2]} and {state} by {id_}"
            )
        else:
            hold.resolved = (state, timestamp, id_)

    def _whole_requests(self, appeared: Iterable[str]) -> None:
        """Find requests of which a part is there and a part that nothing could refuse is not."""
        early, self._early = self._early, []
        for pending_id, state, timestamp, id_ in early:
            if pending_id in self._holds:
                self._resolve(pending_id, state, timestamp, id_)
            else:
                self._findings.add(Finding.PENDING, f"{id_} resolved {pending_id}, which is not there")
        for client, n in {(self.entries[id_].client, self.entries[id_].n) for id_ in appeared}:
            request = self.request(client, n)
            absent = [item["id"] for item in request.params if not self.entries[item["id"]].seen]
            if absent:
                self._findings.add(
                    Finding.TORN, f"request {client}/{n}: {len(absent)} of {len(request.params)} items are not there"
                )
        self.counter_times.sort()

    def _look_up_accounts(self, channel: Channel) -> tuple[dict[int, Mapping[str, Any]], int]:
        found: dict[int, Mapping[str, Any]] = {}
        ids = list(self._accounts)
        seq = 0
        for start in range(0, len(ids), ITEMS_MAX):
            part = ids[start : start + ITEMS_MAX]
            reply = channel.call("lookup_accounts", part)
            seq = reply.seq
            found |= {id_: view for id_, view in zip(part, reply.result, strict=True) if view is not None}
        return found, seq

    def _check_holds(self, now: int) -> None:
        for id_ in list(self._open_holds):
            hold = self._holds[id_]
            problem = hold_problem(hold, now)
            if problem:
                self._findings.add(Finding.PENDING, f"{id_}: {problem}")
            if hold.state != "pending":
                del self._open_holds[id_]
                self.tally.expired += hold.state == "expired"

    def _check_balances(self, accounts: Mapping[int, Mapping[str, Any]]) -> None:
        expected = {account: list(self._totals[account]) for account in self._accounts}
        for hold in map(self._holds.__getitem__, self._open_holds):
            expected[hold.debit][0] += hold.amount
            expected[hold.credit][2] += hold.amount
        names = ("debits_pending", "debits_posted", "credits_pending", "credits_posted")
        sums = [0, 0, 0, 0]
        for account, timestamp in self._accounts.items():
            view = accounts.get(account)
            if view is None:
                self._findings.add(Finding.LOST, f"account {account} was acknowledged, and is not there")
                continue
            if view["timestamp"] != timestamp:
                self._findings.add(
                    Finding.ALTERED, f"account {account} is of {view['timestamp']}, and was of {timestamp}"
                )
            for place, name in enumerate(names):
                value = view[name]
                sums[place] += value
                if value != expected[account][place]:
                    more = value - expected[account][place]
                    self._findings.add(
                        Finding.BALANCE,
                        f"account {account}: {name} is {value}, {abs(more)} {'more' if more > 0 else 'less'} than its "
                        "transfers add up to",
                    )
            if account in LIMITED and view["debits_pending"] + view["debits_posted"] > view["credits_posted"]:
                self._findings.add(Finding.BALANCE, f"account {account} is overdrawn")
        if sums[0] != sums[2] or sums[1] != sums[3]:
            self._findings.add(Finding.BOOKS, f"sums of {', '.join(names)}: {sums}")

    def check_history(self, channel: Channel) -> None:
        """Walk through the whole balance history of the counter: 1, 2, 3 … at the times of its transfers."""
        first, place = 1, 0
        while True:
            rows = channel.call(
                "get_account_balances", {"account_id": COUNTER, "timestamp_min": first, "limit": ITEMS_MAX}
            ).result
            for row in rows:
                if place >= len(self.counter_times):
                    self._findings.add(Finding.BALANCE, f"the counter's history has more than {place} entries")
                    return
                if (row["timestamp"], row["credits_posted"]) != (self.counter_times[place], place + 1):
                    self._findings.add(
                        Finding.BALANCE,
                        f"entry {place} of the counter's history is {row['credits_posted']} at {row['timestamp']}",
                    )
                    return
                place += 1
            if len(rows) < ITEMS_MAX:
                break
            first = rows[-1]["timestamp"] + 1
        if place != len(self.counter_times):
            self._findings.add(
                Finding.BALANCE, f"the counter's history has {place} entries, not {len(self.counter_times)}"
            )


def outcomes_of(items: Sequence[Item], results: Sequence[Mapping[str, Any]]) -> list[Outcome] | None:
    """Return what each item's answer means; None when a chain was answered as half done."""
    outcomes: list[Outcome] = []
    start = 0
    while start < len(items):
        end = start
        while end < len(items) - 1 and "linked" in items[end].get("flags", []):
            end += 1
        part = results[start : end + 1]
        statuses = [result["status"] for result in part]
        if len(part) == 1 or all(status == "created" for status in statuses):
            done = {"created", "exists"}
            outcomes += [(r["status"] in done, r["timestamp"] if r["status"] in done else 0) for r in part]
        elif statuses[0] == "exists" and all(status == "linked_event_failed" for status in statuses[1:]):
            # A chain that is there already: its first item says so, which breaks the repeat of the chain.
            outcomes += [(True, part[0]["timestamp"]), *((True, 0) for _ in part[1:])]
        elif {"created", "exists"} & set(statuses):
            return None
        else:
            outcomes += [(False, 0)] * len(part)
        start = end + 1
    return outcomes


def difference(item: Item, view: Mapping[str, Any]) -> str | None:
    """Say in what a transfer that was found differs from what was asked for."""
    resolves = "pending_id" in item
    for name in ("debit_account_id", "credit_account_id", "ledger", "code", "user_data_64", "user_data_32", "timeout"):
        if name not in item and resolves:
            continue  # inherited from the pending transfer
        if view.get(name, 0) != item.get(name, 0):
            return f"{name} is {view.get(name)}, not {item.get(name, 0)}"
    if resolves and view.get("pending_id") != item["pending_id"]:
        return f"pending_id is {view.get('pending_id')}"
    if set(view.get("flags", [])) != set(item.get("flags", [])):
        return f"flags are {view.get('flags')}"
    if "amount" in item:
        balancing = "balancing_debit" in item.get("flags", [])
        if view["amount"] != item["amount"] and not (balancing and view["amount"] < item["amount"]):
            return f"amount is {view['amount']}, not {item['amount']}"
    return None


def hold_problem(hold: Hold, now: int) -> str | None:
    """Say what is wrong with a pending transfer at `now`."""
    if hold.resolved is not None:
        state, at, id_ = hold.resolved
        if hold.state != state:
            return f"it is {hold.state}, and {id_} says that it was {state}"
        if at <= hold.timestamp or (hold.expires and at >= hold.expires):
            return f"{id_} resolved it at {at}, outside {hold.timestamp} … {hold.expires}"
        return None
    if hold.state in {"posted", "voided"}:
        return f"it is {hold.state}, and nothing says by what"
    if hold.state == "expired" and not 0 < hold.expires <= now:
        return f"it has expired at {now}, and should at {hold.expires}"
    if hold.state == "pending" and 0 < hold.expires <= now - EXPIRY_SLACK:
        return f"it is pending at {now}, and should have expired at {hold.expires}"
    return None


def _statuses(results: Iterable[Mapping[str, Any]]) -> str:
    return ", ".join(result["status"] for result in results)


def _sample(random: Random, items: list[str], count: int) -> list[str]:
    return list(items) if len(items) <= count else random.sample(items, count)
