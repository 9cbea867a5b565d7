"""kill -9 in the middle of payments: of the office, and of the engine. Nothing is lost, nothing happens twice.

Clients behave as programs do: each payment has a key, and is sent again with it until there is an answer. Afterwards
every key is one payment, every balance is what the answers add up to, and books and office agree.
"""

import asyncio
import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select

from backoffice.access import users
from backoffice.api.app import PREFIX
from backoffice.cli import main
from backoffice.context import SYSTEM, Context
from backoffice.ledger.tables import posting_groups
from backoffice.payments.tables import payments
from backoffice.settings import Settings
from tests.backoffice.conftest import PASSWORD, Office
from tests.backoffice.payments.institution import account
from tests.server.serving.harness import ServerProcess

pytestmark = pytest.mark.crash
OPENING = 50_000


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Serving:
    """`tongbao-office serve` in a process of its own, always at the same address."""

    def __init__(self, settings: Settings, log: Path) -> None:
        self.port, self.log_path = free_port(), log
        self.environment = os.environ | {
            "OFFICE_DATABASE_URL": settings.database_url,
            "OFFICE_MASTER_KEY_FILE": settings.master_key_file, "OFFICE_ENGINE": settings.engine,
            "OFFICE_RATE_USER": "none",
            "OFFICE_RATE_ADDRESS": "none",
        }  # fmt: skip
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{PREFIX}"

    def start(self) -> None:
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "backoffice.cli", "serve", "--port", str(self.port)],
                env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        until = time.monotonic() + 60
        while time.monotonic() < until:
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(f"{self.url}/health").status_code == 200:
                    return
            assert self.process.poll() is None, self.log_path.read_text()
            time.sleep(0.05)
        raise AssertionError("not ready")

    def end(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)
        self.process.wait(60)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path / "data", port=free_port()) as process:
        process.start()
        yield process
        process.stop()


@pytest.fixture
async def prepared(
    office_dsn: str, key_file: Path, engine: ServerProcess, tmp_path: Path
) -> AsyncIterator[tuple[Office, Serving]]:
    office = Office(office_dsn, key_file, f"127.0.0.1:{engine.port}")
    await office.prepare()
    async with office.database.transaction() as connection:
        context = Context(connection, SYSTEM)
        await users.create(context, name="teller", full_name="Teller", roles=["teller"], password=PASSWORD)
    serving = Serving(office.settings, tmp_path / "office.log")
    yield office, serving
    if serving.process is not None and serving.process.poll() is None:
        serving.end(signal.SIGTERM)
    await office.client.aclose()
    await office.gateway.stop()
    await office.database.close()


class Load:
    """Transfers among accounts, each sent until it is answered."""

    def __init__(self, serving: Serving, rows: list[Any], orders: int, seed: int) -> None:
        rng = random.Random(seed)
        self.serving = serving
        self.bodies: dict[str, dict[str, Any]] = {}
        for number in range(orders):
            payer, payee = rng.sample(rows, 2)
            amount = {"amount": f"{rng.randrange(1, 30_000) / 100:.2f}"}
            body = {"from_account": payer["number"], "to_account": payee["number"], "amount": amount}
            self.bodies[f"order-{number}"] = body
        self.left = list(self.bodies)
        self.answers: dict[str, str] = {}
        self.lost = 0

    async def run(self, clients: int) -> None:
        await asyncio.gather(*(self._client() for _ in range(clients)))

    async def _client(self) -> None:
        async with httpx.AsyncClient(base_url=self.serving.url, timeout=30) as http:
            token = await self._log_on(http)
            while self.left:
                key = self.left.pop()
                while key not in self.answers:
                    headers = {"authorization": f"Bearer {token}", "idempotency-key": key}
                    try:
                        answer = await http.post("/payments/transfers", json=self.bodies[key], headers=headers)
                    except httpx.HTTPError:
                        self.lost += 1
                        await asyncio.sleep(0.1)
                        continue
                    if answer.status_code == 401:
                        token = await self._log_on(http)
                    elif answer.status_code in {500, 503}:  # the database or the engine is just away
                        await asyncio.sleep(0.1)
                    else:
                        assert answer.status_code == 201, answer.text
                        self.answers[key] = answer.json()["number"]

    async def _log_on(self, http: httpx.AsyncClient) -> str:
        while True:
            with contextlib.suppress(httpx.HTTPError):
                answer = await http.post("/sessions", json={"name": "teller", "password": PASSWORD})
                if answer.status_code == 201:
                    return str(answer.json()["token"])
            await asyncio.sleep(0.1)


@pytest.mark.parametrize(
    ("orders", "kills", "seed"),
    [(120, ["office", "engine", "office"], 1), pytest.param(1500, ["office", "engine"] * 6, 2, marks=pytest.mark.long)],
)
async def test_killed_under_load_nothing_is_lost_and_nothing_happens_twice(
    prepared: tuple[Office, Serving],
    engine: ServerProcess,
    capsys: pytest.CaptureFixture[str],
    orders: int,
    kills: list[str],
    seed: int,
) -> None:
    office, serving = prepared
    rows = [await account(office, OPENING) for _ in range(6)]
    await office.gateway.stop()
    rng = random.Random(seed)
    await asyncio.to_thread(serving.start)
    load = Load(serving, rows, orders, seed)
    work = asyncio.create_task(load.run(6))
    for number, victim in enumerate(kills, 1):
        while len(load.answers) < orders * number // (len(kills) + 1) and not work.done():
            await asyncio.sleep(0.01)
        await asyncio.sleep(rng.uniform(0, 0.05))
        if victim == "office":
            await asyncio.to_thread(serving.end, signal.SIGKILL)
            await asyncio.to_thread(serving.start)
        else:
            await asyncio.to_thread(engine.kill)
            await asyncio.to_thread(engine.start)
    await asyncio.wait_for(work, 300)
    assert load.lost > 0, "no kill met a request"
    assert len(set(load.answers.values())) == orders, "each key is one payment"
    async with asyncio.timeout(60):
        while await _planned(office):
            await asyncio.sleep(0.05)
    await asyncio.to_thread(serving.end, signal.SIGTERM)

    async with office.transaction() as context:
        query = select(payments).where(payments.c.kind == "transfer")
        made = {row.number: row for row in await context.connection.execute(query)}
    assert made.keys() == set(load.answers.values()), "nothing lost, nothing more"
    assert {row.state for row in made.values()} <= {"captured", "declined"}
    expected = {row["account_id"]: OPENING for row in rows}
    for row in made.values():
        if row.state == "captured":
            expected[row.from_account] -= row.captured_minor
            expected[row.to_account] += row.captured_minor
    office.gateway._client = None  # of before the kills
    views = await office.gateway.balances(list(expected))
    assert {number: view.balance for number, view in views.items()} == expected
    for key, number in load.answers.items():
        asked, row = load.bodies[key], made[number]
        assert row.ordered_minor == round(float(asked["amount"]["amount"]) * 100)
    arguments = ["reconcile", "--database-url", office.dsn, "--engine", office.settings.engine]
    code = await asyncio.to_thread(main, arguments)
    assert code == 0, capsys.readouterr().out
    arguments = ["audit", "verify", "--database-url", office.dsn]
    assert await asyncio.to_thread(main, arguments) == 0


async def _planned(office: Office) -> int:
    async with office.transaction() as context:
        query = select(func.count()).select_from(posting_groups).where(posting_groups.c.state == "planned")
        return int(await context.connection.scalar(query) or 0)
