"""Property: whatever an endpoint does, it has each event at least once, in order per account, signed."""

import asyncio
import base64
import hashlib
import hmac
import json
import os
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
from aiohttp import web

from server.cli.events import _webhooks
from server.events.hooks import Hook, read_hooks
from server.events.position import read_state
from server.events.webhooks import Webhook
from server.settings import SettingsError
from tests.server.events.harness import World, read_plainly
from tests.server.projection.worlds import Log, ledger_records, trading_records

SECRET = os.urandom(32)
Answer = Callable[[str, dict[str, Any]], Awaitable[int]]


class Endpoint:
    """An HTTP server that checks signatures and does what the test wants; 0 as an answer cuts the connection."""

    def __init__(self) -> None:
        self.accepted: list[tuple[str, dict[str, Any]]] = []
        """Id and document, in the order in which they were accepted."""
        self.requests = 0
        self.open = 0
        self.open_max = 0
        self.port = 0
        self._runner: web.AppRunner | None = None

        async def yes(_: str, __: dict[str, Any]) -> int:
            return 204

        self.answer: Answer = yes

    async def start(self, tls: ssl.SSLContext | None = None) -> None:
        application = web.Application()
        application.router.add_post("/hook", self._take)
        self._runner = web.AppRunner(application)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, ssl_context=tls)
        await site.start()
        assert site._server is not None
        self.port = site._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _take(self, request: web.Request) -> web.StreamResponse:
        self.requests += 1
        self.open += 1
        self.open_max = max(self.open_max, self.open)
        try:
            body = await request.read()
            name, at = request.headers["webhook-id"], request.headers["webhook-timestamp"]
            digest = hmac.digest(SECRET, name.encode() + b"." + at.encode() + b"." + body, hashlib.sha256)
            assert request.headers["webhook-signature"] == "v1," + base64.b64encode(digest).decode()
            assert request.headers["content-type"] == "application/json"
            document = json.loads(body)
            assert document["id"] == name
            status = await self.answer(name, document)
            if 200 <= status < 300 or status == 599:  # 599: it has taken it, and says it has not
                self.accepted.append((name, document))
            if status == 0:
                assert request.transport is not None
                request.transport.abort()
            return web.Response(status=status or 500)
        finally:
            self.open -= 1


@pytest.fixture
async def endpoint() -> AsyncIterator[Endpoint]:
    found = Endpoint()
    await found.start()
    yield found
    await found.stop()


def hook(endpoint: Endpoint, **values: Any) -> Hook:
    quick = {"retry_seconds_min": 0.002, "retry_seconds_max": 0.02, "timeout_seconds": 0.2, "requests_max": 8}
    return Hook(
        "test", f"http://127.0.0.1:{endpoint.port}/hook", "", secret=SECRET, **(quick | {"waiting_max": 50} | values)
    )


def accounts_of(document: dict[str, Any]) -> set[tuple[str, int]]:
    """Whom an event concerns, worked out in another way than the sender's."""
    data = document["data"]
    found = set()
    for member, value in data.items():
        if member in {"debit_account_id", "credit_account_id"}:
            found.add(("ledger", value))
        elif member in {"buy_account_id", "sell_account_id"}:
            found.add(("trading", value))
        elif member == "account_id":
            found.add(("ledger" if document["type"] == "balance" else "trading", value))
    return found


def place(name: str) -> tuple[int, int]:
    seq, index = name.split("-")
    return int(seq), int(index)


def in_order_per_account(accepted: list[tuple[str, dict[str, Any]]]) -> None:
    last: dict[tuple[str, int], tuple[int, int]] = {}
    seen = set()
    for name, document in accepted:
        if name in seen:
            continue
        seen.add(name)
        for account in accounts_of(document):
            assert last.get(account, (0, 0)) < place(name), (account, name)
            last[account] = place(name)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", ["ledger", "trading"])
async def test_at_least_once_in_order_per_account(endpoint: Endpoint, tmp_path: Path, kind: str, seed: int) -> None:
    records, limits = (trading_records if kind == "trading" else ledger_records)(f"hooks/{seed}", 60)
    log = Log(records)
    random = Random(seed)

    async def moody(_: str, __: dict[str, Any]) -> int:
        what = random.random()
        if what < 0.02:
            await asyncio.sleep(0.3)  # longer than the sender waits
        elif what < 0.3:
            await asyncio.sleep(0.002 * random.random())
        return random.choice([204] * 12 + [200, 500, 503, 302, 0, 599])

    endpoint.answer = moody
    made = hook(endpoint)
    world = World(log, limits, [Webhook(made, tmp_path)], tmp_path)
    world.start()
    while world.apply(random.choice([1, 4, 10])):
        await asyncio.sleep(random.choice([0, 0.01, 0.05]))
        what = random.random()
        if what < 0.2:
            await world.stop()
            world = World(log, limits, [Webhook(made, tmp_path)], tmp_path, at=world.recovered)
            world.start()
        elif what < 0.35:
            await endpoint.stop()
            await asyncio.sleep(0.02)
            await endpoint.start()
    await world.flushed()
    await world.stop()
    plain = read_plainly(log.rows, limits)
    expected = {name: json.loads(document) for items in plain.values() for name, document in items}
    assert dict(endpoint.accepted) == expected
    assert endpoint.requests > len(expected)
    in_order_per_account(endpoint.accepted)
    state = read_state(tmp_path / "test.json").mark
    assert state is not None
    assert state.seq == log.rows[-1].seq


