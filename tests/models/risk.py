"""A slow, plain model of docs/RISK.md: whose limits, exposures, and who may raise what.

Exposures are sums that are made when somebody asks: over the open orders with the value that each was counted with,
and over what accounts have in instruments. `recomputed` makes them again from orders and trades alone.
"""

from collections.abc import Iterator, Sequence

from engine.order_results import Reason
from engine.results import Status
from tests.models.risk_checks import Question, first_refusal
from tests.models.risk_records import (
    LEAST,
    LOWER_IS_LOOSER,
    MOST,
    UNLIMITED,
    Approval,
    Entry,
    Exposure,
    Group,
    Holding,
    LimitName,
    LimitScope,
    LimitsResult,
    LimitsView,
    Proposal,
    ProposalView,
    SetLimits,
)
from tests.models.trading_records import MILLION, Instrument, Order, Trade, TradingAccount, divide
from tests.models.trading_settlement import Refused, Settlement

SECOND = 10**9
VALUE_MAX = 2**56
SUM_MAX = 2**61
L = LimitName
OF_INSTRUMENTS = {L.EXPOSURE_RATE}
OF_ACCOUNTS = {L.DUPLICATE_ORDER, L.PROGRAMME_RATE, L.PROGRAMME_DAY}
OF_PERSONS = {L.SUITABILITY_CONFIRMED}


def signed(value: int, amount: int) -> int:
    return -amount if value < 0 else amount


