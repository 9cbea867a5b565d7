"""Params of the order methods: what is refused says the path and the reason, what is taken fills the records."""

import json
from typing import Any

import pytest

from engine._core.batch import Batch
from engine.order_results import (
    AmendField,
    InstrumentField,
    InstrumentFlag,
    OrderFlag,
    OrderType,
    Session,
    SessionFlag,
    Side,
    TimeInForce,
)
from server import wire
from server.wire import tools
from tests.server.wire.asking import UUID, bad, good, line, refused

ORDER = {
    "client_order_id": UUID,
    "account_id": 7001,
    "instrument": "CF701",
    "side": "buy",
    "type": "limit",
    "quantity": 2,
    "price": 1402500,
}
CANCEL = {"account_id": 7001, "order_id": 88}
INSTRUMENT = {"instrument": "CF701", "base_ledger": 701, "quote_ledger": 156, "tick_size": 500, "lot_size": 1}
ACCOUNT = {"id": 7001, "accounts": {"156": 1001, "701": 5001}}


def items(method: str, params: object) -> Any:
    return good(line(method, params))["items"]


def text(item: Any, name: str) -> str:
    return b"".join(int(item[f"{name}_{i}"]).to_bytes(8, "little") for i in range(3)).rstrip(b"\0").decode()


def without(item: dict[str, Any], name: str) -> dict[str, Any]:
    return {member: value for member, value in item.items() if member != name}


# --- symbols and names ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("symbol", ["A", "CF701", "600519", "BTC-USD", "A.B_C-0", "X" * 8, "X" * 16, "X" * 24])
def test_symbols_are_kept_in_three_words(symbol: str):
    [item] = items("submit_orders", [ORDER | {"instrument": symbol}])
    assert text(item, "symbol") == symbol
    assert good(line("get_book", {"instrument": symbol}))["items"]["symbol_0"][0] == item["symbol_0"]


@pytest.mark.parametrize("symbol", ["", "a", "X" * 25, "A B", "A\u00c9", "A/B", "A\\", 7, None, ["A"]])
def test_what_is_no_symbol_is_refused(symbol: object):
    message = refused("submit_orders", [ORDER, ORDER | {"instrument": symbol}])
    assert message.startswith("params[1].instrument: ")
    assert message.endswith("is not a symbol (1 to 24 characters A-Z 0-9 . _ -)")


def test_names_of_enumerations_are_told_when_one_is_wrong():
    assert refused("submit_orders", [ORDER | {"side": "Buy"}]) == 'params[0].side: "Buy" is not one of buy, sell'
    assert refused("submit_orders", [ORDER | {"type": 1}]) == (
        "params[0].type: 1 is not one of limit, market, stop, stop_limit"
    )
    assert refused("set_session", {"instrument": "A", "state": "open"}) == (
        'params.state: "open" is not one of closed, pre_open, auction, continuous, halted'
    )


# --- orders -----------------------------------------------------------------------------------------------------------


def test_an_order_in_the_pages_order_and_in_any_other_is_the_same():
    turned = dict(reversed(ORDER.items()))
    escaped = line("submit_orders", [ORDER]).replace(b'"buy"', b'"\\u0062uy"').replace(b"CF701", b"CF7\\u00301")
    wanted = items("submit_orders", [ORDER])
    assert items("submit_orders", [turned]) == wanted
    assert good(escaped)["items"] == wanted
    plain = json.dumps({"id": 1, "method": "submit_orders", "params": [ORDER]}, separators=(",", ":")).encode() + b"\n"
    assert good(plain)["items"] == wanted
    [item] = wanted
    assert (item["price"], item["quantity"], item["account_id"]) == (1402500, 2, 7001)
    assert (item["side"], item["type"], item["time_in_force"]) == (Side.BUY, OrderType.LIMIT, TimeInForce.DAY)
    assert item["session"] == item["flags"] == item["stop_price"] == 0


def test_orders_carry_the_session_that_cancels_them():
    parser, batch = wire.Parser(), Batch()
    parser.allow(wire.METHODS_ALL, 0, logged_on=True, int64_strings=False, session=77)
    parser.feed(line("submit_orders", [ORDER, dict(reversed(ORDER.items()))]))
    assert parser.parse(batch, 1) == wire.IDLE
    assert tools.dump(batch)[0]["items"]["session"].tolist() == [77, 77]


