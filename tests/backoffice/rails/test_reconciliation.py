"""A rail's day against the ledger: exactly what was planted is found, once, and two persons set it right."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select, update

from backoffice.cases.tables import cases
from backoffice.cli import main
from backoffice.ledger import own
from backoffice.ledger.chart import own_account
from backoffice.ledger.tables import posting_groups, postings
from backoffice.payments.limits import day_of
from backoffice.payments.railfile import Format, RailItem, read, write
from backoffice.payments.tables import payments
from backoffice.problems import Problem
from backoffice.rails import reconciliation
from backoffice.rails.tables import rail_differences, rail_items, rail_matches
from server.client import Account, Transfer, uuid7
from tests.backoffice.conftest import Office
from tests.backoffice.payments.institution import account, pay
from tests.backoffice.rails.house import activate, serving, until
from tests.backoffice.rails.test_adapters import ended, out

FOUND = {"missing": "not_at_rail", "unknown": "not_in_ledger", "amount": "amount", "twice": "not_in_ledger"}


@pytest.fixture
async def house(bank: Office, tmp_path: Path) -> AsyncIterator[tuple[Office, str]]:
    bank.time = datetime.now(UTC)
    async with serving(bank, tmp_path) as address:
        await bank.add("ops", "operations")
        await bank.add("risk", "risk_officer")
        yield bank, address


async def paid(house: tuple[Office, str], rail_here: Any, count: int, **flags: Any) -> tuple[Any, list[str]]:
    """A wallet rail with some payments that are through."""
    office, address = house
    process = await rail_here("wallet", callback=f"{address}/wallet/callbacks", delay=0.01, **flags
    )  # fmt: skip
    await activate(office, "wallet", process.url)
    payer = await account(office, 1_000_000)
    numbers = [(await pay(office, out(payer, "wallet", 1_000 + 100 * n)))["number"] for n in range(count)]

    async def done() -> bool:
        return all([await ended(office, number) for number in numbers])

    await until(office, "wallet", done)
    return process, numbers


def today(process: Any) -> date:
    """The day on which the rail has settled: at midnight in China a test may see two."""
    lines = [json.loads(line) for line in (process.directory / "wallet.jsonl").read_text().splitlines()]
    return day_of(datetime.fromisoformat(lines[0]["at"]))


async def balance_of(office: Office, number: int) -> int:
    view = (await office.gateway.balances([number])).get(number)
    return view.credits_posted - view.debits_posted if view else 0


async def reconcile(office: Office, day: date) -> Any:
    response = await office.ask("ops", "POST", "/rails/wallet/reconciliations", {"day": str(day)})
    assert response.status_code == 200, response.text
    return response.json()


async def approve(office: Office, approval_id: int) -> None:
    path = f"/approvals/{approval_id}/decision"
    assert (await office.ask("ops", "POST", path, {"approve": True})).status_code == 409, "who asks does not decide"
    assert (await office.ask("risk", "POST", path, {"approve": True})).status_code == 200


async def eventually(check: Any) -> None:
    async with asyncio.timeout(20):
        while not await check():
            await asyncio.sleep(0.05)


async def test_nothing_false_nothing_found_and_the_net_is_settled(house: tuple[Office, str], rail_here: Any) -> None:
    office, _ = house
    process, numbers = await paid(house, rail_here, 4)
    day = today(process)
    first = await reconcile(office, day)
    assert (first["rows"], first["matched"], first["differences"], first["new_file"]) == (4, 4, 0, True)
    again = await reconcile(office, day)
    assert (again["matched"], again["found"], again["new_file"]) == (0, 0, False)

    settlement = own_account(3001, 156, 12)
    assert await balance_of(office, settlement) == 4_600
    asked = await office.ask("ops", "POST", "/rails/wallet/settlements", {"day": str(day)})
    assert asked.status_code == 202
    refused = await office.ask("ops", "POST", "/rails/wallet/settlements", {"day": str(day)})
    assert (refused.status_code, refused.json()["code"]) == (409, "exists")
    await approve(office, asked.json()[0]["approval_id"])

    async def posted() -> bool:
        rows = (await office.ask("ops", "GET", "/rails/wallet/settlements")).json()["items"]
        return bool(rows[0]["state"] == "posted")

    await eventually(posted)
    fees = sum(round(minor * 0.006) for minor in (1_000, 1_100, 1_200, 1_300))
    assert [await balance_of(office, own_account(code, 156)) for code in (1011, 6421)] == [4_600 + fees, -fees]
    assert await balance_of(office, settlement) == 0
    after = await reconcile(office, day)
    assert (after["found"], after["differences"]) == (0, 0), "the settlement itself is no item"
    assert len(numbers) == 4


async def test_exactly_what_was_planted(house: tuple[Office, str], rail_here: Any) -> None:
    """And a second run makes nothing double; corrections by two persons empty the list and the account."""
    office, _ = house
    process, _ = await paid(house, rail_here, 6, plant=["missing", "unknown", "amount", "twice"])
    day = today(process)
    planted = (await asyncio.to_thread(process.ask, "GET", f"/planted?day={day}")).json()
    first = await reconcile(office, day)
    assert (first["found"], first["differences"], first["matched"]) == (4, 4, 4)
    second = await reconcile(office, day)
    assert (second["found"], second["gone"], second["differences"]) == (0, 0, 4)
    rows = (await office.ask("ops", "GET", "/rails/wallet/differences")).json()["items"]
    assert Counter(row["kind"] for row in rows) == Counter(FOUND[each["plant"]] for each in planted)
    about = {item["our_reference"] for row in rows for side in row["items"].values() for item in side}
    assert about == {each["payment"] for each in planted}
    assert all(row["case_id"] is not None for row in rows)
    actions = {row["kind"]: row["proposal"]["action"] for row in rows}
    assert actions == {"not_at_rail": "wait", "not_in_ledger": "correct", "amount": "correct"}

    for row in rows:
        path = f"/rails/wallet/differences/{row['difference_id']}/corrections"
        asked = await office.ask("ops", "POST", path, {"action": "correct", "reason": "the rail is right"})
        assert asked.status_code == 202, asked.text
        twice = await office.ask("ops", "POST", path, {"action": "correct", "reason": "again"})
        assert (twice.status_code, twice.json()["code"]) == (409, "state")
        await approve(office, asked.json()["approval_id"])

    async def corrected() -> bool:
        found = (await office.ask("ops", "GET", "/rails/wallet/differences?state=corrected")).json()["items"]
        return len(found) == 4

    await eventually(corrected)
    after = await reconcile(office, day)
    assert (after["found"], after["differences"]) == (0, 0)
    file = read(Format.CSV, (await asyncio.to_thread(process.ask, "GET", f"/file?day={day}")).content)
    total = sum(item.amount_minor for item in file.items)
    assert await balance_of(office, own_account(3001, 156, 12)) == -total, "the account is what the rail says"
    async with office.transaction() as context:
        query = select(cases.c.state).where(cases.c.kind == "reconciliation")
        assert set((await context.connection.scalars(query)).all()) == {"closed"}


async def test_a_rejected_correction_stays_on_the_list(house: tuple[Office, str], rail_here: Any) -> None:
    office, _ = house
    process, _ = await paid(house, rail_here, 2, plant=["amount"])
    await reconcile(office, today(process))
    (row,) = (await office.ask("ops", "GET", "/rails/wallet/differences")).json()["items"]
    path = f"/rails/wallet/differences/{row['difference_id']}/corrections"
    asked = (await office.ask("ops", "POST", path, {"action": "accept", "reason": "small"})).json()
    decision = f"/approvals/{asked['approval_id']}/decision"
    assert (await office.ask("risk", "POST", decision, {"approve": False, "reason": "no"})).status_code == 200
    (row,) = (await office.ask("ops", "GET", "/rails/wallet/differences")).json()["items"]
    assert row["state"] == "open"


def file_of(items: list[RailItem], day: date) -> bytes:
    return write(Format.CSV, "wallet", day, items)


async def run(office: Office, day: date, content: bytes) -> Any:
    async with office.transaction() as context:
        return await reconciliation.run(office.app.state.office, context, "wallet", day, content)


async def test_what_comes_a_day_later_is_gone_then(house: tuple[Office, str], rail_here: Any) -> None:
    """Posted here before midnight, told by the rail in the next day's file."""
    office, _ = house
    process, numbers = await paid(house, rail_here, 2)
    day = today(process)
    file = read(Format.CSV, (await asyncio.to_thread(process.ask, "GET", f"/file?day={day}")).content)
    early = [item for item in file.items if item.our_reference == numbers[0]]
    late = [replace(item, day=day + timedelta(days=1)) for item in file.items if item.our_reference == numbers[1]]
    first = await run(office, day, file_of(early, day))
    assert (first.found, first.differences) == (1, 1)
    second = await run(office, day + timedelta(days=1), file_of(late, day + timedelta(days=1)))
    assert (second.gone, second.differences, second.matched) == (1, 0, 1)
    async with office.transaction() as context:
        states = (await context.connection.scalars(select(rail_differences.c.state))).all()
        open_items = (await context.connection.scalars(select(rail_items.c.matched))).all()
    assert (list(states), list(open_items)) == (["gone"], ["reference", "reference"])


