"""The ledgers under test behind one face: tuples of `tests.models.records` in, tuples out.

`Plain` is the model; `Fast` is the engine (through its embedding interface).
"""

from collections.abc import Sequence

from tests.models.ledger import Ledger


class Plain(Ledger):
    """The slow, plain ledger."""


SUBJECTS: Sequence[type[Ledger]] = [Plain]
