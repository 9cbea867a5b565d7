"""A small market for tests of limits: two desks, three trading accounts, a share and a future."""

from typing import Any

import numpy as np
import numpy.typing as npt

from engine import (
    ACCOUNT_COMMAND,
    INSTRUMENT_COMMAND,
    LINK_COMMAND,
    ORDER_COMMAND,
    TRADING_ACCOUNT_COMMAND,
    TRANSFER_COMMAND,
    Engine,
    Limits,
)
from engine._core import risk_records
from engine.order_results import InstrumentFlag, Session, Side

LIMITS = Limits(1_000, 10_000, 1_000, 20_000, orders_max=1_000, open_orders_max=1_000, trades_max=1_000)
MONEY, SHARES, TONS, FEES = 156, 600, 700, 9
FUNDS, HOLDINGS = 1_000_000_000, 10_000
TRADERS = {1: ("north", "wang"), 2: ("north", "li"), 3: ("south", "wang")}
"""Desk and client of each trading account."""
NAMES = risk_records.LIMITS.names or ()
SCOPES = ("account", "desk", "client", "instrument", "default", "approval")
SECOND = 1_000_000_000

Records = npt.NDArray[Any]


def words(text: str) -> list[int]:
    """Text of up to 24 characters as three words."""
    raw = text.encode("ascii").ljust(24, b"\0")
    return [int.from_bytes(raw[place : place + 8], "little") for place in (0, 8, 16)]


def put(records: Records, name: str, text: str) -> None:
    for number, word in enumerate(words(text)):
        records[f"{name}_{number}"] = word


class Desk:
    """An engine, and its commands in short."""

    def __init__(self) -> None:
        self.engine = Engine(LIMITS)
        self.now = SECOND
        self._orders = 0
        accounts = np.zeros(3 + 3 * len(TRADERS), ACCOUNT_COMMAND)
        accounts["id"] = [1, 2, FEES, *(100 * trader + kind for trader in TRADERS for kind in range(3))]
        accounts["ledger"] = [MONEY, SHARES, MONEY, *([MONEY, SHARES, TONS] * len(TRADERS))]
        accounts["code"] = 1
        self.engine.create_accounts(accounts, self.tick())
        for trader in TRADERS:
            self.pay(1, 100 * trader, FUNDS, MONEY)
            self.pay(2, 100 * trader + 1, HOLDINGS, SHARES)
        terms = np.zeros(2, INSTRUMENT_COMMAND)
        put(terms[:1], "symbol", "SHARE")
        put(terms[1:], "symbol", "FUT")
        for name in ("tick_size", "lot_size", "price_scale"):
            terms[name] = 1
        terms["contract_size"], terms["base_ledger"], terms["quote_ledger"] = [1, 5], [SHARES, TONS], MONEY
        terms["maker_fee_ppm"], terms["taker_fee_ppm"], terms["fee_account_id"] = [1_000, 0], [2_000, 0], FEES
        terms["flags"], terms["session"] = [0, InstrumentFlag.FUTURES], Session.CONTINUOUS
        terms["reference_price"], terms["market_protection_ppm"] = [1_000, 0], 50_000
        self.engine.create_instruments(terms, self.tick())
        traders = np.zeros(len(TRADERS), TRADING_ACCOUNT_COMMAND)
        traders["id"] = list(TRADERS)
        for place, (desk, owner) in enumerate(TRADERS.values()):
            put(traders[place : place + 1], "desk", desk)
            put(traders[place : place + 1], "owner", owner)
        traders["link_first"], traders["link_count"] = range(0, 3 * len(TRADERS), 3), 3
        links = np.zeros(3 * len(TRADERS), LINK_COMMAND)
        links["ledger"] = [MONEY, SHARES, TONS] * len(TRADERS)
        links["account_id"] = [100 * trader + kind for trader in TRADERS for kind in range(3)]
        self.engine.create_trading_accounts(traders, links, self.tick())

    def tick(self, nanoseconds: int = 1_000) -> int:
        self.now = max(self.now, self.engine.last_timestamp) + nanoseconds
        return self.now

    def pay(self, debit: int, credit: int, amount: int, ledger: int) -> None:
        transfer = np.zeros(1, TRANSFER_COMMAND)
        transfer["id_lo"], transfer["debit_account_id"], transfer["credit_account_id"] = self.tick(), debit, credit
        transfer["amount"], transfer["ledger"], transfer["code"] = amount, ledger, 1
        (result,) = self.engine.create_transfers(transfer, self.tick())
        assert result["status"] == 0

    def order(self, trader: int, side: Side, quantity: int, price: int, symbol: str = "SHARE", **members: Any) -> Any:
        """Submit a limit order; its ORDER_RESULT."""
        command = np.zeros(1, ORDER_COMMAND)
        self._orders += 1
        command["client_order_id_lo"], command["account_id"], command["side"] = self._orders, trader, side
        command["quantity"], command["price"] = quantity, price
        put(command, "symbol", symbol)
        for name, value in members.items():
            command[name] = value
        results, _ = self.engine.submit_orders(command, self.tick())
        return results[0]

    def set(
        self, scope: str, id_: int | str = 0, *, instrument: str = "", actor: str = "ann", **values: int | None
    ) -> Any:
        """Set limits (None: take away); the RESULT."""
        command = np.zeros(1, risk_records.LIMITS_COMMAND)
        command["scope"], command["value_count"] = SCOPES.index(scope), len(values)
        self._target(command, id_)
        put(command, "symbol", instrument)
        put(command, "actor", actor)
        items = np.zeros(len(values), risk_records.LIMIT_VALUE)
        items["name"] = [NAMES.index(name) for name in values]
        items["value"] = [0 if value is None else value for value in values.values()]
        items["unset"] = [value is None for value in values.values()]
        return self.engine.set_limits(command, items, self.tick())[0]

    def approve(self, proposal: int, *, actor: str, yes: bool = True) -> int:
        command = np.zeros(1, risk_records.APPROVAL_COMMAND)
        command["proposal_id"], command["approve"] = proposal, yes
        put(command, "actor", actor)
        return int(self.engine.approve_limits(command, self.tick())[0]["status"])

    def kill(self, scope: str, id_: int | str = 0, *, on: bool = True) -> Any:
        command = np.zeros(1, risk_records.KILL_COMMAND)
        command["scope"], command["on"] = SCOPES.index(scope), on
        self._target(command, id_)
        return self.engine.kill_switch(command, self.tick())[0][0]

    def view(self, scope: str, id_: int | str = 0) -> Any:
        """The first LIMITS_VIEW of one group."""
        return self.views(scope, id_)[0]

    def views(self, scope: str, id_: int | str = 0) -> Records:
        wanted = np.zeros(1, risk_records.LIMITS_FILTER)
        wanted["scope"] = SCOPES.index(scope)
        self._target(wanted, id_)
        return self.engine.get_limits(wanted)

    def used(self, scope: str, id_: int | str = 0) -> dict[str, int]:
        """Exposures of one group that are not 0, without the times of messages."""
        exposure = self.view(scope, id_)["exposure"]
        names = [name for name in exposure.dtype.names if name not in {"second", "second_messages", "rate_due"}]
        return {name: int(exposure[name]) for name in names if exposure[name]}

    @staticmethod
    def _target(records: Records, id_: int | str) -> None:
        if isinstance(id_, int):
            records["id_0"] = id_
        else:
            put(records, "id", id_)
