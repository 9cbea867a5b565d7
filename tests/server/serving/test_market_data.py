"""Subscriptions: what is told adds up to what can be read, in order, after the commit, also to slow readers."""

import asyncio
import itertools
import json
import random
import time
from pathlib import Path
from typing import Any

import pytest

from engine import Batch, Engine
from server import wire
from server.feed import Feed, TopicError
from server.lifecycle import Server
from server.metrics import Metrics
from tests.server.serving.harness import Client, running, settings_for, stalled, until
from tests.server.serving.test_orders import CASH, DESKS, SHARES, channels, connect, list_market, order

__all__ = ["channels"]

SYMBOL = "600519"


class Book:
    """What a client makes of a book topic."""

    def __init__(self) -> None:
        self.sides: dict[str, dict[int, tuple[int, int]]] = {"bids": {}, "asks": {}}
        self.seq = -1
        self.updates = 0

    def take(self, params: dict[str, Any]) -> None:
        if params.get("snapshot"):
            self.sides = {"bids": {}, "asks": {}}
        else:
            assert params["prev_seq"] == self.seq
            self.updates += 1
        assert params["seq"] >= self.seq
        self.seq = params["seq"]
        for side, levels in self.sides.items():
            for price, quantity, count in params[side]:
                if quantity:
                    levels[price] = (quantity, count)
                else:
                    del levels[price]

    def told(self) -> dict[str, list[list[int]]]:
        bids = sorted(self.sides["bids"].items(), reverse=True)
        return {
            "bids": [[price, *level] for price, level in bids],
            "asks": [[price, *level] for price, level in sorted(self.sides["asks"].items())],
        }


def flow(source: random.Random, count: int, **members: Any) -> list[dict[str, Any]]:
    return [
        order(
            source.choice(DESKS),
            source.choice(["buy", "sell"]),
            100 * source.randrange(1, 5),
            1_500 + source.randrange(-10, 11),
            **members,
        )
        for _ in range(count)
    ]


# --- a real server ----------------------------------------------------------------------------------------------------


async def test_books_and_trades_add_up(server: Server, client: Client) -> None:
    await list_market(client)
    source = random.Random(3)
    await client.result("submit_orders", flow(source, 20))
    async with await Client.connect(server.port) as watcher:
        topics = [f"{kind}:{SYMBOL}" for kind in ("book", "bbo", "orders", "trades", "auction")]
        assert (await watcher.result("subscribe", {"topics": topics}))["topics"] == topics
        started = (await client.ask("ping"))["seq"]
        for step in range(30):
            if step % 7 == 6:
                await client.result("mass_cancel", {"account_id": source.choice(DESKS), "side": "buy"})
            else:
                await client.result("submit_orders", flow(source, 5, display_quantity=100 if step % 3 else 0))
        book = await client.result("get_book", {"instrument": SYMBOL})
        trades = await client.result("get_trades", {"from_seq": started + 1})
        open_orders = await client.result("get_orders", {"instrument": SYMBOL, "open_only": True})
        number = watcher.send("ping")
        seen: dict[str, list[Any]] = {kind: [] for kind in ("book", "bbo", "orders", "trade", "auction")}
        while (line := await watcher.receive()).get("id") != number:
            seen[line["method"]].append(line["params"])
        made = Book()
        for params in seen["book"]:
            made.take(params)
        assert made.told() == {"bids": book["bids"], "asks": book["asks"]}
        assert made.updates > 20
        for kind in seen.values():
            for one, other in itertools.pairwise(kind):
                assert other["prev_seq"] == one["seq"]
        top = seen["bbo"][-1]
        assert [top["bid"], top["ask"]] == [side[0] if side else None for side in (book["bids"], book["asks"])]
        assert [trade["trade_id"] for trade in seen["trade"]] == [trade["trade_id"] for trade in trades]
        assert all("buy_account_id" not in trade for trade in seen["trade"])
        left: dict[int, Any] = {}
        for params in seen["orders"]:
            for entry in params["orders"]:
                left[entry["order_id"]] = entry
        visible = {number: entry["quantity"] for number, entry in left.items() if entry["quantity"]}
        assert visible == {row["order_id"]: row["visible_quantity"] for row in open_orders}
        assert len(seen["auction"]) == 1


