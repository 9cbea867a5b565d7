"""What clients of a simulated world ask, and what they were told: the evidence of the audit."""

from dataclasses import dataclass, field
from random import Random
from typing import Any

from engine.results import AccountFlag, TransferFlag
from server.client import Account, Transfer

LEDGER = 156
BANK, COUNTER, HOT = 1, 2, 3
UNIFORM = range(100, 108)
LIMITED = range(200, 204)
MISSING = 999

ACCOUNTS = [
    Account(BANK, LEDGER, 1),
    Account(COUNTER, LEDGER, 2, AccountFlag.HISTORY),
    Account(HOT, LEDGER, 3),
    *(Account(account, LEDGER, 4) for account in UNIFORM),
    *(Account(account, LEDGER, 5, AccountFlag.DEBITS_MUST_NOT_EXCEED_CREDITS) for account in LIMITED),
]

KINDS = {
    "counter": 14, "single": 8, "chain": 5, "broken_chain": 2, "pending": 6, "post": 4, "void": 2, "balancing": 2,
    "refused": 2, "other_body": 1, "repeat": 4, "read_counter": 8, "read_history": 3, "read_transfers": 5, "ping": 1,
}  # fmt: skip
"""How often each kind is asked for, among so many."""
READS = ("read_counter", "read_counter", "read_history")
SURE = {"counter", "single", "chain", "pending"}
"""Kinds that no state of the ledger can refuse."""
WRITES = SURE | {"broken_chain", "post", "void", "balancing", "refused", "other_body", "repeat"}


@dataclass(slots=True)
class Call:
    """One call of a client, with all its attempts."""

    client: int
    n: int
    kind: str
    items: list[Any]
    sent: float = 0.0
    """When it was first made."""
    sent_last: float = 0.0
    """When it was last made: a client that was killed makes it again."""
    got: float = 0.0
    """When it was answered; 0: not yet."""
    result: Any = None
    error: str = ""
    attempts: int = 0
    replica: bool = False
    min_seq: int = 0
    resent: bool = False

    @property
    def name(self) -> str:
        return f"call {self.client}/{self.n} ({self.kind})"


@dataclass(slots=True)
class Notebook:
    """What one client keeps on its own disk."""

    client: int
    random: Random
    reads_only: bool = False
    calls: list[Call] = field(default_factory=list)
    written: list[Call] = field(default_factory=list)
    """Writes that were answered."""
    pendings: list[Transfer] = field(default_factory=list)

    def next(self) -> Call:
        """Think of the next call."""
        random = self.random
        n = len(self.calls)
        kind = random.choice(READS) if self.reads_only else random.choices(list(KINDS), list(KINDS.values()))[0]
        if kind in {"repeat", "read_transfers", "other_body"} and not self.written:
            kind = "counter"
        if kind in {"post", "void"} and not self.pendings:
            kind = "pending"
        call = Call(self.client, n, kind, getattr(self, f"_{kind}", self._nothing)(n))
        if kind == "pending":
            self.pendings.append(call.items[0])
        self.calls.append(call)
        return call

    def _nothing(self, _: int) -> list[Any]:
        return []

    def _transfer(self, n: int, item: int, debit: int, credit: int, amount: int, **more: Any) -> Transfer:
        id_ = (self.client + 1) << 96 | n << 48 | item << 32 | self.random.getrandbits(32)
        return Transfer(id_, debit, credit, amount, LEDGER, 10, user_data_64=n, user_data_32=self.client, **more)

    def _pair(self) -> tuple[int, int]:
        debit, credit = self.random.sample(UNIFORM, 2)
        return debit, credit

    def _counter(self, n: int) -> list[Transfer]:
        return [self._transfer(n, 0, self.random.choice(UNIFORM), COUNTER, 1)]

    def _single(self, n: int) -> list[Transfer]:
        debit = self.random.choice(UNIFORM)
        return [self._transfer(n, 0, debit, self.random.choice([HOT, *LIMITED]), self.random.randint(1, 900))]

    def _chain(self, n: int) -> list[Transfer]:
        count = self.random.randint(2, 4)
        items = [
            self._transfer(n, item, *self._pair(), self.random.randint(1, 50), flags=TransferFlag.LINKED)
            for item in range(count - 1)
        ]
        return [*items, self._transfer(n, count - 1, self.random.choice(UNIFORM), COUNTER, 1)]

    def _broken_chain(self, n: int) -> list[Transfer]:
        items = self._chain(n)
        place = self.random.randrange(len(items))
        flags = items[place].flags
        items[place] = self._transfer(n, place, MISSING, UNIFORM[0], 5, flags=flags)
        return items

    def _pending(self, n: int) -> list[Transfer]:
        timeout = self.random.choice([0, 0, 1, 2])
        return [
            self._transfer(n, 0, *self._pair(), self.random.randint(2, 90), flags=TransferFlag.PENDING, timeout=timeout)
        ]

    def _post(self, n: int) -> list[Transfer]:
        pending = self.random.choice(self.pendings[-6:])
        id_ = self._transfer(n, 0, 1, 2, 1).id
        if self.random.random() < 0.5:
            amount = self.random.randint(1, pending.amount)
            return [Transfer(id_, amount=amount, pending_id=pending.id, flags=TransferFlag.POST_PENDING_TRANSFER)]
        return [Transfer(id_, pending_id=pending.id, flags=TransferFlag.POST_PENDING_TRANSFER)]

    def _void(self, n: int) -> list[Transfer]:
        pending = self.random.choice(self.pendings[-6:])
        id_ = self._transfer(n, 0, 1, 2, 1).id
        return [Transfer(id_, pending_id=pending.id, flags=TransferFlag.VOID_PENDING_TRANSFER)]

    def _balancing(self, n: int) -> list[Transfer]:
        debit, credit = self.random.choice(LIMITED), self.random.choice(UNIFORM)
        amount = self.random.randint(1, 900)
        return [self._transfer(n, 0, debit, credit, amount, flags=TransferFlag.BALANCING_DEBIT)]

    def _refused(self, n: int) -> list[Transfer]:
        account = self.random.choice(UNIFORM)
        return [
            self.random.choice(
                [
                    self._transfer(n, 0, account, account, 5),
                    self._transfer(n, 0, MISSING, account, 5),
                    self._transfer(n, 0, self.random.choice(LIMITED), account, 2**62),
                ]
            )
        ]

    def _other_body(self, n: int) -> list[Transfer]:
        """An id that was used, with another amount."""
        first: Transfer = self.random.choice(self.written).items[0]
        return [self._transfer(n, 0, UNIFORM[0], UNIFORM[1], 77_777)._replace(id=first.id)]

    def _repeat(self, _: int) -> list[Transfer]:
        return list(self.random.choice(self.written[-40:]).items)

    def _read_transfers(self, _: int) -> list[int]:
        calls = self.random.choices(self.written, k=2)
        return [item.id for call in calls for item in call.items]
