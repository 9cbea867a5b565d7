"""What request number `n` of desk `c` is: orders, and what makes the market. A pure function, as in `workload`.

Desks trade four instruments with each other: a coin that never closes, the same coin behind a circuit breaker, a share
with T+1, fees and bands, and a future with margin. Each has its own trading accounts; one of these is poor, and two of
different desks share their cash. The first desk runs the market, too: auctions with and without cancels, ends of the
day. All of it is in ledgers of its own, which the transfers of the other clients do not touch.
"""

import datetime
from collections.abc import Sequence
from functools import lru_cache
from random import Random
from typing import Any, Final

from tests.crash.workload import Request, id_of

CASH, COIN, SHARE, FUTURE = 901, 902, 903, 904
LEDGERS: Final = frozenset({CASH, COIN, SHARE, FUTURE})
SYMBOLS: Final = ("COIN", "COIN.B", "SHARE", "TA701")
PRICES: Final = {"COIN": 10_000, "COIN.B": 10_000, "SHARE": 1_000, "TA701": 600_000}
TICKS: Final = {"COIN": 3, "COIN.B": 20, "SHARE": 2, "TA701": 200}
"""Steps of the prices that desks name: multiples of the tick."""
LOTS: Final = {"COIN": 1, "COIN.B": 1, "SHARE": 100, "TA701": 1}

DESKS_FROM: Final = 50
"""Clients with this number and higher (below the readers) are desks."""
DESKS_MAX: Final = 4
ACCOUNTS_EACH: Final = 3
ACCOUNTS: Final = range(7_001, 7_001 + DESKS_MAX * ACCOUNTS_EACH)
POOR: Final = 7_002
SHARED_CASH: Final = {7_004: 7_001}
"""Trading accounts that use the cash of another one."""
HOUSE: Final = {CASH: 700_000, COIN: 700_001, SHARE: 700_002}
FEES: Final = 700_003

NANOSECONDS_EACH: Final = (4_000_000, 16_000_000)
"""About the time that one request takes in a run, restarts included, at least and at most: expire times follow from
it, so that some are met, some never, and some have passed."""
SECOND: Final = 1_000_000_000

CHANNEL: Final = "desk"
KEY: Final = "tbk_the-desk-of-the-crash-test"

PATTERN: Final = {
    "limit": 16,
    "several": 4,
    "market": 3,
    "at_once": 3,
    "stop": 3,
    "iceberg": 2,
    "good_till": 4,
    "post_only": 1,
    "cancel": 7,
    "cancel_some": 2,
    "replace": 6,
    "mass_cancel": 1,
    "cash": 3,
    "freeze": 1,
    "bust": 2,
    "correct": 1,
    "read_executions": 4,
    "read_orders": 3,
}
"""How many of each kind stand in one round of a desk's pattern, which the seed shuffles."""
SUBMITS: Final = frozenset({"limit", "several", "market", "at_once", "stop", "iceberg", "good_till", "post_only"})
MARKET: Final = {10: "auction", 24: "continuous", 40: "pre_open", 46: "continuous"}
"""What the first desk's pattern has besides, and where."""
DAY: Final = ("day", *("morning",) * len(SYMBOLS))
"""How each round of its pattern ends."""

LIMITS: Final = (
    {"scope": "default", "open_orders": 40, "order_to_trade_free": 500, "order_to_trade": 20},
    {"scope": "account", "id": POOR, "max_notional": 150_000, "order_rate": 20, "order_burst": 30},
    {"scope": "instrument", "id": "COIN", "price_collar": 1_500},
    {"scope": "instrument", "id": "SHARE", "max_quantity": 600},
    {"scope": "account", "id": 7_005, "gross_exposure": 30_000_000, "daily_loss": 200_000, "duplicate_order": 10**9},
)
"""What orders are held to, so that some are refused: the log has verdicts."""

WRITES: Final = frozenset(
    {"submit_orders", "cancel_orders", "replace_orders", "mass_cancel", "set_session", "end_of_day", "bust_trades",
     "correct_trades", "update_accounts"}
)  # fmt: skip
"""Methods whose replies are held against the log."""


def ledger_account(account: int, ledger: int) -> int:
    """Return which ledger account a trading account uses."""
    if ledger == CASH:
        account = SHARED_CASH.get(account, account)
    return account * 100 + ledger - 900


