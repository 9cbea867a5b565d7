"""What the tests of whole batches share: a request and a batch as plain values."""

from typing import Any, NamedTuple

from tests.models.records import Filter

READS = (
    *("lookup_accounts", "lookup_transfers", "get_account_transfers", "get_account_balances"),
    *("query_accounts", "query_transfers"),
)


class Request(NamedTuple):
    """One request of a batch.

    `method` is the name in the protocol and `scope` the channel's. `items` are the tuples of
    `tests.models.records`, ids for lookups, one Filter for the other reads, and (number, ranges) for define_scope.
    """

    method: str
    items: Any
    scope: int = 0


class Batch(NamedTuple):
    """Requests that happen together; without any it is a tick."""

    time: int
    requests: tuple[Request, ...] = ()

    def writes(self) -> bool:
        """Whether it is logged, and time goes on: a tick does, reads and empty requests do not."""
        return not self.requests or any(r.method not in READS and len(r.items) for r in self.requests)

    def steps(self) -> int:
        """Commands and reads in it; a tick counts as one."""
        return max(1, sum(1 if isinstance(r.items, Filter) else len(r.items) for r in self.requests))
