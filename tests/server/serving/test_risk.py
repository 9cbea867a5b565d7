"""Limits through a running server: who may set them, a second person, kill switches, and verdicts in the log."""

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from engine import Batch, log_record
from engine.errors import CapacityError
from engine.risk import forget_checks
from server import batcher
from server.channels import generate_key
from server.lifecycle import Exit, Server, exit_code_of
from server.settings import SettingsError
from tests.server.serving.harness import Client, running, settings_for, statuses
from tests.server.serving.test_orders import list_market, order


async def asked(client: Client, method: str, params: Any) -> list[str]:
    return [item["status"] for item in await client.result(method, params)]


async def test_limits_are_set_taken_away_and_read(client: Client) -> None:
    await list_market(client)
    items = [
        {"scope": "account", "id": 7001, "max_quantity": 500, "short_sale": "forbidden"},
        {"scope": "account", "id": 7001, "instrument": "600519", "position_long": 9_000},
        {"scope": "client", "id": "desk 0", "open_orders": 3},
        {"scope": "instrument", "id": "600519", "max_notional": 1_000_000},
        {"scope": "default", "max_quantity": 1_000, "open_orders": 10},
        {"scope": "account", "id": 9, "max_quantity": 1},
        {"scope": "client", "id": "x", "duplicate_order": 1},
        {"scope": "default", "price_collar": 2_000_000},
    ]
    assert await asked(client, "set_limits", items) == [
        *["limits_set"] * 5, "trading_account_not_found", "limit_not_for_scope", "limit_out_of_range",
    ]  # fmt: skip
    own, pair = await client.result("get_limits", {"scope": "account", "id": 7001})
    assert own["limits"] == {"max_quantity": 500, "open_orders": 10, "short_sale": "forbidden"}
    assert (own["own"], own["headroom"]) == (["max_quantity", "short_sale"], {"open_orders": 10})
    assert (pair["instrument"], pair["limits"]) == ("600519", {"position_long": 9_000})
    [person] = await client.result("get_limits", {"scope": "client", "id": "desk 0"})
    assert person["limits"] == {"open_orders": 3}
    await client.result("set_limits", [{"scope": "account", "id": 7001, "max_quantity": None, "short_sale": None}])
    own, _ = await client.result("get_limits", {"scope": "account", "id": 7001})
    assert (own["limits"], own["own"]) == ({"max_quantity": 1_000, "open_orders": 10}, [])
    found = []
    page = await client.result("get_limits", {"limit": 2})
    while page:
        found += page
        page = await client.result("get_limits", {"limit": 2, "after": page[-1]["number"]})
    assert len({item["number"] for item in found}) == len(found) > 6
    assert {item["scope"] for item in found} == {"account", "client", "instrument", "default", "approval"}


async def test_a_kill_switch_cancels_what_is_open(client: Client) -> None:
    await list_market(client)
    bids = [order(7001, "buy", 100, 1_400 + n) for n in range(3)] + [order(7002, "buy", 100, 1_300)]
    assert await asked(client, "submit_orders", bids) == ["new"] * 4
    [before] = await client.result("get_limits", {"scope": "account", "id": 7001})
    assert (before["used"]["open_orders"], before["used"]["open_buy"]) == (3, 100 * (1_400 + 1_401 + 1_402))
    told = await client.result("kill_switch", {"scope": "account", "id": 7001, "on": True})
    assert (told["status"], told["canceled"]) == ("done", 3)
    [after] = await client.result("get_limits", {"scope": "account", "id": 7001})
    assert (after["used"]["open_orders"], after["limits"]["kill_switch"]) == (0, True)
    reasons = {row["reason"] for row in await client.result("get_executions", {"account_id": 7001}) if "reason" in row}
    assert reasons == {"kill_switch"}
    assert (await client.result("kill_switch", {"scope": "default", "on": True}))["canceled"] == 1
    told = await client.result("kill_switch", {"scope": "account", "id": 9, "on": True})
    assert (told["status"], told["reason"]) == ("rejected", "unknown_account")
    for scope, more in (("account", {"id": 7001}), ("default", {})):
        assert (await client.result("kill_switch", {"scope": scope, "on": False} | more))["canceled"] == 0
    assert await asked(client, "submit_orders", [order(7001, "buy", 100, 1_400)]) == ["new"]


