"""Limits on the wire: what params become, what is refused, what answers look like."""

import json
from typing import Any

import numpy as np
import pytest

from engine._core import order_records, records, risk_records
from engine._core.batch import Batch
from engine.order_results import OrderStatus, Reason
from engine.results import Status
from server import wire
from server.wire import tools
from tests.server.wire.asking import UUID, good, line, refused
from tests.server.wire.test_order_params import text

NAMES = risk_records.LIMITS.names
UNLIMITED = 2**63 - 1
ORDER = {"client_order_id": UUID, "account_id": 7001, "instrument": "CF701", "side": "buy", "type": "market",
         "quantity": 2}  # fmt: skip
NO_TEXT = "is neither a text of 1 to 24 printable ASCII characters nor an integer"
NO_CHOICE = "is neither one of allowed, not_below_last, forbidden nor null"
SCOPES = ["account", "desk", "client", "instrument", "default", "approval"]


def values(request: dict[str, Any]) -> list[list[tuple[str, int | None]]]:
    """Per item: the limits that it names, None for those that it takes away."""
    rows = [(NAMES[row["name"]], None if row["unset"] else int(row["value"])) for row in request["limit_values"]]
    return [rows[item["value_first"] : item["value_first"] + item["value_count"]] for item in request["items"]]


def limit(scope: str, id_: object = None, **members: object) -> dict[str, object]:
    return {"scope": scope} | ({} if id_ is None else {"id": id_}) | (members or {"max_quantity": 5})


# --- set_limits -------------------------------------------------------------------------------------------------------


def test_every_limit_is_read_and_taken_away():
    given: dict[str, Any] = dict.fromkeys(NAMES, 3) | {
        "restricted": True, "kill_switch": False, "short_sale": "forbidden",
    }  # fmt: skip
    [row] = values(good(line("set_limits", [limit("account", 7001, **given)])))
    assert dict(row) == dict.fromkeys(NAMES, 3) | {"restricted": 1, "kill_switch": 0, "short_sale": 2}
    [row] = values(good(line("set_limits", [limit("account", 7001, **dict.fromkeys(NAMES))])))
    assert dict(row) == dict.fromkeys(NAMES)


def test_items_have_their_own_values_and_ids_of_their_scope():
    request = good(line("set_limits", [
        limit("account", "7001", max_quantity="9223372036854775807"),
        limit("desk", "Eq \"A\"", max_notional=0, instrument="CF701"),
        limit("client", 12, open_orders=4, credit_limit=None),
        limit("instrument", "600519"),
        limit("default"),
        limit("approval"),
    ]))  # fmt: skip
    items = request["items"]
    assert [SCOPES[scope] for scope in items["scope"]] == SCOPES
    assert (items[0]["id_0"], items[0]["id_1"]) == (7001, 0)
    assert [text(item, "id") for item in items[1:]] == ['Eq "A"', "12", "600519", "", ""]
    assert [text(item, "symbol") for item in items] == ["", "CF701", "", "", "", ""]
    assert values(request)[:3] == [
        [("max_quantity", UNLIMITED)], [("max_notional", 0)], [("open_orders", 4), ("credit_limit", None)],
    ]  # fmt: skip


