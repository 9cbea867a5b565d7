"""Property: limits, exposures, proposals and positions in the tables equal the engine's after random trading."""

import asyncio
from collections.abc import AsyncIterator
from random import Random
from typing import Any

import numpy as np
import pytest

from engine import SESSION_COMMAND, TRADE_COMMAND
from engine.order_results import Session, Side
from server.journal import Head, Kind, Row
from server.metrics import Metrics
from server.projection.columns import Columns
from server.projection.comparison import compare
from server.projection.database import Tables
from server.projection.migration import migrate
from server.projection.sink import Projection
from tests.engine.risk.desk import SECOND, Desk, put
from tests.engine.risk.test_exposures import end_of_day

NUMBERS = {
    "account": ("max_quantity", "open_orders", "open_notional", "gross_exposure", "credit_limit", "daily_loss"),
    "desk": ("open_orders", "gross_exposure", "net_exposure"),
    "client": ("credit_limit", "gross_exposure"),
    "instrument": ("open_notional", "exposure_rate"),
    "default": ("max_notional", "max_quantity"),
    "approval": ("credit_limit", "max_notional"),
}
IDS: dict[str, tuple[int | str, ...]] = {
    "account": (1, 2, 3), "desk": ("north", "south", "west"), "client": ("wang", "li"), "instrument": ("SHARE", "FUT"),
    "default": (0,), "approval": (0,),
}  # fmt: skip


class NoLog:
    """Rows are noted as they are made; nobody asks for them again."""

    log_id = bytes(range(16))

    async def first(self) -> int:
        return 0

    async def newest(self) -> Head:
        return Head(2**40, b"", 1, 0)

    async def read(self, *_: Any, **__: Any) -> AsyncIterator[Row]:
        for row in ():
            yield row


async def nothing() -> AsyncIterator[tuple[Columns, int]]:
    for part in ():
        yield part


def one_step(desk: Desk, random: Random, date: int, step: int) -> int:
    """Something that changes limits, exposures, or both; return the business date."""
    scope = random.choice(list(IDS))
    who = random.choice(IDS[scope])
    match random.randrange(12):
        case 0:
            name = random.choice(NUMBERS[scope])
            desk.set(
                scope,
                who,
                actor="ann",
                **{name: random.choice([None, None, None, 10**9, 10**12] if step > 20 else [10**5, 10**7, 10**9])},
            )
        case 1 if scope in {"account", "desk", "client"}:
            instrument = random.choice(IDS["instrument"])
            values = {random.choice(["position_long", "position_short"]): random.choice([None, None, 10, 5_000])}
            desk.set(scope, who, instrument=str(instrument), actor="bob", **values)
        case 2:
            desk.approve(random.randint(1, 5), actor=random.choice(["ann", "carl"]), yes=random.random() < 0.6)
        case 3 if scope in {"account", "desk", "client", "instrument"}:
            desk.kill(scope, who, on=random.random() < 0.08)
        case 4:
            desk.tick(SECOND)
        case 5 if desk.engine.trades:
            bust = np.zeros(1, TRADE_COMMAND)
            bust["trade_id"] = random.randint(1, desk.engine.trades)
            bust["price"] = random.choice([0, 0, 1_005])
            desk.engine.bust_trades(bust, desk.tick())
        case 6 if random.random() < 0.2:
            date += 1
            end_of_day(desk, date, FUT=2_000 + random.randint(-50, 50))
            opening = np.zeros(2, SESSION_COMMAND)
            for place, symbol in enumerate(("SHARE", "FUT")):
                put(opening[place : place + 1], "symbol", symbol)
            opening["state"] = Session.CONTINUOUS
            desk.engine.set_session(opening, desk.tick())
        case 7:
            desk.pay(2, 100 * random.randint(1, 3) + 1, random.randint(1, 50), 600)
        case _:
            symbol = random.choice(["SHARE", "SHARE", "FUT"])
            price = (1_000 if symbol == "SHARE" else 2_000) + random.randint(-5, 5)
            desk.order(random.randint(1, 3), random.choice(list(Side)), random.randint(1, 20), price, symbol)
    return date


@pytest.mark.parametrize("seed", range(4))
async def test_limits_and_exposures_equal_the_engines(database: str, seed: int) -> None:
    await migrate(database)
    random, desk, seq, date = Random(f"limits {seed}"), Desk(), 1, 20260105
    engine = desk.engine
    sink = Projection(database, NoLog(), engine, Head(seq, seq.to_bytes(32, "big"), 1, 1), Metrics())
    running = asyncio.create_task(sink.run())
    try:
        for step in range(220):
            date = one_step(desk, random, date, step)
            seq += 1
            row = seq.to_bytes(32, "big")
            sink.applied(Row(seq, 1, engine.last_timestamp, 1, Kind.BATCH, row, row, row, None, b""), None)
            if random.random() < 0.3:
                await asyncio.sleep(0.003)
            if step % 40 == 39:
                async with asyncio.timeout(20):
                    await sink.reached(seq)
                tables = await Tables.open(database, write=False)
                report = await compare(tables.connection, engine, seq, nothing())
                await tables.close()
                assert not report.differences, "\n".join(report.differences)
        assert report.rows["limits"] == report.rows["exposures"] > 8
        assert report.rows["limits_by_instrument"]
        assert report.rows["trades"] > 4
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
