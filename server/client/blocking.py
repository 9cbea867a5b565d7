"""The client for scripts: a plain socket, one request at a time, no event loop.

    with BlockingClient("127.0.0.1", 7420) as client:
        print(client.create_transfers([Transfer(uuid7(), 1001, 2002, 12500, 156, 10)]))

The same methods, values, errors and rules for lost answers as `Client`. Not for use by several threads at a time:
give each its own.
"""

import contextlib
import math
import socket
import ssl
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Literal, Self, TypeVar, cast, overload

import numpy as np
import numpy.typing as npt

from server.client import calls, codec, settle
from server.client.blocking_orders import BlockingOrderMethods
from server.client.calls import ACCOUNT_LINKED, ITEMS_MAX, LINE_MAX, TRANSFER_LINKED, Call
from server.client.connection import ATTEMPT_MAX_S
from server.client.errors import (
    BUSY,
    NOT_LEADER,
    Busy,
    ClientError,
    ConnectionLost,
    DeadlineExceeded,
    NotLoggedOn,
    NotPermitted,
    ProtocolError,
    RequestError,
)
from server.client.logon import Logon
from server.client.retry import BUSY as BUSY_BACKOFF
from server.client.retry import tune_socket
from server.client.route import Route, Server
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


class BlockingClient(BlockingOrderMethods):
    """The server's methods over a plain socket; arguments as those of `Client`."""

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 7420,
        *,
        logon: Logon | None = None,
        tls: ssl.SSLContext | None = None,
        deadline_s: float = 30.0,
        connect_deadline_s: float = 10.0,
        items_max: int = ITEMS_MAX,
        line_max: int = LINE_MAX,
        resend_updates: bool = True,
        others: Sequence[Server] = (),
        switch_after_s: float = 3.0,
    ) -> None:
        self.seq = 0
        self.min_seq = 0
        """See Client.min_seq."""
        self.resends = 0
        self._route = Route(host, port, others)
        self._answered = False
        """Whether this connection has brought an answer yet."""
        self._switch_after_s = switch_after_s
        self._logon = logon
        self._tls = tls
        self._deadline_s = deadline_s
        self._connect_deadline_s = connect_deadline_s
        self._items_max = items_max
        self._line_max = line_max
        self._resend_updates = resend_updates
        self._socket: socket.socket | None = None
        self._tail = b""
        self._id = 0

    @property
    def address(self) -> str:
        """host:port of the server that is talked to, or tried, now."""
        return self._route.address

    # --- life ---------------------------------------------------------------------------------------------------

    def connect(self) -> None:
        """Connect and log on; also done by `with`, and by the first call. Raises ConnectionLost, NotLoggedOn."""
        self._connect(time.monotonic() + self._connect_deadline_s)

    def close(self) -> None:
        """Close the connection; the next call makes a new one."""
        if self._socket is not None:
            self._socket.close()
        self._socket = None
        self._tail = b""

    def __enter__(self) -> Self:
        self.connect()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- writes -------------------------------------------------------------------------------------------------

    @overload
    def create_accounts(self, accounts: Sequence[Account], *, deadline_s: float | None = ...) -> list[Result]: ...
    @overload
    def create_accounts(self, accounts: Records, *, deadline_s: float | None = ...) -> Records: ...
    def create_accounts(
        self, accounts: Sequence[Account] | Records, *, deadline_s: float | None = None
    ) -> list[Result] | Records:
        """Create accounts; one result per account, in order."""
        results: list[Result] | Records
        results, resent = self._write(accounts, calls.create_accounts, ACCOUNT_LINKED, deadline_s)
        if resent:
            questions = settle.accounts(accounts, results)
            with contextlib.suppress(StopIteration):
                ids = next(questions)
                while True:
                    ids = questions.send(self.lookup_accounts(ids))
        return results

    @overload
    def create_transfers(self, transfers: Sequence[Transfer], *, deadline_s: float | None = ...) -> list[Result]: ...
    @overload
    def create_transfers(self, transfers: Records, *, deadline_s: float | None = ...) -> Records: ...
    def create_transfers(
        self, transfers: Sequence[Transfer] | Records, *, deadline_s: float | None = None
    ) -> list[Result] | Records:
        """Create transfers; one result per transfer, in order. More than a request holds are cut into several."""
        results: list[Result] | Records
        results, resent = self._write(transfers, calls.create_transfers, TRANSFER_LINKED, deadline_s)
        if resent:
            questions = settle.transfers(transfers, results)
            with contextlib.suppress(StopIteration):
                ids = next(questions)
                while True:
                    ids = questions.send(self.lookup_transfers(ids))
        return results

    @overload
    def update_accounts(self, updates: Sequence[AccountUpdate], *, deadline_s: float | None = ...) -> list[Result]: ...
    @overload
    def update_accounts(self, updates: Records, *, deadline_s: float | None = ...) -> Records: ...
    def update_accounts(
        self, updates: Sequence[AccountUpdate] | Records, *, deadline_s: float | None = None
    ) -> list[Result] | Records:
        """Set overdraft limits, freeze and release accounts; at most `items_max` at a time."""
        if len(updates) > self._items_max:
            raise ValueError(f"{len(updates)} updates are more than a request holds ({self._items_max})")
        call = calls.update_accounts(updates, safe=self._resend_updates)
        return self._send(cast("Call[list[Result] | Records]", call), deadline_s)

    # --- reads --------------------------------------------------------------------------------------------------

    def ping(self, *, deadline_s: float | None = None) -> int:
        """Ask for the log's time in nanoseconds; works without a logon."""
        return self._send(calls.ping(), deadline_s)

    @overload
    def lookup_accounts(self, ids: Sequence[int], *, deadline_s: float | None = ...) -> list[AccountView | None]: ...
    @overload
    def lookup_accounts(self, ids: npt.NDArray[np.uint64], *, deadline_s: float | None = ...) -> Records: ...
    def lookup_accounts(
        self, ids: Sequence[int] | npt.NDArray[np.uint64], *, deadline_s: float | None = None
    ) -> list[AccountView | None] | Records:
        """Look accounts up; None, or id 0 in an array, stands for one not found."""
        if isinstance(ids, np.ndarray):
            return self._send(calls.lookup_accounts_array(ids), deadline_s)
        return self._send(calls.lookup_accounts(ids), deadline_s)

    @overload
    def lookup_transfers(
        self, ids: Sequence[Id128], *, deadline_s: float | None = ...
    ) -> list[TransferView | None]: ...
    @overload
    def lookup_transfers(self, ids: npt.NDArray[np.uint64], *, deadline_s: float | None = ...) -> Records: ...
    def lookup_transfers(
        self, ids: Sequence[Id128] | npt.NDArray[np.uint64], *, deadline_s: float | None = None
    ) -> list[TransferView | None] | Records:
        """Look transfers up; an array has shape (n, 2), low half first."""
        if isinstance(ids, np.ndarray):
            return self._send(calls.lookup_transfers_array(ids), deadline_s)
        return self._send(calls.lookup_transfers(ids), deadline_s)

    @overload
    def get_account_transfers(
        self, account_id: int, *, arrays: Literal[True], deadline_s: float | None = ..., **members: Any
    ) -> Records: ...
    @overload
    def get_account_transfers(
        self, account_id: int, *, arrays: Literal[False] = ..., deadline_s: float | None = ..., **members: Any
    ) -> list[TransferView]: ...
    def get_account_transfers(
        self, account_id: int, *, arrays: bool = False, deadline_s: float | None = None, **members: Any
    ) -> list[TransferView] | Records:
        """Give the transfers of an account, oldest first; members as those of Client.get_account_transfers."""
        given = {"account_id": account_id, **members}
        if arrays:
            return self._send(calls.get_account_transfers_array(given), deadline_s)
        return self._send(calls.get_account_transfers(given), deadline_s)

    @overload
    def get_account_balances(
        self, account_id: int, *, arrays: Literal[True], deadline_s: float | None = ..., **members: Any
    ) -> Records: ...
    @overload
    def get_account_balances(
        self, account_id: int, *, arrays: Literal[False] = ..., deadline_s: float | None = ..., **members: Any
    ) -> list[BalanceView]: ...
    def get_account_balances(
        self, account_id: int, *, arrays: bool = False, deadline_s: float | None = None, **members: Any
    ) -> list[BalanceView] | Records:
        """Give the balances of an account with `history` after each of its transfers."""
        given = {"account_id": account_id, **members}
        if arrays:
            return self._send(calls.get_account_balances_array(given), deadline_s)
        return self._send(calls.get_account_balances(given), deadline_s)

    @overload
    def query_accounts(self, *, arrays: Literal[True], deadline_s: float | None = ..., **members: Any) -> Records: ...
    @overload
    def query_accounts(
        self, *, arrays: Literal[False] = ..., deadline_s: float | None = ..., **members: Any
    ) -> list[AccountView]: ...
    def query_accounts(
        self, *, arrays: bool = False, deadline_s: float | None = None, **members: Any
    ) -> list[AccountView] | Records:
        """Give the accounts that meet all conditions, oldest first; members as those of Client.query_accounts."""
        if arrays:
            return self._send(calls.query_accounts_array(members), deadline_s)
        return self._send(calls.query_accounts(members), deadline_s)

    @overload
    def query_transfers(self, *, arrays: Literal[True], deadline_s: float | None = ..., **members: Any) -> Records: ...
    @overload
    def query_transfers(
        self, *, arrays: Literal[False] = ..., deadline_s: float | None = ..., **members: Any
    ) -> list[TransferView]: ...
    def query_transfers(
        self, *, arrays: bool = False, deadline_s: float | None = None, **members: Any
    ) -> list[TransferView] | Records:
        """Give the transfers that meet all conditions, oldest first; members as those of query_accounts."""
        if arrays:
            return self._send(calls.query_transfers_array(members), deadline_s)
        return self._send(calls.query_transfers(members), deadline_s)

    def call(self, method: str, params: object, *, safe: bool = False, deadline_s: float | None = None) -> Any:
        """Call any method by name; `safe`: whether it may be sent again when its answer was lost."""
        return self._send(calls.other(method, params, safe=safe), deadline_s)

    # --- inside -------------------------------------------------------------------------------------------------

    def _send(self, call: Call[T], deadline_s: float | None) -> T:
        return self._exchange(call, deadline_s)[0]

    def _write(self, items: Any, build: Any, linked: int, deadline_s: float | None) -> tuple[Any, bool]:
        parts: list[Any] = []
        resent = False
        for _, call in calls.write_calls(items, build, linked, items_max=self._items_max, line_max=self._line_max):
            part, again = self._exchange(call, deadline_s)
            parts.append(part)
            resent = resent or again
        if isinstance(items, np.ndarray):
            return np.concatenate(parts), resent
        return [result for part in parts for result in part], resent

    def _exchange(self, call: Call[T], deadline_s: float | None) -> tuple[T, bool]:
        """Send a call and wait for its answer; also tells whether it had to be sent more than once."""
        wait_s = self._deadline_s if deadline_s is None else deadline_s
        end = time.monotonic() + wait_s
        sent = 0  # copies whose answer is not known
        busy: Busy | None = None
        attempt = 0
        while True:
            try:
                self._connect(end)
                if time.monotonic() >= end:
                    raise TimeoutError
                sent += 1
                reply = self._one(call, min(end, time.monotonic() + self._patience_s))
            except TimeoutError:
                self.close()  # the answer would be taken for that of the next request
                if self._route.several and sent and time.monotonic() < end:
                    silent = self.address
                    self._route.next()
                    if not call.safe:
                        message = f"{silent} did not answer; whether the request was executed is unknown"
                        raise ConnectionLost(message, sent=True) from None
                    self.resends += 1
                    continue
                if busy is not None and not sent:
                    raise busy from None
                state = "its outcome is unknown" if sent else "it was not sent"
                message = f"{call.method}: no answer within {wait_s} s; {state}"
                raise DeadlineExceeded(message, sent=bool(sent)) from None
            except ConnectionLost:
                self.close()
                if not self._answered:
                    # Taken and dropped without a word: whoever did that (a balancer) has no server behind it.
                    self._route.next()
                if sent and not call.safe:
                    message = f"the connection to {self.address} was lost; whether the request was executed is unknown"
                    raise ConnectionLost(message, sent=True) from None
                if not sent:
                    raise
                self.resends += 1
            except ProtocolError:
                self.close()
                raise
            else:
                sent -= 1
                if reply.error is None:
                    return call.read(bytes(reply.result)), sent > 0
                error = RequestError.of(reply.error.code, reply.error.message)
                error.resent = sent > 0
                if reply.error.code == NOT_LEADER and self._route.several and time.monotonic() < end:
                    self.close()
                    self._route.next()
                elif reply.error.code != BUSY:
                    raise error
                else:
                    busy = Busy(error.code, error.message)
            pause = BUSY_BACKOFF.wait_s(attempt)
            attempt += 1
            time.sleep(max(min(pause, end - time.monotonic()), 0.0))

    @property
    def _patience_s(self) -> float:
        """How long one server is waited for when there are others."""
        return self._switch_after_s if self._route.several else math.inf

    def _connect(self, end: float) -> None:
        """Make a connection when there is none; attempts go on until `end`, and there is always one."""
        attempt = 0
        while self._socket is None:
            try:
                limit = min(end, time.monotonic() + min(ATTEMPT_MAX_S, self._patience_s))
                where = self._route.host, self._route.port
                sock = socket.create_connection(where, max(limit - time.monotonic(), 0.05))
                self._socket = sock
                self._answered = False
                tune_socket(sock)
                if self._tls is not None:
                    self._socket = self._tls.wrap_socket(sock, server_hostname=where[0])
                if self._logon is not None:
                    reply = self._one(calls.other("logon", self._logon.params(), safe=False), limit)
                    if reply.error is not None:
                        raise RequestError.of(reply.error.code, reply.error.message)
            except (NotLoggedOn, NotPermitted):
                self.close()
                raise
            except (OSError, ClientError) as error:
                self.close()
                self._route.next()
                pause = self._route.backoff.wait_s(attempt)
                attempt += 1
                if time.monotonic() + pause >= end:
                    message = f"cannot reach {self.address}: {error or type(error).__name__}"
                    raise ConnectionLost(message, sent=False) from None
                time.sleep(pause)

    def _one(self, call: Call[Any], end: float) -> codec.Reply:
        """Write one request and read its reply; TimeoutError at `end`, ConnectionLost when the connection ends."""
        self._id += 1
        sock = self._socket
        assert sock is not None
        try:
            self._limit(sock, end)
            sock.sendall(codec.request_line(self._id, call.method, call.params, self.min_seq))
            while True:
                reply = codec.decode_reply(self._line(sock, end))
                if reply.id is None and reply.method is not None:
                    continue
                if reply.id != self._id and not (reply.id is None and reply.error is not None):
                    raise ProtocolError(f"the server answered {reply.id!r} where {self._id} was next")
                self._answered = True
                self.seq = max(self.seq, reply.seq or 0)
                return reply
        except TimeoutError:
            raise
        except OSError as error:
            raise ConnectionLost(f"the connection to {self.address} was lost: {error}", sent=True) from None

    def _line(self, sock: socket.socket, end: float) -> bytes:
        parts = [self._tail]
        while b"\n" not in parts[-1]:
            self._limit(sock, end)
            data = sock.recv(256 * 1024)
            if not data:
                raise ConnectionError("the server closed it")
            parts.append(data)
        line, _, self._tail = b"".join(parts).partition(b"\n")
        return line if line.strip() else self._line(sock, end)

    @staticmethod
    def _limit(sock: socket.socket, end: float) -> None:
        left = end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        sock.settimeout(None if left == math.inf else left)
