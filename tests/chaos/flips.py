"""One flipped bit: where it may be, and how it is made."""

from dataclasses import dataclass
from random import Random

from server.journal import Row

_BITS = {"seq": 64, "epoch": 64, "time": 64, "format": 16, "kind": 16}
"""Width of the integer columns."""


@dataclass(frozen=True, slots=True)
class Flip:
    """Bit `bit` of a column of row `seq`."""

    seq: int
    column: str
    bit: int

    def of(self, row: Row) -> Row:
        """Return the row with the bit flipped."""
        value = getattr(row, self.column)
        if isinstance(value, bytes):
            return row._replace(**{self.column: flipped(value, self.bit)})
        width = _BITS[self.column]
        unsigned = (value % (1 << width)) ^ (1 << self.bit)
        return row._replace(**{self.column: unsigned - (1 << width) if unsigned >> (width - 1) else unsigned})


def random_flip(rows: list[Row], random: Random) -> Flip:
    """Return a flip: each row and each column that has bits equally often, however long it is."""
    while True:
        row = random.choice(rows)
        column = random.choice(Row._fields)
        value = getattr(row, column)
        bits = 8 * len(value or b"") if column not in _BITS else _BITS[column]
        if bits:
            return Flip(row.seq, column, random.randrange(bits))


def flipped(content: bytes, bit: int) -> bytes:
    """Return the bytes with one bit changed."""
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)