async def test_a_file_that_is_not_good(house: tuple[Office, str], rail_here: Any) -> None:
    office, _ = house
    process, _ = await paid(house, rail_here, 2)
    day = today(process)
    content = (await asyncio.to_thread(process.ask, "GET", f"/file?day={day}")).content
    for bad, words in (
        (content[:-20], "findings"),
        (b"", "findings"),
        (write(Format.CSV, "card", day, ()), "is of card"),
        (write(Format.CSV, "wallet", day - timedelta(days=1), ()), "not of wallet for"),
    ):
        with pytest.raises(Problem, match=words):
            await run(office, day, bad)
    await run(office, day, content)
    with pytest.raises(Problem, match="another file"):
        await run(office, day, write(Format.CSV, "wallet", day, ()))
    async with office.transaction() as context:
        assert len((await context.connection.execute(select(rail_matches))).all()) == 2


async def test_a_payment_whose_row_is_wrong(house: tuple[Office, str], rail_here: Any) -> None:
    """The books say what is true: a row that says otherwise is found though file and ledger agree."""
    office, _ = house
    process, numbers = await paid(house, rail_here, 2)
    async with office.transaction() as context:
        at = payments.c.number == numbers[0]
        await context.connection.execute(update(payments).where(at).values(refunded_minor=5, state="partly_refunded"))
    report = await reconcile(office, today(process))
    assert (report["matched"], report["differences"]) == (2, 1)
    (row,) = (await office.ask("ops", "GET", "/rails/wallet/differences")).json()["items"]
    assert (row["kind"], row["amount"]["amount"]) == ("state", "0.05")
    async with office.transaction() as context:
        await context.connection.execute(update(payments).where(at).values(refunded_minor=0, state="captured"))
    assert (await reconcile(office, today(process)))["gone"] == 1


