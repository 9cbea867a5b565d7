"""The engine against the plain model of trading: Hypothesis invents short programs, and the seeded driver long ones.

After every step everything that can be seen is compared, see `trading_driver.Pair`.
"""

import os
import re
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from engine.order_results import (
    InstrumentFlag,
    Offset,
    OrderType,
    SelfTradePrevention,
    Session,
    Side,
    TimeInForce,
)
from engine.results import AccountFlag
from tests.engine import driver, trading_driver
from tests.engine.trading_driver import Pair
from tests.engine.trading_generator import BANK, CNY, FEES, SECOND, START
from tests.engine.trading_subjects import Step
from tests.models.records import Account, Transfer, Update
from tests.models.trading_book import Book
from tests.models.trading_records import (
    Amend,
    Instrument,
    InstrumentTerms,
    MassCancel,
    NewOrder,
    NewTradingAccount,
    Order,
    SessionChange,
)
from tests.models.trading_settlement import Charge, Settlement

PRICES = {"COIN": 100, "SHARE": 1_000, "PTA": 6_000, "HALT": 100}
"""The middle of each instrument; all of them in steps of their tick."""
TRADERS = (101, 102, 103)
"""103 has the cash account of 101."""

symbols = st.sampled_from(["COIN", "SHARE", "PTA", "HALT"])
sides = st.sampled_from([Side.BUY, Side.SELL])
traders = st.sampled_from(TRADERS)
ticks = st.integers(-2, 2)