def test_scope_may_stand_behind_the_id_and_escapes_mean_what_they_say():
    one = good(
        b'{"id":1,"method":"set_limits","params":[{"max_quantity":5,"id":"7\\u0030","scope":"acc\\u006funt"}]}\n'
    )
    other = good(line("set_limits", [limit("account", 70)]))
    assert one["items"] == other["items"]
    assert (one["limit_values"] == other["limit_values"]).all()


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ({"max_quantity": 5}, "params[1].scope: is missing"),
        (limit("house"), 'params[1].scope: "house" is not one of account, desk, client, instrument, default, approval'),
        (limit("account"), "params[1].id: is missing"),
        (limit("account", "A"), 'params[1].id: "A" is not an integer'),
        (limit("account", 0), f"params[1].id: 0 is not between 1 and {2**63 - 1}"),
        (limit("account", 2**63), f"params[1].id: {2**63} is not between 1 and {2**63 - 1}"),
        (limit("instrument", "cf701"), 'params[1].id: "cf701" is not a symbol (1 to 24 characters A-Z 0-9 . _ -)'),
        (limit("instrument", 7), "params[1].id: 7 is not a symbol (1 to 24 characters A-Z 0-9 . _ -)"),
        (limit("desk"), "params[1].id: is missing"),
        (limit("desk", "x" * 25), f'params[1].id: "{"x" * 25}" {NO_TEXT}'),
        (limit("default", 1), "params[1].id: is not for this scope"),
        (limit("approval", "a"), "params[1].id: is not for this scope"),
        (limit("instrument", "A", instrument="A", restricted=True), "params[1].instrument: is not for this scope"),
        (limit("default", instrument="A", restricted=True), "params[1].instrument: is not for this scope"),
        ({"scope": "default"}, "params[1]: names no limit"),
        (limit("default", max_quantity=-1), f"params[1].max_quantity: -1 is not between 0 and {2**63 - 1}"),
        (limit("default", max_quantity=1.5), "params[1].max_quantity: 1.5 is neither an integer nor null"),
        (limit("default", max_quantity=True), "params[1].max_quantity: true is neither an integer nor null"),
        (limit("default", restricted=1), "params[1].restricted: 1 is neither true, false nor null"),
        (limit("default", kill_switch="on"), 'params[1].kill_switch: "on" is neither true, false nor null'),
        (limit("default", short_sale="no"), f'params[1].short_sale: "no" {NO_CHOICE}'),
        (limit("default", quantity=1), "params[1].quantity: is not a member of set_limits"),
        (7, "params[1]: 7 is not an object"),
    ],
)  # fmt: skip
def test_what_is_refused_names_the_member(item: object, message: str):
    assert refused("set_limits", [limit("default"), item]) == message


def test_the_actor_is_the_channel_cut_to_24_characters():
    parser, batch = wire.Parser(), Batch()
    parser.allow(wire.METHODS_ALL, 0, logged_on=True, int64_strings=False, actor="risk-desk-of-the-northern-branch")
    parser.feed(line("set_limits", [limit("default")]) + line("kill_switch", {"scope": "default", "on": True}))
    parser.feed(line("approve_limits", [{"proposal_id": 1}]))
    assert parser.parse(batch, 1) == wire.IDLE
    assert [text(request["items"][0], "actor") for request in tools.dump(batch)] == ["risk-desk-of-the-norther"] * 3
    assert text(good(line("set_limits", [limit("default")]))["items"][0], "actor") == "dev"


# --- the other methods ------------------------------------------------------------------------------------------------


def test_kill_switches():
    for scope, id_, wanted in (
        ("account", 7, 7),
        ("desk", "D", ord("D")),
        ("instrument", "D", ord("D")),
        ("default", None, 0),
    ):
        for on in (True, False):
            item = {"scope": scope, "on": on} | ({} if id_ is None else {"id": id_})
            [made] = good(line("kill_switch", item))["items"]
            assert (SCOPES[made["scope"]], int(made["id_0"]), bool(made["on"])) == (scope, wanted, on)
    assert refused("kill_switch", {"scope": "default"}) == "params.on: is missing"
    assert refused("kill_switch", {"scope": "account", "on": True}) == "params.id: is missing"
    assert refused("kill_switch", {"scope": "approval", "on": True}) == "params.scope: approval has no kill switch"
    assert refused("kill_switch", {"scope": "default", "on": 1}) == "params.on: 1 is neither true nor false"


def test_approvals():
    items = good(
        line(
            "approve_limits",
            [{"proposal_id": 5}, {"proposal_id": "6", "approve": False}, {"proposal_id": 7, "approve": True}],
        )
    )["items"]
    assert items["proposal_id"].tolist() == [5, 6, 7]
    assert items["approve"].tolist() == [1, 0, 1]
    assert refused("approve_limits", [{}]) == "params[0].proposal_id: is missing"
    assert (
        refused("approve_limits", [{"proposal_id": 0}]) == f"params[0].proposal_id: 0 is not between 1 and {2**63 - 1}"
    )