async def test_a_raise_needs_a_second_channel_also_after_a_restart(tmp_path: Path, database: str) -> None:
    keys, lines = {}, []
    for name, permissions in (("risk-1", ["risk"]), ("risk-2", ["risk"]), ("audit", ["risk_read"])):
        keys[name], stored = generate_key()
        lines.append(f'[channels.{name}]\npermissions = {permissions}\nkey = "{stored}"\n')
    (tmp_path / "channels.toml").write_text("".join(lines))
    settings = settings_for(tmp_path, database_url=database, channels=tmp_path / "channels.toml")

    async def logged_on(server: Server, name: str) -> Client:
        client = await Client.connect(server.port)
        await client.result("logon", {"channel": name, "key": keys[name]})
        return client

    async with running(settings) as server:
        first, second = await logged_on(server, "risk-1"), await logged_on(server, "risk-2")
        items = [{"scope": "default", "max_quantity": 10}, {"scope": "approval", "max_quantity": 20}]
        assert await asked(first, "set_limits", items) == ["limits_set"] * 2
        assert await asked(first, "set_limits", [{"scope": "default", "max_quantity": 15}]) == ["limits_set"]
        wanted = [{"scope": "default", "max_quantity": 25}, {"scope": "default", "max_quantity": 30}]
        proposed = await first.result("set_limits", wanted)
        assert [(item["status"], item["proposal_id"]) for item in proposed] == [("proposed", 1), ("proposed", 2)]
        assert await asked(first, "approve_limits", [{"proposal_id": 1}]) == ["another_person_needed"]
        assert await asked(second, "approve_limits", [{"proposal_id": 9}]) == ["proposal_not_found"]
        for client in (first, second):
            await client.close()
    async with running(settings) as server:
        second, audit = await logged_on(server, "risk-2"), await logged_on(server, "audit")
        [before] = await audit.result("get_limits", {"scope": "default"})
        assert before["limits"] == {"max_quantity": 15}
        decisions = [{"proposal_id": 1}, {"proposal_id": 2, "approve": False}, {"proposal_id": 1}]
        assert await asked(second, "approve_limits", decisions) == ["approved", "declined", "proposal_closed"]
        [after] = await audit.result("get_limits", {"scope": "default"})
        assert after["limits"] == {"max_quantity": 25}
        proposals = await audit.result("get_proposals", {})
        assert [(p["state"], p["proposed_by"], p["decided_by"]) for p in proposals] == [
            ("approved", "risk-1", "risk-2"), ("declined", "risk-1", "risk-2"),
        ]  # fmt: skip
        reply = await audit.ask("kill_switch", {"scope": "default", "on": True})
        assert reply["error"]["code"] == -32002
        for client in (second, audit):
            await client.close()


async def test_limits_have_room_of_their_own(tmp_path: Path, database: str) -> None:
    async with (
        running(settings_for(tmp_path, database_url=database, proposals_max=2)) as server,
        await Client.connect(server.port) as client,
    ):
        reply = await client.ask("set_limits", [{"scope": "default", "max_quantity": n} for n in range(3)])
        assert reply["error"] == {
            "code": -32005, "message": "limits_capacity_reached: there is room for 2 more items",
        }  # fmt: skip
        assert await asked(client, "set_limits", [{"scope": "default", "max_quantity": 1}] * 2) == ["limits_set"] * 2
        assert (await client.result("kill_switch", {"scope": "default", "on": True}))["status"] == "done"


# --- orders and the log -----------------------------------------------------------------------------------------------


