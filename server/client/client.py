"""The asyncio client.

    async with Client("127.0.0.1", 7420) as client:
        results = await client.create_transfers([Transfer(uuid7(), 1001, 2002, 12500, 156, 10)])

Any number of coroutines may call at the same time over the one connection; requests are pipelined in the order of
the calls. Lists of tuples are answered with lists of tuples, NumPy record arrays with record arrays. What happens
when an answer is lost stands in `calls.py`.
"""

import asyncio
import contextlib
import itertools
import math
import ssl
from collections import deque
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Literal, Self, TypeVar, cast, overload

import numpy as np
import numpy.typing as npt

from server.client import calls, settle
from server.client.calls import ACCOUNT_LINKED, ITEMS_MAX, LINE_MAX, TRANSFER_LINKED, Call
from server.client.connection import Connection
from server.client.logon import Logon
from server.client.orders import OrderMethods
from server.client.route import Route, Server
from server.client.subscription import Subscription
from server.client.values import (
    Account,
    AccountUpdate,
    AccountView,
    BalanceView,
    Id128,
    Records,
    Result,
    Transfer,
    TransferView,
)

T = TypeVar("T")

PIECES_IN_FLIGHT = 4
"""Requests of one cut-up call that are on their way at a time."""


def tls_context(ca_file: str | None = None) -> ssl.SSLContext:
    """Make a TLS 1.3 context that trusts the system's authorities, or `ca_file` alone."""
    context = ssl.create_default_context(cafile=ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context


class Client(OrderMethods):
    """A connection to the server that is kept up, and the server's methods on it.

    `logon`: the channel and its key; none for a server in --dev mode. `tls`: a context, see `tls_context`.
    `deadline_s`: how long a call may take, with all its retries, unless it names its own; math.inf for no limit.
    `connect_deadline_s`: how long `connect` tries; 0 for one attempt. `in_flight_max`: requests on their way at a
    time; further calls wait. `items_max`, `line_max`: what the server takes in one request; longer writes are cut.
    `resend_updates`: whether update_accounts is sent again when its answer was lost.
    `others`: host and port of further servers of the same log. One of them leads: a server that cannot be reached,
    refuses to write, or answers nothing for `switch_after_s` while requests wait, is left for the next.

    Raises from every call: RequestError and its kinds, DeadlineExceeded, ConnectionLost (calls that may not be sent
    twice, or a closed client), ProtocolError.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 7420,
        *,
        logon: Logon | None = None,
        tls: ssl.SSLContext | None = None,
        deadline_s: float = 30.0,
        connect_deadline_s: float = 10.0,
        in_flight_max: int = 1024,
        items_max: int = ITEMS_MAX,
        line_max: int = LINE_MAX,
        resend_updates: bool = True,
        others: Sequence[Server] = (),
        switch_after_s: float = 3.0,
    ) -> None:
        self._connection = Connection(
            Route(host, port, others), logon=logon, tls=tls, in_flight_max=in_flight_max, switch_after_s=switch_after_s
        )
        self._deadline_s = deadline_s
        self._connect_deadline_s = connect_deadline_s
        self._items_max = items_max
        self._line_max = line_max
        self._resend_updates = resend_updates

    # --- life ---------------------------------------------------------------------------------------------------

    async def connect(self) -> None:
        """Connect and log on; also done by `async with`. Raises ConnectionLost, NotLoggedOn, NotPermitted."""
        await self._connection.open(self._connect_deadline_s)

    async def close(self) -> None:
        """Close the connection; calls that still wait get ConnectionLost."""
        await self._connection.close()

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def connected(self) -> bool:
        """Whether a connection is up now; calls made while it is not wait for the next one."""
        return self._connection.connected

    @property
    def seq(self) -> int:
        """The highest log entry that an answer named: what a reader of SQL or a follower waits for."""
        return self._connection.seq

    @property
    def min_seq(self) -> int:
        """The log entry that every answer must know of, 0 for none: at a replica requests wait for it."""
        return self._connection.min_seq

    @min_seq.setter
    def min_seq(self, seq: int) -> None:
        self._connection.min_seq = seq

    @property
    def address(self) -> str:
        """host:port of the server that is talked to, or tried, now."""
        return self._connection.address

    @property
    def reconnects(self) -> int:
        """Connections made after the first."""
        return self._connection.reconnects

    @property
    def resends(self) -> int:
        """Requests that were sent again because their answer was lost."""
        return self._connection.resends

    # --- writes -------------------------------------------------------------------------------------------------

    @overload
    async def create_accounts(self, accounts: Sequence[Account], *, deadline_s: float | None = ...) -> list[Result]: ...
    @overload
    async def create_accounts(self, accounts: Records, *, deadline_s: float | None = ...) -> Records: ...
    async def create_accounts(
        self, accounts: Sequence[Account] | Records, *, deadline_s: float | None = None
    ) -> list[Result] | Records:
        """Create accounts; one result per account, in order. Safe to send again: `Result.created_or_exists`."""
        parts: list[Result] | Records
        parts, resent = await self._write(accounts, calls.create_accounts, ACCOUNT_LINKED, deadline_s)
        if resent:
            await self._settle_accounts(accounts, parts)
        return parts

    @overload
    async def create_transfers(
        self, transfers: Sequence[Transfer], *, deadline_s: float | None = ...
    ) -> list[Result]: ...
    @overload
    async def create_transfers(self, transfers: Records, *, deadline_s: float | None = ...) -> Records: ...
    async def create_transfers(
        self, transfers: Sequence[Transfer] | Records, *, deadline_s: float | None = None
    ) -> list[Result] | Records:
        """Create transfers; one result per transfer, in order. Safe to send again: `Result.created_or_exists`.

        More than a request holds are cut into several, never inside a linked chain.
        """
        parts: list[Result] | Records
        parts, resent = await self._write(transfers, calls.create_transfers, TRANSFER_LINKED, deadline_s)
        if resent:
            await self._settle_transfers(transfers, parts)
        return parts

    @overload
    async def update_accounts(
        self, updates: Sequence[AccountUpdate], *, deadline_s: float | None = ...
    ) -> list[Result]: ...
    @overload
    async def update_accounts(self, updates: Records, *, deadline_s: float | None = ...) -> Records: ...
    async def update_accounts(
        self, updates: Sequence[AccountUpdate] | Records, *, deadline_s: float | None = None
    ) -> list[Result] | Records:
        """Set overdraft limits, freeze and release accounts; at most `items_max` at a time.

        Sent again when the answer was lost, unless the client was made with `resend_updates=False`.
        """
        if len(updates) > self._items_max:
            raise ValueError(f"{len(updates)} updates are more than a request holds ({self._items_max})")
        call = calls.update_accounts(updates, safe=self._resend_updates)
        return await self._send(cast("Call[list[Result] | Records]", call), deadline_s)

    async def settle_accounts(self, accounts: Sequence[Account], results: Sequence[Result]) -> list[Result]:
        """Read results of accounts that an earlier process may have sent before; as settle_transfers."""
        settled = list(results)
        await self._settle_accounts(accounts, settled)
        return settled

    async def settle_transfers(self, transfers: Sequence[Transfer], results: Sequence[Result]) -> list[Result]:
        """Read results of transfers that an earlier process may have sent before.

        A linked chain that was created then answers `exists` for its first member and `linked_event_failed` for the
        others. Such chains are looked up, and where the ledger has them exactly as asked, all members are `exists`.
        `create_transfers` does this by itself when it was the one that sent them twice.
        """
        settled = list(results)
        await self._settle_transfers(transfers, settled)
        return settled

    # --- reads --------------------------------------------------------------------------------------------------

    async def ping(self, *, deadline_s: float | None = None) -> int:
        """Ask for the log's time in nanoseconds; works without a logon."""
        return await self._send(calls.ping(), deadline_s)

    @overload
    async def lookup_accounts(
        self, ids: Sequence[int], *, deadline_s: float | None = ...
    ) -> list[AccountView | None]: ...
    @overload
    async def lookup_accounts(self, ids: npt.NDArray[np.uint64], *, deadline_s: float | None = ...) -> Records: ...
    async def lookup_accounts(
        self, ids: Sequence[int] | npt.NDArray[np.uint64], *, deadline_s: float | None = None
    ) -> list[AccountView | None] | Records:
        """Look accounts up, at most `items_max` at a time; None, or id 0 in an array, stands for one not found."""
        if isinstance(ids, np.ndarray):
            return await self._send(calls.lookup_accounts_array(ids), deadline_s)
        return await self._send(calls.lookup_accounts(ids), deadline_s)

    @overload
    async def lookup_transfers(
        self, ids: Sequence[Id128], *, deadline_s: float | None = ...
    ) -> list[TransferView | None]: ...
    @overload
    async def lookup_transfers(self, ids: npt.NDArray[np.uint64], *, deadline_s: float | None = ...) -> Records: ...
    async def lookup_transfers(
        self, ids: Sequence[Id128] | npt.NDArray[np.uint64], *, deadline_s: float | None = None
    ) -> list[TransferView | None] | Records:
        """Look transfers up, at most `items_max` at a time; an array has shape (n, 2), low half first."""
        if isinstance(ids, np.ndarray):
            return await self._send(calls.lookup_transfers_array(ids), deadline_s)
        return await self._send(calls.lookup_transfers(ids), deadline_s)

    @overload
    async def get_account_transfers(
        self, account_id: int, *, arrays: Literal[True], deadline_s: float | None = ..., **members: Any
    ) -> Records: ...
    @overload
    async def get_account_transfers(
        self, account_id: int, *, arrays: Literal[False] = ..., deadline_s: float | None = ..., **members: Any
    ) -> list[TransferView]: ...
    async def get_account_transfers(
        self, account_id: int, *, arrays: bool = False, deadline_s: float | None = None, **members: Any
    ) -> list[TransferView] | Records:
        """Give the transfers of an account, oldest first.

        Members: timestamp_min, timestamp_max, limit (at most 8190), debits, credits, reversed, code, user_data_128,
        user_data_64, user_data_32. None leaves a member out.
        """
        given = {"account_id": account_id, **members}
        if arrays:
            return await self._send(calls.get_account_transfers_array(given), deadline_s)
        return await self._send(calls.get_account_transfers(given), deadline_s)

    @overload
    async def get_account_balances(
        self, account_id: int, *, arrays: Literal[True], deadline_s: float | None = ..., **members: Any
    ) -> Records: ...
    @overload
    async def get_account_balances(
        self, account_id: int, *, arrays: Literal[False] = ..., deadline_s: float | None = ..., **members: Any
    ) -> list[BalanceView]: ...
    async def get_account_balances(
        self, account_id: int, *, arrays: bool = False, deadline_s: float | None = None, **members: Any
    ) -> list[BalanceView] | Records:
        """Give the balances of an account with `history` after each transfer; members as get_account_transfers."""
        given = {"account_id": account_id, **members}
        if arrays:
            return await self._send(calls.get_account_balances_array(given), deadline_s)
        return await self._send(calls.get_account_balances(given), deadline_s)

    @overload
    async def query_accounts(
        self, *, arrays: Literal[True], deadline_s: float | None = ..., **members: Any
    ) -> Records: ...
    @overload
    async def query_accounts(
        self, *, arrays: Literal[False] = ..., deadline_s: float | None = ..., **members: Any
    ) -> list[AccountView]: ...
    async def query_accounts(
        self, *, arrays: bool = False, deadline_s: float | None = None, **members: Any
    ) -> list[AccountView] | Records:
        """Give the accounts that meet all conditions, oldest first.

        Members: ledger, code, user_data_128, user_data_64, user_data_32, timestamp_min, timestamp_max, limit,
        reversed. None leaves a member out.
        """
        if arrays:
            return await self._send(calls.query_accounts_array(members), deadline_s)
        return await self._send(calls.query_accounts(members), deadline_s)

    @overload
    async def query_transfers(
        self, *, arrays: Literal[True], deadline_s: float | None = ..., **members: Any
    ) -> Records: ...
    @overload
    async def query_transfers(
        self, *, arrays: Literal[False] = ..., deadline_s: float | None = ..., **members: Any
    ) -> list[TransferView]: ...
    async def query_transfers(
        self, *, arrays: bool = False, deadline_s: float | None = None, **members: Any
    ) -> list[TransferView] | Records:
        """Give the transfers that meet all conditions, oldest first; members as query_accounts."""
        if arrays:
            return await self._send(calls.query_transfers_array(members), deadline_s)
        return await self._send(calls.query_transfers(members), deadline_s)

    async def call(self, method: str, params: object, *, safe: bool = False, deadline_s: float | None = None) -> Any:
        """Call any method by name; the result comes as plain Python values.

        `safe`: whether it may be sent again when its answer was lost; else that raises ConnectionLost.
        """
        return await self._send(calls.other(method, params, safe=safe), deadline_s)

    def subscribe(self, *topics: str, from_seq: int | None = None, depth: int | None = None) -> Subscription:
        """Give what happens on topics, over a connection of its own, as an asynchronous iterator.

            async with client.subscribe("executions", "book:CF701", depth=5) as events:
                async for event in events:
                    print(event.method, event.params)

        See `Subscription` for what happens when the connection is lost.
        """
        connection = self._connection
        return Subscription(
            connection.route.copy(), topics, connection.logon, connection.tls, from_seq=from_seq, depth=depth
        )

    # --- inside -------------------------------------------------------------------------------------------------

    def _deadline(self, deadline_s: float | None) -> float | None:
        chosen = self._deadline_s if deadline_s is None else deadline_s
        return None if chosen == math.inf else chosen

    async def _send(self, call: Call[T], deadline_s: float | None) -> T:
        return (await self._connection.exchange(call, self._deadline(deadline_s)))[0]

    async def _write(self, items: Any, build: Any, linked: int, deadline_s: float | None) -> tuple[Any, bool]:
        """Send a write, cut into as many requests as it takes; also tells whether any was sent twice.

        Pieces are pipelined, but imported items depend on the order of their timestamps, which a piece that was
        answered "busy" would break: these go one after the other.
        """
        deadline = self._deadline(deadline_s)
        pieces = calls.write_calls(items, build, linked, items_max=self._items_max, line_max=self._line_max)
        _, first = next(pieces)
        if first.items == len(items):
            return await self._connection.exchange(first, deadline)
        room = 1 if calls.any_imported(items) else PIECES_IN_FLIGHT
        answers: list[tuple[Any, bool]] = []
        waiting: deque[asyncio.Task[tuple[Any, bool]]] = deque()
        try:
            for call in itertools.chain([first], (call for _, call in pieces)):
                if len(waiting) >= room:
                    answers.append(await waiting[0])
                    waiting.popleft()
                waiting.append(asyncio.create_task(self._connection.exchange(call, deadline)))
            while waiting:
                answers.append(await waiting[0])
                waiting.popleft()
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
        resent = any(again for _, again in answers)
        if isinstance(items, np.ndarray):
            return np.concatenate([part for part, _ in answers]), resent
        return [result for part, _ in answers for result in part], resent

    async def _settle_accounts(self, accounts: Any, results: Any) -> None:
        questions = settle.accounts(accounts, results)
        with contextlib.suppress(StopIteration):
            ids = next(questions)
            while True:
                ids = questions.send(await self.lookup_accounts(ids))

    async def _settle_transfers(self, transfers: Any, results: Any) -> None:
        questions = settle.transfers(transfers, results)
        with contextlib.suppress(StopIteration):
            ids = next(questions)
            while True:
                ids = questions.send(await self.lookup_transfers(ids))
