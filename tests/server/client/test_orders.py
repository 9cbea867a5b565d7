"""Orders and subscriptions of both clients against a real server, over connections that break."""

import asyncio
import json
from collections.abc import Iterator

import pytest

from examples.local_server import LocalServer
from server.client import (
    Account,
    BlockingClient,
    Client,
    InvalidParams,
    Order,
    Replace,
    Status,
    Subscription,
    Transfer,
    uuid7,
)
from server.client.route import Route


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalServer]:
    with LocalServer(tmp_path_factory.mktemp("orders")) as server:
        with BlockingClient("127.0.0.1", server.port) as client:
            list_market(client)
        yield server


def list_market(client: BlockingClient) -> None:
    client.create_accounts([Account(n, 156, 1) for n in (41, 42, 43)] + [Account(n, 1, 1) for n in (51, 52, 53)])
    moves = [Transfer(uuid7(), 41, n, 10**12, 156, 1) for n in (42, 43)]
    moves += [Transfer(uuid7(), 51, n, 10**12, 1, 1) for n in (52, 53)]
    client.create_transfers(moves)
    listed = client.create_instruments(
        [
            {"instrument": name, "base_ledger": 1, "quote_ledger": 156, "profile": "crypto-spot"}
            for name in ("A", "B", "C")
        ]
    )
    assert [result.status for result in listed] == [Status.CREATED] * 3
    client.create_trading_accounts(
        [{"id": 7, "accounts": {"156": 42, "1": 52}}, {"id": 8, "accounts": {"156": 43, "1": 53}, "owner": "b"}]
    )


def order(account_id: int, side: str, quantity: int, price: int, instrument: str = "A") -> Order:
    return Order(uuid7(), account_id, instrument, side, "limit", quantity, price)


def test_every_method_of_the_blocking_client(server: LocalServer) -> None:
    with BlockingClient("127.0.0.1", server.port) as client:
        offer, bid = order(8, "sell", 30, 120), order(7, "buy", 10, 125)
        rests, takes = client.submit_orders([offer, bid])
        assert (rests.status, rests.accepted, takes.status) == ("new", True, "filled")
        [fill] = takes.fills
        assert (fill.price, fill.quantity, fill.fee) == (120, 10, 0)
        [again] = client.submit_orders([bid])
        assert (again.status, again.order_status, again.order_id) == ("exists", "filled", takes.order_id)
        book = client.get_book("A", depth=5)
        assert (book.bids, book.asks, book.last_price, book.session) == ([], [(120, 20, 1)], 120, "continuous")
        [replaced] = client.replace_orders([Replace(8, order_id=rests.order_id, quantity=15)])
        assert (replaced.status, replaced.leaves_quantity) == ("replaced", 5)
        [state] = client.get_orders(account_id=8, instrument="A", open_only=True)
        assert (state.client_order_id, state.leaves_quantity) == (offer.client_order_id, 5)
        [trade] = client.get_trades(instrument="A")
        assert (trade.price, trade.buy_account_id, trade.sell_account_id) == (120, 7, 8)
        kinds = [execution.kind for execution in client.get_executions(account_id=8, instrument="A")]
        assert kinds == ["new", "partially_filled", "replaced"]
        assert client.get_positions(account_id=7, instrument="A")[0].long_quantity == 10**12 + 10
        assert client.get_margin_calls() == []
        [canceled] = client.cancel_orders([Replace(8, client_order_id=offer.client_order_id)])
        assert canceled.status == "canceled"
        assert client.mass_cancel(account_id=8).canceled == 0
        [corrected] = client.correct_trades({trade.trade_id: 119})
        assert corrected.status == "corrected"
        [busted] = client.bust_trades([corrected.trade_id])
        assert busted.status == "busted"
        [changed] = client.update_instruments([{"instrument": "A", "reference_price": 100}])
        assert changed.status == Status.UPDATED
        assert client.set_session("A", "halted").status == "done"
        assert client.get_instruments(instrument="A")[0].session == "halted"
        assert client.set_session("A", "continuous").status == "done"
        with pytest.raises(InvalidParams, match=r"params\[0\]\.price: is missing"):
            client.submit_orders([Order(uuid7(), 7, "A", "buy", "limit", 1)])


