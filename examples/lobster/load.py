"""A day of NASDAQ's orders as a load: `tongbao load lobster`, on one connection, since their order matters.

The same commands as `python -m examples.lobster` sends, without its looks at the book, and with client order ids drawn
from the seed. A used server keeps what an earlier run left in its books, so take a fresh one.
"""

from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np

from examples.lobster import data
from examples.lobster.plan import plan
from examples.lobster.replay import terms
from examples.market import settlement
from examples.market.online import requests
from examples.market.plan import Step
from examples.market.settlement import BUYER, CENTRAL_BANK, FEES, FUNDS, GOODS, MONEY, REGISTRAR, SELLER
from loadtest.sources import MARKET_WORDS, ORDER_KINDS, Items, Source, SourceError, Wanted, Writer
from loadtest.stretches import drawn

SYMBOL, LEVELS = data.SAMPLES[0]
ACCOUNT_CODE = 1


def directory(wanted: Wanted) -> Path:
    """Where the data are; SourceError when they are nowhere."""
    found = wanted.data / "lobster" if wanted.data is not None else data.find()
    if found is None or not found.is_dir():
        where = f"not in {found}" if found else "not here"
        raise SourceError(f"workload: the data of lobster are {where}; give --data, or set TONGBAO_SHARED_DATA")
    return found


def source(wanted: Wanted) -> Source:
    """Make it, up to as many requests as are wanted."""
    sample = data.read(directory(wanted), SYMBOL, LEVELS)
    if wanted.count is not None:
        sample = sample.first(wanted.count)
    commands = plan(sample)
    seed = wanted.workload.seed
    writer = Writer(ORDER_KINDS, wanted, len(commands.step))
    places = np.flatnonzero(np.array(commands.step) != Step.BOOK)
    last = int(places[-1]) + 1 if len(places) else 0
    for method, params, steps in requests(commands, sample.symbol, 0, last, LEVELS):
        if method != "get_book":
            items: list[dict[str, Any]] = [
                item | {"client_order_id": str(drawn(seed, UUID(item["client_order_id"]).int)[0])} for item in params
            ]
            writer.add(method, method, items, steps)
    facts = {"events": len(sample)}
    return Source(
        writer.script(65_536),
        stages(sample.symbol),
        MARKET_WORDS,
        connections=1,
        count=len(writer.lines),
        unit=0,
        facts=facts,
    )


def stages(symbol: str) -> list[tuple[str, Items]]:
    """Accounts, what the two traders begin with, the instrument, the traders."""
    traders = (BUYER, SELLER)
    owned = [(settlement.account_of(trader, ledger), ledger) for trader in traders for ledger in (MONEY, GOODS)]
    banks = [(CENTRAL_BANK, MONEY), (REGISTRAR, GOODS), (FEES, MONEY)]
    wanted = terms(symbol)
    return [
        ("create_accounts", ({"id": each, "ledger": ledger, "code": ACCOUNT_CODE} for each, ledger in banks + owned)),
        (
            "create_transfers",
            (
                {
                    "id": str(UUID(int=1_000 + account)),
                    "debit_account_id": CENTRAL_BANK if ledger == MONEY else REGISTRAR,
                    "credit_account_id": account,
                    "amount": FUNDS,
                    "ledger": ledger,
                    "code": ACCOUNT_CODE,
                }
                for account, ledger in owned
            ),
        ),
        (
            "create_instruments",
            [
                {
                    "instrument": symbol, "base_ledger": GOODS, "quote_ledger": MONEY, "tick_size": wanted.tick_size,
                    "lot_size": 1, "price_scale": wanted.price_scale, "maker_fee_ppm": wanted.maker_fee_ppm,
                    "taker_fee_ppm": wanted.taker_fee_ppm, "sell_duty_ppm": wanted.sell_duty_ppm,
                    "fee_account_id": FEES,
                }
            ],
        ),
        (
            "create_trading_accounts",
            (
                {
                    "id": trader,
                    "accounts": {str(ledger): settlement.account_of(trader, ledger) for ledger in (MONEY, GOODS)},
                }
                for trader in traders
            ),
        ),
    ]  # fmt: skip
