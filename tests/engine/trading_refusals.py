"""The refusal tables of trading: every reason, in words, and a request that meets it.

Each row starts from the same small exchange and from one request that would succeed, and says what is different. Rows
of one table stand in the order in which the rules are looked at: two put together give the reason of the upper one.

The exchange (cash in ledger 156; prices in steps of 5, quantities of 10):

    COIN    spot, may move 10 % around 1,000, and 4 % through the best opposite price
    PTA     futures, 6 % margin of 6,000
    HALT    spot around 1,000, an auction after 1 %

    trader 101   cash account 11 with 1,000,000 and 100 of each asset; so has 102 with cash account 12
    trader 103   cash account 13 and no asset accounts
"""

from typing import Any, NamedTuple

from engine.order_results import (
    InstrumentFlag,
    Offset,
    OrderType,
    Reason,
    SelfTradePrevention,
    Session,
    Side,
    TimeInForce,
)
from engine.results import TransferFlag
from tests.engine.trading_subjects import Step
from tests.models.records import Account, Transfer, Update
from tests.models.trading_records import (
    Amend,
    InstrumentTerms,
    MassCancel,
    NewOrder,
    NewTradingAccount,
    SessionChange,
)

CNY, COINS, LOTS, SHARES = 156, 601, 603, 604
BANK, CASH_1, CASH_2, CASH_3 = 1, 11, 12, 13
COINS_1, COINS_2 = 601_101, 601_102
STRANGERS = 1
"""A scope that covers no account of 101."""
NOW = 1_790_000_000_000_000_000
BUY, SELL = Side.BUY, Side.SELL

Steps = tuple[tuple[str, tuple[Any, ...]], ...]


class Row(NamedTuple):
    """One rule."""

    reason: Reason
    words: str
    change: dict[str, Any] = {}  # noqa: RUF012 - nobody writes to it
    given: Steps = ()
    scoped: bool = False
    alone: bool = False
    """Not to be put together with other rows: what is given changes what they mean."""


ORDER = NewOrder(101, 500, "COIN", BUY, 10, 1_000)
"""The request of SUBMIT: accepted, and it rests."""
RESTING = NewOrder(101, 400, "COIN", BUY, 20, 990)
"""The order that CANCEL and REPLACE are about."""
CANCELED = Amend(101, client_order_id=400)
REPLACED = Amend(101, client_order_id=400, quantity=30, price=995)


def order(account_id: int, client_order_id: int, side: Side, quantity: int, price: int, **more: Any) -> Any:
    values = {"symbol": "COIN", **more}
    return "submit_orders", (
        NewOrder(account_id, client_order_id, side=side, quantity=quantity, price=price, **values),
    )


def session(state: Session, *, no_cancel: bool = False, symbol: str = "COIN") -> Any:
    return "set_session", (SessionChange(symbol, state, no_cancel),)


def frozen(account: int) -> Any:
    return "update_accounts", (Update(account, frozen=True),)


def closed(account: int, ledger: int = CNY) -> Any:
    house = BANK if ledger == CNY else ledger * 1_000
    flags = TransferFlag.PENDING | TransferFlag.CLOSING_DEBIT
    return "create_transfers", (Transfer(900 + account, account, house, 0, ledger, 1, flags),)


def taken(account: int, amount: int, ledger: int = CNY) -> Any:
    house = BANK if ledger == CNY else ledger * 1_000
    return "create_transfers", (Transfer(950 + account, account, house, amount, ledger, 1),)


def day(date: int, *prices: tuple[str, int]) -> Any:
    return "end_of_day", (date, *prices)


