"""`tongbao orders`, `book`, `trades`: what is in the market."""

from typing import Annotated, Any

import msgspec
from cyclopts import Parameter
from rich.live import Live
from rich.table import Table

from server.cli.common import CommandError, Exit, Json, Target, err, out, print_json, print_table, run
from server.client import Book, OrderState, Trade

_ORDER_COLUMNS = ("order_id", "account_id", "instrument", "side", "type", "quantity", "price", "cum_quantity",
                  "leaves_quantity", "status", "reason", "time_in_force", "client_order_id")  # fmt: skip
_TRADE_COLUMNS = ("trade_id", "timestamp", "instrument", "price", "quantity", "taker_side", "buy_account_id",
                  "sell_account_id", "buy_fee", "sell_fee", "duty", "state", "corrects")  # fmt: skip
_NUMBERS = {"order_id", "account_id", "quantity", "price", "cum_quantity", "leaves_quantity", "trade_id", "timestamp",
            "buy_account_id", "sell_account_id", "buy_fee", "sell_fee", "duty", "corrects"}  # fmt: skip


def orders(
    *,
    target: Target = Target(),  # noqa: B008
    account: int | None = None,
    instrument: str | None = None,
    open: Annotated[bool, Parameter(negative="")] = False,  # noqa: A002
    newest: Annotated[bool, Parameter(negative="")] = False,
    limit: int = 100,
    json: Json = False,
) -> int:
    """List the orders of a trading account, of an instrument, or of both.

    Exit codes: 0 done, 1 not reachable, 2 wrong usage, 4 refused.

    Parameters
    ----------
    account
        Id of the trading account.
    instrument
        Symbol.
    open
        Only orders that may still trade.
    newest
        Newest first.
    limit
        At most so many, up to 8190.
    json
        Print one JSON document.
    """
    if account is None and instrument is None:
        raise CommandError("give --account, --instrument, or both")

    async def ask() -> list[OrderState]:
        async with target.client() as client:
            return await client.get_orders(
                account_id=account, instrument=instrument, open_only=open, reversed=newest, limit=limit
            )

    _print(run(ask()), _ORDER_COLUMNS, json=json)
    return Exit.OK


def trades(
    *,
    target: Target = Target(),  # noqa: B008
    account: int | None = None,
    instrument: str | None = None,
    newest: Annotated[bool, Parameter(negative="")] = False,
    limit: int = 100,
    json: Json = False,
) -> int:
    """List trades, oldest first.

    Exit codes: 0 done, 1 not reachable, 2 wrong usage, 4 refused.

    Parameters
    ----------
    account
        Id of a trading account.
    instrument
        Symbol.
    newest
        Newest first.
    limit
        At most so many, up to 8190.
    json
        Print one JSON document.
    """

    async def ask() -> list[Trade]:
        async with target.client() as client:
            return await client.get_trades(account_id=account, instrument=instrument, reversed=newest, limit=limit)

    _print(run(ask()), _TRADE_COLUMNS, json=json)
    return Exit.OK


def _print(found: list[Any], columns: tuple[str, ...], *, json: bool) -> None:
    rows: list[dict[str, Any]] = msgspec.to_builtins(found)
    if json:
        print_json(rows)
    else:
        print_table("", columns, [[row[column] for column in columns] for row in rows], right=_NUMBERS)


def book(
    instrument: str,
    *,
    target: Target = Target(),  # noqa: B008
    depth: int = 10,
    watch: Annotated[bool, Parameter(negative="")] = False,
    json: Json = False,
) -> int:
    """Show the book of an instrument.

    Exit codes: 0 done, 1 not reachable, 2 wrong usage, 4 refused, 130 stopped by Ctrl-C.

    Parameters
    ----------
    instrument
        Symbol.
    depth
        Levels per side, up to 8190.
    watch
        Go on showing it as it changes; with --json one document a line per change.
    json
        Print one JSON document.
    """
    if watch:
        run(_watch(target, instrument, depth, json=json))
        return Exit.OK

    async def ask() -> Book:
        async with target.client() as client:
            return await client.get_book(instrument, depth)

    found: dict[str, Any] = msgspec.to_builtins(run(ask()))
    if json:
        print_json(found)
    else:
        out().print(_ladder(found, depth))
    return Exit.OK


async def _watch(target: Target, instrument: str, depth: int, *, json: bool) -> None:
    sides: dict[str, dict[int, list[int]]] = {"bids": {}, "asks": {}}
    async with target.client() as client, client.subscribe(f"book:{instrument}", depth=depth) as events:
        with Live(console=out(), auto_refresh=False, transient=False) as live:
            async for event in events:
                _merge(sides, event.params, snapshot=event.snapshot)
                shown = event.params | {
                    "bids": sorted(sides["bids"].values(), reverse=True),
                    "asks": sorted(sides["asks"].values()),
                }
                if event.gap:
                    err().print("tongbao: updates are missing")
                if json:
                    print_json(shown)
                else:
                    live.update(_ladder(shown, depth), refresh=True)


def _merge(sides: dict[str, dict[int, list[int]]], params: dict[str, Any], *, snapshot: bool) -> None:
    """Put the levels of an update in their places."""
    for name, levels in sides.items():
        if snapshot:
            levels.clear()
        for level in params[name]:
            if level[1]:
                levels[level[0]] = level
            else:
                levels.pop(level[0], None)


def _ladder(found: dict[str, Any], depth: int) -> Table:
    title = f"{found['instrument']}  {found['session']}  last {found['last_price']}  volume {found['volume']}"
    if found["indicative_price"]:
        title += f"  indicative {found['indicative_quantity']} at {found['indicative_price']}"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for name in ("orders", "bid", "price", "ask", "orders"):
        table.add_column(name, justify="right", no_wrap=True)
    for price, quantity, count in reversed(found["asks"][:depth]):
        table.add_row("", "", f"{price:,}", f"{quantity:,}", f"{count:,}")
    for price, quantity, count in found["bids"][:depth]:
        table.add_row(f"{count:,}", f"{quantity:,}", f"{price:,}", "", "")
    return table
