"""Random params of the order methods, for `lines`."""

from collections.abc import Callable
from random import Random
from typing import Any

from engine.order_results import OrderType, SelfTradePrevention, Session, Side, TimeInForce
from tests.models.limit_params import NAMES, SCOPES, SHORT_SALES
from tests.models.order_params import CHANGEABLE, PROFILES

SYMBOLS = ["CF701", "600519", "BTC-USD", "A", "X.Y_Z-0", "ABCDEFGHIJKLMNOPQRSTUVWX", "SIXTEEN-LETTERS-"]
ODD_SYMBOLS = ['"cf701"', '""', '"ABCDEFGHIJKLMNOPQRSTUVWXY"', '"A B"', '"A\\u0000"', '"É"', '"A/B"', "7", '"\\"A"']
ORDER_METHODS = [
    "create_instruments", "update_instruments", "create_trading_accounts", "submit_orders", "cancel_orders",
    "replace_orders", "mass_cancel", "set_session", "end_of_day", "bust_trades", "correct_trades", "get_orders",
    "get_book", "get_trades", "get_positions", "get_margin_calls", "get_executions", "get_instruments", "subscribe",
    "unsubscribe", "set_limits", "kill_switch", "approve_limits", "get_limits", "get_proposals",
]  # fmt: skip
INT63, INT32 = 2**63 - 1, 2**32 - 1