def test_reads():
    [item] = good(line("get_limits", {}), query_limit_max=100)["items"]
    assert (item["scope"], item["id_0"], item["limit"], item["after"]) == (len(SCOPES), 0, 25, 0)
    [item] = good(line("get_limits", {"scope": "account", "limit": 3, "after": 9}))["items"]
    assert (item["scope"], item["id_0"], item["limit"], item["after"]) == (0, 0, 3, 9)
    [item] = good(line("get_limits", {"id": "CF701", "scope": "instrument"}))["items"]
    assert text(item, "id") == "CF701"
    assert refused("get_limits", {"id": 1}) == "params.scope: is missing"
    assert refused("get_limits", {"scope": "default", "id": 1}) == "params.id: is not for this scope"
    [item] = good(line("get_proposals", {"after": 4}), query_limit_max=100)["items"]
    assert (item["scope"], item["after"], item["limit"]) == (len(SCOPES), 4, 25)
    assert refused("get_proposals", {"scope": "default"}) == "params.scope: is not a member of this method's params"


# --- answers ----------------------------------------------------------------------------------------------------------


def answered(method: str, params: object, array: Any, *, strings: bool = False, **more: Any) -> Any:
    parser, batch = wire.Parser(), Batch()
    parser.allow(wire.METHODS_ALL, 0, logged_on=True, int64_strings=strings)
    parser.feed(line(method, params))
    assert parser.parse(batch, 1) == wire.IDLE
    tools.answer(batch, 0, array, **more)
    [(_, data)] = wire.encode(batch, 5, 6)
    reply = json.loads(data)
    return reply["result"] if "result" in reply else reply["error"]["message"]


def words(array: Any, name: str, value: str) -> None:
    for index, word in enumerate(np.frombuffer(value.encode().ljust(24, b"\0"), "<u8")):
        array[f"{name}_{index}"] = word


def test_results_of_set_limits_and_approvals():
    statuses = [(10, Status.LIMITS_SET, 0), (11, Status.PROPOSED, 7), (12, Status.TRADING_ACCOUNT_NOT_FOUND, 0)]
    results = np.array(statuses, records.RESULT)
    assert answered("set_limits", [limit("default")] * 3, results) == [
        {"status": "limits_set", "timestamp": 10},
        {"status": "proposed", "proposal_id": 7, "timestamp": 11},
        {"status": "trading_account_not_found", "timestamp": 12},
    ]
    results["status"] = [Status.APPROVED, Status.DECLINED, Status.ANOTHER_PERSON_NEEDED]
    told = answered("approve_limits", [{"proposal_id": 1}] * 3, results, strings=True)
    assert [item["status"] for item in told] == ["approved", "declined", "another_person_needed"]
    assert told[0]["timestamp"] == "10"


def test_the_result_of_a_kill_switch():
    result = np.zeros(1, order_records.ORDER_RESULT)
    result["status"], result["cum_quantity"], result["timestamp"] = OrderStatus.DONE, 12, 9
    told = answered("kill_switch", {"scope": "default", "on": True}, result)
    assert told == {"status": "done", "canceled": 12, "timestamp": 9}
    result["status"], result["reason"], result["cum_quantity"] = OrderStatus.REJECTED, Reason.UNKNOWN_ACCOUNT, 0
    told = answered("kill_switch", {"scope": "account", "id": 1, "on": True}, result)
    assert told == {"status": "rejected", "reason": "unknown_account", "canceled": 0, "timestamp": 9}


