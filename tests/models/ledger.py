"""A slow, plain ledger: the rules of the protocol page, one after the other, in dictionaries and lists.

It is what the fast engine is compared with, so it shares nothing with it but the names and numbers of statuses
and flags. Integers are Python's, so nothing can overflow unseen; the limits of 63 bits are rules like the others.

Time: a batch has one time; its item i (counted over all its requests that write) happens at time + i. What is due
at the time of a batch expires before its first item.

Linked chains are undone by copies: before an account or a transfer is changed inside a chain, a copy is kept,
and what the chain created is remembered. When the chain breaks, copies are put back and creations taken out.
"""

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from engine.results import (
    AMOUNT_ALL,
    ENGINE_ID_LO,
    INT63_MAX,
    TRANSIENT,
    AccountFlag,
    Status,
    TransferFlag,
    TransferState,
)
from tests.models.records import Account, AccountView, BalanceView, Filter, Result, Transfer, TransferView, Update
from tests.models.stored import (
    SECOND,
    StoredAccount,
    StoredTransfer,
    balance_view,
    in_time,
    limited,
    matches,
    transfer_of_account_matches,
)

ID_64_MAX = 2**64 - 1
ID_128_MAX = 2**128 - 1

# As plain numbers: an IntFlag builds an object for every operation.
LINKED, PENDING, POST, VOID, BALANCING_DEBIT, BALANCING_CREDIT, CLOSING_DEBIT, CLOSING_CREDIT, IMPORTED = (
    int(flag) for flag in TransferFlag
)
DEBITS_LIMITED = int(AccountFlag.DEBITS_MUST_NOT_EXCEED_CREDITS)
CREDITS_LIMITED = int(AccountFlag.CREDITS_MUST_NOT_EXCEED_DEBITS)
HISTORY = int(AccountFlag.HISTORY)
ACCOUNT_LINKED = int(AccountFlag.LINKED)
ACCOUNT_IMPORTED = int(AccountFlag.IMPORTED)
CLOSED = int(AccountFlag.CLOSED)
FROZEN = int(AccountFlag.FROZEN)

Command = TypeVar("Command", Account, Transfer)


class Refused(Exception):  # noqa: N818 - the answer to a read, not a failure
    """A read that is not answered."""

    def __init__(self, status: Status) -> None:
        super().__init__(status.name)
        self.status = status


class Chain:
    """What a linked chain has done so far, so that it can be undone."""

    def __init__(self) -> None:
        self.accounts_created: list[StoredAccount] = []
        self.transfers_created: list[StoredTransfer] = []
        self.copies: dict[StoredAccount | StoredTransfer, StoredAccount | StoredTransfer] = {}

    def keep(self, record: StoredAccount | StoredTransfer) -> None:
        if record not in self.copies:
            self.copies[record] = copy.copy(record)


