"""What goes into a call and what comes out of it, one item at a time: immutable tuples with names.

The same things in bulk are NumPy record arrays (`engine._core.records`); `account_records`, `transfer_records` and
`update_records` turn lists of these tuples into them. Amounts and balances are minor units of the ledger,
timestamps nanoseconds since 1970-01-01 UTC. The constructors check ranges, so that a bad value stops where it is
made and cannot spoil the request that carries it with others.
"""

import uuid
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from engine._core import records
from engine.results import AMOUNT_ALL, INT63_MAX, AccountFlag, Status, TransferFlag, TransferState, UpdateField

Id128 = uuid.UUID | str | int
"""What a 128-bit member takes: a UUID, its text, or the number itself."""

_INT128_MAX = 2**128 - 1
_LOW = 2**64 - 1

_ACCOUNT_FLAGS = {flag.name.lower(): flag for flag in AccountFlag if flag.name}
_TRANSFER_FLAGS = {flag.name.lower(): flag for flag in TransferFlag if flag.name}


def id128(value: Id128) -> int:
    """Read a 128-bit member; ValueError when it is not one."""
    if type(value) is uuid.UUID:
        return value.int
    if isinstance(value, str):
        try:
            return uuid.UUID(value).int
        except ValueError:
            raise ValueError(f"{value!r} is not UUID text") from None
    number = value.int if isinstance(value, uuid.UUID) else value
    if type(number) is not int or not 0 <= number <= _INT128_MAX:
        raise ValueError(f"{value!r} is not a 128-bit value")
    return number


def account_flags(flags: AccountFlag | Iterable[str]) -> AccountFlag:
    """Read flags given as names or as AccountFlag; ValueError names one that does not exist."""
    if isinstance(flags, AccountFlag):
        return flags
    result = AccountFlag(0)
    for name in _names(flags):
        if name not in _ACCOUNT_FLAGS:
            raise ValueError(f"flags: there is no account flag {name!r} (there are {', '.join(_ACCOUNT_FLAGS)})")
        result |= _ACCOUNT_FLAGS[name]
    return result


def transfer_flags(flags: TransferFlag | Iterable[str]) -> TransferFlag:
    """Read flags given as names or as TransferFlag; ValueError names one that does not exist."""
    if isinstance(flags, TransferFlag):
        return flags
    result = TransferFlag(0)
    for name in _names(flags):
        if name not in _TRANSFER_FLAGS:
            raise ValueError(f"flags: there is no transfer flag {name!r} (there are {', '.join(_TRANSFER_FLAGS)})")
        result |= _TRANSFER_FLAGS[name]
    return result


def flag_names(flags: AccountFlag | TransferFlag) -> list[str]:
    """Give the names that JSON uses, lowest bit first."""
    return [flag.name.lower() for flag in type(flags) if flag in flags and flag.name]


def _names(flags: Iterable[str]) -> Iterable[str]:
    if isinstance(flags, int):
        raise ValueError(f"flags: {flags} is a bare number; use the flag's name")  # noqa: TRY004 - one kind for all
    return [flags] if isinstance(flags, str) else flags


def _check(name: str, value: int, maximum: int, minimum: int = 0) -> None:
    if type(value) is not int or not minimum <= value <= maximum:
        raise ValueError(f"{name}: {value!r} is not an integer from {minimum} to {maximum}")


class _AccountFields(NamedTuple):
    id: int
    ledger: int
    code: int
    flags: AccountFlag
    overdraft_limit: int
    user_data_128: int
    user_data_64: int
    user_data_32: int
    timestamp: int


class Account(_AccountFields):
    """An account to create. `timestamp` is for imported accounts only."""

    __slots__ = ()

    def __new__(  # noqa: D102 - the class says it
        cls,
        id: int,  # noqa: A002 - the protocol's name
        ledger: int,
        code: int,
        flags: AccountFlag | Iterable[str] = (),
        *,
        overdraft_limit: int = 0,
        user_data_128: Id128 = 0,
        user_data_64: int = 0,
        user_data_32: int = 0,
        timestamp: int = 0,
    ) -> Self:
        _check("id", id, INT63_MAX, 1)
        _check("ledger", ledger, 2**32 - 1)
        _check("code", code, 65535)
        _check("overdraft_limit", overdraft_limit, INT63_MAX)
        _check("user_data_64", user_data_64, _LOW)
        _check("user_data_32", user_data_32, 2**32 - 1)
        _check("timestamp", timestamp, INT63_MAX)
        return super().__new__(
            cls,
            id,
            ledger,
            code,
            account_flags(flags),
            overdraft_limit,
            id128(user_data_128),
            user_data_64,
            user_data_32,
            timestamp,
        )


class _TransferFields(NamedTuple):
    id: int
    debit_account_id: int
    credit_account_id: int
    amount: int
    ledger: int
    code: int
    flags: TransferFlag
    pending_id: int
    timeout: int
    user_data_128: int
    user_data_64: int
    user_data_32: int
    timestamp: int


