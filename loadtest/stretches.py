"""Who sends which items of a workload: users of several processes take stretches that never meet.

A workload's item is a pure function of the seed and its number, and so are its ids. Users that take numbers from
disjoint stretches can therefore never send the same id, without asking each other.
"""

from dataclasses import dataclass
from uuid import UUID

from loadtest.workload import AMOUNT_MAX, CLOCK_MS, GOLDEN, MASK_62

STRETCH = (1 << 34) + 2 * 104_729
"""Items of one user. Even, since some items come in pairs; and no multiple of a power of two above 2, so that users do
not walk through the drawn pairs of accounts in step."""
USERS_MAX = 1 << 16
"""Users that one process may have in its life, those of stopped runs counted."""
PROCESSES_MAX = 1 << 7
"""All numbers stay below 2^58, where the clock of the ids would run over."""

WORD = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Stretch:
    """The numbers `first` … `end - 1`, and a name for who has them."""

    number: int
    first: int
    end: int

    def requests(self, items: int) -> range:
        """Numbers of the requests of `items` items each that lie wholly inside."""
        return range(-(-self.first // items), self.end // items)


def stretch(process: int, user: int) -> Stretch:
    """The stretch of a process's user, both counted from 0."""
    if not 0 <= process < PROCESSES_MAX:
        raise ValueError(f"process: {process} is not between 0 and {PROCESSES_MAX - 1}")
    if not 0 <= user < USERS_MAX:
        raise ValueError(f"user: {user} is not between 0 and {USERS_MAX - 1}; start the processes anew")
    number = process * USERS_MAX + user
    return Stretch(number, number * STRETCH, (number + 1) * STRETCH)


def mixed(word: int) -> int:
    """`loadtest.workload.mixed` of one integer."""
    word = word * GOLDEN & WORD
    word = (word ^ word >> 30) * 0xBF58476D1CE4E5B9 & WORD
    word = (word ^ word >> 27) * 0x94D049BB133111EB & WORD
    return word ^ word >> 31


def drawn(seed: int, number: int) -> tuple[UUID, int, int]:
    """Id and amount of one item, as `Workload.drawn` has them, and 64 random bits that neither of them has used."""
    first = mixed((seed * GOLDEN + number) & WORD)
    second = mixed(first ^ GOLDEN)
    low = 2 << 62 | first & MASK_62
    high = CLOCK_MS + (number >> 10) << 16 | 7 << 12 | second >> 52
    amount = 1 + ((second & 0xFFFFFFFF) * AMOUNT_MAX >> 32)
    return UUID(int=high << 64 | low), amount, mixed(second ^ GOLDEN)
