"""JSON text of requests and replies. That of record arrays is compiled: server.wire.requests and reader.

Members are written in the order of the protocol's page, and those that say nothing (zero, no flags) are left out.
Everything written is an integer, a hexadecimal number or a name from our own tables, so no escaping is needed.
"""

import uuid
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any, TypeVar

import msgspec
import numpy as np

from engine._core import records
from engine.results import AMOUNT_ALL, AccountFlag, Status, TransferFlag, TransferState
from server.client.errors import ProtocolError
from server.client.values import (
    AccountUpdate,
    AccountView,
    BalanceView,
    Records,
    Result,
    TransferView,
    flag_names,
)
from server.wire import reader

_LOW = 2**64 - 1
_STATUS = {status.name.lower(): status for status in Status}
_ACCOUNT_FLAG = {flag.name.lower(): flag for flag in AccountFlag if flag.name}
_TRANSFER_FLAG = {flag.name.lower(): flag for flag in TransferFlag if flag.name}
_STATE = {"posted": TransferState.POSTED, "pending": TransferState.PENDING, "voided": TransferState.VOIDED,
          "expired": TransferState.EXPIRED}  # fmt: skip

T = TypeVar("T")


# --- requests -----------------------------------------------------------------------------------------------------


def uuid_text(number: int) -> str:
    """Give the text of a 128-bit value: lower case with hyphens."""
    digits = f"{number:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


@cache
def _account_flags_member(flags: int) -> str:
    return _flags_member(AccountFlag(flags))


@cache
def _transfer_flags_member(flags: int) -> str:
    return _flags_member(TransferFlag(flags))


def _flags_member(flags: AccountFlag | TransferFlag) -> str:
    return ',"flags":[' + ",".join(f'"{name}"' for name in flag_names(flags)) + "]"


def _user_data(data_128: int, data_64: int, data_32: int) -> str:
    text = f',"user_data_128":"{uuid_text(data_128)}"' if data_128 else ""
    if data_64:
        text += f',"user_data_64":{data_64}'
    if data_32:
        text += f',"user_data_32":{data_32}'
    return text


def account_text(account: tuple[Any, ...]) -> str:
    """Write one item of create_accounts; the tuple has the members of `Account` in order."""
    id_, ledger, code, flags, overdraft_limit, data_128, data_64, data_32, timestamp = account
    text = f'{{"id":{id_},"ledger":{ledger},"code":{code}'
    if flags:
        text += _account_flags_member(int(flags))
    if overdraft_limit:
        text += f',"overdraft_limit":{overdraft_limit}'
    if data_128 or data_64 or data_32:
        text += _user_data(data_128, data_64, data_32)
    if timestamp:
        text += f',"timestamp":{timestamp}'
    return text + "}"


def transfer_text(transfer: tuple[Any, ...]) -> str:
    """Write one item of create_transfers; the tuple has the members of `Transfer` in order."""
    (id_, debit, credit, amount, ledger, code, flags, pending_id, timeout, data_128, data_64, data_32,
     timestamp) = transfer  # fmt: skip
    text = f'{{"id":"{uuid_text(id_)}"'
    if debit:
        text += f',"debit_account_id":{debit}'
    if credit:
        text += f',"credit_account_id":{credit}'
    if amount != AMOUNT_ALL:
        text += f',"amount":{amount}'
    if ledger:
        text += f',"ledger":{ledger}'
    if code:
        text += f',"code":{code}'
    if flags:
        text += _transfer_flags_member(int(flags))
    if pending_id:
        text += f',"pending_id":"{uuid_text(pending_id)}"'
    if timeout:
        text += f',"timeout":{timeout}'
    if data_128 or data_64 or data_32:
        text += _user_data(data_128, data_64, data_32)
    if timestamp:
        text += f',"timestamp":{timestamp}'
    return text + "}"


def update_text(update: AccountUpdate) -> str:
    """Write one item of update_accounts."""
    text = f'{{"id":{update.id:d}'
    if update.overdraft_limit is not None:
        text += f',"overdraft_limit":{update.overdraft_limit:d}'
    if update.frozen is not None:
        text += f',"frozen":{"true" if update.frozen else "false"}'
    return text + "}"


def account_rows(array: Records) -> list[tuple[Any, ...]]:
    """Turn an array of ACCOUNT_COMMAND into tuples with the members of `Account`."""
    return [
        (id_, ledger, code, flags, limit, lo | hi << 64, data_64, data_32, timestamp)
        for id_, lo, hi, data_64, limit, timestamp, data_32, ledger, code, flags, _ in array.tolist()
    ]