class TradingMachine(RuleBasedStateMachine):
    """Both machines get the same steps."""

    def __init__(self) -> None:
        super().__init__()
        self.pair = Pair(b"m" * 32)
        self.time = START
        self.next_id = 0

    def send(self, method: str, *items: Any, later: int = SECOND) -> None:
        self.time += later
        self.pair.apply(Step(method, items, self.time))

    def new_id(self) -> int:
        self.next_id += 1
        return self.next_id

    @initialize(
        fees=st.booleans(),
        scale=st.sampled_from([1, 7]),
        cash=st.sampled_from([1_000, 100_000, 10_000_000]),
        flags=st.sampled_from([0, AccountFlag.DEBITS_MUST_NOT_EXCEED_CREDITS]),
    )
    def open_exchange(self, *, fees: bool, scale: int, cash: int, flags: int) -> None:
        assets = {601: 600, 602: 3_000, 603: 0, 604: 600}
        accounts = [Account(BANK, CNY, 1), Account(FEES, CNY, 1), *(Account(i, CNY, 1, flags) for i in (11, 12))]
        accounts += [Account(ledger * 1_000 + i, ledger, 1) for ledger in assets for i in (0, 101, 102, 103)]
        charges = {"fee_account_id": FEES, "maker_fee_ppm": 2_000, "taker_fee_ppm": 3_000} if fees else {}
        share_charges = (
            {**charges, "minimum_fee": 5, "transfer_fee_ppm": 10_000, "sell_duty_ppm": 5_000} if fees else {}
        )
        self.send("create_accounts", *accounts)
        self.send(
            "create_instruments",
            InstrumentTerms("COIN", 601, CNY, price_scale=scale, **charges),
            InstrumentTerms(
                "SHARE",
                602,
                CNY,
                lot_size=100,
                reference_price=1_000,
                price_band_ppm=1_500,
                price_cage_ppm=1_000,
                flags=InstrumentFlag.T1,
                **share_charges,
            ),
            InstrumentTerms(
                "PTA",
                603,
                CNY,
                tick_size=2,
                contract_size=5,
                reference_price=6_000,
                initial_margin_ppm=60_000,
                maintenance_margin_ppm=50_000,
                flags=InstrumentFlag.FUTURES | InstrumentFlag.MEDIAN_PRICE,
                **charges,
            ),
            InstrumentTerms("HALT", 604, CNY, reference_price=100, circuit_breaker_ppm=10_000, **charges),
        )
        cash_of = {101: 11, 102: 12, 103: 11}
        self.send(
            "create_trading_accounts",
            *(NewTradingAccount(t, ((CNY, cash_of[t]), *((a, a * 1_000 + t) for a in assets))) for t in TRADERS),
        )
        moves = [(BANK, account, cash, CNY) for account in (11, 12)]
        moves += [(a * 1_000, a * 1_000 + t, quantity, a) for a, quantity in assets.items() for t in TRADERS]
        self.send("create_transfers", *(Transfer(self.new_id(), d, c, n, a, 1) for d, c, n, a in moves))

    def price(self, symbol: str, off: int) -> int:
        return PRICES[symbol] + off * (2 if symbol == "PTA" else 1)

    def quantity(self, symbol: str, lots: int) -> int:
        return lots * (100 if symbol == "SHARE" else 1)

    # --- orders ------------------------------------------------------------------------------------

    @rule(
        trader=traders,
        symbol=symbols,
        side=sides,
        lots=st.integers(1, 12),
        off=ticks,
        tif=st.sampled_from([TimeInForce.DAY, TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK]),
        prevention=st.sampled_from(list(SelfTradePrevention)),
        offset=st.sampled_from(list(Offset)),
        post_only=st.booleans(),
    )
    def limit(
        self,
        *,
        trader: int,
        symbol: str,
        side: Side,
        lots: int,
        off: int,
        tif: TimeInForce,
        prevention: SelfTradePrevention,
        offset: Offset,
        post_only: bool,
    ) -> None:
        order = NewOrder(trader, self.new_id(), symbol, side, self.quantity(symbol, lots), self.price(symbol, off))
        order = order._replace(time_in_force=tif, self_trade_prevention=prevention)
        order = order._replace(offset=offset if symbol == "PTA" else Offset.AUTO)
        self.send("submit_orders", order._replace(post_only=post_only and tif < TimeInForce.IOC))

    @rule(trader=traders, symbol=symbols, side=sides, lots=st.integers(2, 12), off=ticks, shown=st.integers(1, 3))
    def iceberg(self, *, trader: int, symbol: str, side: Side, lots: int, off: int, shown: int) -> None:
        order = NewOrder(trader, self.new_id(), symbol, side, self.quantity(symbol, lots), self.price(symbol, off))
        self.send("submit_orders", order._replace(display_quantity=self.quantity(symbol, min(shown, lots))))

    @rule(
        trader=traders,
        symbol=symbols,
        side=sides,
        lots=st.integers(1, 12),
        off=st.none() | ticks,
        whole=st.booleans(),
        prevention=st.sampled_from(list(SelfTradePrevention)),
    )
    def market(
        self,
        *,
        trader: int,
        symbol: str,
        side: Side,
        lots: int,
        off: int | None,
        whole: bool,
        prevention: SelfTradePrevention,
    ) -> None:
        price = 0 if off is None else self.price(symbol, off)
        order = NewOrder(trader, self.new_id(), symbol, side, self.quantity(symbol, lots), price, OrderType.MARKET)
        order = order._replace(self_trade_prevention=prevention)
        self.send("submit_orders", order._replace(time_in_force=TimeInForce.FOK if whole else TimeInForce.DAY))

    @rule(
        trader=traders, symbol=symbols, side=sides, lots=st.integers(1, 12), stop=ticks, off=st.none() | ticks,
        limit=st.booleans(),
    )  # fmt: skip
    def stop(self, *, trader: int, symbol: str, side: Side, lots: int, stop: int, off: int | None, limit: bool) -> None:
        price = 0 if off is None else self.price(symbol, off)
        kind = OrderType.STOP_LIMIT if limit and price else OrderType.STOP
        order = NewOrder(trader, self.new_id(), symbol, side, self.quantity(symbol, lots), price, kind)
        self.send("submit_orders", order._replace(stop_price=self.price(symbol, stop)))

    @rule(trader=traders, symbol=symbols, side=sides, lots=st.integers(1, 12), off=ticks, seconds=st.integers(1, 6))
    def good_till(self, *, trader: int, symbol: str, side: Side, lots: int, off: int, seconds: int) -> None:
        order = NewOrder(trader, self.new_id(), symbol, side, self.quantity(symbol, lots), self.price(symbol, off))
        expire_time = self.time + seconds * SECOND + SECOND // 2
        self.send("submit_orders", order._replace(time_in_force=TimeInForce.GTD, expire_time=expire_time))

    @rule(back=st.integers(0, 6))
    def cancel(self, *, back: int) -> None:
        orders = self.pair.plain.model.orders
        if back < len(orders):
            order = orders[-1 - back]
            self.send("cancel_orders", Amend(order.account.id, order_id=order.id))

    @rule(
        back=st.integers(0, 6), lots=st.none() | st.integers(0, 12), off=st.none() | ticks, stop=st.none() | ticks
    )  # fmt: skip
    def replace(self, *, back: int, lots: int | None, off: int | None, stop: int | None) -> None:
        orders = self.pair.plain.model.orders
        if back < len(orders):
            order = orders[-1 - back]
            symbol = order.instrument.terms.symbol
            amend = Amend(
                order.account.id,
                order_id=order.id,
                quantity=None if lots is None else self.quantity(symbol, lots),
                price=None if off is None else self.price(symbol, off),
                stop_price=None if stop is None or order.place != "stops" else self.price(symbol, stop),
            )
            self.send("replace_orders", amend)

    @rule(trader=st.sampled_from([0, *TRADERS]), symbol=st.just("") | symbols, side=st.none() | sides)
    def mass_cancel(self, *, trader: int, symbol: str, side: Side | None) -> None:
        self.send("mass_cancel", MassCancel(trader, symbol, 0, side))

    # --- the market and the bank ---------------------------------------------------------------------

    @rule(symbol=symbols, state=st.sampled_from(list(Session)), no_cancel=st.booleans())
    def session(self, *, symbol: str, state: Session, no_cancel: bool) -> None:
        self.send("set_session", SessionChange(symbol, state, no_cancel))

    @rule(symbol=symbols)
    def auction(self, *, symbol: str) -> None:
        self.send("set_session", SessionChange(symbol, Session.AUCTION))

    @rule(off=st.none() | ticks)
    def day(self, *, off: int | None) -> None:
        date = self.pair.plain.model.date + 1
        self.send("end_of_day", date, *([] if off is None else [("PTA", self.price("PTA", off * 20))]))
        self.send("set_session", *(SessionChange(symbol, Session.CONTINUOUS) for symbol in PRICES))

    @rule(back=st.integers(0, 3), symbol_off=st.none() | ticks)
    def bust(self, *, back: int, symbol_off: int | None) -> None:
        trades = self.pair.plain.model.trades
        if back < len(trades):
            trade = trades[-1 - back]
            price = 0 if symbol_off is None else self.price(trade.instrument.terms.symbol, symbol_off)
            self.send("bust_trades", (trade.id, price))

    @rule(account=st.sampled_from([11, 12, 601_101, 602_102]), amount=st.integers(1, 2_000), comes=st.booleans())
    def transfer(self, *, account: int, amount: int, comes: bool) -> None:
        house = BANK if account < 1_000 else account // 1_000 * 1_000
        ledger = CNY if account < 1_000 else account // 1_000
        debit, credit = (house, account) if comes else (account, house)
        free = self.pair.plain.model.account(account)
        if comes or free.credits_posted - free.debits_posted - free.debits_pending >= amount:
            self.send("create_transfers", Transfer(self.new_id() + 10**6, debit, credit, amount, ledger, 1))

    @rule(account=st.sampled_from([11, 12, 601_101, 602_102]), frozen=st.booleans())
    def freeze(self, *, account: int, frozen: bool) -> None:
        self.send("update_accounts", Update(account, frozen=frozen))

    @rule()
    def everything(self) -> None:
        self.pair.compare_everything(b"n" * 32)

    def teardown(self) -> None:
        self.pair.compare_everything(b"o" * 32)
        self.pair.replay(b"p" * 32)


