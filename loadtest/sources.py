"""What a load may consist of: each workload by name, as requests for the generator and what must be set up first.

All of it is a function of the workload's seed and numbers (workload.py, market.py, bankday.py), so the same can be
had again, and Locust's users send the same items. Real data come in as functions of other modules: `MODULE:FUNCTION`
names one that takes a `Wanted` and returns a `Source`.
"""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec

from loadtest.bankday import activity, hour_at
from loadtest.market import FLOW_BLOCK, QUOTES_BLOCK, Command, Market
from loadtest.requests import Requests, Script
from loadtest.stretches import drawn, stretch
from loadtest.workload import ACCOUNT_FIRST, Workload

ENTERED = ("new", "partially_filled", "filled", "canceled")
"""What may come of an order; what an IOC leaves is canceled."""
CHANGED = ("replaced",)
TOO_LATE = ("order_closed", "already_filled")
"""Reasons against a cancel or replace that any market gives: the order has traded meanwhile."""
MARKET_WORDS = (*ENTERED, *CHANGED, *TOO_LATE)
WRITTEN = ("created",)

PREPARED = 200_000
"""Requests that are made beforehand when nothing says how many there will be."""
PREPARED_MAX = 5_000_000
"""More are not kept in memory: some 250 bytes each."""
READS = 16_384
"""Reads that are made; they may be asked again and again."""
LOOKED_UP = 10
"""Accounts in one look-up."""
STATEMENT_EVERY, STATEMENT_ROWS = 10, 20
SALARIES = 100
"""Transfers of one salary batch."""
RECORD_BYTES = 640
"""Bound of one record in a reply."""
DAY_START_HOUR = 6.0

REAL = {"berka": "examples.berka.load:source", "lobster": "examples.lobster.load:source"}
"""Real data that the repository knows how to read."""

encode = msgspec.json.encode
Items = Iterable[dict[str, Any]]
Look = Callable[[int, int], None]
"""Called with how many of how many requests have been made."""


def unseen(_done: int, _total: int) -> None:
    """Nobody looks."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a load is to be made of."""

    name: str
    workload: Workload
    connections: int
    count: int | None = None
    """Requests that will be sent at most; None: nobody knows."""
    items: int = 1
    """Items of a request, where the workload lets one choose."""
    data: Path | None = None
    """Directory of the shared data."""
    look: Look = field(default=unseen, compare=False)

    @property
    def prepared(self) -> int:
        """How many requests to make beforehand, where each is sent once; SourceError when they are too many."""
        count = PREPARED if self.count is None else self.count
        if count > PREPARED_MAX:
            words = f"{count:,} requests made beforehand, at most {PREPARED_MAX:,}"
            raise SourceError(f"workload: {self.name} would need {words}; take a lower rate or fewer seconds")
        return count


@dataclass(frozen=True, slots=True)
class Source:
    """Requests, and what the server must hold before them."""

    requests: Requests
    stages: Sequence[tuple[str, Items]] = ()
    """Methods and items of the set-up, in order; what exists already is left as it is."""
    words: tuple[str, ...] = ()
    """What results of a script may say."""
    accounts: Workload | None = None
    """Its accounts are created first."""
    connections: int = 0
    """How many it needs; 0: as many as you like."""
    count: int | None = None
    """How many requests there are; None: no end."""
    unit: int = 1
    """A run may begin at any request whose number is a multiple of this; 0: at the first alone."""
    facts: dict[str, Any] = field(default_factory=dict)


class SourceError(ValueError):
    """A workload that is not known, or cannot be had."""


NAMES = ("transfers", "reads", "orders", "quotes", "bank-day", *REAL)


def source(wanted: Wanted) -> Source:
    """Make a workload by its name; SourceError."""
    name = REAL.get(wanted.name, wanted.name)
    if ":" in name:
        return _foreign(name, wanted)
    if name == "transfers":
        return Source(Requests(wanted.workload, items=wanted.items), accounts=wanted.workload, unit=2)
    if name == "reads":
        return _reads(wanted)
    if name in {"orders", "quotes"}:
        return _market(wanted)
    if name == "bank-day":
        return _bank_day(wanted)
    raise SourceError(f"workload: {wanted.name!r} is none of {', '.join(NAMES)}, and not MODULE:FUNCTION")


def _foreign(name: str, wanted: Wanted) -> Source:
    module, _, function = name.partition(":")
    for directory in (Path.cwd(), Path(__file__).parents[1]):
        if str(directory) not in sys.path:
            sys.path.append(str(directory))
    try:
        make = getattr(import_module(module), function)
    except (ImportError, AttributeError) as error:
        hint = (
            "; real data are read by the examples of the repository: run it in a clone" if wanted.name in REAL else ""
        )
        raise SourceError(f"workload: {name} cannot be had: {error}{hint}") from None
    found = make(wanted)
    if not isinstance(found, Source):
        raise SourceError(f"workload: {name} gave {type(found).__name__} instead of a Source")
    return found


class Writer:
    """Collects the lines of a script."""

    def __init__(self, names: Sequence[str], wanted: Wanted, total: int) -> None:
        self.names = tuple(names)
        self.lines: list[bytes] = []
        self.counts: list[int] = []
        self.kinds: list[int] = []
        self._look, self._total = wanted.look, total

    def add(self, kind: str, method: str, params: Any, results: int) -> None:
        """Append one request; its reply holds so many results (0: any number)."""
        self.line(kind, b',"method":"%s","params":%s}\n' % (method.encode(), encode(params)), results)

    def line(self, kind: str, line: bytes, results: int) -> None:
        """The same, written already."""
        self.lines.append(line)
        self.counts.append(results)
        self.kinds.append(self.names.index(kind))
        if len(self.lines) % 1_000 == 0:
            self._look(len(self.lines), self._total)

    def script(self, reply_bytes: int) -> Script:
        """All of it."""
        return Script(self.lines, self.counts, self.kinds, names=self.names, reply_bytes=reply_bytes)