class Risk:
    """Limits and exposures of everybody who trades."""

    def __init__(self, floor: Settlement) -> None:
        self.floor = floor
        self.default = Group(LimitScope.DEFAULT, "")
        self.approval = Group(LimitScope.APPROVAL, "")
        self.named: dict[tuple[LimitScope, str], Group] = {}
        self.accounts: dict[int, Group] = {}
        self.instruments: dict[str, Group] = {}
        self.entries: dict[tuple[LimitScope, int | str, str], Entry] = {}
        self.proposals: list[Proposal] = []
        self.open: dict[Order, int] = {}
        self.accepted: dict[Order, int] = {}
        self.holdings: dict[tuple[int, int], Holding] = {}
        self.next_revaluation = 0

    # --- who there is ------------------------------------------------------------------------------

    def new_instrument(self, instrument: Instrument) -> None:
        symbol = instrument.terms.symbol
        self.instruments[symbol] = Group(LimitScope.INSTRUMENT, symbol)

    def new_account(self, account: TradingAccount) -> None:
        self.accounts[account.id] = Group(LimitScope.ACCOUNT, account.id, default=self.default)
        for scope, name in ((LimitScope.DESK, account.desk), (LimitScope.CLIENT, account.owner)):
            if name:
                self.named.setdefault((scope, name), Group(scope, name))

    def new_position(self, account: TradingAccount, instrument: Instrument) -> None:
        """With the account's first order in the instrument that leaves a trace."""
        key = account.number, instrument.number
        if key in self.holdings:
            return
        base = None if instrument.futures else account.links.get(instrument.terms.base_ledger)
        taken = {h.account.links[h.instrument.terms.base_ledger] for h in self._of(account) if h.owns}
        self.holdings[key] = Holding(account, instrument, owns=base is not None and base not in taken)

    def _of(self, account: TradingAccount) -> list[Holding]:
        return [h for h in self.holdings.values() if h.account is account]

    def groups_of(self, account: TradingAccount, instrument: Instrument) -> tuple[Group | None, ...]:
        """Account, desk, client, instrument."""
        return (
            self.accounts[account.id],
            self.named.get((LimitScope.DESK, account.desk)),
            self.named.get((LimitScope.CLIENT, account.owner)),
            self.instruments[instrument.terms.symbol],
        )

    def _groups(self, order: Order) -> list[Group]:
        return [group for group in self.groups_of(order.account, order.instrument) if group is not None]

    # --- what things are worth ---------------------------------------------------------------------

    def rate(self, instrument: Instrument) -> int:
        return self.instruments[instrument.terms.symbol].number(L.EXPOSURE_RATE)

    def converted(self, instrument: Instrument, amount: int) -> int:
        return divide(amount * self.rate(instrument), MILLION)

    def value(self, instrument: Instrument, price: int, quantity: int) -> int:
        """Of an order; more than 2^56 is all the same."""
        return min(self.converted(instrument, instrument.notional(price, quantity)), VALUE_MAX + 1)

    def clamped(self, instrument: Instrument, amount: int) -> int:
        return signed(amount, min(self.converted(instrument, abs(amount)), VALUE_MAX))

    @staticmethod
    def mark_price(instrument: Instrument) -> int:
        if instrument.open_price:  # there was a trade today
            return instrument.last_price
        return instrument.terms.reference_price or instrument.last_price

    # --- exposures ---------------------------------------------------------------------------------

    def exposures(self, groups: Sequence[Group | None], without: Order | None = None) -> list[Exposure | None]:
        """Of each of the groups, as if there were not that order."""
        sums: dict[Group, list[int]] = {group: [0] * 7 for group in groups if group is not None}
        for order, value in self.open.items():
            if order is without:
                continue
            for group in self._groups(order):
                if group in sums:
                    sums[group][0] += 1
                    sums[group][1 if order.buys else 2] += value
        for holding in self.holdings.values():
            more = self._held(holding)
            for member in self.groups_of(holding.account, holding.instrument):
                if member in sums:
                    sums[member][3:] = [a + b for a, b in zip(sums[member][3:], more, strict=True)]
        return [None if group is None else self._exposure(group, sums[group]) for group in groups]

    def _held(self, holding: Holding) -> tuple[int, int, int, int]:
        """Long and short value, realised, unrealised."""
        worth = self.clamped(holding.instrument, holding.worth())
        realised = self.clamped(holding.instrument, holding.realised)
        unrealised = self.clamped(holding.instrument, holding.worth() - holding.basis)
        return max(worth, 0), max(-worth, 0), realised, unrealised

    @staticmethod
    def _exposure(g: Group, sums: list[int]) -> Exposure:
        day = g.traded, g.messages, g.trades, g.rate_due, g.second, g.second_messages, g.programme
        return Exposure._make((*sums, *day))

    # Orders

    def opened(self, order: Order, now: int) -> None:
        """A new order has been accepted."""
        self.accepted[order] = now
        self.open[order] = 0
        self.recount(order)

    def recount(self, order: Order) -> None:
        """Price or leaves of an accepted order have changed."""
        if order not in self.open:
            return
        if order.leaves:
            self.open[order] = self.value(order.instrument, order.price, order.leaves)
        else:
            del self.open[order]

    def take_token(self, order: Order, now: int) -> None:
        for group in self._groups(order):
            rate = group.limit(L.ORDER_RATE)
            if rate:
                group.rate_due = max(group.rate_due, now) + SECOND // rate

    def message(self, order: Order, now: int) -> None:
        for group in self._groups(order):
            group.messages += 1
        account = self.accounts[order.account.id]  # of these alone the second counts, too
        if account.second != now // SECOND:
            account.second, account.second_messages = now // SECOND, 0
        account.second_messages += 1
        a_second, a_day = account.limit(L.PROGRAMME_RATE), account.limit(L.PROGRAMME_DAY)
        if a_second is not None and account.second_messages >= a_second:
            account.programme |= 1
        if a_day is not None and account.messages >= a_day:
            account.programme |= 2

    # Positions

    def _holding(self, order: Order) -> Holding:
        return self.holdings[order.account.number, order.instrument.number]

    def touch(self, holding: Holding) -> None:
        """What has been paid in or out joins or leaves at the mark price, and the mark moves."""
        price = self.mark_price(holding.instrument)
        self._take_over(holding, price)
        holding.set_mark(price)

    def _take_over(self, h: Holding, price: int) -> None:
        if not h.owns:
            return
        account = self.floor.account(h.account.links[h.instrument.terms.base_ledger])
        come = account.credits_posted - account.debits_posted - h.quantity
        if come and price and h.mark:
            value = signed(come, h.instrument.notional(price, abs(come)))
            h.basis += value
            h.joined += value
        h.quantity += come

    @staticmethod
    def _trade_into(h: Holding, quantity: int, notional: int, *, sells: bool) -> None:
        """At average cost; `basis - realised` moves by exactly what is paid."""
        against = h.quantity > 0 if sells else h.quantity < 0
        closed = min(quantity, abs(h.quantity)) if against else 0
        value = divide(notional * closed, quantity)
        if closed:
            basis = signed(h.basis, divide(abs(h.basis) * closed, abs(h.quantity)))
            h.basis -= basis
            h.realised += value - basis if sells else -basis - value
            h.quantity += -closed if sells else closed
        h.basis += value - notional if sells else notional - value
        h.quantity += closed - quantity if sells else quantity - closed

    def filled(self, order: Order, trade: Trade) -> None:
        h = self._holding(order)
        if not h.mark:
            h.set_mark(trade.price)
        self._trade_into(h, trade.quantity, trade.notional, sells=not order.buys)
        h.realised -= trade.fee(order)
        h.set_mark(trade.price)
        self._count_trade(order, trade, 1)
        self.recount(order)

    def undone(self, order: Order, trade: Trade) -> None:
        h = self._holding(order)
        self._trade_into(h, trade.quantity, trade.notional, sells=order.buys)
        h.realised += trade.fee(order)
        h.set_mark(self.mark_price(h.instrument))
        self._count_trade(order, trade, -1)

    def redone(self, order: Order, trade: Trade) -> None:
        h = self._holding(order)
        self._trade_into(h, trade.quantity, trade.notional, sells=not order.buys)
        h.realised -= trade.fee(order)
        h.set_mark(self.mark_price(h.instrument))
        self._count_trade(order, trade, 1)

    def _count_trade(self, order: Order, trade: Trade, sign: int) -> None:
        for group in self._groups(order):
            group.traded = max(0, group.traded + sign * self.clamped(order.instrument, trade.notional))
            group.trades = max(0, group.trades + sign)

    # Time

    def revalue(self, time: int) -> None:
        """At the beginning of a batch."""
        if time < self.next_revaluation or not self.instruments:
            return
        self.next_revaluation = time + SECOND
        for h in self.holdings.values():
            h.set_mark(self.mark_price(h.instrument))

    def end_day(self) -> None:
        """The prices of the next day are known already."""
        for h in self.holdings.values():
            price = self.mark_price(h.instrument)
            self._take_over(h, price)
            h.realised = h.joined = h.mark = 0
            h.set_mark(price)
            h.joined, h.begun = 0, h.basis
        for group in self.all_groups():
            group.traded = group.messages = group.trades = 0
            group.second = group.second_messages = group.programme = 0

    # --- before an order is accepted -----------------------------------------------------------------

    def look(self, order: Order, before: tuple[int, int] | None, now: int) -> None:
        """Raises Refused. `before`: price and leaves of the order that is to be replaced."""
        self.touch(self._holding(order))
        try:
            self._look(order, before, now)
        finally:
            self.message(order, now)

    def _look(self, order: Order, before: tuple[int, int] | None, now: int) -> None:
        groups = self.groups_of(order.account, order.instrument)
        value = self.value(order.instrument, order.price, order.leaves)
        if not any(entry.own for entry in (*self.all_groups(), *self.entries.values())):
            return
        exposures = self.exposures(groups)
        if value > VALUE_MAX or any(e is not None and too_full(e) for e in exposures):
            raise Refused(Reason.OVERFLOW)
        mine = [o for o in self.open if o.account is order.account and o.instrument is order.instrument]
        question = Question(
            order=order,
            replaces=before is not None,
            now=now,
            value=value,
            groups=groups,
            exposures=tuple(exposures if before is None else self.exposures(groups, without=order)),
            everybody=self.default,
            alone=self._alone(order),
            mark=self.mark_price(order.instrument),
            position=self._holding(order).quantity,
            open_buys=sum(o.leaves for o in mine if o.buys and o is not order),
            open_sells=sum(o.leaves for o in mine if not o.buys and o is not order),
            short=self._short(order, 0 if before is None else before[1]),
            duplicate_age=self._duplicate_age(order, now),
        )
        refusal = first_refusal(question)
        if refusal is not None:
            raise Refused(refusal[0], finding=refusal[1])

    def _alone(self, order: Order) -> tuple[dict[LimitName, int], ...]:
        ids = (
            (LimitScope.ACCOUNT, order.account.id),
            (LimitScope.DESK, order.account.desk),
            (LimitScope.CLIENT, order.account.owner),
        )
        entries = [self.entries.get((scope, id_, order.instrument.terms.symbol)) for scope, id_ in ids]
        return tuple({} if entry is None else entry.own for entry in entries)

    def _short(self, order: Order, held: int) -> int:
        """How much of a spot sell cannot come from the base account; `held` there by the order as it was."""
        if order.buys or order.instrument.futures:
            return 0
        account = self.floor.account(order.account.links[order.instrument.terms.base_ledger])
        free = account.credits_posted - account.debits_posted - account.debits_pending + held
        return max(0, order.leaves - max(0, free))

    def _duplicate_age(self, order: Order, now: int) -> int | None:
        def same(other: Order) -> bool:
            return (
                other.account is order.account
                and other.instrument is order.instrument
                and other.side == order.side
                and other.command.type == order.command.type
                and other.price == order.price
                and other.quantity == order.quantity
            )

        return min((now - time for other, time in self.accepted.items() if same(other)), default=None)

    # --- commands ----------------------------------------------------------------------------------

    def set_limits(self, item: SetLimits, now: int) -> LimitsResult:
        try:
            target = self._target(item)
            wish = self._wish(item)
        except NotSet as refused:
            return LimitsResult(refused.status)
        if any(self._raises(target, name, value) for name, value in wish.items()):
            self.proposals.append(Proposal(len(self.proposals) + 1, item, now))
            return LimitsResult(Status.PROPOSED, len(self.proposals))
        self._apply(target, wish, now)
        return LimitsResult(Status.LIMITS_SET)

    def approve(self, item: Approval, now: int) -> LimitsResult:
        if not 0 < item.proposal_id <= len(self.proposals):
            return LimitsResult(Status.PROPOSAL_NOT_FOUND)
        proposal = self.proposals[item.proposal_id - 1]
        if proposal.state:
            return LimitsResult(Status.PROPOSAL_CLOSED)
        if item.approve and item.actor == proposal.command.actor:
            return LimitsResult(Status.ANOTHER_PERSON_NEEDED)
        proposal.state = 1 if item.approve else 2
        proposal.decided_by, proposal.decided_at = item.actor, now
        if not item.approve:
            return LimitsResult(Status.DECLINED)
        self._apply(self._target(proposal.command), self._wish(proposal.command), now)
        return LimitsResult(Status.APPROVED)

    def group(self, scope: LimitScope, id_: int | str) -> Group:
        """Raises NotSet. A desk or client comes to be when it is named."""
        match scope:
            case LimitScope.DEFAULT:
                return self.default
            case LimitScope.APPROVAL:
                return self.approval
            case LimitScope.ACCOUNT:
                account = self.accounts.get(int(id_))
                if account is None:
                    raise NotSet(Status.TRADING_ACCOUNT_NOT_FOUND)
                return account
            case LimitScope.INSTRUMENT:
                instrument = self.instruments.get(str(id_))
                if instrument is None:
                    raise NotSet(Status.UNKNOWN_INSTRUMENT)
                return instrument
        return self.named.setdefault((scope, str(id_)), Group(scope, id_))

    def _target(self, item: SetLimits) -> Entry:
        """Whose limits are meant; nobody comes to be by a command that is refused."""
        if item.scope in {LimitScope.ACCOUNT, LimitScope.INSTRUMENT}:
            self.group(item.scope, item.id)
        if item.symbol and item.scope > LimitScope.CLIENT:
            raise NotSet(Status.LIMIT_NOT_FOR_SCOPE)
        if item.symbol and item.symbol not in self.instruments:
            raise NotSet(Status.UNKNOWN_INSTRUMENT)
        self._wish(item)
        group = self.group(item.scope, item.id)
        if not item.symbol:
            return group
        key = item.scope, item.id, item.symbol
        return self.entries.setdefault(key, Entry(item.scope, item.id, item.symbol))

    def _wish(self, item: SetLimits) -> dict[LimitName, int | None]:
        for number, value in item.values:
            if value is not None and not LEAST[L(number)] <= value <= MOST[L(number)]:
                raise NotSet(Status.LIMIT_OUT_OF_RANGE)
        wish = {L(number): value for number, value in item.values}
        if not wish.keys() <= names_of(item.scope, alone=bool(item.symbol)):
            raise NotSet(Status.LIMIT_NOT_FOR_SCOPE)
        return wish

    def _raises(self, target: Entry, name: LimitName, value: int | None) -> bool:
        """Whether it needs a second person."""
        above = (target if target.scope == LimitScope.APPROVAL else self.approval).own.get(name)
        if above is None:
            return False
        if value is None:
            return name in target.own
        now = target.limit(name)
        if now is None:
            return False
        if name in LOWER_IS_LOOSER:
            return value < now and value < above
        return value > now and value > above

    def _apply(self, target: Entry, wish: dict[LimitName, int | None], now: int) -> None:
        for name, value in wish.items():
            self.put(target, name, value)
        target.updated = now

    def put(self, target: Entry, name: LimitName, value: int | None) -> None:
        if value is None:
            target.own.pop(name, None)
        else:
            target.own[name] = value
        if name == L.EXPOSURE_RATE and target.scope == LimitScope.INSTRUMENT:
            for order in list(self.open):
                if order.instrument.terms.symbol == target.id:
                    self.recount(order)

    # --- what is compared ----------------------------------------------------------------------------

    def all_groups(self) -> Iterator[Group]:
        """As get_limits lists them."""
        yield self.default
        yield self.approval
        for groups in (self.named, self.accounts, self.instruments):
            yield from groups.values()

    def views(self) -> list[LimitsView]:
        groups = list(self.all_groups())
        listed: list[tuple[Entry, Exposure | None]] = list(zip(groups, self.exposures(groups), strict=True))
        listed += [(entry, None) for entry in self.entries.values()]
        return [
            LimitsView(
                entry.scope,
                entry.id,
                entry.symbol,
                entry.updated,
                tuple(self._shown(entry, name) for name in L),
                sum(1 << name for name in entry.own),
                exposure,
            )
            for entry, exposure in listed
        ]

    @staticmethod
    def _shown(entry: Entry, name: LimitName) -> int:
        value = entry.limit(name)
        return UNLIMITED if value is None else value

    def proposed(self) -> list[ProposalView]:
        return [
            ProposalView(
                p.number,
                p.command.scope,
                p.command.id,
                p.command.symbol,
                tuple(sorted((int(name), value) for name, value in self._wish(p.command).items())),
                p.command.actor,
                p.decided_by,
                p.timestamp,
                p.decided_at,
                p.state,
            )
            for p in self.proposals
        ]

    def check_invariants(self, orders: Sequence[Order], trades: Sequence[Trade]) -> None:
        """Exposures from orders, trades and marks alone are those that are kept."""
        opened = {o: self.value(o.instrument, o.price, o.leaves) for o in orders if o.place}
        assert opened == self.open
        for key, h in self.holdings.items():
            mine = [
                (trade, order)
                for trade in trades
                if trade.state == 0 and trade.date == self.floor.date
                for order in (trade.buy, trade.sell)
                if (order.account.number, order.instrument.number) == key
            ]
            paid = sum((t.notional if o.buys else -t.notional) + t.fee(o) for t, o in mine)
            assert h.basis - h.realised == h.begun + h.joined + paid, h
            if h.instrument.futures:
                p = self.floor.position(h.account, h.instrument)
                assert h.quantity == p.long - p.short, h
        for group in (*self.named.values(), *self.accounts.values(), *self.instruments.values()):
            sides = [o for t in trades if t.state == 0 and t.date == self.floor.date for o in (t.buy, t.sell)]
            assert group.trades == sum(group in self._groups(o) for o in sides), group


class NotSet(Exception):  # noqa: N818 - a business answer
    """Why limits stay as they are."""

    def __init__(self, status: Status) -> None:
        super().__init__(status.name)
        self.status = status


def names_of(scope: LimitScope, *, alone: bool) -> set[LimitName]:
    """Which limits there are for whom."""
    if alone:
        return {L.RESTRICTED, L.POSITION_LONG, L.POSITION_SHORT} if scope == LimitScope.ACCOUNT else {L.RESTRICTED}
    names = set(L)
    if scope == LimitScope.APPROVAL:
        return names
    if scope != LimitScope.INSTRUMENT:
        names -= OF_INSTRUMENTS
    if scope not in {LimitScope.ACCOUNT, LimitScope.DEFAULT}:
        names -= OF_ACCOUNTS
    if scope not in {LimitScope.ACCOUNT, LimitScope.CLIENT}:
        names -= OF_PERSONS
    return names


def too_full(e: Exposure) -> bool:
    sums = e.open_buy, e.open_sell, e.long_value, e.short_value, e.traded, abs(e.realised), abs(e.unrealised)
    return max(sums) >= SUM_MAX
