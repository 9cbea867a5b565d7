"""Seeded random order flow: a small exchange with instruments of every kind, and traders who share and lack things.

A world has habits of its own: how wide prices lie, how rich the traders are, how often what happens. It reads the
plain model to ask for things that exist, and sends now and then what cannot be.
"""

from random import Random
from typing import Any

from engine.order_results import (
    SESSION_ANY,
    InstrumentFlag,
    Offset,
    OrderType,
    SelfTradePrevention,
    Session,
    Side,
    TimeInForce,
)
from engine.results import AccountFlag, TransferFlag
from tests.engine.trading_limits import CLIENTS, DESKS, LimitCommands
from tests.engine.trading_subjects import Read, Step
from tests.models.records import Account, Transfer, Update
from tests.models.trading import Trading
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

SECOND = 1_000_000_000
START = 1_790_000_000 * SECOND
CNY = 156
BANK, FEES = 1, 2
CASH = (11, 12, 13, 14)
"""Cash accounts; 11 is plain, 12 must not be overdrawn, 13 may be by a little, 14 is shared by two traders."""
TRADERS = (101, 102, 103, 104, 105, 106, 107)
"""104 and 105 share their cash account, 106 has all accounts of 101; 107 holds no asset of the first instrument."""
CASH_OF = {101: 11, 102: 12, 103: 13, 104: 14, 105: 14, 106: 11, 107: 12}
SYMBOLS = ("COIN", "SHARE", "PTA", "HALT")
NOWHERE = 10**6
"""An id that nobody has."""


