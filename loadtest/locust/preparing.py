"""Makes what the users need, once and before any of them: accounts, money, instruments, trading accounts.

Ids do not depend on the run, so a second run finds all of it there.
"""

import logging
from collections.abc import Iterable
from itertools import islice
from typing import Any

from loadtest.locust.asked import Judgement, Request, asked
from loadtest.locust.connection import Connection
from loadtest.locust.options import Settings
from loadtest.locust.tally import Tally
from loadtest.workload import Records

log = logging.getLogger(__name__)

PIECE = 1_000
IN_FLIGHT = 4
DRAIN_SECONDS = 60.0


class PrepareError(Exception):
    """The server did not take the set-up."""


def prepare(settings: Settings, *, market: bool) -> None:
    """Set up accounts and, if there is somebody to trade, the market; PrepareError when anything is refused."""
    failures: list[str] = []

    def report(request: Request, _seconds: float, _length: int, failure: str | None) -> None:
        if failure is not None:
            failures.append(f"{request.name}: {failure}")

    # What exists already is what this run would have made: other terms have other statuses.
    judgement = Judgement(Tally(), allowed={"exists"})
    connection = Connection(settings.address, judgement, report, reconnect_seconds=settings.reconnect_seconds)
    try:
        identifier = 0
        for method, items in stages(settings, market=market):
            for piece in pieces(items):
                connection.wait_for_room(IN_FLIGHT)
                identifier += 1
                connection.send([asked(method, piece, identifier)])
            connection.drain(DRAIN_SECONDS)
            if failures:
                raise PrepareError(f"set-up: {failures[0]}")
        counts = {f"{name} {result}": count for (name, result), count in sorted(judgement.tally.counts.items())}
        log.info("Set up: %s", ", ".join(f"{what} {count:,}" for what, count in counts.items()))
    finally:
        connection.close()


def stages(settings: Settings, *, market: bool) -> Iterable[tuple[str, Iterable[dict[str, Any]]]]:
    """Methods and their items; each stage needs those before it."""
    yield "create_accounts", accounts(settings.workload.account_commands())
    if market:
        yield "create_accounts", settings.market.accounts()
        yield "create_transfers", settings.market.funding()
        yield "create_instruments", settings.market.listed()
        yield "create_trading_accounts", settings.market.trading_accounts()


def accounts(records: Records) -> Iterable[dict[str, Any]]:
    """Account records as the protocol has them."""
    for record in records:
        yield {"id": int(record["id"]), "ledger": int(record["ledger"]), "code": int(record["code"])}


def pieces(items: Iterable[dict[str, Any]]) -> Iterable[list[dict[str, Any]]]:
    """The items in lists of at most PIECE."""
    rest = iter(items)
    while piece := list(islice(rest, PIECE)):
        yield piece
