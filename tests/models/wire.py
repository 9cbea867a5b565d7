"""The protocol's rules in plain Python, to hold the compiled parser against: what a stream of bytes asks for.

Written from docs/PROTOCOL.md with the standard library's JSON decoder. Slow, and meant to be read: one function per
rule. `read_stream` gives the requests that a parser must produce, `Asked` for one that is executed, `Refused` for
one that is answered with an error.
"""

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from engine.results import AMOUNT_ALL, AccountFlag, FilterFlag, TransferFlag, UpdateField
from tests.models import limit_params, order_params
from tests.models.values import (
    INT63,
    Number,
    Pairs,
    Read,
    WireError,
    array,
    boolean,
    flags,
    integer,
    members,
    require,
    uuid_number,
)

if TYPE_CHECKING:
    from collections.abc import Callable

BLANK = " \t\r"
FORBIDDEN = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")
RESOLVING = TransferFlag.POST_PENDING_TRANSFER | TransferFlag.VOID_PENDING_TRANSFER


@dataclass(frozen=True)
class Limits:
    """What a parser is made with, and what its session may do."""

    line_max: int = 2 * 2**20
    items_max: int = 8190
    query_limit_max: int = 8190
    allowed: frozenset[str] = frozenset()
    logged_on: bool = True
    seq: int = 0
    """The newest log entry."""


@dataclass(frozen=True)
class Asked:
    """A request that is executed; `id` is the JSON text of its id. The method "answer" is any of ANSWERED."""

    method: str
    id: str
    jsonrpc: bool
    items: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True)
class Refused:
    """A request that is answered with an error; the message of a -32602 begins with `path`."""

    code: int
    id: str | None
    path: str = ""


@dataclass(frozen=True)
class Told:
    """An error as a parser told it."""

    code: int
    id: str | None
    message: str


FATAL = (-32700, -32004)
ALWAYS = frozenset({"logon", "ping"})
"""Methods that need no permission."""
ANSWERED = frozenset({"logon", "server_status", "take_snapshot", "subscribe", "unsubscribe"})
"""Methods that the server answers beside the engine; a batch holds only the place of the answer."""


def read_stream(data: bytes, limits: Limits) -> tuple[list[Asked | Refused], bool]:
    """Return the requests, and whether the connection is to be closed."""
    requests: list[Asked | Refused] = []
    *lines, rest = data.split(b"\n")
    for line in lines:
        if len(line) <= limits.line_max and not line.strip(b" \t\r"):
            continue
        requests.append(read_line(line, limits))
        last = requests[-1]
        if isinstance(last, Refused) and last.code in FATAL:
            return requests, True
    if len(rest) > limits.line_max:
        requests.append(Refused(-32004, None))
        return requests, True
    return requests, False


def read_line(line: bytes, limits: Limits) -> Asked | Refused:
    """Read one line that is not empty."""
    if len(line) > limits.line_max:
        return Refused(-32004, None)
    try:
        text, value = read_json(line)
    except ValueError:
        return Refused(-32700, None)
    if not isinstance(value, Pairs):
        return Refused(-32600, None)
    members = spans(text)
    given = [name for name, _ in members]
    request_id = None
    if given.count("id") == 1:
        request_id = usable_id(dict(members)["id"])
    raw = dict(members)
    values = dict(value)
    if (
        request_id is None
        or len(set(given)) != len(given)
        or not set(given) <= {"id", "method", "params", "jsonrpc", "min_seq"}
        or ("min_seq" in raw and not is_seq(raw["min_seq"]))
        or ("jsonrpc" in raw and raw["jsonrpc"] != '"2.0"')
        or not isinstance(values.get("method"), str)
    ):
        return Refused(-32600, request_id)
    params = values.get("params", WireError)
    try:
        if isinstance(params, list) and not isinstance(params, Pairs) and len(params) > limits.items_max:
            raise WireError(-32004, "params")
        method = values["method"]
        if method not in METHODS:
            raise WireError(-32601)
        if method not in ALWAYS and method not in limits.allowed:
            raise WireError(-32002 if limits.logged_on else -32001)
        if int(raw.get("min_seq", "0").strip('"')) > limits.seq:
            raise WireError(-32007)
        items = METHODS[method](params, limits)
    except WireError as error:
        return Refused(error.code, request_id, error.path)
    method = "answer" if method in ANSWERED else order_params.SAME_KIND.get(method, method)
    return Asked(method, request_id, "jsonrpc" in raw, tuple(items))


def is_seq(text: str) -> bool:
    """Tell whether the JSON text of a `min_seq` is one: a number, or a string of its digits."""
    digits = text[1:-1] if text.startswith('"') else text
    return re.fullmatch(r"0|[1-9][0-9]{0,18}", digits, re.ASCII) is not None and int(digits) < 2**63


