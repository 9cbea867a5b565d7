"""Requests of users, and what their replies must be.

A reply is judged item by item. Every status is counted by name; one that is neither what was wanted nor allowed by
--allow makes the request a failure under that name. A request that was sent again after a cut may find that the first
copy arrived.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import msgspec

from loadtest.locust.tally import Tally

ENTERED = frozenset({"new", "partially_filled", "filled", "canceled"})
"""What may come of an order; what an IOC leaves is canceled."""
CHANGED = frozenset({"replaced", "partially_filled", "filled", "canceled"})
TOO_LATE = frozenset({"order_closed", "already_filled"})
"""Reasons against a cancel or replace that any market gives: the order has traded meanwhile."""


class RefusedError(Exception):
    """A reply that was not what the request wanted; Locust groups failures by its text."""


class ErrorBody(msgspec.Struct):
    """The error of a reply."""

    code: int
    message: str


class Reply(msgspec.Struct):
    """A line from the server: a reply, or a notification (which has a method and no id)."""

    id: int | str | None = None
    result: msgspec.Raw = msgspec.Raw()
    error: ErrorBody | None = None
    seq: int = 0
    method: str = ""
    params: msgspec.Raw = msgspec.Raw()


class Written(msgspec.Struct):
    """The result of one written item."""

    status: str
    timestamp: int
    reason: str = ""
    order_status: str = ""


class Account(msgspec.Struct):
    """What is looked at of an account."""

    id: int


class Transfer(msgspec.Struct):
    """What is looked at of a transfer."""

    debit_account_id: int
    credit_account_id: int


decode_reply = msgspec.json.Decoder(Reply).decode
decode_written = msgspec.json.Decoder(list[Written]).decode
decode_accounts = msgspec.json.Decoder(list[Account | None]).decode
decode_transfers = msgspec.json.Decoder(list[Transfer]).decode
encode = msgspec.json.Encoder().encode

ERRORS = {
    -32700: "parse error",
    -32600: "invalid request",
    -32601: "unknown method",
    -32602: "invalid params",
    -32000: "internal",
    -32001: "not logged on",
    -32002: "not permitted",
    -32003: "busy",
    -32004: "too large",
    -32005: "capacity reached",
    -32006: "scan limit reached",
    -32007: "behind",
    -32008: "not leader",
}


@dataclass(slots=True)
class Request:
    """One line that is sent, and what is known of it while it waits for its reply."""

    name: str
    """What it is called in the tables: its method."""
    id: int
    line: bytes
    judge: "Judge"
    items: int = 1
    about: Any = None
    """What the judge needs to know: the ids that were asked for."""
    due: float = 0.0
    """When it was planned or, without a plan, sent: what its response time counts from (perf_counter)."""
    sent_again: int = 0


@dataclass(slots=True)
class Judgement:
    """What replies are held against; one for each connection."""

    tally: Tally
    allowed: Collection[str] = ()
    last_timestamp: int = 0
    failures: list[str] = field(default_factory=list)

    def reply(self, request: Request, reply: Reply) -> str | None:
        """Judge a reply to the request; the name of what is wrong with it, if anything is."""
        if reply.error is not None:
            name = ERRORS.get(reply.error.code, f"error {reply.error.code}")
            self.tally.add(request.name, name, request.items)
            # Busy says the same each time; what else is wrong is told in the server's words.
            return None if name in self.allowed else name if name == "busy" else f"{name}: {reply.error.message}"
        self.failures.clear()
        try:
            request.judge(self, request, reply.result)
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            return f"not a result of {request.name}: {error}"
        return self.failures[0] if self.failures else None

    def count(self, request: Request, result: str, *, fine: bool) -> None:
        """Count one item's result."""
        self.tally.add(request.name, result)
        if not fine and result not in self.allowed:
            self.failures.append(result)

    def in_order(self, request: Request, items: Sequence[Written]) -> None:
        """The timestamps of a connection's writes rise; those of the past that an `exists` tells do not count."""
        for item in items:
            if item.status == "exists" or request.sent_again:
                continue
            if item.timestamp <= self.last_timestamp:
                self.failures.append("timestamps do not rise")
            self.last_timestamp = item.timestamp


Judge: TypeAlias = Callable[[Judgement, Request, msgspec.Raw], None]


def written(judgement: Judgement, request: Request, result: msgspec.Raw) -> list[Written]:
    """The items of a written result, which are as many as were sent."""
    items = decode_written(result)
    if len(items) != request.items:
        judgement.failures.append(f"{len(items)} results instead of {request.items}")
    judgement.in_order(request, items)
    return items


def created(judgement: Judgement, request: Request, result: msgspec.Raw) -> None:
    """Accounts, transfers: all of them are new, or sent again."""
    for item in written(judgement, request, result):
        fine = item.status == "created" or (item.status == "exists" and request.sent_again > 0)
        judgement.count(request, item.status, fine=fine)


def entered(judgement: Judgement, request: Request, result: msgspec.Raw) -> None:
    """New orders."""
    for item in written(judgement, request, result):
        status = item.order_status if item.status == "exists" and request.sent_again else item.status
        judgement.count(request, item.reason if status == "rejected" else status, fine=status in ENTERED)


def changed(judgement: Judgement, request: Request, result: msgspec.Raw) -> None:
    """Replaces and cancels."""
    for item in written(judgement, request, result):
        if item.status == "rejected":
            judgement.count(request, item.reason, fine=item.reason in TOO_LATE)
        else:
            judgement.count(request, item.status, fine=item.status in CHANGED)


def looked_up(judgement: Judgement, request: Request, result: msgspec.Raw) -> None:
    """Accounts by id: each of them is there."""
    found = [None if account is None else account.id for account in decode_accounts(result)]
    if found != request.about:
        missing = len(found) == len(request.about) and None in found
        judgement.failures.append("account not found" if missing else "not the accounts asked for")
    judgement.tally.add(request.name, "found", len(found))


def stated(judgement: Judgement, request: Request, result: msgspec.Raw) -> None:
    """The last transfers of an account."""
    account, limit = request.about
    found = decode_transfers(result)
    if len(found) > limit or any(account not in (one.debit_account_id, one.credit_account_id) for one in found):
        judgement.failures.append("not the transfers asked for")
    judgement.tally.add(request.name, "read", len(found))


def anything(judgement: Judgement, request: Request, _result: msgspec.Raw) -> None:
    """Any result will do."""
    judgement.tally.add(request.name, "done")


JUDGES: dict[str, Judge] = {
    "create_accounts": created,
    "create_transfers": created,
    "create_instruments": created,
    "create_trading_accounts": created,
    "submit_orders": entered,
    "replace_orders": changed,
    "cancel_orders": changed,
    "lookup_accounts": looked_up,
    "get_account_transfers": stated,
}


def asked(method: str, params: Any, identifier: int, *, about: Any = None) -> Request:
    """A request of a method; `about` is what the judge of a read needs to know."""
    # Members in the order of the protocol page, which the server reads fastest.
    line = b'{"id":%d,"method":"%s","params":%s}\n' % (identifier, method.encode(), encode(params))
    items = len(params) if isinstance(params, list) else 1
    return Request(method, identifier, line, JUDGES.get(method, anything), items, about)