async def test_an_auction_is_told_while_it_gathers(server: Server, client: Client) -> None:
    await list_market(client, session="auction", reference_price=1_500)
    await client.result("subscribe", {"topics": [f"auction:{SYMBOL}"]})
    first = await client.receive()
    assert first["params"]["session"] == "auction"
    client.send("submit_orders", [order(7001, "buy", 100, 1_510), order(7002, "sell", 200, 1_490)])
    _, [told] = await receive_until(client, 1)
    assert (told["params"]["indicative_price"], told["params"]["indicative_quantity"]) == (1_500, 100)
    client.send("set_session", {"instrument": SYMBOL, "state": "continuous"})
    _, [told] = await receive_until(client, 1)
    assert (told["params"]["session"], told["params"]["indicative_quantity"]) == ("continuous", 0)


@pytest.mark.parametrize("reads", [False, True])
async def test_an_expiry_that_nothing_was_written_with_is_told(server: Server, client: Client, *, reads: bool) -> None:
    """Ticks expire orders, alone or before reads of the same batch; subscribers hear of it as of everything else."""
    await list_market(client)
    topics = ["executions", f"orders:{SYMBOL}", f"book:{SYMBOL}"]
    await client.result("subscribe", {"topics": topics})
    until = time.time_ns() + 300_000_000
    bid = order(7001, "buy", 100, 1_400, time_in_force="gtd", expire_time=until)
    async with await Client.connect(server.port) as other:
        [placed] = await other.result("submit_orders", [bid])
        while reads and time.time_ns() < until + 200_000_000:
            await other.result("get_positions", {})
    told: dict[str, Any] = {}
    while told.get("execution", {}).get("kind") != "expired" or told["orders"]["seq"] != told["execution"]["seq"]:
        line = await client.receive()
        told[line["method"]] = line["params"]
    execution = told["execution"]
    assert (execution["order_id"], execution["status"], execution["leaves_qty"]) == (placed["order_id"], "expired", 0)
    assert [(each["order_id"], each["quantity"]) for each in told["orders"]["orders"]] == [(placed["order_id"], 0)]
    assert server.metrics.batches["tick"] == 1


async def receive_until(client: Client, notifications: int) -> tuple[Any, list[Any]]:
    """One reply and so many notifications, in any order."""
    reply, told = None, []
    while reply is None or len(told) < notifications:
        line = await client.receive()
        if "method" in line:
            told.append(line)
        else:
            reply = line
    return reply, told


async def test_executions_go_to_their_owner_and_are_replayed_after_a_reconnect(
    tmp_path: Path, database: str, channels: Path
) -> None:
    settings = settings_for(tmp_path, database_url=database, channels=channels)
    async with running(settings) as server:
        house, desk, narrow = [await connect(server, name) for name in ("house", "desk", "narrow")]
        await list_market(house)
        await desk.result("subscribe", {"topics": ["executions", "executions:7002"]})
        await narrow.result("subscribe", {"topics": ["executions"]})
        begin = (await house.ask("ping"))["seq"]
        for round_ in range(5):
            orders = [order(7001, "buy", 100, 1_500 + round_), order(7002, "sell", 100, 1_500)]
            desk.send("submit_orders", orders)
        _, told = await receive_all(desk, 5, 5 * 6)
        _, few = await receive_all(narrow, 0, 5 * 2)
        of_all = [line["params"] for line in told if line["params"]["account_id"] == 7001]
        assert {line["params"]["account_id"] for line in few} == {7001}
        assert [line["params"] | {"prev_seq": 0} for line in few] == [line | {"prev_seq": 0} for line in of_all]
        assert few[0]["params"]["prev_seq"] == begin
        for one, other in itertools.pairwise(few):
            assert other["params"]["prev_seq"] == one["params"]["seq"]
        half = of_all[4]["seq"]
        await narrow.close()
        again = await connect(server, "narrow")
        await again.result("subscribe", {"topics": ["executions:7001"], "from_seq": half})
        wanted = [line["exec_id"] for line in of_all if line["seq"] >= half]
        _, replay = await receive_all(again, 0, len(wanted))
        assert [line["params"]["exec_id"] for line in replay] == wanted
        assert replay[0]["params"]["prev_seq"] == half - 1
        reply = await again.ask("subscribe", {"topics": [f"book:{SYMBOL}"]})
        assert reply["error"]["code"] == -32002
        for client in (house, desk, again):
            await client.close()