def exchange() -> list[Step]:
    """Open for business."""
    accounts = [Account(i, CNY, 1) for i in (BANK, CASH_1, CASH_2, CASH_3)]
    accounts += [Account(a * 1_000 + i, a, 1) for a in (COINS, LOTS, SHARES) for i in (0, 101, 102)]
    moves = [(BANK, account, 1_000_000, CNY) for account in (CASH_1, CASH_2, CASH_3)]
    moves += [(a * 1_000, a * 1_000 + i, 100, a) for a in (COINS, SHARES) for i in (101, 102)]
    band = {"reference_price": 1_000, "price_band_ppm": 100_000, "price_cage_ppm": 40_000}
    steps: Steps = (
        ("create_accounts", tuple(accounts)),
        (
            "create_instruments",
            (
                InstrumentTerms("COIN", COINS, CNY, tick_size=5, lot_size=10, **band),
                InstrumentTerms(
                    "PTA",
                    LOTS,
                    CNY,
                    tick_size=5,
                    reference_price=6_000,
                    initial_margin_ppm=60_000,
                    flags=InstrumentFlag.FUTURES,
                ),
                InstrumentTerms("HALT", SHARES, CNY, reference_price=1_000, circuit_breaker_ppm=10_000),
            ),
        ),
        (
            "create_trading_accounts",
            (
                NewTradingAccount(101, ((CNY, CASH_1), (COINS, COINS_1), (LOTS, 603_101), (SHARES, 604_101))),
                NewTradingAccount(102, ((CNY, CASH_2), (COINS, COINS_2), (LOTS, 603_102), (SHARES, 604_102))),
                NewTradingAccount(103, ((CNY, CASH_3),)),
            ),
        ),
        ("create_transfers", tuple(Transfer(i + 1, d, c, n, a, 1) for i, (d, c, n, a) in enumerate(moves))),
        ("define_scope", (STRANGERS, ((CASH_2, CASH_2),))),
    )
    return [Step(method, items, NOW + i * 1_000_000) for i, (method, items) in enumerate(steps)]


R = Reason
ASK = order(102, 300, SELL, 10, 1_000)

SUBMIT = [
    Row(R.UNKNOWN_ACCOUNT, "a trading account that does not exist", {"account_id": 999}),
    Row(R.NOT_PERMITTED, "the channel may not touch the trader's accounts", scoped=True),
    Row(R.UNKNOWN_INSTRUMENT, "an instrument that does not exist", {"symbol": "GONE"}),
    Row(R.SESSION_CLOSED, "trading is halted", given=(session(Session.HALTED),)),
    Row(R.SESSION_CLOSED, "the market is closed", given=(session(Session.CLOSED),)),
    Row(
        R.TYPE_NOT_ALLOWED,
        "immediate-or-cancel while an auction gathers orders",
        {"time_in_force": TimeInForce.IOC},
        (session(Session.AUCTION),),
    ),
    Row(
        R.TYPE_NOT_ALLOWED,
        "a market order before the opening",
        {"type": OrderType.MARKET},
        (session(Session.PRE_OPEN),),
    ),
    Row(R.INVALID_COMBINATION, "a limit order without a price", {"price": 0}),
    Row(R.INVALID_COMBINATION, "a stop without a stop price", {"type": OrderType.STOP}),
    Row(R.INVALID_COMBINATION, "good till a time that is over", {"time_in_force": TimeInForce.GTD, "expire_time": NOW}),
    Row(R.INVALID_COMBINATION, "an offset on spot", {"offset": Offset.OPEN}),
    Row(R.QUANTITY_NOT_IN_LOTS, "11 where 10 are traded", {"quantity": 11}),
    Row(R.QUANTITY_NOT_IN_LOTS, "nothing", {"quantity": 0}),
    Row(R.QUANTITY_NOT_IN_LOTS, "an iceberg that shows more than itself", {"display_quantity": 10**17}),
    Row(R.PRICE_NOT_ON_TICK, "1,001 where steps of 5 are traded", {"price": 1_001}),
    Row(R.PRICE_OUTSIDE_BAND, "1,105 where 1,100 is the limit of the day", {"price": 1_105}),
    Row(R.PRICE_OUTSIDE_BAND, "5 % above the best offer", {"price": 1_050}, (ASK,)),
    Row(R.OVERFLOW, "more money than there can be", {"quantity": 10**16}),
    Row(R.LEDGER_NOT_LINKED, "a trader without an account for the asset", {"account_id": 103}),
    Row(R.ACCOUNT_CLOSED, "the cash account has been closed", given=(closed(CASH_1),)),
    Row(R.ACCOUNT_FROZEN, "the cash account is frozen", given=(frozen(CASH_1),)),
    Row(R.NO_LIQUIDITY, "a market order into an empty book", {"type": OrderType.MARKET}),
    Row(R.WOULD_CROSS, "post-only against an offer at its price", {"post_only": True}, (ASK,)),
    Row(R.FOK_NOT_FILLABLE, "all or nothing, and there is nothing", {"time_in_force": TimeInForce.FOK}),
    Row(
        R.INSUFFICIENT_FUNDS,
        "10,000 more than the account has",
        {"quantity": 1_010},
    ),
    Row(R.INSUFFICIENT_HOLDINGS, "sells 110 of 100", {"side": SELL, "quantity": 110}, alone=True),
]