def accounts_of(desk: int) -> Sequence[int]:
    """Return the trading accounts of a client."""
    first = (desk - DESKS_FROM) * ACCOUNTS_EACH
    return ACCOUNTS[first : first + ACCOUNTS_EACH]


def is_desk(client: int) -> bool:
    """Whether a client is a desk."""
    return DESKS_FROM <= client < DESKS_FROM + DESKS_MAX


def topics_of(client: int) -> list[str]:
    """Return what a client subscribes to: the first desk to everything, the others to their own accounts."""
    if not is_desk(client):
        return []
    if client == DESKS_FROM:
        return ["executions"]
    return [f"executions:{account}" for account in accounts_of(client)]


def guarded(client: int) -> bool:
    """Whether the orders of a desk go with its connection."""
    return is_desk(client) and (client - DESKS_FROM) % 2 == 1


# --- before the clients start -------------------------------------------------------------------------


def set_up(*, limited_orders: bool = True) -> list[tuple[str, Any]]:
    """Return the requests that make the market."""
    limited = ["debits_must_not_exceed_credits"]
    owned = sorted({(ledger_account(account, ledger), ledger) for account in ACCOUNTS for ledger in HOUSE})
    fees = {"maker_fee_ppm": 200, "taker_fee_ppm": 500, "fee_account_id": FEES, "quote_ledger": CASH}
    instruments = [
        {"instrument": "COIN", "base_ledger": COIN, "profile": "crypto-spot", "price_scale": 10, **fees},
        {"instrument": "COIN.B", "base_ledger": COIN, "profile": "crypto-spot", "price_scale": 10,
         "reference_price": PRICES["COIN.B"], "circuit_breaker_ppm": 8_000, **fees},
        {"instrument": "SHARE", "base_ledger": SHARE, "profile": "a-share", "reference_price": PRICES["SHARE"], **fees},
        {"instrument": "TA701", "base_ledger": FUTURE, "profile": "zce-futures.TA",
         "reference_price": PRICES["TA701"], **fees},
    ]  # fmt: skip
    return [
        (
            "create_accounts",
            [
                *({"id": account, "ledger": ledger, "code": 1} for ledger, account in HOUSE.items()),
                {"id": FEES, "ledger": CASH, "code": 2},
                *({"id": account, "ledger": ledger, "code": 3, "flags": limited} for account, ledger in owned),
            ],
        ),
        ("create_instruments", instruments),
        (
            "create_trading_accounts",
            [
                {"id": account, "accounts": {str(ledger): ledger_account(account, ledger) for ledger in HOUSE}}
                for account in ACCOUNTS
            ],
        ),
        (
            "create_transfers",
            [
                _move(
                    f"00000000-0000-4000-8001-{account:012d}", HOUSE[ledger], account, _funds(account, ledger), ledger
                )
                for account, ledger in owned
            ],
        ),
        *(("set_session", {"instrument": symbol, "state": "continuous"}) for symbol in SYMBOLS),
        *([("set_limits", list(LIMITS))] if limited_orders else []),
    ]


def _funds(account: int, ledger: int) -> int:
    if account == ledger_account(POOR, CASH):
        return 400_000
    return {CASH: 40_000_000, COIN: 2_000, SHARE: 40_000}[ledger]


def _move(id_: str, debit: int, credit: int, amount: int, ledger: int) -> dict[str, Any]:
    return {
        "id": id_,
        "debit_account_id": debit,
        "credit_account_id": credit,
        "amount": amount,
        "ledger": ledger,
        "code": 20,
    }


# --- the requests of a desk ---------------------------------------------------------------------------


