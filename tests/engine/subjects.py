"""The ledgers under test behind one face: tuples of `tests.models.records` in, tuples out.

`Plain` is the model, `Fast` is the engine. Whatever runs on one must run on the other and give the same.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from engine import Batch as EngineBatch
from engine import Engine, EngineError, Limits, log_record, requests
from engine.results import Status
from tests.engine.batches import READS, Batch
from tests.models import records
from tests.models.ledger import Ledger, Refused
from tests.models.records import Account, AccountView, BalanceView, Filter, Result, Transfer, TransferView, Update

Answer = list[Any] | Status
"""The results or views of one request, or why a whole read was refused."""

LIMITS = Limits(accounts_max=2**16, transfers_max=2**20, burnt_max=2**20, balances_max=2**20)
"""Small, so that a world costs little to set up and throw away."""


class Subject(Protocol):
    """What both can do."""

    last_timestamp: int

    def create_accounts(self, accounts: Sequence[Account], time: int, *, scope: int = 0) -> list[Result]: ...
    def create_transfers(self, transfers: Sequence[Transfer], time: int, *, scope: int = 0) -> list[Result]: ...
    def update_accounts(self, updates: Sequence[Update], time: int, *, scope: int = 0) -> list[Result]: ...
    def define_scope(self, scope: int, ranges: Iterable[tuple[int, int]], time: int) -> None: ...
    def tick(self, time: int) -> None: ...
    def lookup_accounts(self, ids: Sequence[int], *, scope: int = 0) -> list[AccountView | None]: ...
    def lookup_transfers(self, ids: Sequence[int], *, scope: int = 0) -> list[TransferView | None]: ...
    def get_account_transfers(self, f: Filter, *, scope: int = 0) -> list[TransferView]: ...
    def get_account_balances(self, f: Filter, *, scope: int = 0) -> list[BalanceView]: ...
    def query_accounts(self, f: Filter, *, scope: int = 0) -> list[AccountView]: ...
    def query_transfers(self, f: Filter, *, scope: int = 0) -> list[TransferView]: ...
    def apply(self, batch: Batch) -> list[Answer]: ...
    def counts(self) -> dict[str, int]: ...
    def check_invariants(self) -> None: ...


class Plain(Ledger):
    """The slow, plain ledger."""

    def apply(self, batch: Batch) -> list[Answer]:
        """All requests of a batch, in order."""
        if batch.writes():
            self.begin(batch.time)
        return [self._answer(*request) for request in batch.requests]

    def _answer(self, method: str, items: Any, scope: int) -> Answer:
        if method == "define_scope":
            return self.do_define_scope(*items)
        do: Callable[..., list[Any]] = getattr(self, f"do_{method}", None) or getattr(super(), method)
        try:
            return do(items, scope=scope)
        except Refused as refused:
            return refused.status

    # The embedding interface has nothing to show of an account that is not there.

    def get_account_transfers(self, f: Filter, *, scope: int = 0) -> list[TransferView]:
        return self._found(super().get_account_transfers, f, scope)

    def get_account_balances(self, f: Filter, *, scope: int = 0) -> list[BalanceView]:
        return self._found(super().get_account_balances, f, scope)

    @staticmethod
    def _found(method: Callable[..., list[Any]], f: Filter, scope: int) -> list[Any]:
        try:
            return method(f, scope=scope)
        except Refused as refused:
            if refused.status != Status.ACCOUNT_NOT_FOUND:
                raise
            return []

    def counts(self) -> dict[str, int]:
        """What can be counted."""
        return {
            name: getattr(self, name)
            for name in ("accounts", "transfers", "pending", "burnt", "last_timestamp", "next_expiry")
        }


class Fast:
    """The engine. Every batch also goes through a log record and back before it is applied."""

    def __init__(self, engine: Engine | None = None, *, hash_key: bytes = b"", limits: Limits = LIMITS) -> None:
        self.engine = engine if engine is not None else Engine(limits, hash_key=hash_key)
        self.log: list[bytes] = []
        self._batch = EngineBatch()
        self._decoded = EngineBatch()

    # The embedding interface.

    @property
    def last_timestamp(self) -> int:
        return self.engine.last_timestamp

    def create_accounts(self, accounts: Sequence[Account], time: int, *, scope: int = 0) -> list[Result]:
        return records.results(self.engine.create_accounts(records.account_array(accounts), time, scope=scope))

    def create_transfers(self, transfers: Sequence[Transfer], time: int, *, scope: int = 0) -> list[Result]:
        return records.results(self.engine.create_transfers(records.transfer_array(transfers), time, scope=scope))

    def update_accounts(self, updates: Sequence[Update], time: int, *, scope: int = 0) -> list[Result]:
        return records.results(self.engine.update_accounts(records.update_array(updates), time, scope=scope))

    def define_scope(self, scope: int, ranges: Iterable[tuple[int, int]], time: int) -> None:
        self.engine.define_scope(scope, records.range_array(ranges), time)

    def tick(self, time: int) -> None:
        self.engine.tick(time)

    def lookup_accounts(self, ids: Sequence[int], *, scope: int = 0) -> list[AccountView | None]:
        return records.account_views(self.engine.lookup_accounts(records.account_id_array(ids), scope=scope))

    def lookup_transfers(self, ids: Sequence[int], *, scope: int = 0) -> list[TransferView | None]:
        return records.transfer_views(self.engine.lookup_transfers(records.transfer_id_array(ids), scope=scope))

    def get_account_transfers(self, f: Filter, *, scope: int = 0) -> list[TransferView]:
        found = self._refusing(self.engine.get_account_transfers, f, scope)
        return [view for view in records.transfer_views(found) if view]

    def get_account_balances(self, f: Filter, *, scope: int = 0) -> list[BalanceView]:
        return records.balance_views(self._refusing(self.engine.get_account_balances, f, scope))

    def query_accounts(self, f: Filter, *, scope: int = 0) -> list[AccountView]:
        return [view for view in records.account_views(self._refusing(self.engine.query_accounts, f, scope)) if view]

    def query_transfers(self, f: Filter, *, scope: int = 0) -> list[TransferView]:
        return [view for view in records.transfer_views(self._refusing(self.engine.query_transfers, f, scope)) if view]

    @staticmethod
    def _refusing(method: Callable[..., np.ndarray[Any, Any]], f: Filter, scope: int) -> np.ndarray[Any, Any]:
        try:
            return method(records.filter_array(f), scope=scope)
        except PermissionError as error:
            raise Refused(Status.NOT_PERMITTED) from error
        except EngineError as error:
            raise Refused(Status.SCAN_LIMIT_REACHED) from error
        except ValueError as error:
            if "has no history" not in str(error):
                raise
            raise Refused(Status.NO_HISTORY) from error

    # The server's interface.

    def apply(self, batch: Batch) -> list[Answer]:
        """All requests of a batch, in order, as the server has them applied; the log record is kept."""
        self._compose(batch)
        if batch.writes():
            self.log.append(self._record(batch))
        self.engine.apply(self._batch, batch.time)
        return [
            answer(request.method, requests.status(self._batch, index), requests.answers(self._batch, index))
            for index, request in enumerate(batch.requests)
        ]

    def _compose(self, batch: Batch) -> None:
        into = self._batch
        requests.clear(into)
        for method, items, scope in batch.requests:
            match method:
                case "create_accounts":
                    requests.append_accounts(into, records.account_array(items), scope=scope)
                case "create_transfers":
                    requests.append_transfers(into, records.transfer_array(items), scope=scope)
                case "update_accounts":
                    requests.append_updates(into, records.update_array(items), scope=scope)
                case "define_scope":
                    requests.append_scope(into, items[0], records.range_array(items[1]))
                case "lookup_accounts":
                    requests.append_lookup_accounts(into, records.account_id_array(items), scope=scope)
                case "lookup_transfers":
                    requests.append_lookup_transfers(into, records.transfer_id_array(items), scope=scope)
                case _:
                    limit_max = self.engine.limits.query_limit_max
                    wanted = records.filter_array(items)
                    requests.append_search(into, method, wanted, limit_max=limit_max, scope=scope)

    def _record(self, batch: Batch) -> bytes:
        """The batch as a log record, which must come back as it was."""
        payload = log_record.encode(self._batch, batch.time)
        assert log_record.decode(payload, self._decoded) == batch.time
        assert log_record.encode(self._decoded, batch.time) == payload
        return payload

    def replay(self, payload: bytes) -> None:
        """Apply a log record."""
        time = log_record.decode(payload, self._batch)
        self.engine.apply(self._batch, time)

    def results(self) -> list[list[Result]]:
        """The results of the record that was replayed last, per request."""
        return [records.results(requests.answers(self._batch, index)) for index in range(len(self._batch))]

    def restored(self, path: Path, *, hash_key: bytes = b"") -> "Fast":
        """A snapshot of it, read back."""
        written = self.engine.snapshot(path)
        other = Fast(Engine.restore(path, self.engine.limits, hash_key=hash_key))
        assert other.engine.state_hash() == written == self.engine.state_hash()
        other.log = self.log
        return other

    def counts(self) -> dict[str, int]:
        """What can be counted."""
        e = self.engine
        return {
            "accounts": e.accounts,
            "transfers": e.transfers,
            "pending": e.pending,
            "burnt": e.burnt,
            "last_timestamp": e.last_timestamp,
            "next_expiry": e.next_expiry,
        }

    def check_invariants(self) -> None:
        self.engine.check_invariants()


def answer(method: str, status: int, array: np.ndarray[Any, Any]) -> Answer:
    """The answer of the engine to one request, as tuples."""
    if method not in READS:
        return records.results(array)
    if status != Status.FOUND:
        assert len(array) == 0
        return Status(status)
    if method in {"lookup_accounts", "query_accounts"}:
        return records.account_views(array)
    if method == "get_account_balances":
        return records.balance_views(array)
    return records.transfer_views(array)


SUBJECTS: Sequence[type[Plain] | type[Fast]] = [Plain, Fast]
