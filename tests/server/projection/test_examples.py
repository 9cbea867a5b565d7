"""The psql sessions of docs/PROJECTION.md, executed: what the page shows is what PostgreSQL answers.

TONGBAO_REWRITE_DOCS=1 writes the answers anew.
"""

import asyncio
import os
import re
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import asyncpg

from engine.order_results import Side
from engine.results import TransferFlag
from server.journal import Head, Kind, Row
from server.metrics import Metrics
from server.projection.migration import migrate
from server.projection.sink import Projection
from tests.engine.trading_subjects import Fast, Step
from tests.models.records import Account, Transfer
from tests.models.trading_records import InstrumentTerms, NewOrder, NewTradingAccount
from tests.server.projection.test_limits import NoLog

PAGE = Path(__file__).parents[3] / "docs" / "PROJECTION.md"
SESSION = re.compile(r"```psql\n(.*?)```", re.DOTALL)
SECOND = 10**9
MORNING = 1_795_395_600 * SECOND
"""2026-11-23 01:00 UTC, 9:00 in Shanghai."""
CNY, SHARE = 156, 600
SHANGHAI = timezone(timedelta(hours=8))


def steps() -> list[Step]:
    """A bank with three customers, two of whom trade a share."""
    accounts = [Account(i, CNY, code) for i, code in ((1001, 2011), (2002, 2011), (3003, 2011), (9000, 1001))]
    accounts += [Account(i, SHARE, code) for i, code in ((1601, 3011), (2601, 3011), (9600, 3001))]
    paid = [(9000, 1001, 5_000_000), (9000, 2002, 800_000), (1001, 3003, 120_000), (3003, 2002, 45_050)]
    transfers = [Transfer(i + 1, d, c, n, CNY, 10) for i, (d, c, n) in enumerate(paid)]
    transfers.append(Transfer(5, 9600, 2601, 300, SHARE, 11))
    hold = Transfer(6, 3003, 1001, 20_000, CNY, 12, TransferFlag.PENDING, timeout=3_600)
    traders = (
        NewTradingAccount(101, ((CNY, 1001), (SHARE, 1601))),
        NewTradingAccount(102, ((CNY, 2002), (SHARE, 2601))),
    )

    def order(account: int, number: int, side: Side, quantity: int, price: int) -> NewOrder:
        return NewOrder(
            account_id=account, client_order_id=number, symbol="600000", side=side, quantity=quantity, price=price
        )

    asked: list[tuple[str, tuple[Any, ...]]] = [
        ("create_accounts", tuple(accounts)),
        ("create_transfers", tuple(transfers)),
        ("create_transfers", (hold,)),
        ("create_instruments", (InstrumentTerms("600000", SHARE, CNY, lot_size=100, reference_price=1_000),)),
        ("create_trading_accounts", traders),
        ("submit_orders", (order(102, 1, Side.SELL, 200, 1_010), order(102, 2, Side.SELL, 100, 1_020))),
        ("submit_orders", (order(101, 3, Side.BUY, 100, 1_010),)),
        ("submit_orders", (order(101, 4, Side.BUY, 300, 990),)),
    ]
    return [Step(method, items, MORNING + place * 60 * SECOND) for place, (method, items) in enumerate(asked)]


async def project(dsn: str) -> None:
    """The tables of that morning."""
    await migrate(dsn)
    fast = Fast()
    sink = Projection(dsn, NoLog(), fast.engine, Head(0, b"", 1, 0), Metrics())
    for seq, step in enumerate(steps(), 1):
        fast.apply(step)
        row = seq.to_bytes(32, "big")
        sink.applied(Row(seq, 1, step.time, 1, Kind.BATCH, row, row, row, None, b""), None)
    running = asyncio.create_task(sink.run())
    async with asyncio.timeout(20):
        await sink.reached(sink.seq)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


def shown(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "t" if value else "f"
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, datetime):
        return value.astimezone(SHANGHAI).strftime("%Y-%m-%d %H:%M:%S+08")
    return f"{{{','.join(value)}}}" if isinstance(value, list) else str(value)


def table(records: list[asyncpg.Record]) -> str:
    """As psql prints it."""
    names = list(records[0].keys())
    cells = [[shown(value) for value in record.values()] for record in records]
    widths = [max(len(name), *(len(row[place]) for row in cells)) for place, name in enumerate(names)]
    numbers = [all(re.fullmatch(r"-?[\d.]*", row[place]) for row in cells) for place in range(len(names))]
    lines = [
        "|".join(f" {name:^{width}} " for name, width in zip(names, widths, strict=True)).rstrip(),
        "+".join("-" * (width + 2) for width in widths),
    ]
    lines += [
        "|".join(
            f" {cell:>{width}} " if number else f" {cell:<{width}} "
            for cell, width, number in zip(row, widths, numbers, strict=True)
        ).rstrip()
        for row in cells
    ]
    return "\n".join([*lines, f"({len(cells)} row{'s' if len(cells) != 1 else ''})"])


async def test_what_the_page_shows_is_what_postgresql_answers(database: str) -> None:
    await project(database)
    connection = await asyncpg.connect(database, server_settings={"TimeZone": "Asia/Shanghai"})
    page = PAGE.read_text("utf-8")
    sessions = SESSION.findall(page)
    assert len(sessions) >= 6
    try:
        for session in sessions:
            said = []
            for query in re.findall(r"reports=> (.*?;)\n", session, re.DOTALL):
                sql = query.replace("\nreports-> ", "\n")
                said.append(f"reports=> {query}\n{table(await connection.fetch(sql))}\n")
            answered = "\n".join(said)
            if os.environ.get("TONGBAO_REWRITE_DOCS"):
                page = page.replace(session, answered)
            else:
                assert session == answered
    finally:
        await connection.close()
    PAGE.write_text(page, "utf-8")