def agree(parsed: list[Asked | Told], said: list[Asked | Refused]) -> bool:
    """Tell whether a parser did what the model says."""
    return len(parsed) == len(said) and all(map(_agrees, parsed, said))


def _agrees(one: Asked | Told, wanted: Asked | Refused) -> bool:
    if isinstance(one, Asked) or isinstance(wanted, Asked):
        return one == wanted
    if (one.code, one.id) != (wanted.code, wanted.id):
        return False
    return one.code != -32602 or one.message.startswith(wanted.path)


# --- JSON -------------------------------------------------------------------------------------------------------------


def read_json(line: bytes) -> tuple[str, Any]:
    """Decode one value; ValueError for whatever is not strict JSON in strict UTF-8."""
    text = line.decode("utf-8", "strict")
    if text.rstrip(BLANK).strip() != text.strip(BLANK):
        raise ValueError("blanks that are not JSON's")

    def refuse(constant: str) -> NoReturn:
        raise ValueError(constant)

    try:
        value = json.loads(
            text, object_pairs_hook=Pairs, parse_int=Number, parse_float=Number, parse_constant=refuse, strict=True
        )
    except RecursionError:
        raise ValueError("deep") from None
    check(value, 1)
    return text, value


def check(value: Any, depth: int) -> None:
    """Look for characters that strings may not hold, and for depth."""
    if isinstance(value, str):
        if FORBIDDEN.search(value):
            raise ValueError("a control character or half a surrogate pair")
        return
    if isinstance(value, list):
        if depth > 8:
            raise ValueError("depth")
        for item in value:
            if isinstance(value, Pairs):
                check(item[0], depth)
                check(item[1], depth + 1)
            else:
                check(item, depth + 1)


def spans(text: str) -> list[tuple[str, str]]:
    """Return name and JSON text of each member of the object in `text`."""
    decoder = json.JSONDecoder(object_pairs_hook=Pairs, parse_int=Number, parse_float=Number)
    members = []
    at = skip(text, 0) + 1
    at = skip(text, at)
    while text[at] != "}":
        name, at = json.decoder.scanstring(text, at + 1, True)  # type: ignore[attr-defined]
        at = skip(text, skip(text, at) + 1)
        _, end = decoder.raw_decode(text, at)
        members.append((name, text[at:end]))
        at = skip(text, end)
        if text[at] == ",":
            at = skip(text, at + 1)
    return members


def skip(text: str, at: int) -> int:
    """Return the place behind blanks."""
    while text[at] in BLANK:
        at += 1
    return at


def usable_id(raw: str) -> str | None:
    """Return the id's text if it is a 64-bit integer or a string of at most 64 bytes."""
    if raw[0] == '"':
        return raw if len(raw.encode()) <= 66 else None
    if re.fullmatch(r"0|-?[1-9][0-9]{0,18}", raw) and -(2**63) <= int(raw) < 2**63:
        return raw
    return None


# --- items -----------------------------------------------------------------------------------------------------------

USER_DATA = {
    "user_data_128": uuid_number,
    "user_data_64": integer(0, 2**64 - 1),
    "user_data_32": integer(0, 2**32 - 1),
}
ACCOUNT = {
    "id": integer(0, INT63),
    "ledger": integer(0, 2**32 - 1),
    "code": integer(0, 65535),
    "flags": flags(AccountFlag),
    "overdraft_limit": integer(0, INT63),
    "timestamp": integer(0, INT63),
    **USER_DATA,
}
TRANSFER = {
    "id": uuid_number,
    "debit_account_id": integer(0, INT63),
    "credit_account_id": integer(0, INT63),
    "amount": integer(0, INT63),
    "ledger": integer(0, 2**32 - 1),
    "code": integer(0, 65535),
    "flags": flags(TransferFlag),
    "pending_id": uuid_number,
    "timeout": integer(0, 2**32 - 1),
    "timestamp": integer(0, INT63),
    **USER_DATA,
}
UPDATE = {"id": integer(0, INT63), "overdraft_limit": integer(0, INT63), "frozen": boolean}
LOGON = {"channel", "key", "timestamp", "nonce", "signature", "int64", "cancel_on_disconnect"}


def account(value: Any, path: str) -> dict[str, Any]:
    given = members(value, path, ACCOUNT)
    require(given, path, "id", "ledger", "code")
    return dict.fromkeys(ACCOUNT, 0) | given


