"""What the compiled parser makes of a stream, in the words of the model, so that the two can be compared."""

import json
from collections.abc import Iterable, Iterator
from random import Random
from typing import Any

from engine._core.batch import Batch
from server import wire
from tests.models import limit_params, order_params
from tests.models.wire import Asked, Limits, Told
from tests.server.wire.asking import KINDS, REPLY

NAMES = {number: name.lower() for name, number in KINDS.items()}
USER_DATA = ("user_data_64", "user_data_32")
FIELDS = {
    "create_accounts": ("id", "ledger", "code", "flags", "overdraft_limit", "timestamp", *USER_DATA),
    "create_transfers": (
        "debit_account_id", "credit_account_id", "amount", "ledger", "code", "flags", "timeout", "timestamp",
        *USER_DATA,
    ),
    "update_accounts": ("id", "overdraft_limit", "fields", "frozen"),
}  # fmt: skip
FILTER = ("account_id", "timestamp_min", "timestamp_max", "ledger", "limit", "code", "flags", *USER_DATA)


SESSION = 9
PROFILES = wire.Profiles(order_params.PROFILES)


def make_parser(limits: Limits) -> wire.Parser:
    """A parser with these limits, whose batches are never full."""
    parser = wire.Parser(
        profiles=PROFILES,
        line_max=limits.line_max,
        items_max=limits.items_max,
        query_limit_max=limits.query_limit_max,
        batch_items_max=2**30,
    )
    mask = sum(wire.Method[name.upper()] for name in limits.allowed)
    parser.allow(mask, 7, logged_on=limits.logged_on, int64_strings=False, session=SESSION, actor=ACTOR)
    return parser


def splits(data: bytes, random: Random) -> Iterator[bytes]:
    """Cut `data` into pieces of random sizes."""
    at = 0
    while at < len(data):
        size = random.choice([1, 2, 3, 17, 64, 200, 4096])
        yield data[at : at + size]
        at += size


def parse(pieces: Iterable[bytes], limits: Limits) -> tuple[Batch, bool]:
    """Feed the pieces one by one into one batch; return it and whether the parser wants to close."""
    parser = make_parser(limits)
    batch = Batch()
    closed = False
    for piece in pieces:
        parser.feed(piece)
        while (outcome := parser.parse(batch, 3)) == wire.COLD:
            assert parser.cold is not None
            batch.answers[parser.cold.answer] = wire.result_line(parser.cold.id, {}, 1, parser.cold.jsonrpc)
        closed = outcome == wire.CLOSE
        assert outcome != wire.FULL
    return batch, closed


def text_of(item: dict[str, int], name: str) -> str:
    """Three words as the text that they are."""
    words = b"".join(item.pop(f"{name}_{index}").to_bytes(8, "little") for index in range(3))
    text = words.rstrip(b"\0")
    assert b"\0" not in text
    return text.decode("ascii")


def order_values(method: str, item: dict[str, int], links: list[tuple[int, ...]]) -> dict[str, Any]:
    """One item of an order method in the names of the model."""
    values: dict[str, Any] = item
    for name in ("reserved", "reserved_2"):
        assert not values.pop(name, 0)
    if "symbol_0" in values:
        values["instrument"] = text_of(item, "symbol")
    if "client_order_id_lo" in values:
        values["client_order_id"] = values.pop("client_order_id_hi") << 64 | values.pop("client_order_id_lo")
    if method == "create_trading_accounts":
        values["owner"], values["desk"] = text_of(item, "owner"), text_of(item, "desk")
        first = values.pop("link_first")
        mine = links[first : first + values.pop("link_count")]
        assert not any(link[2] for link in mine)
        values["accounts"] = [(link[1], link[0]) for link in mine]
    if method in {"submit_orders", "mass_cancel"}:
        assert values.pop("session") == (SESSION if method == "submit_orders" else 0)
    return values


ACTOR = "desk-7"


def limit_values(method: str, item: dict[str, int], limits: list[tuple[int, ...]]) -> dict[str, Any]:
    """One item of a method about limits in the names of the model."""
    values: dict[str, Any] = item
    for name in ("reserved", "reserved_2"):
        assert not values.pop(name, 0)
    if "actor_0" in values:
        assert text_of(item, "actor") == ACTOR
    if "symbol_0" in values:
        values["instrument"] = text_of(item, "symbol")
    if "id_0" in values:
        account = values.get("scope") == limit_params.SCOPES.index("account")
        number = values["id_0"]
        values["id"] = number if account else text_of(item, "id") or 0
        for name in ("id_0", "id_1", "id_2"):
            assert not account or name == "id_0" or not values[name]
            values.pop(name, None)
    if method == "set_limits":
        first = values.pop("value_first")
        mine = limits[first : first + values.pop("value_count")]
        assert not any(reserved for *_, reserved in mine)
        values["values"] = [(limit_params.NAMES[name], None if unset else value) for value, name, unset, _ in mine]
    return values


def item_values(
    method: str, item: dict[str, int], links: list[tuple[int, ...]], limits: list[tuple[int, ...]]
) -> dict[str, Any]:
    """One item in the names of the protocol."""
    if method in limit_params.METHODS:
        return limit_values(method, item, limits)
    if method in order_params.METHODS:
        return order_values(method, item, links)
    if method == "lookup_accounts":
        assert item["hi"] == 0
        return {"id": item["lo"]}
    if method == "lookup_transfers":
        return {"id": item["hi"] << 64 | item["lo"]}
    names = FIELDS.get(method, FILTER)
    values = {name: item[name] for name in names}
    for name in ("id", "pending_id", "user_data_128"):
        if f"{name}_hi" in item:
            values[name] = item[f"{name}_hi"] << 64 | item[f"{name}_lo"]
    assert not item.get("reserved")
    return values


def in_words(dump: list[dict[str, Any]]) -> list[Asked | Told]:
    """Turn a dump into what the model gives."""
    said: list[Asked | Told] = []
    for request in dump:
        if request["kind"] == REPLY:
            reply = json.loads(request["line"])
            error = reply["error"]
            raw = request["line"].decode()
            request_id = raw[raw.index('"id":') + 5 : raw.rindex(',"error":')]
            said.append(Told(error["code"], None if request_id == "null" else request_id, error["message"]))
            continue
        method = NAMES[request["kind"]]
        array = request["items"]
        rows = [] if array is None else array.tolist()
        links = [] if array is None else request["links"].tolist()
        limits = [] if array is None else request["limit_values"].tolist()
        items = tuple(
            item_values(method, dict(zip(array.dtype.names, row, strict=True)), links, limits) for row in rows
        )
        said.append(Asked(method, request["id"].decode(), bool(request["reply_flags"] & 1), items))
    return said
