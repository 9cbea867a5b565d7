"""Stories with numbers worked out by hand from docs/TRADING.md, so that the plain model can be trusted."""

from collections import Counter

import pytest

from engine.order_results import (
    CLEARING_ACCOUNT_BASE,
    ExecutionKind,
    InstrumentFlag,
    Offset,
    OrderStatus,
    OrderType,
    Reason,
    SelfTradePrevention,
    Session,
    Side,
    TimeInForce,
)
from tests.models.records import Account, Transfer
from tests.models.trading import Trading
from tests.models.trading_records import (
    Amend,
    InstrumentTerms,
    MassCancel,
    NewOrder,
    NewTradingAccount,
    OrderResult,
    SessionChange,
    divide,
)

BUY, SELL = Side.BUY, Side.SELL
CNY, SHARES, PTA = 156, 600, 700
BANK, VAULT, FEES = 1, 2, 3
"""Where all money and all shares come from, and where fees go."""


class Floor:
    """A model with two traders, 101 (cash 11, shares 12) and 102 (cash 21, shares 22), and one instrument."""

    def __init__(self, *, cash: int = 1_000_000, shares: int = 10_000, **terms: object) -> None:
        self.model = Trading()
        self.time = 0
        self.client_order_id = 0
        accounts = [Account(a, CNY, 1) for a in (BANK, FEES, 11, 21)] + [Account(a, SHARES, 1) for a in (VAULT, 12, 22)]
        self.model.ledger.create_accounts(accounts, self.now())
        values = {"symbol": "X", "base_ledger": SHARES, "quote_ledger": CNY, **terms}
        self.model.create_instruments([InstrumentTerms(**values)], self.now())  # type: ignore[arg-type]
        self.model.create_trading_accounts(
            [
                NewTradingAccount(101, ((CNY, 11), (SHARES, 12))),
                NewTradingAccount(102, ((CNY, 21), (SHARES, 22))),
            ],
            self.now(),
        )
        moves = [(BANK, a, cash, CNY) for a in (11, 21)] + [(VAULT, a, shares, SHARES) for a in (12, 22)]
        self.model.ledger.create_transfers(
            [Transfer(i + 1, d, c, n, ledger, 1) for i, (d, c, n, ledger) in enumerate(moves) if n], self.now()
        )

    def now(self) -> int:
        self.time += 1_000
        return self.time

    def order(self, account: int, side: Side, quantity: int, price: int = 0, **more: object) -> OrderResult:
        self.client_order_id += 1
        values = {"account_id": account, "client_order_id": self.client_order_id, "symbol": "X", **more}
        return self.model.submit_orders(
            [NewOrder(side=side, quantity=quantity, price=price, **values)],  # type: ignore[arg-type]
            self.now(),
        )[0]

    def session(self, state: Session) -> OrderResult:
        return self.model.set_session([SessionChange("X", state)], self.now())[0]

    def balance(self, account: int) -> int:
        a = self.model.account(account)
        return a.credits_posted - a.debits_posted

    def pending(self, account: int) -> int:
        return self.model.account(account).debits_pending

    def legs(self) -> list[tuple[int, int, int, int]]:
        """Code, debit, credit, amount of what was posted since the last call."""
        legs = [(g.code, g.debit_account_id, g.credit_account_id, g.amount) for g in self.model.generated]
        self.model.generated.clear()
        return legs

    def kinds(self) -> list[str]:
        kinds = [e.kind.name.lower() for e in self.model.executions]
        self.model.executions.clear()
        return kinds


@pytest.mark.parametrize(
    ("value", "by", "quotient"), [(5, 2, 2), (7, 2, 4), (3, 2, 2), (1, 2, 0), (9, 4, 2), (11, 4, 3)]
)
def test_rounding_is_half_to_even(value: int, by: int, quotient: int) -> None:
    assert divide(value, by) == quotient