def neutral(count: int = 1) -> Any:
    made = np.zeros(count, risk_records.LIMITS)
    for name in NAMES:
        made[name] = UNLIMITED
    for name in ("order_burst", "order_to_trade_free", "duplicate_order", "short_sale", "suitability",
                 "suitability_confirmed", "restricted", "kill_switch"):  # fmt: skip
        made[name] = 0
    made["exposure_rate"] = 1_000_000
    return made


def view(**limits: int) -> Any:
    made = np.zeros(1, risk_records.LIMITS_VIEW)
    made["limits"] = neutral()
    for name, value in limits.items():
        made["limits"][name] = value
    return made


def test_a_view_of_limits_shows_use_and_headroom():
    made = view(open_orders=5, open_notional=100, gross_exposure=1000, net_exposure=300, credit_limit=10, daily_loss=50,
                order_to_trade=3, order_to_trade_free=10, restricted=1, short_sale=2, max_quantity=0,
                order_rate=7)  # fmt: skip
    made["number"], made["scope"], made["id_0"], made["updated"] = 4, 0, 7001, 99
    made["own"] = 1 << NAMES.index("open_orders") | 1 << NAMES.index("duplicate_order")
    used = {"open_orders": 2, "open_buy": 30, "open_sell": 40, "long_value": 500, "short_value": 100, "realised": -70,
            "unrealised": 30, "traded": 20, "messages": 15, "trades": 2}  # fmt: skip
    for name, value in used.items():
        made["exposure"][name] = value
    made["exposure"]["programme"] = 3
    [told] = answered("get_limits", {"scope": "account", "id": 7001}, made)
    assert told == {
        "number": 4, "scope": "account", "id": 7001,
        "limits": {
            "max_quantity": 0, "open_orders": 5, "open_notional": 100, "gross_exposure": 1000, "net_exposure": 300,
            "credit_limit": 10, "daily_loss": 50, "order_rate": 7, "order_to_trade": 3, "order_to_trade_free": 10,
            "duplicate_order": 0, "short_sale": "forbidden", "restricted": True,
        },
        "own": ["open_orders", "duplicate_order"],
        "used": used | {"programme": ["programme_rate", "programme_day"]},
        "headroom": {"open_orders": 3, "open_notional": 30, "gross_exposure": 330, "net_exposure": 0, "credit_limit": 0,
                     "daily_loss": 10, "order_to_trade": 1},
        "updated": 99,
    }  # fmt: skip
    [told] = answered("get_limits", {"scope": "account", "id": 7001}, made, strings=True)
    assert told["used"]["realised"] == "-70"
    assert told["limits"]["open_orders"] == told["used"]["open_orders"].replace("2", "5") == "5"


def test_headroom_does_not_wrap():
    made = view(gross_exposure=2**62, net_exposure=2**62, daily_loss=2**62, order_to_trade=10**6)
    for name in ("open_buy", "open_sell", "long_value", "short_value"):
        made["exposure"][name] = 2**63 - 1
    made["exposure"]["realised"] = made["exposure"]["unrealised"] = -(2**63)
    made["exposure"]["trades"] = 2**62
    [told] = answered("get_limits", {"scope": "account"}, made)
    assert told["headroom"] == {"gross_exposure": 0, "net_exposure": 0, "daily_loss": 0, "order_to_trade": UNLIMITED}
    assert told["used"]["realised"] == -(2**63)


def test_views_of_one_instrument_and_of_scopes_without_orders():
    made = np.concatenate([view(position_long=5), view(max_quantity=1), view(max_quantity=2), view()])
    made["scope"] = [0, 4, 5, 1]
    made["id_0"][0] = 7
    made["own"] = [1 << NAMES.index("position_long"), 1, 1, 0]
    words(made[0], "symbol", "CF701")
    words(made[3], "id", 'a "desk" \\ of 24 letters')
    told = answered("get_limits", {}, made)
    assert told[0] == {"number": 0, "scope": "account", "id": 7, "instrument": "CF701", "limits": {"position_long": 5},
                       "own": ["position_long"], "updated": 0}  # fmt: skip
    assert told[1] == {
        "number": 0,
        "scope": "default",
        "limits": {"max_quantity": 1},
        "own": ["max_quantity"],
        "updated": 0,
    }
    assert told[2]["scope"] == "approval"
    assert (told[3]["id"], told[3]["limits"], told[3]["headroom"]) == ('a "desk" \\ of 24 letters', {}, {})