async def test_the_command(
    house: tuple[Office, str], rail_here: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    office, _ = house
    process, _ = await paid(house, rail_here, 2)
    day = today(process)
    path = tmp_path / "file.csv"
    path.write_bytes((await asyncio.to_thread(process.ask, "GET", f"/file?day={day}")).content)
    command = ["rail", "reconcile", "wallet", "--day", str(day), "--database-url", office.dsn]
    command += ["--engine", office.settings.engine]

    def told(*more: str) -> tuple[int, str]:
        code = main([*command, *more])
        read_ = capsys.readouterr()
        return code, read_.out + read_.err

    assert await asyncio.to_thread(told, "--file", str(tmp_path / "none")) == (
        2, f"tongbao-office: --file: {tmp_path / 'none'}: No such file or directory\n"
    )  # fmt: skip
    code, words = await asyncio.to_thread(told, "--file", str(path))
    assert (code, "2 rows (taken), 2 matched now" in words) == (0, True), words
    code, words = await asyncio.to_thread(told, "--file", str(path), "--json")
    assert (code, json.loads(words)["new_file"]) == (0, False)
    path.write_bytes(write(Format.CSV, "wallet", day, ()))
    assert (await asyncio.to_thread(told, "--file", str(path)))[0] == 3


async def test_a_rail_without_a_file_says_so(house: tuple[Office, str]) -> None:
    office, _ = house
    response = await office.ask("ops", "POST", "/rails/wallet/reconciliations", {"day": "2026-11-23"})
    assert (response.status_code, response.json()["code"]) == (409, "state")
    response = await office.ask("ops", "POST", "/rails/nothing/reconciliations", {"day": "2026-11-23"})
    assert response.status_code == 404


@pytest.mark.long
async def test_a_large_day(bank: Office) -> None:
    """Fifty thousand payments of one day, one of them missing at the rail."""
    count = 50_000
    bank.time = datetime.now(UTC)
    payer = await account(bank, count * 1_000)
    settlement = own_account(3001, 156, 12)
    ids = [uuid7() for _ in range(count)]
    async with bank.transaction() as context:
        await own(context, 3001, 156, 12)
        connection = context.connection
        now = bank.time
        shared = {
            "kind": "wallet", "operation": "wallet", "channel": "online", "mode": "held", "state": "captured",
            "currency": "CNY", "ordered_minor": 700, "authorised_minor": 700, "captured_minor": 700,
            "from_account": payer["account_id"], "debit_id": payer["account_id"], "credit_id": settlement,
            "rail": "wallet", "business_date": now.date(), "value_date": now.date(), "made_at": now, "changed_at": now,
        }  # fmt: skip
        numbers = [10**6 + n for n in range(count)]
        await connection.execute(
            insert(payments), [shared | {"payment_id": number, "number": f"P{number}"} for number in numbers]
        )
        await connection.execute(
            insert(posting_groups),
            [{"id": each, "kind": "payments", "subject": f"payment:{number}", "state": "posted", "made_at": now,
              "settled_at": now} for each, number in zip(ids, numbers, strict=True)],
        )  # fmt: skip
        posted = {
            "position": 0, "debit_account_id": payer["account_id"], "credit_account_id": settlement,
            "amount_minor": 700, "ledger": 156, "code": 107, "flags": 0, "status": "created",
        }  # fmt: skip
        await connection.execute(insert(postings), [posted | {"id": each, "group_id": each} for each in ids])
    client = await bank.gateway.client()
    await client.create_accounts([Account(settlement, 156, 3001)])
    for start in range(0, count, 5_000):
        part = [Transfer(each, payer["account_id"], settlement, 700, 156, 107) for each in ids[start : start + 5_000]]
        assert all(result.created_or_exists for result in await client.create_transfers(part))
    view = (await bank.gateway.transfers(ids[:1]))[ids[0]]
    day = day_of(datetime.fromtimestamp(view.timestamp / 1e9, UTC))
    items = [
        RailItem(f"R{number}", f"P{number}", "capture", -700, "CNY", day, 4) for number in numbers[1:]
    ]  # fmt: skip
    began = time.monotonic()
    first = await run(bank, day, file_of(items, day))
    middle = time.monotonic()
    second = await run(bank, day, file_of(items, day))
    print(f"{count:,} items: {middle - began:.1f} s, again {time.monotonic() - middle:.1f} s")
    assert (first.matched, first.differences) == (count - 1, 1)
    assert (second.matched, second.found, second.differences) == (0, 0, 1)