async def test_orders_are_applied_before_their_record_is_made_and_transfers_behind(
    server: Server, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    await list_market(client)
    seen: list[tuple[bool, bool]] = []

    def encode(batch: Batch, time: int, *, format_most: int) -> bytes:
        seen.append((len(batch) > 0, server.engine.last_timestamp >= time))
        return log_record.encode(batch, time, format_most=format_most)

    monkeypatch.setattr(batcher, "log_record", SimpleNamespace(encode=encode))
    bid = order(7001, "buy", 100, 1_400)
    for method, params, applied in (
        ("submit_orders", [bid], True),
        ("cancel_orders", [{"account_id": 7001, "order_id": 99}], False),
        ("replace_orders", [{"account_id": 7001, "order_id": 1, "price": 1_401}], True),
        ("set_limits", [{"scope": "approval", "max_quantity": 5}], False),
        ("create_accounts", [{"id": 77, "ledger": 156, "code": 1}], False),
    ):
        seen.clear()
        assert len(await client.result(method, params)) == 1
        assert seen == [(True, applied)], method


class Full:
    """An engine that has no room for what comes."""

    def __init__(self, engine: Any) -> None:
        self.engine = engine

    def __getattr__(self, name: str) -> Any:
        return getattr(self.engine, name)

    def apply(self, batch: Batch, time: int) -> None:
        raise CapacityError("orders_capacity_reached: planted")


async def test_an_order_that_cannot_be_applied_is_not_logged(tmp_path: Path, database: str) -> None:
    """The next server would meet it again, and end again."""
    with pytest.raises(CapacityError, match="planted"):  # noqa: PT012 - the server tells at its end
        async with (
            running(settings_for(tmp_path, database_url=database)) as server,
            await Client.connect(server.port) as client,
        ):
            await list_market(client)
            seq = server.batcher.seq
            server.batcher._engine = Full(server.engine)  # type: ignore[assignment]
            client.send("submit_orders", [order(7001, "buy", 100, 1_400)])
            assert await client.ended()
            assert server.journal.head.seq == seq
            assert exit_code_of(server.fatal or RuntimeError()) == Exit.CAPACITY


async def test_pipelined_orders_and_transfers_are_answered_in_order(client: Client) -> None:
    await list_market(client)
    for n in range(200):
        client.send("submit_orders", [order(7001 + n % 2, "buy" if n % 2 else "sell", 100, 1_500)])
        client.send("create_accounts", [{"id": 100_000 + n, "ledger": 156, "code": 1}])
        client.send("get_book", {"instrument": "600519"})
        if n % 50 == 0:
            await asyncio.sleep(0)
    replies = [await client.receive() for _ in range(600)]
    assert [reply["id"] for reply in replies] == list(range(replies[0]["id"], replies[0]["id"] + 600))
    assert all("result" in reply for reply in replies)
    assert [statuses(reply["result"]) for reply in replies[1::3]] == [["created"]] * 200


CHECK = """
from engine import risk


@risk.check(reasons={7: "seven_lots"})
def lucky(order, limits, exposure):
    if order["quantity"] == 700:
        return 7
    return risk.ACCEPT
"""


async def test_verdicts_stand_in_the_log_and_hold_without_the_check(tmp_path: Path, database: str) -> None:
    """A server that does not have the check, or a stricter one, comes to the same state."""
    (tmp_path / "lucky.py").write_text(CHECK)
    plain = settings_for(tmp_path / "data", database_url=database)
    with_check = settings_for(tmp_path / "data", database_url=database, risk_checks=str(tmp_path / "lucky.py"))
    async with running(with_check) as server, await Client.connect(server.port) as client:
        await list_market(client)
        await client.result("set_limits", [{"scope": "account", "id": 7001, "max_quantity": 1_000}])
        bids = [order(7001, "buy", quantity, 1_400) for quantity in (700, 1_100, 500)]
        seven, many, good = await client.result("submit_orders", bids)
        assert (seven["reason"], seven["check"] % 1_000, seven["limit"]["name"]) == ("own_check", 7, "own_check")
        assert seven["check_name"].endswith(": seven_lots")
        assert many["limit"] == {
            "name": "max_quantity", "scope": "account", "id": 7001, "value": 1_000, "used": 0, "asked": 1_100,
            "headroom": 1_000,
        }  # fmt: skip
        [kept] = await client.result(
            "replace_orders", [{"account_id": 7001, "order_id": good["order_id"], "quantity": 1_200}]
        )
        assert (kept["status"], kept["reason"], kept["limit"]["asked"]) == ("rejected", "max_quantity", 1_200)
        await client.result("kill_switch", {"scope": "account", "id": 7001, "on": True})
        [stopped] = await client.result("submit_orders", [order(7001, "buy", 100, 1_400)])
        assert (stopped["reason"], stopped["limit"]["scope"]) == ("kill_switch", "account")
        before = server.engine.state_hash()
    forget_checks()
    async with running(plain) as server:
        assert server.engine.state_hash() == before


async def test_a_check_that_is_no_good_ends_the_start(tmp_path: Path, database: str) -> None:
    (tmp_path / "bad.py").write_text(CHECK.replace('order["quantity"]', 'open("/etc/passwd")'))
    for name in ("bad.py", "missing.py"):
        settings = settings_for(tmp_path / "data", database_url=database, risk_checks=str(tmp_path / name))
        with pytest.raises(SettingsError, match=r"^risk_checks: "):
            async with running(settings):
                pass
    forget_checks()