def test_reads_of_what_is_not_there():
    empty = np.zeros(0, risk_records.LIMITS_VIEW)
    params: dict[str, Any] = {"scope": "account", "id": 7}
    told = answered("get_limits", params, empty, status=Status.TRADING_ACCOUNT_NOT_FOUND)
    assert told == "params.id: there is no trading account 7"
    params = {"scope": "instrument", "id": "A"}
    told = answered("get_limits", params, empty, status=Status.UNKNOWN_INSTRUMENT)
    assert told == "params.id: there is no such instrument"
    assert answered("get_limits", {"scope": "desk", "id": "A"}, empty) == []


def test_proposals():
    made = np.zeros(2, risk_records.PROPOSAL)
    made["proposal_id"], made["timestamp"], made["scope"], made["id_0"] = [1, 2], [10, 11], 0, 7
    made["values"]["max_quantity"] = 500
    made["set"], made["unset"] = 1, 1 << NAMES.index("credit_limit")
    for row in made:
        words(row, "actor", "risk-1")
    made["state"][1], made["decided_at"][1] = 1, 12
    words(made[1], "decided_by", "risk-2")
    first = {"proposal_id": 1, "state": "open", "scope": "account", "id": 7,
             "limits": {"max_quantity": 500, "credit_limit": None}, "proposed_by": "risk-1",
             "timestamp": 10}  # fmt: skip
    told = answered("get_proposals", {}, made)
    assert told == [
        first,
        first | {"proposal_id": 2, "state": "approved", "timestamp": 11, "decided_by": "risk-2", "decided_at": 12},
    ]


def refusal(**members: int) -> Any:
    verdict = np.zeros(2, risk_records.VERDICT)
    for name, value in members.items():
        verdict[name][1] = value
    return verdict


def rejected(reason: Reason) -> Any:
    result = np.zeros(1, order_records.ORDER_RESULT)
    result["status"], result["reason"], result["reserved"], result["fill_first"] = OrderStatus.REJECTED, reason, 1, 1
    return result


def test_a_refusal_by_a_limit_says_which_and_how_much():
    verdict = refusal(limit=100, used=70, asked=40, reason=Reason.CREDIT_LIMIT, scope=0)
    [told] = answered("submit_orders", [ORDER], rejected(Reason.CREDIT_LIMIT), more=verdict)
    assert told["reason"] == "credit_limit"
    assert told["fills"] == []
    assert told["limit"] == {"name": "credit_limit", "scope": "account", "id": 7001, "value": 100, "used": 70,
                             "asked": 40, "headroom": 30}  # fmt: skip
    for scope, wanted in ((1, None), (2, None), (3, "CF701"), (4, None)):
        verdict = refusal(limit=100, used=170, asked=40, reason=Reason.KILL_SWITCH, scope=scope)
        [told] = answered("submit_orders", [ORDER], rejected(Reason.KILL_SWITCH), more=verdict)
        assert (told["limit"]["scope"], told["limit"].get("id"), told["limit"]["headroom"]) == (
            SCOPES[scope],
            wanted,
            0,
        )


def test_a_refusal_by_an_own_check_has_its_number():
    verdict = refusal(limit=1, used=-2, asked=3, reason=Reason.OWN_CHECK, check=2017, scope=0, amend=1)
    replace = [{"account_id": 7009, "order_id": 1, "quantity": 5}]
    [told] = answered("replace_orders", replace, rejected(Reason.OWN_CHECK), more=verdict)
    assert (told["reason"], told["check"], told["limit"]["name"]) == ("own_check", 2017, "own_check")
    assert (told["limit"]["id"], told["limit"]["used"], told["limit"]["headroom"]) == (7009, -2, 3)