def test_price_and_time() -> None:
    f = Floor()
    first, second, better = f.order(101, SELL, 5, 101), f.order(101, SELL, 5, 101), f.order(101, SELL, 5, 100)
    taken = f.order(102, BUY, 12, 101)
    assert [(fill.price, fill.quantity) for fill in taken.fills] == [(100, 5), (101, 5), (101, 2)]
    assert taken.status == OrderStatus.FILLED
    assert [r.order_id for r in (first, second, better)] == [1, 2, 3]
    assert f.model.queue("X") == [(2, 3, 3)]
    assert f.balance(11) == 1_000_000 + 500 + 505 + 202
    assert f.balance(22) == 10_012
    assert f.pending(12) == 3
    assert f.pending(21) == 0


def test_fees_of_a_share_account() -> None:
    """Commission 250 ppm, at least 500 in all over an order; transfer fee 10 ppm; duty 500 ppm of the seller."""
    f = Floor(
        cash=10_000_000,
        maker_fee_ppm=250,
        taker_fee_ppm=250,
        minimum_fee=500,
        transfer_fee_ppm=10,
        sell_duty_ppm=500,
        fee_account_id=FEES,
    )
    f.order(101, SELL, 3_000, 1_000)
    bought = f.order(102, BUY, 3_000, 1_000)
    # 3,000,000: commission 750 each, transfer fee 30 each, duty 1,500.
    assert f.legs() == [
        (65001, 21, 11, 3_000_000),
        (65002, 12, 22, 3_000),
        (65003, 21, FEES, 780),
        (65003, 11, FEES, 780),
        (65004, 11, FEES, 1_500),
    ]
    assert bought.fills[0].fee == 780
    # Two fills of 1,000,000 and 600,000: 250 and 150 by rate, so 500 with the first and nothing with the second.
    f.order(101, SELL, 1_000, 1_000)
    f.order(101, SELL, 600, 1_000)
    f.legs()
    bought = f.order(102, BUY, 1_600, 1_000)
    assert [fill.fee for fill in bought.fills] == [500 + 10, 0 + 6]
    # A third of 1,200,000 brings the sum to 700: 200 more than has been paid.
    f.order(102, BUY, 2_800, 1_000)
    sold = [f.order(101, SELL, n, 1_000).fills[0] for n in (1_000, 600, 1_200)]
    assert [fill.fee for fill in sold] == [500 + 10 + 500, 500 + 6 + 300, 500 + 12 + 600]
    buys = [e.fee for e in f.model.executions if e.order_id == 6 and e.last_qty]
    assert buys == [500 + 10, 0 + 6, 200 + 12]


def test_a_buy_holds_price_and_fees_and_gives_back_the_rest() -> None:
    f = Floor(maker_fee_ppm=100, taker_fee_ppm=1_000, minimum_fee=5, fee_account_id=FEES)
    f.order(102, BUY, 100, 200)
    assert f.pending(21) == 20_000 + 20  # at the higher rate, whichever it will be
    assert f.model.account(CLEARING_ACCOUNT_BASE + CNY).credits_pending == 20_020
    f.order(101, SELL, 60, 190)
    # 12,000 at the maker's price of 200; the maker pays 1 by rate, 5 by the minimum. The rest needs max(5, 1 + 8) - 5.
    assert f.balance(21) == 1_000_000 - 12_000 - 5
    assert f.pending(21) == 8_000 + 4
    assert f.model.cancel_orders([Amend(102, order_id=1)], f.now())[0].status == OrderStatus.CANCELED
    assert f.pending(21) == 0


def test_fees_of_a_seller_never_exceed_the_proceeds() -> None:
    f = Floor(minimum_fee=50, transfer_fee_ppm=100_000, sell_duty_ppm=200_000, fee_account_id=FEES)
    f.order(102, BUY, 1_000, 10)
    sold = f.order(101, SELL, 1, 10)
    # 10: duty 2, transfer fee 1, and 7 of the 50.
    assert sold.fills[0].fee == 10
    assert f.balance(11) == 1_000_000
    f.model.generated.clear()
    sold = f.order(101, SELL, 4, 10)
    assert sold.fills[0].fee == 8 + 4 + 28  # a new order, a new minimum, of which 28 can be had


