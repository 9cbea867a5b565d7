"""Orders through a running server: from a listing to a settled trade, cancel on disconnect, capacity."""

import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from server.journal import PrivatePostgres
from server.lifecycle import Server
from tests.server.serving.harness import (
    Client,
    Lines,
    ServerProcess,
    accounts,
    running,
    settings_for,
    stalled,
    statuses,
    transfer,
    until,
)

CASH, SHARES = 156, 600519
HOUSE, STOCK, FEES = 1, 2, 3
DESKS = (7001, 7002)


def order(account_id: int, side: str, quantity: int, price: int, **members: Any) -> dict[str, Any]:
    return {
        "client_order_id": str(uuid.uuid4()),
        "account_id": account_id,
        "instrument": "600519",
        "side": side,
        "type": "limit",
        "quantity": quantity,
        "price": price,
    } | members


async def list_market(client: Client, **terms: Any) -> None:
    """Two desks with cash and shares, one instrument."""
    made = [{"id": number, "ledger": CASH, "code": 1} for number in (HOUSE, FEES)]
    made += [{"id": STOCK, "ledger": SHARES, "code": 1}]
    flags = {"flags": ["debits_must_not_exceed_credits"]}
    for index in range(len(DESKS)):
        made += [{"id": 1001 + index, "ledger": CASH, "code": 2} | flags]
        made += [{"id": 5001 + index, "ledger": SHARES, "code": 2} | flags]
    assert set(statuses(await client.result("create_accounts", made))) == {"created"}
    moves = []
    for index in range(len(DESKS)):
        moves += [transfer(HOUSE, 1001 + index, 10_000_000)]
        moves += [transfer(STOCK, 5001 + index, 10_000) | {"ledger": SHARES}]
    assert set(statuses(await client.result("create_transfers", moves))) == {"created"}
    instrument = {
        "instrument": "600519",
        "base_ledger": SHARES,
        "quote_ledger": CASH,
        "tick_size": 1,
        "lot_size": 100,
        "taker_fee_ppm": 300,
        "maker_fee_ppm": 100,
        "sell_duty_ppm": 500,
        "fee_account_id": FEES,
    }
    assert statuses(await client.result("create_instruments", [instrument | terms])) == ["created"]
    desks = [
        {"id": number, "accounts": {str(CASH): 1001 + index, str(SHARES): 5001 + index}, "owner": f"desk {index}"}
        for index, number in enumerate(DESKS)
    ]
    assert statuses(await client.result("create_trading_accounts", desks)) == ["created"] * len(desks)


async def test_a_trade_from_the_order_to_the_ledger(client: Client) -> None:
    await list_market(client)
    offer = order(7002, "sell", 300, 1_500)
    [sold] = await client.result("submit_orders", [offer])
    assert (sold["status"], sold["leaves_quantity"], sold["fills"]) == ("new", 300, [])
    bid = order(7001, "buy", 100, 1_501)
    reply = await client.ask("submit_orders", [bid])
    [bought] = reply["result"]
    assert (bought["status"], bought["cum_quantity"], bought["leaves_quantity"]) == ("filled", 100, 0)
    [fill] = bought["fills"]
    assert (fill["price"], fill["quantity"], fill["fee"]) == (1_500, 100, 45)
    [again] = await client.result("submit_orders", [bid])
    assert (again["status"], again["order_status"], again["order_id"]) == ("exists", "filled", bought["order_id"])
    book = await client.result("get_book", {"instrument": "600519"})
    assert (book["bids"], book["asks"], book["last_price"]) == ([], [[1_500, 200, 1]], 1_500)
    [rest] = await client.result("get_orders", {"account_id": 7002, "open_only": True})
    assert (rest["order_id"], rest["cum_quantity"], rest["leaves_quantity"]) == (sold["order_id"], 100, 200)
    [trade] = await client.result("get_trades", {"instrument": "600519"})
    assert (trade["price"], trade["quantity"], trade["notional"], trade["seq"]) == (1_500, 100, 150_000, reply["seq"])
    assert (trade["buy_account_id"], trade["sell_account_id"]) == DESKS
    kinds = [execution["kind"] for execution in await client.result("get_executions", {})]
    assert kinds == ["new", "new", "partially_filled", "filled"]
    legs = await client.result("get_account_transfers", {"account_id": 1001, "debits": True})
    assert [(leg["code"], leg["amount"]) for leg in legs] == [(65001, 150_000), (65003, 45)]
    shares, held = await client.result("lookup_accounts", [5001, 5002])
    assert (shares["credits_posted"], held["debits_pending"]) == (10_100, 200)
    [canceled] = await client.result("cancel_orders", [{"account_id": 7002, "order_id": sold["order_id"]}])
    assert (canceled["status"], canceled["leaves_quantity"]) == ("canceled", 0)
    assert (await client.result("lookup_accounts", [5002]))[0]["debits_pending"] == 0
    positions = await client.result("get_positions", {"account_id": 7001})
    assert [(p["instrument"], p["long_quantity"]) for p in positions] == [("600519", 10_100)]
    [state] = await client.result("get_instruments", {})
    assert (state["instrument"], state["session"], state["volume"]) == ("600519", "continuous", 100)


