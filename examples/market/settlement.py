"""Who trades in a replay, what it costs them, and what the ledger must say afterwards.

All buys come from one trading account and all sells from another, so that a trade is always between the two.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from engine.order_results import TransferCode

MONEY, GOODS = 840, 1
"""Ledgers of what is paid with and of what is traded."""

CENTRAL_BANK, REGISTRAR, FEES = 1, 2, 3
"""Accounts that the money and the goods come from, and the one that fees go to."""
BUYER, SELLER = 10, 20
"""Trading accounts. Their ledger accounts are one more (money) and two more (goods)."""
FUNDS: Final = 10**16
"""What each of them is given of both."""


@dataclass(frozen=True, slots=True)
class Terms:
    """Terms of the instrument; the fees are made up, and there to be settled."""

    symbol: str
    tick_size: int = 1
    price_scale: int = 1
    maker_fee_ppm: int = 20
    taker_fee_ppm: int = 30
    sell_duty_ppm: int = 22


@dataclass(slots=True)
class Books:
    """What has been traded, and what follows from it."""

    balances: dict[int, int] = field(default_factory=dict)
    """Credits less debits of every account."""
    transfers: dict[int, tuple[int, int]] = field(default_factory=dict)
    """For each code of generated transfers, how many there are and their sum."""


def account_of(trader: int, ledger: int) -> int:
    """Give the ledger account of a trading account."""
    return trader + (1 if ledger == MONEY else 2)


def half_even(dividend: int, divisor: int) -> int:
    """Divide; a half goes to the even neighbour."""
    whole, rest = divmod(dividend, divisor)
    return whole + (2 * rest > divisor or (2 * rest == divisor and whole % 2 == 1))


def expected(terms: Terms, trades: Iterable[tuple[int, int, bool]]) -> Books:
    """Give the books after trades of (price, quantity, whether the order that rested was the seller's).

    For orders whose hold for fees is never short, so that each fill is charged what the rates say.
    """
    books = Books()
    accounts = [account_of(trader, ledger) for trader in (BUYER, SELLER) for ledger in (MONEY, GOODS)]
    books.balances = dict.fromkeys(accounts, FUNDS) | {CENTRAL_BANK: -2 * FUNDS, REGISTRAR: -2 * FUNDS, FEES: 0}
    buyer, seller = account_of(BUYER, MONEY), account_of(SELLER, MONEY)
    for price, quantity, seller_rested in trades:
        notional = half_even(price * quantity, terms.price_scale)
        fees = terms.maker_fee_ppm, terms.taker_fee_ppm
        seller_fee, buyer_fee = fees if seller_rested else reversed(fees)
        _move(books, TransferCode.TRADE_CASH, buyer, seller, notional)
        _move(books, TransferCode.TRADE_ASSET, account_of(SELLER, GOODS), account_of(BUYER, GOODS), quantity)
        _move(books, TransferCode.TRADE_FEE, buyer, FEES, half_even(notional * buyer_fee, 1_000_000))
        _move(books, TransferCode.TRADE_FEE, seller, FEES, half_even(notional * seller_fee, 1_000_000))
        _move(books, TransferCode.TRADE_DUTY, seller, FEES, half_even(notional * terms.sell_duty_ppm, 1_000_000))
    return books


def _move(books: Books, code: TransferCode, debit: int, credit: int, amount: int) -> None:
    if amount:
        books.balances[debit] -= amount
        books.balances[credit] += amount
        count, total = books.transfers.get(code, (0, 0))
        books.transfers[code] = count + 1, total + amount


def differences(books: Books, accounts: Iterable[Any], transfers: dict[int, tuple[int, int]]) -> list[str]:
    """Compare with what the ledger says: account views after every order has been canceled, transfers by code."""
    wrong = []
    found = {int(view["id"]): view for view in accounts}
    for account, balance in books.balances.items():
        view = found.get(account)
        if view is None:
            wrong.append(f"account {account} is missing")
            continue
        ours = int(view["credits_posted"]) - int(view["debits_posted"])
        held = int(view["debits_pending"]), int(view["credits_pending"])
        if ours != balance:
            wrong.append(f"account {account}: a balance of {ours}, not {balance}")
        if held != (0, 0):
            wrong.append(f"account {account}: {held} is still held")
    wrong += [
        f"transfers {code}: {transfers.get(code)}, not {books.transfers.get(code)} (number, sum)"
        for code in sorted(books.transfers.keys() | transfers.keys())
        if transfers.get(code) != books.transfers.get(code)
    ]
    return wrong