class Transfer(_TransferFields):
    """A transfer to create, a post or a void.

    For a post or a void everything but `id`, `flags` and `pending_id` may be left out: it is inherited, and the
    amount is all that is pending. 128-bit members are held as integers.
    """

    __slots__ = ()

    def __new__(  # noqa: D102, PLR0917 - the class says it; the order is that of the protocol's page
        cls,
        id: Id128,  # noqa: A002 - the protocol's name
        debit_account_id: int = 0,
        credit_account_id: int = 0,
        amount: int = AMOUNT_ALL,
        ledger: int = 0,
        code: int = 0,
        flags: TransferFlag | Iterable[str] = (),
        *,
        pending_id: Id128 = 0,
        timeout: int = 0,
        user_data_128: Id128 = 0,
        user_data_64: int = 0,
        user_data_32: int = 0,
        timestamp: int = 0,
    ) -> Self:
        _check("debit_account_id", debit_account_id, INT63_MAX)
        _check("credit_account_id", credit_account_id, INT63_MAX)
        if amount != AMOUNT_ALL:
            _check("amount", amount, INT63_MAX)
        _check("ledger", ledger, 2**32 - 1)
        _check("code", code, 65535)
        _check("timeout", timeout, 2**32 - 1)
        _check("user_data_64", user_data_64, _LOW)
        _check("user_data_32", user_data_32, 2**32 - 1)
        _check("timestamp", timestamp, INT63_MAX)
        names = transfer_flags(flags)
        if amount == AMOUNT_ALL and not names & _RESOLVING:
            raise ValueError("amount: may be left out for a post or a void only")
        number = id128(id)
        if number in (0, _INT128_MAX):
            raise ValueError("id: the zero and the all-ones UUID are not ids")
        return super().__new__(
            cls,
            number,
            debit_account_id,
            credit_account_id,
            amount,
            ledger,
            code,
            names,
            id128(pending_id),
            timeout,
            id128(user_data_128),
            user_data_64,
            user_data_32,
            timestamp,
        )


_RESOLVING = TransferFlag.POST_PENDING_TRANSFER | TransferFlag.VOID_PENDING_TRANSFER


class AccountUpdate(NamedTuple):
    """New values for an account; None leaves one as it is."""

    id: int
    overdraft_limit: int | None = None
    frozen: bool | None = None


class Result(NamedTuple):
    """What became of one item. `timestamp` is the item's own; for EXISTS that of the original."""

    status: Status
    timestamp: int

    @property
    def created_or_exists(self) -> bool:
        """The item is in the ledger exactly as it was asked for: created now, or by an earlier copy of the request."""
        return self.status in (Status.CREATED, Status.EXISTS)


class AccountView(NamedTuple):
    """An account as the ledger has it. `overdraft_limit` is 0 when it has none."""

    id: int
    ledger: int
    code: int
    flags: AccountFlag
    overdraft_limit: int
    user_data_128: int
    user_data_64: int
    user_data_32: int
    debits_pending: int
    debits_posted: int
    credits_pending: int
    credits_posted: int
    timestamp: int

    @property
    def balance(self) -> int:
        """Credits posted less debits posted: what a customer of a bank calls the balance."""
        return self.credits_posted - self.debits_posted


class TransferView(NamedTuple):
    """A transfer as the ledger has it; `amount` is what moved, or what is or was held."""

    id: uuid.UUID
    debit_account_id: int
    credit_account_id: int
    amount: int
    ledger: int
    code: int
    flags: TransferFlag
    pending_id: uuid.UUID | None
    timeout: int
    user_data_128: int
    user_data_64: int
    user_data_32: int
    timestamp: int
    status: str


class BalanceView(NamedTuple):
    """The balances of an account right after the transfer of that timestamp."""

    timestamp: int
    debits_pending: int
    debits_posted: int
    credits_pending: int
    credits_posted: int

    @property
    def balance(self) -> int:
        """Credits posted less debits posted."""
        return self.credits_posted - self.debits_posted


STATE_NAMES = {
    TransferState.POSTED: "posted",
    TransferState.PENDING: "pending",
    TransferState.PENDING_POSTED: "posted",
    TransferState.VOIDED: "voided",
    TransferState.EXPIRED: "expired",
}

Records = npt.NDArray[np.void]


def account_records(accounts: Sequence[Account]) -> Records:
    """Turn accounts into an array of ACCOUNT_COMMAND."""
    rows = [
        (a.id, a.user_data_128 & _LOW, a.user_data_128 >> 64, a.user_data_64, a.overdraft_limit, a.timestamp,
         a.user_data_32, a.ledger, a.code, int(a.flags), 0)
        for a in accounts
    ]  # fmt: skip
    return np.array(rows, records.ACCOUNT_COMMAND)


def transfer_records(transfers: Sequence[Transfer]) -> Records:
    """Turn transfers into an array of TRANSFER_COMMAND."""
    rows = [
        (t.id & _LOW, t.id >> 64, t.debit_account_id, t.credit_account_id, t.amount, t.pending_id & _LOW,
         t.pending_id >> 64, t.user_data_128 & _LOW, t.user_data_128 >> 64, t.user_data_64, t.timestamp,
         t.user_data_32, t.timeout, t.ledger, t.code, int(t.flags))
        for t in transfers
    ]  # fmt: skip
    return np.array(rows, records.TRANSFER_COMMAND)


def update_records(updates: Sequence[AccountUpdate]) -> Records:
    """Turn updates into an array of UPDATE_COMMAND."""
    rows: list[tuple[Any, ...]] = []
    for u in updates:
        fields = UpdateField(0)
        if u.overdraft_limit is not None:
            fields |= UpdateField.OVERDRAFT_LIMIT
        if u.frozen is not None:
            fields |= UpdateField.FROZEN
        rows.append((u.id, u.overdraft_limit or 0, int(fields), int(u.frozen or False)))
    return np.array(rows, records.UPDATE_COMMAND)