@pytest.mark.parametrize("name", ["client_order_id", "account_id", "instrument", "side", "type", "quantity", "price"])
def test_members_that_an_order_needs(name: str):
    assert refused("submit_orders", [ORDER, without(ORDER, name)]) == f"params[1].{name}: is missing"


def test_what_type_and_time_in_force_need():
    market = without(ORDER, "price") | {"type": "market"}
    assert len(items("submit_orders", [market, market | {"price": 5}])) == 2
    stop = without(ORDER, "price") | {"type": "stop"}
    assert refused("submit_orders", [stop]) == "params[0].stop_price: is missing"
    assert refused("submit_orders", [stop | {"type": "stop_limit", "stop_price": 5}]) == "params[0].price: is missing"
    assert len(items("submit_orders", [stop | {"stop_price": 5}])) == 1
    assert refused("submit_orders", [ORDER | {"stop_price": 5}]) == (
        "params[0].stop_price: is for stop and stop_limit orders only"
    )
    assert refused("submit_orders", [ORDER | {"time_in_force": "gtd"}]) == "params[0].expire_time: is missing"
    assert refused("submit_orders", [ORDER | {"expire_time": 5}]) == (
        "params[0].expire_time: is for time_in_force gtd only"
    )
    [item] = items("submit_orders", [ORDER | {"time_in_force": "gtd", "expire_time": 5, "post_only": True}])
    assert (item["time_in_force"], item["expire_time"], item["flags"]) == (TimeInForce.GTD, 5, OrderFlag.POST_ONLY)


@pytest.mark.parametrize("digit", ["0", "f"])
def test_the_zero_and_the_all_ones_uuid_are_no_client_order_ids(digit: str):
    said = "client_order_id: the zero and the all-ones UUID are not ids"
    for method, item in (("submit_orders", ORDER), ("cancel_orders", without(CANCEL, "order_id"))):
        assert refused(method, [item | {"client_order_id": digit * 32}]) == f"params[0].{said}"
    hyphens = "-".join(digit * n for n in (8, 4, 4, 4, 12))
    compact = json.dumps([ORDER | {"client_order_id": hyphens}], separators=(",", ":"))
    assert bad(f'{{"id":1,"method":"submit_orders","params":{compact}}}\n'.encode())[2] == f"params[0].{said}"


def test_cancels_and_replaces_name_an_order_in_one_way():
    [one] = items("cancel_orders", [CANCEL])
    assert (one["account_id"], one["order_id"], one["fields"]) == (7001, 88, 0)
    [other] = items("replace_orders", [{"account_id": 7001, "client_order_id": UUID, "quantity": 0, "price": 7}])
    assert other["client_order_id_hi"] == int(UUID.replace("-", "")[:16], 16)
    assert other["fields"] == AmendField.QUANTITY | AmendField.PRICE
    assert refused("cancel_orders", [{"account_id": 1}]) == "params[0].order_id: is missing"
    assert refused("cancel_orders", [{"order_id": 1}]) == "params[0].account_id: is missing"
    assert refused("cancel_orders", [CANCEL | {"client_order_id": UUID}]) == (
        "params[0]: order_id and client_order_id are both given"
    )
    assert refused("cancel_orders", [CANCEL | {"price": 1}]) == "params[0].price: is not a member of a cancel"


def test_a_mass_cancel_has_conditions_or_none():
    [everything] = items("mass_cancel", {})
    assert everything.tobytes() == bytes(48)
    [some] = items("mass_cancel", {"account_id": 5, "instrument": "A", "side": "sell"})
    assert (some["account_id"], text(some, "symbol"), some["sides"]) == (5, "A", 2)
    assert refused("mass_cancel", []) == "params: [] is not an object"


# --- the market -------------------------------------------------------------------------------------------------------


def test_an_instrument_has_the_protocols_defaults():
    [item] = items("create_instruments", [INSTRUMENT])
    told = {name: int(item[name]) for name in item.dtype.names if not name.startswith("symbol")}
    assert {name: value for name, value in told.items() if value} == {
        "tick_size": 500, "lot_size": 1, "price_scale": 1, "contract_size": 1, "base_ledger": 701, "quote_ledger": 156,
        "market_protection_ppm": 50_000, "session": Session.CONTINUOUS,
    }  # fmt: skip