FUTURES = [
    Row(R.INSUFFICIENT_HOLDINGS, "closes what was never opened", {"offset": Offset.CLOSE, "symbol": "PTA"}),
    Row(R.INSUFFICIENT_FUNDS, "2,778 lots at 360 each", {"offset": Offset.OPEN, "symbol": "PTA", "quantity": 2_778}),
]
"""The same request in another instrument."""

OWNER = order(101, 400, BUY, 20, 990)

CANCEL = [
    Row(R.UNKNOWN_ACCOUNT, "a trading account that does not exist", {"account_id": 999}),
    Row(R.NOT_PERMITTED, "the channel may not touch the trader's accounts", scoped=True),
    Row(R.UNKNOWN_ORDER, "an order that does not exist", {"client_order_id": 401}),
    Row(R.UNKNOWN_ORDER, "somebody else's order", {"account_id": 102}, alone=True),
    Row(R.ORDER_CLOSED, "an order that has been canceled", given=(("cancel_orders", (CANCELED,)),)),
    Row(
        R.CANCEL_NOT_ALLOWED,
        "the last minutes of an auction",
        given=(session(Session.AUCTION, no_cancel=True),),
    ),
]

REPLACE = [
    *CANCEL[:-1],
    Row(R.SESSION_CLOSED, "the market is closed", given=(session(Session.CLOSED),)),
    CANCEL[-1],
    Row(R.INVALID_COMBINATION, "a stop price for what is no stop", {"stop_price": 1_000}),
    Row(R.QUANTITY_NOT_IN_LOTS, "31 where 10 are traded", {"quantity": 31}),
    Row(R.PRICE_NOT_ON_TICK, "996 where steps of 5 are traded", {"price": 996}),
    Row(R.ALREADY_FILLED, "10 of which 10 are done", {"quantity": 10}, (order(102, 301, SELL, 10, 990),)),
    Row(R.PRICE_OUTSIDE_BAND, "1,105 where 1,100 is the limit of the day", {"price": 1_105}),
    Row(R.OVERFLOW, "more money than there can be", {"quantity": 10**16}),
    Row(R.ACCOUNT_CLOSED, "the cash account has been closed", given=(closed(CASH_1),)),
    Row(R.ACCOUNT_FROZEN, "the cash account is frozen", given=(frozen(CASH_1),)),
    Row(R.INSUFFICIENT_FUNDS, "more than the account has", {"quantity": 1_010}),
]

TRADE = (order(101, 400, BUY, 20, 990), order(102, 301, SELL, 20, 990))
FUTURES_TRADE = (order(101, 410, BUY, 2, 6_000, symbol="PTA"), order(102, 311, SELL, 2, 6_000, symbol="PTA"))
CLOSING_TRADE = (order(102, 312, BUY, 2, 6_000, symbol="PTA"), order(101, 411, SELL, 2, 6_000, symbol="PTA"))

