"""The methods of the protocol as values: what to send, how to read the answer, and whether it may be sent twice.

Both clients send these. A call whose answer was lost is sent again, unchanged and with the same ids, when it is
`safe`:

- reads, `ping`: they change nothing;
- `create_accounts`, `create_transfers`: ids are idempotency keys. What the first copy did, the second finds:
  `exists` with the original timestamp for what was created, `id_already_failed` for a transfer that was refused
  for a reason of the moment;
- `update_accounts`: setting a value twice is setting it once. But when another writer has set another value in
  between, the second copy sets the older one again; who shares accounts with other writers turns `resend_updates`
  off and reads before deciding;
- any other method only when its caller says so.
"""

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar, cast

import numpy as np
import numpy.typing as npt

from engine.results import AccountFlag, TransferFlag
from server.client import codec
from server.client.errors import ProtocolError
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
    id128,
)
from server.wire import requests

ITEMS_MAX: Final = 8190
"""Items of one request; the server's default."""

LINE_MAX: Final = 2 * 2**20
"""Bytes of one request; the server's default."""

T_co = TypeVar("T_co", covariant=True)
Ids = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Call(Generic[T_co]):
    """One request, ready to be sent with any id."""

    method: str
    params: bytes
    decode: Callable[[bytes], T_co]
    safe: bool = True
    items: int | None = None
    """How many answers the result must have; None when that is open."""

    def read(self, raw: bytes) -> T_co:
        """Read the result; ProtocolError when it does not fit the request."""
        result = self.decode(raw)
        if self.items is not None and len(cast("Sequence[Any]", result)) != self.items:
            count = len(cast("Sequence[Any]", result))
            raise ProtocolError(f"{self.method}: the server sent {count} answers for {self.items} items")
        return result


# --- writes -------------------------------------------------------------------------------------------------------


def create_accounts(items: Sequence[Account] | Records) -> Call[list[Result]] | Call[Records]:
    """Create accounts; an array of ACCOUNT_COMMAND is answered with an array of RESULT."""
    if isinstance(items, np.ndarray):
        text = requests.encode_create_accounts(None, items)
        return Call("create_accounts", text, codec.decode_result_records, items=len(items))
    text = codec.array_text(items, codec.account_text)
    return Call("create_accounts", text, codec.decode_results, items=len(items))


def create_transfers(items: Sequence[Transfer] | Records) -> Call[list[Result]] | Call[Records]:
    """Create transfers; an array of TRANSFER_COMMAND is answered with an array of RESULT."""
    if isinstance(items, np.ndarray):
        text = requests.encode_create_transfers(None, items)
        return Call("create_transfers", text, codec.decode_result_records, items=len(items))
    text = codec.array_text(items, codec.transfer_text)
    return Call("create_transfers", text, codec.decode_results, items=len(items))


def update_accounts(items: Sequence[AccountUpdate] | Records, *, safe: bool) -> Call[list[Result]] | Call[Records]:
    """Set overdraft limits and freeze or release accounts."""
    if isinstance(items, np.ndarray):
        text = requests.encode_update_accounts(None, items)
        return Call("update_accounts", text, codec.decode_result_records, safe, len(items))
    text = codec.array_text(items, codec.update_text)
    return Call("update_accounts", text, codec.decode_results, safe, len(items))


# --- reads --------------------------------------------------------------------------------------------------------


def ping() -> Call[int]:
    """Ask for the log's time."""
    return Call("ping", b"{}", lambda raw: int(codec.decode_any(raw)["time"]))


def lookup_accounts(ids: Sequence[int]) -> Call[list[AccountView | None]]:
    """Look accounts up by id."""
    return Call("lookup_accounts", codec.array_text(ids, _account_id_text), codec.decode_accounts, items=len(ids))


def lookup_accounts_array(ids: Ids) -> Call[Records]:
    """Look accounts up by an array of uint64 ids."""
    text = requests.encode_lookup_accounts(None, ids)
    return Call("lookup_accounts", text, codec.decode_account_records, items=len(ids))


def lookup_transfers(ids: Sequence[Id128]) -> Call[list[TransferView | None]]:
    """Look transfers up by id."""
    text = codec.array_text(map(id128, ids), _transfer_id_text)
    return Call("lookup_transfers", text, codec.decode_transfers, items=len(ids))


def lookup_transfers_array(ids: Ids) -> Call[Records]:
    """Look transfers up by an array of uint64 of shape (n, 2), low half first."""
    text = requests.encode_lookup_transfers(None, ids)
    return Call("lookup_transfers", text, codec.decode_transfer_records, items=len(ids))


def _account_id_text(id_: int) -> str:
    return f"{id_:d}"


def _transfer_id_text(id_: int) -> str:
    return f'"{codec.uuid_text(id_)}"'


