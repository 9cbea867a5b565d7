"""The one seeded workload that benchmarks, load tests and tests share.

Item number n is a pure function of the seed and n, so any stretch of it can be made anywhere, again and again, and
never has to be kept. `transfers` is the definition, in NumPy; `loadtest.requests` is its compiled twin, which writes
the same items as lines of JSON or into a batch, and a test holds the two equal.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from engine import ACCOUNT_COMMAND, AMOUNT_ALL, TRANSFER_COMMAND, TransferFlag

Spread: TypeAlias = Literal["uniform", "zipf", "hot"]
"""Whose money moves: any account alike; few accounts much more often than others; one account in every transfer."""

Shape: TypeAlias = Literal["single", "two_phase", "linked"]
"""What the items are: plain transfers; a pending transfer and then its post or void; chains of two."""

ACCOUNT_FIRST = 1_000_000_000
LEDGER = 156
ACCOUNT_CODE = 2011
TRANSFER_CODE = 10
AMOUNT_MAX = 100_000
HOLD_SECONDS = 604_800
"""How long a pending transfer may stand: a week, as of a card payment."""
VOID_EVERY = 10
"""Of so many pending transfers one is voided, the others are posted."""
CLOCK_MS = 1_790_000_000_000
"""What the UUIDs (version 7) take for the time at item 0; 1,024 items share a millisecond."""
ZIPF_EXPONENT = 0.99
"""As YCSB has it."""

GOLDEN = 0x9E3779B97F4A7C15
MASK_62 = (1 << 62) - 1

Records: TypeAlias = npt.NDArray[Any]
Words: TypeAlias = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Workload:
    """A seed and what to make of it; equal values make equal items."""

    seed: int = 1
    accounts: int = 10_000
    spread: Spread = "uniform"
    shape: Shape = "single"
    draws: int = 1 << 20
    """Pairs of accounts that are drawn, a power of two; afterwards they come round again (ids never do)."""

    def __post_init__(self) -> None:
        if not 3 <= self.accounts < 2**32:
            raise ValueError(f"accounts: {self.accounts} is not between 3 and 2^32 - 1")
        if self.spread not in get_args(Spread):
            raise ValueError(f"spread: {self.spread!r} is none of {', '.join(get_args(Spread))}")
        if self.shape not in get_args(Shape):
            raise ValueError(f"shape: {self.shape!r} is none of {', '.join(get_args(Shape))}")
        if self.draws & (self.draws - 1) or not 2 <= self.draws <= 2**28:
            raise ValueError(f"draws: {self.draws} is not a power of two between 2 and 2^28")
        if not 0 <= self.seed < 2**63:
            raise ValueError(f"seed: {self.seed} is not between 0 and 2^63 - 1")

    @property
    def items_unit(self) -> int:
        """How many items belong together: those of one chain (one request) or of one hold (one connection)."""
        return 1 if self.shape == "single" else 2

    def account_commands(self, first: int = 0, count: int | None = None) -> Records:
        """ACCOUNT_COMMAND records of the accounts numbered `first` … (all that are left when `count` is None)."""
        count = self.accounts - first if count is None else count
        accounts = np.zeros(count, dtype=ACCOUNT_COMMAND)
        accounts["id"] = np.arange(ACCOUNT_FIRST + first, ACCOUNT_FIRST + first + count, dtype=np.uint64)
        accounts["ledger"] = LEDGER
        accounts["code"] = ACCOUNT_CODE
        return accounts

    def pairs(self) -> npt.NDArray[np.uint32]:
        """Debited and credited account (numbers from 0) of `draws` transfers, of shape (draws, 2); never equal."""
        return draw_pairs(self.seed, self.accounts, self.spread, self.draws)

    def transfers(self, first: int, count: int) -> Records:
        """TRANSFER_COMMAND records of the items `first` … `first + count - 1`."""
        numbers = np.arange(first, first + count, dtype=np.uint64)
        transfers = np.zeros(count, dtype=TRANSFER_COMMAND)
        transfers["id_lo"], transfers["id_hi"], amounts = self.drawn(numbers)
        pairs = self.pairs()[(numbers & np.uint64(self.draws - 1)).astype(np.int64)]
        transfers["debit_account_id"] = pairs[:, 0] + np.uint64(ACCOUNT_FIRST)
        transfers["credit_account_id"] = pairs[:, 1] + np.uint64(ACCOUNT_FIRST)
        transfers["amount"] = amounts
        transfers["ledger"] = LEDGER
        transfers["code"] = TRANSFER_CODE
        odd = (numbers & np.uint64(1)).astype(bool)
        if self.shape == "linked":
            transfers["flags"][~odd] = TransferFlag.LINKED
        elif self.shape == "two_phase":
            transfers["flags"][~odd] = TransferFlag.PENDING
            transfers["timeout"][~odd] = HOLD_SECONDS
            self.resolve(transfers, numbers, odd)
        return transfers

    def resolve(self, transfers: Records, numbers: Words, odd: npt.NDArray[np.bool_]) -> None:
        """Makes the odd items posts and voids of the item before; all but the ids is inherited."""
        voids = (numbers >> np.uint64(1)) % np.uint64(VOID_EVERY) == VOID_EVERY - 1
        ids = transfers["id_lo"].copy(), transfers["id_hi"].copy()
        pending_lo, pending_hi, _ = self.drawn(numbers[odd] - np.uint64(1))
        transfers[odd] = np.zeros((), dtype=TRANSFER_COMMAND)
        transfers["id_lo"], transfers["id_hi"] = ids
        transfers["pending_id_lo"][odd] = pending_lo
        transfers["pending_id_hi"][odd] = pending_hi
        transfers["amount"][odd] = AMOUNT_ALL
        transfers["flags"][odd & ~voids] = TransferFlag.POST_PENDING_TRANSFER
        transfers["flags"][odd & voids] = TransferFlag.VOID_PENDING_TRANSFER

    def drawn(self, numbers: Words) -> tuple[Words, Words, Words]:
        """Low and high half of the ids, and the amounts. An id has 74 random bits, as a client's UUIDv7 would."""
        first = mixed(np.uint64(self.seed * GOLDEN % 2**64) + numbers)
        second = mixed(first ^ np.uint64(GOLDEN))
        low = np.uint64(2 << 62) | (first & np.uint64(MASK_62))
        milliseconds = np.uint64(CLOCK_MS) + (numbers >> np.uint64(10))
        high = milliseconds << np.uint64(16) | np.uint64(7 << 12) | second >> np.uint64(52)
        amounts = np.uint64(1) + ((second & np.uint64(0xFFFFFFFF)) * np.uint64(AMOUNT_MAX) >> np.uint64(32))
        return low, high, amounts