async def test_refusals_are_told_per_item(client: Client) -> None:
    await list_market(client)
    results = await client.result(
        "submit_orders",
        [
            order(7001, "buy", 150, 1_500),
            order(7001, "buy", 100, 1_500) | {"instrument": "NOPE"},
            order(1, "buy", 100, 1_500),
            order(7001, "buy", 10_000, 1_500),
            order(7001, "sell", 100, 1_500, post_only=True, time_in_force="ioc"),
            order(7001, "buy", 100, 0),
        ],
    )
    assert [(item["status"], item["reason"]) for item in results] == [
        ("rejected", "quantity_not_in_lots"),
        ("rejected", "unknown_instrument"),
        ("rejected", "unknown_account"),
        ("rejected", "insufficient_funds"),
        ("rejected", "invalid_combination"),
        ("rejected", "invalid_combination"),
    ]
    reply = await client.ask("get_book", {"instrument": "NOPE"})
    assert reply["error"] == {"code": -32602, "message": "params.instrument: there is no instrument NOPE"}
    reply = await client.ask("get_orders", {"account_id": 9})
    assert reply["result"] == []
    [refused] = await client.result("cancel_orders", [{"account_id": 7001, "order_id": 99}])
    assert (refused["status"], refused["reason"]) == ("rejected", "unknown_order")


async def test_the_day_of_an_instrument(client: Client) -> None:
    await list_market(client, session="closed", reference_price=1_500, price_band_ppm=100_000)

    async def state(name: str, **members: Any) -> Any:
        return await client.result("set_session", {"instrument": "600519", "state": name} | members)

    [early] = await client.result("submit_orders", [order(7001, "buy", 100, 1_500)])
    assert early["reason"] == "session_closed"
    assert (await state("auction"))["status"] == "done"
    bid, offer = order(7001, "buy", 300, 1_510), order(7002, "sell", 200, 1_490)
    await client.result("submit_orders", [bid, offer])
    book = await client.result("get_book", {"instrument": "600519"})
    assert (book["session"], book["indicative_price"], book["indicative_quantity"]) == ("auction", 1_500, 200)
    assert (await state("auction", cancels=False))["status"] == "done"
    [stays] = await client.result("cancel_orders", [{"account_id": 7001, "client_order_id": bid["client_order_id"]}])
    assert stays["reason"] == "cancel_not_allowed"
    opened = await state("continuous")
    assert (opened["uncrossed_price"], opened["uncrossed_quantity"]) == (1_500, 200)
    [trade] = await client.result("get_trades", {})
    busted = await client.result("bust_trades", [{"trade_id": trade["trade_id"]}, {"trade_id": 99}])
    assert [item["status"] for item in busted] == ["busted", "rejected"]
    assert busted[1]["reason"] == "unknown_trade"
    assert (await client.result("mass_cancel", {"account_id": 7001}))["canceled"] == 1
    done = await client.result("end_of_day", {"business_date": 20261124, "settlement_prices": {"600519": 1_505}})
    assert done["status"] == "done"
    again = await client.result("end_of_day", {"business_date": 20261124})
    assert (again["status"], again["reason"]) == ("rejected", "date_not_later")
    [closed] = await client.result("get_instruments", {"instrument": "600519"})
    assert closed["session"] == "closed"
    assert statuses(
        await client.result("update_instruments", [{"instrument": "600519", "reference_price": 2_000}])
    ) == ["updated"]


async def test_a_subscriber_is_told_what_its_own_pipeline_leads_to(client: Client) -> None:
    """Subscribe and submit in one write share a log entry: nothing of it is missed."""
    await list_market(client)
    before = len(await client.result("get_executions", {}))
    client.send("subscribe", {"topics": ["executions", "trades:600519"]})
    client.send("submit_orders", [order(7001, "buy", 100, 1_500), order(7002, "sell", 100, 1_500)])
    client.send("ping")
    told: dict[str, list[int]] = {"execution": [], "trade": []}
    while len(told["execution"]) < 4 or not told["trade"]:
        line = await client.receive()
        if "method" in line:
            told[line["method"]].append(line["params"]["exec_id" if line["method"] == "execution" else "trade_id"])
    assert told == {"execution": list(range(before + 1, before + 5)), "trade": [1]}


