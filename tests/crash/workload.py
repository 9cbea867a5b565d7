"""What request number `n` of client `c` is, under a seed: a pure function.

A client that was killed, and one that sends a request again after a reconnect, thus sends the same bytes as before
without having kept them; and the audit knows every request from its number alone.

Transfers go between unlimited accounts (they cannot be refused, so that a request is either there as a whole or not
at all), from and to accounts that must not be overdrawn, and to two hot accounts. One of these is the *counter*: each
transfer credits it with 1, so its balance says how many of them were committed, which makes every read of it a
statement about a prefix of the log.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from random import Random
from typing import Any, Final

LEDGER: Final = 156
CODE: Final = 10

BANK, COUNTER, HOT = 1, 2, 3
UNIFORM: Final = range(100, 164)
LIMITED: Final = range(200, 216)
MISSING: Final = 999
"""An account that never exists."""
OPENED_FIRST: Final = 1_000_000
"""Accounts that clients open while they run start here."""

Item = Mapping[str, Any]

PATTERN: Final = {
    "counter": 14,
    "single": 12,
    "batch": 5,
    "chain": 4,
    "broken_chain": 2,
    "pending": 8,
    "post": 5,
    "void": 3,
    "balancing": 3,
    "refused": 2,
    "open": 1,
    "read_counter": 4,
    "read_history": 2,
    "read_transfers": 3,
}
"""How many of each kind stand in one round of a client's pattern, which the seed shuffles."""
ROUND: Final = sum(PATTERN.values())

READERS_FROM: Final = 100
"""Clients with this number and higher only read the counter: replies of theirs hold nothing that waits for a commit,
and yet must wait for what they show."""
READER_PATTERN: Final = {"read_counter": 3, "read_history": 1}


@dataclass(frozen=True, slots=True)
class Request:
    """One request, without the id on the wire, which tells attempts apart."""

    kind: str
    method: str
    params: Any

    @property
    def writes(self) -> bool:
        return self.method == "create_transfers"


SETUP: Final[list[Item]] = [
    {"id": BANK, "ledger": LEDGER, "code": 1},
    {"id": COUNTER, "ledger": LEDGER, "code": 2, "flags": ["history"]},
    {"id": HOT, "ledger": LEDGER, "code": 3},
    *({"id": account, "ledger": LEDGER, "code": 4} for account in UNIFORM),
    *({"id": account, "ledger": LEDGER, "code": 5, "flags": ["debits_must_not_exceed_credits"]} for account in LIMITED),
]