def test_hypothesis_finds_no_difference() -> None:
    run_state_machine_as_test(
        TradingMachine,
        settings=settings(
            max_examples=int(os.environ.get("TONGBAO_EXAMPLES", "60")),
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_the_driver_finds_no_difference() -> None:
    """A new seed every time; it is printed, and in the message of a failure."""
    trading_driver.run(Random().randbytes(4).hex(), 4_000)


# --- faults planted in the model, which make no difference to the comparison ---------------------------


def no_minimum(self: Charge, order: Any, value: int, *, maker: bool) -> None:
    self.exact = value * order.instrument.terms.taker_fee_ppm // 1_000_000
    self.commission, self.transfer, self.duty = self.exact, 0, 0


def never_breaks(self: Instrument, price: int) -> bool:
    return False


def keeps_bought_and_proceeds(self: Settlement) -> None:
    """T+1 that never ends."""


def looks_at_no_band(self: Instrument) -> tuple[int, int]:
    return 0, 2**40


def shows_everything(self: Book, order: Order) -> None:
    order.visible = order.leaves


@pytest.mark.parametrize(
    ("owner", "name", "fault"),
    [
        (Charge, "__init__", no_minimum),
        # Shrinking this one takes all of its minute.
        pytest.param(Instrument, "breaks", never_breaks, marks=pytest.mark.long),
        (Settlement, "free_holdings", keeps_bought_and_proceeds),
        (Instrument, "band", looks_at_no_band),
        (Book, "_to_the_end", shows_everything),
    ],
)
def test_a_planted_fault_is_found_and_shrunk(
    monkeypatch: pytest.MonkeyPatch, owner: type, name: str, fault: object
) -> None:
    monkeypatch.setattr(owner, name, fault)
    with pytest.raises(driver.Difference) as found:
        trading_driver.run("fault", 20_000)
    shrunk = re.search(r"shrunk from (\d+) steps to (\d+):", str(found.value))
    assert shrunk is not None
    before, after = map(int, shrunk.groups())
    assert after < max(10, before / 2)  # how far it comes in its minute depends on the machine


@pytest.mark.long
def test_many_steps(capsys: pytest.CaptureFixture[str]) -> None:
    steps = int(os.environ.get("TONGBAO_STEPS", "100000"))
    seed = os.environ.get("TONGBAO_SEED", Random().randbytes(4).hex())
    with capsys.disabled():
        print()
        print(trading_driver.table(trading_driver.run(seed, steps)))