class Ledger:
    """The state, and one method per request. Commands are the tuples of `tests.models.records`."""

    def __init__(self) -> None:
        self.last_timestamp = 0
        self._accounts: dict[int, StoredAccount] = {}
        self._transfers: dict[int, StoredTransfer] = {}
        self._burnt: set[int] = set()
        self._open: dict[int, StoredTransfer] = {}  # pending and not yet resolved
        self._scopes: dict[int, list[tuple[int, int]]] = {}
        self._timestamps_of_accounts: dict[int, StoredAccount] = {}
        self._timestamps_of_transfers: dict[int, StoredTransfer] = {}
        self._chain: Chain | None = None
        # The batch in hand.
        self._time = 0
        self._items = 0

    # --- batches -----------------------------------------------------------------------------

    def begin(self, time: int) -> None:
        """Start a batch at `time`: what is due expires."""
        if time <= self.last_timestamp:
            raise ValueError(f"time: {time} is not after {self.last_timestamp}")
        self._time, self._items = time, 0
        self.last_timestamp = time
        for pending in [p for p in self._open.values() if p.timeout and p.expires_at() <= time]:
            self._release(pending, TransferState.EXPIRED)

    def _item_times(self, count: int) -> range:
        """The times of the next `count` items of the batch."""
        first = self._time + self._items
        self._items += count
        self.last_timestamp = max(self.last_timestamp, self._time + self._items - 1)
        return range(first, first + count)

    def create_accounts(self, accounts: Sequence[Account], time: int, *, scope: int = 0) -> list[Result]:
        self.begin(time)
        return self.do_create_accounts(accounts, scope)

    def create_transfers(self, transfers: Sequence[Transfer], time: int, *, scope: int = 0) -> list[Result]:
        self.begin(time)
        return self.do_create_transfers(transfers, scope)

    def update_accounts(self, updates: Sequence[Update], time: int, *, scope: int = 0) -> list[Result]:
        self.begin(time)
        return self.do_update_accounts(updates, scope)

    def define_scope(self, scope: int, ranges: Iterable[tuple[int, int]], time: int) -> None:
        self.begin(time)
        self.do_define_scope(scope, ranges)

    def tick(self, time: int) -> None:
        self.begin(time)

    # The same without a time of their own: requests of a batch that has begun.

    def do_create_accounts(self, accounts: Sequence[Account], scope: int = 0) -> list[Result]:
        def create(account: Account, time: int) -> Result:
            return self._create_account(account, time, scope)

        return self._items_in_chains(accounts, create)

    def do_create_transfers(self, transfers: Sequence[Transfer], scope: int = 0) -> list[Result]:
        def create(transfer: Transfer, time: int) -> Result:
            return self._create_transfer(transfer, time, scope)

        return self._items_in_chains(transfers, create)

    def do_update_accounts(self, updates: Sequence[Update], scope: int = 0) -> list[Result]:
        times = self._item_times(len(updates))
        return [Result(time, self._update_account(update, scope)) for update, time in zip(updates, times, strict=True)]

    def do_define_scope(self, scope: int, ranges: Iterable[tuple[int, int]]) -> list[Result]:
        self._scopes[scope] = list(ranges)
        return [Result(time, Status.DEFINED) for time in self._item_times(1)]

    # --- linked chains and imported batches -----------------------------------------------------

    def _items_in_chains(self, commands: Sequence[Command], create: Callable[[Command, int], Result]) -> list[Result]:
        """Create one by one; a chain is the items up to and with the first that is not linked."""
        results: list[Result] = []
        chain_start: int | None = None
        broken = False
        for index, (command, time) in enumerate(zip(commands, self._item_times(len(commands)), strict=True)):
            linked = bool(command.flags & LINKED)
            if linked and chain_start is None:
                chain_start, broken = index, False
                self._chain = Chain()
            chain_open = linked and index == len(commands) - 1
            if chain_open:
                result = Result(time, Status.LINKED_EVENT_CHAIN_OPEN)
            elif broken:
                result = Result(time, Status.LINKED_EVENT_FAILED)
            else:
                status = self._imported_status(command, commands[0], time)
                result = Result(time, status) if status else create(command, time)
            results.append(result)
            if chain_start is not None:
                if result.status != Status.CREATED and not broken:
                    broken = True
                    self._undo_chain()
                    for earlier in range(chain_start, index):
                        results[earlier] = Result(time - index + earlier, Status.LINKED_EVENT_FAILED)
                if not linked or chain_open:
                    chain_start, broken = None, False
                    self._chain = None
            if result.status in TRANSIENT:
                self._burnt.add(command.id)
        return results

    @staticmethod
    def _imported_status(command: Account | Transfer, first: Account | Transfer, time: int) -> Status | None:
        """The rules of imported batches that come before all others; None when they are kept."""
        imported_flag = ACCOUNT_IMPORTED if isinstance(command, Account) else IMPORTED
        imported = bool(command.flags & imported_flag)
        if imported != bool(first.flags & imported_flag):
            return Status.IMPORTED_EVENT_NOT_EXPECTED if imported else Status.IMPORTED_EVENT_EXPECTED
        if not imported:
            return Status.TIMESTAMP_MUST_BE_ZERO if command.timestamp else None
        if not 1 <= command.timestamp <= INT63_MAX:
            return Status.IMPORTED_EVENT_TIMESTAMP_OUT_OF_RANGE
        if command.timestamp >= time:
            return Status.IMPORTED_EVENT_TIMESTAMP_MUST_NOT_ADVANCE
        return None

    def _undo_chain(self) -> None:
        chain = self._chain
        assert chain is not None
        for record, before in chain.copies.items():
            for name in type(record).__slots__:
                setattr(record, name, getattr(before, name))
        for transfer in reversed(chain.transfers_created):
            del self._transfers[transfer.id]
            del self._timestamps_of_transfers[transfer.timestamp]
            self._open.pop(transfer.id, None)
            for account_id in (transfer.debit_account_id, transfer.credit_account_id):
                account = self._accounts[account_id]
                assert account.transfers.pop() is transfer
                if account.flags & HISTORY:
                    assert account.balances.pop()[0] is transfer
        for account in chain.accounts_created:
            del self._accounts[account.command.id]
            del self._timestamps_of_accounts[account.timestamp]
        # A hold that the chain had resolved is open again.
        for record in chain.copies:
            if isinstance(record, StoredTransfer) and self._transfers.get(record.id) is record:
                self._open[record.id] = record
        self._chain = None

    def _about_to_change(self, *records: StoredAccount | StoredTransfer) -> None:
        if self._chain is not None:
            for record in records:
                self._chain.keep(record)

    # --- accounts ------------------------------------------------------------------------------

    def _create_account(self, a: Account, time: int, scope: int) -> Result:
        exists = self._accounts.get(a.id)
        if exists is not None:
            status = self._account_exists(a, exists.command)
            return Result(exists.timestamp if status == Status.EXISTS else time, status)
        refusal = self._account_refusal(a, scope)
        if refusal is not None:
            return Result(time, refusal)
        # From here on it must succeed.
        account = StoredAccount(
            command=a,
            timestamp=a.timestamp if a.flags & ACCOUNT_IMPORTED else time,
            flags=a.flags,
            overdraft_limit=a.overdraft_limit,
        )
        self._accounts[a.id] = account
        self._timestamps_of_accounts[account.timestamp] = account
        if self._chain is not None:
            self._chain.accounts_created.append(account)
        return Result(account.timestamp, Status.CREATED)

    def _account_refusal(self, a: Account, scope: int) -> Status | None:
        if a.id == 0:
            return Status.ID_MUST_NOT_BE_ZERO
        if a.id == ID_64_MAX:
            return Status.ID_MUST_NOT_BE_INT_MAX
        if a.flags & DEBITS_LIMITED and a.flags & CREDITS_LIMITED:
            return Status.FLAGS_ARE_MUTUALLY_EXCLUSIVE
        if a.overdraft_limit and not a.flags & DEBITS_LIMITED:
            return Status.OVERDRAFT_LIMIT_NEEDS_FLAG
        if a.ledger == 0:
            return Status.LEDGER_MUST_NOT_BE_ZERO
        if a.code == 0:
            return Status.CODE_MUST_NOT_BE_ZERO
        if not self._permitted(scope, a.id):
            return Status.NOT_PERMITTED
        if a.flags & ACCOUNT_IMPORTED and (
            a.timestamp <= newest(self._timestamps_of_accounts) or a.timestamp in self._timestamps_of_transfers
        ):
            return Status.IMPORTED_EVENT_TIMESTAMP_MUST_NOT_REGRESS
        return None

    @staticmethod
    def _account_exists(a: Account, e: Account) -> Status:
        if a.flags != e.flags:
            return Status.EXISTS_WITH_DIFFERENT_FLAGS
        if a.user_data_128 != e.user_data_128:
            return Status.EXISTS_WITH_DIFFERENT_USER_DATA_128
        if a.user_data_64 != e.user_data_64:
            return Status.EXISTS_WITH_DIFFERENT_USER_DATA_64
        if a.user_data_32 != e.user_data_32:
            return Status.EXISTS_WITH_DIFFERENT_USER_DATA_32
        if a.ledger != e.ledger:
            return Status.EXISTS_WITH_DIFFERENT_LEDGER
        if a.code != e.code:
            return Status.EXISTS_WITH_DIFFERENT_CODE
        return Status.EXISTS

    def _update_account(self, update: Update, scope: int) -> Status:
        if not self._permitted(scope, update.id):
            return Status.NOT_PERMITTED
        account = self._accounts.get(update.id)
        if account is None:
            return Status.ACCOUNT_NOT_FOUND
        if update.overdraft_limit and not account.flags & DEBITS_LIMITED:
            return Status.OVERDRAFT_LIMIT_NEEDS_FLAG
        if update.overdraft_limit is not None:
            account.overdraft_limit = update.overdraft_limit
        if update.frozen is not None:
            account.flags = account.flags | FROZEN if update.frozen else account.flags & ~FROZEN
        return Status.UPDATED

    def _permitted(self, scope: int, account_id: int) -> bool:
        """Scope 0 may touch everything; a scope that was never defined, nothing."""
        return scope == 0 or any(first <= account_id <= last for first, last in self._scopes.get(scope, []))

    # --- transfers -----------------------------------------------------------------------------

    def _create_transfer(self, t: Transfer, time: int, scope: int) -> Result:
        if t.id == 0:
            return Result(time, Status.ID_MUST_NOT_BE_ZERO)
        if t.id == ID_128_MAX:
            return Result(time, Status.ID_MUST_NOT_BE_INT_MAX)
        if t.id & ID_64_MAX == ENGINE_ID_LO:
            return Result(time, Status.ID_RESERVED)
        exists = self._transfers.get(t.id)
        if exists is not None:
            status = self._transfer_exists(t, exists)
            return Result(exists.timestamp if status == Status.EXISTS else time, status)
        if t.id in self._burnt:
            return Result(time, Status.ID_ALREADY_FAILED)
        outcome = self._resolve(t, time, scope) if t.flags & (POST | VOID) else self._post_or_hold(t, time, scope)
        if isinstance(outcome, Status):
            return Result(time, outcome)
        return Result(outcome.timestamp, Status.CREATED)

    def _transfer_exists(self, t: Transfer, e: StoredTransfer) -> Status:
        if t.flags != e.flags:
            return Status.EXISTS_WITH_DIFFERENT_FLAGS
        if t.pending_id != e.pending_id:
            return Status.EXISTS_WITH_DIFFERENT_PENDING_ID
        if t.timeout != e.timeout:
            return Status.EXISTS_WITH_DIFFERENT_TIMEOUT
        if t.flags & (POST | VOID):
            # What is left out means what the pending transfer has.
            p = self._transfers[e.pending_id]
            all_of_it = t.amount == AMOUNT_ALL or (t.flags & VOID and t.amount == 0)
            t = t._replace(
                debit_account_id=t.debit_account_id or p.debit_account_id,
                credit_account_id=t.credit_account_id or p.credit_account_id,
                amount=p.amount if all_of_it else t.amount,
                user_data_128=t.user_data_128 or p.user_data_128,
                user_data_64=t.user_data_64 or p.user_data_64,
                user_data_32=t.user_data_32 or p.user_data_32,
                ledger=t.ledger or p.ledger,
                code=t.code or p.code,
            )
        if t.debit_account_id != e.debit_account_id:
            return Status.EXISTS_WITH_DIFFERENT_DEBIT_ACCOUNT_ID
        if t.credit_account_id != e.credit_account_id:
            return Status.EXISTS_WITH_DIFFERENT_CREDIT_ACCOUNT_ID
        if t.flags & (BALANCING_DEBIT | BALANCING_CREDIT):
            # What was asked for is an upper bound of what moved.
            if t.amount < e.amount:
                return Status.EXISTS_WITH_DIFFERENT_AMOUNT
        elif t.amount != e.amount:
            return Status.EXISTS_WITH_DIFFERENT_AMOUNT
        if t.user_data_128 != e.user_data_128:
            return Status.EXISTS_WITH_DIFFERENT_USER_DATA_128
        if t.user_data_64 != e.user_data_64:
            return Status.EXISTS_WITH_DIFFERENT_USER_DATA_64
        if t.user_data_32 != e.user_data_32:
            return Status.EXISTS_WITH_DIFFERENT_USER_DATA_32
        if t.ledger != e.ledger:
            return Status.EXISTS_WITH_DIFFERENT_LEDGER
        if t.code != e.code:
            return Status.EXISTS_WITH_DIFFERENT_CODE
        return Status.EXISTS

    def _post_or_hold(self, t: Transfer, time: int, scope: int) -> Status | StoredTransfer:
        """A transfer that moves at once, or a pending one that holds."""
        if t.debit_account_id == 0:
            return Status.DEBIT_ACCOUNT_ID_MUST_NOT_BE_ZERO
        if t.debit_account_id == ID_64_MAX:
            return Status.DEBIT_ACCOUNT_ID_MUST_NOT_BE_INT_MAX
        if t.credit_account_id == 0:
            return Status.CREDIT_ACCOUNT_ID_MUST_NOT_BE_ZERO
        if t.credit_account_id == ID_64_MAX:
            return Status.CREDIT_ACCOUNT_ID_MUST_NOT_BE_INT_MAX
        if t.debit_account_id == t.credit_account_id:
            return Status.ACCOUNTS_MUST_BE_DIFFERENT
        if t.pending_id:
            return Status.PENDING_ID_MUST_BE_ZERO
        if not t.flags & PENDING:
            if t.timeout:
                return Status.TIMEOUT_RESERVED_FOR_PENDING_TRANSFER
            if t.flags & (CLOSING_DEBIT | CLOSING_CREDIT):
                return Status.CLOSING_TRANSFER_MUST_BE_PENDING
        if t.ledger == 0:
            return Status.LEDGER_MUST_NOT_BE_ZERO
        if t.code == 0:
            return Status.CODE_MUST_NOT_BE_ZERO
        if not (self._permitted(scope, t.debit_account_id) and self._permitted(scope, t.credit_account_id)):
            return Status.NOT_PERMITTED

        debit = self._accounts.get(t.debit_account_id)
        credit = self._accounts.get(t.credit_account_id)
        if debit is None:
            return Status.DEBIT_ACCOUNT_NOT_FOUND
        if credit is None:
            return Status.CREDIT_ACCOUNT_NOT_FOUND
        if debit.command.ledger != credit.command.ledger:
            return Status.ACCOUNTS_MUST_HAVE_THE_SAME_LEDGER
        if t.ledger != debit.command.ledger:
            return Status.TRANSFER_MUST_HAVE_THE_SAME_LEDGER_AS_ACCOUNTS
        if t.flags & IMPORTED:
            if self._transfer_time_regresses(t.timestamp):
                return Status.IMPORTED_EVENT_TIMESTAMP_MUST_NOT_REGRESS
            if t.timestamp <= debit.timestamp:
                return Status.IMPORTED_EVENT_TIMESTAMP_MUST_POSTDATE_DEBIT_ACCOUNT
            if t.timestamp <= credit.timestamp:
                return Status.IMPORTED_EVENT_TIMESTAMP_MUST_POSTDATE_CREDIT_ACCOUNT
            if t.timeout:
                return Status.IMPORTED_EVENT_TIMEOUT_MUST_BE_ZERO
        status = self._standstill(debit, credit)
        if status is not None:
            return status

        amount = t.amount
        if t.flags & BALANCING_DEBIT:
            amount = min(amount, max(0, debit.credits_posted - debit.debits))
        if t.flags & BALANCING_CREDIT:
            amount = min(amount, max(0, credit.debits_posted - credit.credits))

        if t.flags & PENDING:
            if debit.debits_pending + amount > INT63_MAX:
                return Status.OVERFLOWS_DEBITS_PENDING
            if credit.credits_pending + amount > INT63_MAX:
                return Status.OVERFLOWS_CREDITS_PENDING
        if debit.debits_posted + amount > INT63_MAX:
            return Status.OVERFLOWS_DEBITS_POSTED
        if credit.credits_posted + amount > INT63_MAX:
            return Status.OVERFLOWS_CREDITS_POSTED
        if debit.debits + amount > INT63_MAX:
            return Status.OVERFLOWS_DEBITS
        if credit.credits + amount > INT63_MAX:
            return Status.OVERFLOWS_CREDITS
        timestamp = t.timestamp if t.flags & IMPORTED else time
        if timestamp + t.timeout * SECOND > INT63_MAX:
            return Status.OVERFLOWS_TIMEOUT
        if debit.flags & DEBITS_LIMITED and debit.debits + amount > debit.credits_posted + debit.overdraft_limit:
            return Status.EXCEEDS_CREDITS
        if credit.flags & CREDITS_LIMITED and credit.credits + amount > credit.debits_posted:
            return Status.EXCEEDS_DEBITS

        # From here on it must succeed.
        self._about_to_change(debit, credit)
        if t.flags & PENDING:
            debit.debits_pending += amount
            credit.credits_pending += amount
        else:
            debit.debits_posted += amount
            credit.credits_posted += amount
        if t.flags & CLOSING_DEBIT:
            debit.flags |= CLOSED
        if t.flags & CLOSING_CREDIT:
            credit.flags |= CLOSED
        return self._store(
            StoredTransfer(
                id=t.id,
                debit_account_id=t.debit_account_id,
                credit_account_id=t.credit_account_id,
                amount=amount,
                pending_id=0,
                user_data_128=t.user_data_128,
                user_data_64=t.user_data_64,
                user_data_32=t.user_data_32,
                timeout=t.timeout,
                ledger=t.ledger,
                code=t.code,
                flags=t.flags,
                timestamp=timestamp,
                state=TransferState.PENDING if t.flags & PENDING else TransferState.POSTED,
            )
        )

    def _resolve(self, t: Transfer, time: int, scope: int) -> Status | StoredTransfer:
        """A post or a void of a pending transfer."""
        if t.flags & POST and t.flags & VOID:
            return Status.FLAGS_ARE_MUTUALLY_EXCLUSIVE
        if t.flags & (PENDING | BALANCING_DEBIT | BALANCING_CREDIT | CLOSING_DEBIT | CLOSING_CREDIT):
            return Status.FLAGS_ARE_MUTUALLY_EXCLUSIVE
        if t.pending_id == 0:
            return Status.PENDING_ID_MUST_NOT_BE_ZERO
        if t.pending_id == ID_128_MAX:
            return Status.PENDING_ID_MUST_NOT_BE_INT_MAX
        if t.pending_id == t.id:
            return Status.PENDING_ID_MUST_BE_DIFFERENT
        if t.timeout:
            return Status.TIMEOUT_RESERVED_FOR_PENDING_TRANSFER
        p = self._transfers.get(t.pending_id)
        if p is None:
            return Status.PENDING_TRANSFER_NOT_FOUND
        if not p.flags & PENDING:
            return Status.PENDING_TRANSFER_NOT_PENDING
        if not (self._permitted(scope, p.debit_account_id) and self._permitted(scope, p.credit_account_id)):
            return Status.NOT_PERMITTED
        if t.debit_account_id not in {0, p.debit_account_id}:
            return Status.PENDING_TRANSFER_HAS_DIFFERENT_DEBIT_ACCOUNT_ID
        if t.credit_account_id not in {0, p.credit_account_id}:
            return Status.PENDING_TRANSFER_HAS_DIFFERENT_CREDIT_ACCOUNT_ID
        if t.ledger not in {0, p.ledger}:
            return Status.PENDING_TRANSFER_HAS_DIFFERENT_LEDGER
        if t.code not in {0, p.code}:
            return Status.PENDING_TRANSFER_HAS_DIFFERENT_CODE

        all_of_it = t.amount == AMOUNT_ALL or (t.flags & VOID and t.amount == 0)
        amount = p.amount if all_of_it else t.amount
        if amount > p.amount:
            return Status.EXCEEDS_PENDING_TRANSFER_AMOUNT
        if t.flags & VOID and amount < p.amount:
            return Status.PENDING_TRANSFER_HAS_DIFFERENT_AMOUNT
        if p.state == TransferState.PENDING_POSTED:
            return Status.PENDING_TRANSFER_ALREADY_POSTED
        if p.state == TransferState.VOIDED:
            return Status.PENDING_TRANSFER_ALREADY_VOIDED
        if p.state == TransferState.EXPIRED or (p.timeout and p.expires_at() <= time):
            return Status.PENDING_TRANSFER_EXPIRED
        if t.flags & IMPORTED and self._transfer_time_regresses(t.timestamp):
            return Status.IMPORTED_EVENT_TIMESTAMP_MUST_NOT_REGRESS
        debit, credit = self._accounts[p.debit_account_id], self._accounts[p.credit_account_id]
        if t.flags & POST:
            status = self._standstill(debit, credit)
            if status is not None:
                return status

        # From here on it must succeed.
        if t.flags & POST:
            self._release(p, TransferState.PENDING_POSTED)
            debit.debits_posted += amount
            credit.credits_posted += amount
        else:
            self._release(p, TransferState.VOIDED)
        return self._store(
            StoredTransfer(
                id=t.id,
                debit_account_id=p.debit_account_id,
                credit_account_id=p.credit_account_id,
                amount=amount,
                pending_id=p.id,
                user_data_128=t.user_data_128 or p.user_data_128,
                user_data_64=t.user_data_64 or p.user_data_64,
                user_data_32=t.user_data_32 or p.user_data_32,
                timeout=0,
                ledger=p.ledger,
                code=p.code,
                flags=t.flags,
                timestamp=t.timestamp if t.flags & IMPORTED else time,
                state=TransferState.POSTED if t.flags & POST else TransferState.VOIDED,
            )
        )

    def _transfer_time_regresses(self, timestamp: int) -> bool:
        return timestamp <= newest(self._timestamps_of_transfers) or timestamp in self._timestamps_of_accounts

    @staticmethod
    def _standstill(debit: StoredAccount, credit: StoredAccount) -> Status | None:
        """No new movement on a closed account; no value leaves a frozen one."""
        if debit.flags & CLOSED:
            return Status.DEBIT_ACCOUNT_ALREADY_CLOSED
        if credit.flags & CLOSED:
            return Status.CREDIT_ACCOUNT_ALREADY_CLOSED
        if debit.flags & FROZEN:
            return Status.DEBIT_ACCOUNT_FROZEN
        if credit.flags & FROZEN and credit.flags & CREDITS_LIMITED:
            return Status.CREDIT_ACCOUNT_FROZEN
        return None

    def _release(self, p: StoredTransfer, state: TransferState) -> None:
        """End a hold. What it closed opens again, unless it was posted (which a closed account does not allow)."""
        debit, credit = self._accounts[p.debit_account_id], self._accounts[p.credit_account_id]
        self._about_to_change(p, debit, credit)
        p.state = state
        debit.debits_pending -= p.amount
        credit.credits_pending -= p.amount
        if state != TransferState.PENDING_POSTED:
            if p.flags & CLOSING_DEBIT:
                debit.flags &= ~CLOSED
            if p.flags & CLOSING_CREDIT:
                credit.flags &= ~CLOSED
        del self._open[p.id]

    def _store(self, transfer: StoredTransfer) -> StoredTransfer:
        self._transfers[transfer.id] = transfer
        self._timestamps_of_transfers[transfer.timestamp] = transfer
        if transfer.state == TransferState.PENDING:
            self._open[transfer.id] = transfer
        if self._chain is not None:
            self._chain.transfers_created.append(transfer)
        for account_id in (transfer.debit_account_id, transfer.credit_account_id):
            account = self._accounts[account_id]
            account.transfers.append(transfer)
            if account.flags & HISTORY:
                account.balances.append((transfer, balance_view(transfer.timestamp, account)))
        return transfer

    # --- reads ---------------------------------------------------------------------------------

    def lookup_accounts(self, ids: Iterable[int], *, scope: int = 0) -> list[AccountView | None]:
        return [self._accounts[i].view() if i in self._accounts and self._permitted(scope, i) else None for i in ids]

    def lookup_transfers(self, ids: Iterable[int], *, scope: int = 0) -> list[TransferView | None]:
        return [
            self._transfers[i].view() if i in self._transfers and self._visible(scope, self._transfers[i]) else None
            for i in ids
        ]

    def _visible(self, scope: int, t: StoredTransfer) -> bool:
        """A channel sees what touches an account of its own."""
        return self._permitted(scope, t.debit_account_id) or self._permitted(scope, t.credit_account_id)

    def get_account_transfers(self, f: Filter, *, scope: int = 0) -> list[TransferView]:
        if not self._permitted(scope, f.account_id):
            raise Refused(Status.NOT_PERMITTED)
        account = self._accounts.get(f.account_id)
        if account is None:
            raise Refused(Status.ACCOUNT_NOT_FOUND)
        return [t.view() for t in limited(f, [t for t in account.transfers if transfer_of_account_matches(f, t)])]

    def get_account_balances(self, f: Filter, *, scope: int = 0) -> list[BalanceView]:
        if not self._permitted(scope, f.account_id):
            raise Refused(Status.NOT_PERMITTED)
        account = self._accounts.get(f.account_id)
        if account is None:
            raise Refused(Status.ACCOUNT_NOT_FOUND)
        if not account.flags & HISTORY:
            raise Refused(Status.NO_HISTORY)
        return limited(f, [balance for t, balance in account.balances if transfer_of_account_matches(f, t)])

    def query_accounts(self, f: Filter, *, scope: int = 0) -> list[AccountView]:
        found = [
            a
            for a in self._accounts.values()
            if self._permitted(scope, a.command.id)
            and in_time(f, a.timestamp)
            and matches(f, a.command)
            and f.ledger in {0, a.command.ledger}
        ]
        return [a.view() for a in limited(f, found)]

    def query_transfers(self, f: Filter, *, scope: int = 0) -> list[TransferView]:
        found = [
            t
            for t in self._transfers.values()
            if self._visible(scope, t) and in_time(f, t.timestamp) and matches(f, t) and f.ledger in {0, t.ledger}
        ]
        return [t.view() for t in limited(f, found)]

    # --- what can be counted and checked --------------------------------------------------------

    @property
    def accounts(self) -> int:
        return len(self._accounts)

    @property
    def transfers(self) -> int:
        return len(self._transfers)

    @property
    def pending(self) -> int:
        return len(self._open)

    @property
    def burnt(self) -> int:
        return len(self._burnt)

    @property
    def next_expiry(self) -> int:
        return min((p.expires_at() for p in self._open.values() if p.timeout), default=0)

    def account_ids(self) -> list[int]:
        return list(self._accounts)

    def transfer_ids(self) -> list[int]:
        return list(self._transfers)

    def open_transfers(self) -> Iterator[TransferView]:
        return (p.view() for p in self._open.values())

    def check_invariants(self) -> None:
        """Recompute every balance from the transfers alone, and compare. Slow."""
        expected = {i: [0, 0, 0, 0] for i in self._accounts}
        for t in self._transfers.values():
            debit, credit = expected[t.debit_account_id], expected[t.credit_account_id]
            if t.state == TransferState.PENDING:
                debit[0] += t.amount
                credit[2] += t.amount
            elif t.state == TransferState.POSTED:
                debit[1] += t.amount
                credit[3] += t.amount
        sums: dict[int, list[int]] = {}
        for i, account in self._accounts.items():
            balances = [account.debits_pending, account.debits_posted, account.credits_pending, account.credits_posted]
            assert balances == expected[i], f"account {i}: {balances}, its transfers say {expected[i]}"
            assert account.debits <= INT63_MAX
            assert account.credits <= INT63_MAX
            total = sums.setdefault(account.command.ledger, [0, 0, 0, 0])
            total[:] = [x + y for x, y in zip(total, balances, strict=True)]
            touching = [t for t in self._transfers.values() if i in {t.debit_account_id, t.credit_account_id}]
            assert account.transfers == touching
            kept = [t for t, _ in account.balances]
            assert kept == (touching if account.flags & HISTORY else [])
        for ledger, (debits_pending, debits_posted, credits_pending, credits_posted) in sums.items():
            assert debits_pending == credits_pending, f"ledger {ledger}: held {debits_pending} / {credits_pending}"
            assert debits_posted == credits_posted, f"ledger {ledger}: posted {debits_posted} / {credits_posted}"
        still_open = {t.id for t in self._transfers.values() if t.state == TransferState.PENDING}
        assert set(self._open) == still_open
        assert not self._burnt & set(self._transfers)
        for records in (self._accounts, self._transfers):
            times = [record.timestamp for record in records.values()]
            assert times == sorted(set(times)), "timestamps rise in the order of creation"


def newest(by_timestamp: dict[int, StoredAccount] | dict[int, StoredTransfer]) -> int:
    """The last timestamp given, which is the largest (check_invariants holds the two equal); 0 before the first."""
    return next(reversed(by_timestamp), 0)
