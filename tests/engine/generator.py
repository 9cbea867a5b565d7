"""Invents batches of commands that collide: few accounts, ids used before, amounts at the edge, holds about to end.

One generator feeds the fast driver (`driver.py`) and the Hypothesis machine. It draws from a `random.Random` and
looks at the plain ledger to find edges (what an account has left, which holds are open); what it yields are plain
values, so that a list of batches can be sent again and made smaller.

Each world draws its own habits first: some never see a large amount, some are all chains, some are at the end of
time. Worlds with one habit reach places that an average world does not.
"""

from collections import deque
from random import Random
from typing import Any

from engine.results import AMOUNT_ALL, INT63_MAX, AccountFlag, TransferFlag, TransferState
from tests.engine.batches import READS, Batch, Request
from tests.models.ledger import Ledger
from tests.models.records import Account, Filter, Transfer, Update

SECOND = 1_000_000_000
A, T = AccountFlag, TransferFlag


class Habits:
    """How one world differs from the next: probabilities and ranges."""

    def __init__(self, random: Random) -> None:
        pick = random.choice
        self.accounts = pick([3, 6, 12, 40])
        self.ledgers = pick([1, 2, 2])
        self.huge = pick([0.0, 0.0, 0.02, 0.3])
        self.garbage = pick([0.0, 0.02, 0.1])
        self.retry = pick([0.02, 0.1, 0.25])
        self.linked = pick([0.0, 0.1, 0.4, 0.8])
        self.imported = pick([0.0, 0.0, 0.1, 0.5])
        self.pending = pick([0.0, 0.2, 0.5])
        self.resolve = pick([0.1, 0.3])
        self.closing = pick([0.0, 0.05, 0.2])
        self.balancing = pick([0.0, 0.1, 0.4])
        self.timeout = pick([0.0, 0.5, 0.9])
        self.limited = pick([0.0, 0.3, 0.7])
        self.frozen = pick([0.0, 0.02, 0.1])
        self.history = pick([0.1, 0.5, 1.0])
        self.scoped = pick([0.0, 0.0, 0.2])
        self.items = pick([1, 3, 12, 40])
        self.jump = pick([1, 1_000, SECOND, 3 * SECOND])
        self.start = pick([1, 1_790_000_000 * SECOND, 1_790_000_000 * SECOND, INT63_MAX - 200_000 * SECOND])


