"""A market in process whose orders are held to every limit, to measure how long an order waits for its verdict.

1,000 trading accounts at 20 desks of 200 clients trade 50 shares; every account, desk, client and instrument has every
limit, wide enough that nobody reaches it. Nine of ten orders rest near the last price, one meets what rests there.
"""

import time
from typing import Any

import numpy as np

from benchmarks import risk_twin
from engine import (
    ACCOUNT_COMMAND,
    INSTRUMENT_COMMAND,
    LINK_COMMAND,
    ORDER_COMMAND,
    TRADING_ACCOUNT_COMMAND,
    TRANSFER_COMMAND,
    Batch,
    Engine,
    Limits,
    order_requests,
    requests,
)
from engine._core.risk_records import LIMIT_VALUE, LIMITS_COMMAND
from engine.order_results import Session, Side, TimeInForce
from engine.results import Status
from engine.risk import LimitName, LimitScope
from engine.risk.compiled import kernels

ACCOUNTS, DESKS, CLIENTS, INSTRUMENTS = 1_000, 20, 200, 50
MONEY, FEES, PRICE = 156, 9, 10_000
FUNDS, HOLDINGS = 2**50, 1_000_000
AMPLE = 2**50
PAUSE = 1_000
"""Orders after which new memory is waited for, as there would be time for in a server."""
LIMITS: dict[LimitName, int] = {
    **dict.fromkeys(LimitName, AMPLE),
    LimitName.PRICE_COLLAR: 100_000,
    LimitName.ORDER_RATE: 1_000_000_000,
    LimitName.ORDER_BURST: 1_000_000,
    LimitName.ORDER_TO_TRADE: 500,
    LimitName.ORDER_TO_TRADE_FREE: 1_000_000,
    LimitName.DUPLICATE_ORDER: 1_000_000,
    LimitName.SHORT_SALE: 1,
    LimitName.SUITABILITY: 3,
    LimitName.SUITABILITY_CONFIRMED: 3,
    LimitName.RESTRICTED: 0,
    LimitName.KILL_SWITCH: 0,
    LimitName.EXPOSURE_RATE: 1_000_000,
}


def word(text: str) -> int:
    """Text of up to eight characters as the first word of a symbol."""
    return int.from_bytes(text.encode("ascii").ljust(8, b"\0"), "little")


def desk_of(account: int) -> str:
    return f"desk{account % DESKS}"


def client_of(account: int) -> str:
    return f"cli{account % CLIENTS}"


def symbol_of(instrument: int) -> str:
    return f"sh{instrument}"


def exchange(orders_max: int) -> Engine:
    """The market, open, its traders with more than they can spend, all limits set."""
    engine = Engine(
        Limits(
            accounts_max=200_000, transfers_max=64 * orders_max + 200_000, orders_max=2 * orders_max,
            open_orders_max=2 * orders_max, trades_max=32 * orders_max, executions_max=64 * orders_max,
        )
    )  # fmt: skip
    accounts = np.zeros(2 + INSTRUMENTS + ACCOUNTS * (1 + INSTRUMENTS), ACCOUNT_COMMAND)
    numbers = np.arange(ACCOUNTS * (1 + INSTRUMENTS))
    ledgers = np.concatenate([[MONEY], 600 + np.arange(INSTRUMENTS)])
    accounts["id"] = [1, FEES, *range(100, 100 + INSTRUMENTS), *(1_000 + numbers)]
    accounts["ledger"] = [MONEY, MONEY, *ledgers[1:], *ledgers[numbers % (1 + INSTRUMENTS)]]
    accounts["code"] = 1
    engine.create_accounts(accounts, engine.last_timestamp + 1)
    transfers = np.zeros(len(numbers), TRANSFER_COMMAND)
    transfers["id_lo"], transfers["credit_account_id"], transfers["code"] = 1 + numbers, 1_000 + numbers, 1
    kinds = numbers % (1 + INSTRUMENTS)
    transfers["debit_account_id"] = np.where(kinds == 0, 1, 99 + kinds)
    transfers["amount"], transfers["ledger"] = np.where(kinds == 0, FUNDS, HOLDINGS), ledgers[kinds]
    engine.create_transfers(transfers, engine.last_timestamp + 1)
    shares = np.zeros(INSTRUMENTS, INSTRUMENT_COMMAND)
    shares["symbol_0"] = [word(symbol_of(each)) for each in range(INSTRUMENTS)]
    for name in ("tick_size", "lot_size", "price_scale", "contract_size"):
        shares[name] = 1
    shares["base_ledger"], shares["quote_ledger"], shares["fee_account_id"] = ledgers[1:], MONEY, FEES
    shares["reference_price"], shares["market_protection_ppm"], shares["session"] = PRICE, 50_000, Session.CONTINUOUS
    engine.create_instruments(shares, engine.last_timestamp + 1)
    traders = np.zeros(ACCOUNTS, TRADING_ACCOUNT_COMMAND)
    traders["id"] = np.arange(1, ACCOUNTS + 1)
    traders["desk_0"] = [word(desk_of(each)) for each in range(1, ACCOUNTS + 1)]
    traders["owner_0"] = [word(client_of(each)) for each in range(1, ACCOUNTS + 1)]
    traders["link_first"], traders["link_count"] = np.arange(ACCOUNTS) * (1 + INSTRUMENTS), 1 + INSTRUMENTS
    links = np.zeros(len(numbers), LINK_COMMAND)
    links["ledger"], links["account_id"] = ledgers[kinds], 1_000 + numbers
    engine.create_trading_accounts(traders, links, engine.last_timestamp + 1)
    limit_everybody(engine)
    return engine