def test_t_plus_one() -> None:
    f = Floor(cash=10_000, shares=100, flags=InstrumentFlag.T1)
    f.order(101, SELL, 100, 50)
    f.order(102, BUY, 100, 50)
    # Bought today: neither sellable nor transferable.
    assert f.balance(22) == 200
    assert f.pending(22) == 100
    assert f.order(102, SELL, 101, 60).reason == Reason.INSUFFICIENT_HOLDINGS
    # Proceeds of 5,000 stay, but another order may have them, and is not held twice.
    assert f.balance(11) == 15_000
    assert f.pending(11) == 5_000
    f.order(101, BUY, 300, 40)
    assert f.pending(11) == 12_000
    assert f.order(101, BUY, 76, 40).reason == Reason.INSUFFICIENT_FUNDS
    assert f.order(101, BUY, 75, 40).status == OrderStatus.NEW
    f.model.mass_cancel(MassCancel(account_id=101), f.now())
    assert f.pending(11) == 5_000
    # What is paid comes out of the proceeds first.
    f.order(102, SELL, 100, 40)
    f.order(101, BUY, 100, 40)
    assert (f.balance(11), f.pending(11)) == (11_000, 1_000)
    assert f.model.end_of_day(20260105, [], f.now())[0].status == OrderStatus.DONE
    assert f.pending(11) == f.pending(22) == 0


@pytest.mark.parametrize(
    ("ask", "limit", "last", "price"),
    [(100, 110, 105, 105), (100, 110, 120, 110), (100, 110, 90, 100), (100, 100, 105, 100)],
)
def test_the_median_rule(ask: int, limit: int, last: int, price: int) -> None:
    f = Floor(flags=InstrumentFlag.MEDIAN_PRICE)
    f.order(101, SELL, 1, last)
    f.order(102, BUY, 1, last)
    f.order(101, SELL, 1, ask)
    assert f.order(102, BUY, 1, limit).fills[0].price == price


@pytest.mark.parametrize(
    ("bids", "asks", "reference", "price", "volume"),
    [
        # Greatest volume: 30 at 102 and 103, of which 102 leaves 10 over and 103 nothing.
        ([(105, 10), (103, 20), (102, 10)], [(100, 10), (102, 20)], 0, 103, 30),
        # 10 at every price from 100 to 104, nothing over: nearest to the reference.
        ([(104, 10)], [(100, 10)], 103, 103, 10),
        ([(104, 10)], [(100, 10)], 90, 100, 10),
        ([(104, 10)], [(100, 10)], 120, 104, 10),
        # Without any reference the lowest.
        ([(104, 10)], [(100, 10)], 0, 100, 10),
        # 101 and 103 are equally good and equally near; the lower wins.
        ([(103, 10), (101, 10)], [(101, 10), (103, 10)], 102, 102, 10),
        # Nothing crosses.
        ([(99, 10)], [(100, 10)], 100, 0, 0),
    ],
)
def test_an_auction(
    bids: list[tuple[int, int]], asks: list[tuple[int, int]], reference: int, price: int, volume: int
) -> None:
    f = Floor(session=Session.AUCTION, reference_price=reference)
    for p, q in bids:
        f.order(102, BUY, q, p)
    for p, q in asks:
        f.order(101, SELL, q, p)
    result = f.session(Session.CONTINUOUS)
    assert (result.leaves_quantity, result.cum_quantity) == (price, volume)
    assert {e.last_px for e in f.model.executions if e.last_qty} == ({price} if price else set())
    assert not f.model.instruments["X"].crossed


def test_an_auction_in_price_and_time_order_with_hidden_parts() -> None:
    f = Floor(session=Session.AUCTION)
    f.order(101, SELL, 10, 100)
    f.order(101, SELL, 30, 100, display_quantity=10)
    f.order(101, SELL, 10, 100)
    f.order(102, BUY, 25, 100)
    f.order(102, BUY, 9, 101)
    f.session(Session.CLOSED)
    done = [(e.order_id, e.last_qty) for e in f.model.executions if e.last_qty]
    # The better bid first; in each trade the smaller id is the maker.
    assert done == [(1, 9), (5, 9), (1, 1), (4, 1), (2, 24), (4, 24)]
    assert f.model.queue("X") == [(2, 6, 6), (3, 10, 10)]