async def test_profiles_fill_in_what_is_left_out(client: Client) -> None:
    ledgers = [{"id": FEES, "ledger": CASH, "code": 1}]
    await client.result("create_accounts", ledgers)
    listing = {"instrument": "600519", "base_ledger": SHARES, "quote_ledger": CASH, "fee_account_id": FEES}
    assert statuses(await client.result("create_instruments", [listing | {"profile": "a-share"}])) == ["created"]
    [state] = await client.result("get_instruments", {"instrument": "600519"})
    assert state["session"] == "closed"
    same = await client.result(
        "create_instruments",
        [
            listing
            | {"tick_size": 1, "lot_size": 100, "price_band_ppm": 100_000, "price_cage_ppm": 20_000}
            | {"market_protection_ppm": 20_000, "sell_duty_ppm": 500, "transfer_fee_ppm": 10, "minimum_fee": 500}
            | {"settlement": "T+1", "session": "closed"}
        ],
    )
    assert statuses(same) == ["exists"]
    reply = await client.ask("create_instruments", [listing | {"profile": "bonds"}])
    assert reply["error"]["message"] == 'params[0].profile: "bonds" is not a profile of this server'


KEY = "tbk_" + "k" * 43
CHANNELS = """
[channels.desk]
permissions = ["trade", "market_data", "read"]
key = "{hash}"
[channels.house]
permissions = ["accounts", "transfers", "market_admin", "trade_read", "read"]
key = "{hash}"
[channels.narrow]
permissions = ["trade"]
key = "{hash}"
scope = 1
accounts = [1001, 5001]
"""


@pytest.fixture
def channels(tmp_path: Path) -> Path:
    from server.channels import _digest

    path = tmp_path / "channels.toml"
    path.write_text(CHANNELS.format(hash=f"sha256${'0' * 32}${_digest('0' * 32, KEY)}"))
    return path


async def connect(server: Server, channel: str, **members: Any) -> Client:
    client = await Client.connect(server.port)
    await client.result("logon", {"channel": channel, "key": KEY} | members)
    return client


async def test_cancel_on_disconnect(tmp_path: Path, database: str, channels: Path) -> None:
    settings = settings_for(tmp_path, database_url=database, channels=channels)
    async with running(settings) as server:
        house = await connect(server, "house")
        await list_market(house)
        stays, goes = await connect(server, "desk"), await connect(server, "desk", cancel_on_disconnect=True)
        await stays.result("submit_orders", [order(7001, "buy", 100, 1_400)])
        await goes.result("submit_orders", [order(7001, "buy", 100, 1_401), order(7002, "sell", 100, 1_600)])
        assert server.engine.open_orders == 3
        await stays.close()
        await goes.close()
        await until(lambda: server.engine.open_orders == 1)
        [left] = await house.result("get_orders", {"instrument": "600519", "open_only": True})
        assert left["price"] == 1_400
        ended = [row for row in await house.result("get_executions", {}) if row["kind"] == "canceled"]
        assert [row["reason"] for row in ended] == ["session_ended"] * 2
        await until(lambda: server.batcher.seq == server.journal.head.seq)
        again = await connect(server, "desk", cancel_on_disconnect=True)
        await again.result("submit_orders", [order(7001, "buy", 100, 1_402)])
        await again.result("logon", {"channel": "desk", "key": KEY})
        await until(lambda: server.engine.open_orders == 1)
        await again.close()
        await house.close()


async def test_orders_of_a_session_that_ends_in_a_stall_go_too(
    tmp_path: Path, database: str, channels: Path, postgres_18: PrivatePostgres
) -> None:
    """What gathers behind a database that stands still is answered busy; our own cancels are not."""
    settings = settings_for(tmp_path, database_url=database, channels=channels, queue_delay_ms_max=200)
    async with running(settings) as server:
        house = await connect(server, "house")
        await list_market(house)
        goes = await connect(server, "desk", cancel_on_disconnect=True)
        await goes.result("submit_orders", [order(7001, "buy", 100, 1_401)])
        with stalled(postgres_18):
            house.send("create_accounts", accounts([90_001]))
            await until(lambda: server.batcher.in_flight_since)
            await goes.close()
            refused = house.send("create_accounts", accounts([90_002]))
            await until(lambda: server.metrics.requests_refused["queue_delay"])
        await house.receive()
        assert (await house.receive())["id"] == refused
        await until(lambda: not server.engine.open_orders)
        await house.close()


