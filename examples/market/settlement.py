"""Who trades in the replay, what it costs them, and what the ledger must say afterwards.

Two trading accounts: the maker owns every resting order, the taker every immediate-or-cancel order, so that a trade is always
between the two. The fees are made up; they are there to be settled.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from engine.order_results import TransferCode

DOLLARS: Final = 840
"""Ledger of the money, in 1/10,000 dollar as the data's prices are."""
SHARES: Final = 1
"""Ledger of the shares."""

CENTRAL_BANK, REGISTRAR, FEES = 1, 2, 3
"""Accounts that the money and the shares come from, and the one that fees go to."""
MAKER, TAKER = 10, 20
"""Trading accounts. Their ledger accounts are one more (dollars) and two more (shares)."""
FUNDS: Final = 10**15
"""What each of them is given of both."""

TICK, LOT = 100, 1
MAKER_FEE_PPM, TAKER_FEE_PPM, SELL_DUTY_PPM = 20, 30, 22


def account_of(trader: int, ledger: int) -> int:
    """Give the ledger account of a trading account."""
    return trader + (1 if ledger == DOLLARS else 2)


def share(notional: int, ppm: int) -> int:
    """Give `ppm` of an amount, rounded half to even."""
    whole, rest = divmod(notional * ppm, 1_000_000)
    return whole + (rest > 500_000 or (rest == 500_000 and whole % 2 == 1))


@dataclass(slots=True)
class Books:
    """What has been traded, and what follows from it."""

    trades: int = 0
    shares: int = 0
    balances: dict[int, int] = field(default_factory=dict)
    """Credits less debits of every account."""
    transfers: dict[int, tuple[int, int]] = field(default_factory=dict)
    """For each code of generated transfers, how many there are and their sum."""


def expected(trades: Iterable[tuple[int, int, bool]]) -> Books:
    """Give the books after trades of (price, quantity, whether the maker sells)."""
    books = Books()
    accounts = [account_of(trader, ledger) for trader in (MAKER, TAKER) for ledger in (DOLLARS, SHARES)]
    books.balances = dict.fromkeys(accounts, FUNDS) | {CENTRAL_BANK: -2 * FUNDS, REGISTRAR: -2 * FUNDS, FEES: 0}
    for price, quantity, maker_sells in trades:
        buyer, seller = (TAKER, MAKER) if maker_sells else (MAKER, TAKER)
        notional = price * quantity
        books.trades += 1
        books.shares += quantity
        _move(books, TransferCode.TRADE_CASH, account_of(buyer, DOLLARS), account_of(seller, DOLLARS), notional)
        _move(books, TransferCode.TRADE_ASSET, account_of(seller, SHARES), account_of(buyer, SHARES), quantity)
        for trader, ppm in ((MAKER, MAKER_FEE_PPM), (TAKER, TAKER_FEE_PPM)):
            _move(books, TransferCode.TRADE_FEE, account_of(trader, DOLLARS), FEES, share(notional, ppm))
        _move(books, TransferCode.TRADE_DUTY, account_of(seller, DOLLARS), FEES, share(notional, SELL_DUTY_PPM))
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
    for code in books.transfers.keys() | transfers.keys():
        if transfers.get(code) != books.transfers.get(code):
            wrong.append(f"transfers {code}: {transfers.get(code)}, not {books.transfers.get(code)} (number, sum)")
    return wrong