class DeskWorkload:
    """The requests of one desk."""

    def __init__(self, seed: int, client: int, begun: int) -> None:
        """`begun`: when the run began, nanoseconds."""
        self._seed = seed
        self._client = client
        self._begun = begun
        self._accounts = accounts_of(client)
        pattern = [kind for kind, count in PATTERN.items() for _ in range(count)]
        Random(f"{seed}:{client}").shuffle(pattern)
        if client == DESKS_FROM:
            for place, kind in MARKET.items():
                pattern.insert(place, kind)
            pattern += DAY
        self._pattern = pattern
        self.round = len(pattern)
        self._submits = [place for place, kind in enumerate(pattern) if kind in SUBMITS]
        self.request = lru_cache(8 * self.round)(self._request)

    def kind(self, n: int) -> str:
        """Kind of request n."""
        return self._pattern[n % self.round]

    def _request(self, n: int) -> Request:
        kind = self.kind(n)
        random = Random(f"{self._seed}:{self._client}:{n}")
        if kind in SUBMITS:
            return Request(kind, "submit_orders", getattr(self, f"_{kind}")(n, random))
        method, params = getattr(self, f"_{kind}")(n, random)
        return Request(kind, method, params)

    # --- orders

    def _order(self, n: int, item: int, random: Random, **more: Any) -> dict[str, Any]:
        symbol = more.get("instrument") or random.choice(SYMBOLS)
        off = random.randint(-6, 6)
        order = {
            "client_order_id": id_of(self._seed, self._client, n, item),
            "account_id": random.choice(self._accounts),
            "instrument": symbol,
            "side": random.choice(["buy", "sell"]),
            "type": "limit",
            "quantity": random.randint(1, 8) * LOTS[symbol],
            "price": PRICES[symbol] + off * TICKS[symbol],
            "time_in_force": random.choice(["day", "gtc"]),
            "self_trade_prevention": random.choice(
                ["none", "cancel_newest", "cancel_oldest", "cancel_both", "decrement"]
            ),
        }
        if symbol == "TA701" and random.random() < 0.5:
            order["offset"] = random.choice(["open", "close", "close_today"])
        return {name: value for name, value in (order | more).items() if value is not None}

    def _limit(self, n: int, random: Random) -> list[dict[str, Any]]:
        return [self._order(n, 0, random)]

    def _several(self, n: int, random: Random) -> list[dict[str, Any]]:
        orders = [self._order(n, item, random) for item in range(random.randint(2, 12))]
        if random.random() < 0.2:
            orders.append(dict(orders[0]))  # known already when its turn comes
        if random.random() < 0.2:
            orders.append(self._order(n, 99, random, quantity=0))
        return orders

    def _market(self, n: int, random: Random) -> list[dict[str, Any]]:
        tif = random.choice(["day", "ioc", "fok"])
        return [self._order(n, 0, random, type="market", price=None, time_in_force=tif)]

    def _at_once(self, n: int, random: Random) -> list[dict[str, Any]]:
        return [self._order(n, 0, random, time_in_force=random.choice(["ioc", "fok"]))]

    def _stop(self, n: int, random: Random) -> list[dict[str, Any]]:
        symbol = random.choice(SYMBOLS)
        more: dict[str, Any] = {
            "type": "stop_limit",
            "stop_price": PRICES[symbol] + random.randint(-8, 8) * TICKS[symbol],
        }
        if random.random() < 0.5:
            more |= {"type": "stop", "price": None}
        return [self._order(n, 0, random, instrument=symbol, **more)]

    def _iceberg(self, n: int, random: Random) -> list[dict[str, Any]]:
        order = self._order(n, 0, random)
        lot = LOTS[order["instrument"]]
        return [order | {"quantity": 12 * lot, "display_quantity": random.randint(1, 5) * lot}]

    def _good_till(self, n: int, random: Random) -> list[dict[str, Any]]:
        """Away from the market, so that it is still there when its time comes."""
        expire_time = self._begun + n * random.randint(*NANOSECONDS_EACH) + random.randint(1, 4 * SECOND)
        order = self._order(n, 0, random, time_in_force="gtd", expire_time=expire_time)
        symbol, off = order["instrument"], random.randint(6, 9) * (1 if order["side"] == "sell" else -1)
        return [order | {"price": PRICES[symbol] + off * TICKS[symbol]}]

    def _post_only(self, n: int, random: Random) -> list[dict[str, Any]]:
        return [self._order(n, 0, random, post_only=True)]

    # --- what becomes of them

    def earlier(self, n: int, random: Random) -> dict[str, Any]:
        """Return an order of this round of the pattern, or of the one before."""
        base = n - n % self.round
        places = [base - self.round + place for place in self._submits if base >= self.round]
        places += [base + place for place in self._submits if base + place < n]
        place = random.choice(places[-20:] if random.random() < 0.7 else places) if places else self._submits[0]
        order: dict[str, Any] = random.choice(self.request(place).params)
        return order

    def _about(self, n: int, random: Random) -> dict[str, Any]:
        order = self.earlier(n, random)
        return {"account_id": order["account_id"], "client_order_id": order["client_order_id"]}

    def _cancel(self, n: int, random: Random) -> tuple[str, Any]:
        return "cancel_orders", [self._about(n, random)]

    def _cancel_some(self, n: int, random: Random) -> tuple[str, Any]:
        return "cancel_orders", [self._about(n, random) for _ in range(random.randint(2, 6))]

    def _replace(self, n: int, random: Random) -> tuple[str, Any]:
        order = self.earlier(n, random)
        item = {"account_id": order["account_id"], "client_order_id": order["client_order_id"]}
        symbol = order["instrument"]
        if random.random() < 0.7:
            item["quantity"] = random.randint(1, 10) * LOTS[symbol]
        if random.random() < 0.5:
            item["price"] = PRICES[symbol] + random.randint(-6, 6) * TICKS[symbol]
        if order["type"].startswith("stop") and random.random() < 0.5:
            item["stop_price"] = PRICES[symbol] + random.randint(-8, 8) * TICKS[symbol]
        return "replace_orders", [item]

    def _mass_cancel(self, n: int, random: Random) -> tuple[str, Any]:
        conditions: dict[str, Any] = {"account_id": random.choice(self._accounts)}
        if random.random() < 0.5:
            conditions["instrument"] = random.choice(SYMBOLS)
        if random.random() < 0.5:
            conditions["side"] = random.choice(["buy", "sell"])
        return "mass_cancel", conditions

    # --- money and trades

    def _cash(self, n: int, random: Random) -> tuple[str, Any]:
        """In or out; out is refused when it is held or spent."""
        ledger = random.choice(list(HOUSE))
        account, house = ledger_account(random.choice(self._accounts), ledger), HOUSE[ledger]
        amount = random.randint(1, 200_000 if ledger == CASH else 200)
        debit, credit = (house, account) if random.random() < 0.5 else (account, house)
        return "create_transfers", [_move(id_of(self._seed, self._client, n, 0), debit, credit, amount, ledger)]

    def _freeze(self, n: int, random: Random) -> tuple[str, Any]:
        account = ledger_account(self._accounts[2], random.choice([CASH, SHARE]))
        return "update_accounts", [{"id": account, "frozen": random.random() < 0.3}]

    def _trade(self, n: int, random: Random) -> int:
        """One of the newest, as far as can be told from n alone."""
        return random.randint(1 + n * 6 // 10, 8 + n * 8 // 10)

    def _bust(self, n: int, random: Random) -> tuple[str, Any]:
        return "bust_trades", [{"trade_id": self._trade(n, random)}]

    def _correct(self, n: int, random: Random) -> tuple[str, Any]:
        price = PRICES[random.choice(SYMBOLS)]
        return "correct_trades", [{"trade_id": self._trade(n, random), "price": price}]

    # --- the market

    def _of_round(self, n: int) -> Random:
        return Random(f"{self._seed}:{self._client}:round:{n // self.round}")

    def _auction(self, n: int, _: Random) -> tuple[str, Any]:
        of_round = self._of_round(n)
        params = {"instrument": of_round.choice(SYMBOLS), "state": "auction", "cancels": of_round.random() < 0.6}
        return "set_session", params

    def _continuous(self, n: int, _: Random) -> tuple[str, Any]:
        return "set_session", {"instrument": self._of_round(n).choice(SYMBOLS), "state": "continuous"}

    def _pre_open(self, n: int, _: Random) -> tuple[str, Any]:
        state = "halted" if self._of_round(n + self.round).random() < 0.3 else "pre_open"
        return "set_session", {"instrument": self._of_round(n).choice(SYMBOLS), "state": state}

    def _day(self, n: int, random: Random) -> tuple[str, Any]:
        date = datetime.date(2026, 1, 1) + datetime.timedelta(days=n // self.round)
        params: dict[str, Any] = {"business_date": int(date.strftime("%Y%m%d"))}
        if random.random() < 0.5:
            params["settlement_prices"] = {"TA701": PRICES["TA701"] + random.randint(-10, 10) * TICKS["TA701"]}
        return "end_of_day", params

    def _morning(self, n: int, _: Random) -> tuple[str, Any]:
        return "set_session", {"instrument": SYMBOLS[n % len(SYMBOLS)], "state": "continuous"}

    # --- reads

    def _read_executions(self, n: int, random: Random) -> tuple[str, Any]:
        return "get_executions", {"account_id": random.choice(self._accounts), "limit": 1, "reversed": True}

    def _read_orders(self, n: int, random: Random) -> tuple[str, Any]:
        return "get_orders", {"account_id": random.choice(self._accounts), "limit": 2, "reversed": True}