def test_sessions_that_could_not_say_goodbye_are_ended_at_the_start(data_dir: Path, channels: Path) -> None:
    def result(client: Lines, method: str, params: Any) -> Any:
        reply = client.ask(method, params)
        assert "result" in reply, reply
        return reply["result"]

    with ServerProcess(data_dir, channels=channels) as process:
        process.start()
        with Lines(process.port) as house, Lines(process.port) as desk:
            result(house, "logon", {"channel": "house", "key": KEY})
            result(desk, "logon", {"channel": "desk", "key": KEY, "cancel_on_disconnect": True})
            result(house, "create_accounts", accounts([1001]) + accounts([1002], ledger=SHARES))
            result(house, "create_transfers", [])
            terms = {"instrument": "600519", "base_ledger": SHARES, "quote_ledger": CASH, "tick_size": 1}
            result(house, "create_instruments", [terms | {"lot_size": 1}])
            result(house, "create_trading_accounts", [{"id": 7001, "accounts": {"156": 1001, "600519": 1002}}])
            result(house, "create_accounts", accounts([HOUSE]))
            result(house, "create_transfers", [transfer(HOUSE, 1001, 1_000_000)])
            [placed] = result(desk, "submit_orders", [order(7001, "buy", 1, 100)])
            assert placed["status"] == "new"
            process.kill()
        process.start()
        assert process.event("sessions_ended")["count"] == 1
        with Lines(process.port) as house:
            result(house, "logon", {"channel": "house", "key": KEY})
            assert result(house, "get_orders", {"account_id": 7001, "open_only": True}) == []
            assert result(house, "lookup_accounts", [1001])[0]["debits_pending"] == 0
        assert process.stop() == 0


async def test_permissions_and_scopes(tmp_path: Path, database: str, channels: Path) -> None:
    settings = settings_for(tmp_path, database_url=database, channels=channels)
    async with running(settings) as server:
        house, narrow = await connect(server, "house"), await connect(server, "narrow")
        await list_market(house)
        assert (await house.ask("submit_orders", []))["error"]["code"] == -32002
        assert (await narrow.ask("set_session", {"instrument": "600519", "state": "halted"}))["error"]["code"] == -32002
        mine, others = await narrow.result(
            "submit_orders", [order(7001, "buy", 100, 1_500), order(7002, "sell", 100, 1_500)]
        )
        assert (mine["status"], others["status"], others["reason"]) == ("new", "rejected", "not_permitted")
        assert (await narrow.ask("get_orders", {"account_id": 7002}))["error"]["code"] == -32002
        assert [row["account_id"] for row in await narrow.result("get_executions", {})] == [7001]
        await narrow.close()
        await house.close()


async def test_a_full_store_of_orders_refuses_and_goes_on(tmp_path: Path, database: str) -> None:
    settings = settings_for(tmp_path, database_url=database, orders_max=50)
    async with running(settings) as server, await Client.connect(server.port) as client:
        await list_market(client)
        orders = [order(7001, "buy", 100, 1_000 + index) for index in range(45)]
        assert {item["status"] for item in await client.result("submit_orders", orders)} == {"new"}
        reply = await client.ask("submit_orders", [order(7001, "buy", 100, 900) for _ in range(10)])
        assert reply["error"]["code"] == -32005
        assert reply["error"]["message"].startswith("orders_capacity_reached: ")
        [one] = await client.result("submit_orders", [order(7001, "buy", 100, 900)])
        assert one["status"] == "new"
        assert (await client.result("mass_cancel", {}))["canceled"] == 46


async def test_a_restart_gives_the_same_state(tmp_path: Path, database: str) -> None:
    settings = settings_for(tmp_path, database_url=database)
    async with running(settings) as server, await Client.connect(server.port) as client:
        await list_market(client)
        random = np.random.default_rng(5)
        for _ in range(20):
            orders = [
                order(
                    int(random.choice(DESKS)),
                    str(random.choice(["buy", "sell"])),
                    100 * int(random.integers(1, 4)),
                    1_500 + int(random.integers(-5, 5)),
                )
                for _ in range(10)
            ]
            await client.result("submit_orders", orders)
        executions = await client.result("get_executions", {})
        digest, seq = server.engine.digest(), server.batcher.seq
        server.engine.check_invariants()
    async with running(settings) as server, await Client.connect(server.port) as client:
        assert server.engine.digest() == digest
        assert await client.result("get_executions", {}) == executions
        assert max(row["seq"] for row in executions) <= seq < server.batcher.seq
        reply = await client.ask("submit_orders", [order(7001, "buy", 100, 1)])
        newest = (await client.result("get_executions", {"from_seq": reply["seq"]}))[-1]
        assert newest["seq"] == reply["seq"]
