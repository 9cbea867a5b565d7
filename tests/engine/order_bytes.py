"""Order commands made of bytes: valid records in which members are overwritten by whatever 64 bits may hold.

The wire never makes most of them, a log that was written by hand or a program that embeds the engine may. Nothing may
come of it but a refusal: after each batch the books, holds and sums must be in order, a second engine that gets the
log's record must come to the same state, and so must one that goes on from a snapshot.
"""

import tempfile
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from engine import Batch, CapacityError, Engine, log_record, order_requests, requests
from engine._core import order_records, records
from engine.order_results import InstrumentFlag, OrderStatus, Reason, Session
from tests.engine.trading_arrays import array, words
from tests.engine.trading_subjects import LIMITS
from tests.models.records import Account, Transfer, account_array, transfer_array

CASH, COIN, SHARE, FUTURE = 1, 2, 3, 4
SYMBOLS = ("COIN", "SHARE", "FUTURE", "BREAK")
TRADERS = (11, 12, 13, 14)
HUGE = 2**62
EDGES = (
    *(0, 1, 2, 99, 100, 101, 999, 2**16, 2**30 - 1, 2**30, 2**31, 2**32 - 1, 2**32, 10**15),
    *(2**61, 2**62, 2**63 - 2, 2**63 - 1, 2**63, 2**64 - 2, 2**64 - 1),
)
LARGEST = {
    "side": 1, "sides": 2, "type": 3, "time_in_force": 4, "self_trade_prevention": 4, "offset": 3, "session": 4,
    "state": 4, "reserved": 0, "reserved_2": 0,
}  # fmt: skip
"""Members that the embedding interface itself refuses when they are larger."""
FLAGS = {"submit_orders": 1, "set_session": 1, "create_instruments": 7, "update_instruments": 7}
DTYPES = {
    "create_instruments": order_records.INSTRUMENT_COMMAND,
    "update_instruments": order_records.INSTRUMENT_COMMAND,
    "create_trading_accounts": order_records.TRADING_ACCOUNT_COMMAND,
    "submit_orders": order_records.ORDER_COMMAND,
    "cancel_orders": order_records.AMEND_COMMAND,
    "replace_orders": order_records.AMEND_COMMAND,
    "mass_cancel": order_records.MASS_CANCEL_COMMAND,
    "set_session": order_records.SESSION_COMMAND,
    "end_of_day": order_records.DAY_COMMAND,
    "bust_trades": order_records.TRADE_COMMAND,
}
METHODS = (
    *("submit_orders",) * 25,
    *("replace_orders",) * 4,
    *("cancel_orders",) * 2,
    *("bust_trades",) * 2,
    *("set_session", "mass_cancel", "end_of_day", "update_instruments", "create_instruments"),
    *("create_trading_accounts", "create_transfers", "update_accounts"),
)
READS = ("get_orders", "get_trades", "get_positions", "get_executions")

Records = np.ndarray[Any, np.dtype[np.void]]