def transfer(value: Any, path: str) -> dict[str, Any]:
    given = members(value, path, TRANSFER)
    if given.get("flags", 0) & RESOLVING:
        require(given, path, "id")
        given.setdefault("amount", AMOUNT_ALL)
    else:
        require(given, path, "id", "debit_account_id", "credit_account_id", "amount", "ledger", "code")
    return dict.fromkeys(TRANSFER, 0) | given


def update(value: Any, path: str) -> dict[str, Any]:
    given = members(value, path, UPDATE)
    require(given, path, "id")
    fields = UpdateField(0)
    if "overdraft_limit" in given:
        fields |= UpdateField.OVERDRAFT_LIMIT
    if "frozen" in given:
        fields |= UpdateField.FROZEN
    return {
        "id": given["id"],
        "overdraft_limit": given.get("overdraft_limit", 0),
        "frozen": int(given.get("frozen", False)),
        "fields": int(fields),
    }


def account_id(value: Any, path: str) -> dict[str, Any]:
    return {"id": integer(0, INT63)(value, path)}


def transfer_id(value: Any, path: str) -> dict[str, Any]:
    return {"id": uuid_number(value, path)}


# --- params -----------------------------------------------------------------------------------------------------------


def search(*, of_account: bool) -> Read:
    def read(params: Any, limits: Limits) -> list[dict[str, Any]]:
        shape: dict[str, Callable[[Any, str], Any]] = {
            "timestamp_min": integer(0, INT63),
            "timestamp_max": integer(0, INT63),
            "limit": integer(1, limits.query_limit_max),
            "reversed": boolean,
            "code": integer(1, 65535),
            **USER_DATA,
        }
        if of_account:
            shape |= {"account_id": integer(1, INT63), "debits": boolean, "credits": boolean}
        else:
            shape |= {"ledger": integer(1, 2**32 - 1)}
        given = members(params, "params", shape)
        if of_account:
            require(given, "params", "account_id")
        if given.get("timestamp_max", 0) and given.get("timestamp_min", 0) > given["timestamp_max"]:
            raise WireError(-32602, "params.timestamp_min")
        wanted = FilterFlag(0)
        for name in USER_DATA:
            if name in given:
                wanted |= FilterFlag[name.upper()]
        if given.pop("reversed", False):
            wanted |= FilterFlag.REVERSED
        debits, credits_ = given.pop("debits", None), given.pop("credits", None)
        if (debits, credits_) == (False, False):
            raise WireError(-32602, "params")
        if debits or (debits is None and credits_ is False):
            wanted |= FilterFlag.DEBITS
        if credits_ or (credits_ is None and debits is False):
            wanted |= FilterFlag.CREDITS
        names = (*USER_DATA, "account_id", "timestamp_min", "timestamp_max", "ledger", "code")
        return [dict.fromkeys(names, 0) | {"limit": limits.query_limit_max} | given | {"flags": int(wanted)}]

    return read


def nothing(params: Any, limits: Limits) -> list[dict[str, Any]]:
    if params is not WireError and params != []:
        raise WireError(-32602, "params")
    return []


def logon(params: Any, limits: Limits) -> list[dict[str, Any]]:
    """Only what the parser itself decides: the shape, and key or signature. Of several errors any may be named."""
    given = dict(params) if isinstance(params, Pairs) else {}
    signed = [given.get(name) is not None for name in ("timestamp", "nonce", "signature")]
    stamp = given.get("timestamp")
    stamp = stamp.text if isinstance(stamp, Number) else "0" if stamp is None else stamp
    if (
        len(given) != len(params if isinstance(params, Pairs) else [0])
        or not set(given) <= LOGON
        or not isinstance(given.get("channel"), str)
        or not all(isinstance(given.get(name), str | None) for name in ("key", "nonce", "signature"))
        or not isinstance(stamp, str)
        or not re.fullmatch(r"0|[1-9][0-9]{0,18}", stamp)
        or int(stamp) > INT63
        or given.get("int64", "number") not in ("number", "string")
        or not isinstance(given.get("cancel_on_disconnect", False), bool)
        or any(signed) != all(signed)
        or all(signed) == (given.get("key") is not None)
    ):
        raise WireError(-32602, "params")
    return []


METHODS: dict[str, Read] = {
    "logon": logon,
    "ping": nothing,
    "server_status": nothing,
    "take_snapshot": nothing,
    "create_accounts": array(account),
    "create_transfers": array(transfer),
    "update_accounts": array(update),
    "lookup_accounts": array(account_id),
    "lookup_transfers": array(transfer_id),
    "get_account_transfers": search(of_account=True),
    "get_account_balances": search(of_account=True),
    "query_accounts": search(of_account=False),
    "query_transfers": search(of_account=False),
    **order_params.METHODS,
    **limit_params.METHODS,
}