async def test_one_account_does_not_hold_up_the_others(endpoint: Endpoint, tmp_path: Path) -> None:
    records, limits = ledger_records("hooks/stuck", 40)
    log = Log(records)
    plain = read_plainly(log.rows, limits)
    documents = [json.loads(document) for _, document in plain["balances"]]
    stuck = documents[0]["data"]["account_id"]
    first = documents[0]["id"]
    let_go = asyncio.Event()

    async def choosy(name: str, document: dict[str, Any]) -> int:
        return 500 if name == first and not let_go.is_set() else 204

    endpoint.answer = choosy
    made = hook(endpoint, kinds=("balances",), waiting_max=5_000)
    world = World(log, limits, [Webhook(made, tmp_path)], tmp_path)
    world.start()
    while world.apply(20):
        pass
    others = {item["id"] for item in documents if item["data"]["account_id"] != stuck}
    mine = [item["id"] for item in documents if item["data"]["account_id"] == stuck]
    assert len(others) > 20
    assert len(mine) > 2
    async with asyncio.timeout(10):
        while {name for name, _ in endpoint.accepted} != others:
            await asyncio.sleep(0.01)
    assert world.publishers[0].ailing
    let_go.set()
    await world.flushed()
    await world.stop()
    assert [name for name, document in endpoint.accepted if document["data"]["account_id"] == stuck] == mine


async def test_what_is_on_its_way_is_bounded(endpoint: Endpoint, tmp_path: Path) -> None:
    records, limits = ledger_records("hooks/stuck", 40)
    log = Log(records)
    let_go = asyncio.Event()

    async def slow(_: str, __: dict[str, Any]) -> int:
        await let_go.wait()
        return 204

    endpoint.answer = slow
    target = Webhook(
        hook(endpoint, timeout_seconds=60.0, requests_max=3, waiting_max=30, kinds=("balances",)), tmp_path
    )
    world = World(log, limits, [target], tmp_path, bytes_max=20_000)
    world.start()
    while world.apply(10):
        await asyncio.sleep(0.01)
    assert endpoint.open_max <= 3
    assert len(target._tasks) <= 30
    assert world.publishers[0].backlog.bytes <= 20_000
    let_go.set()
    await world.flushed()
    await world.stop()
    assert endpoint.open_max == 3
    plain = read_plainly(log.rows, limits)
    assert {name for name, _ in endpoint.accepted} == {name for name, _ in plain["balances"]}


async def test_dead_letters_and_an_endpoint_that_is_gone(endpoint: Endpoint, tmp_path: Path) -> None:
    records, limits = ledger_records("hooks/dead", 40)
    log = Log(records)
    plain = read_plainly(log.rows, limits)
    [unlucky, *_] = [name for name, _ in plain["transfers"]]

    async def refuses(name: str, _: dict[str, Any]) -> int:
        return 400 if name == unlucky else 204

    endpoint.answer = refuses
    made = hook(endpoint, kinds=("transfers",), give_up_seconds=0.05)
    target = Webhook(made, tmp_path)
    world = World(log, limits, [target], tmp_path)
    world.start()
    world.apply(1_000)
    await world.flushed()
    assert target.dead == 1
    assert {name for name, _ in endpoint.accepted} == {name for name, _ in plain["transfers"]} - {unlucky}
    [letter] = (tmp_path / "test.dead.jsonl").read_text("utf-8").splitlines()
    assert json.loads(letter)["event"]["id"] == unlucky
    assert json.loads(letter)["why"] == "HTTP 400"
    assert b'tongbao_events_dead_total{target="webhook:test"} 1.0' in world.metrics.exposition()
    await world.stop()

    # Gone for good: nothing more is sent, and it is there to see.
    async def gone(_: str, __: dict[str, Any]) -> int:
        return 410

    endpoint.answer = gone
    (tmp_path / "gone" / "webhooks").mkdir(parents=True)
    target = Webhook(hook(endpoint), tmp_path / "gone" / "webhooks")
    world = World(log, limits, [target], tmp_path)
    world.start()
    world.apply(1_000)
    async with asyncio.timeout(10):
        while "410" not in (target.trouble or ""):
            await asyncio.sleep(0.01)
    [shown] = _webhooks(tmp_path / "gone")
    assert shown == "webhook:test"
    assert "410" in _webhooks(tmp_path / "gone")[shown]["disabled"]
    before = endpoint.requests
    await asyncio.sleep(0.1)
    assert endpoint.requests == before
    assert world.publishers[0].ailing
    await world.stop()
    # Started again it is tried again.
    endpoint.answer = refuses
    world = World(
        log, limits, [Webhook(hook(endpoint, give_up_seconds=0.05), tmp_path / "gone" / "webhooks")], tmp_path
    )
    world.start()
    world.apply(1_000)
    await world.flushed()
    await world.stop()


