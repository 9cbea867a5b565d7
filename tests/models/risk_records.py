"""What the plain model of pre-trade risk is asked, answers and remembers. Numbers are Python's, None is "no limit"."""

from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple

from engine.results import Status
from tests.models.trading_records import Instrument, TradingAccount

UNLIMITED = 2**63 - 1
"""What the engine's records say where the model says None."""

Names = tuple[tuple[int, int | None], ...]


class LimitScope(IntEnum):
    """Whose limits they are."""

    ACCOUNT = 0
    DESK = 1
    CLIENT = 2
    INSTRUMENT = 3
    DEFAULT = 4
    APPROVAL = 5


class LimitName(IntEnum):
    """Which limit."""

    MAX_QUANTITY = 0
    MAX_NOTIONAL = 1
    PRICE_COLLAR = 2
    OPEN_ORDERS = 3
    OPEN_NOTIONAL = 4
    POSITION_LONG = 5
    POSITION_SHORT = 6
    GROSS_EXPOSURE = 7
    NET_EXPOSURE = 8
    CREDIT_LIMIT = 9
    DAILY_LOSS = 10
    ORDER_RATE = 11
    ORDER_BURST = 12
    ORDER_TO_TRADE = 13
    ORDER_TO_TRADE_FREE = 14
    DUPLICATE_ORDER = 15
    SHORT_SALE = 16
    SUITABILITY = 17
    SUITABILITY_CONFIRMED = 18
    PROGRAMME_RATE = 19
    PROGRAMME_DAY = 20
    RESTRICTED = 21
    KILL_SWITCH = 22
    EXPOSURE_RATE = 23


L = LimitName
NOT_SET: dict[LimitName, int | None] = {
    **dict.fromkeys(L),
    **dict.fromkeys((L.ORDER_BURST, L.ORDER_TO_TRADE_FREE, L.DUPLICATE_ORDER, L.SHORT_SALE), 0),
    **dict.fromkeys((L.SUITABILITY, L.SUITABILITY_CONFIRMED, L.RESTRICTED, L.KILL_SWITCH), 0),
    L.EXPOSURE_RATE: 1_000_000,
}
"""What holds where nothing is set."""

MOST = {
    **dict.fromkeys(L, 2**62),
    L.PRICE_COLLAR: 10**6,
    L.ORDER_RATE: 10**9,
    L.ORDER_BURST: 10**9,
    L.ORDER_TO_TRADE: 10**6,
    L.DUPLICATE_ORDER: 86_400 * 10**9,
    L.SHORT_SALE: 2,
    L.SUITABILITY: 5,
    L.SUITABILITY_CONFIRMED: 5,
    L.RESTRICTED: 1,
    L.KILL_SWITCH: 1,
    L.EXPOSURE_RATE: 10**12,
}
LEAST = {**dict.fromkeys(L, 0), L.EXPOSURE_RATE: 1}
LOWER_IS_LOOSER = {L.DUPLICATE_ORDER, L.SHORT_SALE, L.RESTRICTED, L.KILL_SWITCH}

# --- commands and answers --------------------------------------------------------------------------


class SetLimits(NamedTuple):
    """One item of set_limits; a value of None takes the limit away. `id` is a number (account) or a text."""

    scope: LimitScope
    id: int | str
    values: Names
    symbol: str = ""
    actor: str = "ann"


class KillSwitch(NamedTuple):
    """One item of kill_switch."""

    scope: LimitScope
    id: int | str = 0
    on: bool = True
    actor: str = "ann"


class Approval(NamedTuple):
    """One item of approve_limits."""

    proposal_id: int
    actor: str
    approve: bool = True


class LimitsResult(NamedTuple):
    """What became of an item of set_limits or approve_limits."""

    status: Status
    proposal_id: int = 0


class Finding(NamedTuple):
    """What is said about a refusal."""

    scope: int
    limit: int
    used: int
    asked: int
    check: int = 0


class Exposure(NamedTuple):
    """What limits are held against, of a group."""

    open_orders: int
    open_buy: int
    open_sell: int
    long_value: int
    short_value: int
    realised: int
    unrealised: int
    traded: int
    messages: int
    trades: int
    rate_due: int
    second: int
    second_messages: int
    programme: int


class LimitsView(NamedTuple):
    """A group, or (with a symbol) an entry about one instrument."""

    scope: LimitScope
    id: int | str
    symbol: str
    updated: int
    limits: tuple[int, ...]
    own: int
    exposure: Exposure | None


class ProposalView(NamedTuple):
    """A raise, waiting or decided."""

    number: int
    scope: LimitScope
    id: int | str
    symbol: str
    values: Names
    actor: str
    decided_by: str
    timestamp: int
    decided_at: int
    state: int


# --- state -----------------------------------------------------------------------------------------


@dataclass(slots=True, eq=False)
class Entry:
    """Limits of an account, desk, client or instrument; or, with a symbol, in that instrument only."""

    scope: LimitScope
    id: int | str
    symbol: str = ""
    own: dict[LimitName, int] = field(default_factory=dict)
    updated: int = 0
    default: "Entry | None" = None  # of accounts

    def limit(self, name: LimitName) -> int | None:
        """What is in force."""
        if name in self.own:
            return self.own[name]
        if self.default is not None and name != L.KILL_SWITCH:
            return self.default.limit(name)
        return NOT_SET[name]

    def number(self, name: LimitName) -> int:
        """Of a limit that is a number also where it is not set."""
        value = self.limit(name)
        assert value is not None
        return value


@dataclass(slots=True, eq=False)
class Group(Entry):
    """An entry with what the day has brought."""

    traded: int = 0
    messages: int = 0
    trades: int = 0
    rate_due: int = 0
    second: int = 0
    second_messages: int = 0
    programme: int = 0


@dataclass(slots=True, eq=False)
class Holding:
    """What an account has in an instrument. Money is in the quote ledger's units here."""

    account: TradingAccount
    instrument: Instrument
    owns: bool  # what the base account holds is this position
    quantity: int = 0
    basis: int = 0
    realised: int = 0
    mark: int = 0
    begun: int = 0  # the basis when the day began
    joined: int = 0  # what has come to it since by other ways than trades

    def worth(self) -> int:
        """At its mark, signed."""
        if not self.mark:
            return self.basis
        worth = self.instrument.notional(self.mark, abs(self.quantity))
        return -worth if self.quantity < 0 else worth

    def set_mark(self, price: int) -> None:
        """The first mark makes the basis."""
        first = price and not self.mark
        self.mark = price
        if first:
            self.joined += self.worth() - self.basis
            self.basis = self.worth()


@dataclass(slots=True, eq=False)
class Proposal:
    """A raise that waits for a second person, or waited."""

    number: int
    command: SetLimits
    timestamp: int
    state: int = 0
    decided_by: str = ""
    decided_at: int = 0