def test_a_profile_decides_what_is_left_out_and_nothing_else():
    profiles = wire.Profiles(
        {
            "stock": {"tick_size": 1, "lot_size": 100, "settlement": "T+1", "session": "closed", "price_band_ppm": 7},
            "futures": {"kind": "futures", "pricing": "median"},
        }
    )

    def told(**members: object) -> Any:
        parser, batch = wire.Parser(profiles=profiles), Batch()
        parser.allow(wire.METHODS_ALL, 0, logged_on=True, int64_strings=False)
        parser.feed(line("create_instruments", [members]))
        assert parser.parse(batch, 1) == wire.IDLE
        request = tools.dump(batch)[0]
        return request["items"][0] if request["items"] is not None else json.loads(request["line"])["error"]["message"]

    base = {"instrument": "A", "base_ledger": 1, "quote_ledger": 2}
    item = told(**base, profile="stock", lot_size=5)
    assert (item["tick_size"], item["lot_size"], item["price_band_ppm"]) == (1, 5, 7)
    assert (item["flags"], item["session"], item["price_scale"]) == (InstrumentFlag.T1, Session.CLOSED, 1)
    item = told(**base, profile="stock", settlement="T+0", session="halted")
    assert (item["flags"], item["session"]) == (0, Session.HALTED)
    item = told(**base, profile="futures", tick_size=1, lot_size=1)
    assert item["flags"] == InstrumentFlag.FUTURES | InstrumentFlag.MEDIAN_PRICE
    assert told(**base, profile="futures") == "params[0].tick_size: is missing"
    assert told(**base, profile="bonds") == 'params[0].profile: "bonds" is not a profile of this server'
    profiles.replace({"stock": {"tick_size": 3, "lot_size": 100}})
    assert told(**base, profile="stock")["tick_size"] == 3
    assert refused("create_instruments", [base | {"profile": "stock"}]) == (
        'params[0].profile: "stock" is not a profile of this server'
    )
    with pytest.raises(ValueError, match=r"profiles\.x\.volume: is not a term"):
        wire.Profiles({"x": {"volume": 1}})


def test_an_instrument_update_says_what_it_means():
    [item] = items("update_instruments", [{"instrument": "A", "reference_price": 0, "minimum_fee": 5}])
    assert item["fields"] == InstrumentField.REFERENCE_PRICE | InstrumentField.MINIMUM_FEE
    for name, field in zip(
        ["reference_price", "price_band_ppm", "price_cage_ppm", "circuit_breaker_ppm", "market_protection_ppm",
         "maker_fee_ppm", "taker_fee_ppm", "transfer_fee_ppm", "sell_duty_ppm", "minimum_fee", "initial_margin_ppm",
         "maintenance_margin_ppm"],
        InstrumentField,
        strict=True,
    ):  # fmt: skip
        [item] = items("update_instruments", [{"instrument": "A", name: 3}])
        assert (item["fields"], item[name]) == (field, 3)
    assert refused("update_instruments", [{"instrument": "A", "tick_size": 1}]) == (
        "params[0].tick_size: is not a member of an instrument update"
    )


def test_a_trading_account_links_ledgers():
    request = good(line("create_trading_accounts", [ACCOUNT, ACCOUNT | {"owner": 'Li "A"', "desk": 12345}]))
    first, second = request["items"]
    assert (first["link_first"], first["link_count"], second["link_first"]) == (0, 2, 2)
    assert [tuple(link) for link in request["links"].tolist()] == [(1001, 156, 0), (5001, 701, 0)] * 2
    assert (text(second, "owner"), text(second, "desk")) == ('Li "A"', "12345")
    for accounts, said in (
        ({"0": 1}, 'params[0].accounts: "0" is not a ledger'),
        ({"CNY": 1}, 'params[0].accounts: "CNY" is not a ledger'),
        ({"156": 0}, "params[0].accounts.156: 0 is not between 1 and 9223372036854775807"),
        ({"156": 1.5}, "params[0].accounts.156: 1.5 is not an integer"),
        ([], "params[0].accounts: [] is not an object"),
    ):
        assert refused("create_trading_accounts", [ACCOUNT | {"accounts": accounts}]) == said
    for table in ('{"156":1,"701":2,"156":3}', '{"156":1,"156":3}'):
        data = f'{{"id":1,"method":"create_trading_accounts","params":[{{"id":1,"accounts":{table}}}]}}\n'
        assert bad(data.encode())[2] == "params[0].accounts.156: is given twice"
    assert refused("create_trading_accounts", [ACCOUNT | {"owner": "x" * 25}]).startswith("params[0].owner: ")