# --- reads ----------------------------------------------------------------------------------------


def _reads(wanted: Wanted) -> Source:
    """Balances of ten accounts each, every tenth time a statement; of accounts that `spread` chooses."""
    total = min(PREPARED if wanted.count is None else wanted.count, READS)
    total = max(total, LOOKED_UP)
    writer = Writer(("balances", "statement"), wanted, total)
    pairs = wanted.workload.pairs()[: total * LOOKED_UP // 2].reshape(-1)
    for number in range(total):
        _read(writer, pairs[(number * LOOKED_UP) % (len(pairs) - LOOKED_UP) :], statement=_is_statement(number))
    return Source(writer.script(max(LOOKED_UP, STATEMENT_ROWS) * RECORD_BYTES), accounts=wanted.workload)


def _is_statement(number: int) -> bool:
    return number % STATEMENT_EVERY == STATEMENT_EVERY - 1


def _read(writer: Writer, accounts: Any, *, statement: bool) -> None:
    if statement:
        writer.add("statement", "get_account_transfers", statement_of(ACCOUNT_FIRST + int(accounts[0])), 0)
    else:
        ids = [ACCOUNT_FIRST + int(account) for account in accounts[:LOOKED_UP]]
        writer.add("balances", "lookup_accounts", ids, LOOKED_UP)


def statement_of(account: int) -> dict[str, Any]:
    """Params that ask for the last transfers of an account."""
    return {"account_id": account, "limit": STATEMENT_ROWS, "reversed": True}


# --- orders ---------------------------------------------------------------------------------------


def market_stages(market: Market) -> list[tuple[str, Items]]:
    """What the market needs; the same for every seed."""
    return [
        ("create_accounts", market.accounts()),
        ("create_transfers", market.funding()),
        ("create_instruments", market.listed()),
        ("create_trading_accounts", market.trading_accounts()),
    ]


ORDER_KINDS = ("submit_orders", "replace_orders", "cancel_orders")


class Trader:
    """The orders of one connection, from the beginning of a block on; one trading account."""

    def __init__(self, market: Market, connection: int, block: int, *, quotes: bool) -> None:
        own = stretch(0, connection)
        self._account = market.trading_account(own.number)
        self._number = own.first + -own.first % block
        self._next = market.quotes if quotes else market.flow

    def command(self) -> Command:
        """The next one."""
        self._number += 1
        return self._next(self._number - 1, self._account)


def _market(wanted: Wanted) -> Source:
    """Order flow or quotes: connection c trades for an account of its own."""
    quotes = wanted.name == "quotes"
    market = Market(wanted.workload.seed, traders=max(256, min(wanted.connections, 1 << 16)))
    block = QUOTES_BLOCK if quotes else FLOW_BLOCK
    traders = [Trader(market, number, block, quotes=quotes) for number in range(wanted.connections)]
    # Whole blocks, so that what was entered is canceled.
    total = -(-wanted.prepared // (block * len(traders))) * block * len(traders)
    writer = Writer(ORDER_KINDS, wanted, total)
    for number in range(total):
        command = traders[number % len(traders)].command()
        writer.add(command.method, command.method, [command.item], 1)
    unit = block * len(traders)
    return Source(writer.script(4_096), market_stages(market), MARKET_WORDS, count=total, unit=unit)


# --- a bank's day -----------------------------------------------------------------------------------


def _bank_day(wanted: Wanted) -> Source:
    """Payments, salary batches, balances, statements and orders, in the shares of the hours of a day."""
    workload, total = wanted.workload, wanted.prepared
    market = Market(workload.seed, traders=max(256, min(wanted.connections, 1 << 16)))
    traders = [Trader(market, number, FLOW_BLOCK, quotes=False) for number in range(wanted.connections)]
    writer = Writer(("payment", "salaries", "balance", "statement", "order"), wanted, total)
    payments, salaries = _lines(workload, 1), _lines(workload, SALARIES, first=1 << 40)
    pairs = workload.pairs().reshape(-1)
    for number in range(total):
        bits = drawn(workload.seed, (1 << 50) + number)[2]
        doing = activity(hour_at(number, total, DAY_START_HOUR), bits)
        if doing == "payment":
            writer.line(doing, next(payments), 1)
        elif doing == "salaries":
            writer.line(doing, next(salaries), SALARIES)
        elif doing == "order":
            command = traders[number % len(traders)].command()
            writer.add(doing, command.method, [command.item], 1)
        else:
            account = ACCOUNT_FIRST + int(pairs[bits % len(pairs)])
            if doing == "balance":
                writer.add(doing, "lookup_accounts", [account], 1)
            else:
                writer.add(
                    doing,
                    "get_account_transfers",
                    {"account_id": account, "limit": STATEMENT_ROWS, "reversed": True},
                    0,
                )
    reply = max(SALARIES * 160, STATEMENT_ROWS * RECORD_BYTES)
    words = (*WRITTEN, *MARKET_WORDS)
    return Source(writer.script(reply), market_stages(market), words, accounts=workload, count=total, unit=0)


def _lines(workload: Workload, items: int, *, first: int = 0) -> Iterator[bytes]:
    """Requests of a workload one after the other, without their ids."""
    requests = Requests(workload, items=items)
    number = first // items
    while True:
        for line in requests.lines(number, 256).splitlines(keepends=True):
            yield line[line.index(b",") :]
        number += 256
