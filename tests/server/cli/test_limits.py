"""The commands about limits against a real server."""

from server.cli.common import Exit
from tests.server.cli.conftest import Tongbao


def test_limits_are_set_shown_and_taken_away(dev: Tongbao) -> None:
    told = dev("limits", "set", "desk", "cli", "max_quantity=500", "short_sale=forbidden", "restricted=false")
    assert (told.code, told.out) == (Exit.OK, "limits_set\n")
    [state] = dev("limits", "show", "desk", "cli", "--json").json
    assert state["limits"] == {"max_quantity": 500, "short_sale": "forbidden", "restricted": False}
    rows = [line.split() for line in dev("limits", "show", "desk", "cli").out.splitlines()]
    assert ["desk", "cli", "max_quantity", "500", "own"] in rows
    told = dev("limits", "set", "desk", "cli", "max_quantity=none", "restricted=none", "short_sale=none")
    assert told.out == "limits_set\n"
    assert dev("limits", "show", "desk", "cli", "--json").json[0]["limits"] == {}


def test_what_is_wrong_has_its_exit_code(dev: Tongbao) -> None:
    refused = dev("limits", "set", "account", 99_999, "max_quantity=1", "--json")
    assert (refused.code, refused.json[0]["status"]) == (Exit.ITEM_REFUSED, "trading_account_not_found")
    assert dev("limits", "set", "account", "x", "max_quantity=1").code == Exit.USAGE
    assert dev("limits", "set", "desk", "cli", "max_quantity").code == Exit.USAGE
    assert dev("limits", "set", "desk", "cli", "nonsense=1").code == Exit.REQUEST_REFUSED
    assert dev("limits", "show", "account", 99_999).code == Exit.REQUEST_REFUSED
    assert dev("kill", "account", 99_999).code == Exit.ITEM_REFUSED
    assert dev("approve", 10**9).code == Exit.ITEM_REFUSED


def test_raises_are_proposed_and_declined(dev: Tongbao) -> None:
    assert dev("limits", "set", "approval", "max_notional=10").out == "limits_set\n"
    dev("limits", "set", "desk", "raised", "max_notional=5")
    [proposed] = dev("limits", "set", "desk", "raised", "max_notional=50", "--json").json
    number = proposed["proposal_id"]
    assert dev("approve", number).code == Exit.ITEM_REFUSED
    listed = dev("limits", "proposals", "--after", number - 1)
    assert "max_notional=50" in listed.out
    assert dev("approve", number, "--decline").out == "declined\n"
    [row] = dev("limits", "proposals", "--after", number - 1, "--json").json
    assert (row["state"], row["decided_by"]) == ("declined", "dev")


def test_a_kill_switch_is_thrown_and_released(dev: Tongbao) -> None:
    assert dev("kill", "desk", "cli").out == "done, 0 orders canceled\n"
    assert dev("limits", "show", "desk", "cli", "--json").json[0]["limits"] == {"kill_switch": True}
    assert dev("kill", "desk", "cli", "--off", "--json").json["canceled"] == 0
    assert dev("limits", "show", "desk", "cli", "--json").json[0]["limits"] == {}