def test_icebergs_go_to_the_end_of_the_queue() -> None:
    f = Floor()
    f.order(101, SELL, 25, 100, display_quantity=10)
    f.order(101, SELL, 10, 100)
    f.kinds()
    taken = f.order(102, BUY, 32, 100)
    assert [(fill.quantity) for fill in taken.fills] == [10, 10, 10, 2]
    assert f.kinds() == ["new", *["fill"] * 2, "restated", *["fill"] * 2, *["fill"] * 2, "restated", *["fill"] * 2]
    assert f.model.queue("X") == [(1, 3, 3)]


def test_stops_are_triggered_one_after_the_other() -> None:
    f = Floor()
    for price in (100, 102, 104, 110):
        f.order(101, SELL, 10, price)
    f.order(102, BUY, 10, type=OrderType.STOP, stop_price=102)
    f.order(102, BUY, 10, 105, type=OrderType.STOP_LIMIT, stop_price=101)
    f.kinds()
    f.order(102, BUY, 10, 100)
    assert f.kinds() == ["new", "fill", "fill"]  # 100: nothing yet
    f.order(102, BUY, 1, 102)
    # 102 triggers both: 5 takes the 9 that are left at 102 and 1 at 104; then 6 takes 9 at 104 and rests.
    last = f.kinds()
    assert last == ["new", "fill", "fill", "triggered", *["fill"] * 4, "triggered", *["fill"] * 2]
    assert f.model.queue("X") == [(6, 1, 1), (4, 10, 10)]
    # One whose condition holds already goes at once; its protection is 5 % above its stop price, so 107.1 and no trade.
    late = f.order(102, BUY, 1, type=OrderType.STOP, stop_price=102)
    assert (late.status, late.reason) == (OrderStatus.CANCELED, Reason.NO_LIQUIDITY)


@pytest.mark.parametrize(
    ("mode", "status", "kinds", "queue"),
    [
        (SelfTradePrevention.NONE, OrderStatus.FILLED, ["new", "fill", "fill"], [(1, 5, 5), (2, 20, 20)]),
        (SelfTradePrevention.CANCEL_NEWEST, OrderStatus.CANCELED, ["new", "canceled"], [(1, 20, 20), (2, 20, 20)]),
        (SelfTradePrevention.CANCEL_OLDEST, OrderStatus.FILLED, ["new", "canceled", "fill", "fill"], [(2, 5, 5)]),
        (SelfTradePrevention.CANCEL_BOTH, OrderStatus.CANCELED, ["new", "canceled", "canceled"], [(2, 20, 20)]),
        (
            SelfTradePrevention.DECREMENT,
            OrderStatus.CANCELED,
            ["new", "restated", "canceled"],
            [(1, 5, 5), (2, 20, 20)],
        ),
    ],
)
def test_self_trades(
    mode: SelfTradePrevention, status: OrderStatus, kinds: list[str], queue: list[tuple[int, int, int]]
) -> None:
    f = Floor()
    f.order(101, SELL, 20, 100)
    f.order(102, SELL, 20, 100)
    f.kinds()
    result = f.order(101, BUY, 15, 100, self_trade_prevention=mode)
    assert (result.status, f.kinds(), f.model.queue("X")) == (status, kinds, queue)
    assert f.pending(11) == 0
    assert f.pending(12) + f.pending(22) == sum(leaves for _, leaves, _ in queue)


def test_replace_keeps_its_place_only_when_it_asks_for_no_more() -> None:
    f = Floor()
    f.order(101, SELL, 10, 100)
    f.order(101, SELL, 10, 100)
    f.model.replace_orders([Amend(101, order_id=1, quantity=6)], f.now())
    assert f.model.queue("X") == [(1, 6, 6), (2, 10, 10)]
    f.model.replace_orders([Amend(101, order_id=1, quantity=7)], f.now())
    assert f.model.queue("X") == [(2, 10, 10), (1, 7, 7)]
    f.order(102, BUY, 12, 100)
    refused = f.model.replace_orders([Amend(101, order_id=1, quantity=2)], f.now())[0]
    assert (refused.reason, refused.cum_quantity, refused.leaves_quantity) == (Reason.ALREADY_FILLED, 2, 5)