def _filter(members: Mapping[str, Any]) -> bytes:
    """Write a filter's params: what is None or False is left out."""
    given = {name: value for name, value in members.items() if value is not None and value is not False}
    if "user_data_128" in given:
        given["user_data_128"] = uuid.UUID(int=id128(given["user_data_128"]))
    return codec.params_text(given)


def get_account_transfers(members: Mapping[str, Any]) -> Call[list[TransferView]]:
    """Ask for the transfers of one account."""
    return Call("get_account_transfers", _filter(members), codec.decode_found_transfers)


def get_account_transfers_array(members: Mapping[str, Any]) -> Call[Records]:
    """Ask for the transfers of one account, as TRANSFER_VIEW."""
    return Call("get_account_transfers", _filter(members), codec.decode_transfer_records)


def get_account_balances(members: Mapping[str, Any]) -> Call[list[BalanceView]]:
    """Ask for the balances of one account after each of its transfers."""
    return Call("get_account_balances", _filter(members), codec.decode_balances)


def get_account_balances_array(members: Mapping[str, Any]) -> Call[Records]:
    """Ask for the balances of one account, as BALANCE_VIEW."""
    return Call("get_account_balances", _filter(members), codec.decode_balance_records)


def query_accounts(members: Mapping[str, Any]) -> Call[list[AccountView]]:
    """Ask for accounts that meet all conditions."""
    return Call("query_accounts", _filter(members), codec.decode_found_accounts)


def query_accounts_array(members: Mapping[str, Any]) -> Call[Records]:
    """Ask for accounts that meet all conditions, as ACCOUNT_VIEW."""
    return Call("query_accounts", _filter(members), codec.decode_account_records)


def query_transfers(members: Mapping[str, Any]) -> Call[list[TransferView]]:
    """Ask for transfers that meet all conditions."""
    return Call("query_transfers", _filter(members), codec.decode_found_transfers)


def query_transfers_array(members: Mapping[str, Any]) -> Call[Records]:
    """Ask for transfers that meet all conditions, as TRANSFER_VIEW."""
    return Call("query_transfers", _filter(members), codec.decode_transfer_records)


def other(method: str, params: object, *, safe: bool) -> Call[Any]:
    """Any method by name, answered with plain Python values."""
    return Call(method, codec.params_text(params), codec.decode_any, safe)


# --- more items than a request holds ----------------------------------------------------------------------------------


def any_imported(items: Sequence[Account] | Sequence[Transfer] | Records) -> bool:
    """Whether the order of the items matters beyond one request: imported timestamps only go forward."""
    if isinstance(items, np.ndarray):
        imported = TransferFlag.IMPORTED if "amount" in (items.dtype.names or ()) else AccountFlag.IMPORTED
        return bool((items["flags"] & int(imported)).any())
    return any(item.flags & type(item.flags).IMPORTED for item in items)


def flag_column(items: Sequence[Account] | Sequence[Transfer] | Records) -> list[int]:
    """Give the flags of every item as numbers."""
    if isinstance(items, np.ndarray):
        return cast("list[int]", items["flags"].tolist())
    return [int(item.flags) for item in items]


def pieces(flags: Sequence[int], linked: int, items_max: int) -> Iterator[slice]:
    """Cut items into runs of at most `items_max` that end where no chain is open; ValueError when one is too long."""
    first = 0
    while len(flags) - first > items_max:
        end = first + items_max
        while end > first and flags[end - 1] & linked:
            end -= 1
        if end == first:
            raise ValueError(f"item {first}: its linked chain is longer than a request ({items_max} items)")
        yield slice(first, end)
        first = end
    if first < len(flags) or not flags:
        yield slice(first, len(flags))


ACCOUNT_LINKED: Final = int(AccountFlag.LINKED)
TRANSFER_LINKED: Final = int(TransferFlag.LINKED)


def write_calls(
    items: Sequence[Any] | Records,
    build: Callable[[Any], Call[Any]],
    linked: int,
    *,
    items_max: int = ITEMS_MAX,
    line_max: int = LINE_MAX,
) -> Iterator[tuple[slice, Call[Any]]]:
    """Cut a write into requests that the server takes, by items and by bytes; no chain is cut."""
    flags = flag_column(items)
    room = line_max - 256  # the members around params
    for piece in pieces(flags, linked, items_max):
        call = build(items[piece])
        if len(call.params) <= room:
            yield piece, call
            continue
        half = max((piece.stop - piece.start) // 2, 1)
        if half == piece.stop - piece.start:
            raise ValueError(f"item {piece.start}: one item is longer than a request ({line_max} bytes)")
        for part, part_call in write_calls(items[piece], build, linked, items_max=half, line_max=line_max):
            yield slice(piece.start + part.start, piece.start + part.stop), part_call