BUST = [
    Row(R.UNKNOWN_TRADE, "a trade that does not exist", {"trade_id": 9}),
    Row(R.TRADE_BUSTED, "a trade that has been taken back", given=(("bust_trades", ((1, 0),)),)),
    Row(R.TRADE_SETTLED, "a trade of yesterday", given=(day(20260106),)),
    Row(R.PRICE_NOT_ON_TICK, "a correction to 991", {"price": 991}),
    Row(R.ACCOUNT_CLOSED, "the seller has closed the cash account", given=(closed(CASH_2),)),
    Row(R.ACCOUNT_FROZEN, "the seller's cash account is frozen", given=(frozen(CASH_2),)),
    Row(R.INSUFFICIENT_FUNDS, "the seller has spent the money", given=(taken(CASH_2, 1_010_000),)),
    Row(R.INSUFFICIENT_HOLDINGS, "the buyer has moved the asset away", given=(taken(COINS_1, 110, COINS),)),
]
"""About trade 1: 101 has bought 20 at 990 of 102."""

DAY = [
    Row(R.DATE_NOT_LATER, "the day that it is", {"date": 20260105}),
    Row(R.UNKNOWN_INSTRUMENT, "a settlement price of an instrument that does not exist", {"prices": (("GONE", 5),)}),
    Row(R.PRICE_NOT_ON_TICK, "a settlement price that is not on the tick", {"prices": (("PTA", 6_001),)}),
]
"""After the day 2026-01-05 has begun; the day after would be accepted."""


class Ending(NamedTuple):
    """An order that was accepted, and why it ended. The last execution is the one that tells."""

    reason: Reason
    words: str
    steps: Steps


ENDINGS = [
    Ending(R.NONE, "its owner cancels it", (OWNER, ("cancel_orders", (CANCELED,)))),
    Ending(R.MASS_CANCEL, "all orders are canceled", (OWNER, ("mass_cancel", (MassCancel(),)))),
    Ending(
        R.SESSION_ENDED,
        "its session has ended",
        (order(101, 400, BUY, 20, 990, session=7), ("mass_cancel", (MassCancel(session=7),))),
    ),
    Ending(R.END_OF_DAY, "good for the day, and the day ends", (OWNER, day(20260106))),
    Ending(
        R.SELF_TRADE,
        "it would meet an order of its own account",
        (
            order(101, 401, SELL, 10, 990),
            order(101, 400, BUY, 20, 990, self_trade_prevention=SelfTradePrevention.CANCEL_NEWEST),
        ),
    ),
    Ending(
        R.NO_LIQUIDITY,
        "what is left of a market order",
        (order(102, 300, SELL, 10, 1_000), order(101, 400, BUY, 20, 0, type=OrderType.MARKET)),
    ),
    Ending(
        R.CIRCUIT_BREAKER,
        "immediate-or-cancel, and the next trade would be too far away",
        (
            order(102, 300, SELL, 10, 1_011, symbol="HALT"),
            order(101, 400, BUY, 20, 1_011, symbol="HALT", time_in_force=TimeInForce.IOC),
        ),
    ),
    Ending(
        R.ACCOUNT_FROZEN,
        "its account has been frozen before it traded",
        (OWNER, frozen(CASH_1), order(102, 300, SELL, 10, 990, time_in_force=TimeInForce.IOC)),
    ),
    Ending(
        R.ACCOUNT_CLOSED,
        "its account has been closed before it traded",
        (OWNER, closed(COINS_1, COINS), order(102, 300, SELL, 10, 990, time_in_force=TimeInForce.IOC)),
    ),
]

LIMITS = {r for r in Reason if R.MAX_QUANTITY <= r <= R.SUITABILITY or R.NET_EXPOSURE <= r <= R.RISK_FAILED}
"""Reasons of limits on risk, whose cases are in tests/engine/risk."""