def test_a_circuit_breaker() -> None:
    f = Floor(reference_price=100, circuit_breaker_ppm=50_000)
    for price in (105, 106):
        f.order(101, SELL, 10, price)
    result = f.order(102, BUY, 15, 110)
    assert [fill.price for fill in result.fills] == [105]
    assert result.leaves_quantity == 5
    assert f.model.instruments["X"].session == Session.AUCTION
    assert f.session(Session.CONTINUOUS)[3:5] == (5, 106)  # what crosses trades at 106, nearest to 100


def test_futures_margin_results_and_the_end_of_the_day() -> None:
    """5 t a lot, 6 % margin at the reference of 6,000: 1,800 a lot; positions are marked at the end of the day."""
    f = Floor(
        cash=100_000,
        flags=InstrumentFlag.FUTURES,
        contract_size=5,
        tick_size=2,
        reference_price=6_000,
        initial_margin_ppm=60_000,
        maintenance_margin_ppm=50_000,
        taker_fee_ppm=100,
        fee_account_id=FEES,
    )
    f.order(101, SELL, 4, 6_010)
    # Margin of four lots at the reference, fees of 120,200 at the higher rate: 12.02.
    assert f.pending(11) == 7_200 + 12
    f.order(102, BUY, 4, 6_010)
    assert f.legs() == [(65003, 21, FEES, 12)]
    assert f.pending(11) == f.pending(21) == 7_200
    # 102 closes three of its four at 6,020: 3 * 5 * 10 better than they stand in the books.
    f.order(102, SELL, 3, 6_020, offset=Offset.CLOSE)
    assert f.order(102, SELL, 2, 6_020, offset=Offset.CLOSE).reason == Reason.INSUFFICIENT_HOLDINGS
    f.order(101, BUY, 3, 6_020)  # closes as much
    assert f.legs() == [
        (65003, 11, FEES, 9),
        (65006, 11, CLEARING_ACCOUNT_BASE + CNY, 150),
        (65005, CLEARING_ACCOUNT_BASE + CNY, 21, 150),
    ]
    assert f.pending(11) == f.pending(21) == 1_800
    # 7 lots: 4 at 6,010 and 3 at 6,020, which is 6,014.29; in ticks of two 6,014. The last lot stands at 6,010.
    f.model.end_of_day(20260105, [], f.now())
    assert f.legs() == [
        (65007, 11, CLEARING_ACCOUNT_BASE + CNY, 20),
        (65007, CLEARING_ACCOUNT_BASE + CNY, 21, 20),
    ]
    assert f.model.instruments["X"].terms.reference_price == 6_014
    assert f.pending(21) == 1_804  # 6 % of 30,070, 1,804.2
    # At 4,000 the loss of 10,070 is more than the account has after it has paid out nearly all of it.
    f.model.ledger.create_transfers([Transfer(90, 21, BANK, f.balance(21) - 2_000, CNY, 1)], f.now())
    f.model.end_of_day(20260106, [("X", 4_000)], f.now())
    assert f.legs() == [
        (65007, 21, CLEARING_ACCOUNT_BASE + CNY, 2_000),
        (65007, CLEARING_ACCOUNT_BASE + CNY, 11, 10_070),
    ]
    position = f.model.positions()[1]
    assert (position.shortfall, position.margin) == (8_070, 0)
    assert f.model.margins(position) == (1_200, 1_000, 9_270)


def test_a_bust_puts_everything_back_and_a_second_one_is_refused() -> None:
    f = Floor(maker_fee_ppm=1_000, taker_fee_ppm=2_000, fee_account_id=FEES)
    before = [f.balance(a) for a in (11, 12, 21, 22, FEES)]
    f.order(101, SELL, 10, 100)
    f.order(102, BUY, 10, 100)
    assert f.legs() == [(65001, 21, 11, 1_000), (65002, 12, 22, 10), (65003, 21, FEES, 2), (65003, 11, FEES, 1)]
    assert f.model.bust_trades([(1, 0)], f.now())[0].status == OrderStatus.BUSTED
    assert f.legs() == [(65101, 11, 21, 1_000), (65102, 22, 12, 10), (65103, FEES, 21, 2), (65103, FEES, 11, 1)]
    assert [f.balance(a) for a in (11, 12, 21, 22, FEES)] == before
    assert f.model.bust_trades([(1, 0)], f.now())[0].reason == Reason.TRADE_BUSTED
    assert f.model.bust_trades([(2, 0)], f.now())[0].reason == Reason.UNKNOWN_TRADE
    f.order(101, SELL, 10, 100)
    f.order(102, BUY, 10, 100)
    f.order(101, BUY, 10_010, 90)
    f.order(102, SELL, 10_010, 90)
    assert f.model.bust_trades([(2, 0)], f.now())[0].reason == Reason.INSUFFICIENT_HOLDINGS