async def receive_all(client: Client, replies: int, notifications: int) -> tuple[list[Any], list[Any]]:
    found: list[Any] = []
    told: list[Any] = []
    while len(found) < replies or len(told) < notifications:
        line = await client.receive()
        (told if "method" in line else found).append(line)
    assert (len(found), len(told)) == (replies, notifications)
    return found, told


async def test_nothing_is_told_before_the_commit(data_dir: Path) -> None:
    async with running(settings_for(data_dir)) as server, await Client.connect(server.port) as client:
        await list_market(client)
        async with await Client.connect(server.port) as watcher:
            await watcher.result("subscribe", {"topics": [f"book:{SYMBOL}", "executions"]})
            await watcher.receive()
            assert server.postgres is not None
            with stalled(server.postgres):
                client.send("submit_orders", [order(7001, "buy", 100, 1_500)])
                await until(lambda: server.engine.orders == 1)
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.3):
                        await watcher.reader.readline()
            assert (await watcher.receive())["params"]["kind"] == "new"
            assert (await watcher.receive())["params"]["bids"] == [[1_500, 100, 1]]


async def test_topics_that_are_none(client: Client) -> None:
    for topics, message in (
        (["weather"], "params.topics[0]: 'weather' is not a topic"),
        (["executions", "book"], "params.topics[1]: 'book' is not a topic"),
        (["book:NOPE"], "params.topics[0]: there is no instrument NOPE"),
        (["book:\u00e9"], "params.topics[0]: there is no instrument \u00e9"),
        (["executions:0"], "params.topics[0]: '0' is not a trading account"),
    ):
        reply = await client.ask("subscribe", {"topics": topics})
        assert reply["error"] == {"code": -32602, "message": message}
    assert await client.result("unsubscribe", {"topics": ["weather"]}) == {"topics": []}


# --- the feed by itself: readers that stop reading --------------------------------------------------------------------


class Reader:
    """A connection without a socket."""

    def __init__(self) -> None:
        self.slow = False
        self.lines: list[Any] = []

    def notify(self, data: bytes) -> None:
        self.lines += map(json.loads, data.splitlines())

    def take(self) -> list[Any]:
        lines, self.lines = self.lines, []
        return lines


class World:
    """An engine, a feed, and requests as lines."""

    def __init__(self) -> None:
        self.engine = Engine()
        self.feed = Feed(self.engine, Metrics())
        self.parser = wire.Parser()
        self.parser.allow(wire.METHODS_ALL, 0, logged_on=True, int64_strings=False)
        self.seq = 0

    def ask(self, method: str, params: Any) -> Any:
        batch = Batch()
        self.parser.feed(json.dumps({"id": 1, "method": method, "params": params}).encode() + b"\n")
        assert self.parser.parse(batch, 1) == wire.IDLE
        reads = method.startswith("get_")
        self.seq += not reads
        self.engine.apply(batch, self.seq * 1_000_000)
        [(_, text)] = wire.encode(batch, self.seq, 0)
        self.feed.publish(batch, self.seq, logged=not reads)
        return json.loads(text)["result"]

    def watch(self, reader: Reader, *topics: str, from_seq: int | None = None, depth: int | None = None) -> None:
        everything = ("trade", "market_data")
        self.feed.subscribe(
            reader, list(topics), permissions=everything, scope=0, quoted=False, from_seq=from_seq, depth=depth
        )
        self.feed.publish(Batch(), self.seq, logged=False)


@pytest.fixture
def world() -> World:
    world = World()
    world.ask("create_accounts", [{"id": 1, "ledger": CASH, "code": 1}, {"id": 2, "ledger": SHARES, "code": 1}])
    terms = {"instrument": SYMBOL, "base_ledger": SHARES, "quote_ledger": CASH, "tick_size": 1, "lot_size": 100}
    world.ask("create_instruments", [terms, terms | {"instrument": "OTHER"}])
    for index, desk in enumerate(DESKS):
        made = [{"id": 1001 + index, "ledger": CASH, "code": 1}, {"id": 5001 + index, "ledger": SHARES, "code": 1}]
        world.ask("create_accounts", made)
        for source, account, ledger in ((1, 1001 + index, CASH), (2, 5001 + index, SHARES)):
            world.ask(
                "create_transfers",
                [
                    {
                        "id": f"{account:032x}",
                        "debit_account_id": source,
                        "credit_account_id": account,
                        "amount": 10**12,
                        "ledger": ledger,
                        "code": 1,
                    }
                ],
            )
        links = {str(CASH): 1001 + index, str(SHARES): 5001 + index}
        world.ask("create_trading_accounts", [{"id": desk, "accounts": links}])
    return world