async def test_a_subscription_goes_on_over_lost_connections(server: LocalServer) -> None:
    async with Client("127.0.0.1", server.port) as client:
        async with client.subscribe("executions", "trades:B", "book:B") as events:
            seen: list[int] = []
            trades: list[int] = []

            async def listen() -> None:
                async for event in events:
                    assert not event.gap
                    if event.method == "execution":
                        seen.append(event.params["exec_id"])
                    elif event.method == "trade":
                        trades.append(event.params["trade_id"])

            listening = asyncio.create_task(listen())
            first = (await client.submit_orders([order(8, "sell", 1, 100, "B")]))[0].timestamp
            for round_ in range(20):
                await client.submit_orders([order(7, "buy", 5, 100 + round_, "B"), order(8, "sell", 5, 90, "B")])
                if round_ % 6 == 3 and events._writer is not None:
                    events._writer.transport.abort()
            wanted = await client.get_executions(timestamp_min=first)
            async with asyncio.timeout(20):
                while len(seen) < len(wanted):
                    await asyncio.sleep(0.01)
            assert seen == [execution.exec_id for execution in wanted]
            assert trades == [trade.trade_id for trade in await client.get_trades(instrument="B", timestamp_min=first)]
            assert events.reconnects >= 1
            await events.close()
            await listening
        async with client.subscribe("executions", from_seq=wanted[3].seq) as events:
            async for event in events:
                assert event.params["exec_id"] <= wanted[3].exec_id
                break


