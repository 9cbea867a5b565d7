"""kill -9 of the office and of rails at random points: every payment ends, once, and the same on both sides."""

import asyncio
import json
import os
import random
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from backoffice.ledger import Gateway, agreement
from backoffice.ledger.gateway import client_for
from backoffice.payments.limits import day_of
from backoffice.rails import reconciliation, settlement
from backoffice.rails.adapters import name_at_rail
from backoffice.rails.simulator import RETURNED
from tests.backoffice.conftest import Office
from tests.backoffice.payments.institution import account
from tests.backoffice.rails.conftest import RailProcess
from tests.backoffice.rails.house import activate, all_payments, orders

BEGINNING = 10_000_000
SAME = {"captured": "captured", "reversed": "reversed", "voided": "voided", "declined": "declined"}
CODES = {"missing": 1, "unknown": 1, "amount": 1, "twice": 1}


class OfficeProcess:
    """The office as an operator runs it; killed and started again at the same address."""

    def __init__(self, office: Office, directory: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        self.log = directory / "office.log"
        self.environment = os.environ | {
            "OFFICE_DATABASE_URL": office.dsn, "OFFICE_ENGINE": office.settings.engine,
            "OFFICE_RAIL_KEYS": str(directory), "OFFICE_PORT": str(self.port), "OFFICE_RATE_USER": "none",
            "OFFICE_MASTER_KEY_FILE": office.settings.master_key_file,
        }  # fmt: skip
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/api/v1"

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "backoffice.cli", "serve"], env=self.environment, stdout=log, stderr=log
            )

    def kill(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None


async def insist(client: httpx.AsyncClient, url: str, body: dict[str, Any], headers: dict[str, str]) -> Any:
    """Ask again with the same key until there is an answer."""
    while True:
        try:
            response = await client.post(url, json=body, headers=headers)
        except httpx.HTTPError:
            await asyncio.sleep(0.1)
            continue
        if response.status_code == 201:
            return response.json()
        assert response.status_code in {409, 503}, response.text
        await asyncio.sleep(0.1)


async def insist_outside(rail: RailProcess, name: str, kind: str, minor: int, number: str) -> None:
    body = {"kind": kind, "name": name, "amount_minor": minor, "instrument": {"account": number}}
    while True:
        with suppress(httpx.HTTPError):
            response = await asyncio.to_thread(rail.ask, "POST", "/outside", json.dumps(body).encode(), 5.0)
            if response.status_code in {200, 409}:
                return
        await asyncio.sleep(0.1)


@pytest.mark.parametrize(
    ("kills", "each", "seed"),
    [(2, 6, 1), *(pytest.param(30, 60, seed, marks=pytest.mark.long) for seed in (2, 3))],
)
async def test_killed_at_random_points(
    bank: Office, rail_process: Any, tmp_path: Path, kills: int, each: int, seed: int
) -> None:
    chance = random.Random(seed)
    bank.time = datetime.now(UTC)
    await bank.add("teller", "teller")
    payer = await account(bank, BEGINNING)
    await bank.gateway.stop()  # from here on the killed process alone speaks to the ledger
    process = OfficeProcess(bank, tmp_path)
    faults = {
        "failures": 0.2, "duplicates": 0.3, "lost": 0.3, "delay": 0.05, "hang": 0.3, "seed": seed, "plant": list(CODES)
    }  # fmt: skip
    names = ("interbank", "card")
    rails = {
        name: await asyncio.to_thread(
            rail_process, name, callback=f"{process.url}/rails/{name}/callbacks", **faults
        )
        for name in names
    }  # fmt: skip
    for name, rail in rails.items():
        await activate(bank, name, rail.url)
    await asyncio.to_thread(process.start)
    headers = {"authorization": f"Bearer {bank.tokens['teller']}"}
    outside = {"name": "华中贸易", "account": "6222020000000000", "member": "102491000006"}

    async def pay(client: httpx.AsyncClient, number: int) -> None:
        minor = 1_000 * (number + 1) + chance.choice([0, 0, 0, 51, 68, 4])
        body = {
            "direction": "pay", "account": payer["number"], "outside": outside,
            "amount": {"amount": f"{minor // 100}.{minor % 100:02d}"},
        }  # fmt: skip
        await insist(
            client, f"{process.url}/rails/interbank/payments", body, headers | {"idempotency-key": f"k{number}"}
        )

    async def collect(number: int) -> None:
        minor = 1_000 * (number + 1) + chance.choice([0, 0, 17])
        kind = chance.choice(["debit", "debit", "credit"])
        await insist_outside(rails["card"], f"O{number}", kind, minor, payer["number"])

    async def kill() -> None:
        for _ in range(kills):
            await asyncio.sleep(chance.uniform(0.3, 1.5))
            victim = chance.choice([process, process, *rails.values()])
            await asyncio.to_thread(victim.kill)
            await asyncio.sleep(chance.uniform(0.0, 0.4))
            await asyncio.to_thread(victim.start)

    try:
        async with asyncio.timeout(600), httpx.AsyncClient(trust_env=False, timeout=10.0) as client:
            killing = asyncio.create_task(kill())
            for number in range(each):
                await asyncio.gather(pay(client, number), collect(number))
            await killing
            await until_same(bank, rails)
    except TimeoutError:
        pytest.fail(f"{await _left(bank, rails)}\n{process.log.read_text()[-3000:]}")
    finally:
        await asyncio.to_thread(process.kill)
    await judge(bank, rails, payer, each)


async def until_same(bank: Office, rails: dict[str, RailProcess]) -> None:
    while await _left(bank, rails):
        await asyncio.sleep(0.1)


async def _left(bank: Office, rails: dict[str, RailProcess]) -> list[Any]:
    """What is not yet the same on both sides, or still to be answered."""
    left: list[Any] = []
    for name, rail in rails.items():
        left += [row["reference"] for row in await orders(bank, name) if row["state"] not in {"done", "declined"}]
        book = await asyncio.to_thread(rail.book)
        rows = {name_at_rail(row): row for row in await all_payments(bank, name)}
        for key in book.keys() | rows.keys():
            there = book[key]["state"] if key in book else "voided"  # refused by the rail: the hold is given up
            here = rows[key]["state"] if key in rows else "declined"
            if there == "captured" and name == "interbank" and rows[key]["ordered_minor"] % 100 == RETURNED:
                left.append((name, key, "is still to be returned"))
            if here != SAME.get(there) or (key in rows and rows[key]["in_flight"] is not None):
                left.append((name, key, there, here))
    return left


async def judge(bank: Office, rails: dict[str, RailProcess], payer: Any, each: int) -> None:
    gateway = Gateway(bank.database, client_for(bank.settings))
    bank.app.state.office.gateway = gateway
    bank.time = datetime.now(UTC)
    try:
        rows = [row for name in rails for row in await all_payments(bank, name)]
        assert len([row for row in rows if row["rail"] == "interbank"]) == each, "each was made once"
        moved = {"captured": 1, "reversed": 0, "voided": 0, "declined": 0}
        net = sum(
            moved[row["state"]] * row["captured_minor"] * (-1 if row["from_account"] is not None else 1) for row in rows
        )
        fees = sum(row["fee_minor"] for row in rows if row["state"] == "captured")
        view = (await gateway.balances([payer["account_id"]]))[payer["account_id"]]
        assert (view.balance, view.debits_pending) == (BEGINNING + net - fees, 0)
        async with bank.transaction() as context:
            assert not await agreement.differences(context, gateway)
        for name, rail in rails.items():
            await _reconciled(bank, name, rail)
    finally:
        await gateway.stop()


async def _reconciled(bank: Office, name: str, rail: RailProcess) -> None:
    """The file finds exactly what was planted. Near midnight there are two days, each with its own."""
    now = datetime.now(UTC)
    days = sorted({day_of(now - timedelta(minutes=10)), day_of(now)})
    planted, found = 0, 0
    for day in days:
        content = (await asyncio.to_thread(rail.ask, "GET", f"/file?day={day}")).content
        planted += len((await asyncio.to_thread(rail.ask, "GET", f"/planted?day={day}")).json())
        async with bank.transaction() as context:
            report = await reconciliation.run(bank.app.state.office, context, name, day, content)
        found = report.differences
    async with bank.transaction() as context:
        list_ = await settlement.differences(context, name, "open", None, 50)
    assert found == planted > 0, list_