def test_many_links_are_looked_through_in_time():
    links = ",".join(f'"{(ledger * 7919) % 1_000_003 + 1}":{ledger}' for ledger in range(1, 60_000))
    request = f'{{"id":1,"method":"create_trading_accounts","params":[{{"id":1,"accounts":{{{links}}}}}]}}\n'
    assert good(request.encode())["items"]["link_count"].tolist() == [59_999]


def test_sessions_and_days():
    [item] = items("set_session", {"instrument": "A", "state": "auction", "cancels": False})
    assert (item["state"], item["flags"]) == (Session.AUCTION, SessionFlag.NO_CANCEL)
    assert items("set_session", {"instrument": "A", "state": "auction", "cancels": True})["flags"] == [0]
    days = items("end_of_day", {"settlement_prices": {"CF701": 5, "A": 6}, "business_date": 20261124})
    assert days["business_date"].tolist() == [20261124, 0, 0]
    assert [text(day, "symbol") for day in days] == ["", "CF701", "A"]
    assert days["price"].tolist() == [0, 5, 6]
    for date in (20260229, 20261301, 20261100, 19691231, 0):
        assert refused("end_of_day", {"business_date": date}) == "params.business_date: is not a day (yyyymmdd)"
    assert items("end_of_day", {"business_date": 20280229})["business_date"].tolist() == [20280229]
    assert refused("end_of_day", {"business_date": 20261124, "settlement_prices": {"a": 1}}) == (
        'params.settlement_prices: "a" is not a symbol (1 to 24 characters A-Z 0-9 . _ -)'
    )
    assert refused("end_of_day", {"business_date": 20261124, "settlement_prices": {"A": "x"}}) == (
        'params.settlement_prices.A: "x" is not an integer'
    )
    data = (
        b'{"id":1,"method":"end_of_day","params":{"business_date":20261124,"settlement_prices":{"A":1,"B":2,"A":3}}}\n'
    )
    assert bad(data)[2] == "params.settlement_prices.A: is given twice"


def test_busts_and_corrections_are_one_kind():
    bust, correction = (
        good(line("bust_trades", [{"trade_id": 5}])),
        good(line("correct_trades", [{"trade_id": 5, "price": 9}])),
    )
    assert bust["kind"] == correction["kind"]
    assert [tuple(bust["items"][0]), tuple(correction["items"][0])] == [(5, 0), (5, 9)]
    assert refused("bust_trades", [{"trade_id": 5, "price": 9}]) == "params[0].price: is not a member of a bust"
    assert refused("correct_trades", [{"trade_id": 5}]) == "params[0].price: is missing"


# --- reads ------------------------------------------------------------------------------------------------------------


def test_get_orders_wants_an_account_or_an_instrument():
    assert refused("get_orders", {}) == "params.account_id: is missing"
    assert items("get_orders", {"instrument": "A"})["account_id"] == [0]
    [item] = items("get_orders", {"account_id": 5, "open_only": True, "reversed": True, "limit": 3})
    assert (item["account_id"], item["flags"], item["limit"]) == (5, 5, 3)
    assert items("get_orders", {"account_id": 5, "open_only": False})["limit"] == [8190]


def test_other_reads():
    assert items("get_book", {"instrument": "A", "depth": 5})["limit"] == [5]
    assert items("get_margin_calls", {})["flags"] == [2]
    assert items("get_positions", {})["flags"] == [0]
    [item] = items("get_executions", {"from_seq": 9, "after": 3, "reversed": True})
    assert (item["batch_min"], item["after"], item["flags"]) == (9, 3, 4)
    assert refused("get_trades", {"timestamp_min": 2, "timestamp_max": 1}) == (
        "params.timestamp_min: is after timestamp_max"
    )
    assert refused("get_instruments", {"account_id": 2}) == "params.account_id: is not a member of this method's params"


def test_topics_are_for_python():
    parser, batch = wire.Parser(), Batch()
    parser.allow(wire.METHODS_ALL, 0, logged_on=True, int64_strings=False)
    parser.feed(line("subscribe", {"topics": ["executions"], "from_seq": 5}, "s"))
    assert parser.parse(batch, 1) == wire.COLD
    assert parser.cold is not None
    assert parser.cold.params == wire.Topics(["executions"], from_seq=5)
    assert refused("subscribe", {"topics": []}).startswith("params.topics: ")
    assert refused("subscribe", {"topics": ["a"], "x": 1}) == "params.x: is not a member of subscribe's params"