class Generator:
    """An endless supply of batches for one world. `ledger` must have seen every batch given out so far."""

    def __init__(self, random: Random, ledger: Ledger) -> None:
        self.random = random
        self.ledger = ledger
        self.habits = Habits(random)
        self.time = self.habits.start
        self.next_id = 1
        self.past: deque[Transfer] = deque(maxlen=40)
        self.holds: deque[int] = deque(maxlen=30)
        self.accounts_past: deque[Account] = deque(maxlen=20)

    # --- dice ----------------------------------------------------------------------------------

    def chance(self, probability: float) -> bool:
        return probability > 0 and self.random.random() < probability

    def few(self, limit: int) -> int:
        """1 … limit, small ones more often."""
        return min(self.random.randint(1, limit), self.random.randint(1, limit))

    # --- batches -------------------------------------------------------------------------------

    def batch(self) -> Batch:
        """The next batch, later than the one before."""
        self.time = max(self.time, self.ledger.last_timestamp) + self.few(self.habits.jump)
        if self.chance(0.02):
            self.time += self.random.randint(1, 10) * SECOND
        if self.chance(0.03):
            return Batch(self.time, ())
        if self.chance(0.02) and self.ledger.next_expiry > self.ledger.last_timestamp:
            # Exactly when a hold ends, or just before, or just after.
            edge = self.ledger.next_expiry + self.random.choice([-2, -1, 0, 1])
            self.time = max(edge, self.ledger.last_timestamp + 1)
        if self.chance(self.habits.imported / 20):
            return self.import_before_the_account()
        count = 1 if self.chance(0.7) else self.random.randint(2, 5)
        return Batch(self.time, tuple(self.request() for _ in range(count)))

    def import_before_the_account(self) -> Batch:
        """A new account, and a transfer from around the time at which it is opened."""
        self.next_id += 1
        fresh, other = 1_000 + self.next_id, self.account_id()
        legs = (fresh, other) if self.chance(0.5) else (other, fresh)
        timestamp = max(1, self.time - self.random.choice([0, 1]))
        transfer = Transfer(self.new_id(), *legs, 1, 1, 1, T.IMPORTED, timestamp=timestamp)
        requests = (
            Request("create_accounts", (Account(fresh, 1, 1),)),
            Request("create_transfers", (transfer,)),
        )
        return Batch(self.time, requests)

    def request(self) -> Request:
        scope = self.random.choice([1, 2, 3]) if self.chance(self.habits.scoped) else 0
        kind = self.random.random()
        if not self.ledger.accounts or kind < 0.08:
            return Request("create_accounts", self.accounts(), scope)
        if kind < 0.12:
            return Request("update_accounts", self.updates(), scope)
        if kind < 0.13 and self.habits.scoped:
            edges = sorted({max(1, self.account_id()) for _ in range(2 * self.random.randint(0, 3))})
            ranges = tuple(zip(edges[::2], edges[1::2], strict=False))
            return Request("define_scope", (self.random.choice([1, 2]), ranges))
        if kind < 0.16:
            return self.read(scope)
        return Request("create_transfers", self.transfers(), scope)

    def count(self) -> int:
        return self.few(self.habits.items)

    def link(self, items: list[Any]) -> tuple[Any, ...]:
        """Make chains of some of the items; rarely leave the last one open."""
        if self.chance(self.habits.linked):
            for index, item in enumerate(items[:-1]):
                if self.chance(0.6):
                    items[index] = item._replace(flags=item.flags | T.LINKED)
            if self.chance(0.03):
                items[-1] = items[-1]._replace(flags=items[-1].flags | T.LINKED)
        return tuple(items)

    # --- accounts ------------------------------------------------------------------------------

    def account_id(self) -> int:
        if self.chance(self.habits.garbage):
            return self.random.choice([0, 2**64 - 1, 2**63 - 1, 2**63, 99_999])
        return self.random.randint(1, self.habits.accounts)

    def accounts(self) -> tuple[Account, ...]:
        imported = self.chance(self.habits.imported)
        accounts = [self.account(imported) for _ in range(self.count())]
        if imported and self.chance(0.05):
            accounts[0] = accounts[0]._replace(flags=accounts[0].flags ^ A.IMPORTED)
        return self.link(accounts)

    def account(self, imported: bool) -> Account:
        random = self.random
        if self.accounts_past and self.chance(self.habits.retry):
            return (
                self.altered(random.choice(self.accounts_past))
                if self.chance(0.4)
                else random.choice(self.accounts_past)
            )
        flags = 0
        if self.chance(self.habits.limited):
            flags |= random.choice([A.DEBITS_MUST_NOT_EXCEED_CREDITS, A.CREDITS_MUST_NOT_EXCEED_DEBITS])
        flags |= A.HISTORY * self.chance(self.habits.history)
        flags |= A.FROZEN * self.chance(self.habits.frozen)
        flags |= A.CLOSED * self.chance(self.habits.frozen / 4)
        overdraft = self.few(200) if self.chance(0.3 if flags & A.DEBITS_MUST_NOT_EXCEED_CREDITS else 0.01) else 0
        if self.chance(0.01):
            flags |= A.DEBITS_MUST_NOT_EXCEED_CREDITS | A.CREDITS_MUST_NOT_EXCEED_DEBITS
        account = Account(
            id=self.account_id(),
            ledger=0 if self.chance(0.01) else random.randint(1, self.habits.ledgers),
            code=0 if self.chance(0.01) else random.randint(1, 3),
            flags=flags,
            overdraft_limit=overdraft,
            user_data_128=random.choice([0, 0, 1, 2**127 + 1]),
            user_data_64=random.choice([0, 0, 1, 2**64 - 1]),
            user_data_32=random.choice([0, 0, 1, 2**32 - 1]),
        )
        if imported:
            account = account._replace(flags=flags | A.IMPORTED, timestamp=self.imported_time())
        if self.chance(self.habits.garbage):
            account = self.altered(account)
        self.accounts_past.append(account)
        return account

    def imported_time(self) -> int:
        """Mostly in the gap between the last batch and this one, where it can succeed."""
        random = self.random
        low, high = max(1, self.ledger.last_timestamp), self.time
        if self.chance(0.1):
            return random.choice([0, 1, 2**63, 2**64 - 1, INT63_MAX, low, high, high - 1, low - 1])
        if self.chance(0.2):
            return min(self.some_time() + 1, high - 1)
        if self.chance(0.2):
            # Beside the opening of an account, which a transfer must come after.
            account = self.ledger.lookup_accounts([self.account_id()])[0]
            if account is not None:
                return max(0, account.timestamp + random.choice([-1, 0, 1]))
        return random.randint(low, max(low, high - 1))

    def updates(self) -> tuple[Update, ...]:
        random = self.random
        return tuple(
            Update(
                self.account_id(),
                random.choice([None, 0, 0, self.few(500), INT63_MAX if self.habits.huge else 1]),
                random.choice([None, False, False, True]) if self.habits.frozen else random.choice([None, False]),
            )
            for _ in range(self.count())
        )

    # --- transfers -----------------------------------------------------------------------------

    def transfers(self) -> tuple[Transfer, ...]:
        imported = self.chance(self.habits.imported)
        transfers = [self.transfer() for _ in range(self.count())]
        if imported:
            times = sorted(self.imported_time() for _ in transfers)
            transfers = [
                t._replace(flags=t.flags | T.IMPORTED, timestamp=at, timeout=t.timeout * self.chance(0.1))
                for t, at in zip(transfers, times, strict=True)
            ]
            if self.chance(0.05):
                transfers[-1] = transfers[-1]._replace(flags=transfers[-1].flags ^ T.IMPORTED)
        linked = self.link(transfers)
        self.past.extend(linked)
        self.holds.extend(t.id for t in linked if t.flags & T.PENDING)
        return linked

    def transfer(self) -> Transfer:
        random, habits = self.random, self.habits
        if self.past and self.chance(habits.retry):
            earlier = random.choice(self.past)
            return self.altered(earlier) if self.chance(0.4) else earlier
        resolve = (self.holds or self.chance(0.1)) and self.chance(habits.resolve)
        transfer = self.resolution() if resolve else self.movement()
        if self.chance(habits.garbage):
            transfer = self.altered(transfer)
        return transfer

    def new_id(self) -> int:
        self.next_id += 1
        if self.chance(self.habits.garbage):
            return self.random.choice([0, 2**128 - 1, self.next_id // 2, 2**64, 2**64 - 1])
        # Ids that differ in one half only.
        return self.next_id << 64 if self.next_id % 3 == 0 else self.next_id

    def movement(self) -> Transfer:
        random, habits = self.random, self.habits
        debit, credit = self.legs()
        flags = 0
        timeout = 0
        if self.chance(habits.pending):
            flags |= T.PENDING
            timeout = self.timeout() if self.chance(habits.timeout) else 0
            flags |= T.CLOSING_DEBIT * self.chance(habits.closing)
            flags |= T.CLOSING_CREDIT * self.chance(habits.closing)
        flags |= T.BALANCING_DEBIT * self.chance(habits.balancing)
        flags |= T.BALANCING_CREDIT * self.chance(habits.balancing)
        view = self.ledger.lookup_accounts([debit])[0]
        return Transfer(
            id=self.new_id(),
            debit_account_id=debit,
            credit_account_id=credit,
            amount=self.amount(debit, credit),
            ledger=view.ledger if view and not self.chance(0.02) else random.randint(1, 2),
            code=random.randint(1, 3),
            flags=flags,
            timeout=timeout,
            user_data_128=random.choice([0, 0, 1, 2**127 + 1]),
            user_data_64=random.choice([0, 0, 1, 2**64 - 1]),
            user_data_32=random.choice([0, 0, 1, 2**32 - 1]),
        )

    def legs(self) -> tuple[int, int]:
        """Two accounts, mostly such that a transfer can be made between them."""
        for _ in range(4):
            debit, credit = self.account_id(), self.account_id()
            one, other = self.ledger.lookup_accounts([debit, credit])
            if self.chance(0.05) or (one and other and debit != credit and one.ledger == other.ledger):
                break
        return debit, credit

    def timeout(self) -> int:
        return self.random.choice([2**32 - 1, 200_000]) if self.chance(0.05) else self.random.randint(1, 5)

    def amount(self, debit: int, credit: int) -> int:
        """Small, or just what an account has left (or one more), or as large as amounts can be."""
        random = self.random
        if self.chance(self.habits.huge):
            return random.choice([INT63_MAX, INT63_MAX - 1, INT63_MAX // 2, 2**62, 2**63, AMOUNT_ALL])
        if self.habits.huge and self.chance(0.15):
            return self.room(debit, credit)
        if self.chance(0.25):
            for view, own, other in (
                (self.ledger.lookup_accounts([debit])[0], "debits", "credits_posted"),
                (self.ledger.lookup_accounts([credit])[0], "credits", "debits_posted"),
            ):
                if view is not None and self.chance(0.5):
                    used: int = getattr(view, f"{own}_pending") + getattr(view, f"{own}_posted")
                    target: int = random.choice([getattr(view, other), getattr(view, other) + view.overdraft_limit])
                    return max(0, target - used + random.choice([-1, 0, 0, 1]))
        if self.chance(0.3 * bool(self.habits.balancing)):
            return AMOUNT_ALL
        return random.choice([0, 1, random.randint(0, 30), random.randint(0, 300)])

    def room(self, debit: int, credit: int) -> int:
        """What one of the balances, or a sum of two, still has room for; or one more."""
        one, other = self.ledger.lookup_accounts([debit, credit])
        if one is None or other is None:
            return 1
        used = self.random.choice(
            [
                *(one.debits_pending, one.debits_posted, one.debits_pending + one.debits_posted),
                *(other.credits_pending, other.credits_posted, other.credits_pending + other.credits_posted),
            ]
        )
        return max(0, INT63_MAX - used + self.random.choice([-5, -1, 0, 1]))

    def resolution(self) -> Transfer:
        random = self.random
        flag = random.choice([T.POST_PENDING_TRANSFER, T.POST_PENDING_TRANSFER, T.VOID_PENDING_TRANSFER])
        pending_id = self.new_id()
        pending = None
        if not self.chance(0.02):
            for _ in range(4):
                pending_id = random.choice(self.holds) if self.holds else self.some_id()
                pending = self.ledger.lookup_transfers([pending_id])[0]
                if pending is not None and (pending.state == TransferState.PENDING or self.chance(0.2)):
                    break
        amount = AMOUNT_ALL
        if pending is not None and self.chance(0.5):
            amount = random.choice([pending.amount, pending.amount, 0, max(0, pending.amount - 1), pending.amount + 1])
        transfer = Transfer(id=self.new_id(), amount=amount, flags=int(flag), pending_id=pending_id)
        if pending is not None and self.chance(0.2):
            transfer = transfer._replace(
                debit_account_id=pending.debit_account_id,
                credit_account_id=pending.credit_account_id,
                ledger=pending.ledger,
                code=pending.code,
            )
            if self.chance(0.3):
                transfer = self.altered(transfer)
        if self.chance(0.2):
            transfer = transfer._replace(user_data_128=1, user_data_64=1, user_data_32=1)
        return transfer

    def some_id(self) -> int:
        return self.random.choice(self.past).id if self.past else 1

    def altered(self, command: Any) -> Any:
        """The same with one member changed, or two."""
        for _ in range(self.random.choice([1, 1, 1, 2])):
            member = self.random.choice(command._fields)
            command = command._replace(**{member: self.other_value(command, member)})
        return command

    def other_value(self, command: Account | Transfer, member: str) -> int:
        random = self.random
        old: int = getattr(command, member)
        match member:
            case "id":
                return old ^ 1
            case "flags":
                return old ^ (1 << random.randint(1, 7 if isinstance(command, Transfer) else 6))
            case "amount":
                return random.choice([0, abs(old - 1), min(old + 1, AMOUNT_ALL), AMOUNT_ALL])
            case "overdraft_limit":
                return random.choice([0, 1, 50])
            case "pending_id":
                return random.choice([0, 1, command.id, 2**128 - 1, *self.holds])
            case "timestamp":
                return random.choice([0, 1, self.time])
            case "ledger":
                return random.choice([0, 1, 2, 3])
            case "code":
                return random.choice([0, 1, 2, 65_535])
            case "debit_account_id" | "credit_account_id":
                return random.choice([0, 2**64 - 1, self.account_id()])
            case "user_data_128":
                return random.choice([0, 1, 2**64, 2**127 + 1])
            case _:  # timeout, user_data_64, user_data_32
                return random.choice([0, 1, 7])

    # --- reads ---------------------------------------------------------------------------------

    def read(self, scope: int) -> Request:
        random = self.random
        method = random.choice(READS)
        if method == "lookup_accounts":
            return Request(method, tuple(self.account_id() for _ in range(self.count())), scope)
        if method == "lookup_transfers":
            ids = [t.id for t in self.past] + [1, 0, 2**128 - 1]
            return Request(method, tuple(random.choice(ids) for _ in range(self.count())), scope)
        return Request(method, self.filter(method), scope)

    def filter(self, method: str) -> Filter:
        random = self.random
        low, high = (random.choice([0, 0, self.habits.start, self.some_time()]) for _ in range(2))
        return Filter(
            account_id=self.account_id() if method.startswith("get_account") else 0,
            timestamp_min=min(low, high) if self.chance(0.9) else high,
            timestamp_max=high,
            user_data_128=random.choice([None, None, None, 0, 1, 2**127 + 1]),
            user_data_64=random.choice([None, None, None, 0, 1, 2**64 - 1]),
            user_data_32=random.choice([None, None, None, 0, 1, 2**32 - 1]),
            ledger=random.choice([0, 0, 1, 2]) if method.startswith("query") else 0,
            limit=random.choice([1, 2, 7, 100, 8_190]),
            code=random.choice([0, 0, 0, 1, 2]),
            debits=method.startswith("get_account") and self.chance(0.5),
            credits=method.startswith("get_account") and self.chance(0.5),
            reversed=self.chance(0.5),
        )

    def some_time(self) -> int:
        """The time of a transfer lately seen, or one beside it."""
        views = self.ledger.lookup_transfers([t.id for t in self.past])
        times = [view.timestamp for view in views if view is not None] or [self.time]
        return max(0, self.random.choice(times) + self.random.choice([-1, 0, 0, 1]))