async def test_only_those_that_it_asks_for(endpoint: Endpoint, tmp_path: Path) -> None:
    records, limits = trading_records("hooks/filter", 80)
    log = Log(records)
    plain = read_plainly(log.rows, limits)
    [trader, *_] = [json.loads(document)["data"]["account_id"] for _, document in plain["executions"]]
    [account, *_] = [json.loads(document)["data"]["account_id"] for _, document in plain["balances"]]
    made = hook(endpoint, kinds=("executions", "balances", "trades"), accounts=(account,), trading_accounts=(trader,))
    world = World(log, limits, [Webhook(made, tmp_path)], tmp_path)
    world.start()
    world.apply(1_000)
    await world.flushed()
    await world.stop()
    expected = {
        name
        for kind in ("executions", "balances", "trades")
        for name, document in plain[kind]
        if accounts_of(json.loads(document)) & {("ledger", account), ("trading", trader)}
    }
    assert {name for name, _ in endpoint.accepted} == expected
    assert 0 < len(expected) < sum(map(len, plain.values()))


async def test_a_certificate_that_nobody_vouches_for(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(  # noqa: ASYNC221 - nothing else is going on
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate, key)
    endpoint = Endpoint()
    await endpoint.start(tls)
    try:
        records, limits = ledger_records("hooks/tls", 20)
        log = Log(records)
        base = {"url": f"https://127.0.0.1:{endpoint.port}/hook", "secret_variable": "", "secret": SECRET}
        quick = {"retry_seconds_min": 0.002, "retry_seconds_max": 0.02}
        world = World(log, limits, [Webhook(Hook(name="bad", **base, **quick), tmp_path)], tmp_path)
        world.start()
        world.apply(100)
        await asyncio.sleep(0.3)
        assert world.publishers[0].ailing
        assert endpoint.requests == 0
        await world.stop()
        good = Hook(name="good", ca=str(certificate), **base, **quick)
        world = World(log, limits, [Webhook(good, tmp_path)], tmp_path)
        world.start()
        world.apply(100)
        await world.flushed()
        await world.stop()
        assert endpoint.requests > 0
    finally:
        await endpoint.stop()


GOOD = '[[webhook]]\nname = "one"\nurl = "https://example.com/x"\nsecret_variable = "KEY"\n'
KEY = "whsec_" + base64.b64encode(SECRET).decode()


def test_the_file(tmp_path: Path) -> None:
    path = tmp_path / "hooks.toml"
    path.write_text(GOOD + 'kinds = ["alerts"]\naccounts = [7]\ndesks = ["fx"]\ntimeout_seconds = 3\n', "utf-8")
    [found] = read_hooks(path, {"KEY": KEY})
    assert found == Hook("one", "https://example.com/x", "KEY", ("alerts",), (7,), desks=("fx",), timeout_seconds=3.0,
                         secret=SECRET)  # fmt: skip


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "there is no"),
        ("[[webhook", "webhooks: "),
        ("[other]\n", "other: is not known"),
        (GOOD + "colour = 1\n", r"webhook\[0\].colour: is not known"),
        (GOOD.replace("name", "url", 1).replace('url = "https', 'name = "https'), r"webhook\[0\].name: is not made"),
        (GOOD.replace('name = "one"\n', ""), r"webhook\[0\].name: is missing"),
        (GOOD.replace("https", "http"), "http is for this machine"),
        (GOOD.replace("https", "ftp"), r"\.url: is not https"),
        (GOOD + 'kinds = ["weather"]\n', "'weather' is none of"),
        (GOOD + "accounts = [true]\n", "accounts: is not a list of integers"),
        (GOOD + "timeout_seconds = 0\n", "timeout_seconds: is not a positive number"),
        (GOOD + "requests_max = 1.5\n", "requests_max: is not a positive integer"),
        (GOOD + 'ca = "/nowhere.pem"\n', "ca: /nowhere.pem is not there"),
        (GOOD + "retry_seconds_max = 0.5\n", "retry_seconds_max: is less"),
        (GOOD.replace("KEY", "OTHER"), "OTHER is not set"),
        (GOOD.replace("KEY", "SHORT"), "holds 3 bytes"),
        (GOOD.replace("KEY", "BAD"), "is not whsec_ and base64"),
        (GOOD + GOOD, r"webhook\[1\].name: one is taken"),
    ],
)
def test_a_file_with_a_mistake(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "hooks.toml"
    path.write_text(text, "utf-8")
    with pytest.raises(SettingsError, match=words):
        read_hooks(path, {"KEY": KEY, "SHORT": "whsec_" + base64.b64encode(b"abc").decode(), "BAD": "whsec_!"})
