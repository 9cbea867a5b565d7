"""What the plain ledger stores, and the conditions of its reads."""

from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from engine.results import TransferState
from tests.models.records import Account, AccountView, BalanceView, Filter, TransferView

SECOND = 1_000_000_000


@dataclass(slots=True, eq=False)
class StoredAccount:
    """An account, its balances, and what has touched it."""

    command: Account
    timestamp: int
    flags: int
    overdraft_limit: int
    debits_pending: int = 0
    debits_posted: int = 0
    credits_pending: int = 0
    credits_posted: int = 0
    transfers: list["StoredTransfer"] = field(default_factory=list)
    balances: list[tuple["StoredTransfer", BalanceView]] = field(default_factory=list)

    @property
    def debits(self) -> int:
        return self.debits_pending + self.debits_posted

    @property
    def credits(self) -> int:
        return self.credits_pending + self.credits_posted

    def view(self) -> AccountView:
        c = self.command
        return AccountView(
            id=c.id,
            debits_pending=self.debits_pending,
            debits_posted=self.debits_posted,
            credits_pending=self.credits_pending,
            credits_posted=self.credits_posted,
            overdraft_limit=self.overdraft_limit,
            user_data_128=c.user_data_128,
            user_data_64=c.user_data_64,
            timestamp=self.timestamp,
            user_data_32=c.user_data_32,
            ledger=c.ledger,
            code=c.code,
            flags=self.flags,
        )


@dataclass(slots=True, eq=False)
class StoredTransfer:
    """A transfer as it came to be: what it inherited is filled in."""

    id: int
    debit_account_id: int
    credit_account_id: int
    amount: int
    pending_id: int
    user_data_128: int
    user_data_64: int
    user_data_32: int
    timeout: int
    ledger: int
    code: int
    flags: int
    timestamp: int
    state: TransferState

    def expires_at(self) -> int:
        """When the hold ends by itself; 0 = never."""
        return self.timestamp + self.timeout * SECOND if self.timeout else 0

    def view(self) -> TransferView:
        return TransferView(
            id=self.id,
            debit_account_id=self.debit_account_id,
            credit_account_id=self.credit_account_id,
            amount=self.amount,
            pending_id=self.pending_id,
            user_data_128=self.user_data_128,
            user_data_64=self.user_data_64,
            timestamp=self.timestamp,
            user_data_32=self.user_data_32,
            timeout=self.timeout,
            ledger=self.ledger,
            code=self.code,
            flags=self.flags,
            state=self.state,
        )


class HasUserData(Protocol):
    """What the conditions of a filter look at."""

    @property
    def user_data_128(self) -> int: ...
    @property
    def user_data_64(self) -> int: ...
    @property
    def user_data_32(self) -> int: ...
    @property
    def code(self) -> int: ...


def balance_view(timestamp: int, account: StoredAccount) -> BalanceView:
    return BalanceView(
        timestamp, account.debits_pending, account.debits_posted, account.credits_pending, account.credits_posted
    )


def in_time(f: Filter, timestamp: int) -> bool:
    return f.timestamp_min <= timestamp and (f.timestamp_max == 0 or timestamp <= f.timestamp_max)


def matches(f: Filter, record: HasUserData) -> bool:
    return (
        f.code in {0, record.code}
        and f.user_data_128 in {None, record.user_data_128}
        and f.user_data_64 in {None, record.user_data_64}
        and f.user_data_32 in {None, record.user_data_32}
    )


def transfer_of_account_matches(f: Filter, t: StoredTransfer) -> bool:
    either = f.debits == f.credits  # none of the two asked for means both
    side = (
        either
        or (f.debits and t.debit_account_id == f.account_id)
        or (f.credits and t.credit_account_id == f.account_id)
    )
    return side and in_time(f, t.timestamp) and matches(f, t)


Record = TypeVar("Record")


def limited(f: Filter, found: list[Record]) -> list[Record]:
    """The first `limit` in the order asked for."""
    return (found[::-1] if f.reversed else found)[: f.limit]