class OrderItems:
    """The part of `Lines` about orders."""

    random: Random
    spoil: float
    plain: bool
    chance: Callable[[float], bool]
    string: Callable[[str], str]
    member: Callable[[str, str], str]
    object: Callable[[list[str]], str]
    array: Callable[[list[str]], str]
    odd: Callable[[], str]
    integer: Any
    uuid: Callable[[], str]
    boolean: Callable[[], str]
    optional: Any

    # --- values ---

    def symbol(self) -> str:
        if self.chance(self.spoil):
            return self.random.choice([*ODD_SYMBOLS, self.odd()])
        return self.string(self.random.choice(SYMBOLS))

    def choice(self, names: list[str]) -> str:
        if self.chance(self.spoil):
            return self.random.choice(['"x"', '"Buy"', self.odd()])
        return self.string(self.random.choice(names))

    def of(self, kind: Any) -> str:
        return self.choice([member.name.lower() for member in kind])

    def text(self) -> str:
        if self.chance(self.spoil):
            return self.random.choice(['"' + "x" * 25 + '"', '"é"', self.odd()])
        pick = self.random.random()
        if pick < 0.3:
            return str(self.random.randrange(2 ** self.random.randrange(1, 64)))
        length = self.random.choice([1, 5, 15, 16, 17, 24])
        return self.string("".join(self.random.choice('aZ0 ~!"\\/') for _ in range(length)))

    def table(self, keys: list[str]) -> str:
        """An object whose keys are values."""
        if self.chance(self.spoil):
            return self.odd()
        picked = self.random.sample(keys, self.random.randrange(min(5, len(keys))))
        if picked and self.chance(self.spoil):
            picked.append(self.random.choice([*picked, "x", "0", "01"]))
        comma = "," if self.plain else self.random.choice([",", " ,", ", "])
        return "{" + comma.join(self.member(key, self.integer(INT63, 1)) for key in picked) + "}"

    # --- items ---

    def order(self) -> str:
        kind = self.random.choice(list(OrderType))
        time = self.random.choice([None, *TimeInForce])
        members = [
            self.member("client_order_id", self.uuid()),
            self.member("account_id", self.integer(INT63)),
            self.member("instrument", self.symbol()),
            self.member("side", self.of(Side)),
            self.member("type", self.string(kind.name.lower()) if not self.chance(self.spoil) else self.odd()),
            self.member("quantity", self.integer(INT63)),
        ]
        limited = kind in {OrderType.LIMIT, OrderType.STOP_LIMIT}
        stop = kind in {OrderType.STOP, OrderType.STOP_LIMIT}
        if limited != self.chance(self.spoil) or self.chance(0.2):
            members.append(self.member("price", self.integer(INT63)))
        if stop != self.chance(self.spoil):
            members.append(self.member("stop_price", self.integer(INT63)))
        if time is not None:
            members.append(self.member("time_in_force", self.string(time.name.lower())))
        if (time == TimeInForce.GTD) != self.chance(self.spoil):
            members.append(self.member("expire_time", self.integer(INT63)))
        members += self.optional("display_quantity", lambda: self.integer(INT63), 0.1)
        members += self.optional("post_only", self.boolean, 0.2)
        members += self.optional("self_trade_prevention", lambda: self.of(SelfTradePrevention), 0.2)
        members += self.optional("offset", lambda: self.choice(["auto", "open", "close", "close_today"]), 0.2)
        return self.object(members)

    def amend(self, *, replace: bool) -> str:
        members = [self.member("account_id", self.integer(INT63))]
        by_order = self.chance(0.5)
        if by_order != self.chance(self.spoil):
            members.append(self.member("order_id", self.integer(INT63, 1)))
        if by_order == self.chance(self.spoil):
            members.append(self.member("client_order_id", self.uuid()))
        if replace:
            for name in ("quantity", "price", "stop_price"):
                members += self.optional(name, lambda: self.integer(INT63), 0.4)
        return self.object(members)

    def trade(self, *, correct: bool) -> str:
        members = [self.member("trade_id", self.integer(INT63, 1))]
        if correct:
            members.append(self.member("price", self.integer(INT63, 1)))
        return self.object(members)

    def changes(self, probability: float) -> list[str]:
        members = []
        for name in CHANGEABLE:
            high = INT32 if name.endswith("_ppm") else INT63
            members += self.optional(name, lambda high=high: self.integer(high), probability)
        return members

    def instrument(self) -> str:
        members = [self.member("instrument", self.symbol())]
        members += [self.member(name, self.integer(INT32)) for name in ("base_ledger", "quote_ledger")]
        profile = self.chance(0.3)
        for name in ("tick_size", "lot_size"):
            members += self.optional(name, lambda: self.integer(INT63), 0.3 if profile else 1.0)
        for name in ("price_scale", "contract_size", "fee_account_id"):
            members += self.optional(name, lambda: self.integer(INT63), 0.2)
        members += self.changes(0.1)
        members += self.optional("settlement", lambda: self.choice(["T+0", "T+1"]), 0.3)
        members += self.optional("pricing", lambda: self.choice(["maker", "median"]), 0.2)
        members += self.optional("kind", lambda: self.choice(["spot", "futures"]), 0.2)
        members += self.optional("session", lambda: self.of(Session), 0.2)
        if profile:
            members.append(self.member("profile", self.choice(list(PROFILES))))
        return self.object(members)

    def trading_account(self) -> str:
        ledgers = [str(self.random.randrange(1, 2**32)) for _ in range(6)]
        if self.chance(0.5):
            ledgers.sort(key=int)
        members = [self.member("id", self.integer(INT63)), self.member("accounts", self.table(ledgers))]
        members += self.optional("owner", self.text, 0.5)
        members += self.optional("desk", self.text, 0.5)
        return self.object(members)

    # --- params ---

    def conditions(self, method: str) -> str:
        members = []
        if method == "get_book":
            members.append(self.member("instrument", self.symbol()))
            members += self.optional("depth", lambda: self.integer(100, 1))
            return self.object(members)
        if method == "get_orders" and not self.chance(self.spoil):
            members.append(self.member("account_id", self.integer(INT63, 1)))
            members += self.optional("open_only", self.boolean)
        elif method != "get_instruments":
            members += self.optional("account_id", lambda: self.integer(INT63, 1), 0.5)
        members += self.optional("instrument", self.symbol)
        members += self.optional("limit", lambda: self.integer(100, 1))
        if method in {"get_orders", "get_trades", "get_executions"}:
            members += self.optional("timestamp_min", lambda: self.integer(10**18), 0.2)
            members += self.optional("timestamp_max", lambda: self.integer(INT63), 0.2)
            members += self.optional("reversed", self.boolean)
            members += self.optional("after", lambda: self.integer(INT63), 0.2)
        if method in {"get_orders", "get_executions"}:
            members += self.optional("order_id", lambda: self.integer(INT63, 1), 0.2)
        if method in {"get_trades", "get_executions"}:
            members += self.optional("from_seq", lambda: self.integer(INT63), 0.3)
        return self.object(members)

    def topics(self) -> str:
        topics = [self.string(self.random.choice(["executions", "book:CF701", "x", ""])) for _ in range(2)]
        if self.chance(self.spoil):
            topics.append(self.odd())
        members = [self.member("topics", self.array(topics))]
        members += self.optional("from_seq", lambda: self.integer(INT63))
        members += self.optional("depth", lambda: self.integer(8190, 1))
        return self.object(members)

    def whose(self, *, needed: bool) -> list[str]:
        """A scope and, as far as it has one, an id, in either order."""
        scope = self.random.choice(SCOPES)
        members = [self.member("scope", self.choice([scope]))]
        if scope in {"default", "approval"}:
            return members + self.optional("id", self.text, self.spoil)
        read = {"account": lambda: self.integer(INT63, 1), "instrument": self.symbol}.get(scope, self.text)
        members += self.optional("id", read, 1.0 - self.spoil if needed else 0.5)
        if self.chance(0.3):
            members.reverse()
        return members

    def limit(self, name: str) -> str:
        if self.chance(0.2):
            return "null"
        if name in {"restricted", "kill_switch"}:
            return self.boolean()
        return self.choice(list(SHORT_SALES)) if name == "short_sale" else self.integer(INT63)

    def limits(self) -> str:
        members = self.whose(needed=True)
        members += self.optional("instrument", self.symbol, 0.1)
        names = self.random.sample(NAMES, self.random.choice([1, 1, 2, 5, len(NAMES)]))
        for name in [] if self.chance(self.spoil) else names:
            members.append(self.member(name, self.limit(name)))
        return self.object(members)

    def limits_params(self, method: str) -> str:
        if method == "kill_switch":
            return self.object([*self.whose(needed=True), self.member("on", self.boolean())])
        if method in {"get_limits", "get_proposals"}:
            members = self.whose(needed=False) if method == "get_limits" and self.chance(0.7) else []
            members += self.optional("after", lambda: self.integer(INT63), 0.3)
            return self.object(members + self.optional("limit", lambda: self.integer(50, 1), 0.5))
        if method == "set_limits":
            return self.array([self.limits() for _ in range(self.random.choice([0, 1, 1, 2, 3]))])
        approvals = [
            self.object(
                [self.member("proposal_id", self.integer(INT63, 1)), *self.optional("approve", self.boolean, 0.5)]
            )
            for _ in range(self.random.choice([0, 1, 2]))
        ]
        return self.array(approvals)

    def order_params(self, method: str) -> str:
        if "limits" in method or method in {"kill_switch", "get_proposals"}:
            return self.limits_params(method)
        items: dict[str, Callable[[], str]] = {
            "create_instruments": self.instrument,
            "update_instruments": lambda: self.object([self.member("instrument", self.symbol()), *self.changes(0.3)]),
            "create_trading_accounts": self.trading_account,
            "submit_orders": self.order,
            "cancel_orders": lambda: self.amend(replace=False),
            "replace_orders": lambda: self.amend(replace=True),
            "bust_trades": lambda: self.trade(correct=False),
            "correct_trades": lambda: self.trade(correct=True),
        }
        if method in items:
            return self.array([items[method]() for _ in range(self.random.choice([0, 1, 1, 1, 2, 3]))])
        if method == "mass_cancel":
            members = self.optional("account_id", lambda: self.integer(INT63, 1))
            members += self.optional("instrument", self.symbol)
            members += self.optional("side", lambda: self.of(Side))
            return self.object(members)
        if method == "set_session":
            members = [self.member("instrument", self.symbol()), self.member("state", self.of(Session))]
            return self.object(members + self.optional("cancels", self.boolean))
        if method == "end_of_day":
            date = self.random.choice(["20261123", "20260228", '"20280229"', "20260229", "20261301", "19691231", "0"])
            if not self.chance(self.spoil):
                date = "20261124"
            members = [self.member("business_date", date)]
            return self.object(members + self.optional("settlement_prices", lambda: self.table(SYMBOLS), 0.7))
        if method in {"subscribe", "unsubscribe"}:
            return self.topics()
        return self.conditions(method)
