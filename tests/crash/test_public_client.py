"""The public client through kills: every order is answered once, and every execution told once, in order."""

import asyncio
import contextlib
import math
import socket
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

import msgspec
import pytest

from server.client import Client, Event, Order, OrderResult, Replace, Subscription
from tests.crash import views
from tests.crash.channel import Channel
from tests.crash.findings import Findings
from tests.crash.log import Log
from tests.crash.market import Market
from tests.crash.nemesis import ENDS_SERVER, Moment, Nemesis, Strike, Target
from tests.crash.processes import ServerProcess, StuckError
from tests.crash.run import SETTINGS, STARTS_MAX, set_up_market
from tests.crash.trading import ACCOUNTS, DESKS_FROM, SUBMITS, DeskWorkload

pytestmark = pytest.mark.crash

STRIKES = (
    Strike(Target.SERVER, Moment.LOAD, 0.3),
    Strike(Target.BOTH, Moment.COMMIT, 0.3),
    Strike(Target.SERVER, Moment.REPLY, 0.3),
    Strike(Target.POSTGRES, Moment.LOAD, 0.3),
    Strike(Target.BOTH, Moment.LOAD, 0.2),
    Strike(Target.PAUSE, Moment.LOAD, 0.02),
)
WORKERS = 12
"""Calls that are on their way at once."""
TOLD_SECONDS = 20.0

Answered = dict[tuple[int, UUID], OrderResult]


class Trader:
    """A program that uses the public client."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._workload = DeskWorkload(7, DESKS_FROM, 0)
        self._next = 0
        self.answered: Answered = {}
        self.canceled = 0
        self.stopping = False

    async def work(self) -> None:
        """Submit, and now and then cancel what was submitted."""
        while not self.stopping:
            n = self._next
            self._next += 1
            if self._workload.kind(n) in SUBMITS:
                orders = [order for order in self._workload.request(n).params if order["time_in_force"] != "gtd"]
                items = [Order(**order | {"client_order_id": UUID(order["client_order_id"])}) for order in orders]
                results = await self._client.submit_orders(items)
                for item, result in zip(items, results, strict=True):
                    self.answered.setdefault((item.account_id, item.client_order_id), result)
            elif self._workload.kind(n) == "cancel" and self.answered:
                account_id, client_order_id = Random(n).choice(list(self.answered))
                await self._client.cancel_orders([Replace(account_id, client_order_id=client_order_id)])
                self.canceled += 1
            await asyncio.sleep(0.005)


async def listen(subscription: Subscription, events: list[Event]) -> None:
    async for event in subscription:
        events.append(event)  # noqa: PERF401 - whoever waits for them looks at the list meanwhile


async def test_orders_and_executions_of_the_public_client(tmp_path: Path, template: Path) -> None:
    # A port that no connection is given by chance while the server is down.
    port = next(port for port in range(20_000 + Random().randrange(9_000), 30_000) if _free(port))
    server = ServerProcess(tmp_path, SETTINGS | {"port": port})
    server.adopt(template)
    nemesis = Nemesis(server, lambda _: None)
    try:
        server.start()
        await asyncio.to_thread(server.wait_ready)
        with Channel(port) as channel:
            set_up_market(channel)
        async with Client("127.0.0.1", port, deadline_s=math.inf) as client:
            trader = Trader(client)
            everything, by_account = list[Event](), list[Event]()
            mine = [f"executions:{account}" for account in ACCOUNTS[:3]]
            async with (
                client.subscribe("executions", from_seq=1) as one,
                client.subscribe(*mine, from_seq=1) as other,
            ):
                listening = [
                    asyncio.create_task(listen(one, everything)),
                    asyncio.create_task(listen(other, by_account)),
                ]
                working = [asyncio.create_task(trader.work()) for _ in range(WORKERS)]
                for strike in STRIKES:
                    await asyncio.sleep(0.2)
                    await asyncio.to_thread(nemesis.strike, strike)
                    if strike.target in ENDS_SERVER:
                        await asyncio.to_thread(_restart, server)
                await asyncio.sleep(0.5)
                trader.stopping = True
                async with asyncio.timeout(60):
                    await asyncio.gather(*working)
                findings, market = await asyncio.to_thread(_replayed, server)
                assert not len(findings), findings.report()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(TOLD_SECONDS):
                        while len(everything) < market.executions or len(by_account) < market.executions:
                            await asyncio.sleep(0.05)
                for task in listening:
                    task.cancel()
                assert one.reconnects >= 2
                assert client.resends > 0
            _check_answers(market, trader.answered)
            told = market.executions_after(0, market.executions)
            assert [_without_prev(event) for event in everything] == told
            for account in ACCOUNTS[:3]:
                ours = [_without_prev(event) for event in by_account if event.params["account_id"] == account]
                assert ours == [each for each in told if each["account_id"] == account]
            assert not any(event.gap for event in (*everything, *by_account))
            assert len(trader.answered) > 100
            assert trader.canceled > 0
        assert server.terminate() == 0
    finally:
        server.end()


def _restart(server: ServerProcess) -> None:
    for left in reversed(range(STARTS_MAX)):
        server.start()
        try:
            server.wait_ready()
        except StuckError:
            # What the kill has left may be in the way of one start, and not of all of them.
            if not left:
                raise
            server.kill()
        else:
            return


def _replayed(server: ServerProcess) -> tuple[Findings, Market]:
    findings = Findings()
    log = Log(lambda: server.cluster.dsn)
    market = Market(log.engine, findings)
    log.on_applied = market.applied
    log.advance(findings)
    market.compare(all_of_it=True)
    return findings, market


def _check_answers(market: Market, answered: Answered) -> None:
    """What the client was told at last is what the log says: of the first copy, or that it exists."""
    first: dict[tuple[int, int], dict[str, Any]] = {}
    for row in market.answers.values():
        for (method, items), shown in row.items():
            if method == "submit_orders":
                for results in shown:
                    for item, result in zip(items, results, strict=True):
                        first.setdefault((item.account_id, item.client_order_id), result)
    for (account_id, client_order_id), result in answered.items():
        there = first[account_id, views.number(str(client_order_id))]
        if result.status == "exists":
            assert (result.order_id, result.timestamp) == (there["order_id"], there["timestamp"])
        else:
            told = msgspec.to_builtins(result)
            assert {name: told[name] for name in there} == there


def _without_prev(event: Event) -> dict[str, Any]:
    return {name: value for name, value in event.params.items() if name != "prev_seq"}


def _free(port: int) -> bool:
    with socket.socket() as found:
        return found.connect_ex(("127.0.0.1", port)) != 0
