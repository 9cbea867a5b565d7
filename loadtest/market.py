"""The market of the shared workload: who trades what, and orders as pure functions of seed and number.

Two kinds of order traffic. `flow`: rest, replace, cancel and take, in the mix that public exchanges show (45 % new,
45 % canceled, 6 % replaced, 3 % aggressive). `quotes`: a market maker with one bid and one ask, replaced over and over.
A cancel or replace names the order by its `client_order_id`, which is known before any reply: so all of it can be
pipelined.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from loadtest.stretches import USERS_MAX, drawn
from loadtest.workload import ACCOUNT_CODE, LEDGER

TRADER_FIRST = 2_000_000_000
CASH_FIRST = 3_000_000_000
HOLDING_FIRST = 4_000_000_000
BANK_FIRST = 5_000_000_000
"""Where the money (+ 0) and the holdings (+ 1 + instrument) of the traders come from."""
BASE_LEDGER_FIRST = 10_001
FUNDING_CODE = 11

INSTRUMENTS_MAX = 16
TRADERS_MAX = 1 << 16
PROCESS_STEP = 37
CASH = 10**13
HOLDING = 10**12
"""Enough for ten million trades of the greatest size that all go the same way; all traders together stay below 2^63."""

PRICE = 10_000
QUANTITY_MAX = 100
PASSIVE_TICKS = 100
AGGRESSIVE_TICKS = 2 * PASSIVE_TICKS
"""Beyond every resting order, so that it trades with whatever there is."""

FLOW_BLOCK = 64
QUOTES_BLOCK = 32
QUOTE_TICKS = 20
"""A maker's quotes lie at least so far from the middle, and at most twice as far."""

Item = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Command:
    """One item of an order request, and the method that takes it."""

    method: str
    item: Item