def limit_everybody(engine: Engine) -> None:
    """Every limit of everybody, in four commands."""
    groups: list[tuple[LimitScope, int]] = [(LimitScope.ACCOUNT, each) for each in range(1, ACCOUNTS + 1)]
    groups += [(LimitScope.DESK, word(desk_of(each))) for each in range(DESKS)]
    groups += [(LimitScope.CLIENT, word(client_of(each))) for each in range(CLIENTS)]
    groups += [(LimitScope.INSTRUMENT, word(symbol_of(each))) for each in range(INSTRUMENTS)]
    for first in range(0, len(groups), 300):
        part = groups[first : first + 300]
        commands = np.zeros(len(part), LIMITS_COMMAND)
        values: list[tuple[int, int, int, int]] = []
        for command, (scope, name) in zip(commands, part, strict=True):
            command["scope"], command["id_0"], command["actor_0"] = scope, name, word("bench")
            wanted = allowed(scope)
            command["value_first"], command["value_count"] = len(values), len(wanted)
            values += [(value, limit, 0, 0) for limit, value in wanted.items()]
        results = engine.set_limits(commands, np.array(values, LIMIT_VALUE), engine.last_timestamp + 1)
        if (results["status"] != Status.LIMITS_SET).any():
            raise AssertionError(f"limits were refused: {np.unique(results['status']).tolist()}")


def allowed(scope: LimitScope) -> dict[LimitName, int]:
    """The limits that there are for a scope."""
    accounts = {LimitName.DUPLICATE_ORDER, LimitName.PROGRAMME_RATE, LimitName.PROGRAMME_DAY}
    without = {
        LimitScope.ACCOUNT: {LimitName.EXPOSURE_RATE},
        LimitScope.DESK: {LimitName.EXPOSURE_RATE, LimitName.SUITABILITY_CONFIRMED} | accounts,
        LimitScope.CLIENT: {LimitName.EXPOSURE_RATE} | accounts,
        LimitScope.INSTRUMENT: {LimitName.SUITABILITY_CONFIRMED} | accounts,
    }
    return {name: value for name, value in LIMITS.items() if name not in without[scope]}


def flow(count: int, seed: int = 6) -> Any:
    """Orders of accounts that trade three shares each; nine of ten rest up to 40 ticks from the last price, one takes
    what is there at once."""
    rng = np.random.default_rng(seed)
    orders = np.zeros(count, ORDER_COMMAND)
    orders["client_order_id_lo"], orders["account_id"] = np.arange(1, count + 1), rng.integers(1, ACCOUNTS + 1, count)
    symbols = np.array([word(symbol_of(each)) for each in range(INSTRUMENTS)], np.uint64)
    orders["symbol_0"] = symbols[(orders["account_id"].astype(np.int64) * 7 + rng.integers(0, 3, count)) % INSTRUMENTS]
    buys = rng.integers(0, 2, count) == 0
    takes = rng.integers(0, 10, count) == 0
    distance = np.where(takes, -45, rng.integers(1, 40, count))
    orders["side"] = np.where(buys, Side.BUY, Side.SELL)
    orders["price"] = np.where(buys, PRICE - distance, PRICE + distance)
    orders["quantity"] = np.arange(count) % 9_973 + 1  # neighbours are no duplicates of each other
    orders["time_in_force"] = np.where(takes, TimeInForce.IOC, TimeInForce.GTC)
    return orders


def waits(orders: Any, size: int, *, warm: int) -> Any:
    """Nanoseconds that orders waited for their verdict, in batches of `size` that have been parsed.

    Batches of one: from when the engine is given the batch. Larger ones, whose size is even: every second order of a
    batch, from the verdict before, which was a refusal. It is a little more than the order's own time, since what is
    left to do for a refusal is part of it. The first `warm` orders are left out.
    """
    engine = exchange(len(orders))
    engine.attach_checks(risk_twin.watch(kernels().address, size > 1))
    engine.populate_ahead()
    batch = Batch()  # a server, too, fills the same ones again and again
    times = np.zeros(size, np.int64)
    found = []
    risk_twin.fallen(times)
    for first in range(0, len(orders), size):
        requests.clear(batch)
        order_requests.append(batch, "submit_orders", orders[first : first + size])
        while first % PAUSE == 0 and not engine.populated:
            time.sleep(0.0002)
        now = max(engine.last_timestamp + 1, time.time_ns())
        start = time.perf_counter_ns()
        engine.apply(batch, now)
        came, refused = risk_twin.fallen(times), len(order_requests.verdicts(batch))
        if (came, refused) != (size, size // 2):
            raise AssertionError(f"{came} of {size} orders came to the limits, which refused {refused}")
        if first >= warm:
            found.append(times - start if size == 1 else times[1::2] - times[0::2])
    if not engine.trades:
        raise AssertionError("nothing was traded")
    return np.concatenate(found)