@pytest.mark.parametrize("depth", [None, 3])
def test_a_slow_reader_gets_one_update_that_spans_what_it_missed(world: World, depth: int | None) -> None:
    source = random.Random(4)
    quick, slow = Reader(), Reader()
    topic = f"book:{SYMBOL}"
    for reader in (quick, slow):
        world.watch(reader, topic, depth=depth)
    books = Book(), Book()
    for round_ in range(40):
        slow.slow = round_ % 10 > 3
        world.ask("submit_orders", flow(source, 5))
        if round_ % 10 == 9:
            slow.slow = False
            world.feed.resumed(slow)
        for reader, book in zip((quick, slow), books, strict=True):
            for line in reader.take():
                book.take(line["params"])
        if not slow.slow:
            assert books[0].told() == books[1].told()
            assert books[0].seq == books[1].seq
    wanted = world.ask("get_book", {"instrument": SYMBOL} | ({} if depth is None else {"depth": depth}))
    assert books[1].told() == {"bids": wanted["bids"], "asks": wanted["asks"]}
    assert books[1].updates < books[0].updates


def test_executions_and_trades_are_never_left_out(world: World) -> None:
    source = random.Random(5)
    quick, slow = Reader(), Reader()
    for reader in (quick, slow):
        world.watch(reader, "executions", f"trades:{SYMBOL}")
    told: dict[int, list[Any]] = {id(quick): [], id(slow): []}
    for round_ in range(60):
        slow.slow = round_ % 20 > 5
        world.ask("submit_orders", flow(source, 40))
        world.ask("submit_orders", flow(source, 1, instrument="OTHER"))
        if round_ % 20 == 19:
            slow.slow = False
            world.feed.resumed(slow)
        for reader in (quick, slow):
            told[id(reader)] += reader.take()
    for name in ("execution", "trade"):
        one, other = (
            [line["params"] for line in told[id(reader)] if line["method"] == name] for reader in (quick, slow)
        )
        assert one == other
        assert len(one) > 500
        for before, after in itertools.pairwise(one):
            assert after["prev_seq"] == before["seq"]
    late = Reader()
    world.watch(late, "executions", from_seq=1)
    executions = [line["params"] for line in told[id(quick)] if line["method"] == "execution"]
    assert [line["params"] | {"prev_seq": 0} for line in late.take()] == [row | {"prev_seq": 0} for row in executions]


def test_a_busted_and_a_corrected_trade_are_told(world: World) -> None:
    reader = Reader()
    world.watch(reader, f"trades:{SYMBOL}", f"orders:{SYMBOL}")
    reader.take()
    world.ask("submit_orders", [order(7001, "buy", 100, 1_500), order(7002, "sell", 300, 1_500)])
    [orders, first] = reader.take()
    assert (first["params"]["trade_id"], first["params"]["state"]) == (1, "done")
    [entry] = orders["params"]["orders"]
    assert (entry["order_id"], entry["side"], entry["quantity"]) == (2, "sell", 200)
    world.ask("correct_trades", [{"trade_id": 1, "price": 1_499}])
    [corrected] = reader.take()
    assert (corrected["params"]["trade_id"], corrected["params"]["corrects"]) == (2, 1)
    world.ask("bust_trades", [{"trade_id": 2}])
    [busted] = reader.take()
    assert (busted["params"]["trade_id"], busted["params"]["state"]) == (2, "busted")
    assert busted["params"]["prev_seq"] == corrected["params"]["seq"]


def test_whoever_leaves_is_forgotten(world: World) -> None:
    one, other = Reader(), Reader()
    world.watch(one, f"book:{SYMBOL}", "executions")
    world.watch(other, f"book:{SYMBOL}", depth=2)
    assert world.feed.subscriptions == 3
    world.feed.forget(one)
    world.ask("submit_orders", [order(7001, "buy", 100, 1_500)])
    assert [line["method"] for line in one.take()] == ["book"]
    assert [line["method"] for line in other.take()] == ["book", "book"]
    assert world.feed.unsubscribe(other, [f"book:{SYMBOL}", "book:OTHER"]) == []
    assert not world.feed.active
    with pytest.raises(TopicError, match="more than 1024 topics"):
        world.watch(other, *[f"executions:{number}" for number in range(1, 1_026)])
    assert not world.feed.active