def transfer_rows(array: Records) -> list[tuple[Any, ...]]:
    """Turn an array of TRANSFER_COMMAND into tuples with the members of `Transfer`."""
    return [
        (id_lo | id_hi << 64, debit, credit, amount, ledger, code, flags, pending_lo | pending_hi << 64, timeout,
         lo | hi << 64, data_64, data_32, timestamp)
        for (id_lo, id_hi, debit, credit, amount, pending_lo, pending_hi, lo, hi, data_64, timestamp, data_32,
             timeout, ledger, code, flags) in array.tolist()
    ]  # fmt: skip


def array_text(items: Iterable[T], write: Callable[[T], str]) -> bytes:
    """Write a params array."""
    return ("[" + ",".join(map(write, items)) + "]").encode("ascii")


def params_text(params: object) -> bytes:
    """Write any params; UUIDs as text, None members of a mapping left out."""
    if isinstance(params, dict):
        params = {name: value for name, value in params.items() if value is not None}
    return msgspec.json.encode(params)


def request_line(id_: int, method: str, params: bytes, min_seq: int = 0) -> bytes:
    """Put a request together, with its LF; `min_seq`: the log entry that the answer must know of."""
    if min_seq:
        return b'{"id":%d,"min_seq":%d,"method":"%b","params":%b}\n' % (id_, min_seq, method.encode("ascii"), params)
    return b'{"id":%d,"method":"%b","params":%b}\n' % (id_, method.encode("ascii"), params)


# --- replies ------------------------------------------------------------------------------------------------------


class ReplyError(msgspec.Struct):
    """The error member of a reply."""

    code: int
    message: str


class Reply(msgspec.Struct):
    """One line from the server; `method` is set in a notification."""

    id: int | str | None = None
    result: msgspec.Raw = msgspec.Raw(b"")
    error: ReplyError | None = None
    seq: int | None = None
    method: str | None = None
    params: msgspec.Raw = msgspec.Raw(b"")


class _Result(msgspec.Struct):
    status: str
    timestamp: int = 0


class _Account(msgspec.Struct):
    id: int
    ledger: int
    code: int
    timestamp: int
    flags: list[str] = []
    overdraft_limit: int | None = 0
    user_data_128: uuid.UUID | None = None
    user_data_64: int = 0
    user_data_32: int = 0
    debits_pending: int = 0
    debits_posted: int = 0
    credits_pending: int = 0
    credits_posted: int = 0


class _Transfer(msgspec.Struct):
    id: uuid.UUID
    debit_account_id: int
    credit_account_id: int
    amount: int
    ledger: int
    code: int
    timestamp: int
    status: str
    flags: list[str] = []
    pending_id: uuid.UUID | None = None
    timeout: int = 0
    user_data_128: uuid.UUID | None = None
    user_data_64: int = 0
    user_data_32: int = 0


class _Balance(msgspec.Struct):
    timestamp: int
    debits_pending: int
    debits_posted: int
    credits_pending: int
    credits_posted: int


_reply = msgspec.json.Decoder(Reply)
_results = msgspec.json.Decoder(list[_Result])
_accounts = msgspec.json.Decoder(list[_Account | None])
_transfers = msgspec.json.Decoder(list[_Transfer | None])
_balances = msgspec.json.Decoder(list[_Balance])


def decode_reply(line: bytes) -> Reply:
    """Read one line; ProtocolError when it is not a reply or notification."""
    try:
        return _reply.decode(line)
    except msgspec.MsgspecError as error:
        raise ProtocolError(f"the server sent a line that is no reply: {error}") from None


def _decode(decoder: msgspec.json.Decoder[T], raw: bytes) -> T:
    try:
        return decoder.decode(raw)
    except msgspec.MsgspecError as error:
        raise ProtocolError(f"the server sent a result of another shape: {error}") from None


def _name(table: dict[str, T], name: str) -> T:
    try:
        return table[name]
    except KeyError:
        raise ProtocolError(f"the server sent the name {name!r}, which this client does not know") from None


def decode_any(raw: bytes) -> Any:
    """Read a result of any shape into Python values."""
    try:
        return msgspec.json.decode(raw)
    except msgspec.MsgspecError as error:
        raise ProtocolError(f"the server sent a result that is not JSON: {error}") from None


