"""Logons, permissions and scopes over a real connection."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from server.channels import generate_key, signature
from server.journal import Kind
from server.lifecycle import Server
from tests.server.serving.harness import Client, accounts, running, settings_for, statuses, transfer

SECRET = "the-wallet-gateways-secret-0123456789"
KEY, STORED = generate_key()


def channels(path: Path, more: str = "") -> Path:
    file = path / "channels.toml"
    (path / "wallet").write_text(SECRET)
    file.write_text(
        f"""
        [channels.core]
        permissions = ["read", "accounts", "transfers", "admin"]
        key = "{STORED}"
        [channels.mobile]
        permissions = ["read", "transfers"]
        key = "{STORED}"
        scope = 7
        accounts = ["1000-1999", 3000]
        [channels.wallet]
        permissions = ["read"]
        hmac_secret_file = "{path / "wallet"}"
        {more}
        """
    )
    return file


@pytest.fixture
async def server(tmp_path: Path, database: str) -> AsyncIterator[Server]:
    async with running(settings_for(tmp_path, database_url=database, channels=channels(tmp_path))) as server:
        yield server


async def log_on(client: Client, channel: str, **more: Any) -> Any:
    return await client.ask("logon", {"channel": channel, "key": KEY} | more)


def signed(timestamp: int, nonce: str) -> dict[str, Any]:
    return {
        "channel": "wallet",
        "timestamp": timestamp,
        "nonce": nonce,
        "signature": signature(SECRET.encode(), "wallet", timestamp, nonce),
    }


async def test_before_the_logon_only_ping_and_logon_work(client: Client) -> None:
    assert "time" in await client.result("ping")
    for method in ("create_accounts", "lookup_accounts", "create_transfers", "server_status", "take_snapshot"):
        assert (await client.ask(method, []))["error"]["code"] == -32001, method
    assert (await client.ask("nonsense"))["error"]["code"] == -32601
    reply = await log_on(client, "core")
    assert reply["result"] == {
        "channel": "core",
        "permissions": ["read", "accounts", "transfers", "admin"],
        "protocol": 1,
    }
    assert statuses(await client.result("create_accounts", accounts([1]))) == ["created"]


async def test_a_logon_holds_for_the_lines_behind_it(client: Client) -> None:
    """Also when they arrive in the same read."""
    client.send("create_accounts", accounts([1]))
    client.send("logon", {"channel": "core", "key": KEY})
    client.send("create_accounts", accounts([2]))
    assert (await client.receive())["error"]["code"] == -32001
    assert (await client.receive())["result"]["channel"] == "core"
    assert statuses((await client.receive())["result"]) == ["created"]


async def test_permissions(client: Client) -> None:
    await log_on(client, "mobile")
    assert (await client.ask("create_accounts", accounts([1])))["error"]["code"] == -32002
    assert (await client.ask("update_accounts", []))["error"]["code"] == -32002
    assert (await client.ask("server_status"))["error"]["code"] == -32002
    assert (await client.ask("lookup_accounts", [1000]))["result"] == [None]
    await log_on(client, "core")
    assert statuses(await client.result("create_accounts", accounts([1]))) == ["created"]


async def test_scopes(server: Server, client: Client) -> None:
    """A channel neither moves nor sees what is outside its accounts; the engine holds that on every leg."""
    await log_on(client, "core")
    await client.result("create_accounts", accounts([1000, 1999, 3000, 2000, 5]))
    outside = transfer(2000, 5, 40, flags=["pending"])
    await client.result("create_transfers", [outside])
    async with await Client.connect(server.port) as mobile:
        await log_on(mobile, "mobile")
        results = await mobile.result(
            "create_transfers",
            [
                transfer(1000, 1999),
                transfer(1000, 3000),
                transfer(1000, 2000),
                transfer(5, 1000),
                transfer(2000, 5),
                {"id": transfer()["id"], "pending_id": outside["id"], "flags": ["post_pending_transfer"]},
            ],
        )
        assert statuses(results) == ["created", "created"] + ["not_permitted"] * 4
        assert [bool(one) for one in await mobile.result("lookup_accounts", [1000, 2000, 3000])] == [True, False, True]
        assert await mobile.result("lookup_transfers", [outside["id"]]) == [None]
        assert (await mobile.ask("get_account_transfers", {"account_id": 2000}))["error"]["code"] == -32002
        assert len(await mobile.result("query_accounts", {})) == 3


async def test_scopes_are_logged_once_and_changes_take_hold(tmp_path: Path, database: str) -> None:
    file = channels(tmp_path)

    async def run() -> tuple[int, list[tuple[int, int]]]:
        async with running(settings_for(tmp_path, database_url=database, channels=file)) as server:
            rows = [row async for row in server.journal.read(1) if row.kind == Kind.BATCH]
            return len(rows), server.engine.scope(7).tolist()

    assert await run() == (1, [(1000, 1999), (3000, 3000)])
    assert await run() == (1, [(1000, 1999), (3000, 3000)])
    file.write_text(file.read_text().replace('"1000-1999", 3000', "42"))
    assert await run() == (2, [(42, 42)])


async def test_signed_logons_and_their_replay(server: Server) -> None:
    now = time.time_ns()
    good = signed(now, "a-fresh-nonce")
    async with await Client.connect(server.port) as client:
        assert (await client.result("logon", good))["permissions"] == ["read"]
    async with await Client.connect(server.port) as client:
        assert (await client.ask("logon", good))["error"] == {"code": -32001, "message": "logon refused"}
    for number, params in enumerate(
        (signed(now - 31 * 10**9, "other-nonce-1"), good | {"nonce": "other-nonce-2"}, good | {"channel": "core"})
    ):
        async with await Client.connect(server.port) as client:
            assert (await client.ask("logon", params))["error"]["message"] == "logon refused", number


async def test_refusals_do_not_tell_whether_the_channel_exists(server: Server, client: Client) -> None:
    wrong, _ = generate_key()
    known = (await client.ask("logon", {"channel": "core", "key": wrong}))["error"]
    unknown = (await client.ask("logon", {"channel": "nobody", "key": wrong}))["error"]
    assert known == unknown


async def test_three_failures_end_a_connection(server: Server, client: Client) -> None:
    for _ in range(3):
        assert (await client.ask("logon", {"channel": "core", "key": "x"}))["error"]["code"] == -32001
    assert await client.receive() is None


async def test_an_address_with_too_many_failures_is_refused_unread(tmp_path: Path, database: str) -> None:
    settings = settings_for(tmp_path, database_url=database, channels=channels(tmp_path), logon_failures_max=4)
    async with running(settings) as server:
        for _ in range(2):
            async with await Client.connect(server.port) as client:
                await client.ask("logon", {"channel": "core", "key": "x"})
                await client.ask("logon", {"channel": "core", "key": "x"})
        async with await Client.connect(server.port) as client:
            reply = await log_on(client, "core")
            assert reply["error"] == {"code": -32001, "message": "logon refused"}
            assert await client.receive() is None
        assert server.metrics.logons == {"accepted": 0, "refused": 4, "throttled": 1, "channel_full": 0}


async def test_strings_for_64_bits(client: Client) -> None:
    await log_on(client, "core", int64="string")
    created = await client.ask("create_accounts", accounts([2**63 - 1]))
    assert isinstance(created["result"][0]["timestamp"], str)
    assert isinstance(created["seq"], str)
    assert (await client.result("lookup_accounts", ["9223372036854775807"]))[0]["id"] == "9223372036854775807"
    await log_on(client, "core")
    assert isinstance((await client.ask("ping"))["result"]["time"], int)


async def test_connections_of_a_channel(tmp_path: Path, database: str) -> None:
    more = f'[channels.atm]\nkey = "{STORED}"\nconnections_max = 2\npermissions = ["read"]'
    async with running(settings_for(tmp_path, database_url=database, channels=channels(tmp_path, more))) as server:
        first, second, third = [await Client.connect(server.port) for _ in range(3)]
        for client in (first, second, second):
            assert "result" in await log_on(client, "atm")
        reply = await log_on(third, "atm")
        assert reply["error"]["code"] == -32003
        assert await third.receive() is None
        await first.close()
        await asyncio.sleep(0.05)
        async with await Client.connect(server.port) as fourth:
            assert "result" in await log_on(fourth, "atm")
        for client in (second, third):
            await client.close()