async def test_each_topic_goes_on_from_where_it_was() -> None:
    """Topics catch up one after the other: cut in between, the second has had nothing of what the first has."""
    told = {7: [3, 9], 8: [2, 5]}
    """Entries of the log with an execution of an account."""
    asked: list[tuple[list[str], int]] = []
    over = asyncio.Semaphore(0)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first = not asked
        while line := await reader.readline():
            request = json.loads(line)
            topics, from_seq = request["params"]["topics"], request["params"]["from_seq"]
            asked.append((topics, from_seq))
            writer.write(json.dumps({"id": request["id"], "result": {"topics": topics}, "seq": 9}).encode() + b"\n")
            for topic in topics:
                account, prev_seq = int(topic.removeprefix("executions:")), from_seq - 1
                for seq in told[account]:
                    if seq >= from_seq:
                        params = {"exec_id": seq, "account_id": account, "seq": seq, "prev_seq": prev_seq}
                        writer.write(json.dumps({"method": "execution", "params": params}).encode() + b"\n")
                        prev_seq = seq
                if first:
                    break
            if first:
                break
        writer.close()
        await writer.wait_closed()
        over.release()

    async with asyncio.timeout(10), await asyncio.start_server(serve, "127.0.0.1", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        async with Subscription(Route("127.0.0.1", port), ["executions:7", "executions:8"], from_seq=1) as events:
            found = []
            async for event in events:
                assert not event.gap
                found.append(event.params["seq"])
                if len(found) == 4:
                    break
        for _ in range(2):
            await over.acquire()
    assert found == [3, 9, 2, 5]
    assert asked == [(["executions:7", "executions:8"], 1), (["executions:7"], 9), (["executions:8"], 1)]


async def test_a_subscription_that_is_refused(server: LocalServer) -> None:
    async with Client("127.0.0.1", server.port) as client:
        with pytest.raises(InvalidParams, match="there is no instrument NOPE"):
            async with client.subscribe("book:NOPE"):
                pass
        with pytest.raises(ValueError, match="asked for twice"):
            client.subscribe("executions", "executions:7")


async def test_several_accounts_and_a_book_of_some_depth(server: LocalServer) -> None:
    async with Client("127.0.0.1", server.port) as client:
        async with client.subscribe("executions:7", "executions:8", "book:C", depth=2) as events:
            await client.submit_orders([order(7, "buy", 1, 100 + n, "C") for n in range(4)])
            await client.submit_orders([order(8, "sell", 1, 200, "C")])
            levels: list[list[int]] = []
            found: set[int] = set()
            async for event in events:
                assert not event.gap
                if event.method == "book" and event.params["bids"]:
                    levels = event.params["bids"]
                if event.method == "execution":
                    found.add(event.params["account_id"])
                if found == {7, 8}:
                    break
            assert levels == [[103, 1, 1], [102, 1, 1]]
        await client.mass_cancel(instrument="C")


def test_limits_of_the_blocking_client(server: LocalServer) -> None:
    with BlockingClient("127.0.0.1", server.port) as client:
        items = [
            {"scope": "client", "id": "b", "open_orders": 5, "restricted": False},
            {"scope": "account", "id": 8, "instrument": "C", "position_long": 7},
            {"scope": "account", "id": 99, "max_quantity": 7},
        ]
        results = client.set_limits(items)
        assert [result.status for result in results] == ["limits_set", "limits_set", "trading_account_not_found"]
        assert [result.done for result in results] == [True, True, False]
        [person] = client.get_limits(scope="client", id="b")
        assert person.limits == {"open_orders": 5, "restricted": False}
        assert person.used is not None
        assert person.used.programme == []
        assert person.headroom == {"open_orders": 5 - person.used.open_orders}
        _, pair = client.get_limits(scope="account", id=8)
        assert (pair.instrument, pair.limits, pair.used) == ("C", {"position_long": 7}, None)
        client.set_limits([{"scope": "approval", "credit_limit": 6}, {"scope": "client", "id": "c", "credit_limit": 5}])
        [raised] = client.set_limits([{"scope": "client", "id": "c", "credit_limit": 9}])
        assert (raised.status, raised.done) == ("proposed", False)
        [proposal] = client.get_proposals(after=raised.proposal_id - 1)
        assert (proposal.limits, proposal.proposed_by, proposal.state) == ({"credit_limit": 9}, "dev", "open")
        assert [result.status for result in client.approve_limits({raised.proposal_id: False})] == ["declined"]
        stopped = client.kill_switch("client", "b", on=True)
        assert (stopped.status, stopped.canceled) == ("done", person.used.open_orders)
        assert client.kill_switch("client", "nobody", on=False).status == "done"
        client.set_limits(
            [
                {"scope": "client", "id": "b", "open_orders": None, "restricted": None, "kill_switch": None},
                {"scope": "account", "id": 8, "instrument": "C", "position_long": None},
            ]
        )
        assert client.get_limits(scope="client", id="b")[0].limits == {}


async def test_limits_of_the_asyncio_client(server: LocalServer) -> None:
    async with Client("127.0.0.1", server.port) as client:
        [result] = await client.set_limits([{"scope": "instrument", "id": "C", "max_quantity": 5}])
        assert result.done
        [state] = await client.get_limits(scope="instrument", id="C")
        assert (state.id, state.limits) == ("C", {"max_quantity": 5})
        [result] = await client.set_limits([{"scope": "instrument", "id": "C", "max_quantity": None}])
        assert (await client.kill_switch("instrument", "C", on=True)).status == "done"
        assert (await client.kill_switch("instrument", "C", on=False)).status == "done"
        [result] = await client.approve_limits({2**40: True})
        assert result.status == "proposal_not_found"
        assert await client.get_proposals(after=2**40) == []
        with pytest.raises(InvalidParams, match=r"params.id: there is no trading account 99"):
            await client.get_limits(scope="account", id=99)
