"""The reconciliation of books and office: empty after work, and each planted difference is found and named."""

import asyncio
import json
import random
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import text, update

from backoffice.cli import main
from backoffice.ledger import Posting, agreement, own, plan
from backoffice.ledger.plan import open_account
from backoffice.ledger.settlement import HANDLERS, Outcome
from backoffice.payments import rails_api, service
from backoffice.payments.service import Order
from backoffice.payments.states import Event, Kind
from server.client import Transfer, TransferFlag, uuid7
from tests.backoffice.conftest import Office
from tests.backoffice.payments.institution import PaperRail, account, pay, settled


async def differences(bank: Office) -> list[agreement.Difference]:
    async with bank.transaction() as context:
        return await agreement.differences(context, bank.gateway)


async def work(bank: Office, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Any, list[Any]]:
    """Payments of every kind and end; two accounts, and their rows."""
    monkeypatch.setitem(rails_api.RAILS, "paper", PaperRail())
    a, b = await account(bank, 10_000), await account(bank)
    ours = {"from_account": a["account_id"], "to_account": b["account_id"]}
    rows = [
        await pay(bank, Order("transfer", "online", 500, fee_minor=3, **ours)),
        await pay(bank, Order("transfer", "online", 50_000, **ours)),
    ]
    for number, events in enumerate(
        (
            [Event("c", Kind.CAPTURE, 250)],
            [Event("v", Kind.VOID)],
            [Event("c", Kind.CAPTURE, 300), Event("r", Kind.REFUND, 120)],
            [],
        )
    ):
        order = Order(
            "card", "paper", 300, from_account=a["account_id"], rail="paper", rail_reference=f"R{number}",
            mode="held", fee_minor=1,
        )  # fmt: skip
        row = await pay(bank, order)
        for event in events:
            async with bank.transaction() as context:
                await service.rail_event(context, row, event)
            row = await settled(bank, row["number"])
        rows.append(row)
    assert [row["state"] for row in rows] == [
        "captured", "declined", "captured", "voided", "partly_refunded", "authorised",
    ]  # fmt: skip
    return a, b, rows


async def test_nothing_differs_after_work(bank: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    await work(bank, monkeypatch)
    assert await differences(bank) == []


async def test_each_planted_difference_is_found(bank: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b, rows = await work(bank, monkeypatch)
    number, captured = rows[0]["number"], rows[0]["payment_id"]
    stranger = uuid7()
    client = await bank.gateway.client()
    await client.create_transfers([Transfer(stranger, a["account_id"], b["account_id"], 7, 156, 10)])
    found = await differences(bank)
    assert {each.subject for each in found} == {f"account:{a['account_id']}", f"account:{b['account_id']}"}
    assert all(str(stranger) in each.words for each in found)
    await client.create_transfers([Transfer(uuid7(), b["account_id"], a["account_id"], 7, 156, 10)])
    assert len(await differences(bank)) == 2, "moved back, and still two transfers that nobody planned"
    group = f"(SELECT group_id FROM office.payment_events WHERE payment_id = {captured} AND kind = 'authorise')"
    planted = [
        (
            f"UPDATE office.payments SET state = 'reversed' WHERE payment_id = {captured}",
            "payment",
            "state is reversed",
        ),
        (
            f"UPDATE office.payments SET captured_minor = 499 WHERE payment_id = {captured}",
            "payment",
            "captured_minor is 499, its events make 500",
        ),
        (
            f"UPDATE office.posting_groups SET state = 'refused' WHERE id = {group}",
            "posting",
            "was refused, and the engine has it",
        ),
        (
            f"UPDATE office.postings SET amount_minor = 501 WHERE group_id = {group} AND position = 0",
            "posting",
            "amount is 500 in the engine, 501 here",
        ),
        (f"DELETE FROM office.payment_events WHERE payment_id = {captured}", "payment", "belongs to no event"),
    ]
    for statement, kind, words in planted:
        async with bank.database.engine.connect() as connection:
            await connection.execute(text(statement))
            async with bank.transaction() as context:
                told = await agreement.differences(replace(context, connection=connection), bank.gateway)
            await connection.rollback()
        assert any(each.kind == kind and words in each.words for each in told), (statement, told)
        if kind == "payment":
            assert {each.subject for each in told if each.kind == kind} == {f"payment:{number}"}


async def test_while_payments_are_under_way_nothing_seems_to_differ(bank: Office) -> None:
    """Accounts move between the reading of one side and of the other; a lost answer is no difference either."""
    a, b = await account(bank, 1_000_000), await account(bank)
    rng = random.Random(7)
    made: list[str] = []

    async def busy() -> None:
        while len(made) < 40:
            x, y = (a, b) if rng.random() < 0.7 else (b, a)
            order = Order(
                "transfer", "api", rng.randrange(1, 900), from_account=x["account_id"], to_account=y["account_id"]
            )
            made.append((await pay(bank, order))["state"])

    tasks = [asyncio.create_task(busy()) for _ in range(2)]
    while len(made) < 40:
        assert await differences(bank) == []
    await asyncio.gather(*tasks)
    assert await differences(bank) == []


async def test_a_lost_answer_is_no_difference(bank: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    async def nothing(_context: Any, _outcome: Outcome) -> None:
        pass

    monkeypatch.setitem(HANDLERS, "test", nothing)
    async with bank.transaction() as context:
        number = await open_account(context, "test:1")
        group = await plan(context, "test", "test:1", [Posting(await own(context, 1001), number, 5, 156, 10)])
    assert await bank.gateway.settle([group], 20)
    await bank.gateway.stop()
    async with bank.transaction() as context:
        await context.connection.execute(
            text("UPDATE office.posting_groups SET state = 'planned', settled_at = NULL WHERE id = :id"), {"id": group}
        )
    bank.gateway._client = None
    assert await differences(bank) == []


async def test_a_hold_that_runs_out_is_the_engines_word(bank: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    async def nothing(_context: Any, _outcome: Outcome) -> None:
        pass

    monkeypatch.setitem(HANDLERS, "test", nothing)
    async with bank.transaction() as context:
        number = await open_account(context, "test:1")
        held = Posting(await own(context, 1001), number, 5, 156, 10, TransferFlag.PENDING, timeout_s=1)
        group = await plan(context, "test", "test:1", [held])
    assert await bank.gateway.settle([group], 20)
    async with asyncio.timeout(20):
        while (await bank.gateway.transfers([held.id]))[held.id].status != "expired":
            await asyncio.sleep(0.1)
    assert await differences(bank) == []


async def test_the_command_says_so_with_its_exit_code(
    bank: Office, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from backoffice.accounts.tables import accounts

    a = await account(bank, 1_000)
    arguments = ["reconcile", "--database-url", bank.dsn, "--engine", bank.settings.engine, "--json"]
    assert await asyncio.to_thread(main, arguments) == 0
    assert json.loads(capsys.readouterr().out) == {"agree": True, "differences": [], "unsettled_groups": 0}
    async with bank.transaction() as context:
        await context.connection.execute(update(accounts).values(version=2))
        await context.connection.execute(text("UPDATE office.payments SET reason = 'x', captured_minor = 1"))
    assert await asyncio.to_thread(main, arguments[:-1]) == 4
    out = capsys.readouterr().out
    assert "captured_minor is 1, its events make 1000" in out
    assert a["number"]