def decode_results(raw: bytes) -> list[Result]:
    """Read the result of a write."""
    try:
        return [Result(_STATUS[item.status], item.timestamp) for item in _decode(_results, raw)]
    except KeyError as error:
        raise ProtocolError(f"the server sent the status {error}, which this client does not know") from None


def decode_result_records(raw: bytes) -> Records:
    """Read the result of a write into an array of RESULT."""
    try:
        return reader.decode_results(raw)
    except ValueError as error:
        raise ProtocolError(str(error)) from None


def _int(value: uuid.UUID | None) -> int:
    return value.int if value is not None else 0


def _account_view(a: _Account) -> AccountView:
    flags = AccountFlag(0)
    for name in a.flags:
        flags |= _name(_ACCOUNT_FLAG, name)
    return AccountView(
        a.id, a.ledger, a.code, flags, a.overdraft_limit or 0, _int(a.user_data_128), a.user_data_64, a.user_data_32,
        a.debits_pending, a.debits_posted, a.credits_pending, a.credits_posted, a.timestamp,
    )  # fmt: skip


def _transfer_view(t: _Transfer) -> TransferView:
    flags = TransferFlag(0)
    for name in t.flags:
        flags |= _name(_TRANSFER_FLAG, name)
    _name(_STATE, t.status)
    pending = t.pending_id if t.pending_id is not None and t.pending_id.int else None
    return TransferView(
        t.id, t.debit_account_id, t.credit_account_id, t.amount, t.ledger, t.code, flags, pending, t.timeout,
        _int(t.user_data_128), t.user_data_64, t.user_data_32, t.timestamp, t.status,
    )  # fmt: skip


def decode_accounts(raw: bytes) -> list[AccountView | None]:
    """Read accounts; None stands for one that was not found."""
    return [None if item is None else _account_view(item) for item in _decode(_accounts, raw)]


def decode_transfers(raw: bytes) -> list[TransferView | None]:
    """Read transfers; None stands for one that was not found."""
    return [None if item is None else _transfer_view(item) for item in _decode(_transfers, raw)]


def decode_found_accounts(raw: bytes) -> list[AccountView]:
    """Read the result of a query for accounts."""
    return [view for view in decode_accounts(raw) if view is not None]


def decode_found_transfers(raw: bytes) -> list[TransferView]:
    """Read the result of a query for transfers."""
    return [view for view in decode_transfers(raw) if view is not None]


def decode_balances(raw: bytes) -> list[BalanceView]:
    """Read the result of get_account_balances."""
    return [
        BalanceView(b.timestamp, b.debits_pending, b.debits_posted, b.credits_pending, b.credits_posted)
        for b in _decode(_balances, raw)
    ]


def decode_account_records(raw: bytes) -> Records:
    """Read accounts into an array of ACCOUNT_VIEW; id 0 stands for one that was not found."""
    rows = [
        (0,) * 15
        if a is None
        else (
            a.id, a.debits_pending, a.debits_posted, a.credits_pending, a.credits_posted, a.overdraft_limit,
            a.user_data_128 & _LOW, a.user_data_128 >> 64, a.user_data_64, a.timestamp, a.user_data_32, a.ledger,
            a.code, int(a.flags), 0,
        )
        for a in decode_accounts(raw)
    ]  # fmt: skip
    return np.array(rows, records.ACCOUNT_VIEW)


def decode_transfer_records(raw: bytes) -> Records:
    """Read transfers into an array of TRANSFER_VIEW; id 0 stands for one that was not found.

    A pending transfer that was posted reads "posted" in JSON, so its state here is POSTED, with the flag PENDING.
    """
    rows = [
        (0,) * 18
        if t is None
        else (
            t.id.int & _LOW, t.id.int >> 64, t.debit_account_id, t.credit_account_id, t.amount,
            _int(t.pending_id) & _LOW, _int(t.pending_id) >> 64, t.user_data_128 & _LOW, t.user_data_128 >> 64,
            t.user_data_64, t.timestamp, t.user_data_32, t.timeout, t.ledger, t.code, int(t.flags),
            int(_STATE[t.status]), 0,
        )
        for t in decode_transfers(raw)
    ]  # fmt: skip
    return np.array(rows, records.TRANSFER_VIEW)


def decode_balance_records(raw: bytes) -> Records:
    """Read the result of get_account_balances into an array of BALANCE_VIEW."""
    return np.array(
        [(b.timestamp, b.debits_pending, b.debits_posted, b.credits_pending, b.credits_posted)
         for b in _decode(_balances, raw)],
        records.BALANCE_VIEW,
    )  # fmt: skip