def test_a_correction_posts_everything_anew() -> None:
    f = Floor(maker_fee_ppm=1_000, taker_fee_ppm=2_000, minimum_fee=2, fee_account_id=FEES, flags=InstrumentFlag.T1)
    f.order(101, SELL, 10, 100)
    f.order(102, BUY, 10, 100)
    assert f.pending(11) == 998
    f.legs()
    corrected = f.model.bust_trades([(1, 300)], f.now())[0]
    assert (corrected.status, corrected.order_id) == (OrderStatus.CORRECTED, 2)
    assert f.legs()[4:] == [(65001, 21, 11, 3_000), (65002, 12, 22, 10), (65003, 21, FEES, 6), (65003, 11, FEES, 3)]
    assert f.pending(11) == 2_997
    assert f.pending(22) == 10
    assert f.model.bust_trades([(1, 0)], f.now())[0].reason == Reason.TRADE_BUSTED


def test_a_correction_leaves_what_was_spent_of_the_proceeds_spent() -> None:
    f = Floor(cash=10_000, shares=100, flags=InstrumentFlag.T1)
    f.order(101, SELL, 100, 50)
    f.order(102, BUY, 100, 50)
    f.order(102, SELL, 100, 40)
    f.order(101, BUY, 100, 40)
    assert (f.balance(11), f.pending(11)) == (11_000, 1_000)
    assert f.model.bust_trades([(1, 50)], f.now())[0].status == OrderStatus.CORRECTED
    assert (f.balance(11), f.pending(11)) == (11_000, 1_000)
    assert f.model.bust_trades([(3, 60)], f.now())[0].status == OrderStatus.CORRECTED
    assert (f.balance(11), f.pending(11)) == (12_000, 2_000)
    assert f.model.bust_trades([(4, 45)], f.now())[0].status == OrderStatus.CORRECTED
    assert (f.balance(11), f.pending(11)) == (10_500, 500)


def test_all_or_nothing() -> None:
    f = Floor()
    f.order(101, SELL, 10, 100)
    f.order(102, SELL, 10, 100)
    kill = TimeInForce.FOK
    assert f.order(102, BUY, 21, 100, time_in_force=kill).reason == Reason.FOK_NOT_FILLABLE
    own = SelfTradePrevention.CANCEL_NEWEST
    assert f.order(102, BUY, 11, 100, time_in_force=kill, self_trade_prevention=own).reason == Reason.FOK_NOT_FILLABLE
    assert f.order(102, BUY, 10, 100, time_in_force=kill, self_trade_prevention=own).status == OrderStatus.FILLED
    assert f.order(101, BUY, 5, 100, time_in_force=TimeInForce.IOC).status == OrderStatus.FILLED
    rest = f.order(101, BUY, 9, 100, time_in_force=TimeInForce.IOC)
    assert (rest.status, rest.cum_quantity, rest.leaves_quantity) == (OrderStatus.CANCELED, 5, 0)


def test_expiry_and_what_was_told() -> None:
    f = Floor()
    f.order(101, SELL, 1, 100, time_in_force=TimeInForce.GTD, expire_time=50_000)
    f.order(101, SELL, 1, 100, time_in_force=TimeInForce.GTC)
    f.order(101, SELL, 1, 100)
    f.model.begin(49_999)
    assert len(f.model.queue("X")) == 3
    f.model.begin(50_000)
    assert [o for o, *_ in f.model.queue("X")] == [2, 3]
    f.time = 60_000
    f.model.end_of_day(1, [], f.now())
    assert [o for o, *_ in f.model.queue("X")] == [2]
    assert Counter(e.kind for e in f.model.executions) == {ExecutionKind.NEW: 3, ExecutionKind.EXPIRED: 2}
    assert f.model.end_of_day(1, [], f.now())[0].reason == Reason.DATE_NOT_LATER