class Habits:
    """What this world is like."""

    def __init__(self, random: Random) -> None:
        self.width = random.choice([1, 2, 3, 10, 400])
        """How far prices lie from the middle, in ticks."""
        self.rich = random.choice([3, 30, 3_000])
        """How many average orders a trader can pay."""
        self.lots = random.choice([3, 10, 100])
        self.aggressive = random.choice([0.2, 0.5, 0.8])
        self.nonsense = random.choice([0, 0.02, 0.1])
        self.batch = random.choice([1, 1, 3, 8])
        self.batches = random.choice([0, 0.1, 0.5])
        self.fees = random.choice([0, 1, 1, 5])
        self.median_spot = random.random() < 0.2
        self.limits = random.choice([0, 2, 6])
        """How often they are set."""
        self.paces = random.choice([[SECOND, SECOND, 7 * SECOND], [5_000_000], [5_000_000, SECOND // 3, 2 * SECOND]])
        """Time between steps."""
        self.repeats = random.choice([0, 0.1])


def instruments(random: Random, habits: Habits) -> list[InstrumentTerms]:
    fees = {"fee_account_id": FEES} if habits.fees else {}

    def charged(**rates: int) -> dict[str, int]:
        return {**{name: rate * habits.fees for name, rate in rates.items()}, **fees} if fees else {}

    return [
        InstrumentTerms(
            "COIN",
            601,
            CNY,
            tick_size=random.choice([1, 5, 8]),
            lot_size=random.choice([1, 1, 3]),
            price_scale=random.choice([1, 7, 100, 1_000]),
            flags=InstrumentFlag.MEDIAN_PRICE if habits.median_spot else InstrumentFlag(0),
            reference_price=random.choice([0, 1_000]),
            market_protection_ppm=random.choice([0, 50_000, 1_000_000]),
            session=random.choice([Session.CONTINUOUS, Session.CONTINUOUS, Session.AUCTION]),
            **charged(
                maker_fee_ppm=random.choice([0, 900]),
                taker_fee_ppm=random.choice([300, 40_000]),
                minimum_fee=random.choice([0, 3]),
            ),
        ),
        InstrumentTerms(
            "SHARE",
            602,
            CNY,
            lot_size=100,
            flags=InstrumentFlag.T1,
            reference_price=1_000,
            price_band_ppm=random.choice([100_000, 200_000]),
            price_cage_ppm=random.choice([0, 20_000]),
            session=random.choice([Session.CONTINUOUS, Session.PRE_OPEN]),
            **charged(maker_fee_ppm=250, taker_fee_ppm=250, minimum_fee=500, transfer_fee_ppm=10, sell_duty_ppm=500),
        ),
        InstrumentTerms(
            "PTA",
            603,
            CNY,
            tick_size=2,
            contract_size=5,
            flags=InstrumentFlag.FUTURES | InstrumentFlag.MEDIAN_PRICE,
            reference_price=random.choice([6_000, 6_000, 0]),
            price_band_ppm=40_000,
            initial_margin_ppm=60_000,
            maintenance_margin_ppm=50_000,
            **charged(maker_fee_ppm=50, taker_fee_ppm=100, minimum_fee=random.choice([0, 4])),
        ),
        InstrumentTerms(
            "HALT",
            604,
            CNY,
            tick_size=10,
            lot_size=5,
            price_scale=10,
            contract_size=3,
            reference_price=2_000,
            circuit_breaker_ppm=random.choice([10_000, 30_000]),
            flags=random.choice([InstrumentFlag(0), InstrumentFlag.T1]),
            **charged(taker_fee_ppm=1_000),
        ),
    ]


def assets_of(trader: int) -> dict[int, int]:
    """Ledger -> account of the assets."""
    who = 101 if trader == 106 else trader
    ledgers = (602, 603, 604) if trader == 107 else (601, 602, 603, 604)
    return {ledger: ledger * 1_000 + who for ledger in ledgers}


def setup(random: Random, habits: Habits) -> list[Step]:
    """The exchange opens; every trader has something."""
    flags = {12: AccountFlag.DEBITS_MUST_NOT_EXCEED_CREDITS, 13: AccountFlag.DEBITS_MUST_NOT_EXCEED_CREDITS}
    overdrafts = {13: 5_000}
    accounts = [Account(i, CNY, 1, flags.get(i, 0), overdrafts.get(i, 0)) for i in (BANK, FEES, *CASH)]
    links = {trader: assets_of(trader) for trader in TRADERS}
    vaults = {ledger: ledger * 1_000 for ledger in (601, 602, 603, 604)}
    accounts += [Account(account, ledger, 1) for ledger, account in vaults.items()]
    for trader in TRADERS:
        for ledger, account in links[trader].items():
            if trader != 106:
                flag = random.choice([0, AccountFlag.DEBITS_MUST_NOT_EXCEED_CREDITS])
                accounts.append(Account(account, ledger, 1, flag))
    average = habits.rich * habits.lots
    moves = [(BANK, account, average * random.randint(1_000, 60_000), CNY) for account in CASH]
    for trader in TRADERS:
        for ledger, account in links[trader].items():
            if trader != 106:
                moves.append((vaults[ledger], account, average * random.randint(1, 100), ledger))
    return [
        Step("create_accounts", tuple(accounts), START),
        Step("create_instruments", tuple(instruments(random, habits)), START + SECOND),
        Step(
            "create_trading_accounts",
            tuple(
                NewTradingAccount(
                    t, ((CNY, CASH_OF[t]), *links[t].items()), owner=CLIENTS.get(t, ""), desk=DESKS.get(t, "")
                )
                for t in TRADERS
            ),
            START + 2 * SECOND,
        ),
        Step(
            "create_transfers",
            tuple(Transfer(i + 1, d, c, n, ledger, 1) for i, (d, c, n, ledger) in enumerate(moves)),
            START + 3 * SECOND,
        ),
        Step("define_scope", (1, ((BANK, 11), (601_000, 604_999))), START + 4 * SECOND),
    ]


class Generator(LimitCommands):
    """One step after the other."""

    def __init__(self, random: Random, model: Trading, habits: Habits) -> None:
        self.random, self.model, self.habits = random, model, habits
        self.time = START + 5 * SECOND
        self.next_id = 1_000
        self.date = 20260104
        self.closers: list[int] = []

    def step(self) -> Step:
        """A request; sometimes several in one batch."""
        self.time += self.random.choice(self.habits.paces)
        if self.random.random() < 0.002:
            self.time += 40_000 * SECOND
        if self.random.random() < self.habits.batches:
            requests = tuple(self.request() for _ in range(self.random.randint(2, 5)))
            return Step("batch", tuple(r._replace(time=self.time) for r in requests if r.items), self.time)
        return self.request()

    def request(self) -> Step:
        r = self.random
        kinds = {
            self.submit: 64,
            self.cancel: 7,
            self.replace: 12,
            self.mass_cancel: 0.5,
            self.session: 2 + 3 * sum(i.session != Session.CONTINUOUS for i in self.model.instruments.values()),
            self.deposit: 5,
            self.freeze: 2,
            self.close: 0.7,
            self.bust: 3,
            self.day: 0.7,
            self.update: 1.5,
            self.tick: 1,
            self.limits: self.habits.limits * 2,
            self.kill: self.habits.limits * 0.2,
            self.approve: self.habits.limits * (0.1 + 0.4 * any(not p.state for p in self.model.risk.proposals)),
        }
        method, items = r.choices(list(kinds), list(kinds.values()))[0]()
        scope = 1 if method in {"submit_orders", "cancel_orders", "replace_orders"} and r.random() < 0.01 else 0
        return Step(method, tuple(items), self.time, scope)

    def read(self) -> Read:
        r, m = self.random, self.model
        orders, trades, executions = len(m.orders), len(m.trades), len(m.executions)
        method, last = r.choice([("get_orders", orders), ("get_trades", trades), ("get_executions", executions)])
        return Read(
            method,
            account_id=r.choice([0, *TRADERS, NOWHERE]),
            symbol=r.choice(["", "", *SYMBOLS]),
            order_id=r.randint(0, orders) if r.random() < 0.2 else 0,
            after=r.randint(0, last + 1) if r.random() < 0.5 else 0,
            limit=r.choice([1, 7, 8_190]),
            open_only=r.random() < 0.3,
            newest_first=r.random() < 0.4,
            scope=r.choice([0, 0, 0, 1, 2]),
        )

    def new_id(self) -> int:
        self.next_id += 1
        return self.next_id

    def odd(self) -> bool:
        return self.random.random() < self.habits.nonsense

    # --- orders ------------------------------------------------------------------------------------

    def submit(self) -> tuple[str, list[Any]]:
        return "submit_orders", [self.order() for _ in range(self.random.randint(1, self.habits.batch))]

    def order(self) -> NewOrder:
        r = self.random
        if self.model.orders and r.random() < self.habits.repeats:
            return self.model.orders[-1 - r.randrange(min(5, len(self.model.orders)))].command._replace(
                client_order_id=self.new_id()
            )
        instrument = self.some_instrument()
        symbol = instrument.terms.symbol
        side = r.choice([Side.BUY, Side.SELL])
        kind = r.choices(list(OrderType), [80, 8, 6, 6])[0]
        tif = r.choices(list(TimeInForce), [30, 30, 8, 10, 8] if kind in {0, 1} else [30, 30, 8, 1, 1])[0]
        quantity = self.quantity(instrument)
        iceberg = kind == OrderType.LIMIT and tif < TimeInForce.IOC and r.random() < 0.15
        order = NewOrder(
            account_id=r.choice(TRADERS),
            client_order_id=self.new_id() << r.choice([0, 64]),
            symbol=symbol,
            side=side,
            quantity=quantity,
            price=self.price(instrument, side) if kind in {0, 3} or r.random() < 0.3 else 0,
            type=kind,
            time_in_force=tif,
            stop_price=self.stop_price(instrument, side) if kind >= OrderType.STOP else 0,
            display_quantity=max(1, quantity // instrument.terms.lot_size // r.choice([2, 3, 10]))
            * instrument.terms.lot_size
            if iceberg
            else 0,
            expire_time=self.time + r.randint(1, 60) * SECOND if tif == TimeInForce.GTD else 0,
            session=r.choice([0, 0, 7, 8]),
            self_trade_prevention=r.choice([SelfTradePrevention.NONE, *SelfTradePrevention]),
            offset=r.choice([Offset.AUTO, *Offset]) if instrument.futures else Offset.AUTO,
            post_only=kind == OrderType.LIMIT and tif < TimeInForce.IOC and r.random() < 0.1,
        )
        return self.spoil(order) if self.odd() else order

    def some_instrument(self) -> Instrument:
        """Mostly one that trades."""
        found = self.model.instruments[self.random.choice(SYMBOLS)]
        trading = [i for i in self.model.instruments.values() if i.session in {Session.AUCTION, Session.CONTINUOUS}]
        return found if found in trading or not trading or self.random.random() < 0.1 else self.random.choice(trading)

    def spoil(self, order: NewOrder) -> NewOrder:
        """One member that does not belong."""
        r = self.random
        changes: list[dict[str, Any]] = [
            {"account_id": NOWHERE},
            {"symbol": "NOTHING"},
            {"client_order_id": r.randint(1_000, self.next_id)},
            {"price": order.price + 1},
            {"price": 0},
            {"price": 2**40},
            {"stop_price": order.stop_price + 1},
            {"stop_price": 0},
            {"quantity": order.quantity + 1},
            {"quantity": 0},
            {"quantity": 10**15 * 300},
            {"display_quantity": order.quantity * 2},
            {"display_quantity": self.model.instruments[order.symbol].terms.lot_size, "quantity": 10**9 * 3},
            {"expire_time": START},
            {"post_only": True},
            {"offset": Offset.CLOSE},
            {"time_in_force": TimeInForce.FOK},
        ]
        return order._replace(**r.choice(changes))

    def quantity(self, instrument: Instrument) -> int:
        r = self.random
        lots = r.randint(1, r.choice([1, self.habits.lots, self.habits.lots]))
        return lots * instrument.terms.lot_size

    def middle(self, instrument: Instrument) -> int:
        tick = instrument.terms.tick_size
        return (instrument.last_price or instrument.terms.reference_price or 1_000) // tick * tick

    def price(self, instrument: Instrument, side: Side) -> int:
        """Near the middle, on the passive or the aggressive side of it."""
        r, tick = self.random, instrument.terms.tick_size
        off = r.randint(0, self.habits.width)
        better = 1 if (side == Side.BUY) == (r.random() < self.habits.aggressive) else -1
        middle = self.middle(instrument)
        if r.random() < 0.03:
            low, high = instrument.band()
            middle = r.choice([max(low, tick), high]) if high < 10**7 else middle * 3
        if r.random() < 0.005:
            return r.choice([tick, tick * (2**30 - 1)])
        return max(tick, middle + better * off * tick)

    def stop_price(self, instrument: Instrument, side: Side) -> int:
        r, tick = self.random, instrument.terms.tick_size
        away = r.randint(-1, self.habits.width + 2) * (1 if side == Side.BUY else -1)
        return max(tick, self.middle(instrument) + away * tick)

    # --- amendments --------------------------------------------------------------------------------

    def some_order(self) -> Order | None:
        r = self.random
        opened = [o for o in self.model.orders[-400:] if o.place]
        if opened and r.random() < 0.92:
            return r.choice(opened)
        return r.choice(self.model.orders) if self.model.orders else None

    def name(self, order: Order) -> dict[str, int]:
        r = self.random
        account = order.account.id if r.random() < 0.98 else r.choice((*TRADERS, NOWHERE))
        if r.random() < 0.5:
            return {"account_id": account, "client_order_id": order.command.client_order_id}
        return {"account_id": account, "order_id": order.id if r.random() < 0.98 else order.id + NOWHERE}

    def cancel(self) -> tuple[str, list[Any]]:
        orders = [self.some_order() for _ in range(self.random.randint(1, self.habits.batch))]
        return "cancel_orders", [Amend(**self.name(order)) for order in orders if order]

    def replace(self) -> tuple[str, list[Any]]:
        orders = [self.some_order() for _ in range(self.random.randint(1, self.habits.batch))]
        return "replace_orders", [self.replacement(order) for order in orders if order]

    def replacement(self, order: Order) -> Amend:
        r = self.random
        lot = order.instrument.terms.lot_size
        quantity = price = stop_price = None
        if r.random() < 0.6:
            quantity = max(lot, order.quantity + r.randint(-5, 4) * lot)
        if r.random() < 0.5:
            price = self.price(order.instrument, order.side)
        if r.random() < (0.5 if order.place == "stops" else 0.01):
            stop_price = self.stop_price(order.instrument, order.side)
        if self.odd():
            quantity, price = r.choice([(0, price), ((quantity or 0) + 1, price), (quantity, 0), (quantity, 3)])
        return Amend(**self.name(order), quantity=quantity, price=price, stop_price=stop_price)

    def mass_cancel(self) -> tuple[str, list[Any]]:
        r = self.random
        return "mass_cancel", [
            MassCancel(
                account_id=r.choice([0, *TRADERS, NOWHERE]) if r.random() < 0.7 else 0,
                symbol=r.choice([*SYMBOLS, "NOTHING"]) if r.random() < 0.6 else "",
                session=r.choice([0, 0, 7, 8, SESSION_ANY]),
                side=r.choice([None, Side.BUY, Side.SELL]),
            )
        ]

    # --- the market --------------------------------------------------------------------------------

    def session(self) -> tuple[str, list[Any]]:
        r = self.random
        symbol = r.choice((*SYMBOLS, "NOTHING") if self.odd() else SYMBOLS)
        quiet = [s for s in SYMBOLS if self.model.instruments[s].session != Session.CONTINUOUS]
        if quiet and r.random() < 0.7:
            symbol = r.choice(quiet)
            state = r.choice([Session.CONTINUOUS, Session.CONTINUOUS, Session.AUCTION])
        else:
            state = r.choice([*Session, Session.AUCTION, Session.AUCTION, Session.CONTINUOUS])
        return "set_session", [SessionChange(symbol, state, no_cancel=r.random() < 0.3)]

    def day(self) -> tuple[str, list[Any]]:
        r = self.random
        self.date += r.choice([1, 1, 1, 0])
        prices = [(s, self.middle(self.model.instruments[s])) for s in SYMBOLS if r.random() < 0.3]
        prices = [(s, max(self.model.instruments[s].terms.tick_size, p)) for s, p in prices]
        if self.odd():
            prices.append(r.choice([("NOTHING", 1_000), ("PTA", 6_001), ("HALT", 0)]))
        return "end_of_day", [self.date, *prices]

    def update(self) -> tuple[str, list[Any]]:
        """New terms for an instrument; those that it does not have stay away."""
        r = self.random
        instrument = self.model.instruments[r.choice(SYMBOLS)]
        terms = instrument.terms
        changes = {"reference_price": self.price(instrument, Side.BUY)}
        for member in ("price_band_ppm", "price_cage_ppm", "circuit_breaker_ppm", "initial_margin_ppm"):
            if getattr(terms, member):
                changes[member] = max(1, getattr(terms, member) + r.choice([-5_000, 5_000, 20_000]))
        if terms.fee_account_id:
            rates = ("maker_fee_ppm", "taker_fee_ppm", "transfer_fee_ppm", "minimum_fee")
            changes.update({rate: max(0, getattr(terms, rate) * 2 + r.choice([-3, 0, 2])) % 100_000 for rate in rates})
        changes["market_protection_ppm"] = r.choice([0, 10_000, 50_000, 200_000])
        member = r.choice(list(changes))
        return "update_instrument", [terms.symbol, ((member, changes[member]),)]

    def bust(self) -> tuple[str, list[Any]]:
        r, trades = self.random, self.model.trades
        trade_id = r.randint(max(1, len(trades) - 30), len(trades)) if trades and r.random() < 0.95 else NOWHERE
        price = 0
        if r.random() < 0.4 and trade_id <= len(trades):
            price = self.price(trades[trade_id - 1].instrument, r.choice([Side.BUY, Side.SELL]))
        return "bust_trades", [(trade_id, price + 1 if self.odd() else price)]

    def tick(self) -> tuple[str, list[Any]]:
        self.time += self.random.choice([0, 30 * SECOND])
        return "tick", []

    # --- plain banking in between --------------------------------------------------------------------

    def account(self) -> int:
        r = self.random
        return r.choice(CASH) if r.random() < 0.7 else r.choice([a for t in TRADERS for a in assets_of(t).values()])

    def deposit(self) -> tuple[str, list[Any]]:
        """Money or assets come, or go as far as the account's flags allow."""
        r = self.random
        account = self.account()
        stored = self.model.account(account)
        ledger = stored.command.ledger
        house = BANK if ledger == CNY else ledger * 1_000
        funds = max(0, stored.credits_posted - stored.debits_posted)
        if r.random() < 0.5:
            return "create_transfers", [Transfer(self.new_id(), house, account, r.randint(1, 5_000), ledger, 1)]
        amount = r.choice([funds, funds // 2, max(0, funds - stored.debits_pending), r.randint(1, 3_000)])
        if not stored.flags & AccountFlag.DEBITS_MUST_NOT_EXCEED_CREDITS:
            amount = min(amount, max(0, funds - stored.debits_pending))
        return "create_transfers", [Transfer(self.new_id(), account, house, amount, ledger, 1)]

    def freeze(self) -> tuple[str, list[Any]]:
        frozen = [a for a in self.model.ledger._accounts.values() if a.flags & AccountFlag.FROZEN]
        if frozen and self.random.random() < 0.6:
            return "update_accounts", [Update(self.random.choice(frozen).command.id, frozen=False)]
        return "update_accounts", [Update(self.account(), frozen=self.random.random() < 0.5)]

    def close(self) -> tuple[str, list[Any]]:
        """Close an account by a hold of nothing, or open it again."""
        r = self.random
        if self.closers and r.random() < 0.8:
            hold = self.closers.pop(r.randrange(len(self.closers)))
            flags = TransferFlag.VOID_PENDING_TRANSFER
            return "create_transfers", [Transfer(self.new_id(), pending_id=hold, flags=flags)]
        account = self.account()
        ledger = self.model.account(account).command.ledger
        house = BANK if ledger == CNY else ledger * 1_000
        hold = self.new_id()
        self.closers.append(hold)
        flags = TransferFlag.PENDING | TransferFlag.CLOSING_DEBIT
        return "create_transfers", [Transfer(hold, account, house, 0, ledger, 1, flags)]