def mixed(words: Words) -> Words:
    """A bijection of 64 bits that looks random (splitmix64)."""
    words = words * np.uint64(GOLDEN)
    words = (words ^ words >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ words >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    return words ^ words >> np.uint64(31)


@lru_cache(maxsize=4)
def draw_pairs(seed: int, accounts: int, spread: Spread, draws: int) -> npt.NDArray[np.uint32]:
    """See Workload.pairs; kept, since a big one takes a second to draw."""
    random = np.random.default_rng(seed)
    pairs = np.empty((draws, 2), dtype=np.uint32)
    if spread == "zipf":
        weights = np.arange(1, accounts + 1, dtype=np.float64) ** -ZIPF_EXPONENT
        heaped = np.cumsum(weights)
        ranks = np.searchsorted(heaped, random.random((draws, 2)) * heaped[-1])
        # Who is busy has nothing to do with who came first.
        pairs[:] = random.permutation(accounts).astype(np.uint32)[np.minimum(ranks, accounts - 1)]
    else:
        pairs[:] = random.integers(0, accounts, (draws, 2), dtype=np.uint32)
    if spread == "hot":
        pairs[::2, 0] = 0
        pairs[1::2, 1] = 0
    equal = pairs[:, 0] == pairs[:, 1]
    other = 1 if spread == "hot" else 0
    pairs[equal, other] = (pairs[equal, other].astype(np.uint64) + 1) % np.uint64(accounts)
    pairs.flags.writeable = False
    return pairs