class Workload:
    """The requests of one client."""

    def __init__(self, seed: int, client: int) -> None:
        self._seed = seed
        self._client = client
        pattern = READER_PATTERN if client >= READERS_FROM else PATTERN
        self._pattern = [kind for kind, count in pattern.items() for _ in range(count)]
        Random(f"{seed}:{client}").shuffle(self._pattern)
        self._pendings = [place for place, kind in enumerate(self._pattern) if kind == "pending"]
        self.request = lru_cache(4 * ROUND)(self._request)

    def kind(self, n: int) -> str:
        """Kind of request n."""
        return self._pattern[n % len(self._pattern)]

    def transfer_id(self, n: int, item: int) -> str:
        """Return the id of an item."""
        return id_of(self._seed, self._client, n, item)

    def _request(self, n: int) -> Request:
        kind = self.kind(n)
        random = Random(f"{self._seed}:{self._client}:{n}")
        if kind == "read_counter":
            return Request(kind, "lookup_accounts", [COUNTER, HOT])
        if kind == "read_history":
            return Request(kind, "get_account_balances", {"account_id": COUNTER, "limit": 1, "reversed": True})
        if kind == "read_transfers":
            about = self.about(n)
            ids = [item["id"] for item in self.request(about).params] if about is not None else []
            return Request(kind, "lookup_transfers", ids)
        if kind == "open":
            account = OPENED_FIRST * (self._client + 1) + n
            return Request(kind, "create_accounts", [{"id": account, "ledger": LEDGER, "code": 6}])
        make = getattr(self, f"_{kind}")
        return Request(kind, "create_transfers", make(n, random))

    def about(self, n: int) -> int | None:
        """Return which earlier request the `read_transfers` request n asks about."""
        random = Random(f"{self._seed}:{self._client}:{n}:about")
        for _ in range(8):
            earlier = n - random.randint(1, ROUND)
            if earlier >= 0 and self.kind(earlier) not in {"open", "read_counter", "read_history", "read_transfers"}:
                return earlier
        return None

    # --- the kinds of create_transfers, each a list of items

    def _item(self, n: int, item: int, debit: int, credit: int, amount: int, **more: Any) -> dict[str, Any]:
        return {
            "id": self.transfer_id(n, item),
            "debit_account_id": debit,
            "credit_account_id": credit,
            "amount": amount,
            "ledger": LEDGER,
            "code": CODE,
            "user_data_64": n,
            "user_data_32": self._client,
            **more,
        }

    def _counter(self, n: int, random: Random) -> list[dict[str, Any]]:
        return [self._item(n, 0, random.choice(UNIFORM), COUNTER, 1)]

    def _single(self, n: int, random: Random) -> list[dict[str, Any]]:
        debit = random.choice(UNIFORM)
        credit = random.choice([HOT, HOT, random.choice(LIMITED), _another(random, debit)])
        return [self._item(n, 0, debit, credit, random.randint(1, 10_000))]

    def _batch(self, n: int, random: Random) -> list[dict[str, Any]]:
        items = []
        for item in range(random.choice([2, 4, 8, 16, 32, 120])):
            debit = random.choice(UNIFORM)
            credit = HOT if random.random() < 0.3 else _another(random, debit)
            items.append(self._item(n, item, debit, credit, random.randint(0, 10_000)))
        items[random.randrange(len(items))] |= {"credit_account_id": COUNTER, "amount": 1}
        return items

    def _chain(self, n: int, random: Random) -> list[dict[str, Any]]:
        """All of it must succeed."""
        items = []
        for item in range(random.randint(2, 6)):
            debit = random.choice(UNIFORM)
            items.append(self._item(n, item, debit, _another(random, debit), random.randint(1, 500), flags=["linked"]))
        items[-1]["flags"] = []
        return items

    def _broken_chain(self, n: int, random: Random) -> list[dict[str, Any]]:
        """All of it must fail, since one of its items does."""
        items = self._chain(n, random)
        items[random.randrange(len(items))]["debit_account_id"] = MISSING
        return items

    def _pending(self, n: int, random: Random) -> list[dict[str, Any]]:
        debit = random.choice(UNIFORM)
        timeout = random.choice([0, 0, 1, 2, 3])
        return [
            self._item(n, 0, debit, _another(random, debit), random.randint(2, 900), flags=["pending"], timeout=timeout)
        ]

    def _post(self, n: int, random: Random) -> list[dict[str, Any]]:
        pending = self._earlier_pending(n, random)
        item = {"id": self.transfer_id(n, 0), "pending_id": pending["id"], "flags": ["post_pending_transfer"]}
        if random.random() < 0.5:
            item["amount"] = random.randint(1, pending["amount"])
        return [item]

    def _void(self, n: int, random: Random) -> list[dict[str, Any]]:
        pending = self._earlier_pending(n, random)
        return [{"id": self.transfer_id(n, 0), "pending_id": pending["id"], "flags": ["void_pending_transfer"]}]

    def _earlier_pending(self, n: int, random: Random) -> Item:
        """One of the pending transfers of this round of the pattern or the one before; it may be resolved already."""
        base = n - n % ROUND
        places = [base + place for place in self._pendings if base + place < n]
        places += [base - ROUND + place for place in self._pendings if base >= ROUND]
        place = random.choice(places) if places else self._pendings[0]
        item: Item = self.request(place).params[0]
        return item

    def _balancing(self, n: int, random: Random) -> list[dict[str, Any]]:
        debit, credit = random.choice(LIMITED), random.choice(UNIFORM)
        return [self._item(n, 0, debit, credit, random.randint(1, 9_000), flags=["balancing_debit"])]

    def _refused(self, n: int, random: Random) -> list[dict[str, Any]]:
        account = random.choice(UNIFORM)
        return [
            random.choice(
                [
                    self._item(n, 0, account, account, 5),
                    self._item(n, 0, MISSING, account, 5),
                    self._item(n, 0, random.choice(LIMITED), account, 2**62),
                ]
            )
        ]


def id_of(seed: int, client: int, n: int, item: int) -> str:
    """Return the id of an item: random to look at, the same whenever asked."""
    digits = hashlib.blake2b(f"{seed}:{client}:{n}:{item}".encode(), digest_size=16).hexdigest()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def sure(kind: str) -> bool:
    """Whether no state of the ledger can refuse the transfers of this kind."""
    return kind in {"counter", "single", "batch", "chain", "pending"}


def _another(random: Random, account: int) -> int:
    """Return a uniform account other than `account`."""
    other = random.choice(UNIFORM[:-1])
    return other if other != account else UNIFORM[-1]