@dataclass(frozen=True, slots=True)
class Market:
    """Equal values make equal set-ups and equal orders; the seed changes the orders only."""

    seed: int = 1
    instruments: int = 4
    traders: int = 256

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 2**63:
            raise ValueError(f"seed: {self.seed} is not between 0 and 2^63 - 1")
        if not 1 <= self.instruments <= INSTRUMENTS_MAX:
            raise ValueError(f"instruments: {self.instruments} is not between 1 and {INSTRUMENTS_MAX}")
        if not 1 <= self.traders <= TRADERS_MAX:
            raise ValueError(f"traders: {self.traders} is not between 1 and {TRADERS_MAX}")

    # --- set-up: the same requests again change nothing ---------------------------------------------

    def accounts(self) -> Iterator[Item]:
        """The ledger accounts; those of all 16 instruments, so that a run with more of them finds theirs."""
        for index, ledger in enumerate(self.ledgers()):
            yield {"id": BANK_FIRST + index, "ledger": ledger, "code": ACCOUNT_CODE}
        for trader in range(self.traders):
            for ledger, account in self.accounts_of(trader).items():
                yield {"id": account, "ledger": ledger, "code": ACCOUNT_CODE}

    def funding(self) -> Iterator[Item]:
        """What the traders begin with. The ids do not depend on the seed: nobody is paid twice."""
        for trader in range(self.traders):
            for index, (ledger, account) in enumerate(self.accounts_of(trader).items()):
                yield {
                    "id": str(uuid5(NAMESPACE_URL, f"tongbao/loadtest/funding/{ledger}/{account}")),
                    "debit_account_id": BANK_FIRST + index,
                    "credit_account_id": account,
                    "amount": HOLDING if index else CASH,
                    "ledger": ledger,
                    "code": FUNDING_CODE,
                }

    def listed(self) -> Iterator[Item]:
        """The instruments."""
        for index in range(self.instruments):
            yield {
                "instrument": symbol(index),
                "base_ledger": BASE_LEDGER_FIRST + index,
                "quote_ledger": LEDGER,
                "tick_size": 1,
                "lot_size": 1,
            }

    def trading_accounts(self) -> Iterator[Item]:
        """Who trades."""
        for trader in range(self.traders):
            accounts = {str(ledger): account for ledger, account in self.accounts_of(trader).items()}
            yield {"id": TRADER_FIRST + trader, "accounts": accounts}

    @staticmethod
    def ledgers() -> list[int]:
        """The quote ledger and then the base ledgers."""
        return [LEDGER, *range(BASE_LEDGER_FIRST, BASE_LEDGER_FIRST + INSTRUMENTS_MAX)]

    def accounts_of(self, trader: int) -> dict[int, int]:
        """The ledger accounts of a trader by ledger, in the order of `ledgers`."""
        holdings = {
            BASE_LEDGER_FIRST + index: HOLDING_FIRST + index * TRADERS_MAX + trader for index in range(INSTRUMENTS_MAX)
        }
        return {LEDGER: CASH_FIRST + trader, **holdings}

    def trading_account(self, user: int) -> int:
        """The trading account that a user acts for; the first users of different processes have different ones."""
        process, own = divmod(user, USERS_MAX)
        return TRADER_FIRST + (own + process * PROCESS_STEP) % self.traders

    # --- orders -------------------------------------------------------------------------------------

    def flow(self, number: int, account: int) -> Command:
        """Item `number` of the order flow of a trading account.

        Of each 64, the first half enters what the second half cancels, in the same order.
        """
        half, place = divmod(number % FLOW_BLOCK, FLOW_BLOCK // 2)
        begin = number - number % FLOW_BLOCK
        if place == FLOW_BLOCK // 2 - 1:
            return self.order(number, account, begin, AGGRESSIVE_TICKS, aggressive=True)
        if place in {10, 20}:
            # In the first half an order of a moment ago, in the second one that is about to be canceled.
            target = begin + (place + 5 if half else place - 5)
            return self.replaced(number, target, account, PASSIVE_TICKS)
        if half:
            return canceled(self.client_order_id(begin + place), account)
        return self.order(number, account, begin, PASSIVE_TICKS)

    def quotes(self, number: int, account: int) -> Command:
        """Item `number` of a market maker: of each 32 the first two enter bid and ask, the last two cancel them."""
        place = number % QUOTES_BLOCK
        begin = number - place
        if place < 2:
            return self.order(number, account, begin, QUOTE_TICKS, nearest=QUOTE_TICKS, buy=place == 0)
        if place >= QUOTES_BLOCK - 2:
            return canceled(self.client_order_id(begin + place % 2), account)
        return self.replaced(number, begin + place % 2, account, QUOTE_TICKS, nearest=QUOTE_TICKS, buy=place % 2 == 0)

    def client_order_id(self, number: int) -> str:
        """The id under which item `number` enters an order."""
        return str(drawn(self.seed, number)[0])

    def buys(self, number: int) -> bool:
        """Whether item `number`, if it enters an order of the flow, buys."""
        return drawn(self.seed, number)[2] & 1 == 0

    def order(
        self,
        number: int,
        account: int,
        begin: int,
        ticks: int,
        *,
        nearest: int = 1,
        buy: bool | None = None,
        aggressive: bool = False,
    ) -> Command:
        """A new order; the block that begins at `begin` trades one instrument."""
        identifier, _, bits = drawn(self.seed, number)
        buy = bits & 1 == 0 if buy is None else buy
        price = rest(bits, ticks, nearest, buy)
        if aggressive:
            price = PRICE + ticks if buy else PRICE - ticks
        item: Item = {
            "client_order_id": str(identifier),
            "account_id": account,
            "instrument": symbol(drawn(self.seed, begin)[2] % self.instruments),
            "side": "buy" if buy else "sell",
            "type": "limit",
            "quantity": 1 + (bits >> 1) % QUANTITY_MAX,
            "price": price,
        }
        if aggressive:
            item["time_in_force"] = "ioc"
        return Command("submit_orders", item)

    def replaced(
        self, number: int, target: int, account: int, ticks: int, *, nearest: int = 1, buy: bool | None = None
    ) -> Command:
        """Another price for the order that item `target` entered, on its own side."""
        buy = self.buys(target) if buy is None else buy
        price = rest(drawn(self.seed, number)[2], ticks, nearest, buy)
        item = {"account_id": account, "client_order_id": self.client_order_id(target), "price": price}
        return Command("replace_orders", item)


def symbol(index: int) -> str:
    """The symbol of an instrument."""
    return f"LOAD{index + 1:02}"


def rest(bits: int, ticks: int, nearest: int, buy: bool) -> int:
    """A price on the passive side of the middle."""
    away = nearest + (bits >> 20) % ticks
    return PRICE - away if buy else PRICE + away


def canceled(client_order_id: str, account: int) -> Command:
    """A cancel."""
    return Command("cancel_orders", {"account_id": account, "client_order_id": client_order_id})