class Bytes:
    """One world of such commands."""

    def __init__(self, seed: object, *, wild: float | None = None) -> None:
        """`wild`: how likely a member is overwritten; drawn when left out."""
        self.random = Random(f"bytes:{seed}")
        self.wild = self.random.choice([0.003, 0.01, 0.03, 0.1, 0.5]) if wild is None else wild
        self.engine = Engine(LIMITS, hash_key=self.random.randbytes(32))
        self.twin = Engine(LIMITS, hash_key=self.random.randbytes(32))
        self.batch, self.decoded = Batch(), Batch()
        self.time = 10**18
        self.seen: Counter[str] = Counter()
        self._names = 0
        self._set_up()

    def _set_up(self) -> None:
        house = [Account(900 + ledger, ledger) for ledger in (CASH, COIN, SHARE)]
        owned = [Account(10 * trader + ledger, ledger) for trader in TRADERS for ledger in (CASH, COIN, SHARE)]
        requests.append_accounts(self.batch, account_array([*house, *owned]))
        moves = []
        for number, account in enumerate(owned, 1):
            amount = self.random.choice([10_000, 10**9, 10**15, HUGE])
            moves.append(Transfer(number, 900 + account.ledger, account.id, amount, account.ledger, 1))
        requests.append_transfers(self.batch, transfer_array(moves))
        order_requests.append(self.batch, "create_instruments", array(DTYPES["create_instruments"], self._terms()))
        links = [{"account_id": 10 * trader + ledger, "ledger": ledger} for trader in TRADERS for ledger in (1, 2, 3)]
        accounts = [{"id": trader, "link_first": 3 * n, "link_count": 3} for n, trader in enumerate(TRADERS)]
        order_requests.append(
            self.batch,
            "create_trading_accounts",
            array(DTYPES["create_trading_accounts"], accounts),
            links=array(order_records.LINK_COMMAND, links),
        )
        self._apply()

    def _terms(self) -> list[dict[str, Any]]:
        r = self.random
        fees = {"maker_fee_ppm": 100, "taker_fee_ppm": 300, "fee_account_id": 901, "minimum_fee": r.choice([0, 5])}
        common = {"quote_ledger": CASH, "session": Session.CONTINUOUS, "market_protection_ppm": 50_000, **fees}
        return [
            {"symbol": "COIN", "base_ledger": COIN, "tick_size": 1, "lot_size": 1,
             "price_scale": r.choice([1, 7, 1000]), "contract_size": r.choice([1, 3]), **common},
            {"symbol": "SHARE", "base_ledger": SHARE, "tick_size": 1, "lot_size": 100, "price_scale": 1,
             "contract_size": 1, "flags": InstrumentFlag.T1, "reference_price": 1_000, "price_band_ppm": 100_000,
             "price_cage_ppm": 20_000, "sell_duty_ppm": 500, "transfer_fee_ppm": 10, **common},
            {"symbol": "FUTURE", "base_ledger": FUTURE, "tick_size": 2, "lot_size": 1, "price_scale": 1,
             "contract_size": 5, "flags": InstrumentFlag.FUTURES | InstrumentFlag.MEDIAN_PRICE,
             "reference_price": r.choice([0, 1_000]), "initial_margin_ppm": 60_000, "maintenance_margin_ppm": 50_000,
             **common},
            {"symbol": "BREAK", "base_ledger": COIN, "tick_size": 1, "lot_size": 1, "price_scale": 1,
             "contract_size": 1, "circuit_breaker_ppm": 5_000, **common},
        ]  # fmt: skip

    # --- records

    def _number(self, bits: int) -> int:
        r = self.random
        number = r.choice([r.getrandbits(bits), r.choice(EDGES), r.getrandbits(r.randint(1, bits)), r.randint(0, 20)])
        return number & ((1 << bits) - 1)

    def _plausible(self, method: str) -> dict[str, Any]:
        r = self.random
        account, symbol = r.choice(TRADERS), r.choice(SYMBOLS)
        price = 1_000 + 2 * r.randint(-5, 5)
        quantity = r.choice([1, 2, 3, 5, 8, 10, r.choice(EDGES)]) * (100 if symbol == "SHARE" else 1) % 2**64
        stop = price if r.random() < 0.2 else 0
        match method:
            case "submit_orders":
                self._names += r.random() < 0.97
                return {
                    "client_order_id_lo": self._names, "client_order_id_hi": 1, "account_id": account, "symbol": symbol,
                    "price": r.choice([price, price, price, r.choice(EDGES)]), "quantity": quantity, "stop_price": stop,
                    "side": r.randint(0, 1), "type": r.choice([0, 0, 0, 1] if not stop else [2, 3]),
                    "time_in_force": r.choice([0, 0, 1, 2, 3, 4]), "expire_time": self.time + r.randint(1, 10**10),
                    "display_quantity": r.choice([0, 0, 0, quantity // 3]), "self_trade_prevention": r.randint(0, 4),
                    "offset": r.randint(0, 3) if symbol == "FUTURE" else 0, "flags": r.random() < 0.05,
                    "session": r.choice([0, 0, 1, 2]),
                }  # fmt: skip
            case "cancel_orders" | "replace_orders":
                fields = r.randint(0, 7) if method == "replace_orders" else 0
                return {
                    "account_id": account, "order_id": max(self.engine.orders - r.randint(0, 12), 0), "fields": fields,
                    "quantity": quantity, "price": price, "stop_price": price,
                }  # fmt: skip
            case "mass_cancel":
                conditions = {"account_id": r.choice([0, account]), "symbol": r.choice(["", symbol])}
                return conditions | {"sides": r.randint(0, 2), "session": r.choice([0, 0, 1, 2**64 - 1])}
            case "set_session":
                return {"symbol": symbol, "state": r.choice([1, 2, 3, 3, 3, 4]), "flags": r.random() < 0.2}
            case "end_of_day":
                return {"symbol": symbol, "price": price, "business_date": (self.engine.business_date + 1) % 2**32}
            case "bust_trades":
                trade = max(self.engine.trades - r.randint(0, 6), 0)
                return {"trade_id": trade, "price": r.choice([0, price, r.choice(EDGES)])}
            case "update_instruments":
                return {"symbol": symbol, "fields": 1 << r.randint(0, 11), "reference_price": price, "taker_fee_ppm": 7}
            case "create_instruments":
                return r.choice(self._terms()) | {"symbol": f"NEW{r.randint(0, 5)}"}
        return {"id": r.choice([account, r.randint(100, 110)])}

    def _records(self, method: str) -> Records:
        r = self.random
        count = 1 if method == "mass_cancel" else r.randint(1, 5)
        made = array(DTYPES[method], (self._plausible(method) for _ in range(count)))
        for index in range(count):
            for name in made.dtype.names or ():
                if name.startswith("link_") or r.random() >= self.wild:
                    continue
                size = made.dtype[name].itemsize
                largest = FLAGS.get(method) if name == "flags" else LARGEST.get(name)
                if name == "session" and size == 8:
                    largest = None
                if largest is not None and r.random() < 0.98:
                    made[index][name] = r.randint(0, largest)
                else:
                    made[index][name] = self._number(8 * size)
        return made

    def _append(self, method: str) -> None:
        r = self.random
        if method == "create_transfers":
            one, other = (10 * r.choice(TRADERS) + r.choice([1, 2, 3]) for _ in range(2))
            amount = r.choice([1, 50, 10**6, self._number(63)])
            transfer = Transfer(10**6 + r.getrandbits(40), one, other, amount, one % 10, 1, r.choice([0, 0, 2, 16, 32]))
            requests.append_transfers(self.batch, transfer_array([transfer]))
        elif method == "update_accounts":
            row = {"id": 10 * r.choice(TRADERS) + 1, "fields": r.randint(1, 3), "frozen": r.random() < 0.2}
            update = array(records.UPDATE_COMMAND, [row | {"overdraft_limit": self._number(62)}])
            requests.append_updates(self.batch, update)
        elif method == "create_trading_accounts":
            made = self._records(method)
            links = array(
                order_records.LINK_COMMAND,
                ({"account_id": 10 * r.choice(TRADERS) + r.randint(1, 4), "ledger": r.randint(1, 4)} for _ in made),
            )
            made["link_first"], made["link_count"] = np.arange(len(made)), 1
            order_requests.append(self.batch, method, made, links=links, scope=0)
        else:
            order_requests.append(self.batch, method, self._records(method), scope=0)

    # --- steps

    def step(self) -> None:
        """One batch of some requests."""
        self.time += self.random.choice([10**6, 10**9, 10**10])
        requests.clear(self.batch)
        count = 0
        if self.random.random() < 0.4:
            self._open_all()
            count = 1
        for _ in range(self.random.randint(1, 4)):
            method = self.random.choice(METHODS)
            try:
                self._append(method)
                count += 1
            except ValueError:
                self.seen["refused by the interface"] += 1
                requests.clear(self.batch)
                count = 0
        if count:
            self._apply()
        if self.random.random() < 0.1:
            self._read()

    def _open_all(self) -> None:
        sessions: list[dict[str, Any]] = [{"symbol": symbol, "state": Session.CONTINUOUS} for symbol in SYMBOLS]
        order_requests.append(self.batch, "set_session", array(DTYPES["set_session"], sessions))

    def _apply(self) -> None:
        record = log_record.encode(self.batch, self.time)
        try:
            self.engine.apply(self.batch, self.time)
        except CapacityError:
            self.seen["no room"] += 1
            return
        for result in order_requests.order_answers(self.batch)[0]:
            status, reason = OrderStatus(result["status"]).name.lower(), Reason(result["reason"])
            self.seen[f"{status} ({reason.name.lower()})" if reason else status] += 1
        time = log_record.decode(record, self.decoded)
        assert log_record.encode(self.decoded, time) == record
        self.twin.apply(self.decoded, time)
        assert self.twin.digest() == self.engine.digest()

    def _read(self) -> None:
        """Whatever a filter holds, a read answers or refuses."""
        method = self.random.choice(READS)
        wanted = array(order_records.ORDER_FILTER, [{"limit": 100}])
        for name in wanted.dtype.names or ():
            if self.random.random() < self.wild:
                wanted[0][name] = self._number(8 * wanted.dtype[name].itemsize)
        if self.random.random() < 0.5:
            wanted[0]["symbol_0"] = words(self.random.choice(SYMBOLS))[0]
        try:
            getattr(self.engine, method)(wanted)
            self.seen["read"] += 1
        except (ValueError, PermissionError):
            self.seen["read refused"] += 1

    def check(self) -> None:
        """Invariants, and the same state from the log and from a snapshot."""
        self.engine.check_invariants()
        assert self.twin.state_hash() == self.engine.state_hash()
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "world.snapshot"
            self.engine.snapshot(path)
            self.twin = Engine.restore(path, LIMITS, hash_key=self.random.randbytes(32))
        assert self.twin.state_hash() == self.engine.state_hash()


def run(seed: object, steps: int) -> Counter[str]:
    """One world; raises what is wrong."""
    world = Bytes(seed)
    for step in range(1, steps + 1):
        world.step()
        if step % 20 == 0 or step == steps:
            world.check()
    return world.seen
